"""Whose promise loses its cover when goods leave that were promised; and what is released for a posting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.promises import Promise, open_promises, releases, shortfalls, uncovered
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BAG = LevelKey("BAG", "KNIGHTSBRIDGE")
K = MovementKind


def promise(subject: str, kind: MovementKind, units: int = 1, hour: int = 0) -> Promise:
    return Promise(subject, BAG, kind, units, NOON + timedelta(hours=hour), 1)


ALLOCATION = promise("allocation:dubai", K.ALLOCATION, 2)
OLD_CART, NEW_CART = promise("cart 1", K.CART), promise("cart 2", K.CART, hour=1)
CLIENT, PICK_UP = promise("client", K.CLIENT, hour=2), promise("pick-up", K.PICK_UP, hour=3)
OLD_ORDER, NEW_ORDER = promise("order 1", K.ORDER), promise("order 2", K.ORDER, hour=9)
STRANGE = promise("a system we do not know", K.ADJUSTMENT, hour=9)
ALL = (NEW_ORDER, STRANGE, PICK_UP, OLD_CART, ALLOCATION, CLIENT, OLD_ORDER, NEW_CART)


@pytest.mark.parametrize(
    ("missing", "lose"),
    [
        (0, {}),
        (1, {"allocation:dubai": 1}),
        (2, {"allocation:dubai": 2}),
        (3, {"allocation:dubai": 2, "cart 2": 1}),
        (4, {"allocation:dubai": 2, "cart 2": 1, "cart 1": 1}),
        (5, {"allocation:dubai": 2, "cart 2": 1, "cart 1": 1, "client": 1}),
        (6, {"allocation:dubai": 2, "cart 2": 1, "cart 1": 1, "client": 1, "pick-up": 1}),
        (7, {"allocation:dubai": 2, "cart 2": 1, "cart 1": 1, "client": 1, "pick-up": 1, "order 2": 1}),
    ],
)
def test_the_promise_that_hurts_least_loses_its_cover_first(missing: int, lose: dict[str, int]) -> None:
    """Unsold allocation, then carts, clients, pick-ups, orders; the newest of each first."""
    assert {each.subject: each.units for each in uncovered(ALL, missing)} == lose


@given(st.permutations(ALL), st.integers(0, 12))
def test_as_many_units_lose_their_cover_as_are_missing(promises: list[Promise], missing: int) -> None:
    """Never more, never fewer unless nothing more is promised; and in whatever order they are told."""
    lost = uncovered(promises, missing)
    assert sum(each.units for each in lost) == min(missing, sum(each.units for each in ALL))
    assert lost == uncovered(ALL, missing)


def row(subject: str, kind: MovementKind, reserved: int, step: int = 0, on_hand: int = 0) -> Movement:
    return Movement(f"{subject}:{step}", subject, BAG, kind, on_hand, reserved, "", "", NOON)


SALE = row("posting:r1", K.SALE, 0, on_hand=-2)


def test_a_posting_says_at_which_level_it_takes_more_than_is_free() -> None:
    """Three there, two promised, two sold at the counter: one promise too many."""
    levels = {BAG: StockLevel(BAG, 3, 2, 5, "L1")}
    assert shortfalls([SALE], levels) == {BAG: 1}
    assert shortfalls([SALE], {BAG: StockLevel(BAG, 4, 2, 5, "L1")}) == {}
    assert shortfalls([row("order 1", K.FULFILMENT, -1, on_hand=-1)], levels) == {}  # its own units leave


def test_a_release_is_the_next_step_of_its_subject_and_names_the_sale() -> None:
    """So that it is entered once, and a person sees why."""
    (release,) = releases([replace(OLD_ORDER, next_step=3)], SALE)
    assert (release.key, release.reserved_delta, release.kind) == ("order 1:3", -1, K.RELEASE)
    assert "posting:r1" in release.reference


def test_what_the_ledger_leaves_open_is_what_is_promised() -> None:
    """Asked, extended, partly given back; a cart that ended; an order of another system."""
    rows = [
        row("order 1", K.ORDER, 2),
        row("order 1", K.RELEASE, -1, 1),
        row("cart 1", K.CART, 1),
        row("cart 1", K.RELEASE, -1, 1),
        row("pos:77", K.CLIENT, 1),
    ]
    found = {each.subject: (each.kind, each.units, each.next_step) for each in open_promises(rows)}
    assert found == {"order 1": (K.ORDER, 1, 2), "pos:77": (K.CLIENT, 1, 1)}


def test_units_that_a_person_reserved_for_nobody_can_give_way_too_and_once_only() -> None:
    """No subject, no key: they are released under a name of their own, which counts against them."""
    typed = replace(row("", K.ORDER, 2), key="")
    (nobody,) = open_promises([typed])
    (release,) = releases([replace(nobody, units=1)], SALE)
    assert release.key == f"unnamed:{BAG}:0"
    (left,) = open_promises([typed, release])
    assert (left.units, left.next_step) == (1, 1)
