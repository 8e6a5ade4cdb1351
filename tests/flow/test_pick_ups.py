"""Pick-ups and their orders: what is kept in a boutique leaves from there, once, whoever speaks first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.kit import House, house, total
from tests.flow.test_reservation_life import granted, kept, reservation_of

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.counts import Count
from sfsync.domain.incidents import NOT_FETCHED, NOT_FOUND, OVERSOLD, PAID_UNAVAILABLE, Way
from sfsync.domain.incidents import Wish as Decision
from sfsync.domain.orders import OrderLine
from sfsync.domain.reservations import (
    LONGEST,
    TO_FETCH,
    Outcome,
    PickUpWindow,
    ReservationKind,
    Wish,
    WishedLine,
)
from sfsync.domain.reservations import ReservationState as State
from sfsync.domain.stock import LevelKey

ECOM, TOWN, DUBAI, SCARF = "BAG-1|ECOM", "BAG-1|TOWN", "BAG-1|DUBAI", "SCARF-1|TOWN"
GATED = (PolicyRule(("BAG-1",), guarantee=Guarantee.GATED),)
ONLINE = {"online": ("ECOM", "TOWN")}


async def asked_for(h: House, place: str, units: int = 1, shop: str = "london") -> Outcome:
    """Somebody wants to fetch bags at a boutique."""
    wish = Wish(
        ReservationKind.PICK_UP, shop, "client 4", (WishedLine("BAG-1", units, place),), timedelta(days=1)
    )
    return await h.desk.create(wish, idempotency_key=None, digest="")


async def to_be_fetched(h: House, place: str, units: int = 1) -> str:
    """The id of a pick-up that was granted."""
    reservation = reservation_of(await asked_for(h, place, units))
    assert reservation.state is State.GRANTED
    return reservation.id


async def heard(h: House, order: str) -> None:
    """The shop tells of the order, and all that follows from it is done."""
    await h.deliver("london", order)
    await h.idle()


async def test_what_is_fetched_leaves_from_the_boutique_that_kept_it() -> None:
    """An order of two: one kept in ZTOWN for her to fetch, one sent from ATOWN. She fetches hers.

    The other one is called off. The bag that she has taken home is not sold again.
    """
    stock, plan = {"BAG-1|ATOWN": 1, "BAG-1|ZTOWN": 1}, {"online": ("ATOWN", "ZTOWN")}
    async with house(stock, rules=GATED, plan=plan) as h:
        number = await to_be_fetched(h, "ZTOWN")
        order = h.shops["london"].buy("BAG-1", 2, reservations=(number,))
        await heard(h, order)
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        assert (h.org.numbers("BAG-1|ATOWN"), h.org.numbers("BAG-1|ZTOWN")) == ((1, 1), (0, 0))
        h.shops["london"].change(order, open_quantity=1, taken_quantity=1)
        await heard(h, order)
        assert (h.org.numbers("BAG-1|ATOWN"), h.org.numbers("BAG-1|ZTOWN")) == ((1, 0), (0, 0))
        assert (await asked_for(h, "ZTOWN", shop="dubai")).problem == "unavailable"


@pytest.mark.parametrize("heard_before", [0, 1, 2])
async def test_two_orders_of_one_pick_up_leave_both_once(heard_before: int) -> None:
    """A checkout splits a cart of two into two orders, sold on one reservation. She fetches both bags."""
    async with house({ECOM: 3}, rules=GATED, shops=("london",)) as h:
        number = await to_be_fetched(h, "ECOM", 2)
        orders = [h.shops["london"].buy("BAG-1", reservations=(number,)) for _ in range(2)]
        for order in orders[:heard_before]:
            await heard(h, order)
        assert h.org.numbers(ECOM) == (3, 2)
        assert reservation_of(await h.desk.hand_over(number, "receipt 1")).state is State.SETTLED
        await h.idle()
        assert h.org.numbers(ECOM) == (1, 0)
        for order in orders[heard_before:]:
            await heard(h, order)
        assert h.org.numbers(ECOM) == (1, 0)
        for order in reversed(orders):
            h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
            await heard(h, order)
        assert h.org.numbers(ECOM) == (1, 0)
        assert (await asked_for(h, "ECOM", 2)).problem == "unavailable"


async def test_two_orders_of_one_pick_up_keep_it_on_the_list_until_neither_is_open() -> None:
    """One of them was called off: somebody comes for the other bag still."""
    async with house({ECOM: 2}, rules=GATED, shops=("london",)) as h:
        number = await to_be_fetched(h, "ECOM", 2)
        orders = [h.shops["london"].buy("BAG-1", reservations=(number,)) for _ in range(2)]
        for order in orders:
            await heard(h, order)
        states = [(await kept(h, number)).state]
        for order in reversed(orders):
            h.shops["london"].change(order, open_quantity=0, taken_quantity=0)
            await heard(h, order)
            states.append((await kept(h, number)).state)
        assert states == [State.ORDERED, State.ORDERED, State.SETTLED]


async def test_confirmed_for_one_of_its_two_orders_a_pick_up_is_kept_for_the_other_too() -> None:
    """She paid twice, and the checkout named the first order. Both are heard of at once: both bags wait
    where she comes for them, though the warehouse has another one."""
    async with house({ECOM: 1, TOWN: 2}, rules=GATED, shops=("london",), plan=ONLINE) as h:
        number = await to_be_fetched(h, "TOWN", 2)
        orders = [h.shops["london"].buy("BAG-1", reservations=(number,)) for _ in range(2)]
        assert not (await h.desk.confirm(number, f"#{orders[0]}")).problem
        await h.supervisor.polls.poll("london")
        await h.idle()
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((1, 0), (2, 2))
        assert (await kept(h, number)).state is State.ORDERED


async def test_the_second_order_of_a_pick_up_finds_its_bag_where_it_is_kept_though_heard_of_late() -> None:
    """Confirmed for the first of two orders, which has its bag; the second one's word comes hours later."""
    async with house({ECOM: 1, TOWN: 2}, rules=GATED, shops=("london",), plan=ONLINE) as h:
        number = await to_be_fetched(h, "TOWN", 2)
        orders = [h.shops["london"].buy("BAG-1", reservations=(number,)) for _ in range(2)]
        assert not (await h.desk.confirm(number, f"#{orders[0]}")).problem
        for order in orders:
            await heard(h, order)
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((1, 0), (2, 2))
        assert (await kept(h, number)).state is State.ORDERED


