"""HTTP for adapters: one client a channel, and the truth about whether a request was sent.

A failure is told apart by what may have happened over there: `never_sent` means that nothing did.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import aiohttp
import httpx
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport

from sfsync.channels.config import is_loopback
from sfsync.plain_http import PlainClient, TheirClock
from sfsync.ports import Refused

_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 30.0
_CONNECTIONS = 20
_OF_THE_WHOLE = ("content-encoding", "content-length")


class _Transport(AiohttpTransport):
    """aiohttp under httpx (several times the request rate), with its mistranslations put right.

    As it comes, a connection cut *after* the request was sent is named a `ConnectTimeout`, as if nothing had
    been sent, and an answer that is no HTTP is not named at all.
    """

    def __init__(
        self,
        client: Callable[[], aiohttp.ClientSession],
        verify: ssl.SSLContext,
        most_bytes: int | None,
        names: AbstractResolver,
    ) -> None:
        super().__init__(verify, client=client)
        self._most_bytes, self._names = most_bytes, names

    async def aclose(self) -> None:
        """Give back connections, and what looks up names."""
        await super().aclose()
        await self._names.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await super().handle_async_request(request)
        except (httpx.ConnectError, httpx.TimeoutException) as error:
            raise _honest(error, request) from error.__cause__
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        try:
            raw = await self._body(answer)
        except (httpx.TransportError, aiohttp.ClientError) as error:
            raise httpx.ReadError(str(error) or "the answer was cut short", request=request) from error
        finally:
            await answer.aclose()
        headers = answer.headers
        if self._most_bytes is not None:  # of what is cut off, nothing is unpacked
            headers = httpx.Headers([(k, v) for k, v in headers.multi_items() if k not in _OF_THE_WHOLE])
        return httpx.Response(answer.status_code, headers=headers, stream=httpx.ByteStream(raw))

    async def _body(self, answer: httpx.Response) -> bytes:
        """All of it, or what may be read of it at most: the rest is never waited for."""
        parts: list[bytes] = []
        left = self._most_bytes
        async for chunk in answer.aiter_raw():
            parts.append(chunk if left is None else chunk[:left])
            if left is not None and (left := left - len(chunk)) <= 0:
                break
        return b"".join(parts)


def _honest(error: httpx.TransportError, request: httpx.Request) -> httpx.TransportError:
    cause, text = error.__cause__, str(error)
    if isinstance(cause, aiohttp.ClientConnectorError):
        return httpx.ConnectError(text, request=request)
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(text, request=request)
    if isinstance(cause, aiohttp.ServerTimeoutError):
        return httpx.ReadTimeout(text, request=request)
    return httpx.ReadError(text or "the connection was cut", request=request)


def open_client(
    url: str,
    *,
    timeout_seconds: float,
    ca_file: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    resolver: AbstractResolver | None = None,
    most_bytes: int | None = None,
    read_only: bool = False,
    clock: TheirClock | None = None,
) -> httpx.AsyncClient:
    """A client for one host. It follows no redirects, keeps no cookies, and never proxies loopback.

    `read_only`: what is no reading is `Refused` before it leaves.

    `resolver` says where a name leads, on each new connection; nothing goes by a proxy then, which would
    resolve it anew. No more than `most_bytes` of an answer's body are read. `clock` learns from the answers.
    """
    timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
    trust_env = not is_loopback(url) and resolver is None
    if transport is None:
        verify = _trusted(None if ca_file is None else str(ca_file), trust_env)
        names = _OwnThread() if resolver is None else resolver
        cached = resolver is None
        transport = _Transport(lambda: _session(verify, names, cached=cached), verify, most_bytes, names)
    hook = _only_read if read_only else None
    return PlainClient(transport, base_url=url, timeout=timeout, trust_env=trust_env, hook=hook, clock=clock)


async def _only_read(request: httpx.Request) -> None:
    """Let through what changes nothing: GET, a GraphQL query, and the ways to a token or a session."""
    if request.method in ("GET", "HEAD") or request.url.path.endswith(("/token", "/access_token")):
        return
    if request.method == "POST":
        try:
            document = str(orjson.loads(request.content)["query"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            document = ""
        # Of our own documents, one that changes anything begins with that word, and has one operation.
        if document.lstrip().startswith(("query ", "mutation SignIn(")):
            return
    raise Refused(
        f"{request.method} {request.url.path}: sfsync runs in shadow, and writes nothing",
        advice="run it without --shadow",
    )


class _OwnThread(AbstractResolver):
    """Asks the system where names lead, in a thread of its own: a client has one name to ask for.

    The loop's threads are few and everybody's: with those, a channel whose name is not answered would keep
    the others from connecting.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Where to connect to. Raises OSError."""
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=flags
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """What is still asked is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@cache
def _trusted(ca_file: str | None, trust_env: bool) -> ssl.SSLContext:
    """Whom to trust: one for all channels that trust the same, for reading the authorities takes its time."""
    verify = httpx.create_ssl_context(trust_env=trust_env)
    if ca_file is not None:
        verify.load_verify_locations(cafile=ca_file)
    return verify


def _session(verify: ssl.SSLContext, names: AbstractResolver, *, cached: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=verify,
        limit=_CONNECTIONS,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        resolver=names,
        use_dns_cache=cached,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def never_sent(error: httpx.HTTPError) -> bool:
    """True when the request certainly did not reach the other party."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
