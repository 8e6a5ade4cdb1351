"""The daily allowance of API requests, and what `limits` tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.knobs import Knobs
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.rest.tooling import may_see_setup

_WINDOW = timedelta(hours=24)
_BUCKET = timedelta(minutes=10)


class Usage:
    """Counts requests over the last 24 hours of the org's clock."""

    def __init__(self, clock: Clock, knobs: Knobs) -> None:
        self._clock = clock
        self._knobs = knobs
        self._buckets: deque[list[Any]] = deque()  # [start of the bucket, requests]
        self._used = 0
        self.refused = 0  # requests that came when nothing was left

    @property
    def used(self) -> int:
        self._forget()
        return self._used

    def count(self) -> None:
        """Counts one request, or refuses it when the allowance is used up."""
        now = self._forget()
        if self._used >= self._knobs.daily_api_requests:
            self.refused += 1
            raise limit_exceeded()
        if not self._buckets or now - self._buckets[-1][0] >= _BUCKET:
            self._buckets.append([now, 0])
        self._buckets[-1][1] += 1
        self._used += 1

    def header(self, *, refused: bool = False) -> str:
        """Sforce-Limit-Info of an answer; "" where a refused one tells nothing."""
        if refused and not self._knobs.refusal_tells_usage:
            return ""
        return f"api-usage={self._used}/{self._knobs.daily_api_requests}"

    def _forget(self) -> datetime:
        now = self._clock.now()
        while self._buckets and now - self._buckets[0][0] >= _WINDOW:
            self._used -= self._buckets.popleft()[1]
        return now


def limit_exceeded() -> ApiError:
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


class Limits:
    """The `limits` resource."""

    def __init__(
        self, usage: Usage, knobs: Knobs, events: Callable[[], Mapping[str, tuple[int, int]]]
    ) -> None:
        self._usage = usage
        self._knobs = knobs
        self._events = events  # used and allowed, by the limit's name

    async def limits(self, request: ApiRequest) -> ApiResponse:
        may_see_setup(self._knobs)
        body = {
            "DailyApiRequests": _left(self._knobs.daily_api_requests, self._usage.used),
            **{name: _left(allowed, used) for name, (used, allowed) in self._events().items()},
            "DailyBulkV2QueryJobs": _left(10_000, 0),
            "DailyBulkV2QueryFileStorageMB": _left(976_562, 0),
            "DailyBulkApiBatches": _left(15_000, 0),
            "DailyStreamingApiEvents": _left(1_000_000, 0),
            "ConcurrentAsyncGetReportInstances": _left(200, 0),
            "DataStorageMB": _left(1_024, 0),
            "FileStorageMB": _left(1_024, 0),
        }
        return ApiResponse(200, body)


def _left(most: int, used: int) -> dict[str, int]:
    return {"Max": most, "Remaining": max(most - used, 0)}
