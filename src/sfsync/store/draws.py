"""The statements of the local block's grants, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from sfsync.domain.block import Draw
from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.ports.keeping import PendingRow, drawn_rows

from . import tables as t
from .prepared import Prepared

_DRAW = t.draw.c
ADD_DRAWS = Prepared(t.draw.insert(), [c.name for c in t.draw.columns if c.name != "bundle"])
# Added up where they are: hundreds wait in a drop, and each buyer makes us look.
DRAWN_BY_SKU = Prepared(
    select(_DRAW.level_key, _DRAW.channel, func.sum(_DRAW.units).label("units"))
    .where(t.among(_DRAW.sku), _DRAW.bundle.is_(None))
    .group_by(_DRAW.level_key, _DRAW.channel)
)
DRAWN_BY_SUBJECT = Prepared(select(t.draw).where(t.among(_DRAW.subject)))
DRAWN_BY_RESERVATION = Prepared(
    select(t.draw).where(_DRAW.reservation == bindparam("b_reservation")).order_by(_DRAW.subject)
)
DRAWN_AT_LEVEL = Prepared(
    select(t.draw)
    .where(_DRAW.sku == bindparam("b_sku"), _DRAW.level_key == bindparam("b_level"))
    .order_by(_DRAW.subject)
)
OPEN_DRAWS = Prepared(
    select(t.draw)
    .where(_DRAW.bundle.is_(None), _DRAW.not_before <= bindparam("b_now"))
    .order_by(_DRAW.at, _DRAW.subject)
    .limit(bindparam("b_limit"))
)
_COUNTED: Any = select(func.count(), func.min(_DRAW.at), func.count(_DRAW.bundle))
DRAWS_WAITING = Prepared(_COUNTED.where(_DRAW.not_before <= bindparam("b_now")))
ANY_DRAW = Prepared(select(_DRAW.subject).limit(1))
PLAN_DRAWS = Prepared(
    update(t.draw).where(_DRAW.reservation == bindparam("b_reservation")).values(bundle=bindparam("b_bundle"))
)
PLAN_AGAIN = Prepared(
    update(t.draw)
    .where(_DRAW.bundle == bindparam("b_bundle"))
    .values(bundle=None, not_before=bindparam("b_not_before"))
)
DRAWS_ENTERED = Prepared(t.draw.delete().where(_DRAW.bundle == bindparam("b_bundle")))
DROP_DRAWS = Prepared(t.draw.delete().where(_DRAW.reservation == bindparam("b_reservation")))


class DrawStatements:
    """What was granted out of the local block and is not in the org yet."""

    _c: Connection

    def add_draws(self, draws: Sequence[Draw], at: datetime) -> None:
        """Units are granted: with this commit they are nobody else's any more."""
        ADD_DRAWS.run(
            self._c,
            [
                {
                    "subject": draw.subject,
                    "reservation": draw.reservation,
                    "channel": draw.channel,
                    "sku": draw.level.sku,
                    "level_key": str(draw.level),
                    "units": draw.units,
                    "kind": draw.kind.value,
                    "owner": draw.owner,
                    "at": at,
                    "not_before": at,
                }
                for draw in draws
            ],
        )

    def draws(self, reservation_id: str) -> list[tuple[Draw, int | None]]:
        """What a reservation was granted, each with the bundle that enters it."""
        rows = DRAWN_BY_RESERVATION.run(self._c, {"b_reservation": reservation_id})
        return [(_draw(row), row.bundle) for row in rows]

    def draws_at(self, level: LevelKey) -> list[tuple[Draw, datetime]]:
        """What was granted at a level and the org's ledger does not name yet, each with its moment."""
        rows = DRAWN_AT_LEVEL.run(self._c, {"b_sku": level.sku, "b_level": str(level)})
        return [(_draw(row), row.at) for row in rows]

    def open_draws(self, now: datetime, limit: int) -> list[Draw]:
        """What no bundle enters yet, oldest first."""
        return [_draw(row) for row in OPEN_DRAWS.run(self._c, {"b_now": now, "b_limit": limit})]

    def any_draws(self) -> bool:
        """Whether anything was granted that is not in the org."""
        return bool(ANY_DRAW.run(self._c, {}))

    def draws_waiting(self, now: datetime) -> tuple[int, datetime | None, int]:
        """(units of work not in the org, since when the oldest of it, how much of it is being entered)."""
        row = DRAWS_WAITING.run(self._c, {"b_now": now})[0]
        return row[0], row[1], row[2]

    def plan_draws(self, reservation_id: str, bundle_id: int) -> None:
        """A bundle enters them now."""
        PLAN_DRAWS.run(self._c, {"b_reservation": reservation_id, "b_bundle": bundle_id})

    def draws_answered(self, bundle_id: int, *, entered: bool, not_before: datetime) -> None:
        """The bundle's answer is known: they are in the org, or are to be planned anew."""
        if entered:
            DRAWS_ENTERED.run(self._c, {"b_bundle": bundle_id})
        else:
            PLAN_AGAIN.run(self._c, {"b_bundle": bundle_id, "b_not_before": not_before})

    def drop_draws(self, reservation_id: str) -> None:
        """They go back to the block."""
        DROP_DRAWS.run(self._c, {"b_reservation": reservation_id})

    def _drawn_subjects(self, subjects: Collection[str]) -> frozenset[str]:
        rows = DRAWN_BY_SUBJECT.run(self._c, {"among": sorted(subjects)}) if subjects else ()
        return frozenset(row.subject for row in rows)

    def _drawn_rows(self, skus: Collection[str]) -> list[PendingRow]:
        """As movements that wait, a pair for each level and channel: out of the block, into reservations."""
        rows = DRAWN_BY_SKU.run(self._c, {"among": sorted(skus)}) if skus else ()
        return [
            change
            for row in rows
            for change in drawn_rows(LevelKey.parse(row.level_key), row.channel, int(row.units))
        ]

    def _drawn_rows_of(self, subjects: Collection[str]) -> list[PendingRow]:
        """The same, of these subjects alone."""
        rows = DRAWN_BY_SUBJECT.run(self._c, {"among": sorted(subjects)}) if subjects else ()
        return [
            change
            for row in rows
            if row.bundle is None
            for change in drawn_rows(LevelKey.parse(row.level_key), row.channel, row.units)
            if change.kind == "reservation"
        ]


def _draw(row: Any) -> Draw:
    return Draw(
        row.subject,
        row.reservation,
        row.channel,
        LevelKey.parse(row.level_key),
        row.units,
        MovementKind(row.kind),
        row.owner,
    )
