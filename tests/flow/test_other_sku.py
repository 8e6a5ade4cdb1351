"""A line that comes to name another SKU: it was corrected at the channel, or at the org's product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.flow.kit import House, house
from tests.flow.test_org_orders import RULES, order, shared

from sfsync.domain.incidents import OVERSOLD
from sfsync.domain.letters import Cause, cause_of
from sfsync.domain.org_orders import OrgItem
from sfsync.domain.stock import LevelKey

BAG, OTHER = "BAG-1|ECOM", "BAG-2|ECOM"


async def now_says(h: House, number: str, **line: Any) -> None:
    """Dubai tells its order anew, with this of its line changed."""
    dubai = h.shops["dubai"]
    said = dubai.orders[number]
    dubai.orders[number] = replace(said, version=h.clock.now(), lines=(replace(said.lines[0], **line),))
    await h.deliver("dubai", number)
    await h.idle()


async def sold(h: House, units: int = 1) -> str:
    number = h.shops["dubai"].buy("BAG-1", units)
    await h.deliver("dubai", number)
    await h.until(lambda: h.org.numbers(BAG)[1] == units)
    await h.idle()
    return number


async def test_a_line_whose_sku_is_corrected_has_the_right_goods_and_keeps_no_others() -> None:
    """The order named the wrong bag, and its shop corrects it: that one is free again, the right one sent."""
    async with house({BAG: 5, OTHER: 5}) as h:
        number = await sold(h, 2)
        await now_says(h, number, sku="BAG-2")
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((5, 0), (5, 2))
        await h.shows("BAG-1", 5, 5)
        await now_says(h, number, open_quantity=0, fulfilled_quantity=2)
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((5, 0), (3, 0))
        assert await h.store.read(lambda tx: (tx.incidents(), tx.dead_letters())) == ([], [])


async def test_what_is_sent_as_its_sku_is_corrected_left_as_the_right_goods() -> None:
    """Corrected and sent between two readings: the bag of the wrong name is on its shelf, and free."""
    async with house({BAG: 5, OTHER: 5}) as h:
        number = await sold(h)
        await now_says(h, number, sku="BAG-2", open_quantity=0, fulfilled_quantity=1)
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((5, 0), (4, 0))


async def test_the_wrong_goods_are_given_up_though_the_right_ones_are_not_there() -> None:
    """Nobody is sent the wrong bag: it is for sale, and a person is told that the right one is missing."""
    async with house({BAG: 1, OTHER: 0}) as h:
        number = await sold(h)
        await now_says(h, number, sku="BAG-2")
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((1, 0), (0, 0))
        incidents = await h.store.read(lambda tx: tx.incidents())
        assert [(each.kind, each.title) for each in incidents] == [
            (OVERSOLD, "1 of BAG-2 sold at dubai that no stock covers")
        ]
        h.org.move(OTHER, on_hand=1)
        await h.until(lambda: h.org.numbers(OTHER) == (1, 1))
        await h.until_kept(lambda tx: not tx.incidents())


async def test_a_line_that_asked_in_vain_asks_anew_for_the_right_goods() -> None:
    """The wrong bag was not to be had. Of the right one, one has come in that nobody has told of yet."""
    async with house({BAG: 0, OTHER: 0}) as h:
        h.shops["dubai"].shelf["BAG-1"] = 1
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.until_kept(lambda tx: tx.incidents())
        h.org.move(OTHER, on_hand=1, told=False)
        await now_says(h, number, sku="BAG-2")
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((0, 0), (1, 1))
        await h.until_kept(lambda tx: not tx.incidents())


async def test_what_the_org_does_not_know_takes_nothing_away_yet() -> None:
    """Dubai calls the bag otherwise before the org does: it stays promised under the name that is known."""
    async with house({BAG: 1}) as h:
        number = await sold(h)
        await now_says(h, number, sku="BAG-9")
        assert h.org.numbers(BAG) == (1, 1)
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert cause_of(letter.source, letter.key, letter.reason) is Cause.NO_LEVEL


async def test_what_has_left_under_another_sku_is_a_persons_to_look_at_once() -> None:
    """Sent, and renamed afterwards: nobody here knows which bag left, so it is told and not guessed."""
    async with house({BAG: 5, OTHER: 5}) as h:
        number = await sold(h, 2)
        await now_says(h, number, open_quantity=1, fulfilled_quantity=1)
        await now_says(h, number, sku="BAG-2")
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((4, 0), (5, 1))
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert cause_of(letter.source, letter.key, letter.reason) is Cause.OTHER_SKU
        assert letter.reason.endswith("1 of 'BAG-1' left for a line that now names 'BAG-2'")
        await h.store.write(lambda tx: tx.drop_dead_letter(letter.source, letter.key))
        await now_says(h, number, open_quantity=0, fulfilled_quantity=2)
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((4, 0), (4, 0))
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_a_sku_that_is_corrected_at_its_product_moves_the_promise() -> None:
    """The product's SKU was mistyped in the org: the order item now is about another bag."""
    async with house({BAG: 5, OTHER: 5}, shared=shared(), org_rules=RULES) as h:
        said = order(h)
        h.org.sells(said)
        await h.until(lambda: h.org.numbers(BAG) == (5, 1))
        h.org.sells(replace(said, items=[OrgItem("802A", "BAG-2", 1)]))
        await h.until(lambda: h.org.numbers(OTHER) == (5, 1))
        await h.idle()
        assert h.org.numbers(BAG) == (5, 0)
        assert (await h.store.read(lambda tx: tx.newest_holders([LevelKey.parse(BAG)], 5)))[1] == 0
