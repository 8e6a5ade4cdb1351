"""Paid for after it had expired, and somebody else has the goods: other pieces, or the money."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.kit import House, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.incidents import PAID_UNAVAILABLE, Stage, Way, Wish
from sfsync.domain.orders import MoneyBack
from sfsync.domain.refunds import Ending, OwedLine
from sfsync.domain.reservations import Reservation, ReservationKind, ReservationState, WishedLine
from sfsync.domain.reservations import Wish as CartWish
from sfsync.store.tx import SqlTx

State = ReservationState
BAG, SCARF, TOTE, VAULT = "BAG-1|ECOM", "SCARF-1|ECOM", "TOTE-1|ECOM", "BAG-1|VAULT"
GATED = PolicyRule(("*",), guarantee=Guarantee.GATED)
SCARVES = (WishedLine("SCARF-1", 1),)
ASKED = Wish(Way.SUBSTITUTE, "Anna Kay", "she likes it too", sku="SCARF-1")
OWED = Wish(Way.REFUND, "Anna Kay", "there is none left")


@asynccontextmanager
async def paid_and_gone(
    stock: Mapping[str, int] | None = None, order: str = "#1001", units: int = 1, **how: object
) -> AsyncIterator[tuple[House, str]]:
    """A house with a reservation that is paid and not available: all its bags went over the counter."""
    async with house({BAG: 1, SCARF: 1} if stock is None else stock, **how) as h:
        outcome = await h.reserve("BAG-1", units, life=timedelta(milliseconds=1))
        assert outcome.reservation is not None
        number = outcome.reservation.id
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.idle()
        h.org.move(BAG, on_hand=-units)
        await h.until_kept(lambda tx: all(not each.on_hand for each in tx.levels_of(["BAG-1"])))
        assert (await h.desk.confirm(number, order)).problem == "paid-unavailable"
        yield h, number


async def kept(h: House, number: str) -> Reservation:
    """A reservation as it stands."""
    found = await h.desk.get(number)
    assert found is not None
    return found


async def the_incident(h: House) -> int:
    """The id of the only open incident."""
    [found] = await h.store.read(lambda tx: tx.incidents())
    assert found.kind == PAID_UNAVAILABLE
    number: int = found.id
    return number


async def test_other_pieces_take_its_place_in_one_step() -> None:
    """The customer agrees to a scarf: it is reserved in the org, paid for, and the bag's incident is over."""
    async with paid_and_gone() as (h, number):
        told = await asyncio.gather(*(h.desk.substitute(number, SCARVES) for _ in range(3)))
        stand_in = told[0].reservation
        assert stand_in is not None
        assert {each.reservation and each.reservation.id for each in told} == {stand_in.id}  # asked once
        assert (stand_in.state, stand_in.instead_of, stand_in.order_reference) == (
            State.CONFIRMED,
            number,
            "#1001",
        )
        assert stand_in.expires_at is None
        former = await kept(h, number)
        assert (former.state, stand_in.id in former.reason) == (State.RELEASED, True)
        assert h.org.numbers(SCARF) == (1, 1)
        assert await h.store.read(lambda tx: tx.incidents()) == []
        other = await h.desk.substitute(number, (WishedLine("TOTE-1", 1),))
        assert other.problem == "ended"


