"""Goods that somebody was promised are carried to another place: they are his there, and nobody else's."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.flow.kit import House, house
from tests.flow.test_reservation_life import kept, reservation_of
from tests.flow.test_why import sums, told

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.incidents import OVERSOLD, Stage, Way
from sfsync.domain.incidents import Wish as Decision
from sfsync.domain.reservations import Outcome, ReservationKind, ReservationState, Wish, WishedLine
from sfsync.store.tx import SqlTx

ECOM, TOWN = "BAG-1|ECOM", "BAG-1|TOWN"
ONE, ONE_IN_TOWN = "BAG-1|ECOM|1", "BAG-1|TOWN|1"
PLACES = pytest.mark.parametrize(
    ("here", "there"), [(ECOM, TOWN), (ONE, ONE_IN_TOWN)], ids=["a bag", "a piece"]
)
OWN = pytest.mark.parametrize(
    "rule",
    [
        PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED),
        PolicyRule(("BAG-1",), ("london",), guarantee=Guarantee.ALLOCATED),
    ],
    ids=["divided", "London's"],
)
State = ReservationState
NOT_HERS = "where it stood before"


async def rest(h: House) -> None:
    await h.idle()
    await asyncio.sleep(0.4)
    await h.idle()


def unit_of(level: str) -> str | None:
    return level.split("|")[2] if level.count("|") == 2 else None


async def ask(h: House, level: str, *, shop: str = "dubai", days: float = 1) -> Outcome:
    """Somebody wants it kept at a place."""
    line = WishedLine("BAG-1", 1, level.split("|")[1], unit_of(level))
    wish = Wish(ReservationKind.CLIENT, shop, "client 4", (line,), timedelta(days=days))
    return await h.desk.create(wish, idempotency_key=None, digest="")


async def carried(h: House, here: str, there: str) -> None:
    """Somebody carries it, and enters that in the org."""
    h.org.move(here, on_hand=-1)
    h.org.move(there, on_hand=1)
    want = {here: h.org.numbers(here)[0], there: h.org.numbers(there)[0]}
    await h.until_kept(lambda tx: stands(tx) | want == stands(tx))
    await rest(h)


def stands(tx: SqlTx) -> dict[str, int]:
    return {str(level.key): level.on_hand for level in tx.levels_of(["BAG-1"])}


def shown(h: House) -> list[int]:
    return [shop.shelf["BAG-1"] for shop in h.shops.values()]


@PLACES
async def test_what_was_promised_is_promised_once_wherever_it_was_carried(here: str, there: str) -> None:
    """It is a client's in the warehouse, and stands in town now: no shop shows it, nobody else gets it."""
    async with house({here: 1, there: 0}) as h:
        assert reservation_of(await ask(h, here)).state is State.GRANTED
        await carried(h, here, there)
        assert shown(h) == [0, 0]
        no = await ask(h, there)
        assert (no.problem, no.available) == ("unavailable", {"BAG-1": {}})
        assert NOT_HERS in no.detail
        assert h.org.numbers(there) == (1, 0)  # the org was not asked: its rule would have given it
        london = sums(await told(h), "london")
        what = "promised elsewhere, out of TOWN" + ("" if unit_of(here) is None else ", piece 1")
        assert (what, -1) in london
        assert sum(units for _, units in london) == 0


@PLACES
async def test_what_is_only_about_to_arrive_is_not_given_to_who_asks_by_chance(here: str, there: str) -> None:
    """It has left the warehouse, and nobody has told of its arrival. It is hers, and he asks in town."""
    async with house({here: 1, there: 0}) as h:
        assert reservation_of(await ask(h, here)).state is State.GRANTED
        h.org.move(here, on_hand=-1)
        await h.until_kept(lambda tx: not stands(tx)[here])
        h.org.move(there, on_hand=1, told=False)
        assert (await ask(h, there)).problem == "unavailable"
        assert h.org.numbers(there) == (1, 0)


@PLACES
async def test_whoever_was_promised_it_may_have_it_where_it_is_now(here: str, there: str) -> None:
    """She pays, has it kept in town, where it was carried, and fetches it there."""
    async with house({here: 1, there: 0}) as h:
        number = reservation_of(await ask(h, here)).id
        await carried(h, here, there)
        moved = await h.desk.move(number, "TOWN")
        assert (moved.problem, str(reservation_of(moved).lines[0].level)) == ("", there)
        assert (h.org.numbers(here), h.org.numbers(there)) == ((0, 0), (1, 1))
        assert not (await h.desk.confirm(number, "#1001")).problem
        await h.desk.hand_over(number, "receipt 1")
        await rest(h)
        assert (h.org.numbers(there), (await kept(h, number)).state) == ((0, 0), State.SETTLED)
        assert shown(h) == [0, 0]


