"""Events in. A change in the org names a level; the level is read again; then the bookmark moves.

The reading, its effect on every channel level and the cursor are one commit (promise 7). Events that arrive
while a reading is under way are taken together by the next one. A hole in the stream is opened in that same
commit, and closed only by a re-read of everything moved since (promise 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from sfsync.domain.coverage import OVERLAP, Closes, How, Interval
from sfsync.domain.incidents import POSTINGS_LOST
from sfsync.domain.letters import written
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.stock import Movement, StockLevel, posting_subject
from sfsync.domain.words import counted
from sfsync.ports import (
    CursorRefused,
    EventBatch,
    Hole,
    Moved,
    OutsideError,
    Posting,
    Refused,
    TryLater,
    Tx,
    since,
)

from .context import Context, unread
from .lateness import add
from .levels import apply_levels, levels_gone, movements_gone
from .told_amiss import dated_ahead, set_aside, told_before, used_again
from .transfers import enter_transfer
from .watching import Watch

if TYPE_CHECKING:
    from .org_orders import OrgOrders

QUEUE_BATCHES = 200  # read ahead; a full queue makes the stream wait, never drop
KEPT = timedelta(hours=72)  # how long the org keeps events
LATE_SECONDS = 15.0  # after which a change that no event has told of counts as late
SAFETY = timedelta(minutes=5)  # between looks for ourselves while the stream is there
SWEEP_SECONDS = 30.0  # between looks at the holes, when nobody rings
REPLAY_PATIENCE = timedelta(seconds=30)  # after which a replay that is not through is helped by a reading


class Intake:
    """Follows one topic of the org's stream."""

    def __init__(self, ctx: Context, topic: str, org_orders: OrgOrders | None = None) -> None:
        self._ctx, self._topic, self._org_orders = ctx, topic, org_orders
        self._failures = 0  # in a row
        self._watch = Watch(ctx, topic)
        self._known = False  # the org's levels were read whole

    async def run(self) -> None:
        """Until cancelled. Nothing is lost then: the cursor stands where the last effect stands."""
        while True:
            try:
                await self._follow()
            except CursorRefused as error:
                await self._lost(str(error))
            except OutsideError as error:
                self._failures += 1
                self._ctx.pulse.stream_error[self._topic] = why = str(error)
                asked = error.after_seconds if isinstance(error, TryLater) else None
                wait = backoff_seconds(self._failures, self._ctx.luck(), asked_seconds=asked)
                self._ctx.log.warning(
                    "stream down", topic=self._topic, reason=why, next=f"again in {wait:.1f} s"
                )
                self._ctx.pulse.retry_at[self._topic] = self._ctx.clock.now() + timedelta(seconds=wait)
                await self._ctx.store.write(partial(self._watch.broke, why=why))
                await self._ctx.clock.sleep(wait)

    async def _until_read_whole(self) -> None:
        """A posting names its level: wait until the levels are known. The stream is joined meanwhile."""
        while not self._known and await self._ctx.store.read(unread):
            await self._ctx.bell.wait("known", 5.0)
        self._known = True  # what was read whole stays so as long as the daemon runs

    async def _follow(self) -> None:
        """One subscription, from the stored cursor until it breaks."""
        ctx = self._ctx
        cursor = await ctx.store.write(self._begin)
        queue: asyncio.Queue[EventBatch] = asyncio.Queue(QUEUE_BATCHES)

        async def read() -> None:
            async for batch in ctx.org.events(self._topic, cursor):
                await queue.put(batch)

        reader = asyncio.create_task(read(), name=f"stream {self._topic}")
        try:
            while True:
                batches = [await _next(queue, reader)]
                while not queue.empty():
                    batches.append(queue.get_nowait())
                self._alive()
                await self._take(batches)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def _begin(self, tx: Tx) -> bytes | None:
        """Where to begin. Postings begin with us, and can be read nowhere else.

        So their bookmark stands before the stream is joined: should it break, or we, before it has told a
        place, all that was posted meanwhile is still told.
        """
        now = self._ctx.clock.now()
        cursor = tx.cursor(self._topic)
        anew = cursor is None
        if cursor is None and self._topic in self._ctx.org.posting_topics:
            cursor = since(now)
            tx.put_cursor(self._topic, cursor, now)
        self._watch.begin(tx, anew=anew)
        return cursor

    async def _take(self, batches: Sequence[EventBatch]) -> None:
        """Read what the events name, then commit the effect with the bookmark."""
        ctx = self._ctx
        if any(batch.postings or batch.transfers for batch in batches):
            await self._until_read_whole()
        levels = frozenset[str]().union(*(batch.levels for batch in batches))
        movements = frozenset[str]().union(*(batch.movements for batch in batches))
        asked_at, read = await self._read(levels, movements)
        if ctx.pulse.trail is not None:
            commits = [batch.committed_at for batch in batches if batch.committed_at is not None]
            skus = {level.key.sku for level in read}
            ctx.pulse.trail.heard(skus, self._topic, min(commits, default=None), asked_at, ctx.clock.now())
        progress = self._watch.after(batches, ctx.clock.now())

        def commit(tx: Tx) -> set[str]:
            bells: set[str] = set()
            if read:
                bells |= apply_levels(tx, ctx, read, asked_at)
            if missing := levels - {level.record_id for level in read}:
                bells |= levels_gone(tx, ctx, missing)
            now = ctx.clock.now()
            postings = [posting for batch in batches for posting in batch.postings]
            bells |= enter_postings(tx, ctx, self._topic, postings, now)
            for batch in batches:
                for transfer in batch.transfers:
                    bells |= enter_transfer(tx, ctx, self._topic, transfer, now)
                for poison in batch.poison:
                    tx.dead_letter(
                        self._topic, poison.key, poison.reason, "mend it at its source", poison.payload, now
                    )
                if batch.hole_since is not None:
                    # The stream is alive: nothing has to be waited for before the hole is read again.
                    alive = ctx.pulse.last_sign.get(self._topic, now)
                    reason = "the stream tells of changes it does not carry"
                    tx.open_hole(self._topic, batch.hole_since, reason, alive)
                    bells.add("holes")
            holes = tx.open_holes()
            self._watch.seen(tx, progress, holes, now)
            ctx.pulse.reading_since.pop(self._topic, None)
            if any(hole.source == self._topic and hole.closes is Closes.READING for hole in holes):
                bells.add("holes")
            tx.put_cursor(self._topic, batches[-1].cursor, self._watch.bookmark_at(tx, progress, now))
            return bells

        orders = frozenset[str]().union(*(batch.orders for batch in batches))
        items = frozenset[str]().union(*(batch.order_items for batch in batches))
        if self._org_orders is not None and (orders or items):
            await self._org_orders.named(orders, items, commit)
        else:
            ctx.bell.ring(*await ctx.store.write(commit))
        self._watch.done(progress)
        events = sum(batch.events for batch in batches)
        if events:
            ctx.pulse.events[self._topic] += events
            ctx.pulse.last_event[self._topic] = now = ctx.clock.now()
            if committed := [batch.committed_at for batch in batches if batch.committed_at is not None]:
                # The two clocks differ a little: what seems to come before its commit came at once.
                ctx.pulse.lag_seconds[self._topic] = max(0.0, (now - max(committed)).total_seconds())
            ctx.log.debug("events taken", topic=self._topic, events=events, levels=len(read))

    async def _read(
        self, levels: frozenset[str], movements: frozenset[str]
    ) -> tuple[datetime, Sequence[StockLevel]]:
        """The named levels, asked until the org answers: the stream waits meanwhile."""
        attempt = 0
        pulse = self._ctx.pulse
        while True:
            asked_at = self._ctx.clock.now()
            if not levels and not movements:
                return asked_at, ()
            pulse.reading_since.setdefault(self._topic, asked_at)
            try:
                read = await self._ctx.org.read_levels(levels=levels, movements=movements)
            except OutsideError as error:
                attempt += 1
                asked = error.after_seconds if isinstance(error, TryLater) else None
                await self._ctx.clock.sleep(backoff_seconds(attempt, self._ctx.luck(), asked_seconds=asked))
            else:
                return asked_at, read

    async def _lost(self, reason: str) -> None:
        """The bookmark is worthless: join anew, and read again all that moved since it was good."""
        ctx = self._ctx

        def commit(tx: Tx) -> None:
            now = ctx.clock.now()
            good = self._watch.refused(tx, reason)
            if self._topic not in ctx.org.posting_topics:
                tx.drop_cursor(self._topic)
                return
            # A posting cannot be read anywhere else: take all that the stream keeps; each is entered once.
            tx.put_cursor(self._topic, since(tx.first_start() or now), now)
            if now - good > KEPT:
                title = f"{self._topic}: events older than {KEPT.days * 24} hours may be lost"
                tx.open_incident(POSTINGS_LOST, self._topic, title, {"since": good.isoformat()}, now)

        await ctx.store.write(commit)
        ctx.log.warning("bookmark refused", topic=self._topic, reason=reason, next="join anew and re-read")

    def _alive(self) -> None:
        self._failures = 0
        self._ctx.pulse.last_sign[self._topic] = self._ctx.clock.now()
        self._ctx.pulse.stream_error.pop(self._topic, None)
        self._ctx.pulse.retry_at.pop(self._topic, None)


