"""An order line's next steps: what its newest snapshot wants, less what the ledger holds for it.

Created, edited, part-cancelled, fulfilled, refunded: each is only another snapshot. The wanted net effect
is compared with the rows that the line's subject has, and the difference is the next step; so snapshots may
come twice, late, reversed or from two sources.

Order lines (`open_quantity` is what still has to be delivered):

    reserved  = open_quantity
    on hand   = returned_quantity - fulfilled_quantity

Goods that come back go to where they left from, or to the location that the house's rules name for returns
(`LineFacts.returns_to`): there they wait, not for sale, until a person releases them by a transfer.

What was sent before it was heard of is claimed as if it had been heard of in time, and then sent: out of the
reservation it was sold on, then of its channel's allocation. Else it left from where nobody was promised it.

Of one-of-one pieces each has a level of its own. A line that names no piece takes whichever are there; what
comes back is the very piece that left. A line that comes to name another piece is given that one, as soon as
it is to be had.

A line that comes to name another SKU gives up what it has of the one before, whether there is any of its own
or not: nobody is sent the wrong goods. What has left stays where it was entered: whether other goods left, or
only their name was corrected, no source tells.

What a shop handed over of the reservation that the line was sold on has left (`LineFacts.handed_over`),
whether its channel says so before, after or never: it counts once. What a boutique keeps for the customer to
fetch (`LineFacts.kept`) is the line's there, whatever it took elsewhere before it knew of it, and wherever
its channel would send it from.

Where the channel says which of its locations sends which units (`places`), each of them has the levels that
its units draw on. Units reserved elsewhere are moved there, both rows or neither, as soon as the org has them
there; until then they stay where they are, for a promise covered at the wrong place is better than none. So
too where a location has none to give: the line takes what its channel has elsewhere, its allocation first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import permutations

from .moments import Moment, next_moment
from .places import LinePlace, matched
from .stock import LevelKey, Movement, MovementKind, step_key
from .values import quick, replace

# For so long an order may be missing from its channel's own list, unless the settings say otherwise.
ORDERS_LAG = timedelta(minutes=10)


class MoneyBack(StrEnum):
    """How much of an order's money its channel says has gone back to the customer."""

    NONE = "none"  # or the channel does not say
    SOME = "some"
    ALL = "all"


@quick
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
    places: tuple[LinePlace, ...] = ()  # where the units stand at the channel, as far as it says
    routed: bool = field(default=False, compare=False)  # it says so of every open unit
    mapped_from: str = field(default="", compare=False)  # what its source calls the SKU (`sku_mapping`)
    refunded_quantity: int = field(default=0, compare=False)  # units that its refunds name, sent or not
    left: tuple[Moment, ...] = field(default=(), compare=False)  # when units left, as far as its source tells
    came_back: tuple[Moment, ...] = field(default=(), compare=False)  # and when they came back


@quick
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
    read_at: datetime | None = None  # when we began to read it at the channel; None when it was sent to us
    client: str = ""  # whose order it is, when the channel says so in the words of the reservation API
    money_back: MoneyBack = MoneyBack.NONE
    unreadable: str = ""  # why nothing else is known of it: it is set aside, and hides no other order


def unreadable(channel: str, order_id: object, reason: str) -> OrderSnapshot:
    """An order in a channel's list that cannot be read."""
    number = str(order_id or "without a number")
    never = datetime.fromtimestamp(0, UTC)
    return OrderSnapshot(channel, number, number, never, never, (), unreadable=reason)


def whole_units(value: object) -> int:
    """A quantity as a channel tells it. `ValueError`: it is no whole number from 0."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"the quantity {value!r:.40} is not a whole number")
    if value < 0:
        raise ValueError(f"the quantity is {value}, less than nothing")
    return value


@dataclass(frozen=True, slots=True)
class Holding:
    """What another subject holds that this line may claim: a reservation it was sold on, or an allocation."""

    subject: str
    level: LevelKey
    reserved: int
    next_step: int
    takes_back: bool = False  # an allocation: what the line gives up goes back to it, not to the pool
    gone: bool = False  # units of an allocation that have left: nothing on hand covers them


@quick
@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """What stands at one of the channel's locations, and the levels it draws on: best first, not empty."""

    sources: Sequence[LevelKey]
    open_quantity: int = 0
    fulfilled_quantity: int = 0
    returned_quantity: int = 0
    left: Sequence[Moment] = ()  # when units left from here
    came_back: Sequence[Moment] = ()


