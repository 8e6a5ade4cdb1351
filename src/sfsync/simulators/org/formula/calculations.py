"""What functions of formulas compute, on plain values that are not null."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Decimal,
    InvalidOperation,
    localcontext,
)
from typing import Any

from sfsync.simulators.org.formula.values import divide_exactly, text

_MOST_PLACES = 64


def number_of(written: str) -> Any:
    """VALUE: the number that a text is, null when it is none."""
    try:
        number = Decimal(written.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= _MOST_PLACES else None


def quantize(value: Any, places: Any, rounding: str) -> Any:
    with localcontext() as arithmetic:
        arithmetic.prec = 4 * _MOST_PLACES
        step = Decimal(1).scaleb(-min(max(int(places), -_MOST_PLACES), _MOST_PLACES))
        return (Decimal(value) / step).to_integral_value(rounding) * step


def rounded(value: Any, places: Any) -> Any:
    return quantize(value, places, ROUND_HALF_UP)


def truncate(value: Any, places: Any = 0) -> Any:
    return quantize(value, places, ROUND_DOWN)


def ceiling(value: Any) -> Any:
    # CEILING and FLOOR go away from and towards zero for negatives; MCEILING and MFLOOR follow mathematics.
    return int(Decimal(value).to_integral_value(ROUND_CEILING if value >= 0 else ROUND_FLOOR))


def floor(value: Any) -> Any:
    return int(Decimal(value).to_integral_value(ROUND_DOWN))


def modulo(value: Any, divisor: Any) -> Any:
    if divisor == 0:
        return None
    quotient = divide_exactly(value, divisor)
    return value - divisor * int(Decimal(quotient).to_integral_value(ROUND_DOWN))


def square_root(value: Any) -> Any:
    return None if value < 0 else Decimal(value).sqrt()


def substitute(whole: str, old: str, new: str) -> str:
    return whole.replace(old, new) if old else whole


def middle(whole: str, start: int, count: int) -> str:
    begin = max(start, 1) - 1
    return whole[begin : begin + max(count, 0)]


def right(whole: str, count: int) -> str:
    return whole[-count:] if count > 0 else ""


def day_of(year: Any, month: Any, day: Any) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def date_value(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(text(value))
    except ValueError:
        return None


def datetime_value(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def add_months(moment: Any, months: Any) -> Any:
    years, month = divmod(moment.year * 12 + moment.month - 1 + int(months), 12)
    if not 1 <= years <= 9999:
        return None
    for day in (moment.day, 30, 29, 28):
        try:
            return moment.replace(year=years, month=month + 1, day=day)
        except ValueError:
            continue
    return None


def weekday(moment: date) -> int:
    return moment.isoweekday() % 7 + 1  # Sunday is 1
