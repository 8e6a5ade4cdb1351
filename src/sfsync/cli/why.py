"""`sfsync why`: the sum behind a number, who holds or moved each part of it; and the life of one piece."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import typer
from rich.text import Text
from rich.tree import Tree

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    DaemonClient,
    JsonOption,
    fail,
    past_moment,
    print_json,
    print_tree,
    settings_or_exit,
)
from sfsync.cli.progress import waiting
from sfsync.cli.tables import visible
from sfsync.domain.coverage import ACCEPTED
from sfsync.domain.words import counted

TOLD_LATE = timedelta(
    minutes=1
)  # from then on it is said when something happened, beside when it was entered
Sku = Annotated[str, typer.Argument(help="The SKU, spelt as in the org.")]
Channel = Annotated[str | None, typer.Option(help="Only what this channel shows.")]
Location = Annotated[str | None, typer.Option(help="Only this location of the org, and who sells from it.")]
Unit = Annotated[
    str | None, typer.Option(help="The life of this piece (its serial number), instead of the sums.")
]
At = Annotated[str | None, typer.Option("--at", help=f"A moment of the past: {ACCEPTED}.", metavar="TIME")]


def why(
    sku: Sku,
    config: ConfigOption = DEFAULT_CONFIG,
    channel: Channel = None,
    location: Location = None,
    unit: Unit = None,
    at: At = None,
    as_json: JsonOption = False,
) -> None:
    """Tell why channels show what they show of a SKU, down to the movements and promises behind it.

    With --unit, tell where one piece is and whose, and its life: received, reserved, moved, sold, returned,
    counted, and what it adds to the number of each channel.

    The daemon reads the org's ledger for it. With --at, the same for a moment of the past, under the
    settings of then, as far back as movements are kept one by one.

    What keeps it from being shown as it should is told with its remedy: no stock level in the org, several
    items of a channel that carry it, one that is not tracked, or may be sold beyond its stock.

    Exit codes: 0 every number is as it should be; 1 one is not, or is kept back, or there is something to
    mend; 2 wrong settings or options; 3 no daemon, nobody knows the SKU or the piece, or nothing is kept of
    that time.
    """
    settings = settings_or_exit(config)
    if channel is not None and channel not in settings.channels:
        fail(f"--channel: {channel!r} is none of {', '.join(sorted(settings.channels))}", 2)
    asked = {"sku": sku, "channel": channel, "location": location, "unit": unit}
    if at is not None:
        asked["at"] = past_moment("--at", at, datetime.now(UTC)).isoformat()
    query = httpx.QueryParams({name: value for name, value in asked.items() if value is not None})
    daemon = DaemonClient(settings)
    try:
        with waiting(daemon, "the org's ledger is read"):
            told = daemon.get(f"/v1/why?{query}")
    except httpx.HTTPError as error:
        fail(f"no daemon answers at {daemon.address} ({error}); start it with `sfsync run`")
    if as_json:
        print_json(told)
    else:
        print_tree(tree(told))
    amiss = any(each["wrong"] for each in told["findings"])
    raise typer.Exit(1 if amiss or any(_wrong(each) for each in told["channels"]) else 0)


def _wrong(shown: Any) -> bool:
    off = shown.get("shows", shown["should_show"]) != shown["should_show"]
    return "shows" in shown and (off or shown["held"] or bool(shown["problem"]))


def tree(told: Any) -> Tree:
    """The answer as a person reads it."""
    when = f" at {_when(told['at'])} UTC, under the settings {told['settings']}" if told["past"] else ""
    name = (f"{visible(told['sku'])}{when}", "bold")
    root = Tree(Text.assemble(name, ("; times in UTC", "dim")), guide_style="dim")
    if told["org"] != "read":
        root.add(Text(f"the org's ledger was {told['org']}: told from the store", style="yellow"))
    if (turn := told["turn"]) is not None:
        words = f"{turn['channel']}'s turn, since {_when(turn['since'])}, until {_when(turn['until'])}"
        root.add(Text(f"{words}; then {turn['then']}'s"))
    for shown in told["channels"]:
        branch = root.add(Text.assemble(*_head(shown)))
        for part in shown["sum"]:
            leaf = branch.add(Text(f"{part['units']:+5d}  {part['what']}"))
            for cause in part["because"]:
                leaf.add(Text(_cause(cause), style="dim"))
        branch.add(Text(f"{shown['should_show']:5d}  is what it should show", style="bold"))
    if told["piece"] is not None:
        _piece(root, told["piece"], read=told["org"] == "read")
    for each in told["findings"]:
        colour = "red" if each["wrong"] else "yellow"
        amiss = root.add(Text.assemble((each["where"], "bold"), (f" {visible(each['what'])}", colour)))
        amiss.add(Text(f"mend: {each['remedy']}"))
    if told["piece"] is None and not told["channels"] and not told["findings"]:
        root.add(Text("no channel lists it"))
    if not told["levels"]:
        return root
    levels = root.add("the org's stock levels")
    for level in told["levels"]:
        levels.add(Text(_level(level)))
    return root


def _piece(root: Tree, piece: Any, *, read: bool) -> None:
    """Where it is and whose, what has happened to it, and what it counts at channels."""
    branch = root.add(Text(f"piece {visible(piece['unit'])}: {visible(piece['stands'])}", style="bold"))
    for event in piece["life"]:
        words = f"{_when(event['at'])}  {visible(event['what'])}"
        if event["reference"] and event["reference"] not in words:
            words += f" ({visible(event['reference'])})"
        if event["by"] != "sfsync":
            words += f", by {event['by']}"
        late = datetime.fromisoformat(event["at"]) - datetime.fromisoformat(event["happened_at"])
        if abs(late) >= TOLD_LATE:
            words += f", as of {_when(event['happened_at'])}"
        leaf = branch.add(Text(words))
        for cause in event["because"]:
            leaf.add(Text(_cause(cause), style="dim"))
    if not piece["life"]:
        branch.add(
            "nothing has happened to it" if read else "its life is in the org's ledger, which was not read"
        )
    for each in piece["counts_at"]:
        name = f"{each['channel']}, {each['location']}"
        leaf = root.add(
            Text.assemble((name, "bold"), f" ({each['guarantee']}): it counts {each['units']} there")
        )
        for part in each["sum"]:
            leaf.add(Text(f"{part['units']:+d}  {part['what']}", style="dim"))


def _head(shown: Any) -> list[Any]:
    name = f"{shown['channel']}, {shown['location']}"
    if "shows" not in shown:
        return [(name, "bold"), f" ({shown['guarantee']}) should have shown {shown['should_show']}"]
    words: list[Any] = [(name, "bold"), f" ({shown['guarantee']}) shows {shown['shows']}"]
    if shown["problem"]:
        words.append((f", and is kept back: {shown['problem']}", "red"))
    elif shown["in_flight"]:
        words.append((f", and {shown['should_show']} is on its way", "yellow"))
    elif shown["shows"] != shown["should_show"]:
        words.append((f", and should show {shown['should_show']}", "red"))
    words.append(f", since {_when(shown['changed_at'])}; by {shown['policy']}")
    return words


def _cause(cause: Any) -> str:
    words = f"{cause['units']:+d}  {cause['what']}"
    if cause.get("by") == "somebody in the org":
        words += ", by somebody in the org"
    return f"{words}, {_when(cause['at'])}" if cause.get("at") else words


def _level(level: Any) -> str:
    place = level["location"] + (f", piece {level['unit']}" if level["unit"] else "")
    known = level.get("known")
    if "on_hand" not in level:
        return f"{place}: {known['on_hand']} on hand, {known['reserved']} reserved, as last heard"
    rows = counted(level["rows"], "movement")
    words = f"{place}: {level['on_hand']} on hand, {level['reserved']} reserved, by {rows}"
    if level["folded_until"]:
        words += f", folded until {_when(level['folded_until'])}"
    if known and (known["on_hand"], known["reserved"]) != (level["on_hand"], level["reserved"]):
        words += f"; sfsync still works with {known['on_hand']} and {known['reserved']}"
    return words


def _when(moment: str) -> str:
    at = datetime.fromisoformat(moment).astimezone(UTC)
    return (
        at.strftime("%-d %b %H:%M:%S")
        if at.year == datetime.now(UTC).year
        else at.strftime("%-d %b %Y %H:%M:%S")
    )
