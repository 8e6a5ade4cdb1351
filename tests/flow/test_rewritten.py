"""Movements that people delete where goods are being sold, and backups that nobody told of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.flow.kit import TILL, WAKE, HastyClock, House, LittleOrg, house, total

from sfsync.domain.incidents import REWRITTEN
from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.flow.drift import DriftWatch
from sfsync.flow.folding import FoldWish
from sfsync.flow.intake import Poll, enter_postings
from sfsync.flow.levels import apply_levels
from sfsync.ports import Incident, Posting
from sfsync.shadow import ShadowOrg
from sfsync.store import Database
from sfsync.store.shadow import ShadowTx

BAG = "BAG-1|ECOM"
KEY = LevelKey.parse(BAG)


async def sold(h: House, shop: str) -> str:
    """A shop sells one bag, and the org has its row; the row's key."""
    number = h.shops[shop].buy("BAG-1")
    await h.deliver(shop, number)
    await h.until(lambda: total(h.org.of(f"order:{shop}:{number}:")) == (0, 1))
    await h.idle()
    return f"order:{shop}:{number}:1:0"


async def look(h: House) -> None:
    """What has moved is asked for, as every five minutes."""
    await Poll(h.ctx, WAKE, after_seconds=60.0).look(away=True)


async def rewritten(h: House) -> list[Incident]:
    return [each for each in await h.store.read(lambda tx: tx.incidents()) if each.kind == REWRITTEN]


async def settled(h: House) -> None:
    """What is to be read again was, and what hangs on it is entered."""
    await h.until_kept(lambda tx: not tx.to_read_again())
    await h.idle()


async def test_a_sale_of_ours_does_not_hide_a_deleted_promise() -> None:
    """Dubai's row is deleted and London sells: all numbers are what they were, and two bags are promised."""
    async with house({BAG: 5}) as h:
        first = await sold(h, "dubai")
        h.org.forget(h.org.number_of(first), told=False)
        await sold(h, "london")
        await h.until_kept(lambda tx: tx.incidents())
        await settled(h)
        (incident,) = await rewritten(h)
        assert incident.title.endswith("version 2 became 2 with 1 movement of sfsync's entered")
        assert incident.detail["subjects"] == [first.removesuffix(":0")]
        assert h.org.numbers(BAG) == (5, 2)
        await h.shows("BAG-1", 3, 3)


async def test_a_deletion_that_receipts_outweigh_is_found_by_asking_what_has_moved() -> None:
    """The promise is gone and two receipts came: the version is higher, and the org still knows what went."""
    async with house({BAG: 5}) as h:
        first = await sold(h, "dubai")
        h.org.forget(h.org.number_of(first), told=False)
        h.org.move(BAG, on_hand=1, told=False)
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 7, 7)
        assert await rewritten(h) == []
        await look(h)
        await h.until_kept(lambda tx: tx.incidents())
        await settled(h)
        (incident,) = await rewritten(h)
        assert incident.title.endswith("was rewritten in the org: movements were deleted, or put back")
        assert incident.detail["subjects"] == [first.removesuffix(":0")]
        assert h.org.numbers(BAG) == (7, 1)
        await h.shows("BAG-1", 6, 6)


