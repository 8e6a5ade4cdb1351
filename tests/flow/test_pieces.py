"""One of one in the house: pieces that all channels offer, and that each is sold once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.kit import house

from sfsync.domain.assortment import SharedOrders
from sfsync.domain.reservations import ReservationKind, ReservationState, Wish, WishedLine
from sfsync.domain.sources import Source

PIECES = {"BAG|VAULT|A-1": 1, "BAG|VAULT|B-2": 1, "BAG|TOWN|C-3": 1}
State = ReservationState


async def test_three_pieces_are_three_to_the_channels_and_each_is_sold_once() -> None:
    """Five shoppers ask at once: three get a piece each, no piece twice, and nobody is told of a fourth."""
    async with house(PIECES, shelf={"BAG": 0}) as h:
        await h.shows("BAG", 3, 3)
        outcomes = await asyncio.gather(*(h.reserve("BAG") for _ in range(5)))
        granted = [o.reservation for o in outcomes if o.reservation and o.reservation.state is State.GRANTED]
        held = sorted(str(line.level) for each in granted for line in each.lines)
        assert held == sorted(PIECES)
        assert all(h.org.numbers(piece) == (1, 1) for piece in PIECES)
        await h.shows("BAG", 0, 0)


async def test_a_client_who_wants_number_two_gets_number_two_or_nothing() -> None:
    """Another piece of the same bag is no answer; and nobody fetches two pieces in two places."""
    async with house(PIECES) as h:

        async def ask(
            units: int = 1, unit: str | None = None, kind: ReservationKind = ReservationKind.PICK_UP
        ) -> State:
            line = WishedLine("BAG", units, unit=unit)
            wish = Wish(kind, "london", "cart", (line,), timedelta(minutes=15))
            reservation = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
            assert reservation is not None
            return reservation.state

        assert await ask(unit="B-2") is State.GRANTED
        assert h.org.numbers("BAG|VAULT|B-2") == (1, 1)
        assert await ask(unit="B-2") is State.REFUSED
        assert await ask(units=2) is State.REFUSED  # two are left, but nowhere two together
        assert await ask(units=3) is State.REFUSED
        outcome = await h.reserve("BAG", 3)
        assert outcome.available == {"BAG": {"VAULT": 1, "TOWN": 1}}
        assert (
            await ask(units=2, kind=ReservationKind.CART) is State.GRANTED
        )  # what is sent may come from both


@pytest.mark.parametrize(
    ("stock", "bound"),
    [
        ({"BAG-1|ECOM|A": 1, "BAG-1|ECOM|B": 1}, WishedLine("BAG-1", 1, None, "A")),
        ({"BAG-1|ECOM": 1, "BAG-1|VAULT": 1}, WishedLine("BAG-1", 1, "ECOM")),
    ],
    ids=["a piece", "a location"],
)
async def test_who_takes_any_leaves_the_one_that_is_asked_for_by_name(
    stock: Mapping[str, int], bound: WishedLine
) -> None:
    """Any bag, and this one: there are two, and the first line does not take the second one's."""
    async with house(stock) as h:
        lines = (WishedLine("BAG-1", 1), bound)
        wish = Wish(ReservationKind.CART, "london", "cart 7", lines, timedelta(minutes=9))
        asked = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert asked is not None
        assert asked.state is ReservationState.GRANTED
        free, named = [line.level for line in asked.lines]
        assert (named.unit, named.location) == (bound.unit, "ECOM")
        assert free != named


async def test_an_order_for_a_bag_gets_a_piece_and_its_return_is_that_piece() -> None:
    """Sold on the site without a number, sent, and brought back: it waits in returns under its number."""
    shared = {"london": SharedOrders(Source.CHANNEL, returns_to="RETURNS")}
    async with house(PIECES, shared=shared) as h:
        number = h.shops["london"].buy("BAG", 2)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG|VAULT|A-1") == (1, 1) == h.org.numbers("BAG|VAULT|B-2"))
        h.shops["london"].change(number, open_quantity=0, fulfilled_quantity=2)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG|VAULT|A-1") == (0, 0) == h.org.numbers("BAG|VAULT|B-2"))
        h.shops["london"].change(number, returned_quantity=2)
        await h.deliver("london", number)
        await h.idle()
        assert h.org.numbers("BAG|RETURNS|A-1") == (1, 0) == h.org.numbers("BAG|RETURNS|B-2")
        assert "BAG|RETURNS" not in map(str, h.org.keys.values())
        await h.shows("BAG", 1, 1)


async def test_the_shop_names_the_piece_later_and_the_reservation_gives_way_to_it() -> None:
    """The cart held number one; the shop packs number two. Both are set right without a gap."""
    async with house(PIECES) as h:
        reservation = (await h.reserve("BAG")).reservation
        assert reservation is not None
        assert h.org.numbers("BAG|VAULT|A-1") == (1, 1)
        shop = h.shops["london"]
        number = shop.buy("BAG", reservations=(reservation.id,))
        shop.orders[number] = replace(
            shop.orders[number], lines=(replace(shop.orders[number].lines[0], unit="B-2"),)
        )
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG|VAULT|B-2") == (1, 1))
        await h.until(lambda: h.org.numbers("BAG|VAULT|A-1") == (1, 0))
        await h.shows("BAG", 2, 2)


async def test_whoever_named_no_piece_gets_another_one_when_it_is_late_or_moved() -> None:
    """Paid after it expired, or wanted in town: another piece; the client of number one is told no."""
    async with house(PIECES) as h:
        late = (await h.reserve("BAG", life=timedelta(milliseconds=1))).reservation
        assert late is not None
        await h.until_kept(lambda tx: (r := tx.reservation(late.id)) and r.state is State.EXPIRED)
        await h.idle()
        line = WishedLine("BAG", 1, unit="A-1")
        wish = Wish(ReservationKind.CLIENT, "london", "C7", (line,), timedelta(days=1))
        named = (await h.desk.create(wish, idempotency_key=None, digest="")).reservation
        assert named is not None
        assert named.state is State.GRANTED
        paid = (await h.desk.confirm(late.id, "#1")).reservation
        assert paid is not None
        assert (paid.state, [str(line.level) for line in paid.lines]) == (State.CONFIRMED, ["BAG|VAULT|B-2"])
        moved = (await h.desk.move(late.id, "TOWN")).reservation
        assert moved is not None
        assert [str(line.level) for line in moved.lines] == ["BAG|TOWN|C-3"]
        assert [h.org.numbers(piece) for piece in PIECES] == [(1, 1), (1, 0), (1, 1)]
        refused = await h.desk.move(named.id, "TOWN")
        assert (refused.problem, refused.detail) == (
            "unknown-sku",
            "there is no stock level of 'BAG', unit 'A-1', at TOWN",
        )
