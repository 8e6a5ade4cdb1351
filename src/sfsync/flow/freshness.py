"""Closes what is scarce while what we know of the org is too old, and opens it when the org is heard again.

The last piece may be gone when nobody has told us anything for an hour; of a hundred some are left. So a
policy may say how old the numbers may be (`fresh_seconds`); `age` tells how old they are.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from sfsync.domain.assortment import Assortment
from sfsync.ports import Tx

from .age import age_seconds
from .context import Context, grouped
from .shelf import refresh

EVERY_SECONDS = 1.0
SKUS_AT_ONCE = 500


class Freshness:
    """Closes and opens what is scarce, as what we know grows old or is fresh again."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._begun = False

    async def run(self) -> None:
        """Until cancelled; at once done where no policy says how old the numbers may be."""
        ctx = self._ctx
        while ctx.assortment.limits_seconds:
            await self.look()
            await ctx.clock.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Compare the age with every limit; refresh the SKUs of those that were crossed since the last look.

        The first look refreshes all of them: what the store holds may have been decided before a restart.
        """
        ctx = self._ctx
        age = await ctx.store.read(lambda tx: age_seconds(tx, ctx.assortment, ctx.pulse, ctx.clock.now()))
        limits = ctx.assortment.limits_seconds
        stale = frozenset(limit for limit in limits if age > limit)
        changed = stale ^ ctx.pulse.stale if self._begun else limits
        if not changed:
            return
        skus = await ctx.store.read(partial(_limited, assortment=ctx.assortment, limits=changed))
        for part in grouped(skus, SKUS_AT_ONCE):
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))
        if stale - ctx.pulse.stale:
            ctx.log.warning(
                "the org was not heard for too long",
                limits_seconds=sorted(stale),
                next="what is scarce is closed until it is heard again",
            )
        elif ctx.pulse.stale - stale:
            ctx.log.info("the org is heard again", next="what is scarce is open again")
        ctx.pulse.stale, self._begun = stale, True

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())


def _limited(tx: Tx, *, assortment: Assortment, limits: Collection[float]) -> list[str]:
    return [sku for sku in tx.all_skus() if assortment.limited(sku, limits)]
