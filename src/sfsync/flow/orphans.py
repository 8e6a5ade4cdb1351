"""Units that are held by reservations which nobody will come for: found, and told with what to do.

They are kept from being sold, and no channel's number says why.
"""

from __future__ import annotations

from collections import defaultdict

from sfsync.domain.reservations import Orphan, orphaned
from sfsync.domain.stock import LevelKey
from sfsync.ports import SubjectHolding, Tx

from .context import Context


def orphans(tx: Tx, ctx: Context) -> list[Orphan]:
    """What is held for nobody, longest held first."""
    now = ctx.clock.now()
    held: dict[str, list[SubjectHolding]] = defaultdict(list)
    for holding in tx.held_by_reservations():
        held[holding.subject.split(":")[1]].append(holding)
    known = {reservation.id: reservation for reservation in tx.reservations_of(held)}
    found: list[Orphan] = []
    for number, holdings in held.items():
        reservation = known.get(number)
        channel = ctx.channels.get(reservation.channel or "") if reservation else None
        cause = orphaned(reservation, now, told=channel is None or channel.ability.tells_orders)
        if cause is None or tx.busy([holding.subject for holding in holdings]):
            continue
        units: dict[LevelKey, int] = defaultdict(int)
        for holding in holdings:
            units[holding.level] += holding.reserved
        since = min(holding.since for holding in holdings)
        of = next((holding.channel for holding in holdings if holding.channel), None)
        found.append(Orphan(number, cause, units, since, of, reservation))
    return sorted(found, key=lambda orphan: (orphan.since, orphan.reservation_id))
