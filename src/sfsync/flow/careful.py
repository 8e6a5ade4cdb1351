"""Channels that take plain numbers only: orders first, lower at once and raise slowly (correctness D, E).

Whatever is written to such a channel may go over a sale that nobody has told of. What may be written when is
decided by `domain.relay.next_number`; here its orders are read when that asks for it, and units of an
allocation are taken for free once they are: the number was written as zero, all orders from before that are
known, and it still reads as zero.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain.relay import Care, Do, DueNumber, Next, drained, next_number
from sfsync.domain.values import replace
from sfsync.ports import Channel, ChannelLevel, OutsideError, Tx

from .allocations import Divider
from .comparing import Seen
from .context import Context
from .orders import OrderPoll
from .picture import Picture
from .reconcile import take_over
from .shelf import refresh

LINES = 1_000


class Careful:
    """What of one channel's due numbers may be written, and what has to be known for the others."""

    def __init__(self, ctx: Context, channel: Channel, polls: OrderPoll) -> None:
        self._ctx, self._channel, self._polls = ctx, channel, polls
        ability = channel.ability
        self._care = Care(
            timedelta(seconds=ability.settle_seconds),
            timedelta(seconds=ability.orders_every_seconds),
        )
        self._wants_orders = self._just_read = False
        self._in_vain: datetime | None = None  # when its orders could not be read
        self._drained: frozenset[str] = frozenset()  # SKUs whose closed numbers are to be read
        self.not_before: datetime | None = None  # when to see again, if nothing rings before

    def choose(
        self, tx: Tx, due: Sequence[ChannelLevel], own: Collection[str]
    ) -> list[tuple[ChannelLevel, int]]:
        """The channel levels to write now, each with its number: only lower ones, or only higher ones.

        `own` are the SKUs whose units are booked one by one.
        """
        now, read_at = self._ctx.clock.now(), tx.poll_mark(self._channel.name)
        care = self._care
        if self._just_read and read_at is not None:  # however long that took, and this once
            care = replace(care, reading_lasts=max(care.reading_lasts, now - read_at))
        self._wants_orders = self._just_read = False
        self.not_before, self._drained = None, frozenset()
        missing = self._missing(tx)
        self._see_closed(tx, missing, read_at, now)
        undecided = self._undecided(tx) if due else frozenset()
        lower: list[tuple[ChannelLevel, int]] = []
        higher: list[tuple[ChannelLevel, int]] = []
        for level in due:
            step = next_number(
                DueNumber(
                    level.published,
                    level.target or 0,
                    max(level.baseline_at, level.raised_at or level.baseline_at),
                    level.sku in own,
                    missing.get((level.sku, level.location), (0, now))[0],
                    level.sku in undecided,
                ),
                read_at=read_at,
                now=now,
                care=care,
            )
            if not self._may(level, step, now):
                continue
            (lower if step.number < level.published else higher).append((level, step.number))
        return lower or higher

    def _may(self, level: ChannelLevel, step: Next, now: datetime) -> bool:
        """True when it is to be written; else what it waits for is noted."""
        if step.do is Do.READ_ORDERS:
            if self._in_vain is None or now >= self._in_vain + self._care.reading_lasts:
                self._wants_orders = True
            elif step.number < level.published:
                return True  # its orders cannot be read: the lower number is still the better one
            else:
                self._see_again(self._in_vain + self._care.reading_lasts)
        elif step.do is Do.WAIT and step.not_before is not None:
            self._see_again(step.not_before)
        return step.do is Do.WRITE

    def _undecided(self, tx: Tx) -> frozenset[str]:
        return frozenset(line.line.sku for line in tx.due_lines(LINES) if line.channel == self._channel.name)

    def _missing(self, tx: Tx) -> dict[tuple[str, str], tuple[int, datetime]]:
        """Of closed numbers: units that are neither spare nor known to be sold, and when it was closed."""
        skus = tx.allocated_skus()
        closed = [
            level
            for level in (tx.channel_levels(skus, self._channel.name) if skus else ())
            if level.published <= 0 and level.push is None and not level.problem
        ]
        if not closed:
            return {}
        divider = self._divider(tx, {level.sku for level in closed})
        found = {}
        for level in closed:
            if level.location != self._ctx.assortment.channels[level.channel].first_location:
                continue
            if units := divider.missing(level.sku, level.channel, level):
                found[level.sku, level.location] = units, level.baseline_at
        return found

    def _divider(self, tx: Tx, skus: Collection[str]) -> Divider:
        ctx = self._ctx
        return Divider(
            tx, ctx.assortment, ctx.pulse, Picture(tx.facts(skus), ctx.assortment), ctx.clock.now()
        )

    def _see_closed(
        self,
        tx: Tx,
        missing: dict[tuple[str, str], tuple[int, datetime]],
        read_at: datetime | None,
        now: datetime,
    ) -> None:
        """Note which closed numbers are drained, and what the others wait for."""
        found = set()
        for (sku, _), (_, closed_at) in missing.items():
            if now < closed_at + self._care.settle:
                self._see_again(closed_at + self._care.settle)
            elif not drained(closed_at=closed_at, read_at=read_at, care=self._care):
                if self._in_vain is None or now >= self._in_vain + self._care.reading_lasts:
                    self._wants_orders = True
                else:
                    self._see_again(self._in_vain + self._care.reading_lasts)
            elif not tx.owes(self._channel.name, sku):
                found.add(sku)
        self._drained = frozenset(found)

    def _see_again(self, at: datetime) -> None:
        self.not_before = at if self.not_before is None else min(at, self.not_before)

    async def look(self) -> bool:
        """Get to know what the last choice lacked; True when the next may be another."""
        ctx, name = self._ctx, self._channel.name
        try:
            if self._wants_orders:
                await self._polls.poll(name)
                self._in_vain, self._just_read = None, True
                return True
            return bool(self._drained) and await self._drain()
        except OutsideError as error:
            ctx.log.warning("orders not read before a push", channel=name, reason=str(error))
            self._in_vain, was = ctx.clock.now(), self._in_vain
            return self._wants_orders and was != self._in_vain

    async def _drain(self) -> bool:
        """Read numbers that were closed: where they are zero, what is missing is free again."""
        ctx, asked_at, seen = self._ctx, self._ctx.clock.now(), list[Seen]()
        async for page in self._channel.items(self._drained):
            read_at = ctx.clock.now()
            seen += [Seen(item, asked_at, read_at) for item in page]
            asked_at = read_at
        freed, bells = await ctx.store.write(partial(self._free, seen=seen))
        ctx.bell.ring(*bells)
        return freed

    def _free(self, tx: Tx, *, seen: Sequence[Seen]) -> tuple[bool, set[str]]:
        ctx = self._ctx
        missing, bells, freed = self._missing(tx), set[str](), False
        read_at = tx.poll_mark(self._channel.name)
        levels = {
            (level.sku, level.location): level
            for level in tx.channel_levels({one.item.sku for one in seen}, self._channel.name)
        }
        for one in seen:
            place = one.item.sku, one.item.location
            units, closed_at = missing.get(place, (0, one.asked_at))
            if one.item.shows > 0:
                bells |= take_over(tx, ctx=ctx, channel=self._channel.name, seen=[one])
            elif (
                units
                and drained(closed_at=closed_at, read_at=read_at, care=self._care)
                and not tx.owes(self._channel.name, one.item.sku)
            ):
                tx.put_spare(self._channel.name, *place, levels[place].spare + units)
                freed = True
        skus = {one.item.sku for one in seen}
        return freed, bells | refresh(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now())
