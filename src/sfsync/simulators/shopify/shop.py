"""The shop: all its parts, put together."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Self

from starlette.applications import Starlette

from sfsync.simulators.dated import Dated
from sfsync.simulators.shopify.announcing import Announcer
from sfsync.simulators.shopify.bulk import BulkReads
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import ShopConfig
from sfsync.simulators.shopify.cost import Bucket
from sfsync.simulators.shopify.engine import Engine
from sfsync.simulators.shopify.faults import FaultPlan
from sfsync.simulators.shopify.http_admin import AdminHttp
from sfsync.simulators.shopify.http_control import control_app
from sfsync.simulators.shopify.http_storefront import StorefrontHttp
from sfsync.simulators.shopify.idempotency import KeyStore
from sfsync.simulators.shopify.inventory import InventoryWriter
from sfsync.simulators.shopify.selling import Selling
from sfsync.simulators.shopify.stock import Numbers, Stock
from sfsync.simulators.shopify.tokens import Tokens
from sfsync.simulators.shopify.webhooks import Post, WebhookSender


class Shop:
    """One storefront. `app` is what the world sees, `control` what only a test may touch.

    Use it as an async context manager, or `close` it: webhooks may be on their way.
    """

    def __init__(
        self,
        config: ShopConfig,
        clock: ShopClock | None = None,
        rng: random.Random | None = None,
        post: Post | None = None,
    ) -> None:
        self.config = config
        self.clock = clock or ShopClock()
        self.public_url = config.public_url
        self.number = 60_000_000_000 + zlib.crc32(config.name.encode()) % 10**9
        # Two shops draw different ids, and a restarted one does not repeat itself.
        self.rng = rng or random.Random(f"{config.name}/{self.clock.now()}")  # noqa: S311 — no secret
        self.numbers = Numbers(config.name, self.clock.now())
        self.faults = FaultPlan(self.rng)
        self.webhooks = WebhookSender(config, self.clock, self.rng, self.numbers, self.faults, post)
        self.announcer = Announcer(self.clock, self.webhooks, self.rng, config.knobs)
        self.stock = Stock(self.clock, self.numbers)
        self.stock.open(config.locations, config.offline_locations, config.variants)
        self.stock.watchers.append(self.announcer.stock_changed)
        self.stock.connection_watchers.append(self.announcer.connected)
        self.selling = Selling(self.clock, self.numbers, self.stock, self.announcer, config.knobs)
        self.inventory = InventoryWriter(self.clock, self.numbers, self.stock, config.knobs)
        self.keys = KeyStore(self.clock, config.knobs)
        self.bucket = Bucket(config.plan, self.clock)
        self.tokens = Tokens(config, self.clock, self.rng)
        self.engine = Engine(config.knobs)
        self.bulk = BulkReads(self)
        self._jobs: set[asyncio.Task[None]] = set()
        self.admin = AdminHttp(self)
        self.storefront = StorefrontHttp(self)
        self.app = Dated(Starlette(routes=[*self.admin.routes, *self.storefront.routes]), self.clock.now)
        self.control = control_app(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def begin(self, job: Coroutine[None, None, None]) -> None:
        """Have something done later."""
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def close(self) -> None:
        """Stop what is on its way."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self.bulk.close()
        await self.webhooks.close()


def build_shop(
    config: ShopConfig,
    clock: ShopClock | None = None,
    rng: random.Random | None = None,
    post: Post | None = None,
) -> Shop:
    """A shop, ready to serve: `build_shop(config).app` is an ASGI application.

    `post` carries its webhooks within one process; without it they go out over HTTP.
    """
    return Shop(config, clock, rng, post)
