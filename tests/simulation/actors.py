"""Who acts in the world: shoppers, the shops' staff, tills, people in the org, and parties that reserve.

Each actor has chance of its own and acts until the day is over. What it did is written down where the
checkers look: at the world's parts, and in `Day`. A new actor is one more class in `ACTORS`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, ClassVar

import httpx

from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.model import Order
from sfsync.simulators.shopify.selling import Purchase, RefundRow
from sfsync.simulators.shopify.shop import Shop

from .habits import FETCHED
from .plan import IN_TRANSIT, PLACES, SHOPS, UNKNOWN
from .world import WAREHOUSE_TOKEN, World


@dataclass(slots=True)
class Asked:
    """A reservation as its party knows it."""

    id: str
    channel: str | None
    lines: list[tuple[str, int]]
    state: str  # granted, pending, confirmed, released, refused, unknown
    order: str = ""
    life_seconds: float = 0.0
    place: str = ""  # of a client's: where the pieces lie
    until: float = 0.0  # when it expires, as its party was told
    private: bool = False  # nobody but its own party does anything with it
    in_hand: bool = False  # of a piece on a shop floor: the shop's people have put it aside
    kept_until: float = 0.0  # it holds its units until then, whatever happens; 0: nobody counts on it
    left: int | None = None  # how many were left there, as sfsync knew when its party asked or paid
    beside: list[Asked] = field(default_factory=list)  # the carts that lay there at that time, it among them


@dataclass(slots=True)
class Day:
    """What was done so far, by those who did it."""

    orders: int = 0
    postings: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # source id -> SKU, place, units
    poison: list[str] = field(default_factory=list)  # source ids of events that nobody can understand
    people: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))  # entered by hand
    transfers: dict[str, dict[str, int]] = field(default_factory=dict)  # event id -> units by level
    happened: dict[str, datetime] = field(default_factory=dict)  # when; of postings and transfers
    undated: set[str] = field(default_factory=set)  # postings that their till told without a date
    counted: dict[str, tuple[str, int]] = field(default_factory=dict)  # subject -> level, what was counted
    copies: dict[str, str] = field(default_factory=dict)  # a shop's order -> the id of its copy in the org
    answered: list[str] = field(default_factory=list)  # transfers that the daemon said it has
    fetched: list[Any] = field(default_factory=list)  # pick-ups (`actors_pickup.Fetch`)
    reservations: list[Asked] = field(default_factory=list)
    granted: list[Callable[[Asked], None]] = field(default_factory=list)  # told of each at once
    told: list[Callable[[Asked, str], None]] = field(default_factory=list)  # what a party was told it is
    short: list[Callable[[bool], None]] = field(default_factory=list)  # told of the org's calls: over again?
    away: list[Callable[[bool], None]] = field(default_factory=list)  # told of the org's absence: over again?
    known: Callable[[str], int | None] = lambda level: None  # units on hand there, as sfsync knows
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Actor:
    """Acts now and then until the day is over."""

    pace_seconds: ClassVar[float] = 2.0
    acts_an_order: ClassVar[float] = 0.3  # at most, for each order that the day is to see

    def __init__(self, world: World, day: Day) -> None:
        self.world, self.day = world, day
        self.name = type(self).__name__.lower()
        self.chance: Random = world.chance(self.name)

    async def run(self) -> None:
        """Until the day is over."""
        for _ in range(int(self.acts_an_order * self.world.plan.orders)):
            await asyncio.sleep(self.chance.expovariate(1 / (self.pace() * self.world.plan.haste)))
            if self.day.over.is_set():
                return
            await self.act()

    def pace(self) -> float:
        return self.pace_seconds

    async def act(self) -> None:
        raise NotImplementedError

    def tell(self, what: str) -> None:
        self.world.story.tell(self.name, what)

    def sku(self) -> str:
        """Scarce articles are looked at more often than there are of them."""
        skus = self.world.plan.skus
        deep = [sku for sku in skus if sku.startswith("DEEP")]
        return self.chance.choice(deep if self.chance.random() < 0.6 else skus)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response | None:
        """A call to the daemon; None when nobody knows what came of it."""
        try:
            return await self.world.web.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            self.tell(f"{method} {path}: {type(error).__name__}")
            return None


class InTheEvening(Actor):
    """Acts once more when the day is over and nothing else goes wrong."""

    async def run(self) -> None:
        """All day, and once after it."""
        await super().run()
        await self.day.over.wait()
        if not self.world.violations:
            await self.act()

    def shown(self, shop: str, sku: str) -> int:
        """Units that a shop offers, at all its locations."""
        levels = self.world.shops[shop].stock.by_sku[sku][0].levels.values()
        return sum(max(0, level.quantities["available"]) for level in levels)

    async def shows(self, sku: str, units: int) -> bool:
        """Wait until both shops offer so many; False when one has lost patience before that."""
        for _ in range(20):
            await asyncio.sleep(0.5)
            if all(self.shown(shop, sku) >= units for shop in SHOPS):
                return True
        return False


class Shopper(Actor):
    """Buys at one shop what it shows; a gated article is asked for first."""

    shop_name: ClassVar[str] = ""
    acts_an_order = 100.0  # they come until the day is over

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self.shop: Shop = world.shops[self.shop_name]
        self._disappointed = 1.0
        self._haste: Random = world.chance(f"{self.name} at once")

    def pace(self) -> float:
        return self.world.plan.pace_seconds * self._disappointed

    async def act(self) -> None:
        if self.chance.random() < 0.02:
            await self._buy({UNKNOWN: 1}, None)
            return
        wanted = {self.sku(): self.chance.choice([1, 1, 1, 2])}
        if self.chance.random() < 0.2:
            wanted.setdefault(self.sku(), 1)
        if not any(sku.startswith("GATED") for sku in wanted):
            await self._buy(wanted, None)
            return
        task = asyncio.create_task(self._ask_and_buy(wanted))
        task.add_done_callback(lambda done: done.cancelled() or done.result())

    async def _ask_and_buy(self, wanted: dict[str, int]) -> None:
        asked = await reserve(self, wanted, self.shop_name, 120)
        if asked is None or asked.state != "granted":
            return
        await asyncio.sleep(self.chance.random() * 5)
        order = await self._buy(wanted, asked)
        if order is None:
            await release(self, asked)
            return
        asked.order = order.name
        for _ in range(5):
            answer = await self.ask(
                "POST", f"/v1/reservations/{asked.id}/confirm", {"order_reference": order.name}
            )
            if answer is not None and answer.status_code == 200:
                asked.state = "confirmed"
                return
            if answer is not None and answer.status_code < 500 and answer.status_code != 429:
                asked.state = "unknown"
                return
            await asyncio.sleep(3.0)
        asked.state = "unknown"

    async def _buy(self, wanted: dict[str, int], asked: Asked | None) -> Order | None:
        rows = [(self.shop.stock.by_sku[sku][0], units) for sku, units in wanted.items()]
        notes = {}
        if asked is not None and self.chance.random() < 0.7:  # else only the confirmation names the order
            notes["sfsync_reservation"] = asked.id
        try:
            order = await self.shop.selling.buy(Purchase(rows, note_attributes=notes))
        except NotPossible as error:
            self.tell(f"sold out: {error}")
            self._disappointed = min(100.0, self._disappointed * 1.3)
            return None
        self._disappointed = 1.0
        self.day.orders += 1
        self.tell(f"buys {wanted} as {order.name} ({order.number})" + (f" on {asked.id}" if asked else ""))
        if self._haste.random() < self.world.plan.habits.at_once:
            self._send(order)
        return order

    def _send(self, order: Order) -> None:
        """Its webhook says that it has left: the first that is heard of it."""
        try:
            self.shop.selling.fulfil(order)
        except NotPossible as error:
            self.tell(f"{order.name}: not possible: {error}")
        else:
            self.tell(f"{order.name} is sent at once")


class London(Shopper):
    shop_name = "london"


class Dubai(Shopper):
    shop_name = "dubai"


class Staff(Actor):
    """Edits, cancels, sends, refunds: whatever a shop's own people do with orders."""

    pace_seconds = 0.3
    acts_an_order = 0.6

    async def act(self) -> None:
        name = self.chance.choice(SHOPS)
        shop = self.world.shops[name]
        orders = list(shop.selling.orders.values())[-40:]
        if not orders:
            return
        order = self.chance.choice(orders)
        if any(line.variant.sku == FETCHED for line in order.lines):
            return  # whoever comes for it does what is done with it
        verb = self.chance.choice(
            ["fulfil", "fulfil", "part", "cancel", "refund", "refund", "edit", "edit", "unfulfil"]
        )
        try:
            done = getattr(self, f"_{verb}")(shop, order)
        except NotPossible as error:
            self.tell(f"{name} {order.name}: not possible: {error}")
        else:
            self.tell(f"{name} {order.name}: {verb} {done}")

    def _fulfil(self, shop: Shop, order: Order) -> str:
        if all(line.unfulfilled_quantity == 0 for line in order.lines):
            return "nothing left"
        shop.selling.fulfil(order)
        return ""

    def _part(self, shop: Shop, order: Order) -> str:
        line = self.chance.choice(order.lines)
        if not line.unfulfilled_quantity:
            return "nothing left"
        shop.selling.fulfil(order, [(line, 1)])
        return f"1 {line.variant.sku}"

    def _cancel(self, shop: Shop, order: Order) -> str:
        restock = self.chance.random() < 0.7
        shop.selling.cancel(order, restock=restock)
        return f"restock={restock}"

    def _refund(self, shop: Shop, order: Order) -> str:
        line = self.chance.choice(order.lines)
        if not line.current_quantity:
            return "nothing left"
        units = self.chance.randint(1, line.current_quantity)
        restock = self.chance.random() < 0.6
        shop.selling.refund(order, [RefundRow(line, units, restock)])
        return f"{units} {line.variant.sku} restock={restock}"

    def _edit(self, shop: Shop, order: Order) -> str:
        line = self.chance.choice(order.lines)
        if line.variant.sku == UNKNOWN:
            return "left alone"
        delta = self.chance.choice([1, -1])
        restock = self.chance.random() < 0.7
        shop.selling.edit(order, [(line, delta)], restock=restock)
        return f"{delta:+d} {line.variant.sku} restock={restock}"

    def _unfulfil(self, shop: Shop, order: Order) -> str:
        shop.selling.unfulfil(order)
        return ""


