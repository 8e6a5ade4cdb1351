"""The Pub/Sub API of the simulated org, over a real socket, by a client written from the contract."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.simulators.events_kit import (
    CHANNEL,
    DIRECT,
    EVENT_TOPIC,
    METADATA,
    NO_PROXY,
    TENANT,
    TOKEN,
    Certificate,
    RawClient,
    commit,
    created,
    error_code,
    field_of,
    make_certificate,
    org,
    record_id,
    sale,
    served,
    subscribers,
    until,
    updated,
)

from sfsync.simulators.org.proto import pubsub_api_pb2 as pb
from sfsync.simulators.org.pubsub_calls import CODE_PREFIX
from sfsync.simulators.org.pubsub_subscribe import PubSubKnobs

EARLIEST, CUSTOM = pb.ReplayPreset.EARLIEST, pb.ReplayPreset.CUSTOM


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return make_certificate()


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


async def test_a_filtered_and_enriched_channel_delivers_its_own_view() -> None:
    """What the channel keeps out never arrives; what it adds is in the payload."""
    async with served(org(condition="Source__c = 'pos'", enriched=("Key__c",))) as rig:
        stream = await rig.client.subscribe(CHANNEL)
        await until(lambda: subscribers(rig.bus, CHANNEL))
        kept = {"Source__c": "pos", "Key__c": "BAG|LON"}
        rig.bus.on_commit(commit(updated(1, {"Source__c": "web"}, {"Source__c": "web", "On_Hand__c": 1})))
        rig.bus.on_commit(commit(updated(2, kept, {**kept, "On_Hand__c": 1})))
        (event,) = await stream.events(1)
        assert event.header["recordIds"] == [record_id(2)]
        assert (event.record["Key__c"], event.record["Source__c"]) == ("BAG|LON", "pos")


async def test_a_gap_is_delivered_as_a_header_alone() -> None:
    """The reader learns which records it must read again."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT)
        await until(lambda: subscribers(rig.bus, DIRECT))
        rig.bus.inject_gap("Stock__c", [record_id(1), record_id(2)])
        (event,) = await stream.events(1)
        assert event.header["changeType"] == "GAP_UPDATE"
        assert event.header["recordIds"] == [record_id(1), record_id(2)]
        assert event.record["Name"] is None


async def test_a_schema_change_in_mid_stream_gives_new_events_another_schema() -> None:
    """One stream carries both, and a client that caches by schema id asks once for each."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT)
        await until(lambda: subscribers(rig.bus, DIRECT))
        before = (await rig.client.topic(DIRECT)).schema_id
        rig.bus.on_commit(commit(created(1, Name="a"), created(2, Name="b")))
        rig.bus.replace_schema(org(more_fields=(field_of("Colour__c"),)))
        rig.bus.on_commit(commit(created(3, Name="c", Colour__c="red")))
        events = await stream.events(3)
        assert [event.schema_id == before for event in events] == [True, True, False]
        assert events[2].record["Colour__c"] == "red"
        assert (await rig.client.topic(DIRECT)).schema_id == events[2].schema_id
        assert rig.client.schema_calls == 2


async def test_an_id_that_left_the_window_is_refused_with_its_code() -> None:
    """INVALID_ARGUMENT, the code and the call's id in the trailers."""
    async with served() as rig:
        rig.bus.on_commit(commit(created(1, Name="a")))
        stream = await rig.client.subscribe(DIRECT, 1, replay_preset=EARLIEST)
        (event,) = await stream.events(1)
        rig.clock.advance(hours=72, seconds=1)
        late = await rig.client.subscribe(DIRECT, replay_preset=CUSTOM, replay_id=event.replay_id)
        assert await late.error() == (
            grpc.StatusCode.INVALID_ARGUMENT,
            CODE_PREFIX + "subscription.fetch.replayid.corrupted",
        )
        trailers = dict(await late.call.trailing_metadata())
        assert trailers["type"] == "Subscribe"
        assert (await late.call.details()).endswith(f"rpcId: {trailers['rpc-id']}")


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"replay_preset": CUSTOM}, "subscription.fetch.replayid.validation.failed"),
        ({"replay_preset": CUSTOM, "replay_id": b"\0" * 8}, "subscription.fetch.replayid.corrupted"),
        ({"replay_preset": CUSTOM, "replay_id": b"17"}, "subscription.fetch.replayid.corrupted"),
        ({"number": 0}, "subscription.fetch.requested.events.invalid"),
        ({"number": -5}, "subscription.fetch.requested.events.invalid"),
        ({"topic": "/data/Nothing__ChangeEvent"}, "topic.not.found"),
        ({"topic": ""}, "topic.validation.empty"),
    ],
)
async def test_a_wrong_first_request_is_refused_by_its_code(first: dict[str, Any], code: str) -> None:
    """Each mistake has the code that the error table gives it."""
    async with served() as rig:
        stream = await rig.client.subscribe(**{"topic": DIRECT, **first})
        assert (await stream.error())[1] == CODE_PREFIX + code


