"""What a channel or the org says of time is said by its own clock, which is not ours."""

from __future__ import annotations

from datetime import timedelta

from sfsync.domain.clocks import ALIKE, UNKNOWN, Ahead
from sfsync.domain.sources import Source
from sfsync.ports import TellsTime

from .context import Context

CLOCK_SKEW = timedelta(seconds=1)  # between the clock that answers us, and the one that dates what happens


def told(ctx: Context, channel: str, source: Source = Source.CHANNEL) -> Ahead | None:
    """How far the clock is ahead by which a source dates a channel's orders; None: it has yet to answer."""
    return _told(ctx.org if source is Source.ORG else ctx.channels.get(channel))


def of(party: object) -> Ahead:
    """How far the clock of a channel or an org may be ahead, for whoever cannot wait for its answer."""
    return _told(party) or UNKNOWN


def _told(party: object) -> Ahead | None:
    return party.ahead() if isinstance(party, TellsTime) else ALIKE
