"""Reservations: what a storefront may ask for before it lets a customer pay.

The life of one::

    pending --granted by the org--> granted --customer paid--> confirmed --order seen, handed over--> settled
       |                               |                          |
       +--> refused                    +--> released              +--> released
                                       +--> expired --paid all the same--> pending --> confirmed
                                                                              +--> paid-unavailable

A pick-up whose units its order has taken over is *ordered*: they are the order's, and the customer has still
to come for them. It is settled when the boutique hands them over, or when its order has nothing open. Moved,
its order's units go with it; its window may pass, and then somebody is told.

A shop may say of whatever is kept for somebody that it does not find it. What nobody has paid for is let go
then. What was paid for is *paid-unavailable*, although its order may hold the units still: the ways out are
the same. Its word counts for what is kept in that shop, and for the articles that it names: what it does not
find of something that was paid for becomes a reservation of its own, and the rest is kept (`parted`).

One that draws on the last pieces of a shop floor whose till does not ask is *awaiting-store* between pending
and granted: the org holds the units, and it counts when the shop has said that it has them in its hand.

A payment after the end, whether it expired, was let go or was refused, is a new ask under the org's rule,
never a silent oversell. When the org cannot
give the units any more the reservation is *paid-unavailable*: the customer's money is here and the goods are
not. Three ways lead out of that state. The same units are taken elsewhere: a move. Others are taken for them:
a *stand-in*, a reservation of its own that the org grants or refuses like any other, and that takes the place
of the paid one in the commit which learns of the grant; for what it does not stand for, the paid one stays
open. Or the money goes back: a task that stays on a list until somebody, or the channel itself, has paid it
back (`domain.refunds`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from .stock import LevelKey, Movement, MovementKind, reservation_subject, step_key
from .values import quick, replace

LONGEST = timedelta(days=30)
REFUSED_LATELY = timedelta(seconds=2)  # for so long a refusal of the org is told to others who ask the same
REFUSED_AGAIN = timedelta(
    seconds=30
)  # and for so long, at most, where the org refused each time it was asked
ORDER_PATIENCE = timedelta(hours=24)  # from a payment to the news of its order
WORD_PATIENCE = timedelta(hours=24)  # from a payment to the word of the shop that has to find the goods
STAND_IN_LIFE = timedelta(
    minutes=15
)  # from the asking for a stand-in to its taking the place of the paid one


class ReservationKind(StrEnum):
    """What the units are held for. The wire words; `KINDS` has the ledger's."""

    CART = "cart"
    ORDER = "order"
    PICK_UP = "pick-up"
    CLIENT = "client"


KINDS = {
    ReservationKind.CART: MovementKind.CART,
    ReservationKind.ORDER: MovementKind.ORDER,
    ReservationKind.PICK_UP: MovementKind.PICK_UP,
    ReservationKind.CLIENT: MovementKind.CLIENT,
}
DEFAULT_LIFE = {
    ReservationKind.CART: timedelta(minutes=15),
    ReservationKind.ORDER: timedelta(hours=24),
    ReservationKind.PICK_UP: timedelta(days=3),
    ReservationKind.CLIENT: timedelta(days=7),
}


class ReservationState(StrEnum):
    """Where a reservation is in its life."""

    PENDING = "pending"
    GRANTED = "granted"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    REFUSED = "refused"
    RELEASED = "released"
    EXPIRED = "expired"
    PAID_UNAVAILABLE = "paid-unavailable"
    AWAITING_STORE = "awaiting-store"
    ORDERED = "ordered"


HOLDING = frozenset({ReservationState.GRANTED, ReservationState.CONFIRMED, ReservationState.AWAITING_STORE})
OPEN = HOLDING | {ReservationState.PENDING}
TO_FETCH = HOLDING | {ReservationState.ORDERED}  # what a boutique has to keep ready for somebody
TAKEN_OVER = frozenset({ReservationState.ORDERED, ReservationState.SETTLED})  # by an order, as a rule
# What ended before anybody had paid. A payment all the same asks the org anew.
ENDED = frozenset({ReservationState.EXPIRED, ReservationState.RELEASED, ReservationState.REFUSED})


@dataclass(frozen=True, slots=True)
class WishedLine:
    """Units of a SKU: at one location, in a named location group, or wherever the channel sells from."""

    sku: str
    quantity: int
    location: str | None = None
    unit: str | None = None
    location_group: str | None = None


