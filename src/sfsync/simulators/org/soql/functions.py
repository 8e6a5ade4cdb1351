"""Functions of SOQL: aggregates over groups, and parts of dates. Times are UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sfsync.simulators.org.model import Field, FieldType

AGGREGATES = ("COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX")


def _day(value: Any) -> date:
    return value.astimezone(UTC).date() if isinstance(value, datetime) else value


DATE_PARTS: dict[str, Callable[[Any], Any]] = {
    "CALENDAR_YEAR": lambda value: _day(value).year,
    "CALENDAR_QUARTER": lambda value: (_day(value).month + 2) // 3,
    "CALENDAR_MONTH": lambda value: _day(value).month,
    "FISCAL_YEAR": lambda value: _day(value).year,
    "FISCAL_QUARTER": lambda value: (_day(value).month + 2) // 3,
    "FISCAL_MONTH": lambda value: _day(value).month,
    "DAY_IN_MONTH": lambda value: _day(value).day,
    "DAY_IN_WEEK": lambda value: _day(value).isoweekday() % 7 + 1,
    "DAY_IN_YEAR": lambda value: _day(value).timetuple().tm_yday,
    "DAY_ONLY": _day,
    "WEEK_IN_MONTH": lambda value: (_day(value).day + 6) // 7,
    "WEEK_IN_YEAR": lambda value: (_day(value).timetuple().tm_yday + 6) // 7,
    "HOUR_IN_DAY": lambda value: value.astimezone(UTC).hour if isinstance(value, datetime) else None,
}


def _formatted(value: Any) -> Any:
    """As an org of the locale en_US shows it."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        hour = moment.hour % 12 or 12
        half = "AM" if moment.hour < _NOON else "PM"
        return f"{moment.month}/{moment.day}/{moment.year}, {hour}:{moment.minute:02d} {half}"
    if isinstance(value, date):
        return f"{value.month}/{value.day}/{value.year}"
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return value
    shown = f"{value:,.3f}"
    return shown.rstrip("0").rstrip(".")


_NOON = 12

# What shows a field in the user's language; a picklist's labels are its values in this org.
SHOWN: dict[str, Callable[[Any], Any]] = {"TOLABEL": lambda value: value, "FORMAT": _formatted}


def aggregate(function: str, values: Sequence[Any]) -> Any:
    """The aggregate of the values that are not null; null when there are none (a count is 0)."""
    if function == "COUNT":
        return len(values)
    if function == "COUNT_DISTINCT":
        return len({value.lower() if isinstance(value, str) else value for value in values})
    if not values:
        return None
    if function == "SUM":
        return sum(values)
    if function == "AVG":
        return sum(values) / len(values)
    smallest, key = function == "MIN", (str.lower if isinstance(values[0], str) else None)
    return min(values, key=key) if smallest else max(values, key=key)


def result_field(function: str, argument: Field | None, name: str) -> Field:
    """The field that stands for a function's result: it decides how the result compares and prints."""
    if function == "DAY_ONLY":
        return Field(name, name, FieldType.DATE)
    if function in ("COUNT", "COUNT_DISTINCT") or function in DATE_PARTS or argument is None:
        return Field(name, name, FieldType.INT)
    if function in ("MIN", "MAX"):
        return argument
    whole = function == "SUM" and argument.type is FieldType.INT
    return Field(name, name, FieldType.INT if whole else FieldType.DOUBLE)
