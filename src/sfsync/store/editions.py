"""The statements of limited editions; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select

from sfsync.domain.editions import Switch
from sfsync.domain.stock import SOLD, MovementKind, reservation_subject

from . import tables as t
from .prepared import Prepared
from .statements import Statements, one_of

_HOLDS = func.sum(t.holding.c.reserved - t.holding.c.on_hand)  # reserved, or sent and not come back
_TAKERS = (
    select(t.holding.c.channel, _HOLDS.label("units"))
    .where(t.among(t.holding.c.sku), one_of(t.holding.c.kind, "order", "reservation"))
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
        one_of(t.movement.c.kind, MovementKind.SALE.value, MovementKind.RETURN.value),
        one_of(t.movement.c.state, "waiting", "done", "folded"),
    )
)
_WENT = func.sum(-t.movement.c.on_hand_delta).label("units")
_GOING = one_of(t.movement.c.kind, *sorted(kind.value for kind in SOLD))
SOLD_BY_US = (
    Prepared(
        select(func.sum(-t.holding.c.on_hand).label("units")).where(
            t.among(t.holding.c.sku), one_of(t.holding.c.kind, "order", "reservation")
        )
    ),
    Prepared(select(_WENT).where(t.among(t.movement.c.sku), t.movement.c.state == "waiting", _GOING)),
    Prepared(
        select(_WENT).where(
            t.among(t.movement.c.sku),
            t.movement.c.subject.startswith("posting:"),
            _GOING,
            one_of(t.movement.c.state, "done", "folded"),
        )
    ),
)
SWITCHES = Prepared(select(t.edition))


class EditionStatements(Statements):
    """How editions stand, and what was sold of them."""

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
