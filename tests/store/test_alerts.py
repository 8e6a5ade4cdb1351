"""Alerts in the store: told to each receiver in order, each beginning once, each end once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sfsync.domain.alerts import Alert, AlertKind
from sfsync.domain.exposure import Exposure
from sfsync.ports import ChannelItem
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
SOLD = Alert(AlertKind.INCIDENT, "incident:7", "sold twice", {"units": 1})
HOLE = Alert(AlertKind.HOLE, "hole:2", "a hole")


def told(tx: SqlTx, receiver: str) -> list[tuple[str, bool]]:
    """Everything that a receiver is to be told, told: title, and whether it is over."""
    found = []
    while (notice := tx.next_notice(receiver)) is not None:
        found.append((notice.title, notice.resolved_at is not None))
        tx.drop_notice(notice.id)
    return found


async def test_each_receiver_is_told_in_order_and_once(store: Database) -> None:
    """Whoever is not meant hears nothing, not even of the end."""

    def work(tx: SqlTx) -> None:
        tx.add_alert(SOLD, ["pager", "desk"], NOW)
        tx.add_alert(HOLE, ["pager"], NOW)
        assert tx.open_alerts() == {"incident:7", "hole:2"}
        assert told(tx, "pager") == [("sold twice", False), ("a hole", False)]
        assert told(tx, "desk") == [("sold twice", False)]
        for key in ("hole:2", "incident:7", "incident:7"):
            tx.resolve_alert(key, ["pager", "desk"], LATER)
        assert tx.open_alerts() == frozenset()
        assert told(tx, "pager") == [("a hole", True), ("sold twice", True)]
        assert told(tx, "desk") == [("sold twice", True)]

    await store.write(work)


async def test_whoever_was_not_told_in_time_hears_nothing_of_it_any_more(store: Database) -> None:
    """Nor whoever is no receiver any more; the same thing again is another alert."""

    def work(tx: SqlTx) -> None:
        tx.add_alert(SOLD, ["pager", "desk", "gone"], NOW)
        assert told(tx, "desk") == [("sold twice", False)]
        assert told(tx, "gone") == [("sold twice", False)]
        tx.resolve_alert("incident:7", ["pager", "desk"], LATER)
        assert (told(tx, "pager"), told(tx, "desk"), told(tx, "gone")) == ([], [("sold twice", True)], [])
        tx.add_alert(SOLD, ["pager"], LATER)
        assert told(tx, "pager") == [("sold twice", False)]

    await store.write(work)


async def test_a_notice_carries_the_alert_whole(store: Database) -> None:
    """Kind, words, details and both moments."""
    await store.write(lambda tx: tx.add_alert(SOLD, ["pager"], NOW))
    notice = await store.read(lambda tx: tx.next_notice("pager"))
    assert notice is not None
    assert (notice.kind, notice.title, notice.detail) == (AlertKind.INCIDENT, "sold twice", {"units": 1})
    assert (notice.opened_at, notice.resolved_at) == (NOW, None)


async def test_dead_letters_are_counted_by_source(store: Database) -> None:
    """Without their payloads, of which there may be many."""

    def work(tx: SqlTx) -> None:
        for source, key in (("london", "a"), ("london", "b"), ("dubai", "a")):
            tx.dead_letter(source, key, "no", "look", "payload", NOW)
        assert tx.count_dead_letters() == {"london": 2, "dubai": 1}
        tx.drop_dead_letter("dubai", "a")
        assert tx.count_dead_letters() == {"london": 2}

    await store.write(work)


async def test_units_shown_too_much_are_counted_by_channel(store: Database) -> None:
    """Of all its SKUs together; a channel that shows none too much is left out."""

    def work(tx: SqlTx) -> None:
        for channel, exposed in (("london", {"A": 2, "B": 3}), ("dubai", {"A": 0})):
            items = [ChannelItem(sku, "online", sku, "1", 9) for sku in exposed]
            tx.put_items(channel, items, {}, NOW, NOW)
            levels = tx.channel_levels(list(exposed), channel)
            tx.put_numbers([replace(each, exposure=Exposure(units=exposed[each.sku])) for each in levels])

    await store.write(work)
    assert await store.read(lambda tx: tx.exposed_units()) == {"london": 5}
