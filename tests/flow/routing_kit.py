"""A storefront that sells from two places and assigns each sale to one of them, in its own good time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import House, LittleShop

from sfsync.domain.orders import OrderLine, OrderSnapshot
from sfsync.domain.places import LinePlace
from sfsync.ports import ChannelItem, Delivery, PushAnswer, Write
from sfsync.store.tables import channel

BOND, MALL = "bond street", "the mall"  # as we call the shop's places
CALL = "please read "
PLAN = {BOND: ("BOND",), MALL: ("MALL",)}


class RoutingShop(LittleShop):
    """A shelf for each place. Its webhooks do not say who will send; its order list says it once it knows."""

    def __init__(self, *how: Any, **more: Any) -> None:
        super().__init__(*how, **more)
        self.ability = replace(self.ability, routes=True)
        self.shelves: dict[str, dict[str, int]] = {BOND: dict(self.shelf), MALL: dict(self.shelf)}
        self.knows = True  # it has assigned what it sold
        self.stuck: set[str] = set()  # places whose numbers it refuses to write
        self.asked: list[str] = []  # references of single orders
        self.written: list[tuple[int, int]] = []  # what shoppers saw of the bag after each write

    def sell(self, place: str, sku: str = "BAG-1", units: int = 1) -> str:
        """A shopper pays; the place's own number falls at once."""
        self.shelf[sku] += units  # the base class lowers the one shelf that it knows
        number = self.buy(sku, units)
        self.shelves[place][sku] -= units
        self._put(number, [LinePlace(place, units, taken_quantity=units)], version=False)
        return number

    def move(self, number: str, target: str, *, version: bool) -> None:
        """Another place is to send what is open. `version`: whether the order counts as changed by it."""
        (line,) = self.orders[number].lines
        sent = [p for p in line.places if p.fulfilled_quantity]
        for place in line.places:
            self.shelves[place.location][line.sku] += place.open_quantity
        self.shelves[target][line.sku] -= line.open_quantity
        units = line.open_quantity
        self._put(number, [*sent, LinePlace(target, units, taken_quantity=units)], version=version)

    def send(self, number: str) -> None:
        """The goods leave from where they were assigned to."""
        (line,) = self.orders[number].lines
        places = [LinePlace(p.location, 0, p.open_quantity, 0, p.taken_quantity) for p in line.places]
        self._put(number, places, version=True)

    def call_off(self, number: str) -> None:
        """Nothing of it is wanted any more; it goes back on the shelf."""
        (line,) = self.orders[number].lines
        for place in line.places:
            self.shelves[place.location][line.sku] += place.taken_quantity
        self._put(number, [], version=True)

    def keep_back(self, number: str, *, edited: bool = False) -> None:
        """Nothing of it is wanted any more, and it is not put back; nobody says where it was.

        Refunded, it stays taken. Edited, the shop does not tell whether it was put back.
        """
        order = self.orders[number]
        (line,) = order.lines
        taken = 0 if edited else line.taken_quantity
        gone = replace(
            line, open_quantity=0, taken_quantity=taken, taken_in_doubt=edited, places=(), routed=True
        )
        self.orders[number] = replace(order, version=self.clock.now(), lines=(gone,), channel_location=None)

    def age(self, number: str, seconds: float = 30) -> None:
        """It was all so much longer ago: long before the next reading of a number."""
        order, ago = self.orders[number], timedelta(seconds=seconds)
        self.orders[number] = replace(order, version=order.version - ago, placed_at=order.placed_at - ago)

    def note(self, number: str) -> None:
        """Somebody writes a note on the order: it counts as changed, and nothing of it has."""
        self.orders[number] = replace(self.orders[number], version=self.clock.now())

    def split(self, number: str, **places: int) -> None:
        """Several places share an order that one of them had."""
        (line,) = self.orders[number].lines
        names = {"bond": BOND, "mall": MALL}
        for place in line.places:
            self.shelves[place.location][line.sku] += place.taken_quantity
        for name, units in places.items():
            self.shelves[names[name]][line.sku] -= units
        shared = [LinePlace(names[name], units, taken_quantity=units) for name, units in places.items()]
        self._put(number, shared, version=True)

    def _put(self, number: str, places: list[LinePlace], *, version: bool) -> None:
        order = self.orders[number]
        (line,) = order.lines
        changed = replace(
            line,
            open_quantity=sum(place.open_quantity for place in places),
            fulfilled_quantity=sum(place.fulfilled_quantity for place in places),
            taken_quantity=sum(place.taken_quantity for place in places),
            places=tuple(places),
            routed=True,
        )
        at = self.clock.now() if version else order.version
        self.orders[number] = replace(order, version=at, lines=(changed,), channel_location=None)

    def seen(self, sku: str = "BAG-1") -> tuple[int, int]:
        """What shoppers see at the two places."""
        return self.shelves[BOND][sku], self.shelves[MALL][sku]

    def call(self, number: str, event: str) -> tuple[dict[str, str], bytes]:
        """A signed webhook that only says that an order's routing has changed."""
        body = f"{CALL}{number} {event}"
        return {"x-signature": f"signed {body}"}, body.encode()

    # -- the port

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        for place, shelf in self.shelves.items():
            for sku, units in shelf.items():
                if skus is None or sku in skus:
                    yield [ChannelItem(sku, place, f"item {sku}", place, units)]

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        return json.dumps([key, [[w.sku, w.location, w.delta, w.compare] for w in writes]]).encode()

    def _push(self, body: bytes) -> PushAnswer:
        key, rows = json.loads(body)
        if key not in self._answers:
            bad = {at: "not here" for at, (_, place, *_) in enumerate(rows) if place in self.stuck}
            for sku, place, delta, _ in rows if not bad else ():
                self.shelves[place][sku] += delta
            self.written.append(self.seen())
            self._answers[key] = PushAnswer(not bad, bad)
        return self._answers[key]

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        if delivery.dedup_key.startswith(CALL):
            return None
        told = super().read_order(delivery)
        return told and replace(told, lines=tuple(_silent(line) for line in told.lines))

    def order_called(self, delivery: Delivery) -> str | None:
        words = delivery.dedup_key.removeprefix(CALL).split()
        return words[0] if delivery.dedup_key.startswith(CALL) else None

    async def order(self, reference: str) -> OrderSnapshot | None:
        self.asked.append(reference)
        order: OrderSnapshot = self.meet(lambda: self.orders[reference])
        return order if self.knows else replace(order, lines=tuple(_silent(line) for line in order.lines))

    async def orders_since(self, at: Any) -> AsyncIterator[Sequence[OrderSnapshot]]:
        async for page in super().orders_since(at):
            yield [
                order if self.knows else replace(order, lines=tuple(_silent(line) for line in order.lines))
                for order in page
            ]


