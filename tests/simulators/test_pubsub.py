"""The Pub/Sub API of the simulated org, over a real socket, by a client written from the contract."""

from __future__ import annotations

import grpc
import pytest
from tests.simulators.events_kit import (
    CHANNEL,
    DIRECT,
    EVENT_TOPIC,
    METADATA,
    TENANT,
    TOKEN,
    RawClient,
    commit,
    created,
    record_id,
    sale,
    served,
    subscribers,
    until,
    updated,
)

from sfsync.simulators.org.proto import pubsub_api_pb2 as pb
from sfsync.simulators.org.pubsub import CODE_PREFIX, PubSubKnobs

EARLIEST, CUSTOM = pb.ReplayPreset.EARLIEST, pb.ReplayPreset.CUSTOM


async def test_a_committed_change_reaches_a_subscriber_with_its_header_and_fields() -> None:
    """A CREATE carries all filled fields and the whole header."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT)
        await until(lambda: subscribers(rig.bus, DIRECT))
        told = commit(created(1, Name="SL-1", On_Hand__c=3, Key__c="BAG|LON"))
        rig.bus.on_commit(told)
        (event,) = await stream.events(1)
        assert event.header == {
            "entityName": "Stock__c",
            "recordIds": [record_id(1)],
            "changeType": "CREATE",
            "changeOrigin": "com/salesforce/api/rest/67.0;client=sfsync",
            "transactionKey": told.transaction_key,
            "sequenceNumber": 1,
            "commitTimestamp": 1795421700000,
            "commitNumber": told.number,
            "commitUser": told.user_id,
            "nulledFields": [],
            "diffFields": [],
            "changedFields": [],
        }
        assert event.record["On_Hand__c"] == 3.0
        assert event.record["Key__c"] == "BAG|LON"
        assert event.record["LastModifiedDate"] == 1795421700000
        assert event.record["Source__c"] is None


async def test_the_bitmap_of_changed_fields_is_the_one_of_the_reference() -> None:
    """Fields 2 and 3 of `[ChangeEventHeader, Name, On_Hand__c, LastModifiedDate, …]` are `0x0C`."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT)
        await until(lambda: subscribers(rig.bus, DIRECT))
        rig.bus.on_commit(commit(updated(1, {"On_Hand__c": 3}, {"On_Hand__c": 2})))
        (event,) = await stream.events(1)
        assert event.header["changedFields"] == ["0x0C"]


async def test_requests_add_up_to_a_cap_of_one_hundred() -> None:
    """However much is asked for, never more than 100 events are owed."""
    async with served() as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"SL-{n}") for n in range(150))))
        stream = await rig.client.subscribe(DIRECT, 70, replay_preset=EARLIEST)
        await stream.ask(500)
        owed = []
        got = 0
        while got < 100:
            answer = await stream.answer()
            got += len(answer.events)
            owed.append(answer.pending_num_requested)
        assert max(owed) <= 100
        assert len(set(owed)) == len(owed)


async def test_a_stream_sends_no_more_than_was_asked_for_until_more_is_asked_for() -> None:
    """The client's pace rules: 2 asked, 2 come; 3 more asked, 3 more come."""
    async with served() as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"SL-{n}") for n in range(10))))
        stream = await rig.client.subscribe(DIRECT, 2, replay_preset=EARLIEST)
        first = await stream.answer()
        assert (len(first.events), first.pending_num_requested) == (2, 0)
        await stream.ask(3)
        assert [e.header["recordIds"] for e in await stream.events(3)] == [[record_id(n)] for n in (2, 3, 4)]


async def test_a_subscription_goes_on_after_the_replay_id_it_names() -> None:
    """CUSTOM delivers what follows the id, in order, with growing ids that leave gaps."""
    async with served() as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"SL-{n}") for n in range(20))))
        stream = await rig.client.subscribe(DIRECT, 20, replay_preset=EARLIEST)
        events = await stream.events(20)
        numbers = [int.from_bytes(event.replay_id, "big") for event in events]
        assert numbers == sorted(set(numbers))
        assert numbers != list(range(numbers[0], numbers[0] + 20))
        again = await rig.client.subscribe(DIRECT, 20, replay_preset=CUSTOM, replay_id=events[11].replay_id)
        assert [e.uuid for e in await again.events(8)] == [e.uuid for e in events[12:]]


