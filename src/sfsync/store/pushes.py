"""The pushes that had a part of one SKU in them, newest first, as far as they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Text, select, type_coerce

from sfsync.ports import PushRow
from sfsync.store import tables as t
from sfsync.store.tx import SqlTx

LOOKED_AT = 20_000  # of the newest pushes


@dataclass(frozen=True, slots=True)
class PushOfSku:
    """What one push said of the SKU at one of the channel's locations."""

    channel: str
    location: str
    delta: int
    quantity: int | None  # the number written, where the channel takes no changes
    state: str
    reason: str
    planned_at: datetime
    answered_at: datetime | None


def pushes_of(tx: SqlTx, sku: str, limit: int) -> Sequence[PushOfSku]:
    """At most so many."""
    c = t.push.c
    newest = select(c.id).order_by(c.id.desc()).limit(1).scalar_subquery()
    quoted = orjson.dumps(sku).decode()  # as it stands in the rows' JSON
    rows = tx.connection.execute(
        select(t.push)
        .where(c.id > newest - LOOKED_AT, type_coerce(c.rows, Text).contains(quoted, autoescape=True))
        .order_by(c.id.desc())
        .limit(limit)
    )
    return [
        PushOfSku(
            row.channel,
            part.location,
            part.delta,
            part.quantity,
            row.state,
            row.reason,
            row.planned_at,
            row.answered_at,
        )
        for row in rows
        for part in (PushRow(*each) for each in row.rows)
        if part.sku == sku
    ]
