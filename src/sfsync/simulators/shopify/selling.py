"""Selling: what shoppers and shop staff do, and what it does to stock and orders.

A sale takes units from `available` to `committed`; a fulfilment takes them off `committed`;
a cancel or refund gives them back only when a restock is asked for. Articles that are denied
when sold out are never sold below zero, unless a knob lets two checkouts race.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sfsync.simulators.shopify.allocating import Allocating, NotPossible, Share, drawn
from sfsync.simulators.shopify.announcing import Announcer
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs
from sfsync.simulators.shopify.model import (
    FulfilledLine,
    Fulfillment,
    FulfillmentOrder,
    LineItem,
    Location,
    Order,
    Refund,
    RefundLine,
    Variant,
)
from sfsync.simulators.shopify.stock import Numbers, Stock

FIRST_ORDER_NUMBER = 1001


@dataclass(frozen=True, slots=True)
class Purchase:
    """What somebody wants to buy. Rows are articles with units ≥ 1."""

    rows: Sequence[tuple[Variant, int]]
    location: Location | None = None
    reference: str | None = None
    note_attributes: dict[str, str] = field(default_factory=dict)
    source_name: str = "web"
    properties: Sequence[Mapping[str, str]] = ()  # of each row; none where there are fewer


@dataclass(frozen=True, slots=True)
class RefundRow:
    """Units of a line item to refund, and whether and where they go back on the shelf."""

    line: LineItem
    quantity: int
    restock: bool
    location: Location | None = None


class Selling:
    """Carries out sales and what follows them."""

    def __init__(
        self, clock: ShopClock, numbers: Numbers, stock: Stock, announcer: Announcer, knobs: Knobs
    ) -> None:
        self._clock = clock
        self._numbers = numbers
        self._stock = stock
        self._allocating = Allocating(numbers, stock)
        self._announcer = announcer
        self._knobs = knobs
        self.orders: dict[int, Order] = {}

    async def buy(self, purchase: Purchase) -> Order:
        """Sell. Raises SoldOut; nothing is sold then."""
        for variant, quantity in purchase.rows:
            self._allocating.shares(variant, quantity, purchase.location)
        forced = False
        if self._knobs.payment_seconds:
            await self._clock.sleep(self._knobs.payment_seconds)
            forced = not self._knobs.recheck_stock_at_payment
        now = self._clock.now()
        shares = [
            self._allocating.shares(variant, units, purchase.location, forced=forced)
            for variant, units in purchase.rows
        ]
        order = Order(
            number=self._numbers.runtime("Order"),
            order_number=FIRST_ORDER_NUMBER + len(self.orders),
            created_at=now,
            updated_at=now,
            lines=[],
            reference=purchase.reference,
            note_attributes=dict(purchase.note_attributes),
            source_name=purchase.source_name,
            retail_location=purchase.location if purchase.source_name == "pos" else None,
        )
        self.orders[order.number] = order
        with self._announcer.action() as announce:
            for number, ((variant, quantity), parts) in enumerate(zip(purchase.rows, shares, strict=True)):
                line = self._add_line(order, variant, quantity, parts, cause="order")
                line.properties.update(*purchase.properties[number : number + 1])
            announce.order_created(order)
            for fulfillment_order in self._route(order):
                announce.routed(fulfillment_order)
        return order

    def may_cancel(self, order: Order) -> None:
        """Raises NotPossible when the order was called off, or when something was already sent."""
        if order.cancelled_at is not None:
            raise NotPossible("the order is cancelled already")
        if any(line.fulfilled_quantity for line in order.lines):
            raise NotPossible("the order has fulfillments that cannot be cancelled")

    def cancel(self, order: Order, *, restock: bool, reason: str = "customer", refund: bool = False) -> None:
        """Call an order off. Raises NotPossible when it was, or when something was already sent."""
        self.may_cancel(order)
        now = self._clock.now()
        with self._announcer.action() as announce:
            rows = []
            for line in order.lines:
                for location, units in self._allocating.take_off(
                    order, line, line.unfulfilled_quantity, restock, "cancel"
                ):
                    rows.append(
                        self._refund_line(line, units, "cancel" if restock else "no_restock", location)
                    )
            order.cancelled_at = order.closed_at = now
            order.cancel_reason = reason
            order.restocked = restock
            for fulfillment_order in order.fulfillment_orders:
                fulfillment_order.cancelled = True
            self._touch(order)
            kept = None
            if rows and (refund or (restock and self._knobs.cancel_emits_refund)):
                kept = self._keep_refund(order, rows, None)
            announce.order_cancelled(order)
            if kept:
                announce.refunded(kept)

    def fulfil(self, order: Order, wanted: Sequence[tuple[LineItem, int]] | None = None) -> list[Fulfillment]:
        """Send units off, all that are left when none are named; one fulfilment per location."""
        if order.cancelled_at is not None:
            raise NotPossible("the order is cancelled")
        wanted = wanted or [(line, line.unfulfilled_quantity) for line in order.lines]
        for line, units in wanted:
            if units > line.unfulfilled_quantity:
                raise NotPossible(
                    f"{line.variant.sku}: {units} to send, {line.unfulfilled_quantity} left to send"
                )
        sent: dict[int, list[FulfilledLine]] = {}
        with self._announcer.action() as announce:
            for line, units in wanted:
                for allocation, part in drawn(line, units):
                    line.fulfilled_quantity += part
                    if allocation.level:
                        self._allocating.change(allocation.level, "committed", -part, "fulfil", order)
                    row = FulfilledLine(self._numbers.runtime("FulfillmentLineItem"), line, part, allocation)
                    sent.setdefault(allocation.location.number, []).append(row)
            self._touch(order)
            made = [
                self._keep_fulfillment(order, self._stock.locations[place], rows)
                for place, rows in sent.items()
            ]
            for fulfillment in made:
                announce.fulfilled(fulfillment)
        return made

    def unfulfil(self, order: Order) -> None:
        """Take back what was sent off, as when a parcel never left; refunded units stay away."""
        held = [each for each in order.fulfillments if each.status == "success"]
        if not held or order.refunds:
            raise NotPossible("nothing was sent, or something was refunded since")
        with self._announcer.action() as announce:
            for fulfillment in held:
                for row in fulfillment.lines:
                    row.line_item.fulfilled_quantity -= row.quantity
                    row.allocation.remaining += row.quantity
                    if row.allocation.level:
                        self._allocating.change(
                            row.allocation.level, "committed", row.quantity, "unfulfil", order
                        )
                fulfillment.status, fulfillment.updated_at = "cancelled", self._clock.now()
            self._touch(order)
            for fulfillment in held:
                announce.unfulfilled(fulfillment)

    def refund(self, order: Order, rows: Sequence[RefundRow], note: str | None = None) -> Refund:
        """Refund units; those not yet sent leave the order, those sent may come back."""
        for row in rows:
            if row.quantity > row.line.current_quantity:
                raise NotPossible(f"{row.line.variant.sku}: only {row.line.current_quantity} left to refund")
        with self._announcer.action() as announce:
            lines = [made for row in rows for made in self._refund_row(order, row)]
            self._touch(order)
            left = sum(line.current_quantity for line in order.lines)
            order.financial_status = "partially_refunded" if left else "refunded"
            refund = self._keep_refund(order, lines, note)
            announce.refunded(refund)
            announce.order_updated(order)
        return refund

    def edit(
        self, order: Order, changes: Sequence[tuple[LineItem | Variant, int]], *, restock: bool = True
    ) -> list[tuple[LineItem, int]]:
        """Change units of an order: line items up or down, or articles added. Staff may go below zero."""
        if order.cancelled_at is not None:
            raise NotPossible("the order is cancelled")
        for line, delta in changes:
            if isinstance(line, LineItem) and -delta > line.unfulfilled_quantity:
                raise NotPossible(f"{line.variant.sku}: only {line.unfulfilled_quantity} can be taken off")
        with self._announcer.action() as announce:
            done = [(self._edit_line(order, line, delta, restock), delta) for line, delta in changes if delta]
            order.edited = True
            self._touch(order)
            routed = self._route(order)
            announce.order_edited(order, self._numbers.runtime("OrderEdit"), done)
            for fulfillment_order in routed:
                announce.routed(fulfillment_order)
        return done

    def move(self, order: Order, target: Location) -> None:
        """Let another location send what is still to be sent."""
        with self._announcer.action() as announce:
            old = [
                each for each in self.routed(order) if each.location is not target and each.status == "OPEN"
            ]
            if not old:
                raise NotPossible("nothing to move")
            for fulfillment_order in old:
                for line, allocation in fulfillment_order.rows:
                    self._allocating.move(order, line, allocation, target)
            if self._knobs.move_touches_order:
                self._touch(order)
            self._route(order, at_once=True)
            new = next(each for each in order.fulfillment_orders if each.location is target)
            for fulfillment_order in old:
                announce.moved(fulfillment_order, new)

    def _add_line(
        self,
        order: Order,
        variant: Variant,
        quantity: int,
        shares: list[Share],
        cause: str,
    ) -> LineItem:
        line = LineItem(
            number=self._numbers.runtime("LineItem"),
            variant=variant,
            quantity=quantity,
            current_quantity=quantity,
        )
        order.lines.append(line)
        self._allocating.allocate(order, line, shares, cause)
        return line

    def _refund_row(self, order: Order, row: RefundRow) -> list[RefundLine]:
        unsent = min(row.quantity, row.line.unfulfilled_quantity)
        made = [
            self._refund_line(row.line, units, "cancel" if row.restock else "no_restock", location)
            for location, units in self._allocating.take_off(order, row.line, unsent, row.restock, "refund")
        ]
        sent = row.quantity - unsent
        if not sent:
            return made
        row.line.current_quantity -= sent
        place = row.location or row.line.allocations[0].location
        if row.restock and row.line.variant.tracked:
            self._allocating.change(
                self._stock.connect(row.line.variant, place), "available", sent, "refund", order
            )
        made.append(self._refund_line(row.line, sent, "return" if row.restock else "no_restock", place))
        return made

    def _refund_line(self, line: LineItem, units: int, restock_type: str, location: Location) -> RefundLine:
        number = self._numbers.runtime("RefundLineItem")
        return RefundLine(
            number, line, units, restock_type, None if restock_type == "no_restock" else location
        )

    def _keep_refund(self, order: Order, lines: Sequence[RefundLine], note: str | None) -> Refund:
        refund = Refund(self._numbers.runtime("Refund"), order, self._clock.now(), note, tuple(lines))
        order.refunds.append(refund)
        return refund

    def _keep_fulfillment(self, order: Order, place: Location, rows: Sequence[FulfilledLine]) -> Fulfillment:
        now, name = self._clock.now(), f"{order.name}.{len(order.fulfillments) + 1}"
        fulfillment = Fulfillment(self._numbers.runtime("Fulfillment"), order, name, place, now, now, rows)
        order.fulfillments.append(fulfillment)
        return fulfillment

    def _edit_line(self, order: Order, line: LineItem | Variant, delta: int, restock: bool) -> LineItem:
        if isinstance(line, LineItem) and delta < 0:
            self._allocating.take_off(order, line, -delta, restock, "edit")
            return line
        variant = line if isinstance(line, Variant) else line.variant
        shares = self._allocating.shares(variant, delta, None, forced=True)
        if isinstance(line, Variant) or self._knobs.edit_raises == "new_line":
            return self._add_line(order, variant, delta, shares, "edit")
        line.quantity += delta
        line.current_quantity += delta
        self._allocating.allocate(order, line, shares, "edit")
        return line

    def routed(self, order: Order) -> list[FulfillmentOrder]:
        """The order's fulfilment orders that the outside can see by now."""
        return [each for each in order.fulfillment_orders if each.created_at <= self._clock.now()]

    def _route(self, order: Order, *, at_once: bool = False) -> list[FulfillmentOrder]:
        """Make the fulfilment orders that are missing: one for each location with units to send.

        The units were taken at the sale; who is to send them is told when the routing is done.
        """
        known = {each.location.number for each in order.fulfillment_orders}
        places = {row.location.number: row.location for line in order.lines for row in line.allocations}
        now = self._clock.now() + (0.0 if at_once else self._knobs.routing_seconds)
        made = [
            FulfillmentOrder(
                number=self._numbers.runtime("FulfillmentOrder"),
                order=order,
                location=place,
                created_at=now,
                updated_at=now,
            )
            for number, place in places.items()
            if number not in known
        ]
        order.fulfillment_orders += made
        return made

    def _touch(self, order: Order) -> None:
        order.updated_at = self._clock.now()
