"""The fields at the top of the Admin API's queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sfsync.simulators.shopify.config import API_VERSIONS
from sfsync.simulators.shopify.filters import (
    ORDER_KEYS,
    item_filters,
    location_filters,
    order_filters,
    variant_filters,
)
from sfsync.simulators.shopify.model import ON_HAND_PARTS, STATES, Order, gid
from sfsync.simulators.shopify.payloads import APP_NUMBER
from sfsync.simulators.shopify.reading import (
    Info,
    Resolver,
    api_version,
    app_of,
    listed,
    needs_scope,
    number_of,
    topic_enum,
)


def _locations(_root: Any, info: Info, **args: Any) -> Any:
    call = info.context
    rows = [each for each in call.shop.stock.locations.values() if each.is_active or args["include_inactive"]]
    keys = {"NAME": lambda row: (row.name, row.number)}
    return listed(rows, info, args, location_filters(), keys)


def _location(_root: Any, info: Info, **args: Any) -> Any:
    call = info.context
    if args.get("id") is None:
        return next(iter(call.shop.stock.locations.values()), None)
    return call.shop.stock.locations.get(number_of(args["id"], "Location"))


def _variants(_root: Any, info: Info, **args: Any) -> Any:
    shop = info.context.shop
    keys = {"SKU": lambda row: (row.sku or "", row.number)}
    return listed(shop.stock.variants.values(), info, args, variant_filters(shop.config.knobs), keys)


def _items(_root: Any, info: Info, **args: Any) -> Any:
    shop = info.context.shop
    keys = {"ITEM": lambda row: (0, row.item_number)}
    by_item = {**args, "sort_key": "ITEM"}
    return listed(shop.stock.items.values(), info, by_item, item_filters(shop.config.knobs), keys)


def _orders(_root: Any, info: Info, **args: Any) -> Any:
    call = info.context
    rows: Iterable[Order] = call.shop.selling.orders.values()
    if lag := call.shop.config.knobs.search_lag_seconds:
        horizon = call.shop.clock.now() - lag
        rows = [order for order in rows if order.created_at <= horizon]
    return listed(rows, info, args, order_filters(), ORDER_KEYS)


def _fulfillment_order(_root: Any, info: Info, **args: Any) -> Any:
    call = info.context
    wanted = number_of(args["id"], "FulfillmentOrder")
    held = (each for order in call.shop.selling.orders.values() for each in call.shop.selling.routed(order))
    return next((each for each in held if each.number == wanted), None)


def _subscriptions(_root: Any, info: Info, **args: Any) -> Any:
    call = info.context
    rows = [each for each in call.shop.webhooks.subscriptions.values() if not each.by_app]
    if args.get("topics"):
        rows = [each for each in rows if topic_enum(each.topic) in args["topics"]]
    if args.get("uri"):
        rows = [each for each in rows if each.uri == args["uri"]]
    return listed(rows, info, args)


def _installation(_root: Any, info: Info) -> Any:
    call = info.context
    scopes = [{"handle": scope, "description": scope.replace("_", " ")} for scope in call.shop.config.scopes]
    return {"id": gid("AppInstallation", APP_NUMBER + 1), "app": app_of(call), "access_scopes": scopes}


def _shop(_root: Any, info: Info) -> Any:
    call = info.context
    config = call.shop.config
    plan = {
        "partner_development": False,
        "public_display_name": config.plan.label,
        "shopify_plus": config.plan.value >= 1000,
    }
    return {
        "id": gid("Shop", call.shop.number),
        "name": config.name.capitalize(),
        "myshopify_domain": config.domain,
        "url": f"https://{config.domain}",
        "currency_code": config.currency,
        "iana_timezone": "Etc/UTC",
        "plan": plan,
    }


def _quantity_names(_root: Any, _info: Info) -> Any:
    def entry(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "display_name": name.replace("_", " ").capitalize(),
            "is_in_use": True,
            "belongs_to": ["on_hand"] if name in ON_HAND_PARTS else [],
            "comprises": list(ON_HAND_PARTS) if name == "on_hand" else [],
        }

    return {"quantity_names": [entry(name) for name in (*STATES, "on_hand")]}


QUERY_FIELDS: Mapping[str, Resolver] = {
    "shop": _shop,
    "location": needs_scope("read_locations", _location),
    "locations": needs_scope("read_locations", _locations),
    "productVariant": needs_scope(
        "read_products", lambda _r, i, id: i.context.shop.stock.variants.get(number_of(id, "ProductVariant"))
    ),
    "productVariants": needs_scope("read_products", _variants),
    "inventoryItem": needs_scope(
        "read_inventory", lambda _r, i, id: i.context.shop.stock.items.get(number_of(id, "InventoryItem"))
    ),
    "inventoryItems": needs_scope("read_inventory", _items),
    "inventoryLevel": needs_scope(
        "read_inventory",
        lambda _r, i, id: i.context.shop.stock.level_numbered(number_of(id, "InventoryLevel")),
    ),
    "inventoryProperties": needs_scope("read_inventory", _quantity_names),
    "order": needs_scope(
        "read_orders", lambda _r, i, id: i.context.shop.selling.orders.get(number_of(id, "Order"))
    ),
    "orders": needs_scope("read_orders", _orders),
    "fulfillmentOrder": needs_scope("read_merchant_managed_fulfillment_orders", _fulfillment_order),
    "webhookSubscription": lambda _r, i, id: i.context.shop.webhooks.subscriptions.get(
        number_of(id, "WebhookSubscription")
    ),
    "webhookSubscriptions": _subscriptions,
    "currentAppInstallation": _installation,
    "publicApiVersions": lambda _r, _i: [api_version(handle) for handle in API_VERSIONS],
    "bulkOperation": lambda _r, i, id: i.context.shop.bulk.operations.get(number_of(id, "BulkOperation")),
    "bulkOperations": lambda _r, i, **args: listed(i.context.shop.bulk.operations.values(), i, args, {}),
}
