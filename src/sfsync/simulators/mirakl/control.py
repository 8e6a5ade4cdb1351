"""The control port: shoppers, staff, the clock and trouble; and the truth about the stock."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.mirakl.market import Market, NotPossible, Order
from sfsync.simulators.shopify.faults import FaultPlan

Act = Callable[[Mapping[str, Any]], Response]


class Control:
    """What only a test or a demo may see and do."""

    def __init__(self, market: Market, faults: FaultPlan) -> None:
        self._market, self._faults = market, faults
        self.app = Starlette(
            routes=[
                Route("/offers", self.offers),
                Route("/imports", self.imports),
                Route("/orders", self.orders),
                Route("/orders", _told(self.buy), methods=["POST"]),
                Route("/orders/change", _told(self.change), methods=["POST"]),
                Route("/stock", _told(self.stock), methods=["POST"]),
                Route("/imports/fail", _told(self.fail), methods=["POST"]),
                Route("/clock", _told(self.move_clock), methods=["POST"]),
                Route("/faults", _told(self.order_fault), methods=["POST"]),
                Route("/faults", self.clear_faults, methods=["DELETE"]),
            ]
        )

    async def offers(self, _request: Request) -> Response:
        """Every offer's quantity as shoppers see it, after what is due has been imported."""
        self._market.work()
        return JSONResponse({offer.sku: offer.quantity for offer in self._market.offers.values()})

    async def imports(self, _request: Request) -> Response:
        """Every stock file that was taken: its rows, and whether it is done."""
        self._market.work()
        return JSONResponse(
            [
                {"id": each.number, "rows": each.rows, "done": each.done, "errors": len(each.errors)}
                for each in self._market.imports.values()
            ]
        )

    async def orders(self, _request: Request) -> Response:
        return JSONResponse([_order(order) for order in self._market.orders.values()])

    def buy(self, asked: Mapping[str, Any]) -> Response:
        """`{"units": {"SKU": n}, "staging": false}`: a shopper orders."""
        order = self._market.buy(asked.get("units", {}), staging=bool(asked.get("staging")))
        return JSONResponse(_order(order), 201)

    def change(self, asked: Mapping[str, Any]) -> Response:
        """`{"order": id, "do": "accept" | "ship" | "cancel", "units": n}`: staff, or the shopper.

        `"send_back"` begins a return, `"take_back"` ends it: received, or in the `state` given.
        """
        number, what = str(asked.get("order")), asked.get("do")
        if what == "cancel":
            return JSONResponse(_order(self._market.cancel(number, units=asked.get("units"))))
        if what == "send_back":
            return JSONResponse(_order(self._market.send_back(number, units=asked.get("units"))))
        if what == "take_back":
            state = str(asked.get("state", "RECEIVED"))
            return JSONResponse(_order(self._market.take_back(number, state=state)))
        if what not in ("accept", "ship"):
            raise NotPossible("do is accept, ship, cancel, send_back or take_back")
        return JSONResponse(
            _order(self._market.accept(number) if what == "accept" else self._market.ship(number))
        )

    def stock(self, asked: Mapping[str, Any]) -> Response:
        """`{"SKU": quantity}`: staff edit numbers."""
        for sku, quantity in asked.items():
            if sku not in self._market.offers:
                raise NotPossible(f"there is no offer {sku!r}")
            self._market.offers[sku].quantity = int(quantity)
        return JSONResponse(dict(asked))

    def fail(self, _asked: Mapping[str, Any]) -> Response:
        """What waits to be imported will fail as a whole."""
        for each in self._market.imports.values():
            each.failed = each.failed or not each.done
        return JSONResponse({})

    def move_clock(self, asked: Mapping[str, Any]) -> Response:
        """`{"seconds": n}` puts the clock forward."""
        self._market.clock.move(float(asked.get("seconds", 0)))
        return JSONResponse({"now_ms": self._market.clock.now() * 1000})

    def order_fault(self, asked: Mapping[str, Any]) -> Response:
        """A fault as the simulated Shopify store takes it; `match` is an operation such as STO01."""
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
    units = {line.offer.sku: line.quantity for line in order.lines}
    return {"id": order.number, "state": order.state, "units": units}
