"""HTTP for adapters: one client a channel, and the truth about whether a request was sent.

A failure is told apart by what may have happened over there: `never_sent` means that nothing did.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from sfsync.channels.config import is_loopback

_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 30.0
_CONNECTIONS = 20


class _Transport(AiohttpTransport):
    """aiohttp under httpx (several times the request rate), with its mistranslations put right.

    As it comes, a connection cut *after* the request was sent is named a `ConnectTimeout`, as if nothing had
    been sent, and an answer that is no HTTP is not named at all.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await super().handle_async_request(request)
        except (httpx.ConnectError, httpx.TimeoutException) as error:
            raise _honest(error, request) from error.__cause__
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        try:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        except (httpx.TransportError, aiohttp.ClientError) as error:
            raise httpx.ReadError(str(error) or "the answer was cut short", request=request) from error
        finally:
            await answer.aclose()
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(raw))


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
) -> httpx.AsyncClient:
    """A client for one host. It follows no redirects, keeps no cookies, and never proxies loopback."""
    timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
    trust_env = not is_loopback(url)
    if transport is None:
        verify = httpx.create_ssl_context(trust_env=trust_env)
        if ca_file is not None:
            verify.load_verify_locations(cafile=str(ca_file))
        transport = _Transport(client=lambda: _session(verify))
    return httpx.AsyncClient(
        base_url=url, timeout=timeout, trust_env=trust_env, follow_redirects=False, transport=transport
    )


def _session(verify: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=verify, limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def never_sent(error: httpx.HTTPError) -> bool:
    """True when the request certainly did not reach the other party."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
