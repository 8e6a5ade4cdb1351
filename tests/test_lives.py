"""The life of a SKU's numbers: from the till's sale to the channel's confirmation; each line over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.flow.kit import House, house

from sfsync.domain.why import UnknownSkuError
from sfsync.flow.folding import FoldWish
from sfsync.lives import Lives

BAG = "BAG-1|ECOM"


async def told(h: House, sku: str = "BAG-1") -> Any:
    return await Lives(h.ctx, h.store).tell(sku)


async def test_a_sale_is_followed_from_the_till_to_both_channels() -> None:
    """What moved, what each channel was told, in which order, and how long each confirmation took."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        life = await told(h)
        (line,) = life["lines"]
        assert [(point["on_hand"], point["reserved"]) for point in line["points"]][-2:] == [(5, 0), (4, 0)]
        sales = [each for each in life["events"] if each["what"] == "sale"]
        assert [(each["by"], each["on_hand"], each["where"]) for each in sales] == [
            ("somebody in the org", -1, "ECOM")
        ]
        pushes = {each["channel"]: each for each in reversed(life["events"]) if each["channel"]}
        assert pushes.keys() == {"london", "dubai"}
        for push in pushes.values():
            assert (push["what"], push["on_hand"]) == ("push, confirmed", -1)
            assert push["took_ms"] >= 0
            assert life["events"].index(push) < life["events"].index(sales[0])  # newest first


async def test_without_the_org_it_is_told_that_its_part_is_missing() -> None:
    """What channels were told is known all the same; a SKU that nobody has is named."""
    async with house({BAG: 5}) as h:
        h.org.till(BAG, -1, "till-7")
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        h.org.cut_off = True
        life = await told(h)
        assert life["org"].startswith("not read: ")
        assert life["lines"] == []
        assert {each["channel"] for each in life["events"]} == {"london", "dubai"}
        with pytest.raises(UnknownSkuError):
            await told(h, "HAT")


async def test_a_line_begins_where_movements_are_kept_one_by_one() -> None:
    """What was folded is one sum; a line through it would show what never was."""
    async with house({BAG: 5}) as h:
        for number in range(3):
            h.org.till(BAG, -1, f"till-{number}")
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        h.org.age(days=100)
        run = h.supervisor.fold(FoldWish(timedelta(days=90)))
        assert run is not None
        await h.until(lambda: run.ended_at is not None)
        life = await told(h)
        (line,) = life["lines"]
        assert line["since"] is not None
        assert [point["on_hand"] for point in line["points"]][-1] == 2
        assert all(point["at"] >= line["since"] for point in line["points"])
