"""The simulated org's event bus: which events a commit gives, on which topics, and how they can go wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.simulators.events_kit import (
    CHANNEL,
    DIRECT,
    EVENT_TOPIC,
    START,
    HandClock,
    commit,
    created,
    deleted,
    field_of,
    make_bus,
    org,
    record_id,
    sale,
    until,
    updated,
)

from sfsync.simulators.org.bus import EARLIEST, EventBus
from sfsync.simulators.org.bus_state import dump_bus, load_bus
from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.model import ChannelMember, FieldType
from sfsync.simulators.org.stream import Entry, StreamEnded

STANDARD = "/data/ChangeEvents"


def entries(bus: EventBus, topic: str = DIRECT) -> list[Entry]:
    """All that a new subscriber of a topic gets from the beginning."""
    subscription = bus.subscribe(topic, EARLIEST)
    found = subscription.take(10_000)
    subscription.close()
    return found


def records(bus: EventBus, topic: str = DIRECT) -> list[dict[str, Any]]:
    return [entry.event.codec.decode(entry.event.payload) for entry in entries(bus, topic)]


def headers(bus: EventBus, topic: str = DIRECT) -> list[dict[str, Any]]:
    return [record["ChangeEventHeader"] for record in records(bus, topic)]


def names(record: dict[str, Any]) -> set[str]:
    """The fields of the body that have a value."""
    return {name for name, value in record.items() if value is not None and name != "ChangeEventHeader"}


# --- what an event carries


def test_an_update_carries_what_changed_and_when_and_no_more() -> None:
    """Unchanged fields stay out; the time of the change is in, and both are named."""
    bus = make_bus()
    before = {"Name": "SL-1", "Key__c": "BAG|LON", "On_Hand__c": 3, "Source__c": "pos"}
    bus.on_commit(commit(updated(1, before, {**before, "On_Hand__c": 2})))
    (entry,) = entries(bus)
    assert entry.event.header is not None
    assert entry.event.header["changedFields"] == ["On_Hand__c", "LastModifiedDate"]
    assert names(records(bus)[0]) == {"On_Hand__c", "LastModifiedDate"}


def test_a_field_set_to_null_is_named_as_nulled() -> None:
    """Null in the body alone would look like unchanged."""
    bus = make_bus()
    bus.on_commit(commit(updated(1, {"Key__c": "BAG", "Source__c": "pos"}, {"Key__c": "BAG"})))
    (header,) = headers(bus)
    assert header["nulledFields"] == ["0x20"]
    assert header["changedFields"] == ["0x28"]


def test_a_delete_carries_a_header_only() -> None:
    """What was deleted is told by its id."""
    bus = make_bus()
    bus.on_commit(commit(deleted(1, Name="SL-1", On_Hand__c=3)))
    (record,) = records(bus)
    assert record["ChangeEventHeader"]["changeType"] == "DELETE"
    assert not names(record)


def test_system_fields_that_are_not_the_records_own_data_stay_out() -> None:
    """SystemModstamp is neither in the schema nor among the changed fields."""
    bus = make_bus()
    later = START + timedelta(days=1)
    bus.on_commit(commit(updated(1, {"SystemModstamp": START}, {"SystemModstamp": later})))
    assert headers(bus)[0]["changedFields"] == ["0x08"]
    assert "SystemModstamp" not in records(bus)[0]


def test_dates_and_numbers_are_epoch_milliseconds_and_doubles() -> None:
    """Text, dates and numbers of the row come out in Avro's types."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="SL-1", On_Hand__c=3, Counted__c="2026-11-20", Active__c=False)))
    (record,) = records(bus)
    assert record["Counted__c"] == 1795132800000
    assert isinstance(record["On_Hand__c"], float)
    assert record["Active__c"] is False
    shown = entries(bus)[0].event.as_json()
    assert shown["LastModifiedDate"] == "2026-11-23T08:15:00Z"


def test_changes_of_one_transaction_share_its_key_and_are_numbered() -> None:
    """Order inside a transaction is told by the sequence number, from 1."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a"), created(2, Name="b"), updated(3, {}, {"On_Hand__c": 1})))
    found = headers(bus)
    assert [header["sequenceNumber"] for header in found] == [1, 2, 3]
    assert len({header["transactionKey"] for header in found}) == 1


def test_several_changes_of_one_record_in_a_transaction_are_one_event() -> None:
    """The first kind and the final state are told."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a"), updated(1, {"Name": "a"}, {"Name": "a", "On_Hand__c": 5})))
    (record,) = records(bus)
    assert record["ChangeEventHeader"]["changeType"] == "CREATE"
    assert record["On_Hand__c"] == 5.0


