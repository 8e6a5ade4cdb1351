"""A drop in the house: opened everywhere at once, and nobody gets past size, share or limit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.flow.kit import House, UnhurriedShop, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.block import BlockRule
from sfsync.domain.editions import Edition
from sfsync.domain.reservations import Outcome, ReservationKind, ReservationState, Wish, WishedLine
from sfsync.flow.policies import Policies

State = ReservationState
BAG, RED = "BAG|VAULT", "RED|VAULT"
GATED = PolicyRule(("*",), guarantee=Guarantee.GATED)
SET_ASIDE = PolicyRule(("*",), guarantee=Guarantee.ALLOCATED)


def granted(outcomes: list[Outcome]) -> int:
    """How many were granted."""
    return sum(bool(o.reservation and o.reservation.state is State.GRANTED) for o in outcomes)


async def drop(h: House, *, on: bool = True) -> None:
    """Somebody presses the switch."""
    await h.supervisor.editions.switch("drop", on=on, who="anna")


async def test_before_it_opens_nobody_sees_or_gets_anything_and_then_all_do_at_once() -> None:
    """Both sites show nothing and a cart is told to come back; one press, and both sell."""
    async with house({BAG: 9}, editions=[Edition("drop", ("BAG",), 5, {"london": 3, "dubai": 2})]) as h:
        assert [shop.shelf["BAG"] for shop in h.shops.values()] == [0, 0]
        early = await h.reserve("BAG")
        assert (early.reservation, early.problem) == (None, "edition-closed")
        await drop(h)
        targets = await h.store.read(lambda tx: {each.channel: each.target for each in tx.channel_levels()})
        assert targets == {"london": 3, "dubai": 2}  # in the very commit that opened it
        await h.shows("BAG", 3, 2)
        assert granted([await h.reserve("BAG")]) == 1
        await h.shows("BAG", 2, 2)
        await drop(h, on=False)
        assert (await h.reserve("BAG")).problem == "edition-closed"
        await h.shows("BAG", 0, 0)


async def test_parallel_buyers_never_get_more_than_the_edition_though_the_org_has_more() -> None:
    """Nine lie in the vault, five are sold: twelve ask at once at two sites, each within its share."""
    edition = Edition("drop", ("BAG", "RED"), 5, {"london": 3})
    async with house({BAG: 9, RED: 9}, editions=[edition], rules=[GATED]) as h:
        await drop(h)
        wishes = [(sku, shop) for sku in ("BAG", "RED") for shop in ("london", "dubai") for _ in range(6)]
        outcomes = await asyncio.gather(*(h.reserve(sku, shop=shop) for sku, shop in wishes))
        assert granted([o for o, (_, shop) in zip(outcomes, wishes, strict=True) if shop == "london"]) == 3
        assert granted(list(outcomes)) == 5
        assert {o.problem for o in outcomes} == {"", "edition-sold-out"}
        assert h.org.numbers(BAG)[1] + h.org.numbers(RED)[1] == 5
        first = next(o.reservation for o in outcomes if o.reservation and o.reservation.channel == "dubai")
        await h.desk.release(first.id)
        await h.idle()
        assert granted([await h.reserve("BAG", shop="dubai")]) == 1  # what came back may be sold again
        assert granted([await h.reserve("BAG", shop="dubai")]) == 0


async def test_what_is_asked_after_it_was_closed_is_refused_and_the_size_holds_in_between() -> None:
    """Somebody presses open and close, again and again, while a crowd asks, gives back and asks again."""
    async with house({BAG: 30}, editions=[Edition("drop", ("BAG",), 4, {"london": 3})], rules=[GATED]) as h:
        pressed = 0
        most: list[int] = []

        async def buyer(shop: str) -> list[Outcome]:
            told = []
            while pressed < 6:
                told.append(await h.reserve("BAG", shop=shop))
                most.append(h.org.numbers(BAG)[1])
                if (reservation := told[-1].reservation) is not None:
                    await h.desk.release(reservation.id)
            return told

        crowd = [
            asyncio.create_task(buyer(shop)) for shop in ("london", "london", "london", "dubai", "dubai")
        ]
        for pressed in range(1, 7):
            await drop(h, on=pressed % 2 == 1)
            if pressed % 2 == 0:
                assert (await h.reserve("BAG")).problem == "edition-closed"
            else:
                await h.until_kept(
                    lambda tx: any(each.reserved_delta > 0 for each in tx.facts(["BAG"]).pending)
                )
        told = [outcome for task in crowd for outcome in await task]
        assert granted(told)
        assert max(most) <= 4
        assert {o.problem for o in told} <= {"", "edition-closed", "edition-sold-out", "later"}
        await h.until(lambda: h.org.numbers(BAG) == (30, 0))
        await h.shows("BAG", 0, 0)


async def test_a_client_gets_as_many_as_the_limit_says_at_all_sites_together() -> None:
    """Two to a client: one in London, one in Dubai, and no third; another client may."""
    edition = Edition("drop", ("BAG",), 8, per_client=2)
    async with house({BAG: 9}, editions=[edition], rules=[GATED]) as h:
        await drop(h)
        assert (await h.reserve("BAG")).problem == "client-missing"
        tries = await asyncio.gather(
            *(h.reserve("BAG", shop=shop, client="C7") for shop in ("london", "dubai") for _ in range(3))
        )
        assert granted(list(tries)) == 2
        assert {o.problem for o in tries} == {"", "client-limit"}
        bought = next(o.reservation for o in tries if o.reservation)
        shop = h.shops[bought.channel or ""]
        await h.until(lambda: shop.shelf["BAG"] > 0)
        number = shop.buy("BAG", reservations=(bought.id,))
        await h.deliver(shop.name, number)
        await h.until_kept(lambda tx: (r := tx.reservation(bought.id)) and r.state is State.SETTLED)
        assert (await h.reserve("BAG", client="C7")).problem == "client-limit"
        assert granted([await h.reserve("BAG", client="C8")]) == 1
        shop.change(number, open_quantity=0, taken_quantity=0)  # called off: that one may be bought again
        await h.deliver(shop.name, number)
        await h.idle()
        assert granted([await h.reserve("BAG", client="C7")]) == 1
        assert (await h.reserve("BAG", client="C7")).more == {"edition": "drop", "limit": 2, "has": 2}


@pytest.mark.parametrize("per_client", [None, 3])
async def test_where_a_part_will_do_an_edition_gives_what_it_has_left(per_client: int | None) -> None:
    """Five wanted of three, or by somebody who may have three, and a hat beside them: three, and the hat."""
    edition = Edition("drop", ("BAG",), 9 if per_client else 3, per_client=per_client)
    async with house({BAG: 9, "HAT|VAULT": 1}, editions=[edition], rules=[GATED]) as h:
        both, life = (WishedLine("BAG", 5), WishedLine("HAT", 1)), timedelta(minutes=9)
        wish = Wish(ReservationKind.CART, "london", "cart 7", both, life, True, client="C7")
        assert (await h.desk.create(wish, idempotency_key=None, digest="")).problem == "edition-closed"
        await drop(h)
        reservation = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert reservation is not None
        assert [(line.quantity, line.wanted) for line in reservation.lines] == [(3, 5), (1, 1)]
        again = await h.desk.create(replace(wish, lines=both[:1]), idempotency_key=None, digest="")
        assert again.problem == ("client-limit" if per_client else "edition-sold-out")
        hats = await h.desk.create(replace(wish, lines=both), idempotency_key=None, digest="")
        assert hats.problem == "unavailable"  # neither bag nor hat
        assert h.org.numbers(BAG) == (9, 3)


async def test_an_order_beyond_the_edition_is_not_covered_though_the_org_has_more() -> None:
    """A site that does not ask sold one too many: told, and covered when another is called off."""
    async with house({BAG: 9}, editions=[Edition("drop", ("BAG",), 2)]) as h:
        await drop(h)
        await h.shows("BAG", 2, 2)
        london, dubai = h.shops.values()
        orders = [(london, london.buy("BAG", 2)), (dubai, dubai.buy("BAG", 1))]  # before either is heard of
        for shop, number in orders:
            await h.deliver(shop.name, number)
            await h.idle()
        assert h.org.numbers(BAG) == (9, 2)
        (told,) = await h.store.read(lambda tx: tx.incidents())
        assert told.title == "1 of BAG sold at dubai beyond the edition drop: 2 are to be sold"
        await h.shows("BAG", 0, 0)
        london.change(orders[0][1], open_quantity=1, taken_quantity=1)
        await h.deliver("london", orders[0][1])
        await h.until_kept(lambda tx: not tx.incidents())
        await h.idle()
        assert h.org.numbers(BAG) == (9, 2)
        await h.shows("BAG", 0, 0)


async def test_what_is_set_aside_for_a_channel_is_its_share_and_ready_before_the_opening() -> None:
    """Each site's units lie ready in the org, and not one is shown before the press, or beyond the share."""
    edition = Edition("drop", ("BAG",), 5, {"london": 3, "dubai": 2})
    async with house({BAG: 9}, editions=[edition], rules=[SET_ASIDE]) as h:
        await h.until(lambda: h.org.numbers(BAG) == (9, 5))
        assert [shop.shelf["BAG"] for shop in h.shops.values()] == [0, 0]
        await drop(h)
        await h.shows("BAG", 3, 2)
        number = h.shops["london"].buy("BAG", 3)
        await h.deliver("london", number)
        await h.idle()
        await h.shows("BAG", 0, 2)
        assert h.org.numbers(BAG) == (9, 5)


