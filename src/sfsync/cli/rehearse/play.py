"""The drop itself: org, storefronts and the real daemon as processes, buyers, and counting at the end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx

from sfsync.cli.demo.outside import Org, Shop
from sfsync.cli.demo.processes import Child, DemoError, Stage, port_to_use

from .crowd import Crowd, Visit
from .plan import Plan
from .report import BUSY_SECONDS, Report, Seen, report

LOCATION, SHELF = "ECOM", "online"
READY_SECONDS = 60.0
SETTLE_SECONDS = 180.0
LOOK_SECONDS = 0.25  # between two looks at the processor time
POINTS_PER_SECOND = {"standard": 100.0, "advanced": 200.0, "plus": 1000.0, "enterprise": 2000.0}
LEASH = Path(__file__).parents[1] / "demo" / "leash.py"


@dataclass(slots=True)
class Watch:
    """How the rehearsal goes on, for whoever watches."""

    phase: Callable[[str], None]
    left: Callable[[Visit], None]


async def play(plan: Plan, stage: Stage, watch: Watch) -> Report:
    """Play the drop through. Raises `DemoError` when a party does not come up or does not settle."""
    watch.phase("starting the org and the storefronts")
    org, shops = await _outside(plan, stage)
    await org.log_in()
    watch.phase("starting sfsync; it sets the pieces aside where the plan says so")
    daemon = Daemon(plan, stage, org, shops)
    try:
        await daemon.start()
        for name, shop in shops.items():
            await shop.send_webhooks_to(f"{daemon.address}/webhooks/{name}")
        await _open_for_business(plan, stage, org, shops, daemon)
        if plan.org.faults is not None:
            await _arm(org, plan.org.faults)
        return await _drop(plan, stage, org, shops, daemon, watch)
    finally:
        await daemon.close()
        for shop in shops.values():
            await shop.close()
        await org.close()


async def _drop(
    plan: Plan, stage: Stage, org: Org, shops: Mapping[str, Shop], daemon: Daemon, watch: Watch
) -> Report:
    luck = Random(plan.buyers.seed)  # noqa: S311 — plays shoppers, guards nothing
    addresses = {name: str(shop.ready["url"]) for name, shop in shops.items()}
    crowd = Crowd(plan, daemon.address, daemon.token, addresses, luck)
    calls, cpu = await _calls(org), daemon.cpu_seconds
    points = {name: (await shop.points())[1] for name, shop in shops.items()}
    throttled = {name: await _throttled(shop) for name, shop in shops.items()}
    watch.phase("the drop is open")
    opened = time.monotonic()
    watching = asyncio.create_task(_busiest(daemon))
    await crowd.come(watch.left)
    over = time.monotonic()
    cpu = daemon.cpu_seconds - cpu
    watching.cancel()
    (busiest,) = await asyncio.gather(watching)
    watch.phase("everybody has left; org, sfsync and storefronts come to agree")
    if plan.org.faults is not None:
        await _disarm(org)
    orders = await _settled(plan, stage, org, shops, crowd)
    settled = time.monotonic()
    used = await _calls(org)
    on_hand, reserved, kept = await _books(plan, org)
    seen = Seen(
        on_hand=on_hand,
        reserved=reserved,
        left_in_block=kept,
        orders=orders,
        calls=sum(used.values()) - sum(calls.values()),
        calls_by_kind={kind: n - calls.get(kind, 0) for kind, n in used.items() if n > calls.get(kind, 0)},
        points={name: (await shop.points())[1] - points[name] for name, shop in shops.items()},
        points_per_second={name: POINTS_PER_SECOND[plan.shops[name].plan] for name in shops},
        throttled={name: await _throttled(shop) - throttled[name] for name, shop in shops.items()},
        cpu_seconds=cpu,
        busiest_percent=max(busiest, 100 * cpu / max(BUSY_SECONDS, over - opened)),
        drop_seconds=over - opened,
        settled_seconds=settled - opened,
        memory_mb=daemon.memory_mb,
    )
    return report(plan, crowd.visits, seen)


async def _busiest(daemon: Daemon) -> float:
    """Until cancelled: the most of one core that it took in any `BUSY_SECONDS`, in percent."""
    most, seen = 0.0, deque[tuple[float, float]]()
    with suppress(asyncio.CancelledError):
        while True:
            seen.append((time.monotonic(), daemon.cpu_seconds))
            while seen[-1][0] - seen[0][0] > BUSY_SECONDS + LOOK_SECONDS:
                seen.popleft()
            seconds = seen[-1][0] - seen[0][0]
            if seconds >= BUSY_SECONDS:
                most = max(most, 100 * (seen[-1][1] - seen[0][1]) / seconds)
            await asyncio.sleep(LOOK_SECONDS)
    return most


class Daemon:
    """The real sfsync, started as `sfsync run` on settings made from the plan."""

    def __init__(self, plan: Plan, stage: Stage, org: Org, shops: Mapping[str, Shop]) -> None:
        self._plan, self._stage = plan, stage
        self.token = secrets.token_urlsafe(24)
        port = port_to_use(0)
        self.address = f"http://127.0.0.1:{port}"
        self._config = stage.folder / "sfsync.toml"
        self._config.touch(mode=0o600)
        self._config.write_text(settings_text(plan, org.ready, shops, self.token, port), encoding="utf-8")
        headers = {"authorization": f"Bearer {self.token}"}
        self.http = httpx.AsyncClient(base_url=self.address, headers=headers, timeout=20.0, trust_env=False)
        self._child: Child | None = None

    async def start(self) -> None:
        """Returns when it listens."""
        command = ["-P", str(LEASH), "run", "--config", str(self._config), "--approve"]
        self._child = self._stage.start("sfsync", command)

        async def listening() -> bool | None:
            return (await self.http.get("/v1/status")).is_success or None

        await self._stage.until("sfsync to listen", listening, READY_SECONDS)

    @property
    def _proc(self) -> Path:
        if self._child is None:
            raise DemoError("the daemon was not started")
        return Path("/proc") / str(self._child.pid)

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far; 0 where the system does not tell."""
        try:
            after_name = (self._proc / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory_mb(self) -> float:
        """Memory at its highest; 0 where the system does not tell."""
        try:
            lines = (self._proc / "status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)

    async def close(self) -> None:
        """Let go of its connection; the stage ends the process."""
        await self.http.aclose()


def settings_text(
    plan: Plan, org: Mapping[str, Any], shops: Mapping[str, Shop], token: str, port: int
) -> str:
    """The settings file that the daemon runs on."""
    drop = plan.drop
    policy: dict[str, Any] = {"skus": [drop.sku], "guarantee": drop.guarantee}
    if drop.block:
        policy |= {"block": drop.block, "block_at": [LOCATION]}
    parts = [
        _table(
            "salesforce",
            {
                "login_url": org["rest_url"],
                "client_id": org["client_id"],
                "client_secret": org["client_secret"],
                "pubsub_endpoint": org["grpc_tls"],
                "ca_file": org["ca_file"],
            },
        ),
        _table("store", {"url": "sqlite:///sfsync.db"}),
        _table("web", {"port": port}),
        _table(
            "[web.tokens]",
            {"name": "checkout", "token": token, "scopes": ["reservations", "view"], "channels": [*shops]},
        ),
        _table("log", {"format": "json", "level": "warning"}),
    ]
    for name, shop in shops.items():
        ready = shop.ready
        parts.append(
            _table(
                f"channels.{name}",
                {
                    "kind": "shopify",
                    "url": ready["url"],
                    "shop_domain": ready["shop_domain"],
                    "access_token": ready["access_token"],
                    "webhook_secret": ready["webhook_secret"],
                },
            )
        )
        place = {"id": ready["locations"][0]["id"], "sells_from": [LOCATION]}
        parts.append(_table(f"channels.{name}.locations.{SHELF}", place))
    return "\n".join([*parts, _table("[policies]", policy)])


def _table(name: str, values: Mapping[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


async def _outside(plan: Plan, stage: Stage) -> tuple[Org, dict[str, Shop]]:
    levels = [{"sku": plan.drop.sku, "location": LOCATION, "on_hand": plan.drop.pieces}]
    knobs = [f"daily_api_requests={plan.org.calls_per_day}", "keepalive_seconds=1"]
    command = ["-m", "sfsync.simulators.org", "--exit-with-parent", "--latency", plan.org.latency]
    command += ["--seed", _written(stage, "org", {"levels": levels})]
    org = stage.start("org", [*command, *(word for knob in knobs for word in ("--knob", knob))])
    variant = {
        "sku": plan.drop.sku,
        "title": "The drop",
        "price": "4900.00",
        "available": {SHELF: 0},
        "inventory_policy": "DENY",
        "tracked": True,
    }
    started = {}
    for name, shop in plan.shops.items():
        command = ["-m", "sfsync.simulators.shopify", "--exit-with-parent", "--name", f"maison-{name}"]
        command += ["--plan", shop.plan, "--latency", f"{shop.latency_seconds:g}"]
        command += ["--seed", _written(stage, name, {"locations": [SHELF], "variants": [variant]})]
        started[name] = stage.start(name, command)

    async def ready(child: Child) -> Any:
        return await stage.until(f"{child.name} to be ready", child.ready, READY_SECONDS, concerned=child)

    ready_org = await ready(org)
    return Org(ready_org), {name: Shop(name, await ready(child), 1.0) for name, child in started.items()}


def _written(stage: Stage, name: str, seed: Any) -> str:
    path = stage.folder / f"{name}.seed.json"
    path.write_text(json.dumps(seed), encoding="utf-8")
    return str(path)


async def _open_for_business(
    plan: Plan, stage: Stage, org: Org, shops: Mapping[str, Shop], daemon: Daemon
) -> None:
    """Until every storefront shows its number, the block is set aside, and the stream has no hole."""
    pieces = plan.drop.pieces

    async def look() -> bool | None:
        shows = [await shop.shows_of(plan.drop.sku) for shop in shops.values()]
        right = sum(shows) == pieces if plan.drop.guarantee == "allocated" else set(shows) == {pieces}
        _, _, kept = await _books(plan, org)
        stream = (await daemon.http.get("/v1/status")).json()["stream"]
        covered = bool(stream["topics"]) and not stream["holes"]
        return (right and kept >= min(plan.drop.block, pieces) and covered) or None

    await stage.until("the storefronts to show the pieces", look, READY_SECONDS, every=0.2)


async def _settled(plan: Plan, stage: Stage, org: Org, shops: Mapping[str, Shop], crowd: Crowd) -> int:
    """Until the org's ledger names all that was granted and every order; the pieces in orders."""
    got = sum(visit.outcome == "got one" for visit in crowd.visits)
    missing: list[str] = []

    async def look() -> int | None:
        lines = [line for shop in shops.values() for line in await shop.lines()]
        orders = sum(line.units for line in lines)
        rows = (await _control(org, _SUMS % plan.drop.sku))["records"]
        by_order = sum(int(row["ReservedDelta__c"]) for row in rows if _kind(row) == "order")
        held = sum(int(row["ReservedDelta__c"]) for row in rows if _kind(row) in ("order", "reservation"))
        # What was sold beyond the stock can never be covered: it is in no ledger.
        wanted = min(orders, plan.drop.pieces)
        missing[:] = [f"{held} of {got} promises", f"{by_order} of {wanted} orders in the org"]
        return orders if by_order >= wanted and held >= min(got, plan.drop.pieces) else None

    return await stage.until(
        "the org to hold all that was sold", look, SETTLE_SECONDS, every=0.5, missing=missing
    )


_SUMS = "SELECT SubjectKey__c, ReservedDelta__c FROM StockMovement__c WHERE StockLevel__r.Sku__c = '%s'"


def _kind(row: Mapping[str, Any]) -> str:
    return str(row["SubjectKey__c"] or "").partition(":")[0]


async def _books(plan: Plan, org: Org) -> tuple[int, int, int]:
    """(on hand, reserved for customers, reserved for block or channels) of the drop in the org."""
    rows = (await _control(org, _SUMS % plan.drop.sku))["records"]
    levels = "SELECT OnHand__c FROM StockLevel__c WHERE Sku__c = '%s'" % plan.drop.sku  # noqa: S608, UP031 — checked name
    on_hand = sum(int(row["OnHand__c"]) for row in (await _control(org, levels))["records"])
    kept = sum(int(row["ReservedDelta__c"]) for row in rows if _kind(row) == "allocation")
    held = sum(int(row["ReservedDelta__c"]) for row in rows if _kind(row) in ("order", "reservation"))
    return on_hand, held, kept


async def _control(org: Org, soql: str) -> Any:
    """Look inside the simulated org, without a call that would be counted."""
    async with httpx.AsyncClient(base_url=org.ready["control_url"], trust_env=False, timeout=30.0) as http:
        answer = await http.post("/query", json={"q": soql})
        if not answer.is_success:
            raise DemoError(f"the org's control port answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()


async def _calls(org: Org) -> dict[str, int]:
    async with httpx.AsyncClient(base_url=org.ready["control_url"], trust_env=False, timeout=30.0) as http:
        found: dict[str, int] = (await http.get("/calls")).json()["by_kind"]
        return found


async def _throttled(shop: Shop) -> int:
    async with httpx.AsyncClient(base_url=shop.ready["control_url"], trust_env=False, timeout=30.0) as http:
        return int((await http.get("/calls")).json()["throttled"])


async def _arm(org: Org, seed: int) -> None:
    async with httpx.AsyncClient(base_url=org.ready["control_url"], trust_env=False, timeout=30.0) as http:
        await http.post("/faults", json={"mix": seed})


async def _disarm(org: Org) -> None:
    async with httpx.AsyncClient(base_url=org.ready["control_url"], trust_env=False, timeout=30.0) as http:
        await http.delete("/faults")
