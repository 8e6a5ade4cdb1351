"""A boutique whose till tells of a sale afterwards: what stands on its floor may be in a customer's hand.

Customers ask for a piece there, from outside or by having theirs moved there. Whether it counts, the shop's
people say: they look, and put it aside or do not find it. Some customers try to pay before that. Shoppers at
the storefronts buy the same article, of which the last pieces are on the boutique's floor.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .actors import Actor, Asked, InTheEvening, release, reserve, stock_event
from .actors_last_one import buys
from .habits import BOUTIQUE, FLOOR
from .plan import PLACES, SHOPS
from .world import STORE_TOKEN, World


class Boutique(Actor):
    """The till, the shop's people, and whoever asks for a piece from outside."""

    pace_seconds = 1.0
    acts_an_order = 0.35

    def __init__(self, world: World, day: Any) -> None:
        super().__init__(world, day)
        self._free = world.plan.all_stock.get((FLOOR, BOUTIQUE), 0)  # of nobody yet

    async def act(self) -> None:
        if self.world.plan.habits.floor is None:
            return
        luck = self.chance.random()
        if luck < 0.3:
            work = self._till()
        elif luck < 0.45:
            work = self._brought_in()
        else:
            work = self._customer()
        task = asyncio.create_task(work)
        task.add_done_callback(lambda done: done.cancelled() or done.result())

    async def _till(self) -> None:
        """Sold over the counter, whoever it was promised to meanwhile; the till tells of it later."""
        if self.world.plan.fallback or not self._free:
            return
        self._free -= 1
        source = f"boutique-{len(self.day.postings) + len(self.day.poison) + 1}"
        self.day.postings[source] = (FLOOR, BOUTIQUE, -1)
        self.tell(f"{source}: one {FLOOR} is sold over the counter")
        await asyncio.sleep(self.chance.choice([0.0, 1.0, 4.0]))
        self.day.undated.add(source)
        await self.world.publish(stock_event(source, FLOOR, BOUTIQUE, -1))
        self.day.happened.setdefault(source, self.world.clock.now())

    async def _brought_in(self) -> None:
        if self._free >= 3:
            return
        if not await self.world.enter(FLOOR, BOUTIQUE, "Receipt", on_hand=1):
            self._free += 1
            self.day.people[FLOOR, BOUTIQUE] += 1

    async def _customer(self) -> None:
        place = self.chance.choice([BOUTIQUE, BOUTIQUE, PLACES[0]])
        asked = await reserve(self, {FLOOR: 1}, None, self.chance.randint(4, 20), place)
        if asked is None or asked.state not in ("granted", "awaiting-store"):
            return
        asked.private = True
        self._hear(asked, asked.state, place)
        if place != BOUTIQUE:
            if self.chance.random() < 0.5:
                await self._say(asked, "confirm", {"order_reference": f"receipt-{asked.id[:8]}"})
            await self._say(asked, "move", {"location": BOUTIQUE})
            if asked.place != BOUTIQUE:
                return
        if self.chance.random() < 0.4:  # pays before anybody has looked
            await self._say(asked, "confirm", {"order_reference": f"receipt-{asked.id[:8]}"})
        await asyncio.sleep(self.chance.choice([0.0, 2.0, 6.0]))
        if self.chance.random() >= self.world.plan.habits.unlooked:
            await self._look(asked)

    async def _look(self, asked: Asked) -> None:
        """The shop's people: put aside what they find, and say so."""
        asked.in_hand = self._free > 0
        self._free -= asked.in_hand
        body = {"found": asked.in_hand}
        for _ in range(self.chance.choice([1, 1, 2])):
            state = await self._say(asked, "store-confirmation", body, authorization=f"Bearer {STORE_TOKEN}")
        if state == "granted":
            state = await self._say(asked, "confirm", {"order_reference": f"receipt-{asked.id[:8]}"})
        if state == "confirmed" and self.chance.random() < 0.7:
            state = await self._say(asked, "hand-over", {"reference": f"receipt-{asked.id[:8]}"})
        elif state == "confirmed":
            await release(self, asked)
            state = asked.state
        if asked.in_hand and state not in ("settled", ""):
            self._free += 1  # nobody wants it any more: back on the floor

    async def _say(self, asked: Asked, what: str, body: Any, **headers: str) -> str:
        """Until it is answered; what the reservation is then, or "" when nobody knows."""
        for _ in range(6):
            answer = await self.ask("POST", f"/v1/reservations/{asked.id}/{what}", body, **headers)
            if answer is not None and answer.status_code < 500 and answer.status_code not in (202, 429):
                break
            await asyncio.sleep(2.0)
        else:
            return ""
        told = answer.json()
        found = told.get("reservation") or told
        state = str(found.get("state", ""))
        self.tell(f"{what} {body} {asked.id}: {answer.status_code} {state}")
        if state:
            self._hear(asked, state, found["lines"][0]["location"])
        return state

    def _hear(self, asked: Asked, state: str, place: str) -> None:
        asked.state, asked.place = state, place
        for hears in self.day.told:
            hears(asked, state)


class WindowShopper(InTheEvening):
    """Buys at the storefronts what else stands on the boutique's floor, at both of them in one moment, too.

    Then one of the orders has nothing but a piece on the floor, and the boutique has to look for it.
    """

    pace_seconds = 1.5
    acts_an_order = 0.04

    async def act(self) -> None:
        habits = self.world.plan.habits
        if habits.floor is None or not habits.floor_sold:
            return
        place, most = self.chance.choice(PLACES), 1 + max(self.world.plan.safety.values())
        for _ in range(3):  # who bought some before comes first
            for where, units in ((BOUTIQUE, 2), (place, most)):
                level = self.world.level(FLOOR, where)
                await self._brought_in(where, int(units - level["OnHand__c"] + level["Reserved__c"]))
            if await self.shows(FLOOR, 1):
                break
        shops = self.chance.choice([SHOPS[:1], SHOPS[1:], SHOPS, SHOPS, SHOPS, SHOPS])
        await asyncio.gather(*[buys(self, shop, FLOOR, self.shown(shop, FLOOR) or 1) for shop in shops])

    async def _brought_in(self, place: str, units: int) -> None:
        if units > 0 and not await self.world.enter(FLOOR, place, "Receipt", on_hand=units):
            self.day.people[FLOOR, place] += units
            self.tell(f"Receipt {units:+d} {FLOOR} at {place}")
