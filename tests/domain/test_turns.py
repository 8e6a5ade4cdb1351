"""Whose turn it is to sell what one channel sells at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.allocation import Share
from sfsync.domain.turns import Turns, only, whose

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOTH, THREE = ("london", "dubai"), ("london", "dubai", "paris")
DAY, IDLE, EITHER = Turns(24.0), Turns(None, 6.0), Turns(24.0, 6.0)


def at(hours: float) -> datetime:
    """So many hours after noon."""
    return NOON + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("before", "channels", "turns", "sold", "now", "expected"),
    [
        pytest.param(None, BOTH, DAY, None, 0, ("london", 0, 24, "dubai"), id="the first one begins"),
        pytest.param("london", BOTH, DAY, None, 23.99, ("london", 0, 24, "dubai"), id="its time is not over"),
        pytest.param("london", BOTH, DAY, None, 24, ("dubai", 24, 48, "london"), id="its time is over"),
        pytest.param("london", BOTH, DAY, 23, 24, ("dubai", 24, 48, "london"), id="a sale prolongs no day"),
        pytest.param("dubai", BOTH, DAY, None, 24, ("london", 24, 48, "dubai"), id="then the first"),
        pytest.param("dubai", THREE, DAY, None, 24, ("paris", 24, 48, "london"), id="in their order"),
        pytest.param("london", BOTH, DAY, None, 99, ("dubai", 99, 123, "london"), id="away: no turn is lost"),
        pytest.param("london", BOTH, IDLE, None, 5.99, ("london", 0, 6, "dubai"), id="it may still sell"),
        pytest.param("london", BOTH, IDLE, None, 6, ("dubai", 6, 12, "london"), id="it sells nothing"),
        pytest.param("london", BOTH, IDLE, 5, 6, ("london", 0, 11, "dubai"), id="a sale prolongs it"),
        pytest.param("london", BOTH, IDLE, 5, 11, ("dubai", 11, 17, "london"), id="and then nothing"),
        pytest.param("london", BOTH, IDLE, -9, 5, ("london", 0, 6, "dubai"), id="sold before its turn"),
        pytest.param("london", BOTH, EITHER, 20, 23, ("london", 0, 24, "dubai"), id="both: the day"),
        pytest.param("london", BOTH, EITHER, 10, 16, ("dubai", 16, 22, "london"), id="both: sells nothing"),
        pytest.param("paris", BOTH, DAY, None, 3, ("london", 3, 27, "dubai"), id="it has left the policy"),
        pytest.param("london", ("london",), DAY, None, 24, ("london", 24, 48, "london"), id="alone"),
    ],
)
def test_whose_turn_it_is(
    before: str | None,
    channels: tuple[str, ...],
    turns: Turns,
    sold: float | None,
    now: float,
    expected: tuple[str, float, float, str],
) -> None:
    """Whoever had it has had it since noon; hours count from there."""
    was = None if before is None else (before, NOON)
    found = whose(was, channels, turns, None if sold is None else at(sold), at(now))
    channel, since, until, then = expected
    assert (found.channel, found.since, found.until, found.then) == (channel, at(since), at(until), then)


def test_a_turn_is_told_to_whoever_has_it_and_to_the_others() -> None:
    """With the moment, and who is next."""
    turn = whose(None, BOTH, DAY, None, NOON)
    assert turn.told("london") == "its turn until 24 Nov 12:00 UTC, then dubai's"
    assert turn.told("dubai") == "london's turn until 24 Nov 12:00 UTC, then dubai's"


def test_all_of_it_is_for_whose_turn_it_is_up_to_what_it_may_have() -> None:
    """Weights count no more, limits do."""
    shares = (Share("london", 3, 2), Share("dubai", 0))
    assert only(shares, "london") == (Share("london", 1, 2), Share("dubai", 0))
    assert only(shares, "dubai") == (Share("london", 0, 2), Share("dubai", 1))
