"""The two ports that the flow is given in shadow: what they tell, and that nothing passes them."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from tests.flow.kit import HastyClock, LittleOrg, LittleShop

from sfsync.domain.ledger import Bundle, Request, RowResult
from sfsync.domain.orders import OrderLine
from sfsync.domain.shadow import Entry
from sfsync.domain.stock import Freshness, LevelKey, Movement, MovementKind, StockLevel, compare
from sfsync.ports import Channel, LineState, Org, Refused, Write
from sfsync.shadow import ShadowChannel, ShadowOrg
from sfsync.shadow.report import handed_over
from sfsync.store import Database, open_store, shadow
from sfsync.store.shadow import ShadowTx

BAG = LevelKey("BAG", "ECOM")
# Whatever of a port changes something out there. A new method must be put here or below.
WRITES = {"enter", "create_levels", "fold", "check_fold", "push", "cancel_order", "encode"}
READS = {
    *("org_id", "check", "snapshot", "export", "levels_of_skus", "sums", "sums_between", "levels_between"),
    *("read_levels", "levels_moved_since", "read_orders", "orders_changed_since", "returns_under_way"),
    *("products", "promises"),
    *("sold", "subject_rows", "level_rows", "rows_at", "entered_since", "moved", "rows_of", "openings"),
    *("reserving_rows", "orders_entered", "children", "count_rows", "storage", "events", "calls"),
    "hours_of_calls",
    *("recall_calls", "close", "items", "receive", "read_order", "order_called", "order", "orders_since"),
}


class Locked(LittleOrg):
    """An org that must not be written to."""

    async def enter(self, *_: object) -> NoReturn:
        pytest.fail("a movement passed")

    async def create_levels(self, *_: object) -> NoReturn:
        pytest.fail("a level passed")

    async def fold(self, *_: object) -> NoReturn:
        pytest.fail("a fold passed")

    async def check_fold(self) -> NoReturn:
        pytest.fail("a probe passed")


class LockedShop(LittleShop):
    """A shop that must not be written to."""

    def encode(self, *_: object) -> NoReturn:
        pytest.fail("a push was made")

    async def push(self, *_: object) -> NoReturn:
        pytest.fail("a push passed")

    async def cancel_order(self, *_: object, **__: object) -> NoReturn:
        pytest.fail("a cancellation passed")


class Shade:
    """A shadow's parts without the flow between them."""

    def __init__(self, store: Database) -> None:
        self.clock = HastyClock()
        self.store = store
        self.real = Locked(self.clock, {"BAG|ECOM": 1})
        self.shop = LockedShop(self.clock, "london", {"BAG": 7})
        self.org = ShadowOrg(self.real, store, self.clock.now)
        self.channel = ShadowChannel(self.shop, store, self.clock)

    async def begin(self) -> None:
        """As the daemon does."""
        self.store.transact_by(lambda connection: ShadowTx(connection, self.clock.now))
        now = self.clock.now()

        def bind(tx: Any) -> None:
            tx.bind_org("00D000000000001AAA", now)
            shadow.begin(tx, now)

        await self.store.write(bind)
        await self.load()

    async def load(self) -> None:
        """At a start."""
        self.org = ShadowOrg(self.real, self.store, self.clock.now)
        await self.org.load()

    async def bag(self) -> tuple[int, int]:
        """(on hand, reserved) as the flow gets it."""
        (level,) = await self.org.read_levels(keys=[BAG])
        return level.on_hand, level.reserved

    async def hear(self, name: str, placed_at: datetime | None = None) -> str:
        """A shop has sold a bag, just now if it is not told when; the subject of the order's line."""
        subject, at = f"order:london:{name}:1", placed_at or self.clock.now()
        line = LineState(subject, "london", name, f"#{name}", OrderLine("1", "BAG", 1), at, at, "online")
        await self.store.write(lambda tx: tx.put_line(line))
        return subject

    async def reserve(self, subject: str) -> RowResult:
        """What the org would say to it."""
        row = Movement(f"{subject}:0", subject, BAG, MovementKind.ORDER, 0, 1, "", "", self.clock.now())
        request = Request((Bundle(1, (row,), 1),), (), frozenset({BAG}))
        answer = await self.org.enter(request, {BAG: self.real.id_of(BAG)})
        return answer.results[row.key].result


@asynccontextmanager
async def shade(folder: Path) -> AsyncIterator[Shade]:
    """A shadow that has just begun."""
    store = open_store(f"sqlite:///{folder / 's.db'}", exclusive=False)
    made = Shade(store)
    try:
        await made.begin()
        yield made
    finally:
        await store.close()