async def test_it_opens_at_the_time_that_was_planned_and_a_restart_forgets_nothing() -> None:
    """The daemon was down at noon: it opens when it is back; closed by hand, it stays closed."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    async with house({BAG: 2}, editions=[Edition("drop", ("BAG",), 2, opens_at=past)], rules=[GATED]) as h:
        await h.shows("BAG", 2, 2)
        assert granted([await h.reserve("BAG")]) == 1
        await drop(h, on=False)
        await h.kill()
        await h.start()
        await h.idle()
        assert (await h.reserve("BAG")).problem == "edition-closed"
        await h.shows("BAG", 1, 0)  # the shopper who holds one may still pay for it
        await drop(h)
        assert granted([await h.reserve("BAG"), await h.reserve("BAG")]) == 1


async def test_a_payment_after_the_expiry_gets_nothing_that_others_have_had_since() -> None:
    """The card took too long, and another bought the last of the edition, though more bags lie there."""
    async with house({BAG: 9}, editions=[Edition("drop", ("BAG",), 1)], rules=[GATED]) as h:
        await drop(h)
        late = (await h.reserve("BAG", life=timedelta(milliseconds=1))).reservation
        assert late is not None
        await h.until_kept(lambda tx: (r := tx.reservation(late.id)) and r.state is State.EXPIRED)
        await h.idle()
        last = (await h.reserve("BAG", shop="dubai")).reservation
        assert last is not None
        outcome = await h.desk.confirm(late.id, "#1001")
        assert (outcome.problem, h.org.numbers(BAG)) == ("paid-unavailable", (9, 1))
        assert "of the edition drop 1 are to be sold, and 0 are left" in outcome.detail
        assert (await h.desk.move(late.id, "VAULT")).problem == "paid-unavailable"
        await h.desk.release(last.id)
        await h.idle()
        await drop(h, on=False)  # who has paid is served all the same
        outcome = await h.desk.move(late.id, "VAULT")
        assert outcome.reservation is not None
        assert outcome.reservation.state is State.CONFIRMED


async def test_what_was_paid_too_late_is_not_asked_for_again_beyond_the_edition() -> None:
    """One bag is sold in all, and another client has it. More come in: who paid too late waits on."""
    async with house({BAG: 3}, editions=[Edition("drop", ("BAG",), 1)], rules=[GATED]) as h:
        await drop(h)
        late, last = await _paid_too_late(h), (await h.reserve("BAG", shop="dubai")).reservation
        assert last is not None
        assert (await h.desk.confirm(late, "#1001")).problem == "paid-unavailable"
        await _comes_in(h, 4)
        assert h.org.numbers(BAG) == (4, 1)
        await h.desk.release(last.id)  # the other one puts hers back, and what was paid for is had after all
        await h.until_kept(lambda tx: (r := tx.reservation(late)) and r.state is State.CONFIRMED)
        assert h.org.numbers(BAG) == (4, 1)


async def test_what_was_paid_too_late_is_not_asked_for_again_beyond_the_clients_limit() -> None:
    """A client may have one. Her first cart ended, she has another bag now: a receipt makes it no two."""
    edition = Edition("drop", ("BAG",), 3, per_client=1)
    async with house({BAG: 3}, editions=[edition], rules=[GATED]) as h:
        await drop(h)
        late = await _paid_too_late(h, client="Bea")
        assert granted([await h.reserve("BAG", client="Bea")]) == 1
        assert (await h.desk.confirm(late, "#1001")).problem == "paid-unavailable"
        await _comes_in(h, 4)
        assert h.org.numbers(BAG) == (4, 1)


async def _paid_too_late(h: House, client: str = "") -> str:
    """A cart that has ended, whose customer is about to pay."""
    late = (await h.reserve("BAG", life=timedelta(milliseconds=1), client=client)).reservation
    assert late is not None
    await h.until_kept(lambda tx: (r := tx.reservation(late.id)) and r.state is State.EXPIRED)
    await h.idle()
    return late.id


async def _comes_in(h: House, on_hand: int) -> None:
    """A bag comes in, is known of, and all that follows from it is done."""
    h.org.move(BAG, on_hand=1)
    await h.until_kept(lambda tx: [level.on_hand for level in tx.levels_of(["BAG"])] == [on_hand])
    await h.idle()


async def test_what_was_sent_stays_sold_and_what_comes_back_may_be_sold_again() -> None:
    """Parcels leave, a till sells one, a bag comes back: what is left of the edition follows."""
    async with house({BAG: 9}, editions=[Edition("drop", ("BAG",), 4)]) as h:
        await drop(h)
        await h.shows("BAG", 4, 4)
        london = h.shops["london"]
        number = london.buy("BAG", 2)
        await h.deliver("london", number)
        await h.shows("BAG", 2, 2)
        london.change(number, open_quantity=0, fulfilled_quantity=2)
        await h.deliver("london", number)
        h.org.till(BAG, -1, "receipt 77")
        await h.until(lambda: h.org.numbers(BAG) == (6, 0))
        await h.shows("BAG", 1, 1)
        london.change(number, returned_quantity=1)
        await h.deliver("london", number)
        await h.shows("BAG", 2, 2)
        await h.idle()
        (standing,) = await h.supervisor.editions.standings()
        assert (standing.taken, standing.shows) == (2, {"london": 2, "dubai": 2})


async def test_what_is_sold_of_one_colour_is_taken_off_the_other() -> None:
    """Two to sell, red or black; London sells a black one: Dubai shows one bag, not one of each."""
    async with house({BAG: 9, RED: 9}, editions=[Edition("drop", ("BAG", "RED"), 2)]) as h:
        await drop(h)
        await h.shows("BAG", 1, 1)
        await h.shows("RED", 1, 1)
        london, dubai = h.shops.values()
        await h.deliver("london", london.buy("BAG"))
        await h.until(lambda: [sum(shop.shelf.values()) for shop in (london, dubai)] == [1, 1])
        await h.deliver("dubai", dubai.buy(next(sku for sku, units in dubai.shelf.items() if units)))
        await h.until(lambda: [sum(shop.shelf.values()) for shop in (london, dubai)] == [0, 0])


async def test_a_bag_that_was_sold_and_is_not_there_yet_is_kept_of_the_edition() -> None:
    """Two sites sold the only one; the second order waits. A boutique's bag is not promised past it."""
    plan = {"online": ("VAULT",)}
    async with house({BAG: 1, "BAG|TOWN": 5}, editions=[Edition("drop", ("BAG",), 2)], plan=plan) as h:
        await drop(h)
        await h.shows("BAG", 1, 1)
        numbers = {name: shop.buy("BAG") for name, shop in h.shops.items()}
        for name, number in numbers.items():
            await h.deliver(name, number)
            await h.idle()
        wish = Wish(
            ReservationKind.CLIENT,
            None,
            "C7",
            (WishedLine("BAG", 1, "TOWN"),),
            timedelta(days=1),
            client="C7",
        )
        assert (await h.desk.create(wish, idempotency_key=None, digest="")).problem == "edition-sold-out"
        h.shops["dubai"].change(numbers["dubai"], open_quantity=0, taken_quantity=0)
        await h.deliver("dubai", numbers["dubai"])
        await h.idle()
        assert granted([await h.desk.create(wish, idempotency_key=None, digest="")]) == 1


