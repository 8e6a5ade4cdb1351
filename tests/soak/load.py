"""Who buys, sells, edits and reserves while the daemon is killed, and what each of them was told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import httpx

from sfsync.cli.demo.catalogue import FLAGSHIP, WAREHOUSE
from sfsync.cli.demo.outside import SHORT_LIVED, Shop
from sfsync.cli.demo.processes import DemoError
from sfsync.cli.demo.world import World

ARTICLES = 40
SHOPPER_SECONDS, TILL_SECONDS, CHECKOUT_SECONDS, RECEIPT_SECONDS = 0.8, 0.9, 1.0, 1.2  # on average
STAFF_SECONDS = 4.0  # at most, between two touches of one order
LIFE_SECONDS = 20  # of a cart whose customer walks away
LONG_LIFE_SECONDS = 600  # of one whose customer is going to pay
PATIENCE_SECONDS = 90.0  # of a checkout while nobody answers
RECEIPT_UNITS = 3
LOCKED = "UNABLE_TO_LOCK_ROW"
LOCK_TRIES, LOCK_SECONDS = 40, 0.25  # between two tries


async def unlocked(act: Callable[[], Awaitable[object]]) -> None:
    """Enter a row under its key, again while the org says that somebody else holds the level's lock."""
    for _ in range(LOCK_TRIES):
        try:
            await act()
        except DemoError as error:
            if LOCKED not in str(error):
                raise
            await asyncio.sleep(LOCK_SECONDS)
        else:
            return
    raise DemoError(f"{act} met a locked row {LOCK_TRIES} times")


@dataclass(slots=True)
class Checkout:
    """A reservation as the checkout at a storefront knows it."""

    id: str
    sku: str
    confirmed: int = 0  # the HTTP status that the payment was answered with; 0: not paid
    order: str = ""


