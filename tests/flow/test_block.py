"""The local block: reservations granted from units set aside, and entered in the org afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from tests.flow.kit import House, house, total
from tests.test_overview import overview

from sfsync.domain.assortment import Floor, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.block import BlockRule
from sfsync.domain.reservations import (
    Outcome,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    Wish,
    WishedLine,
)
from sfsync.domain.stock import LevelKey
from sfsync.flow.block import grant
from sfsync.flow.settling import BELL as SETTLING
from sfsync.ports import Tx

BAG, IN_TOWN, SCARF = "BAG-1|ECOM", "BAG-1|TOWN", "SCARF-1|ECOM"
GATED = PolicyRule(("*",), guarantee=Guarantee.GATED)
DROP = PolicyRule(("BAG-1",), guarantee=Guarantee.GATED, block=BlockRule(6, ("ECOM",)))
BLOCK = "allocation:sfsync:"


def states(outcomes: list[Outcome]) -> list[str]:
    return sorted(o.reservation.state.value if o.reservation else o.problem for o in outcomes)


def held(h: House) -> int:
    return total(h.org.of(BLOCK))[1]


async def entered(h: House) -> None:
    """Wait until the org's ledger names all that was granted."""
    await h.until_kept(lambda tx: tx.draws_waiting(h.clock.now())[0] == 0)
    await h.idle()


def _given_back(reservation: Reservation, tx: Tx) -> bool:
    return not any(holding.reserved for holding in tx.holdings(reservation.subjects()))


async def test_units_are_set_aside_and_the_gated_shop_shows_them_still() -> None:
    """Six of eight are the block's. Whoever asks can have all eight, so that is what the shop shows."""
    async with house({BAG: 8}, rules=(DROP,), shops=("london",)) as h:
        assert held(h) == 6
        await h.shows("BAG-1", 8)
        await h.reserve("BAG-1", 2)
        told = (await overview(h).status())["ledger"]
        (row,) = told["block"]
        assert (row["sku"], row["location"]) == ("BAG-1", "ECOM")
        assert row["ready"] <= 4
        assert told["rows_a_minute"] > 0


async def test_a_mirrored_shop_never_shows_units_of_the_block() -> None:
    """It sells without asking: the block's units would be sold twice."""
    rule = replace(DROP, channels=("london",))
    async with house({BAG: 8}, rules=(rule,)) as h:
        assert held(h) == 6
        await h.shows("BAG-1", 8, 2)


async def test_a_grant_needs_no_org_and_is_entered_when_it_is_back() -> None:
    """The org is away. Six buyers are granted, the seventh is told at once that there is none."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        h.org.next.extend(["later"] * 1000)
        asked = [asyncio.create_task(h.reserve("BAG-1")) for _ in range(6)]
        assert states(await asyncio.gather(*asked)) == ["granted"] * 6
        assert total(h.org.of("reservation:")) == (0, 0)
        assert states([await h.reserve("BAG-1")]) == ["refused"]
        h.org.next.clear()
        await entered(h)
        assert (held(h), total(h.org.of("reservation:"))) == (0, (0, 6))
        assert h.org.numbers(BAG) == (6, 6)


async def test_many_at_once_get_no_more_than_there_is() -> None:
    """Forty ask for nine, six of which are ready: nine have one, and the org needed few calls for it."""
    async with house({BAG: 9}, rules=(DROP,), shops=("london",)) as h:
        h.org.requests.clear()
        outcomes = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(40)))
        assert states(outcomes) == ["granted"] * 9 + ["refused"] * 31
        await entered(h)
        assert h.org.numbers(BAG) == (9, 9)
        assert total(h.org.of("reservation:")) == (0, 9)


@pytest.mark.parametrize("fate", ["", "lost", "reply lost", "later", "late"])
async def test_a_grant_survives_a_kill_whatever_became_of_its_call(fate: str) -> None:
    """Told to the buyer, killed, started again: it is entered once, its unit granted to nobody else."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        first = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(4)))
        if fate:
            h.org.next.append(fate)
            sent = len(h.org.requests)
            await h.until(lambda: len(h.org.requests) > sent)
        await h.kill()
        await h.start()
        more = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(4)))
        h.org.land()
        assert states([*first, *more]) == ["granted"] * 6 + ["refused"] * 2
        await entered(h)
        assert (h.org.numbers(BAG), total(h.org.of("reservation:"))) == ((6, 6), (0, 6))


