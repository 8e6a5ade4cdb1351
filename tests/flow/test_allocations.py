"""Promise 5, allocations conserve: units divided among shops, moved, sold unseen, and shared again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import ForgetfulShop, House, LittleShop, UnhurriedShop, house, total, uncovered

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.incidents import MISPLACED, UNEXPLAINED
from sfsync.domain.reservations import ReservationKind, Wish, WishedLine
from sfsync.domain.transfers import Stage, Transfer
from sfsync.exposed import exposure
from sfsync.flow import allocations
from sfsync.flow.allocations import Divider
from sfsync.flow.picture import Picture
from sfsync.flow.policies import Policies
from sfsync.flow.shelf import refresh
from sfsync.ports import Tx
from sfsync.store.tables import channel_level

BAG, IN_BOND_STREET = "BAG-1|ECOM", "BAG-1|BOND"
DIVIDED = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
DUBAI_FROM_ECOM = PolicyRule(("BAG-1",), ("dubai",), sells_from=("ECOM",))
SCARCE = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, scarce_at=3, plentiful_at=6)
FIRST = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, shares={"dubai": 0}, scarce_at=3)


def held(h: House, shop: str) -> int:
    """Units reserved in the org for one shop."""
    return total(h.org.of(f"allocation:{shop}:"))[1]


async def on_hand(h: House, units: int) -> None:
    """Wait until so many bags are there by our mirror of the org, and nothing waits any more."""
    await h.until_kept(lambda tx: sum(level.on_hand for level in tx.levels_of(["BAG-1"])) == units)
    await h.idle()


async def watch(h: House, sold: dict[str, int]) -> None:
    """Until cancelled: no shop may ever be able to sell what the org does not hold for it."""
    while True:
        for name, shop in h.shops.items():
            unsettled = sold[name] + total(h.org.of(f"order:{name}:"))[1] * -1
            assert shop.shelf["BAG-1"] + unsettled <= held(h, name), (name, shop.shelf, held(h, name))
        await asyncio.sleep(0)


async def test_units_are_divided_and_each_shop_shows_its_own() -> None:
    """Seven pieces, two shops: four and three, and all seven are reserved."""
    async with house({BAG: 7}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 4, 3)
        assert (held(h, "london"), held(h, "dubai")) == (4, 3)
        assert h.org.numbers(BAG) == (7, 7)


async def test_units_are_divided_by_the_shares_of_the_policy() -> None:
    """London has three of four shares."""
    rule = PolicyRule(("BAG-1",), ("london", "dubai"), Guarantee.ALLOCATED, shares={"london": 3})
    async with house({BAG: 8}, rules=(rule,)) as h:
        await h.shows("BAG-1", 6, 2)


async def test_units_that_one_shop_cannot_sell_are_set_aside_for_the_other_and_shown() -> None:
    """Of six bags five stand in Bond Street, where Dubai does not sell from: its half cannot be three."""
    async with house({BAG: 1, IN_BOND_STREET: 5}, rules=(DIVIDED, DUBAI_FROM_ECOM)) as h:
        await h.shows("BAG-1", 5, 1)
        await h.idle()
        assert (held(h, "london"), held(h, "dubai")) == (5, 1)
        h.org.move(BAG, on_hand=4)
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(IN_BOND_STREET)) == ((5, 5), (5, 5))


async def test_units_in_the_way_are_swapped_for_others_that_the_shop_can_sell() -> None:
    """London has two that Dubai could sell. Four come in where London alone sells: it has those instead."""
    async with house({BAG: 4, IN_BOND_STREET: 0}, rules=(DIVIDED, DUBAI_FROM_ECOM)) as h:
        await h.shows("BAG-1", 2, 2)
        watching = asyncio.create_task(watch(h, {"london": 0, "dubai": 0}))
        h.org.move(IN_BOND_STREET, on_hand=4)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert (held(h, "london"), held(h, "dubai")) == (4, 4)
        assert (h.org.numbers(BAG), h.org.numbers(IN_BOND_STREET)) == ((4, 4), (4, 4))


async def test_a_shop_that_has_sold_out_is_given_some_of_the_others() -> None:
    """Lower first, confirm, move, raise: at no moment can the two sell more than there are."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        sold = {"london": 0, "dubai": 0}
        watching = asyncio.create_task(watch(h, sold))
        for _ in range(3):
            order = h.shops["london"].buy("BAG-1")
            sold["london"] += 1
            await h.deliver("london", order)
        await h.shows("BAG-1", 1, 2)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert (held(h, "london"), held(h, "dubai")) == (1, 2)
        assert total(h.org.of("order:london:")) == (0, 3)
        assert h.org.numbers(BAG) == (6, 6)


@pytest.mark.parametrize("fate", ["lost", "reply lost", "later", "late"])
async def test_trouble_while_units_move_creates_and_loses_none(fate: str) -> None:
    """Each party goes silent in turn; what is unknown counts on the safe side until it is known."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        sold = {"london": 0, "dubai": 0}
        watching = asyncio.create_task(watch(h, sold))
        for party in (h.org, *h.shops.values()):
            party.next.append(fate)
            order = h.shops["london"].buy("BAG-1")
            sold["london"] += 1
            await h.deliver("london", order)
            await asyncio.sleep(0.3)
            party.land()
            await h.idle()
        await h.shows("BAG-1", 1, 2)
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert h.org.numbers(BAG) == (6, 6)


async def test_a_row_that_an_unseen_sale_stops_goes_out_of_its_push_and_the_others_leave_in_the_next() -> (
    None
):
    """Dubai has sold a bag, unheard. One less is asked of it in the same call as scarves and shoes.

    The call is refused whole, because of the bag alone. Scarves and shoes leave in the very next call, as
    they were. The bag's number is read again: no call goes over the sale, and no bag is given away.
    """
    stock = {BAG: 4, "SCARF|ECOM": 5, "SHOE|ECOM": 5, "HAT|ECOM": 5}
    async with house(stock, rules=(DIVIDED,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 2, 2)
        dubai = h.shops["dubai"]
        assert isinstance(dubai, UnhurriedShop)
        async with h.supervisor.polls.reading["dubai"]:  # its order list is not read meanwhile
            unseen = dubai.buy("BAG-1")
            dubai.answering.clear()
            h.org.move("HAT|ECOM", on_hand=-1)  # a call that is under way while the others become due
            await h.until_kept(lambda tx: bool(tx.open_pushes("dubai")))
            h.org.move("SCARF|ECOM", on_hand=-2)
            h.org.move("SHOE|ECOM", on_hand=3)
            for _ in range(2):
                await h.deliver("london", h.shops["london"].buy("BAG-1"))
            together = {"BAG-1", "SCARF", "SHOE"}
            await h.until_kept(lambda tx: {level.sku for level in tx.due("dubai", 9)} == together)
            tried = len(dubai.sent)
            dubai.answering.set()
            await h.until(lambda: (dubai.shelf["SCARF"], dubai.shelf["SHOE"]) == (3, 8))

            def read_again(tx: Tx) -> bool:
                (level,) = tx.channel_levels(["BAG-1"], "dubai")
                return (level.published, level.problem) == (1, "")

            await h.until_kept(read_again)
            await h.idle()
            _, refused, following, *later = (json.loads(body)[1] for body in dubai.sent[tried:])
            changes = {sku: (delta, compare) for sku, delta, compare in refused}
            assert changes == {"BAG-1": (-1, 2), "SCARF": (-2, None), "SHOE": (3, None)}
            assert following == [row for row in refused if row[0] != "BAG-1"]
            assert all(delta < 0 and compare == 1 for rows in later for _, delta, compare in rows)
            await h.shows("BAG-1", 0, 1)
        await h.deliver("dubai", unseen)
        await h.idle()
        assert held(h, "london") + held(h, "dubai") == 1
        assert (total(h.org.of("order:london:")), total(h.org.of("order:dubai:"))) == ((0, 2), (0, 1))
        assert h.org.numbers(BAG) == (4, 4)


async def test_a_sale_that_nobody_has_told_of_is_not_given_away() -> None:
    """Dubai has sold one, unheard. London sells out: Dubai's number does not match, so it frees nothing."""
    async with house({BAG: 4}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 2, 2)
        async with h.supervisor.polls.reading["dubai"]:  # its order list is not read meanwhile
            unseen = h.shops["dubai"].buy("BAG-1")
            tried = len(h.shops["dubai"].sent)
            for _ in range(2):
                await h.deliver("london", h.shops["london"].buy("BAG-1"))
            await h.until(lambda: len(h.shops["dubai"].sent) > tried)  # one less is asked of Dubai, in vain
            await h.idle()
            # Two units are left: one that Dubai shows, one that it has sold. None is London's.
            await h.shows("BAG-1", 0, 1)
        assert held(h, "london") == 0
        assert held(h, "dubai") + total(h.org.of("order:dubai:"))[1] == 2
        await h.deliver("dubai", unseen)
        await h.idle()
        assert h.org.numbers(BAG) == (4, 4)
        assert (held(h, "dubai"), total(h.org.of("order:dubai:"))) == (1, (0, 1))


