"""The Admin API over HTTP: who asks, GraphQL, and the trouble that was ordered.

Answers are dictionaries in the schema's own words, which the executor picks from.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, execute_sync, parse, validate
from graphql.language import DocumentNode, FieldNode, OperationDefinitionNode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.shopify.clock import epoch
from sfsync.simulators.shopify.faults import Fault, FaultPlan
from sfsync.simulators.shopify.wire import CutResponse
from sfsync.simulators.vendure.shop import Fulfilment, Line, NotPossible, Order, Place, Shop, Variant

KINDS = (
    "error_before",
    "error_after",
    "cut_before",
    "cut_after",
    "delay_after",
    "half_answer",
    "not_applied",
    "internal_error",
    "wrong_credential",
    "too_many_requests",
    "unavailable",
)
MOST_LISTED = 1000
CHANNEL_TOKEN = "default-channel"  # its name, not a secret
FORBIDDEN = {"message": "You are not currently authorized to perform this action"}
_Json = Mapping[str, Any]


@cache
def load_schema() -> GraphQLSchema:
    """The served part of the Admin API."""
    text = resources.files("sfsync.simulators.vendure").joinpath("schema.graphql").read_text(encoding="utf-8")
    return build_schema(text)


class AdminApi:
    """Answers the shop's administrators, and their software."""

    def __init__(self, shop: Shop, faults: FaultPlan) -> None:
        self._shop, self._faults = shop, faults
        self._sessions: dict[str, float] = {}  # token -> when it ends
        self.app = Starlette(routes=[Route("/admin-api", self.endpoint, methods=["POST"])])

    def end_sessions(self) -> None:
        """Every session is over."""
        self._sessions.clear()

    async def endpoint(self, request: Request) -> Response:
        """One call. What was begun is finished, even when the caller hangs up."""
        raw = await request.body()
        return await asyncio.shield(asyncio.create_task(self._answer(request, raw)))

    async def _answer(self, request: Request, raw: bytes) -> Response:
        try:
            asked = json.loads(raw)
            document = parse(asked["query"])
        except (ValueError, KeyError, TypeError, GraphQLError) as error:
            return _invalid([str(error)], "GRAPHQL_PARSE_FAILED")
        if problems := validate(load_schema(), document):
            return _invalid([each.message for each in problems], "GRAPHQL_VALIDATION_FAILED")
        fields = _root_fields(document)
        faults = self._faults.strikes(KINDS, fields)
        if "cut_before" in faults:
            return CutResponse()
        if refusal := _turned_away(faults):
            return refusal
        if "login" not in fields and ("wrong_credential" in faults or not self._is_let_in(request)):
            errors = [{**FORBIDDEN, "path": [fields[0]], "extensions": {"code": "FORBIDDEN"}}]
            return JSONResponse({"errors": errors, "data": None}, headers={"vendure-auth-token": ""})
        call = _Call(self._shop, asked.get("variables") or {}, faults)
        root = {name: getattr(call, name) for name in fields}
        result = execute_sync(load_schema(), document, root, variable_values=call.variables)
        told: dict[str, Any] = {"data": result.data}
        if result.errors:
            told["errors"] = [{"message": each.message, "path": each.path or []} for each in result.errors]
        headers = {}
        if call.signed_in:
            token = secrets.token_hex(32)
            self._sessions[token] = self._shop.clock.now() + self._shop.config.knobs.session
            headers["vendure-auth-token"] = token
        return await _after(JSONResponse(told, headers=headers), faults)

    def _is_let_in(self, request: Request) -> bool:
        if key := request.headers.get("vendure-api-key"):
            return key == self._shop.config.api_key
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self._sessions.get(token, 0.0) > self._shop.clock.now()


