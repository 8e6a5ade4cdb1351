"""SKUs as people write them: what can be a name works, what cannot is refused by name and harms nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.flow.kit import house

from sfsync.domain.orders import OrderLine
from sfsync.domain.resync import Cause, Scope

GOOD = (
    "x/y",
    "with blank",
    "Größe ¾ 靴",
    'quoted "name"',
    "100% wool",
    "S" * 120,
    "حقيبة-1",  # written from the right
    "e\u0301te\u0301",  # with marks that combine
    "no\u00a0break",
    "../../etc",
    "<b>bag</b>",
    "'; drop table level; --",
)
BAD = ("L" * 200, "a|b", "no such thing")


async def test_names_with_slashes_blanks_and_other_alphabets_are_sold_and_shown_like_any_other() -> None:
    """In the org, at the shops, in orders and in pushes, to the letter."""
    async with house({f"{sku}|ECOM": 5 for sku in GOOD}) as h:
        for sku in GOOD:
            h.org.move(f"{sku}|ECOM", on_hand=-1)
            await h.deliver("london", h.shops["london"].buy(sku))
        for sku in GOOD:
            await h.shows(sku, 3, 3)
        await h.idle()
        assert [h.org.numbers(f"{sku}|ECOM") for sku in GOOD] == [(4, 1)] * len(GOOD)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


@pytest.mark.parametrize("sku", BAD, ids=["200 characters", "with a bar", "unknown"])
async def test_a_name_that_the_org_cannot_have_is_refused_by_name_and_written_nowhere(sku: str) -> None:
    """Its order is set aside with the name, its item is never written to, and the next order is served."""
    shelf = {"BAG-1": 5, sku: 7}
    async with house({"BAG-1|ECOM": 5}, shelf=shelf) as h:
        london = h.shops["london"]
        await h.deliver("london", london.buy(sku))
        await h.deliver("london", london.buy("BAG-1"))
        await h.shows("BAG-1", 4, 4)
        await h.until_kept(lambda tx: tx.dead_letters())
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert sku in f"{letter.reason} {letter.payload} {letter.key}"
        assert letter.advice
        plan = await h.supervisor.resync.compare(Scope(channels=("london",)))
        assert [(row.sku, row.cause, row.applicable) for row in plan.rows] == [(sku, Cause.NOT_IN_ORG, False)]
        assert not any(sku in body.decode() for shop in h.shops.values() for body in shop.sent)
        assert london.shelf[sku] == 6
        assert [key.sku for key in h.org.keys.values()] == ["BAG-1"]


@pytest.mark.parametrize("odd", ["\0", "\n", "\x1b", "\ud800", "\u2028"], ids=ascii)
async def test_a_name_with_a_character_that_nothing_can_keep_is_told_and_the_rest_of_its_order_is_served(
    odd: str,
) -> None:
    """NUL, a line end, half a character: the letter names it and its place; the other line is sold."""
    sku = f"BAG{odd}1"
    async with house({"BAG-1|ECOM": 5, "BAG|ECOM": 5}, shelf={"BAG-1": 5}) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1")
        lines = (*london.orders[number].lines, OrderLine("2", sku, 1, taken_quantity=1))
        london.orders[number] = replace(london.orders[number], name=f"#{odd}1", lines=lines)
        await h.deliver("london", number)
        await h.shows("BAG-1", 4, 4)
        await h.until_kept(lambda tx: tx.dead_letters())
        letters = await h.store.read(lambda tx: tx.dead_letters())
        assert [letter.key for letter in letters] == [f"order:london:{number}:2"]
        assert "its character no. 4, shown as \ufffd, is one that no SKU can have" in letters[0].reason
        assert "correct the SKU at london" in letters[0].advice
        assert h.org.numbers("BAG|ECOM") == (5, 0)


@pytest.mark.parametrize("odd", ["\0", "\x7f", "\ufffd"], ids=ascii)
async def test_an_item_whose_name_nothing_can_keep_is_told_and_left_alone(odd: str) -> None:
    """All other items of the channel are compared and written as ever."""
    shelf = {"BAG-1": 5, f"BAG{odd}1": 9}
    async with house({"BAG-1|ECOM": 5, "BAG|ECOM": 2}, shelf=shelf) as h:
        h.org.move("BAG-1|ECOM", on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.until_kept(lambda tx: len(tx.dead_letters()) == len(h.shops))
        letters = await h.store.read(lambda tx: tx.dead_letters())
        assert {(each.source, each.key) for each in letters} == {
            (name, "item:BAG\ufffd1") for name in h.shops
        }
        assert all(f"U+{ord(odd):04X}" in each.reason for each in letters)
        for shop in h.shops.values():
            assert shop.shelf[f"BAG{odd}1"] == 9
