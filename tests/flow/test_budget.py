"""A day on which the org's API calls run short: the real flow over the real wire to the simulated org."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.flow.kit import HastyClock, House, LittleOrg
from tests.folders import quick_folder
from tests.salesforce.conftest import settings_of
from tests.sandbox import OrgSandbox, start_org

from sfsync.app import overview
from sfsync.domain.budget import Work
from sfsync.flow.calls import recall
from sfsync.flow.folding import FoldRun, FoldWish
from sfsync.salesforce.org import SalesforceOrg
from sfsync.settings import Settings

BAG = "BAG-1|ECOM"


class TwinClock(HastyClock):
    """Our time, which moves on together with the org's."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    def pass_time(self, sandbox: OrgSandbox, **by: float) -> None:
        """So much time passes everywhere."""
        self.ahead += timedelta(**by)
        sandbox.control("POST", "/clock", {"seconds": timedelta(**by).total_seconds()})


class Day:
    """One house on a simulated org of its own, with one storefront."""

    def __init__(self, folder: Path, sandbox: OrgSandbox) -> None:
        self.sandbox = sandbox
        self.clock = TwinClock()
        self.org = SalesforceOrg(settings_of(sandbox), self.clock)
        self.house = House(
            folder,
            {BAG: 9},
            shops=["london"],
            rim=lambda part: self.org if isinstance(part, LittleOrg) else part,
        )
        self.house.clock = self.house.shops["london"].clock = self.clock

    async def begin(self) -> None:
        """The daemon starts, reads all, and puts the stock into the shop."""
        self.org.recall_calls((), None)
        await self.house.start()
        self.house.pulse.calls = self.org.calls
        await self.house.shows("BAG-1", self.left)
        await self.house.idle()
        await self.house.let_a_minute_pass()

    @property
    def left(self) -> int:
        level = self.sandbox.level(BAG)
        return int(level["OnHand__c"] - level["Reserved__c"])

    @property
    def used(self) -> int:
        """Calls, as the org counts them."""
        return int(self.sandbox.control("GET", "/calls")["used"])

    def allow(self, calls: int) -> None:
        """The org allows so many in 24 hours."""
        self.sandbox.control("POST", "/knobs", {"daily_api_requests": calls})

    async def spend(self, calls: int) -> None:
        """We make so many calls more."""
        record = str(self.sandbox.level(BAG)["Id"])
        for _ in range(calls):
            await self.org.read_levels(levels=[record])

    async def run_out(self) -> None:
        """The last call that the org allows is made, and a bag is sold."""
        self.allow(self.used + 1)
        await self.spend(1)
        await self.buy()
        await self.house.until(lambda: (now := self.org.calls()) is not None and now.refused)

    async def buy(self) -> str:
        """A shopper buys a bag, and the shop tells of it."""
        number = self.house.shops["london"].buy("BAG-1")
        assert await self.house.deliver("london", number)
        return number

    def reserved(self) -> list[str]:
        """The keys of what stands in the org for orders."""
        rows = self.sandbox.query("SELECT IdempotencyKey__c, ReservedDelta__c FROM StockMovement__c")
        keys = [str(row["IdempotencyKey__c"] or "") for row in rows]
        return sorted(key for key in keys if key.startswith("order:"))

    async def waits(self, *work: Work) -> None:
        """Wait until exactly this work is held back."""
        await self.house.until(
            lambda: (now := self.org.calls()) is not None and set(now.paused) == set(work), of=self.org.calls
        )

    async def fold(self) -> FoldRun:
        run = self.house.supervisor.fold(FoldWish(timedelta(0)))
        assert run is not None
        await self.house.until(lambda: run.ended_at is not None)
        return run

    async def status(self) -> Any:
        """As `sfsync status` and the dashboard get it."""
        house = self.house
        told = overview(_settings(), house.store, self.clock, house.pulse)
        return await told.status()


