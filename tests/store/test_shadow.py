"""What a shadow keeps, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar, cast

import pytest

from sfsync.domain.orders import OrderLine
from sfsync.domain.shadow import Entry, Overlay, Seen, Would
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports import ChannelItem, LineState
from sfsync.store import Database, shadow
from sfsync.store.shadow import ShadowTx
from sfsync.store.tables import metadata

NOW = datetime(2026, 11, 23, 8, 15, 0, tzinfo=UTC)
BAG = LevelKey("BAG", "ECOM")
T = TypeVar("T")


class Clock:
    """The time that a test says it is."""

    now = NOW


class Kept:
    """A shadow's store."""

    def __init__(self, store: Database) -> None:
        self.store, self.clock = store, Clock()
        store.transact_by(lambda connection: ShadowTx(connection, lambda: self.clock.now))

    async def do(self, work: Callable[[ShadowTx], T]) -> T:
        """In a transaction of its own."""
        return await self.store.write(lambda tx: work(cast("ShadowTx", tx)))

    def pass_(self, seconds: float) -> datetime:
        """Time goes by; what it is then."""
        self.clock.now += timedelta(seconds=seconds)
        return self.clock.now


@pytest.fixture
def kept(store: Database) -> Kept:
    """An empty one."""
    return Kept(store)


def item(sku: str, shows: int) -> ChannelItem:
    """As the channel lists it."""
    return ChannelItem(sku, "online", f"item {sku}", "place", shows)


def line(open_quantity: int = 1, *, uncovered: int = 0, fulfilled: int = 0, returned: int = 0) -> LineState:
    """An order's line."""
    wish = OrderLine("1", "BAG", open_quantity, fulfilled, returned)
    return LineState("order:london:7:1", "london", "7", "#7", wish, NOW, NOW, "online", uncovered=uncovered)


def row(key: str, on_hand: int = 0, reserved: int = 0) -> Movement:
    """A movement that would have been entered."""
    return Movement(key, "order:london:7:1", BAG, MovementKind.ORDER, on_hand, reserved, "#7", "", NOW)


def of_bag(tx: ShadowTx) -> tuple[list[Would], list[Seen]]:
    """What London would have shown of the bag, and was seen to show."""
    found = {place: (would, seen) for place, would, seen in shadow.numbers(tx, "london")}
    return found["london", "BAG", "online"]


async def test_what_would_be_shown_is_kept_as_it_changes(kept: Kept) -> None:
    """A listing, a number written, the same one again."""
    await kept.do(lambda tx: tx.put_items("london", [item("BAG", 3)], {}, NOW, NOW))
    kept.pass_(5)

    def write(tx: ShadowTx) -> None:
        (level,) = tx.channel_levels(["BAG"])
        tx.put_numbers([replace(level, published=2)], NOW)
        tx.put_numbers([replace(level, published=2, target=1)], NOW)

    await kept.do(write)
    would, _ = await kept.do(of_bag)
    assert [(step.at, step.number) for step in would] == [
        (NOW, 3),
        (NOW + timedelta(seconds=5), 2),
    ]


async def test_what_is_read_is_kept_from_when_to_when(kept: Kept) -> None:
    """The same number again prolongs it; a reading that comes late says nothing."""
    first = kept.pass_(1)
    await kept.do(lambda tx: tx.saw("london", [item("BAG", 3)], NOW, first))
    second = kept.pass_(5)
    await kept.do(lambda tx: tx.saw("london", [item("BAG", 3), item("TIE", 9)], second, second))
    await kept.do(lambda tx: tx.saw("london", [item("BAG", 8)], NOW, first))
    third = kept.pass_(5)
    await kept.do(lambda tx: tx.saw("london", [item("BAG", 2)], third, third))
    _, seen = await kept.do(of_bag)
    assert [(each.number, each.first_at, each.last_at) for each in seen] == [
        (3, first, second),
        (2, third, third),
    ]


async def test_what_differs_or_has_changed_lately_is_to_be_looked_at_first(kept: Kept) -> None:
    """What was never seen, what shows another number, what moved within the last minute; nothing else."""
    items = [item("BAG", 3), item("TIE", 9), item("HAT", 1)]
    await kept.do(lambda tx: tx.put_items("london", items, {}, NOW, NOW))
    assert await kept.do(lambda tx: tx.to_be_seen("london", 10)) == ["BAG", "HAT", "TIE"]
    later = kept.pass_(120)
    await kept.do(lambda tx: tx.saw("london", [item("BAG", 3), item("TIE", 8), item("HAT", 1)], later, later))
    assert await kept.do(lambda tx: tx.to_be_seen("london", 10)) == ["TIE"]

    def sell(tx: ShadowTx) -> None:
        (level,) = tx.channel_levels(["HAT"])
        tx.put_numbers([replace(level, published=0)], NOW)

    await kept.do(sell)
    assert await kept.do(lambda tx: tx.to_be_seen("london", 1)) == ["HAT"]


async def test_a_sale_is_kept_with_the_most_that_it_wanted_and_lacked(kept: Kept) -> None:
    """Heard once, cancelled in part, uncovered for a while, sent and brought back."""
    heard = kept.pass_(3)
    await kept.do(lambda tx: tx.put_line(line(2)))
    short = kept.pass_(3)
    await kept.do(lambda tx: tx.put_line(line(2, uncovered=1)))
    kept.pass_(3)
    await kept.do(lambda tx: tx.put_line(line(1)))
    (sale,) = await kept.do(shadow.sales)
    assert (sale.units, sale.wanted, sale.heard_at) == (2, 1, heard)
    assert (sale.uncovered, sale.uncovered_at) == (1, short)
    await kept.do(lambda tx: tx.put_line(line(0, fulfilled=1, returned=1)))
    assert [each.wanted for each in await kept.do(lambda tx: shadow.sales(tx, skus=["BAG"]))] == [0]
    assert await kept.do(lambda tx: shadow.sales(tx, skus=["TIE"])) == []


