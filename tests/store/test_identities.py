"""Which shop and places a channel's levels are of, and what is forgotten where it means others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sfsync.domain.mapping import Hold, Identity, Move
from sfsync.ports import ChannelItem
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
AT = Identity("house.example.com", {"online": "1", "outlet": "2"})
BOTH = [ChannelItem("BAG-1", place, "item", place, 3) for place in AT.places]


def fill(tx: SqlTx) -> None:
    """London is known, read and approved, at two places."""
    tx.note_channel("london", NOW)
    tx.put_items("london", BOTH, {}, NOW, NOW)
    tx.mark_asked("london", 7)
    tx.approve("london", NOW)
    tx.put_identity("london", AT)


async def test_what_is_known_of_a_place_that_is_meant_no_more_is_forgotten(store: Database) -> None:
    """The other place keeps its number; the channel counts as never read, and waits, until it is let go."""
    await store.write(fill)
    assert await store.read(lambda tx: tx.identity("london")) == AT
    await store.write(lambda tx: tx.move("london", Move(left=frozenset({"online"})), LATER))

    def look(tx: SqlTx) -> tuple[list[str], bool, bool, Hold | None]:
        places = [level.location for level in tx.channel_levels()]
        return places, tx.approved("london"), tx.read_whole("london"), tx.held("london")

    unread = Hold("london", 0, 0, LATER, moved=True, read=False)
    assert await store.read(look) == (["outlet"], False, False, unread)
    assert "is being read" in unread.sentence
    await store.write(lambda tx: tx.weigh_move("london", 4, 9))
    assert await store.read(lambda tx: tx.holds()) == {"london": Hold("london", 4, 9, LATER, moved=True)}
    await store.write(lambda tx: tx.approve("london", LATER))
    assert await store.read(lambda tx: tx.holds()) == {}


async def test_a_channel_whose_first_plan_nobody_has_seen_yet_goes_on_waiting_for_that(
    store: Database,
) -> None:
    """Its settings are mended before the first comparison was looked at: nothing else waits for a person."""

    def commit(tx: SqlTx) -> None:
        tx.note_channel("london", NOW)
        tx.move("london", Move(left=frozenset({"online"})), LATER)

    await store.write(commit)
    assert await store.read(lambda tx: (tx.approved("london"), tx.holds())) == (False, {})


async def test_orders_of_another_shop_count_from_the_last_reading_of_the_one_before(store: Database) -> None:
    """What that shop sold before was entered by others; what was sold while we were down is entered."""
    await store.write(fill)
    await store.write(lambda tx: tx.put_poll_mark("london", NOW + timedelta(hours=1)))
    await store.write(lambda tx: tx.move("london", Move(another_shop=True, left=frozenset(AT.places)), LATER))
    assert await store.read(lambda tx: tx.channel_since("london")) == NOW + timedelta(hours=1)
    assert await store.read(lambda tx: tx.channel_levels()) == []


async def test_a_place_with_another_name_keeps_its_numbers(store: Database) -> None:
    """Only the name changes, and nobody is asked."""
    await store.write(fill)
    await store.write(lambda tx: tx.move("london", Move(renamed={"online": "web"}), LATER))
    levels = await store.read(lambda tx: tx.channel_levels())
    assert {(level.location, level.location_id) for level in levels} == {
        ("web", "online"),
        ("outlet", "outlet"),
    }
    assert await store.read(lambda tx: tx.approved("london"))
