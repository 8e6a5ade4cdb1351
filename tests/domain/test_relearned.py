"""What is learned of whoever holds units from nothing but the org's rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.relearned import (
    LEARNED,
    channel_of,
    line_of_reservation,
    open_subjects,
    order_of,
    reservation,
)
from sfsync.domain.reservations import Reservation, ReservationKind, ReservationLine, ReservationState, asks
from sfsync.domain.stock import LevelKey, Movement, MovementKind

ECOM, TOWN = LevelKey("BAG", "ECOM", None), LevelKey("BAG", "TOWN", None)
THEN, NOW = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)


def row(
    subject: str, reserved: int, *, level: LevelKey = ECOM, kind: MovementKind = MovementKind.CART
) -> Movement:
    return Movement(f"{subject}:0", subject, level, kind, 0, reserved, "cart 7", "for london", THEN)


def test_who_holds_units_is_found_by_what_their_rows_add_up_to() -> None:
    """Held, given back, moved to town; of the till's and of people's rows nobody is the owner."""
    rows = [
        row("reservation:held:0", 1),
        row("reservation:over:0", 1),
        row("reservation:over:0", -1),
        row("reservation:moved:0", 1),
        row("reservation:moved:0", -1),
        row("reservation:moved:0", 1, level=TOWN),
        row("order:london:7:1", 2),
        row("allocation:london:BAG|ECOM", 3),
        row("posting:till 9", 1),
        row("", 1),
        row("unnamed:BAG|ECOM", -1),
    ]
    assert open_subjects(rows) == {
        "reservation:held:0",
        "reservation:moved:0",
        "order:london:7:1",
        "allocation:london:BAG|ECOM",
    }


@pytest.mark.parametrize(
    ("subject", "channel", "order", "line"),
    [
        ("order:london:gid://7:1", "london", "gid://7", None),
        ("order:london:7:1", "london", "7", None),
        ("order:london:7~abc", "london", None, None),
        ("order:london:7:1~abc", "london", None, None),
        ("allocation:dubai:BAG|ECOM", "dubai", None, None),
        ("reservation:a-b:12", None, None, ("a-b", 12)),
        ("reservation:a-b:x", None, None, None),
        ("reservation:a-b", None, None, None),
        ("posting:london:7", None, None, None),
        ("", None, None, None),
    ],
)
def test_a_subject_says_whose_it_is(
    subject: str, channel: str | None, order: str | None, line: tuple[str, int] | None
) -> None:
    """The channel, the order, the reservation: as far as the subject is whole."""
    assert (channel_of(subject), order_of(subject), line_of_reservation(subject)) == (channel, order, line)


@pytest.mark.parametrize(
    ("kind", "movement", "days"),
    [
        (ReservationKind.CART, MovementKind.CART, 1),  # it may be paid for, and its order on its way
        (ReservationKind.ORDER, MovementKind.ORDER, 1),
        (ReservationKind.PICK_UP, MovementKind.PICK_UP, 3),
        (ReservationKind.CLIENT, MovementKind.CLIENT, 7),
    ],
)
def test_a_reservation_learned_again_is_the_one_that_was_asked_for(
    kind: ReservationKind, movement: MovementKind, days: int
) -> None:
    """Kind, owner, channel, units come back from its rows; it lives as its kind does, and a day at least."""
    before = Reservation(
        "r",
        ReservationState.GRANTED,
        kind,
        "london",
        "cart 7",
        (ReservationLine(ECOM, 2), ReservationLine(TOWN, 1)),
        THEN,
        THEN,
    )
    rows = asks(before, [0, 0], THEN)
    assert [each.kind for each in rows] == [movement, movement]
    learned = reservation("r", {number: [each] for number, each in enumerate(rows)}, NOW)
    assert learned is not None
    assert (learned.id, learned.kind, learned.channel, learned.owner) == ("r", kind, "london", "cart 7")
    assert (learned.lines, learned.created_at) == (before.lines, THEN)
    assert (learned.state, learned.reason) == (ReservationState.GRANTED, LEARNED)
    assert learned.expires_at == NOW + timedelta(days=days)


def test_a_line_that_an_order_took_over_stays_a_line_of_no_units() -> None:
    """So that the lines after it keep their subjects."""
    rows = {2: [row("reservation:r:2", 1), row("reservation:r:2", -1), row("reservation:r:2", 1, level=TOWN)]}
    learned = reservation("r", rows, NOW)
    assert learned is not None
    assert [(line.level, line.quantity) for line in learned.lines] == [(TOWN, 0), (TOWN, 0), (TOWN, 1)]
    assert learned.subjects()[2] == "reservation:r:2"


def test_what_holds_nothing_is_no_reservation() -> None:
    """Released before the store was lost."""
    assert reservation("r", {0: [row("reservation:r:0", 1), row("reservation:r:0", -1)]}, NOW) is None


def test_one_for_no_channel_is_for_none_again() -> None:
    """A boutique's own client."""
    own = Reservation(
        "r",
        ReservationState.GRANTED,
        ReservationKind.CLIENT,
        None,
        "Ms A",
        (ReservationLine(TOWN, 1),),
        THEN,
        NOW,
    )
    learned = reservation("r", {0: asks(own, [0], THEN)}, NOW)
    assert learned is not None
    assert (learned.channel, learned.owner) == (None, "Ms A")