async def test_two_orders_that_name_one_bag_share_nothing_and_the_first_has_it() -> None:
    """A note was copied into a second order. One bag was handed over: one order is done, the other not."""
    async with house({ECOM: 3}, rules=GATED, shops=("london",)) as h:
        number = await to_be_fetched(h, "ECOM")
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        orders = [h.shops["london"].buy("BAG-1", reservations=(number,)) for _ in range(2)]
        for order in orders:
            await heard(h, order)
        assert h.org.numbers(ECOM) == (2, 1)
        for order in orders:
            h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
            await heard(h, order)
        assert h.org.numbers(ECOM) == (1, 0)


@pytest.mark.parametrize("order_first", [False, True])
async def test_what_was_handed_over_before_its_order_was_named_leaves_once(order_first: bool) -> None:
    """She has the bag in her hand before the checkout says for which order it was paid."""
    async with house({ECOM: 3}, rules=GATED, shops=("london",)) as h:
        number = await to_be_fetched(h, "ECOM")
        order = h.shops["london"].buy("BAG-1")
        if order_first:
            await heard(h, order)
            assert h.org.numbers(ECOM) == (3, 2)
        await h.desk.hand_over(number, "receipt 77")
        confirmed = await h.desk.confirm(number, f"#{order}")
        assert (confirmed.problem, reservation_of(confirmed).state) == ("", State.SETTLED)
        other = await h.desk.confirm(number, "#9999")
        assert (other.problem, f"#{order}" in other.detail) == ("other-order", True)
        await heard(h, order)
        assert h.org.numbers(ECOM) == (2, 0)
        h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
        await heard(h, order)
        assert h.org.numbers(ECOM) == (2, 0)


