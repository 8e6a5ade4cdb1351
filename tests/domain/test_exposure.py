"""Exposure: what a mirrored channel shows beyond what there is to sell, and what would have been better."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.exposure import (
    Emptied,
    Excess,
    Exposure,
    NumberEmptied,
    Sooner,
    Spell,
    excess,
    sooner,
    sooner_by_channel,
    worse_than,
)


def test_exposure_counts_units_times_seconds() -> None:
    """Two units too many for ten seconds, then one for five."""
    exposure = Exposure().at(100.0, published=5, target=3).at(110.0, published=4, target=3)
    over = exposure.at(115.0, published=3, target=3)
    assert (over.unit_seconds, over.units, over.since) == (25.0, 0, 115.0)
    assert over.ended == Spell(100.0, 115.0, 2, 25.0, scarce=False)
    assert over.ended.seconds == 15.0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_exposure_never_falls(steps: list[tuple[float, int, int]]) -> None:
    """Showing too few earns nothing back, and a clock set back costs nothing."""
    exposure, now, told = Exposure(), 0.0, 0.0
    for seconds, published, target in steps:
        now += seconds - 20
        after = exposure.at(now, published=published, target=target)
        assert after.unit_seconds >= exposure.unit_seconds
        assert after.units == max(0, published - target)
        if after.ended is not None:
            assert after.ended.unit_seconds >= 0
            assert after.ended.seconds >= 0
            told += after.ended.unit_seconds
        assert told <= after.unit_seconds + 1e-6
        exposure = after


@pytest.mark.parametrize(
    ("left", "scarce_at", "scarce"), [(0, 2, True), (2, 2, True), (3, 2, False), (3, 3, True), (1, 0, False)]
)
def test_a_spell_is_scarce_when_few_were_left_to_sell(left: int, scarce_at: int, scarce: bool) -> None:
    """Showing one too many of a hundred harms nobody; of the last two, it may."""
    begun = Exposure().at(0.0, published=left + 1, target=left, scarce_at=scarce_at)
    ended = begun.at(1.0, published=left, target=left, scarce_at=scarce_at).ended
    assert ended is not None
    assert ended.scarce is scarce


def test_a_deep_spell_that_becomes_scarce_counts_as_scarce() -> None:
    """A hundred sold elsewhere within one spell: from then on the rest may be oversold."""
    begun = Exposure().at(0.0, published=100, target=99)
    ended = begun.at(1.0, published=100, target=1).at(3.0, published=1, target=1).ended
    assert ended == Spell(0.0, 3.0, 99, 1.0 + 2 * 99.0, scarce=True)


def test_nothing_new_says_nothing() -> None:
    """The same numbers again neither begin nor end anything, and what ended is told once."""
    begun = Exposure().at(5.0, published=2, target=1)
    assert begun.at(6.0, published=2, target=1) == begun
    over = begun.at(7.0, published=1, target=1)
    assert over.at(8.0, published=1, target=1) == over
    assert over.at(8.0, published=1, target=1).ended is None


def test_a_number_is_emptied_when_nothing_is_left_and_the_channel_shows_none() -> None:
    """Five offered at ten o'clock, two added, the last sold elsewhere at 20 and the zero shown at 23."""
    offered = Exposure().at(10.0, published=5, target=5).at(11.0, published=5, target=7)
    falling = offered.at(12.0, published=7, target=7).at(15.0, published=4, target=4)
    gone = falling.at(20.0, published=4, target=0)
    assert gone.emptied is None
    shown = gone.at(23.0, published=0, target=0)
    assert shown.emptied == Emptied(7, 11.0, 20.0, 23.0)
    assert shown.ended == Spell(20.0, 23.0, 4, 12.0, scarce=True)
    assert shown.at(24.0, published=0, target=0).emptied is None
    again = shown.at(30.0, published=0, target=2).at(31.0, published=2, target=2)
    assert again.at(40.0, published=0, target=0).emptied == Emptied(2, 30.0, 40.0, 40.0)


def test_a_number_that_is_filled_up_in_time_was_never_empty() -> None:
    """Nothing left at 20, a receipt at 22 before the channel had shown the zero, gone for good at 30."""
    gone = Exposure().at(10.0, published=5, target=5).at(20.0, published=5, target=0)
    filled = gone.at(22.0, published=5, target=3)
    assert filled.emptied is None
    assert filled.at(30.0, published=0, target=0).emptied == Emptied(5, 10.0, 30.0, 30.0)


def test_a_number_that_was_never_offered_is_not_emptied() -> None:
    """A SKU that has been sold out since we know it."""
    assert Exposure().at(1.0, published=0, target=0).emptied is None
    assert Exposure().at(1.0, published=3, target=0).at(2.0, published=0, target=0).emptied is None


def test_a_channel_that_is_mirrored_no_more_is_not_exposed_any_longer() -> None:
    """Its policy was changed to gated in the middle of a spell: that ends there, and nothing was emptied."""
    over = Exposure().at(0.0, published=3, target=1).over(4.0)
    assert (over.units, over.unit_seconds, over.offered) == (0, 8.0, 0)
    assert over.ended == Spell(0.0, 4.0, 2, 8.0, scarce=True)
    assert over.over(9.0) == over
    assert over.over(9.0).ended is None


