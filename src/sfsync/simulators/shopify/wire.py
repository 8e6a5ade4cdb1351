"""The socket's side of trouble: answers that end too early, and connections that just end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CUT = "sfsync.cut"


class CuttableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, where an application may end the connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # reason: as uvicorn narrows it
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[CUT] = transport.abort
            await inner(scope, receive, send)

        self.app = app


class CutResponse(Response):
    """No answer, or the first part of one, and then the end of the connection."""

    def __init__(self, response: Response | None = None) -> None:
        super().__init__()
        self._partial = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut: Callable[[], None] | None = scope.get("extensions", {}).get(CUT)
        if cut is None:  # in-process: the caller gets what its socket would have told it
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        if self._partial is not None:
            body = bytes(self._partial.body)
            start = {
                "type": "http.response.start",
                "status": self._partial.status_code,
                "headers": self._partial.raw_headers,
            }
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await asyncio.sleep(0.01)  # the half should arrive before the end does
        cut()
