"""What goes wrong between a commit and its subscriber, by switch and by chance, seen over real gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.sandbox import OrgSandbox, start_org
from tests.simulators.events_kit import Event, RawStream
from tests.simulators.org_kit import MOVEMENT
from tests.simulators.wire_kit import CHANNEL, Wire, wired

from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.proto import pubsub_api_pb2 as pb

_HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def stream_org() -> Iterator[OrgSandbox]:
    """An org of its own: some of these faults are felt by everybody."""
    levels = [{"sku": "BAG", "location": "L"}]
    knobs = ["first_answer_is_keepalive=true", "session_seconds=1000000"]
    with start_org({"levels": levels}, knobs=knobs) as running:
        yield running


async def _by_switch(wire: Wire, fate: Fate) -> None:
    await wire.bus("fates", next=[fate])


async def _by_chance(wire: Wire, fate: Fate) -> None:
    await wire.bus("fates", **{f"{fate}_rate": 1.0, "seed": 5})


async def _no_more(wire: Wire) -> None:
    await wire.control("DELETE", "/faults")


async def _struck_then_sound(wire: Wire, arm: Callable[[], Awaitable[None]]) -> tuple[list[str], list[Event]]:
    """A movement that is struck and one that is not: their ids, and all that a subscriber got in the end."""
    _, start = await wire.listen()
    await arm()
    struck = await wire.move("BAG|L")
    await _no_more(wire)
    sound = await wire.move("BAG|L")
    stream, _ = await wire.listen(replay_preset=pb.ReplayPreset.CUSTOM, replay_id=start)
    events: list[Event] = []
    while not events or events[-1].header["recordIds"] != [sound]:
        events += [await wire.pubsub.event(each) for each in (await stream.answer()).events]
    return [struck, sound], events


@pytest.fixture(params=[_by_switch, _by_chance], ids=["switch", "chance"])
def armed_by(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    ("fate", "kinds"),
    [
        (Fate.GAP, ["GAP_CREATE", "CREATE"]),
        (Fate.OVERFLOW, ["GAP_OVERFLOW", "CREATE"]),
        (Fate.LOST, ["CREATE"]),
        (Fate.DUPLICATE, ["CREATE", "CREATE", "CREATE"]),
    ],
)
async def test_an_event_can_be_replaced_lost_or_doubled(
    stream_org: OrgSandbox, armed_by: Any, fate: Fate, kinds: list[str]
) -> None:
    """The struck event's place is taken by what the fate says; the next event is sound."""
    async with wired(stream_org) as wire:
        _, events = await _struck_then_sound(wire, lambda: armed_by(wire, fate))
        assert [event.header["changeType"] for event in events] == kinds
        if fate is Fate.DUPLICATE:
            assert events[0].uuid == events[1].uuid
            assert len({event.replay_id for event in events}) == 3


async def test_an_event_can_come_damaged(stream_org: OrgSandbox, armed_by: Any) -> None:
    """Nobody can read it, and the next one is sound."""
    async with wired(stream_org) as wire:
        stream, _ = await wire.listen()
        await armed_by(wire, Fate.TORN)
        await wire.move("BAG|L")
        await _no_more(wire)
        with pytest.raises((EOFError, IndexError, ValueError)):
            await wire.pubsub.event((await stream.answer()).events[0])
        sound = await wire.move("BAG|L")
        assert [event.header["recordIds"] for event in await stream.events(1)] == [[sound]]


async def test_a_late_event_comes_behind_those_of_later_commits(
    stream_org: OrgSandbox, armed_by: Any
) -> None:
    """It is late in the stream, not lost: its place is behind, and its replay id is the higher one."""
    async with wired(stream_org) as wire:
        stream, _ = await wire.listen()
        await wire.bus("fates", late_seconds=2)
        await armed_by(wire, Fate.LATE)
        late = await wire.move("BAG|L")
        await _no_more(wire)
        sound = await wire.move("BAG|L")
        found = await stream.events(2)
        assert [event.header["recordIds"] for event in found] == [[sound], [late]]
        assert found[0].replay_id < found[1].replay_id


