"""Looks once an hour at how much room the org has left for movements; by the calls' budget, three to five."""

from __future__ import annotations

from datetime import timedelta

from sfsync.domain.budget import KEPT, Usage, recalled, told
from sfsync.domain.forecast import MOST_LISTED, Space, forecast
from sfsync.ports import OutsideError

from .context import Context

EVERY_SECONDS = 3600.0
NAMED_AGAIN_SECONDS = 60.0
DAY = timedelta(days=1)


class SpaceWatch:
    """Keeps the forecast on the pulse."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._found: Space | None = None  # its levels by their record ids

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except OutsideError as error:
                # Nothing is lost: the forecast of an hour ago stands.
                self._ctx.log.info("room in the org not read", reason=str(error), next="in an hour")
            left = EVERY_SECONDS
            while left > NAMED_AGAIN_SECONDS and not await self._name():  # the org is still being read
                await self._ctx.clock.sleep(NAMED_AGAIN_SECONDS)
                left -= NAMED_AGAIN_SECONDS
            await self._ctx.clock.sleep(left)

    async def look(self) -> None:
        """One look. Raises as the org does."""
        ctx = self._ctx
        storage = await ctx.org.storage()
        yesterday = ctx.clock.now() - DAY
        now = {each.level: each.rows for each in await ctx.org.children()}
        older = {each.level: each.rows for each in await ctx.org.children(yesterday)}
        every = None
        if len(now) >= MOST_LISTED:
            every = await ctx.org.count_rows(), await ctx.org.count_rows(yesterday)
        room = (storage.allowed_mb, storage.left_mb) if storage is not None else None
        self._found = forecast(room, now, older, every)
        await self._name()
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

    async def _name(self) -> bool:
        """Put the forecast on the pulse, its levels by their keys; False while those are not known yet."""
        found = self._found
        if found is None:
            return True
        ids = {found.fullest, found.crowded} - {""}
        levels = await self._ctx.store.read(lambda tx: tx.levels_by_record(ids))
        names = {level.record_id: str(level.key) for level in levels}
        self._ctx.pulse.space = found.named(names)
        return ids <= names.keys()
