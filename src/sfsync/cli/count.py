"""`sfsync count`: stock counts from a file, each held against the ledger of its own moment."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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
from sfsync.domain.count_file import BadRow, FileError, Reading, Sheet, decode, read
from sfsync.domain.counts import MOST_UNITS, OLDEST_DAYS, Count, Sure
from sfsync.domain.words import agree, counted, of_rows

app = typer.Typer(
    help="Stock counts: what somebody counted, held against the ledger of that moment.", no_args_is_help=True
)

PART = 100  # counts in one request
TRIES = 5  # while the org does not answer
WAIT_SECONDS = 3.0
SHOWN = 20


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A CSV file whose first line names the columns.")],
    location: Annotated[
        str | None, typer.Option(help="The location, where the file has no such column.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="When it was counted, where the file does not say: 2026-11-22T18:00Z.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who counted, where the file does not say.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, where the file does not say.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of moments that name none, such as Europe/London.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A column that means nothing here; may be given again.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="So many units of one SKU at one place may be true; "
            f"by default `counts.most_units` of the daemon's settings, {MOST_UNITS:,}.",
            show_default=False,
        ),
    ] = None,
    old: Annotated[
        bool,
        typer.Option(
            "--old",
            help="The dates are right, however long ago; "
            f"by default `counts.oldest_days` of the daemon's settings at most, {OLDEST_DAYS}.",
        ),
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Enter the good rows although others are bad.")
    ] = (False),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is bad; enter nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter the counts of a file, each once: the same file again changes nothing.

    Columns: sku, location, quantity, counted_at, and if wanted counted_by, reason, unit (the piece), id (the
    count's own). Every bad row is told with its line; without --partial one bad row keeps all of them out.

    Exit codes: 0 entered, now or before; 1 rows are bad, or wait for the org; 2 wrong settings; 3 the file
    cannot be read, or no daemon.
    """
    given = {"location": location, "counted_at": at, "counted_by": by, "reason": reason}
    reading = Reading(
        {name: text for name, text in given.items() if text}, tuple(ignore or ()), _zone(timezone)
    )
    client = DaemonClient(settings_or_exit(config))
    try:
        sheet = read(decode(file.read_bytes()), reading)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except FileError as error:
        fail(f"{file}: {error}. Nothing was entered.")
    try:
        told = _Import(client, sheet, Sure(most, old)).run(partial=partial, dry_run=dry_run)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json({"file": str(file), **told})
    else:
        _show(file, told)
    raise typer.Exit(1 if told["bad"] or told["waiting"] else 0)


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        fail(f"{name!r} is no time zone that this machine knows; give one like Europe/London", 2)


class _Import:
    """One file's way in: asked in parts whether anything is wrong, then entered in parts."""

    def __init__(self, client: DaemonClient, sheet: Sheet, sure: Sure) -> None:
        self._client, self._counts, self._sure = client, list(sheet.counts), sure
        self._bad = list(sheet.bad)

    def run(self, *, partial: bool, dry_run: bool) -> dict[str, Any]:
        """What became of it, JSON-ready."""
        rows = len(self._counts) + len(self._bad)
        for part in self._parts("checking"):
            self._take_out(part, self._send(part, dry_run=True))
        entered: list[dict[str, Any]] = []
        if not dry_run and (partial or not self._bad):
            for part in self._parts("entering"):
                answer = self._send(part, dry_run=False)
                self._take_out(part, answer)
                entered += [
                    {"line": line, **row}
                    for (line, _), row in zip(part, answer["counts"], strict=True)
                    if row["state"] in ("entered", "waiting")
                ]
        states = Counter(row["state"] for row in entered)
        return {
            "rows": rows,
            "entered": states["entered"],
            "waiting": states["waiting"],
            "again": sum(row["again"] for row in entered),
            "off": sum(bool(row["variance"]) for row in entered),
            "bad": [
                {"line": bad.line, "sku": bad.sku, "detail": bad.detail, "remedy": bad.remedy}
                for bad in sorted(self._bad, key=lambda bad: bad.line)
            ],
            "counts": entered,
            "dry_run": dry_run,
        }

    def _parts(self, what: str) -> Iterator[Sequence[tuple[int, Count]]]:
        counts = list(self._counts)
        with waiting(self._client, what) as shown:
            for start in range(0, len(counts), PART):
                yield (part := counts[start : start + PART])
                shown.show(what, start + len(part), len(counts))

    def _send(self, part: Sequence[tuple[int, Count]], *, dry_run: bool) -> dict[str, Any]:
        body = {"counts": [_row(count) for _, count in part], "partial": True, "dry_run": dry_run}
        body |= {"old": self._sure.old, "most_units": self._sure.most_units}
        for attempt in range(TRIES):
            status, answer = self._client.attempt("/v1/counts", body)
            if status != 503 or attempt == TRIES - 1:
                break
            time.sleep(WAIT_SECONDS)
        if "counts" not in answer:
            fail(f"the daemon answered {status}: {answer.get('detail') or answer}")
        told: dict[str, Any] = answer
        return told

    def _take_out(self, part: Sequence[tuple[int, Count]], answer: dict[str, Any]) -> None:
        """Rows that the daemon says are wrong are bad ones, and no counts."""
        lines = set()
        for error in answer["errors"]:
            line, count = part[error["row"] - 1]
            lines.add(line)
            self._bad.append(BadRow(line, count.level.sku, error["detail"], error["remedy"]))
        self._counts = [each for each in self._counts if each[0] not in lines]


def _row(count: Count) -> dict[str, object]:
    row = {
        "id": count.count_id,
        "sku": count.level.sku,
        "location": count.level.location,
        "unit": count.level.unit,
        "quantity": count.units,
        "counted_at": count.at.isoformat(),
        "counted_by": count.counted_by or None,
        "reason": count.reason or None,
    }
    return {name: value for name, value in row.items() if value is not None}


def _show(file: Path, told: dict[str, Any]) -> None:
    bad = told["bad"]
    if bad:
        made = table(
            f"{file}: {of_rows(len(bad), told['rows'])} bad", ("line", "right"), "SKU", "what", "remedy"
        )
        for row in bad:
            made.add_row(str(row["line"]), row["sku"], row["detail"], row["remedy"])
        out.print(made)
    counts = told["counts"]
    off = [row for row in counts if row["variance"]]
    if off:
        made = table(
            "\nOff",
            ("line", "right"),
            "SKU",
            "location",
            ("counted", "right"),
            ("books", "right"),
            ("variance", "right"),
        )
        for row in off[:SHOWN]:
            numbers = str(row["quantity"]), str(row["expected"]), f"{row['variance']:+}"
            made.add_row(str(row["line"]), row["sku"], row["location"], *numbers)
        out.print(made)
        if len(off) > SHOWN:
            out.print(f"… and {len(off) - SHOWN} more: --json lists them all.")
    if told["dry_run"]:
        out.print(f"Nothing was entered: {of_rows(told['rows'] - len(bad), told['rows'])} good.")
    elif not counts:
        out.print("Nothing was entered. Mend the rows, or give --partial to enter the good ones.")
    else:
        again = f", {told['again']} of them before" if told["again"] else ""
        waiting = (
            f" {told['waiting']} {agree(told['waiting'], 'waits', 'wait')} for the org."
            if told["waiting"]
            else ""
        )
        right = len(counts) - len(off)
        entered = f"{counted(len(counts), 'count')} entered{again}"
        out.print(f"{entered}: {right} as in the books, {len(off)} off.{waiting}")
