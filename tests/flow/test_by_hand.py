"""Divided units by a person's word and by what channels sell: lower, confirmed, move, raise; remembered."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import House, house
from tests.flow.test_allocations import BAG, DIVIDED, SCARCE, held, watch

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.by_hand import Do, Word
from sfsync.domain.reservations import OrphanCause
from sfsync.domain.stock import LevelKey
from sfsync.overview import Overview
from sfsync.store.tables import order_line


async def say(h: House, do: Do, channel: str, units: int | None = None, to: str | None = None) -> str:
    """Anna says it; the problem, if any."""
    return (await h.supervisor.hands.say(Word(do, channel, "BAG-1", units, to), "Anna")).problem


async def stands(h: House) -> list[tuple[str, int, int | None, int]]:
    """Each channel: what it is to have, what was said, what is set aside."""
    rows = await h.supervisor.hands.standing("BAG-1")
    return [(row.channel, row.goal, row.fixed.units if row.fixed else None, row.held) for row in rows]


@pytest.mark.parametrize("fate", ["", "lost", "reply lost", "late"])
async def test_units_move_by_a_word_in_the_order_that_oversells_nothing(fate: str) -> None:
    """Two of London's are to be Dubai's, and each party goes silent in turn: none shows what it has not."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        watching = asyncio.create_task(watch(h, {"london": 0, "dubai": 0}))
        if fate:
            for party in (h.org, *h.shops.values()):
                party.next.append(fate)
        assert await say(h, Do.MOVE, "london", 2, "dubai") == ""
        if fate == "late":
            await asyncio.sleep(0.3)
            for party in (h.org, *h.shops.values()):
                party.land()
        await h.shows("BAG-1", 1, 5)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert await stands(h) == [("london", 1, 1, 1), ("dubai", 5, 5, 5)]
        assert h.org.numbers(BAG) == (6, 6)


async def test_a_word_stands_over_receipts_and_a_restart_until_it_is_released() -> None:
    """London is to have one. What comes in is Dubai's, also after a restart; released, it is halved again."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        assert await say(h, Do.SET, "london", 1) == ""
        await h.shows("BAG-1", 1, 5)
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 1, 7)
        await h.stop()
        await h.start()
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 1, 9)
        (london, _) = await h.supervisor.hands.standing("BAG-1")
        assert london.fixed is not None
        assert (london.fixed.units, london.fixed.who) == (1, "Anna")
        assert await say(h, Do.RELEASE, "london") == ""
        await h.shows("BAG-1", 5, 5)
        assert await say(h, Do.RELEASE, "london") == "not-said"
        await h.idle()
        assert h.org.numbers(BAG) == (10, 10)


async def test_what_is_withdrawn_from_all_goes_back_to_everybody() -> None:
    """Both give all: nothing is shown, and the six may be reserved by whoever asks."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        assert await say(h, Do.WITHDRAW, "dubai", 1) == ""
        await h.shows("BAG-1", 4, 2)
        assert await say(h, Do.WITHDRAW, "dubai") == ""
        assert await say(h, Do.WITHDRAW, "london") == ""
        await h.shows("BAG-1", 0, 0)
        await h.until(lambda: h.org.numbers(BAG) == (6, 0))
        await h.idle()  # the org's answer is taken over
        assert await stands(h) == [("london", 0, 0, 0), ("dubai", 0, 0, 0)]
        assert await say(h, Do.WITHDRAW, "london", 1) == "too-few"
        assert await say(h, Do.SET, "paris", 1) == "no-such-channel"
        assert (await h.reserve("BAG-1", 6)).problem == ""


