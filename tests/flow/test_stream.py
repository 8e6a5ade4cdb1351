"""Promises 6, 7, 8: newer wins, the bookmark moves with the effect, no hole unseen."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.flow.kit import TILL, WAKE, house

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"


async def test_a_rewritten_ledger_is_raised_and_taken_over() -> None:
    """Somebody deleted a row: the version goes back, and so do we, loudly."""
    async with house({BAG: 5}) as h:
        row = h.org.move(BAG, on_hand=3)
        await h.shows("BAG-1", 8, 8)
        h.org.forget(row)
        await h.shows("BAG-1", 5, 5)
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert (incident.kind, incident.key) == ("rewritten ledger", BAG)
        assert (incident.detail["before"], incident.detail["now"]) == ([8, 0, 2], [5, 0, 1])


async def test_events_twice_and_in_any_order_leave_the_newest() -> None:
    """A wake-up carries a name, not news."""
    async with house({BAG: 5}) as h:
        rows = [h.org.move(BAG, on_hand=-1) for _ in range(3)]
        for row in (*reversed(rows), *rows):
            h.org.tell(WAKE, movements=frozenset({row}), events=1)
        await h.shows("BAG-1", 2, 2)


async def test_the_bookmark_moves_with_the_effect() -> None:
    """Killed while the levels are being read: the next start begins where the last effect stands."""
    async with house({BAG: 5}) as h:
        before = await h.store.read(lambda tx: tx.cursor(WAKE))
        assert before is not None
        await h.kill()
        h.org.move(BAG, on_hand=-1)
        await h.start()
        await h.shows("BAG-1", 4, 4)
        await h.until_kept(lambda tx: (tx.cursor(WAKE) or b"") > before)
        level = await h.store.read(lambda tx: tx.levels_of(["BAG-1"])[0])
        assert level.on_hand == 4


async def test_the_first_joining_is_a_hole_that_a_reading_closes() -> None:
    """Something moved after the snapshot read its level and before the stream was joined: nobody told us."""
    async with house({BAG: 5}) as h:
        holes = [line for line in h.logged if line["event"] == "hole closed"]
        assert [hole["source"] for hole in holes] == [WAKE]


async def test_what_moved_is_not_asked_for_while_everything_is_being_read() -> None:
    """A first start after a load: all has moved lately, and reading it twice would take twice as long."""
    async with house({BAG: 5, SCARF: 5}) as h:
        await h.kill()
        h.forget_everything()
        h.org.pages = asyncio.Semaphore(1)
        await h.start()
        await h.until_kept(lambda tx: tx.levels_of(["BAG-1"]) and tx.open_holes())
        await h.until(lambda: WAKE in h.pulse.last_sign)
        h.ctx.bell.ring("holes")
        h.org.pages.release()
        await h.idle()
        assert True not in h.org.asked_moved


async def test_a_hole_in_the_stream_is_read_again() -> None:
    """The stream says that it does not carry some changes."""
    async with house({BAG: 5}) as h:
        h.org.move(BAG, on_hand=-2, told=False)
        h.org.tell(WAKE, hole_since=h.clock.now() - timedelta(minutes=1))
        await h.shows("BAG-1", 3, 3)
        await h.idle()


async def test_a_refused_bookmark_is_a_hole_and_is_read_again() -> None:
    """We were away longer than the org keeps events."""
    async with house({BAG: 5}) as h:
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.kill()
        for _ in range(3):
            h.org.move(BAG, on_hand=-1)
        h.org.oldest = len(h.org.log[WAKE])
        await h.start()
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        assert any(line["event"] == "bookmark refused" for line in h.logged)


async def test_postings_that_the_stream_still_keeps_survive_a_refused_bookmark() -> None:
    """They can be read nowhere else: everything kept is taken, each once."""
    async with house({BAG: 9}) as h:
        h.org.till(BAG, -1, "one")
        await h.shows("BAG-1", 8, 8)
        await h.kill()
        h.org.till(BAG, -1, "two")
        await h.put_cursor(TILL, b"\xff" * 8)  # of another stream
        h.org.till(BAG, -1, "three")
        await h.start()
        await h.shows("BAG-1", 6, 6)
        await h.idle()
        assert len(h.org.of("posting:")) == 3


async def test_a_kill_in_the_middle_of_the_first_snapshot_is_made_good() -> None:
    """Half of the levels read, then the end; the next start reads all of it."""
    async with house({BAG: 5, SCARF: 7}, shops=("london",)) as h:
        await h.kill()
        h.forget_everything()
        h.org.pages = asyncio.Semaphore(1)
        await h.start()
        await h.until_kept(lambda tx: tx.all_skus() == ["BAG-1"])
        await h.kill()
        h.org.pages = None
        await h.start()
        await h.shows("SCARF", 7)
        await h.idle()


async def test_a_kill_in_the_middle_of_a_channels_first_reading_is_made_good() -> None:
    """Half of its items read, then the end; the next start reads all of them."""
    async with house({BAG: 5, SCARF: 7}, shops=("london",)) as h:
        await h.kill()
        h.forget_everything()
        h.shops["london"].shelf = {"BAG-1": 0, "SCARF": 2}
        h.shops["london"].reading = asyncio.Semaphore(1)
        h.shops["london"].read.clear()
        await h.start()
        await asyncio.wait_for(h.shops["london"].read.wait(), 20)
        await h.kill()
        h.shops["london"].reading = None
        await h.start()
        await h.shows("BAG-1", 5)
        await h.shows("SCARF", 7)
        await h.idle()


async def test_a_sale_that_arrives_before_the_first_snapshot_is_entered_after_it() -> None:
    """Webhook and till are quicker than the reading of a large org."""
    async with house({BAG: 5}, shops=("london",)) as h:
        await h.kill()
        h.forget_everything()
        h.org.pages = asyncio.Semaphore(0)
        await h.start()
        await h.until(lambda: TILL in h.pulse.last_sign)  # the till is listened to from the first moment
        number = h.shops["london"].buy("BAG-1")
        await h.deliver("london", number)
        h.org.till(BAG, -1, "receipt-1")
        await h.until_kept(lambda tx: not tx.inbox(1) or tx.lines([f"order:london:{number}:1"]))
        h.org.pages.release()
        h.org.pages = None
        await h.until(lambda: h.org.numbers(BAG) in ((4, 1),))
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
        await h.shows("BAG-1", 3)


async def test_a_new_sku_reaches_the_channels_that_list_it_also_after_a_kill() -> None:
    """Its first level appears; the daemon dies before the channels were asked."""
    async with house({BAG: 5}) as h:
        for shop in h.shops.values():
            shop.shelf["SCARF"] = 0
            shop.reading = asyncio.Semaphore(0)
        h.org.add(SCARF, 3)
        h.org.tell(WAKE, levels=frozenset({h.org.id_of(h.org.level(SCARF).key)}), events=1)
        await h.until_kept(lambda tx: "SCARF" in tx.all_skus())
        await h.kill()
        for shop in h.shops.values():
            shop.reading = None
        await h.start()
        await h.shows("SCARF", 3, 3)