def test_every_method_of_both_ports_is_known_to_read_or_to_write() -> None:
    """So that a new one that writes cannot be handed on by oversight."""
    methods = {
        name
        for port in (Org, Channel)
        for name, _ in inspect.getmembers(port, inspect.isfunction)
        if name[0] != "_"
    }
    assert methods == WRITES | READS


@pytest.mark.parametrize("more", ["subscribe", "unsubscribe", "outcome"])
def test_what_only_some_channels_can_do_is_not_to_be_had(more: str) -> None:
    """Nobody registers a webhook, or asks what became of a push, by a port that has no such thing."""
    assert not hasattr(ShadowChannel, more)


async def test_what_would_be_entered_is_read_back_and_the_org_has_nothing_of_it(tmp_path: Path) -> None:
    """The second who wants the last bag is refused, as the org would have; after a restart too."""
    async with shade(tmp_path) as made:
        first, second = await made.hear("1"), await made.hear("2")
        assert await made.reserve(first) is RowResult.CREATED
        assert await made.bag() == (1, 1)
        await made.load()
        assert await made.bag() == (1, 1)
        assert await made.reserve(first) is RowResult.DUPLICATE
        assert await made.reserve(second) is RowResult.INSUFFICIENT
        assert [row.subject for row in await made.org.subject_rows([first])] == [first]
        assert (made.real.numbers("BAG|ECOM"), made.real.requests) == ((1, 0), [])


async def test_when_somebody_enters_the_sale_the_level_is_the_orgs_own_again(tmp_path: Path) -> None:
    """One sale is never taken off twice, and no level seems to go back on the way."""
    async with shade(tmp_path) as made:
        await made.reserve(await made.hear("1"))
        (before,) = await made.org.read_levels(keys=[BAG])
        made.real.move("BAG|ECOM", -1)
        (after,) = await made.org.read_levels(keys=[BAG])
        assert after.available == made.real.level(BAG).available == 0
        assert compare(before, after, asked_after_held=True) is Freshness.NEWER
        entries = await made.store.read(shadow.entries)
        assert [each.units for each in entries if each.units > 0] == [1]


async def test_a_sale_that_was_entered_before_it_was_heard_of_is_not_entered_again(tmp_path: Path) -> None:
    """The other integration had the webhook; sfsync reads the order list a while later."""
    async with shade(tmp_path) as made:
        await made.bag()
        made.clock.stop()
        subject = await made.hear("1")
        made.real.move("BAG|ECOM", -1)
        assert await made.bag() == (1, 0), "what the org has, less what sfsync would not have entered yet"
        assert await made.reserve(subject) is RowResult.CREATED
        assert await made.bag() == (1, 1)


async def test_a_sale_entered_twice_would_not_have_been(tmp_path: Path) -> None:
    """The level is the one that the org would have, had the sale been entered once."""
    async with shade(tmp_path) as made:
        made.real.move("BAG|ECOM", 5)
        await made.bag()
        await made.reserve(await made.hear("1"))
        for _ in range(2):
            number = made.real.move("BAG|ECOM", -1)
            row = made.real.rows[number]
            made.real.rows[number] = Movement(
                f"glue:{number}", "", BAG, row.kind, -1, 0, "order #1", "", row.occurred_at
            )
        (level,) = await made.org.read_levels(keys=[BAG])
        assert (level.available, made.real.level(BAG).available) == (5, 4)


async def test_the_shop_is_read_as_it_is_and_believed_to_show_what_it_would(tmp_path: Path) -> None:
    """A number that is not known yet is the shop's own; from then on it is ours, whatever the shop shows."""
    async with shade(tmp_path) as made:
        (page,) = [page async for page in made.channel.items(["BAG"])]
        assert [item.shows for item in page] == [7]
        now = made.clock.now()
        await made.store.write(lambda tx: tx.put_items("london", page, {}, now, now))
        body = made.channel.encode("key", [Write("BAG", "online", "1", "2", delta=-3)])
        assert (await made.channel.push(body)).applied
        made.shop.shelf["BAG"] = 2
        made.clock.stopped_at = made.clock.now() + timedelta(seconds=5)
        (page,) = [page async for page in made.channel.items(["BAG"])]
        assert [item.shows for item in page] == [7]
        ((_, _, seen),) = await made.store.read(lambda tx: list(shadow.numbers(tx, "london", sku="BAG")))
        assert [spell.number for spell in seen] == [7, 2]
        assert made.shop.sent == []


async def test_what_cannot_be_thought_is_refused(tmp_path: Path) -> None:
    """Folding, and calling an order off."""
    async with shade(tmp_path) as made:
        with pytest.raises(Refused, match="in shadow"):
            await made.org.check_fold()
        with pytest.raises(Refused, match="in shadow"):
            await made.channel.cancel_order("1", refund=True, notify=True, note="")
        assert (made.channel.ability.cancels, made.channel.ability.asynchronous) == (False, False)
        await made.org.create_levels([LevelKey("BAG", "IN-TRANSIT")])
        (level,) = await made.org.read_levels(keys=[LevelKey("BAG", "IN-TRANSIT")])
        assert (level.on_hand, len(made.real.keys)) == (0, 1)


