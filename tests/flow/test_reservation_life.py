"""Reservations after they were asked for: paid late, moved, prolonged, handed over, without an order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from tests.flow.kit import House, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.incidents import NO_ORDER, PAID_UNAVAILABLE
from sfsync.domain.reservations import (
    TO_FETCH,
    OrphanCause,
    Outcome,
    PickUpWindow,
    Reservation,
    ReservationKind,
    ReservationState,
    Wish,
    WishedLine,
)
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.store.tables import holding
from sfsync.store.tx import SqlTx

BAG, BAG_IN_TOWN, BAG_IN_DUBAI = "BAG-1|ECOM", "BAG-1|TOWN", "BAG-1|DUBAI"
SHORT = timedelta(milliseconds=1)
State = ReservationState


def reservation_of(outcome: Outcome) -> Reservation:
    """The reservation that an outcome must have."""
    assert outcome.reservation is not None, outcome
    return outcome.reservation


async def granted(h: House, units: int = 1, life: timedelta = timedelta(minutes=15)) -> str:
    """The id of a reservation that was granted; a short one may be over by now."""
    reservation = reservation_of(await h.reserve("BAG-1", units, life=life))
    assert reservation.state is State.GRANTED or (life is SHORT and reservation.state is State.EXPIRED)
    return reservation.id


async def expired(h: House, units: int = 1) -> str:
    """The id of a reservation whose units have gone back."""
    number = await granted(h, units, SHORT)
    await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
    await h.idle()
    return number


async def kept(h: House, number: str) -> Reservation:
    """A reservation as it stands."""
    found = await h.desk.get(number)
    assert found is not None
    return found


async def test_paid_after_it_expired_is_a_new_ask_that_the_org_grants() -> None:
    """The card took its time; the bag is still there, so it is taken again and the customer never knows."""
    async with house({BAG: 1}) as h:
        number = await expired(h)
        assert h.org.numbers(BAG) == (1, 0)
        outcome = await h.desk.confirm(number, "#1001")
        assert reservation_of(outcome).state is State.CONFIRMED
        assert not outcome.problem
        assert h.org.numbers(BAG) == (1, 1)
        assert [row[2] for row in h.org.of(f"reservation:{number}")] == [1, -1, 1]


async def listed(h: House, state: State) -> list[str]:
    """The ids of the reservations that a list of those in a state names."""
    return [each.id for each in await h.desk.find(states=[state.value])]


async def test_nobody_is_told_that_a_cart_is_granted_when_its_time_is_over() -> None:
    """The units go back a moment later. Whoever asks in that moment is told the truth, on every way."""
    async with house({BAG: 1}) as h:
        number = await granted(h)
        ends = (await kept(h, number)).expires_at
        assert ends is not None
        assert (await listed(h, State.GRANTED), await listed(h, State.EXPIRED)) == ([number], [])
        h.clock.stopped_at = ends
        told = await kept(h, number)
        lists = await listed(h, State.GRANTED), await listed(h, State.EXPIRED)
        longer = await h.desk.extend(number, timedelta(hours=1))
        assert (told.state, lists) == (State.EXPIRED, ([], [number]))
        assert (longer.problem, longer.detail) == ("ended", "it is expired")
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.until(lambda: h.org.numbers(BAG) == (1, 0))


async def test_the_same_request_come_again_is_not_told_that_its_cart_is_granted_still() -> None:
    """The answer was lost, and the storefront asks with the same key when the time is over."""
    async with house({BAG: 1}) as h:
        first = reservation_of(await h.reserve("BAG-1", key="k", digest="d"))
        assert first.expires_at is not None
        h.clock.stopped_at = first.expires_at
        again = reservation_of(await h.reserve("BAG-1", key="k", digest="d"))
        assert (again.id, again.state) == (first.id, State.EXPIRED)


async def test_paid_in_the_moment_after_its_time_takes_what_is_still_held_and_never_more() -> None:
    """Nobody has given the bag back yet, or somebody just has: it is the customer's once, either way."""
    async with house({BAG: 1}) as h:
        number = await granted(h)
        ends = (await kept(h, number)).expires_at
        assert ends is not None
        h.clock.stopped_at = ends
        outcome = await h.desk.confirm(number, "#1001")
        assert (reservation_of(outcome).state, outcome.problem) == (State.CONFIRMED, "")
        await h.idle()
        assert (h.org.numbers(BAG), sum(row[2] for row in h.org.of(f"reservation:{number}"))) == ((1, 1), 1)
        assert (await h.reserve("BAG-1")).problem == "unavailable"


