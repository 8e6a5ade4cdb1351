"""Read-only pictures of the store for people: counted by the database, never row by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, TextClause, and_, case, func, literal, or_, select, text

from sfsync.domain.ira import Counted, Late
from sfsync.domain.mapping import Hold
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.domain.turnover import Past
from sfsync.ports.keeping import Incident, Resolution
from sfsync.ports.progress import Tell, nobody
from sfsync.store import tables as t
from sfsync.store.incidents import incident_of
from sfsync.store.tx import SqlTx

TOGETHER = 1_000  # counts between two words on how far it is


@dataclass(frozen=True, slots=True)
class ChannelCount:
    """One channel's channel levels, counted."""

    levels: int
    due: int
    in_flight: int
    problems: int
    exposed_units: int
    exposure_unit_seconds: float
    approved: bool
    held: Hold | None  # changed settings that wait for a person
    last_push_at: datetime | None
    dead_letters: int


@dataclass(frozen=True, slots=True)
class QueueCount:
    """What waits to be decided or answered."""

    bundles: int
    oldest_bundle_at: datetime | None
    inbox: int
    lines: int


@dataclass(frozen=True, slots=True)
class ScarceSku:
    """A SKU of which few are left."""

    sku: str
    available: int
    locations: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RecentMovement:
    """A movement that was entered lately."""

    at: datetime
    level_key: str
    kind: str
    on_hand_delta: int
    reserved_delta: int
    reference: str
    channel: str | None
    available: int | None


def channel_counts(tx: SqlTx, now: datetime) -> dict[str, ChannelCount]:
    """Counts by channel; all but the number of levels over the few rows that an index holds ready."""
    c, units = t.channel_level.c, func.count()
    differs = text("(target <> published OR unsure)")  # in the indices' own words, so that they serve
    levels = _by_channel(tx, units)
    waiting = _by_channel(tx, units, text("push IS NULL AND problem = ''"), differs, c.target.is_not(None))
    flying = _by_channel(tx, units, text("push IS NOT NULL"))
    again = _by_channel(
        tx, units, text("push IS NOT NULL"), text("problem = ''"), differs, c.target.is_not(None)
    )
    problems = _by_channel(tx, units, text("problem <> ''"), c.problem != IN_DOUBT)
    shown = text("exposure_units > 0")
    exposed = _by_channel(tx, func.sum(c.exposure_units), shown)
    growing = _by_channel(tx, func.sum(c.exposure_units * (now.timestamp() - c.exposure_since)), shown)
    grown = _by_channel(tx, func.sum(c.exposure_unit_seconds), text("exposure_unit_seconds > 0"))
    holds = tx.holds()
    known = {row.name: row for row in tx.connection.execute(select(t.channel))}
    pushed = dict(
        tx.connection.execute(
            select(t.push.c.channel, func.max(t.push.c.answered_at))
            .where(t.push.c.state == "applied")
            .group_by(t.push.c.channel)
        ).all()
    )
    letters: dict[str, int] = dict(
        tx.connection.execute(
            select(t.dead_letter.c.source, func.count()).group_by(t.dead_letter.c.source)
        ).all()
    )
    return {
        channel: ChannelCount(
            count,
            waiting.get(channel, 0) + again.get(channel, 0),
            flying.get(channel, 0),
            problems.get(channel, 0),
            exposed.get(channel, 0),
            grown.get(channel, 0.0) + growing.get(channel, 0.0),
            channel in known and known[channel].approved_at is not None,
            holds.get(channel),
            pushed.get(channel),
            letters.get(channel, 0),
        )
        for channel, count in levels.items()
    }


def _by_channel(
    tx: SqlTx, what: ColumnElement[Any], *where: ColumnElement[bool] | TextClause
) -> dict[str, Any]:
    """A sum over the channel levels for which all of that holds, by channel."""
    channel = t.channel_level.c.channel
    rows = tx.connection.execute(select(channel, what).where(*where).group_by(channel))
    return {row[0]: row[1] for row in rows}


def queue_count(tx: SqlTx) -> QueueCount:
    """What waits."""
    bundles, oldest = tx.connection.execute(
        select(func.count(), func.min(t.bundle.c.asked_at)).where(t.bundle.c.state == "waiting")
    ).one()
    inbox = tx.connection.execute(select(func.count()).where(t.inbox.c.done_at.is_(None))).scalar_one()
    lines = tx.connection.execute(select(func.count()).where(t.order_line.c.due)).scalar_one()
    return QueueCount(bundles, oldest, inbox, lines)


