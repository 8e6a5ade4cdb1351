"""A till's sales as a CSV file or rows of JSON: read strictly, every bad row told with its line and remedy.

The first line names the columns, in any order: `receipt`, `sku`, `quantity`, `date`, and if wanted `line` (of
the receipt), `time`, `unit` (the piece); or as the till's settings say. Others mean nothing here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from difflib import get_close_matches

from .count_file import BadRow, FileError, unprintable, wrong_width
from .stock import BadKeyError, LevelKey
from .tills import MaySell, Till, TillSale, instant, source_id, whole_day
from .values import replace

NEEDED = ("receipt", "sku", "quantity", "date")
COLUMNS = ("receipt", "line", "sku", "quantity", "date", "time", "unit")
DATE_FORMATS = ("YYYY-MM-DD", "YYYYMMDD", "DD.MM.YYYY", "DD/MM/YYYY", "DD-MM-YYYY", "MM/DD/YYYY")
MOST_ROWS = 20_000
LONGEST = {"receipt": 80, "sku": 120, "unit": 80}
_REWRITTEN = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
_BARCODE = re.compile(r"\d{8}|\d{12,14}")
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True, slots=True)
class Report:
    """What a till told: its lines with those of the file (from 1), and the rows that are none.

    `again` are rows that say word for word what a row before them says: they count once.
    """

    sales: Sequence[tuple[int, TillSale]]
    bad: Sequence[BadRow]
    again: int = 0


@dataclass(frozen=True, slots=True)
class _Wrong:
    detail: str
    remedy: str


def read(text: str, till: Till) -> Report:
    """A file. `FileError` where it cannot be used at all: nothing of it is then known."""
    if "\0" in text:
        raise FileError("the file contains binary zeros: it is no CSV file; save it as CSV UTF-8")
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = till.delimiter or max(",;\t|", key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    made = _Making(till)
    names: list[str] | None = None
    end = 0
    try:
        for cells in rows:
            line, end = end + 1, rows.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = _header(cells, till)
                made.has_lines = "line" in names
            elif wrong := wrong_width(cells, names):
                made.wrong(line, "", _Wrong(*wrong))
            else:
                told = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name}
                made.add(line, told)
    except csv.Error as error:
        raise FileError(f"line {end + 1} is not CSV: {error}; close the quotes that it opens") from None
    if names is None:
        raise FileError(f"the file is empty; its first line names the columns: {','.join(COLUMNS)}")
    return made.report()


def read_rows(rows: Sequence[Mapping[str, object]], till: Till) -> Report:
    """Rows of JSON under our own names of the columns; dates and numbers are written as JSON does."""
    made = _Making(replace(till, decimal=".", date_format="YYYY-MM-DD"))
    for number, row in enumerate(rows, 1):
        if unknown := [name for name in row if name not in COLUMNS]:
            detail = f"has {unknown[0][:40]!r}, which is not known"
            made.wrong(number, "", _Wrong(detail, f"known are {', '.join(COLUMNS)}"))
            continue
        made.has_lines = "line" in row
        made.add(number, {name: str(value).strip() for name, value in row.items() if value is not None})
    return made.report()


def _header(cells: Sequence[str], till: Till) -> list[str]:
    """Our name of each column; empty for one that means nothing here."""
    theirs = {_plain(till.columns.get(name, name)): name for name in COLUMNS}
    names = [theirs.get(_plain(cell), "") for cell in cells]
    problems = [f"the column {name} stands twice" for name in COLUMNS if names.count(name) > 1]
    unread = [cell.strip() for cell, name in zip(cells, names, strict=True) if not name]
    for name in COLUMNS:
        if name in names:
            continue
        wanted = till.columns.get(name, name)
        near = get_close_matches(_plain(wanted), [_plain(cell) for cell in unread], 1, 0.75)
        if near:
            problems.append(f"the column {near[0][:40]!r} is not known: is it {wanted}?")
        elif name in NEEDED or name in till.columns:
            what = wanted if wanted == name else f"{wanted} ({name})"
            problems.append(f"the column {what} is missing")
    if problems:
        remedy = f"name the columns in tills.{till.name}.columns as this till does"
        raise FileError(f"the first line is no header of a till's report: {'; '.join(problems)}; {remedy}")
    return names


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().split())


class _Making:
    """A report as it grows."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._sales: list[tuple[int, TillSale]] = []
        self._bad: list[BadRow] = []
        self._seen: dict[str, tuple[int, TillSale]] = {}
        self._again = 0
        self._rows = 0
        self.has_lines = True  # rows name the line of the receipt

    def add(self, line: int, told: Mapping[str, str]) -> None:
        found: TillSale | _Wrong | None = _sale(told, self._till)
        if isinstance(found, TillSale):
            found = self._once(line, found)
        if isinstance(found, _Wrong):
            self.wrong(line, told.get("sku", ""), found)
        elif found is not None:
            self._count()
            self._sales.append((line, found))

    def wrong(self, line: int, sku: str, what: _Wrong) -> None:
        self._count()
        self._bad.append(BadRow(line, sku[:60], what.detail, what.remedy))

    def _count(self) -> None:
        self._rows += 1
        if self._rows > MOST_ROWS:
            raise FileError(f"the report has more than {MOST_ROWS:,} rows; send it in several")

    def _once(self, line: int, sale: TillSale) -> TillSale | _Wrong | None:
        """None for one that was told already by a row before."""
        before, first = self._seen.setdefault(sale.source_id, (line, sale))
        if before == line:
            return sale
        if self.has_lines and (first.level, first.units, first.at) == (sale.level, sale.units, sale.at):
            self._again += 1
            return None
        if self.has_lines:
            detail = f"tells receipt {sale.receipt}, line {sale.line} unlike line {before}"
            return _Wrong(detail, "drop one, or number the lines of the receipt")
        detail = f"is of receipt {sale.receipt}, as line {before} is, and neither names its line"
        return _Wrong(detail, "add a column with the line of the receipt")

    def report(self) -> Report:
        if not self._sales and not self._bad:
            raise FileError("the report has no rows; nothing was sold")
        return Report(self._sales, self._bad, self._again)


