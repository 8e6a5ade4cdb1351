"""Login with Amazon and the Selling Partner API over HTTP: tokens, buckets, and trouble to order."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfsync.simulators.amazon.config import RATES
from sfsync.simulators.amazon.store import Listing, NotPossible, Order, Store
from sfsync.simulators.shopify.clock import epoch, iso
from sfsync.simulators.shopify.faults import Fault, FaultPlan
from sfsync.simulators.shopify.wire import CutResponse

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
Faults = Mapping[str, Fault]
Call = Callable[[Request, Faults], Awaitable[Response]]


class PartnerApi:
    """Answers the seller's own software."""

    def __init__(self, store: Store, faults: FaultPlan) -> None:
        self._store, self._faults = store, faults
        self._tokens: dict[str, float] = {}  # token -> when it ends
        self._buckets: dict[str, tuple[float, float]] = {}  # operation -> (calls left, as of)
        self.public_url = ""
        listings, feeds = "/listings/2021-08-01/items", "/feeds/2021-06-30"
        orders = "/orders/2026-01-01/orders"
        self.app = Starlette(
            routes=[
                Route("/auth/o2/token", self.token, methods=["POST"]),
                Route("/documents/{number}", self.document, methods=["PUT", "GET"]),
                self._route("/sellers/v1/marketplaceParticipations", "getMarketplaceParticipations"),
                self._route(f"{listings}/{{seller}}", "searchListingsItems"),
                self._route(f"{listings}/{{seller}}/{{sku:path}}", "patchListingsItem", "PATCH"),
                self._route(f"{feeds}/documents", "createFeedDocument", "POST"),
                self._route(f"{feeds}/feeds", "createFeed", "POST"),
                self._route(f"{feeds}/feeds/{{number}}", "getFeed"),
                self._route(f"{feeds}/documents/{{number}}", "getFeedDocument"),
                self._route(orders, "searchOrders"),
                self._route(f"{orders}/{{number}}", "getOrder"),
            ]
        )

    def _route(self, path: str, name: str, method: str = "GET") -> Route:
        acts: Mapping[str, Call] = {
            "getMarketplaceParticipations": self.participations,
            "searchListingsItems": self.listings,
            "patchListingsItem": self.patch,
            "createFeedDocument": self.make_document,
            "createFeed": self.make_feed,
            "getFeed": self.feed,
            "getFeedDocument": self.report,
            "searchOrders": self.orders,
            "getOrder": self.order,
        }
        return Route(path, self._call(name, acts[name]), methods=[method])

    def _call(self, name: str, act: Call) -> Callable[[Request], Awaitable[Response]]:
        """An operation with what stands before it: faults, token, bucket. What was begun is finished."""

        async def answer(request: Request) -> Response:
            faults = self._faults.strikes(KINDS, [name])
            if "cut_before" in faults:
                return CutResponse()
            if "wrong_credential" in faults or not self._is_let_in(request):
                return _error(403, "Unauthorized", "Access to requested resource is denied.")
            if refusal := _turned_away(faults):
                return refusal
            rate = RATES[name][0]
            headers = {"x-amzn-RateLimit-Limit": f"{rate:g}"} if self._store.config.knobs.rate_header else {}
            if self._store.config.knobs.limits and not self._take(name):
                text = "You exceeded your quota for the requested resource."
                return _error(429, "QuotaExceeded", text, headers)
            self._store.work()
            response = await act(request, faults)
            response.headers.update(headers)
            return await _after(response, faults)

        async def endpoint(request: Request) -> Response:
            await request.body()
            return await asyncio.shield(asyncio.create_task(answer(request)))

        return endpoint

    def _take(self, name: str) -> bool:
        """One call out of the operation's bucket; False when it is empty."""
        (rate, burst), now = RATES[name], self._store.clock.now()
        left, since = self._buckets.get(name, (float(burst), now))
        left = min(float(burst), left + (now - since) * rate)
        self._buckets[name] = (left - 1, now) if left >= 1 else (left, now)
        return left >= 1

    def _is_let_in(self, request: Request) -> bool:
        ends_at = self._tokens.get(request.headers.get("x-amz-access-token", ""))
        return ends_at is not None and self._store.clock.now() < ends_at

    async def token(self, request: Request) -> Response:
        """A token for an hour, for whoever has the app's credentials and the seller's refresh token."""
        form, config = dict(parse_qsl((await request.body()).decode())), self._store.config
        if form.get("grant_type") != "refresh_token":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (config.client_id, config.client_secret):
            return JSONResponse({"error": "invalid_client"}, 401)
        if form.get("refresh_token") != config.refresh_token:
            return JSONResponse({"error": "invalid_grant"}, 400)
        token, seconds = f"Atza|{secrets.token_hex(16)}", config.knobs.token_seconds
        self._tokens[token] = self._store.clock.now() + seconds
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": int(seconds)})

    async def document(self, request: Request) -> Response:
        """The place where documents lie; its address is the permission."""
        number = request.path_params["number"]
        if request.method == "PUT":
            self._store.documents[number] = await request.body()
            return Response(status_code=200)
        if number not in self._store.documents:
            return Response(status_code=404)
        return Response(self._store.documents[number], media_type="application/octet-stream")

    async def participations(self, _request: Request, _faults: Faults) -> Response:
        store = {"id": self._store.config.marketplace_id, "name": "Amazon.example", "countryCode": "GB"}
        part = {"isParticipating": True, "hasSuspendedListings": False}
        return JSONResponse({"payload": [{"marketplace": store, "participation": part}]})

    async def listings(self, request: Request, _faults: Faults) -> Response:
        asked, found = request.query_params, list(self._store.listings.values())
        if request.path_params["seller"] != self._store.config.seller_id:
            return _error(403, "Unauthorized", "The seller is another")
        if "identifiers" in asked:
            wanted = asked["identifiers"].split(",")
            if asked.get("identifiersType") != "SKU" or len(wanted) > 20:
                return _error(400, "InvalidInput", "identifiers are at most 20, with identifiersType")
            found = [listing for listing in found if listing.sku in wanted]
        begin, size = _number(asked.get("pageToken", "")), min(_number(asked.get("pageSize", "10")), 20)
        told = asked.get("includedData", "summaries").split(",")
        document: dict[str, Any] = {
            "numberOfResults": len(found),
            "items": [_listing(listing, told) for listing in found[begin : begin + size]],
        }
        if begin + size < len(found):
            document["pagination"] = {"nextToken": str(begin + size)}
        return JSONResponse(document)

    async def patch(self, request: Request, faults: Faults) -> Response:
        sku, knobs = request.path_params["sku"], self._store.config.knobs
        body = _object(await request.body())
        if body is None or not body.get("productType"):
            return _error(400, "InvalidInput", "productType is missing")
        if sku not in self._store.listings and knobs.unknown_sku != "invalid":
            return _error(int(knobs.unknown_sku), "NotFound", f"SKU '{sku}' is not found")
        error = self._store.patch(
            sku, body.get("patches"), after_seconds=knobs.patch_takes, apply="not_applied" not in faults
        )
        self._store.work()
        issues = [{"code": "90057", "message": error, "severity": "ERROR", "categories": []}] if error else []
        status = "INVALID" if error else "ACCEPTED"
        return JSONResponse(
            {"sku": sku, "status": status, "submissionId": secrets.token_hex(8), "issues": issues}
        )

    async def make_document(self, request: Request, _faults: Faults) -> Response:
        body = _object(await request.body())
        if body is None or "contentType" not in body:
            return _error(400, "InvalidInput", "contentType is missing")
        number = f"amzn1.tortuga.{self._store.new_number()}"
        address = f"{str(request.base_url).rstrip('/')}/documents/{number}"
        return JSONResponse({"feedDocumentId": number, "url": address}, 201)

    async def make_feed(self, request: Request, faults: Faults) -> Response:
        body = _object(await request.body())
        if body is None or body.get("feedType") != "JSON_LISTINGS_FEED":
            return _error(400, "InvalidInput", "feedType is not supported")
        try:
            apply = "not_applied" not in faults
            feed = self._store.create_feed(str(body.get("inputFeedDocumentId")), apply=apply)
        except NotPossible as error:
            return _error(400, "InvalidInput", str(error))
        self._store.work()
        return JSONResponse({"feedId": feed.number}, 202)

    async def feed(self, request: Request, _faults: Faults) -> Response:
        feed = self._store.feeds.get(request.path_params["number"])
        if feed is None:
            return _error(404, "NotFound", "The feed is not found")
        status = "IN_QUEUE" if feed.ended_at is None else "FATAL" if feed.fatal else "DONE"
        told: dict[str, Any] = {
            "feedId": feed.number,
            "feedType": "JSON_LISTINGS_FEED",
            "createdTime": iso(feed.due_at),
            "processingStatus": status,
        }
        if feed.ended_at is not None:
            told["processingEndTime"] = iso(feed.ended_at)
            errors = any(issue["severity"] == "ERROR" for issue in feed.issues)
            if not feed.fatal and (errors or self._store.config.knobs.report_always):
                told["resultFeedDocumentId"] = f"report-{feed.number}"
        return JSONResponse(told)

    async def report(self, request: Request, _faults: Faults) -> Response:
        number = request.path_params["number"]
        feed = self._store.feeds.get(number.removeprefix("report-"))
        if feed is None:
            return _error(404, "NotFound", "The document is not found")
        zipped, content = self._store.config.knobs.report_gzip, self._store.report(feed)
        self._store.documents[number] = gzip.compress(content) if zipped else content
        address = f"{str(request.base_url).rstrip('/')}/documents/{number}"
        more = {"compressionAlgorithm": "GZIP"} if zipped else {}
        return JSONResponse({"feedDocumentId": number, "url": address, **more})

    async def orders(self, request: Request, _faults: Faults) -> Response:
        asked, found = request.query_params, list(self._store.orders.values())
        if ("createdAfter" in asked) == ("lastUpdatedAfter" in asked):
            return _error(400, "InvalidInput", "give exactly one of createdAfter and lastUpdatedAfter")
        if "lastUpdatedAfter" in asked:
            since = int(epoch(asked["lastUpdatedAfter"]))
            found = [order for order in found if int(order.updated_at) >= since]
        begin = _number(asked.get("paginationToken", ""))
        size = min(_number(asked.get("maxResultsPerPage", "100")), 100)
        page = [self._told(order, asked) for order in found[begin : begin + size]]
        document: dict[str, Any] = {"orders": page}
        if begin + size < len(found):
            document["pagination"] = {"nextToken": str(begin + size)}
        return JSONResponse(document)

    async def order(self, request: Request, _faults: Faults) -> Response:
        order = self._store.orders.get(request.path_params["number"])
        if order is None:
            return _error(404, "NotFound", "The order is not found")
        return JSONResponse({"order": self._told(order, request.query_params)})

    def _told(self, order: Order, asked: Mapping[str, str]) -> dict[str, Any]:
        with_fulfilment = "FULFILLMENT" in asked.get("includedData", "").split(",")
        hidden = order.status == "PENDING" and not self._store.config.knobs.pending_tells
        items: list[dict[str, Any]] = []
        for item in order.items:
            told: dict[str, Any] = {
                "orderItemId": item.number,
                "quantityOrdered": item.ordered,
                "product": {"asin": "B000000000", "sellerSku": item.listing.sku},
            }
            if with_fulfilment and not hidden:
                counts = {"quantityFulfilled": item.fulfilled, "quantityUnfulfilled": item.unfulfilled}
                told["fulfillment"] = counts
            items.append(told)
        document = {
            "orderId": order.number,
            "createdTime": iso(order.created_at),
            "lastUpdatedTime": iso(order.updated_at),
            "salesChannel": {"channelName": "AMAZON", "marketplaceId": self._store.config.marketplace_id},
            "orderItems": items,
        }
        if with_fulfilment:
            document["fulfillment"] = {"fulfillmentStatus": order.status, "fulfilledBy": "MERCHANT"}
        return document


