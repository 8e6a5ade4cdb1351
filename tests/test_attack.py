"""An attack on the reservation API: many want the last pieces at once, over HTTP, and the org misbehaves.

They ask, pay, give back, move to the other place, ask for more time, and forget. What was asked and answered
is recorded with its times. There must be one order of all of it, each thing at some moment between its
question and its answer, in which every answer is the right one for so many pieces: the history is
linearizable (Herlihy and Wing, 1990). A release may take effect after its answer, and an expiry after its
moment: they promise that the units go back, not that they have. Once all is quiet they must have, and what is
free then is sold to whoever asks.

In a second attack a counter sells what lies in the carts, and everybody pays. A sale at a counter counts from
when it was made, or from when sfsync has heard of it at the latest: after that nobody may be told that he has
what is gone, and nobody may be told no whose piece is there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox import OrgSandbox
from tests.test_daemon import Daemon, until, world

PIECES = {"ECOM": 2, "BACK": 1}
BUYERS = 8
SHORT_LIFE, MORE_LIFE = 1, 2  # seconds
TOKEN = "attacker-token-0123456789"
TROUBLES = ("cut_after", "drop", "error_after", "lock", "delay_after", "expire_token")
BUYER_WHO_PAYS = "buyer 0"
ATTACK_SECONDS = 120.0
FOR_EVER = float("inf")
BLOCK = [{"skus": ["BAG-1"], "guarantee": "gated", "block": 2, "block_at": ["ECOM"]}]


@dataclass(frozen=True, slots=True)
class Deed:
    """Something asked of the API: when, until when it had its effect, and what it did to what is free.

    A grant takes, a release or an expiry gives, a move does both at once, and who is refused saw none there.
    What is sold at a counter is gone, promised or not. Who pays and has it saw one that nobody had paid for;
    who pays and has it not saw more promised than there were, and gave his own back.
    """

    who: str
    asked_at: float
    done_at: float
    takes: str = ""  # at this place
    gives: str = ""
    saw_none: str = ""
    sold: str = ""
    paid: str = ""
    gone: str = ""


def linearizable(deeds: Sequence[Deed], pieces: Mapping[str, int], quiet_at: float = FOR_EVER) -> bool:
    """True when some order of the deeds explains every answer; depth first, each state looked at once.

    Givings whose effect nobody saw are alike: only how many of them have happened at each place matters, the
    first ones first. That keeps the states few. What is asked after `quiet_at` finds all of them done that
    were begun before.
    """
    places = sorted(pieces)
    loose = [
        sorted(deed.asked_at for deed in deeds if deed.done_at == FOR_EVER and deed.gives == place)
        for place in places
    ]
    owed = tuple(sum(at <= quiet_at for at in begun) for begun in loose)
    firm = sorted((deed for deed in deeds if deed.done_at < FOR_EVER), key=lambda deed: deed.asked_at)
    there = tuple(pieces[place] for place in places)
    begin = (0, (0,) * len(places), there, there)
    seen = {begin[:2]}
    # (firm deeds done, as bits; givings that have happened, by place; what is free; what nobody has paid for)
    stack = [begin]
    while stack:
        done, given, free, unpaid = stack.pop()
        soonest, next_ones = FOR_EVER, list[int]()
        for number in range((~done & (done + 1)).bit_length() - 1, len(firm)):
            if firm[number].asked_at > soonest:  # another had its answer before this one was asked
                break
            if not done >> number & 1:
                next_ones.append(number)
                soonest = min(soonest, firm[number].done_at)
        if not next_ones:
            return True
        following = []
        for number in range(len(places)):
            if given[number] < len(loose[number]) and loose[number][given[number]] <= soonest:
                following.append((done, _plus(given, number, 1), _plus(free, number, 1), unpaid))
        for number in next_ones:
            deed = firm[number]
            if deed.asked_at > soonest:
                continue
            if not _possible(deed, dict(zip(places, zip(free, unpaid, strict=True), strict=True))):
                continue
            if deed.asked_at > quiet_at and not all(map(int.__ge__, given, owed)):
                continue
            left, rest = free, unpaid
            for place, change in ((deed.takes, -1), (deed.sold, -1), (deed.gives, 1), (deed.gone, 1)):
                if place:
                    left = _plus(left, places.index(place), change)
            for place in filter(None, (deed.sold, deed.paid)):
                rest = _plus(rest, places.index(place), -1)
            following.append((done | 1 << number, given, left, rest))
        for state in following:
            if state[:2] not in seen:
                seen.add(state[:2])
                stack.append(state)
    return False


def _plus(numbers: tuple[int, ...], place: int, change: int) -> tuple[int, ...]:
    return (*numbers[:place], numbers[place] + change, *numbers[place + 1 :])


def _possible(deed: Deed, there: Mapping[str, tuple[int, int]]) -> bool:
    """`there`: (what is free, below zero where too few are there; what nobody has paid for) at each place."""
    return not (
        (deed.takes and there[deed.takes][0] <= 0)
        or (deed.saw_none and there[deed.saw_none][0] > 0)
        or (deed.paid and there[deed.paid][1] <= 0)
        or (deed.gone and there[deed.gone][0] >= 0)
    )


def took(who: str, asked: float, done: float, at: str = "ECOM") -> Deed:
    return Deed(who, asked, done, takes=at)


def refused(who: str, asked: float, done: float, at: str = "ECOM") -> Deed:
    return Deed(who, asked, done, saw_none=at)


def gave(who: str, asked: float, at: str = "ECOM") -> Deed:
    return Deed(who, asked, FOR_EVER, gives=at)


def sold(asked: float, done: float, at: str = "ECOM") -> Deed:
    return Deed("counter", asked, done, sold=at)


def paid(who: str, asked: float, done: float, at: str = "ECOM") -> Deed:
    return Deed(who, asked, done, paid=at)


def gone(who: str, asked: float, done: float, at: str = "ECOM") -> Deed:
    return Deed(who, asked, done, gone=at)


BOTH = [took("a", 0, 1), took("b", 0, 1)]
SOLD = [*BOTH, sold(2, 3)]
MOVED = Deed("a", 2, 4, takes="BACK", gives="ECOM")


@pytest.mark.parametrize(
    ("deeds", "right"),
    [
        ([took("a", 0, 1), took("b", 2, 3), refused("c", 4, 5)], True),
        ([took("a", 0, 1), refused("b", 2, 3)], False),  # refused although one piece was free
        ([*BOTH, took("c", 0, 1)], False),  # three of two
        ([*BOTH, gave("a", 2), took("c", 3, 4)], True),
        ([*BOTH, took("c", 2, 3), gave("a", 4)], False),  # before it was given back
        (
            [took("a", 0, 9), refused("b", 1, 2), took("c", 0, 9)],
            True,
        ),  # both were granted before b was asked
        ([*BOTH, MOVED, took("c", 3, 5)], True),
        ([*BOTH, MOVED, took("c", 0, 1.5)], False),  # before the other one had moved
        ([*BOTH, MOVED, took("c", 5, 6, "BACK")], False),  # where it has moved to
        ([*BOTH, MOVED, refused("c", 5, 6, "BACK")], True),
        ([*BOTH, refused("a", 2, 3, "BACK")], False),  # not moved although there was room
        ([*BOTH, gave("a", 2), refused("c", 21, 22)], False),  # all was quiet, and it had not come back
        ([*BOTH, gave("a", 2), refused("c", 3, 4)], True),  # it had not yet
        ([*BOTH, gave("a", 2), took("c", 21, 22), refused("d", 23, 24)], True),
        ([*BOTH, gave("a", 2), took("c", 21, 22), took("d", 23, 24)], False),  # given back once, sold twice
        ([*SOLD, paid("a", 4, 5), gone("b", 6, 7)], True),
        ([*SOLD, paid("a", 4, 5), paid("b", 6, 7)], False),  # one of the two was sold at the counter
        ([*BOTH, sold(2, 9), paid("a", 4, 5), paid("b", 6, 7)], True),  # which was heard of later
        ([*BOTH, gone("b", 6, 7)], False),  # told no, although his was there
        ([*SOLD, gone("a", 4, 5), gone("b", 6, 7)], False),  # one of them had his
        ([*SOLD, gone("a", 4, 5), refused("c", 6, 7)], True),
        ([*SOLD, gone("a", 4, 5), took("c", 6, 7)], False),  # what is gone is for nobody else
        ([took("a", 0, 1), sold(2, 3), paid("a", 4, 5), refused("c", 6, 7)], True),
    ],
)
def test_the_judge_tells_right_histories_from_wrong_ones(deeds: list[Deed], right: bool) -> None:
    """Two pieces and one; a judge that lets everything pass would prove nothing."""
    assert linearizable(deeds, PIECES, quiet_at=20) is right


@dataclass(slots=True)
class Cart:
    """A piece that a buyer was granted."""

    number: str
    place: str
    ends: float


class Buyer:
    """Asks for a piece; pays, moves, gives back or forgets it, and asks again; writes down what it saw."""

    def __init__(self, name: str, http: httpx.AsyncClient, seed: int, *, calm: bool) -> None:
        self._turns = (not calm, calm)  # whether it forgets the first piece that it gets, and the second
        self._name, self._http, self._chance, self._calm = name, http, random.Random(seed), calm
        self._keys = itertools.count()
        self.deeds: list[Deed] = []
        self.kept: list[str] = []  # the places of what it has paid for

    async def run(self) -> None:
        for forgets in self._turns:
            cart = None
            while cart is None:
                place = "BACK" if self._chance.random() < 0.3 else "ECOM"
                cart = await self.reserve(place, SHORT_LIFE if forgets else None)
                await asyncio.sleep(self._chance.random() * (0.05 if cart else 0.5))
            if forgets:
                # About when it ends: the sweeper, and whoever waits for the piece, are there too.
                await asyncio.sleep(max(0.0, cart.ends - time.time() + self._chance.uniform(-0.4, 0.2)))
                await self._extend(cart)
                self._gives(cart, cart.ends)
            elif self._name == BUYER_WHO_PAYS:
                await self._pay(cart)
            else:
                await self._move(cart)
                await self._release(cart)

    async def reserve(self, place: str, life: int | None = None) -> Cart | None:
        wish: dict[str, Any] = {
            "kind": "cart",
            "channel": "london",
            "owner": self._name,
            "lines": [{"sku": "BAG-1", "quantity": 1, "location": place}],
        }
        if life is not None:
            wish["expires_in_seconds"] = life
        key = {"Idempotency-Key": f"{self._name}-{next(self._keys)}"}
        asked_at = time.time()
        answer = await self._ask("POST", "/v1/reservations", wish, key)
        while answer.json().get("state") == "pending":
            await asyncio.sleep(0.05)
            answer = await self._ask("GET", f"/v1/reservations/{answer.json()['id']}")
        told = answer.json()
        if answer.status_code == 409 or told.get("state") == "refused":
            self.deeds.append(refused(self._name, asked_at, time.time(), place))
            return None
        assert answer.status_code in (200, 201), answer.text
        assert told["state"] in ("granted", "expired"), answer.text
        self.deeds.append(took(self._name, asked_at, time.time(), place))
        cart = Cart(str(told["id"]), place, _moment(told["expires_at"]))
        if told["state"] == "granted":
            return cart
        self._gives(cart, cart.ends)  # the answer came too late
        return None

    async def _extend(self, cart: Cart) -> None:
        """More time; or it is over already, and stays so."""
        body = {"expires_in_seconds": MORE_LIFE}
        answer = await self._ask("POST", f"/v1/reservations/{cart.number}/extend", body)
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            cart.ends = _moment(answer.json()["expires_at"])

    async def _move(self, cart: Cart) -> None:
        """To the other place, or it stays where it is."""
        other = "BACK" if cart.place == "ECOM" else "ECOM"
        asked_at = time.time()
        answer = await self._ask("POST", f"/v1/reservations/{cart.number}/move", {"location": other})
        while answer.status_code == 202:  # the org has not answered
            await asyncio.sleep(0.05)
            answer = await self._ask("POST", f"/v1/reservations/{cart.number}/move", {"location": other})
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 409:
            self.deeds.append(refused(self._name, asked_at, time.time(), other))
            return
        (line,) = answer.json()["lines"]
        assert line["location"] == other, answer.text
        self.deeds.append(Deed(self._name, asked_at, time.time(), takes=other, gives=cart.place))
        cart.place = other

    async def _pay(self, cart: Cart) -> None:
        answer = await self._ask("POST", f"/v1/reservations/{cart.number}/confirm", {"order_reference": "#1"})
        assert answer.status_code == 200, answer.text
        self.kept.append(cart.place)

    async def _release(self, cart: Cart) -> None:
        asked_at = time.time()
        answer = await self._ask("POST", f"/v1/reservations/{cart.number}/release", {})
        assert answer.status_code == 200, answer.text
        self._gives(cart, asked_at)

    def _gives(self, cart: Cart, at: float) -> None:
        self.deeds.append(gave(self._name, at, cart.place))

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


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "policies"), [(1, []), (2, BLOCK)], ids=["org", "block"])
async def test_many_who_want_the_last_pieces_see_one_order_of_things(
    tmp_path: Path, seed: int, policies: list[dict[str, object]]
) -> None:
    """Eight shoppers, three bags at two places, lines that break on both sides: each answer was right.

    Once with the org asked for each, once out of a local block. What is free in the end is sold, and no more.
    """
    levels = [{"sku": "BAG-1", "location": place, "on_hand": units} for place, units in PIECES.items()]
    with world(tmp_path, levels=levels) as (org, daemon):
        daemon.env["SFSYNC_WEB__TOKENS"] = json.dumps([{"name": "shop", "token": TOKEN, "channels": ["*"]}])
        daemon.env["SFSYNC_CHANNELS__LONDON__MAY_RESERVE_AT"] = json.dumps(["BACK"])
        daemon.env["SFSYNC_POLICIES"] = json.dumps(policies)
        daemon.start("--approve")
        daemon.shows("BAG-1", PIECES["ECOM"])
        buyers, quiet_at = await asyncio.wait_for(_attack(daemon, org, seed), ATTACK_SECONDS)
        deeds = [deed for buyer in buyers for deed in buyer.deeds]
        assert any(deed.saw_none for deed in deeds)
        assert linearizable(deeds, PIECES, quiet_at), sorted(deeds, key=lambda deed: deed.asked_at)
        until(lambda: _held(org) == PIECES, "what is there to be held")


class Payer(Buyer):
    """Asks until it has a piece, and pays; at once, or when a counter has sold, whatever was promised."""

    def __init__(
        self, name: str, http: httpx.AsyncClient, seed: int, *, calm: bool, sold: asyncio.Event
    ) -> None:
        super().__init__(name, http, seed, calm=calm)
        self._sold = sold

    async def run(self) -> None:
        cart = None
        while cart is None:
            if self._sold.is_set():
                return  # it came too late
            cart = await self.reserve("BACK" if self._chance.random() < 0.3 else "ECOM")
            await asyncio.sleep(self._chance.random() * 0.3)
        if self._chance.random() < 0.8:
            await self._sold.wait()
        await self._pay(cart)

    async def _pay(self, cart: Cart) -> None:
        asked_at = time.time()
        order = {"order_reference": f"#{self._name}"}
        answer = await self._ask("POST", f"/v1/reservations/{cart.number}/confirm", order)
        while answer.status_code == 202:
            await asyncio.sleep(0.05)
            answer = await self._ask("POST", f"/v1/reservations/{cart.number}/confirm", order)
        state = answer.json().get("state") or answer.json()["reservation"]["state"]
        assert (answer.status_code, state) in ((200, "confirmed"), (409, "paid-unavailable")), answer.text
        told = paid if answer.status_code == 200 else gone
        self.deeds.append(told(self._name, asked_at, time.time(), cart.place))
        if answer.status_code == 200:
            self.kept.append(cart.place)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "policies"), [(1, []), (2, BLOCK)], ids=["org", "block"])
async def test_many_who_pay_for_what_a_counter_sells_see_one_order_of_things(
    tmp_path: Path, seed: int, policies: list[dict[str, object]]
) -> None:
    """Seven bags lie in carts, and the counters sell three of them: each payment was answered rightly."""
    pieces = {"ECOM": 4, "BACK": 3}
    levels = [{"sku": "BAG-1", "location": place, "on_hand": units} for place, units in pieces.items()]
    with world(tmp_path, levels=levels) as (org, daemon):
        daemon.env["SFSYNC_WEB__TOKENS"] = json.dumps([{"name": "shop", "token": TOKEN, "channels": ["*"]}])
        daemon.env["SFSYNC_CHANNELS__LONDON__MAY_RESERVE_AT"] = json.dumps(["BACK"])
        daemon.env["SFSYNC_POLICIES"] = json.dumps(policies)
        daemon.start("--approve")
        daemon.shows("BAG-1", pieces["ECOM"])
        deeds, kept = await asyncio.wait_for(_sold_and_paid(daemon, org, seed), ATTACK_SECONDS)
        assert any(deed.gone for deed in deeds)
        assert any(deed.paid for deed in deeds)
        assert linearizable(deeds, pieces), sorted(deeds, key=lambda deed: deed.asked_at)
        until(lambda: _held(org) == {place: kept.count(place) for place in pieces}, "only what is there held")


async def _sold_and_paid(daemon: Daemon, org: OrgSandbox, seed: int) -> tuple[list[Deed], list[str]]:
    """What everybody did and was told; and at which places somebody was told that he has a piece."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limits = httpx.Limits(max_connections=12)
    async with httpx.AsyncClient(
        base_url=daemon.url, headers=headers, limits=limits, trust_env=False
    ) as http:
        all_sold = asyncio.Event()
        payers = [
            Payer(f"payer {n}", http, seed * 100 + n, calm=n % 2 == 0, sold=all_sold) for n in range(10)
        ]
        for kind in TROUBLES:
            how: dict[str, Any] = {"seconds": 0.1} if kind == "delay_after" else {}
            await asyncio.to_thread(org.arm, kind, probability=0.07, times=None, seed=seed, **how)
        paying = [asyncio.create_task(payer.run()) for payer in payers]
        await asyncio.to_thread(until, lambda: sum(_held(org).values()) >= 5, "carts with bags")
        counter = [await _sells(daemon, org, place) for place in ("ECOM", "BACK", "ECOM")]
        all_sold.set()
        await asyncio.gather(*paying)
        await asyncio.to_thread(org.control, "DELETE", "/faults")
        deeds = [deed for payer in payers for deed in payer.deeds]
        return [*deeds, *counter], [place for payer in payers for place in payer.kept]


