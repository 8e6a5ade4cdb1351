"""Looks at what channels really show: often where that is not what it would be, all of it now and then."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog

from sfsync.ports import Channel, Clock, OutsideError
from sfsync.store import Database
from sfsync.store.shadow import ShadowTx
from sfsync.store.tx import SqlTx

MOST_SKUS = 100  # in one look, that differ or have changed
SWEPT_SKUS = 25  # and as many that come in turn
SPAN_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Watch:
    """The eyes of a shadow."""

    def __init__(
        self, channels: Mapping[str, Channel], store: Database, clock: Clock, *, every_seconds: float
    ) -> None:
        self._channels, self._store, self._clock = channels, store, clock
        self._every = every_seconds
        self._swept: dict[str, str] = {}

    async def follow(self, name: str) -> None:
        """Until cancelled: look at one channel."""
        while True:
            try:
                await self.look(name)
            except OutsideError as error:
                log.warning("not looked at", channel=name, reason=str(error), next="at the next look")
            await self._clock.sleep(self._every)

    async def look(self, name: str) -> int:
        """Read what differs, what changed lately, and some more in turn; how many SKUs were asked for."""
        channel = self._channels[name]
        skus = await self._store.read(partial(self._wanted, name=name))
        if skus:
            async for _ in channel.items(skus):
                pass  # the channel's port keeps what was seen
        return len(skus)

    def _wanted(self, tx: SqlTx, *, name: str) -> list[str]:
        if not isinstance(tx, ShadowTx) or not tx.read_whole(name):
            return []
        turn = tx.next_listed(name, self._swept.get(name, ""), SWEPT_SKUS)
        self._swept[name] = turn[-1] if turn else ""
        return list(dict.fromkeys((*tx.to_be_seen(name, MOST_SKUS), *turn)))

    async def stay(self) -> None:
        """Until cancelled: keep for which times somebody watched."""
        while True:
            await self._store.write(self._there)
            await self._clock.sleep(SPAN_SECONDS)

    def _there(self, tx: SqlTx) -> None:
        if isinstance(tx, ShadowTx):
            tx.watched_on(self._clock.now())
