"""When goods left and came back, unit by unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.moments import Moment, at_place, earliest, next_moment

SIX = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
FIVE, SEVEN = SIX - timedelta(hours=1), SIX + timedelta(hours=1)
PARCELS = (Moment(SEVEN, 2), Moment(FIVE, 1))


@pytest.mark.parametrize(
    ("told", "entered", "units", "expected"),
    [
        # two parcels, in whatever order they are told: the first gone is the first entered
        (PARCELS, 0, 3, (FIVE, 1)),
        (PARCELS, 1, 2, (SEVEN, 2)),
        (PARCELS, 2, 1, (SEVEN, 1)),
        # fewer are to be entered than the parcel had
        (PARCELS, 1, 1, (SEVEN, 1)),
        # nobody has told of these
        (PARCELS, 3, 2, (None, 2)),
        ((), 0, 2, (None, 2)),
        # more was taken back than had come
        (PARCELS, -1, 3, (FIVE, 1)),
    ],
)
def test_what_is_entered_next_has_the_moment_of_the_next_unit(
    told: tuple[Moment, ...], entered: int, units: int, expected: tuple[datetime | None, int]
) -> None:
    """(its moment, how many units have it)."""
    assert next_moment(told, entered, units) == expected


@pytest.mark.parametrize(
    ("shop", "org", "expected"),
    [
        ((), (), ()),
        (PARCELS, (), (Moment(FIVE, 1), Moment(SEVEN, 2))),
        # the org's record was saved when all had left: all that is known of what no parcel tells
        (PARCELS, (Moment(SEVEN, 4),), (Moment(FIVE, 1), Moment(SEVEN, 2), Moment(SEVEN, 1))),
        # the org knew first
        (
            (Moment(SEVEN, 2, "bond street"),),
            (Moment(SIX, 1),),
            (Moment(SIX, 1, "bond street"), Moment(SEVEN, 1, "bond street")),
        ),
    ],
)
def test_of_two_sources_each_unit_has_the_earlier_moment(
    shop: tuple[Moment, ...], org: tuple[Moment, ...], expected: tuple[Moment, ...]
) -> None:
    """Whoever told it; the place is the one that anybody named."""
    assert earliest(shop, org) == expected
    assert [(each.at, each.units) for each in earliest(org, shop)] == [(m.at, m.units) for m in expected]


def test_a_place_has_its_own_moments() -> None:
    """What left from Bond Street says nothing of the Mall."""
    told = (Moment(FIVE, 1, "bond street"), Moment(SIX, 1, "the mall"))
    assert at_place(told, "the mall") == told[1:]
