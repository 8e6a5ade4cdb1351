"""The points of a Shopify store as we reckon them."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.channels.shopify_points import Points


class Seconds:
    """A clock that only goes forward, by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def told(held: float, *, cost: float = 10, most: float = 2000, rate: float = 100) -> dict[str, Any]:
    status = {"maximumAvailable": most, "currentlyAvailable": held, "restoreRate": rate}
    return {"requestedQueryCost": cost, "actualQueryCost": cost, "throttleStatus": status}


def spent(points: Points, operation: str, answer: dict[str, Any] | None) -> None:
    points.settle(operation, points.spend(operation), answer)


def test_before_the_store_has_told_nothing_is_waited_for() -> None:
    """There is no better guess than to ask."""
    assert Points(Seconds()).wait_seconds("push", push=True) == 0


def test_points_come_back_with_time() -> None:
    """At the rate that the store told, and no further than its most."""
    seconds = Seconds()
    points = Points(seconds)
    spent(points, "push", told(0, cost=100))
    assert points.wait_seconds("push", push=True) == pytest.approx(1.0)
    seconds.at += 0.75
    assert points.wait_seconds("push", push=True) == pytest.approx(0.25)
    seconds.at += 3600
    assert points.wait_seconds("push", push=True) == 0


def test_a_read_leaves_points_for_pushes() -> None:
    """A tenth of the bucket."""
    points = Points(Seconds())
    spent(points, "read", told(150, cost=50))
    spent(points, "push", told(150, cost=50))
    assert points.wait_seconds("push", push=True) == 0
    assert points.wait_seconds("read", push=False) == pytest.approx(1.0)


def test_what_is_under_way_is_spent_already() -> None:
    """Two calls at once do not both count on the same points."""
    points = Points(Seconds())
    spent(points, "push", told(100, cost=60))
    first = points.spend("push")
    assert points.wait_seconds("push", push=True) == pytest.approx(0.2)
    points.settle("push", first, None)
    assert points.wait_seconds("push", push=True) == 0


def test_a_call_that_costs_more_than_the_bucket_waits_until_it_is_full() -> None:
    """It will be refused by the store; waiting for more would be for ever."""
    points = Points(Seconds())
    spent(points, "read", told(0, cost=5000, most=1000))
    assert points.wait_seconds("read", push=False) == pytest.approx(10.0)


def test_a_clock_put_back_takes_no_points_away() -> None:
    """What was told stands."""
    seconds = Seconds()
    points = Points(seconds)
    spent(points, "push", told(50))
    seconds.at -= 3600
    assert points.wait_seconds("push", push=True) == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (told(4, cost=13), 0.19),
        (told(500, cost=13), 0.1),
        ({"requestedQueryCost": 13}, 1.0),
        (None, 1.0),
    ],
    ids=["short", "enough by now", "without a status", "without a cost"],
)
def test_a_store_that_says_no_is_asked_again_when_it_can_say_yes(
    answer: dict[str, Any] | None, expected: float
) -> None:
    """What is short over the rate it comes back at, and a little."""
    assert Points(Seconds()).throttled_seconds(answer) == pytest.approx(expected)
