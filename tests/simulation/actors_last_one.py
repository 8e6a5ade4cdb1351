"""Who fights for the last pieces: shoppers of articles that are divided among the shops."""

from __future__ import annotations

import asyncio

from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.selling import Purchase

from .actors import Actor, InTheEvening, stock_event
from .net import Weather
from .plan import MALL, PLACES, SHOPS


class Rivals(Actor):
    """Buy at either shop what is divided among them, while more of it comes in and tills sell of it.

    Now and then nobody hears of what they bought: the shops' numbers fall, and no order says so.
    """

    pace_seconds = 0.7
    acts_an_order = 0.6

    async def act(self) -> None:
        own = [sku for sku in self.world.plan.skus if sku.startswith("ALLOC")]
        skus = [*self.world.plan.last_one.skus, *own]
        if not skus:
            return
        sku, luck = self.chance.choice(skus), self.chance.random()
        if luck < 0.6:
            await self._buy(sku)
        elif luck < 0.72:
            units = self.chance.choice([1, 1, 2, 4])
            await self._by_hand("Receipt", sku, units)
        elif luck < 0.78:
            await self._by_hand("Sale", sku, -1)
        elif luck < 0.9:
            await self._at_a_till(sku)
        else:
            await self._unheard(sku)

    async def _buy(self, sku: str) -> None:
        name = self.chance.choice(SHOPS)
        shop = self.world.shops[name]
        units = self.chance.choice([1, 1, 1, 2])
        try:
            order = await shop.selling.buy(Purchase([(shop.stock.by_sku[sku][0], units)]))
        except NotPossible as error:
            self.tell(f"{name}: {units} {sku}: {error}")
            return
        self.tell(f"{name}: buys {units} {sku} as {order.name} ({order.number})")

    async def _by_hand(self, kind: str, sku: str, units: int) -> None:
        place = self.chance.choice(PLACES)
        refused = await self.world.enter(sku, place, kind, on_hand=units)
        self.tell(f"{kind} {units:+d} {sku} at {place}: {refused or 'entered'}")
        if not refused:
            self.day.people[sku, place] += units

    async def _at_a_till(self, sku: str) -> None:
        """A till sells what stands in its shop, whoever it is promised to."""
        place = self.chance.choice(PLACES)
        if self.world.plan.fallback or self.world.level(sku, place)["OnHand__c"] <= 0:
            return
        source = f"rival-{len(self.day.postings) + len(self.day.poison) + 1}"
        self.day.postings[source] = (sku, place, -1)
        self.day.undated.add(source)
        self.tell(f"{source}: -1 {sku} at {place}")
        await self.world.publish(stock_event(source, sku, place, -1))
        self.day.happened.setdefault(source, self.world.clock.now())

    async def _unheard(self, sku: str) -> None:
        """The shops' words get lost while they sell."""
        self.tell("nobody hears of orders for a while")
        self.world.net.weather["webhooks"] = Weather(lost=1.0)
        for _ in range(self.chance.choice([1, 2, 4])):
            await self._buy(sku)
            await asyncio.sleep(self.chance.choice([0.0, 1.0, 10.0]))
        self.world.net.weather.pop("webhooks", None)


class Sellout(Actor):
    """Goods come in and all of it is bought at once, at both shops; of one shop's orders nobody hears.

    While its number is believed too high, the other's sales move the balance: what is lowered, freed and
    given to the other must not be what was sold in silence. Where articles are shared while there are many,
    each run makes one scarce.
    """

    pace_seconds = 6.0
    acts_an_order = 0.1

    async def act(self) -> None:
        if not self.world.plan.habits.sellouts:
            return
        sku, place = self.chance.choice(self.world.plan.last_one.skus), self.chance.choice(PLACES)
        units = self.chance.choice([2, 4, 6])
        if not await self.world.enter(sku, place, "Receipt", on_hand=units):
            self.day.people[sku, place] += units
        quiet = self.chance.choice([None, *SHOPS])
        self.tell(f"Receipt {units:+d} {sku} at {place}; nobody will hear of {quiet}'s orders")
        await asyncio.sleep(self.chance.choice([2.0, 5.0]))
        if quiet is not None:
            self.world.shops[quiet].faults.order({"kind": "lose", "times": units})
        await asyncio.gather(*[self._all_of_it(shop, sku) for shop in SHOPS])
        if self.chance.random() < 0.5:
            return
        if not await self.world.enter(sku, place, "Receipt", on_hand=1):
            self.day.people[sku, place] += 1

    async def _all_of_it(self, name: str, sku: str) -> None:
        """Until nothing is left, or the shopper is tired."""
        for _ in range(5):
            await asyncio.sleep(self.chance.choice([0.0, 0.1, 1.0]))
            await buys(self, name, sku, self.chance.choice([1, 1, 2]))


