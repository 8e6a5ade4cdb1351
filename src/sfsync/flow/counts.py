"""A stock count becomes one movement: what was counted, less what the ledger knew of that moment.

The level's slot is held from the reading of the ledger until the count is in, so that none of our movements
comes between; what others enter meanwhile is seen by the level's version, and made good by the count's next
step (`lateness`). With a count comes the moment it was made: postings that happened before it and are told
later are entered together with their compensation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from sfsync.domain.counts import Count, CountOutcome, folded_after, is_late, movement, on_hand_at
from sfsync.domain.fold import LedgerRow
from sfsync.domain.stock import Movement
from sfsync.ports import OutsideError, Tx

from .context import Context
from .lateness import add
from .writer import Writer

ANSWER_SECONDS = 8.0
CLOCK_SKEW = timedelta(minutes=1)  # that a counter's clock may be ahead of ours


class Counts:
    """Enters stock counts, each once."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer

    async def enter(self, count: Count) -> CountOutcome:
        """Enter it; the same count again is answered as the first time."""
        ctx = self._ctx
        if count.units < 0:
            return _problem("wrong", f"{count.units} cannot have been counted; give a whole number from 0")
        if count.at > ctx.clock.now() + CLOCK_SKEW:
            return _problem("wrong", f"the count is dated {count.at.isoformat()}, which is still to come")
        async with self._writer.alone(count.level):
            if (known := await ctx.store.read(lambda tx: _known(tx, count))) is not None:
                return known
            held = await ctx.store.read(lambda tx: tx.levels([count.level]).get(count.level))
            if held is None:
                return _problem("unknown-level", f"the org has no stock level {count.level}; create it first")
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
            if own:  # the store had lost it: the org's rows are the truth
                tx.replace_rows(count.subject, own, now)
                if own[0].source_version != count.told or not variance:
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
        return outcome or _problem("refused", "the org did not take it; see the dead letters")


def _known(tx: Tx, count: Count) -> CountOutcome | None:
    """What is known of the count already; None when nothing is."""
    rows: Sequence[Movement] = tx.planned(count.subject)
    if not rows:
        return None
    told = {row.source_version for row in rows} - {""}  # what was folded says no more than its sum
    if told and told != {count.told}:
        detail = f"the count {count.count_id!r} of {count.level} was another: {', '.join(sorted(told))}"
        return _problem("id-reused", detail)
    state = "waiting" if tx.busy([count.subject]) else "entered"
    return CountOutcome(state, sum(row.on_hand_delta for row in rows))


def _problem(problem: str, detail: str) -> CountOutcome:
    return CountOutcome(problem=problem, detail=detail)