def test_a_record_made_and_unmade_in_one_transaction_is_not_told() -> None:
    """Nobody outside ever saw it."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a"), deleted(1, Name="a")))
    assert records(bus) == []


def test_equal_changes_of_several_records_are_merged_into_one_event() -> None:
    """One event names all the records; a different value keeps its own event."""
    bus = make_bus()
    levels = {1: 0, 2: 0, 3: 9}
    bus.on_commit(commit(*(updated(n, {"On_Hand__c": n}, {"On_Hand__c": to}) for n, to in levels.items())))
    assert [header["recordIds"] for header in headers(bus)] == [
        [record_id(1), record_id(2)],
        [record_id(3)],
    ]


def test_without_the_merging_knob_each_record_has_its_own_event() -> None:
    """Some orgs' events are never merged; a client must live with either."""
    bus = make_bus(merge_equal_changes=False)
    bus.on_commit(commit(deleted(1), deleted(2)))
    assert len(headers(bus)) == 2


def test_changes_with_different_enrichment_are_not_merged() -> None:
    """A merged event could carry the enriched field of one record only."""
    bus = make_bus(org(enriched=("Key__c",)))
    keys = [{"Key__c": "K1"}, {"Key__c": "K2"}]
    bus.on_commit(commit(*(updated(n, key, {**key, "On_Hand__c": 0}) for n, key in enumerate(keys))))
    assert [record["Key__c"] for record in records(bus, CHANNEL)] == ["K1", "K2"]


@pytest.mark.parametrize(("told", "expected"), [(True, 1), (False, 0)])
def test_a_parent_changed_by_its_roll_up_alone_is_told_by_knob(told: bool, expected: int) -> None:
    """Public material does not say whether the roll-up alone sends the parent's event."""
    bus = make_bus(parent_event_on_rollup=told)
    bus.on_commit(commit(updated(1, {"On_Hand__c": 3}, {"On_Hand__c": 2}, roll_up_only=True)))
    assert len(headers(bus)) == expected


def test_a_transaction_beyond_the_limit_ends_in_one_overflow_event_per_object() -> None:
    """The first changes come as usual, the rest is told by a record id of zeros."""
    bus = make_bus(overflow_changes=3)
    bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(8))))
    found = headers(bus)
    assert [header["changeType"] for header in found] == ["CREATE"] * 3 + ["GAP_OVERFLOW"]
    assert found[-1]["recordIds"] == ["000000000000000AAA"]


def test_an_event_that_would_be_too_large_becomes_a_gap_event() -> None:
    """More than a megabyte of text cannot be sent."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a", Source__c="x" * 1_000_001)))
    assert [header["changeType"] for header in headers(bus)] == ["GAP_CREATE"]


# --- channels


def test_a_selected_entity_is_told_on_its_own_topic_and_on_the_standard_channel() -> None:
    """The same event under the same replay id."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a")))
    own, standard = entries(bus), entries(bus, STANDARD)
    assert [entry.replay for entry in own] == [entry.replay for entry in standard]
    assert [entry.event.uuid for entry in own] == [entry.event.uuid for entry in standard]


def test_an_entity_that_nobody_selected_is_told_nowhere_but_on_custom_channels() -> None:
    """The standard channel is empty until somebody selects entities."""
    bus = make_bus(org(selected=()))
    bus.on_commit(commit(created(1, Name="a")))
    assert (len(records(bus)), len(records(bus, STANDARD)), len(records(bus, CHANNEL))) == (0, 0, 1)


def test_an_entity_can_be_selected_by_knob() -> None:
    """As an administrator does in the setup page."""
    bus = make_bus(org(selected=()), selected_entities="Stock__c")
    bus.on_commit(commit(created(1, Name="a")))
    assert len(records(bus, STANDARD)) == 1


def test_a_channel_of_an_unknown_entity_is_refused_by_name() -> None:
    """The org does not start with half a channel."""
    with pytest.raises(ValueError, match=r"ChangeEvents selects Nothing__c"):
        make_bus(org(selected=(ChannelMember("Nothing__c"),)))