async def test_a_number_that_somebody_lowered_is_given_up_only_after_the_order_list_was_read() -> None:
    """Staff wrote a lower number: no sale ever explains it. The units come back, and somebody is told: after
    half as long again as the shop's list may lag behind its orders."""
    async with house({BAG: 4}, rules=(DIVIDED,), shops=("london",)) as h:
        await h.shows("BAG-1", 4)
        h.shops["london"].shelf["BAG-1"] = 3
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        assert h.shops["london"].shelf["BAG-1"] == 3
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == set()
        aged = type_coerce(channel_level.c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(changed_at=aged)))
        late = replace(h.ctx.assortment.channels["london"], orders_lag=timedelta(minutes=15))  # lists slowly
        h.ctx.assortment.adopt(replace(h.ctx.assortment, channels={"london": late}))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == set()
        usual = replace(late, orders_lag=timedelta(minutes=10))
        h.ctx.assortment.adopt(replace(h.ctx.assortment, channels={"london": usual}))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == {"BAG-1"}
        told = await h.store.read(lambda tx: tx.incidents())
        assert [incident.kind for incident in told] == [UNEXPLAINED]
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 5)


async def test_a_shop_that_joins_makes_nothing_spare_of_what_another_has_sold_unheard() -> None:
    """Dubai has sold one, and its order list lags. London opens and is read for the first time: both shops
    call their stockroom "online", and the sold bag must not be taken for one that Dubai never showed."""
    async with house({BAG: 4}, rules=(DIVIDED,), shops=("dubai",)) as h:
        await h.shows("BAG-1", 4)
        dubai = h.shops["dubai"]
        unseen = dubai.buy("BAG-1")
        order = dubai.orders.pop(unseen)
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        await h.stop()
        h.shops["london"] = LittleShop(h.clock, "london", {"BAG-1": 0})
        await h.start()
        watching = asyncio.create_task(watch(h, {"dubai": 1, "london": 0}))
        await h.until(lambda: h.shops["london"].shelf["BAG-1"] > 0)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 3
        dubai.orders[unseen] = order
        await h.deliver("dubai", unseen)
        await h.until(lambda: total(h.org.of("order:dubai:")) == (0, 1))
        await h.idle()
        assert held(h, "dubai") + held(h, "london") == 3
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_unit_that_comes_while_a_number_is_in_doubt_is_missing_nowhere() -> None:
    """Sold in the second of the reading: whether the number has seen it is not known when a bag comes in.

    Taken for cover of a number that was too high already, it would be nobody's when the number has been read
    again: not shown for a quarter of an hour, and then an alarm about a sale that never was.
    """
    async with house({BAG: 3}, rules=(DIVIDED,), shops=("london",)) as h:
        await h.shows("BAG-1", 3)
        london, c = h.shops["london"], channel_level.c
        now = type_coerce(h.clock.now().timestamp() + 1, Double)
        read_now = {c.baseline_from: now, c.baseline_at: now}
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(read_now)))
        london.reading = asyncio.Semaphore(0)  # no number is read before we say so
        await h.deliver("london", london.buy("BAG-1"))
        await h.until_kept(lambda tx: tx.in_doubt("london") and not tx.waiting_bundles(0))
        await h.until(lambda: held(h, "london") == 2)
        h.org.move(BAG, on_hand=1)
        await h.until(lambda: held(h, "london") == 3)
        await h.until_kept(lambda tx: not tx.waiting_bundles(0))
        for _ in range(9):
            london.reading.release()
        await h.until_kept(lambda tx: not tx.in_doubt("london"))
        await h.shows("BAG-1", 3)
        await h.idle()
        aged = type_coerce(c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(changed_at=aged)))
        await h.supervisor.polls.poll("london")
        await h.store.write(lambda tx: tx.put_poll_mark("london", h.clock.now()))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == set()
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_an_order_cancelled_without_restock_explains_the_lower_number_itself() -> None:
    """The bag is London's again and its number stayed: it comes back to the number, and nobody is alarmed."""
    async with house({BAG: 4}, rules=(DIVIDED,), shops=("london",)) as h:
        await h.shows("BAG-1", 4)
        shop = h.shops["london"]
        order = shop.buy("BAG-1")
        await h.deliver("london", order)
        await h.idle()
        shop.change(order, open_quantity=0)  # its own number stays at three
        await h.deliver("london", order)
        await h.idle()
        assert (held(h, "london"), shop.shelf["BAG-1"]) == (4, 3)
        aged = type_coerce(channel_level.c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(changed_at=aged)))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == {"BAG-1"}
        assert await h.store.read(lambda tx: tx.incidents()) == []
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 5)


async def test_a_scarce_sku_is_divided_and_shared_again_when_it_is_plentiful() -> None:
    """Five are shared; at three each shop has its own; at six everybody shows six."""
    async with house({BAG: 5}, rules=(SCARCE,)) as h:
        await h.shows("BAG-1", 5, 5)
        assert h.org.numbers(BAG) == (5, 0)
        h.org.move(BAG, on_hand=-2)
        await h.shows("BAG-1", 2, 1)
        await h.idle()
        assert (held(h, "london"), held(h, "dubai")) == (2, 1)
        h.org.move(BAG, on_hand=2)  # five again: not yet plentiful
        await h.shows("BAG-1", 3, 2)
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 6, 6)
        await h.idle()
        assert h.org.numbers(BAG) == (6, 0)


