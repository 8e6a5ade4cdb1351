"""`sfsync channel`: which kinds there are, whether a channel can be spoken to, and what it tells us."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, TypeVar

import httpx
import typer
from rich.text import Text

from sfsync import kinds
from sfsync.app import SystemClock, open_one
from sfsync.channels import BadConfigError
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
from sfsync.domain.letters import LONGEST_NAME, LONGEST_REASON
from sfsync.domain.subscriptions import Act, Step, plan
from sfsync.domain.words import counted
from sfsync.flow import forgetting
from sfsync.ports import Channel, Finding, OutsideError, Severity, Subscriber, Unknown
from sfsync.settings import Settings
from sfsync.settings.channel import BUILT_IN
from sfsync.store import StoreError, open_store

app = typer.Typer(
    help="Channels: which kinds there are, whether one can be spoken to, what it tells us; and their end.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The channel's name in the settings.")]
_T = TypeVar("_T")


@app.command("kinds")
def list_kinds(as_json: JsonOption = False) -> None:
    """List the kinds of channel that settings can name: ours, and those of installed packages.

    Exit codes: 0 all can be used; 1 one of a package cannot be loaded, or is offered twice.
    """
    rows = [{"kind": kind, "from": "sfsync", "place": "", "problem": ""} for kind in sorted(BUILT_IN)]
    for offer in kinds.offers():
        problem = ""
        if offer.kind in BUILT_IN:
            problem = "not used: a built-in kind cannot be replaced"
        else:
            try:
                kinds.load(offer.kind)
            except kinds.BadKindError as error:
                problem = str(error)
        rows.append({"kind": offer.kind, "from": offer.package, "place": offer.place, "problem": problem})
    if as_json:
        print_json(rows)
    else:
        made = table("Kinds of channel", "kind", "from", "place", "problem")
        for row in rows:
            made.add_row(*row.values())
        out.print(made)
    raise typer.Exit(1 if any(row["problem"] for row in rows) else 0)


@app.command("check")
def check(name: Name, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Ask a channel whether everything that sfsync needs is in order there. Changes nothing; needs no daemon.

    Exit codes: 0 all well; 1 something is to be mended; 2 wrong settings; 3 the channel was not reached.
    """
    settings = settings_or_exit(config)
    findings = _with(settings, name, lambda channel: channel.check())
    if as_json:
        print_json(
            [
                {
                    "severity": each.severity.value,
                    "finding": each.what,
                    "why": each.why,
                    "remedy": each.remedy,
                }
                for each in findings
            ]
        )
    else:
        _show_findings(findings)
    raise typer.Exit(1 if any(each.severity is not Severity.GOOD for each in findings) else 0)