async def test_a_later_request_for_another_topic_ends_the_stream() -> None:
    """The same topic may be named again, another may not."""
    async with served() as rig:
        rig.bus.on_commit(commit(created(1, Name="a"), created(2, Name="b")))
        stream = await rig.client.subscribe(DIRECT, 1, replay_preset=EARLIEST)
        await stream.events(1)
        await stream.ask(1, topic_name=DIRECT)
        await stream.events(1)
        await stream.ask(1, topic_name=CHANNEL)
        assert (await stream.error())[1] == CODE_PREFIX + "subscription.fetch.topic.mismatch"


async def test_a_later_preset_is_ignored() -> None:
    """To move, a client opens another stream."""
    async with served() as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(3))))
        stream = await rig.client.subscribe(DIRECT, 2, replay_preset=EARLIEST)
        await stream.events(2)
        await stream.ask(1, replay_preset=EARLIEST)
        (event,) = await stream.events(1)
        assert event.header["recordIds"] == [record_id(2)]


async def test_a_stream_that_nobody_asks_anything_of_is_closed() -> None:
    """A client must ask for more before it has got all."""
    async with served(knobs=PubSubKnobs(unrequested_close_seconds=0.02)) as rig:
        rig.bus.on_commit(commit(created(1, Name="a")))
        stream = await rig.client.subscribe(DIRECT, 1, replay_preset=EARLIEST)
        await stream.events(1)
        assert await stream.error() == (grpc.StatusCode.OK, "")


async def test_a_dead_stream_stays_open_and_says_nothing_while_a_new_one_works() -> None:
    """Neither events nor keep-alives come; what was kept back comes when the silence ends."""
    async with served(knobs=PubSubKnobs(keepalive_seconds=0.02)) as rig:
        dead = await rig.client.subscribe(DIRECT)
        await dead.answer()
        assert rig.server.service.go_silent() == 1
        rig.bus.on_commit(commit(created(1, Name="a")))
        alive = await rig.client.subscribe(DIRECT, replay_preset=EARLIEST)
        await alive.events(1)
        for _ in range(5):
            assert not (await alive.answer()).events
        assert not dead.call.done()
        rig.server.service.speak()
        await dead.events(1)


async def test_the_first_answer_can_be_a_keepalive() -> None:
    """An empty batch is neither the end nor a sign that nothing is there."""
    async with served(knobs=PubSubKnobs(first_answer_is_keepalive=True)) as rig:
        rig.bus.on_commit(commit(created(1, Name="a")))
        stream = await rig.client.subscribe(DIRECT, replay_preset=EARLIEST)
        assert not (await stream.answer()).events
        await stream.events(1)


async def test_a_keepalive_never_moves_past_events_that_were_not_delivered() -> None:
    """Whoever resumes from it must not lose the backlog behind it."""
    async with served(knobs=PubSubKnobs(first_answer_is_keepalive=True)) as rig:
        rig.bus.on_commit(commit(created(1, Name="a")))
        before = await rig.client.subscribe(DIRECT, 1, replay_preset=EARLIEST)
        await before.answer()
        (first,) = await before.events(1)
        rig.bus.on_commit(commit(created(2, Name="b")))
        stream = await rig.client.subscribe(DIRECT, replay_preset=CUSTOM, replay_id=first.replay_id)
        assert (await stream.answer()).latest_replay_id == first.replay_id