async def cart(h: House, *lines: WishedLine, partial: bool = False) -> Outcome:
    """A shopper's cart with several goods asks, or one that takes a part."""
    wish = Wish(ReservationKind.CART, "london", "cart 7", lines, timedelta(minutes=15), partial)
    return await h.desk.create(wish, idempotency_key=None, digest="")


BOTH = (WishedLine("BAG-1", 1), WishedLine("SCARF-1", 1))


@pytest.mark.parametrize(
    ("bags", "lines"), [(6, BOTH), (8, (WishedLine("BAG-1", 8),))], ids=["with a scarf", "with the pool"]
)
async def test_what_block_and_pool_have_together_is_granted(bags: int, lines: tuple[WishedLine, ...]) -> None:
    """A drop's bag and a scarf in one cart; or eight bags, of which six are the block's."""
    async with house({BAG: bags, SCARF: 3}, rules=(DROP, GATED), shops=("london",)) as h:
        assert states([await cart(h, *lines)]) == ["granted"]
        await h.idle()
        assert total(h.org.of("reservation:")) == (0, sum(line.quantity for line in lines))
        await h.shows("BAG-1", bags)  # what the cart holds is in the number until its order takes it off


async def test_where_a_part_will_do_the_block_gives_what_it_has_at_once() -> None:
    """Eight wanted of six, and the org is away: six are granted."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        h.org.next.extend(["later"] * 1000)
        reservation = (await cart(h, WishedLine("BAG-1", 8), partial=True)).reservation
        assert reservation is not None
        assert [(line.quantity, line.wanted) for line in reservation.lines] == [(6, 8)]
        assert reservation.state is ReservationState.GRANTED


async def test_where_a_part_will_do_block_and_pool_give_what_they_have() -> None:
    """Six are the block's and two the pool's; there is no scarf."""
    async with house({BAG: 8, SCARF: 0}, rules=(DROP, GATED), shops=("london",)) as h:
        wanted = WishedLine("BAG-1", 9), WishedLine("SCARF-1", 1)
        reservation = (await cart(h, *wanted, partial=True)).reservation
        assert reservation is not None
        assert sum(line.quantity for line in reservation.lines) == 8
        await h.idle()
        assert total(h.org.of("reservation:")) == (0, 8)


async def test_what_the_block_adds_to_a_cart_that_is_refused_is_the_blocks_still() -> None:
    """Two carts want a bag and the last scarf. One is refused, and its bag is granted to the next at once."""
    async with house({BAG: 3, SCARF: 1}, rules=(DROP, GATED), shops=("london",)) as h:
        assert states(list(await asyncio.gather(cart(h, *BOTH), cart(h, *BOTH)))) == ["granted", "refused"]
        h.org.next.extend(["later"] * 1000)
        assert states([await h.reserve("BAG-1") for _ in range(3)]) == ["granted"] * 2 + ["refused"]


@pytest.mark.parametrize("fate", ["lost", "reply lost", "later", "late"])
async def test_a_cart_of_block_and_pool_is_had_once_whatever_became_of_its_call(fate: str) -> None:
    """Asked, killed, started again: bag and scarf are the cart's, and the block has one bag fewer."""
    async with house({BAG: 6, SCARF: 3}, rules=(DROP, GATED), shops=("london",)) as h:
        h.org.next.append(fate)
        sent = len(h.org.requests)
        asked = asyncio.create_task(cart(h, *BOTH))
        await h.until(lambda: len(h.org.requests) > sent)
        await h.kill()
        await asyncio.gather(asked, return_exceptions=True)
        await h.start()
        h.org.land()
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(SCARF), held(h)) == ((6, 6), (3, 1), 5)
        more = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(7)))
        assert states(list(more)) == ["granted"] * 5 + ["refused"] * 2


