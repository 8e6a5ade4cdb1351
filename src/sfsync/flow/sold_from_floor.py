"""Orders that were given one of the last pieces of a shop floor whose till tells of its sales afterwards.

The piece may be in a customer's hand already, and the order has been accepted by its channel: nobody can be
asked first. So such a piece is what an order draws on last, and when it does, the shop is asked to look: an
incident says so until the shop has it, the order is taken elsewhere, or it is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sfsync.domain.incidents import ON_FLOOR
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports import LineState, Tx

from .context import Context
from .cover import order_told
from .picture import Picture


def drawn(
    tx: Tx,
    ctx: Context,
    line: LineState,
    bundle: Sequence[Movement],
    picture: Picture,
    now: datetime,
    *,
    gone: Collection[str] = (),
) -> None:
    """The line asks for these: where that is a floor's last pieces, the shop is to look.

    Not where all of it has been sent. `gone` are the subjects of what is set aside for its channel and not
    there to be sold any more.
    """
    places = ctx.assortment.floor.locations
    if not places or not line.line.open_quantity:
        return
    for row in bundle:
        asks = row.subject == line.subject and row.kind is MovementKind.ORDER and row.reserved_delta > 0
        if not asks or row.level.location not in places:
            continue
        given = [each.subject for each in bundle if each.level == row.level and each.reserved_delta < 0]
        reservation = _waiting_for_shop(tx, given)
        there = picture.sellable(row.level.sku).get(row.level, 0)
        beyond = row.reserved_delta > max(0, there - ctx.assortment.floor.last(row.level.location))
        if reservation or (beyond and not given) or not set(given).isdisjoint(gone):
            tell(tx, ctx, line, row.level, row.reserved_delta, now, reservation=reservation)


def _waiting_for_shop(tx: Tx, subjects: Collection[str]) -> str:
    """The reservation that the units come from, when its shop has not said yet that it has them."""
    for subject in subjects:
        if subject.startswith("reservation:"):
            number = subject.removeprefix("reservation:").rpartition(":")[0]
            reservation = tx.reservation(number)
            if reservation is not None and reservation.needs_store:
                return number
    return ""


def tell(
    tx: Tx,
    ctx: Context,
    line: LineState,
    level: LevelKey,
    units: int,
    now: datetime,
    *,
    reservation: str = "",
) -> None:
    """Somebody in the shop must look whether it is there."""
    title = (
        f"{units} of {level.sku} sold at {line.channel} stands among the last pieces of {level.location}, "
        "which may be sold there"
    )
    detail = {
        "sku": level.sku,
        "units": units,
        "level": str(level),
        "order": order_told(line),
        "reservation": reservation,
        "ways_out": ["accept when the shop has it", "another location", "cancel the order"],
    }
    if tx.open_incident(ON_FLOOR, line.subject, title, detail, now):
        ctx.log.warning(
            "sold from a shop floor",
            channel=line.channel,
            order=line.order_name,
            sku=level.sku,
            location=level.location,
            next="ask the shop whether it has the piece",
        )


def over(tx: Tx, ctx: Context, line: LineState, rows: Sequence[Movement], now: datetime) -> None:
    """Nothing is asked for: where the line holds nothing on a floor any more, nobody need look."""
    places = ctx.assortment.floor.locations
    if places and not any(units > 0 for level, units in _held(rows).items() if level.location in places):
        tx.close_incident(ON_FLOOR, line.subject, now)


def stands(tx: Tx, subject: str, level: str) -> tuple[LevelKey, int]:
    """The level of such an incident, and what its line holds there."""
    key = LevelKey.parse(level)
    return key, _held(tx.rows_of([subject]).get(subject, ())).get(key, 0)


def shop_said(
    tx: Tx, ctx: Context, reservation_id: str, levels: Collection[LevelKey], *, found: bool, now: datetime
) -> None:
    """The shop has answered for what of a reservation is at these levels; an order has taken it over."""
    named = {str(level) for level in levels}
    for each in tx.incidents():
        if each.kind != ON_FLOOR or each.detail.get("reservation") != reservation_id:
            continue
        if each.detail["level"] not in named:
            continue
        if found:
            tx.close_incident(ON_FLOOR, each.key, now)
            continue
        key = LevelKey.parse(str(each.detail["level"]))
        title = f"{each.detail['units']} of {key.sku} is sold, and {key.location} does not find it"
        tx.open_incident(ON_FLOOR, each.key, title, each.detail, now)


def _held(rows: Sequence[Movement]) -> Mapping[LevelKey, int]:
    held: dict[LevelKey, int] = {}
    for row in rows:
        held[row.level] = held.get(row.level, 0) + row.reserved_delta
    return held
