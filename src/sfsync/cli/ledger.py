"""`sfsync ledger`: keep the org's ledger small."""

from __future__ import annotations

import time
from typing import Annotated, Any

import httpx
import typer

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    DaemonClient,
    JsonOption,
    err,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.cli.progress import waiting
from sfsync.domain.words import agree, counted

ASKED_EVERY_SECONDS = 0.5

app = typer.Typer(no_args_is_help=True, help="Keep the org's ledger small.")


@app.command()
def fold(
    config: ConfigOption = DEFAULT_CONFIG,
    older_than: Annotated[
        int | None, typer.Option(help="Days, 0 for all; as in the settings when not given.", min=0)
    ] = None,
    sku: Annotated[str | None, typer.Option(help="Only this SKU.")] = None,
    location: Annotated[str | None, typer.Option(help="Only this location.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would fold; change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Replace old movements of closed orders, sales and receipts by one opening row for each level.

    Stock, versions and what each order has had stay the same. Needs the running daemon.

    Exit codes: 0 done; 1 something could not be folded; 2 wrong settings; 3 no daemon.
    """
    client = DaemonClient(settings_or_exit(config))
    wish = {"older_than_days": older_than, "sku": sku, "location": location, "dry_run": dry_run}
    try:
        run = _watched(client, client.post("/v1/ledger/fold", wish))
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(run)
    else:
        _show(run)
    raise typer.Exit(1 if run["problems"] else 0)


def _watched(client: DaemonClient, run: Any) -> Any:
    """Wait for the end of a run, with a bar on a terminal."""
    with waiting(client, "levels") as shown:
        while run["ended_at"] is None:
            shown.show("levels", run["done"], run["levels"] or None)
            time.sleep(ASKED_EVERY_SECONDS)
            run = client.get(f"/v1/ledger/fold/{run['id']}")
    return run


def _show(run: Any) -> None:
    for problem in run["problems"]:
        err.print(problem, style="yellow")
    verb = "would become" if run["dry_run"] else "became"
    rows = f"{counted(run['rows'], 'movement')} {verb} {agree(run['rows'], 'an opening row', 'opening rows')}"
    requests = "" if run["dry_run"] else f" in {counted(run['requests'], 'request')}"
    out.print(f"{run['done']:,} of {counted(run['levels'], 'level')} looked at; {rows}{requests}.")
    if run["kept"]:
        made = table("\nKept as they are", "why", ("movements", "right"))
        for why, count in sorted(run["kept"].items()):
            made.add_row(why, f"{count:,}")
        out.print(made)
