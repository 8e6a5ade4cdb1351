"""The life of one SKU's numbers, for people: what moved in the org, what each channel was told, and when.

What moved is read from the org's ledger, which alone knows it whole; what channels were told is kept by the
store for a month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sfsync.domain.fold import LedgerRow
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.domain.why import UnknownSkuError
from sfsync.flow.context import Context, wait_until_read
from sfsync.flow.why import ledger_rows
from sfsync.ports import OutsideError
from sfsync.store import Database
from sfsync.store.pushes import PushOfSku, pushes_of
from sfsync.store.tx import SqlTx

MOST_POINTS = 400  # of each level's line
MOST_EVENTS = 60
OUTCOMES = {"open": "not answered yet", "applied": "confirmed"}
Told = dict[str, object]


class Lives:
    """Tells them."""

    def __init__(self, ctx: Context, store: Database) -> None:
        self._ctx, self._store = ctx, store

    async def tell(self, sku: str) -> Told:
        """The lines of its stock levels, and what happened to its numbers, newest first; JSON-ready.

        Raises `UnknownSkuError`. Where the org does not answer, what the store knows is told, and that it is.
        """
        levels = await self._store.read(lambda tx: _levels(tx, sku))
        rows: dict[LevelKey, Sequence[LedgerRow]] = {}
        unread = ""
        try:
            rows |= await ledger_rows(self._ctx, levels)
        except OutsideError as error:
            unread = str(error)
        pushes = await self._store.read(lambda tx: pushes_of(tx, sku, MOST_EVENTS))
        events = [*_pushes(pushes), *_moves(rows)]  # of one moment: a push follows what moved
        events.sort(key=lambda each: str(each["at"]), reverse=True)
        return {
            "sku": sku,
            "org": f"not read: {unread}" if unread else "read",
            "until": _moment(self._ctx.clock.now()),
            "lines": [_line(key, each) for key, each in rows.items()],
            "events": events[:MOST_EVENTS],
        }


def _levels(tx: SqlTx, sku: str) -> list[StockLevel]:
    levels = sorted(tx.levels_of([sku]), key=lambda each: each.key)
    if not levels:
        wait_until_read(tx)
        raise UnknownSkuError(sku)
    return levels


def _line(key: LevelKey, rows: Sequence[LedgerRow]) -> Told:
    """A level's numbers after each movement; from the last folding on, where its older ones are folded."""
    folded = max((row.created_at for row in rows if row.folded is not None), default=None)
    on_hand = reserved = 0
    points: list[Told] = []
    for row in sorted(rows, key=lambda each: each.created_at):
        on_hand += row.movement.on_hand_delta
        reserved += row.movement.reserved_delta
        if folded is not None and row.created_at < folded:
            continue
        point: Told = {"at": _moment(row.created_at), "on_hand": on_hand, "reserved": reserved}
        if points and points[-1]["at"] == point["at"]:
            points.pop()
        points.append(point)
    return {
        "location": key.location,
        "unit": key.unit,
        "points": points[-MOST_POINTS:],
        "since": _moment(folded) if folded is not None else None,
    }


def _moves(rows: Mapping[LevelKey, Sequence[LedgerRow]]) -> list[Told]:
    return [
        {
            "at": _moment(row.created_at),
            "where": f"{key.location} {key.unit or ''}".strip(),
            "what": "fold" if row.folded is not None else row.movement.kind.word,
            "on_hand": row.movement.on_hand_delta,
            "reserved": row.movement.reserved_delta,
            "reference": row.movement.reference,
            "by": "sfsync" if row.by_sfsync else "somebody in the org",
            "channel": None,
            "took_ms": None,
        }
        for key, each in rows.items()
        for row in each
    ]


def _pushes(pushes: Sequence[PushOfSku]) -> list[Told]:
    return [
        {
            "at": _moment(each.planned_at),
            "where": each.location,
            "what": "push, "
            + {"open": "not answered yet", "applied": "confirmed"}.get(each.state, each.state),
            "on_hand": each.delta,
            "reserved": 0,
            "reference": each.reason or (f"to {each.quantity}" if each.quantity is not None else ""),
            "by": "sfsync",
            "channel": each.channel,
            "took_ms": round((each.answered_at - each.planned_at).total_seconds() * 1000, 1)
            if each.answered_at is not None
            else None,
        }
        for each in pushes
    ]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
