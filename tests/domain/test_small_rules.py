"""Exposure, who sells what from where, and how long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.allocation import Mode, Share
from sfsync.domain.assortment import Assortment, ChannelPlan, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.retry import (
    FIRST_SECONDS,
    LONGEST_FOR_SALES_SECONDS,
    LONGEST_SECONDS,
    Silence,
    backoff_seconds,
)

LONDON = ChannelPlan("london", {"online": ("KNIGHTSBRIDGE", "ECOM")}, safety_stock=1)
DUBAI = ChannelPlan("dubai", {"online": ("ECOM",)}, guarantee=Guarantee.GATED, cap=9)


def assortment(*rules: PolicyRule) -> Assortment:
    return Assortment({"london": LONDON, "dubai": DUBAI}, rules)


def holders(told: Assortment, sku: str) -> tuple[str, ...]:
    division = told.division(sku)
    return () if division is None else division.channels


def test_a_channel_has_its_own_defaults() -> None:
    """Where no rule speaks, the channel does."""
    plain = assortment()
    assert (plain.policy("london", "BAG").guarantee, plain.policy("london", "BAG").safety_stock) == (
        Guarantee.MIRRORED,
        1,
    )
    assert (plain.policy("dubai", "BAG").guarantee, plain.policy("dubai", "BAG").cap) == (Guarantee.GATED, 9)


def test_the_first_matching_rule_counts_and_leaves_the_rest_to_the_channel() -> None:
    """A rule says only what it says."""
    told = assortment(PolicyRule(("BAG-GOLD*",), cap=1), PolicyRule(("BAG-*",), safety_stock=5))
    gold, plain = told.policy("london", "BAG-GOLD-1"), told.policy("london", "BAG-2")
    assert (gold.cap, gold.safety_stock) == (1, 1)
    assert (plain.cap, plain.safety_stock) == (None, 5)


def test_patterns_know_upper_from_lower_case() -> None:
    """SKUs do too."""
    assert assortment(PolicyRule(("bag*",), cap=1)).policy("london", "BAG").cap is None


def test_a_sku_set_aside_for_one_channel_is_closed_at_the_others() -> None:
    """Allocated to London: Dubai shows none of it."""
    told = assortment(PolicyRule(("ALLOC-*",), ("london",), Guarantee.ALLOCATED))
    assert holders(told, "ALLOC-1") == ("london",)
    assert told.policy("london", "ALLOC-1").guarantee is Guarantee.ALLOCATED
    assert told.policy("dubai", "ALLOC-1").allocated_elsewhere
    assert holders(told, "BAG-1") == ()


def test_an_exception_before_an_allocation_is_an_exception_from_it() -> None:
    """The gold bag is gated by the first rule that matches, so nothing of it is set aside by the second."""
    told = assortment(
        PolicyRule(("BAG-GOLD",), guarantee=Guarantee.GATED),
        PolicyRule(("BAG-*",), ("london",), Guarantee.ALLOCATED),
    )
    assert told.policy("london", "BAG-GOLD").guarantee is Guarantee.GATED
    assert holders(told, "BAG-GOLD") == ()
    assert not told.policy("dubai", "BAG-GOLD").allocated_elsewhere
    assert holders(told, "BAG-2") == ("london",)


@given(
    st.lists(
        st.builds(
            PolicyRule,
            st.sampled_from([("*",), ("BAG-*",), ("BAG-1",)]),
            st.sampled_from([(), ("london",), ("dubai",)]),
            st.none() | st.sampled_from(list(Guarantee)),
        ),
        max_size=4,
    ),
    st.sampled_from(["BAG-1", "BAG-2", "SCARF"]),
)
def test_whoever_a_sku_is_set_aside_for_sells_it_as_allocated(rules: list[PolicyRule], sku: str) -> None:
    """The holder's own policy agrees, and every other channel is closed."""
    told = assortment(*rules)
    named = holders(told, sku)
    if not named:
        assert all(told.policy(name, sku).guarantee is not Guarantee.ALLOCATED for name in told.channels)
    for name in told.channels:
        assert name not in named or told.policy(name, sku).guarantee is Guarantee.ALLOCATED
        assert told.policy(name, sku).allocated_elsewhere == (bool(named) and name not in named)


def test_a_rule_for_scarce_pieces_holds_only_while_they_are_scarce() -> None:
    """Shared until three are left, then each channel has its own; shared again from six on."""
    rule = PolicyRule(
        ("BAG-*",), guarantee=Guarantee.ALLOCATED, shares={"london": 2}, scarce_at=3, plentiful_at=6
    )
    told = assortment(rule)
    assert told.policy("london", "BAG-1", Mode.SHARED).guarantee is Guarantee.MIRRORED
    assert told.policy("dubai", "BAG-1", Mode.SHARED).guarantee is Guarantee.GATED
    assert told.policy("dubai", "BAG-1", Mode.DIVIDED).guarantee is Guarantee.ALLOCATED
    division = told.division("BAG-1")
    assert division is not None
    assert division.shares == (Share("london", 2), Share("dubai", 1, most=9))
    assert [division.mode(Mode.SHARED, units) for units in (4, 3)] == [Mode.SHARED, Mode.DIVIDED]
    assert [division.mode(Mode.DIVIDED, units) for units in (5, 6)] == [Mode.DIVIDED, Mode.SHARED]


def test_a_channel_or_location_that_is_no_longer_configured_sells_from_nowhere() -> None:
    """What is left of it in the store must not break anything."""
    assert assortment().sources("london", "online") == ("KNIGHTSBRIDGE", "ECOM")
    assert assortment().sources("london", "gone") == ()
    assert assortment().sources("paris", "online") == ()


@pytest.mark.parametrize("longest", [LONGEST_SECONDS, LONGEST_FOR_SALES_SECONDS])
@given(
    attempt=st.integers(1, 10_000),
    luck=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.floats(0, 500),
)
def test_waiting_grows_to_its_limit_and_never_undercuts_what_was_asked(
    longest: float, attempt: int, luck: float, asked: float | None
) -> None:
    """From a quarter of a second, doubled each time, half of it certain; not all come back at once."""
    ceiling = min(longest, FIRST_SECONDS * 2.0 ** min(attempt - 1, 30))
    waited = backoff_seconds(attempt, luck, asked_seconds=asked, longest_seconds=longest)
    assert max(asked or 0.0, ceiling / 2) <= waited <= max((asked or 0.0) * 1.25, ceiling)
    if asked and asked > ceiling:
        others = backoff_seconds(attempt, luck / 2, asked_seconds=asked, longest_seconds=longest)
        assert others < waited or luck < 1e-9


def test_while_nothing_gets_through_one_question_at_a_time_is_enough() -> None:
    """A short failure holds nobody up; a long one lets one ask every few seconds, until one gets through."""
    silence = Silence()
    assert (silence.lasts(100.0), silence.wait_seconds(100.0)) == (False, 0.0)
    silence.failed(100.0)
    silence.failed(105.0)
    assert (silence.lasts(106.0), silence.wait_seconds(106.0)) == (False, 0.0)
    silence.failed(107.0)
    assert (silence.lasts(108.0), silence.wait_seconds(108.0)) == (True, 5.0)
    assert silence.wait_seconds(113.0) == 0.0
    silence.broken()
    assert (silence.lasts(113.0), silence.wait_seconds(113.0)) == (False, 0.0)
    silence.failed(200.0)
    assert silence.lasts(201.0) is False  # it has begun anew