@dataclass(frozen=True, slots=True)
class PickUpWindow:
    """When the customer comes to the boutique. What is not collected by its end goes back on sale."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Wish:
    """What a party asks for: all lines or none, unless it takes a part."""

    kind: ReservationKind
    channel: str | None  # whose locations it may draw on; None: any, and then each line says where
    owner: str
    lines: tuple[WishedLine, ...]
    life: timedelta
    partial: bool = False  # whatever there is of each line, rather than nothing
    window: PickUpWindow | None = None
    in_hand: bool = False  # the shop itself asks, with the pieces in its hand
    client: str = ""  # who is to have it, as the asking party calls that person

    def ends(self, now: datetime) -> datetime:
        """When it expires if it is granted now: with its window, or after its life."""
        return now + self.life if self.window is None else self.window.ends


@quick
@dataclass(frozen=True, slots=True)
class ReservationLine:
    """One line: units of a SKU at the level chosen for it, of the units that were wanted there."""

    level: LevelKey
    quantity: int
    wanted: int = -1  # as many as `quantity` when not given
    named: bool = False  # the asking party wants this very piece
    found: bool = False  # the shop where it is has said that it has it in its hand

    def __post_init__(self) -> None:
        if self.wanted < 0:
            object.__setattr__(self, "wanted", self.quantity)


@quick
@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as we keep it."""

    id: str
    state: ReservationState
    kind: ReservationKind
    channel: str | None  # the channel whose customer it is for
    owner: str  # cart, order or client reference at the asking party
    lines: tuple[ReservationLine, ...]
    created_at: datetime
    expires_at: datetime | None  # None once confirmed
    reason: str = ""  # why refused
    order_reference: str = ""  # the order it was paid for
    partial: bool = False
    window: PickUpWindow | None = None
    paid_at: datetime | None = None  # when its order was told to us
    needs_store: bool = False  # the shop has not said that it has the piece, where it is or is to be moved to
    client: str = ""  # who is to have it
    instead_of: str = ""  # the paid one whose place it takes once it is granted, or that it was a part of
    found_at: datetime | None = None  # when the shop where it is said that it has the piece in its hand

    def subjects(self) -> tuple[str, ...]:
        """The ledger subjects of its lines, in order."""
        return tuple(reservation_subject(self.id, number) for number in range(len(self.lines)))

    def due(self) -> tuple[int, ...]:
        """Units of each line that its customer is to have: all, or what was granted where a part will do."""
        part = self.partial and any(line.quantity for line in self.lines)
        return tuple(line.quantity if part else line.wanted for line in self.lines)


def still_due(
    reservation: Reservation, had: Mapping[LevelKey, int], elsewhere: Mapping[str, int] | None = None
) -> tuple[int, ...]:
    """Units of each line that its customer is to have, less what her orders hold or have given her.

    `had` has those by level, `elsewhere` others by SKU. What was had at a line's own level is that line's.
    """
    left, levels = list(reservation.due()), Counter(had)
    for at, line in enumerate(reservation.lines):
        part = min(left[at], max(0, levels[line.level]))
        left[at] -= part
        levels[line.level] -= part
    others = Counter(elsewhere or {})
    for level, units in levels.items():
        others[level.sku] += units
    for at, line in enumerate(reservation.lines):
        part = min(left[at], max(0, others[line.level.sku]))
        left[at] -= part
        others[line.level.sku] -= part
    return tuple(left)


def for_less(reservation: Reservation, units: Sequence[int]) -> Reservation:
    """One that asks for so many units of each line. What is due to its customer in all stays what it was.

    Where a part would have done, she has paid for the part that was granted: all of that is due.
    """
    due = reservation.due()
    less = tuple(units) != due
    return replace(
        reservation,
        partial=reservation.partial and not less,
        lines=tuple(
            replace(line, quantity=asked, wanted=all_of_it if less else line.wanted)
            for line, asked, all_of_it in zip(reservation.lines, units, due, strict=True)
        ),
    )


# What ends by itself when its time is over. Nobody has paid for it yet.
UNTIL_THEN = frozenset({ReservationState.GRANTED, ReservationState.AWAITING_STORE})


def over(reservation: Reservation, now: datetime) -> bool:
    """True for one whose time is over although its units have not been given back yet."""
    ends = reservation.expires_at
    return reservation.state in UNTIL_THEN and ends is not None and ends <= now


def as_told(reservation: Reservation, now: datetime) -> Reservation:
    """What anybody is told of it: expired from the very moment at which its time is over."""
    return replace(reservation, state=ReservationState.EXPIRED) if over(reservation, now) else reservation


def whole(reservation: Reservation, held: Mapping[str, Mapping[LevelKey, int]]) -> bool:
    """True while the ledger holds every unit that it was granted, by subject and level."""
    lines = zip(reservation.subjects(), reservation.lines, strict=True)
    return all(
        sum(max(0, units) for units in held.get(subject, {}).values()) >= line.quantity
        for subject, line in lines
    )


def order_names(reference: str) -> tuple[str, ...]:
    """The ways in which a storefront may write one order: ``#1001``, ``1001``, or its id."""
    bare = reference.strip().removeprefix("#")
    return (bare, f"#{bare}") if bare else ()


_FOR = "for "


def told_channel(reservation: Reservation) -> str:
    """What its rows say as their source's version: whose customer it is for. A new store learns it there."""
    return "" if reservation.channel is None else f"{_FOR}{reservation.channel}"


def channel_told(row: Movement) -> str | None:
    """The channel that a reservation's row says it is for; None when it says none."""
    said = row.source_version
    return said.removeprefix(_FOR) if said.startswith(_FOR) else None