async def test_a_stream_can_break_just_before_an_event(stream_org: OrgSandbox, armed_by: Any) -> None:
    """The subscriber comes again with its position and has missed nothing."""
    async with wired(stream_org) as wire:
        stream, start = await wire.listen()
        await armed_by(wire, Fate.CUT)
        moved = await wire.move("BAG|L")
        await _no_more(wire)
        status, code = await stream.error()
        assert (status, code) == (
            grpc.StatusCode.UNAVAILABLE,
            "",
        )  # as a network breaks: without a word of the org
        again, _ = await wire.listen(replay_preset=pb.ReplayPreset.CUSTOM, replay_id=start)
        assert [event.header["recordIds"] for event in await again.events(1)] == [[moved]]


async def test_a_stream_can_fall_silent_while_it_stays_open(stream_org: OrgSandbox, armed_by: Any) -> None:
    """A new stream has what the dead one keeps back; it is sent when the silence ends."""
    async with wired(stream_org) as wire:
        stream, start = await wire.listen()
        await armed_by(wire, Fate.SILENT)
        moved = await wire.move("BAG|L")
        await _no_more(wire)
        again, _ = await wire.listen(replay_preset=pb.ReplayPreset.CUSTOM, replay_id=start)
        assert [event.header["recordIds"] for event in await again.events(1)] == [[moved]]
        assert not stream.call.done()
        await wire.bus("speak")
        assert [event.header["recordIds"] for event in await stream.events(1)] == [[moved]]


async def test_a_field_can_appear_in_mid_stream(stream_org: OrgSandbox, armed_by: Any) -> None:
    """The next event has another schema, with one field more, and the subscriber reads it by its own id."""
    async with wired(stream_org) as wire:
        stream, _ = await wire.listen()
        await wire.move("BAG|L")
        await armed_by(wire, Fate.SCHEMA)
        await wire.move("BAG|L")
        await _no_more(wire)
        before, after = await stream.events(2)
        assert before.schema_id != after.schema_id
        added = set(after.record) - set(before.record)
        assert len(added) == 1
        assert added.pop().startswith("Added")


async def test_a_field_can_be_added_by_its_name(stream_org: OrgSandbox) -> None:
    """The topic names the new schema at once; the same name again is refused."""
    async with wired(stream_org) as wire:
        schema_id = await wire.bus("add_field", entity="StockEvent__e", field="Colour__c")
        assert (await wire.pubsub.topic("/event/StockEvent__e")).schema_id == schema_id
        assert "Colour__c" in str(await wire.pubsub.schema(schema_id))
        for wrong in (
            {"entity": "StockEvent__e", "field": "Colour__c"},
            {"entity": "Nope__c", "field": "A__c"},
        ):
            with pytest.raises(AssertionError, match="400"):
                await wire.bus("add_field", **wrong)


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_the_orgs_clock_can_jump_while_events_flow(
    stream_org: OrgSandbox, armed_by: Any, seconds: int
) -> None:
    """Forwards or backwards; the stream goes on in its order."""
    async with wired(stream_org) as wire:
        stream, _ = await wire.listen()
        await wire.bus("fates", clock_seconds=seconds)
        before = (await wire.control("GET", "/clock"))["now_ms"]
        await armed_by(wire, Fate.CLOCK)
        moved = [await wire.move("BAG|L")]
        await _no_more(wire)
        after = (await wire.control("GET", "/clock"))["now_ms"]
        moved.append(await wire.move("BAG|L"))
        assert (after - before > _HOUR_MS) if seconds > 0 else (after < before)
        found = await stream.events(2)
        assert [event.header["recordIds"] for event in found] == [[each] for each in moved]
        assert found[0].replay_id < found[1].replay_id


@pytest.mark.parametrize("how", [("refuse_replay", {}), ("fates", {"replay_refused_rate": 1.0, "seed": 5})])
async def test_a_good_replay_id_can_be_refused(
    stream_org: OrgSandbox, how: tuple[str, dict[str, Any]]
) -> None:
    """As after an instance refresh; a start without an id is taken, and the id is good again later."""
    async with wired(stream_org) as wire:
        _, start = await wire.listen()
        action, arguments = how
        await wire.bus(action, **arguments)
        custom: dict[str, Any] = {"replay_preset": pb.ReplayPreset.CUSTOM, "replay_id": start}
        refused = await wire.pubsub.subscribe(CHANNEL, 1, **custom)
        _, code = await refused.error()
        assert code.endswith("subscription.fetch.replayid.corrupted")
        await wire.listen(replay_preset=pb.ReplayPreset.EARLIEST)
        await _no_more(wire)
        await wire.listen(**custom)