@pytest.mark.parametrize("kind", ["cart", "pick-up"])
async def test_what_one_order_has_taken_over_is_confirmed_for_no_other(kind: str) -> None:
    """Two orders must not believe that they hold one bag; the order that has it may say so again."""
    async with house({ECOM: 1}, rules=GATED, shops=("london",)) as h:
        number = await granted(h) if kind == "cart" else await to_be_fetched(h, "ECOM")
        order = h.shops["london"].buy("BAG-1", reservations=(number,))
        await heard(h, order)
        other = await h.desk.confirm(number, "#9999")
        assert (other.problem, reservation_of(other).order_reference) == ("other-order", f"#{order}")
        assert f"#{order}" in other.detail
        for name in (f"#{order}", order):
            assert not (await h.desk.confirm(number, name)).problem
        assert h.org.numbers(ECOM) == (1, 1)


async def test_a_cart_of_two_orders_may_be_confirmed_for_either() -> None:
    """Each of the two says for itself that it was paid; a third one is told whose it is."""
    async with house({ECOM: 2}, rules=GATED, shops=("london",)) as h:
        number = await granted(h, 2)
        orders = [h.shops["london"].buy("BAG-1", reservations=(number,)) for _ in range(2)]
        for order in orders:
            await heard(h, order)
        assert [(await h.desk.confirm(number, f"#{order}")).problem for order in orders] == ["", ""]
        assert (await h.desk.confirm(number, "#9999")).problem == "other-order"
        assert h.org.numbers(ECOM) == (2, 2)


@pytest.mark.parametrize("fate", ["", "reply lost", "lost", "late"])
async def test_a_pick_up_stays_in_its_boutique_when_the_webhook_was_faster(fate: str) -> None:
    """She pays for the bag kept in TOWN. The shop's message comes before the checkout's word.

    Her order took the bag in the warehouse. Once it is known that she comes, hers is in TOWN, and the
    other is free. She finds her bag, and it leaves from there.
    """
    async with house({ECOM: 1, TOWN: 1}, rules=GATED, shops=("london",), plan=ONLINE) as h:
        number = await to_be_fetched(h, "TOWN")
        order = h.shops["london"].buy("BAG-1")
        await heard(h, order)
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((1, 1), (1, 1))
        h.org.next.append(fate)
        assert not (await h.desk.confirm(number, f"#{order}")).problem
        if fate == "late":
            await h.until(lambda: h.org.under_way)
            h.org.land()
        await h.until(lambda: h.org.numbers(ECOM) == (1, 0))
        await h.idle()
        there = await h.desk.find(states=[each.value for each in TO_FETCH], location="TOWN")
        assert [(each.id, each.state) for each in there] == [(number, State.ORDERED)]
        assert (h.org.numbers(TOWN), total(h.org.of("order:london"))) == ((1, 1), (0, 1))
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((1, 0), (0, 0))


async def test_an_order_that_was_sent_before_it_was_named_needs_no_pick_up() -> None:
    """The warehouse was faster than the checkout: the bag in TOWN is kept for nobody."""
    async with house({ECOM: 1, TOWN: 1}, rules=GATED, shops=("london",), plan=ONLINE) as h:
        number = await to_be_fetched(h, "TOWN")
        order = h.shops["london"].buy("BAG-1")
        await heard(h, order)
        h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
        await heard(h, order)
        await h.desk.confirm(number, f"#{order}")
        await h.idle()
        assert (await kept(h, number)).state is State.RELEASED
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((0, 0), (1, 0))


async def test_what_is_called_off_of_an_order_is_not_what_she_comes_for() -> None:
    """Two were ordered, one of them kept in TOWN; the other one is called off. Hers stays there."""
    stock, plan = {"BAG-1|ZTOWN": 2, TOWN: 1}, {"online": ("ZTOWN", "TOWN")}
    async with house(stock, rules=GATED, shops=("london",), plan=plan) as h:
        number = await to_be_fetched(h, "TOWN")
        order = h.shops["london"].buy("BAG-1", 3, reservations=(number,))
        await heard(h, order)
        for left, there in ((2, 1), (1, 0)):
            h.shops["london"].change(order, open_quantity=left, taken_quantity=left)
            await heard(h, order)
            assert (h.org.numbers("BAG-1|ZTOWN"), h.org.numbers(TOWN)) == ((2, there), (1, 1))


async def ordered(h: House, place: str = "TOWN", *, window: PickUpWindow | None = None) -> tuple[str, str]:
    """(a pick-up whose order has taken it over, the order)."""
    line = WishedLine("BAG-1", 1, place)
    wish = Wish(ReservationKind.PICK_UP, "london", "client 4", (line,), timedelta(days=1), window=window)
    number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
    order = h.shops["london"].buy("BAG-1", reservations=(number,))
    await heard(h, order)
    assert (await kept(h, number)).state is State.ORDERED
    return number, order