@quick
@dataclass(frozen=True, slots=True)
class LineFacts:
    """Everything the next step of one line depends on."""

    subject: str
    line: OrderLine
    rows: Sequence[Movement]  # the subject's rows in the ledger, all answered
    next_step: int  # one more than the highest step among them
    # Levels it may draw on, best first; not empty. Those of its places, then those of the channel's others.
    sources: Sequence[LevelKey]
    sellable: Mapping[LevelKey, int]
    holdings: Sequence[Holding]
    asked_in_vain: bool  # the org has refused this need: ask again only for what a level shows
    reference: str
    version: str
    occurred_at: (
        datetime  # when the order changed to what it wants now; of units without a moment of their own
    )
    returns_to: LevelKey | None = None  # where returned goods go; None: to where they left from
    places: Sequence[PlaceFacts] = ()  # where the channel says which location sends what
    room: int | None = None  # units that its limited edition may still give it; None: of no edition
    # Units that a shop gave to the customer out of the line's reservations, by level: sold in their name.
    handed_over: Mapping[LevelKey, int] = field(default_factory=dict)
    # Units that a boutique keeps for the customer to fetch, by level: the reservation's still, or the line's.
    kept: Mapping[LevelKey, int] = field(default_factory=dict)
    # Of `sellable`, what may be promised to somebody who is not in the shop: not the last pieces of a floor,
    # nor what a location keeps. The others are drawn on last. Levels that are missing promise all they have.
    promised: Mapping[LevelKey, int] = field(default_factory=dict)
    # Levels that have nothing but what others were promised elsewhere: the org is not even asked there.
    others: Set[LevelKey] = frozenset()
    # As `sellable`, to promises of the line itself that follow the goods; None: the same.
    follows: Mapping[LevelKey, int] | None = None
    on_hand: Mapping[LevelKey, int] = field(default_factory=dict)  # by the books, less what is leaving
    theirs: Set[LevelKey] = frozenset()  # pieces that somebody was promised


@quick
@dataclass(frozen=True, slots=True)
class NextStep:
    """One bundle to enter, after whose answer the line is looked at again; or nothing.

    `uncovered` units are wanted by the customer and not to be had: the order was accepted elsewhere and the
    org cannot cover it; `beyond` of them its limited edition does not give. `misplaced` units are covered,
    but not where the channel will send them from.
    """

    bundle: tuple[Movement, ...] = ()
    uncovered: int = 0
    misplaced: int = 0
    beyond: int = 0


