"""What an org lacks for following its orders: objects, and the fields that the house keeps things in."""

from __future__ import annotations

from collections.abc import Sequence

from sfsync.ports import Finding, Severity
from sfsync.salesforce.config import OrgOrdersConfig
from sfsync.salesforce.describing import Describe, Paths, fatal

ORDERS_SET, RETURNS_SET = "Sfsync_Orders", "Sfsync_Returns"
ENTITIES = (
    "StockMovement__c, Order and OrderItem are three of the five entities that an org follows for nothing"
)


def needed(config: OrgOrdersConfig) -> dict[str, list[str]]:
    """The fields that are read of each object; a field may be a path."""
    order = ["Status", "StatusCode", "ActivatedDate", "OrderNumber", config.channel_field, config.order_field]
    item = [
        "OrderId",
        "Quantity",
        config.sku_field,
        config.line_field,
        config.location_field,
        config.unit_field,
        config.fulfilled_field,
        *config.not_goods,
    ]
    if config.reduction_orders:
        order += ["IsReductionOrder", "OriginalOrderId"]
        item += ["OriginalOrderItemId"]
    wanted = {"Order": order, "OrderItem": item}
    if config.returns:
        line = ["ReturnOrderId", "OrderItemId", "QuantityReturned", "QuantityReceived", config.sku_field]
        line += config.product_not_goods
        wanted |= {"ReturnOrder": ["Status", "ReturnOrderNumber"], "ReturnOrderLineItem": line}
    return {name: [field for field in fields if field] for name, fields in wanted.items()}


class OrderCheck:
    """The examination of one org's orders."""

    def __init__(self, config: OrgOrdersConfig, describe: Describe) -> None:
        self._config, self._paths = config, Paths(describe)

    async def run(self) -> Sequence[Finding]:
        """Every lack; a good finding, with what the entities cost, when there is none."""
        found: list[Finding] = []
        for name, paths in needed(self._config).items():
            remedy = _remedy(name)
            described = await self._paths.described(name)
            if described is None or not described.get("queryable"):
                found.append(fatal(f"{name} is missing, or may not be read", remedy))
                continue
            if described.get("createable") and name in ("Order", "OrderItem"):
                what = f"the user that sfsync signs in as may create {name} records; sfsync never does"
                found.append(Finding(Severity.WARNING, what, "give that user no more than it needs"))
            for path in paths:
                field = await self._paths.field(name, path)
                if isinstance(field, str):
                    found.append(fatal(field, f"mend [org_orders] or the field's permission; {remedy}"))
        if not any(finding.severity is Severity.FATAL for finding in found):
            found.append(Finding(Severity.GOOD, f"the org's orders can be read; {ENTITIES}"))
            found.append(Finding(Severity.GOOD, self._not_goods()))
        return found

    def _not_goods(self) -> str:
        if not self._config.not_goods:
            return "every item of the org's orders counts as goods ([org_orders] not_goods names none)"
        named = "; ".join(f"{path} is {' or '.join(told)}" for path, told in self._config.not_goods.items())
        return f"items of the org's orders are no goods, and skipped, where {named}"


def _remedy(name: str) -> str:
    if name.startswith("Return"):
        return f"enable return orders, deploy salesforce/returns, and assign the permission set {RETURNS_SET}"
    return f"enable orders, deploy salesforce/orders, and assign the permission set {ORDERS_SET}"
