"""Calls to the Selling Partner API: a token, an answer, or one of the three failures.

A write that may have been carried out is `Unknown`; a read never is. Each operation has a bucket of its own
at Amazon, which tells how fast it fills (`x-amzn-RateLimit-Limit`). No failure's text holds a secret.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from sfsync.channels.amazon_config import AmazonConfig
from sfsync.channels.http import never_sent, open_client
from sfsync.plain_http import TheirClock
from sfsync.ports import Clock, Refused, TryLater, Unknown

_RENEW = timedelta(minutes=1)  # a token is asked for anew so long before it ends
_READ_TRIES = 4
_MOST_WAIT_SECONDS = 90.0
_TOO_MUCH_SECONDS = 5.0  # when the answer does not tell the bucket's rate
_TOKEN_ADVICE = "look at client_id, client_secret and refresh_token: authorize the app anew in Seller Central"  # noqa: S105 — no secret
_ADVICE = {
    401: _TOKEN_ADVICE,
    403: "give the app the roles Product Listing and Inventory and Order Tracking, and authorize it anew",
    404: "look at url, seller_id and marketplace_id",
}


class AmazonClient:
    """One connection pool and one token."""

    def __init__(
        self, config: AmazonConfig, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._config, self._clock = config, clock
        self.their_clock = TheirClock(clock.now)
        self._http = open_client(
            config.url,
            timeout_seconds=config.timeout_seconds,
            ca_file=config.ca_file,
            transport=transport,
            read_only=config.read_only,
            clock=self.their_clock,
        )
        self._token, self._ends_at = "", clock.now()
        self._renewing = asyncio.Lock()

    async def close(self) -> None:
        """Give back connections."""
        await self._http.aclose()

    async def read(self, path: str, **params: str | int) -> Mapping[str, Any]:
        """The JSON object at a path; waits a few times while the bucket is empty. TryLater or Refused."""
        for _ in range(_READ_TRIES - 1):
            try:
                return await self.call("GET", path, params=params)
            except TryLater as failure:
                if failure.after_seconds is None or failure.after_seconds > _MOST_WAIT_SECONDS:
                    raise
                await self._clock.sleep(failure.after_seconds)
        return await self.call("GET", path, params=params)

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Any = None,
        harmless: bool = False,
    ) -> Mapping[str, Any]:
        """One call. `harmless`: a write that has no effect on any number by itself."""
        push = method != "GET" and not harmless
        content = None if body is None else orjson.dumps(body)
        response = await self._authorized(method, path, params or {}, content, push=push)
        self._raise_for_status(path, response, push=push)
        document = _object(response)
        if document is None:
            raise _lost(f"{self._config.name}: the answer to {path} is not whole", push=push)
        return document

    async def _authorized(
        self, method: str, path: str, params: Mapping[str, str | int], content: bytes | None, *, push: bool
    ) -> httpx.Response:
        token = await self._get_token()
        headers = {"x-amz-access-token": token, "content-type": "application/json"}
        response = await self._send(method, path, params, content, headers, push=push)
        if response.status_code in (401, 403) and token == self._token:
            self._token = ""  # it may have been revoked before its time: once with a new one
            headers["x-amz-access-token"] = await self._get_token()
            response = await self._send(method, path, params, content, headers, push=push)
        return response

    async def upload(self, url: str, content: bytes) -> None:
        """Put a document where Amazon said; nothing is done with it yet. Raises TryLater."""
        headers = {"content-type": "application/json; charset=UTF-8"}
        response = await self._send("PUT", url, {}, content, headers, push=False)
        if response.status_code >= 300:
            raise TryLater(f"{self._config.name}: a feed was not stored: HTTP {response.status_code}")

    async def download(self, url: str, *, zipped: bool) -> bytes:
        """The document at an address that Amazon gave. Raises TryLater."""
        response = await self._send("GET", url, {}, None, {}, push=False)
        if response.status_code >= 300:
            raise TryLater(f"{self._config.name}: a report was not read: HTTP {response.status_code}")
        try:
            return gzip.decompress(response.content) if zipped else response.content
        except (OSError, EOFError) as error:
            raise TryLater(f"{self._config.name}: a report is not whole") from error

    async def _get_token(self) -> str:
        async with self._renewing:
            if self._token and self._clock.now() < self._ends_at - _RENEW:
                return self._token
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._config.refresh_token,
                "client_id": self._config.client_id,
                "client_secret": self._config.client_secret,
            }
            url = f"{self._config.auth_url.rstrip('/')}/auth/o2/token"
            try:
                async with asyncio.timeout(self._config.timeout_seconds):
                    response = await self._http.post(url, data=form)
            except (TimeoutError, httpx.HTTPError) as error:
                raise TryLater(f"{self._config.name}: no token: {type(error).__name__}") from error
            if response.status_code in (400, 401, 403):
                text = f"{self._config.name}: no token: HTTP {response.status_code}"
                raise Refused(text, advice=_TOKEN_ADVICE)
            document = _object(response)
            if response.status_code >= 300 or document is None or not document.get("access_token"):
                raise TryLater(f"{self._config.name}: no token: HTTP {response.status_code}")
            self._token = str(document["access_token"])
            self._ends_at = _later(self._clock.now(), float(document.get("expires_in") or 3600))
            return self._token

    async def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | int],
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        push: bool,
    ) -> httpx.Response:
        place = url.partition("?")[0] if url.startswith("/") else "a document"
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                return await self._http.request(
                    method, url, params=params or None, content=content, headers=headers
                )
        except TimeoutError as error:
            text = f"{self._config.name}: no answer to {place} in {self._config.timeout_seconds:g} s"
            raise _lost(text, push=push) from error
        except httpx.HTTPError as error:
            text = f"{self._config.name}: {place}: {type(error).__name__}"
            if never_sent(error):
                raise TryLater(f"{text} (Amazon was not reached)") from error
            raise _lost(text, push=push) from error

    def _raise_for_status(self, path: str, response: httpx.Response, *, push: bool) -> None:
        status = response.status_code
        if status < 300:
            return
        said = said_of(_object(response) or {})
        text = f"{self._config.name}: {path} was answered with HTTP {status}" + (f": {said}" if said else "")
        if status == 429 or (status == 503 and "retry-after" in response.headers):
            raise TryLater(text, after_seconds=_wait_seconds(response))
        if status >= 500 or status == 408:
            raise _lost(text, push=push)
        raise AmazonRefused(text, status, said, _ADVICE.get(status, "look at what Amazon says"))


class AmazonRefused(Refused):
    """Refused with an HTTP status, and with Amazon's words."""

    def __init__(self, text: str, status: int, said: str, advice: str) -> None:
        super().__init__(text, advice=advice)
        self.status, self.said = status, said


def said_of(document: Mapping[str, Any]) -> str:
    """What Amazon says is wrong, in one sentence."""
    problems = document.get("errors") or document.get("issues") or ()
    return "; ".join(str(each.get("message")) for each in problems if isinstance(each, dict))


def _lost(text: str, *, push: bool) -> Unknown | TryLater:
    return Unknown(text) if push else TryLater(text)


def _object(response: httpx.Response) -> Mapping[str, Any] | None:
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _wait_seconds(response: httpx.Response) -> float:
    """Until the bucket holds one call again."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        pass
    try:
        rate = float(response.headers["x-amzn-ratelimit-limit"])
    except (KeyError, ValueError):
        return _TOO_MUCH_SECONDS
    return 1 / rate if rate > 0 else _TOO_MUCH_SECONDS


def _later(moment: datetime, seconds: float) -> datetime:
    return moment + timedelta(seconds=seconds)
