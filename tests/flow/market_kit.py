"""A marketplace to tell stories with: it takes plain numbers, and an order lowers its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tests.flow.kit import HastyClock, LittleShop

from sfsync.domain.orders import OrderSnapshot
from sfsync.ports import PushAnswer, Refused, TryLater, Write


class LittleMarket(LittleShop):
    """A number written is the number shown, whatever was sold meanwhile."""

    settle_seconds = 0.0

    def __init__(
        self, clock: HastyClock, name: str, shelf: Mapping[str, int], *, batch_rows: int = 250
    ) -> None:
        super().__init__(clock, name, shelf, batch_rows=batch_rows)
        self.ability = replace(
            self.ability,
            relative=False,
            compare_and_set=False,
            settle_seconds=self.settle_seconds,
            orders_every_seconds=0.5,
        )
        self.silent = False  # its order list cannot be read
        self.looked = 0  # how often its order list was read

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        assert all(write.delta is None and write.compare is None for write in writes)
        return json.dumps([key, [[write.sku, write.quantity] for write in writes]]).encode()

    def _push(self, body: bytes) -> PushAnswer:
        return self._put(json.loads(body)[1])

    def _put(self, rows: Sequence[tuple[str, int]]) -> PushAnswer:
        bad = {index: self.bad[sku] for index, (sku, _) in enumerate(rows) if sku in self.bad}
        if not bad:
            self.shelf |= {sku: quantity for sku, quantity in rows if sku not in self.ignored}
        return PushAnswer(not bad, bad, reason="one of the rows is bad" if bad else "")

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        if self.silent:
            raise TryLater("its order list is away")
        self.looked += 1
        async for page in super().orders_since(at):
            yield page


class LaterMarket(LittleMarket):
    """It takes a push with a ticket and carries it out when it is told to `work`; bad rows alone fail."""

    def __init__(
        self, clock: HastyClock, name: str, shelf: Mapping[str, int], *, batch_rows: int = 250
    ) -> None:
        super().__init__(clock, name, shelf, batch_rows=batch_rows)
        self.ability = replace(self.ability, asynchronous=True, outcome_every_seconds=0.05)
        self.waiting: dict[str, list[tuple[str, int]]] = {}
        self.done: dict[str, PushAnswer] = {}
        self._tickets = itertools.count(1)
        self.at_once = True

    def _push(self, body: bytes) -> PushAnswer:
        ticket = f"import {next(self._tickets)}"
        self.waiting[ticket] = [(sku, quantity) for sku, quantity in json.loads(body)[1]]
        if self.at_once:
            self.work()
        return PushAnswer(applied=False, ticket=ticket)

    def work(self) -> None:
        """What waits is carried out."""
        for ticket, rows in self.waiting.items():
            bad = {index: self.bad[sku] for index, (sku, _) in enumerate(rows) if sku in self.bad}
            self._put([row for row in rows if row[0] not in self.bad])
            self.done[ticket] = PushAnswer(True, bad)
        self.waiting.clear()

    async def outcome(self, ticket: str, body: bytes) -> PushAnswer | None:
        if ticket not in self.done and ticket not in self.waiting:
            raise Refused("no such import", advice="read the numbers")
        return self.done.get(ticket)


def numbers_sent(shop: LittleShop) -> list[dict[str, int]]:
    """The numbers of every push that was tried at a marketplace, by SKU."""
    return [dict(json.loads(body)[1]) for body in shop.sent]
