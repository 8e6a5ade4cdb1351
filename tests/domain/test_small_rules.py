"""Exposure, who sells what from where, and how long to wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.allocation import Share
from sfsync.domain.assortment import PLENTY, Assortment, ChannelPlan, PolicyRule, Scarcity
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
    division = told.division(sku, PLENTY)
    return () if division is None else division.channels


def test_a_channel_has_its_own_defaults() -> None:
    """Where no rule speaks, the channel does."""
    plain = assortment()
    assert (
        plain.policy("london", "BAG", PLENTY).guarantee,
        plain.policy("london", "BAG", PLENTY).safety_stock,
    ) == (
        Guarantee.MIRRORED,
        1,
    )
    assert (plain.policy("dubai", "BAG", PLENTY).guarantee, plain.policy("dubai", "BAG", PLENTY).cap) == (
        Guarantee.GATED,
        9,
    )


def test_the_first_matching_rule_counts_and_leaves_the_rest_to_the_channel() -> None:
    """A rule says only what it says."""
    told = assortment(PolicyRule(("BAG-GOLD*",), cap=1), PolicyRule(("BAG-*",), safety_stock=5))
    gold, plain = told.policy("london", "BAG-GOLD-1", PLENTY), told.policy("london", "BAG-2", PLENTY)
    assert (gold.cap, gold.safety_stock) == (1, 1)
    assert (plain.cap, plain.safety_stock) == (None, 5)


def test_skus_that_the_same_rules_match_are_decided_once() -> None:
    """A house has a hundred thousand SKUs and a handful of rules: what is remembered goes by the rules."""
    told = assortment(PolicyRule(("*-GOLD",), cap=1), PolicyRule(("BAG-*",), safety_stock=5))
    assert told.policy("london", "BAG-1", PLENTY) is told.policy("london", "BAG-2", PLENTY)
    assert told.policy("london", "BAG-1", PLENTY) != told.policy("london", "BAG-GOLD", PLENTY)
    assert told.policy("london", "BELT-GOLD", PLENTY).cap == 1


def test_patterns_know_upper_from_lower_case() -> None:
    """SKUs do too."""
    assert assortment(PolicyRule(("bag*",), cap=1)).policy("london", "BAG", PLENTY).cap is None


def test_a_sku_set_aside_for_one_channel_is_closed_at_the_others() -> None:
    """Allocated to London: Dubai shows none of it."""
    told = assortment(PolicyRule(("ALLOC-*",), ("london",), Guarantee.ALLOCATED))
    assert holders(told, "ALLOC-1") == ("london",)
    assert told.policy("london", "ALLOC-1", PLENTY).guarantee is Guarantee.ALLOCATED
    assert told.policy("dubai", "ALLOC-1", PLENTY).allocated_elsewhere
    assert holders(told, "BAG-1") == ()


def test_an_exception_before_an_allocation_is_an_exception_from_it() -> None:
    """The gold bag is gated by the first rule that matches, so nothing of it is set aside by the second."""
    told = assortment(
        PolicyRule(("BAG-GOLD",), guarantee=Guarantee.GATED),
        PolicyRule(("BAG-*",), ("london",), Guarantee.ALLOCATED),
    )
    assert told.policy("london", "BAG-GOLD", PLENTY).guarantee is Guarantee.GATED
    assert holders(told, "BAG-GOLD") == ()
    assert not told.policy("dubai", "BAG-GOLD", PLENTY).allocated_elsewhere
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
        assert all(
            told.policy(name, sku, PLENTY).guarantee is not Guarantee.ALLOCATED for name in told.channels
        )
    for name in told.channels:
        assert name not in named or told.policy(name, sku, PLENTY).guarantee is Guarantee.ALLOCATED
        assert told.policy(name, sku, PLENTY).allocated_elsewhere == (bool(named) and name not in named)


def test_a_rule_for_scarce_pieces_holds_only_while_they_are_scarce() -> None:
    """Shared until three are left, then each channel has its own; shared again from six on."""
    rule = PolicyRule(
        ("BAG-*",), guarantee=Guarantee.ALLOCATED, shares={"london": 2}, scarce_at=3, plentiful_at=6
    )
    told = assortment(rule)
    (scarcity,) = told.scarcities("BAG-1")
    scarce = frozenset({scarcity.name})
    assert told.policy("london", "BAG-1", PLENTY).guarantee is Guarantee.MIRRORED
    assert told.policy("dubai", "BAG-1", PLENTY).guarantee is Guarantee.GATED
    assert told.policy("dubai", "BAG-1", scarce).guarantee is Guarantee.ALLOCATED
    assert (told.division("BAG-1", PLENTY), told.may_divide("BAG-1")) == (None, True)
    division = told.division("BAG-1", scarce)
    assert division is not None
    assert division.shares == (Share("london", 2), Share("dubai", 1, most=9))
    assert (told.scarcities("SHOE"), told.may_divide("SHOE")) == ((), False)


def test_whatever_a_rule_says_may_hold_for_scarce_pieces_only() -> None:
    """Few left: asked for first, two kept back, one shown; more: the next rule, then the channel."""
    few = PolicyRule(("BAG-*",), (), Guarantee.GATED, 2, 1, scarce_at=3, fresh_seconds=60.0)
    fewer = PolicyRule(("BAG-1",), ("london",), Guarantee.UNKNOWN, scarce_at=1, plentiful_at=3)
    told = assortment(fewer, few, PolicyRule(("*",), cap=8))
    one, two = (each.name for each in told.scarcities("BAG-1"))
    plenty = told.policy("london", "BAG-1", PLENTY)
    assert (plenty.guarantee, plenty.cap, plenty.fresh_seconds, plenty.rule) == (
        Guarantee.MIRRORED,
        8,
        None,
        2,
    )
    scarce = told.policy("london", "BAG-1", frozenset({two}))
    assert (scarce.guarantee, scarce.safety_stock, scarce.cap) == (Guarantee.GATED, 2, 1)
    assert (scarce.fresh_seconds, scarce.rule, scarce.scarce_at) == (60.0, 1, 3)
    assert told.policy("london", "BAG-1", frozenset({one, two})).guarantee is Guarantee.UNKNOWN
    assert told.policy("dubai", "BAG-1", frozenset({one, two})).guarantee is Guarantee.GATED
    assert (one, two) == ("1 to 3 at london", "3 to 4 at all")


@pytest.mark.parametrize(
    ("before", "available", "after"),
    [(False, 4, False), (False, 3, True), (True, 4, True), (True, 5, True), (True, 6, False)],
)
def test_a_sku_does_not_flicker_between_scarce_and_plentiful(
    before: bool, available: int, after: bool
) -> None:
    """One return must not switch every channel, and one sale not switch it back."""
    assert Scarcity(3, 6).holds(before, available) is after


def test_a_rule_names_the_locations_that_its_skus_are_sold_from() -> None:
    """The flagship's bags are sold from there alone, by every channel or by the one that is named."""
    told = assortment(PolicyRule(("BAG-*",), ("london",), sells_from=("FLAGSHIP", "ECOM")))
    assert told.sources("london", "online", "BAG-1") == ("FLAGSHIP", "ECOM")
    assert told.sources("london", "online", "SHOE") == ("KNIGHTSBRIDGE", "ECOM")
    assert told.sources("dubai", "online", "BAG-1") == told.sources("dubai", "online", None)
    assert told.places("london") == {"FLAGSHIP", "ECOM", "KNIGHTSBRIDGE"}
    assert told.sources("london", "gone", "BAG-1") == told.sources("paris", "online", "BAG-1") == ()


