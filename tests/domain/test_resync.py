"""Why a channel shows another number than it should, as a merchandiser would say it; what mending costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.resync import (
    BLOCKING,
    CODES,
    Cause,
    Difference,
    Evidence,
    Now,
    Price,
    Scope,
    Tariff,
    cause,
    changed,
    code_of,
    price,
)

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
MINUTES = timedelta(minutes=1)

# The channel shows, it should show, we believed that it shows; what else is known; why.
TABLE = [
    ("all three agree", Evidence(5, 5, 5), None),
    ("new here, and right already", Evidence(5, 5, None), None),
    ("new here, and wrong", Evidence(5, 3, None), Cause.FIRST_START),
    ("sold in the org a second ago", Evidence(5, 3, 5), Cause.OUR_PUSH_DUE),
    ("changed settings wait for a person", Evidence(5, 3, 5, held=True), Cause.SETTINGS_HELD),
    ("it stands at another shop", Evidence(5, 3, None, held=True), Cause.SETTINGS_HELD),
    ("it stands at another shop, and is right there", Evidence(5, 5, None, held=True), None),
    ("they wait, and no event came", Evidence(5, 3, 5, held=True, org_moved=True), Cause.SETTINGS_HELD),
    ("they wait, and somebody typed", Evidence(9, 3, 5, held=True), Cause.MANUAL_EDIT),
    ("sold in the org, and no event came", Evidence(5, 3, 5, org_moved=True), Cause.MISSED_EVENT),
    ("counted, not yet entered", Evidence(5, 3, 5, counting=True), Cause.COUNT_PENDING),
    (
        "counted, not yet entered, and the org moved too",
        Evidence(5, 3, 5, counting=True, org_moved=True),
        Cause.COUNT_PENDING,
    ),
    ("somebody typed a higher number", Evidence(9, 5, 5), Cause.MANUAL_EDIT),
    ("somebody typed the number that is right", Evidence(3, 3, 5, tells_orders=False), Cause.MANUAL_EDIT),
    ("one fewer, seen for the first time", Evidence(4, 5, 5), Cause.ORDER_UNSEEN),
    ("one fewer, for five minutes", Evidence(4, 5, 5, lower_since=5 * MINUTES), Cause.ORDER_UNSEEN),
    ("one fewer, for an hour", Evidence(4, 5, 5, lower_since=60 * MINUTES), Cause.MANUAL_EDIT),
    (
        "one fewer for an hour, and a webhook waits",
        Evidence(4, 5, 5, lower_since=60 * MINUTES, orders_waiting=True),
        Cause.ORDER_UNSEEN,
    ),
    ("one fewer where orders cannot be asked for", Evidence(4, 5, 5, tells_orders=False), Cause.MANUAL_EDIT),
    (
        "the item is archived: our change was refused",
        Evidence(5, 3, 5, problem="the item is archived"),
        Cause.PUSH_REFUSED,
    ),
    (
        "refused, and edited since",
        Evidence(9, 3, 5, problem="the item is archived"),
        Cause.PUSH_REFUSED,
    ),
    ("refused, and right by now", Evidence(3, 3, 5, problem="archived"), Cause.ORDER_UNSEEN),
    ("being read again", Evidence(5, 3, 5, problem=IN_DOUBT), Cause.OUR_PUSH_DUE),
]


@pytest.mark.parametrize(("story", "known", "why"), TABLE, ids=[row[0] for row in TABLE])
def test_a_difference_has_one_cause(story: str, known: Evidence, why: Cause | None) -> None:
    """Story by story."""
    assert cause(known) is why


@given(
    st.builds(
        Evidence,
        st.integers(-2, 4),
        st.integers(-2, 4),
        st.none() | st.integers(-2, 4),
        problem=st.sampled_from(["", IN_DOUBT, "archived"]),
        org_moved=st.booleans(),
        counting=st.booleans(),
        orders_waiting=st.booleans(),
        tells_orders=st.booleans(),
        lower_since=st.none() | st.sampled_from([MINUTES, 60 * MINUTES]),
    )
)
def test_only_what_is_even_has_no_cause_and_no_cause_blocks(known: Evidence) -> None:
    """Whatever is known: what differs has a cause, and one that applying puts right."""
    why = cause(known)
    even = known.shows == known.target and known.published in (None, known.shows)
    assert (why is None) is even
    assert why not in BLOCKING
    assert why is not Cause.EVEN


@pytest.mark.parametrize("why", list(Cause))
def test_only_what_can_be_put_right_is_applied(why: Cause) -> None:
    """A row that a person must mend first is told and left alone."""
    assert Difference("london", "BAG-1", "online", 1, 2, why).applicable is (why not in BLOCKING)
    assert not Difference("london", "BAG-1", "online", None, 2, why).applicable
    assert not Difference("london", "BAG-1", "online", 1, None, why).applicable


def test_every_cause_that_is_told_has_one_short_name() -> None:
    """By which `--cause` takes it."""
    assert {each for each in Cause if not code_of(each)} == {Cause.EVEN}
    assert sum(len(causes) for causes in CODES.values()) == len(Cause) - 1


@pytest.mark.parametrize(
    ("scope", "takes"),
    [
        (Scope(), True),
        (Scope(locations=("online",)), True),
        (Scope(locations=("ECOM",)), True),
        (Scope(locations=("MALL",)), False),
        (Scope(causes=("manual-edit", "mapping")), True),
        (Scope(causes=("mapping",)), False),
        (Scope(locations=("MALL",), causes=("manual-edit",)), False),
    ],
)
def test_a_location_is_the_channels_or_the_orgs(scope: Scope, takes: bool) -> None:
    """An edited number online, where goods of ECOM are sold."""
    assert scope.takes("online", ("KNIGHTSBRIDGE", "ECOM"), Cause.MANUAL_EDIT) is takes


def test_a_scope_is_kept_as_it_was_asked() -> None:
    """Through JSON and back."""
    asked = Scope(("BAG",), ("london",), ("ECOM",), AT, ("mapping",), org=False)
    assert Scope.read(asked.told()) == asked
    assert Scope.read(Scope().told()).whole
    assert not asked.whole


@pytest.mark.parametrize(
    ("rows", "tariff", "costs"),
    [
        (0, Tariff(250, 50), Price(0, 0, None, None)),
        (251, Tariff(250, 50), Price(251, 2 + 6, None, None)),
        # 2 writes of 10 points, 6 readings of 100; 320 of 620 are there, the rest comes at 50 a second.
        (251, Tariff(250, 50, 10.0, 100.0, 50.0, 320.0), Price(251, 8, 620, 0.1)),
        (5_000, Tariff(250, 50, 10.0, 100.0, 100.0, 0.0), Price(5_000, 120, 10_200, 1.7)),
        (1, Tariff(250, 50, 10.0, 100.0, 100.0, 1000.0), Price(1, 2, 110, 0.0)),
    ],
)
def test_a_plan_is_priced_by_the_channels_own_limits(rows: int, tariff: Tariff, costs: Price) -> None:
    """Calls, points, and the minutes that the points take to come back."""
    assert price(rows, tariff, again=True) == costs


@pytest.mark.parametrize(
    ("now", "strict", "why"),
    [
        (Now(9, True, 5, False, False), True, ""),
        (Now(None, True, 5, False, False), True, ""),
        (Now(None, False, 5, False, False), False, "the channel does not list it any more"),
        (Now(8, True, 5, False, False), False, "the channel shows 8 by now, not 9"),
        (Now(9, True, 5, True, False), False, "a change of ours is under way"),
        (Now(9, True, 5, False, True), False, "we have changed its number since"),
        (Now(9, True, 4, False, False), True, "it should show 4 by now, not 5"),
        (Now(9, True, 4, False, False), False, ""),  # the newest target is what is written
    ],
)
def test_a_row_is_refused_when_its_facts_have_changed(now: Now, strict: bool, why: str) -> None:
    """Planned: it shows 9 and should show 5."""
    assert changed(9, 5, now, strict=strict) == why
