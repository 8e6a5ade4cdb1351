"""The control port: what only a test or a demo may see and do.

The log is the outside's truth about this shop's stock; faults, the clock and staff edits are
how the outside misbehaves. It is never shown to the product.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.shopify.config import API_VERSION
from sfsync.simulators.shopify.http_storefront import order_view
from sfsync.simulators.shopify.model import STATES, StockChange
from sfsync.simulators.shopify.webhooks import signature

if TYPE_CHECKING:
    from sfsync.simulators.shopify.shop import Shop

LOG_PAGE = 10_000
LONGEST_WAIT_SECONDS = 30.0


def control_app(shop: Shop) -> Starlette:
    """The control port's application."""
    port = _Control(shop)
    return Starlette(
        routes=[
            Route("/health", port.health),
            Route("/log", port.log),
            Route("/levels", port.levels),
            Route("/orders", port.orders),
            Route("/webhooks", port.webhooks),
            Route("/webhooks/send", _told(port.send), methods=["POST"]),
            Route("/webhook-target", _told(port.target), methods=["POST"]),
            Route("/calls", port.calls),
            Route("/faults", port.faults),
            Route("/faults", _told(port.order_fault), methods=["POST"]),
            Route("/faults", port.clear_faults, methods=["DELETE"]),
            Route("/clock", _told(port.move_clock), methods=["POST"]),
            Route("/stock", _told(port.stock), methods=["POST"]),
            Route("/secret", _told(port.rotate_secret), methods=["POST"]),
            Route("/tokens", port.revoke_tokens, methods=["DELETE"]),
        ]
    )


