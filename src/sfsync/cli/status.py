"""`sfsync status`: how things stand, in one glance."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import nullcontext
from textwrap import shorten
from typing import Annotated, Any

import httpx
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

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
from sfsync.domain.coverage import lasting
from sfsync.domain.forecast import SOON_DAYS
from sfsync.domain.words import counted
from sfsync.settings import Settings

COUNTS = (("due", "due"), ("in flight", "in_flight"), ("dead letters", "dead_letters"))
SHADOW = "nothing is written anywhere. What would have been: `sfsync shadow report`"
COLOURS = {"good": "green", "warning": "yellow", "bad": "red"}
NAMED = 3  # channels among the next steps
VERDICTS = {"good": "Good", "warning": "Warning", "bad": "At risk"}  # a colour alone is not seen by everybody


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)] = 2.0,
    looks: Annotated[int | None, typer.Option(help="End the watch after so many looks.", min=1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show whether all is well and what to do; stream, ledger, allowances, channels, incidents.

    Asks the running daemon; where none answers, tells what the store holds. `--watch` fills the terminal;
    where the output is no terminal it writes a line for each look, with --json a document.

    Exit codes: 0 green (at the last look); 1 something needs a person; 2 wrong settings; 3 no daemon and no
    store.
    """
    settings = settings_or_exit(config)
    if watch:
        found = _watch(settings, every, looks, as_json=as_json)
    else:
        found = _status(settings)
        if as_json:
            print_json(found)
        else:
            show(found)
    raise typer.Exit(0 if found["health"]["state"] == "good" else 1)


def _watch(settings: Settings, every: float, looks: int | None, *, as_json: bool) -> Any:
    """Look until there were enough looks, or somebody has had enough; the last that was seen."""
    found = _status(settings)
    live = Live(console=out, screen=True, auto_refresh=False) if out.is_terminal and not as_json else None
    with live or nullcontext():
        for number in itertools.count(1):
            if live is not None:
                live.update(Group(*picture(found)), refresh=True)
            elif as_json:
                print_json(found, line=True)
            else:
                out.print(line(found))
            if number == looks:
                break
            try:
                time.sleep(every)
                found = _status(settings)
            except KeyboardInterrupt:
                break
    return found


def line(found: Any) -> str:
    """A status in one line, for logs."""
    health, ledger = found["health"], found["ledger"]
    shadow = "in shadow: " if health["shadow_since"] else ""
    parts = [f"{health['now']}  {health['state']}  {shadow}{health['sentence'].removesuffix('.')}"]
    more = len(health["reasons"]) - 1
    parts += [f"and {more} more"] if more > 0 else []
    parts.append(f"waiting {ledger['queue']}, {counted(ledger['rows_a_minute'], 'row')} a minute")
    parts += [
        f"{each['name']}: {', '.join(f'{words} {each[key]}' for words, key in COUNTS)}"
        for each in found["channels"]
    ]
    return "; ".join(parts)


def _status(settings: Settings) -> Any:
    try:
        return DaemonClient(settings).get("/v1/status")
    except httpx.HTTPError:
        pass
    # Only here: reading them takes a second, and mostly a daemon runs.
    from sfsync.app import SystemClock, overview  # noqa: PLC0415 — see above
    from sfsync.store import StoreError, open_store  # noqa: PLC0415 — see above

    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(f"no daemon answers, and {error}")
    return overview(settings, store, SystemClock(), None).status_now()


def show(found: Any) -> None:
    """Print a status as tables."""
    for part in picture(found):
        out.print(part)


def picture(found: Any) -> list[RenderableType]:
    """A status for people, part by part: the verdict and what to do first."""
    health = found["health"]
    colour = COLOURS[health["state"]]
    verdict: list[RenderableType] = []
    if health["shadow_since"]:
        verdict.append(Text(f"IN SHADOW since {health['shadow_since'][:19]}: {SHADOW}", style="bold reverse"))
    verdict.append(Text(f"{VERDICTS[health['state']]}: {health['sentence']}", style=f"bold {colour}"))
    verdict += [Text(f"  {reason}") for reason in health["reasons"][1:]]
    verdict += [Text(f"Next: {' · '.join(steps)}", style="bold")] if (steps := next_steps(found)) else []
    return [
        *verdict,
        *_engine(found),
        *_block(found["ledger"]["block"]),
        *_channels(found["channels"]),
        *_scarce(found["scarce"]),
        *_editions(found["editions"]),
        *_tills(found["tills"]),
        *_incidents(found["incidents"], found["incidents_more"]),
        *_refunds(found["refunds"], found["refunds_more"]),
        *_accuracy(found["accuracy"]),
    ]


