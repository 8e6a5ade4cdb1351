"""Shares that go by what each channel sells are worked out anew every hour, also of what does not move."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from sfsync.ports import Tx

from .context import Context, grouped
from .shelf import refresh

EVERY_SECONDS = 3600.0
SKUS_AT_ONCE = 500


class Demand:
    """Looks again at what is divided by demand."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def run(self) -> None:
        """Until cancelled. Policies may come to ask for it while we run."""
        while True:
            await self._ctx.clock.sleep(EVERY_SECONDS)
            if self._ctx.assortment.by_demand:
                await self.look()

    async def look(self) -> None:
        """Work out all SKUs of which a channel has units, and whose policy goes by demand."""
        ctx = self._ctx
        for part in grouped(await ctx.store.read(self._divided), SKUS_AT_ONCE):
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))

    def _divided(self, tx: Tx) -> list[str]:
        assortment, scarce = self._ctx.assortment, tx.scarce_skus()
        found = []
        for sku in tx.allocated_skus():
            division = assortment.division(sku, scarce.get(sku, frozenset()))
            if division is not None and division.demand_days is not None:
                found.append(sku)
        return found

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())
