"""Org and channels compared on a person's wish: read, planned, looked at, and put right.

Read first (`resync_reading`): nothing has changed then, and a kill loses a page. What applying costs, and
whether it goes too far to be done unasked, is told with the plan (`resync_pricing`). Once a person has seen
it the plan may be applied (`resync_applying`). One comparison at a time, which is gone on with after a start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sfsync.domain.resync import Cause, Difference, NobodyKnowsError, Scope, WrittenPlan
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.values import replace
from sfsync.ports import OutsideError, PlannedRow, ResyncRun, RunState, Tx

from .context import Context
from .orders import OrderPoll
from .reconcile import Reconcile
from .resync_applying import Applying
from .resync_keeping import BELL, CHANNEL, LEVELS_AT_ONCE, Keeping, ReplacedError, beginning, moment
from .resync_pricing import ask, price
from .resync_reading import Reading
from .resync_scope import Scoping

SWEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A comparison that has ended, with all its rows: for whoever waits for it."""

    run: ResyncRun
    rows: tuple[Difference, ...]

    @property
    def id(self) -> str:
        """By which it is applied."""
        return self.run.id

    @property
    def unread(self) -> Mapping[str, str]:
        """Channel -> why it could not be read."""
        return {name: of["unread"] for name, of in self.run.about["channels"].items() if of["unread"]}


