"""Calls to one Vendure shop's Admin API: an answer, or one of the three failures.

The shop answers by an API key, or by a session: a token that it gives for user name and password, and takes
back when it likes; then we sign in again, once for each call. What may have been written is `Unknown`; a read
never is. A mutation is one transaction there: where it fails itself, nothing was written. No failure's text
holds a secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson

from sfsync.channels.http import never_sent, open_client
from sfsync.channels.vendure_config import VendureConfig
from sfsync.channels.vendure_documents import LOGIN
from sfsync.plain_http import TheirClock
from sfsync.ports import Clock, Refused, TryLater, Unknown

SESSION = "vendure-auth-token"
_RIGHTS = "give its role the rights that docs/vendure-setup.md names"
_ADVICE = {
    401: "look at what stands before the shop: it refuses our credential",
    403: "look at what stands before the shop: it refuses us",
    404: "there is no Admin API at this address: look at url and admin_path",
}
_Json = Mapping[str, Any]


class VendureClient:
    """One connection pool, and one credential."""

    def __init__(
        self, config: VendureConfig, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._config, self._session = config, ""
        self._signing_in = asyncio.Lock()
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

    async def read(self, document: str, **variables: object) -> _Json:
        """The data that a query asks for. Raises TryLater or Refused."""
        try:
            return await self.ask(document, **variables)
        except Unknown as failure:
            raise TryLater(str(failure)) from failure

    async def ask(self, document: str, **variables: object) -> _Json:
        """The data of a query or mutation. Raises the three failures."""
        was = self._session
        if not self._config.api_key and not was:
            await self._sign_in(was)
        told = await self._send(document, variables)
        if _forbidden(told) and not self._config.api_key and was:
            await self._sign_in(was)  # the session has expired, or the shop has forgotten it
            told = await self._send(document, variables)
        if _forbidden(told):
            raise self._not_let_in(told)
        return self._data(told)

    async def _sign_in(self, was: str) -> None:
        """Get a session, unless somebody has got one meanwhile."""
        async with self._signing_in:
            if self._session != was:
                return
            self._session = ""
            config = self._config
            credential = {"username": config.username, "password": config.password}
            try:
                told = self._data(await self._send(LOGIN, credential))
            except Unknown as failure:
                raise TryLater(str(failure)) from failure
            if told["login"]["__typename"] != "CurrentUser" or not self._session:
                raise Refused(
                    f"{config.name}: the shop does not sign {config.username} in",
                    advice="look at username and password, and at the shop's setting tokenMethod: 'bearer'",
                )

    def _not_let_in(self, told: _Json) -> Refused:
        name = self._config.name
        path = told["errors"][0].get("path") or ("this",)
        if self._config.api_key:
            advice = f"make a new API key and put it into api_key_file, or {_RIGHTS}"
            return Refused(f"{name}: the shop refuses the API key, or its use for {path[0]}", advice=advice)
        return Refused(f"{name}: {self._config.username} may not use {path[0]} at the shop", advice=_RIGHTS)

    def _data(self, told: _Json) -> _Json:
        """The data of an answer that lets us in; its errors as failures."""
        errors, data, name = told.get("errors") or (), told.get("data"), self._config.name
        if not errors and isinstance(data, dict):
            return data
        said = "; ".join(str(error.get("message", "an error without a message")) for error in errors)
        if _code(errors) in ("GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"):
            plugin = "sfsync" in said
            advice = "install the plugin: docs/vendure-setup.md" if plugin else "this needs Vendure 3"
            raise Refused(f"{name}: {said}", advice=advice)
        if errors and all(len(error.get("path") or ()) == 1 for error in errors):
            raise TryLater(f"{name}: the shop failed: {said}")
        raise Unknown(f"{name}: the answer is not whole{': ' if said else ''}{said}")

    async def _send(self, document: str, variables: Mapping[str, object]) -> _Json:
        config = self._config
        headers = {"content-type": "application/json"}
        if config.channel_token:
            headers["vendure-token"] = config.channel_token
        if config.api_key:
            headers["vendure-api-key"] = config.api_key
        elif self._session:
            headers["authorization"] = f"Bearer {self._session}"
        body = orjson.dumps({"query": document, "variables": variables})
        try:
            async with asyncio.timeout(config.timeout_seconds):
                answer = await self._http.post(config.admin_path, content=body, headers=headers)
        except TimeoutError as error:
            raise Unknown(f"{config.name}: no answer in {config.timeout_seconds:g} s") from error
        except httpx.HTTPError as error:
            text = f"{config.name}: {str(error) or type(error).__name__}"
            if never_sent(error):
                raise TryLater(f"{text} (the shop was not reached)") from error
            raise Unknown(text) from error
        if not config.api_key and answer.headers.get(SESSION):
            self._session = answer.headers[SESSION]
        return self._object(answer)

    def _object(self, answer: httpx.Response) -> _Json:
        status, name = answer.status_code, self._config.name
        try:
            told = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            told = None
        if isinstance(told, dict) and (status < 300 or (status == 400 and told.get("errors"))):
            return told
        after = _retry_after_seconds(answer)
        if status == 429 or (status == 503 and after is not None):
            raise TryLater(f"{name}: HTTP {status}", after_seconds=after)
        if status < 300 or status >= 500 or status == 408:
            raise Unknown(f"{name}: HTTP {status}, and no whole answer")
        raise Refused(f"{name}: HTTP {status}", advice=_ADVICE.get(status, "look at url and admin_path"))


def _forbidden(told: _Json) -> bool:
    return _code(told.get("errors") or ()) == "FORBIDDEN"


def _code(errors: Sequence[_Json]) -> str:
    """The code of the first error; "" when it has none."""
    return str((errors[0].get("extensions") or {}).get("code", "")) if errors else ""


def _retry_after_seconds(answer: httpx.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