class Router(Actor):
    """Lets another of a shop's locations send what is still to be sent."""

    pace_seconds = 0.8
    acts_an_order = 0.2

    async def act(self) -> None:
        shop = self.world.shops["dubai"]
        orders = list(shop.selling.orders.values())[-20:]
        if self.world.plan.habits.mall is None or not orders:
            return
        order, target = self.chance.choice(orders), self.chance.choice(list(shop.stock.locations.values()))
        try:
            shop.selling.move(order, target)
        except NotPossible as error:
            self.tell(f"{order.name} to {target.name}: not possible: {error}")
        else:
            self.tell(f"{order.name} is sent from {target.name}")


class Till(Actor):
    """A point of sale that publishes what it sold; it repeats itself, and sometimes talks nonsense."""

    pace_seconds = 0.5

    async def act(self) -> None:
        number = len(self.day.postings) + len(self.day.poison) + 1
        place = self.chance.choice(PLACES)
        if self.chance.random() < 0.03:
            source = f"till-{number}"
            self.day.poison.append(source)
            await self.world.publish(stock_event(source, *NONSENSE))
            self.tell(f"{source}: nonsense")
            return
        if self.day.postings and self.chance.random() < 0.15:
            source = self.chance.choice(list(self.day.postings))
            sku, place, units = self.day.postings[source]
            self.tell(f"{source}: again")
        else:
            source, sku = f"till-{number}", self.sku()
            units = self.chance.choice([-1, -1, -1, 1])
            if self.world.plan.fallback and units < 0:
                return  # the fallback rule may refuse it: told in its own test
            self.day.postings[source] = (sku, place, units)
            self.tell(f"{source}: {units:+d} {sku} at {place}")
        if source not in self.day.happened:
            self.day.undated.add(source)
        await self.world.publish(stock_event(source, sku, place, units, self.day.happened.get(source)))
        # Told at once it needs no date; who tells it again says when it was.
        self.day.happened.setdefault(source, self.world.clock.now())


