"""A plan's applying: once a person has seen it, row by row, behind whatever is due (promise 12).

A row whose facts are others by now is refused and told. A number read becomes the baseline, and the
difference goes through the relay, as every other change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain import resync as rules
from sfsync.domain.budget import Work
from sfsync.domain.incidents import PUSH_LOST
from sfsync.domain.resync import Cause, Difference, Scope
from sfsync.domain.stock import StockLevel
from sfsync.domain.values import replace
from sfsync.ports import PlannedRow, ResyncRun, RowState, RunState, Tx

from .comparing import Looking, Seen, place_of
from .context import Context
from .levels import apply_levels, levels_gone
from .orders import OrderPoll
from .reconcile import Reconcile, take_over
from .resync_keeping import ROWS_AT_ONCE, Keeping, moment

FRESH = timedelta(minutes=1)  # a number asked for so lately need not be read again
DUE_SECONDS = 0.5  # between two looks whether live changes are out
DUE_LOOKS = 120  # then the next rows go all the same, behind them
FIRST_WHOLE = "a channel's first plan is looked at whole{missing}: sfsync resync --channel {channel}"
HELD_WHOLE = (
    "changed settings hold once all that they change has been looked at: sfsync resync --channel {channel}"
)
NOT_LISTED = "not listed there, which needs nobody"
MEND_FIRST = "a person must mend it first"
ROWS_MISSING = ", and the file lacks rows of it"
# Put right, a unit that was sold would be on sale again until its order is heard of.
PERHAPS_SOLD = "perhaps sold: compare again in ten minutes, or with --cause order-unseen"


class Applying:
    """Applies what is still to be applied of a run."""

    def __init__(self, ctx: Context, polls: OrderPoll, reconcile: Reconcile, kept: Keeping) -> None:
        self._ctx, self._polls, self._reconcile, self._kept = ctx, polls, reconcile, kept

    async def apply(self, run: ResyncRun) -> None:
        """All of it. Raises `ReplacedError` when another run has taken its place; the org's failures."""
        run = await self._apply_levels(run)
        for name in run.about["channels"]:
            if name in self._ctx.channels and not run.about["channels"][name]["unread"]:
                approved = await self._ctx.store.read(partial(_approved, channel=name))
                whole = await self._whole(run, name, approved=approved)
                run = await self._apply_rows(run, name, opened=approved or whole, whole=whole)
                if not approved and not whole:
                    continue
                if whole and not run.about["strict"]:  # a file's rows are read again, the other numbers not
                    found = partial(_pushes_found, channel=name, now=self._ctx.clock.now())
                    await self._ctx.store.write(found)
                await self._reconcile.approve(name, whole=whole)
        await self._kept.keep(replace(run, state=RunState.DONE).told(ended_at=moment(self._ctx.clock.now())))

    async def _whole(self, run: ResyncRun, name: str, *, approved: bool) -> bool:
        """True when a person has looked at all that changes once the channel may be written to.

        Out of a file rows may have been taken, and nobody has agreed to those: they would be written too.
        Settings that were changed after the plan was made are told by none of its rows.
        """
        ctx = self._ctx
        if not run.scope.every_row:
            return False
        if not run.about["strict"]:
            return await ctx.store.read(partial(_tells_settings, ctx=ctx, run=run, channel=name))
        if approved and name not in ctx.assortment.held:
            return True
        await self._polls.poll(name)
        later = await ctx.store.read(lambda tx: tx.changed_skus(run.made_at))  # no plan could tell of it
        async for page in self._reconcile.read(name, None):
            seen = [one for one in page if one.item.sku not in later]
            if not await ctx.store.read(partial(_told_of, ctx=ctx, run_id=run.id, channel=name, seen=seen)):
                return False
        return True

    async def _apply_levels(self, run: ResyncRun) -> ResyncRun:
        """Read once more what the org had newer, and take it over: every channel follows."""
        ctx = self._ctx
        if run.scope.without_levels:
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

        self._ctx.bell.ring(*await self._kept.write(run, commit))
        self._kept.ring()
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

    async def _apply_rows(self, run: ResyncRun, name: str, *, opened: bool, whole: bool) -> ResyncRun:
        while rows := await self._ctx.store.read(partial(_planned_rows, run_id=run.id, channel=name)):
            await self._wait_for_due(name)
            found = await self._read_again(run, name, rows)
            run, bells = await self._kept.write(
                run,
                partial(
                    self._apply_part,
                    run=run,
                    channel=name,
                    rows=rows,
                    found=found,
                    opened=opened,
                    whole=whole,
                ),
            )
            self._ctx.bell.ring(*bells)
            self._kept.ring()
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
        opened: bool,
        whole: bool,
    ) -> tuple[ResyncRun, set[str]]:
        """Apply rows and count what became of them, in one commit: the run then, and the bells to ring.

        `opened` False: nobody has looked at the channel as a whole yet, and some of its rows do not open it.
        """
        ctx = self._ctx
        looking = Looking(tx, ctx, channel, {row.difference.sku for row in rows}, None, whole=whole)
        seen: list[Seen] = []
        become: list[PlannedRow] = []
        for row in rows:
            place = (row.difference.sku, row.difference.location)
            if not row.difference.applicable:
                if row.item is not None:  # a duplicate, say: told as a dead letter
                    seen.append(Seen(row.item, row.asked_at, row.read_at))
                note = NOT_LISTED if row.difference.cause is Cause.NOT_LISTED else MEND_FIRST
                become.append(replace(row, state=RowState.LEFT, note=note))
                continue
            if row.difference.cause is Cause.SETTINGS_HELD and not whole:
                note = HELD_WHOLE.format(channel=channel)
                become.append(replace(row, state=RowState.LEFT, note=note))
                continue
            if not opened:
                missing = ROWS_MISSING if run.about["strict"] and run.scope.every_row else ""
                note = FIRST_WHOLE.format(missing=missing, channel=channel)
                become.append(replace(row, state=RowState.LEFT, note=note))
                continue
            now = _now(row, looking, found)
            if rules.is_right(now) and found is not None:
                become.append(replace(row, state=RowState.APPLIED, note=rules.RIGHT_ALREADY))
                seen.append(found[place])
                continue
            of = row.difference
            if why := rules.changed(of.shows or 0, of.target, now, strict=run.about["strict"]):
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


