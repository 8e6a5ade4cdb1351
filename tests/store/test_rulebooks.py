"""What the settings said of quantities is kept, and who went by what from when; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sfsync.domain.assortment import Assortment, ChannelPlan, PolicyRule
from sfsync.domain.mapping import Hold
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)


def capped(cap: int) -> Assortment:
    """London shows so many at most."""
    return Assortment(
        {"london": ChannelPlan("london", {"online": ("ECOM",)})}, (PolicyRule(("*",), cap=cap),)
    )


async def test_each_moment_has_the_settings_that_a_channel_went_by_then(store: Database) -> None:
    """Before the first, none; what nobody went by is forgotten, what a channel still goes by is not."""
    old, new, never = capped(2), capped(3), capped(4)

    def fill(tx: SqlTx) -> None:
        tx.note_channel("london", NOW)
        for rules in (old, new, never):
            tx.put_rulebook(rules.fingerprint(), rules)
            tx.put_rulebook(rules.fingerprint(), rules)
        tx.go_by("london", old.fingerprint(), NOW)
        tx.go_by("", new.fingerprint(), LATER)

    await store.write(fill)
    assert await store.read(lambda tx: tx.went_by("london", NOW - timedelta(seconds=1))) is None
    assert await store.read(lambda tx: tx.went_by("london", LATER)) == old.fingerprint()
    assert await store.read(lambda tx: tx.went_by("", LATER)) == new.fingerprint()
    assert await store.read(lambda tx: tx.rulebook(never.fingerprint())) is None
    kept = await store.read(lambda tx: tx.rulebook(old.fingerprint()))
    assert kept is not None
    assert kept.fingerprint() == old.fingerprint()


async def test_what_waits_for_a_person_is_kept_since_when_it_does(store: Database) -> None:
    """Weighed again it has other numbers and the same beginning; let go, there is nothing."""
    await store.write(lambda tx: tx.note_channel("london", NOW))
    await store.write(lambda tx: tx.hold(Hold("london", 20, 40, NOW)))
    await store.write(lambda tx: tx.hold(Hold("london", 30, 40, LATER)))
    assert await store.read(lambda tx: tx.holds()) == {"london": Hold("london", 30, 40, NOW)}
    await store.write(lambda tx: tx.go_by("london", "new", LATER))
    assert await store.read(lambda tx: (tx.held("london"), tx.goes_by("london"))) == (None, "new")
