"""The shop as shoppers and its own staff meet it: look, buy, cancel, send, refund, edit.

Nothing here exists in the real service under these addresses; it stands for its checkout and
its admin pages, so that tests and demos can act as people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sfsync.simulators.shopify.allocating import NotPossible, SoldOut
from sfsync.simulators.shopify.clock import iso
from sfsync.simulators.shopify.faults import STOREFRONT_KINDS
from sfsync.simulators.shopify.model import LineItem, Location, Order, Variant
from sfsync.simulators.shopify.selling import Purchase, RefundRow
from sfsync.simulators.shopify.wire import CutResponse

if TYPE_CHECKING:
    from sfsync.simulators.shopify.shop import Shop


class _Wrong(Exception):
    """The request is not one; `status` says how."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


class StorefrontHttp:
    """Answers shoppers and staff."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.routes: list[BaseRoute] = [
            Route("/storefront/products", self.products),
            Route("/storefront/products/{sku:path}", self.product),
            Route("/storefront/buy", self.buy, methods=["POST"]),
            Route("/storefront/orders/{number:int}", self.order),
            *(
                Route(f"/storefront/orders/{{number:int}}/{verb}", self._staff(verb), methods=["POST"])
                for verb in ("cancel", "fulfil", "unfulfil", "refund", "edit", "move")
            ),
        ]

    async def products(self, _request: Request) -> Response:
        """All articles as shoppers see them."""
        return JSONResponse(
            {"products": [self._seen(variant) for variant in self._shop.stock.variants.values()]}
        )

    async def product(self, request: Request) -> Response:
        """One article as shoppers see it, and when its number last changed."""
        held = self._shop.stock.by_sku.get(request.path_params["sku"])
        if not held:
            return JSONResponse({"error": "not_found"}, 404)
        return JSONResponse(self._seen(held[0]))

    async def buy(self, request: Request) -> Response:
        """Sell, or answer 409 `sold_out` and charge nothing."""
        faults = self._shop.faults.strikes(STOREFRONT_KINDS, ["buy"])
        if "shop_error" in faults:
            return JSONResponse({"error": "shop_closed"}, faults["shop_error"].status or 503)
        try:
            order = await self._shop.selling.buy(self._purchase(await _body(request)))
        except SoldOut as error:
            return JSONResponse({"error": "sold_out", "sku": error.sku, "available": error.left}, 409)
        except _Wrong as error:
            return JSONResponse({"error": error.error, "message": str(error)}, error.status)
        return CutResponse() if "shop_cut_after" in faults else JSONResponse(order_view(order), 201)

    async def order(self, request: Request) -> Response:
        """One order with what happened to it."""
        order = self._shop.selling.orders.get(request.path_params["number"])
        return JSONResponse(order_view(order)) if order else JSONResponse({"error": "not_found"}, 404)

    def _staff(self, verb: str) -> Any:
        async def act(request: Request) -> Response:
            order = self._shop.selling.orders.get(request.path_params["number"])
            if order is None:
                return JSONResponse({"error": "not_found"}, 404)
            try:
                getattr(self, f"_{verb}")(order, await _body(request))
            except NotPossible as error:
                return JSONResponse({"error": "not_possible", "message": str(error)}, 422)
            except _Wrong as error:
                return JSONResponse({"error": error.error, "message": str(error)}, error.status)
            return JSONResponse(order_view(order))

        return act

    def _cancel(self, order: Order, body: Mapping[str, Any]) -> None:
        reason = body.get("reason", "customer")
        self._shop.selling.cancel(order, restock=_flag(body, "restock", True), reason=str(reason))

    def _fulfil(self, order: Order, body: Mapping[str, Any]) -> None:
        rows = [(self._line(order, row), _units(row)) for row in _rows(body)]
        self._shop.selling.fulfil(order, rows or None)

    def _unfulfil(self, order: Order, _body: Mapping[str, Any]) -> None:
        self._shop.selling.unfulfil(order)

    def _refund(self, order: Order, body: Mapping[str, Any]) -> None:
        rows = [
            RefundRow(
                line=self._line(order, row),
                quantity=_units(row),
                restock=_flag(row, "restock", _flag(body, "restock", True)),
                location=self._place(row.get("location", body.get("location"))),
            )
            for row in _rows(body)
        ] or [
            RefundRow(
                line, line.current_quantity, _flag(body, "restock", True), self._place(body.get("location"))
            )
            for line in order.lines
            if line.current_quantity
        ]
        self._shop.selling.refund(order, rows, body.get("note"))

    def _edit(self, order: Order, body: Mapping[str, Any]) -> None:
        changes: list[tuple[LineItem | Variant, int]] = []
        for row in _rows(body):
            known = "id" in row or any(line.variant.sku == row.get("sku") for line in order.lines)
            changes.append(
                (self._line(order, row) if known else self._variant(row), _units(row, "delta", signed=True))
            )
        self._shop.selling.edit(order, changes, restock=_flag(body, "restock", True))

    def _move(self, order: Order, body: Mapping[str, Any]) -> None:
        place = self._place(body.get("location"))
        if place is None:
            raise _Wrong(422, "invalid", "location: the name or id of a location")
        self._shop.selling.move(order, place)

    def _purchase(self, body: Mapping[str, Any]) -> Purchase:
        rows: dict[tuple[int, tuple[tuple[str, str], ...]], tuple[Variant, int]] = {}
        for row in _rows(body) or [body]:
            variant, noted = self._variant(row), _note_attributes(row.get("properties"), "properties")
            units, key = _units(row), (variant.number, tuple(sorted(noted.items())))
            rows[key] = (variant, units + rows.get(key, (variant, 0))[1])
        reference = body.get("reference")
        return Purchase(
            rows=list(rows.values()),
            location=self._place(body.get("location")),
            reference=None if reference is None else str(reference),
            note_attributes=_note_attributes(body.get("note_attributes")),
            source_name=str(body.get("source_name", "web")),
            properties=[dict(noted) for _, noted in rows],
        )

    def _variant(self, row: Mapping[str, Any]) -> Variant:
        held = self._shop.stock.by_sku.get(str(row.get("sku")))
        if not held:
            raise _Wrong(404, "unknown_sku", f"no article has the SKU {row.get('sku')!r}")
        return held[0]

    def _line(self, order: Order, row: Mapping[str, Any]) -> LineItem:
        for line in order.lines:
            if row.get("id") in (line.number, line.id) or (
                "id" not in row and row.get("sku") == line.variant.sku
            ):
                return line
        raise _Wrong(404, "unknown_line", "the order has no such line item")

    def _place(self, name: Any) -> Location | None:
        if name is None:
            return None
        place = self._shop.stock.location_named(str(name))
        if place is None:
            raise _Wrong(404, "unknown_location", f"no location is called {name!r}")
        return place

    def _seen(self, variant: Variant) -> dict[str, Any]:
        times = [level.changed_at.get("available", 0.0) for level in variant.levels.values()]
        changed_at = max(times, default=0.0)
        return {
            "sku": variant.sku,
            "title": variant.product_title,
            "price": variant.price,
            "available": variant.sellable if variant.tracked else None,
            "in_stock": not variant.tracked or variant.inventory_policy == "CONTINUE" or variant.sellable > 0,
            "locations": {
                level.location.name: level.quantities["available"] for level in variant.levels.values()
            },
            "changed_at": iso(changed_at) if changed_at else None,
            "changed_at_ms": changed_at * 1000 if changed_at else None,
        }


def order_view(order: Order) -> dict[str, Any]:
    """An order as the storefront's own pages would show it."""
    return {
        "id": order.number,
        "admin_graphql_api_id": order.id,
        "name": order.name,
        "created_at": iso(order.created_at),
        "created_at_ms": order.created_at * 1000,
        "updated_at": iso(order.updated_at),
        "cancelled_at": iso(order.cancelled_at) if order.cancelled_at else None,
        "fulfillment_status": order.fulfillment_status,
        "financial_status": order.financial_status,
        "reference": order.reference,
        "note_attributes": order.note_attributes,
        "line_items": [
            {
                "id": line.number,
                "sku": line.variant.sku,
                "quantity": line.quantity,
                "current_quantity": line.current_quantity,
                "fulfilled_quantity": line.fulfilled_quantity,
                "properties": line.properties,
                "locations": {row.location.name: row.total for row in line.allocations},
            }
            for line in order.lines
        ],
        "refunds": [refund.number for refund in order.refunds],
        "fulfillments": [fulfillment.number for fulfillment in order.fulfillments],
    }


