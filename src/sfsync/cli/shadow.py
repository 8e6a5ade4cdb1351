"""`sfsync shadow`: what a shadow has seen beside another integration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from sfsync.app import SystemClock, shadow_report
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
from sfsync.domain.coverage import ACCEPTED, lasting
from sfsync.domain.words import counted
from sfsync.store import StoreError, open_store

app = typer.Typer(help="What a shadow has seen: sfsync beside another integration, writing nothing.")
NAMED = 10  # lines of one kind


@app.callback()
def root() -> None:
    """What a shadow has seen: sfsync beside another integration, writing nothing."""


@app.command()
def report(
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option(help=f"How far to look back: {ACCEPTED}. All, if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold what the other integration did against what sfsync would have done.

    Which numbers were wrong and for how long, which sales it never entered or entered twice, and which units
    were sold beyond stock: for each, whether it would have been on offer with sfsync. Works with the daemon
    running or not, and after sfsync has gone live.

    Exit codes: 0 nothing went wrong there; 1 something did; 2 wrong settings or options; 3 no store, or none
    that ever was a shadow's.
    """
    settings = settings_or_exit(config)
    start = None if since is None else past_moment("--since", since, datetime.now(UTC))
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    told: Any = shadow_report(settings, store, SystemClock(), start)
    if not told["watched_seconds"]:
        fail("nothing was watched in that time. `sfsync run --shadow` begins a shadow")
    if as_json:
        print_json(told)
    else:
        _print(told)
    wrong = told["sales"]["missing"] or told["sales"]["doubled"] or told["oversells"]["units"]
    raise typer.Exit(1 if wrong or any(each["late"] for each in told["channels"]) else 0)


def _print(told: Any) -> None:
    state = "still in shadow" if told["in_shadow"] else "in shadow no more"
    out.print(
        f"{told['since'][:19]} to {told['until'][:19]} UTC: "
        f"{lasting(told['watched_seconds'])} watched, {state}. "
        f"sfsync would have entered {counted(told['would_have_entered'], 'movement')}; "
        f"others entered {told['others_movements']['seen']:,}.",
    )
    _channels(told)
    _sales(told)
    _oversells(told["oversells"])


def _channels(told: Any) -> None:
    late = f"over {told['late_seconds']:g} s"
    made = table(
        "\nNumbers: how much later than sfsync would have been",
        *("channel", ("numbers", "right"), ("p50", "right"), ("p99", "right")),
        *(("worst", "right"), (late, "right"), ("too high", "right"), ("never equal", "right")),
    )
    for each in told["channels"]:
        lag = each["later_than_sfsync"]
        made.add_row(
            each["name"],
            f"{each['numbers']:,}",
            *(_seconds(lag[f"{name}_seconds"]) for name in ("p50", "p99", "worst")),
            f"{each['late']:,}",
            f"{each['too_high']['times']:,}",
            f"{each['never_equal']:,}",
        )
    out.print(made)
    worst = [(channel["name"], each) for channel in told["channels"] for each in channel["worst"]]
    if worst:
        worst.sort(key=lambda one: -one[1]["least_seconds"])
        made = table(
            "\nWrong for longest",
            "channel",
            "SKU",
            "since (UTC)",
            ("for at least", "right"),
            "showed instead of",
        )
        for name, each in worst[:NAMED]:
            until = "" if each["ended_at"] else ", and still"
            made.add_row(
                name,
                each["sku"],
                each["began_at"][:19].replace("T", " "),
                _seconds(each["least_seconds"]) + until,
                f"{each['showed']} instead of {each['would_show']}",
            )
        out.print(made)
    unread = [each["name"] for each in told["channels"] if each["numbers"] and not each["read"]]
    if unread:
        out.print(f"What {', '.join(unread)} shows could not be read.")
    never = [each for each in told["channels"] if each["never_equal"]]
    for each in never:
        skus = ", ".join(one["sku"] for one in each["never_equal_named"][:3])
        more = " …" if each["never_equal"] > 3 else ""
        out.print(
            f"{each['name']} was never seen to show what sfsync would have told it of "
            f"{counted(each['never_equal'], 'number')} ({skus}{more}): another policy (safety stock, "
            "locations, cap) rather than lateness. They are in none of these times.",
        )


def _sales(told: Any) -> None:
    sales = told["sales"]
    made = table(
        "\nSales: from the order to its first movement in the org",
        *("channel", ("lines", "right"), ("heard p99", "right"), ("p50", "right"), ("p99", "right")),
        *(("worst", "right"), ("never entered", "right"), ("entered twice", "right")),
    )
    for each in told["channels"]:
        own = each["sales"]
        made.add_row(
            each["name"],
            f"{own['lines']:,}",
            _seconds(own["heard"]["p99_seconds"]),
            *(_seconds(own["entered"][f"{name}_seconds"]) for name in ("p50", "p99", "worst")),
            *(f"{own[key]:,}" for key in ("missing", "doubled")),
        )
    out.print(made)
    for title, lines in (
        ("\nNever entered", sales["missing_lines"]),
        ("\nEntered twice", sales["doubled_lines"]),
    ):
        if not lines:
            continue
        made = table(title, "channel", "order", "SKU", ("units", "right"), "placed (UTC)")
        for line in lines[:NAMED]:
            made.add_row(
                line["channel"],
                " or ".join(
                    [line["order"], *(f"{line['order']} at {each}" for each in line["or_same_name_at"])]
                ),
                line["sku"],
                str(line["units"]),
                line["placed_at"][:19].replace("T", " "),
            )
        out.print(made)
        if len(lines) > NAMED:
            out.print(f"and {len(lines) - NAMED:,} more: --json has all")
    guessed = told["others_movements"]["of_sales_by_number_only"]
    if guessed:
        out.print(
            f"{counted(guessed, 'movement names', 'movements name')} no order; "
            "each was taken for the oldest sale that lacked its units. "
            "How many are missing is sure, which ones is not.",
        )


def _oversells(oversells: Any) -> None:
    if not oversells["cases"]:
        out.print("\nNothing was sold beyond stock.")
        return
    out.print(
        f"\nSold beyond stock: {counted(oversells['units'], 'unit')}; "
        f"{oversells['would_not_have_happened']:,} of them would not have been on offer",
        style="bold",
    )
    for each in oversells["cases"][: 2 * NAMED]:
        what = f"{each['units']} of {each['sku']}, order {each['order']} ({each['guarantee']})"
        out.print(f"{each['placed_at'][:19].replace('T', ' ')} {each['channel']}: {what}")
        out.print(f"    {each['sentence']}")
    if len(oversells["cases"]) > 2 * NAMED:
        out.print(f"and {len(oversells['cases']) - 2 * NAMED:,} more: --json has all")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 100 else lasting(seconds)
