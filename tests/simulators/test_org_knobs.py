"""Every knob of the simulated org changes what somebody outside can see, and nothing else has to be asked.

One table: what is looked at, and what is seen at each setting. A knob that is added without a row fails.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tests.sandbox import OrgSandbox, start_org
from tests.simulators.cometd_kit import BayeuxClient
from tests.simulators.events_kit import Event, RawStream
from tests.simulators.org_kit import LEVEL, MOVEMENT, codes, fresh, movement, token_of
from tests.simulators.wire_kit import CHANNEL, Wire, wired

from sfsync.resources import metadata_folder
from sfsync.simulators.org.proto import pubsub_api_pb2 as pb

LEVELS = "/data/StockLevel__ChangeEvent"
PATIENCE_SECONDS = 0.4  # longer than any timer that is set short here
STAYS = {
    "selected_entities": LEVEL,
    "first_answer_is_keepalive": True,
    "session_seconds": 1e6,
    "event_delay_seconds": 0.0,
}

Look = Callable[[Wire], Awaitable[object]]


@dataclass(frozen=True)
class Knob:
    """What is looked at, what is seen by setting, and what else must be set for it."""

    look: Look
    seen: Mapping[Any, object]
    also: Mapping[str, object] = field(default_factory=dict)


# -- records


async def _level(wire: Wire, on_hand: int = 0) -> str:
    return await asyncio.to_thread(wire.rest.new_level, on_hand)


async def _reserved_of_nothing(wire: Wire) -> object:
    key = await _level(wire)
    return (await asyncio.to_thread(wire.rest.move, key, reserved=1, kind="Cart")).status_code


async def _two_want_one(wire: Wire) -> object:
    key = await _level(wire, 1)
    rows = [movement(key, reserved=1, kind="Cart") for _ in range(2)]
    return codes(await asyncio.to_thread(wire.rest.collection, rows))


async def _roll_up_moves_last_modified(wire: Wire) -> object:
    key = await _level(wire)
    await wire.control("POST", "/clock", {"seconds": 5})
    await wire.move(key)
    stamps = "LastModifiedDate, SystemModstamp"
    [row] = await asyncio.to_thread(wire.rest.find, LEVEL, f"LevelKey__c = '{key}'", stamps)
    return bool(row["LastModifiedDate"] == row["SystemModstamp"])


async def _locked(wire: Wire, seconds: float) -> httpx.Response:
    key = await _level(wire)
    level = await asyncio.to_thread(wire.rest.level, key)
    await wire.control("POST", "/locks", {"id": level["Id"], "seconds": seconds})
    return await asyncio.to_thread(wire.rest.move, key, on_hand=1)


async def _status_of_a_lock(wire: Wire) -> object:
    answer = await _locked(wire, 1.0)
    return answer.json()[0]["errorCode"], answer.status_code


async def _patience_with_a_lock(wire: Wire) -> object:
    return (await _locked(wire, PATIENCE_SECONDS)).status_code


async def _one_bad_row(wire: Wire) -> object:
    key = await _level(wire)
    rows = [movement(key, on_hand=1), movement(key, on_hand=1, Nonsense__c=1)]
    answer = await asyncio.to_thread(
        wire.rest.call, "POST", "/composite/sobjects", {"allOrNone": False, "records": rows}
    )
    if answer.status_code != 200:
        return answer.status_code, answer.json()[0]["errorCode"]
    return codes(answer.json())


async def _all_or_nothing(wire: Wire) -> object:
    """A new level takes the key of one that is deleted in the same request, told before or after it."""
    seen = []
    for deleted_first in (True, False):
        key = await _level(wire)
        old = (await asyncio.to_thread(wire.rest.level, key))["Id"]
        base = f"/services/data/v67.0/sobjects/{LEVEL}"
        parts = [
            {"method": "DELETE", "url": f"{base}/{old}", "referenceId": "gone"},
            {
                "method": "POST",
                "url": base,
                "referenceId": "made",
                "body": {"LevelKey__c": key, "Sku__c": fresh(), "LocationCode__c": "DUBAI"},
            },
        ]
        body = {"allOrNone": True, "compositeRequest": parts if deleted_first else parts[::-1]}
        answer = await asyncio.to_thread(wire.rest.call, "POST", "/composite", body)
        seen.append(all(part["httpStatusCode"] < 300 for part in answer.json()["compositeResponse"]))
    return seen


async def _cancelled_order(wire: Wire) -> object:
    sandbox = wire.sandbox
    product = await asyncio.to_thread(sandbox.create, "Product2", Name=fresh())
    order = await asyncio.to_thread(sandbox.create, "Order", Status="Draft", EffectiveDate="2026-11-23")
    await asyncio.to_thread(sandbox.create, "OrderItem", OrderId=order, Product2Id=product, Quantity=1)
    for status in ("Activated", "Cancelled"):
        change = {"Status": status}
        (
            await asyncio.to_thread(wire.rest.call, "PATCH", f"/sobjects/Order/{order}", change)
        ).raise_for_status()
    [row] = await asyncio.to_thread(wire.rest.find, "Order", f"Id = '{order}'", "StatusCode")
    return row["StatusCode"]


# -- sessions and limits


async def _after(wire: Wire, pauses: Sequence[float]) -> object:
    """The status of a call after each of these pauses of the org's clock, with one token."""
    await asyncio.to_thread(wire.rest.sign_in)
    answer = None
    for seconds in pauses:
        await wire.control("POST", "/clock", {"seconds": seconds})
        answer = await asyncio.to_thread(wire.rest.call, "GET", "/limits")
    assert answer is not None
    return answer.status_code


