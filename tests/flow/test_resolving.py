"""The ways out of an incident: another location, waiting, a cancellation; each taken once and signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from tests.flow.kit import WAKE, House, UnhurriedShop, house, total, uncovered

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.incidents import NOT_APPLIED, OVERSOLD, PAID_UNAVAILABLE, Resolved, Stage, Way, Wish
from sfsync.domain.reservations import OrphanCause
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports import Incident, Resolution

BAG, MAYFAIR = "BAG-1|ECOM", "BAG-1|MAYFAIR"
ANNA = Wish(Way.ACCEPT, "Anna Kay", "the customer is waiting")
MOVE = replace(ANNA, way=Way.MOVE, location="MAYFAIR")
CANCEL = replace(ANNA, way=Way.CANCEL)
# Both shops sell from ECOM alone: what Mayfair has, only a person may give them.
APART = {"plan": {"online": ("ECOM",)}}


async def incident(h: House, kind: str = OVERSOLD) -> Incident:
    """The one open incident of that kind, once there is one."""
    await h.until_kept(lambda tx: [each for each in tx.incidents() if each.kind == kind])
    found: list[Incident] = await h.store.read(lambda tx: tx.incidents())
    (one,) = [each for each in found if each.kind == kind]
    return one


async def resolutions(h: House, of: Incident) -> list[Resolution]:
    """What was decided about it."""
    return list(await h.store.read(lambda tx: tx.resolutions([of.id])))


@asynccontextmanager
async def sold_twice(mayfair: int = 1) -> AsyncIterator[tuple[House, Incident, str]]:
    """One handbag, sold at both shops: London got it; the number is that of Dubai's order."""
    async with house({BAG: 1, MAYFAIR: mayfair}, **APART) as h:
        one, two = (h.shops[name].buy("BAG-1") for name in ("london", "dubai"))
        await h.deliver("london", one)
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        await h.deliver("dubai", two)
        yield h, await incident(h), two


async def test_the_unit_is_taken_at_another_location_once_however_often_it_is_clicked() -> None:
    """Three clicks at once, one afterwards: one unit at Mayfair; the ledger says who decided it, and why."""
    async with sold_twice(mayfair=3) as (h, found, two):
        told = await asyncio.gather(*(h.supervisor.resolver.resolve(found.id, MOVE) for _ in range(3)))
        assert {each.stage for each in told} <= {Stage.DONE, Stage.ASKED}
        await h.until_kept(lambda tx: not tx.incidents())
        assert (await h.supervisor.resolver.resolve(found.id, MOVE)).stage is Stage.DONE
        assert h.org.numbers(MAYFAIR) == (3, 1)
        (row,) = [row for row in h.org.rows.values() if str(row.level) == MAYFAIR and row.reserved_delta]
        assert row.subject == f"order:dubai:{two}:1"
        assert row.reference == f"#{two}; moved by Anna Kay: the customer is waiting"
        (kept,) = await resolutions(h, found)
        assert (kept.by, kept.stage, kept.detail["units"]) == ("Anna Kay", Stage.DONE, 1)


async def test_a_location_that_has_none_refuses_and_nothing_changes() -> None:
    """The org says no; the incident stays open and red, and another way is still there."""
    async with sold_twice(mayfair=0) as (h, found, two):
        told = await h.supervisor.resolver.resolve(found.id, MOVE)
        assert (told.stage, told.answer) == (Stage.REFUSED, f"1 wanted of {MAYFAIR}, 0 available")
        await h.idle()
        assert (await incident(h)).id == found.id
        assert total(h.org.of(f"order:dubai:{two}")) == (0, 0)
        wait = replace(ANNA, way=Way.WAIT, until=h.clock.now() + timedelta(days=9))
        assert (await h.supervisor.resolver.resolve(found.id, wait)).stage is Stage.DONE
        assert [each.stage for each in await resolutions(h, found)] == [Stage.REFUSED, Stage.DONE]


async def test_a_decision_survives_a_kill_before_the_org_has_answered() -> None:
    """The org's reply is lost and the daemon dies: after the start the unit is taken once, and it is told."""
    async with sold_twice() as (h, found, two):
        h.org.next.extend(["reply lost"] + ["later"] * 50)
        asking = asyncio.create_task(h.supervisor.resolver.resolve(found.id, MOVE))
        await h.until(lambda: h.org.numbers(MAYFAIR) == (1, 1))
        asking.cancel()
        await h.kill()
        h.org.next.clear()
        await h.start()
        await h.until_kept(lambda tx: not tx.incidents())
        assert h.org.of(f"order:dubai:{two}") == [(f"order:dubai:{two}:1:0", 0, 1)]
        assert [each.stage for each in await resolutions(h, found)] == [Stage.DONE]


