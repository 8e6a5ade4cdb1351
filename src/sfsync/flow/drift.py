"""Cheap checks all the time: are org and channels still what we hold?

The org by sums: one call tells for every location whether all its levels are as we hold them; only where a
sum differs are its levels halved until few are left to read. The channels by sample: some SKUs in turn, and
those that differed before, because what a channel has confirmed is not yet what it shows. What is found is
kept with its cause and told; it is put right by a person, with `sfsync drift --apply`. Only a ledger that has
gone back, which no event tells of, is taken over at once, as wherever it is met. All of it is bulk work
within the org's calls, and leaves a channel's points for its sales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from sfsync.domain.drift import Drift, Held, Pace, Range, Sums, differing
from sfsync.domain.resync import Cause, code_of
from sfsync.domain.stock import StockLevel
from sfsync.ports import LevelHint, OutsideError, Tx

from .comparing import Looking, Seen, newer, place_of
from .context import Context, unread
from .hints import Heard, Hints, unexplained
from .levels import apply_levels
from .orders import OrderPoll
from .reconcile import Reconcile

KEPT_DAYS = 30
MOST_TOLD = 1_000
HINTS_SECONDS = 15.0  # between two looks at what channels have told of their numbers
WHOLE_SECONDS = 5.0  # between two looks whether coverage is whole
AGAIN = 50  # SKUs that differed before, read again in one look
_TOLD = frozenset({Cause.ORDER_UNSEEN, Cause.MANUAL_EDIT})


@dataclass(slots=True)
class Checked:
    """What the last look has looked at; lost at a restart."""

    org_at: datetime | None = None
    org_calls: int = 0
    org_error: str = ""
    channel_at: dict[str, datetime] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)  # of the channel's, since the start
    channel_error: dict[str, str] = field(default_factory=dict)


class _Narrowing:
    """The calls of one look, and the levels that it has found to be other ones than ours."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.found: list[tuple[StockLevel, datetime]] = []
        self.gone: list[str] = []  # record ids that we hold and the org does not have


