"""The seller API over HTTP: the key, the limits, and the trouble that was ordered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.parser import BytesParser
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.mirakl.market import Line, Market, NotPossible, Order, Return
from sfsync.simulators.shopify.clock import epoch, iso
from sfsync.simulators.shopify.faults import Fault, FaultPlan
from sfsync.simulators.shopify.wire import CutResponse

MOST_A_PAGE = 100
KINDS = (
    "error_before",
    "error_after",
    "cut_before",
    "cut_after",
    "delay_after",
    "half_answer",
    "not_applied",
    "wrong_credential",
    "too_many_requests",
    "unavailable",
)
Call = Callable[[Request, Mapping[str, Fault]], Awaitable[Response]]


class SellerApi:
    """Answers the shop's own software."""

    def __init__(self, market: Market, faults: FaultPlan) -> None:
        self._market, self._faults = market, faults
        self._asked: dict[str, float] = {}  # what was asked for -> when last
        knobs = market.config.knobs
        self.app = Starlette(
            routes=[
                Route("/api/account", self._call("A01", self.account)),
                Route("/api/offers", self._call("OF21", self.offers)),
                Route(
                    "/api/offers/stock/imports",
                    self._call("STO01", self.take_stock, knobs.imports_every),
                    methods=["POST"],
                ),
                Route(
                    "/api/offers/stock/imports/{number}/status",
                    self._call("STO02", self.status, knobs.status_every),
                ),
                Route("/api/offers/stock/imports/{number}/error_report", self._call("STO03", self.report)),
                Route("/api/orders", self._call("OR11", self.orders, knobs.orders_every)),
                Route("/api/returns", self._call("RT11", self.returns, knobs.returns_every)),
            ]
        )

    def _call(
        self, name: str, act: Call, every_seconds: float = 0.0
    ) -> Callable[[Request], Awaitable[Response]]:
        """An operation with what stands before it: faults, key, limit. What was begun is finished."""

        async def answer(request: Request) -> Response:
            faults = self._faults.strikes(KINDS, [name])
            if "cut_before" in faults:
                return CutResponse()
            if "wrong_credential" in faults or not self._is_let_in(request):
                return _error(401, "Unauthorized")
            if refusal := _turned_away(faults):
                return refusal
            if (wait := self._wait_seconds(request.url.path, every_seconds)) > 0:
                told = {"Retry-After": str(int(wait) + 1)} if self._market.config.knobs.retry_after else {}
                return _error(429, "Too Many Requests", told)
            self._market.work()
            return await _after(await act(request, faults), faults)

        async def endpoint(request: Request) -> Response:
            await request.body()
            return await asyncio.shield(asyncio.create_task(answer(request)))

        return endpoint

    def _is_let_in(self, request: Request) -> bool:
        return request.headers.get("authorization") == self._market.config.api_key

    def _wait_seconds(self, what: str, every_seconds: float) -> float:
        """How long to wait before it may be asked for again; 0 when it may be, which counts."""
        now = self._market.clock.now()
        last = self._asked.get(what)
        if last is not None and every_seconds and now < last + every_seconds:
            return last + every_seconds - now
        self._asked[what] = now
        return 0.0

    async def account(self, _request: Request, _faults: Mapping[str, Fault]) -> Response:
        config = self._market.config
        return JSONResponse(
            {"shop_id": config.shop_id, "shop_name": config.shop_name, "shop_state": "OPEN", "channels": []}
        )

    async def offers(self, request: Request, _faults: Mapping[str, Fault]) -> Response:
        found = list(self._market.offers.values())
        if "sku" in request.query_params:
            asked = request.query_params["sku"]
            several = self._market.config.knobs.sku_filter == "list"
            wanted = set(asked.split(",")) if several else {asked}
            found = [offer for offer in found if offer.sku in wanted]
        page = _page(request, found)
        rows = [
            {
                "offer_id": offer.number,
                "shop_sku": offer.sku,
                "product_sku": f"P{offer.number}",
                "quantity": offer.quantity,
                "active": offer.quantity > 0,
                "price": 100.0,
            }
            for offer in page
        ]
        return JSONResponse({"offers": rows, "total_count": len(found)})

    async def take_stock(self, request: Request, faults: Mapping[str, Fault]) -> Response:
        try:
            content = _file(request.headers.get("content-type", ""), await request.body())
            taken = self._market.take_file(content, apply="not_applied" not in faults)
        except NotPossible as error:
            return _error(400, str(error))
        return JSONResponse({"import_id": taken.number}, 201)

    async def status(self, request: Request, _faults: Mapping[str, Fault]) -> Response:
        of = self._market.imports.get(request.path_params["number"])
        if of is None:
            return _error(404, "Import not found")
        state = "WAITING" if not of.done else "FAILED" if of.failed else "COMPLETE"
        return JSONResponse(
            {
                "import_id": of.number,
                "date_created": iso(self._market.clock.now()),
                self._market.config.knobs.status_key: state,
                "lines_read": len(of.rows),
                "lines_in_success": len(of.rows) - len(of.errors) if of.done else 0,
                "lines_in_error": len(of.errors),
                "has_error_report": bool(of.errors),
            }
        )

    async def report(self, request: Request, _faults: Mapping[str, Fault]) -> Response:
        of = self._market.imports.get(request.path_params["number"])
        if of is None or not of.errors:
            return _error(404, "No error report")
        return Response(self._market.report(of.number), media_type="text/csv")

    async def orders(self, request: Request, _faults: Mapping[str, Fault]) -> Response:
        asked, found = request.query_params, list(self._market.orders.values())
        if "order_ids" in asked:
            wanted = asked["order_ids"].split(",")
            found = [order for order in found if order.number in wanted]
        if "start_update_date" in asked:
            try:
                since = epoch(asked["start_update_date"])
            except ValueError:
                return _error(400, "start_update_date is no date")
            found = [order for order in found if int(order.updated_at) >= int(since)]
        page = _page(request, sorted(found, key=lambda order: (order.created_at, order.number)))
        return JSONResponse({"orders": [_order(order) for order in page], "total_count": len(found)})

    async def returns(self, request: Request, _faults: Mapping[str, Fault]) -> Response:
        """Seek pagination: a token is all that asks for a further page."""
        asked = request.query_params
        try:
            begin, since = 0, epoch(asked.get("return_last_updated_from", "1970-01-01T00:00:00Z"))
            states = set(asked.getlist("return_state"))
            if "page_token" in asked:
                begin, since, states = _read_token(asked["page_token"])
        except ValueError:
            return _error(400, "a parameter cannot be read")
        found = [
            each
            for each in sorted(self._market.returns, key=lambda each: (each.created_at, each.number))
            if each.updated_at >= since and (not states or each.state in states)
        ]
        end = begin + min(max(1, _number(request, "limit", 10)), MOST_A_PAGE)
        told: dict[str, Any] = {"data": [_return(each) for each in found[begin:end]]}
        if end < len(found):
            told["next_page_token"] = f"{end}~{since!r}~{','.join(sorted(states))}"
        return JSONResponse(told)