async def test_a_handing_over_without_an_answer_yet_is_told_as_waiting() -> None:
    """The org is away: the boutique is not told that the bag has left the books, and it leaves them once."""
    async with house({TOWN: 2}, rules=GATED, shops=("london",)) as h:
        number, _ = await ordered(h)
        h.org.next.extend(["later"] * 1000)
        h.desk.close()  # nobody waits out a shopper's patience
        asked = await h.desk.hand_over(number, "receipt 1")
        assert (asked.problem, asked.waiting, reservation_of(asked).state) == ("", True, State.ORDERED)
        h.org.next.clear()
        await h.idle()
        again = await h.desk.hand_over(number, "receipt 1")
        assert (again.waiting, reservation_of(again).state) == (False, State.SETTLED)
        assert h.org.numbers(TOWN) == (1, 0)


async def incidents(h: House) -> list[tuple[str, str]]:
    """(kind, what it is about) of those that are open."""
    return sorted((each.kind, each.key) for each in await h.store.read(lambda tx: tx.incidents()))


@pytest.mark.parametrize("fate", ["", "reply lost", "lost"])
async def test_a_pick_up_is_moved_with_what_its_order_holds_of_it(fate: str) -> None:
    """She would rather come to Dubai. Her order's bag is kept there, or still in TOWN; never nowhere."""
    stock = {TOWN: 1, DUBAI: 1, "BAG-1|MALL": 0}
    async with house(stock, rules=GATED, shops=("london",), plan={"online": ("TOWN", "DUBAI")}) as h:
        number, order = await ordered(h)
        no = await h.desk.move(number, "MALL")
        assert (no.problem, reservation_of(no).lines[0].level.location) == ("unavailable", "TOWN")
        assert (h.org.numbers(TOWN), h.org.numbers(DUBAI)) == ((1, 1), (1, 0))
        h.org.next.append(fate)
        moved = await h.desk.move(number, "DUBAI")
        await h.idle()
        assert not moved.problem
        there = await kept(h, number)
        assert (there.state, there.lines[0].level.location) == (State.ORDERED, "DUBAI")
        assert (h.org.numbers(TOWN), h.org.numbers(DUBAI)) == ((1, 0), (1, 1))
        assert not (await h.desk.move(number, "DUBAI")).problem
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        assert (h.org.numbers(TOWN), h.org.numbers(DUBAI)) == ((1, 0), (0, 0))
        assert total(h.org.of(f"order:london:{order}")) == (0, 0)


async def half_ordered(h: House) -> str:
    """A bag and a scarf are kept in town. Both are paid for, and the bag's order has come."""
    lines = WishedLine("BAG-1", 1, "TOWN"), WishedLine("SCARF-1", 1, "TOWN")
    wish = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=1))
    number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
    await h.desk.confirm(number, "#1001")
    await heard(h, h.shops["london"].buy("BAG-1", reservations=(number,)))
    assert (await kept(h, number)).state is State.CONFIRMED
    return number


@pytest.mark.parametrize("there", [1, 0])
@pytest.mark.parametrize("fate", ["", "reply lost", "lost"])
async def test_a_pick_up_of_which_its_order_has_a_part_is_moved_with_it_or_not_at_all(
    fate: str, there: int
) -> None:
    """She would rather come to Dubai, where a scarf is, and a bag or none."""
    stock = {TOWN: 1, SCARF: 1, DUBAI: there, "SCARF-1|DUBAI": 1}
    async with house(stock, rules=GATED, shops=("london",), plan={"online": ("TOWN", "DUBAI")}) as h:
        number = await half_ordered(h)
        h.org.next.append(fate)
        moved = await h.desk.move(number, "DUBAI")
        await h.idle()
        assert moved.problem == ("" if there else "unavailable")
        kept_there = await kept(h, number)
        place = "DUBAI" if there else "TOWN"
        assert {line.level.location for line in kept_there.lines} == {place}
        assert [h.org.numbers(f"{sku}|{place}") for sku in ("BAG-1", "SCARF-1")] == [(1, 1), (1, 1)]
        assert not (await h.desk.move(number, place)).problem
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        assert [h.org.numbers(f"{sku}|{place}") for sku in ("BAG-1", "SCARF-1")] == [(0, 0), (0, 0)]
        assert (await kept(h, number)).state is State.SETTLED