async def _body(request: Request) -> Mapping[str, Any]:
    raw = await request.body()
    try:
        document = json.loads(raw) if raw else {}
    except ValueError:
        raise _Wrong(400, "invalid", "the body is not JSON") from None
    if not isinstance(document, dict):
        raise _Wrong(400, "invalid", "the body is not an object")
    return document


def _rows(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = body.get("line_items", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _Wrong(422, "invalid", "line_items: a list of objects")
    return rows


def _units(row: Mapping[str, Any], name: str = "quantity", *, signed: bool = False) -> int:
    units = row.get(name, 1)
    if not isinstance(units, int) or isinstance(units, bool) or (units < 1 and not signed):
        raise _Wrong(422, "invalid", f"{name}: a whole number{'' if signed else ' above 0'}")
    return units


def _flag(row: Mapping[str, Any], name: str, default: bool) -> bool:
    value = row.get(name, default)
    if not isinstance(value, bool):
        raise _Wrong(422, "invalid", f"{name}: true or false")
    return value


def _note_attributes(given: Any, name: str = "note_attributes") -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, dict):
        return {str(name): str(value) for name, value in given.items()}
    if isinstance(given, list) and all(
        isinstance(row, dict) and {"name", "value"} <= set(row) for row in given
    ):
        return {str(row["name"]): str(row["value"]) for row in given}
    raise _Wrong(422, "invalid", f"{name}: an object, or a list of name and value")
