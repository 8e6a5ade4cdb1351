"""A comparison's reading: the org first, then each channel's listing, page by page; nothing is changed.

What the org has newer than we hold is noted, and what it has no more. Each page of a channel is compared and
committed with the place that stands after it, so that a kill loses a page.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial

from sfsync.domain.budget import Work
from sfsync.domain.resync import Scope
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.ports import OutsideError, Resumable, ResyncRun, Tx

from .comparing import Looking, Seen, newer, not_listed, rows_of
from .context import Context, grouped
from .orders import OrderPoll
from .reconcile import Reconcile
from .resync_keeping import LEVELS_AT_ONCE, ROWS_AT_ONCE, SKUS_AT_ONCE, Keeping


class Reading:
    """Reads and compares what is still to be read of a run."""

    def __init__(self, ctx: Context, polls: OrderPoll, reconcile: Reconcile, kept: Keeping) -> None:
        self._ctx, self._polls, self._reconcile, self._kept = ctx, polls, reconcile, kept

    async def read(self, run: ResyncRun) -> ResyncRun:
        """All of it. Raises `ReplacedError` when another run has taken its place."""
        run = await self._read_org(run)
        for name, of in run.about["channels"].items():
            if not of["done"]:
                run = await self._read_channel(run, name)
        return run

    async def _read_org(self, run: ResyncRun) -> ResyncRun:
        """Note what the org has newer than we hold; where it cannot be read, our own levels must do."""
        ctx, scope = self._ctx, run.scope
        if run.about["org"]["done"]:
            return run
        read, skus, why = 0, run.about["skus"], ""
        there = _There(ctx.clock.now())
        try:
            async for page, asked_at in self._org_pages(scope):
                read += len(page)
                there.add(page)
                if scope.changed_since is not None:
                    skus = sorted({*(skus or ()), *(level.key.sku for level in page)})
                for start in range(0, len(page), LEVELS_AT_ONCE):
                    part = [(level, asked_at) for level in page[start : start + LEVELS_AT_ONCE]]
                    await self._note(run, part)
                run = await self._kept.keep(run.told(org={**run.about["org"], "levels": read}, skus=skus))
            await self._note_gone(run, there)
        except OutsideError as error:
            why = str(error)
            ctx.warn("the org's levels were not read", error, next="compared with those that we hold")
        if scope.changed_since is not None:
            skus = await ctx.store.read(partial(_with_changed, since=scope.changed_since, skus=skus))
        found = await ctx.store.write(partial(self._still_newer, run_id=run.id))
        gone = await ctx.store.read(lambda tx: [str(level.key) for level in tx.resync_gone(run.id)])
        follow = await ctx.store.read(partial(self._following, run=run))
        org = {"levels": read, "newer": found, "done": True, "unread": why}
        org["follow"] = {name: [len(skus), *skus[:3]] for name, skus in follow.items()}
        org |= {"gone": len(gone), "gone_named": gone[:3]}
        return await self._kept.keep(run.told(org=org, skus=skus))

    async def _org_pages(self, scope: Scope) -> AsyncIterator[tuple[Sequence[StockLevel], datetime]]:
        org, clock = self._ctx.org, self._ctx.clock
        if not scope.org:
            return
        asked_at = clock.now()
        if scope.skus:
            for skus in grouped(sorted(scope.skus), SKUS_AT_ONCE):
                yield await org.levels_of_skus(skus), asked_at
        elif scope.changed_since is not None:
            async for moved in org.levels_moved_since(scope.changed_since):
                yield moved.levels, asked_at
        else:
            async for page in org.export():
                yield page, asked_at

    async def _note(self, run: ResyncRun, levels: Sequence[tuple[StockLevel, datetime]]) -> None:
        asked = [each for each in levels if self._bears(run.scope, each[0].key)]
        found = await self._ctx.store.read(lambda tx: newer(tx, asked))
        if found:
            await self._kept.write(run, lambda tx: tx.put_resync_levels(run.id, found))

    def _bears(self, scope: Scope, key: LevelKey) -> bool:
        """Whether a level is one of those asked for, or one of what a number asked for is made up of.

        A comparison of Dubai alone would raise London's numbers otherwise, of which its plan says nothing.
        """
        if not (scope.channels or scope.locations):
            return True
        if key.location in scope.locations and not scope.channels:
            return True
        return any(key.location in sources for _, _, sources in self._places(scope, key.sku, inside=True))

    def _places(self, scope: Scope, sku: str, *, inside: bool) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """The channels' locations that a scope takes of a SKU, or leaves out, with what they sell from."""
        assortment = self._ctx.assortment
        for channel in self._ctx.channels:
            for location, sources in assortment.sells_from(channel, sku).items():
                named = not scope.locations or bool({location, *sources} & set(scope.locations))
                if ((not scope.channels or channel in scope.channels) and named) == inside:
                    yield channel, location, sources

    def _following(self, tx: Tx, *, run: ResyncRun) -> dict[str, list[str]]:
        """Channel -> the SKUs of its numbers that were not asked for and change with the levels noted."""
        scope, found = run.scope, defaultdict[str, list[str]](list)
        if not (scope.channels or scope.locations) or scope.without_levels:
            return {}
        moved: dict[str, set[str]] = defaultdict(set)
        for level, _ in tx.resync_levels(run.id, limit=tx.count_resync_levels(run.id)):
            moved[level.key.sku].add(level.key.location)
        for skus in grouped(sorted(moved), SKUS_AT_ONCE):
            kept = {(each.channel, each.sku, each.location): each.target for each in tx.channel_levels(skus)}
            looking = {
                name: Looking(tx, self._ctx, name, skus, run.id, whole=False) for name in self._ctx.channels
            }
            for sku in skus:
                for channel, location, _ in self._places(scope, sku, inside=False):
                    was = kept.get((channel, sku, location))
                    if was is not None and looking[channel].target(sku, location) != was:
                        found[channel].append(sku)
        return dict(found)

    async def _note_gone(self, run: ResyncRun, there: _There) -> None:
        """Note the levels that we hold and the org does not have any more: no event told of it.

        Only a reading that would have shown them says so, and each is asked for once more by its key: it may
        have been made, or moved, while the others were read. A comparison of some channels or locations
        leaves them to a whole one: what others show would fall with them, of which its plan says nothing.
        """
        ctx, scope = self._ctx, run.scope
        if scope.locations or (scope.channels and set(scope.channels) != set(ctx.channels)):
            return
        if not scope.org or (scope.changed_since is not None and not scope.skus):
            return
        missing = await ctx.store.read(partial(_missing, there=there, skus=scope.skus))
        for start in range(0, len(missing), ROWS_AT_ONCE):
            part = missing[start : start + ROWS_AT_ONCE]
            read = await ctx.org.read_levels(keys=[level.key for level in part], work=Work.BULK)
            back = {level.key for level in read}
            gone = [level for level in part if level.key not in back]
            if gone:
                await self._kept.write(run, partial(_keep_gone, run_id=run.id, gone=gone, at=there.since))

    @staticmethod
    def _still_newer(tx: Tx, *, run_id: str) -> int:
        """Drop what an event has told meanwhile; how many levels are left."""
        found = tx.resync_levels(run_id, limit=tx.count_resync_levels(run_id))
        left = {level.key for level, _ in newer(tx, found)}
        tx.drop_resync_levels(run_id, [level for level, _ in found if level.key not in left])
        return len(left)

    async def _read_channel(self, run: ResyncRun, name: str) -> ResyncRun:
        """Read and compare a channel from where it stands; one that cannot be read is told."""
        ctx, why = self._ctx, ""
        try:
            await self._polls.poll(name)
            place = await ctx.store.read(lambda tx: tx.resync_place(run.id, name))
            if place is not None and not self._resumes(run, name):
                run = await self._anew(run, name)
                place = None
            total = await ctx.store.read(lambda tx: tx.count_channel_levels(name))
            run = await self._of_channel(run, name, total=total)
            async for stands_at, page in self._pages(run, name, place):
                run = await self._page(run, name, page, stands_at)
            await self._kept.write(run, partial(self._add_not_listed, run=run, name=name))
        except OutsideError as error:
            why = str(error)
        compared = run.about["compared"] + run.about["channels"][name]["compared"]
        return await self._of_channel(run.told(compared=compared), name, done=True, unread=why)

    async def _anew(self, run: ResyncRun, name: str) -> ResyncRun:
        await self._kept.write(run, lambda tx: tx.drop_resync_pages(run.id, name))
        return await self._of_channel(run, name, read=0, compared=0, others=0, oversell=[])

    async def _of_channel(self, run: ResyncRun, name: str, **more: object) -> ResyncRun:
        channels = run.about["channels"]
        return await self._kept.keep(run.told(channels={**channels, name: channels[name] | more}))

    async def _page(self, run: ResyncRun, name: str, page: Sequence[Seen], place: str) -> ResyncRun:
        """Compare a page, and commit what was found together with the place after it."""
        ctx, of = self._ctx, run.about["channels"][name]
        found = await ctx.store.read(
            partial(rows_of, ctx=ctx, channel=name, page=page, scope=run.scope, run_id=run.id)
        )
        beyond = {*of["oversell"], *(one.item.sku for one in page if one.item.oversell_allowed)}
        of = of | {
            "read": of["read"] + len(page),
            "compared": of["compared"] + found.looked_at,
            "others": of["others"] + found.others,
            "oversell": sorted(beyond)[:SKUS_AT_ONCE],
        }
        run = run.told(channels={**run.about["channels"], name: of})

        def commit(tx: Tx) -> None:
            tx.put_resync_rows(run.id, found.rows)
            tx.add_resync_page(run.id, name, place, {one.item.sku for one in page})
            tx.put_resync(run)

        await self._kept.write(run, commit)
        self._kept.ring()
        return run

    async def _pages(
        self, run: ResyncRun, name: str, place: str | None
    ) -> AsyncIterator[tuple[str, Sequence[Seen]]]:
        """What the channel shows, each page with the place after it; "" where it knows no places."""
        clock, channel = self._ctx.clock, self._ctx.channels[name]
        if not (self._resumes(run, name) and isinstance(channel, Resumable)):
            async for page in self._reconcile.read(name, run.about["skus"]):
                for start in range(0, len(page), SKUS_AT_ONCE):
                    yield "", page[start : start + SKUS_AT_ONCE]
            return
        asked_at = clock.now()  # of all of it: a channel may read it all at once, and give it in pages
        async for stands_at, items in channel.items_from(place):
            read_at = clock.now()
            yield stands_at, [Seen(item, asked_at, read_at) for item in items]

    def _resumes(self, run: ResyncRun, name: str) -> bool:
        channel = self._ctx.channels[name]
        return (
            run.about["skus"] is None and channel.ability.callbacks is None and isinstance(channel, Resumable)
        )

    def _add_not_listed(self, tx: Tx, *, run: ResyncRun, name: str) -> None:
        listed = tx.resync_listed(run.id, name)
        skus = run.about["skus"]
        rows = not_listed(tx, ctx=self._ctx, channel=name, listed=listed, skus=skus, scope=run.scope)
        for start in range(0, len(rows), LEVELS_AT_ONCE):
            tx.put_resync_rows(run.id, rows[start : start + LEVELS_AT_ONCE])


