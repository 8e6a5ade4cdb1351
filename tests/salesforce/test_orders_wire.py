"""Orders in a simulated org, made by its people over its own rules, read over its REST API and its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.salesforce.conftest import settings_of
from tests.salesforce.kit import WallClock
from tests.sandbox import OrgSandbox, start_org

from sfsync.domain.org_orders import OrgOrder, OrgOrderRules, snapshot
from sfsync.ports import OrgReading, Severity
from sfsync.salesforce.config import OrgOrdersConfig
from sfsync.salesforce.org import SalesforceOrg

TODAY = "2026-11-23"
ORDERS = OrgOrdersConfig(channel_field="Type", order_field="OrderReferenceNumber", returns=True)
RULES = OrgOrderRules(
    {"London": "london"}, frozenset({"Cancelled", "Canceled"}), frozenset({"Shipped"}), frozenset({"Closed"})
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[OrgSandbox]:
    """An org of our own: its orders are all in view."""
    with start_org({"levels": []}, knobs=["keepalive_seconds=0.3"]) as org:
        yield org


@pytest.fixture
async def org(sandbox: OrgSandbox) -> AsyncIterator[SalesforceOrg]:
    """Our side of it, with orders."""
    ours = SalesforceOrg(replace(settings_of(sandbox), orders=ORDERS), WallClock())
    yield ours
    await ours.close()


class People:
    """What people do with orders in the org."""

    def __init__(self, sandbox: OrgSandbox) -> None:
        self.sandbox = sandbox
        self.product = sandbox.create("Product2", Name="Bag", StockKeepingUnit="BAG-1", IsActive=True)

    def draft(self, units: int = 2, **order: Any) -> tuple[str, str]:
        """A new order with one product; the ids of both."""
        number = self.sandbox.create("Order", EffectiveDate=TODAY, **order)
        item = self.sandbox.create("OrderItem", OrderId=number, Product2Id=self.product, Quantity=units)
        return number, item

    def update(self, record_id: str, entity: str, **fields: Any) -> Any:
        records = [{"attributes": {"type": entity}, "Id": record_id, **fields}]
        return self.sandbox.control("POST", "/records/update", {"records": records})[0]

    def status(self, order: str, status: str) -> Any:
        return self.update(order, "Order", Status=status)

    def placed(self, units: int = 2, **order: Any) -> tuple[str, str]:
        number, item = self.draft(units, **order)
        assert self.status(number, "Activated")["success"]
        return number, item

    def reduce(self, order: str, item: str, units: int) -> str:
        """A reduction order, still a draft."""
        less = self.sandbox.create("Order", EffectiveDate=TODAY, IsReductionOrder=True, OriginalOrderId=order)
        self.sandbox.create(
            "OrderItem", OrderId=less, Product2Id=self.product, OriginalOrderItemId=item, Quantity=units
        )
        return less


@pytest.fixture
def people(sandbox: OrgSandbox) -> People:
    return People(sandbox)


def wanted(read: OrgReading) -> tuple[int, int, int]:
    """(still to deliver, delivered, returned) of all lines of the one order that was read."""
    (order,) = read.orders
    lines = snapshot(order, RULES, datetime.now(UTC)).lines
    return (
        sum(line.open_quantity for line in lines),
        sum(line.fulfilled_quantity for line in lines),
        sum(line.returned_quantity for line in lines),
    )


async def under_way(org: SalesforceOrg) -> set[tuple[str, int, int | None]]:
    """(id, announced, received) of the return lines that have not come."""
    pages = [page.returns async for page in org.returns_under_way()]
    return {(line.line_id, line.announced, line.received) for page in pages for line in page}


async def test_an_order_is_read_whole_with_what_reduces_and_returns_it(
    org: SalesforceOrg, people: People
) -> None:
    """Draft, activated, reduced once in earnest and once in draft, shipped, and one bag back."""
    number, item = people.draft(3, Type="London", OrderReferenceNumber="#1001")
    draft = await org.read_orders(orders=[number])
    assert (wanted(draft), draft.orders[0].activated) == ((0, 0, 0), False)
    assert people.status(number, "Activated")["success"]
    active = await org.read_orders(orders=[number])
    assert (wanted(active), active.orders[0].activated) == ((3, 0, 0), True)
    less = people.reduce(number, item, -1)
    assert wanted(await org.read_orders(orders=[number])) == (3, 0, 0)
    assert people.status(less, "Activated")["success"]
    assert wanted(await org.read_orders(orders=[less])) == (2, 0, 0)  # it stands for what it reduces
    back = people.sandbox.create("ReturnOrder", OrderId=number, Status="Submitted")
    line = people.sandbox.create(
        "ReturnOrderLineItem",
        ReturnOrderId=back,
        OrderItemId=item,
        Product2Id=people.product,
        QuantityReturned=1,
    )
    assert people.status(number, "Shipped")["success"]
    assert wanted(await org.read_orders(items=[item])) == (0, 2, 0)
    assert (line, 1, None) in await under_way(org)
    assert people.update(line, "ReturnOrderLineItem", QuantityReceived=1)["success"]
    assert line not in {each for each, _, _ in await under_way(org)}
    read = await org.read_orders(items=[item])
    assert wanted(read) == (0, 3, 1)
    (whole,) = read.orders
    moments = [whole.changed_at, *(each.changed_at for each in whole.items)]
    moments += [each.changed_at for each in whole.returns]
    assert all(at is not None and abs(datetime.now(UTC) - at) < timedelta(minutes=5) for at in moments)
    found = snapshot(read.orders[0], RULES, datetime.now(UTC))
    assert (found.channel, found.name, [each.sku for each in found.lines]) == ("london", "#1001", ["BAG-1"])


@pytest.mark.parametrize("category", ["Activated", "Canceled"])
async def test_a_cancelled_order_wants_nothing_whatever_its_category(
    org: SalesforceOrg, people: People, category: str
) -> None:
    """Public material names two sets of categories: both are understood."""
    people.sandbox.control("POST", "/knobs", {"cancelled_status_category": category})
    number, _ = people.placed()
    assert people.status(number, "Cancelled")["success"]
    assert wanted(await org.read_orders(orders=[number])) == (0, 0, 0)


async def test_deleted_orders_and_items_are_told_as_wanting_nothing_and_erased_ones_as_gone(
    org: SalesforceOrg, people: People
) -> None:
    """In the recycle bin, and without a trace."""
    number, item = people.placed()
    assert people.status(number, "Draft")["success"]
    people.sandbox.records("delete", item)
    assert wanted(await org.read_orders(orders=[number])) == (0, 0, 0)
    people.sandbox.records("delete", number)
    (order,) = (await org.read_orders(orders=[number])).orders
    assert order.deleted
    people.sandbox.records("erase", number)
    assert (await org.read_orders(orders=[number])).gone == {number}


async def test_what_changed_since_is_found_by_any_part_of_an_order(
    org: SalesforceOrg, people: People
) -> None:
    """A new item, an activated reduction, a return line, and a return of no order."""
    number, _ = people.placed(3)
    other, _ = people.placed(1)
    loose = people.sandbox.create("ReturnOrder", Status="Closed")
    people.sandbox.create(
        "ReturnOrderLineItem", ReturnOrderId=loose, Product2Id=people.product, QuantityReturned=2
    )
    found = [page async for page in org.orders_changed_since(datetime.now(UTC) - timedelta(minutes=5))]
    orders: dict[str, OrgOrder] = {order.order_id: order for page in found for order in page.orders}
    assert {number, other} <= orders.keys()
    assert [line.announced for page in found for line in page.returns] == [2]
    future = datetime.now(UTC) + timedelta(minutes=5)
    assert [page async for page in org.orders_changed_since(future)] == []


async def test_a_change_of_an_order_wakes_us_with_its_id_alone(org: SalesforceOrg, people: People) -> None:
    """Order and OrderItem on one channel; an item's event names its order."""
    stream = aiter(org.events(ORDERS.topic, None))
    async with asyncio.timeout(30):
        await anext(stream)
        number, _ = people.placed()
        named: set[str] = set()
        while number not in named:
            batch = await anext(stream)
            named |= batch.orders
            assert not batch.levels
            assert not batch.poison