NONSENSE = ("no|sku", PLACES[0], -1)


def stock_event(source: str, sku: str, place: str, units: int, at: datetime | None = None) -> dict[str, Any]:
    """What a point of sale publishes of units sold, brought back (one) or received (several)."""
    return {
        "SourceId__c": source,
        "Kind__c": "Sale" if units < 0 else "Return" if units == 1 else "Receipt",
        **({"OccurredAt__c": at} if at is not None else {}),
        "Sku__c": sku,
        "LocationCode__c": place,
        "Quantity__c": float(units),
        "Reference__c": source,
    }


class People(Actor):
    """Receipts, counts and sales entered by hand in the org."""

    pace_seconds = 0.6

    async def act(self) -> None:
        sku, place = self.sku(), self.chance.choice(PLACES)
        kind, units = self.chance.choice(
            [("Receipt", 1), ("Receipt", 2), ("Receipt", 3), ("Sale", -1), ("Count", 1), ("Count", -1)]
        )
        if sku.startswith("DEEP") and units > 0:
            units *= 4
        refused = await self.world.enter(sku, place, kind, on_hand=units)
        if refused:
            self.tell(f"{kind} {units:+d} {sku} at {place}: {refused}")
            return
        self.day.people[sku, place] += units
        self.tell(f"{kind} {units:+d} {sku} at {place}")