async def test_a_switch_never_leaves_both_numbers_out() -> None:
    """Three are left and both shops show three: after the switch three can be bought, not six."""
    async with house({BAG: 4}, rules=(SCARCE,)) as h:
        await h.shows("BAG-1", 4, 4)
        h.org.move(BAG, on_hand=-1)
        await h.idle()
        await h.shows("BAG-1", 2, 1)
        for name, units in (("london", 2), ("dubai", 1)):
            for _ in range(units):
                await h.deliver(name, h.shops[name].buy("BAG-1"))
        await h.idle()
        await h.shows("BAG-1", 0, 0)
        assert h.org.numbers(BAG) == (3, 3)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_what_a_shop_still_shows_of_a_shared_number_is_covered_before_others_have_their_own() -> None:
    """Both show six; a till sells two, and London is not reached. All four are set aside for London.

    Dubai shows none before London was lowered: two bought there, and six in London, would be four too many.
    """
    rule = replace(SCARCE, scarce_at=4)
    async with house({BAG: 6}, rules=(rule,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 6, 6)
        london = h.shops["london"]
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        h.org.move(BAG, on_hand=-2)
        await h.shows("BAG-1", 6, 0)
        await h.until(lambda: (held(h, "london"), held(h, "dubai")) == (4, 0))
        await h.deliver("london", london.buy("BAG-1", 3))
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 3))
        assert h.shops["dubai"].shelf["BAG-1"] == 0
        london.answering.set()
        await h.until(lambda: sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 1)
        await h.idle()
        assert held(h, "london") + held(h, "dubai") == 1
        assert h.org.numbers(BAG) == (4, 4)
        assert await h.store.read(lambda tx: tx.incidents()) == []


