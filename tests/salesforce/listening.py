"""Taking in a stream in the background, and what people in the org do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.sandbox import OrgSandbox

from sfsync.ports import EventBatch, OutsideError
from sfsync.salesforce.org import SalesforceOrg

PATIENCE_SECONDS = 20.0
STOCK, TILL = "/data/SfsyncStock__chn", "/event/StockEvent__e"


class Listener:
    """Takes in a stream in the background."""

    def __init__(self, org: SalesforceOrg, topic: str, cursor: bytes | None) -> None:
        self.batches: list[EventBatch] = []
        self.task = asyncio.create_task(self._listen(org, topic, cursor))

    async def _listen(self, org: SalesforceOrg, topic: str, cursor: bytes | None) -> None:
        async with aclosing(org.events(topic, cursor)) as batches:
            async for batch in batches:
                self.batches.append(batch)

    async def until(self, seen: Callable[[list[EventBatch]], Any]) -> None:
        """Wait for something in what was taken in; fails when the stream ends or patience does."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen(self.batches):
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the stream ended without a word")
                await asyncio.sleep(0.01)

    async def live(self) -> None:
        """Wait for the first sign of life."""
        await self.until(len)

    async def heard(self) -> None:
        """Wait for the first event."""
        await self.until(lambda _: self.events)

    async def end(self) -> OutsideError:
        """How the stream ended by itself."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(OutsideError) as caught:
                await self.task
        return caught.value

    @property
    def levels(self) -> set[str]:
        return {each for batch in self.batches for each in batch.levels}

    @property
    def movements(self) -> set[str]:
        return {each for batch in self.batches for each in batch.movements}

    @property
    def events(self) -> int:
        return sum(batch.events for batch in self.batches)


@asynccontextmanager
async def listening(
    org: SalesforceOrg, topic: str = STOCK, cursor: bytes | None = None
) -> AsyncIterator[Listener]:
    listener = Listener(org, topic, cursor)
    try:
        yield listener
    finally:
        listener.task.cancel()
        await asyncio.gather(listener.task, return_exceptions=True)


@asynccontextmanager
async def live_stream(
    org: SalesforceOrg, topic: str = STOCK, cursor: bytes | None = None
) -> AsyncIterator[Listener]:
    """A listener that has heard a first sign of life."""
    async with listening(org, topic, cursor) as listener:
        await listener.live()
        yield listener


async def off_loop(call: Callable[..., Any], *words: Any, **named: Any) -> Any:
    """What somebody else does meanwhile; the stream must not have to wait for it."""
    return await asyncio.to_thread(call, *words, **named)


@asynccontextmanager
async def knob(sandbox: OrgSandbox, name: str, value: Any, after: Any) -> AsyncIterator[None]:
    """A habit of the org for a while."""
    await off_loop(sandbox.control, "POST", "/knobs", {name: value})
    try:
        yield
    finally:
        await off_loop(sandbox.control, "POST", "/knobs", {name: after})


def new_level(sandbox: OrgSandbox, sku: str) -> tuple[str, str]:
    """(key, record id) of a level with ten units."""
    key = f"{sku}|DUBAI"
    record = sandbox.create("StockLevel__c", LevelKey__c=key, Sku__c=sku, LocationCode__c="DUBAI")
    sandbox.move(key, on_hand=10)
    return key, record


async def publish(org: SalesforceOrg, fields: dict[str, Any]) -> None:
    """A till publishes an event by REST."""
    await org._rest.request("POST", "sobjects/StockEvent__e", fields)  # a till's call, by our connection


async def cursor_now(org: SalesforceOrg, topic: str = STOCK) -> bytes:
    """The cursor of a sign of life."""
    async with listening(org, topic) as listener:
        await listener.live()
    return listener.batches[-1].cursor


async def subscribers(sandbox: OrgSandbox) -> int:
    inside = await off_loop(sandbox.control, "GET", "/bus")
    return sum(topic.get("subscribers", 0) for topic in inside["topics"].values())
