"""What a channel shows, as a sum that a merchandiser could add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.ats import AtsFacts, Guarantee, LevelFacts, Part, Policy, available_to_sell
from sfsync.domain.stock import LevelKey

SHOP, WEB = LevelKey("BAG-1", "KNIGHTSBRIDGE"), LevelKey("BAG-1", "ECOM")
MIRRORED, GATED, ALLOCATED = (Policy(Guarantee(word)) for word in ("mirrored", "gated", "allocated"))


def show(
    policy: Policy = MIRRORED,
    *levels: LevelFacts,
    own_reserved: int = 0,
    own_asked: int = 0,
    allocation: int = 0,
    uncovered: int = 0,
) -> int:
    facts = AtsFacts(policy, levels, own_reserved, own_asked, allocation, uncovered)
    return available_to_sell(facts).units


@pytest.mark.parametrize(
    ("shop", "web", "expected"),
    [
        # (on hand, reserved, asked, leaving) at the boutique and at the warehouse
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
        ((1, 0, 0, 0), (4, 0, 0, 0), 5),
        ((1, 1, 0, 0), (4, 2, 0, 0), 2),
        ((1, 0, 1, 0), (4, 0, 0, 0), 4),  # somebody is asking for the boutique's last one
        ((1, 0, 0, 1), (4, 0, 0, 0), 4),  # it is leaving
        ((0, 2, 0, 0), (4, 0, 0, 0), 4),  # the boutique owes two: its debt is not the warehouse's
        ((-1, 0, 0, 0), (0, 0, 0, 0), 0),
    ],
)
def test_a_mirrored_channel_shows_what_its_locations_can_sell(
    shop: tuple[int, int, int, int], web: tuple[int, int, int, int], expected: int
) -> None:
    """On hand less promises, less what is being asked or leaving, location by location."""
    assert show(MIRRORED, LevelFacts(SHOP, *shop), LevelFacts(WEB, *web)) == expected


@pytest.mark.parametrize(
    ("policy", "expected"), [(GATED, 7), (MIRRORED, 2), (Policy(Guarantee.GATED, cap=5), 5)]
)
def test_units_of_the_local_block_are_shown_where_customers_are_asked_for(
    policy: Policy, expected: int
) -> None:
    """Two in the pool and five in the block: who asks first can have seven, who does not can have two."""
    facts = AtsFacts(policy, [LevelFacts(WEB, 7, 5)], block=5)
    assert available_to_sell(facts).units == expected


@pytest.mark.parametrize(
    ("policy", "uncovered", "expected"),
    [
        (Policy(Guarantee.MIRRORED, safety_stock=2), 0, 3),
        (Policy(Guarantee.MIRRORED, safety_stock=9), 0, 0),
        (Policy(Guarantee.MIRRORED, cap=3), 0, 3),
        (Policy(Guarantee.MIRRORED, safety_stock=3, cap=3), 0, 2),
        (Policy(Guarantee.MIRRORED, cap=0), 0, 0),
        (Policy(Guarantee.MIRRORED), 2, 3),
        (Policy(Guarantee.MIRRORED, allocated_elsewhere=True), 0, 0),
        (Policy(Guarantee.GATED, allocated_elsewhere=True), 0, 0),
        (Policy(Guarantee.UNKNOWN), 0, 0),
    ],
)
def test_policies_only_ever_take_away(policy: Policy, uncovered: int, expected: int) -> None:
    """Five pieces in the warehouse, and what each policy leaves of them."""
    assert show(policy, LevelFacts(WEB, 5, 0), uncovered=uncovered) == expected


@pytest.mark.parametrize(
    ("on_hand", "reserved", "asked", "own_reserved", "own_asked", "expected"),
    [
        (1, 1, 0, 1, 0, 1),  # its own shopper holds the last one: the site must let him buy it
        (1, 1, 0, 0, 0, 0),  # somebody else holds it
        (3, 1, 0, 1, 0, 3),
        (1, 0, 1, 0, 1, 1),  # its own shopper is asking for it
        (1, 0, 1, 0, 0, 0),  # somebody else is
        (0, 0, 1, 0, 1, 0),  # he asks for what is not there
        (1, 0, 2, 0, 2, 1),  # two of its shoppers ask for the last one
        (1, 0, 2, 0, 1, 1),  # one of its shoppers and one of another channel's: either may get it
        (0, 1, 0, 1, 0, 1),  # a counter sale uncovered his promise; he still has it until told
    ],
)
def test_a_gated_channel_keeps_showing_what_its_own_shoppers_hold(
    on_hand: int, reserved: int, asked: int, own_reserved: int, own_asked: int, expected: int
) -> None:
    """Whoever holds a reservation can pay for it; nobody else sees it."""
    facts = LevelFacts(WEB, on_hand, reserved, asked)
    assert show(GATED, facts, own_reserved=own_reserved, own_asked=own_asked) == expected


def test_an_allocated_channel_shows_its_allocation_and_nothing_of_the_pool() -> None:
    """What others may sell does not change what it may."""
    assert show(ALLOCATED, LevelFacts(WEB, 9, 2), allocation=2) == 2
    assert show(ALLOCATED, LevelFacts(WEB, 0, 2), allocation=0) == 0


units = st.integers(-3, 9)
few = st.integers(0, 5)
levels = st.lists(st.builds(LevelFacts, st.sampled_from([SHOP, WEB]), units, few, few, few), max_size=3)
policies = st.builds(Policy, st.sampled_from(list(Guarantee)), few, st.none() | few, st.booleans())
facts = st.builds(AtsFacts, policies, levels, few, few, few, few)


@given(facts)
def test_the_parts_add_up_to_what_is_shown(facts: AtsFacts) -> None:
    """The explanation is the calculation; below zero, zero is shown."""
    ats = available_to_sell(facts)
    assert ats.units == max(0, sum(part.units for part in ats.parts))
    assert all(part.what for part in ats.parts)


@given(facts)
def test_a_cap_is_never_exceeded(facts: AtsFacts) -> None:
    """Nothing is shown above its cap, nor below zero."""
    shown = available_to_sell(facts).units
    assert shown >= 0
    assert facts.policy.cap is None or shown <= facts.policy.cap


@given(facts)
def test_a_mirrored_channel_never_shows_more_than_can_be_promised(facts: AtsFacts) -> None:
    """The sum of what each level can sell bounds it."""
    mirrored = AtsFacts(Policy(Guarantee.MIRRORED, facts.policy.safety_stock), facts.levels)
    assert available_to_sell(mirrored).units <= sum(max(0, level.sellable) for level in facts.levels)


@given(facts)
def test_a_gated_channel_never_shows_more_than_the_pool_and_its_own(facts: AtsFacts) -> None:
    """Its own holdings come on top of what can be sold, and what it asks for only as far as it is there."""
    gated = AtsFacts(Policy(Guarantee.GATED), facts.levels, facts.own_reserved, facts.own_asked)
    pool = sum(max(0, level.sellable) for level in facts.levels)
    assert available_to_sell(gated).units <= pool + facts.own_asked + facts.own_reserved
    there = sum(max(0, level.on_hand - level.reserved - level.leaving) for level in facts.levels)
    if facts.own_asked <= sum(level.asked for level in facts.levels):
        assert available_to_sell(gated).units <= there + facts.own_reserved
    assert available_to_sell(gated).units >= facts.own_reserved


@pytest.mark.parametrize(
    ("guarantee", "fresh_seconds", "age_seconds", "on_hand", "expected"),
    [
        ("mirrored", 300.0, 300.0, 3, 3),  # as old as it may be
        ("mirrored", 300.0, 301.0, 3, 0),
        ("mirrored", None, 301.0, 4, 4),  # no policy says how old: as for deep stock
        ("gated", 300.0, 301.0, 1, 0),
        ("mirrored", 300.0, float("inf"), 3, 0),  # never heard
        ("mirrored", 300.0, 301.0, -2, 0),
    ],
)
def test_what_is_scarce_is_closed_while_our_knowledge_is_too_old(
    guarantee: str, fresh_seconds: float | None, age_seconds: float, on_hand: int, expected: int
) -> None:
    """Nobody told us for more than five minutes: the last three may be gone."""
    policy = Policy(Guarantee(guarantee), fresh_seconds=fresh_seconds)
    facts = AtsFacts(policy, [LevelFacts(WEB, on_hand, 0)], age_seconds=age_seconds)
    assert available_to_sell(facts).units == expected


def test_old_knowledge_takes_nothing_from_who_holds_it_already() -> None:
    """An allocation is the channel's own, and so is a granted reservation; one only asked for is not."""
    old = Policy(Guarantee.ALLOCATED, fresh_seconds=300.0)
    assert available_to_sell(AtsFacts(old, [LevelFacts(WEB, 2, 2)], allocation=2, age_seconds=1e6)).units == 2
    old = Policy(Guarantee.GATED, fresh_seconds=300.0)
    shelf = [LevelFacts(WEB, 3, 1, 1)]
    assert available_to_sell(AtsFacts(old, shelf, own_reserved=1, own_asked=1, age_seconds=1e6)).units == 1


