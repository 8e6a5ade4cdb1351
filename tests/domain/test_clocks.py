"""How far another clock is ahead of ours, by what its owner's answers say in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.clocks import Ahead, Told, ahead

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)  # by our clock


def at(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def told(second: float, asked: float, heard: float) -> Told:
    """An answer, all three in seconds after noon."""
    return Told(at(second), at(asked), at(heard))


def between(least: float, most: float) -> Ahead:
    """Ahead by so many seconds."""
    return Ahead(timedelta(seconds=least), timedelta(seconds=most))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # Noon there, and here just before and just after it: at the same moment, or up to a second ahead.
        ([told(0, -0.1, 0.1)], between(-0.1, 1.1)),
        # The answer was long on its way: all that is known is that it was noon there at some time between.
        ([told(0, 0, 9)], between(-9, 1)),
        # Three seconds ahead, asked at the end of a second and at the beginning of one.
        ([told(3, 0.9, 0.95), told(5, 2.0, 2.05)], between(2.95, 3.1)),
        # Behind by three seconds.
        ([told(-3, 0.5, 0.6)], between(-3.6, -2.5)),
        # Its clock was set forward by an hour between two answers: anything between is possible.
        ([told(0, 0, 0.1), told(3610, 10, 10.1)], between(-0.1, 3601)),
        ([], None),
    ],
)
def test_how_far_a_clock_is_ahead(said: list[Told], expected: Ahead | None) -> None:
    """Each answer leaves a span, and several a shorter one, unless they contradict each other."""
    assert ahead(said) == expected


def test_answers_of_one_second_count_as_one() -> None:
    """Of all answers in one second count the first that came and the last that was asked for."""
    one = told(3, 0.1, 0.2).and_told(told(3, 0.5, 0.6))
    assert one == told(3, 0.5, 0.2)
    assert one.ahead == between(2.8, 3.5)


def test_what_time_it_was_here() -> None:
    """It was noon there, and the clock is two to three seconds ahead: here it was a little before noon."""
    clock = between(2, 3)
    assert clock.earliest(NOON) == at(-3)
    assert clock.latest(NOON) == at(-2)
