"""The arithmetic of the demo's checks: what they would notice."""

from __future__ import annotations

import math
import tomllib

import pytest

from sfsync.cli.demo.sums import (
    Arrival,
    Cover,
    Held,
    Level,
    Outage,
    Row,
    Rules,
    SoldLine,
    arrivals,
    covers,
    expected,
    explained,
    oversold,
    percentile,
    repeated,
    undisturbed,
    wrong_on_hand,
)
from sfsync.resources import config_folder

RULES = Rules(
    {"london": ("SHOP", "WEB"), "dubai": ("WEB",)},
    {"london": "mirrored", "dubai": "mirrored"},
    [
        {"skus": ["GATED-*"], "guarantee": "gated"},
        {"skus": ["ALLOC-*"], "channels": ["london"], "guarantee": "allocated"},
    ],
)


def row(subject: str, *, sku: str = "BAG", on_hand: int = 0, reserved: int = 0, at: str = "WEB") -> Row:
    """A movement."""
    return Row("id", f"{subject}:0", subject, sku, at, "Order", on_hand, reserved, "")


def line(subject: str = "order:london:1:1", *, sku: str = "BAG", units: int = 1, sent: int = 0) -> SoldLine:
    """An accepted order line."""
    return SoldLine(subject.split(":")[1], "#1", subject, sku, units, sent)


# -- oversold ---------------------------------------------------------------------------------------------


def test_a_line_that_the_org_holds_is_not_oversold() -> None:
    """Reserved once, for as many as were accepted."""
    sold = line()
    assert oversold([sold], [row(sold.subject, reserved=1)], "BAG") == 0
    assert covers([sold], [row(sold.subject, reserved=1)]) == [Cover(sold, Held(1, 0))]


def test_a_line_that_the_org_does_not_hold_is_oversold() -> None:
    """Of two that were accepted, one is held: one oversold."""
    first, second = line("order:london:1:1"), line("order:dubai:2:2")
    assert oversold([first, second], [row(first.subject, reserved=1)], "BAG") == 1
    assert oversold([first, second], [row(first.subject, reserved=1)], "SHOE") == 0


def test_a_line_entered_twice_is_not_exact() -> None:
    """Doubled is as wrong as lost, and not the same."""
    sold = line()
    doubled = covers([sold], [row(sold.subject, reserved=1), row(sold.subject, reserved=1)])[0]
    assert not doubled.exact
    assert doubled.oversold == 0


@pytest.mark.parametrize(
    ("sold", "rows", "exact"),
    [
        (line(units=2), [row("order:london:1:1", reserved=2)], True),
        (line(units=2), [row("order:london:1:1", reserved=1)], False),
        (line(units=0), [], True),
        (
            line(units=0),
            [row("order:london:1:1", reserved=1), row("order:london:1:1", reserved=-1)],
            True,
        ),
        (line(units=0), [row("order:london:1:1", reserved=1)], False),
        (
            line(units=1, sent=1),
            [row("order:london:1:1", reserved=1), row("order:london:1:1", reserved=-1, on_hand=-1)],
            True,
        ),
        (line(units=1, sent=1), [row("order:london:1:1", reserved=1)], False),
        (line(units=1, sent=1), [row("order:london:1:1", on_hand=-2)], False),
    ],
)
def test_a_line_is_exact_when_the_org_holds_what_is_open_and_booked_out_what_was_sent(
    sold: SoldLine, rows: list[Row], exact: bool
) -> None:
    """No unit more, no unit less, in either."""
    assert covers([sold], rows)[0].exact is exact


def test_a_lack_is_explained_only_when_the_org_has_none_left_for_the_channel() -> None:
    """A unit at a location of its group, and the order was lost; one elsewhere is no help."""
    lacking = Cover(line(), Held())
    group = ("SHOP", "WEB")
    none_left = [Level("BAG", "SHOP", 0, 1), Level("BAG", "WEB", 2, 2), Level("BAG", "ELSEWHERE", 9, 0)]
    assert explained(lacking, none_left, group)
    assert not explained(lacking, [*none_left[:1], Level("BAG", "WEB", 4, 2)], group)
    owed = [Level("BAG", "SHOP", 0, 1), Level("BAG", "WEB", 1, 0)]
    assert explained(lacking, owed, group)  # the last one is somebody else's, who was promised it in the shop
    assert not explained(lacking, [owed[0], Level("BAG", "WEB", 2, 0)], group)
    assert not explained(Cover(line(), Held(1, 0)), none_left, group)
    assert not explained(Cover(line(), Held(2, 0)), none_left, group)


# -- what a storefront should show ------------------------------------------------------------------------


def test_a_mirrored_sku_is_the_sum_of_its_group() -> None:
    """Available at each location of the channel's own group."""
    levels = [Level("BAG", "SHOP", 3, 1), Level("BAG", "WEB", 5, 0), Level("BAG", "ELSEWHERE", 9, 0)]
    assert expected(RULES, levels, [], []) == {("london", "BAG"): 7, ("dubai", "BAG"): 5}


