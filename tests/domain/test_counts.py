"""Counts and postings that are told late, as tables and against the shelf itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from sfsync.domain.counts import (
    Count,
    compensation,
    counted_before,
    folded_after,
    is_late,
    last_counted,
    missing,
    movement,
    on_hand_at,
)
from sfsync.domain.fold import Folded, LedgerRow
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel

BAG = LevelKey("BAG-1", "CONCESSION")
DAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(clock: str) -> datetime:
    """The day's time, such as 17:00 or 17:00:00.5."""
    hours, minutes, *seconds = clock.split(":")
    return DAY + timedelta(
        hours=int(hours), minutes=int(minutes), seconds=float(seconds[0]) if seconds else 0
    )


def row(key: str, units: int, when: datetime, kind: MovementKind = MovementKind.SALE) -> Movement:
    return Movement(key, key, BAG, kind, units, 0, "", "", when)


def stands(*movements: Movement) -> list[LedgerRow]:
    """The level's rows in the order entered."""
    entered = accumulate((each.occurred_at for each in movements), max)
    return [
        LedgerRow(f"{n:06}", each, 1, at, by_sfsync=True)
        for n, (each, at) in enumerate(zip(movements, entered, strict=True))
    ]


OPENING = row("opening", 5, at("8:00"), MovementKind.OPENING)


@pytest.mark.parametrize(
    ("happened", "counted", "late"),
    [
        ("17:00", "18:00", True),
        ("18:00", "18:00", True),  # in the second of the count: it was seen
        ("18:00:00.9", "18:00:00.1", True),  # the org knows whole seconds only
        ("18:00:01", "18:00", False),
        ("19:00", "18:00", False),
    ],
)
def test_a_posting_is_late_when_the_level_was_counted_after_it_happened(
    happened: str, counted: str, late: bool
) -> None:
    """Not when it was told: when it happened."""
    assert is_late(row("sale", -1, at(happened)), at(counted)) is late


def test_nothing_is_late_where_nobody_counted_or_no_goods_moved() -> None:
    """A reservation moves no goods; a level that was never counted has no count to double."""
    assert not is_late(row("sale", -1, at("17:00")), None)
    assert not is_late(row("cart", 0, at("17:00"), MovementKind.CART), at("18:00"))


@pytest.mark.parametrize(("clock", "late"), [("17:59:59", True), ("18:00", False), ("19:00", False)])
def test_the_last_count_is_never_compensated(clock: str, late: bool) -> None:
    """A count told late is taken back by the one after it; one of the same second stands."""
    count = movement(Count("c", BAG, 4, at(clock)), 0, -1)
    assert is_late(count, at("18:00")) is late
    assert is_late(compensation(row("sale", -1, at("12:00")), at(clock)), at("18:00")) is late


def test_the_five_o_clock_sale_after_the_six_o_clock_count() -> None:
    """Five in the books, one sold at 17:00 and not told, four counted at 18:00: four, not three, remain."""
    count = Count("c", BAG, 4, at("18:00"))
    counted = movement(count, 0, 4 - on_hand_at(stands(OPENING), count.at))
    sale = row("posting:receipt-1", -1, at("17:00"))
    back = compensation(sale, at("18:00"))
    assert (counted.on_hand_delta, counted.kind, counted.key) == (
        -1,
        MovementKind.COUNT,
        "count:c:BAG-1|CONCESSION:0",
    )
    assert (back.key, back.on_hand_delta, back.occurred_at) == (
        "late:posting:receipt-1:0",
        1,
        at("18:00"),
    )
    assert "2026-11-23 18:00:00" in back.reference
    assert on_hand_at(stands(OPENING, counted, sale, back), at("23:00")) == 4


def test_a_variance_is_taken_against_what_had_happened_by_the_count() -> None:
    """What was sold after the count is no loss, although it stands in the ledger already."""
    rows = stands(OPENING, row("before", -1, at("17:00")), row("after", -2, at("19:00")))
    assert on_hand_at(rows, at("18:00")) == 4


@pytest.mark.parametrize(
    ("entered", "found"),
    [
        (("count", "sale"), "18:00"),  # the count was first: the sale is subtracted twice
        (("sale", "count"), None),  # whoever counted had the sale in the books
        (("count", "sale", "next count"), None),
        (("next count", "sale", "count"), "20:00"),
        (("count",), None),  # the sale was deleted
        (("sale",), None),
    ],
)
def test_who_was_first_says_whether_a_count_slipped_in(entered: Sequence[str], found: str | None) -> None:
    """A person counted in the org while a sale was under way to it; the order of the rows decides."""
    known = {
        "sale": row("sale", -1, at("17:00")),
        "count": row("", -1, at("18:00"), MovementKind.COUNT),
        "next count": row("", -1, at("20:00"), MovementKind.COUNT),
    }
    rows = stands(OPENING, *(known[name] for name in entered))
    assert counted_before(known["sale"], rows) == (None if found is None else at(found))


def test_what_slipped_into_a_count_is_its_next_step() -> None:
    """A till entered a sale of 17:30 between the reading of the ledger and the count's own row."""
    first = movement(Count("c", BAG, 4, at("18:00")), 0, -1)
    rows = stands(OPENING, row("foreign", -1, at("17:30")), first)
    further = missing(first, rows, 1)
    assert further is not None
    assert (further.key, further.on_hand_delta, further.source_version) == (
        "count:c:BAG-1|CONCESSION:1",
        1,
        "counted 4",
    )
    assert missing(further, stands(*(each.movement for each in rows), further), 2) is None


