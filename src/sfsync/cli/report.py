"""`sfsync report`: how accurate the books are, by what was counted."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from sfsync.app import SystemClock, reports
from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.domain.coverage import ACCEPTED
from sfsync.domain.ira import DIMENSIONS
from sfsync.domain.ira_wish import SINCE, BadWishError, read_wish
from sfsync.store import StoreError, open_store

app = typer.Typer(help="Reports on what was counted.", no_args_is_help=True)

CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets instead of tables.")]


@app.command("ira")
def ira(
    by: Annotated[str, typer.Option(help=f"One line for each of: {', '.join(DIMENSIONS)}.")] = "location",
    since: Annotated[str, typer.Option(help=f"From when, in UTC: {ACCEPTED}.")] = SINCE,
    until: Annotated[str, typer.Option(help="Up to when; default: now.")] = "",
    tolerance: Annotated[str, typer.Option(help="What is still accurate: exact, units, percent.")] = (
        "exact,1,2%"
    ),
    bands: Annotated[str, typer.Option(help="Prices at which value bands begin.")] = "100,500,1000,5000",
    class_field: Annotated[str, typer.Option(help="The product's field that is its class.")] = "",
    location: Annotated[str, typer.Option(help="Only this location.")] = "",
    sku: Annotated[str, typer.Option(help="Only this SKU.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Inventory Record Accuracy: accurate counts / counted x 100, for each tolerance side by side.

    With its 95 % interval, weighted by value, and complete: as if nothing had been told late, so that
    physical error stands apart. Works with the daemon running or not.

    Exit codes: 0 told; 1 nothing was counted; 2 wrong settings or options; 3 no store.
    """
    settings = settings_or_exit(config)
    clock = SystemClock()
    asked = {
        "by": by,
        "since": since,
        "until": until,
        "tolerance": tolerance,
        "bands": bands,
        "class_field": class_field,
        "location": location,
        "sku": sku,
    }
    try:
        wish = read_wish(asked, clock.now())
    except BadWishError as error:
        fail("; ".join(f"--{name.replace('_', '-')}: {what}" for name, what in error.problems.items()), 2)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    found: Any = reports(settings, store, clock).ira_now(wish)
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv([_flat(row, found["by"]) for row in found["rows"]])
    else:
        _show(found)
    raise typer.Exit(0 if found["total"]["n"] else 1)


def print_csv(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows with their header on standard output; nothing at all without rows."""
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _flat(row: Mapping[str, Any], by: Sequence[str]) -> dict[str, object]:
    flat = {name: row[name] for name in by}
    flat |= {name: value for name, value in row.items() if name != "accuracy"}
    for each in row["accuracy"]:
        flat |= {
            f"{each['tolerance']}: {name}": each[name]
            for name in ("accurate", "percent", "low", "high", "complete", "by_value")
        }
    return flat


def _show(found: Any) -> None:
    total, by = found["total"], found["by"]
    if not total["n"]:
        out.print(f"Nothing was counted between {found['since']} and {found['until']}.")
        return
    tolerances = found["tolerances"]
    columns: list[str | tuple[str, str]] = [*by, ("n", "right")]
    columns += [(tolerances[0], "right"), ("95 %", "right"), *((name, "right") for name in tolerances[1:])]
    columns += [
        (name, "right") for name in ("by value", "complete", "late only", "physical", "missing", "found")
    ]
    title = f"Inventory Record Accuracy in percent, {found['since'][:10]} to {found['until'][:10]}"
    made = table(title, *columns)
    rows = found["rows"] if by else []
    for row in rows:
        made.add_row(*(row[name] for name in by), *_cells(row))
    if len(rows) != 1:
        made.add_row(*(["all", *[""] * (len(by) - 1)] if by else []), *_cells(total), style="bold")
    out.print(made)
    first = tolerances[0]
    out.print(
        f"Interval, by value and complete (nothing told late) are of the tolerance {first}. "
        f"{total['recounts']} recounts are left out.",
        style="dim",
        highlight=False,
    )
    if "class" in by and not found["class_field"]:
        out.print(
            "No field of products is kept: name one in [products] fields to have classes.", style="yellow"
        )


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [str(row["n"])]
    first, *others = row["accuracy"]
    cells += [_percent(first["percent"]), f"{first['low']:.0f}–{first['high']:.0f}"]
    cells += [_percent(each["percent"]) for each in others]
    cells += [_percent(first["by_value"]), _percent(first["complete"])]
    return cells + [str(row[name]) for name in ("late_only", "physical", "missing", "found")]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