async def test_fewer_other_pieces_than_were_paid_for_leave_the_rest_owed() -> None:
    """Two bags were paid for, and there is one scarf. The other bag stays an incident."""
    async with paid_and_gone({BAG: 2, SCARF: 1, TOTE: 1}, units=2) as (h, number):
        told = await asyncio.gather(*(h.desk.substitute(number, SCARVES) for _ in range(2)))
        scarf = told[0].reservation
        assert scarf is not None
        assert {each.reservation and each.reservation.id for each in told} == {scarf.id}  # asked once
        rest = await kept(h, number)
        assert (rest.state, rest.due(), scarf.id in rest.reason) == (State.PAID_UNAVAILABLE, (1,), True)
        incident = await the_incident(h)
        told_of = (await h.store.read(lambda tx: tx.incidents()))[0].detail
        assert told_of["lines"] == [{"level": BAG, "units": 1}]
        tote = Wish(Way.SUBSTITUTE, "Anna Kay", "she takes both", sku="TOTE-1")
        assert (await h.supervisor.resolver.resolve(incident, tote)).stage is Stage.DONE
        assert (await kept(h, number)).state is State.RELEASED
        assert (h.org.numbers(SCARF), h.org.numbers(TOTE)) == ((1, 1), (1, 1))
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_the_rest_of_what_was_paid_for_is_refunded_or_had_after_all() -> None:
    """One of two bags is a scarf by now. For the other the money goes back: for one bag, not for two."""
    async with paid_and_gone({BAG: 2, SCARF: 1}, units=2) as (h, number):
        await h.desk.substitute(number, SCARVES)
        owed = await h.supervisor.refunds.open(number, by="Anna Kay", reason="she wants one scarf only")
        assert owed.task is not None
        assert owed.task.lines == (OwedLine("BAG-1", 1),)
    async with paid_and_gone({BAG: 2, SCARF: 1}, units=2) as (h, number):
        await h.desk.substitute(number, SCARVES)
        h.org.move(BAG, on_hand=2)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.CONFIRMED)
        await h.idle()
        assert h.org.numbers(BAG) == (2, 1)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_other_pieces_that_are_not_to_be_had_change_nothing() -> None:
    """The org refuses the scarf, which a till has just sold: the incident stays, with all its ways out."""
    async with paid_and_gone({BAG: 1, SCARF: 1, TOTE: 1}) as (h, number):
        h.org.move(SCARF, on_hand=-1, told=False)
        outcome = await h.desk.substitute(number, SCARVES)
        assert outcome.problem == "unavailable"
        assert (await kept(h, number)).state is State.PAID_UNAVAILABLE
        unknown = await h.desk.substitute(number, (WishedLine("HAT-1", 1),))
        assert unknown.problem == "unknown-sku"
        assert await the_incident(h)
        tote = await h.desk.substitute(number, (WishedLine("TOTE-1", 1),))
        assert tote.reservation is not None
        assert tote.reservation.state is State.CONFIRMED


async def test_a_stand_in_whose_answer_comes_after_a_kill_still_takes_its_place() -> None:
    """The daemon dies between the question and the org's answer."""
    async with paid_and_gone() as (h, number):
        h.org.next.append("late")
        asking = asyncio.create_task(h.desk.substitute(number, SCARVES))
        await h.until(lambda: h.org.under_way)
        asking.cancel()
        await h.kill()
        h.org.land()
        await h.start()
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.RELEASED)
        [stand_in] = await h.store.read(lambda tx: tx.stand_ins(number))
        assert stand_in.state is State.CONFIRMED
        assert [row[2] for row in h.org.of(f"reservation:{stand_in.id}")] == [1]


async def test_a_stand_in_that_nobody_needs_any_more_is_given_back() -> None:
    """While the scarf is asked for, somebody gives the money back: the scarf is on sale again."""
    async with paid_and_gone() as (h, number):
        h.org.next.extend(["late", *["lost"] * 200])
        asking = asyncio.create_task(h.desk.substitute(number, SCARVES))
        await h.until(lambda: h.org.under_way)
        assert (await h.supervisor.refunds.open(number, by="Anna Kay", reason="she left")).new
        h.org.land()
        h.org.next.clear()
        outcome = await asking
        assert outcome.reservation is not None
        await h.until_kept(lambda tx: tx.stand_ins(number)[0].state is State.RELEASED)
        await h.until(lambda: h.org.numbers(SCARF) == (1, 0))


