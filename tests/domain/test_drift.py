"""A location's levels are halved by record id until what differs is found."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.drift import Held, HeldLevel, Range, Sums, differing

LEVELS = st.lists(
    st.builds(HeldLevel, st.text("09AZaz", min_size=3, max_size=3), *[st.integers(0, 9)] * 3),
    min_size=2,
    max_size=40,
    unique_by=lambda level: level.record_id,
)


def test_only_the_locations_whose_sums_are_not_equal_are_looked_at() -> None:
    """Equal, another number, another count, and one that only one side has."""
    ours = {"A": Sums(2, 5, 1, 3), "B": Sums(2, 5, 1, 3), "C": Sums(1), "D": Sums(1), "F": Sums()}
    theirs = {"A": Sums(2, 5, 1, 3), "B": Sums(2, 6, 1, 4), "C": Sums(2), "E": Sums(1)}
    assert differing(ours, theirs) == ["B", "C", "D", "E"]


@given(LEVELS)
def test_the_halves_of_a_range_have_together_what_it_has(levels: list[HeldLevel]) -> None:
    """No level is in both, and none in neither, down to single ones."""
    held = Held("ECOM", levels)
    ranges = [held.whole()]
    singles: list[HeldLevel] = []
    while ranges:
        of = ranges.pop()
        if of.levels < 2:
            singles += held.inside(of)
            continue
        halves = held.halves(of)
        sums = [held.sums(half) for half in halves]
        whole = held.sums(of)
        assert whole.levels == of.levels == sum(half.levels for half in halves)
        assert (whole.on_hand, whole.version) == (
            sum(each.on_hand for each in sums),
            sum(each.version for each in sums),
        )
        ranges += halves
    assert sorted(singles, key=lambda level: level.record_id) == held.inside(held.whole())


@given(LEVELS, st.data())
def test_a_differing_level_is_found_by_halving(levels: list[HeldLevel], data: st.DataObject) -> None:
    """Whichever it is: only ranges with it differ."""
    moved = data.draw(st.sampled_from(levels))
    ours = Held("ECOM", levels)
    theirs = Held(
        "ECOM", [replace(each, version=each.version + 1) if each == moved else each for each in levels]
    )
    of: Range = ours.whole()
    while of.levels > 1:
        (of,) = [half for half in ours.halves(of) if ours.sums(half) != theirs.sums(half)]
    assert [each.record_id for each in ours.inside(of)] == [moved.record_id]


def test_levels_that_only_the_org_has_lie_in_some_range() -> None:
    """A range without an end has what comes after the last that we hold."""
    held = Held("ECOM", [HeldLevel("b", 1, 0, 1), HeldLevel("d", 1, 0, 1)])
    left, right = held.halves(held.whole())
    assert (left, right) == (Range("ECOM", None, "b", 1), Range("ECOM", "b", None, 1))
    assert held.whole().few
    assert not Range("ECOM", None, None, 2_001).few
