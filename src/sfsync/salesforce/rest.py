"""One REST call to the org; what goes wrong becomes one of the three names.

- Nothing was sent, or the org says that it did nothing: `TryLater`.
- A write was sent and its answer did not come (time-out, cut, 5xx): `Unknown`.
- The org says no: `OrgRefused` with its words and its error code.

The error code decides, never the HTTP status alone: the org gives the same status to answers that mean
different things. Reads are tried a few times at once; writes are not, their repetition is the ledger's
business.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from sfsync.ports import Refused, TryLater, Unknown
from sfsync.salesforce.auth import TRUST_ADVICE, Token, TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.transport import LOST, is_distrusted, nothing_was_sent

READ_ATTEMPTS = 3
DAILY_LIMIT_SECONDS = (
    900.0  # the allowance is counted over the last 24 hours, so some comes back all the time
)
CONCURRENCY_SECONDS = 2.0
ACCESS_ADVICE = "assign the permission set Sfsync_Integration to the user that sfsync signs in as"

_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_SESSION_CODES = frozenset({"INVALID_SESSION_ID", "INVALID_AUTH_HEADER"})
_LATER_CODES = frozenset({"UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "API_CURRENTLY_DISABLED", "LIMIT_EXCEEDED"})
_ADVICE = {
    "API_DISABLED_FOR_ORG": "the org's edition or the user's profile has no API access",
    "INSUFFICIENT_ACCESS": ACCESS_ADVICE,
    "INSUFFICIENT_ACCESS_OR_READONLY": ACCESS_ADVICE,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": ACCESS_ADVICE,
    "INVALID_FIELD": f"deploy the metadata in salesforce/, then {ACCESS_ADVICE}",
    "INVALID_TYPE": f"deploy the metadata in salesforce/, then {ACCESS_ADVICE}",
    "NOT_FOUND": f"deploy the metadata in salesforce/, then {ACCESS_ADVICE}",
    "UNSUPPORTED_API_VERSION": "set api_version to one that the org lists under /services/data",
}


class OrgRefused(Refused):
    """A refusal with the org's error code, such as ``NOT_FOUND``; "" where it gave none."""

    def __init__(self, message: str, *, code: str = "", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.code = code


class Hiccup(TryLater):
    """A read that failed in a way that may be over at once."""


class _WornSession(Exception):
    """The token is not taken (any more)."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


@dataclass(frozen=True, slots=True)
class OrgError:
    """One entry of the org's error list."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


def errors_of(body: object) -> list[OrgError]:
    """The org's errors in a body: REST's list of ``errorCode``, or a save result's list of ``statusCode``."""
    entries = body if isinstance(body, list) else [body]
    return [
        OrgError(
            str(entry.get("errorCode") or entry.get("statusCode") or ""), str(entry.get("message") or "")
        )
        for entry in entries
        if isinstance(entry, dict) and ("errorCode" in entry or "statusCode" in entry)
    ]


def failure(
    error: OrgError, status: int, what: str, *, write: bool, after_seconds: float | None
) -> Exception:
    """What an error answer means."""
    told = f"{what}: {error if error.code or error.message else f'HTTP {status}'}"
    if error.code == "REQUEST_LIMIT_EXCEEDED":
        wait = CONCURRENCY_SECONDS if "concurrent" in error.message.lower() else DAILY_LIMIT_SECONDS
        return TryLater(told, after_seconds=after_seconds or wait)
    if error.code in _LATER_CODES or status == 429:
        return TryLater(told, after_seconds=after_seconds)
    if status >= 500 or status in (408, 420) or error.code == "SERVER_UNAVAILABLE":
        if write:
            return Unknown(told)
        return Hiccup(told) if after_seconds is None else TryLater(told, after_seconds=after_seconds)
    return OrgRefused(told, code=error.code, advice=_ADVICE.get(error.code, ""))


def reads(sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """A few quick attempts at something that changes nothing."""
    return AsyncRetrying(
        retry=retry_if_exception_type(Hiccup),
        stop=stop_after_attempt(READ_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=1.0),
        sleep=sleep,
        reraise=True,
    )


class Rest:
    """REST calls with the present token."""

    def __init__(
        self,
        config: OrgConfig,
        http: httpx.AsyncClient,
        tokens: TokenProvider,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._config = config
        self._http = http
        self._tokens = tokens
        self._sleep = sleep
        self.calls_used: tuple[int, int] | None = None  # (used, allowed) as the org last told

    async def get(self, path: str) -> Any:
        """Read a resource: a path beneath ``/services/data/vXX.X``, or a whole one that starts with '/'."""
        return await self.request("GET", path)

    async def request(self, method: str, path: str, json: object = None, *, write: bool | None = None) -> Any:
        """The answer's JSON body, None when it has none.

        `write` tells whether the call changes anything, where the method does not: a composite may only read.
        """
        content = None if json is None else orjson.dumps(json)
        if method != "GET" if write is None else write:
            return await self._call(method, path, content, write=True)
        async for attempt in reads(self._sleep):
            with attempt:
                return await self._call(method, path, content, write=False)
        raise AssertionError("tenacity gives at least one attempt")

    async def _call(self, method: str, path: str, content: bytes | None, *, write: bool) -> Any:
        token = await self._tokens.token()
        try:
            return await self._send(token, method, path, content, write=write)
        except _WornSession:
            token = await self._tokens.renew(
                token
            )  # a 401 says that nothing was done, so a write may go again
        try:
            return await self._send(token, method, path, content, write=write)
        except _WornSession as error:
            raise OrgRefused(
                f"the org takes no token of ours: {error.words}",
                code="INVALID_SESSION_ID",
                advice="the user that sfsync signs in as needs API access from this address",
            ) from None

    async def _send(self, token: Token, method: str, path: str, content: bytes | None, *, write: bool) -> Any:
        full = path if path.startswith("/") else f"{self._config.data_path}/{path}"
        what = f"{method} {full.partition('?')[0]}"
        headers = {
            "Authorization": f"Bearer {token.access}",
            "Accept": "application/json",
            "Sforce-Call-Options": "client=sfsync",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = await self._http.request(
                method, token.instance_url + full, content=content, headers=headers
            )
        except LOST as error:
            raise self._lost(error, what, write=write) from error
        return self._read(response, what, write=write)

    def _lost(self, error: BaseException, what: str, *, write: bool) -> Exception:
        told = f"{what}: {str(error) or type(error).__name__}"
        if is_distrusted(error):
            return Refused(told, advice=TRUST_ADVICE)
        if isinstance(error, httpx.UnsupportedProtocol):
            return Refused(told, advice="check login_url")
        if nothing_was_sent(error):
            return TryLater(told) if write else Hiccup(told)
        return Unknown(told) if write else Hiccup(told)

    def _read(self, response: httpx.Response, what: str, *, write: bool) -> Any:
        used = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
        if used:
            self.calls_used = (int(used[1]), int(used[2]))
        body: Any = None
        readable = True
        if response.content:
            try:
                body = orjson.loads(response.content)
            except orjson.JSONDecodeError:
                readable = False
        status = response.status_code
        if 200 <= status < 300:
            if readable:
                return body
            told = f"{what}: the answer is no JSON"
            raise Unknown(told) if write else Hiccup(told)
        found = errors_of(body)
        error = found[0] if found else OrgError("", f"HTTP {status}, no error that we know in the answer")
        if status == 401 and (error.code in _SESSION_CODES or not found):
            raise _WornSession(str(error))
        raise failure(error, status, what, write=write, after_seconds=_retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
