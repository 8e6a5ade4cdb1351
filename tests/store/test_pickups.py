"""Pick-ups by boutique: what waits, what is paid, what the shop must confirm, who is overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sfsync.domain.reservations import (
    PickUpWindow,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
)
from sfsync.domain.stock import LevelKey
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
