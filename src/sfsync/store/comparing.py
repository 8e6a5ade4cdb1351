"""The statements of comparisons and of drift, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, func, or_, select, update

from sfsync.domain.drift import KEPT, Drift, HeldLevel, Sums
from sfsync.domain.resync import Cause, Difference, Scope
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.ports.comparing import PlannedRow, ResyncRun, RowCount, RowState, RunState
from sfsync.ports.outside import ChannelItem

from . import tables as t
from .prepared import Prepared
from .upsert import upsert

_ROW = t.resync_row.c
LAST_RESYNC = Prepared(select(t.resync).order_by(t.resync.c.made_at.desc()).limit(1))
DRIFTED = Prepared(
    select(t.drift).where(
        t.among(t.drift.c.sku), t.drift.c.channel == bindparam("b_channel"), t.drift.c.ended_at.is_(None)
    )
)
LEVELS_FOUND = Prepared(
    select(t.resync_level).where(
        t.among(t.resync_level.c.sku), t.resync_level.c.run == bindparam("b_run"), ~t.resync_level.c.gone
    )
)
DIFFERENCES = Prepared(
    select(t.resync_row).where(
        _ROW.run == bindparam("b_run"), _ROW.channel == bindparam("b_channel"), t.among(_ROW.sku)
    )
)
GONE_OF = Prepared(
    select(t.resync_level).where(
        t.among(t.resync_level.c.sku), t.resync_level.c.run == bindparam("b_run"), t.resync_level.c.gone
    )
)
COUNTING = Prepared(
    select(t.movement.c.sku).where(
        t.among(t.movement.c.sku), t.movement.c.state == "waiting", t.movement.c.kind == "Count"
    )
)


class ComparingStatements:
    """Comparisons with their rows, and drift."""

    _c: Connection

    # -- comparisons

    def put_resync(self, run: ResyncRun) -> None:
        """Keep a comparison as it stands."""
        row = {
            "id": run.id,
            "made_at": run.made_at,
            "state": run.state.value,
            "scope": run.scope.told(),
            "about": dict(run.about),
        }
        upsert(self._c, t.resync, [row])

    def resync(self, run_id: str) -> ResyncRun | None:
        """A comparison by its id."""
        row = self._c.execute(select(t.resync).where(t.resync.c.id == run_id)).first()
        return None if row is None else _run(row)

    def last_resync(self) -> ResyncRun | None:
        """The newest comparison."""
        row = LAST_RESYNC.run(self._c, {}).first()
        return None if row is None else _run(row)

    def drop_resyncs(self) -> None:
        """Forget every comparison: a new one begins, and older ones speak of numbers long gone."""
        for table in (t.resync_row, t.resync_page, t.resync_level, t.resync):
            self._c.execute(table.delete())

    def drop_resync_pages(self, run_id: str, channel: str) -> None:
        """Forget what was read of a channel."""
        for table in (t.resync_row, t.resync_page):
            self._c.execute(table.delete().where(table.c.run == run_id, table.c.channel == channel))

    def add_resync_page(self, run_id: str, channel: str, place: str, skus: Collection[str]) -> None:
        """A page of a channel was read and compared; `place` stands after it."""
        row = {"run": run_id, "channel": channel, "place": place, "skus": sorted(skus)}
        self._c.execute(t.resync_page.insert(), [row])

    def resync_place(self, run_id: str, channel: str) -> str | None:
        """Where the reading of a channel stands; None before its first page."""
        c = t.resync_page.c
        place: str | None = self._c.execute(
            select(c.place).where(c.run == run_id, c.channel == channel).order_by(c.id.desc()).limit(1)
        ).scalar()
        return place

    def resync_listed(self, run_id: str, channel: str) -> frozenset[str]:
        """The SKUs that a channel lists, as far as it was read."""
        c = t.resync_page.c
        found: set[str] = set()
        for row in self._c.execute(select(c.skus).where(c.run == run_id, c.channel == channel)):
            found.update(row.skus)
        return frozenset(found)

    def put_resync_rows(self, run_id: str, rows: Collection[PlannedRow]) -> None:
        """Keep rows of a plan, or what became of them."""
        upsert(self._c, t.resync_row, [_row_values(run_id, row) for row in rows])

    def resync_rows(
        self,
        run_id: str,
        *,
        channel: str | None = None,
        planned: bool = False,
        after: tuple[str, str, str] = ("", "", ""),
        limit: int = 1000,
    ) -> list[PlannedRow]:
        """Rows of a plan by channel, SKU and location; `planned`: those that nothing has become of yet."""
        name, sku, location = after
        conditions = [
            _ROW.run == run_id,
            or_(
                _ROW.channel > name,
                and_(
                    _ROW.channel == name, or_(_ROW.sku > sku, and_(_ROW.sku == sku, _ROW.location > location))
                ),
            ),
        ]
        if channel is not None:
            conditions.append(_ROW.channel == channel)
        if planned:
            conditions.append(_ROW.state == RowState.PLANNED.value)
        found = self._c.execute(
            select(t.resync_row)
            .where(*conditions)
            .order_by(_ROW.channel, _ROW.sku, _ROW.location)
            .limit(limit)
        )
        return [_planned(row) for row in found]

    def resync_differences(self, run_id: str, channel: str, skus: Collection[str]) -> list[Difference]:
        """What a plan says of some SKUs at a channel."""
        rows = DIFFERENCES.run(self._c, {"among": list(skus), "b_run": run_id, "b_channel": channel})
        return [Difference(r.channel, r.sku, r.location, r.shows, r.target, Cause(r.cause)) for r in rows]

    def resync_counts(self, run_id: str) -> list[RowCount]:
        """How many rows of a plan are alike, and what they change."""
        changes = _ROW.shows != _ROW.target
        zero = and_(changes, _ROW.target <= 0)
        rows = self._c.execute(
            select(
                _ROW.channel,
                _ROW.cause,
                _ROW.state,
                func.count(),
                func.sum(case((changes, 1), else_=0)),
                func.sum(case((zero, 1), else_=0)),
            )
            .where(_ROW.run == run_id)
            .group_by(_ROW.channel, _ROW.cause, _ROW.state)
            .order_by(_ROW.channel, _ROW.cause, _ROW.state)
        )
        return [RowCount(r[0], Cause(r[1]), RowState(r[2]), r[3], int(r[4]), int(r[5])) for r in rows]

    def put_resync_levels(
        self, run_id: str, levels: Collection[tuple[StockLevel, datetime]], *, gone: bool = False
    ) -> None:
        """Keep levels that the org has newer than we hold them, each with the time it was asked for.

        `gone`: as we hold them; the org does not have them any more.
        """
        rows = [
            {
                "run": run_id,
                "level_key": str(level.key),
                "sku": level.key.sku,
                "record_id": level.record_id,
                "on_hand": level.on_hand,
                "reserved": level.reserved,
                "version": level.version,
                "counted_at": level.counted_at,
                "asked_at": at,
                "gone": gone,
            }
            for level, at in levels
        ]
        upsert(self._c, t.resync_level, rows)

    def resync_levels(
        self, run_id: str, *, skus: Collection[str] | None = None, limit: int = 1000
    ) -> list[tuple[StockLevel, datetime]]:
        """The levels that the org has newer, of these SKUs when given."""
        if skus is not None:
            rows = LEVELS_FOUND.run(self._c, {"among": list(skus), "b_run": run_id}) if skus else []
            return [_found_level(row) for row in rows]
        c = t.resync_level.c
        query = select(t.resync_level).where(c.run == run_id, ~c.gone).order_by(c.level_key).limit(limit)
        return [_found_level(row) for row in self._c.execute(query)]

    def resync_gone(
        self, run_id: str, *, skus: Collection[str] | None = None, limit: int = 1_000_000
    ) -> list[StockLevel]:
        """The levels that the org does not have any more, as we held them; of these SKUs when given."""
        c = t.resync_level.c
        query = select(t.resync_level).where(c.run == run_id, c.gone).order_by(c.level_key).limit(limit)
        rows = self._c.execute(query) if skus is None else self._gone_of(run_id, skus)
        return [_found_level(row)[0] for row in rows]

    def _gone_of(self, run_id: str, skus: Collection[str]) -> list[Row[Any]]:
        return GONE_OF.run(self._c, {"among": list(skus), "b_run": run_id}) if skus else []

    def count_resync_levels(self, run_id: str) -> int:
        """How many there are."""
        c = t.resync_level.c
        query = select(func.count()).select_from(t.resync_level).where(c.run == run_id)
        return int(self._c.execute(query).scalar_one())

    def drop_resync_levels(self, run_id: str, levels: Collection[StockLevel]) -> None:
        """They have been taken over."""
        c = t.resync_level.c
        for level in levels:
            self._c.execute(t.resync_level.delete().where(c.run == run_id, c.level_key == str(level.key)))

    def count_channel_levels(self, channel: str) -> int:
        """How many numbers a channel shows that we know of."""
        c = t.channel_level.c
        query = select(func.count()).select_from(t.channel_level).where(c.channel == channel)
        return int(self._c.execute(query).scalar_one())

    def count_levels(self) -> int:
        """How many levels we hold."""
        return int(self._c.execute(select(func.count()).select_from(t.level)).scalar_one())

    def counting_skus(self, skus: Collection[str]) -> frozenset[str]:
        """Those of the SKUs of which a stock count waits for the org's answer."""
        rows = COUNTING.run(self._c, {"among": list(skus)}) if skus else []
        return frozenset(row.sku for row in rows)

    def changed_skus(self, since: datetime) -> frozenset[str]:
        """SKUs of which a level or a channel's number has changed since."""
        levels = select(t.level.c.sku).where(t.level.c.stored_at >= since)
        shown = select(t.channel_level.c.sku).where(t.channel_level.c.changed_at >= since)
        return frozenset(self._c.execute(levels.union(shown)).scalars())

    def undecided(self, channel: str) -> bool:
        """True when something of a channel's orders has come in and is not decided yet."""
        inbox, call = t.inbox.c, t.order_call.c
        waiting = select(inbox.id).where(inbox.done_at.is_(None), inbox.source == channel).limit(1)
        called = select(call.reference).where(call.channel == channel).limit(1)
        return any(self._c.execute(query).first() is not None for query in (waiting, called))

    # -- drift

    def level_sums(self) -> dict[str, Sums]:
        """What the levels of each location have together."""
        c = t.level.c
        rows = self._c.execute(
            select(c.location, func.count(), func.sum(c.on_hand), func.sum(c.reserved), func.sum(c.version))
            .where(c.record_id != "")
            .group_by(c.location)
        )
        return {r[0]: Sums(r[1], int(r[2]), int(r[3]), int(r[4])) for r in rows}

    def held_at(self, location: str) -> list[HeldLevel]:
        """The levels that we hold of a location."""
        c = t.level.c
        query = select(c.record_id, c.on_hand, c.reserved, c.version).where(
            c.location == location, c.record_id != ""
        )
        return [HeldLevel(*row) for row in self._c.execute(query)]

    def listed_at(self, channel: str, number: int) -> str:
        """The SKU of a channel's nth number in the order of SKUs; "" before the first and beyond the last."""
        c = t.channel_level.c
        query = select(c.sku).where(c.channel == channel).order_by(c.sku).offset(max(0, number - 1)).limit(1)
        return str(self._c.execute(query).scalar() or "") if number > 0 else ""

    def next_listed(self, channel: str, after: str, limit: int) -> list[str]:
        """The next SKUs that a channel lists."""
        c = t.channel_level.c
        query = (
            select(c.sku).distinct().where(c.channel == channel, c.sku > after).order_by(c.sku).limit(limit)
        )
        return list(self._c.execute(query).scalars())

    def count_drifts(self) -> int:
        """How much differs now, as far as is known."""
        query = select(func.count()).select_from(t.drift).where(t.drift.c.ended_at.is_(None))
        return int(self._c.execute(query).scalar_one())

    def drifts(self, *, open_only: bool = True, limit: int = 1000) -> list[Drift]:
        """Drift, the newest first."""
        query = select(t.drift).order_by(t.drift.c.id.desc()).limit(limit)
        if open_only:
            query = query.where(t.drift.c.ended_at.is_(None))
        return [_drift(row) for row in self._c.execute(query)]

    def drifted_since(self, channel: str, skus: Collection[str]) -> dict[tuple[str, str], datetime]:
        """Since when the numbers of these SKUs at a channel are known to differ, by SKU and location."""
        rows = DRIFTED.run(self._c, {"among": list(skus), "b_channel": channel}) if skus else []
        return {(row.sku, row.location): row.found_at for row in rows}

    def put_drift(self, drift: Drift) -> bool:
        """Keep a drift, or bring an open one up to date; True when it is new."""
        c = t.drift.c
        changed = self._c.execute(
            update(t.drift)
            .where(*_same(drift.channel, drift.sku, drift.location))
            .values(cause=drift.cause, ours=drift.ours, theirs=drift.theirs, seen_at=drift.seen_at)
        ).rowcount
        if changed:
            return False
        row = {
            "channel": drift.channel,
            "sku": drift.sku,
            "location": drift.location,
            "cause": drift.cause,
            "ours": drift.ours,
            "theirs": drift.theirs,
            "found_at": drift.found_at,
            "seen_at": drift.seen_at,
        }
        self._c.execute(t.drift.insert(), [row])
        newest = self._c.execute(select(func.max(c.id))).scalar() or 0
        self._c.execute(t.drift.delete().where(c.id <= newest - KEPT))
        return True

    def end_drift(self, channel: str, sku: str, location: str, at: datetime) -> bool:
        """It is gone; False when there was none."""
        ended = self._c.execute(update(t.drift).where(*_same(channel, sku, location)).values(ended_at=at))
        return bool(ended.rowcount)

    def drift_days(self, since: datetime) -> list[tuple[str, str, str, int, int]]:
        """(day, channel, cause, how many, units) of the drift that was found since, oldest day first."""
        found: dict[tuple[str, str, str], list[int]] = {}
        for drift in self.drifts(open_only=False, limit=KEPT):
            if drift.found_at >= since:
                key = (drift.found_at.date().isoformat(), drift.channel, drift.cause)
                count = found.setdefault(key, [0, 0])
                count[0] += 1
                count[1] += drift.units
        return [(*key, count, units) for key, (count, units) in sorted(found.items())]


