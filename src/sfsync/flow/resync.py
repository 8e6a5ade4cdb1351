"""Org and channels compared on a person's wish: read, planned, looked at, and put right.

First the org is read (by a query job, when all of it is wanted), and what it has newer than we hold is noted;
then each channel's listing, page by page, each page compared and committed with the place that stands after
it. Nothing has changed so far, and a kill loses a page. The plan may be applied, row by row, once a person
has seen it; a row whose facts are others by then is refused and told. A number read becomes the baseline and
the difference goes through the relay, as every other change; the next rows wait until nothing is due
(promise 12).
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any, TypeVar

from sfsync.domain import resync as rules
from sfsync.domain.budget import Work
from sfsync.domain.incidents import PUSH_LOST
from sfsync.domain.mapping import must_ask
from sfsync.domain.resync import (
    BusyError,
    Cause,
    Difference,
    Extent,
    Scope,
    Tariff,
    TooMuchError,
    WrittenPlan,
)
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.stock import StockLevel
from sfsync.ports import (
    OutsideError,
    PlannedRow,
    Priced,
    Resumable,
    ResyncRun,
    RowState,
    RunState,
    Tx,
)

from .comparing import Looking, Seen, newer, not_listed, place_of, rows_of
from .context import Context, grouped
from .levels import apply_levels, levels_gone
from .orders import OrderPoll
from .reconcile import Reconcile, take_over

T = TypeVar("T")

BELL = "resync"
SKUS_AT_ONCE = 500
LEVELS_AT_ONCE = 1_000
ROWS_AT_ONCE = 200  # applied in one commit: less than one push
FRESH = timedelta(minutes=1)  # a number asked for so lately need not be read again
DUE_SECONDS = 0.5  # between two looks whether live changes are out
DUE_LOOKS = 120  # then the next rows go all the same, behind them
SWEEP_SECONDS = 30.0
# Put right, a unit that was sold would be on sale again until its order is heard of.
PERHAPS_SOLD = "perhaps sold: compare again in ten minutes, or with --cause order-unseen"


_CHANNEL: dict[str, Any] = {"read": 0, "total": 0, "done": False, "unread": "", "oversell": []}


class _ReplacedError(Exception):
    """Another comparison has taken its place."""


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
        self._ctx, self._polls, self._reconcile = ctx, polls, reconcile
        self._news = asyncio.Event()

    # -- what people ask

    async def begin(self, scope: Scope) -> ResyncRun:
        """Compare; an older comparison is forgotten. Raises `BusyError` while a plan is being applied."""
        return await self._replace(
            ResyncRun(
                self._ctx.new_id(),
                self._ctx.clock.now(),
                RunState.READING,
                scope,
                self._beginning(scope.channels or sorted(self._ctx.channels)),
            )
        )

    async def bring(self, plan: WrittenPlan, *, more: bool = False) -> ResyncRun:
        """Take in a plan that was written to a file and looked at there; it is ready to be applied.

        `more`: further rows follow by `bring_rows`, and until the last have come it is not.
        """
        names = sorted({row.channel for row in plan.rows})
        about = self._beginning(names) | {"strict": True, "compared": len(plan.rows)}
        about["channels"] = {name: of | {"done": True} for name, of in about["channels"].items()}
        state = RunState.BRINGING if more else RunState.READY
        run = ResyncRun(self._ctx.new_id(), plan.made_at, state, Scope(org=False), about)
        run = await self._replace(run, _brought(plan.rows, plan.made_at))
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
            channels = {row.channel: {**_CHANNEL, "done": True} for row in new} | run.about["channels"]
            run = run.told(compared=run.about["compared"] + len(new), channels=channels)
            run = run if more else replace(run, state=RunState.READY)
            tx.put_resync(run)
            return run

        run = await self._ctx.store.write(add)
        return run if run is None or more else await self._priced(run)

    async def _priced(self, run: ResyncRun) -> ResyncRun:
        price = await self._ctx.store.read(partial(self._price, run=run))
        return await self._keep(run.told(price=price))

    async def apply(self, run_id: str, *, yes_change: int | None = None) -> ResyncRun | None:
        """Begin to apply a plan; None when there is none that is ready.

        Raises `TooMuchError` when a person must name the number of changes first, and has not.
        """

        def start(tx: Tx) -> ResyncRun | None:
            run = tx.resync(run_id)
            if run is None or run.state is not RunState.READY:
                return None
            self._ask(tx, run, yes_change)
            run = replace(run, state=RunState.APPLYING).told(approved_at=_moment(self._ctx.clock.now()))
            tx.put_resync(run)
            return run

        run = await self._ctx.store.write(start)
        self._ring()
        return run

    async def ended(self, run_id: str) -> ResyncRun | None:
        """Wait until it is read, or applied; None when another took its place."""
        while True:
            news = self._news
            run = await self._ctx.store.read(lambda tx: tx.resync(run_id))
            if run is None or run.state in (RunState.READY, RunState.DONE):
                return run
            await news.wait()

    async def compare(self, scope: Scope | None = None) -> Plan:
        """Begin, and wait for the plan."""
        run = await self.ended((await self.begin(scope or Scope())).id)
        if run is None:
            raise _ReplacedError
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
                    await self._apply(run)
                else:
                    await ctx.bell.wait(BELL, SWEEP_SECONDS)
                attempt = 0
            except _ReplacedError:
                pass
            except OutsideError as error:
                attempt += 1
                wait = backoff_seconds(attempt, ctx.luck())
                ctx.warn("resync waits", error, next=f"again in {wait:.1f} s")
                await ctx.clock.sleep(wait)

    async def _read(self, run: ResyncRun) -> None:
        run = await self._read_org(run)
        for name, of in run.about["channels"].items():
            if not of["done"]:
                run = await self._read_channel(run, name)
        price = await self._ctx.store.read(partial(self._price, run=run))
        run = await self._keep(replace(run, state=RunState.READY).told(price=price))
        self._ctx.log.info("compared", resync=run.id, compared=run.about["compared"], **price["org"])

    async def _read_org(self, run: ResyncRun) -> ResyncRun:
        """Note what the org has newer than we hold; where it cannot be read, our own levels must do."""
        ctx, scope = self._ctx, run.scope
        if run.about["org"]["done"]:
            return run
        read, skus, why = 0, run.about["skus"], ""
        there = _There(ctx.clock.now())
        try:
            async for page, asked_at in self._org_pages(scope):
                read += len(page)
                there.add(page)
                if scope.changed_since is not None:
                    skus = sorted({*(skus or ()), *(level.key.sku for level in page)})
                for start in range(0, len(page), LEVELS_AT_ONCE):
                    part = [(level, asked_at) for level in page[start : start + LEVELS_AT_ONCE]]
                    await self._note(run, part)
                run = await self._keep(run.told(org={**run.about["org"], "levels": read}, skus=skus))
            await self._note_gone(run, there)
        except OutsideError as error:
            why = str(error)
            ctx.warn("the org's levels were not read", error, next="compared with those that we hold")
        if scope.changed_since is not None:
            skus = await ctx.store.read(partial(_with_changed, since=scope.changed_since, skus=skus))
        found = await ctx.store.write(partial(self._still_newer, run_id=run.id))
        gone = await ctx.store.read(lambda tx: [str(level.key) for level in tx.resync_gone(run.id)])
        org = {"levels": read, "newer": found, "done": True, "unread": why}
        org |= {"gone": len(gone), "gone_named": gone[:3]}
        return await self._keep(run.told(org=org, skus=skus))

    async def _org_pages(self, scope: Scope) -> AsyncIterator[tuple[Sequence[StockLevel], datetime]]:
        org, clock = self._ctx.org, self._ctx.clock
        if not scope.org:
            return
        asked_at = clock.now()
        if scope.skus:
            for skus in grouped(sorted(scope.skus), SKUS_AT_ONCE):
                yield await org.levels_of_skus(skus), asked_at
        elif scope.changed_since is not None:
            async for page in org.levels_moved_since(scope.changed_since):
                yield page, asked_at
        else:
            async for page in org.export():
                yield page, asked_at

    async def _note(self, run: ResyncRun, levels: Sequence[tuple[StockLevel, datetime]]) -> None:
        found = await self._ctx.store.read(lambda tx: newer(tx, levels))
        if found:
            await self._write(run, lambda tx: tx.put_resync_levels(run.id, found))

    async def _note_gone(self, run: ResyncRun, there: _There) -> None:
        """Note the levels that we hold and the org does not have any more: no event told of it.

        Only a reading that would have shown them says so, and each is asked for once more by its key: it may
        have been made, or moved, while the others were read.
        """
        ctx, scope = self._ctx, run.scope
        if not scope.org or (scope.changed_since is not None and not scope.skus):
            return
        missing = await ctx.store.read(partial(_missing, there=there, skus=scope.skus))
        for start in range(0, len(missing), ROWS_AT_ONCE):
            part = missing[start : start + ROWS_AT_ONCE]
            read = await ctx.org.read_levels(keys=[level.key for level in part], work=Work.BULK)
            back = {level.key for level in read}
            gone = [level for level in part if level.key not in back]
            if gone:
                await self._write(run, partial(_keep_gone, run_id=run.id, gone=gone, at=there.since))

    @staticmethod
    def _still_newer(tx: Tx, *, run_id: str) -> int:
        """Drop what an event has told meanwhile; how many levels are left."""
        found = tx.resync_levels(run_id, limit=tx.count_resync_levels(run_id))
        left = {level.key for level, _ in newer(tx, found)}
        tx.drop_resync_levels(run_id, [level for level, _ in found if level.key not in left])
        return len(left)

    async def _read_channel(self, run: ResyncRun, name: str) -> ResyncRun:
        """Read and compare a channel from where it stands; one that cannot be read is told."""
        ctx, why = self._ctx, ""
        try:
            await self._polls.poll(name)
            place = await ctx.store.read(lambda tx: tx.resync_place(run.id, name))
            if place is not None and not self._resumes(run, name):
                run = await self._anew(run, name)
                place = None
            total = await ctx.store.read(lambda tx: tx.count_channel_levels(name))
            run = await self._of_channel(run, name, total=total)
            async for stands_at, page in self._pages(run, name, place):
                run = await self._page(run, name, page, stands_at)
            await self._write(run, partial(self._add_not_listed, run=run, name=name))
        except OutsideError as error:
            why = str(error)
        compared = run.about["compared"] + run.about["channels"][name]["read"]
        return await self._of_channel(run.told(compared=compared), name, done=True, unread=why)

    async def _anew(self, run: ResyncRun, name: str) -> ResyncRun:
        await self._write(run, lambda tx: tx.drop_resync_pages(run.id, name))
        return await self._of_channel(run, name, read=0, oversell=[])

    async def _of_channel(self, run: ResyncRun, name: str, **more: object) -> ResyncRun:
        channels = run.about["channels"]
        return await self._keep(run.told(channels={**channels, name: channels[name] | more}))

    async def _page(self, run: ResyncRun, name: str, page: Sequence[Seen], place: str) -> ResyncRun:
        """Compare a page, and commit what was found together with the place after it."""
        ctx, of = self._ctx, run.about["channels"][name]
        rows = await ctx.store.read(
            partial(rows_of, ctx=ctx, channel=name, page=page, scope=run.scope, run_id=run.id)
        )
        beyond = {*of["oversell"], *(one.item.sku for one in page if one.item.oversell_allowed)}
        of = of | {"read": of["read"] + len(page), "oversell": sorted(beyond)[:SKUS_AT_ONCE]}
        run = run.told(channels={**run.about["channels"], name: of})

        def commit(tx: Tx) -> None:
            tx.put_resync_rows(run.id, rows)
            tx.add_resync_page(run.id, name, place, {one.item.sku for one in page})
            tx.put_resync(run)

        await self._write(run, commit)
        self._ring()
        return run

    async def _pages(
        self, run: ResyncRun, name: str, place: str | None
    ) -> AsyncIterator[tuple[str, Sequence[Seen]]]:
        """What the channel shows, each page with the place after it; "" where it knows no places."""
        clock, channel = self._ctx.clock, self._ctx.channels[name]
        if not (self._resumes(run, name) and isinstance(channel, Resumable)):
            async for page in self._reconcile.read(name, run.about["skus"]):
                for start in range(0, len(page), SKUS_AT_ONCE):
                    yield "", page[start : start + SKUS_AT_ONCE]
            return
        asked_at = clock.now()  # of all of it: a channel may read it all at once, and give it in pages
        async for stands_at, items in channel.items_from(place):
            read_at = clock.now()
            yield stands_at, [Seen(item, asked_at, read_at) for item in items]

    def _resumes(self, run: ResyncRun, name: str) -> bool:
        channel = self._ctx.channels[name]
        return (
            run.about["skus"] is None and channel.ability.callbacks is None and isinstance(channel, Resumable)
        )

    def _add_not_listed(self, tx: Tx, *, run: ResyncRun, name: str) -> None:
        listed = tx.resync_listed(run.id, name)
        skus = run.about["skus"]
        rows = not_listed(tx, ctx=self._ctx, channel=name, listed=listed, skus=skus, scope=run.scope)
        for start in range(0, len(rows), LEVELS_AT_ONCE):
            tx.put_resync_rows(run.id, rows[start : start + LEVELS_AT_ONCE])

    # -- what it costs, and whether it goes too far

    def _price(self, tx: Tx, *, run: ResyncRun) -> dict[str, dict[str, Any]]:
        """What applying costs: calls to the org, and calls, points and minutes of each channel."""
        changes: Counter[str] = Counter()
        for count in tx.resync_counts(run.id):
            if count.cause not in rules.BLOCKING:
                changes[count.channel] += count.changes
        newer_levels = tx.count_resync_levels(run.id)
        standing = self._ctx.pulse.calls()
        left = None if standing is None else max(0, standing.ours - standing.ours_used)
        org = {"levels": newer_levels, "calls": ceil(newer_levels / ROWS_AT_ONCE), "calls_left": left}
        return {"org": org} | {
            name: asdict(rules.price(rows, self.tariff(name), again=True))
            for name, rows in sorted(changes.items())
            if name in self._ctx.channels
        }

    def tariff(self, name: str) -> Tariff:
        """What calls to a channel cost."""
        channel = self._ctx.channels[name]
        if isinstance(channel, Priced):
            return channel.tariff()
        return Tariff(channel.ability.batch_rows, SKUS_AT_ONCE)

    def extents(self, tx: Tx, run_id: str) -> dict[str, Extent]:
        """How much of each channel a plan changes, beyond what is looked at anyway or on its way."""
        found: dict[str, Extent] = {}
        for count in tx.resync_counts(run_id):
            if count.cause in rules.BLOCKING or count.cause in (Cause.FIRST_START, Cause.OUR_PUSH_DUE):
                continue
            if count.state is RowState.PLANNED and count.changes:
                before = found.get(count.channel) or Extent(tx.count_channel_levels(count.channel), 0, 0)
                found[count.channel] = Extent(
                    before.levels, before.changes + count.changes, before.zeros + count.zeros
                )
        return found

    def _ask(self, tx: Tx, run: ResyncRun, yes_change: int | None) -> None:
        extents, plans = self.extents(tx, run.id), self._ctx.assortment.channels
        far = {
            name: each
            for name, each in extents.items()
            if name in plans and must_ask(each.changes, each.levels, plans[name].ask_above_percent)
        }
        changes = sum(each.changes for each in extents.values())
        if far and yes_change != changes:
            raise TooMuchError(far, changes)

    # -- applying

    async def _apply(self, run: ResyncRun) -> None:
        run = await self._apply_levels(run)
        for name in run.about["channels"]:
            if name in self._ctx.channels and not run.about["channels"][name]["unread"]:
                run = await self._apply_rows(run, name)
                await self._ctx.store.write(partial(_pushes_found, channel=name, now=self._ctx.clock.now()))
                await self._reconcile.approve(name, whole=run.scope.every_row)
        await self._keep(replace(run, state=RunState.DONE).told(ended_at=_moment(self._ctx.clock.now())))

    async def _apply_levels(self, run: ResyncRun) -> ResyncRun:
        """Read once more what the org had newer, and take it over: every channel follows."""
        ctx = self._ctx
        if run.scope.causes and "missed-event" not in run.scope.causes:
            return run
        while levels := await ctx.store.read(partial(_newer_levels, run_id=run.id)):
            for name in ctx.channels:
                await self._wait_for_due(name)
            asked_at = ctx.clock.now()
            keys = [level.key for level, _ in levels]
            read = await ctx.org.read_levels(keys=keys, work=Work.BULK)
            take = partial(
                self._take_levels,
                run_id=run.id,
                read=read,
                asked_at=asked_at,
                done=[each for each, _ in levels],
            )
            run = await self._taken(run, take, len(levels))
        while gone := await ctx.store.read(partial(_gone_levels, run_id=run.id)):
            asked_at = ctx.clock.now()
            read = await ctx.org.read_levels(keys=[level.key for level in gone], work=Work.BULK)
            back = {level.key for level in read}
            take = partial(
                self._take_gone,
                run_id=run.id,
                read=read,
                asked_at=asked_at,
                done=gone,
                ids=[level.record_id for level in gone if level.key not in back],
            )
            run = await self._taken(run, take, len(gone))
        return run

    async def _taken(self, run: ResyncRun, take: Callable[[Tx], set[str]], levels: int) -> ResyncRun:
        """Take levels over, and count them in the same commit."""
        run = run.told(levels_applied=run.about["levels_applied"] + levels)

        def commit(tx: Tx) -> set[str]:
            bells = take(tx)
            tx.put_resync(run)
            return bells

        self._ctx.bell.ring(*await self._write(run, commit))
        self._ring()
        return run

    def _take_gone(
        self,
        tx: Tx,
        *,
        run_id: str,
        read: Sequence[StockLevel],
        asked_at: datetime,
        done: Sequence[StockLevel],
        ids: Sequence[str],
    ) -> set[str]:
        """What is still not there counts as empty; each is an incident, with the promises that it takes."""
        bells = self._take_levels(tx, run_id=run_id, read=read, asked_at=asked_at, done=done)
        return bells | levels_gone(tx, self._ctx, ids)

    def _take_levels(
        self,
        tx: Tx,
        *,
        run_id: str,
        read: Sequence[StockLevel],
        asked_at: datetime,
        done: Sequence[StockLevel],
    ) -> set[str]:
        tx.drop_resync_levels(run_id, done)
        for level in done:
            tx.end_drift("", level.key.sku, place_of(level.key), self._ctx.clock.now())
        return apply_levels(tx, self._ctx, read, asked_at)

    async def _apply_rows(self, run: ResyncRun, name: str) -> ResyncRun:
        while rows := await self._ctx.store.read(partial(_planned_rows, run_id=run.id, channel=name)):
            await self._wait_for_due(name)
            found = await self._read_again(run, name, rows)
            run, bells = await self._write(
                run, partial(self._apply_part, run=run, channel=name, rows=rows, found=found)
            )
            self._ctx.bell.ring(*bells)
            self._ring()
        return run

    async def _wait_for_due(self, name: str) -> None:
        """Let what is due go first: a sale never waits for us, and a row of ours never overtakes it."""
        ctx = self._ctx
        for _ in range(DUE_LOOKS):
            if not await ctx.store.read(partial(_is_busy, channel=name)):
                return
            await ctx.clock.sleep(DUE_SECONDS)

    async def _read_again(
        self, run: ResyncRun, name: str, rows: Sequence[PlannedRow]
    ) -> dict[tuple[str, str], Seen] | None:
        """The numbers as they are now; None when those of the plan were read just now."""
        ctx = self._ctx
        asked_at = ctx.clock.now()
        if not run.about["strict"] and all(asked_at - row.asked_at < FRESH for row in rows):
            return None
        await self._polls.poll(name)
        found: dict[tuple[str, str], Seen] = {}
        async for page in self._reconcile.read(name, {row.difference.sku for row in rows}):
            found |= {(one.item.sku, one.item.location): one for one in page}
        return found

    def _apply_part(
        self,
        tx: Tx,
        *,
        run: ResyncRun,
        channel: str,
        rows: Sequence[PlannedRow],
        found: Mapping[tuple[str, str], Seen] | None,
    ) -> tuple[ResyncRun, set[str]]:
        """Apply rows and count what became of them, in one commit: the run then, and the bells to ring."""
        ctx = self._ctx
        looking = Looking(
            tx, ctx, channel, {row.difference.sku for row in rows}, None, whole=run.scope.every_row
        )
        seen: list[Seen] = []
        become: list[PlannedRow] = []
        for row in rows:
            place = (row.difference.sku, row.difference.location)
            if not row.difference.applicable:
                if row.item is not None:  # a duplicate, say: told as a dead letter
                    seen.append(Seen(row.item, row.asked_at, row.read_at))
                become.append(replace(row, state=RowState.LEFT, note="a person must mend it first"))
                continue
            if why := _refusal(row, looking, found, strict=run.about["strict"]):
                become.append(replace(row, state=RowState.CHANGED, note=why))
                continue
            if _waits_for_its_order(row.difference, run.scope, looking):
                become.append(replace(row, state=RowState.LEFT, note=PERHAPS_SOLD))
                continue
            become.append(replace(row, state=RowState.APPLIED))
            if found is not None and place in found:
                seen.append(found[place])
            elif found is None and row.item is not None:
                seen.append(Seen(row.item, row.asked_at, row.read_at))
        tx.put_resync_rows(run.id, become)
        for row in become:
            if row.state is RowState.APPLIED:
                tx.end_drift(channel, row.difference.sku, row.difference.location, ctx.clock.now())
        bells = take_over(tx, ctx=ctx, channel=channel, seen=seen)
        told = Counter(run.about["rows"])
        told.update(row.state.value for row in become if row.difference.cause is not Cause.EVEN)
        run = run.told(rows=dict(told))
        tx.put_resync(run)
        return run, bells

    # -- what is kept

    @staticmethod
    def _beginning(names: Collection[str]) -> dict[str, Any]:
        return {
            "org": {"levels": 0, "newer": 0, "gone": 0, "gone_named": [], "done": False, "unread": ""},
            "channels": {name: dict(_CHANNEL) for name in names},
            "skus": None,
            "compared": 0,
            "strict": False,
            "rows": {},
            "levels_applied": 0,
        }

    async def _replace(self, run: ResyncRun, rows: Sequence[PlannedRow] = ()) -> ResyncRun:
        if run.scope.skus:
            run = run.told(skus=sorted(run.scope.skus))

        def start(tx: Tx) -> None:
            before = tx.last_resync()
            if before is not None and before.state is RunState.APPLYING:
                raise BusyError
            tx.drop_resyncs()
            tx.put_resync(run)
            tx.put_resync_rows(run.id, rows)

        await self._ctx.store.write(start)
        self._ring()
        return run

    async def _keep(self, run: ResyncRun) -> ResyncRun:
        await self._write(run, lambda tx: tx.put_resync(run))
        self._ring()
        return run

    async def _write(self, run: ResyncRun, work: Callable[[Tx], T]) -> T:
        """Write something of a run, unless another has taken its place."""

        def guarded(tx: Tx) -> T:
            if tx.resync(run.id) is None:
                raise _ReplacedError
            return work(tx)

        return await self._ctx.store.write(guarded)

    def _ring(self) -> None:
        self._ctx.bell.ring(BELL)
        self._news.set()
        self._news = asyncio.Event()


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


class _There:
    """Which records a reading of the org has shown, and since when it goes. Some bytes for each of them."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._hashes = array("q")

    def add(self, levels: Collection[StockLevel]) -> None:
        """They were read."""
        self._hashes.extend(hash(level.record_id) for level in levels)

    def seen(self) -> frozenset[int]:
        """Hashes of their record ids: should two be equal, a level that is gone is found the next time."""
        return frozenset(self._hashes)


