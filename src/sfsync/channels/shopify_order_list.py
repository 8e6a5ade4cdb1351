"""The store's order list, oldest change first: what webhooks may have failed to tell.

A page asks for a few lines and parts of each order; an order that has more is read whole by calls of its own,
so that none is ever taken for smaller than it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sfsync.channels import shopify_documents as documents
from sfsync.channels.shopify_client import ShopifyClient
from sfsync.ports import TryLater

_TRIES = 3  # to read an order whole while it keeps changing
_LINE_PAGES = 8  # of 250 lines: more than an order can have

_Node = Mapping[str, Any]


async def changed_orders(client: ShopifyClient, at: datetime) -> AsyncIterator[list[_Node]]:
    """Pages of whole order nodes changed at or after `at`."""
    moment = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    after: str | None = None
    while True:
        variables = {"query": f"updated_at:>='{moment}'", "after": after}
        data = await client.read("OrdersSince", documents.ORDERS_SINCE, variables)
        nodes = data["orders"]["nodes"]
        if nodes:
            yield [node if _is_whole(node) else await _read_whole(client, node["id"]) for node in nodes]
        page = data["orders"]["pageInfo"]
        if not page["hasNextPage"] or page["endCursor"] in (None, after):
            return
        after = page["endCursor"]


def _is_whole(node: _Node) -> bool:
    return (
        not node["lineItems"]["pageInfo"]["hasNextPage"]
        and _parts_are_whole(node["fulfillments"], "fulfillmentLineItems", documents.ORDER_PARTS)
        and _parts_are_whole(node["refunds"], "refundLineItems", documents.ORDER_PARTS)
    )


def _parts_are_whole(parts: list[_Node], rows: str, asked: int) -> bool:
    """A list without pages may have been cut when it has as many entries as were asked for."""
    return len(parts) < asked and not any(part[rows]["pageInfo"]["hasNextPage"] for part in parts)


async def _read_whole(client: ShopifyClient, order_id: str) -> _Node:
    """Every part of one order, all of the same version."""
    for _ in range(_TRIES):
        head = await _lines(client, order_id)
        fulfillments, fulfillments_at = await _parts(client, order_id, "fulfillments", "fulfillmentLineItems")
        refunds, refunds_at = await _parts(client, order_id, "refunds", "refundLineItems")
        if head["updatedAt"] == fulfillments_at == refunds_at:
            return {**head, "fulfillments": fulfillments, "refunds": refunds}
    raise TryLater(f"the order {order_id} kept changing while it was read")


async def _lines(client: ShopifyClient, order_id: str) -> dict[str, Any]:
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
    raise TryLater(f"the lines of the order {order_id} cannot be read to their end")


async def _parts(client: ShopifyClient, order_id: str, parts: str, rows: str) -> tuple[list[_Node], str]:
    operation, document = {
        "fulfillments": ("OrderFulfillments", documents.ORDER_FULFILLMENTS),
        "refunds": ("OrderRefunds", documents.ORDER_REFUNDS),
    }[parts]
    for most, lines in documents.PART_SIZES:
        variables = {"id": order_id, "parts": most, "lines": lines}
        order = (await client.read(operation, document, variables))["order"]
        if order is not None and _parts_are_whole(order[parts], rows, most):
            return order[parts], order["updatedAt"]
    raise TryLater(f"the {parts} of the order {order_id} are too many to be read")
