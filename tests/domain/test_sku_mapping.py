"""Sheets of mappings: what they say, what is wrong with their rows, and when a person is asked."""

from __future__ import annotations

import pytest

from sfsync.domain.count_file import FileError
from sfsync.domain.sku_mapping import MapFacts, SkuMapping, problem_of, read, read_rows

FACTS = MapFacts({"NEW", "BAG"}, {("KEPT", ""): "BAG"}, {"london", "milan"})


def test_a_sheet_says_what_each_old_sku_is_and_of_whom() -> None:
    """In any order of the columns, with whatever separates them; a row said twice is one."""
    sheet = read("new;channel;old\nNEW;london;OLD\n\nBAG;;SACK\nNEW;london;OLD\n")
    assert [(line, row) for line, row in sheet.rows] == [
        (2, SkuMapping("OLD", "NEW", "london")),
        (4, SkuMapping("SACK", "BAG")),
    ]
    assert not sheet.bad


def test_bad_rows_are_told_with_their_line_and_good_ones_stay() -> None:
    """Empty, too long, contradicting one before, mapped to itself."""
    sheet = read(f"old,new\n,NEW\nOLD,\nOLD,NEW\nOLD,BAG\nSAME,SAME\n{'x' * 121},NEW\nA|B,N|W\nX,Y,Z\n")
    assert [row for _, row in sheet.rows] == [SkuMapping("OLD", "NEW")]
    assert [bad.line for bad in sheet.bad] == [2, 3, 5, 6, 7, 8, 9]
    assert "line 4 maps it to NEW" in sheet.bad[2].detail


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("old,new\n", "no rows"),
        ("old,nwe\nA,B\n", "did you mean new"),
        ("old,old,new\nA,B,C\n", "stands twice"),
        ('old,new\n"A,B\n', "line 2 is not CSV"),
        ("old,new\nA,\0\n", "binary zeros"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused_as_a_whole(text: str, told: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(FileError, match=told):
        read(text)


def test_rows_given_as_objects_are_read_as_strictly() -> None:
    """A word that is not known is told with the row's place."""
    sheet = read_rows([{"old": "OLD", "new": "NEW"}, {"old": "A", "new": "B", "nwe": "C"}, {"old": "A"}])
    assert [row for _, row in sheet.rows] == [SkuMapping("OLD", "NEW")]
    assert [bad.line for bad in sheet.bad] == [2, 3]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (SkuMapping("OLD", "NEW"), None),
        (SkuMapping("OLD", "NEW", "milan"), None),
        (SkuMapping("KEPT", "BAG"), None),
        (SkuMapping("OLD", "NEW", "paris"), "settings do not have"),
        (SkuMapping("OLD", "OLDER"), "no stock level"),
        (SkuMapping("BAG", "NEW"), "which the org has itself"),
        (SkuMapping("KEPT", "NEW"), "is mapped to BAG"),
    ],
)
def test_only_what_the_org_lacks_is_mapped_to_what_it_has(row: SkuMapping, told: str | None) -> None:
    """And nothing is changed that somebody said before: it is taken away first."""
    problem = problem_of(row, FACTS)
    assert (problem is None) == (told is None)
    assert told is None or problem is None or told in problem[0]
