"""What receivers of callbacks are told: sequence numbers, numbers in doubt, and the order of changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sfsync.domain.callbacks import Failing, NumberPlace
from sfsync.ports import ChannelItem, ChannelLevel
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)


def lists(tx: SqlTx, channel: str, *skus: str, unsure: bool = False) -> None:
    items = [ChannelItem(sku, "online", sku, "online", 0) for sku in skus]
    tx.put_items(channel, items, {}, NOW, NOW, unsure=unsure)


def aims(tx: SqlTx, sku: str, units: int | None, now: datetime | None, channel: str = "boutique") -> None:
    levels = tx.channel_levels([sku], channel)
    tx.put_numbers([replace(level, target=units) for level in levels], now)


def level(tx: SqlTx, sku: str) -> ChannelLevel:
    return tx.channel_levels([sku], "boutique")[0]


async def test_a_target_that_changes_gets_the_next_sequence_number_and_no_other(store: Database) -> None:
    """From nothing to a number, to another, and away again; not where only the rest has changed."""

    def work(tx: SqlTx) -> list[int]:
        lists(tx, "boutique", "BAG", "SCARF")
        told = []
        for units in (3, 3, 2, None, 2):
            aims(tx, "BAG", units, NOW)
            told.append(level(tx, "BAG").sequence)
        tx.put_numbers([replace(level(tx, "BAG"), published=2)])
        told.append(level(tx, "BAG").sequence)
        aims(tx, "SCARF", 1, NOW)
        told.append(level(tx, "SCARF").sequence)
        return told

    first = round(NOW.timestamp() * 1000)
    assert [number - first for number in await store.write(work)] == [0, 0, 1, 2, 3, 3, 4]


async def test_a_number_in_doubt_is_due_although_it_is_believed_to_be_shown(store: Database) -> None:
    """Until it has been told; one without a stock level in the org is never due."""

    def begin(tx: SqlTx) -> None:
        lists(tx, "boutique", "BAG", "SCARF", "GONE", unsure=True)
        aims(tx, "BAG", 0, NOW)
        aims(tx, "SCARF", 0, NOW)
        tx.put_numbers([replace(level(tx, "SCARF"), unsure=False)])

    await store.write(begin)
    assert [each.sku for each in await store.read(lambda tx: tx.due("boutique", 9))] == ["BAG"]
    await store.write(lambda tx: tx.put_numbers([replace(level(tx, "BAG"), unsure=False)]))
    assert await store.read(lambda tx: tx.due("boutique", 9)) == []
    await store.write(lambda tx: tx.put_numbers([replace(level(tx, "SCARF"), unsure=True)]))
    assert [each.sku for each in await store.read(lambda tx: tx.due("boutique", 9))] == ["SCARF"]


async def test_all_numbers_can_be_read_in_pages_in_the_order_of_their_last_changes(store: Database) -> None:
    """From after a place, of some channels and some SKUs; what has no number is left out."""

    def begin(tx: SqlTx) -> None:
        for channel in ("boutique", "outlet"):
            lists(tx, channel, "A", "B", "C", "NONE")
        for channel in ("boutique", "outlet"):
            held = tx.channel_levels(["A", "B", "C"], channel)
            tx.put_numbers([replace(each, target=1) for each in held], NOW)
        aims(tx, "A", 5, LATER)

    await store.write(begin)

    def page(
        tx: SqlTx, after: ChannelLevel | None, *channels: str, skus: list[str] | None = None
    ) -> list[str]:
        place = (
            None if after is None else NumberPlace(after.sequence, after.channel, after.sku, after.location)
        )
        found = tx.numbers_after(place, channels=channels, skus=skus, limit=3)
        return [f"{each.channel} {each.sku}" for each in found]

    async def of(sku: str, channel: str) -> ChannelLevel:
        return (await store.read(lambda tx: tx.channel_levels([sku], channel)))[0]

    both = "boutique", "outlet"
    assert await store.read(lambda tx: page(tx, None, *both)) == ["boutique B", "boutique C", "outlet A"]
    last = await of("A", "outlet")
    assert await store.read(lambda tx: page(tx, last, *both)) == ["outlet B", "outlet C", "boutique A"]
    last = await of("A", "boutique")
    assert await store.read(lambda tx: page(tx, last, *both)) == []
    assert await store.read(lambda tx: page(tx, None, "boutique", skus=["A", "C"])) == [
        "boutique C",
        "boutique A",
    ]


async def test_how_a_receiver_fails_is_kept_whole_until_it_takes_a_message(store: Database) -> None:
    """Of each channel by itself."""
    failing = Failing(NOW, 7, "msg_1", 3, LATER, NOW, "it answers 503", NOW, LATER)
    await store.write(lambda tx: tx.put_failing("boutique", replace(failing, set_aside_at=None)))
    await store.write(lambda tx: tx.put_failing("boutique", failing))
    assert await store.read(lambda tx: (tx.failing("boutique"), tx.failing("outlet"))) == (failing, None)
    await store.write(lambda tx: tx.put_failing("boutique", None))
    assert await store.read(lambda tx: tx.failing("boutique")) is None
