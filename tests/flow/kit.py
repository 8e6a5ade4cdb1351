"""A house to tell stories in: the real flow and store, an org and storefronts that behave, in memory.

`LittleOrg` has the org's rule, unique keys, versions and a stream; `LittleShop` its own stock, orders, signed
webhooks and idempotency keys. Both can be told what befalls the next calls, by name:

    later          nothing changed, try later
    refused        no retry will heal it
    lost           the request never arrived; its sender knows nothing
    reply lost     it was done; its sender knows nothing
    late           its sender knows nothing; it arrives when `land()` is called
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Double, type_coerce, update
from tests.folders import quick_folder

from sfsync.domain.assortment import Assortment, ChannelPlan, Floor, PolicyRule, SharedOrders
from sfsync.domain.budget import HourOfCalls, Standing, Work
from sfsync.domain.clocks import Ahead
from sfsync.domain.drift import Sums
from sfsync.domain.editions import Edition
from sfsync.domain.fold import Fold, FoldAnswer, FoldResult, LedgerRow
from sfsync.domain.forecast import MOST_LISTED
from sfsync.domain.ledger import Answer, Bundle, Request, RowAnswer, RowResult
from sfsync.domain.mapping import Identity
from sfsync.domain.orders import OrderLine, OrderSnapshot
from sfsync.domain.org_orders import ORG_CHANNEL, OrgOrder, OrgOrderRules, OrgReturnLine
from sfsync.domain.products import Product
from sfsync.domain.promises import Promise, open_promises
from sfsync.domain.reservations import Outcome, ReservationKind, Wish, WishedLine
from sfsync.domain.stock import SOLD, LevelKey, Movement, MovementKind, StockLevel
from sfsync.flow.context import SNAPSHOT, Bell, Context, Pulse
from sfsync.flow.door import Door
from sfsync.flow.hearing import heard
from sfsync.flow.supervisor import Supervisor
from sfsync.ports import (
    SINCE,
    Ability,
    ChannelItem,
    Children,
    CountBook,
    CursorRefused,
    Delivery,
    EventBatch,
    Finding,
    Forged,
    Incident,
    Moved,
    OrgReading,
    OutsideError,
    Posting,
    PushAnswer,
    Refused,
    Severity,
    Storage,
    TillPlace,
    TryLater,
    Unknown,
    Write,
)
from sfsync.store import open_store
from sfsync.store.tables import channel_level
from sfsync.store.tx import SqlTx

WAKE, TILL, SALES = "wake-ups", "till", "orders in the org"
PATIENCE_SECONDS = 30.0
HASTE = 20.0  # waiting is this much shorter than asked; moments are the real ones


class HastyClock:
    """The machine's time, with short sleeps."""

    def __init__(self) -> None:
        self.asleep: Counter[float] = Counter()  # how many sleep now, by the seconds that they asked for
        self.stopped_at: datetime | None = None

    def now(self) -> datetime:
        return self.stopped_at or datetime.now(UTC)

    def stop(self) -> None:
        """From now on no time passes, however slow the machine is; who sleeps wakes nevertheless."""
        self.stopped_at = self.now()

    def pass_a_minute(self) -> None:
        """It is a minute later, and stays so."""
        self.stopped_at = self.now() + timedelta(minutes=1)

    async def sleep(self, seconds: float) -> None:
        self.asleep[seconds] += 1
        try:
            await asyncio.sleep(seconds / HASTE)
        finally:
            self.asleep[seconds] -= 1


class Fates:
    """What befalls the next calls, and what is under way for ever so long."""

    def __init__(self) -> None:
        self.next: deque[str] = deque()
        self.under_way: list[Callable[[], object]] = []

    def meet(self, effect: Callable[[], Any]) -> Any:
        """Have a call's effect as fate will have it; raises what its sender would see."""
        fate = self.next.popleft() if self.next else ""
        if fate == "later":
            raise TryLater("busy")
        if fate == "refused":
            raise Refused("the credential was revoked", advice="renew it")
        if fate == "lost":
            raise Unknown("timed out")
        if fate == "late":
            self.under_way.append(effect)
            raise Unknown("timed out")
        answer = effect()
        if fate == "reply lost":
            raise Unknown("connection reset")
        return answer

    def land(self) -> None:
        """What was under way arrives."""
        for effect in self.under_way:
            effect()
        self.under_way.clear()


