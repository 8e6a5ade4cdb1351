"""Answers that say what time it is, by the clock of the party that gives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class Dated:
    """Has each answer of an app carry a `Date`, in whole seconds. `now`: the seconds since 1970."""

    def __init__(self, app: _App, now: Callable[[], float]) -> None:
        self._app, self._now = app, now

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        async def dated(message: _Message) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", _http_date(int(self._now())))
                message = {**message, "headers": [*message.get("headers", ()), date]}
            await send(message)

        await self._app(scope, receive, dated)


@lru_cache(64)
def _http_date(epoch_seconds: int) -> bytes:
    return formatdate(epoch_seconds, usegmt=True).encode()
