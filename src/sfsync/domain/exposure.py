"""Exposure: what a channel has shown beyond what it had to sell, and for how long.

A mirrored channel shows a number that others sell from too. When somebody else takes a unit, the channel may
still sell it until the lower number has reached it. A channel that is to sell none any more (unknown), or its
own units alone (allocated), may still sell what it shows beyond what is set aside for it. So, of each channel
level of these::

    exposed units  =  max(0, published - sellable)        now
    exposure       =  exposed units x seconds             the integral, in unit-seconds

*sellable* is what a mirrored one should show, and what is set aside for any of them. A gated one asks first,
whatever it shows.

A *spell* is one stretch of time with exposed units: from the moment at which sfsync knew that there is less
to sell until the moment at which the channel confirmed it. A spell is *scarce* when at its beginning no more
was to be sold, by this channel or others, than the SKU's policy calls scarce (2 units where none does), else
*deep*: in a scarce spell the next sale may be an oversell; a deep one costs nothing unless the rest sells
meanwhile.

A number is *emptied* when there is nothing left to sell and the channel shows none. How much sooner would it
have reached zero with another guarantee?

- **gated**: at the moment when nothing was left, because the channel would have been refused from then on;
- **allocated**: with the channel's own last unit, had the most that was offered since the number was last
  empty been split evenly among the channels that mirror it. A channel that has not sold so many itself would
  not have come to zero at all: it would still have units of its own.

All times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .allocation import Share, split
from .values import quick, replace

SCARCE_UNITS = 2  # at most so many are scarce, where no policy says
KEPT_SPELLS = 200_000  # the newest; some thirty days of a busy house
KEPT_EMPTIED = 20_000


@dataclass(frozen=True, slots=True)
class Spell:
    """One stretch of time in which a channel level showed too much."""

    began: float
    ended: float
    units: int  # exposed at most
    unit_seconds: float
    scarce: bool

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return max(0.0, self.ended - self.began)


@dataclass(frozen=True, slots=True)
class Emptied:
    """A channel level has come to zero."""

    offered: int  # the most that it should have shown since it was last empty
    offered_at: float
    empty_at: float  # nothing was left to sell
    shown_at: float  # the channel showed it


@quick
@dataclass(frozen=True, slots=True)
class Excess:
    """What a channel level shows beyond what it may sell."""

    units: int
    scarce: bool  # few are left to sell, for it and others


def excess(published: int, own: int, shared: int, left: int, scarce_at: int) -> Excess:
    """The excess of a channel that has `own` units set aside for it, and may sell `shared` ones beside.

    `left` units are to be had by anybody.
    """
    units = max(0, published - max(own, shared))
    return Excess(units, own + left <= scarce_at)


@quick
@dataclass(frozen=True, slots=True)
class Exposure:
    """The exposure of one channel level so far, with the spell under way."""

    unit_seconds: float = 0.0  # the integral until `since`
    units: int = 0  # exposed since then
    since: float = 0.0
    began: float = 0.0  # of the spell under way; says nothing while no unit is exposed
    before: float = 0.0  # `unit_seconds` when it began
    most: int = 0  # exposed at once in it
    scarce: bool = False
    offered: int = 0
    offered_at: float = 0.0
    empty_at: float = 0.0  # since when nothing is left to sell; 0 while something is
    # What has just ended: told once, to be kept, and no part of the state.
    ended: Spell | None = field(default=None, compare=False)
    emptied: Emptied | None = field(default=None, compare=False)

    def at(
        self,
        now: float,
        *,
        published: int,
        target: int,
        scarce_at: int = SCARCE_UNITS,
        excess: Excess | None = None,
    ) -> Exposure:
        """The exposure when the channel shows `published` and should show `target`, as from `now`.

        `excess`: what of it is exposed, where that is not all beyond the target.
        """
        if excess is None:
            excess = Excess(max(0, published - target), target <= scarce_at)
        return _offered(self.showing(now, excess), now, published=published, target=target)

    def showing(self, now: float, excess: Excess) -> Exposure:
        """The exposure when so many units are exposed as from `now`."""
        after = self
        if self.ended is not None or self.emptied is not None:
            after = replace(self, ended=None, emptied=None)
        if excess.units == self.units:
            return after
        return _counted(after, now, excess.units, scarce=excess.scarce)

    def alone(self, now: float, excess: Excess | None) -> Exposure:
        """The exposure of a channel level that shows no shared number; None where `excess` is as it was."""
        after = self if excess is None else self.showing(now, excess)
        return replace(after, offered=0, offered_at=0.0, empty_at=0.0) if after.offered else after

    def over(self, now: float) -> Exposure:
        """The exposure of a channel level that is gated by now: nothing counts from `now` on."""
        before = replace(self, ended=None, emptied=None)
        after = _counted(before, now, 0, scarce=False) if before.units else before
        return replace(after, offered=0, offered_at=0.0, empty_at=0.0)


def _counted(before: Exposure, now: float, units: int, *, scarce: bool) -> Exposure:
    """Other units are exposed from now on; a spell may begin or end with that."""
    grown = before.unit_seconds + before.units * max(0.0, now - before.since)
    after = replace(before, unit_seconds=grown, units=units, since=now, most=max(before.most, units))
    if not before.units:
        return replace(after, began=now, before=grown, most=units, scarce=scarce)
    if units:
        return replace(after, scarce=before.scarce or scarce)
    ended = Spell(before.began, max(now, before.began), before.most, grown - before.before, before.scarce)
    return replace(after, ended=ended)


def _offered(before: Exposure, now: float, *, published: int, target: int) -> Exposure:
    """Keep the most that was offered, and tell when it has all gone."""
    after = before
    if target > 0:
        if target > before.offered:
            after = replace(after, offered=target, offered_at=now)
        return replace(after, empty_at=0.0) if after.empty_at else after
    if not before.offered:
        return after
    if not after.empty_at:
        after = replace(after, empty_at=now)
    if published > 0:
        return after
    emptied = Emptied(after.offered, after.offered_at, after.empty_at, max(now, after.empty_at))
    return replace(after, offered=0, offered_at=0.0, empty_at=0.0, emptied=emptied)


@dataclass(frozen=True, slots=True)
class Sooner:
    """How much sooner a number would have been zero, in seconds, with another guarantee."""

    gated_seconds: float
    allocated_seconds: float | None  # None: it would not have come to zero
    allocated_left: int  # units of its own that it would still have had


def sooner(
    emptied: Emptied, channel: str, sharers: Sequence[str], own: Sequence[tuple[float, int]]
) -> Sooner:
    """What another guarantee would have done for a number that has come to zero.

    `sharers` are the channels that mirror the SKU, this one among them; `own` its sales since the number was
    last empty: (when placed, units), in any order. Others' sales are of no account: their units are theirs.
    """
    share = split(emptied.offered, [Share(each) for each in sharers], {}).get(channel, 0)
    gated = max(0.0, emptied.shown_at - emptied.empty_at)
    if not share:
        return Sooner(gated, max(0.0, emptied.shown_at - emptied.offered_at), 0)
    left = share
    for placed_at, units in sorted(own):
        left -= units
        if left <= 0:
            return Sooner(gated, max(0.0, emptied.shown_at - placed_at), 0)
    return Sooner(gated, None, left)


def worse_than(count: int, percent: int) -> int:
    """How many of `count` values lie above the percentile, by nearest rank: 0 of up to a hundred at 99."""
    return count - -(-count * percent // 100) if count else 0


@dataclass(frozen=True, slots=True)
class Worst:
    """A spell that is the worst of its kind, with where it was."""

    sku: str
    location: str
    spell: Spell


@dataclass(frozen=True, slots=True)
class ClassExposure:
    """The exposure of a channel's scarce, or deep, SKUs: now, and over the history that is told."""

    channel: str
    scarce: bool
    units: int = 0  # exposed now
    levels: int = 0  # channel levels that are
    oldest_seconds: float = 0.0  # how long the oldest of them has been
    spells: int = 0  # that have ended
    unit_seconds: float = 0.0  # of all of them
    p99_seconds: float | None = None  # how long a spell lasted; None without one
    p99_unit_seconds: float | None = None
    longest: Worst | None = None
    largest: Worst | None = None  # by unit-seconds