def test_what_has_its_compensation_on_the_way_is_not_missing_from_the_count() -> None:
    """A sale of 17:30 is told after the count of 18:00, and taken back as of the count.

    If the count's next step took it back, too, one unit too many would be there.
    """
    first = movement(Count("c", BAG, 5, at("18:00")), 0, 0)
    sale = row("sale", -1, at("17:30"))
    rows = stands(OPENING, first, sale)
    assert missing(first, rows, 1) is not None
    assert missing(first, rows, 1, [compensation(sale, at("18:00"))]) is None
    # One that names an older count is late for this one when it comes, and taken back itself.
    assert missing(first, rows, 1, [compensation(sale, at("17:45"))]) is not None


def test_a_count_before_the_last_folded_movement_cannot_be_entered() -> None:
    """The opening row says what there was when its last movement happened, and no longer how it came."""
    (opening,) = stands(row("fold:x:0", 5, at("12:00"), MovementKind.OPENING))
    folded = replace(opening, folded={"posting:a": Folded(1, 5)})
    assert folded_after([folded], at("11:59")) == at("12:00")
    assert folded_after([folded], at("12:00")) is None
    assert folded_after([opening], at("11:00")) is None


def test_what_is_dated_after_its_entry_happened_when_it_was_entered() -> None:
    """A date in spring: neither a sale nor what was folded is still to come."""
    (sale,) = stands(row("posting:a", -1, at("12:00")))
    spring = replace(sale.movement, occurred_at=at("12:00") + timedelta(days=150))
    ahead = replace(sale, movement=spring)
    assert ahead.happened_at == at("12:00")
    assert on_hand_at([ahead], at("12:00")) == -1
    assert folded_after([replace(ahead, folded={"posting:a": Folded(1, -1)})], at("12:00")) is None
    level = StockLevel(sale.movement.level, 5, 0, 2, "a01", spring.occurred_at)
    assert last_counted(level, at("12:00")) is None
    assert last_counted(level, spring.occurred_at) == spring.occurred_at


# -- against the shelf itself --------------------------------------------------------------------------


@dataclass(frozen=True)
class News:
    """Something that happened at `when` and is told after `delay`: goods moved, or (None) a count."""

    when: int
    delay: int
    units: int | None


STORIES = st.lists(
    st.builds(
        News, st.integers(1, 30), st.integers(0, 30), st.none() | st.integers(-3, 3).filter(lambda n: n != 0)
    ),
    min_size=1,
    max_size=12,
).filter(lambda story: any(each.units is None for each in story))


def minute(number: int) -> datetime:
    return DAY + timedelta(minutes=number)


def shelf(story: Sequence[News], until: int) -> int:
    """What is really there: seven, whatever the books say."""
    return 7 + sum(each.units or 0 for each in story if each.when <= until)


def books(
    story: Sequence[News],
    expected: Callable[[Sequence[LedgerRow], News], int],
    *,
    compensated: bool,
) -> list[Movement]:
    """The ledger in the end, when news is entered in the order told. It begins with a wrong five."""
    rows = [row("opening", 5, DAY, MovementKind.OPENING)]

    def enter(each: Movement) -> None:
        last = max((r.occurred_at for r in rows if r.kind is MovementKind.COUNT), default=None)
        rows.append(each)
        if compensated and last is not None and is_late(each, last):
            rows.append(compensation(each, last))

    told = sorted(enumerate(story), key=lambda pair: (pair[1].when + pair[1].delay, pair[0]))
    for number, news in told:
        if news.units is not None:
            enter(row(f"posting:{number}", news.units, minute(news.when)))
            continue
        count = Count(str(number), BAG, shelf(story, news.when), minute(news.when))
        enter(movement(count, 0, count.units - expected(stands(*rows), news)))
    return rows


def by_the_rule(rows: Sequence[LedgerRow], news: News) -> int:
    return on_hand_at(rows, minute(news.when))


def by_todays_level(rows: Sequence[LedgerRow], news: News) -> int:
    return on_hand_at(rows, minute(1_000))


def on_hand(rows: Sequence[Movement]) -> int:
    return sum(each.on_hand_delta for each in rows)


@settings(max_examples=300)
@given(STORIES)
def test_in_the_end_the_books_say_what_the_shelf_says(story: list[News]) -> None:
    """Sales, receipts and counts in any order, told at once or late: nothing is subtracted twice."""
    rows = books(story, by_the_rule, compensated=True)
    assert on_hand(rows) == shelf(story, 1_000)
    last = max(each.when for each in story if each.units is None)
    assert on_hand_at(stands(*rows), minute(last)) == shelf(story, last)


@pytest.mark.parametrize(
    ("expected", "compensated"),
    [(by_todays_level, False), (by_todays_level, True), (by_the_rule, False)],
    ids=["against today's level", "against today's level, compensated", "without compensation"],
)
def test_each_weaker_rule_fails_on_the_same_stories(
    expected: Callable[[Sequence[LedgerRow], News], int], compensated: bool
) -> None:
    """A story is found in which its books differ from the shelf (else `find` would raise)."""

    def wrong(story: list[News]) -> bool:
        return on_hand(books(story, expected, compensated=compensated)) != shelf(story, 1_000)

    assert wrong(find(STORIES, wrong, settings=settings(max_examples=500, derandomize=True)))
