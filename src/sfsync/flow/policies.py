"""What the settings say of channels and policies holds from the start, however they were changed meanwhile.

A channel level is decided again when something about its SKU happens. A changed cap, safety stock, share or
guarantee is nothing that happens to a SKU, so all of them are decided again when the policies are others than
those by which the store was last decided as a whole.

A change that would touch more than a set share of a channel's numbers waits for a person: until its plan is
applied, nothing is written to that channel. Settings that were put right free it by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from functools import partial

from sfsync.domain.mapping import must_ask
from sfsync.ports import Tx

from .context import Context, grouped
from .shelf import foreseen, refresh

SKUS_AT_ONCE = 500


class Policies:
    """Decides all again after a change of the settings; where `ask`, a large one waits for a person."""

    def __init__(self, ctx: Context, *, ask: bool = True) -> None:
        self._ctx, self._ask = ctx, ask

    async def run(self) -> None:
        """Until all is decided by the present policies. A kill amid it begins it again."""
        ctx = self._ctx
        present = ctx.assortment.fingerprint()
        before = await ctx.store.read(lambda tx: tx.policies())
        if before == present:
            return
        skus = await ctx.store.read(lambda tx: tx.all_skus())
        if before is not None and self._ask:
            await self._weigh(skus)
        for part in grouped(skus, SKUS_AT_ONCE):
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))
        await ctx.store.write(lambda tx: tx.put_policies(present))
        if skus:
            ctx.log.info("policies changed", skus=len(skus), next="what each channel shows follows")

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())

    async def _weigh(self, skus: Collection[str]) -> None:
        """Hold the channels of which too much would change, and free those of which it no longer does."""
        changed: Counter[str] = Counter()
        known: Counter[str] = Counter()
        for part in grouped(skus, SKUS_AT_ONCE):
            await self._ctx.store.read(partial(self._count, skus=part, changed=changed, known=known))
        for name, plan in self._ctx.assortment.channels.items():
            asks = must_ask(changed[name], known[name], plan.ask_above_percent)
            await self._ctx.store.write(
                partial(self._settle, name=name, asks=asks, changed=changed[name], known=known[name])
            )

    def _count(self, tx: Tx, *, skus: Collection[str], changed: Counter[str], known: Counter[str]) -> None:
        ctx = self._ctx
        for level, target in foreseen(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now()):
            known[level.channel] += 1
            changed[level.channel] += target not in (None, level.target, level.published)

    def _settle(self, tx: Tx, *, name: str, asks: bool, changed: int, known: int) -> None:
        if asks and tx.approved(name):
            reason = (
                f"The settings have changed, and with them {changed} of {known} numbers. Nothing is written "
                f"until a person has looked: `sfsync resync --channel {name}`."
            )
            tx.hold(name, reason)
            self._ctx.log.error("held back", channel=name, changed=changed, of=known, next=reason)
        elif not asks and tx.held(name):
            tx.approve(name, self._ctx.clock.now())