class Load:
    """A busy house. What was accepted is noted here, or asked of the storefronts at the end."""

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._seed = world, seed
        articles = [a for name in ("silk", "small leather") for a in world.catalogue.family(name)]
        self.skus = [a.sku for a in Random(seed).sample(articles, ARTICLES)]
        self._stop = asyncio.Event()
        self._till_client = httpx.AsyncClient(
            base_url=world.org.ready["control_url"], trust_env=False, timeout=30.0, limits=SHORT_LIVED
        )
        self.tills: Counter[tuple[str, str]] = Counter()  # (SKU, location) -> units gone over a till
        self.receipts: list[str] = []  # of tills that enter their sales themselves
        self.announced: list[str] = []  # of tills that only tell of them
        self.checkouts: list[Checkout] = []
        self.turned_away = self.unanswered = self.orders = self.touched = self.sold_out = 0

    async def run(self) -> None:
        """Until `stop`; what was begun is finished."""
        async with asyncio.TaskGroup() as group:
            for shop in self._world.shops.values():
                group.create_task(self._shoppers(group, shop))
                group.create_task(self._checkouts(group, shop))
            for part in (self._till, self._announcing_till, self._receiving):
                group.create_task(part())
        await self._till_client.aclose()

    def stop(self) -> None:
        """Nobody comes in any more."""
        self._stop.set()

    def _luck(self, whose: str) -> Random:
        return Random(f"{whose} {self._seed}")

    async def _goes_on(self, luck: Random, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stop.wait(), luck.expovariate(1 / seconds))
        except TimeoutError:
            return True
        return False

    # -- web

    async def _shoppers(self, group: asyncio.TaskGroup, shop: Shop) -> None:
        luck = self._luck(f"shoppers {shop.name}")
        while await self._goes_on(luck, SHOPPER_SECONDS):
            order = await shop.buy(luck.choice(self.skus), luck.choice((1, 1, 2)))
            if order is None:
                self.sold_out += 1
                continue
            self.orders += 1
            group.create_task(self._staff(shop, order, Random(luck.random())))

    async def _staff(self, shop: Shop, order: dict[str, Any], luck: Random) -> None:
        """Staff edit the order up and down, refund of it, and send it off or call it back; or leave it."""
        line = order["line_items"][0]["id"]
        acts: list[tuple[str, dict[str, Any]]] = [
            ("edit", {"line_items": [{"id": line, "delta": 1}]}),
            ("edit", {"line_items": [{"id": line, "delta": -1}]}),
            ("refund", {"line_items": [{"id": line, "quantity": 1}], "restock": True}),
            ("refund", {"line_items": [{"id": line, "quantity": 1}], "restock": False}),
        ]
        planned = luck.sample(acts, luck.choice((0, 0, 1, 2)))
        planned += [(verb, {}) for verb in luck.choice((("fulfil",), ("cancel",), (), ()))]
        for verb, body in planned:
            await asyncio.sleep(luck.uniform(0, STAFF_SECONDS))
            self.touched += await shop.staff(order["id"], verb, body)

    async def _checkouts(self, group: asyncio.TaskGroup, shop: Shop) -> None:
        luck, number = self._luck(f"checkouts {shop.name}"), 0
        while await self._goes_on(luck, CHECKOUT_SECONDS):
            number += 1
            group.create_task(
                self._checkout(shop, luck.choice(self.skus), f"{shop.name}-{number}", luck.random())
            )

    async def _checkout(self, shop: Shop, sku: str, key: str, fate: float) -> None:
        """Reserve; then pay and order, or give back, or walk away without a word."""
        pays = fate < 0.5
        wish = {
            "kind": "cart",
            "channel": shop.name,
            "owner": key,
            "expires_in_seconds": LONG_LIFE_SECONDS if pays else LIFE_SECONDS,
            "lines": [{"sku": sku, "quantity": 1}],
        }
        status, answer = await self._insist("/v1/reservations", wish, key=f"soak-{key}")
        if status not in (200, 201):
            self.turned_away += status == 409
            self.unanswered += status != 409
            return
        mine = Checkout(answer["id"], sku)
        self.checkouts.append(mine)
        if pays:
            order = await shop.buy(sku, reservation=mine.id)
            if order is None:  # its own number is lower by what it has just set aside for this very cart
                await self._insist(f"/v1/reservations/{mine.id}/release", {})
                return
            mine.order = order["name"]
            path = f"/v1/reservations/{mine.id}/confirm"
            mine.confirmed, _ = await self._insist(path, {"order_reference": mine.order})
        elif fate < 0.75:
            await self._insist(f"/v1/reservations/{mine.id}/release", {})

    async def _insist(self, path: str, body: object, *, key: str = "") -> tuple[int, Any]:
        """Ask the daemon until it has an answer, dead or alive."""
        headers = {"idempotency-key": key} if key else {}
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        status: int = 0
        answer: Any = None
        while asyncio.get_running_loop().time() < end:
            with suppress(httpx.TransportError, ValueError):
                status, answer = await self._world.daemon.ask(path, body, **headers)
                if status not in (202, 503):
                    break
            await asyncio.sleep(0.2)
        return status, answer

    # -- tills and receipts

    async def _till(self) -> None:
        luck = self._luck("till")
        while await self._goes_on(luck, TILL_SECONDS):
            sku, receipt = luck.choice(self.skus), f"K1-{len(self.receipts) + 1:05}"
            await unlocked(partial(self._world.org.sell_at_till, sku, FLAGSHIP, receipt))
            self.receipts.append(receipt)
            self.tills[sku, FLAGSHIP] += 1

    async def _announcing_till(self) -> None:
        """A till that publishes its sales as platform events: sfsync enters them."""
        luck = self._luck("announcing till")
        while await self._goes_on(luck, TILL_SECONDS):
            sku, receipt = luck.choice(self.skus), f"K2-{len(self.announced) + 1:05}"
            await unlocked(partial(self._world.org.announce_at_till, sku, FLAGSHIP, receipt))
            self.announced.append(receipt)
            self.tills[sku, FLAGSHIP] += 1

    async def _receiving(self) -> None:
        """The warehouse receives goods, so that there is something to sell all day."""
        luck, ids = self._luck("receipts"), await self._level_ids()
        while await self._goes_on(luck, RECEIPT_SECONDS):
            sku, place = luck.choice(self.skus), luck.choice((FLAGSHIP, WAREHOUSE))
            row = {
                "attributes": {"type": "StockMovement__c"},
                "StockLevel__c": ids[f"{sku}|{place}"],
                "Kind__c": "Receipt",
                "OnHandDelta__c": RECEIPT_UNITS,
                "VersionDelta__c": 1,
                "IdempotencyKey__c": f"receipt:{luck.random()}",
            }
            await unlocked(partial(self._create, row))
            self.tills[sku, place] -= RECEIPT_UNITS

    async def _create(self, record: dict[str, Any]) -> None:
        answer = await self._till_client.post("/records/create", json={"records": [record]})
        if not answer.is_success or not answer.json()[0]["success"]:
            raise DemoError(f"the org refused {record}: {answer.text[:300]}")

    async def _level_ids(self) -> dict[str, str]:
        asked = {"q": "SELECT Id, LevelKey__c FROM StockLevel__c", "deleted": False}
        rows = (await self._till_client.post("/query", json=asked)).json()["records"]
        return {row["LevelKey__c"]: row["Id"] for row in rows}
