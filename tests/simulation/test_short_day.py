"""A day on which the org takes no more calls, lived through on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.simulation.actors import London
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
