"""A busy day: shoppers at both sites, tills in the flagship, staff who send orders off or call them back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from .catalogue import FLAGSHIP
from .outside import Shop
from .world import World

HOT_ARTICLES = 24  # deep ones: only after a long outage on a slow machine is an order more than they have
SHOPPER_SECONDS = 0.45  # on average between two at one site
SOLD_BY_ALL_SECONDS = 0.7  # on average between two till sales of articles that are sold online too
TILL_SECONDS = 0.2  # on average between two till sales of articles that nobody else buys
CALLED_OFF, SENT_OFF = 0.15, 0.15  # shares of the orders
STAFF_SECONDS = 1.5  # at most, until staff turn to an order


@dataclass(frozen=True, slots=True)
class TillSale:
    """One unit sold at the flagship's till. `alone`: nobody else sold the article that day."""

    sku: str
    receipt: str
    movement: str  # the org's id
    alone: bool


class Traffic:
    """Who buys what until told to stop. What was accepted is asked of the storefronts, not kept here."""

    def __init__(self, world: World, taken: Collection[str]) -> None:
        self._world = world
        luck = world.luck("articles")
        silk = [a.sku for a in world.catalogue.family("silk")]
        self._hot = luck.sample(silk, HOT_ARTICLES)
        others = set(self._hot) | set(taken) | set(world.catalogue.last.values())
        self._single = [
            a.sku for a in world.catalogue.articles if a.stock.get(FLAGSHIP, 0) > 0 and a.sku not in others
        ]
        luck.shuffle(self._single)
        self._stop = asyncio.Event()
        self.till: list[TillSale] = []
        self.orders = 0
        self.sold_out = 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """While the block runs. What was begun is finished at its end; an error in it ends the block."""
        async with asyncio.TaskGroup() as group:
            for shop in self._world.shops.values():
                group.create_task(self._shoppers(group, shop))
            group.create_task(self._till_of_hot())
            group.create_task(self._till_of_single())
            try:
                yield
            finally:
                self._stop.set()

    async def _goes_on(self, luck: Random, seconds: float) -> bool:
        """False once the day is over; else after a wait of some `seconds`."""
        try:
            await asyncio.wait_for(self._stop.wait(), luck.expovariate(1 / seconds))
        except TimeoutError:
            return True
        return False

    async def _shoppers(self, group: asyncio.TaskGroup, shop: Shop) -> None:
        luck = self._world.luck(f"shoppers {shop.name}")
        while await self._goes_on(luck, SHOPPER_SECONDS):
            order = await shop.buy(luck.choice(self._hot))
            if order is None:
                self.sold_out += 1
                continue
            self.orders += 1
            fate = luck.random()
            verb = "cancel" if fate < CALLED_OFF else "fulfil" if fate < CALLED_OFF + SENT_OFF else ""
            if verb:
                group.create_task(self._staff(shop, order["id"], verb, luck.uniform(0, STAFF_SECONDS)))

    async def _staff(self, shop: Shop, order_id: int, verb: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await shop.staff(order_id, verb)

    async def _till_of_hot(self) -> None:
        luck = self._world.luck("till of hot")
        # A third of what lies there at most: the till hands over goods that are in its hands, and the online
        # orders of the day must find the rest.
        units = [s for s in self._hot for _ in range(self._world.catalogue.article(s).stock[FLAGSHIP] // 3)]
        luck.shuffle(units)
        while units and await self._goes_on(luck, SOLD_BY_ALL_SECONDS):
            await self._sell(units.pop(), alone=False)

    async def _till_of_single(self) -> None:
        luck = self._world.luck("till of single")
        while self._single and await self._goes_on(luck, TILL_SECONDS):
            await self._sell(self._single.pop(), alone=True)

    async def _sell(self, sku: str, *, alone: bool) -> None:
        receipt = f"K1-{len(self.till) + 1:04}" if alone else f"K3-{len(self.till) + 1:04}"
        movement = await self._world.org.sell_at_till(sku, FLAGSHIP, receipt)
        self.till.append(TillSale(sku, receipt, movement, alone))
