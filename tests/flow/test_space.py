"""The room that the org has left for movements, looked at by the flow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import delete
from tests.flow.kit import house

from sfsync.domain.budget import delivery_outlook
from sfsync.domain.forecast import MOST_LISTED
from sfsync.flow.space import SpaceWatch
from sfsync.store.tables import level


async def test_the_forecast_names_the_fullest_level_by_its_key() -> None:
    """Three movements at one level, one at another, and what both opened with; all of the last day."""
    async with house({"BAG-1|ECOM": 2, "BELT-1|ECOM": 2}) as h:
        for _ in range(3):
            h.org.move("BAG-1|ECOM", on_hand=1)
        h.org.move("BELT-1|ECOM", on_hand=1)
        await h.idle()
        await SpaceWatch(h.ctx).look()
        space = h.ctx.pulse.space
        assert space is not None
        assert (space.fullest, space.fullest_rows) == ("BAG-1|ECOM", 4)
        assert (space.rows, space.rows_a_day) == (6, 6)
        assert space.left_mb is not None
        assert space.full_in_days == int(space.left_mb * 512 / 6)


async def test_movements_are_counted_at_every_level_although_the_fullest_alone_are_listed() -> None:
    """The org lists two thousand levels at most; what fills its storage is entered at all."""
    async with house({"BAG-1|ECOM": 2, "BELT-1|ECOM": 2}) as h:
        h.org.old_levels = 2 * MOST_LISTED
        h.org.move("BAG-1|ECOM", on_hand=1)
        await h.idle()
        await SpaceWatch(h.ctx).look()
        space = h.ctx.pulse.space
        assert space is not None
        assert (space.fullest, space.fullest_rows, space.rows, space.rows_a_day) == (
            "BAG-1|ECOM",
            2,
            4_003,
            3,
        )


async def test_a_level_that_is_not_known_yet_is_not_named() -> None:
    """A record id says nothing to anybody: before the first reading of the org the forecast names none."""
    async with house({"BAG-1|ECOM": 2}) as h:
        await h.idle()
        await h.store.write(lambda tx: tx.connection.execute(delete(level)))
        await SpaceWatch(h.ctx).look()
        space = h.ctx.pulse.space
        assert space is not None
        assert (space.fullest, space.fullest_rows, space.crowded, space.rows) == ("", 0, "", 1)


async def test_how_deliveries_go_on_is_known_again_after_a_restart() -> None:
    """Looked at once an hour; what former hours told is in the store, and what is long past is not."""
    async with house({"BAG-1|ECOM": 2}) as h:
        h.org.deliveries_left = 49_000
        await SpaceWatch(h.ctx).look()
        assert delivery_outlook(h.ctx.pulse.delivered, h.clock.now()) is None
        await h.kill()
        await h.start()
        await h.until(lambda: h.ctx.pulse.delivered is not None)  # the daemon's own first look
        at = h.clock.now() + timedelta(hours=1)
        h.org.deliveries_left = 48_000
        later = replace(h.ctx, clock=Stopped(at))
        await SpaceWatch(later).look()
        ahead = delivery_outlook(h.ctx.pulse.delivered, at)
        assert ahead is not None
        assert ahead.pace_an_hour > 0
        hours, allowed = await h.store.read(lambda tx: tx.deliveries())
        assert ([each.used for each in hours], allowed) == ([1_000, 2_000], 50_000)


class Stopped:
    """A clock that shows one moment."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")