async def test_a_piece_is_paid_for_where_it_was_carried() -> None:
    """She pays before anybody has moved her promise: it follows the piece, which stays hers all the time."""
    async with house({ONE: 1, ONE_IN_TOWN: 0}) as h:
        number = reservation_of(await ask(h, ONE)).id
        await carried(h, ONE, ONE_IN_TOWN)
        paid = await h.desk.confirm(number, "#1001")
        assert (paid.problem, str(reservation_of(paid).lines[0].level)) == ("", ONE_IN_TOWN)
        assert reservation_of(paid).state is State.CONFIRMED
        assert (h.org.numbers(ONE), h.org.numbers(ONE_IN_TOWN)) == ((0, 0), (1, 1))
        await h.desk.hand_over(number, "receipt 1")
        await rest(h)
        assert (h.org.numbers(ONE_IN_TOWN), shown(h)) == ((0, 0), [0, 0])


async def test_a_piece_that_left_for_good_is_paid_and_not_available() -> None:
    """It went over the counter; there is no other of its number, and nowhere to follow it to."""
    async with house({ONE: 1, ONE_IN_TOWN: 0}) as h:
        number = reservation_of(await ask(h, ONE)).id
        h.org.move(ONE, on_hand=-1)
        await h.until_kept(lambda tx: not stands(tx)[ONE])
        assert (await h.desk.confirm(number, "#1001")).problem == "paid-unavailable"
        assert shown(h) == [0, 0]


@PLACES
async def test_nobody_else_is_moved_to_where_it_was_carried(here: str, there: str) -> None:
    """His own bag waits elsewhere; he would like to fetch one in town, and that one is hers."""
    other = f"BAG-1|MALL{here[len(ECOM) :]}".replace("|1", "|2")
    async with house({here: 1, there: 0, other: 1, "BAG-1|TOWN|2": 0}) as h:
        assert reservation_of(await ask(h, here)).state is State.GRANTED
        his = reservation_of(await ask(h, other)).id
        await carried(h, here, there)
        if unit_of(here) is None:
            no = await h.desk.move(his, "TOWN")
            assert no.problem == "unavailable"
            assert NOT_HERS in no.detail
        assert str((await kept(h, his)).lines[0].level) == other
        assert h.org.numbers(there) == (1, 0)


@PLACES
async def test_paid_after_its_end_it_is_not_taken_from_who_was_promised_it_meanwhile(
    here: str, there: str
) -> None:
    """His time is over; it goes to the warehouse and is hers there, comes back to town, and then he pays."""
    async with house({here: 0, there: 1}) as h:
        his = reservation_of(await ask(h, there, days=1e-6)).id
        await h.until_kept(lambda tx: (r := tx.reservation(his)) and r.state is State.EXPIRED)
        await carried(h, there, here)
        assert reservation_of(await ask(h, here)).state is State.GRANTED
        await carried(h, here, there)
        late = await h.desk.confirm(his, "#1001")
        assert (late.problem, h.org.numbers(there)) == ("paid-unavailable", (1, 0))
        assert NOT_HERS in late.detail
        moved = await h.desk.move(his, "TOWN")
        assert (moved.problem, h.org.numbers(there)) == ("paid-unavailable", (1, 0))
        assert (await kept(h, his)).state is State.PAID_UNAVAILABLE


async def test_what_was_promised_elsewhere_stands_in_for_nothing() -> None:
    """His scarf is gone, and he would take the bag: that is hers, and was only carried."""
    async with house({ECOM: 1, TOWN: 0, "SCARF-1|ECOM": 1}) as h:
        his = reservation_of(await h.reserve("SCARF-1", life=timedelta(milliseconds=1))).id
        await h.until_kept(lambda tx: (r := tx.reservation(his)) and r.state is State.EXPIRED)
        h.org.move("SCARF-1|ECOM", on_hand=-1)
        await h.until_kept(lambda tx: not tx.levels_of(["SCARF-1"])[0].on_hand)
        assert (await h.desk.confirm(his, "#1001")).problem == "paid-unavailable"
        assert reservation_of(await ask(h, ECOM)).state is State.GRANTED
        await carried(h, ECOM, TOWN)
        no = await h.desk.substitute(his, (WishedLine("BAG-1", 1, "TOWN"),))
        assert (no.problem, h.org.numbers(TOWN)) == ("unavailable", (1, 0))