def _listing(listing: Listing, told: Sequence[str]) -> dict[str, Any]:
    document: dict[str, Any] = {"sku": listing.sku}
    if "summaries" in told:
        document["summaries"] = [{"productType": "PRODUCT", "status": ["BUYABLE"]}]
    if "fulfillmentAvailability" in told:
        code = "AMAZON_EU" if listing.by_amazon else "DEFAULT"
        number = {} if listing.by_amazon else {"quantity": listing.quantity}
        document["fulfillmentAvailability"] = [{"fulfillmentChannelCode": code, **number}]
    return document


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(raw)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status, dict(headers or {}))


def _turned_away(faults: Faults) -> Response | None:
    if "too_many_requests" in faults:
        return _error(429, "QuotaExceeded", "try again later", {"x-amzn-RateLimit-Limit": "5"})
    if "unavailable" in faults:
        return _error(503, "ServiceUnavailable", "try again later", {"Retry-After": "1"})
    if "error_before" in faults:
        return _error(faults["error_before"].status or 500, "InternalFailure", "upstream error")
    return None


async def _after(answer: Response, faults: Faults) -> Response:
    """What becomes of an answer whose work is done."""
    if "delay_after" in faults:
        await asyncio.sleep(faults["delay_after"].seconds)
    if "cut_after" in faults:
        return CutResponse()
    if "half_answer" in faults:
        return CutResponse(answer)
    if "error_after" in faults:
        return _error(faults["error_after"].status or 500, "InternalFailure", "upstream error")
    return answer
