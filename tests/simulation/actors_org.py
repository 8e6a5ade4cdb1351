"""Who works with orders in the org: people who sell there, and a connector that copies a shop's orders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sfsync.simulators.shopify.model import Order

from .actors import Actor, Day
from .plan import UNKNOWN
from .records import NotSavedError, Records
from .world import ORDERS, World

TODAY = "2026-11-23"
SHOP = "london"  # whose orders are copied

Row = Mapping[str, Any]
VERBS = ("edit", "edit", "reduce", "reduce", "ship", "ship", "back", "back", "cancel", "open", "bin", "loose")


class InTheOrg(Actor):
    """Somebody who works with the org's records, where the house has orders there."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self.records = Records(world)

    async def run(self) -> None:
        if self.world.plan.habits.org_orders:
            await super().run()

    async def act(self) -> None:
        try:
            await self.work()
        except NotSavedError as error:
            self.tell(f"the org says no: {error}")

    async def work(self) -> None:
        raise NotImplementedError

    def product(self, sku: str) -> str:
        found = (row for row in self.records.rows("Product2") if row["StockKeepingUnit"] == sku)
        return str(next(found)["Id"])

    def items(self, order: str) -> list[Row]:
        return [
            row for row in self.records.rows("OrderItem") if row["OrderId"] == order and not row["IsDeleted"]
        ]

    async def place(self, lines: list[dict[str, Any]], **values: Any) -> str:
        """A new order, activated with its products."""
        (order,) = await self.records.create("Order", {"EffectiveDate": TODAY, **values})
        await self.records.create("OrderItem", *({"OrderId": order, **line} for line in lines))
        await self.records.update("Order", order, Status="Activated")
        return order


class Clerk(InTheOrg):
    """Sells by orders in the org: places, edits, reduces, ships, cancels, takes goods back."""

    pace_seconds = 0.6
    acts_an_order = 0.5

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self.links = world.chance(f"{self.name} links")

    async def work(self) -> None:
        if self.world.plan.habits.relinks and self.links.random() < 0.15:
            await self._link()
        orders = [row for row in self.records.rows("Order") if not row["IsReductionOrder"]][-12:]
        if not orders or self.chance.random() < 0.3:
            await self._sell()
            return
        order = self.chance.choice(orders)
        verb = self.chance.choice(VERBS)
        self.tell(f"order {order['OrderNumber']}: {verb}")
        await getattr(self, f"_{verb}")(order)

    async def _sell(self) -> None:
        wanted = {self.sku(): self.chance.choice([1, 1, 2])}
        if self.chance.random() < 0.3:
            wanted.setdefault(self.sku(), 1)
        order = await self.place(
            [{"Product2Id": self.product(sku), "Quantity": units} for sku, units in wanted.items()]
        )
        self.tell(f"sells {wanted} by order {order}")

    async def _edit(self, order: Row) -> None:
        for item in self.items(order["Id"])[:1]:
            units = item["Quantity"] + self.chance.choice([1, -1])
            await self.records.update("OrderItem", item["Id"], Quantity=units)

    async def _reduce(self, order: Row) -> None:
        """A reduction order; now and then it stays a draft."""
        items = self.items(order["Id"])
        if not items:
            return
        item = self.chance.choice(items)
        (less,) = await self.records.create(
            "Order", {"EffectiveDate": TODAY, "IsReductionOrder": True, "OriginalOrderId": order["Id"]}
        )
        line = {"OrderId": less, "Product2Id": item["Product2Id"], "OriginalOrderItemId": item["Id"]}
        await self.records.create("OrderItem", {**line, "Quantity": self.chance.choice([-1, 1])})
        if self.chance.random() < 0.8:
            await self.records.update("Order", less, Status="Activated")

    async def _ship(self, order: Row) -> None:
        if order["Status"] == "Activated":
            await self.records.update("Order", order["Id"], Status="Shipped")

    async def _back(self, order: Row) -> None:
        """A return order: announced, then received or closed; or the one that is there goes on."""
        if order["Status"] != "Shipped":
            return
        lines = [
            (line, back)
            for back in self.records.rows("ReturnOrder")
            if back["OrderId"] == order["Id"]
            for line in self.records.rows("ReturnOrderLineItem")
            if line["ReturnOrderId"] == back["Id"] and not line["IsDeleted"]
        ]
        if lines:
            line, back = self.chance.choice(lines)
            if self.chance.random() < 0.5:
                units = self.chance.randint(0, int(line["QuantityReturned"]))
                await self.records.update("ReturnOrderLineItem", line["Id"], QuantityReceived=units)
            else:
                await self.records.update("ReturnOrder", back["Id"], Status="Closed")
            return
        for item in self.items(order["Id"])[:1]:
            (back_id,) = await self.records.create("ReturnOrder", {"OrderId": order["Id"]})
            line = {
                "ReturnOrderId": back_id,
                "OrderItemId": item["Id"],
                "Product2Id": item["Product2Id"],
                "QuantityReturned": 1,
            }
            await self.records.create("ReturnOrderLineItem", line)

    async def _loose(self, _order: Row) -> None:
        """Goods come back that no order tells of."""
        (back,) = await self.records.create(
            "ReturnOrder", {"Status": self.chance.choice(["Draft", "Closed"])}
        )
        line = {"ReturnOrderId": back, "Product2Id": self.product(self.sku()), "QuantityReturned": 1}
        await self.records.create("ReturnOrderLineItem", line)

    async def _link(self) -> None:
        """A return is found to be of an order, of another one than was thought, or of none."""
        lines = [row for row in self.records.rows("ReturnOrderLineItem") if not row["IsDeleted"]]
        if not lines:
            return
        line = self.links.choice(lines[-8:])
        taken = {row["OrderItemId"] for row in lines}
        items = [
            item["Id"]
            for item in self.records.rows("OrderItem")
            if item["Product2Id"] == line["Product2Id"]
            and not item["IsDeleted"]
            and not item["OriginalOrderItemId"]
            and item["Id"] not in taken
        ]
        found = self.links.choice([None, *items[-4:]])
        self.tell(f"return line {line['Id']} is of order item {found}")
        await self.records.update("ReturnOrderLineItem", line["Id"], OrderItemId=found)

    async def _cancel(self, order: Row) -> None:
        await self.records.update("Order", order["Id"], Status="Cancelled")

    async def _open(self, order: Row) -> None:
        """Taken back into the draft, changed there, and mostly activated again."""
        if order["Status"] != "Activated":
            return
        await self.records.update("Order", order["Id"], Status="Draft")
        await asyncio.sleep(self.chance.choice([0.0, 2.0]))
        items = self.items(order["Id"])
        if len(items) > 1 and self.chance.random() < 0.5:
            await self.records.delete("OrderItem", items[0]["Id"])
        elif not order["Type"]:
            line = {"OrderId": order["Id"], "Product2Id": self.product(self.sku()), "Quantity": 1}
            await self.records.create("OrderItem", line)
        if self.chance.random() < 0.7:
            await self.records.update("Order", order["Id"], Status="Activated")

    async def _bin(self, order: Row) -> None:
        """A draft is thrown away; now and then the bin is emptied at once."""
        if order["Status"] != "Draft" or order["IsDeleted"]:
            return
        items = self.items(order["Id"])
        await self.records.delete("Order", order["Id"])
        if self.chance.random() < 0.3:
            for item in items:
                self.records.erase("OrderItem", item["Id"])
            self.records.erase("Order", order["Id"])


