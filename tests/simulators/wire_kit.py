"""A whole simulated org from outside: control port, REST and Pub/Sub API, by hand-written clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
from tests.sandbox import OrgSandbox
from tests.simulators.events_kit import NO_PROXY, RawClient, RawStream
from tests.simulators.org_kit import OrgClient

CHANNEL = "/data/SfsyncStock__chn"


@dataclass
class Wire:
    """One client of each kind, signed in; `start_org` needs the knob `first_answer_is_keepalive`."""

    sandbox: OrgSandbox
    rest: OrgClient
    pubsub: RawClient

    async def control(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(self.sandbox.control, method, path, body)

    async def bus(self, action: str, **how: Any) -> Any:
        return (await self.control("POST", "/bus", {"do": action, **how}))["result"]

    async def listen(self, topic: str = CHANNEL, number: int = 100, **start: Any) -> tuple[RawStream, bytes]:
        """A stream that is surely there, and its position: its first answer has come."""
        stream = await self.pubsub.subscribe(topic, number, **start)
        return stream, (await stream.answer()).latest_replay_id

    async def move(self, key: str) -> str:
        """Somebody enters a movement of one unit in; its id."""
        return await asyncio.to_thread(self.sandbox.move, key, on_hand=1)


@asynccontextmanager
async def wired(sandbox: OrgSandbox) -> AsyncIterator[Wire]:
    """Clients of a running org for the time of a test."""
    rest = await asyncio.to_thread(OrgClient, sandbox.ready)
    token = rest.http.headers["Authorization"].removeprefix("Bearer ")
    metadata = (
        ("accesstoken", token),
        ("instanceurl", str(sandbox.ready["rest_url"])),
        ("tenantid", str(sandbox.ready["org_id"])),
    )
    async with grpc.aio.insecure_channel(str(sandbox.ready["grpc"]), options=NO_PROXY) as channel:
        yield Wire(sandbox, rest, RawClient(channel, metadata))
    rest.http.close()
