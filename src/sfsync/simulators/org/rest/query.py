"""Queries over REST: one page at a time, with a locator for the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.engine import Engine
from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.soql import QueryResult, SoqlError, column_names, execute
from sfsync.simulators.org.view import LayerView

_CURSOR_LIFE = timedelta(days=2)
_MOST_CURSORS = 2_000


@dataclass(frozen=True, slots=True)
class _Cursor:
    result: QueryResult
    expires_at: datetime


class Queries:
    """The `query`, `queryAll` and `query/{locator}` resources."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._cursors: dict[str, _Cursor] = {}
        self._opened = 0

    async def query(self, request: ApiRequest) -> ApiResponse:
        return await self._answer(request, deleted=False)

    async def query_all(self, request: ApiRequest) -> ApiResponse:
        return await self._answer(request, deleted=True)

    async def _answer(self, request: ApiRequest, *, deleted: bool) -> ApiResponse:
        if "explain" in request.query:
            raise ApiError(400, "FEATURE_NOT_ENABLED", "Query plans (explain) are not simulated")
        text = request.query.get("q")
        if text is None:
            raise ApiError(400, "MALFORMED_QUERY", "SOQL statements cannot be empty or null")
        if request.query.get("columns", "").lower() == "true":
            return ApiResponse(200, _columns(text))
        await self._engine.read_pause()
        result = self.run(request, text, deleted=deleted)
        return ApiResponse(200, self._page(request, result, 0, None))

    def run(self, request: ApiRequest, text: str, *, deleted: bool) -> QueryResult:
        """The result of a query as this request's transaction sees the records."""
        transaction = request.transaction or self._engine.begin(request.caller())
        view = LayerView(self._engine, transaction.layer, deleted=deleted)
        try:
            return execute(
                text,
                self._engine.schema,
                view,
                self._clock.now(),
                url_prefix=request.prefix,
                null_matches_not_equal=True,
                include_deleted=deleted,
            )
        except SoqlError as error:
            raise ApiError(400, error.code, error.message) from error

    async def more(self, request: ApiRequest, locator: str) -> ApiResponse:
        name, _, start = locator.rpartition("-")
        cursor = self._cursors.get(name)
        if (
            cursor is None
            or not (start.isascii() and start.isdigit())
            or cursor.expires_at < self._clock.now()
        ):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return ApiResponse(200, self._page(request, cursor.result, int(start), name))

    def _page(self, request: ApiRequest, result: QueryResult, start: int, name: str | None) -> dict[str, Any]:
        size = request.batch_size()
        end = start + size
        done = end >= len(result.rows)
        body: dict[str, Any] = {"totalSize": result.total_size, "done": done}
        if not done:
            name = name or self._keep(result)
            body["nextRecordsUrl"] = f"{request.prefix}/query/{name}-{end}"
        body["records"] = result.page(start, size)
        return body

    def _keep(self, result: QueryResult) -> str:
        self._opened += 1
        name = f"01gWt{self._opened:010d}IAA"
        self._cursors[name] = _Cursor(result, self._clock.now() + _CURSOR_LIFE)
        if len(self._cursors) > _MOST_CURSORS:
            del self._cursors[next(iter(self._cursors))]
        return name


def _columns(text: str) -> dict[str, Any]:
    """What `?columns=true` answers: the selected columns without running the query."""
    try:
        names = column_names(text)
    except SoqlError as error:
        raise ApiError(400, error.code, error.message) from error
    columns: list[dict[str, Any]] = [
        {
            "aggregate": False,
            "apexType": "String",
            "columnName": name,
            "custom": name.endswith("__c"),
            "displayName": name,
            "foreignKeyName": None,
            "insertable": True,
            "joinColumns": [],
            "numberType": False,
            "textType": True,
            "updatable": True,
        }
        for name in names
    ]
    return {
        "columnMetadata": columns,
        "entityName": "",
        "groupBy": False,
        "idSelected": "Id" in names,
        "keyPrefix": "",
    }
