"""What a page of a channel's listing reveals: each number compared with what it should be, with its cause.

Nothing is changed here. Levels that the org has newer than we hold them (a comparison has found them) count
as if they were ours already, so that a plan tells what will be right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sfsync.domain.letters import BEYOND, item_keys
from sfsync.domain.resync import BLOCKING, Cause, Difference, Evidence, Scope, cause
from sfsync.domain.stock import Freshness, LevelKey, StockLevel, compare
from sfsync.domain.values import replace
from sfsync.ports import ChannelItem, ChannelLevel, PlannedRow, Tx

from .age import age_seconds
from .allocations import Divider
from .context import Context
from .picture import Picture
from .rooms import Rooms
from .shelf import goes_on, shows


@dataclass(frozen=True, slots=True)
class Seen:
    """A number read at a channel, and between which moments it was true.

    It is taken over only where nothing of ours has changed since the reading began: whatever we confirmed,
    recorded or doubted meanwhile is newer than the reading.
    """

    item: ChannelItem
    asked_at: datetime  # when its page was asked for, or before
    read_at: datetime  # when its page had arrived


def problem(item: ChannelItem, target: int | None) -> Cause | None:
    """Why an item must not be written, or deserves a warning; None when all is well."""
    if item.duplicate:
        return Cause.DUPLICATE_SKU
    if not item.tracked:
        return Cause.UNTRACKED
    if target is None:
        return Cause.NOT_IN_ORG
    return Cause.OVERSELL_ALLOWED if item.oversell_allowed else None


def newer(tx: Tx, read: Collection[tuple[StockLevel, datetime]]) -> list[tuple[StockLevel, datetime]]:
    """Those of the levels, read from the org at a time, that are other ones than we hold."""
    held = tx.levels([level.key for level, _ in read])
    found = []
    for level, asked_at in read:
        before, stored_at = held.get(level.key, (None, None))
        after = stored_at is not None and asked_at > stored_at
        if compare(before, level, asked_after_held=after) in (Freshness.NEWER, Freshness.REWRITTEN):
            found.append((level, asked_at))
    return found


def place_of(key: LevelKey) -> str:
    """A level's location, with its unit where it has one: as drift names it."""
    return key.location if key.unit is None else f"{key.location}|{key.unit}"


