"""Where the units of an order line stand: at which of the channel's own locations.

A channel with several locations assigns each unit that it sells to one of them, and may change its mind. The
assigned location's own number has fallen by the sale, and it is from there that the goods will leave. Some
time passes between a sale and the answer; until then the units are taken to stand where the line stood, or at
the channel's first location, and the answer corrects it.

`drawn` says which of the org's locations the units then draw on: the one that the order names, else those of
the location that the channel assigned, else the channel's own list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from .values import quick

L = TypeVar("L", bound=Hashable)


@quick
@dataclass(frozen=True, slots=True)
class LinePlace:
    """One line's units at one of the channel's locations (our name for it, or the channel's own id).

    The quantities mean what they mean in `orders.OrderLine`. `taken_quantity` may be negative: goods that
    another location had sent came back here.
    """

    location: str
    open_quantity: int = 0
    fulfilled_quantity: int = 0
    returned_quantity: int = 0
    taken_quantity: int = 0


class Because(StrEnum):
    """Why units draw on the org's locations that they draw on."""

    NAMED = "the order names the location"
    ASSIGNED = "the channel assigned it"
    SUPPOSED = "the channel has not assigned it yet"
    UNKNOWN = "the channel assigned a location that the settings do not name"
    LISTED = "it is the channel's list"


@dataclass(frozen=True, slots=True)
class Draw:
    """The org's locations that units draw on, best first, and why."""

    locations: tuple[str, ...]
    because: Because


def drawn(
    named: str | None, place: str, plan: Mapping[str, Sequence[str]], *, several: bool, routed: bool
) -> Draw:
    """What units draw on that stand at one of the channel's locations.

    `named` is the org's location that the order itself names, `plan` the org's locations that each of the
    channel's sells from. Units at a location outside the plan draw on what its first one sells from: they are
    sold, and somewhere they must be reserved. `several`: the channel assigns locations; `routed`: it has.
    """
    if named:
        return Draw((named,), Because.NAMED)
    found = tuple(plan.get(place, ()))
    if not found:
        because = Because.UNKNOWN if several and place not in plan else Because.LISTED
        return Draw(tuple(next(iter(plan.values()), ())), because)
    if not several:
        return Draw(found, Because.LISTED)
    return Draw(found, Because.ASSIGNED if routed else Because.SUPPOSED)


def settled(
    told: Sequence[LinePlace],
    total: LinePlace,
    before: Sequence[LinePlace],
    first: str,
    *,
    routed: bool,
) -> tuple[LinePlace, ...]:
    """All of a line's units, each at a location: as told, else as before, else at `first`.

    `told` are the units whose location the channel names; `total` is the whole line; `routed` says that
    `told` has every open unit. Units called off and not put back stay with the line's main location.
    """
    said, was = {place.location: place for place in told}, {place.location: place for place in before}
    home = max(before, key=lambda p: (p.open_quantity, p.taken_quantity)).location if before else first
    names = list(dict.fromkeys([*was, *said, home]))
    nothing = LinePlace("")
    sent = _rest_at(
        home, {n: said.get(n, nothing).fulfilled_quantity for n in names}, total.fulfilled_quantity
    )
    back = _rest_at(home, {n: said.get(n, nothing).returned_quantity for n in names}, total.returned_quantity)
    if routed:
        likely = {n: said.get(n, nothing).open_quantity for n in names}
    else:  # what has been sent since is no longer open there
        likely = {
            n: max(0, place.open_quantity - max(0, sent[n] - place.fulfilled_quantity))
            for n, place in was.items()
        }
    opened = _alike(likely, total.open_quantity, home)
    taken = {n: opened[n] + sent[n] - back[n] for n in names}
    taken[home] += total.taken_quantity - sum(taken.values())
    places = (LinePlace(n, opened[n], sent[n], back[n], taken[n]) for n in names)
    return tuple(place for place in places if place != LinePlace(place.location))


def kept(places: Sequence[LinePlace]) -> int:
    """Units that were called off and that the channel has not put back on its shelf."""
    return sum(
        p.taken_quantity - p.open_quantity - p.fulfilled_quantity + p.returned_quantity for p in places
    )


def _rest_at(home: str, known: Mapping[str, int], total: int) -> defaultdict[str, int]:
    """The known units, and at `home` those of the total that nobody knows."""
    found = defaultdict(int, known)
    found[home] += total - sum(known.values())
    return found


def _alike(likely: Mapping[str, int], total: int, home: str) -> defaultdict[str, int]:
    """`total` units, standing like the likely ones as far as these go."""
    found: defaultdict[str, int] = defaultdict(int)
    left = total
    for name, units in likely.items():
        found[name] = min(units, left)
        left -= found[name]
    found[home] += left
    return found


def matched(have: Mapping[L, int], wants: Sequence[tuple[Collection[L], int]]) -> list[dict[L, int]]:
    """Which of the units at hand serve which want; as many as possible are served.

    `have` are units by level, `wants` pairs of (levels that may serve it, units). One level may serve several
    wants, so units are reassigned along augmenting paths until no more can be served.
    """
    given: list[dict[L, int]] = [defaultdict(int) for _ in wants]
    free = {level: units for level, units in have.items() if units > 0}
    for number, (_, units) in enumerate(wants):
        left = units
        while left > 0 and (path := _path(number, wants, given, free)):
            part = min(left, free[path[-1][1]], *(given[to][level] for (_, level), (to, _) in _hops(path)))
            for want, level in path:
                given[want][level] += part
            for (_, level), (robbed, _) in _hops(path):
                given[robbed][level] -= part
            free[path[-1][1]] -= part
            left -= part
    return [{level: units for level, units in each.items() if units} for each in given]


def _hops(path: Sequence[tuple[int, L]]) -> list[tuple[tuple[int, L], tuple[int, L]]]:
    return list(pairwise(path))


def _path(
    start: int,
    wants: Sequence[tuple[Collection[L], int]],
    given: Sequence[Mapping[L, int]],
    free: Mapping[L, int],
) -> list[tuple[int, L]]:
    """Pairs (want, level): each want takes from its level what the next one gives up; the last is free."""
    trails: list[list[tuple[int, L]]] = [[(start, level)] for level in wants[start][0]]
    seen = {start}
    for trail in trails:
        level = trail[-1][1]
        if free.get(level, 0) > 0:
            return trail
        for other, served in enumerate(given):
            if other not in seen and served.get(level, 0) > 0:
                seen.add(other)
                trails += ([*trail, (other, another)] for another in wants[other][0] if another != level)
    return []
