"""Events in. A change in the org names a level; the level is read again; then the bookmark moves.

The reading, its effect on every channel level and the cursor are one commit (promise 7). Events that arrive
while a reading is under way are taken together by the next one. A hole in the stream is opened in that same
commit, and closed only by a re-read of everything moved since (promise 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sfsync.domain.coverage import How, Interval
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.stock import Movement, StockLevel, posting_subject
from sfsync.ports import (
    EVERYTHING,
    CursorRefused,
    EventBatch,
    Hole,
    OutsideError,
    Posting,
    Refused,
    TryLater,
    Tx,
)

from .context import SNAPSHOT, Context
from .lateness import add
from .levels import apply_levels, levels_gone
from .transfers import enter_transfer

if TYPE_CHECKING:
    from .org_orders import OrgOrders

QUEUE_BATCHES = 200  # read ahead; a full queue makes the stream wait, never drop
KEPT = timedelta(hours=72)  # how long the org keeps events
LATE_SECONDS = 15.0  # after which a change that no event has told of counts as late
SAFETY = timedelta(minutes=5)  # between looks for ourselves while the stream is there
OVERLAP = timedelta(minutes=15)  # clocks differ, and the longest transaction takes ten minutes


class Intake:
    """Follows one topic of the org's stream."""

    def __init__(self, ctx: Context, topic: str, org_orders: OrgOrders | None = None) -> None:
        self._ctx, self._topic, self._org_orders = ctx, topic, org_orders
        self._failures = 0  # in a row
        self._joined = self._observed = False

    async def run(self) -> None:
        """Until cancelled. Nothing is lost then: the cursor stands where the last effect stands."""
        while True:
            try:
                await self._follow()
            except CursorRefused as error:
                await self._lost(str(error))
            except OutsideError as error:
                self._failures += 1
                self._say(str(error))
                asked = error.after_seconds if isinstance(error, TryLater) else None
                wait = backoff_seconds(self._failures, self._ctx.luck(), asked_seconds=asked)
                self._ctx.log.warning(
                    "stream down", topic=self._topic, reason=str(error), next=f"again in {wait:.1f} s"
                )
                await self._ctx.clock.sleep(wait)

    async def _until_read_whole(self) -> None:
        """A posting names its level: wait until the levels are known. The stream is joined meanwhile."""
        while await self._ctx.store.read(unread):
            await self._ctx.bell.wait("known", 5.0)

    async def _follow(self) -> None:
        """One subscription, from the stored cursor until it breaks."""
        ctx = self._ctx
        cursor = await ctx.store.read(lambda tx: tx.cursor(self._topic))
        if cursor is None:
            await ctx.store.write(self._open_first_hole)
        self._joined = cursor is not None  # the stream goes on from where we were
        self._observed = False  # by this subscription
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

    def _open_first_hole(self, tx: Tx) -> None:
        """Before the first sign of the stream, wake-ups may pass unseen. Postings begin with us."""
        now = self._ctx.clock.now()
        if self._topic in self._ctx.org.posting_topics:
            return
        if not any(hole.source == self._topic for hole in tx.open_holes()):
            tx.open_hole(self._topic, now - OVERLAP, "the stream was joined without a bookmark", now)

    async def _take(self, batches: Sequence[EventBatch]) -> None:
        """Read what the events name, then commit the effect with the bookmark."""
        ctx = self._ctx
        if any(batch.postings or batch.transfers for batch in batches):
            await self._until_read_whole()
        levels = frozenset[str]().union(*(batch.levels for batch in batches))
        movements = frozenset[str]().union(*(batch.movements for batch in batches))
        asked_at, read = await self._read(levels, movements)

        def commit(tx: Tx) -> set[str]:
            bells: set[str] = set()
            if read:
                bells |= apply_levels(tx, ctx, read, asked_at)
            if missing := levels - {level.record_id for level in read}:
                bells |= levels_gone(tx, ctx, missing)
            now = ctx.clock.now()
            for batch in batches:
                for posting in batch.postings:
                    bells |= enter_posting(tx, ctx, posting, now)
                for transfer in batch.transfers:
                    bells |= enter_transfer(tx, ctx, transfer, now)
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
            if any(hole.source == self._topic for hole in tx.open_holes()):
                bells.add("holes")
            self._note_watched(tx, now)
            tx.put_cursor(self._topic, batches[-1].cursor, now)
            return bells

        orders = frozenset[str]().union(*(batch.orders for batch in batches))
        items = frozenset[str]().union(*(batch.order_items for batch in batches))
        if self._org_orders is not None and (orders or items):
            await self._org_orders.named(orders, items, commit)
        else:
            ctx.bell.ring(*await ctx.store.write(commit))
        self._observed = True
        events = sum(batch.events for batch in batches)
        if events:
            ctx.pulse.events[self._topic] += events
            ctx.pulse.last_event[self._topic] = now = ctx.clock.now()
            if committed := [batch.committed_at for batch in batches if batch.committed_at is not None]:
                # The two clocks differ a little: what seems to come before its commit came at once.
                ctx.pulse.lag_seconds[self._topic] = max(0.0, (now - max(committed)).total_seconds())
            ctx.log.debug("events taken", topic=self._topic, events=events, levels=len(read))

    def _note_watched(self, tx: Tx, now: datetime) -> None:
        """Up to now the stream was observed; what came first was replayed, since we were away or it was."""
        before = tx.last_watched(self._topic)
        if not self._observed:
            if self._joined and before is not None and before < now:
                away = self._ctx.pulse.broke.pop(self._topic, "") or "sfsync was not running"
                tx.watch(Interval(self._topic, before, now, How.REPLAYED, away))
            tx.watch(Interval(self._topic, now, now, How.LIVE))
            return
        tx.watched(self._topic, now)

    async def _read(
        self, levels: frozenset[str], movements: frozenset[str]
    ) -> tuple[datetime, Sequence[StockLevel]]:
        """The named levels, asked until the org answers: the stream waits meanwhile."""
        attempt = 0
        while True:
            asked_at = self._ctx.clock.now()
            if not levels and not movements:
                return asked_at, ()
            try:
                read = await self._ctx.org.read_levels(levels=levels, movements=movements)
            except OutsideError as error:
                attempt += 1
                self._ctx.pulse.org_error = str(error)
                asked = error.after_seconds if isinstance(error, TryLater) else None
                await self._ctx.clock.sleep(backoff_seconds(attempt, self._ctx.luck(), asked_seconds=asked))
            else:
                self._ctx.pulse.org_error = ""
                return asked_at, read

    async def _lost(self, reason: str) -> None:
        """The bookmark is worthless: join anew, and read again all that moved since it was good."""
        ctx = self._ctx

        def commit(tx: Tx) -> None:
            now = ctx.clock.now()
            since = tx.cursor_at(self._topic) or now
            tx.open_hole(self._topic, since - OVERLAP, f"the stream refused our bookmark: {reason}", now)
            if self._topic not in ctx.org.posting_topics:
                tx.drop_cursor(self._topic)
                return
            # A posting cannot be read anywhere else: take all that the stream keeps; each is entered once.
            tx.put_cursor(self._topic, EVERYTHING, now)
            if now - since > KEPT:
                title = f"{self._topic}: events older than {KEPT.days * 24} hours may be lost"
                tx.open_incident("postings lost", self._topic, title, {"since": since.isoformat()}, now)

        await ctx.store.write(commit)
        ctx.log.warning("bookmark refused", topic=self._topic, reason=reason, next="join anew and re-read")

    def _alive(self) -> None:
        self._failures = 0
        self._ctx.pulse.last_sign[self._topic] = self._ctx.clock.now()
        self._ctx.pulse.stream_error.pop(self._topic, None)

    def _say(self, error: str) -> None:
        self._ctx.pulse.stream_error[self._topic] = error
        self._ctx.pulse.broke.setdefault(self._topic, error)


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