async def test_what_may_wait_is_not_red_until_its_day_or_until_it_is_worse() -> None:
    """A receipt covers it in the end, and the incident closes by itself."""
    async with sold_twice(mayfair=0) as (h, found, _):
        until = h.clock.now() + timedelta(days=9)
        wait = replace(ANNA, way=Way.WAIT, until=until)
        for _click in range(2):
            assert (await h.supervisor.resolver.resolve(found.id, wait)).stage is Stage.DONE
        waiting = await incident(h)
        assert waiting.waits(h.clock.now())
        assert not waiting.waits(until)
        assert not replace(waiting, detail={**waiting.detail, "units": 2}).waits(h.clock.now())
        assert len(await resolutions(h, found)) == 1
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: not tx.incidents())


async def test_goods_that_left_let_the_newest_promise_go_elsewhere() -> None:
    """A till sells what two orders hold; the newer order is named first, and both move in one step."""
    async with house({BAG: 2, MAYFAIR: 1}, **APART) as h:
        await h.shows("BAG-1", 2, 2)
        orders = []
        for _ in range(2):
            orders.append(h.shops["london"].buy("BAG-1"))
            await h.deliver("london", orders[-1])
            await h.until(lambda: h.org.numbers(BAG)[1] == len(orders))
            await h.idle()
        h.org.till(BAG, -1, "receipt-1")
        found = await incident(h)
        newest = f"order:london:{orders[1]}:1"
        assert uncovered(found) == [(newest, "Order", 1)]
        told = await h.supervisor.resolver.resolve(found.id, MOVE)
        assert (told.stage, told.more["promise"]) == (Stage.DONE, newest)
        assert (h.org.numbers(BAG), h.org.numbers(MAYFAIR)) == ((1, 1), (1, 1))
        await h.until_kept(lambda tx: not tx.incidents())
        assert (await h.supervisor.resolver.resolve(found.id, MOVE)).stage is Stage.DONE
        assert h.org.of(newest) == [(f"{newest}:0", 0, 1), (f"{newest}:1", 0, -1), (f"{newest}:2", 0, 1)]


async def test_a_reservation_that_lost_its_cover_moves_with_the_name_of_who_moved_it() -> None:
    """A client's handbag was sold over the counter: it is held at Mayfair now."""
    async with house({BAG: 1, MAYFAIR: 1}, **APART) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        await h.idle()
        h.org.till(BAG, -1, "receipt-1")
        found = await incident(h)
        told = await asyncio.gather(*(h.supervisor.resolver.resolve(found.id, MOVE) for _ in range(2)))
        assert {each.stage for each in told} == {Stage.DONE}
        assert (h.org.numbers(BAG), h.org.numbers(MAYFAIR)) == ((0, 0), (1, 1))
        held = await h.desk.get(outcome.reservation.id)
        assert held is not None
        assert [line.level.location for line in held.lines] == ["MAYFAIR"]
        assert "moved by Anna Kay" in list(h.org.rows.values())[-1].reference
        await h.until_kept(lambda tx: not tx.incidents())


async def test_who_paid_after_the_units_were_gone_gets_them_at_another_location() -> None:
    """The incident of money without goods has the same way out."""
    async with house({BAG: 1, MAYFAIR: 1}, **APART) as h:
        outcome = await h.reserve("BAG-1", life=timedelta(seconds=0.01))
        assert outcome.reservation is not None
        await h.until(lambda: h.org.numbers(BAG) == (1, 0))
        await h.idle()
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 0, 0)
        assert (await h.desk.confirm(outcome.reservation.id, "#77")).problem == "paid-unavailable"
        found = await incident(h, PAID_UNAVAILABLE)
        assert (await h.supervisor.resolver.resolve(found.id, MOVE)).stage is Stage.DONE
        await h.until_kept(lambda tx: not tx.incidents())
        assert h.org.numbers(MAYFAIR) == (1, 1)


async def test_an_order_is_cancelled_at_its_channel_once_and_without_restock() -> None:
    """The channel hears reason and name; its shelf stays as it is; the order itself ends the incident."""
    async with sold_twice(mayfair=0) as (h, found, two):
        told = await asyncio.gather(*(h.supervisor.resolver.resolve(found.id, CANCEL) for _ in range(3)))
        assert {each.stage for each in told} <= {Stage.DONE, Stage.ASKED}
        await h.until_kept(lambda tx: not tx.incidents())
        assert h.shops["dubai"].cancelled == [(two, False, False, "the customer is waiting (Anna Kay)")]
        assert h.shops["dubai"].shelf["BAG-1"] == 0
        assert (await h.supervisor.resolver.resolve(found.id, CANCEL)).stage is Stage.DONE
        assert len(h.shops["dubai"].cancelled) == 1


