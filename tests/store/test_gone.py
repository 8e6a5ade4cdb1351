"""What a store keeps of a channel that was taken out of the settings, and its end."""

from __future__ import annotations

from datetime import UTC, datetime

from sfsync.domain.drift import Drift
from sfsync.ports import ChannelItem
from sfsync.ports.keeping import PushRow
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def remember(tx: SqlTx) -> None:
    """London is followed; of Paris five SKUs at two locations each, a letter, a drift and a push are kept."""
    for name in ("london", "paris", "oslo"):
        tx.note_channel(name, NOW)
        tx.approve(name, NOW)
    for name in ("london", "paris"):
        places = [(f"SKU-{number}", place) for number in range(5) for place in ("online", "shop")]
        items = [ChannelItem(sku, place, f"{sku}:{name}", place, 3) for sku, place in places]
        tx.put_items(name, items, {}, NOW, NOW)
        tx.dead_letter(name, "push:SKU-1@online", "refused", "mend it", "", NOW)
        tx.put_drift(Drift(name, "SKU-2", "shop", "changed at the channel", 3, 4, NOW, NOW))
        tx.add_push(name, f"{name}-1", b"[]", [PushRow("SKU-0", "online", 1)], NOW)


async def test_a_channel_is_forgotten_part_by_part_and_no_other_is_touched(store: Database) -> None:
    """Oslo was never read: there is nothing to tell of it."""
    await store.write(remember)
    (paris,) = await store.read(lambda tx: tx.channels_beside({"london"}))
    assert (paris.name, paris.numbers, paris.dead_letters, paris.drifts) == ("paris", 10, 1, 1)
    assert (paris.set_aside, paris.open_lines) == (0, 0)
    parts = [await store.write(lambda tx: tx.forget_numbers("paris", 2)) for _ in range(4)]
    assert parts == [4, 4, 2, 0]
    (letter,) = await store.read(lambda tx: tx.letters_of("paris", 9))
    await store.write(lambda tx: tx.drop_letters([letter], "Anna Kay", "closed", NOW))
    await store.write(lambda tx: tx.forget_channel("paris", NOW))
    assert await store.read(lambda tx: tx.channels_beside({"london"})) == []
    assert await store.read(lambda tx: tx.channel_since("paris")) is None
    assert await store.read(lambda tx: tx.open_pushes("paris")) == []
    (london,) = await store.read(lambda tx: tx.channels_beside({"oslo"}))
    assert (london.name, london.numbers, london.dead_letters, london.drifts) == ("london", 10, 1, 1)
    assert len(await store.read(lambda tx: tx.open_pushes("london"))) == 1
    assert await store.read(lambda tx: tx.approved("london"))
