"""What each dead letter's cause is, and what is said of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import cast

import pytest

from sfsync.domain.letters import (
    REUSED,
    UNREADABLE,
    VERDICTS,
    Cause,
    Retry,
    cause_of,
    held,
    is_channel,
    item_of,
    written,
)
from sfsync.domain.stock import LevelKey, Movement, MovementKind


@pytest.mark.parametrize(
    ("source", "key", "reason", "cause"),
    [
        ("london", "push:BAG-1@online", "the item is archived", Cause.ITEM_REFUSED),
        ("london", "sku:BAG-1", "several items carry it", Cause.DUPLICATE_SKU),
        ("london", "came back:817", "order #817: 1 of 'BAG-1' came back", Cause.OLD_RETURN),
        ("london", "goods back:817", "order #817: 1 of 'BAG-1' came back", Cause.CAME_BACK),
        ("london", "other SKU:order:london:817:1", "order #817: 1 of 'BAG-1' left", Cause.OTHER_SKU),
        ("london", "order:london:817:917", "no stock level of 'X'", Cause.NO_LEVEL),
        ("london", "event 7", "the order cannot be read", Cause.DELIVERY),
        ("ledger", "order:london:817:917:0", "FIELD_CUSTOM_VALIDATION", Cause.MOVEMENT_REFUSED),
        ("ledger", "pos:1:0", "the org has no stock level BAG|DUBAI", Cause.MOVEMENT_WAITS),
        ("ledger", "fold:1", UNREADABLE, Cause.FOLD_UNREADABLE),
        ("/event/StockEvent__e", "e1", "no SKU", Cause.EVENT),
        ("transfers", "transfer:T-1", "no such kind", Cause.TRANSFER),
        ("/event/StockEvent__e", "R1: -5 of BAG|ECOM (Sale)", f"{REUSED}: R1 was …", Cause.REUSED),
        ("ledger", "posting:R1", REUSED, Cause.REUSED),
        ("till rinascente", "monday.csv", "2 of 5 rows are bad", Cause.TILL_FILE),
    ],
)
def test_a_letter_tells_its_cause(source: str, key: str, reason: str, cause: Cause) -> None:
    """By where it comes from, and by its key; only channels' letters wait for their channel."""
    assert cause_of(source, key, reason) is cause
    assert is_channel(source) == (source == "london")


def test_every_cause_has_a_verdict_with_its_reason() -> None:
    """A person reads what it means, what to do, and why a retry is safe or useless."""
    assert set(VERDICTS) == set(Cause)
    for verdict in VERDICTS.values():
        assert verdict.means
        assert verdict.advice
        assert verdict.why
    assert {each.retry for each in VERDICTS.values()} == set(Retry)


@pytest.mark.parametrize("sku", ["BAG-1", "A@B", "push:X"])
def test_the_item_of_a_letter_is_found_whatever_its_sku_is_made_of(sku: str) -> None:
    """A SKU may hold an at sign."""
    assert item_of(f"push:{sku}@online") == (sku, "online")


def test_what_a_letter_holds_is_a_document_that_any_program_can_read() -> None:
    """A sale of two bags at the counter: names, numbers, times in UTC; nothing in our own notation."""
    east = timezone(timedelta(hours=4))
    at = datetime(2026, 11, 23, 12, 0, tzinfo=east)
    level = LevelKey("BAG-1", "DUBAI")
    sale = Movement("pos:1:0", "pos:1", level, MovementKind.SALE, -2, 0, "R1", "", at)
    (told,) = cast("list[dict[str, object]]", held(written((sale,))))
    assert told["level"] == {"sku": "BAG-1", "location": "DUBAI", "unit": None}
    assert (told["kind"], told["on_hand_delta"]) == ("Sale", -2)
    assert told["occurred_at"] == "2026-11-23T08:00:00.000Z"


@pytest.mark.parametrize("text", ["", "senseless", "4711", '"BAG"', "{", "[" * 100_000])
def test_what_is_no_document_is_told_as_the_text_that_came(text: str) -> None:
    """An item's number, a broken message, one that would never end."""
    assert held(text) == text
