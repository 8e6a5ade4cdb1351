"""Channels that take plain numbers only: whatever we write may go over a sale that nobody has told of."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import House, LittleShop, house, total
from tests.flow.market_kit import LaterMarket, LittleMarket, numbers_sent

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.flow.allocations import explain
from sfsync.flow.shelf import refresh
from sfsync.store.tables import channel_level
from sfsync.store.tx import SqlTx

BAG, SHOE, BELT = "BAG-1|ECOM", "SHOE-1|ECOM", "BELT-1|ECOM"


@asynccontextmanager
async def market(
    stock: Mapping[str, int], kind: type[LittleMarket] = LittleMarket
) -> AsyncIterator[tuple[House, LittleMarket]]:
    """A house whose only channel is a marketplace."""
    async with house(stock, shops=("bazaar",), make_shop=kind) as h:
        bazaar = h.shops["bazaar"]
        assert isinstance(bazaar, LittleMarket)
        yield h, bazaar


def mixed(
    clock: Any, name: str, shelf: Mapping[str, int], *, kind: type[LittleMarket] = LittleMarket, **how: Any
) -> LittleShop:
    """A marketplace among shops."""
    return (kind if name == "bazaar" else LittleShop)(clock, name, shelf, **how)


async def watch(h: House, sold: Mapping[str, int]) -> None:
    """Until cancelled: no shop may ever be able to sell what the org does not hold for it."""
    while True:
        for name, shop in h.shops.items():
            unsettled = sold[name] - total(h.org.of(f"order:{name}:"))[1]
            held = total(h.org.of(f"allocation:{name}:"))[1]
            assert shop.shelf["BAG-1"] + unsettled <= held, (name, shop.shelf, held)
        await asyncio.sleep(0)


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


async def test_orders_are_read_before_a_number_is_raised() -> None:
    """The sale that nobody had told of is in the number that is written: eight are never shown."""
    async with market({BAG: 5}) as (h, bazaar):
        bazaar.buy("BAG-1")
        h.org.move(BAG, 3)
        await h.shows("BAG-1", 7)
        await h.idle()
        assert {"BAG-1": 8} not in numbers_sent(bazaar)
        assert h.org.numbers(BAG) == (8, 1)


async def test_a_raise_waits_while_the_orders_cannot_be_read() -> None:
    """The lower number of another SKU and a sold-out one go meanwhile."""
    async with market({BAG: 5, SHOE: 5, BELT: 5}) as (h, bazaar):
        bazaar.silent = True
        h.org.move(BAG, 3)
        await h.until_kept(lambda tx: tx.channel_levels(["BAG-1"])[0].target == 8)
        h.org.move(BELT, -5)
        h.org.move(SHOE, -2)
        await h.until(lambda: (bazaar.shelf["SHOE-1"], bazaar.shelf["BELT-1"]) == (3, 0))
        assert bazaar.shelf["BAG-1"] == 5, numbers_sent(bazaar)
        bazaar.silent = False
        h.org.move(BAG, 1)
        await h.shows("BAG-1", 9)


async def test_a_raise_of_unknown_outcome_is_read_back_and_not_sent_again() -> None:
    """It was written, and something was sold since: the same number again would put it back on sale."""
    async with market({BAG: 5}) as (h, bazaar):
        bazaar.next.append("reply lost")
        h.org.move(BAG, 3)
        await h.shows("BAG-1", 8)
        bazaar.buy("BAG-1")
        await h.idle()
        assert numbers_sent(bazaar).count({"BAG-1": 8}) == 1
        assert bazaar.shelf["BAG-1"] == 7


async def test_a_raise_that_was_lost_is_written_once_the_number_was_read() -> None:
    """Nothing is due for ever."""
    async with market({BAG: 5}) as (h, bazaar):
        bazaar.next.append("lost")
        h.org.move(BAG, 3)
        await h.shows("BAG-1", 8)


@pytest.mark.parametrize("fate", ["lost", "reply lost"])
async def test_a_lowering_of_unknown_outcome_is_sent_again(fate: str) -> None:
    """The very same bytes, until the channel has said yes."""
    async with market({BAG: 5}) as (h, bazaar):
        bazaar.next.append(fate)
        h.org.move(BAG, -5)
        await h.shows("BAG-1", 0)
        await h.idle()
        assert bazaar.sent[-1] == bazaar.sent[-2]


async def test_a_daemon_that_died_amid_a_raise_reads_the_number() -> None:
    """The store does not know whether it was sent."""
    async with market({BAG: 5}) as (h, bazaar):
        bazaar.next.extend(["late"])
        h.org.move(BAG, 3)
        await h.until(lambda: {"BAG-1": 8} in numbers_sent(bazaar))
        await h.kill()
        bazaar.land()
        await h.start()
        await h.idle()
        assert numbers_sent(bazaar).count({"BAG-1": 8}) == 1
        assert bazaar.shelf["BAG-1"] == 8


async def test_units_of_an_allocation_never_oversell_at_a_channel_that_takes_plain_numbers() -> None:
    """Close, drain, open: whatever was sold unseen, what is shown and sold is reserved for it all along."""
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
    async with house({BAG: 6}, rules=(rule,), shops=("bazaar", "london"), make_shop=mixed) as h:
        bazaar, london = h.shops["bazaar"], h.shops["london"]
        await h.shows("BAG-1", 3, 3)
        sold = {"bazaar": 0, "london": 0}
        watching = asyncio.create_task(watch(h, sold))
        sold["bazaar"] += 1
        bazaar.buy("BAG-1")  # and tells nobody
        for _ in range(3):
            sold["london"] += 1
            await h.deliver("london", london.buy("BAG-1"))
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        assert not watching.done(), watching.exception()
        watching.cancel()
        assert h.org.numbers(BAG) == (6, 6)
        assert {"BAG-1": 0} in numbers_sent(bazaar)  # it was closed on the way
        assert total(h.org.of("order:")) == (0, 4)


@pytest.mark.parametrize("kind", [LittleMarket, LaterMarket])
async def test_units_that_come_for_a_closed_number_wait_for_the_sales_from_before_it_was_closed(
    kind: type[LittleMarket],
) -> None:
    """Five shown, three of them sold and not told of, then one is left: the number is closed, three come in.

    They are set aside while nobody knows of the three: shown at once, seven would be sold of five.
    """
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, scarce_at=4, plentiful_at=9)
    async with house({BAG: 5}, rules=(rule,), shops=("bazaar",), make_shop=kind) as h:
        bazaar = h.shops["bazaar"]
        assert isinstance(bazaar, LittleMarket)
        await h.shows("BAG-1", 5)
        bazaar.silent = True
        for _ in range(3):
            bazaar.buy("BAG-1")
        h.org.move(BAG, -4)
        await h.shows("BAG-1", 0)
        sent = len(bazaar.sent)
        h.org.move(BAG, 3)
        await h.until(lambda: total(h.org.of("allocation:bazaar:"))[1] == 4)
        await h.until_kept(lambda tx: not tx.waiting_bundles(0))
        assert bazaar.shelf["BAG-1"] == 0
        bazaar.silent = False
        await h.supervisor.polls.poll("bazaar")
        await h.shows("BAG-1", 1)
        await h.idle()
        assert max(each["BAG-1"] for each in numbers_sent(bazaar)[sent:]) == 1
        assert h.org.numbers(BAG) == (4, 4)
        assert total(h.org.of("order:bazaar:")) == (0, 3)


@pytest.mark.parametrize("kind", [LittleMarket, LaterMarket])
async def test_no_number_is_written_higher_while_a_known_sale_may_still_draw_on_its_units(
    kind: type[LittleMarket],
) -> None:
    """The org takes nothing for a while; two sales of the shared number wait to be asked for.

    Somebody else takes the shared units meanwhile, and then two come in. The two sales are owed theirs before
    anything is shown: one is left, and no number above it is ever written.
    """
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, scarce_at=2, plentiful_at=9)
    async with house({BAG: 5}, rules=(rule,), shops=("bazaar",), make_shop=kind) as h:
        bazaar = h.shops["bazaar"]
        await h.shows("BAG-1", 5)
        h.org.next.extend(["later"] * 12)
        for _ in range(2):
            await h.deliver("bazaar", bazaar.buy("BAG-1"))
        await h.until_kept(lambda tx: tx.waiting_bundles(0))
        h.org.move(BAG, reserved=4)  # a till's clients, entered in the org itself
        await h.shows("BAG-1", 0)
        sent = len(bazaar.sent)
        h.org.move(BAG, 2)
        await h.until(lambda: not h.org.next and total(h.org.of("order:bazaar:")) == (0, 2))
        await h.shows("BAG-1", 1)
        await h.idle()
        assert max(each["BAG-1"] for each in numbers_sent(bazaar)[sent:]) == 1
        assert h.org.numbers(BAG) == (7, 7)
        assert total(h.org.of("allocation:bazaar:"))[1] == 1


async def test_an_unseen_sale_survives_a_resync() -> None:
    """Orders are read before the numbers are, and what is applied knows of the sale."""
    async with market({BAG: 5}) as (h, bazaar):
        bazaar.buy("BAG-1")
        bazaar.shelf["BAG-1"] += 3  # somebody edits the number, too
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 4)
        await h.idle()
        assert h.org.numbers(BAG) == (5, 1)


async def test_safety_stock_covers_what_was_sold_unseen_at_both_channels() -> None:
    """Two shops sell at once what each may: with two units held back nothing is oversold."""
    rule = PolicyRule(("BAG-1",), safety_stock=1)
    async with house({BAG: 2}, rules=(rule,), shops=("bazaar", "london"), make_shop=mixed) as h:
        await h.shows("BAG-1", 1, 1)
        numbers = [(name, shop.buy("BAG-1")) for name, shop in h.shops.items()]
        for name, number in numbers:
            await h.deliver(name, number)
        await h.shows("BAG-1", 0, 0)
        await h.idle()
        assert h.org.numbers(BAG) == (2, 2)
        assert not await h.store.read(lambda tx: tx.incidents())


async def test_a_push_that_is_done_later_is_open_until_its_outcome_is_told() -> None:
    """Nothing else is sent for its rows; what is due elsewhere goes meanwhile."""
    async with market({BAG: 5, SHOE: 5}, LaterMarket) as (h, bazaar):
        assert isinstance(bazaar, LaterMarket)
        bazaar.at_once = False
        h.org.move(BAG, -1)
        await h.until(lambda: len(bazaar.waiting) == 1)
        h.org.move(BAG, -1)
        h.org.move(SHOE, -1)
        await h.until(lambda: len(bazaar.waiting) == 2)
        assert list(bazaar.waiting.values()) == [[("BAG-1", 4)], [("SHOE-1", 4)]]
        bazaar.at_once = True
        bazaar.work()
        await h.shows("BAG-1", 3)
        await h.shows("SHOE-1", 4)


async def test_a_ticket_is_asked_for_after_a_restart_and_its_push_not_sent_again() -> None:
    """Its key and rows are in the store, and so is what the channel named it."""
    async with market({BAG: 5}, LaterMarket) as (h, bazaar):
        assert isinstance(bazaar, LaterMarket)
        bazaar.at_once = False
        h.org.move(BAG, -1)
        await h.until_kept(lambda tx: any(push.ticket for push in tx.open_pushes("bazaar")))
        await h.kill()
        bazaar.work()
        await h.start()
        await h.shows("BAG-1", 4)
        await h.idle()
        assert numbers_sent(bazaar).count({"BAG-1": 4}) == 1


async def test_rows_that_were_not_done_are_set_aside_and_the_others_count() -> None:
    """The report names them; the good rows were written."""
    async with market({BAG: 5, SHOE: 5}, LaterMarket) as (h, bazaar):
        bazaar.bad["SHOE-1"] = "no such offer"
        h.org.move(BAG, -1)
        h.org.move(SHOE, -1)
        await h.shows("BAG-1", 4)
        await h.until_kept(lambda tx: [letter.reason for letter in tx.dead_letters()] == ["no such offer"])
        await h.idle()
        numbers = await h.store.read(lambda tx: {x.sku: x.published for x in tx.channel_levels()})
        assert numbers == {"BAG-1": 4, "SHOE-1": 5}


async def test_a_raise_that_was_perhaps_taken_is_read_back_once_it_has_landed() -> None:
    """Its rows stay in flight until then, over a restart too; it is never sent twice."""
    async with market({BAG: 5}, LaterMarket) as (h, bazaar):
        bazaar.next.append("reply lost")
        h.org.move(BAG, 3)
        await h.until(lambda: {"BAG-1": 8} in numbers_sent(bazaar))
        await h.kill()
        await h.start()
        await h.shows("BAG-1", 8)
        await h.idle()
        assert numbers_sent(bazaar).count({"BAG-1": 8}) == 1


async def test_a_ticket_without_an_answer_is_an_incident_within_the_hour_and_over_once_it_has_one() -> None:
    """Its number is written no other meanwhile: a person should know long before the day is over."""
    async with market({BAG: 5}, LaterMarket) as (h, bazaar):
        assert isinstance(bazaar, LaterMarket)
        bazaar.ability = replace(bazaar.ability, outcome_within_seconds=0.5)
        bazaar.at_once = False
        h.org.move(BAG, -1)
        await h.until_kept(lambda tx: [each for each in tx.incidents() if each.kind == "push lost"])
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert "has not said" in incident.title
        await h.kill()
        bazaar.at_once = True
        bazaar.work()
        await h.start()
        await h.shows("BAG-1", 4)
        await h.until_kept(lambda tx: not tx.incidents())
        assert numbers_sent(bazaar).count({"BAG-1": 4}) == 1


async def test_a_ticket_that_is_not_known_any_more_has_its_numbers_read() -> None:
    """What it did is what they show."""
    async with market({BAG: 5}, LaterMarket) as (h, bazaar):
        assert isinstance(bazaar, LaterMarket)
        bazaar.at_once = False
        h.org.move(BAG, -1)
        await h.until(lambda: bool(bazaar.waiting))
        bazaar.waiting.clear()
        bazaar.at_once = True
        await h.shows("BAG-1", 4)


@pytest.mark.parametrize("kind", [LittleMarket, LaterMarket])
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_an_allocation_is_never_sold_twice_and_all_comes_to_rest(
    seed: int, kind: type[LittleMarket]
) -> None:
    """Sales that nobody tells of, lost and late writes, receipts and kills, in any order."""
    luck, rule = random.Random(seed), PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
    async with house(
        {BAG: 8}, rules=(rule,), shops=("bazaar", "london"), make_shop=partial(mixed, kind=kind)
    ) as h:
        bazaar, london = h.shops["bazaar"], h.shops["london"]
        await h.shows("BAG-1", 4, 4)
        sold, stock = {"bazaar": 0, "london": 0}, 8
        watching = asyncio.create_task(watch(h, sold))
        for _ in range(25):
            match luck.choice(("market", "market", "shop", "receipt", "fate", "kill", "wait")):
                case "market" if bazaar.shelf["BAG-1"] > 0:
                    sold["bazaar"] += 1
                    bazaar.buy("BAG-1")
                case "shop" if london.shelf["BAG-1"] > 0:
                    sold["london"] += 1
                    await h.deliver("london", london.buy("BAG-1"))
                case "receipt" if stock < 14:
                    stock += 1
                    h.org.move(BAG, 1)
                case "fate":
                    bazaar.next.append(luck.choice(("lost", "reply lost", "later")))
                case "kill":
                    await h.kill()  # whoever watches dies with it
                    await h.start()
                    watching = asyncio.create_task(watch(h, sold))
                case _:
                    await asyncio.sleep(luck.random() * 0.2)
            assert not watching.done(), watching.exception()
        bazaar.next.clear()
        left = stock - sum(sold.values())
        explaining = asyncio.create_task(explain_all(h))
        await h.until(
            lambda: (
                sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == left
                and total(h.org.of("order:")) == (0, sum(sold.values()))
                and h.org.numbers(BAG) == (stock, stock)
            ),
            of=lambda: f"{left} of {stock} left: {bazaar.shelf} {london.shelf} {h.org.numbers(BAG)}",
        )
        assert not watching.done(), watching.exception()
        assert not explaining.done(), explaining.exception()
        watching.cancel()
        explaining.cancel()


async def explain_all(h: House) -> None:
    """Until cancelled: every order is known, and a while has passed since."""

    def work(tx: SqlTx) -> set[str]:
        aged = type_coerce(channel_level.c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        tx.connection.execute(update(channel_level).values(changed_at=aged))
        return refresh(tx, h.ctx.assortment, h.pulse, explain(tx, h.ctx), h.clock.now())

    while True:
        for name in h.shops:
            await h.supervisor.polls.poll(name)
        await h.idle()
        h.ctx.bell.ring(*await h.store.write(work))