async def test_paid_after_its_time_is_no_yes_while_the_ledger_does_not_hold_all_of_it() -> None:
    """A row of it was deleted in the org: what is not held is asked for anew, and refused if it is gone."""
    async with house({BAG: 2}) as h:
        number = await granted(h, 2)
        ends = (await kept(h, number)).expires_at
        assert ends is not None
        await h.store.write(lambda tx: tx.connection.execute(update(holding).values(reserved=1)))
        h.clock.stopped_at = ends
        await h.desk.confirm(number, "#1001")
        await h.idle()
        rows = [row[2] for row in h.org.of(f"reservation:{number}")]
        assert rows[:2] == [2, -1]  # it gave back what it had before it asked anew
        assert sum(rows) <= 2


async def test_paid_after_it_died_says_so_and_where_else_the_bag_is() -> None:
    """Somebody else has the bag by then. Never a silent oversell: money here, goods not, three ways out."""
    async with house({BAG: 1, BAG_IN_TOWN: 0}) as h:
        number = await expired(h)
        await granted(h)
        h.org.move(BAG_IN_TOWN, on_hand=1)
        await h.until_kept(
            lambda tx: any(
                level.on_hand and level.key.location == "TOWN" for level in tx.levels_of(["BAG-1"])
            )
        )
        outcome = await h.desk.confirm(number, "#1001")
        assert outcome.problem == "paid-unavailable"
        assert reservation_of(outcome).state is State.PAID_UNAVAILABLE
        assert outcome.available == {"BAG-1": {"TOWN": 1}}
        assert h.org.numbers(BAG) == (1, 1)
        told = await h.store.read(lambda tx: tx.incidents())
        assert [(each.kind, each.key) for each in told] == [(PAID_UNAVAILABLE, number)]
        again = await h.desk.confirm(number, "#1001")
        assert again.problem == "paid-unavailable"  # asking twice changes nothing

        moved = reservation_of(await h.desk.move(number, "TOWN"))
        assert (moved.state, moved.lines[0].level.location) == (State.CONFIRMED, "TOWN")
        assert h.org.numbers(BAG_IN_TOWN) == (1, 1)
        assert await h.store.read(lambda tx: tx.incidents()) == []


@pytest.mark.parametrize("there", [1, 0])
async def test_paid_after_it_was_released_or_refused_is_a_new_ask_too(there: int) -> None:
    """The checkout gave it up, or was refused, and took the money all the same: the bag, or a word."""
    async with house({BAG: 1}) as h:
        released = await granted(h)
        refused = reservation_of(await h.reserve("BAG-1")).id
        assert (await kept(h, refused)).state is State.REFUSED
        await h.desk.release(released, "the checkout was left")
        await h.idle()
        if not there:
            await granted(h)
        for number, units in ((released, there), (refused, 0)):
            outcome = await h.desk.confirm(number, f"#{number}")
            state = State.CONFIRMED if units else State.PAID_UNAVAILABLE
            assert (reservation_of(outcome).state, outcome.problem) == (state, "" if units else state.value)
        assert h.org.numbers(BAG) == (1, 1)


async def test_a_reservation_is_paid_for_by_one_order_only() -> None:
    """Two orders must not believe that they hold one bag; the same order may say so twice."""
    async with house({BAG: 1}) as h:
        number = await granted(h)
        await h.desk.confirm(number, "#90")
        other = await h.desk.confirm(number, "#99")
        assert (other.problem, reservation_of(other).order_reference) == ("other-order", "#90")
        assert not (await h.desk.confirm(number, "90")).problem


async def test_what_was_granted_in_part_is_sought_again_in_that_part() -> None:
    """Five wanted, three granted, paid after the end: three are owed, here or elsewhere."""
    async with house({BAG: 3, BAG_IN_TOWN: 4}) as h:
        lines = (WishedLine("BAG-1", 5, "ECOM"),)
        wish = Wish(ReservationKind.CART, "london", "cart 9", lines, SHORT, partial=True)
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.idle()
        await granted(h, 3)
        assert (await h.desk.confirm(number, "#1001")).problem == "paid-unavailable"
        moved = reservation_of(await h.desk.move(number, "TOWN"))
        line = moved.lines[0]
        assert (moved.state, line.quantity, line.wanted) == (State.CONFIRMED, 3, 5)
        assert h.org.numbers(BAG_IN_TOWN) == (4, 3)


async def test_nothing_is_held_where_nothing_is_for_sale() -> None:
    """What is on its way, or came back and was not looked at yet, is no place to keep a client's bag."""
    async with house({BAG: 1, BAG_IN_TOWN: 1}, not_for_sale={"TOWN"}) as h:
        number = await granted(h)
        moved = await h.desk.move(number, "TOWN")
        assert (moved.problem, h.org.numbers(BAG_IN_TOWN)) == ("not-for-sale", (1, 0))
        other = await h.reserve("BAG-1")
        assert (other.problem, other.available) == ("unavailable", {"BAG-1": {}})


