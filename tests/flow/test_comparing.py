"""Channels that take a number with the one believed in, and no changes: nothing goes over an unseen sale."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.flow.kit import HastyClock, House, LittleShop, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.ports import PushAnswer, Write

BAG = "BAG-1|ECOM"


class ComparingShop(LittleShop):
    """It compares, and remembers no keys: a push that comes again is known by its bytes."""

    def __init__(
        self, clock: HastyClock, name: str, shelf: Mapping[str, int], *, batch_rows: int = 250
    ) -> None:
        super().__init__(clock, name, shelf, batch_rows=batch_rows)
        self.ability = replace(self.ability, relative=False, key_life_seconds=0.0)
        self.slips = 0  # units by which something else changes its number while we write, and it says so
        self.done: set[bytes] = set()

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        assert all(write.delta is None and write.compare is not None for write in writes)
        return json.dumps([key, [[write.sku, write.quantity, write.compare] for write in writes]]).encode()

    def _push(self, body: bytes) -> PushAnswer:
        rows = json.loads(body)[1]
        if body in self.done:
            return PushAnswer(applied=True)
        stale = frozenset(n for n, (sku, _, believed) in enumerate(rows) if self.shelf[sku] != believed)
        if stale:
            return PushAnswer(applied=False, stale_rows=stale)
        self.done.add(body)
        slip, self.slips = self.slips, 0
        for sku, quantity, _ in rows:
            self.shelf[sku] = quantity + slip
        return PushAnswer(applied=True, stale_rows=frozenset(range(len(rows))) if slip else frozenset())


def numbers(shop: LittleShop) -> list[list[Any]]:
    """The rows of every push that was tried."""
    return [row for body in shop.sent for row in json.loads(body)[1]]


async def test_a_number_goes_with_the_one_believed_in() -> None:
    """Up and down alike."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=ComparingShop) as h:
        await h.shows("BAG-1", 5)
        h.org.move(BAG, -2)
        await h.shows("BAG-1", 3)
        assert numbers(h.shops["boutique"]) == [["BAG-1", 5, 0], ["BAG-1", 3, 5]]


async def test_an_unseen_sale_stops_the_push_and_is_read_first() -> None:
    """A sale that no webhook told of, then one at the till: both are taken off, and no unit comes back."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=ComparingShop) as h:
        await h.shows("BAG-1", 5)
        await h.let_a_minute_pass()
        boutique = h.shops["boutique"]
        number = boutique.buy("BAG-1")
        before = len(boutique.sent)
        h.org.move(BAG, -2)
        await h.shows("BAG-1", 2)
        assert all(quantity <= 4 for _, quantity, _ in numbers(boutique)[before:])
        await h.until(lambda: h.org.numbers(BAG) == (3, 1))
        assert total(h.org.of(f"order:boutique:{number}")) == (0, 1)


async def test_what_changed_while_we_wrote_is_read_again() -> None:
    """The shop has written the number and says that something else moved too: what it shows is mended."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=ComparingShop) as h:
        await h.shows("BAG-1", 5)
        boutique = h.shops["boutique"]
        assert isinstance(boutique, ComparingShop)
        boutique.slips = 1
        h.org.move(BAG, -1)
        await h.until(lambda: ["BAG-1", 4, 5] in numbers(boutique) and boutique.shelf["BAG-1"] == 4)
        assert boutique.slips == 0


async def test_an_unknown_outcome_is_asked_again_with_the_same_bytes() -> None:
    """A number has the same effect twice: it needs no key, and is not given up for want of one."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=ComparingShop) as h:
        await h.shows("BAG-1", 5)
        boutique = h.shops["boutique"]
        before = len(boutique.sent)
        boutique.next.extend(["lost", "reply lost"])
        h.org.move(BAG, -1)
        await h.until(lambda: len(boutique.sent) == before + 3)
        await h.shows("BAG-1", 4)
        assert len(set(boutique.sent[before:])) == 1


async def busy_hour(h: House, seed: int) -> None:
    """Shoppers buy while the till sells; half of the webhooks are lost."""
    luck, boutique = random.Random(seed), h.shops["boutique"]
    for _ in range(20):
        await h.let_a_minute_pass()
        if luck.random() < 0.6 and boutique.shelf["BAG-1"] > 0:
            number = boutique.buy("BAG-1")
            if luck.random() < 0.5:
                await h.deliver("boutique", number)
        on_hand, reserved = h.org.numbers(BAG)
        if luck.random() < 0.5 and on_hand - reserved > 4:
            h.org.move(BAG, -1)


@pytest.mark.parametrize("guarantee", [Guarantee.MIRRORED, Guarantee.ALLOCATED])
async def test_whatever_meets_whatever_org_and_shop_agree_in_the_end(guarantee: Guarantee) -> None:
    """Sales at the shop, at the till, webhooks lost: nobody is promised what is not there."""
    rules = [PolicyRule(("*",), guarantee=guarantee)]
    async with house({BAG: 30}, shops=("boutique",), make_shop=ComparingShop, rules=rules) as h:
        boutique = h.shops["boutique"]
        await h.until(lambda: boutique.shelf["BAG-1"] > 0)
        await busy_hour(h, seed=6)
        for number in boutique.orders:
            await h.deliver("boutique", number, event=f"at last {number}")

        def settled() -> bool:
            on_hand, reserved = h.org.numbers(BAG)
            ours = total(h.org.of("order:boutique:"))[1]
            held = total(h.org.of("allocation:boutique:"))[1]
            free = held if guarantee is Guarantee.ALLOCATED else on_hand - reserved
            return ours == len(boutique.orders) and boutique.shelf["BAG-1"] == free and on_hand >= reserved

        await h.until(settled, of=lambda: (h.org.numbers(BAG), boutique.shelf))
