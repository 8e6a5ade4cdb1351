"""The event stream against the simulated org, over each transport: real sockets, a process of its own.

What holds here holds on both: what is told, from where it goes on, and by which name a stream ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.salesforce.kit import WallClock, bundle, movement, request
from tests.salesforce.listening import (
    PATIENCE_SECONDS,
    STOCK,
    TILL,
    Listener,
    knob,
    listening,
    live_stream,
    new_level,
    off_loop,
    publish,
    subscribers,
)
from tests.sandbox import OrgSandbox

from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.ports import EVERYTHING, CursorRefused, Posting, Refused, TryLater, since
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg


@pytest.fixture(params=["pubsub", "cometd"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_movement_entered_in_the_org_wakes_its_level(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The level's id comes with the event, so that it can be read at once."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1, kind="Sale")
        await listener.heard()
    assert listener.levels == {record}
    assert not listener.movements
    assert {level.on_hand for level in await org.read_levels(levels=listener.levels)} == {9}


async def test_our_own_movements_do_not_come_back(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """Deliveries are scarce; what we entered we have read back already."""
    key, record = await off_loop(new_level, sandbox, sku)
    level = LevelKey.parse(key)
    async with live_stream(org) as listener:
        await org.enter(request(bundle(1, movement(f"{sku}:0", level, on_hand=-1))), {level: record})
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
    assert listener.events == 1


async def test_a_stream_goes_on_after_its_cursor(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """What happened while nobody listened is told; what was told before is not told again."""
    key, record = await off_loop(new_level, sandbox, f"{sku}A")
    other_key, other = await off_loop(new_level, sandbox, f"{sku}B")
    async with live_stream(org) as first:
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
    async with live_stream(org) as listener:
        for start in range(0, 330, 110):
            part = {"records": rows[start : start + 110]}
            await off_loop(sandbox.control, "POST", "/records/create", part)
        await listener.until(lambda _: listener.events >= 330)
    assert listener.events == 330
    assert listener.levels == {record}


async def test_a_till_event_becomes_a_posting(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """A till that writes no ledger rows tells us, and a malformed event does not hide a good one."""
    fields = {"Sku__c": sku, "LocationCode__c": "DUBAI", "OccurredAt__c": "2026-11-23T08:15:30.000Z"}
    async with live_stream(org, TILL) as listener:
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
    assert all(words in poison.reason for words in (f"{sku}/0", "Kind__c is 'Gift'"))


async def test_a_gap_event_names_the_movement_to_look_up(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The event could not be built, but the record can be read."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.bus, "fates", next=["gap"])
        row = await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
    assert listener.movements == {row}
    (level,) = await org.read_levels(movements=listener.movements)
    assert (level.record_id, level.on_hand) == (record, 9)


async def test_a_converted_field_is_a_hole_in_time(org: SalesforceOrg, sandbox: OrgSandbox) -> None:
    """An admin changed a field's type: one update of all records, of which none is named."""
    async with live_stream(org) as listener:
        await off_loop(sandbox.bus, "convert_field", entity="StockMovement__c")
        await listener.heard()
    (hole,) = [batch.hole_since for batch in listener.batches if batch.hole_since]
    assert hole < datetime.now(UTC)
    assert not listener.levels | listener.movements