@pytest.mark.parametrize("shop", ["london", None])
async def test_what_comes_in_goes_to_who_has_paid_before_anybody_else(shop: str | None) -> None:
    """She waits for the next delivery. It comes, and a stranger asks for it in the same moment."""
    async with house({BAG: 1}) as h:
        lines = (WishedLine("BAG-1", 1, "ECOM"),)
        wish = Wish(ReservationKind.CLIENT, shop, "client 4", lines, SHORT)
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.idle()
        await granted(h)
        assert (await h.desk.confirm(number, "#1001")).problem == "paid-unavailable"
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: any(level.on_hand == 2 for level in tx.levels_of(["BAG-1"])))
        assert (await h.reserve("BAG-1")).problem == "unavailable"
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.CONFIRMED)
        await h.idle()
        assert h.org.numbers(BAG) == (2, 2)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_what_comes_in_is_asked_for_once_where_the_order_asks_for_it_too() -> None:
    """The order's own line gets the bag; a second one is not held for the same customer."""
    async with house({BAG: 1}, shelf={"BAG-1": 1}, shops=["london"]) as h:
        number = await expired(h)
        await granted(h)
        h.shops["london"].shelf["BAG-1"] = 1
        order = h.shops["london"].buy("BAG-1")
        await h.desk.confirm(number, f"#{order}")
        await h.deliver("london", order)
        await h.idle()
        h.org.move(BAG, on_hand=2)
        await h.until(lambda: total(h.org.of("order:london")) == (0, 1))
        await h.idle()
        assert (h.org.numbers(BAG), total(h.org.of("order:london"))) == ((3, 2), (0, 1))
        await h.store.write(lambda tx: h.desk.report(tx, now=h.clock.now()))
        assert (await kept(h, number)).state is State.RELEASED


async def test_what_was_paid_and_is_not_available_is_owed_when_it_is_given_up() -> None:
    """The reason and the name stay in its story, and the money on the list until it has been paid back."""
    async with house({BAG: 1}) as h:
        number = await expired(h)
        await granted(h)
        await h.desk.confirm(number, "#1001")
        outcome = await h.desk.release(number, "she wants her money (checkout)", by="checkout")
        assert (reservation_of(outcome).state, reservation_of(outcome).reason) == (
            State.RELEASED,
            "she wants her money (checkout)",
        )
        await h.desk.release(number, "again", by="checkout")
        [task] = await h.supervisor.refunds.find()
        assert (task.reservation, task.order_reference, task.opened_by) == (number, "#1001", "checkout")
        assert [(each.sku, each.units) for each in task.lines] == [("BAG-1", 1)]
        assert await h.store.read(lambda tx: tx.incidents()) == []
        assert h.org.numbers(BAG) == (1, 1)


async def test_an_order_that_gets_its_bag_by_itself_ends_what_was_paid_and_is_not_available() -> None:
    """The other customer went away, a bag came back, and the order's own line took it."""
    async with house({BAG: 1}, shelf={"BAG-1": 1}, shops=["london"]) as h:
        number = await expired(h)
        other = await granted(h)
        h.shops["london"].shelf["BAG-1"] = 1
        order = h.shops["london"].buy("BAG-1")
        await h.desk.confirm(number, f"#{order}")
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.PAID_UNAVAILABLE)
        await h.idle()
        await h.desk.release(other)
        await h.idle()
        assert total(h.org.of("order:london")) == (0, 1)
        await h.store.write(lambda tx: h.desk.report(tx, now=h.clock.now()))
        assert (await kept(h, number)).state is State.RELEASED
        assert await h.store.read(lambda tx: tx.incidents()) == []


@pytest.mark.parametrize(
    ("named", "sent", "reserved", "state"),
    [
        (True, False, 1, State.SETTLED),
        (True, True, 0, State.SETTLED),
        (False, False, 2, State.CONFIRMED),
        (False, True, 1, State.CONFIRMED),
    ],
)
async def test_paid_late_nothing_is_asked_for_that_its_order_has_already(
    named: bool, sent: bool, reserved: int, state: State
) -> None:
    """Two reserved, of which an order took one; the other expired. Then it is paid for.

    For that order, which wants one: nothing is missing. For another, not heard of yet: one is.
    """
    async with house({BAG: 4}, shelf={"BAG-1": 4}, shops=["london"]) as h:
        number, london = await granted(h, 2, timedelta(seconds=1.2)), h.shops["london"]
        order = london.buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.idle()
        if sent:
            london.change(order, open_quantity=0, fulfilled_quantity=1)
            await h.deliver("london", order)
            await h.idle()
        paid = await h.desk.confirm(number, f"#{order}" if named else "#9")
        await h.idle()
        assert (paid.problem, reservation_of(paid).state) == ("", state)
        assert h.org.numbers(BAG) == (3 if sent else 4, reserved)