def next_step(facts: LineFacts) -> NextStep:
    """The line's next step; empty when the ledger already holds what the snapshot wants.

    One step at a time, because the number of the one after it depends on whether this one was entered.
    """
    facts = _with_kept(_with_handed_over(facts))
    reserved: dict[LevelKey, int] = defaultdict(int)
    on_hand: dict[LevelKey, int] = defaultdict(int)
    for row in facts.rows:
        reserved[row.level] += row.reserved_delta
        on_hand[row.level] += row.on_hand_delta
    for level, units in facts.handed_over.items():
        on_hand[level] -= units

    if (wrong := _fullest(_of_other_goods(facts, reserved))) is not None:
        return _alone(facts, wrong, MovementKind.RELEASE, reserved=-reserved[wrong])
    if (unheard := _left_and_came_back(facts)) is not None:
        return _ship(facts, *unheard, reserved, on_hand)
    put = _put_back(facts, on_hand)
    ship = facts.line.fulfilled_quantity + sum(on_hand.values())
    if facts.returns_to is None:
        ship -= facts.line.returned_quantity  # they come back to where they left from
    if ship > 0:
        return _ship(facts, ship, _owed(facts, on_hand), reserved, on_hand)
    if ship < 0:
        return _take_back(facts, -ship, on_hand)
    owed = _owed(facts, on_hand)
    if owed and min(owed) < 0 < max(owed):  # heard of together: sent from here, and brought back there
        return _ship(facts, min(max(owed), -min(owed)), owed, reserved, on_hand)
    back = facts.line.returned_quantity - sum(put.values())
    if facts.returns_to is not None and back:
        level, units = _to_returns(facts.returns_to, back, put, on_hand)
        if units > 0:
            entered = facts.line.returned_quantity - back
            facts, units = _dated(facts, facts.line.came_back, entered, units)
        return _alone(facts, level, MovementKind.RETURN, on_hand=units)

    if (mended := _made_good(facts, reserved)) is not None:
        return mended
    change = facts.line.open_quantity - sum(units for units in reserved.values() if units > 0)
    if change > 0:
        return _raise_within(facts, change, reserved)
    if change < 0:
        return _give_up(facts, -change, _not_needed(facts, reserved))
    step = _put_in_place(facts, reserved)
    lost = -sum(units for units in reserved.values() if units < 0)
    return step if step.bundle else replace(step, uncovered=lost)


def completes(facts: LineFacts, step: NextStep) -> bool:
    """True when nothing is left to do for the line once this step is entered exactly as it asks.

    Whatever else changes meanwhile: it has all that it wants then, at places where it may stay.
    """
    own = [row for row in step.bundle if row.subject == facts.subject]
    after = replace(facts, rows=(*facts.rows, *own), next_step=facts.next_step + len(own))
    return next_step(after) == NextStep()


def handed_to(
    line_ids: Sequence[str], lines: Mapping[str, OrderLine], handed: Mapping[LevelKey, int], line_id: str
) -> dict[LevelKey, int]:
    """What of the units handed over belongs to one line, where several lines share their reservations.

    Each takes what it was sold, in the order of `line_ids`: those come first that were sold on them first, so
    that no order which comes later changes what has left for another. What is beyond all left by itself.
    """
    left = dict(handed)
    for each in line_ids:
        wants = lines[each].open_quantity + lines[each].fulfilled_quantity
        taken: dict[LevelKey, int] = {}
        for level in sorted(left):
            units = min(wants, left[level])
            if units > 0:
                taken[level] = units
                left[level] -= units
                wants -= units
        if each == line_id:
            return taken
    return {}


def _with_handed_over(facts: LineFacts) -> LineFacts:
    """What has been handed over has been sent, although the channel may not know it yet."""
    more = sum(facts.handed_over.values()) - facts.line.fulfilled_quantity
    if more <= 0:
        return facts
    line = replace(
        facts.line,
        open_quantity=facts.line.open_quantity - more,
        fulfilled_quantity=facts.line.fulfilled_quantity + more,
    )
    places = list(facts.places)
    order = sorted(range(len(places)), key=lambda at: not set(places[at].sources) & set(facts.handed_over))
    for at in order:
        part = min(more, places[at].open_quantity)
        places[at] = replace(
            places[at],
            open_quantity=places[at].open_quantity - part,
            fulfilled_quantity=places[at].fulfilled_quantity + part,
        )
        more -= part
    return replace(facts, line=line, places=places)


def _with_kept(facts: LineFacts) -> LineFacts:
    """What a boutique keeps is at a place of its own, whatever the channel's say."""
    line, kept = facts.line, list[PlaceFacts]()
    places = list(facts.places)
    if not places:
        units = line.open_quantity, line.fulfilled_quantity, line.returned_quantity
        places = [PlaceFacts(facts.sources, *units, line.left, line.came_back)]
    for level, most in sorted(facts.kept.items()):
        left = most
        for at in sorted(range(len(places)), key=lambda at: level not in places[at].sources):
            part = min(left, places[at].open_quantity)
            places[at] = replace(places[at], open_quantity=places[at].open_quantity - part)
            left -= part
        if left < most:
            kept.append(PlaceFacts((level,), most - left))
    return replace(facts, places=[*kept, *places]) if kept else facts


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