class Connector(InTheOrg):
    """Another system's: copies London's orders into the org, at once or late, and what became of some."""

    pace_seconds = 0.4
    acts_an_order = 0.8

    async def work(self) -> None:
        plan, shop = self.world.plan, self.world.shops[SHOP]
        orders = list(shop.selling.orders.values())[-30:]
        if not orders:
            return
        order = self.chance.choice(orders)
        copy = self.day.copies.get(order.name)
        if copy is None:
            lines = [line for line in order.lines if line.current_quantity]
            known = lines and all(line.variant.sku != UNKNOWN for line in order.lines)
            if known and self.chance.random() < plan.habits.copied:
                await self._copy(order)
            return
        await self._go_on(order, copy)

    async def _copy(self, order: Order) -> None:
        self.day.copies[order.name] = ""  # not twice, whatever happens on the way
        lines = [
            {
                "Product2Id": self.product(line.variant.sku or ""),
                "Quantity": line.current_quantity,
                "Description": str(line.number) if self.world.plan.habits.line_ids else "",
            }
            for line in order.lines
            if line.current_quantity
        ]
        reference = self.chance.choice([order.name, str(order.number)])
        copy = await self.place(lines, Type=SHOP, OrderReferenceNumber=reference)
        self.day.copies[order.name] = copy
        self.tell(f"copies {order.name} as {copy}")

    async def _go_on(self, order: Order, copy: str) -> None:
        row = self.records.row("Order", copy)
        if row is None or row["IsDeleted"] or row["Status"] not in ("Activated", "Shipped"):
            return
        if order.cancelled_at is not None:
            await self.records.update("Order", copy, Status="Cancelled")
        elif all(line.unfulfilled_quantity == 0 for line in order.lines):
            await self.records.update("Order", copy, Status="Shipped")
        else:
            for item in self.items(copy):
                units = sum(
                    line.current_quantity
                    for line in order.lines
                    if self.product(line.variant.sku or "") == item["Product2Id"]
                )
                if units and units != item["Quantity"]:
                    await self.records.update("OrderItem", item["Id"], Quantity=units)
        self.tell(f"tells {copy} what became of {order.name}")


class OrderTrouble(InTheOrg):
    """What goes wrong with the stream of the org's orders."""

    acts_an_order = 0.15

    def pace(self) -> float:
        return 1.5 / max(0.1, self.world.plan.roughness)

    async def work(self) -> None:
        if not self.world.plan.roughness:
            return
        bus = self.world.bus
        what = self.chance.choice(["duplicate", "cut", "forbid", "overflow", "gap"])
        self.tell(what)
        if what == "duplicate":
            bus.duplicate_last(ORDERS, self.chance.choice([1, 3]))
        elif what == "cut":
            self.world.pubsub.cut(ORDERS)
        elif what == "forbid":
            bus.forbid(ORDERS)
            await asyncio.sleep(self.chance.choice([2.0, 15.0]))
            bus.allow(ORDERS)
        elif what == "overflow":
            bus.inject_overflow("OrderItem")
        else:
            named = [row["Id"] for row in self.records.rows("Order")][-2:]
            bus.inject_gap("Order", named, "UPDATE")