async def test_a_cancellation_survives_lost_replies_and_a_kill() -> None:
    """Its outcome unknown, the order is read before it is asked for again: it was cancelled, once."""
    async with sold_twice(mayfair=0) as (h, found, _two):
        h.shops["dubai"].next.append("reply lost")
        assert (await h.supervisor.resolver.resolve(found.id, CANCEL)).stage is Stage.DONE
        assert len(h.shops["dubai"].cancelled) == 1
    async with sold_twice(mayfair=0) as (h, found, _two):
        h.shops["dubai"].next.append("late")
        asking = asyncio.create_task(h.supervisor.resolver.resolve(found.id, CANCEL))
        await h.until(lambda: h.shops["dubai"].cancelled)
        asking.cancel()
        await h.kill()
        h.shops["dubai"].land()
        await h.start()
        await h.until_kept(lambda tx: not tx.incidents() and not tx.asked_resolutions("cancel"))
        assert len(h.shops["dubai"].cancelled) == 1
        assert [each.stage for each in await resolutions(h, found)] == [Stage.DONE]


async def test_a_cancellation_that_the_channel_refuses_is_told_in_its_words() -> None:
    """A parcel has left: nothing has changed, and the incident stays."""
    async with sold_twice(mayfair=0) as (h, found, _):
        h.shops["dubai"].next.append("refused")
        told = await h.supervisor.resolver.resolve(found.id, CANCEL)
        assert (told.stage, told.answer) == (Stage.REFUSED, "the credential was revoked: renew it")
        assert (await incident(h)).id == found.id


async def test_a_channel_that_says_yes_and_cancels_nothing_is_an_incident_of_its_own() -> None:
    """Nobody believes that the customer was told; a person looks at the channel."""
    async with sold_twice(mayfair=0) as (h, found, _):
        h.shops["dubai"].deaf = True
        told = await h.supervisor.resolver.resolve(found.id, CANCEL)
        assert told.stage in (Stage.ASKED, Stage.REFUSED)
        deaf = await incident(h, NOT_APPLIED)
        assert "has not carried it out" in deaf.title
        await h.until_kept(
            lambda tx: [each for each in tx.resolutions([found.id]) if each.stage is Stage.REFUSED]
        )
        assert (await h.supervisor.resolver.resolve(deaf.id, ANNA)).stage is Stage.DONE
        assert [each.id for each in await h.store.read(lambda tx: tx.incidents())] == [found.id]


async def test_an_order_of_more_lines_is_cancelled_only_when_all_of_it_is_meant() -> None:
    """The scarf that is there would go too."""
    async with sold_twice(mayfair=0) as (h, found, two):
        shop = h.shops["dubai"]
        order = shop.orders[two]
        scarf = replace(order.lines[0], line_id="2", sku="SCARF-1")
        shop.orders[two] = replace(order, version=h.clock.now(), lines=(order.lines[0], scarf))
        await h.deliver("dubai", two)
        await h.until_kept(lambda tx: len(tx.lines_of_order("dubai", [two])) == 2)
        told = await h.supervisor.resolver.resolve(found.id, CANCEL)
        assert (told.problem, "SCARF-1" in told.detail) == ("more-lines", True)
        assert shop.cancelled == []


async def test_what_lasts_cannot_be_waved_away_and_what_is_over_not_be_resolved() -> None:
    """Each answer names the ways that there are, or what is wrong."""
    async with sold_twice() as (h, found, _):
        resolve = h.supervisor.resolver.resolve
        told = await resolve(found.id, ANNA)
        assert told == Resolved(problem="no-such-way", detail=told.detail)
        assert "move, wait, cancel" in told.detail
        assert (await resolve(99, ANNA)).problem == "no-such-incident"
        assert (await resolve(found.id, replace(MOVE, location="PARIS"))).problem == "unknown-level"
        assert (await resolve(found.id, replace(MOVE, location="A|B"))).problem == "bad-input"
        assert (await resolve(found.id, replace(MOVE, promise="order:x:1:1"))).problem == "no-such-promise"
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: not tx.incidents())
        assert (await resolve(found.id, MOVE)).problem == "over"
        assert h.org.numbers(MAYFAIR) == (1, 0)


async def test_units_that_other_software_holds_for_a_reservation_nobody_knows_are_told() -> None:
    """It wrote a row of a reservation that we never had: told while we run, and after a restart."""
    async with house({BAG: 3}) as h:
        ghost = Movement(
            "reservation:ghost:0:0",
            "reservation:ghost:0",
            LevelKey.parse(BAG),
            MovementKind.CART,
            0,
            1,
            "",
            "",
            h.clock.now(),
        )
        h.org._enter(ghost)
        h.org.tell(WAKE, levels=frozenset({h.org.id_of(ghost.level)}), events=1)
        await h.shows("BAG-1", 2, 2)
        for _ in range(2):
            (orphan,) = await h.desk.orphans()
            assert (orphan.reservation_id, orphan.cause) == ("ghost", OrphanCause.UNKNOWN)
            assert orphan.units == {ghost.level: 1}
            await h.kill()
            await h.start()
            await h.idle()


