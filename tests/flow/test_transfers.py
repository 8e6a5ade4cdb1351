"""Goods between boutiques: never sold while they are on their way, and never in two places."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.flow.kit import TILL, House, house

from sfsync.domain.counts import Count
from sfsync.domain.stock import LevelKey
from sfsync.domain.transfers import Stage, Transfer
from sfsync.flow.context import SNAPSHOT
from sfsync.ports import TryLater

SHOP, FAR, WAY = "BAG-1|ECOM", "BAG-1|DUBAI", "BAG-1|IN-TRANSIT"
NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


def transfer(event: str, stage: Stage, units: int, **places: Any) -> Transfer:
    return Transfer(event, "T-1", stage, "BAG-1", units, NOW, **places)


def told(h: House, *events: Transfer) -> None:
    """A till publishes them."""
    for event in events:
        h.org.tell(TILL, transfers=(event,), events=1)


def on_hand(h: House) -> list[int]:
    return [h.org.numbers(name)[0] for name in (SHOP, WAY, FAR)]


async def test_three_bags_are_sent_and_two_arrive() -> None:
    """Both rows of each event in one all-or-none request; one bag stays in transit, for all to see."""
    async with house({SHOP: 5, FAR: 0}) as h:
        sent = transfer("s", Stage.SENT, 3, origin="ECOM")
        told(h, sent, sent)
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        assert on_hand(h) == [2, 3, 0]
        assert ["transfer:s:0", "transfer:s:1"] in h.org.requests
        came = transfer("r", Stage.RECEIVED, 2, target="DUBAI")
        told(h, came, came)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        assert on_hand(h) == [2, 1, 2]
        (left,) = await h.supervisor.transfers.open()
        assert (left.number, str(left.level), left.units) == ("T-1", WAY, 1)
        assert (await h.supervisor.transfers.enter(transfer("w", Stage.LOST, 1))).state == "entered"
        assert on_hand(h) == [2, 0, 2]
        assert await h.supervisor.transfers.open() == []


async def test_what_arrives_before_it_was_told_to_have_left_is_even_in_the_end() -> None:
    """The receiving till was faster: in transit is below zero for a while."""
    async with house({SHOP: 5, FAR: 0}) as h:
        told(h, transfer("r", Stage.RECEIVED, 2, target="DUBAI"))
        await h.until(lambda: WAY in map(str, h.org.keys.values()) and on_hand(h) == [5, -2, 2])
        told(h, transfer("s", Stage.SENT, 2, origin="ECOM"))
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        assert on_hand(h) == [3, 0, 2]


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late", "later"])
async def test_a_transfer_whose_answer_is_lost_happens_once_and_whole(fate: str) -> None:
    """Neither row without the other, whatever becomes of the request."""
    async with house({SHOP: 5, FAR: 0, WAY: 0}) as h:
        h.org.next.append(fate)
        told(h, transfer("s", Stage.SENT, 3, origin="ECOM"))
        await h.shows("BAG-1", 2, 2)
        h.org.land()
        await h.idle()
        assert on_hand(h) == [2, 3, 0]


async def test_goods_that_came_back_are_released_by_a_person() -> None:
    """From the place for returns to the shelf, and then they are for sale again."""
    async with house({SHOP: 1, "BAG-1|RETURNS": 2}) as h:
        await h.shows("BAG-1", 1, 1)
        moved = transfer("m", Stage.MOVED, 2, origin="RETURNS", target="ECOM")
        for _ in range(2):
            assert (await h.supervisor.transfers.enter(moved)).state == "entered"
        await h.shows("BAG-1", 3, 3)
        assert h.org.numbers("BAG-1|RETURNS") == (0, 0)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (transfer("s", Stage.SENT, 2, origin="ECOM"), "id-reused"),
        (transfer("x", Stage.SENT, 1, origin="PARIS"), "unknown-level"),
        (transfer("x", Stage.SENT, 1, origin="IN-TRANSIT"), "wrong"),
    ],
)
async def test_a_transfer_that_cannot_be_is_not_written_down(event: Transfer, problem: str) -> None:
    """An id that stands for another one; a place without a level; a place that is none."""
    async with house({SHOP: 5, FAR: 0}) as h:
        await h.supervisor.transfers.enter(transfer("s", Stage.SENT, 1, origin="ECOM"))
        outcome = await h.supervisor.transfers.enter(event)
        assert (outcome.problem, outcome.state) == (problem, "")
        await h.idle()
        assert on_hand(h) == [4, 1, 0]


async def test_nobody_is_told_that_a_level_does_not_exist_before_the_org_has_been_read_whole() -> None:
    """In the first seconds, what seems missing may only not be here yet: send it again, and it is taken."""
    async with house({SHOP: 5}) as h:
        await h.store.write(lambda tx: tx.open_hole(SNAPSHOT, NOW, "read anew", NOW))
        with pytest.raises(TryLater, match="still being read"):
            await h.supervisor.transfers.enter(transfer("x", Stage.SENT, 1, origin="PARIS"))
        counted = await h.supervisor.counts.enter(Count("c", LevelKey.parse("BAG-1|PARIS"), 1, NOW))
        assert counted.problem == "try-later"
        assert (await h.supervisor.transfers.enter(transfer("s", Stage.SENT, 1, origin="ECOM"))).state
