"""A SKU that the org does not have, and the one that it goes by there: because it was renamed, or mistyped.

A mapping counts where the org has no stock level of the old SKU, and there only: it never takes a sale away
from a SKU that the org knows. It is of one channel or till, or of everybody's events.

A sheet of mappings is a CSV file whose first line names the columns `old`, `new` and, if wanted, `channel`.
It is read strictly: every bad row is told with its line and remedy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from .count_file import BadRow, FileError, unprintable, wrong_width
from .mapping import must_ask
from .stock import SKU_LENGTH, BadKeyError, LevelKey

NEEDED = ("old", "new")
COLUMNS = (*NEEDED, "channel")
ALIASES = {"old_sku": "old", "from": "old", "new_sku": "new", "to": "new", "sku": "old"}
EVERYWHERE = ""  # the source of a mapping that counts wherever the old SKU comes from
ASK_ABOVE_PERCENT = 20  # of the org's SKUs, where no channel's settings say otherwise


@dataclass(frozen=True, slots=True, order=True)
class SkuMapping:
    """`old` is `new` in the org, in what comes from `source`: a channel, a till, or everybody."""

    old: str
    new: str
    source: str = EVERYWHERE

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.old} of {self.source}" if self.source else self.old


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says: its mappings with their lines, and the rows that are none."""

    rows: Sequence[tuple[int, SkuMapping]]
    bad: Sequence[BadRow]


def read(text: str) -> Sheet:
    """The sheet. `FileError` where its header cannot be used: nothing of the file is then known."""
    if "\0" in text:
        raise FileError("the file contains binary zeros: it is no CSV file; save it as CSV UTF-8")
    head = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    names: list[str] | None = None
    good: list[tuple[int, SkuMapping]] = []
    bad: list[BadRow] = []
    end = 0
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = _header(cells)
                continue
            found = _row(line, names, cells)
            if isinstance(found, SkuMapping):
                good.append((line, found))
            else:
                bad.append(found)
    except csv.Error as error:
        raise FileError(f"line {end + 1} is not CSV: {error}; close the quotes that it opens") from None
    if names is None:
        raise FileError(f"the file is empty; its first line names the columns: {','.join(COLUMNS)}")
    if not good and not bad:
        raise FileError("the file has a header and no rows; nothing is mapped")
    return _once(good, bad)


def read_rows(rows: Sequence[Mapping[str, object]]) -> Sheet:
    """Rows that were given as objects; each one's line is its place, from 1."""
    good: list[tuple[int, SkuMapping]] = []
    bad: list[BadRow] = []
    for number, row in enumerate(rows, 1):
        told = {name: str(row.get(name) or "").strip() for name in COLUMNS}
        if unknown := [name for name in row if name not in COLUMNS]:
            detail = f"has {unknown[0][:40]!r}, which is not known"
            bad.append(BadRow(number, told["old"][:60], detail, f"known are {', '.join(COLUMNS)}"))
            continue
        found = _row(number, COLUMNS, [told[name] for name in COLUMNS])
        if isinstance(found, SkuMapping):
            good.append((number, found))
        else:
            bad.append(found)
    return _once(good, bad)


def _header(cells: Sequence[str]) -> list[str]:
    plain = ["_".join(cell.strip().lower().split()) for cell in cells]
    names = [ALIASES.get(name, name) for name in plain]
    problems = []
    for told, name in zip(plain, names, strict=True):
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, 1)
            hint = f"did you mean {near[0]}?" if near else "delete it"
            problems.append(f"the column {told[:40]!r} is not known: {hint}")
    problems += [f"the column {name} stands twice" for name in COLUMNS if names.count(name) > 1]
    problems += [f"the column {name} is missing; add it" for name in NEEDED if name not in names]
    if problems:
        raise FileError(f"the first line is no header of a sheet of SKUs: {'; '.join(problems)}")
    return names


def _row(line: int, names: Sequence[str], cells: Sequence[str]) -> SkuMapping | BadRow:
    if odd := wrong_width(cells, names):
        return BadRow(line, cells[0][:40], *odd)
    told = dict(zip(names, (cell.strip() for cell in cells), strict=True))
    for name in NEEDED:
        if not told[name]:
            return BadRow(line, told["old"][:60], f"has no {name} SKU", "fill the cell, or drop the row")
    for name, text in told.items():
        if not text.isprintable():
            return BadRow(line, told["old"][:60], *unprintable(name, text))
    if len(told["old"]) > SKU_LENGTH:
        return BadRow(
            line, told["old"][:60], f"has an old SKU of more than {SKU_LENGTH} characters", "shorten it"
        )
    try:
        LevelKey(told["new"], "ANYWHERE")
    except BadKeyError as error:
        return BadRow(line, told["old"][:60], f"cannot be a SKU of the org: {error}", "correct the cell")
    if told["old"] == told["new"]:
        return BadRow(
            line, told["old"], "maps a SKU to itself", "give the SKU that the org has, or drop the row"
        )
    return SkuMapping(told["old"], told["new"], told.get("channel", EVERYWHERE))


def _once(good: Sequence[tuple[int, SkuMapping]], bad: Sequence[BadRow]) -> Sheet:
    """Rows that say the same twice are one; those that contradict one before are bad."""
    first: dict[tuple[str, str], tuple[int, SkuMapping]] = {}
    contrary: list[BadRow] = []
    for line, row in good:
        before, known = first.setdefault((row.old, row.source), (line, row))
        if known != row:
            detail = f"maps {row.told} to {row.new}, and line {before} maps it to {known.new}"
            contrary.append(BadRow(line, row.old, detail, "drop one of them"))
    return Sheet(sorted(first.values()), sorted([*bad, *contrary], key=lambda each: each.line))


@dataclass(frozen=True, slots=True)
class MapFacts:
    """What is known about the SKUs of some mappings."""

    in_org: Collection[str]  # those of them that have a stock level in the org
    kept: Mapping[tuple[str, str], str]  # (old SKU, source) -> new SKU
    sources: Collection[str]  # channels and tills of the settings


def problem_of(row: SkuMapping, facts: MapFacts) -> tuple[str, str] | None:
    """What is wrong with a mapping, and the remedy; None when nothing is."""
    if row.source and row.source not in facts.sources:
        known = ", ".join(sorted(facts.sources)) or "none"
        return f"names the channel {row.source!r}, which the settings do not have", f"give one of: {known}"
    before = facts.kept.get((row.old, row.source))
    if before is not None and before != row.new:
        return f"maps {row.told}, which is mapped to {before}", f"first `sfsync mapping remove {row.old}`"
    if row.new not in facts.in_org:
        return f"maps to {row.new}, of which the org has no stock level", "correct it, or create the level"
    if row.old in facts.in_org:
        return f"maps {row.old}, which the org has itself", "only what the org does not know is mapped"
    return None


def asks(new: int, skus: int, percent: int) -> bool:
    """Whether so many new mappings wait for a person's word. `skus`: how many the org has."""
    return must_ask(new, skus, percent)
