"""Webhook payloads: the REST-like documents that the shop sends.

They hold every field that matters for stock, under the real names. Ids are numbers, times carry
the shop's offset, and an order does not tell which location was charged.
"""

from __future__ import annotations

from typing import Any

from sfsync.simulators.shopify.clock import iso_with_offset
from sfsync.simulators.shopify.model import (
    Fulfillment,
    FulfillmentOrder,
    Level,
    LineItem,
    Order,
    Refund,
    Variant,
    gid,
)

APP_NUMBER = 580_111


def _time(epoch_seconds: float | None) -> str | None:
    return None if epoch_seconds is None else iso_with_offset(epoch_seconds)


def order_payload(order: Order) -> dict[str, Any]:
    """orders/create, orders/updated, orders/cancelled, orders/fulfilled: the same document."""
    total = f"{sum(float(line.variant.price) * line.quantity for line in order.lines):.2f}"
    return {
        "id": order.number,
        "admin_graphql_api_id": order.id,
        "app_id": APP_NUMBER,
        "cancel_reason": order.cancel_reason,
        "cancelled_at": _time(order.cancelled_at),
        "closed_at": _time(order.closed_at),
        "confirmed": True,
        "created_at": _time(order.created_at),
        "currency": "GBP",
        "email": "",
        "financial_status": order.financial_status,
        "fulfillment_status": order.fulfillment_status,
        "location_id": order.retail_location.number if order.retail_location else None,
        "name": order.name,
        "note": None,
        "note_attributes": [{"name": name, "value": value} for name, value in order.note_attributes.items()],
        "number": order.order_number - 1000,
        "order_number": order.order_number,
        "processed_at": _time(order.created_at),
        "reference": order.reference,
        "source_identifier": order.reference,
        "source_name": order.source_name,
        "tags": "",
        "test": False,
        "total_price": total,
        "updated_at": _time(order.updated_at),
        "line_items": [line_item_payload(line) for line in order.lines],
        "fulfillments": [fulfillment_payload(fulfillment) for fulfillment in order.fulfillments],
        "refunds": [refund_payload(refund) for refund in order.refunds],
        "returns": [],
    }


def line_item_payload(line: LineItem) -> dict[str, Any]:
    """A line item as it stands inside orders, refunds and fulfilments."""
    variant = line.variant
    fulfilled = line.fulfilled_quantity
    status = None if not fulfilled else "fulfilled" if not line.unfulfilled_quantity else "partial"
    return {
        "id": line.number,
        "admin_graphql_api_id": line.id,
        "current_quantity": line.current_quantity,
        "fulfillable_quantity": line.unfulfilled_quantity,
        "fulfillment_service": "manual",
        "fulfillment_status": status,
        "gift_card": variant.gift_card,
        "name": variant.product_title,
        "price": variant.price,
        "product_exists": True,
        "product_id": variant.product_number,
        "properties": [{"name": name, "value": value} for name, value in line.properties.items()],
        "quantity": line.quantity,
        "requires_shipping": not variant.gift_card,
        "sales_line_item_group_id": None,
        "sku": variant.sku,
        "title": variant.product_title,
        "variant_id": variant.number,
        "variant_inventory_management": "shopify" if variant.tracked else None,
        "variant_title": None,
    }


def refund_payload(refund: Refund) -> dict[str, Any]:
    """refunds/create."""
    return {
        "id": refund.number,
        "admin_graphql_api_id": refund.id,
        "order_id": refund.order.number,
        "created_at": _time(refund.created_at),
        "processed_at": _time(refund.created_at),
        "note": refund.note,
        "restock": any(row.restock_type != "no_restock" for row in refund.lines),
        "user_id": None,
        "return": None,
        "refund_line_items": [
            {
                "id": row.number,
                "line_item_id": row.line_item.number,
                "quantity": row.quantity,
                "restock_type": row.restock_type,
                "location_id": row.location.number if row.location else None,
                "line_item": line_item_payload(row.line_item),
            }
            for row in refund.lines
        ],
        "transactions": [],
        "order_adjustments": [],
    }


def fulfillment_payload(fulfillment: Fulfillment) -> dict[str, Any]:
    """fulfillments/create and fulfillments/update."""
    return {
        "id": fulfillment.number,
        "admin_graphql_api_id": fulfillment.id,
        "order_id": fulfillment.order.number,
        "name": fulfillment.name,
        "status": fulfillment.status,
        "location_id": fulfillment.location.number,
        "created_at": _time(fulfillment.created_at),
        "updated_at": _time(fulfillment.updated_at),
        "tracking_number": None,
        "tracking_numbers": [],
        "line_items": [
            {**line_item_payload(row.line_item), "quantity": row.quantity} for row in fulfillment.lines
        ],
    }


def edit_payload(number: int, order: Order, at: float, deltas: list[tuple[LineItem, int]]) -> dict[str, Any]:
    """orders/edited: line item ids and deltas only."""
    return {
        "order_edit": {
            "id": number,
            "app_id": APP_NUMBER,
            "created_at": _time(at),
            "committed_at": _time(at),
            "notify_customer": False,
            "order_id": order.number,
            "staff_note": "",
            "user_id": None,
            "line_items": {
                "additions": [{"id": line.number, "delta": delta} for line, delta in deltas if delta > 0],
                "removals": [{"id": line.number, "delta": -delta} for line, delta in deltas if delta < 0],
            },
            "discounts": {"line_item": {"additions": [], "removals": []}},
            "shipping_lines": {"additions": [], "removals": []},
        }
    }


def level_payload(level: Level) -> dict[str, Any]:
    """inventory_levels/update and inventory_levels/connect: the level as it is now, not the change."""
    return {
        "inventory_item_id": level.variant.item_number,
        "location_id": level.location.number,
        "available": level.quantities["available"],
        "updated_at": _time(level.updated_at),
        "admin_graphql_api_id": level.id,
    }


def variant_payload(variant: Variant, old_quantity: int) -> dict[str, Any]:
    """variants/in_stock and variants/out_of_stock."""
    return {
        "id": variant.number,
        "admin_graphql_api_id": variant.id,
        "inventory_policy": variant.inventory_policy.lower(),
        "inventory_quantity": variant.sellable,
        "old_inventory_quantity": old_quantity,
        "product_id": variant.product_number,
        "sku": variant.sku,
        "updated_at": _time(variant.updated_at),
    }


def routing_payload(fulfillment_order: FulfillmentOrder) -> dict[str, Any]:
    """fulfillment_orders/order_routing_complete: id and status only."""
    return {"fulfillment_order": {"id": fulfillment_order.id, "status": fulfillment_order.status.lower()}}


def moved_payload(old: FulfillmentOrder, new: FulfillmentOrder) -> dict[str, Any]:
    """fulfillment_orders/moved: from which place to which."""
    return {
        "original_fulfillment_order": _assigned(old),
        "moved_fulfillment_order": _assigned(new),
        "destination_location_id": new.location.id,
        "fulfillment_order_line_items_requested": [
            {"id": gid("FulfillmentOrderLineItem", row.number), "quantity": row.total} for _, row in new.rows
        ],
        "source_location": {"id": old.location.id},
    }


def _assigned(fulfillment_order: FulfillmentOrder) -> dict[str, Any]:
    return {
        "id": fulfillment_order.id,
        "status": fulfillment_order.status.lower(),
        "assigned_location_id": fulfillment_order.location.id,
    }
