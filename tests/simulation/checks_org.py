"""What the ledger owes to orders that live in the org: read from the org's records and from the rules alone.

An order in the org is its own claim, unless it is the copy of a shop's order: then both records together make
one claim. Written from `docs/`' words, not from the product's code.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sfsync.simulators.shopify.model import Order

from .checks_debts import left
from .habits import RETURNS
from .plan import PLACES
from .sold import wanted
from .world import ORDERS, World

if TYPE_CHECKING:
    from .checks import Watch

SHOP = "london"
TOLD_IN = timedelta(milliseconds=1)  # a change's moment is told in whole ones, rounded up or down
Row = Mapping[str, Any]


ITEM_PREFIX = "802"  # of the record ids of order items


@dataclass(frozen=True, slots=True)
class Word:
    """What one record says of one line: units still to deliver, delivered, and come back."""

    open: int
    fulfilled: int
    returned: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What the subjects with one of these beginnings should hold of an SKU."""

    what: str
    beginnings: tuple[str, ...]
    sku: str
    word: Word


def copied(world: World) -> dict[str, str]:
    """The shop's orders that a record in the org tells of, too: their names, and the record's id."""
    if not world.plan.habits.org_orders:
        return {}
    names = {str(order.number): order.name for order in world.shops[SHOP].selling.orders.values()}
    told = {
        str(row["OrderReferenceNumber"]): str(row["Id"])
        for row in _rows(world, "Order")
        if row["Type"] == SHOP and row["OrderReferenceNumber"]
    }
    return {names.get(reference, reference): order for reference, order in told.items()}


def claims(watch: Watch, world: World) -> Iterator[Claim]:
    """All that orders in the org want of the ledger."""
    if not world.plan.habits.org_orders:
        return
    read = _Reading(world)
    copies = copied(world)
    for order in _rows(world, "Order"):
        if order["IsReductionOrder"] or order["Id"] in copies.values():
            continue
        for item in read.items[order["Id"]]:
            subject = f"order:org:{order['Id']}:{item['Id']}"
            what = f"order {order['OrderNumber']} in the org"
            yield Claim(what, (subject,), read.sku(item), read.word(order, item))
    for line in read.loose:
        subject = f"order:org:{line['Id']}:{line['Id']}"
        yield Claim("a return without an order", (subject,), read.sku(line), Word(0, 0, read.back(line)))
    shop = {order.name: order for order in world.shops[SHOP].selling.orders.values()}
    for name, copy in copies.items():
        yield from _both(world, read, shop[name], copy, _heard(watch, copy))


def _heard(watch: Watch, copy: str) -> dict[str, str]:
    """Of which of the copy's items the daemon has been told by the org, and their SKUs."""
    rows = watch.query("SELECT told FROM order_line WHERE org_order = ?", copy)
    told = [json.loads(words).get("org") for (words,) in rows if words]
    return {each["line"]["line_id"]: each["line"]["sku"] for each in told if each is not None}


def _both(world: World, read: _Reading, order: Order, copy: str, heard: Mapping[str, str]) -> Iterator[Claim]:
    """A shop's order and its copy: the authority's quantities, and whatever has happened.

    Opened again, an order loses its date of activation and looks like one that never was active: a copy that
    nobody could read while it was has said nothing, and the shop's word stands alone. An item that was told
    of, and then deleted for good, says that nothing of it is wanted.
    """
    row = read.order(copy)
    silent = row["ActivatedDate"] is None and not heard
    words: dict[str, dict[str, list[Word]]] = defaultdict(lambda: {"channel": [], "org": []})
    for line in order.lines:
        on_hand, open_units = wanted(order, line)
        gone = line.fulfilled_quantity
        words[line.variant.sku or ""]["channel"].append(Word(open_units, gone, on_hand + gone))
    for item in () if silent else read.items[copy]:
        words[read.sku(item)]["org"].append(read.word(row, item))
    for record in heard.keys() - {item["Id"] for item in read.items[copy]}:
        if record.startswith(ITEM_PREFIX):  # and not the shop's own number for it
            words[heard[record]]["org"].append(Word(0, 0, 0))
    authority = world.plan.habits.authority
    beginnings = tuple(f"order:{SHOP}:{name}:" for name in (order.number, order.name))
    for sku, told in words.items():
        ruling = told[authority] or told["org" if authority == "channel" else "channel"]
        word = Word(*(sum(getattr(each, part) for each in ruling) for part in Word.__slots__))
        if len(told["channel"]) == len(told["org"]) == 1:
            gone = max(each.fulfilled for each in (*told["channel"], *told["org"]))
            back = max(each.returned for each in (*told["channel"], *told["org"]))
            word = Word(max(0, word.open + word.fulfilled - gone), gone, back)
        yield Claim(f"{SHOP} {order.name} and its copy {copy}", beginnings, sku, word)


