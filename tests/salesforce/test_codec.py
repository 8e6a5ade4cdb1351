"""What an event's bytes mean: change events, gaps, till events, and bytes that mean nothing."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import pytest

from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.domain.transfers import Transfer
from sfsync.ports import Poison, Posting
from sfsync.salesforce import avro, codec
from sfsync.salesforce.avro import RawEvent
from sfsync.salesforce.codec import Event, Findings, Garbled

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
COMMIT = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LEVEL, OTHER = "a00000000000001AAA", "a00000000000002AAA"
MOVED, MOVED_TOO = "a01000000000001AAA", "a01000000000002AAA"
KINDS = ["CREATE", "UPDATE", "DELETE", "UNDELETE"]


def nullable(kind: Any) -> list[Any]:
    return ["null", kind]


HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {
            "name": "changeType",
            "type": {
                "type": "enum",
                "name": "ChangeType",
                "symbols": [*KINDS, *(f"GAP_{kind}" for kind in KINDS), "GAP_OVERFLOW"],
            },
        },
        {"name": "commitTimestamp", "type": "long"},
        {"name": "changedFields", "type": {"type": "array", "items": "string"}},
    ],
}
CHANGE = avro.parse_schema(
    json.dumps(
        {
            "type": "record",
            "name": "StockMovement__ChangeEvent",
            "fields": [
                {"name": "ChangeEventHeader", "type": HEADER},
                {"name": "Name", "type": nullable("string"), "default": None},
                {"name": "StockLevel__c", "type": nullable("string"), "default": None},
                {"name": "OnHandDelta__c", "type": nullable("double"), "default": None},
                {"name": "Reference__c", "type": nullable("string"), "default": None},
            ],
        }
    )
)
TILL = avro.parse_schema(
    json.dumps(
        {
            "type": "record",
            "name": "StockEvent__e",
            "fields": [
                {"name": "CreatedDate", "type": "long"},
                {"name": "SourceId__c", "type": nullable("string"), "default": None},
                {"name": "Kind__c", "type": nullable("string"), "default": None},
                {"name": "Sku__c", "type": nullable("string"), "default": None},
                {"name": "LocationCode__c", "type": nullable("string"), "default": None},
                {"name": "Unit__c", "type": nullable("string"), "default": None},
                {"name": "Quantity__c", "type": nullable("double"), "default": None},
                {"name": "Reference__c", "type": nullable("string"), "default": None},
                {"name": "OccurredAt__c", "type": nullable("long"), "default": None},
            ],
        }
    )
)
SALE = {
    "CreatedDate": int(NOW.timestamp() * 1000),
    "SourceId__c": "till-7/4711",
    "Kind__c": "Sale",
    "Sku__c": "BAG-1",
    "LocationCode__c": "KNIGHTSBRIDGE",
    "Quantity__c": -1.0,
    "Reference__c": "R-4711",
    "OccurredAt__c": int(COMMIT.timestamp() * 1000),
}


def event(schema: avro.Schema, record: Mapping[str, Any]) -> RawEvent:
    payload = io.BytesIO()
    fastavro.schemaless_writer(payload, schema.parsed, record)
    return RawEvent("uuid-1", "schema-1", payload.getvalue())


def change(
    kind: str, *ids: str, entity: str = "StockMovement__c", changed: tuple[str, ...] = (), **body: Any
) -> RawEvent:
    header = {
        "entityName": entity,
        "recordIds": ids or (MOVED,),
        "changeType": kind,
        "commitTimestamp": int(COMMIT.timestamp() * 1000),
        "changedFields": changed,
    }
    return event(CHANGE, {"ChangeEventHeader": header, **body})


def findings(raw: RawEvent, schema: avro.Schema = CHANGE) -> Findings:
    found = Findings()
    codec.note(found, avro.event(raw, schema), NOW)
    return found


def test_an_event_tells_when_the_org_committed_it() -> None:
    """How far we are behind is the time since then; what cannot be read does not tell."""
    assert codec.committed_at(avro.event(change("CREATE"), CHANGE)) == COMMIT
    assert codec.committed_at(avro.event(event(TILL, SALE), TILL)) == NOW
    assert codec.committed_at(Garbled("uuid-1", "bad", "00", change=True)) is None
    assert codec.committed_at(Event("uuid-1", {"ChangeEventHeader": {"commitTimestamp": "soon"}})) is None
    assert codec.committed_at(Event("uuid-1", {"ChangeEventHeader": 7})) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_movement_wakes_the_level_it_names(kind: str) -> None:
    """A new row carries its level, any other by enrichment."""
    assert findings(change(kind, StockLevel__c=LEVEL)) == Findings(levels={LEVEL})


@pytest.mark.parametrize("kind", KINDS)
def test_a_movement_without_its_level_is_looked_up_by_its_own_id(kind: str) -> None:
    """Enrichment may have been forgotten."""
    assert findings(change(kind, MOVED, MOVED_TOO)) == Findings(movements={MOVED, MOVED_TOO})


@pytest.mark.parametrize("kind", [f"GAP_{kind}" for kind in KINDS])
def test_a_gap_event_is_looked_up_by_its_ids_and_leaves_a_hole(kind: str) -> None:
    """It carries nothing but ids, a deleted row cannot be looked up, and it may stand for more."""
    looked_up = Findings(movements={MOVED, MOVED_TOO}, hole_since=COMMIT - codec.OVERLAP)
    assert findings(change(kind, MOVED, MOVED_TOO)) == looked_up


def test_a_merged_event_is_looked_up_record_by_record() -> None:
    """The one level that it names need not be that of every record in it."""
    found = findings(change("DELETE", MOVED, MOVED_TOO, StockLevel__c=LEVEL))
    assert found == Findings(levels={LEVEL}, movements={MOVED, MOVED_TOO})


def test_a_level_of_its_own_wakes_itself() -> None:
    """Where levels are on the channel too, their ids are taken as they are."""
    assert findings(change("UPDATE", LEVEL, OTHER, entity="StockLevel__c")) == Findings(levels={LEVEL, OTHER})


def test_another_object_on_the_channel_is_nothing_to_us() -> None:
    """Somebody may add a member to the channel."""
    assert findings(change("CREATE", "001000000000001AAA", entity="Account")) == Findings()


@pytest.mark.parametrize(
    ("kind", "record_id"),
    [("GAP_OVERFLOW", "000000000000000AAA"), ("GAP_UPDATE", "a01*"), ("UPDATE", "000000000000000AAA")],
)
def test_a_change_that_names_no_record_is_a_hole(kind: str, record_id: str) -> None:
    """Everything that moved since a while before its commit is read again."""
    assert findings(change(kind, record_id)) == Findings(hole_since=COMMIT - codec.OVERLAP)


def test_the_earliest_hole_of_several_counts() -> None:
    """One re-read closes all of them."""
    found = Findings()
    codec.note(found, avro.event(change("GAP_OVERFLOW"), CHANGE), NOW)
    found.hole(COMMIT + timedelta(hours=1))
    assert found.hole_since == COMMIT - codec.OVERLAP


@pytest.mark.parametrize(
    ("bitmaps", "names"),
    [
        ([], set()),
        (["0x0C"], {"StockLevel__c", "OnHandDelta__c"}),
        (["0x0c", "0x10"], {"StockLevel__c", "OnHandDelta__c", "Reference__c"}),
        (["0x1", "4-0x3"], {"ChangeEventHeader", "Reference__c"}),
        (["0x20"], None),
        (["9-0x1"], None),
        (["OnHandDelta__c"], None),
        ([""], None),
    ],
)
def test_bitmaps_name_top_level_fields(bitmaps: list[str], names: set[str] | None) -> None:
    """Lowest bit first; what cannot be told is not guessed."""
    assert avro.changed_fields(CHANGE, bitmaps) == names


@pytest.mark.parametrize(
    ("changed", "wakes"),
    [(("0x10",), False), (("0x18",), True), (("0x08",), True), ((), True), (("nonsense",), True)],
)
def test_an_update_that_leaves_the_numbers_alone_wakes_nobody(changed: tuple[str, ...], wakes: bool) -> None:
    """A corrected reference is no stock; an update that cannot be told apart is taken seriously."""
    found = findings(change("UPDATE", changed=changed, StockLevel__c=LEVEL))
    assert found == (Findings(levels={LEVEL}) if wakes else Findings())


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, b"\x02"])
def test_a_change_that_cannot_be_read_is_set_aside_and_leaves_a_hole(payload: bytes) -> None:
    """Whatever it was, it is no older than the stream remembers; the events after it go on."""
    found = findings(RawEvent("uuid-9", "schema-1", payload))
    assert found.hole_since == NOW - codec.RETENTION
    assert [each.key for each in found.poison] == ["uuid-9"]
    assert not found.levels


@pytest.mark.parametrize(
    "header",
    ["CREATE", {}, {"entityName": "StockMovement__c", "changeType": "GAP_OVERFLOW", "recordIds": []}],
)
def test_a_change_whose_header_makes_no_sense_is_set_aside_and_leaves_a_hole(header: Any) -> None:
    """Nobody knows which record it was about."""
    found = Findings()
    codec.note(found, Event("uuid-9", {"ChangeEventHeader": header}), NOW)
    assert found.hole_since == NOW - codec.RETENTION
    assert [each.key for each in found.poison] == ["uuid-9"]
    assert "ChangeEventHeader" in found.poison[0].payload


def test_a_till_event_that_cannot_be_read_leaves_no_hole() -> None:
    """It was one posting, and a person has it now."""
    found = findings(RawEvent("uuid-9", "schema-2", b"\xff"), TILL)
    assert found.hole_since is None
    assert "cannot be read" in found.poison[0].reason


def test_a_till_event_becomes_a_posting() -> None:
    """Its own identity, its own time, the signed change."""
    found = findings(event(TILL, SALE), TILL)
    level = LevelKey("BAG-1", "KNIGHTSBRIDGE")
    assert found.postings == [Posting("till-7/4711", MovementKind.SALE, level, -1, "R-4711", COMMIT)]


def test_a_till_event_may_name_a_single_unit_and_no_time() -> None:
    """One-of-one pieces have their own level; without a time the event's own counts."""
    record = SALE | {"Unit__c": "NO-7", "OccurredAt__c": None, "Reference__c": None}
    posted = codec.posting("uuid-1", record, NOW)
    assert isinstance(posted, Posting)
    assert (str(posted.level), posted.occurred_at, posted.reference) == ("BAG-1|KNIGHTSBRIDGE|NO-7", NOW, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SourceId__c": None}, "SourceId__c"),
        ({"SourceId__c": "x" * 181}, "SourceId__c"),
        ({"Kind__c": "Gift"}, "Sale, Return, Receipt, Adjustment"),
        ({"Kind__c": "Order"}, "Kind__c is 'Order'"),
        ({"Kind__c": None}, "Kind__c"),
        ({"Sku__c": None}, "SKU"),
        ({"Sku__c": "BAG|1"}, "'|'"),
        ({"LocationCode__c": " DUBAI"}, "location"),
        ({"Unit__c": " "}, "unit"),
        ({"Quantity__c": None}, "Quantity__c"),
        ({"Quantity__c": 0.0}, "other than 0"),
        ({"Quantity__c": -1.5}, "whole number"),
        ({"Quantity__c": math.nan}, "no number of units"),
        ({"Quantity__c": -math.inf}, "no number of units"),
        ({"Quantity__c": 1.0}, "a Sale lowers on hand"),
        ({"Kind__c": "Return"}, "a Return raises on hand"),
        ({"Kind__c": "Receipt"}, "a Receipt raises on hand"),
        ({"OccurredAt__c": 10**18}, "OccurredAt__c"),
        ({"OccurredAt__c": "yesterday"}, "OccurredAt__c"),
        ({"OccurredAt__c": None, "CreatedDate": None}, "neither OccurredAt__c nor CreatedDate"),
    ],
)
def test_a_till_event_that_makes_no_sense_is_set_aside_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    """A person can read why, and finds the whole event."""
    posted = codec.posting("uuid-1", SALE | changes, NOW)
    assert isinstance(posted, Poison)
    assert reason in posted.reason
    assert posted.key == "uuid-1"  # two bad events of one SourceId are two letters
    assert repr((SALE | changes)["SourceId__c"]) in posted.reason or not (SALE | changes)["SourceId__c"]
    assert "LocationCode__c" in json.loads(posted.payload)


