"""HTTP without sockets: every call takes its time, and may be lost on either way, or come late.

Of httpx two things are done once instead of at each call, for they take a third of its time: an address is
read once, as a day has few of them; and an answer that sets no cookie is not asked for cookies. Both give
what they gave before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import httpx
import httpx._urls

from .life import LIFE, Life, Severed

Asgi = Callable[[Any, Any, Any], Any]

_extract_cookies = httpx.Cookies.extract_cookies


def _extract_any_cookies(self: httpx.Cookies, response: httpx.Response) -> None:
    if "set-cookie" in response.headers:
        _extract_cookies(self, response)


def spare_httpx() -> None:
    """See above. For all clients of this process; a second time changes nothing."""
    httpx.Cookies.extract_cookies = _extract_any_cookies  # type: ignore[method-assign]  # as said above
    urls: Any = httpx._urls
    if not hasattr(urls.urlparse, "cache_info"):
        urls.urlparse = lru_cache(4096)(urls.urlparse)


@dataclass(slots=True)
class Weather:
    """What befalls calls to one side, each as a share of them."""

    refused: float = 0.0  # no connection: nothing was sent
    lost: float = 0.0  # sent, and it never arrives
    reply_lost: float = 0.0  # done, and the answer never arrives
    late: float = 0.0  # arrives after its sender has given up
    slowest_seconds: float | None = None  # one way; None: as the day is


class Net:
    """The network between everybody. `outside` is the context in which the others live."""

    def __init__(self, chance: Random, outside: Context, slowest_seconds: float) -> None:
        self._chance, self._outside, self._slowest = chance, outside, slowest_seconds
        self.weather: dict[str, Weather] = {}
        self.cut_off: set[str] = set()  # who cannot be reached at all, whatever the weather
        self._tasks: dict[asyncio.Task[Any], None] = {}
        spare_httpx()

    def transport(self, to: str, app: Callable[[], Asgi | None], life: Life | None) -> Transport:
        """A client's way to an app, which may be down (None). `life` is the client's, if it can die."""
        return Transport(self, to, app, life)

    def at(self, to: str) -> Weather:
        return self.weather.setdefault(to, Weather())

    def serve(self, app: Asgi, request: httpx.Request, body: bytes, life: Life | None) -> asyncio.Task[Any]:
        """Begin the other side's work; it is not the caller's task, and outlives it."""
        gone = asyncio.Event()
        context = self._outside.copy()
        if life is not None:
            context.run(LIFE.set, life)
        task = asyncio.get_running_loop().create_task(
            _ask(app, request, body, gone), context=context, name=f"serve {request.url.path}"
        )
        task.gone = gone  # type: ignore[attr-defined]  # how the server learns that its client has left
        self._tasks[task] = None
        task.add_done_callback(
            lambda done: (self._tasks.pop(done, None), done.cancelled() or done.exception())
        )
        return task

    async def way(self, to: str) -> None:
        slowest = self.at(to).slowest_seconds
        await asyncio.sleep(self._chance.random() * (self._slowest if slowest is None else slowest))

    def drawn(self, to: str) -> str:
        """What befalls the next call."""
        weather, luck = self.at(to), self._chance.random()
        if to in self.cut_off:
            return "refused"
        for name in ("refused", "lost", "reply_lost", "late"):
            luck -= getattr(weather, name)
            if luck < 0:
                return name
        return ""


class Transport(httpx.AsyncBaseTransport):
    """See `Net.transport`."""

    def __init__(self, net: Net, to: str, app: Callable[[], Asgi | None], life: Life | None) -> None:
        self._net, self._to, self._app, self._life = net, to, app, life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        patience = (request.extensions.get("timeout") or {}).get("read") or 30.0
        what = f"{request.method} {self._to}{request.url.path}"
        net, life = self._net, self._life
        if life is not None and not life.passes(f"before {what}"):
            raise Severed
        fate = net.drawn(self._to)
        try:
            async with asyncio.timeout(patience):
                await net.way(self._to)
                app = self._app()
                if app is None or fate == "refused":
                    raise httpx.ConnectError("connection refused", request=request)
                if fate == "lost":
                    await asyncio.sleep(patience + 1)
                if fate == "late":
                    asyncio.get_running_loop().call_later(
                        patience + net._chance.random() * 5, self._late, request, body, context=net._outside
                    )
                    await asyncio.sleep(patience + 1)
                answer = await self._answer(app, request, body)
                if fate == "reply_lost":
                    await asyncio.sleep(patience + 1)
                await net.way(self._to)
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer in {patience:g} s", request=request) from None
        if life is not None and not life.passes(f"after {what}"):
            raise Severed
        return answer

    def _late(self, request: httpx.Request, body: bytes) -> None:
        app = self._app()
        if app is not None:
            self._net.serve(app, request, body, None)

    async def _answer(self, app: Asgi, request: httpx.Request, body: bytes) -> httpx.Response:
        task = self._net.serve(app, request, body, getattr(app, "life", None))
        try:
            status, headers, content = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():  # the server died
                raise httpx.ReadError("the connection was reset", request=request) from None
            task.gone.set()  # type: ignore[attr-defined]  # see `serve`
            raise
        except (ConnectionResetError, httpx.RemoteProtocolError) as cut:
            raise httpx.RemoteProtocolError(str(cut), request=request) from None
        return httpx.Response(status, headers=headers, content=content, request=request)


class Straight(httpx.AsyncClient):
    """A client that asks after no cookies, redirects and log-ins: here nobody has any."""

    async def send(self, request: httpx.Request, **_options: Any) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        answer.request = request
        await answer.aread()
        return answer


async def _ask(
    app: Asgi, request: httpx.Request, body: bytes, gone: asyncio.Event
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """One ASGI exchange."""
    url = request.url
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (url.host, url.port),
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    status, headers, parts, sent = 0, [], [], False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, b"".join(parts)
