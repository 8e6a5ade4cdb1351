"""The control port: shoppers, staff, the clock and trouble; and the truth about the stock."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.amazon.store import NotPossible, Order, Store
from sfsync.simulators.shopify.faults import FaultPlan

Act = Callable[[Mapping[str, Any]], Response]


class Control:
    """What only a test or a demo may see and do."""

    def __init__(self, store: Store, faults: FaultPlan) -> None:
        self._store, self._faults = store, faults
        self.app = Starlette(
            routes=[
                Route("/listings", self.listings),
                Route("/feeds", self.feeds),
                Route("/feeds/fail", _told(self.fail), methods=["POST"]),
                Route("/orders", _told(self.buy), methods=["POST"]),
                Route("/orders/change", _told(self.change), methods=["POST"]),
                Route("/stock", _told(self.stock), methods=["POST"]),
                Route("/clock", _told(self.move_clock), methods=["POST"]),
                Route("/faults", _told(self.order_fault), methods=["POST"]),
                Route("/faults", self.clear_faults, methods=["DELETE"]),
            ]
        )

    async def listings(self, _request: Request) -> Response:
        """Every listing's quantity as shoppers see it."""
        self._store.work()
        return JSONResponse({each.sku: each.quantity for each in self._store.listings.values()})

    async def feeds(self, _request: Request) -> Response:
        """Every feed: how many messages it had, and whether it is processed."""
        self._store.work()
        return JSONResponse(
            [
                {"id": each.number, "messages": each.messages, "done": each.ended_at is not None}
                for each in self._store.feeds.values()
            ]
        )

    def fail(self, _asked: Mapping[str, Any]) -> Response:
        """Feeds that wait to be processed will fail as a whole."""
        for each in self._store.feeds.values():
            each.fatal = each.fatal or each.ended_at is None
        return JSONResponse({})

    def buy(self, asked: Mapping[str, Any]) -> Response:
        """`{"units": {"SKU": n}, "pending": false}`: a shopper orders."""
        order = self._store.buy(asked.get("units", {}), pending=bool(asked.get("pending")))
        return JSONResponse(_order(order), 201)

    def change(self, asked: Mapping[str, Any]) -> Response:
        """`{"order": id, "do": "pay" | "ship" | "cancel", "units": n}`: staff, or the shopper."""
        number, units = str(asked.get("order")), asked.get("units")
        match asked.get("do"):
            case "pay":
                order = self._store.pay(number)
            case "ship":
                order = self._store.ship(number, units)
            case "cancel":
                order = self._store.cancel(number, units)
            case _:
                raise NotPossible("do is pay, ship or cancel")
        return JSONResponse(_order(order))

    def stock(self, asked: Mapping[str, Any]) -> Response:
        """`{"SKU": quantity}`: staff edit numbers."""
        for sku, quantity in asked.items():
            if sku not in self._store.listings:
                raise NotPossible(f"there is no listing {sku!r}")
            self._store.listings[sku].quantity = int(quantity)
        return JSONResponse(dict(asked))

    def move_clock(self, asked: Mapping[str, Any]) -> Response:
        """`{"seconds": n}` puts the clock forward."""
        self._store.clock.move(float(asked.get("seconds", 0)))
        return JSONResponse({"now_ms": self._store.clock.now() * 1000})

    def order_fault(self, asked: Mapping[str, Any]) -> Response:
        """A fault as the simulated Shopify store takes it; `match` is an operation such as createFeed."""
        return JSONResponse(self._faults.order(asked).as_json(), 201)

    async def clear_faults(self, _request: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)


def _told(act: Act) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint with a JSON object as body; what cannot be is the caller's mistake."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            document = json.loads(raw) if raw else {}
            if not isinstance(document, dict):
                raise NotPossible("the body is not an object")
            return act(document)
        except (ValueError, NotPossible) as error:
            return JSONResponse({"error": str(error)}, 422)

    return endpoint


def _order(order: Order) -> dict[str, Any]:
    units = {item.listing.sku: item.ordered for item in order.items}
    return {"id": order.number, "state": order.status, "units": units}
