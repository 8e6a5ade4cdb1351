"""Telling the world: which webhooks follow from what happened in the shop.

Everything that one action sets off carries one event id. An order's payload is what the order
was at that moment; an inventory payload is built only when it is sent, and shows what is true then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sfsync.simulators.shopify import payloads
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs
from sfsync.simulators.shopify.model import (
    Fulfillment,
    FulfillmentOrder,
    Level,
    LineItem,
    Order,
    Refund,
    StockChange,
)
from sfsync.simulators.shopify.webhooks import WebhookSender
from sfsync.simulators.uuids import new_uuid


class Announcer:
    """Turns actions into webhook events."""

    def __init__(self, clock: ShopClock, sender: WebhookSender, rng: random.Random, knobs: Knobs) -> None:
        self._clock = clock
        self._sender = sender
        self._rng = rng
        self._knobs = knobs
        self._event_id: str | None = None

    @contextmanager
    def action(self) -> Iterator[Announcer]:
        """All that is announced inside shares an event id."""
        self._event_id = self._new_event_id()
        try:
            yield self
        finally:
            self._event_id = None

    def order_created(self, order: Order) -> None:
        self._order("orders/create", order)
        if self._knobs.create_emits_updated:
            self.order_updated(order)

    def order_updated(self, order: Order) -> None:
        self._order("orders/updated", order)

    def order_cancelled(self, order: Order) -> None:
        self._order("orders/cancelled", order)
        self.order_updated(order)

    def order_edited(self, order: Order, number: int, deltas: Sequence[tuple[LineItem, int]]) -> None:
        body = payloads.edit_payload(number, order, self._clock.now(), list(deltas))
        self._emit("orders/edited", lambda: body)
        self.order_updated(order)

    def refunded(self, refund: Refund) -> None:
        body = payloads.refund_payload(refund)
        self._emit("refunds/create", lambda: body)

    def fulfilled(self, fulfillment: Fulfillment) -> None:
        body = payloads.fulfillment_payload(fulfillment)
        self._emit("fulfillments/create", lambda: body)
        whole = fulfillment.order.fulfillment_status == "fulfilled"
        self._order("orders/fulfilled" if whole else "orders/partially_fulfilled", fulfillment.order)
        self.order_updated(fulfillment.order)

    def unfulfilled(self, fulfillment: Fulfillment) -> None:
        body = payloads.fulfillment_payload(fulfillment)
        self._emit("fulfillments/update", lambda: body)
        self.order_updated(fulfillment.order)

    def routed(self, fulfillment_order: FulfillmentOrder) -> None:
        if self._knobs.routing_webhooks:
            body, lag = payloads.routing_payload(fulfillment_order), self._knobs.routing_seconds
            self._emit("fulfillment_orders/order_routing_complete", lambda: body, lag)

    def moved(self, old: FulfillmentOrder, new: FulfillmentOrder) -> None:
        if self._knobs.routing_webhooks:
            body = payloads.moved_payload(old, new)
            self._emit("fulfillment_orders/moved", lambda: body)

    def connected(self, level: Level) -> None:
        self._emit("inventory_levels/connect", lambda: payloads.level_payload(level))

    def stock_changed(self, change: StockChange) -> None:
        """Watches the stock's record."""
        level, lag = change.level, self._knobs.inventory_payload_lag_seconds
        if change.name == "available" or self._knobs.inventory_hints_for == "any":
            self._emit("inventory_levels/update", lambda: payloads.level_payload(level), lag)
        if change.name == "available":
            now = level.variant.sellable
            before = now - change.delta
            if (before > 0) != (now > 0):
                topic = "variants/in_stock" if now > 0 else "variants/out_of_stock"
                body = payloads.variant_payload(level.variant, before)
                self._emit(topic, lambda: body)

    def _order(self, topic: str, order: Order) -> None:
        if self._sender.is_heard(topic):
            body = payloads.order_payload(order)
            self._emit(topic, lambda: body)

    def _emit(self, topic: str, build: Callable[[], Mapping[str, Any]], lag_seconds: float = 0.0) -> None:
        if self._sender.is_heard(topic):
            self._sender.emit(topic, build, self._event_id or self._new_event_id(), lag_seconds)

    def _new_event_id(self) -> str:
        return new_uuid(self._rng)
