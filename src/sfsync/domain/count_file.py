"""A sheet of stock counts as a CSV file: read strictly, every bad row told with its line and remedy.

The first line names the columns, in any order: `sku`, `quantity`, `location`, `counted_at`, and if wanted
`counted_by`, `reason`, `unit`, `id`. What is the same for the whole sheet may be given beside the file
instead. Comma, semicolon or tab separate; the encoding is UTF-8, or UTF-16 with its mark.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from difflib import get_close_matches

from .counts import Count, identity, second
from .stock import BadKeyError, LevelKey

NEEDED = ("sku", "location", "quantity", "counted_at")
COLUMNS = (*NEEDED, "counted_by", "reason", "unit", "id")
ALIASES = {
    "counted": "quantity",
    "counted_units": "quantity",
    "qty": "quantity",
    "units": "quantity",
    "count_date": "counted_at",
    "date": "counted_at",
    "instant": "counted_at",
    "counter": "counted_by",
    "serial_number": "unit",
}
LONGEST = {"counted_by": 100, "reason": 100, "unit": 80, "id": 120}
_REWRITTEN = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
_BARCODE = re.compile(r"\d{8}|\d{12,14}")


class FileError(ValueError):
    """The file as a whole cannot be read; says where and what to do."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be a count. `line` is that of the file, from 1."""

    line: int
    sku: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says: its counts with their lines, and the rows that are none."""

    counts: Sequence[tuple[int, Count]]
    bad: Sequence[BadRow]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read. `given` holds for every row that does not say otherwise."""

    given: Mapping[str, str] = field(default_factory=dict)
    ignored: Collection[str] = ()  # columns that mean nothing here
    zone: tzinfo | None = None  # of moments that name none


def decode(raw: bytes) -> str:
    """The file's text. `FileError` names the line that is not UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError:
            raise FileError("the file begins as UTF-16 and does not go on so; save it as CSV UTF-8") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        found = raw[error.start : error.start + 1].hex()
        raise FileError(
            f"line {line} is not UTF-8 (byte {found} at {error.start}); save the file as CSV UTF-8"
        ) from None


def read(text: str, reading: Reading) -> Sheet:
    """The sheet. `FileError` where the header cannot be used: nothing of the file is then known."""
    if "\0" in text:
        raise FileError("the file contains binary zeros: it is no CSV file; save it as CSV UTF-8")
    lines = io.StringIO(text, newline="")
    head = next((line for line in text.splitlines() if line.strip()), "")
    rows = csv.reader(lines, delimiter=max(",;\t", key=head.count), strict=True)
    names: list[str] | None = None
    counts: list[tuple[int, Count]] = []
    bad: list[BadRow] = []
    seen: dict[object, int] = {}
    end = 0
    try:
        for cells in rows:
            line, end = end + 1, rows.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = _header(cells, reading)
                continue
            found = _row(line, names, cells, reading)
            if isinstance(found, Count):
                found = _once(line, found, seen)
            if isinstance(found, Count):
                counts.append((line, found))
            else:
                bad.append(found)
    except csv.Error as error:
        raise FileError(f"line {end + 1} is not CSV: {error}; close the quotes that it opens") from None
    if names is None:
        raise FileError(f"the file is empty; its first line names the columns: {','.join(COLUMNS[:6])}")
    if not counts and not bad:
        raise FileError("the file has a header and no rows; nothing was counted")
    return Sheet(counts, bad)


def _header(cells: Sequence[str], reading: Reading) -> list[str]:
    plain = ["_".join(cell.strip().lower().split()) for cell in cells]
    names = [ALIASES.get(name, name) for name in plain]
    ignored = {"_".join(name.strip().lower().split()) for name in reading.ignored}
    problems = []
    for told, name in zip(plain, names, strict=True):
        if name in COLUMNS or told in ignored:
            continue
        near = get_close_matches(name, COLUMNS, 1)
        hint = f"did you mean {near[0]}? Or" if near else "delete it, or"
        problems.append(f"the column {told[:40]!r} is not known: {hint} leave it out with --ignore")
    problems += [f"the column {name} stands twice" for name in COLUMNS if names.count(name) > 1]
    for name in NEEDED:
        if name not in names and name not in reading.given:
            flag = {"location": " or give --location", "counted_at": " or give --at"}.get(name, "")
            problems.append(f"the column {name} is missing; add it{flag}")
    if problems:
        raise FileError(f"the first line is no header of a count sheet: {'; '.join(problems)}")
    return ["" if told in ignored else name for told, name in zip(plain, names, strict=True)]


def wrong_width(cells: Sequence[str], names: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a row of more or fewer cells than the header has, and the remedy; None: nothing."""
    if len(cells) == len(names):
        return None
    missing = "fill in the cells that are missing, or leave them empty between separators"
    remedy = missing if len(cells) < len(names) else "quote cells that contain the separator"
    return f"has {len(cells)} cells where the header has {len(names)}", remedy


