"""Stock levels, their keys, and which of two readings is the newer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.stock import (
    SUBJECT_LENGTH,
    BadKeyError,
    Freshness,
    LevelKey,
    Movement,
    MovementKind,
    StockLevel,
    allocation_subject,
    compare,
    order_line_subject,
    posting_subject,
    reservation_subject,
    step_key,
    unfit,
)

BAG = LevelKey("BAG-1", "ECOM")
NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)

parts = st.text(st.characters(exclude_characters="|"), min_size=1, max_size=80).filter(
    lambda text: text == text.strip() and not unfit(text)
)
keys = st.builds(LevelKey, parts, parts, st.none() | parts)


def level(on_hand: int, reserved: int, version: int, record_id: str = "a01") -> StockLevel:
    return StockLevel(BAG, on_hand, reserved, version, record_id)


@given(keys)
def test_a_level_key_survives_being_written_and_read(key: LevelKey) -> None:
    """What a key says as text is that key again."""
    assert LevelKey.parse(str(key)) == key


@given(keys, keys)
def test_two_levels_never_share_a_key(one: LevelKey, other: LevelKey) -> None:
    """Keys that read alike are the same level."""
    assert (str(one) == str(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BAG-1", "not SKU|location"),
        ("BAG-1|ECOM|S1|more", "not SKU|location"),
        ("|ECOM", "empty"),
        ("BAG-1|", "empty"),
        (" BAG-1|ECOM", "blanks"),
        ("BAG-1|ECOM|", "unit"),
        ("B" * 121 + "|ECOM", "121 characters"),
        ("BAG-1|" + "E" * 81, "81 characters"),
    ],
)
def test_a_bad_key_says_what_is_wrong_with_it(text: str, words: str) -> None:
    """A key that the org could not hold is refused in words."""
    with pytest.raises(BadKeyError, match=words.replace("|", r"\|")):
        LevelKey.parse(text)


def test_a_sku_may_not_contain_the_separator() -> None:
    """Else two levels could share a key."""
    with pytest.raises(BadKeyError, match="separates"):
        LevelKey("BAG|1", "ECOM")


@pytest.mark.parametrize(
    ("on_hand", "reserved", "available", "oversold"),
    [(3, 1, 2, 0), (1, 1, 0, 0), (0, 2, -2, 2), (-1, 0, -1, 1), (-1, 2, -3, 3), (0, 0, 0, 0)],
)
def test_available_and_oversold(on_hand: int, reserved: int, available: int, oversold: int) -> None:
    """Available is never clamped, and what is missing has a name."""
    held = level(on_hand, reserved, 1)
    assert (held.available, held.oversold) == (available, oversold)


@pytest.mark.parametrize(
    ("held", "read", "asked_after_held", "expected"),
    [
        (None, level(1, 0, 0), False, Freshness.NEWER),
        (level(1, 0, 5), level(0, 0, 6), False, Freshness.NEWER),
        (level(1, 0, 5), level(1, 0, 5), False, Freshness.SAME),
        (level(1, 0, 5), level(1, 0, 5), True, Freshness.SAME),
        (level(1, 0, 5), level(2, 0, 4), False, Freshness.LATE),  # a slow answer
        (level(1, 0, 5), level(2, 0, 4), True, Freshness.REWRITTEN),  # rows deleted, backup restored
        (level(1, 0, 5), level(2, 0, 5), True, Freshness.REWRITTEN),  # a row was edited
        (level(1, 0, 5), level(2, 0, 5), False, Freshness.LATE),
    ],
)
def test_newer_wins(
    held: StockLevel | None, read: StockLevel, asked_after_held: bool, expected: Freshness
) -> None:
    """Only the org itself going back replaces a level by an older one."""
    assert compare(held, read, asked_after_held=asked_after_held) is expected


@pytest.mark.parametrize(
    ("read", "asked_after_held", "expected"),
    [
        (level(1, 2, 7), True, Freshness.NEWER),  # both rows of ours, and nothing else
        (level(4, 2, 9), True, Freshness.NEWER),  # and others came, too
        (level(1, 1, 6), True, Freshness.REWRITTEN),  # one row is gone
        (level(1, 0, 5), True, Freshness.REWRITTEN),  # as if nothing had happened at all
        (level(1, 1, 6), False, Freshness.NEWER),  # the one held may have one of ours already
        (level(1, 0, 5), False, Freshness.SAME),
    ],
)
def test_rows_of_ours_tell_how_high_the_version_must_be(
    read: StockLevel, asked_after_held: bool, expected: Freshness
) -> None:
    """Version 5, and two rows went in since: anything below 7 lacks a movement that somebody has deleted."""
    held = level(1, 0, 5)
    assert compare(held, read, asked_after_held=asked_after_held, entered=2) is expected


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12))
def test_readings_in_any_order_leave_the_newest(versions: list[int]) -> None:
    """Late answers, all asked before anything was stored, never win."""
    held: StockLevel | None = None
    for version in versions:
        read = level(100 - version, 0, version)
        if compare(held, read, asked_after_held=False) is Freshness.NEWER:
            held = read
    assert held == level(100 - max(versions), 0, max(versions))


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400)


@given(texts, texts, texts)
def test_a_subject_always_fits_into_the_org_field(one: str, two: str, three: str) -> None:
    """However long a channel's ids are, subject and key fit, the key within 255 characters."""
    for subject in (
        order_line_subject(one, two, three),
        posting_subject(one),
        allocation_subject(one[:40], BAG),
        reservation_subject(one, 3),
    ):
        assert len(subject) <= SUBJECT_LENGTH
        assert len(step_key(subject, 99_999)) <= 255


def test_long_subjects_that_differ_at_the_end_stay_apart() -> None:
    """What is cut off is kept as a digest."""
    one, other = (order_line_subject("london", "x" * 300, line) for line in ("1", "2"))
    assert one != other


def row(on_hand: int = 0, reserved: int = 1, kind: MovementKind = MovementKind.CART, **also: str) -> Movement:
    reference, version = also.get("reference", ""), also.get("version", "")
    return Movement(
        "reservation:r:0:0", "reservation:r:0", BAG, kind, on_hand, reserved, reference, version, NOW
    )


def test_content_is_effect_not_decoration() -> None:
    """A row sent again with another reference or version is the same step; another effect is not."""
    assert row(reference="cart 7", version="2").same_content(row())
    assert not row().same_content(row(reserved=2))
    assert not row().same_content(row(on_hand=-1))
    assert not row().same_content(row().void())


def test_a_void_row_takes_the_key_and_moves_nothing() -> None:
    """It has the key and subject of the row it stands for, and no effect."""
    void = row(reserved=2).void()
    assert (void.key, void.subject, void.level) == (row().key, row().subject, BAG)
    assert (void.on_hand_delta, void.reserved_delta, void.kind) == (0, 0, MovementKind.VOID)
    assert not void.asks
