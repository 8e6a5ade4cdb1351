"""The shop's clock: what time it is there, and how waiting passes.

`now()` is the time written on orders and in the log: the machine's own, plus whatever the
clock was moved by. Waiting (webhook retries, bulk operations) can be compressed by a time
scale, and ends early when the clock is moved past it. A frozen clock stands still until moved.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache


@dataclass(eq=False, slots=True)
class _Sleeper:
    due_seconds: float
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class ShopClock:
    """Tells and passes time. `time_scale` 60 lets an hour of waiting pass in a minute."""

    def __init__(self, time_scale: float = 1.0, frozen_at: float | None = None) -> None:
        if time_scale <= 0:
            raise ValueError("the time scale must be above 0")
        self._time_scale = time_scale
        self._frozen_at = frozen_at
        self._started = time.monotonic()
        self._moved_seconds = 0.0
        self._sleepers: set[_Sleeper] = set()

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return (time.time() if self._frozen_at is None else self._frozen_at) + self._moved_seconds

    def move(self, seconds: float) -> None:
        """Put the clock forward; everybody who waits notices."""
        if seconds < 0:
            raise ValueError("a clock is only put forward")
        self._moved_seconds += seconds
        for sleeper in self._sleepers:
            sleeper.moved.set()

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of the shop's time."""
        sleeper = _Sleeper(self._elapsed_seconds() + seconds)
        self._sleepers.add(sleeper)
        try:
            while (left := sleeper.due_seconds - self._elapsed_seconds()) > 0:
                sleeper.moved.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(
                        None if self._frozen_at is not None else left / self._time_scale
                    ):
                        await sleeper.moved.wait()
        finally:
            self._sleepers.discard(sleeper)

    def _elapsed_seconds(self) -> float:
        passed = 0.0 if self._frozen_at is not None else (time.monotonic() - self._started) * self._time_scale
        return passed + self._moved_seconds


def iso(epoch_seconds: float) -> str:
    """A time as the Admin API writes it: UTC, whole seconds."""
    return f"{_second(int(epoch_seconds))}Z"


def iso_with_offset(epoch_seconds: float) -> str:
    """A time as webhook payloads write it: with the shop's offset (ours is UTC), whole seconds."""
    return f"{_second(int(epoch_seconds))}+00:00"


@lru_cache(1024)  # much happens in one second, and is told of again and again
def _second(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def epoch(text: str) -> float:
    """The seconds since 1970 of an ISO 8601 date or date-time; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