async def test_replay_ids_may_be_longer_and_are_taken_back_as_they_were_given() -> None:
    """Ten bytes as one log of a live org showed: a client must treat them as opaque."""
    async with served(knobs=PubSubKnobs(replay_id_bytes=10)) as rig:
        rig.bus.on_commit(commit(created(1, Name="a"), created(2, Name="b")))
        stream = await rig.client.subscribe(DIRECT, 1, replay_preset=EARLIEST)
        (event,) = await stream.events(1)
        assert len(event.replay_id) == 10
        again = await rig.client.subscribe(DIRECT, replay_preset=CUSTOM, replay_id=event.replay_id)
        assert [e.header["recordIds"] for e in await again.events(1)] == [[record_id(2)]]


async def test_small_batches_split_what_was_asked_for() -> None:
    """There is no answer for each request: 7 owed come as 3, 3, 1."""
    async with served(knobs=PubSubKnobs(batch_size=3)) as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(9))))
        stream = await rig.client.subscribe(DIRECT, 7, replay_preset=EARLIEST)
        answers = [await stream.answer() for _ in range(3)]
        assert [(len(a.events), a.pending_num_requested) for a in answers] == [(3, 4), (3, 1), (1, 0)]


async def test_a_cut_stream_ends_without_a_code_and_can_be_resumed() -> None:
    """The network's way to end a stream: UNAVAILABLE, nothing said."""
    async with served() as rig:
        rig.bus.on_commit(commit(created(1, Name="a"), created(2, Name="b")))
        stream = await rig.client.subscribe(DIRECT, 1, replay_preset=EARLIEST)
        (event,) = await stream.events(1)
        assert rig.server.service.cut(DIRECT) == 1
        assert await stream.error() == (grpc.StatusCode.UNAVAILABLE, "")
        again = await rig.client.subscribe(DIRECT, replay_preset=CUSTOM, replay_id=event.replay_id)
        assert len(await again.events(1)) == 1


async def test_a_lost_permission_ends_the_stream_by_its_code() -> None:
    """And keeps a new one from starting."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT)
        await until(lambda: subscribers(rig.bus, DIRECT))
        rig.bus.forbid(DIRECT)
        assert (await stream.error())[1] == CODE_PREFIX + "subscription.topic.cannot.subscribe"
        assert not (await rig.client.topic(DIRECT)).can_subscribe


async def test_a_used_up_allowance_ends_the_stream_and_keeps_the_events() -> None:
    """Deliveries stop at the limit; the next day they go on after the last id."""
    async with served(delivery_allowance=2) as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(4))))
        stream = await rig.client.subscribe(DIRECT, replay_preset=EARLIEST)
        events = await stream.events(2)
        assert (await stream.error())[1] == CODE_PREFIX + "subscription.limit.exceeded"
        rig.clock.advance(hours=25)
        again = await rig.client.subscribe(DIRECT, replay_preset=CUSTOM, replay_id=events[1].replay_id)
        assert [e.header["recordIds"] for e in await again.events(2)] == [[record_id(2)], [record_id(3)]]


async def test_an_ordered_refusal_meets_the_next_calls_only() -> None:
    """The service is unavailable twice, then it works."""
    async with served() as rig:
        rig.server.service.refuse_next("Subscribe", count=2)
        for _ in range(2):
            stream = await rig.client.subscribe(DIRECT)
            assert await stream.error() == (grpc.StatusCode.INTERNAL, CODE_PREFIX + "service.unavailable")
        rig.bus.on_commit(commit(created(1, Name="a")))
        await (await rig.client.subscribe(DIRECT, replay_preset=EARLIEST)).events(1)


async def test_a_stream_that_has_ended_leaves_the_topic() -> None:
    """Nobody is counted as a subscriber who is not there."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT)
        await until(lambda: subscribers(rig.bus, DIRECT) == 1)
        stream.call.cancel()
        await until(lambda: subscribers(rig.bus, DIRECT) == 0)


