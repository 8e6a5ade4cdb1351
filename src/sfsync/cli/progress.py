"""Bars for work that takes longer than a moment: how far, how fast, how long still, what is left to spend.

They stand on standard error, on a terminal only, and go when the work is over: a pipe, a log and a document
of `--json` never see one.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from sfsync.cli.common import DaemonClient, err
from sfsync.domain.coverage import lasting

BESIDE_COLUMNS = 110  # a narrower terminal would cut the figures off
ASKED_EVERY_SECONDS = 0.5
BUDGET_FIRST_SECONDS, BUDGET_AGAIN_SECONDS = 2.0, 5.0


def pace(done: int, left: int | None, seconds: float) -> str:
    """The rate so far and the time that the rest will take; nothing before anything is done."""
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    told = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:,.1f}/s"
    return told if left is None else f"{told}, {lasting(max(0.0, left / rate))} left"


class _Lines(Progress):
    """A bar whose figures stand beside it where there is room, and below it where there is not."""

    def __init__(self) -> None:
        self._below = err.width < BESIDE_COLUMNS
        beside = [] if self._below else [TextColumn("{task.fields[told]}", markup=False)]
        what = TextColumn("{task.description}", markup=False)
        super().__init__(
            what,
            BarColumn(),
            *beside,
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=not sys.stderr.isatty(),
        )

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bar, and its figures if they stand below."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks if self._below else ():
            if told := task.fields["told"]:
                yield Text(f"  {told}")


class Bar:
    """One bar. Without a terminal it does nothing."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._what = ""
        self._from, self._began = 0, time.monotonic()
        self._done = 0
        self._told, self._budget = "", ""

    def show(self, what: str, done: int = 0, total: int | None = None, budget: str | None = None) -> None:
        """What is being done, how far it is, of how much, and what is left to spend.

        Another `what` begins anew: its pace is its own.
        """
        if what != self._what:
            self._what, self._from, self._began = what, done, time.monotonic()
        self._done = done
        self._budget = self._budget if budget is None else budget
        left = None if total is None else max(0, total - done)
        told = f"{done:,} of {total:,}" if total else f"{done:,}" if done else ""
        parts = [told, pace(done - self._from, left, time.monotonic() - self._began)]
        self._told = ", ".join(each for each in parts if each)
        self._draw(total=total or None)

    def spend(self, budget: str) -> None:
        """What is left to spend, where that alone is news."""
        self._budget = budget
        self._draw()

    def _draw(self, total: int | None = None) -> None:
        told = "; ".join(each for each in (self._told, self._budget) if each)
        if total is not None or self._done:
            self._progress.update(
                self._task, description=self._what, total=total, completed=self._done, told=told
            )
        else:
            self._progress.update(self._task, description=self._what, told=told)


@contextmanager
def bar(what: str = "") -> Iterator[Bar]:
    """A bar while the work goes on."""
    with _Lines() as progress:
        made = Bar(progress, progress.add_task(what, total=None, told=""))
        made.show(what)
        yield made


@contextmanager
def waiting(client: DaemonClient, what: str) -> Iterator[Bar]:
    """A bar beside work that the daemon does in one piece.

    How far it has come is asked of the daemon meanwhile, and what is left of the org's API calls.
    """
    with bar(what) as made:
        if not sys.stderr.isatty():
            yield made
            return
        over, key = Event(), secrets.token_hex(16)
        beside = Thread(target=_told_meanwhile, args=(client, made, over, key), daemon=True)
        client.watch(key)
        beside.start()
        try:
            yield made
        finally:
            client.watch("")
            over.set()


def calls_left(client: DaemonClient) -> str:
    """What is left of the API calls that sfsync may make; nothing where it is not known."""
    told = client.peek("/v1/status")
    ledger = told["ledger"] if told else {}
    if ledger.get("calls_ours") is None:
        return ""
    return f"org {max(0, ledger['calls_ours'] - ledger['calls_by_us']):,} calls left"


def _told_meanwhile(client: DaemonClient, made: Bar, over: Event, key: str) -> None:
    budget_at = time.monotonic() + BUDGET_FIRST_SECONDS
    while not over.wait(ASKED_EVERY_SECONDS):
        told = client.peek(f"/v1/progress/{key}")
        if told and told["what"] and not over.is_set():
            made.show(told["what"], told["done"], told["total"])
        if time.monotonic() >= budget_at and not over.is_set():
            made.spend(calls_left(client))
            budget_at = time.monotonic() + BUDGET_AGAIN_SECONDS