class SlowRaise(Actor):
    """Goods come in, one shop takes long over its higher number, and the other sells what it has meanwhile.

    The balance moves while units are on their way to the slow one: they are shown there, or will be.
    """

    pace_seconds = 8.0
    acts_an_order = 0.1

    async def act(self) -> None:
        if not self.world.plan.habits.slow_raises or not self.world.plan.last_one.skus:
            return
        sku, place = self.chance.choice(self.world.plan.last_one.skus), self.chance.choice(PLACES)
        slow, quick = self.chance.sample(SHOPS, 2)
        kind = self.chance.choice(["delay_inside", "delay_after", "cut_after"])
        match = "inventoryAdjustQuantities"
        self.world.shops[slow].faults.order({"kind": kind, "match": match, "times": 1, "seconds": 20.0})
        units = self.chance.choice([4, 6, 8])
        if not await self.world.enter(sku, place, "Receipt", on_hand=units):
            self.day.people[sku, place] += units
        self.tell(f"Receipt {units:+d} {sku} at {place}; {slow} takes its time: {kind}")
        for _ in range(units // 2):
            await asyncio.sleep(self.chance.choice([0.3, 0.6, 1.0]))
            await buys(self, quick, sku, 1)


class QuietSale(InTheEvening):
    """A shop sells what it shows, and nobody hears of it; then the other one sells its own, and all hear.

    So the balance takes some from the first, whose number is believed too high. What was sold there is
    nobody's to give, and the shop must not be lowered over it. The last of them come in the evening, when
    nothing else goes wrong: on a rough day somebody hears of the sales after all before the balance moves.
    """

    pace_seconds = 2.0
    acts_an_order = 0.02

    async def act(self) -> None:
        split = self.world.plan.last_one.split
        if not self.world.plan.habits.quiet_sales or not split:
            return
        sku, place = self.chance.choice(split), self.chance.choice(PLACES)
        quiet, heard = self.chance.sample(SHOPS, 2)
        units = self.chance.choice([4, 6])
        if not await self.world.enter(sku, place, "Receipt", on_hand=units):
            self.day.people[sku, place] += units
        self.tell(f"Receipt {units:+d} {sku} at {place}; nobody will hear of {quiet}'s orders")
        await self.shows(sku, 2)
        faults = self.world.shops[quiet].faults
        lost = faults.order({"kind": "lose", "times": 0})
        for shop in (quiet, heard):
            if shown := self.shown(shop, sku):
                await buys(self, shop, sku, shown)
        await asyncio.sleep(self.chance.choice([4.0, 8.0]))
        if lost in faults.active:
            faults.active.remove(lost)


class SentFromTheMall(Actor):
    """Buys at Dubai what is set aside for it at its first location; the shop lets its second one send it.

    It does so in the moment of the sale, whether or not anything is left there.
    """

    pace_seconds = 3.0
    acts_an_order = 0.15

    async def act(self) -> None:
        split = self.world.plan.last_one.split
        if self.world.plan.habits.mall is None or not split:
            return
        shop, sku = self.world.shops["dubai"], self.chance.choice(split)
        if self.chance.random() < 0.6:  # heard of by the order list alone, it never seemed to stand elsewhere
            shop.faults.order({"kind": "lose", "times": 4})
        try:
            order = await shop.selling.buy(Purchase([(shop.stock.by_sku[sku][0], 1)]))
            shop.selling.move(
                order, next(each for each in shop.stock.locations.values() if each.name == MALL)
            )
        except NotPossible as error:
            self.tell(f"dubai: {sku} from the mall: {error}")
            return
        self.day.orders += 1
        self.tell(f"dubai: buys {sku} as {order.name} ({order.number}), sent from the mall")


async def buys(shopper: Actor, name: str, sku: str, units: int) -> None:
    """Somebody buys at a shop, where it lets her."""
    shop = shopper.world.shops[name]
    try:
        order = await shop.selling.buy(Purchase([(shop.stock.by_sku[sku][0], units)]))
    except NotPossible as error:
        shopper.tell(f"{name}: {units} {sku}: {error}")
        return
    shopper.day.orders += 1
    shopper.tell(f"{name}: buys {units} {sku} as {order.name} ({order.number})")
