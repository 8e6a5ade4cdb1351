"""Aggregate queries: COUNT, SUM and their kin, with GROUP BY and HAVING.

A group becomes a row of its own whose values stand under the expressions that were written, so that HAVING
and ORDER BY are the same conditions and orderings as elsewhere. Not simulated: ROLLUP, CUBE, GROUPING.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sfsync.simulators.org.model import Row
from sfsync.simulators.org.soql.conditions import compile_condition
from sfsync.simulators.org.soql.errors import malformed, pointed
from sfsync.simulators.org.soql.functions import AGGREGATES, aggregate, result_field
from sfsync.simulators.org.soql.operands import NUMBERS, Operand, fold
from sfsync.simulators.org.soql.render import QueryResult, json_value
from sfsync.simulators.org.soql.selection import Selection, in_order
from sfsync.simulators.org.soql.syntax import Call, Column, Expression, Item, Query


def is_aggregate(query: Query) -> bool:
    """Whether the query answers with groups instead of records."""
    return bool(query.group_by) or any(
        isinstance(item, Item)
        and isinstance(item.expression, Call)
        and item.expression.function in AGGREGATES
        for item in query.items
    )


def is_bare_count(query: Query) -> bool:
    """Whether the query is `SELECT COUNT() FROM …`, whose answer is `totalSize` alone."""
    return any(
        isinstance(item, Item)
        and isinstance(item.expression, Call)
        and item.expression.function == "COUNT"
        and item.expression.argument is None
        for item in query.items
    )


def _aggregated(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.function in AGGREGATES


class _Groups:
    """The groups of a selection; the `Scope` of its HAVING."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.query = selection.query
        self.keys = [self._key(expression) for expression in self.query.group_by]
        self._operands: dict[str, Operand] = {}  # of aggregates, which are computed for each group

    @property
    def source(self) -> str:
        return self.selection.source

    @property
    def now(self) -> datetime:
        return self.selection.now

    @property
    def null_matches_not_equal(self) -> bool:
        return self.selection.null_matches_not_equal

    def values_of(self, query: Query) -> Collection[Any]:
        return self.selection.values_of(query)

    def _key(self, expression: Expression) -> str:
        """One name for one expression, however its letters are written."""
        if isinstance(expression, Column):
            return ".".join(self.selection.resolve(expression).path)
        inside = "" if expression.argument is None else self._key(expression.argument)
        return f"{expression.function}({inside})"

    def operand(self, expression: Expression) -> Operand:
        """An expression of SELECT, HAVING or ORDER BY, read from a group's row."""
        key = self._key(expression)
        if isinstance(expression, Call) and _aggregated(expression):
            argument = self._argument(expression)
            self._operands[key] = argument
            field = result_field(expression.function, argument.field, key)
            return Operand(lambda row: row.get(key), field, key)
        if key not in self.keys:
            shown = ".".join(expression.path) if isinstance(expression, Column) else expression.function
            message = f"Field must be grouped or aggregated: {shown}"
            raise malformed(self.source, expression.position, message)
        return Operand(lambda row: row.get(key), self.selection.operand(expression).field, key)

    def _argument(self, call: Call) -> Operand:
        if call.argument is None:
            raise malformed(self.source, call.position, f"unexpected token: '{call.function}'")
        argument = self.selection.operand(call.argument)
        if call.function in ("SUM", "AVG") and (argument.field is None or argument.field.type not in NUMBERS):
            message = f"field {argument.name} does not support aggregate operator {call.function}"
            raise pointed("MALFORMED_QUERY", self.source, call.position, message)
        return argument

    def rows(self) -> list[Row]:
        """One row per group, by the expressions seen so far; without GROUP BY there is always one."""
        readers = [self.selection.operand(expression).read for expression in self.query.group_by]
        members: dict[tuple[Any, ...], list[Row]] = {} if readers else {(): []}
        shown: dict[tuple[Any, ...], tuple[Any, ...]] = {(): ()}
        for row in self.selection.matching():
            values = tuple(read(row) for read in readers)
            key = tuple(fold(value) for value in values)
            members.setdefault(key, []).append(row)
            shown.setdefault(key, values)
        return [self._group(shown[key], rows) for key, rows in members.items()]

    def _group(self, values: Sequence[Any], rows: Sequence[Row]) -> Row:
        group = dict(zip(self.keys, values, strict=True))
        for key, operand in self._operands.items():
            found = [value for row in rows if (value := operand.read(row)) is not None]
            group[key] = aggregate(key.partition("(")[0], found)
        return group


def _outputs(groups: _Groups) -> list[tuple[str, Operand]]:
    """Name and operand of each selected expression: its alias, its field's name, or `expr0`, `expr1`, …"""
    outputs: list[tuple[str, Operand]] = []
    unnamed = 0
    for item in groups.query.items:
        if not isinstance(item, Item):
            raise malformed(
                groups.source, groups.query.position, "Grouped query cannot use FIELDS or sub-selects"
            )
        operand = groups.operand(item.expression)
        if item.alias is not None:
            name = item.alias
        elif isinstance(item.expression, Column):
            name = operand.name.rpartition(".")[2]
        else:
            name, unnamed = f"expr{unnamed}", unnamed + 1
        if any(name.lower() == other.lower() for other, _ in outputs):
            raise malformed(groups.source, item.expression.position, f"duplicate alias: {name}")
        outputs.append((name, operand))
    return outputs


def execute_aggregate(selection: Selection) -> QueryResult:
    """The groups as `AggregateResult` records."""
    query = selection.query
    if query.limit is not None and not query.group_by:
        message = "Non-grouped query that uses overall aggregate functions cannot also use LIMIT"
        raise malformed(query.source, query.position, message)
    groups = _Groups(selection)
    outputs = _outputs(groups)
    having = None if query.having is None else compile_condition(query.having, groups)
    for ordering in query.order_by:
        groups.operand(ordering.expression)
    found: Sequence[Row] = groups.rows()
    if having is not None:
        found = [row for row in found if having(row)]
    found = in_order(found, query.order_by, groups.operand)
    last = None if query.limit is None else query.offset + query.limit
    return QueryResult(
        "AggregateResult", len(found[query.offset : last]), found[query.offset : last], _render(outputs)
    )


def _render(outputs: Sequence[tuple[str, Operand]]) -> Any:
    def render(row: Row) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
        for name, operand in outputs:
            value = operand.read(row)
            record[name] = value if operand.field is None else json_value(operand.field, value)
        return record

    return render