def _read_token(token: str) -> tuple[int, float, set[str]]:
    begin, since, states = token.split("~")
    return int(begin), float(since), set(filter(None, states.split(",")))


def _return(told: Return) -> dict[str, Any]:
    return {
        "id": told.number,
        "order_id": told.order,
        "order_commercial_id": told.order.rpartition("-")[0],
        "state": told.state,
        "date_created": iso(told.created_at),
        "last_updated": iso(told.updated_at),
        "return_lines": [{"order_line_id": line, "quantity": units} for line, units in told.lines],
    }


def _page(request: Request, found: list[Any]) -> list[Any]:
    size = min(max(1, _number(request, "max", 10)), MOST_A_PAGE)
    begin = max(0, _number(request, "offset", 0))
    return found[begin : begin + size]


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdecimal() else default


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.number,
        "commercial_id": order.number.rpartition("-")[0],
        "created_date": iso(order.created_at),
        "last_updated_date": iso(order.updated_at),
        "order_state": order.state,
        "order_lines": [_line(line) for line in order.lines],
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "order_line_id": line.number,
        "order_line_state": line.state,
        "offer_id": line.offer.number,
        "offer_sku": line.offer.sku,
        "quantity": line.quantity,
        "cancelations": [{"id": f"{line.number}-x", "quantity": line.cancelled}] if line.cancelled else [],
        "refunds": [],
        "shipped_date": None if line.shipped_at is None else iso(line.shipped_at),
    }


def _file(content_type: str, body: bytes) -> bytes:
    """The part `file` of a multipart form. Raises NotPossible when there is none."""
    form = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in form.get_payload() if form.is_multipart() else ():
        if not isinstance(part, str) and part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            return content if isinstance(content, bytes) else b""
    raise NotPossible("the form has no part `file`")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"status": status, "message": message}, status, dict(headers or {}))


def _turned_away(faults: Mapping[str, Fault]) -> Response | None:
    for kind, status in (("too_many_requests", 429), ("unavailable", 503)):
        if kind in faults:
            return _error(status, "try again later", {"Retry-After": f"{faults[kind].seconds:g}"})
    if "error_before" in faults:
        return _error(faults["error_before"].status or 503, "upstream error")
    return None


async def _after(answer: Response, faults: Mapping[str, Fault]) -> Response:
    """What becomes of an answer whose work is done."""
    if "delay_after" in faults:
        await asyncio.sleep(faults["delay_after"].seconds)
    if "cut_after" in faults:
        return CutResponse()
    if "half_answer" in faults:
        return CutResponse(answer)
    if "error_after" in faults:
        return _error(faults["error_after"].status or 502, "upstream error")
    return answer