def _left_and_came_back(facts: LineFacts) -> tuple[int, list[int]] | None:
    """Units that left and came back to where they left from before anybody heard of it; as of each place.

    They leave the shelf as it was, and yet are entered as two steps with a moment each: a count in between
    saw the empty shelf. Which of them the ledger has, its rows say before anything is taken off against
    anything else; where some are folded nobody knows, and without moments nothing would come of it.
    """
    if facts.returns_to is not None or len(facts.rows) != facts.next_step:
        return None
    out, back = defaultdict(int, facts.handed_over), 0
    for row in facts.rows:
        out[row.level] += max(0, -row.on_hand_delta)
        back += max(0, row.on_hand_delta)
    line, gone = facts.line, sum(out.values())
    if line.fulfilled_quantity <= gone or line.returned_quantity <= back:
        return None
    if next_moment(line.left, gone, 1)[0] is None or next_moment(line.came_back, back, 1)[0] is None:
        return None
    entered = matched(out, [(place.sources, place.fulfilled_quantity) for place in facts.places])
    owed = [
        place.fulfilled_quantity - sum(part.values())
        for place, part in zip(facts.places, entered, strict=True)
    ]
    return line.fulfilled_quantity - gone, owed


def _ship(
    facts: LineFacts,
    units: int,
    owed: Sequence[int],
    reserved: Mapping[LevelKey, int],
    on_hand: Mapping[LevelKey, int],
) -> NextStep:
    """Goods left: from where they were reserved, or carried; what was never reserved, as `_unreserved` says.

    Where the channel says which location sent them (`owed`, of each place) they left from there, and what was
    reserved for them elsewhere is given back in the same bundle.
    """
    if not owed or max(owed) <= 0:
        line = facts.line
        facts, units = _dated(facts, line.left, line.fulfilled_quantity - units, units)
        level = _fullest(reserved)
        if level is None:
            return _unreserved(facts, units, facts.sources, on_hand)
        return _sent(facts, level, min(units, reserved[level]), facts.sources)
    place = facts.places[owed.index(max(owed))]
    facts, units = _dated(facts, place.left, place.fulfilled_quantity - max(owed), min(units, max(owed)))
    spare = _not_needed(facts, reserved)
    level = _fullest(_among(spare, place.sources)) or _fullest(_among(reserved, place.sources))
    if level is not None:
        return _sent(facts, level, min(units, reserved[level]), place.sources)
    elsewhere = _fullest(spare)
    if elsewhere is None:
        return _unreserved(facts, units, place.sources, on_hand)
    units = min(units, spare[elsewhere])
    for own in _claims(facts, place.sources):
        if own.takes_back and not own.gone:
            return _put(facts, elsewhere, own.level, min(units, own.reserved), own)
    level, part = _unclaimed(facts, place.sources, units) or _unasked(facts, place.sources, units, on_hand)
    rows = _released(facts, elsewhere, part)
    left = _movement(facts, facts.subject, facts.next_step + 1, level, MovementKind.FULFILMENT, -part, 0)
    return NextStep((*rows, left))


def _unreserved(
    facts: LineFacts, units: int, sources: Sequence[LevelKey], on_hand: Mapping[LevelKey, int]
) -> NextStep:
    """Goods left that the line had not reserved: its order was heard of when they were gone.

    What it was sold on is claimed, as if it had been heard of in time, and then leaves. Else they left from
    where there are units that nobody was promised. What has left of its channel's allocation is claimed last.
    """
    able = sorted(_claims(facts, sources), key=lambda holding: holding.takes_back)
    for holding in able:
        if not holding.gone:
            return _moved(facts, holding, min(units, holding.reserved))
    found = _unclaimed(facts, sources, units)
    if able and found is None:
        return _moved(facts, able[0], min(units, able[0].reserved))
    level, part = found or _unasked(facts, sources, units, on_hand)
    rows: list[Movement] = []
    if able:
        gone = able[0]
        part = min(part, gone.reserved)
        released = MovementKind.RELEASE
        rows = [_movement(facts, gone.subject, gone.next_step, gone.level, released, 0, -part)]
    left = _movement(facts, facts.subject, facts.next_step, level, MovementKind.FULFILMENT, -part, 0)
    return NextStep((*rows, left))


