"""What is kept of a comparison while it is read and applied, and news of it for whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sfsync.domain.resync import BusyError
from sfsync.ports import PlannedRow, ResyncRun, RunState, Tx

from .context import Context

T = TypeVar("T")

BELL = "resync"
SKUS_AT_ONCE = 500
LEVELS_AT_ONCE = 1_000
ROWS_AT_ONCE = 200  # applied in one commit: less than one push
CHANNEL: dict[str, Any] = {
    "read": 0,  # numbers
    "compared": 0,  # of these, that were asked for
    "others": 0,  # that differ, and were not asked for
    "total": 0,
    "done": False,
    "unread": "",
    "oversell": [],
}


class ReplacedError(Exception):
    """Another comparison has taken its place."""


class Keeping:
    """Writes a run down as it goes on; there is one at a time."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.news = asyncio.Event()  # set when something was written, and then another takes its place

    async def begin(self, run: ResyncRun, rows: Sequence[PlannedRow] = ()) -> ResyncRun:
        """A run instead of any other. Raises `BusyError` while a plan is being applied."""
        if run.scope.skus:
            run = run.told(skus=sorted(run.scope.skus))

        def start(tx: Tx) -> None:
            before = tx.last_resync()
            if before is not None and before.state is RunState.APPLYING:
                raise BusyError
            tx.drop_resyncs()
            tx.put_resync(run)
            tx.put_resync_rows(run.id, rows)

        await self._ctx.store.write(start)
        self.ring()
        return run

    async def keep(self, run: ResyncRun) -> ResyncRun:
        """How far it is."""
        await self.write(run, lambda tx: tx.put_resync(run))
        self.ring()
        return run

    async def write(self, run: ResyncRun, work: Callable[[Tx], T]) -> T:
        """Write something of a run, unless another has taken its place."""

        def guarded(tx: Tx) -> T:
            if tx.resync(run.id) is None:
                raise ReplacedError
            return work(tx)

        return await self._ctx.store.write(guarded)

    def ring(self) -> None:
        """Something has happened: the loop looks, and so does whoever waits."""
        self._ctx.bell.ring(BELL)
        self.news.set()
        self.news = asyncio.Event()


def beginning(names: Collection[str]) -> dict[str, Any]:
    """What is told of a run over these channels before anything is read."""
    return {
        "org": {"levels": 0, "newer": 0, "gone": 0, "gone_named": [], "done": False, "unread": ""},
        "channels": {name: dict(CHANNEL) for name in names},
        "skus": None,
        "compared": 0,
        "strict": False,
        "rules": "",  # by which settings its numbers are told; of a plan from a file nobody knows
        "rows": {},
        "levels_applied": 0,
    }


def moment(at: datetime) -> str:
    """A time, as a run tells it."""
    return at.isoformat()
