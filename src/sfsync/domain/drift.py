"""Drift: what we hold is not what the org has, or not what a channel shows, though nothing is under way.

The org is compared by sums: one aggregate for each location tells whether all its levels are as we hold them.
Where a sum differs, the location's levels are halved by record id until few enough are left to be read.
A sum that differs because a movement is on its way is no drift: a level counts only when it still is another
one after a while (`SETTLE`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def halves(of: Range, ids: Sequence[str]) -> tuple[Range, Range]:
    """Two ranges of equal size. `ids`: the record ids that we hold of the location, sorted."""
    inside = [
        each for each in ids if (of.first is None or each > of.first) and (of.last is None or each <= of.last)
    ]
    middle = inside[len(inside) // 2 - 1]
    left = len(inside) // 2
    return (
        Range(of.location, of.first, middle, left),
        Range(of.location, middle, of.last, len(inside) - left),
    )