async def test_a_published_event_gets_a_replay_id_and_reaches_subscribers() -> None:
    """Publish answers with the final result of each event; a bad payload fails alone."""
    async with served() as rig:
        stream = await rig.client.subscribe(EVENT_TOPIC)
        await until(lambda: subscribers(rig.bus, EVENT_TOPIC))
        info = await rig.client.topic(EVENT_TOPIC)
        codec = rig.bus.codec(info.schema_id)
        assert codec is not None
        payload = codec.encode({"CreatedDate": 1, "CreatedById": "x", "Sku__c": "BAG", "Quantity__c": 1.0})
        good = pb.ProducerEvent(id="mine", schema_id=info.schema_id, payload=payload)
        bad = pb.ProducerEvent(id="torn", schema_id=info.schema_id, payload=payload[:3])
        response = await rig.client.publish(EVENT_TOPIC, [good, bad])
        assert [result.correlation_key for result in response.results] == ["mine", "torn"]
        assert response.results[1].error.code == pb.ErrorCode.PUBLISH
        (event,) = await stream.events(1)
        assert (event.uuid, event.record["Sku__c"]) == ("mine", "BAG")
        assert event.replay_id == response.results[0].replay_id


async def test_a_topic_tells_what_it_is() -> None:
    """GetTopic names the org, what is allowed and the present schema."""
    async with served() as rig:
        info = await rig.client.topic(CHANNEL)
        assert (info.topic_name, info.tenant_guid, info.can_publish, info.can_subscribe) == (
            CHANNEL,
            TENANT,
            False,
            True,
        )
        assert (await rig.client.topic(EVENT_TOPIC)).can_publish


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ((), "service.auth.headers.invalid"),
        (METADATA[:2], "service.auth.headers.invalid"),
        ((("accesstoken", "stale"), *METADATA[1:]), "service.auth.error"),
        ((*METADATA[:2], ("tenantid", "00D000000000002AAA")), "service.auth.error"),
    ],
)
async def test_wrong_metadata_is_refused_by_its_code(
    metadata: tuple[tuple[str, str], ...], code: str
) -> None:
    """Missing headers and a bad token are told apart by the trailers alone."""
    async with served() as rig:
        stream = await RawClient(rig.channel, metadata).subscribe(DIRECT)
        assert await stream.error() == (grpc.StatusCode.UNAUTHENTICATED, CODE_PREFIX + code)


async def test_a_quiet_stream_shows_life_and_moves_its_position() -> None:
    """Empty batches come in time, and a subscription can be resumed from the last of them."""
    async with served(knobs=PubSubKnobs(keepalive_seconds=0.02)) as rig:
        rig.bus.on_commit(commit(created(1, Name="SL-1")))
        stream = await rig.client.subscribe(DIRECT)
        first = await stream.answer()
        rig.clock.advance(hours=1)
        while (later := await stream.answer()).latest_replay_id == first.latest_replay_id:
            pass
        assert not later.events
        assert later.pending_num_requested == 100
        rig.bus.on_commit(commit(created(2, Name="SL-2")))
        again = await rig.client.subscribe(DIRECT, replay_preset=CUSTOM, replay_id=later.latest_replay_id)
        (event,) = await again.events(1)
        assert event.header["recordIds"] == [record_id(2)]


async def test_platform_events_of_a_transaction_are_delivered() -> None:
    """An event published with a commit has that uuid and its fields."""
    async with served() as rig:
        rig.bus.on_commit(commit(published=(sale(1),)))
        stream = await rig.client.subscribe(EVENT_TOPIC, replay_preset=EARLIEST)
        (event,) = await stream.events(1)
        assert (event.uuid, event.record["Quantity__c"]) == ("uuid-1", 1.0)


async def test_a_revoked_token_ends_the_stream_at_the_next_keepalive() -> None:
    """The token is looked at again while the stream is open."""
    async with served(knobs=PubSubKnobs(keepalive_seconds=0.02)) as rig:
        stream = await rig.client.subscribe(DIRECT)
        await stream.answer()
        rig.tokens.valid.discard(TOKEN)
        assert (await stream.error())[1] == CODE_PREFIX + "service.auth.error"
