"""Trouble that a house meets now and then: each kind of it in some of the seeds, at most a few times a day.

Drawn and struck by chance of its own, so that the other draws of a seed stay what they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.faults import Fault as OrgFault

from .actors import Actor, Day
from .plan import SHOPS
from .trouble import STOCK, TILLS
from .world import World


class Rare(Actor):
    """What the seed's habits say of it, each at its moment of the day."""

    def __init__(self, world: World, day: Day) -> None:
        super().__init__(world, day)
        self._kinds: dict[str, Callable[[], str]] = {
            "throttle": lambda: self._org("throttle"),
            "expire_token_after": lambda: self._org("expire_token_after"),
            "torn": lambda: self._fate(Fate.TORN),
            "schema": lambda: self._fate(Fate.SCHEMA),
            "late": lambda: self._fate(Fate.LATE),
            "lost": lambda: self._fate(Fate.LOST),
            "convert_field": self._convert_field,
            "refuse_replay": self._refuse_replay,
            "wrong_credential": self._wrong_credential,
        }

    async def run(self) -> None:
        """Each kind once or twice, at a drawn moment."""
        plan = self.world.plan
        if not plan.roughness:
            return
        moments = sorted(
            (self.chance.randint(1, max(1, plan.orders * 4 // 5)), kind)
            for kind in plan.habits.rare
            for _ in range(self.chance.choice([1, 1, 2]))
        )
        for orders, kind in moments:
            while self.day.orders < orders:  # time is virtual
                if self.day.over.is_set():
                    return
                await asyncio.sleep(1.0)
            self.tell(f"{kind}: {self._kinds[kind]()}")

    def _org(self, kind: str) -> str:
        times, path = self.chance.choice([1, 2, 5]), self.chance.choice([None, "/composite", "/query"])
        self.world.org.faults.arm(OrgFault(kind, times=times, path=path))
        return f"at {path or 'anything'}, {times} times"

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