async def _same_session(wire: Wire) -> object:
    one, other = [await asyncio.to_thread(token_of, wire.rest.http, wire.sandbox.ready) for _ in range(2)]
    return one == other


async def _told_when_refused(wire: Wire) -> object:
    return await asyncio.to_thread(_refused_for_want_of_calls, wire)


def _refused_for_want_of_calls(wire: Wire) -> bool:
    used = wire.sandbox.control("GET", "/calls")["used"]
    wire.sandbox.control("POST", "/knobs", {"daily_api_requests": used})
    answer = wire.rest.call("GET", "/limits")
    wire.sandbox.control("POST", "/knobs", {"daily_api_requests": 100_000})
    assert answer.json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    return "Sforce-Limit-Info" in answer.headers


TOOLING = "/tooling/query?q=SELECT+EventChannel,SelectedEntity+FROM+PlatformEventChannelMember"


async def _asked_for_limits(wire: Wire) -> object:
    answers = [await asyncio.to_thread(wire.rest.call, "GET", path) for path in ("/limits", TOOLING)]
    return tuple(answer.status_code for answer in answers)


async def _channel_of_member(wire: Wire) -> object:
    members = (await asyncio.to_thread(wire.rest.call, "GET", TOOLING)).json()["records"]
    (ours,) = [m["EventChannel"] for m in members if m["SelectedEntity"] == "StockMovement__ChangeEvent"]
    return "name" if ours == CHANNEL.rpartition("/")[2] else "id" if ours.startswith("0YL") else ours


async def _allowed(wire: Wire, what: str) -> object:
    limits = (await asyncio.to_thread(wire.rest.call, "GET", "/limits")).json()
    return limits[what]["Max"]


async def _bulk_at_once(wire: Wire) -> object:
    job = {"operation": "query", "query": f"SELECT Id FROM {LEVEL}"}  # noqa: S608 — a constant
    made = (await asyncio.to_thread(wire.rest.call, "POST", "/jobs/query", job)).raise_for_status().json()
    found = await asyncio.to_thread(wire.rest.call, "GET", f"/jobs/query/{made['id']}")
    return found.json()["state"] == "JobComplete"


# -- events


