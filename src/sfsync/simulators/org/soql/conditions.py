"""WHERE and HAVING as functions of a row.

Names are looked up and literals are checked against field types once; what remains per row is a read and a
comparison. Text compares without case unless the field is a unique case-sensitive one; ids compare by their
18-character form; `''` is null. Conditions are two-valued as in SOQL: a comparison with null is false, except
that `!=` and `NOT IN` match null (by the knob `null_matches_not_equal`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sfsync.simulators.org.model import FieldType, Row
from sfsync.simulators.org.soql.errors import pointed
from sfsync.simulators.org.soql.operands import (
    TEXTS,
    Operand,
    Reader,
    Scope,
    filterable,
    fold,
    folds,
    literal_value,
)
from sfsync.simulators.org.soql.parser import unescape
from sfsync.simulators.org.soql.syntax import (
    All,
    Comparison,
    Condition,
    Membership,
    Not,
    Query,
    Some,
)

Predicate = Callable[[Row], bool]

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_condition(condition: Condition, scope: Scope) -> Predicate:
    """The condition as a function of a row."""
    if isinstance(condition, All):
        return _all([compile_condition(part, scope) for part in condition.conditions])
    if isinstance(condition, Some):
        return _some([compile_condition(part, scope) for part in condition.conditions])
    if isinstance(condition, Not):
        inner = compile_condition(condition.condition, scope)
        return lambda row: not inner(row)
    if isinstance(condition, Membership):
        return _membership(condition, scope)
    return _comparison(condition, scope)


def _all(parts: list[Predicate]) -> Predicate:
    if len(parts) == 2:
        first, second = parts
        return lambda row: first(row) and second(row)
    return lambda row: all(part(row) for part in parts)


def _some(parts: list[Predicate]) -> Predicate:
    return lambda row: any(part(row) for part in parts)


def _reader(operand: Operand) -> Reader:
    if not folds(operand.field):
        return operand.read
    read = operand.read

    def folded(row: Row) -> Any:
        value = read(row)
        return value.lower() if isinstance(value, str) else value

    return folded


def _comparison(condition: Comparison, scope: Scope) -> Predicate:
    operand = filterable(scope, condition.left)
    if condition.operator == "LIKE":
        return _like(condition, operand, scope)
    value = literal_value(condition.right, operand, scope)
    read = _reader(operand)
    if operand.field is None:
        read = _as_kind_of(value, read)
    if condition.operator in ("=", "!="):
        return _equality(read, value, condition.operator == "!=", scope.null_matches_not_equal)
    _check_orderable(condition, operand, scope)
    return _ordering(read, condition.operator, value)


def _check_orderable(condition: Comparison, operand: Operand, scope: Scope) -> None:
    if operand.field is not None and operand.field.type is FieldType.BOOLEAN:
        message = f"invalid operator on boolean field '{operand.name}'"
        raise pointed("INVALID_QUERY_FILTER_OPERATOR", scope.source, operand.position, message)


def _as_kind_of(value: Any, read: Reader) -> Reader:
    """Without a schema the value tells the kind: an event's instants are milliseconds or ISO text."""
    moment = value[0] if isinstance(value, tuple) else value
    if not isinstance(moment, datetime):
        return read

    def instant(row: Row) -> Any:
        found = read(row)
        if isinstance(found, int) and not isinstance(found, bool):
            return datetime.fromtimestamp(found / 1000, UTC)
        if isinstance(found, str):
            return _instant_of(found)
        return found

    return instant


def _instant_of(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _equality(read: Reader, value: Any, negated: bool, null_matches: bool) -> Predicate:
    if value is None:
        return _null_check(read, negated)
    if isinstance(value, tuple):
        low, high = value
        if not negated:
            return lambda row: (found := read(row)) is not None and low <= found < high
        return lambda row: null_matches if (found := read(row)) is None else not low <= found < high
    if not negated:
        return lambda row: bool(read(row) == value)
    if null_matches:
        return lambda row: bool(read(row) != value)
    return lambda row: (found := read(row)) is not None and found != "" and found != value


def _null_check(read: Reader, negated: bool) -> Predicate:
    if negated:
        return lambda row: (found := read(row)) is not None and found != ""
    return lambda row: (found := read(row)) is None or found == ""


def _ordering(read: Reader, written: str, value: Any) -> Predicate:
    if value is None:
        return lambda row: False
    if isinstance(value, tuple):
        # `> TODAY` begins after the day's end and `<= TODAY` takes the whole day in.
        low, high = value
        written, value = {">": (">=", high), ">=": (">=", low), "<": ("<", low), "<=": ("<", high)}[written]
    compare = _ORDERED[written]

    def ordered(row: Row) -> bool:
        found = read(row)
        return found is not None and _comparable(found, value) and compare(found, value)

    return ordered


def _comparable(found: Any, value: Any) -> bool:
    if isinstance(value, str):
        return isinstance(found, str)
    if isinstance(value, datetime):
        return isinstance(found, datetime)
    if isinstance(value, date):
        return isinstance(found, date) and not isinstance(found, datetime)
    return isinstance(found, (int, float, Decimal))


def _like(condition: Comparison, operand: Operand, scope: Scope) -> Predicate:
    if condition.right.kind == "null":
        return lambda row: False
    if condition.right.kind != "string" or (operand.field is not None and operand.field.type not in TEXTS):
        message = f"invalid operator on {operand.field.type if operand.field else 'this'} field"
        raise pointed("INVALID_QUERY_FILTER_OPERATOR", scope.source, condition.left.position, message)
    flags = re.DOTALL | (re.IGNORECASE if folds(operand.field) else 0)
    matches = re.compile(_pattern(condition.right.raw), flags).fullmatch
    read = operand.read

    def like(row: Row) -> bool:
        found = read(row)
        return isinstance(found, str) and matches(found) is not None

    return like


def _pattern(raw: str) -> str:
    """A LIKE pattern as a regular expression: `%` any text, `_` one character, `\\%` and `\\_` themselves."""
    out: list[str] = []
    for piece in re.findall(r"\\u[0-9A-Fa-f]{4}|\\.|[^\\]", raw, re.DOTALL):
        if piece in ("\\%", "\\_"):
            out.append(re.escape(piece[1]))
        elif piece in ("%", "_"):
            out.append(".*?" if piece == "%" else ".")
        else:
            out.append(re.escape(unescape(piece)))
    return "".join(out)


def _membership(condition: Membership, scope: Scope) -> Predicate:
    operand = filterable(scope, condition.left)
    values, spans = member_values(condition, operand, scope)
    has_null, negated = None in values, condition.negated
    read, null_result = _reader(operand), scope.null_matches_not_equal

    def member(row: Row) -> bool:
        found = read(row)
        if found is None or found == "":
            return has_null if not negated else (not has_null and null_result)
        inside = found in values or any(low <= found < high for low, high in spans)
        return inside is not negated

    return member


def member_values(
    condition: Membership, operand: Operand, scope: Scope
) -> tuple[Collection[Any], list[tuple[Any, Any]]]:
    """The values of an IN list or sub-select, ready to compare, and the spans of its date literals.

    The values are each named once, and stand in the query's order: rows found by them come in it too.
    """
    if isinstance(condition.values, Query):
        found = scope.values_of(condition.values)
        return dict.fromkeys(map(fold, found) if folds(operand.field) else found).keys(), []
    checked = [literal_value(literal, operand, scope) for literal in condition.values]
    spans = [value for value in checked if isinstance(value, tuple)]
    return dict.fromkeys(value for value in checked if not isinstance(value, tuple)).keys(), spans
