"""`sfsync reload`: the running daemon reads its settings again."""

from __future__ import annotations

from typing import Annotated

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

HELD = 4
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")]


def reload(
    config: ConfigOption = DEFAULT_CONFIG, dry_run: DryRun = False, as_json: JsonOption = False
) -> None:
    """Have the running daemon read its settings again, as SIGHUP does, and tell what is other.

    Who may do what, the log's level, and what policies and channels say of quantities are taken over at once;
    all else waits for a restart, and is named. Where anything is wrong, nothing is taken over.

    Where more of a channel's numbers would change than its `ask_above_percent`, the change is held there
    until `sfsync resync --channel` is applied. What is sold and received goes out meanwhile.

    Exit codes: 0 nothing waits; 1 something waits for a restart; 2 wrong settings; 3 no daemon; 4 a channel's
    numbers are held.
    """
    daemon = DaemonClient(settings_or_exit(config))
    try:
        status, told = daemon.attempt("/v1/reload", {"dry_run": dry_run})
    except httpx.HTTPError as error:
        fail(f"no daemon answers at {daemon.address} ({error}); start it with `sfsync run`")
    if status == 422 and "problems" in told:
        wrong = "The daemon's settings are wrong; what was in force stays so."
        fail(wrong, 2, problems=told["problems"], beside=told)
    if status != 200:
        fail(f"the daemon answered {status}: {told.get('detail', '')}")
    if as_json:
        print_json(told)
    waits = [each for each in told["changes"] if not each["live"]]
    if not as_json:
        _show(told["changes"], dry_run=dry_run)
        for each in told["held"]:
            err.print(each["sentence"], style="bold red")
    raise typer.Exit(HELD if told["held"] else 1 if waits else 0)


def _show(changes: list[dict[str, str]], *, dry_run: bool) -> None:
    if not changes:
        out.print("Nothing is other than what is in force.")
        return
    now = "would be taken over" if dry_run else "taken over"
    made = table("Settings", "key", "before", "after", "what becomes of it")
    for each in changes:
        made.add_row(
            each["key"], each["before"], each["after"], now if each["live"] else "waits for a restart"
        )
    out.print(made)
