"""A kiosk whose goods lie in carts while its counter sells them, and a pavilion where a drop's block stands.

Their counters tell of a sale a little later. As soon as sfsync has heard of it, nobody may be told that he
has what is gone: not who pays for a cart, and not who asks for one of the last pieces of the drop.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .actors import Actor, Asked, release, reserve, stock_event
from .habits import BLOCK, CART, DROP, FEW, KIOSK, PAVILION
from .world import World

HEARD_SECONDS = 60  # the longest that is waited until sfsync knows of a sale
LIFE_SECONDS = 100


class Selling(Actor):
    """A counter that sells whatever lies there, whoever it was promised to."""

    pace_seconds = 2.0
    acts_an_order = 0.1

    async def _sold(self, sku: str, place: str, units: int) -> int:
        """Over the counter, in one receipt; its till tells of it a little later."""
        source = f"{self.name}-{len(self.day.postings) + len(self.day.poison) + 1}"
        self.day.postings[source] = (sku, place, -units)
        self.tell(f"{source}: {units} {sku} are sold over the counter")
        await asyncio.sleep(self.chance.choice([0.0, 1.0]))
        self.day.undated.add(source)
        await self.world.publish(stock_event(source, sku, place, -units))
        self.day.happened.setdefault(source, self.world.clock.now())
        return units

    async def _heard(self, sku: str, place: str, left: int) -> bool:
        """Wait until the org and sfsync both know that so many are left."""
        for _ in range(HEARD_SECONDS):
            if self.day.known(f"{sku}|{place}") == left == self.world.level(sku, place)["OnHand__c"]:
                return True
            await asyncio.sleep(1.0)
        return False


class Kiosk(Selling):
    """Several have something in their carts when its counter sells it, and pay then."""

    async def act(self) -> None:
        """Two or three are granted, the counter sells some, and then they pay, whoever comes first."""
        if not self.world.plan.habits.carts or self.world.plan.fallback:
            return  # under the fallback rule a cart gives way to what the counter has sold
        wanted = self.chance.choice([2, 3])
        there = int(self.world.level(CART, KIOSK)["OnHand__c"])
        if there < wanted:
            if await self.world.enter(CART, KIOSK, "Receipt", on_hand=wanted - there):
                return
            self.day.people[CART, KIOSK] += wanted - there
        carts = [await reserve(self, {CART: 1}, None, LIFE_SECONDS, KIOSK) for _ in range(wanted)]
        held = [cart for cart in carts if cart is not None and cart.state == "granted"]
        for cart in held:
            cart.private = True
        there = int(self.world.level(CART, KIOSK)["OnHand__c"])
        if held and there:
            left = there - await self._sold(CART, KIOSK, self.chance.randint(1, there))
            if await self._heard(CART, KIOSK, left):
                self.chance.shuffle(held)
                for cart in held:
                    cart.beside, cart.left = held, left
                    await self._pays(cart)
        for cart in filter(None, carts):
            await release(self, cart)

    async def _pays(self, cart: Asked) -> None:
        body = {"order_reference": f"receipt-{cart.id[:8]}"}
        for _ in range(6):
            answer = await self.ask("POST", f"/v1/reservations/{cart.id}/confirm", body)
            if answer is not None and answer.status_code < 500 and answer.status_code not in (202, 429):
                break
            await asyncio.sleep(2.0)
        else:
            return
        told = answer.json()
        cart.state = str((told.get("reservation") or told).get("state", ""))
        self.tell(f"confirm {cart.id}: {answer.status_code} {cart.state}")
        for hears in self.day.told:
            hears(cart, cart.state)


class Pavilion(Selling):
    """A block of a drop stands there, and its counter sells what stands beside it."""

    def __init__(self, world: World, day: Any) -> None:
        super().__init__(world, day)
        self._drop_left = world.plan.all_stock.get((DROP, PAVILION), 0)

    async def act(self) -> None:
        """The counter sells what stands beside the block; somebody asks for one of the last."""
        if not self.world.plan.habits.drop or self.world.plan.fallback:
            return
        if self.world.plan.habits.baskets and self._drop_left > FEW + BLOCK:
            await self._two_baskets()
        if self._drop_left > FEW - 3:
            self._drop_left -= await self._sold(DROP, PAVILION, self.chance.randint(3, 6))
        if not await self._heard(DROP, PAVILION, self._drop_left):
            return
        asked = await self._asks(1)
        if asked is None:
            return
        if self._drop_left <= FEW:
            asked.left = 0
            for hears in self.day.told:
                hears(asked, asked.state)
        await release(self, asked)

    async def _asks(self, units: int) -> Asked | None:
        asked = await reserve(self, {DROP: units}, None, 10, PAVILION)
        if asked is not None:
            asked.private = True
        return asked

    async def _two_baskets(self) -> None:
        """One asks for more than the block has, one for less; beside the last pieces is enough for one."""
        found = await asyncio.gather(self._asks(BLOCK + 1), self._asks(BLOCK - 1))
        baskets = [each for each in found if each is not None]
        for basket in baskets:
            basket.beside, basket.left = baskets, self._drop_left - FEW
            for hears in self.day.told:
                hears(basket, basket.state)
            await release(self, basket)
