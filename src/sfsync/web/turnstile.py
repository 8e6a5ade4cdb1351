"""So many buyers at once as can be answered in good time; the others are told at once to come again.

In a rush more ask than can be served, by us or by the org. Without a turnstile each waits behind all others,
until none has its answer while it still matters: every buyer has left, and the org holds units for nobody. So
no more are let in than are likely to be answered within `WAIT_SECONDS`, by what was answered lately. Who is
turned away costs next to nothing, is told when to come again, and has lost no claim: an Idempotency-Key that
is sent again is answered as the first time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from .json_text import to_json

WAIT_SECONDS = 3.0  # who is let in has an answer by then, as far as anybody can tell
FEWEST, MOST = 60, 400  # inside at once, however slow or fast the answers are
WINDOW_SECONDS = 2.0  # of answers by which the pace is told
LONGEST_RETRY_SECONDS = 5
TELL_SECONDS = 10.0  # between two lines of the log

PATH, METHOD = "/v1/reservations", "POST"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Turnstile:
    """Lets those in who ask for a reservation; everybody else passes by."""

    def __init__(self, app: ASGIApp, *, now: Callable[[], float] = _loop_time) -> None:
        self._app, self._now = app, now
        self._inside = self._turned_away = 0
        self._left: deque[float] = deque()  # when those who were inside lately have left
        self._told_at = float("-inf")
        self._log = structlog.get_logger("sfsync.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != METHOD:
            await self._app(scope, receive, send)
            return
        pace = self._pace()
        if self._inside >= places(pace):
            await self._turn_away(pace, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
            self._left.append(self._now())

    def _pace(self) -> float:
        """Answers a second, of late."""
        since = self._now() - WINDOW_SECONDS
        while self._left and self._left[0] < since:
            self._left.popleft()
        return len(self._left) / WINDOW_SECONDS

    async def _turn_away(self, pace: float, send: Send) -> None:
        seconds = retry_seconds(self._inside, pace)
        self._turned_away += 1
        if (now := self._now()) - self._told_at >= TELL_SECONDS:
            self._log.warning(
                "buyers turned away", count=self._turned_away, inside=self._inside, next="they come again"
            )
            self._told_at, self._turned_away = now, 0
        headers = [(b"retry-after", str(seconds).encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": _BODY})


def places(pace: float) -> int:
    """How many may be inside at once when so many are answered in a second."""
    return min(MOST, max(FEWEST, int(pace * WAIT_SECONDS)))


def retry_seconds(inside: int, pace: float) -> int:
    """When to come again: by then those who are inside have left, at this pace."""
    return min(LONGEST_RETRY_SECONDS, max(1, round(inside / max(pace, 1.0))))


_BODY = to_json(
    {
        "type": "urn:sfsync:problem:crowded",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "More ask than can be answered in good time. Nothing was asked; come again.",
    }
)
_HEADERS = [
    (b"content-type", b"application/problem+json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"cache-control", b"no-store"),
]
