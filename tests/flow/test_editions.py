"""A drop in the house: opened everywhere at once, and nobody gets past size, share or limit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.flow.kit import House, house

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.editions import Edition
from sfsync.domain.reservations import Outcome, ReservationState

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
