"""The statements of alerts and of who is still to be told of them, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from sfsync.domain.alerts import Alert, AlertKind, Notice

from . import tables as t

_LEVEL = t.channel_level.c


class AlertStatements:
    """What people should know, and have been told."""

    _c: Connection

    def open_alerts(self) -> frozenset[str]:
        """The keys of the alerts that hold."""
        rows = self._c.execute(select(t.alert.c.key).where(t.alert.c.resolved_at.is_(None)))
        return frozenset(rows.scalars())

    def add_alert(self, alert: Alert, receivers: Collection[str], at: datetime) -> None:
        """It has begun: these receivers are to be told."""
        made = self._c.execute(
            t.alert.insert().values(
                kind=alert.kind.value,
                key=alert.key,
                title=alert.title,
                detail=dict(alert.detail),
                receivers=sorted(receivers),
                opened_at=at,
            )
        ).inserted_primary_key
        if made is None:
            raise RuntimeError("the database gave no id for a new alert")
        self._notify(int(made[0]), receivers)

    def alert_receivers(self) -> Mapping[str, frozenset[str]]:
        """Who is told of each alert that holds, by its key."""
        rows = self._c.execute(
            select(t.alert.c.key, t.alert.c.receivers).where(t.alert.c.resolved_at.is_(None))
        )
        return {row.key: frozenset(row.receivers) for row in rows}

    def tell_further(self, key: str, receivers: Collection[str]) -> None:
        """These too are to be told of an alert that has begun before."""
        c = t.alert.c
        alert = self._c.execute(select(t.alert).where(c.key == key, c.resolved_at.is_(None))).first()
        if alert is not None:
            new = set(receivers) - set(alert.receivers)
            everybody = sorted({*alert.receivers, *new})
            self._c.execute(update(t.alert).where(c.id == alert.id).values(receivers=everybody))
            self._notify(alert.id, new)

    def resolve_alert(self, key: str, receivers: Collection[str], at: datetime) -> None:
        """It is over: who was told that it began is told; whoever was not, or is no more, hears nothing."""
        c = t.alert.c
        alert = self._c.execute(select(t.alert).where(c.key == key, c.resolved_at.is_(None))).first()
        if alert is None:
            return
        self._c.execute(update(t.alert).where(c.id == alert.id).values(resolved_at=at))
        waiting = delete(t.notice).where(t.notice.c.alert == alert.id)
        untold = set(self._c.execute(waiting.returning(t.notice.c.receiver)).scalars())
        self._notify(alert.id, (set(alert.receivers) & set(receivers)) - untold)

    def _notify(self, alert: int, receivers: Collection[str]) -> None:
        if receivers:
            self._c.execute(
                t.notice.insert(), [{"receiver": name, "alert": alert} for name in sorted(receivers)]
            )

    def next_notice(self, receiver: str) -> Notice | None:
        """What a receiver is to be told first; None when it knows everything."""
        row = self._c.execute(
            select(t.notice.c.id.label("notice"), t.alert)
            .join(t.alert, t.alert.c.id == t.notice.c.alert)
            .where(t.notice.c.receiver == receiver)
            .order_by(t.notice.c.id)
            .limit(1)
        ).first()
        if row is None:
            return None
        kind = AlertKind(row.kind)
        return Notice(
            row.notice, receiver, row.id, kind, row.title, row.detail, row.opened_at, row.resolved_at
        )

    def drop_notice(self, notice_id: int) -> None:
        """It has been told."""
        self._c.execute(delete(t.notice).where(t.notice.c.id == notice_id))

    def count_dead_letters(self) -> Mapping[str, int]:
        """Items that a person must look at, by source."""
        source = t.dead_letter.c.source
        rows = self._c.execute(select(source, func.count()).group_by(source))
        return {name: int(count) for name, count in rows}

    def exposed_units(self) -> Mapping[str, int]:
        """Units that each channel shows beyond what it has to sell, where there are any."""
        rows = self._c.execute(
            select(_LEVEL.channel, func.sum(_LEVEL.exposure_units))
            .where(_LEVEL.exposure_units > 0)
            .group_by(_LEVEL.channel)
        )
        return {channel: int(units) for channel, units in rows}
