"""The org's clock: the only source of time in the simulator, and it can be moved.

Session expiry, CDC retention, daily limits and every time stamp read it, so a test can let
three days pass without waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time of the org, in UTC."""

    def now(self) -> datetime: ...


def system_time() -> datetime:
    return datetime.now(UTC)


class MovableClock:
    """Another source of time (the system's by default) plus an offset that can only be added to."""

    def __init__(self, source: Callable[[], datetime] = system_time) -> None:
        self._source = source
        self._offset = timedelta()

    def now(self) -> datetime:
        return self._source() + self._offset

    @property
    def offset_seconds(self) -> float:
        return self._offset.total_seconds()

    def advance(self, seconds: float) -> datetime:
        """Moves the org's time; negative seconds simulate a clock that jumps back."""
        self._offset += timedelta(seconds=seconds)
        return self.now()


def epoch_ms(moment: datetime) -> float:
    """Milliseconds since 1970, with the microseconds as the fraction."""
    return moment.timestamp() * 1000
