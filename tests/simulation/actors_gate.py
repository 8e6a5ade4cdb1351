"""Who asks first, and pays at the worst moment: at the second at which the reservation ends, or after it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import httpx

from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.selling import Purchase

from .actors import Actor, Asked, release, reserve
from .plan import PLACES, SHOPS

AROUND_THE_END_SECONDS = (-1.0, -0.1, 0.0, 0.0, 0.1, 0.5, 1.0, 3.0)


class Gate(Actor):
    """Several want the last pieces of a gated article at once, each for a few seconds.

    Then they pay, pay twice, prolong, move elsewhere, give back twice, or pay and give back in one moment.
    What they were told counts: `kept_until` says how long they may rely on it.
    """

    pace_seconds = 1.2
    acts_an_order = 0.25

    async def act(self) -> None:
        gated = [sku for sku in self.world.plan.skus if sku.startswith("GATED")]
        sku, place = self.chance.choice(gated), self.chance.choice(PLACES)
        for _ in range(self.chance.choice([1, 2, 3])):
            shop = self.chance.choice(SHOPS) if self.chance.random() < 0.25 else None
            work = self._at_a_shop(shop, sku) if shop else self._client(sku, place)
            task = asyncio.create_task(work)
            task.add_done_callback(lambda done: done.cancelled() or done.result())

    async def _client(self, sku: str, place: str) -> None:
        asked = await reserve(self, {sku: 1}, None, self.chance.randint(2, 8), place)
        if asked is None or asked.state != "granted":
            return
        asked.private, asked.kept_until = True, asked.until
        await self._until(asked.until + self.chance.choice(AROUND_THE_END_SECONDS))
        verb = self.chance.choice(
            ["pay", "pay", "pay", "pay_twice", "prolong", "move", "give_back_twice", "pay_and_give_back"]
        )
        self.tell(f"{verb} {asked.id}")
        await getattr(self, f"_{verb}")(asked)

    async def _at_a_shop(self, name: str, sku: str) -> None:
        """A shopper who pays at the last second; the shop tells of the order as it likes."""
        asked = await reserve(self, {sku: 1}, name, self.chance.randint(2, 8))
        if asked is None or asked.state != "granted":
            return
        await self._until(asked.until + self.chance.choice(AROUND_THE_END_SECONDS))
        shop = self.world.shops[name]
        notes = {"sfsync_reservation": asked.id} if self.chance.random() < 0.5 else {}
        try:
            order = await shop.selling.buy(Purchase([(shop.stock.by_sku[sku][0], 1)], note_attributes=notes))
        except NotPossible as error:
            self.tell(f"{name}: {error}")
            await release(self, asked)
            return
        self.tell(f"{name}: buys {sku} as {order.name} ({order.number}) on {asked.id}")
        asked.state, asked.order = "unknown", order.name
        await self._say(asked, "confirm", {"order_reference": order.name})

    # -- what they do with it

    async def _pay(self, asked: Asked) -> None:
        state = await self._say(asked, "confirm", {"order_reference": f"receipt-{asked.id[:8]}"})
        if state == "confirmed":
            await self._after_payment(asked)
        elif state == "paid-unavailable":
            await self._without_goods(asked)

    async def _pay_twice(self, asked: Asked) -> None:
        body = {"order_reference": f"receipt-{asked.id[:8]}"}
        await asyncio.gather(self._say(asked, "confirm", body), self._say(asked, "confirm", body))

    async def _prolong(self, asked: Asked) -> None:
        state = await self._say(asked, "extend", {"expires_in_seconds": self.chance.randint(2, 8)})
        if state == "granted":
            await self._until(asked.until + self.chance.choice(AROUND_THE_END_SECONDS))
        await self._pay(asked)

    async def _move(self, asked: Asked) -> None:
        await self._elsewhere(asked)
        await self._pay(asked)

    async def _give_back_twice(self, asked: Asked) -> None:
        asked.kept_until = 0.0
        await asyncio.gather(*[self._say(asked, "release") for _ in range(2)])

    async def _pay_and_give_back(self, asked: Asked) -> None:
        """Whoever comes first; the other hears what became of it."""
        asked.kept_until = -inf
        body = {"order_reference": f"receipt-{asked.id[:8]}"}
        await asyncio.gather(self._say(asked, "confirm", body), self._say(asked, "release"))
        await self._say(asked, "release")

    async def _after_payment(self, asked: Asked) -> None:
        await asyncio.sleep(self.chance.random() * 3)
        verb = self.chance.choice(["hand-over", "hand-over", "release", "move", "nothing"])
        if verb == "move":
            await self._elsewhere(asked)
        elif verb != "nothing":
            asked.kept_until = 0.0
            await self._say(asked, verb, {"reference": "receipt"} if verb == "hand-over" else None)

    async def _without_goods(self, asked: Asked) -> None:
        """Paid after it died: another place, a refund, or it waits for somebody to decide."""
        way = self.chance.choice(["move", "refund", "wait"])
        if way == "move":
            await self._elsewhere(asked)
        elif way == "refund":
            await self._say(asked, "release", {"reason": "refunded"})

    async def _elsewhere(self, asked: Asked) -> None:
        other = next(place for place in PLACES if place != asked.place)
        await self._say(asked, "move", {"location": other})

    # -- asking

    async def _until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.world.loop.time()))

    async def _say(self, asked: Asked, what: str, body: Any = None) -> str:
        """Until it is answered. Returns what the reservation is then; "" when nobody knows."""
        for _ in range(6):
            answer = await self.ask("POST", f"/v1/reservations/{asked.id}/{what}", body)
            if answer is not None and answer.status_code < 500 and answer.status_code not in (202, 429):
                break
            await asyncio.sleep(2.0)
        else:
            asked.kept_until = 0.0
            return ""
        return self._heard(asked, what, answer)

    def _heard(self, asked: Asked, what: str, answer: httpx.Response) -> str:
        told = answer.json()
        found = told.get("reservation") or told
        state = str(found.get("state", ""))
        self.tell(f"{what} {asked.id}: {answer.status_code} {state}")
        if not state:
            return ""
        if asked.channel is None:  # else its order takes it over
            for line in found["lines"]:
                asked.place = line["location"]
        if asked.channel is None and answer.status_code == 200 and asked.kept_until >= 0:
            if state == "confirmed" and what in ("confirm", "move"):
                asked.kept_until = inf
            elif state == "granted" and what == "extend":
                asked.until = asked.kept_until = self.world.seconds(found["expires_at"])
        if state == "paid-unavailable":
            asked.kept_until = 0.0  # its goods have left, or its time was over
        asked.state = state
        for hears in self.day.told:
            hears(asked, state)
        return state
