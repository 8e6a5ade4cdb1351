"""HTTP for adapters: one client a channel, and the truth about whether a request was sent.

A failure is told apart by what may have happened over there: `never_sent` means that nothing did.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from sfsync.channels.config import is_loopback

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
        self, client: Callable[[], aiohttp.ClientSession], verify: ssl.SSLContext, most_bytes: int | None
    ) -> None:
        super().__init__(verify, client=client)
        self._most_bytes = most_bytes

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
) -> httpx.AsyncClient:
    """A client for one host. It follows no redirects, keeps no cookies, and never proxies loopback.

    `resolver` says where a name leads, on each new connection; nothing goes by a proxy then, which would
    resolve it anew. No more than `most_bytes` of an answer's body are read.
    """
    timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
    trust_env = not is_loopback(url) and resolver is None
    if transport is None:
        verify = _trusted(None if ca_file is None else str(ca_file), trust_env)
        transport = _Transport(lambda: _session(verify, resolver), verify, most_bytes)
    return httpx.AsyncClient(
        base_url=url, timeout=timeout, trust_env=trust_env, follow_redirects=False, transport=transport
    )


@cache
def _trusted(ca_file: str | None, trust_env: bool) -> ssl.SSLContext:
    """Whom to trust: one for all channels that trust the same, for reading the authorities takes its time."""
    verify = httpx.create_ssl_context(trust_env=trust_env)
    if ca_file is not None:
        verify.load_verify_locations(cafile=ca_file)
    return verify


def _session(verify: ssl.SSLContext, resolver: AbstractResolver | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=verify,
        limit=_CONNECTIONS,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        resolver=resolver,
        use_dns_cache=resolver is None,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def never_sent(error: httpx.HTTPError) -> bool:
    """True when the request certainly did not reach the other party."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
