"""When a till's line happened, and what a till may sell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sfsync.domain.ats import LevelFacts
from sfsync.domain.stock import LevelKey
from sfsync.domain.tills import MaySell, Till, TillSale, happened, may_sell, overdue

NOW = datetime(2026, 11, 22, 20, tzinfo=UTC)
TILL = Till("rinascente", "MILAN", ZoneInfo("Europe/Rome"))
SALE = TillSale("till:rinascente:77:1", "77", 1, LevelKey("BAG", "MILAN"), 1, NOW)


@pytest.mark.parametrize(
    ("at", "day_began", "when"),
    [
        (NOW - timedelta(hours=3), None, NOW - timedelta(hours=3)),
        (NOW + timedelta(minutes=4), None, NOW + timedelta(minutes=4)),  # its clock is a little ahead
        (NOW + timedelta(minutes=6), None, "which is still to come"),
        (NOW + timedelta(hours=3), NOW - timedelta(hours=21), NOW),  # today, and the day is not over
        (NOW + timedelta(hours=27), NOW + timedelta(hours=3), "which is still to come"),
        (NOW - timedelta(days=366), None, NOW - timedelta(days=366)),
        (NOW - timedelta(days=367), None, "more than a year ago"),
    ],
)
def test_nothing_is_sold_tomorrow_or_years_ago(
    at: datetime, day_began: datetime | None, when: datetime | str
) -> None:
    """A day that is not over yet has brought its sales until now."""
    found = happened(replace(SALE, at=at, day_began=day_began), NOW)
    assert found == when or (isinstance(when, str) and when in str(found))


def level(
    sku: str, on_hand: int, reserved: int = 0, *, place: str = "MILAN", unit: str | None = None
) -> LevelFacts:
    return LevelFacts(LevelKey(sku, place, unit), on_hand, reserved)


def test_a_till_may_sell_what_is_there_and_nobody_has() -> None:
    """Less what is promised, asked for or leaving; pieces add up, and none pays for another's debt."""
    levels = [
        level("BAG", 5, 2),
        level("BAG", 9, place="ECOM"),
        replace(level("BELT", 4), asked=1, leaving=1),
        level("RING", 1, unit="A"),
        level("RING", 0, 1, unit="B"),
        level("TIE", 1, 3),
    ]
    assert may_sell(TILL, levels) == [
        MaySell("TIE", 0),
        MaySell("RING", 1),
        MaySell("BELT", 2),
        MaySell("BAG", 3),
    ]


@pytest.mark.parametrize(
    ("safety_stock", "cap", "units"), [(0, None, 5), (2, None, 3), (6, None, 0), (1, 2, 2), (0, 0, 0)]
)
def test_what_is_kept_back_is_never_sold_there(safety_stock: int, cap: int | None, units: int) -> None:
    """Its safety stock, and no more than its cap; never below nothing."""
    till = replace(TILL, safety_stock=safety_stock, cap=cap)
    assert may_sell(till, [level("BAG", 5)]) == [MaySell("BAG", units)]


@pytest.mark.parametrize(
    ("last", "began", "every", "late"),
    [
        (NOW - timedelta(hours=25), None, timedelta(hours=24), True),
        (NOW - timedelta(hours=23), None, timedelta(hours=24), False),
        (None, NOW - timedelta(hours=25), timedelta(hours=24), True),
        (None, NOW - timedelta(hours=1), timedelta(hours=24), False),
        (None, None, timedelta(hours=24), False),
        (NOW - timedelta(days=9), None, None, False),
    ],
)
def test_a_till_is_late_only_where_somebody_has_said_how_often_it_reports(
    last: datetime | None, began: datetime | None, every: timedelta | None, late: bool
) -> None:
    """One that has never reported is late that long after the first start."""
    assert overdue(last, began, every, NOW) is late
