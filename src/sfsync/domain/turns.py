"""One channel at a time: whose turn it is to sell a SKU, and when the next one's begins.

The channels of a policy take turns in its order, the first one again after the last. A turn ends after so
many hours, or when its channel has sold nothing for so many. What follows is what follows from shares: of the
others each is to have nothing, so its number is lowered, and when that is confirmed its units change hands,
and only then the number of whoever's turn it is rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .allocation import Share
from .values import replace


@dataclass(frozen=True, slots=True)
class Turns:
    """How long a turn is. One of the two is given."""

    hours: float | None = None  # at most
    idle_hours: float | None = None  # in which its channel sells nothing

    def until(self, since: datetime, sold_at: datetime | None) -> datetime:
        """When a turn that began at `since` ends; `sold_at` is the last sale of its channel."""
        ends = []
        if self.hours is not None:
            ends.append(since + timedelta(hours=self.hours))
        if self.idle_hours is not None:
            ends.append(max(since, sold_at or since) + timedelta(hours=self.idle_hours))
        return min(ends)


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is, since when; until when, and whose the next one is, as things stand."""

    channel: str
    since: datetime
    until: datetime
    then: str

    def told(self, channel: str) -> str:
        """What it means for a channel, in words."""
        whose = "its" if channel == self.channel else f"{self.channel}'s"
        return f"{whose} turn until {self.until.astimezone(UTC):%-d %b %H:%M} UTC, then {self.then}'s"


def whose(
    before: tuple[str, datetime] | None,
    channels: Sequence[str],
    turns: Turns,
    sold_at: datetime | None,
    now: datetime,
) -> Turn:
    """Whose turn it is now, of these channels in their order; `before` is whose it was, and since when.

    The next one's begins when it is noticed, not when it was due: so everybody has the whole of it, also
    after a time in which we were away. `sold_at` is the last sale of the channel whose turn it was.
    """
    if before is None or before[0] not in channels:
        return _begun(channels, 0, turns, now)
    channel, since = before
    number, until = channels.index(channel), turns.until(since, sold_at)
    if now >= until:
        return _begun(channels, (number + 1) % len(channels), turns, now)
    return Turn(channel, since, until, channels[(number + 1) % len(channels)])


def _begun(channels: Sequence[str], number: int, turns: Turns, now: datetime) -> Turn:
    then = channels[(number + 1) % len(channels)]
    return Turn(channels[number], now, turns.until(now, None), then)


def only(shares: Sequence[Share], channel: str) -> tuple[Share, ...]:
    """The shares while it is this channel's turn: all is its own, up to what it may have."""
    return tuple(replace(share, weight=int(share.channel == channel)) for share in shares)