@dataclass(frozen=True, slots=True)
class NumberEmptied:
    """A channel's number that has come to zero, and how much sooner it could have."""

    channel: str
    sku: str
    location: str
    emptied: Emptied
    sooner: Sooner


@dataclass(frozen=True, slots=True)
class ExposureReport:
    """All of it, since a time."""

    since: float
    until: float
    classes: Sequence[ClassExposure]
    emptied: Sequence[NumberEmptied]  # newest first


@dataclass(frozen=True, slots=True)
class SoonerOfChannel:
    """What other guarantees would have done for a channel's numbers that have come to zero."""

    channel: str
    numbers: int
    late: int  # of them, shown as zero later than nothing was left
    gated_p99_seconds: float
    gated_worst_seconds: float
    sold_out_sooner: int  # if allocated
    allocated_p99_seconds: float | None
    allocated_worst_seconds: float | None
    still_selling: int  # if allocated: it would have had units of its own left


def sooner_by_channel(numbers: Sequence[NumberEmptied]) -> list[SoonerOfChannel]:
    """One line for each channel, in their order."""
    found = []
    for channel in sorted({each.channel for each in numbers}):
        told = [each.sooner for each in numbers if each.channel == channel]
        gated = sorted((each.gated_seconds for each in told), reverse=True)
        own = sorted((s for each in told if (s := each.allocated_seconds) is not None), reverse=True)
        found.append(
            SoonerOfChannel(
                channel,
                len(told),
                sum(seconds > 0 for seconds in gated),
                gated[worse_than(len(gated), 99)],
                gated[0],
                len(own),
                own[worse_than(len(own), 99)] if own else None,
                own[0] if own else None,
                sum(each.allocated_left > 0 for each in told),
            )
        )
    return found