async def test_what_is_lost_of_a_paid_cart_is_sought_without_what_was_sent() -> None:
    """Two bags were paid for and one was sent. All else is gone; one comes in at Dubai."""
    stock = {BAG: 3, BAG_IN_DUBAI: 0}
    async with house(stock, shelf={"BAG-1": 3}, shops=["london"]) as h:
        number, london = await granted(h, 2, timedelta(seconds=1.2)), h.shops["london"]
        order = london.buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        london.change(order, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", order)
        await h.idle()
        h.org.move(BAG, on_hand=-2)
        await h.until_kept(lambda tx: next(iter(tx.levels_of(["BAG-1"]))).on_hand == 0)
        assert (await h.desk.confirm(number, "#9")).problem == "paid-unavailable"
        (told,) = await h.store.read(lambda tx: tx.incidents())
        assert told.detail["lines"] == [{"level": BAG, "units": 1}]
        h.org.move(BAG_IN_DUBAI, on_hand=1)
        await h.until_kept(
            lambda tx: all(x.on_hand == 1 for x in tx.levels_of(["BAG-1"]) if "DUBAI" in str(x.key))
        )
        assert not (await h.desk.move(number, "DUBAI")).problem
        assert (await kept(h, number)).state is State.CONFIRMED
        assert h.org.numbers(BAG_IN_DUBAI) == (1, 1)


async def test_what_its_order_has_of_one_article_is_given_back_and_the_other_is_kept() -> None:
    """The order took a bag of its own; the scarf of the cart is in no order. After a day that is told."""
    async with house({BAG: 3, "SCARF-1|ECOM": 1}, shelf={"BAG-1": 3}, shops=["london"]) as h:
        lines = WishedLine("BAG-1", 1), WishedLine("SCARF-1", 1)
        wish = Wish(ReservationKind.CART, "london", "cart 7", lines, timedelta(minutes=9))
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        order = h.shops["london"].buy("BAG-1")
        await h.deliver("london", order)
        await h.idle()
        assert h.org.numbers(BAG) == (3, 2)
        await h.desk.confirm(number, f"#{order}")
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers("SCARF-1|ECOM")) == ((3, 1), (1, 1))
        assert (await kept(h, number)).state is State.CONFIRMED
        late = h.clock.now() + timedelta(hours=25)
        await h.store.write(lambda tx: h.desk.report(tx, now=late))
        (told,) = await h.store.read(lambda tx: tx.incidents())
        assert told.title == f"reservation {number} holds SCARF-1 for #{order}, and no order takes it"
        assert told.detail["lines"] == [{"level": "SCARF-1|ECOM", "units": 1}]


@pytest.mark.parametrize("fate", ["", "late"])
async def test_a_confirmation_after_the_order_took_units_of_its_own_gives_the_reserved_ones_back(
    fate: str,
) -> None:
    """The webhook was faster than the checkout: the customer gets one bag, and no second one is held."""
    async with house({BAG: 3}, shelf={"BAG-1": 3}, shops=["london"]) as h:
        number = await granted(h)
        h.org.next.append(fate)  # the order is still on its way, or in
        order = h.shops["london"].buy("BAG-1")
        await h.deliver("london", order)
        if fate:
            await h.until(lambda: h.org.under_way)
        else:
            await h.until(lambda: total(h.org.of("order:london")) == (0, 1))
            await h.idle()
        await h.desk.confirm(number, f"#{order}")
        h.org.land()
        await h.until(lambda: total(h.org.of("reservation:")) == (0, 0))
        await h.idle()
        assert (await kept(h, number)).state is State.RELEASED
        assert h.org.numbers(BAG) == (3, 1)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_what_may_still_be_on_its_way_is_not_let_go_before_it_is_known() -> None:
    """The shopper leaves while nobody knows whether the bag was reserved: no unit stays held for nobody."""
    async with house({BAG: 1}) as h:
        h.org.next.extend(["late", *["lost"] * 200])
        asked = asyncio.create_task(h.reserve("BAG-1"))
        await h.until(lambda: h.org.under_way)
        number = h.org.requests[0][0].split(":")[1]
        too_early = await h.desk.release(number)
        assert (too_early.problem, reservation_of(too_early).state) == ("later", State.PENDING)
        assert {key for keys in h.org.requests for key in keys} == {f"reservation:{number}:0:0"}
        h.org.land()
        h.org.next.clear()
        assert reservation_of(await asked).state is State.GRANTED
        assert not (await h.desk.release(number)).problem
        await h.until(lambda: h.org.numbers(BAG) == (1, 0))
        assert [row[2] for row in h.org.of("reservation:")] == [1, -1]


