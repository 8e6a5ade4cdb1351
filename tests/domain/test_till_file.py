"""A till's report as tills really write it: read strictly, and every bad row told with its line."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from sfsync.domain.count_file import FileError, decode
from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.domain.till_file import MOST_ROWS, Report, levels_csv, read, read_rows
from sfsync.domain.tills import MaySell, Restart, Till, TillSale

ROME = Till("rinascente", "MILAN", ZoneInfo("Europe/Rome"))
HEAD = "receipt,line,sku,quantity,date,time,unit\n"
GERMAN = replace(
    ROME,
    name="kadewe",
    location="BERLIN",
    zone=ZoneInfo("Europe/Berlin"),
    columns={
        "receipt": "Bon-Nr",
        "line": "Pos",
        "sku": "Artikel",
        "quantity": "Menge",
        "date": "Datum",
        "time": "Uhrzeit",
    },
    decimal=",",
    date_format="DD.MM.YYYY",
)


def one(row: str, till: Till = ROME) -> TillSale:
    (found,) = read(HEAD + row, till).sales
    return found[1]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_a_line_of_a_receipt_is_a_sale_or_a_return() -> None:
    """Five in the afternoon in Milan is four o'clock UTC in winter; what comes back is negative."""
    sale = one("77,2,BAG,1,2026-11-22,17:00,N-041")
    assert sale == TillSale(
        "till:rinascente:77:2", "77", 2, LevelKey("BAG", "MILAN", "N-041"), 1, at("2026-11-22T16:00Z")
    )
    assert (sale.subject, sale.kind) == ("posting:till:rinascente:77:2", MovementKind.SALE)
    back = one("78,1,BAG,-1,2026-11-22,17:00,")
    assert (back.units, back.kind) == (-1, MovementKind.RETURN)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_store_names_its_columns_in_its_own_language(encoding: str, end: str) -> None:
    """Semicolons, decimal commas, its own date; columns that mean nothing here are not read."""
    text = (
        "Filiale;Bon-Nr;Pos;Artikel;Menge;Datum;Uhrzeit;Betrag\n"
        "12;000815;1;SAC-ÉTÉ;1,000;22.11.2026;17:00;1.250,00\n"
        "12;816;1;SAC-ÉTÉ;1-;22.11.2026;17:05:30;-1.250,00\n\n"
    )
    found = read(decode(text.replace("\n", end).encode(encoding)), GERMAN)
    assert [(line, sale.receipt, sale.units) for line, sale in found.sales] == [
        (2, "000815", 1),
        (3, "816", -1),
    ]
    assert [sale.at for _, sale in found.sales] == [at("2026-11-22T16:00Z"), at("2026-11-22T16:05:30Z")]
    assert found.bad == []


@pytest.mark.parametrize(
    ("date", "time_", "utc"),
    [
        ("2026-07-22", "17:00", "2026-07-22T15:00Z"),  # summer time
        ("2026-11-22 17:00:05", "", "2026-11-22T16:00:05Z"),
        ("2026-11-22T17:00", "", "2026-11-22T16:00Z"),
        ("2026-11-22", "17:00Z", "2026-11-22T17:00Z"),  # its own offset goes first
        ("2026-11-22T17:00:00.250+04:00", "", "2026-11-22T13:00Z"),
        ("2026-10-25", "01:59", "2026-10-24T23:59Z"),  # before the clock is put back
        ("2026-10-25", "03:00", "2026-10-25T02:00Z"),
    ],
)
def test_a_time_is_that_of_its_own_place(date: str, time_: str, utc: str) -> None:
    """With the offset of that day, unless the row names one."""
    assert one(f"77,1,BAG,1,{date},{time_},").at == at(utc)


@pytest.mark.parametrize(
    ("local", "sold", "returned"),
    [
        # 25 October 2026: the clock is put back from 03:00 to 02:00; half past two comes twice.
        ("2026-10-25 02:30", "2026-10-25T01:30Z", "2026-10-25T00:30Z"),
        # 29 March 2026: it is put forward from 02:00 to 03:00; half past two never comes.
        ("2026-03-29 02:30", "2026-03-29T01:30Z", "2026-03-29T00:30Z"),
    ],
)
def test_what_the_clock_leaves_open_is_taken_so_that_nothing_is_promised_too_much(
    local: str, sold: str, returned: str
) -> None:
    """The later moment for a sale, so that a count in between has not seen it; the earlier for a return."""
    assert one(f"77,1,BAG,1,{local},,").at == at(sold)
    assert one(f"77,1,BAG,-1,{local},,").at == at(returned)


