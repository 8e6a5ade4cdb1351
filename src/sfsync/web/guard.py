"""Around every request: one log line that tells the whole attempt, and no exception that gets out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import ProblemError, later, unexpected

Told = Callable[[Request, ProblemError], Response]  # a problem, as whoever asked reads it
_QUIET = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/events",
    "/status.json",
    "/status.fragment",
    "/static/",
    "/v1/progress/",
)


class Guard:
    """Logs and answers for the app inside."""

    def __init__(self, app: ASGIApp, told: Told) -> None:
        self._app, self._told = app, told
        self._log = structlog.get_logger("sfsync.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except asyncio.CancelledError:
            # The grace of a stop is over: nothing is promised, the sender comes again.
            if not status:
                await self._told(Request(scope), later("The daemon is stopping."))(scope, receive, watch)
        except Exception:
            self._log.exception("request failed", method=scope["method"], path=_path(scope))
            if not status:
                await self._told(Request(scope), unexpected())(scope, receive, watch)
        finally:
            self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope.get("state", {})
        facts = {key: state[key] for key in ("party", "reason") if key in state}
        quiet = scope["path"].startswith(_QUIET) and status < 500
        log = self._log.debug if quiet else self._log.info
        log(
            "request",
            method=scope["method"],
            path=_path(scope),
            status=status,
            ms=round(seconds * 1000, 1),
            **facts,
        )


def _path(scope: Scope) -> str:
    """The path as it was sent: decoded it might hold line ends, and forge lines of the log."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return ascii(raw[:200].decode("ascii", "backslashreplace"))[1:-1]
