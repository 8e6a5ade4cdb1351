"""Refund tasks: opened when a paid reservation is given up, ended by a person or by the channel's order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from sfsync.domain.orders import OrderSnapshot
from sfsync.domain.refunds import Ending, OwedLine, RefundAnswer, RefundTask, owed
from sfsync.domain.reservations import Reservation, ReservationState, order_names
from sfsync.domain.values import replace
from sfsync.ports import OutsideError, Tx

from .context import Context
from .orders import OrderPoll, record
from .owing import still_owed
from .reserving import put
from .shelf import refresh


class Refunds:
    """Keeps what is owed."""

    def __init__(self, ctx: Context, polls: OrderPoll) -> None:
        self._ctx, self._polls = ctx, polls

    async def find(
        self,
        *,
        open_only: bool = True,
        channels: Collection[str] | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[RefundTask]:
        """Tasks, oldest first, after the one of that id; of these channels, or of all."""
        return await self._ctx.store.read(
            lambda tx: tx.refunds(open_only=open_only, channels=channels, after=after, limit=limit)
        )

    async def get(self, number: int) -> RefundTask | None:
        """One task, open or closed."""
        return await self._ctx.store.read(lambda tx: tx.refund(number))

    async def open(self, reservation_id: str, *, by: str, reason: str) -> RefundAnswer:
        """Owe the customer of a reservation that is paid and not available; asking twice is asking once."""

        def commit(tx: Tx) -> RefundAnswer:
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return RefundAnswer(None, "no-such-reservation", "there is no reservation of this id")
            if (known := tx.refund_of(reservation.id)) is not None:
                return RefundAnswer(known)
            if reservation.state is ReservationState.PENDING:
                return RefundAnswer(None, "later", "the org has not answered yet")
            if reservation.state is not ReservationState.PAID_UNAVAILABLE:
                detail = f"it is {reservation.state.value}: nothing is owed for it"
                return RefundAnswer(None, "nothing-owed", detail)
            return RefundAnswer(open_refund(tx, self._ctx, reservation, by, reason), new=True)

        outcome = await self._ctx.store.write(commit)
        if outcome.new and outcome.task is not None:
            await self.look(outcome.task)
            return replace(outcome, task=await self.get(outcome.task.id))
        return outcome

    async def look(self, task: RefundTask) -> None:
        """Read the task's order at its channel: the money may have gone back before anybody told us to."""
        ctx, channel = self._ctx, task.channel or ""
        if channel not in ctx.channels:
            return
        names = order_names(task.order_reference)
        lines = await ctx.store.read(lambda tx: tx.lines_of_order(channel, names))
        if not lines:
            return  # the order is not known yet: it tells of its refund when it comes
        try:
            async with self._polls.reading[channel]:
                asked_at = ctx.clock.now()
                order = await ctx.channels[channel].order(lines[0].order_id)
                if order is not None:
                    take = partial(self._take, order=replace(order, read_at=asked_at))
                    ctx.bell.ring(*await ctx.store.write(take))
        except OutsideError as error:
            then = "its next change is heard"
            ctx.log.warning("order of a refund not read", channel=channel, reason=str(error), next=then)

    def _take(self, tx: Tx, *, order: OrderSnapshot) -> set[str]:
        ctx, now = self._ctx, self._ctx.clock.now()
        bells = {"orders"}
        skus = record(tx, ctx, order, now, bells)
        return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    async def close(self, number: int, ending: Ending, *, by: str, said: str) -> RefundAnswer:
        """It is paid back, or owed no more. The same again is answered as the first time."""

        def commit(tx: Tx) -> RefundAnswer:
            task = tx.refund(number)
            if task is None:
                return RefundAnswer(None, "no-such-refund", f"there is no refund {number}")
            if task.closed_at is not None:
                over = f"refund {number} is {task.ending} since {task.closed_at:%Y-%m-%d %H:%M:%S} UTC"
                return RefundAnswer(task, "" if task.ending is ending else "over", over)
            done = replace(task, closed_at=self._ctx.clock.now(), closed_by=by, ending=ending, said=said)
            tx.close_refund(done)
            return RefundAnswer(done)

        outcome = await self._ctx.store.write(commit)
        if outcome.task is not None and not outcome.problem:
            self._ctx.log.info("refund closed", refund=number, ending=ending.value, by=by)
        return outcome


def open_refund(tx: Tx, ctx: Context, reservation: Reservation, by: str, reason: str) -> RefundTask:
    """Write down that its customer gets the money back, and let the paid reservation be over."""
    units = still_owed(tx, reservation)
    lines = owed(reservation, units if any(units) else reservation.due())  # a person says so
    task = _write_down(tx, ctx, reservation, lines, by, reason)
    told = f"refund {task.id} is owed ({by}: {reason})"
    put(tx, ctx, reservation, replace(reservation, state=ReservationState.RELEASED, reason=told))
    return task


def owe(tx: Tx, ctx: Context, reservation: Reservation, by: str, reason: str) -> None:
    """Write down that its customer gets the money back for what an order has not given him."""
    if lines := owed(reservation, still_owed(tx, reservation)):
        _write_down(tx, ctx, reservation, lines, by, reason)


def _write_down(
    tx: Tx, ctx: Context, reservation: Reservation, lines: tuple[OwedLine, ...], by: str, reason: str
) -> RefundTask:
    task = tx.add_refund(
        RefundTask(
            0,
            reservation.id,
            reservation.channel,
            reservation.order_reference,
            reservation.owner,
            reservation.client,
            lines,
            ctx.clock.now(),
            by,
            reason,
        )
    )
    ctx.log.info("refund owed", refund=task.id, reservation=reservation.id, order=task.order_reference, by=by)
    return task
