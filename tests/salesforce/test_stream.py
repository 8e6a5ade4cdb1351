"""The event stream against the simulated org: gRPC over TLS, in a process of its own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.salesforce.kit import WallClock, bundle, movement, request
from tests.sandbox import OrgSandbox

from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.ports import EVERYTHING, CursorRefused, EventBatch, OutsideError, Refused, TryLater
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg
from sfsync.salesforce.pubsub import PubSub
from sfsync.salesforce.stream import AvroSource
from sfsync.salesforce.transport import http_client

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
async def refusing(org: SalesforceOrg, sandbox: OrgSandbox, code: str) -> AsyncIterator[None]:
    """The next subscriptions are refused with a code; more of them than one listener tries."""
    count = 8
    await off_loop(sandbox.bus, "refuse", rpc="Subscribe", code=code, count=count)
    yield
    for _ in range(count + 1):  # use up what is left
        async with listening(org) as listener:
            with suppress(OutsideError):
                await listener.live()
                return
    raise AssertionError("the org still refuses")


async def off_loop(call: Callable[..., Any], *words: Any, **named: Any) -> Any:
    """What somebody else does meanwhile; the stream must not have to wait for it."""
    return await asyncio.to_thread(call, *words, **named)


def new_level(sandbox: OrgSandbox, sku: str) -> tuple[str, str]:
    """(key, record id) of a level with ten units."""
    key = f"{sku}|DUBAI"
    record = sandbox.create("StockLevel__c", LevelKey__c=key, Sku__c=sku, LocationCode__c="DUBAI")
    sandbox.move(key, on_hand=10)
    return key, record


async def cursor_now(org: SalesforceOrg, topic: str = STOCK) -> bytes:
    """The cursor of a sign of life."""
    async with listening(org, topic) as listener:
        await listener.live()
    return listener.batches[-1].cursor


async def test_a_movement_entered_in_the_org_wakes_its_level(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The level's id comes with the event, so that it can be read at once."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with listening(org) as listener:
        await listener.live()
        await off_loop(sandbox.move, key, on_hand=-1, kind="Sale")
        await listener.heard()
    assert listener.levels == {record}
    assert not listener.movements
    assert {level.on_hand for level in await org.read_levels(levels=listener.levels)} == {9}


async def test_our_own_movements_do_not_come_back(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """Deliveries are scarce; what we entered we have read back already."""
    key, record = await off_loop(new_level, sandbox, sku)
    level = LevelKey.parse(key)
    async with listening(org) as listener:
        await listener.live()
        await org.enter(request(bundle(1, movement(f"{sku}:0", level, on_hand=-1))), {level: record})
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
    assert listener.events == 1


async def test_a_stream_goes_on_after_its_cursor(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """What happened while nobody listened is told; what was told before is not told again."""
    key, record = await off_loop(new_level, sandbox, f"{sku}A")
    other_key, other = await off_loop(new_level, sandbox, f"{sku}B")
    async with listening(org) as first:
        await first.live()
        await off_loop(sandbox.move, key, on_hand=-1)
        await first.heard()
    await off_loop(sandbox.move, other_key, on_hand=-1)
    async with listening(org, cursor=first.batches[-1].cursor) as second:
        await second.heard()
    assert (first.levels, second.levels) == ({record}, {other})


async def test_silence_is_told_as_a_sign_of_life_with_a_cursor(org: SalesforceOrg) -> None:
    """A quiet topic's bookmark moves, so that it never falls out of the stream's memory."""
    async with listening(org) as listener:
        await listener.until(lambda batches: len(batches) >= 2)
    assert [batch.events for batch in listener.batches[:2]] == [0, 0]
    assert all(batch.cursor for batch in listener.batches)


async def test_more_events_than_may_be_asked_for_at_once_all_come(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The request is topped up before it is drained."""
    _, record = await off_loop(new_level, sandbox, sku)
    rows = [
        {
            "attributes": {"type": "StockMovement__c"},
            "StockLevel__c": record,
            "Kind__c": "Receipt",
            "OnHandDelta__c": 1,
            "ReservedDelta__c": 0,
            "VersionDelta__c": 1,
            "Reference__c": f"{number}",
        }
        for number in range(330)
    ]
    async with listening(org) as listener:
        await listener.live()
        for start in range(0, 330, 110):
            part = {"records": rows[start : start + 110]}
            await off_loop(sandbox.control, "POST", "/records/create", part)
        await listener.until(lambda _: listener.events >= 330)
    assert listener.events == 330
    assert listener.levels == {record}


