"""Folding old movements of the org's ledger into opening rows, level by level, beside the daily work.

For each slice the level's slot is taken, so that none of our movements is under way there; what the org
holds is read; what may fold is decided (`domain.fold`) and written down in the same commit in which our own
picture of these subjects is brought up to the org's; then one request is sent. Sales of that level wait for
it; tills wait for the org's row lock.

An unknown outcome keeps the slot. The same request is asked again: its opening row has a unique key, so it
cannot happen twice. To give up safely the key is spent with a void row; if that finds the opening row there,
the fold had happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sfsync.domain.budget import Work
from sfsync.domain.fold import FoldResult, LedgerRow, Plan, plan
from sfsync.domain.incidents import REWRITTEN
from sfsync.domain.ledger import Bundle, Request, RowResult
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.stock import StockLevel
from sfsync.ports import CallsSpent, FoldIntent, OutsideError, Severity, Tx, Unknown

from .context import Context
from .levels import READ_AGAIN, apply_levels
from .writer import Writer

ATTEMPTS = 3  # at a fold that changed nothing, before it is left for the next run
PROBLEMS = 20  # told of one run


@dataclass(frozen=True, slots=True)
class FoldWish:
    """What a person asks for."""

    older_than: timedelta
    sku: str | None = None
    location: str | None = None
    dry_run: bool = False


@dataclass(slots=True)
class FoldRun:
    """How far a run has come."""

    id: str
    wish: FoldWish
    started_at: datetime
    ended_at: datetime | None = None
    levels: int = 0  # to look at
    done: int = 0  # looked at
    requests: int = 0  # folds entered
    rows: int = 0  # movements folded; with `dry_run`, that would be
    kept: Counter[str] = field(default_factory=Counter)  # reason -> movements
    problems: list[str] = field(default_factory=list)


class Folding:
    """Folds on demand and by night, and finishes what a former run began."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer
        self.run: FoldRun | None = None  # the present or the last one
        self._said = ""  # why the last fold did not happen

    async def hold(self) -> None:
        """Take the slots of folds that a former run left open, before anything else is sent there."""
        for intent in await self._ctx.store.read(lambda tx: tx.open_folds()):
            self._writer.claim(intent.level)

    async def finish(self) -> None:
        """Learn what became of folds that a former run left open."""
        for intent in await self._ctx.store.read(lambda tx: tx.open_folds()):
            await self._settle(intent, maybe_sent=True)
            self._writer.release(intent.level)

    def begin(self, wish: FoldWish) -> FoldRun | None:
        """A new run, to be given to `carry_out`; None while another is under way."""
        if self.run is not None and self.run.ended_at is None:
            return None
        self.run = FoldRun(self._ctx.new_id(), wish, self._ctx.clock.now())
        return self.run

    async def carry_out(self, run: FoldRun) -> None:
        """Do a run. What fails is told in it; the rest goes on."""
        try:
            await self._carry_out(run)
        except CallsSpent as error:
            self._problem(run, f"{error}; the rest is left for the next run")
        except OutsideError as error:
            self._problem(run, str(error))
        except Exception as error:
            self._ctx.log.exception("folding broke")
            self._problem(run, f"it broke: {type(error).__name__}; see the log")
        finally:
            run.ended_at = self._ctx.clock.now()
            self._ctx.log.info(
                "folded",
                levels=run.done,
                rows=run.rows,
                requests=run.requests,
                dry_run=run.wish.dry_run,
                problems=len(run.problems),
            )

    async def _carry_out(self, run: FoldRun) -> None:
        ctx, wish = self._ctx, run.wish
        before = run.started_at - wish.older_than
        told = await ctx.org.children(before, sku=wish.sku, location=wish.location)
        children = {each.level: each.rows for each in told}
        found = await ctx.store.read(lambda tx: tx.levels_by_record(children))
        levels = [
            level
            for level in found
            if wish.sku in (None, level.key.sku)
            and wish.location in (None, level.key.location)
            and ctx.assortment.edition(level.key.sku) is None  # its movements say what was sold
        ]
        run.levels = len(levels)
        if not levels:
            return
        if not wish.dry_run:
            finding = await ctx.org.check_fold()
            if finding.severity is Severity.FATAL:
                self._problem(run, f"{finding.what}; {finding.remedy}")
                return
        for level in sorted(levels, key=lambda each: (-children[each.record_id], each.key)):
            try:
                await self._level(run, level, before)
            except CallsSpent:
                raise
            except OutsideError as error:
                self._problem(run, f"{level.key}: {error}")
            run.done += 1

    def _problem(self, run: FoldRun, words: str) -> None:
        if len(run.problems) < PROBLEMS:
            run.problems.append(words)
        self._ctx.log.warning("not folded", reason=words)

    async def _level(self, run: FoldRun, level: StockLevel, before: datetime) -> None:
        """Slice after slice, giving the slot back in between."""
        while True:
            if run.wish.dry_run:
                found = await self._plan(level, before, write=False)
            else:
                async with self._writer.alone(level.key):
                    found = await self._plan(level, before, write=True)
                    if found.intent is not None and await self._settle(found.intent, maybe_sent=False):
                        run.requests += 1
                        run.rows += found.intent.fold.rows
                    elif found.intent is not None:
                        self._problem(run, f"{level.key}: {self._said}")
                        return
            if found.vanished:
                self._problem(run, f"{level.key}: movements were deleted by somebody; not folded")
                return
            if run.wish.dry_run and found.plan.fold is not None:
                run.rows += found.plan.fold.rows + found.plan.more
            if found.plan.fold is None or not found.plan.more or run.wish.dry_run:
                run.kept.update({reason.value: count for reason, count in found.plan.kept.items()})
                return

    async def _plan(self, level: StockLevel, before: datetime, *, write: bool) -> _Planned:
        """Read what the org holds, decide, and write the decision down."""
        ctx = self._ctx
        rows = await ctx.org.level_rows(level.record_id, Work.BULK)
        subjects = {row.movement.subject for row in rows if row.folded is None and row.movement.subject}
        all_rows = await ctx.org.rows_of(subjects) if subjects else ()
        elsewhere = [row for row in all_rows if row.movement.level != level.key]

        def decide(tx: Tx) -> _Planned:
            return _decide(tx, ctx, level, rows, elsewhere, before, write=write)

        found = await (ctx.store.write(decide) if write else ctx.store.read(decide))
        if found.vanished:
            ctx.bell.ring(READ_AGAIN, "orders")
        return found

    async def _settle(self, intent: FoldIntent, *, maybe_sent: bool) -> bool:
        """Send a fold until its outcome is known, and commit that; True when it happened."""
        ctx, attempt = self._ctx, 0
        while True:
            attempt += 1
            try:
                answer = await ctx.org.fold(intent.fold, intent.record_id)
            except Unknown as error:
                maybe_sent, said, result = True, str(error), FoldResult.LATER
            except OutsideError as error:
                said, result = str(error), FoldResult.LATER
            else:
                said, result = answer.message, answer.result
            if result is FoldResult.DONE:
                return await self._conclude(intent, "done", "")
            if result is not FoldResult.LATER or attempt >= ATTEMPTS:
                if not maybe_sent and result is not FoldResult.DUPLICATE:
                    return await self._conclude(intent, "dropped", said)
                try:
                    happened = await self._spend(intent)
                except OutsideError as error:
                    happened, said = None, str(error)
                if happened is not None:
                    return await self._conclude(intent, "done" if happened else "dropped", said)
            wait = backoff_seconds(attempt, ctx.luck())
            ctx.log.warning(
                "fold not answered", level=str(intent.level), reason=said, next=f"again in {wait:.1f} s"
            )
            await ctx.clock.sleep(wait)

    async def _spend(self, intent: FoldIntent) -> bool | None:
        """Take the opening row's key with a void row: True when the fold had happened, None: ask again."""
        opening = intent.fold.opening
        void = opening.void()
        bundle = Bundle(0, (void,), 0)
        request = Request((bundle,), (), frozenset({intent.level}))
        answer = await self._ctx.org.enter(request, {intent.level: intent.record_id})
        row = answer.rows.get(opening.key)
        if row is not None:
            return row.same_content(opening)
        return False if answer.results[opening.key].result is RowResult.CREATED else None

    async def _conclude(self, intent: FoldIntent, state: str, reason: str) -> bool:
        ctx = self._ctx
        self._said = reason
        asked_at = ctx.clock.now()
        read: Sequence[StockLevel] = ()
        try:
            read = await ctx.org.read_levels(levels=[intent.record_id], work=Work.REFRESH)
        except OutsideError as error:  # its numbers are what they were; only the version is higher
            ctx.log.debug("level not read after a fold", level=str(intent.level), reason=str(error))

        def commit(tx: Tx) -> set[str]:
            tx.finish_fold(intent, state, reason, ctx.clock.now())
            return apply_levels(tx, ctx, read, asked_at)

        ctx.bell.ring(*await ctx.store.write(commit))
        ctx.log.info("fold", level=str(intent.level), rows=intent.fold.rows, outcome=state, reason=reason)
        return state == "done"


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan, and its intent when it was written down."""

    plan: Plan
    intent: FoldIntent | None = None
    vanished: bool = False


def _decide(
    tx: Tx,
    ctx: Context,
    level: StockLevel,
    rows: Sequence[LedgerRow],
    elsewhere: Sequence[LedgerRow],
    before: datetime,
    *,
    write: bool,
) -> _Planned:
    now = ctx.clock.now()
    vanished = tx.keys_at(level.key) - {row.movement.key for row in rows}
    if vanished:
        if write:
            _tell_vanished(tx, ctx, level, vanished, now)
        return _Planned(Plan(None, 0, {}), vanished=True)
    steps = _next_steps((*rows, *elsewhere))
    folded = tx.folded_steps(list(steps))
    behind, ahead, known = set(), set(), tx.next_steps(list(steps))
    for subject, step in steps.items():
        if known[subject] < step:
            behind.add(subject)
        elif known[subject] > max(step, folded.get(subject, 0)):
            ahead.add(subject)  # entered since the rows were read
    closed = ahead | tx.busy(list(steps)) | _open_lines(tx, steps)
    found = plan(level.key, rows, elsewhere, before=before, open_subjects=closed)
    if found.fold is None or not write:
        return _Planned(found)
    for subject in sorted(behind & found.fold.fresh.keys()):
        # Ours is a cache: a new store must know these steps before their keys are free again.
        own = [
            row.movement
            for row in (*rows, *elsewhere)
            if row.movement.subject == subject and row.folded is None
        ]
        tx.replace_rows(subject, own, now)
    number = tx.add_fold(level.key, level.record_id, found.fold, now)
    return _Planned(found, FoldIntent(number, level.key, level.record_id, found.fold))


def _next_steps(rows: Sequence[LedgerRow]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row.movement.subject and row.folded is None:
            step = row.step
            own = 0 if step is None else step + 1
            found[row.movement.subject] = max(found.get(row.movement.subject, 0), own)
    return found


def _open_lines(tx: Tx, subjects: Mapping[str, int]) -> set[str]:
    lines = tx.lines(list(subjects))
    return {
        subject
        for subject, line in lines.items()
        if line.due or line.uncovered or line.line.open_quantity > 0
    }


def _tell_vanished(tx: Tx, ctx: Context, level: StockLevel, vanished: frozenset[str], now: datetime) -> None:
    title = f"movements of {level.key} that sfsync had entered were deleted in the org"
    detail = {
        "sku": level.key.sku,
        "location": level.key.location,
        "deleted": sorted(vanished)[:PROBLEMS],
    }
    tx.open_incident(REWRITTEN, str(level.key), title, detail, now)
    tx.begin_epoch([level.key], now)
    ctx.log.warning("rewritten ledger", level=str(level.key), deleted=len(vanished))
