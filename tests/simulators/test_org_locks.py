"""Row locks of the simulated org, in-process: waiting, giving up, and never being left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sfsync.simulators.org.engine import Caller, Latency
from sfsync.simulators.org.locks import LockTimeout, RowLocks
from sfsync.simulators.org.model import ChangeKind
from sfsync.simulators.org.org import Org, OrgConfig, build_org
from sfsync.simulators.org.save import Operation

SOURCE = Path(__file__).resolve().parents[2] / "salesforce"
TILL = Caller("005Wt0000000001IAA", "till")


async def test_a_free_lock_is_taken_at_once_and_again_by_its_owner() -> None:
    """Taking it twice is no second lock: one release frees it."""
    locks, owner = RowLocks(), object()
    await locks.acquire("row", owner, 0.0)
    await locks.acquire("row", owner, 0.0)
    locks.release("row", owner)
    assert locks.held() == 0


async def test_who_waits_first_is_served_first() -> None:
    """The lock goes from hand to hand in the order of asking."""
    locks, order = RowLocks(), []
    first = object()
    await locks.acquire("row", first, 1.0)

    async def take(name: str) -> None:
        owner = object()
        await locks.acquire("row", owner, 5.0)
        order.append(name)
        locks.release("row", owner)

    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "c"):
            group.create_task(take(name))
            await asyncio.sleep(0)
        locks.release("row", first)
    assert order == ["a", "b", "c"]
    assert locks.held() == 0


async def test_who_waits_too_long_gives_up_and_leaves_no_trace() -> None:
    """The next one still gets its turn."""
    locks, owner, late = RowLocks(), object(), object()
    await locks.acquire("row", owner, 1.0)
    with pytest.raises(LockTimeout):
        await locks.acquire("row", late, 0.01)
    locks.release("row", owner)
    assert locks.try_acquire("row", object())


async def test_a_cancelled_wait_hands_the_lock_on() -> None:
    """Nobody inherits a lock he no longer waits for."""
    locks, owner = RowLocks(), object()
    await locks.acquire("row", owner, 1.0)
    waiting = asyncio.create_task(locks.acquire("row", object(), 5.0))
    await asyncio.sleep(0)
    locks.release("row", owner)  # handed over, but the task has not run yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert locks.held() == 0


def _org(*knobs: str, latency: Latency | None = None) -> tuple[Org, list[str]]:
    seed = {"levels": [{"sku": f"S{number}", "location": "L", "on_hand": 10} for number in range(3)]}
    org = build_org(OrgConfig(SOURCE, knobs, latency or Latency(), seed))
    return org, list(org.engine.store.tables["StockLevel__c"].rows)


def _movement(org: Org, level_id: str, **values: Any) -> Operation:
    sobject = org.schema.objects["StockMovement__c"]
    filled = {"StockLevel__c": level_id, "Kind__c": "Receipt", "OnHandDelta__c": 1.0, **values}
    return Operation(sobject, ChangeKind.CREATE, filled)


async def _save(org: Org, *operations: Operation, all_or_none: bool = False) -> list[str | None]:
    async with org.engine.transaction(TILL) as transaction:
        await org.engine.dml(transaction, operations, all_or_none=all_or_none)
    return [each.errors[0].code if each.errors else None for each in operations]


async def test_a_movement_waits_for_the_lock_of_its_level() -> None:
    """And is entered when the other transaction has ended, on top of what that one did."""
    org, [level, *_] = _org()
    other = org.engine.begin(TILL)
    await org.engine.dml(other, [_movement(org, level)], all_or_none=True)
    waiting = asyncio.create_task(_save(org, _movement(org, level)))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert org.engine.store.get("StockLevel__c", level)["OnHand__c"] == 10.0  # type: ignore[index]  # reason: it is there
    await org.engine.commit(other)
    assert await waiting == [None]
    assert org.engine.store.get("StockLevel__c", level)["OnHand__c"] == 12.0  # type: ignore[index]  # reason: as above
    assert org.engine.locks.held() == 0


async def test_a_save_that_cannot_get_its_lock_says_which_row() -> None:
    """UNABLE_TO_LOCK_ROW for the rows of that level; the others are saved."""
    org, [first, second, _] = _org("lock_wait_seconds=0.02")
    other = org.engine.begin(TILL)
    await org.engine.dml(other, [_movement(org, first)], all_or_none=True)
    operations = [_movement(org, level) for level in (first, second, first)]
    assert await _save(org, *operations) == ["UNABLE_TO_LOCK_ROW", None, "UNABLE_TO_LOCK_ROW"]
    assert first[:15] in operations[0].errors[0].message
    org.engine.roll_back(other)
    assert org.engine.locks.held() == 0


async def test_two_that_hold_what_the_other_wants_do_not_wait_for_ever() -> None:
    """A deadlock ends like any other wait: at least one of them gives up, and no lock stays."""
    org, [first, second, _] = _org("lock_wait_seconds=0.05")
    here, there = org.engine.begin(TILL), org.engine.begin(TILL)
    await org.engine.dml(here, [_movement(org, first)], all_or_none=True)
    await org.engine.dml(there, [_movement(org, second)], all_or_none=True)
    crossed = [_movement(org, second), _movement(org, first)]
    await asyncio.gather(
        org.engine.dml(here, crossed[:1], all_or_none=True),
        org.engine.dml(there, crossed[1:], all_or_none=True),
    )
    assert {error.code for each in crossed for error in each.errors} == {"UNABLE_TO_LOCK_ROW"}
    for transaction in (here, there):
        org.engine.roll_back(transaction)
    assert org.engine.locks.held() == 0


async def test_the_second_with_the_same_key_waits_and_is_then_a_duplicate() -> None:
    """Or is entered after all, if the first one is rolled back."""
    for committed, expected in ((True, "DUPLICATE_VALUE"), (False, None)):
        org, [first, second, _] = _org()
        other = org.engine.begin(TILL)
        await org.engine.dml(other, [_movement(org, first, IdempotencyKey__c="k")], all_or_none=True)
        waiting = asyncio.create_task(_save(org, _movement(org, second, IdempotencyKey__c="k")))
        await asyncio.sleep(0)
        assert not waiting.done()
        if committed:
            await org.engine.commit(other)
        else:
            org.engine.roll_back(other)
        assert await waiting == [expected]


async def test_an_abandoned_transaction_frees_its_locks() -> None:
    """A request whose task is cancelled amid its wait leaves nothing behind."""
    org, [level, *_] = _org(latency=Latency(write=30.0))
    task = asyncio.create_task(_save(org, _movement(org, level)))
    await asyncio.sleep(0)
    assert org.engine.locks.held() > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert org.engine.locks.held() == 0
