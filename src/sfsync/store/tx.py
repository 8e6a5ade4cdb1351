"""One transaction: short statements with a line saying what each is for. Nothing here decides anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from sfsync.domain.assortment import Assortment, InForce
from sfsync.domain.budget import HourOfCalls
from sfsync.domain.by_hand import Fixed
from sfsync.domain.counts import Count
from sfsync.domain.coverage import Closes, How, Interval
from sfsync.domain.editions import Switch
from sfsync.domain.exposure import KEPT_EMPTIED, KEPT_SPELLS
from sfsync.domain.ledger import Bundle
from sfsync.domain.letters import Cause, cause_of
from sfsync.domain.mapping import Hold, Identity, Move
from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine
from sfsync.domain.org_counts import Taken, is_recount
from sfsync.domain.places import LinePlace
from sfsync.domain.products import Product
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.reservations import (
    PickUpWindow,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
)
from sfsync.domain.rights import EVERYTHING, Sight
from sfsync.domain.sku_mapping import SkuMapping
from sfsync.domain.sources import Source, Word
from sfsync.domain.stock import (
    BROKEN,
    SOLD,
    LevelKey,
    Movement,
    MovementKind,
    StockLevel,
    reservation_subject,
)
from sfsync.domain.tills import TillHistory, TillReport
from sfsync.ports.keeping import (
    ChannelLevel,
    DeadLetter,
    DroppedLetter,
    Facts,
    Held,
    Hole,
    InboxItem,
    InTransit,
    KeptMapping,
    LineState,
    OrderCall,
    PendingRow,
    PushRecord,
    PushRow,
    SubjectHolding,
)
from sfsync.ports.outside import ChannelItem

from . import identities, rulebooks
from . import tables as t
from .alerts import AlertStatements
from .callbacks import CallbackStatements
from .comparing import ComparingStatements, forget_drift
from .draws import DrawStatements
from .folding import SLICE, FoldStatements
from .incidents import IncidentStatements
from .prepared import Prepared
from .refunds import RefundStatements
from .rows import channel_level_of
from .turns import TurnStatements
from .upsert import upsert


class SqlTx(
    FoldStatements,
    IncidentStatements,
    DrawStatements,
    RefundStatements,
    CallbackStatements,
    AlertStatements,
    ComparingStatements,
    TurnStatements,
):
    """A `ports.Tx` on an open connection."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    @property
    def connection(self) -> Connection:
        """The connection, for the read-only pictures of `views`."""
        return self._c

    # -- binding, cursors, coverage ------------------------------------------------------------------

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
        return self._c.execute(select(t.cursor.c.at).where(t.cursor.c.topic == topic)).scalar()

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
        return self._c.execute(select(func.min(t.watch.c.since)).where(t.watch.c.source == source)).scalar()

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

    # -- levels --------------------------------------------------------------------------------------

    def levels(self, keys: Collection[LevelKey]) -> dict[LevelKey, tuple[StockLevel, datetime]]:
        """Levels held, each with the time it was stored."""
        rows = self._in(LEVELS_BY_KEY, [str(key) for key in keys])
        return {(level := _level(row)).key: (level, row.stored_at) for row in rows}

    def put_levels(self, levels: Collection[StockLevel], at: datetime) -> None:
        """Replace levels whole; whoever calls has compared versions."""
        self._upsert(
            t.level,
            [
                {
                    "level_key": str(level.key),
                    "sku": level.key.sku,
                    "location": level.key.location,
                    "unit": level.key.unit,
                    "record_id": level.record_id,
                    "on_hand": level.on_hand,
                    "reserved": level.reserved,
                    "version": level.version,
                    "counted_at": level.counted_at,
                    "stored_at": at,
                }
                for level in levels
            ],
        )

    def levels_of(self, skus: Collection[str]) -> list[StockLevel]:
        """Every level of these SKUs."""
        return [_level(row) for row in self._in(LEVELS_BY_SKU, skus)]

    def levels_by_record(self, record_ids: Collection[str]) -> list[StockLevel]:
        """Levels by the org's record ids."""
        return [_level(row) for row in self._in(LEVELS_BY_RECORD, record_ids)]

    def products(self) -> list[Product]:
        """What is kept of the org's products."""
        rows = self._c.execute(select(t.product).order_by(t.product.c.record_id))
        return [Product(r.record_id, r.sku, r.fields, frozenset(r.tags), r.price) for r in rows]

    def put_products(self, products: Collection[Product]) -> None:
        """Keep these products, and forget those that are gone."""
        ids = [product.record_id for product in products]
        for part in range(0, len(ids), SLICE):
            self._c.execute(t.product.delete().where(t.product.c.record_id.in_(ids[part : part + SLICE])))
        rows = [
            {
                "record_id": product.record_id,
                "sku": product.sku,
                "fields": dict(product.fields),
                "tags": sorted(product.tags),
                "price": product.price,
            }
            for product in products
            if not product.gone
        ]
        if rows:
            self._c.execute(t.product.insert(), rows)

    def note_skus(self, skus: Collection[str]) -> bool:
        """Remember SKUs that no channel was asked for yet; True when one of them is new."""
        if not skus:
            return False
        insert, last = self._insert(t.sku).on_conflict_do_nothing(), self.last_sku()
        rows = [{"sku": sku, "number": last + place} for place, sku in enumerate(sorted(skus), 1)]
        self._c.execute(insert, rows)
        return self.last_sku() > last

    def last_sku(self) -> int:
        """The number of the SKU that we came to know of last; 0 when there is none."""
        return int(LAST_SKU.run(self._c, {}).scalar() or 0)

    def unasked_skus(self, channel: str, limit: int) -> tuple[list[str], int]:
        """SKUs that a channel was never asked for, oldest first, and the number of the last of them."""
        rows = UNASKED_SKUS.run(self._c, {"b_channel": channel, "b_limit": limit})
        return [row.sku for row in rows], rows[-1].number if rows else 0

    def mark_asked(self, channel: str, number: int) -> None:
        """The channel was asked for every SKU up to this number; from now on it counts as read whole."""
        c = t.channel.c
        older = or_(c.asked_to.is_(None), c.asked_to < number)
        self._c.execute(update(t.channel).where(c.name == channel, older).values(asked_to=number))

    def to_be_read(self) -> set[str]:
        """The channels that were not asked for every SKU, or whose numbers are in doubt."""
        unasked = UNASKED.run(self._c, {"b_last": self.last_sku()}).scalars()
        return {*unasked, *DOUBTFUL.run(self._c, {}).scalars()}

    def read_whole(self, channel: str) -> bool:
        """Whether all that it lists was read once."""
        return ASKED_TO.run(self._c, {"b_channel": channel}).scalar() is not None

    def all_skus(self) -> list[str]:
        """Every SKU that has a level."""
        return list(self._c.execute(select(t.level.c.sku).distinct().order_by(t.level.c.sku)).scalars())

    def skus_at(self, location: str) -> list[str]:
        """Every SKU that has a level at a location of the org."""
        c = t.level.c
        there = select(c.sku).distinct().where(c.location == location).order_by(c.sku)
        return list(self._c.execute(there).scalars())

    def facts(self, skus: Collection[str]) -> Facts:
        """All that ATS depends on, for these SKUs: six statements, however many SKUs."""
        held = [
            Held(row.kind, row.channel, LevelKey.parse(row.level_key), int(row.units))
            for row in self._in(HELD_BY_SKU, skus)
        ]
        uncovered = self._in(UNCOVERED_BY_SKU, skus)
        short: dict[str, int] = defaultdict(int)
        for row in uncovered:
            short[row.sku] += row.uncovered
        return Facts(
            self.levels_of(skus),
            held,
            self.pending(skus),
            short,
            _scarcities(self._in(SCARCE_BY_SKU, skus)),
        )

    def pending(self, skus: Collection[str]) -> list[PendingRow]:
        """Movements of these SKUs that wait for the org's answer, and grants that are not entered yet."""
        return [_pending(*row) for row in self._in(WAITING_BY_SKU, skus)] + self._drawn_rows(skus)

    def allocated_skus(self) -> list[str]:
        """SKUs of which a channel holds units of its own."""
        return ALLOCATED_SKUS.run(self._c, {}).scalars()

    def own_units(self, channel: str, skus: Collection[str]) -> set[str]:
        """Of these SKUs, those of which the channel holds units of its own."""
        if not skus:
            return set()
        return {row.sku for row in OWN_UNITS.run(self._c, {"b_channel": channel, "among": list(skus)})}

    def by_hand(self, sku: str) -> dict[str, Fixed]:
        """What people have said that channels are to have of a SKU, by channel."""
        rows = BY_HAND.run(self._c, {"b_sku": sku})
        return {row.channel: Fixed(row.units, row.who, row.at) for row in rows}

    def put_by_hand(self, sku: str, channel: str, fixed: Fixed | None) -> None:
        """Remember a word, or forget it."""
        c = t.by_hand.c
        self._c.execute(t.by_hand.delete().where(c.sku == sku, c.channel == channel))
        if fixed is not None:
            row = {"sku": sku, "channel": channel, "units": fixed.units, "who": fixed.who, "at": fixed.at}
            self._c.execute(t.by_hand.insert().values(row))

    def skus_by_hand(self) -> list[str]:
        """SKUs of which somebody has said who is to have how many."""
        return list(self._c.execute(select(t.by_hand.c.sku).distinct().order_by(t.by_hand.c.sku)).scalars())

    def sold_by_channel(self, sku: str, since: datetime, until: datetime) -> dict[str, int]:
        """Units of a SKU in orders placed in that time and not called off, by channel."""
        c = t.order_line.c
        units = c.open_quantity + c.fulfilled_quantity - c.returned_quantity
        query = (
            select(c.channel, func.sum(units).label("units"))
            .where(c.sku == sku, c.placed_at >= since, c.placed_at < until)
            .group_by(c.channel)
        )
        return {row.channel: int(row.units) for row in self._c.execute(query)}

    def scarce_skus(self) -> dict[str, InForce]:
        """SKUs that are scarce now in the eyes of some policy, each with the scarcities that hold."""
        return _scarcities(self._c.execute(select(t.scarce).order_by(t.scarce.c.sku)))

    def put_scarce(self, sku: str, scarce: InForce, at: datetime) -> None:
        """Remember which scarcities hold of a SKU, instead of those that did."""
        self._c.execute(t.scarce.delete().where(t.scarce.c.sku == sku))
        rows = [{"sku": sku, "scarcity": name, "since": at} for name in sorted(scarce)]
        if rows:
            self._c.execute(t.scarce.insert(), rows)

    # -- inbox, orders -------------------------------------------------------------------------------

    def put_inbox(self, source: str, topic: str, key: str, body: bytes, at: datetime) -> bool:
        """Take something in; False when it was taken in before."""
        row = {"source": source, "topic": topic, "key": key, "body": body, "received_at": at}
        return bool(_inbox_statement(self._c.dialect.name, tuple(row)).run(self._c, row))

    def inbox(self, limit: int) -> list[InboxItem]:
        """What waits to be decided, oldest first."""
        rows = INBOX.run(self._c, {"b_limit": limit})
        return [InboxItem(r.id, r.source, r.topic, r.key, r.body, r.received_at) for r in rows]

    def forget(self, before: datetime) -> int:
        """Drop what was done with before a time, and history beyond its most; returns how many rows.

        Webhooks, pushes, coverage, exposure. The ledger stays whole.
        """
        gone = forget_drift(self._c, before)
        for table, done_at in (
            (t.inbox, t.inbox.c.done_at),
            (t.push, t.push.c.answered_at),
            (t.watch, t.watch.c.until),
            (t.hole, t.hole.c.closed_at),
            (t.alert, t.alert.c.resolved_at),
        ):
            gone += self._c.execute(table.delete().where(done_at < before)).rowcount
        for history, ended_at, most in (
            (t.spell, t.spell.c.ended, KEPT_SPELLS),
            (t.emptied, t.emptied.c.shown_at, KEPT_EMPTIED),
        ):
            newest = self._c.execute(select(func.max(history.c.id))).scalar() or 0
            old = or_(ended_at < before.timestamp(), history.c.id <= newest - most)
            gone += self._c.execute(history.delete().where(old)).rowcount
        return gone

    def finish_inbox(self, item_id: int, at: datetime) -> None:
        """Decided; the body is kept for `why`."""
        FINISH_INBOX.run(self._c, {"b_id": item_id, "b_at": at})

    def lines(self, subjects: Collection[str]) -> dict[str, LineState]:
        """Order lines by subject."""
        rows = self._in(LINES_BY_SUBJECT, subjects)
        return {row.subject: _line(row) for row in rows}

    def put_line(self, line: LineState) -> None:
        """Store a line's newest wish and state."""
        wish = line.line
        self._upsert(
            t.order_line,
            [
                {
                    "subject": line.subject,
                    "channel": line.channel,
                    "order_id": line.order_id,
                    "order_name": line.order_name,
                    "line_id": wish.line_id,
                    "sku": wish.sku,
                    "unit": wish.unit,
                    "location": wish.location,
                    "open_quantity": wish.open_quantity,
                    "fulfilled_quantity": wish.fulfilled_quantity,
                    "returned_quantity": wish.returned_quantity,
                    "taken_quantity": wish.taken_quantity,
                    "version": line.version,
                    "placed_at": line.placed_at,
                    "channel_location": line.channel_location,
                    "reservations": list(line.reservations),
                    "uncovered": line.uncovered,
                    "asked_in_vain": line.asked_in_vain,
                    "due": line.due,
                    "told": _told(line.told),
                    "org_order": line.org_order,
                    "places": wish.places or None,
                    "routed": wish.routed,
                    "routed_at": line.routed_at,
                    "misplaced": line.misplaced,
                    "aside": line.aside,
                    "aside_at": line.aside_at,
                    "client": line.client,
                    "mapped_from": wish.mapped_from,
                    "moments": _moments_told(wish),
                }
            ],
        )

    def lines_of_org_order(self, org_order: str) -> list[LineState]:
        """The lines that the org has told of under its own id of an order."""
        rows = LINES_OF_ORG_ORDER.run(self._c, {"b_order": org_order})
        return [_line(row) for row in rows]

    def orders_of_returns(self, line_ids: Collection[str]) -> dict[str, str]:
        """By line of a return order: the org's id of the order that told of it last, or its own."""
        return {row.line_id: row.org_order for row in self._in(RETURN_LINES, line_ids)}

    def put_returns(self, orders: Mapping[str, str]) -> None:
        """These lines of return orders were told of by these orders, or by themselves."""
        rows = [{"line_id": line, "org_order": order} for line, order in orders.items()]
        self._upsert(t.return_line, rows)

    def due_lines(self, limit: int) -> list[LineState]:
        """Lines to decide whose subject has nothing waiting for an answer, oldest order first."""
        return [_line(row) for row in DUE_LINES.run(self._c, {"b_limit": limit})]

    def uncovered_lines(self, skus: Collection[str]) -> list[LineState]:
        """Lines that no stock covers, or none where they are sent from; oldest order first."""
        rows = self._in(UNCOVERED_BY_SKU, skus)
        return sorted((_line(row) for row in rows), key=lambda line: (line.placed_at, line.subject))

    def owes(self, channel: str, sku: str) -> bool:
        """True while a line of the channel is still to be decided, or no stock covers it."""
        return OWES.run(self._c, {"b_channel": channel, "b_sku": sku}).first() is not None

    def open_lines(self, channel: str) -> list[LineState]:
        """A channel's lines with units still to be delivered: read once, at a start."""
        c = t.order_line.c
        rows = self._c.execute(select(t.order_line).where(c.channel == channel, c.open_quantity > 0))
        return [_line(row) for row in rows]

    def call_order(self, channel: str, reference: str, at: datetime) -> None:
        """The order is to be read, from now on; what was asked before is asked anew."""
        row = {"channel": channel, "reference": reference, "asked_at": at, "due_at": at, "tries": 0}
        self._upsert(t.order_call, [row])

    def called_orders(self, channel: str, now: datetime, limit: int) -> list[OrderCall]:
        """Orders of a channel that are to be read now, the longest due first."""
        rows = CALLED_ORDERS.run(self._c, {"b_channel": channel, "b_now": now, "b_limit": limit})
        return [OrderCall(row.reference, row.asked_at, row.tries) for row in rows]

    def next_call(self, channel: str) -> datetime | None:
        """When the next order of a channel is to be read; None where none is."""
        due_at: datetime | None = NEXT_CALL.run(self._c, {"b_channel": channel}).scalar()
        return due_at

    def order_answered(self, channel: str, call: OrderCall, again_at: datetime | None) -> None:
        """It was read: for good, or to be read again then. One that was asked anew meanwhile stays due."""
        same = {"b_channel": channel, "b_reference": call.reference, "b_asked_at": call.asked_at}
        if again_at is None:
            END_CALL.run(self._c, same)
        else:
            CALL_AGAIN.run(self._c, {**same, "b_due_at": again_at, "b_tries": call.tries + 1})

    def sold_between(self, channel: str, sku: str, since: datetime, until: datetime) -> int:
        """Units that a channel has taken off its numbers for orders placed in that time."""
        c = t.order_line.c
        found = self._c.execute(
            select(func.sum(c.taken_quantity)).where(
                c.channel == channel, c.sku == sku, c.placed_at >= since, c.placed_at <= until
            )
        )
        return int(found.scalar() or 0)

    def withheld(self, channel: str, sku: str, since: datetime) -> int:
        """Units that orders (changed since then) gave up without the channel putting them back on sale.

        Or gave back since then where the channel had not taken them off.
        """
        c = t.order_line.c
        units = c.taken_quantity - c.open_quantity - c.fulfilled_quantity + c.returned_quantity
        found = self._c.execute(
            select(func.sum(units)).where(
                c.channel == channel, c.sku == sku, c.mapped_from == "", c.version >= since, units > 0
            )
        )
        aside = self._c.execute(
            select(func.sum(c.aside)).where(c.channel == channel, c.sku == sku, c.aside_at >= since)
        )
        return int(found.scalar() or 0) + int(aside.scalar() or 0)

    def poll_mark(self, channel: str) -> datetime | None:
        """Up to when the channel's order list was read."""
        mark: datetime | None = POLL_MARK.run(self._c, {"b_channel": channel}).scalar()
        return mark

    def put_poll_mark(self, channel: str, at: datetime) -> None:
        """The order list was read up to here."""
        self._upsert(t.channel, [{"name": channel, "poll_mark": at}])

    # -- ledger --------------------------------------------------------------------------------------

    def rows_of(self, subjects: Collection[str]) -> dict[str, list[Movement]]:
        """Each subject's rows that stand in the ledger, as far as we know, in order.

        What was folded of it comes first, as one row for each level.
        """
        found = self.folded_rows(subjects)
        for row in self._in(ROWS_BY_SUBJECT, subjects):
            found[row.subject].append(_movement(row))
        return found

    def planned(self, subject: str) -> list[Movement]:
        """The subject's rows that were entered, folded or not, or wait to be entered, in order.

        Where we do not have the rows that were folded, one for each level stands for them.
        """
        found = [_movement(row) for row in PLANNED.run(self._c, {"b_subject": subject})]
        known = {row.level for row in found}
        return [row for row in self.folded_rows([subject])[subject] if row.level not in known] + found

    def promised_by_others(self) -> dict[LevelKey, str]:
        """Levels where more is reserved than we know the holders of, each with its record id."""
        ours = func.coalesce(func.sum(t.holding.c.reserved), 0)
        c = t.level.c
        rows = self._c.execute(
            select(c.level_key, c.record_id)
            .outerjoin(t.holding, t.holding.c.level_key == c.level_key)
            .where(c.reserved > 0)
            .group_by(c.level_key, c.record_id, c.reserved)
            .having(c.reserved > ours)
        )
        return {LevelKey.parse(row.level_key): row.record_id for row in rows}

    def in_transit(self, location: str) -> list[InTransit]:
        """What is on its way, by the transfer's number and the level; oldest first."""
        m, units = t.movement.c, func.sum(t.movement.c.on_hand_delta)
        since = func.min(m.occurred_at)
        rows = self._c.execute(
            select(m.reference, m.level_key, units.label("units"), since.label("since"))
            .join(t.level, t.level.c.level_key == m.level_key)
            .where(t.level.c.location == location, m.state.in_(["done", "folded"]))
            .group_by(m.reference, m.level_key)
            .having(units != 0)
            .order_by(since, m.reference, m.level_key)
        )
        return [InTransit(r.reference, LevelKey.parse(r.level_key), int(r.units), r.since) for r in rows]

    def replace_rows(
        self, subject: str, rows: Sequence[Movement], at: datetime, *, channel: str | None = None
    ) -> None:
        """Take over what the org says of a subject: its rows are the truth, ours are a cache.

        What was folded of it stays folded: the org says so in the opening rows, not in the subject's own.
        `channel` is whose customer a subject is that we had no row of.
        """
        owner = self._c.execute(
            select(t.movement.c.channel, t.movement.c.subject)
            .where(t.movement.c.subject == subject)
            .order_by(t.movement.c.channel.is_(None))
            .limit(1)
        ).first()
        channel = owner.channel if owner else channel
        self._c.execute(
            t.movement.delete().where(t.movement.c.subject == subject, t.movement.c.state == "done")
        )
        self._c.execute(t.holding.delete().where(t.holding.c.subject == subject))
        self._add_rows(0, rows, {subject: channel}, "done")
        self._hold_folded([subject], None, at, channel)
        self._hold([(row, channel, at) for row in rows])

    def busy(self, subjects: Collection[str]) -> frozenset[str]:
        """Those with a movement that waits for an answer, or with a grant that the org has not heard of."""
        rows = self._in(WAITING_BY_SUBJECT, subjects)
        return frozenset(row.subject for row in rows) | self._drawn_subjects(subjects)

    def next_step(self, subject: str) -> int:
        """One more than the highest step entered or waiting."""
        return self.next_steps([subject])[subject]

    def next_steps(self, subjects: Collection[str]) -> dict[str, int]:
        """Each subject's `next_step`."""
        found = dict.fromkeys(subjects, 0)
        for row in (*self._in(HELD_STEPS, subjects), *self._in(WAITING_STEPS, subjects)):
            found[row.subject] = max(found[row.subject], row.next_step)
        return found

    def holdings(self, subjects: Collection[str]) -> list[SubjectHolding]:
        """What these subjects hold."""
        return [_holding(row) for row in self._in(HELD_BY_SUBJECT, subjects)]

    def holdings_at(self, levels: Collection[LevelKey]) -> list[SubjectHolding]:
        """Who holds units reserved at these levels, newest first."""
        rows = self._in(HELD_AT_LEVEL, [str(key) for key in levels])
        return sorted((_holding(row) for row in rows), key=lambda held: held.since, reverse=True)

    def add_bundle(
        self, movements: Sequence[Movement], owners: Mapping[str, str | None], at: datetime
    ) -> int:
        """Write down movements that are to happen together, before the first byte of them leaves."""
        bundle_id = int(ADD_BUNDLE.run(self._c, {"state": "waiting", "asked_at": at}).scalar())
        self._add_rows(bundle_id, movements, owners, "waiting")
        return bundle_id

    def waiting_bundles(self, after: int) -> list[Bundle]:
        """Bundles without an answer with an id above `after`, in order."""
        rows = WAITING_AFTER.run(self._c, {"b_after": after})
        bundles: dict[int, list[Movement]] = defaultdict(list)
        companions: dict[int, int] = defaultdict(int)
        for row in rows:
            bundles[row.bundle].append(_movement(row))
            companions[row.bundle] += row.companion
        return [
            Bundle(number, tuple(movements), asked=number, companions=companions[number])
            for number, movements in bundles.items()
        ]

    def set_companions(
        self, bundle_id: int, movements: Sequence[Movement], owners: Mapping[str, str | None]
    ) -> None:
        """Have these movements go along with a waiting bundle, in the place of those that did before."""
        c = t.movement.c
        self._c.execute(
            update(t.movement)
            .where(c.bundle == bundle_id, c.state == "waiting", c.companion)
            .values(state="dropped")
        )
        self._add_rows(bundle_id, movements, owners, "waiting", companion=True)

    def companion_subjects(self, bundles: Collection[int]) -> frozenset[str]:
        """Whose movements ever went along with these bundles."""
        found = [COMPANIONS.run(self._c, {"b_bundle": bundle}) for bundle in bundles]
        return frozenset(row.subject for rows in found for row in rows)

    def finish_bundle(
        self,
        bundle_id: int,
        state: str,
        reason: str,
        at: datetime,
        *,
        entered: Collection[str] | None = None,
    ) -> None:
        """Its answer is known: done, refused, voided (refused, and its key is spent), wrong or conflict.

        `entered` names the keys that are in the ledger where that may not be all of them.
        """
        kept = "refused" if state == "voided" else state
        if entered is not None:
            DROP_OTHERS.run(self._c, {"b_bundle": bundle_id, "among": list(entered), "b_state": "dropped"})
        rows = WAITING_OF_BUNDLE.run(self._c, {"b_id": bundle_id})
        FINISH_BUNDLE.run(self._c, {"b_id": bundle_id, "b_state": kept, "b_reason": reason, "b_at": at})
        FINISH_MOVEMENTS.run(self._c, {"b_id": bundle_id, "b_state": kept})
        if state == "done":
            self._hold([(_movement(row), row.channel, at) for row in rows])
        elif state == "voided":
            self._hold([(_movement(row).void(), row.channel, at) for row in rows])

    def _add_rows(
        self,
        bundle_id: int,
        movements: Sequence[Movement],
        owners: Mapping[str, str | None],
        state: str,
        *,
        companion: bool = False,
    ) -> None:
        if not movements:
            return
        ADD_MOVEMENTS.run(
            self._c,
            [
                {
                    "bundle": bundle_id,
                    "state": state,
                    "key": m.key,
                    "subject": m.subject,
                    "step": _step(m),
                    "kind": m.kind.value,
                    "channel": owners.get(m.subject),
                    "level_key": str(m.level),
                    "sku": m.level.sku,
                    "on_hand_delta": m.on_hand_delta,
                    "reserved_delta": m.reserved_delta,
                    "reference": m.reference,
                    "source_version": m.source_version,
                    "occurred_at": m.occurred_at,
                    "companion": companion,
                }
                for m in movements
            ],
        )

    def _hold(self, entered: Iterable[tuple[Movement, str | None, datetime]]) -> None:
        """Add rows that stand in the ledger to what their subjects hold."""
        rows = [
            {
                "subject": m.subject,
                "level_key": str(m.level),
                "kind": m.subject.partition(":")[0],
                "channel": channel,
                "sku": m.level.sku,
                "on_hand": m.on_hand_delta,
                "reserved": m.reserved_delta,
                "next_step": _step(m) + 1,
                "since": at,
            }
            for m, channel, at in entered
        ]
        if rows:
            _hold_statement(self._c.dialect.name, tuple(rows[0])).run(self._c, rows)

    # -- counts --------------------------------------------------------------------------------------

    def add_count(self, count: Count, price: float | None, at: datetime) -> None:
        """Keep what was counted, with a unit's price of that time; the same count again changes nothing."""
        self._c.execute(
            self._insert(t.stock_count).on_conflict_do_nothing(),
            {
                "subject": count.subject,
                "count_id": count.count_id,
                "level_key": str(count.level),
                "units": count.units,
                "counted_at": count.at,
                "entered_at": at,
                "counted_by": count.counted_by,
                "reason": count.reason,
                "price": price,
                "record_id": count.record_id,
            },
        )

    def counts_of_records(self, record_ids: Collection[str]) -> dict[str, Taken]:
        """The counts that these records of the org were taken up as, by record id."""
        c, ids = t.stock_count.c, sorted(record_ids)
        found: dict[str, Taken] = {}
        for part in range(0, len(ids), SLICE):
            wanted = ids[part : part + SLICE]
            rows = self._c.execute(_with_variance().where(c.record_id.in_(wanted), c.record_id != "")).all()
            found |= {taken.count.record_id: taken for taken in self._taken(rows)}
        return found

    def counts_to_tell(self, *, copies: bool, since: datetime, after: str, limit: int) -> list[Taken]:
        """Counts in the ledger that their records in the org do not tell of, by subject, from after one.

        Never told, or told with another variance and made since then; `copies`: those made elsewhere too.
        """
        c, held = t.stock_count.c, t.holding.c
        other = and_(c.told.is_not(None), c.told != held.on_hand, c.entered_at >= since)
        wanted = [c.subject > after, held.on_hand.is_not(None), or_(c.told.is_(None), other)]
        if not copies:
            wanted.append(c.record_id != "")
        return self._taken(
            self._c.execute(_with_variance().where(*wanted).order_by(c.subject).limit(limit)).all()
        )

    def mark_counts_told(self, told: Mapping[str, int]) -> None:
        """The records of these counts (by subject) tell of them, with these variances."""
        c = t.stock_count.c
        for subject, variance in told.items():
            self._c.execute(update(t.stock_count).where(c.subject == subject).values(told=variance))

    def _taken(self, rows: Sequence[Any]) -> list[Taken]:
        """Rows of counts with what they hold; each is told whether it was a recount."""
        c, levels = t.stock_count.c, sorted({row.level_key for row in rows})
        others: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
        for part in range(0, len(levels), SLICE):
            query = select(c.level_key, c.subject, c.counted_at)
            for row in self._c.execute(query.where(c.level_key.in_(levels[part : part + SLICE]))):
                others[row.level_key].append((row.subject, row.counted_at))
        found = []
        for row in rows:
            count = Count(
                row.count_id,
                LevelKey.parse(row.level_key),
                row.units,
                row.counted_at,
                counted_by=row.counted_by,
                reason=row.reason,
                record_id=row.record_id,
            )
            before = [
                at for subject, at in others[row.level_key] if (at, subject) < (row.counted_at, row.subject)
            ]
            found.append(Taken(count, row.on_hand, is_recount(count, before)))
        return found

    # -- reservations --------------------------------------------------------------------------------

    def put_reservation(self, reservation: Reservation) -> None:
        """Store a reservation in its present state."""
        window = reservation.window
        self._upsert(
            t.reservation,
            [
                {
                    "id": reservation.id,
                    "state": reservation.state.value,
                    "kind": reservation.kind.value,
                    "channel": reservation.channel,
                    "owner": reservation.owner,
                    "created_at": reservation.created_at,
                    "expires_at": reservation.expires_at,
                    "reason": reservation.reason,
                    "order_reference": reservation.order_reference,
                    "partial": reservation.partial,
                    "window_begins": None if window is None else window.begins,
                    "window_ends": None if window is None else window.ends,
                    "paid_at": reservation.paid_at,
                    "needs_store": reservation.needs_store,
                    "client": reservation.client,
                    "instead_of": reservation.instead_of,
                }
            ],
        )
        DROP_LINES.run(self._c, {"b_reservation": reservation.id, "b_number": len(reservation.lines)})
        self._upsert(
            t.reservation_line,
            [
                {
                    "reservation": reservation.id,
                    "number": number,
                    "level_key": str(line.level),
                    "location": line.level.location,
                    "quantity": line.quantity,
                    "wanted": line.wanted,
                    "named": line.named,
                }
                for number, line in enumerate(reservation.lines)
            ],
        )

    def reservation(self, reservation_id: str) -> Reservation | None:
        """One reservation."""
        found = self._reservations(RESERVATION.run(self._c, {"b_id": reservation_id}))
        return found[0] if found else None

    def reservations(
        self,
        *,
        states: Collection[str] = (),
        kind: str | None = None,
        channel: str | None = None,
        owner: str | None = None,
        location: str | None = None,
        after: str | None = None,
        limit: int = 100,
        sight: Sight = EVERYTHING,
    ) -> list[Reservation]:
        """Reservations that fit all that is asked for, oldest first; after the one of id `after`.

        Those beyond `sight` are not there.
        """
        c, line = t.reservation.c, t.reservation_line.c
        query = select(t.reservation).order_by(c.created_at, c.id).limit(limit)
        if states:
            query = query.where(c.state.in_(list(states)))
        for column, wanted in ((c.kind, kind), (c.channel, channel), (c.owner, owner)):
            if wanted is not None:
                query = query.where(column == wanted)
        if location is not None:
            there = select(line.reservation).where(line.location == location, line.quantity > 0)
            query = query.where(c.id.in_(there))
        if sight.channels is not None and sight.locations is not None:
            there = select(line.reservation).where(line.location.in_(sorted(sight.locations)))
            query = query.where(or_(c.channel.in_(sorted(sight.channels)), c.id.in_(there)))
        if after is not None:
            last = select(c.created_at).where(c.id == after).scalar_subquery()
            query = query.where(or_(c.created_at > last, and_(c.created_at == last, c.id > after)))
        return self._reservations(self._c.execute(query).all())

    def paid_before(self, at: datetime) -> list[Reservation]:
        """Confirmed ones that were paid for before then."""
        return self._reservations(PAID_BEFORE.run(self._c, {"b_at": at}))

    def _reservations(self, rows: Sequence[Any]) -> list[Reservation]:
        if not rows:
            return []
        lines: dict[str, list[ReservationLine]] = defaultdict(list)
        for row in self._in(LINES_OF_RESERVATION, [row.id for row in rows]):
            level = LevelKey.parse(row.level_key)
            lines[row.reservation].append(ReservationLine(level, row.quantity, row.wanted, row.named))
        return [_reservation(row, lines[row.id]) for row in rows]

    def confirmed_for(self, channel: str, references: Collection[str]) -> list[str]:
        """Reservations of a channel that were confirmed for an order of one of these names."""
        rows = CONFIRMED_FOR.run(self._c, {"b_channel": channel, "among": sorted(references)})
        return sorted(rows.scalars())

    def paid_unavailable(self) -> list[Reservation]:
        """Those that were paid for and are not available, oldest first."""
        return self._reservations(list(PAID_UNAVAILABLE.run(self._c, {})))

    def stand_ins(self, reservation_id: str) -> list[Reservation]:
        """Those that were asked for in the place of a paid one, oldest first."""
        return self._reservations(STAND_INS.run(self._c, {"b_id": reservation_id}))

    def lines_of_order(self, channel: str, references: Collection[str]) -> list[LineState]:
        """The lines of a channel's order, called by its id or its name."""
        rows = LINES_OF_ORDER.run(self._c, {"b_channel": channel, "among": list(references)})
        return [_line(row) for row in rows]

    def held_by_reservations(self) -> list[SubjectHolding]:
        """What reservations hold, each subject by itself."""
        return [_holding(row) for row in ALL_HELD_BY_RESERVATIONS.run(self._c, {})]

    def reservations_of(self, ids: Collection[str]) -> list[Reservation]:
        """The reservations of these ids, as far as they are known."""
        return self._reservations(self._in(RESERVATIONS_BY_ID, ids))

    def ended_still_holding(self, limit: int) -> list[Reservation]:
        """Reservations that are over and yet hold units, with nothing of them waiting for an answer."""
        held = HELD_BY_RESERVATIONS.run(self._c, {}).scalars()
        ids = {subject.split(":")[1] for subject in held}
        found = self._reservations(self._in(ENDED_BY_ID, ids)[:limit])
        return [reservation for reservation in found if not self.busy(reservation.subjects())]

    def next_expiry(self) -> datetime | None:
        """When the time of the first granted reservation is over; None where none has an end."""
        found: datetime | None = NEXT_EXPIRY.run(self._c, {}).scalar()
        return found

    def expired_reservations(self, now: datetime, limit: int) -> list[Reservation]:
        """Granted ones whose time is over, oldest first."""
        return self._reservations(EXPIRED.run(self._c, {"b_now": now, "b_limit": limit}))

    def remembered(self, scope: str, key: str) -> tuple[str, str] | None:
        """(digest of the request, reservation) that an idempotency key stands for."""
        row = REMEMBERED.run(self._c, {"b_scope": scope, "b_key": key}).first()
        return (row.digest, row.reservation_id) if row else None

    def remember(self, scope: str, key: str, digest: str, reservation_id: str, at: datetime) -> None:
        """Keep what an idempotency key stands for."""
        row = {"scope": scope, "key": key, "digest": digest, "reservation_id": reservation_id, "at": at}
        REMEMBER.run(self._c, row)

    # -- limited editions ----------------------------------------------------------------------------

    def switches(self) -> dict[str, Switch]:
        """How each edition was last switched."""
        rows = SWITCHES.run(self._c, {})
        return {row.name: Switch(row.open, row.at, row.who, row.planned) for row in rows}

    def put_switch(self, edition: str, switch: Switch) -> None:
        """Switch an edition."""
        row = {"open": switch.open, "at": switch.at, "who": switch.who, "planned": switch.planned}
        self._upsert(t.edition, [{"name": edition, **row}])

    def taken(self, skus: Collection[str]) -> list[tuple[str | None, int]]:
        """(channel, units) that orders and reservations hold, or have had sent; tills under None.

        As the ledger has it, less what is still waiting there.
        """
        found = [(row.channel, int(row.units)) for row in self._in(TAKEN_BY_SKU, skus)]
        sold = self._in(SOLD_AT_TILLS, skus)
        return [*found, (None, max(0, sold[0].units or 0) if sold else 0)]

    def sold_by_us(self, skus: Collection[str]) -> int:
        """Units that sfsync has entered as sold or sent, less what came back, and those waiting to be."""
        return sum(int(rows[0].units or 0) for each in SOLD_BY_US if (rows := self._in(each, skus)))

    def sold_elsewhere(self, edition: str) -> tuple[int, int | None]:
        """(units that others have sold of an edition, on hand when that was read); (0, None) before."""
        c = t.edition_elsewhere.c
        row = self._c.execute(select(c.units, c.on_hand).where(c.name == edition)).first()
        return (0, None) if row is None else (row.units, row.on_hand)

    def put_sold_elsewhere(self, edition: str, units: int, on_hand: int | None) -> None:
        """Keep what others have sold of an edition."""
        self._upsert(t.edition_elsewhere, [{"name": edition, "units": units, "on_hand": on_hand}])

    def subjects_of(self, client: str) -> set[str]:
        """The ledger subjects of a client's orders and reservations."""
        line, c, order = t.reservation_line.c, t.reservation.c, t.order_line.c
        asked = select(line.reservation, line.number).where(
            line.reservation.in_(select(c.id).where(c.client == client, c.client != ""))
        )
        found = {reservation_subject(row.reservation, row.number) for row in self._c.execute(asked)}
        return found | set(
            self._c.execute(select(order.subject).where(order.client == client, order.client != "")).scalars()
        )

    # -- channels ------------------------------------------------------------------------------------

    def channel_since(self, channel: str) -> datetime | None:
        """When we first knew of a channel."""
        since: datetime | None = CHANNEL_SINCE.run(self._c, {"b_channel": channel}).scalar()
        return since

    def note_channel(self, channel: str, at: datetime) -> None:
        """Know a channel from now on; nothing changes when it is known."""
        self._c.execute(self._insert(t.channel).values(name=channel, since=at).on_conflict_do_nothing())

    def know_channel_since(self, channel: str, since: datetime) -> None:
        """We knew a channel before this store was made; nothing changes when it is known for longer."""
        self._c.execute(
            update(t.channel)
            .where(t.channel.c.name == channel, t.channel.c.since > since)
            .values(since=since)
        )

    def approved(self, channel: str) -> bool:
        """True once a person has approved the channel's first plan."""
        at = APPROVED.run(self._c, {"b_channel": channel}).scalar()
        return at is not None

    def approve(self, channel: str, at: datetime) -> None:
        """The channel may be written to."""
        self._upsert(t.channel, [{"name": channel, "approved_at": at, **identities.FREE}])

    def identity(self, channel: str) -> Identity | None:
        """Which shop and places the channel's levels are of; None before that was ever noted."""
        return identities.known(self._c, channel)

    def put_identity(self, channel: str, identity: Identity) -> None:
        """Note which shop and places the channel's levels are of."""
        identities.put(self._c, channel, identity)

    def move(self, channel: str, move: Move, at: datetime) -> None:
        """The channel means other places: what is known of those it left is forgotten.

        Then it is to be read whole, and waits unapproved until that was weighed. Renamed ones keep all.
        """
        identities.rename(self._c, channel, move.renamed)
        if move.left:
            identities.leave(self._c, channel, move, at)

    def weigh_move(self, channel: str, changed: int, known: int) -> None:
        """So many of the numbers that it shows where it is now would change."""
        identities.weigh(self._c, channel, changed, known)

    def hold(self, hold: Hold) -> None:
        """Changed settings wait for a person at a channel. Where they do already, since when stays."""
        rulebooks.hold(self._c, hold)

    def held(self, channel: str) -> Hold | None:
        """What waits for a person at a channel; None when nothing does."""
        return self.holds().get(channel)

    def holds(self) -> dict[str, Hold]:
        """The channels at which changed settings wait for a person."""
        return rulebooks.holds(self._c) | identities.waiting(self._c)

    def goes_by(self, channel: str) -> str | None:
        """The fingerprint of the settings that a channel goes by; None before its first."""
        return self._c.execute(select(t.channel.c.policies).where(t.channel.c.name == channel)).scalar()

    def go_by(self, channel: str, fingerprint: str, at: datetime) -> None:
        """A channel goes by these settings from now on, and nothing waits there; "": all of them do."""
        rulebooks.go_by(self._c, channel, fingerprint, at)

    def put_rulebook(self, fingerprint: str, rules: Assortment) -> None:
        """Keep what the settings say of quantities; nothing changes when it is kept."""
        rulebooks.put(self._c, self._insert(t.rulebook), fingerprint, rules)

    def rulebook(self, fingerprint: str) -> Assortment | None:
        """What settings said of quantities, without products; None when it is not kept."""
        return rulebooks.read(self._c, fingerprint)

    def went_by(self, channel: str, at: datetime) -> str | None:
        """The fingerprint of the settings that a channel went by at a time, as far as that is kept."""
        return rulebooks.went_by(self._c, channel, at)

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
        """Take over what a channel lists and shows: a new baseline for these items.

        `unsure`: it could not be asked, and is to be told its numbers whatever they are.
        """
        self._upsert(
            t.channel_level,
            [
                {
                    "channel": channel,
                    "sku": item.sku,
                    "location": item.location,
                    "item_id": item.item_id,
                    "location_id": item.location_id,
                    "published": item.shows,
                    "baseline_from": asked_at,
                    "baseline_at": at,
                    "changed_at": at,
                    "problem": problems.get((item.sku, item.location), ""),
                    "unsure": unsure,
                }
                for item in items
            ],
        )

    def channel_levels(
        self, skus: Collection[str] | None = None, channel: str | None = None
    ) -> list[ChannelLevel]:
        """Channel levels, of these SKUs and this channel when given."""
        if skus is None:
            wanted = select(t.channel_level)
            rows = list(
                self._c.execute(wanted if channel is None else wanted.where(_LEVEL.channel == channel))
            )
        elif not skus:
            rows = []
        elif channel is None:
            rows = self._in(CHANNEL_LEVELS_BY_SKU, skus)
        else:
            rows = CHANNEL_LEVELS_OF.run(self._c, {"b_channel": channel, "among": list(skus)})
        return [channel_level_of(row) for row in rows]

    def levels_of_items(self, channel: str, item_ids: Collection[str]) -> list[ChannelLevel]:
        """Channel levels by the channel's own item ids."""
        if not item_ids:
            return []
        rows = CHANNEL_LEVELS_OF_ITEMS.run(self._c, {"b_channel": channel, "among": list(item_ids)})
        return [channel_level_of(row) for row in rows]

    def put_numbers(self, levels: Collection[ChannelLevel], now: datetime | None = None) -> None:
        """Store the numbers of channel levels that exist, and since when; what ended, as history.

        `now`, where targets may have changed: each that has gets the next sequence number.
        """
        if not levels:
            return
        sequence = 0 if now is None else self.next_sequence(now)
        PUT_NUMBERS.run(
            self._c,
            [
                {
                    "b_channel": level.channel,
                    "b_sku": level.sku,
                    "b_location": level.location,
                    "b_target": level.target,
                    "b_sequence": sequence,
                    "b_unsure": level.unsure,
                    "b_published": level.published,
                    "b_changed_at": level.changed_at,
                    "b_baseline_from": level.baseline_from,
                    "b_baseline_at": level.baseline_at,
                    "b_raised_at": level.raised_at,
                    "b_unit_seconds": level.exposure.unit_seconds,
                    "b_units": level.exposure.units,
                    "b_since": level.exposure.since,
                    "b_began": level.exposure.began,
                    "b_before": level.exposure.before,
                    "b_most": level.exposure.most,
                    "b_scarce": level.exposure.scarce,
                    "b_offered": level.exposure.offered,
                    "b_offered_at": level.exposure.offered_at,
                    "b_empty_at": level.exposure.empty_at,
                }
                for level in levels
            ],
        )
        self._keep_history(levels)

    def _keep_history(self, levels: Collection[ChannelLevel]) -> None:
        """Add the spells that have ended, and the numbers that have come to zero."""
        spells, emptied = [], []
        for level in levels:
            where = {"channel": level.channel, "sku": level.sku, "location": level.location}
            if (spell := level.exposure.ended) is not None:
                spells.append(where | asdict(spell) | {"seconds": spell.seconds})
            if (gone := level.exposure.emptied) is not None:
                emptied.append(where | asdict(gone))
        if spells:
            ADD_SPELLS.run(self._c, spells)
        if emptied:
            ADD_EMPTIED.run(self._c, emptied)

    def put_spare(self, channel: str, sku: str, location: str, spare: int) -> None:
        """Store how many of an allocation's units are neither shown nor sold."""
        where = {"b_channel": channel, "b_sku": sku, "b_location": location}
        PUT_SPARE.run(self._c, {**where, "b_spare": spare})

    def in_doubt(self, channel: str) -> list[str]:
        """SKUs whose number at a channel must be read again."""
        return sorted(set(IN_DOUBT_AT.run(self._c, {"b_channel": channel}).scalars()))

    def due(self, channel: str, limit: int) -> list[ChannelLevel]:
        """Channel levels whose target is not what the channel shows, and that nothing holds back.

        Bad news first (promise 12): sold out, then lower, then higher; scarce before deep.
        """
        rows = DUE.run(self._c, {"b_channel": channel, "b_limit": limit})
        return [channel_level_of(row) for row in rows]

    def add_push(self, channel: str, key: str, body: bytes, rows: Sequence[PushRow], at: datetime) -> int:
        """Write down a push before its first byte leaves, and mark its channel levels as in flight."""
        told = {
            "channel": channel,
            "key": key,
            "body": body,
            "rows": [[row.sku, row.location, row.delta, row.allocated, row.quantity] for row in rows],
            "state": "open",
            "planned_at": at,
        }
        push_id = int(ADD_PUSH.run(self._c, told).scalar())
        self._fly(channel, rows, push_id, at)
        return push_id

    def open_pushes(self, channel: str) -> list[PushRecord]:
        """Pushes whose outcome is open, oldest first."""
        return [_push(row) for row in OPEN_PUSHES.run(self._c, {"b_channel": channel})]

    def accept_push(self, record: PushRecord, ticket: str) -> None:
        """The channel has taken it and does it later; it stays open, its channel levels in flight."""
        self._c.execute(update(t.push).where(t.push.c.id == record.id).values(ticket=ticket))

    def finish_push(self, record: PushRecord, state: str, reason: str, at: datetime) -> None:
        """Its outcome is known: applied, dropped or lost. Its channel levels are free again."""
        FINISH_PUSH.run(self._c, {"b_id": record.id, "b_state": state, "b_reason": reason, "b_at": at})
        self._fly(record.channel, record.rows, None, at)

    def last_push(self, channel: str) -> int:
        """The id of a channel's newest push; 0 when there is none."""
        return int(LAST_PUSH.run(self._c, {"b_channel": channel}).scalar() or 0)

    def applied_pushes(
        self, channel: str, after: int, until: datetime
    ) -> list[tuple[int, tuple[PushRow, ...]]]:
        """A channel's confirmed pushes after one, up to the first that is open or was confirmed later."""
        found: list[tuple[int, tuple[PushRow, ...]]] = []
        for row in PUSHES_AFTER.run(self._c, {"b_channel": channel, "b_after": after}):
            if row.state == "open" or row.answered_at > until:
                break
            applied = tuple(PushRow(*part) for part in row.rows) if row.state == "applied" else ()
            found.append((row.id, applied))
        return found

    def _fly(self, channel: str, rows: Sequence[PushRow], push_id: int | None, at: datetime) -> None:
        FLY.run(
            self._c,
            [
                {
                    "b_channel": channel,
                    "b_sku": row.sku,
                    "b_location": row.location,
                    "b_push": push_id,
                    "b_at": at,
                    "b_flying": max(0, row.delta) if push_id is not None and row.allocated else 0,
                }
                for row in rows
            ],
        )

    def set_problem(self, channel: str, sku: str, location: str, problem: str, at: datetime) -> None:
        """Hold a channel level back with a reason, or let it go with an empty one."""
        named = {"b_channel": channel, "b_sku": sku, "b_location": location}
        SET_PROBLEM.run(self._c, {**named, "b_problem": problem, "b_at": at})

    # -- for people ----------------------------------------------------------------------------------

    def dead_letter(
        self, source: str, key: str, reason: str, advice: str, payload: str, at: datetime
    ) -> None:
        """Set an item aside for a person; the same item again only renews its reason."""
        self._upsert(
            t.dead_letter,
            [
                {
                    "source": source,
                    "key": _keepable(key),
                    "cause": cause_of(source, _keepable(key), _keepable(reason)).value,
                    "reason": _keepable(reason),
                    "advice": _keepable(advice),
                    "payload": _keepable(payload),
                    "at": at,
                }
            ],
            keys=["source", "key"],
        )

    def drop_dead_letter(self, source: str, key: str) -> bool:
        """It has settled itself; False when there was none."""
        return DROP_LETTER.run(self._c, {"b_source": source, "b_key": key}).changed > 0

    def with_dead_letter(self, keys: Collection[str]) -> frozenset[tuple[str, str]]:
        """(source, key) of the dead letters that have one of these keys."""
        return frozenset((row.source, row.key) for row in self._in(LETTERS_BY_KEY, keys))

    def drop_letters(self, numbers: Collection[int], by: str, because: str, at: datetime) -> list[int]:
        """A person has dealt with them: off the list and into the record. The ids that there were."""
        wanted = t.dead_letter.c.id.in_(sorted(set(numbers)))
        rows = self._c.execute(select(t.dead_letter).where(wanted).order_by(t.dead_letter.c.id)).all()
        if not rows:
            return []
        said = {"dropped_at": at, "by": by, "because": because}
        kept = [row._asdict() for row in rows]
        for letter in kept:
            del letter["cause"]
            letter |= {**said, "letter": letter.pop("id")}
        self._c.execute(t.dropped_letter.insert(), kept)
        self._c.execute(t.dead_letter.delete().where(wanted))
        return [row.id for row in rows]

    def count_levels(self) -> int:
        """How many stock levels we hold."""
        return self._c.execute(select(func.count()).select_from(t.level)).scalar_one()

    def dropped_for_good(self, source: str, key: str) -> bool:
        """Whether a person has taken a letter of this key off the list."""
        c = t.dropped_letter.c
        return (
            self._c.execute(select(c.id).where(c.source == source, c.key == key).limit(1)).first() is not None
        )

    def dropped_letters(self, limit: int = 100) -> list[DroppedLetter]:
        """The last that persons took off the list, newest first."""
        table = t.dropped_letter
        rows = self._c.execute(
            select(table).order_by(table.c.dropped_at.desc(), table.c.id.desc()).limit(limit)
        )
        return [
            DroppedLetter(
                DeadLetter(r.letter, r.source, r.key, r.reason, r.advice, r.payload, r.at),
                r.dropped_at,
                r.by,
                r.because,
            )
            for r in rows
        ]

    def reopen_inbox(self, source: str, key: str) -> bool:
        """Take a delivery up again as it came; False when it is not kept any more."""
        this = (t.inbox.c.source == source, t.inbox.c.key == key)
        return self._c.execute(update(t.inbox).where(*this).values(done_at=None)).rowcount > 0

    def wrong_rows(self, key: str) -> list[Movement]:
        """The movements that were to happen together with this one, where the org would never take them."""
        table = t.movement
        newest = (
            select(func.max(table.c.bundle))
            .where(table.c.key == key, table.c.state == "wrong")
            .scalar_subquery()
        )
        waiting = select(table.c.id).where(table.c.key == key, table.c.state == "waiting")
        if self._c.execute(waiting.limit(1)).first() is not None:
            return []
        rows = self._c.execute(
            select(table).where(table.c.bundle == newest, table.c.state == "wrong").order_by(table.c.id)
        )
        return [_movement(row) for row in rows if not row.companion]

    def dead_letters(
        self,
        causes: Collection[Cause] = (),
        *,
        ids: Collection[int] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[DeadLetter]:
        """What a person must look at, oldest first: of all causes or these, of these ids, after an id."""
        c = t.dead_letter.c
        asked = select(t.dead_letter).where(c.id > after).order_by(c.id).limit(limit)
        if causes:
            asked = asked.where(c.cause.in_([each.value for each in causes]))
        if ids is not None:
            asked = asked.where(c.id.in_(sorted(set(ids))))
        return [_letter(row) for row in self._c.execute(asked)]

    def newest_letters(self, limit: int) -> list[DeadLetter]:
        """Those that came last, newest first."""
        rows = self._c.execute(select(t.dead_letter).order_by(t.dead_letter.c.id.desc()).limit(limit))
        return [_letter(row) for row in rows]

    def letters_by_cause(self) -> dict[Cause, int]:
        """How many there are of each cause."""
        cause = t.dead_letter.c.cause
        rows = self._c.execute(select(cause, func.count()).group_by(cause))
        return {Cause(name): int(count) for name, count in rows}

    def newest_letter(self, cause: Cause) -> int:
        """The id of a cause's newest letter; 0 when there is none."""
        c = t.dead_letter.c
        return self._c.execute(select(func.max(c.id)).where(c.cause == cause.value)).scalar() or 0

    def put_till_report(self, report: TillReport) -> None:
        """A till's report was dealt with."""
        c = t.till_report.c
        before = self._c.execute(select(t.till_report).where(c.till == report.till)).first()
        reports, entered, refused = (
            (before.reports_in_all, before.entered_in_all, before.refused_in_all) if before else (0, 0, 0)
        )
        sums = {
            "reports_in_all": reports + 1,
            "entered_in_all": entered + report.entered - report.again,
            "refused_in_all": refused + report.refused,
        }
        self._upsert(t.till_report, [{**asdict(report), **sums}])

    def till_reports(self) -> dict[str, TillHistory]:
        """What each till has told, by its name."""
        return {
            row.till: TillHistory(
                TillReport(row.till, row.at, row.way, row.entered, row.again, row.late, row.refused),
                row.reports_in_all,
                row.entered_in_all,
                row.refused_in_all,
            )
            for row in self._c.execute(select(t.till_report))
        }

    def sku_mappings(self) -> list[KeptMapping]:
        """All of them, by old SKU and source."""
        c = t.sku_mapping.c
        rows = self._c.execute(select(t.sku_mapping).order_by(c.old, c.source))
        return [KeptMapping(SkuMapping(row.old, row.new, row.source), row.at, row.by) for row in rows]

    def mapped_sku(self, old: str, source: str) -> str | None:
        """What the org calls a SKU that comes from a source: by its own mapping, else by everybody's."""
        c = t.sku_mapping.c
        query = select(c.new).where(c.old == old, c.source.in_(["", source])).order_by(c.source.desc())
        return self._c.execute(query.limit(1)).scalar()

    def put_sku_mappings(self, mappings: Collection[SkuMapping], by: str, at: datetime) -> None:
        """Keep them; one of the same old SKU and source is replaced."""
        rows = [{"old": m.old, "new": m.new, "source": m.source, "by": by, "at": at} for m in mappings]
        if rows:
            self._upsert(t.sku_mapping, rows)

    def drop_sku_mapping(self, old: str, source: str) -> bool:
        """Keep it no longer; False when there was none."""
        c = t.sku_mapping.c
        return self._c.execute(t.sku_mapping.delete().where(c.old == old, c.source == source)).rowcount > 0

    def waiting_rows(self, keys: Collection[str]) -> dict[str, Movement]:
        """The movements without an answer that have these keys."""
        c = t.movement.c
        rows = self._c.execute(select(t.movement).where(c.state == "waiting", c.key.in_(sorted(keys))))
        return {row.key: _movement(row) for row in rows}

    def put_at(self, bundle_id: int, level: LevelKey) -> None:
        """A bundle's waiting movements are to be entered at another level; what went along no longer does."""
        c = t.movement.c
        self.set_companions(bundle_id, (), {})
        self._c.execute(
            update(t.movement)
            .where(c.bundle == bundle_id, c.state == "waiting")
            .values(level_key=str(level), sku=level.sku)
        )

    # -- small tools ---------------------------------------------------------------------------------

    def _upsert(
        self, table: Table, rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None
    ) -> None:
        """Insert rows; where the key is there already, replace the given columns."""
        upsert(self._c, table, rows, keys)

    def _in(self, statement: Prepared, values: Collection[str]) -> list[Any]:
        """Rows of a statement made by `_among`."""
        return statement.run(self._c, {"among": list(values)}) if values else []


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(row.id, row.source, row.key, row.reason, row.advice, row.payload, row.at)


def _one_of(column: Column[Any], *values: str) -> ColumnElement[bool]:
    return or_(*(column == value for value in values))


def _among(column: Column[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Rows whose column is one of `among`. Made once: building a statement costs more than running it."""
    return select(column.table).where(t.among(column), *conditions)


LEVELS_BY_KEY = Prepared(_among(t.level.c.level_key))
LEVELS_BY_SKU = Prepared(_among(t.level.c.sku))
LEVELS_BY_RECORD = Prepared(_among(t.level.c.record_id))
# Added up where they are: a drop has thousands of reservations of one SKU, and each buyer makes us look.
HELD_BY_SKU = Prepared(
    select(
        t.holding.c.kind,
        t.holding.c.channel,
        t.holding.c.level_key,
        func.sum(t.holding.c.reserved).label("units"),
    )
    .where(
        t.among(t.holding.c.sku),
        t.holding.c.reserved != 0,
        _one_of(t.holding.c.kind, "reservation", "allocation"),
    )
    .group_by(t.holding.c.kind, t.holding.c.channel, t.holding.c.level_key)
)
_HOLDS = func.sum(t.holding.c.reserved - t.holding.c.on_hand)  # reserved, or sent and not come back
_TAKERS = (
    select(t.holding.c.channel, _HOLDS.label("units"))
    .where(t.among(t.holding.c.sku), _one_of(t.holding.c.kind, "order", "reservation"))
    .group_by(t.holding.c.subject, t.holding.c.channel)
    .having(_HOLDS > 0)
    .subquery()
)
TAKEN_BY_SKU = Prepared(
    select(_TAKERS.c.channel, func.sum(_TAKERS.c.units).label("units")).group_by(_TAKERS.c.channel)
)
SOLD_AT_TILLS = Prepared(
    select(func.sum(-t.movement.c.on_hand_delta).label("units")).where(
        t.among(t.movement.c.sku),
        t.movement.c.subject.startswith("posting:"),
        _one_of(t.movement.c.kind, MovementKind.SALE.value, MovementKind.RETURN.value),
        _one_of(t.movement.c.state, "waiting", "done", "folded"),
    )
)
_WENT = func.sum(-t.movement.c.on_hand_delta).label("units")
_GOING = _one_of(t.movement.c.kind, *sorted(kind.value for kind in SOLD))
SOLD_BY_US = (
    Prepared(
        select(func.sum(-t.holding.c.on_hand).label("units")).where(
            t.among(t.holding.c.sku), _one_of(t.holding.c.kind, "order", "reservation")
        )
    ),
    Prepared(select(_WENT).where(t.among(t.movement.c.sku), t.movement.c.state == "waiting", _GOING)),
    Prepared(
        select(_WENT).where(
            t.among(t.movement.c.sku),
            t.movement.c.subject.startswith("posting:"),
            _GOING,
            _one_of(t.movement.c.state, "done", "folded"),
        )
    ),
)
SWITCHES = Prepared(select(t.edition))
ALLOCATED_SKUS = Prepared(
    select(t.holding.c.sku)
    .where(t.holding.c.kind == "allocation", t.holding.c.reserved != 0)
    .distinct()
    .order_by(t.holding.c.sku)
)
HELD_BY_SUBJECT = Prepared(_among(t.holding.c.subject))
HELD_AT_LEVEL = Prepared(_among(t.holding.c.level_key, t.holding.c.reserved != 0))
_CHANGES = [
    t.movement.c[name]
    for name in ("bundle", "subject", "channel", "level_key", "on_hand_delta", "reserved_delta")
]
WAITING_BY_SKU = Prepared(select(*_CHANGES).where(t.among(t.movement.c.sku), t.movement.c.state == "waiting"))
WAITING_BY_SUBJECT = Prepared(
    select(t.movement.c.subject).where(t.among(t.movement.c.subject), t.movement.c.state == "waiting")
)
BY_HAND = Prepared(select(t.by_hand).where(t.by_hand.c.sku == bindparam("b_sku")))
OWN_UNITS = Prepared(
    select(t.holding.c.sku).where(
        t.among(t.holding.c.sku),
        t.holding.c.kind == "allocation",
        t.holding.c.channel == bindparam("b_channel"),
        t.holding.c.reserved != 0,
    )
)
SCARCE_BY_SKU = Prepared(_among(t.scarce.c.sku))
LINES_BY_SUBJECT = Prepared(_among(t.order_line.c.subject))
RETURN_LINES = Prepared(_among(t.return_line.c.line_id))
_OF_CHANNEL = select(t.order_line.c.subject).where(t.order_line.c.channel == bindparam("b_channel"))
LINES_OF_ORDER = Prepared(  # each half by an index of its own: an OR of the two reads all of the channel's
    select(t.order_line)
    .where(
        t.order_line.c.subject.in_(
            union_all(
                _OF_CHANNEL.where(t.among(t.order_line.c.order_id)),
                _OF_CHANNEL.where(t.among(t.order_line.c.order_name)),
            )
        )
    )
    .order_by(t.order_line.c.subject)
)
LINES_OF_ORG_ORDER = Prepared(select(t.order_line).where(t.order_line.c.org_order == bindparam("b_order")))
UNCOVERED_BY_SKU = Prepared(
    _among(t.order_line.c.sku, (t.order_line.c.uncovered > 0) | (t.order_line.c.misplaced > 0))
)
LINES_OF_RESERVATION = Prepared(
    _among(t.reservation_line.c.reservation).order_by(t.reservation_line.c.number)
)
DROP_LINES = Prepared(
    t.reservation_line.delete().where(
        t.reservation_line.c.reservation == bindparam("b_reservation"),
        t.reservation_line.c.number >= bindparam("b_number"),
    )
)
_OVER = ("released", "expired", "refused", "paid-unavailable")
ENDED_BY_ID = Prepared(  # by id: told which states are over, SQLite reads all that ever ended
    _among(t.reservation.c.id, *(t.reservation.c.state != s for s in ReservationState if s not in _OVER))
)
CHANNEL_LEVELS_BY_SKU = Prepared(_among(t.channel_level.c.sku))
CHANNEL_LEVELS_OF = Prepared(
    _among(t.channel_level.c.sku, t.channel_level.c.channel == bindparam("b_channel"))
)
CHANNEL_LEVELS_OF_ITEMS = Prepared(
    _among(t.channel_level.c.item_id, t.channel_level.c.channel == bindparam("b_channel"))
)
LAST_WATCHED = Prepared(
    select(t.watch.c.until)
    .where(t.watch.c.source == bindparam("b_source"), t.watch.c.how == How.LIVE.value)
    .order_by(t.watch.c.until.desc())
    .limit(1)
)
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
CURSOR = Prepared(select(t.cursor.c.cursor).where(t.cursor.c.topic == bindparam("b_topic")))
INBOX = Prepared(
    select(t.inbox).where(t.inbox.c.done_at.is_(None)).order_by(t.inbox.c.id).limit(bindparam("b_limit"))
)
FINISH_INBOX = Prepared(
    update(t.inbox).where(t.inbox.c.id == bindparam("b_id")).values(done_at=bindparam("b_at"))
)
DUE_LINES = Prepared(
    select(t.order_line)
    .where(
        text("order_line.due"),  # as the index over them has it
        ~select(t.movement.c.id)
        .where(t.movement.c.subject == t.order_line.c.subject, t.movement.c.state == "waiting")
        .exists(),
    )
    .order_by(t.order_line.c.placed_at, t.order_line.c.subject)
    .limit(bindparam("b_limit"))
)
_CALL = t.order_call.c
_THIS_CALL = (
    _CALL.channel == bindparam("b_channel"),
    _CALL.reference == bindparam("b_reference"),
    _CALL.asked_at == bindparam("b_asked_at"),
)
CALLED_ORDERS = Prepared(
    select(_CALL.reference, _CALL.asked_at, _CALL.tries)
    .where(_CALL.channel == bindparam("b_channel"), _CALL.due_at <= bindparam("b_now"))
    .order_by(_CALL.due_at, _CALL.reference)
    .limit(bindparam("b_limit"))
)
NEXT_CALL = Prepared(
    select(_CALL.due_at).where(_CALL.channel == bindparam("b_channel")).order_by(_CALL.due_at).limit(1)
)
END_CALL = Prepared(t.order_call.delete().where(*_THIS_CALL))
CALL_AGAIN = Prepared(
    update(t.order_call).where(*_THIS_CALL).values(due_at=bindparam("b_due_at"), tries=bindparam("b_tries"))
)
_ROW = t.movement.c
PLANNED = Prepared(
    select(t.movement)
    .where(_ROW.subject == bindparam("b_subject"), _one_of(_ROW.state, "done", "folded", "waiting"))
    .order_by(_ROW.step, _ROW.id)
)
COMPANIONS = Prepared(select(_ROW.subject).where(_ROW.bundle == bindparam("b_bundle"), _ROW.companion))
DROP_OTHERS = Prepared(
    update(t.movement)
    .where(_ROW.bundle == bindparam("b_bundle"), _ROW.state == "waiting", ~t.among(_ROW.key))
    .values(state=bindparam("b_state"))
)
ROWS_BY_SUBJECT = Prepared(_among(_ROW.subject, _ROW.state == "done").order_by(_ROW.step, _ROW.id))
HELD_STEPS = Prepared(
    select(t.holding.c.subject, func.max(t.holding.c.next_step).label("next_step"))
    .where(t.among(t.holding.c.subject))
    .group_by(t.holding.c.subject)
)
WAITING_STEPS = Prepared(
    select(_ROW.subject, (func.max(_ROW.step) + 1).label("next_step"))
    .where(t.among(_ROW.subject), _ROW.state == "waiting")
    .group_by(_ROW.subject)
)
ADD_BUNDLE = Prepared(t.bundle.insert().returning(t.bundle.c.id), ["state", "asked_at"])
ADD_MOVEMENTS = Prepared(
    t.movement.insert(), [column.name for column in t.movement.columns if not column.primary_key]
)
WAITING_AFTER = Prepared(
    select(t.movement)
    .where(_ROW.state == "waiting", _ROW.bundle > bindparam("b_after"))
    .order_by(_ROW.bundle, _ROW.id)
)
WAITING_OF_BUNDLE = Prepared(
    select(t.movement).where(_ROW.bundle == bindparam("b_id"), _ROW.state == "waiting")
)
FINISH_BUNDLE = Prepared(
    update(t.bundle)
    .where(t.bundle.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), answered_at=bindparam("b_at"))
)
FINISH_MOVEMENTS = Prepared(
    update(t.movement)
    .where(_ROW.bundle == bindparam("b_id"), _ROW.state == "waiting")
    .values(state=bindparam("b_state"))
)
_RESERVATION = t.reservation.c
RESERVATION = Prepared(select(t.reservation).where(_RESERVATION.id == bindparam("b_id")))
CONFIRMED_FOR = Prepared(
    select(_RESERVATION.id).where(
        _RESERVATION.order_reference != "",
        t.among(_RESERVATION.order_reference),
        or_(_RESERVATION.channel == bindparam("b_channel"), _RESERVATION.channel.is_(None)),
    )
)
PAID_BEFORE = Prepared(
    select(t.reservation).where(
        _one_of(_RESERVATION.state, "confirmed"), _RESERVATION.paid_at < bindparam("b_at")
    )
)
PAID_UNAVAILABLE = Prepared(
    select(t.reservation)
    .where(_one_of(_RESERVATION.state, "paid-unavailable"))
    .order_by(_RESERVATION.created_at, _RESERVATION.id)
)
OWES = Prepared(
    select(t.order_line.c.subject)
    .where(
        t.order_line.c.channel == bindparam("b_channel"),
        t.order_line.c.sku == bindparam("b_sku"),
        t.order_line.c.due | (t.order_line.c.uncovered > 0),
    )
    .limit(1)
)
STAND_INS = Prepared(
    select(t.reservation)
    .where(_RESERVATION.instead_of != "", _RESERVATION.instead_of == bindparam("b_id"))
    .order_by(_RESERVATION.created_at, _RESERVATION.id)
)
_RESERVED = (
    t.holding.c.kind == "reservation",
    t.holding.c.reserved > 0,
    t.holding.c.reserved != 0,  # as the index over them has it
)
HELD_BY_RESERVATIONS = Prepared(select(t.holding.c.subject).where(*_RESERVED))
ALL_HELD_BY_RESERVATIONS = Prepared(select(t.holding).where(*_RESERVED))
RESERVATIONS_BY_ID = Prepared(_among(t.reservation.c.id))
EXPIRED = Prepared(
    select(t.reservation)
    .where(
        text("state IN ('granted', 'awaiting-store')"),  # as the index over them has it
        _RESERVATION.expires_at <= bindparam("b_now"),
    )
    .order_by(_RESERVATION.expires_at)
    .limit(bindparam("b_limit"))
)
NEXT_EXPIRY = Prepared(
    select(_RESERVATION.expires_at)
    .where(text("state IN ('granted', 'awaiting-store')"), _RESERVATION.expires_at.is_not(None))
    .order_by(_RESERVATION.expires_at)
    .limit(1)
)
REMEMBER = Prepared(t.remembered.insert(), [column.name for column in t.remembered.columns])
REMEMBERED = Prepared(
    select(t.remembered).where(
        t.remembered.c.scope == bindparam("b_scope"), t.remembered.c.key == bindparam("b_key")
    )
)
LETTERS_BY_KEY = Prepared(_among(t.dead_letter.c.key))
DROP_LETTER = Prepared(
    t.dead_letter.delete().where(
        t.dead_letter.c.source == bindparam("b_source"), t.dead_letter.c.key == bindparam("b_key")
    )
)
POLL_MARK = Prepared(select(t.channel.c.poll_mark).where(t.channel.c.name == bindparam("b_channel")))
OPEN_PUSHES = Prepared(
    select(t.push)
    .where(t.push.c.channel == bindparam("b_channel"), t.push.c.state == "open")
    .order_by(t.push.c.id)
)
LAST_PUSH = Prepared(select(func.max(t.push.c.id)).where(t.push.c.channel == bindparam("b_channel")))
PUSHES_AFTER = Prepared(
    select(t.push)
    .where(t.push.c.id > bindparam("b_after"), t.push.c.channel == bindparam("b_channel"))
    .order_by(t.push.c.id)
)
CHANNEL_SINCE = Prepared(select(t.channel.c.since).where(t.channel.c.name == bindparam("b_channel")))
ASKED_TO = Prepared(select(t.channel.c.asked_to).where(t.channel.c.name == bindparam("b_channel")))
APPROVED = Prepared(select(t.channel.c.approved_at).where(t.channel.c.name == bindparam("b_channel")))
ADD_PUSH = Prepared(
    t.push.insert().returning(t.push.c.id), ["channel", "key", "body", "rows", "state", "planned_at"]
)
FINISH_PUSH = Prepared(
    update(t.push)
    .where(t.push.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), answered_at=bindparam("b_at"))
)
_LEVEL = t.channel_level.c
_THIS_LEVEL = (
    _LEVEL.channel == bindparam("b_channel"),
    _LEVEL.sku == bindparam("b_sku"),
    _LEVEL.location == bindparam("b_location"),
)
FLY = Prepared(
    update(t.channel_level)
    .where(*_THIS_LEVEL)
    .values(push=bindparam("b_push"), changed_at=bindparam("b_at"), flying=bindparam("b_flying"))
)
PUT_SPARE = Prepared(update(t.channel_level).where(*_THIS_LEVEL).values(spare=bindparam("b_spare")))
ADD_SPELLS = Prepared(t.spell.insert(), [column.name for column in t.spell.columns if column.name != "id"])
ADD_EMPTIED = Prepared(
    t.emptied.insert(), [column.name for column in t.emptied.columns if column.name != "id"]
)
PUT_NUMBERS = Prepared(
    update(t.channel_level)
    .where(*_THIS_LEVEL)
    .values(
        sequence=case(
            (_LEVEL.target.is_distinct_from(bindparam("b_target", type_=Integer)), bindparam("b_sequence")),
            else_=_LEVEL.sequence,
        ),
        target=bindparam("b_target"),
        unsure=bindparam("b_unsure"),
        published=bindparam("b_published"),
        changed_at=bindparam("b_changed_at"),
        baseline_from=bindparam("b_baseline_from"),
        baseline_at=bindparam("b_baseline_at"),
        raised_at=bindparam("b_raised_at"),
        exposure_unit_seconds=bindparam("b_unit_seconds"),
        exposure_units=bindparam("b_units"),
        exposure_since=bindparam("b_since"),
        exposure_began=bindparam("b_began"),
        exposure_before=bindparam("b_before"),
        exposure_most=bindparam("b_most"),
        exposure_scarce=bindparam("b_scarce"),
        offered=bindparam("b_offered"),
        offered_at=bindparam("b_offered_at"),
        empty_at=bindparam("b_empty_at"),
    )
)
SET_PROBLEM = Prepared(
    update(t.channel_level)
    .where(*_THIS_LEVEL)
    .values(problem=bindparam("b_problem"), changed_at=bindparam("b_at"))
)
IN_DOUBT_AT = Prepared(
    select(_LEVEL.sku).where(
        _LEVEL.channel == bindparam("b_channel"), _LEVEL.problem != "", _LEVEL.problem == IN_DOUBT
    )
)
UNASKED_SKUS = Prepared(
    select(t.sku)
    .where(
        t.sku.c.number
        > select(func.coalesce(t.channel.c.asked_to, 0))
        .where(t.channel.c.name == bindparam("b_channel"))
        .scalar_subquery()
    )
    .order_by(t.sku.c.number)
    .limit(bindparam("b_limit"))
)
LAST_SKU = Prepared(select(func.max(t.sku.c.number)))
UNASKED = Prepared(select(t.channel.c.name).where(t.channel.c.asked_to < bindparam("b_last")))
DOUBTFUL = Prepared(select(_LEVEL.channel).where(_LEVEL.problem != "", _LEVEL.problem == IN_DOUBT).distinct())
DUE = Prepared(
    select(t.channel_level)
    .where(
        _LEVEL.channel == bindparam("b_channel"),
        _LEVEL.push.is_(None),
        _LEVEL.problem == "",
        text("(target <> published OR unsure)"),  # as the index over them has it
        _LEVEL.target.is_not(None),
    )
    .order_by(
        case((_LEVEL.target > _LEVEL.published, 1), else_=0),
        case((_LEVEL.target > 0, 1), else_=0),
        _LEVEL.target,
        _LEVEL.sku,
        _LEVEL.location,
    )
    .limit(bindparam("b_limit"))
)


def _with_variance() -> Select[Any]:
    """Counts, each with what its subject holds in the ledger; None before it does."""
    c, held = t.stock_count.c, t.holding.c
    same = and_(held.subject == c.subject, held.level_key == c.level_key)
    return select(t.stock_count, held.on_hand).outerjoin(t.holding, same)


@lru_cache
def _inbox_statement(dialect: str, columns: tuple[str, ...]) -> Prepared:
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(t.inbox)
    # The id tells: PostgreSQL's driver does not count the rows of such a statement.
    return Prepared(insert.on_conflict_do_nothing().returning(t.inbox.c.id), columns)


@lru_cache
def _hold_statement(dialect: str, columns: tuple[str, ...]) -> Prepared:
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(t.holding)
    new, old = insert.excluded, t.holding.c
    statement = insert.on_conflict_do_update(
        index_elements=[old.subject, old.level_key],
        set_={
            "on_hand": old.on_hand + new.on_hand,
            "reserved": old.reserved + new.reserved,
            "next_step": case((old.next_step > new.next_step, old.next_step), else_=new.next_step),
        },
    )
    return Prepared(statement, columns)


@lru_cache(8_192)
def _pending(
    bundle: int, subject: str, channel: str | None, level: str, on_hand: int, reserved: int
) -> PendingRow:
    """A waiting movement, as `_CHANGES` has it: until it is answered, each look at its SKU reads it."""
    kind = subject.partition(":")[0]
    return PendingRow(bundle, subject, kind, channel, LevelKey.parse(level), on_hand, reserved)


def _step(movement: Movement) -> int:
    """The step number in an idempotency key; 0 for a plain posting, whose key has none."""
    head, _, tail = movement.key.rpartition(":")
    return int(tail) if head == movement.subject and tail.isdigit() else 0


def _level(row: Row[Any]) -> StockLevel:
    key = LevelKey.parse(row.level_key)
    return StockLevel(key, row.on_hand, row.reserved, row.version, row.record_id, row.counted_at)


def _movement(row: Row[Any]) -> Movement:
    return Movement(
        row.key,
        row.subject,
        LevelKey.parse(row.level_key),
        MovementKind(row.kind),
        row.on_hand_delta,
        row.reserved_delta,
        row.reference,
        row.source_version,
        row.occurred_at,
    )


def _holding(row: Row[Any]) -> SubjectHolding:
    return SubjectHolding(
        row.subject,
        row.kind,
        row.channel,
        LevelKey.parse(row.level_key),
        row.on_hand,
        row.reserved,
        row.since,
    )


def _hole(row: Row[Any]) -> Hole:
    closes = Closes(row.closes)
    return Hole(row.id, row.source, row.since, row.reason, row.opened_at, closes, row.replayed_to)


def _scarcities(rows: Iterable[Row[Any]]) -> dict[str, InForce]:
    """The names of what holds, by SKU."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.sku].add(row.scarcity)
    return {sku: frozenset(names) for sku, names in found.items()}


def _keepable(text: str) -> str:
    """A text as every database keeps it: none has NUL, nor half a character."""
    return text.replace("\0", BROKEN).encode(errors="replace").decode()


def _line(row: Row[Any]) -> LineState:
    return LineState(
        row.subject,
        row.channel,
        row.order_id,
        row.order_name,
        OrderLine(
            row.line_id,
            row.sku,
            row.open_quantity,
            row.fulfilled_quantity,
            row.returned_quantity,
            row.taken_quantity,
            row.unit,
            row.location,
            places=_places(row.places),
            routed=row.routed,
            mapped_from=row.mapped_from,
            left=_moments(row.moments, "left"),
            came_back=_moments(row.moments, "came_back"),
        ),
        row.version,
        row.placed_at,
        row.channel_location,
        tuple(row.reservations),
        row.uncovered,
        row.asked_in_vain,
        row.due,
        {Source(source): _word(word) for source, word in (row.told or {}).items()},
        row.org_order,
        row.routed_at,
        row.misplaced,
        row.aside,
        row.aside_at,
        row.client,
    )


def _places(told: Sequence[Mapping[str, Any]] | None) -> tuple[LinePlace, ...]:
    return tuple(LinePlace(**place) for place in told or ())


def _moments_told(line: OrderLine) -> dict[str, Any] | None:
    """When units left and came back, as JSON; None where nothing is told of it."""
    if not line.left and not line.came_back:
        return None
    parts = {"left": line.left, "came_back": line.came_back}
    return {
        name: [(each.at.isoformat(), each.units, each.place) for each in told] for name, told in parts.items()
    }


def _moments(told: Mapping[str, Any] | None, name: str) -> tuple[Moment, ...]:
    if told is None:
        return ()
    return tuple(Moment(datetime.fromisoformat(at), units, place) for at, units, place in told[name])


def _bare(line: OrderLine) -> OrderLine:
    """The line without its moments, which JSON has in a form of their own."""
    return replace(line, left=(), came_back=()) if line.left or line.came_back else line


def _told(words: Mapping[Source, Word]) -> dict[str, Any] | None:
    """What the sources have said, for JSON; None where only the channel ever spoke."""
    return {
        source.value: {
            "version": word.version.isoformat(),
            "line": _bare(word.line),
            "moments": _moments_told(word.line),
        }
        for source, word in words.items()
    } or None


def _word(told: Mapping[str, Any]) -> Word:
    line = {**told["line"], "places": _places(told["line"]["places"])}
    line |= {name: _moments(told["moments"], name) for name in ("left", "came_back")}
    return Word(datetime.fromisoformat(told["version"]), OrderLine(**line))


def _reservation(row: Row[Any], lines: Sequence[ReservationLine]) -> Reservation:
    window = None
    if row.window_begins is not None:
        window = PickUpWindow(row.window_begins, row.window_ends)
    return Reservation(
        row.id,
        ReservationState(row.state),
        ReservationKind(row.kind),
        row.channel,
        row.owner,
        tuple(lines),
        row.created_at,
        row.expires_at,
        row.reason,
        row.order_reference,
        row.partial,
        window,
        row.paid_at,
        row.needs_store,
        row.client,
        row.instead_of,
    )


def _push(row: Row[Any]) -> PushRecord:
    rows = tuple(PushRow(*part) for part in row.rows)
    return PushRecord(row.id, row.channel, row.key, row.body, rows, row.planned_at, row.ticket)
