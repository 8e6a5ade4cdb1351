"""Goods leave over the counter while they lie in carts: whoever pays then is told, and never too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.flow.kit import House, house, total
from tests.flow.test_reservation_life import granted, kept, reservation_of

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.block import BlockRule
from sfsync.domain.incidents import OVERSOLD, PAID_UNAVAILABLE
from sfsync.domain.reservations import Outcome, ReservationKind, Wish, WishedLine
from sfsync.domain.reservations import ReservationState as State

BAG, SCARF = "BAG-1|ECOM", "SCARF-1|ECOM"
GATED = PolicyRule(("BAG-1", "SCARF-1"), guarantee=Guarantee.GATED)


async def sold_at_the_counter(h: House, level: str, units: int = 1) -> None:
    """The counter sells them, and sfsync has heard of it."""
    before = h.org.numbers(level)[0]
    h.org.till(level, -units, f"receipt {before}")
    sku = level.partition("|")[0]
    await h.until_kept(
        lambda tx: (
            [each.on_hand for each in tx.levels_of([sku]) if str(each.key) == level] == [before - units]
        )
    )


async def incidents(h: House) -> list[tuple[str, str]]:
    return sorted((each.kind, each.key) for each in await h.store.read(lambda tx: tx.incidents()))


async def both(h: House) -> str:
    """The id of a cart of a bag and a scarf."""
    lines = (WishedLine("BAG-1", 1), WishedLine("SCARF-1", 2))
    wish = Wish(ReservationKind.CART, "london", "cart 7", lines, timedelta(minutes=15))
    return reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id


def told(outcome: Outcome) -> tuple[str, State]:
    return outcome.problem, reservation_of(outcome).state


async def test_a_cart_whose_bag_left_over_the_counter_is_not_confirmed() -> None:
    """The bag in her cart was sold a minute ago, and sfsync knows. She pays: no, and where one is left."""
    async with house({BAG: 1, "BAG-1|TOWN": 2}, rules=(GATED,), plan={"online": ("ECOM",)}) as h:
        number = await granted(h)
        await sold_at_the_counter(h, BAG)
        outcome = await h.desk.confirm(number, "#1001")
        assert told(outcome) == ("paid-unavailable", State.PAID_UNAVAILABLE)
        assert outcome.available == {"BAG-1": {"TOWN": 2}}
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        await h.idle()
        assert await incidents(h) == [(PAID_UNAVAILABLE, number)]
        assert told(await h.desk.confirm(number, "#1001")) == ("paid-unavailable", State.PAID_UNAVAILABLE)
        moved = await h.desk.move(number, "TOWN")
        assert told(moved) == ("", State.CONFIRMED)
        assert (h.org.numbers("BAG-1|TOWN"), await incidents(h)) == ((2, 1), [])


@pytest.mark.parametrize(
    ("kind", "elsewhere", "state"),
    [
        (ReservationKind.CART, 0, State.RELEASED),
        (ReservationKind.CART, 1, State.RELEASED),
        (ReservationKind.PICK_UP, 0, State.PAID_UNAVAILABLE),
    ],
)
async def test_an_order_that_nobody_confirmed_takes_over_no_bag_that_left_over_the_counter(
    kind: ReservationKind, elsewhere: int, state: State
) -> None:
    """The order names her cart, whose bag was sold a minute ago: it gets another one, or is told."""
    stock, plan = {BAG: 1, "BAG-1|TOWN": elsewhere}, {"online": ("ECOM", "TOWN")}
    async with house(stock, rules=(GATED,), shops=("london",), plan=plan) as h:
        wish = Wish(kind, "london", "Ms Kay", (WishedLine("BAG-1", 1, "ECOM"),), timedelta(minutes=15))
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        await sold_at_the_counter(h, BAG)
        order = h.shops["london"].buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        await h.idle()
        lost = await kept(h, number)
        assert (lost.state, lost.reason) == (
            state,
            "goods have left since it was granted, and stock does not cover 1 of BAG-1|ECOM",
        )
        assert total(h.org.of(f"order:london:{order}")) == (0, elsewhere)
        oversold = [] if elsewhere else [(OVERSOLD, f"order:london:{order}:1")]
        fetched = [(PAID_UNAVAILABLE, number)] if kind is ReservationKind.PICK_UP else []
        assert await incidents(h) == oversold + fetched
        if oversold:
            h.org.move("BAG-1|TOWN", on_hand=1)
            await h.until(lambda: total(h.org.of(f"order:london:{order}")) == (0, 1))


async def test_orders_that_nobody_confirmed_take_over_what_stock_covers_of_their_carts() -> None:
    """Three bags in two carts, the older one of two; one is sold at the counter. The newer has lost its."""
    async with house({BAG: 3}, rules=(GATED,), shops=("london",)) as h:
        carts = [await granted(h, 2), await granted(h)]
        await sold_at_the_counter(h, BAG)
        orders = [
            h.shops["london"].buy("BAG-1", units, reservations=(number,))
            for units, number in zip((2, 1), carts, strict=True)
        ]
        for order in reversed(orders):
            await h.deliver("london", order)
            await h.idle()
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))
        assert [total(h.org.of(f"order:london:{order}"))[1] for order in orders] == [2, 0]
        assert await incidents(h) == [(OVERSOLD, f"order:london:{orders[1]}:1")]


async def test_what_is_left_of_a_cart_is_its_order_s_and_the_rest_is_told() -> None:
    """Two bags in her cart, one sold at the counter, and her order comes: it has one, and lacks one."""
    async with house({BAG: 2}, rules=(GATED,), shops=("london",)) as h:
        number = await granted(h, 2)
        await sold_at_the_counter(h, BAG)
        order = h.shops["london"].buy("BAG-1", 2, reservations=(number,))
        await h.deliver("london", order)
        await h.until(lambda: total(h.org.of(f"order:london:{order}")) == (0, 1))
        await h.idle()
        assert h.org.numbers(BAG) == (1, 1)
        [found] = await h.store.read(lambda tx: tx.incidents())
        assert (found.kind, found.key, found.units) == (OVERSOLD, f"order:london:{order}:1", 1)


async def test_goods_that_come_after_that_are_hers_who_has_paid() -> None:
    """A bag comes back to the shelf: it is reserved for her at once, before anybody is shown it."""
    async with house({BAG: 1}, rules=(GATED,)) as h:
        number = await granted(h)
        await sold_at_the_counter(h, BAG)
        await h.desk.confirm(number, "#1001")
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.CONFIRMED)
        assert (h.org.numbers(BAG), await incidents(h)) == ((1, 1), [])


async def test_only_the_carts_that_stock_does_not_cover_are_told_no() -> None:
    """Three bags in three carts, one sold at the counter: the newest cart has lost its bag, no other."""
    async with house({BAG: 3}, rules=(GATED,)) as h:
        carts = [await granted(h) for _ in range(3)]
        await sold_at_the_counter(h, BAG)
        answers = [told(await h.desk.confirm(number, f"#{number}"))[0] for number in carts]
        assert answers == ["", "", "paid-unavailable"]
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))
        await h.idle()
        assert await incidents(h) == [(PAID_UNAVAILABLE, carts[2])]


async def test_a_cart_that_is_giving_back_its_bag_takes_nobody_elses() -> None:
    """Three carts, one bag sold. The newest is told no, and the org is away: the others have theirs."""
    async with house({BAG: 3}, rules=(GATED,)) as h:
        first, second, newest = [await granted(h) for _ in range(3)]
        await sold_at_the_counter(h, BAG)
        h.org.next.extend(["later"] * 1000)
        asked = asyncio.create_task(h.desk.confirm(newest, "#1003"))
        await h.until_kept(lambda tx: (r := tx.reservation(newest)) and r.state is State.PAID_UNAVAILABLE)
        for number in (second, first):
            assert told(await h.desk.confirm(number, f"#{number}")) == ("", State.CONFIRMED)
        h.org.next.clear()
        assert told(await asked) == ("paid-unavailable", State.PAID_UNAVAILABLE)
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))


async def test_what_stock_covers_is_first_of_all_hers_who_was_told_that_it_is_hers() -> None:
    """The newer cart is paid for and confirmed; then a bag is sold at the counter. The older one pays: no."""
    async with house({BAG: 2}, rules=(GATED,)) as h:
        older, newer = await granted(h), await granted(h)
        assert told(await h.desk.confirm(newer, "#1001")) == ("", State.CONFIRMED)
        await sold_at_the_counter(h, BAG)
        assert told(await h.desk.confirm(older, "#1002"))[0] == "paid-unavailable"
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        assert (await kept(h, newer)).state is State.CONFIRMED
        assert await incidents(h) == [(PAID_UNAVAILABLE, older)]


async def test_of_a_cart_with_several_goods_what_is_there_is_confirmed() -> None:
    """A bag and two scarves; the bag and one scarf are sold. She has a scarf, and is told about the rest."""
    async with house({BAG: 1, SCARF: 2}, rules=(GATED,)) as h:
        number = await both(h)
        await sold_at_the_counter(h, BAG)
        await sold_at_the_counter(h, SCARF)
        outcome = await h.desk.confirm(number, "#1001")
        lost = reservation_of(outcome)
        assert (outcome.problem, lost.instead_of) == ("paid-unavailable", number)
        assert lost.order_reference == "#1001"
        assert [(line.level.sku, line.quantity) for line in lost.lines] == [("BAG-1", 1), ("SCARF-1", 1)]
        assert number in outcome.detail
        stays = await kept(h, number)
        assert (stays.state, [line.quantity for line in stays.lines]) == (State.CONFIRMED, [0, 1])
        await h.until(lambda: (h.org.numbers(BAG), h.org.numbers(SCARF)) == ((0, 0), (1, 1)))
        await h.idle()
        assert await incidents(h) == [(PAID_UNAVAILABLE, lost.id)]
        again = await h.desk.confirm(number, "#1001")  # the answer was lost
        assert (again.problem, reservation_of(again).id) == ("paid-unavailable", lost.id)
        h.org.move(BAG, on_hand=1)
        h.org.move(SCARF, on_hand=1)
        await h.until_kept(lambda tx: (r := tx.reservation(lost.id)) and r.state is State.CONFIRMED)
        assert told(await h.desk.confirm(number, "#1001")) == ("", State.CONFIRMED)
        await h.until(lambda: h.shops["london"].shelf["BAG-1"] == 1)
        order = h.shops["london"].buy("BAG-1", reservations=(number, lost.id))
        await h.deliver("london", order)
        await h.idle()
        assert (h.org.numbers(BAG), total(h.org.of("order:"))) == ((1, 1), (0, 1))


async def test_paid_in_the_moment_after_its_time_it_is_looked_at_too() -> None:
    """Its time is over, nothing has been given back yet, and its bag is gone."""
    async with house({BAG: 1}, rules=(GATED,)) as h:
        number = await granted(h)
        ends = (await kept(h, number)).expires_at
        assert ends is not None
        await sold_at_the_counter(h, BAG)
        h.clock.stopped_at = ends
        assert (await h.desk.confirm(number, "#1001")).problem == "paid-unavailable"
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))


async def test_a_bag_out_of_the_local_block_may_have_left_too() -> None:
    """Two are granted out of the block of two, and the org has not heard of it when the counter sells one."""
    drop = PolicyRule(("BAG-1",), guarantee=Guarantee.GATED, block=BlockRule(2, ("ECOM",)))
    async with house({BAG: 2}, rules=(drop,), shops=("london",)) as h:
        carts = [await granted(h) for _ in range(2)]
        await sold_at_the_counter(h, BAG)
        answers = await asyncio.gather(*(h.desk.confirm(each, f"#{each}") for each in carts))
        assert sorted(each.problem for each in answers) == ["", "paid-unavailable"]
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))


async def test_another_piece_that_nobody_has_takes_the_place_of_the_one_that_left() -> None:
    """Numbered bags: hers was sold over the counter, another lies there. She asked for no number."""
    async with house({f"{BAG}|1": 1, f"{BAG}|2": 1}, rules=(GATED,)) as h:
        number = await granted(h)
        [line] = (await kept(h, number)).lines
        other = {"1": "2", "2": "1"}[str(line.level.unit)]
        await sold_at_the_counter(h, str(line.level))
        assert told(await h.desk.confirm(number, "#1001")) == ("", State.CONFIRMED)
        assert [each.level.unit for each in (await kept(h, number)).lines] == [other]
        assert (h.org.numbers(str(line.level)), h.org.numbers(f"{BAG}|{other}")) == ((0, 0), (1, 1))


async def test_a_no_is_told_while_the_org_is_away_too() -> None:
    """What sfsync knows is enough: the bag has left. It is given back in the org when that is there again."""
    async with house({BAG: 1}, rules=(GATED,)) as h:
        number = await granted(h)
        await sold_at_the_counter(h, BAG)
        h.org.next.extend(["later"] * 1000)
        asked = asyncio.create_task(h.desk.confirm(number, "#1001"))
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.PAID_UNAVAILABLE)
        await h.kill()
        asked.cancel()
        h.org.next.clear()
        await h.start()
        assert (await h.desk.confirm(number, "#1001")).problem == "paid-unavailable"
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))


async def test_an_incident_names_those_who_lose_their_cover_first_and_counts_the_others() -> None:
    """Forty carts lie on forty bags, and the counter sells two: the two newest are named as uncovered."""
    async with house({BAG: 40}, rules=(GATED,)) as h:
        await asyncio.gather(*(h.reserve("BAG-1") for _ in range(40)))
        await h.idle()
        await sold_at_the_counter(h, BAG, 2)
        await h.until_kept(lambda tx: [each.kind for each in tx.incidents()] == [OVERSOLD])
        [incident] = await h.store.read(lambda tx: tx.incidents())
        promises = incident.detail["promises"]
        assert isinstance(promises, list)
        assert (len(promises), incident.detail["holders"]) == (20, 40)
        assert [each["uncovered"] for each in promises] == [1, 1] + [0] * 18
        since = [each["since"] for each in promises]
        assert since == sorted(since, reverse=True)
