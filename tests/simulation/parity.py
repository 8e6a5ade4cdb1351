"""One workload, lived through in the simulation and once more over real sockets: the ledgers must be equal.

What is done is drawn from a seed beforehand. What does not compete for the same units is done at once, as on
a busy day; the last pieces, and what is done to an order, are done when all before them has come to rest, so
that who gets them does not depend on who is faster.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import structlog
from tests.folders import quick_folder

from sfsync.simulators.shopify.allocating import NotPossible

from .actors import Client, Day, Dubai, London, Shopper, Staff, release, reserve, stock_event
from .checks import Watch, settled
from .life import note_task
from .loop import VirtualLoop
from .plan import PLACES, Plan, draw
from .seed import _end
from .sold import lines
from .story import Story
from .trouble import STOCK, TILLS
from .wired import WiredWorld
from .world import World

Ledger: TypeAlias = dict[str, list[tuple[Any, ...]]]

ROUNDS = 10
AT_ONCE = 3  # orders in a round, beside the lone ones
PATIENCE_SECONDS = 60.0
VERBS = ("fulfil", "part", "cancel", "refund", "refund", "edit")


def calm(seed: int) -> Plan:
    """A plan without faults, and whose shops tell of everything at once: real time is dear."""
    plan = draw(seed, calm=True)
    quick = {"payment_seconds": 0.0, "webhook_lag_seconds": 0.0, "search_lag_seconds": 0.0}
    org = [knob for knob in plan.org_knobs if not knob.startswith(("event_delay", "keepalive"))]
    return replace(
        plan,
        org_knobs=(*org, "keepalive_seconds=1"),
        shop_knobs={name: {**knobs, **quick} for name, knobs in plan.shop_knobs.items()},
        stock={key: max(units, 1) for key, units in plan.stock.items()},
        roughness=0.0,
        crashes=0,
    )


class Script:
    """What is done, step by step."""

    def __init__(self, world: World, day: Day, rest: Callable[[], Awaitable[None]]) -> None:
        self._world, self._day, self._rest = world, day, rest
        self._draw = Random(f"parity {world.plan.seed}")
        self._shoppers: list[Shopper] = [London(world, day), Dubai(world, day)]
        self._staff, self._client = Staff(world, day), Client(world, day)
        self._deep = [sku for sku in world.plan.skus if sku.startswith("DEEP")]
        self._scarce = [sku for sku in world.plan.skus if sku.startswith("SCARCE")]
        self._gated = [sku for sku in world.plan.skus if sku.startswith("GATED")]
        self._allocated = [sku for sku in world.plan.skus if sku.startswith("ALLOC")]

    async def run(self) -> None:
        """All of it, with a rest after each step."""
        await self._rest()
        for number in range(ROUNDS):
            await self._busy(number)
            await self._rest()
            for lone in (self._last_piece, self._asked_first, self._given_back, self._service, self._people):
                await lone()
                await self._rest()

    async def _busy(self, number: int) -> None:
        """Orders at both shops, a till and people, all of what there is plenty of."""
        for _ in range(AT_ONCE):
            wanted = {self._draw.choice(self._deep): self._draw.choice([1, 1, 2])}
            wanted.setdefault(self._draw.choice(self._deep), 1)
            await self._draw.choice(self._shoppers)._buy(wanted, None)
        sku, place, units = self._draw.choice(self._deep), self._draw.choice(PLACES), -1
        source = f"till-{number}"
        self._day.postings[source] = (sku, place, units)
        for _ in range(self._draw.choice([1, 2])):  # it says so twice
            await self._world.publish(stock_event(source, sku, place, units))
        await self._world.enter(sku, place, "Receipt", on_hand=2)

    async def _last_piece(self) -> None:
        await self._draw.choice(self._shoppers)._buy(
            {self._draw.choice([*self._scarce, *self._allocated]): 1}, None
        )

    async def _asked_first(self) -> None:
        shopper, wanted = self._draw.choice(self._shoppers), {self._draw.choice(self._gated): 1}
        asked = await reserve(shopper, wanted, shopper.shop_name, 600)
        if asked is None or asked.state != "granted":
            return
        await self._rest()  # the shop shows again what its own shopper holds
        order = await shopper._buy(wanted, asked)
        if order is None:
            await release(shopper, asked)
            return
        await self._rest()  # else it depends on who is faster whether the order knows its reservation
        await shopper.ask("POST", f"/v1/reservations/{asked.id}/confirm", {"order_reference": order.name})

    async def _given_back(self) -> None:
        shop = self._draw.choice([None, "london"])
        asked = await reserve(self._client, {self._draw.choice(self._scarce): 1}, shop, 600, PLACES[0])
        if asked is not None and asked.state == "granted":
            await self._rest()
            await release(self._client, asked)

    async def _service(self) -> None:
        """The shop's people do something with one of the orders."""
        name, verb = self._draw.choice(list(self._world.shops)), self._draw.choice(VERBS)
        shop = self._world.shops[name]
        if shop.selling.orders:
            order = self._draw.choice(list(shop.selling.orders.values()))
            with suppress(NotPossible):
                getattr(self._staff, f"_{verb}")(shop, order)

    async def _people(self) -> None:
        sku = self._draw.choice(self._scarce)
        await self._world.enter(sku, self._draw.choice(PLACES), "Receipt", on_hand=1)