def test_what_was_promised_where_it_is_no_more_is_for_sale_nowhere_else() -> None:
    """One of the shop's is somebody's, and was carried to the warehouse: of its five, four are for sale."""
    levels = [Level("BAG", "SHOP", 0, 1), Level("BAG", "WEB", 5, 0)]
    assert set(expected(RULES, levels, [], []).values()) == {4}
    below_zero = [Level("BAG", "SHOP", -7, 0), Level("BAG", "WEB", 5, 0)]
    assert set(expected(RULES, below_zero, [], []).values()) == {5}
    aside = [row("allocation:paris:BAG|SHOP", reserved=1, at="SHOP")]
    assert set(expected(RULES, levels, aside, []).values()) == {5}


def test_an_order_that_no_stock_covers_is_subtracted() -> None:
    """And never below zero."""
    levels = [Level("BAG", "SHOP", 0, 0), Level("BAG", "WEB", 1, 1)]
    lines = [line("order:london:1:1"), line("order:dubai:2:2")]
    rows = [row("order:london:1:1", reserved=1)]
    assert set(expected(RULES, levels, rows, lines).values()) == {0}
    more = [Level("BAG", "SHOP", 0, 0), Level("BAG", "WEB", 4, 1)]
    assert set(expected(RULES, more, rows, lines).values()) == {2}


def test_an_allocated_sku_is_shown_by_its_holder_alone() -> None:
    """As much as is set aside for it, whatever the level has left."""
    levels = [Level("ALLOC-1", "WEB", 4, 3)]
    rows = [row("allocation:london:ALLOC-1|WEB", sku="ALLOC-1", reserved=3)]
    shown = expected(RULES, levels, rows, [])
    assert shown == {("london", "ALLOC-1"): 3, ("dubai", "ALLOC-1"): 0}


def test_the_rules_are_those_of_the_demos_settings() -> None:
    """Three ways for the last handbag, and both sites sell from flagship and warehouse."""
    rules = Rules.of_settings(tomllib.loads((config_folder() / "demo.toml").read_text(encoding="utf-8")))
    assert {name: set(group) for name, group in rules.groups.items()} == {
        "london": {"KNIGHTSBRIDGE", "ECOM"},
        "dubai": {"KNIGHTSBRIDGE", "ECOM"},
    }
    assert [rules.guarantee(channel, "GATED-1") for channel in rules.groups] == ["gated", "gated"]
    assert [rules.guarantee(channel, "ALLOC-1") for channel in rules.groups] == ["allocated", "closed"]
    assert [rules.guarantee(channel, "OTHER") for channel in rules.groups] == ["mirrored", "mirrored"]


# -- tills and keys ---------------------------------------------------------------------------------------


def test_a_till_sale_counted_twice_or_never_is_noticed() -> None:
    """On hand is opening less till sales less goods sent."""
    opening, till = {("BAG", "SHOP"): 5, ("BAG", "WEB"): 5}, {("BAG", "SHOP"): 2}
    rows = [row("order:london:1:1", on_hand=-1, reserved=-1)]
    right = [Level("BAG", "SHOP", 3, 0), Level("BAG", "WEB", 4, 0)]
    assert wrong_on_hand(opening, right, rows, till) == []
    for units in (2, 4):
        wrong = [Level("BAG", "SHOP", units, 0), Level("BAG", "WEB", 4, 0)]
        assert wrong_on_hand(opening, wrong, rows, till) == [f"BAG at SHOP: {units}, should be 3"]


def test_a_key_that_comes_twice_is_named_and_blank_ones_do_not_count() -> None:
    """Each once, in order."""
    assert repeated(["b", "a", "b", "", "", "b", "c", "a"]) == ["a", "b"]


# -- latency ----------------------------------------------------------------------------------------------


def test_a_sales_arrival_is_the_first_change_after_its_commit() -> None:
    """Changes before it belong to something else; one that never came is infinitely late."""
    found = arrivals({"BAG": 100.0}, {"london": [("BAG", 90.0), ("BAG", 130.0), ("BAG", 500.0)], "dubai": []})
    assert found == [Arrival("london", "BAG", 100.0, 130.0), Arrival("dubai", "BAG", 100.0, None)]
    assert [way.latency_ms for way in found] == [30.0, math.inf]


@pytest.mark.parametrize(
    ("committed", "shown", "kept"),
    [
        (10.0, 20.0, True),  # over before the kill
        (90.0, 130.0, False),  # on its way when the daemon was killed
        (150.0, 320.0, False),
        (220.0, 320.0, False),  # listening again, but not caught up yet
        (310.0, 330.0, True),
        (150.0, None, False),
        (310.0, None, True),  # lost in calm weather must not be left out
    ],
)
def test_a_way_is_left_out_only_when_it_met_a_kill(committed: float, shown: float | None, kept: bool) -> None:
    """From the kill until everything it had held up was caught up."""
    way = Arrival("london", "BAG", committed, shown)
    assert undisturbed([way], [Outage(100.0, 200.0, 300.0)]) == ([way] if kept else [])


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """The smallest that so many do not exceed; nan of none."""
    values = [float(value) for value in range(200, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (100.0, 198.0, 200.0)
    assert percentile([7.0], 1) == 7.0
    assert math.isnan(percentile([], 50))
