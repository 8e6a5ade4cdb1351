"""`sfsync resync`: compare org and channels, show the differences with their causes, put them right."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import httpx
import orjson
import typer

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    DaemonClient,
    JsonOption,
    err,
    fail,
    out,
    past_moment,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.cli.progress import Bar, bar
from sfsync.domain.coverage import ACCEPTED
from sfsync.domain.resync import RIGHT_ALREADY
from sfsync.domain.words import counted

ROWS_SHOWN = 40
ROWS_A_STEP = 200  # of a plan, from one drawing of its bar to the next
ASKED_EVERY_SECONDS = 0.25
AWAY_SECONDS = 120.0  # for which a daemon that is started anew is waited for
STOPPED = 4  # the exit code of a plan that would change too much
PART_BYTES = 200_000  # of a plan in one request
ROOM_BYTES = 500  # for what stands beside its rows
NEEDED = ("channel", "sku", "location", "shows", "target", "cause")
_ROW_NUMBER = re.compile(r"^rows\[(\d+)\]")
NOT_OURS = "the channel does not list this SKU"  # nobody need mend that


def resync(
    config: ConfigOption = DEFAULT_CONFIG,
    sku: Annotated[list[str] | None, typer.Option(help="Only this SKU; may be given again.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only this channel; may be given again.")] = None,
    location: Annotated[
        list[str] | None,
        typer.Option(help="Only this location of a channel, or of the org that it sells from."),
    ] = None,
    changed_since: Annotated[
        str | None,
        typer.Option(help=f"Only SKUs changed since: {ACCEPTED}; without an offset, this machine's clock."),
    ] = None,
    cause: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this cause: missed-event, manual-edit, order-unseen, mapping, push-refused, push-due, "
            "settings-held, count-pending, first-start."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="With --dry-run: write the plan to this file, to be looked at.")
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Apply the plan in this file instead.")] = None,
    without_org: Annotated[
        bool, typer.Option("--without-org", help="Do not read the org's levels; believe ours.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")] = False,
    yes_change: Annotated[
        int | None,
        typer.Option(help="Apply although so many numbers change; must be the plan's very number.", min=0),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what channels show with what the org has, and bring them there.

    Reads the org whole (Bulk API 2.0) unless SKUs or a time are given. Needs the running daemon, which goes
    on with it after a restart. Applying a channel's first plan, whole, approves the channel for pushing. A
    row whose facts are others by the time it is applied is refused and told. With --json nobody is asked: the
    plan is told, and applied only with --yes or --yes-change.

    Exit codes: 0 nothing differs of what was asked for, or applied; 1 differences remain (dry run, declined,
    refused rows, or some for a person to mend), or a channel was not read; 2 wrong settings, wishes (a
    location or SKU that nobody knows, a time that lies ahead) or plan file; 3 no daemon; 4 stopped, because
    more of a channel would change than its ask_above_percent allows, or changed settings wait for a person
    there: look, then give --yes-change.
    """
    settings = settings_or_exit(config)
    client = DaemonClient(settings)
    since = None
    if changed_since is not None:
        since = past_moment("--changed-since", changed_since, datetime.now(UTC)).isoformat()
    scope = {
        "skus": sku,
        "channels": channel,
        "locations": location,
        "changed_since": since,
        "causes": cause,
        "org": not without_org,
    }
    try:
        put_right(
            client,
            scope,
            plan=plan,
            part_bytes=min(PART_BYTES, settings.web.max_body_bytes),
            write=write,
            dry_run=dry_run,
            yes=yes,
            yes_change=yes_change,
            as_json=as_json,
        )
    except httpx.HTTPError:
        fail(f"no daemon answers at {client.address}; start it with `sfsync run`")


