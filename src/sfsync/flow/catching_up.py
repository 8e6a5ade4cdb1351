"""What channels should show, for whoever was away or begins anew: in the order of the last changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sfsync.domain.callbacks import NumberPlace, heard
from sfsync.ports import ChannelLevel, Tx

from .context import Context, relay_bell


class CatchingUp:
    """Tells numbers with the sequence numbers that callbacks carry."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def page(
        self, channels: Collection[str], skus: Collection[str] | None, after: NumberPlace | None, limit: int
    ) -> Sequence[ChannelLevel]:
        """Channel levels that have a number, from after a place; of these SKUs, or of all."""
        known = self._ctx.assortment.channels.keys() & set(channels)
        if len(channels) == 1:
            await self._heard(*channels)
        return await self._ctx.store.read(
            lambda tx: tx.numbers_after(after, channels=known, skus=skus, limit=limit)
        )

    async def _heard(self, channel: str) -> None:
        """A receiver that asks for its own numbers is back: what it is still to be told goes at once."""
        ctx = self._ctx
        if await ctx.store.read(lambda tx: tx.failing(channel)) is None:
            return

        def commit(tx: Tx) -> None:
            if (failing := tx.failing(channel)) is not None:
                tx.put_failing(channel, heard(failing, ctx.clock.now()))

        await ctx.store.write(commit)
        ctx.bell.ring(relay_bell(channel))
