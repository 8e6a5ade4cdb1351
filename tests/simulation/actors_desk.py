"""Who decides about incidents: an operator who takes ways out, not always the wise one, and clicks twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, ClassVar

from .actors import Actor
from .plan import PLACES
from .world import WAREHOUSE_TOKEN

ADMIN = {"authorization": f"Bearer {WAREHOUSE_TOKEN}"}


class Operator(Actor):
    """Looks at the status now and then, and does something about an incident that is open."""

    pace_seconds = 2.0
    acts_an_order: ClassVar[float] = 0.5

    async def act(self) -> None:
        answer = await self.ask("GET", "/v1/status", **ADMIN)
        if answer is None or answer.status_code != 200:
            return
        able = [each for each in answer.json()["incidents"] if each["ways"]]
        if not able:
            return
        incident = self.chance.choice(able)
        wish = self._wish(incident)
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            told = await self.ask("POST", f"/v1/incidents/{incident['id']}/resolution", wish, **ADMIN)
            self.tell(f"incident {incident['id']}: {wish['way']} {told.status_code if told else 'no answer'}")

    def _wish(self, incident: dict[str, Any]) -> dict[str, Any]:
        bold = [way for way in incident["ways"] if way != "wait"]
        way = self.chance.choice(bold if bold and self.chance.random() < 0.85 else incident["ways"])
        wish: dict[str, Any] = {"way": way, "by": "Anna", "reason": "so it is"}
        promises = [each["promise"] for each in incident["orders"] if each["promise"]]
        if way in ("move", "cancel") and promises and self.chance.random() < 0.5:
            wish["promise"] = self.chance.choice(promises)
        if way == "move":
            wish["location"] = self.chance.choice([*PLACES, "MAYFAIR"])
        if way == "wait":
            wish["until"] = (self.world.clock.now() + timedelta(minutes=5)).isoformat()
        if way == "cancel":
            wish |= {"whole_order": True, "refund": self.chance.random() < 0.5}
        return wish


class Auditor(Actor):
    """Has put right what is told as drift of shops that said yes and did nothing, and of no others.

    Comes when the day is over, and until all is well: what a shop was caught at soon is written again by
    itself; what has mixed with other changes, or was forgotten at a restart, waits for a person.
    """

    pace_seconds = 60.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self.pace_seconds)
            await self.act()

    async def act(self) -> None:
        answer = await self.ask("GET", "/v1/drift", **ADMIN) if self.world.unapplied else None
        if answer is None or answer.status_code != 200:
            return
        for name in sorted(self.world.unapplied):
            skus = sorted({each["sku"] for each in answer.json()["open"] if each["channel"] == name})
            if skus:
                await self._put_right(name, skus)

    async def _put_right(self, name: str, skus: list[str]) -> None:
        begun = await self.ask("POST", "/v1/resync", {"channels": [name], "skus": skus}, **ADMIN)
        number = begun.json().get("id") if begun is not None else None
        for _ in range(60):
            await asyncio.sleep(1.0)
            run = await self.ask("GET", f"/v1/resync/{number}", **ADMIN)
            if run is not None and run.status_code == 200 and run.json()["state"] == "ready":
                break
        done = await self.ask("POST", f"/v1/resync/{number}/apply", {}, **ADMIN)
        self.tell(f"has {skus} of {name} put right: {done.status_code if done else 'no answer'}")