def put_right(
    client: DaemonClient,
    scope: dict[str, Any],
    *,
    plan: Path | None = None,
    part_bytes: int = PART_BYTES,
    write: Path | None = None,
    dry_run: bool = False,
    yes: bool = False,
    yes_change: int | None = None,
    as_json: bool = False,
) -> NoReturn:
    """Compare or bring a plan, show it, ask, apply; ends with the exit code that says how it went."""
    run = _brought(client, plan, part_bytes) if plan is not None else _compared(client, scope)
    seen = _Rows(keep=as_json)
    with bar("fetching the plan") as shown:
        rows = _counted(shown, _rows(client, run), sum(each["rows"] for each in run["causes"]))
        if write is not None:
            _write(write, run, seen.looked_at(rows))
        else:
            seen.look_at(rows)
    if not as_json:
        _show(run, seen)
    applied = False
    if _wanted(run, dry_run=dry_run, yes=yes or yes_change is not None, ask=not as_json):
        beside = {**run, "rows": seen.kept, "applied": False}
        run = _watched(client, _apply(client, run, yes_change, beside), "applying")
        seen, applied = _Rows(keep=as_json), True
        seen.look_at(_rows(client, run))
    if as_json:
        print_json({**run, "rows": seen.kept, "applied": applied})
    elif applied:
        _tell_applied(run, seen)
    left = seen.for_people - (seen.applied if applied else 0)
    raise typer.Exit(1 if left or run["unread"] else 0)


class _Rows:
    """A plan's rows, of which all are looked at and some are shown: there may be half a million."""

    def __init__(self, *, keep: bool) -> None:
        self.count = self.for_people = self.applied = self.right = self.changed = 0
        self.first: list[Any] = []
        self.refused: list[Any] = []
        self.left: Counter[str] = Counter()  # by why they were
        self.kept: list[Any] = []
        self._keep = keep

    def look_at(self, rows: Iterable[Any]) -> None:
        """All of them."""
        for _ in self.looked_at(rows):
            pass

    def looked_at(self, rows: Iterable[Any]) -> Iterator[Any]:
        """They, one by one."""
        for row in rows:
            self.count += 1
            if row["cause"] != NOT_OURS:
                self.for_people += 1
                self.applied += row["state"] == "applied"
            if row["note"] == RIGHT_ALREADY:
                self.right += 1
            if row["state"] == "changed":
                self.changed += 1
                self.refused += [row] if len(self.refused) < ROWS_SHOWN else []
            if row["state"] == "left":
                self.left[row["note"]] += 1
            self.first += [row] if row["cause"] != NOT_OURS and len(self.first) < ROWS_SHOWN else []
            self.kept += [row] if self._keep else []
            yield row


def _compared(client: DaemonClient, scope: dict[str, Any]) -> Any:
    return _watched(client, _sent(client, "/v1/resync", scope), "comparing")


def _brought(client: DaemonClient, path: Path, part_bytes: int) -> Any:
    """The plan in a file, taken in by the daemon: in parts, where it is larger than a request may be."""
    try:
        written = orjson.loads(path.read_bytes())
    except OSError as error:
        fail(f"{path}: {error.strerror}", 2)
    except orjson.JSONDecodeError as error:
        fail(f"{path}, line {error.lineno}: is no JSON ({error.msg}); write it with --dry-run --write", 2)
    if not isinstance(written, dict):
        fail(f"{path}: is no plan; write one with --dry-run --write", 2)
    head = {name: written[name] for name in ("version", "org", "made_at") if name in written}
    rows = written.get("rows")
    if not isinstance(rows, list) or not rows:
        return _sent(client, "/v1/resync/plan", {**head, "rows": rows}, what=f"{path}: ")
    run, done = None, 0
    with bar("bringing in") as shown:
        for part in _parts(rows, part_bytes):
            more = {"more": True} if done + len(part) < len(rows) else {}
            body = {"rows": part, **more}
            if run is None:
                run = _sent(client, "/v1/resync/plan", {**head, **body}, what=f"{path}: ")
            else:
                run = _sent(client, f"/v1/resync/{run['id']}/rows", body, what=f"{path}: ", first=done)
            done += len(part)
            shown.show("bringing in", done, len(rows))
    return run


def _parts(rows: Sequence[Any], part_bytes: int) -> Iterator[list[Any]]:
    """Rows as large together as one request may be, beside what else stands in it."""
    part: list[Any] = []
    size = ROOM_BYTES
    for row in rows:
        bare = {name: row[name] for name in NEEDED if name in row} if isinstance(row, dict) else row
        length = len(orjson.dumps(bare)) + 2
        if part and size + length > part_bytes:
            yield part
            part, size = [], ROOM_BYTES
        part.append(bare)
        size += length
    yield part