def next_steps(found: Any) -> list[str]:
    """The commands that lead on from a status that is not green; what mends itself has none."""
    stream, channels = found["stream"], found["channels"]
    steps: list[str] = []
    if not found["health"]["started_at"]:
        return ["sfsync run"]
    if found["ledger"]["state"] == "bad" or stream["state"] == "bad":
        steps.append("sfsync check org")
    broken, waiting = list[str](), list[str]()
    for each in channels:
        if each["held"] or (each["state"] != "bad" and not each["approved"]):
            waiting.append(each["name"])
        elif each["state"] == "bad":
            broken.append(each["name"])
    steps += _of_each("sfsync check", broken) + _of_each("sfsync resync", waiting, "--channel ")
    if any(each["closed_at"] is None and not each["waits_until"] for each in found["incidents"]):
        steps.append("sfsync incidents")
    if found["refunds"]:
        steps.append("sfsync refunds")
    if found["dead_letters"] or any(each["problems"] for each in channels):
        steps.append("sfsync dead-letters")
    if found["drifts"]:
        steps.append("sfsync drift")
    left = found["channels_left"]
    steps += _of_each("sfsync channel forget", [each["name"] for each in left if not each["set_aside"]])
    if any(each["set_aside"] for each in left):
        steps.append("sfsync reservations --orphans")
    space = found["ledger"]["space"] or {}
    days = [space.get(name) for name in ("full_in_days", "crowded_in_days")]
    if any(each is not None and each <= SOON_DAYS for each in days):
        steps.append("sfsync ledger fold --dry-run")
    return steps


def _of_each(command: str, channels: Sequence[str], option: str = "") -> list[str]:
    """A command for each of a few channels; for many the one that looks at all of them."""
    if len(channels) > NAMED:
        return [command]
    return [f"{command} {option}{name}" for name in channels]


def _engine(found: Any) -> list[RenderableType]:
    ledger, stream = found["ledger"], found["stream"]
    made = table("\nOrg", "what", "now")
    made.add_row("org", found["health"]["org"] or "not reached yet")
    for topic in stream["topics"]:
        sign = topic["last_sign_of_life_at"]
        state = (
            "connected"
            if topic["connected"]
            else "DOWN"
            if sign
            else "joining; its first sign may take minutes"
        )
        if sign:
            state += f", last sign of life {sign}"
        if topic["lag_seconds"] is not None:
            state += f", {topic['lag_seconds']:.1f} s behind the org's commit"
        made.add_row(topic["name"], state)
        made.add_row("  in the last 24 h", topic["coverage"])
    made.add_row("holes", str(len(stream["holes"])))
    made.add_row(
        "waiting for the org", f"{ledger['queue']} ({counted(ledger['inbox'], 'webhook')} not yet decided)"
    )
    made.add_row("entered", f"{counted(ledger['rows_a_minute'], 'row')} in the last minute")
    made.add_row("API calls in 24 h", _calls(ledger))
    if ledger["calls_outlook"]:
        made.add_row("  at this pace", _outlook(ledger["calls_outlook"]))
    if stream["deliveries"]:
        told = stream["deliveries"]
        share = 100 * told["used"] / told["allowed"] if told["allowed"] else 100
        made.add_row("events in 24 h", f"{told['used']:,} of {told['allowed']:,} ({share:.0f} %)")
        if told["outlook"]:
            made.add_row("  at this pace", _outlook(told["outlook"]))
    for waiting in ledger["calls_waiting"]:
        made.add_row(f"  {waiting['work']}", f"waiting; expected to go on about {waiting['until']}")
    if ledger["space"]:
        made.add_row("movements in the org", _room(ledger["space"]))
    parts: list[RenderableType] = [made]
    if stream["holes"]:
        made = table("\nHoles", "stream", "for", "why", "what closes it", "next tried (UTC)")
        for hole in stream["holes"]:
            made.add_row(
                hole["source"].rpartition("/")[2],
                lasting(hole["age_seconds"]),
                shorten(hole["reason"], 80, placeholder=" …"),  # the whole of it stands above
                hole["closes"],
                (hole["next_try_at"] or "-").partition("T")[2].partition(".")[0] or "-",
            )
        parts.append(made)
    return parts