class _Reading:
    """The org's records of orders, put together."""

    def __init__(self, world: World) -> None:
        rows = {name: _rows(world, name) for name in ("Order", "OrderItem", "ReturnOrder", "Product2")}
        self._orders = {row["Id"]: row for row in rows["Order"]}
        self._skus = {row["Id"]: str(row["StockKeepingUnit"]) for row in rows["Product2"]}
        self._backs = {row["Id"]: row for row in rows["ReturnOrder"]}
        self.items: dict[str, list[Row]] = defaultdict(list)
        self._less: dict[str, list[Row]] = defaultdict(list)
        for item in rows["OrderItem"]:
            if item["OriginalOrderItemId"]:
                self._less[item["OriginalOrderItemId"]].append(item)
            else:
                self.items[item["OrderId"]].append(item)
        self._lines: dict[str, list[Row]] = defaultdict(list)
        self.loose: list[Row] = []
        for line in _rows(world, "ReturnOrderLineItem"):
            (self._lines[line["OrderItemId"]] if line["OrderItemId"] else self.loose).append(line)

    def order(self, record: str) -> Row:
        return self._orders[record]

    def sku(self, row: Row) -> str:
        return self._skus[row["Product2Id"]]

    def back(self, line: Row) -> int:
        head = self._backs[line["ReturnOrderId"]]
        if line["IsDeleted"] or head["IsDeleted"]:
            return 0
        if line["QuantityReceived"] is not None:
            return int(line["QuantityReceived"])
        return int(line["QuantityReturned"]) if head["Status"] == "Closed" else 0

    def _in_force(self, order: Row | None) -> bool:
        return (
            order is not None
            and not order["IsDeleted"]
            and order["StatusCode"] == "Activated"
            and order["Status"] != "Cancelled"
        )

    def word(self, order: Row, item: Row) -> Word:
        """Ordered less reduced; what came back had left; "Shipped" is everything that was not called off."""
        units = 0 if item["IsDeleted"] else int(item["Quantity"])
        less = sum(
            int(abs(each["Quantity"]))
            for each in self._less[item["Id"]]
            if not each["IsDeleted"] and self._in_force(self._orders.get(each["OrderId"]))
        )
        back = sum(self.back(line) for line in self._lines[item["Id"]])
        if not self._in_force(order):
            return Word(0, back, back)
        ordered = max(0, units - less)
        gone = max(back, min(units, ordered + back)) if order["Status"] == "Shipped" else back
        return Word(max(0, ordered - gone), gone, back)


def _rows(world: World, entity: str) -> list[Row]:
    return list(world.org.engine.store.tables[entity].rows.values())


Subjects = Mapping[str, Sequence[tuple[str, Mapping[str, Sequence[int]]]]]


def order_of(subject: str) -> str:
    """The part of a subject that all lines of its order have in common."""
    return ":".join(subject.split(":", 3)[:3])


def _held(of: Subjects, claim: Claim) -> tuple[Word, list[str]]:
    """What the ledger holds for a claim, and the subjects that hold it."""
    gone = back = reserved = 0
    subjects = []
    orders = dict.fromkeys(order_of(beginning) for beginning in claim.beginnings)
    for subject, held in (each for order in orders for each in of.get(order, ())):
        if subject.startswith(claim.beginnings):
            subjects.append(subject)
            for key, (on_hand, units) in held.items():
                sku, _, place = key.partition("|")
                if sku == claim.sku:
                    reserved += units
                    back += on_hand if place == RETURNS else 0
                    gone -= on_hand if place != RETURNS else 0
    return Word(reserved, gone, back), subjects


def short(watch: Watch, world: World, channel: str | None) -> dict[str, int]:
    """Units sold by orders of the org (by a shop's that were copied there) that no stock covers, by SKU."""
    found: dict[str, int] = defaultdict(int)
    for claim in claims(watch, world):
        if channel is not None and not claim.beginnings[0].startswith(f"order:{channel}:"):
            continue
        found[claim.sku] += max(0, claim.word.open - _held(watch.by_order, claim)[0].open)
    return found