def _sent(client: DaemonClient, path: str, body: object, *, what: str = "", first: int = 0) -> Any:
    """Post a wish; what is wrong with it is told, and the exit code is 2. `first`: rows sent before."""
    status, answer = client.attempt(path, body)
    if status == 422:
        wrong = [
            _ROW_NUMBER.sub(lambda found: f"rows[{int(found[1]) + first}]", error["field"])
            + f" {error['detail']}"
            for error in answer["errors"]
        ]
        fail(
            f"{what or 'what to compare: '}{counted(len(wrong), 'mistake')}; nothing was done.",
            2,
            problems=wrong,
        )
    if status >= 400:
        fail(f"the daemon answered {status}: {answer.get('detail') or answer.get('title') or ''}")
    return answer


def _apply(client: DaemonClient, run: Any, yes_change: int | None, beside: dict[str, Any]) -> Any:
    status, answer = client.attempt(f"/v1/resync/{run['id']}/apply", {"yes_change": yes_change})
    if status == 409 and "changes" in answer:
        told = f"{answer['detail']} Nothing was changed: look at the plan, then give --yes-change "
        fail(f"{told}{answer['changes']}", STOPPED, beside={**beside, "changes": answer["changes"]})
    if status >= 400:
        fail(f"the daemon answered {status}: {answer.get('detail') or answer.get('title') or ''}")
    return answer


def _rows(client: DaemonClient, run: Any) -> Iterator[Any]:
    """All rows of a plan."""
    query = ""
    while True:
        page = client.get(f"/v1/resync/{run['id']}/rows{query}")
        yield from page["rows"]
        if page["next"] is None:
            return
        query = "?" + "&".join(f"after={quote(part)}" for part in page["next"])


def _write(path: Path, run: Any, rows: Iterable[Any]) -> None:
    """The plan for people to look at: they may take rows out, and apply what is left. A row is a line."""
    shown = {name: run[name] for name in run if name not in ("progress", "ended", "rows_done", "state")}
    head = orjson.dumps(shown, option=orjson.OPT_INDENT_2).rstrip(b"\n}")
    try:
        with path.open("wb") as file:
            file.write(head + b',\n  "rows": [')
            for number, row in enumerate(rows):
                file.write((b",\n    " if number else b"\n    ") + orjson.dumps(row))
            file.write(b"\n  ]\n}\n")
    except OSError as error:
        fail(f"{path}: {error.strerror}", 2)


def _wanted(run: Any, *, dry_run: bool, yes: bool, ask: bool) -> bool:
    if dry_run or not run["compared"]:
        return False
    if yes:
        return True
    if not ask or not sys.stdin.isatty():
        err.print("Nothing was changed: give --yes to apply without being asked.")
        return False
    return typer.confirm("Apply this plan?")


def _show(run: Any, rows: _Rows) -> None:
    for channel, why in run["unread"].items():
        err.print(f"{channel} could not be read: {why}", style="red")
    for warning in run["warnings"]:
        err.print(warning, style="yellow")
    if run["finding"]:
        out.print(run["finding"])
        return
    made = table(
        f"{counted(run['compared'], 'channel level')} compared",
        "channel",
        "cause",
        "--cause",
        ("rows", "right"),
    )
    for each in run["causes"]:
        made.add_row(each["channel"], each["cause"], each["code"], f"{each['rows']:,}")
    out.print(made)
    if rows.first:  # what a channel does not list is counted, and needs nobody
        _show_differences(rows)
    if rows.first or run["price"]["org"]["levels"]:
        _show_price(run["price"])


def _show_differences(rows: _Rows) -> None:
    made = table(
        "\nDifferences", "channel", "SKU", "location", ("shows", "right"), ("should", "right"), "cause"
    )
    for row in rows.first:
        shows, target = (str(row[key]) if row[key] is not None else "-" for key in ("shows", "target"))
        made.add_row(row["channel"], row["sku"], row["location"], shows, target, row["cause"])
    out.print(made)
    if rows.for_people > ROWS_SHOWN:
        out.print(f"… and {rows.for_people - ROWS_SHOWN:,} more: --json lists them all.")