def _missing(tx: Tx, *, there: _There, skus: Collection[str]) -> list[StockLevel]:
    """Levels with units that we held before the reading began, and that it has not shown."""
    seen = there.seen()
    if skus:
        held = [each for each in tx.levels_of(skus) if hash(each.record_id) not in seen]
    else:
        held = []
        for place in tx.level_sums():
            ids = [each.record_id for each in tx.held_at(place) if hash(each.record_id) not in seen]
            for start in range(0, len(ids), LEVELS_AT_ONCE):
                held += tx.levels_by_record(ids[start : start + LEVELS_AT_ONCE])
    units = [level for level in held if level.on_hand or level.reserved]
    kept = tx.levels([level.key for level in units])
    return [level for level in units if kept[level.key][1] < there.since]


def _keep_gone(tx: Tx, *, run_id: str, gone: Sequence[StockLevel], at: datetime) -> None:
    tx.put_resync_levels(run_id, [(level, at) for level in gone], gone=True)


def _waits_for_its_order(of: Difference, scope: Scope, looking: Looking) -> bool:
    """True when applying would raise a number over a sale that is perhaps only not heard of yet.

    A channel's own units are not: what is missing of them is raised only once somebody has answered for it.
    """
    return of.perhaps_sold and "order-unseen" not in scope.causes and not looking.divided(of.sku)


