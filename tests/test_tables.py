"""Tables stay readable in a narrow terminal: nothing is cut off, whatever stands in a cell."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from tests.web.kit import status as whole_status

import sfsync.cli
from sfsync.cli import report, status
from sfsync.cli.common import table
from sfsync.cli.tables import Sheet

CLI = Path(sfsync.cli.__file__).parent
WIDTHS = (60, 80, 120)
LONG = "".join(f"{number:03}-鞄Ü" for number in range(34))[:200]  # 200 characters, a third of them two wide
SENTENCE = "lower than we knew: an order that nobody has told of yet, or an edit by hand"


def _shown(what: RenderableType, width: int) -> list[str]:
    """The lines of it on a terminal of so many columns."""
    console = Console(
        width=width, file=io.StringIO(), force_terminal=True, color_system=None, markup=False, highlight=False
    )
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def _bare(text: str) -> str:
    return "".join(text.split())


def _columns(call: ast.Call) -> list[str | tuple[str, str]]:
    """The headings that a call of `table` names; what is worked out first stands as one more column."""
    found: list[str | tuple[str, str]] = []
    nodes = list(call.args[1:])
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, ast.Starred) and isinstance(node.value, ast.Tuple):
            nodes[:0] = node.value.elts
            continue
        try:
            found.append(ast.literal_eval(node))
        except ValueError:
            found.append(("over 60 s", "right"))
    return found


def _tables() -> Iterator[tuple[str, list[str | tuple[str, str]]]]:
    for file in sorted(CLI.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "table":
                yield f"{file.relative_to(CLI)}:{node.lineno}", _columns(node)


TABLES = dict(_tables())


def _cell(column: str | tuple[str, str], row: int) -> str:
    heading, how = column if isinstance(column, tuple) else (column, "left")
    if how == "right":
        return f"{(row + 1) * 12_345:,}"
    if how == "whole":
        return f"0c6f5c1e-0d7b-4a55-9d55-00000000{row:04}"
    if heading in ("SKU", "item", "what", "old", "new", "worst at", "key", "pieces"):
        return LONG if row == 1 else f"HB-BRINDOR-22-MIDNIGHT-{row}"
    if heading in ("cause", "why", "reason", "remedy", "finding", "detail", "what to do", "what closes it"):
        return f"{row}: {SENTENCE}"
    return f"london-{row}"


def test_every_table_is_looked_at() -> None:
    """A table that is made in another way than the others would be tested by nobody."""
    assert len(TABLES) > 40
    assert not [
        file for file in CLI.glob("*.py") if "rich.table" in file.read_text() and file.stem != "tables"
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("where", TABLES)
def test_every_command_s_table_shows_all_of_every_cell_in_a_narrow_terminal(where: str, width: int) -> None:
    """No line is wider than the terminal, the first column is there, and a SKU of 200 characters too."""
    made = table(f"\n{where}", *TABLES[where])
    rows = [[_cell(column, row) for column in TABLES[where]] for row in range(3)]
    for cells in rows:
        made.add_row(*cells)
    lines = _shown(made, width)
    assert max(map(cell_len, lines)) <= width
    text = _bare("".join(lines))
    for cells in rows:
        for cell in cells:
            pieces = cell.split() if cell != LONG else [LONG[n : n + 3] for n in range(0, 200, 5)]
            assert all(piece in text or _in_pieces(piece, lines) for piece in pieces), cell


def _in_pieces(word: str, lines: list[str]) -> bool:
    """Whether a word stands on the lines, folded somewhere."""
    joined = "\n".join(lines)
    return any(word[:cut] in joined and word[cut:] in joined for cut in range(1, len(word)))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_status_with_a_long_sku_fits_a_narrow_terminal(width: int) -> None:
    """Org, channels, scarce items, incidents, refunds, counts: the channel's name is in every row of its."""
    told: Any = whole_status()
    told["scarce"][0]["sku"] = told["incidents"][0]["title"] = LONG
    lines = [line for part in status.picture(told) for line in _shown(part, width)]
    assert max(map(cell_len, lines)) <= width
    assert sum("london" in line for line in lines) >= 2
    assert LONG[:20] in "".join(lines)