async def test_the_check_reads_what_it_needs_and_names_a_field_that_is_not_there(
    sandbox: OrgSandbox, org: SalesforceOrg
) -> None:
    """Topic, objects and fields; and how many entities that makes."""
    findings = await org.check()
    assert any(
        "three of the five entities" in each.what for each in findings if each.severity is Severity.GOOD
    )
    assert not [each for each in findings if each.severity is Severity.FATAL]
    wrong = replace(
        ORDERS, channel_field="Store__c", sku_field="Product2.Sku__c", location_field="Shop__r.Code__c"
    )
    other = SalesforceOrg(replace(settings_of(sandbox), orders=wrong), WallClock())
    fatal = [each.what for each in await other.check() if each.severity is Severity.FATAL]
    await other.close()
    assert fatal == [
        "Order.Store__c is missing, or hidden from us",
        "Product2.Sku__c is missing, or hidden from us",
        "OrderItem has no relationship Shop__r (of Shop__r.Code__c)",
        "Product2.Sku__c is missing, or hidden from us",
    ]


async def test_a_product_without_a_sku_is_named_by_its_id(org: SalesforceOrg, people: People) -> None:
    """In an order, and in a return that names none."""
    product = people.sandbox.create("Product2", Name="Bag without a SKU", IsActive=True)
    number = people.sandbox.create("Order", EffectiveDate=TODAY)
    people.sandbox.create("OrderItem", OrderId=number, Product2Id=product, Quantity=2)
    assert people.status(number, "Activated")["success"]
    (order,) = (await org.read_orders(orders=[number])).orders
    assert [(item.sku, item.product) for item in order.items] == [("", product)]
    back = people.sandbox.create("ReturnOrder", Status="Closed")
    line = people.sandbox.create(
        "ReturnOrderLineItem", ReturnOrderId=back, Product2Id=product, QuantityReturned=1
    )
    read = [page async for page in org.orders_changed_since(datetime.now(UTC) - timedelta(minutes=5))]
    found = {each.line_id: (each.sku, each.product) for page in read for each in page.returns}
    assert found[line] == ("", product)


