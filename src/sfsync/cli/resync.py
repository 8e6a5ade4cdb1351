"""`sfsync resync`: compare org and channels, show the differences with their causes, put them right."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Annotated, Any

import httpx
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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

ROWS_SHOWN = 40


def resync(
    config: ConfigOption = DEFAULT_CONFIG,
    sku: Annotated[str | None, typer.Option(help="Only this SKU.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what channels show with what the org has, and bring them there.

    Needs the running daemon. Applying a channel's first plan also approves the channel for pushing.

    Exit codes: 0 no difference, or applied; 1 differences remain (dry run, declined, or some for a person to
    mend); 2 wrong settings; 3 no daemon.
    """
    settings = settings_or_exit(config)
    client = DaemonClient(settings)
    try:
        plan = _watched("comparing", lambda: client.post("/v1/resync", {"sku": sku, "channel": channel}))
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if not as_json:
        _show(plan)
    applied = _wanted(plan, dry_run=dry_run, yes=yes or as_json)
    if applied:
        _watched("applying", lambda: client.post(f"/v1/resync/{plan['id']}/apply", {}))
    if as_json:
        print_json({**plan, "applied": applied})
    elif applied:
        out.print("Applied: the numbers are on their way; `sfsync status` shows when they have arrived.")
    left = plan["unread"] or (
        plan["rows"] if not applied else [row for row in plan["rows"] if _needs_person(row)]
    )
    raise typer.Exit(1 if left else 0)


def _wanted(plan: Any, *, dry_run: bool, yes: bool) -> bool:
    if dry_run or plan["compared"] == 0:
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        err.print("Nothing was changed: give --yes to apply without being asked.")
        return False
    return typer.confirm("Apply this plan?")


def _needs_person(row: Any) -> bool:
    return not row["applicable"] and row["cause"] not in ("the channel does not list this SKU",)


def _show(plan: Any) -> None:
    for channel, why in plan["unread"].items():
        err.print(f"[red]{channel} could not be read: {why}[/]", highlight=False)
    for warning in plan["warnings"]:
        err.print(f"[yellow]{warning}[/]", highlight=False)
    rows = plan["rows"]
    if not rows:
        out.print(f"{plan['compared']} channel levels compared: every one shows what it should.")
        return
    counts = Counter((row["channel"], row["cause"]) for row in rows)
    made = table(f"{plan['compared']} channel levels compared", "channel", "cause", ("rows", "right"))
    for (channel, cause), count in sorted(counts.items()):
        made.add_row(channel, cause, str(count))
    out.print(made)
    made = table(
        "\nDifferences", "channel", "SKU", "location", ("shows", "right"), ("should", "right"), "cause"
    )
    for row in rows[:ROWS_SHOWN]:
        shows, target = (str(row[key]) if row[key] is not None else "-" for key in ("shows", "target"))
        made.add_row(row["channel"], row["sku"], row["location"], shows, target, row["cause"])
    out.print(made)
    if len(rows) > ROWS_SHOWN:
        out.print(f"… and {len(rows) - ROWS_SHOWN} more: --json lists them all.")


def _watched(what: str, work: Any) -> Any:
    """Do it, with a sign of life on a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as progress:
        progress.add_task(what)
        return work()