@app.command("setup")
def setup(
    name: Name,
    config: ConfigOption = DEFAULT_CONFIG,
    address: Annotated[
        str | None,
        typer.Option(
            help="Where the channel reaches us, like https://stock.example.com; else web.public_url."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have a channel send the webhooks that sfsync reads: create what is missing, remove what is stale.

    Only those to …/webhooks/NAME are ours; what others subscribed to with the same app is left alone. Doing
    it twice changes nothing. Needs no daemon; one that runs hears the webhooks from then on.

    A channel that cannot be told which webhooks to send (Amazon, Mirakl, callbacks, Vendure) is not changed:
    it is said how it tells of its orders, and what can be checked there is.

    Exit codes: 0 in order now; 1 with --dry-run: something would change, or something is to be mended; 2
    wrong settings; 3 not reached, or refused.
    """
    settings = settings_or_exit(config)
    if (without := _with(settings, name, _without_setup)) is not None:
        _tell_without(name, *without, as_json=as_json)
    base = address or settings.web.public_url
    if not base:
        fail("where does the channel reach us? Give --address, or web.public_url in the settings", 2)
    if not base.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
        fail(f"--address: {base!r} is no https:// address; nobody sends webhooks in the clear", 2)
    steps = _with(settings, name, lambda channel: _set_up(channel, base, dry_run=dry_run))
    changes = [step for step in steps if step.act in (Act.CREATE, Act.REMOVE)]
    if as_json:
        print_json(
            {
                "applied": not dry_run,
                "steps": [
                    {
                        "act": step.act.value,
                        "topic": step.subscription.topic,
                        "address": step.subscription.address,
                        "why": step.why,
                    }
                    for step in steps
                ],
            }
        )
    else:
        _show_steps(name, steps, dry_run=dry_run)
    raise typer.Exit(1 if dry_run and changes else 0)


@app.command("forget")
def forget(
    name: Annotated[str, typer.Argument(help="The channel's name, as it was in the settings.")],
    reason: Annotated[str, typer.Option(help="Why it is over; kept with the dead letters that are dropped.")],
    by: Annotated[str | None, typer.Option(help="Who says so; your user name by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Forget it without being asked.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End a channel that was taken out of the settings: forget its numbers, drop its dead letters.

    Until then all of it is kept, so that it goes on where it was should it come back; afterwards it would
    begin as a new one. Its orders stay, and so do the units that they hold, movements and incidents. Not
    while units are set aside for it: withdraw those first. Works with and without a running daemon.

    Exit codes: 0 forgotten; 1 nothing is kept of it, units are set aside for it, or nobody said yes; 2 wrong
    settings or words, or it is in the settings; 3 no store, or the daemon refuses.
    """
    settings = settings_or_exit(config)
    who, because = (by or user_name()).strip(), reason.strip()
    if not because or len(because) > LONGEST_REASON or not who or len(who) > LONGEST_NAME:
        fail(f"--reason has 1 to {LONGEST_REASON} characters, --by at most {LONGEST_NAME}", 2)
    if name in settings.channels:
        fail(f"{name} is in the settings: take it out there first, and restart the daemon", 2)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    found = store.read_now(lambda tx: forgetting.look(tx, name, settings.channels))
    if found.problem or found.left is None:
        fail(f"{found.detail}. Nothing was forgotten.", 1)
    if not yes:
        if as_json or not sys.stdin.isatty():
            fail(f"{found.left.sentence} Nothing was forgotten: give --yes to do it without being asked.", 1)
        out.print(found.left.sentence)
        if not typer.confirm(f"Forget {name} for good?"):
            raise typer.Exit(1)
    told: Any = found.left.row()
    try:
        wish = {"channel": name, "by": who, "reason": because}
        status, told = DaemonClient(settings).attempt("/v1/channels/forget", wish)
        if status != HTTPStatus.OK:
            fail(f"the daemon answered {status}: {told.get('detail') or told}")
    except httpx.HTTPError:  # none runs
        part = partial(forgetting.forget_part, channel=name, by=who, reason=because)
        while store.write_now(partial(part, now=datetime.now(UTC))):
            pass
    if as_json:
        print_json(told)
        return
    what = [("numbers", "number"), ("dead_letters", "dead letter"), ("drifts", "drift")]
    out.print(f"{name} is forgotten: {', '.join(counted(told[key], one) for key, one in what)}.")
    if told["open_lines"]:
        lines = counted(told["open_lines"], "line of its orders holds", "lines of its orders hold")
        out.print(f"{lines} units on, and nobody tells sfsync what becomes of them: enter that in the org.")


async def _without_setup(channel: Channel) -> tuple[str, Sequence[Finding]] | None:
    """How a channel tells of its orders that is told nothing about it, and what is found there; else None."""
    if isinstance(channel, Subscriber):
        return None
    ability = channel.ability
    if ability.webhooks:
        how = "its webhooks are set up on its own side: see the page of its kind in docs/"
    elif ability.tells_orders:
        every = f"{ability.orders_every_seconds:g}"
        how = f"it sends no webhooks: its order list is read, and counts as known for {every} s"
    else:
        how = "it sends no webhooks and has no orders to tell: its shoppers' reservations are its orders"
    return how, await channel.check()


def _tell_without(name: str, how: str, findings: Sequence[Finding], *, as_json: bool) -> NoReturn:
    good = all(each.severity is Severity.GOOD for each in findings)
    if as_json:
        told = [
            {"severity": each.severity.value, "finding": each.what, "remedy": each.remedy}
            for each in findings
        ]
        print_json({"applied": False, "steps": [], "why": how, "findings": told})
    else:
        out.print(f"Nothing is to be set up at {name}: {how}.")
        _show_findings(findings)
    raise typer.Exit(0 if good else 1)


def set_up_now(settings: Settings, name: str, base: str) -> None:
    """Have a channel send its webhooks to an address; leaves with a message and a code where it does not."""
    _with(settings, name, lambda channel: _set_up(channel, base, dry_run=False))


async def _set_up(channel: Channel, base: str, *, dry_run: bool) -> Sequence[Step]:
    if not isinstance(channel, Subscriber):
        fail(f"{channel.name} cannot be told which webhooks to send: see the page of its kind in docs/")
    steps = plan(channel.name, base, channel.topics, await channel.subscriptions())
    for step in () if dry_run else steps:
        if step.act is Act.CREATE:
            await channel.subscribe(step.subscription.topic, step.subscription.address)
        elif step.act is Act.REMOVE:
            await channel.unsubscribe(step.subscription)
    return steps


def _with(settings: Settings, name: str, work: Callable[[Channel], Awaitable[_T]]) -> _T:
    """Open the channel, work, close it; or say why not."""
    if name not in settings.channels:
        known = ", ".join(sorted(settings.channels))
        fail(f"{name!r} is none of {known}" if known else "these settings have no channel", 2)

    async def run() -> _T:
        channel = open_one(name, settings.channels[name], SystemClock(), read_only=settings.shadow.enabled)
        try:
            return await work(channel)
        finally:
            await channel.close()

    try:
        return asyncio.run(run())
    except BadConfigError as error:
        fail(str(error), 2)
    except Unknown as error:
        fail(f"{error}. It may be done: run the command again, it changes only what is still to change")
    except OutsideError as error:
        advice = getattr(error, "advice", "")
        fail(f"{error}. {advice}" if advice else str(error))


def _show_findings(findings: Sequence[Finding]) -> None:
    colours = {Severity.GOOD: "green", Severity.WARNING: "yellow", Severity.FATAL: "red"}
    made = table("Check", "", "finding", "remedy")
    for each in findings:
        made.add_row(Text(each.severity.value, colours[each.severity]), each.what, each.remedy)
    out.print(made)


def _show_steps(name: str, steps: Sequence[Step], *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    done = {Act.CREATE: f"{would}created", Act.REMOVE: f"{would}removed"}
    made = table(f"Webhooks of {name}", "topic", "address", "", "why")
    for step in steps:
        word = done.get(step.act, step.act.value)
        made.add_row(step.subscription.topic, step.subscription.address, word, step.why)
    out.print(made)
    changes = sum(step.act in done for step in steps)
    if not changes:
        out.print("Everything is in order; nothing was changed.")
    elif dry_run:
        out.print(f"{changes} would change: run it without --dry-run.")