async def test_what_was_fetched_of_a_pick_up_is_moved_nowhere() -> None:
    """She has her bag, by the shop's own system. The scarf is to be fetched in Dubai, where no bag is."""
    stock = {TOWN: 1, SCARF: 1, "SCARF-1|DUBAI": 1}
    async with house(stock, rules=GATED, shops=("london",), plan={"online": ("TOWN", "DUBAI")}) as h:
        number = await half_ordered(h)
        (order,) = h.shops["london"].orders
        h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
        await heard(h, order)
        assert not (await h.desk.move(number, "DUBAI")).problem
        assert (h.org.numbers(TOWN), h.org.numbers("SCARF-1|DUBAI")) == ((0, 0), (1, 1))


async def test_a_second_bag_of_the_order_is_not_handed_over_for_the_first() -> None:
    """One of an order's two bags was kept in town and fetched there, by the shop's own system."""
    async with house({TOWN: 3}, rules=GATED, shops=("london",), plan={"online": ("TOWN",)}) as h:
        number = await to_be_fetched(h, "TOWN")
        order = h.shops["london"].buy("BAG-1", 2, reservations=(number,))
        await heard(h, order)
        h.shops["london"].change(order, open_quantity=1, fulfilled_quantity=1)
        await heard(h, order)
        assert reservation_of(await h.desk.hand_over(number, "receipt 1")).state is State.SETTLED
        await h.idle()
        assert h.org.numbers(TOWN) == (2, 1)


async def test_a_moved_pick_up_whose_answer_comes_after_a_kill_is_where_its_bag_is() -> None:
    """Killed while the org was answering: the boutique's list says where the order's bag is kept."""
    async with house({TOWN: 1, DUBAI: 1}, rules=GATED, shops=("london",)) as h:
        number, _ = await ordered(h)
        h.org.next.extend(["reply lost", *["later"] * 1000])
        h.desk.close()
        assert (await h.desk.move(number, "DUBAI")).waiting
        await h.kill()
        h.org.next.clear()
        await h.start()
        await h.idle()
        assert (await kept(h, number)).lines[0].level.location == "DUBAI"
        assert (h.org.numbers(TOWN), h.org.numbers(DUBAI)) == ((1, 0), (1, 1))


async def test_a_pick_up_whose_order_was_moved_by_a_person_is_fetched_there() -> None:
    """TOWN has sold its bag over the counter. A person takes another one in Dubai: she goes to Dubai."""
    async with house({TOWN: 1, DUBAI: 1}, rules=GATED, shops=("london",)) as h:
        number, order = await ordered(h)
        h.org.move(TOWN, on_hand=-1)
        await h.until_kept(lambda tx: tx.incidents())
        [found] = await h.store.read(lambda tx: tx.incidents())
        way = Decision(Way.MOVE, "Anna Kay", "there is one in Dubai", location="DUBAI")
        assert not (await h.supervisor.resolver.resolve(found.id, way)).problem
        await h.idle()
        assert (await kept(h, number)).lines[0].level.location == "DUBAI"
        assert total(h.org.of(f"order:london:{order}")) == (0, 1)
        assert (h.org.numbers(TOWN), h.org.numbers(DUBAI)) == ((0, 0), (1, 1))


async def test_a_window_that_passes_is_told_and_may_be_opened_again() -> None:
    """She said Friday and did not come. Her bag stays hers; the boutique is told, until she has more time."""
    async with house({TOWN: 1}, rules=GATED, shops=("london",)) as h:
        now = h.clock.now()
        number, _ = await ordered(h, window=PickUpWindow(now, now + timedelta(hours=8)))
        for hours, told in ((7, []), (9, [(NOT_FETCHED, number)])):
            at = now + timedelta(hours=hours)
            await h.store.write(lambda tx, at=at: h.desk.report(tx, now=at))
            assert await incidents(h) == told
        assert h.org.numbers(TOWN) == (1, 1)
        longer = reservation_of(await h.desk.extend(number, timedelta(days=2)))
        assert (longer.state, longer.expires_at, await incidents(h)) == (State.ORDERED, None, [])
        assert longer.window is not None
        assert longer.window.ends >= now + timedelta(days=2)
        longest = reservation_of(await h.desk.extend(number, timedelta(days=400))).window
        assert longest is not None
        assert longest.ends == longer.created_at + LONGEST


