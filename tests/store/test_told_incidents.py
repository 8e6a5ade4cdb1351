"""Which incidents `sfsync status` tells of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sfsync.domain.incidents import Waiting
from sfsync.store import views
from sfsync.store.database import open_store
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


async def test_an_open_incident_stays_in_sight_however_many_were_closed_since(tmp_path: Path) -> None:
    """A morning of small incidents, all over by now, hides no older one that is still open."""

    def morning(tx: SqlTx) -> None:
        tx.open_incident("oversold", "BAG-1|ECOM", "1 promised beyond stock", {}, NOW)
        for number in range(150):
            tx.open_incident("oversold", f"BELT-{number}|ECOM", "1 promised beyond stock", {}, NOW)
            tx.close_incident("oversold", f"BELT-{number}|ECOM", NOW)

    store = open_store(f"sqlite:///{tmp_path / 's.db'}", exclusive=True)
    try:
        await store.write(morning)
        told = await store.read(lambda tx: views.told_incidents(tx, NOW - timedelta(days=1), NOW))
    finally:
        await store.close()
    assert "BAG-1|ECOM" in {incident.key for incident in told.told}
    assert (len(told.told), told.more, told.urgent) == (100, 51, 1)


async def test_one_that_may_wait_never_crowds_out_one_that_must_be_looked_at(tmp_path: Path) -> None:
    """A hundred pieces are awaited from the workshop; the handbag sold twice stands on the page."""

    def season(tx: SqlTx) -> None:
        tx.open_incident("oversold", "BAG-1|ECOM", "1 promised beyond stock", {}, NOW)
        for number in range(120):
            tx.open_incident("oversold", f"BELT-{number}|ECOM", "1 promised beyond stock", {}, NOW)
        for incident in tx.incidents():
            if incident.key != "BAG-1|ECOM":
                tx.wait_with(incident.id, Waiting(NOW + timedelta(days=9), 1))

    store = open_store(f"sqlite:///{tmp_path / 's.db'}", exclusive=True)
    try:
        await store.write(season)
        told = await store.read(lambda tx: views.told_incidents(tx, NOW - timedelta(days=1), NOW))
        later = NOW + timedelta(days=10)
        after = await store.read(lambda tx: views.told_incidents(tx, later - timedelta(days=1), later))
    finally:
        await store.close()
    assert "BAG-1|ECOM" in {incident.key for incident in told.told}
    assert (told.more, told.urgent) == (21, 1)
    assert after.urgent == 121
