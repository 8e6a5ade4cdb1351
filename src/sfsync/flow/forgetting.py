"""The end of a channel that is not in the settings any more, by a person's word.

What it showed, its letters and what differs there are kept until then, because it may come back: taken out of
the settings by mistake, it goes on where it was. Its orders stay for good: their units are their customers'.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sfsync.domain.block import HOLDER
from sfsync.domain.left_channel import Forgotten, LeftChannel, judged
from sfsync.domain.org_orders import ORG_CHANNEL
from sfsync.ports import Tx

from .context import Context
from .letters import drop

TOGETHER = 2_000  # SKUs, or letters, that are forgotten in one transaction: no sale waits for all of them


class Forgetting:
    """Forgets channels for the web."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def forget(self, channel: str, by: str, reason: str) -> Forgotten:
        """Forget a channel that is not in the settings, with a name and a reason."""
        ctx, left = self._ctx, True
        found = await ctx.store.read(lambda tx: look(tx, channel, ctx.assortment.channels))
        if found.problem:
            return found
        while left:
            left = await ctx.store.write(lambda tx: forget_part(tx, channel, by, reason, ctx.clock.now()))
        ctx.log.warning("channel forgotten", channel=channel, by=by, reason=reason)
        return found


def left_behind(tx: Tx, channels: Collection[str]) -> list[LeftChannel]:
    """The channels of which something is kept and that are none of these."""
    return list(tx.channels_beside({*channels, HOLDER, ORG_CHANNEL}))


def look(tx: Tx, channel: str, channels: Collection[str]) -> Forgotten:
    """What is kept of a channel, and whether it can be forgotten. `channels`: those in the settings."""
    return judged(channel, channels, left_behind(tx, channels))


def forget_part(tx: Tx, channel: str, by: str, reason: str, now: datetime) -> bool:
    """Forget some of it, in a transaction that keeps no sale waiting; False when all of it is gone."""
    if tx.forget_numbers(channel, TOGETHER):
        return True
    if letters := tx.letters_of(channel, TOGETHER):
        drop(tx, letters, by, reason, now)
        return True
    tx.forget_channel(channel, now)
    return False
