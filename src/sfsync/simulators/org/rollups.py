"""Roll-up summary fields: how a child counts in its parent's sum, count, minimum or maximum.

Sums and counts are adjusted by what changed, in whole units of the last digit, so that they stay exact
however often they change. What comes moves a minimum or maximum at once; it is found anew among the children
only when one that counted in it has gone or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sfsync.simulators.org.model import Field, FieldType, RollUp, Row, SObject
from sfsync.simulators.org.values import parser_of

NUMBER_TYPES = frozenset({FieldType.DOUBLE, FieldType.CURRENCY, FieldType.PERCENT, FieldType.INT})


class SchemaError(Exception):
    """The source describes an org that cannot be built; the message names object and field."""


@dataclass(frozen=True, slots=True)
class RollUpPlan:
    """One roll-up field: how a child row counts in it. Sums are kept as whole numbers of the last digit."""

    parent_field: Field
    roll_up: RollUp
    factor: int
    matches: Callable[[Row], bool]

    def contribution(self, row: Row | None) -> int:
        """What a live child adds to a sum or count, in units of the last digit; 0 for no row."""
        if row is None or not self.matches(row):
            return 0
        if self.roll_up.child_field is None:
            return 1
        value = row[self.roll_up.child_field]
        return 0 if value is None else round(value * self.factor)

    def adjusted(self, value: Any, delta: int) -> float:
        """The roll-up after `delta` units of the last digit; exact as long as a double can be."""
        total = round((value or 0.0) * self.factor) + delta
        return total / self.factor if self.factor != 1 else float(total)

    @property
    def incremental(self) -> bool:
        return self.roll_up.operation in ("sum", "count")

    def counted(self, row: Row | None) -> Any:
        """The value with which a live child counts in a minimum or maximum; None when it does not."""
        value = None if row is None else row[self.roll_up.child_field or ""]
        return value if value is not None and row is not None and self.matches(row) else None

    def extreme(self, values: Iterable[Any]) -> Any:
        """Smallest or largest of the values with which children count, None without any."""
        found = [value for value in values if value is not None]
        if not found:
            return None
        return min(found) if self.roll_up.operation == "min" else max(found)


def plan_roll_up(column: Field, roll_up: RollUp, child: SObject) -> RollUpPlan:
    scale = 0
    if roll_up.child_field is not None:
        summed = child.fields.get(roll_up.child_field)
        if summed is None:
            raise SchemaError(
                f"{column.name} sums up {child.name}.{roll_up.child_field}, which does not exist"
            )
        scale = summed.scale or 0
    return RollUpPlan(column, roll_up, 10**scale, _filter_of(roll_up, child))


def _filter_of(roll_up: RollUp, child: SObject) -> Callable[[Row], bool]:
    tests = [_condition(child, *condition) for condition in roll_up.filters]
    if not tests:
        return lambda row: True
    return lambda row: all(test(row) for test in tests)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, wanted: bool(value == wanted),
    "notEqual": lambda value, wanted: bool(value != wanted),
    "lessThan": lambda value, wanted: value is not None and bool(value < wanted),
    "greaterThan": lambda value, wanted: value is not None and bool(value > wanted),
    "lessOrEqual": lambda value, wanted: value is not None and bool(value <= wanted),
    "greaterOrEqual": lambda value, wanted: value is not None and bool(value >= wanted),
    "contains": lambda value, wanted: wanted in (value or ""),
    "notContain": lambda value, wanted: wanted not in (value or ""),
    "startsWith": lambda value, wanted: (value or "").startswith(wanted),
}


def _condition(child: SObject, path: str, operation: str, text: str) -> Callable[[Row], bool]:
    name = path.rpartition(".")[2]
    column = child.fields.get(name)
    compare = _COMPARISONS.get(operation)
    if column is None or compare is None:
        raise SchemaError(f"roll-up filter {path} {operation} {text} on {child.name} is not supported")
    if operation in ("equals", "notEqual") and "," in text and column.type not in NUMBER_TYPES:
        wanted = frozenset(part.strip() for part in text.split(","))
        return lambda row: (row[name] in wanted) is (operation == "equals")
    value = parser_of(column)(text)
    return lambda row: compare(row[name], value)
