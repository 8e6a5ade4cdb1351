"""The org's truth, ours, and what the channels really show: compared, told with causes, and put right.

A number read at a channel is taken over as the new baseline and the difference to the target goes through the
same relay as every other change. Orders are polled before the number is read, so that a sale explains itself
first; a sale after the reading survives, because the relay sends changes, not numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sfsync.domain import ats
from sfsync.domain.relay import BLOCKING, Cause, Difference, difference
from sfsync.domain.stock import StockLevel
from sfsync.ports import ChannelItem, OutsideError, Tx

from .context import Context, grouped
from .levels import apply_levels
from .orders import OrderPoll
from .shelf import Picture, ats_facts, refresh

SKUS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """Differences found at one time, to be applied by its id."""

    id: str
    made_at: datetime
    compared: int  # channel levels looked at
    rows: tuple[Difference, ...]
    items: dict[tuple[str, str, str], ChannelItem]
    unread: dict[str, str]  # channel -> why it could not be read


class Reconcile:
    """Reads both sides, plans, applies."""

    def __init__(self, ctx: Context, polls: OrderPoll) -> None:
        self._ctx, self._polls = ctx, polls
        self._plans: dict[str, Plan] = {}

    async def snapshot(self) -> int:
        """Read every stock level of the org; returns how many."""
        ctx, count = self._ctx, 0
        pages = ctx.org.snapshot()
        asked_at = ctx.clock.now()
        async for page in pages:
            count += len(page)

            def commit(tx: Tx, page: Sequence[StockLevel] = page, at: datetime = asked_at) -> set[str]:
                return apply_levels(tx, ctx, page, at)

            ctx.bell.ring(*await ctx.store.write(commit))
        ctx.log.info("snapshot taken", levels=count)
        return count

    async def first_start(self, channel: str) -> Plan:
        """Take the baseline of a channel that was never compared: what it lists and shows."""
        plan = await self.compare([channel], None)
        if channel not in plan.unread:
            await self._adopt(plan, channel)
        return plan

    async def learn(self) -> None:
        """Find out which channels list the SKUs that are new, and take over what they show of them."""
        ctx = self._ctx
        skus = set(ctx.pulse.new_skus)
        for part in grouped(sorted(skus), SKUS_AT_ONCE):
            for name, channel in ctx.channels.items():
                asked_at = ctx.clock.now()
                async for items in channel.items(part):
                    adopt = partial(self._adopt_new, channel=name, items=items, read_at=asked_at)
                    ctx.bell.ring(*await ctx.store.write(adopt))
        ctx.pulse.new_skus -= skus

    def _adopt_new(
        self, tx: Tx, *, channel: str, items: Sequence[ChannelItem], read_at: datetime
    ) -> set[str]:
        skus = {item.sku for item in items}
        known = {(level.sku, level.location) for level in tx.channel_levels(skus, channel)}
        new = [item for item in items if (item.sku, item.location) not in known]
        return take_over(tx, self._ctx, channel, new, read_at)

    async def compare(self, channels: Collection[str] | None, skus: Collection[str] | None) -> Plan:
        """Compare what channels show with what they should. Changes nothing; the plan waits to be applied."""
        ctx = self._ctx
        rows: list[Difference] = []
        items: dict[tuple[str, str, str], ChannelItem] = {}
        unread: dict[str, str] = {}
        compared = 0
        for name in sorted(channels if channels is not None else ctx.channels):
            try:
                await self._polls.poll(name)
                found = [item async for page in ctx.channels[name].items(skus) for item in page]
            except OutsideError as error:
                unread[name] = str(error)
                continue
            compared += len(found)
            rows += await self._differences(name, found, skus)
            items |= {(name, item.sku, item.location): item for item in found}
        plan = Plan(ctx.new_id(), ctx.clock.now(), compared, tuple(rows), items, unread)
        self._plans = {plan.id: plan}  # the newest only: an older one speaks of numbers long gone
        return plan

    async def _differences(
        self, name: str, found: Sequence[ChannelItem], skus: Collection[str] | None
    ) -> list[Difference]:
        ctx = self._ctx
        by_sku: dict[str, list[ChannelItem]] = defaultdict(list)
        for item in found:
            by_sku[item.sku].append(item)
        rows: list[Difference] = []
        for part in grouped(sorted(by_sku), SKUS_AT_ONCE):
            targets, published = await ctx.store.read(
                partial(self._numbers, name=name, skus=part, by_sku=by_sku)
            )
            for sku in part:
                for item in by_sku[sku]:
                    target = targets.get((sku, item.location))
                    cause = problem(item, target)
                    if cause in BLOCKING or target is None:
                        rows.append(
                            Difference(
                                name, sku, item.location, item.shows, target, cause or Cause.NOT_IN_ORG
                            )
                        )
                        continue
                    row = difference(
                        name,
                        sku,
                        item.location,
                        shows=item.shows,
                        published=published.get((sku, item.location)),
                        target=target,
                    )
                    if row is not None:
                        rows.append(row)
        known = set(await ctx.store.read(lambda tx: tx.all_skus()))
        for sku in sorted((known if skus is None else known & set(skus)) - by_sku.keys()):
            location = ctx.assortment.channels[name].first_location
            rows.append(Difference(name, sku, location, None, None, Cause.NOT_LISTED))
        return rows

    def _numbers(
        self, tx: Tx, *, name: str, skus: Collection[str], by_sku: dict[str, list[ChannelItem]]
    ) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        """(target, published) of channel levels by SKU and location; targets also of those not yet kept."""
        picture = Picture(tx.facts(skus))
        targets = {
            (sku, item.location): ats.available_to_sell(
                ats_facts(picture, self._ctx.assortment, name, sku, item.location)
            ).units
            for sku in skus
            for item in by_sku[sku]
            if picture.levels(sku)
        }
        if not tx.approved(name):
            return targets, {}
        published = {(level.sku, level.location): level.published for level in tx.channel_levels(skus, name)}
        return targets, published

    async def _adopt(self, plan: Plan, channel: str) -> None:
        """Keep a channel's items, and what it shows, as the baseline."""
        ctx = self._ctx
        found = [item for (name, _, _), item in plan.items.items() if name == channel]
        for part in grouped([str(index) for index in range(len(found))], SKUS_AT_ONCE):
            items = [found[int(index)] for index in part]

            def commit(tx: Tx, items: Sequence[ChannelItem] = items) -> set[str]:
                return take_over(tx, ctx, channel, items, plan.made_at)

            ctx.bell.ring(*await ctx.store.write(commit))

    async def apply(self, plan_id: str) -> Plan | None:
        """Apply a plan: its numbers become the baseline, its differences are pushed, its channels free."""
        plan = self._plans.pop(plan_id, None)
        if plan is None:
            return None
        for channel in sorted({name for name, _, _ in plan.items}):
            await self._adopt(plan, channel)
            await self.approve(channel)
        return plan

    async def approve(self, channel: str) -> None:
        """A person has seen the first plan: the channel may be written to."""
        now = self._ctx.clock.now()
        await self._ctx.store.write(lambda tx: tx.approve(channel, now))
        waited = self._ctx.pulse.due_since
        for key in [key for key in waited if key[0] == channel]:
            waited[key] = now.timestamp()  # until now it waited for a person, not for us
        self._ctx.bell.ring(f"relay:{channel}")


