"""A Shopify channel on a table: its store is a function from request to response, its clock a hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import orjson
from tests.channels.clock import HandClock

from sfsync.channels.config import ShopifyConfig
from sfsync.channels.shopify import ShopifyChannel
from sfsync.ports import Write

SECRET, OLD_SECRET, TOKEN = "hush-new", "hush-old", "shpat_do_not_tell"
LOCATION = "gid://shopify/Location/7"

Answer = httpx.Response | Exception
Store = Callable[[httpx.Request], Answer]


def config(**changes: Any) -> ShopifyConfig:
    """A store in London with one location; any part may be changed."""
    known: dict[str, Any] = {
        "name": "london",
        "url": "https://london.myshopify.com",
        "locations": {"warehouse": LOCATION},
        "access_token": TOKEN,
        "webhook_secrets": (SECRET, OLD_SECRET),
    }
    return ShopifyConfig(**{**known, **changes})


def channel(
    *answers: Answer | Store, clock: HandClock | None = None, **changes: Any
) -> tuple[ShopifyChannel, Asked]:
    """A channel whose store gives these answers in turn, the last one for ever; and what it was asked."""
    asked = Asked()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.requests.append(request)
        given = answers[min(len(asked.requests), len(answers)) - 1]
        given = given(request) if callable(given) else given
        if isinstance(given, Exception):
            raise given
        return given

    made = ShopifyChannel(
        config(**changes), clock or HandClock(), transport=httpx.MockTransport(answer), luck=lambda: 0.0
    )
    return made, asked


class Asked:
    """The requests that reached the store."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    @property
    def bodies(self) -> list[bytes]:
        """Their bodies, as sent."""
        return [request.content for request in self.requests]

    @property
    def documents(self) -> list[Any]:
        """Their bodies, read."""
        return [orjson.loads(body) for body in self.bodies]


def answered(
    data: Any = None, *, errors: Sequence[Any] = (), held: float = 1990, cost: int = 10, **more: Any
) -> httpx.Response:
    """An answer of HTTP 200 with the store's cost extension."""
    throttle = {"maximumAvailable": 2000.0, "currentlyAvailable": held, "restoreRate": 100.0}
    document: dict[str, Any] = {
        "data": data,
        "extensions": {
            "cost": {"requestedQueryCost": cost, "actualQueryCost": cost, "throttleStatus": throttle}
        },
    }
    if errors:
        document["errors"] = list(errors)
    headers = {"X-Shopify-API-Version": "2026-10", **more.pop("headers", {})}
    return httpx.Response(200, json=document, headers=headers)


def adjusted(*user_errors: tuple[str, list[str] | None]) -> httpx.Response:
    """The answer to a change: done, or these codes at these paths."""
    group = None if user_errors else {"id": "gid://shopify/InventoryAdjustmentGroup/1"}
    errors = [{"code": code, "field": field, "message": f"about {code}"} for code, field in user_errors]
    return answered({"inventoryAdjustQuantities": {"inventoryAdjustmentGroup": group, "userErrors": errors}})


def change(n: int = 0, delta: int = -1, compare: int | None = None) -> Write:
    """A row that changes item number `n`."""
    return Write(
        f"SKU-{n}", "warehouse", f"gid://shopify/InventoryItem/{n}", LOCATION, delta=delta, compare=compare
    )


def order_node(**more: Any) -> dict[str, Any]:
    """The order list's words for a parcel sent, one of two come back, and a unit called off."""
    return {
        "id": "gid://shopify/Order/820982911946154508",
        "name": "#1001",
        "createdAt": "2026-11-23T07:59:58Z",
        "processedAt": "2026-11-23T07:59:50Z",
        "updatedAt": "2026-11-23T08:00:00Z",
        "cancelledAt": None,
        "displayFinancialStatus": "PARTIALLY_REFUNDED",
        "customAttributes": [{"key": "sfsync_reservation", "value": "r1"}],
        "retailLocation": {"id": "gid://shopify/Location/7"},
        "lineItems": {
            "nodes": [
                {
                    "id": "gid://shopify/LineItem/11",
                    "sku": "BAG-1",
                    "quantity": 4,
                    "currentQuantity": 2,
                    "unfulfilledQuantity": 1,
                    "isGiftCard": False,
                    "variant": {"id": "gid://shopify/ProductVariant/111"},
                    "customAttributes": [{"key": "sfsync_unit", "value": "A-17"}],
                }
            ]
        },
        "fulfillments": [
            {
                "createdAt": "2026-11-23T07:10:00Z",
                "status": "SUCCESS",
                "fulfillmentLineItems": {
                    "nodes": [{"quantity": 2, "lineItem": {"id": "gid://shopify/LineItem/11"}}]
                },
            }
        ],
        "refunds": [
            {
                "createdAt": "2026-11-23T07:20:00Z",
                "refundLineItems": {
                    "nodes": [
                        {"quantity": 1, "restockType": kind, "lineItem": {"id": "gid://shopify/LineItem/11"}}
                        for kind in ("RETURN", "CANCEL")
                    ]
                },
            }
        ],
        **more,
    }
