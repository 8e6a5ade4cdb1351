"""Calls to one Shopify store: token, points, and an answer or one of the three failures.

A push that may have been carried out is `Unknown`; a read never is. No failure's text holds a secret.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import structlog

from sfsync.channels.config import ShopifyConfig, is_loopback
from sfsync.channels.http import never_sent, open_client
from sfsync.channels.shopify_points import Points
from sfsync.channels.shopify_token import ShopifyToken
from sfsync.domain.retry import backoff_seconds
from sfsync.plain_http import TheirClock
from sfsync.ports import Clock, Refused, TryLater, Unknown

_Json = Mapping[str, Any]

log = structlog.get_logger(__name__)

_PUSH_WAITS_SECONDS = 1.0  # for points, before the relay is asked to come back
_READ_TRIES = 6

_STATUS_ADVICE = {
    402: "the store is frozen: its owner has to pay Shopify's bill",
    403: "the store refuses this app: look at the app's access, and at the store's state",
    404: "there is no such store or API version: look at url and api_version",
    423: "the store is locked: ask Shopify's support",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the store answered to one document; `errors` are those beside the data."""

    data: Mapping[str, Any] | None
    errors: tuple[Mapping[str, Any], ...] = ()

    def codes(self) -> set[str]:
        """The codes of the errors."""
        return {str((error.get("extensions") or {}).get("code", "")) for error in self.errors}

    def text(self) -> str:
        """The errors in a sentence."""
        return "; ".join(str(error.get("message", "an error without a message")) for error in self.errors)


