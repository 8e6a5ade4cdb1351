"""What the settings say of channels and policies holds from the start, however they were changed meanwhile.

A channel level is decided again when something about its SKU happens. A changed cap, safety stock, share or
guarantee is nothing that happens to a SKU, so all of them are decided again when the policies are others than
those by which the store was last decided as a whole.

A change that would touch more than a set share of a channel's numbers waits for a person. Until its plan is
applied the channel goes on by the settings from before, which the store keeps: what is sold or received
reaches it as ever, and only what the changed settings alone would change does not (`shelf.goes_on`). So it is
from the moment at which the new settings are read until they have been weighed, too. Settings that were put
right let their channel go on by themselves.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sfsync.domain.assortment import Assortment
from sfsync.domain.mapping import Hold, must_ask
from sfsync.ports import Tx

from .context import Context, grouped
from .shelf import foreseen, refresh

SKUS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Weighed:
    """What changed settings would change at one channel."""

    changed: int  # numbers
    known: int
    asks: bool  # a person, before they hold


class Policies:
    """Decides all again after a change of the settings; where `ask`, a large one waits for a person."""

    def __init__(self, ctx: Context, *, ask: bool = True) -> None:
        self._ctx, self._ask = ctx, ask
        self.weighed = asyncio.Event()  # what waits for a person is known

    async def recall(self) -> None:
        """Before anything is decided after a start: channels go on by what they went by."""
        await self._ctx.store.write(self._recall)

    def _recall(self, tx: Tx) -> None:
        assortment = self._ctx.assortment
        present = assortment.fingerprint()
        held: dict[str, Assortment] = {}
        for name in assortment.channels if self._ask else ():
            by = tx.goes_by(name)
            if by not in (None, present) and (before := tx.rulebook(by)) is not None:
                held[name] = before.snapshot(assortment.catalogue)
        assortment.keep(held)

    async def adopt(self, other: Assortment) -> None:
        """Other settings are read while we run; until they are weighed, channels go on as they do."""
        await self._ctx.store.write(lambda _: self._adopt(other))

    def _adopt(self, other: Assortment) -> None:
        assortment = self._ctx.assortment
        now = assortment.snapshot()
        held = {name: assortment.held.get(name, now) for name in assortment.channels}
        assortment.adopt(other)  # in the store's own thread: no transaction sees half of it
        assortment.keep(held if self._ask else {})

    async def run(self) -> None:
        """Until all is decided by the present policies. A kill amid it begins it again."""
        ctx = self._ctx
        present = ctx.assortment.fingerprint()
        if await ctx.store.read(lambda tx: self._decided(tx, present)):
            self.weighed.set()
            return
        skus = await ctx.store.read(lambda tx: tx.all_skus())
        await ctx.store.write(partial(self._begin, present=present))
        await self._weigh(skus, present)
        self.weighed.set()
        await self._decide(skus, present)
        if skus:
            ctx.log.info("policies changed", skus=len(skus), next="what each channel shows follows")

    def _decided(self, tx: Tx, present: str) -> bool:
        """True when all numbers are decided by these settings, except where a person is waited for."""
        held = tx.holds()
        names = self._ctx.assortment.channels
        going = all((name in held and self._ask) or tx.goes_by(name) == present for name in names)
        return going and tx.policies() == present

    def _begin(self, tx: Tx, *, present: str) -> None:
        tx.put_rulebook(present, self._ctx.assortment)
        tx.go_by("", present, self._ctx.clock.now())

    async def _decide(self, skus: Collection[str], present: str) -> None:
        ctx = self._ctx
        for part in grouped(skus, SKUS_AT_ONCE):
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))
        await ctx.store.write(lambda tx: tx.put_policies(present))

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())

    async def foresee(self, other: Assortment) -> Mapping[str, Weighed]:
        """What other settings would change. Changes nothing."""
        skus = await self._ctx.store.read(lambda tx: tx.all_skus())
        return await self._weighed(skus, other)

    async def _weighed(self, skus: Collection[str], other: Assortment) -> dict[str, Weighed]:
        changed: Counter[str] = Counter()
        known: Counter[str] = Counter()
        other = other.snapshot()  # of which nothing is held yet
        for part in grouped(skus, SKUS_AT_ONCE):
            count = partial(self._count, other=other, skus=part, changed=changed, known=known)
            await self._ctx.store.read(count)
        return {
            name: Weighed(
                changed[name], known[name], must_ask(changed[name], known[name], plan.ask_above_percent)
            )
            for name, plan in other.channels.items()
        }

    def _count(
        self,
        tx: Tx,
        *,
        other: Assortment,
        skus: Collection[str],
        changed: Counter[str],
        known: Counter[str],
    ) -> None:
        ctx = self._ctx
        for level, target in foreseen(tx, other, ctx.pulse, skus, ctx.clock.now()):
            known[level.channel] += 1
            changed[level.channel] += target not in (None, level.target, level.published)

    async def _weigh(self, skus: Collection[str], present: str) -> None:
        """Hold the channels of which too much would change, and let the others go by the new settings."""
        ctx = self._ctx
        others = await ctx.store.read(
            lambda tx: {name for name in ctx.assortment.channels if tx.goes_by(name) not in (None, present)}
        )
        weighed = await self._weighed(skus, ctx.assortment) if others and self._ask else {}
        for name in ctx.assortment.channels:
            found = weighed.get(name) if name in others else None
            hold = await ctx.store.write(partial(self._settle, name=name, found=found, present=present))
            if hold is not None:
                ctx.log.error(
                    "held back", channel=name, changed=hold.changed, of=hold.known, next=hold.sentence
                )

    def _settle(self, tx: Tx, *, name: str, found: Weighed | None, present: str) -> Hold | None:
        assortment, now = self._ctx.assortment, self._ctx.clock.now()
        if found is not None and found.asks and tx.approved(name) and name in assortment.held:
            hold = Hold(name, found.changed, found.known, now)
            tx.hold(hold)
            return hold
        let_go(assortment, name)
        tx.go_by(name, present, now)
        return None

    async def free(self, channel: str) -> None:
        """A person has seen what changed settings change at a channel: from now on they hold there."""
        ctx = self._ctx
        present = ctx.assortment.fingerprint()
        if not await ctx.store.write(partial(self._free, channel=channel, present=present)):
            return
        ctx.log.info("no longer held back", channel=channel)
        await self._decide(await ctx.store.read(lambda tx: tx.all_skus()), present)

    def _free(self, tx: Tx, *, channel: str, present: str) -> bool:
        if tx.held(channel) is None:
            return False
        let_go(self._ctx.assortment, channel)
        tx.go_by(channel, present, self._ctx.clock.now())
        tx.put_policies("")  # a kill before all is decided anew begins that again
        return True


def let_go(assortment: Assortment, channel: str) -> None:
    """A channel goes by the present settings; within a transaction, so that no other sees half of it."""
    assortment.keep({name: before for name, before in assortment.held.items() if name != channel})