def _sale(told: Mapping[str, str], till: Till) -> TillSale | _Wrong:
    for name in NEEDED:
        if not told.get(name):
            return _Wrong(f"has no {till.columns.get(name, name)}", "fill the cell, or drop the row")
    for name, text in told.items():
        if not text.isprintable():
            return _Wrong(*unprintable(name, text))
        if len(text) > LONGEST.get(name, 60):
            return _Wrong(f"has a {name} of more than {LONGEST.get(name, 60)} characters", "shorten it")
    for name in ("receipt", "sku"):
        if _REWRITTEN.fullmatch(told[name]):
            what = f"has the {name} {told[name]}, which a spreadsheet has rewritten"
            return _Wrong(what, "format the column as text")
    line = told.get("line") or "1"
    if not (line.isascii() and line.isdigit() and int(line[:9]) > 0 and len(line) <= 9):
        return _Wrong(f"has the line {line[:20]!r}", "give the line of the receipt as a number from 1")
    units = _units(told["quantity"], till)
    if isinstance(units, _Wrong):
        return units
    if told.get("unit") and abs(units) > 1:
        return _Wrong(f"has {abs(units)} units of one piece", "give 1 or -1, or leave out the unit")
    when = _when(told["date"], told.get("time", ""), till, returned=units < 0)
    if isinstance(when, _Wrong):
        return when
    try:
        level = LevelKey(told["sku"], till.location, told.get("unit") or None)
    except BadKeyError as error:
        return _Wrong(f"cannot be a stock level: {error}", "correct the cell")
    identity = source_id(till, told["receipt"], int(line), when.day)
    return TillSale(identity, told["receipt"], int(line), level, units, when.at, when.day_began)


def _units(text: str, till: Till) -> int | _Wrong:
    """The units: "2", "-1", "1-", "2.000" with the till's decimal mark."""
    if _BARCODE.fullmatch(text):
        return _Wrong(f"has the quantity {text}, which looks like a barcode", "scan into the column sku")
    bare = text.replace("−", "-")
    if bare.endswith("-"):
        bare = f"-{bare[:-1].strip()}"
    whole, _, rest = bare.partition(till.decimal)
    digits = whole.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or rest.strip("0"):
        remedy = f"give a whole number, negative for a return (decimal mark {till.decimal!r})"
        return _Wrong(f"has the quantity {text[:20]!r}", remedy)
    if not int(digits[:12]):
        return _Wrong("has the quantity 0", "drop the row: nothing was sold and nothing came back")
    if len(digits) > 9 or int(digits) > till.most_units:
        what = f"has the quantity {text[:20]}, more than {till.most_units:,}"
        return _Wrong(what, f"correct it, or raise tills.{till.name}.most_units")
    return -int(digits) if whole.startswith("-") else int(digits)


@dataclass(frozen=True, slots=True)
class _When:
    at: datetime
    day: date  # there
    day_began: datetime | None = None


def _when(day_text: str, time_text: str, till: Till, *, returned: bool) -> _When | _Wrong:
    """The moment that a row tells, in the till's own zone unless it names an offset."""
    day_cell, _, behind = day_text.replace("T", " ").partition(" ")
    day = _day(day_cell, till)
    if isinstance(day, _Wrong):
        return day
    if behind.strip() and time_text:
        return _Wrong("has a time in its date and another beside it", "leave out one of the two")
    told = behind.strip() or time_text
    if not told:
        begins, ends = whole_day(day, till)
        return _When(ends, day, begins)
    found = _TIME.fullmatch(told)
    wrong = _Wrong(f"has the time {told[:20]!r}", "write it like 17:40 or 17:40:05")
    if found is None:
        return wrong
    hour, minute, second, offset = found.groups()
    try:
        local = datetime.combine(day, time(int(hour), int(minute), int(second or 0)))
        if offset is None:
            return _When(instant(local, till.zone, returned=returned), day)
        at = datetime.fromisoformat(f"{local.isoformat()}{offset}")
    except ValueError:
        return wrong
    return _When(at.astimezone(UTC), at.astimezone(till.zone).date())


def _day(text: str, till: Till) -> date | _Wrong:
    pattern = re.escape(till.date_format)
    both = r"\d\d" if till.date_format == "YYYYMMDD" else r"\d{1,2}"
    for word, digits in (
        ("YYYY", r"(?P<year>\d{4})"),
        ("MM", f"(?P<month>{both})"),
        ("DD", f"(?P<day>{both})"),
    ):
        pattern = pattern.replace(word, digits)
    found = re.fullmatch(pattern, text, re.ASCII)
    if found is None:
        remedy = f"write it as {till.date_format}, or set tills.{till.name}.date_format"
        return _Wrong(f"has the date {text[:20]!r}", remedy)
    try:
        day = date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        day = date.min
    if not 2000 <= day.year < 2100:
        return _Wrong(f"has the date {text[:20]}, which there is not", f"write it as {till.date_format}")
    return day


def levels_csv(told: Sequence[MaySell]) -> str:
    """What a till may sell as a CSV file."""
    out = io.StringIO(newline="")
    made = csv.writer(out, lineterminator="\r\n")
    made.writerow(("sku", "available"))
    made.writerows((each.sku, each.units) for each in told)
    return out.getvalue()
