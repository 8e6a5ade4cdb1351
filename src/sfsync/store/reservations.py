"""The statements of reservations; a part of `SqlTx`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    and_,
    bindparam,
    cast,
    literal,
    not_,
    or_,
    select,
    text,
    union_all,
)

from sfsync.domain.reservations import (
    LONGEST,
    UNTIL_THEN,
    PickUpWindow,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
)
from sfsync.domain.rights import EVERYTHING, Sight
from sfsync.domain.stock import LevelKey
from sfsync.ports.keeping import LineState, SubjectHolding

from . import tables as t
from .ledger import LedgerStatements
from .prepared import Prepared
from .rows import holding_of, line_of
from .statements import among, one_of

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
LINES_OF_RESERVATION = Prepared(among(t.reservation_line.c.reservation).order_by(t.reservation_line.c.number))
DROP_LINES = Prepared(
    t.reservation_line.delete().where(
        t.reservation_line.c.reservation == bindparam("b_reservation"),
        t.reservation_line.c.number >= bindparam("b_number"),
    )
)
_OVER = ("released", "expired", "refused", "paid-unavailable")
ENDED_BY_ID = Prepared(  # by id: told which states are over, SQLite reads all that ever ended
    among(t.reservation.c.id, *(t.reservation.c.state != s for s in ReservationState if s not in _OVER))
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
        one_of(_RESERVATION.state, "confirmed", "awaiting-store"), _RESERVATION.paid_at < bindparam("b_at")
    )
)
UNFETCHED = Prepared(
    select(t.reservation).where(
        one_of(_RESERVATION.state, "ordered"),
        or_(
            _RESERVATION.window_ends <= bindparam("b_now"),
            and_(_RESERVATION.window_ends.is_(None), _RESERVATION.created_at <= bindparam("b_longest")),
        ),
    )
)
PAID_UNAVAILABLE = Prepared(
    select(t.reservation)
    .where(one_of(_RESERVATION.state, "paid-unavailable"))
    .order_by(_RESERVATION.created_at, _RESERVATION.id)
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
TOLD_BY_ID = Prepared(
    select(_RESERVATION.id, _RESERVATION.kind, _RESERVATION.state, _RESERVATION.paid_at).where(
        t.among(_RESERVATION.id)
    )
)
RESERVATIONS_BY_ID = Prepared(among(t.reservation.c.id))
_LINE = t.reservation_line.c


def _subject_of_line() -> ColumnElement[str]:
    """The ledger subject of a line, as `domain.stock.reservation_subject` has it."""
    return literal("reservation:") + _LINE.reservation + ":" + cast(_LINE.number, Text)


_WAITING = (  # something of one of its lines waits for the org
    select(t.movement.c.id)
    .where(
        _LINE.reservation == _RESERVATION.id,
        t.movement.c.subject == _subject_of_line(),
        t.movement.c.state == "waiting",
    )
    .correlate(t.reservation)
)
EXPIRED = Prepared(
    select(t.reservation)
    .where(
        text("state IN ('granted', 'awaiting-store')"),  # as the index over them has it
        _RESERVATION.expires_at <= bindparam("b_now"),
        not_(_WAITING.exists()),
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


class ReservationStatements(LedgerStatements):
    """Reservations with their lines, and answers that are remembered."""

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
                    "found_at": reservation.found_at,
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
                    "found": line.found,
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
        at: datetime | None = None,
    ) -> list[Reservation]:
        """Reservations that fit all that is asked for, oldest first; after the one of id `after`.

        Those beyond `sight` are not there. `at`: one whose time is over by then counts as expired among the
        `states`, whether or not its units were given back.
        """
        c, line = t.reservation.c, t.reservation_line.c
        query = select(t.reservation).order_by(c.created_at, c.id).limit(limit)
        if states:
            query = query.where(_in_state(states, at))
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
        """Those that were paid for before then, and that an order or the shop's word is awaited for."""
        return self._reservations(PAID_BEFORE.run(self._c, {"b_at": at}))

    def unfetched(self, now: datetime) -> list[Reservation]:
        """Those that their orders have taken over, and that nobody has come for in the time that was said."""
        return self._reservations(UNFETCHED.run(self._c, {"b_now": now, "b_longest": now - LONGEST}))

    def _reservations(self, rows: Sequence[Any]) -> list[Reservation]:
        if not rows:
            return []
        lines: dict[str, list[ReservationLine]] = defaultdict(list)
        for row in self._in(LINES_OF_RESERVATION, [row.id for row in rows]):
            level = LevelKey.parse(row.level_key)
            line = ReservationLine(level, row.quantity, row.wanted, row.named, row.found)
            lines[row.reservation].append(line)
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
        return LINES_OF_ORDER.values(self._c, {"b_channel": channel, "among": list(references)}, line_of)

    def held_by_reservations(self) -> list[SubjectHolding]:
        """What reservations hold, each subject by itself."""
        return [holding_of(row) for row in ALL_HELD_BY_RESERVATIONS.run(self._c, {})]

    def allocated_beside(self, channels: Collection[str]) -> list[SubjectHolding]:
        """What is set aside for any other than these channels, by subject."""
        c = t.holding.c
        others = c.channel.not_in(sorted(channels))
        wanted = select(t.holding).where(c.kind == "allocation", c.reserved > 0, c.reserved != 0, others)
        return [holding_of(row) for row in self._c.execute(wanted.order_by(c.subject))]

    def reservations_of(self, ids: Collection[str]) -> list[Reservation]:
        """The reservations of these ids, as far as they are known."""
        return self._reservations(self._in(RESERVATIONS_BY_ID, ids))

    def ended_still_holding(self, limit: int) -> list[Reservation]:
        """Reservations that are over and yet hold units, with nothing of them waiting for an answer."""
        held = HELD_BY_RESERVATIONS.run(self._c, {}).scalars()
        ids = {subject.split(":")[1] for subject in held}
        rows, found = self._in(ENDED_BY_ID, ids), list[Reservation]()
        while rows and len(found) < limit:
            some = self._reservations(rows[:limit])
            busy = self.busy({subject for each in some for subject in each.subjects()})
            found += [each for each in some if busy.isdisjoint(each.subjects())]
            rows = rows[limit:]
        return found[:limit]

    def told_of_reservations(
        self, ids: Collection[str]
    ) -> dict[str, tuple[ReservationKind, ReservationState, bool]]:
        """(what it is for, its state, whether it was paid for) of these, as far as they are known."""
        return {
            row.id: (ReservationKind(row.kind), ReservationState(row.state), row.paid_at is not None)
            for row in self._in(TOLD_BY_ID, ids)
        }

    def next_expiry(self) -> datetime | None:
        """When the time of the first granted reservation is over; None where none has an end."""
        found: datetime | None = NEXT_EXPIRY.run(self._c, {}).scalar()
        return found

    def expired_reservations(self, now: datetime, limit: int) -> list[Reservation]:
        """Granted ones whose time is over, oldest first; not those of which something waits for the org.

        Those must not stand in the way of the others, while the org is away for an hour.
        """
        return self._reservations(EXPIRED.run(self._c, {"b_now": now, "b_limit": limit}))

    def remembered(self, scope: str, key: str) -> tuple[str, str] | None:
        """(digest of the request, reservation) that an idempotency key stands for."""
        row = REMEMBERED.run(self._c, {"b_scope": scope, "b_key": key}).first()
        return (row.digest, row.reservation_id) if row else None

    def remember(self, scope: str, key: str, digest: str, reservation_id: str, at: datetime) -> None:
        """Keep what an idempotency key stands for."""
        row = {"scope": scope, "key": key, "digest": digest, "reservation_id": reservation_id, "at": at}
        REMEMBER.run(self._c, row)


def _in_state(states: Collection[str], at: datetime | None) -> ColumnElement[bool]:
    c = t.reservation.c
    named = c.state.in_(list(states))
    if at is None:
        return named
    over = and_(c.state.in_([state.value for state in UNTIL_THEN]), c.expires_at <= at)
    if ReservationState.EXPIRED.value in states:
        return or_(named, over)
    return and_(named, or_(c.expires_at.is_(None), not_(over)))


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
        row.found_at,
    )
