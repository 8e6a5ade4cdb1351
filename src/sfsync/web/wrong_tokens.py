"""Wrong tokens: so many from one address, and its log-in form is closed for a while.

Programs are not held up: their tokens are compared in constant time, and too long to be guessed.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

WITHIN = timedelta(minutes=1)
MOST_WRONG = 10
MOST_ADDRESSES = 1_000  # that are kept in mind; more at once push out the oldest


class WrongTokens:
    """Counts them by address."""

    def __init__(self) -> None:
        self._at: dict[str, deque[datetime]] = {}

    def closed_for(self, address: str, now: datetime) -> timedelta | None:
        """How long the form is closed for an address; None while it is open."""
        times = self._at.get(address)
        if times is None or len(times) < MOST_WRONG or now - times[0] >= WITHIN:
            return None
        return times[0] + WITHIN - now

    def another(self, address: str, now: datetime) -> None:
        """One more wrong token came from there."""
        times = self._at.pop(address, None) or deque[datetime](maxlen=MOST_WRONG)
        times.append(now)
        self._at[address] = times  # the latest last
        while len(self._at) > MOST_ADDRESSES:
            del self._at[next(iter(self._at))]