def _unclaimed(facts: LineFacts, sources: Sequence[LevelKey], units: int) -> tuple[LevelKey, int] | None:
    """Where goods left from that nobody was promised, and how many; None where no level has any."""
    return source(units, sources, facts.sellable, facts.promised)


def _sent(facts: LineFacts, level: LevelKey, units: int, sources: Sequence[LevelKey]) -> NextStep:
    """Reserved units left: from their level; where the books have none, from where they were carried.

    That is a level with units that nobody else was promised; where there is none, nobody can tell.
    """
    there = facts.on_hand.get(level, units)
    if there <= 0:
        others = [each for each in sources if each != level and each.unit == level.unit]
        follows = facts.sellable if facts.follows is None else facts.follows
        if others and (found := source(units, others, follows, facts.promised)) is not None:
            carried_to, part = found
            step, kind = facts.next_step, MovementKind.FULFILMENT
            given = _movement(facts, facts.subject, step, level, MovementKind.RELEASE, 0, -part)
            return NextStep((given, _movement(facts, facts.subject, step + 1, carried_to, kind, -part, 0)))
    elif there < units:
        units = there  # of what is left a step of its own tells
    return _alone(facts, level, MovementKind.FULFILMENT, on_hand=-units, reserved=-units)


def _dated(facts: LineFacts, told: Sequence[Moment], entered: int, units: int) -> tuple[LineFacts, int]:
    """The facts at the moment of the next units, and how many of them have it: one step has one moment."""
    at, units = next_moment(told, entered, units)
    return (facts if at is None else replace(facts, occurred_at=min(at, facts.occurred_at))), units


def _take_back(facts: LineFacts, units: int, on_hand: Mapping[LevelKey, int]) -> NextStep:
    """Goods came back: to where they left from, or to the location that the channel names."""
    owed = _owed(facts, on_hand)
    told = facts.returns_to is None  # else it has left after all: a parcel was called off
    if not owed or min(owed) >= 0:
        line = facts.line
        facts, units = _dated(facts, line.came_back if told else (), line.returned_quantity - units, units)
        return _returned(facts, *_return_level(on_hand, facts.sources, units))
    place = facts.places[owed.index(min(owed))]
    entered = place.returned_quantity + min(owed)
    facts, units = _dated(facts, place.came_back if told else (), entered, min(units, -min(owed)))
    return _returned(facts, *_return_level(_among(on_hand, place.sources), place.sources, units))


def _returned(facts: LineFacts, level: LevelKey, units: int) -> NextStep:
    """Goods are back at a level. What the channel has put on its own number again is reserved for it at once.

    Both in one bundle: from the pool, another channel could take the very unit that it shows. A posting must
    not be lost over that, so where the org has refused it, as goods that have been promised twice, the return
    is entered alone.
    """
    line, kind = facts.line, MovementKind.RETURN
    on_show = line.open_quantity + line.fulfilled_quantity - line.taken_quantity >= line.returned_quantity
    if on_show and not facts.asked_in_vain:
        for own in facts.holdings:
            if own.takes_back and own.level == level:
                back = _movement(facts, facts.subject, facts.next_step, level, kind, units, 0)
                allocated = MovementKind.ALLOCATION
                ours = _movement(facts, own.subject, own.next_step, level, allocated, 0, units)
                return NextStep((back, ours))
    return _alone(facts, level, kind, on_hand=units)


def _put_back(facts: LineFacts, on_hand: dict[LevelKey, int]) -> dict[LevelKey, int]:
    """Takes out what went to the house's location for returns, by level: each piece has one of its own."""
    home = facts.returns_to
    if home is None:
        return {}
    return {level: on_hand.pop(level) for level in list(on_hand) if level.location == home.location}


