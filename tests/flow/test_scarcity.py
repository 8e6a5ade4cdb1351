"""Policies for scarce SKUs, for SKUs sold from other locations, and what a location keeps for itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.kit import House, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.reservations import Outcome, ReservationKind, Wish, WishedLine
from sfsync.domain.why import Question
from sfsync.flow.why import Why

BAG, SHOP = "BAG-1|ECOM", "BAG-1|FLAGSHIP"


async def ask(
    h: House, units: int = 1, *, location: str | None = None, partial: bool = False, in_hand: bool = False
) -> Outcome:
    """Somebody asks for bags before paying."""
    lines = (WishedLine("BAG-1", units, location),)
    wish = Wish(
        ReservationKind.CART, "london", "cart 7", lines, timedelta(minutes=9), partial, in_hand=in_hand
    )
    return await h.desk.create(wish, idempotency_key=None, digest="")


async def told(h: House, channel: str) -> tuple[str, str, list[tuple[str, int]]]:
    """Guarantee, policy and sum, as `sfsync why` tells them of the bag at a channel."""
    answer: Any = await Why(h.ctx).tell(Question("BAG-1", channel=channel))
    (shown,) = answer["channels"]
    return shown["guarantee"], shown["policy"], [(part["what"], part["units"]) for part in shown["sum"]]


@pytest.mark.parametrize(
    ("rule", "deep", "few"),
    [
        (PolicyRule(("BAG-*",), safety_stock=1), (7, 7), (2, 2)),
        (PolicyRule(("BAG-*",), cap=1), (7, 7), (1, 1)),
        (PolicyRule(("BAG-*",), ("dubai",), Guarantee.UNKNOWN), (7, 7), (3, 0)),
        (PolicyRule(("BAG-*",), ("dubai",), Guarantee.GATED, safety_stock=2), (7, 7), (3, 1)),
        (PolicyRule(("BAG-*",), ("london",), Guarantee.ALLOCATED), (7, 7), (3, 0)),
        (PolicyRule(("BAG-*",), (), Guarantee.ALLOCATED, shares={"london": 2}), (7, 7), (2, 1)),
    ],
    ids=["safety stock", "cap", "unknown", "gated", "one channel at a time", "shares"],
)
async def test_a_policy_for_scarce_pieces_holds_from_three_on_until_there_are_six(
    rule: PolicyRule, deep: tuple[int, int], few: tuple[int, int]
) -> None:
    """Seven are shown as ever; of three what the policy says; five are still scarce, and seven no longer."""
    async with house({BAG: 7}, rules=(replace(rule, scarce_at=3, plentiful_at=6),)) as h:
        await h.shows("BAG-1", *deep)
        h.org.move(BAG, on_hand=-4)
        await h.shows("BAG-1", *few)
        await h.idle()
        assert len(await h.store.read(lambda tx: tx.scarce_skus())) == 1
        channel = rule.channels[0] if rule.channels else "london"
        assert (await told(h, channel))[1] == "policies[0], from 3 units on until there are 6"
        h.org.move(BAG, on_hand=2)
        await h.until_kept(lambda tx: [level.on_hand for level in tx.levels_of(["BAG-1"])] == [5])
        await h.idle()
        assert len(await h.store.read(lambda tx: tx.scarce_skus())) == 1
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", *deep)
        await h.idle()
        assert await h.store.read(lambda tx: tx.scarce_skus()) == {}
        assert h.org.numbers(BAG) == (7, 0)
        assert (await told(h, channel))[1] == "the channel's own settings"


async def test_the_switch_to_one_channel_leaves_no_second_number_out_that_it_could_raise() -> None:
    """Both shops show three; from two on London alone sells: it gets no unit that Dubai may still sell."""
    rule = PolicyRule(("BAG-*",), ("london",), Guarantee.ALLOCATED, scarce_at=2)
    async with house({BAG: 3}, rules=(rule,)) as h:
        dubai = h.shops["dubai"]
        await h.shows("BAG-1", 3, 3)
        dubai.next.extend(["later"] * 3)  # it is not reached at first
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 2, 0)
        await h.idle()
        assert (total(h.org.of("allocation:london:"))[1], h.org.numbers(BAG)) == (2, (2, 2))


async def test_few_of_one_rule_and_fewer_of_another_are_told_apart() -> None:
    """From four on one is kept back; from two on London alone sells; each rule has its own hysteresis."""
    one = PolicyRule(("BAG-*",), ("london",), Guarantee.ALLOCATED, scarce_at=2, plentiful_at=4)
    few = PolicyRule(("BAG-*",), safety_stock=1, scarce_at=4, plentiful_at=6)
    async with house({BAG: 6}, rules=(one, few)) as h:
        for change, shown in ((-2, (3, 3)), (-2, (2, 0)), (1, (3, 0)), (1, (3, 3)), (2, (6, 6))):
            h.org.move(BAG, on_hand=change)
            await h.shows("BAG-1", *shown)
            await h.idle()


async def test_a_policy_names_the_locations_that_its_articles_are_sold_from() -> None:
    """The bag is the flagship's alone: shown, reserved, sold and told from there; the scarf is not."""
    stock = {BAG: 5, SHOP: 2, "SCARF|ECOM": 4}
    rule = PolicyRule(("BAG-*",), sells_from=("FLAGSHIP",))
    async with house(stock, rules=(rule,), plan={"online": ("ECOM",)}) as h:
        await h.shows("BAG-1", 2, 2)
        await h.shows("SCARF", 4, 4)
        outcome = await ask(h)
        assert outcome.reservation is not None
        assert [str(line.level) for line in outcome.reservation.lines] == [SHOP]
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 0, 0)
        await h.idle()
        assert (h.org.numbers(SHOP), h.org.numbers(BAG)) == ((2, 2), (5, 0))
        h.org.move(BAG, on_hand=1)
        h.org.move(SHOP, on_hand=1)
        await h.shows("BAG-1", 1, 1)
        assert ("on hand at FLAGSHIP", 3) in (await told(h, "london"))[2]