def asks(reservation: Reservation, steps: Sequence[int], now: datetime) -> tuple[Movement, ...]:
    """The movements that ask the org for it. `steps` are the next numbers of its subjects.

    A reservation refused at one place is asked for at another; its void row may have the first number.
    """
    return tuple(
        Movement(
            step_key(subject, step),
            subject,
            line.level,
            KINDS[reservation.kind],
            0,
            line.quantity,
            reservation.owner,
            told_channel(reservation),
            now,
        )
        for subject, step, line in zip(reservation.subjects(), steps, reservation.lines, strict=True)
        if line.quantity
    )


def answered(
    reservation: Reservation, held: Mapping[str, Mapping[LevelKey, int]], reason: str, *, left: int = 0
) -> Reservation:
    """What a reservation is once the org has answered all that was asked for it.

    `held` has the units that each of its subjects holds in the ledger, by level, and `left` those that were
    handed over. One that is pending becomes granted, confirmed when it is already paid for, or is refused;
    one that holds units follows them to where they are now, where the shop's word may be needed, and is
    settled when it holds none any more, or ordered while somebody has still to fetch them. Everything else
    stays as it is.
    """
    places = [
        {level: units for level, units in held.get(subject, {}).items() if units > 0}
        for subject in reservation.subjects()
    ]
    paid = reservation.paid_at is not None
    if reservation.state is ReservationState.PENDING:
        if not any(places):
            state = ReservationState.PAID_UNAVAILABLE if paid else ReservationState.REFUSED
            return replace(reservation, state=state, reason=reason)
        return replace(
            reservation,
            state=_granted(reservation),
            lines=tuple(
                replace(line, quantity=sum(place.values()))
                for line, place in zip(reservation.lines, places, strict=True)
            ),
            expires_at=None if paid else reservation.expires_at,
            reason="",
        )
    if reservation.state in HOLDING:
        if not any(places):
            if reservation.kind is ReservationKind.PICK_UP and not left:
                return replace(reservation, state=ReservationState.ORDERED, expires_at=None)
            return replace(reservation, state=ReservationState.SETTLED)
        pairs = zip(reservation.lines, places, strict=True)
        lines = tuple(_where_held(line, place) for line, place in pairs)
        if lines == reservation.lines:
            # It stays where it was, and so does what the shop there has said or not.
            return replace(reservation, needs_store=reservation.state is ReservationState.AWAITING_STORE)
        return replace(reservation, lines=lines, state=_granted(reservation), found_at=None)
    if reservation.state is ReservationState.ORDERED and left:
        return replace(reservation, state=ReservationState.SETTLED)
    return reservation


def _granted(reservation: Reservation) -> ReservationState:
    if reservation.needs_store:
        return ReservationState.AWAITING_STORE
    return ReservationState.GRANTED if reservation.paid_at is None else ReservationState.CONFIRMED


def takes_place(
    stand_in: Reservation, paid: Reservation | None, owed: Sequence[int] = ()
) -> tuple[Reservation, Reservation | None]:
    """What becomes of a stand-in that the org has granted, and of the one in whose place it was asked.

    It is what the customer has paid for from now on, and the other one is over; both in one commit. Where it
    has fewer pieces than were paid for, the other one goes on with the rest, for which another way must be
    found. Where the other one has found another way meanwhile, nobody needs the stand-in: it is let go.
    `owed` are the units of its lines that no order has had; all that are due when not given.
    """
    if paid is None or paid.state is not ReservationState.PAID_UNAVAILABLE:
        reason = "what it was to stand in for has found another way"
        return replace(stand_in, state=ReservationState.RELEASED, reason=reason), None
    pieces = ", ".join(
        f"{line.quantity} {line.level.sku} at {line.level.location}" for line in stand_in.lines
    )
    taken = replace(
        stand_in, order_reference=paid.order_reference, paid_at=paid.paid_at, expires_at=None, reason=""
    )
    taken = replace(taken, state=_granted(taken))
    reason = f"{pieces} instead: reservation {stand_in.id}"
    owed = owed or paid.due()
    rest = still_owed(paid, stand_in, owed)
    if not any(rest):
        return taken, replace(paid, state=ReservationState.RELEASED, reason=reason)
    had = [due - units for due, units in zip(paid.due(), owed, strict=True)]
    lines = tuple(
        replace(line, quantity=units, wanted=units + gone)
        for line, units, gone in zip(paid.lines, rest, had, strict=True)
    )
    paid = replace(paid, partial=paid.partial and not any(had))
    return taken, replace(paid, lines=lines, reason=f"{sum(rest)} still owed; {reason}")


def still_owed(paid: Reservation, stand_in: Reservation, owed: Sequence[int]) -> tuple[int, ...]:
    """Units of each line of a paid reservation, of those `owed`, for which no piece of the stand-in stands.

    Pieces of the same SKU stand for their own line; each of the others for one unit, the first lines first.
    """
    left, found = Counter[str](), list(owed)
    for line in stand_in.lines:
        left[line.level.sku] += line.quantity
    for at, line in enumerate(paid.lines):
        part = min(found[at], left[line.level.sku])
        found[at] -= part
        left[line.level.sku] -= part
    others = left.total()
    for at, units in enumerate(found):
        part = min(units, others)
        found[at] -= part
        others -= part
    return tuple(found)