def _to_returns(
    home: LevelKey, units: int, put: Mapping[LevelKey, int], on_hand: Mapping[LevelKey, int]
) -> tuple[LevelKey, int]:
    """The level for returns, and how many go there now: the very pieces that left, one at a time."""
    if units < 0:  # fewer came back than was said before
        level = max(put, key=lambda key: (put[key], key.unit or ""))
        return level, max(units, -put[level])
    gone = [level for level, change in on_hand.items() if change < 0 and level.unit is not None]
    for level in sorted(gone):
        there = LevelKey(home.sku, home.location, level.unit)
        if put.get(there, 0) <= 0:
            return there, 1
    return home, units


def _unasked(
    facts: LineFacts, sources: Sequence[LevelKey], units: int, on_hand: Mapping[LevelKey, int]
) -> tuple[LevelKey, int]:
    """Where goods left from that nobody has by the books, and how many: the first source.

    Of pieces one that has not left yet, and none that was promised to somebody else, where there is any.
    """
    here = [level for level in sources if level.unit is None or on_hand.get(level, 0) >= 0]
    free = [level for level in here if level.unit is None or level not in facts.theirs]
    level = (free or here or sources)[0]
    return level, units if level.unit is None else 1


def _owed(facts: LineFacts, on_hand: Mapping[LevelKey, int]) -> list[int]:
    """For each place, units that left from there and are not entered yet; negative when they came back.

    What left from one place and came back to another is owed by neither where both may draw on one level.
    What left from a level that no place draws on any more has left: the settings may have changed since.
    """
    wants = [
        place.fulfilled_quantity - (place.returned_quantity if facts.returns_to is None else 0)
        for place in facts.places
    ]
    sources = [place.sources for place in facts.places]
    owed = list(wants)
    for sign in (1, -1):  # what left, then what came back
        entered = {level: -sign * units for level, units in on_hand.items() if -sign * units > 0}
        for here, part in enumerate(
            matched(entered, [(each, max(0, sign * want)) for each, want in zip(sources, wants, strict=True)])
        ):
            owed[here] -= sign * sum(part.values())
            for level, units in part.items():
                entered[level] -= units
        for level, units in entered.items():  # more than the place wants: the rest has been undone there
            for at in [n for n, each in enumerate(sources) if level in each][:1]:
                owed[at] -= sign * units
    for one, other in permutations(range(len(owed)), 2):
        if owed[one] > 0 > owed[other] and set(sources[one]) & set(sources[other]):
            both = min(owed[one], -owed[other])
            owed[one] -= both
            owed[other] += both
    return owed


def _return_level(
    on_hand: Mapping[LevelKey, int], sources: Sequence[LevelKey], units: int
) -> tuple[LevelKey, int]:
    """Goods come back to where they left from; of pieces, each to its own level."""
    shipped = [level for level, change in on_hand.items() if change < 0]
    if not shipped:
        absent = [level for level in sources if level.unit is None or on_hand.get(level, 0) <= 0]
        level = (absent or sources)[0]
        return level, units if level.unit is None else 1
    level = min(shipped, key=lambda key: (on_hand[key], key))
    return level, units if level.unit is None else min(units, -on_hand[level])


def _needs(facts: LineFacts, reserved: Mapping[LevelKey, int]) -> list[tuple[PlaceFacts, int]]:
    """The places whose open units are not all reserved where they are to be sent from, and how many."""
    given = _given(facts, reserved)
    short = [
        (place, place.open_quantity - sum(part.values()))
        for place, part in zip(facts.places, given, strict=True)
    ]
    return [(place, units) for place, units in short if units > 0]


def _not_needed(facts: LineFacts, reserved: Mapping[LevelKey, int]) -> dict[LevelKey, int]:
    """Units reserved where no place needs them: all of them, where the channel names no places."""
    spare = dict(reserved)
    for part in _given(facts, reserved):
        for level, units in part.items():
            spare[level] -= units
    return spare


