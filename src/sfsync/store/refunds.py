"""The statements of refund tasks, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from sfsync.domain.refunds import Ending, OwedLine, RefundTask
from sfsync.domain.values import replace

from . import tables as t
from .prepared import Prepared

_REFUND = t.refund.c
_OWES = select(_REFUND.id).where(_REFUND.closed_at.is_(None), _REFUND.channel == bindparam("b_channel"))
OWES = Prepared(_OWES.limit(1))


class RefundStatements:
    """What is owed to customers."""

    _c: Connection

    def add_refund(self, task: RefundTask) -> RefundTask:
        """Keep a new task; the one returned has its id."""
        made = self._c.execute(
            t.refund.insert().values(
                reservation=task.reservation,
                channel=task.channel,
                order_reference=task.order_reference,
                owner=task.owner,
                client=task.client,
                lines=[[line.sku, line.units] for line in task.lines],
                opened_at=task.opened_at,
                opened_by=task.opened_by,
                reason=task.reason,
            )
        ).inserted_primary_key
        if made is None:
            raise RuntimeError("the database gave no id for a new refund")
        return replace(task, id=int(made[0]))

    def close_refund(self, task: RefundTask) -> None:
        """Keep how an open task ended; one that has ended stays as it is."""
        self._c.execute(
            update(t.refund)
            .where(_REFUND.id == task.id, _REFUND.closed_at.is_(None))
            .values(
                closed_at=task.closed_at,
                closed_by=task.closed_by,
                ending=None if task.ending is None else task.ending.value,
                said=task.said,
            )
        )

    def refund(self, number: int) -> RefundTask | None:
        """One task, open or closed."""
        row = self._c.execute(select(t.refund).where(_REFUND.id == number)).first()
        return None if row is None else _task(row)

    def refund_of(self, reservation_id: str) -> RefundTask | None:
        """The task of a reservation."""
        row = self._c.execute(select(t.refund).where(_REFUND.reservation == reservation_id)).first()
        return None if row is None else _task(row)

    def owes_refunds(self, channel: str) -> bool:
        """Whether any task of the channel is open."""
        return bool(OWES.run(self._c, {"b_channel": channel}))

    def refunds_of_order(self, channel: str, references: Collection[str]) -> list[RefundTask]:
        """The tasks of an order, called by any of these names."""
        of_order = _REFUND.order_reference.in_(sorted(references))
        rows = self._c.execute(select(t.refund).where(_REFUND.channel == channel, of_order))
        return [_task(row) for row in rows]

    def refunds(
        self,
        *,
        open_only: bool = True,
        channels: Collection[str] | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[RefundTask]:
        """Tasks, oldest first, after the one of that id; of these channels, or of all."""
        wanted = select(t.refund).where(_REFUND.id > after).order_by(_REFUND.id).limit(limit)
        if open_only:
            wanted = wanted.where(_REFUND.closed_at.is_(None))
        if channels is not None:
            wanted = wanted.where(_REFUND.channel.in_(sorted(channels)))
        return [_task(row) for row in self._c.execute(wanted)]


def _task(row: Row[Any]) -> RefundTask:
    return RefundTask(
        row.id,
        row.reservation,
        row.channel,
        row.order_reference,
        row.owner,
        row.client,
        tuple(OwedLine(sku, units) for sku, units in row.lines),
        row.opened_at,
        row.opened_by,
        row.reason,
        row.closed_at,
        row.closed_by,
        None if row.ending is None else Ending(row.ending),
        row.said,
    )
