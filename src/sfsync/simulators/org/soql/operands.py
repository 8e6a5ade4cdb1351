"""What conditions compare: fields and functions of a row on the left, typed literals on the right."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import Field, FieldType, Row
from sfsync.simulators.org.soql.dates import midnight, span
from sfsync.simulators.org.soql.errors import malformed, pointed
from sfsync.simulators.org.soql.syntax import Expression, Literal, Query

Reader = Callable[[Row], Any]

IDS = (FieldType.ID, FieldType.REFERENCE)
NUMBERS = (FieldType.DOUBLE, FieldType.CURRENCY, FieldType.PERCENT, FieldType.INT)
TEXTS = (
    FieldType.STRING,
    FieldType.TEXTAREA,
    FieldType.PICKLIST,
    FieldType.EMAIL,
    FieldType.PHONE,
    FieldType.URL,
)
_TYPE_NAMES = {
    FieldType.DATETIME: "dateTime",
    FieldType.INT: "int",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
}
_LONGEST_FILTERABLE = 255


@dataclass(frozen=True, slots=True)
class Operand:
    """What a condition compares: how to read it, and its field (None where the schema does not know it)."""

    read: Reader
    field: Field | None
    name: str
    position: int = 0  # of the expression in the query


class Scope(Protocol):
    """What conditions need to know of the query that they stand in."""

    @property
    def source(self) -> str:
        """The text of the query."""
        ...

    @property
    def now(self) -> datetime:
        """The org's clock."""
        ...

    @property
    def null_matches_not_equal(self) -> bool:
        """Whether `!=` and `NOT IN` match null."""
        ...

    def operand(self, expression: Expression) -> Operand:
        """The field or function that an expression names; raises `SoqlError` when there is none."""
        ...

    def values_of(self, query: Query) -> Collection[Any]:
        """The values that a sub-select gives."""
        ...


def filterable(scope: Scope, expression: Expression) -> Operand:
    """The operand of a condition; long text cannot be one."""
    operand = scope.operand(expression)
    field = operand.field
    if field is not None and field.type is FieldType.TEXTAREA and (field.length or 0) > _LONGEST_FILTERABLE:
        message = f"field '{operand.name}' can not be filtered in a query call"
        raise pointed("INVALID_FIELD", scope.source, expression.position, message)
    return operand


def folds(field: Field | None) -> bool:
    """Whether the field's text is compared without regard to case."""
    if field is None:
        return True
    return field.type in TEXTS and not (field.unique and field.case_sensitive)


def fold(value: Any) -> Any:
    """Text without its case; other values unchanged."""
    return value.lower() if isinstance(value, str) else value


def literal_value(literal: Literal, operand: Operand, scope: Scope) -> Any:
    """The literal as a value to compare with: folded text, 18-character id, number, date, datetime, None.

    A named date literal gives its span as a pair: first instant or day, and the one after the last.
    """
    field = operand.field
    if literal.kind == "null" or literal.value == "":
        return None
    if literal.kind == "named":
        return _span(literal, field, scope)
    if field is None:
        return fold(literal.value)
    _check_kind(literal, field, operand, scope)
    if field.type in IDS:
        return _id(literal, operand, scope)
    if field.type is FieldType.DATE and literal.kind == "datetime":
        return literal.value.astimezone(UTC).date()
    return fold(literal.value) if folds(field) else literal.value


def _span(literal: Literal, field: Field | None, scope: Scope) -> Any:
    days = span(literal.value, scope.now)
    if days is None or (field is not None and field.type not in (FieldType.DATE, FieldType.DATETIME)):
        raise malformed(scope.source, literal.position, f"unexpected token: '{literal.value}'")
    if field is not None and field.type is FieldType.DATE:
        return days
    return midnight(days[0]), midnight(days[1])


def _check_kind(literal: Literal, field: Field, operand: Operand, scope: Scope) -> None:
    if field.type in NUMBERS:
        wanted, fits = _TYPE_NAMES.get(field.type, field.type.value), literal.kind == "number"
    elif field.type is FieldType.BOOLEAN:
        wanted, fits = "boolean", literal.kind == "boolean"
    elif field.type is FieldType.DATETIME:
        wanted, fits = "dateTime", literal.kind == "datetime"
    elif field.type is FieldType.DATE:
        wanted, fits = "date", literal.kind in ("date", "datetime")
    else:
        wanted, fits = "string", literal.kind == "string"
    if not fits:
        ending = "should be enclosed in quotes" if wanted == "string" else "should not be enclosed in quotes"
        message = (
            f"value of filter criterion for field '{operand.name}' must be of type {wanted} and {ending}"
        )
        raise pointed("INVALID_FIELD", scope.source, operand.position, message)


def _id(literal: Literal, operand: Operand, scope: Scope) -> str:
    found = normalize_id(literal.value)
    if found is None:
        message = f"invalid ID field: {literal.value}"
        raise pointed("INVALID_QUERY_FILTER_OPERATOR", scope.source, operand.position, message)
    return found
