"""Goods that were sent before their order was heard of leave from what they were sold on, and nobody else's.

The daemon was down overnight, a webhook was lost, or the shop sends at once: the first that is heard of the
order is that it has left.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.flow.kit import House, house
from tests.flow.test_reservation_life import reservation_of

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.reservations import Outcome, ReservationKind, ReservationState, Wish, WishedLine

BAG, VAULT, FLOOR = "BAG-1|ECOM", "BAG-1|VAULT", "BAG-1|TOWN"
ONE, OTHER = "BAG-1|ECOM|A", "BAG-1|ECOM|B"
GATED = PolicyRule(("*",), guarantee=Guarantee.GATED)
DIVIDED = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
LONDONS = PolicyRule(("BAG-1",), ("london",), Guarantee.ALLOCATED)


def sends_at_once(h: House, shop: str, units: int = 1, *reservations: str) -> str:
    """The shop sells and sends before anybody hears of it; the number of its order."""
    number = h.shops[shop].buy("BAG-1", units, reservations=reservations)
    h.shops[shop].change(number, open_quantity=0, fulfilled_quantity=units)
    return number


async def ask(
    h: House,
    shop: str = "london",
    *,
    location: str | None = None,
    kind: ReservationKind = ReservationKind.CART,
) -> Outcome:
    wish = Wish(kind, shop, "cart 7", (WishedLine("BAG-1", 1, location),), timedelta(minutes=9))
    return await h.desk.create(wish, idempotency_key=None, digest="")


async def incidents(h: House) -> list[str]:
    return [f"{each.kind}: {each.title}" for each in await h.store.read(lambda tx: tx.incidents())]


@pytest.mark.parametrize("fates", [(), ("reply lost", "later"), ("lost", "reply lost"), ("late", "lost")])
@pytest.mark.parametrize("fallback", [False, True])
async def test_what_was_reserved_for_an_order_leaves_from_there_though_it_was_sent_unheard(
    fates: tuple[str, ...], *, fallback: bool
) -> None:
    """Confirmed and reserved in the vault, and sent before its webhook: the vault's only bag is gone."""
    async with house({BAG: 0, VAULT: 1}, rules=(GATED,)) as h:
        h.org.fallback_rule = fallback
        cart = reservation_of(await ask(h))
        await h.desk.confirm(cart.id, "#1001")
        await h.until(lambda: h.shops["london"].shelf["BAG-1"] == 1)
        h.org.next.extend(fates)
        await h.deliver("london", sends_at_once(h, "london", 1, cart.id))
        await h.until(lambda: h.org.numbers(VAULT) == (0, 0))
        await h.idle()
        h.org.land()
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(VAULT)) == ((0, 0), (0, 0))
        await h.until_kept(
            lambda tx: (found := tx.reservation(cart.id)) and found.state is ReservationState.SETTLED
        )
        assert (await ask(h, "dubai")).problem == "unavailable"
        assert await incidents(h) == []


async def test_a_pick_up_that_its_shop_marked_as_collected_and_handed_over_here_is_one_bag() -> None:
    """Collected in the shop's own system before its order is heard of, and handed over here afterwards."""
    async with house({BAG: 0, FLOOR: 3}, rules=(GATED,)) as h:
        held = reservation_of(await ask(h, location="TOWN", kind=ReservationKind.PICK_UP))
        await h.until(lambda: h.shops["london"].shelf["BAG-1"] == 3)
        await h.deliver("london", sends_at_once(h, "london", 1, held.id))
        await h.until(lambda: h.org.numbers(FLOOR) == (2, 0))
        await h.idle()
        after = reservation_of(await h.desk.hand_over(held.id, "receipt 1"))
        await h.idle()
        assert after.state is ReservationState.SETTLED
        assert (h.org.numbers(FLOOR), h.org.numbers(BAG)) == ((2, 0), (0, 0))


async def test_what_nobody_was_promised_leaves_first_where_it_stands_and_is_shown_no_longer() -> None:
    """Two in the vault, both sold and sent by London, unheard: neither shop shows any."""
    async with house({BAG: 0, VAULT: 2}) as h:
        await h.shows("BAG-1", 2, 2)
        await h.deliver("london", sends_at_once(h, "london", 2))
        await h.shows("BAG-1", 0, 0)
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(VAULT)) == ((0, 0), (0, 0))
        assert await incidents(h) == []


async def test_a_customers_unit_stays_when_another_is_sent_unheard() -> None:
    """A customer's bag is reserved in the warehouse. Another order is sent, unheard: the vault's has left."""
    async with house({BAG: 1, VAULT: 1}) as h:
        await h.shows("BAG-1", 2, 2)
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.shows("BAG-1", 1, 1)
        await h.deliver("dubai", sends_at_once(h, "dubai"))
        await h.shows("BAG-1", 0, 0)
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(VAULT)) == ((1, 1), (0, 0))
        assert await incidents(h) == []


async def test_a_shop_that_sent_its_own_while_we_were_down_shows_none_and_keeps_what_it_calls_off() -> None:
    """Two of London's are sold and sent in the night; in the morning a parcel is called off: reserved."""
    async with house({BAG: 0, VAULT: 3}, rules=(LONDONS,)) as h:
        await h.shows("BAG-1", 3, 0)
        await h.idle()
        await h.stop()
        number = sends_at_once(h, "london", 2)
        await h.start()
        await h.until(lambda: h.org.numbers(VAULT) == (1, 1))
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        assert await incidents(h) == []
        h.shops["london"].change(number, open_quantity=1, fulfilled_quantity=1)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers(VAULT) == (2, 2))
        await h.idle()
        assert [shop.shelf["BAG-1"] for shop in h.shops.values()] == [1, 0]
        assert (h.org.numbers(BAG), await incidents(h)) == ((0, 0), [])


@pytest.mark.parametrize("stock", [{BAG: 1, VAULT: 1}, {ONE: 1, OTHER: 1}])
async def test_what_a_shop_sent_unheard_is_of_its_own_and_not_what_a_customer_was_promised(
    stock: dict[str, int],
) -> None:
    """One each. One shop's is a customer's order; the other sells and sends its own: nothing is left."""
    async with house(stock, rules=(DIVIDED,)) as h:
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        first_place = f"allocation:london:{min(stock)}"
        first, second = ("london", "dubai") if h.org.of(first_place) else ("dubai", "london")
        await h.deliver(first, h.shops[first].buy("BAG-1"))
        await h.until(lambda: h.org.numbers(min(stock)) == (1, 1) and bool(h.org.of(f"order:{first}:")))
        await h.idle()
        await h.deliver(second, sends_at_once(h, second))
        await h.until(lambda: h.org.numbers(max(stock)) == (0, 0))
        await h.idle()
        assert h.org.numbers(min(stock)) == (1, 1)
        assert [shop.shelf["BAG-1"] for shop in h.shops.values()] == [0, 0]
        assert await incidents(h) == []