def test_at_a_channel_with_several_locations_no_unit_of_the_group_is_shown_twice() -> None:
    """The shop's own place keeps what it has in its list; what none has in its list, the first one sells."""
    plan = ChannelPlan("london", {"online": ("ECOM", "X"), "shop": ("SHOP", "ECOM")})
    rule = PolicyRule(("*",), sells_from=("VAULT", "SHOP", "ECOM"), cap=1)
    told = Assortment({"london": plan}, (PolicyRule(("*",), scarce_at=2, cap=0), rule))
    assert told.sells_from("london", "BAG") == {"online": ("VAULT",), "shop": ("SHOP", "ECOM")}


BAZAAR = ChannelPlan("bazaar", {"own": ("ECOM",)})
RESERVED = PolicyRule(("BAG*",), guarantee=Guarantee.ALLOCATED)


@pytest.mark.parametrize(
    ("plan", "rules", "stays", "unguarded"),
    [
        (BAZAAR, (), {}, True),
        (replace(BAZAAR, safety_stock=1), (), {}, False),
        (replace(BAZAAR, cap=0), (), {}, False),
        (replace(BAZAAR, guarantee=Guarantee.GATED), (), {}, False),
        (replace(BAZAAR, guarantee=Guarantee.GATED, asks=False), (), {}, True),
        (BAZAAR, (RESERVED,), {}, False),
        (BAZAAR, (replace(RESERVED, channels=("london",)),), {}, False),
        (BAZAAR, (replace(RESERVED, scarce_at=2),), {}, False),
        (BAZAAR, (PolicyRule(("BAG",), safety_stock=1),), {}, False),
        (BAZAAR, (PolicyRule(("HAT",), safety_stock=1),), {}, True),
        (replace(BAZAAR, safety_stock=1), (PolicyRule(("BAG",), safety_stock=0, scarce_at=2),), {}, True),
        (BAZAAR, (), {"ECOM": 1}, False),
        (BAZAAR, (), {"SHOP": 1}, True),
        (replace(BAZAAR, locations={"own": ("ECOM", "SHOP")}), (), {"ECOM": 1}, True),
    ],
)
def test_a_channel_that_shows_its_last_unit_to_buyers_who_ask_nobody_is_unguarded(
    plan: ChannelPlan, rules: tuple[PolicyRule, ...], stays: dict[str, int], unguarded: bool
) -> None:
    """Judged when few are left: kept back, reserved, asked for or not shown, none is at risk."""
    told = Assortment({"bazaar": plan, "london": LONDON}, rules, stays=stays)
    assert told.unguarded("bazaar", "BAG") is unguarded


def test_a_channel_or_location_that_is_no_longer_configured_sells_from_nowhere() -> None:
    """What is left of it in the store must not break anything."""
    assert assortment().sources("london", "online", None) == ("KNIGHTSBRIDGE", "ECOM")
    assert assortment().sources("london", "gone", None) == ()
    assert assortment().sources("paris", "online", None) == ()


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
