"""Trouble that a house meets now and then: each kind of it in some of the seeds, at most a few times a day.

Drawn and struck by chance of its own, so that the other draws of a seed stay what they were.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.faults import Fault as OrgFault

from .actors import Actor, Day
from .checks_rewrites import may_go
from .plan import SHOPS
from .trouble import STOCK, TILLS
from .world import World


class Rare(Actor):
    """What the seed's habits say of it, each at its moment of the day."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self._kinds: dict[str, Callable[[], str | Awaitable[str]]] = {
            "throttle": lambda: self._org("throttle"),
            "expire_token_after": lambda: self._org("expire_token_after"),
            "torn": lambda: self._fate(Fate.TORN),
            "schema": lambda: self._fate(Fate.SCHEMA),
            "late": lambda: self._fate(Fate.LATE),
            "lost": lambda: self._fate(Fate.LOST),
            "convert_field": self._convert_field,
            "refuse_replay": self._refuse_replay,
            "wrong_credential": self._wrong_credential,
            "deleted": self._deleted,
            "restored": self._restored,
            "not_applied": self._not_applied,
            "refuse_row": self._refuse_row,
            "storage_full": self._storage_full,
        }

    async def run(self) -> None:
        """Each kind once or twice, at a drawn moment."""
        plan = self.world.plan
        if not plan.roughness:
            return
        moments = sorted(
            (self.chance.randint(1, max(1, plan.orders * 4 // 5)), kind)
            for kind in plan.habits.rare
            if kind in self._kinds
            for _ in range(self.chance.choice([1, 1, 2]))
        )
        for orders, kind in moments:
            while self.day.orders < orders:  # time is virtual
                if self.day.over.is_set():
                    return
                await asyncio.sleep(1.0)
            done = self._kinds[kind]()
            self.tell(f"{kind}: {done if isinstance(done, str) else await done}")

    def _org(self, kind: str) -> str:
        times, path = self.chance.choice([1, 2, 5]), self.chance.choice([None, "/composite", "/query"])
        self.world.org.faults.arm(OrgFault(kind, times=times, path=path))
        return f"at {path or 'anything'}, {times} times"

    def _refuse_row(self) -> str:
        """A rule of somebody's refuses what was sold, or has left: it is so all the same."""
        times, begins = self.chance.choice([1, 2, 5]), self.chance.choice(["order:", "posting:"])
        self.world.org.faults.arm(OrgFault("refuse_row", times=times, begins=begins))
        return f"{times} of {begins}"

    async def _storage_full(self) -> str:
        """The org takes no record of anybody's, until somebody has made room."""
        full, seconds = OrgFault("storage_full", times=None), self.chance.choice([2.0, 10.0, 30.0])
        self.world.org.faults.arm(full)
        await asyncio.sleep(seconds)
        self.world.org.faults.disarm(full)
        return f"it was so for {seconds:g} s"

    def _fate(self, fate: Fate) -> str:
        times = self.chance.choice([1, 2])
        self.world.bus.fates.order([fate] * times)
        return f"{times} events"

    def _convert_field(self) -> str:
        self.world.bus.inject_conversion("StockMovement__c")
        return "of all movements"

    def _refuse_replay(self) -> str:
        """The org does not know its own replay ids any more, for as many subscriptions."""
        topic = self.chance.choice([None, STOCK, TILLS])
        self.world.bus.fates.refused_replays += self.chance.choice([1, 1, 2])
        self.world.pubsub.cut(topic)
        return topic or "all streams"

    def _wrong_credential(self) -> str:
        name, times = self.chance.choice(SHOPS), self.chance.choice([1, 3])
        self.world.shops[name].faults.order({"kind": "wrong_credential", "times": times})
        return f"{name}, {times} times"

    def may_go(self) -> dict[str, list[Mapping[str, Any]]]:
        """The movements that may be deleted, by the key of their level, oldest first."""
        tables = self.world.org.engine.store.tables
        levels = {row["Id"]: str(row["LevelKey__c"]) for row in tables["StockLevel__c"].rows.values()}
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in tables["StockMovement__c"].rows.values():
            key = levels[row["StockLevel__c"]]
            if may_go(row, key, orders_too=not self.world.plan.habits.org_orders):
                found[key].append(row)
        return found

    async def _deleted(self) -> str:
        """Somebody with all rights deletes movements of a level, whatever they were."""
        found = self.may_go()
        if not found:
            return "there is nothing"
        level = self.chance.choice(sorted(found))
        newest = found[level][-10:]
        rows = self.chance.sample(newest, min(len(newest), self.chance.choice([1, 1, 2, 3])))
        words = ", ".join(str(row["SubjectKey__c"] or row["Kind__c"]) for row in rows)
        done = await self.world.rewrite([str(row["Id"]) for row in rows])
        return f"{words} at {level}{'' if done else ': the org refuses'}"

    async def _restored(self) -> str:
        """A backup of some seconds ago is put back for a few levels: what came since is nowhere."""
        since = self.world.clock.now() - timedelta(seconds=self.chance.choice([5, 20, 60]))
        found = {
            key: [row for row in rows if row["CreatedDate"] >= since] for key, rows in self.may_go().items()
        }
        levels = sorted(key for key, rows in found.items() if rows)
        levels = self.chance.sample(levels, min(len(levels), self.chance.choice([1, 2, 4])))
        rows = [str(row["Id"]) for key in levels for row in found[key]]
        if not rows:
            return "nothing has come since"
        done = await self.world.rewrite(rows, silently=True)
        return f"{len(rows)} movements of {levels} are gone{'' if done else ': the org refuses'}"

    def _not_applied(self) -> str:
        """A shop says yes to a change of its numbers, and does nothing."""
        name, times = self.chance.choice(SHOPS), self.chance.choice([1, 2])
        self.world.shops[name].faults.order(
            {"kind": "not_applied", "match": "inventoryAdjustQuantities", "times": times}
        )
        self.world.unapplied[name] = self.world.lives
        return f"{name}, {times} times"
