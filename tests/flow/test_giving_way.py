"""Promise 4 under the fallback rule: a posting that uncovers a promise goes in, and the promise gives way."""

from __future__ import annotations

import pytest
from tests.flow.kit import House, house, total, uncovered

from sfsync.domain.reservations import ReservationState

BAG = "BAG-1|ECOM"


async def _ordered(h: House, shop: str = "london") -> str:
    order = h.shops[shop].buy("BAG-1")
    await h.deliver(shop, order)
    await h.until(lambda: total(h.org.of(f"order:{shop}:{order}:")) == (0, 1))
    await h.idle()
    return order


async def _incidents(h: House, kind: str) -> list[str]:
    return [each.key for each in await h.store.read(lambda tx: tx.incidents()) if each.kind == kind]


@pytest.mark.parametrize("fate", ["", "later", "lost", "reply lost", "late"])
async def test_a_counter_sale_of_a_promised_bag_is_in_the_ledger_and_the_order_is_raised(fate: str) -> None:
    """The last bag, sold on the website, leaves over the counter: whatever the network does."""
    async with house({BAG: 1}) as h:
        h.org.fallback_rule = True
        order = await _ordered(h)
        if fate:
            h.org.next.extend(["", fate])  # the first answer is the refusal; the group meets its fate
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        h.org.land()
        await h.until_kept(lambda tx: any(i.key.startswith("order:") for i in tx.incidents()))
        await h.idle()
        assert h.org.of("posting:") == [("posting:receipt-1", -1, 0)]
        assert total(h.org.of(f"order:london:{order}:")) == (0, 0)
        assert await _incidents(h, "promise gave way") == [f"order:london:{order}:1:1"]
        assert not await h.store.read(lambda tx: tx.dead_letters())
        h.org.move(BAG, on_hand=1)  # another bag comes: the order gets it
        await h.until(lambda: total(h.org.of(f"order:london:{order}:")) == (0, 1))


async def test_a_cart_gives_way_before_an_order_and_says_why() -> None:
    """Two bags, one in a cart, one ordered later: the counter sale takes the cart's."""
    async with house({BAG: 2}) as h:
        h.org.fallback_rule = True
        outcome = await h.reserve("BAG-1")
        order = await _ordered(h)
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        assert total(h.org.of(f"order:london:{order}:")) == (0, 1)
        assert outcome.reservation is not None
        told = await h.desk.get(outcome.reservation.id)
        assert told is not None
        assert (told.state, told.reason) == (
            ReservationState.RELEASED,
            "1 of BAG-1|ECOM gave way to sale receipt-1",
        )


async def test_goods_that_were_paid_for_and_are_gone_are_told_as_such() -> None:
    """A confirmed reservation that gives way is paid and not available, never silently settled."""
    async with house({BAG: 1}) as h:
        h.org.fallback_rule = True
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        number = outcome.reservation.id
        assert (await h.desk.confirm(number, "#1001")).problem == ""
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        await h.idle()
        told = await h.desk.get(number)
        assert told is not None
        assert told.state is ReservationState.PAID_UNAVAILABLE
        assert await _incidents(h, "paid and not available") == [number]


async def test_a_promise_that_only_the_org_knows_of_gives_way_too() -> None:
    """A person reserved by hand; we have no row of it."""
    async with house({BAG: 1}) as h:
        h.org.fallback_rule = True
        h.org.move(BAG, reserved=1)
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        await h.idle()
        (key,) = await _incidents(h, "promise gave way")
        assert key.startswith("person:")


async def test_several_sales_at_once_make_as_many_promises_give_way() -> None:
    """Three ordered, three left, two of them sold at the counter in one breath."""
    async with house({BAG: 3}) as h:
        h.org.fallback_rule = True
        orders = [await _ordered(h) for _ in range(3)]
        h.org.till(BAG, -1, "receipt-1")
        h.org.till(BAG, -1, "receipt-2")
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        assert [total(h.org.of(f"order:london:{order}:")) for order in orders] == [(0, 1), (0, 0), (0, 0)]


async def test_a_kill_between_the_refusal_and_the_group_loses_and_doubles_nothing() -> None:
    """What goes along is written down before it is sent; the next start sends the same."""
    async with house({BAG: 1}) as h:
        h.org.fallback_rule = True
        order = await _ordered(h)
        h.org.next.extend(["", "late"])
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.under_way)
        await h.kill()
        h.org.land()
        await h.start()
        await h.idle()
        assert h.org.numbers(BAG) == (0, 0)
        assert h.org.of("posting:") == [("posting:receipt-1", -1, 0)]
        await h.until_kept(lambda tx: any(i.key.startswith(f"order:london:{order}") for i in tx.incidents()))


async def test_under_the_other_rule_the_promise_stays_and_the_incident_names_it() -> None:
    """Nothing is released: the order may still be covered by a receipt. The incident says whose it is."""
    async with house({BAG: 1}) as h:
        order = await _ordered(h)
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (0, 1))
        await h.until_kept(lambda tx: tx.incidents())
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert uncovered(incident) == [(f"order:london:{order}:1", "Order", 1)]
