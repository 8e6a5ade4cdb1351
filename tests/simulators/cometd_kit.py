"""What the tests of the Streaming API share: the endpoint on a real port, and a Bayeux client by hand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from tests.simulators.events_kit import TENANT, TOKEN, HandClock, Tokens, make_bus, until

from sfsync.simulators.org.bus import EventBus
from sfsync.simulators.org.cometd import Cometd
from sfsync.simulators.org.cometd_session import CometdKnobs
from sfsync.simulators.org.model import Schema


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class CometdRig:
    """A served endpoint, its switches, and the address for clients."""

    bus: EventBus
    clock: HandClock
    tokens: Tokens
    cometd: Cometd
    url: str  # by name: cookies of IP hosts are dropped by some clients


@asynccontextmanager
async def served_cometd(
    schema: Schema | None = None, *, bus_knobs: dict[str, Any] | None = None, **knobs: Any
) -> AsyncIterator[CometdRig]:
    """Serves the endpoint on a loopback port for the time of a test."""
    clock, tokens = HandClock(), Tokens()
    bus = make_bus(schema, clock, **(bus_knobs or {}))
    cometd = Cometd(bus, lambda token: tokens.user_of(token, "", TENANT), CometdKnobs(**knobs))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = Starlette(routes=cometd.routes())
    server = _Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve([listening]))
    await until(lambda: server.started or running.done())
    try:
        yield CometdRig(bus, clock, tokens, cometd, f"http://localhost:{port}")
    finally:
        server.should_exit = server.force_exit = True
        cometd.drop_sessions()
        await running


class BayeuxClient:
    """Speaks Bayeux message by message; keeps cookies as a browser would."""

    def __init__(self, url: str, authorization: str = f"OAuth {TOKEN}", version: str = "67.0") -> None:
        self.http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=20)
        self.authorization = authorization
        self.client_id = ""
        self.version = version

    async def __aenter__(self) -> BayeuxClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.http.aclose()

    async def post(self, *messages: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": self.authorization} if self.authorization else {}
        return await self.http.post(f"/cometd/{self.version}", json=list(messages), headers=headers)

    async def send(self, channel: str, **members: Any) -> list[dict[str, Any]]:
        """Sends one message and returns all that came back."""
        message = {"channel": channel, "id": "7", **members}
        if self.client_id:
            message.setdefault("clientId", self.client_id)
        answer = await self.post(message)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    async def handshake(self) -> dict[str, Any]:
        self.client_id = ""
        (answer,) = await self.send(
            "/meta/handshake", version="1.0", supportedConnectionTypes=["long-polling"], ext={"replay": True}
        )
        self.client_id = answer.get("clientId", "")
        return answer

    async def connect(self, **members: Any) -> list[dict[str, Any]]:
        return await self.send("/meta/connect", connectionType="long-polling", **members)

    async def subscribe(self, channel: str, start: Any = -1) -> dict[str, Any]:
        (answer,) = await self.send("/meta/subscribe", subscription=channel, ext={"replay": {channel: start}})
        return answer

    async def ready(self, channel: str, start: Any = -1) -> None:
        """Handshake, the first connect, and a subscription."""
        await self.handshake()
        await self.connect()
        answer = await self.subscribe(channel, start)
        assert answer["successful"], answer

    async def events(self, number: int) -> list[dict[str, Any]]:
        """Connects until so many events have come."""
        found: list[dict[str, Any]] = []
        while len(found) < number:
            *events, answer = await self.connect()
            assert answer["successful"], answer
            found.extend(events)
        assert len(found) == number
        return found