def parted(
    paid: Reservation, gone: Sequence[int], number: str, reason: str
) -> tuple[Reservation | None, Reservation]:
    """What becomes of one that was just paid for when stock does not cover `gone` units of its lines.

    (what of it is confirmed, what is paid and not available). It is the one or the other where all of it is;
    else the units that are gone become a reservation of their own, of the id `number`, and the rest stays.
    """
    lost = replace(paid, state=ReservationState.PAID_UNAVAILABLE, reason=reason)
    left = tuple(
        replace(line, quantity=line.quantity - units, wanted=max(line.quantity, line.wanted) - units)
        for line, units in zip(paid.lines, gone, strict=True)
    )
    if not any(line.quantity for line in left):
        return None, lost
    lines = tuple(
        ReservationLine(line.level, units, named=line.named)
        for line, units in zip(paid.lines, gone, strict=True)
        if units
    )
    return replace(paid, lines=left), replace(lost, id=number, lines=lines, partial=False, instead_of=paid.id)


def spoken_for(
    reservation: Reservation,
    floors: Set[str],
    *,
    locations: Set[str] | None = None,
    skus: Set[str] = frozenset(),
) -> frozenset[int]:
    """The numbers of the lines that a shop's word counts for.

    `locations` are the shop's own. Whoever speaks for all shops (None) speaks for those on whose `floors`
    some of it is; where nothing of it is on one, for all of it. `skus` are the articles that the word names;
    all when it names none.
    """
    lines = {number: line.level for number, line in enumerate(reservation.lines)}
    there = {number for number, level in lines.items() if locations is None or level.location in locations}
    if locations is None and (on_floors := {n for n, level in lines.items() if level.location in floors}):
        there = on_floors
    return frozenset(number for number in there if not skus or lines[number].sku in skus)


def store_found(
    reservation: Reservation, spoken: Set[int], floors: Set[str], *, now: datetime
) -> Reservation:
    """What becomes of one that is kept for somebody when the shop has these lines of it in its hand.

    One that waited for a word waits on while lines of it are on other shops' `floors`. It is told as found
    when all of it was.
    """
    lines = tuple(
        replace(line, found=True) if number in spoken else line
        for number, line in enumerate(reservation.lines)
    )
    left = [line for line in lines if line.quantity and not line.found]
    waits = reservation.needs_store and any(line.level.location in floors for line in left)
    known = replace(
        reservation, lines=lines, needs_store=waits, found_at=None if left else reservation.found_at or now
    )
    return known if reservation.state is ReservationState.ORDERED else replace(known, state=_granted(known))


def store_lacks(
    reservation: Reservation, spoken: Set[int], floors: Set[str], *, number: str, reason: str, now: datetime
) -> tuple[Reservation | None, Reservation]:
    """What becomes of one that is kept for somebody when the shop does not find these lines of it.

    (what of it goes on, what is over), as `parted`; `number` is the id of the second where there are both.
    Of what nobody has paid for all is over, unless a part will do. An order that has taken it over was paid
    for at its channel, also where nobody has confirmed it.
    """
    ordered = reservation.state is ReservationState.ORDERED
    lines = tuple(
        replace(line, found=False) if at in spoken else line for at, line in enumerate(reservation.lines)
    )
    reservation = replace(reservation, lines=lines)
    due = reservation.due() if ordered else tuple(line.quantity for line in reservation.lines)
    left = [line for at, line in enumerate(reservation.lines) if at not in spoken and due[at]]
    waits = any(line.level.location in floors and not line.found for line in left)
    paid = reservation
    if ordered and paid.paid_at is None:
        paid = replace(paid, paid_at=now)
    if paid.paid_at is not None:
        gone = [units if at in spoken else 0 for at, units in enumerate(due)]
        stays, lost = parted(paid, gone, number, reason)
        lost = replace(lost, needs_store=False, found_at=None)
        if stays is None:
            return None, lost
        stays = replace(stays, needs_store=reservation.needs_store and waits)
        return stays if ordered else replace(stays, state=_granted(stays)), lost
    over = replace(
        reservation, state=ReservationState.RELEASED, reason=reason, needs_store=False, found_at=None
    )
    if not reservation.partial or not left:
        return None, over
    lines = tuple(
        replace(line, quantity=0) if at in spoken else line for at, line in enumerate(reservation.lines)
    )
    stays = replace(reservation, lines=lines, needs_store=reservation.needs_store and waits)
    return replace(stays, state=_granted(stays)), over


def unfetched(reservation: Reservation, now: datetime) -> bool:
    """True for one that its order has taken over and that nobody has come for in the time that was said.

    Where none was said, that is as long as the longest reservation.
    """
    if reservation.state is not ReservationState.ORDERED:
        return False
    window = reservation.window
    return (window.ends if window is not None else reservation.created_at + LONGEST) <= now


