"""Calls to one marketplace: an answer, or one of the three failures.

A stock file that may have been taken is `Unknown`; a read never is. No failure's text holds the key.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from sfsync.channels.http import never_sent, open_client
from sfsync.channels.mirakl_config import MiraklConfig
from sfsync.plain_http import TheirClock
from sfsync.ports import Clock, Refused, TryLater, Unknown

_NEW_KEY = "make a new API key in the shop's account at the marketplace, and put it into api_key_file"
_ADVICE = {
    401: _NEW_KEY,
    403: "the marketplace refuses this shop: look at its state, and at the rights of the key's user",
    404: "there is no such address: look at url",
}
_READ_TRIES = 4
_MOST_WAIT_SECONDS = 90.0
_TOO_MUCH_SECONDS = 60.0  # when it does not say how long to wait: its limits are by the minute


class MiraklClient:
    """One connection pool and one key."""

    def __init__(
        self, config: MiraklConfig, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
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

    async def close(self) -> None:
        """Give back connections."""
        await self._http.aclose()

    async def read(self, path: str, **params: str | int | list[str]) -> Mapping[str, Any]:
        """As `get`, and waits a few times for as long as the marketplace asks: a list is read in pages.

        With limits by the minute, what began anew after each refusal would never come to its second page.
        """
        for _ in range(_READ_TRIES - 1):
            try:
                return await self.get(path, **params)
            except TryLater as failure:
                if failure.after_seconds is None or failure.after_seconds > _MOST_WAIT_SECONDS:
                    raise
                await self._clock.sleep(failure.after_seconds)
        return await self.get(path, **params)

    async def get(self, path: str, **params: str | int | list[str]) -> Mapping[str, Any]:
        """The JSON object at a path. Raises TryLater or Refused."""
        response = await self._send("GET", path, params)
        document = _object(response)
        if document is None:
            raise TryLater(f"{self._config.name}: the answer to {path} is not whole")
        return document

    async def text(self, path: str) -> str:
        """The text at a path. Raises TryLater or Refused."""
        return (await self._send("GET", path, {})).text

    async def upload(self, path: str, content: bytes) -> Mapping[str, Any]:
        """Send a file as it is; the same bytes give the same request. Never repeated here."""
        boundary = f"sfsync-{hashlib.sha256(content).hexdigest()[:32]}"
        head = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="stock.csv"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        response = await self._send("POST", path, {}, body, headers)
        document = _object(response)
        if document is None:
            raise Unknown(f"{self._config.name}: the answer to {path} is not whole")
        return document

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int | list[str]],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        push, name = method == "POST", self._config.name
        chosen = {"shop_id": self._config.shop_id} if self._config.shop_id else {}
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                response = await self._http.request(
                    method,
                    path,
                    params={**params, **chosen},
                    content=body,
                    headers={"Authorization": self._config.api_key, **(headers or {})},
                )
        except TimeoutError as error:
            text = f"{name}: no answer to {path} in {self._config.timeout_seconds:g} s"
            raise _lost(text, push=push) from error
        except httpx.HTTPError as error:
            text = f"{name}: {path}: {str(error) or type(error).__name__}"
            if never_sent(error):
                raise TryLater(f"{text} (the marketplace was not reached)") from error
            raise _lost(text, push=push) from error
        self._raise_for_status(path, response, push=push)
        return response

    def _raise_for_status(self, path: str, response: httpx.Response, *, push: bool) -> None:
        status = response.status_code
        if status < 300:
            return
        said = (_object(response) or {}).get("message")
        text = f"{self._config.name}: {path} was answered with HTTP {status}" + (f": {said}" if said else "")
        after = _retry_after_seconds(response)
        if status == 429 or (status == 503 and after is not None):
            raise TryLater(text, after_seconds=_TOO_MUCH_SECONDS if after is None else after)
        if status >= 500 or status == 408:
            raise _lost(text, push=push)
        raise Refused(text, advice=_ADVICE.get(status, "look at url, and at what the marketplace says"))


def _lost(text: str, *, push: bool) -> Unknown | TryLater:
    return Unknown(text) if push else TryLater(text)


def _object(response: httpx.Response) -> Mapping[str, Any] | None:
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _retry_after_seconds(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
