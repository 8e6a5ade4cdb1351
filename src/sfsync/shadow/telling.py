"""The report for pages and scrapers: one at a time, beside the daemon's own readings of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sfsync.domain.assortment import Assortment
from sfsync.ports import Clock
from sfsync.store.database import Database
from sfsync.store.tx import SqlTx

from .report import report

KEPT = timedelta(minutes=5)  # so old a report is good enough for who asks again and again


class ShadowReports:
    """Makes reports of what a shadow has seen."""

    def __init__(self, store: Database, assortment: Assortment, clock: Clock, late_seconds: float) -> None:
        self._store, self._assortment, self._clock = store, assortment, clock
        self._late_seconds = late_seconds
        self._one = asyncio.Lock()
        self._last: tuple[datetime, Mapping[str, Any]] | None = None
        self._making: asyncio.Task[Mapping[str, Any] | None] | None = None

    async def tell(self, since: datetime | None = None) -> Mapping[str, Any] | None:
        """All that is kept, or what happened since a moment; None where nothing was watched in that time."""
        now = self._clock.now()

        def told(tx: SqlTx) -> Mapping[str, Any]:
            return report(tx, self._assortment, now, since, self._late_seconds)

        async with self._one:
            found = await asyncio.to_thread(self._store.read_now, told)
        if not found["watched_seconds"]:
            return None
        if since is None:
            self._last = now, found
        return found

    def recent(self) -> Mapping[str, Any] | None:
        """The last one of all that is kept, without waiting; when it is old, the next is begun."""
        making = self._making is not None and not self._making.done()
        if not making and (self._last is None or self._clock.now() >= self._last[0] + KEPT):
            self._making = asyncio.create_task(self.tell(), name="shadow's report")
        return None if self._last is None else self._last[1]

    async def stop(self) -> None:
        """Wait for what is being made: it reads the store."""
        if self._making is not None:
            await asyncio.gather(self._making, return_exceptions=True)
