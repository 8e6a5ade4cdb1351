"""What is kept of a shadow: what would have been, what others did, and how a store leaves it.

A daemon in shadow keeps its store through `ShadowTx`: whatever the flow decides is stored as always, and
beside it, in tables of their own, the history that the report is made from. When sfsync goes live on the same
store, `leave` forgets what was only thought, and keeps that history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)

from sfsync.domain.shadow import Entry, Overlay, Sale, Seen, Would, matched
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports import ChannelItem, ChannelLevel, LineState

from . import tables as t
from .prepared import Prepared
from .rows import movement_of
from .tx import SqlTx
from .upsert import upsert

# Tables that outlive the shadow, beside its own: whose the store is, and what people have told it.
KEPT = frozenset({t.binding.name, t.calls.name, t.sku_mapping.name})
RECENT = timedelta(seconds=60)  # numbers that have changed are looked at again for so long
ROWS_AT_ONCE = 2_000  # of a history, in memory
SPAN_GAP = timedelta(minutes=2)  # a shadow that was not there for longer has begun anew

Place = tuple[str, str, str]  # channel, SKU, location


class ShadowTx(SqlTx):
    """A transaction that keeps what would have been. `now` tells when a sale was heard."""

    def __init__(self, connection: Connection, now: Callable[[], datetime]) -> None:
        super().__init__(connection)
        self._now = now

    def put_numbers(self, levels: Collection[ChannelLevel], now: datetime | None = None) -> None:
        """Store numbers; what would be shown from now on is history."""
        self._keep({(each.channel, each.sku, each.location): each.published for each in levels})
        super().put_numbers(levels, now)

    def put_items(
        self,
        channel: str,
        items: Collection[ChannelItem],
        problems: Mapping[tuple[str, str], str],
        asked_at: datetime,
        at: datetime,
        *,
        unsure: bool = False,
    ) -> None:
        """Take over what a channel shows; it is what would be shown, until something is decided."""
        self._keep({(channel, item.sku, item.location): item.shows for item in items})
        super().put_items(channel, items, problems, asked_at, at, unsure=unsure)

    def _keep(self, numbers: Mapping[Place, int]) -> None:
        held = {
            (each.channel, each.sku, each.location): each.published
            for each in self.channel_levels({sku for _, sku, _ in numbers})
        }
        now = self._now()
        rows = [
            {"channel": place[0], "sku": place[1], "location": place[2], "at": now, "number": number}
            for place, number in numbers.items()
            if held.get(place) != number
        ]
        if rows:
            self._c.execute(t.shadow_would.insert(), rows)

    def put_line(self, line: LineState) -> None:
        """Store a line; the most that it ever wanted, and lacked, is history."""
        super().put_line(line)
        wish, now = line.line, self._now()
        sold = wish.open_quantity + wish.fulfilled_quantity
        row = self._c.execute(select(t.shadow_sale).where(t.shadow_sale.c.subject == line.subject)).first()
        if row is None and sold <= 0:
            return
        lacked = row.uncovered if row else 0
        lacking_since = row.uncovered_at if row is not None and lacked else None
        told = {
            "subject": line.subject,
            "channel": line.channel,
            "order_id": line.order_id,
            "order_name": line.order_name,
            "sku": wish.sku,
            "location": line.channel_location,
            "units": max(sold, row.units if row else 0),
            "wanted": max(0, sold - wish.returned_quantity),
            "placed_at": line.placed_at,
            "heard_at": row.heard_at if row else now,
            "uncovered": max(line.uncovered, lacked),
            "uncovered_at": lacking_since or (now if line.uncovered else None),
        }
        upsert(self._c, t.shadow_sale, [told])

    def forget(self, before: datetime) -> int:
        """Drop what is old; of each number, what stands stays."""
        gone = super().forget(before)
        would, seen = t.shadow_would.c, t.shadow_seen.c
        last = select(func.max(would.id)).group_by(would.channel, would.sku, would.location)
        for statement in (
            delete(t.shadow_would).where(would.at < before, would.id.not_in(last)),
            delete(t.shadow_seen).where(seen.last_at < before, seen.newest.is_(False)),
            delete(t.shadow_span).where(t.shadow_span.c.until < before),
        ):
            gone += self._c.execute(statement).rowcount
        return gone

    # -- what channels really show -------------------------------------------------------------------

    def saw(self, channel: str, items: Collection[ChannelItem], asked_at: datetime, at: datetime) -> None:
        """Keep what was read: asked for at `asked_at`, known at `at`."""
        c = t.shadow_seen.c
        newest = select(t.shadow_seen).where(c.channel == channel, c.newest)
        skus = [item.sku for item in items]
        held = {
            (row.sku, row.location): row
            for row in self._c.execute(newest.where(t.among(c.sku)), {"among": skus})
        }
        same: list[dict[str, Any]] = []
        over: list[int] = []
        new: list[dict[str, Any]] = []
        for item in items:
            row = held.get((item.sku, item.location))
            if row is not None and row.last_at >= asked_at:
                continue  # a later reading is known already
            if row is not None and row.number == item.shows:
                same.append({"b_id": row.id, "b_at": asked_at})
                continue
            if row is not None:
                over.append(row.id)
            place = {"channel": channel, "sku": item.sku, "location": item.location}
            new.append({**place, "number": item.shows, "first_at": at, "last_at": asked_at, "newest": True})
        if same:
            LAST_SEEN.run(self._c, same)
        if over:
            self._c.execute(update(t.shadow_seen).where(c.id.in_(over)).values(newest=False))
        if new:
            self._c.execute(t.shadow_seen.insert(), new)

    def to_be_seen(self, channel: str, limit: int) -> list[str]:
        """SKUs whose number there is not what it would be, or changed lately: those longest unseen first."""
        level, seen, would = t.channel_level.c, t.shadow_seen.c, t.shadow_would.c
        now = self._now()
        moved = select(would.sku).where(would.channel == channel, would.at >= now - RECENT)
        joined = t.channel_level.outerjoin(
            t.shadow_seen,
            and_(
                seen.channel == level.channel,
                seen.sku == level.sku,
                seen.location == level.location,
                seen.newest,
            ),
        )
        differs = or_(seen.number.is_(None), seen.number != level.published)
        recent = func.max(case((level.sku.in_(moved), 1), else_=0))
        query = (
            select(level.sku)
            .select_from(joined)
            .where(level.channel == channel, or_(differs, level.sku.in_(moved)))
            .group_by(level.sku)
            .order_by(recent.desc(), func.min(func.coalesce(seen.last_at, 0.0)), level.sku)
            .limit(limit)
        )
        return list(self._c.execute(query).scalars())

    def watched_on(self, at: datetime) -> None:
        """The shadow is there."""
        c = t.shadow_span.c
        last = self._c.execute(select(t.shadow_span).order_by(c.id.desc()).limit(1)).first()
        if last is not None and at - last.until <= SPAN_GAP:
            self._c.execute(update(t.shadow_span).where(c.id == last.id).values(until=at))
        else:
            self._c.execute(t.shadow_span.insert().values(since=at, until=at))

    # -- the ledger that would have been -------------------------------------------------------------

    def virtual_rows(self) -> list[Movement]:
        """Every movement that would have been entered."""
        c = t.shadow_row.c
        oldest_first = select(t.shadow_row).order_by(c.entered_at, c.key)
        return [movement_of(row) for row in self._c.execute(oldest_first)]

    def overlays(self, keys: Collection[LevelKey] | None = None) -> dict[LevelKey, Overlay]:
        """What levels would have beyond what the org has: these, or all of them."""
        c, wanted = t.shadow_overlay.c, select(t.shadow_overlay)
        if keys is None:
            rows = self._c.execute(wanted)
        else:
            rows = self._c.execute(wanted.where(t.among(c.level_key)), {"among": [str(key) for key in keys]})
        return {LevelKey.parse(r.level_key): Overlay(r.on_hand, r.reserved, r.changes) for r in rows}

    def enter_virtually(self, movements: Collection[Movement], at: datetime) -> None:
        """Keep movements that would have been entered."""
        rows = [
            {
                "key": each.key,
                "subject": each.subject,
                "level_key": str(each.level),
                "sku": each.level.sku,
                "kind": each.kind.value,
                "on_hand_delta": each.on_hand_delta,
                "reserved_delta": each.reserved_delta,
                "reference": each.reference,
                "source_version": each.source_version,
                "occurred_at": each.occurred_at,
                "entered_at": at,
            }
            for each in movements
        ]
        if rows:
            self._c.execute(t.shadow_row.insert(), rows)

    def add_entries(self, entries: Collection[Entry]) -> bool:
        """Keep movements that others have entered; True when one of them is new."""
        c = t.shadow_entry.c
        asked = select(c.id).where(t.among(c.id))
        known = set(self._c.execute(asked, {"among": [each.id for each in entries]}).scalars())
        rows = [
            {
                "id": each.id,
                "level_key": str(each.level),
                "sku": each.level.sku,
                "kind": each.kind.value,
                "on_hand_delta": each.on_hand_delta,
                "reserved_delta": each.reserved_delta,
                "words": each.words,
                "created_at": each.created_at,
                "certain": False,
            }
            for each in entries
            if each.id not in known
        ]
        if rows:
            self._c.execute(t.shadow_entry.insert(), rows)
        return bool(rows)

    def settle(self, skus: Collection[str]) -> dict[LevelKey, Overlay]:
        """Find anew whose the movements of these SKUs are; the overlays that are others by that."""
        changed: dict[LevelKey, Overlay] = {}
        for sku in sorted(skus):
            theirs = entries(self, skus=[sku])
            matches = matched(sales(self, skus=[sku]), theirs)
            sums: dict[LevelKey, list[int]] = defaultdict(lambda: [0, 0])
            for row in self._c.execute(select(t.shadow_row).where(t.shadow_row.c.sku == sku)):
                level = sums[LevelKey.parse(row.level_key)]
                level[0] += row.on_hand_delta
                level[1] += row.reserved_delta
            for entry in theirs:
                level, own = sums[entry.level], entry.id in matches
                level[0] -= entry.on_hand_delta if own else 0
                level[1] -= entry.reserved_delta if own else 0
            held = self.overlays(sums)
            for key, (on_hand, reserved) in sums.items():
                before = held.get(key, Overlay())
                if (after := before.with_(on_hand, reserved)) != before:
                    changed[key] = after
            self._c.execute(
                update(t.shadow_entry).where(t.shadow_entry.c.sku == sku).values(sale=None, certain=False)
            )
            told = [
                {"b_id": number, "b_sale": match.subject, "b_certain": match.certain}
                for number, match in matches.items()
            ]
            if told:
                WHOSE.run(self._c, told)
        rows = [
            {"level_key": str(k), "on_hand": o.on_hand, "reserved": o.reserved, "changes": o.changes}
            for k, o in changed.items()
        ]
        upsert(self._c, t.shadow_overlay, rows)
        return changed


def since(tx: SqlTx) -> datetime | None:
    """Since when the store is a shadow's; None when it is not."""
    return tx.connection.execute(select(t.binding.c.shadow_since)).scalar()