class Looking:
    """What some SKUs should show at a channel, and what is known of them there."""

    def __init__(
        self,
        tx: Tx,
        ctx: Context,
        channel: str,
        skus: Collection[str],
        run_id: str | None,
        *,
        whole: bool,
    ) -> None:
        assortment, now = ctx.assortment, ctx.clock.now()
        self._assortment, self._channel = assortment, channel
        facts = tx.facts(skus)
        levels = {level.key: level for level in facts.levels}
        found = tx.resync_levels(run_id, skus=skus) if run_id is not None else ()
        self._moved: dict[LevelKey, StockLevel] = {level.key: level for level, _ in newer(tx, found)}
        for gone in tx.resync_gone(run_id, skus=skus) if run_id is not None else ():
            if levels.get(gone.key) == gone:  # it counts as empty, unless something has been heard of it
                self._moved[gone.key] = replace(gone, on_hand=0, reserved=0)
        facts = replace(facts, levels=[*(levels | self._moved).values()])
        self._picture = Picture(facts, assortment, age_seconds=age_seconds(tx, assortment, ctx.pulse, now))
        self._divider = Divider(tx, assortment, ctx.pulse, self._picture, now, only_look=True)
        self._rooms = Rooms(tx, assortment)
        self._kept: dict[str, list[ChannelLevel]] = defaultdict(list)
        for level in tx.channel_levels(skus):
            self._kept[level.sku].append(level)
        self._approved = tx.approved(channel)
        self._counting = tx.counting_skus(skus)
        self._undecided = tx.undecided(channel)
        self._lower = tx.drifted_since(channel, skus)
        places = assortment.channels[channel].locations
        keys = [key for sku in skus for place in places for key in item_keys(sku, place)]
        told = tx.with_dead_letter([*dict.fromkeys(keys)])
        self._letters = {key for source, key in told if source == channel}
        self._tx = tx
        self._trail = ctx.pulse.trail
        self._tells_orders = ctx.channels[channel].ability.tells_orders
        self._now = now
        # Changed settings that wait for a person are told, and let go, by a comparison of the whole channel.
        self._held = not whole and channel in assortment.held
        self._asks = self._approved and channel in assortment.held
        hold = tx.held(channel)
        self._moved_away = hold is not None and hold.moved

    def level(self, sku: str, location: str) -> ChannelLevel | None:
        """What we keep of a number at the channel."""
        mine = (self._channel, location)
        return next((each for each in self._kept[sku] if (each.channel, each.location) == mine), None)

    def divided(self, sku: str) -> bool:
        """True when each channel has its own units of it."""
        return self._assortment.division(sku, self._divider.scarce(sku)) is not None

    def target(self, sku: str, location: str) -> int | None:
        """What a number should be; None where the org has no level of the SKU."""
        if not self._picture.levels(sku):
            return None
        scarce, kept = self._divider.scarce(sku), self._kept[sku]
        own = self._divider.targets(sku, scarce, kept)
        units = shows(self._picture, self._assortment, self._channel, sku, location, scarce=scarce, own=own)
        if self._held and (level := self.level(sku, location)) is not None:
            return self._meanwhile(level, units)
        if self._assortment.edition(sku) is None:
            return units
        known = [each.target for each in kept if (each.channel, each.location) == (self._channel, location)]
        return self._rooms.most(self._channel, sku, units, known)

    def _meanwhile(self, level: ChannelLevel, target: int | None) -> int | None:
        """What a number should be until a person has looked at changed settings; `target` is by those."""
        return goes_on(self._picture, self._assortment, level, target)

    def row(self, one: Seen) -> PlannedRow | None:
        """The row of a plan that a number read makes; None when all is well."""
        item = one.item
        held = self.level(item.sku, item.location)
        if held is not None and held.changed_at >= one.asked_at and not item.duplicate:
            return None  # we have changed it since it was asked for: the number read is old news
        target, level = self.target(item.sku, item.location), held
        published = level.published if level is not None and self._approved else None
        if self._trail is not None and level is not None:
            self._trail.read_back(
                self._channel,
                item.sku,
                item.location,
                item.shows,
                level.published,
                one.asked_at,
                one.read_at,
            )
        blocked = problem(item, target)
        why: Cause | None
        if target is None or blocked in BLOCKING:
            why = blocked if blocked in BLOCKING else Cause.NOT_IN_ORG
        else:
            why = cause(self._evidence(one, target, published, level))
        if why is None:
            if not self._to_take_over(item, level, blocked):
                return None
            why = Cause.EVEN
        found = Difference(self._channel, item.sku, item.location, item.shows, target, why)
        return PlannedRow(found, item, published, one.asked_at, one.read_at)

    def _evidence(
        self, one: Seen, target: int, published: int | None, level: ChannelLevel | None
    ) -> Evidence:
        sku, location = one.item.sku, one.item.location
        sources = self._assortment.sources(self._channel, location, sku)
        since = self._lower.get((sku, location))
        return Evidence(
            one.item.shows,
            target,
            published,
            problem="" if level is None else level.problem,
            held=self._moved_away
            or (self._asks and level is not None and self._meanwhile(level, target) != target),
            org_moved=any(key.sku == sku and key.location in sources for key in self._moved),
            counting=sku in self._counting,
            orders_waiting=self._undecided,
            tells_orders=self._tells_orders,
            lower_since=None if since is None else self._now - since,
            orders_lag=self._assortment.orders_lag(self._channel),
        )

    def _to_take_over(self, item: ChannelItem, level: ChannelLevel | None, blocked: Cause | None) -> bool:
        """True when we know something else of an item whose number is right."""
        if level is None or level.published != item.shows or level.problem:
            return True
        told = f"{BEYOND}{item.sku}@{item.location}" if blocked is Cause.OVERSELL_ALLOWED else ""
        letters = self._letters.intersection(item_keys(item.sku, item.location))
        if letters - {told}:
            return True  # it holds no more
        return bool(told) and not letters and not self._tx.dropped_for_good(self._channel, told)


@dataclass(frozen=True, slots=True)
class Compared:
    """What a page of a listing makes: the rows that count, of how many numbers."""

    rows: list[PlannedRow]
    looked_at: int  # numbers
    others: int  # that differ and do not count: of another location, or of another cause


def rows_of(
    tx: Tx, *, ctx: Context, channel: str, page: Sequence[Seen], scope: Scope, run_id: str | None
) -> Compared:
    """What a page makes, of what was asked for."""
    looking = Looking(
        tx, ctx, channel, {one.item.sku for one in page}, run_id, whole=scope.by_changed_settings
    )
    found, looked_at, others = [], 0, 0
    for one in page:
        row = looking.row(one)
        sources = ctx.assortment.sources(channel, one.item.location, one.item.sku)
        looked_at += scope.looks_at(one.item.location, sources)
        if row is None:
            continue
        if scope.takes(one.item.location, sources, row.difference.cause):
            found.append(row)
        else:
            others += row.difference.cause is not Cause.EVEN
    return Compared(found, looked_at, others)


def not_listed(
    tx: Tx, *, ctx: Context, channel: str, listed: Collection[str], skus: Collection[str] | None, scope: Scope
) -> list[PlannedRow]:
    """A row for each SKU of the org that a channel does not list."""
    now, location = ctx.clock.now(), ctx.assortment.channels[channel].first_location
    if not scope.takes(location, ctx.assortment.sources(channel, location, None), Cause.NOT_LISTED):
        return []
    known = tx.all_skus()
    wanted = known if skus is None else sorted(set(known) & set(skus))
    return [
        PlannedRow(Difference(channel, sku, location, None, None, Cause.NOT_LISTED), None, None, now, now)
        for sku in wanted
        if sku not in listed
    ]