async def test_a_store_that_leaves_the_shadow_keeps_the_history_and_nothing_that_was_only_thought(
    tmp_path: Path,
) -> None:
    """No row, line, number or push of the shadow is left to be sent."""
    async with shade(tmp_path) as made:
        await made.reserve(await made.hear("1"))
        now = made.clock.now()

        def leave(tx: Any) -> None:
            tx.add_push("london", "key", b"{}", [], now)
            tx.put_poll_mark("london", now)
            shadow.leave(tx, now)

        await made.store.write(leave)
        left = await made.store.read(
            lambda tx: (
                tx.bound_org(),
                shadow.since(tx),
                tx.open_pushes("london"),
                tx.due_lines(10),
                tx.waiting_bundles(0),
                tx.poll_mark("london"),
                [sale.order_name for sale in shadow.sales(tx)],
            )
        )
        assert left == ("00D000000000001AAA", None, [], [], [], None, ["#1"])


async def test_orders_are_ours_from_where_the_shadow_stopped_and_none_is_entered_twice_or_by_nobody(
    tmp_path: Path,
) -> None:
    """One that the script entered after that is not ours; one that it never entered is told of, or ours."""
    async with shade(tmp_path) as made:
        made.clock.stop()
        now = made.clock.now()

        async def sold(name: str, ago: float, *, entered: bool) -> None:
            made.clock.stopped_at = now - timedelta(seconds=ago)
            await made.hear(name)
            if entered:
                words = Entry(name, BAG, MovementKind.SALE, -1, 0, f"#{name}", made.clock.now())
                await made.store.write(lambda tx: cast("ShadowTx", tx).add_entries([words]))
            made.clock.stopped_at = now

        await sold("1", 120, entered=True)
        await sold("2", 90, entered=False)
        await sold("3", 20, entered=False)
        marks = {"london": now - timedelta(seconds=40), "paris": now - timedelta(days=1), "rome": None}
        ours, left = await made.store.read(lambda tx: handed_over(tx, marks, now))
        assert ours == {"london": marks["london"], "paris": now, "rome": now}
        assert [each.sale.order_name for each in left] == ["#2"], "the third will be entered by sfsync"
        await sold("4", 10, entered=True)
        ours, left = await made.store.read(lambda tx: handed_over(tx, marks, now))
        assert ours["london"] == now - timedelta(seconds=8)
        assert [each.sale.order_name for each in left] == ["#2", "#3"]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_comes_between_no_level_seems_to_go_back_and_in_the_end_it_is_the_orgs_own(
    tmp_path: Path, seed: int
) -> None:
    """Sales heard early and late, entered by name or without a word, tills between, readings side by side."""
    luck = random.Random(seed)
    async with shade(tmp_path) as made:
        made.real.move("BAG|ECOM", 50)
        held: list[tuple[StockLevel, datetime]] = []

        async def look() -> None:
            asked_at = made.clock.now()
            (level,) = await made.org.read_levels(keys=[BAG])
            if held:
                before, stored_at = held[-1]
                found = compare(before, level, asked_after_held=asked_at > stored_at)
                assert found is not Freshness.REWRITTEN, (before, level)
                if found is not Freshness.NEWER:
                    return
            held.append((level, made.clock.now()))

        async def sell(number: int) -> None:
            parts = [partial(made.hear, str(number), made.clock.now()), partial(enter, number)]
            for part in luck.sample(parts, 2):
                await asyncio.sleep(luck.random() / 100)
                subject = await part()
                if subject:
                    assert await made.reserve(subject) is RowResult.CREATED

        async def enter(number: int) -> str:
            row = made.real.move("BAG|ECOM", -1)
            if luck.random() < 0.7:
                plain = made.real.rows[row]
                made.real.rows[row] = replace(plain, key=f"glue:R{row}", subject="", reference=f"#{number}")
            return ""

        async def till() -> None:
            await asyncio.sleep(luck.random() / 100)
            row = made.real.move("BAG|ECOM", -1)
            plain = made.real.rows[row]
            made.real.rows[row] = replace(plain, key=f"till:R{row}", subject="", reference=f"receipt R{row}")

        async def watch() -> None:
            await asyncio.sleep(luck.random() / 50)
            await look()

        await asyncio.gather(
            *(sell(number) for number in range(8)), *(till() for _ in range(4)), *(watch() for _ in range(20))
        )
        await look()
        (level,) = await made.org.read_levels(keys=[BAG])
        assert (level.available, made.real.level(BAG).available) == (39, 39)
