"""How the demo speaks: Rich on a terminal, plain lines elsewhere; and the checks it keeps along the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

PLAIN_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Check:
    """A claim of the story, whether it held, and what was seen."""

    claim: str
    held: bool
    seen: str


class Teller:
    """Tells the story and keeps the checks."""

    def __init__(self, console: Console | None = None, *, aside: bool = False) -> None:
        """`aside`: on standard error, as standard output is for a document."""
        self.console = console or _console(sys.stderr if aside else sys.stdout)
        self.checks: list[Check] = []
        signs = "✓✗…" if "utf" in self.console.encoding.lower() else "+!."
        self._yes, self._no, self._dots = signs[0], signs[1], signs[2] * (1 if signs[2] == "…" else 3)

    def check(self, claim: str, held: bool, seen: str) -> bool:
        """Keep a check; returns whether it held."""
        self.checks.append(Check(claim, held, seen))
        return held

    @property
    def all_held(self) -> bool:
        """True when there are checks and every one held."""
        return bool(self.checks) and all(check.held for check in self.checks)

    def say(self, text: str = "") -> None:
        """A line or a paragraph, with Rich's markup; blanks at its start move all of it to the right."""
        rest = text.lstrip(" ")
        self.console.print(Padding.indent(rest, len(text) - len(rest)), highlight=False)

    def chapter(self, name: str) -> None:
        """A heading."""
        self.console.print(f"\n[bold]{escape(name)}[/]", highlight=False)

    def error(self, text: str) -> None:
        """What went wrong, word for word."""
        self.console.print(f"\n[bold red]{escape(text)}[/]", highlight=False, soft_wrap=True)

    @contextmanager
    def busy(self, text: str, *, plain: bool = True) -> Iterator[None]:
        """Say what takes a moment, while it does; without a terminal only when `plain`."""
        if self.console.is_terminal:
            with self.console.status(f"{escape(text)} {self._dots}"):
                yield
        else:
            if plain:
                self.console.print(f"  [dim]{escape(text)} {self._dots}[/]", highlight=False)
            yield

    def table(self, *columns: str | tuple[str, str]) -> Table:
        """An empty table; a column is a heading, or a heading with its justification."""
        made = Table(header_style="dim", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for column in columns:
            heading, justify = column if isinstance(column, tuple) else (column, "left")
            made.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
        return made

    def show(self, table: Table) -> None:
        """Print a table, a little to the right."""
        self.console.print(Padding.indent(table, 2))

    def show_checks(self) -> None:
        """The table of every claim."""
        made = self.table("", "claim", "seen from outside")
        for check in self.checks:
            sign = f"[green]{self._yes}[/]" if check.held else f"[bold red]{self._no}[/]"
            made.add_row(sign, escape(check.claim), escape(check.seen))
        self.show(made)


def _console(stream: TextIO) -> Console:
    console = Console(file=stream, width=None if stream.isatty() else PLAIN_WIDTH)
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")  # a terminal that cannot write a sign shows "?", the story goes on
    return console


def ms(milliseconds: float) -> str:
    """A duration in the unit that reads best."""
    if abs(milliseconds) >= 10_000:
        return f"{milliseconds / 1000:.0f} s"
    return f"{milliseconds / 1000:.1f} s" if abs(milliseconds) >= 1000 else f"{milliseconds:.0f} ms"
