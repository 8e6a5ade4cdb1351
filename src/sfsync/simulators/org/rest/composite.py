"""Several requests in one: composite, graph and batch.

A composite with `allOrNone` is one transaction: the first failure rolls everything back and halts the rest.
Without it each subrequest commits by itself, and only those that refer to a failed one are halted. A graph is
atomic by itself and independent of the others. A batch is a list of unrelated requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sfsync.simulators.org.engine import Engine, Transaction
from sfsync.simulators.org.errors import HALTED_MESSAGE, ApiError, parser_error
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.values import show

MAX_SUBREQUESTS = 25
MAX_QUERIES_AND_COLLECTIONS = 5
MAX_GRAPHS = 75
MAX_NODES = 500
_MOST_FAILED_GRAPHS = 14
_INHERITED = {"accept", "authorization", "content-type"}
_REFERENCE = re.compile(r"@\{([^}]*)\}")
_REFERENCE_ID = re.compile(r"\w+\Z", re.ASCII)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_COUNTED = re.compile(r"/(?:query|queryAll|composite/sobjects)(?:[/?]|$)")
_GRAPH_URL = re.compile(r"/services/data/v\d+\.\d/sobjects/\w+(?:/[^/?]+(?:/[^/?]+)?)?(?:\?.*)?\Z")

Handle = Callable[[ApiRequest], Awaitable[ApiResponse]]
Reroute = Callable[[ApiRequest, str, str], ApiRequest]


@dataclass(frozen=True, slots=True)
class SubRequest:
    """One part of a composite, before its references are filled in."""

    method: str
    url: str
    body: Any
    reference_id: str
    headers: Mapping[str, str]


class _Halted(Exception):
    """A reference to a part that failed, or that has no such value."""


class Composite:
    """The `composite`, `composite/graph` and `composite/batch` resources."""

    def __init__(self, engine: Engine, handle: Handle, reroute: Reroute) -> None:
        self._engine = engine
        self._handle = handle
        self._reroute = reroute

    # -- composite ---------------------------------------------------------------------------

    async def composite(self, request: ApiRequest) -> ApiResponse:
        body = request.json_object()
        parts = _parts(body.get("compositeRequest"), MAX_SUBREQUESTS)
        if sum(bool(_COUNTED.search(part.url)) for part in parts) > MAX_QUERIES_AND_COLLECTIONS:
            limit = MAX_QUERIES_AND_COLLECTIONS
            message = f"The limit of {limit} Query, QueryAll and sObject Collections operations was exceeded."
            raise ApiError(400, "LIMIT_EXCEEDED", message)
        if body.get("allOrNone", False) is True:
            answers, _ = await self._atomic(request, parts)
        else:
            answers = await self._independent(request, parts)
        return ApiResponse(200, {"compositeResponse": answers})

    async def _independent(self, request: ApiRequest, parts: list[SubRequest]) -> list[dict[str, Any]]:
        answers: dict[str, ApiResponse] = {}
        for part in parts:
            answers[part.reference_id] = await self._one(request, part, answers, None)
            await asyncio.sleep(0)  # others get in between: a read-back is not atomic with its write
        return [_shown(part, answers[part.reference_id]) for part in parts]

    async def _atomic(
        self, request: ApiRequest, parts: list[SubRequest]
    ) -> tuple[list[dict[str, Any]], bool]:
        """The answers, and whether all went well and was committed."""
        answers: dict[str, ApiResponse] = {}
        failed: str | None = None
        async with self._engine.transaction(request.caller()) as transaction:
            for part in self._in_order(parts):
                answer = await self._one(request, part, answers, transaction)
                answers[part.reference_id] = answer
                await asyncio.sleep(0)  # others meet the locks that are held
                if answer.failed:
                    failed = part.reference_id
                    self._engine.roll_back(transaction)
                    break
        if failed is None:
            return [_shown(part, answers[part.reference_id]) for part in parts], True
        return [
            _shown(part, answers[failed] if part.reference_id == failed else _halted(HALTED_MESSAGE))
            for part in parts
        ], False

    def _in_order(self, parts: list[SubRequest]) -> list[SubRequest]:
        """The parts as they are worked off; a knob reorders them where no reference binds them."""
        first = {"creates_first": "POST", "deletes_first": "DELETE"}.get(
            self._engine.knobs.atomic_composite_order
        )
        if first is None:
            return parts
        return sorted(parts, key=lambda part: part.method != first)

    async def _one(
        self,
        request: ApiRequest,
        part: SubRequest,
        answers: Mapping[str, ApiResponse],
        transaction: Transaction | None,
    ) -> ApiResponse:
        try:
            url, body = _filled(part.url, answers, in_url=True), _filled(part.body, answers)
        except _Halted as halted:
            return _halted(str(halted))
        try:
            routed = self._reroute(request, part.method, str(url))
        except ApiError as error:
            return ApiResponse(error.status, error.body())
        headers = {**request.headers, **{name.lower(): value for name, value in part.headers.items()}}
        routed.headers, routed.parsed_body, routed.transaction = headers, body, transaction
        return await self._handle(routed)

    # -- graph -------------------------------------------------------------------------------

    async def graph(self, request: ApiRequest) -> ApiResponse:
        graphs = request.json_object().get("graphs")
        if not isinstance(graphs, list) or not graphs:
            raise parser_error("graphs has to be a list at [line:1, column:2]")
        if len(graphs) > MAX_GRAPHS:
            raise ApiError(400, "LIMIT_EXCEEDED", f"The limit of {MAX_GRAPHS} graphs was exceeded.")
        prepared = [self._prepared(graph) for graph in graphs]
        if sum(len(parts) for _, parts in prepared) > MAX_NODES:
            raise ApiError(400, "LIMIT_EXCEEDED", f"The limit of {MAX_NODES} nodes was exceeded.")
        answers = []
        failures = 0
        for graph_id, parts in prepared:
            if failures >= _MOST_FAILED_GRAPHS:
                shown = [
                    _shown(part, _halted("Too many failed graphs; this one was not run.")) for part in parts
                ]
                good = False
            else:
                shown, good = await self._atomic(request, parts)
            failures += not good
            answers.append(
                {"graphId": graph_id, "graphResponse": {"compositeResponse": shown}, "isSuccessful": good}
            )
        return ApiResponse(200, {"graphs": answers})

    def _prepared(self, graph: Any) -> tuple[str, list[SubRequest]]:
        if not isinstance(graph, dict) or not isinstance(graph.get("graphId"), str):
            raise parser_error("each graph needs a graphId at [line:1, column:2]")
        parts = _parts(graph.get("compositeRequest"), MAX_NODES)
        for part in parts:
            if not _GRAPH_URL.match(part.url):
                raise ApiError(
                    400, "INVALID_INPUT", f"The URL {part.url} is not supported in a composite graph."
                )
        return graph["graphId"], parts

    # -- batch -------------------------------------------------------------------------------

    async def batch(self, request: ApiRequest) -> ApiResponse:
        body = request.json_object()
        entries = body.get("batchRequests")
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise parser_error("batchRequests has to be a list at [line:1, column:2]")
        if len(entries) > MAX_SUBREQUESTS:
            raise ApiError(
                400, "LIMIT_EXCEEDED", f"The limit of {MAX_SUBREQUESTS} batch requests was exceeded."
            )
        halting = body.get("haltOnError", False) is True
        results: list[dict[str, Any]] = []
        halted = has_errors = False
        for entry in entries:
            answer = _batch_halted() if halted else await self._batched(request, entry)
            has_errors = has_errors or answer.failed
            halted = halted or (halting and answer.failed)
            results.append({"statusCode": answer.status, "result": answer.body})
        return ApiResponse(200, {"hasErrors": has_errors, "results": results})

    async def _batched(self, request: ApiRequest, entry: dict[str, Any]) -> ApiResponse:
        url = str(entry.get("url", ""))
        full = url if url.startswith("/services/data/") else f"/services/data/{url.lstrip('/')}"
        try:
            routed = self._reroute(request, str(entry.get("method", "")), full)
        except ApiError as error:
            return ApiResponse(error.status, error.body())
        return await self._handle(
            replace(routed, headers=request.headers, parsed_body=entry.get("richInput"))
        )


def _parts(entries: Any, most: int) -> list[SubRequest]:
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise parser_error("compositeRequest has to be a list at [line:1, column:2]")
    if len(entries) > most:
        raise ApiError(400, "LIMIT_EXCEEDED", f"The limit of {most} subrequests was exceeded.")
    parts = [_part(entry) for entry in entries]
    seen: set[str] = set()
    for part in parts:
        if part.reference_id in seen:
            raise ApiError(400, "INVALID_INPUT", f"Duplicate referenceId: {part.reference_id}")
        seen.add(part.reference_id)
    return parts


def _part(entry: dict[str, Any]) -> SubRequest:
    for name in ("method", "url", "referenceId"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise ApiError(400, "INVALID_INPUT", f"Each subrequest needs a {name}.")
    if not _REFERENCE_ID.match(entry["referenceId"]):
        message = (
            f"Provided referenceId ({entry['referenceId']}) must be letters, numbers and underscores only."
        )
        raise ApiError(400, "INVALID_INPUT", message)
    headers = entry.get("httpHeaders") or {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise parser_error("httpHeaders has to be a map of texts at [line:1, column:2]")
    inherited = [name for name in headers if name.lower() in _INHERITED]
    if inherited:
        raise ApiError(400, "INVALID_INPUT", f"The header {inherited[0]} is not allowed in a subrequest.")
    return SubRequest(entry["method"], entry["url"], entry.get("body"), entry["referenceId"], headers)


def _shown(part: SubRequest, answer: ApiResponse) -> dict[str, Any]:
    return {
        "body": answer.body,
        "httpHeaders": answer.headers,
        "httpStatusCode": answer.status,
        "referenceId": part.reference_id,
    }


def _halted(message: str) -> ApiResponse:
    return ApiResponse(400, [{"errorCode": "PROCESSING_HALTED", "message": message}])


def _batch_halted() -> ApiResponse:
    message = "Batch processing halted per request"
    return ApiResponse(412, [{"errorCode": "BATCH_PROCESSING_HALTED", "message": message}])


# -- references ------------------------------------------------------------------------------


def _filled(value: Any, answers: Mapping[str, ApiResponse], *, in_url: bool = False) -> Any:
    """The value with every `@{reference.path}` replaced by what that answer holds."""
    if isinstance(value, str):
        if "@{" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole and not in_url:
            return _resolve(whole.group(1), answers)
        return _REFERENCE.sub(lambda found: str(show(_resolve(found.group(1), answers))), value)
    if isinstance(value, dict):
        return {key: _filled(each, answers) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, answers) for each in value]
    return value


def _resolve(path: str, answers: Mapping[str, ApiResponse]) -> Any:
    steps = _STEP.findall(path)
    reference = steps[0][0] if steps else ""
    answer = answers.get(reference)
    if answer is None:
        raise _Halted(f"Invalid reference specified. No value for {path} found in the previous requests.")
    found: Any = answer.body
    for name, index in steps[1:]:
        if index and isinstance(found, list) and int(index) < len(found):
            found = found[int(index)]
        elif name and isinstance(found, dict) and name in found:
            found = found[name]
        else:
            raise _Halted(f"Invalid reference specified. No value for {path} found in {reference}.")
    if answer.failed or isinstance(found, (dict, list)):
        raise _Halted(f"Invalid reference specified. No value for {path} found in {reference}.")
    return found
