"""Turns end by the clock, whether or not anything else happens (`domain.turns`)."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from sfsync.ports import Tx

from .allocations import turn_of
from .context import Context, grouped
from .shelf import refresh

EVERY_SECONDS = 60.0
SKUS_AT_ONCE = 500


class TurnWatch:
    """Looks whose turn it is."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def run(self) -> None:
        """Until cancelled. Policies may come to ask for it while we run."""
        while True:
            await self.look()
            await self._ctx.clock.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Pass on what has had its time."""
        ctx = self._ctx
        for part in grouped(await ctx.store.read(self._over), SKUS_AT_ONCE):
            ctx.log.info("turns are over", skus=len(part), first=part[0], next="the next channel's begin")
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))

    def _over(self, tx: Tx) -> list[str]:
        """SKUs whose turn is another channel's by now, or that nobody takes turns with any more."""
        assortment, now = self._ctx.assortment, self._ctx.clock.now()
        skus = tx.skus_in_turn()
        if not skus:
            return []
        scarce, found = tx.scarce_skus(), []
        for sku in skus:
            division = assortment.division(sku, scarce.get(sku, frozenset()))
            turn = turn_of(tx, sku, division, now)
            if turn is None or (turn.channel, turn.since) != tx.turn(sku):
                found.append(sku)
        return found

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())
