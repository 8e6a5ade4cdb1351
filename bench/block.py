"""Answers of the reservation API with a local block and without one, in one run of one daemon.

Buyers ask for one SKU that the daemon has a block of, and for another that it asks the org for each time;
they take turns, so that whatever else the machine does falls on both. First one buyer at a time, then rushes,
each of no more buyers than are let in at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import median, quantiles

import aiohttp

from bench.stage import Sfsync, Stage, stage

LIVE = ("--latency", "live")  # the simulated org takes as long as a real one
BLOCK, ASKED = "with a block", "without"
WANTED = {BLOCK: 1, ASKED: 0}  # which of the stage's SKUs


RUSH = 50


def run(one_by_one: int, rushes: int) -> dict[str, dict[str, float]]:
    """Milliseconds of an answer, and the org's calls during a rush."""
    with stage(2, 1, "plus", org=LIVE) as on:
        units = one_by_one + rushes * RUSH
        _receive(on, units)
        contestant = Sfsync(on)
        contestant.more = _policies(on, units)
        contestant.start()
        try:
            return asyncio.run(_measure(on, contestant, one_by_one, rushes))
        finally:
            contestant.stop()


def _policies(on: Stage, units: int) -> str:
    asked, block = on.skus[WANTED[ASKED]], on.skus[WANTED[BLOCK]]
    return f"""
[[policies]]
skus = ["{asked}"]
guarantee = "gated"
[[policies]]
skus = ["{block}"]
guarantee = "gated"
block = {units}
block_at = ["ECOM"]
"""


def _receive(on: Stage, units: int) -> None:
    rows = on.org.query("SELECT Id FROM StockLevel__c")
    kind = {"type": "StockMovement__c"}
    receipt = {"attributes": kind, "Kind__c": "Receipt", "OnHandDelta__c": units}
    on.org.control(
        "POST", "/records/create", {"records": [{**receipt, "StockLevel__c": r["Id"]} for r in rows]}
    )


async def _measure(
    on: Stage, contestant: Sfsync, one_by_one: int, rushes: int
) -> dict[str, dict[str, float]]:
    headers = {"authorization": f"Bearer {contestant.token()}"}
    address = f"{contestant.address}/v1/reservations"
    async with aiohttp.ClientSession(headers=headers, trust_env=False) as http:

        async def ask(kind: str) -> float:
            lines = [{"sku": on.skus[WANTED[kind]], "quantity": 1}]
            wish = {"kind": "cart", "channel": "shop0", "owner": "buyer", "lines": lines}
            began = time.perf_counter()
            async with http.post(address, json=wish) as answer:
                told = await answer.json()
            if answer.status != 201:
                raise RuntimeError(f"{kind}: answered {answer.status}: {told}")
            return (time.perf_counter() - began) * 1000

        await _set_aside(on, one_by_one + rushes * RUSH)
        alone: dict[str, list[float]] = {BLOCK: [], ASKED: []}
        for _ in range(one_by_one):
            for kind, times in alone.items():
                times.append(await ask(kind))
        found = {kind: _told("one by one", times) for kind, times in alone.items()}
        together: dict[str, list[float]] = {BLOCK: [], ASKED: []}
        calls: dict[str, list[int]] = {BLOCK: [], ASKED: []}
        for _ in range(rushes):
            for kind, times in together.items():
                before = _calls(on)
                times += await asyncio.gather(*(ask(kind) for _ in range(RUSH)))
                calls[kind].append(_calls(on) - before)
        for kind, times in together.items():
            found[kind] |= _told(f"in a rush of {RUSH}", times)
            found[kind]["org calls before its last answer"] = sum(calls[kind]) / rushes
    return found


async def _set_aside(on: Stage, units: int) -> None:
    """Until the org has reserved the block."""
    sku = on.skus[WANTED[BLOCK]]
    while True:
        rows = on.org.query(f"SELECT Reserved__c FROM StockLevel__c WHERE Sku__c = '{sku}'")  # noqa: S608 — our own name
        if sum(int(row["Reserved__c"]) for row in rows) >= units:
            return
        await asyncio.sleep(0.2)


def _calls(on: Stage) -> int:
    return sum(int(number) for number in on.org.control("GET", "/calls")["by_kind"].values())


def _told(when: str, times: Sequence[float]) -> dict[str, float]:
    cut = quantiles(times, n=100, method="inclusive")
    return {f"{when}, p50 ms": median(times), f"{when}, p99 ms": cut[98]}
