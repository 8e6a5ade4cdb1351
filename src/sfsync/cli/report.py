"""`sfsync report`: how accurate the books are, what sells, what lacks, and what to count next."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlencode

import httpx
import typer

from sfsync.app import SystemClock, reports
from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    DaemonClient,
    JsonOption,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.cli.progress import bar, waiting
from sfsync.cli.tables import Sheet
from sfsync.domain.coverage import ACCEPTED
from sfsync.domain.ira import DIMENSIONS
from sfsync.domain.ira_wish import SINCE, BadWishError, read_wish
from sfsync.domain.turnover import DIMENSIONS as DIMENSIONS_SOLD
from sfsync.domain.turnover_wish import MOST_DAYS, MOST_ROWS
from sfsync.domain.words import counted
from sfsync.ports import told_to
from sfsync.store import StoreError, open_store

app = typer.Typer(
    help="How accurate the books are, what sells, what lacks, and what to count next.", no_args_is_help=True
)

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how cells begin that a spreadsheet works out
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
        _wrong(error)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    try:
        with bar("accuracy of the counts") as shown, told_to(shown.show):
            found: Any = reports(settings, store, clock).ira_now(wish)
    except BadWishError as error:
        _wrong(error)
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv([_flat(row, found["by"]) for row in found["rows"]])
    else:
        _show(found)
    raise typer.Exit(0 if found["total"]["n"] else 1)


def _wrong(error: BadWishError) -> NoReturn:
    """A wish that cannot be told, by its options."""
    fail("; ".join(f"--{name.replace('_', '-')}: {what}" for name, what in error.problems.items()), 2)


DaysOption = Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="Sales of so many days.")]
LimitOption = Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="Rows at most.")]
LocationOption = Annotated[str, typer.Option(help="Only this location.")]
SkuOption = Annotated[str, typer.Option(help="Only this SKU.")]


@app.command("sell-through")
def sell_through(
    by: Annotated[str, typer.Option(help=f"One line for each of: {', '.join(DIMENSIONS_SOLD)}.")] = "sku",
    days: DaysOption = 30,
    location: LocationOption = "",
    sku: SkuOption = "",
    class_field: Annotated[str, typer.Option(help="The product's field that is its class.")] = "",
    limit: LimitOption = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """What sold, of what could have been sold: sold / (sold + on hand now) x 100; velocity and days of cover.

    Sales as the org's ledger has them, whoever entered them; of folded ones it no longer says the kind.

    Exit codes: 0 told; 1 there is nothing to tell; 2 wrong settings or options; 3 refused, or no daemon.
    """
    asked = {"by": by, "days": days, "location": location, "sku": sku, "class_field": class_field}
    found = _ask(config, "sell-through", {**asked, "limit": limit})
    names = "sold", "returned", "on hand", "sell-through", "a day", "cover, days", "value sold"
    rows = [
        (
            *(row[name] for name in found["by"]),
            *(str(row[name]) for name in ("sold", "returned", "on_hand")),
            _percent(row["sell_through"]),
            f"{row['velocity']:.2f}",
            _percent(row["cover_days"]),
            f"{row['value_sold']:,.2f}",
        )
        for row in found["rows"]
    ]
    title = f"Sold in {counted(days, 'day')}"
    _told(found, title, [*found["by"], *((name, "right") for name in names)], rows, as_csv, as_json)


@app.command("replenish")
def replenish(
    lead: Annotated[int, typer.Option(min=0, max=MOST_DAYS, help="Days until an order arrives.")] = 7,
    cover: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="Days that it is to last then.")] = 28,
    over: Annotated[
        int, typer.Option(min=1, max=3650, help="More than sells in so many days is over-bought.")
    ] = 180,
    days: DaysOption = 30,
    location: LocationOption = "",
    sku: SkuOption = "",
    limit: LimitOption = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """What lacks where, from which other location it may come, what to buy, and what is over-bought.

    Wanted is what sells in lead and cover days together, at the pace of the last --days. A surplus elsewhere
    is moved before anything is bought, first to whoever runs out first. One-of-one pieces are left out.

    Exit codes: 0 told; 1 there is nothing to tell; 2 wrong settings or options; 3 refused, or no daemon.
    """
    asked = {"lead_days": lead, "cover_days": cover, "over_days": over, "days": days}
    found = _ask(config, "replenish", {**asked, "location": location, "sku": sku, "limit": limit})
    names = "available", "a day", "cover, days", "lacking"
    rows = [
        (
            row["sku"],
            row["location"],
            str(row["available"]),
            f"{row['velocity']:.2f}",
            _percent(row["cover_days"]),
            _some(row["lacking"]),
            ", ".join(f"{units} from {place}" for place, units in row["move_from"].items()),
            _some(row["buy"]),
            _some(row["over"]),
        )
        for row in found["rows"]
    ]
    columns: list[str | tuple[str, str]] = [
        "SKU",
        "location",
        *((name, "right") for name in names),
        "move",
        ("buy", "right"),
        ("over", "right"),
    ]
    title = f"To last {lead} + {counted(cover, 'day')} at the pace of the last {days}"
    _told(found, title, columns, rows, as_csv, as_json)


@app.command("count-next")
def count_next(
    days: DaysOption = 90,
    location: LocationOption = "",
    sku: SkuOption = "",
    limit: LimitOption = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """What to count next, and why: by value and pace of sales, age of the last count, and known trouble.

    Exit codes: 0 told; 1 there is nothing to tell; 2 wrong settings or options; 3 refused, or no daemon.
    """
    asked = {"days": days, "location": location, "sku": sku, "limit": limit}
    found = _ask(config, "count-next", asked)
    rows = [
        (
            row["sku"],
            row["location"],
            row["unit"] or "",
            f"{row['points']:.2f}",
            row["class"],
            "; ".join(row["why"]),
        )
        for row in found["rows"]
    ]
    columns: list[str | tuple[str, str]] = ["SKU", "location", "unit", ("points", "right"), "class", "why"]
    _told(found, "To count next", columns, rows, as_csv, as_json)


def _ask(config: Path, report: str, asked: Mapping[str, object]) -> Any:
    client = DaemonClient(settings_or_exit(config))
    query = urlencode({name: value for name, value in asked.items() if value != ""})
    try:
        with waiting(client, "the org's ledger is read"):
            return client.get(f"/v1/reports/{report}?{query}")
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")


def _told(
    found: Any,
    title: str,
    columns: Sequence[str | tuple[str, str]],
    rows: Sequence[Sequence[str]],
    as_csv: bool,
    as_json: bool,
) -> NoReturn:
    if as_json:
        print_json(found)
    elif as_csv:
        print_csv([_plain(row) for row in found["rows"]])
    elif not rows:
        out.print("There is nothing to tell.")
    else:
        made = table(title, *columns)
        for row in rows:
            made.add_row(*row)
        out.print(made)
        if found["left_off"]:
            out.print(f"… and {found['left_off']} more: --limit shows them.")
        out.print(found["definition"], style="dim")
    raise typer.Exit(0 if rows else 1)


def _plain(row: Mapping[str, Any]) -> dict[str, object]:
    """A row for a spreadsheet: what holds several things becomes one text."""
    return {
        name: "; ".join(map(str, value))
        if isinstance(value, list)
        else "; ".join(f"{units} from {place}" for place, units in value.items())
        if isinstance(value, dict)
        else value
        for name, value in row.items()
    }


def _some(units: int) -> str:
    return str(units) if units else ""


def print_csv(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows with their header on standard output; nothing at all without rows."""
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)


def _harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: a SKU like `=1+1` has a quote before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


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
    if not found["total"]["n"]:
        out.print(f"Nothing was counted between {found['since']} and {found['until']}.")
        return
    out.print(ira_table(found))
    first = found["tolerances"][0]
    recounts = counted(found["total"]["recounts"], "recount is", "recounts are")
    out.print(
        f"Interval, by value and complete (nothing told late) are of the tolerance {first}. "
        f"{recounts} left out.",
        style="dim",
    )
    if "class" in found["by"] and not found["class_field"]:
        out.print(
            "No field of products is kept: name one in [products] fields to have classes.", style="yellow"
        )


def ira_table(found: Any) -> Sheet:
    """The accuracy of the books, a row for each place, class or whatever was asked for."""
    total, by = found["total"], found["by"]
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
    return made


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [str(row["n"])]
    first, *others = row["accuracy"]
    cells += [_percent(first["percent"]), f"{first['low']:.0f}–{first['high']:.0f}"]
    cells += [_percent(each["percent"]) for each in others]
    cells += [_percent(first["by_value"]), _percent(first["complete"])]
    return cells + [str(row[name]) for name in ("late_only", "physical", "missing", "found")]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