class Resync:
    """One comparison at a time."""

    def __init__(self, ctx: Context, polls: OrderPoll, reconcile: Reconcile) -> None:
        self._ctx, self._kept = ctx, Keeping(ctx)
        self._reading = Reading(ctx, polls, reconcile, self._kept)
        self._applying = Applying(ctx, polls, reconcile, self._kept)

    # -- what people ask

    async def begin(self, scope: Scope) -> ResyncRun:
        """Compare; an older comparison is forgotten. Raises `BusyError` while a plan is being applied.

        Raises `NobodyKnowsError` where the scope names a location or SKU that is nowhere.
        """
        if problems := await Scoping(self._ctx).problems(scope):
            raise NobodyKnowsError(problems)
        about = beginning(scope.channels or sorted(self._ctx.channels))
        about["rules"] = self._ctx.assortment.fingerprint()
        made_at = self._ctx.clock.now()
        return await self._kept.begin(ResyncRun(self._ctx.new_id(), made_at, RunState.READING, scope, about))

    async def bring(self, plan: WrittenPlan, *, more: bool = False) -> ResyncRun:
        """Take in a plan that was written to a file and looked at there; it is ready to be applied.

        `more`: further rows follow by `bring_rows`, and until the last have come it is not.
        """
        names = sorted({row.channel for row in plan.rows})
        about = beginning(names) | {"strict": True, "compared": len(plan.rows)}
        about["channels"] = {name: of | {"done": True} for name, of in about["channels"].items()}
        state = RunState.BRINGING if more else RunState.READY
        run = ResyncRun(self._ctx.new_id(), plan.made_at, state, Scope(org=False), about)
        run = await self._kept.begin(run, _brought(plan.rows, plan.made_at))
        return run if more else await self._priced(run)

    async def bring_rows(self, run_id: str, rows: Sequence[Difference], *, more: bool) -> ResyncRun | None:
        """Take in further rows of a plan; the same again is fine. None when none of that id is coming in.

        Raises `ValueError` where a row names a number that other rows have named, and says another thing.
        """

        def add(tx: Tx) -> ResyncRun | None:
            run = tx.resync(run_id)
            if run is None or run.state is not RunState.BRINGING:
                return None
            new = _not_yet(tx, run_id, rows)
            tx.put_resync_rows(run_id, _brought(new, run.made_at))
            channels = {row.channel: {**CHANNEL, "done": True} for row in new} | run.about["channels"]
            run = run.told(compared=run.about["compared"] + len(new), channels=channels)
            run = run if more else replace(run, state=RunState.READY)
            tx.put_resync(run)
            return run

        run = await self._ctx.store.write(add)
        return run if run is None or more else await self._priced(run)

    async def _priced(self, run: ResyncRun) -> ResyncRun:
        told = await self._ctx.store.read(partial(price, ctx=self._ctx, run=run))
        return await self._kept.keep(run.told(price=told))

    async def apply(self, run_id: str, *, yes_change: int | None = None) -> ResyncRun | None:
        """Begin to apply a plan; None when there is none that is ready.

        Raises `TooMuchError` when a person must name the number of changes first, and has not.
        """

        def start(tx: Tx) -> ResyncRun | None:
            run = tx.resync(run_id)
            if run is None or run.state is not RunState.READY:
                return None
            ask(tx, self._ctx, run, yes_change)
            run = replace(run, state=RunState.APPLYING).told(approved_at=moment(self._ctx.clock.now()))
            tx.put_resync(run)
            return run

        run = await self._ctx.store.write(start)
        self._kept.ring()
        return run

    async def ended(self, run_id: str) -> ResyncRun | None:
        """Wait until it is read, or applied; None when another took its place."""
        while True:
            news = self._kept.news
            run = await self._ctx.store.read(lambda tx: tx.resync(run_id))
            if run is None or run.state in (RunState.READY, RunState.DONE):
                return run
            await news.wait()

    async def compare(self, scope: Scope | None = None) -> Plan:
        """Begin, and wait for the plan."""
        run = await self.ended((await self.begin(scope or Scope())).id)
        if run is None:
            raise ReplacedError
        rows: list[Difference] = []
        async for part in self.rows(run.id):
            rows += [row.difference for row in part if row.difference.cause is not Cause.EVEN]
        return Plan(run, tuple(rows))

    async def put_right(self, run_id: str, *, yes_change: int | None = None) -> ResyncRun | None:
        """Apply, and wait for the end; None when there is no such plan."""
        if await self.apply(run_id, yes_change=yes_change) is None:
            return None
        return await self.ended(run_id)

    async def rows(self, run_id: str) -> AsyncIterator[Sequence[PlannedRow]]:
        """All rows of a plan, in parts."""
        after = ("", "", "")
        while True:
            part = await self._ctx.store.read(partial(_rows_after, run_id=run_id, after=after))
            if not part:
                return
            yield part
            last = part[-1].difference
            after = (last.channel, last.sku, last.location)

    # -- the loop

    async def run(self) -> None:
        """Until cancelled: go on with whatever is to be read or applied, also after a kill."""
        ctx, attempt = self._ctx, 0
        while True:
            run = await ctx.store.read(lambda tx: tx.last_resync())
            try:
                if run is not None and run.state is RunState.READING:
                    await self._read(run)
                elif run is not None and run.state is RunState.APPLYING:
                    await self._applying.apply(run)
                else:
                    await ctx.bell.wait(BELL, SWEEP_SECONDS)
                attempt = 0
            except ReplacedError:
                pass
            except OutsideError as error:
                attempt += 1
                wait = backoff_seconds(attempt, ctx.luck())
                ctx.warn("resync waits", error, next=f"again in {wait:.1f} s")
                await ctx.clock.sleep(wait)

    async def _read(self, run: ResyncRun) -> None:
        run = await self._reading.read(run)
        told = await self._ctx.store.read(partial(price, ctx=self._ctx, run=run))
        run = await self._kept.keep(replace(run, state=RunState.READY).told(price=told))
        self._ctx.log.info("compared", resync=run.id, compared=run.about["compared"], **told["org"])


def _brought(rows: Sequence[Difference], at: datetime) -> list[PlannedRow]:
    return [PlannedRow(row, None, None, at, at) for row in rows]


def _not_yet(tx: Tx, run_id: str, rows: Sequence[Difference]) -> list[Difference]:
    """Those of the rows that have not come before."""
    skus: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        skus[row.channel].add(row.sku)
    known = {
        (row.channel, row.sku, row.location): row
        for channel, named in skus.items()
        for row in tx.resync_differences(run_id, channel, named)
    }
    new = []
    for row in rows:
        before = known.get((row.channel, row.sku, row.location))
        if before is None:
            new.append(row)
        elif before != row:
            raise ValueError(f"{row.sku} at {row.channel}, {row.location} is named by two rows, which differ")
    return new


def _rows_after(tx: Tx, *, run_id: str, after: tuple[str, str, str]) -> Sequence[PlannedRow]:
    return tx.resync_rows(run_id, after=after, limit=LEVELS_AT_ONCE)