def _silent(line: OrderLine) -> OrderLine:
    """A webhook tells where goods were sent from, and nothing of those that are still to be sent."""
    sent = tuple(
        LinePlace(p.location, 0, p.fulfilled_quantity, 0, p.fulfilled_quantity)
        for p in line.places
        if p.fulfilled_quantity
    )
    return replace(line, places=sent, routed=not line.open_quantity)


def london(h: House) -> RoutingShop:
    """The only shop of these stories."""
    shop = h.shops["london"]
    assert isinstance(shop, RoutingShop)
    return shop


async def sold(h: House, place: str, sku: str = "BAG-1", units: int = 1) -> str:
    """A shopper pays, and the shop tells of it; the order's number."""
    number = london(h).sell(place, sku, units)
    await h.deliver("london", number)
    return number


async def known_for_long(h: House) -> None:
    """We knew of the shop already when the old orders of these stories were placed."""
    c = channel.c
    earlier = type_coerce(c.since, Double) - 3600.0
    await h.store.write(lambda tx: tx.connection.execute(update(channel).values({c.since: earlier})))


def routing(**more: Any) -> Mapping[str, Any]:
    """How a house is made whose shop sells from two places."""
    return {"make_shop": RoutingShop, "plan": PLAN, "shops": ("london",), **more}