async def test_what_a_till_sells_in_the_org_itself_is_sold_of_the_edition_too() -> None:
    """Nobody told us but the ledger: two sold over the counter; and a lost store forgets none of it."""
    edition = Edition("drop", ("BAG",), 5)
    async with house({BAG: 9}, editions=[edition]) as h:
        await drop(h)
        await h.shows("BAG", 5, 5)
        h.org.move(BAG, -2)
        await h.shows("BAG", 3, 3)
        london = h.shops["london"]
        number = london.buy("BAG")
        await h.deliver("london", number)
        await h.idle()
        london.change(number, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers(BAG) == (6, 0))
        await h.shows("BAG", 2, 2)
        await h.kill()
        h.forget_everything()
        await h.start()
        await drop(h)
        await h.shows("BAG", 2, 2)


async def test_what_is_granted_out_of_the_local_block_counts_before_the_org_has_heard_of_it() -> None:
    """The org is away, the block has plenty: the edition ends at its size, and a client at the limit."""
    rule = PolicyRule(("*",), guarantee=Guarantee.GATED, block=BlockRule(8, ("VAULT",)))
    edition = Edition("drop", ("BAG",), 5, per_client=2)
    async with house({BAG: 9}, editions=[edition], rules=[rule]) as h:
        await drop(h)
        await h.until(lambda: h.org.numbers(BAG)[1] == 8)
        await h.idle()
        h.org.next.extend(["later"] * 1000)
        one = await asyncio.gather(*(h.reserve("BAG", client="C1") for _ in range(4)))
        assert granted(list(one)) == 2
        many = await asyncio.gather(*(h.reserve("BAG", client=f"C{number}") for number in range(2, 9)))
        assert granted(list(many)) == 3
        assert {o.problem for o in (*one, *many)} == {"", "client-limit", "edition-sold-out"}
        h.org.next.clear()
        await h.until_kept(lambda tx: tx.draws_waiting(h.clock.now())[0] == 0)
        await h.idle()
        (standing,) = await h.supervisor.editions.standings()
        assert standing.taken == 5


