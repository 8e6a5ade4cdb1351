"""A shadow's report of many numbers: all are counted, the worst are named, and none twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sfsync.domain.assortment import Assortment, ChannelPlan
from sfsync.shadow import report
from sfsync.store import open_store, shadow
from sfsync.store import tables as t
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=2)
LONDON = Assortment({"london": ChannelPlan("london", {"online": ("ECOM",)})})
LATE, NEVER, EVEN = 700, 30, 40  # more than are looked at at a time


def number(
    tx: SqlTx, sku: str, *, would: list[tuple[float, int]], seen: list[tuple[float, float, int]]
) -> None:
    """What London would have shown, and was seen to show; in seconds from the beginning."""
    place = {"channel": "london", "sku": sku, "location": "online"}
    for after, units in would:
        at = NOW + timedelta(seconds=after)
        tx.connection.execute(t.shadow_would.insert().values(**place, at=at, number=units))
    for first, last, units in seen:
        times = {"first_at": NOW + timedelta(seconds=first), "last_at": NOW + timedelta(seconds=last)}
        newest = (first, last, units) == seen[-1]
        tx.connection.execute(t.shadow_seen.insert().values(**place, **times, number=units, newest=newest))


def fill(tx: SqlTx) -> None:
    """Numbers that were late by one second more each, that never were equal, and that were right."""
    tx.bind_org("00D000000000001AAA", NOW)
    shadow.begin(tx, NOW)
    tx.connection.execute(t.shadow_span.insert().values(since=NOW, until=UNTIL))
    for n in range(LATE):
        last = 100.0 + n
        number(tx, f"LATE-{n:03}", would=[(0, 5), (50, 4)], seen=[(1, last, 5), (last + 5, 7000, 4)])
    for n in range(NEVER):
        number(tx, f"NEVER-{n:03}", would=[(0, 5)], seen=[(1, 7000, 8)])
    for n in range(EVEN):
        number(tx, f"EVEN-{n:03}", would=[(0, 5)], seen=[(1, 7000, 5)])
    number(tx, "SOLD", would=[(0, 5), (62, 4)], seen=[(1, 50, 5), (61, 7000, 4)])
    sale = {"subject": "order:london:7:1", "channel": "london", "order_id": "7", "order_name": "#7"}
    times = {"placed_at": NOW + timedelta(seconds=60), "heard_at": NOW + timedelta(seconds=62)}
    units = {"units": 1, "wanted": 1, "uncovered": 0}
    tx.connection.execute(
        t.shadow_sale.insert().values(**sale, **times, **units, sku="SOLD", location="online")
    )


async def test_many_numbers_are_all_counted_and_the_worst_are_named(tmp_path: Path) -> None:
    """Seven hundred bags were shown too high, each for a second longer than the one before."""
    store = open_store(f"sqlite:///{tmp_path / 's.db'}", exclusive=True)
    await store.write(fill)
    told = await store.read(lambda tx: report(tx, LONDON, UNTIL, None, 60.0))
    (london,) = told["channels"]
    assert (london["numbers"], london["read"]) == (LATE + NEVER + EVEN + 1,) * 2
    assert london["never_equal"] == NEVER
    assert [each["sku"] for each in london["never_equal_named"]] == [f"NEVER-{n:03}" for n in range(20)]
    assert london["too_high"]["times"] == LATE
    assert london["too_low"]["times"] == 0, "the shop's own sale is nobody's lateness"
    assert london["late"] == LATE - 11  # the first were wrong for 50 to 60 seconds
    worst = [(each["sku"], each["least_seconds"]) for each in london["worst"]]
    assert worst == [(f"LATE-{LATE - 1 - n:03}", 50.0 + LATE - 1 - n) for n in range(20)]
    assert london["later_than_sfsync"]["worst_seconds"] == 50.0 + LATE - 1
    assert told["sales"]["missing"] == 1
    await store.close()