async def test_units_set_aside_where_an_article_is_no_longer_sold_go_back() -> None:
    """Divided at the web warehouse; the policy then names the flagship: nothing stays reserved for nobody."""
    allocated = PolicyRule(("BAG-*",), guarantee=Guarantee.ALLOCATED)
    async with house({BAG: 4, SHOP: 2}, rules=(allocated,), plan={"online": ("ECOM",)}) as h:
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        await h.stop()
        h.rules = (PolicyRule(("BAG-*",), guarantee=Guarantee.ALLOCATED, sells_from=("FLAGSHIP",)),)
        await h.start()
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: (h.org.numbers(BAG), h.org.numbers(SHOP)) == ((4, 0), (2, 2)))


async def test_what_the_flagship_keeps_is_shown_and_given_to_nobody_outside() -> None:
    """One bag always stays there: not shown, not reserved, not set aside; `why` says whose rule it is."""
    async with house({SHOP: 3}, keep={"FLAGSHIP": 1}) as h:
        await h.shows("BAG-1", 2, 2)
        assert ("safety stock of FLAGSHIP", -1) in (await told(h, "dubai"))[2]
        refused = await ask(h, 3)
        assert (refused.problem, dict(refused.available)) == ("unavailable", {"BAG-1": {"FLAGSHIP": 2}})
        assert (await ask(h, 2)).reservation is not None
        await h.shows("BAG-1", 0, 0)
        assert (await ask(h, 1, location="FLAGSHIP")).problem == "unavailable"
        await h.idle()
        assert h.org.numbers(SHOP) == (3, 2)
        in_the_shop = await ask(h, 1, location="FLAGSHIP", in_hand=True)
        assert in_the_shop.problem == ""
        await h.idle()
        assert h.org.numbers(SHOP) == (3, 3)


async def test_a_reservation_is_moved_to_the_flagship_only_beside_what_it_keeps() -> None:
    """Two there, one kept: the first cart may be moved, the second may not, and stays where it was."""
    async with house({SHOP: 2, BAG: 3}, keep={"FLAGSHIP": 1}) as h:
        await h.shows("BAG-1", 4, 4)
        first, second = [(await ask(h, 1, location="ECOM")).reservation for _ in range(2)]
        assert first is not None
        assert second is not None
        assert (await h.desk.move(first.id, "FLAGSHIP")).problem == ""
        assert h.org.numbers(SHOP) == (2, 1)
        refused = await h.desk.move(second.id, "FLAGSHIP")
        assert (refused.problem, dict(refused.available)) == ("unavailable", {"BAG-1": {"ECOM": 2}})
        assert "0 available beside the safety stock of FLAGSHIP" in refused.detail
        await h.idle()
        assert (h.org.numbers(SHOP), h.org.numbers(BAG)) == ((2, 1), (3, 1))


async def test_who_has_paid_may_be_moved_to_what_the_flagship_keeps() -> None:
    """Her bag is damaged in the store room: the kept one is hers."""
    async with house({SHOP: 1, BAG: 1}, keep={"FLAGSHIP": 1}) as h:
        await h.shows("BAG-1", 1, 1)
        cart = (await ask(h, 1, location="ECOM")).reservation
        assert cart is not None
        assert (await h.desk.move(cart.id, "FLAGSHIP")).problem == "unavailable"
        await h.desk.confirm(cart.id, "#1")
        assert (await h.desk.move(cart.id, "FLAGSHIP")).problem == ""
        assert (h.org.numbers(SHOP), h.org.numbers(BAG)) == ((1, 1), (1, 0))


async def test_what_the_flagship_keeps_is_set_aside_for_no_channel() -> None:
    """Three, one kept: two are divided."""
    rule = PolicyRule(("BAG-*",), guarantee=Guarantee.ALLOCATED)
    async with house({SHOP: 3}, keep={"FLAGSHIP": 1}, rules=(rule,)) as h:
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        assert h.org.numbers(SHOP) == (3, 2)


async def test_a_customer_who_has_paid_gets_even_what_the_flagship_keeps() -> None:
    """Both sites sell the same last one in one moment; there is another, kept back, and no apology."""
    async with house({SHOP: 2}, keep={"FLAGSHIP": 1}) as h:
        await h.shows("BAG-1", 1, 1)
        bought = {name: shop.buy("BAG-1") for name, shop in h.shops.items()}
        for name, number in bought.items():
            await h.deliver(name, number)
        await h.idle()
        assert h.org.numbers(SHOP) == (2, 2)
        assert await h.store.read(lambda tx: tx.uncovered_lines(["BAG-1"])) == []


async def test_many_who_ask_at_once_leave_the_flagship_its_piece() -> None:
    """Six carts for three free bags of four: three are granted."""
    async with house({SHOP: 4}, keep={"FLAGSHIP": 1}) as h:
        outcomes = await asyncio.gather(*(ask(h) for _ in range(6)))
        assert sum(each.problem == "" for each in outcomes) == 3
        assert h.org.numbers(SHOP) == (4, 3)
