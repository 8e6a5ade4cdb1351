"""`sfsync drift`: what differs although nothing is under way, by cause and day; and putting it right."""

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
from sfsync.cli.resync import put_right
from sfsync.cli.tables import utc
from sfsync.domain.words import counted

ROWS_SHOWN = 40
MOST_SKUS = 1_000  # in one comparison


def drift(
    config: ConfigOption = DEFAULT_CONFIG,
    apply: Annotated[
        bool, typer.Option("--apply", help="Compare these SKUs anew, and put them right as `resync` does.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what the daemon's own looks have found to differ: in the org, and at channels.

    It looks at a low pace (the table `drift` in the settings): sums of the org's levels, and some SKUs of
    each channel in turn. Needs the running daemon. With --json, --apply asks nobody, and applies nothing
    without --yes.

    Exit codes: 0 nothing differs, or applied; 1 something differs; 2 wrong settings; 3 no daemon; 4 stopped,
    as `resync` is.
    """
    client = DaemonClient(settings_or_exit(config))
    try:
        found = client.get("/v1/drift")
        if apply and found["open"]:
            skus = list(dict.fromkeys(row["sku"] for row in found["open"]))[:MOST_SKUS]
            put_right(client, {"skus": skus}, yes=yes, as_json=as_json)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(found)
    else:
        _show(found)
    raise typer.Exit(1 if found["open"] else 0)


def _seen(at: str | None) -> str:
    return utc(at) if at else "not yet"


def _show(found: Any) -> None:
    checked = found["checked"]
    made = table("Looked at", "what", "last (UTC)", "how much", "error")
    org = checked["org"]
    made.add_row("org", _seen(org["at"]), counted(org["calls"], "call"), org["error"])
    for name, of in checked["channels"].items():
        made.add_row(
            name, _seen(of["at"]), f"{counted(of['numbers'], 'number')} since the start", of["error"]
        )
    out.print(made)
    if not found["open"]:
        out.print("\nNothing differs, as far as was looked.")
    else:
        made = table(
            "\nDrift",
            "where",
            "SKU",
            "location",
            ("ours", "right"),
            ("theirs", "right"),
            "cause",
            "since (UTC)",
        )
        for row in found["open"][:ROWS_SHOWN]:
            numbers = (str(row["ours"]), str(row["theirs"]))
            made.add_row(
                row["channel"], row["sku"], row["location"], *numbers, row["cause"], utc(row["found_at"])
            )
        out.print(made)
        if (more := len(found["open"]) + found["open_more"] - ROWS_SHOWN) > 0:
            out.print(f"… and {more:,} more: --json lists them.")
    if found["days"]:
        made = table("\nBy day", "day", "where", "cause", ("found", "right"), ("units", "right"))
        for day in found["days"]:
            made.add_row(day["day"], day["channel"], day["cause"], f"{day['found']:,}", f"{day['units']:,}")
        out.print(made)
