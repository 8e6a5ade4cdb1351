"""An order line's next steps: what its newest snapshot wants, less what the ledger holds for it.

Created, edited, part-cancelled, fulfilled, refunded: each is only another snapshot. The wanted net effect
is compared with the rows that the line's subject has, and the difference is the next step; so snapshots may
come twice, late, reversed or from two sources.

Order lines (`open_quantity` is what still has to be delivered):

    reserved  = open_quantity
    on hand   = returned_quantity - fulfilled_quantity

Goods that come back go to where they left from, or to the location that the house's rules name for returns
(`LineFacts.returns_to`): there they wait, not for sale, until a person releases them by a transfer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .stock import LevelKey, Movement, MovementKind, step_key


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of an order snapshot, in units.

    `taken_quantity` is what the channel itself has taken off its number for this line so far (sold less
    restocked): it moves what the channel is expected to show, never the ledger.
    """

    line_id: str
    sku: str
    open_quantity: int
    fulfilled_quantity: int = 0
    returned_quantity: int = 0
    taken_quantity: int = 0
    unit: str | None = None
    location: str | None = None  # the org's location code, when the channel names it
    # Units left the order and nobody says whether the channel put them back: only its number tells.
    taken_in_doubt: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """A channel's order as it stood at `version` (the order's own time of last change)."""

    channel: str
    order_id: str
    name: str  # what a person calls it, such as #1001
    version: datetime
    placed_at: datetime
    lines: tuple[OrderLine, ...]
    channel_location: str | None = None  # which of the channel's locations lowered its number, when known
    reservations: tuple[str, ...] = ()  # ids of reservations that this order was sold on


@dataclass(frozen=True, slots=True)
class Holding:
    """What another subject holds that this line may claim: a reservation it was sold on, or an allocation."""

    subject: str
    level: LevelKey
    reserved: int
    next_step: int
    takes_back: bool = False  # an allocation: what the line gives up goes back to it, not to the pool


@dataclass(frozen=True, slots=True)
class LineFacts:
    """Everything the next step of one line depends on."""

    subject: str
    line: OrderLine
    rows: Sequence[Movement]  # the subject's rows in the ledger, all answered
    next_step: int  # one more than the highest step among them
    sources: Sequence[LevelKey]  # levels it may draw on, best first; not empty
    sellable: Mapping[LevelKey, int]
    holdings: Sequence[Holding]
    asked_in_vain: bool  # the org has refused this need: ask again only for what a level shows
    reference: str
    version: str
    occurred_at: datetime  # when the order changed to what it wants now
    returns_to: LevelKey | None = None  # where returned goods go; None: to where they left from


@dataclass(frozen=True, slots=True)
class NextStep:
    """One bundle to enter, after whose answer the line is looked at again; or nothing.

    `uncovered` units are wanted by the customer and not to be had: the order was accepted elsewhere and the
    org cannot cover it.
    """

    bundle: tuple[Movement, ...] = ()
    uncovered: int = 0


def next_step(facts: LineFacts) -> NextStep:
    """The line's next step; empty when the ledger already holds what the snapshot wants.

    One step at a time, because the number of the one after it depends on whether this one was entered.
    """
    reserved: dict[LevelKey, int] = defaultdict(int)
    on_hand: dict[LevelKey, int] = defaultdict(int)
    for row in facts.rows:
        reserved[row.level] += row.reserved_delta
        on_hand[row.level] += row.on_hand_delta

    put = on_hand.pop(facts.returns_to, 0) if facts.returns_to is not None else 0
    ship = facts.line.fulfilled_quantity + sum(on_hand.values())
    if facts.returns_to is None:
        ship -= facts.line.returned_quantity  # they come back to where they left from
    if ship > 0:
        return _ship(facts, ship, reserved)
    if ship < 0:
        return _alone(facts, _return_level(on_hand, facts.sources), MovementKind.RETURN, on_hand=-ship)
    back = facts.line.returned_quantity - put
    if facts.returns_to is not None and back:
        return _alone(facts, facts.returns_to, MovementKind.RETURN, on_hand=back)

    change = facts.line.open_quantity - sum(reserved.values())
    if change > 0:
        return _raise(facts, change)
    if change < 0:
        return _give_up(facts, -change, reserved)
    return NextStep()