def unread(tx: Tx) -> bool:
    """True while the org has not been read whole: what seems missing may only not be here yet."""
    return any(hole.source == SNAPSHOT for hole in tx.open_holes())


def enter_posting(tx: Tx, ctx: Context, posting: Posting, now: datetime) -> set[str]:
    """Write down what another system says has happened, once (promise 2); never refused (promise 4)."""
    subject = posting_subject(posting.source_id)
    if tx.next_step(subject):
        return set()
    movement = Movement(
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
    add(tx, [movement], {}, now)
    return {"writer"} | apply_levels(tx, ctx, (), now, [posting.level.sku])


class Poll:
    """Looks for itself while the stream is away, and now and then although it is there.

    A bus may be late, silent or used up without saying so. So what moved is asked for by its time stamp, with
    an overlap, deleted movements included: every minute while the stream is down, every five minutes
    otherwise. No change waits longer than that, and one call is what it costs.
    """

    def __init__(self, ctx: Context, topic: str, *, after_seconds: float) -> None:
        self._ctx, self._topic, self._after = ctx, topic, after_seconds
        self._asked_at: datetime | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._ctx.clock.sleep(self._after)
            if await self._ctx.store.read(unread):
                continue
            sign = self._ctx.pulse.last_sign.get(self._topic)
            away = self._topic in self._ctx.pulse.stream_error or sign is None
            last = self._asked_at
            if not away and last is not None and (self._ctx.clock.now() - last) < SAFETY:
                continue
            try:
                await self.look(away=away)
            except OutsideError as error:
                self._ctx.log.warning("not polled", topic=self._topic, reason=str(error))

    async def look(self, *, away: bool) -> int:
        """Read again what moved since the last look; how many levels were newer than we knew."""
        ctx = self._ctx
        asked_at = ctx.clock.now()
        before = await ctx.store.read(lambda tx: tx.last_watched(self._topic))
        known = [at for at in (self._asked_at, before) if at is not None]
        since = (max if away else min)(known, default=asked_at)
        read = await ctx.org.levels_moved_since(since - OVERLAP)
        if not away:
            await ctx.clock.sleep(LATE_SECONDS)  # what is only just on its way is not late

        def commit(tx: Tx) -> tuple[set[str], int]:
            held = tx.levels([level.key for level in read])
            newer = sum(held[level.key][0].version < level.version for level in read if level.key in held)
            bells = apply_levels(tx, ctx, read, asked_at)
            if away or newer:
                broke = ctx.pulse.stream_error.get(self._topic, "the stream has not begun")
                why = broke if away else "the stream told of changes late, or not at all"
                found = f"{newer} of {len(read)} stock levels were newer"
                tx.watch(Interval(self._topic, since, asked_at, How.POLLED, why, found))
            return bells, newer

        bells, newer = await ctx.store.write(commit)
        ctx.bell.ring(*bells)
        self._asked_at = asked_at
        if newer:
            ctx.pulse.polled[self._topic] += newer
            ctx.log.info("found by polling", topic=self._topic, levels=newer, stream_away=away)
        return newer


class Holes:
    """Closes holes: reads again all that moved since each began."""

    def __init__(self, ctx: Context, org_orders: OrgOrders | None = None) -> None:
        self._ctx, self._org_orders = ctx, org_orders

    async def run(self) -> None:
        """Until cancelled."""
        ctx = self._ctx
        while True:
            await ctx.bell.wait("holes", 30.0)
            try:
                await self.close_all()
            except Refused as error:
                ctx.log.error("hole not closed", reason=str(error), next=error.advice)
            except OutsideError as error:
                ctx.log.warning("hole not closed", reason=str(error), next="again in 30 s")

    async def close_all(self) -> None:
        """Every open hole whose stream has shown a sign of life since it was opened."""
        ctx = self._ctx
        for hole in await ctx.store.read(lambda tx: tx.open_holes()):
            sign = ctx.pulse.last_sign.get(hole.source)
            if sign is None or sign < hole.opened_at:
                continue
            if hole.source in ctx.org.order_topics:
                await self._orders_again(hole)
                continue
            asked_at = ctx.clock.now()
            read = await ctx.org.levels_moved_since(hole.since)

            def commit(
                tx: Tx, hole_id: int = hole.id, read: Sequence[StockLevel] = read, at: datetime = asked_at
            ) -> set[str]:
                bells = apply_levels(tx, ctx, read, at)
                tx.close_hole(hole_id, ctx.clock.now(), f"{len(read)} stock levels had moved")
                return bells

            ctx.bell.ring(*await ctx.store.write(commit))
            ctx.log.info("hole closed", source=hole.source, reason=hole.reason, levels=len(read))

    async def _orders_again(self, hole: Hole) -> None:
        """A hole in the stream of orders: every order changed since it began is read again."""
        if self._org_orders is None:
            return
        count = await self._org_orders.changed_since(hole.since)
        found = f"{count} orders had changed"
        await self._ctx.store.write(lambda tx: tx.close_hole(hole.id, self._ctx.clock.now(), found))
        self._ctx.log.info("hole closed", source=hole.source, reason=hole.reason, orders=count)
