"""Which promises of a level stock covers, as the store knows them; whose lose it first, and how that is told.

In a drop hundreds hold units of one level. Whoever needs to know who goes first reads no more of them than
that takes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sfsync.domain.block import HOLDER
from sfsync.domain.promises import Promise, Stake, at_stake, first_to_give_way, uncovered
from sfsync.domain.reservations import ENDED, KINDS, Reservation, ReservationState
from sfsync.domain.stock import LevelKey, MovementKind, allocation_subject
from sfsync.ports import LineState, PendingRow, SubjectHolding, Tx

TOLD = 20  # holders that an incident names; `why` tells of all
PAGE, LEAST_PAGE = 100, 10
_FIRST = (MovementKind.ALLOCATION, MovementKind.CART)  # the first two to give way, in this order
_OTHERS = {"order": MovementKind.ORDER, "allocation": MovementKind.ALLOCATION}


def promises_at(
    tx: Tx, key: LevelKey, *, units: int | None = None, most: int = 0, unpaid: bool = False
) -> list[Promise]:
    """The promises at a level as far as we know them, in the order in which they lose their cover.

    With `units`, at least all those that lose it when so many units are missing, and `most` of them or all;
    `unpaid` leaves out reservations that were paid for or have ended. What was granted out of the local block
    is its buyer's already, whether or not the org has heard of it.
    """
    drawn = tx.draws_at(key)
    block = allocation_subject(HOLDER, key)
    gone = sum(draw.units for draw, _ in drawn)
    told = tx.told_of_reservations({draw.reservation for draw, _ in drawn}) if unpaid else {}
    found = [
        Promise(draw.subject, key, draw.kind, draw.units, at)
        for draw, at in drawn
        if draw.reservation not in told or _unpaid(*told[draw.reservation])
    ]
    read = 0
    size = PAGE if units is None else min(PAGE, max(LEAST_PAGE, units + most))
    while page := tx.holders_page(key, size, read):
        read += len(page)
        for promise in _promises(tx, page, unpaid=unpaid):
            units_left = promise.units - (gone if promise.subject == block else 0)
            found.append(replace(promise, units=units_left))
        if units is None or drawn:
            continue
        first = [each for each in found if each.kind in _FIRST]
        if len(first) >= most and sum(each.units for each in first) >= units:
            return first_to_give_way(first)
    return first_to_give_way(found)


def _promises(tx: Tx, holders: Sequence[SubjectHolding], *, unpaid: bool) -> list[Promise]:
    """As what each of them holds its units, a reservation says itself."""
    ids = {each.subject: _reservation_id(each.subject) for each in holders if each.kind == "reservation"}
    told = tx.told_of_reservations(set(ids.values()))
    found: list[Promise] = []
    for each in holders:
        kind, number = _OTHERS.get(each.kind), ids.get(each.subject, "")
        if number in told:
            kind = KINDS[told[number][0]]
            if unpaid and not _unpaid(*told[number]):
                continue
        units, since = each.reserved, each.since
        found.append(Promise(each.subject, each.level, kind or MovementKind.ADJUSTMENT, units, since))
    return found


def _unpaid(_: object, state: ReservationState, paid: bool) -> bool:
    """True for one that is promised to somebody who has not paid; what has ended is giving its units back."""
    return not paid and state not in ENDED


def _reservation_id(subject: str) -> str:
    return subject.removeprefix("reservation:").rpartition(":")[0]


def stakes_at(tx: Tx, key: LevelKey, oversold: int) -> list[Stake]:
    """Every promise of a level that is oversold by so many units, those that lose their cover first."""
    return at_stake(promises_at(tx, key), oversold)


def first_stakes(tx: Tx, key: LevelKey, oversold: int) -> list[Stake]:
    """As `stakes_at`, as many as an incident names."""
    return at_stake(promises_at(tx, key, units=oversold, most=TOLD), oversold)[:TOLD]


def lacking(tx: Tx, reservation: Reservation) -> Mapping[tuple[str, LevelKey], int]:
    """What an unpaid reservation holds and stock does not cover: units by its subject and the level.

    Whoever has paid was told that it is hers: what stock covers is hers first. What others are giving back
    covers it as well, before the org has heard of it.
    """
    oversold = tx.oversold({line.level for line in reservation.lines})
    if not oversold:
        return {}
    own, released = frozenset(reservation.subjects()), _released(tx, {level.sku for level in oversold})
    short = {level: _short(tx, level, *numbers, released[level]) for level, numbers in oversold.items()}
    return {
        (promise.subject, level): promise.units
        for level, units in short.items()
        for promise in uncovered(promises_at(tx, level, units=units, unpaid=True), units)
        if promise.subject in own
    }


def _short(tx: Tx, level: LevelKey, on_hand: int, reserved: int, released: int) -> int:
    """Units promised beyond stock, less what waits to be given back.

    What is known of the level may have come before the org's answer to that, or with it: so what is known to
    be held is counted, and what the level has beyond that is somebody else's.
    """
    held = tx.all_held_at(level)
    return min(reserved, held - released + max(0, reserved - held)) - on_hand


def _released(tx: Tx, skus: Collection[str]) -> Counter[LevelKey]:
    """Units of each level whose release waits for the org: no rule refuses what gives back alone."""
    bundles: dict[int, list[PendingRow]] = defaultdict(list)
    for row in tx.pending(skus):
        bundles[row.bundle].append(row)
    found = Counter[LevelKey]()
    for rows in bundles.values():
        if all(row.reserved_delta < 0 and not row.on_hand_delta for row in rows):
            for row in rows:
                found[row.level] -= row.reserved_delta
    return found


def staked(tx: Tx, stakes: Sequence[Stake]) -> list[dict[str, object]]:
    """The promises of a level as an incident names them: those that give way first come first."""
    lines = tx.lines([each.promise.subject for each in stakes])
    return [
        {
            "subject": each.promise.subject,
            "kind": each.promise.kind.value,
            "units": each.promise.units,
            "uncovered": each.uncovered,
            "since": each.promise.since.isoformat(),
        }
        | (order_told(lines[each.promise.subject]) if each.promise.subject in lines else {})
        for each in stakes
    ]


def told(holdings: Sequence[SubjectHolding]) -> list[dict[str, object]]:
    """Holders of units, as an incident names them."""
    return [
        {"subject": held.subject, "units": held.reserved, "since": held.since.isoformat()}
        for held in holdings
    ]


def order_told(line: LineState) -> dict[str, object]:
    """An order as an incident names it."""
    return {"channel": line.channel, "name": line.order_name, "placed_at": line.placed_at.isoformat()}