class _Call:
    """The root fields of one call."""

    def __init__(self, shop: Shop, variables: _Json, faults: Mapping[str, Fault]) -> None:
        self._shop, self._faults = shop, faults
        self.variables = dict(variables)
        self.signed_in = False

    def me(self, _info: object) -> _Json:
        rights = ["SuperAdmin"]
        channel = {"token": CHANNEL_TOKEN, "code": "__default_channel__", "permissions": rights}
        return {"identifier": self._shop.config.username, "channels": [channel]}

    def activeChannel(self, _info: object) -> _Json:
        return {"token": CHANNEL_TOKEN, "code": "__default_channel__"}

    def globalSettings(self, _info: object) -> _Json:
        return {"trackInventory": True, "outOfStockThreshold": 0}

    def stockLocations(self, _info: object, options: _Json | None = None) -> _Json:
        found = [{"id": number, "name": name} for number, name in self._shop.locations.items()]
        return _page(found, options or {})

    def productVariants(self, _info: object, options: _Json | None = None) -> _Json:
        asked = (options or {}).get("filter") or {}
        found = [
            _variant(each)
            for each in self._shop.variants.values()
            if _fits(each.number, asked.get("id")) and _fits(each.sku, asked.get("sku"))
        ]
        return _page(found, options or {})

    def orders(self, _info: object, options: _Json | None = None) -> _Json:
        asked = (options or {}).get("filter") or {}
        found = [each for each in self._shop.orders.values() if _fits(each.number, asked.get("id"))]
        return _page([self._order(each) for each in found], options or {})

    def order(self, _info: object, id: str) -> _Json | None:
        order = self._shop.orders.get(id)
        return None if order is None else self._order(order)

    def sfsyncOrdersChanged(
        self, _info: object, since: str, take: int, after: str | None = None
    ) -> list[str]:
        begin = int(epoch(since))
        found = [
            each.number
            for each in self._shop.orders.values()
            if each.placed_at is not None
            and int(each.changed_at) >= begin
            and int(each.number) > int(after or 0)
        ]
        return found[: min(take, MOST_LISTED)]

    def login(self, _info: object, username: str, password: str, **_: object) -> _Json:
        config = self._shop.config
        self.signed_in = (username, password) == (config.username, config.password)
        if self.signed_in:
            return {"__typename": "CurrentUser", **self.me(None)}
        return _error(
            "InvalidCredentialsError", "INVALID_CREDENTIALS_ERROR", "The provided credentials are invalid"
        )

    def updateProductVariants(self, _info: object, input: list[_Json]) -> list[_Json]:
        if "internal_error" in self._faults:
            raise GraphQLError("deadlock detected")
        rows = [
            (str(each["id"]), str(level["stockLocationId"]), int(level["stockOnHand"]))
            for each in input
            for level in each.get("stockLevels") or ()
        ]
        if "not_applied" in self._faults:
            return [self._claimed(each) for each in input]
        try:
            self._shop.set_on_hand(rows)
        except NotPossible as error:
            raise GraphQLError(str(error)) from error
        return [_variant(self._shop.variants[str(each["id"])]) for each in input]

    def _claimed(self, row: _Json) -> _Json:
        """A variant as it would be if it had been written."""
        told = dict(_variant(self._shop.variants[str(row["id"])]))
        claimed = {str(each["stockLocationId"]): each["stockOnHand"] for each in row["stockLevels"]}
        told["stockLevels"] = [
            {**level, "stockOnHand": claimed.get(level["stockLocationId"], level["stockOnHand"])}
            for level in told["stockLevels"]
        ]
        return told

    def cancelOrder(self, _info: object, input: _Json) -> _Json:
        try:
            order = self._shop.cancel(str(input["orderId"]))
        except NotPossible as error:
            empty = "At least one" in str(error)
            kind = "EmptyOrderLineSelectionError" if empty else "CancelActiveOrderError"
            code = "EMPTY_ORDER_LINE_SELECTION_ERROR" if empty else "CANCEL_ACTIVE_ORDER_ERROR"
            return _error(kind, code, str(error))
        return {"__typename": "Order", **self._order(order)}

    def refundOrder(self, _info: object, input: _Json) -> _Json:
        if any(input.get(key) is None for key in ("shipping", "adjustment", "lines")):
            raise GraphQLError("NOT NULL constraint failed: refund.shipping")
        order = self._shop.orders[str(input["paymentId"])]
        amount = int(input.get("amount") or 0)
        if not amount or order.refunded + amount > order.amount:
            return _error("NothingToRefundError", "NOTHING_TO_REFUND_ERROR", "Nothing to refund")
        order.refunded += amount
        self._shop.tell(order)
        return {"__typename": "Refund", "total": amount, "state": "Pending"}

    def _order(self, order: Order) -> _Json:
        refunds = [{"total": order.refunded, "state": "Pending"}] if order.refunded else []
        payment = {"id": order.number, "amount": order.amount, "state": "Settled", "refunds": refunds}
        return {
            "id": order.number,
            "code": order.code,
            "state": order.state,
            "orderPlacedAt": None if order.placed_at is None else _time(order.placed_at),
            "sfsyncChangedAt": _time(order.changed_at),
            "lines": [self._line(line) for line in order.lines],
            "payments": [payment] if order.placed_at is not None else [],
        }

    def _line(self, line: Line) -> _Json:
        return {
            "id": line.number,
            "quantity": line.quantity,
            "productVariant": _variant(line.variant),
            "sfsyncPlaces": [
                {**_place(location, place), "miscounted": self._shop.miscounted(line.variant, location)}
                for location, place in line.places.items()
            ],
            "fulfillmentLines": [
                {"quantity": units, "fulfillment": _fulfilment(self._shop.fulfilments[number])}
                for units, number in line.sent
            ],
        }


