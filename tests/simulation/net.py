"""HTTP without sockets: every call takes its time, and may be lost on either way, or come late.

A call is a few callbacks of the loop, without a task of its own: there are thousands in a seed. Of httpx a
few things are done once instead of at each call, for they take a third of its time: an address is read once,
as a day has few of them; an answer that sets no cookie is not asked for cookies; a header that came as bytes
in small letters is not made that again. All give what they gave before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import httpx
import httpx._urls
import orjson

from .life import LIFE, Life, Severed

Asgi = Callable[[Any, Any, Any], Any]
Headers = list[tuple[bytes, bytes]]  # their names in small letters
Reply = tuple[int, Headers, bytes]  # status, headers, body

PATIENCE_SECONDS = 30.0  # of a client that does not say

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


@lru_cache(4096)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text)


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
        self._chance, self.outside, self._slowest = chance, outside, slowest_seconds
        self.weather: dict[str, Weather] = {}
        self.cut_off: set[str] = set()  # who cannot be reached at all, whatever the weather
        self.unanswered: list[
            bytes
        ] = []  # what was sent to the org, and may have been done for all one knows
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.loop = asyncio.get_running_loop()
        spare_httpx()

    def transport(self, to: str, app: Callable[[], Asgi | None], life: Life | None) -> Transport:
        """A client's way to an app, which may be down (None). `life` is the client's, if it can die."""
        return Transport(self, to, app, life)

    def serve(self, app: Asgi, request: Sent, life: Life | None) -> asyncio.Task[Reply]:
        """Begin the other side's work; it is not the caller's task, and outlives it."""
        context = self.outside.copy()
        if life is not None:
            context.run(LIFE.set, life)
        task = self.loop.create_task(_ask(app, request), context=context)
        self._tasks[task] = None
        task.add_done_callback(self._served)
        return task

    def _served(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # its sender may have left: somebody has to have looked

    def way_seconds(self, to: str) -> float:
        """How long the next message takes one way."""
        weather = self.weather.get(to)
        slowest = weather.slowest_seconds if weather is not None else None
        return self._chance.random() * (self._slowest if slowest is None else slowest)

    def late_seconds(self) -> float:
        """After its sender's patience, until a late message arrives."""
        return self._chance.random() * 5

    def drawn(self, to: str) -> str:
        """What befalls the next call."""
        luck = self._chance.random()
        if to in self.cut_off:
            return "refused"
        weather = self.weather.get(to)
        if weather is None:
            return ""
        for name in ("refused", "lost", "reply_lost", "late"):
            luck -= getattr(weather, name)
            if luck < 0:
                return name
        return ""


class Sent:
    """A request, as its server sees it. `gone` is set when its sender has left."""

    __slots__ = ("body", "gone", "headers", "method", "url")

    def __init__(self, method: str, url: httpx.URL, headers: Headers, body: bytes) -> None:
        self.method, self.url, self.headers, self.body = method, url, headers, body
        self.gone = asyncio.Event()


class _Call:
    """A request on its way, at its server, and its answer on its way back; or what became of it instead."""

    __slots__ = (
        *("outcome", "request"),
        *("_app", "_fate", "_net", "_patience", "_task", "_timer", "_to", "_until"),
    )

    def __init__(
        self, net: Net, to: str, app: Callable[[], Asgi | None], request: Sent, patience: float
    ) -> None:
        self._net, self._to, self._app, self.request = net, to, app, request
        self._fate = net.drawn(to)
        self._patience, self._until = patience, net.loop.time() + patience
        self._task: asyncio.Task[Reply] | None = None
        self.outcome: asyncio.Future[Reply] = net.loop.create_future()
        self._travel(self._arrive)

    def leave(self) -> None:
        """Its sender is gone."""
        self._timer.cancel()
        if self._task is not None:
            self.request.gone.set()

    def _travel(self, then: Callable[[], None]) -> None:
        """Go on after a way's time, unless the sender's patience is over before that."""
        at = self._net.loop.time() + self._net.way_seconds(self._to)
        if at < self._until:
            self._timer = self._net.loop.call_at(at, then, context=self._net.outside)
        else:
            self._wait()

    def _wait(self) -> None:
        """For nothing."""
        self._timer = self._net.loop.call_at(self._until, self._give_up, context=self._net.outside)

    def _arrive(self) -> None:
        net, app = self._net, self._app()
        if app is None or self._fate == "refused":
            self.outcome.set_exception(httpx.ConnectError("connection refused"))
            return
        self._wait()
        if self._fate and self._to == "org":
            net.unanswered.append(self.request.body)
        if self._fate == "late":
            late = self._until - net.loop.time() + net.late_seconds()
            net.loop.call_later(late, self._come_late, context=net.outside)
        elif self._fate != "lost":
            self._task = net.serve(app, self.request, getattr(app, "life", None))
            self._task.add_done_callback(self._answered, context=net.outside)

    def _come_late(self) -> None:
        app = self._app()
        if app is not None:
            self._net.serve(app, self.request, None)

    def _answered(self, task: asyncio.Task[Reply]) -> None:
        if self.outcome.done():
            return
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            if self._fate != "reply_lost":
                self._timer.cancel()
                self._travel(self._come_back)
            return
        self._timer.cancel()
        if error is None:
            error = httpx.ReadError("the connection was reset")  # the server died
        elif isinstance(error, ConnectionResetError | httpx.RemoteProtocolError):
            error = httpx.RemoteProtocolError(str(error))
        self.outcome.set_exception(error)

    def _come_back(self) -> None:
        if not self.outcome.done() and self._task is not None:
            self.outcome.set_result(self._task.result())

    def _give_up(self) -> None:
        if self._task is not None:
            self.request.gone.set()
        if not self.outcome.done():
            self.outcome.set_exception(httpx.ReadTimeout(f"no answer in {self._patience:g} s"))


