"""A sheet of counts as people really save it: read strictly, and every bad row told with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sfsync.domain.count_file import BadRow, FileError, Reading, Sheet, decode, read
from sfsync.domain.counts import Count
from sfsync.domain.stock import LevelKey

SIX = datetime(2026, 11, 22, 18, tzinfo=UTC)
HEAD = "sku,location,quantity,counted_at,counted_by,reason\n"
ROW = "BAG,SOHO,4,2026-11-22T18:00:00Z,Amina,cycle count\n"
PLAIN = Reading()


def sheet(text: str, reading: Reading = PLAIN) -> Sheet:
    return read(text, reading)


def test_a_sheet_becomes_counts_with_their_lines() -> None:
    """Blank lines count as lines and are nothing else; a cell in quotes may hold a comma or a line end."""
    text = (
        HEAD + ROW + "\n" + 'TIE,SOHO,9,2026-11-22 18:00Z,"Amina, Bo","stock\ntake"\n'.replace("\n", " ", 1)
    )
    found = sheet(text + "\n")
    assert found.bad == []
    assert found.counts[0] == (
        2,
        Count("20261122T180000Z/Amina", LevelKey("BAG", "SOHO"), 4, SIX, "", "Amina", "cycle count"),
    )
    line, tie = found.counts[1]
    assert (line, tie.counted_by, tie.at) == (4, "Amina, Bo", SIX)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_it_may_come_from_any_spreadsheet(separator: str, encoding: str, end: str) -> None:
    """Semicolons where the comma is decimal, a mark at the beginning, the line ends of another system."""
    text = "SKU,Location,Counted units,Counted at\nSAC-ÉTÉ,SOHO,4,2026-11-22T18:00Z\n"
    raw = text.replace(",", separator).replace("\n", end).encode(encoding)
    ((line, count),) = sheet(decode(raw)).counts
    assert (line, count.level, count.units, count.at) == (2, LevelKey("SAC-ÉTÉ", "SOHO"), 4, SIX)


def test_what_holds_for_the_whole_sheet_may_be_given_beside_it() -> None:
    """Eight in the evening in Paris, in summer, is six o'clock UTC; a row that says otherwise goes first."""
    given = {
        "location": "PARIS",
        "counted_at": "2026-07-22 20:00",
        "counted_by": "Bo",
        "reason": "stock take",
    }
    reading = Reading(given, ("shelf no",), ZoneInfo("Europe/Paris"))
    found = sheet("sku;quantity;location;Shelf No\nBAG;4;;B7\nTIE;1;LYON;\n", reading)
    assert found.bad == []
    bag, tie = (count for _, count in found.counts)
    assert (str(bag.level), str(tie.level)) == ("BAG|PARIS", "TIE|LYON")
    assert (bag.at, bag.counted_by, bag.reason) == (SIX.replace(month=7), "Bo", "stock take")
    assert bag.count_id == "20260722T180000Z/Bo"


