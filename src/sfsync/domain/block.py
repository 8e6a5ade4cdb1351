"""The local block: units that sfsync itself holds reserved in the org, to grant reservations from at once.

A drop asks for five hundred pieces within a minute. Units of a block are set aside in the org beforehand, as
an allocation whose holder is sfsync; a reservation is then granted out of it as soon as that is on disk, and
entered in the org afterwards, many in one call. The books of one level of a block::

    held  =  ready + drawn + leaving + uncovered or staying

- *held* is what the org has reserved for the block;
- *drawn* are units granted out of it that the org's ledger does not name yet;
- *leaving* are units that are being given back;
- *uncovered* are units that stock no longer covers: what is not sold yet gives way first;
- *staying* are units that nobody who is not in the shop may have without the shop's word: the last pieces of
  a shop floor, and what a location keeps. They were more when the block took them, and go back;
- *ready* is the rest, and the only thing that may be granted. When nothing is ready the org is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from .stock import LevelKey, Movement, MovementKind, allocation_subject, step_key

HOLDER = "sfsync"  # whose allocation it is; no channel may have this name
REFILL_BELOW = Fraction(1, 2)  # of the units wanted: above that the pool is left alone, and the org its calls
SETTLE_SECONDS = 2.0  # so long a grant waits for others to share its call
SETTLE_AT_ONCE = 90  # grants that fill a call


@dataclass(frozen=True, slots=True)
class BlockRule:
    """So many units of a SKU are to be ready, at these locations, best first."""

    units: int
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockLevel:
    """What the block has at one level."""

    key: LevelKey
    held: int = 0
    gone: int = 0  # drawn or leaving
    coming: int = 0  # asked of the org and not answered
    pool: int = 0  # units that anybody may reserve there
    oversold: int = 0  # promises of the level that stock no longer covers
    stays: int = 0  # of the unsold units, those that are the shop's last

    @property
    def ready(self) -> int:
        """Units that may be granted now."""
        return max(0, self.held - self.gone - max(self.oversold, self.stays))

    @property
    def unsold(self) -> int:
        """Units that nobody was granted, covered or not."""
        return max(0, self.held - self.gone)


def staying(unsold: int, unpromised: int, last: int) -> int:
    """How many unsold units of a block may not be granted, as the shop's `last` pieces are nobody's outside.

    `unpromised` are all units of the level that nobody was promised, the block's own among them.
    """
    return max(0, unsold - max(0, unpromised - last))


def changes(wanted: int, levels: Sequence[BlockLevel], *, short: bool = False) -> dict[LevelKey, int]:
    """Units to ask of the org (positive) or give back to it (negative), by level; `levels` best first.

    Unsold units give way to promises that stock no longer covers, and go back where they are the last ones of
    a shop. What is beyond the units wanted goes back, from the last level first. Filled up only when half of
    it is gone, and not while accepted orders go without stock (`short`).
    """
    found = {level.key: level.ready - level.unsold for level in levels}
    have = sum(level.ready + level.coming for level in levels)
    surplus = have - wanted
    for level in reversed(levels):
        part = min(surplus, level.ready)
        if part > 0:
            found[level.key] = found.get(level.key, 0) - part
            surplus -= part
    if short or have > wanted * REFILL_BELOW:
        return {key: units for key, units in found.items() if units}
    missing = wanted - have
    for level in levels:
        part = min(missing, max(0, level.pool)) if level.oversold <= 0 else 0
        if part > 0:
            found[level.key] = part
            missing -= part
    return {key: units for key, units in found.items() if units}


def picked(quantity: int, candidates: Sequence[LevelKey], ready: Mapping[LevelKey, int]) -> LevelKey | None:
    """The best level whose block alone has so many units ready."""
    return next((level for level in candidates if ready.get(level, 0) >= quantity), None)


def added(units: int, pool: int, ready: int) -> int:
    """What a level's block adds to its pool for who asks for so many: what lacks there, if it has that."""
    lacks = max(0, units - max(0, pool))
    return lacks if lacks <= ready else 0


def given(
    asked: Sequence[tuple[Movement, int]], steps: Mapping[str, int], now: datetime
) -> tuple[tuple[Movement, ...], ...]:
    """What asks the org for units of which the block gives some: those leave the block, or nothing happens.

    `asked` has each movement with the units that the block gives it, `steps` the next numbers of the block's
    levels. Each movement comes with its own.
    """
    taken: dict[str, int] = {}
    found: list[tuple[Movement, ...]] = []
    for row, units in asked:
        if not units:
            found.append((row,))
            continue
        own = allocation_subject(HOLDER, row.level)
        step = steps[own] + taken.get(own, 0)
        taken[own] = taken.get(own, 0) + 1
        key, kind = step_key(own, step), MovementKind.RELEASE
        release = Movement(key, own, row.level, kind, 0, -units, row.reference, row.subject, now)
        found.append((row, release))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Draw:
    """Units granted out of the block to one line of a reservation, until the org's ledger names them."""

    subject: str  # of the reservation's line
    reservation: str
    channel: str | None
    level: LevelKey
    units: int
    kind: MovementKind  # as what they are reserved
    owner: str


def due(grants: int, oldest_seconds: float) -> bool:
    """True when grants are to be entered in the org now."""
    return grants >= SETTLE_AT_ONCE or (grants > 0 and oldest_seconds >= SETTLE_SECONDS)


def settlement(
    draws: Sequence[Draw], steps: Mapping[str, int], held: Mapping[str, int], now: datetime
) -> tuple[Movement, ...]:
    """The movements that enter one reservation's draws: each line's units leave the block and become its own.

    `steps` are the next numbers of the subjects, of the lines and of the block's levels; `held` the units
    that the ledger has for a line already, which are not entered twice. Empty when nothing is missing.
    """
    taken: dict[str, int] = {}
    lines: list[Movement] = []
    block: list[Movement] = []
    for draw in draws:
        units = draw.units - held.get(draw.subject, 0)
        if units <= 0:
            continue
        own = allocation_subject(HOLDER, draw.level)
        step = steps[own] + taken.get(own, 0)
        taken[own] = taken.get(own, 0) + 1
        for rows, subject, number, kind, change in (
            (lines, draw.subject, steps[draw.subject], draw.kind, units),
            (block, own, step, MovementKind.RELEASE, -units),
        ):
            key = step_key(subject, number)
            rows.append(
                Movement(key, subject, draw.level, kind, 0, change, draw.owner, draw.reservation, now)
            )
    return (*lines, *block)