class LittleOrg(Fates):
    """Levels and rows in memory; `requests` keeps the keys of every call that entered rows."""

    topics: Sequence[str] = (WAKE, TILL)
    posting_topics = frozenset({TILL})
    order_topics: frozenset[str] = frozenset()
    has_products = False
    keeps_rows = True
    counts: CountBook | None = None

    def __init__(self, clock: HastyClock, stock: Mapping[str, int]) -> None:
        super().__init__()
        self.clock = clock
        self.fast = timedelta(0)  # how far its clock is ahead of ours, by which it dates commits
        self.later = timedelta(0)  # its events are of so much later than now
        self.keys: dict[str, LevelKey] = {}  # record id -> level
        self.rows: dict[str, Movement] = {}  # movement id -> row
        self.entered_at: dict[str, datetime] = {}
        self.deleted_at: dict[LevelKey, datetime] = {}
        self.deleted: dict[str, datetime] = {}  # keys of movements that were deleted, or folded
        self.ours: set[str] = set()  # movement ids that sfsync entered
        self.folded: dict[str, Fold] = {}  # movement id -> the fold that it stands for
        self.folds: list[Fold] = []  # every one that was sent
        self.foldable = True
        self._movements = itertools.count()
        self.forgotten: dict[str, int] = {}  # record id -> versions taken back by a deletion
        self.requests: list[list[str]] = []
        self.reads = self.summed = 0
        self.reading_all = False
        self.asked_moved: list[bool] = []  # for each question what moved: was everything being read just then
        self.hours: list[HourOfCalls] = []  # of API calls, as a former run kept them
        self.log: dict[str, list[EventBatch]] = {WAKE: [], TILL: [], SALES: []}
        self.orders: dict[str, tuple[OrgOrder, datetime]] = {}  # each with the time of its last change
        self.returns: dict[str, tuple[OrgReturnLine, datetime]] = {}  # of no order
        self.oldest = 0  # events before this one are gone
        self.begun: dict[str, int] = {}  # by topic of postings: what was told when it was first to be joined
        self.findings: list[Finding] = []
        self.pages: asyncio.Semaphore | None = None  # how many pages a snapshot may still read
        self.broken: dict[str, list[Exception]] = {}  # topic -> how its next subscriptions end
        self.hung_up: set[str] = set()
        self.keeps_alive = True  # a stream that has nothing more to replay says so
        self.fallback_rule = False  # reserved may never exceed on hand, whatever was changed
        self.wrong: set[str] = set()  # kinds of movement that somebody's validation refuses
        self.full = False  # its data storage: it takes no row at all
        self.catalogue: dict[str, Product] = {}
        self.changed: dict[str, Product] = {}
        self.asked_for_products: list[datetime | None] = []
        self.cut_off = False  # its records cannot be read
        self.old_levels = 0  # besides, with a row each from long ago
        self.deliveries_left: int | None = None  # None: it does not tell
        self._news = asyncio.Event()
        for name, on_hand in stock.items():
            self.add(name, on_hand)

    # -- what people, tills and administrators do

    def add(self, name: str, on_hand: int, *, told: bool = True) -> None:
        """A new stock level with its opening row. `told=False`: no event ever tells of it."""
        self.keys[f"L{len(self.keys)}"] = LevelKey.parse(name)
        self.move(name, on_hand, told=told)

    def move(self, name: str, on_hand: int = 0, reserved: int = 0, *, told: bool = True) -> str:
        """Somebody enters a movement; its id. `told=False`: no event ever tells of it."""
        subject = f"person:{len(self.rows)}"
        row = Movement(
            subject,
            subject,
            LevelKey.parse(name),
            MovementKind.SALE if on_hand < 0 else MovementKind.RECEIPT,
            on_hand,
            reserved,
            "",
            "",
            self.clock.now(),
        )
        assert self._enter(row) is RowResult.CREATED
        number = next(reversed(self.rows))
        if told:
            self.tell(WAKE, movements=frozenset({number}), events=1)
        return number

    def till(self, name: str, on_hand: int, source_id: str) -> None:
        """A till publishes what it sold."""
        kind = MovementKind.SALE if on_hand < 0 else MovementKind.RECEIPT
        posting = Posting(source_id, kind, LevelKey.parse(name), on_hand, source_id, self.clock.now())
        self.tell(TILL, postings=(posting,), events=1)

    def sells(self, order: OrgOrder, *, told: bool = True) -> None:
        """Somebody in the org makes an order, or changes it. `told=False`: no event ever tells of it."""
        self.orders[order.order_id] = order, self.clock.now()
        if told:
            self.tell(SALES, orders=frozenset({order.order_id}), events=1)

    def tell(self, topic: str, **event: Any) -> None:
        """Publish an event."""
        cursor = (len(self.log[topic]) + 1).to_bytes(8, "big")
        self.log[topic].append(
            EventBatch(topic, cursor, **{"committed_at": self.clock.now() + self.fast + self.later} | event)
        )
        self._news.set()
        self._news = asyncio.Event()

    def hang_up(self, topic: str) -> None:
        """The stream that is followed ends."""
        self.hung_up.add(topic)
        self._news.set()
        self._news = asyncio.Event()

    def forget(self, number: str, *, told: bool = True) -> None:
        """An administrator deletes a row: totals and version go back. `told=False`: no event tells of it."""
        row = self.rows.pop(number)
        self.deleted_at[row.level] = self.deleted[row.key] = self.clock.now()
        if told:
            self.tell(WAKE, levels=frozenset({self.id_of(row.level)}), events=1)

    def delete_level(self, name: str) -> None:
        """An administrator deletes a level, and its rows with it; no event tells of it."""
        key = LevelKey.parse(name)
        del self.keys[self.id_of(key)]
        self.rows = {number: row for number, row in self.rows.items() if row.level != key}

    def id_of(self, key: LevelKey) -> str:
        return next(number for number, known in self.keys.items() if known == key)

    def level(self, name: str | LevelKey) -> StockLevel:
        """A level as it stands."""
        key = LevelKey.parse(name) if isinstance(name, str) else name
        rows = [row for row in self.rows.values() if row.level == key]
        return StockLevel(
            key,
            sum(row.on_hand_delta for row in rows),
            sum(row.reserved_delta for row in rows),
            len(rows) + sum(f.version_delta - 1 for n, f in self.folded.items() if self.rows[n].level == key),
            self.id_of(key),
            max(
                (row.occurred_at.replace(microsecond=0) for row in rows if row.kind is MovementKind.COUNT),
                default=None,
            ),
        )

    def numbers(self, name: str) -> tuple[int, int]:
        """(on hand, reserved)."""
        level = self.level(name)
        return level.on_hand, level.reserved

    def of(self, start: str) -> list[tuple[str, int, int]]:
        """(key, on hand delta, reserved delta) of rows whose subject begins so."""
        return [
            (r.key, r.on_hand_delta, r.reserved_delta)
            for r in self.rows.values()
            if r.subject.startswith(start)
        ]

    # -- the port

    async def org_id(self) -> str:
        return "00D000000000001AAA"

    def ahead(self) -> Ahead | None:
        return Ahead(self.fast, self.fast)

    async def check(self, *, writing: bool = True) -> Sequence[Finding]:
        return self.findings

    async def snapshot(self, work: Work = Work.REFRESH) -> AsyncIterator[Sequence[StockLevel]]:
        self.reading_all = True
        for key in list(self.keys.values()):
            if self.pages is not None:
                await self.pages.acquire()
            yield [self.level(key)]
        self.reading_all = False

    async def export(self) -> AsyncIterator[Sequence[StockLevel]]:
        self._reach()
        for key in list(self.keys.values()):
            yield [self.level(key)]

    async def levels_of_skus(self, skus: Collection[str]) -> Sequence[StockLevel]:
        self._reach()
        return [self.level(key) for key in self.keys.values() if key.sku in skus]

    async def sums(self) -> Mapping[str, Sums]:
        self._reach()
        self.summed += 1
        places = dict.fromkeys(key.location for key in self.keys.values())
        return {place: await self.sums_between(place, None, None) for place in places}

    async def sums_between(self, location: str, first: str | None, last: str | None) -> Sums:
        self.summed += 1
        found = await self.levels_between(location, first, last)
        return Sums(
            len(found),
            sum(level.on_hand for level in found),
            sum(level.reserved for level in found),
            sum(level.version for level in found),
        )

    async def levels_between(
        self, location: str, first: str | None, last: str | None
    ) -> Sequence[StockLevel]:
        return [
            self.level(key)
            for number, key in self.keys.items()
            if key.location == location
            and (first is None or number > first)
            and (last is None or number <= last)
        ]

    async def read_levels(
        self,
        *,
        levels: Collection[str] = (),
        movements: Collection[str] = (),
        keys: Collection[LevelKey] = (),
        work: Work = Work.SALE,
    ) -> Sequence[StockLevel]:
        self.reads += 1
        self._reach()
        wanted = {self.keys[number] for number in levels if number in self.keys}
        wanted |= {self.rows[number].level for number in movements if number in self.rows}
        wanted |= {key for key in keys if key in self.keys.values()}
        return [self.level(key) for key in sorted(wanted) if key in self.keys.values()]

    def _reach(self) -> None:
        if self.cut_off:
            raise TryLater("the org is away")

    async def levels_moved_since(self, at: datetime) -> AsyncIterator[Moved]:
        self._reach()
        self.asked_moved.append(self.reading_all)
        entered = self.entered_at.items()
        moved = {self.rows[number].level for number, when in entered if when >= at and number in self.rows}
        moved |= {level for level, when in self.deleted_at.items() if when >= at}
        deleted = frozenset(key for key, when in self.deleted.items() if when >= at)
        for key in sorted(moved):
            yield Moved([self.level(key)], deleted)

    async def read_orders(self, *, orders: Collection[str] = (), items: Collection[str] = ()) -> OrgReading:
        self.reads += 1
        found = [self.orders[number][0] for number in sorted(orders) if number in self.orders]
        return OrgReading(found, gone=frozenset(orders) - self.orders.keys())

    async def orders_changed_since(self, at: datetime) -> AsyncIterator[OrgReading]:
        for order, changed in list(self.orders.values()):
            if changed >= at:
                yield OrgReading([order])
        yield OrgReading(returns=[line for line, changed in self.returns.values() if changed >= at])

    async def returns_under_way(self) -> AsyncIterator[OrgReading]:
        linked = [line for order, _ in self.orders.values() for line in order.returns]
        yield OrgReading(returns=[*(line for line, _ in self.returns.values()), *linked])

    async def products(self, since: datetime | None) -> AsyncIterator[Sequence[Product]]:
        self._reach()
        self.asked_for_products.append(since)
        yield list(self.catalogue.values()) if since is None else list(self.changed.values())

    async def create_levels(self, keys: Collection[LevelKey]) -> None:
        for key in keys:
            if key not in self.keys.values():
                self.keys[f"L{len(self.keys)}"] = key

    async def enter(self, request: Request, record_ids: Mapping[LevelKey, str]) -> Answer:
        await asyncio.sleep(0)
        if request.sent:
            self.requests.append([m.key for bundle in request.sent for m in bundle.movements])
        answer: Answer = self.meet(lambda: self._answer(request))
        return answer

    def _answer(self, request: Request) -> Answer:
        results: dict[str, RowAnswer] = {}
        for bundle in (*request.singles, *request.groups):
            results |= self._bundle(bundle)
        if request.handed:
            rows_together = tuple(m for bundle in request.handed for m in bundle.movements)
            results |= self._bundle(replace(request.handed[0], movements=rows_together))
        rows = {row.key: row for row in self.rows.values() if row.key in results}
        return Answer(results, {key: self.level(key) for key in request.levels}, rows)

    def _bundle(self, bundle: Bundle) -> dict[str, RowAnswer]:
        """All or none: the rule looks at what the rows make of each level together."""
        before, moments = dict(self.rows), dict(self.entered_at)
        said = {m.key: self._enter(m, ruled=False) for m in bundle.movements}
        short = [
            key
            for key in bundle.levels
            if (self.fallback_rule or bundle.net_reserved(key) > 0) and self.level(key).oversold
        ]
        if short or set(said.values()) != {RowResult.CREATED}:
            self.rows, self.entered_at = before, moments
            for movement in bundle.movements:
                if said[movement.key] is RowResult.CREATED:
                    refused = movement.level in short
                    said[movement.key] = RowResult.INSUFFICIENT if refused else RowResult.ROLLED_BACK
        return {key: RowAnswer(result, result.value) for key, result in said.items()}

    def _enter(self, row: Movement, *, ruled: bool = True) -> RowResult:
        if self.full:
            return RowResult.CLOSED
        if row.kind.value in self.wrong:
            return RowResult.WRONG
        if any(known.key == row.key for known in self.rows.values()):
            return RowResult.DUPLICATE
        level = self.level(row.level)
        if ruled and row.reserved_delta > 0 and level.available + row.on_hand_delta < row.reserved_delta:
            return RowResult.INSUFFICIENT
        number = f"M{next(self._movements)}"
        self.rows[number] = row
        self.entered_at[number] = self.clock.now()
        return RowResult.CREATED

    def number_of(self, key: str) -> str:
        """The id of the movement with this key."""
        return next(number for number, row in self.rows.items() if row.key == key)

    def age(self, **by: float) -> None:
        """Everything that stands in the ledger was entered so much longer ago."""
        self.entered_at = {number: at - timedelta(**by) for number, at in self.entered_at.items()}

    async def level_rows(self, record_id: str, work: Work = Work.SALE) -> Sequence[LedgerRow]:
        await asyncio.sleep(0)
        self._reach()
        return [
            self._row(number) for number, row in self.rows.items() if row.level == self.keys.get(record_id)
        ]

    async def rows_at(self, record_ids: Collection[str], work: Work = Work.SALE) -> Sequence[LedgerRow]:
        self.reads += 1
        return [row for number in record_ids for row in await self.level_rows(number)]

    async def entered_since(self, record_ids: Collection[str], at: datetime) -> Sequence[LedgerRow]:
        self.reads += 1
        return [
            row
            for number in record_ids
            for row in await self.level_rows(number)
            if row.created_at >= at.replace(microsecond=0)
        ]

    async def moved(
        self, since: datetime, kinds: Collection[MovementKind]
    ) -> AsyncIterator[Sequence[LedgerRow]]:
        found = [
            number for number, row in self.rows.items() if row.occurred_at >= since and row.kind in kinds
        ]
        for number in found:
            yield [self._row(number)]

    async def rows_of(self, subjects: Collection[str]) -> Sequence[LedgerRow]:
        return [self._row(number) for number, row in self.rows.items() if row.subject in subjects]

    def _row(self, number: str) -> LedgerRow:
        row, fold = self.rows[number], self.folded.get(number)
        person = row.key.startswith("person:")  # the real one leaves key and subject blank
        shown = replace(row, key="", subject="") if person else row
        version = 1 if fold is None else fold.version_delta
        said = None if fold is None else fold.folded
        return LedgerRow(number, shown, version, self.entered_at[number], not person, said)

    async def openings(self) -> AsyncIterator[Sequence[LedgerRow]]:
        for number in list(self.folded):
            yield [self._row(number)]

    async def reserving_rows(self) -> AsyncIterator[Sequence[LedgerRow]]:
        reserved = {key for key in self.keys.values() if self.numbers(str(key))[1]}
        for number, row in list(self.rows.items()):
            if row.level in reserved and row.reserved_delta:
                yield [self._row(number)]

    async def orders_entered(self, channel: str) -> tuple[datetime, datetime] | None:
        ours = [
            n for n in self.rows if n in self.ours and self.rows[n].subject.startswith(f"order:{channel}:")
        ]
        if not ours:
            return None
        return min(self.rows[n].occurred_at for n in ours), max(self.entered_at[n] for n in ours)

    async def children(
        self, before: datetime | None = None, *, sku: str | None = None, location: str | None = None
    ) -> Sequence[Children]:
        counts = Counter(
            self.id_of(row.level)
            for number, row in self.rows.items()
            if (before is None or self.entered_at[number] < before)
            and sku in (None, row.level.sku)
            and location in (None, row.level.location)
        )
        for number in range(self.old_levels):
            counts[f"old {number}"] = 1
        return [Children(level, rows) for level, rows in counts.most_common(MOST_LISTED)]

    async def count_rows(self, since: datetime | None = None) -> int:
        old = 0 if since is not None else self.old_levels
        return old + sum(1 for number in self.rows if since is None or self.entered_at[number] >= since)

    async def fold(self, fold: Fold, record_id: str) -> FoldAnswer:
        await asyncio.sleep(0)
        self.folds.append(fold)
        answer: FoldAnswer = self.meet(lambda: self._fold(fold))
        return answer

    def _fold(self, fold: Fold) -> FoldAnswer:
        gone = {number for call in fold.calls for number in call}
        if any(row.key == fold.opening.key for row in self.rows.values()):
            return FoldAnswer(FoldResult.DUPLICATE, "the key is taken")
        if not gone <= self.rows.keys():
            return FoldAnswer(FoldResult.GONE, "entity is deleted")
        for number in gone:
            self.deleted[self.rows.pop(number).key] = self.clock.now()
            self.folded.pop(number, None)
        assert self._enter(fold.opening) is RowResult.CREATED
        self.folded[next(reversed(self.rows))] = fold
        return FoldAnswer(FoldResult.DONE)

    async def check_fold(self) -> Finding:
        if self.foldable:
            return Finding(Severity.GOOD, "movements can be folded")
        return Finding(Severity.FATAL, "movements cannot be folded", "assign the permission set")

    async def storage(self) -> Storage | None:
        allowed = None if self.deliveries_left is None else 50_000
        return Storage(1024, 1024 - len(self.rows), allowed, self.deliveries_left)

    async def promises(self, levels: Mapping[LevelKey, str]) -> Sequence[Promise]:
        self.reads += 1
        return [each for each in open_promises(self.rows.values()) if each.level in levels]

    async def sold(self, skus: Collection[str]) -> int:
        self._reach()
        return -sum(r.on_hand_delta for r in self.rows.values() if r.level.sku in skus and r.kind in SOLD)

    async def subject_rows(self, subjects: Collection[str]) -> Sequence[Movement]:
        return [row for row in self.rows.values() if row.subject in subjects]

    async def events(self, topic: str, cursor: bytes | None) -> AsyncIterator[EventBatch]:
        log = self.log[topic]
        if cursor is not None and cursor.startswith(SINCE):
            self.begun.setdefault(topic, len(log))
        if self.broken.get(topic):
            raise self.broken[topic].pop(0)
        if cursor is None:
            at = len(log)
        elif cursor.startswith(SINCE):  # the moment when the stream was first to be joined
            at = max(self.oldest, self.begun[topic])
        else:
            at = int.from_bytes(cursor, "big")
            if not self.oldest <= at <= len(log):
                raise CursorRefused("the replay id is no longer there")
        yield EventBatch(topic, at.to_bytes(8, "big"), joined=True)
        behind = cursor is not None
        while True:
            news = self._news
            if topic in self.hung_up:
                self.hung_up.discard(topic)
                raise TryLater("the org hung up")
            while at < len(log):
                at += 1
                yield log[at - 1]
            if behind and self.keeps_alive:
                behind = False
                yield EventBatch(topic, at.to_bytes(8, "big"))
            await news.wait()

    def calls(self) -> Standing | None:
        return None

    def hours_of_calls(self) -> tuple[Sequence[HourOfCalls], int | None]:
        return self.hours, 15_000

    def recall_calls(self, hours: Sequence[HourOfCalls], allowed: int | None) -> None:
        self.hours = list(hours)

    async def close(self) -> None:
        return None