async def _sells(daemon: Daemon, org: OrgSandbox, place: str) -> Deed:
    """A counter sells a bag, promised or not, until sfsync has heard of it."""
    left, asked_at = int(org.level(f"BAG-1|{place}")["OnHand__c"]) - 1, time.time()
    entered = ""
    while not entered:  # the level may be locked by somebody else just then: whoever enters it tries again
        with suppress(AssertionError):
            entered = await asyncio.to_thread(org.move, f"BAG-1|{place}", on_hand=-1, kind="Sale")

    def heard() -> bool:
        levels = daemon.asked("/v1/why?sku=BAG-1")["levels"]
        return [each["known"]["on_hand"] for each in levels if each["location"] == place] == [left]

    await asyncio.to_thread(until, heard, f"sfsync to know that {left} are left at {place}")
    return sold(asked_at, time.time(), place)


_HELD = (
    "SELECT ReservedDelta__c, StockLevel__r.LevelKey__c FROM StockMovement__c "
    "WHERE SubjectKey__c LIKE 'reservation:%'"
)


def _held(org: OrgSandbox) -> dict[str, int]:
    """Units that reservations hold by the org's ledger, by place."""
    held = dict.fromkeys(PIECES, 0)
    for row in org.query(_HELD):
        held[row["StockLevel__r"]["LevelKey__c"].split("|")[1]] += int(row["ReservedDelta__c"])
    return held


