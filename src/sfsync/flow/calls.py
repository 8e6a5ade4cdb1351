"""Remembers the org's API calls of each hour, so that a restart does not forget what the day has used."""

from __future__ import annotations

from sfsync.domain.budget import HourOfCalls
from sfsync.ports import Tx

from .context import Context

# A kill forgets our own calls of that time; the org still counts them, as everybody's.
EVERY_SECONDS = 60.0


async def recall(ctx: Context) -> None:
    """Tell the org's budget what former runs have used; before the first call of this run."""
    hours, allowed = await ctx.store.read(lambda tx: tx.calls())
    ctx.org.recall_calls(hours, allowed)


class CallKeeper:
    """Writes down what has changed, now and then and at the end."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._kept: frozenset[HourOfCalls] = frozenset()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._ctx.clock.sleep(EVERY_SECONDS)
            await self.keep()

    async def keep(self) -> None:
        """Write down the hours that have changed; forget those that no longer tell anything."""
        hours, allowed = self._ctx.org.hours_of_calls()
        changed = [hour for hour in hours if hour not in self._kept]
        if not changed:
            return

        def commit(tx: Tx) -> None:
            tx.put_calls(changed, allowed, forget_before=hours[0].hour)

        await self._ctx.store.write(commit)
        self._kept = frozenset(hours)