async def test_within_an_edition_too_a_number_is_lowered_before_another_is_raised() -> None:
    """Three of nine are to be sold, two in London and one in Dubai, which sells it. London is not reached."""
    edition = Edition("drop", ("BAG",), 3)
    async with house({BAG: 9}, editions=[edition], rules=[SET_ASIDE], make_shop=UnhurriedShop) as h:
        await drop(h)
        await h.shows("BAG", 2, 1)
        await h.idle()
        london, dubai = h.shops.values()
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        await h.deliver("dubai", dubai.buy("BAG"))
        await h.until(lambda: total(h.org.of("order:dubai:")) == (0, 1))
        await h.until_kept(lambda tx: not tx.facts(["BAG"]).pending)
        kept = await h.store.read(lambda tx: {each.channel: each.target for each in tx.channel_levels()})
        assert kept == {"london": 1, "dubai": 0}
        assert total(h.org.of("allocation:")) == (0, 2)  # and with Dubai's order three
        london.answering.set()
        await h.shows("BAG", 1, 1)
        await h.idle()
        assert total(h.org.of("allocation:")) == (0, 2)


async def test_what_a_shop_that_need_not_ask_shows_of_an_edition_is_granted_to_nobody_else() -> None:
    """All three are on show in London and Dubai, which are not reached. Paris asks first, and for one."""
    rules = [
        PolicyRule(("BAG",), ("paris",), Guarantee.GATED),
        PolicyRule(("BAG",), ("london", "dubai"), Guarantee.ALLOCATED),
    ]
    shops = ("london", "dubai", "paris")
    edition = Edition("drop", ("BAG",), 3)
    async with house({BAG: 8}, shops=shops, rules=rules, editions=[edition], make_shop=UnhurriedShop) as h:
        await drop(h)
        await h.until(lambda: [h.shops[each].shelf["BAG"] for each in shops] == [2, 1, 0])
        await h.idle()
        for shop in h.shops.values():
            assert isinstance(shop, UnhurriedShop)
            shop.answering.clear()
        refused = await h.reserve("BAG", shop="paris")
        assert (refused.problem, refused.more["has"]) == ("edition-sold-out", 3)