def _room(space: Any) -> str:
    said = f"{space['rows']:,}, {space['rows_a_day']:,} in the last day"
    if space["left_mb"] is not None:
        said += f"; {space['left_mb']:,} of {space['allowed_mb']:,} MB of data storage left"
    if space["full_in_days"] is not None:
        said += f", for {counted(space['full_in_days'], 'day')} at that pace"
    if space["fullest"]:
        said += f"; most at {space['fullest']}: {space['fullest_rows']:,}"
    return said


def _calls(ledger: Any) -> str:
    if ledger["calls_used"] is None:
        return "not known"
    return (
        f"{ledger['calls_used']:,} of {ledger['calls_allowed']:,}; by sfsync {ledger['calls_by_us']:,} "
        f"of its {ledger['calls_ours']:,}; {ledger['calls_reserved']:,} reserved for others"
    )


def _outlook(outlook: Any) -> str:
    said = (
        f"{outlook['pace_an_hour']:,} an hour; at most {outlook['most_used']:,} in any 24 h of the next day"
    )
    if outlook["used_up_at"]:
        said += f"; used up about {outlook['used_up_at'][:16].replace('T', ' ')} UTC"
    return said


def _block(levels: Any) -> list[RenderableType]:
    if not levels:
        return []
    made = table("\nLocal block", "SKU", "location", ("set aside", "right"), ("to be granted", "right"))
    for row in levels:
        made.add_row(row["sku"], row["location"], f"{row['held']:,}", f"{row['ready']:,}")
    return [made]


def _channels(channels: Any) -> list[RenderableType]:
    numbers = ("levels", "gated", "allocated", "mirrored", "due", "in flight", "dead letters")
    made = table("\nChannels", "channel", *((heading, "right") for heading in numbers))
    for channel in channels:
        guarantees = channel["guarantees"]
        made.add_row(
            Text(channel["name"], COLOURS[channel["state"]]),
            *(
                f"{channel['levels']:,}",
                *(f"{guarantees[kind]:,}" for kind in ("gated", "allocated", "mirrored")),
            ),
            *(f"{channel[key]:,}" for key in ("due", "in_flight", "dead_letters")),
        )
    first = made
    made = table(
        "",
        "channel",
        ("lag p50", "right"),
        ("lag p99", "right"),
        ("exposed now", "right"),
        ("exposure", "right"),
        ("scarce p99", "right"),
        ("worst", "right"),
        "",
    )
    for channel in channels:
        made.add_row(
            channel["name"],
            _milliseconds(channel["lag_p50_ms"]),
            _milliseconds(channel["lag_p99_ms"]),
            counted(channel["exposed_units"], "unit"),
            f"{channel['exposure_unit_seconds']:.1f} unit s",
            *_scarce_spells(channel["exposure"]),
            channel["sentence"],
        )
    budgeted = [channel for channel in channels if channel["budget"]]
    if not budgeted:
        return [first, made]
    budgets = table(
        "", "channel", ("budget left", "right"), ("of", "right"), ("back in a second", "right"), ""
    )
    for channel in budgeted:
        told = channel["budget"]
        budgets.add_row(
            channel["name"], f"{told['left']:,}", f"{told['most']:,}", f"{told['a_second']:g}", told["unit"]
        )
    return [first, made, budgets]


def _scarce_spells(exposure: Any) -> tuple[str, str]:
    """How long the last pieces were shown too long: 99 times of 100 no longer than, and at worst."""
    found = [each for each in exposure if each["skus"] == "scarce" and each["longest"]]
    if not found:
        return "-", "-"
    return f"{found[0]['p99_seconds']:.1f} s", f"{found[0]['longest']['seconds']:.1f} s"