async def _told_of_products(wire: Wire) -> object:
    """Which objects the standard channel tells of, when a product and a level change."""
    level = (await asyncio.to_thread(wire.rest.level, await _level(wire)))["Id"]
    stream, _ = await wire.listen("/data/ChangeEvents")
    product = {"Name": fresh(), "ProductCode": fresh()}
    (await asyncio.to_thread(wire.rest.call, "POST", "/sobjects/Product2", product)).raise_for_status()
    await asyncio.to_thread(_rename, wire, level)
    return [event.header["entityName"] for event in await _until(wire, stream, level)]


async def _until(wire: Wire, stream: RawStream, last: str) -> list[Event]:
    """Events up to the one that tells of record `last`."""
    found: list[Event] = []
    while not found or last not in found[-1].header["recordIds"]:
        found += [await wire.pubsub.event(each) for each in (await stream.answer()).events]
    return found


async def _level_events(wire: Wire, change: Callable[[str, str], Awaitable[object]]) -> list[Event]:
    """The events of the levels' topic that a change of two levels brings, in order."""
    keys = [await _level(wire) for _ in range(3)]
    ids = [(await asyncio.to_thread(wire.rest.level, key))["Id"] for key in keys]
    stream, _ = await wire.listen(LEVELS)
    await change(ids[0], ids[1])
    await asyncio.to_thread(_rename, wire, ids[2])
    return (await _until(wire, stream, ids[2]))[:-1]


def _rename(wire: Wire, *ids: str) -> None:
    rows = [{"attributes": {"type": LEVEL}, "id": each, "Unit__c": "changed"} for each in ids]
    answer = wire.rest.call("PATCH", "/composite/sobjects", {"allOrNone": True, "records": rows})
    assert all(each["success"] for each in answer.raise_for_status().json()), answer.text


async def _two_alike(wire: Wire) -> object:
    async def both(one: str, other: str) -> None:
        await asyncio.to_thread(_rename, wire, one, other)

    return [len(event.header["recordIds"]) for event in await _level_events(wire, both)]


async def _a_roll_up(wire: Wire) -> object:
    async def moved(one: str, _other: str) -> None:
        row = {"StockLevel__c": one, "Kind__c": "Receipt", "OnHandDelta__c": 1, "ReservedDelta__c": 0}
        answer = await asyncio.to_thread(wire.rest.call, "POST", f"/sobjects/{MOVEMENT}", row)
        answer.raise_for_status()

    return [event.header["changeType"] for event in await _level_events(wire, moved)]


async def _formula_field(wire: Wire) -> object:
    async def renamed(one: str, _other: str) -> None:
        await asyncio.to_thread(_rename, wire, one)

    [event] = await _level_events(wire, renamed)
    return "Available__c" in event.record


async def _kind_of_event(wire: Wire) -> object:
    async def renamed(one: str, _other: str) -> None:
        await asyncio.to_thread(_rename, wire, one)

    return [event.header["changeType"] for event in await _level_events(wire, renamed)]


async def _one_object_more(wire: Wire) -> object:
    try:
        await wire.control("POST", "/knobs", {"selected_entities": f"{LEVEL},Product2"})
    except AssertionError as refusal:
        if ": 400 " not in str(refusal):
            raise
        return False
    return True


async def _too_many_changes(wire: Wire) -> object:
    key = await _level(wire)
    stream, _ = await wire.listen()
    await asyncio.to_thread(wire.rest.collection, [movement(key, on_hand=1) for _ in range(4)])
    last = await wire.move(key)
    kinds = {event.header["changeType"] for event in (await _until(wire, stream, last))[:-1]}
    return sorted(kinds)


async def _on_the_way(wire: Wire) -> object:
    """Whether commits of this moment are still on their way to the stream; they arrive in their order."""
    key = await _level(wire)
    stream, _ = await wire.listen()
    made = [await wire.move(key) for _ in range(3)]
    waiting = (await wire.control("GET", "/bus"))["commits_on_the_way"] > 0
    found = await _until(wire, stream, made[-1])
    assert [event.header["recordIds"] for event in found] == [[each] for each in made]
    return waiting


async def _first_of(wire: Wire, **start: Any) -> int:
    """How many events the first answer of a stream has that has one to replay."""
    key = await _level(wire)
    await wire.move(key)
    stream = await wire.pubsub.subscribe(CHANNEL, 1, replay_preset=pb.ReplayPreset.EARLIEST, **start)
    return len((await stream.answer()).events)