ACCURACY = {
    "tolerance": "exact",
    "accurate": 9,
    "percent": 90.0,
    "low": 59.6,
    "high": 98.2,
    "complete": 100.0,
}
COUNTED = {
    "n": 10,
    "accuracy": [ACCURACY | {"by_value": 97.1, "tolerance": name} for name in ("exact", "± 1", "± 2 %")],
    **dict.fromkeys(("late_only", "physical", "missing", "found", "recounts"), 1),
}
IRA: dict[str, Any] = {
    "by": ["location", "class"],
    "class_field": "Family",
    "since": "2026-11-01T00:00:00Z",
    "until": "2026-11-27T00:00:00Z",
    "tolerances": ["exact", "± 1", "± 2 %"],
    "rows": [COUNTED | {"location": "KNIGHTSBRIDGE-FLAGSHIP", "class": "Handbags and small leather"}] * 2,
    "total": COUNTED,
}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_accuracy_report_names_its_locations_in_a_narrow_terminal(width: int) -> None:
    """Its first column had no room at 80 columns, beside twelve columns of numbers."""
    lines = _shown(report.ira_table(IRA), width)
    assert max(map(cell_len, lines)) <= width
    assert sum("KNIGHTSBRIDGE-FLAGSHIP" in line for line in lines) == 2


def _made() -> Sheet:
    made = Sheet("Numbers", "SKU", ("units", "right"), "why")
    made.add_row("BAG-1", "12", SENTENCE)
    made.add_row("BAG-2", "3", "counted")
    return made


def test_a_table_that_fits_stands_side_by_side() -> None:
    """As wide as it wants."""
    assert [line.rstrip() for line in _shown(_made(), 120)] == [
        "Numbers",
        "SKU    units  why",
        f"BAG-1     12  {SENTENCE}",
        "BAG-2      3  counted",
    ]


def test_a_sentence_folds_in_its_column_before_anything_else() -> None:
    """The SKU stays in one piece."""
    assert [line.rstrip() for line in _shown(_made(), 50)] == [
        "Numbers",
        "SKU    units  why",
        "BAG-1     12  lower than we knew: an order that",
        "              nobody has told of yet, or an edit",
        "              by hand",
        "BAG-2      3  counted",
    ]


def test_a_table_without_room_becomes_paragraphs() -> None:
    """Each begins with the first column; every value keeps its heading."""
    assert [line.rstrip() for line in _shown(_made(), 28)] == [
        "Numbers",
        "SKU: BAG-1",
        "  units: 12",
        "  why: lower than we knew:",
        "    an order that nobody has",
        "    told of yet, or an edit",
        "    by hand",
        "SKU: BAG-2",
        "  units: 3   why: counted",
    ]


def test_a_pipe_has_no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to `grep` stays on one line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    console = Console(width=24, file=io.StringIO(), soft_wrap=True)
    console.print(_made())
    assert isinstance(console.file, io.StringIO)
    assert f"BAG-1     12  {SENTENCE}" in console.file.getvalue()


@pytest.mark.parametrize(
    ("sku", "shown"),
    [
        ("[bold]BAG[/]", "[bold]BAG[/]"),
        ("BAG[/x]", "BAG[/x]"),
        ("BAG\x1b[2J", "BAG\\x1b[2J"),
        ("BAG\u202e1", "BAG\\u202e1"),
        ("BAG\r1", "BAG\\r1"),
    ],
)
def test_a_sku_that_looks_like_an_order_to_the_terminal_is_shown_letter_for_letter(
    sku: str, shown: str
) -> None:
    """Channels may have any SKU: none colours, clears or turns round what an admin reads."""
    made = Sheet("", "SKU")
    made.add_row(sku)
    assert shown in "\n".join(_shown(made, 80))
