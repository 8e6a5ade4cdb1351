"""`sfsync exposure`: how long did channels show what was not theirs to sell any more?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from sfsync.app import SystemClock, overview
from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    fail,
    out,
    past_moment,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.cli.tables import utc
from sfsync.domain.coverage import ACCEPTED, lasting
from sfsync.domain.words import counted
from sfsync.store import StoreError, open_store


def exposure(
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option(help=f"How far to look back: {ACCEPTED}. All, if not given.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how much, and for how long, channels that do not ask first showed beyond what they had to sell.

    And how much sooner their numbers would have reached zero, had they been gated or allocated. Works with
    the daemon running or not. Thirty days are kept.

    Exit codes: 0 nothing scarce is exposed now; 1 something is; 2 wrong settings or options; 3 no store.
    """
    settings = settings_or_exit(config)
    if channel is not None and channel not in settings.channels:
        fail(f"--channel: {channel!r} is none of {', '.join(sorted(settings.channels))}", 2)
    start = None if since is None else past_moment("--since", since, datetime.now(UTC))
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    told: Any = overview(settings, store, SystemClock(), None).exposure_now(start, channel)
    if as_json:
        print_json(told)
    else:
        _print(told)
    raise typer.Exit(1 if any(each["units"] and each["skus"] == "scarce" for each in told["classes"]) else 0)


def _print(told: Any) -> None:
    out.print(f"Since {told['since']}")
    if not told["classes"] and not told["emptied"]:
        out.print("No channel showed more than it had to sell.")
        return
    made = table(
        "\nShown beyond what there was to sell",
        *("channel", "SKUs", ("now", "right"), ("spells", "right"), ("p99", "right"), ("longest", "right")),
        *(("p99 unit s", "right"), ("worst unit s", "right"), ("all unit s", "right"), "worst at"),
    )
    for each in told["classes"]:
        longest, largest = each["longest"], each["largest"]
        made.add_row(
            each["channel"],
            each["skus"],
            Text(counted(each["units"], "unit"), "red" if each["units"] else ""),
            f"{each['spells']:,}",
            _seconds(each["p99_seconds"]),
            _seconds(longest and longest["seconds"]),
            _number(each["p99_unit_seconds"]),
            _number(largest and largest["unit_seconds"]),
            _number(each["unit_seconds"]),
            largest["sku"] if largest else "-",
        )
    out.print(made)
    if told["sooner"]:
        _print_sooner(told)


def _print_sooner(told: Any) -> None:
    made = table(
        "\nSooner at zero, had the channel been gated or allocated",
        *("channel", ("numbers", "right"), ("late", "right"), ("gated p99", "right"), ("worst", "right")),
        *(("allocated: sooner", "right"), ("its worst", "right"), ("still selling", "right")),
    )
    for each in told["sooner"]:
        made.add_row(
            each["channel"],
            *(f"{each[key]:,}" for key in ("numbers", "late")),
            *(_seconds(each[key]) for key in ("gated_p99_seconds", "gated_worst_seconds")),
            f"{each['sold_out_sooner']:,}",
            _seconds(each["allocated_worst_seconds"]),
            f"{each['still_selling']:,}",
        )
    out.print(made)
    late = [each for each in told["emptied"] if each["gated_sooner_seconds"] > 0]
    if late:
        made = table(
            "\nShown longest after the last was gone", "channel", "SKU", "shown until (UTC)", ("for", "right")
        )
        for each in late:
            made.add_row(
                each["channel"], each["sku"], utc(each["shown_at"]), _seconds(each["gated_sooner_seconds"])
            )
        out.print(made)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return (
        f"{seconds * 1000:.0f} ms"
        if seconds < 1
        else f"{seconds:.1f} s"
        if seconds < 100
        else lasting(seconds)
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
