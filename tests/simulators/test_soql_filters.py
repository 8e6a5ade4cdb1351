"""Channel filters and date literals: SOQL conditions without tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from tests.simulators.language_kit import NOW, our_schema

from sfsync.simulators.org.soql import SoqlError, check_filter, compile_conditions
from sfsync.simulators.org.soql.dates import span


@pytest.mark.parametrize(
    ("name", "first", "after"),
    [
        ("TODAY", date(2026, 11, 23), date(2026, 11, 24)),
        ("TOMORROW", date(2026, 11, 24), date(2026, 11, 25)),
        ("THIS_WEEK", date(2026, 11, 22), date(2026, 11, 29)),
        ("LAST_WEEK", date(2026, 11, 15), date(2026, 11, 22)),
        ("THIS_MONTH", date(2026, 11, 1), date(2026, 12, 1)),
        ("NEXT_MONTH", date(2026, 12, 1), date(2027, 1, 1)),
        ("LAST_QUARTER", date(2026, 7, 1), date(2026, 10, 1)),
        ("NEXT_QUARTER", date(2027, 1, 1), date(2027, 4, 1)),
        ("THIS_YEAR", date(2026, 1, 1), date(2027, 1, 1)),
        ("LAST_90_DAYS", date(2026, 8, 25), date(2026, 11, 24)),
        ("LAST_N_DAYS:2", date(2026, 11, 21), date(2026, 11, 24)),
        ("NEXT_N_DAYS:2", date(2026, 11, 24), date(2026, 11, 26)),
        ("N_DAYS_AGO:2", date(2026, 11, 21), date(2026, 11, 22)),
        ("LAST_N_WEEKS:1", date(2026, 11, 15), date(2026, 11, 22)),
        ("LAST_N_MONTHS:12", date(2025, 11, 1), date(2026, 11, 1)),
        ("NEXT_N_QUARTERS:1", date(2027, 1, 1), date(2027, 4, 1)),
        ("N_YEARS_AGO:1", date(2025, 1, 1), date(2026, 1, 1)),
    ],
)
def test_a_date_literal_is_a_span_of_days(name: str, first: date, after: date) -> None:
    """Seen from Monday, 23 November 2026; weeks begin on Sunday."""
    assert span(name, NOW) == (first, after)


@pytest.mark.parametrize(
    "name", ["LAST_N_DAYS", "LAST_N_DAYS:x", "LAST_N_DAYS:99999999", "NEXT_N_HOURS:2", "NOW"]
)
def test_what_is_no_date_literal_has_no_span(name: str) -> None:
    """Unknown names and absurd counts are refused, not computed."""
    assert span(name, NOW) is None


EVENT: Mapping[str, object] = {
    "BySfsync__c": False,
    "Kind__c": "Sale",
    "OnHandDelta__c": -1.0,
    "Source__c": None,
    "OccurredAt__c": int(NOW.timestamp() * 1000),
    "ChangeEventHeader": {"changeType": "CREATE", "commitUser": "005000000000001AAA"},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("BySfsync__c = false", True),
        ("BySfsync__c = true", False),
        ("Kind__c IN ('sale', 'Return') AND OnHandDelta__c < 0", True),
        ("ChangeEventHeader.changeType = 'CREATE'", True),
        ("ChangeEventHeader.changeType != 'CREATE' OR Kind__c LIKE 'R%'", False),
        ("ChangeEventHeader.nothing = null", True),
        ("Source__c = null", True),
        ("Source__c != 'sfsync'", True),
        ("Missing__c = null", True),
        ("OccurredAt__c = 2026-11-23T10:30:00Z", True),
        ("OccurredAt__c = TODAY", True),
        ("OnHandDelta__c > 'x'", False),
        ("Kind__c = TODAY", False),
    ],
)
def test_a_channel_filter_reads_an_event(text: str, matches: bool) -> None:
    """Fields, header fields, null; times as epoch milliseconds."""
    assert compile_conditions(text, clock=lambda: NOW)(EVENT) is matches


def test_a_null_source_may_or_may_not_pass_a_filter() -> None:
    """The same knob as for queries."""
    strict = compile_conditions("Source__c != 'sfsync'", null_matches_not_equal=False)
    assert strict(EVENT) is False
    assert strict({"Source__c": "till"}) is True


def test_a_date_literal_of_a_filter_moves_with_the_clock() -> None:
    """A filter that says TODAY means another day tomorrow."""
    days = [NOW]
    passes = compile_conditions("OccurredAt__c = TODAY", clock=lambda: days[0])
    assert passes(EVENT)
    days[0] = NOW + timedelta(days=1)
    assert not passes(EVENT)


def test_a_filter_may_name_only_what_events_are_filtered_by() -> None:
    """Plain fields and plain header fields; no parents, no IsDeleted, no sub-selects."""
    movement = our_schema().objects["StockMovement__c"]
    check_filter(
        "BySfsync__c = false AND (ChangeEventHeader.changeType = 'CREATE' OR NOT Kind__c = 'x')", movement
    )
    for text in (
        "Nope__c = 1",
        "IsDeleted = false",
        "StockLevel__r.Sku__c = 'BAG'",
        "ChangeEventHeader.recordIds = 'x'",
        "Id IN (SELECT Id FROM Order)",
        "CALENDAR_YEAR(CreatedDate) = 2026",
        "CreatedDate > 2026-11-23T00:00:00Z",
        "BySfsync__c",
        "",
    ):
        with pytest.raises(SoqlError):
            check_filter(text, movement)
