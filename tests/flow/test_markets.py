"""Channels that take plain numbers only: whatever we write may go over a sale that nobody has told of."""

from __future__ import annotations

from tests.flow.kit import house
from tests.flow.market_kit import LittleMarket, numbers_sent

BAG = "BAG-1|ECOM"


async def test_a_channel_that_takes_numbers_is_sent_the_number() -> None:
    """Not the change; and a later sale at the org arrives in the same way."""
    async with house({BAG: 5}, shops=("bazaar",), make_shop=LittleMarket) as h:
        await h.shows("BAG-1", 5)
        h.org.move(BAG, -2)
        await h.shows("BAG-1", 3)
        assert numbers_sent(h.shops["bazaar"]) == [{"BAG-1": 5}, {"BAG-1": 3}]


async def test_a_sale_that_was_written_over_is_taken_off_again_once_it_is_heard_of() -> None:
    """Its own number no longer knows of it, so ours does not fall for it: the channel is told to lower it."""
    async with house({BAG: 5}, shops=("bazaar",), make_shop=LittleMarket) as h:
        bazaar = h.shops["bazaar"]
        number = bazaar.buy("BAG-1")
        h.org.move(BAG, -2)
        await h.shows("BAG-1", 3)
        await h.deliver("bazaar", number)
        await h.shows("BAG-1", 2)
        await h.idle()
        assert h.org.numbers(BAG) == (3, 1)
