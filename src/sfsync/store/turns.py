"""The statements of turns, a part of `SqlTx`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from . import tables as t
from .prepared import Prepared

_TURN, _LINE = t.turn.c, t.order_line.c
TURN = Prepared(select(t.turn).where(_TURN.sku == bindparam("b_sku")))
LAST_SOLD = Prepared(
    select(func.max(_LINE.placed_at).label("at")).where(
        _LINE.sku == bindparam("b_sku"),
        _LINE.channel == bindparam("b_channel"),
        _LINE.open_quantity + _LINE.fulfilled_quantity > 0,
    )
)


class TurnStatements:
    """Whose turn it is to sell what one channel sells at a time."""

    _c: Connection

    def turn(self, sku: str) -> tuple[str, datetime] | None:
        """Whose turn it is, and since when."""
        row = TURN.run(self._c, {"b_sku": sku}).first()
        return None if row is None else (row.channel, row.since)

    def put_turn(self, sku: str, turn: tuple[str, datetime] | None) -> None:
        """Remember it, or forget it."""
        self._c.execute(t.turn.delete().where(_TURN.sku == sku))
        if turn is not None:
            self._c.execute(t.turn.insert().values(sku=sku, channel=turn[0], since=turn[1]))

    def skus_in_turn(self) -> list[str]:
        """SKUs that one channel sells at a time."""
        return list(self._c.execute(select(_TURN.sku).order_by(_TURN.sku)).scalars())

    def last_sold(self, channel: str, sku: str) -> datetime | None:
        """When a channel last sold a SKU, by an order that was not called off."""
        at: datetime | None = LAST_SOLD.run(self._c, {"b_sku": sku, "b_channel": channel}).scalar()
        return at
