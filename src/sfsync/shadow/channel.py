"""A channel's port in shadow: it is read as it is, and what would be written to it is only remembered.

The flow believes what the channel would show, so that is what it reads here of every number it knows; what
the channel really shows is kept for the report. A number that the flow does not know yet is the channel's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial

import orjson

from sfsync.domain.clocks import ALIKE, Ahead
from sfsync.domain.orders import OrderSnapshot
from sfsync.ports import (
    Budget,
    Budgeted,
    Channel,
    ChannelItem,
    Clock,
    Delivery,
    Finding,
    PushAnswer,
    Refused,
    TellsTime,
    Write,
)
from sfsync.store import Database
from sfsync.store.shadow import ShadowTx
from sfsync.store.tx import SqlTx

MOST_SECONDS = 5.0  # that a push is taken to last, where the channel does it at once


class ShadowChannel:
    """Implements `ports.Channel`; whatever writes ends here."""

    def __init__(self, inner: Channel, store: Database, clock: Clock) -> None:
        self._inner, self._store, self._clock = inner, store, clock
        self.name = inner.name
        # A push is done when it returns, and no order is ever called off.
        self.ability = replace(inner.ability, asynchronous=False, cancels=False)
        self._answers_after = 0.0  # seconds, at its last reading of some SKUs

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """What would be written."""
        return orjson.dumps({"key": key, "writes": [asdict(write) for write in writes]})

    async def push(self, body: bytes) -> PushAnswer:
        """Done, after the time that the channel takes to answer a reading; nothing leaves."""
        await self._clock.sleep(self._seconds())
        return PushAnswer(applied=True)

    def _seconds(self) -> float:
        """Where the channel does a push later, it is done when its outcome could first be asked for."""
        ability = self._inner.ability
        later = ability.outcome_every_seconds if ability.asynchronous else 0.0
        return later + min(MOST_SECONDS, self._answers_after)

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """Never in shadow."""
        raise Refused("sfsync runs in shadow, and calls off no order", advice="run it without --shadow")

    async def check(self) -> Sequence[Finding]:
        """What is wrong at the channel. One that is told by callbacks would be sent a message: it is not."""
        return () if self.ability.callbacks is not None else await self._inner.check()

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """What the channel lists, with the numbers that it would show."""
        asked_at = self._clock.now()
        async for page in self._inner.items(skus):
            at = self._clock.now()
            if skus is not None:
                self._answers_after = (at - asked_at).total_seconds()
            shown = await self._store.write(partial(self._saw, page=page, asked_at=asked_at, at=at))
            yield [replace(item, shows=shown.get((item.sku, item.location), item.shows)) for item in page]
            if skus is not None:  # a whole listing may be read all at once, and given in pages
                asked_at = at

    def _saw(
        self, tx: SqlTx, *, page: Sequence[ChannelItem], asked_at: datetime, at: datetime
    ) -> dict[tuple[str, str], int]:
        if isinstance(tx, ShadowTx):
            tx.saw(self.name, [item for item in page if not item.duplicate], asked_at, at)
        levels = tx.channel_levels({item.sku for item in page}, self.name)
        return {(level.sku, level.location): level.published for level in levels}

    # -- as the channel tells it ---------------------------------------------------------------------

    def budget(self) -> Budget | None:
        """What it lets us ask."""
        return self._inner.budget() if isinstance(self._inner, Budgeted) else None

    def ahead(self) -> Ahead | None:
        """How far its clock is ahead of ours."""
        return self._inner.ahead() if isinstance(self._inner, TellsTime) else ALIKE

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """A webhook."""
        return self._inner.receive(headers, body)

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """The order that a webhook tells of."""
        return self._inner.read_order(delivery)

    def order_called(self, delivery: Delivery) -> str | None:
        """The order that a webhook calls."""
        return self._inner.order_called(delivery)

    async def order(self, reference: str) -> OrderSnapshot | None:
        """One order."""
        return await self._inner.order(reference)

    def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """Orders that have changed."""
        return self._inner.orders_since(at)

    async def close(self) -> None:
        """Give back connections."""
        await self._inner.close()
