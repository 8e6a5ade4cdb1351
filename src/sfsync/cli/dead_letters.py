"""`sfsync dead-letters`: what a person must look at."""

from __future__ import annotations

from typing import Annotated

import typer

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    err,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.store import StoreError, open_store


def dead_letters(
    config: ConfigOption = DEFAULT_CONFIG,
    drop: Annotated[
        list[int] | None, typer.Option("--drop", help="Forget the item with this id; may be given again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the items that were set aside, each with its reason and advice.

    What mends itself (a stock level that appears, an item put right by `sfsync resync`) leaves the list by
    itself; what you have dealt with you drop.

    Exit codes: 0 there are none; 1 there are some; 2 wrong settings; 3 no store.
    """
    settings = settings_or_exit(config)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    if drop:
        missing = store.write_now(
            lambda tx: [number for number in drop if not tx.drop_dead_letter_id(number)]
        )
        for number in missing:
            err.print(f"[yellow]there is no dead letter {number}[/]")
    letters = store.read_now(lambda tx: tx.dead_letters())
    if as_json:
        print_json(
            [
                {
                    "id": letter.id,
                    "source": letter.source,
                    "key": letter.key,
                    "reason": letter.reason,
                    "advice": letter.advice,
                    "payload": letter.payload,
                    "at": letter.at.isoformat(),
                }
                for letter in letters
            ]
        )
    elif not letters:
        out.print("No dead letters.")
    else:
        made = table(
            f"{len(letters)} dead letters", ("id", "right"), "at", "source", "item", "reason", "advice"
        )
        for letter in letters:
            at = letter.at.isoformat(timespec="seconds")
            made.add_row(str(letter.id), at, letter.source, letter.key, letter.reason, letter.advice)
        out.print(made)
    raise typer.Exit(1 if letters else 0)
