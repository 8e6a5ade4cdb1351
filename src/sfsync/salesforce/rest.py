"""One REST call to the org; what goes wrong becomes one of the three names.

- Nothing was sent, or the org says that it did nothing: `TryLater`.
- A write was sent and its answer did not come (time-out, cut, 5xx): `Unknown`.
- The org says no: `OrgRefused` with its words and its error code.

The error code decides, never the HTTP status alone: the org gives the same status to answers that mean
different things. Reads are tried a few times at once; writes are not, their repetition is the ledger's
business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from sfsync.domain.budget import Work
from sfsync.ports import Busy, Refused, TryLater, Unknown
from sfsync.salesforce.auth import TRUST_ADVICE, Token, TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.gate import Gate, usage_in
from sfsync.salesforce.transport import LOST, is_distrusted, nothing_was_sent

READ_ATTEMPTS = 3
CONCURRENCY_SECONDS = 2.0
ACCESS_ADVICE = "assign the permission set Sfsync_Integration to the user that sfsync signs in as"

_SESSION_CODES = frozenset({"INVALID_SESSION_ID", "INVALID_AUTH_HEADER"})
_BUSY_CODES = frozenset({"UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT"})
_LATER_CODES = _BUSY_CODES | frozenset({"API_CURRENTLY_DISABLED", "LIMIT_EXCEEDED"})
# Wrapped by a trigger or a flow into other codes, and answered with many a status: nothing was saved.
LATER_WORDS = ("UNABLE_TO_LOCK_ROW", "Too many batch retries")
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


def is_used_up(error: OrgError) -> bool:
    """Whether the calls of the day are used up; too many at the same time is another limit."""
    return error.code == "REQUEST_LIMIT_EXCEEDED" and "concurrent" not in error.message.lower()


def is_later(error: OrgError) -> bool:
    """Whether the org says that nothing was saved, and that the same may go well later."""
    return error.code in _LATER_CODES or any(words in error.message for words in LATER_WORDS)


def is_busy(error: OrgError) -> bool:
    """Whether that is because of what was asked, and not because the org is away."""
    return error.code in _BUSY_CODES or "UNABLE_TO_LOCK_ROW" in error.message


def deciding(found: Sequence[OrgError], status: int) -> OrgError:
    """Of several errors, the one that says what to do."""
    unknown = OrgError("", f"HTTP {status}, no error that we know in the answer")
    return next(filter(is_later, found), found[0] if found else unknown)


def failure(
    error: OrgError, status: int, what: str, *, write: bool, after_seconds: float | None
) -> Exception:
    """What an error answer means, but for calls used up: those are the gate's."""
    told = f"{what}: {error if error.code or error.message else f'HTTP {status}'}"
    if error.code == "REQUEST_LIMIT_EXCEEDED":
        return TryLater(told, after_seconds=after_seconds or CONCURRENCY_SECONDS)
    if is_busy(error):
        return Busy(told, after_seconds=after_seconds)
    if is_later(error) or status == 429:
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
    """REST calls with the present token, each through the gate as the kind of work it is for."""

    def __init__(
        self,
        config: OrgConfig,
        http: httpx.AsyncClient,
        tokens: TokenProvider,
        gate: Gate,
        *,
        sleep: Callable[[float], Awaitable[None]],
        work: Work = Work.SALE,
    ) -> None:
        self._config = config
        self._http = http
        self._tokens = tokens
        self._gate = gate
        self._sleep = sleep
        self._work = work

    def doing(self, work: Work) -> Rest:
        """The same, for another kind of work."""
        other = copy(self)
        other._work = work
        return other

    async def get(self, path: str) -> Any:
        """Read a resource: a path beneath ``/services/data/vXX.X``, or a whole one that starts with '/'."""
        return await self.request("GET", path)

    async def request(self, method: str, path: str, json: object = None, *, write: bool | None = None) -> Any:
        """The answer's JSON body, None when it has none.

        `write` tells whether the call changes anything, where the method does not: a composite may only read.
        """
        content = None if json is None else orjson.dumps(json)
        if method != "GET" if write is None else write:
            if self._config.read_only:
                raise OrgRefused(
                    f"{method} {path.partition('?')[0]}: sfsync runs in shadow, and writes nothing",
                    advice="run it without --shadow",
                )
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
        self._gate.enter(self._work)
        try:
            response = await self._http.request(
                method, token.instance_url + full, content=content, headers=headers
            )
        except LOST as error:
            if not nothing_was_sent(error):
                self._gate.answered(None)
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
        body: Any = None
        readable = True
        if response.content:
            try:
                body = orjson.loads(response.content)
            except orjson.JSONDecodeError:
                readable = False
        status = response.status_code
        error = deciding([] if 200 <= status < 300 else errors_of(body), status)
        used = usage_in(response.headers.get("Sforce-Limit-Info", ""))
        if is_used_up(error):
            raise self._gate.refused(self._work, str(error), used)
        self._gate.answered(used)
        if 200 <= status < 300:
            if readable:
                return body
            told = f"{what}: the answer is no JSON"
            raise Unknown(told) if write else Hiccup(told)
        if status == 401 and (error.code in _SESSION_CODES or not errors_of(body)):
            raise _WornSession(str(error))
        raise failure(error, status, what, write=write, after_seconds=_retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
