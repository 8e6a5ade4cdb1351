"""Pick-ups that wait at each location, counted by the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, distinct, func, or_, select

from sfsync.domain.reservations import TO_FETCH, UNTIL_THEN, ReservationKind, ReservationState
from sfsync.store import tables as t
from sfsync.store.tx import SqlTx

PAID = (ReservationState.CONFIRMED.value, ReservationState.ORDERED.value)


@dataclass(frozen=True, slots=True)
class PickUps:
    """What waits at one location."""

    location: str
    reservations: int
    units: int
    to_confirm: int
    paid: int
    next_at: datetime | None
    overdue: int


def pick_ups(tx: SqlTx, now: datetime) -> list[PickUps]:
    """By location. A reservation with lines at two locations waits at both."""
    made, line = t.reservation.c, t.reservation_line.c

    def many(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(distinct(case((condition, made.id))))

    rows = tx.connection.execute(
        select(
            line.location,
            func.count(distinct(made.id)).label("reservations"),
            func.sum(line.quantity).label("units"),
            many(made.state == ReservationState.AWAITING_STORE.value).label("to_confirm"),
            many(made.state.in_(PAID)).label("paid"),
            func.min(case((made.window_ends >= now, made.window_begins))).label("next_at"),
            many(made.window_ends < now).label("overdue"),
        )
        .join(t.reservation_line, line.reservation == made.id)
        .where(
            and_(
                made.kind == ReservationKind.PICK_UP.value,
                made.state.in_([state.value for state in TO_FETCH]),
                or_(
                    made.expires_at.is_(None),
                    made.expires_at > now,
                    made.state.not_in([state.value for state in UNTIL_THEN]),
                ),
            )
        )
        .group_by(line.location)
        .order_by(line.location)
    )
    return [
        PickUps(r.location, r.reservations, r.units, r.to_confirm, r.paid, r.next_at, r.overdue) for r in rows
    ]