class Client(Actor):
    """A party that reserves, and then confirms, releases or forgets."""

    pace_seconds = 0.8
    acts_an_order = 0.2

    async def act(self) -> None:
        open_ones = [
            one
            for one in self.day.reservations
            if one.state == "granted" and one.channel is None and not one.private
        ]
        if open_ones and self.chance.random() < 0.5:
            await release(self, self.chance.choice(open_ones))
            return
        wanted = {self.sku(): self.chance.choice([1, 1, 2])}
        if self.chance.random() < 0.3:
            wanted.setdefault(self.sku(), 1)
        await reserve(self, wanted, None, self.chance.choice([20, 60, 3600]))


class Rush(Actor):
    """Many want one piece in the same moment: it is sold over the counter while a client still holds it.

    The client gives it back as others ask for it. What was given back must not be seen as free by them: it is
    gone. Release and question wait for the org together, which is when they could end up in one request.
    """

    pace_seconds = 1.0
    acts_an_order = 0.15

    async def act(self) -> None:
        held = [
            one
            for one in self.day.reservations
            if one.state == "granted" and one.place and len(one.lines) == 1 and not one.private
        ]
        held = [one for one in held if not one.lines[0][0].startswith("DEEP")]
        if not held:
            scarce = self.chance.choice([sku for sku in self.world.plan.skus if not sku.startswith("DEEP")])
            place = self.chance.choice(PLACES)
            await self._by_hand("Receipt", scarce, place, 1)
            await reserve(self, {scarce: 1}, None, 3600, place)
            return
        client = self.chance.choice(held)
        (sku, _), place = client.lines[0], client.place
        for _ in range(3):  # until somebody's piece is gone; the fallback rule lets no such sale in
            if self._available(sku, place) < 0 or not await self._by_hand("Sale", sku, place, -1):
                break
        others = [reserve(self, {sku: 1}, None, 60, place) for _ in range(3)]
        await asyncio.gather(*others[:1], release(self, client), *others[1:])
        await self._by_hand("Receipt", sku, place, self.chance.choice([1, 2]))

    async def _by_hand(self, kind: str, sku: str, place: str, units: int) -> bool:
        refused = await self.world.enter(sku, place, kind, on_hand=units)
        self.tell(f"{kind} {units:+d} {sku} at {place}: {refused or 'entered'}")
        if not refused:
            self.day.people[sku, place] += units
        return not refused

    def _available(self, sku: str, place: str) -> int:
        level = self.world.level(sku, place)
        return int(level["OnHand__c"] - level["Reserved__c"])


