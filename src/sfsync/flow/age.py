"""How old what we know of the org is.

A stream that is there tells all that moves; while it is away a poll does, now and then. When neither does,
the numbers grow old. A stream that is open and dead is known to be away only after its silence limit; and one
that names what the org does not let us read tells nothing.
"""

from __future__ import annotations

from datetime import datetime

from sfsync.domain.assortment import Assortment
from sfsync.domain.coverage import OVERLAP, Closes, known_until
from sfsync.ports import Tx

from .context import Pulse

NEVER = float("inf")


def age_seconds(tx: Tx, assortment: Assortment, pulse: Pulse, now: datetime) -> float:
    """How long ago all that moves in the org was last known; 0 where no policy asks."""
    if not assortment.limits_seconds:
        return 0.0
    holes = tx.open_holes()
    age = 0.0
    for topic in pulse.stock_topics:
        own = [hole for hole in holes if hole.source == topic]
        # What a reading must make up for was begun earlier by the overlap, for clocks that differ.
        unread = [min(h.since + OVERLAP, h.opened_at) for h in own if h.closes is Closes.READING]
        if topic in pulse.reading_since:
            unread.append(pulse.reading_since[topic])
        known = known_until(
            now,
            away=topic in pulse.stream_error or topic not in pulse.last_sign,
            told=tx.last_told(topic),
            unread=unread,
            replayed=[h.replayed_to or h.since for h in own if h.closes is Closes.REPLAY],
        )
        age = max(age, NEVER if known is None else (now - known).total_seconds())
    return age
