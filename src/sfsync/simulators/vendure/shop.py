"""The shop's books: what is on hand and allocated, orders, and the movements made for each of their lines.

An order allocates; a fulfilment takes both on hand and allocated down; a cancellation releases what was not
sent, and puts back on hand what was. All of it as Vendure 3.7.3 does it, mistakes included: a line that draws
on two locations may allocate more than it has, and then its fulfilment does not take all of it back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.vendure.config import ShopConfig


class NotPossible(Exception):
    """What somebody asked for cannot be; says why."""


@dataclass(slots=True)
class Level:
    """One variant at one stock location."""

    on_hand: int = 0
    allocated: int = 0


@dataclass(slots=True)
class Variant:
    """What is bought."""

    number: str
    sku: str
    tracked: bool
    threshold: int
    levels: dict[str, Level]

    def saleable(self) -> int:
        """Units that shoppers may still buy."""
        return sum(each.on_hand - each.allocated for each in self.levels.values()) - self.threshold


@dataclass(slots=True)
class Place:
    """What was moved for a line at one stock location."""

    allocated: int = 0
    released: int = 0
    sold: int = 0
    cancelled: int = 0
    returns: list[tuple[float, int]] = field(default_factory=list)  # when, and how many


@dataclass(slots=True)
class Fulfilment:
    """A parcel: what stands with it, and since when."""

    state: str
    changed_at: float


@dataclass(slots=True)
class Line:
    """One line of an order."""

    number: str
    variant: Variant
    quantity: int
    placed: int
    places: dict[str, Place] = field(default_factory=dict)
    sent: list[tuple[int, str]] = field(default_factory=list)  # units, and the fulfilment they are of


@dataclass(slots=True)
class Order:
    """One order of a shopper; a cart while it has no `placed_at`."""

    number: str
    code: str
    placed_at: float | None
    changed_at: float
    lines: list[Line]
    state: str = "PaymentSettled"
    refunded: int = 0

    @property
    def amount(self) -> int:
        """What was paid, in pence."""
        return sum(line.placed for line in self.lines) * 1000


class Shop:
    """One shop; `tell` is called with each order that has changed."""

    def __init__(self, config: ShopConfig, clock: ShopClock) -> None:
        self.config, self.clock = config, clock
        self.tell: Callable[[Order], None] = lambda _: None
        self.locations = {str(n): name for n, name in enumerate(config.locations, 1)}
        numbers = {name: number for number, name in self.locations.items()}
        self.variants = {
            str(n): Variant(
                str(n),
                seed.sku,
                seed.tracked,
                seed.threshold,
                {numbers[name]: Level(units) for name, units in seed.stock.items()},
            )
            for n, seed in enumerate(config.variants, 1)
        }
        self.orders: dict[str, Order] = {}
        self.fulfilments: dict[str, Fulfilment] = {}
        self._numbers, self._lines, self._allocations = (itertools.count(1) for _ in range(3))

    # -- the admin's side

    def set_on_hand(self, rows: Sequence[tuple[str, str, int]]) -> None:
        """Numbers on hand as they are given: all of them or none. Raises NotPossible."""
        for variant, location, _ in rows:
            if variant not in self.variants:
                raise NotPossible(f'No ProductVariant with the id "{variant}" could be found')
            if location not in self.locations:
                raise NotPossible("FOREIGN KEY constraint failed")
        for variant, location, units in rows:
            self.variants[variant].levels.setdefault(location, Level()).on_hand = units

    # -- shoppers and staff

    def buy(self, units: Mapping[str, int], *, pay: bool = True) -> Order:
        """A shopper orders; without paying it stays a cart."""
        lines = []
        for sku, wanted in units.items():
            variant = next((each for each in self.variants.values() if each.sku == sku), None)
            if variant is None or wanted < 1:
                raise NotPossible(f"nobody can buy {wanted} of {sku!r}")
            if variant.tracked and variant.saleable() < wanted:
                raise NotPossible(f"there are only {variant.saleable()} of {sku!r}")
            lines.append(Line(str(next(self._lines)), variant, wanted, wanted))
        now, number = self.clock.now(), str(next(self._numbers))
        order = Order(number, f"CODE{number.zfill(4)}", now if pay else None, now, lines)
        self.orders[number] = order
        if not pay:
            order.state = "AddingItems"
            return order
        for line in lines:
            self._allocate(line)
        self._changed(order)
        return order

    def send(self, number: str, units: int | None = None) -> Order:
        """Staff send what is open, or so many units of each line."""
        order = self._order(number)
        for line in order.lines:
            part = line.quantity - sum(sent for sent, _ in line.sent)
            part = part if units is None else min(part, units)
            if part < 1:
                continue
            fulfilment = str(len(self.fulfilments) + 1)
            self.fulfilments[fulfilment] = Fulfilment("Shipped", self.clock.now())
            line.sent.append((part, fulfilment))
            for location, taken in self._by_allocations(line, part):
                self._place(line, location).sold += part  # the whole of it at each, as Vendure has it
                level = line.variant.levels[location]
                level.allocated -= taken
                level.on_hand -= taken
        order.state = "Shipped"
        self._changed(order)
        return order

    def cancel(self, number: str, units: int | None = None) -> Order:
        """All of an order is called off, or so many units of each line; what was not sent is released."""
        order = self._order(number)
        if order.placed_at is None:
            raise NotPossible("Cannot cancel OrderLines from an Order in the AddingItems state")
        called_off = {line.number: min(line.quantity, units or line.quantity) for line in order.lines}
        if not any(called_off.values()):
            raise NotPossible("At least one OrderLine must be specified")
        for line in order.lines:
            part = called_off[line.number]
            held = sum(place.allocated - place.released - place.sold for place in line.places.values())
            sent = sum(n for n, _ in line.sent) - sum(place.cancelled for place in line.places.values())
            for location, taken in self._by_allocations(line, min(sent, part)):
                place = self._place(line, location)
                place.cancelled += taken
                place.returns.append((self.clock.now(), taken))
                line.variant.levels[location].on_hand += taken
            for location, taken in self._by_allocations(line, min(max(0, held), part)):
                self._place(line, location).released += taken
                line.variant.levels[location].allocated -= taken
            line.quantity -= part
        if not any(line.quantity for line in order.lines):
            order.state = "Cancelled"
        self._changed(order)
        return order

    def _order(self, number: str) -> Order:
        if number not in self.orders:
            raise NotPossible(f"there is no order {number}")
        return self.orders[number]

    def _changed(self, order: Order) -> None:
        order.changed_at = self.clock.now()
        self.tell(order)

    def _allocate(self, line: Line) -> None:
        total, knobs = 0, self.config.knobs
        for location in self.locations:
            level = line.variant.levels.get(location)
            free = (
                10**9 if not line.variant.tracked else 0 if level is None else level.on_hand - level.allocated
            )
            if level is None or free - line.variant.threshold <= 0:
                continue
            part = min(line.quantity - (0 if knobs.over_allocates else total), free - line.variant.threshold)
            self._place(line, location).allocated += part
            if line.variant.tracked and not (knobs.miscounts and next(self._allocations) % 2):
                level.allocated += part
            total += part
            if total >= line.quantity:
                return

    def miscounted(self, variant: Variant, location: str) -> int:
        """By how much the allocated number differs from what was moved."""
        moved = sum(
            place.allocated - place.released - place.sold
            for order in self.orders.values()
            for line in order.lines
            if line.variant is variant and (place := line.places.get(location))
        )
        return variant.levels.get(location, Level()).allocated - moved

    def _by_allocations(self, line: Line, units: int) -> list[tuple[str, int]]:
        found = []
        for location, place in line.places.items():
            part = min(place.allocated, units)
            if part > 0:
                found.append((location, part))
                units -= part
        return found

    def _place(self, line: Line, location: str) -> Place:
        return line.places.setdefault(location, Place())