async def test_a_client_that_hangs_up_still_gets_what_it_asked_for() -> None:
    """Two events were asked for: the stream ends well after the second."""
    async with served() as rig:
        stream = await rig.client.subscribe(DIRECT, 2)
        await until(lambda: subscribers(rig.bus, DIRECT))
        await stream.call.done_writing()
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(3))))
        await stream.events(2)
        assert await stream.error() == (grpc.StatusCode.OK, "")


async def test_every_subscriber_gets_every_event() -> None:
    """Streams of one topic do not share work."""
    async with served() as rig:
        streams = [await rig.client.subscribe(DIRECT) for _ in range(3)]
        await until(lambda: subscribers(rig.bus, DIRECT) == 3)
        rig.bus.on_commit(commit(created(1, Name="a")))
        assert len({(await stream.events(1))[0].uuid for stream in streams}) == 1


@pytest.mark.parametrize(
    ("topic", "events", "code"),
    [
        ("", 1, "publish.topic.validation.empty"),
        ("/event/Nothing__e", 1, "topic.not.found"),
        (DIRECT, 1, "topic.meta.permission"),
        (EVENT_TOPIC, 0, "publish.event.count.invalid"),
        (EVENT_TOPIC, 201, "publish.event.count.invalid"),
    ],
)
async def test_a_wrong_publish_request_is_refused_by_its_code(topic: str, events: int, code: str) -> None:
    """The whole call fails, nothing is published."""
    async with served() as rig:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rig.client.publish(topic, [pb.ProducerEvent(id=str(n)) for n in range(events)])
        assert error_code(refused.value) == CODE_PREFIX + code


async def test_an_event_above_a_megabyte_fails_alone() -> None:
    """The others of the request are published."""
    async with served() as rig:
        codec = rig.bus.current_codec(EVENT_TOPIC)
        assert codec is not None
        sizes = (10, 1_000_001)
        events = [
            pb.ProducerEvent(
                id=str(size),
                schema_id=codec.schema_id,
                payload=codec.encode({"CreatedDate": 1, "CreatedById": "x", "Sku__c": "s" * size}),
            )
            for size in sizes
        ]
        response = await rig.client.publish(EVENT_TOPIC, events)
        assert [bool(result.replay_id) for result in response.results] == [True, False]
        assert response.schema_id == codec.schema_id


async def test_an_unknown_schema_is_refused_by_its_code() -> None:
    """GetSchema knows ids that the org has used, and no others."""
    async with served() as rig:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rig.client.schema("nothing")
        assert error_code(refused.value) == CODE_PREFIX + "schema.validation.failed"


async def test_the_managed_and_streaming_variants_are_not_there() -> None:
    """They answer UNIMPLEMENTED, as the documentation of the simulator says."""
    async with served() as rig:
        for rpc, kind in (("ManagedSubscribe", pb.ManagedFetchRequest), ("PublishStream", pb.PublishRequest)):
            call = rig.channel.stream_stream(
                f"/eventbus.v1.PubSub/{rpc}", kind.SerializeToString, pb.FetchResponse.FromString
            )(None, metadata=METADATA)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_same_service_is_there_over_tls(certificate: Certificate) -> None:
    """Clients that insist on TLS get the same events."""
    async with served(tls=certificate.server_credentials) as rig:
        rig.bus.on_commit(commit(created(1, Name="a")))
        credentials = grpc.ssl_channel_credentials(certificate.certificate_pem)
        async with grpc.aio.secure_channel(
            f"localhost:{rig.server.tls_port}", credentials, options=NO_PROXY
        ) as channel:
            stream = await RawClient(channel).subscribe(DIRECT, replay_preset=EARLIEST)
            assert len(await stream.events(1)) == 1


def test_the_products_and_the_simulators_stubs_can_be_loaded_in_one_process() -> None:
    """Protobuf's registry takes one file twice when its bytes are equal."""
    product = import_module("sfsync.salesforce.proto.pubsub_api_pb2")
    sent = product.FetchRequest(topic_name=DIRECT, num_requested=3).SerializeToString()
    assert pb.FetchRequest.FromString(sent).num_requested == 3