async def _silence_is_filled(wire: Wire) -> object:
    key = await _level(wire)
    stream, _ = await wire.listen()
    await asyncio.sleep(PATIENCE_SECONDS)
    await wire.move(key)
    return not (await stream.answer()).events


async def _unasked_is_closed(wire: Wire) -> object:
    key = await _level(wire)
    stream, _ = await wire.listen(number=1)
    await wire.move(key)
    await stream.events(1)
    await asyncio.sleep(PATIENCE_SECONDS)
    await wire.move(key)  # nothing asked for it
    return stream.call.done()


async def _fullest_answer(wire: Wire) -> object:
    key = await _level(wire)
    _, start = await wire.listen()
    rows = [movement(key, on_hand=number + 1) for number in range(3)]
    await asyncio.to_thread(wire.rest.collection, rows)
    stream, _ = await wire.listen(replay_preset=pb.ReplayPreset.CUSTOM, replay_id=start)
    return len((await stream.answer()).events)


async def _length_of_replay_ids(wire: Wire) -> object:
    key = await _level(wire)
    stream, position = await wire.listen()
    await wire.move(key)
    [event] = await stream.events(1)
    return len(position), len(event.replay_id)


async def _goes_on_without_session(wire: Wire) -> object:
    key = await _level(wire)
    stream, _ = await wire.listen()
    await wire.control("POST", "/sessions/end")
    await asyncio.sleep(PATIENCE_SECONDS)
    await wire.move(key)
    try:
        while not (await stream.answer()).events:
            pass
    except (EOFError, grpc.aio.AioRpcError):
        return False
    return True


# -- CometD


@asynccontextmanager
async def _bayeux(wire: Wire, scheme: str = "OAuth") -> AsyncIterator[BayeuxClient]:
    token = wire.rest.http.headers["Authorization"].removeprefix("Bearer ")
    url = str(wire.sandbox.ready["http_url"]).replace("127.0.0.1", "localhost")
    async with BayeuxClient(url, f"{scheme} {token}") as client:
        yield client


async def _advice(wire: Wire, what: str) -> object:
    async with _bayeux(wire) as client:
        await client.handshake()
        (answer,) = await client.connect()
        return answer["advice"][what]


async def _known_after_an_absence(wire: Wire) -> object:
    async with _bayeux(wire) as client:
        await client.handshake()
        await asyncio.sleep(PATIENCE_SECONDS)
        (answer,) = await client.connect()
        return answer["successful"]


async def _welcomes_bearer(wire: Wire) -> object:
    async with _bayeux(wire, "Bearer") as client:
        return (await client.handshake())["successful"]


async def _first_connect(wire: Wire) -> object:
    key = await _level(wire)
    await wire.move(key)
    async with _bayeux(wire) as client:
        await client.handshake()
        assert (await client.subscribe(CHANNEL, -2))["successful"]
        return len(await client.connect()) > 1


async def _named_over_cometd(wire: Wire) -> object:
    level = (await asyncio.to_thread(wire.rest.level, await _level(wire)))["Id"]
    async with _bayeux(wire) as client:
        await client.ready(LEVELS)
        await asyncio.to_thread(_rename, wire, level)
        (event,) = await client.events(1)
        named = event["data"]["payload"]["ChangeEventHeader"].get("changedFields")
        return "Unit__c" in named if named else False


async def _without_cookie(wire: Wire) -> object:
    async with _bayeux(wire) as client:
        await client.handshake()
        client.http.cookies.clear()
        return str((await client.subscribe(CHANNEL))["error"])[:3]


async def _with_dead_token(wire: Wire) -> object:
    async with _bayeux(wire) as client:
        await client.handshake()
        await wire.control("POST", "/sessions/end")
        answer = await client.post({"channel": "/meta/handshake", "id": "1", "version": "1.0"})
        return answer.status_code


