"""A till that nobody buys at: how soon it is known that nothing was missed, on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.simulation.actors import London
from tests.simulation.plan import draw
from tests.simulation.seed import run_seed
from tests.simulation.trouble import TILLS

KEEPALIVE_SECONDS = 60.0
AT_MOST_SECONDS = KEEPALIVE_SECONDS + 5.0


class Restart(London):
    """Restarts the daemon, and looks when the hole of the till is closed."""

    async def run(self) -> None:
        await asyncio.sleep(KEEPALIVE_SECONDS + 20.0)
        await self.world.stop()
        await asyncio.sleep(30.0)
        self.world.start()
        began = self.world.loop.time()
        await asyncio.sleep(10.0)
        assert await self._is_open(), "the hole is closed before the stream can have said so"
        while await self._is_open():
            assert self.world.loop.time() < began + 10 * KEEPALIVE_SECONDS, "never closed"
            await asyncio.sleep(1.0)
        took = self.world.loop.time() - began
        if took > AT_MOST_SECONDS:
            self.world.violated(8, f"nobody knew for {took:.0f} s whether a receipt was missed")
        while await self._buy({"DEEP-1": 1}, None) is None:  # noqa: ASYNC110 — time is virtual
            await asyncio.sleep(1.0)

    async def _is_open(self) -> bool:
        status = (await self.world.web.get("/v1/status")).json()
        return any(hole["source"] == TILLS for hole in status["stream"]["holes"])


@pytest.mark.parametrize("greets", [True, False])
def test_the_first_silence_after_a_restart_tells_that_no_receipt_was_missed(greets: bool) -> None:
    """The org says nothing for as long as it may: then nothing can be pending. A greeting tells less."""
    plan = draw(1, orders=1, calm=True)
    knobs = (f"keepalive_seconds={KEEPALIVE_SECONDS}", f"first_answer_is_keepalive={str(greets).lower()}")
    verdict = run_seed(replace(plan, org_knobs=(*plan.org_knobs, *knobs)), actors=[Restart])
    assert verdict.violations == []
    assert verdict.orders == 1