def test_a_filter_keeps_others_out_of_its_channel_only_and_adds_its_field() -> None:
    """Filtered fields are always sent, so that the reader sees why an event is there."""
    bus = make_bus(org(condition="Source__c = 'pos'"))
    both = {"Source__c": "pos", "On_Hand__c": 3}
    bus.on_commit(commit(updated(1, both, {**both, "On_Hand__c": 2})))
    bus.on_commit(commit(updated(2, {"Source__c": "web"}, {"Source__c": "web", "On_Hand__c": 2})))
    (record,) = records(bus, CHANNEL)
    assert record["ChangeEventHeader"]["recordIds"] == [record_id(1)]
    assert record["Source__c"] == "pos"
    assert record["ChangeEventHeader"]["changedFields"] == ["0x0C"]
    assert len(records(bus)) == 2
    assert records(bus)[0]["Source__c"] is None


def test_a_filter_can_ask_for_the_header() -> None:
    """Header fields are reached by their dotted names."""
    bus = make_bus(org(condition="ChangeEventHeader.changeType = 'DELETE'"))
    bus.on_commit(commit(created(1, Name="a"), deleted(2)))
    assert [header["changeType"] for header in headers(bus, CHANNEL)] == ["DELETE"]


def test_a_deleted_record_is_filtered_by_its_last_state_and_enriched_from_it() -> None:
    """A DELETE has no body of its own, but the channel's fields are sent."""
    bus = make_bus(org(condition="Source__c = 'pos'", enriched=("Key__c",)))
    bus.on_commit(commit(deleted(1, Source__c="pos", Key__c="BAG|LON", On_Hand__c=1)))
    (record,) = records(bus, CHANNEL)
    assert names(record) == {"Source__c", "Key__c"}


def test_an_empty_enriched_field_is_left_out() -> None:
    """Enrichment sends fields when they have a value."""
    bus = make_bus(org(enriched=("Key__c",)))
    bus.on_commit(commit(updated(1, {}, {"On_Hand__c": 2})))
    shown = entries(bus, CHANNEL)[0].event.as_json()
    assert "Key__c" not in shown


def test_gap_events_pass_every_filter() -> None:
    """They have nothing to filter by, and what they tell must not be missed."""
    bus = make_bus(org(condition="Source__c = 'pos'"))
    bus.inject_gap("Stock__c", [record_id(1)], "DELETE")
    bus.inject_overflow("Stock__c")
    assert [header["changeType"] for header in headers(bus, CHANNEL)] == ["GAP_DELETE", "GAP_OVERFLOW"]


# --- schema


def test_events_written_before_a_field_was_added_keep_their_schema() -> None:
    """Each event names its own schema, and the old one can still be asked for."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a")))
    bus.replace_schema(org(more_fields=(field_of("Colour__c"), field_of("Shade__c", FieldType.PICKLIST))))
    bus.on_commit(commit(created(2, Name="b", Colour__c="red")))
    old, new = (entry.event.codec for entry in entries(bus))
    assert old.schema_id != new.schema_id
    assert bus.codec(old.schema_id) is old
    assert bus.current_codec(DIRECT) is new
    assert [record.get("Colour__c") for record in records(bus)] == [None, "red"]


def test_the_same_schema_has_the_same_id_again() -> None:
    """The id is a fingerprint, so a restart of the org changes nothing."""
    first, second = (make_bus().current_codec(DIRECT) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.schema_id == second.schema_id


# --- position and window


def test_replay_ids_grow_and_cannot_be_computed() -> None:
    """Ids leave gaps, different ones with different chance."""
    bus = make_bus()
    bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(50))))
    found = [entry.replay for entry in entries(bus)]
    assert found == sorted(found)
    assert len({later - earlier for earlier, later in pairwise(found)}) > 5


def test_events_leave_after_72_hours_of_the_orgs_clock() -> None:
    """What is older is neither replayed from the beginning nor a place to start from."""
    clock = HandClock()
    bus = make_bus(clock=clock)
    bus.on_commit(commit(created(1, Name="old")))
    (old,) = entries(bus)
    clock.advance(hours=71)
    bus.on_commit(commit(created(2, Name="young")))
    bus.subscribe(DIRECT, old.replay).close()
    clock.advance(hours=1, seconds=1)
    assert [record["Name"] for record in records(bus)] == ["young"]
    with pytest.raises(StreamEnded) as refused:
        bus.subscribe(DIRECT, old.replay)
    assert refused.value.code == "subscription.fetch.replayid.corrupted"


def test_an_id_that_was_never_issued_is_refused() -> None:
    """Also one that lies between two real ones."""
    bus = make_bus()
    bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(50))))
    issued = [entry.replay for entry in entries(bus)]
    between = next(number for number in range(issued[0], issued[-1]) if number not in issued)
    for foreign in (between, 0, issued[-1] + 1_000_000):
        with pytest.raises(StreamEnded):
            bus.subscribe(DIRECT, foreign)


def test_after_a_reset_old_ids_mean_nothing_and_old_events_are_gone() -> None:
    """A refreshed instance starts another stream and cuts who listens."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a")))
    (old,) = entries(bus)
    listener = bus.subscribe(DIRECT)
    bus.reset_stream()
    with pytest.raises(StreamEnded):
        listener.take(1)
    with pytest.raises(StreamEnded):
        bus.subscribe(DIRECT, old.replay)
    assert records(bus) == []


