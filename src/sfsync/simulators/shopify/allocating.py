"""Which location gives the units of an order, and how they come back.

Units of a sale go from `available` to `committed` at the location they are assigned to.
"""

from __future__ import annotations

from typing import TypeAlias

from sfsync.simulators.shopify.model import Allocation, Level, LineItem, Location, Order, Variant
from sfsync.simulators.shopify.stock import Numbers, Stock

# Location, its level (None where stock is not tracked), and units.
Share: TypeAlias = tuple[Location, Level | None, int]


class NotPossible(Exception):
    """The shop refuses; the words say why."""


class SoldOut(NotPossible):
    """Fewer units are left than somebody wants to buy."""

    def __init__(self, sku: str | None, wanted: int, left: int) -> None:
        super().__init__(f"{sku}: {wanted} wanted, {left} left")
        self.sku = sku
        self.left = left


class Allocating:
    """Assigns units of orders to locations, and takes them back."""

    def __init__(self, numbers: Numbers, stock: Stock) -> None:
        self._numbers = numbers
        self._stock = stock

    def shares(
        self, variant: Variant, quantity: int, location: Location | None, *, forced: bool = False
    ) -> list[Share]:
        """Which location gives how many units."""
        places = (
            [location]
            if location
            else [p for p in self._stock.locations.values() if p.fulfills_online_orders]
        )
        places = [place for place in places if place.is_active]
        if not variant.tracked and places:
            return [(places[0], None, quantity)]
        levels = [level for p in places if (level := self._stock.level(variant, p)) and level.is_active]
        for level in levels:
            if level.quantities["available"] >= quantity:
                return [(level.location, level, quantity)]
        left = sum(max(level.quantities["available"], 0) for level in levels)
        if levels and (forced or variant.inventory_policy == "CONTINUE"):
            return [(levels[0].location, levels[0], quantity)]
        if left < quantity:
            raise SoldOut(variant.sku, quantity, left)
        shares: list[Share] = []
        for level in levels:
            units = min(max(level.quantities["available"], 0), quantity)
            if units:
                shares.append((level.location, level, units))
                quantity -= units
        return shares

    def allocate(self, order: Order, line: LineItem, shares: list[Share], cause: str) -> None:
        """Commit units to a line item, as the shares say."""
        for location, level, units in shares:
            if level:
                self.change(level, "available", -units, cause, order)
                self.change(level, "committed", units, cause, order)
            number = self._numbers.runtime("FulfillmentOrderLineItem")
            line.allocations.append(Allocation(number, level, location, units, units))

    def take_off(
        self, order: Order, line: LineItem, units: int, restock: bool, cause: str
    ) -> list[tuple[Location, int]]:
        """Units that were not sent leave the order, to the shelf with a restock; answers from where."""
        line.current_quantity -= units
        taken = []
        for allocation, part in drawn(line, units):
            allocation.total -= part
            if allocation.level:
                self.change(allocation.level, "committed", -part, cause, order)
                if restock:
                    self.change(allocation.level, "available", part, cause, order)
            taken.append((allocation.location, part))
        return taken

    def move(self, order: Order, line: LineItem, allocation: Allocation, target: Location) -> None:
        """Let another place give what is still to be sent."""
        if allocation.level:
            self.change(allocation.level, "committed", -allocation.remaining, "move", order)
            self.change(allocation.level, "available", allocation.remaining, "move", order)
            allocation.level = self._stock.connect(line.variant, target)
            self.change(allocation.level, "available", -allocation.remaining, "move", order)
            self.change(allocation.level, "committed", allocation.remaining, "move", order)
        allocation.location = target

    def change(self, level: Level, name: str, delta: int, cause: str, order: Order) -> None:
        """Change a level on account of an order."""
        self._stock.change(level, name, delta, cause, order_name=order.name)


def drawn(line: LineItem, units: int) -> list[tuple[Allocation, int]]:
    """Take `units` off what is left to send, location by location."""
    drawn = []
    for allocation in line.allocations:
        part = min(allocation.remaining, units)
        if part > 0:
            allocation.remaining -= part
            units -= part
            drawn.append((allocation, part))
    return drawn