async def test_its_incident_is_resolved_with_other_pieces_under_a_name() -> None:
    """The name and the reason stand in the org's ledger; the second click does nothing twice."""
    async with paid_and_gone() as (h, _):
        number = await the_incident(h)
        told = await asyncio.gather(*(h.supervisor.resolver.resolve(number, ASKED) for _ in range(2)))
        assert {each.stage for each in told} == {Stage.DONE}
        assert total(h.org.of("reservation:")) == (0, 1)
        assert "moved by Anna Kay: she likes it too" in list(h.org.rows.values())[-1].reference
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_refund_is_owed_until_somebody_says_that_it_is_paid_back() -> None:
    """A record of its own: who owes what to whom, since when, closed once by whom."""
    async with paid_and_gone() as (h, number):
        desk = h.supervisor.refunds
        told = await h.supervisor.resolver.resolve(await the_incident(h), OWED)
        assert (told.stage, told.more["refund_task"]) == (Stage.DONE, 1)
        assert (await kept(h, number)).state is State.RELEASED
        assert await h.store.read(lambda tx: tx.incidents()) == []
        [task] = await desk.find()
        assert (task.debtor, task.creditor, task.order_reference, task.reservation) == (
            "london",
            "cart 7",
            "#1001",
            number,
        )
        assert [(line.sku, line.units) for line in task.lines] == [("BAG-1", 1)]
        assert (task.opened_by, task.reason) == ("Anna Kay", "there is none left")
        assert not (await desk.open(number, by="checkout", reason="again")).new
        done = await desk.close(task.id, Ending.REFUNDED, by="Ben Ito", said="by card")
        assert done.task is not None
        assert (done.task.ending, done.task.closed_by, done.task.said) == ("refunded", "Ben Ito", "by card")
        again = await desk.close(task.id, Ending.REFUNDED, by="Cy Lee", said="twice")
        assert again.task == done.task
        assert (await desk.close(task.id, Ending.WITHDRAWN, by="Cy Lee", said="no")).problem == "over"
        assert await desk.find() == []
        assert [each.id for each in await desk.find(open_only=False)] == [1]


async def test_nothing_is_owed_for_what_the_customer_can_still_have() -> None:
    """Held, refused or unknown: there is nothing to pay back."""
    async with house({BAG: 1}) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        answer = await h.supervisor.refunds.open(outcome.reservation.id, by="Anna Kay", reason="x")
        assert (answer.task, answer.problem) == (None, "nothing-owed")
        answer = await h.supervisor.refunds.open("r77", by="Anna Kay", reason="x")
        assert answer.problem == "no-such-reservation"
        assert (await h.supervisor.refunds.close(7, Ending.REFUNDED, by="A", said="x")).problem


@pytest.mark.parametrize("sent", [False, True], ids=["to be sent", "sent"])
async def test_nothing_is_owed_for_what_its_order_delivers(sent: bool) -> None:
    """A bag and a scarf were paid for, the bag alone was ordered; the scarf is let go: the scarf is owed."""
    gated = (PolicyRule(("*",), guarantee=Guarantee.GATED),)
    async with house({BAG: 2, SCARF: 2}, rules=gated, shops=("london",)) as h:
        london = h.shops["london"]
        await h.until(lambda: london.shelf["BAG-1"] == 2)
        wish = CartWish(
            ReservationKind.CART,
            "london",
            "cart 7",
            (WishedLine("BAG-1", 1), *SCARVES),
            timedelta(minutes=15),
        )
        cart = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert cart is not None
        assert not (await h.desk.confirm(cart.id, "#1001")).problem
        number = london.buy("BAG-1", reservations=(cart.id,))
        await h.deliver("london", number)
        await h.idle()
        if sent:
            london.change(number, open_quantity=0, fulfilled_quantity=1)
            await h.deliver("london", number)
            await h.idle()
        assert not (await h.desk.release(cart.id)).problem
        [task] = await h.supervisor.refunds.find()
        assert task.lines == (OwedLine("SCARF-1", 1),)


@pytest.mark.parametrize("before", [True, False])
async def test_the_shops_own_refund_ends_what_is_owed(before: bool) -> None:
    """It was given at the shop, before or after the task was opened: either way nobody has to say so."""
    async with paid_and_gone() as (h, number):
        shop = h.shops["london"]
        shop.shelf["BAG-1"] = 1  # it has not heard yet that the bag is gone
        order = shop.buy("BAG-1")
        assert order == "1001"
        await h.deliver("london", order)
        await h.until_kept(lambda tx: tx.lines_of_order("london", ["#1001"]))

        def refund() -> None:
            shop.change(order, open_quantity=0, refunded_quantity=1)
            shop.orders[order] = replace(shop.orders[order], money_back=MoneyBack.SOME)

        if before:
            refund()
        assert (await h.supervisor.refunds.open(number, by="Anna Kay", reason="none")).new
        if not before:
            assert len(await h.supervisor.refunds.find()) == 1
            refund()
            await h.deliver("london", order)
        await h.until_kept(lambda tx: not tx.refunds())

        def ended(tx: SqlTx) -> tuple[str | None, str]:
            [task] = tx.refunds(open_only=False)
            return task.ending, task.closed_by

        assert await h.store.read(ended) == ("refunded", "london")


