"""The event log of the simulated org: replay ids, topics, subscriptions, and the delivery allowance.

Replay ids grow over the whole org and leave gaps, so that nobody can compute the next one. A topic keeps
its events for the retention window of the clock it is given; a subscription is a cursor into one topic
that is woken when there is something to take. Deliveries are counted per subscriber over 24 hours.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sfsync.simulators.org.avro import HEADER, Codec
from sfsync.simulators.org.clock import Clock

RETENTION = timedelta(hours=72)
ALLOWANCE_WINDOW = timedelta(hours=24)
_BUCKET = timedelta(minutes=15)

# Codes of ended subscriptions; Pub/Sub puts `sfdc.platform.eventbus.grpc.` before them.
REPLAY_REFUSED = "subscription.fetch.replayid.corrupted"
ALLOWANCE_USED_UP = "subscription.limit.exceeded"
TOPIC_FORBIDDEN = "subscription.topic.cannot.subscribe"
SERVICE_UNAVAILABLE = "service.unavailable"


class StreamEnded(Exception):
    """A subscription cannot start or go on; `code` is the documented error code without its prefix."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def used_up() -> StreamEnded:
    """Returns the end of a subscription for want of allowance."""
    return StreamEnded(ALLOWANCE_USED_UP, "You have exceeded the event delivery limit for your org.")