@pytest.mark.parametrize("kind", ["Sale", "TransferSent"])
@pytest.mark.parametrize(
    ("ahead", "heard_after", "published"),
    [
        (timedelta(minutes=4), timedelta(0), NOW),  # no clock is exact
        (timedelta(days=150), timedelta(0), NOW),
        (timedelta(minutes=30), timedelta(hours=3), NOW),  # past by now, but not when it was published
        (timedelta(days=150), timedelta(0), NOW + timedelta(days=1)),  # the org's own clock is ahead too
    ],
)
def test_nothing_has_happened_that_is_still_to_come(
    kind: str, ahead: timedelta, heard_after: timedelta, published: datetime
) -> None:
    """A till whose clock is ahead: the moment its event was published stands for its own."""
    said, heard = NOW + ahead, NOW + heard_after
    times = {"OccurredAt__c": _milliseconds(said), "CreatedDate": _milliseconds(published)}
    units = {"Kind__c": kind, "Quantity__c": -1.0 if kind == "Sale" else 1.0}
    posted = codec.posting("uuid-1", SALE | times | units, heard)
    assert isinstance(posted, Posting | Transfer)
    if ahead < timedelta(minutes=5):
        assert (posted.occurred_at, posted.dated) == (said, None)
    else:
        assert (posted.occurred_at, posted.dated) == (min(published, heard), said)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@pytest.mark.parametrize(
    ("kind", "quantity"), [("Adjustment", -3.0), ("Adjustment", 3.0), ("Return", 1.0), ("Receipt", 40.0)]
)
def test_every_kind_that_a_till_may_tell(kind: str, quantity: float) -> None:
    """An adjustment goes either way."""
    posted = codec.posting("uuid-1", SALE | {"Kind__c": kind, "Quantity__c": quantity}, NOW)
    assert isinstance(posted, Posting)
    assert (posted.kind.value, posted.on_hand_delta) == (kind, quantity)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Kind__c": "TransferSent"}, ("sent", "KNIGHTSBRIDGE", None)),
        ({"Kind__c": "TransferReceived"}, ("received", None, "KNIGHTSBRIDGE")),
        ({"Kind__c": "Transfer", "ToLocationCode__c": "DUBAI"}, ("moved", "KNIGHTSBRIDGE", "DUBAI")),
    ],
)
def test_goods_on_their_way_as_a_till_tells_of_them(
    changes: dict[str, Any], expected: tuple[str, str | None, str | None]
) -> None:
    """The reference is the transfer's number, which both ends share."""
    told = codec.posting("uuid-1", SALE | {"Quantity__c": 3.0} | changes, NOW)
    assert isinstance(told, Transfer)
    assert (told.stage, told.origin, told.target) == expected
    assert (told.event_id, told.number, told.units) == ("till-7/4711", "R-4711", 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Kind__c": "TransferSent", "Quantity__c": -3.0}, "a number above 0"),
        ({"Kind__c": "Transfer"}, "ToLocationCode__c"),
        ({"Kind__c": "Transfer", "ToLocationCode__c": "KNIGHTSBRIDGE"}, "to itself"),
        ({"Kind__c": "TransferReceived", "LocationCode__c": "A|B"}, "separates"),
        ({"Kind__c": "TransferSent", "Quantity__c": 0.5}, "no whole number"),
    ],
)
def test_a_transfer_that_makes_no_sense_is_set_aside(changes: dict[str, Any], reason: str) -> None:
    """With its reason, like every other event."""
    told = codec.posting("uuid-1", SALE | {"Quantity__c": 3.0} | changes, NOW)
    assert isinstance(told, Poison)
    assert reason in told.reason


@pytest.mark.parametrize("text", ["", "no json", "[]", '"string"', '{"type": "record"}', '{"type": "map"}'])
def test_a_schema_that_is_none_is_said_to_be_none(text: str) -> None:
    """One kind of error for whatever GetSchema may answer."""
    with pytest.raises(ValueError, match="not an Avro record schema"):
        avro.parse_schema(text)