def carried(
    reservation: Reservation,
    there: Sequence[LevelKey],
    of_orders: Sequence[tuple[str, LevelKey, int]],
    theirs: Sequence[int],
) -> list[tuple[str, LevelKey, LevelKey, int]] | None:
    """(subject, level, new level, units) of what its orders' lines hold of it, when it is moved.

    `there` says where each of its lines goes, `of_orders` what the lines hold that were sold on it, as
    (subject, level, units), `theirs` how many units of each line are theirs to hold. What they hold elsewhere
    than where it is to be fetched is not of it: None where they do not hold all of it there.
    """
    found: list[tuple[str, LevelKey, LevelKey, int]] = []
    left = [units for _, _, units in of_orders]
    for line, target, units_due in zip(reservation.lines, there, theirs, strict=True):
        wanted = units_due
        for number, (subject, level, _) in enumerate(of_orders):
            units = min(left[number], wanted) if level == line.level != target else 0
            if units > 0:
                found.append((subject, level, target, units))
                left[number] -= units
                wanted -= units
        if wanted and line.level != target:
            return None
    return found


def follows(
    reservation: Reservation,
    gone: Mapping[LevelKey, LevelKey],
    held: Mapping[LevelKey, int],
    own: Set[int] = frozenset(),
) -> Reservation:
    """A pick-up whose order's units were carried to other levels (`gone`): it is fetched there from now on.

    `held` is what its orders' lines hold by now. Where it is left as much as it needs, others were carried.
    The lines whose units it holds itself (`own`, their numbers) are where those are.
    """
    if reservation.state not in TO_FETCH and reservation.state is not ReservationState.PAID_UNAVAILABLE:
        return reservation
    due = Counter[LevelKey]()
    for at, (line, units) in enumerate(zip(reservation.lines, reservation.due(), strict=True)):
        due[line.level] += 0 if at in own else units
    away = {level: to for level, to in gone.items() if held.get(level, 0) < due[level]}
    lines = tuple(
        line if at in own else _at(line, away.get(line.level, line.level))
        for at, line in enumerate(reservation.lines)
    )
    if lines == reservation.lines:
        return reservation
    if reservation.state in HOLDING:
        return replace(reservation, lines=lines, found_at=None)
    return replace(reservation, lines=lines, state=ReservationState.ORDERED, found_at=None, reason="")


def gave_way(
    reservation: Reservation, held: Mapping[str, Mapping[LevelKey, int]], reason: str
) -> Reservation:
    """What a reservation is after units of it gave way to goods that have left: less, or over.

    One that was paid for is *paid-unavailable* then; any other is released, and says why.
    """
    if reservation.state not in HOLDING:
        return reservation
    left = [
        sum(units for units in held.get(subject, {}).values() if units > 0)
        for subject in reservation.subjects()
    ]
    lines = tuple(
        replace(line, quantity=min(line.quantity, units))
        for line, units in zip(reservation.lines, left, strict=True)
    )
    if any(left):
        return replace(reservation, lines=lines, reason=reason)
    paid = reservation.paid_at is not None
    state = ReservationState.PAID_UNAVAILABLE if paid else ReservationState.RELEASED
    return replace(reservation, state=state, reason=reason)


def order_gave_way(
    reservation: Reservation, level: LevelKey, held: Mapping[LevelKey, int], reason: str, now: datetime
) -> Reservation:
    """What a pick-up is after units that its order held of it at a level gave way to goods that have left.

    `held` is what its orders' lines hold by now. Where that is less than it needs there, nobody can fetch it
    there any more: it is *paid-unavailable*, although its order may get other units elsewhere.
    """
    if reservation.state is not ReservationState.ORDERED:
        return reservation
    due = zip(reservation.lines, reservation.due(), strict=True)
    if held.get(level, 0) >= sum(units for line, units in due if line.level == level):
        return reservation
    paid_at = reservation.paid_at or now  # an order that has taken it over was paid for at its channel
    lost = replace(reservation, reason=reason, found_at=None, paid_at=paid_at)
    return replace(lost, state=ReservationState.PAID_UNAVAILABLE)


def held_instead(reservation: Reservation, held: Mapping[LevelKey, int]) -> str:
    """Where its orders have what a lost pick-up was about, in words; empty where they have none elsewhere."""
    lost = {line.level for line in reservation.lines}
    there = sorted((level, units) for level, units in held.items() if units > 0 and level not in lost)
    return " and ".join(f"{units} at {level.location}" for level, units in there)


def _where_held(line: ReservationLine, place: Mapping[LevelKey, int]) -> ReservationLine:
    """The line at the level where its units are. What an order has taken over of it stays its history."""
    return _at(line, max(place, key=lambda level: (level == line.level, level))) if place else line


def _at(line: ReservationLine, level: LevelKey) -> ReservationLine:
    """The line at a level. Elsewhere, nobody has said yet that it is there."""
    return replace(line, level=level, found=line.found and level == line.level)


