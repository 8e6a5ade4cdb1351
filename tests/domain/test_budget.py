"""Who may still call the org: a day of calls as a table, hour by hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.budget import (
    HourOfCalls,
    Usage,
    Work,
    delivery_outlook,
    may_go,
    may_probe,
    next_probe,
    outlook,
    recalled,
    refused,
    sent,
    standing,
    told,
)

MIDNIGHT = datetime(2026, 11, 27, tzinfo=UTC)
ALLOWED = 1_000


def at(hour: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def day(*calls: tuple[int, int, int], reserved: int = 20) -> Usage:
    """A day from (hour, our calls in it, everybody's calls in it); nothing was used before it."""
    usage = told(Usage(reserved), at(-30), 0, ALLOWED)
    used = 0
    for hour, ours, everybody in calls:
        used += everybody
        for _ in range(ours):
            usage = sent(usage, at(hour))
        usage = told(usage, at(hour + 0.5), used, ALLOWED)
    return usage


@pytest.mark.parametrize(
    ("ours", "others", "going"),
    [
        # 1,000 a day, 200 of them reserved for others: 800 are ours, and four fifths of those are 640.
        (0, 0, "sales refresh bulk"),
        (639, 0, "sales refresh bulk"),
        (640, 0, "sales refresh"),
        (799, 0, "sales refresh"),
        (800, 0, "sales"),
        (999, 0, "sales"),
        # What others have used of their reserve costs us nothing …
        (639, 200, "sales refresh bulk"),
        (800, 150, "sales"),
        # … and beyond it, leaves us less: of 400, four fifths are 320.
        (319, 600, "sales refresh bulk"),
        (320, 600, "sales refresh"),
        (400, 600, "sales"),
        (0, 999, "sales refresh bulk"),
        (0, 1_000, "sales"),
        (1, 999, "sales"),
    ],
)
def test_bulk_work_stops_first_then_refreshing_and_sales_never_of_ourselves(
    ours: int, others: int, going: str
) -> None:
    """What others may still use of the reserve stays theirs; a sale goes on until the org says no."""
    usage = day((8, ours, ours + others))
    now = at(9)
    assert " ".join(work.value for work in Work if may_go(usage, work, now) is None) == going


@pytest.mark.parametrize(("reserved", "until"), [(0, 799), (20, 639), (50, 399), (90, 79)])
def test_the_reserve_is_a_setting(reserved: int, until: int) -> None:
    """The larger it is, the sooner bulk work stops."""
    assert may_go(day((8, until, until), reserved=reserved), Work.BULK, at(9)) is None
    assert may_go(day((8, until + 1, until + 1), reserved=reserved), Work.BULK, at(9)) is not None


def test_work_that_waits_goes_on_when_enough_old_calls_no_longer_count() -> None:
    """500 at eight, 200 at ten, 100 at noon: refreshing has room as soon as the first hour is a day old."""
    usage = day((8, 500, 500), (10, 200, 200), (12, 100, 100))
    assert may_go(usage, Work.REFRESH, at(13)) == at(24 + 9)
    assert may_go(usage, Work.BULK, at(13)) == at(24 + 9)
    assert may_go(usage, Work.REFRESH, at(24 + 8.9)) == at(24 + 9)
    assert may_go(usage, Work.REFRESH, at(24 + 9)) is None


def test_bulk_work_waits_longer_than_refreshing() -> None:
    """Its share is smaller, so more of the past must go first."""
    usage = day((8, 50, 50), (10, 200, 200), (12, 550, 550))
    assert may_go(usage, Work.REFRESH, at(13)) == at(24 + 9)
    assert may_go(usage, Work.BULK, at(13)) == at(24 + 11)


def test_calls_of_others_that_fall_out_give_us_room_too() -> None:
    """A data load of somebody else's yesterday is over today."""
    usage = day((6, 0, 900), (9, 95, 95))
    assert may_go(usage, Work.BULK, at(10)) == at(24 + 7)
    assert may_go(usage, Work.BULK, at(24 + 7)) is None


def test_a_limit_that_was_hit_stops_everything_and_tells_the_hour_of_recovery() -> None:
    """The org takes no more; the hour is that in which the oldest calls no longer count."""
    usage = refused(day((6, 300, 400), (9, 300, 600)), at(10.25))
    for work in Work:
        assert may_go(usage, work, at(10.5)) == at(24 + 7)
    told_so = standing(usage, at(10.5))
    assert told_so is not None
    assert told_so.refused
    assert (told_so.used, told_so.allowed, told_so.ours_used) == (1_000, 1_000, 600)


def test_a_sale_asks_once_a_minute_and_what_gets_through_ends_the_pause() -> None:
    """Nobody knows better than the org."""
    usage = refused(day((6, 300, 1_000)), at(10))
    assert not may_probe(usage, Work.SALE, at(10) + timedelta(seconds=59))
    assert may_probe(usage, Work.SALE, at(10) + timedelta(seconds=60))
    assert not may_probe(usage, Work.BULK, at(10) + timedelta(minutes=14))
    assert may_probe(usage, Work.BULK, at(10) + timedelta(minutes=15))
    assert next_probe(usage, Work.SALE) == at(10) + timedelta(seconds=60)
    after = told(usage, at(11), 700, ALLOWED)
    assert may_go(after, Work.SALE, at(11)) is None
    assert may_go(after, Work.REFRESH, at(11)) is None


def test_work_under_the_reserve_hears_of_a_better_day_within_a_quarter_of_an_hour() -> None:
    """An admin may have bought more calls: one call is let through to hear of it."""
    usage = day((8, 800, 800))
    assert may_go(usage, Work.BULK, at(9)) is not None
    assert may_probe(usage, Work.BULK, at(9))
    assert may_go(told(usage, at(9), 801, 10 * ALLOWED), Work.BULK, at(9)) is None


def test_a_limit_hit_before_the_org_told_its_size_is_waited_for_an_hour() -> None:
    """Nothing is known but that it is used up."""
    usage = refused(Usage(20), at(10))
    assert standing(usage, at(10)) is None
    assert may_go(usage, Work.REFRESH, at(10.9)) == at(11)
    assert may_go(usage, Work.REFRESH, at(11)) is None


def test_calls_made_before_we_watched_come_back_evenly() -> None:
    """A new installation finds 960 used: 40 for each hour of the day before."""
    usage = told(Usage(20), at(10.5), 960, ALLOWED)
    hit = refused(usage, at(10.75))
    assert may_go(hit, Work.REFRESH, at(10.75)) == at(12)  # the hour from 11 to 12 of the day before
    stand = standing(usage, at(34))
    assert stand is not None
    assert stand.used == 40


def test_a_restart_goes_on_where_the_run_before_ended() -> None:
    """What was kept of each hour gives the same answer as having stayed."""
    stayed = day((8, 500, 500), (10, 200, 200), (12, 100, 100))
    anew = recalled(Usage(20), stayed.hours, ALLOWED)
    for work in (Work.REFRESH, Work.BULK):
        assert may_go(anew, work, at(14)) == may_go(stayed, work, at(14)) == at(24 + 9)
    both = recalled(sent(Usage(20), at(12.9)), stayed.hours, ALLOWED)
    assert [each for each in both.hours if each.hour == at(12)] == [HourOfCalls(at(12), 101, 800)]


def test_hours_longer_ago_than_two_days_are_forgotten() -> None:
    """They no longer tell anything."""
    usage = Usage(20)
    for hour in range(100):
        usage = sent(usage, at(hour))
    assert len(usage.hours) == 48
    assert sum(each.ours for each in usage.hours) == 48


def test_a_clock_that_goes_back_loses_no_call() -> None:
    """It is counted in the newest hour known."""
    usage = sent(sent(Usage(20), at(5)), at(3))
    assert usage.hours == (HourOfCalls(at(5), 2),)


def test_nothing_is_left_for_us_where_others_take_everything() -> None:
    """Then only sales go on, and there is an hour told all the same."""
    usage = replace(day((8, 10, ALLOWED + 200)), refused_at=None)
    assert may_go(usage, Work.SALE, at(9)) is None
    assert may_go(usage, Work.REFRESH, at(9)) == at(24 + 9)


@pytest.mark.parametrize(
    ("calls", "now", "pace", "most", "used_up"),
    [
        ([(0, 5, 10)], 1, 5, 125, None),  # in 23 hours; an hour later the first ten count no more
        ([(hour, 10, 60) for hour in range(8)], 7.5, 72, 1000, 15.5),
        ([(hour, 10, 120) for hour in range(4)], 3.5, 144, 1000, 7.5),
    ],
)
def test_the_pace_of_the_last_hours_tells_when_the_day_is_used_up(
    calls: list[tuple[int, int, int]], now: float, pace: int, most: int, used_up: float | None
) -> None:
    """What is made from now on, less what falls out of the 24 hours meanwhile."""
    found = outlook(day(*calls), at(now))
    assert found is not None
    assert (found.pace_an_hour, found.most_used) == (pace, most)
    assert found.used_up_at == (None if used_up is None else at(used_up))


def test_calls_that_are_used_up_are_so_now_and_not_in_an_hour() -> None:
    """Four hundred of four hundred: no later moment is told."""
    found = outlook(told(Usage(20), at(5), 400, 400), at(5))
    assert found is not None
    assert found.used_up_at == at(5)


def test_without_a_word_of_the_org_there_is_no_outlook() -> None:
    """Nothing is known of its allowance."""
    assert outlook(Usage(20), at(0)) is None


def test_deliveries_go_on_at_the_pace_of_the_hours_that_were_told_of() -> None:
    """One number alone tells no pace; 300 an hour beside what falls out of the day are too many at last."""
    usage = told(Usage(0), at(0), 600, 6_000)
    assert delivery_outlook(None, at(0)) is None
    assert delivery_outlook(usage, at(0)) is None
    for hour in range(1, 4):
        usage = told(usage, at(hour), 600 + hour * 275, 6_000)  # 300 came, and 25 fell out
    ahead = delivery_outlook(usage, at(3))
    assert ahead is not None
    assert 200 <= ahead.pace_an_hour <= 450
    assert ahead.used_up_at is not None
    assert at(12) <= ahead.used_up_at <= at(24)
    quiet = told(told(Usage(0), at(0), 600, 6_000), at(1), 580, 6_000)
    calm = delivery_outlook(quiet, at(1))
    assert calm is not None
    assert calm.used_up_at is None
