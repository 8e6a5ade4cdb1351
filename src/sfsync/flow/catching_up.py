"""What channels should show, for whoever was away or begins anew: in the order of the last changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sfsync.domain.callbacks import NumberPlace
from sfsync.ports import ChannelLevel

from .context import Context


class CatchingUp:
    """Tells numbers with the sequence numbers that callbacks carry."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def page(
        self, channels: Collection[str], skus: Collection[str] | None, after: NumberPlace | None, limit: int
    ) -> Sequence[ChannelLevel]:
        """Channel levels that have a number, from after a place; of these SKUs, or of all."""
        known = self._ctx.assortment.channels.keys() & set(channels)
        return await self._ctx.store.read(
            lambda tx: tx.numbers_after(after, channels=known, skus=skus, limit=limit)
        )
