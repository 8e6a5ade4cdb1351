"""`sfsync incidents`: what went wrong in the shop, and closing what was dealt with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    err,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.store import StoreError, open_store


def incidents(
    config: ConfigOption = DEFAULT_CONFIG,
    close: Annotated[
        list[int] | None,
        typer.Option(
            "--close", help="Close the incident with this id: it was dealt with; may be given again."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List open incidents. An oversold order closes by itself when stock covers it.

    Exit codes: 0 none is open; 1 some are; 2 wrong settings; 3 no store.
    """
    settings = settings_or_exit(config)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    found = store.read_now(lambda tx: tx.incidents())
    wanted = [incident for incident in found if incident.id in (close or ())]
    for number in set(close or ()) - {incident.id for incident in wanted}:
        err.print(f"[yellow]there is no open incident {number}[/]")
    if wanted:
        now = datetime.now(UTC)
        store.write_now(
            lambda tx: [tx.close_incident(incident.kind, incident.key, now) for incident in wanted]
        )
        found = store.read_now(lambda tx: tx.incidents())
    if as_json:
        print_json(
            [
                {
                    "id": i.id,
                    "kind": i.kind,
                    "title": i.title,
                    "detail": i.detail,
                    "opened_at": i.opened_at.isoformat(),
                }
                for i in found
            ]
        )
    elif not found:
        out.print("No open incidents.")
    else:
        made = table(f"{len(found)} open incidents", ("id", "right"), "opened", "kind", "what")
        for incident in found:
            at = incident.opened_at.isoformat(timespec="seconds")
            made.add_row(str(incident.id), at, incident.kind, incident.title)
        out.print(made)
    raise typer.Exit(1 if found else 0)