KNOBS: dict[str, Knob] = {
    "priorvalue_sees_rollup": Knob(_reserved_of_nothing, {True: 400, False: 201}),
    "rollup_error_attribution": Knob(
        _two_want_one,
        {
            "all": ["FIELD_CUSTOM_VALIDATION_EXCEPTION"] * 2,
            "last": [None, "FIELD_CUSTOM_VALIDATION_EXCEPTION"],
        },
    ),
    "roll_up_touches_last_modified": Knob(_roll_up_moves_last_modified, {True: True, False: False}),
    "lock_error_status": Knob(
        _status_of_a_lock,
        {status: ("UNABLE_TO_LOCK_ROW", status) for status in (400, 409, 503)},
        {"lock_wait_seconds": 0.05},
    ),
    "lock_wait_seconds": Knob(_patience_with_a_lock, {0.05: 400, 20.0: 201}),
    "parse_error_scope": Knob(
        _one_bad_row, {"request": (400, "INVALID_FIELD"), "record": [None, "INVALID_FIELD"]}
    ),
    "atomic_composite_order": Knob(
        _all_or_nothing,
        {"given": [True, False], "creates_first": [False, False], "deletes_first": [True, True]},
    ),
    "cancelled_status_category": Knob(_cancelled_order, {"Activated": "Activated", "Canceled": "Canceled"}),
    "session_seconds": Knob(
        partial(_after, pauses=(100.0,)), {50.0: 401, 1e6: 200}, {"reuse_session": False}
    ),
    "session_extends_with_use": Knob(
        partial(_after, pauses=(60.0, 60.0)),
        {True: 200, False: 401},
        {"session_seconds": 100.0, "reuse_session": False},
    ),
    "reuse_session": Knob(_same_session, {True: True, False: False}),
    "daily_api_requests": Knob(
        partial(_allowed, what="DailyApiRequests"), {70_000: 70_000, 100_000: 100_000}
    ),
    "setup_visible": Knob(_asked_for_limits, {True: (200, 200), False: (403, 403)}),
    "channel_told_by": Knob(_channel_of_member, {"name": "name", "id": "id"}),
    "refusal_tells_usage": Knob(_told_when_refused, {True: True, False: False}),
    "delivery_allowance": Knob(
        partial(_allowed, what="DailyDeliveredPlatformEvents"), {10_000: 10_000, 50_000: 50_000}
    ),
    "bulk_job_seconds": Knob(_bulk_at_once, {0.0: True, 600.0: False}),
    "selected_entities": Knob(_told_of_products, {LEVEL: [LEVEL], f"{LEVEL},Product2": ["Product2", LEVEL]}),
    "merge_equal_changes": Knob(_two_alike, {True: [2], False: [1, 1]}),
    "parent_event_on_rollup": Knob(_a_roll_up, {True: ["UPDATE"], False: []}),
    "formula_fields_in_events": Knob(_formula_field, {True: True, False: False}),
    "overflow_changes": Knob(
        _too_many_changes,
        {100_000: ["CREATE"], 3: ["CREATE", "GAP_OVERFLOW"]},
        {"merge_equal_changes": False},
    ),
    "largest_event_characters": Knob(_kind_of_event, {1_000_000: ["UPDATE"], 10: ["GAP_UPDATE"]}),
    "most_selected_entities": Knob(_one_object_more, {4: False, 5: True}),
    "hourly_published_events": Knob(
        partial(_allowed, what="HourlyPublishedPlatformEvents"), {1_000: 1_000, 50_000: 50_000}
    ),
    "event_delay_seconds": Knob(_on_the_way, {0.0: False, 1.5: True}),
    "event_delay_jitter_seconds": Knob(_on_the_way, {0.0: False, 3.0: True}),
    "keepalive_seconds": Knob(_silence_is_filled, {60.0: False, 0.05: True}),
    "unrequested_close_seconds": Knob(_unasked_is_closed, {70.0: False, 0.05: True}),
    "first_answer_is_keepalive": Knob(_first_of, {True: 0, False: 1}),
    "batch_size": Knob(_fullest_answer, {100: 3, 2: 2}, {"merge_equal_changes": False}),
    "replay_id_bytes": Knob(_length_of_replay_ids, {8: (8, 8), 10: (10, 10)}),
    "recheck_token": Knob(_goes_on_without_session, {True: False, False: True}, {"keepalive_seconds": 0.05}),
    "cometd_timeout_seconds": Knob(partial(_advice, what="timeout"), {110.0: 110_000, 40.0: 40_000}),
    "cometd_interval_milliseconds": Knob(partial(_advice, what="interval"), {0: 0, 250: 250}),
    "cometd_max_interval_seconds": Knob(_known_after_an_absence, {40.0: True, 0.05: False}),
    "cometd_accepts_bearer": Knob(_welcomes_bearer, {True: True, False: False}),
    "cometd_first_connect_at_once": Knob(_first_connect, {True: False, False: True}),
    "cometd_changed_fields": Knob(_named_over_cometd, {"updates": True, "never": False}),
    "cometd_names_missing_cookie": Knob(_without_cookie, {True: "400", False: "403"}),
    "cometd_expired_token_is_http_401": Knob(_with_dead_token, {True: 401, False: 200}),
}
SOURCES: tuple[dict[str, Any], ...] = ({}, {"Reference__c": "pos"}, {"Reference__c": "web"})
ELSEWHERE = {"null_matches_not_equal"}  # needs an org of its own: the last test


