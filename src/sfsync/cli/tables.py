"""Tables that stay readable in a narrow terminal: nothing is cut off, whatever stands in a cell.

A table is as wide as it wants where there is room. Where there is not, long words and sentences fold within
their column, and the headings of numbers with them. Where that is not enough, or would take more lines, each
row becomes a paragraph: its first column stands above, the others follow with their headings.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2  # blanks between two columns
INDENT = 2
LEAST = 24  # no word is folded that is shorter: a SKU stays in one piece
SENTENCE = 16  # no column of sentences is narrower
UNSEEN = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
)  # they turn a line round


def visible(text: str) -> str:
    """A text from outside with what would move the cursor, colour or turn the line written out."""
    if text.isprintable():
        return text
    return "".join(
        each
        if each == "\n" or not (unicodedata.category(each) in ("Cc", "Cs") or each in UNSEEN)
        else each.encode("unicode_escape", "backslashreplace").decode()
        for each in text
    )


def utc(moment: str) -> str:
    """A moment as a cell has it, to the second: its column's heading says that it is UTC."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    right: bool
    whole: bool  # not folded beside others: somebody copies it

    def least(self, widest_word: int, widest: int) -> int:
        """The narrowest that is still read with ease."""
        if self.right or self.whole:
            return max(widest, _widest_word(self.heading))
        return max(_widest_word(self.heading), min(LEAST, widest_word), min(SENTENCE, widest))


class Sheet:
    """A table of texts. A `str` is shown letter for letter; a `Text` brings its own colours."""

    def __init__(self, title: str, *columns: str | tuple[str, str]) -> None:
        """`columns`: a heading, or one with `right` (numbers) or `whole` (never folded beside others)."""
        self._title = title
        self._columns: list[_Column] = []
        self._rows: list[tuple[list[Text], str]] = []
        for column in columns:
            heading, how = column if isinstance(column, tuple) else (column, "left")
            self.add_column(heading, how)

    def add_column(self, heading: str, how: str = "left") -> None:
        """One more, before the first row."""
        self._columns.append(_Column(heading, how == "right", how == "whole"))

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """A row; what is missing at its end is empty."""
        texts = [each if isinstance(each, Text) else Text(visible(each)) for each in cells]
        texts += [Text("")] * (len(self._columns) - len(texts))
        self._rows.append((texts, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wanted = [self._natural(number) for number in range(len(self._columns))]
        bounded = console.is_terminal or bool(os.environ.get("COLUMNS"))  # a pipe has no edge
        room = options.max_width - GAP * (len(wanted) - 1)
        if not bounded or sum(wanted) <= room:
            yield from console.render(self._grid(wanted), options.update(width=_total(wanted)))
            return
        paragraphs = list(self._paragraphs(console, options.max_width))
        widths = self._fitted(wanted, room)
        if widths is not None and self._lines(console, widths) <= len(paragraphs):
            yield from console.render(self._grid(widths), options.update(width=_total(widths)))
            return
        if self._title:
            for line in self._title.split("\n"):
                yield from Text(line, "bold").wrap(console, options.max_width, overflow="fold")
        yield from paragraphs

    # -- side by side -----------------------------------------------------------------------------------

    def _cells(self, number: int) -> Iterator[Text]:
        return (cells[number] for cells, _ in self._rows)

    def _natural(self, number: int) -> int:
        widest = max((_widest_line(cell.plain) for cell in self._cells(number)), default=0)
        return max(widest, cell_len(self._columns[number].heading))

    def _fitted(self, wanted: Sequence[int], room: int) -> list[int] | None:
        """Widths that fit into the room, the widest columns folded first; None when none do."""
        least = []
        for number, column in enumerate(self._columns):
            texts = [cell.plain for cell in self._cells(number)]
            word = max(map(_widest_word, texts), default=0)
            least.append(min(wanted[number], column.least(word, max(map(_widest_line, texts), default=0))))
        if sum(least) > room:
            return None
        low, high = 0, max(wanted)
        while low < high:  # the highest level to which all that is wider can be folded
            level = (low + high + 1) // 2
            if sum(self._at(level, wanted, least)) <= room:
                low = level
            else:
                high = level - 1
        widths = self._at(low, wanted, least)
        for number, width in enumerate(widths):  # what the level leaves goes to whoever wants it
            widths[number] += min(wanted[number] - width, room - sum(widths))
        return widths

    def _at(self, level: int, wanted: Sequence[int], least: Sequence[int]) -> list[int]:
        return [max(small, min(large, level)) for small, large in zip(least, wanted, strict=True)]

    def _lines(self, console: Console, widths: Sequence[int]) -> int:
        return sum(
            max(_height(console, cell, width) for cell, width in zip(cells, widths, strict=True))
            for cells, _ in self._rows
        )

    def _grid(self, widths: Sequence[int]) -> Table:
        made = Table(
            title=self._title or None,
            title_justify="left",
            title_style="bold",
            header_style="dim",
            box=None,
            pad_edge=False,
            padding=(0, GAP, 0, 0),
            collapse_padding=True,
        )
        for column, width in zip(self._columns, widths, strict=True):
            made.add_column(
                column.heading,
                justify="right" if column.right else "left",
                overflow="fold",
                width=width,
                vertical="top",
            )
        for cells, style in self._rows:
            made.add_row(*cells, style=style)
        return made

    # -- one below the other ----------------------------------------------------------------------------

    def _paragraphs(self, console: Console, width: int) -> Iterator[Text]:
        """The lines of all rows, each row a paragraph."""
        for cells, style in self._rows:
            told = [
                _named(column.heading, cell)
                for column, cell in zip(self._columns, cells, strict=True)
                if cell.plain
            ]
            head, *rest = told or [Text("")]
            head.stylize("bold")
            head.stylize(style)
            yield from _hung(console, head, width, 0)
            line = Text()
            for part in rest:
                beside = cell_len(line.plain) + 3 + cell_len(part.plain) <= width - 2 * INDENT
                if line and ("\n" in part.plain or not beside):
                    yield from _hung(console, line, width, INDENT)
                    line = Text()
                line = Text("   ").join([line, part]) if line else part
            if line:
                yield from _hung(console, line, width, INDENT)


def _named(heading: str, cell: Text) -> Text:
    return Text.assemble((f"{heading}: ", "dim"), cell) if heading else cell.copy()


def _hung(console: Console, text: Text, width: int, indent: int) -> Iterator[Text]:
    """Lines of a text within the width; those after the first stand two further to the right."""
    later = indent + INDENT
    for number, line in enumerate(text.wrap(console, width - later, overflow="fold")):
        line.rstrip()
        yield Text(" " * (later if number else indent)) + line


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _widest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _widest_line(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _height(console: Console, cell: Text, width: int) -> int:
    if _widest_line(cell.plain) <= width:
        return cell.plain.count("\n") + 1
    return len(cell.wrap(console, width, overflow="fold"))