def _told(
    act: Callable[[Mapping[str, Any]], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint with a JSON object as body; a ValueError is the caller's mistake."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            document = json.loads(raw) if raw else {}
            if not isinstance(document, dict):
                raise ValueError("the body is not an object")
            return await act(document)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 422)

    return endpoint


class _Control:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"shop": self._shop.config.domain, "now_ms": self._shop.clock.now() * 1000})

    async def log(self, request: Request) -> Response:
        """Changes after `since`; `names=all` for every state, `wait=seconds` to wait for the next."""
        asked = request.query_params
        since = int(asked.get("since", 0))
        if wait := min(float(asked.get("wait", 0)), LONGEST_WAIT_SECONDS):
            await self._shop.stock.wait_for_change_after(since, wait)
        page = self._shop.stock.changes[since : since + LOG_PAGE]
        rows = [_change(row) for row in page if asked.get("names") == "all" or row.name == "available"]
        return JSONResponse({"changes": rows, "next": page[-1].number if page else since})

    async def levels(self, _request: Request) -> Response:
        """Every level with all its states, now."""
        rows = [
            {
                "sku": variant.sku,
                "inventory_item_id": variant.item_id,
                "location": level.location.name,
                "location_id": level.location.id,
                "on_hand": level.quantity("on_hand"),
                **level.quantities,
            }
            for variant in self._shop.stock.variants.values()
            for level in variant.levels.values()
        ]
        return JSONResponse({"levels": rows})

    async def orders(self, _request: Request) -> Response:
        return JSONResponse({"orders": [order_view(order) for order in self._shop.selling.orders.values()]})

    async def webhooks(self, request: Request) -> Response:
        """Subscriptions and, after `since`, deliveries with their attempts."""
        since = int(request.query_params.get("since", 0))
        sender = self._shop.webhooks
        subscriptions = [
            {"id": each.id, "topic": each.topic, "uri": each.uri, "by_app": each.by_app, "name": each.name}
            for each in sender.subscriptions.values()
        ]
        deliveries = [each.as_json() for each in sender.deliveries if each.number > since]
        return JSONResponse({"subscriptions": subscriptions, "deliveries": deliveries})

    async def calls(self, _request: Request) -> Response:
        admin = self._shop.admin
        operations = {name: {"count": n, "points": admin.points[name]} for name, n in admin.calls.items()}
        totals = {"count": sum(admin.calls.values()), "points": sum(admin.points.values())}
        bucket = self._shop.bucket.status()
        return JSONResponse(
            {"operations": operations, "total": totals, "throttled": admin.throttled, "bucket": bucket}
        )

    async def faults(self, _request: Request) -> Response:
        return JSONResponse({"faults": [fault.as_json() for fault in self._shop.faults.active]})

    async def order_fault(self, document: Mapping[str, Any]) -> Response:
        return JSONResponse(self._shop.faults.order(document).as_json(), 201)

    async def clear_faults(self, _request: Request) -> Response:
        self._shop.faults.clear()
        return Response(status_code=204)

    async def move_clock(self, document: Mapping[str, Any]) -> Response:
        """`{"seconds": n}` puts the clock forward."""
        self._shop.clock.move(float(document.get("seconds", 0)))
        return JSONResponse({"now_ms": self._shop.clock.now() * 1000})

    async def stock(self, document: Mapping[str, Any]) -> Response:
        """An edit by staff: `sku`, `location`, and `set` or `delta`; `name` is the state."""
        held = self._shop.stock.by_sku.get(str(document.get("sku")))
        if not held:
            raise ValueError(f"no article has the SKU {document.get('sku')!r}")
        first = next(iter(self._shop.stock.locations.values()))
        place = self._shop.stock.location_named(str(document.get("location", first.name)))
        if place is None:
            raise ValueError(f"no location is called {document.get('location')!r}")
        name = document.get("name", "available")
        if name not in STATES:
            raise ValueError(f"name is one of {', '.join(STATES)}")
        level = self._shop.stock.connect(held[0], place)
        delta = document.get("delta")
        if delta is None:
            delta = int(document["set"]) - level.quantities[name] if "set" in document else 0
        self._shop.stock.change(level, name, int(delta), "manual")
        return JSONResponse({"sku": held[0].sku, "location": place.name, "after": level.quantities[name]})

    async def target(self, document: Mapping[str, Any]) -> Response:
        """`{"url": …, "topics": […]}` replaces the app's own subscriptions; no url removes them."""
        url = document.get("url")
        topics = document.get("topics", list(self._shop.config.webhook_topics))
        self._shop.webhooks.set_app_target(url, list(topics))
        return JSONResponse({"url": url, "topics": topics})

    async def send(self, document: Mapping[str, Any]) -> Response:
        """Post a made-up webhook: `url`, `topic`, `payload` (JSON) or `raw` (text); `headers` override."""
        if "url" not in document:
            raise ValueError("url is missing")
        raw = document.get("raw")
        body = (raw if isinstance(raw, str) else json.dumps(document.get("payload", {}))).encode()
        secret = str(document.get("secret", self._shop.webhooks.secret))
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": str(document.get("topic", "orders/create")),
            "X-Shopify-Hmac-Sha256": signature(secret, body),
            "X-Shopify-Shop-Domain": self._shop.config.domain,
            "X-Shopify-API-Version": API_VERSION,
            "X-Shopify-Webhook-Id": f"made-up-{self._shop.rng.getrandbits(64):x}",
            "X-Shopify-Event-Id": f"made-up-{self._shop.rng.getrandbits(64):x}",
            **{str(name): str(value) for name, value in document.get("headers", {}).items()},
        }
        return JSONResponse(
            {"status": await self._shop.webhooks.send_raw(str(document["url"]), body, headers)}
        )

    async def rotate_secret(self, document: Mapping[str, Any]) -> Response:
        """`{"secret": …}`: webhooks are signed with it from now on."""
        if not document.get("secret"):
            raise ValueError("secret is missing")
        self._shop.webhooks.secret = str(document["secret"])
        return JSONResponse({"secret": self._shop.webhooks.secret})

    async def revoke_tokens(self, _request: Request) -> Response:
        self._shop.tokens.revoke_all()
        return Response(status_code=204)


def _change(row: StockChange) -> dict[str, Any]:
    return {
        "number": row.number,
        "at_ms": row.at * 1000,
        "sku": row.sku,
        "location": row.level.location.name,
        "location_id": row.level.location.id,
        "inventory_item_id": row.level.variant.item_id,
        "name": row.name,
        "delta": row.delta,
        "after": row.after,
        "cause": row.cause,
        "reference_document_uri": row.reference_document_uri,
        "order": row.order_name,
    }