@pytest.mark.parametrize(
    ("day_ends", "day", "ends"),
    [
        (time(23, 59, 59), "2026-11-22", "2026-11-22T22:59:59Z"),
        (time(21, 30), "2026-11-22", "2026-11-22T20:30Z"),
        (time(21, 30), "2026-07-22", "2026-07-22T19:30Z"),
    ],
)
def test_a_date_alone_is_the_end_of_the_trading_day_there(day_ends: time, day: str, ends: str) -> None:
    """When the store closes, as the settings say it; that the day was told alone is kept."""
    sale = one(f"77,1,BAG,1,{day},,", replace(ROME, day_ends=day_ends))
    assert sale.at == at(ends)
    assert sale.day_began is not None
    assert sale.day_began.astimezone(ROME.zone).isoformat()[:16] == f"{day}T00:00"


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (",1,BAG,1,2026-11-22,17:00,", "has no receipt"),
        ("77,1,,1,2026-11-22,17:00,", "has no sku"),
        ("77,1,BAG,,2026-11-22,17:00,", "has no quantity"),
        ("77,1,BAG,1,,17:00,", "has no date"),
        ("77,1,BAG,1,2026-11-22,17:00", "has 6 cells where the header has 7"),
        ("77,1,BAG,0,2026-11-22,17:00,", "has the quantity 0"),
        ("77,1,BAG,1.5,2026-11-22,17:00,", "has the quantity '1.5'"),
        ("77,1,BAG,one,2026-11-22,17:00,", "has the quantity 'one'"),
        ("77,1,BAG,--1,2026-11-22,17:00,", "has the quantity '--1'"),
        ("77,1,BAG,101,2026-11-22,17:00,", "has the quantity 101, more than 100"),
        ("77,1,BAG,-101,2026-11-22,17:00,", "has the quantity -101, more than 100"),
        ("77,1,BAG,99999999999999999999,2026-11-22,17:00,", "more than 100"),
        ("77,1,BAG,4006381333931,2026-11-22,17:00,", "looks like a barcode"),
        ("77,1,BAG,2,2026-11-22,17:00,N-041", "has 2 units of one piece"),
        ("77,0,BAG,1,2026-11-22,17:00,", "has the line '0'"),
        ("77,1a,BAG,1,2026-11-22,17:00,", "has the line '1a'"),
        ("77,1,BAG,1,22.11.2026,17:00,", "has the date '22.11.2026'"),
        ("77,1,BAG,1,2026-02-30,17:00,", "has the date 2026-02-30, which there is not"),
        ("77,1,BAG,1,0001-01-01,17:00,", "which there is not"),
        ("77,1,BAG,1,2026-11-22,25:00,", "has the time '25:00'"),
        ("77,1,BAG,1,2026-11-22,5pm,", "has the time '5pm'"),
        ("77,1,BAG,1,2026-11-22,17:00+99:00,", "has the time '17:00+99:00'"),
        ("77,1,BAG,1,2026-11-22 17:00,17:00,", "has a time in its date and another beside it"),
        ("1.23E+10,1,BAG,1,2026-11-22,17:00,", "which a spreadsheet has rewritten"),
        ("77,1,4.01E+12,1,2026-11-22,17:00,", "which a spreadsheet has rewritten"),
        ("77,1,B|G,1,2026-11-22,17:00,", "cannot be a stock level"),
        (f"77,1,{'B' * 121},1,2026-11-22,17:00,", "has a sku of more than 120 characters"),
        ('77,1,"B\nG",1,2026-11-22,17:00,', "has a line break in sku"),
        ("77,1,B\x07G,1,2026-11-22,17:00,", "characters that cannot be printed"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_a_remedy(row: str, detail: str) -> None:
    """It is a sale to nobody; the good row beside it is one."""
    found = read(f"{HEAD}76,1,TIE,1,2026-11-22,17:00,\n{row}\n", ROME)
    assert [line for line, _ in found.sales] == [2]
    (bad,) = found.bad
    assert (bad.line, detail in bad.detail, bool(bad.remedy)) == (3, True, True), bad.detail


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEAD, "the report has no rows"),
        ("sku,quantity,date\n", "the column receipt is missing"),
        ("reciept,sku,quantity,date\n", "'reciept' is not known: is it receipt?"),
        ("receipt,lines,sku,quantity,date\n", "'lines' is not known: is it line?"),
        ("receipt,sku,sku,quantity,date\n", "the column sku stands twice"),
        (HEAD + '77,1,"BAG,1\n', "is not CSV"),
        (HEAD + "77,1,BAG\0,1\n", "binary zeros"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(text: str, named: str) -> None:
    """With what is wrong in words."""
    with pytest.raises(FileError, match=re.escape(named)):
        read(text, ROME)


def test_a_missing_column_of_a_store_is_named_as_the_store_names_it() -> None:
    """So that whoever wrote the export finds it; a column that the settings name must be there."""
    with pytest.raises(FileError, match=r"the column Menge \(quantity\) is missing.*tills\.kadewe\.columns"):
        read("Bon-Nr;Pos;Artikel;Datum;Uhrzeit\n", GERMAN)
    with pytest.raises(FileError, match=r"the column Uhrzeit \(time\) is missing"):
        read("Bon-Nr;Pos;Artikel;Menge;Datum\n", GERMAN)


def test_a_file_in_another_encoding_is_refused_by_its_line() -> None:
    """Latin-1 would be read as other letters, and so as another SKU."""
    with pytest.raises(FileError, match=r"line 2 is not UTF-8 \(byte c9"):
        decode((HEAD + "77,1,SAC-ÉTÉ,1,2026-11-22,17:00,\n").encode("latin-1"))


def test_the_same_line_counts_once_and_another_under_its_number_is_bad() -> None:
    """Word for word the same is told twice; another quantity cannot be the same line."""
    row, other = "77,1,BAG,1,2026-11-22,17:00,\n", "77,1,BAG,2,2026-11-22,17:00,\n"
    assert read(HEAD + row * 2, ROME) == Report([(2, one(row))], [], again=1)
    (bad,) = read(HEAD + row + other, ROME).bad
    assert (bad.line, bad.detail) == (3, "tells receipt 77, line 1 unlike line 2")


def test_two_rows_of_a_receipt_need_line_numbers() -> None:
    """Without them nobody knows whether one bag was told twice or two were sold."""
    text = "receipt,sku,quantity,date\n77,BAG,1,2026-11-22\n77,BAG,1,2026-11-22\n78,BAG,1,2026-11-22\n"
    found = read(text, ROME)
    assert [line for line, _ in found.sales] == [2, 4]
    assert found.bad[0].detail == "is of receipt 77, as line 2 is, and neither names its line"


@pytest.mark.parametrize(
    ("restart", "identity"),
    [
        (Restart.NEVER, "till:rinascente:77:1"),
        (Restart.YEARLY, "till:rinascente:2026/77:1"),
        (Restart.DAILY, "till:rinascente:2026-11-22/77:1"),
    ],
)
@pytest.mark.parametrize("receipt", ["77", "0077"])
def test_a_receipt_is_the_same_whatever_a_spreadsheet_made_of_its_number(
    restart: Restart, identity: str, receipt: str
) -> None:
    """Leading zeros are lost in spreadsheets; a till that begins anew has receipts of a day or year."""
    late_evening = f"{receipt},1,BAG,1,2026-11-22,23:30,"  # the day there, not the day in UTC
    assert one(late_evening, replace(ROME, restart=restart)).source_id == identity


def test_a_row_of_json_is_read_as_a_row_of_the_file() -> None:
    """Under our own names, with numbers or texts; what is not known is told by the number of its row."""
    row = {"receipt": 77, "line": 1, "sku": "SAC", "quantity": 1, "date": "2026-11-22", "time": "17:00"}
    found = read_rows([row, {**row, "line": 2, "price": 9}, {**row, "line": 3, "unit": None}], GERMAN)
    assert [(line, sale.source_id) for line, sale in found.sales] == [
        (1, "till:kadewe:77:1"),
        (3, "till:kadewe:77:3"),
    ]
    assert (found.bad[0].line, found.bad[0].detail) == (2, "has 'price', which is not known")


def test_a_report_has_an_end() -> None:
    """Nobody sells so much in a day; it is refused before it fills the memory."""
    with pytest.raises(FileError, match="more than 20,000 rows"):
        read(
            HEAD + "".join(f"{n},1,BAG,1,2026-11-22,17:00,\n" for n in range(MOST_ROWS + 1)),
            ROME,
        )


def test_what_it_may_sell_is_a_file_that_a_till_reads() -> None:
    """A SKU with a comma is in quotes."""
    assert levels_csv([MaySell("TIE, SILK", 0), MaySell("BAG", 3)]) == (
        'sku,available\r\n"TIE, SILK",0\r\nBAG,3\r\n'
    )
