"""Velocity, sell-through, cover, what lacks and what to count: tables that can be checked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.stock import LevelKey
from sfsync.domain.turnover import Past, Turnover, abc_classes, count_next, replenish, sell_through

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)


def row(
    sku: str,
    place: str,
    on_hand: int,
    sold: int,
    *,
    reserved: int = 0,
    returned: int = 0,
    price: float | None = None,
    unit: str | None = None,
) -> Turnover:
    """What a level sold in 30 days."""
    return Turnover(LevelKey(sku, place, unit), on_hand, on_hand - reserved, sold, returned, 30.0, price)


def test_sell_through_is_the_share_of_what_could_have_been_sold() -> None:
    """Of 80 scarves 40 were sold in 30 days: the 40 that are left last another 30."""
    rows = [
        row("SCARF", "SOHO", 10, 30, returned=2, price=80),
        row("BELT", "SOHO", 20, 0, price=150),
        row("SCARF", "DUBAI", 30, 10, price=80),
    ]
    scarf, belt = sell_through(rows, ("sku",), {})
    assert (scarf.labels, scarf.sold, scarf.returned, scarf.on_hand) == ({"sku": "SCARF"}, 40, 2, 40)
    assert (scarf.percent, scarf.value_sold) == (50, 3200)
    assert scarf.cover_days == pytest.approx(30)
    assert (belt.percent, belt.velocity, belt.cover_days) == (0, 0, None)
    soho, dubai = sell_through(rows, ("location",), {})
    assert (soho.percent, dubai.percent) == (50, 25)
    (whole,) = sell_through(rows, (), {})
    assert whole.sold == 40
    assert [line.labels for line in sell_through(rows, ("class",), {"SCARF": "Silk"})] == [
        {"class": "Silk"},
        {"class": "unknown"},
    ]


def test_nothing_sold_of_nothing_is_no_share() -> None:
    """A level that holds less than nothing makes none either."""
    (line,) = sell_through([row("BAG", "SOHO", -1, 0)], ("sku",), {})
    assert (line.percent, line.on_hand) == (None, 0)


def test_what_lacks_comes_from_where_there_is_too_much_before_it_is_bought() -> None:
    """One a day, wanted for 7 + 28 days: 35. Soho has 5, so 30 lack; Dubai has 25 and sells none."""
    rows = [row("SCARF", "SOHO", 5, 30), row("SCARF", "DUBAI", 25, 0), row("SCARF", "PARIS", 35, 30)]
    (soho,), _ = replenish(rows, lead_days=7, cover_days=28, over_days=180, limit=9)
    assert (soho.level.location, soho.lacking, soho.moves, soho.buy) == ("SOHO", 30, {"DUBAI": 25}, 5)
    assert soho.cover_days == pytest.approx(5)


def test_a_surplus_is_given_away_once_and_first_to_whoever_runs_out_first() -> None:
    """Ten spare; Paris has three days left and Soho six; what is promised is not there."""
    rows = [
        row("SCARF", "SOHO", 6, 30),
        row("SCARF", "PARIS", 5, 30, reserved=2),
        row("SCARF", "DUBAI", 10, 0),
        row("BELT", "ROME", 90, 0),
        row("WATCH", "SOHO", 0, 3, unit="S/N 1"),
    ]
    (paris, soho, *over), there_are = replenish(rows, lead_days=2, cover_days=10, over_days=60, limit=9)
    assert (paris.level.location, paris.lacking, paris.moves, paris.buy) == ("PARIS", 9, {"DUBAI": 9}, 0)
    assert (soho.level.location, soho.lacking, soho.moves, soho.buy) == ("SOHO", 6, {"DUBAI": 1}, 5)
    assert [(each.level.sku, each.over, each.cover_days) for each in over] == [("BELT", 90, None)]
    assert there_are == 3
    for limit in (1, 2):
        told = replenish(rows, lead_days=2, cover_days=10, over_days=60, limit=limit)
        assert told == ([paris, soho][:limit], 3)
    told = replenish(rows, lead_days=2, cover_days=10, over_days=60, location="SOHO", limit=9)
    assert told == ([soho], 1)


def test_over_bought_is_what_lasts_longer_than_wanted() -> None:
    """One a day and 100 there: for 60 days 60 would do."""
    (scarf,), _ = replenish(
        [row("SCARF", "SOHO", 100, 30)], lead_days=7, cover_days=28, over_days=60, limit=9
    )
    assert (scarf.over, scarf.lacking) == (40, 0)
    assert scarf.cover_days == pytest.approx(100)


def test_classes_are_cut_at_80_and_95_percent_of_what_sells_in_money() -> None:
    """70, 20, 8 and 2 of a hundred; what sells nothing is a C whatever it costs."""
    rows = [
        row("A1", "SOHO", 1, 7, price=10),
        row("A2", "SOHO", 1, 2, price=10),
        row("B", "SOHO", 1, 8, price=1),
        row("C", "SOHO", 1, 2),
        row("GOLD", "SOHO", 1, 0, price=9999),
    ]
    found = {level.sku: abc for level, abc in abc_classes(rows).items()}
    assert found == {"A1": "A", "A2": "A", "B": "B", "C": "C", "GOLD": "C"}
    assert set(abc_classes([row("X", "SOHO", 1, 0)]).values()) == {"C"}


def test_what_to_count_next_says_why() -> None:
    """A best seller counted 60 days ago (2 points), one off then (3); a slow one a year ago (2.03)."""
    best, off, slow, new, fine = (
        row("BEST", "SOHO", 10, 100, price=10),
        row("OFF", "SOHO", 10, 100, price=10),
        row("SLOW", "SOHO", 5, 0, price=10),
        row("NEW", "SOHO", 3, 0, price=10),
        row("FINE", "SOHO", 9, 0, price=10),
    )
    ago = {best: 60, off: 60, slow: 365, fine: 18}
    past = {each.level: Past(NOW - timedelta(days=days), 0) for each, days in ago.items()}
    past[off.level] = Past(NOW - timedelta(days=60), -2)
    found = count_next([best, off, slow, new, fine], past, {}, NOW, 9)
    assert [(each.level.sku, each.points) for each in found] == [
        ("OFF", 3),
        ("SLOW", 2.03),
        ("BEST", 2),
        ("NEW", 2),
        ("FINE", 0.1),
    ]
    assert count_next([best, off, slow, new, fine], past, {}, NOW, 2) == found[:2]
    assert found[0].why == ("counted 60 days ago; class A is due every 30", "off by -2 at the last count")
    assert (found[3].why, found[3].counted_at) == (("never counted",), None)


def test_trouble_brings_a_shelf_forward() -> None:
    """Books below nothing, a promise beyond stock, an incident: a point each."""
    level = row("BAG", "SOHO", -1, 0, reserved=1)
    past = {level.level: Past(NOW, 0)}
    (found,) = count_next([level], past, {level.level: ["oversold order #1042"]}, NOW, 9)
    assert found.points == 3
    assert found.why[1:] == ("the books say -1", "2 promised beyond stock", "oversold order #1042")