def test_what_a_location_keeps_is_promised_to_nobody_outside() -> None:
    """The flagship keeps one for whoever comes in: of three two are shown, and the sum says why."""
    told = available_to_sell(AtsFacts(Policy(Guarantee.MIRRORED), [LevelFacts(WEB, 3, 0, keep=1)]))
    assert (told.units, told.parts[-1]) == (2, Part("safety stock of ECOM", -1, WEB))
    for on_hand, keep, promised in ((1, 1, 0), (1, 2, 0), (0, 1, 0), (-1, 1, -1)):
        assert LevelFacts(WEB, on_hand, 0, keep=keep).promised == promised
    floor = LevelFacts(WEB, 1, 0, keep=1, last=2)  # nobody outside may count on it anyway: told once
    assert (floor.promised, floor.kept) == (0, 0)


def test_a_shop_floors_last_pieces_are_promised_to_nobody_outside_however_many_stand_there() -> None:
    """Two may be in customers' hands: of three one is shown, and the sum says why."""
    told = available_to_sell(AtsFacts(Policy(Guarantee.MIRRORED), [LevelFacts(WEB, 3, 0, last=2)]))
    assert (told.units, told.parts[-1]) == (1, Part("on the floor of ECOM", -2, WEB))
    for on_hand, keep, promised in ((2, 0, 0), (1, 0, 0), (-1, 0, -1), (4, 1, 2), (4, 3, 1)):
        assert LevelFacts(WEB, on_hand, 0, keep=keep, last=2).promised == promised
    floor = LevelFacts(WEB, 4, 1, last=2)
    assert [units for units in (1, 2, 3) if floor.asks_shop(units)] == [2, 3]
    assert not LevelFacts(WEB, 1, 0).asks_shop(2)


def test_a_gated_channels_own_question_does_not_reach_a_shop_floors_last_pieces() -> None:
    """Three there, of which two are its last, all asked for by its own shoppers: one can be given so."""
    facts = AtsFacts(Policy(Guarantee.GATED), [LevelFacts(WEB, 3, 0, 3, last=2)], own_asked=3)
    assert available_to_sell(facts).units == 1


def test_a_gated_channels_own_question_does_not_reach_what_the_location_keeps() -> None:
    """Two there, one kept, both asked for by its own shoppers: one of them can be given."""
    facts = AtsFacts(Policy(Guarantee.GATED), [LevelFacts(WEB, 2, 0, 2, keep=1)], own_asked=2)
    assert available_to_sell(facts).units == 1


def test_the_sum_says_why_it_is_closed() -> None:
    """A person who asks sees the reason among the parts."""
    policy = Policy(Guarantee.MIRRORED, safety_stock=1, fresh_seconds=300.0)
    told = available_to_sell(AtsFacts(policy, [LevelFacts(WEB, 3, 0)], age_seconds=400.0))
    assert told.parts[-1] == Part("too long ago that the org was heard", -2)
