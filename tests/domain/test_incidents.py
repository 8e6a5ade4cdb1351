"""The ways out of an incident: which there are, when one may wait, and what makes a click a second click."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain import incidents
from sfsync.domain.incidents import Waiting, Way, Wish, signed, taken_at, ways
from sfsync.domain.promises import Promise, at_stake
from sfsync.domain.relay import Proof, proof
from sfsync.domain.stock import LevelKey, Movement, MovementKind

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ECOM, MAYFAIR = LevelKey("BAG", "ECOM"), LevelKey("BAG", "MAYFAIR")
MOVE = Wish(Way.MOVE, "Anna Kay", "the customer is waiting", location="MAYFAIR")
CANCEL = Wish(Way.CANCEL, "Anna Kay", "none is left")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (incidents.OVERSOLD, (Way.MOVE, Way.WAIT, Way.CANCEL, Way.ACCEPT)),  # of units set aside alone
        (incidents.REWRITTEN, (Way.ACCEPT,)),
        (incidents.PUSH_LOST, (Way.ACCEPT,)),
        (incidents.UNEXPLAINED, (Way.ACCEPT,)),
        (incidents.HOLE, (Way.WAIT,)),
        (incidents.NOT_APPLIED, (Way.WAIT, Way.ACCEPT)),
        (incidents.SET_ASIDE, (Way.WAIT, Way.ACCEPT)),
        (incidents.NOT_ENTERED, (Way.WAIT, Way.CANCEL)),  # it was paid for
        ("a kind of a later version", (Way.ACCEPT,)),
    ],
)
def test_what_lasts_is_not_waved_away(kind: str, found: tuple[Way, ...]) -> None:
    """Only units set aside that have left are accepted as gone; an order without stock is not over."""
    assert ways(kind) == found


@pytest.mark.parametrize(
    ("units", "hours", "holds"), [(1, 0, True), (2, 0, True), (3, 0, False), (1, 24, False), (1, 23.9, True)]
)
def test_an_incident_waits_until_its_day_or_until_it_is_worse(units: int, hours: float, holds: bool) -> None:
    """It was put aside when two units were missing: three wake everybody up."""
    assert Waiting(NOON + timedelta(days=1), 2).holds(units, NOON + timedelta(hours=hours)) is holds


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (MOVE, MOVE, True),
        (MOVE, replace(MOVE, by="Ben", reason="me too"), True),
        (MOVE, replace(MOVE, location="PARIS"), False),
        (MOVE, replace(MOVE, promise="order:london:1:1"), False),
        (replace(MOVE, promise="order:london:1:1"), MOVE, True),
        (CANCEL, MOVE, False),
        (CANCEL, replace(CANCEL, refund=True), False),
        (CANCEL, replace(CANCEL, whole_order=True), True),
        (replace(CANCEL, way=Way.WAIT, until=NOON), replace(CANCEL, way=Way.WAIT, until=NOON), True),
    ],
)
def test_a_second_click_is_known_by_what_it_wants(first: Wish, second: Wish, same: bool) -> None:
    """Whoever clicks, and whatever is said of it; another place, promise or refund is another decision."""
    assert second.same(first.way.value, first.detail) is same


def test_the_promises_at_stake_are_told_newest_first_each_with_what_it_lacks() -> None:
    """Four units are promised of two: Dubai's unsold one gives way, then the newest order."""
    promises = [
        Promise("order:a:1:1", ECOM, MovementKind.ORDER, 1, NOON),
        Promise("order:a:2:1", ECOM, MovementKind.ORDER, 2, NOON + timedelta(hours=1)),
        Promise("allocation:dubai:BAG|ECOM", ECOM, MovementKind.ALLOCATION, 1, NOON),
    ]
    told = [(each.promise.subject, each.uncovered) for each in at_stake(promises, 2)]
    assert told == [("allocation:dubai:BAG|ECOM", 1), ("order:a:2:1", 1), ("order:a:1:1", 0)]


@pytest.mark.parametrize(
    ("missing", "written", "before", "said"),
    [
        (0, -2, None, Proof.SHOWN),
        (0, 1, 2, Proof.SHOWN),
        (-2, -2, None, Proof.SUSPECT),  # five shown where three were confirmed
        (-2, 0, -2, Proof.NOT_APPLIED),
        (-3, -1, -2, Proof.NOT_APPLIED),  # and another change since has gone the same way
        (-1, 1, -2, Proof.NOT_APPLIED),
        (-2, -1, -2, Proof.OTHER),  # the second change was applied
        (1, -2, None, Proof.OTHER),  # a sale, or somebody's edit
        (3, 0, None, Proof.OTHER),
    ],
)
def test_a_reading_proves_a_channel_wrong_only_by_exactly_what_it_confirmed(
    missing: int, written: int, before: int | None, said: Proof
) -> None:
    """Twice, with its orders read in between: sales and edits look different."""
    assert proof(missing=missing, written=written, before=before) is said


def test_units_that_move_are_two_rows_of_one_subject_and_units_found_are_one() -> None:
    """Both say who decided it and why."""

    def taken(origin: LevelKey | None) -> tuple[Movement, ...]:
        words = signed("#1001", MOVE)
        return taken_at(
            "order:a:1:1", 3, 2, origin=origin, target=MAYFAIR, reference=words, version="v", at=NOON
        )

    there, both = taken(None), taken(ECOM)
    assert [(row.key, row.level, row.reserved_delta) for row in there] == [("order:a:1:1:3", MAYFAIR, 2)]
    assert [(row.key, row.level, row.kind, row.reserved_delta) for row in both] == [
        ("order:a:1:1:3", ECOM, MovementKind.RELEASE, -2),
        ("order:a:1:1:4", MAYFAIR, MovementKind.ORDER, 2),
    ]
    assert {row.reference for row in (*there, *both)} == {"#1001; moved by Anna Kay: the customer is waiting"}
    assert {row.on_hand_delta for row in (*there, *both)} == {0}
