"""What a shop does not find of what the org says it has: an incident, and units that nobody is promised.

The org's rule would give them to the next who asks. So they are taken out of what their level may give until
a person says how it is: the shop has found them after all, the level has been counted, or somebody accepts
that they were found or written off. Where nothing is on hand any more, nothing is looked for either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sfsync.domain.incidents import NOT_FOUND
from sfsync.domain.reservations import Reservation
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.ports import Incident, Tx

from .context import Context
from .reserving import described

BY_RESERVATION = "not_found"  # in the incident's detail: units by the reservation that they were kept for
WAYS_OUT = ["count the stock level", "accept, once they are found or written off"]


def tell(
    tx: Tx, ctx: Context, reservation: Reservation, who: str, lines: Collection[int] | None = None
) -> None:
    """The org has the pieces of these lines (all, when None) and the shop has not: somebody must count."""
    now = ctx.clock.now()
    units: dict[LevelKey, int] = {}
    for number, (line, due) in enumerate(zip(reservation.lines, reservation.due(), strict=True)):
        if due and (lines is None or number in lines):
            units[line.level] = units.get(line.level, 0) + due
    for level, number in units.items():
        title = f"{level.location} does not find {level.sku}, which the org says it has"
        missing = {**_missing(_open(tx, level)), reservation.id: number}
        detail = described(reservation) | {"said_by": who, BY_RESERVATION: missing, "ways_out": WAYS_OUT}
        tx.open_incident(NOT_FOUND, str(level), title, detail, now)
        tx.put_not_found(level, sum(missing.values()))
    ctx.log.warning("not found in the shop", reservation=reservation.id, said_by=who, next="count it")


def found(tx: Tx, ctx: Context, reservation: Reservation, lines: Collection[int]) -> set[str]:
    """The shop has found what it kept for these lines; the SKUs of which there is more to promise again."""
    skus: set[str] = set()
    for level in {reservation.lines[number].level for number in lines}:
        incident = _open(tx, level)
        missing = _missing(incident)
        if incident is None or missing.pop(reservation.id, None) is None:
            continue
        skus.add(level.sku)
        if not missing:
            over(tx, ctx, level)
            continue
        detail = {**incident.detail, BY_RESERVATION: missing}
        tx.open_incident(NOT_FOUND, incident.key, incident.title, detail, ctx.clock.now())
        tx.put_not_found(level, sum(missing.values()))
    return skus


def over(tx: Tx, ctx: Context, level: LevelKey) -> None:
    """It is known how it is: whatever the org has there may be promised again."""
    tx.close_incident(NOT_FOUND, str(level), ctx.clock.now())
    tx.put_not_found(level, 0)


def seen(tx: Tx, ctx: Context, before: StockLevel | None, level: StockLevel) -> None:
    """A newer reading of a level: was it counted since, or is there nothing that could be looked for?"""
    if before is None or not before.not_found:
        return
    incident = _open(tx, level.key)
    since = None if incident is None else incident.opened_at.replace(microsecond=0)
    counted = since is None or (level.counted_at is not None and level.counted_at >= since)
    if counted or level.on_hand <= 0:
        ctx.log.info("not looked for any more", level=str(level.key), counted=counted)
        over(tx, ctx, level.key)


def _open(tx: Tx, level: LevelKey) -> Incident | None:
    key = str(level)
    return next((each for each in tx.incidents() if (each.kind, each.key) == (NOT_FOUND, key)), None)


def _missing(incident: Incident | None) -> dict[str, int]:
    told = None if incident is None else incident.detail.get(BY_RESERVATION)
    return dict(told) if isinstance(told, Mapping) else {}
