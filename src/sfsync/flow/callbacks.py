"""Storefronts that are only told: each number goes with its sequence number, so that the newest one wins.

Nothing has to be known about an older message before a newer one is sent: whoever gets the older one later
drops it. So a message that was not taken is given back at once, its numbers are due again, and what is sent
next is the newest. When that may be, and when a receiver is set aside, `domain.callbacks` decides; it is kept
in the store, so that a restart neither storms a receiver nor forgets that a person was told.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from time import perf_counter

from sfsync.domain.callbacks import Failing, Patience, failed, message_id
from sfsync.domain.values import replace
from sfsync.ports import (
    Channel,
    ChannelLevel,
    Gone,
    OutsideError,
    PushAnswer,
    PushRecord,
    PushRow,
    TryLater,
    Tx,
    Unknown,
    Write,
)

from .context import Context, relay_bell
from .failing import set_aside, standing, took_again, try_again
from .orders import OrderPoll
from .relay import Relay
from .shelf import with_numbers

SWEEP_SECONDS = 15.0


class CallbackRelay(Relay):
    """One receiver: one message under way, the newest numbers only."""

    def __init__(self, ctx: Context, channel: Channel, polls: OrderPoll) -> None:
        super().__init__(ctx, channel, polls)
        self._failing: Failing | None = None
        self._next_at: datetime | None = None  # when what is due may be sent

    async def run(self) -> None:
        """Until drained. What the last run left without an answer is due again."""
        ctx = self._ctx
        for left in await ctx.store.read(lambda tx: tx.open_pushes(self.name)):
            await ctx.store.write(partial(self._give_back, record=left, reason="left by the last run"))
        self._failing = await ctx.store.read(lambda tx: tx.failing(self.name))
        if self._failing is not None:
            ctx.pulse.channel_error[self.name] = standing(self._failing)
        record: PushRecord | None = None
        while not self._draining:
            record = record or await ctx.store.write(self._plan)
            if record is None:
                await ctx.bell.wait(relay_bell(self.name), self._rest_seconds())
            else:
                record = await self._deliver(record, maybe_sent=False)

    def _rest_seconds(self) -> float:
        if self._next_at is None:
            return SWEEP_SECONDS
        return min(SWEEP_SECONDS, max(0.01, (self._next_at - self._ctx.clock.now()).total_seconds()))

    def _plan(self, tx: Tx) -> PushRecord | None:
        """The next message, written down; None when nothing is due, or it is not time yet."""
        name, now = self.name, self._ctx.clock.now()
        self._next_at = None
        if self._draining or not tx.approved(name):
            return None
        due = tx.due(name, self._limit)
        if not due:
            return None
        numbers = [max(0, level.target or 0) for level in due]
        key = message_id(
            name,
            [(level.sku, level.location, n, level.sequence) for level, n in zip(due, numbers, strict=True)],
        )
        self._failing = tx.failing(name)
        if self._failing is not None and now < (at := self._failing.next_at(key)):
            self._next_at = at
            return None
        rows = tuple(
            PushRow(level.sku, level.location, number - level.published, quantity=number)
            for level, number in zip(due, numbers, strict=True)
        )
        writes = [
            Write(
                level.sku,
                level.location,
                level.item_id,
                level.location_id,
                quantity=number,
                sequence=level.sequence,
            )
            for level, number in zip(due, numbers, strict=True)
        ]
        body = self._channel.encode(key, writes)
        return PushRecord(tx.add_push(name, key, body, rows, now), name, key, body, rows, now)

    async def _deliver(self, record: PushRecord, *, maybe_sent: bool) -> PushRecord | None:
        """Send once. Returns the next message, if there is one."""
        began = perf_counter()
        try:
            answer = await self._channel.push(record.body)
        except OutsideError as error:
            await self._not_taken(record, error, began)
            return None
        return await self._taken(record, answer, began)

    async def _taken(self, record: PushRecord, answer: PushAnswer, began: float) -> PushRecord | None:
        ctx, took = self._ctx, perf_counter() - began
        ctx.pulse.channel_error.pop(self.name, None)
        if self._failing is not None:
            await ctx.store.write(partial(took_again, ctx=ctx, name=self.name))
            self._failing = None
        following = await self._conclude(record, answer)
        named = "applied" if answer.applied else f"not applied: {answer.reason}"
        self._log(record, 1, perf_counter() - took, named, "")
        return following

    async def _not_taken(self, record: PushRecord, error: OutsideError, began: float) -> None:
        ctx, now = self._ctx, self._ctx.clock.now()
        failing = failed(
            self._failing,
            record.key,
            str(error),
            now,
            ctx.luck(),
            self._channel.ability.callbacks or Patience(),
            asked_seconds=error.after_seconds if isinstance(error, TryLater) else None,
            gone=isinstance(error, Gone),
        )

        def commit(tx: Tx) -> None:
            self._give_back(tx, record, str(error), arrived=isinstance(error, Unknown))
            set_aside(tx, ctx, self.name, failing)

        await ctx.store.write(commit)
        self._failing = failing
        ctx.pulse.channel_error[self.name] = standing(failing)
        wait = (failing.next_at(record.key) - now).total_seconds()
        then = f"the same again in {wait:.1f} s, newer numbers sooner"
        if failing.set_aside_at is not None:
            then = f"set aside; tried again in {wait:.0f} s"
        self._log(record, failing.tries, began, f"not taken: {error}", then)

    def _give_back(self, tx: Tx, record: PushRecord, reason: str, *, arrived: bool = True) -> None:
        """Its numbers are due again, whatever they are by now.

        Where they may have `arrived`, the higher of what was shown and what was sent counts as shown.
        """
        now = self._ctx.clock.now()
        tx.finish_push(record, "dropped", reason, now)
        changed = []
        for level, row in _of(tx, record):
            shown = max(level.published, row.quantity or 0) if arrived else level.published
            doubted = replace(level, unsure=True)
            changed.append(
                with_numbers(self._ctx.assortment, doubted, now, target=level.target, published=shown)
            )
        tx.put_numbers(changed)

    def _applied(self, tx: Tx, record: PushRecord, bells: set[str]) -> None:
        """What the receiver confirmed is what it now shows."""
        now = self._ctx.clock.now()
        changed = []
        for level, row in _of(tx, record):
            sure = replace(level, unsure=False, baseline_from=record.planned_at, baseline_at=now)
            changed.append(
                with_numbers(
                    self._ctx.assortment, sure, now, target=level.target, published=row.quantity or 0
                )
            )
        tx.put_numbers(changed)
        self._lag(changed)


async def receiver_changed(ctx: Context, name: str) -> None:
    """A channel is told at another address, or otherwise: what is due is sent at once."""
    await ctx.store.write(lambda tx: try_again(tx, ctx, name))
    ctx.bell.ring(relay_bell(name))


def _of(tx: Tx, record: PushRecord) -> list[tuple[ChannelLevel, PushRow]]:
    """The channel levels of a push as they stand, each with its row."""
    rows = {(row.sku, row.location): row for row in record.rows}
    levels = tx.channel_levels({row.sku for row in record.rows}, record.channel)
    return [(level, rows[at]) for level in levels if (at := (level.sku, level.location)) in rows]