async def test_a_mix_strikes_requests_and_events(stream_org: OrgSandbox) -> None:
    """One seed for both; what struck is shown, and disarming ends it all."""
    async with wired(stream_org) as wire:
        await wire.control("POST", "/faults", {"mix": 3})
        for _ in range(60):
            await wire.control("POST", "/records/create", {"records": [_movement(wire) for _ in range(5)]})
        assert (await wire.control("GET", "/bus"))["fates_struck"]
        await _no_more(wire)
        assert (await wire.control("GET", "/faults"))["armed"] == []
        before = (await wire.control("GET", "/bus"))["fates_struck"]
        await wire.move("BAG|L")
        assert (await wire.control("GET", "/bus"))["fates_struck"] == before


def _movement(wire: Wire) -> dict[str, Any]:
    return {
        "attributes": {"type": MOVEMENT},
        "StockLevel__r": {"LevelKey__c": "BAG|L"},
        "Kind__c": "Adjustment",
        "OnHandDelta__c": 1,
    }


async def _until(wire: Wire, stream: RawStream, last: Callable[[Event], bool]) -> list[Event]:
    """Events up to the first that is looked for."""
    found: list[Event] = []
    while not found or not last(found[-1]):
        for consumer in (await stream.answer()).events:
            found.append(await wire.pubsub.event(consumer))
            if last(found[-1]):
                break
    return found


async def test_gaps_and_overflows_can_come_out_of_nothing(stream_org: OrgSandbox) -> None:
    """A gap names the records and what befell them; an overflow only its object."""
    async with wired(stream_org) as wire:
        moved = await wire.move("BAG|L")
        stream, _ = await wire.listen()
        await wire.bus("gap", entity=MOVEMENT, ids=[moved], kind="DELETE")
        await wire.bus("overflow", entity=MOVEMENT)
        told = await _until(wire, stream, lambda event: event.header["changeType"] == "GAP_OVERFLOW")
        # Before them, or between, perhaps the movement itself, or one from before.
        gap, overflow = [event for event in told if event.header["changeType"].startswith("GAP_")]
        assert (gap.header["changeType"], gap.header["recordIds"]) == ("GAP_DELETE", [moved])
        assert (overflow.header["changeType"], overflow.header["entityName"]) == ("GAP_OVERFLOW", MOVEMENT)


@pytest.mark.parametrize("shuffled", [False, True])
async def test_commits_can_be_held_back_and_let_go(stream_org: OrgSandbox, shuffled: bool) -> None:
    """Nothing is told meanwhile; afterwards all of it, in its order or in none."""
    async with wired(stream_org) as wire:
        stream, _ = await wire.listen()
        await wire.bus("hold")
        moved = [await wire.move("BAG|L") for _ in range(8)]
        await wire.bus("release", shuffled=shuffled)
        ids: list[str] = []  # of these movements; one from before may still be on its way
        while len(ids) < len(moved):
            for consumer in (await stream.answer()).events:
                event = await wire.pubsub.event(consumer)
                ids += [each for each in event.header["recordIds"] if each in moved]
        assert sorted(ids) == sorted(moved)
        assert (ids == moved) is not shuffled


async def test_an_allowance_that_is_used_up_ends_streams_until_it_is_refilled(stream_org: OrgSandbox) -> None:
    """With its documented code; what came meanwhile is there afterwards."""
    async with wired(stream_org) as wire:
        stream, start = await wire.listen()
        await wire.bus("use_up_allowance")
        moved = await wire.move("BAG|L")
        assert (await stream.error())[1].endswith("subscription.limit.exceeded")
        await wire.bus("refill_allowance")
        again, _ = await wire.listen(replay_preset=pb.ReplayPreset.CUSTOM, replay_id=start)
        await _until(wire, again, lambda event: event.header["recordIds"] == [moved])


async def test_a_call_can_be_refused_with_any_documented_code(stream_org: OrgSandbox) -> None:
    """The next one only."""
    async with wired(stream_org) as wire:
        await wire.bus("refuse", rpc="GetTopic", code="sfdc.platform.eventbus.grpc.service.auth.error")
        with pytest.raises(grpc.aio.AioRpcError):
            await wire.pubsub.topic(CHANNEL)
        assert (await wire.pubsub.topic(CHANNEL)).topic_name == CHANNEL