async def test_what_a_shop_may_still_show_of_its_own_is_granted_to_nobody_though_all_ask_first_now() -> None:
    """The policy makes all ask first. London is not reached, and shows its two of three."""
    edition = Edition("drop", ("BAG",), 3)
    async with house({BAG: 9}, editions=[edition], rules=[SET_ASIDE], make_shop=UnhurriedShop) as h:
        await drop(h)
        await h.shows("BAG", 2, 1)
        await h.idle()
        london = h.shops["london"]
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        policies = Policies(h.ctx, ask=False)
        await policies.adopt(replace(h.ctx.assortment, rules=(GATED,)))
        await policies.run()
        await h.until(lambda: total(h.org.of("allocation:dubai:")) == (0, 0))
        assert granted([await h.reserve("BAG", 2, shop="dubai")]) == 0
        assert granted([await h.reserve("BAG", shop="dubai")]) == 1
        london.answering.set()
        await h.until(lambda: total(h.org.of("allocation:london:")) == (0, 0))
        await h.idle()
        assert granted([await h.reserve("BAG", 2, shop="dubai")]) == 1


async def test_no_shop_gets_more_of_an_edition_for_what_it_sold_unheard_of() -> None:
    """Two of four are London's, and sold, unheard of. Its number is read, and the drop opened once more."""
    edition = Edition("drop", ("BAG",), 4, {"london": 2, "dubai": 2})
    async with house({BAG: 9}, editions=[edition], rules=[SET_ASIDE]) as h:
        await drop(h)
        await h.shows("BAG", 2, 2)
        await h.idle()
        london = h.shops["london"]
        number = london.buy("BAG", 2)
        order = london.orders.pop(number)  # its list of orders lags behind its number
        await drop(h, on=False)
        await h.shows("BAG", 0, 0)
        await h.idle()
        await drop(h)
        await h.shows("BAG", 0, 2)
        await h.idle()
        assert total(h.org.of("allocation:london:")) == (0, 2)
        london.orders[number] = order
        await h.deliver("london", number)
        await h.shows("BAG", 0, 2)
        await h.idle()
        assert (total(h.org.of("allocation:london:")), total(h.org.of("order:london:"))) == ((0, 0), (0, 2))


async def test_all_shops_together_show_no_more_of_both_colours_than_are_to_be_sold() -> None:
    """Three in red or blue, set aside for two shops: both show less than they have."""
    edition = Edition("drop", ("BAG", "RED"), 3)
    async with house({BAG: 9, RED: 9}, editions=[edition], rules=[SET_ASIDE]) as h:
        await drop(h)
        shown = await h.store.read(lambda tx: [each.target or 0 for each in tx.channel_levels()])
        assert sum(shown) == 3
        await h.until(lambda: sum(sum(shop.shelf.values()) for shop in h.shops.values()) == 3)
        for left in (2, 1, 0):
            seller = next(shop for shop in h.shops.values() if any(shop.shelf.values()))
            sku = next(sku for sku, units in seller.shelf.items() if units > 0)
            await h.deliver(seller.name, seller.buy(sku))
            await h.idle()
            assert sum(sum(shop.shelf.values()) for shop in h.shops.values()) == left
        assert total(h.org.of("order:")) == (0, 3)
        assert await h.store.read(lambda tx: tx.incidents()) == []