# --- allowance


def test_deliveries_count_once_per_subscriber_and_come_back_after_24_hours() -> None:
    """Two subscribers of the same ten events spend twenty."""
    clock = HandClock()
    bus = make_bus(clock=clock, delivery_allowance=25)
    bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(10))))
    assert (len(entries(bus)), len(entries(bus)), bus.allowance.used()) == (10, 10, 20)
    third = bus.subscribe(DIRECT, EARLIEST)
    assert len(third.take(100)) == 5
    with pytest.raises(StreamEnded) as cut:
        third.take(100)
    assert cut.value.code == "subscription.limit.exceeded"
    with pytest.raises(StreamEnded):
        bus.subscribe(DIRECT)
    clock.advance(hours=24, minutes=1)
    assert len(entries(bus)) == 10


def test_the_allowance_can_be_spent_and_refilled_by_hand() -> None:
    """The control port's two switches."""
    bus = make_bus()
    bus.allowance.use_up()
    with pytest.raises(StreamEnded):
        bus.subscribe(DIRECT)
    bus.allowance.refill()
    bus.subscribe(DIRECT)


# --- what can go wrong


def test_a_duplicate_has_the_same_uuid_and_another_replay_id() -> None:
    """At-least-once delivery, as documented."""
    bus = make_bus()
    bus.fates.order([Fate.DUPLICATE])
    bus.on_commit(commit(created(1, Name="a")))
    bus.duplicate_last(DIRECT)
    found = entries(bus)
    assert len({entry.event.uuid for entry in found}) == 1
    assert len({entry.replay for entry in found}) == 3


def test_an_event_can_be_lost_or_replaced_by_a_gap() -> None:
    """Ordered fates meet the next events, one each."""
    bus = make_bus()
    bus.fates.order([Fate.LOST, Fate.GAP, None])
    bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(3))))
    found = headers(bus)
    assert [header["changeType"] for header in found] == ["GAP_CREATE", "CREATE"]
    assert found[0]["recordIds"] == [record_id(1)]
    assert found[0]["sequenceNumber"] == 1


def test_fates_by_chance_are_the_same_with_the_same_seed() -> None:
    """A failing run can be repeated."""

    def run() -> list[str]:
        bus = make_bus()
        bus.fates.gap_rate = bus.fates.lost_rate = bus.fates.duplicate_rate = 0.2
        bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(100))))
        return [header["changeType"] for header in headers(bus)]

    assert run() == run()
    assert run().count("GAP_CREATE") > 5


def test_fates_of_a_seed_of_their_own_do_not_depend_on_what_happened_before() -> None:
    """The same seed begins the same row of fates again; another seed gives another."""
    bus = make_bus()
    bus.fates.set("gap_rate", 0.3)

    def row(seed: int) -> list[str]:
        bus.fates.seed(seed)
        before = len(headers(bus))
        bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(40))))
        return [header["changeType"] for header in headers(bus)[before:]]

    assert row(1) == row(1)
    assert row(1) != row(2)


def test_a_rate_beyond_one_or_an_unknown_fate_is_refused() -> None:
    """Before anything is changed."""
    bus = make_bus()
    for name, value in (("gap_rate", 2), ("gap_rate", -0.1), ("colour_rate", 0.1), ("struck", 1)):
        with pytest.raises(ValueError, match=r"between 0 and 1|fates have"):
            bus.fates.set(name, value)
    assert bus.fates.gap_rate == 0.0


def test_held_commits_come_late_and_later_ones_overtake_them() -> None:
    """The stream's own order still grows: a late event is late in replay ids, too."""
    bus = make_bus()
    bus.hold(1)
    for number in (1, 2):
        bus.on_commit(commit(created(number, Name=f"n{number}")))
    assert bus.release() == 1
    assert [header["recordIds"] for header in headers(bus)] == [[record_id(2)], [record_id(1)]]