def ledger(world: World, day: Day) -> Ledger:
    """The org's rows, by subject under the name that both runs have for it.

    How units were set aside for a channel step by step depends on what was read when: of that only the sums.
    People's rows have no subject: they stand under their level.
    """
    sold = [list(shop.selling.orders.values()) for shop in world.shops.values()]
    places = {id(order): number for orders in sold for number, order in enumerate(orders)}
    names = {
        subject: f"{shop} order {places[id(order)]}, line {order.lines.index(line)}, {line.variant.sku}"
        for shop, subject, order, line in lines(world)
    }
    for number, asked in enumerate(day.reservations):
        names |= {f"reservation:{asked.id}:{line}": f"reservation {number}, {line}" for line in range(5)}
    keys = {
        str(row["Id"]): str(row["LevelKey__c"])
        for row in world.org.engine.store.tables["StockLevel__c"].rows.values()
    }
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in world.org.engine.store.tables["StockMovement__c"].rows.values():
        subject, level = str(row["SubjectKey__c"] or ""), keys[str(row["StockLevel__c"])]
        numbers = int(row["OnHandDelta__c"] or 0), int(row["ReservedDelta__c"] or 0)
        if subject.startswith("allocation:"):
            sums[subject] = [before + change for before, change in zip(sums[subject], numbers, strict=True)]
        elif not level.startswith("SFSYNC-PROBE"):
            step = str(row["IdempotencyKey__c"] or "").rpartition(":")[2] if subject else ""
            found[names.get(subject, subject) or level].append((step, level, str(row["Kind__c"]), *numbers))
    return {
        **{subject: sorted(rows) for subject, rows in found.items()},
        **{subject: [tuple(net)] for subject, net in sums.items() if any(net)},
    }


async def _lived(world: World, day: Day, watch: Watch) -> Ledger:
    async def rest() -> None:
        """Until everybody agrees."""
        end = world.loop.time() + PATIENCE_SECONDS
        wrong: list[Any] = ["not looked"]
        while wrong:
            assert world.loop.time() < end, f"no rest: {wrong[:5]} {world.violations} {world.story.broken}"
            await asyncio.sleep(0.1)
            ready = {topic for (topic,) in watch.query("SELECT topic FROM cursor")} >= {STOCK, TILLS}
            checks = settled(watch, world, day)
            wrong = [each for check in checks for each in check()] if ready else ["no bookmarks yet"]

    await Script(world, day, rest).run()
    assert world.violations == []
    assert world.story.broken == []
    return ledger(world, day)


def simulated(plan: Plan) -> Ledger:
    """On virtual time, in one process, without a socket."""

    async def lived(folder: Path) -> Ledger:
        world = World(plan, folder, Story(told=False))
        day = Day()
        watch = Watch(world, day)
        world.start()
        try:
            return await _lived(world, day, watch)
        finally:
            await world.stop()
            watch.close()
            for shop in world.shops.values():
                await shop.close()

    loop = VirtualLoop(note_task)
    asyncio.set_event_loop(loop)
    with tempfile.TemporaryDirectory(prefix="sfsync-parity-", dir=quick_folder()) as folder:
        try:
            return loop.run_until_complete(lived(Path(folder)))
        finally:
            _end(loop)
            structlog.reset_defaults()


async def wired(plan: Plan) -> Ledger:
    """Over gRPC and HTTP, by the clock on the wall."""
    with tempfile.TemporaryDirectory(prefix="sfsync-parity-", dir=quick_folder()) as folder:
        try:
            day, world = Day(), WiredWorld(plan, Path(folder), Story(told=False))
            with closing(Watch(world, day)) as watch:
                async with world.opened():
                    return await _lived(world, day, watch)
        finally:
            structlog.reset_defaults()
