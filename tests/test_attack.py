"""An attack on the reservation API: many want the last pieces at once, over HTTP, and the org misbehaves.

What was asked and answered is recorded with its times. There must be one order of all of it, each thing at
some moment between its question and its answer, in which every answer is the right one for so many pieces:
the history is linearizable (Herlihy and Wing, 1990). A release may take effect after its answer: it promises
that the units go back, not that they have.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox import OrgSandbox
from tests.test_daemon import until, world

PIECES = 2
BUYERS, ROUNDS = 8, 5
TOKEN = "attacker-token-0123456789"
TROUBLES = ("cut_after", "drop", "error_after", "lock", "delay_after", "expire_token")
BUYER_WHO_PAYS = "buyer 0"
ATTACK_SECONDS = 120.0
FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something asked of the API: when, until when it had its effect, and what it did to what is free."""

    who: str
    asked_at: float
    done_at: float
    change: int  # -1 granted, 0 refused, +1 given back


def linearizable(deeds: Sequence[Deed], pieces: int) -> bool:
    """True when some order of the deeds explains every answer; depth first, each state looked at once.

    Releases whose effect nobody saw are alike: only how many of them have happened matters, the first ones
    first. That keeps the states few.
    """
    loose = sorted(deed.asked_at for deed in deeds if deed.change > 0 and deed.done_at == FOR_EVER)
    firm = sorted(
        (deed for deed in deeds if deed.change <= 0 or deed.done_at < FOR_EVER),
        key=lambda deed: deed.asked_at,
    )
    seen: set[tuple[int, int]] = set()
    stack = [(0, 0)]  # (firm deeds done, as bits; releases that have happened)
    while stack:
        done, released = stack.pop()
        waiting = [number for number in range(len(firm)) if not done >> number & 1]
        if not waiting:
            return True
        changed = sum(deed.change for number, deed in enumerate(firm) if done >> number & 1)
        free = pieces + changed + released
        soonest = min(firm[number].done_at for number in waiting)
        following = [(done, released + 1)] if released < len(loose) and loose[released] <= soonest else []
        for number in waiting:
            deed = firm[number]
            if deed.asked_at > soonest:  # another had its answer before this one was asked
                break
            if (free > 0, free == 0, True)[deed.change + 1]:
                following.append((done | 1 << number, released))
        stack += [state for state in following if state not in seen]
        seen.update(following)
    return False


@pytest.mark.parametrize(
    ("deeds", "right"),
    [
        ([("a", 0, 1, -1), ("b", 2, 3, -1), ("c", 4, 5, 0)], True),
        ([("a", 0, 1, -1), ("b", 2, 3, 0)], False),  # refused although one piece was free
        ([("a", 0, 1, -1), ("b", 0, 1, -1), ("c", 0, 1, -1)], False),  # three of two
        ([("a", 0, 1, -1), ("b", 0, 1, -1), ("a", 2, 9, 1), ("c", 3, 4, -1)], True),
        (
            [("a", 0, 1, -1), ("b", 0, 1, -1), ("c", 2, 3, -1), ("a", 4, 9, 1)],
            False,
        ),  # before it was given back
        ([("a", 0, 9, -1), ("b", 1, 2, 0), ("c", 0, 9, -1)], True),  # both were granted before b was asked
    ],
)
def test_the_judge_tells_right_histories_from_wrong_ones(
    deeds: list[tuple[str, float, float, int]], right: bool
) -> None:
    """Two pieces; a judge that lets everything pass would prove nothing."""
    assert linearizable([Deed(*deed) for deed in deeds], 2) is right


