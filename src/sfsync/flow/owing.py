"""What the customer of a reservation is still owed: all that is due, less what her orders have or had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sfsync.domain.incidents import NOT_FOUND
from sfsync.domain.reservations import Reservation, ReservationKind, ReservationState, order_names, still_due
from sfsync.domain.stock import LevelKey
from sfsync.ports import LineState, SubjectHolding, Tx


def sold_on(tx: Tx, reservation: Reservation) -> list[LineState]:
    """The lines that were sold on the reservation, of all its orders: first come first."""
    skus = {line.level.sku for line in reservation.lines}
    return [
        each
        for each in tx.lines_sold_on([reservation.id])
        if each.line.sku in skus and reservation.channel in (None, each.channel)
    ]


def of_its_orders(tx: Tx, reservation: Reservation) -> list[LineState]:
    """The lines that were sold on it, and those of the order that it was paid for."""
    found = {line.subject: line for line in sold_on(tx, reservation)}
    if reservation.channel is not None:
        skus = {line.level.sku for line in reservation.lines}
        for line in tx.lines_of_order(reservation.channel, order_names(reservation.order_reference)):
            if line.line.sku in skus:
                found.setdefault(line.subject, line)
    return list(found.values())


def still_owed(tx: Tx, reservation: Reservation, *, sent_alone: bool = False) -> tuple[int, ...]:
    """Units of each of its lines that are due and that no order holds, asks for or has sent.

    With `sent_alone`, only what was sent is had.
    """
    had = _had(tx, reservation, of_its_orders(tx, reservation), sent_alone=sent_alone)
    return still_due(reservation, *had)


def owed_late(tx: Tx, reservation: Reservation) -> tuple[int, ...]:
    """Units of each of its lines to ask for anew, as it is paid for after its end.

    Where the order that it was paid for is known, that says what was paid for: no more than this lacks.
    """
    units = still_owed(tx, reservation)
    names = order_names(reservation.order_reference)
    if reservation.channel is None or not names:
        return units
    lines = _alike(reservation, tx.lines_of_order(reservation.channel, names))
    if not lines:
        return units
    left = Counter[str]()
    for line in lines:
        left[line.line.sku] += line.line.open_quantity + line.line.fulfilled_quantity
    at, elsewhere = _had(tx, reservation, lines)
    for level, had in at.items():
        left[level.sku] -= had
    left.subtract(elsewhere)
    asked: list[int] = []
    for each, most in zip(reservation.lines, units, strict=True):
        asked.append(min(most, max(0, left[each.level.sku])))
        left[each.level.sku] -= asked[-1]
    return tuple(asked)


def sent(tx: Tx, reservation: Reservation) -> Counter[LevelKey]:
    """The units that have left the lines that were sold on it, by level."""
    found = Counter[LevelKey]()
    for each in tx.holdings([line.subject for line in sold_on(tx, reservation)]):
        found[each.level] += max(0, -each.on_hand)
    return found


def _alike(reservation: Reservation, lines: Sequence[LineState]) -> list[LineState]:
    skus = {each.level.sku for each in reservation.lines}
    return [line for line in lines if line.line.sku in skus]


def _had(
    tx: Tx, reservation: Reservation, lines: Sequence[LineState], *, sent_alone: bool = False
) -> tuple[Counter[LevelKey], Counter[str]]:
    """(Units by level, others by SKU) that order lines have of a reservation, or had.

    What a shop does not find nobody has. What is to be fetched is had where it is to be fetched, or was sent;
    where it was lost there, it was sent or not at all.
    """
    at, elsewhere = Counter[LevelKey](), Counter[str]()
    if not lines:
        return at, elsewhere
    missing = {each.key for each in tx.incidents() if each.kind == NOT_FOUND}
    there: set[LevelKey] | None = None
    if reservation.kind is ReservationKind.PICK_UP:
        there = {each.level for each in reservation.lines}
        sent_alone = sent_alone or reservation.state is ReservationState.PAID_UNAVAILABLE
    holdings = defaultdict[str, list[SubjectHolding]](list)
    for each in tx.holdings([line.subject for line in lines]):
        holdings[each.subject].append(each)
    for line in lines:
        gone = held = 0
        for each in holdings[line.subject]:
            left, has = max(0, -each.on_hand), max(0, each.reserved)
            gone, held = gone + left, held + has
            found = str(each.level) not in missing and (there is None or each.level in there)
            at[each.level] += left + (has if found and not sent_alone else 0)
        elsewhere[line.line.sku] += max(0, line.line.fulfilled_quantity - gone)
        if not sent_alone:
            elsewhere[line.line.sku] += max(0, line.line.open_quantity - line.uncovered - held)
    return at, elsewhere