async def test_paid_on_the_last_second_keeps_the_unit_that_nobody_has_let_go_yet() -> None:
    """Its time is over, but the sweeper has not come: the unit is held, so the customer has it."""
    async with house({BAG: 1}) as h:
        number = await granted(h)
        late = (await kept(h, number)).created_at
        await h.store.write(lambda tx: tx.put_reservation(expiring(tx.reservation(number), late)))
        outcome = await h.desk.confirm(number, "#1001")
        state = reservation_of(outcome).state
        assert state is State.CONFIRMED
        await h.idle()
        assert h.org.numbers(BAG) == (1, 1)


def expiring(reservation: Reservation | None, at: datetime) -> Reservation:
    """The reservation, with its end then."""
    assert reservation is not None
    return replace(reservation, expires_at=at)


@pytest.mark.parametrize("fate", ["", "reply lost", "lost", "late"])
async def test_an_expiry_racing_a_payment_takes_one_unit_or_says_so(fate: str) -> None:
    """The release is under way when the payment comes; whatever becomes of it, word and ledger agree."""
    async with house({BAG: 1}) as h:
        number = await granted(h, life=SHORT)
        h.org.next.append(fate)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        asked = asyncio.create_task(h.desk.confirm(number, "#1001"))
        await asyncio.sleep(0.1)
        h.org.land()
        await asked
        await h.idle()
        state = (await kept(h, number)).state
        held = total(h.org.of(f"reservation:{number}"))[1]
        if state is State.EXPIRED:  # told to come again
            outcome = await h.desk.confirm(number, "#1001")
            state, held = reservation_of(outcome).state, total(h.org.of(f"reservation:{number}"))[1]
        assert (state, held) == (State.CONFIRMED, 1)
        assert h.org.numbers(BAG) == (1, 1)


async def test_a_move_holds_it_there_or_leaves_it_where_it_was() -> None:
    """Never nowhere and never twice: both rows stand in one transaction."""
    async with house({BAG: 1, BAG_IN_TOWN: 1, BAG_IN_DUBAI: 0}) as h:
        number = await granted(h)
        moved = await h.desk.move(number, "TOWN")
        assert reservation_of(moved).lines[0].level.location == "TOWN"
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((1, 0), (1, 1))
        refused = await h.desk.move(number, "DUBAI")
        assert (refused.problem, refused.available) == ("unavailable", {"BAG-1": {"ECOM": 1}})
        assert (h.org.numbers(BAG_IN_TOWN), h.org.numbers(BAG_IN_DUBAI)) == ((1, 1), (0, 0))
        assert (await kept(h, number)).lines[0].level.location == "TOWN"
        same = await h.desk.move(number, "TOWN")
        assert not same.problem
        assert (await h.desk.move(number, "ATLANTIS")).problem == "unknown-sku"


@pytest.mark.parametrize("fate", ["reply lost", "lost"])
async def test_a_move_whose_outcome_is_unknown_is_asked_again_and_happens_once(fate: str) -> None:
    """The line went dead after the request; the same rows again."""
    async with house({BAG: 1, BAG_IN_TOWN: 1}) as h:
        number = await granted(h)
        h.org.next.append(fate)
        await h.desk.move(number, "TOWN")
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((1, 0), (1, 1))
        assert (await kept(h, number)).lines[0].level.location == "TOWN"


async def test_a_moved_reservation_expires_from_where_it_is() -> None:
    """Both levels are as they were in the end."""
    async with house({BAG: 1, BAG_IN_TOWN: 1}) as h:
        number = await granted(h)
        await h.desk.move(number, "TOWN")
        await h.desk.release(number)
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((1, 0), (1, 0))


async def test_a_collected_pick_up_leaves_on_hand_and_reserved_together() -> None:
    """The customer takes the bag home: one sale of one reserved unit, however often the till says so."""
    async with house({BAG: 2}) as h:
        number = await granted(h)
        for _ in range(2):
            outcome = await h.desk.hand_over(number, "receipt 77")
            assert reservation_of(outcome).state is State.SETTLED
        await h.idle()
        assert h.org.numbers(BAG) == (1, 0)
        assert h.org.of(f"reservation:{number}")[-1] == (f"reservation:{number}:0:1", -1, -1)
        assert (await h.desk.release(number)).problem == ""
        await h.idle()
        assert h.org.numbers(BAG) == (1, 0)