async def test_a_text_sent_as_a_difference_is_no_poison(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A long note is edited: the event has a piece of it, and says that no number changed."""
    key, _ = await off_loop(new_level, sandbox, sku)
    lines = [f"line {number} {'-' * 30}" for number in range(50)]
    row = await off_loop(sandbox.move, key, on_hand=-1)

    def edit(text: list[str]) -> None:
        change = {"Id": row, "Folded__c": "\n".join(text)}
        assert sandbox.control("POST", "/records/update", {"records": [change]})[0]["success"]

    await off_loop(edit, lines)
    async with live_stream(org) as listener:
        await off_loop(edit, [*lines[:9], "another", *lines[10:]])
        await listener.heard()
    assert (listener.events, listener.levels | listener.movements) == (1, set())
    assert not [each for batch in listener.batches for each in batch.poison]


async def test_an_overflow_is_a_hole_in_time(org: SalesforceOrg, sandbox: OrgSandbox) -> None:
    """Nobody tells which records; everything that moved lately is read again."""
    async with live_stream(org) as listener:
        await off_loop(sandbox.bus, "overflow", entity="StockMovement__c")
        await listener.heard()
    (hole,) = [batch.hole_since for batch in listener.batches if batch.hole_since]
    assert hole < datetime.now(UTC)


async def test_everything_that_the_stream_keeps_may_be_asked_for(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A posting cannot be read anywhere else, so a lost bookmark starts at the oldest event."""
    key, record = await off_loop(new_level, sandbox, sku)
    await off_loop(sandbox.move, key, on_hand=-1)
    async with listening(org, cursor=EVERYTHING) as listener:
        await listener.until(lambda _: record in listener.levels)
    assert all(batch.cursor for batch in listener.batches)


async def test_an_open_stream_that_says_nothing_is_given_up(settings: OrgConfig, sandbox: OrgSandbox) -> None:
    """Dead but open is the worst way to be dead."""
    ours = SalesforceOrg(dataclasses.replace(settings, silence_seconds=2.0), WallClock())
    try:
        async with live_stream(ours) as listener:
            await off_loop(sandbox.bus, "silence")
            error = await listener.end()
    finally:
        await off_loop(sandbox.bus, "speak")
        await ours.close()
    assert type(error) is TryLater
    assert "silent" in str(error)


async def heard_once(org: SalesforceOrg, sandbox: OrgSandbox, key: str) -> bytes:
    """The cursor after an event that was heard, not that of joining only."""
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
    return listener.batches[-1].cursor


@pytest.mark.parametrize("moved_before", [True, False])
async def test_a_token_that_ends_in_mid_stream_is_renewed_unseen(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, moved_before: bool
) -> None:
    """Sessions end every few hours; the listener hears only events, and each of them."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        if moved_before:
            await off_loop(sandbox.move, key, on_hand=-1)
            await listener.heard()
        await off_loop(sandbox.control, "POST", "/sessions/end")
        seen = len(listener.batches)
        await listener.until(lambda batches: len(batches) > seen)
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.until(lambda _: listener.events == 1 + moved_before)
    assert listener.levels == {record}


async def test_another_life_of_ours_goes_on_after_the_cursor_of_the_last(
    org: SalesforceOrg, settings: OrgConfig, sandbox: OrgSandbox, sku: str
) -> None:
    """Restarted, with nothing but the bookmark: what happened between is told, once."""
    key, _ = await off_loop(new_level, sandbox, f"{sku}A")
    other, record = await off_loop(new_level, sandbox, f"{sku}B")
    cursor = await heard_once(org, sandbox, key)
    for _ in range(3):
        await off_loop(sandbox.move, other, on_hand=-1)
    again = SalesforceOrg(settings, WallClock())
    async with listening(again, cursor=cursor) as listener:
        await listener.until(lambda _: listener.events >= 3)
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.until(lambda _: len(listener.levels) == 2)
    await again.close()
    assert (listener.events, record in listener.levels) == (4, True)


async def test_an_event_that_comes_twice_names_its_level_twice(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Delivery is at least once; a wake-up is read again, and the second time nothing is new."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.bus, "fates", next=["duplicate"])
        await off_loop(sandbox.move, key, on_hand=-1)
        await off_loop(sandbox.bus, "duplicate_last", topic=STOCK)
        await listener.until(lambda _: listener.events == 3)
    assert listener.levels == {record}


async def test_a_till_event_that_comes_twice_is_the_same_posting(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Its source id is the receipt's, however often it is delivered: so it is entered once."""
    sale: dict[str, Any] = {"Sku__c": sku, "LocationCode__c": "DUBAI", "SourceId__c": f"{sku}/1"}
    sale |= {"Kind__c": "Sale", "Quantity__c": -1, "OccurredAt__c": "2026-11-23T08:15:30.000Z"}
    async with live_stream(org, TILL) as listener:
        await publish(org, sale)
        await off_loop(sandbox.bus, "duplicate_last", topic=TILL)
        await listener.until(lambda _: listener.events == 2)
    one, two = [each for batch in listener.batches for each in batch.postings]
    assert one == two


async def test_deleted_movements_name_their_levels_also_when_told_as_one(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A person deletes rows of the ledger, then takes them out of the bin again: read anew each time."""
    levels = [await off_loop(new_level, sandbox, f"{sku}{letter}") for letter in "AB"]
    rows = [await off_loop(sandbox.move, key, on_hand=-1) for key, _ in levels for _ in range(2)]
    records = {record for _, record in levels}
    for verb, left in (("delete", {10}), ("undelete", {8})):
        async with live_stream(org) as listener:
            await off_loop(sandbox.records, verb, *rows)
            await listener.until(
                lambda batches: records <= {each for batch in batches for each in batch.levels}
            )
        read = await org.read_levels(levels=listener.levels, movements=listener.movements)
        assert ({level.on_hand for level in read}, len(read)) == (left, 2)


async def test_a_reader_slower_than_the_org_is_patient_hears_each_event_once(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Events are not read ahead without end: the org waits, or forgets us, and we go on where we stood."""
    key, record = await off_loop(new_level, sandbox, sku)
    seen: set[str] = set()
    count = 0
    async with (
        knob(sandbox, "cometd_max_interval_seconds", 0.5, 40),
        aclosing(org.events(STOCK, None)) as batches,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        last = (await anext(batches)).cursor
        for _ in range(12):
            await off_loop(sandbox.move, key, on_hand=1)
            await asyncio.sleep(0.05)  # polls of their own, more than are read ahead
        await asyncio.sleep(1.5)  # the reader is busy
        while count < 12:
            batch = await anext(batches)
            seen |= batch.levels
            count, last = count + batch.events, batch.cursor
    assert (count, seen) == (12, {record})
    async with listening(org, cursor=last) as after:
        await off_loop(sandbox.move, key, on_hand=1)
        await after.heard()
    assert after.events == 1


@pytest.mark.parametrize(
    ("habit", "value", "default"),
    [
        ("merge_equal_changes", False, True),
        ("parent_event_on_rollup", False, True),
        ("formula_fields_in_events", False, True),
        ("roll_up_touches_last_modified", False, True),
        ("null_matches_not_equal", False, True),
        ("first_answer_is_keepalive", True, False),
        ("batch_size", 1, 100),
        ("replay_id_bytes", 10, 8),
        ("recheck_token", False, True),
        ("event_delay_seconds", 0.2, 0.0),
        ("selected_entities", "StockLevel__c", ""),
    ],
)
async def test_whatever_an_orgs_habits_each_change_is_heard_and_the_stream_goes_on(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, habit: str, value: Any, default: Any
) -> None:
    """What the documents leave open may be either way: entered, deleted, away for a while, entered again."""
    key, record = await off_loop(new_level, sandbox, f"{sku}A")
    other, second = await off_loop(new_level, sandbox, f"{sku}B")
    async with knob(sandbox, habit, value, default):
        async with live_stream(org) as listener:
            rows = [await off_loop(sandbox.move, key, on_hand=-1) for _ in range(3)]
            await listener.until(lambda _: listener.events >= 3)
            await off_loop(sandbox.records, "delete", *rows[:2])
            await listener.until(lambda _: rows[1] in listener.movements or listener.events >= 5)
        assert listener.levels == {record}
        await off_loop(sandbox.move, other, on_hand=-1)
        async with listening(org, cursor=listener.batches[-1].cursor) as again:
            await again.heard()
        assert (again.levels, again.events) == ({second}, 1)
    read = await org.read_levels(levels=[record, second])
    assert {level.key.sku: level.on_hand for level in read} == {f"{sku}A": 9, f"{sku}B": 9}


@pytest.mark.parametrize("joined", [True, False])
async def test_postings_are_told_from_their_beginning_though_the_stream_never_told_a_place(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, joined: bool
) -> None:
    """Joined or only about to be, then gone: what a till told meanwhile is told. Garbage hides nothing."""
    sale: dict[str, Any] = {"Sku__c": sku, "LocationCode__c": "DUBAI", "SourceId__c": f"{sku}/1"}
    sale |= {"Kind__c": "Sale", "Quantity__c": -2, "OccurredAt__c": "2026-11-23T08:15:30.000Z"}
    cursor = since(datetime.now(UTC))
    if joined:
        async with live_stream(org, TILL, cursor) as first:
            pass
        cursor = first.batches[-1].cursor
    await publish(org, sale | {"Kind__c": "Gift"})
    await publish(org, sale)
    async with listening(org, TILL, cursor) as second:
        await second.until(lambda _: postings(second, sku))
    (posting,) = postings(second, sku)
    assert posting.occurred_at == datetime(2026, 11, 23, 8, 15, 30, tzinfo=UTC)
    assert any("Gift" in each.reason for batch in second.batches for each in batch.poison)


async def test_what_a_till_told_before_the_beginning_is_not_ours(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """It stands in the first count already. Interrupted among the old ones, we still leave the rest out."""
    sale: dict[str, Any] = {"Sku__c": sku, "LocationCode__c": "DUBAI", "Kind__c": "Sale", "Quantity__c": -1}
    for number in range(3):
        await publish(org, sale | {"SourceId__c": f"{sku}/old{number}"})
    beginning = since(datetime.now(UTC) + timedelta(minutes=30))
    async with knob(sandbox, "batch_size", 1, 100):
        async with listening(org, TILL, beginning) as first:
            await first.until(lambda batches: len(batches) > 1)
        half_an_hour = timedelta(minutes=31).total_seconds()
        await off_loop(sandbox.control, "POST", "/clock", {"seconds": half_an_hour})
        try:
            await publish(org, sale | {"SourceId__c": f"{sku}/new"})
            async with listening(org, TILL, first.batches[0].cursor) as second:
                await second.until(lambda _: postings(second, sku))
        finally:
            await off_loop(sandbox.control, "POST", "/clock", {"seconds": -half_an_hour})
    assert [each.source_id for each in postings(second, sku)] == [f"{sku}/new"]
    assert not postings(first, sku)


def postings(listener: Listener, sku: str) -> list[Posting]:
    return [each for batch in listener.batches for each in batch.postings if each.level.sku == sku]


async def test_an_event_that_comes_late_is_still_told(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Behind those of later commits; no cursor leaves it out."""
    key, record = await off_loop(new_level, sandbox, f"{sku}A")
    other, second = await off_loop(new_level, sandbox, f"{sku}B")
    async with live_stream(org) as listener:
        await off_loop(sandbox.bus, "fates", next=["late"], late_seconds=1)
        await off_loop(sandbox.move, key, on_hand=-1)
        await off_loop(sandbox.move, other, on_hand=-1)
        await listener.until(lambda _: listener.levels == {record, second})


async def test_a_field_that_appears_in_mid_stream_hides_no_event(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """An admin adds a field: the next event has another schema, and both are read."""
    key, record = await off_loop(new_level, sandbox, f"{sku}A")
    other, second = await off_loop(new_level, sandbox, f"{sku}B")
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await off_loop(sandbox.bus, "fates", next=["schema"])
        await off_loop(sandbox.move, other, on_hand=-1)
        await listener.until(lambda _: listener.events == 2)
    assert listener.levels == {record, second}
    assert not [each for batch in listener.batches for each in batch.poison]


@pytest.mark.parametrize(
    "cursor", [b"x", b"\xff" * 8, b"cometd:", b"cometd:99", b"cometd@now", b"since@x:", b"since@1"]
)
async def test_a_cursor_of_another_stream_is_refused(org: SalesforceOrg, cursor: bytes) -> None:
    """Never silently from now on, nor from the beginning; nor is the other transport's taken for ours."""
    async with listening(org, cursor=cursor) as listener:
        assert isinstance(await listener.end(), CursorRefused)


async def test_the_other_transports_bookmark_is_refused(
    org: SalesforceOrg, settings: OrgConfig, sandbox: OrgSandbox, sku: str
) -> None:
    """Who changes the transport pays with one re-read."""
    key, _ = await off_loop(new_level, sandbox, sku)
    cursor = await heard_once(org, sandbox, key)
    there: Any = {"pubsub": "cometd", "cometd": "pubsub"}[settings.transport]
    other = SalesforceOrg(dataclasses.replace(settings, transport=there), WallClock())
    async with listening(other, cursor=cursor) as listener:
        assert isinstance(await listener.end(), CursorRefused)
    await other.close()


async def test_a_stream_that_was_reset_refuses_the_old_cursor(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A refreshed sandbox does not know where we were, whether we listened or were away."""
    key, _ = await off_loop(new_level, sandbox, sku)
    cursor = await heard_once(org, sandbox, key)
    await off_loop(sandbox.bus, "reset_stream")
    async with listening(org, cursor=cursor) as listener:
        assert isinstance(await listener.end(), CursorRefused)


async def test_a_good_bookmark_that_the_org_refuses_is_told_as_refused(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Whatever its reasons: what follows is for the reader to decide, and never a silent start from now."""
    key, _ = await off_loop(new_level, sandbox, sku)
    cursor = await heard_once(org, sandbox, key)
    await off_loop(sandbox.bus, "refuse_replay")
    async with listening(org, cursor=cursor) as listener:
        assert isinstance(await listener.end(), CursorRefused)
    assert not listener.events


async def test_a_bookmark_older_than_72_hours_is_refused(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The org keeps events for three days; who was away longer must read the records."""
    key, _ = await off_loop(new_level, sandbox, sku)
    cursor = await heard_once(org, sandbox, key)
    three_days = timedelta(hours=72, minutes=1).total_seconds()
    await off_loop(sandbox.control, "POST", "/clock", {"seconds": three_days})
    try:
        async with listening(org, cursor=cursor) as listener:
            assert isinstance(await listener.end(), CursorRefused)
    finally:
        await off_loop(sandbox.control, "POST", "/clock", {"seconds": -three_days})


async def test_a_topic_that_we_may_not_hear_is_refused(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Also when the permission is taken away in mid-stream; the check tells it too."""
    key, _ = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
        try:
            await off_loop(sandbox.bus, "forbid", topic=STOCK)
            error = await listener.end()
            findings = await org.check()
        finally:
            await off_loop(sandbox.bus, "allow", topic=STOCK)
    assert isinstance(error, Refused)
    assert "Sfsync_Integration" in error.advice
    assert any(STOCK in each.what and "Sfsync_Integration" in each.remedy for each in findings)


async def test_a_used_up_allowance_is_try_later(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """It is counted over 24 hours: not asked again at once; the events wait meanwhile."""
    key, record = await off_loop(new_level, sandbox, sku)
    cursor = await heard_once(org, sandbox, key)
    async with live_stream(org, cursor=cursor) as listener:
        try:
            await off_loop(sandbox.bus, "use_up_allowance")
            await off_loop(sandbox.move, key, on_hand=-1)
            error = await listener.end()
        finally:
            await off_loop(sandbox.bus, "refill_allowance")
    assert type(error) is TryLater
    assert error.after_seconds
    async with listening(org, cursor=cursor) as again:
        await again.heard()
    assert (again.events, again.levels) == (1, {record})


async def test_a_stream_that_breaks_is_try_later_and_loses_nothing(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The cursor is good; the way was not. The event of that very moment is told after the break, once."""
    key, record = await off_loop(new_level, sandbox, sku)
    cursor = await heard_once(org, sandbox, key)
    async with live_stream(org, cursor=cursor) as listener:
        await off_loop(sandbox.bus, "fates", next=["cut"])
        await off_loop(sandbox.move, key, on_hand=-1)
        assert type(await listener.end()) is TryLater
    heard = listener.events
    last = listener.batches[-1].cursor
    async with listening(org, cursor=last) as again:
        await off_loop(sandbox.move, key, on_hand=-1)
        await again.until(lambda _: heard + again.events >= 2)
    assert (heard + again.events, listener.levels | again.levels) == (2, {record})


async def test_a_listener_that_leaves_takes_its_subscription_along(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """Each subscriber costs deliveries, so none is left behind."""
    await off_loop(sandbox.bus, "drop_cometd_sessions")  # those of tests that broke the way
    async with live_stream(org):
        assert await subscribers(sandbox) == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await subscribers(sandbox):  # noqa: ASYNC110 — another process's count
            await asyncio.sleep(0.02)


def place_of(cursor: bytes) -> int:
    """The replay id that a bookmark ends with, of either transport."""
    place = cursor.split(b":", 3)[3]
    return (
        int(place.removeprefix(b"cometd:"))
        if place.startswith(b"cometd")
        else int.from_bytes(place[:8], "big")
    )


@pytest.mark.parametrize("listens", [True, False])
async def test_a_stream_that_gives_old_numbers_to_other_events_is_noticed(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, listens: bool
) -> None:
    """After a migration our bookmark's number stands for a sale not heard yet: it is not passed over."""

    def sale(number: int) -> dict[str, Any]:
        told = {"Sku__c": sku, "LocationCode__c": "DUBAI", "Kind__c": "Sale", "Quantity__c": -1}
        return {**told, "SourceId__c": f"{sku}/{number}"}

    async with live_stream(org, TILL) as listener:
        await publish(org, sale(0))
        await listener.heard()
        await publish(org, sale(1))
        await listener.until(lambda _: listener.events == 2)
        cursor = listener.batches[-1].cursor
        if listens:
            await _migrated(org, sandbox, place_of(cursor), sale)
            assert isinstance(await listener.end(), CursorRefused | TryLater)
    if not listens:
        await _migrated(org, sandbox, place_of(cursor), sale)
    async with listening(org, TILL, cursor) as again:
        error = await again.end()
    assert (type(error), "another stream" in str(error), again.events) == (CursorRefused, True, 0)


async def _migrated(
    org: SalesforceOrg, sandbox: OrgSandbox, number: int, sale: Callable[[int], dict[str, Any]]
) -> None:
    await off_loop(sandbox.bus, "reset_stream", next_id=number)
    for each in (2, 3):
        await publish(org, sale(each))


async def test_the_event_that_proves_a_bookmark_is_told_once(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """It comes again at each joining, and is no news; what comes after it is."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.until(lambda _: listener.events == 2)
    cursor = listener.batches[-1].cursor
    await off_loop(sandbox.move, key, on_hand=-1)
    async with listening(org, cursor=cursor) as again:
        await again.heard()
    assert (again.events, again.levels) == (1, {record})
    assert place_of(again.batches[-1].cursor) > place_of(cursor)