def levels_at(
    lines: Sequence[ReservationLine], location: str | None, sellable: Mapping[LevelKey, int]
) -> tuple[LevelKey, ...]:
    """Where the lines are to be held: at a location, or where they were when None.

    A piece that nobody asked for by its number may be another one there, if it is not to be had any more.
    """
    found: list[LevelKey] = []
    for line in lines:
        at = LevelKey(line.level.sku, location or line.level.location, line.level.unit)
        free = [
            key
            for key in sorted(sellable)
            if (key.sku, key.location) == (at.sku, at.location)
            and key.unit is not None
            and sellable[key] > 0
            and key not in found
        ]
        if line.quantity and at.unit is not None and not line.named and free and at not in free:
            at = free[0]
        found.append(at)
    return tuple(found)


def beyond(
    lines: Sequence[ReservationLine], there: Sequence[LevelKey], may_give: Mapping[LevelKey, int]
) -> tuple[LevelKey, int] | None:
    """The first level that lines are to be moved to and that may not give so much, with what they need of it.

    `there` says where each line goes, `may_give` how many units a level may give; one that it does not name
    is asked in any case.
    """
    wanted: dict[LevelKey, int] = {}
    for line, level in zip(lines, there, strict=True):
        if level != line.level:
            wanted[level] = wanted.get(level, 0) + line.quantity
    found = ((level, units) for level, units in wanted.items() if units > may_give.get(level, units))
    return next(found, None)


def moves(
    reservation: Reservation,
    held: Mapping[str, Mapping[LevelKey, int]],
    steps: Mapping[str, int],
    location: str,
    now: datetime,
    *,
    to: Mapping[LevelKey, LevelKey] | None = None,
) -> tuple[Movement, ...]:
    """The movements that carry all it holds to another location, to be entered together or not at all.

    A level gives back and another is asked in one transaction: either the units are reserved there, or
    nothing has changed and they are reserved here. Empty when everything is there already. `to` says which
    level takes over from which; one that it does not name goes to the level of the same SKU there.
    """
    found: list[Movement] = []
    for subject in reservation.subjects():
        step = steps[subject]
        for level, units in sorted(held.get(subject, {}).items()):
            if units <= 0 or level.location == location:
                continue
            there = (to or {}).get(level) or LevelKey(level.sku, location, level.unit)
            for place, kind, change in (
                (level, MovementKind.RELEASE, -units),
                (there, KINDS[reservation.kind], units),
            ):
                found.append(_movement(reservation, subject, step, place, kind, 0, change, now))
                step += 1
    return tuple(found)


def fetched(reservation: Reservation, sent: Mapping[LevelKey, int]) -> tuple[int, ...]:
    """Units of each line that are still to be fetched, where so many were sent by level for its orders."""
    there = {line.level for line in reservation.lines}
    return still_due(reservation, {level: units for level, units in sent.items() if level in there})


def handed_over(
    reservation: Reservation,
    held: Mapping[str, Mapping[LevelKey, int]],
    steps: Mapping[str, int],
    reference: str,
    now: datetime,
    *,
    of_orders: Sequence[tuple[str, LevelKey, int]] = (),
    sent: Mapping[LevelKey, int] | None = None,
) -> tuple[Movement, ...]:
    """The movements by which the customer takes with him what is held for him: sales of reserved units.

    `of_orders` is what the lines hold that were sold on it, as (subject, level, units). Those give it up and
    the reservation sells it, in one request: so it stands in the ledger who has handed it over, and the
    line, when its channel says that it was sent, finds that it has left. What is held where the reservation
    says that it is to be fetched is what leaves; what an order holds of the SKU elsewhere leaves in its place
    only where nothing is left there. `sent` are the units that have left those lines by level: what left from
    where it is to be fetched was fetched, in the shop's own system, and leaves no second time.
    """
    found: list[Movement] = []
    next_steps, left = dict(steps), [units for _, _, units in of_orders]
    wanted = list(fetched(reservation, sent or {}))

    def enter(mover: str, level: LevelKey, kind: MovementKind, on_hand: int, reserved: int) -> None:
        row = _movement(reservation, mover, next_steps[mover], level, kind, on_hand, reserved, now)
        found.append(replace(row, reference=reference))
        next_steps[mover] += 1

    for at, subject in enumerate(reservation.subjects()):
        for level, units in sorted(held.get(subject, {}).items()):
            if units > 0:
                enter(subject, level, MovementKind.SALE, -units, -units)
                wanted[at] -= units
    lines = list(zip(reservation.subjects(), reservation.lines, strict=True))
    for there in (True, False):
        for at, (seller, line) in enumerate(lines):
            for number, (subject, level, _) in enumerate(of_orders):
                fits = level == line.level if there else level.sku == line.level.sku
                units = min(left[number], wanted[at]) if fits else 0
                if units > 0:
                    wanted[at] -= units
                    left[number] -= units
                    enter(subject, level, MovementKind.RELEASE, 0, -units)
                    enter(seller, level, MovementKind.SALE, -units, 0)
    return tuple(found)