def test_held_commits_can_be_released_out_of_order() -> None:
    """Everything arrives once, in an order that is not the commits'."""
    bus = make_bus()
    bus.hold()
    for number in range(20):
        bus.on_commit(commit(created(number, Name=f"n{number}")))
    assert records(bus) == []
    assert bus.release(shuffled=True) == 20
    ids = [header["recordIds"][0] for header in headers(bus)]
    assert sorted(ids) == [record_id(number) for number in range(20)]
    assert ids != sorted(ids)


async def test_delayed_events_keep_the_order_of_their_commits() -> None:
    """Jitter moves the time, never the order."""
    bus = make_bus(event_delay_seconds=0.001, event_delay_jitter_seconds=0.02)
    for number in range(30):
        bus.on_commit(commit(created(number, Name=f"n{number}")))
    assert records(bus) == []
    await until(lambda: len(records(bus)) == 30)
    assert [header["recordIds"][0] for header in headers(bus)] == [record_id(n) for n in range(30)]


def test_a_forbidden_topic_ends_its_subscriptions_and_takes_no_new_ones() -> None:
    """Until the permission is given back."""
    bus = make_bus()
    listener = bus.subscribe(DIRECT)
    bus.forbid(DIRECT)
    with pytest.raises(StreamEnded) as ended:
        listener.take(1)
    assert ended.value.code == "subscription.topic.cannot.subscribe"
    with pytest.raises(StreamEnded):
        bus.subscribe(DIRECT)
    bus.allow(DIRECT)
    bus.subscribe(DIRECT)


def test_a_platform_event_says_who_made_it_and_when() -> None:
    """CreatedDate and CreatedById are always there."""
    bus = make_bus()
    bus.on_commit(commit(published=(sale(1),)))
    (record,) = records(bus, EVENT_TOPIC)
    assert record == {
        "CreatedDate": 1795421700000,
        "CreatedById": "005000000000001AAA",
        "Sku__c": "BAG-1",
        "Quantity__c": 1.0,
        "OccurredAt__c": None,
    }


def test_the_inside_shows_topics_and_deliveries() -> None:
    """What the control port tells a person."""
    bus = make_bus()
    bus.on_commit(commit(created(1, Name="a")))
    subscription = bus.subscribe(DIRECT, EARLIEST, subscriber="somebody")
    subscription.take(10)
    inside = bus.inside()
    assert inside["topics"][DIRECT] == {"events": 1, "subscribers": 1}
    assert inside["deliveries"]["by_subscriber"] == {"somebody": 1}


# --- over a restart


def test_a_bus_that_is_started_again_goes_on_with_its_stream() -> None:
    """Events, positions, schemas and deliveries are those of before, and new ids follow the old ones."""
    clock = HandClock()
    old = make_bus(org(more_fields=(field_of("Colour__c"),)), clock=clock)
    first = created(1, Name="a", Colour__c="red", Counted__c="2026-11-20")
    old.on_commit(commit(first, published=(sale(1),)))
    old.on_commit(commit(updated(2, {}, {"On_Hand__c": 2})))
    new = make_bus(clock=clock)  # the field was deleted meanwhile
    load_bus(new, json.loads(json.dumps(dump_bus(old))))
    for topic in (DIRECT, CHANNEL, STANDARD, EVENT_TOPIC):
        before, after = entries(old, topic), entries(new, topic)
        assert [(e.replay, e.event.uuid, e.event.payload) for e in after] == [
            (e.replay, e.event.uuid, e.event.payload) for e in before
        ]
        assert [e.event.as_json() for e in after] == [e.event.as_json() for e in before]
    new.on_commit(commit(created(3, Name="c")))
    last = entries(old)[-1].replay
    (younger,) = new.subscribe(DIRECT, last).take(10)
    assert younger.replay > last
    assert younger.event.codec.schema_id != entries(new)[0].event.codec.schema_id
    assert old.allowance.used() > 0


def test_deliveries_of_the_last_day_are_remembered_over_a_restart() -> None:
    """A restart gives no new allowance."""
    old = make_bus(delivery_allowance=1)
    old.on_commit(commit(created(1, Name="a")))
    entries(old)
    new = make_bus(delivery_allowance=1)
    load_bus(new, dump_bus(old))
    with pytest.raises(StreamEnded):
        new.subscribe(DIRECT)