class LittleShop(Fates):
    """A storefront with a shelf of its own; `sent` keeps the bytes of every push that was tried."""

    counts_down = True  # it takes what it sells off its own number

    def __init__(
        self, clock: HastyClock, name: str, shelf: Mapping[str, int], *, batch_rows: int = 250
    ) -> None:
        super().__init__()
        self.clock, self.name = clock, name
        self.ability = Ability(
            batch_rows, relative=True, compare_and_set=True, key_life_seconds=3600.0, cancels=True
        )
        self.ignored: set[str] = set()  # SKUs whose number it says it has changed, and has not
        self.deaf = False  # it says yes to a cancellation and does nothing
        self.cancelled: list[tuple[str, bool, bool, str]] = []  # every cancellation that was asked
        self.shelf = dict(shelf)
        self.location, self.place = "online", "place 1"  # our name for where that shelf stands, and its id
        self.prices: dict[str, float] = {}
        self.tags: dict[str, frozenset[str]] = {}
        self.bad: dict[str, str] = {}  # SKUs that it refuses to write, with its words
        self.names_bad_rows = True
        self.sent: list[bytes] = []
        self.orders: dict[str, OrderSnapshot] = {}
        self.told: dict[str, OrderSnapshot] = {}  # by webhook
        self.fast = timedelta(0)  # how far its clock is ahead of ours
        self.tells_time = True  # its answers say so; until the next of them, when it is not
        self.reading: asyncio.Semaphore | None = None  # how many pages of items may still be read
        self.shut: OutsideError | None = None  # what it says to whoever asks for numbers or orders
        self.shut_numbers: OutsideError | None = None  # and for numbers alone
        self.read = asyncio.Event()  # a page has been read
        self._answers: dict[str, PushAnswer] = {}
        self._numbers = itertools.count(1001)

    def now(self) -> datetime:
        """By its own clock."""
        return self.clock.now() + self.fast

    # -- what shoppers and the shop's people do

    def buy(self, sku: str, units: int = 1, *, reservations: tuple[str, ...] = ()) -> str:
        """A shopper pays: the shop lowers its own number, never below zero. The order's id."""
        assert self.shelf[sku] >= units, f"{self.name} shows {self.shelf[sku]} of {sku}"
        self.shelf[sku] -= units
        number, now = str(next(self._numbers)), self.now()
        line = OrderLine("1", sku, units, taken_quantity=units)
        self.orders[number] = OrderSnapshot(
            self.name, number, f"#{number}", now, now, (line,), "online", reservations
        )
        return number

    def change(self, number: str, **line: Any) -> OrderSnapshot:
        """The order's line changes; what it takes back goes on the shop's own shelf."""
        order = self.orders[number]
        changed = replace(order.lines[0], **line)
        self.shelf[changed.sku] += order.lines[0].taken_quantity - changed.taken_quantity
        self.orders[number] = replace(order, version=self.now(), lines=(changed,))
        return self.orders[number]

    def webhook(self, number: str, event: str = "") -> tuple[dict[str, str], bytes]:
        """A signed delivery of the order as it stands. The same `event` is the same delivery again."""
        event = event or f"event {len(self.told)}"
        self.told.setdefault(event, self.orders[number])
        return {"x-signature": f"signed {event}"}, event.encode()

    # -- the port

    async def check(self) -> Sequence[Finding]:
        return ()

    def ahead(self) -> Ahead | None:
        return Ahead(self.fast, self.fast) if self.tells_time else None

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        self._open()
        if self.shut_numbers is not None:
            raise self.shut_numbers
        for sku in list(self.shelf):
            if skus is None or sku in skus:
                price = self.prices.get(sku)
                item = ChannelItem(
                    sku, self.location, f"item {sku}", self.place, self.shelf[sku], price=price
                )
                page = [replace(item, tags=self.tags.get(sku))]
                self.read.set()
                if self.reading is not None:
                    await self.reading.acquire()
                yield page

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        rows = [[write.sku, write.delta, write.compare] for write in writes]
        if self.ability.weak:  # it was made to take plain numbers only
            rows = [[write.sku, (write.quantity or 0) - self.shelf[write.sku], None] for write in writes]
        return json.dumps([key, rows]).encode()

    async def push(self, body: bytes) -> PushAnswer:
        await asyncio.sleep(0)
        self.sent.append(body)
        answer: PushAnswer = self.meet(lambda: self._push(body))
        return answer

    def _push(self, body: bytes) -> PushAnswer:
        key, rows = json.loads(body)
        if key not in self._answers:
            bad = {index: self.bad[sku] for index, (sku, *_) in enumerate(rows) if sku in self.bad}
            stale = frozenset(
                index
                for index, (sku, _, compare) in enumerate(rows)
                if compare is not None and compare != self.shelf[sku]
            )
            if not bad and not stale:
                for sku, delta, _ in rows:
                    self.shelf[sku] += 0 if sku in self.ignored else delta
            named = bad if self.names_bad_rows else {}
            reason = "one of the rows is bad" if bad else "one of the rows is stale" if stale else ""
            self._answers[key] = PushAnswer(not reason, named, stale, reason)
        return self._answers[key]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        if headers.get("x-signature") != f"signed {body.decode()}":
            raise Forged("the signature is another's")
        return Delivery("orders/updated", body.decode(), body)

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        if delivery.dedup_key not in self.told:
            raise Refused("the order cannot be read", advice="look at it")
        return self.told[delivery.dedup_key]

    def order_called(self, delivery: Delivery) -> str | None:
        return None

    async def order(self, reference: str) -> OrderSnapshot | None:
        return self.orders.get(reference)

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        self._open()
        for order in sorted(self.orders.values(), key=lambda order: order.version):
            if order.version >= at:
                yield [order]

    def _open(self) -> None:
        if self.shut is not None:
            raise self.shut
        self.tells_time = True

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        self.cancelled.append((order_id, refund, notify, note))
        self.meet(lambda: None if self.deaf else self.change(order_id, open_quantity=0))

    async def close(self) -> None:
        return None


