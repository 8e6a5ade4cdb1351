"""One signed message to one receiver, and what its answer means: the part that all callbacks share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson

from sfsync.channels.config import BadConfigError, is_loopback
from sfsync.channels.guard import GuardedResolver, Lookup, forbidden, forbidden_by, judged, system_lookup
from sfsync.channels.http import never_sent, open_client
from sfsync.channels.signing import secret_problem, signed_headers
from sfsync.domain.callbacks import Patience
from sfsync.domain.values import replace
from sfsync.ports import Clock, Finding, Gone, OutsideError, Refused, Severity, TryLater, Unknown

ANSWER_BYTES = 64 * 1024  # that are read of an answer
UNUSABLE = frozenset({HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
_AGAIN = frozenset({408, 425, 429, 503})  # it says that it has done nothing


@dataclass(frozen=True, slots=True)
class CallbackConfig:
    """One receiver. Messages are signed with all `secrets`, so that one can take over from another."""

    name: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    allow_private: bool = False
    timeout_seconds: float = 15.0
    ca_file: Path | None = None
    patience: Patience = field(default_factory=Patience)

    def problems(self) -> list[tuple[str, str]]:
        """What is missing or wrong, as pairs of key and remedy; empty when it can be called."""
        found = [("url", problem)] if (problem := url_problem(self.url, self.allow_private)) else []
        if not self.secrets:
            found.append(("secret", "give one: whsec_ and the base64 of 24 to 64 random bytes"))
        found += [("secret", problem) for each in self.secrets if (problem := secret_problem(each))]
        return found


def url_problem(url: str, allow_private: bool) -> str:
    """What is wrong with a receiver's address; empty when it may be called."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{url!r} is not an address"
    if parts.scheme not in ("https", "http") or not host:
        return f"{url!r} is not an address like https://shop.example.com/stock"
    if parts.username or parts.password:
        return "holds a user name or a password: what proves who we are is the signature"
    if parts.fragment:
        return "has a part after #, which no receiver would see"
    if parts.scheme == "http" and not (allow_private and is_loopback(url)):
        return "use https; http is for this machine alone, with allow_private = true"
    return ""