@pytest.mark.parametrize("oversold", [False, True])
async def test_returned_goods_are_the_shops_again_that_shows_them(oversold: bool) -> None:
    """Sent, brought back, and put on London's number: they are reserved for it with the very return.

    Where the books have promised more than there is, the return is entered all the same, and covers that.
    """
    async with house({BAG: 2}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 1, 1)
        london = h.shops["london"]
        order = london.buy("BAG-1")
        await h.deliver("london", order)
        await h.until(lambda: total(h.org.of("order:london")) == (0, 1))
        london.change(order, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", order)
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        if oversold:
            await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
            await h.until(lambda: total(h.org.of("order:dubai")) == (0, 1))
            h.org.till(BAG, -1, "receipt 1")  # what Dubai has sold goes over the counter
            await h.until(lambda: h.org.numbers(BAG)[0] == 0)
            await h.idle()
        before = len(h.org.requests)
        london.change(order, returned_quantity=1, taken_quantity=0)
        await h.deliver("london", order)
        await h.until(lambda: h.org.numbers(BAG)[0] == (1 if oversold else 2))
        await h.idle()
        rows = [row for row in h.org.of("order:london") if row[1] > 0]
        assert len(rows) == 1  # back once
        with_it = next(keys for keys in h.org.requests[before:] if rows[0][0] in keys)
        assert any(key.startswith("allocation:london") for key in with_it) is not oversold
        assert h.org.numbers(BAG) == ((1, 1) if oversold else (2, 2))


async def test_a_sale_within_an_allocation_stays_covered_when_it_is_shared_again() -> None:
    """London sells its two, unheard. A receipt makes the bag plentiful: Dubai may sell five, not seven."""
    async with house({BAG: 5}, rules=(SCARCE,)) as h:
        h.org.move(BAG, on_hand=-2)
        await h.shows("BAG-1", 2, 1)
        await h.idle()
        london, dubai = h.shops["london"], h.shops["dubai"]
        order = london.buy("BAG-1", 2)
        h.org.move(BAG, on_hand=4)
        await h.until(lambda: dubai.shelf["BAG-1"] > 1)
        await h.idle()
        await h.deliver("dubai", dubai.buy("BAG-1", dubai.shelf["BAG-1"]))
        await h.idle()
        await h.deliver("london", order)
        await h.idle()
        assert total(h.org.of("order:london:")) == (0, 2)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_unit_put_back_and_sold_unheard_stays_its_own_when_it_is_shared_again() -> None:
    """London's first buyer gives hers back, the shop puts it on its own number and sells all. Both are
    heard of late, when the bag is plentiful: what she gives up covers the sale, and Dubai may not sell it."""
    async with house({BAG: 6}, rules=(SCARCE,)) as h:
        await h.shows("BAG-1", 6, 6)
        london, dubai = h.shops["london"], h.shops["dubai"]
        first = london.buy("BAG-1")
        await h.deliver("london", first)
        await h.shows("BAG-1", 5, 5)
        h.org.move(BAG, on_hand=-2)
        await h.shows("BAG-1", 2, 1)
        await h.idle()
        london.change(first, open_quantity=0, taken_quantity=0)
        number = london.buy("BAG-1", 3)
        later = london.orders.pop(number)
        h.org.move(BAG, on_hand=4)
        await h.until(lambda: dubai.shelf["BAG-1"] > 1)
        await h.idle()
        await h.deliver("london", first)
        await h.idle()
        assert (held(h, "london"), total(h.org.of("order:london:"))) == (3, (0, 0))
        london.orders[number] = later
        await h.deliver("dubai", dubai.buy("BAG-1", dubai.shelf["BAG-1"]))
        await h.deliver("london", number)
        await h.idle()
        assert (held(h, "london"), total(h.org.of("order:london:"))) == (0, (0, 3))
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_shop_that_sells_more_than_it_shows_as_far_as_we_know_is_not_raised_to_nothing() -> None:
    """London puts two bags of a buyer who gives them back on its own number, and sells all three. The sale is
    heard of first: of one bag shown, three are sold. London shows none then, and not two."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        london = h.shops["london"]
        first = london.buy("BAG-1", 2)
        await h.deliver("london", first)
        await h.idle()
        shown = london.shelf["BAG-1"]
        london.change(first, open_quantity=0, taken_quantity=0)
        unheard = london.orders.pop(first)
        await h.deliver("london", london.buy("BAG-1", shown + 2))
        await h.idle()
        assert london.shelf["BAG-1"] <= held(h, "london"), (london.shelf, held(h, "london"))
        london.orders[first] = unheard
        await h.deliver("london", first)
        await h.idle()
        assert london.shelf["BAG-1"] <= held(h, "london"), (london.shelf, held(h, "london"))
        assert total(h.org.of("order:london:")) == (0, 4)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def adopt(h: House, *rules: PolicyRule) -> None:
    """Other policies are read while the daemon runs."""
    policies = Policies(h.ctx, ask=False)
    await policies.adopt(replace(h.ctx.assortment, rules=rules))
    await policies.run()


@pytest.mark.parametrize(
    ("after", "then"),
    [
        ((PolicyRule(("BAG-1",), ("london",), Guarantee.UNKNOWN),), (0, 6)),
        ((PolicyRule(("BAG-1",), guarantee=Guarantee.GATED),), (6, 9)),  # with what its shopper holds
        ((), (6, 6)),
    ],
    ids=["closed at London", "asked for", "shared"],
)
async def test_units_of_an_allocation_are_nobody_elses_before_their_channel_shows_them_no_more(
    after: tuple[PolicyRule, ...], then: tuple[int, int]
) -> None:
    """A policy divides the bag no more; London has not heard of it. Its three are not granted to others."""
    async with house({BAG: 6}, rules=(DIVIDED,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        london, dubai = h.shops["london"], h.shops["dubai"]
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        await adopt(h, *after)
        await h.until(lambda: (held(h, "london"), held(h, "dubai")) == (3, 0))
        await h.until(lambda: dubai.shelf["BAG-1"] == 3)
        assert (await h.reserve("BAG-1", 4, shop="dubai")).problem == "unavailable"
        order = london.buy("BAG-1", 3)
        assert (await h.reserve("BAG-1", 3, shop="dubai")).problem == ""
        london.answering.set()
        await h.deliver("london", order)
        await h.idle()
        assert total(h.org.of("order:london:")) == (0, 3)
        assert h.org.numbers(BAG) == (6, 6)
        assert await h.store.read(lambda tx: tx.incidents()) == []
        h.org.move(BAG, on_hand=6)
        await h.shows("BAG-1", *then)


@pytest.mark.parametrize("unheard", [False, True], ids=["told at once", "heard of late"])
async def test_units_that_a_shop_still_shows_stay_its_own_where_it_sells_from_no_more(unheard: bool) -> None:
    """One reload ends the division and moves London to another warehouse. London has not heard of it.

    What stands in the old one is nobody else's until London shows none of it, and its orders still get it.
    """
    moved = PolicyRule(("BAG-1",), ("london",), sells_from=("BOND",))
    async with house({BAG: 6, IN_BOND_STREET: 0}, rules=(DIVIDED,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        london, dubai = h.shops["london"], h.shops["dubai"]
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        await adopt(h, moved)
        await h.until(lambda: (held(h, "london"), held(h, "dubai")) == (3, 0))
        await h.until(lambda: dubai.shelf["BAG-1"] == 3)
        assert (await h.reserve("BAG-1", 4, shop="dubai")).problem == "unavailable"
        number = london.buy("BAG-1", 2)
        order = london.orders.pop(number)
        assert (await h.reserve("BAG-1", 3, shop="dubai")).problem == ""
        if unheard:  # its number is closed before anybody tells of the sale
            london.answering.set()
            await h.shows("BAG-1", 0, 1)
            await h.idle()
            assert held(h, "london") == 2
        london.orders[number] = order
        await h.deliver("london", number)
        london.answering.set()
        await h.shows("BAG-1", 0, 1)
        await h.idle()
        assert total(h.org.of("order:london:")) == (0, 2)
        assert (held(h, "london"), h.org.numbers(BAG)) == (0, (6, 5))
        assert await h.store.read(lambda tx: tx.incidents()) == []


IN_VAULT = "BAG-1|VAULT"
LONDONS = PolicyRule(("BAG-1",), ("london",), Guarantee.ALLOCATED)
LONDONS_AT_ECOM = replace(LONDONS, sells_from=("ECOM",))


async def test_a_sale_unheard_of_keeps_its_unit_where_the_shop_sells_from_other_places_now() -> None:
    """London has sold its bag of the vault, and the policy sells from elsewhere now. Dubai asks for it."""
    async with house({IN_VAULT: 1, BAG: 0}, rules=(LONDONS,)) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        london = h.shops["london"]
        number = london.buy("BAG-1")
        order = london.orders.pop(number)  # its list of orders lags behind its number
        await adopt(h, LONDONS_AT_ECOM)
        await h.idle()
        assert (await h.reserve("BAG-1", 1, shop="dubai")).problem == "unavailable"
        london.orders[number] = order
        await h.deliver("london", number)
        await h.idle()
        assert (total(h.org.of("order:london:")), held(h, "london")) == ((0, 1), 0)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_sale_from_before_a_start_with_other_settings_has_the_unit_that_was_set_aside() -> None:
    """sfsync is down for the change of its settings, and London sells its bag of the vault meanwhile."""
    async with house({IN_VAULT: 1, BAG: 0}, rules=(LONDONS,)) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        await h.stop()
        h.shops["london"].buy("BAG-1")
        h.rules = (LONDONS_AT_ECOM,)
        await h.start()
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 1))
        await h.idle()
        assert held(h, "london") == 0
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_the_second_piece_of_an_order_is_not_given_away_while_the_first_waits_for_the_org() -> None:
    """Two pieces in one order, one of them in the vault. The policy changes between its steps."""
    async with house({"BAG-1|ECOM|A": 1, "BAG-1|VAULT|B": 1}, rules=(LONDONS,)) as h:
        await h.shows("BAG-1", 2, 0)
        await h.idle()
        number = h.shops["london"].buy("BAG-1", 2)
        h.org.next.append("later")
        await h.deliver("london", number)
        await adopt(h, LONDONS_AT_ECOM)
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 2))
        await h.idle()
        assert held(h, "london") == 0
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_shop_that_sells_from_other_places_now_shows_those_units_and_gives_up_the_old_ones() -> None:
    """Two of London's three stand in the vault. Sold from the warehouse alone, it shows what is there."""
    async with house({IN_VAULT: 2, BAG: 1}, rules=(LONDONS,)) as h:
        await h.shows("BAG-1", 3, 0)
        await h.idle()
        await adopt(h, LONDONS_AT_ECOM)
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        assert (held(h, "london"), h.org.numbers(IN_VAULT), h.org.numbers(BAG)) == (1, (2, 0), (1, 1))
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 3, 0)
        await h.idle()
        await adopt(h, LONDONS)
        await h.shows("BAG-1", 5, 0)
        assert (held(h, "london"), h.org.numbers(IN_VAULT), h.org.numbers(BAG)) == (5, (2, 2), (3, 3))