def org_orders(watch: Watch, world: World, incidents: set[str]) -> Iterator[tuple[int, str]]:
    """(promise, what differs) of the org's orders, once everything has come to rest."""
    known: list[str] = []
    for claim in claims(watch, world):
        held, subjects = _held(watch.by_order, claim)
        known += claim.beginnings
        what = f"{claim.what} ({claim.beginnings[0]}): {claim.sku}"
        if (held.fulfilled, held.returned) != (claim.word.fulfilled, claim.word.returned):
            yield 2, f"{what}: the ledger has {held}, and the records say {claim.word}"
        missing = claim.word.open - held.open
        if missing < 0:
            yield 2, f"{what}: {held.open} reserved, and the records say {claim.word.open}"
        if missing > 0:
            free = left(watch, claim.sku)
            if (most := max(free[place] for place in PLACES)) > 0:
                yield 2, f"{what}: {held.open} reserved of {claim.word.open}, though {most} are available"
            if not incidents & {*claim.beginnings, *subjects} and not _told(claim, incidents):
                yield 4, f"{what}: {missing} are not covered, and no incident says so"
    for subject, by_level in watch.subjects.items():
        if not subject.startswith("order:org:") or subject.startswith(tuple(known)):
            continue
        if any(sum(units) for units in zip(*by_level.values(), strict=True)):
            yield 2, f"{subject} holds {dict(by_level)}, and the org has no such order any more"


def _told(claim: Claim, incidents: set[str]) -> bool:
    return any(subject.startswith(claim.beginnings) for subject in incidents)


class OrderWatch:
    """Promise 7 of the org's orders: what an event named has been read before the bookmark passes it."""

    def __init__(self, world: World, watch: Watch, told: dict[str, int]) -> None:
        self._world, self._watch = world, watch
        self._told = told  # of each topic, how far it has been heard; 0 again after a reset
        told[ORDERS] = 0
        self._heard = -1  # the org's newest event when the topic was looked at; -1: it never was
        self._owed: list[tuple[int, str, datetime]] = []  # (replay id, order, when it changed)
        self._lost: list[tuple[str, datetime]] = []
        world.on_commit.append(self._store_commit)
        world.resets.append(self._reset)

    def _reset(self) -> None:
        self._lost += [(order, at) for _, order, at in self._owed]
        self._owed.clear()
        self._told[ORDERS] = 0
        self._heard = -1

    def _hear(self) -> None:
        now, newest = self._world.clock.now(), self._world.bus.ids.last
        if newest == self._heard:
            return
        self._heard = newest
        for entry in self._world.bus.topics()[ORDERS].after(self._told[ORDERS], 10_000):
            self._told[ORDERS] = entry.replay
            header = entry.event.header or {}
            for number in header.get("recordIds", ()):
                if order := self._order_of(str(number)):
                    at = datetime.fromtimestamp(header.get("commitTimestamp", 0) / 1000, now.tzinfo)
                    self._owed.append((entry.replay, order, at))

    def _order_of(self, record: str) -> str:
        """The order to be read again; "" when it has no products, or is gone without a trace."""
        tables = self._world.org.engine.store.tables
        item = tables["OrderItem"].rows.get(record)
        order = tables["Order"].rows.get(item["OrderId"] if item else record)
        if order is not None and order["IsReductionOrder"]:
            order = tables["Order"].rows.get(order["OriginalOrderId"] or "")
        if order is None or (item is None and order["StatusCode"] == "Draft"):
            return ""  # a draft may be told of before it has a product
        return str(order["Id"])

    def _store_commit(self) -> None:
        self._hear()
        if not self._watch.changed or not (self._owed or self._lost):
            return  # neither the bookmark nor a hole has moved
        at = self._watch.bookmark(ORDERS)
        if not self._lost and not any(replay <= at for replay, _, _ in self._owed):
            return
        holes = self._watch.query(
            "SELECT 1 FROM hole WHERE closed_at IS NULL AND source IN (?, 'snapshot') LIMIT 1", ORDERS
        )
        passed = [(order, when) for replay, order, when in self._owed if replay <= at]
        self._owed = [each for each in self._owed if each[0] > at]
        if holes:
            self._lost += passed
            return
        self._look(7, "the bookmark passed a change of order", passed)
        if self._lost and at:
            self._look(8, "no hole is open, and nobody has read order", self._lost)
            self._lost = []

    def _wants_nothing(self, number: str, since: datetime) -> bool:
        """True for an order that is not active, or was not meanwhile: a draft, or called off before it was
        ever read."""
        order = self._world.org.engine.store.tables["Order"].rows.get(number)
        return order is None or order["StatusCode"] != "Activated" or order["ActivatedDate"] > since

    def _look(self, promise: int, words: str, changed: Sequence[tuple[str, datetime]]) -> None:
        for order, at in changed:
            rows = self._watch.query("SELECT told FROM order_line WHERE org_order = ?", order)
            told = [json.loads(words) for (words,) in rows if words]
            ahead = self._world.ahead  # of the clock by which the store dates a reading
            read = [datetime.fromisoformat(each["org"]["version"]) - ahead for each in told if "org" in each]
            if not rows and self._wants_nothing(order, at):
                continue  # nothing of it had to be written down
            if not read or max(read) < at - TOLD_IN:
                known = max(map(str, read), default="never")
                self._world.violated(
                    promise, f"{words} {order} at {at}, and the store has read it at {known}"
                )
