"""What the store keeps of exposure, and what it makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from sfsync.domain.exposure import KEPT_EMPTIED, Emptied, Exposure, Sooner, Spell, Worst
from sfsync.domain.orders import OrderLine
from sfsync.ports import ChannelItem, LineState
from sfsync.store import Database
from sfsync.store import exposure as kept
from sfsync.store import tables as t
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
AT = NOW.timestamp()


def showing(tx: SqlTx, exposure: Exposure, *, channel: str = "london", sku: str = "BAG-1") -> None:
    """A channel level with this exposure."""
    item = ChannelItem(sku, "online", "gid://1", "gid://9", 5)
    tx.put_items(channel, [item], {}, NOW, NOW)
    (level,) = tx.channel_levels([sku], channel)
    tx.put_numbers([replace(level, target=0, exposure=exposure)])


def spell(seconds: float, units: int = 1, *, began: float = AT, scarce: bool = True) -> Exposure:
    """The exposure at the end of a spell."""
    return Exposure(ended=Spell(began, began + seconds, units, seconds * units, scarce))


async def test_p99_and_worst_are_told_by_channel_for_scarce_and_for_deep(store: Database) -> None:
    """A hundred short spells and a long one, of which one in a hundred is worse than the percentile."""

    def history(tx: SqlTx) -> None:
        for second in range(1, 101):
            showing(tx, spell(float(second)))
        showing(tx, spell(500.0), sku="BAG-2")
        showing(tx, spell(3.0, 90), sku="SCARF")
        showing(tx, spell(7.0, 50, scarce=False), channel="dubai")
        showing(
            tx, Exposure(unit_seconds=4.0, units=2, since=AT - 5, began=AT - 10, scarce=True), channel="dubai"
        )
        showing(tx, spell(9999.0, began=AT - 99_999), sku="OLD")

    await store.write(history)
    told = await store.read(lambda tx: kept.classes(tx, AT - 1, AT))
    now, deep, last = told
    assert (now.channel, now.scarce, now.units, now.levels, now.oldest_seconds) == ("dubai", True, 2, 1, 10.0)
    assert (now.spells, now.p99_seconds, now.longest) == (0, None, None)
    assert (deep.channel, deep.scarce, deep.units, deep.spells, deep.p99_unit_seconds) == (
        "dubai",
        False,
        0,
        1,
        350.0,
    )
    assert (last.channel, last.scarce, last.spells, last.p99_seconds) == ("london", True, 102, 100.0)
    assert last.longest == Worst("BAG-2", "online", Spell(AT, AT + 500, 1, 500.0, scarce=True))
    assert last.largest == last.longest
    assert last.p99_unit_seconds == 270.0
    assert last.unit_seconds == 5050.0 + 500.0 + 270.0
    assert [each.channel for each in await store.read(lambda tx: kept.classes(tx, AT - 1, AT, "london"))] == [
        "london"
    ]
    assert (await store.read(lambda tx: kept.classes(tx, 0.0, AT)))[2].spells == 103


async def test_an_emptied_number_is_compared_with_the_channels_own_sales(store: Database) -> None:
    """Four offered, two shops: London sold its two, the second three minutes before the zero was shown."""

    def sold(tx: SqlTx, name: str, minutes: int, channel: str = "london") -> None:
        placed = NOW + timedelta(minutes=minutes)
        line = OrderLine("1", "BAG-1", 1, 0, 0, 1)
        tx.put_line(
            LineState(f"order:{channel}:{name}:1", channel, name, name, line, placed, placed, "online")
        )

    def history(tx: SqlTx) -> None:
        sold(tx, "before", -1)
        for minutes in (2, 7):
            sold(tx, f"#{minutes}", minutes)
        for minutes in (3, 4):
            sold(tx, f"#{minutes}", minutes, "dubai")
        sold(tx, "after", 30)
        showing(tx, Exposure(emptied=Emptied(4, AT, AT + 590, AT + 600)))
        showing(tx, Exposure(emptied=Emptied(4, AT, AT + 590, AT + 590)), channel="paris")

    await store.write(history)
    assert await store.read(lambda tx: kept.emptied_skus(tx, AT)) == ["BAG-1"]
    told = await store.read(lambda tx: kept.report(tx, {"BAG-1": ["london", "dubai"]}, AT, AT + 700))
    assert [(each.channel, each.sooner) for each in told.emptied] == [
        ("paris", Sooner(0.0, None, 1)),
        ("london", Sooner(10.0, 180.0, 0)),
    ]
    told = await store.read(lambda tx: kept.report(tx, {}, AT, AT + 700, channel="london"))
    assert [(each.channel, each.sooner) for each in told.emptied] == [("london", Sooner(10.0, None, 2))]


async def test_history_is_forgotten_by_age_and_never_grows_without_end(store: Database) -> None:
    """What is older than a month goes, and of very many the oldest."""

    def history(tx: SqlTx) -> None:
        showing(tx, spell(1.0, began=AT - 100))
        showing(tx, spell(1.0))
        gone = {"channel": "london", "sku": "BAG", "location": "online", "offered": 1, "offered_at": AT}
        tx.connection.execute(
            t.emptied.insert(), [gone | {"empty_at": AT, "shown_at": AT}] * (KEPT_EMPTIED + 7)
        )

    await store.write(history)
    assert await store.write(lambda tx: tx.forget(NOW)) == 1 + 7
    left = await store.read(
        lambda tx: [
            tx.connection.execute(select(func.count()).select_from(table)).scalar()
            for table in (t.spell, t.emptied)
        ]
    )
    assert left == [1, KEPT_EMPTIED]
