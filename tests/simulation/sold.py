"""What the shops' own records say of their orders."""

from __future__ import annotations

from collections.abc import Iterator

from sfsync.simulators.shopify.model import LineItem, Order

from .plan import SHOPS
from .world import World


def wanted(order: Order, line: LineItem) -> tuple[int, int]:
    """(on hand, reserved) that a line's rows should sum up to: what its shop's own record says."""
    open_units = 0 if order.cancelled_at is not None else line.unfulfilled_quantity
    returned = 0
    for refund in order.refunds:
        for row in refund.lines:
            if row.line_item is line and row.restock_type == "return":
                returned += row.quantity
    return returned - line.fulfilled_quantity, open_units


def lines(world: World) -> Iterator[tuple[str, str, Order, LineItem]]:
    """Every line sold so far: its shop, its subject, its order, and itself."""
    for name in SHOPS:
        for order in world.shops[name].selling.orders.values():
            for line in order.lines:
                yield name, f"order:{name}:{order.number}:{line.number}", order, line
