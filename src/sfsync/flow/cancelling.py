"""Orders that a person has had cancelled: asked of their channel, and watched until it has carried it out.

The order is read before anything is sent, so that what a former attempt has done, or somebody at the channel,
is not asked for twice; and read afterwards, because a channel takes a cancellation up and carries it out
later. Only the order as it then stands ends it: what the lines no longer want is released by the flow of
orders, as with every other cancellation.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

from sfsync.domain.incidents import NOT_APPLIED, Stage, Way
from sfsync.domain.orders import OrderSnapshot
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.stock import order_line_subject
from sfsync.domain.values import replace
from sfsync.ports import OutsideError, Refused, Resolution, TryLater, Tx, Unknown

from .context import Context
from .orders import OrderPoll, record
from .shelf import refresh

SWEEP_SECONDS = 30.0
LOOKS = 7  # at the order after the channel has taken the cancellation up: about a minute
LOOK_SECONDS = 0.5  # before the first of them; each wait is twice the one before
LONGEST_LOOK_SECONDS = 60.0


class Cancellations:
    """Carries out the cancellations that are written down."""

    def __init__(self, ctx: Context, polls: OrderPoll) -> None:
        self._ctx, self._polls = ctx, polls
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}

    @staticmethod
    def bell(channel: str) -> str:
        """The name of a channel's cancellations at the bell."""
        return f"cancel:{channel}"

    def answered(self, resolution: int) -> asyncio.Future[None]:
        """Done when it is known what became of a cancellation."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(resolution, []).append(future)
        return future

    async def run(self, channel: str) -> None:
        """Until cancelled."""
        while True:
            todo = await self._ctx.store.read(lambda tx: tx.asked_resolutions(Way.CANCEL.value))
            for resolution in todo:
                if resolution.detail.get("channel") == channel:
                    await self._carry_out(channel, resolution)
            await self._ctx.bell.wait(self.bell(channel), SWEEP_SECONDS)

    async def _carry_out(self, channel: str, resolution: Resolution) -> None:
        """Ask until the channel has answered, and look until the order is cancelled."""
        ctx, detail = self._ctx, resolution.detail
        attempt = looks = 0
        maybe_sent = resolution.at < ctx.pulse.started_at  # by a former run
        taken_up, refused = False, ""
        while True:
            try:
                over = await self._over(channel, resolution)
                if over:
                    await self._finish(resolution, Stage.DONE, f"{channel} has cancelled {detail['order']}")
                    return
                if over is None:
                    words = f"{channel} has no order {detail['order']} that can be read"
                    await self._finish(resolution, Stage.REFUSED, words)
                    return
                if not taken_up:
                    refused = await self._ask(channel, resolution)
                    taken_up = True
                    if refused and not maybe_sent:
                        looks = LOOKS  # one more look: somebody may have cancelled it meanwhile
            except OutsideError as error:
                attempt += 1
                maybe_sent = maybe_sent or isinstance(error, Unknown)
                asked = error.after_seconds if isinstance(error, TryLater) else None
                wait = backoff_seconds(attempt, ctx.luck(), asked_seconds=asked)
                then = f"looked at again in {wait:.1f} s"
                ctx.log.warning("cancellation not known", channel=channel, reason=str(error), next=then)
                await ctx.clock.sleep(wait)
                continue
            looks += 1
            if looks <= LOOKS:
                await ctx.clock.sleep(min(LONGEST_LOOK_SECONDS, LOOK_SECONDS * 2 ** (looks - 1)))
            elif looks > LOOKS + 1:
                break
        if refused:
            await self._finish(resolution, Stage.REFUSED, refused)
        else:
            await self._not_carried_out(channel, resolution)

    async def _ask(self, channel: str, resolution: Resolution) -> str:
        """Have the channel cancel it; its words when it will not, which may be because it has."""
        ctx, detail = self._ctx, resolution.detail
        try:
            await ctx.channels[channel].cancel_order(
                str(detail["order_id"]),
                refund=bool(detail["refund"]),
                notify=bool(detail["notify"]),
                note=f"{resolution.reason} ({resolution.by})",
            )
        except Refused as error:
            words = f"{error}: {error.advice}" if error.advice else str(error)
            ctx.log.warning("cancellation refused", channel=channel, order=detail["order"], reason=words)
            return words
        ctx.log.info("cancellation taken up", channel=channel, order=detail["order"], by=resolution.by)
        return ""

    async def _over(self, channel: str, resolution: Resolution) -> bool | None:
        """Read the order and take over how it stands: True when nothing of the line is to be sent any more.

        None when the channel has no such order.
        """
        ctx, order_id = self._ctx, str(resolution.detail["order_id"])
        async with self._polls.reading[channel]:
            asked_at = ctx.clock.now()
            order = await ctx.channels[channel].order(order_id)
            if order is None:
                return None

            def take(tx: Tx) -> set[str]:
                now, bells = ctx.clock.now(), {"orders"}
                skus = record(tx, ctx, replace(order, read_at=asked_at), now, bells)
                return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

            ctx.bell.ring(*await ctx.store.write(take))
        return not order.unreadable and not _open(order, str(resolution.detail["promise"]))

    async def _not_carried_out(self, channel: str, resolution: Resolution) -> None:
        """The channel said yes and did nothing: that is an incident of its own."""
        ctx, name = self._ctx, resolution.detail["order"]
        words = f"{channel} took the cancellation of {name} up and has not carried it out"
        detail = {"channel": channel, "order": {"channel": channel, "name": name}}
        key = f"{channel}:cancel:{resolution.detail['order_id']}"

        def commit(tx: Tx) -> None:
            tx.open_incident(NOT_APPLIED, key, words, detail, ctx.clock.now())

        await ctx.store.write(commit)
        ctx.log.warning("accepted and not applied", channel=channel, order=name, next="look at the channel")
        await self._finish(resolution, Stage.REFUSED, words)

    async def _finish(self, resolution: Resolution, stage: Stage, answer: str) -> None:
        now = self._ctx.clock.now()
        await self._ctx.store.write(
            partial(_finished, number=resolution.id, stage=stage, answer=answer, now=now)
        )
        for future in self._waiting.pop(resolution.id, ()):
            if not future.done():
                future.set_result(None)


def _finished(tx: Tx, *, number: int, stage: Stage, answer: str, now: datetime) -> None:
    tx.finish_resolution(number, stage, answer, now)


def _open(order: OrderSnapshot, subject: str) -> int:
    """Units of the line that the channel still wants sent."""
    return sum(
        line.open_quantity
        for line in order.lines
        if order_line_subject(order.channel, order.order_id, line.line_id) == subject
    )
