"""The org's truth, ours, and what the channels really show: compared, told with causes, and put right.

A number read at a channel is taken over as the new baseline and the difference to the target goes through the
same relay as every other change. Orders are polled before the number is read, so that a sale explains itself
first; a sale after the reading survives, because the relay sends changes, not numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sfsync.domain.fold import LedgerRow
from sfsync.domain.incidents import PUSH_LOST
from sfsync.domain.relay import BLOCKING, Cause, Difference, difference
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.ports import ChannelItem, ChannelLevel, OutsideError, Tx

from .age import age_seconds
from .allocations import Divider, adopted
from .context import Context, grouped
from .levels import apply_levels
from .orders import OrderPoll
from .picture import Picture
from .relearning import relearn
from .rooms import Rooms
from .shelf import refresh, shows

SKUS_AT_ONCE = 500
UNREADABLE = "what this opening row stands for cannot be read: steps of its subjects might be entered twice"
RESTORE = "restore its field Folded__c from a backup of the org, then start sfsync with a new store"


@dataclass(frozen=True, slots=True)
class Seen:
    """A number read at a channel, and between which moments it was true.

    It is taken over only where nothing of ours has changed since the reading began: whatever we confirmed,
    recorded or doubted meanwhile is newer than the reading.
    """

    item: ChannelItem
    asked_at: datetime  # when its page was asked for, or before
    read_at: datetime  # when its page had arrived


@dataclass(frozen=True, slots=True)
class Plan:
    """Differences found at one time, to be applied by its id."""

    id: str
    made_at: datetime
    compared: int  # channel levels looked at
    rows: tuple[Difference, ...]
    seen: dict[str, tuple[Seen, ...]]  # by channel
    unread: dict[str, str]  # channel -> why it could not be read
    warnings: tuple[str, ...] = ()


class Reconcile:
    """Reads both sides, plans, applies."""

    def __init__(self, ctx: Context, polls: OrderPoll) -> None:
        self._ctx, self._polls = ctx, polls
        self._plans: dict[str, Plan] = {}

    async def snapshot(self) -> int:
        """Learn who holds units, then read every stock level of the org; returns how many."""
        ctx, count = self._ctx, 0
        await relearn(ctx)
        pages = ctx.org.snapshot()
        asked_at = ctx.clock.now()
        async for page in pages:
            count += len(page)

            def commit(tx: Tx, page: Sequence[StockLevel] = page, at: datetime = asked_at) -> set[str]:
                return apply_levels(tx, ctx, page, at)

            ctx.bell.ring(*await ctx.store.write(commit))
        await self._openings()
        ctx.log.info("snapshot taken", levels=count)
        return count

    async def _openings(self) -> None:
        """What was folded of each subject: a new store finds it nowhere else."""
        ctx = self._ctx
        by_level: dict[LevelKey, list[LedgerRow]] = defaultdict(list)
        async for page in ctx.org.openings():
            for row in page:
                by_level[row.movement.level].append(row)

        def commit(tx: Tx) -> None:
            for level, rows in by_level.items():
                for row in rows:
                    if row.folded is None:
                        tx.dead_letter("ledger", row.movement.key, UNREADABLE, RESTORE, "", ctx.clock.now())
                tx.put_folded(level, rows, ctx.clock.now())

        if by_level:
            await ctx.store.write(commit)

    async def first_start(self, channel: str) -> Plan:
        """Take the baseline of a channel that was never compared: what it lists and shows."""
        ctx = self._ctx
        last = await ctx.store.read(lambda tx: tx.last_sku())  # what is listed whole is asked for whole
        plan = await self.compare([channel], None)
        if channel not in plan.unread:
            await self._adopt(channel, plan.seen[channel])
            await ctx.store.write(partial(_asked, channel=channel, number=last))
        return plan

    async def learn(self, channel: str) -> None:
        """Find out whether a channel lists the SKUs it was never asked for, and take over what it shows."""
        ctx = self._ctx
        while True:
            skus, last = await ctx.store.read(lambda tx: tx.unasked_skus(channel, SKUS_AT_ONCE))
            if not skus:
                return
            await self._adopt(channel, [seen async for seen in self._read(channel, skus)])
            await ctx.store.write(partial(_asked, channel=channel, number=last))

    async def recheck(self, channel: str) -> bool:
        """Read again its numbers in doubt: sales known by now are in them. True when some still are."""
        ctx = self._ctx
        if skus := await ctx.store.read(partial(_in_doubt, channel=channel)):
            await self._adopt(channel, [seen async for seen in self._read(channel, skus)])
            return bool(await ctx.store.read(partial(_in_doubt, channel=channel)))
        return False

    async def _read(self, channel: str, skus: Collection[str] | None) -> AsyncIterator[Seen]:
        """What a channel shows, each number with the time of its reading."""
        ctx = self._ctx
        asked_at = ctx.clock.now()
        if ctx.channels[channel].ability.callbacks is not None:
            for item in await ctx.store.read(partial(told, ctx=ctx, channel=channel, skus=skus)):
                yield Seen(item, asked_at, asked_at)
            return
        async for page in ctx.channels[channel].items(skus):
            read_at = ctx.clock.now()
            for item in page:
                yield Seen(item, asked_at, read_at)
            asked_at = read_at

    async def compare(self, channels: Collection[str] | None, skus: Collection[str] | None) -> Plan:
        """Compare what channels show with what they should. Changes nothing; the plan waits to be applied."""
        ctx = self._ctx
        rows: list[Difference] = []
        seen: dict[str, tuple[Seen, ...]] = {}
        unread: dict[str, str] = {}
        warnings: list[str] = []
        for name in sorted(channels if channels is not None else ctx.channels):
            try:
                await self._polls.poll(name)
                seen[name] = tuple([one async for one in self._read(name, skus)])
            except OutsideError as error:
                unread[name] = str(error)
                continue
            found = [one.item for one in seen[name]]
            rows += await self._differences(name, found, skus)
            warnings += _warnings(name, found)
        compared = sum(len(of) for of in seen.values())
        plan = Plan(ctx.new_id(), ctx.clock.now(), compared, tuple(rows), seen, unread, tuple(warnings))
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
        ctx = self._ctx
        now = ctx.clock.now()
        picture = Picture(tx.facts(skus), age_seconds=age_seconds(tx, ctx.assortment, ctx.pulse, now))
        divider = Divider(tx, ctx.assortment, ctx.pulse, picture, now, only_look=True)
        rooms = Rooms(tx, ctx.assortment)
        kept: dict[str, list[ChannelLevel]] = {sku: [] for sku in skus}
        for level in tx.channel_levels(skus):
            kept[level.sku].append(level)
        targets: dict[tuple[str, str], int] = {}
        for sku in skus:
            mode = divider.mode(sku)
            own = divider.targets(sku, mode, kept[sku])
            if picture.levels(sku):
                for item in by_sku[sku]:
                    units = shows(picture, ctx.assortment, name, sku, item.location, mode=mode, own=own)
                    if ctx.assortment.edition(sku) is not None:
                        at = name, item.location
                        known = [each.target for each in kept[sku] if (each.channel, each.location) == at]
                        units = rooms.most(name, sku, units, known)
                    targets[sku, item.location] = units
        if not tx.approved(name) and not tx.held(name):
            return targets, {}
        published = {(level.sku, level.location): level.published for level in tx.channel_levels(skus, name)}
        return targets, published

    async def _adopt(self, channel: str, seen: Sequence[Seen]) -> None:
        """Keep what a channel lists, and what it shows, as the baseline."""
        ctx = self._ctx
        for start in range(0, len(seen), SKUS_AT_ONCE):
            part = seen[start : start + SKUS_AT_ONCE]
            ctx.bell.ring(*await ctx.store.write(partial(take_over, ctx=ctx, channel=channel, seen=part)))

    async def apply(self, plan_id: str) -> Plan | None:
        """Apply a plan: its numbers become the baseline, its differences are pushed, its channels free."""
        plan = self._plans.pop(plan_id, None)
        if plan is None:
            return None
        for channel, seen in sorted(plan.seen.items()):
            await self._adopt(channel, seen)
            await self._ctx.store.write(partial(_pushes_found, channel=channel, now=self._ctx.clock.now()))
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


def take_over(tx: Tx, *, ctx: Context, channel: str, seen: Sequence[Seen]) -> set[str]:
    """Make what a channel shows our baseline, except where we know something newer than the reading."""
    skus = {one.item.sku for one in seen}
    held = {(level.sku, level.location): level for level in tx.channel_levels(skus, channel)}
    known = {level.key.sku for level in tx.levels_of(skus)}
    by_time: dict[tuple[datetime, datetime], list[ChannelItem]] = defaultdict(list)
    problems: dict[tuple[str, str], str] = {}
    for one in seen:
        item, level = one.item, held.get((one.item.sku, one.item.location))
        if item.duplicate:
            _tell_duplicate(tx, ctx, channel, item)
            continue
        if level is not None and (level.push is not None or level.changed_at >= one.asked_at):
            continue
        if level is not None and level.problem:
            tx.drop_dead_letter(channel, f"push:{item.sku}@{item.location}")
        tx.drop_dead_letter(channel, f"sku:{item.sku}")
        cause = problem(item, 0 if item.sku in known else None)
        if cause is not None and cause in BLOCKING and cause is not Cause.NOT_IN_ORG:
            problems[item.sku, item.location] = cause.value
        if (
            level is None
            or level.published != item.shows
            or level.problem != problems.get((item.sku, item.location), "")
        ):
            by_time[one.asked_at, one.read_at].append(item)
    for (asked_at, read_at), items in by_time.items():
        unsure = ctx.channels[channel].ability.callbacks is not None
        tx.put_items(channel, items, problems, asked_at, read_at, unsure=unsure)
    adopted(tx, ctx.assortment, [one.item for one in seen if (one.item.sku, one.item.location) not in held])
    return refresh(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now(), channel=channel)


def told(tx: Tx, *, ctx: Context, channel: str, skus: Collection[str] | None) -> Sequence[ChannelItem]:
    """What a receiver is told of: every SKU that the org has, with what it has confirmed last."""
    every = tx.all_skus()
    wanted = every if skus is None else sorted(set(skus).intersection(every))
    shown = {(level.sku, level.location): level.published for level in tx.channel_levels(wanted, channel)}
    return [
        ChannelItem(sku, location, sku, location, shown.get((sku, location), 0))
        for sku in wanted
        for location in ctx.assortment.channels[channel].locations
    ]


def _tell_duplicate(tx: Tx, ctx: Context, channel: str, item: ChannelItem) -> None:
    tx.dead_letter(
        channel,
        f"sku:{item.sku}",
        f"several items at {channel} carry the SKU {item.sku!r}",
        "give each item its own SKU at the channel, then `sfsync resync`",
        item.item_id,
        ctx.clock.now(),
    )


def _pushes_found(tx: Tx, *, channel: str, now: datetime) -> None:
    """What pushes without an answer did is known now: the numbers have been read."""
    for incident in tx.incidents():
        if incident.kind == PUSH_LOST and incident.key.startswith(f"{channel}:"):
            tx.close_incident(incident.kind, incident.key, now)


def _in_doubt(tx: Tx, *, channel: str) -> Sequence[str]:
    return tx.in_doubt(channel)


def _asked(tx: Tx, *, channel: str, number: int) -> None:
    tx.mark_asked(channel, number)


def _warnings(channel: str, found: Sequence[ChannelItem]) -> list[str]:
    beyond = sorted(item.sku for item in found if item.oversell_allowed)
    if not beyond:
        return []
    named = ", ".join(beyond[:3]) + (" …" if len(beyond) > 3 else "")
    return [
        f"{channel} sells {len(beyond)} items beyond their stock ({named}): set them to stop at zero there"
    ]


def problem(item: ChannelItem, target: int | None) -> Cause | None:
    """Why an item must not be written, or deserves a warning; None when all is well."""
    if item.duplicate:
        return Cause.DUPLICATE_SKU
    if not item.tracked:
        return Cause.UNTRACKED
    if target is None:
        return Cause.NOT_IN_ORG
    return Cause.OVERSELL_ALLOWED if item.oversell_allowed else None
