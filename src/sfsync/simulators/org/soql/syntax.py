"""A parsed query: what was written, before any name is looked up. `position` is the offset in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Column:
    """A field as written, perhaps through parents: `StockLevel__r.LevelKey__c`."""

    path: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a field: an aggregate or a date function. `COUNT()` has no argument."""

    function: str  # upper case
    argument: Column | None
    position: int


Expression: TypeAlias = Column | Call


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written: kind is string, number, boolean, null, date, datetime or named (`TODAY`)."""

    kind: str
    value: Any
    position: int
    raw: str = ""  # of a string: the text between the quotes, for LIKE, whose escapes differ


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator value`; operator is one of = != < <= > >= LIKE."""

    left: Expression
    operator: str
    right: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """`field [NOT] IN (values)` or `IN (SELECT …)`."""

    left: Expression
    values: tuple[Literal, ...] | Query
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class All:
    """Conditions joined by AND."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Conditions joined by OR."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Membership | Not | All | Some


@dataclass(frozen=True, slots=True)
class Item:
    """One selected expression, with its alias in an aggregate query."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class FieldsOf:
    """`FIELDS(ALL)`, `FIELDS(STANDARD)` or `FIELDS(CUSTOM)`."""

    which: str
    position: int


@dataclass(frozen=True, slots=True)
class ChildQuery:
    """`(SELECT … FROM StockMovements__r)`."""

    query: Query


@dataclass(frozen=True, slots=True)
class Ordering:
    """One expression of ORDER BY."""

    expression: Expression
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. `source` is the text it was parsed from, for error messages."""

    source: str
    items: tuple[Item | FieldsOf | ChildQuery, ...]
    entity: str
    position: int  # of the entity's name
    alias: str | None = None
    where: Condition | None = None
    group_by: tuple[Expression, ...] = ()
    having: Condition | None = None
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0
    all_rows: bool = False
