"""`sfsync dead-letters`: what a person must look at, by cause; tried again, or dropped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import httpx
import typer
from rich.text import Text

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    DaemonClient,
    JsonOption,
    err,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
    user_name,
)
from sfsync.cli.mapping import give_file
from sfsync.cli.progress import bar, waiting
from sfsync.domain.letters import LONGEST_NAME, LONGEST_REASON, Cause, Tried
from sfsync.domain.words import counted
from sfsync.flow import letters
from sfsync.settings import Settings
from sfsync.store import Database, StoreError, open_store

app = typer.Typer(invoke_without_command=True)

SHOWN = 10  # items of a cause, for people
RETRY_COLOURS = {"safe": "green", "by itself": "cyan", "useless": "yellow"}
Numbers = Annotated[list[int] | None, typer.Argument(help="Ids of dead letters.", min=1)]
CauseOption = Annotated[str | None, typer.Option(help="All of this cause, as the list names it.")]


@app.callback()
def dead_letters(
    context: typer.Context, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List the items that were set aside, by cause, each with advice and whether a retry is safe.

    What mends itself (a stock level that appears, an item put right by `sfsync resync`) leaves the list by
    itself; `retry` tries again what you have mended, `drop` takes the rest off the list.

    Exit codes: 0 there are none; 1 there are some; 2 wrong settings; 3 no store.
    """
    if context.invoked_subcommand is not None:
        return
    store = _store(settings_or_exit(config))
    told: Any = store.read_now(letters.tell_all if as_json else letters.tell)
    if as_json:
        print_json(told)
    else:
        _show(told)
    raise typer.Exit(1 if told["causes"] else 0)


