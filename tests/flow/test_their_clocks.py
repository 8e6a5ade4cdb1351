"""Clocks differ by seconds: what a shop and the org date by theirs is held against ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from .kit import house, total

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