def _of_other_goods(facts: LineFacts, reserved: Mapping[LevelKey, int]) -> dict[LevelKey, int]:
    """What is reserved of another SKU than the line's: its source has corrected that since."""
    return {level: units for level, units in reserved.items() if level.sku != facts.line.sku}


def _given(facts: LineFacts, reserved: Mapping[LevelKey, int]) -> list[dict[LevelKey, int]]:
    return matched(reserved, [(place.sources, place.open_quantity) for place in facts.places])


def _among(units: Mapping[LevelKey, int], levels: Sequence[LevelKey]) -> dict[LevelKey, int]:
    return {level: part for level, part in units.items() if level in levels}


def _raise_within(facts: LineFacts, units: int, reserved: Mapping[LevelKey, int]) -> NextStep:
    """Ask for what is open, as far as its edition gives it."""
    may = units if facts.room is None else max(0, min(units, facts.room))
    step = _raise_where_needed(facts, may, reserved) if may else NextStep()
    return step if step.bundle else NextStep(uncovered=units, beyond=units - may)


def _raise_where_needed(facts: LineFacts, units: int, reserved: Mapping[LevelKey, int]) -> NextStep:
    """Ask for what is open, at each place in turn that has too few; then wherever the line may draw on."""
    left, needs = units, _needs(facts, reserved)
    for place, short in needs:
        part = min(left, short)
        if part and (step := _raise(facts, part, place.sources)).bundle:
            return step
        left -= part
    if (step := _raise(facts, units, facts.sources)).bundle:
        return step
    if facts.asked_in_vain:
        return NextStep(uncovered=units)
    # Nothing seems to be there, but only the org may say no: of all but what others were promised.
    for sources, short in (*((place.sources, short) for place, short in needs), (facts.sources, units)):
        if asked := [level for level in sources if level not in facts.others]:
            part = min(units, short) if asked[0].unit is None else 1
            return _alone(facts, asked[0], MovementKind.ORDER, reserved=part)
    return NextStep(uncovered=units)


def _raise(facts: LineFacts, units: int, sources: Sequence[LevelKey]) -> NextStep:
    """Claim what the line was sold on first, then ask, at levels that seem to have it.

    Its channel's allocation is claimed where it is among these levels. What has left of it is claimed last:
    the line was sold out of that, but other units are taken for it where there are any.
    """
    able = _claims(facts, sources)
    for holding in able:
        if not holding.gone:
            return _moved(facts, holding, min(units, holding.reserved))
    asked = source(units, sources, facts.sellable, facts.promised)
    if able:
        gone = able[0]
        part = min(units, gone.reserved)
        if asked is None or facts.asked_in_vain:
            return _moved(facts, gone, part)
        level, there = asked
        return _instead(facts, gone, level, min(part, there))
    if asked is None:
        return NextStep()
    level, part = asked
    return _alone(facts, level, MovementKind.ORDER, reserved=part)


def _claims(facts: LineFacts, sources: Sequence[LevelKey]) -> list[Holding]:
    """What the line may claim where it draws on these levels: reservations of whatever level, these first."""
    near = sorted(facts.holdings, key=lambda holding: holding.level not in sources)
    return [
        each for each in near if each.reserved > 0 and not (each.takes_back and each.level not in sources)
    ]


def _instead(facts: LineFacts, gone: Holding, level: LevelKey, units: int) -> NextStep:
    """`units` at another level for as many that have left, which the allocation gives up together with it."""
    released = _movement(facts, gone.subject, gone.next_step, gone.level, MovementKind.RELEASE, 0, -units)
    taken = _movement(facts, facts.subject, facts.next_step, level, MovementKind.ORDER, 0, units)
    return NextStep((released, taken))


