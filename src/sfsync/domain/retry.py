"""How long to wait before the next try."""

from __future__ import annotations

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 60.0
# Somebody stands at a till or looks at a cart: a failure that has passed must not cost them a minute more.
# One request every few seconds is nothing to an org that is down.
LONGEST_FOR_SALES_SECONDS = 6.0
ASKED_JITTER = 0.25  # of the wait that the other party asked for


class Silence:
    """Since when nothing has got through to somebody: then one question at a time is enough.

    Many requests that each wait and try for themselves would ask an org that is away several times a second,
    for as long as it is away. One that gets through lets all of them go.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def failed(self, now: float) -> None:
        """A request did not get through at `now` (s, of any clock)."""
        self._since = now if self._since is None else self._since
        self._last = now

    def broken(self) -> None:
        """One got through."""
        self._since = None

    def lasts(self, now: float) -> bool:
        """True when nothing got through for longer than anybody waits between two tries."""
        return self._since is not None and now - self._since > LONGEST_FOR_SALES_SECONDS

    def wait_seconds(self, now: float) -> float:
        """How long nobody is to ask; 0 while it does not last."""
        return max(0.0, self._last + LONGEST_FOR_SALES_SECONDS - now) if self.lasts(now) else 0.0


def backoff_seconds(
    attempt: int,
    luck: float,
    *,
    asked_seconds: float | None = None,
    longest_seconds: float = LONGEST_SECONDS,
) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    Doubles from a quarter of a second to `longest_seconds`, with full jitter on its upper half (`luck` in
    [0, 1)), so that many waiting parties do not come back together. What the other party asked for is never
    undercut, and up to a quarter is added to it by `luck`: it has asked everybody for the same.
    """
    ceiling = min(longest_seconds, FIRST_SECONDS * 2.0 ** min(attempt - 1, 20))
    asked = (asked_seconds or 0.0) * (1 + luck * ASKED_JITTER)
    return max(asked, ceiling / 2 + luck * ceiling / 2)