def _editions(editions: Any) -> list[RenderableType]:
    if not editions:
        return []
    made = table("\nLimited editions", "edition", "state", ("size", "right"), ("left", "right"), "by channel")
    for row in editions:
        shares = ", ".join(f"{share['channel'] or 'others'} {share['left']}" for share in row["shares"])
        state = f"opens {utc(row['opens_at'])} UTC" if row["opens_at"] else row["state"]
        made.add_row(row["name"], state, str(row["size"]), str(row["left"]), shares)
    return [made]


def _tills(tills: Any) -> list[RenderableType]:
    if not tills:
        return []
    made = table(
        "\nConcessions",
        "till",
        "last report (UTC)",
        "by",
        ("lines", "right"),
        ("told before", "right"),
        ("counted before", "right"),
        ("refused", "right"),
        "",
    )
    for till in tills:
        numbers = (str(till[name]) for name in ("lines", "again", "counted_before", "refused"))
        late = f"LATE: due every {till['every_hours']:g} h" if till["late"] else ""
        files = (
            counted(till["refused_files"], "refused file waits", "refused files wait")
            if till["refused_files"]
            else ""
        )
        said = "; ".join(each for each in (late, files) if each)
        made.add_row(
            till["name"],
            utc(till["last_at"]) if till["last_at"] else "never",
            till["last_way"] or "-",
            *numbers,
            said,
        )
    return [made]


def _scarce(scarce: Any) -> list[RenderableType]:
    if not scarce:
        return []
    made = table("\nScarce", "SKU", ("available", "right"), "where", "who may sell it")
    for item in scarce:
        where = ", ".join(f"{place} {units}" for place, units in item["locations"].items() if units)
        sellers = Text(", ").join(
            Text(f"{s['channel']}: {s['may']} ({s['why']})", "red" if s["may"] == "sells unasked" else "")
            for s in item["sellers"]
        )
        made.add_row(item["sku"], str(item["available"]), where or "-", sellers or "-")
    return [made]


def _incidents(incidents: Any, more: int) -> list[RenderableType]:
    if not incidents:
        return []
    made = table("\nIncidents", "opened (UTC)", "what", "orders", ("unit s", "right"), "what to do")
    for incident in incidents:
        orders = ", ".join(f"{o['order']} at {o['channel']}{_cover(o, incident)}" for o in incident["orders"])
        state = "" if incident["closed_at"] is None else f" (closed {utc(incident['closed_at'])})"
        if incident["waits_until"]:
            state = f" (may wait until {incident['waits_until'][:10]})"
        made.add_row(
            utc(incident["opened_at"]),
            incident["title"] + state,
            orders or "-",
            _number(incident["exposure_unit_seconds"]),
            incident["detail"] if incident["closed_at"] is None else "",
        )
    parts: list[RenderableType] = [made]
    if more:
        parts.append(Text(f"and {more} more: `sfsync incidents`"))
    return parts


def _cover(order: Any, incident: Any) -> str:
    if incident["closed_at"] is not None:
        return ""  # how it stood when it began; it is over
    return " (covered)" if order["covered"] else " (NOT covered)"


def _refunds(refunds: Any, more: int) -> list[RenderableType]:
    if not refunds:
        return []
    made = table("\nRefunds owed", ("id", "right"), "since (UTC)", "by", "to", "order", "for")
    for each in refunds:
        goods = ", ".join(f"{line['units']} {line['sku']}" for line in each["lines"])
        order = each["order_reference"] or "-"
        made.add_row(str(each["id"]), utc(each["opened_at"]), each["debtor"], each["creditor"], order, goods)
    return [made, Text(f"and {more} more: `sfsync refunds`")] if more else [made]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _accuracy(places: Any) -> list[RenderableType]:
    if not places:
        return []
    made = table("\nAccuracy of the books, exact", "location")
    for span in places[0]["spans"]:
        for heading in (f"{span['days']} days", "95 %", "counts", "complete"):
            made.add_column(heading, "right")
    for place in places:
        cells = []
        for span in place["spans"]:
            shares = ["–" if span[name] is None else f"{span[name]:.1f}" for name in ("percent", "complete")]
            cells += [shares[0], f"{span['low']:.0f}–{span['high']:.0f}", str(span["n"]), shares[1]]
        made.add_row(place["location"], *cells)
    return [made]