async def test_a_number_stays_where_the_new_places_have_as_many() -> None:
    """One in the vault was London's; the warehouse has one too. London is cut off, and sells on."""
    async with house({IN_VAULT: 1, BAG: 0}, rules=(LONDONS,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        unhurried(h, "london").clear()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(h, {"london": 0, "dubai": 0}))
            h.org.move(BAG, on_hand=1)
            await adopt(h, LONDONS_AT_ECOM)
            await h.until(lambda: h.org.numbers(BAG) == (1, 1) and h.org.numbers(IN_VAULT) == (1, 0))
            await h.idle()
            watching.cancel()
        assert (h.shops["london"].shelf["BAG-1"], held(h, "london")) == (1, 1)


async def exposed(h: House, shop: str) -> tuple[int, str]:
    """Units that a shop shows now beyond what it may sell, for status and alerts; and of which class."""
    now = h.clock.now()
    told = await h.store.read(lambda tx: exposure(tx, h.ctx.assortment, h.pulse.started_at, now, shop))
    open_now = [(each["units"], each["skus"]) for each in told["classes"] if each["units"]]
    alerted = await h.store.read(lambda tx: tx.exposed_units())
    assert sum(units for units, _ in open_now) == alerted.get(shop, 0)
    return open_now[0] if open_now else (0, "")


async def spells(h: House, shop: str) -> list[tuple[int, str]]:
    """The stretches of time in which a shop showed too much: units at most, and of which class."""
    now = h.clock.now()
    told = await h.store.read(lambda tx: exposure(tx, h.ctx.assortment, h.pulse.started_at, now, shop))
    assert all(each["unit_seconds"] > 0 for each in told["classes"] if each["spells"])
    return [(each["longest"]["units"], each["skus"]) for each in told["classes"] if each["longest"]]


def unhurried(h: House, shop: str) -> asyncio.Event:
    """While it is not set, the shop answers no push."""
    found = h.shops[shop]
    assert isinstance(found, UnhurriedShop)
    return found.answering


@pytest.mark.parametrize(("units", "skus"), [(6, "deep"), (2, "scarce")])
async def test_a_shop_that_is_to_sell_none_any_more_is_exposed_while_it_shows_some(
    units: int, skus: str
) -> None:
    """London's bags are closed and London is not reached: it may sell what others sell too."""
    closed = PolicyRule(("BAG-1",), ("london",), Guarantee.UNKNOWN)
    async with house({BAG: units}, make_shop=UnhurriedShop) as h:
        answering = unhurried(h, "london")
        answering.clear()
        await adopt(h, closed)
        assert await exposed(h, "london") == (units, skus)
        assert await exposed(h, "dubai") == (0, "")
        answering.set()
        await h.shows("BAG-1", 0, units)
        await h.idle()
        assert await exposed(h, "london") == (0, "")
        assert await spells(h, "london") == [(units, skus)]


async def test_a_shop_that_shows_more_than_is_set_aside_for_it_is_exposed_by_the_rest() -> None:
    """Both show two of two. Divided, they are London's, which is covered; Dubai may sell them once more."""
    async with house({BAG: 2}, make_shop=UnhurriedShop) as h:
        answering = [unhurried(h, shop) for shop in ("london", "dubai")]
        for each in answering:
            each.clear()
        await adopt(h, DIVIDED)
        await h.until(lambda: held(h, "london") + held(h, "dubai") == 2)
        await h.until_kept(lambda tx: not tx.waiting_bundles(0))
        covered = held(h, "london"), held(h, "dubai")
        found = [(await exposed(h, shop))[0] for shop in ("london", "dubai")]
        assert [units + own for units, own in zip(found, covered, strict=True)] == [2, 2]
        assert {(await exposed(h, shop))[1] for shop in ("london", "dubai")} <= {"scarce", ""}
        for each in answering:
            each.set()
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        assert [await exposed(h, shop) for shop in ("london", "dubai")] == [(0, "")] * 2


async def test_a_shop_that_shows_its_own_units_is_not_exposed_while_they_are_shared_again() -> None:
    """Three are set aside for London until it shows none of them: nobody else can sell these."""
    async with house({BAG: 6}, rules=(DIVIDED,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        answering = unhurried(h, "london")
        answering.clear()
        for rules in ((), (PolicyRule(("BAG-1",), ("london",), Guarantee.UNKNOWN),)):
            await adopt(h, *rules)
            await h.until(lambda: held(h, "dubai") == 0)
            assert (held(h, "london"), await exposed(h, "london")) == (3, (0, ""))
        answering.set()
        await h.shows("BAG-1", 0, 6)
        await h.idle()
        assert await spells(h, "london") == []


async def test_a_shop_that_asks_first_is_not_exposed_whatever_it_shows() -> None:
    """It showed six, shared, and asks from now on: nothing of it counts."""
    async with house({BAG: 6}, make_shop=UnhurriedShop) as h:
        answering = unhurried(h, "london")
        answering.clear()
        await adopt(h, PolicyRule(("BAG-1",), ("london",), Guarantee.UNKNOWN))
        assert await exposed(h, "london") == (6, "deep")
        await adopt(h, PolicyRule(("BAG-1",), ("london",), Guarantee.GATED))
        assert await exposed(h, "london") == (0, "")
        answering.set()
        await h.idle()


async def test_what_a_shop_sold_unheard_of_stays_reserved_until_its_orders_were_read() -> None:
    """Shared again, and two of London's are nowhere: its list of orders lags. They are nobody's till then."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        london = h.shops["london"]
        number = london.buy("BAG-1", 2)
        order = london.orders.pop(number)
        await adopt(h)
        await h.shows("BAG-1", 0, 4)
        await h.idle()
        assert (held(h, "london"), h.org.numbers(BAG)) == (2, (6, 2))
        london.orders[number] = order
        await h.deliver("london", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        assert (held(h, "london"), total(h.org.of("order:london:"))) == (0, (0, 2))


async def test_what_no_order_accounts_for_goes_back_to_everybody_in_the_end() -> None:
    """Staff wrote a lower number while the bag was being shared again: no sale ever explains it."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        h.shops["london"].shelf["BAG-1"] = 1
        await adopt(h)
        await h.shows("BAG-1", 0, 4)
        await h.idle()
        aged = type_coerce(channel_level.c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(changed_at=aged)))
        await h.store.write(lambda tx: tx.put_poll_mark("london", h.clock.now()))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == {"BAG-1"}
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 7, 7)
        await h.idle()
        assert h.org.numbers(BAG) == (7, 0)


async def test_a_switch_there_and_back_leaves_no_shown_unit_to_others() -> None:
    """Three come in and three are sold at the till in one moment: shared, and divided again at once.

    Neither shop has heard of it, and both still show what was set aside. A cart that asks in between would
    get a bag that a shop sells in the same moment.
    """
    async with house({BAG: 3}, rules=(SCARCE,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 2, 1)
        await h.idle()
        shops = [shop for shop in h.shops.values() if isinstance(shop, UnhurriedShop)]
        for shop in shops:
            shop.answering.clear()
        h.org.move(BAG, on_hand=3)
        await h.until_kept(lambda tx: not tx.scarce_skus())
        h.org.move(BAG, on_hand=-3)
        await h.until_kept(lambda tx: tx.scarce_skus())
        assert (await h.reserve("BAG-1")).problem == "unavailable"
        for shop in shops:
            shop.answering.set()
        await h.idle()
        await h.shows("BAG-1", 2, 1)
        assert (held(h, "london"), held(h, "dubai")) == (2, 1)


async def test_what_is_being_given_back_is_not_missed_and_set_aside_again() -> None:
    """Three more come in: the bags are everybody's again. While the org takes its time, a till sells one.

    Without those that are on their way back there would be two, and they would be divided once more.
    """
    async with house({BAG: 3}, rules=(SCARCE,)) as h:
        await h.shows("BAG-1", 2, 1)
        h.org.next.extend(["late", *["lost"] * 500])
        h.org.move(BAG, on_hand=3)
        await h.until(lambda: h.org.under_way)
        await h.until_kept(lambda tx: not tx.scarce_skus())
        h.org.move(BAG, on_hand=-1)
        await h.until_kept(lambda tx: [level.on_hand for level in tx.levels_of(["BAG-1"])] == [5])
        assert await h.store.read(lambda tx: tx.scarce_skus()) == {}
        h.org.next.clear()
        h.org.land()
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        assert sorted(units for _, _, units in h.org.of("allocation:")) == [-2, -1, 1, 2]


async def test_an_order_from_before_the_switch_draws_on_the_units_set_aside() -> None:
    """London sold one while the number was shared, and tells of it after: no second unit is taken for it."""
    async with house({BAG: 4}, rules=(SCARCE,)) as h:
        await h.shows("BAG-1", 4, 4)
        early = h.shops["london"].buy("BAG-1")
        h.org.move(BAG, on_hand=-1)
        await h.until(lambda: (held(h, "london"), held(h, "dubai")) == (2, 1))
        await h.deliver("london", early)
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 1))
        # London's number is in doubt from the sale until it has been read again.
        await h.until(lambda: sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 2)
        await h.idle()
        assert held(h, "london") + held(h, "dubai") == 2
        assert h.org.numbers(BAG) == (3, 3)
        # A number in doubt is read again before it is lowered: nothing waits meanwhile.
        await h.until(lambda: sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 2)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_raise_that_never_got_an_answer_counts_as_shown() -> None:
    """The shop may show the new bag or not: it is nobody else's until the number has been read."""
    async with house({BAG: 2}, rules=(DIVIDED,), make_shop=ForgetfulShop) as h:
        await h.shows("BAG-1", 1, 1)
        london = h.shops["london"]
        assert isinstance(london, ForgetfulShop)
        london.forgets = True
        london.next.append("reply lost")
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: [each for each in tx.incidents() if each.kind == "push lost"])
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.until(lambda: total(h.org.of("order:dubai:")) == (0, 1))
        await h.idle()
        assert (london.shelf["BAG-1"], held(h, "london")) == (2, 2)  # not given to Dubai, which sold out
        assert h.shops["dubai"].shelf["BAG-1"] == 0


