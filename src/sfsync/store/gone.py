"""The statements of channels that are not in the settings any more; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, func, select, update

from sfsync.domain.left_channel import LeftChannel

from . import tables as t

LOST = "its channel was forgotten"


class GoneStatements:
    """What is kept of channels that were taken out of the settings, and its end."""

    _c: Connection

    def channels_beside(self, names: Collection[str]) -> list[LeftChannel]:
        """The channels that were followed once and are none of these, by name, where anything is kept."""
        c = t.holding.c
        aside = c.kind == "allocation", c.reserved > 0, c.reserved != 0, c.channel.not_in(sorted(names))
        units: dict[str, int] = dict(
            self._c.execute(select(c.channel, func.sum(c.reserved)).where(*aside).group_by(c.channel)).all()
        )
        known = self._c.execute(select(t.channel.c.name).where(t.channel.c.name.not_in(sorted(names))))
        found = [self._left(name, int(units.get(name, 0))) for name in sorted({*known.scalars(), *units})]
        return [each for each in found if each.any]

    def _left(self, name: str, set_aside: int) -> LeftChannel:
        drift, line = t.drift.c, t.order_line.c
        return LeftChannel(
            name,
            numbers=self._count(t.channel_level, t.channel_level.c.channel == name),
            dead_letters=self._count(t.dead_letter, t.dead_letter.c.source == name),
            drifts=self._count(t.drift, drift.channel == name, drift.ended_at.is_(None)),
            set_aside=set_aside,
            open_lines=self._count(t.order_line, line.channel == name, line.open_quantity > 0),
        )

    def _count(self, what: FromClause, *where: ColumnElement[Any]) -> int:
        return int(self._c.execute(select(func.count()).select_from(what).where(*where)).scalar_one())

    def letters_of(self, source: str, limit: int) -> list[int]:
        """The ids of the first dead letters of a source."""
        c = t.dead_letter.c
        return list(
            self._c.execute(select(c.id).where(c.source == source).order_by(c.id).limit(limit)).scalars()
        )

    def forget_numbers(self, channel: str, limit: int) -> int:
        """Forget what a channel showed of so many SKUs, at all of its locations; the numbers that it was."""
        c = t.channel_level.c
        some = select(c.sku).where(c.channel == channel).distinct().order_by(c.sku).limit(limit)
        mine = c.channel == channel, c.sku.in_(some.scalar_subquery())
        return self._c.execute(t.channel_level.delete().where(*mine)).rowcount

    def forget_channel(self, channel: str, at: datetime) -> None:
        """Forget what else is kept of a channel: should it come back, it is a new one.

        Its orders, movements, incidents and history stay. What was on its way to it counts as lost.
        """
        push, drift = t.push.c, t.drift.c
        open_push = push.channel == channel, push.state == "open"
        ended = {"state": "lost", "reason": LOST, "answered_at": at}
        self._c.execute(update(t.push).where(*open_push).values(ended))
        open_drift = drift.channel == channel, drift.ended_at.is_(None)
        self._c.execute(update(t.drift).where(*open_drift).values(ended_at=at))
        for table in (t.by_hand, t.failing, t.order_call):
            self._c.execute(table.delete().where(table.c.channel == channel))
        self._c.execute(t.channel.delete().where(t.channel.c.name == channel))