async def test_what_is_no_goods_is_read_with_the_items_and_told_by_the_check(
    sandbox: OrgSandbox, people: People
) -> None:
    """A gift wrap in an order, and in a return of no order: both are known by the product's family."""
    wrap = sandbox.create("Product2", Name="Wrap", Family="Gift wrap", IsActive=True)
    named = replace(ORDERS, not_goods={"Product2.Family": ("gift*",)})
    ours = SalesforceOrg(replace(settings_of(sandbox), orders=named), WallClock())
    rules = replace(RULES, not_goods=named.not_goods)
    try:
        number, item = people.draft(1)
        sandbox.create("OrderItem", OrderId=number, Product2Id=wrap, Quantity=1)
        assert people.status(number, "Activated")["success"]
        (read,) = (await ours.read_orders(orders=[number])).orders
        assert [line.line_id for line in snapshot(read, rules, datetime.now(UTC)).lines] == [item]
        assert len(snapshot(read, RULES, datetime.now(UTC)).lines) == 2
        back = sandbox.create("ReturnOrder", Status="Submitted")
        sandbox.create("ReturnOrderLineItem", ReturnOrderId=back, Product2Id=wrap, QuantityReturned=1)
        pages = [page.returns async for page in ours.returns_under_way()]
        families = {line.told["Product2.Family"] for page in pages for line in page}
        assert "Gift wrap" in families
        said = [finding.what for finding in await ours.check() if finding.severity is Severity.GOOD]
        assert "items of the org's orders are no goods, and skipped, where Product2.Family is gift*" in said
    finally:
        await ours.close()
    wrong = replace(ORDERS, not_goods={"Product2.Sort__c": ("gift*",)})
    mistaken = SalesforceOrg(replace(settings_of(sandbox), orders=wrong), WallClock())
    try:
        assert any(
            "Sort__c" in each.what for each in await mistaken.check() if each.severity is Severity.FATAL
        )
    finally:
        await mistaken.close()
