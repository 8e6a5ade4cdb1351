"""`sfsync till`: a concession's till: its sales in from a file, and what it may sell."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

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
from sfsync.cli.progress import waiting
from sfsync.domain.words import agree, counted, of_rows

app = typer.Typer(
    help="A concession's till: another company's, which tells of its sales afterwards.", no_args_is_help=True
)

TRIES = 5  # while the org is still being read
WAIT_SECONDS = 3.0

Name = Annotated[str, typer.Argument(help="The till, as the settings name it (the table `tills.NAME`).")]


@app.command("import")
def import_file(
    name: Name,
    file: Annotated[
        Path, typer.Argument(help="The till's report, as CSV; its first line names the columns.")
    ],
    partial: Annotated[
        bool, typer.Option("--partial", help="Enter the good rows although others are bad.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is bad; enter nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter a till's sales and returns, each line of a receipt once: the same report again changes nothing.

    Columns: receipt, sku, quantity, date, and if wanted line, time, unit (the piece); or as the settings say.
    Every bad row is told with its line; without --partial one bad row keeps all of them out.

    Exit codes: 0 entered, now or before; 1 rows are bad, or wait for the org; 2 wrong settings; 3 the file
    cannot be read, or no daemon.
    """
    client = DaemonClient(settings_or_exit(config))
    try:
        raw = file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    try:
        with waiting(client, f"{file.name}: the daemon enters it"):
            told = _send(client, name, raw, partial=partial, dry_run=dry_run)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if "errors" not in told:
        fail(f"{file}: {told.get('detail') or told} Nothing was entered.")
    if as_json:
        print_json({"file": str(file), **told})
    else:
        _show(file, told)
    raise typer.Exit(1 if told["errors"] or told["waiting"] else 0)


@app.command("levels")
def levels(name: Name, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print what the till may sell, as CSV: the bad news first. With --json a list of `sku`, `available`.

    Exit codes: 0 printed; 2 wrong settings; 3 no such till, or no daemon.
    """
    client = DaemonClient(settings_or_exit(config))
    try:
        text = client.text(f"/v1/tills/{quote(name, safe='')}/levels")
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        rows = csv.DictReader(text.splitlines())
        print_json([{"sku": row["sku"], "available": int(row["available"])} for row in rows])
    else:
        sys.stdout.write(text.replace("\r\n", "\n"))


def _send(client: DaemonClient, name: str, raw: bytes, *, partial: bool, dry_run: bool) -> dict[str, Any]:
    flags = [word for word, wanted in (("partial=true", partial), ("dry_run=true", dry_run)) if wanted]
    path = f"/v1/tills/{quote(name, safe='')}/sales" + (f"?{'&'.join(flags)}" if flags else "")
    for attempt in range(TRIES):
        status, told = client.send(path, raw, "text/csv")
        if status != 503 or attempt == TRIES - 1:
            break
        time.sleep(WAIT_SECONDS)
    answer: dict[str, Any] = told
    wanted = ("till", "rows", "entered", "waiting", "again", "late", "errors", "sales", "dry_run")
    if "sales" not in answer:
        return answer
    return {key: answer[key] for key in wanted}


def _show(file: Path, told: dict[str, Any]) -> None:
    bad, rows = told["errors"], told["rows"]
    if bad:
        made = table(f"{file}: {of_rows(len(bad), rows)} bad", ("line", "right"), "SKU", "what", "remedy")
        for row in bad:
            made.add_row(str(row["line"]), row["sku"], row["detail"], row["remedy"])
        out.print(made)
    lines = told["entered"] + told["waiting"]
    if told["dry_run"]:
        out.print(f"Nothing was entered: {of_rows(rows - len(bad), rows)} good.")
    elif not told["sales"]:
        out.print("Nothing was entered. Mend the rows, or give --partial to enter the good ones.")
    else:
        again = f", {told['again']} of them before" if told["again"] else ""
        late = f" {told['late']} had been seen by a stock count." if told["late"] else ""
        waiting = (
            f" {told['waiting']} {agree(told['waiting'], 'waits', 'wait')} for the org."
            if told["waiting"]
            else ""
        )
        sold = sum(max(0, row["quantity"]) for row in told["sales"])
        back = sum(max(0, -row["quantity"]) for row in told["sales"])
        out.print(f"{counted(lines, 'line')} entered{again}: {sold} sold, {back} returned.{late}{waiting}")