class _There:
    """Which records a reading of the org has shown, and since when it goes. Some bytes for each of them."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._hashes = array("q")

    def add(self, levels: Collection[StockLevel]) -> None:
        """They were read."""
        self._hashes.extend(hash(level.record_id) for level in levels)

    def seen(self) -> frozenset[int]:
        """Hashes of their record ids: should two be equal, a level that is gone is found the next time."""
        return frozenset(self._hashes)


def _missing(tx: Tx, *, there: _There, skus: Collection[str]) -> list[StockLevel]:
    """Levels with units that we held before the reading began, and that it has not shown."""
    seen = there.seen()
    if skus:
        held = [each for each in tx.levels_of(skus) if hash(each.record_id) not in seen]
    else:
        held = []
        for place in tx.level_sums():
            ids = [each.record_id for each in tx.held_at(place) if hash(each.record_id) not in seen]
            for start in range(0, len(ids), LEVELS_AT_ONCE):
                held += tx.levels_by_record(ids[start : start + LEVELS_AT_ONCE])
    units = [level for level in held if level.on_hand or level.reserved]
    kept = tx.levels([level.key for level in units])
    return [level for level in units if kept[level.key][1] < there.since]


def _keep_gone(tx: Tx, *, run_id: str, gone: Sequence[StockLevel], at: datetime) -> None:
    tx.put_resync_levels(run_id, [(level, at) for level in gone], gone=True)


def _with_changed(tx: Tx, *, since: datetime, skus: Collection[str] | None) -> list[str]:
    return sorted({*(skus or ()), *tx.changed_skus(since)})
