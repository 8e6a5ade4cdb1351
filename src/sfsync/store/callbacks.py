"""The statements of numbers in the order of their changes, and of receivers that fail, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, func, select, tuple_

from sfsync.domain.callbacks import Failing, NumberPlace, next_sequence
from sfsync.ports.keeping import ChannelLevel

from . import tables as t
from .prepared import Prepared
from .rows import channel_level_of

_LEVEL = t.channel_level.c
_PLACE = (_LEVEL.sequence, _LEVEL.channel, _LEVEL.sku, _LEVEL.location)
LAST_SEQUENCE = Prepared(select(func.max(_LEVEL.sequence)))


class CallbackStatements:
    """What receivers of callbacks are told, and how they take it."""

    _c: Connection

    def next_sequence(self, now: datetime) -> int:
        """The sequence number of the targets that change in this transaction."""
        return next_sequence(LAST_SEQUENCE.run(self._c, {}).scalar() or 0, now)

    def failing(self, channel: str) -> Failing | None:
        """How a receiver stands that did not take the last message; None when it took it."""
        row = self._c.execute(select(t.failing).where(t.failing.c.channel == channel)).first()
        return None if row is None else Failing(**{k: v for k, v in row._mapping.items() if k != "channel"})

    def put_failing(self, channel: str, failing: Failing | None) -> None:
        """Keep how a receiver stands; None: it takes messages."""
        self._c.execute(t.failing.delete().where(t.failing.c.channel == channel))
        if failing is not None:
            self._c.execute(t.failing.insert(), {"channel": channel, **asdict(failing)})

    def numbers_after(
        self,
        place: NumberPlace | None,
        *,
        channels: Collection[str],
        skus: Collection[str] | None,
        limit: int,
    ) -> list[ChannelLevel]:
        """What channels should show, in the order of the last changes, from after a place; None: all SKUs."""
        wanted = select(t.channel_level).where(
            _LEVEL.target.is_not(None), _LEVEL.channel.in_(sorted(channels))
        )
        if skus is not None:
            wanted = wanted.where(_LEVEL.sku.in_(sorted(skus)))
        if place is not None:
            after = tuple_(place.sequence, place.channel, place.sku, place.location)
            wanted = wanted.where(_LEVEL.sequence >= place.sequence, tuple_(*_PLACE) > after)
        rows = self._c.execute(wanted.order_by(*_PLACE).limit(limit))
        return [channel_level_of(row) for row in rows]