async def test_a_pick_up_without_a_window_has_no_end_but_is_told_in_the_end() -> None:
    """Paid for, and nobody has come for as long as the longest reservation lasts: somebody must ask her."""
    async with house({TOWN: 1}, rules=GATED, shops=("london",)) as h:
        number, order = await ordered(h)
        no = await h.desk.extend(number, timedelta(days=2))
        assert (no.problem, no.detail) == ("ended", "it is ordered, and has no end")
        await h.store.write(lambda tx: h.desk.report(tx, now=h.clock.now() + LONGEST))
        assert await incidents(h) == [(NOT_FETCHED, number)]
        h.shops["london"].change(order, open_quantity=0, taken_quantity=0)
        await heard(h, order)
        assert ((await kept(h, number)).state, await incidents(h)) == (State.SETTLED, [])


@pytest.mark.parametrize("paid", ["", "confirmed", "ordered"])
async def test_a_boutique_may_say_that_it_does_not_find_what_it_keeps(paid: str) -> None:
    """It was not asked, and looks: the bag is not there. Who has paid is told so, with the ways out."""
    async with house({TOWN: 1, DUBAI: 1}, rules=GATED, shops=("london",)) as h:
        number = (await ordered(h))[0] if paid == "ordered" else await to_be_fetched(h, "TOWN")
        if paid == "confirmed":
            await h.desk.confirm(number, "#1001")
        state = State.PAID_UNAVAILABLE if paid else State.RELEASED
        for _ in range(2):
            lost = reservation_of(await h.desk.store_confirmation(number, found=False, who="town"))
            assert (lost.state, lost.reason) == (state, "not found in the shop (town)")
        await h.idle()
        told = [(NOT_FOUND, TOWN)] if not paid else [(PAID_UNAVAILABLE, number), (NOT_FOUND, TOWN)]
        assert await incidents(h) == sorted(told)
        await h.store.write(lambda tx: h.desk.report(tx, now=h.clock.now()))
        assert (await kept(h, number)).state is state
        # The order's bag is sold to nobody else while it is looked for.
        assert h.org.numbers(TOWN) == (1, 1 if paid == "ordered" else 0)
        if paid:
            moved = reservation_of(await h.desk.move(number, "DUBAI"))
            there = State.ORDERED if paid == "ordered" else State.CONFIRMED
            assert (moved.state, moved.lines[0].level.location) == (there, "DUBAI")
            assert await incidents(h) == [(NOT_FOUND, TOWN)]
            assert (h.org.numbers(TOWN), h.org.numbers(DUBAI)) == ((1, 0), (1, 1))


@pytest.mark.parametrize("way", ["refund", "release"])
async def test_what_a_boutique_does_not_find_is_owed_when_she_wants_her_money(way: str) -> None:
    """The money is on the list; the order, cancelled at the shop, gives the bag up that nobody finds."""
    async with house({TOWN: 1}, rules=GATED, shops=("london",)) as h:
        number, order = await ordered(h)
        await h.desk.store_confirmation(number, found=False, who="town")
        if way == "refund":
            await h.supervisor.refunds.open(number, by="Anna Kay", reason="it is not found")
        else:
            await h.desk.release(number, "it is not found", by="Anna Kay")
        [task] = await h.supervisor.refunds.find()
        assert (task.order_reference, task.opened_by) == (f"#{order}", "Anna Kay")
        h.shops["london"].change(order, open_quantity=0, taken_quantity=0)
        await heard(h, order)
        assert ((await kept(h, number)).state, h.org.numbers(TOWN)) == (State.RELEASED, (1, 0))


