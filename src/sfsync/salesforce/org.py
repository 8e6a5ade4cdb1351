"""One Salesforce org, as the flow asks for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

import httpx

from sfsync.domain.budget import HourOfCalls, Standing, Work
from sfsync.domain.clocks import Ahead
from sfsync.domain.doctor import Member
from sfsync.domain.drift import Sums
from sfsync.domain.fold import Fold, FoldAnswer, LedgerRow
from sfsync.domain.ledger import Answer, Request
from sfsync.domain.products import Product
from sfsync.domain.promises import Promise
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel
from sfsync.domain.values import replace
from sfsync.plain_http import TheirClock
from sfsync.ports import Children, Clock, CountBook, EventBatch, Finding, Moved, OrgReading, Refused, Storage
from sfsync.salesforce import check_allowances, codec, folding, ledger, library, records
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.bookmark import Thread, marked, unmarked
from sfsync.salesforce.check import Check
from sfsync.salesforce.config import OrgConfig, OrgOrdersConfig, ProductsConfig
from sfsync.salesforce.counts import CountRecords
from sfsync.salesforce.gate import Gate
from sfsync.salesforce.library import Library, LibraryPages
from sfsync.salesforce.orders import OrderReader
from sfsync.salesforce.products import ProductReader
from sfsync.salesforce.pubsub import PubSub
from sfsync.salesforce.rest import Rest
from sfsync.salesforce.snapshot import ALL_LEVELS, Pages, Reader, RestPages
from sfsync.salesforce.stream import AvroSource, Batch, EventSource, opened
from sfsync.salesforce.transport import http_client

EXPORT_ROWS = 10_000  # in a page of an export: some megabytes
ORDER_EVENTS = "/data/OrderChangeEvent"


def event_source(
    config: OrgConfig, tokens: TokenProvider, order_topics: Collection[str], now: Callable[[], datetime]
) -> EventSource:
    """What carries the event stream; `Refused` when that part is not installed."""
    if config.transport == "pubsub":
        return AvroSource(PubSub(config, tokens, now), dict.fromkeys(order_topics, ORDER_EVENTS))
    try:
        from sfsync.salesforce.cometd import Cometd  # noqa: PLC0415 — an extra that most do without
    except ModuleNotFoundError as error:
        what = f'transport = "cometd" needs {error.name}, which is not installed'
        raise Refused(what, advice="install sfsync with its extra: pip install 'sfsync[cometd]'") from error
    return Cometd(config, tokens, now)


class SalesforceOrg:
    """Implements `ports.Org`.

    Raises `Refused` where a part that the settings call for is not installed. `transport` carries HTTP,
    `source` the events; without them the real wire is used. Both are closed
    with the org. Build it inside the running event loop.
    """

    def __init__(
        self,
        config: OrgConfig,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        source: EventSource | None = None,
        export_rows: int = EXPORT_ROWS,
    ) -> None:
        self._export_rows = export_rows
        self.topics: Sequence[str] = config.topics
        self.posting_topics = frozenset({config.pos_topic} if config.pos_topic is not None else ())
        self.order_topics = frozenset({config.orders.topic} if config.orders else ())
        self._config = config
        self._clock = clock
        self._their_clock = TheirClock(clock.now)
        self._http = http_client(
            config.login_url,
            timeout_seconds=config.timeout_seconds,
            ca_file=config.ca_file,
            transport=transport,
            clock=self._their_clock,
        )
        self._tokens = TokenProvider(config, self._http, clock.now)
        self._gate = Gate(config.calls_reserved_percent, clock.now)
        self._rest = Rest(config, self._http, self._tokens, self._gate, sleep=clock.sleep)
        self._library = Library(config, self._tokens, self._gate, sleep=clock.sleep)
        # The library opens connections of its own: not where HTTP is carried by somebody else.
        self._by_library = transport is None and library.serves(config)
        rests = {work: self._rest.doing(work) for work in Work}
        self._readers = {work: Reader(rest, self._many(rest, work)) for work, rest in rests.items()}
        self._ledgers = {work: folding.LedgerReader(rest) for work, rest in rests.items()}
        self._orders = {
            work: OrderReader(RestPages(rest), config.orders or OrgOrdersConfig())
            for work, rest in rests.items()
        }
        self._products = ProductReader(RestPages(rests[Work.REFRESH]), config.products or ProductsConfig())
        self.keeps_rows = True
        self.has_products = config.products is not None
        self.counts: CountBook | None = CountRecords(self._rest) if config.counts else None
        self._source = source or event_source(config, self._tokens, self.order_topics, clock.now)

    def _many(self, rest: Rest, work: Work) -> Pages:
        return LibraryPages(self._library, work) if self._by_library else RestPages(rest)

    def ahead(self) -> Ahead | None:
        """How far the org's clock is ahead of ours, by the answers so far."""
        return self._their_clock.ahead

    async def org_id(self) -> str:
        """The org's 18-character id."""
        return (await self._tokens.token()).org_id

    async def check(self, *, writing: bool = True) -> Sequence[Finding]:
        """Objects, fields, permissions, topics, and whether the rule really refuses."""
        return await self._check(Work.REFRESH).run(writing=writing)

    async def clock_offset(self) -> tuple[timedelta, timedelta] | None:
        """How far the org's clock is ahead of ours, and how surely; None when it tells no time."""
        return await check_allowances.clock_offset(self._http, self._config, self._clock)

    async def limits(self) -> Mapping[str, Any] | None:
        """Everything that the org limits, by its own names; None where it does not tell our user."""
        return await check_allowances.limits(self._rest.doing(Work.REFRESH))

    async def members(self) -> Sequence[Member] | None:
        """What the channels of change events carry; None where the org does not tell our user."""
        return await check_allowances.members(self._rest.doing(Work.REFRESH))

    def _check(self, work: Work) -> Check:
        rest = self._rest.doing(work)
        return Check(self._config, rest, self._describe, self._source.may_listen, self._clock.now)

    async def _describe(self, name: str) -> Mapping[str, Any]:
        if self._by_library:
            return await self._library.describe(name, Work.REFRESH)
        described: Mapping[str, Any] = await self._rest.doing(Work.REFRESH).get(f"sobjects/{name}/describe")
        return described

    def snapshot(self, work: Work = Work.REFRESH) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, in pages."""
        return self._readers[work].snapshot()

    async def export(self) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, by the Bulk API 2.0 where it can be reached: few calls, some seconds' wait."""
        if not self._by_library:
            async for levels in self._readers[Work.BULK].snapshot():
                yield levels
            return
        async for page in self._library.export(
            "StockLevel__c", ALL_LEVELS, Work.BULK, rows=self._export_rows
        ):
            yield records.levels(records.exported(record) for record in page)

    async def levels_of_skus(self, skus: Collection[str]) -> Sequence[StockLevel]:
        """Every level of these SKUs."""
        return await self._readers[Work.BULK].levels_of_skus(skus)

    async def sums(self) -> Mapping[str, Sums]:
        """What the levels of each location have together."""
        return await self._readers[Work.BULK].sums()

    async def sums_between(self, location: str, first: str | None, last: str | None) -> Sums:
        """The same of a location's levels within a range of record ids."""
        return await self._readers[Work.BULK].sums_between(location, first, last)

    async def levels_between(
        self, location: str, first: str | None, last: str | None
    ) -> Sequence[StockLevel]:
        """These levels."""
        return await self._readers[Work.BULK].levels_between(location, first, last)

    async def read_levels(
        self,
        *,
        levels: Collection[str] = (),
        movements: Collection[str] = (),
        keys: Collection[LevelKey] = (),
        work: Work = Work.SALE,
    ) -> Sequence[StockLevel]:
        """The levels with these record ids, of these movements, and of these keys, if they exist."""
        reader, wanted = self._readers[work], set(levels)
        if movements:
            wanted |= await reader.levels_of_movements(movements)
        by_id = await reader.levels(wanted) if wanted else []
        return [*by_id, *(await reader.levels_of_keys(keys) if keys else ())]

    def levels_moved_since(self, at: datetime) -> AsyncIterator[Moved]:
        """The levels that any movement entered or deleted since `at` belongs to, in pages."""
        return self._readers[Work.REFRESH].moved_since(at)

    async def read_orders(self, *, orders: Collection[str] = (), items: Collection[str] = ()) -> OrgReading:
        """The orders with these ids and those that these order items belong to, deleted ones too."""
        return await self._orders[Work.SALE].read(orders, items)

    def orders_changed_since(self, at: datetime) -> AsyncIterator[OrgReading]:
        """Every order of which a part has changed since `at`, and changed return lines."""
        return self._orders[Work.REFRESH].changed_since(at)

    def returns_under_way(self) -> AsyncIterator[OrgReading]:
        """Every return line of which nothing is said to have come yet, as of no order."""
        return self._orders[Work.BULK].returns_under_way()

    def products(self, since: datetime | None) -> AsyncIterator[Sequence[Product]]:
        """Products that have changed since, deleted ones too; all of them when None."""
        return self._products.since(since)

    async def create_levels(self, keys: Collection[LevelKey]) -> None:
        """Make empty stock levels for keys that have none; no stock is entered."""
        await ledger.create_levels(self._rest, keys)

    async def enter(self, request: Request, record_ids: Mapping[LevelKey, str]) -> Answer:
        """Enter a request's movements and read back levels and rows: one call."""
        return await ledger.enter(self._rest, request, record_ids, self._config.data_path)

    async def promises(self, levels: Mapping[LevelKey, str]) -> Sequence[Promise]:
        """Who holds units reserved at these levels (each with its record id), whoever reserved them."""
        return await self._readers[Work.SALE].promises(levels)

    async def sold(self, skus: Collection[str]) -> int:
        """Units of these SKUs that the ledger has as sold or sent, less what came back."""
        return await self._readers[Work.REFRESH].sold(skus)

    async def subject_rows(self, subjects: Collection[str]) -> Sequence[Movement]:
        """Every ledger row of these subjects, oldest first."""
        return await self._readers[Work.SALE].subject_rows(subjects)

    async def level_rows(self, record_id: str, work: Work = Work.SALE) -> Sequence[LedgerRow]:
        """Every row of a level, oldest first."""
        return await self._ledgers[work].level_rows(record_id)

    async def rows_at(self, record_ids: Collection[str], work: Work = Work.SALE) -> Sequence[LedgerRow]:
        """Every row of these levels, the rows of each oldest first."""
        return await self._ledgers[work].rows_at(record_ids)

    async def entered_since(self, record_ids: Collection[str], at: datetime) -> Sequence[LedgerRow]:
        """Rows of these levels that were made since then, oldest first."""
        return await self._ledgers[Work.SALE].entered_since(record_ids, at)

    def moved(self, since: datetime, kinds: Collection[MovementKind]) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every row of these kinds that happened since then, in pages, whoever entered it."""
        return self._ledgers[Work.BULK].moved(since, kinds)

    async def rows_of(self, subjects: Collection[str]) -> Sequence[LedgerRow]:
        """Every row of these subjects, at all levels."""
        return await self._ledgers[Work.BULK].rows_of(subjects)

    def openings(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every opening row that a fold has left, in pages."""
        return self._ledgers[Work.REFRESH].openings()

    def reserving_rows(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every row that changed reserved at the levels where something is reserved now, in pages."""
        return self._ledgers[Work.REFRESH].reserving_rows()

    async def orders_entered(self, channel: str) -> tuple[datetime, datetime] | None:
        """When the first row that we entered for an order of a channel occurred, and the last was made."""
        return await self._ledgers[Work.REFRESH].orders_entered(channel)

    async def children(
        self, before: datetime | None = None, *, sku: str | None = None, location: str | None = None
    ) -> Sequence[Children]:
        """Rows of each level (older than `before`, of a SKU, at a location), the fullest first."""
        return await self._ledgers[Work.BULK].children(before, sku, location)

    async def count_rows(self, since: datetime | None = None) -> int:
        """Rows of all levels together (made since, when given)."""
        return await self._ledgers[Work.BULK].count_rows(since)

    async def fold(self, fold: Fold, record_id: str) -> FoldAnswer:
        """Enter an opening row and delete what it stands for: all or nothing, one call.

        Sales of its level wait for its outcome, so it goes as they do; what leads to it is bulk work.
        """
        return await folding.enter(self._rest, fold, record_id, self._config.data_path)

    async def check_fold(self) -> Finding:
        """Whether a fold is one transaction here: tried on the probe's level."""
        return await self._check(Work.BULK).fold()

    async def storage(self) -> Storage | None:
        """The org's data storage; None where it does not tell."""
        limits = await self._rest.doing(Work.REFRESH).get("limits")
        told = limits.get("DataStorageMB")
        events = limits.get("DailyDeliveredPlatformEvents") or {}
        if told is None:
            return None
        return Storage(int(told["Max"]), int(told["Remaining"]), events.get("Max"), events.get("Remaining"))

    async def events(self, topic: str, cursor: bytes | None) -> AsyncGenerator[EventBatch, None]:
        """The stream after `cursor`; from now on when None. An empty batch is a sign of life with a cursor.

        Each batch comes as soon as the org sent it. When "now" began, only the first batch proves.
        """
        place, anchor = unmarked(topic, cursor, self._clock.now())
        beginning, place = opened(topic, place)
        thread = Thread(topic, place, anchor)
        async with aclosing(self._source.subscribe(topic, thread.join())) as batches:
            async for batch in batches:
                told = thread.kept(batch, self._clock.now())
                if beginning is not None:
                    told = beginning.kept(told)
                yield self._told(topic, replace(told, cursor=marked(told.cursor, thread.anchor)))

    def _told(self, topic: str, batch: Batch) -> EventBatch:
        if not batch.events:
            return EventBatch(topic, batch.cursor, joined=batch.joined)
        now = self._clock.now()
        found = codec.Findings()
        for event in batch.events:
            codec.note(found, event, now)
        return EventBatch(
            topic,
            batch.cursor,
            frozenset(found.levels),
            frozenset(found.movements),
            frozenset(found.orders),
            frozenset(found.order_items),
            tuple(found.postings),
            tuple(found.transfers),
            tuple(found.poison),
            found.hole_since,
            len(batch.events),
            max(filter(None, map(codec.committed_at, batch.events)), default=None),
        )

    def calls(self) -> Standing | None:
        """How the API calls of the last 24 hours stand, without asking; None before the org has told."""
        return self._gate.standing()

    def hours_of_calls(self) -> tuple[Sequence[HourOfCalls], int | None]:
        """The calls of each hour that counts, and how many the org allows."""
        return self._gate.hours()

    def recall_calls(self, hours: Sequence[HourOfCalls], allowed: int | None) -> None:
        """What was kept of a former run."""
        self._gate.recall(hours, allowed)

    async def close(self) -> None:
        """Give back connections."""
        await self._source.close()
        self._library.close()
        await self._http.aclose()
