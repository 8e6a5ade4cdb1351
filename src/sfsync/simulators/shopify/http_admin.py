"""The Admin API over HTTP: tokens, versions, throttling, and the trouble that was ordered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sfsync.simulators.shopify.calls import Call
from sfsync.simulators.shopify.config import API_VERSIONS
from sfsync.simulators.shopify.cost import SINGLE_QUERY_LIMIT
from sfsync.simulators.shopify.engine import Prepared, Refused
from sfsync.simulators.shopify.faults import ADMIN_KINDS, Fault
from sfsync.simulators.shopify.wire import CutResponse
from sfsync.simulators.uuids import new_uuid

if TYPE_CHECKING:
    from sfsync.simulators.shopify.shop import Shop

RATE_LIMITS_PAGE = "https://shopify.dev/api/usage/rate-limits"


class _Answer(JSONResponse):
    """The answer of a call that ran: the largest there are, so written by the quickest writer."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class AdminHttp:
    """Answers the calls of apps."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.calls: Counter[str] = Counter()  # by root field
        self.points: defaultdict[str, float] = defaultdict(float)
        self.throttled = 0
        # Numbers of requests are drawn from a source of their own, so that they move nothing else.
        self._requests = Random(f"requests of {shop.config.name}/{shop.clock.now()}")  # noqa: S311 — no secret
        self.routes: list[BaseRoute] = [
            Route("/admin/api/{version}/graphql.json", self.graphql, methods=["POST"]),
            Route("/admin/oauth/access_token", self.access_token, methods=["POST"]),
            Route("/bulk/{number:int}.jsonl", self.bulk_file),
        ]

    async def access_token(self, request: Request) -> Response:
        """Client credentials grant; JSON or form body."""
        if request.headers.get("content-type", "").startswith("application/json"):
            asked: Mapping[str, Any] = await _json(request) or {}
        else:
            asked = dict(parse_qsl((await request.body()).decode(errors="replace")))
        if asked.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if not self._shop.tokens.is_client(asked.get("client_id"), asked.get("client_secret")):
            text = "the application credentials are not those of an app of this shop"
            return JSONResponse({"error": "invalid_client", "error_description": text}, 400)
        scope = ",".join(self._shop.config.scopes)
        return JSONResponse({"access_token": self._shop.tokens.issue(), "scope": scope, "expires_in": 86_399})

    async def bulk_file(self, request: Request) -> Response:
        """The result of a bulk read; the address itself is the permission."""
        operation = self._shop.bulk.operations.get(request.path_params["number"])
        if operation is None or operation.file is None:
            return Response("no such file", 404)
        return Response(operation.file, media_type="application/jsonl")

    async def graphql(self, request: Request) -> Response:
        """One GraphQL call. What was begun is finished even when the caller goes away."""
        raw = await request.body()
        task = asyncio.create_task(self._answer(request, raw))
        response = await asyncio.shield(task)
        version = _answering_version(request.path_params["version"])
        response.headers.setdefault("X-Request-Id", self._request_id())
        response.headers.setdefault("X-Shopify-API-Version", version or "")
        return response

    async def _answer(self, request: Request, raw: bytes) -> Response:
        version = _answering_version(request.path_params["version"])
        if version is None:
            return JSONResponse({"errors": "Not Found"}, 404)
        document = _document(raw)
        prepared: Prepared | Refused | None = None
        if document is not None:
            prepared = self._prepare(document)
        roots = prepared.root_fields if isinstance(prepared, Prepared) else []
        faults = self._shop.faults.strikes(ADMIN_KINDS, roots)
        if "wrong_credential" in faults or not self._is_let_in(request):
            text = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return JSONResponse({"errors": text}, 401)
        if "cut_before" in faults:
            return CutResponse()
        if "delay_before" in faults:
            await asyncio.sleep(faults["delay_before"].seconds)
        if refusal := _gateway_refusal(faults):
            return refusal
        if prepared is None:
            return JSONResponse({"errors": {"query": "Required parameter missing or invalid"}}, 400)
        if isinstance(prepared, Refused):
            return JSONResponse({"errors": prepared.errors})
        answer = await self._run(prepared, version, faults)
        return await _after(_Answer(answer), faults)

    def _request_id(self) -> str:
        return new_uuid(self._requests)

    def _is_let_in(self, request: Request) -> bool:
        return self._shop.tokens.is_good(request.headers.get("x-shopify-access-token"))

    def _prepare(self, document: Mapping[str, Any]) -> Prepared | Refused:
        try:
            variables = document.get("variables") or {}
            return self._shop.engine.prepare(document["query"], variables, document.get("operationName"))
        except Refused as refused:
            return refused

    async def _run(self, prepared: Prepared, version: str, faults: Mapping[str, Fault]) -> dict[str, Any]:
        cost = prepared.requested_cost
        if cost > SINGLE_QUERY_LIMIT:
            return self._too_dear(cost)
        if "throttled" in faults or not self._shop.bucket.take(cost):
            self.throttled += 1
            return self._throttled(cost)
        seconds = self._shop.config.latency_seconds
        inside = faults["delay_inside"].seconds if "delay_inside" in faults else 0.0
        if not prepared.is_keyed:
            seconds, inside = seconds + inside, 0.0
        if seconds and not prepared.is_keyed:
            await asyncio.sleep(seconds)
        call = Call(
            self._shop,
            request_id=self._request_id(),
            version=version,
            apply="not_applied" not in faults,
            fail_inside="internal_error" in faults,
            work_seconds=seconds + inside if prepared.is_keyed else 0.0,
        )
        try:
            answer = await self._shop.engine.execute(prepared, call)
        except Refused as refused:
            self._shop.bucket.give_back(cost)
            return {"errors": refused.errors}
        actual = prepared.meter.actual(answer["data"]) if answer["data"] else 0
        actual = max(min(actual, cost), 0)
        self._shop.bucket.give_back(cost - actual)
        for name in prepared.root_fields:
            self.calls[name] += 1
            self.points[name] += actual / len(prepared.root_fields)
        answer["extensions"] = {"cost": self._cost(cost, actual)}
        if call.search_warnings:
            answer["extensions"]["search"] = call.search_warnings
        return answer

    def _cost(self, requested: int, actual: int | None) -> dict[str, Any]:
        status = self._shop.bucket.status()
        return {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}

    def _throttled(self, cost: int) -> dict[str, Any]:
        extensions = {"code": "THROTTLED", "documentation": RATE_LIMITS_PAGE}
        errors = [{"message": "Throttled", "extensions": extensions}]
        return {"errors": errors, "extensions": {"cost": self._cost(cost, None)}}

    def _too_dear(self, cost: int) -> dict[str, Any]:
        text = f"Query cost is {cost}, which exceeds the single query max cost limit ({SINGLE_QUERY_LIMIT})."
        extensions = {
            "code": "MAX_COST_EXCEEDED",
            "cost": cost,
            "maxCost": SINGLE_QUERY_LIMIT,
            "documentation": RATE_LIMITS_PAGE,
        }
        return {
            "errors": [{"message": text, "extensions": extensions}],
            "extensions": {"cost": self._cost(cost, None)},
        }


def _answering_version(asked: str) -> str | None:
    """The version that answers: a retired one is served by the oldest that is left."""
    if asked in API_VERSIONS:
        return asked
    year, _, month = asked.partition("-")
    if not (year.isdigit() and month in ("01", "04", "07", "10")):
        return None
    return API_VERSIONS[0] if asked < API_VERSIONS[0] else None


def _document(raw: bytes) -> Mapping[str, Any] | None:
    try:
        document = orjson.loads(raw)
    except ValueError:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("query"), str):
        return None
    variables = document.get("variables")
    return document if variables is None or isinstance(variables, dict) else None


async def _json(request: Request) -> Mapping[str, Any] | None:
    try:
        document = json.loads(await request.body())
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _gateway_refusal(faults: Mapping[str, Fault]) -> Response | None:
    """Answers that never reached the shop's own code."""
    for kind, status in (("too_many_requests", 429), ("unavailable", 503)):
        if kind in faults:
            headers = {"Retry-After": f"{faults[kind].seconds:.1f}"}
            return JSONResponse({"errors": "Exceeded the limit, try again later"}, status, headers)
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
    if "broken_json" in faults:
        body = bytes(answer.body)
        return Response(body[: len(body) // 2], media_type="application/json")
    return answer
