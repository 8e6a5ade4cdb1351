"""What was sold, or has left, counts although the org refuses its row: nobody else gets the same goods."""

from __future__ import annotations

from tests.flow.kit import House, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.incidents import NOT_ENTERED
from sfsync.flow.letters import Letters
from sfsync.ports import DeadLetter
from sfsync.store.tx import SqlTx

BAG = "BAG-1|ECOM"
DIVIDED = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)


async def refused(h: House) -> DeadLetter:
    """The only letter, once the org has refused the row that it is about and nothing else is to be done."""
    await h.until_kept(lambda tx: tx.dead_letters())
    await rests(h)
    letters: list[DeadLetter] = await h.store.read(lambda tx: tx.dead_letters())
    (letter,) = letters
    assert letter.source == "ledger"
    return letter


async def rests(h: House) -> None:
    """Wait until no line and no number is due, and whatever waits for the org has been refused by it."""

    def still(tx: SqlTx) -> bool:
        keys = [bundle.movements[0].key for bundle in tx.waiting_bundles(0)]
        told = {key for _, key in tx.with_dead_letter(keys)}
        return not (
            tx.inbox(1)
            or tx.due_lines(1)
            or set(keys) - told
            or any(tx.due(name, 1) or tx.open_pushes(name) for name in h.shops)
        )

    await h.until_kept(still)


async def not_entered(h: House) -> list[str]:
    """The titles of the open incidents of orders that the org refuses."""
    found = await h.store.read(lambda tx: tx.incidents())
    return [each.title for each in found if each.kind == NOT_ENTERED]


async def sold(h: House, shop: str = "london", units: int = 1) -> str:
    """A shop sells the bag and tells of it; the order's id."""
    number = h.shops[shop].buy("BAG-1", units)
    assert await h.deliver(shop, number)
    return number


async def test_a_sale_that_the_org_refuses_is_sold_nowhere_again() -> None:
    """One bag, London sells it, and a validation rule refuses the row: both shops show none."""
    async with house({BAG: 1}) as h:
        h.org.wrong.add("Order")
        await sold(h)
        await refused(h)
        await h.shows("BAG-1", 0, 0)
        assert await not_entered(h) == ["1 of BAG-1 sold at london that the org refuses to reserve: wrong"]


async def test_what_a_till_has_sold_is_shown_nowhere_although_the_org_refuses_the_sale() -> None:
    """The last bag leaves over the counter: it is gone, whatever the books say."""
    async with house({BAG: 1}) as h:
        h.org.wrong.add("Sale")
        h.org.till(BAG, -1, "receipt-1")
        await refused(h)
        await h.shows("BAG-1", 0, 0)
        assert await not_entered(h) == []


async def test_units_set_aside_for_a_channel_stay_sold_when_the_org_refuses_the_sale() -> None:
    """Of its own two Dubai sells one; the org keeps the row out, and Dubai goes on with the other alone."""
    async with house({BAG: 4}, rules=[DIVIDED]) as h:
        await h.shows("BAG-1", 2, 2)
        h.org.wrong.add("Order")
        await sold(h, "dubai")
        await refused(h)
        await h.shows("BAG-1", 2, 1)
        h.org.wrong.clear()
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        await Letters(h.ctx).retry([letter.id], None)
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        await h.idle()
        await h.shows("BAG-1", 2, 1)


async def test_a_sale_goes_in_when_its_letter_is_retried_and_its_incident_is_over() -> None:
    """The rule is corrected, and somebody says so: the bag is reserved once."""
    async with house({BAG: 5}) as h:
        h.org.wrong.add("Order")
        await sold(h)
        letter = await refused(h)
        (tried,) = await Letters(h.ctx).retry([letter.id], None)
        assert tried.done  # too early
        await h.until_kept(lambda tx: tx.dead_letters()[0].at > letter.at)
        h.org.wrong.clear()
        (tried,) = await Letters(h.ctx).retry([letter.id], None)
        assert tried.done
        await h.until_kept(lambda tx: not tx.dead_letters() and not tx.incidents())
        await h.idle()
        assert total(h.org.of("order:")) == (0, 1)
        await h.shows("BAG-1", 4, 4)


