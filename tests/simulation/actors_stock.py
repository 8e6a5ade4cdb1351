"""Who keeps the books of the stock: goods in, sales told late, counts, and folding."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx

from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.selling import RefundRow

from .actors import Actor, stock_event
from .habits import FETCHED
from .plan import PLACES, SHOPS
from .world import WAREHOUSE_TOKEN

PATIENCE = 5  # questions until somebody gives up on the daemon


class BookKeeping(Actor):
    """Somebody with an admin's token."""

    async def admin(self, path: str, body: dict[str, Any]) -> httpx.Response | None:
        return await self.ask("POST", path, body, authorization=f"Bearer {WAREHOUSE_TOKEN}")


class Storeroom(Actor):
    """Goods come in, told by the points of sale; the same event comes twice."""

    pace_seconds = 1.0
    acts_an_order = 0.1

    async def act(self) -> None:
        if not self.world.plan.habits.counts:
            return
        source, sku, place = f"goods-{len(self.day.postings) + 1}", self.sku(), self.chance.choice(PLACES)
        units = self.chance.choice([2, 3]) * (4 if sku.startswith("DEEP") else 1)
        self.day.postings[source] = (sku, place, units)
        self.tell(f"{source}: {units:+d} {sku} at {place}")
        self.day.undated.add(source)
        for _ in range(self.chance.choice([1, 1, 2])):
            await self.world.publish(stock_event(source, sku, place, units))
        self.day.happened[source] = self.world.clock.now()


class Concession(Actor):
    """A shop in a department store, whose sales (and returns) are told long after they happened."""

    pace_seconds = 0.8
    acts_an_order = 0.2

    async def act(self) -> None:
        if not self.world.plan.habits.counts:
            return
        sku, place = self.sku(), self.chance.choice(PLACES)
        units = self.chance.choice([-1, -1, -1, 1])
        if self.world.plan.fallback and units < 0:
            return  # the fallback rule may refuse it: told in its own test
        source = f"concession-{len(self.day.postings) + 1}"
        at = self.world.clock.now().replace(microsecond=0)
        self.day.happened[source] = at - timedelta(seconds=self.chance.choice([0, 2, 10, 30]))
        self.day.postings[source] = (sku, place, units)
        self.tell(f"{source}: {units:+d} {sku} at {place}, of {self.day.happened[source]:%H:%M:%S}")
        await self.world.publish(stock_event(source, sku, place, units, self.day.happened[source]))


class Counter(BookKeeping):
    """Counts stock, and hands the sheet in at once or a little later: under one id, until it is answered."""

    pace_seconds = 0.7
    acts_an_order = 0.3

    async def act(self) -> None:
        if not self.world.plan.habits.counts:
            return
        sku, place = self.sku(), self.chance.choice(PLACES)
        at = self.world.clock.now().replace(microsecond=0)
        units = int(self.world.level(sku, place)["OnHand__c"]) + self.chance.choice([0, 0, 1, -1])
        if units < 0 or (self.world.plan.fallback and units < self.world.level(sku, place)["OnHand__c"]):
            return
        name = f"sheet-{int(at.timestamp())}"
        subject = f"count:{name}:{sku}|{place}"
        if subject in self.day.counted:
            return
        await asyncio.sleep(self.chance.choice([0.0, 0.0, 3.0, 10.0]))
        row = {"id": name, "sku": sku, "location": place, "quantity": units, "counted_at": at.isoformat()}
        for _ in range(self.chance.choice([1, 1, 2])):
            for _ in range(PATIENCE):
                answer = await self.admin("/v1/counts", {"counts": [row]})
                words = "unknown" if answer is None else f"{answer.status_code} {answer.text}"
                self.tell(f"{name}: {units} {sku} at {place}: {words}")
                if answer is not None and answer.status_code < 500 and answer.status_code != 429:
                    if answer.status_code in (201, 202):
                        self.day.counted[subject] = (f"{sku}|{place}", units)
                    break
                await asyncio.sleep(3.0)


class Packer(Actor):
    """Sends an order, and soon takes a piece of it back: who hears of both at once tells them apart."""

    pace_seconds = 0.8
    acts_an_order = 0.15

    async def act(self) -> None:
        if not self.world.plan.habits.packs:
            return
        name = self.chance.choice(SHOPS)
        selling = self.world.shops[name].selling
        waiting = [each for each in selling.orders.values() if not each.fulfillments]
        waiting = [each for each in waiting if any(line.unfulfilled_quantity for line in each.lines)]
        waiting = [each for each in waiting if all(line.variant.sku != FETCHED for line in each.lines)]
        if not waiting:
            return
        order = self.chance.choice(waiting[-20:])
        try:
            selling.fulfil(order)
            self.tell(f"{name} {order.name}: sent")
            await asyncio.sleep(self.chance.choice([1.0, 3.0, 10.0]))
            sent = [line for line in order.lines if line.fulfilled_quantity and line.current_quantity]
            if sent:
                line = self.chance.choice(sent)
                selling.refund(order, [RefundRow(line, 1, True)])
                self.tell(f"{name} {order.name}: 1 {line.variant.sku} has come back")
        except NotPossible as error:
            self.tell(f"{name} {order.name}: not possible: {error}")


class Bookkeeper(BookKeeping):
    """Has the ledger folded while everybody sells: whatever is closed, however young it is."""

    pace_seconds = 4.0
    acts_an_order = 0.06

    async def act(self) -> None:
        if not self.world.plan.habits.folds:
            return
        wish: dict[str, Any] = {"older_than_days": 0}
        if self.chance.random() < 0.5:
            wish["sku"] = self.sku()
        answer = await self.admin("/v1/ledger/fold", wish)
        self.tell(f"folds {wish}: {answer.status_code if answer is not None else 'unknown'}")
