"""The control port: shoppers, staff, the clock and trouble; and the truth about the stock."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.shopify.faults import FaultPlan
from sfsync.simulators.vendure.api import AdminApi
from sfsync.simulators.vendure.plugin import Plugin
from sfsync.simulators.vendure.shop import Level, NotPossible, Order, Shop

Act = Callable[[Mapping[str, Any]], Response]


class Control:
    """What only a test or a demo may see and do."""

    def __init__(self, shop: Shop, api: AdminApi, plugin: Plugin, faults: FaultPlan) -> None:
        self._shop, self._api, self._plugin, self._faults = shop, api, plugin, faults
        self.app = Starlette(
            routes=[
                Route("/levels", self.levels),
                Route("/stock", _told(self.stock), methods=["POST"]),
                Route("/allocated", _told(self.miscount), methods=["POST"]),
                Route("/orders", _told(self.buy), methods=["POST"]),
                Route("/orders/change", _told(self.change), methods=["POST"]),
                Route("/sessions", self.end_sessions, methods=["DELETE"]),
                Route("/webhooks", _told(self.webhooks), methods=["POST"]),
                Route("/clock", _told(self.move_clock), methods=["POST"]),
                Route("/faults", _told(self.order_fault), methods=["POST"]),
                Route("/faults", self.clear_faults, methods=["DELETE"]),
            ]
        )

    async def levels(self, _request: Request) -> Response:
        """What shoppers may buy of each SKU, and how that comes about, by location."""
        return JSONResponse(
            {
                each.sku: {
                    self._shop.locations[number]: {
                        "on_hand": level.on_hand,
                        "allocated": level.allocated,
                        "shows": level.on_hand - level.allocated,
                    }
                    for number, level in each.levels.items()
                }
                for each in self._shop.variants.values()
            }
        )

    def stock(self, asked: Mapping[str, Any]) -> Response:
        """`{"SKU": units}`: so many are on hand at the first location, and all orders are forgotten."""
        first = next(iter(self._shop.locations))
        self._shop.orders.clear()
        for each in self._shop.variants.values():
            if each.sku in asked:
                each.levels = {first: Level(int(asked[each.sku]))}
        return JSONResponse(dict(asked))

    def miscount(self, asked: Mapping[str, Any]) -> Response:
        """`{"SKU": units}`: so many count as allocated at the first location, whatever was sold."""
        first = next(iter(self._shop.locations))
        for each in self._shop.variants.values():
            if each.sku in asked:
                each.levels[first].allocated = int(asked[each.sku])
        return JSONResponse(dict(asked))

    def buy(self, asked: Mapping[str, Any]) -> Response:
        """`{"units": {"SKU": n}, "pay": true}`: a shopper orders."""
        order = self._shop.buy(asked.get("units", {}), pay=bool(asked.get("pay", True)))
        return JSONResponse(_order(order), 201)

    def change(self, asked: Mapping[str, Any]) -> Response:
        """`{"order": id, "do": "send" | "cancel", "units": n}`: staff; without units all of each line."""
        number, units = str(asked.get("order")), asked.get("units")
        match asked.get("do"):
            case "send":
                order = self._shop.send(number, units)
            case "cancel":
                order = self._shop.cancel(number, units)
            case _:
                raise NotPossible("do is send or cancel")
        return JSONResponse(_order(order))

    async def end_sessions(self, _request: Request) -> Response:
        """Every session is over."""
        self._api.end_sessions()
        return Response(status_code=204)

    def webhooks(self, asked: Mapping[str, Any]) -> Response:
        """`{"url": "..."}`: where the plugin posts to."""
        self._plugin.url = str(asked.get("url", ""))
        return JSONResponse(dict(asked))

    def move_clock(self, asked: Mapping[str, Any]) -> Response:
        """`{"seconds": n}` puts the clock forward."""
        self._shop.clock.move(float(asked.get("seconds", 0)))
        return JSONResponse({"now_ms": self._shop.clock.now() * 1000})

    def order_fault(self, asked: Mapping[str, Any]) -> Response:
        """A fault as the simulated Shopify store takes it; `match` is a root field, or webhook."""
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
    units = {line.variant.sku: line.quantity for line in order.lines}
    return {"id": order.number, "code": order.code, "state": order.state, "units": units}
