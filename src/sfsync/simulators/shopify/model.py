"""The shop's things: locations, articles, stock levels, orders, and what happened to them.

Plain values with identities. Times are seconds since 1970; ids are numbers, and `id` is the
Admin API's global form of them. Who may change what, and when, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# The states of a unit that is on hand; their sum is `on_hand`. `incoming` stands apart.
ON_HAND_PARTS = ("available", "committed", "damaged", "quality_control", "reserved", "safety_stock")
STATES = (*ON_HAND_PARTS, "incoming")


def gid(kind: str, number: int) -> str:
    """The global id of a numbered thing."""
    return f"gid://shopify/{kind}/{number}"


@dataclass(eq=False, slots=True, kw_only=True)
class Location:
    number: int
    name: str
    fulfills_online_orders: bool = True
    is_active: bool = True
    created_at: float
    updated_at: float

    @property
    def id(self) -> str:
        return gid("Location", self.number)


@dataclass(eq=False, slots=True, kw_only=True)
class Variant:
    """An article: the product's variant and its inventory item, whose numbers differ."""

    number: int
    item_number: int
    product_number: int
    sku: str | None
    product_title: str
    price: str
    inventory_policy: str
    tracked: bool
    requires_components: bool
    gift_card: bool
    tags: list[str]  # of its product, by the alphabet
    created_at: float
    updated_at: float
    title: str = "Default Title"
    levels: dict[int, Level] = field(default_factory=dict)  # by location number

    @property
    def id(self) -> str:
        return gid("ProductVariant", self.number)

    @property
    def item_id(self) -> str:
        return gid("InventoryItem", self.item_number)

    @property
    def sellable(self) -> int:
        """Units that the online shop shows: available at the locations that fulfil its orders."""
        return sum(
            level.quantities["available"]
            for level in self.levels.values()
            if level.is_active and level.location.is_active and level.location.fulfills_online_orders
        )


@dataclass(eq=False, slots=True, kw_only=True)
class Level:
    """One article at one location."""

    number: int
    variant: Variant
    location: Location
    created_at: float
    updated_at: float
    is_active: bool = True
    quantities: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    changed_at: dict[str, float] = field(default_factory=dict)  # by state

    @property
    def id(self) -> str:
        return f"{gid('InventoryLevel', self.number)}?inventory_item_id={self.variant.item_number}"

    def quantity(self, name: str) -> int:
        """Units in a state; `on_hand` is the sum of its parts."""
        if name == "on_hand":
            return sum(self.quantities[part] for part in ON_HAND_PARTS)
        return self.quantities[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class StockChange:
    """One line of the shop's own record of its stock, which nobody outside can write."""

    number: int
    at: float
    sku: str | None
    level: Level
    name: str  # the state that changed
    delta: int
    after: int
    cause: str  # adjust, set, activate, order, cancel, refund, edit, fulfil, unfulfil, move, manual
    reference_document_uri: str | None = None
    order_name: str | None = None


@dataclass(eq=False, slots=True)
class Allocation:
    """Units of a line item assigned to a location: what a fulfilment order row holds."""

    number: int
    level: Level | None  # None for articles whose stock is not tracked
    location: Location
    total: int  # less what was taken off the order
    remaining: int  # of these, still to be sent


@dataclass(eq=False, slots=True, kw_only=True)
class LineItem:
    number: int
    variant: Variant
    quantity: int  # as ordered
    current_quantity: int  # less what was taken off by edits, refunds and cancels
    fulfilled_quantity: int = 0
    properties: dict[str, str] = field(default_factory=dict)  # what the shopper or the shop has noted on it
    allocations: list[Allocation] = field(default_factory=list)

    @property
    def id(self) -> str:
        return gid("LineItem", self.number)

    @property
    def unfulfilled_quantity(self) -> int:
        units = 0
        for allocation in self.allocations:
            units += allocation.remaining
        return units


@dataclass(frozen=True, slots=True)
class RefundLine:
    number: int
    line_item: LineItem
    quantity: int
    restock_type: str  # no_restock, cancel, return
    location: Location | None


@dataclass(frozen=True, slots=True)
class Refund:
    number: int
    order: Order
    created_at: float
    note: str | None
    lines: Sequence[RefundLine]

    @property
    def id(self) -> str:
        return gid("Refund", self.number)


@dataclass(frozen=True, slots=True)
class FulfilledLine:
    number: int
    line_item: LineItem
    quantity: int
    allocation: Allocation


@dataclass(eq=False, slots=True)
class Fulfillment:
    number: int
    order: Order
    name: str
    location: Location
    created_at: float
    updated_at: float
    lines: Sequence[FulfilledLine]
    status: str = "success"

    @property
    def id(self) -> str:
        return gid("Fulfillment", self.number)


@dataclass(eq=False, slots=True, kw_only=True)
class FulfillmentOrder:
    """The part of an order that one location is to send."""

    number: int
    order: Order
    location: Location
    created_at: float
    updated_at: float
    cancelled: bool = False

    @property
    def id(self) -> str:
        return gid("FulfillmentOrder", self.number)

    @property
    def rows(self) -> list[tuple[LineItem, Allocation]]:
        """The line items' units assigned here."""
        return [
            (line, allocation)
            for line in self.order.lines
            for allocation in line.allocations
            if allocation.location is self.location
        ]

    @property
    def status(self) -> str:
        if self.cancelled:
            return "CANCELLED"
        rows = [allocation for _, allocation in self.rows]
        if all(allocation.remaining == 0 for allocation in rows):
            return "CLOSED"
        return "IN_PROGRESS" if any(row.remaining < row.total for row in rows) else "OPEN"


@dataclass(eq=False, slots=True, kw_only=True)
class Order:
    number: int  # the id
    order_number: int  # what the shopper is told
    created_at: float
    updated_at: float
    lines: list[LineItem]
    reference: str | None = None
    note_attributes: dict[str, str] = field(default_factory=dict)
    source_name: str = "web"
    retail_location: Location | None = None  # of a sale over the counter; not where stock was taken from
    cancelled_at: float | None = None
    cancel_reason: str | None = None  # lower case, as payloads have it
    closed_at: float | None = None
    edited: bool = False
    restocked: bool = False  # cancelled, and every unit given back
    financial_status: str = "paid"
    refunds: list[Refund] = field(default_factory=list)
    fulfillments: list[Fulfillment] = field(default_factory=list)
    fulfillment_orders: list[FulfillmentOrder] = field(default_factory=list)

    @property
    def id(self) -> str:
        return gid("Order", self.number)

    @property
    def name(self) -> str:
        return f"#{self.order_number}"

    @property
    def fulfillment_status(self) -> str | None:
        """As payloads have it: None, "partial", "fulfilled" or "restocked"."""
        if self.restocked:
            return "restocked"
        fulfilled = sum(line.fulfilled_quantity for line in self.lines)
        if not fulfilled:
            return None
        return "partial" if any(line.unfulfilled_quantity for line in self.lines) else "fulfilled"
