"""Limited editions: what of them may still be sold, and the one switch that opens them everywhere.

Switching an edition and working out what every channel shows of it is one commit: before it all show nothing,
after it all sell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial

from sfsync.domain.assortment import Assortment
from sfsync.domain.editions import REST, Edition, PartyStanding, Standing, Switch, opening, switched
from sfsync.ports import OutsideError, Tx

from .context import Context
from .levels import wake_uncovered
from .rooms import Rooms
from .shelf import refresh

EVERY_SECONDS = 0.5
COUNT_SECONDS = 30.0


def standing(tx: Tx, assortment: Assortment, edition: Edition) -> Standing:
    """How an edition stands now."""
    taken = Rooms(tx, assortment).taken(edition)
    parties = [*edition.split, *([REST] if edition.share(REST) or taken.get(REST) else [])]
    shows: dict[str, int] = defaultdict(int)
    for level in tx.channel_levels(edition.skus):
        shows[level.channel] += max(0, level.published)
    return Standing(
        edition,
        tx.switches().get(edition.name),
        sum(taken.values()),
        [
            PartyStanding(party, edition.share(party), taken.get(party, 0), edition.room(taken, party))
            for party in parties
        ],
        {name: shows[name] for name in assortment.channels},
    )


def _on_hand(tx: Tx, edition: Edition) -> int:
    """Units of an edition at all locations together: sales change it, promises do not."""
    return sum(level.on_hand for level in tx.levels_of(edition.skus))


class Editions:
    """Opens and closes editions: at the time that the settings plan, and when a person says so."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._begun = False

    async def run(self) -> None:
        """Until cancelled; at once done where there are none."""
        while self._ctx.assortment.editions:
            await self.look()
            await self._ctx.clock.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Open what is due. The first look works all of them out anew: the settings may be others now."""
        ctx = self._ctx
        if not self._begun:
            ctx.bell.ring(*await ctx.store.write(self._work_out))
            self._begun = True
        switches, now = await ctx.store.read(lambda tx: tx.switches()), ctx.clock.now()
        for edition in ctx.assortment.editions.values():
            if opening(edition, switches.get(edition.name), now) is not None:
                ctx.bell.ring(*await ctx.store.write(partial(self._open_as_planned, edition=edition)))

    async def count(self) -> None:
        """Until cancelled: ask the org what others have sold of the editions, when goods have moved.

        Tills that write to the org themselves are told of only by levels; the ledger has their sales.
        """
        while self._ctx.assortment.editions:
            for edition in self._ctx.assortment.editions.values():
                try:
                    await self._count(edition)
                except OutsideError as error:
                    self._ctx.warn("edition not counted", error, edition=edition.name)
            await self._ctx.clock.sleep(COUNT_SECONDS)

    async def _count(self, edition: Edition) -> None:
        ctx, skus = self._ctx, edition.skus
        on_hand, known, ours = await ctx.store.read(
            lambda tx: (_on_hand(tx, edition), tx.sold_elsewhere(edition.name), tx.sold_by_us(skus))
        )
        if known[1] == on_hand:
            return
        sold = await ctx.org.sold(skus)

        def commit(tx: Tx) -> set[str]:
            if tx.sold_by_us(skus) != ours:
                return set()  # some of ours went in meanwhile: before the reading or after it, nobody knows
            units = max(0, sold - ours)
            tx.put_sold_elsewhere(edition.name, units, on_hand)
            return self._refresh(tx, skus=skus) if units != known[0] else set()

        ctx.bell.ring(*await ctx.store.write(commit))

    async def switch(self, name: str, *, on: bool, who: str) -> Standing:
        """Open or close an edition everywhere at once; again is fine. `KeyError`: there is none of that name.

        `who` says so.
        """
        ctx, edition = self._ctx, self._ctx.assortment.editions[name]

        def commit(tx: Tx) -> tuple[set[str], Standing]:
            before = tx.switches().get(name)
            after = switched(edition, before, ctx.clock.now(), on=on, who=who)
            return self._put(tx, edition, before, after), standing(tx, ctx.assortment, edition)

        bells, told = await ctx.store.write(commit)
        ctx.bell.ring(*bells)
        return told

    async def standings(self) -> Sequence[Standing]:
        """How each edition stands, in the order of the settings."""
        assortment = self._ctx.assortment
        return await self._ctx.store.read(
            lambda tx: [standing(tx, assortment, edition) for edition in assortment.editions.values()]
        )

    def _work_out(self, tx: Tx) -> set[str]:
        """All of them anew, and what was sold beyond them: a size may have been raised."""
        skus = {sku for edition in self._ctx.assortment.editions.values() for sku in edition.skus}
        bells = {"orders"} if wake_uncovered(tx, skus) else set()
        return bells | self._refresh(tx, skus=skus)

    def _open_as_planned(self, tx: Tx, *, edition: Edition) -> set[str]:
        before = tx.switches().get(edition.name)
        after = opening(edition, before, self._ctx.clock.now())
        return set() if after is None else self._put(tx, edition, before, after)

    def _put(self, tx: Tx, edition: Edition, before: Switch | None, after: Switch) -> set[str]:
        """Switch it, and work out what every channel shows of it, in one commit."""
        if after == before:
            return set()
        tx.put_switch(edition.name, after)
        if after.open is not (before is not None and before.open):
            word = "edition opened" if after.open else "edition closed"
            self._ctx.log.info(word, edition=edition.name, by=after.who)
        return self._refresh(tx, skus=edition.skus)

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        ctx, now = self._ctx, self._ctx.clock.now()
        return refresh(tx, ctx.assortment, ctx.pulse, skus, now)
