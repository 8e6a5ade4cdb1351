"""Inventory Record Accuracy, in tables that a store manager can check by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.ira import (
    EXACT,
    TOLERANCES,
    Accuracy,
    Counted,
    Late,
    Observation,
    Tolerance,
    band,
    group,
    labels,
    line,
    observe,
    wilson,
)
from sfsync.domain.ira_wish import BadWishError, IraWish, read_wish
from sfsync.domain.stock import LevelKey

SIX = datetime(2026, 11, 22, 18, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def counted(
    sku: str, units: int, expected: int, at: datetime = SIX, place: str = "SOHO", price: float | None = None
) -> Counted:
    """Counted so many where the books said so many; entered in the hour after."""
    return Counted(
        LevelKey(sku, place), units, units - expected, at, at + HOUR, "Amina", "cycle count", price
    )


def seen(*counts: Counted) -> list[Observation]:
    return observe(counts, ())


SHELF = (  # counted, in the books
    counted("SCARF", 100, 102, price=80),
    counted("BELT", 11, 10, price=150),
    counted("BAG", 1, 2, price=3000),
    counted("LOAFER", 7, 7, price=400),
    counted("TIE", 30, 30, price=60),
)


@pytest.mark.parametrize(
    ("tolerance", "accurate", "percent"),
    [("exact", 2, 40), ("1", 4, 80), ("2", 5, 100), ("2%", 3, 60), ("10%", 4, 80), ("50 %", 5, 100)],
)
def test_a_count_is_accurate_within_the_named_tolerance(
    tolerance: str, accurate: int, percent: float
) -> None:
    """Off by two of 102 is within 2 %; off by one of two is not, though it is by one unit."""
    found = Accuracy.of(seen(*SHELF), Tolerance.parse(tolerance))
    assert (found.n, found.accurate, found.percent) == (5, accurate, percent)


def test_by_value_a_missing_handbag_weighs_more_than_a_missing_tie() -> None:
    """Right: seven loafers at 400 and thirty ties at 60, which is 4,600 of 20,410 in all."""
    found = Accuracy.of(seen(*SHELF), EXACT)
    worth = 102 * 80 + 11 * 150 + 2 * 3000 + 7 * 400 + 30 * 60
    assert worth == 20_410
    assert found.by_value == pytest.approx(100 * 4600 / 20_410)
    assert Accuracy.of(seen(counted("BAG", 1, 1)), EXACT).by_value is None


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (9, 10, 59.6, 98.2),
        (90, 100, 82.6, 94.5),
        (900, 1000, 88.0, 91.7),
        (10, 10, 72.2, 100),
        (0, 10, 0, 27.8),
    ],
)
def test_the_interval_narrows_with_the_number_of_counts(hits: int, n: int, low: float, high: float) -> None:
    """Nine of ten may be anything from 60 to 98 %; the figures are Wilson's, as in any statistics book."""
    assert wilson(hits, n) == pytest.approx((low, high), abs=0.05)
    assert wilson(0, 0) == (0, 100)
    assert wilson(0, 1) == pytest.approx((0, 79.3), abs=0.05)
    assert wilson(1, 1) == pytest.approx((20.7, 100), abs=0.05)


def test_a_sale_told_late_is_the_books_fault_and_not_the_shelfs() -> None:
    """Five in the books, four counted at six; the five o'clock sale is told the next morning."""
    late = Late(LevelKey("BAG", "SOHO"), -1, SIX - HOUR, SIX + DAY)
    (bag,) = observe([counted("BAG", 4, 5)], [late])
    assert (bag.count.variance, bag.drift, bag.physical) == (-1, -1, 0)
    found = Accuracy.of([bag], EXACT)
    assert (found.percent, found.complete) == (0, 100)
    told = line({}, [bag], [EXACT])
    assert (told.late_only, told.physical, told.missing, told.found) == (1, 0, 1, 0)


def test_a_late_receipt_can_hide_a_missing_piece() -> None:
    """The books agree by chance: two came in unentered, two are gone. Complete, the books are off by two."""
    late = Late(LevelKey("BAG", "SOHO"), 2, SIX - HOUR, SIX + DAY)
    (bag,) = observe([counted("BAG", 5, 5)], [late])
    found = Accuracy.of([bag], EXACT)
    assert (bag.physical, found.percent, found.complete) == (-2, 100, 0)
    assert line({}, [bag], [EXACT]).physical == 1


@pytest.mark.parametrize(
    ("happened", "entered", "drifts"),
    [
        (SIX - HOUR, SIX + 3 * DAY, [-1, 0]),  # before both, told after both: the first had not seen it
        (SIX - HOUR, SIX + DAY, [-1, 0]),  # told between them: the second count found it entered
        (SIX + HOUR, SIX + 3 * DAY, [0, -1]),  # between the two counts, told after both
        (SIX - HOUR, SIX, [0, 0]),  # told before the first count was entered: allowed for
        (SIX + 3 * DAY, SIX + 4 * DAY, [0, 0]),  # after both
    ],
)
def test_a_late_posting_is_the_drift_of_the_first_count_that_had_not_seen_it(
    happened: datetime, entered: datetime, drifts: list[int]
) -> None:
    """Counted on two days; another level's lateness is its own."""
    counts = [counted("BAG", 4, 5), counted("BAG", 4, 4, SIX + 2 * DAY)]
    mine = Late(LevelKey("BAG", "SOHO"), -1, happened, entered)
    other = Late(LevelKey("BAG", "DUBAI"), -7, happened, entered)
    assert [each.drift for each in observe(reversed(counts), [mine, other])] == drifts