async def _next(queue: asyncio.Queue[EventBatch], reader: asyncio.Task[None]) -> EventBatch:
    """The next batch; what ended the reader, when it ends first."""
    if not queue.empty():
        return queue.get_nowait()
    getter = asyncio.create_task(queue.get())
    try:
        await asyncio.wait({getter, reader}, return_when=asyncio.FIRST_COMPLETED)
        if getter.done():
            return getter.result()
    finally:
        getter.cancel()
    reader.result()
    raise TryLater("the stream ended")


def enter_postings(tx: Tx, ctx: Context, topic: str, postings: Sequence[Posting], now: datetime) -> set[str]:
    """Write down what another system says has happened, once (promise 2); never refused (promise 4).

    What uses the identity of something else is set aside.
    """
    skus: set[str] = set()
    for posting in postings:
        rows = [movement_of(posting)]
        known = told_before(tx, rows)
        if used_again(tx, known, rows):
            set_aside(tx, ctx, topic, posting.source_id, known, rows, written(posting), now)
            continue
        if known and tx.next_step(rows[0].subject):
            continue  # once more what is entered, or is to be
        add(tx, rows, {}, now)
        dated_ahead(tx, ctx, posting.level.location, posting.source_id, posting.dated, posting.occurred_at)
        skus.add(posting.level.sku)
    return {"writer"} | apply_levels(tx, ctx, (), now, skus) if skus else set()