class Transport(httpx.AsyncBaseTransport):
    """See `Net.transport`."""

    def __init__(self, net: Net, to: str, app: Callable[[], Asgi | None], life: Life | None) -> None:
        self._net, self._to, self._app, self._life = net, to, app, life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        patience = (request.extensions.get("timeout") or {}).get("read") or PATIENCE_SECONDS
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        try:
            reply = await self.call(Sent(request.method, request.url, headers, body), patience)
        except httpx.RequestError as error:
            error.request = request
            raise
        return _response(reply, request)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], patience: float) -> int:
        """A message of somebody who reads nothing of its answer but the status."""
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        address = _url(url)
        raw += ((b"host", address.netloc), (b"content-length", b"%d" % len(body)))
        return (await self.call(Sent("POST", address, raw, body), patience))[0]

    async def call(self, request: Sent, patience: float) -> Reply:
        """One exchange, with all that may befall it."""
        life = self._life
        what = f"{request.method} {self._to}{request.url.path}"
        if life is not None and not life.passes(f"before {what}"):
            raise Severed
        call = _Call(self._net, self._to, self._app, request, patience)
        try:
            reply = await call.outcome
        except asyncio.CancelledError:
            call.leave()
            raise
        if life is not None and not life.passes(f"after {what}"):
            raise Severed
        return reply


class _Headers(httpx.Headers):
    """Of pairs as ASGI has them: bytes, and the names in small letters."""

    def __init__(self, raw: Headers) -> None:
        self._list = [(name, name, value) for name, value in raw]
        self._encoding = "ascii" if all(value.isascii() for _, value in raw) else None


_READ = httpx.ByteStream(b"")


class _Response(httpx.Response):
    """An answer that has been read: httpx makes it from its parts as if they had yet to come."""

    def __init__(self, reply: Reply, request: httpx.Request | None) -> None:
        self.status_code, raw, self._content = reply
        self.headers = _Headers(raw)
        self._request = request
        self.next_request = None
        self.extensions, self.history = {}, []
        self.is_closed = self.is_stream_consumed = True
        self.default_encoding = "utf-8"
        self.stream = _READ
        self._num_bytes_downloaded = len(self._content)


def _response(reply: Reply, request: httpx.Request | None) -> httpx.Response:
    status, headers, content = reply
    if any(name == b"content-encoding" for name, _ in headers):
        return httpx.Response(status, headers=headers, content=content, request=request)
    return _Response(reply, request)


class Straight(httpx.AsyncClient):
    """A client that asks after no cookies, redirects and log-ins: here nobody has any."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._site = str(self.base_url).rstrip("/")
        self._usual = {name.lower(): value for name, value in self.headers.items()}

    async def request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """As httpx does it, by the shortest way there is."""
        carrier = self._transport
        if not isinstance(carrier, Transport):  # real sockets
            return await super().request(method, url, **options)
        more = {name.lower(): value for name, value in (options.pop("headers", None) or {}).items()}
        content, body = options.pop("json", None), b""
        if any(value is not httpx.USE_CLIENT_DEFAULT for value in options.values() if value is not None):
            raise NotImplementedError(f"nobody has asked for {list(options)} so far")
        if content is not None:
            body = orjson.dumps(content)
            more |= {"content-type": "application/json", "content-length": str(len(body))}
        whole = _url(f"{self._site}{url}")
        raw = [(name.encode(), value.encode()) for name, value in (self._usual | more).items()]
        sent = Sent(method, whole, [(b"host", whole.netloc), *raw], body)
        return _response(await carrier.call(sent, self.timeout.read or PATIENCE_SECONDS), None)


@lru_cache(4096)
def _where(address: Any) -> dict[str, Any]:
    """What an ASGI scope says of an address (as httpx keeps one that was read)."""
    url = httpx.URL()
    url._uri_reference = address
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "server": (url.host, url.port),
        "client": ("127.0.0.1", 1),
    }


async def _ask(app: Asgi, request: Sent) -> Reply:
    """One ASGI exchange."""
    where = _where(request.url._uri_reference)
    scope = {**where, "method": request.method, "headers": request.headers, "state": {}}
    status, headers, parts, sent = 0, [], [], False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": request.body, "more_body": False}
        await request.gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, b"".join(parts)
