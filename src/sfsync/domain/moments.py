"""When the units of an order line left, and when they came back, as far as their source tells.

A count forgives what had happened before it, so it matters when a parcel left, not when somebody last changed
its order nor when we read of it: parcel 1 left at five, the shelf was counted at six, and parcel 2 left the
next morning. Units are told apart by their number alone, first gone first: the ledger holds how many of them
are entered, and what comes next has the moment of the next one.

Where a source knows no moment of its own, what it tells is an upper bound. Of two sources each unit has the
earlier moment, for neither tells of goods before they have left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .values import quick


@quick
@dataclass(frozen=True, slots=True)
class Moment:
    """Some units that left, or came back, together; `place` is the channel's location, where it tells."""

    at: datetime
    units: int
    place: str = ""


def next_moment(told: Iterable[Moment], entered: int, units: int) -> tuple[datetime | None, int]:
    """The moment of the units after the first `entered`, and how many of the next `units` have it.

    None: nobody has told of them; then all `units` have that in common.
    """
    passed = 0
    for moment in sorted(told, key=lambda each: each.at):
        passed += moment.units
        if passed > max(0, entered):
            return moment.at, min(units, passed - max(0, entered))
    return None, units


def at_place(told: Iterable[Moment], place: str) -> tuple[Moment, ...]:
    """What is told of one of the channel's locations."""
    return tuple(moment for moment in told if moment.place == place)


def earliest(*tellings: Iterable[Moment]) -> tuple[Moment, ...]:
    """What several sources tell of the same units, each at the earliest moment that any names."""
    lists = [sorted(each, key=lambda moment: moment.at) for each in tellings]
    found: list[Moment] = []
    passed = 0
    while here := [part for part in (_at(each, passed) for each in lists) if part is not None]:
        end = min(until for _, until in here)
        place = next((moment.place for moment, _ in here if moment.place), "")
        found.append(Moment(min(moment.at for moment, _ in here), end - passed, place))
        passed = end
    return tuple(found)


def _at(told: Sequence[Moment], position: int) -> tuple[Moment, int] | None:
    """The moment of the unit after the first `position`, and how many there are up to its end."""
    passed = 0
    for moment in told:
        passed += moment.units
        if passed > position:
            return moment, passed
    return None