@dataclass(slots=True, eq=False)
class Event:
    """One event as the log keeps it; its Avro bytes are made when first asked for and kept."""

    uuid: str
    codec: Codec
    values: dict[str, Any]  # in Avro's types
    header: dict[str, Any] | None = None  # of change events, with plain field names
    torn: bool = False  # damaged: half of its bytes, or no payload at all where it is JSON
    _payload: bytes | None = field(default=None, repr=False)

    @property
    def payload(self) -> bytes:
        """The event as Avro binary of its schema."""
        if self._payload is None:
            whole = self.codec.encode(self._record())
            self._payload = whole[: len(whole) // 2] if self.torn else whole
        return self._payload

    def as_json(self) -> dict[str, Any]:
        """Returns the payload as CometD carries it: field names instead of bitmaps, dates as text.

        A platform event shows all its fields, a change event those that it tells of.
        """
        if self.header is None:
            return self.codec.to_json({name: self.values.get(name) for name in self.codec.converts})
        body = self.codec.to_json(self.values)
        body.update({name: {"diff": body[name]} for name in self.header["diffFields"]})
        return {HEADER: self.header, **body}

    def _record(self) -> dict[str, Any]:
        if self.header is None:
            return self.values
        header = dict(self.header)
        for names in ("changedFields", "nulledFields", "diffFields"):
            header[names] = self.codec.bitmap(header[names])
        return {HEADER: header, **self.values}


@dataclass(frozen=True, slots=True)
class Entry:
    """An event at its place in a topic."""

    replay: int
    event: Event


class ReplayIds:
    """Issues growing, non-contiguous numbers and knows which still stand for a place in the stream."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._issued: list[int] = []
        self._times: list[datetime] = []
        self._last = self._next = 0
        self.restart()

    def restart(self) -> None:
        """Forgets all ids issued so far, as a refreshed instance does."""
        self._next = 0
        self._issued.clear()
        self._times.clear()
        self._last = self._rng.randrange(1_000_000, 50_000_000)
        self.issue()

    def repeat(self, next_id: int) -> None:
        """Goes back: the next id is this one, whatever it has stood for before."""
        kept = bisect_left(self._issued, next_id)
        del self._issued[kept:], self._times[kept:]
        self._last, self._next = next_id - 1, next_id

    def issue(self) -> int:
        """Returns the next id."""
        self._last, self._next = self._next or self._last + self._rng.randrange(1, 20), 0
        self._issued.append(self._last)
        now = self._clock.now()
        self._times.append(
            max(now, self._times[-1]) if self._times else now
        )  # a clock set back moves nothing
        return self._last

    @property
    def last(self) -> int:
        """The newest id issued."""
        return self._last

    def tip(self) -> int:
        """Returns a place after everything issued: the last id, or a fresh one where that has grown old."""
        if self._clock.now() - self._times[-1] >= timedelta(seconds=1):
            return self.issue()
        return self._last

    def stands(self, replay: int) -> bool:
        """Whether a subscription can start after this id: issued here, inside the retention window."""
        place = bisect_left(self._issued, replay)
        if place == len(self._issued) or self._issued[place] != replay:
            return False
        return self._clock.now() - self._times[place] <= RETENTION

    def history(self) -> list[tuple[int, datetime]]:
        """Returns the ids that may still stand, with the time of each."""
        return list(zip(self._issued, self._times, strict=True))

    def restore(self, history: list[tuple[int, datetime]]) -> None:
        """Goes on with the ids of an earlier life."""
        self._issued = [replay for replay, _ in history]
        self._times = [at for _, at in history]
        self._last = self._issued[-1]

    def prune(self) -> int:
        """Drops ids that have left the window and returns the smallest one kept."""
        kept = bisect_left(self._times, self._clock.now() - RETENTION)
        kept = min(kept, len(self._issued) - 1)
        del self._issued[:kept], self._times[:kept]
        return self._issued[0]


class Allowance:
    """Counts events over a moving window, for deliveries 24 hours: in all, and per subscriber."""

    def __init__(self, clock: Clock, limit: Callable[[], int], window: timedelta = ALLOWANCE_WINDOW) -> None:
        self._window = window
        self.by_subscriber: dict[str, int] = {}  # since the start, for the control port
        self._clock = clock
        self._limit = limit
        self._buckets: deque[tuple[datetime, int]] = deque()
        self._used = 0

    @property
    def limit(self) -> int:
        """How many events the window allows."""
        return self._limit()

    def used(self) -> int:
        """Returns the events of the last window."""
        oldest = self._clock.now() - self._window
        while self._buckets and self._buckets[0][0] <= oldest:
            self._used -= self._buckets.popleft()[1]
        return self._used

    def left(self) -> int:
        """Returns how many more events there may be now."""
        return max(0, self.limit - self.used())

    def count(self, subscriber: str, deliveries: int) -> None:
        """Counts events of one subscriber, or of nobody in particular."""
        now = self._clock.now()
        if self._buckets and timedelta(0) <= now - self._buckets[-1][0] < _BUCKET:
            started, before = self._buckets[-1]
            self._buckets[-1] = (started, before + deliveries)
        else:
            self._buckets.append((now, deliveries))
        self._used += deliveries
        self.by_subscriber[subscriber] = self.by_subscriber.get(subscriber, 0) + deliveries

    def use_up(self) -> None:
        """Spends what is left."""
        self.count("", self.left())

    def refill(self) -> None:
        """Starts the window anew."""
        self._buckets.clear()
        self._used = 0


class Topic:
    """One channel that can be subscribed to: its events in replay-id order, and who listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.forbidden = False
        self.subscriptions: dict[Subscription, None] = {}  # in the order in which they came
        self._replays: list[int] = []
        self._events: list[Event] = []

    def append(self, replay: int, event: Event) -> None:
        """Adds an event and wakes whoever listens."""
        self._replays.append(replay)
        self._events.append(event)
        for subscription in self.subscriptions:
            subscription.wake()

    def after(self, replay: int, limit: int) -> list[Entry]:
        """Returns up to `limit` events that follow a replay id."""
        start = bisect_right(self._replays, replay)
        stop = min(start + limit, len(self._replays))
        return [Entry(self._replays[at], self._events[at]) for at in range(start, stop)]

    def last(self, count: int) -> list[Entry]:
        """Returns the newest events, oldest of them first."""
        start = max(0, len(self._replays) - count)
        return [Entry(self._replays[at], self._events[at]) for at in range(start, len(self._replays))]

    def drop_before(self, replay: int) -> None:
        """Forgets the events before an id."""
        gone = bisect_left(self._replays, replay)
        del self._replays[:gone], self._events[:gone]

    def clear(self) -> None:
        """Forgets all events."""
        self._replays.clear()
        self._events.clear()

    @property
    def kept(self) -> int:
        """How many events the topic holds."""
        return len(self._replays)


class Subscription:
    """A cursor into one topic. `take` never waits; `wait` returns when taking may give something.

    Several subscriptions of one reader can share the event that tells of `news`.
    """

    def __init__(
        self,
        topic: Topic,
        cursor: int,
        allowance: Allowance,
        ids: ReplayIds,
        subscriber: str,
        news: asyncio.Event | None = None,
    ) -> None:
        self.topic = topic
        self.subscriber = subscriber
        self.delivered = 0
        self._cursor = cursor
        self._allowance = allowance
        self._ids = ids
        self._news = news or asyncio.Event()
        self._ended: StreamEnded | None = None

    @property
    def cursor(self) -> int:
        """The id after which the next event is taken."""
        return self._cursor

    def take(self, limit: int) -> list[Entry]:
        """Returns the next events, at most `limit`; raises StreamEnded when the subscription is over."""
        if self._ended is not None:
            raise self._ended
        self._news.clear()
        entries = self.topic.after(self._cursor, limit)
        if not entries:
            return entries
        left = self._allowance.left()
        if not left:
            raise used_up()
        entries = entries[:left]
        self._allowance.count(self.subscriber, len(entries))
        self.delivered += len(entries)
        self._cursor = entries[-1].replay
        return entries

    def position(self) -> int:
        """Returns the newest id after which nothing is missing, and moves the cursor there."""
        if not self.topic.after(self._cursor, 1):
            self._cursor = self._ids.tip()
        return self._cursor

    async def wait(self) -> None:
        """Returns when events may be there or the subscription has ended."""
        await self._news.wait()

    def wake(self) -> None:
        """Lets `wait` return."""
        self._news.set()

    def end(self, reason: StreamEnded) -> None:
        """Ends the subscription: the next `take` raises the reason."""
        self._ended = reason
        self._news.set()

    def close(self) -> None:
        """Leaves the topic."""
        self.topic.subscriptions.pop(self, None)
