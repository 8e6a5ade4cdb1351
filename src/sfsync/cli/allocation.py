"""`sfsync allocation`: divided units, and a person's word for how many of them a channel is to have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

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

app = typer.Typer(
    help="Units set aside for single channels: how they stand, and how many each is to have.",
    no_args_is_help=True,
)

Channel = Annotated[str, typer.Argument(help="The channel.")]
Sku = Annotated[str, typer.Argument(help="The SKU, which a policy divides among channels.")]
ShowsNone = Annotated[
    bool,
    typer.Option("--shows-none", help="Of a removed channel: you have seen that it shows none."),
]
Units = Annotated[int, typer.Argument(min=0, help="How many units.")]


@app.command("list")
def list_allocations(
    sku: Annotated[str | None, typer.Argument(help="Only this SKU.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell how the units of each channel stand: to have, set aside, shown, spare, sold and not settled.

    Exit codes: 0 every channel has what it is to have; 1 something is on its way, or held for a channel that
    was removed; 2 wrong settings; 3 no daemon.
    """
    client = DaemonClient(settings_or_exit(config))
    query = httpx.QueryParams({"sku": sku} if sku else {})
    try:
        told = client.get(f"/v1/allocations?{query}")
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    _tell(told, as_json)


@app.command("set")
def set_units(
    channel: Channel,
    sku: Sku,
    units: Units,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """A channel is to have so many units, until it is released. What is left is divided by the policy.

    Exit codes: 0 it has them; 1 written down, and on its way; 2 wrong settings; 3 refused, or no daemon.
    """
    _say(config, as_json, do="set", channel=channel, sku=sku, units=units)


@app.command("move")
def move(
    channel: Channel,
    sku: Sku,
    units: Annotated[int, typer.Argument(min=1, help="How many units.")],
    to: Annotated[str, typer.Option("--to", help="The channel that is to have them.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """So many units of a channel are to be another's. Both then stay as they are until they are released.

    Exit codes: 0 it has them; 1 written down, and on its way; 2 wrong settings; 3 refused, or no daemon.
    """
    _say(config, as_json, do="move", channel=channel, sku=sku, units=units, to=to)


@app.command("withdraw")
def withdraw(
    channel: Channel,
    sku: Sku,
    units: Annotated[int | None, typer.Argument(min=1, help="How many units; all by default.")] = None,
    shows_none: ShowsNone = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take units away from a channel, until it is released. They go to the others, or to everybody.

    Those of a channel that is not in the settings any more stay reserved, because its site may still show
    them: the command asks whether it shows none (or is told so by --shows-none), and gives them back.

    Exit codes: 0 it has them no more; 1 written down, and on its way; 2 wrong settings; 3 refused, or no
    daemon.
    """
    more: dict[str, Any] = {} if units is None else {"units": units}
    if shows_none or (units is None and not as_json and _seen_none(config, channel, sku)):
        more["shows_none"] = True
    _say(config, as_json, do="withdraw", channel=channel, sku=sku, **more)


@app.command("release")
def release(
    channel: Channel, sku: Sku, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """The policy decides again how many units the channel is to have.

    Exit codes: 0 it has them; 1 written down, and on its way; 2 wrong settings; 3 nobody had said how many,
    or no daemon.
    """
    _say(config, as_json, do="release", channel=channel, sku=sku)


def _seen_none(config: Path, channel: str, sku: str) -> bool:
    """Ask a person at a terminal whether a channel shows none that is not in the settings any more."""
    if not sys.stdin.isatty():
        return False
    client = DaemonClient(settings_or_exit(config))
    try:
        told = client.get(f"/v1/allocations?{httpx.QueryParams({'sku': sku})}")
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    gone = [row for row in told["allocations"] if row["channel"] == channel and row["gone"]]
    if not gone:
        return False
    return typer.confirm(
        f"{channel} is not in the settings any more, and was last known to show {gone[0]['shows']} of {sku}. "
        "What is withdrawn may be sold by others at once. Have you seen that it shows none?"
    )


def _say(config: Path, as_json: bool, **word: Any) -> None:
    client = DaemonClient(settings_or_exit(config))
    try:
        told = client.post("/v1/allocations", word)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    _tell(told, as_json)


def _tell(told: Any, as_json: bool) -> None:
    if as_json:
        print_json(told)
    elif not told["allocations"]:
        out.print("Nothing is divided among channels.")
    else:
        out.print(_table(told["allocations"]))
        gone = list(dict.fromkeys(row["channel"] for row in told["allocations"] if row["gone"]))
        for name in gone:
            out.print(
                f"{name} is not in the settings any more: what is set aside for it is held for nobody. "
                f"Once it shows none: sfsync allocation withdraw {name} SKU"
            )
        if any(row["lacking"] for row in told["allocations"]):
            out.print(
                "Gone: set aside, and left over a counter or for another place. It is shown no longer once "
                "the channel has confirmed it, and then released."
            )
        if not told["done"] and not all(row["gone"] for row in told["allocations"]):
            out.print("Something is on its way: lowered and confirmed, moved, raised.")
    raise typer.Exit(0 if told["done"] else 1)


def _table(rows: list[dict[str, Any]]) -> Any:
    made = table(
        "Allocations",
        "SKU",
        "channel",
        ("to have", "right"),
        ("set aside", "right"),
        ("shows", "right"),
        ("spare", "right"),
        ("sold", "right"),
        "by",
    )
    for row in rows:
        by = "policy" if row["by_hand"] is None else f"{row['said_by']}: {row['by_hand']}"
        aside = f"{row['held']} + {row['coming']}" if row["coming"] else str(row["held"])
        aside += f", {row['lacking']} gone" if row["lacking"] else ""
        numbers = (str(row[name]) for name in ("shows", "spare", "sold"))
        made.add_row(row["sku"], row["channel"], str(row["goal"]), aside, *numbers, by)
    return made
