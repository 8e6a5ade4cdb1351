"""`sfsync mapping`, `sfsync dead-letters map`: SKUs that the org does not have, and what they are there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

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
from sfsync.cli.progress import bar, waiting
from sfsync.domain.count_file import FileError, decode
from sfsync.domain.sku_mapping import Sheet, read
from sfsync.domain.words import counted, of_rows
from sfsync.flow import sku_mappings
from sfsync.ports import TryLater
from sfsync.settings import Settings
from sfsync.store import Database, StoreError, open_store

app = typer.Typer(
    help="SKUs that the org does not have, and the ones they go by there.", no_args_is_help=True
)

SHOWN = 40
STOPPED = 4


@app.command("list")
def list_all(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the mappings that are kept. One *rests* while the org has the old SKU itself.

    A mapping says what is sold, not what is shown: a channel that still lists the old SKU is named, with the
    number that it shows there and that sfsync does not write. Rename the item at the channel.

    Exit codes: 0 told; 2 wrong settings; 3 no store.
    """
    kept: Any = _store(settings_or_exit(config)).read_now(sku_mappings.tell)
    if as_json:
        print_json(kept)
        return
    if not kept:
        out.print("No SKU is mapped.")
        return
    made = table("Mapped", "old", "new", "channel", "since (UTC)", "by", "")
    for each in kept:
        at = each["at"][:16].replace("T", " ")
        note = "rests: the org has the old one" if each["rests"] else ""
        listings = [
            f"{one['channel']} still lists it, and shows {one['shows']}" for one in each["still_listed"]
        ]
        note = "; ".join([*([note] if note else []), *listings, *(["rename it there"] if listings else [])])
        made.add_row(each["old"], each["new"], each["channel"] or "all", at, each["by"], note)
    out.print(made)


