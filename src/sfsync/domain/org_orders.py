"""An order that lives in the org, as `Order` and `OrderItem` records, read as a snapshot like any other.

The rules:

- only an activated order sells: a deactivated, cancelled or deleted order wants nothing, and what it held is
  released;
- a draft that never was activated says nothing yet, neither yes nor no: the platform makes whoever copies a
  storefront's order begin with one, and the sale that it is to be the copy of has been made;
- units ordered = the order item's quantity less what activated *reduction orders* took off it;
- units delivered are known where the house has a field for them, or by a status that means "all delivered";
- goods come back by `ReturnOrder`: when its line says how many were received, or when its status says that
  the goods are there, but no more than were sold. They wait at a location that is not for sale;
- what is no goods (a delivery fee, gift wrap), as the house's own fields say, is no line of an order;
- what else was sold without a SKU waits for a person, who says what it is, and holds up no other line;
- an order whose channel is one of ours is the storefront's order under the storefront's own reference; every
  other one belongs to the channel `org`.

A reading of the org is its present truth: it has no version of its own but the moment it was asked for. What
it says of goods that left or came back had happened when the record that says so was last saved, which may be
long before the reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from .moments import Moment
from .orders import OrderLine, OrderSnapshot
from .stock import without_sku
from .values import quick, replace

ORG_CHANNEL = "org"  # the channel of orders that belong to none of ours
MOST_BACK = 10**15
ACTIVATED = "Activated"  # the status category of an order that counts


@quick
@dataclass(frozen=True, slots=True)
class OrgItem:
    """One order item."""

    item_id: str
    sku: str  # "": its product has none
    quantity: int
    fulfilled: int = 0  # where the house keeps how many were delivered
    line: str = ""  # the storefront's id of the line, where the house keeps it
    location: str = ""  # the org's location code, where the house names one
    unit: str = ""
    product: str = ""  # the org's id of its product
    changed_at: datetime | None = None  # when anybody last saved it
    told: Mapping[str, str] = field(default_factory=dict)  # what may tell that it is no goods, by field


@dataclass(frozen=True, slots=True)
class OrgReduction:
    """What one item of a reduction order takes off an order item. The sign of `units` does not count."""

    item_id: str  # of the order that is reduced
    units: int
    status: str
    status_code: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class OrgReturnLine:
    """One line of a return order. `received`: units that it says have come; None when it says nothing."""

    line_id: str
    number: str  # what a person calls the return order
    sku: str
    announced: int
    received: int | None
    status: str  # of its return order
    placed_at: datetime
    item_id: str = ""  # the order item that it returns, when it names one
    deleted: bool = False
    product: str = ""  # the org's id of its product
    changed_at: datetime | None = None  # when anybody last saved it, or its return order
    told: Mapping[str, str] = field(default_factory=dict)  # what may tell that it is no goods, by field


@quick
@dataclass(frozen=True, slots=True)
class OrgOrder:
    """One order with all that belongs to it, as one reading found it."""

    order_id: str
    number: str  # what a person calls it
    status: str
    status_code: str  # the status category
    placed_at: datetime  # activated at, or created at before that
    items: Sequence[OrgItem]
    reductions: Sequence[OrgReduction] = ()
    returns: Sequence[OrgReturnLine] = ()
    channel: str = ""  # the value of the house's channel field
    reference: str = ""  # the storefront's id or name of the order
    deleted: bool = False
    activated: bool = False  # it has a date of activation, which it loses when it is opened again
    changed_at: datetime | None = None  # when anybody last saved it


@dataclass(frozen=True, slots=True)
class OrgOrderRules:
    """How the house's own orders are to be read. `channels` maps values of the channel field to ours."""

    channels: Mapping[str, str] = field(default_factory=dict)
    cancelled_statuses: frozenset[str] = frozenset()
    fulfilled_statuses: frozenset[str] = frozenset()  # everything has been delivered
    received_statuses: frozenset[str] = frozenset()  # of a return order: its goods are there
    not_goods: Mapping[str, Sequence[str]] = field(default_factory=dict)  # patterns, by field

    def goods(self, each: OrgItem | OrgReturnLine) -> bool:
        """False for what no shelf holds: a fee, a service."""
        return not any(
            fnmatchcase(each.told.get(name, "").casefold(), pattern.casefold())
            for name, patterns in self.not_goods.items()
            for pattern in patterns
        )

    def counts(self, order: OrgOrder | OrgReduction) -> bool:
        """True when the order, or what reduces one, is in force."""
        return (
            not order.deleted
            and order.status_code == ACTIVATED
            and order.status not in self.cancelled_statuses
        )


