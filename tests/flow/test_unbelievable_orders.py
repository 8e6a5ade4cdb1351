"""Orders that cannot be true: set aside whole with advice, entered when a person says so, and never lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.flow.kit import House, house

from sfsync.domain.letters import Cause, cause_of
from sfsync.domain.orders import OrderLine, unreadable
from sfsync.flow.letters import Letters

BAG, TIE = "BAG-1|ECOM", "TIE-1|ECOM"
ODD = [
    ({"open_quantity": 1_000_000_000}, "1,000,000,000 ordered"),
    ({"open_quantity": 1_001}, "1,001 ordered, more than the 1,000"),
    ({"open_quantity": -2}, "less than nothing"),
    ({"open_quantity": 0, "fulfilled_quantity": 5_000}, "5,000 sent"),
    ({"returned_quantity": 5_000}, "5,000 returned"),
    ({"taken_quantity": -5_000}, "taken off its number"),
]


async def told(h: House) -> Any:
    await h.until_kept(lambda tx: tx.dead_letters())
    (letter,) = await h.store.read(lambda tx: tx.dead_letters())
    assert cause_of(letter.source, letter.key, letter.reason) is Cause.UNBELIEVED
    return letter


@pytest.mark.parametrize(("odd", "words"), ODD)
@pytest.mark.parametrize("way", ["webhook", "order list"])
async def test_an_order_that_cannot_be_true_moves_no_stock_and_hides_no_other(
    odd: dict[str, int], words: str, way: str
) -> None:
    """No line of it is entered; a letter tells which line, what, and what to do; the next one is served."""
    async with house({BAG: 5, TIE: 5}) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1")
        tie = OrderLine("2", "TIE-1", 1, taken_quantity=1)
        bag = replace(london.orders[number].lines[0], **odd)  # type: ignore[arg-type]  # quantities by name
        london.orders[number] = replace(london.orders[number], lines=(tie, bag))
        if way == "webhook":
            await h.deliver("london", number)
        else:
            await h.supervisor.polls.poll("london")
        letter = await told(h)
        assert f"order #{number}, line 2 ('BAG-1')" in letter.reason
        assert words in letter.reason
        assert letter.advice
        assert "TIE-1" in letter.payload
        await h.deliver("london", london.buy("TIE-1"))
        await h.shows("TIE-1", 4, 4)
        assert (h.org.numbers(BAG), h.org.numbers(TIE)) == ((5, 0), (5, 1))


async def test_an_order_that_is_corrected_is_entered_and_its_letter_goes() -> None:
    """A finger slipped, and the shop's people have seen it."""
    async with house({BAG: 5}) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1")
        right = london.orders[number]
        london.orders[number] = replace(right, lines=(replace(right.lines[0], open_quantity=10_000),))
        await h.deliver("london", number)
        await told(h)
        london.orders[number] = replace(right, version=h.clock.now())
        await h.deliver("london", number)
        await h.shows("BAG-1", 4, 4)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_what_an_order_said_before_it_became_unbelievable_holds() -> None:
    """One piece was sold; that somebody then typed 50,000 changes nothing until it is believed."""
    async with house({BAG: 5}) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1")
        await h.deliver("london", number)
        await h.shows("BAG-1", 4, 4)
        order = london.orders[number]
        lines = (replace(order.lines[0], open_quantity=50_000),)
        london.orders[number] = replace(order, version=h.clock.now(), lines=lines)
        await h.deliver("london", number)
        await told(h)
        assert h.org.numbers(BAG) == (5, 1)


async def test_a_large_order_that_is_true_is_entered_once_the_settings_allow_it_and_a_person_asks() -> None:
    """A house that sells to hotels: most_units is raised, the letter retried, and the order counts once."""
    async with house({BAG: 5_000}) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1", 2_000)
        await h.deliver("london", number)
        letter = await told(h)
        assert "raise most_units of london" in letter.advice
        plan = h.ctx.assortment.channels["london"]
        raised = {**h.ctx.assortment.channels, "london": replace(plan, most_units=2_000)}
        h.ctx.assortment.adopt(replace(h.ctx.assortment, channels=raised))
        for _ in range(2):
            (tried, *_) = await Letters(h.ctx).retry([letter.id], None)
            await h.supervisor.polls.poll("london")
            await h.until_kept(lambda tx: not tx.dead_letters())
        assert tried is not None
        await h.shows("BAG-1", 3_000, 3_000)
        assert h.org.numbers(BAG) == (5_000, 2_000)


async def test_an_order_in_the_list_that_cannot_be_read_is_told_and_hides_no_other() -> None:
    """It may be a sale: a person looks, and what is read later takes its letter away."""
    async with house({BAG: 5}) as h:
        london = h.shops["london"]
        number, other = london.buy("BAG-1"), london.buy("BAG-1")
        right = london.orders[number]
        broken = unreadable("london", number, "it cannot be read: the quantity 1.5 is no number")
        london.orders = {number: replace(broken, version=right.version), other: london.orders[other]}
        await h.supervisor.polls.poll("london")
        assert "the quantity 1.5" in (await told(h)).reason
        await h.shows("BAG-1", 3, 4)
        london.orders[number] = right
        await h.supervisor.polls.poll("london")
        await h.shows("BAG-1", 3, 3)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
