"""`sfsync edition`: limited editions, and the one switch that opens or closes them everywhere."""

from __future__ import annotations

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
from sfsync.cli.tables import utc

app = typer.Typer(
    help="Limited editions: how many are left for whom, and the switch that opens them everywhere at once.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The edition's name in the settings.")]


@app.command("open")
def open_edition(name: Name, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Put it on sale: every channel gets its number, and reservations are granted, from one moment on.

    Opening an open one is fine. Exit codes: 0 it is open; 2 wrong settings; 3 no daemon, or no such edition.
    """
    _switch(config, name, "open", as_json)


@app.command("close")
def close_edition(name: Name, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Take it off sale: channels show nothing of it and reservations are refused. What is reserved stays so.

    It stays closed until it is opened by hand, also when its `opens_at` is still to come.
    Exit codes: 0 it is closed; 2 wrong settings; 3 no daemon, or no such edition.
    """
    _switch(config, name, "close", as_json)


@app.command("status")
def edition_status(
    name: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """How many are sold, reserved and left, by channel.

    Exit codes: 0 told; 2 wrong settings; 3 no daemon, or no such edition.
    """
    client = DaemonClient(settings_or_exit(config))
    try:
        told = client.get(f"/v1/editions/{quote(name, safe='')}" if name else "/v1/editions")
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(told)
        return
    rows = [told] if name else told["editions"]
    if not rows:
        out.print("The settings name no edition.")
    for row in rows:
        _print(row)


def _switch(config: Any, name: str, word: str, as_json: bool) -> None:
    client = DaemonClient(settings_or_exit(config))
    try:
        told = client.post(f"/v1/editions/{quote(name, safe='')}/{word}", {})
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(told)
    else:
        _print(told)


def _print(row: dict[str, Any]) -> None:
    """One edition: a sentence, and a line for each share."""
    facts = [f"{row['left']} of {row['size']} left"]
    if row["per_client"]:
        facts.append(f"{row['per_client']} to a client")
    if row["opens_at"]:
        facts.append(f"opens at {utc(row['opens_at'])} UTC")
    if row["changed_by"]:
        word = "opened" if row["state"] == "open" else "closed"
        facts.append(f"{word} by {row['changed_by']} at {utc(row['changed_at'])} UTC")
    made = table(
        f"{row['name']} is {row['state']}: {', '.join(facts)}",
        "channel",
        ("may sell", "right"),
        ("sold or reserved", "right"),
        ("left", "right"),
        ("shows", "right"),
    )
    named = {share["channel"] for share in row["shares"]}
    for share in row["shares"]:
        channel = share["channel"]
        shows = [units for name, units in row["shows"].items() if (name in named) is (channel is not None)]
        if channel is not None:
            shows = [row["shows"].get(channel, 0)]
        label = channel or ("all others" if len(row["shares"]) > 1 else "all together")
        told = " + ".join(map(str, shows)) if shows else "–"
        made.add_row(label, str(share["limit"]), str(share["taken"]), str(share["left"]), told)
    out.print(made)
