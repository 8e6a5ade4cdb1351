"""What goes wrong during the soak: SIGKILL, cut streams, lost answers, webhooks that come twice or never."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import httpx

from sfsync.cli.demo.outside import API, SHORT_LIVED
from sfsync.cli.demo.world import World

STARTUP_SHARE = 0.3  # of the kills come while the daemon is starting
STARTUP_SECONDS = 1.5

# At the org's HTTP side, for what sfsync enters (tills use another path): kind and what goes with it.
ORG = (
    {"kind": "drop"},
    {"kind": "cut_after"},
    {"kind": "error", "status": 503},
    {"kind": "error_after", "status": 503},
    {"kind": "delay_after", "seconds": 0.5},
    {"kind": "lock", "times": 2},
    {"kind": "expire_token"},
)
SHOP = (
    {"kind": "cut_before"},
    {"kind": "cut_after"},
    {"kind": "error_after"},
    {"kind": "half_answer"},
    {"kind": "delay_after", "seconds": 30.0},  # of the shop's own, faster time
    {"kind": "throttled"},
    {"kind": "duplicate"},
    {"kind": "reorder"},
    {"kind": "late", "seconds": 120.0},
    {"kind": "lose"},
)
BUS: tuple[dict[str, Any], ...] = (
    {"do": "cut"},
    {"do": "cut"},
    {"do": "fates", "next": ["duplicate", "duplicate"]},
    {"do": "overflow", "entity": "StockMovement__c"},
)


class Trouble:
    """Disturbs org, storefronts, streams and the daemon, as chance has it; counts what it did."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._luck = Random(f"trouble {seed}")
        self._http = httpx.AsyncClient(trust_env=False, timeout=30.0, limits=SHORT_LIVED)
        self.done: Counter[str] = Counter()

    async def kill(self) -> None:
        """SIGKILL amid whatever is under way, perhaps once more during the start, and a start."""
        daemon = self._world.daemon
        self.done["SIGKILL"] += daemon.kill()
        if self._luck.random() < STARTUP_SHARE:
            starting = asyncio.create_task(daemon.start())
            await asyncio.sleep(self._luck.uniform(0.1, STARTUP_SECONDS))
            self.done["SIGKILL while starting"] += daemon.kill()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        await daemon.start()

    async def strike(self) -> None:
        """One misfortune that is not a kill."""
        luck, where = self._luck, self._luck.choice(("org", "shop", "bus", "bus"))
        if where == "org":
            fault = luck.choice(ORG)
            await self._arm(self._world.org.ready, "/faults", {**fault, "path": f"{API}/composite"})
            self.done[f"org {fault['kind']}"] += 1
        elif where == "shop":
            shop = luck.choice(list(self._world.shops.values()))
            fault = luck.choice(SHOP)
            await self._arm(shop.ready, "/faults", dict(fault))
            self.done[f"shop {fault['kind']}"] += 1
        else:
            act = luck.choice(BUS)
            await self._arm(self._world.org.ready, "/bus", act)
            name = act["do"] if act["do"] != "fates" else act["next"][0]
            self.done[f"stream {name}"] += 1

    async def end(self) -> None:
        """No more trouble: what is armed and has not struck is taken back."""
        for ready in (self._world.org.ready, *(shop.ready for shop in self._world.shops.values())):
            (await self._http.delete(ready["control_url"] + "/faults")).raise_for_status()
        await self._http.aclose()

    async def _arm(self, ready: Any, path: str, body: dict[str, Any]) -> None:
        (await self._http.post(ready["control_url"] + path, json=body)).raise_for_status()

    @property
    def kills(self) -> int:
        """How often the daemon was killed."""
        return self.done["SIGKILL"] + self.done["SIGKILL while starting"]

    @property
    def cuts(self) -> int:
        """How often the stream was cut."""
        return self.done["stream cut"]