class Carrier(Actor):
    """Brings goods from one place to the other; now and then another number arrives than was sent."""

    acts_an_order = 0.05

    async def act(self) -> None:
        sku = self.chance.choice([sku for sku in self.world.plan.skus if sku.startswith("DEEP")])
        origin, target = self.chance.sample(PLACES, 2)
        units, number = self.chance.randint(1, 3), f"transfer-{len(self.day.transfers) + 1}"
        way = f"{sku}|{IN_TRANSIT}"
        told = {"number": number, "sku": sku}
        leaves = {f"{sku}|{origin}": -units, way: units}
        await self._tell_of({**told, "stage": "sent", "quantity": units, "from": origin}, leaves)
        await asyncio.sleep(self.chance.choice([0.0, 2.0]))
        came = units + self.chance.choice([0, 0, 0, -1, 1])
        if came > 0:
            arrives = {way: -came, f"{sku}|{target}": came}
            await self._tell_of({**told, "stage": "received", "quantity": came, "to": target}, arrives)

    async def _tell_of(self, event: dict[str, Any], units: dict[str, int]) -> None:
        """Until it is answered, and sometimes once more: one event, the same bytes."""
        name = f"{event['number']}-{event['stage']}"
        self.day.happened[name] = self.world.clock.now()
        body = {**event, "id": name, "occurred_at": self.day.happened[name].isoformat()}
        self.day.transfers[name] = units
        for _ in range(self.chance.choice([1, 1, 2])):
            for _ in range(5):
                answer = await self.ask(
                    "POST", "/v1/transfers", body, authorization=f"Bearer {WAREHOUSE_TOKEN}"
                )
                self.tell(f"{name}: {units}: {answer.status_code if answer is not None else 'unknown'}")
                if answer is not None and answer.status_code in (201, 202):
                    self.day.answered.append(name)
                    break
                if answer is not None and answer.status_code < 500 and answer.status_code != 429:
                    self.world.violated(4, f"the transfer {name} was refused: {answer.text}")
                    return
                await asyncio.sleep(3.0)


async def reserve(
    actor: Actor,
    wanted: dict[str, int],
    channel: str | None,
    life_seconds: int,
    place: str = "",
    unit: str = "",
) -> Asked | None:
    """Ask for a reservation, the same again when its answer is lost. A client's is at one place."""
    place = place or actor.chance.choice(PLACES)
    lines = [
        {
            "sku": sku,
            "quantity": units,
            **({} if channel else {"location": place}),
            **({"unit": unit} if unit else {}),
        }
        for sku, units in wanted.items()
    ]
    body = {
        "kind": "cart" if channel else "client",
        "owner": actor.name,
        "lines": lines,
        "expires_in_seconds": life_seconds,
        **({"channel": channel} if channel else {}),
    }
    answer = await asks_for(actor, body)
    if answer is None:
        return None
    told = answer.json()
    states = {201: told.get("state", "granted"), 202: "pending", 409: "refused", 200: told.get("state")}
    state = states.get(answer.status_code) or "unknown"
    number = str((told.get("reservation") or told).get("id", ""))
    actor.tell(f"reserves {wanted} for {channel or 'a client'}: {answer.status_code} {state} {number}")
    if not number:
        return None
    asked = Asked(number, channel, list(wanted.items()), state, life_seconds=life_seconds)
    asked.place = "" if channel else place
    asked.until = actor.world.seconds(told.get("expires_at"))
    actor.day.reservations.append(asked)
    if state == "granted":
        for told in actor.day.granted:
            told(asked)
    return asked


async def asks_for(actor: Actor, body: Mapping[str, Any]) -> httpx.Response | None:
    """The answer to a wish for a reservation, asked up to three times under one key; None: there is none."""
    key = f"{actor.name}-{actor.chance.getrandbits(64):x}"
    for _ in range(3):
        answer = await actor.ask("POST", "/v1/reservations", body, **{"idempotency-key": key})
        if answer is not None and answer.status_code < 500:
            return answer
        await asyncio.sleep(2.0)
    return None


async def release(actor: Actor, asked: Asked) -> None:
    """Give a reservation back."""
    answer = await actor.ask("POST", f"/v1/reservations/{asked.id}/release")
    actor.tell(f"releases {asked.id}: {answer.status_code if answer is not None else 'unknown'}")
    if answer is not None and answer.status_code == 200:
        asked.state = str(answer.json()["state"])


ACTORS: list[type[Actor]] = [London, Dubai, Staff, Till, People, Client, Rush, Carrier]
