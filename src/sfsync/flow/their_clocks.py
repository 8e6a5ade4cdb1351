"""What a channel or the org says of time is said by its own clock, which is not ours."""

from __future__ import annotations

from sfsync.domain.clocks import ALIKE, UNKNOWN, Ahead
from sfsync.domain.sources import Source
from sfsync.ports import TellsTime

from .context import Context


def told(ctx: Context, channel: str, source: Source = Source.CHANNEL) -> Ahead | None:
    """How far the clock is ahead by which a source dates a channel's orders; None: it has yet to answer."""
    party = ctx.org if source is Source.ORG else ctx.channels.get(channel)
    return party.ahead() if isinstance(party, TellsTime) else ALIKE


def ahead(ctx: Context, channel: str) -> Ahead:
    """How far a channel's clock may be ahead of ours, for whoever cannot wait for its answer."""
    return told(ctx, channel) or UNKNOWN