class ShopifyClient:
    """One connection pool, one token and one bucket of points for one store."""

    def __init__(
        self,
        config: ShopifyConfig,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._luck = luck
        self.their_clock = TheirClock(clock.now)
        self._http = open_client(
            config.url,
            timeout_seconds=config.timeout_seconds,
            ca_file=config.ca_file,
            transport=transport,
            read_only=config.read_only,
            clock=self.their_clock,
        )
        self._token = ShopifyToken(config, self._http, clock)
        self._points = Points(lambda: clock.now().timestamp())
        self._path = f"/admin/api/{config.api_version}/graphql.json"
        self.answered_version: str | None = None  # the API version that the store says it spoke

    @property
    def points(self) -> Points:
        """What the store lets us spend."""
        return self._points

    async def push(self, operation: str, body: bytes) -> Reply:
        """Send a write as it is. Never repeated here: what to do next is the caller's to decide."""
        if (wait := self._points.wait_seconds(operation, push=True)) > _PUSH_WAITS_SECONDS:
            raise TryLater(f"{self._config.name}: out of points", after_seconds=wait)
        if wait > 0:
            await self._clock.sleep(wait)
        return await self._call(operation, body, operation, push=True)

    async def read(self, operation: str, document: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """The data of a query; waits for points, and tries again a few times. Raises TryLater or Refused."""
        body = orjson.dumps({"query": document, "operationName": operation, "variables": variables})
        priced = f"{operation} {variables.get('first', '')}"  # a page is paid for by its size
        for attempt in range(1, _READ_TRIES + 1):
            try:
                await self._clock.sleep(self._points.wait_seconds(priced, push=False))
                return self._data(operation, await self._call(operation, body, priced, push=False))
            except TryLater as failure:
                if attempt == _READ_TRIES:
                    raise
                asked = failure.after_seconds
                await self._clock.sleep(backoff_seconds(attempt, self._luck(), asked_seconds=asked))
        raise AssertionError("the last try returns or raises")

    async def fetch(self, url: str) -> bytes:
        """A file that the store has put somewhere: the address is the permission, so no token goes there."""
        if not url.startswith("https://") and not is_loopback(url):
            raise Refused(f"{self._config.name}: a file without encryption", advice="look at the store")
        try:
            answer = await self._http.get(url)
        except httpx.HTTPError as error:
            raise TryLater(f"{self._config.name}: {str(error) or type(error).__name__}") from error
        if answer.status_code != 200:
            raise TryLater(f"{self._config.name}: a file was answered with HTTP {answer.status_code}")
        return answer.content

    async def close(self) -> None:
        """Give back connections."""
        await self._http.aclose()

    def _data(self, operation: str, reply: Reply) -> Mapping[str, Any]:
        if reply.errors:
            raise self.refusal(operation, reply)
        if reply.data is None:
            raise TryLater(f"{self._config.name}: {operation} was answered with neither data nor errors")
        return reply.data

    def refusal(self, operation: str, reply: Reply, *, scope: str = "") -> Refused:
        """The failure that an answer with errors means, when no other is meant.

        `scope`: what the app must be allowed for this call alone.
        """
        advice = "the store understood the call and declined it: look at api_version and the app's access"
        if "ACCESS_DENIED" in reply.codes():
            lacks = f"the access scope {scope}" if scope else "the access scopes that `check` lists"
            advice = f"give the app {lacks}, and install it anew"
        return Refused(f"{self._config.name}: {operation} was refused: {reply.text()}", advice=advice)

    async def _call(self, operation: str, body: bytes, priced: str, *, push: bool) -> Reply:
        token = await self._token.get()
        response, document = await self._paid(operation, body, priced, token, push=push)
        if response.status_code == 401 and self._token.renewable:
            self._token.forget(token)
            token = await self._token.get()
            response, document = await self._paid(operation, body, priced, token, push=push)
        self._hear_version(response)
        self._raise_for_status(operation, response, push=push)
        return self._reply(operation, response, document, push=push)

    async def _paid(
        self, operation: str, body: bytes, priced: str, token: str, *, push: bool
    ) -> tuple[httpx.Response, _Json]:
        spent = self._points.spend(priced)
        document: _Json = {}
        try:
            response = await self._send(operation, body, token, push=push)
            document = _document(response)
        finally:
            self._points.settle(priced, spent, _cost(document))
        return response, document

    async def _send(self, operation: str, body: bytes, token: str, *, push: bool) -> httpx.Response:
        headers = {"Content-Type": "application/json", "X-Shopify-Access-Token": token}
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                return await self._http.post(self._path, content=body, headers=headers)
        except TimeoutError as error:
            text = f"{self._config.name}: no answer to {operation} in {self._config.timeout_seconds:g} s"
            raise _lost(text, push=push) from error
        except httpx.HTTPError as error:
            text = f"{self._config.name}: {operation}: {str(error) or type(error).__name__}"
            if never_sent(error):
                raise TryLater(f"{text} (the store was not reached)") from error
            raise _lost(text, push=push) from error

    def _reply(self, operation: str, response: httpx.Response, document: _Json, *, push: bool) -> Reply:
        if not ("data" in document or "errors" in document):
            raise _lost(f"{self._config.name}: the answer to {operation} is not whole", push=push)
        reply = Reply(document.get("data"), _errors(document))
        codes = reply.codes()
        if "THROTTLED" in codes:
            wait = self._points.throttled_seconds(_cost(document))
            raise TryLater(f"{self._config.name}: out of points for {operation}", after_seconds=wait)
        told = any(part is not None for part in (reply.data or {}).values())
        if codes & {"INTERNAL_SERVER_ERROR", "TIMEOUT"} and not (push and told):
            request = response.headers.get("x-request-id", "unknown")
            raise _lost(f"{self._config.name}: {operation}: {reply.text()} (request {request})", push=push)
        return reply

    def _raise_for_status(self, operation: str, response: httpx.Response, *, push: bool) -> None:
        status = response.status_code
        if status == 200:
            return
        text = f"{self._config.name}: {operation} was answered with HTTP {status}"
        after = _retry_after_seconds(response)
        if status == 429 or (status == 503 and after is not None):
            raise TryLater(text, after_seconds=after if after is not None else 1.0)
        if status == 401:
            raise Refused(text, advice=self._token.advice)
        if status >= 500 or status == 408:
            raise _lost(text, push=push)
        raise Refused(text, advice=_STATUS_ADVICE.get(status, "look at url and api_version"))

    def _hear_version(self, response: httpx.Response) -> None:
        heard = response.headers.get("x-shopify-api-version")
        if heard is None or heard == self.answered_version:
            return
        self.answered_version = heard
        if heard != self._config.api_version:
            log.warning(
                "the store speaks another API version than asked for",
                channel=self._config.name,
                asked=self._config.api_version,
                answered=heard,
            )


def _lost(text: str, *, push: bool) -> Unknown | TryLater:
    return Unknown(text) if push else TryLater(text)


def _document(response: httpx.Response) -> _Json:
    """The answer's JSON object; an empty one when it is none."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _errors(document: _Json) -> tuple[_Json, ...]:
    errors = document.get("errors") or ()
    if isinstance(errors, str):  # outside GraphQL the API answers {"errors": "a sentence"}
        return ({"message": errors},)
    return tuple(error if isinstance(error, dict) else {"message": str(error)} for error in errors)


def _cost(document: _Json) -> _Json | None:
    extensions = document.get("extensions")
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return cost if isinstance(cost, dict) else None


def _retry_after_seconds(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
