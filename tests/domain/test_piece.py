"""The life of a one-of-one piece, told from the rows of its stock levels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.fold import Folded, LedgerRow
from sfsync.domain.piece import life
from sfsync.domain.stock import LevelKey, Movement, MovementKind

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORDER, CART, LONDON = "order:london:7:1", "reservation:r1:0", "allocation:london:BAG|VAULT|A-1"
K = MovementKind


def row(
    kind: MovementKind,
    subject: str,
    on_hand: int = 0,
    reserved: int = 0,
    *,
    place: str = "VAULT",
    after: float = 0,
    reference: str = "",
    folded: dict[str, Folded] | None = None,
) -> LedgerRow:
    """A row entered so many seconds after noon."""
    at = NOON + timedelta(seconds=after)
    level = LevelKey("BAG", place, "A-1")
    movement = Movement(f"{subject}:0", subject, level, kind, on_hand, reserved, reference, "", at)
    return LedgerRow("M1", movement, 1, at, by_sfsync=True, folded=folded)


def told(*rows: LedgerRow) -> list[tuple[str, int, int]]:
    """What, on hand, reserved of each event; subjects are called by their own names."""
    return [(event.what, event.on_hand, event.reserved) for event in life(rows, str)]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (row(K.OPENING, "", 1), "there at VAULT when its books began"),
        (row(K.RECEIPT, "posting:r", 1), "received at VAULT"),
        (row(K.SALE, "posting:s", -1), "sold at VAULT"),
        (row(K.SALE, CART, -1, -1), f"handed over at VAULT: {CART}"),
        (row(K.SALE, "posting:s", 1), "sale of +1 at VAULT"),
        (row(K.FULFILMENT, ORDER, -1, -1), f"sent from VAULT: sold under {ORDER}"),
        (row(K.RETURN, ORDER, 1), f"came back to VAULT from {ORDER}"),
        (row(K.RETURN, "posting:b", 1), "came back to VAULT"),
        (row(K.TRANSFER, "posting:t", -1), "left VAULT"),
        (row(K.TRANSFER, "posting:t", 1), "arrived at VAULT"),
        (row(K.ADJUSTMENT, "transfer:t", -1), "lost on its way, at VAULT"),
        (row(K.ADJUSTMENT, "late:posting:s", 1), "taken back at VAULT: a count had seen it already"),
        (row(K.ADJUSTMENT, "", -1), "adjustment of -1 at VAULT"),
        (row(K.COUNT, "count:c", 0), "counted at VAULT: as the books say"),
        (row(K.COUNT, "count:c", -1), "counted at VAULT: 1 less than the books said"),
        (row(K.COUNT, "count:c", 1), "counted at VAULT: 1 more than the books said"),
        (row(K.ORDER, ORDER, 0, 1), f"promised at VAULT to {ORDER}"),
        (row(K.CLIENT, CART, 0, 1), f"reserved at VAULT by {CART}"),
        (row(K.CLIENT, "", 0, 1), "reserved at VAULT by somebody in the org"),
        (row(K.ALLOCATION, LONDON, 0, 1), "set aside at VAULT for london"),
        (row(K.RELEASE, CART, 0, -1), f"given back at VAULT by {CART}"),
        (row(K.VOID, CART), f"asked for in vain at VAULT by {CART}"),
    ],
)
def test_each_kind_of_movement_has_its_sentence(one: LedgerRow, words: str) -> None:
    """As a boutique would say it."""
    assert told(one) == [(words, one.movement.on_hand_delta, one.movement.reserved_delta)]


def test_what_one_step_enters_is_one_event() -> None:
    """A transfer, a reservation moved elsewhere, one that became an order, one handed over under it."""
    assert told(
        row(K.TRANSFER, "transfer:t", -1), row(K.TRANSFER, "transfer:t", 1, place="TOWN", after=0)
    ) == [("moved from VAULT to TOWN", 0, 0)]
    assert told(row(K.CLIENT, CART, 0, 1, place="TOWN"), row(K.RELEASE, CART, 0, -1)) == [
        (f"kept at TOWN instead of VAULT for {CART}", 0, 0)
    ]
    assert told(row(K.RELEASE, CART, 0, -1, reference="#7"), row(K.ORDER, ORDER, 0, 1, reference="#7")) == [
        (f"promised at VAULT to {ORDER}, out of {CART}", 0, 0)
    ]
    assert told(
        row(K.ALLOCATION, LONDON, 0, 1, reference="#7"), row(K.RELEASE, ORDER, 0, -1, reference="#7")
    ) == [(f"set aside at VAULT for london, out of {ORDER}", 0, 0)]
    assert told(row(K.SALE, CART, -1, reference="R9"), row(K.RELEASE, ORDER, 0, -1, reference="R9")) == [
        (f"handed over at VAULT: {ORDER}", -1, -1)
    ]


def test_what_only_happens_in_the_same_second_is_not_one_event() -> None:
    """One client gives it back and another takes it; a cart that was reserved and released at once."""
    back, other = (
        row(K.RELEASE, CART, 0, -1, reference="A"),
        row(K.CLIENT, "reservation:r2:0", 0, 1, reference="B"),
    )
    assert len(told(back, other)) == 2
    assert len(told(row(K.CART, CART, 0, 1), row(K.RELEASE, CART, 0, -1))) == 2
    assert len(told(row(K.RELEASE, CART, 0, -1), row(K.ORDER, ORDER, 0, 1, after=60))) == 2
    assert len(told(row(K.CLIENT, "", 0, 1), row(K.RELEASE, "", 0, -1, place="TOWN"))) == 2


def test_a_life_is_told_in_order_of_time_whatever_level_a_row_is_of() -> None:
    """Received in the vault, sent to town, sold there."""
    sold = row(K.SALE, "posting:s", -1, place="TOWN", after=90)
    sent = (
        row(K.TRANSFER, "transfer:t", -1, after=60),
        row(K.TRANSFER, "transfer:t", 1, place="TOWN", after=60),
    )
    received = row(K.RECEIPT, "posting:r", 1)
    events = life([sold, sent[1], received, sent[0]], str)
    assert [event.what for event in events] == [
        "received at VAULT",
        "moved from VAULT to TOWN",
        "sold at TOWN",
    ]
    assert [event.places for event in events] == [("VAULT",), ("VAULT", "TOWN"), ("TOWN",)]


def test_of_folded_movements_it_is_told_whose_they_were() -> None:
    """The day is gone; that it went to order 7 and came back is not."""
    sums = {"posting:r": Folded(1, 1), ORDER: Folded(3, -1)}
    (event,) = life([row(K.OPENING, "fold:BAG|VAULT|A-1", 0, folded=sums)], str)
    assert event.what == "older movements at VAULT, folded into one"
    assert event.folded == {"posting:r": 1, ORDER: -1}