def begin(tx: SqlTx, at: datetime) -> None:
    """The store, just bound, is a shadow's."""
    tx.connection.execute(update(t.binding).values(shadow_since=at))


def leave(tx: SqlTx, at: datetime) -> None:
    """What was decided in shadow never happened: forget it. What the shadow saw is kept."""
    for table in t.metadata.sorted_tables:
        if table.name not in KEPT and not table.name.startswith("shadow_"):
            tx.connection.execute(table.delete())
    tx.connection.execute(t.shadow_row.delete())
    tx.connection.execute(t.shadow_overlay.delete())
    tx.connection.execute(update(t.binding).values(shadow_since=None, policies=None, first_start=at))


def channels(tx: SqlTx) -> list[str]:
    """The channels that the store knows."""
    return list(tx.connection.execute(select(t.channel.c.name)).scalars())


def spans(tx: SqlTx) -> list[tuple[datetime, datetime]]:
    """The times for which a shadow watched, oldest first."""
    rows = tx.connection.execute(select(t.shadow_span).order_by(t.shadow_span.c.id))
    return [(row.since, row.until) for row in rows]


def sales(
    tx: SqlTx, *, skus: Collection[str] | None = None, uncovered_since: datetime | None = None
) -> list[Sale]:
    """Sales heard, oldest first: of these SKUs; or those heard since a moment that no stock covered."""
    c, wanted = t.shadow_sale.c, select(t.shadow_sale).order_by(t.shadow_sale.c.placed_at)
    if uncovered_since is not None:
        wanted = wanted.where(c.uncovered > 0, c.heard_at >= uncovered_since)
    return [
        Sale(
            row.subject,
            row.channel,
            row.order_id,
            row.order_name,
            row.sku,
            row.location,
            row.units,
            row.wanted,
            row.placed_at,
            row.heard_at,
            row.uncovered,
            row.uncovered_at,
        )
        for row in tx.connection.execute(*_narrowed(wanted, c.sku, skus))
    ]


