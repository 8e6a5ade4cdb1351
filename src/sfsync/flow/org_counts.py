"""Stock counts that are made as records in the org, and counts made elsewhere written down there.

The records are asked for, not listened to: entities of change events are scarce, and a count is no sale. What
one says is entered as every other count, under its record's id, so it is entered once whatever breaks in
between; what became of it is written back. A record with a mistake is told which, and stays; those that
nobody corrected are looked at again each hour, because a stock level may have been made meanwhile.

What is to be told is worked out from the store and the ledger, never remembered as an errand: a count is told
until its record says what the ledger holds. So a restart, an answer that was lost and a variance that was
made good later need nothing of their own. Copies are of counts made elsewhere only, and are never read: no
loop.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sfsync.domain import org_counts as rules
from sfsync.domain.counts import Count
from sfsync.domain.coverage import OVERLAP
from sfsync.domain.letters import COUNTS
from sfsync.domain.org_counts import CountTold, MistakeError, OrgCount, Status, Taken
from sfsync.ports import TOLD_AT_ONCE, CountBook, CountFate, OutsideError, Tx

from .context import Context, unread
from .counts import Counts

MARK = "counts in the org"  # of what was asked for last
SWEEP = timedelta(hours=1)  # between looks at everything that has no answer, and at what the org refused
RETOLD = timedelta(days=30)  # a count's variance is made good soon, or never
ADVICE = "mend what the org names: a validation, a trigger, or the permission set Sfsync_Counts"


@dataclass(frozen=True, slots=True)
class Counting:
    """How the records are followed. `copies`: counts made elsewhere are written there too."""

    every_seconds: float = 60.0
    copies: bool = True


class OrgCounts:
    """Takes up counts from the org's records, and keeps those records true."""

    def __init__(self, ctx: Context, book: CountBook, counts: Counts, how: Counting) -> None:
        self._ctx, self._book, self._counts = ctx, book, counts
        self._every, self._copies = how.every_seconds, how.copies
        self._swept_at: datetime | None = None
        self._refused: dict[str, datetime] = {}  # record or subject -> when it may be written again

    async def run(self) -> None:
        """Until cancelled."""
        ctx = self._ctx
        while await ctx.store.read(unread):
            await ctx.clock.sleep(1.0)  # a record names its level: wait until the levels are known
        while True:
            try:
                await self.look()
            except OutsideError as error:
                ctx.warn("stock counts in the org not read", error, next=f"again in {self._every:g} s")
            await ctx.clock.sleep(self._every)

    async def look(self) -> None:
        """Take up what is new, tell what became of it, and tell of counts made elsewhere."""
        ctx = self._ctx
        started = ctx.clock.now()
        mark = await ctx.store.read(lambda tx: tx.poll_mark(MARK))
        if mark is not None:
            async for page in self._book.changed_since(mark - OVERLAP):
                await self._take_up(page)
        if self._swept_at is None or started - self._swept_at >= SWEEP:
            async for page in self._book.unanswered():
                await self._take_up(page)
            self._swept_at = started
        await ctx.store.write(lambda tx: tx.put_poll_mark(MARK, started))
        await self._tell_rest()

    async def _take_up(self, page: Sequence[OrgCount]) -> None:
        """Enter the records that are not entered yet, and write back what became of each."""
        taken = await self._taken(page)
        told: list[CountTold | None] = []
        fresh: list[tuple[OrgCount, Count]] = []
        for record in page:
            if record.record_id in taken:
                continue
            if rules.answered(record):
                told.append(rules.lost(record))
                continue
            try:
                fresh.append((record, rules.read(record)))
            except MistakeError as error:
                told.append(rules.mistake(record, str(error)))
        outcomes = await self._counts.enter_all([count for _, count in fresh], partial=True)
        for (record, _), outcome in zip(fresh, outcomes, strict=True):
            if outcome.problem and outcome.problem != "try-later":
                told.append(rules.mistake(record, rules.refusal(outcome)))
        if fresh:
            taken = await self._taken(page)
        told += [
            rules.answer(record, taken[record.record_id]) for record in page if record.record_id in taken
        ]
        await self._tell([each for each in told if each is not None])

    async def _taken(self, page: Sequence[OrgCount]) -> dict[str, Taken]:
        ids = [record.record_id for record in page]
        return dict(await self._ctx.store.read(lambda tx: tx.counts_of_records(ids)))

    async def _tell_rest(self) -> None:
        """Counts whose record does not tell of them: interrupted, made good since, or made elsewhere."""
        ctx, after = self._ctx, ""
        while True:
            now = ctx.clock.now()
            due = await ctx.store.read(
                lambda tx, after=after, now=now: tx.counts_to_tell(  # type: ignore[misc]  # reason: bound as defaults
                    copies=self._copies, since=now - RETOLD, after=after, limit=TOLD_AT_ONCE
                )
            )
            if not due:
                return
            after = due[-1].count.subject
            await self._tell([_told(each) for each in due])

    async def _tell(self, told: Sequence[CountTold]) -> None:
        now = self._ctx.clock.now()
        wanted = [each for each in told if self._refused.get(_name(each), now) <= now]
        for start in range(0, len(wanted), TOLD_AT_ONCE):
            await self._write(wanted[start : start + TOLD_AT_ONCE])

    async def _write(self, told: Sequence[CountTold]) -> None:
        """Write one call's worth, and note what is written."""
        ctx = self._ctx
        answers = await self._book.tell(told)
        now = ctx.clock.now()
        settled = [
            each
            for each, answer in zip(told, answers, strict=True)
            if answer.fate in (CountFate.WRITTEN, CountFate.GONE)
        ]
        refused = {
            _name(each): answer.why
            for each, answer in zip(told, answers, strict=True)
            if answer.fate is CountFate.REFUSED
        }

        def commit(tx: Tx) -> None:
            tx.mark_counts_told(_variances(settled))
            for source, name in tx.with_dead_letter([_name(each) for each in settled]):
                if source == COUNTS:
                    tx.drop_dead_letter(COUNTS, name)
            for name, why in refused.items():
                tx.dead_letter(COUNTS, name, f"not written to the org: {why}", ADVICE, "", now)

        await ctx.store.write(commit)
        for each in settled:
            self._refused.pop(_name(each), None)
        for name, why in refused.items():
            self._refused[name] = now + SWEEP
            ctx.log.warning("count not written to the org", count=name, reason=why, next="again in an hour")
        entered = sum(1 for each in settled if each.record_id and each.status is Status.ENTERED)
        wrong = sum(1 for each in settled if each.status in (Status.MISTAKE, Status.CHANGED))
        copied = sum(1 for each in settled if not each.record_id)
        ctx.log.info("stock counts told to the org", entered=entered, to_mend=wrong, copied=copied)


def _told(taken: Taken) -> CountTold:
    count = taken.count
    return CountTold(
        count.record_id, Status.ENTERED, count=count, variance=taken.variance, recount=taken.recount
    )


def _name(told: CountTold) -> str:
    return told.record_id or (told.count.subject if told.count is not None else "")


def _variances(told: Collection[CountTold]) -> dict[str, int]:
    return {
        each.count.subject: each.variance
        for each in told
        if each.count is not None and each.variance is not None
    }
