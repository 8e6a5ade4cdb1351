"""A channel's yes is looked at: what it has confirmed must be what it shows.

After each reading of a channel's orders the numbers that were written since are read again, once they have
had a minute to settle. Where exactly our own changes are missing, and still are at the next look, with the
orders read in between, the channel has accepted and not applied them: an incident, and the number read is
taken over, so that the difference is written again. A number that differs in any other way was changed by
somebody else, which is no business of this.

What is suspected lives in memory: a restart begins anew with what is written from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from sfsync.domain.incidents import NOT_APPLIED
from sfsync.domain.relay import Proof, proof
from sfsync.ports import ChannelLevel, Tx

from .comparing import Seen
from .context import Context
from .reconcile import take_over

SETTLED = timedelta(minutes=1)
MOST_SKUS = 100  # read in one look; what is left over is read in the next
Place = tuple[str, str]  # SKU, the channel's location


class Proving:
    """Looks at what channels have made of what they confirmed."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._after: dict[str, int] = {}  # channel -> the last push that was taken in
        self._written: dict[str, dict[Place, int]] = defaultdict(lambda: defaultdict(int))
        self._suspected: dict[str, dict[Place, int]] = defaultdict(dict)

    async def look(self, channel: str) -> int:
        """Read again what was written since the last look; how many numbers were proved or disproved."""
        ctx = self._ctx
        if ctx.channels[channel].ability.callbacks is not None:
            return 0  # it cannot be asked
        until = ctx.clock.now() - SETTLED
        await ctx.store.read(lambda tx: self._gather(tx, channel, until))
        wanted = await ctx.store.read(lambda tx: self._wanted(tx, channel))
        if not wanted:
            return 0
        asked_at, seen = ctx.clock.now(), list[Seen]()
        async for page in ctx.channels[channel].items(wanted):
            read_at = ctx.clock.now()
            seen += [Seen(item, asked_at, read_at) for item in page]
            asked_at = read_at
        judged = 0

        def commit(tx: Tx) -> set[str]:
            nonlocal judged
            bells: set[str] = set()
            found = tx.channel_levels({one.item.sku for one in seen}, channel)
            levels = {(each.sku, each.location): each for each in found}
            for one in seen:
                level = levels.get((one.item.sku, one.item.location))
                if level is not None and _at_rest(level, until):
                    judged += 1
                    bells |= self._judge(tx, level, one)
            self._forget(channel, set(wanted) - {one.item.sku for one in seen})
            return bells

        ctx.bell.ring(*await ctx.store.write(commit))
        return judged

    def _gather(self, tx: Tx, channel: str, until: datetime) -> None:
        """Take in the pushes that were confirmed meanwhile."""
        if channel not in self._after:
            self._after[channel] = tx.last_push(channel)
            return
        written = self._written[channel]
        for number, rows in tx.applied_pushes(channel, self._after[channel], until):
            self._after[channel] = number
            for row in rows:
                written[row.sku, row.location] += row.delta

    def _wanted(self, tx: Tx, channel: str) -> Collection[str]:
        """SKUs to read: what is suspected or told already first, then what was written."""
        told = [
            str(each.detail["sku"])
            for each in tx.incidents()
            if each.kind == NOT_APPLIED and each.detail.get("channel") == channel and "sku" in each.detail
        ]
        suspected = [sku for sku, _ in self._suspected[channel]]
        written = [sku for sku, _ in self._written[channel]]
        return list(dict.fromkeys((*told, *suspected, *written)))[:MOST_SKUS]

    def _forget(self, channel: str, skus: Collection[str]) -> None:
        """What the channel lists no more proves nothing."""
        for places in (self._written[channel], self._suspected[channel]):
            for place in [place for place in places if place[0] in skus]:
                del places[place]

    def _judge(self, tx: Tx, level: ChannelLevel, one: Seen) -> set[str]:
        ctx, now = self._ctx, self._ctx.clock.now()
        place = (level.sku, level.location)
        written, suspected = self._written[level.channel], self._suspected[level.channel]
        missing, net = level.published - one.item.shows, written.pop(place, 0)
        verdict = proof(missing=missing, written=net, before=suspected.pop(place, None))
        key = f"{level.channel}:{level.sku}:{level.location}"
        if verdict is Proof.SUSPECT:
            suspected[place] = missing
        elif verdict is Proof.SHOWN and tx.close_incident(NOT_APPLIED, key, now):
            ctx.log.info("applied after all", channel=level.channel, sku=level.sku)
        elif verdict is Proof.NOT_APPLIED:
            title = (
                f"{level.channel} confirmed a change of {missing:+d} to {level.sku} and shows "
                f"{one.item.shows} instead of {level.published}"
            )
            detail = {
                "sku": level.sku,
                "channel": level.channel,
                "location": level.location,
                "units": abs(missing),
                "shows": one.item.shows,
                "confirmed": level.published,
            }
            if tx.open_incident(NOT_APPLIED, key, title, detail, now):
                ctx.log.warning(
                    "accepted and not applied",
                    channel=level.channel,
                    sku=level.sku,
                    shows=one.item.shows,
                    confirmed=level.published,
                    next="written again; look at the channel",
                )
            return take_over(tx, ctx=ctx, channel=level.channel, seen=[one])
        return set()


def _at_rest(level: ChannelLevel, until: datetime) -> bool:
    """True when nothing about its number is open, or has changed within the last minute."""
    return not level.problem and level.push is None and level.changed_at <= until
