"""Reservations: what a storefront may ask for before it lets a customer pay.

The life of one::

    pending --granted by the org--> granted --customer paid--> confirmed --order seen--> settled
       |                               |                          |
       +--> refused                    +--> expired               +--> released
                                       +--> released
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from .stock import LevelKey, Movement, MovementKind, reservation_subject, step_key

LONGEST = timedelta(days=30)


class ReservationKind(StrEnum):
    """What the units are held for. The wire words; `KINDS` has the ledger's."""

    CART = "cart"
    ORDER = "order"
    PICK_UP = "pick-up"
    CLIENT = "client"


KINDS = {
    ReservationKind.CART: MovementKind.CART,
    ReservationKind.ORDER: MovementKind.ORDER,
    ReservationKind.PICK_UP: MovementKind.PICK_UP,
    ReservationKind.CLIENT: MovementKind.CLIENT,
}
DEFAULT_LIFE = {
    ReservationKind.CART: timedelta(minutes=15),
    ReservationKind.ORDER: timedelta(hours=24),
    ReservationKind.PICK_UP: timedelta(days=3),
    ReservationKind.CLIENT: timedelta(days=7),
}


class ReservationState(StrEnum):
    """Where a reservation is in its life."""

    PENDING = "pending"
    GRANTED = "granted"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    REFUSED = "refused"
    RELEASED = "released"
    EXPIRED = "expired"


OPEN = frozenset({ReservationState.PENDING, ReservationState.GRANTED, ReservationState.CONFIRMED})
HOLDING = frozenset({ReservationState.GRANTED, ReservationState.CONFIRMED})


@dataclass(frozen=True, slots=True)
class WishedLine:
    """Units of a SKU, anywhere in the channel's location group or at one location."""

    sku: str
    quantity: int
    location: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a party asks for. All lines or none."""

    kind: ReservationKind
    channel: str | None  # whose locations it may draw on; None: any, and then each line names its location
    owner: str
    lines: tuple[WishedLine, ...]
    life: timedelta


@dataclass(frozen=True, slots=True)
class ReservationLine:
    """One line: units of a SKU at the level chosen for it."""

    level: LevelKey
    quantity: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as we keep it."""

    id: str
    state: ReservationState
    kind: ReservationKind
    channel: str | None  # the channel whose customer it is for
    owner: str  # cart, order or client reference at the asking party
    lines: tuple[ReservationLine, ...]
    created_at: datetime
    expires_at: datetime | None  # None once confirmed
    reason: str = ""  # why refused
    order_reference: str = ""  # the order it was confirmed for

    def subjects(self) -> tuple[str, ...]:
        """The ledger subjects of its lines, in order."""
        return tuple(reservation_subject(self.id, number) for number in range(len(self.lines)))


def order_names(reference: str) -> tuple[str, ...]:
    """The ways in which a storefront may write one order: ``#1001``, ``1001``, or its id."""
    bare = reference.strip().removeprefix("#")
    return (bare, f"#{bare}") if bare else ()


def asks(reservation: Reservation, steps: Sequence[int], now: datetime) -> tuple[Movement, ...]:
    """The movements that ask the org for it; all or nothing. `steps` are the next numbers of its subjects.

    A reservation refused at one place is asked for at another; its void row may have the first number.
    """
    return tuple(
        Movement(
            step_key(subject, step),
            subject,
            line.level,
            KINDS[reservation.kind],
            0,
            line.quantity,
            reservation.owner,
            reservation.id,
            now,
        )
        for subject, step, line in zip(reservation.subjects(), steps, reservation.lines, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the desk answers: the reservation as it stands, or the problem that kept it from being so."""

    reservation: Reservation | None
    problem: str = ""  # not-found, unavailable, expired, key-reused, unknown-sku, later
    available: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # SKU -> location -> units
    detail: str = ""