def _row(line: int, names: Sequence[str], cells: Sequence[str], reading: Reading) -> Count | BadRow:
    if odd := wrong_width(cells, names):
        return BadRow(line, cells[0][:40], *odd)
    told = dict(reading.given)
    told |= {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name and cell.strip()}
    sku = told.get("sku", "")

    def wrong(detail: str, remedy: str) -> BadRow:
        return BadRow(line, sku[:60], detail, remedy)

    for name in NEEDED:
        if not told.get(name):
            return wrong(f"has no {name}", "fill the cell, or drop the row")
    for name, text in told.items():
        if not text.isprintable():
            return wrong(*unprintable(name, text))
        if len(text) > LONGEST.get(name, len(text)):
            return wrong(f"has a {name} of more than {LONGEST[name]} characters", "shorten it")
    if _REWRITTEN.fullmatch(sku):
        return wrong(f"has the SKU {sku}, which a spreadsheet has rewritten", "format the column as text")
    units = _units(told["quantity"])
    if not isinstance(units, int):
        return wrong(*units)
    if told.get("unit") and units > 1:
        return wrong(f"has {units} units of one piece", "give 1 or 0, or leave out the unit")
    at = _moment(told["counted_at"], reading.zone)
    if not isinstance(at, datetime):
        return wrong(*at)
    try:
        level = LevelKey(sku, told["location"], told.get("unit"))
    except BadKeyError as error:
        return wrong(f"cannot be a stock level: {error}", "correct the cell")
    by = told.get("counted_by", "")
    return Count(told.get("id") or identity(at, by), level, units, at, "", by, told.get("reason", ""))


def unprintable(name: str, text: str) -> tuple[str, str]:
    """What is wrong with a cell that cannot be printed, and the remedy."""
    if "\n" in text or "\r" in text:
        return f"has a line break in {name}", "write it in one line"
    return f"has a {name} with characters that cannot be printed", "type it anew"


def _units(text: str) -> int | tuple[str, str]:
    """The units, or what is wrong with them and the remedy."""
    if _BARCODE.fullmatch(text):
        return f"has the quantity {text}, which looks like a barcode", "scan into the column sku"
    if text.startswith("-") and text[1:].isdigit():
        return f"has the quantity {text}; nobody counts less than nothing", "give a whole number from 0"
    if not (text.isascii() and text.isdigit()):
        return f"has the quantity {text[:20]!r}", "give a whole number from 0, without separators"
    if len(text) > 9:
        return f"has the quantity {text[:20]}, more than anybody counts", "correct it"
    return int(text)


def _moment(text: str, zone: tzinfo | None) -> datetime | tuple[str, str]:
    """The moment, or what is wrong with it and the remedy."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return f"has the moment {text[:40]!r}", "write it like 2026-11-22T18:00:00Z"
    if at.tzinfo is None and zone is None:
        return f"has the moment {text}, which names no time zone", "add it (Z, +01:00), or give --timezone"
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def _once(line: int, count: Count, seen: dict[object, int]) -> Count | BadRow:
    """The count, unless a line before counts the same stock at the same moment or under the same id."""
    before = min(seen.setdefault((count.level, second(count.at)), line), seen.setdefault(count.subject, line))
    if before == line:
        return count
    detail = f"counts the same stock as line {before}, at its moment or under its id"
    return BadRow(line, count.level.sku, detail, "add them up, or drop one")
