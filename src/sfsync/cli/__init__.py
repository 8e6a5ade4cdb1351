"""What an admin types. Each command has a table for people, `--json` for scripts, and documented exit codes.

0  done, all well
1  done, but something needs a person (differences, dead letters, not green)
2  the configuration is wrong; nothing was done
3  what the command needs is not there (no daemon, no store)
4  `check` found something fatal; `resync` stopped, because more would change than may happen unasked
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.main import get_command, get_group

from sfsync import __version__, logs
from sfsync.cli.common import Commands

COMMANDS = {
    "run": "run",
    "init": "init",
    "check": "check",
    "reload": "reload",
    "status": "status",
    "resync": "resync",
    "drift": "drift",
    "coverage": "coverage",
    "exposure": "exposure",
    "why": "why",
    "reservations": "reservations",
    "demo": "demo",
    "rehearse": "rehearse",
    "dead-letters": "app",
    "mapping": "app",
    "channel": "app",
    "count": "app",
    "report": "app",
    "incidents": "app",
    "refunds": "app",
    "till": "app",
    "transfer": "app",
    "edition": "app",
    "allocation": "app",
    "ledger": "app",
    "shadow": "app",
    "sandbox": "app",
}
"""Each command, in the order of the help: what its module calls it, be it one command or several."""


class _Commands(Commands):
    """Reads a command's module when that command is asked for: all of them take a second or two."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # A name that there is not may be near to any.
        for name in (cmd_name,) if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.commands[name] = _command(name)
        return super().get_command(ctx, cmd_name)


def _command(name: str) -> Any:
    held = getattr(import_module(f"sfsync.cli.{name.replace('-', '_')}"), COMMANDS[name])
    if isinstance(held, typer.Typer):
        made: Any = get_group(held)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command()(held)
        made = get_command(alone)
    made.name = name
    return made


app = typer.Typer(
    name="sfsync",
    cls=_Commands,
    help="Keeps every storefront's stock equal to the Salesforce org's ledger: the last one is sold once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    logs.beside()


def main() -> None:
    """The console script."""
    app()