def _movement(
    facts: LineFacts,
    subject: str,
    step: int,
    level: LevelKey,
    kind: MovementKind,
    on_hand: int,
    reserved: int,
) -> Movement:
    return Movement(
        step_key(subject, step),
        subject,
        level,
        kind,
        on_hand,
        reserved,
        facts.reference,
        facts.version,
        facts.occurred_at,
    )


def _alone(
    facts: LineFacts, level: LevelKey, kind: MovementKind, *, on_hand: int = 0, reserved: int = 0
) -> NextStep:
    return NextStep((_movement(facts, facts.subject, facts.next_step, level, kind, on_hand, reserved),))


def _moved(facts: LineFacts, holding: Holding, units: int) -> NextStep:
    """`units` go from the holding to the line; back to the holding when negative. Both rows or neither."""
    theirs = MovementKind.RELEASE if units > 0 else MovementKind.ALLOCATION
    ours = MovementKind.ORDER if units > 0 else MovementKind.RELEASE
    return NextStep(
        (
            _movement(facts, holding.subject, holding.next_step, holding.level, theirs, 0, -units),
            _movement(facts, facts.subject, facts.next_step, holding.level, ours, 0, units),
        )
    )


def _fullest(reserved: Mapping[LevelKey, int]) -> LevelKey | None:
    held = [level for level, units in reserved.items() if units > 0]
    return min(held, key=lambda key: (-reserved[key], key)) if held else None


def _ship(facts: LineFacts, units: int, reserved: Mapping[LevelKey, int]) -> NextStep:
    """Goods left: from where they were reserved; what was never reserved, from the first source."""
    level = _fullest(reserved)
    if level is None:
        return _alone(facts, facts.sources[0], MovementKind.FULFILMENT, on_hand=-units)
    part = min(units, reserved[level])
    return _alone(facts, level, MovementKind.FULFILMENT, on_hand=-part, reserved=-part)


def _return_level(on_hand: Mapping[LevelKey, int], sources: Sequence[LevelKey]) -> LevelKey:
    """Goods come back to where they left from."""
    shipped = [level for level, units in on_hand.items() if units < 0]
    return min(shipped, key=lambda key: (on_hand[key], key)) if shipped else sources[0]


def _raise(facts: LineFacts, units: int) -> NextStep:
    """Claim what the line was sold on first, then ask."""
    for holding in facts.holdings:
        part = min(units, holding.reserved)
        if part > 0:
            return _moved(facts, holding, part)
    asked = source(units, facts.sources, facts.sellable)
    if asked is None:
        if facts.asked_in_vain:
            return NextStep(uncovered=units)
        # Nothing seems to be there, but only the org may say no.
        asked = (facts.sources[0], units)
    level, part = asked
    return _alone(facts, level, MovementKind.ORDER, reserved=part)


def _give_up(facts: LineFacts, units: int, reserved: Mapping[LevelKey, int]) -> NextStep:
    level = _fullest(reserved)
    if level is None:
        return NextStep()
    part = min(units, reserved[level])
    for holding in facts.holdings:
        if holding.takes_back and holding.level == level:
            return _moved(facts, holding, -part)
    return _alone(facts, level, MovementKind.RELEASE, reserved=-part)


def source(
    units: int, sources: Sequence[LevelKey], sellable: Mapping[LevelKey, int]
) -> tuple[LevelKey, int] | None:
    """Which level to ask for how many units: the first that can give all; else the fullest, what it has."""
    for level in sources:
        if sellable.get(level, 0) >= units:
            return level, units
    fullest = max(sources, key=lambda key: sellable.get(key, 0))
    part = sellable.get(fullest, 0)
    return (fullest, part) if part > 0 else None


def newer(held_version: datetime | None, snapshot: OrderSnapshot) -> bool:
    """A snapshot older than the newest handled is dropped; an equal one is read again and changes nothing."""
    return held_version is None or snapshot.version >= held_version


def total(rows: Iterable[Movement]) -> tuple[int, int]:
    """(on hand, reserved) of some rows together."""
    on_hand = reserved = 0
    for row in rows:
        on_hand += row.on_hand_delta
        reserved += row.reserved_delta
    return on_hand, reserved