async def test_a_till_event_becomes_a_posting(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """A till that writes no ledger rows tells us, and a malformed event does not hide a good one."""
    fields = {"Sku__c": sku, "LocationCode__c": "DUBAI", "OccurredAt__c": "2026-11-23T08:15:30.000Z"}
    async with listening(org, TILL) as listener:
        await listener.live()
        good = {
            **fields,
            "SourceId__c": f"{sku}/1",
            "Kind__c": "Sale",
            "Quantity__c": -2,
            "Reference__c": "R1",
        }
        for event in ({**good, "SourceId__c": f"{sku}/0", "Kind__c": "Gift"}, good):
            await publish(org, event)
        await listener.until(lambda _: listener.events >= 2)
    (posting,) = [each for batch in listener.batches for each in batch.postings]
    (poison,) = [each for batch in listener.batches for each in batch.poison]
    assert (posting.source_id, posting.kind, posting.on_hand_delta) == (f"{sku}/1", MovementKind.SALE, -2)
    assert (posting.level, posting.reference) == (LevelKey(sku, "DUBAI"), "R1")
    assert posting.occurred_at == datetime(2026, 11, 23, 8, 15, 30, tzinfo=UTC)
    assert (poison.key, "Kind__c is 'Gift'" in poison.reason) == (f"{sku}/0", True)


async def publish(org: SalesforceOrg, fields: dict[str, Any]) -> None:
    """A till publishes an event by REST."""
    await org._rest.request("POST", "sobjects/StockEvent__e", fields)  # a till's call, by our connection


async def test_a_gap_event_names_the_movement_to_look_up(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The event could not be built, but the record can be read."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with listening(org) as listener:
        await listener.live()
        await off_loop(sandbox.bus, "fates", next=["gap"])
        row = await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
    assert listener.movements == {row}
    (level,) = await org.read_levels(movements=listener.movements)
    assert (level.record_id, level.on_hand) == (record, 9)


async def test_an_overflow_is_a_hole_in_time(org: SalesforceOrg, sandbox: OrgSandbox) -> None:
    """Nobody tells which records; everything that moved lately is read again."""
    async with listening(org) as listener:
        await listener.live()
        await off_loop(sandbox.bus, "overflow", entity="StockMovement__c")
        await listener.heard()
    (hole,) = [batch.hole_since for batch in listener.batches if batch.hole_since]
    assert hole < datetime.now(UTC)


async def test_a_token_that_ends_in_mid_stream_is_renewed_unseen(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Sessions end every few hours; the listener hears only events."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with listening(org) as listener:
        await listener.live()
        await off_loop(sandbox.control, "POST", "/sessions/end")
        seen = len(listener.batches)
        await listener.until(lambda batches: len(batches) > seen)
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
    assert listener.levels == {record}


async def test_a_token_refused_again_and_again_is_for_a_person(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """A permission that is missing does not come back with a new token."""
    async with refusing(org, sandbox, "service.auth.error"), listening(org) as listener:
        error = await listener.end()
    assert isinstance(error, Refused)
    assert "Sfsync_Integration" in error.advice


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("service.unavailable", TryLater, ""),
        ("subscription.internal.error", TryLater, ""),
        ("subscription.fetch.replay.repeated", TryLater, ""),
        ("service.protection.triggered", TryLater, ""),
        ("concurrent.client.limit.exceeded", TryLater, ""),
        ("subscription.limit.exceeded", TryLater, ""),
        ("a.code.of.tomorrow", TryLater, ""),
        ("subscription.fetch.replayid.corrupted", CursorRefused, "snapshot"),
        ("subscription.fetch.replayid.validation.failed", CursorRefused, "snapshot"),
        ("topic.not.found", Refused, "deploy"),
        ("subscription.topic.cannot.subscribe", Refused, "Sfsync_Integration"),
        ("service.tenant.license", Refused, "Pub/Sub"),
    ],
)
async def test_each_end_of_a_stream_has_its_name(
    org: SalesforceOrg, sandbox: OrgSandbox, code: str, kind: type[OutsideError], words: str
) -> None:
    """The service's code decides; an unknown one is tried again with the same cursor, never from now on."""
    async with refusing(org, sandbox, code), listening(org) as listener:
        error = await listener.end()
    assert type(error) is kind
    assert code in str(error)
    if isinstance(error, Refused):
        assert words in error.advice


@pytest.mark.parametrize("cursor", [b"x", b"\xff" * 8])
async def test_a_cursor_of_another_stream_is_refused(org: SalesforceOrg, cursor: bytes) -> None:
    """Never silently from now on, nor from the beginning."""
    async with listening(org, cursor=cursor) as listener:
        assert isinstance(await listener.end(), CursorRefused)


async def test_everything_that_the_stream_keeps_may_be_asked_for(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A posting cannot be read anywhere else, so a lost bookmark starts at the oldest event."""
    key, record = await off_loop(new_level, sandbox, sku)
    await off_loop(sandbox.move, key, on_hand=-1)
    async with listening(org, cursor=EVERYTHING) as listener:
        await listener.until(lambda _: record in listener.levels)
    assert all(batch.cursor for batch in listener.batches)


async def test_a_stream_that_was_reset_refuses_the_old_cursor(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """A refreshed sandbox does not know where we were."""
    cursor = await cursor_now(org)
    await off_loop(sandbox.bus, "reset_stream")
    async with listening(org, cursor=cursor) as listener:
        assert isinstance(await listener.end(), CursorRefused)


async def test_a_topic_that_we_may_not_hear_is_refused(org: SalesforceOrg, sandbox: OrgSandbox) -> None:
    """Also when the permission is taken away in mid-stream."""
    async with listening(org) as listener:
        await listener.live()
        try:
            await off_loop(sandbox.bus, "forbid", topic=STOCK)
            assert isinstance(await listener.end(), Refused)
        finally:
            await off_loop(sandbox.bus, "allow", topic=STOCK)


async def test_a_network_that_breaks_is_try_later(org: SalesforceOrg, sandbox: OrgSandbox) -> None:
    """The cursor is good; the way was not."""
    async with listening(org) as listener:
        await listener.live()
        await off_loop(sandbox.bus, "cut", topic=STOCK)
        assert type(await listener.end()) is TryLater


async def test_an_open_stream_that_says_nothing_is_given_up(settings: OrgConfig, sandbox: OrgSandbox) -> None:
    """Dead but open is the worst way to be dead."""
    ours = SalesforceOrg(dataclasses.replace(settings, silence_seconds=2.0), WallClock())
    try:
        async with listening(ours) as listener:
            await listener.live()
            await off_loop(sandbox.bus, "silence")
            error = await listener.end()
    finally:
        await off_loop(sandbox.bus, "speak")
        await ours.close()
    assert type(error) is TryLater
    assert "silent" in str(error)


async def test_a_listener_that_leaves_takes_its_subscription_along(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """Each subscriber costs deliveries, so none is left behind."""
    async with listening(org) as listener:
        await listener.live()
        assert await subscribers(sandbox) == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await subscribers(sandbox):  # noqa: ASYNC110 — another process's count
            await asyncio.sleep(0.02)


async def subscribers(sandbox: OrgSandbox) -> int:
    inside = await off_loop(sandbox.control, "GET", "/bus")
    return sum(topic.get("subscribers", 0) for topic in inside["topics"].values())


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"pubsub_endpoint": "localhost:1"}, TryLater, ""),
        ({"pubsub_tls": False}, TryLater, ""),
    ],
)
async def test_an_endpoint_that_is_none_is_tried_later(
    settings: OrgConfig, changes: dict[str, Any], kind: type[OutsideError], words: str
) -> None:
    """From here it cannot be told from a network that is down."""
    ours = SalesforceOrg(dataclasses.replace(settings, **changes), WallClock())
    async with listening(ours) as listener:
        error = await listener.end()
    await ours.close()
    assert type(error) is kind


class CountingWire(PubSub):
    """The Pub/Sub API, and how often a schema was asked for."""

    schemas_asked = 0

    async def schema(self, schema_id: str) -> str:
        self.schemas_asked += 1
        return await super().schema(schema_id)


async def test_each_schema_is_asked_for_once(settings: OrgConfig, sandbox: OrgSandbox, sku: str) -> None:
    """Schemas never change under their id; a second stream knows them already."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with http_client(
        settings.login_url, timeout_seconds=20.0, ca_file=settings.ca_file, transport=None
    ) as http:
        wire = CountingWire(settings, TokenProvider(settings, http))
        ours = SalesforceOrg(settings, WallClock(), source=AvroSource(wire))
        for _ in range(2):
            async with listening(ours) as listener:
                await listener.live()
                await off_loop(sandbox.move, key, on_hand=-1)
                await listener.heard()
            assert listener.levels == {record}
        await ours.close()
    assert wire.schemas_asked == 1
