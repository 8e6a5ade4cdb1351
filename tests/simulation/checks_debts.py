"""What is left for anybody at each place: what stands there, less what somebody was promised anywhere.

Goods are carried from place to place, and what was promised of them stays behind. So a place that promised
more than it has takes as much out of what is for sale at the others: out of the fullest one first, and out of
a shop floor last. What is set aside for a shop and has left is no debt. A piece is one, wherever it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .habits import BOUTIQUE, PIECE, RETURNS

if TYPE_CHECKING:
    from .checks import Sums, Watch

NOT_FOR_SALE = ("IN-TRANSIT", RETURNS)


def left(watch: Watch, sku: str) -> dict[str, int]:
    """Units of a SKU that are nobody's, by place; where goods are on their way, none.

    What a shop has said that it does not find is not there, until somebody has said otherwise.
    """
    lost = dict(watch.query("SELECT level_key, not_found FROM level WHERE sku = ? AND not_found > 0", sku))
    levels = {key: level for key, level in watch.levels.items() if key.startswith(f"{sku}|")}
    free = {
        key: max(0, level.on_hand - level.reserved - lost.get(key, 0))
        for key, level in levels.items()
        if key.split("|")[1] not in NOT_FOR_SALE
    }
    debts = _of_pieces(levels, free) if sku == PIECE else {}
    for key in sorted(levels):
        level = levels[key]
        aside = _set_aside(watch, key) if level.reserved > level.on_hand else 0
        owed = debts.get(key, max(0, min(level.reserved, level.reserved - level.on_hand) - aside))
        for other in sorted(free, key=lambda each: (each.endswith(f"|{BOUTIQUE}"), -free[each], each)):
            part = min(owed, free[other])
            free[other] -= part
            owed -= part
    found: dict[str, int] = defaultdict(int)
    for key, units in free.items():
        found[key.split("|")[1]] += units
    return found


def _of_pieces(levels: Mapping[str, Sums], free: dict[str, int]) -> dict[str, int]:
    """Leaves what is free of each piece at one place; what was promised of it and is nowhere, by level."""
    numbered = [key for key in levels if key.count("|") == 2]
    debts = dict.fromkeys(numbered, 0)
    for unit in sorted({key.rpartition("|")[2] for key in numbered}):
        own = sorted(key for key in numbered if key.endswith(f"|{unit}"))
        there = min(max(levels[key].on_hand for key in own), sum(levels[key].on_hand for key in own))
        nobodys = there - sum(levels[key].reserved for key in own)
        for key in own:
            if key in free:
                free[key] = max(0, min(free[key], nobodys))
                nobodys -= free[key]
        lacking = sum(levels[key].reserved for key in own) - max(0, there)
        for key in own:
            debts[key] = max(0, min(levels[key].reserved, lacking))
            lacking -= debts[key]
    return debts


def _set_aside(watch: Watch, key: str) -> int:
    return sum(
        held[key][1]
        for subject, held in watch.subjects.items()
        if subject.startswith("allocation:") and key in held
    )
