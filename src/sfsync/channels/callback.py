"""A storefront without an API of its own as a channel: it is told its numbers by signed callbacks.

Standard Webhooks 1.0. Nothing is ever asked of it: what it shows is what it was last told, each number with
its sequence number. It tells of no orders either: it asks first, and its confirmed reservations are its
orders.

An answer of 2xx means that every row is applied, or was known to be old. 422 and 413 mean that it cannot use
what is in the message: the rows that it names, or the flow finds them by halving. 410 means that it wants no
more. Whatever else it answers, nothing is lost: the newest numbers are sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from sfsync.channels.config import BadConfigError, is_loopback
from sfsync.channels.guard import GuardedResolver, Lookup, forbidden, forbidden_by, judged, system_lookup
from sfsync.channels.http import never_sent, open_client
from sfsync.channels.signing import secret_problem, signed_headers
from sfsync.domain.callbacks import Patience
from sfsync.domain.orders import OrderSnapshot
from sfsync.ports import (
    Ability,
    ChannelItem,
    Clock,
    Delivery,
    Finding,
    Forged,
    Gone,
    OutsideError,
    PushAnswer,
    Refused,
    Severity,
    TryLater,
    Unknown,
    Write,
)

ROWS = 100  # of a message: it stays below the 20 kB that the standard advises
ANSWER_BYTES = 64 * 1024  # that are read of an answer
TYPE = "stock.changed"
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


class CallbackChannel:
    """One receiver; see `sfsync.ports.Channel` for what each call promises."""

    def __init__(self, config: CallbackConfig, clock: Clock, *, lookup: Lookup = system_lookup) -> None:
        if problems := config.problems():
            raise BadConfigError(config.name, problems)
        self.name = config.name
        self.ability = Ability(
            batch_rows=ROWS,
            relative=False,
            compare_and_set=False,
            key_life_seconds=float("inf"),  # an older message never takes the place of a newer one
            tells_orders=False,
            callbacks=config.patience,
        )
        self._config, self._clock, self._lookup = config, clock, lookup
        self._host = urlsplit(config.url).hostname or ""
        self._client = open_client(
            config.url,
            timeout_seconds=config.timeout_seconds,
            ca_file=config.ca_file,
            resolver=GuardedResolver(allow_private=config.allow_private, lookup=lookup),
            most_bytes=ANSWER_BYTES,
        )

    # -- what it is told

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The message; the same rows give the same bytes."""
        newest = max(write.sequence for write in writes)
        return orjson.dumps(
            {
                "id": key,
                "type": TYPE,
                "timestamp": _moment(newest),
                "data": {
                    "channel": self.name,
                    "levels": [
                        {
                            "sku": write.sku,
                            "location": write.location,
                            "quantity": write.quantity,
                            "sequence": write.sequence,
                        }
                        for write in writes
                    ],
                },
            }
        )

    async def push(self, body: bytes) -> PushAnswer:
        """Send a message once."""
        message = orjson.loads(body)
        answer = await self._post(str(message["id"]), body)
        if answer.is_success:
            return PushAnswer(applied=True)
        told = f"it answers {answer.status_code}{_phrase(answer.status_code)}"
        if answer.status_code in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            bad = _bad_rows(answer.content, message["data"]["levels"])
            return PushAnswer(applied=False, bad_rows=bad, reason=told)
        raise self._failure(answer, told)

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

    async def check(self) -> Sequence[Finding]:
        """Whether its name leads to where a callback may go, and how messages are signed."""
        config, findings = self._config, list[Finding]()
        port = urlsplit(config.url).port or (443 if config.url.startswith("https:") else 80)
        try:
            found = [self._host] if _is_address(self._host) else await self._lookup(self._host, port)
            judged(self._host, found, allow_private=config.allow_private)
        except OSError as error:
            if reason := forbidden_by(error):
                refused = self._forbidden(reason)
                findings.append(Finding(Severity.FATAL, f"{self.name}: {refused}", refused.advice))
            else:
                what = f"{self.name}: the name {self._host} is not found"
                findings.append(Finding(Severity.WARNING, what, "mend url, or the name's entry"))
        else:
            findings.append(Finding(Severity.GOOD, f"{self.name}: {self._host} may be called"))
        if len(config.secrets) > 1:
            what = f"{self.name}: messages are signed with {len(config.secrets)} secrets"
            remedy = "remove previous_secret once the receiver has the new one"
            findings.append(Finding(Severity.WARNING, what, remedy))
        return findings

    async def close(self) -> None:
        """Give back connections."""
        await self._client.aclose()

    # -- what it never tells

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """Nothing: it cannot be asked (`Ability.callbacks`)."""
        return
        yield ()

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """It sends no webhooks; whatever comes in its name is another's."""
        raise Forged(f"{self.name} is told by callbacks, and sends no webhooks")

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """None: there is none."""
        return None

    def order_called(self, delivery: Delivery) -> str | None:
        """None: there is none."""
        return None

    async def order(self, reference: str) -> OrderSnapshot | None:
        """None: it cannot be asked."""
        return None

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """None: it cannot be asked."""
        return
        yield ()

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """It takes none."""
        raise Refused(
            f"{self.name} takes no cancellations", advice="release the reservation, and tell its people"
        )


def _bad_rows(body: bytes, levels: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
    """The rows that an answer blames, by their index; none when it does not say so as agreed."""
    try:
        errors = orjson.loads(body)["errors"]
        blamed = {(each["sku"], each["location"]): str(each.get("detail") or "") for each in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}
    places = {(level["sku"], level["location"]): index for index, level in enumerate(levels)}
    return {
        places[place]: detail[:500] or "the receiver cannot use it"
        for place, detail in blamed.items()
        if place in places
    }


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


def _moment(sequence: int) -> str:
    """When the newest change of a message was: sequence numbers are milliseconds, or little more."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=sequence)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _why(error: httpx.HTTPError) -> str:
    return str(error).strip() or type(error).__name__


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