async def test_what_is_found_is_told_as_found_until_it_is_moved() -> None:
    """The boutique has put it aside; found after all, it is hers again; in Dubai nobody has looked yet."""
    async with house({TOWN: 1, DUBAI: 1}, rules=GATED, shops=("london",)) as h:
        number, _ = await ordered(h)
        found = [(await h.desk.store_confirmation(number, found=True, who="town")).reservation]
        await h.desk.store_confirmation(number, found=False, who="town")
        found.append(await kept(h, number))
        found.append((await h.desk.store_confirmation(number, found=True, who="town")).reservation)
        assert await incidents(h) == []
        await h.desk.move(number, "DUBAI")
        found.append(await kept(h, number))
        assert [(each.state, each.found_at is not None) for each in found if each is not None] == [
            (State.ORDERED, True),
            (State.PAID_UNAVAILABLE, False),
            (State.ORDERED, True),
            (State.ORDERED, False),
        ]
        await h.desk.hand_over(number, "receipt 1")
        late = await h.desk.store_confirmation(number, found=False, who="town")
        assert (late.problem, late.detail) == ("ended", "it is settled")


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_scarf_that_is_not_found_does_not_give_away_the_bag_that_is_paid(taken_over: bool) -> None:
    """Bag and scarf are paid, and the scarf is not there: she fetches the bag, and is owed the scarf."""
    gated = (PolicyRule(("*",), guarantee=Guarantee.GATED),)
    async with house({TOWN: 1, SCARF: 1}, rules=gated, shops=("london",)) as h:
        lines = (WishedLine("BAG-1", 1, "TOWN"), WishedLine("SCARF-1", 1, "TOWN"))
        wish = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=1))
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        london = h.shops["london"]
        await h.until(lambda: (london.shelf["BAG-1"], london.shelf["SCARF-1"]) == (1, 1))
        if taken_over:
            order = london.buy("BAG-1", reservations=(number,))
            lines_of_order = (*london.orders[order].lines, OrderLine("2", "SCARF-1", 1, taken_quantity=1))
            london.orders[order] = replace(london.orders[order], lines=lines_of_order)
            await heard(h, order)
        else:
            await h.desk.confirm(number, "#1")
        said = reservation_of(
            await h.desk.store_confirmation(number, found=False, who="town", skus=frozenset({"SCARF-1"}))
        )
        assert (said.state, said.due()) == (State.ORDERED if taken_over else State.CONFIRMED, (1, 0))
        await h.idle()
        (lost,) = await h.store.read(lambda tx: tx.paid_unavailable())
        assert [(str(line.level), line.quantity) for line in lost.lines] == [(SCARF, 1)]
        assert (h.org.numbers(TOWN), h.org.numbers(SCARF)) == ((1, 1), (1, int(taken_over)))
        assert [each for each in await incidents(h) if each[0] == NOT_FOUND] == [(NOT_FOUND, SCARF)]
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        assert ((await kept(h, number)).state, h.org.numbers(TOWN)) == (State.SETTLED, (0, 0))
        assert h.org.numbers(SCARF) == (1, int(taken_over))
        nothing = await h.desk.store_confirmation(lost.id, found=False, who="town", skus=frozenset({"BELT"}))
        assert nothing.problem == "unknown-sku"
        if taken_over:  # it lay in the window: the order holds it still, and she may fetch it after all
            found = reservation_of(await h.desk.store_confirmation(lost.id, found=True, who="town"))
            assert found.state is State.ORDERED
            await h.desk.hand_over(lost.id, "receipt 2")
            await h.idle()
            assert (h.org.numbers(SCARF), await incidents(h)) == ((0, 0), [])


async def test_a_pick_up_that_is_not_found_is_not_ended_by_another_bag_of_its_order() -> None:
    """Confirmed, not found, and her order takes the bag in the warehouse: she comes to TOWN."""
    async with house({ECOM: 1, TOWN: 1}, rules=GATED, shops=("london",), plan=ONLINE) as h:
        number = await to_be_fetched(h, "TOWN")
        order = h.shops["london"].buy("BAG-1")
        await h.desk.confirm(number, f"#{order}")
        await h.desk.store_confirmation(number, found=False, who="town")
        await heard(h, order)
        assert h.org.numbers(ECOM) == (1, 1)
        await h.store.write(lambda tx: h.desk.report(tx, now=h.clock.now()))
        assert (await kept(h, number)).state is State.PAID_UNAVAILABLE
        moved = reservation_of(await h.desk.move(number, "ECOM"))
        await h.idle()
        assert (moved.state, moved.lines[0].level.location) == (State.ORDERED, "ECOM")
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((1, 1), (1, 0))
        await h.desk.hand_over(number, "receipt 1")
        await h.idle()
        assert (h.org.numbers(ECOM), h.org.numbers(TOWN)) == ((0, 0), (1, 0))


