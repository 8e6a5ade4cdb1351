"""How long the org's room lasts, from values: what a person is told, and when."""

from __future__ import annotations

import pytest

from sfsync.domain.forecast import MOST_ROWS, forecast

MB_OF_ROWS = 512  # rows of 2 KB
ONE_EACH = {f"LEVEL-{number}": 1 for number in range(MB_OF_ROWS)}


@pytest.mark.parametrize(
    ("storage", "rows", "older", "days"),
    [
        ((100, 10), {"A": 1_000}, {"A": 1_000 - MB_OF_ROWS}, 10),  # a megabyte a day
        ((100, 10), {"A": 600, "B": 600}, {"A": 600 - MB_OF_ROWS, "B": 600 - MB_OF_ROWS}, 5),
        ((100, 10), {"A": 1_000}, {"A": 1_000}, None),  # nothing was entered
        ((100, 10), {"A": 50}, {"A": 900}, None),  # folded since: fewer than the day before
        ((100, 0), {"A": 50}, {"A": 50}, 0),
        (None, {"A": 1_000}, {}, None),  # the org does not tell
    ],
)
def test_storage_is_full_after_what_is_left_at_the_last_days_pace(
    storage: tuple[int, int] | None, rows: dict[str, int], older: dict[str, int], days: int | None
) -> None:
    """Two kilobytes a movement, as the org counts."""
    assert forecast(storage, rows, older).full_in_days == days


def test_the_first_level_to_be_crowded_need_not_be_the_fullest() -> None:
    """A quiet level with many movements waits longer than a busy one."""
    found = forecast((5_000, 5_000), {"QUIET": 9_000, "BUSY": 4_000}, {"QUIET": 8_990, "BUSY": 3_000})
    assert (found.fullest, found.fullest_rows) == ("QUIET", 9_000)
    assert (found.crowded, found.crowded_in_days) == ("BUSY", 6)
    assert (found.rows, found.rows_a_day) == (13_000, 1_010)


@pytest.mark.parametrize(
    ("left", "rows", "older", "words"),
    [
        (5_000, {"A": 100}, {"A": 99}, []),
        (30, ONE_EACH, {}, ["full in about 30 days"]),
        (31, ONE_EACH, {}, []),
        (5_000, {"A": MOST_ROWS - 10}, {"A": MOST_ROWS - 20}, ["A has 10,000 movements in about 1 day"]),
        (5_000, {"A": MOST_ROWS + 5}, {"A": MOST_ROWS + 5}, ["A has 10,000 movements, and is slow to save"]),
        (1, {"A": MOST_ROWS}, {"A": 9_000}, ["full in less than a day", "A has 10,000 movements"]),
    ],
)
def test_a_person_is_told_a_month_before_it_hurts_and_what_helps(
    left: int, rows: dict[str, int], older: dict[str, int], words: list[str]
) -> None:
    """Each finding ends with the command."""
    found = forecast((5_120, left), rows, older).findings()
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence
        assert "`sfsync ledger fold`" in sentence


def test_levels_are_named_by_their_keys_or_not_at_all() -> None:
    """Of one whose key is not known a person is still told that it fills up."""
    told = forecast((5_000, 5_000), {"a01": MOST_ROWS, "a02": 4_000}, {"a01": 9_000, "a02": 3_990})
    named = told.named({"a01": "BAG-1|ECOM"})
    assert (named.fullest, named.fullest_rows, named.crowded) == ("BAG-1|ECOM", MOST_ROWS, "BAG-1|ECOM")
    unnamed = told.named({"a02": "BELT-1|ECOM"})
    assert (unnamed.fullest, unnamed.fullest_rows, unnamed.crowded) == ("", 0, "")
    assert unnamed.findings()[0].startswith("A stock level has 10,000 movements")


def test_an_org_without_any_room_is_full_and_not_about_to_be() -> None:
    """Said in plain words, with its size."""
    found = forecast((1_024, 0), {"A": 100}, {"A": 99})
    assert found.full == "The org's data storage is full (0 of 1,024 MB left): it takes no movement."
    assert found.findings() == []
    assert forecast((1_024, 1), {"A": 100}, {"A": 99}).full == ""
    assert forecast(None, {"A": 100}, {"A": 99}).full == ""


def test_an_empty_org_has_nothing_to_tell() -> None:
    """Before the first movement."""
    found = forecast((10, 10), {}, {})
    assert (found.rows, found.fullest, found.crowded, found.findings()) == (0, "", "", [])