def take_over(
    tx: Tx, ctx: Context, channel: str, items: Sequence[ChannelItem], read_at: datetime
) -> set[str]:
    """Make what a channel shows our baseline, except where a push of ours is still in flight."""
    skus = {item.sku for item in items}
    flying = {
        (level.sku, level.location) for level in tx.channel_levels(skus, channel) if level.push is not None
    }
    known = {level.key.sku for level in tx.levels_of(skus)}
    free = [item for item in items if (item.sku, item.location) not in flying and not item.duplicate]
    problems = {
        (item.sku, item.location): cause.value
        for item in free
        if (cause := problem(item, 0 if item.sku in known else None)) in BLOCKING
        and cause is not None
        and cause is not Cause.NOT_IN_ORG
    }
    tx.put_items(channel, free, problems, read_at)
    for item in items:
        if item.duplicate:
            tx.dead_letter(
                channel,
                f"sku:{item.sku}",
                f"several items at {channel} carry the SKU {item.sku!r}",
                "give each item its own SKU at the channel, then `sfsync resync`",
                item.item_id,
                ctx.clock.now(),
            )
    return refresh(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now())


def problem(item: ChannelItem, target: int | None) -> Cause | None:
    """Why an item must not be written, or deserves a warning; None when all is well."""
    if item.duplicate:
        return Cause.DUPLICATE_SKU
    if not item.tracked:
        return Cause.UNTRACKED
    if target is None:
        return Cause.NOT_IN_ORG
    return Cause.OVERSELL_ALLOWED if item.oversell_allowed else None