async def test_a_refused_sale_is_tried_again_at_each_start() -> None:
    """Nobody needs to remember it: a daemon that begins asks the org for all that it has not entered."""
    async with house({BAG: 5}) as h:
        h.org.wrong.add("Order")
        await sold(h)
        await refused(h)
        await h.stop()
        h.org.wrong.clear()
        await h.start()
        await h.until_kept(lambda tx: not tx.dead_letters() and not tx.incidents())
        assert total(h.org.of("order:")) == (0, 1)


async def test_an_order_that_was_refused_and_is_called_off_is_for_sale_again() -> None:
    """Its customer has changed her mind; nothing of it waits for the org any more."""
    async with house({BAG: 1}) as h:
        h.org.wrong.add("Order")
        number = await sold(h)
        await refused(h)
        await h.shows("BAG-1", 0, 0)
        h.shops["london"].change(number, open_quantity=0, taken_quantity=0)
        await h.deliver("london", number)
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        assert await h.store.read(lambda tx: (tx.dead_letters(), tx.incidents())) == ([], [])
        assert h.org.of("order:") == []


async def test_an_order_that_was_refused_and_becomes_smaller_goes_in_as_it_is_then() -> None:
    """Three were ordered and two are wanted: two are asked for, and never five."""
    async with house({BAG: 5}) as h:
        h.org.wrong.add("Order")
        number = await sold(h, units=3)
        letter = await refused(h)
        await h.shows("BAG-1", 2, 2)
        h.shops["london"].change(number, open_quantity=2, taken_quantity=2)
        await h.deliver("london", number)
        await h.until_kept(lambda tx: tx.dead_letters() and tx.dead_letters()[0].at > letter.at)
        await rests(h)
        await h.shows("BAG-1", 3, 3)
        assert await not_entered(h) == ["2 of BAG-1 sold at london that the org refuses to reserve: wrong"]
        h.org.wrong.clear()
        (now,) = await h.store.read(lambda tx: tx.dead_letters())
        await Letters(h.ctx).retry([now.id], None)
        await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        await h.idle()
        await h.shows("BAG-1", 3, 3)


async def test_a_refused_sale_whose_letter_is_dropped_counts_no_more() -> None:
    """Somebody has dealt with it, with a name and a reason: the shops show the bag again."""
    async with house({BAG: 1}) as h:
        h.org.wrong.add("Order")
        await sold(h)
        letter = await refused(h)
        await h.shows("BAG-1", 0, 0)
        await Letters(h.ctx).drop([letter.id], "Anna Kay", "entered by hand elsewhere")
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        assert await h.store.read(lambda tx: (tx.dead_letters(), tx.incidents())) == ([], [])


async def test_an_org_that_is_full_is_no_fault_of_a_sale() -> None:
    """Ten minutes of full storage: no letter, one red state, and all goes in by itself afterwards."""
    async with house({BAG: 5}) as h:
        h.org.full = True
        await sold(h)
        await h.until(lambda: h.pulse.org_error == "closed")
        await h.shows("BAG-1", 4, 4)
        assert await h.store.read(lambda tx: (tx.dead_letters(), tx.incidents())) == ([], [])
        h.org.full = False
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        await h.idle()
        await h.until(lambda: h.pulse.org_error == "")


async def test_what_every_row_meets_alike_is_told_of_the_org_and_goes_in_when_it_takes_one_again() -> None:
    """A rule of somebody's refuses all orders: after three of them it is not told order by order any more."""
    async with house({BAG: 9}) as h:
        h.org.wrong.add("Order")
        for count in (1, 2):
            await sold(h)
            await h.until_kept(lambda tx: len(tx.dead_letters()) == count)  # noqa: B023 — awaited at once
        await sold(h)
        await h.until(lambda: h.pulse.org_error == "wrong")
        assert len(await h.store.read(lambda tx: tx.dead_letters())) == 2
        await h.shows("BAG-1", 6, 6)
        h.org.wrong.clear()
        await h.until(lambda: total(h.org.of("order:")) == (0, 3))
        await h.idle()
        assert await h.store.read(lambda tx: (tx.dead_letters(), tx.incidents())) == ([], [])
        assert h.pulse.org_error == ""
