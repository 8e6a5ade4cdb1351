"""Date literals: the span of days that `TODAY` or `LAST_N_DAYS:30` means at one instant.

Days are those of UTC and weeks begin on Sunday; an org takes both from the user's locale. Fiscal years are
calendar years here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

Span = tuple[date, date]  # first day, and the day after the last

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_HIGHEST_COUNT = 10_000


def _week(today: date, offset: int) -> Span:
    first = today - timedelta(days=today.isoweekday() % 7) + offset * _WEEK
    return first, first + _WEEK


def _months(today: date, offset: int, size: int) -> Span:
    """The period of `size` months (1, 3 or 12) that holds today, moved by whole periods."""
    index = (today.year * 12 + today.month - 1) // size + offset
    return _first_of(index * size), _first_of((index + 1) * size)


def _first_of(months: int) -> date:
    year, month = divmod(months, 12)
    return date(min(max(year, 1), 4000), month + 1, 1)


def _fixed(today: date) -> dict[str, Span]:
    tomorrow = today + _DAY
    spans = {
        "TODAY": (today, tomorrow),
        "YESTERDAY": (today - _DAY, today),
        "TOMORROW": (tomorrow, tomorrow + _DAY),
        "LAST_90_DAYS": (today - timedelta(days=90), tomorrow),
        "NEXT_90_DAYS": (tomorrow, today + timedelta(days=91)),
    }
    for prefix, offset in (("LAST", -1), ("THIS", 0), ("NEXT", 1)):
        spans[f"{prefix}_WEEK"] = _week(today, offset)
        for unit, size in _UNITS.items():
            spans[f"{prefix}_{unit}"] = _months(today, offset, size)
    return spans


_UNITS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "FISCAL_QUARTER": 3, "FISCAL_YEAR": 12}
_PERIODS: dict[str, Callable[[date, int], Span]] = {
    "WEEK": _week,
    "MONTH": lambda today, offset: _months(today, offset, 1),
    "QUARTER": lambda today, offset: _months(today, offset, 3),
    "YEAR": lambda today, offset: _months(today, offset, 12),
    "FISCAL_QUARTER": lambda today, offset: _months(today, offset, 3),
    "FISCAL_YEAR": lambda today, offset: _months(today, offset, 12),
}
_COUNTED = re.compile(r"(LAST|NEXT)_N_(DAY|WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR)S:(\d{1,5})")
_AGO = re.compile(r"N_(DAY|WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR)S_AGO:(\d{1,5})")


def _counted(today: date, direction: str, unit: str, count: int) -> Span:
    """LAST_N_DAYS counts today in, NEXT_N_DAYS leaves it out; other units leave the present period out."""
    if unit == "DAY":
        if direction == "LAST":
            return today - timedelta(days=count), today + _DAY
        return today + _DAY, today + timedelta(days=count + 1)
    period = _PERIODS[unit]
    if direction == "LAST":
        return period(today, -count)[0], period(today, 0)[0]
    return period(today, 1)[0], period(today, count + 1)[0]


def _ago(today: date, unit: str, count: int) -> Span:
    if unit == "DAY":
        return today - timedelta(days=count), today - timedelta(days=count - 1)
    return _PERIODS[unit](today, -count)


def span(name: str, now: datetime) -> Span | None:
    """The days that a date literal (upper case) means; None when there is no such literal."""
    today = now.astimezone(UTC).date()
    counted, ago = _COUNTED.fullmatch(name), _AGO.fullmatch(name)
    if counted is not None and int(counted[3]) <= _HIGHEST_COUNT:
        return _counted(today, counted[1], counted[2], int(counted[3]))
    if ago is not None and int(ago[2]) <= _HIGHEST_COUNT:
        return _ago(today, ago[1], int(ago[2]))
    return _fixed(today).get(name)


def midnight(day: date) -> datetime:
    """The instant at which a day begins, UTC."""
    return datetime.combine(day, time(), UTC)
