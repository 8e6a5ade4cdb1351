"""Units that are held for nobody: found, and told with what to do.

They are held by reservations that nobody will come for, or set aside for a channel that is not in the
settings any more. They are kept from being sold, and no channel's number says why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sfsync.domain.block import HOLDER
from sfsync.domain.promises import Promise
from sfsync.domain.reservations import Orphan, OrphanCause, orphaned
from sfsync.domain.stock import LevelKey
from sfsync.ports import OutsideError, SubjectHolding, Tx

from .context import Context


async def all_orphans(ctx: Context) -> list[Orphan]:
    """What is held for nobody, longest held first; also by subjects of reservations that others made up.

    The org is asked only for the levels where more is reserved than we know the holders of.
    """
    found = await ctx.store.read(lambda tx: orphans(tx, ctx))
    levels = await ctx.store.read(lambda tx: tx.promised_by_others())
    try:
        promises = await ctx.org.promises(levels) if levels else ()
    except OutsideError as error:
        ctx.warn("promises of others not read", error, next="ask again")
        promises = ()
    theirs = [each for each in promises if each.subject.startswith("reservation:")]
    if theirs:
        found += await ctx.store.read(lambda tx: _unknown(tx, theirs))
    return sorted(found, key=lambda orphan: (orphan.since, orphan.reservation_id))


def _unknown(tx: Tx, promises: Sequence[Promise]) -> list[Orphan]:
    """Those promises that name a reservation which we have never had."""
    held: dict[str, list[Promise]] = defaultdict(list)
    for promise in promises:
        if promise.units > 0 and not tx.next_step(promise.subject):
            held[promise.subject.split(":")[1]].append(promise)
    known = {reservation.id for reservation in tx.reservations_of(held)}
    found: list[Orphan] = []
    for number, theirs in held.items():
        if number in known:
            continue
        units: dict[LevelKey, int] = defaultdict(int)
        for promise in theirs:
            units[promise.level] += promise.units
        since = min(promise.since for promise in theirs)
        found.append(Orphan(number, OrphanCause.UNKNOWN, units, since, None, None))
    return found


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
    found += _left_behind(tx, ctx)
    return sorted(found, key=lambda orphan: (orphan.since, orphan.reservation_id))


def _left_behind(tx: Tx, ctx: Context) -> list[Orphan]:
    """What is set aside for channels that are not in the settings any more, by channel and SKU."""
    held: dict[str, list[SubjectHolding]] = defaultdict(list)
    for holding in tx.allocated_beside({*ctx.assortment.channels, HOLDER}):
        held[f"allocation:{holding.channel}:{holding.level.sku}"].append(holding)
    return [
        Orphan(
            name,
            OrphanCause.GONE,
            {holding.level: holding.reserved for holding in holdings},
            min(holding.since for holding in holdings),
            holdings[0].channel,
            None,
        )
        for name, holdings in held.items()
        if not tx.busy([holding.subject for holding in holdings])
    ]
