"""One channel at a time: a turn that is over passes on by itself, and no two numbers are ever out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import House, house
from tests.flow.test_allocations import BAG, held, watch

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.turns import Turns
from sfsync.domain.why import Question
from sfsync.flow.why import Why
from sfsync.store.tables import turn

RULE = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, turns=Turns(24.0, 6.0))


async def hours_later(h: House, hours: float) -> None:
    """So much of the turn is over; then somebody looks whose it is."""
    earlier = type_coerce(turn.c.since, Double) - timedelta(hours=hours).total_seconds()
    await h.store.write(lambda tx: tx.connection.execute(update(turn).values(since=earlier)))
    await h.supervisor.turns.look()


async def whose(h: House) -> tuple[str, str] | None:
    """Whose turn it is and whose the next one, as `sfsync why` tells it."""
    told: Any = (await Why(h.ctx).tell(Question("BAG-1")))["turn"]
    return told and (told["channel"], told["then"])


async def test_a_turn_passes_on_when_nothing_is_sold_and_never_are_both_numbers_out() -> None:
    """London has had the last one for seven hours and sold nothing: it is Dubai's, then London's again."""
    async with house({BAG: 1}, rules=(RULE,)) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        watching = asyncio.create_task(watch(h, {"london": 0, "dubai": 0}))
        assert await whose(h) == ("london", "dubai")
        await hours_later(h, 5)
        assert await whose(h) == ("london", "dubai")
        await hours_later(h, 2)
        await h.shows("BAG-1", 0, 1)
        await h.idle()
        assert await whose(h) == ("dubai", "london")
        assert (held(h, "london"), held(h, "dubai")) == (0, 1)
        await hours_later(h, 7)
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()


async def test_a_sale_prolongs_a_turn_but_not_beyond_its_hours() -> None:
    """London sells one of three in its seventh hour and goes on; after a day the rest is Dubai's."""
    async with house({BAG: 3}, rules=(RULE,)) as h:
        await h.shows("BAG-1", 3, 0)
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.shows("BAG-1", 2, 0)
        await h.idle()
        await hours_later(h, 7)
        await h.idle()
        await h.shows("BAG-1", 2, 0)
        assert await whose(h) == ("london", "dubai")
        await hours_later(h, 18)
        await h.shows("BAG-1", 0, 2)
        await h.idle()
        assert (held(h, "london"), held(h, "dubai"), h.org.numbers(BAG)) == (0, 2, (3, 3))


async def test_a_shop_that_is_not_reached_keeps_the_piece_although_its_turn_is_over() -> None:
    """Its shoppers may still buy it. Dubai has it when London's number is lowered, and not before."""
    async with house({BAG: 1}, rules=(RULE,)) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        h.shops["london"].next.extend(["later"] * 500)
        tried = len(h.shops["london"].next)
        await hours_later(h, 7)
        assert await whose(h) == ("dubai", "london")
        await h.until(lambda: len(h.shops["london"].next) < tried - 1)
        assert (h.shops["dubai"].shelf["BAG-1"], held(h, "dubai")) == (0, 0)
        h.shops["london"].next.clear()
        await h.shows("BAG-1", 0, 1)


async def test_who_takes_turns_is_forgotten_when_everybody_sells_it_again() -> None:
    """Of the last one each has its turn; with five there is none. Scarce again, London begins."""
    scarce = PolicyRule(
        ("BAG-1",), guarantee=Guarantee.ALLOCATED, turns=Turns(24.0), scarce_at=1, plentiful_at=3
    )
    async with house({BAG: 1}, rules=(scarce,)) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        await hours_later(h, 25)
        await h.shows("BAG-1", 0, 1)
        h.org.move(BAG, on_hand=4)
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        assert (await whose(h), await h.store.read(lambda tx: tx.skus_in_turn())) == (None, [])
        h.org.move(BAG, on_hand=-4)
        await h.shows("BAG-1", 1, 0)
        assert await whose(h) == ("london", "dubai")