async def test_a_counter_sale_of_units_set_aside_says_that_the_allocation_is_uncovered() -> None:
    """A till sells one though nothing is free: before any order, Dubai's unsold unit is what is missing."""
    async with house({BAG: 2}, rules=(DIVIDED,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 1, 1)
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 1))
        await h.idle()
        answering = unhurried(h, "dubai")
        answering.clear()  # Dubai shows it for a while
        h.org.till(BAG, -1, "receipt-1")
        await h.until_kept(lambda tx: tx.incidents())
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert incident.kind == "oversold"
        assert uncovered(incident) == [(f"allocation:dubai:{BAG}", "Allocation", 1)]
        answering.set()
        await h.until_kept(lambda tx: not tx.incidents())


async def test_a_unit_of_its_own_that_left_over_the_counter_is_shown_no_longer() -> None:
    """London has sold its bag, and the counter sells the other: nothing is left that Dubai could show."""
    async with house({BAG: 2}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 1, 1)
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 1))
        await h.idle()
        h.org.till(BAG, -1, "receipt-1")
        await h.shows("BAG-1", 0, 0)
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))  # and nothing is set aside of what has left
        await h.until_kept(lambda tx: not tx.incidents())


async def test_shops_show_together_no_more_than_the_counter_left() -> None:
    """Six are divided, and four leave over the counter: two are there, and two are shown."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        h.org.till(BAG, -4, "receipt-1")
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))


async def test_units_set_aside_and_carried_elsewhere_are_set_aside_once() -> None:
    """Three bags, set aside in the warehouse, are carried to the boutique: there are three still."""
    town = "BAG-1|TOWN"
    async with house({BAG: 3, town: 0}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 2, 1)
        h.org.move(BAG, on_hand=-3)
        h.org.move(town, on_hand=3)
        await h.until(lambda: h.org.numbers(BAG) == (0, 0) and h.org.numbers(town) == (3, 3))
        await h.shows("BAG-1", 2, 1)


async def test_what_has_left_is_not_everybodys_when_the_bag_is_shared_again() -> None:
    """Scarce, and one each; the counter sells one, four come in: five are shared, and five are there."""
    async with house({BAG: 2}, rules=(SCARCE,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 1, 1)
        for shop in h.shops:
            unhurried(h, shop).clear()
        h.org.till(BAG, -1, "receipt-1")
        h.org.move(BAG, on_hand=7)
        await h.until(lambda: h.org.numbers(BAG)[0] == 8)
        for shop in h.shops:
            unhurried(h, shop).set()
        await h.shows("BAG-1", 8, 8)
        await h.until(lambda: h.org.numbers(BAG) == (8, 0))


async def test_a_piece_that_left_is_shown_no_longer_and_the_others_are() -> None:
    """Of three numbered pieces, two London's and one Dubai's, the counter sells one after another."""
    pieces = [f"BAG-1|ECOM|{number}" for number in (1, 2, 3)]
    async with house(dict.fromkeys(pieces, 1), rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 2, 1)
        for left, piece in ((2, pieces[2]), (1, pieces[0]), (0, pieces[1])):
            h.org.till(piece, -1, f"receipt of {piece}")
            await on_hand(h, left)
            assert sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == left
            assert h.org.numbers(piece) == (0, 0)
            assert sum(held(h, shop) for shop in h.shops) == left


async def test_a_piece_of_a_shop_that_is_carried_elsewhere_is_shown_by_nobody_on_its_way() -> None:
    """Number one is on its way to town: one is shown of the two, and number one again when it has come."""
    pieces = {"BAG-1|ECOM|1": 1, "BAG-1|ECOM|2": 1, "BAG-1|TOWN|1": 0}
    async with house(pieces, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 1, 1)
        sent = Transfer("s", "T-1", Stage.SENT, "BAG-1", 1, h.clock.now(), origin="ECOM", unit="1")
        await h.supervisor.transfers.enter(sent)
        await h.until(lambda: sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 1)
        await h.until(lambda: h.org.numbers("BAG-1|ECOM|1") == (0, 0))
        came = Transfer("r", "T-1", Stage.RECEIVED, "BAG-1", 1, h.clock.now(), target="TOWN", unit="1")
        await h.supervisor.transfers.enter(came)
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.org.numbers("BAG-1|TOWN|1") == (1, 1))


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late"])
async def test_trouble_while_what_left_is_lowered_and_released_shows_none_of_it_again(fate: str) -> None:
    """Org and shops go silent, each once, while four of six leave: two are shown, then one of the two."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        parties = (h.org, *h.shops.values())
        for party in parties:
            party.next.append(fate)
        h.org.till(BAG, -4, "receipt-1")
        await h.until(lambda: not any(party.next for party in parties))
        for party in parties:
            party.land()
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))


