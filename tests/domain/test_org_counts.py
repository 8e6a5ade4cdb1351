"""What a stock count's record says, what is wrong with it, and what is written back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.counts import Believed, Count, CountOutcome, doubt
from sfsync.domain.org_counts import (
    MESSAGE_LENGTH,
    CountTold,
    MistakeError,
    OrgCount,
    Status,
    Taken,
    answer,
    answered,
    lost,
    mistake,
    read,
    refusal,
)
from sfsync.domain.stock import LevelKey

SIX = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
RECORD = OrgCount("a02000000000001AAA", "BAG-1", "SOHO", "", "", 4.0, SIX, "Amina", status="New")
LINKED = replace(RECORD, sku="", location="", linked="BAG-1|SOHO", lacks=frozenset({"place"}))
COUNT = read(RECORD)


@pytest.mark.parametrize(
    ("record", "level"),
    [
        (RECORD, LevelKey("BAG-1", "SOHO")),
        (LINKED, LevelKey("BAG-1", "SOHO")),
        (replace(LINKED, linked="BAG-1|SOHO|7"), LevelKey("BAG-1", "SOHO", "7")),
        (replace(RECORD, unit="7", counted=1.0), LevelKey("BAG-1", "SOHO", "7")),
        (replace(RECORD, linked="BAG-1|SOHO"), LevelKey("BAG-1", "SOHO")),
        (replace(LINKED, sku="BAG-1"), LevelKey("BAG-1", "SOHO")),
    ],
)
def test_what_was_counted_is_named_by_the_stock_level_or_by_sku_and_location(
    record: OrgCount, level: LevelKey
) -> None:
    """Either is enough; both are fine where they say the same."""
    count = read(replace(record, counted=1.0))
    assert (count.level, count.units, count.record_id) == (level, 1, RECORD.record_id)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sku": ""}, "names no SKU"),
        ({"location": ""}, "names no location"),
        ({"sku": "BAG|1"}, "contains '|'"),
        ({"linked": "BELT-1|SOHO"}, "the stock level chosen is BELT-1|SOHO"),
        ({"linked": "BAG-1|DUBAI"}, "the stock level chosen is BAG-1|DUBAI"),
        ({"counted": None}, "says no number"),
        ({"counted": 1.5}, "says no number"),
        ({"counted": -1.0}, "-1 cannot have been counted"),
        ({"unit": "7"}, "4 cannot have been counted of one piece (7)"),
    ],
)
def test_a_mistake_is_told_in_words_that_say_what_to_do(wrong: dict[str, object], words: str) -> None:
    """On the record itself, within what its field holds; what says it already is not written again."""
    record = replace(RECORD, **wrong)  # type: ignore[arg-type]  # reason: fields by name
    with pytest.raises(MistakeError) as raised:
        read(record)
    assert words in str(raised.value)
    told = mistake(record, str(raised.value) * 3)
    assert told is not None
    assert (told.status, len(told.message) <= 255) == (Status.MISTAKE, True)
    assert mistake(replace(record, status="Mistake", message=told.message), str(raised.value) * 3) is None


def test_why_a_count_was_not_entered_is_told_with_its_remedy() -> None:
    """The same words as for a sheet's row."""
    told = refusal(CountOutcome(problem="unknown-level", detail="the org has no stock level BAG-1|SOHO"))
    remedy = "Correct SKU and location, or create the stock level in the org."
    assert told == f"The org has no stock level BAG-1|SOHO. {remedy}"
    longest = LevelKey("S" * 40, "L" * 20)
    for doubtful in (
        Count("c", longest, 900_000_000, SIX),
        Count("c", longest, 4, SIX - timedelta(days=9999)),
    ):
        told = refusal(doubt(doubtful, Believed(), SIX) or CountOutcome())
        assert len(told) <= MESSAGE_LENGTH, told


def test_an_entered_count_is_told_what_the_books_had_once() -> None:
    """Four counted, six in the books: two missing. Its record says so, and nothing more is written."""
    told = answer(LINKED, Taken(COUNT, -2))
    assert told is not None
    assert (told.status, told.variance) == (Status.ENTERED, -2)
    assert told.fills == {"place"}
    as_told = replace(
        RECORD, linked="BAG-1|SOHO", status="Entered", expected=6, variance=-2, movement=COUNT.subject
    )
    assert answer(as_told, Taken(COUNT, -2)) is None
    made_good = answer(as_told, Taken(COUNT, -1))
    assert made_good is not None
    assert made_good.variance == -1
    assert answer(RECORD, Taken(COUNT, None)) is None  # it waits for the org


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"counted": 5.0}, "the number was changed"),
        ({"sku": "BELT-1"}, "the stock level was changed"),
        ({"sku": ""}, "the stock level was changed"),
        ({"at": SIX + timedelta(hours=1)}, "the moment was changed"),
        ({"counted": 5.0, "location": "DUBAI"}, "the stock level and the number was changed"),
    ],
)
def test_a_record_that_was_changed_after_it_was_entered_is_told_so(
    edit: dict[str, object], words: str
) -> None:
    """It enters nothing more; put back, it is as entered again."""
    edited = replace(RECORD, status="Entered", **edit)  # type: ignore[arg-type]  # reason: fields by name
    told = answer(edited, Taken(COUNT, -2))
    assert told is not None
    assert (told.status, words in told.message, told.variance) == (Status.CHANGED, True, -2)
    assert "4 counted of BAG-1|SOHO at 2026-11-22 18:00:00 UTC" in told.message
    assert len(told.message) <= 255
    put_back = answer(replace(RECORD, status="Changed", message=told.message), Taken(COUNT, -2))
    assert put_back is not None
    assert (put_back.status, put_back.message) == (Status.ENTERED, "")


def test_a_record_that_a_lost_store_entered_is_not_entered_again() -> None:
    """Its own answer says how many were; a status that somebody set by hand says nothing."""
    entered = replace(RECORD, status="Entered", expected=6, variance=-2)
    assert answered(entered)
    assert not answered(replace(RECORD, status="Entered"))
    assert not answered(replace(entered, status="New"))
    assert lost(entered) is None
    changed = lost(replace(entered, counted=5.0))
    assert changed is not None
    assert (changed.status, "4 counted" in changed.message) == (Status.CHANGED, True)
    assert lost(replace(entered, counted=5.0, status="Changed", message=changed.message)) is None
    assert lost(replace(entered, status="Changed")) == CountTold(RECORD.record_id, Status.ENTERED)
