"""Many levels, one in a hundred drifted: what a comparison and its application cost, with a kill in each.

The org has every SKU at five locations, the store shows the SKUs at one. One number in a hundred is changed
by hand at the store; of others, one level in a hundred in the org, and no event tells of it. Figures are
taken from outside: the resident memory of the process and its children, the store's own count of points, the
numbers that it shows in the end, and how long the dashboard's pages take while nothing else is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from tests.sandbox import start_org, start_shop

from bench.stage import Sfsync, Stage

LOCATIONS = ("ECOM", "LONDON", "DUBAI", "PARIS", "TOKYO")
DRIFTED = 100  # one SKU in so many
PLAN = "plus"
ON_HAND = 4
ANSWERS = 10  # of each page
MOVEMENTS = 1_000  # entered in the org at once


def run(skus: int, limit_seconds: float) -> dict[str, dict[str, float | None]]:
    """The figures of one run; `skus` times five levels."""
    names = [f"SKU-{number:06d}" for number in range(skus)]
    levels = [
        {"sku": sku, "location": location, "on_hand": ON_HAND} for sku in names for location in LOCATIONS
    ]
    variants = [{"sku": sku, "title": sku, "available": {"Online": ON_HAND}} for sku in names]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sfsync-bench-")))
        org = stack.enter_context(
            start_org({"levels": levels}, knobs=["keepalive_seconds=1"], patience_seconds=limit_seconds)
        )
        seed = {"locations": ["Online"], "variants": variants}
        shop = stack.enter_context(
            start_shop(seed, options=["--plan", PLAN, "--name", "shop0"], patience_seconds=limit_seconds)
        )
        on = Stage(org, [shop], names, folder)
        daemon = Sfsync(on)
        try:
            return {"sfsync": _figures(on, daemon, skus, limit_seconds)}
        finally:
            daemon.stop()


def _figures(on: Stage, daemon: Sfsync, skus: int, limit_seconds: float) -> dict[str, float | None]:
    shop = on.shops[0]
    began = time.monotonic()
    daemon.start(limit_seconds)
    started, first_memory = time.monotonic() - began, daemon.peak_mb()
    drifted = on.skus[::DRIFTED]
    for sku in drifted:
        shop.control("POST", "/stock", {"sku": sku, "location": "Online", "set": ON_HAND + 3})
    daemon.kill()  # so that what its start took does not count
    daemon.start(limit_seconds)
    pages = _pages(daemon, on.skus[skus // 2])
    points, writes = _spent(shop), _writes(shop)
    sold = on.skus[DRIFTED // 2 :: DRIFTED]
    _sell_unheard(on, sold)
    asked = _Asked(daemon)
    began = time.monotonic()
    plan = asked.begin()
    asked.until(
        plan, lambda run: any(of["read"] for of in run["progress"]["channels"].values()), limit_seconds
    )
    daemon.kill()
    memory = daemon.peak_before_kill
    daemon.start(limit_seconds)
    found = asked.until(plan, lambda run: run["ended"], limit_seconds)
    planned = time.monotonic() - began
    read_points = _spent(shop) - points
    began = time.monotonic()
    asked.apply(plan, found["changes"])
    asked.until(plan, lambda run: run["rows_done"]["applied"] > 0 or run["ended"], limit_seconds)
    memory = max(memory, daemon.peak_mb())
    daemon.kill()
    daemon.start(limit_seconds)
    asked.until(plan, lambda run: run["ended"], limit_seconds)
    wrong = _settled(on, writes + len(drifted) + len(sold), sold, limit_seconds)
    applied = time.monotonic() - began
    return {
        "levels": skus * len(LOCATIONS),
        "start_seconds": started,
        "start_memory_mb": first_memory,
        "levels_drifted": len(sold) * len(LOCATIONS),
        "rows_planned": sum(each["rows"] for each in found["causes"]),
        "plan_seconds": planned,
        "plan_points": read_points,
        "apply_seconds": applied,
        "numbers_written": _writes(shop) - writes,
        "memory_mb": max(memory, daemon.peak_mb()),
        "wrong": wrong,
        **pages,
    }


def _pages(daemon: Sfsync, sku: str) -> dict[str, float | None]:
    """What half of some answers to each page take at most, in milliseconds."""
    found: dict[str, float | None] = {}
    headers = {"authorization": f"Bearer {daemon.token()}"}
    with httpx.Client(base_url=daemon.address, headers=headers, trust_env=False, timeout=120.0) as client:
        for name, path in (
            ("page", "/"),
            ("sku_page", f"/sku?sku={sku}"),
            ("search", f"/?sku={sku[4:-1]}"),
            ("accuracy_page", "/accuracy"),
            ("status", "/v1/status"),
            ("metrics", "/metrics"),
        ):
            took = []
            for _ in range(ANSWERS):
                began = time.monotonic()
                client.get(path).raise_for_status()
                took.append(time.monotonic() - began)
            found[f"{name}_ms"] = 1000 * median(took)
    return found


def _spent(shop: Any) -> float:
    return float(shop.control("GET", "/calls")["total"]["points"])


def _writes(shop: Any) -> int:
    """How many numbers were changed through the store's API."""
    count, since = 0, 0
    while True:
        page = shop.control("GET", f"/log?since={since}")
        if page["next"] == since:
            return count
        since = page["next"]
        count += sum(row["cause"] in ("adjust", "set") for row in page["changes"])