def _variant(variant: Variant) -> _Json:
    return {
        "id": variant.number,
        "sku": variant.sku,
        "trackInventory": "TRUE" if variant.tracked else "FALSE",
        "outOfStockThreshold": variant.threshold,
        "useGlobalOutOfStockThreshold": False,
        "stockLevels": [
            {"stockLocationId": number, "stockOnHand": level.on_hand, "stockAllocated": level.allocated}
            for number, level in variant.levels.items()
        ],
    }


def _place(location: str, place: Place) -> _Json:
    return {
        "stockLocationId": location,
        "allocated": place.allocated,
        "released": place.released,
        "sold": place.sold,
        "cancelled": place.cancelled,
        "returns": [{"at": _time(at), "quantity": units} for at, units in place.returns],
    }


def _fulfilment(fulfilment: Fulfilment) -> _Json:
    return {"state": fulfilment.state, "updatedAt": _time(fulfilment.changed_at)}


def _page(found: Sequence[_Json], options: _Json) -> _Json:
    take, skip = options.get("take") or MOST_LISTED, options.get("skip") or 0
    if take > MOST_LISTED:
        raise GraphQLError(f"Cannot take more than {MOST_LISTED} results from a list query")
    return {"items": found[skip : skip + take], "totalItems": len(found)}


def _fits(value: str, asked: _Json | None) -> bool:
    return asked is None or (value in (asked.get("in") or [value]) and value == (asked.get("eq") or value))


def _error(kind: str, code: str, message: str) -> _Json:
    return {"__typename": kind, "errorCode": code, "message": message}


def _time(epoch_seconds: float) -> str:
    """Whole seconds, as SQLite keeps them."""
    return datetime.fromtimestamp(int(epoch_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _root_fields(document: DocumentNode) -> list[str]:
    """The names of the fields that the document asks the root for."""
    return [
        field.name.value
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        for field in definition.selection_set.selections
        if isinstance(field, FieldNode)
    ]


def _invalid(messages: list[str], code: str) -> Response:
    errors = [{"message": message, "extensions": {"code": code}} for message in messages]
    return JSONResponse({"errors": errors}, 400)


def _turned_away(faults: Mapping[str, Fault]) -> Response | None:
    for kind, status in (("too_many_requests", 429), ("unavailable", 503)):
        if kind in faults:
            return Response("try again later", status, {"Retry-After": f"{faults[kind].seconds:g}"})
    if "error_before" in faults:
        return Response("upstream error", faults["error_before"].status or 503)
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
        return Response("upstream error", faults["error_after"].status or 502)
    return answer
