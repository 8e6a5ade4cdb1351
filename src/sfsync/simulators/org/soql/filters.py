"""Channel filters: SOQL conditions on an event, without a database.

An event is a mapping of fields; `ChangeEventHeader` is a mapping inside it and is reached by a dotted name.
Instants may be `datetime`, epoch milliseconds or ISO text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sfsync.simulators.org.model import Row, SObject
from sfsync.simulators.org.soql.conditions import Operand, compile_condition
from sfsync.simulators.org.soql.errors import malformed, pointed
from sfsync.simulators.org.soql.parser import parse_conditions
from sfsync.simulators.org.soql.syntax import (
    All,
    Call,
    Comparison,
    Condition,
    Expression,
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
    text: str, *, null_matches_not_equal: bool = True, now: datetime | None = None
) -> Callable[[Mapping[str, object]], bool]:
    """A filter expression as a function of an event's fields. Raises `SoqlError` when it cannot be read.

    `now` is the instant that date literals such as TODAY mean; the present one when it is not given.
    """
    scope = _EventScope(text, now or datetime.now(UTC), null_matches_not_equal)
    return compile_condition(parse_conditions(text), scope)


def check_filter(text: str, sobject: SObject) -> None:
    """Whether a channel member may filter `sobject` by this expression; raises `SoqlError` when not.

    The rules of an org: fields of the object and plain header fields, no relationships, no `IsDeleted`.
    """
    compile_conditions(text)
    _check(text, parse_conditions(text), sobject)


def _check(text: str, condition: Condition, sobject: SObject) -> None:
    if isinstance(condition, (All, Some)):
        for part in condition.conditions:
            _check(text, part, sobject)
    elif isinstance(condition, Not):
        _check(text, condition.condition, sobject)
    else:
        _check_field(text, condition, sobject)


def _check_field(text: str, condition: Comparison | Membership, sobject: SObject) -> None:
    if isinstance(condition.left, Call):
        return
    *hops, name = condition.left.path
    known = name in _HEADER_FIELDS if hops == [_HEADER] else not hops and name in sobject.fields
    if not known or name == "IsDeleted":
        shown = ".".join(condition.left.path)
        message = f"{shown} is not a field that events of {sobject.name} can be filtered by"
        raise pointed("INVALID_FIELD", text, condition.left.position, message)
