"""A stock count becomes one movement: what was counted, less what the ledger knew of that moment.

The level's slot is held from the reading of the ledger until the count is in, so that none of our movements
comes between; what others enter meanwhile is seen by the level's version, and made good by the count's next
step (`lateness`). With a count comes the moment it was made: postings that happened before it and are told
later are entered together with their compensation.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sfsync.domain.counts import Count, CountOutcome, folded_after, is_late, movement, on_hand_at
from sfsync.domain.fold import LedgerRow
from sfsync.domain.stock import LevelKey, Movement
from sfsync.ports import OutsideError, Tx

from .context import Context, unread
from .lateness import add
from .writer import Writer

ANSWER_SECONDS = 8.0
CLOCK_SKEW = timedelta(minutes=1)  # that a counter's clock may be ahead of ours
SHEETS = "counts"  # the scope of their keys


class Counts:
    """Enters stock counts, each once."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer

    async def sheet(self, key: str, digest: str) -> bool:
        """Remember what came under a request's key; False when something else came under it before."""

        def work(tx: Tx) -> bool:
            known = tx.remembered(SHEETS, key)
            if known is None:
                tx.remember(SHEETS, key, digest, "", self._ctx.clock.now())
            return known is None or known[0] == digest

        return await self._ctx.store.write(work)

    async def enter_all(
        self, counts: Sequence[Count], *, partial: bool = False, dry_run: bool = False
    ) -> Sequence[CountOutcome]:
        """Enter each once, or none where one has a problem (unless `partial`); an outcome for each.

        An outcome with neither state nor problem: nothing is wrong with that one, and it was not entered.
        What only the org can tell (it does not answer, it has folded what came later) is told of each.
        """
        now = self._ctx.clock.now()
        seen = await self._ctx.store.read(lambda tx: [_check(tx, count, now) for count in counts])
        outcomes = [each or CountOutcome() for each in seen]
        if dry_run or (not partial and any(outcome.problem for outcome in outcomes)):
            return outcomes
        levels: dict[LevelKey, list[int]] = defaultdict(list)
        for number in sorted(range(len(counts)), key=lambda number: counts[number].at):
            if not outcomes[number].problem:
                levels[counts[number].level].append(number)

        async def one_level(numbers: Sequence[int]) -> None:
            for number in numbers:
                outcomes[number] = await self.enter(counts[number])

        await asyncio.gather(*map(one_level, levels.values()))
        return outcomes

    async def enter(self, count: Count) -> CountOutcome:
        """Enter it; the same count again is answered as the first time."""
        ctx = self._ctx
        async with self._writer.alone(count.level):
            now = ctx.clock.now()
            if (known := await ctx.store.read(lambda tx: _check(tx, count, now))) is not None:
                return known
            held = await ctx.store.read(lambda tx: tx.levels([count.level])[count.level])
            try:
                rows = await ctx.org.level_rows(held[0].record_id)
            except OutsideError as error:
                return _problem("try-later", str(error))
            if (folded := folded_after(rows, count.at)) is not None:
                return _problem(
                    "too-old",
                    f"movements up to {folded.isoformat()} have been folded: count again, and date it later",
                )
            return await self._enter(count, rows)

    async def _enter(self, count: Count, rows: Sequence[LedgerRow]) -> CountOutcome:
        ctx = self._ctx
        own = [row.movement for row in rows if row.movement.subject == count.subject]
        variance = count.units - on_hand_at(rows, count.at)

        def commit(tx: Tx) -> tuple[int, int] | None:
            now = ctx.clock.now()
            product = ctx.assortment.catalogue.of(count.level.sku)
            price = None if product is None else product.price
            if own:  # the store had lost it: the org's rows are the truth
                tx.replace_rows(count.subject, own, now)
                if own[0].source_version != count.told:
                    return None
            tx.add_count(count, price, now)
            if own and not variance:
                return None
            row = movement(count, tx.next_step(count.subject), variance)
            held, _ = tx.levels([count.level])[count.level]
            return add(tx, [row], {}, now), 2 if is_late(row, held.counted_at) else 1

        planned = await ctx.store.write(commit)
        if planned is not None:
            bundle, sent = planned
            self._writer.admit(bundle, sum(row.version_delta for row in rows) + sent)
            answered = self._writer.answered(bundle)
            ctx.bell.ring("writer")
            await asyncio.wait([answered], timeout=ANSWER_SECONDS)
            self._writer.dismiss(bundle)
        outcome = await ctx.store.read(lambda tx: _known(tx, count))
        if outcome is not None:
            return replace(outcome, again=bool(own))
        return _problem("refused", "the org did not take it; see the dead letters")


def _check(tx: Tx, count: Count, now: datetime) -> CountOutcome | None:
    """What became of the count before, or what keeps it from being entered; None when nothing does."""
    if count.units < 0:
        return _problem("wrong", f"{count.units} cannot have been counted; give a whole number from 0")
    if count.at > now + CLOCK_SKEW:
        return _problem("wrong", f"the count is dated {count.at.isoformat()}, which is still to come")
    if (known := _known(tx, count)) is not None:
        return known
    if count.level not in tx.levels([count.level]):
        if unread(tx):
            return _problem("try-later", "the org's stock levels are still being read")
        return _problem("unknown-level", f"the org has no stock level {count.level}; create it first")
    return None


def _known(tx: Tx, count: Count) -> CountOutcome | None:
    """What is known of the count already; None when nothing is."""
    rows: Sequence[Movement] = tx.planned(count.subject)
    if not rows:
        return None
    told = {row.source_version for row in rows} - {""}  # what was folded says no more than its sum
    if told and told != {count.told}:
        detail = (
            f"the count {count.count_id!r} of {count.level} was another: {', '.join(sorted(told))}; "
            "date a recount at its own moment"
        )
        return _problem("id-reused", detail)
    state = "waiting" if tx.busy([count.subject]) else "entered"
    return CountOutcome(state, sum(row.on_hand_delta for row in rows), again=True)


def _problem(problem: str, detail: str) -> CountOutcome:
    return CountOutcome(problem=problem, detail=detail)
