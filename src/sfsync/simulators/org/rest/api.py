"""The table of resources below `/services/data`, and the one way through it.

`Api.handle` never raises: an `ApiError` becomes its answer. Composites call it for their parts.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.engine import Engine
from sfsync.simulators.org.errors import ApiError, not_found
from sfsync.simulators.org.rest.bulk import BulkQueries
from sfsync.simulators.org.rest.collections import Collections
from sfsync.simulators.org.rest.composite import Composite
from sfsync.simulators.org.rest.describe import Describe
from sfsync.simulators.org.rest.limits import Limits, Usage
from sfsync.simulators.org.rest.query import Queries
from sfsync.simulators.org.rest.replication import Replication
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.rest.rows import Rows
from sfsync.simulators.org.rest.tooling import Channels, Tooling
from sfsync.simulators.org.rest.tree import Trees

OLDEST_VERSION = 31
NEWEST_VERSION = 68
_OLDEST_RETIRED = 21
_SEASONS = ("Summer", "Winter", "Spring")  # version 31 was Summer '14
_VERSION = re.compile(r"v(\d+)\.0\Z")

Handler: TypeAlias = Callable[..., Awaitable[ApiResponse]]


def versions() -> list[dict[str, str]]:
    """What `GET /services/data/` lists, without authentication."""
    found = []
    for number in range(OLDEST_VERSION, NEWEST_VERSION + 1):
        releases = number - OLDEST_VERSION
        label = f"{_SEASONS[releases % 3]} '{14 + (releases + 2) // 3}"
        found.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return found


def checked_version(text: str) -> str:
    """`67.0` out of `v67.0`; raises 410 for retired versions and 404 for those that do not exist."""
    match = _VERSION.match(text)
    if match is None:
        raise not_found()
    number = int(match.group(1))
    if _OLDEST_RETIRED <= number < OLDEST_VERSION:
        message = f"REST API version {number}.0 is retired."
        raise ApiError(410, "UNSUPPORTED_API_VERSION", message)
    if not OLDEST_VERSION <= number <= NEWEST_VERSION:
        raise not_found()
    return f"{number}.0"


class Api:
    """All resources of one org."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        usage: Usage,
        events: Callable[[], Mapping[str, tuple[int, int]]],
        org_id: str,
        channels: Channels,
    ) -> None:
        self.engine = engine
        self._org_id = org_id
        self.rows = Rows(engine)
        self.queries = Queries(engine, clock)
        self.composites = Composite(engine, self.handle, self._reroute)
        collections = Collections(self.rows)
        describe = Describe(engine, self.rows, clock.now())
        limits = Limits(usage, engine.knobs, events)
        bulk = BulkQueries(self.queries, clock, engine.knobs)
        replication = Replication(engine, self.rows, clock)
        self._routes: dict[tuple[str, int], list[tuple[tuple[str, ...], dict[str, Handler]]]] = {}
        add = self._add
        add("", GET=self._links)
        add("limits", GET=limits.limits)
        add("tooling/query", GET=Tooling(channels, engine.knobs).query)
        add("query", GET=self.queries.query)
        add("queryAll", GET=self.queries.query_all)
        add("query/*", GET=self.queries.more)
        add("queryAll/*", GET=self.queries.more)
        add("composite", GET=self._composite_links, POST=self.composites.composite)
        add("composite/batch", POST=self.composites.batch)
        add("composite/graph", POST=self.composites.graph)
        add(
            "composite/sobjects",
            POST=collections.create,
            PATCH=collections.update,
            DELETE=collections.delete,
        )
        add("composite/sobjects/*", GET=collections.read, POST=collections.read)
        add("composite/sobjects/*/*", PATCH=collections.upsert)
        add("composite/tree/*", POST=Trees(self.rows).create)
        add("jobs/query", GET=bulk.every, POST=bulk.create)
        add("jobs/query/*", GET=bulk.read, PATCH=bulk.abort, DELETE=bulk.forget)
        add("jobs/query/*/results", GET=bulk.results)
        add("sobjects", GET=describe.everything)
        add("sobjects/*", GET=describe.basic, POST=self.rows.create)
        add("sobjects/*/describe", GET=describe.describe)
        add("sobjects/*/updated", GET=replication.updated)
        add("sobjects/*/deleted", GET=replication.deleted)
        add("sobjects/*/*", GET=self.rows.read, PATCH=self.rows.update, DELETE=self.rows.delete)
        add(
            "sobjects/*/*/*",
            GET=self.rows.read_by_key,
            PATCH=self.rows.upsert,
            DELETE=self.rows.delete_by_key,
        )

    def _add(self, pattern: str, **handlers: Handler) -> None:
        segments = tuple(pattern.split("/")) if pattern else ()
        key = (segments[0] if segments else "", len(segments))
        self._routes.setdefault(key, []).append((segments, handlers))

    async def handle(self, request: ApiRequest) -> ApiResponse:
        try:
            handler, arguments = self._find(request)
            return await handler(request, *arguments)
        except ApiError as error:
            return ApiResponse(error.status, error.body())

    def _find(self, request: ApiRequest) -> tuple[Handler, list[str]]:
        path = request.path
        key = (path[0] if path else "", len(path))
        for segments, handlers in self._routes.get(key, ()):
            if all(want in ("*", have) for want, have in zip(segments, path, strict=True)):
                method = (
                    request.query.get("_HttpMethod", request.method)
                    if request.method == "POST"
                    else request.method
                )
                handler = handlers.get("GET" if method == "HEAD" else method)
                if handler is None:
                    allowed = ",".join(handlers)
                    message = f"HTTP Method '{method}' not allowed. Allowed are {allowed}"
                    raise ApiError(405, "METHOD_NOT_ALLOWED", message)
                return handler, [have for want, have in zip(segments, path, strict=True) if want == "*"]
        raise not_found()

    def _reroute(self, request: ApiRequest, method: str, url: str) -> ApiRequest:
        """The request for a part of a composite: same caller, another resource."""
        path, _, query = url.partition("?")
        version, segments = split_path(path)
        return replace(
            request,
            method=method,
            path=segments,
            version=checked_version(version),
            query=parse_query(query),
            raw_body=b"",
        )

    async def _links(self, request: ApiRequest) -> ApiResponse:
        prefix = request.prefix
        names = ("sobjects", "query", "queryAll", "limits", "composite", "jobs/query")
        links = {name.partition("/")[0]: f"{prefix}/{name}" for name in names}
        links["identity"] = f"{request.base_url}/id/{self._org_id}/{request.session.user.id}"
        return ApiResponse(200, links)

    async def _composite_links(self, request: ApiRequest) -> ApiResponse:
        names = ("batch", "graph", "sobjects", "tree")
        return ApiResponse(200, {name: f"{request.prefix}/composite/{name}" for name in names})


@lru_cache(4096)
def split_path(path: str) -> tuple[str, tuple[str, ...]]:
    """Version segment and decoded segments of a path; an encoded slash stays inside its segment."""
    prefix = "/services/data/"
    if not path.startswith(prefix):
        raise not_found()
    version, *segments = path.removeprefix(prefix).split("/")
    return version, tuple(unquote(each) for each in segments if each)


@lru_cache(256)
def parse_query(text: str) -> Mapping[str, str]:
    """The query string; a name given twice keeps its first value."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, value)
    return MappingProxyType(found)
