"""Orders that are read one by one: nobody has said yet where they are sent from, or two things were told.

A webhook is only the call; what counts is the order as it stands when it is read. Where the channel has not
assigned a location yet it is asked again, ever less often: the webhook that tells of the assignment may be
lost, or never be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain.incidents import UNKNOWN_LOCATION
from sfsync.domain.orders import OrderSnapshot
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.values import replace
from sfsync.ports import OrderCall, OutsideError, Tx

from .context import Context, reading_bell
from .orders import OrderPoll, record, without_places
from .shelf import refresh

BATCH = 20
SWEEP_SECONDS = 60.0  # between two looks where no order is due before
SOONEST_SECONDS = 0.1  # between two looks
FIRST_WAIT_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 3600.0
TRIES = 12  # over four to five hours; then the next change of the order, or a call, begins anew


class OrderCalls:
    """Answers the calls of every channel that assigns locations."""

    def __init__(self, ctx: Context, polls: OrderPoll) -> None:
        self._ctx, self._polls = ctx, polls

    async def run(self, channel: str) -> None:
        """Until cancelled."""
        await self._ctx.store.write(partial(self._recall, channel=channel))
        attempt = 0
        while True:
            try:
                while (wait := await self.work(channel)) == 0.0:
                    pass
                attempt = 0
            except OutsideError as error:
                attempt += 1
                wait = backoff_seconds(attempt, self._ctx.luck())
                self._ctx.log.warning(
                    "order not read", channel=channel, reason=str(error), next=f"again in {wait:.1f} s"
                )
                await self._ctx.clock.sleep(wait)
            else:
                await self._ctx.bell.wait(reading_bell(channel), wait)

    async def work(self, channel: str) -> float:
        """Read the orders that are due; returns the seconds until there may be more."""
        ctx = self._ctx

        def called(tx: Tx) -> tuple[Sequence[OrderCall], datetime | None]:
            due = tx.called_orders(channel, ctx.clock.now(), BATCH)
            return due, None if due else tx.next_call(channel)

        due, next_at = await ctx.store.read(called)
        for call in due:
            async with self._polls.reading[channel]:
                asked_at = ctx.clock.now()
                order = await ctx.channels[channel].order(call.reference)
                take = partial(self._take, channel=channel, call=call, order=order, asked_at=asked_at)
                ctx.bell.ring(*await ctx.store.write(take))
        if due:
            return 0.0
        if next_at is None:
            return SWEEP_SECONDS
        return min(SWEEP_SECONDS, max(SOONEST_SECONDS, (next_at - ctx.clock.now()).total_seconds()))

    def _recall(self, tx: Tx, *, channel: str) -> None:
        """Read again what stood at a location that the settings did not name: they may be new ones."""
        ctx, now = self._ctx, self._ctx.clock.now()
        if not ctx.channels[channel].ability.routes:
            return
        plan = ctx.assortment.sells_from(channel, None)
        unknown = set()
        for incident in tx.incidents():
            if incident.kind == UNKNOWN_LOCATION and incident.key.startswith(f"{channel}:"):
                unknown.add(incident.detail["location"])
                tx.close_incident(incident.kind, incident.key, now)
        for line in tx.open_lines(channel):
            places = {place.location for place in line.line.places if place.open_quantity}
            if places & unknown or places - plan.keys():
                tx.put_line(replace(line, due=True))  # it is told again if it is still so
                tx.call_order(channel, line.order_id, now)

    def _take(
        self, tx: Tx, *, channel: str, call: OrderCall, order: OrderSnapshot | None, asked_at: datetime
    ) -> set[str]:
        ctx, now = self._ctx, self._ctx.clock.now()
        bells: set[str] = set()
        if order is None or without_places(ctx, order):
            tx.order_answered(channel, call, self._again_at(channel, call, now, found=order is not None))
        else:
            tx.order_answered(channel, call, None)
        if order is None:
            return bells
        if skus := record(tx, ctx, replace(order, read_at=asked_at), now, bells):
            bells.add("orders")
        return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    def _again_at(self, channel: str, call: OrderCall, now: datetime, *, found: bool) -> datetime | None:
        if call.tries + 1 >= TRIES:
            event, following = "no such order", "look for the order, and at the app's access scopes"
            if found:
                event = "no location told"
                following = "look whether the order is assigned to a location, and at the app's access scopes"
            self._ctx.log.warning(event, channel=channel, order=call.reference, next=following)
            return None
        return now + timedelta(seconds=min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 3**call.tries))
