"""An order that is known as it stands is not read again, and one that has changed always is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.flow.kit import House, LittleShop, house, total

from sfsync.domain.orders import OrderSnapshot

BAG = "BAG-1|ECOM"


class TellingShop(LittleShop):
    """It tells for little which orders have changed; counts what it is asked for whole."""

    lists = 0  # of whole orders
    singles = 0

    async def order_times(self, at: datetime) -> AsyncIterator[Sequence[tuple[str, datetime]]]:
        """As Shopify tells them: to the second."""
        orders = sorted(self.orders.values(), key=lambda order: order.version)
        for order in orders:
            if order.version >= at:
                yield [(order.order_id, order.version.replace(microsecond=0))]

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        self.lists += 1
        async for page in super().orders_since(at):
            yield page

    async def order(self, reference: str) -> OrderSnapshot | None:
        self.singles += 1
        return await super().order(reference)

    def read_before(self) -> tuple[int, int]:
        """(lists, single orders) that were asked for since the last time."""
        told, self.lists, self.singles = (self.lists, self.singles), 0, 0
        return told


def some_minutes_ago(shop: LittleShop, *numbers: str) -> None:
    """These orders changed two minutes before now, and nobody has touched them since."""
    for number in numbers:
        order = shop.orders[number]
        shop.orders[number] = replace(order, version=order.version - timedelta(minutes=2))


def dubai(h: House) -> TellingShop:
    shop = h.shops["dubai"]
    assert isinstance(shop, TellingShop)
    return shop


async def test_what_is_known_as_it_stands_is_not_read_again() -> None:
    """The second look at a quiet list asks for no order; what changes later is read, and takes effect."""
    async with house({BAG: 5}, make_shop=TellingShop) as h:
        shop = dubai(h)
        number = shop.buy("BAG-1")
        some_minutes_ago(shop, number)
        await h.supervisor.polls.poll("dubai")
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        shop.read_before()
        assert await h.supervisor.polls.poll("dubai") == 0
        assert shop.read_before() == (0, 0)
        shop.change(number, open_quantity=0, taken_quantity=0)
        assert await h.supervisor.polls.poll("dubai") == 1
        assert shop.read_before() == (0, 1)
        await h.until(lambda: total(h.org.of("order:")) == (0, 0))


async def test_an_order_that_may_have_changed_again_in_the_same_second_is_read_again() -> None:
    """Its time is told to the second: what was read close to it may not be the last word."""
    async with house({BAG: 5}, make_shop=TellingShop) as h:
        shop = dubai(h)
        number = shop.buy("BAG-1")
        await h.supervisor.polls.poll("dubai")
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        first = shop.orders[number].version
        shop.change(number, open_quantity=0, taken_quantity=0)
        same_second = first.replace(microsecond=999_999)
        shop.orders[number] = replace(shop.orders[number], version=same_second)
        await h.supervisor.polls.poll("dubai")
        await h.until(lambda: total(h.org.of("order:")) == (0, 0))


async def test_many_changed_orders_are_read_by_the_list() -> None:
    """One call for each would cost more than the pages that hold them all."""
    async with house({BAG: 20}, make_shop=TellingShop) as h:
        shop = dubai(h)
        first = shop.buy("BAG-1")
        some_minutes_ago(shop, first)
        await h.supervisor.polls.poll("dubai")
        for _ in range(8):
            shop.buy("BAG-1")
        shop.read_before()
        await h.supervisor.polls.poll("dubai")
        assert shop.read_before() == (1, 0)
        await h.until(lambda: total(h.org.of("order:")) == (0, 9))


async def test_where_units_may_change_their_location_every_order_is_read() -> None:
    """No order's time tells that its units are sent from elsewhere now."""
    async with house({BAG: 5}, make_shop=TellingShop) as h:
        shop = dubai(h)
        some_minutes_ago(shop, shop.buy("BAG-1"))
        await h.supervisor.polls.poll("dubai")
        shop.ability = replace(shop.ability, routes=True)
        shop.read_before()
        await h.supervisor.polls.poll("dubai")
        whole, _ = shop.read_before()  # where the list names no location, the order is asked for it besides
        assert whole == 1
