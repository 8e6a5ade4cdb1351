"""A channel says that a number has changed there: a reason to look, and never a number to believe."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from tests.flow.kit import House, LittleShop, house
from tests.flow.test_drift import told

from sfsync.domain.drift import Pace
from sfsync.flow.door import Door
from sfsync.flow.drift import DriftWatch
from sfsync.ports import ChannelItem, Delivery, LevelHint, Refused, TryLater


class TalkingShop(LittleShop):
    """It tells each of its numbers by webhook, and can be away."""

    away = False

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        if self.away:
            raise TryLater("the shop is away")
        async for page in super().items(skus):
            yield page

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        signed = super().receive(headers, body)
        return Delivery("levels", signed.dedup_key, body) if body.startswith(b"{") else signed

    def level_hint(self, delivery: Delivery) -> LevelHint | None:
        if delivery.topic != "levels":
            return None
        try:
            level = json.loads(delivery.body)
            return LevelHint(f"item {level['sku']}", "place 1", level["shows"])
        except (ValueError, KeyError) as error:
            raise Refused("the level cannot be read", advice="send it whole") from error


class Ear:
    """The house's door and drift watch, which hears of levels; waits for nothing to settle."""

    def __init__(self, h: House, settle: timedelta = timedelta(0)) -> None:
        self.watch = DriftWatch(h.ctx, h.supervisor.polls, h.supervisor.reconcile, Pace(settle=settle))
        self.door = Door(h.ctx, self.watch.hear)

    async def tell(self, body: str, channel: str = "london") -> bool:
        return await self.door.accept(channel, {"x-signature": f"signed {body}"}, body.encode())

    async def level(self, sku: str, shows: int | None) -> bool:
        return await self.tell(json.dumps({"sku": sku, "shows": shows}))


def talking(stock: Mapping[str, int]) -> AbstractAsyncContextManager[House]:
    return house(stock, shops=("london",), make_shop=TalkingShop)


async def test_an_edit_at_the_channel_is_found_as_soon_as_the_channel_tells_of_it() -> None:
    """The number is read, not believed: it told 8, and shows 9."""
    async with talking({"BAG|ECOM": 5, "TIE|ECOM": 5}) as h:
        ear = Ear(h)
        h.shops["london"].shelf["BAG"] = 9
        assert await ear.level("BAG", 8) is False  # nothing of it is stored
        assert await ear.watch.look_at_hints() == 1
        assert await told(ear.watch) == [("london", "BAG", 5, 9, "manual-edit")]
        assert await ear.watch.look_at_hints() == 0


async def test_the_echo_of_our_own_number_costs_no_call() -> None:
    """What it tells is what we hold."""
    async with talking({"BAG|ECOM": 5}) as h:
        ear, london = Ear(h), h.shops["london"]
        london.read.clear()
        await ear.level("BAG", 5)
        assert await ear.watch.look_at_hints() == 0
        assert not london.read.is_set()


async def test_a_sale_whose_order_has_come_explains_its_number() -> None:
    """The channel tells the lower number before its order; both are here when it is looked at."""
    async with talking({"BAG|ECOM": 5}) as h:
        ear, london = Ear(h), h.shops["london"]
        await ear.level("BAG", 4)
        london.buy("BAG")
        await h.supervisor.polls.poll("london")
        await h.shows("BAG", 4)
        london.read.clear()
        assert await ear.watch.look_at_hints() == 0
        assert not london.read.is_set()


async def test_a_number_waits_until_what_explains_it_has_had_time_to_come() -> None:
    """Told just now: not looked at before a minute has passed."""
    async with talking({"BAG|ECOM": 5}) as h:
        ear = Ear(h, settle=timedelta(minutes=1))
        h.shops["london"].shelf["BAG"] = 9
        await ear.level("BAG", 9)
        assert await ear.watch.look_at_hints() == 0
        h.clock.stopped_at = h.clock.now() + timedelta(minutes=2)
        assert await ear.watch.look_at_hints() == 1
        assert await told(ear.watch) == [("london", "BAG", 5, 9, "manual-edit")]


async def test_a_channel_that_does_not_answer_is_asked_again() -> None:
    """The hint is kept until it was looked into."""
    async with talking({"BAG|ECOM": 5}) as h:
        ear, london = Ear(h), h.shops["london"]
        assert isinstance(london, TalkingShop)
        london.shelf["BAG"] = 9
        await ear.level("BAG", 9)
        london.away = True
        assert await ear.watch.look_at_hints() == 0
        london.away = False
        assert await ear.watch.look_at_hints() == 1


async def test_an_item_that_we_do_not_write_is_nobodys_business() -> None:
    """A number of an item without a SKU of ours, and one that is not stocked there any more."""
    async with talking({"BAG|ECOM": 5}) as h:
        ear = Ear(h)
        await ear.level("FOREIGN", 3)
        assert await ear.watch.look_at_hints() == 0
        await ear.level("BAG", None)
        assert await ear.watch.look_at_hints() == 1  # it is looked for, and stands there as before
        assert await told(ear.watch) == []


async def test_a_level_that_cannot_be_read_is_told_once_and_stops_nothing() -> None:
    """Its order is taken in as ever."""
    async with talking({"BAG|ECOM": 5}) as h:
        ear = Ear(h)
        for _ in range(2):
            assert await ear.tell('{"sku": "BAG"}') is False
        reasons = [line["reason"] for line in h.logged if line["event"] == "webhook turned away"]
        assert reasons == ["the level cannot be read"]
        assert await ear.tell("an order") is True
