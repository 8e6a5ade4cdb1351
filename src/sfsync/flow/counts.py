"""A stock count becomes one movement: what was counted, less what the ledger knew of that moment.

Counts of a sheet go together: their levels' rows are read in one go, and many are entered by one request.
Each level's slot is held from the reading of the ledger until the count is in, so that none of our movements
comes between; what others enter meanwhile is seen by the level's version, and made good by the count's next
step (`lateness`). With a count comes the moment it was made: postings that happened before it and are told
later are entered together with their compensation.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from sfsync.domain.counts import (
    NOT_SURE,
    Believed,
    Count,
    CountOutcome,
    Sure,
    began_after,
    doubt,
    folded_after,
    is_late,
    last_counted,
    movement,
    on_hand_at,
)
from sfsync.domain.fold import LedgerRow
from sfsync.domain.stock import LevelKey, Movement
from sfsync.domain.values import replace
from sfsync.ports import OutsideError, Tx

from .context import Context, unread
from .lateness import add
from .writer import Writer

ANSWER_SECONDS = 8.0
CLOCK_SKEW = timedelta(minutes=1)  # that a counter's clock may be ahead of ours
TOGETHER = 100  # counts in one reading and one request
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
        self,
        counts: Sequence[Count],
        *,
        partial: bool = False,
        dry_run: bool = False,
        sure: Sure = NOT_SURE,
    ) -> Sequence[CountOutcome]:
        """Enter each once, or none where one has a problem (unless `partial`); an outcome for each.

        An outcome with neither state nor problem: nothing is wrong with that one, and it was not entered.
        What the org alone can tell is asked before anything is entered, and in a `dry_run` too, of counts
        that were not made just now. `sure`: a person's word on numbers and dates not believed otherwise.
        """
        seen = await self._checked(counts, sure)
        if dry_run or not partial:
            seen = await self._asked(counts, seen)
        outcomes = [each or CountOutcome() for each in seen]
        if dry_run or (not partial and any(outcome.problem for outcome in outcomes)):
            return outcomes
        rounds: dict[int, list[int]] = defaultdict(list)  # of each level its first count, its second …
        met: Counter[LevelKey] = Counter()
        for number in sorted(range(len(counts)), key=lambda number: counts[number].at):
            if not outcomes[number].problem:
                level = counts[number].level
                rounds[met[level]].append(number)
                met[level] += 1
        for numbers in rounds.values():
            for start in range(0, len(numbers), TOGETHER):
                part = numbers[start : start + TOGETHER]
                told = await self._enter([counts[number] for number in part], sure)
                for number, outcome in zip(part, told, strict=True):
                    outcomes[number] = outcome
        return outcomes

    async def enter(self, count: Count, sure: Sure = NOT_SURE) -> CountOutcome:
        """Enter it; the same count again is answered as the first time."""
        (outcome,) = await self._enter([count], sure)
        return outcome

    async def _checked(self, counts: Sequence[Count], sure: Sure) -> list[CountOutcome | None]:
        now, believed = self._ctx.clock.now(), self._ctx.assortment.counts.told(sure)
        return await self._ctx.store.read(
            lambda tx: [_check(tx, count, believed, now) for count in counts],
        )

    async def _asked(
        self, counts: Sequence[Count], seen: Sequence[CountOutcome | None]
    ) -> list[CountOutcome | None]:
        """The same, once the org's rows have said of which counts they do not reach back to the moment.

        Books do not begin after a count that is made just now; so a shelf that is scanned, which asks piece
        by piece, costs no calls.
        """
        lately = self._ctx.clock.now() - CLOCK_SKEW
        told = list(seen)
        open_ = [n for n, outcome in enumerate(seen) if outcome is None and counts[n].at < lately]
        for start in range(0, len(open_), TOGETHER):
            part = open_[start : start + TOGETHER]
            try:
                rows = await self._rows([counts[number] for number in part])
            except OutsideError as error:
                for number in part:
                    told[number] = _problem("try-later", str(error))
                continue
            for number in part:
                told[number] = _too_old(rows[counts[number].level], counts[number])
        return told

    async def _rows(self, counts: Sequence[Count]) -> dict[LevelKey, list[LedgerRow]]:
        """The rows of the counts' levels as the org has them. Raises the org's failures."""
        held = await self._ctx.store.read(lambda tx: tx.levels({count.level for count in counts}))
        rows: dict[LevelKey, list[LedgerRow]] = {level: [] for level in held}
        for row in await self._ctx.org.rows_at(
            [level.record_id for level, _ in held.values() if level.record_id]
        ):
            if row.movement.level in rows:
                rows[row.movement.level].append(row)
        return rows

    async def _enter(self, counts: Sequence[Count], sure: Sure) -> list[CountOutcome]:
        """Enter counts of different levels together: one reading of their rows, and one request for many."""
        async with AsyncExitStack() as slots:
            for level in sorted(count.level for count in counts):
                await slots.enter_async_context(self._writer.alone(level))
            outcomes = await self._checked(counts, sure)
            fresh = [count for count, told in zip(counts, outcomes, strict=True) if told is None]
            try:
                rows = await self._rows(fresh)
            except OutsideError as error:
                return [told or _problem("try-later", str(error)) for told in outcomes]
            late = {count.level: _too_old(rows[count.level], count) for count in fresh}
            readings = [_Reading(count, rows[count.level]) for count in fresh if late[count.level] is None]
            entered = await self._send(readings)
        return [
            told or late[count.level] or entered[count.level]
            for count, told in zip(counts, outcomes, strict=True)
        ]

    async def _send(self, readings: Sequence[_Reading]) -> dict[LevelKey, CountOutcome]:
        ctx = self._ctx

        def commit(tx: Tx) -> list[tuple[int, int]]:
            planned = (self._plan(tx, reading) for reading in readings)
            return [each for each in planned if each is not None]

        if not readings:
            return {}
        planned = await ctx.store.write(commit)
        answered = [self._writer.answered(bundle) for bundle, _ in planned]
        for bundle, version in planned:
            self._writer.admit(bundle, version)
        ctx.bell.ring("writer")
        if answered:
            await asyncio.wait(answered, timeout=ANSWER_SECONDS)
        for bundle, _ in planned:
            self._writer.dismiss(bundle)
        known = await ctx.store.read(lambda tx: [_known(tx, reading.count) for reading in readings])
        refused = _problem("refused", "the org did not take it; see the dead letters")
        return {
            reading.count.level: replace(told, again=bool(reading.own)) if told is not None else refused
            for reading, told in zip(readings, known, strict=True)
        }

    def _plan(self, tx: Tx, reading: _Reading) -> tuple[int, int] | None:
        """Write a count down: its bundle, and the version that its level has when nobody else comes first."""
        count, now = reading.count, self._ctx.clock.now()
        product = self._ctx.assortment.catalogue.of(count.level.sku)
        if reading.own:  # the store had lost it: the org's rows are the truth
            tx.replace_rows(count.subject, reading.own, now)
            if reading.own[0].source_version != count.told:
                return None
        tx.add_count(count, None if product is None else product.price, now)
        if reading.own and not reading.variance:
            return None
        row = movement(count, tx.next_step(count.subject), reading.variance)
        held, _ = tx.levels([count.level])[count.level]
        sent = 2 if is_late(row, last_counted(held, now)) else 1
        return add(tx, [row], {}, now), sum(each.version_delta for each in reading.rows) + sent


@dataclass(frozen=True, slots=True)
class _Reading:
    """A count, and the rows of its level as the org had them."""

    count: Count
    rows: Sequence[LedgerRow]

    @property
    def own(self) -> list[Movement]:
        """The count's rows that stand there already."""
        return [row.movement for row in self.rows if row.movement.subject == self.count.subject]

    @property
    def variance(self) -> int:
        return self.count.units - on_hand_at(self.rows, self.count.at)


def _too_old(rows: Sequence[LedgerRow], count: Count) -> CountOutcome | None:
    if (folded := folded_after(rows, count.at)) is not None:
        detail = f"movements up to {folded.isoformat()} have been folded: count again, and date it later"
        return _problem("too-old", detail)
    if (began := began_after(rows, count)) is not None:
        detail = f"the books of {count.level} begin on {began.isoformat()}: count again, and date it later"
        return _problem("too-old", detail)
    return None


def _check(tx: Tx, count: Count, believed: Believed, now: datetime) -> CountOutcome | None:
    """What became of the count before, or what keeps it from being entered; None when nothing does."""
    if count.units < 0:
        return _problem("wrong", f"{count.units} cannot have been counted; give a whole number from 0")
    if count.at > now + CLOCK_SKEW:
        return _problem("wrong", f"the count is dated {count.at.isoformat()}, which is still to come")
    if (known := _known(tx, count)) is not None:
        return known
    if (doubtful := doubt(count, believed, now)) is not None:
        return doubtful
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
