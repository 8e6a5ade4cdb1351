"""The world of one seed: an org, two shops, a network, and a daemon that lives more than once."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import structlog

from sfsync.app import Daemon, StartError, channel_config, org_config
from sfsync.channels.config import ShopifyConfig
from sfsync.channels.shopify import ShopifyChannel
from sfsync.ports import Clock
from sfsync.resources import metadata_folder
from sfsync.salesforce.org import SalesforceOrg
from sfsync.salesforce.stream import AvroSource
from sfsync.salesforce.transport import http_client
from sfsync.settings import Settings, ShopifySettings
from sfsync.simulators.org.bus import EventBus
from sfsync.simulators.org.clock import MovableClock
from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.model import ChangeKind, Schema
from sfsync.simulators.org.org import OrgConfig, build_org
from sfsync.simulators.org.pubsub import PubSubService
from sfsync.simulators.org.rest.bodies import fill
from sfsync.simulators.org.save import Operation
from sfsync.simulators.org.source import load_schema
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs, SeedVariant, ShopConfig
from sfsync.simulators.shopify.config import Plan as ShopPlan
from sfsync.simulators.shopify.shop import Shop
from sfsync.simulators.uuids import new_uuid
from sfsync.store import Database, Hands, StoreError, open_store

from .habits import BLOCK, BOUTIQUE, DROP, FEW, KIOSK, PAVILION, PIECE, RETURNS
from .life import LIFE, Disk, Life
from .loop import BEGIN, VirtualClock, VirtualLoop
from .net import Net, Straight, Transport
from .plan import PLACES, SHOPS, UNKNOWN, Plan
from .story import Story
from .wire import Wire

TOKEN = "the-storefronts-own-token"
STORE_TOKEN = "the-boutiques-own-token"
WAREHOUSE_TOKEN = "the-warehouse-people-own-token"
TOPICS = (
    "orders/create",
    "orders/updated",
    "orders/cancelled",
    "orders/fulfilled",
    "orders/partially_fulfilled",
)
ROUTING_TOPICS = ("fulfillment_orders/order_routing_complete", "fulfillment_orders/moved")
SLOWEST_EVENT_SECONDS = 4.0  # from a commit to its place in the stream
TWIN_SECONDS = 5.0  # within which a second daemon must have ended
ORG_URL = "http://org.localhost"
ORDERS = "/data/SfsyncOrders__chn"


class ShopTime(ShopClock):
    """A shop's clock on virtual time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._virtual = clock
        self._date, self._seconds = clock.now(), clock.now().timestamp()  # asked for many times at one moment

    def now(self) -> float:
        date = self._virtual.now()
        if date is not self._date:
            self._date, self._seconds = date, date.timestamp()
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class AheadClock:
    """A clock that is some seconds ahead of another, or behind it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._ahead = clock, timedelta(seconds=seconds)
        self._at = clock.now()
        self._told = self._at + self._ahead  # asked for many times at one moment

    def now(self) -> datetime:
        at = self._clock.now()
        if at is not self._at:
            self._at, self._told = at, at + self._ahead
        return self._told

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class _Door:
    """The daemon's web server: an app that others reach through the network while it is open."""

    def __init__(self, app: Any, world: World, life: Life) -> None:
        self._app, self._world, self.life = app, world, life
        self.address = "http://sfsync.localhost"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self.life.passes(f"a request to {scope['path']}"):
            raise ConnectionResetError("the daemon is dead")
        await self._app(scope, receive, send)
        if not self.life.passes(f"an answer of {scope['path']}"):
            raise ConnectionResetError("the daemon is dead")

    async def start(self) -> None:
        self._world.door = self

    async def stop(self) -> None:
        if self._world.door is self:
            self._world.door = None