def _free(units: ColumnElement[int]) -> ColumnElement[int]:
    """What several levels have together: one that owes takes nothing from the others."""
    return func.sum(case((units > 0, units), else_=0))


def scarce_skus(tx: SqlTx, *, most: int, limit: int) -> list[ScarceSku]:
    """SKUs with stock of which at most `most` units may still be promised: what is on show first."""
    c = t.level.c
    on_show = c.sku.in_(select(t.channel_level.c.sku).where(t.channel_level.c.published > 0))
    total = _free(c.on_hand - c.reserved)
    found = tx.connection.execute(
        select(c.sku, total.label("available"))
        .group_by(c.sku)
        .having(and_(total <= most, _free(c.on_hand) > 0))
        .order_by(func.max(case((on_show, 0), else_=1)), total, c.sku)
        .limit(limit)
    ).all()
    places: dict[str, dict[str, int]] = defaultdict(dict)
    rows = tx.connection.execute(
        select(t.level).where(c.sku.in_([row.sku for row in found])).order_by(c.location)
    )
    for row in rows:
        places[row.sku][row.location] = places[row.sku].get(row.location, 0) + row.on_hand - row.reserved
    return [ScarceSku(row.sku, row.available, places[row.sku]) for row in found]


def few_shown(tx: SqlTx, channel: str, most: int) -> list[tuple[str, int]]:
    """(SKU, units that may still be promised) of what a channel shows, where there are one to `most`."""
    c, shown = t.level.c, t.channel_level.c
    total = _free(c.on_hand - c.reserved)
    showing = select(shown.sku).where(shown.channel == channel, shown.published > 0)
    rows = tx.connection.execute(
        select(c.sku, total)
        .where(c.sku.in_(showing))
        .group_by(c.sku)
        .having(total.between(1, most))
        .order_by(total, c.sku)
    )
    return [(sku, units) for sku, units in rows]


def recent_movements(tx: SqlTx, limit: int) -> list[RecentMovement]:
    """The movements entered last, newest first."""
    rows = tx.connection.execute(
        select(
            t.movement, t.bundle.c.answered_at, (t.level.c.on_hand - t.level.c.reserved).label("available")
        )
        .join(t.bundle, t.bundle.c.id == t.movement.c.bundle)
        .outerjoin(t.level, t.level.c.level_key == t.movement.c.level_key)
        .where(t.movement.c.state == "done")
        .order_by(t.movement.c.id.desc())
        .limit(limit)
    )
    return [
        RecentMovement(
            r.answered_at,
            r.level_key,
            r.kind,
            r.on_hand_delta,
            r.reserved_delta,
            r.reference,
            r.channel,
            r.available,
        )
        for r in rows
    ]


def counted(tx: SqlTx, since: datetime, until: datetime, tell: Tell = nobody) -> list[Counted]:
    """Counts made in a time that stand in the ledger, oldest first; each with its whole variance."""
    c, held = t.stock_count.c, t.holding.c
    then = c.counted_at >= since, c.counted_at < until
    total = 0 if tell is nobody else tx.connection.execute(select(func.count()).where(*then)).scalar_one()
    rows = tx.connection.execute(
        select(t.stock_count, held.on_hand)
        .join(t.holding, and_(held.subject == c.subject, held.level_key == c.level_key))
        .where(*then)
        .order_by(c.counted_at, c.subject)
    )
    found: list[Counted] = []
    for r in rows:
        if len(found) % TOGETHER == 0:
            tell("counts read", len(found), total)
        found.append(
            Counted(
                LevelKey.parse(r.level_key),
                r.units,
                r.on_hand,
                r.counted_at,
                r.entered_at,
                r.counted_by,
                r.reason,
                r.price,
            )
        )
    return found


def last_counts(tx: SqlTx) -> dict[LevelKey, Past]:
    """The last count of each level that stands in the ledger."""
    c, held = t.stock_count.c, t.holding.c
    rows = tx.connection.execute(
        select(c.level_key, c.counted_at, held.on_hand)
        .join(t.holding, and_(held.subject == c.subject, held.level_key == c.level_key))
        .order_by(c.counted_at)
    )
    return {LevelKey.parse(row.level_key): Past(row.counted_at, row.on_hand) for row in rows}


