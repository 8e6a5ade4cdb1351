"""The room that the org has left for movements, looked at by the flow."""

from __future__ import annotations

from tests.flow.kit import house

from sfsync.flow.space import SpaceWatch


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