@pytest.mark.parametrize(("reserved_at", "fetched_at"), [("ECOM", "TOWN"), ("TOWN", "ECOM")])
async def test_what_was_moved_is_handed_over_from_where_it_is(reserved_at: str, fetched_at: str) -> None:
    """She reserved it here and fetches it there: it leaves there, wherever it was held before."""
    async with house({BAG: 1, BAG_IN_TOWN: 1}) as h:
        lines = (WishedLine("BAG-1", 1, reserved_at),)
        wish = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=1))
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        await h.desk.move(number, fetched_at)
        outcome = await h.desk.hand_over(number, "receipt 77")
        assert reservation_of(outcome).state is State.SETTLED
        await h.idle()
        assert h.org.numbers(f"BAG-1|{fetched_at}") == (0, 0)
        assert h.org.numbers(f"BAG-1|{reserved_at}") == (1, 0)


async def to_be_fetched(h: House) -> str:
    """The id of a pick-up that was granted."""
    lines = (WishedLine("BAG-1", 1),)
    wish = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=1))
    return reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id


@pytest.mark.parametrize("fate", ["", "reply lost", "lost"])
async def test_what_was_handed_over_before_its_order_came_leaves_once(fate: str) -> None:
    """She fetched the bag while the shop's message was still on its way; then the shop calls it fulfilled."""
    async with house({BAG: 3}, shelf={"BAG-1": 3}, shops=["london"]) as h:
        number = await to_be_fetched(h)
        h.org.next.append(fate)
        await h.desk.hand_over(number, "receipt 77")
        await h.idle()
        assert h.org.numbers(BAG) == (2, 0)
        order = h.shops["london"].buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.idle()
        assert h.org.numbers(BAG) == (2, 0)
        h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", order)
        await h.idle()
        assert (h.org.numbers(BAG), (await kept(h, number)).state) == ((2, 0), State.SETTLED)
        await h.shows("BAG-1", 2)


@pytest.mark.parametrize("fate", ["", "reply lost", "lost"])
async def test_a_pick_up_stays_on_the_boutiques_list_when_its_order_has_come(fate: str) -> None:
    """Its units are the order's by now. The customer still comes for them; they leave on hand once."""
    async with house({BAG: 3}, shelf={"BAG-1": 3}, shops=["london"]) as h:
        number = await to_be_fetched(h)
        order = h.shops["london"].buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.order_reference)
        await h.idle()
        waiting = await h.desk.find(states=[each.value for each in TO_FETCH], location="ECOM")
        assert [(each.id, each.state, each.order_reference) for each in waiting] == [
            (number, State.ORDERED, f"#{order}")
        ]
        assert h.org.numbers(BAG) == (3, 1)
        assert (await h.desk.release(number)).problem == "ended"
        h.org.next.append(fate)
        for _ in range(2):
            await h.desk.hand_over(number, "receipt 77")
            await h.idle()
        assert (h.org.numbers(BAG), (await kept(h, number)).state) == ((2, 0), State.SETTLED)
        h.shops["london"].change(order, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", order)
        await h.idle()
        assert h.org.numbers(BAG) == (2, 0)
        h.shops["london"].change(order, returned_quantity=1, taken_quantity=0)
        await h.deliver("london", order)
        await h.idle()
        assert h.org.numbers(BAG) == (3, 0)
        await h.shows("BAG-1", 3)


@pytest.mark.parametrize(("line", "on_hand"), [({"fulfilled_quantity": 1}, 2), ({"taken_quantity": 0}, 3)])
async def test_a_pick_up_is_over_when_the_shop_has_sent_or_cancelled_its_order(
    line: dict[str, int], on_hand: int
) -> None:
    """Nobody need press a second button in the boutique."""
    async with house({BAG: 3}, shelf={"BAG-1": 3}, shops=["london"]) as h:
        number = await to_be_fetched(h)
        order = h.shops["london"].buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.order_reference)
        h.shops["london"].change(order, open_quantity=0, **line)
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.SETTLED)
        await h.idle()
        assert h.org.numbers(BAG) == (on_hand, 0)


async def test_an_extension_lasts_from_now_and_never_beyond_the_longest() -> None:
    """The client asks for another day; nobody holds a bag for ever."""
    async with house({BAG: 1}) as h:
        number = await granted(h)
        before = await kept(h, number)
        assert before.expires_at is not None
        after = reservation_of(await h.desk.extend(number, timedelta(days=1)))
        assert after.expires_at is not None
        assert after.expires_at > before.expires_at + timedelta(hours=23)
        longest = reservation_of(await h.desk.extend(number, timedelta(days=400)))
        assert longest.expires_at == before.created_at + timedelta(days=30)
        await h.desk.release(number)
        assert (await h.desk.extend(number, timedelta(days=1))).problem == "ended"