@pytest.fixture(scope="module")
def turned() -> Iterator[OrgSandbox]:
    """An org whose knobs are turned by one test after another."""
    with start_org(knobs=[f"{name}={value}" for name, value in STAYS.items()]) as running:
        yield running


def test_each_knob_stands_in_the_table(turned: OrgSandbox) -> None:
    """And no other."""
    assert {each["name"] for each in turned.control("GET", "/knobs")} == set(KNOBS) | ELSEWHERE


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, knob in KNOBS.items() for value in knob.seen]
)
async def test_a_turned_knob_is_seen_from_outside(turned: OrgSandbox, name: str, value: object) -> None:
    """Each setting looks as the table says, and all that it was not meant to change is as before."""
    knob = KNOBS[name]
    before = {each["name"]: each["value"] for each in turned.control("GET", "/knobs")}
    try:
        turned.control("POST", "/knobs", {**knob.also, name: value})
        async with wired(turned) as wire:
            assert await knob.look(wire) == knob.seen[value]
    finally:
        turned.control("POST", "/knobs", before)


def test_the_settings_of_a_knob_look_different() -> None:
    """Else its row would show nothing."""
    for name, knob in KNOBS.items():
        seen = [json.dumps(each, default=str) for each in knob.seen.values()]
        assert len(set(seen)) == len(seen) > 1, name


@pytest.mark.parametrize(("matches", "told"), [("true", 2), ("false", 1)])
async def test_a_channel_filter_meets_null(tmp_path: Path, matches: str, told: int) -> None:
    """Whether `Source != 'pos'` lets a movement through that names no source at all."""
    source = tmp_path / "salesforce"
    shutil.copytree(metadata_folder(), source)
    [member] = source.rglob("*StockMovement_ChangeEvent.platformEventChannelMember-meta.xml")
    text = member.read_text(encoding="utf-8")
    assert "BySfsync__c = false" in text
    member.write_text(text.replace("BySfsync__c = false", "Reference__c != 'pos'"), encoding="utf-8")
    levels = [{"sku": "BAG", "location": "DUBAI"}]
    knobs = [f"null_matches_not_equal={matches}", "first_answer_is_keepalive=true"]
    with start_org({"levels": levels}, knobs=knobs, options=["--source", str(source)]) as running:
        async with wired(running) as wire:
            stream, _ = await wire.listen()
            made = [
                (await asyncio.to_thread(partial(wire.rest.move, "BAG|DUBAI", on_hand=1, **more))).json()[
                    "id"
                ]
                for more in SOURCES
            ]
            found = await _until(wire, stream, made[-1])
            assert [event.header["recordIds"] for event in found] == [
                [each] for each in made if each != made[1]
            ][-told:]
