"""Who wants a numbered piece, and who carries things about that somebody was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .actors import Actor, Asked, release, reserve
from .actors_last_one import buys
from .habits import PIECE
from .plan import PLACES, SHOPS


class Collector(Actor):
    """Asks for a piece, by its number as a rule, where it is or was; follows it, pays for it, fetches it."""

    pace_seconds = 0.3
    acts_an_order = 0.8

    async def act(self) -> None:
        pieces = self.world.plan.habits.pieces
        if not pieces:
            return
        luck, own = self.chance.random(), self._own()
        if luck < 0.4:
            await asyncio.gather(*(self._ask(pieces) for _ in range(3)))
        elif luck < 0.5:
            await buys(self, self.chance.choice(SHOPS), PIECE, 1)
        elif own:
            asked = self.chance.choice(own)
            if luck < 0.65:
                await release(self, asked)
            else:
                await self._follow(asked)

    async def _ask(self, pieces: Sequence[str]) -> None:
        unit, place = self.chance.choice([*pieces, *pieces, ""]), self.chance.choice(PLACES)
        asked = await reserve(self, {PIECE: 1}, None, self.chance.choice([10, 60, 3600]), place, unit)
        if asked is not None:
            asked.private = True

    def _own(self) -> list[Asked]:
        return [
            each
            for each in self.day.reservations
            if each.lines == [(PIECE, 1)] and each.state in ("granted", "confirmed")
        ]

    async def _follow(self, asked: Asked) -> None:
        """To where it was carried, perhaps; then it is paid for, and fetched now and then."""
        await self._say(asked, "move", {"location": self.chance.choice(PLACES)})
        if asked.state == "granted" and self.chance.random() < 0.5:
            await self._say(asked, "confirm", {"order_reference": f"receipt-{asked.id[:8]}"})
        elif asked.state == "confirmed" and self.chance.random() < 0.5:
            await self._say(asked, "hand-over", {"reference": f"receipt-{asked.id[:8]}"})

    async def _say(self, asked: Asked, what: str, body: dict[str, str]) -> None:
        answer = await self.ask("POST", f"/v1/reservations/{asked.id}/{what}", body)
        if answer is None:
            return
        told = answer.json()
        found = told.get("reservation") or told
        asked.state = str(found.get("state", asked.state))
        self.tell(f"{what} {body} {asked.id}: {answer.status_code} {asked.state}")


ENTERED_AT_MOST = 50  # tries of one row


class Porter(Actor):
    """Carries what somebody was promised to another place: one less here and one more there, by hand.

    What was promised of it stays where it was, in the books. A piece that has left the house altogether is
    followed by another one of the same number, so that there is something to carry.
    """

    pace_seconds = 0.4
    acts_an_order = 0.6

    async def act(self) -> None:
        pieces = self.world.plan.habits.pieces
        if not pieces:
            return
        if self.chance.random() < 0.7:
            unit = self.chance.choice(pieces)
            there = {place: self._stands(PIECE, f"{place}|{unit}") for place in PLACES}
            if not any(on_hand or reserved for on_hand, reserved in there.values()):
                place = self.chance.choice(PLACES)
                refused = await self.world.enter(PIECE, f"{place}|{unit}", "Receipt", on_hand=1)
                self.tell(f"{PIECE} {unit} comes in at {place}: {refused or 'entered'}")
                return
            for place, (on_hand, _) in there.items():
                if on_hand > 0:
                    await self._carry(PIECE, place, f"|{unit}")
                    return
            return
        scarce = [sku for sku in self.world.plan.skus if not sku.startswith(("DEEP", "ALLOC"))]
        promised = [(sku, place) for sku in scarce for place in PLACES if min(self._stands(sku, place)) > 0]
        if promised:
            await self._carry(*self.chance.choice(promised))

    def _stands(self, sku: str, place: str) -> tuple[int, int]:
        """On hand and reserved, in the org."""
        level = self.world.level(sku, place)
        return int(level["OnHand__c"]), int(level["Reserved__c"])

    async def _carry(self, sku: str, place: str, unit: str = "") -> None:
        if self.world.plan.fallback:
            return  # its rule lets nothing that was promised leave
        target = next(each for each in PLACES if each != place)
        steps = [(place, -1), (target, 1)]
        self.chance.shuffle(steps)
        for where, units in steps:
            for _ in range(ENTERED_AT_MOST):  # whoever finds the level locked tries again: else there are two
                refused = await self.world.enter(sku, f"{where}{unit}", "Transfer", on_hand=units)
                told = f"{units:+d}, {refused or 'entered'}"
                self.tell(f"{sku}{unit} is carried from {place} to {target}: {told}")
                if not refused:
                    break
                await asyncio.sleep(0.2)
            if not refused and not unit:
                self.day.people[sku, where] += units
