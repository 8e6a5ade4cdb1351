"""Trouble that was thought of later than `rare`: each kind by an actor of its own, with its own chance.

So the days of before it stay what they were.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sfsync.simulators.org.faults import Fault as OrgFault
from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.model import LineItem, Order
from sfsync.simulators.shopify.selling import RefundRow

from .actors import Day
from .rare import Rare
from .records import NotSavedError, Records
from .sold import lines
from .world import WAREHOUSE_TOKEN, World

ADMIN = f"Bearer {WAREHOUSE_TOKEN}"
PATIENCE = 600  # seconds until somebody gives up


class Phantom(Rare):
    """The key of a row is being entered by a request that is rolled back: its answer proves nothing."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self._kinds = {"phantom": self._phantom}

    def _phantom(self) -> str:
        times = self.chance.choice([1, 3])
        begins = self.chance.choice(["order:", "posting:", "reservation:"])
        self.world.org.faults.arm(OrgFault("phantom", times=times, begins=begins))
        return f"{times} of {begins}"


class KeyTaken(Rare):
    """A daemon on an old copy of the store entered something that moves nothing, under keys to come."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self._kinds, self._records = {"key_taken": self._key_taken}, Records(world)

    async def _key_taken(self) -> str:
        rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.world.org.engine.store.tables["StockMovement__c"].rows.values():
            if str(row["SubjectKey__c"] or "").startswith("order:"):
                rows[row["SubjectKey__c"]].append(row)
        still = [
            subject for subject, own in rows.items() if sum(row["ReservedDelta__c"] or 0 for row in own) > 0
        ]
        found = []
        for subject in self.chance.sample(still[-20:], min(5, len(still))):
            steps = [int(row["IdempotencyKey__c"].rpartition(":")[2]) for row in rows[subject]]
            body = {
                "StockLevel__c": rows[subject][-1]["StockLevel__c"],
                "Kind__c": "Adjustment",
                "OnHandDelta__c": 0,
                "ReservedDelta__c": 0,
                "VersionDelta__c": 1,
                "SubjectKey__c": subject,
                "IdempotencyKey__c": f"{subject}:{max(steps) + 1}",
            }
            try:
                await self._records.create("StockMovement__c", body)
            except NotSavedError:
                continue  # it was entered this very moment
            found.append(subject)
        return ", ".join(found) or "there is none"


class StaleAnswer(Rare):
    """An answer is on its way while somebody deletes the newest movements of a level that it tells of."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self._kinds = {"stale_answer": self._stale_answer}

    async def _stale_answer(self) -> str:
        for _ in range(10):
            before = await self._asked()
            for level, rows in self.may_go().items():
                if len(rows) > 3 and {str(row["Id"]) for row in rows} - before:
                    gone = [str(row["Id"]) for row in rows[-4:]]
                    done = await self.world.rewrite(gone)
                    sku, place = level.split("|")
                    await self.world.enter(sku, place, "Adjustment")  # is told, and the level read
                    return (
                        f"{len(gone)} movements of {level} are deleted{'' if done else ': the org refuses'}"
                    )
        return "nothing of what may go was entered"

    async def _asked(self) -> set[str]:
        """Something was entered whose answer takes its time; the movements that stood before."""
        table = self.world.org.engine.store.tables["StockMovement__c"].rows
        slow = OrgFault("delay_after", path="/composite", seconds=self.chance.choice([4.0, 8.0]))
        self.world.org.faults.arm(slow)
        before = set(table)
        for _ in range(1000):
            if slow.struck or self.day.over.is_set():
                break
            before = set(table)
            await asyncio.sleep(0.02)
        self.world.org.faults.disarm(slow)
        await asyncio.sleep(0.02)
        return before


class FoldInWork(Rare):
    """A parcel comes back, the org refuses to enter it, and its article is folded."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self._kinds = {"fold_in_work": self._fold_in_work}

    async def _fold_in_work(self) -> str:
        for _ in range(PATIENCE):
            if self.day.over.is_set() or (sold := self._sold()):
                break
            await asyncio.sleep(1.0)
        if self.day.over.is_set() or not sold:
            return "nothing is to be sent"
        name, subject, order, line = self.chance.choice(sold[-20:])
        what, selling = f"1 {line.variant.sku} of {name} {order.name}", self.world.shops[name].selling
        try:
            selling.fulfil(order)
            await asyncio.sleep(self.chance.choice([3.0, 6.0]))
            self.world.org.faults.arm(OrgFault("refuse_row", begins=f"{subject}:"))
            selling.refund(order, [RefundRow(line, 1, True)])
        except NotPossible as error:
            return f"{what}: not possible: {error}"
        told = []
        for _ in range(3):
            await asyncio.sleep(self.chance.choice([1.0, 2.0, 5.0]))
            wish = {"older_than_days": 0, "sku": line.variant.sku}
            answer = await self.ask("POST", "/v1/ledger/fold", wish, authorization=ADMIN)
            told.append("unknown" if answer is None else str(answer.status_code))
        return f"{what} is sent and comes back, and folds are {told}"

    def _sold(self) -> list[tuple[str, str, Order, LineItem]]:
        """What is reserved and may be sent."""
        rows = self.world.org.engine.store.tables["StockMovement__c"].rows.values()
        there = {str(row["SubjectKey__c"]) for row in rows}
        return [
            (name, subject, order, line)
            for name, subject, order, line in lines(self.world)
            if subject in there and not order.fulfillments and line.unfulfilled_quantity
            if str(line.variant.sku).startswith("DEEP") and len(order.lines) == 1
        ]


RARER: list[type[Rare]] = [Phantom, KeyTaken, StaleAnswer, FoldInWork]
