"""A day on which the org takes no more calls, lived through on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from tests.simulation.actors import Carrier, London
from tests.simulation.checks import told_wrong
from tests.simulation.plan import draw
from tests.simulation.seed import run_seed

AT_MOST_SECONDS = 90.0  # a minute between two questions, a quarter more by chance, and the way there


class Short(London):
    """Sells while all calls are used up, and looks when the sale is in the ledger once there are more."""

    async def run(self) -> None:
        knobs, clock = self.world.org.engine.knobs, self.world.loop
        await self._sell()
        await self._wait_for(1)
        knobs.daily_api_requests = self.world.org.usage.used
        await self._sell()
        await asyncio.sleep(101.7)  # more than a minute
        await self._sell()
        await asyncio.sleep(20.3)
        assert self._entered() == 1, "entered although the org takes no call"
        knobs.daily_api_requests = 100_000
        began = clock.time()
        await self._wait_for(3)
        took = clock.time() - began
        if took > AT_MOST_SECONDS:
            self.world.violated(9, f"the sales went in {took:.0f} s after the org took calls again")
        await self._sell()

    def _entered(self) -> int:
        rows = self.world.org.engine.store.tables["StockMovement__c"].rows.values()
        return sum(str(row["SubjectKey__c"] or "").startswith("order:") for row in rows)

    async def _sell(self) -> None:
        """As soon as the shop has something to sell."""
        for _ in range(60):
            if await self._buy({"DEEP-1": 1}, None) is not None:
                return
            await asyncio.sleep(1.0)
        raise AssertionError("nothing to sell")

    async def _wait_for(self, sales: int) -> None:
        """Until so many sales are in the ledger."""
        for _ in range(600):
            if self._entered() >= sales:
                return
            await asyncio.sleep(1.0)
        raise AssertionError(f"never {sales} sales")


@pytest.mark.parametrize("told", [True, False])
def test_sales_that_wait_for_calls_go_in_within_about_a_minute_of_their_return(told: bool) -> None:
    """Whether or not a refusal tells how many calls are used: nobody has to buy anything to wake us."""
    plan = draw(1, orders=4, calm=True)
    knobs = (*plan.org_knobs, f"refusal_tells_usage={str(told).lower()}")
    verdict = run_seed(replace(plan, org_knobs=knobs), actors=[Short])
    assert verdict.violations == []
    assert verdict.orders == 4


class Away(Short):
    """Sells, and moves goods, when the org, out of calls, cannot be reached either."""

    async def run(self) -> None:
        await self._sell()
        await self._wait_for(1)
        await self._sell()  # half of the day's orders: now the org goes
        while not self.world.net.cut_off:  # noqa: ASYNC110 — time is virtual
            await asyncio.sleep(1.0)
        await self._sell()
        await Carrier(self.world, self.day).act()  # goods have left, and nothing could refuse that
        await self._sell()
        await asyncio.sleep(600.0)
        assert self._entered() < self.day.orders, "entered although nobody reaches the org"
        await self._wait_for(4)


def test_what_waits_for_calls_may_wait_until_the_org_can_be_reached_too() -> None:
    """The calls are back after a minute, the org after a quarter of an hour: only then can all go in.

    Seed 3 with an hour's outage lived such a day, and was accused of letting a hand-over and a transfer wait
    for four minutes: nobody could reach the org in them.
    """
    plan = draw(1, orders=4, calm=True, outage_seconds=900.0)
    verdict = run_seed(replace(plan, habits=replace(plan.habits, short=(0, 60))), actors=[Away])
    assert verdict.violations == []
    assert verdict.orders == 4


def test_a_status_page_that_answers_with_an_error_is_quoted() -> None:
    """Who reads the verdict of a day learns what was answered, and not only that it was no status."""
    shut = httpx.Response(401, json={"title": "Unauthorized"})
    assert list(told_wrong(shut)) == ['nothing, but 401 {"title":"Unauthorized"}']
