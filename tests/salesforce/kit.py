"""What the tests of the Salesforce side share: clock, settings, movements, an org that answers by rote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from sfsync.domain.ledger import Bundle, Request
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.gate import Gate
from sfsync.salesforce.rest import Rest
from sfsync.salesforce.transport import http_client

AT = datetime(2026, 11, 23, 8, 15, 30, 125000, tzinfo=UTC)
SECRET = "s3cr3t-and-long"
BAG = LevelKey("BAG-1", "KNIGHTSBRIDGE")
SCARF = LevelKey("SCARF-2", "DUBAI")
IDS = {BAG: "a00000000000001AAA", SCARF: "a00000000000002AAA"}
TOKEN_ANSWER = {
    "access_token": "00D000000000001!abc",
    "instance_url": "https://house.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA",
    "token_type": "Bearer",
}


class WallClock:
    """The real time; sleeping is only giving way."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def config(**changes: Any) -> OrgConfig:
    values: dict[str, Any] = {
        "login_url": "https://house.my.salesforce.com",
        "client_id": "3MVG9",
        "client_secret": SECRET,
    }
    return OrgConfig(**(values | changes))


def movement(
    key: str, level: LevelKey = BAG, *, on_hand: int = 0, reserved: int = 0, **changes: Any
) -> Movement:
    values: dict[str, Any] = {
        "key": key,
        "subject": key.rpartition(":")[0],
        "level": level,
        "kind": MovementKind.ORDER if reserved else MovementKind.SALE,
        "on_hand_delta": on_hand,
        "reserved_delta": reserved,
        "reference": "#1001",
        "source_version": "2026-11-23T08:15:00Z",
        "occurred_at": AT,
    }
    return Movement(**(values | changes))


def bundle(number: int, *movements: Movement) -> Bundle:
    return Bundle(number, movements, number)


def request(*singles: Bundle, groups: Sequence[Bundle] = (), levels: Sequence[LevelKey] = ()) -> Request:
    touched = {key for each in (*singles, *groups) for key in each.levels}
    return Request(tuple(singles), tuple(groups), frozenset(touched | set(levels)))


Handler = Callable[[httpx.Request], httpx.Response]


class RoteOrg:
    """Answers token requests, and everything else with the answers given, one after another."""

    def __init__(self, *answers: httpx.Response | Exception, token: Handler | None = None) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []
        self.tokens = 0
        self._token = token or (lambda _: httpx.Response(200, json=TOKEN_ANSWER))

    def handle(self, asked: httpx.Request) -> httpx.Response:
        if asked.url.path == "/services/oauth2/token":
            self.tokens += 1
            return self._token(asked)
        self.seen.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def rest_to(org: RoteOrg, **changes: Any) -> AsyncIterator[Rest]:
    """A REST client whose other side answers by rote."""
    settings = config(**changes)
    transport = httpx.MockTransport(org.handle)
    http = http_client(
        settings.login_url, timeout_seconds=settings.timeout_seconds, ca_file=None, transport=transport
    )
    async with http:
        yield rest_over(http, settings)


def rest_over(http: httpx.AsyncClient, settings: OrgConfig, gate: Gate | None = None) -> Rest:
    """Our REST client, with a gate of its own where none is given."""
    clock = WallClock()
    gate = gate or Gate(settings.calls_reserved_percent, clock.now)
    return Rest(settings, http, TokenProvider(settings, http), gate, sleep=clock.sleep)


def refusal(status: int, code: str, message: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, json=[{"errorCode": code, "message": message}], headers=headers)
