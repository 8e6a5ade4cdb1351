"""Channel filters: SOQL conditions on an event, without a database.

An event is a mapping of fields; `ChangeEventHeader` is a mapping inside it and is reached by a dotted name.
Instants may be `datetime`, epoch milliseconds or ISO text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from sfsync.simulators.org.model import FieldType, Row, SObject
from sfsync.simulators.org.soql.conditions import compile_condition
from sfsync.simulators.org.soql.dates import midnight
from sfsync.simulators.org.soql.errors import malformed, pointed
from sfsync.simulators.org.soql.operands import Operand
from sfsync.simulators.org.soql.parser import parse_conditions
from sfsync.simulators.org.soql.syntax import (
    All,
    Call,
    Comparison,
    Condition,
    Expression,
    Literal,
    Membership,
    Not,
    Query,
    Some,
)

_HEADER = "ChangeEventHeader"
_HEADER_FIELDS = (
    "entityName",
    "changeType",
    "changeOrigin",
    "transactionKey",
    "sequenceNumber",
    "commitTimestamp",
    "commitNumber",
    "commitUser",
)


@dataclass(frozen=True, slots=True)
class _EventScope:
    """The `Scope` of a condition on events: any name is a field, and there are no tables."""

    source: str
    now: datetime
    null_matches_not_equal: bool

    def operand(self, expression: Expression) -> Operand:
        if isinstance(expression, Call):
            raise malformed(self.source, expression.position, f"unexpected token: '{expression.function}'")
        path = expression.path
        return Operand(_reader(path), None, ".".join(path))

    def values_of(self, query: Query) -> Collection[Any]:
        raise malformed(self.source, query.position, "unexpected token: 'SELECT'")


def _reader(path: tuple[str, ...]) -> Callable[[Row], Any]:
    if len(path) == 1:
        name = path[0]
        return lambda event: event.get(name)

    def nested(event: Row) -> Any:
        found: Any = event
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    return nested


def compile_conditions(
    text: str, *, null_matches_not_equal: bool = True, clock: Callable[[], datetime] | None = None
) -> Callable[[Mapping[str, object]], bool]:
    """A filter expression as a function of an event's fields. Raises `SoqlError` when it cannot be read.

    `clock` gives the instant that date literals such as TODAY mean; the machine's when it is not given.
    """
    tell_time = clock or _machine_time
    parsed = parse_conditions(text)

    @lru_cache(maxsize=2)
    def of_day(day: date) -> Callable[[Row], bool]:
        return compile_condition(parsed, _EventScope(text, midnight(day), null_matches_not_equal))

    def matches(event: Row) -> bool:
        return of_day(tell_time().astimezone(UTC).date())(event)

    timeless = of_day(tell_time().astimezone(UTC).date())
    names_a_day = any(literal.kind == "named" for leaf in _leaves(parsed) for literal in _literals(leaf))
    return matches if names_a_day else timeless


def _machine_time() -> datetime:
    return datetime.now(UTC)


def _leaves(condition: Condition) -> Iterator[Comparison | Membership]:
    """The comparisons of a condition."""
    if isinstance(condition, (All, Some)):
        for part in condition.conditions:
            yield from _leaves(part)
    elif isinstance(condition, Not):
        yield from _leaves(condition.condition)
    else:
        yield condition


def _literals(leaf: Comparison | Membership) -> Sequence[Literal]:
    if isinstance(leaf, Comparison):
        return (leaf.right,)
    return () if isinstance(leaf.values, Query) else leaf.values


def check_filter(text: str, sobject: SObject) -> None:
    """Whether a channel member may filter `sobject` by this expression; raises `SoqlError` when not.

    The rules of an org: fields of the object and plain header fields, no relationships, no `IsDeleted`; a
    date/time only by `=` and `!=`.
    """
    compile_conditions(text)
    for leaf in _leaves(parse_conditions(text)):
        _check_leaf(text, leaf, sobject)


def _check_leaf(text: str, leaf: Comparison | Membership, sobject: SObject) -> None:
    if isinstance(leaf.left, Call):
        return
    *hops, name = leaf.left.path
    shown = ".".join(leaf.left.path)
    field = None if hops else sobject.fields.get(name)
    known = name in _HEADER_FIELDS if hops == [_HEADER] else field is not None
    if not known or name == "IsDeleted":
        message = f"{shown} is not a field that events of {sobject.name} can be filtered by"
        raise pointed("INVALID_FIELD", text, leaf.left.position, message)
    moment = field is not None and field.type is FieldType.DATETIME
    if moment and isinstance(leaf, Comparison) and leaf.operator not in ("=", "!="):
        message = f"{shown} is a date/time: events can be filtered by it with = and != alone"
        raise pointed("INVALID_FIELD", text, leaf.left.position, message)
