"""A person's word for how divided units stand (`domain.by_hand`), and how they do.

The word is remembered in the commit that works out what follows from it. The rest is what happens to divided
units anyway: lower, confirmed, move, raise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from sfsync.domain.by_hand import Allocated, Do, Fixed, Said, Word, taken, taken_from_gone
from sfsync.ports import Tx

from .age import age_seconds
from .allocations import Divider, give_up, left_behind, parties
from .context import Context
from .picture import Picture
from .shelf import refresh

MOST_SKUS = 500  # that are listed when none is named


class Hands:
    """Takes words, and tells how units stand."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def say(self, word: Word, who: str) -> Said:
        """Remember the word, and ask for what follows from it; or say why it cannot be."""
        ctx = self._ctx
        said, bells = await ctx.store.write(partial(self._say, word=word, who=who))
        ctx.bell.ring(*bells)
        if not said.problem:
            ctx.log.info(
                "allocation by hand",
                sku=word.sku,
                channel=word.channel,
                word=word.do.value,
                units=word.units,
                to=word.to,
                by=who,
            )
        return said

    async def standing(self, sku: str | None = None) -> Sequence[Allocated]:
        """How the units of each channel stand: of a SKU, or of all that are divided; by SKU and priority."""

        def read(tx: Tx) -> list[Allocated]:
            skus = [sku] if sku else sorted({*tx.allocated_skus(), *tx.skus_by_hand()})[:MOST_SKUS]
            return self._standing(tx, skus)

        return await self._ctx.store.read(read)

    def _say(self, tx: Tx, *, word: Word, who: str) -> tuple[Said, set[str]]:
        ctx, now = self._ctx, self._ctx.clock.now()
        fixed = tx.by_hand(word.sku)
        rows = self._standing(tx, [word.sku])
        gone = next((row for row in rows if row.gone and row.channel == word.channel), None)
        if gone is not None and word.do is not Do.RELEASE:
            return self._withdraw_gone(tx, word, gone.shows)
        goals = {row.channel: row.goal for row in rows if not row.gone}
        if not goals and word.channel not in fixed:
            detail = f"{word.sku} is not divided among channels: no policy that holds of it says allocated"
            return Said(problem="not-divided", detail=detail), set()
        found = taken(word, goals, fixed)
        if isinstance(found, Said):
            return found, set()
        for channel, units in found.items():
            tx.put_by_hand(word.sku, channel, None if units is None else Fixed(units, who, now))
        bells = refresh(tx, ctx.assortment, ctx.pulse, {word.sku}, now)
        return Said(self._standing(tx, [word.sku])), bells

    def _withdraw_gone(self, tx: Tx, word: Word, shows: int) -> tuple[Said, set[str]]:
        """Give everybody what is set aside for a channel that is not in the settings any more."""
        if (refused := taken_from_gone(word, shows)) is not None:
            return refused, set()
        now = self._ctx.clock.now()
        give_up(tx, Picture(tx.facts([word.sku]), self._ctx.assortment), word.channel, word.sku, now)
        tx.put_by_hand(word.sku, word.channel, None)
        return Said(self._standing(tx, [word.sku])), {"writer"}

    def _standing(self, tx: Tx, skus: Collection[str]) -> list[Allocated]:
        ctx, found = self._ctx, list[Allocated]()
        now = ctx.clock.now()
        if not skus:
            return found
        picture = Picture(
            tx.facts(skus), ctx.assortment, age_seconds=age_seconds(tx, ctx.assortment, ctx.pulse, now)
        )
        divider = Divider(tx, ctx.assortment, ctx.pulse, picture, now, only_look=True)
        shown = tx.channel_levels(skus)
        levels = {
            (level.sku, level.channel): level
            for level in shown
            if level.channel in ctx.assortment.channels
            and level.location == ctx.assortment.channels[level.channel].first_location
        }
        for sku in skus:
            scarce, fixed = divider.scarce(sku), tx.by_hand(sku)
            division = ctx.assortment.division(sku, scarce)
            names = parties(ctx.assortment, picture, sku, scarce)
            books = [divider.books(sku, name, levels.get((sku, name))) for name in names]
            goals = {} if division is None else divider.goals(sku, scarce, division, books)
            found += [
                Allocated(
                    each.channel,
                    sku,
                    goals.get(each.channel, 0),
                    fixed.get(each.channel),
                    each.held,
                    each.coming,
                    each.shown,
                    each.spare,
                    each.sold,
                    lacking=each.gone,
                )
                for each in books
            ]
            for name in left_behind(ctx.assortment, picture, sku):
                places = {level.key.location for level in picture.levels(sku)}
                held, coming, sold = picture.allocation_books(sku, name, places)
                last = [level for level in shown if (level.sku, level.channel) == (sku, name)]
                shows = sum(max(0, level.published + level.flying) for level in last)
                spare = max(0, held - sold - shows)
                lacking = sum(divider.gone(sku, name, places).values())
                row = Allocated(name, sku, 0, fixed.get(name), held, coming, shows, spare, sold, gone=True)
                found.append(replace(row, lacking=lacking))
        return found
