"""A clock that tests hold in their hands: sleeping moves it on, and nobody waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class HandClock:
    """Implements `sfsync.ports.Clock`; `slept` tells every wait in seconds."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class WallClock:
    """The real thing, for tests over a real socket."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