def _refusal(
    row: PlannedRow, looking: Looking, found: Mapping[tuple[str, str], Seen] | None, *, strict: bool
) -> str:
    """Why a row is refused, "" when it may be applied."""
    of = row.difference
    level, again = looking.level(of.sku, of.location), None
    if found is not None:
        again = found.get((of.sku, of.location))
    since = row.asked_at if again is None else again.asked_at
    now = rules.Now(
        None if again is None else again.item.shows,
        found is None or again is not None,
        looking.target(of.sku, of.location),
        level is not None and level.push is not None,
        level is not None and level.changed_at >= since,
    )
    return rules.changed(of.shows or 0, of.target, now, strict=strict)


def _rows_after(tx: Tx, *, run_id: str, after: tuple[str, str, str]) -> Sequence[PlannedRow]:
    return tx.resync_rows(run_id, after=after, limit=LEVELS_AT_ONCE)


def _is_busy(tx: Tx, *, channel: str) -> bool:
    """True while something is due or on its way to a channel that may be written to."""
    return tx.approved(channel) and bool(tx.due(channel, 1) or tx.open_pushes(channel))


def _newer_levels(tx: Tx, *, run_id: str) -> Sequence[tuple[StockLevel, datetime]]:
    return tx.resync_levels(run_id, limit=ROWS_AT_ONCE)


def _gone_levels(tx: Tx, *, run_id: str) -> Sequence[StockLevel]:
    return tx.resync_gone(run_id, limit=ROWS_AT_ONCE)


def _planned_rows(tx: Tx, *, run_id: str, channel: str) -> Sequence[PlannedRow]:
    return tx.resync_rows(run_id, channel=channel, planned=True, limit=ROWS_AT_ONCE)


def _with_changed(tx: Tx, *, since: datetime, skus: Collection[str] | None) -> list[str]:
    return sorted({*(skus or ()), *tx.changed_skus(since)})


def _pushes_found(tx: Tx, *, channel: str, now: datetime) -> None:
    """What pushes without an answer did is known now: the numbers have been read."""
    for incident in tx.incidents():
        if incident.kind == PUSH_LOST and incident.key.startswith(f"{channel}:"):
            tx.close_incident(incident.kind, incident.key, now)


def _moment(at: datetime) -> str:
    return at.isoformat()