async def test_what_a_fold_has_taken_out_is_no_deletion() -> None:
    """Its rows are gone, too, and who asks what has moved hears of them: nothing is read again for that."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.until(lambda: h.org.numbers(BAG) == (5, 1))
        h.shops["dubai"].change(number, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("dubai", number)
        await h.until(lambda: h.org.numbers(BAG) == (4, 0))
        await h.idle()
        h.org.age(days=200)
        run = h.supervisor.folding.begin(FoldWish(timedelta(days=90)))
        assert run is not None
        await h.supervisor.folding.carry_out(run)
        assert run.requests == 1
        assert h.org.deleted
        await look(h)
        assert await h.store.read(lambda tx: tx.epochs()) == {}


async def test_promises_that_add_up_to_more_than_the_level_has_are_looked_at() -> None:
    """A backup is put back and receipts come: no version is lower and no deleted row is left to be told."""
    async with house({BAG: 5}) as h:
        first = await sold(h, "dubai")
        h.org.forget(h.org.number_of(first), told=False)
        h.org.deleted.clear()
        h.org.move(BAG, on_hand=1, told=False)
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 7, 7)
        await look(h)
        assert await rewritten(h) == []
        await h.supervisor.rewrites.weigh()
        await h.supervisor.rewrites.work()
        await h.until_kept(lambda tx: tx.incidents())
        await settled(h)
        assert [each.key for each in await rewritten(h)] == [BAG]
        assert h.org.numbers(BAG) == (7, 1)
        await h.shows("BAG-1", 6, 6)


async def test_a_backup_that_nobody_told_of_is_taken_over_by_the_drifts_look() -> None:
    """A receipt is not in the backup, and nothing moves there afterwards: the sums show it, and it counts."""
    async with house({BAG: 5}) as h:
        receipt = h.org.move(BAG, on_hand=3)
        await h.shows("BAG-1", 8, 8)
        h.org.forget(receipt, told=False)
        looks = DriftWatch(h.ctx, h.supervisor.polls, h.supervisor.reconcile)
        assert await looks.look_at_org() == 0
        await h.shows("BAG-1", 5, 5)
        await settled(h)
        (incident,) = await rewritten(h)
        assert incident.detail["before"] == [8, 0, 2]
        assert incident.detail["now"] == [5, 0, 1]
        assert (await looks.tell())["open"] == []


async def test_a_level_whose_key_is_corrected_is_sold_under_the_new_one_alone() -> None:
    """Five bags were entered under a mistyped SKU: the record is the same, and there are not ten of them."""
    async with house({BAG: 5, "BAG-2|ECOM": 1}, shelf={"BAG-1": 0, "BAG-2": 0, "BAG-3": 0}) as h:
        asked_at, before = h.clock.now(), h.org.level(BAG)
        first = await sold(h, "dubai")
        new = LevelKey("BAG-3", "ECOM")
        h.org.keys[h.org.id_of(KEY)] = new
        h.org.rows = {n: replace(r, level=new) if r.level == KEY else r for n, r in h.org.rows.items()}
        h.org.move(str(new), on_hand=1)
        await h.shows("BAG-3", 5, 5)
        await h.shows("BAG-1", 0, 0)
        await settled(h)
        (incident,) = await rewritten(h)
        assert incident.title.startswith(f"the stock level {BAG} is called {new} in the org now")
        assert incident.detail["subjects"] == [first.removesuffix(":0")]
        held = await h.store.read(lambda tx: tx.levels([KEY, new]))
        numbers = {key: (level.on_hand, level.reserved) for key, (level, _) in held.items()}
        assert numbers == {KEY: (0, 0), new: (6, 1)}
        await h.store.write(lambda tx: apply_levels(tx, h.ctx, [before], asked_at))
        assert await h.store.read(lambda tx: tx.levels([KEY, new])) == held
        h.org.till(BAG, -1, "receipt-1")  # nobody sells the one for the other
        await h.until_kept(lambda tx: tx.dead_letters())
        assert h.org.numbers(str(new)) == (6, 1)


async def test_a_clock_that_is_put_back_after_a_rewriting_freezes_no_level() -> None:
    """An hour back: the receipt that comes then is on sale at once, and the org is asked a few times."""
    async with house({BAG: 5}) as h:
        extra = h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 6, 6)
        h.org.forget(extra)
        await h.shows("BAG-1", 5, 5)
        await settled(h)
        h.clock.stopped_at = h.clock.now() - timedelta(hours=1)
        before = h.org.reads
        h.org.move(BAG, on_hand=3)
        await h.until(lambda: h.org.reads > before)
        h.clock.stopped_at += timedelta(seconds=1)
        await h.shows("BAG-1", 8, 8)
        await settled(h)
        assert h.org.reads - before < 10


async def test_in_shadow_nothing_that_is_only_thought_of_makes_a_ledger_rewritten() -> None:
    """Two receipts and a sale would have been entered: no version in the org is higher for them."""
    stores: list[Database] = []

    def in_shadow(part: Any) -> Any:
        if isinstance(part, Database):
            part.transact_by(lambda connection: ShadowTx(connection, HastyClock().now))
            stores.append(part)
        return ShadowOrg(part, stores[-1], part.clock.now) if isinstance(part, LittleOrg) else part

    async with house({BAG: 5}, rim=in_shadow) as h:
        now = h.clock.now()
        told = [Posting(each, MovementKind.RECEIPT, KEY, 1, each, now) for each in ("one", "two")]
        bells = await h.store.write(lambda tx: enter_postings(tx, h.ctx, TILL, told, now))
        h.ctx.bell.ring(*bells)
        await h.shows("BAG-1", 7, 7)
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 6, 6)
        await h.idle()
        await h.supervisor.rewrites.weigh()
        assert await h.store.read(lambda tx: (tx.to_read_again(), tx.epochs())) == ([], {})
        assert h.org.numbers(BAG) == (5, 0)
