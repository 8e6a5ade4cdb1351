"""The store's order list, oldest change first: what webhooks may have failed to tell.

A page asks for a few lines and parts of each order; an order that has more is read whole by calls of its own,
so that none is ever taken for smaller than it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from sfsync.channels import shopify_documents as documents
from sfsync.channels.shopify_client import ShopifyClient
from sfsync.ports import TryLater

log = structlog.get_logger(__name__)

_TRIES = 3  # to read an order whole while it keeps changing
_LINE_PAGES = 8  # of 250 lines: more than an order can have

_Node = Mapping[str, Any]
ROUTE_GID = "gid://shopify/FulfillmentOrder/"
_PARTS = ("fulfillments", "refunds", "fulfillmentOrders")
_ROWS = {"fulfillments": "fulfillmentLineItems", "refunds": "refundLineItems"}
_TEXTS = {
    "fulfillments": ("OrderFulfillments", documents.ORDER_FULFILLMENTS),
    "refunds": ("OrderRefunds", documents.ORDER_REFUNDS),
}
_ROUTED_TEXTS = {
    "fulfillments": ("RoutedOrderFulfillments", documents.ROUTED_ORDER_FULFILLMENTS),
    "refunds": ("RoutedOrderRefunds", documents.ROUTED_ORDER_REFUNDS),
    "fulfillmentOrders": ("OrderRouting", documents.ORDER_ROUTING),
}


async def changed_orders(client: ShopifyClient, at: datetime, *, routed: bool) -> AsyncIterator[list[_Node]]:
    """Pages of whole order nodes changed at or after `at`; `routed`: with the locations of their units."""
    operation, document = (
        ("RoutedOrdersSince", documents.ROUTED_ORDERS_SINCE)
        if routed
        else ("OrdersSince", documents.ORDERS_SINCE)
    )
    async for nodes in _pages(client, operation, document, at):
        whole = [node if _is_whole(node) else await _read_whole(client, node, routed) for node in nodes]
        if page_nodes := [node for node in whole if node is not None]:
            yield page_nodes


def order_heads(client: ShopifyClient, at: datetime) -> AsyncIterator[list[_Node]]:
    """Pages of ids and times alone of the orders changed at or after `at`."""
    return _pages(client, "OrderTimes", documents.ORDER_TIMES, at)


async def _pages(
    client: ShopifyClient, operation: str, document: str, at: datetime
) -> AsyncIterator[list[_Node]]:
    moment = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    after: str | None = None
    paged = 0
    while True:
        variables = {"query": f"updated_at:>='{moment}'", "after": after}
        data = await client.read(operation, document, variables)
        nodes = data["orders"]["nodes"]
        if nodes:
            yield nodes
        page = data["orders"]["pageInfo"]
        if not page["hasNextPage"] or page["endCursor"] in (None, after):
            return
        after, paged = page["endCursor"], paged + len(nodes)
        if paged >= documents.PAGED_ROWS:
            moment, after, paged = nodes[-1]["updatedAt"], None, 0


async def one_order(client: ShopifyClient, reference: str, *, routed: bool) -> _Node | None:
    """One order whole, by its gid or the gid of one of its fulfilment orders; None when there is none."""
    if reference.startswith(ROUTE_GID):
        found = await client.read("OrderOfRoute", documents.ORDER_OF_ROUTE, {"id": reference})
        if found["fulfillmentOrder"] is None:
            return None
        reference = found["fulfillmentOrder"]["orderId"]
    operation, document = ("RoutedOrder", documents.ROUTED_ORDER) if routed else ("Order", documents.ORDER)
    node: _Node | None = (await client.read(operation, document, {"id": reference}))["order"]
    if node is None or _is_whole(node):
        return node
    return await _read_whole(client, node, routed)


def _is_whole(node: _Node) -> bool:
    return (
        not node["lineItems"]["pageInfo"]["hasNextPage"]
        and _parts_are_whole(node["fulfillments"], "fulfillmentLineItems", documents.ORDER_PARTS)
        and _parts_are_whole(node["refunds"], "refundLineItems", documents.ORDER_PARTS)
        and _routes_are_whole(node.get("fulfillmentOrders"))
    )


def _routes_are_whole(routes: _Node | None) -> bool:
    if routes is None:
        return True
    lists = (routes, *(route["lineItems"] for route in routes["nodes"]))
    return not any(each["pageInfo"]["hasNextPage"] for each in lists)


def _parts_are_whole(parts: list[_Node], rows: str, asked: int) -> bool:
    """A list without pages may have been cut when it has as many entries as were asked for."""
    return len(parts) < asked and not any(part[rows]["pageInfo"]["hasNextPage"] for part in parts)


async def _read_whole(client: ShopifyClient, node: _Node, routed: bool) -> _Node | None:
    """Every part of one order, all of the same version; None, and a line in the log, when it is too large."""
    for _ in range(_TRIES):
        head = await _lines(client, node["id"])
        parts = [await _parts(client, node["id"], part, routed) for part in _PARTS[: 3 if routed else 2]]
        if head is None or None in parts:
            log.error("an order is too large to be polled: only its webhooks tell of it", order=node["name"])
            return None
        told = [part for part in parts if part is not None]
        if all(part["updatedAt"] == head["updatedAt"] for part in told):
            return {name: value for part in (head, *told) for name, value in part.items()}
    raise TryLater(f"the order {node['name']} kept changing while it was read")


async def _lines(client: ShopifyClient, order_id: str) -> _Node | None:
    after: str | None = None
    nodes: list[_Node] = []
    for _ in range(_LINE_PAGES):
        variables = {"id": order_id, "after": after}
        order = (await client.read("OrderLineItems", documents.ORDER_LINE_ITEMS, variables))["order"]
        if order is None:
            break
        nodes += order["lineItems"]["nodes"]
        page = order["lineItems"]["pageInfo"]
        if not page["hasNextPage"]:
            return {**order, "lineItems": {"nodes": nodes}}
        after = page["endCursor"]
    return None


async def _parts(client: ShopifyClient, order_id: str, parts: str, routed: bool) -> _Node | None:
    operation, document = _ROUTED_TEXTS[parts] if routed else _TEXTS[parts]
    for most, lines in documents.ROUTED_PART_SIZES if routed else documents.PART_SIZES:
        variables = {"id": order_id, "parts": most, "lines": lines}
        order = (await client.read(operation, document, variables))["order"]
        if order is None:
            continue
        found = order[parts]
        whole = (
            _routes_are_whole(found)
            if parts == "fulfillmentOrders"
            else _parts_are_whole(found, _ROWS[parts], most)
        )
        if whole:
            return {"updatedAt": order["updatedAt"], parts: found}
    return None