def snapshot(order: OrgOrder, rules: OrgOrderRules, read_at: datetime) -> OrderSnapshot:
    """The order as every other part of the flow sees orders."""
    reference = order.reference.strip().rpartition("/")[2]  # gid://shopify/Order/42 is 42
    channel = rules.channels.get(order.channel) if reference else None
    lines = [(item, _line(item, order, rules)) for item in order.items if rules.goods(item)]
    return OrderSnapshot(
        channel=channel or ORG_CHANNEL,
        order_id=reference if channel else order.order_id,
        name=reference if channel else order.number,
        version=read_at,
        placed_at=order.placed_at,
        lines=tuple(line for item, line in lines if item.sku or _moves(line)),
    )


def spoken(shot: OrderSnapshot, order: OrgOrder, heard: Collection[str]) -> OrderSnapshot:
    """The snapshot with the lines that the order has said anything of; `heard` are ids of lines it once told.

    Of an order that never was activated that is nothing, but for goods that have left or come back.
    """
    if order.status_code == ACTIVATED or order.activated:
        return shot
    lines = [
        line
        for line in shot.lines
        if line.line_id in heard or line.fulfilled_quantity or line.returned_quantity
    ]
    return replace(shot, lines=tuple(lines))


def _line(item: OrgItem, order: OrgOrder, rules: OrgOrderRules) -> OrderLine:
    reduced = sum(
        abs(each.units) for each in order.reductions if each.item_id == item.item_id and rules.counts(each)
    )
    returns = [each for each in order.returns if each.item_id == item.item_id]
    returned = min(sum(come_back(each, rules) for each in returns), _most_back(item))
    ordered = max(0, item.quantity - reduced) if rules.counts(order) else 0
    sent = item.fulfilled
    if rules.counts(order) and order.status in rules.fulfilled_statuses:
        # A reduction speaks of delivered goods as far as goods came back, and else of goods never sent.
        sent = max(sent, min(item.quantity, ordered + returned))
    fulfilled = max(sent, returned)  # goods that came back had left
    came_back = _moments([(come_back(each, rules), each.changed_at) for each in returns])
    saved = [at for at in (order.changed_at, item.changed_at) if at is not None]
    left = _moments([(sent, max(saved, default=None))])
    if came_back and sent < returned:
        left += _moments([(returned - sent, max(each.at for each in (*left, *came_back)))])
    return OrderLine(
        line_id=item.line.strip().rpartition("/")[2] or item.item_id,
        sku=item.sku or _without_sku(item.product, f"order item {item.item_id}"),
        open_quantity=max(0, ordered - fulfilled),
        fulfilled_quantity=fulfilled,
        returned_quantity=returned,
        unit=item.unit or None,
        location=item.location or None,
        left=left,
        came_back=came_back,
    )


def _without_sku(product: str, record: str) -> str:
    return without_sku(f"product {product}" if product else record)


def _moves(line: OrderLine) -> bool:
    return bool(line.open_quantity or line.fulfilled_quantity or line.returned_quantity)


def _moments(told: Iterable[tuple[int, datetime | None]]) -> tuple[Moment, ...]:
    """Units that had left, or were there again, when somebody saved the record that says so."""
    return tuple(Moment(at, units) for units, at in told if units > 0 and at is not None)


def _most_back(item: OrgItem) -> int:
    """The most of an item that can come back; of a deleted one nobody knows any more how many there were."""
    return max(item.quantity, item.fulfilled) or MOST_BACK


@dataclass(frozen=True, slots=True)
class Overdone:
    """More of an order item is said to have come back than was ever sold."""

    item_id: str
    number: str  # of the return order that says so last
    sku: str
    received: int
    most: int


def overdone(order: OrgOrder, rules: OrgOrderRules) -> list[Overdone]:
    """The items of which more is said to have come back than there can be; the rest is not entered."""
    found = []
    for item in filter(rules.goods, order.items):
        returns = [each for each in order.returns if each.item_id == item.item_id and come_back(each, rules)]
        received, most = sum(come_back(each, rules) for each in returns), _most_back(item)
        if received > most:
            found.append(Overdone(item.item_id, returns[-1].number, item.sku, received, most))
    return found


def come_back(line: OrgReturnLine, rules: OrgOrderRules) -> int:
    """Units of a return line that are there."""
    if line.deleted or not rules.goods(line):
        return 0
    if line.received is not None:
        return line.received
    return line.announced if line.status in rules.received_statuses else 0


def loose_return(line: OrgReturnLine, rules: OrgOrderRules, read_at: datetime) -> OrderSnapshot:
    """A return line that names no order item: goods that come in, and nothing else."""
    units = come_back(line, rules)
    sku = line.sku or _without_sku(line.product, f"return line {line.line_id}")
    back = OrderLine(line.line_id, sku, 0, 0, units, came_back=_moments([(units, line.changed_at)]))
    return OrderSnapshot(ORG_CHANNEL, line.line_id, line.number, read_at, line.placed_at, (back,))
