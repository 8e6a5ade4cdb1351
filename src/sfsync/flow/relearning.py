"""A new store on an org that already holds our movements: what holds units there is learned again.

Done once, before the org's levels are read for the first time: whoever holds units is known before anything
is decided on the numbers. What the store knows already, from a reading that broke, stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain import relearned
from sfsync.domain.stock import Movement
from sfsync.ports import Tx

from .context import Context, grouped

SUBJECTS_AT_ONCE = 500
OVERLAP = timedelta(days=1)  # what came in so long before the last sale that was entered may not have been


@dataclass(slots=True)
class Learned:
    """How much was learned."""

    reservations: int = 0
    order_lines: int = 0
    allocations: int = 0
    channels: int = 0


async def relearn(ctx: Context) -> Learned:
    """Learn from the org what a lost store knew: who holds units, and since when the channels are ours."""
    found = Learned()
    for channel in sorted({*ctx.channels, *ctx.assortment.shared}):
        between = await ctx.org.orders_entered(channel)
        if between is not None:
            await ctx.store.write(partial(_know_since, channel=channel, between=between))
            found.channels += 1
    rows: list[Movement] = []
    async for page in ctx.org.reserving_rows():
        rows += [row.movement for row in page]
    for part in grouped(sorted(relearned.open_subjects(rows)), SUBJECTS_AT_ONCE):
        whole: dict[str, list[Movement]] = defaultdict(list)
        for row in await ctx.org.rows_of(part):
            whole[row.movement.subject].append(row.movement)
        await ctx.store.write(partial(_take_over, ctx=ctx, whole=whole, found=found))
    if found.reservations or found.order_lines or found.allocations:
        ctx.log.warning(
            "learned again from the org",
            reservations=found.reservations,
            order_lines=found.order_lines,
            allocations=found.allocations,
            next="see `sfsync reservations`; each expires unless it is confirmed, extended or released",
        )
    return found


def _know_since(tx: Tx, *, channel: str, between: tuple[datetime, datetime]) -> None:
    """Orders of a channel are ours from the first that we entered on; those after the last are read again."""
    first, last = between
    tx.know_channel_since(channel, first)
    if tx.poll_mark(channel) is None:
        tx.put_poll_mark(channel, max(first, last - OVERLAP))


def _take_over(tx: Tx, *, ctx: Context, whole: Mapping[str, Sequence[Movement]], found: Learned) -> None:
    now = ctx.clock.now()
    new = [subject for subject in sorted(whole) if not tx.next_step(subject)]
    channels: dict[str, str | None] = {subject: relearned.channel_of(subject) for subject in new}
    lines: dict[str, dict[int, Sequence[Movement]]] = defaultdict(dict)
    for subject in new:
        if (named := relearned.line_of_reservation(subject)) is not None:
            lines[named[0]][named[1]] = whole[subject]
    for number, rows in lines.items():
        known = tx.reservation(number)
        reservation = known or relearned.reservation(number, rows, now)
        if reservation is None:
            continue
        if known is None:
            tx.put_reservation(reservation)
            found.reservations += 1
        channels.update((subject, reservation.channel) for subject in reservation.subjects())
    for subject in new:
        tx.replace_rows(subject, whole[subject], now, channel=channels[subject])
        found.order_lines += subject.startswith("order:")
        found.allocations += subject.startswith("allocation:")
        channel, order = channels[subject], relearned.order_of(subject)
        if order is None or channel is None or channel not in ctx.channels:
            continue
        if ctx.channels[channel].ability.routes:
            tx.call_order(channel, order, now)