def _made_good(facts: LineFacts, reserved: Mapping[LevelKey, int]) -> NextStep | None:
    """Reserve again where the line holds less than nothing; None: nowhere, or nothing is left there.

    A rewritten ledger has lost the row by which the units were reserved there, and the line gave them up
    later, before anybody knew: at that level others hold more than it says. What the line has too much
    elsewhere is given up in the same bundle.
    """
    level = min((level for level, units in reserved.items() if units < 0), default=None)
    if level is None:
        return None
    able = facts.sellable.get(level, 0)
    units = -reserved[level]
    if facts.asked_in_vain or level in facts.others:
        units = min(units, able)
    if units <= 0:
        return None
    spare = _not_needed(facts, reserved)
    away = _fullest(spare) if facts.line.open_quantity < sum(u for u in reserved.values() if u > 0) else None
    if away is None:
        return _alone(facts, level, MovementKind.ORDER, reserved=units)
    return _put(facts, away, level, min(units, spare[away]), None)


def _put_in_place(facts: LineFacts, reserved: Mapping[LevelKey, int]) -> NextStep:
    """Move what is reserved at another level than the channel will send it from, if the org has it there."""
    needs = _needs(facts, reserved)
    spare = _not_needed(facts, reserved) if needs else {}
    away = _fullest(spare)
    if away is None:
        return NextStep()
    for place, short in needs:
        most = min(short, spare[away])
        for own in facts.holdings:
            claimed = own.takes_back or own.level in facts.kept
            if claimed and not own.gone and own.level in place.sources and own.reserved > 0:
                return _put(facts, away, own.level, min(most, own.reserved), own)
        sellable = facts.sellable if facts.follows is None else facts.follows
        found = source(most, place.sources, sellable, facts.promised)
        if found is not None:
            return _put(facts, away, *found, None)
    return NextStep(misplaced=sum(short for _, short in needs))


def _put(facts: LineFacts, away: LevelKey, level: LevelKey, units: int, holding: Holding | None) -> NextStep:
    """`units` go from one level to another: released here and reserved there, all of it or nothing."""
    rows = _released(facts, away, units)
    if holding is not None:
        given, step = MovementKind.RELEASE, holding.next_step
        rows.append(_movement(facts, holding.subject, step, level, given, 0, -units))
    step = facts.next_step + 1
    rows.append(_movement(facts, facts.subject, step, level, MovementKind.ORDER, 0, units))
    return NextStep(tuple(rows))


def _released(facts: LineFacts, level: LevelKey, units: int) -> list[Movement]:
    """The line gives units up at a level; its channel's allocation there takes them back."""
    rows = [_movement(facts, facts.subject, facts.next_step, level, MovementKind.RELEASE, 0, -units)]
    for own in facts.holdings:
        if own.takes_back and own.level == level:
            taken = MovementKind.ALLOCATION
            rows.append(_movement(facts, own.subject, own.next_step, level, taken, 0, units))
    return rows


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
    units: int,
    sources: Sequence[LevelKey],
    sellable: Mapping[LevelKey, int],
    promised: Mapping[LevelKey, int] | None = None,
) -> tuple[LevelKey, int] | None:
    """Which level to ask for how many units: the first that can give all; else the fullest, what it has.

    What may be promised comes first; only when nothing of it is left, what may not be: the last pieces of a
    shop floor, which may be in a customer's hand, and what a location keeps.
    """
    sure = {key: min(have, (promised or {}).get(key, have)) for key, have in sellable.items()}
    return _source(units, sources, sure) or _source(units, sources, sellable)


def _source(
    units: int, sources: Sequence[LevelKey], able: Mapping[LevelKey, int]
) -> tuple[LevelKey, int] | None:
    for level in sources:
        if able.get(level, 0) >= units:
            return level, units
    fullest = max(sources, key=lambda key: able.get(key, 0))
    part = able.get(fullest, 0)
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


def contradicts(snapshot: OrderSnapshot, line: OrderLine, held_version: datetime, held: OrderLine) -> bool:
    """True for what was sent to us and tells something else of a line under the version that we know.

    Of two words of one moment nobody can tell which came last: the order as it stands does, once it is read.
    Where its units stand is not meant, which a channel finds out without changing the order.
    """
    if snapshot.read_at is not None or snapshot.version != held_version:
        return False
    return _units(line) != _units(held)


def _units(line: OrderLine) -> tuple[object, ...]:
    return line.sku, line.open_quantity, line.fulfilled_quantity, line.returned_quantity, line.taken_quantity
