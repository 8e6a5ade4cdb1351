"""The statements of the store's binding, bookmarks, and what was observed; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, or_, select, update

from sfsync.domain.budget import HourOfCalls
from sfsync.domain.coverage import Closes, How, Interval
from sfsync.ports.keeping import Hole

from . import tables as t
from .prepared import Prepared
from .statements import Statements

LAST_WATCHED = Prepared(
    select(t.watch.c.until)
    .where(t.watch.c.source == bindparam("b_source"), t.watch.c.how == How.LIVE.value)
    .order_by(t.watch.c.until.desc())
    .limit(1)
)
FIRST_WATCHED = Prepared(select(func.min(t.watch.c.since)).where(t.watch.c.source == bindparam("b_source")))
LAST_TOLD = Prepared(
    select(t.watch.c.until)
    .where(
        t.watch.c.source == bindparam("b_source"),
        or_(t.watch.c.how == How.LIVE.value, t.watch.c.how == How.POLLED.value),
    )
    .order_by(t.watch.c.until.desc())
    .limit(1)
)
NEWEST_WATCH = (
    select(t.watch.c.id)
    .where(t.watch.c.source == bindparam("b_source"), t.watch.c.how == bindparam("b_how"))
    .order_by(t.watch.c.until.desc(), t.watch.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
LENGTHEN_WATCH = update(t.watch).where(t.watch.c.id == NEWEST_WATCH).values(until=bindparam("b_until"))
EXTEND_WATCH = Prepared(LENGTHEN_WATCH)
WATCH = Prepared(t.watch.insert(), [column.name for column in t.watch.columns if column.name != "id"])
OPEN_HOLE = Prepared(t.hole.insert(), ["source", "since", "reason", "opened_at", "closes"])
PUT_HOLE = Prepared(
    update(t.hole)
    .where(t.hole.c.id == bindparam("b_id"))
    .values(
        since=bindparam("b_since"),
        reason=bindparam("b_reason"),
        opened_at=bindparam("b_opened_at"),
        closes=bindparam("b_closes"),
        replayed_to=bindparam("b_replayed_to"),
    )
)
CLOSE_HOLE = Prepared(
    update(t.hole)
    .where(t.hole.c.id == bindparam("b_id"))
    .values(closed_at=bindparam("b_at"), found=bindparam("b_found"), how=bindparam("b_how"))
)
OPEN_HOLES = Prepared(select(t.hole).where(t.hole.c.closed_at.is_(None)).order_by(t.hole.c.id))
CURSOR_AT = Prepared(select(t.cursor.c.at).where(t.cursor.c.topic == bindparam("b_topic")))
CURSOR = Prepared(select(t.cursor.c.cursor).where(t.cursor.c.topic == bindparam("b_topic")))


class CoverageStatements(Statements):
    """What the store is bound to, where streams stand, and which of their time is known."""

    def bound_org(self) -> str | None:
        """The org this store was made with."""
        return self._c.execute(select(t.binding.c.org_id)).scalar()

    def bind_org(self, org_id: str, at: datetime) -> None:
        """Make this store that org's, for ever."""
        self._c.execute(t.binding.insert().values(id=1, org_id=org_id, first_start=at))

    def first_start(self) -> datetime | None:
        """When the store was bound."""
        return self._c.execute(select(t.binding.c.first_start)).scalar()

    def policies(self) -> str | None:
        """The fingerprint of the policies by which all numbers were last decided; None before the first."""
        return self._c.execute(select(t.binding.c.policies)).scalar()

    def put_policies(self, fingerprint: str) -> None:
        """All numbers have been decided by these policies."""
        self._c.execute(update(t.binding).values(policies=fingerprint))

    def calls(self) -> tuple[list[HourOfCalls], int | None]:
        """The org's API calls of each hour, oldest first, and how many it allowed in the last of them."""
        rows = self._c.execute(select(t.calls).order_by(t.calls.c.hour)).all()
        hours = [HourOfCalls(row.hour, row.ours, row.used) for row in rows]
        return hours, rows[-1].allowed if rows else None

    def put_calls(
        self, hours: Collection[HourOfCalls], allowed: int | None, *, forget_before: datetime
    ) -> None:
        """Store what is known of these hours now, and drop what lies before a time."""
        told = [
            {"hour": each.hour, "ours": each.ours, "used": each.used, "allowed": allowed} for each in hours
        ]
        self._upsert(t.calls, told)
        self._c.execute(t.calls.delete().where(t.calls.c.hour < forget_before))

    def deliveries(self) -> tuple[list[HourOfCalls], int | None]:
        """The org's delivered events as told in each hour, oldest first, and how many it allowed last."""
        rows = self._c.execute(select(t.deliveries).order_by(t.deliveries.c.hour)).all()
        return [HourOfCalls(row.hour, 0, row.used) for row in rows], rows[-1].allowed if rows else None

    def put_deliveries(self, hour: datetime, used: int, allowed: int, *, forget_before: datetime) -> None:
        """Store what was told in an hour, and drop what lies before a time."""
        self._upsert(t.deliveries, [{"hour": hour, "used": used, "allowed": allowed}])
        self._c.execute(t.deliveries.delete().where(t.deliveries.c.hour < forget_before))

    def cursor(self, topic: str) -> bytes | None:
        """Where the stream stands."""
        found: bytes | None = CURSOR.run(self._c, {"b_topic": topic}).scalar()
        return found

    def cursor_at(self, topic: str) -> datetime | None:
        """When the stream stood there."""
        at: datetime | None = CURSOR_AT.run(self._c, {"b_topic": topic}).scalar()
        return at

    def drop_cursor(self, topic: str) -> None:
        """Forget a bookmark that the stream refused."""
        self._c.execute(t.cursor.delete().where(t.cursor.c.topic == topic))

    def put_cursor(self, topic: str, cursor: bytes, at: datetime) -> None:
        """Move the bookmark: last, in the transaction of the effect."""
        self._upsert(t.cursor, [{"topic": topic, "cursor": cursor, "at": at}])

    def open_hole(
        self, source: str, since: datetime, reason: str, at: datetime, closes: Closes = Closes.READING
    ) -> None:
        """Note an interval that nobody has observed."""
        row = {"source": source, "since": since, "reason": reason, "opened_at": at, "closes": closes.value}
        OPEN_HOLE.run(self._c, row)

    def open_holes(self) -> list[Hole]:
        """Holes that nothing has made up for yet."""
        return [_hole(row) for row in OPEN_HOLES.run(self._c, {})]

    def put_hole(self, hole: Hole) -> None:
        """Tell an open hole anew."""
        PUT_HOLE.run(
            self._c,
            {
                "b_id": hole.id,
                "b_since": hole.since,
                "b_reason": hole.reason,
                "b_opened_at": hole.opened_at,
                "b_closes": hole.closes.value,
                "b_replayed_to": hole.replayed_to,
            },
        )

    def close_hole(self, hole_id: int, at: datetime, found: str = "", how: How = How.REREAD) -> None:
        """It was made up for."""
        CLOSE_HOLE.run(self._c, {"b_id": hole_id, "b_at": at, "b_found": found, "b_how": how.value})

    def watch_from(self, source: str, since: datetime, at: datetime) -> None:
        """A subscription has begun to be observed."""
        self.watch(Interval(source, since, at, How.LIVE))

    def watched(self, source: str, at: datetime) -> None:
        """The stream has shown a sign of life: it was observed since the last one."""
        EXTEND_WATCH.run(self._c, {"b_source": source, "b_how": How.LIVE.value, "b_until": at})

    def watch(self, interval: Interval) -> None:
        """Keep how an interval came to be known."""
        WATCH.run(
            self._c,
            {
                "source": interval.source,
                "since": interval.since,
                "until": interval.until,
                "how": interval.how.value,
                "why": interval.why,
                "found": interval.found,
            },
        )

    def watch_on(self, interval: Interval) -> None:
        """The newest interval of that kind lasts until the end of this one, and this is what it found."""
        self._c.execute(
            LENGTHEN_WATCH.values(found=interval.found),
            {"b_source": interval.source, "b_how": interval.how.value, "b_until": interval.until},
        )

    def last_watched(self, source: str) -> datetime | None:
        """Up to when the source was last observed, with nothing pending."""
        until: datetime | None = LAST_WATCHED.run(self._c, {"b_source": source}).scalar()
        return until

    def last_told(self, source: str) -> datetime | None:
        """Up to when the source was last observed, with nothing pending, or polled."""
        until: datetime | None = LAST_TOLD.run(self._c, {"b_source": source}).scalar()
        return until

    def first_watched(self, source: str) -> datetime | None:
        """Since when the source has been watched at all."""
        since: datetime | None = FIRST_WATCHED.run(self._c, {"b_source": source}).scalar()
        return since

    def coverage(self, since: datetime, now: datetime) -> list[Interval]:
        """Every interval of every source that ends after `since`; an open hole lasts until now.

        Of an open hole, what its replay has reached counts as replayed.
        """
        watch, hole = t.watch.c, t.hole.c
        rows = self._c.execute(select(t.watch).where(watch.until >= since).order_by(watch.id))
        found = [Interval(r.source, r.since, r.until, How(r.how), r.why, r.found) for r in rows]
        holes = self._c.execute(
            select(t.hole).where(or_(hole.closed_at.is_(None), hole.closed_at >= since)).order_by(t.hole.c.id)
        )
        for r in holes:
            if r.closed_at is not None:
                found.append(Interval(r.source, r.since, r.closed_at, How(r.how), r.reason, r.found))
                continue
            if r.replayed_to is not None:
                found.append(Interval(r.source, r.since, r.replayed_to, How.REPLAYED, r.reason))
            found.append(Interval(r.source, r.replayed_to or r.since, now, How.OPEN, r.reason))
        return found


def _hole(row: Row[Any]) -> Hole:
    closes = Closes(row.closes)
    return Hole(row.id, row.source, row.since, row.reason, row.opened_at, closes, row.replayed_to)