def _waits_for_its_order(of: Difference, scope: Scope, looking: Looking) -> bool:
    """True when applying would raise a number over a sale that is perhaps only not heard of yet.

    A channel's own units are not: what is missing of them is raised only once somebody has answered for it.
    """
    return of.perhaps_sold and "order-unseen" not in scope.causes and not looking.divided(of.sku)


def _now(row: PlannedRow, looking: Looking, found: Mapping[tuple[str, str], Seen] | None) -> rules.Now:
    """What is known of a row when it is about to be applied. `found`: what was read again; None: nothing."""
    of = row.difference
    level, again = looking.level(of.sku, of.location), None
    if found is not None:
        again = found.get((of.sku, of.location))
    since = row.asked_at if again is None else again.asked_at
    return rules.Now(
        None if again is None else again.item.shows,
        found is None or again is not None,
        looking.target(of.sku, of.location),
        level is not None and level.push is not None,
        level is not None and level.changed_at >= since,
    )


def _is_busy(tx: Tx, *, channel: str) -> bool:
    """True while something is due or on its way to a channel that may be written to."""
    return tx.approved(channel) and bool(tx.due(channel, 1) or tx.open_pushes(channel))


def _approved(tx: Tx, *, channel: str) -> bool:
    return tx.approved(channel)


def _told_of(tx: Tx, *, ctx: Context, run_id: str, channel: str, seen: Sequence[Seen]) -> bool:
    """True when a plan has a row for each of these numbers that would be changed, and says to what.

    What changed settings change must be told as that: so it has been asked for.
    """
    skus = {one.item.sku for one in seen}
    told = {(row.sku, row.location): row for row in tx.resync_differences(run_id, channel, skus)}
    looking = Looking(tx, ctx, channel, skus, None, whole=True)
    rows = [row.difference for one in seen if (row := looking.row(one)) is not None]
    return all(
        (known := told.get((row.sku, row.location))) is not None
        and known.target == row.target
        and (row.cause is not Cause.SETTINGS_HELD or known.cause is row.cause)
        for row in rows
        if row.applicable and row.shows != row.target
    )


def _tells_settings(tx: Tx, *, ctx: Context, run: ResyncRun, channel: str) -> bool:
    """True when a plan tells what changed settings change at a channel, if some wait there for a person."""
    hold = tx.held(channel)
    if hold is None and channel not in ctx.assortment.held:
        return True
    same = run.about["rules"] == ctx.assortment.fingerprint()
    return same and (hold is None or hold.since <= run.made_at)


def _newer_levels(tx: Tx, *, run_id: str) -> Sequence[tuple[StockLevel, datetime]]:
    return tx.resync_levels(run_id, limit=ROWS_AT_ONCE)


def _gone_levels(tx: Tx, *, run_id: str) -> Sequence[StockLevel]:
    return tx.resync_gone(run_id, limit=ROWS_AT_ONCE)


def _planned_rows(tx: Tx, *, run_id: str, channel: str) -> Sequence[PlannedRow]:
    return tx.resync_rows(run_id, channel=channel, planned=True, limit=ROWS_AT_ONCE)


def _pushes_found(tx: Tx, *, channel: str, now: datetime) -> None:
    """What pushes without an answer did is known now: the numbers have been read."""
    for incident in tx.incidents():
        if incident.kind == PUSH_LOST and incident.key.startswith(f"{channel}:"):
            tx.close_incident(incident.kind, incident.key, now)