class Buyer:
    """Asks for a piece, pays or gives it back, and asks again; writes down what it saw."""

    def __init__(self, name: str, http: httpx.AsyncClient, seed: int, *, calm: bool) -> None:
        self._name, self._http, self._chance, self._calm = name, http, random.Random(seed), calm
        self._keys = itertools.count()
        self.deeds: list[Deed] = []
        self.kept: list[str] = []

    async def run(self) -> None:
        for _ in range(ROUNDS):
            number = await self._reserve()
            if number is None:
                await asyncio.sleep(0.1 + self._chance.random() * 0.4)  # until somebody gives one back
                continue
            await asyncio.sleep(self._chance.random() * 0.05)
            if not self.kept and self._name == BUYER_WHO_PAYS and self._chance.random() < 0.5:
                answer = await self._ask(
                    "POST", f"/v1/reservations/{number}/confirm", {"order_reference": "#1"}
                )
                assert answer.status_code == 200, answer.text
                self.kept.append(number)
            else:
                await self._release(number)

    async def _reserve(self) -> str | None:
        wish = {
            "kind": "cart",
            "channel": "london",
            "owner": self._name,
            "lines": [{"sku": "BAG-1", "quantity": 1}],
        }
        key = {"Idempotency-Key": f"{self._name}-{next(self._keys)}"}
        asked_at = time.monotonic()
        answer = await self._ask("POST", "/v1/reservations", wish, key)
        while answer.json().get("state") == "pending":
            await asyncio.sleep(0.05)
            answer = await self._ask("GET", f"/v1/reservations/{answer.json()['id']}")
        granted = answer.status_code in (200, 201) and answer.json()["state"] == "granted"
        refused = answer.status_code == 409 or answer.json().get("state") == "refused"
        assert granted or refused, answer.text
        self.deeds.append(Deed(self._name, asked_at, time.monotonic(), -1 if granted else 0))
        return str(answer.json()["id"]) if granted else None

    async def _release(self, number: str) -> None:
        asked_at = time.monotonic()
        answer = await self._ask("POST", f"/v1/reservations/{number}/release", {})
        assert answer.status_code == 200, answer.text
        self.deeds.append(Deed(self._name, asked_at, FOR_EVER, 1))

    async def _ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Ask until there is an answer: a shopper's browser that lost its line asks the same again."""
        while True:
            patience = 20.0 if self._calm or self._chance.random() < 0.7 else 0.02
            try:
                answer = await self._http.request(method, path, json=body, headers=headers, timeout=patience)
            except httpx.TransportError:
                continue
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_many_who_want_the_last_pieces_see_one_order_of_things(tmp_path: Path, seed: int) -> None:
    """Eight shoppers, two bags, forty tries, lines that break on both sides: each answer was right."""
    levels = [{"sku": "BAG-1", "location": "ECOM", "on_hand": PIECES}]
    with world(tmp_path, levels=levels) as (org, daemon):
        daemon.env["SFSYNC_WEB__TOKENS"] = json.dumps([{"name": "shop", "token": TOKEN, "channels": ["*"]}])
        daemon.start("--approve")
        daemon.shows("BAG-1", PIECES)
        buyers = await asyncio.wait_for(_attack(daemon.url, org, seed), ATTACK_SECONDS)
        deeds = [deed for buyer in buyers for deed in buyer.deeds]
        assert sum(deed.change == -1 for deed in deeds) >= PIECES
        assert any(deed.change == 0 for deed in deeds)
        assert linearizable(deeds, PIECES), sorted(deeds, key=lambda deed: deed.asked_at)
        kept = sum(len(buyer.kept) for buyer in buyers)
        until(lambda: _reserved(org) == kept, f"{kept} reserved")


def _reserved(org: OrgSandbox) -> int:
    return int(org.level("BAG-1|ECOM")["Reserved__c"])


async def _attack(url: str, org: OrgSandbox, seed: int) -> list[Buyer]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limits = httpx.Limits(max_connections=BUYERS)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False) as http:
        buyers = [Buyer(f"buyer {n}", http, seed * 100 + n, calm=n % 2 == 0) for n in range(BUYERS)]
        # Each request to the org may meet one; by chance, so that none meets them for ever.
        for kind in TROUBLES:
            how: dict[str, Any] = {"seconds": 0.1} if kind == "delay_after" else {}
            await asyncio.to_thread(org.arm, kind, probability=0.07, times=None, seed=seed, **how)
        await asyncio.gather(*(buyer.run() for buyer in buyers))
        struck = (await asyncio.to_thread(org.control, "GET", "/faults"))["struck"]
        assert struck, "nothing went wrong, so nothing was shown"
        await asyncio.to_thread(org.control, "DELETE", "/faults")
    return buyers
