"""Which records of an object were changed or deleted in a span of time: `updated` and `deleted`."""

from __future__ import annotations

from datetime import datetime

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.engine import Engine
from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.rest.rows import Rows
from sfsync.simulators.org.values import parse_datetime, show


class Replication:
    """The `sobjects/X/updated` and `sobjects/X/deleted` resources; both want `start` and `end`."""

    def __init__(self, engine: Engine, rows: Rows, clock: Clock) -> None:
        self._engine = engine
        self._rows = rows
        self._clock = clock

    async def updated(self, request: ApiRequest, name: str) -> ApiResponse:
        plan, (start, end) = self._rows.plan(name), _span(request)
        rows = self._engine.store.tables[plan.sobject.name].rows.values()
        ids = [row["Id"] for row in rows if start <= row["SystemModstamp"] < end]
        return ApiResponse(200, {"ids": ids, "latestDateCovered": show(min(end, self._clock.now()))})

    async def deleted(self, request: ApiRequest, name: str) -> ApiResponse:
        plan, (start, end) = self._rows.plan(name), _span(request)
        rows = self._engine.store.tables[plan.sobject.name].deleted.values()
        gone = [
            {"id": row["Id"], "deletedDate": show(row["SystemModstamp"])}
            for row in rows
            if start <= row["SystemModstamp"] < end
        ]
        covered = show(min(end, self._clock.now()))
        earliest = show(min((row["SystemModstamp"] for row in rows), default=start))
        body = {"deletedRecords": gone, "earliestDateAvailable": earliest, "latestDateCovered": covered}
        return ApiResponse(200, body)


def _span(request: ApiRequest) -> tuple[datetime, datetime]:
    # A plus sign that was not encoded arrives as a space.
    texts = [request.query.get(name, "").replace(" ", "+") for name in ("start", "end")]
    start, end = (parse_datetime(text) for text in texts)
    if start is None or end is None or start >= end:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate must be before endDate, both ISO 8601")
    return start, end
