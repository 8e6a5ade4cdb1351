"""The same world made of real sockets: gRPC, HTTP and HTTPS on loopback, the machine's clock, a file.

Nothing of the harness lies between the parties: the daemon speaks as it does in production, the org and the
shops are served by their own servers. Only that all of them share one process is not as it is in life.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.test_daemon import free_port

from sfsync.app import Daemon
from sfsync.ports import Clock
from sfsync.settings import Settings
from sfsync.simulators.org.server import Ports, Ready, serve
from sfsync.simulators.org.tls import make_tls_files
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.serving import serving

from .plan import SHOPS, Plan
from .story import Story
from .world import World


class WallClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class WiredWorld(World):
    """See above. `opened` serves it; there is one life and no faults."""

    def __init__(self, plan: Plan, folder: Path, story: Story) -> None:
        self._port = free_port()
        self.site = f"http://127.0.0.1:{self._port}"
        super().__init__(plan, folder, story)

    def _clocks(self) -> tuple[Clock, Clock, Mapping[str, ShopClock]]:
        clock, shops = WallClock(), ShopClock()
        return clock, clock, dict.fromkeys(SHOPS, shops)

    def _way_to_us(self, name: str) -> None:
        return None

    def _reached(self, org: Ready, urls: Mapping[str, str]) -> Settings:
        """The settings, with the addresses that came to be."""
        theirs = self.settings
        to_org = {"login_url": org.rest_url, "pubsub_endpoint": org.grpc_tls, "ca_file": Path(org.ca_file)}
        return theirs.model_copy(
            update={
                "salesforce": theirs.salesforce.model_copy(update=to_org),
                "web": theirs.web.model_copy(update={"host": "127.0.0.1", "port": self._port}),
                "channels": {
                    name: each.model_copy(update={"url": urls[name]})
                    for name, each in theirs.channels.items()
                },
            }
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[WiredWorld]:
        """Org and shops can be reached, and the daemon runs, until the block ends."""
        async with AsyncExitStack() as stack:
            tls = make_tls_files(self.folder)
            org = await stack.enter_async_context(serve(self.org, Ports(), tls))
            urls = {
                name: (await stack.enter_async_context(serving(shop))).url
                for name, shop in self.shops.items()
            }
            self.settings = self._reached(org, urls)
            stop, ready = asyncio.Event(), asyncio.Event()
            daemon = Daemon(
                self.settings,
                approve=True,
                log=self._log,
                new_id=self.new_id,
                poll_seconds=self.plan.poll_seconds,
            )
            running = asyncio.create_task(daemon.run(stop, ready=ready))
            try:
                await asyncio.wait(
                    [running, asyncio.create_task(ready.wait())], return_when=asyncio.FIRST_COMPLETED
                )
                assert not running.done(), running.exception()
                yield self
            finally:
                stop.set()
                await running
                await self.web.aclose()
                for shop in self.shops.values():
                    await shop.close()
