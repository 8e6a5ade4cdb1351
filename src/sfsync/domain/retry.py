"""How long to wait before the next try."""

from __future__ import annotations

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 60.0
# Somebody stands at a till or looks at a cart: a failure that has passed must not cost them a minute more.
# One request every few seconds is nothing to an org that is down.
LONGEST_FOR_SALES_SECONDS = 6.0


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
    undercut.
    """
    ceiling = min(longest_seconds, FIRST_SECONDS * 2.0 ** min(attempt - 1, 20))
    return max(asked_seconds or 0.0, ceiling / 2 + luck * ceiling / 2)
