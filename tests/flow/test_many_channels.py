"""Many channels: one that is slow, down or throttled is its own trouble, and bad news overtakes good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from tests.flow.kit import House, LittleShop, house

from sfsync.ports import ChannelItem, PushAnswer, TryLater

BAG, NEW = "BAG-1|ECOM", "NEW-1|ECOM"
MANY = 200
TROUBLED = ("c000", "c001", "c002")


class MoodyShop(LittleShop):
    """A storefront that can be told to keep its callers waiting, to be down, or to have them come back."""

    def __init__(self, *about: Any, **how: Any) -> None:
        super().__init__(*about, **how)
        self.shelf.setdefault("NEW-1", 0)
        self.mood = ""
        self.patient = asyncio.Event()  # whoever was kept waiting goes on
        self.turned_away = 0

    async def _meet_mood(self) -> None:
        if self.mood == "slow":
            await self.patient.wait()
        elif self.mood:
            self.turned_away += 1
            if self.mood == "down":
                raise TryLater("HTTP 503")
            raise TryLater("out of points", after_seconds=3600)

    async def push(self, body: bytes) -> PushAnswer:
        self.sent.append(body)
        await self._meet_mood()
        answer: PushAnswer = self.meet(lambda: self._push(body))
        return answer

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        await self._meet_mood()
        async for page in super().items(skus):
            yield page


def moody(h: House, name: str) -> MoodyShop:
    shop = h.shops[name]
    assert isinstance(shop, MoodyShop)
    return shop


def rows(body: bytes) -> list[list[Any]]:
    """SKU, change, and what it must show before."""
    found: list[list[Any]] = json.loads(body)[1]
    return found


async def test_two_hundred_channels_do_not_wait_for_one_that_is_slow_one_down_and_one_throttled() -> None:
    """A sale and a new SKU reach the others; the slow one is then told the newest only."""
    names = [f"c{number:03}" for number in range(MANY)]
    async with house({BAG: 9}, shops=names, make_shop=MoodyShop, patience_seconds=200) as h:
        slow, down, throttled = (moody(h, name) for name in TROUBLED)
        well = [shop for name, shop in h.shops.items() if name not in TROUBLED]
        slow.mood, down.mood, throttled.mood = "slow", "down", "throttled"
        for shop in h.shops.values():
            shop.sent.clear()

        h.org.move(BAG, on_hand=-1)
        await h.until(lambda: all(shop.shelf["BAG-1"] == 8 for shop in well))
        assert {len(shop.sent) for shop in well} == {1}
        await h.until(lambda: len(slow.sent) == 1 and down.turned_away and throttled.turned_away)

        h.org.move(BAG, on_hand=-2)
        await h.until(lambda: all(shop.shelf["BAG-1"] == 6 for shop in well))
        h.org.add(NEW, 4)
        h.org.move(NEW, on_hand=0)
        await h.until(lambda: all(shop.shelf["NEW-1"] == 4 for shop in well))
        assert [shop.shelf["BAG-1"] for shop in (slow, down, throttled)] == [9, 9, 9]
        assert len(slow.sent) == 1  # it is still at the first; nobody else was

        for shop in (slow, down):
            shop.mood = ""
        slow.patient.set()
        await h.until(lambda: [shop.shelf["BAG-1"] for shop in (slow, down)] == [6, 6])
        await h.until(lambda: [shop.shelf["NEW-1"] for shop in (slow, down)] == [4, 4])
        assert [row for row in rows(slow.sent[1]) if row[0] == "BAG-1"] == [["BAG-1", -2, None]]
        assert throttled.shelf["BAG-1"] == 9


async def test_sold_out_and_scarce_rows_overtake_whatever_waits_at_every_channel() -> None:
    """Forty SKUs wait to be raised behind a push; then one sells out and one falls: these go next."""
    deep = [f"DEEP-{number:02}" for number in range(40)]
    stock = {BAG: 1, "BELT|ECOM": 9, **{f"{sku}|ECOM": 50 for sku in deep}}
    names = [f"c{number:03}" for number in range(20)]
    async with house(stock, shops=names, make_shop=MoodyShop, batch_rows=2, patience_seconds=100) as h:
        shops = [moody(h, name) for name in names]
        for shop in shops:
            shop.mood = "slow"
            shop.sent.clear()
        for sku in deep:
            h.org.move(f"{sku}|ECOM", on_hand=10)
        await h.until(lambda: all(len(shop.sent) == 1 for shop in shops))
        h.org.move("BELT|ECOM", on_hand=-1)
        h.org.move(BAG, on_hand=-1)
        await h.until_kept(
            lambda tx: sum(level.target == 0 for level in tx.channel_levels({"BAG-1"})) == len(names)
        )
        await h.until_kept(
            lambda tx: sum(level.target == 8 for level in tx.channel_levels({"BELT"})) == len(names)
        )
        for shop in shops:
            shop.mood = ""
            shop.patient.set()
        await h.until(lambda: all(shop.shelf["DEEP-39"] == 60 for shop in shops))
        await h.idle()
        for shop in shops:
            first, second, *others = [[row[0] for row in rows(body)] for body in shop.sent]
            assert "BAG-1" not in first
            assert second == ["BAG-1", "BELT"]
            assert sorted(sku for push in (first, *others) for sku in push) == deep


async def test_a_channel_that_is_down_at_the_first_start_keeps_no_other_from_working() -> None:
    """The others are compared, sell, and learn of new SKUs; it is compared when it is back."""
    async with house({BAG: 5}, shops=("c000", "c001", "c002"), make_shop=MoodyShop) as h:
        await h.kill()
        h.forget_everything()
        down = moody(h, "c000")
        down.mood, well = "down", [moody(h, name) for name in ("c001", "c002")]
        await h.start()
        h.org.move(BAG, on_hand=-1)
        h.org.add(NEW, 4)
        h.org.move(NEW, on_hand=0)
        await h.until(lambda: [shop.shelf["BAG-1"] for shop in well] == [4, 4])
        await h.until(lambda: [shop.shelf["NEW-1"] for shop in well] == [4, 4])
        number = well[0].buy("BAG-1")
        await h.deliver("c001", number)
        await h.until(lambda: [shop.shelf["BAG-1"] for shop in well] == [3, 3])
        assert (down.shelf["BAG-1"], down.shelf["NEW-1"]) == (5, 0)
        down.mood = ""
        await h.until(lambda: (down.shelf["BAG-1"], down.shelf["NEW-1"]) == (3, 4))
        await h.idle()
