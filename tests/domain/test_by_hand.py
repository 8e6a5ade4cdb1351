"""A person's word for divided units, and shares by what each channel sells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.allocation import Share, Stock, divide, split
from sfsync.domain.by_hand import Allocated, Do, Said, Word, by_demand, taken, window

LONDON, DUBAI, PARIS = Share("london"), Share("dubai"), Share("paris", most=2)


def goals(
    total: int, shares: tuple[Share, ...], has: dict[str, int], fixed: dict[str, int]
) -> dict[str, int]:
    """Units for each channel out of so many, which all of them sell."""
    stock = Stock({"here": max(0, total)}, {share.channel: ("here",) for share in shares})
    return divide(stock, shares, has, fixed)


UNITS = st.integers(min_value=-1, max_value=30)
CHANNELS = st.sampled_from(["london", "dubai", "paris"])


@pytest.mark.parametrize(
    ("total", "fixed", "expected"),
    [
        (7, {}, {"london": 4, "dubai": 3}),
        (7, {"dubai": 1}, {"dubai": 1, "london": 6}),
        (7, {"dubai": 9}, {"dubai": 7, "london": 0}),
        (7, {"london": 5, "dubai": 5}, {"london": 5, "dubai": 2}),  # the first in the order of priority first
        (7, {"london": 1, "dubai": 1}, {"london": 1, "dubai": 1}),  # five go back to everybody
        (0, {"london": 1}, {"london": 0, "dubai": 0}),
        (-1, {"london": 1}, {"london": 0, "dubai": 0}),
    ],
)
def test_what_a_word_fixes_comes_first_and_the_rest_is_divided(
    total: int, fixed: dict[str, int], expected: dict[str, int]
) -> None:
    """Dubai is to have one: the other six are London's."""
    assert goals(total, (LONDON, DUBAI), {}, fixed) == expected


@given(UNITS, st.dictionaries(CHANNELS, st.integers(0, 30)), st.dictionaries(CHANNELS, UNITS))
def test_no_more_is_given_than_there_is_whatever_is_said(
    total: int, fixed: dict[str, int], has: dict[str, int]
) -> None:
    """Nor more than a channel may have; and without a word it is the policy's split."""
    shares = (LONDON, PARIS, DUBAI)
    found = goals(total, shares, has, fixed)
    assert sum(found.values()) <= max(0, total)
    assert 0 <= found["paris"] <= 2
    assert all(0 <= found[name] <= units for name, units in fixed.items())
    assert goals(total, shares, has, {}) == split(total, shares, has)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (Word(Do.SET, "london", "BAG", 5), {"london": 5}),
        (Word(Do.SET, "london", "BAG", 0), {"london": 0}),
        (Word(Do.MOVE, "london", "BAG", 2, "dubai"), {"london": 1, "dubai": 3}),
        (Word(Do.MOVE, "london", "BAG", 3, "dubai"), {"london": 0, "dubai": 4}),
        (Word(Do.MOVE, "london", "BAG", 4, "dubai"), "too-few"),
        (Word(Do.WITHDRAW, "london", "BAG", 1), {"london": 2}),
        (Word(Do.WITHDRAW, "london", "BAG"), {"london": 0}),
        (Word(Do.WITHDRAW, "dubai", "BAG", 2), "too-few"),
        (Word(Do.RELEASE, "dubai", "BAG"), {"dubai": None}),
        (
            Word(Do.RELEASE, "gone", "BAG"),
            {"gone": None},
        ),  # it has left; the word still stands
        (Word(Do.RELEASE, "london", "BAG"), "not-said"),
        (Word(Do.SET, "paris", "BAG", 1), "no-such-channel"),
        (Word(Do.SET, "gone", "BAG", 1), "no-such-channel"),
        (Word(Do.MOVE, "london", "BAG", 1, "paris"), "no-such-channel"),
    ],
)
def test_what_a_word_fixes(word: Word, expected: dict[str, int | None] | str) -> None:
    """London is to have three, and Dubai one, which somebody has said."""
    found = taken(word, {"london": 3, "dubai": 1}, {"dubai", "gone"})
    assert (found.problem if isinstance(found, Said) else found) == expected


def test_a_refusal_says_what_there_is() -> None:
    """So that the next word is right."""
    few = taken(Word(Do.WITHDRAW, "dubai", "BAG", 2), {"london": 3, "dubai": 1}, ())
    none = taken(Word(Do.SET, "paris", "BAG", 2), {"london": 3, "dubai": 1}, ())
    assert isinstance(few, Said)
    assert isinstance(none, Said)
    assert few.detail == "dubai is to have 1 of BAG, so 2 cannot be taken away from it"
    assert none.detail == "BAG is divided among london, dubai, not paris"


@pytest.mark.parametrize(
    ("held", "coming", "shows", "spare", "sold", "settled"),
    [
        (3, 0, 3, 0, 0, True),
        (3, 0, 2, 1, 0, True),
        (3, 1, 3, 0, 0, False),
        (3, 0, 2, 0, 1, False),
        (3, 0, 2, 0, 0, False),
        (3, 0, -1, 3, 0, True),
    ],
)
def test_units_are_settled_when_each_is_shown_or_spare(
    held: int, coming: int, shows: int, spare: int, sold: int, settled: bool
) -> None:
    """Nothing asked for, nothing sold that the ledger does not know of yet."""
    row = Allocated("london", "BAG", 3, None, held, coming, shows, spare, sold)
    assert row.settled is settled
    assert not replace(row, lacking=1).settled  # one of them has left


def test_shares_go_by_what_each_has_sold_and_nobody_is_left_out() -> None:
    """London sold nine, Dubai none: ten parts to one. Paris counts double."""
    shares = (LONDON, DUBAI, Share("paris", 2, 5))
    told = by_demand(shares, {"london": 9, "paris": 4, "dubai": -3, "gone": 7})
    assert told == (Share("london", 10), Share("dubai", 1), Share("paris", 10, 5))
    assert split(11, told[:2], {}) == {"london": 10, "dubai": 1}


def test_the_time_that_counts_ends_with_the_last_full_hour() -> None:
    """Not with each sale: or each would move units."""
    since, until = window(datetime(2026, 11, 27, 9, 59, 59, 5, tzinfo=UTC), 28)
    assert (since, until) == (
        datetime(2026, 10, 30, 9, tzinfo=UTC),
        datetime(2026, 11, 27, 9, tzinfo=UTC),
    )