async def test_paid_after_its_time_a_bag_is_had_out_of_the_block() -> None:
    """Four carts end unpaid, and their bags are the block's again: who pays all the same has one of them."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        carts = [await h.reserve("BAG-1", life=timedelta(seconds=0.6)) for _ in range(4)]
        assert states(carts) == ["granted"] * 4
        await entered(h)
        await h.until(lambda: held(h) == 6)
        first = carts[0].reservation
        assert first is not None
        paid = await h.desk.confirm(first.id, "#1001")
        assert states([paid]) == ["confirmed"]
        assert (h.org.numbers(BAG), held(h)) == ((6, 6), 5)


async def test_a_grant_given_back_before_it_was_entered_never_reaches_the_org() -> None:
    """The buyer leaves at once: the next one gets the unit, with the org away all the while."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        h.org.next.extend(["later"] * 1000)
        outcomes = [await h.reserve("BAG-1", 6)]
        given_up = outcomes[0].reservation
        assert given_up is not None
        released = await h.desk.release(given_up.id)
        assert states([released]) == ["released"]
        assert states([await h.reserve("BAG-1", 5)]) == ["granted"]
        h.org.next.clear()
        await entered(h)
        assert given_up.id not in str(h.org.of("reservation:"))
        assert total(h.org.of("reservation:")) == (0, 5)


async def test_what_is_given_back_is_there_for_the_next_even_in_the_moment_of_a_no() -> None:
    """All six are granted and entered, and buyers are told no. One gives up: the next one has its piece."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        first = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(6)))
        await entered(h)
        h.clock.stop()  # however slow the machine is, it is the same moment
        for given_up in first[:3]:
            late = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(3)))
            assert states(late) == ["refused"] * 3
            assert given_up.reservation is not None
            await h.desk.release(given_up.reservation.id)
            await h.until_kept(partial(_given_back, given_up.reservation))
            assert states([await h.reserve("BAG-1")]) == ["granted"]
        assert states([await h.reserve("BAG-1")]) == ["refused"]


async def test_it_is_topped_up_from_the_pool_and_withdrawn_when_no_policy_wants_it() -> None:
    """Four of six are granted: four more are set aside. Without the policy all that is unsold goes back."""
    async with house({BAG: 20}, rules=(DROP,), shops=("london",)) as h:
        assert states([await h.reserve("BAG-1", 4)]) == ["granted"]
        await h.until(lambda: held(h) == 6 and total(h.org.of("reservation:")) == (0, 4))
        await h.stop()
        h.rules = ()
        await h.start()
        await h.until(lambda: held(h) == 0)
        await h.idle()
        assert h.org.numbers(BAG) == (20, 4)


async def test_an_order_takes_over_what_was_granted_to_it_and_nothing_else() -> None:
    """Paid before the org has heard of the grant: the order waits for it and asks for no second unit."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        order = h.shops["london"].buy("BAG-1")
        name = h.shops["london"].orders[order].name
        confirmed = await h.desk.confirm(outcome.reservation.id, name)
        assert states([confirmed]) == ["confirmed"]
        await h.deliver("london", order)
        await entered(h)
        assert total(h.org.of("order:london:")) == (0, 1)
        assert total(h.org.of("reservation:")) == (0, 0)
        assert h.org.numbers(BAG) == (6, 6)


async def test_units_that_stock_no_longer_covers_are_not_granted() -> None:
    """Four of six are found broken: the block keeps the two that are there, and grants no more."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        h.org.move(BAG, on_hand=-4)
        await h.until(lambda: held(h) == 2)
        await h.idle()
        outcomes = await asyncio.gather(*(h.reserve("BAG-1") for _ in range(4)))
        assert states(outcomes) == ["granted"] * 2 + ["refused"] * 2
        await entered(h)
        assert h.org.numbers(BAG) == (2, 2)


async def test_the_last_pieces_of_a_shop_floor_are_granted_only_when_the_shop_has_them() -> None:
    """Ten stood in TOWN when five were set aside; the counter sells seven. Two may be in customers' hands."""
    rule = replace(DROP, block=BlockRule(5, ("TOWN",)))
    floor = Floor(frozenset({"TOWN"}), scarce_at=2)
    async with house({IN_TOWN: 10}, rules=(rule,), shops=("london",), floor=floor) as h:
        assert held(h) == 5
        h.org.move(IN_TOWN, on_hand=-7)
        await h.until(lambda: held(h) == 1)
        await h.idle()
        assert states([await h.reserve("BAG-1")]) == ["granted"]
        assert states([await h.reserve("BAG-1")]) == ["awaiting-store"]
        await entered(h)
        assert (held(h), h.org.numbers(IN_TOWN)) == (0, (3, 2))