DIVIDED = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)


@asynccontextmanager
async def left_while_shown(**how: object) -> AsyncIterator[tuple[House, Incident, UnhurriedShop]]:
    """Of Dubai's two bags in the warehouse the counter sells one, and Dubai is not reached."""
    async with house(
        {BAG: 2, MAYFAIR: 1}, rules=(DIVIDED,), shops=("dubai",), make_shop=UnhurriedShop, **how
    ) as h:
        await h.shows("BAG-1", 2)
        dubai = h.shops["dubai"]
        assert isinstance(dubai, UnhurriedShop)
        dubai.answering.clear()
        h.org.till(BAG, -1, "receipt-1")
        yield h, await incident(h), dubai


async def test_units_set_aside_that_left_are_released_by_a_persons_word_and_shown_no_longer() -> None:
    """Dubai does not answer; somebody accepts that its bag is gone: released once, and lowered later."""
    async with left_while_shown(**APART) as (h, found, dubai):
        for _click in range(2):
            told = await h.supervisor.resolver.resolve(found.id, ANNA)
            assert told.stage is Stage.DONE
        assert h.org.numbers(BAG) == (1, 1)
        (row,) = [each for each in h.org.rows.values() if each.reserved_delta < 0]
        assert (row.subject, row.reserved_delta) == (f"allocation:dubai:{BAG}", -1)
        assert row.reference == "units of dubai; released by Anna Kay: the customer is waiting"
        await h.until_kept(lambda tx: not tx.incidents())
        assert dubai.shelf["BAG-1"] == 2
        dubai.answering.set()
        await h.shows("BAG-1", 1)
        await h.idle()
        assert h.org.numbers(BAG) == (1, 1)


async def test_the_incident_names_the_shop_whose_units_a_way_out_touches() -> None:
    """Four bags are divided. Dubai shows its two, London is not reached yet, and a counter sells one.

    It is one of London's, which nobody shows, and so London's is released: the incident names London.
    """
    async with house({BAG: 0, MAYFAIR: 0}, rules=(DIVIDED,)) as h:
        h.shops["london"].next.extend(["later"] * 10_000)
        h.org.move(BAG, on_hand=4)
        await h.until(lambda: h.org.numbers(BAG) == (4, 4))
        await h.until(lambda: h.shops["dubai"].shelf["BAG-1"] == 2)
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (3, 3))
        [found] = await h.store.read(lambda tx: tx.incidents(open_only=False))
        assert uncovered(found) == [(f"allocation:london:{BAG}", "Allocation", 1)]
        assert total(h.org.of("allocation:london:")) == (0, 1)
        assert total(h.org.of("allocation:dubai:")) == (0, 2)


async def test_others_are_set_aside_elsewhere_for_units_that_left() -> None:
    """Mayfair keeps its last bag for whoever comes in; a person gives it to Dubai, which may sell it on."""
    async with left_while_shown(keep={"MAYFAIR": 1}) as (h, found, dubai):
        told = await h.supervisor.resolver.resolve(found.id, replace(MOVE, location="BOND"))
        assert told.detail == "dubai does not sell BAG-1 from BOND"
        assert (await h.supervisor.resolver.resolve(found.id, MOVE)).stage is Stage.DONE
        assert (h.org.numbers(BAG), h.org.numbers(MAYFAIR)) == ((1, 1), (1, 1))
        await h.until_kept(lambda tx: not tx.incidents())
        dubai.answering.set()
        await h.idle()
        await h.shows("BAG-1", 2)


async def test_a_bag_given_up_that_was_sold_unheard_of_is_owed_when_the_next_comes() -> None:
    """Accepted as gone, it had been sold: the order comes, and has the next bag before anybody sees it."""
    async with left_while_shown(**APART) as (h, found, dubai):
        orders = [dubai.buy("BAG-1") for _ in range(2)]
        assert (await h.supervisor.resolver.resolve(found.id, ANNA)).stage is Stage.DONE
        dubai.answering.set()
        for order in orders:
            await h.deliver("dubai", order)
        await h.until_kept(lambda tx: [each for each in tx.incidents() if each.key.startswith("order:")])
        refused = await h.supervisor.resolver.resolve((await incident(h)).id, ANNA)
        assert refused.problem == "no-such-way"
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: not tx.incidents())
        await h.idle()
        assert (h.org.numbers(BAG), dubai.shelf["BAG-1"]) == ((2, 2), 0)
