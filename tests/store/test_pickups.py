"""Pick-ups by boutique: what waits, what is paid, what the shop must confirm, who is overdue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sfsync.domain.orders import OrderLine
from sfsync.domain.reservations import (
    LONGEST,
    PickUpWindow,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
)
from sfsync.domain.stock import LevelKey
from sfsync.ports import LineState
from sfsync.store import Database
from sfsync.store.pickups import PickUps, pick_ups
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)


def reserved(
    number: str,
    *places: str,
    state: ReservationState = ReservationState.GRANTED,
    kind: ReservationKind = ReservationKind.PICK_UP,
    comes: float | None = None,
) -> Reservation:
    """A reservation of two units at each place; `comes` in so many hours, for an hour."""
    window = None if comes is None else PickUpWindow(NOW + comes * HOUR, NOW + (comes + 1) * HOUR)
    lines = tuple(ReservationLine(LevelKey("BAG", place), 2) for place in places)
    return Reservation(number, state, kind, "london", "anna", lines, NOW, None, window=window)


async def test_each_boutique_sees_what_waits_for_its_customers(store: Database) -> None:
    """Carts, what was collected and what was given back are none of it."""
    made = [
        reserved("1", "MAYFAIR", comes=3),
        reserved("2", "MAYFAIR", "KNIGHTSBRIDGE", state=ReservationState.CONFIRMED, comes=2),
        reserved("3", "MAYFAIR", state=ReservationState.AWAITING_STORE, comes=-9),
        reserved("4", "MAYFAIR"),
        reserved("5", "MAYFAIR", state=ReservationState.SETTLED, comes=1),
        reserved("6", "MAYFAIR", kind=ReservationKind.CART, comes=1),
        reserved("7", "SLOANE", state=ReservationState.RELEASED, comes=1),
    ]

    def write(tx: SqlTx) -> None:
        for each in made:
            tx.put_reservation(each)

    assert await store.read(lambda tx: pick_ups(tx, NOW)) == []
    await store.write(write)
    assert await store.read(lambda tx: pick_ups(tx, NOW)) == [
        PickUps("KNIGHTSBRIDGE", 1, 2, 0, 1, NOW + 2 * HOUR, 0),
        PickUps("MAYFAIR", 4, 8, 1, 1, NOW + 2 * HOUR, 1),
    ]


async def test_whom_nobody_has_come_for_is_found_when_the_time_that_was_said_is_over(store: Database) -> None:
    """Paid at a shop, and kept: until the window ends, or for as long as the longest reservation lasts."""
    ordered = ReservationState.ORDERED
    made = [
        reserved("1", "MAYFAIR", state=ordered, comes=1),
        reserved("2", "MAYFAIR", state=ordered),
        reserved("3", "MAYFAIR", state=ReservationState.CONFIRMED, comes=1),
    ]

    def write(tx: SqlTx) -> None:
        for each in made:
            tx.put_reservation(replace(each, found_at=NOW + HOUR))

    await store.write(write)
    for at, numbers in ((NOW + HOUR, []), (NOW + 2 * HOUR, ["1"]), (NOW + LONGEST, ["1", "2"])):
        found = await store.read(partial(SqlTx.unfetched, now=at))
        assert sorted(each.id for each in found) == numbers
        assert {each.found_at for each in found} <= {NOW + HOUR}


async def test_the_lines_that_were_sold_on_a_reservation_are_told_as_they_came(store: Database) -> None:
    """Of several orders of one reservation, who came first has it first: however often the others change."""
    lines = [
        LineState(
            f"order:london:{order}:1",
            "london",
            order,
            f"#{order}",
            OrderLine("1", "BAG", 1),
            NOW,
            NOW,
            "online",
        )
        for order in ("9", "1", "5")
    ]

    def write(tx: SqlTx) -> None:
        for line in lines:
            tx.put_line(replace(line, reservations=("r",)))
        tx.put_line(replace(lines[0], reservations=("r", "s"), uncovered=1))
        tx.put_line(replace(lines[1], subject="order:london:1:2", reservations=()))

    await store.write(write)
    for reservations, orders in (
        (["r"], ["9", "1", "5"]),
        (["s", "r"], ["9", "1", "5"]),
        (["s"], ["9"]),
        ([], []),
    ):
        found = await store.read(partial(SqlTx.lines_sold_on, reservations=reservations))
        assert [line.order_id for line in found] == orders