@PLACES
async def test_what_an_order_has_is_not_shown_or_sold_where_it_was_carried(here: str, there: str) -> None:
    """Sold in London, and carried to town to be sent from there. Dubai had sold it, too: it is London's."""
    async with house({here: 1, there: 0}) as h:
        twice = h.shops["dubai"].buy("BAG-1")
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await rest(h)
        assert h.org.numbers(here) == (1, 1)
        await carried(h, here, there)
        assert max(shown(h)) == 0
        await h.deliver("dubai", twice)
        await rest(h)
        assert h.org.numbers(there) == (1, 0)
        assert any(
            each.kind == OVERSOLD and str(each.key).startswith("order:dubai")
            for each in await h.store.read(lambda tx: tx.incidents())
        )
        if unit_of(here) is None:  # the next one is for Dubai's customer; of a piece there is no other
            h.org.move(here, on_hand=1)
            await h.until(lambda: h.org.numbers(here)[1] + h.org.numbers(there)[1] == 2)


async def test_a_person_lets_an_order_follow_its_bag() -> None:
    """An incident says that the warehouse has it no more. It is in town, and Anna has it sent from there."""
    async with house({ECOM: 1, TOWN: 0}) as h:
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await rest(h)
        await carried(h, ECOM, TOWN)
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        move = Decision(Way.MOVE, "Anna Kay", "it is in town", location="TOWN")
        assert (await h.supervisor.resolver.resolve(incident.id, move)).stage is Stage.DONE
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((0, 0), (1, 1))
        await rest(h)
        assert not await h.store.read(lambda tx: tx.incidents())
        assert shown(h) == [0, 0]


@OWN
async def test_a_piece_that_is_set_aside_is_set_aside_where_it_was_carried(rule: PolicyRule) -> None:
    """It is one shop's own, and is carried to town: shown once all the time, and nobody else's there."""
    async with house({ONE: 1, ONE_IN_TOWN: 0}, rules=(rule,)) as h:
        await rest(h)
        assert (h.org.numbers(ONE), sum(shown(h))) == ((1, 1), 1)
        await carried(h, ONE, ONE_IN_TOWN)
        await h.until(lambda: (h.org.numbers(ONE), h.org.numbers(ONE_IN_TOWN)) == ((0, 0), (1, 1)))
        await rest(h)
        assert sum(shown(h)) == 1
        assert (await ask(h, ONE_IN_TOWN)).problem == "unavailable"


@OWN
async def test_a_piece_of_its_own_that_a_shop_sold_as_it_was_carried_is_sold_once(rule: PolicyRule) -> None:
    """London sells its own piece, and nobody has told of it yet when it is carried to town."""
    async with house({ONE: 1, ONE_IN_TOWN: 0}, rules=(rule,)) as h:
        await rest(h)
        assert shown(h) == [1, 0]
        sold = h.shops["london"].buy("BAG-1")
        await carried(h, ONE, ONE_IN_TOWN)
        await h.deliver("london", sold)
        await rest(h)
        assert max(shown(h)) == 0
        assert h.org.numbers(ONE)[1] + h.org.numbers(ONE_IN_TOWN)[1] == 1
        assert (await ask(h, ONE_IN_TOWN)).problem == "unavailable"


@PLACES
async def test_what_is_sent_before_its_order_has_followed_it_left_from_where_it_was_carried(
    here: str, there: str
) -> None:
    """The parcel leaves town: the books take it off there, and the promise off the warehouse."""
    async with house({here: 1, there: 0}) as h:
        sold = h.shops["london"].buy("BAG-1")
        await h.deliver("london", sold)
        await rest(h)
        await carried(h, here, there)
        h.shops["london"].change(sold, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", sold)
        await h.until(lambda: h.org.numbers(here)[1] == 0)
        await rest(h)
        assert (h.org.numbers(here), h.org.numbers(there)) == ((0, 0), (0, 0))
        assert not await h.store.read(lambda tx: tx.incidents())
        assert shown(h) == [0, 0]


async def test_of_two_that_were_sold_the_carried_one_leaves_from_where_it_is() -> None:
    """Of two sold bags one is carried to town. Both are sent: one leaves each place, whoever had which."""
    async with house({ECOM: 2, TOWN: 0}) as h:
        orders = [h.shops["london"].buy("BAG-1"), h.shops["dubai"].buy("BAG-1", 1)]
        for shop, order in zip(("london", "dubai"), orders, strict=True):
            await h.deliver(shop, order)
        await rest(h)
        await carried(h, ECOM, TOWN)
        for shop, order in zip(("london", "dubai"), orders, strict=True):
            h.shops[shop].change(order, open_quantity=0, fulfilled_quantity=1)
            await h.deliver(shop, order)
        await h.until(lambda: h.org.numbers(ECOM)[1] == 0)
        await rest(h)
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((0, 0), (0, 0))
        assert not await h.store.read(lambda tx: tx.incidents())
