"""Clocks differ by seconds: what a shop and the org date by theirs is held against ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sfsync.domain.coverage import Closes
from sfsync.domain.relay import IN_DOUBT

from .kit import TILL, WAKE, house, total

BAG = "BAG-1|ECOM"


BEHIND, AHEAD = timedelta(minutes=-5), timedelta(minutes=5)


async def test_an_order_of_the_first_seconds_is_not_lost_to_a_clock_that_is_behind() -> None:
    """By the shop's clock a bag was sold five minutes before we began: it was sold just now."""
    async with house({BAG: 5}) as h:
        h.shops["dubai"].fast = BEHIND
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 1)


async def test_an_order_from_before_us_is_not_entered_because_a_clock_is_ahead() -> None:
    """The shop's clock is five minutes ahead: what it sold a minute before we began, others have entered."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        began = await h.store.read(lambda tx: tx.channel_since("dubai"))
        assert began is not None
        dubai.fast = AHEAD
        number = dubai.buy("BAG-1")
        placed_at = began - timedelta(minutes=1) + AHEAD
        dubai.orders[number] = replace(dubai.orders[number], placed_at=placed_at)
        await h.deliver("dubai", number)
        await h.idle()
        assert not h.org.of("order:")


async def test_an_order_of_the_first_seconds_waits_until_the_shop_has_told_the_time() -> None:
    """Its webhook comes before any answer of the shop's: the order list, read next, has the order entered."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        dubai.fast, dubai.tells_time = BEHIND, False
        number = dubai.buy("BAG-1")
        await h.deliver("dubai", number)
        await h.idle()
        assert not h.org.of("order:")
        await h.supervisor.polls.poll("dubai")
        await h.idle()
        assert total(h.org.of("order:")) == (0, 1)


async def test_a_hole_is_not_closed_early_because_the_orgs_clock_is_ahead() -> None:
    """Away for a while. By the org's clock what it tells first is of after our return: it is of before."""
    async with house({BAG: 3}) as h:
        await h.stop()
        h.clock.pass_a_minute()
        h.org.keeps_alive, h.org.fast = False, AHEAD
        h.org.move(BAG, on_hand=-1)
        h.org.till(BAG, -1, "receipt-1")
        await h.start()
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.pulse.events[WAKE] and h.pulse.events[TILL])
        holes = await h.store.read(lambda tx: tx.open_holes())
        assert {hole.source: hole.closes for hole in holes} == {WAKE: Closes.REPLAY, TILL: Closes.REPLAY}
        assert all(hole.replayed_to is not None and hole.replayed_to < h.pulse.started_at for hole in holes)
        h.org.later = timedelta(seconds=2)
        h.org.move(BAG, on_hand=1)
        h.org.till(BAG, 1, "receipt-2")
        await h.shows("BAG-1", 3, 3)
        await h.idle()


async def test_a_hole_is_closed_in_time_although_the_orgs_clock_is_behind() -> None:
    """Away for a while. What the org tells of after our return is dated five minutes before it."""
    async with house({BAG: 3}) as h:
        await h.stop()
        h.org.keeps_alive, h.org.fast = False, BEHIND
        await h.start()
        await h.until(lambda: h.pulse.joined.keys() >= {WAKE, TILL})
        h.org.later = timedelta(seconds=2)
        h.org.move(BAG, on_hand=-1)
        h.org.till(BAG, -1, "receipt-1")
        await h.idle()
        await h.shows("BAG-1", 1, 1)


async def test_a_sale_of_after_a_reading_is_in_no_number_because_a_clock_is_behind() -> None:
    """By the shop's clock it was sold before we last read its number: it was sold since."""
    async with house({BAG: 5}) as h:
        h.shops["dubai"].fast = BEHIND
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        await h.shows("BAG-1", 4, 4)


async def test_a_sale_of_before_a_reading_is_not_taken_off_twice_because_a_clock_is_ahead() -> None:
    """By the shop's clock it was sold after we last read its number, which has it already."""
    async with house({BAG: 5}) as h:
        h.shops["dubai"].fast = AHEAD
        number = h.shops["dubai"].buy("BAG-1")  # nobody hears of it
        await h.store.write(lambda tx: tx.set_problem("dubai", "BAG-1", "online", IN_DOUBT, h.clock.now()))
        await h.supervisor.reconcile.recheck("dubai")
        await h.deliver("dubai", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        await h.shows("BAG-1", 4, 4)


async def test_a_number_read_before_a_shop_has_told_the_time_is_read_again() -> None:
    """A sale is heard of before the shop has said what time it is there: nobody can tell what was first."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        await h.store.write(lambda tx: tx.know_channel_since("dubai", h.clock.now() - timedelta(days=1)))
        await h.store.write(lambda tx: tx.set_problem("dubai", "BAG-1", "online", IN_DOUBT, h.clock.now()))
        await h.supervisor.reconcile.recheck("dubai")
        dubai.fast, dubai.tells_time = timedelta(seconds=-20), False
        await h.deliver("dubai", dubai.buy("BAG-1"))
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        await h.shows("BAG-1", 4, 4)
