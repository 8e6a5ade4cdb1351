"""An order that nobody has confirmed takes over what it was sold on: not what stock does not cover any more.

Its shop's word is the payment, and it is looked at as a confirmation is: of what a counter sold while it lay
in a cart the order has nothing. It is given up, and the order asks for other units, or is told as oversold.
"""

from __future__ import annotations

from sfsync.domain.reservations import HOLDING, Reservation, ReservationKind, ReservationState, parted
from sfsync.domain.stock import LevelKey
from sfsync.domain.values import replace
from sfsync.ports import LineState, Tx

from .context import Context
from .cover import lacking
from .picture import Picture
from .reserving import GONE, let_go_of, put


def give_up_uncovered(tx: Tx, ctx: Context, line: LineState, picture: Picture) -> set[str] | None:
    """Release what the line was sold on and stock does not cover; the bells to ring, None where all is."""
    for number in line.reservations:
        reservation = tx.reservation(number)
        if reservation is None or not _looked_at(reservation, line) or tx.busy(reservation.subjects()):
            continue
        short = {
            (subject, level): units
            for (subject, level), units in lacking(tx, reservation).items()
            if level.sku == line.line.sku and not _carried(picture, level)
        }
        if short:
            units = ", ".join(f"{units} of {level}" for (_, level), units in sorted(short.items()))
            ctx.log.warning("sold on what has left", order=line.order_name, channel=line.channel, gone=units)
            reason = f"goods have left since it was granted, and stock does not cover {units}"
            gone = dict.fromkeys(reservation.subjects(), 0)
            for (subject, _), part in short.items():
                gone[subject] += part
            after = _given_up(tx, ctx, reservation, line, list(gone.values()), reason)
            return let_go_of(tx, ctx, after, short)[1]
    return None


def _looked_at(reservation: Reservation, line: LineState) -> bool:
    """True for one that nobody has paid for before this order: what the shop has in its hand is there."""
    unpaid = reservation.paid_at is None and reservation.found_at is None
    return unpaid and reservation.state in HOLDING and reservation.channel in (None, line.channel)


def _carried(picture: Picture, level: LevelKey) -> bool:
    """True for a numbered piece that is somewhere else: the order follows it, and nobody else may have it."""
    if level.unit is None:
        return False
    return any(units > 0 and key.unit == level.unit for key, units in picture.on_hand(level.sku).items())


def _given_up(
    tx: Tx, ctx: Context, reservation: Reservation, line: LineState, gone: list[int], reason: str
) -> Reservation:
    """What is left of it. Who comes to fetch what has left is told: paid, and not available."""
    stays, lost = parted(reservation, gone, ctx.new_id(), reason)
    if reservation.kind is ReservationKind.PICK_UP:
        now = ctx.clock.now()
        lost = replace(
            lost, channel=line.channel, order_reference=line.order_name, paid_at=now, expires_at=None
        )
        put(tx, ctx, reservation, lost, because=GONE)
    elif stays is None:
        put(tx, ctx, reservation, replace(lost, state=ReservationState.RELEASED))
    if stays is not None:
        tx.put_reservation(stays)
    return stays or lost
