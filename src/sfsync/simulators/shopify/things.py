"""The fields of the Admin API's things that are not simply attributes of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from sfsync.simulators.shopify.filters import level_filters
from sfsync.simulators.shopify.inventory import AdjustmentGroup
from sfsync.simulators.shopify.model import STATES, Level, Location, Order, Variant, gid
from sfsync.simulators.shopify.paging import connection
from sfsync.simulators.shopify.reading import (
    Info,
    Resolver,
    api_version,
    app_of,
    listed,
    number_of,
    topic_enum,
)


def _level_of(variant: Variant, location: Location | None, *, include_inactive: bool) -> Level | None:
    level = variant.levels.get(location.number) if location else None
    return level if level and (level.is_active or include_inactive) else None


def _item_level(item: Variant, info: Info, **args: Any) -> Any:
    call = info.context
    location = call.shop.stock.locations.get(number_of(args["location_id"], "Location"))
    return _level_of(item, location, include_inactive=args["include_inactive"])


def _location_level(location: Location, info: Info, **args: Any) -> Any:
    call = info.context
    item = call.shop.stock.items.get(number_of(args["inventory_item_id"], "InventoryItem"))
    return _level_of(item, location, include_inactive=args["include_inactive"]) if item else None


def _item_levels(item: Variant, info: Info, **args: Any) -> Any:
    rows = [level for level in item.levels.values() if level.is_active or args["include_inactive"]]
    return listed(rows, info, args, level_filters())


def _location_levels(location: Location, info: Info, **args: Any) -> Any:
    call = info.context
    held = (variant.levels.get(location.number) for variant in call.shop.stock.variants.values())
    rows = [level for level in held if level and (level.is_active or args["include_inactive"])]
    return listed(rows, info, args, level_filters())


def _quantities(level: Level, info: Info, **args: Any) -> Any:
    known = (*STATES, "on_hand")
    if unknown := [name for name in args["names"] if name not in known]:
        raise GraphQLError(
            f"unknown quantity names: {', '.join(unknown)}", extensions={"code": "BAD_REQUEST"}
        )
    return [
        {
            "id": f"gid://shopify/InventoryQuantity/{level.number}-{known.index(name)}?inventory_item_id="
            f"{level.variant.item_number}",
            "name": name,
            "quantity": level.quantity(name),
            "updated_at": level.changed_at.get(name),
        }
        for name in args["names"]
    ]


def _product(variant: Variant) -> dict[str, Any]:
    return {
        "id": gid("Product", variant.product_number),
        "number": variant.product_number,
        "title": variant.product_title,
        "handle": re.sub(r"[^a-z0-9]+", "-", variant.product_title.lower()).strip("-"),
        "is_gift_card": variant.gift_card,
        "status": "ACTIVE",
        "total_inventory": sum(level.quantities["available"] for level in variant.levels.values()),
        "tracks_inventory": variant.tracked,
        "tags": variant.tags,
    }


def _changes(group: AdjustmentGroup, _info: Info, **args: Any) -> Any:
    items, places, names = (args.get(key) for key in ("inventory_item_ids", "location_ids", "quantity_names"))
    if items is places is names is None:
        return group.changes
    return [
        row
        for row in group.changes
        if (items is None or row.level.variant.item_id in items)
        and (places is None or row.level.location.id in places)
        and (names is None or row.name in names)
    ]


def _fulfillment_orders(order: Order, info: Info, **args: Any) -> Any:
    call = info.context
    allowed = "read_merchant_managed_fulfillment_orders" in call.shop.config.scopes
    return listed(call.shop.selling.routed(order) if allowed else [], info, args, {})


def _display_status(order: Order, _info: Info) -> str:
    names = {None: "UNFULFILLED", "partial": "PARTIALLY_FULFILLED"}
    return names.get(order.fulfillment_status) or str(order.fulfillment_status).upper()


def _attributes(order: Order, _info: Info) -> Any:
    return [{"key": key, "value": value} for key, value in order.note_attributes.items()]


def _fulfillment_order_lines(source: Any, info: Info, **args: Any) -> Any:
    rows = [
        {
            "id": gid("FulfillmentOrderLineItem", allocation.number),
            "number": allocation.number,
            "inventory_item_id": line.variant.item_id,
            "line_item": line,
            "product_title": line.variant.product_title,
            "remaining_quantity": allocation.remaining,
            "requires_shipping": not line.variant.gift_card,
            "sku": line.variant.sku,
            "total_quantity": allocation.total,
            "variant": line.variant,
            "variant_title": None,
        }
        for line, allocation in source.rows
    ]
    return connection(rows, args, lambda row: (0, row["number"]), whole=info.context.whole_lists)


def _restock_type(row: Any, _info: Info) -> str:
    return str(row.restock_type).upper()


THING_FIELDS: Mapping[str, Resolver] = {
    "Location.activatable": lambda place, _i: not place.is_active,
    "Location.deactivatable": lambda place, _i: place.is_active,
    "Location.hasActiveInventory": lambda _place, _i: True,
    "Location.isFulfillmentService": lambda _place, _i: False,
    "Location.shipsInventory": lambda place, _i: place.fulfills_online_orders,
    "Location.inventoryLevel": _location_level,
    "Location.inventoryLevels": _location_levels,
    "ProductVariant.availableForSale": lambda row, _i: (
        not row.tracked or row.inventory_policy == "CONTINUE" or row.sellable > 0
    ),
    "ProductVariant.barcode": lambda _row, _i: None,
    "ProductVariant.displayName": lambda row, _i: row.product_title,
    "ProductVariant.inventoryItem": lambda row, _i: row,
    "ProductVariant.inventoryQuantity": lambda row, _i: row.sellable if row.tracked else 0,
    "ProductVariant.product": lambda row, _i: _product(row),
    "ProductVariant.sellableOnlineQuantity": lambda row, _i: row.sellable if row.tracked else 1,
    "InventoryItem.id": lambda row, _i: row.item_id,
    "InventoryItem.legacyResourceId": lambda row, _i: row.item_number,
    "InventoryItem.duplicateSkuCount": lambda row, i: max(
        len(i.context.shop.stock.by_sku.get(row.sku, ())) - 1, 0
    ),
    "InventoryItem.inventoryLevel": _item_level,
    "InventoryItem.inventoryLevels": _item_levels,
    "InventoryItem.locationsCount": lambda row, _i: {"count": len(row.levels), "precision": "EXACT"},
    "InventoryItem.requiresShipping": lambda row, _i: not row.gift_card,
    "InventoryItem.variant": lambda row, _i: row,
    "InventoryItem.variants": lambda row, i, **args: listed([row], i, args),
    "InventoryLevel.canDeactivate": lambda level, _i: len(level.variant.levels) > 1,
    "InventoryLevel.item": lambda level, _i: level.variant,
    "InventoryLevel.quantities": _quantities,
    "InventoryAdjustmentGroup.app": lambda _group, i: app_of(i.context),
    "InventoryAdjustmentGroup.changes": _changes,
    "InventoryChange.item": lambda row, _i: row.level.variant,
    "InventoryChange.location": lambda row, _i: row.level.location,
    "Order.cancelReason": lambda order, _i: order.cancel_reason and order.cancel_reason.upper(),
    "Order.closed": lambda order, _i: order.closed_at is not None,
    "Order.confirmed": lambda _order, _i: True,
    "Order.currencyCode": lambda _order, i: i.context.shop.config.currency,
    "Order.currentSubtotalLineItemsQuantity": lambda order, _i: sum(
        line.current_quantity for line in order.lines
    ),
    "Order.customAttributes": _attributes,
    "Order.displayFinancialStatus": lambda order, _i: order.financial_status.upper(),
    "Order.displayFulfillmentStatus": _display_status,
    "Order.fulfillable": lambda order, _i: any(line.unfulfilled_quantity for line in order.lines),
    "Order.fulfillmentOrders": _fulfillment_orders,
    "Order.fulfillments": lambda order, _i, **args: order.fulfillments[: args.get("first")],
    "Order.legacyResourceId": lambda order, _i: order.number,
    "Order.lineItems": lambda order, i, **args: listed(order.lines, i, args),
    "Order.note": lambda _order, _i: None,
    "Order.number": lambda order, _i: order.order_number,
    "Order.processedAt": lambda order, _i: order.created_at,
    "Order.refunds": lambda order, _i, **args: order.refunds[: args.get("first")],
    "Order.sourceIdentifier": lambda order, _i: order.reference,
    "Order.subtotalLineItemsQuantity": lambda order, _i: sum(line.quantity for line in order.lines),
    "Order.tags": lambda _order, _i: [],
    "Order.test": lambda _order, _i: False,
    "LineItem.customAttributes": lambda line, _i: [
        {"key": key, "value": value} for key, value in line.properties.items()
    ],
    "LineItem.isGiftCard": lambda line, _i: line.variant.gift_card,
    "LineItem.name": lambda line, _i: line.variant.product_title,
    "LineItem.nonFulfillableQuantity": lambda _line, _i: 0,
    "LineItem.product": lambda line, _i: _product(line.variant),
    "LineItem.refundableQuantity": lambda line, _i: line.current_quantity,
    "LineItem.requiresShipping": lambda line, _i: not line.variant.gift_card,
    "LineItem.restockable": lambda line, _i: line.variant.tracked,
    "LineItem.sku": lambda line, _i: line.variant.sku,
    "LineItem.title": lambda line, _i: line.variant.product_title,
    "LineItem.variantTitle": lambda _line, _i: None,
    "FulfillmentOrder.assignedLocation": lambda each, _i: {
        "location": each.location,
        "name": each.location.name,
    },
    "FulfillmentOrder.lineItems": _fulfillment_order_lines,
    "FulfillmentOrder.orderId": lambda each, _i: each.order.id,
    "FulfillmentOrder.orderName": lambda each, _i: each.order.name,
    "FulfillmentOrder.orderProcessedAt": lambda each, _i: each.order.created_at,
    "Fulfillment.fulfillmentLineItems": lambda each, i, **args: listed(each.lines, i, args),
    "Fulfillment.status": lambda each, _i: each.status.upper(),
    "Fulfillment.totalQuantity": lambda each, _i: sum(row.quantity for row in each.lines),
    "FulfillmentLineItem.id": lambda row, _i: gid("FulfillmentLineItem", row.number),
    "Refund.processedAt": lambda refund, _i: refund.created_at,
    "Refund.refundLineItems": lambda refund, i, **args: listed(refund.lines, i, args),
    "Refund.updatedAt": lambda refund, _i: refund.created_at,
    "RefundLineItem.id": lambda row, _i: gid("RefundLineItem", row.number),
    "RefundLineItem.restockType": _restock_type,
    "RefundLineItem.restocked": lambda row, _i: row.restock_type != "no_restock",
    "WebhookSubscription.apiVersion": lambda _row, i: api_version(i.context.version),
    "WebhookSubscription.topic": lambda row, _i: topic_enum(row.topic),
    "BulkOperation.type": lambda _row, _i: "QUERY",
}