def _show_price(price: Any) -> None:
    """What applying costs."""
    made = table(
        "\nApplying costs", "where", ("rows", "right"), ("calls", "right"), ("points", "right"), "time"
    )
    for name, of in price.items():
        if name != "org":
            points = "-" if of["points"] is None else f"{of['points']:,}"
            wait = "-" if of["minutes"] is None else _minutes(of["minutes"])
            made.add_row(name, f"{of['rows']:,}", f"{of['calls']:,}", points, wait)
    org = price["org"]
    left = "" if org["calls_left"] is None else f"{counted(org['calls_left'], 'call')} left"
    made.add_row("org", f"{org['levels']:,}", f"{org['calls']:,}", "-", left)
    out.print(made)


def _minutes(minutes: float) -> str:
    return "at once" if not minutes else f"{minutes:g} min for points"


def _tell_applied(run: Any, rows: _Rows) -> None:
    done = max(0, run["rows_done"]["applied"] - rows.right)
    if done:
        on_the_way = counted(done, "row is", "rows are")
        out.print(f"Applied: {on_the_way} on the way; `sfsync status` shows the arrival.")
    elif not (rows.left or rows.changed):
        out.print("Applied: there was nothing to change.")
    if rows.right:
        out.print(f"{counted(rows.right, 'row shows', 'rows show')} what it should already.")
    for why, count in rows.left.most_common():
        out.print(f"{counted(count, 'row was', 'rows were')} left: {why}.")
    if not rows.changed:
        return
    made = table("\nRefused, because the facts have changed", "channel", "SKU", "location", "why")
    for row in rows.refused:
        made.add_row(row["channel"], row["sku"], row["location"], row["note"])
    out.print(made)
    if rows.changed > ROWS_SHOWN:
        out.print(f"… and {rows.changed - ROWS_SHOWN:,} more.")


def _watched(client: DaemonClient, run: Any, what: str) -> Any:
    """Wait for its end, with a bar on a terminal: rate, time left, and what is left of the budgets."""
    steps = _applied_of if what == "applying" else _compared_of
    with bar(what) as shown:
        while not run["ended"]:
            done, total = steps(run)
            shown.show(what, done, total or None, _budget(run))
            time.sleep(ASKED_EVERY_SECONDS)
            run = _again(client, run, shown)
    return run


def _again(client: DaemonClient, run: Any, shown: Bar) -> Any:
    """How it stands. A daemon that is started anew goes on with it: that is waited for, for a while."""
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return client.get(f"/v1/resync/{run['id']}")
        except httpx.TransportError:
            if time.monotonic() > until:
                fail(
                    f"the daemon at {client.address} has gone; `sfsync run` goes on with what was begun, "
                    "and the page /resync shows it"
                )
        shown.spend("the daemon is away: waiting for it to go on")
        time.sleep(ASKED_EVERY_SECONDS)
        client.log_in()


def _compared_of(run: Any) -> tuple[int, int]:
    """(numbers and levels read, of how many that are known)."""
    progress = run["progress"]
    channels = progress["channels"].values()
    done = progress["org_levels"] + sum(of["read"] for of in channels)
    org = progress["org_levels"] if progress["org_done"] else progress["org_levels_held"]
    return done, org + sum(of["read"] if of["done"] else max(of["known"], of["read"]) for of in channels)


def _applied_of(run: Any) -> tuple[int, int]:
    done = sum(run["rows_done"].values())
    return done, done + run["rows_planned"]


def _budget(run: Any) -> str:
    progress = run["progress"]
    told = [f"{name} {points:,} points" for name, points in progress["points"].items() if points is not None]
    if progress["calls_left"] is not None:
        told.append(f"org {progress['calls_left']:,} calls")
    return ", ".join(told)


def _counted(shown: Bar, rows: Iterable[Any], total: int) -> Iterator[Any]:
    """They, with a bar that says how many have come."""
    for number, row in enumerate(rows, 1):
        if number % ROWS_A_STEP == 0:
            shown.show("fetching the plan", number, max(number, total))
        yield row