async def _attack(daemon: Daemon, org: OrgSandbox, seed: int) -> tuple[list[Buyer], float]:
    """The buyers, and since when all was quiet; then as many came as there were pieces left, and one more."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limits = httpx.Limits(max_connections=BUYERS)
    async with httpx.AsyncClient(
        base_url=daemon.url, headers=headers, limits=limits, trust_env=False
    ) as http:
        buyers = [Buyer(f"buyer {n}", http, seed * 100 + n, calm=n % 2 == 0) for n in range(BUYERS)]
        # Each request to the org may meet one; by chance, so that none meets them for ever.
        for kind in TROUBLES:
            how: dict[str, Any] = {"seconds": 0.1} if kind == "delay_after" else {}
            await asyncio.to_thread(org.arm, kind, probability=0.07, times=None, seed=seed, **how)
        await asyncio.gather(*(buyer.run() for buyer in buyers))
        struck = (await asyncio.to_thread(org.control, "GET", "/faults"))["struck"]
        assert struck, "nothing went wrong, so nothing was shown"
        await asyncio.to_thread(org.control, "DELETE", "/faults")
        kept = [place for buyer in buyers for place in buyer.kept]
        sold = {place: kept.count(place) for place in PIECES}
        await asyncio.to_thread(until, lambda: _held(org) == sold, f"{sold} held")
        # A shop that has no order of what is held shows what whoever asks may still have.
        left = PIECES["ECOM"] - sold["ECOM"]
        await asyncio.to_thread(until, lambda: daemon.shown("BAG-1")[1] == left, f"dubai to show {left}")
        await asyncio.to_thread(until, lambda: not daemon.status()["ledger"]["queue"], "the last answer")
        quiet_at = time.time()
        late = Buyer("late", http, seed, calm=True)
        for place, units in PIECES.items():
            found = [await late.reserve(place) for _ in range(units - sold[place] + 1)]
            assert [cart is None for cart in found] == [False] * (units - sold[place]) + [True], place
    return [*buyers, late], quiet_at
