"""What is kept of orders that two sources tell of, and of goods on their way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import methodcaller

from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine
from sfsync.domain.places import LinePlace
from sfsync.domain.sources import Source, Word
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.domain.transfers import Stage, Transfer, movements
from sfsync.ports import InTransit, LineState
from sfsync.store import Database

NOW = datetime(2026, 11, 23, 8, 15, 0, 250_001, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)


async def test_each_sources_word_is_kept_as_it_was_said(store: Database) -> None:
    """To the microsecond, and found by the org's own id of the order."""
    shop = Word(
        NOW,
        OrderLine(
            "1",
            "BAG-1",
            2,
            1,
            0,
            3,
            taken_in_doubt=True,
            places=(LinePlace("bond street", 2, 0, 0, 2), LinePlace("the mall", 0, 1, 0, 1)),
            routed=True,
        ),
    )
    back = (Moment(NOW, 1), Moment(LATER, 1, "the mall"))
    org = Word(LATER, OrderLine("802A", "BAG-1", 2, unit="S/1", location="ECOM", came_back=back))
    line = LineState("order:london:7:1", "london", "7", "#1001", shop.line, NOW, NOW, "online")
    await store.write(lambda tx: tx.put_line(line))
    (kept,) = (await store.read(lambda tx: tx.lines([line.subject]))).values()
    assert kept == line
    assert kept.words == {Source.CHANNEL: Word(NOW, kept.line)}
    both = replace(line, told={Source.CHANNEL: shop, Source.ORG: org}, org_order="801A")
    await store.write(lambda tx: tx.put_line(both))
    (found,) = await store.read(lambda tx: tx.lines_of_org_order("801A"))
    assert found == both
    assert found.words[Source.CHANNEL].line.taken_in_doubt
    assert [found.words[each].line.came_back for each in Source] == [(), back]
    assert await store.read(lambda tx: tx.lines_of_org_order("801B")) == []


async def test_who_told_of_a_return_last_is_kept(store: Database) -> None:
    """An order, then another, then nobody but the line itself."""
    assert await store.read(lambda tx: tx.orders_of_returns(["0raA"])) == {}
    for last in ("801A", "801B", "0raA"):
        told = {"0raA": last, "0raB": "801A"}
        await store.write(methodcaller("put_returns", told))
        assert await store.read(lambda tx: tx.orders_of_returns(["0raA", "0raB", "0raC"])) == told


async def test_what_is_on_its_way_is_told_by_transfer_and_level(store: Database) -> None:
    """Only what the org has; a difference stays, what is even is gone."""
    places = [LevelKey("BAG-1", place) for place in ("ECOM", "DUBAI", "IN-TRANSIT")]
    levels = [StockLevel(key, 9, 0, 1, f"a{number}") for number, key in enumerate(places)]
    await store.write(lambda tx: tx.put_levels(levels, NOW))
    events = [
        Transfer("1", "T-1", Stage.SENT, "BAG-1", 3, LATER, origin="ECOM"),
        Transfer("2", "T-2", Stage.SENT, "BAG-1", 1, NOW, origin="ECOM"),
        Transfer("3", "T-1", Stage.RECEIVED, "BAG-1", 2, LATER, target="DUBAI"),
        Transfer("4", "T-3", Stage.SENT, "BAG-1", 1, NOW, origin="ECOM"),
        Transfer("5", "T-3", Stage.RECEIVED, "BAG-1", 1, LATER, target="DUBAI"),
    ]
    for event in events:
        rows = movements(event, "IN-TRANSIT")
        number = await store.write(lambda tx, rows=rows: tx.add_bundle(rows, {}, NOW))  # type: ignore[misc]  # a default argument
        assert await store.read(lambda tx, event=event: tx.planned(event.subject)) == list(rows)  # type: ignore[misc]  # as above
        if event.event_id != "2":
            await store.write(lambda tx, number=number: tx.finish_bundle(number, "done", "", NOW))  # type: ignore[misc]  # as above
    found = await store.read(lambda tx: tx.in_transit("IN-TRANSIT"))
    assert found == [InTransit("T-1", places[2], 1, LATER)]
