"""What the settings say of channels and policies holds from the start, however they were changed meanwhile.

A channel level is decided again when something about its SKU happens. A changed cap, safety stock, share or
guarantee is nothing that happens to a SKU, so all of them are decided again when the policies are others than
those by which the store was last decided as a whole.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from sfsync.ports import Tx

from .context import Context, grouped
from .shelf import refresh

SKUS_AT_ONCE = 500


class Policies:
    """Decides everything again after a change of the settings."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def run(self) -> None:
        """Until all is decided by the present policies. A kill amid it begins it again."""
        ctx = self._ctx
        present = ctx.assortment.fingerprint()
        if await ctx.store.read(lambda tx: tx.policies()) == present:
            return
        skus = await ctx.store.read(lambda tx: tx.all_skus())
        for part in grouped(skus, SKUS_AT_ONCE):
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))
        await ctx.store.write(lambda tx: tx.put_policies(present))
        if skus:
            ctx.log.info("policies changed", skus=len(skus), next="what each channel shows follows")

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())
