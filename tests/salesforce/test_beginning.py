"""Where a stream of postings begins for us, and the cursors that carry this along: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.ports import EVERYTHING, CursorRefused, since
from sfsync.salesforce.codec import Event, Garbled
from sfsync.salesforce.stream import BEGINNING_MARGIN, Batch, Beginning, opened

TILL = "/event/StockEvent__e"
BEGAN = datetime(2026, 11, 23, 8, 15, 30, tzinfo=UTC)


def made(at: Any) -> Event:
    return Event("x", {"CreatedDate": at})


OLD, NEW = made("2026-11-23T07:00:00Z"), made(round(BEGAN.timestamp() * 1000) + 1)


def beginning(cursor: bytes) -> tuple[Beginning, bytes | None]:
    found, place = opened(TILL, cursor)
    assert found is not None
    return found, place


def test_old_events_are_left_out_and_the_moment_goes_along_until_one_of_ours_has_come() -> None:
    """Whoever ends in the middle of the old ones goes on leaving them out."""
    found, place = beginning(since(BEGAN))
    assert place == EVERYTHING
    assert found.kept(Batch((), b"1")) == Batch([], since(BEGAN, b"1"))
    halfway = found.kept(Batch((OLD, OLD), b"2")).cursor
    again, place = beginning(halfway)
    assert place == b"2"
    assert again.kept(Batch((OLD,), b"3")) == Batch([], since(BEGAN, b"3"), joined=True)
    assert again.kept(Batch((OLD, NEW), b"4")) == Batch([NEW], b"4")
    assert again.kept(Batch((OLD,), b"5")) == Batch([], b"5", joined=True)
    assert again.kept(Batch((), b"6")) == Batch([], b"6")


def test_old_events_alone_do_not_say_that_nothing_is_pending() -> None:
    """A sign of life after them does."""
    found, _ = beginning(since(BEGAN))
    assert found.kept(Batch((), b"1", joined=True)).joined
    assert found.kept(Batch((OLD,), b"2")).joined
    assert not found.kept(Batch((), b"3")).joined


@pytest.mark.parametrize(
    ("created", "kept"),
    [
        ((BEGAN - BEGINNING_MARGIN - timedelta(seconds=1)).isoformat(), False),
        ((BEGAN - BEGINNING_MARGIN).isoformat(), True),
        ("2026-11-23T07:15:29", False),  # without a zone it is UTC
        (round((BEGAN - timedelta(hours=1)).timestamp() * 1000), False),
        (BEGAN.isoformat(), True),
        ("yesterday", True),
        (None, True),
        ([], True),
        (10**30, True),
    ],
)
def test_only_what_was_certainly_there_before_us_is_left_out(created: Any, kept: bool) -> None:
    """A posting whose time is not told is entered rather once too often than never."""
    found, _ = beginning(since(BEGAN))
    assert len(found.kept(Batch((made(created),), b"1")).events) == kept


def test_what_cannot_be_read_is_kept_for_a_person() -> None:
    """Nobody knows how old it is."""
    found, _ = beginning(since(BEGAN))
    garbled = Garbled("x", "torn", "…", change=False)
    assert found.kept(Batch((garbled, Event("y", {})), b"1")).events == [garbled, Event("y", {})]


@pytest.mark.parametrize("cursor", [None, EVERYTHING, b"\x00" * 8, b"cometd:17", b"cometd@now", b"sinc"])
def test_a_cursor_without_a_beginning_is_the_transports_own(cursor: bytes | None) -> None:
    """Nothing is left out, nothing is changed."""
    assert opened(TILL, cursor) == (None, cursor)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)), st.binary())  # noqa: DTZ001 — the zone follows
def test_a_beginning_and_a_place_come_out_as_they_went_in(moment: datetime, place: bytes) -> None:
    """Whatever bytes a transport's own cursor is made of."""
    cursor = since(moment.replace(tzinfo=UTC), place)
    found, back = beginning(cursor)
    assert back == place
    assert found.kept(Batch((), place)).cursor == cursor


@pytest.mark.parametrize(
    "cursor", [b"since@", b"since@:", b"since@x:", b"since@5", b"since@" + b"9" * 30 + b":"]
)
def test_a_torn_bookmark_is_refused(cursor: bytes) -> None:
    """It stands for no moment; what follows is a start from what is kept, told as such."""
    with pytest.raises(CursorRefused):
        opened(TILL, cursor)
