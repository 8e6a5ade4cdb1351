"""Drift: what we hold is not what the org has, or not what a channel shows, though nothing is under way.

The org is compared by sums: one aggregate for each location tells whether all its levels are as we hold them.
Where a sum differs, the location's levels are halved by record id until few enough are left to be read.
A sum that differs because a movement is on its way is no drift: a level counts only when it still is another
one after a while (`SETTLE`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SETTLE = timedelta(minutes=1)  # for what is on its way to arrive
FEW = 2_000  # levels that one query's page gives: read, not halved again
KEPT = 10_000  # rows of history


@dataclass(frozen=True, slots=True)
class Sums:
    """What some levels have together."""

    levels: int = 0
    on_hand: int = 0
    reserved: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """One level (channel "") or channel level found to differ, from when until when. Quantities in units."""

    channel: str
    sku: str
    location: str
    cause: str
    ours: int  # available by our level, or what we believed the channel to show
    theirs: int  # available in the org, or what the channel shows
    found_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None

    @property
    def units(self) -> int:
        """By how much."""
        return abs(self.theirs - self.ours)


def differing(ours: Mapping[str, Sums], theirs: Mapping[str, Sums]) -> list[str]:
    """The locations whose sums are not equal."""
    empty = Sums()
    return [place for place in sorted({*ours, *theirs}) if ours.get(place, empty) != theirs.get(place, empty)]


@dataclass(frozen=True, slots=True)
class Range:
    """Levels of a location by record id: after `first` up to `last`; None: no end there."""

    location: str
    first: str | None
    last: str | None
    levels: int  # that we hold there

    @property
    def few(self) -> bool:
        """True when it is cheaper to read them than to halve them."""
        return self.levels <= FEW


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is looked, and how much in one look."""

    every_seconds: float = 900.0
    sample_skus: int = 50
    org_calls: int = 20
    settle: timedelta = SETTLE
    soon_seconds: float = 60.0  # after a start, up to twice as long: the first look


@dataclass(frozen=True, slots=True)
class HeldLevel:
    """A level that we hold, by its record id."""

    record_id: str
    on_hand: int
    reserved: int
    version: int


class Held:
    """The levels that we hold of a location."""

    def __init__(self, location: str, levels: Iterable[HeldLevel]) -> None:
        self._location = location
        self._levels = sorted(levels, key=lambda level: level.record_id)
        self._ids = [level.record_id for level in self._levels]

    def whole(self) -> Range:
        """All of them."""
        return Range(self._location, None, None, len(self._levels))

    def inside(self, of: Range) -> Sequence[HeldLevel]:
        """Those in a range."""
        begin = 0 if of.first is None else bisect_right(self._ids, of.first)
        end = len(self._ids) if of.last is None else bisect_right(self._ids, of.last)
        return self._levels[begin:end]

    def sums(self, of: Range) -> Sums:
        """What those in a range have together."""
        inside = self.inside(of)
        return Sums(
            len(inside),
            sum(level.on_hand for level in inside),
            sum(level.reserved for level in inside),
            sum(level.version for level in inside),
        )

    def halves(self, of: Range) -> tuple[Range, Range]:
        """Two ranges of equal size."""
        inside = self.inside(of)
        left = len(inside) // 2
        middle = inside[left - 1].record_id
        return (
            Range(of.location, of.first, middle, left),
            Range(of.location, middle, of.last, len(inside) - left),
        )
