"""HTTP clients for an org, and whether a request that failed may have arrived.

aiohttp carries the requests, through httpx's interface, because it costs a fraction of httpx's own transport.
Where a proxy must be passed, httpx's own is used. Loopback is never proxied.
"""

from __future__ import annotations

import ipaddress
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from sfsync.plain_http import PlainClient, TheirClock

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = (
    30.0  # shorter than what the org's edge keeps, so that no request meets a closing connection
)
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=KEEPALIVE_SECONDS)


def host_of(url: str) -> str:
    """The host of a URL or of ``host:port``; "" where there is none."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    """True when the URL's (or ``host:port``'s) host is this machine."""
    host = host_of(url)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_proxied(url: str) -> bool:
    """True when the environment names a proxy for this URL."""
    proxies = getproxies()
    return (
        not is_loopback(url)
        and bool(proxies.get(url.partition("://")[0]) or proxies.get("all"))
        and not proxy_bypass(host_of(url))
    )


def http_client(
    url: str,
    *,
    timeout_seconds: float,
    ca_file: str | None,
    transport: httpx.AsyncBaseTransport | None,
    clock: TheirClock | None = None,
) -> httpx.AsyncClient:
    """A client for the org at `url`; over `transport` when one is given (in-process tests, virtual time).

    `clock` learns from the answers.
    """
    timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
    if transport is not None:
        return PlainClient(transport, timeout=timeout, clock=clock)
    trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
    if is_proxied(url):
        hooks = clock.hooks() if clock is not None else None
        return httpx.AsyncClient(timeout=timeout, verify=trust, limits=LIMITS, event_hooks=hooks)
    carrier = AiohttpTransport(verify=trust, limits=LIMITS, trust_env=not is_loopback(url))
    return PlainClient(carrier, timeout=timeout, clock=clock)


_BEFORE_ANY_BYTE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


# Whatever a request may end with: httpx's own, and what a transport lets through.
LOST = (httpx.HTTPError, aiohttp.ClientError, OSError)


def nothing_was_sent(error: BaseException) -> bool:
    """True when the failure came before the first byte of the request left.

    httpx-aiohttp calls every lost connection a connect time-out, one cut after the request too; so where
    aiohttp's own error is known, that one decides.
    """
    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(cause, _BEFORE_ANY_BYTE)
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)


def is_distrusted(error: BaseException) -> bool:
    """True when the other side's TLS certificate was not accepted."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return False
        if isinstance(seen, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