async def test_whoever_lets_a_paid_piece_go_owes_the_money_once() -> None:
    """She does not want it any more: it is on sale again, and the money is on somebody's list, once."""
    async with house({BAG: 1}) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        number = outcome.reservation.id
        assert (await h.desk.confirm(number, "#1001")).problem == ""
        for _ in range(2):
            assert (await h.desk.release(number, "she changed her mind", by="town")).problem == ""
        await h.idle()
        assert h.org.numbers(BAG) == (1, 0)
        [task] = await h.store.read(lambda tx: tx.refunds())
        assert (task.order_reference, task.opened_by, task.lines) == (
            "#1001",
            "town",
            (OwedLine("BAG-1", 1),),
        )


async def test_nothing_is_owed_for_a_cart_that_nobody_paid() -> None:
    """It only goes back."""
    async with house({BAG: 1}) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        await h.desk.release(outcome.reservation.id)
        assert not await h.store.read(lambda tx: tx.refunds())


async def test_one_piece_stands_in_for_the_one_that_is_owed_of_two() -> None:
    """Two bags were paid for, one was sent, the other is gone. The incident's button takes one scarf."""
    async with house({BAG: 3, SCARF: 2}, shops=("london",), shelf={"BAG-1": 3, "SCARF-1": 2}) as h:
        cart = (await h.reserve("BAG-1", 2, life=timedelta(seconds=1.2))).reservation
        assert cart is not None
        london = h.shops["london"]
        order = london.buy("BAG-1", reservations=(cart.id,))
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(cart.id)) and r.state is State.EXPIRED)
        london.change(order, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", order)
        await h.idle()
        h.org.move(BAG, on_hand=-2)
        await h.until_kept(lambda tx: all(not each.on_hand for each in tx.levels_of(["BAG-1"])))
        assert (await h.desk.confirm(cart.id, "#9")).problem == "paid-unavailable"
        assert (await h.supervisor.resolver.resolve(await the_incident(h), ASKED)).stage is Stage.DONE
        await h.idle()
        assert h.org.numbers(SCARF) == (2, 1)


async def sold_over_the_counter(h: House, number: str) -> None:
    """The till sells a bag that is reserved; who pays for it is told so."""
    h.org.till(BAG, -1, "receipt-9")
    await h.until_kept(lambda tx: tx.oversold([level.key for level in tx.levels_of(["BAG-1"])]))
    await h.desk.confirm(number, "#1001")
    await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is not State.GRANTED)
    await h.idle()


async def test_what_stands_in_for_a_cart_is_had_by_its_order_that_names_the_cart() -> None:
    """The bag is gone, the last one is had in the vault instead. The order, which knows its cart alone, has
    that: it is not told as oversold beside the bag that is held for it."""
    async with house({BAG: 1, VAULT: 1}, rules=(GATED,)) as h:
        london = h.shops["london"]
        place = (WishedLine("BAG-1", 1, "ECOM"),)
        wish = CartWish(ReservationKind.CART, "london", "cart 7", place, timedelta(minutes=9))
        cart = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert cart is not None
        await h.until(lambda: london.shelf["BAG-1"] == 2)
        await sold_over_the_counter(h, cart.id)
        stand_in = (await h.desk.substitute(cart.id, (WishedLine("BAG-1", 1, "VAULT"),))).reservation
        assert stand_in is not None
        assert stand_in.state is State.CONFIRMED
        await h.idle()
        london.shelf["BAG-1"] = max(1, london.shelf["BAG-1"])
        await h.deliver("london", london.buy("BAG-1", reservations=(cart.id,)))
        await h.idle()
        assert (total(h.org.of("order:")), h.org.numbers(VAULT)) == ((0, 1), (1, 1))
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_an_order_that_names_one_of_two_carts_has_both_that_were_paid_for_it() -> None:
    """Two carts, each with a bag, are paid for one order; it names the first. Two are held, and not three."""
    async with house({BAG: 3}, rules=(GATED,)) as h:
        london = h.shops["london"]
        one, two = [(await h.reserve("BAG-1")).reservation for _ in range(2)]
        assert one is not None
        assert two is not None
        for each in (one, two):
            await h.desk.confirm(each.id, "#1001")
        await h.until(lambda: london.shelf["BAG-1"] >= 2)
        await h.deliver("london", london.buy("BAG-1", 2, reservations=(one.id,)))
        await h.idle()
        assert (total(h.org.of("order:")), h.org.numbers(BAG)) == ((0, 2), (3, 2))


