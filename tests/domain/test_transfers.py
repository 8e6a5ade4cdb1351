"""Goods between two locations, as a table: what each event enters, and where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sfsync.domain.stock import BadKeyError, MovementKind
from sfsync.domain.transfers import Stage, Transfer, movements

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


def transfer(stage: Stage, units: int = 3, **places: Any) -> Transfer:
    return Transfer("till-7/42", "T-1", stage, "BAG-1", units, NOW, **places)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (transfer(Stage.SENT, origin="ECOM"), [("ECOM", -3), ("IN-TRANSIT", 3)]),
        (transfer(Stage.RECEIVED, 2, target="DUBAI"), [("IN-TRANSIT", -2), ("DUBAI", 2)]),
        (transfer(Stage.MOVED, 1, origin="RETURNS", target="ECOM"), [("RETURNS", -1), ("ECOM", 1)]),
        (transfer(Stage.LOST, 1), [("IN-TRANSIT", -1)]),
        (transfer(Stage.LOST, -1), [("IN-TRANSIT", 1)]),  # one more arrived than was sent
    ],
)
def test_what_an_event_of_a_transfer_enters(event: Transfer, expected: list[tuple[str, int]]) -> None:
    """Location and change of on hand; nothing is ever reserved by it."""
    rows = movements(event, "IN-TRANSIT")
    assert [(row.level.location, row.on_hand_delta) for row in rows] == expected
    assert {row.reserved_delta for row in rows} == {0}
    assert {row.reference for row in rows} == {"T-1"}
    assert [row.key for row in rows] == [f"transfer:till-7/42:{step}" for step in range(len(rows))]
    assert rows[0].kind is (MovementKind.ADJUSTMENT if event.stage is Stage.LOST else MovementKind.TRANSFER)


@pytest.mark.parametrize(
    ("stage", "units", "places", "what"),
    [
        (Stage.SENT, 1, {}, "need the location that they leave"),
        (Stage.SENT, 1, {"origin": "A", "target": "B"}, "need the location that they leave"),
        (Stage.RECEIVED, 1, {"origin": "A"}, "need the location that they reach"),
        (Stage.MOVED, 1, {"origin": "A"}, "need the location that they leave and the one"),
        (Stage.MOVED, 1, {"origin": "A", "target": "A"}, "to itself"),
        (Stage.LOST, 1, {"origin": "A"}, "need no location"),
        (Stage.SENT, 0, {"origin": "A"}, "above 0"),
        (Stage.RECEIVED, -1, {"target": "A"}, "above 0"),
    ],
)
def test_a_transfer_that_makes_no_sense_is_none(
    stage: Stage, units: int, places: dict[str, str], what: str
) -> None:
    """Each says what it lacks."""
    with pytest.raises(ValueError, match=what):
        transfer(stage, units, **places)


def test_the_place_of_goods_on_their_way_is_no_end_of_a_transfer() -> None:
    """And a location that can be none is named."""
    with pytest.raises(ValueError, match="on their way"):
        movements(transfer(Stage.SENT, origin="IN-TRANSIT"), "IN-TRANSIT")
    with pytest.raises(BadKeyError, match="separates"):
        movements(transfer(Stage.SENT, origin="A|B"), "IN-TRANSIT")