async def test_a_sale_that_nobody_has_told_of_is_not_given_away_by_a_word_either() -> None:
    """Dubai has sold one, unheard; told to have none, it keeps what explains its number."""
    async with house({BAG: 4}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 2, 2)
        async with h.supervisor.polls.reading["dubai"]:
            unseen = h.shops["dubai"].buy("BAG-1")
            tried = len(h.shops["dubai"].sent)
            assert await say(h, Do.WITHDRAW, "dubai") == ""
            await h.until(lambda: len(h.shops["dubai"].sent) > tried)
            await h.until(lambda: h.shops["dubai"].shelf["BAG-1"] <= 1)
            assert held(h, "london") <= 3
        await h.deliver("dubai", unseen)
        await h.shows("BAG-1", 3, 0)
        await h.idle()
        assert h.org.numbers(BAG) == (4, 4)
        assert (held(h, "london"), held(h, "dubai")) == (3, 0)


async def test_what_is_not_divided_now_is_told_and_nothing_is_remembered() -> None:
    """A shared bag has nobody's units; a scarce one takes a word while it is divided, and keeps it."""
    async with house({BAG: 5}, rules=(SCARCE,)) as h:
        await h.shows("BAG-1", 5, 5)
        assert await say(h, Do.SET, "london", 1) == "not-divided"
        assert await h.store.read(lambda tx: tx.skus_by_hand()) == []
        h.org.move(BAG, on_hand=-2)
        await h.shows("BAG-1", 2, 1)
        assert await say(h, Do.SET, "london", 0) == ""
        await h.shows("BAG-1", 0, 3)
        h.org.move(BAG, on_hand=3)
        await h.shows("BAG-1", 6, 6)
        h.org.move(BAG, on_hand=-3)
        await h.shows("BAG-1", 0, 3)
        assert [row.sku for row in await h.supervisor.hands.standing()] == ["BAG-1", "BAG-1"]


async def test_units_go_where_they_sell_counted_by_full_hours() -> None:
    """London has sold two last week, Dubai none: three parts of four are London's, once the hour is over."""
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, demand_days=28)
    async with house({BAG: 10}, rules=(rule,)) as h:
        await h.shows("BAG-1", 5, 5)
        for _ in range(2):
            await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.idle()
        await h.shows("BAG-1", 4, 4)  # the two have left London's; the eight that are left are still halved
        week = type_coerce(order_line.c.placed_at, Double) - timedelta(days=7).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(order_line).values(placed_at=week)))
        await h.supervisor.demand.look()
        await h.shows("BAG-1", 6, 2)
        await h.idle()
        assert h.org.numbers(BAG) == (10, 10)


async def test_what_a_removed_channel_left_behind_is_told_and_given_back_once_it_shows_none() -> None:
    """Dubai leaves the settings with three bags: nobody's until a person has seen that its site is empty."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        await h.stop()
        del h.shops["dubai"]
        await h.start()
        await h.idle()
        assert h.org.numbers(BAG) == (6, 6)
        (london, gone) = await h.supervisor.hands.standing("BAG-1")
        assert (london.gone, gone.gone, gone.channel) == (False, True, "dubai")
        assert (gone.goal, gone.held, gone.shows) == (0, 3, 3)
        (orphan,) = await h.desk.orphans()
        assert (orphan.cause, orphan.channel) == (OrphanCause.GONE, "dubai")
        assert orphan.units == {LevelKey.parse(BAG): 3}
        status = await Overview(h.store, h.ctx.assortment, h.clock, {"london": "shopify"}, h.pulse).status()
        assert status["health"]["state"] == "warning"
        assert any("3 units of BAG-1 are still set aside" in why for why in status["health"]["reasons"])

        for do, units, to in ((Do.WITHDRAW, None, None), (Do.WITHDRAW, 1, None), (Do.MOVE, 1, "london")):
            assert await say(h, do, "dubai", units, to) == "channel-gone"
        await h.idle()
        assert h.org.numbers(BAG) == (6, 6)
        word = Word(Do.WITHDRAW, "dubai", "BAG-1", shows_none=True)
        assert (await h.supervisor.hands.say(word, "Anna")).problem == ""
        await h.until(lambda: h.shops["london"].shelf["BAG-1"] == 6)
        await h.idle()
        assert await stands(h) == [("london", 6, None, 6)]
        assert await h.desk.orphans() == []
