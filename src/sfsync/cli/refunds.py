"""`sfsync refunds`: money that is owed to customers whose goods are not to be had."""

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
    user_name,
)
from sfsync.store import StoreError, open_store
from sfsync.web.refunds import refund_row

MOST = 1_000_000

app = typer.Typer(invoke_without_command=True)
All = Annotated[bool, typer.Option("--all", help="Those too that are paid back, or owed no more.")]
Number = Annotated[int, typer.Argument(help="The refund's id, as `sfsync refunds` lists it.")]
By = Annotated[
    str, typer.Option("--by", help="Your name; when not said, that of your login.", show_default=False)
]


@app.callback()
def refunds(
    context: typer.Context,
    everything: All = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List what is owed: who owes whom, for which order and which pieces, since when and why.

    A refund is opened as the way out of `paid and not available` (`sfsync incidents resolve --refund`). It is
    closed by `sfsync refunds done`, or by itself when its channel's order says that the money has gone back.

    Exit codes: 0 nothing is owed; 1 something is; 2 wrong settings; 3 no store.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        store = open_store(settings_or_exit(config).store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    rows = [
        refund_row(task)
        for task in store.read_now(lambda tx: tx.refunds(open_only=not everything, limit=MOST))
    ]
    if as_json:
        print_json(rows)
    elif not rows:
        out.print("Nothing was ever owed." if everything else "Nothing is owed.")
    else:
        _show(rows)
    raise typer.Exit(1 if any(row["state"] == "open" for row in rows) else 0)


@app.command("done")
def done(
    number: Number,
    reason: Annotated[str, typer.Option(help="How it was paid back: a receipt, the payment's number.")],
    by: By = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """The customer has the money. Saying it twice is saying it once.

    Exit codes: 0 closed; 2 wrong settings; 3 refused, or no daemon.
    """
    _close(number, "refunded", reason, by, config, as_json=as_json)


@app.command("withdraw")
def withdraw(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why the money is owed no more.")],
    by: By = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """It is owed no more: the customer took something else, or was paid in another way.

    Exit codes: 0 closed; 2 wrong settings; 3 refused, or no daemon.
    """
    _close(number, "withdrawn", reason, by, config, as_json=as_json)


def _close(number: int, ending: str, reason: str, by: str, config: Any, *, as_json: bool) -> None:
    client = DaemonClient(settings_or_exit(config))
    body = {"ending": ending, "reason": reason, "by": by or user_name()}
    try:
        told = client.post(f"/v1/refunds/{number}/close", body)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(told)
    else:
        out.print(f"Refund {number} is {told['state']}: {told['said']} ({told['closed_by']}).")


def _show(rows: Any) -> None:
    made = table("Refunds", ("id", "right"), "since (UTC)", "who owes", "to whom", "for", "why", "state")
    for row in rows:
        pieces = ", ".join(f"{line['units']} {line['sku']}" for line in row["lines"])
        order = f"{pieces}\norder {row['order_reference']}\n{row['reservation']}"
        state = row["state"]
        if row["closed_at"]:
            state += f" {row['closed_at'][:16].replace('T', ' ')}\n{row['closed_by']}: {row['said']}"
        made.add_row(
            str(row["id"]),
            row["opened_at"][:16].replace("T", " "),
            *(row[name] for name in ("debtor", "creditor")),
            order,
            f"{row['reason']} ({row['opened_by']})",
            state,
        )
    out.print(made)
