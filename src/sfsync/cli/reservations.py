"""`sfsync reservations`: who holds what, such as a boutique's pick-ups, and what is held for nobody."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

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
from sfsync.cli.tables import utc

Kind = Annotated[str | None, typer.Option(help="Only of this kind: cart, order, pick-up, client.")]
State = Annotated[
    str, typer.Option(help="Only in these states, separated by commas; open: pending, granted, confirmed.")
]
Location = Annotated[str | None, typer.Option(help="Only what is held at this location of the org.")]
Channel = Annotated[str | None, typer.Option(help="Only of this channel.")]
Owner = Annotated[str | None, typer.Option(help="Only of this owner: a cart, a client, an order.")]
Orphans = Annotated[bool, typer.Option("--orphans", help="Only what is held for nobody, and what to do.")]


def reservations(
    kind: Kind = None,
    state: State = "open",
    location: Location = None,
    channel: Channel = None,
    owner: Owner = None,
    orphans: Orphans = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Who holds what, oldest first; with --orphans what nobody will come for.

    Exit codes: 0 listed; 1 there are orphans; 2 wrong settings; 3 no daemon, or it refuses.
    """
    client = DaemonClient(settings_or_exit(config))
    try:
        if orphans:
            if any((kind, location, channel, owner)):
                fail("--orphans lists all of them: it goes with no other choice")
            _tell_orphans(client.get("/v1/reservations/orphans")["orphans"], as_json=as_json)
        wanted = {"kind": kind, "state": state, "location": location, "channel": channel, "owner": owner}
        rows = _all(client, {name: value for name, value in wanted.items() if value})
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(rows)
    elif not rows:
        out.print("None.")
    else:
        made = table(
            "Reservations", ("reservation", "whole"), "kind", "state", "owner", "pieces", "until (UTC)"
        )
        for row in rows:
            made.add_row(
                row["id"],
                row["kind"],
                row["state"],
                " ".join(filter(None, (row["channel"], row["owner"], row["order_reference"]))),
                "\n".join(_piece(line) for line in row["lines"]),
                _until(row),
            )
        out.print(made)


def _all(client: DaemonClient, wanted: dict[str, str]) -> list[Any]:
    """Every page."""
    rows: list[Any] = []
    after: str | None = None
    while True:
        asked = {**wanted, "limit": "200", **({"after": after} if after else {})}
        page = client.get(f"/v1/reservations?{urlencode(asked)}")
        rows += page["reservations"]
        after = page["next"]
        if after is None:
            return rows


def _piece(line: Any) -> str:
    unit = f" {line['unit']}" if line["unit"] else ""
    return f"{line['quantity']} {line['sku']}{unit} at {line['location']}"


def _until(row: Any) -> str:
    if row["pick_up"]:
        return f"fetched {utc(row['pick_up']['begins'])}\nto {utc(row['pick_up']['ends'])}"
    return utc(row["expires_at"]) if row["expires_at"] else "paid for"


def _tell_orphans(rows: list[Any], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif not rows:
        out.print("Nothing is held for nobody.")
    else:
        made = table(
            "Held for nobody", ("reservation", "whole"), "owner", "pieces", "since (UTC)", "why", "what to do"
        )
        for row in rows:
            made.add_row(
                row["reservation"],
                " ".join(filter(None, (row["channel"], row["owner"], row["order_reference"]))),
                "\n".join(f"{units} {level}" for level, units in row["units"].items()),
                utc(row["since"]),
                row["cause"],
                row["remedy"],
            )
        out.print(made)
    raise typer.Exit(1 if rows else 0)