async def test_an_order_that_is_called_off_where_nothing_is_left_puts_nothing_on_show() -> None:
    """London's ordered bag went over the counter with Dubai's; called off, it is back on London's number."""
    async with house({BAG: 2}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 1, 1)
        shop = h.shops["london"]
        order = shop.buy("BAG-1")
        await h.deliver("london", order)
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 1))
        await h.idle()
        h.org.till(BAG, -2, "receipt-1")
        await on_hand(h, 0)
        shop.change(order, open_quantity=0, taken_quantity=0)
        shop.shelf["BAG-1"] += 1  # it puts it back on sale
        await h.deliver("london", order)
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        await h.shows("BAG-1", 0, 0)
        await h.until_kept(lambda tx: not tx.incidents())


async def test_what_left_while_the_daemon_was_down_is_shown_no_longer() -> None:
    """Killed, and the counter sells two of four meanwhile."""
    async with house({BAG: 4}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 2, 2)
        await h.kill()
        h.org.move(BAG, on_hand=-2)
        await h.start()
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))


async def test_what_a_counter_told_us_is_shown_no_longer_though_the_org_is_away() -> None:
    """The org is not to be reached for hours, and a till has told of three sold: nobody shows them."""
    async with house({BAG: 4}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 2, 2)
        h.org.next.extend(["later"] * 100_000)
        h.org.till(BAG, -3, "receipt-1")
        await h.until(lambda: sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 1)
        assert h.org.numbers(BAG) == (4, 4)
        h.org.next.clear()
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        assert sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 1


async def test_what_may_be_sold_unheard_of_gives_way_last() -> None:
    """Dubai has sold its bag, unheard of, when the counter sells the other: London's is gone."""
    async with house({BAG: 2}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 1, 1)
        dubai = h.shops["dubai"]
        order = dubai.buy("BAG-1")
        unlisted = dubai.orders.pop(order)
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        h.org.till(BAG, -1, "receipt-1")
        await h.shows("BAG-1", 0, 0)
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        assert (held(h, "london"), held(h, "dubai")) == (0, 1)
        dubai.orders[order] = unlisted
        await h.deliver("dubai", order)
        await h.until(lambda: total(h.org.of("order:dubai:")) == (0, 1))
        await h.until_kept(lambda tx: not tx.incidents())


async def test_an_order_has_what_is_there_and_not_what_has_left_of_its_shops_units() -> None:
    """One in the warehouse and one in town; the counter sells the warehouse's as the shop sells one."""
    town = "BAG-1|TOWN"
    async with house({BAG: 1, town: 1}, rules=(DIVIDED,), shops=("dubai",), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 2)
        answering = unhurried(h, "dubai")
        answering.clear()
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (0, 1))
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.until(lambda: total(h.org.of("order:dubai:")) == (0, 1))
        answering.set()
        await h.shows("BAG-1", 0)
        await h.until(lambda: (h.org.numbers(BAG), h.org.numbers(town)) == ((0, 0), (1, 1)))
        await h.until_kept(lambda tx: not tx.incidents())


@pytest.mark.parametrize("unheard", [False, True])
async def test_a_cart_from_before_the_switch_leaves_its_shops_own_units_as_they_were(unheard: bool) -> None:
    """Three, one of them in a cart, when two are set aside. Paid, the cart's lowers the number, and is none
    of the two: both are shown, less one that was sold meanwhile and nobody has told of."""
    gated = PolicyRule(("BAG-1",), guarantee=Guarantee.GATED)
    async with house({BAG: 3}, rules=(gated,), shops=("london",)) as h:
        london = h.shops["london"]
        cart = (await h.reserve("BAG-1")).reservation
        assert cart is not None
        await h.idle()
        await adopt(h, DIVIDED)
        await h.shows("BAG-1", 2)
        await h.until(lambda: held(h, "london") == 2)
        await h.idle()
        async with h.supervisor.polls.reading["london"]:  # its order list is not read meanwhile
            if unheard:
                london.buy("BAG-1")
            await h.deliver("london", london.buy("BAG-1", reservations=(cart.id,)))
            await h.shows("BAG-1", 1 if unheard else 2)
            assert total(h.org.of("order:london:")) == (0, 1)
            assert held(h, "london") == 2
        assert await missing(h, "london") == 0


async def test_a_cart_that_lowered_no_number_frees_none_of_what_may_be_sold_unheard_of() -> None:
    """Three, one in a cart from before the switch, which London sells without counting down its number.

    Of the two that are set aside one is sold, seen by the number and told by nobody: it is not shown again.
    """
    gated = PolicyRule(("BAG-1",), guarantee=Guarantee.GATED)
    async with house({BAG: 3}, rules=(gated,), shops=("london",)) as h:
        london = h.shops["london"]
        cart = (await h.reserve("BAG-1")).reservation
        assert cart is not None
        await h.idle()
        await adopt(h, DIVIDED)
        await h.shows("BAG-1", 2)
        await h.until(lambda: held(h, "london") == 2)
        await h.idle()
        london.orders.pop(london.buy("BAG-1"))  # its list does not name it
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        order = london.buy("BAG-1", reservations=(cart.id,))
        london.change(order, taken_quantity=0)
        await h.deliver("london", order)
        await h.until(lambda: total(h.org.of("order:london:")) == (0, 1))
        await h.idle()
        assert (london.shelf["BAG-1"], await missing(h, "london")) == (1, 1)


async def missing(h: House, shop: str) -> int:
    """Units of a shop that a sale must explain which nobody has told of."""

    def read(tx: Tx) -> int:
        picture = Picture(tx.facts(["BAG-1"]), h.ctx.assortment)
        divider = Divider(tx, h.ctx.assortment, h.pulse, picture, h.clock.now(), only_look=True)
        (level,) = tx.channel_levels(["BAG-1"], shop)
        return divider.missing("BAG-1", shop, level)

    units: int = await h.store.read(read)
    return units


async def test_one_channel_at_a_time_is_a_share_of_nothing_for_the_others() -> None:
    """The last three are London's; Dubai shows none of them."""
    async with house({BAG: 4}, rules=(FIRST,)) as h:
        await h.shows("BAG-1", 4, 4)
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 3, 0)
        await h.idle()
        assert (held(h, "london"), held(h, "dubai")) == (3, 0)