class ForgetfulShop(LittleShop):
    """It knows no idempotency key any more, and says honestly for how long it remembers them: not at all."""

    forgets = False

    async def push(self, body: bytes) -> PushAnswer:
        if self.forgets:
            self.ability = replace(self.ability, key_life_seconds=0.0)
            self._answers.clear()
        return await super().push(body)


class UnhurriedShop(LittleShop):
    """It answers a push when it is let."""

    def __init__(self, *how: Any, **more: Any) -> None:
        super().__init__(*how, **more)
        self.answering = asyncio.Event()
        self.answering.set()

    async def push(self, body: bytes) -> PushAnswer:
        await self.answering.wait()
        return await super().push(body)


@cache
def _empty_store() -> bytes:
    """What a store is before its first start: made once, because making it takes longer than most stories."""
    with tempfile.TemporaryDirectory(prefix="sfsync-flow-", dir=quick_folder()) as folder:
        path = Path(folder) / "s.db"
        asyncio.run(open_store(f"sqlite:///{path}", exclusive=True).close())
        return path.read_bytes()


class House:
    """The org, two storefronts, and a daemon that can be started, stopped and killed."""

    def __init__(
        self,
        folder: Path,
        stock: Mapping[str, int],
        *,
        shops: Sequence[str] = ("london", "dubai"),
        rules: Sequence[PolicyRule] = (),
        shelf: Mapping[str, int] | None = None,
        batch_rows: int = 250,
        groups: Mapping[str, tuple[str, ...]] | None = None,
        shared: Mapping[str, SharedOrders] | None = None,
        org_rules: OrgOrderRules | None = None,
        not_for_sale: Sequence[str] = ("IN-TRANSIT", "RETURNS"),
        floor: Floor | None = None,
        keep: Mapping[str, int] | None = None,
        editions: Sequence[Edition] = (),
        rim: Callable[[Any], Any] = lambda part: part,
        make_shop: Callable[..., LittleShop] = LittleShop,
        plan: Mapping[str, tuple[str, ...]] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        price_channel: str = "",
        tags_channel: str = "",
    ) -> None:
        self.price_channel, self.tags_channel = price_channel, tags_channel
        self.patience_seconds = patience_seconds
        self.plan = plan  # the org locations of each of a shop's; None: all of them, of the only one
        self.floor = floor or Floor()
        self.keep = keep or {}
        self.editions = editions
        self.rim = rim  # stands between the daemon and org, shops and store
        self.groups = groups or {}
        self.clock = HastyClock()
        self.org = LittleOrg(self.clock, stock)
        self.shared, self.org_rules, self.not_for_sale = shared or {}, org_rules, frozenset(not_for_sale)
        if org_rules is not None:
            self.org.topics, self.org.order_topics = (WAKE, TILL, SALES), frozenset({SALES})
        skus = dict.fromkeys(name.split("|")[0] for name in stock)
        self.shops = {
            name: make_shop(self.clock, name, shelf or dict.fromkeys(skus, 0), batch_rows=batch_rows)
            for name in shops
        }
        self.rules = rules
        self.folder = folder
        self.poll_seconds, self.watch_seconds = 1e6, 2e6
        self.fold_nightly_days: int | None = None
        self.till_places: Sequence[TillPlace] = ()
        self.logged: list[Mapping[str, Any]] = []
        self.approve = True
        self.ask_above_percent = 100
        self._before: set[asyncio.Task[Any]] = set()
        self._ids = itertools.count()  # of all runs of the daemon: none may ever come again

    async def start(self) -> None:
        """Begin the daemon on what the store holds."""
        self._before = asyncio.all_tasks()
        path = self.folder / "s.db"
        if not path.exists():
            path.write_bytes(await asyncio.to_thread(_empty_store))
        self.store = self.rim(open_store(f"sqlite:///{path}", exclusive=True))
        found = dict.fromkeys(key.location for key in self.org.keys.values())
        places = tuple(place for place in found if place not in self.not_for_sale)
        plans = {
            name: ChannelPlan(
                name,
                self.plan or {"online": places},
                counts_down=shop.counts_down,
                ask_above_percent=self.ask_above_percent,
                identity=Identity(
                    name, {of: shop.place if of == shop.location else of for of in self.plan or ("online",)}
                ),
            )
            for name, shop in self.shops.items()
        }
        self.pulse = Pulse(self.clock.now())
        ctx = Context(
            heard(self.rim(self.org), self.pulse),
            {name: self.rim(shop) for name, shop in self.shops.items()},
            self.store,
            self.clock,
            random.Random(7).random,
            lambda: f"id-{next(self._ids)}",
            Assortment(
                plans,
                self.rules,
                self.groups,
                self.shared,
                self.org_rules,
                "IN-TRANSIT",
                self.not_for_sale,
                self.floor,
                stays=self.keep,
                editions={edition.name: edition for edition in self.editions},
                price_channel=self.price_channel,
                tags_channel=self.tags_channel,
            ),
            Bell(),
            self.pulse,
            structlog.wrap_logger(None, [self._keep], wrapper_class=structlog.stdlib.BoundLogger),
        )
        await self.store.write(self._bind)
        self.ctx, self.door = ctx, Door(ctx)
        self.supervisor = Supervisor(
            ctx,
            approve=self.approve,
            poll_seconds=self.poll_seconds,
            watch_seconds=self.watch_seconds,
            fold_nightly_days=self.fold_nightly_days,
            till_places=self.till_places,
        )
        self.desk = self.supervisor.desk
        ctx.assortment.learn(await self.store.read(lambda tx: tx.products()))
        await self.supervisor.start()

    def _bind(self, tx: SqlTx) -> None:
        now = self.clock.now()
        if tx.bound_org() is None:
            tx.bind_org("00D000000000001AAA", now)
            tx.open_hole(SNAPSHOT, now, "the org was never read whole", now)
        for name in (*self.shops, *([ORG_CHANNEL] if self.org_rules else [])):
            tx.note_channel(name, now)

    def _keep(self, _logger: object, level: str, event: Mapping[str, Any]) -> str:
        self.logged.append({**event, "level": level})
        raise structlog.DropEvent

    async def stop(self) -> None:
        """An orderly end."""
        await self.supervisor.stop()
        await self.store.close()

    async def kill(self) -> None:
        """Everything that runs ends where it stands; only what was committed is left."""
        running = asyncio.all_tasks() - self._before - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.store.close()

    def forget_everything(self) -> None:
        """A store that was never started."""
        for path in self.folder.iterdir():
            path.unlink()

    async def put_cursor(self, topic: str, cursor: bytes) -> None:
        """Between two runs: the bookmark is another."""
        store = open_store(f"sqlite:///{self.folder / 's.db'}", exclusive=True)
        await store.write(lambda tx: tx.put_cursor(topic, cursor, self.clock.now()))
        await store.close()

    async def until(self, done: Callable[[], Any], *, of: Callable[[], Any] = lambda: "") -> None:
        """Wait for a condition of the outside; a failure tells `of`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience_seconds
        while not done():
            assert loop.time() < end, f"waited {self.patience_seconds:g} s in vain: {of()} {self._troubles()}"
            await asyncio.sleep(0.005)

    async def until_kept(self, done: Callable[[SqlTx], Any]) -> None:
        """Wait for a condition of the store."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience_seconds
        while not await self.store.read(done):
            assert loop.time() < end, f"waited {self.patience_seconds:g} s in vain: {self._troubles()}"
            await asyncio.sleep(0.005)

    def _troubles(self) -> list[Mapping[str, Any]]:
        return [line for line in self.logged if line["level"] not in ("debug", "info")][-5:]

    async def let_a_minute_pass(self) -> None:
        """The shops' numbers were read a while ago: no sale is too close to the reading to tell."""
        c, minute = channel_level.c, timedelta(minutes=1).total_seconds()
        moments = {
            column: type_coerce(column, Double) - minute for column in (c.baseline_from, c.baseline_at)
        }
        await self.store.write(lambda tx: tx.connection.execute(update(channel_level).values(moments)))

    async def idle(self) -> None:
        """Wait until nothing waits: no inbox, no line or push due, no bundle, no hole, no channel unread."""

        def still(tx: SqlTx) -> bool:
            return not (
                tx.inbox(1)
                or tx.due_lines(1)
                or tx.waiting_bundles(0)
                or tx.open_holes()
                or any(tx.due(name, 1) or tx.open_pushes(name) for name in self.shops)
                or (self.approve and not all(tx.approved(name) for name in self.shops))
            )

        await self.until_kept(still)

    async def shows(self, sku: str, *units: int) -> None:
        """Wait until the shops, in order, show these numbers."""
        found = [shop.shelf for shop in self.shops.values()]
        await self.until(
            lambda: [shelf[sku] for shelf in found] == list(units),
            of=lambda: f"{sku}: {[shelf[sku] for shelf in found]} instead of {list(units)}",
        )

    async def deliver(self, shop: str, number: str, event: str = "") -> bool:
        """The shop's webhook arrives."""
        return await self.door.accept(shop, *self.shops[shop].webhook(number, event))

    async def reserve(
        self,
        sku: str,
        units: int = 1,
        *,
        shop: str = "london",
        key: str | None = None,
        digest: str = "",
        life: timedelta = timedelta(minutes=15),
        client: str = "",
    ) -> Outcome:
        """A shopper's cart asks."""
        wish = Wish(ReservationKind.CART, shop, "cart 7", (WishedLine(sku, units),), life, client=client)
        return await self.desk.create(wish, idempotency_key=key, digest=digest)


