"""Promises that no stock covers where they stand: units elsewhere are theirs, and for sale to nobody else.

Goods are carried from place to place, and what was promised of them stays behind: the level that they left
promises more than it has, and the level where they arrive seems to have units for anybody. So what a level
can give is looked at together with the SKU's other levels:

- **A piece** is one wherever it stands. What is promised of it at any of its levels, set aside for a channel
  or being asked for counts at all of them, and books that have it at two places offer it at one.
- **Of everything else**, the units that customers were promised at a level and that it does not have are owed
  by the others. They are taken out of what is for sale near it first (where some channel sells from both
  places), from shop floors last, and out of the fullest level first. What is set aside for a channel and has
  left is no debt: the channel is lowered, and its right is given back (`domain.allocation`). Nor is a number
  below zero that nobody was promised: such books lack a posting.

Where a level seems to have nothing, only the org may say no; but not while another level owes what nobody
has. What may have come in is his who was promised it, and the org's rule would give it to anybody.

Whoever holds such a promise may have it follow the goods: for him, his own promises are no debt (`own`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field

from .ats import LevelFacts
from .stock import LevelKey

# Which of two levels gives first, as (of, to): the lower one. None: it gives nothing.
Rank = Callable[[LevelKey, LevelKey], tuple[bool, ...] | None]


@dataclass(frozen=True, slots=True)
class Owed:
    """What of one SKU belongs to promises made at other levels."""

    units: Mapping[LevelKey, int] = field(default_factory=dict)  # of what levels seem to have; none left out
    awaited: Set[LevelKey] = frozenset()  # levels where whatever else may have come in is somebody's, too


def owed(
    levels: Sequence[LevelFacts],
    rank: Rank,
    set_aside: Mapping[LevelKey, int],
    own: Mapping[LevelKey, int] | None = None,
) -> Owed:
    """Of one SKU's levels, what belongs to promises at others.

    `levels` are all of the SKU's, `set_aside` the units reserved at each as allocations, and `own` those that
    whoever asks holds himself.
    """
    pieces = _several_places(levels)
    if not pieces and not any(level.reserved + level.leaving > level.on_hand for level in levels):
        return Owed()
    mine = own or {}
    left = {level.key: max(0, level.sellable) for level in levels}
    debts: dict[LevelKey, int] = {}
    for level in levels:
        if level.key.unit is None or level.key.unit not in pieces:
            debts[level.key] = _debt(level, set_aside.get(level.key, 0), mine.get(level.key, 0))
    for group in pieces.values():
        debts |= _once(group, rank, set_aside, mine, left)
    lacking = {key for key in sorted(debts) if _pay(key, debts[key], rank, left)}
    awaited = {level.key for level in levels if lacking - {level.key}}
    for group in pieces.values():
        promised = {each.key for each in group if each.reserved - mine.get(each.key, 0) + each.asked > 0}
        awaited |= {each.key for each in group if promised - {each.key}}
    before = {level.key: max(0, level.sellable) for level in levels}
    units = {key: before[key] - most for key, most in left.items() if most < before[key]}
    return Owed(units, frozenset(awaited))


def _several_places(levels: Sequence[LevelFacts]) -> dict[str, list[LevelFacts]]:
    """The pieces that have more than one level, by their number."""
    found: dict[str, list[LevelFacts]] = defaultdict(list)
    for level in levels:
        if level.key.unit is not None:
            found[level.key.unit].append(level)
    return {unit: group for unit, group in found.items() if len(group) > 1}


def _debt(level: LevelFacts, set_aside: int, own: int) -> int:
    """Units that customers were promised at a level and that it does not have."""
    promised = max(0, level.reserved - own - set_aside)
    return max(0, min(promised, level.reserved - own + level.leaving - level.on_hand - set_aside))


def _once(
    group: Sequence[LevelFacts],
    rank: Rank,
    set_aside: Mapping[LevelKey, int],
    own: Mapping[LevelKey, int],
    left: dict[LevelKey, int],
) -> dict[LevelKey, int]:
    """Leave of a piece what it has beyond all its promises, at one place; say what customers lack.

    It is there as often as one level has it, and no more than its levels add up to.
    """
    there = min(max(level.on_hand for level in group), sum(level.on_hand for level in group))
    kept = {level.key: level.reserved - own.get(level.key, 0) for level in group}
    free = there - sum(kept[level.key] + level.asked + level.leaving for level in group)
    for level in sorted(group, key=lambda each: (rank(each.key, each.key) or (True, True, True), each.key)):
        left[level.key] = max(0, min(left[level.key], free))
        free -= left[level.key]
    promised = {key: max(0, units - set_aside.get(key, 0)) for key, units in kept.items()}
    lacking = sum(promised.values()) - max(0, there)
    debts: dict[LevelKey, int] = {}
    for key in sorted(promised):
        debts[key] = max(0, min(promised[key], lacking))
        lacking -= debts[key]
    return debts


def _pay(debtor: LevelKey, units: int, rank: Rank, left: dict[LevelKey, int]) -> int:
    """Take what a level owes out of what others have left. How many units nobody has."""
    if units <= 0:
        return 0
    ranked = [(rank(key, debtor), -most, key) for key, most in left.items() if most > 0 and key != debtor]
    for _, most, key in sorted(each for each in ranked if each[0] is not None):
        part = min(units, -most)
        left[key] -= part
        units -= part
    return units


def by_places(
    not_for_sale: Collection[str], floors: Collection[str], near: Callable[[str], Collection[str]]
) -> Rank:
    """Near places before others, shop floors after all of them; what is not for sale gives nothing."""

    def rank(giver: LevelKey, debtor: LevelKey) -> tuple[bool, ...] | None:
        if giver.location in not_for_sale:
            return None
        return giver.location in floors, giver.location not in near(debtor.location)

    return rank
