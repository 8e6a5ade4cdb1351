"""What a formula sees of the record being saved, and how its values add, compare and print.

Null follows Salesforce: a blank number is zero where the formula says so, and blank text is the empty text.
Any other comparison with null is null, which NOT leaves null and which counts as false in the end. One
thing differs for want of types: two blanks are equal, although an org calls two blank numbers that are not
zero neither equal nor different.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, Protocol, TypeAlias

Path: TypeAlias = tuple[str, ...]

_MOST_DIGITS = 64


class FormulaError(Exception):
    """The formula cannot be used: its text is wrong, or it needs something that is not simulated."""


class FormulaContext(Protocol):
    """One record being saved or read. Paths are as written, e.g. `("StockLevel__r", "LevelKey__c")`."""

    @property
    def is_new(self) -> bool:
        """True while the record is being inserted."""
        ...

    @property
    def now(self) -> datetime:
        """The org's clock, UTC."""
        ...

    @property
    def blanks_as_zero(self) -> bool:
        """Whether a blank number counts as zero in this formula."""
        ...

    def value(self, path: Path) -> Any:
        """The field's present value, None when blank."""
        ...

    def prior(self, path: Path) -> Any:
        """The field's value before this save; asked only when the record is not new."""
        ...


Node: TypeAlias = Callable[[FormulaContext], Any]


def as_number(value: Any) -> Any:
    """A float of the record as an exact number: int when whole, else the Decimal that it prints as."""
    if type(value) is float:
        return int(value) if value.is_integer() else Decimal(repr(value))
    return value


def plain(value: Any) -> Any:
    """A result without `Decimal`: int when whole, else float."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def is_number(value: Any) -> bool:
    """True for a number; a boolean is none."""
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def number(value: Any, context: FormulaContext) -> Any:
    """An operand of arithmetic: null is zero or null, by the formula's setting."""
    if value is None or value == "":
        return 0 if context.blanks_as_zero else None
    if not is_number(value):
        raise FormulaError(f"expected a number, found {text(value)!r}")
    return value


def text(value: Any) -> str:
    """The value as TEXT() and `&` show it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return str(value)


def is_blank(value: Any) -> bool:
    """Null or empty text."""
    return value is None or value == ""


def add(left: Any, right: Any, context: FormulaContext) -> Any:
    """`+`: numbers, text with text, or a date and a number of days."""
    if isinstance(left, str) and (right is None or isinstance(right, str)):
        return left + text(right)
    if isinstance(right, str) and left is None:
        return right
    if isinstance(left, date):
        return _shift(left, number(right, context))
    if isinstance(right, date):
        return _shift(right, number(left, context))
    left, right = number(left, context), number(right, context)
    return None if left is None or right is None else left + right


def subtract(left: Any, right: Any, context: FormulaContext) -> Any:
    """`-`: numbers, a date less days, or two dates, which gives days."""
    if isinstance(left, date):
        if isinstance(right, date):
            return _days_between(left, right)
        days = number(right, context)
        return None if days is None else _shift(left, -days)
    left, right = number(left, context), number(right, context)
    return None if left is None or right is None else left - right


def _shift(moment: date, days: Any) -> Any:
    if days is None:
        return None
    if isinstance(moment, datetime):
        return moment + timedelta(days=float(days))
    return moment + timedelta(days=int(days))


def _days_between(left: date, right: date) -> Any:
    if isinstance(left, datetime) and isinstance(right, datetime):
        seconds = Decimal(str((left - right).total_seconds()))
        return divide_exactly(seconds, Decimal(86_400))
    if isinstance(left, datetime) or isinstance(right, datetime):
        raise FormulaError("a date and a date/time cannot be subtracted: use DATEVALUE")
    return (left - right).days


def divide_exactly(left: Any, right: Any) -> Any:
    """A quotient that is an int where it is whole; null for a division by zero."""
    if right == 0:
        return None
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    with localcontext() as arithmetic:
        arithmetic.prec = 34
        return Decimal(left) / Decimal(right)


def power(left: Any, right: Any) -> Any:
    """`^`; null where the result is no real number or has more than 64 digits."""
    try:
        result = Decimal(left) ** Decimal(right)
        whole = isinstance(left, int) and isinstance(right, int) and right >= 0
        if not result.is_finite() or result.adjusted() > _MOST_DIGITS:
            return None
        return left**right if whole else result
    except ArithmeticError:
        return None


def equal(left: Any, right: Any, context: FormulaContext) -> bool | None:
    """`=`: text is case-sensitive here; null equals empty text, and zero where blanks are zero."""
    if left is None or right is None:
        other = right if left is None else left
        if other is None or isinstance(other, str):
            return is_blank(other)
        return bool(other == 0) if context.blanks_as_zero and is_number(other) else None
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def ordered(left: Any, right: Any, context: FormulaContext) -> tuple[Any, Any] | None:
    """Both operands of `<` and its kin made comparable; None when the comparison is with null."""
    if left is None and right is None:
        return (0, 0) if context.blanks_as_zero else None
    if left is None or right is None:
        other = right if left is None else left
        if not (context.blanks_as_zero and is_number(other)):
            return None
        return (0, right) if left is None else (left, 0)
    if is_number(left) and is_number(right):
        return left, right
    same_kind = type(left) is type(right) and isinstance(left, (str, date))
    if not same_kind:
        raise FormulaError(f"cannot compare {text(left)!r} with {text(right)!r}")
    return left, right