async def test_a_known_order_has_what_stands_in_for_its_bag_when_the_answer_comes_after_a_kill() -> None:
    """The order lacks its bag; the vault's is taken for it, and the daemon dies before the answer."""
    async with house({BAG: 1, VAULT: 1}, rules=(replace(GATED, sells_from=("ECOM",)),)) as h:
        london = h.shops["london"]
        cart = (await h.reserve("BAG-1")).reservation
        assert cart is not None
        await h.until(lambda: london.shelf["BAG-1"] == 1)
        await sold_over_the_counter(h, cart.id)
        london.shelf["BAG-1"] = 1
        await h.deliver("london", london.buy("BAG-1", reservations=(cart.id,)))
        await h.idle()
        h.org.next.append("late")
        asking = asyncio.create_task(h.desk.substitute(cart.id, (WishedLine("BAG-1", 1, "VAULT"),)))
        await h.until(lambda: h.org.under_way)
        asking.cancel()
        await h.kill()
        h.org.land()
        await h.start()
        await h.until_kept(lambda tx: (r := tx.reservation(cart.id)) and r.state is State.RELEASED)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 1)


async def one_gives_way(h: House) -> None:
    """Under the fallback rule a till sells one of the two bags that are reserved."""
    h.org.till(BAG, -1, "receipt-9")
    await h.until(lambda: h.org.numbers(BAG) == (1, 1))
    await h.until_kept(lambda tx: tx.incidents())
    await h.idle()


async def test_a_cart_that_lost_one_of_two_bags_is_not_confirmed_as_if_it_had_both() -> None:
    """All or nothing was granted, and one gave way to the till: who pays is told, and that bag is owed."""
    async with house({BAG: 2}, rules=(GATED,)) as h:
        h.org.fallback_rule = True
        cart = (await h.reserve("BAG-1", 2)).reservation
        assert cart is not None
        await one_gives_way(h)
        assert (await h.desk.confirm(cart.id, "#1001")).problem == "paid-unavailable"
        [lost] = await h.store.read(lambda tx: tx.paid_unavailable())
        assert (lost.due(), lost.order_reference) == ((1,), "#1001")
        assert ((await kept(h, cart.id)).state, h.org.numbers(BAG)) == (State.CONFIRMED, (1, 1))


async def test_a_paid_bag_that_gave_way_is_owed_and_had_when_the_next_comes() -> None:
    """Two are paid for, and the till sells one. It is told, and the next bag is not for a stranger's cart."""
    async with house({BAG: 2}, rules=(GATED,)) as h:
        h.org.fallback_rule = True
        cart = (await h.reserve("BAG-1", 2)).reservation
        assert cart is not None
        await h.desk.confirm(cart.id, "#1001")
        await one_gives_way(h)
        [lost] = await h.store.read(lambda tx: tx.paid_unavailable())
        assert lost.due() == (1,)
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: (r := tx.reservation(lost.id)) and r.state is State.CONFIRMED)
        await h.idle()
        assert (await h.reserve("BAG-1", shop="dubai")).problem == "unavailable"
        assert h.org.numbers(BAG) == (2, 2)


async def test_a_pick_up_that_lost_one_of_two_bags_is_not_over_when_the_other_is_fetched() -> None:
    """The customer gets one over the counter; for the other her money is owed, or it is had elsewhere."""
    async with house({BAG: 2}, rules=(GATED,)) as h:
        h.org.fallback_rule = True
        two = (WishedLine("BAG-1", 2, "ECOM"),)
        wish = CartWish(ReservationKind.PICK_UP, "london", "her", two, timedelta(days=2))
        held = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert held is not None
        await h.desk.confirm(held.id, "#1001")
        await one_gives_way(h)
        await h.desk.hand_over(held.id, "receipt 5")
        await h.idle()
        [lost] = await h.store.read(lambda tx: tx.paid_unavailable())
        assert (lost.due(), (await kept(h, held.id)).state) == ((1,), State.SETTLED)