async def test_an_overlay_is_what_would_be_less_what_others_entered_for_the_same(kept: Kept) -> None:
    """And is kept over a restart, with the count of its changes."""
    await kept.do(lambda tx: tx.put_line(line()))
    await kept.do(lambda tx: tx.enter_virtually([row("a", 0, 1)], NOW))
    assert await kept.do(lambda tx: tx.settle(["BAG"])) == {BAG: Overlay(0, 1, 1)}
    assert await kept.do(lambda tx: tx.settle(["BAG"])) == {}
    theirs = Entry("r1", BAG, MovementKind.SALE, -1, 0, "#7", NOW)
    assert await kept.do(lambda tx: tx.add_entries([theirs]))
    assert not await kept.do(lambda tx: tx.add_entries([theirs]))
    assert await kept.do(lambda tx: tx.settle(["BAG"])) == {BAG: Overlay(1, 1, 2)}
    assert await kept.do(lambda tx: tx.overlays()) == {BAG: Overlay(1, 1, 2)}
    assert [each.key for each in await kept.do(lambda tx: tx.virtual_rows())] == ["a"]
    assert await kept.do(lambda tx: shadow.would_have_entered(tx, NOW)) == 1


async def test_the_numbers_of_many_places_are_told_one_place_after_another(kept: Kept) -> None:
    """In the order of time at each, whatever the order in which they were kept, on both databases."""
    skus = ["b-2", "B-10", "a b", "É", "B_1"]
    for shows in (3, 2):
        at = kept.pass_(1)
        for sku in skus:
            items = [item(sku, shows)]
            await kept.do(partial(ShadowTx.saw, channel="london", items=items, asked_at=at, at=at))
            await kept.do(
                partial(ShadowTx.put_items, channel="london", items=items, problems={}, asked_at=NOW, at=NOW)
            )
    found = await kept.do(lambda tx: list(shadow.numbers(tx, "london")))
    assert sorted(place[1] for place, _, _ in found) == sorted(skus)
    assert all([step.number for step in would] == [3, 2] for _, would, _ in found)
    assert all([spell.number for spell in seen] == [3, 2] for _, _, seen in found)
    assert await kept.do(lambda tx: list(shadow.numbers(tx, "dubai"))) == []
    assert await kept.do(lambda tx: shadow.count_changes(tx, "london", at)) == 5


async def test_times_without_a_shadow_are_told_apart(kept: Kept) -> None:
    """One that was away for a moment was there."""
    for seconds in (0, 30, 60, 600):
        at = kept.pass_(seconds)
        await kept.do(lambda tx, at=at: tx.watched_on(at))  # type: ignore[misc]  # a default of the lambda
    spans = await kept.do(shadow.spans)
    assert [(end - begin).total_seconds() for begin, end in spans] == [90, 0]


async def test_what_is_old_is_forgotten_but_not_what_stands(kept: Kept) -> None:
    """A number that has stood for a month is still known."""
    await kept.do(lambda tx: tx.put_items("london", [item("BAG", 3)], {}, NOW, NOW))
    await kept.do(lambda tx: tx.put_items("london", [item("BAG", 2)], {}, NOW, NOW))
    for shows in (3, 2):
        at = kept.pass_(1)
        await kept.do(lambda tx, at=at, shows=shows: tx.saw("london", [item("BAG", shows)], at, at))  # type: ignore[misc]  # defaults of the lambda
    later = kept.pass_(3600)
    await kept.do(lambda tx: tx.forget(later))
    would, seen = await kept.do(of_bag)
    assert [step.number for step in would] == [2]
    assert [spell.number for spell in seen] == [2]


async def test_leaving_empties_every_table_but_whose_the_store_is_and_what_was_seen(kept: Kept) -> None:
    """Whatever table is added later: what a shadow thought must not be sent."""

    def fill(tx: ShadowTx) -> None:
        tx.bind_org("00D000000000001AAA", NOW)
        shadow.begin(tx, NOW)
        tx.put_policies("some")
        tx.note_channel("london", NOW)
        tx.put_items("london", [item("BAG", 3)], {}, NOW, NOW)
        tx.put_line(line())
        tx.add_bundle([row("a", 0, 1)], {"order:london:7:1": "london"}, NOW)
        tx.add_push("london", "key", b"{}", [], NOW)
        tx.enter_virtually([row("a", 0, 1)], NOW)
        tx.settle(["BAG"])

    await kept.do(fill)
    assert await kept.do(shadow.since) == NOW
    later = kept.pass_(60)
    await kept.do(lambda tx: shadow.leave(tx, later))

    def left(tx: ShadowTx) -> set[str]:
        return {
            table.name for table in metadata.sorted_tables if tx.connection.execute(table.select()).first()
        }

    assert await kept.do(left) == {"binding", "shadow_sale", "shadow_would"}
    assert await kept.do(lambda tx: (shadow.since(tx), tx.policies(), tx.first_start())) == (
        None,
        None,
        later,
    )
