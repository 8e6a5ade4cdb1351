"""The kept history of counts, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sfsync.domain.counts import Count, compensation, movement
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel
from sfsync.domain.turnover import Past
from sfsync.store import Database, views
from sfsync.store.tx import SqlTx

SIX = datetime(2026, 11, 22, 18, tzinfo=UTC)
FIVE, MORNING = SIX - timedelta(hours=1), SIX + timedelta(hours=14)
BAG, TIE = LevelKey("BAG-1", "ECOM"), LevelKey("TIE", "SOHO")
COUNTS = [Count("c", BAG, 4, SIX, "", "Amina", "cycle count"), Count("c", TIE, 9, SIX, "", "Bo")]


def enter(tx: SqlTx, rows: list[Movement], at: datetime, *, along: list[Movement] | None = None) -> None:
    bundle = tx.add_bundle(rows, {}, at)
    if along:
        tx.set_companions(bundle, along, {})
    tx.finish_bundle(bundle, "done", "", at)


async def test_a_count_is_kept_once_with_its_whole_variance_when_it_is_in_the_ledger(store: Database) -> None:
    """One that still waits for the org is in no report; a second step adds to the first."""

    def count(tx: SqlTx) -> None:
        for each in COUNTS:
            tx.add_count(each, 12.5, SIX)
            tx.add_count(each, 99.0, MORNING)
        enter(tx, [movement(COUNTS[0], 0, -2)], SIX)
        enter(tx, [movement(COUNTS[0], 1, 1)], SIX)
        tx.add_bundle([movement(COUNTS[1], 0, 3)], {}, SIX)

    await store.write(count)
    since, until = SIX - timedelta(days=1), SIX + timedelta(days=1)
    (kept,) = await store.read(lambda tx: views.counted(tx, since, until))
    assert (kept.level, kept.units, kept.variance, kept.expected, kept.price) == (BAG, 4, -1, 5, 12.5)
    assert (kept.at, kept.entered_at, kept.counted_by, kept.reason) == (SIX, SIX, "Amina", "cycle count")
    assert await store.read(lambda tx: views.counted(tx, since, SIX)) == []
    assert await store.read(views.last_counts) == {BAG: Past(SIX, -1)}
    assert await store.read(views.counts_kept) == 2


async def test_a_posting_told_late_is_known_by_its_compensation(store: Database) -> None:
    """One told in time is not, nor an older count that was told after a newer one."""
    sale = Movement("posting:1", "posting:1", BAG, MovementKind.SALE, -1, 0, "r", "", FIVE)
    fine = Movement("posting:2", "posting:2", BAG, MovementKind.SALE, -5, 0, "r", "", MORNING)
    old = movement(Count("old", BAG, 5, FIVE), 0, -1)

    def tell(tx: SqlTx) -> None:
        enter(tx, [sale], MORNING, along=[compensation(sale, SIX)])
        enter(tx, [fine], MORNING)
        enter(tx, [old], MORNING, along=[compensation(old, SIX)])

    await store.write(tell)
    (late,) = await store.read(lambda tx: views.late_postings(tx, FIVE))
    assert (late.level, late.units, late.at, late.entered_at) == (BAG, -1, FIVE, MORNING)
    assert await store.read(lambda tx: views.late_postings(tx, MORNING)) == []


async def test_stock_is_told_without_what_is_not_for_sale(store: Database) -> None:
    """By location, by SKU, or all of it."""
    levels = [StockLevel(key, 5, 2, 1, str(key)) for key in (BAG, TIE, LevelKey("TIE", "IN-TRANSIT"))]
    await store.write(lambda tx: tx.put_levels(levels, SIX))

    def told(location: str | None = None, sku: str | None = None) -> list[LevelKey]:
        found = store.read_now(lambda tx: views.stock(tx, location, sku, {"IN-TRANSIT"}))
        assert {(on_hand, available) for _, on_hand, available in found} <= {(5, 3)}
        return [level for level, _, _ in found]

    assert (told(), told("SOHO"), told(sku="BAG-1"), told("IN-TRANSIT")) == ([BAG, TIE], [TIE], [BAG], [])