async def test_a_block_never_takes_the_last_pieces_of_a_shop() -> None:
    """Four stand on the floor, and the drop wants five: two are left for whoever is in the shop."""
    rule = replace(DROP, block=BlockRule(5, ("TOWN",)))
    floor = Floor(frozenset({"TOWN"}), scarce_at=2)
    async with house({IN_TOWN: 4}, rules=(rule,), shops=("london",), floor=floor) as h:
        assert held(h) == 2
        outcomes = [await h.reserve("BAG-1") for _ in range(3)]
        assert states(outcomes) == ["awaiting-store", "granted", "granted"]


async def test_what_a_location_keeps_is_not_granted_out_of_the_block_either() -> None:
    """Two stay at ECOM for whoever comes in. Five are set aside of eight, and four are found broken."""
    rule = replace(DROP, block=BlockRule(5, ("ECOM",)))
    async with house({BAG: 8}, rules=(rule,), shops=("london",), keep={"ECOM": 2}) as h:
        assert held(h) == 5
        h.org.move(BAG, on_hand=-4)
        await h.until(lambda: held(h) == 2)
        await h.idle()
        assert states([await h.reserve("BAG-1") for _ in range(3)]) == ["granted", "granted", "unavailable"]


async def test_a_grant_that_expires_goes_back_on_sale() -> None:
    """Nobody pays: the unit is free again, in the org as well."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        outcome = await h.reserve("BAG-1", 6, life=timedelta(seconds=0.2))
        assert states([outcome]) == ["granted"]
        number = outcome.reservation.id if outcome.reservation else ""

        def expired(tx: object) -> bool:
            reservation = tx.reservation(number)  # type: ignore[attr-defined]  # the store's own transaction
            return reservation is not None and reservation.state is ReservationState.EXPIRED

        await h.until_kept(expired)
        await h.until(lambda: held(h) == 6 and total(h.org.of("reservation:")) == (0, 0))


async def test_grants_on_their_way_to_the_org_keep_no_later_one_from_going_back() -> None:
    """The org is away, and a hundred carts are on their way to it. The others end, and are free again."""
    rule = replace(DROP, block=BlockRule(130, ("ECOM",)))
    async with house({BAG: 130}, rules=(rule,), shops=("london",)) as h:
        h.org.next.extend(["later"] * 100_000)
        now, line = h.clock.now(), ReservationLine(LevelKey("BAG-1", "ECOM"), 1)
        carts = [
            Reservation(
                f"cart-{number:03}",
                ReservationState.PENDING,
                ReservationKind.CART,
                "london",
                "cart",
                (line,),
                now,
                now + timedelta(minutes=15, seconds=number),
            )
            for number in range(130)
        ]
        await h.store.write(lambda tx: [grant(tx, cart, now) for cart in carts])
        h.ctx.bell.ring(SETTLING)
        assert states([await h.reserve("BAG-1")]) == ["refused"]
        await h.until_kept(lambda tx: tx.draws_waiting(h.clock.now())[2] == 100)
        h.clock.stopped_at = now + timedelta(minutes=20)
        await h.until_kept(
            lambda tx: (last := tx.reservation("cart-129")) and last.state is ReservationState.EXPIRED
        )
        assert states([await h.reserve("BAG-1")]) == ["granted"]
        h.org.next.clear()


async def test_what_a_shop_does_not_find_is_not_granted_out_of_the_block() -> None:
    """Six pieces for the drop, all set aside. The warehouse does not find the first one: five are left."""
    async with house({BAG: 6}, rules=(DROP,), shops=("london",)) as h:
        first = (await h.reserve("BAG-1")).reservation
        assert first is not None
        await entered(h)
        await h.desk.store_confirmation(first.id, found=False, who="warehouse")
        await h.idle()
        asked = [await h.reserve("BAG-1") for _ in range(6)]
        assert states(asked) == ["granted"] * 5 + ["refused"]
        await entered(h)
        assert h.org.numbers(BAG) == (6, 5)