def entries(tx: SqlTx, *, skus: Collection[str] | None = None) -> list[Entry]:
    """Movements that others entered, oldest first: of these SKUs."""
    c, wanted = t.shadow_entry.c, select(t.shadow_entry).order_by(t.shadow_entry.c.created_at)
    return [
        Entry(
            row.id,
            LevelKey.parse(row.level_key),
            MovementKind(row.kind),
            row.on_hand_delta,
            row.reserved_delta,
            row.words,
            row.created_at,
        )
        for row in tx.connection.execute(*_narrowed(wanted, c.sku, skus))
    ]


def sold_skus(tx: SqlTx) -> list[str]:
    """The SKUs that were sold."""
    return list(tx.connection.execute(select(t.shadow_sale.c.sku).distinct()).scalars())


def count_entries(tx: SqlTx, after: datetime) -> int:
    """How many movements others entered since a moment."""
    c = t.shadow_entry.c
    query = select(func.count()).select_from(t.shadow_entry).where(c.created_at >= after)
    return int(tx.connection.execute(query).scalar_one())


def would_have_entered(tx: SqlTx, after: datetime) -> int:
    """How many movements sfsync would have entered since a moment."""
    c = t.shadow_row.c
    return int(
        tx.connection.execute(
            select(func.count()).select_from(t.shadow_row).where(c.entered_at >= after)
        ).scalar_one()
    )


