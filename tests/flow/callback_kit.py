"""A storefront that is only told: it knows the numbers that it was sent, and drops those that are older."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from tests.flow.kit import HastyClock, LittleShop

from sfsync.domain.callbacks import Patience
from sfsync.ports import Ability, ChannelItem, Gone, PushAnswer, TryLater, Write

FOR_EVER = 1e6  # seconds


class LittleReceiver(LittleShop):
    """An unchanged message is sent again after a time that no test lives to see, unless it says otherwise."""

    counts_down = False
    patience = Patience(
        set_aside_after=timedelta(days=1), schedule_seconds=(FOR_EVER,), probe_seconds=FOR_EVER
    )

    def __init__(
        self, clock: HastyClock, name: str, shelf: Mapping[str, int], *, batch_rows: int = 250
    ) -> None:
        super().__init__(clock, name, {}, batch_rows=batch_rows)  # it has never heard of anything
        self.ability = Ability(
            batch_rows,
            relative=False,
            compare_and_set=False,
            key_life_seconds=float("inf"),
            tells_orders=False,
            callbacks=self.patience,
        )
        self.sequences: dict[str, int] = {}
        self.down, self.gone = False, False
        self.closed: asyncio.Event | None = None  # messages wait at its door until it is set

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        raise AssertionError("nobody can ask it")
        yield

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        assert all(write.delta is None and write.compare is None for write in writes)
        return json.dumps([key, [[write.sku, write.quantity, write.sequence] for write in writes]]).encode()

    async def push(self, body: bytes) -> PushAnswer:
        self.sent.append(body)
        if self.closed is not None:
            await self.closed.wait()
        if self.gone:
            raise Gone("it answers 410", advice="ask its people")
        if self.down:
            raise TryLater("it answers 503")
        answer: PushAnswer = self.meet(lambda: self._push(body))
        return answer

    def _push(self, body: bytes) -> PushAnswer:
        _, rows = json.loads(body)
        bad = {index: self.bad[sku] for index, (sku, *_) in enumerate(rows) if sku in self.bad}
        if bad:
            return PushAnswer(False, bad, reason="one of the rows is bad")
        for sku, quantity, sequence in rows:
            if sequence > self.sequences.get(sku, 0):
                self.shelf[sku], self.sequences[sku] = quantity, sequence
        return PushAnswer(True)


class Probed(LittleReceiver):
    """It is set aside at its first failure, and tried again at once."""

    patience = Patience(set_aside_after=timedelta(0), schedule_seconds=(0.02,), probe_seconds=0.02)


def messages(shop: LittleShop) -> list[tuple[str, dict[str, int]]]:
    """Every message that was tried: its id, and the numbers by SKU."""
    found: list[tuple[str, list[list[Any]]]] = [json.loads(body) for body in shop.sent]
    return [(key, {sku: quantity for sku, quantity, _ in rows}) for key, rows in found]
