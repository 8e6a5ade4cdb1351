"""`sfsync transfer`: goods that go from one location to another, and what is on its way."""

from __future__ import annotations

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
from sfsync.cli.tables import utc

app = typer.Typer(
    help="Goods between locations. They are not for sale on their way; a difference stays to be seen.",
    no_args_is_help=True,
)

Number = Annotated[str, typer.Argument(help="The transfer's number: the one on its delivery note.")]
Sku = Annotated[str, typer.Argument(help="The SKU.")]
Quantity = Annotated[int, typer.Argument(help="How many units.")]
From = Annotated[str, typer.Option("--from", help="The location that the goods leave.")]
To = Annotated[str, typer.Option("--to", help="The location that the goods reach.")]
Unit = Annotated[str | None, typer.Option(help="The piece, where each is one of a kind.")]
Part = Annotated[
    str, typer.Option(help="Names one of several deliveries of this SKU; the same part happens once.")
]


@app.command("send")
def send(
    number: Number,
    sku: Sku,
    quantity: Quantity,
    origin: From,
    unit: Unit = None,
    part: Part = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Goods have left a location. Telling it twice is fine.

    Exit codes: 0 entered; 1 written down, and entered when the org answers; 2 wrong settings; 3 refused, or
    no daemon.
    """
    _enter(config, "sent", number, sku, quantity, unit, part, as_json, origin=origin)


@app.command("receive")
def receive(
    number: Number,
    sku: Sku,
    quantity: Quantity,
    target: To,
    unit: Unit = None,
    part: Part = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Goods have reached a location: as many as were really there. Telling it twice is fine.

    Exit codes: 0 entered; 1 written down, and entered when the org answers; 2 wrong settings; 3 refused, or
    no daemon.
    """
    _enter(config, "received", number, sku, quantity, unit, part, as_json, target=target)


@app.command("move")
def move(
    number: Number,
    sku: Sku,
    quantity: Quantity,
    origin: From,
    target: To,
    unit: Unit = None,
    part: Part = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Goods were carried over at once, such as a return that is fit for sale again.

    Exit codes: 0 entered; 1 written down, and entered when the org answers; 2 wrong settings; 3 refused, or
    no daemon.
    """
    _enter(config, "moved", number, sku, quantity, unit, part, as_json, origin=origin, target=target)


@app.command("lost", context_settings={"ignore_unknown_options": True})
def lost(
    number: Number,
    sku: Sku,
    quantity: Annotated[int, typer.Argument(help="Units; negative when more arrived than was sent.")],
    unit: Unit = None,
    part: Part = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write off what is still in transit and will not arrive.

    Exit codes: 0 entered; 1 written down, and entered when the org answers; 2 wrong settings; 3 refused, or
    no daemon.
    """
    _enter(config, "lost", number, sku, quantity, unit, part, as_json)


@app.command("list")
def in_transit(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """What was sent and has not arrived.

    Exit codes: 0 nothing is on its way; 1 something is; 2 wrong settings; 3 no daemon.
    """
    client = DaemonClient(settings_or_exit(config))
    try:
        found = client.get("/v1/transfers")["in_transit"]
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(found)
    elif not found:
        out.print("Nothing is on its way.")
    else:
        made = table("In transit", "transfer", "SKU", "unit", ("quantity", "right"), "since (UTC)")
        for row in found:
            made.add_row(
                row["number"], row["sku"], row["unit"] or "", str(row["quantity"]), utc(row["since"])
            )
        out.print(made)
    raise typer.Exit(1 if found else 0)


def _enter(
    config: Any,
    stage: str,
    number: str,
    sku: str,
    quantity: int,
    unit: str | None,
    part: str,
    as_json: bool,
    *,
    origin: str | None = None,
    target: str | None = None,
) -> None:
    client = DaemonClient(settings_or_exit(config))
    event = "/".join(word for word in (number, stage, sku, unit, part) if word)
    body = {
        "id": event,
        "number": number,
        "stage": stage,
        "sku": sku,
        "quantity": quantity,
        "from": origin,
        "to": target,
        "unit": unit,
    }
    try:
        told = client.post("/v1/transfers", body)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    entered = told["state"] == "entered"
    if as_json:
        print_json(told)
    elif entered:
        out.print(f"{quantity} of {sku} {stage}: entered in the org.")
    else:
        out.print(f"{quantity} of {sku} {stage}: written down; it is entered when the org answers.")
    raise typer.Exit(0 if entered else 1)
