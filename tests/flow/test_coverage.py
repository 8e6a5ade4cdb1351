"""Promise 8, no hole unseen: what was observed, replayed, polled and read again is written down and told."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta

from tests.flow.kit import TILL, WAKE, House, house

from sfsync.domain.coverage import Answer, Closes, How, answer
from sfsync.flow.intake import REPLAY_PATIENCE, Poll
from sfsync.ports import Refused, Tx
from sfsync.store import open_store

BAG = "BAG-1|ECOM"


async def told(h: House, until: datetime | None = None) -> Answer:
    """The answer for the stream of stock, since the house opened; until its last sign, if not told."""
    start = await h.store.read(lambda tx: tx.first_start())
    # Before the intervals: the stream may show another sign between the two readings.
    until = until or await h.store.read(lambda tx: tx.last_watched(WAKE))
    now = h.clock.now()
    intervals = await h.store.read(lambda tx: tx.coverage(start or now, now))
    assert start is not None
    assert until is not None
    return answer(WAKE, (start, until), intervals)


async def test_a_first_start_leaves_nothing_unknown() -> None:
    """The hole of the beginning is closed by a reading, and told so."""
    async with house({BAG: 1}) as h:
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 2, 2)
        found = await told(h)
        assert not found.missed, found
        assert found.breaks[0].how is How.REREAD
        # By the whole reading where the stream had begun before it, by one of all that has moved otherwise.
        closed_by = r"every stock level was read|\d+ stock levels? had moved"
        assert re.fullmatch(closed_by, found.breaks[0].found), found


async def test_what_happened_while_we_were_away_was_replayed() -> None:
    """Down for a while, a till sale meanwhile: replayed, and told so."""
    async with house({BAG: 3}) as h:
        await h.stop()
        h.org.move(BAG, on_hand=-1)
        await asyncio.sleep(0.05)
        await h.start()
        await h.shows("BAG-1", 2, 2)
        found = await told(h)
        assert not found.missed, found
        replayed = [each for each in found.breaks if each.how is How.REPLAYED]
        assert [each.why for each in replayed] == ["sfsync was not running"]


async def test_that_a_stream_is_back_proves_nothing_until_its_replay_is_through() -> None:
    """Down for a while. The first sign comes before what happened meanwhile: the hole waits for all of it."""
    async with house({BAG: 3}) as h:
        await h.stop()
        h.clock.pass_a_minute()
        h.org.keeps_alive = False
        longer_ago = h.clock.now() - timedelta(seconds=5)
        for units, when in ((-1, longer_ago), (-1, h.clock.now())):
            number = h.org.move(BAG, on_hand=units, told=False)
            h.org.tell(WAKE, movements=frozenset({number}), committed_at=when, events=1)
        await h.start()
        await h.shows("BAG-1", 1, 1)
        (wake, till) = sorted(
            await h.store.read(lambda tx: tx.open_holes()), key=lambda hole: hole.source, reverse=True
        )
        assert (wake.source, wake.reason, wake.closes) == (WAKE, "sfsync was not running", Closes.REPLAY)
        assert wake.replayed_to is not None
        assert wake.replayed_to < h.pulse.started_at  # no further than what it has delivered
        assert (till.source, till.replayed_to) == (TILL, None)
        assert (await told(h, h.clock.now())).missed
        h.org.later = timedelta(seconds=2)
        h.org.move(BAG, on_hand=1)  # this one is of after the return: what came before is through
        await h.shows("BAG-1", 2, 2)
        await h.until_kept(lambda tx: [hole.source for hole in tx.open_holes()] == [TILL])
        assert not (await told(h)).missed
        h.org.till(BAG, -1, "receipt-1")
        await h.idle()


async def test_a_replay_that_takes_long_is_helped_by_a_reading_but_not_at_a_till() -> None:
    """Half a minute after its return a stream says nothing yet: what moved is read. A till has no records."""
    async with house({BAG: 3}) as h:
        await h.stop()
        h.org.keeps_alive = False
        h.org.move(BAG, on_hand=-1, told=False)
        await h.start()
        await h.until(lambda: h.pulse.joined.keys() >= {WAKE, TILL})
        for topic in (WAKE, TILL):
            h.pulse.joined[topic] -= REPLAY_PATIENCE
        h.ctx.bell.ring("holes")
        await h.shows("BAG-1", 2, 2)
        await h.until_kept(lambda tx: [hole.source for hole in tx.open_holes()] == [TILL])
        rereads = [each for each in (await told(h)).breaks if each.why == "sfsync was not running"]
        assert [(each.how, each.found) for each in rereads] == [(How.REREAD, "1 stock level had moved")]
        h.org.later = timedelta(seconds=2)
        h.org.till(BAG, -1, "receipt-1")
        await h.shows("BAG-1", 1, 1)
        await h.idle()


async def test_a_break_is_a_hole_at_once_and_tells_all_its_reasons() -> None:
    """Cut; then the permission is gone. What closes it, and when that is next tried, stands on the status."""
    async with house({BAG: 3}) as h:
        h.org.broken[TILL] = [Refused("permission lost", advice="give it back")]
        h.org.hang_up(TILL)
        await h.until_kept(lambda tx: [hole for hole in tx.open_holes() if "permission lost" in hole.reason])
        (hole,) = await h.store.read(lambda tx: tx.open_holes())
        assert (hole.source, hole.reason) == (TILL, "the org hung up; then: permission lost")
        assert hole.closes is Closes.REPLAY
        h.org.till(BAG, -1, "receipt-1")
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        breaks = [
            each
            for each in await h.store.read(lambda tx: tx.coverage(h.pulse.started_at, h.clock.now()))
            if each.source == TILL and each.how is not How.LIVE
        ]
        assert [(each.how, each.why) for each in breaks] == [(How.REPLAYED, hole.reason)]


async def test_a_till_that_could_never_be_listened_to_is_a_hole_from_the_first_start_on() -> None:
    """Nobody may listen to the till from the first minute on; a restart: what it sold is unknown.

    Once it may be listened to, all of that comes, and the hole is told as made up for.
    """
    async with house({BAG: 3}) as h:
        await h.kill()
        h.forget_everything()
        h.org.broken[TILL] = [Refused("permission lost", advice="give it back") for _ in range(1000)]
        await h.start()
        await h.until_kept(lambda tx: [hole for hole in tx.open_holes() if hole.source == TILL])
        (hole,) = [each for each in await h.store.read(lambda tx: tx.open_holes()) if each.source == TILL]
        assert (hole.reason, hole.closes) == ("permission lost", Closes.REPLAY)
        bookmark = await h.store.read(lambda tx: tx.cursor_at(TILL))
        assert hole.since == bookmark
        h.org.till(BAG, -1, "receipt-1")
        await h.stop()
        await h.start()
        await h.until_kept(lambda tx: [hole for hole in tx.open_holes() if "running" in hole.reason])
        (again,) = [each for each in await h.store.read(lambda tx: tx.open_holes()) if each.source == TILL]
        assert (again.since, again.reason) == (hole.since, "permission lost; then: sfsync was not running")
        h.org.broken.clear()
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        intervals = await h.store.read(lambda tx: tx.coverage(hole.since, h.clock.now()))
        until = await h.store.read(lambda tx: tx.last_watched(TILL))
        assert until is not None
        found = answer(TILL, (hole.since, until), intervals)
        assert not found.missed, found
        assert [(each.how, each.since, each.why) for each in found.breaks] == [
            (How.REPLAYED, again.since, again.reason)
        ]


async def test_a_till_that_joined_and_not_heard_out_is_a_hole_from_its_first_bookmark_on() -> None:
    """It is there, and the daemon ends before it has told that nothing is pending: all of it is unknown."""
    async with house({BAG: 3}) as h:
        await h.kill()
        h.forget_everything()
        h.org.keeps_alive = False
        await h.start()
        await h.until(lambda: TILL in h.pulse.joined)
        await h.until_kept(lambda tx: tx.cursor_at(TILL) is not None)
        since = await h.store.read(lambda tx: tx.cursor_at(TILL))
        await h.stop()
        h.org.keeps_alive = True
        h.org.broken[TILL] = [Refused("permission lost", advice="give it back") for _ in range(1000)]
        await h.start()
        await h.until_kept(lambda tx: [hole for hole in tx.open_holes() if hole.source == TILL])
        (hole,) = [each for each in await h.store.read(lambda tx: tx.open_holes()) if each.source == TILL]
        assert hole.since == since
        h.org.broken.clear()
        await h.idle()


async def test_a_restart_while_the_stream_is_away_is_told_with_what_keeps_it_away() -> None:
    """The permission is lost, somebody restarts sfsync in hope: one hole, and both stand in it."""
    async with house({BAG: 3}) as h:
        h.org.broken[TILL] = [Refused("permission lost", advice="give it back") for _ in range(1000)]
        h.org.hang_up(TILL)
        await h.until_kept(lambda tx: [hole for hole in tx.open_holes() if "permission" in hole.reason])
        await h.stop()
        await h.start()
        await h.until_kept(lambda tx: [hole for hole in tx.open_holes() if "running" in hole.reason])
        (hole,) = [each for each in await h.store.read(lambda tx: tx.open_holes()) if each.source == TILL]
        assert hole.reason == "the org hung up; then: permission lost; then: sfsync was not running"
        h.org.broken.clear()
        await h.idle()


async def test_a_bookmark_that_is_refused_is_a_hole_until_it_was_read_again() -> None:
    """The stream has forgotten what came between: a reading of everything moved since makes up for it."""
    async with house({BAG: 3}) as h:
        await h.stop()
        h.org.move(BAG, on_hand=-1, told=False)
        await h.put_cursor(WAKE, (10**9).to_bytes(8, "big"))
        await h.start()
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        found = await told(h)
        assert not found.missed, found
        assert any("refused our bookmark" in each.why and each.how is How.REREAD for each in found.breaks)


async def test_a_stream_joined_from_now_on_replays_nothing_of_what_was_missed_before() -> None:
    """Its bookmark was refused, and the new stream broke at once: what moved meanwhile is read again."""
    async with house({BAG: 3}) as h:
        await h.shows("BAG-1", 3, 3)
        await h.stop()
        h.org.move(BAG, on_hand=-1, told=False)

        def broken(tx: Tx) -> None:
            now = h.clock.now()
            tx.drop_cursor(WAKE)
            tx.open_hole(WAKE, now - timedelta(seconds=1), "the org hung up", now, Closes.REPLAY)

        store = open_store(f"sqlite:///{h.folder / 's.db'}", exclusive=True)
        await store.write(broken)
        await store.close()
        await h.start()
        await h.shows("BAG-1", 2, 2)
        await h.idle()


async def test_a_change_that_no_event_tells_of_is_found_by_looking() -> None:
    """The bus lost it without a word. Nobody waits for it longer than until the next look."""
    async with house({BAG: 3}) as h:
        h.org.move(BAG, on_hand=-1, told=False)
        poll = Poll(h.ctx, WAKE, after_seconds=60.0)
        assert await poll.look(away=False) == 1
        await h.shows("BAG-1", 2, 2)
        assert h.pulse.polled[WAKE] == 1
        assert await poll.look(away=False) == 0
        breaks = (await told(h)).breaks
        assert [each.why for each in breaks if each.how is How.POLLED] == [
            "the stream told of changes late, or not at all"
        ]


async def test_a_change_that_an_event_is_just_telling_of_is_not_called_late() -> None:
    """The look comes a moment before the event: nothing is wrong with the stream."""
    async with house({BAG: 3}) as h:
        number = h.org.move(BAG, on_hand=-1, told=False)
        looking = asyncio.create_task(Poll(h.ctx, WAKE, after_seconds=60.0).look(away=False))
        await asyncio.sleep(0.05)
        h.org.tell(WAKE, movements=frozenset({number}), events=1)
        assert await looking == 0
        assert all(each.how is not How.POLLED for each in (await told(h)).breaks)


async def test_a_stream_that_is_away_is_replaced_by_looking_every_minute() -> None:
    """No allowance, no permission, silent: sales still reach every shop, and the time counts as polled."""
    async with house({BAG: 3}) as h:
        h.pulse.stream_error[WAKE] = "the delivery allowance is used up"
        h.org.move(BAG, on_hand=-1, told=False)
        poll = Poll(h.ctx, WAKE, after_seconds=2.0)
        looking = asyncio.create_task(poll.run())
        await h.shows("BAG-1", 2, 2)
        await h.until_kept(lambda tx: tx.coverage(h.clock.now() - timedelta(hours=1), h.clock.now())[-1:])
        intervals = await h.store.read(
            lambda tx: tx.coverage(h.clock.now() - timedelta(hours=1), h.clock.now())
        )
        looking.cancel()
        polled = [each for each in intervals if each.how is How.POLLED]
        assert polled[0].why == "the delivery allowance is used up"
        assert polled[0].found == "1 stock level was newer"


async def test_a_deleted_movement_is_noticed_by_looking() -> None:
    """An administrator deletes a row and no event comes: the ledger was rewritten, and somebody is told."""
    async with house({BAG: 3}) as h:
        number = h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 5, 5)
        h.org.forget(number, told=False)
        await Poll(h.ctx, WAKE, after_seconds=60.0).look(away=False)
        await h.shows("BAG-1", 3, 3)
        assert [each.kind for each in await h.store.read(lambda tx: tx.incidents())] == ["rewritten ledger"]
