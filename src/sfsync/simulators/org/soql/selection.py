"""Which rows a query takes, and in which order.

A condition on Id, a unique or external-id field, or a foreign key (also one hop up) is answered by the
tables' index; everything else reads the object's rows one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sfsync.simulators.org.model import FieldType, Row, SObject
from sfsync.simulators.org.soql.computed import Fields
from sfsync.simulators.org.soql.conditions import compile_condition, member_values
from sfsync.simulators.org.soql.database import Database
from sfsync.simulators.org.soql.errors import malformed, pointed
from sfsync.simulators.org.soql.functions import AGGREGATES, DATE_PARTS, result_field
from sfsync.simulators.org.soql.names import Names, Resolved
from sfsync.simulators.org.soql.operands import Operand, fold, folds, literal_value
from sfsync.simulators.org.soql.syntax import (
    All,
    Call,
    Column,
    Comparison,
    Condition,
    Expression,
    Item,
    Membership,
    Ordering,
    Query,
    Some,
)

Candidates = Callable[[], Iterable[Row] | None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all parts of one execution share."""

    names: Names
    fields: Fields
    database: Database
    now: datetime
    null_matches_not_equal: bool
    include_deleted: bool
    url_prefix: str


class Selection:
    """One SELECT over one object: looks names up, filters, sorts. It is the `Scope` of its conditions."""

    def __init__(self, query: Query, sobject: SObject, setting: Setting) -> None:
        self.query = query
        self.sobject = sobject
        self.setting = setting

    @property
    def source(self) -> str:
        return self.query.source

    @property
    def now(self) -> datetime:
        return self.setting.now

    @property
    def null_matches_not_equal(self) -> bool:
        return self.setting.null_matches_not_equal

    def resolve(self, column: Column) -> Resolved:
        """The field that a column names."""
        return self.setting.names.column(self.sobject, column, self.source, self.query.alias)

    def operand(self, expression: Expression) -> Operand:
        if isinstance(expression, Call) and expression.function == "TOLABEL" and expression.argument:
            return self.operand(expression.argument)  # a label is the value
        if isinstance(expression, Call):
            return self._date_part(expression)
        resolved = self.resolve(expression)
        read = self.setting.fields.path_reader(self.sobject, resolved.path)
        return Operand(read, resolved.field, expression.path[-1], expression.position)

    def _date_part(self, call: Call) -> Operand:
        part = DATE_PARTS.get(call.function)
        if part is None or call.argument is None:
            reason = (
                f"Grouped or aggregate expression {call.function} is not allowed here"
                if call.function in AGGREGATES
                else f"Invalid function name: {call.function}"
            )
            raise malformed(self.source, call.position, reason)
        argument = self.operand(call.argument)
        if argument.field is None or argument.field.type not in (FieldType.DATE, FieldType.DATETIME):
            message = f"{call.function} needs a date or date/time field"
            raise pointed("INVALID_FIELD", self.source, call.position, message)
        read, field = argument.read, result_field(call.function, argument.field, call.function)
        return Operand(
            lambda row: None if (found := read(row)) is None else part(found), field, call.function
        )

    def values_of(self, query: Query) -> Collection[Any]:
        """A semi-join: the values of the one field that the sub-select selects, nulls left out."""
        if len(query.items) != 1 or not isinstance(query.items[0], Item):
            raise malformed(self.source, query.position, "a sub-select in a condition selects one field")
        inner = Selection(query, self.setting.names.entity(query), self.setting)
        read = inner.operand(query.items[0].expression).read
        return dict.fromkeys(found for row in inner.rows() if (found := read(row)) is not None).keys()

    def rows(self, candidates: Iterable[Row] | None = None) -> Sequence[Row]:
        """The rows in order, after OFFSET and LIMIT. `candidates` replaces the object's own rows."""
        matching = self.matching(candidates)
        first, last = (
            self.query.offset,
            None if self.query.limit is None else self.query.offset + self.query.limit,
        )
        if not self.query.order_by:
            return list(islice(matching, first, last))
        return in_order(list(matching), self.query.order_by, self.operand)[first:last]

    def matching(self, candidates: Iterable[Row] | None = None) -> Iterable[Row]:
        """The rows that WHERE takes, in no order."""
        where = self.query.where
        predicate = None if where is None else compile_condition(where, self)
        if candidates is None:
            candidates = self._candidates(where)
        if not (self.setting.include_deleted or self.query.all_rows):
            candidates = (row for row in candidates if not row.get("IsDeleted"))
        return candidates if predicate is None else filter(predicate, candidates)

    def _candidates(self, where: Condition | None) -> Iterable[Row]:
        if where is not None:
            for _, candidates in self._indexes(where):
                found = candidates()
                if found is not None:
                    return found
        return self.setting.database.rows(self.sobject.name)

    def _indexes(self, condition: Condition) -> list[tuple[int, Candidates]]:
        """Ways to reach the rows of a condition without reading all, the most selective first."""
        if isinstance(condition, All):
            ways = [way for part in condition.conditions for way in self._indexes(part)]
            return sorted(ways, key=lambda way: way[0])
        if isinstance(condition, Some):
            branches = [self._indexes(part) for part in condition.conditions]
            if not all(branches):
                return []
            return [(max(ways[0][0] for ways in branches), lambda: _union([ways[0][1] for ways in branches]))]
        if (
            isinstance(condition, Comparison)
            and condition.operator == "="
            and isinstance(condition.left, Column)
        ):
            operand = self.operand(condition.left)
            return self._index(condition.left, [literal_value(condition.right, operand, self)])
        if isinstance(condition, Membership) and not condition.negated and isinstance(condition.left, Column):
            values, spans = member_values(condition, self.operand(condition.left), self)
            return [] if spans else self._index(condition.left, values)
        return []

    def _index(self, column: Column, values: Collection[Any]) -> list[tuple[int, Candidates]]:
        if any(value is None or isinstance(value, tuple) for value in values):
            return []
        resolved = self.resolve(column)
        field, links = resolved.field, resolved.links
        rank = 0 if field.type is FieldType.ID else 1 if field.unique else 3 if field.external_id else 4
        indexable = rank < 4 or field.type is FieldType.REFERENCE
        if not indexable or len(links) > 1:
            return []
        if not links:
            return [(rank, lambda: self._by_index(self.sobject.name, resolved, values))]
        return [(rank + 2, lambda: self._by_parents(resolved, values))]

    def _by_index(self, entity: str, resolved: Resolved, values: Collection[Any]) -> Iterable[Row] | None:
        database, field = self.setting.database, resolved.field
        if field.type is FieldType.ID:
            rows = (database.by_id(entity, value) for value in values)
            return [row for row in rows if row is not None]
        found = database.indexed(entity, field.name, values)
        if found is None and field.type is FieldType.REFERENCE:
            return [row for value in values for row in database.children(entity, field.name, value)]
        return found

    def _by_parents(self, resolved: Resolved, values: Collection[Any]) -> Iterable[Row] | None:
        parents = self._by_index(resolved.owner.name, resolved, values)
        if parents is None:
            return None
        children, key = self.setting.database.children, resolved.links[0].name
        return [row for parent in parents for row in children(self.sobject.name, key, parent["Id"])]


def _union(branches: Sequence[Candidates]) -> Iterable[Row] | None:
    union: dict[str, Row] = {}
    for branch in branches:
        found = branch()
        if found is None:
            return None
        union.update((row["Id"], row) for row in found)
    return union.values()


def in_order(
    rows: Sequence[Row], orderings: Sequence[Ordering], operand_of: Callable[[Expression], Operand]
) -> Sequence[Row]:
    """The rows sorted; text without case, nulls first unless NULLS LAST is said."""
    for ordering in reversed(orderings):
        operand = operand_of(ordering.expression)
        read = operand.read
        pairs = [(read(row), row) for row in rows]
        nulls = [row for value, row in pairs if value is None]
        filled = [(value, row) for value, row in pairs if value is not None]
        if folds(operand.field):
            filled = [(fold(value), row) for value, row in filled]
        filled.sort(key=lambda pair: pair[0], reverse=ordering.descending)
        rest = [row for _, row in filled]
        rows = [*rest, *nulls] if ordering.nulls_last else [*nulls, *rest]
    return rows