def add_posting(tx: Tx, posting: Posting, now: datetime) -> int | None:
    """Write a posting down; its bundle, or None where its identity was used before."""
    movement = movement_of(posting)
    return None if tx.next_step(movement.subject) else add(tx, [movement], {}, now)


def movement_of(posting: Posting) -> Movement:
    """The row that enters it."""
    subject = posting_subject(posting.source_id)
    return Movement(
        subject,
        subject,
        posting.level,
        posting.kind,
        posting.on_hand_delta,
        0,
        posting.reference,
        "",
        posting.occurred_at,
    )


class Poll:
    """Looks for itself while the stream is away, and now and then although it is there.

    A bus may be late, silent or used up without saying so. So what moved is asked for by its time stamp, with
    an overlap, deleted movements included: every minute while the stream is down, every five minutes
    otherwise. No change waits longer than that, and one call is what it costs.
    """

    def __init__(self, ctx: Context, topic: str, *, after_seconds: float) -> None:
        self._ctx, self._topic, self._after = ctx, topic, after_seconds
        self._asked_at: datetime | None = None
        self._why = ""  # the stream is away, as the interval tells that is being polled
        self._found = 0  # levels, in that interval

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._ctx.clock.sleep(self._after)
            if await self._ctx.store.read(unread):
                continue
            sign = self._ctx.pulse.last_sign.get(self._topic)
            away = self._topic in self._ctx.pulse.stream_error or sign is None
            last = self._asked_at
            if not away:
                self._why = ""
            if not away and last is not None and (self._ctx.clock.now() - last) < SAFETY:
                continue
            try:
                await self.look(away=away)
            except OutsideError as error:
                self._ctx.warn("not polled", error, topic=self._topic)

    async def look(self, *, away: bool) -> int:
        """Read again what moved since the last look; how many levels were newer than we knew."""
        ctx = self._ctx
        asked_at = ctx.clock.now()
        before = await ctx.store.read(lambda tx: tx.last_watched(self._topic))
        known = [at for at in (self._asked_at, before) if at is not None]
        going_on = self._asked_at if away and self._why else None
        since = going_on or min(known, default=asked_at)
        broke = ctx.pulse.stream_error.get(self._topic, "the stream has not begun")
        why = broke if away else "the stream told of changes late, or not at all"
        so_far = self._found if going_on and why == self._why else 0
        newer = pages = 0
        async for page in ctx.org.levels_moved_since(since - OVERLAP):
            if not away and not pages:
                await ctx.clock.sleep(LATE_SECONDS)  # what is only just on its way is not late
            bells, more = await ctx.store.write(partial(_apply_moved, ctx=ctx, read=page, asked_at=asked_at))
            ctx.bell.ring(*bells)
            newer, pages = newer + more, pages + 1
        if away or newer:
            found = counted(newer + so_far, "stock level was newer", "stock levels were newer")
            polled = Interval(self._topic, since, asked_at, How.POLLED, why, found)
            on = bool(going_on) and why == self._why
            await ctx.store.write(lambda tx: (tx.watch_on if on else tx.watch)(polled))
        self._asked_at = asked_at
        self._found, self._why = newer + so_far, why if away else ""
        if newer:
            ctx.pulse.polled[self._topic] += newer
            ctx.log.info("found by polling", topic=self._topic, levels=newer, stream_away=away)
        return newer


