"""Listings, orders and feeds of one seller in one store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sfsync.simulators.amazon.config import StoreConfig
from sfsync.simulators.shopify.clock import ShopClock

MOST_UNITS = 1_000_000_000
AVAILABILITY = "/attributes/fulfillment_availability"


class NotPossible(Exception):
    """What somebody asked for cannot be; says why."""


@dataclass(slots=True)
class Listing:
    """One SKU; `quantity` is what the seller makes available of it."""

    sku: str
    quantity: int
    by_amazon: bool = False


@dataclass(slots=True)
class Item:
    """One item of an order."""

    number: str
    listing: Listing
    ordered: int
    unfulfilled: int
    fulfilled: int = 0


@dataclass(slots=True)
class Order:
    """One order of a shopper."""

    number: str
    created_at: float
    updated_at: float
    status: str
    items: list[Item]


@dataclass(slots=True)
class Feed:
    """A feed: the messages' issues by their ids, once it is processed."""

    number: str
    document: str
    due_at: float
    apply: bool
    fatal: bool = False
    ended_at: float | None = None
    issues: list[dict[str, Any]] = field(default_factory=list)
    messages: int = 0


@dataclass(slots=True)
class Change:
    """A number that was accepted and is not shown yet."""

    due_at: float
    listing: Listing
    quantity: int


class Store:
    """Amazon's own books, and what people do there."""

    def __init__(self, config: StoreConfig, clock: ShopClock) -> None:
        self.config, self.clock = config, clock
        self.listings = {
            sku: Listing(sku, units, sku in config.by_amazon) for sku, units in config.listings.items()
        }
        self.orders: dict[str, Order] = {}
        self.feeds: dict[str, Feed] = {}
        self.documents: dict[str, bytes] = {}
        self._changes: list[Change] = []
        self._numbers = itertools.count(1)

    def new_number(self) -> int:
        """A number that nothing else has."""
        return next(self._numbers)

    # -- shoppers and staff

    def buy(self, units: Mapping[str, int], *, pending: bool = False) -> Order:
        """A shopper orders, and the listing's quantity falls. NotPossible when it shows too few."""
        self.work()
        for sku, wanted in units.items():
            listing = self.listings.get(sku)
            if listing is None or wanted < 1 or listing.quantity < wanted:
                raise NotPossible(f"{wanted} of {sku!r} are not to be had")
        now = self.clock.now()
        number = f"304-{self.new_number():07d}-{int(now) % 10_000_000:07d}"
        items = []
        for sku, wanted in units.items():
            self.listings[sku].quantity -= wanted
            items.append(Item(f"{self.new_number():014d}", self.listings[sku], wanted, wanted))
        order = Order(number, now, now, "PENDING" if pending else "UNSHIPPED", items)
        self.orders[number] = order
        return order

    def pay(self, number: str) -> Order:
        """Its payment is through."""
        return self._becomes(self._order(number, "PENDING"), "UNSHIPPED")

    def ship(self, number: str, units: int | None = None) -> Order:
        """The seller has sent it, or some units of its first item."""
        order = self._order(number, "UNSHIPPED", "PARTIALLY_SHIPPED")
        for item in order.items if units is None else order.items[:1]:
            sent = item.unfulfilled if units is None else min(units, item.unfulfilled)
            item.unfulfilled -= sent
            item.fulfilled += sent
        rest = any(item.unfulfilled for item in order.items)
        return self._becomes(order, "PARTIALLY_SHIPPED" if rest else "SHIPPED")

    def cancel(self, number: str, units: int | None = None) -> Order:
        """It is called off: all of it, or some units of its first item."""
        order = self._order(number, "PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED")
        for item in order.items if units is None else order.items[:1]:
            gone = item.unfulfilled if units is None else min(units, item.unfulfilled)
            item.unfulfilled -= gone
            if self.config.knobs.restocks:
                item.listing.quantity += gone
        return self._becomes(order, order.status if units is not None else "CANCELLED")

    def _order(self, number: str, *states: str) -> Order:
        order = self.orders.get(number)
        if order is None or order.status not in states:
            raise NotPossible(f"{number!r} is {order.status if order else 'no order'}")
        return order

    def _becomes(self, order: Order, status: str) -> Order:
        order.status, order.updated_at = status, self.clock.now()
        return order

    # -- numbers

    def patch(self, sku: str, patches: Any, *, after_seconds: float, apply: bool) -> str:
        """Accept a change of a listing's quantity; why not, or nothing."""
        listing = self.listings.get(sku)
        if listing is None:
            return "The SKU is not a listing of this seller"
        quantity = _quantity(patches)
        if quantity is None:
            return "The patches do not name a quantity of the fulfillment channel DEFAULT"
        if listing.by_amazon:
            return "The listing is fulfilled by Amazon"
        if not 0 <= quantity <= MOST_UNITS:
            return "The quantity is out of bounds"
        if apply:
            self._changes.append(Change(self.clock.now() + after_seconds, listing, quantity))
        return ""

    def create_feed(self, document: str, *, apply: bool) -> Feed:
        """Have an uploaded document processed. NotPossible when there is none."""
        if document not in self.documents:
            raise NotPossible("The input feed document was not uploaded")
        number = str(50_000_000_000 + self.new_number())
        due_at = self.clock.now() + self.config.knobs.feed_takes
        feed = self.feeds[number] = Feed(number, document, due_at, apply)
        return feed

    def work(self) -> None:
        """Carry out what is due, in the order in which it was accepted."""
        now = self.clock.now()
        for feed in self.feeds.values():
            if feed.ended_at is None and now >= feed.due_at:
                feed.ended_at = now
                if not feed.fatal:
                    self._process(feed)
        due = [change for change in self._changes if now >= change.due_at]
        self._changes = [change for change in self._changes if now < change.due_at]
        for change in due:
            change.listing.quantity = change.quantity

    def _process(self, feed: Feed) -> None:
        try:
            messages = json.loads(self.documents[feed.document])["messages"]
        except (ValueError, KeyError, TypeError):
            feed.fatal = True
            return
        feed.messages = len(messages)
        for message in messages:
            if error := self.patch(
                str(message.get("sku")),
                message.get("patches"),
                after_seconds=self.config.knobs.feed_lands,
                apply=feed.apply,
            ):
                issue = {"messageId": message.get("messageId"), "code": "90057", "severity": "ERROR"}
                feed.issues.append({**issue, "message": error, "sku": message.get("sku")})
            else:  # a remark that is no error
                issue = {"messageId": message.get("messageId"), "code": "18027", "severity": "WARNING"}
                feed.issues.append({**issue, "message": "An attribute is recommended"})

    def report(self, feed: Feed) -> bytes:
        """The processing report of a feed."""
        errors = sum(issue["severity"] == "ERROR" for issue in feed.issues)
        document = {
            "header": {"sellerId": self.config.seller_id, "version": "2.0", "feedId": feed.number},
            "issues": feed.issues,
            "summary": {
                "errors": errors,
                "warnings": len(feed.issues) - errors,
                "messagesProcessed": feed.messages,
                "messagesAccepted": feed.messages - errors,
                "messagesInvalid": errors,
            },
        }
        return json.dumps(document).encode()


def _quantity(patches: Any) -> int | None:
    """The number in patches of a listing's availability; None when there is none."""
    try:
        for patch in patches:
            if patch["path"] == AVAILABILITY and patch["op"] in ("merge", "replace", "add"):
                for value in patch["value"]:
                    if value["fulfillment_channel_code"] == "DEFAULT":
                        return int(value["quantity"])
    except (KeyError, TypeError, ValueError):
        return None
    return None
