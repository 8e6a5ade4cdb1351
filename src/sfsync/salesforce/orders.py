"""Orders as the org keeps them: `Order`, `OrderItem`, reduction orders, return orders. Only ever read.

Deleted rows are asked for too (``queryAll``): a deleted item has changed its order, and only the row that
lies in the recycle bin still says which. An order is always read whole, whatever part of it has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sfsync.domain.org_orders import OrgItem, OrgOrder, OrgReduction, OrgReturnLine
from sfsync.ports import OrgReading
from sfsync.salesforce import records, soql
from sfsync.salesforce.config import OrgOrdersConfig
from sfsync.salesforce.records import Record
from sfsync.salesforce.snapshot import RestPages

PAGE = 200  # orders that are read together
MOST_UNITS = 1_000_000_000  # more is no order, and no database holds it


class OrderReader:
    """Reads the orders of one org."""

    def __init__(self, pages: RestPages, config: OrgOrdersConfig) -> None:
        self._pages, self._config = pages, config

    async def read(self, orders: Collection[str], items: Collection[str]) -> OrgReading:
        """The orders with these ids and of these items; a reduction order stands for what it reduces."""
        wanted = set(orders)
        async for row in self._of("SELECT OrderId FROM OrderItem WHERE Id IN ({})", items):
            wanted.add(row["OrderId"])
        return await self._whole(wanted)

    async def changed_since(self, at: datetime) -> AsyncIterator[OrgReading]:
        """Every order of which a part has changed since then, and return lines that belong to none."""
        since = f"SystemModstamp >= {soql.moment(at)}"
        wanted: set[str] = set()
        async for row in self._all(f"SELECT Id FROM Order WHERE {since}"):  # noqa: S608 — a time
            wanted.add(row["Id"])
        async for row in self._all(f"SELECT OrderId FROM OrderItem WHERE {since}"):  # noqa: S608 — a time
            wanted.add(row["OrderId"])
        loose: dict[str, OrgReturnLine] = {}
        if self._config.returns:
            query = f"{self._return_query()} {since} OR ReturnOrder.{since}"
            async for row in self._all(query):
                if row["OrderItemId"]:
                    wanted.add(row["OrderItem"]["OrderId"])
                else:
                    loose[row["Id"]] = self._return_line(row)
        ordered = sorted(wanted)
        for start in range(0, len(ordered), PAGE):
            yield await self._whole(ordered[start : start + PAGE])
        if loose:
            yield OrgReading(returns=list(loose.values()))

    async def returns_under_way(self) -> AsyncIterator[OrgReading]:
        """Every return line that says of nothing that it has come, in pages; none where none are read.

        By its status it may have come all the same: that is for whoever knows what the statuses mean.
        """
        if not self._config.returns:
            return
        query = f"{self._return_query()} (QuantityReceived = NULL OR QuantityReceived = 0)"
        async for page in self._pages.pages(query):
            yield OrgReading(returns=[self._return_line(row) for row in page])

    async def _whole(self, wanted: Collection[str]) -> OrgReading:
        heads = {row["Id"]: row async for row in self._of(self._order_query(), wanted)}
        gone = frozenset(set(wanted) - heads.keys())
        if self._config.reduction_orders:
            originals = {row["OriginalOrderId"] for row in heads.values() if row["IsReductionOrder"]} - {None}
            missing = originals - heads.keys()
            heads |= {row["Id"]: row async for row in self._of(self._order_query(), missing)}
            heads = {key: row for key, row in heads.items() if not row["IsReductionOrder"]}
        items = await self._grouped(self._item_query(), heads, lambda row: row["OrderId"])
        reductions: Mapping[str, Sequence[Record]] = {}
        if self._config.reduction_orders:
            reductions = await self._grouped(_REDUCTIONS, heads, lambda row: row["Order"]["OriginalOrderId"])
        returns: Mapping[str, Sequence[Record]] = {}
        if self._config.returns:
            query = f"{self._return_query()} OrderItem.OrderId IN ({{}})"
            returns = await self._grouped(query, heads, lambda row: row["OrderItem"]["OrderId"])
        orders = [
            self._order(row, items.get(key, ()), reductions.get(key, ()), returns.get(key, ()))
            for key, row in heads.items()
        ]
        return OrgReading(orders, gone=gone)

    async def _grouped(
        self, query: str, orders: Collection[str], order_of: Callable[[Record], str]
    ) -> Mapping[str, Sequence[Record]]:
        found: dict[str, list[Record]] = defaultdict(list)
        async for row in self._of(query, orders):
            found[order_of(row)].append(row)
        return found

    async def _of(self, query: str, ids: Collection[str]) -> AsyncIterator[Record]:
        """Rows whose ids are asked for where the query has its braces; in as many calls as a URI needs."""
        for names in soql.slices(sorted(ids)):
            async for row in self._all(query.format(",".join(names))):
                yield row

    async def _all(self, query: str) -> AsyncIterator[Record]:
        async for page in self._pages.pages(query, deleted_too=True):
            for row in page:
                yield row

    # -- which fields are asked for

    def _order_query(self) -> str:
        config = self._config
        fields = ["Id", "OrderNumber", "Status", "StatusCode", "ActivatedDate", "CreatedDate"]
        fields += ["SystemModstamp", "IsDeleted"]
        if config.reduction_orders:
            fields += ["IsReductionOrder", "OriginalOrderId"]
        return _select(fields, (config.channel_field, config.order_field), "Order", "Id")

    def _item_query(self) -> str:
        config = self._config
        fields = ["Id", "OrderId", "Quantity", "SystemModstamp", "IsDeleted"]
        own = (
            config.sku_field,
            config.line_field,
            config.location_field,
            config.fulfilled_field,
            config.unit_field,
        )
        return _select(fields, (*own, self._product_path, *config.not_goods), "OrderItem", "OrderId")

    @property
    def _product_path(self) -> str:
        """Where the id of the record stands that the SKU is a field of; "" where that is the item itself."""
        of, dot, _ = self._config.sku_field.rpartition(".")
        return f"{of}.Id" if dot else ""

    def _return_query(self) -> str:
        fields = (
            "Id, OrderItemId, OrderItem.OrderId, QuantityReturned, QuantityReceived, IsDeleted, CreatedDate, "
            "SystemModstamp, ReturnOrder.ReturnOrderNumber, ReturnOrder.Status, ReturnOrder.IsDeleted, "
            "ReturnOrder.SystemModstamp"
        )
        asked = (self._config.sku_field, self._product_path, *self._config.product_not_goods)
        own = ", ".join(dict.fromkeys(filter(None, asked)))
        return f"SELECT {fields}, {own} FROM ReturnOrderLineItem WHERE"  # noqa: S608 — configured names

    # -- rows as the domain's values

    def _order(
        self, row: Record, items: Sequence[Record], reductions: Sequence[Record], returns: Sequence[Record]
    ) -> OrgOrder:
        config = self._config
        return OrgOrder(
            order_id=row["Id"],
            number=row["OrderNumber"] or row["Id"],
            status=row["Status"] or "",
            status_code=row["StatusCode"] or "",
            placed_at=_placed(row["ActivatedDate"] or row["CreatedDate"]),
            items=[self._item(item) for item in items],
            reductions=[_reduction(each) for each in reductions],
            returns=[self._return_line(each) for each in returns],
            channel=words(row, config.channel_field),
            reference=words(row, config.order_field),
            deleted=bool(row["IsDeleted"]),
            activated=row["ActivatedDate"] is not None,
            changed_at=records.when(row["SystemModstamp"]),
        )

    def _item(self, row: Record) -> OrgItem:
        config = self._config
        return OrgItem(
            item_id=row["Id"],
            sku=words(row, config.sku_field),
            quantity=0 if row["IsDeleted"] else units(row["Quantity"]),
            fulfilled=units(value_of(row, config.fulfilled_field)),
            line=words(row, config.line_field),
            location=words(row, config.location_field),
            unit=words(row, config.unit_field),
            product=words(row, self._product_path),
            changed_at=records.when(row["SystemModstamp"]),
            told={path: words(row, path) for path in config.not_goods},
        )

    def _return_line(self, row: Record) -> OrgReturnLine:
        head = row["ReturnOrder"] or {}
        received = row["QuantityReceived"]
        return OrgReturnLine(
            line_id=row["Id"],
            number=head.get("ReturnOrderNumber") or row["Id"],
            sku=words(row, self._config.sku_field),
            announced=units(row["QuantityReturned"]),
            received=None if received is None else units(received),
            status=head.get("Status") or "",
            placed_at=_placed(row["CreatedDate"]),
            item_id=row["OrderItemId"] or "",
            product=words(row, self._product_path),
            deleted=bool(row["IsDeleted"] or head.get("IsDeleted")),
            changed_at=_later(row["SystemModstamp"], head.get("SystemModstamp")),
            told={path: words(row, path) for path in self._config.product_not_goods},
        )


_REDUCTIONS = (
    "SELECT OriginalOrderItemId, Quantity, IsDeleted, Order.OriginalOrderId, Order.Status, Order.StatusCode, "
    "Order.IsDeleted FROM OrderItem WHERE Order.OriginalOrderId IN ({})"
)


def _reduction(row: Record) -> OrgReduction:
    head = row["Order"]
    return OrgReduction(
        item_id=row["OriginalOrderItemId"] or "",
        units=units(row["Quantity"]),
        status=head["Status"] or "",
        status_code=head["StatusCode"] or "",
        deleted=bool(row["IsDeleted"] or head["IsDeleted"]),
    )


def _select(fields: Sequence[str], own: Iterable[str], entity: str, key: str) -> str:
    asked = dict.fromkeys([*fields, *(name for name in own if name)])
    return f"SELECT {', '.join(asked)} FROM {entity} WHERE {key} IN ({{}})"  # noqa: S608 — configured names


def value_of(row: Record, path: str) -> Any:
    """The value at a field or a path such as ``Product2.StockKeepingUnit``; None when anything is blank."""
    value: Any = row
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if path else None


def words(row: Record, path: str) -> str:
    """The text at a field or path; "" when it is blank or none is configured."""
    value = value_of(row, path)
    return "" if value is None else str(value).strip()


def units(value: object) -> int:
    """A quantity field as units; what is no whole number is cut: there is no half handbag."""
    return int(max(-MOST_UNITS, min(MOST_UNITS, value))) if isinstance(value, int | float) else 0


def _later(*values: object) -> datetime | None:
    return max((at for value in values if (at := records.when(value)) is not None), default=None)


def _placed(value: object) -> datetime:
    return records.when(value) or datetime.fromtimestamp(0, UTC)