def closed_by_reading_all(tx: Tx, ctx: Context) -> list[Hole]:
    """The holes that a reading of every level closes, if it begins now: what comes after is the stream's."""
    stock = set(ctx.pulse.stock_topics)
    found = (hole for hole in tx.open_holes() if hole.source in stock and hole.closes is Closes.READING)
    signs = ctx.pulse.last_sign
    return [hole for hole in found if hole.source in signs and signs[hole.source] >= hole.opened_at]


def _apply_moved(tx: Tx, *, ctx: Context, read: Moved, asked_at: datetime) -> tuple[set[str], int]:
    """Take over a page of levels: the bells to ring, and how many were newer than we knew."""
    held = tx.levels([level.key for level in read.levels])
    newer = sum(held[level.key][0].version < level.version for level in read.levels if level.key in held)
    bells = apply_levels(tx, ctx, read.levels, asked_at)
    return bells | movements_gone(tx, ctx, read.deleted), newer


class Holes:
    """Closes holes: reads again all that moved since each began.

    A hole that the stream's replay closes is left to it, unless it takes long. What no record tells again, a
    stream of postings, is never closed here.
    """

    def __init__(self, ctx: Context, org_orders: OrgOrders | None = None) -> None:
        self._ctx, self._org_orders = ctx, org_orders

    async def run(self) -> None:
        """Until cancelled."""
        ctx = self._ctx
        while True:
            ctx.pulse.reading_at = ctx.clock.now() + timedelta(seconds=SWEEP_SECONDS)
            await ctx.bell.wait("holes", SWEEP_SECONDS)
            try:
                await self.close_all()
            except Refused as error:
                ctx.log.error("hole not closed", reason=str(error), next=error.advice)
            except OutsideError as error:
                ctx.warn("hole not closed", error, next=f"again in {SWEEP_SECONDS:g} s")

    async def close_all(self) -> None:
        """Every open hole whose stream has shown a sign of life since it was opened: one reading a stream.

        Not before the org has been read whole: that reading closes them too, and more would only double it.
        """
        if await self._ctx.store.read(unread):
            return
        found = await self._ctx.store.read(lambda tx: tx.open_holes())
        replays = {hole.source for hole in found if hole.closes is Closes.REPLAY}
        for source, holes in groupby(sorted(found, key=lambda hole: hole.source), lambda hole: hole.source):
            if due := [hole for hole in holes if self._due(hole, replays)]:
                await self._read_again(source, due)

    def _due(self, hole: Hole, replays: Collection[str]) -> bool:
        pulse = self._ctx.pulse
        if hole.source in self._ctx.org.posting_topics or hole.source not in self._ctx.org.topics:
            return False
        if hole.closes is Closes.REPLAY:
            joined = pulse.joined.get(hole.source)
            away = joined is None or hole.source in pulse.stream_error
            return not away and joined is not None and self._ctx.clock.now() - joined >= REPLAY_PATIENCE
        # What comes after the reading is the stream's again; or another hole's, that waits for its return.
        sign = pulse.last_sign.get(hole.source)
        return hole.source in replays or (sign is not None and sign >= hole.opened_at)

    async def _read_again(self, source: str, holes: Sequence[Hole]) -> None:
        ctx = self._ctx
        since = min(
            hole.since - (OVERLAP if hole.closes is Closes.REPLAY else timedelta(0)) for hole in holes
        )
        at = ctx.clock.now()
        if source in ctx.org.order_topics:
            if self._org_orders is None:
                return
            orders = await self._org_orders.changed_since(since)
            found = counted(len(orders), "order had changed", "orders had changed")
        else:
            moved = 0
            async for page in ctx.org.levels_moved_since(since):
                moved += len(page.levels)
                bells, _ = await ctx.store.write(partial(_apply_moved, ctx=ctx, read=page, asked_at=at))
                ctx.bell.ring(*bells)
            found = counted(moved, "stock level had moved", "stock levels had moved")

        def commit(tx: Tx) -> None:
            for hole in holes:
                tx.close_hole(hole.id, ctx.clock.now(), found)

        await ctx.store.write(commit)
        for hole in holes:
            ctx.log.info("hole closed", source=source, reason=hole.reason, found=found)