@app.command("retry")
def retry(
    numbers: Numbers = None,
    cause: CauseOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Try items again that you have mended: safe, however often. Works with and without a running daemon.

    An item of a channel that is off is kept. What went well leaves the list; what did not comes back to it.

    Exit codes: 0 all of them are tried again; 1 some are not; 2 wrong settings or words; 3 no store.
    """
    settings = settings_or_exit(config)
    of = _which(numbers, cause)
    wish = {"cause": of} if of else {"ids": numbers}
    tried = _asked(settings, "retry", wish, "trying again")
    if tried is None:
        done = _tried_here(settings, numbers or (), of)
        tried = {"tried": [{"id": each.id, "retried": each.done, "said": each.said} for each in done]}
    if as_json:
        print_json(tried)
    else:
        for each in tried["tried"]:
            mark = ("retried", "green") if each["retried"] else ("kept   ", "yellow")
            out.print(Text.assemble(f"{each['id']:>6}  ", mark, f"  {each['said']}"))
        if not tried["tried"]:
            out.print("There is none of that cause.")
    raise typer.Exit(0 if all(each["retried"] for each in tried["tried"]) else 1)


@app.command("drop")
def drop(
    reason: Annotated[str, typer.Option(help="Why it needs no work any more; kept in the record.")],
    numbers: Numbers = None,
    cause: CauseOption = None,
    by: Annotated[str | None, typer.Option(help="Who says so; your user name by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Drop a whole cause without being asked.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take items off the list for good. The record keeps them, with your name and reason (`dropped`).

    Of a whole cause, their number is told, and you are asked first; what comes after that stays on the list.
    With --json nobody is asked: they are dropped only with --yes. Works with and without a running daemon.

    Exit codes: 0 dropped, or there is none of that cause; 1 some ids are of no dead letter, or nobody said
    yes; 2 wrong settings or words; 3 no store.
    """
    settings = settings_or_exit(config)
    of = _which(numbers, cause)
    who, because = (by or user_name()).strip(), reason.strip()
    if not because or len(because) > LONGEST_REASON or len(who) > LONGEST_NAME:
        fail(f"--reason has 1 to {LONGEST_REASON} characters, --by at most {LONGEST_NAME}", 2)
    if of is None:
        told = _dropped(settings, numbers or (), who, because)
    else:
        there = _store(settings).read_now(lambda tx: letters.first_part(tx, of))
        if there.of and not _sure(there.of, of, yes=yes, ask=not as_json):
            if as_json:
                print_json({"dropped": [], "missing": [], "count": there.of})
            raise typer.Exit(1)
        told = _dropped_of(settings, there, who, because) if there.of else {"dropped": [], "missing": []}
    if as_json:
        print_json(told)
    elif of is not None and not told["dropped"]:
        out.print("There is none of that cause.")
    else:
        if told["dropped"]:
            out.print(f"{len(told['dropped']):,} dropped, and kept in the record.")
        for number in told["missing"]:
            out.print(f"there is no dead letter {number}", style="yellow")
    raise typer.Exit(1 if told["missing"] else 0)


def _which(numbers: list[int] | None, cause: str | None) -> Cause | None:
    """The cause that was named; None where ids were. Exit code 2 where it is neither or both."""
    if bool(numbers) == bool(cause):
        fail("give ids, or --cause with one of: " + ", ".join(Cause), 2)
    if cause is not None and cause not in list(Cause):
        fail(f"--cause: {cause!r} is none of {', '.join(Cause)}", 2)
    return Cause(cause) if cause else None


def _sure(count: int, cause: Cause, *, yes: bool, ask: bool) -> bool:
    if yes:
        return True
    what = f"{counted(count, 'item')} of the cause {cause.value!r}"
    if not ask or not sys.stdin.isatty():
        err.print(f"Nothing was dropped: {what}; give --yes to drop without being asked.")
        return False
    return typer.confirm(f"Drop {what} for good?")


def _dropped(settings: Settings, numbers: Sequence[int], who: str, because: str) -> Any:
    told = _asked(settings, "drop", {"ids": numbers, "by": who, "reason": because}, "dropping")
    if told is not None:
        return told
    now = datetime.now(UTC)
    gone = _store(settings).write_now(lambda tx: letters.drop(tx, numbers, who, because, now))
    return {"dropped": gone, "missing": sorted(set(numbers) - set(gone))}


def _dropped_of(settings: Settings, part: letters.Part, who: str, because: str) -> Any:
    """All of a cause, as it was when its number was told."""
    wish = {"cause": part.cause, "up_to": part.up_to, "by": who, "reason": because}
    told = _asked(settings, "drop", wish, "dropping")
    if told is not None:
        return told
    store, gone = _store(settings), list[int]()
    with bar("dropping") as shown:
        while part.after < part.up_to:
            work = partial(letters.drop_part, part=part, by=who, because=because, now=datetime.now(UTC))
            done, part = store.write_now(work)
            gone += done
            shown.show(letters.LETTERS, len(gone), part.of)
    return {"dropped": gone, "missing": []}


def _tried_here(settings: Settings, numbers: Sequence[int], cause: Cause | None) -> list[Tried]:
    """Without a daemon: written down for its next start."""
    store, on, now = _store(settings), settings.channels.keys(), datetime.now(UTC)
    if cause is None:
        return store.write_now(lambda tx: letters.retry(tx, numbers, on, now))
    tried: list[Tried] = []
    part = store.read_now(lambda tx: letters.first_part(tx, cause))
    with bar("trying again") as shown:
        while part.after < part.up_to:
            done, part = store.write_now(partial(letters.retry_part, part=part, on=on, now=now))
            tried += done
            shown.show(letters.LETTERS, len(tried), part.of)
    return tried


@app.command("dropped")
def dropped(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List what was dropped, newest first, by whom and why; at most 100.

    Exit codes: 0 told; 2 wrong settings; 3 no store.
    """
    told: Any = _store(settings_or_exit(config)).read_now(letters.tell)
    if as_json:
        print_json(told["dropped"])
        return
    made = table("Dropped", "at (UTC)", "source", "item", "reason", "dropped by", "because")
    for each in told["dropped"]:
        at = each["dropped_at"][:16].replace("T", " ")
        made.add_row(at, *(each[name] for name in ("source", "key", "reason", "by", "because")))
    out.print(made)


app.command("map")(give_file)


def _asked(settings: Settings, act: str, wish: Any, doing: str) -> Any:
    """The running daemon's answer; None when none runs."""
    client = DaemonClient(settings)
    try:
        with waiting(client, doing):
            return client.post(f"/v1/dead-letters/{act}", wish)
    except httpx.HTTPError:
        return None


def _store(settings: Settings) -> Database:
    try:
        return open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))


def _show(told: Any) -> None:
    if not told["causes"]:
        out.print("No dead letters.")
        return
    for group in told["causes"]:
        items, colour = group["items"], RETRY_COLOURS[group["retry"]]
        count = counted(group["count"], "item")
        out.print(Text.assemble("\n", (group["cause"], "bold"), f": {count}; {group['means']}"))
        out.print(f"  mend   {group['advice']}")
        out.print(Text.assemble("  retry  ", (group["retry"], colour), f": {group['why']}"))
        made = table("", ("id", "right"), "at (UTC)", "source", "item", "reason")
        for item in items[:SHOWN]:
            at = item["at"][:16].replace("T", " ")
            made.add_row(str(item["id"]), at, *(item[name] for name in ("source", "key", "reason")))
        out.print(made)
        if group["count"] > SHOWN:
            out.print(f"… and {group['count'] - SHOWN:,} more: --json lists them all.")