def test_a_recount_is_no_new_observation() -> None:
    """Found wrong at six and counted once more at seven: the books were wrong once, not right once."""
    found = seen(
        counted("BAG", 4, 5), counted("BAG", 4, 4, SIX + HOUR), counted("BAG", 4, 4, SIX + HOUR + DAY)
    )
    assert [each.recount for each in found] == [False, True, False]
    told = line({}, found, [EXACT])
    assert (told.n, told.recounts, told.accuracy[0].percent) == (2, 1, 50)


def test_a_shelf_that_is_counted_every_day_stays_in_the_report() -> None:
    """Each evening a little earlier: every other day is an observation, and none falls out because of another
    that had fallen out.
    """
    found = seen(*(counted("BAG", 4, 4, SIX + n * 23 * HOUR) for n in range(6)))
    assert [each.recount for each in found] == [False, True, False, True, False, True]
    thrice_a_day = seen(*(counted("BAG", 4, 4, SIX + n * 8 * HOUR) for n in range(7)))
    assert [each.recount for each in thrice_a_day] == [False, True, True, False, True, True, False]


def test_a_percentage_is_meant_as_a_person_reckons_it() -> None:
    """0.57 % of ten thousand are 57, in floating numbers too."""
    assert Tolerance(percent=0.57).allows(-57, 10_000)
    assert not Tolerance(percent=0.57).allows(58, 10_000)


def test_variances_add_up_in_units_and_money() -> None:
    """Two scarves and a bag are missing, a belt was found: -160 -3,000 +150."""
    told = line({}, seen(*SHELF), TOLERANCES)
    assert (told.missing, told.found, told.net_value, told.gross_value) == (3, 1, -3010, 3310)
    assert [str(each.tolerance) for each in told.accuracy] == ["exact", "±1", "±2 %"]
    assert [each.accurate for each in told.accuracy] == [2, 4, 3]


@pytest.mark.parametrize(
    ("price", "name"),
    [
        (None, "unknown"),
        (0, "0-100"),
        (99.99, "0-100"),
        (100, "100-500"),
        (4999, "1000-5000"),
        (5000, "5000+"),
    ],
)
def test_a_band_begins_at_its_first_number(price: float | None, name: str) -> None:
    """And ends before its second."""
    assert band(price) == name


def test_lines_are_by_whatever_is_asked_for() -> None:
    """By place and month; by band in the order of prices; nothing asked for is one line."""
    counts = [*SHELF, counted("BAG", 1, 1, SIX + 10 * DAY, "DUBAI", 6000)]
    by = ("location", "month")
    assert [(dict(each.labels), each.n) for each in group(seen(*counts), by)] == [
        ({"location": "DUBAI", "month": "2026-12"}, 1),
        ({"location": "SOHO", "month": "2026-11"}, 5),
    ]
    bands = [each.labels["band"] for each in group(seen(*counts), ("band",))]
    assert bands == ["0-100", "100-500", "1000-5000", "5000+"]
    (whole,) = group(seen(*counts), ())
    assert (whole.labels, whole.n) == ({}, 6)


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("class", "Leather"),
        ("sku", "BAG"),
        ("counter", "Amina"),
        ("reason", "cycle count"),
        ("day", "2026-11-22"),
        ("week", "2026-W47"),
    ],
)
def test_a_count_has_its_label_in_each_dimension(by: str, said: str) -> None:
    """A SKU without a class is of an unknown one."""
    count = counted("BAG", 1, 1)
    assert labels(count, [by], {"BAG": "Leather"}) == {by: said}
    assert labels(count, ["class"], {}) == {"class": "unknown"}


@pytest.mark.parametrize("text", ["", "-1", "1.5", "0.5.5%", "101%", "nearly", "%"])
def test_what_is_no_tolerance_is_said_to_be_none(text: str) -> None:
    """With what would be one."""
    with pytest.raises(ValueError, match="give exact"):
        Tolerance.parse(text)


def test_of_no_counts_nothing_is_said() -> None:
    """Not nought percent."""
    nothing: Sequence[Observation] = ()
    found = Accuracy.of(nothing, EXACT)
    assert (found.n, found.percent, found.complete, found.by_value) == (0, None, None, None)


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_what_is_asked_of_a_report_is_read_from_words() -> None:
    """Nothing asked is the last 90 days by location; moments are UTC unless they say otherwise."""
    assert read_wish({}, NOON) == IraWish(NOON - 90 * DAY, NOON)
    asked = {
        "by": "class, band",
        "since": "2026-11-01",
        "until": "2026-11-22T12:00:00+02:00",
        "tolerance": "2%,1,exact,1",
        "bands": "50,200.5",
        "class_field": "Family",
        "sku": "BAG",
    }
    wish = read_wish(asked, NOON)
    assert (wish.since, wish.until) == (datetime(2026, 11, 1, tzinfo=UTC), NOON - 2 * HOUR)
    assert [str(each) for each in wish.tolerances] == ["±2 %", "±1", "exact"]
    assert (wish.by, wish.bands, wish.class_field, wish.sku) == (
        ("class", "band"),
        (50, 200.5),
        "Family",
        "BAG",
    )


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"by": "mood"}, ["by"]),
        ({"by": "sku,sku"}, ["by"]),
        ({"since": "long ago", "until": "soon"}, ["since", "until"]),
        ({"since": "1d", "until": "2d"}, ["since"]),
        ({"tolerance": "nearly", "bands": "500,100"}, ["tolerance", "bands"]),
        ({"bands": "0,100"}, ["bands"]),
        ({"bands": "a lot"}, ["bands"]),
        ({"colour": "red"}, ["colour"]),
    ],
)
def test_all_that_cannot_be_asked_is_named_at_once(asked: dict[str, str], names: list[str]) -> None:
    """With what would be right."""
    with pytest.raises(BadWishError) as caught:
        read_wish(asked, NOON)
    assert list(caught.value.problems) == names