async def test_no_extension_makes_a_life_shorter_and_a_window_stays_open_as_long() -> None:
    """A second more than nothing is not less; who comes later finds the window open."""
    async with house({BAG: 1}) as h:
        now = h.clock.now()
        window = PickUpWindow(now, now + timedelta(days=2))
        lines = (WishedLine("BAG-1", 1),)
        wish = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=3), window=window)
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        same = reservation_of(await h.desk.extend(number, timedelta(seconds=1)))
        assert (same.expires_at, same.window) == (window.ends, window)
        later = reservation_of(await h.desk.extend(number, timedelta(days=5)))
        assert later.window is not None
        assert later.expires_at == later.window.ends > window.ends


async def test_a_partial_wish_takes_what_there_is_from_several_places() -> None:
    """Five wanted, three to be had in two shops: three, and it says of how many."""
    async with house({BAG: 2, BAG_IN_TOWN: 1}) as h:
        lines = (WishedLine("BAG-1", 5),)
        wish = Wish(ReservationKind.CLIENT, "london", "client 4", lines, timedelta(days=1), partial=True)
        reservation = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        assert reservation.state is State.GRANTED
        assert [(str(line.level), line.quantity) for line in reservation.lines] == [
            (BAG, 2),
            (BAG_IN_TOWN, 1),
        ]
        assert sum(line.wanted for line in reservation.lines) == 5
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((2, 2), (1, 1))


async def test_a_partial_wish_is_granted_what_the_org_grants_of_it() -> None:
    """A till sold one of the two levels' pieces unseen: the other is the client's all the same."""
    async with house({BAG: 1, BAG_IN_TOWN: 1}) as h:
        h.org.move(BAG, on_hand=-1, told=False)
        lines = (WishedLine("BAG-1", 2),)
        wish = Wish(ReservationKind.CLIENT, "london", "client 4", lines, timedelta(days=1), partial=True)
        reservation = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        assert reservation.state is State.GRANTED
        assert [line.quantity for line in reservation.lines] == [0, 1]
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((0, 0), (1, 1))
        await h.desk.release(reservation.id)
        await h.idle()
        assert h.org.numbers(BAG_IN_TOWN) == (1, 0)


async def test_the_safety_stock_is_reserved_by_no_cart() -> None:
    """What a shop keeps back is not shown, and not had by asking for it either; a part is had beside it."""
    rules = (PolicyRule(("BAG-1",), channels=("london",), safety_stock=2),)
    async with house({BAG: 3, BAG_IN_TOWN: 1}, rules=rules) as h:
        assert (await h.reserve("BAG-1", 3)).problem == "unavailable"
        assert h.org.numbers(BAG) == (3, 0)
        lines = (WishedLine("BAG-1", 3),)
        wish = Wish(ReservationKind.CART, "london", "cart 9", lines, timedelta(days=1), partial=True)
        part = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        assert [(str(line.level), line.quantity, line.wanted) for line in part.lines] == [(BAG, 2, 3)]
        assert (await h.reserve("BAG-1")).problem == "unavailable"
        assert reservation_of(await h.reserve("BAG-1", 2, shop="dubai")).state is State.GRANTED
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((3, 3), (1, 1))


async def test_a_cart_is_sent_from_several_places_where_none_has_all_of_it() -> None:
    """The site shows two, one in the warehouse and one in town: a cart of two gets them, or neither."""
    async with house({BAG: 1, BAG_IN_TOWN: 1}) as h:
        cart = reservation_of(await h.reserve("BAG-1", 2))
        assert [(str(line.level), line.quantity) for line in cart.lines] == [(BAG, 1), (BAG_IN_TOWN, 1)]
        assert (h.org.numbers(BAG), h.org.numbers(BAG_IN_TOWN)) == ((1, 1), (1, 1))
        await h.desk.release(cart.id)
        await h.idle()
        h.org.move(BAG_IN_TOWN, on_hand=-1, told=False)
        assert (await h.reserve("BAG-1", 2)).problem == "unavailable"
        assert h.org.numbers(BAG) == (1, 0)
        lines = (WishedLine("BAG-1", 2),)
        fetched = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=1))
        h.org.move(BAG_IN_TOWN, on_hand=1)
        await h.until_kept(lambda tx: sum(level.on_hand for level in tx.levels_of(["BAG-1"])) == 2)
        outcome = await h.desk.create(fetched, idempotency_key=None, digest="")
        assert outcome.problem == "unavailable"