def _sell_unheard(on: Stage, skus: Sequence[str]) -> None:
    """One unit of each SKU leaves every location in the org, and the stream is silent about it."""
    keys = [f"{sku}|{location}" for sku in skus for location in LOCATIONS]
    on.org.bus("fates", lost_rate=1.0)
    for start in range(0, len(keys), MOVEMENTS):
        records = [
            {
                "attributes": {"type": "StockMovement__c"},
                "StockLevel__r": {"LevelKey__c": key},
                "Kind__c": "Sale",
                "OnHandDelta__c": -1,
                "ReservedDelta__c": 0,
                "VersionDelta__c": 1,
            }
            for key in keys[start : start + MOVEMENTS]
        ]
        done = on.org.control("POST", "/records/create", {"records": records})
        assert all(each["success"] for each in done), done[:1]
    on.org.bus("fates", lost_rate=0.0)


def _settled(on: Stage, written: int, sold: Collection[str], limit_seconds: float) -> int:
    """How many numbers are wrong, once so many were written, or when the time is over.

    All of them are asked for once, at the end: a hundred thousand keep the store from its other work.
    """
    shop, end = on.shops[0], time.monotonic() + limit_seconds
    while _writes(shop) < written and time.monotonic() < end:
        time.sleep(1.0)
    address = shop.ready["control_url"] + "/levels"
    levels = httpx.get(address, trust_env=False, timeout=limit_seconds).json()["levels"]
    left = dict.fromkeys(sold, ON_HAND - 1)
    return sum(1 for level in levels if level["available"] != left.get(level["sku"], ON_HAND))


class _Asked:
    """The daemon's API, through its kills."""

    def __init__(self, daemon: Sfsync) -> None:
        self._daemon = daemon

    def begin(self) -> str:
        return str(self._call("POST", "/v1/resync", {})["id"])

    def apply(self, plan: str, changes: int) -> None:
        self._call("POST", f"/v1/resync/{plan}/apply", {"yes_change": changes})

    def until(self, plan: str, done: Any, limit_seconds: float) -> Any:
        end = time.monotonic() + limit_seconds
        while True:
            run = self._call("GET", f"/v1/resync/{plan}", None)
            if done(run):
                return run
            if time.monotonic() > end:
                raise RuntimeError(f"not within {limit_seconds:g} s: {json.dumps(run['progress'])}")
            time.sleep(0.05)

    def _call(self, method: str, path: str, body: object) -> Any:
        headers = {"authorization": f"Bearer {self._daemon.token()}"}
        answer = httpx.request(
            method, self._daemon.address + path, json=body, headers=headers, timeout=120.0, trust_env=False
        )
        answer.raise_for_status()
        return answer.json()