@pytest.mark.parametrize("closed", ["accepted", "counted", "found", "sold in the shop"])
async def test_what_a_shop_does_not_find_is_promised_to_nobody_until_a_person_says_how_it_is(
    closed: str,
) -> None:
    """TOWN keeps a bag for a client and does not find it. Let go, it is no bag that others can have.

    Nobody is shown it, a cart is refused, and an order from the site is told as oversold. Found behind the
    counter, it is anybody's again, and the order has it.
    """
    async with house({TOWN: 2}, rules=GATED, shops=("london",), plan={"online": ("TOWN",)}) as h:
        number = await to_be_fetched(h, "TOWN")
        await h.desk.store_confirmation(number, found=False, who="town")
        await h.idle()
        assert ((await kept(h, number)).state, h.org.numbers(TOWN)) == (State.RELEASED, (2, 0))
        await h.shows("BAG-1", 1)
        await to_be_fetched(h, "TOWN")
        no = await asked_for(h, "TOWN")
        assert (no.problem, no.detail) == (
            "unavailable",
            "1 wanted of BAG-1|TOWN, 0 available beside the 1 that TOWN does not find",
        )
        order = h.shops["london"].buy("BAG-1")
        await heard(h, order)
        assert await incidents(h) == [
            (OVERSOLD, f"order:london:{order}:1"),
            (NOT_FOUND, TOWN),
        ]
        if closed == "accepted":
            incident = next(i for i in await h.store.read(lambda tx: tx.incidents()) if i.kind == NOT_FOUND)
            way = Decision(Way.ACCEPT, "Anna Kay", "it was in the window")
            assert not (await h.supervisor.resolver.resolve(incident.id, way)).problem
        elif closed == "counted":
            count = Count("shelf", LevelKey.parse(TOWN), 2, h.clock.now(), "anna")
            assert (await h.supervisor.counts.enter(count)).state == "entered"
        elif closed == "found":
            await h.desk.store_confirmation(number, found=True, who="town")
        else:
            line = WishedLine("BAG-1", 1, "TOWN")
            wish = Wish(ReservationKind.CLIENT, None, "till", (line,), timedelta(days=1), in_hand=True)
            sold = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
            assert sold.state is State.GRANTED
            return
        await h.idle()
        assert await incidents(h) == []
        assert h.org.numbers(TOWN) == (2, 2)


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_a_boutique_is_told_of_a_pick_up_that_gave_way_to_its_counter(elsewhere: bool) -> None:
    """Her bag in TOWN is sold over the counter, in an org where what has happened takes the promise along.

    Her order gets the bag in the warehouse, or none. TOWN has nothing for her any more, and says what has
    become of it; sent to where she fetches it, it is kept there.
    """
    stock = {ECOM: 1, TOWN: 1} if elsewhere else {TOWN: 1}
    async with house(stock, rules=GATED, shops=("london",), plan={"online": ("TOWN", "ECOM")}) as h:
        h.org.fallback_rule = True
        number, order = await ordered(h)
        h.org.till(TOWN, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(TOWN) == (0, 0))
        await h.until_kept(lambda tx: not tx.due_lines(1) and not tx.busy([f"order:london:{order}:1"]))
        await h.idle()
        lost = await kept(h, number)
        gave_way = "1 of BAG-1|TOWN gave way to sale receipt-1"
        instead = "; its order has 1 at ECOM" if elsewhere else ""
        assert (lost.state, lost.reason) == (State.PAID_UNAVAILABLE, gave_way + instead)
        assert (lost.order_reference, lost.paid_at is not None) == (f"#{order}", True)
        assert (PAID_UNAVAILABLE, number) in await incidents(h)
        if elsewhere:
            assert h.org.numbers(ECOM) == (1, 1)
            moved = reservation_of(await h.desk.move(number, "ECOM"))
            assert (moved.state, moved.lines[0].level.location) == (State.ORDERED, "ECOM")
            assert (PAID_UNAVAILABLE, number) not in await incidents(h)
