"""What an admin types. Each command has a table for people, `--json` for scripts, and documented exit codes.

0  done, all well
1  done, but something needs a person (differences, dead letters, not green)
2  the configuration is wrong; nothing was started
3  what the command needs is not there (no daemon, no store)
4  `check` found something fatal; `resync` stopped, because more would change than may happen unasked
"""

from __future__ import annotations

import typer

from sfsync import __version__
from sfsync.cli import (
    channel,
    check,
    count,
    coverage,
    dead_letters,
    drift,
    edition,
    exposure,
    incidents,
    init,
    ledger,
    mapping,
    refunds,
    reload,
    report,
    reservations,
    resync,
    run,
    sandbox,
    shadow,
    status,
    till,
    transfer,
    why,
)
from sfsync.cli.common import Commands
from sfsync.cli.demo import demo
from sfsync.cli.rehearse import rehearse

app = typer.Typer(
    name="sfsync",
    cls=Commands,
    help="Keeps every storefront's stock equal to the Salesforce org's ledger: the last one is sold once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("init")(init.init)
app.command("check")(check.check)
app.command("reload")(reload.reload)
app.command("status")(status.status)
app.command("resync")(resync.resync)
app.command("drift")(drift.drift)
app.command("coverage")(coverage.coverage)
app.command("exposure")(exposure.exposure)
app.command("why")(why.why)
app.command("reservations")(reservations.reservations)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(mapping.app, name="mapping")
app.command("demo")(demo)
app.command("rehearse")(rehearse)
app.add_typer(channel.app, name="channel")
app.add_typer(count.app, name="count")
app.add_typer(report.app, name="report")
app.add_typer(incidents.app, name="incidents")
app.add_typer(refunds.app, name="refunds")
app.add_typer(till.app, name="till")
app.add_typer(transfer.app, name="transfer")
app.add_typer(edition.app, name="edition")
app.add_typer(ledger.app, name="ledger")
app.add_typer(shadow.app, name="shadow")
app.add_typer(sandbox.app, name="sandbox")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sfsync {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """sfsync: one stock, sold once."""


def main() -> None:
    """The console script."""
    app()
