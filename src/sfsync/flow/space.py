"""Looks once an hour at how much room the org has left for movements; three calls, by the calls' budget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sfsync.domain.budget import KEPT, Usage, recalled, told
from sfsync.domain.forecast import forecast
from sfsync.ports import Children, OutsideError

from .context import Context

EVERY_SECONDS = 3600.0
DAY = timedelta(days=1)


class SpaceWatch:
    """Keeps the forecast on the pulse."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except OutsideError as error:
                # Nothing is lost: the forecast of an hour ago stands.
                self._ctx.log.info("room in the org not read", reason=str(error), next="in an hour")
            await self._ctx.clock.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """One look. Raises as the org does."""
        ctx = self._ctx
        storage = await ctx.org.storage()
        now = await self._named(await ctx.org.children())
        older = await self._named(await ctx.org.children(ctx.clock.now() - DAY))
        room = (storage.allowed_mb, storage.left_mb) if storage is not None else None
        ctx.pulse.space = forecast(room, now, older)
        if storage is not None and storage.deliveries_allowed is not None:
            await self._delivered(storage.deliveries_allowed, storage.deliveries_left or 0)

    async def _delivered(self, allowed: int, left: int) -> None:
        """Keep what was told of this hour: from the hours it follows how the next ones will be."""
        now, usage = self._ctx.clock.now(), self._ctx.pulse.delivered
        if usage is None:
            hours, before = await self._ctx.store.read(lambda tx: tx.deliveries())
            usage = recalled(Usage(0), hours, before)
        usage = told(usage, now, allowed - left, allowed)
        self._ctx.pulse.delivered = usage
        hour = usage.hours[-1].hour
        await self._ctx.store.write(
            lambda tx: tx.put_deliveries(hour, allowed - left, allowed, forget_before=hour - KEPT)
        )

    async def _named(self, children: Sequence[Children]) -> dict[str, int]:
        ids = [each.level for each in children]
        levels = await self._ctx.store.read(lambda tx: tx.levels_by_record(ids))
        names = {level.record_id: str(level.key) for level in levels}
        return {names.get(each.level, each.level): each.rows for each in children}
