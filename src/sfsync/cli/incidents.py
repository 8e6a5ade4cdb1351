"""`sfsync incidents`: what went wrong in the shop, and the ways out of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
from sfsync.cli.tables import utc
from sfsync.domain.incidents import Way
from sfsync.domain.words import counted
from sfsync.ports import Incident, Resolution, Tx
from sfsync.store import StoreError, open_store
from sfsync.web.incident_rows import incident_row
from sfsync.web.status_shape import IncidentRow

app = typer.Typer(invoke_without_command=True)


@app.callback()
def incidents(
    context: typer.Context, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List open incidents, newest first, with whose promises are at stake and the ways out of each.

    An oversold order closes by itself when stock covers it; `sfsync incidents resolve` takes a way out.

    Exit codes: 0 none needs a person; 1 some do; 2 wrong settings; 3 no store.
    """
    if context.invoked_subcommand is not None:
        return
    settings = settings_or_exit(config)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    now = datetime.now(UTC)
    found = store.read_now(_read)
    client = DaemonClient(settings)
    rows = [_row(each, decided, now, client) for each, decided in found]
    if as_json:
        print_json([_json(each, row) for (each, _), row in zip(found, rows, strict=True)])
    elif not found:
        out.print("No open incidents.")
    else:
        _print([each for each, _ in found], rows)
    raise typer.Exit(0 if all(each.waits(now) for each, _ in found) else 1)


def _read(tx: Tx) -> list[tuple[Incident, list[Resolution]]]:
    found = tx.incidents()
    decided = tx.resolutions([each.id for each in found])
    return [(each, [one for one in decided if one.incident == each.id]) for each in found]


def _row(incident: Incident, decided: list[Resolution], now: datetime, client: DaemonClient) -> IncidentRow:
    """The incident with its ways out: which channels take a cancellation only the running daemon knows."""
    row = incident_row(incident, decided, None, now)
    if Way.CANCEL.value in row["ways"] and (told := client.peek(f"/v1/incidents/{incident.id}")) is not None:
        row["ways"] = told["ways"]
    return row


def _json(incident: Incident, row: IncidentRow) -> dict[str, Any]:
    return {**row, "key": incident.key, "advice": row["detail"], "detail": incident.detail}


def _print(found: list[Incident], rows: list[IncidentRow]) -> None:
    made = table(
        counted(len(found), "open incident"), ("id", "right"), "opened (UTC)", "kind", "what", "ways out"
    )
    for incident, row in zip(found, rows, strict=True):
        what = [incident.title]
        what += [
            f"  {_order(order)}: {'has its stock' if order['covered'] else 'no stock covers it'}"
            for order in row["orders"]
        ]
        what += [
            f"  {each['what']}, {each['by']}: {each['reason']} ({each['stage']}"
            + (f": {each['answer']})" if each["answer"] else ")")
            for each in row["resolutions"]
        ]
        at = utc(incident.opened_at.isoformat())
        made.add_row(str(incident.id), at, incident.kind, "\n".join(what), ", ".join(row["ways"]))
    out.print(made)


def _order(order: Any) -> str:
    named = f" ({order['promise']})" if order["promise"] else ""
    return f"{order['order']} at {order['channel']}, {order['units']}{named}"


Number = Annotated[int, typer.Argument(help="The incident's id, as `sfsync incidents` lists it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the ledger with your name.")]
By = Annotated[
    str, typer.Option("--by", help="Your name; when not said, that of your login.", show_default=False)
]
Move = Annotated[
    str | None,
    typer.Option("--move", metavar="LOCATION", help="Take the units at this location, if it has them."),
]
Wait = Annotated[
    bool, typer.Option("--wait-for-receipt", help="Goods are coming: it may wait, and is not red until then.")
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        formats=["%Y-%m-%d"],
        help="The last day of waiting; when not said, in 14 days.",
    ),
]
Cancel = Annotated[
    bool,
    typer.Option("--cancel-at-channel", help="Have the order's channel cancel it, without restock."),
]
Accept = Annotated[bool, typer.Option("--accept", help="It is as it is, and over.")]
Promise = Annotated[
    str | None,
    typer.Option(help="Whose units, where several are at stake; when not said, the newest."),
]
Whole = Annotated[bool, typer.Option("--whole-order", help="Cancel although the order has other lines too.")]
Substitute = Annotated[
    str | None,
    typer.Option(
        "--substitute", metavar="SKU", help="Take as many of this SKU instead; with --move, at that location."
    ),
]
Refund = Annotated[
    bool,
    typer.Option(
        "--refund",
        help="With --cancel-at-channel: give the money back, the way it came. Alone: give the goods up, and "
        "owe the customer the money (`sfsync refunds`).",
    ),
]
Notify = Annotated[bool, typer.Option("--notify", help="Have the channel write to the customer.")]


@app.command("resolve")
def resolve(
    number: Number,
    reason: Reason,
    move: Move = None,
    wait: Wait = False,
    until: Until = None,
    cancel: Cancel = False,
    accept: Accept = False,
    substitute: Substitute = None,
    promise: Promise = None,
    whole_order: Whole = False,
    refund: Refund = False,
    notify: Notify = False,
    by: By = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take one way out of an incident. Doing the same twice is doing it once.

    Exit codes: 0 done; 1 written down, and done when the org or the channel answers; 2 wrong settings or
    command line; 3 refused, or no daemon.
    """
    ways = {
        "move": move is not None and substitute is None,
        "substitute": substitute is not None,
        "refund": refund and not cancel,
        "wait": wait,
        "cancel": cancel,
        "accept": accept,
    }
    chosen = [way for way, given in ways.items() if given]
    if len(chosen) != 1:
        one_of = (
            "--move LOCATION, --substitute SKU, --refund, --wait-for-receipt, --cancel-at-channel, --accept"
        )
        fail(f"Say one of {one_of}.", 2)
    body: dict[str, Any] = {"way": chosen[0], "reason": reason, "by": by or user_name(), "location": move}
    body |= {"promise": promise, "whole_order": whole_order, "refund": refund and cancel, "notify": notify}
    body["sku"] = substitute
    if wait or until is not None:
        day = (until or datetime.now(UTC) + timedelta(days=14)).replace(tzinfo=UTC)
        body["until"] = day.replace(hour=23, minute=59, second=59, microsecond=0).isoformat()
    client = DaemonClient(settings_or_exit(config))
    try:
        told = client.post(f"/v1/incidents/{number}/resolution", body)
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")
    if as_json:
        print_json(told)
    elif told["stage"] == "asked":
        out.print("Written down; it is done when the org or the channel answers: `sfsync incidents`.")
    else:
        out.print(_done(number, told, body))
    raise typer.Exit(1 if told["stage"] == "asked" else 0)


def _done(number: int, told: dict[str, Any], body: dict[str, Any]) -> str:
    if told["answer"]:
        return f"Incident {number}: {told['answer']}."
    match body["way"]:
        case "move":
            whose = f" for order {told['order']}" if told.get("order") else ""
            return f"Incident {number}: {told.get('units', 'its units')} taken at {body['location']}{whose}."
        case "substitute":
            return f"Incident {number}: {told.get('units')} of {body['sku']} taken instead."
        case "refund":
            owed = f"refund {told['refund_task']} is owed to {told['owner']}"
            return f"Incident {number} is over, and {owed}: `sfsync refunds` lists it until it is paid back."
        case "wait":
            return f"Incident {number} may wait until {body['until'][:10]}."
        case _ if "units" in told:
            return f"Incident {number}: {told['units']} set aside for {told.get('channel')} released."
        case _:
            return f"Incident {number} is accepted, and over."
