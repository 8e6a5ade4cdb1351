"""Where webhooks come in: checked, stored, answered; decided later.

What is turned away is told once for each reason, however often it comes: a shop repeats a delivery for hours,
and a stranger may send what he likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sfsync.flow.context import Context
from sfsync.ports import Delivery, Forged, Hinting, LevelHint, Refused

REASONS_TOLD = 100  # a stranger may think of many
LONGEST_TOLD = 200


class Door:
    """Takes webhooks in, once each. `hears` is told of levels; None: nobody looks at what they tell."""

    def __init__(self, ctx: Context, hears: Callable[[str, LevelHint], None] | None = None) -> None:
        self._ctx, self._hears = ctx, hears
        self._told: set[tuple[str, str]] = set()

    async def accept(self, channel: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Store a delivery before it is answered; False when there is nothing new to store.

        What only tells a level is not stored: nothing is decided by it (`hints`).
        Raises `Forged` when the channel did not sign it, and `KeyError` for a channel we do not have.
        """
        ctx = self._ctx
        try:
            delivery = ctx.channels[channel].receive(headers, body)
        except Forged as error:
            self.turned_away(channel, str(error))
            raise
        if self._only_tells_a_level(channel, delivery):
            return False
        now = ctx.clock.now()
        ctx.bell.ring("orders")  # heard once this is on its way: it is read in the commit that stores it
        return await ctx.store.write(
            lambda tx: tx.put_inbox(channel, delivery.topic, delivery.dedup_key, delivery.body, now)
        )

    def _only_tells_a_level(self, channel: str, delivery: Delivery) -> bool:
        party = self._ctx.channels[channel]
        if not isinstance(party, Hinting):
            return False
        try:
            hint = party.level_hint(delivery)
        except Refused as error:  # nothing is lost: it would only have been a reason to look
            self.turned_away(channel, str(error))
            return True
        if hint is not None and self._hears is not None:
            self._hears(channel, hint)
        return hint is not None

    def turned_away(self, channel: str, reason: str) -> None:
        """Tell, once, of webhooks that are not taken in."""
        about = channel[:LONGEST_TOLD], reason[:LONGEST_TOLD]
        if about in self._told or len(self._told) >= REASONS_TOLD:
            return
        self._told.add(about)
        self._ctx.log.warning(
            "webhook turned away",
            channel=about[0],
            reason=about[1],
            next="look at the webhooks and the secret at the channel; told once",
        )
