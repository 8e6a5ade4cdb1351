"""What is left for anybody at each place: what stands there, less what somebody was promised anywhere.

Goods are carried from place to place, and what was promised of them stays behind. So a place that promised
more than it has takes as much out of what is for sale at the others: out of the fullest one first, and out of
a shop floor last. What is set aside for a shop and has left is no debt.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from .habits import BOUTIQUE

if TYPE_CHECKING:
    from .checks import Watch


def left(watch: Watch, sku: str) -> dict[str, int]:
    """Units of a SKU that are nobody's, by place; where goods are on their way, none."""
    levels = {
        key: level
        for key, level in watch.levels.items()
        if key.startswith(f"{sku}|") and not key.startswith(f"{sku}|IN-TRANSIT")
    }
    free = {key: max(0, level.on_hand - level.reserved) for key, level in levels.items()}
    for key in sorted(levels):
        level = levels[key]
        if level.reserved <= level.on_hand:
            continue
        aside = _set_aside(watch, key)
        owed = max(0, min(level.reserved, level.reserved - level.on_hand) - aside)
        for other in sorted(free, key=lambda each: (each.endswith(f"|{BOUTIQUE}"), -free[each], each)):
            part = min(owed, free[other])
            free[other] -= part
            owed -= part
    found: dict[str, int] = defaultdict(int)
    for key, units in free.items():
        found[key.split("|")[1]] += units
    return found


def _set_aside(watch: Watch, key: str) -> int:
    return sum(
        held[key][1]
        for subject, held in watch.subjects.items()
        if subject.startswith("allocation:") and key in held
    )