async def test_with_the_org_cut_off_allocated_shops_sell_on_and_nothing_is_oversold() -> None:
    """An hour without the org: each shop sells what is its own, and all of it is settled afterwards."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        h.org.next.extend(["later"] * 60)
        for name in ("london", "dubai"):
            for _ in range(3):
                await h.deliver(name, h.shops[name].buy("BAG-1"))
        await h.shows("BAG-1", 0, 0)
        h.org.next.clear()
        await h.idle()
        assert h.org.numbers(BAG) == (6, 6)
        assert total(h.org.of("order:")) == (0, 6)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_kill_amid_a_move_leaves_the_books_right() -> None:
    """Killed at any time: what was written down before the first byte left tells how it stands."""
    async with house({BAG: 6}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 3, 3)
        for number in range(3):
            await h.deliver("london", h.shops["london"].buy("BAG-1"))
            await asyncio.sleep(0.01 * number)
            await h.kill()
            await h.start()
        await h.idle()
        await h.shows("BAG-1", 1, 2)
        assert (held(h, "london"), held(h, "dubai")) == (1, 2)
        assert h.org.numbers(BAG) == (6, 6)


async def test_forty_orders_out_of_one_allocation_share_a_few_requests() -> None:
    """Each is two rows that belong together; only their one collection has to be all or none."""
    async with house({BAG: 50}, rules=(DIVIDED,), shops=("london",)) as h:
        await h.shows("BAG-1", 50)
        h.org.requests.clear()
        orders = [h.shops["london"].buy("BAG-1") for _ in range(40)]
        await asyncio.gather(*(h.deliver("london", order) for order in orders))
        await h.idle()
        assert total(h.org.of("order:london:")) == (0, 40)
        assert held(h, "london") == 10
        assert len(h.org.requests) <= 8


@pytest.mark.parametrize("fate", ["lost", "reply lost", "later", "late"])
async def test_what_shares_a_collection_is_entered_once_whatever_becomes_of_the_call(fate: str) -> None:
    """The reply is lost, the daemon killed, the next collection is another one: each order is in once."""
    async with house({BAG: 9}, rules=(DIVIDED,), shops=("london",)) as h:
        await h.shows("BAG-1", 9)
        h.org.next.extend([fate, fate])
        sent = len(h.org.requests)
        for _ in range(3):
            await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.until(lambda: len(h.org.requests) > sent)
        await h.kill()
        await h.start()
        for _ in range(3):
            await h.deliver("london", h.shops["london"].buy("BAG-1"))
        h.org.land()
        await h.idle()
        assert total(h.org.of("order:london:")) == (0, 6)
        assert held(h, "london") == 3


LONDON = PolicyRule(("BAG-1",), ("london",), Guarantee.ALLOCATED)


@pytest.mark.parametrize("after", [LONDON, replace(LONDON, scarce_at=9)], ids=["for good", "while scarce"])
async def test_a_shop_that_leaves_the_division_is_lowered_and_its_units_go_to_the_others(
    after: PolicyRule,
) -> None:
    """Dubai shall sell no bags any more: its three are London's once its number is down, and not before."""
    async with house({BAG: 7}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 4, 3)
        await h.idle()
        await h.stop()
        h.rules = (after,)
        await h.start()
        watching = asyncio.create_task(watch(h, {"london": 0, "dubai": 0}))
        await h.shows("BAG-1", 7, 0)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert (held(h, "london"), held(h, "dubai")) == (7, 0)
        assert h.org.numbers(BAG) == (7, 7)


async def test_what_a_shop_that_leaves_has_sold_unheard_of_is_not_given_away() -> None:
    """Dubai sold one just before: two are given to London, and the order draws on the third when it comes."""
    async with house({BAG: 7}, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 4, 3)
        await h.idle()
        unseen = h.shops["dubai"].buy("BAG-1")
        await h.stop()
        h.rules = (LONDON,)
        await h.start()
        await h.until(lambda: held(h, "dubai") <= 1 or h.shops["dubai"].shelf["BAG-1"] == 0)
        await h.deliver("dubai", unseen)
        await h.shows("BAG-1", 6, 0)
        await h.idle()
        assert (held(h, "london"), held(h, "dubai")) == (6, 0)
        assert total(h.org.of("order:dubai:")) == (0, 1)
        assert h.org.numbers(BAG) == (7, 7)
        assert await h.store.read(lambda tx: tx.incidents()) == []


@pytest.mark.parametrize("named", [True, False])
async def test_a_pick_up_that_is_handed_over_before_its_order_is_no_unexplained_change(
    *, named: bool
) -> None:
    """London has two of its own online. A client fetches hers in town, and then her order is heard of.

    London's number has fallen for a bag that is none of its two: it shows both again, and nobody is alarmed.
    """
    alone = PolicyRule(("BAG-1",), ("london",), guarantee=Guarantee.ALLOCATED)
    stock, plan = {BAG: 2, "BAG-1|TOWN": 1}, {"online": ("ECOM",)}
    async with house(stock, rules=(alone,), shops=("london",), plan=plan) as h:
        await h.shows("BAG-1", 2)
        wish = Wish(
            ReservationKind.PICK_UP, "london", "Ms Kay", (WishedLine("BAG-1", 1, "TOWN"),), timedelta(days=1)
        )
        kept = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert kept is not None
        order = h.shops["london"].buy("BAG-1", reservations=(kept.id,) if named else ())
        await h.desk.hand_over(kept.id, "receipt 1")
        await h.deliver("london", order)
        await h.idle()
        if not named:
            await h.desk.confirm(kept.id, f"#{order}")
            await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers("BAG-1|TOWN")) == ((2, 2), (0, 0))
        aged = type_coerce(channel_level.c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(changed_at=aged)))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == {"BAG-1"}
        h.ctx.bell.ring(
            *await h.store.write(
                lambda tx: refresh(tx, h.ctx.assortment, h.ctx.pulse, {"BAG-1"}, h.clock.now())
            )
        )
        await h.idle()
        assert not await h.store.read(lambda tx: tx.incidents())
        await h.until(lambda: h.shops["london"].shelf["BAG-1"] == 2)


async def test_an_order_that_is_sent_from_one_place_draws_on_its_shops_own_units_at_another() -> None:
    """London's bag in the warehouse leaves over a counter, its other two stand in town; it sells one.

    Its order says that the warehouse sends it. It is London's own bag in town, and somebody is told. When the
    warehouse has one again, the order has that, and London its own in town.
    """
    alone = PolicyRule(("BAG-1",), ("london",), guarantee=Guarantee.ALLOCATED)
    ecom, town, plan = "BAG-1|ECOM", "BAG-1|TOWN", {"online": ("ECOM", "TOWN")}
    async with house({ecom: 1, town: 2}, rules=(alone,), shops=("london",), plan=plan) as h:
        h.org.move(ecom, on_hand=-1)
        await h.shows("BAG-1", 2)
        await h.until(lambda: h.org.numbers(ecom) == (0, 0))
        shop = h.shops["london"]
        order = shop.buy("BAG-1")
        shop.change(order, location="ECOM")
        await h.deliver("london", order)
        await h.until(lambda: total(h.org.of(f"order:london:{order}")) == (0, 1))
        await h.idle()
        assert (h.org.numbers(ecom), h.org.numbers(town)) == ((0, 0), (2, 2))
        assert total(h.org.of(f"allocation:london:{town}")) == (0, 1)
        kinds = [(each.kind, each.key) for each in await h.store.read(lambda tx: tx.incidents())]
        assert kinds == [(MISPLACED, f"order:london:{order}:1")]
        h.org.move(ecom, on_hand=1)
        await h.until(lambda: h.org.numbers(ecom) == (1, 1))
        await h.until_kept(lambda tx: not tx.incidents())
        await h.idle()
        assert total(h.org.of("allocation:london:")) == (0, 2)
        assert total(h.org.of(f"order:london:{order}")) == (0, 1)
