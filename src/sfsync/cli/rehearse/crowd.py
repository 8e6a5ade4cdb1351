"""The buyers of a drop: each comes at a moment of the arrival curve and does what a checkout would do.

On a gated channel the storefront asks sfsync for a reservation and sells only on a grant; on the others the
buyer just buys at the storefront.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp

from .plan import Plan

SOLD_OUT = 409
_STATES = {"pending": 202, "granted": 201, "refused": SOLD_OUT}  # as `create` would have answered


@dataclass(slots=True)
class Visit:
    """What one buyer met. Times in seconds since the opening."""

    shop: str
    came: float
    outcome: str = "no answer"  # got one, sold out, no answer
    answered: float = 0.0
    ordered: bool = False  # the storefront has an order of it
    detail: str = ""  # why there was no answer
    turned_away: int = 0  # times that it was told to come again

    @property
    def waited(self) -> float:
        """Seconds from coming to the answer."""
        return self.answered - self.came


def arrivals(plan: Plan, luck: Random) -> list[Visit]:
    """Everybody who comes, first come first: the rush at the opening, then the others, evenly by chance."""
    buyers, shops = plan.buyers, list(plan.shops)
    weights = [plan.shops[name].weight for name in shops]
    rush = round(buyers.count * buyers.rush_percent / 100)
    moments = [luck.uniform(0, buyers.rush_seconds) for _ in range(rush)]
    moments += [luck.uniform(buyers.rush_seconds, buyers.seconds) for _ in range(buyers.count - rush)]
    return [Visit(luck.choices(shops, weights)[0], moment) for moment in sorted(moments)]


class Crowd:
    """All buyers at work."""

    def __init__(self, plan: Plan, daemon: str, token: str, shops: Mapping[str, str], luck: Random) -> None:
        self._plan, self._daemon, self._shops = plan, daemon, shops
        self._headers = {"authorization": f"Bearer {token}"}
        self._luck = luck
        self.visits = arrivals(plan, luck)

    async def come(self, told: Callable[[Visit], None]) -> None:
        """Let everybody come; returns when the last has left. `told` hears of each who leaves."""
        connector = aiohttp.TCPConnector(limit=self._plan.buyers.connections)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as http:
            opened = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number, visit in enumerate(self.visits):
                    await asyncio.sleep(max(0.0, opened + visit.came - time.monotonic()))
                    group.create_task(self._visit(http, visit, number, opened, told))

    async def _visit(
        self,
        http: aiohttp.ClientSession,
        visit: Visit,
        number: int,
        opened: float,
        told: Callable[[Visit], None],
    ) -> None:
        pays = self._luck.random() * 100 < self._plan.buyers.pay_percent
        try:
            async with asyncio.timeout(self._plan.buyers.patience_seconds):
                if self._plan.drop.guarantee == "gated":
                    await self._ask_first(http, visit, number, opened, pays=pays)
                else:
                    await self._buy(http, visit, opened, {})
        except TimeoutError:
            visit.detail = visit.detail or "out of patience"
        except aiohttp.ClientError as error:
            visit.detail = type(error).__name__
        if visit.outcome == "no answer":
            visit.answered = time.monotonic() - opened
        told(visit)

    async def _ask_first(
        self, http: aiohttp.ClientSession, visit: Visit, number: int, opened: float, *, pays: bool
    ) -> None:
        sku = self._plan.drop.sku
        wish = {
            "kind": "cart",
            "channel": visit.shop,
            "owner": f"buyer {number}",
            "lines": [{"sku": sku, "quantity": 1}],
        }
        headers = self._headers | {"idempotency-key": f"buyer-{number}"}
        while True:
            async with http.post(f"{self._daemon}/v1/reservations", json=wish, headers=headers) as answer:
                # A party that is overrun may answer with anything.
                known = answer.status in (201, 202)
                body: Any = await answer.json() if known else await answer.read()
            status, retry = answer.status, answer.headers.get("retry-after", "")
            while status == 202:  # the org has not answered: the checkout looks again, by the id
                await self._wait(retry)
                address = f"{self._daemon}/v1/reservations/{body['id']}"
                async with http.get(address, headers=self._headers) as answer:
                    body = await answer.json() if answer.status == 200 else body
                status = _STATES.get(body["state"], 200) if answer.status == 200 else 202
            if status != 503 or not retry:
                break
            visit.turned_away += 1
            visit.detail = "out of patience, told to come again"
            await self._wait(retry)
        visit.answered = time.monotonic() - opened
        if status == SOLD_OUT:
            visit.outcome = "sold out"
        elif status == 201 and body["state"] == "granted":
            visit.outcome = "got one"
            if pays:
                await self._pay(http, visit, body["id"])
        else:
            visit.detail = f"answered {status}"

    async def _wait(self, retry: str) -> None:
        """As long as was asked for, and a little longer by chance, so that not all come again at once."""
        await asyncio.sleep((int(retry) if retry.isdigit() else 1) + self._luck.random())

    async def _pay(self, http: aiohttp.ClientSession, visit: Visit, reservation: str) -> None:
        """The storefront sells what it holds a grant for; its order names the reservation."""
        purchase = {
            "sku": self._plan.drop.sku,
            "quantity": 1,
            "note_attributes": {"sfsync_reservation": reservation},
        }
        async with http.post(f"{self._shops[visit.shop]}/storefront/buy", json=purchase) as answer:
            visit.ordered = answer.status == 201
            if not visit.ordered:
                visit.detail = f"granted, and the storefront answered {answer.status}"

    async def _buy(
        self, http: aiohttp.ClientSession, visit: Visit, opened: float, more: Mapping[str, Any]
    ) -> None:
        purchase = {"sku": self._plan.drop.sku, "quantity": 1, **more}
        async with http.post(f"{self._shops[visit.shop]}/storefront/buy", json=purchase) as answer:
            await answer.read()
        visit.answered = time.monotonic() - opened
        if answer.status == 201:
            visit.outcome, visit.ordered = "got one", True
        elif answer.status == SOLD_OUT:
            visit.outcome = "sold out"
        else:
            visit.detail = f"answered {answer.status}"
