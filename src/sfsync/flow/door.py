"""Where webhooks come in: checked, stored, answered; decided later."""

from __future__ import annotations

from collections.abc import Mapping

from sfsync.flow.context import Context


class Door:
    """Takes webhooks in, once each."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def accept(self, channel: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Store a delivery before it is answered; False when it was stored before.

        Raises `Forged` when the channel did not sign it, and `KeyError` for a channel we do not have.
        """
        ctx = self._ctx
        delivery = ctx.channels[channel].receive(headers, body)
        now = ctx.clock.now()
        new = await ctx.store.write(
            lambda tx: tx.put_inbox(channel, delivery.topic, delivery.dedup_key, delivery.body, now)
        )
        if new:
            ctx.bell.ring("orders")
        return new