def _settings() -> Settings:
    return Settings.model_validate(
        {
            "salesforce": {
                "login_url": "https://house.my.salesforce.com",
                "client_id": "x",
                "client_secret": "not needed here",
            }
        }
    )


@asynccontextmanager
async def day() -> AsyncIterator[Day]:
    seed = {"levels": [{"sku": "BAG-1", "location": "ECOM", "on_hand": 9}]}
    with (
        start_org(seed, knobs=["keepalive_seconds=0.3"]) as sandbox,
        tempfile.TemporaryDirectory(prefix="sfsync-budget-", dir=quick_folder()) as folder,
    ):
        made = Day(Path(folder), sandbox)
        await made.begin()
        try:
            yield made
        finally:
            await made.house.kill()
            await made.org.close()


async def test_bulk_work_waits_while_sales_go_on_and_all_resumes_a_day_later() -> None:
    """Nine tenths of what is ours are used: folding is left for another day, a bag is sold all the same."""
    async with day() as d:
        for units in (1, -1, 1, -1):
            d.sandbox.move(BAG, on_hand=units)
        await d.spend(200)
        await d.house.idle()
        d.allow(round(d.used / 0.8 / 0.9))
        await d.buy()
        await d.house.until(lambda: len(d.reserved()) == 1)
        await d.waits(Work.BULK)
        run = await d.fold()
        assert (run.requests, len(run.problems)) == (0, 1)
        assert "left for the next run" in run.problems[0]
        d.clock.pass_time(d.sandbox, hours=26)
        before = d.sandbox.level(BAG)
        run = await d.fold()
        assert run.problems == []
        assert run.requests >= 1
        after = d.sandbox.level(BAG)
        for numbers in (before, after):
            assert (numbers["OnHand__c"], numbers["Reserved__c"]) == (9, 1)


async def test_a_limit_that_is_hit_tells_its_hour_and_loses_and_doubles_nothing() -> None:
    """Two bags are sold while the org takes no call: they wait, and go in with the next day's first sale."""
    async with day() as d:
        await d.run_out()
        await d.buy()
        assert d.reserved() == []
        told = await d.status()
        waiting = {each["work"]: each["until"] for each in told["ledger"]["calls_waiting"]}
        assert set(waiting) == {"sales", "refresh", "bulk"}
        hour = datetime.fromisoformat(waiting["sales"])
        assert timedelta(hours=23) < hour - d.clock.now() <= timedelta(hours=25)  # all calls are of today
        assert told["health"]["state"] == "bad"
        assert any("API calls of the last 24 hours are used up" in each for each in told["health"]["reasons"])
        d.clock.pass_time(d.sandbox, hours=26)
        await d.buy()
        await d.house.until(lambda: len(d.reserved()) == 3)
        await d.house.idle()
        await d.house.shows("BAG-1", 6)
        assert d.left == 6
        assert len(set(d.reserved())) == 3
        told = await d.status()
        assert told["ledger"]["calls_waiting"] == []
        assert told["ledger"]["calls_used"] <= told["ledger"]["calls_allowed"]


async def test_a_sale_that_gets_through_sooner_ends_the_wait() -> None:
    """An admin buys more calls: within a minute a sale is tried, and everything goes on."""
    async with day() as d:
        await d.run_out()
        d.allow(100_000)
        d.clock.pass_time(d.sandbox, minutes=1.1)
        await d.buy()
        await d.house.until(lambda: len(d.reserved()) == 2)
        await d.waits()


async def test_a_restart_does_not_forget_what_the_day_has_used() -> None:
    """The calls of each hour are kept: the next run counts them as its own."""
    async with day() as d:
        before = d.org.calls()
        assert before is not None
        await d.house.stop()
        await d.org.close()
        d.org = SalesforceOrg(settings_of(d.sandbox), d.clock)
        await d.house.start()
        await recall(d.house.ctx)
        after = d.org.calls()
        assert after is not None
        assert after.ours_used >= before.ours_used > 0
        assert after.allowed == before.allowed