def count_changes(tx: SqlTx, channel: str, after: datetime) -> int:
    """How many numbers sfsync would have changed at a channel since a moment."""
    c = t.shadow_would.c
    query = select(func.count()).select_from(t.shadow_would).where(c.channel == channel, c.at >= after)
    return int(tx.connection.execute(query).scalar_one())


def numbers(
    tx: SqlTx, channel: str, *, sku: str | None = None
) -> Iterator[tuple[Place, list[Would], list[Seen]]]:
    """What a channel would have shown, and was seen to show: place by place, each in the order of time.

    All of a channel is more than memory should hold, so that one place is read after another.
    """
    would, seen = t.shadow_would.c, t.shadow_seen.c
    both = union_all(
        select(
            would.sku, would.location, literal(0).label("read"), would.id, would.number, would.at, would.at
        ).where(would.channel == channel, *([] if sku is None else [would.sku == sku])),
        select(seen.sku, seen.location, literal(1), seen.id, seen.number, seen.first_at, seen.last_at).where(
            seen.channel == channel, *([] if sku is None else [seen.sku == sku])
        ),
    )
    rows = tx.connection.execute(both.order_by(text("1, 2, 3, 4")).execution_options(yield_per=ROWS_AT_ONCE))
    for (of_sku, location), group in groupby(rows, key=lambda row: (row[0], row[1])):
        ours: list[Would] = []
        theirs: list[Seen] = []
        for _, _, read, _, number, first, last in group:
            if read:
                theirs.append(Seen(number, first, max(first, last)))
            else:
                ours.append(Would(first, number))
        yield (channel, of_sku, location), ours, theirs


def _narrowed(
    wanted: Select[Any], column: Column[str], skus: Collection[str] | None
) -> tuple[Select[Any], dict[str, list[str]]]:
    return (wanted, {}) if skus is None else (wanted.where(t.among(column)), {"among": sorted(skus)})


LAST_SEEN = Prepared(
    update(t.shadow_seen).where(t.shadow_seen.c.id == bindparam("b_id")).values(last_at=bindparam("b_at"))
)
WHOSE = Prepared(
    update(t.shadow_entry)
    .where(t.shadow_entry.c.id == bindparam("b_id"))
    .values(sale=bindparam("b_sale"), certain=bindparam("b_certain"))
)

__all__: Sequence[str] = (
    "Place",
    "ShadowTx",
    "begin",
    "channels",
    "count_changes",
    "count_entries",
    "entries",
    "leave",
    "numbers",
    "sales",
    "since",
    "sold_skus",
    "spans",
    "would_have_entered",
)
