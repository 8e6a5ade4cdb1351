"""The org read whole, and what channels show taken over as the baseline of what we write.

A number read at a channel is taken over as the new baseline and the difference to the target goes through the
same relay as every other change. Orders are polled before the number is read, so that a sale explains itself
first; a sale after the reading survives, because the relay sends changes, not numbers. What is compared on a
person's wish, and how it is planned, stands in `resync`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from functools import partial

from sfsync.domain.fold import LedgerRow
from sfsync.domain.letters import BEYOND, ITEM, UNREADABLE, UNTRACKED, VERDICTS, cause_of, item_keys
from sfsync.domain.products import Product
from sfsync.domain.resync import BLOCKING, Cause, Scope
from sfsync.domain.stock import LevelKey, StockLevel, shown, unfit
from sfsync.domain.unheard import What
from sfsync.ports import ChannelItem, Hole, OutsideError, Tx

from . import allocations
from .comparing import Seen, problem, rows_of
from .context import Context
from .intake import closed_by_reading_all
from .levels import apply_levels
from .moving import weighed
from .orders import OrderPoll
from .policies import Policies
from .products import learn_listing, of_listing
from .relearning import relearn
from .shelf import refresh

SKUS_AT_ONCE = 500
ALL_READ = "every stock level was read"
# what a person must mend at an item: the beginning of its letter's key, and what the letter says
ITEMS = {
    Cause.UNTRACKED: (UNTRACKED, "{channel} keeps no number of {sku!r}"),
    Cause.OVERSELL_ALLOWED: (BEYOND, "{channel} sells {sku!r} beyond its stock"),
}
RESTORE = "restore its field Folded__c from a backup of the org, then start sfsync with a new store"


class Reconcile:
    """Reads both sides, and takes over what they are."""

    def __init__(self, ctx: Context, polls: OrderPoll) -> None:
        self._ctx, self._polls = ctx, polls

    async def snapshot(self) -> int:
        """Learn who holds units, then read every stock level of the org; returns how many."""
        ctx, count = self._ctx, 0
        await relearn(ctx)
        holes = await ctx.store.read(partial(closed_by_reading_all, ctx=ctx))
        pages = ctx.org.snapshot()
        asked_at = ctx.clock.now()
        async for page in pages:
            count += len(page)

            def commit(tx: Tx, page: Sequence[StockLevel] = page, at: datetime = asked_at) -> set[str]:
                return apply_levels(tx, ctx, page, at)

            ctx.bell.ring(*await ctx.store.write(commit))
        await self._openings()
        await ctx.store.write(partial(_close, holes=holes, now=ctx.clock.now()))
        for hole in holes:
            ctx.log.info("hole closed", source=hole.source, reason=hole.reason, found=ALL_READ)
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

    async def first_start(self, channel: str) -> tuple[int, int]:
        """Take the baseline of a channel that was never compared: what it lists and shows, page by page.

        Returns how many numbers it shows, and how many of them are not what they should be.
        """
        ctx, numbers, differences = self._ctx, 0, 0
        last = await ctx.store.read(lambda tx: tx.last_sku())  # what is listed whole is asked for whole
        await self._polls.poll(channel)
        async for page in self.read(channel, None):
            compared = await ctx.store.read(
                partial(rows_of, ctx=ctx, channel=channel, page=page, scope=Scope(), run_id=None)
            )
            found = [row.difference for row in compared.rows if row.difference.cause is not Cause.EVEN]
            numbers, differences = numbers + len(page), differences + sum(each.applicable for each in found)
            await self._adopt(channel, page)
        await ctx.store.write(partial(_asked, channel=channel, number=last))
        if await weighed(ctx, channel, differences, numbers):
            await self.approve(channel)
        return numbers, differences

    async def learn(self, channel: str) -> None:
        """Find out whether a channel lists the SKUs it was never asked for, and take over what it shows."""
        ctx = self._ctx
        while True:
            skus, last = await ctx.store.read(lambda tx: tx.unasked_skus(channel, SKUS_AT_ONCE))
            if not skus:
                return
            async for page in self.read(channel, skus):
                await self._adopt(channel, page)
            await ctx.store.write(partial(_asked, channel=channel, number=last))

    async def recheck(self, channel: str) -> bool:
        """Read again its numbers in doubt: sales known by now are in them. True when some still are.

        A channel that compares each number has said that one is another than we believed. The sale that
        explains it is read from its orders first, and again after the reading: a number that has a sale in it
        which nobody knows of would be raised by that unit.
        """
        ctx, ability = self._ctx, self._ctx.channels[channel].ability
        skus = await ctx.store.read(partial(_in_doubt, channel=channel))
        if not skus:
            return False
        if ability.compare_and_set and not ability.relative and ability.tells_orders:
            await self._polls.poll(channel)
            pages = [page async for page in self.read(channel, skus)]
            await self._polls.poll(channel)
            for page in pages:
                await self._adopt(channel, page)
        else:
            async for page in self.read(channel, skus):
                await self._adopt(channel, page)
        return bool(await ctx.store.read(partial(_in_doubt, channel=channel)))

    async def read(self, channel: str, skus: Collection[str] | None) -> AsyncIterator[Sequence[Seen]]:
        """What a channel shows, in pages, each number with the time of its reading."""
        ctx = self._ctx
        asked_at = ctx.clock.now()
        if ctx.channels[channel].ability.callbacks is not None:
            found = await ctx.store.read(partial(told, ctx=ctx, channel=channel, skus=skus))
            for start in range(0, len(found), SKUS_AT_ONCE):
                yield [Seen(item, asked_at, asked_at) for item in found[start : start + SKUS_AT_ONCE]]
            return
        try:
            async for page in self._listing(channel, skus, asked_at):
                yield page
        except OutsideError as error:
            ctx.pulse.not_told(channel, What.NUMBERS, error, since=asked_at, now=ctx.clock.now())
            raise
        ctx.pulse.unheard.pop((channel, What.NUMBERS), None)

    async def _listing(
        self, channel: str, skus: Collection[str] | None, asked_at: datetime
    ) -> AsyncIterator[Sequence[Seen]]:
        ctx = self._ctx
        said: dict[str, Product] = {}  # by SKU, and of nothing else: all that a channel lists is much to hold
        async for page in ctx.channels[channel].items(skus):
            read_at = ctx.clock.now()
            page = await self._with_skus(channel, page)
            yield [Seen(item, asked_at, read_at) for item in page]
            said.update((product.sku, product) for product in of_listing(ctx, channel, page))
            if skus is not None:  # a whole listing may be read all at once, and given in pages
                asked_at = read_at
        await learn_listing(ctx, channel, said.values())

    async def _with_skus(self, channel: str, page: Sequence[ChannelItem]) -> Sequence[ChannelItem]:
        """The items whose SKU can be one; the others are told, and left alone."""
        bad = {item.sku: what for item in page if (what := unfit(item.sku))}
        if not bad:
            return page
        ctx = self._ctx

        def tell(tx: Tx) -> None:
            for sku, what in bad.items():
                reason = f"an item at {channel} carries the SKU {sku!r}, which contains {what}"
                advice = "type its SKU anew at the channel, then `sfsync resync`"
                tx.dead_letter(channel, f"{ITEM}{shown(sku)}", reason, advice, "", ctx.clock.now())

        await ctx.store.write(tell)
        return [item for item in page if item.sku not in bad]

    async def _adopt(self, channel: str, seen: Sequence[Seen]) -> None:
        """Keep what a channel lists, and what it shows, as the baseline."""
        ctx = self._ctx
        for start in range(0, len(seen), SKUS_AT_ONCE):
            part = seen[start : start + SKUS_AT_ONCE]
            ctx.bell.ring(*await ctx.store.write(partial(take_over, ctx=ctx, channel=channel, seen=part)))

    async def approve(self, channel: str, *, whole: bool = True) -> None:
        """A person has seen the first plan: the channel may be written to.

        `whole`: of all of it, so that changed settings which have waited for that hold from now on.
        """
        now = self._ctx.clock.now()

        def commit(tx: Tx) -> bool:
            hold = tx.held(channel)
            if hold is not None and hold.moved and not whole:
                return False  # the rest of what it shows at its new place has not been looked at
            tx.approve(channel, now)
            return True

        if not await self._ctx.store.write(commit):
            return
        if whole:
            await Policies(self._ctx).free(channel)
        waited = self._ctx.pulse.due_since
        for key in [key for key in waited if key[0] == channel]:
            waited[key] = now.timestamp()  # until now it waited for a person, not for us
        self._ctx.bell.ring(f"relay:{channel}")


def take_over(tx: Tx, *, ctx: Context, channel: str, seen: Sequence[Seen]) -> set[str]:
    """Make what a channel shows our baseline, except where we know something newer than the reading."""
    skus = {one.item.sku for one in seen}
    held = {(level.sku, level.location): level for level in tx.channel_levels(skus, channel)}
    known = {level.key.sku for level in tx.levels_of(skus)}
    lettered = tx.with_dead_letter(
        [key for one in seen for key in item_keys(one.item.sku, one.item.location)]
    )
    letters = {key for source, key in lettered if source == channel}
    by_time: dict[tuple[datetime, datetime], list[ChannelItem]] = defaultdict(list)
    problems: dict[tuple[str, str], str] = {}
    for one in seen:
        item, level = one.item, held.get((one.item.sku, one.item.location))
        if item.duplicate:
            _tell_duplicate(tx, ctx, channel, item)
            continue
        if level is not None and (level.push is not None or level.changed_at >= one.asked_at):
            continue
        cause = problem(item, 0 if item.sku in known else None)
        _tell_item(tx, ctx, channel, item, cause, letters)
        if cause is not None and cause in BLOCKING and cause is not Cause.NOT_IN_ORG:
            problems[item.sku, item.location] = cause.value
        if (
            level is None
            or level.published != item.shows
            or (level.item_id, level.location_id) != (item.item_id, item.location_id)
            or level.problem != problems.get((item.sku, item.location), "")
        ):
            by_time[one.asked_at, one.read_at].append(item)
    shows = {(item.sku, item.location): item.shows for items in by_time.values() for item in items}
    allocations.read(tx, ctx, shows, channel)
    for (asked_at, read_at), items in by_time.items():
        unsure = ctx.channels[channel].ability.callbacks is not None
        tx.put_items(channel, items, problems, asked_at, read_at, unsure=unsure)
    new = [one.item for one in seen if (one.item.sku, one.item.location) not in held]
    allocations.adopted(tx, ctx.assortment, new, channel)
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


def _tell_item(
    tx: Tx, ctx: Context, channel: str, item: ChannelItem, cause: Cause | None, letters: Collection[str]
) -> None:
    """Take the letters that hold no more off the list, and put on it what a person must mend there."""
    kind = ITEMS.get(cause) if cause is not None else None
    wanted = "" if kind is None else f"{kind[0]}{item.sku}@{item.location}"
    for key in item_keys(item.sku, item.location):
        if key != wanted and key in letters:
            tx.drop_dead_letter(channel, key)
    if kind is None or wanted in letters or tx.dropped_for_good(channel, wanted):
        return
    at = "" if len(ctx.assortment.channels[channel].locations) == 1 else f" at {item.location}"
    reason = kind[1].format(channel=channel, sku=item.sku) + at
    advice = VERDICTS[cause_of(channel, wanted, reason)].advice
    tx.dead_letter(channel, wanted, reason, advice, item.item_id, ctx.clock.now())


def _close(tx: Tx, *, holes: Sequence[Hole], now: datetime) -> None:
    for hole in holes:
        tx.close_hole(hole.id, now, ALL_READ)


def _in_doubt(tx: Tx, *, channel: str) -> Sequence[str]:
    return tx.in_doubt(channel)


def _asked(tx: Tx, *, channel: str, number: int) -> None:
    tx.mark_asked(channel, number)