@pytest.mark.parametrize(
    ("row", "detail", "remedy"),
    [
        (",SOHO,4,2026-11-22T18:00Z,,", "no sku", "fill the cell"),
        ("BAG,,4,2026-11-22T18:00Z,,", "no location", "fill the cell"),
        ("BAG,SOHO,,2026-11-22T18:00Z,,", "no quantity", "fill the cell"),
        ("BAG,SOHO,-1,2026-11-22T18:00Z,,", "less than nothing", "from 0"),
        ("BAG,SOHO,1.5,2026-11-22T18:00Z,,", "quantity '1.5'", "whole number"),
        ('BAG,SOHO,"1,000",2026-11-22T18:00Z,,', "quantity '1,000'", "without separators"),
        ("BAG,SOHO,four,2026-11-22T18:00Z,,", "quantity 'four'", "whole number"),
        ("BAG,SOHO,4006381333931,2026-11-22T18:00Z,,", "looks like a barcode", "column sku"),
        ("BAG,SOHO,1234567890,2026-11-22T18:00Z,,", "more than anybody counts", "correct it"),
        ("BAG,SOHO,4,22/11/2026,,", "moment '22/11/2026'", "2026-11-22T18:00:00Z"),
        ("BAG,SOHO,4,2026-11-22 18:00,,", "names no time zone", "--timezone"),
        ("4.00638E+12,SOHO,4,2026-11-22T18:00Z,,", "spreadsheet has rewritten", "as text"),
        ("BAG|SOHO,SOHO,4,2026-11-22T18:00Z,,", "contains '|'", "correct the cell"),
        ("BAG,SOHO,4,2026-11-22T18:00Z", "4 cells where the header has 6", "leave them empty"),
        ("BAG,SOHO,4,2026-11-22T18:00Z,A,b,c", "7 cells where the header has 6", "quote"),
        (f"BAG,SOHO,4,2026-11-22T18:00Z,{'x' * 101},", "more than 100 characters", "shorten"),
        ("BAG,SOHO,4,2026-11-22T18:00Z,A\x07,", "cannot be printed", "type it anew"),
        ('BAG,SOHO,4,2026-11-22T18:00Z,"A\nB",', "has a line break in counted_by", "in one line"),
        (ROW.strip(), "same stock as line 2", "add them up"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_remedy(row: str, detail: str, remedy: str) -> None:
    """And takes no other with it."""
    found = sheet(HEAD + ROW + row + "\n" + ROW.replace("BAG", "TIE"))
    (bad,) = found.bad
    assert bad.line == 3
    assert detail in bad.detail
    assert remedy in bad.remedy
    assert [line for line, _ in found.counts] == [2, 4 + row.count("\n")]


def test_two_people_may_count_one_shelf_at_different_times() -> None:
    """Not at the same second, and not one under the other's id."""
    rows = [
        "BAG,SOHO,4,2026-11-22T18:00:00Z,1",
        "BAG,SOHO,4,2026-11-22T18:05:00Z,2",
        "BAG,SOHO,4,2026-11-22T18:09:00Z,2",
    ]
    found = sheet("sku,location,quantity,counted_at,id\n" + "\n".join(rows))
    assert [line for line, _ in found.counts] == [2, 3]
    assert [bad.line for bad in found.bad] == [4]


def test_a_piece_is_there_or_not() -> None:
    """Two of one serial number cannot be."""
    head = "sku,location,quantity,counted_at,unit\n"
    found = sheet(head + "BAG,SOHO,1,2026-11-22T18:00Z,S/N 7\nBAG,SOHO,2,2026-11-22T18:00Z,S/N 8\n")
    assert [str(count.level) for _, count in found.counts] == ["BAG|SOHO|S/N 7"]
    assert found.bad == [BadRow(3, "BAG", "has 2 units of one piece", "give 1 or 0, or leave out the unit")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEAD, "a header and no rows"),
        (ROW, "the column sku is missing"),
        ("sku,location,quantity\n", "counted_at is missing; add it or give --at"),
        ("sku,location,quantity,counted_at,sku\n", "sku stands twice"),
        ("sku,quantity,counted,location,counted_at\n", "quantity stands twice"),
        ("sku,locaton,quantity,counted_at\n", "did you mean location?"),
        ("sku,location,quantity,counted_at,colour\n", "'colour' is not known: delete it"),
        (HEAD + ROW + '"BAG,SOHO\n', "line 3 is not CSV"),
        ("PK\0\0", "binary zeros"),
    ],
)
def test_a_file_that_is_no_count_sheet_is_refused_whole(text: str, says: str) -> None:
    """With every mistake of its header at once."""
    with pytest.raises(FileError, match=says.replace("?", r"\?")):
        sheet(text)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ((HEAD + ROW).encode() + "TIE-É,SOHO".encode("latin-1"), "line 3 is not UTF-8 .byte c9"),
        (b"\xff\xfes\x00k", "begins as UTF-16"),
    ],
)
def test_another_encoding_is_refused_with_its_line(raw: bytes, says: str) -> None:
    """A name with an accent must not become another SKU."""
    with pytest.raises(FileError, match=says):
        decode(raw)
