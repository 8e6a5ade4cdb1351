"""The store is lost, and a new one begins on the same org: whoever held units holds them, and is led on."""

from __future__ import annotations

from datetime import timedelta

from tests.flow.kit import house
from tests.flow.test_reservation_life import expiring

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.relearned import LEARNED
from sfsync.domain.reservations import ReservationState as State

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"
SCARVES = PolicyRule(("SCARF",), ("london",), Guarantee.ALLOCATED)


async def test_what_was_held_is_held_again_and_can_be_led_to_its_end() -> None:
    """A reservation, an open order, an allocation; and a sale of the time in which nothing ran."""
    async with house({BAG: 9, SCARF: 4}, rules=(SCARVES,)) as h:
        await h.shows("SCARF", 4, 0)
        held = await h.reserve("BAG-1", 2)
        assert held.reservation is not None
        number = held.reservation.id
        sold = h.shops["dubai"].buy("BAG-1", 3)
        await h.deliver("dubai", sold)
        await h.until(lambda: h.org.numbers(BAG) == (9, 5))
        await h.idle()
        await h.kill()
        h.forget_everything()
        unheard = h.shops["dubai"].buy("BAG-1")
        await h.start()
        await h.until(lambda: h.org.numbers(BAG) == (9, 6))
        await h.idle()

        found = await h.desk.get(number)
        assert found is not None
        assert (found.state, found.channel, found.owner, found.reason) == (
            State.GRANTED,
            "london",
            held.reservation.owner,
            LEARNED,
        )
        assert found.expires_at is not None
        assert found.expires_at >= h.clock.now() + timedelta(hours=23)
        assert [each.id for each in await h.desk.find(states=["granted"])] == [number]
        assert h.org.numbers(SCARF) == (4, 4)
        await h.shows("SCARF", 4, 0)
        assert len(h.org.of("allocation:")) == 1

        h.shops["dubai"].change(sold, open_quantity=0, fulfilled_quantity=3)
        await h.deliver("dubai", sold, "shipped")
        await h.until(lambda: h.org.numbers(BAG) == (6, 3))
        assert [row[1:] for row in h.org.of(f"order:dubai:{unheard}")] == [(0, 1)]
        released = await h.desk.release(number, "not wanted")
        assert released.reservation is not None
        await h.until(lambda: h.org.numbers(BAG) == (6, 1))
        await h.shows("BAG-1", 5, 5)


async def test_an_order_finds_the_reservation_that_was_learned_again() -> None:
    """Paid for before the store was lost; the order names the reservation, and takes over that very unit."""
    async with house({BAG: 1}, rules=(PolicyRule(("*",), guarantee=Guarantee.GATED),)) as h:
        held = await h.reserve("BAG-1")
        assert held.reservation is not None
        number = held.reservation.id
        await h.shows("BAG-1", 1, 0)
        await h.desk.confirm(number, "#1001")
        await h.kill()
        h.forget_everything()
        await h.start()
        await h.until_kept(lambda tx: tx.reservation(number))
        await h.idle()
        await h.shows("BAG-1", 1, 0)
        order = h.shops["london"].buy("BAG-1", reservations=(number,))
        await h.deliver("london", order)
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.SETTLED)
        assert h.org.numbers(BAG) == (1, 1)
        await h.shows("BAG-1", 0, 0)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_a_reservation_learned_again_expires_by_itself() -> None:
    """Nobody came for it: its units go back after the time that it was given."""
    async with house({BAG: 1}) as h:
        held = await h.reserve("BAG-1")
        assert held.reservation is not None
        number = held.reservation.id
        await h.kill()
        h.forget_everything()
        await h.start()
        await h.until_kept(lambda tx: tx.reservation(number))
        await h.idle()
        now = h.clock.now()
        await h.store.write(lambda tx: tx.put_reservation(expiring(tx.reservation(number), now)))
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.until(lambda: h.org.numbers(BAG) == (1, 0))
