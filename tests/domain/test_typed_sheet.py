"""A sheet typed or scanned into one field says what was counted, and which lines say nothing."""

from __future__ import annotations

from sfsync.domain.typed_sheet import MOST_LINES, BadLine, Typed, read


def test_each_line_adds_a_piece_and_a_number_as_many() -> None:
    """In the order in which each code came first; blanks and empty lines mean nothing."""
    typed, bad = read("BAG-1\n\n  TIE-2 = 9 \nBAG-1\r\nBAG-1 = 3\nRING|S-77\nRING | S-78\n")
    assert typed == [
        Typed(1, "BAG-1", None, 5),
        Typed(3, "TIE-2", None, 9),
        Typed(6, "RING", "S-77", 1),
        Typed(7, "RING", "S-78", 1),
    ]
    assert bad == []


def test_nothing_is_counted_as_nothing_where_it_is_said() -> None:
    """An empty shelf is a count too."""
    assert read("BAG-1 = 0") == ([Typed(1, "BAG-1", None, 0)], [])


def test_wrong_lines_are_told_and_the_others_stay() -> None:
    """A number that is none, no SKU, a piece twice, and far too many of one."""
    typed, bad = read("BAG = x\n= 3\nRING|S-1\nRING|S-1\nTIE = 900000000\nTIE = 900000000\nHAT = -1\nHAT =")
    assert typed == [Typed(3, "RING", "S-1", 1), Typed(5, "TIE", None, 900000000)]
    assert [each.line for each in bad] == [1, 2, 4, 6, 7, 8]


def test_a_sheet_has_no_more_codes_than_one_request_may_have() -> None:
    """The one too many is told by its line; one that came before still adds up."""
    typed, bad = read("\n".join(f"S-{number}" for number in range(MOST_LINES + 1)) + "\nS-0")
    assert (len(typed), typed[0].units) == (MOST_LINES, 2)
    told = f"is beyond {MOST_LINES} different codes: enter those first"
    assert bad == [BadLine(MOST_LINES + 1, f"S-{MOST_LINES}", told)]