def _same(channel: str, sku: str, location: str) -> tuple[Any, ...]:
    c = t.drift.c
    return (c.channel == channel, c.sku == sku, c.location == location, c.ended_at.is_(None))


def _run(row: Row[Any]) -> ResyncRun:
    return ResyncRun(row.id, row.made_at, RunState(row.state), Scope.read(row.scope), row.about)


def _row_values(run_id: str, row: PlannedRow) -> dict[str, Any]:
    difference, item = row.difference, row.item
    return {
        "run": run_id,
        "channel": difference.channel,
        "sku": difference.sku,
        "location": difference.location,
        "shows": difference.shows,
        "target": difference.target,
        "cause": difference.cause.value,
        "published": row.published,
        "item_id": None if item is None else item.item_id,
        "location_id": None if item is None else item.location_id,
        "tracked": item is None or item.tracked,
        "oversell": item is not None and item.oversell_allowed,
        "duplicate": item is not None and item.duplicate,
        "asked_at": row.asked_at,
        "read_at": row.read_at,
        "state": row.state.value,
        "note": row.note,
    }


def _planned(row: Row[Any]) -> PlannedRow:
    difference = Difference(row.channel, row.sku, row.location, row.shows, row.target, Cause(row.cause))
    item = None
    if row.item_id is not None:
        item = ChannelItem(
            row.sku,
            row.location,
            row.item_id,
            row.location_id,
            row.shows,
            tracked=row.tracked,
            oversell_allowed=row.oversell,
            duplicate=row.duplicate,
        )
    return PlannedRow(
        difference, item, row.published, row.asked_at, row.read_at, RowState(row.state), row.note
    )


def _found_level(row: Row[Any]) -> tuple[StockLevel, datetime]:
    key = LevelKey.parse(row.level_key)
    return (
        StockLevel(key, row.on_hand, row.reserved, row.version, row.record_id, row.counted_at),
        row.asked_at,
    )


def _drift(row: Row[Any]) -> Drift:
    return Drift(
        row.channel,
        row.sku,
        row.location,
        row.cause,
        row.ours,
        row.theirs,
        row.found_at,
        row.seen_at,
        row.ended_at,
    )


def forget_drift(connection: Connection, before: datetime) -> int:
    """Drop what ended before a time."""
    c = t.drift.c
    return connection.execute(t.drift.delete().where(c.ended_at < before)).rowcount