def test_a_channel_that_shows_no_shared_number_is_exposed_by_what_it_shows_too_much() -> None:
    """Closed in the middle of a spell, with three still out: it goes on, and nothing was emptied."""
    closed = Exposure().at(0.0, published=3, target=2).alone(4.0, Excess(3, scarce=True))
    assert (closed.units, closed.unit_seconds, closed.offered) == (3, 4.0, 0)
    assert closed.alone(5.0, None) == closed
    gone = closed.alone(6.0, Excess(0, scarce=False))
    assert (gone.ended, gone.emptied) == (Spell(0.0, 6.0, 3, 10.0, scarce=True), None)


@pytest.mark.parametrize(
    ("published", "own", "shared", "left", "wanted"),
    [
        (3, 0, 0, 0, Excess(3, scarce=True)),  # closed, and nothing is left
        (3, 0, 0, 9, Excess(3, scarce=False)),  # closed, and others have plenty
        (3, 2, 0, 1, Excess(1, scarce=False)),  # two are its own, one is everybody's
        (3, 2, 0, 0, Excess(1, scarce=True)),
        (3, 3, 0, 0, Excess(0, scarce=False)),  # all of them are its own
        (3, 1, 2, 2, Excess(1, scarce=False)),  # its own are given back, and it may sell shared ones
        (-1, 0, 0, 0, Excess(0, scarce=True)),  # a number below zero shows nothing
    ],
)
def test_what_is_set_aside_for_a_channel_is_never_exposed(
    published: int, own: int, shared: int, left: int, wanted: Excess
) -> None:
    """Nobody else can sell it; all that it shows beyond may be sold twice."""
    assert excess(published, own, shared, left, 2) == wanted


EMPTIED = Emptied(offered=4, offered_at=0.0, empty_at=100.0, shown_at=103.0)


@pytest.mark.parametrize(
    ("sharers", "own", "wanted"),
    [
        # Two of four are its own. It sold two itself, the second at 40: it would have been zero then.
        (["dubai", "london"], [(10.0, 1), (40.0, 1), (70.0, 1)], Sooner(3.0, 63.0, 0)),
        (["dubai", "london"], [(40.0, 1), (10.0, 1)], Sooner(3.0, 63.0, 0)),
        (["dubai", "london"], [(10.0, 5)], Sooner(3.0, 93.0, 0)),
        # It sold one, and others three: it would still have one.
        (["dubai", "london"], [(10.0, 1)], Sooner(3.0, None, 1)),
        (["dubai", "london"], [], Sooner(3.0, None, 2)),
        # Alone, all of them are its own.
        (["london"], [(10.0, 3)], Sooner(3.0, None, 1)),
        # Five share four: the fifth by name gets none, and would never have shown one.
        (["a", "b", "c", "d", "london"], [(10.0, 1)], Sooner(3.0, 103.0, 0)),
        # The clock of the shop runs ahead of ours: never less than nothing.
        (["london"], [(104.0, 4)], Sooner(3.0, 0.0, 0)),
    ],
)
def test_how_much_sooner_another_guarantee_would_have_come_to_zero(
    sharers: list[str], own: list[tuple[float, int]], wanted: Sooner
) -> None:
    """Gated: when the last was gone. Allocated: with its own last one, or not at all."""
    assert sooner(EMPTIED, "london", sharers, own) == wanted


@pytest.mark.parametrize(
    ("count", "above"), [(0, 0), (1, 0), (2, 0), (99, 0), (100, 1), (101, 1), (199, 1), (200, 2), (1000, 10)]
)
def test_the_percentile_is_the_nearest_rank(count: int, above: int) -> None:
    """At 99 per cent, one of a hundred is worse; of fewer, none is: then it is the worst itself."""
    assert worse_than(count, 99) == above


def test_each_channel_gets_one_line_of_what_could_have_been() -> None:
    """London's three numbers: one late and sold out sooner, one in time, one that would still sell."""
    told = [
        NumberEmptied("london", "A", "online", EMPTIED, Sooner(3.0, 63.0, 0)),
        NumberEmptied("london", "B", "online", EMPTIED, Sooner(0.0, 5.0, 0)),
        NumberEmptied("london", "C", "online", EMPTIED, Sooner(1.0, None, 2)),
        NumberEmptied("dubai", "A", "online", EMPTIED, Sooner(0.0, None, 1)),
    ]
    dubai, london = sooner_by_channel(told)
    assert (dubai.channel, dubai.numbers, dubai.late, dubai.still_selling) == ("dubai", 1, 0, 1)
    assert (dubai.allocated_p99_seconds, dubai.allocated_worst_seconds) == (None, None)
    assert (london.numbers, london.late, london.gated_p99_seconds, london.gated_worst_seconds) == (
        3,
        2,
        3.0,
        3.0,
    )
    assert (london.sold_out_sooner, london.allocated_worst_seconds, london.still_selling) == (2, 63.0, 1)