def _movement(
    reservation: Reservation,
    subject: str,
    step: int,
    level: LevelKey,
    kind: MovementKind,
    on_hand: int,
    reserved: int,
    now: datetime,
) -> Movement:
    return Movement(
        step_key(subject, step),
        subject,
        level,
        kind,
        on_hand,
        reserved,
        reservation.owner,
        told_channel(reservation),
        now,
    )


def chosen(
    quantity: int, candidates: Sequence[LevelKey], sellable: Mapping[LevelKey, int]
) -> list[tuple[LevelKey, int]]:
    """Units to ask of which levels when only all of them will do: of one location, the first that can.

    Where each piece has a level of its own, as many pieces are taken. Nobody can tell but the org that there
    are too few: then the location that has most is asked for all of it.
    """
    places: dict[str, list[LevelKey]] = {}
    for level in candidates:
        places.setdefault(level.location, []).append(level)
    offers = [_offer(quantity, levels, sellable) for levels in places.values()]
    best = max(offers, key=lambda offer: sum(units for _, units in offer))  # the first of equals
    missing = quantity - sum(units for _, units in best)
    if not missing:
        return best
    if best:
        return [*best[:-1], (best[-1][0], best[-1][1] + missing)]
    return [(max(candidates, key=lambda level: sellable.get(level, 0)), quantity)]


def _offer(
    quantity: int, levels: Sequence[LevelKey], sellable: Mapping[LevelKey, int]
) -> list[tuple[LevelKey, int]]:
    """Units that one location can give: out of a single level, or of each what it has."""
    for level in levels:
        if sellable.get(level, 0) >= quantity:
            return [(level, quantity)]
    return part(quantity, levels, sellable)


def part(
    quantity: int, candidates: Iterable[LevelKey], sellable: Mapping[LevelKey, int]
) -> list[tuple[LevelKey, int]]:
    """Units to ask of each level when a part will do: the best level first, no more than seems there."""
    asked: list[tuple[LevelKey, int]] = []
    for level in candidates:
        units = min(quantity, max(0, sellable.get(level, 0)))
        if units:
            asked.append((level, units))
            quantity -= units
    return asked


def prolonged(reservation: Reservation, until: datetime) -> Reservation:
    """One that expires later. The pick-up window is open as long; no extension makes a life shorter.

    One that was paid for does not expire, but somebody is told when its window has passed: that ends later.
    """
    window, ends = reservation.window, reservation.expires_at
    last = ends if ends is not None else window.ends if window is not None else None
    if last is None:
        return reservation
    last = min(max(until, last), max(reservation.created_at + LONGEST, last))
    if window is not None and window.ends < last:
        window = replace(window, ends=last)
    return replace(reservation, expires_at=None if ends is None else last, window=window)


def overdue(reservation: Reservation, now: datetime, *, told: bool = True) -> bool:
    """True for one that was paid for and holds its units still, although no order has taken them over.

    An order of a channel is told of within minutes. What a boutique holds for a client is fetched in person,
    which may take as long as the longest reservation; so may the goods of a channel that tells of no orders
    (`told`), whose confirmed reservations stand for them until they are handed over.
    """
    if reservation.state is not ReservationState.CONFIRMED or reservation.paid_at is None:
        return False
    begins = reservation.paid_at if reservation.window is None else reservation.window.ends
    return begins + (LONGEST if reservation.channel is None or not told else ORDER_PATIENCE) <= now


def unanswered(reservation: Reservation, now: datetime) -> bool:
    """True for one that was paid for and that its shop has not said a word about for too long.

    It was paid for after its time, or moved to where the shop has to be asked, and does not expire.
    """
    paid = reservation.paid_at
    waits = reservation.state is ReservationState.AWAITING_STORE and paid is not None
    return waits and paid is not None and paid + WORD_PATIENCE <= now


class OrphanCause(StrEnum):
    """Why nobody will come for what a reservation holds."""

    NO_ORDER = "its order never came"
    NO_WORD = "it is paid for, and its shop has not said whether it has it"
    OVER = "it is over, and its units were not given back"
    UNKNOWN = "no reservation of this number is known here"
    GONE = "its channel is not in the settings any more"


REMEDIES = {
    OrphanCause.NO_ORDER: "name the order in the shop's note, or release it",
    OrphanCause.NO_WORD: "say whether it is there: the pick-ups page, or POST …/store-confirmation",
    OrphanCause.OVER: "its release is tried again by itself; see `sfsync dead-letters` when it stays",
    OrphanCause.UNKNOWN: (
        "another system of yours reserved it, or it stems from a store that is lost: "
        "release it in the org by a movement of kind Release"
    ),
    OrphanCause.GONE: (
        "once the channel shows none of it, `sfsync allocation withdraw CHANNEL SKU`; "
        "or bring the channel back"
    ),
}