class Sender:
    """Calls one receiver. Raises `BadConfigError` when made of what cannot be called safely."""

    def __init__(self, config: CallbackConfig, clock: Clock, *, lookup: Lookup = system_lookup) -> None:
        if problems := config.problems():
            raise BadConfigError(config.name, problems)
        self._config, self._clock, self._lookup = config, clock, lookup
        self._host = urlsplit(config.url).hostname or ""
        self._sending = 0
        self._idle = asyncio.Event()
        self._client = open_client(
            config.url,
            timeout_seconds=config.timeout_seconds,
            ca_file=config.ca_file,
            resolver=GuardedResolver(allow_private=config.allow_private, lookup=lookup),
            most_bytes=ANSWER_BYTES,
        )

    async def send(self, key: str, body: bytes) -> httpx.Response:
        """Send a message once. The answer, when it is 2xx or one of `UNUSABLE`; else one of the failures."""
        self._sending += 1
        try:
            answer = await self._post(key, body)
        finally:
            self._sending -= 1
            if not self._sending:
                self._idle.set()
                self._idle = asyncio.Event()
        if answer.is_success or answer.status_code in UNUSABLE:
            return answer
        raise self._failure(answer, told_by(answer))

    async def _post(self, key: str, body: bytes) -> httpx.Response:
        config, now = self._config, self._clock.now()
        if _is_address(self._host) and (reason := forbidden(self._host, allow_private=config.allow_private)):
            raise self._forbidden(f"{self._host} {reason}")
        headers = {
            "content-type": "application/json",
            "user-agent": "sfsync",
            **signed_headers(config.secrets, key, body, now),
        }
        try:
            async with asyncio.timeout(config.timeout_seconds):
                return await self._client.post(config.url, content=body, headers=headers)
        except TimeoutError as error:
            raise Unknown(f"no answer within {config.timeout_seconds:g} s") from error
        except httpx.HTTPError as error:
            if reason := forbidden_by(error):
                raise self._forbidden(reason) from error
            told = f"not reached: {_why(error)}" if never_sent(error) else f"no answer: {_why(error)}"
            raise (TryLater if never_sent(error) else Unknown)(told) from error

    def _forbidden(self, reason: str) -> Refused:
        advice = "callbacks go to public addresses only; allow_private = true is for receivers of your own"
        return Refused(f"not called: {reason}", advice=advice)

    def _failure(self, answer: httpx.Response, told: str) -> OutsideError:
        status = answer.status_code
        if status == HTTPStatus.GONE:
            return Gone(told, advice="it wants no more callbacks: ask its people, or remove the channel")
        if answer.is_redirect:
            return Refused(f"{told}, which is not followed", advice="give the address it leads to as url")
        if status in _AGAIN:
            return TryLater(told, after_seconds=_retry_after(answer, self._clock.now()))
        if answer.is_server_error:
            return Unknown(told)
        return Refused(told, advice="look at the receiver: does it have the right secret?")

    async def check(self, why: str) -> Sequence[Finding]:
        """Whether its name leads to where a callback may go, and whether it takes a signed message.

        `why`: what comes of it where it does not.
        """
        return [
            each if each.severity is Severity.GOOD or each.why else replace(each, why=why)
            for each in await self._found()
        ]

    async def _found(self) -> list[Finding]:
        config, findings = self._config, list[Finding]()
        port = urlsplit(config.url).port or (443 if config.url.startswith("https:") else 80)
        try:
            found = [self._host] if _is_address(self._host) else await self._lookup(self._host, port)
            judged(self._host, found, allow_private=config.allow_private)
        except OSError as error:
            if reason := forbidden_by(error):
                refused = self._forbidden(reason)
                return [Finding(Severity.FATAL, f"{config.name}: {refused}", refused.advice)]
            what = f"{config.name}: the name {self._host} is not found"
            return [Finding(Severity.WARNING, what, "mend url, or the name's entry in the DNS")]
        findings.append(await self._ping())
        if len(config.secrets) > 1:
            what = f"{config.name}: messages are signed with {len(config.secrets)} secrets"
            remedy = "remove previous_secret once the receiver has the new one"
            why = "whoever has the old one can still sign in your name"
            findings.append(Finding(Severity.WARNING, what, remedy, why))
        return findings

    async def _ping(self) -> Finding:
        """Send a message that says nothing. Who does not take it may still come back by itself."""
        name, now = self._config.name, self._clock.now()
        key = f"msg_ping_{now.timestamp():.3f}"
        moment = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = orjson.dumps({"id": key, "type": "ping", "timestamp": moment, "data": {}})
        try:
            await self.send(key, body)
        except Gone as error:
            return Finding(Severity.WARNING, f"{name}: {error}", error.advice)
        except Refused as error:
            return Finding(Severity.FATAL, f"{name}: {error}", error.advice)
        except OutsideError as error:
            remedy = f"look whether its url is right ({self._host}); one that is only away is told later"
            return Finding(Severity.WARNING, f"{name}: {error}", remedy)
        return Finding(Severity.GOOD, f"{name}: {self._host} takes signed messages")

    async def retire(self) -> None:
        """Give back connections once nothing is under way by them."""
        try:
            while self._sending:
                await self._idle.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Give back connections."""
        await self._client.aclose()


def told_by(answer: httpx.Response) -> str:
    """An answer's status, in words."""
    return f"it answers {answer.status_code}{_phrase(answer.status_code)}"


def _retry_after(answer: httpx.Response, now: datetime) -> float | None:
    """Seconds that it asks to be left alone; it may say a number or a date."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _why(error: httpx.HTTPError) -> str:
    return str(error).strip() or type(error).__name__


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