def stock(
    tx: SqlTx, location: str | None, sku: str | None, without: Collection[str]
) -> list[tuple[LevelKey, int, int]]:
    """(level, on hand, available) of every level at the locations that sell, or of one location or SKU."""
    c = t.level.c
    query = select(c.level_key, c.on_hand, c.reserved).order_by(c.level_key)
    if location is not None:
        query = query.where(c.location == location)
    if sku is not None:
        query = query.where(c.sku == sku)
    rows = tx.connection.execute(query.where(c.location.not_in(without)))
    return [(LevelKey.parse(row.level_key), row.on_hand, row.on_hand - row.reserved) for row in rows]


def counts_kept(tx: SqlTx) -> int:
    """How many counts were ever written down."""
    return tx.connection.execute(select(func.count()).select_from(t.stock_count)).scalar_one()


def late_postings(tx: SqlTx, since: datetime) -> list[Late]:
    """Postings that were entered with a compensation because a count at or after `since` had seen them.

    A count that was told after a newer one is none of them: nothing happened then, somebody looked.
    """
    told, back = t.movement.alias("told"), t.movement.alias("back")
    standing = ("done", "folded")
    rows = tx.connection.execute(
        select(told.c.level_key, told.c.on_hand_delta, told.c.occurred_at, t.bundle.c.answered_at)
        .join(back, back.c.subject == literal("late:") + told.c.key)
        .join(t.bundle, t.bundle.c.id == told.c.bundle)
        .where(back.c.occurred_at >= since, back.c.state.in_(standing), told.c.state.in_(standing))
        .where(told.c.kind != MovementKind.COUNT.value)
    )
    return [Late(LevelKey.parse(r.level_key), r.on_hand_delta, r.occurred_at, r.answered_at) for r in rows]


@dataclass(frozen=True, slots=True)
class ToldIncidents:
    """The incidents that the status tells, newest first, and how many there are beside them."""

    told: Sequence[Incident]
    resolutions: Mapping[int, Sequence[Resolution]]  # by incident
    urgent: int  # all that are open and may not wait
    more: int  # open or closed lately, and not among those told


def told_incidents(tx: SqlTx, closed_after: datetime, now: datetime, *, most: int = 100) -> ToldIncidents:
    """Open incidents and those closed lately.

    What is over never crowds out what is open, nor what may wait what a person must look at.
    """
    c = t.incident.c
    wanted = or_(c.closed_at.is_(None), c.closed_at > closed_after)
    waits = and_(c.waits_until.is_not(None), c.waits_until > now)
    rows = tx.connection.execute(
        select(t.incident)
        .where(wanted)
        .order_by(c.closed_at.is_not(None), case((waits, 1), else_=0), c.id.desc())
        .limit(most)
    )
    found = sorted((incident_of(row) for row in rows), key=lambda each: each.id, reverse=True)
    urgent, all_ = tx.connection.execute(
        select(func.sum(case((and_(c.closed_at.is_(None), ~waits), 1), else_=0)), func.count()).where(wanted)
    ).one()
    decided: dict[int, list[Resolution]] = defaultdict(list)
    for each in tx.resolutions([incident.id for incident in found]):
        decided[each.incident].append(each)
    return ToldIncidents(found, decided, urgent or 0, all_ - len(found))


def refunds_owed(tx: SqlTx) -> int:
    """How many refund tasks are open."""
    owed = select(func.count()).select_from(t.refund).where(t.refund.c.closed_at.is_(None))
    return int(tx.connection.execute(owed).scalar() or 0)


def listed(tx: SqlTx) -> Iterator[tuple[str, str]]:
    """(channel, SKU) of every channel level."""
    c = t.channel_level.c
    return ((row[0], row[1]) for row in tx.connection.execute(select(c.channel, c.sku)))


def matching_skus(tx: SqlTx, query: str, limit: int) -> Sequence[str]:
    """SKUs that contain a text, in order. Every SKU is looked at, in its own table: its levels are more."""
    c = t.sku.c.sku
    found = select(c).where(c.icontains(query, autoescape=True)).order_by(c).limit(limit)
    return list(tx.connection.execute(found).scalars())


def held_by(tx: SqlTx, channel: str) -> list[str]:
    """The SKUs of which a channel has units set aside."""
    c = t.holding.c
    rows = tx.connection.execute(
        select(c.sku).distinct().where(c.kind == "allocation", c.channel == channel, c.reserved != 0)
    )
    return [row.sku for row in rows]