@asynccontextmanager
async def house(stock: Mapping[str, int], **how: Any) -> AsyncIterator[House]:
    """A house whose daemon has read org and shops, and has brought every shop up to date.

    `begin=False`: one that was never opened.
    """
    with tempfile.TemporaryDirectory(prefix="sfsync-flow-", dir=quick_folder()) as folder:
        begin = how.pop("begin", True)
        made = House(Path(folder), stock, **how)
        try:
            if not begin:
                yield made
                return
            await made.start()
            await made.idle()
            # The order lists have been read, when the shops were compared and once more, and so has what was
            # to be looked at afterwards: from now on a sale is unheard of until somebody tells of it.
            readers = len(made.shops) + (made.org_rules is not None)
            await made.until(lambda: made.clock.asleep[made.poll_seconds] >= readers)
            await made.let_a_minute_pass()
            yield made
        finally:
            await made.kill()


def uncovered(incident: Incident) -> list[tuple[object, object, object]]:
    """(subject, kind, uncovered units) of the promises that stock does not cover, as it names them."""
    promises = incident.detail["promises"]
    assert isinstance(promises, list)
    return [(each["subject"], each["kind"], each["uncovered"]) for each in promises if each["uncovered"]]


def total(rows: Iterable[tuple[str, int, int]]) -> tuple[int, int]:
    """(on hand, reserved) of what `LittleOrg.of` tells."""
    found = list(rows)
    return sum(row[1] for row in found), sum(row[2] for row in found)