class World:
    """All of it. Build it inside the running loop."""

    site = "http://sfsync.localhost"  # where the daemon is

    def __init__(self, plan: Plan, folder: Path, story: Story) -> None:
        self.plan, self.folder, self.story = plan, folder, story
        self.loop = asyncio.get_running_loop()
        self.clock, self.ours, self.shop_clocks = self._clocks()
        # How far the daemon's is ahead of everybody's.
        self.ahead = timedelta() if self.ours is self.clock else self.ours.now() - self.clock.now()
        self.outside: Context = copy_context()
        self.net = Net(self.chance("network"), self.outside, plan.network_seconds)
        self.door: _Door | None = None
        self.life: Life | None = None
        self.lives = 0
        self.violations: list[str] = []
        self.rewriting: set[str] = set()  # ids of movements that people delete, or a backup does not have
        self.unapplied: dict[str, int] = {}  # shops that did not do what they said, each in which life
        self.on_commit: list[Any] = []  # called after each of the daemon's transactions
        self.resets: list[Any] = []  # called when the stream was reset
        self.overflows: list[Any] = []  # called with the rows of which only the overflow tells
        self._running: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._store: Database | None = None
        self._ids = self.chance("ids")
        self._levels: dict[str, str] = {}  # the org's ids of the levels that were looked for, by key
        self.store_path = folder / "sfsync.db"
        shutil.copyfile(_empty_store(folder.parent), self.store_path)
        self.org = build_org(
            OrgConfig(
                metadata_folder(),
                schema=_schema(),
                knobs=(*plan.org_knobs, *_order_knobs(plan)),
                seed={
                    "levels": [
                        {"sku": sku, "location": place, "on_hand": units}
                        for (sku, place), units in plan.all_stock.items()
                    ]
                    + [
                        {"sku": PIECE, "location": place, "unit": unit, "on_hand": int(place == PLACES[0])}
                        for unit in plan.habits.pieces
                        for place in PLACES
                    ],
                    **_products(plan),
                },
                random_seed=plan.seed,
            ),
            clock=MovableClock(self.clock.now),
        )
        if plan.habits.imported:
            self._import_stock()
        if plan.fallback:
            self.org.engine.set_rule("Reservation_needs_stock", active=False)
            self.org.engine.set_rule("Reserved_within_on_hand", active=True)
        self.pubsub = PubSubService(self.org.bus, self.org.sessions, self.org.pubsub_knobs)
        self.shops: dict[str, Shop] = {name: self._shop(name) for name in SHOPS}
        self.settings = self._settings()
        structlog.configure(
            processors=[_drop],
            wrapper_class=structlog.make_filtering_bound_logger(50),
            logger_factory=_silent,
            cache_logger_on_first_use=False,
        )
        self._log = story.logger("sfsync")
        self.web = Straight(
            transport=self._way_to_us("sfsync"),
            base_url=self.site,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=15.0,
            trust_env=False,
        )

    def chance(self, name: str) -> Random:
        """A source of chance of its own for each part, so that one drawing more moves no other."""
        return Random(f"{self.plan.seed} {name}")

    def violated(self, promise: int | str, what: str) -> None:
        """A promise was broken; the first few are kept."""
        if len(self.violations) < 20:
            self.violations.append(f"promise {promise}: {what}")
            self.story.tell("checker", f"PROMISE {promise} BROKEN: {what}")

    # -- the parts

    def _clocks(self) -> tuple[Clock, Clock, Mapping[str, ShopClock]]:
        """Everybody's time; the daemon's; the shops'."""
        assert isinstance(self.loop, VirtualLoop)
        clock, drawn = VirtualClock(self.loop), self.plan.habits.clocks
        shops = {
            name: ShopTime(AheadClock(clock, seconds) if seconds else clock)
            for name, seconds in zip(SHOPS, drawn.shops, strict=True)
        }
        return clock, AheadClock(clock, drawn.ours) if drawn.ours else clock, shops

    def _way_to_us(self, name: str) -> Transport | None:
        """How others reach the daemon; None: by sockets."""
        return self.net.transport(name, lambda: self.door, None)

    def _shop(self, name: str) -> Shop:
        skus = (*self.plan.all_skus, UNKNOWN)
        places, mall = list(self.plan.sells_from(name)), self.plan.habits.mall
        routing: dict[str, Any] = {}
        if len(places) > 1 and mall is not None:
            routing = {"routing_seconds": mall.routing_seconds, "routing_webhooks": mall.told}
        config = ShopConfig(
            name=name,
            plan=ShopPlan.ENTERPRISE,
            locations=places,
            variants=[
                SeedVariant(sku, sku, available=dict.fromkeys(places, 3 if sku == UNKNOWN else 0))
                for sku in skus
            ],
            webhook_url=f"{self.site}/webhooks/{name}",
            webhook_topics=(*TOPICS, *(ROUTING_TOPICS if routing else ())),
            knobs=Knobs(**self.plan.shop_knobs[name], **routing),
        )
        way = self._way_to_us("webhooks")
        post = None if way is None else way.post
        return Shop(config, self.shop_clocks[name], self.chance(f"shop {name}"), post)

    def _settings(self) -> Settings:
        plan = self.plan
        app = next(iter(self.org.identity.apps.values()))
        return Settings.model_validate(
            {
                "salesforce": {
                    "login_url": ORG_URL,
                    "client_id": app.client_id,
                    "client_secret": app.client_secret,
                    "pubsub_endpoint": "org.localhost:7443",
                    "silence_seconds": 90.0,
                },
                "store": {"url": f"sqlite:///{self.store_path}"},
                "web": {
                    "tokens": [
                        {
                            "name": "shop",
                            "token": TOKEN,
                            "scopes": ["reservations", "view"],
                            "channels": ["*"],
                        },
                        {"name": "warehouse", "token": WAREHOUSE_TOKEN, "scopes": ["admin"]},
                        {"name": "boutique", "token": STORE_TOKEN, "scopes": ["stores"], "locations": ["*"]},
                    ],
                    "open_status": True,
                },
                "channels": {
                    name: {
                        "kind": "shopify",
                        "url": f"http://{name}.localhost",
                        "shop_domain": shop.config.domain,
                        "access_token": shop.config.access_token,
                        "webhook_secret": shop.config.client_secret,
                        "safety_stock": plan.safety[name],
                        "may_reserve_at": [KIOSK, PAVILION],
                        "cap": plan.caps[name],
                        "orders_lag_seconds": 120.0,  # the worst of these shops lists within ten
                        "locations": {
                            place.name.lower(): {
                                "id": place.id,
                                "sells_from": plan.sells_from(name)[place.name],
                            }
                            for place in shop.stock.locations.values()
                        },
                    }
                    for name, shop in self.shops.items()
                },
                "policies": [
                    {"skus": ["GATED-*"], "guarantee": "gated"},
                    {"skus": ["ALLOC-*"], "channels": ["london"], "guarantee": "allocated"},
                    *plan.last_one.policies(),
                    *_drop_policies(plan),
                ],
                **_order_settings(plan),
                **_floor_settings(plan),
            }
        )

    # -- the daemon's lives

    def new_id(self) -> str:
        return new_uuid(self._ids)

    def start(self) -> Life:
        """A new life on the same store."""
        self.lives += 1
        life = Life(self.lives)
        self.life = life
        self._stop = asyncio.Event()
        self.story.tell("world", f"the daemon starts, life {life.number}")
        self._running = self._run(life, self._stop)
        return life

    async def start_twin(self, number: int) -> None:
        """Somebody starts a second daemon beside the first, on the same store: it must see that, and end."""
        life, stop = Life(-number), asyncio.Event()
        self.story.tell("world", "a second daemon is started on the same store")
        first, running = self.life, self._run(life, stop)
        try:
            await asyncio.wait([running], timeout=TWIN_SECONDS)
            if first is None or not first.alive:
                return  # dead at that very moment: then there is one
            if life.passed:
                self.violated(2, f"a second daemon has begun to work on the same store: {life.passed[:3]}")
            if not running.done():
                self.violated(2, "a second daemon runs on the same store")
                return
            error = running.exception()
            if not isinstance(error, StoreError | StartError):
                self.violated("-", f"a second daemon ended with {error!r}")
            self.story.tell("world", f"it ends with {type(error).__name__}")
        finally:
            life.end("its mistake was seen")
            await life.bury()

    def _run(self, life: Life, stop: asyncio.Event) -> asyncio.Task[None]:
        """A daemon with all that it needs for this life."""
        disk = Disk(life, self.chance(f"disk {life.number}"), self.plan.disk_seconds)
        disk.committed = self._committed
        luck = self.chance(f"luck {life.number}").random

        def opened(url: str) -> Database:
            readers = Disk(life, self.chance(f"readers {life.number}"), self.plan.disk_seconds)
            store = open_store(url, exclusive=True, migrate=False, hands=Hands(disk, readers, "OFF"))
            _put_into_words_once(store)
            if life is self.life:
                self._store = store
            return store

        org_carrier = partial(self.net.transport, "org", lambda: self.org.app, life)
        configured = org_config(self.settings)
        http = http_client(ORG_URL, timeout_seconds=30.0, ca_file=None, transport=org_carrier())
        source = Wire(
            configured,
            http,
            life,
            self.pubsub,
            self.outside,
            self.chance(f"stream {life.number}"),
            lambda: "org" not in self.net.cut_off,
            self.ours.now,
            self.plan.haste,
        )
        org = SalesforceOrg(configured, self.ours, transport=org_carrier(), source=AvroSource(source))
        channels: dict[str, Any] = {}
        for name, settings in self.settings.channels.items():
            assert isinstance(settings, ShopifySettings)
            channel = ShopifyChannel(
                ShopifyConfig.of(channel_config(name, settings)),
                self.ours,
                transport=self.net.transport(name, partial(getattr, self.shops[name], "app"), life),
                luck=luck,
            )
            if self.plan.push_rows != channel.ability.batch_rows:
                channel.ability = replace(channel.ability, batch_rows=self.plan.push_rows)
            channels[name] = channel
        daemon = Daemon(
            self.settings,
            approve=True,
            clock=self.ours,
            org=org,
            channels=channels,
            log=self._log,
            luck=luck,
            new_id=self.new_id,
            poll_seconds=self.plan.poll_seconds,
            open_store=opened,
            serve=lambda app, _host, _port: _Door(app, self, life),
        )
        context = self.outside.copy()
        context.run(LIFE.set, life)
        return self.loop.create_task(daemon.run(stop), context=context, name="daemon")

    async def bury(self) -> None:
        """After a crash."""
        life = self.life
        assert life is not None
        self.story.tell("world", f"the daemon dies at {life.ended_at}")
        self.door = None
        await life.bury()
        await self._close_store()

    async def stop(self) -> None:
        """An orderly end."""
        life, running = self.life, self._running
        assert life is not None
        assert running is not None
        self.story.tell("world", "the daemon is asked to stop")
        self._stop.set()
        stopping = asyncio.ensure_future(asyncio.wait([running]))
        dying = asyncio.ensure_future(life.ended.wait())
        await asyncio.wait([stopping, dying], return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if life.alive:
            if running.exception() is not None:
                self.violated("-", f"the daemon ended with {running.exception()!r}")
            life.end("its orderly end")
            await life.bury()
            await self._close_store()

    def reader(self) -> Any:
        """The daemon's own connection to its store, by which it writes; None while it has none, or is at it.

        Between two transactions it sees what is committed, as everybody does, and has it at hand; another
        one would read every page anew after each commit.
        """
        store = self._store
        connection = None if store is None else store._connection
        if connection is None or connection.closed:
            return None
        driver: Any = connection.connection.driver_connection
        return None if driver.in_transaction else driver

    async def _close_store(self) -> None:
        if self._store is not None:
            await self._store.close()
            self._store = None

    def _committed(self) -> None:
        for told in self.on_commit:
            told()

    # -- people in the org

    def _import_stock(self) -> None:
        """What there is in the morning has keys of another system: sfsync must not fold it."""
        table = self.org.engine.store.tables["StockMovement__c"]
        for number, row in list(table.rows.items()):
            table.put({**row, "IdempotencyKey__c": f"import:{number}"}, row)

    async def enter(self, sku: str, place: str, kind: str, *, on_hand: int = 0, reserved: int = 0) -> str:
        """Somebody enters a movement by hand; "" when it was saved, or the org's words."""
        engine = self.org.engine
        level = self.level_id(sku, place)
        body = {
            "StockLevel__c": level,
            "Kind__c": kind,
            "OnHandDelta__c": on_hand,
            "ReservedDelta__c": reserved,
            "VersionDelta__c": 1,
        }
        async with engine.transaction(self.org.admin) as transaction:
            plan = engine.plans["StockMovement__c"]
            operation = Operation(plan.sobject, ChangeKind.CREATE)
            fill(operation, body, plan, engine.plans, transaction.layer, inserting=True)
            await engine.dml(transaction, [operation], all_or_none=True)
        return operation.errors[0].message if operation.errors else ""

    async def rewrite(self, rows: Sequence[str], *, silently: bool = False) -> bool:
        """Movements are gone: deleted by somebody, or never there in a restored backup, which tells nobody.

        False when a rule of the org keeps them.
        """
        engine = self.org.engine
        self.rewriting.update(rows)
        sobject = engine.plans["StockMovement__c"].sobject
        operations = [Operation(sobject, ChangeKind.DELETE, record_id=each) for each in rows]
        if silently:
            table = engine.store.tables["StockMovement__c"].rows
            self.bus.fates.order([Fate.LOST for each in rows if not table[each]["BySfsync__c"]])
        async with engine.transaction(self.org.admin) as transaction:
            await engine.dml(transaction, operations, all_or_none=True)
        if silently:
            await asyncio.sleep(SLOWEST_EVENT_SECONDS)
            self.bus.fates.ordered.clear()
        if any(each.errors for each in operations):
            self.rewriting.difference_update(rows)
            return False
        for each in rows if silently else ():
            engine.erase("StockMovement__c", each)
        return True

    async def publish(self, values: Mapping[str, Any]) -> None:
        """A till publishes a stock event."""
        engine = self.org.engine
        async with engine.transaction(self.org.admin) as transaction:
            engine.publish(transaction, engine.plans["StockEvent__e"].sobject, values)

    def seconds(self, moment: str | None) -> float:
        """A moment that the daemon told, in the loop's time."""
        at = datetime.fromisoformat(moment) - self.ahead if moment else BEGIN
        return (at - BEGIN).total_seconds()

    def level(self, sku: str, place: str) -> Mapping[str, Any]:
        """The org's own record of a stock level."""
        key, rows = f"{sku}|{place}", self.org.engine.store.tables["StockLevel__c"].rows
        if key not in self._levels:
            self._levels[key] = next(number for number, row in rows.items() if row["LevelKey__c"] == key)
        return rows[self._levels[key]]

    def level_id(self, sku: str, place: str) -> str:
        return str(self.level(sku, place)["Id"])

    @property
    def bus(self) -> EventBus:
        return self.org.bus


def _products(plan: Plan) -> dict[str, Any]:
    """Orders in the org name products; without them there are none."""
    products = [{"Name": sku, "StockKeepingUnit": sku, "IsActive": True} for sku in plan.all_skus]
    return {"records": {"Product2": products}} if plan.habits.org_orders else {}


def _order_knobs(plan: Plan) -> tuple[str, ...]:
    habits = plan.habits
    return (f"cancelled_status_category={habits.cancelled_category}",) if habits.org_orders else ()


def _order_settings(plan: Plan) -> dict[str, Any]:
    habits = plan.habits
    if not habits.org_orders:
        return {}
    return {
        "org_orders": {
            "sells_from": PLACES,
            "channel_field": "Type",
            "authority": habits.authority,
            "line_field": "Description" if habits.line_ids else "",
            "fulfilled_statuses": ["Shipped"],
            "returns_to": RETURNS,
        }
    }


def _floor_settings(plan: Plan) -> dict[str, Any]:
    """There is never so much on the boutique's floor that anybody outside may count on it.

    In the pavilion there is, in the morning: a block is set aside of it.
    """
    habits = plan.habits
    floors = [*([BOUTIQUE] if habits.floor is not None else []), *([PAVILION] if habits.drop else [])]
    return {"locations": {"tills_after_sale": floors, "floor_scarce_at": FEW}} if floors else {}


def _drop_policies(plan: Plan) -> list[dict[str, Any]]:
    if not plan.habits.drop:
        return []
    return [{"skus": [DROP], "guarantee": "gated", "block": BLOCK, "block_at": [PAVILION]}]


_words: dict[str, Any] = {}  # what the first store's engine has learned


def _put_into_words_once(store: Database) -> None:
    """An engine makes SQL of each statement once; here each life has an engine of its own, on one schema."""
    for engine in (store._writer, store._reader):
        engine.dialect = _words.setdefault("dialect", engine.dialect)
        engine._compiled_cache = _words.setdefault("compiled", engine._compiled_cache)


def _silent(*_args: Any) -> None:
    """Nobody's log."""


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@cache
def _schema() -> Schema:
    """The source does not change while a process lives days."""
    return load_schema(metadata_folder())


@cache
def _empty_store(folder: Path) -> Path:
    """A store at the present schema; migrating a new one for each seed would take longer than the seed."""
    path = folder / f"empty-{os.getpid()}.db"
    path.unlink(missing_ok=True)  # of a process that had this number before, perhaps with another schema
    atexit.register(path.unlink, missing_ok=True)
    store = open_store(f"sqlite:///{path}", exclusive=False)
    store._writer.dispose()
    store._reader.dispose()
    return path
