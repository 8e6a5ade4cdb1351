"""The life of a one-of-one piece, as its ledger tells it: received, promised, moved, sold, counted.

Rows that one step entered together are one event: a transfer leaves here and arrives there, a reservation
passes to the order that it was sold on. Which rows belong together is seen by their moment, what they are
about and what they refer to: the org keeps whole seconds only, in which several things may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .fold import LedgerRow
from .promises import GAVE_WAY
from .stock import Movement, MovementKind

TOGETHER = timedelta(seconds=2)  # within which the org writes down all rows of one request
NOT_SFSYNC = "somebody in the org"
Naming = Callable[[str], str]  # what people call a subject: "order #1001 of london"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to it in one step. The deltas are of all its levels together, in units."""

    at: datetime  # when the org had it
    happened_at: datetime
    what: str
    places: tuple[str, ...]  # locations, the one it left first
    on_hand: int
    reserved: int
    subject: str  # what it is about; of a promise that passes on, whose it is from then on
    reference: str
    by_sfsync: bool
    folded: Mapping[str, int] = field(default_factory=dict)  # units on hand by subject, of older movements


def life(rows: Iterable[LedgerRow], name: Naming) -> list[Event]:
    """The events of a piece, oldest first. `rows` are its levels', those of each in the order entered."""
    return [_event(act, name) for act in _acts(sorted(rows, key=lambda row: row.created_at))]


def _acts(rows: Iterable[LedgerRow]) -> list[list[LedgerRow]]:
    acts: list[list[LedgerRow]] = []
    lately: list[list[LedgerRow]] = []  # those of which another row may come
    for row in rows:
        lately = [act for act in lately if len(act) == 1 and row.created_at - act[0].created_at <= TOGETHER]
        act = next((act for act in reversed(lately) if _together(act[0], row)), None)
        if act is not None:
            act.append(row)
        else:
            acts.append([row])
            lately.append(acts[-1])
    return acts


def _together(one: LedgerRow, other: LedgerRow) -> bool:
    """True when both were entered by the same step."""
    first, second = one.movement, other.movement
    if not first.subject or not second.subject or first.occurred_at != second.occurred_at:
        return False
    if first.subject == second.subject:  # it moves
        return (
            first.level != second.level
            and first.on_hand_delta == -second.on_hand_delta
            and first.reserved_delta == -second.reserved_delta
        )
    gives, takes = (first, second) if first.kind is MovementKind.RELEASE else (second, first)
    apart = all(each.subject.startswith("allocation:") for each in (first, second))  # each names its channel
    units = gives.reserved_delta
    return (
        first.level == second.level
        and (first.reference == second.reference or apart)
        and gives.kind is MovementKind.RELEASE
        and takes.kind is not MovementKind.RELEASE
        and (takes.on_hand_delta, takes.reserved_delta) in ((0, -units), (units, 0))  # anew, or it leaves
    )


def _event(act: Sequence[LedgerRow], name: Naming) -> Event:
    first, last = act[0], act[-1]
    if last.movement.kind is MovementKind.RELEASE or _change(last) < _change(first):
        first, last = last, first  # who gives it up, then who has it
    return Event(
        first.created_at,
        last.happened_at,
        _words(first, name) if len(act) == 1 else _both(first.movement, last.movement, name),
        tuple(dict.fromkeys(row.movement.level.location for row in (first, last))),
        sum(row.movement.on_hand_delta for row in act),
        sum(row.movement.reserved_delta for row in act),
        last.movement.subject,
        last.movement.reference,
        last.by_sfsync,
        {subject: part.on_hand for subject, part in (first.folded or {}).items()},
    )


def _change(row: LedgerRow) -> int:
    return row.movement.on_hand_delta + row.movement.reserved_delta


def _both(gives: Movement, takes: Movement, name: Naming) -> str:
    """The step of two rows."""
    here, there = gives.level.location, takes.level.location
    if gives.subject == takes.subject:
        if takes.on_hand_delta:
            return f"moved from {here} to {there}"
        return f"kept at {there} instead of {here} for {_holder(takes.subject, name)}"
    if takes.on_hand_delta < 0:
        return f"handed over at {there}: {_holder(gives.subject, name)}"
    return f"{_promised(takes.subject, there, name)}, out of {_holder(gives.subject, name)}"


def _words(row: LedgerRow, name: Naming) -> str:
    """The step of one row."""
    movement = row.movement
    kind, place, units = movement.kind, movement.level.location, movement.on_hand_delta
    if row.folded is not None:
        return f"older movements at {place}, folded into one"
    if kind is MovementKind.VOID:
        return f"asked for in vain at {place} by {_holder(movement.subject, name)}"
    if kind is MovementKind.COUNT:
        more = f"{abs(units)} {'more' if units > 0 else 'less'} than the books said"
        return f"counted at {place}: {more if units else 'as the books say'}"
    if units:
        return _posted(movement, name)
    if movement.reserved_delta > 0:
        return _promised(movement.subject, place, name)
    if movement.reserved_delta < 0:
        if movement.reference.startswith(GAVE_WAY):
            return f"left {place} another way, though promised to {_holder(movement.subject, name)}"
        return f"given back at {place} by {_holder(movement.subject, name)}"
    return f"{kind.word} at {place} that changed nothing"


def _posted(movement: Movement, name: Naming) -> str:
    """The step of one row by which it came or went."""
    kind, place, subject = movement.kind, movement.level.location, movement.subject
    who = _holder(subject, name) if subject.startswith(("order:", "reservation:")) else ""
    words = {
        (MovementKind.OPENING, True): f"there at {place} when its books began",
        (MovementKind.RECEIPT, True): f"received at {place}",
        (MovementKind.SALE, False): f"handed over at {place}: {who}" if who else f"sold at {place}",
        (MovementKind.FULFILMENT, False): f"sent from {place}: sold under {who}"
        if who
        else f"sent from {place}",
        (MovementKind.RETURN, True): f"came back to {place}" + (f" from {who}" if who else ""),
        (MovementKind.TRANSFER, False): f"left {place}",
        (MovementKind.TRANSFER, True): f"arrived at {place}",
    }.get((kind, movement.on_hand_delta > 0))
    if words is None and subject.startswith("transfer:"):
        return f"lost on its way, at {place}"
    if words is None and subject.startswith("late:"):
        return f"taken back at {place}: a count had seen it already"
    return words or f"{kind.word} of {movement.on_hand_delta:+d} at {place}"


def _promised(subject: str, place: str, name: Naming) -> str:
    if subject.startswith("allocation:"):
        return f"set aside at {place} for {subject.split(':')[1]}"
    if subject.startswith("order:"):
        return f"promised at {place} to {_holder(subject, name)}"
    return f"reserved at {place} by {_holder(subject, name)}"


def _holder(subject: str, name: Naming) -> str:
    return name(subject) if subject else NOT_SFSYNC