async def test_units_held_for_an_order_that_never_came_are_found_and_reported() -> None:
    """Paid for, and a day later no channel has told of the order: somebody must look, or release it."""
    async with house({BAG: 1}) as h:
        number = await granted(h)
        await h.desk.confirm(number, "#1001")
        now = h.clock.now()
        await h.store.write(lambda tx: h.desk.report(tx, now=now + timedelta(hours=23)))
        assert await h.store.read(lambda tx: tx.incidents()) == []
        await h.store.write(lambda tx: h.desk.report(tx, now=now + timedelta(hours=25)))
        assert [i.kind for i in await h.store.read(lambda tx: tx.incidents())] == [NO_ORDER]
        await h.desk.release(number)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_boutique_lists_what_it_holds() -> None:
    """By place and state, in pages, oldest first; a moved one is listed where it is."""
    async with house({BAG: 5, BAG_IN_TOWN: 5}) as h:
        numbers = [await granted(h) for _ in range(3)]
        await h.desk.move(numbers[1], "TOWN")
        await h.desk.release(numbers[2])
        found = await h.desk.find(states=["granted"], location="ECOM")
        assert [each.id for each in found] == [numbers[0]]
        assert [each.id for each in await h.desk.find(location="TOWN")] == [numbers[1]]
        first = await h.desk.find(limit=2)
        rest = await h.desk.find(after=first[-1].id, limit=2)
        assert [each.id for each in (*first, *rest)] == numbers


async def test_a_location_group_is_drawn_on_in_its_order() -> None:
    """The boutiques, not the warehouse that the channel sells from first."""
    async with house({BAG: 5, BAG_IN_TOWN: 0, BAG_IN_DUBAI: 1}, groups={"boutiques": ("TOWN", "DUBAI")}) as h:
        lines = (WishedLine("BAG-1", 1, location_group="boutiques"),)
        wish = Wish(ReservationKind.PICK_UP, None, "client 4", lines, timedelta(days=1))
        reservation = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        assert (reservation.state, str(reservation.lines[0].level)) == (State.GRANTED, BAG_IN_DUBAI)


async def test_what_is_held_for_nobody_is_found() -> None:
    """Paid for two days ago and no order came; and a number that only the ledger knows. Not a living cart."""
    async with house({BAG: 5}, shops=("london",)) as h:
        await h.reserve("BAG-1")
        paid = await granted(h)
        await h.desk.confirm(paid, "#1042")
        foreign = "reservation:of-another:0"

        def age(tx: SqlTx) -> None:
            known = tx.reservation(paid)
            assert known is not None
            tx.put_reservation(replace(known, paid_at=h.clock.now() - timedelta(days=2)))
            now = h.clock.now()
            row = Movement(
                f"{foreign}:0", foreign, LevelKey.parse(BAG), MovementKind.CART, 0, 2, "cart 9", "", now
            )
            tx.finish_bundle(tx.add_bundle([row], {foreign: None}, now), "done", "", now)

        await h.store.write(age)
        found = {orphan.reservation_id: orphan for orphan in await h.desk.orphans()}
        assert {number: orphan.cause for number, orphan in found.items()} == {
            paid: OrphanCause.NO_ORDER,
            "of-another": OrphanCause.UNKNOWN,
        }
        assert found["of-another"].units == {LevelKey.parse(BAG): 2}


async def test_a_part_is_granted_also_a_moment_after_another_line_was_refused() -> None:
    """The bag was just refused to somebody else; who takes what there is gets the scarves."""
    async with house({"BAG-1|ECOM": 0, "SCARF-1|ECOM": 3}) as h:
        assert (await h.reserve("BAG-1")).problem == "unavailable"
        lines = (WishedLine("SCARF-1", 5), WishedLine("BAG-1", 1))
        wish = Wish(ReservationKind.CART, "london", "cart 9", lines, timedelta(minutes=5), partial=True)
        granted = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        assert [(line.quantity, line.wanted) for line in granted.lines] == [(3, 5), (0, 1)]
        assert granted.state is State.GRANTED
        assert (await h.desk.create(wish, idempotency_key=None, digest="")).problem == "unavailable"


async def test_a_move_without_an_answer_yet_is_told_as_waiting_and_goes_on() -> None:
    """The org is away: it stands where it was, and is told as asked, for it may be moved in a moment."""
    async with house({"BAG-1|ECOM": 1, "BAG-1|TOWN": 1}) as h:
        number = reservation_of(await h.reserve("BAG-1")).id
        h.org.next.extend(["later"] * 1000)
        h.desk.close()  # nobody waits out a shopper's patience
        asked = await h.desk.move(number, "TOWN")
        assert (asked.problem, asked.waiting) == ("", True)
        assert reservation_of(asked).lines[0].level.location == "ECOM"
        h.org.next.clear()
        await h.until_kept(lambda tx: not tx.busy(reservation_of(asked).subjects()))
        moved = await h.desk.move(number, "TOWN")
        assert (moved.problem, moved.waiting) == ("", False)
        assert reservation_of(moved).lines[0].level.location == "TOWN"
