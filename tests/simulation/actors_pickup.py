"""Who pays online and comes to a boutique for it: what is kept there for her, and what her orders make of it.

The shop's webhook is faster than the checkout's word or slower, she has the piece in her hand before either,
the checkout makes two orders of one cart or copies a note into a second one, an order has more than she
fetches, she comes to another boutique after all. What she was told, and what has really left, is written
down in `Fetch`, where the checkers look.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.model import Order
from sfsync.simulators.shopify.selling import Purchase, RefundRow

from .actors import Actor, Asked, asks_for, release
from .habits import FETCHED
from .plan import PLACES

LIFE_SECONDS = 3600
WAYS = ("fetch", "fetch", "fetch", "early", "early", "leave", "leave", "cancel", "move")


@dataclass(slots=True)
class Fetch:
    """One pick-up, as those know it who are concerned."""

    id: str
    shop: str
    place: str  # where she is to fetch it, as she was last told
    units: int
    orders: list[Order] = field(default_factory=list)
    named: bool = False  # its order has been named, by a note or by a confirmation that was answered
    sure: bool = True  # every answer about it came
    handed_over: bool = False  # she was given it, and sfsync has said so
    over: bool = False  # nothing more is done about it


class PickUps(Actor):
    """Customers of one shop who fetch what they buy; they do with it what no other party's orders see."""

    pace_seconds = 1.5
    acts_an_order = 0.25

    async def act(self) -> None:
        if self.world.plan.fetched_at is None:
            return
        if self.chance.random() < 0.3:
            place, units = self.chance.choice(PLACES), self.chance.choice([1, 2])
            if not await self.world.enter(FETCHED, place, "Receipt", on_hand=units):
                self.day.people[FETCHED, place] += units
        task = asyncio.create_task(self._customer(self.world.plan.fetched_at))
        task.add_done_callback(lambda done: done.cancelled() or done.result())

    async def _customer(self, shop: str) -> None:
        # How many are reserved, how many each order is for, and how many of the orders name it in a note.
        units, bought, noted = self.chance.choice(
            [(1, [1], 0), (1, [1], 1), (2, [2], 0), (2, [1, 1], 2), (1, [1, 1], 2), (1, [2], 1), (1, [2], 1)]
        )
        fetch = await self._reserve(shop, units)
        if fetch is None:
            return
        self.day.fetched.append(fetch)
        await self._story(fetch, bought, noted)
        fetch.over = True

    async def _story(self, fetch: Fetch, bought: list[int], noted: int) -> None:
        shop = fetch.shop
        for number, each in enumerate(bought):
            if not await self._buy(fetch, each, noted=number < noted):
                break
        if not fetch.orders:
            await release(self, self._asked(fetch, "granted"))
            return
        fetch.named = len(fetch.orders) <= noted
        way = self.chance.choice(WAYS) if len(fetch.orders) == len(bought) else "cancel"
        self.tell(f"{fetch.id} is sold as {[order.name for order in fetch.orders]}: {way}")
        if way == "early":
            await self._hand_over(fetch)
        await asyncio.sleep(self.chance.choice([0.0, 0.5, 4.0, 12.0]))
        if not fetch.named or self.chance.random() < 0.5:
            await self._confirm(fetch)
        if fetch.named and not fetch.handed_over and self.chance.random() < 0.5:
            await self._stranger(fetch)
        await asyncio.sleep(self.chance.choice([0.0, 3.0, 10.0]))
        if way == "cancel":
            for order in fetch.orders:
                self.world.shops[shop].selling.cancel(order, restock=True)
        if way == "move":
            await self._move(fetch)
        if way in ("fetch", "move"):
            await self._hand_over(fetch)
        await asyncio.sleep(self.chance.choice([0.0, 2.0, 8.0]))
        if fetch.handed_over:
            self._sent(fetch)

    # -- what she does

    async def _reserve(self, shop: str, units: int) -> Fetch | None:
        place = self.chance.choice(PLACES)
        line = {"sku": FETCHED, "quantity": units, "location": place}
        body = {
            "kind": "pick-up",
            "channel": shop,
            "owner": self.name,
            "lines": [line],
            "expires_in_seconds": LIFE_SECONDS,
        }
        answer = await asks_for(self, body)
        if answer is None:
            return None
        told = answer.json()
        found = told.get("reservation") or told
        number, state = str(found.get("id", "")), str(found.get("state", "unknown"))
        self.tell(f"asks for {units} {FETCHED} at {place}: {answer.status_code} {state} {number}")
        if not number:
            return None
        fetch = Fetch(number, shop, place, units)
        self.day.reservations.append(self._asked(fetch, state))
        return fetch if state == "granted" else None

    def _asked(self, fetch: Fetch, state: str) -> Asked:
        return Asked(fetch.id, fetch.shop, [(FETCHED, fetch.units)], state, private=True)

    async def _buy(self, fetch: Fetch, units: int, *, noted: bool) -> bool:
        shop = self.world.shops[fetch.shop]
        notes = {"sfsync_reservation": fetch.id} if noted else {}
        rows = [(shop.stock.by_sku[FETCHED][0], units)]
        try:
            fetch.orders.append(await shop.selling.buy(Purchase(rows, note_attributes=notes)))
        except NotPossible as error:
            self.tell(f"sold out: {error}")
            return False
        return True

    async def _confirm(self, fetch: Fetch) -> None:
        answer = await self._say(fetch, "confirm", {"order_reference": fetch.orders[0].name})
        fetch.named = fetch.named or answer == "confirm"

    async def _stranger(self, fetch: Fetch) -> None:
        """A checkout confirms it for an order that has nothing to do with it."""
        before = fetch.sure
        if await self._say(fetch, "confirm", {"order_reference": "#another"}) == "confirm":
            taken = await self._taken(fetch)
            if taken:
                self.world.violated(2, f"{fetch.id} is {taken}'s, and was confirmed for another order")
            fetch.named, fetch.sure = False, False  # another one is to have it now
        else:
            fetch.sure = before  # that it is another's was the answer

    async def _taken(self, fetch: Fetch) -> str:
        """The order that it was confirmed for, or that holds units of it, before the other one was named."""
        answer = await self.ask("GET", f"/v1/reservations/{fetch.id}")
        reference = str(answer.json().get("order_reference", "")) if answer is not None else ""
        return reference if reference in {order.name for order in fetch.orders} else ""

    async def _move(self, fetch: Fetch) -> None:
        other = next(place for place in PLACES if place != fetch.place)
        before, sure = fetch.place, fetch.sure
        fetch.place, fetch.sure = "", True  # nobody has told her where to come
        if await self._say(fetch, "move", {"location": other}) == "move":
            fetch.place = other
        elif fetch.sure:
            fetch.place = before
        fetch.sure = fetch.sure and sure

    async def _hand_over(self, fetch: Fetch) -> None:
        """Until it is answered: she has it, and it must be known whether the books have it too."""
        fetch.handed_over = await self._say(fetch, "hand-over", {"reference": "receipt"}, 400) == "hand-over"

    def _sent(self, fetch: Fetch) -> None:
        """The shop's staff call the orders done; what she did not fetch is sent, or called off."""
        selling, rest = self.world.shops[fetch.shop].selling, -fetch.units
        for order in fetch.orders:
            rest += sum(line.unfulfilled_quantity for line in order.lines)
        if rest > 0 and len(fetch.orders) == 1 and self.chance.random() < 0.6:
            selling.refund(fetch.orders[0], [RefundRow(fetch.orders[0].lines[0], rest, True)])
            self.tell(f"{fetch.shop} {fetch.orders[0].name}: {rest} is called off")
        for order in fetch.orders:
            selling.fulfil(order)
            self.tell(f"{fetch.shop} {order.name}: fulfil")

    async def _say(self, fetch: Fetch, what: str, body: Any, patience: int = 8) -> str:
        """`what` when it was done; "" when it was not, or when nobody knows."""
        for _ in range(patience):
            if self.world.violations:
                return ""
            answer = await self.ask("POST", f"/v1/reservations/{fetch.id}/{what}", body)
            if answer is not None and answer.status_code < 500 and answer.status_code not in (202, 429):
                break
            await asyncio.sleep(2.0)
        else:
            fetch.sure = False
            return ""
        told = answer.json()
        state = (told.get("reservation") or told).get("state", "")
        self.tell(f"{what} {fetch.id}: {answer.status_code} {state} {told.get('detail', '')}")
        if answer.status_code == 200:
            return what
        fetch.sure = fetch.sure and told.get("type", "").endswith((":unavailable", ":other-order"))
        return ""