@dataclass(frozen=True, slots=True)
class Orphan:
    """Units held by a reservation, or as an allocation, that nobody will come for."""

    reservation_id: str  # of an allocation ``allocation:<channel>:<SKU>``
    cause: OrphanCause
    units: Mapping[LevelKey, int]
    since: datetime
    channel: str | None
    reservation: Reservation | None  # None where none of this number is known


def orphaned(reservation: Reservation | None, now: datetime, *, told: bool = True) -> OrphanCause | None:
    """Why a reservation that holds units holds them for nobody; None where somebody may come for them.

    `told` is False where its channel tells of no orders.
    """
    if reservation is None:
        return OrphanCause.UNKNOWN
    if reservation.state in (ReservationState.REFUSED, ReservationState.RELEASED, ReservationState.EXPIRED):
        return OrphanCause.OVER
    if unanswered(reservation, now):
        return OrphanCause.NO_WORD
    return OrphanCause.NO_ORDER if overdue(reservation, now, told=told) else None


@dataclass
class Refusals:
    """Where the org has just refused: in a drop thousands ask for what has been sold out a moment ago.

    They are told the same without asking again, for a moment only: what comes back by ways that we hear of
    late is asked for soon. Each further refusal that follows at once is told for twice as long, so that a day
    of asking in vain costs the org few calls.
    """

    told: dict[LevelKey, tuple[datetime, timedelta]] = field(default_factory=dict)  # when, and for how long

    def note(self, levels: Iterable[LevelKey], now: datetime) -> None:
        """The org has refused units there."""
        self.told = {key: (at, long) for key, (at, long) in self.told.items() if now - at < 2 * long}
        for level in levels:
            before = self.told.get(level)
            again = REFUSED_LATELY if before is None else min(2 * before[1], REFUSED_AGAIN)
            if before is not None and now - before[0] < before[1]:
                again = before[1]  # asked together, and refused together
            self.told[level] = now, again

    def stands(
        self,
        level: LevelKey,
        units: int,
        *,
        available: int,
        freeing: bool,
        now: datetime,
        followed: bool = False,
    ) -> bool:
        """True when asking for `units` would be refused, as far as anybody knows.

        `available`: what the org has there by its last word. `freeing`: something on its way to the org gives
        units back there, and whoever sent it may have been told that they are free. `followed`: the SKU is
        sold out of a local block, and the org's stream tells of its units without a hole; then nobody has to
        have been refused first, for answers in a drop must not wait for the org.
        """
        at, long = self.told.get(level, (now, timedelta()))
        lately = now - at < long
        return (lately or followed) and available < units and not freeing


NO_LASTS = timedelta(seconds=0.5)
LATELY = " a moment ago"

# What a wish asks, whoever asks it: (channel, client, lines, takes a part, in hand, what for).
Question = tuple[str | None, str, tuple[WishedLine, ...], bool, bool, ReservationKind]


def question(wish: Wish) -> Question:
    """Two wishes with the same question get the same answer at the same moment."""
    return wish.channel, wish.client, wish.lines, wish.partial, wish.in_hand, wish.kind


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the desk answers: the reservation as it stands, or the problem that kept it from being so."""

    reservation: Reservation | None
    # not-found, unavailable, paid-unavailable, ended, other-order, not-for-sale, key-reused, unknown-sku,
    # later, or a `Denial`'s kind
    problem: str = ""
    available: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # SKU -> location -> units
    detail: str = ""
    more: Mapping[str, object] = field(default_factory=dict)  # facts of an edition's denial
    waiting: bool = False  # the org has not answered what was asked: it may be otherwise in a moment


@dataclass
class SoldOut:
    """That something is not to be had, told for a moment to all who ask the same, at hardly any cost.

    In a drop thousands ask for what was sold out a moment ago. The answer is forgotten when anything about
    its SKUs changes, unless there is still nothing of them anywhere, and after `NO_LASTS` in any case. It is
    kept, forgotten and given in the transactions that decide, one after another: none comes in between.
    """

    told: dict[Question, tuple[datetime, Outcome]] = field(default_factory=dict)

    def answer(self, wish: Wish, now: datetime) -> Outcome | None:
        """The answer that was given a moment ago, if one was."""
        found = self.told.get(question(wish))
        return found[1] if found is not None and now - found[0] < NO_LASTS else None

    def keep(self, wish: Wish, outcome: Outcome, now: datetime) -> None:
        """It was not to be had: the refused reservation stands for those of all who ask the same."""
        if (refused := outcome.reservation) is None:
            return
        reason = refused.reason if refused.reason.endswith(LATELY) else refused.reason + LATELY
        no = replace(outcome, reservation=replace(refused, reason=reason), detail=reason)
        self.told = {asked: one for asked, one in self.told.items() if now - one[0] < NO_LASTS}
        self.told[question(wish)] = now, no

    def forget(self, skus: Set[str]) -> None:
        """Something about these SKUs has changed, and there may be some of them again."""
        if self.told:
            self.told = {
                asked: no for asked, no in self.told.items() if not any(line.sku in skus for line in asked[2])
            }
