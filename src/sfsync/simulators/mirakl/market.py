"""Offers, orders and stock imports of one shop."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sfsync.simulators.mirakl.config import MarketConfig
from sfsync.simulators.shopify.clock import ShopClock

COLUMNS = ("offer-sku", "quantity", "warehouse-code", "update-delete")
MOST_UNITS = 1_000_000_000
ENDED = ("CANCELED", "REFUSED", "SHIPPED", "RECEIVED", "CLOSED")


class NotPossible(Exception):
    """What somebody asked for cannot be; says why."""


@dataclass(slots=True)
class Offer:
    """One article of the shop."""

    number: int
    sku: str
    quantity: int


@dataclass(slots=True)
class Line:
    """One line of an order."""

    number: str
    offer: Offer
    quantity: int
    state: str
    taken: int = 0  # units that its offer's quantity has fallen by
    cancelled: int = 0
    shipped_at: float | None = None


@dataclass(slots=True)
class Order:
    """One order of a shopper at this shop."""

    number: str
    created_at: float
    updated_at: float
    state: str
    lines: list[Line]


@dataclass(slots=True)
class Return:
    """Goods of an order on their way back, or received; `lines` are (order line, units)."""

    number: str
    order: str
    lines: list[tuple[str, int]]
    created_at: float
    updated_at: float
    state: str = "IN_PROGRESS"


@dataclass(slots=True)
class Import:
    """A stock file on its way: `rows` as they stood in it, `errors` by their place."""

    number: str
    due_at: float
    header: Sequence[str]
    rows: list[list[str]]
    apply: bool = True  # False: it says that it has, and does nothing
    done: bool = False
    failed: bool = False
    errors: dict[int, str] = field(default_factory=dict)


class Market:
    """The marketplace's own books, and what people do there."""

    def __init__(self, config: MarketConfig, clock: ShopClock) -> None:
        self.config, self.clock = config, clock
        self.offers = {
            sku: Offer(5_000 + number, sku, units)
            for number, (sku, units) in enumerate(config.offers.items(), 1)
        }
        self.orders: dict[str, Order] = {}
        self.imports: dict[str, Import] = {}
        self.returns: list[Return] = []
        self._numbers = itertools.count(1)

    # -- shoppers and staff

    def buy(self, units: Mapping[str, int], *, staging: bool = False) -> Order:
        """A shopper orders. Raises NotPossible when an offer shows too few."""
        for sku, wanted in units.items():
            offer = self.offers.get(sku)
            if offer is None or wanted < 1 or offer.quantity < wanted:
                raise NotPossible(f"{wanted} of {sku!r} are not to be had")
        number, now = f"C{next(self._numbers):06d}-A", self.clock.now()
        state = "STAGING" if staging else "WAITING_ACCEPTANCE"
        lines = [
            Line(f"{number}-{place}", self.offers[sku], wanted, state)
            for place, (sku, wanted) in enumerate(units.items(), 1)
        ]
        order = self.orders[number] = Order(number, now, now, state, lines)
        if self.config.knobs.falls_at == "order":
            self._take(order)
        return order

    def accept(self, number: str) -> Order:
        """The shop's staff accept an order."""
        order = self._order(number)
        if order.state not in ("STAGING", "WAITING_ACCEPTANCE"):
            raise NotPossible(f"{number} is {order.state}")
        self._take(order)
        return self._becomes(order, "SHIPPING")

    def ship(self, number: str) -> Order:
        """The shop's staff have sent it."""
        order = self._order(number)
        if order.state != "SHIPPING":
            raise NotPossible(f"{number} is {order.state}")
        for line in order.lines:
            line.shipped_at = self.clock.now()
        return self._becomes(order, "SHIPPED")

    def cancel(self, number: str, *, units: int | None = None) -> Order:
        """It is called off: all of it, or some units of its first line."""
        order = self._order(number)
        if order.state in ENDED:
            raise NotPossible(f"{number} is {order.state}")
        for line in order.lines if units is None else order.lines[:1]:
            gone = line.quantity if units is None else min(units, line.quantity)
            line.cancelled += gone
            back = min(gone, line.taken)
            if self.config.knobs.restocks:
                line.offer.quantity += back
                line.taken -= back
            if units is not None and self.config.knobs.cancel_lowers_quantity:
                line.quantity -= gone
        return self._becomes(order, order.state if units is not None else "CANCELED")

    def send_back(self, number: str, *, units: int | None = None) -> Order:
        """The shopper sends it back: all of it, or so many units of its first line."""
        order = self._order(number)
        if order.state not in ("SHIPPED", "RECEIVED", "CLOSED"):
            raise NotPossible(f"{number} is {order.state}")
        lines = order.lines if units is None else order.lines[:1]
        now = self.clock.now()
        rows = [(line.number, min(line.quantity, units or line.quantity)) for line in lines]
        self.returns.append(Return(f"R{len(self.returns) + 1:06d}", number, rows, now, now))
        return order

    def take_back(self, number: str, *, state: str = "RECEIVED") -> Order:
        """What was on its way back of the order is received, or comes to another end."""
        for each in self.returns:
            if each.order == number and each.state != state:
                each.state, each.updated_at = state, self.clock.now()
        return self._order(number)

    def _take(self, order: Order) -> None:
        for line in order.lines:
            wanted = line.quantity - line.taken
            line.offer.quantity -= wanted
            line.taken += wanted

    def _becomes(self, order: Order, state: str) -> Order:
        order.state, order.updated_at = state, self.clock.now()
        for line in order.lines:
            line.state = state
        return order

    def _order(self, number: str) -> Order:
        if number not in self.orders:
            raise NotPossible(f"there is no order {number!r}")
        return self.orders[number]

    # -- stock files

    def take_file(self, content: bytes, *, apply: bool = True) -> Import:
        """Accept a stock file. Raises NotPossible when it is none."""
        try:
            header, *rows = list(csv.reader(io.StringIO(content.decode()), delimiter=";"))
        except (UnicodeDecodeError, ValueError, csv.Error) as error:
            raise NotPossible("the file cannot be read as CSV in UTF-8") from error
        if not {"offer-sku", "quantity"} <= set(header) <= set(COLUMNS):
            raise NotPossible(f"the columns are {', '.join(COLUMNS)}")
        number = f"{next(self._numbers):08d}-stock"
        due_at = self.clock.now() + self.config.knobs.import_takes
        taken = self.imports[number] = Import(number, due_at, header, rows, apply)
        return taken

    def work(self) -> None:
        """Carry out what is due, oldest first."""
        for each in self.imports.values():
            if each.done or self.clock.now() < each.due_at:
                continue
            each.done = True
            if not each.failed:
                for place, row in enumerate(each.rows):
                    if error := self._row(dict(zip(each.header, row, strict=False)), apply=each.apply):
                        each.errors[place] = error

    def _row(self, row: Mapping[str, str], *, apply: bool) -> str:
        offer = self.offers.get(row.get("offer-sku", ""))
        if offer is None:
            return "No offer of the shop has this SKU"
        if row.get("warehouse-code"):
            return "The shop has no such warehouse"
        quantity = row.get("quantity", "")
        if not quantity.isdecimal() or int(quantity) > MOST_UNITS:
            return "The quantity is no whole number from 0 on"
        if apply:
            offer.quantity = int(quantity)
        return ""

    def report(self, number: str) -> str:
        """The lines in error as CSV: their numbers, the reasons, and what stood in the file."""
        of, told = self.imports[number], io.StringIO()
        writer = csv.writer(told, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["error-line", "error-message", *of.header])
        for place, reason in sorted(of.errors.items()):
            writer.writerow([place + self.config.knobs.report_base, reason, *of.rows[place]])
        return told.getvalue()