class DriftWatch:
    """Looks again and again."""

    def __init__(
        self, ctx: Context, polls: OrderPoll, reconcile: Reconcile, pace: Pace | None = None
    ) -> None:
        self._ctx, self._polls, self._reconcile = ctx, polls, reconcile
        self._pace = pace or Pace()
        self._after: dict[str, str] = {}  # channel -> the last SKU that was read
        self._explained: dict[str, tuple[Sums, Sums]] = {}  # location -> sums of which no level differs
        self._hints = Hints()
        self.checked = Checked()

    def hear(self, channel: str, hint: LevelHint) -> None:
        """A channel has told a number: it is looked at when what explains it has had time to arrive."""
        if self._pace.every_seconds:
            self._hints.take(channel, hint, self._ctx.clock.now())

    async def follow(self) -> None:
        """Until cancelled: look at the numbers that channels have told."""
        while self._pace.every_seconds:
            await self._ctx.clock.sleep(HINTS_SECONDS)
            if self._hints:
                await self.look_at_hints()

    async def look_at_hints(self) -> int:
        """Read the numbers told that nothing explains; how many were read. A failure is tried again."""
        ctx, count = self._ctx, 0
        for name in ctx.channels:
            now = ctx.clock.now()
            heard = self._hints.rested(name, now - self._pace.settle, AGAIN)
            if not heard:
                continue
            skus, dealt = await ctx.store.read(partial(self._unexplained, name=name, heard=heard, now=now))
            try:
                count += await self._read(name, skus)
            except OutsideError as error:
                ctx.warn("a number that a channel told not looked at", error, of=name)
                continue
            self._hints.done(name, dealt)
        return count

    def _unexplained(
        self, tx: Tx, *, name: str, heard: Sequence[Heard], now: datetime
    ) -> tuple[list[str], list[Heard]]:
        if not tx.approved(name):
            return [], list(heard)
        found = tx.levels_of_items(name, {one.hint.item_id for one in heard})
        levels = {(level.item_id, level.location_id): level for level in found}
        return unexplained(heard, levels, now, self._pace.settle)

    async def run(self) -> None:
        """Until cancelled. The first look comes soon, so that who is restarted often is looked at too."""
        every = self._pace.every_seconds
        if not every:
            return
        await self._until_whole(every)
        # Many that are started at once do not look at once: the moment of the start is chance enough.
        await self._ctx.clock.sleep(min(every, self._pace.soon_seconds * (1 + self._share())))
        while True:
            await self.look()
            await self._ctx.clock.sleep(every)

    async def _until_whole(self, at_most_seconds: float) -> None:
        """Wait until nothing is unknown that is being found out anyway; not for longer than a look's turn."""
        waited = 0.0
        while waited < at_most_seconds and await self._ctx.store.read(lambda tx: bool(tx.open_holes())):
            await self._ctx.clock.sleep(WHOLE_SECONDS)
            waited += WHOLE_SECONDS

    def _share(self) -> float:
        """A number from 0 to 1, another at each start."""
        return self._ctx.pulse.started_at.microsecond / 1_000_000

    async def look(self) -> None:
        """One look at the org and at each channel; one that does not answer keeps nobody else from it."""
        ctx, checked = self._ctx, self.checked
        try:
            await self.look_at_org()
            checked.org_error = ""
        except OutsideError as error:
            checked.org_error = str(error)
            ctx.warn("drift not looked for", error, of="org")
        for name in ctx.channels:
            try:
                await self.look_at(name)
                checked.channel_error.pop(name, None)
            except OutsideError as error:
                checked.channel_error[name] = str(error)
                ctx.warn("drift not looked for", error, of=name)

    async def look_at_org(self) -> int:
        """Compare sums, narrow down, and keep what still differs after a while; how many levels do."""
        ctx = self._ctx
        if await ctx.store.read(unread):
            return 0
        theirs = await ctx.org.sums()
        ours = await ctx.store.read(lambda tx: tx.level_sums())
        narrowing = _Narrowing(self._pace.org_calls - 1)
        places = [
            place
            for place in differing(ours, theirs)
            if self._explained.get(place) != (ours.get(place, Sums()), theirs.get(place, Sums()))
        ]
        for place in places:
            before = len(narrowing.found) + len(narrowing.gone)
            whole = await self._narrow(place, narrowing)
            if whole and before == len(narrowing.found) + len(narrowing.gone):
                self._explained[place] = ours.get(place, Sums()), theirs.get(place, Sums())
        if narrowing.found or narrowing.gone:
            await ctx.clock.sleep(self._pace.settle.total_seconds())
        looked = frozenset(places) if narrowing.left > 0 else frozenset[str]()
        unequal = frozenset(differing(ours, theirs))
        count, bells = await ctx.store.write(
            partial(self._keep_levels, narrowing=narrowing, looked=looked, unequal=unequal)
        )
        ctx.bell.ring(*bells)
        self.checked.org_at = ctx.clock.now()
        self.checked.org_calls = self._pace.org_calls - narrowing.left
        return count

    async def _narrow(self, place: str, narrowing: _Narrowing) -> bool:
        """Find a location's differing levels; False when the look's calls were used up before."""
        ctx = self._ctx
        held = Held(place, await ctx.store.read(lambda tx: tx.held_at(place)))
        ranges: list[Range] = [held.whole()]
        while ranges and narrowing.left > 0:
            of = ranges.pop()
            if of.few:
                narrowing.left -= 1
                asked_at = ctx.clock.now()
                read = await ctx.org.levels_between(place, of.first, of.last)
                narrowing.found += await ctx.store.read(
                    partial(newer, read=[(level, asked_at) for level in read])
                )
                there = {level.record_id for level in read}
                narrowing.gone += [each.record_id for each in held.inside(of) if each.record_id not in there]
                continue
            for half in held.halves(of):
                narrowing.left -= 1
                if await ctx.org.sums_between(place, half.first, half.last) != held.sums(half):
                    ranges.append(half)
        return not ranges

    def _keep_levels(
        self, tx: Tx, *, narrowing: _Narrowing, looked: frozenset[str], unequal: frozenset[str]
    ) -> tuple[int, set[str]]:
        """Keep what no event has told meanwhile; end what is right again. How many, and the bells to ring."""
        now = self._ctx.clock.now()
        bells: set[str] = set()
        for level, asked_at in narrowing.found:
            # A lower version is no event that got lost, for a person to weigh: the ledger was rewritten.
            known = tx.levels([level.key]).get(level.key)
            if known is not None and level.version <= known[0].version:
                bells |= apply_levels(tx, self._ctx, [level], asked_at)
        found = {level.key: level.available for level, _ in newer(tx, narrowing.found)}
        gone = [level for level in tx.levels_by_record(narrowing.gone) if level.on_hand or level.reserved]
        found |= {level.key: 0 for level in gone}
        held = {key: level.available for key, (level, _) in tx.levels(found).items()}
        for key, units in sorted(found.items()):
            self._keep(tx, "", key.sku, place_of(key), Cause.MISSED_EVENT, held.get(key, 0), units, now)
        names = {(key.sku, place_of(key)) for key in found}
        for drift in tx.drifts(limit=MOST_TOLD):
            location = drift.location.partition("|")[0]
            settled = location not in unequal or location in looked
            if not drift.channel and settled and (drift.sku, drift.location) not in names:
                tx.end_drift("", drift.sku, drift.location, now)
        return len(found), bells

    async def look_at(self, name: str) -> int:
        """Read the next SKUs at a channel, and those that differed; how many numbers were looked at."""
        ctx = self._ctx
        if ctx.channels[name].ability.callbacks is not None:
            return 0  # it is only told, never read
        return await self._read(name, await ctx.store.read(partial(self._next, name=name)))

    async def _read(self, name: str, skus: Sequence[str]) -> int:
        ctx = self._ctx
        if not skus:
            return 0
        await self._polls.poll(name)  # a sale explains itself first
        count = 0
        async for page in self._reconcile.read(name, skus):
            await ctx.store.write(partial(self._keep_numbers, name=name, page=page))
            count += len(page)
        checked = self.checked
        checked.channel_at[name] = ctx.clock.now()
        checked.numbers[name] = checked.numbers.get(name, 0) + count
        return count

    def _next(self, tx: Tx, *, name: str) -> list[str]:
        if not tx.approved(name):
            return []
        again = [drift.sku for drift in tx.drifts(limit=MOST_TOLD) if drift.channel == name][:AGAIN]
        if name not in self._after:  # each start begins its round elsewhere
            self._after[name] = tx.listed_at(name, int(self._share() * tx.count_channel_levels(name)))
        found = tx.next_listed(name, self._after[name], self._pace.sample_skus)
        self._after[name] = found[-1] if len(found) == self._pace.sample_skus else ""
        return list(dict.fromkeys((*again, *found)))

    def _keep_numbers(self, tx: Tx, *, name: str, page: Sequence[Seen]) -> None:
        now = self._ctx.clock.now()
        looking = Looking(tx, self._ctx, name, {one.item.sku for one in page}, None, whole=False)
        for one in page:
            sku, location, shows = one.item.sku, one.item.location, one.item.shows
            level = looking.level(sku, location)
            if level is None or level.push is not None or level.problem:
                continue
            if level.changed_at > one.asked_at - self._pace.settle:
                continue  # it has not come to rest yet
            row = looking.row(one)
            if row is not None and shows != level.published and row.difference.cause in _TOLD:
                self._keep(tx, name, sku, location, row.difference.cause, level.published, shows, now)
            else:
                tx.end_drift(name, sku, location, now)

    def _keep(
        self,
        tx: Tx,
        channel: str,
        sku: str,
        location: str,
        cause: Cause,
        ours: int,
        theirs: int,
        now: datetime,
    ) -> None:
        if tx.put_drift(Drift(channel, sku, location, cause.value, ours, theirs, now, now)):
            self._ctx.log.warning(
                "drift",
                channel=channel or "org",
                sku=sku,
                location=location,
                cause=cause.value,
                ours=ours,
                theirs=theirs,
                next="`sfsync drift --apply`",
            )

    async def tell(self) -> Mapping[str, object]:
        """What was looked at, what differs, and how much of it there was on which day. JSON-ready."""
        since = self._ctx.clock.now() - timedelta(days=KEPT_DAYS)

        def read(tx: Tx) -> dict[str, object]:
            found = [_told(drift) for drift in tx.drifts(limit=MOST_TOLD)]
            return {
                "open": found,
                "open_more": tx.count_drifts() - len(found),
                "days": [_day(*day) for day in tx.drift_days(since)],
            }

        checked = self.checked
        return {
            "checked": {
                "every_seconds": self._pace.every_seconds,
                "org": {
                    "at": _moment(checked.org_at),
                    "calls": checked.org_calls,
                    "error": checked.org_error,
                },
                "channels": {
                    name: {
                        "at": _moment(checked.channel_at.get(name)),
                        "numbers": checked.numbers.get(name, 0),
                        "error": checked.channel_error.get(name, ""),
                    }
                    for name in self._ctx.channels
                },
            },
            **await self._ctx.store.read(read),
        }


def _told(drift: Drift) -> dict[str, object]:
    return {
        "channel": drift.channel or "org",
        "sku": drift.sku,
        "location": drift.location,
        "cause": drift.cause,
        "code": code_of(Cause(drift.cause)),
        "ours": drift.ours,
        "theirs": drift.theirs,
        "found_at": _moment(drift.found_at),
        "seen_at": _moment(drift.seen_at),
    }


def _day(day: str, channel: str, cause: str, count: int, units: int) -> dict[str, object]:
    return {"day": day, "channel": channel or "org", "cause": cause, "found": count, "units": units}


def _moment(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