@app.command("remove")
def remove(
    old: Annotated[str, typer.Argument(help="The old SKU.")],
    channel: Annotated[
        str | None, typer.Option(help="The channel or till, where the mapping is its own.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Keep a mapping no longer. What was entered by it stays, and so do the order lines that it named.

    Exit codes: 0 removed; 1 there is none; 2 wrong settings; 3 no store.
    """
    settings = settings_or_exit(config)
    wish = {"old": old, **({"channel": channel} if channel else {})}
    try:
        status, answer = DaemonClient(settings).attempt("/v1/sku-mappings/remove", wish)
        if status not in (200, 404):
            fail(f"the daemon answered {status}: {answer.get('detail') or answer}")
        gone = status == 200
    except httpx.HTTPError:
        gone = _store(settings).write_now(lambda tx: tx.drop_sku_mapping(old, channel or ""))
    if as_json:
        print_json({"old": old, "channel": channel, "removed": gone})
    else:
        out.print(f"{old} is mapped no longer." if gone else f"{old} is not mapped.")
    raise typer.Exit(0 if gone else 1)


def give_file(
    file: Annotated[Path, typer.Argument(help="A CSV file: old, new and, if wanted, channel.")],
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, a dry run.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Keep the good rows although others are bad.")
    ] = False,
    yes_change: Annotated[
        int | None,
        typer.Option(help="Apply although so many SKUs are mapped anew; must be that very number.", min=0),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Mend letters of unknown SKUs in bulk: say what each old SKU is in the org. Without --apply a dry run.

    The mappings are kept (`sfsync mapping list`): what comes later under the old SKU is entered as the new
    one too. What channels show is not mapped: an item listed under the old SKU gets no number, because two
    listings of the same units would sell each of them twice. Rename it there; the list names what is left.
    The same file again does nothing. Works with and without a running daemon.

    Exit codes: 0 done, or nothing is wrong; 1 rows are bad; 2 wrong settings; 3 the file cannot be read, or
    no store; 4 stopped, because so many would be mapped: look, then give --yes-change.
    """
    settings = settings_or_exit(config)
    try:
        raw = file.read_bytes()
        sheet = read(decode(raw))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except FileError as error:
        fail(f"{file}: {error}. Nothing was mapped.")
    told = _asked(settings, raw, apply=apply, partial=partial, yes_change=yes_change)
    if told is None:
        told = _done_here(settings, sheet, apply=apply, partial=partial, yes_change=yes_change)
    if as_json:
        print_json({"file": str(file), **told})
    else:
        _show(file, told, apply=apply, partial=partial)
    if apply and told["asks"] and not told["applied"] and (partial or not told["errors"]):
        err.print(
            f"{counted(told['new'], 'SKU')} would be mapped anew, and the org has {told['skus']}. "
            f"Nothing was changed: look at the rows, then give --yes-change {told['new']}",
            style="red",
        )
        raise typer.Exit(STOPPED)
    raise typer.Exit(1 if told["errors"] else 0)


def _asked(
    settings: Settings, raw: bytes, *, apply: bool, partial: bool, yes_change: int | None
) -> dict[str, Any] | None:
    """The running daemon's answer; None when none runs."""
    words = [] if apply else ["dry_run=true"]
    words += ["partial=true"] if partial else []
    words += [f"yes_change={yes_change}"] if yes_change is not None else []
    client = DaemonClient(settings)
    try:
        with waiting(client, "mapping"):
            status, answer = client.send(f"/v1/sku-mappings?{'&'.join(words)}", raw, "text/csv")
    except httpx.HTTPError:
        return None
    if "rows" not in answer:
        fail(f"the daemon answered {status}: {answer.get('detail') or answer}")
    names = ("rows", "errors", "new", "kept", "letters", "asks", "skus", "applied")
    return {name: answer[name] for name in names}


def _done_here(
    settings: Settings, sheet: Sheet, *, apply: bool, partial: bool, yes_change: int | None
) -> dict[str, Any]:
    store, now, by = _store(settings), datetime.now(UTC), user_name()
    parties = sku_mappings.Parties.of(settings.assortment(), settings.tills)
    try:
        with bar("mapping") as shown:
            tell = shown.show
            if not apply:
                return store.read_now(lambda tx: sku_mappings.look(tx, sheet, parties, tell))
            return store.write_now(
                lambda tx: sku_mappings.give(
                    tx, sheet, parties, by, now, tell, partial=partial, yes_change=yes_change
                )
            )
    except TryLater as error:
        fail(f"{error}; start the daemon, and give this again when it has read them")


def _store(settings: Settings) -> Database:
    try:
        return open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))


def _show(file: Path, told: dict[str, Any], *, apply: bool, partial: bool) -> None:
    bad, rows = told["errors"], told["rows"]
    if bad:
        count = len(bad) + len(rows)
        made = table(f"{file}: {of_rows(len(bad), count)} bad", ("line", "right"), "SKU", "what", "remedy")
        for row in bad:
            made.add_row(str(row["line"]), *(row[name] for name in ("sku", "detail", "remedy")))
        out.print(made)
    if rows:
        made = table("Mappings", ("line", "right"), "old", "new", "channel", "state", ("letters", "right"))
        for row in rows[:SHOWN]:
            names = row["old"], row["new"], row["channel"] or "all", row["state"]
            made.add_row(str(row["line"]), *names, str(len(row["letters"])))
        out.print(made)
        if len(rows) > SHOWN:
            out.print(f"… and {len(rows) - SHOWN} more: --json lists them all.")
    letters = counted(told["letters"], "dead letter")
    if told["applied"]:
        done = f"{told['new']} mapped, {told['kept']} kept before; {letters} tried again."
    elif not apply:
        done = f"Nothing was changed: --apply would map {told['new']} and try {letters} again."
    elif bad and not partial:
        done = "Nothing was mapped. Mend the rows, or give --partial to keep the good ones."
    else:
        return
    out.print(done)
