"""Which webhooks a Shopify store sends: read, subscribed to and ended through the Admin API.

Only what was subscribed to through the API is told: what stands in the app's own configuration is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from sfsync.channels import shopify_documents as documents
from sfsync.channels import shopify_orders, shopify_webhooks
from sfsync.channels.shopify_client import ShopifyClient
from sfsync.domain.subscriptions import Subscription
from sfsync.ports import Refused, Unknown

# orders/paid tells nothing that orders/updated does not, and comes for every order.
TOPICS = tuple(sorted((shopify_orders.ORDER_TOPICS - {"orders/paid"}) | {shopify_webhooks.LEVEL_TOPIC}))
ROUTING_TOPICS = tuple(sorted(shopify_orders.CALL_TOPICS))
_BY_NAME = {topic.replace("/", "_").upper(): topic for topic in (*TOPICS, *ROUTING_TOPICS)}


async def subscriptions(client: ShopifyClient) -> list[Subscription]:
    """Every subscription that this app made through the API. An unknown topic keeps its GraphQL name."""
    found: list[Subscription] = []
    after: str | None = None
    while True:
        read = await client.read("Webhooks", documents.WEBHOOKS, {"after": after})
        connection = read["webhookSubscriptions"]
        found += [_subscription(node) for node in connection["nodes"]]
        page = connection["pageInfo"]
        if not page["hasNextPage"] or page["endCursor"] in (None, after):
            return found
        after = page["endCursor"]


async def subscribe(client: ShopifyClient, name: str, topic: str, address: str) -> None:
    """Ask for webhooks of a topic. `Unknown` when there is no answer: read again what there is."""
    variables = {
        "topic": topic.replace("/", "_").upper(),
        "wanted": {"uri": address, "format": "JSON"},
    }
    await _change(client, name, "SubscribeWebhook", documents.SUBSCRIBE_WEBHOOK, variables)


async def unsubscribe(client: ShopifyClient, name: str, subscription: Subscription) -> None:
    """End a subscription; one that is gone already is fine."""
    variables = {"id": subscription.id}
    await _change(
        client, name, "UnsubscribeWebhook", documents.UNSUBSCRIBE_WEBHOOK, variables, gone="not exist"
    )


async def _change(
    client: ShopifyClient,
    name: str,
    operation: str,
    document: str,
    variables: Mapping[str, Any],
    *,
    gone: str = "",
) -> None:
    body = orjson.dumps({"query": document, "operationName": operation, "variables": variables})
    reply = await client.push(operation, body)
    payload = next(iter((reply.data or {}).values()), None)
    if payload is None and reply.errors:
        raise client.refusal(operation, reply)
    if payload is None or payload.get("userErrors") is None:
        raise Unknown(f"{name}: the answer to {operation} does not say what became of it")
    errors: Sequence[Mapping[str, Any]] = payload["userErrors"]
    told = "; ".join(str(error.get("message")) for error in errors)
    if errors and not (gone and gone in told):
        advice = "the address must be https and reachable from the internet"
        raise Refused(f"{name}: {operation} was refused: {told}", advice=advice)


def _subscription(node: Mapping[str, Any]) -> Subscription:
    whole = node["format"] == "JSON" and not node["includeFields"] and not node["filter"]
    return Subscription(_BY_NAME.get(node["topic"], node["topic"]), node["uri"], node["id"], whole)
