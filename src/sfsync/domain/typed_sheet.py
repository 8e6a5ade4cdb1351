"""A sheet of counts as it is typed or scanned into one field: a line for each code, as scanners write them.

`BAG-1` counts one piece, the same code again one more, `BAG-1 = 12` twelve; `RING|S-77` is the piece S-77,
where each piece is one of a kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_LINES = 200  # different ones: as many as one request may count


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed of one code: all its lines together."""

    line: int  # its first, from 1
    sku: str
    unit: str | None
    units: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that says nothing that can be counted."""

    line: int
    text: str
    detail: str


def read(text: str) -> tuple[Sequence[Typed], Sequence[BadLine]]:
    """What was counted, in the order in which each code came first, and the lines that are wrong."""
    found: dict[tuple[str, str | None], Typed] = {}
    bad: list[BadLine] = []
    for number, raw in enumerate(text.splitlines(), 1):
        if not (line := raw.strip()):
            continue
        code, equals, told = (part.strip() for part in line.partition("="))
        sku, _, piece = (part.strip() for part in code.partition("|"))
        unit = piece or None
        if equals and not (told.isascii() and told.isdigit() and len(told) < 10):
            bad.append(BadLine(number, line[:60], "has no whole number after '='"))
            continue
        units = int(told) if equals else 1
        before = found.get((sku, unit))
        total = units + (before.units if before else 0)
        if not sku:
            bad.append(BadLine(number, line[:60], "has no SKU"))
        elif total >= 10**9:
            bad.append(BadLine(number, line[:60], "makes more units of it than anybody counts"))
        elif unit is not None and total > 1:
            bad.append(BadLine(number, line[:60], f"counts the piece {unit} twice"))
        elif before is None and len(found) >= MOST_LINES:
            bad.append(
                BadLine(number, line[:60], f"is beyond {MOST_LINES} different codes: enter those first")
            )
        else:
            found[sku, unit] = Typed(before.line if before else number, sku, unit, total)
    return list(found.values()), bad
