"""How counts read in a sentence: "1 item", "2 items", "1,200 rows are"."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun, and its verb where one is given: `counted(n, "row is", "rows are")`."""
    return f"{count:,} {agree(count, one, many)}"


def agree(count: int, one: str, many: str = "") -> str:
    """The word alone, for one or for many; the many of a plain noun have an s."""
    return one if abs(count) == 1 else many or f"{one}s"


def of_rows(count: int, rows: int) -> str:
    """Some of a file's rows, with the verb: "1 of 3 rows is", "2 of 3 rows are"."""
    return f"{count:,} of {counted(rows, 'row')} {agree(count, 'is', 'are')}"
