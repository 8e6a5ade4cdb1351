"""What a seed draws for the last pieces: articles divided among shops, shop floors, and who gets in the way.

Drawn from chance of its own, so that what a seed drew before stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

SPLIT, WANE = "SPLIT-1", "WANE-1"


@dataclass(frozen=True, slots=True)
class LastOnePlan:
    """One seed's last pieces."""

    split: tuple[str, ...] = ()  # always divided among both shops
    wane: tuple[str, ...] = ()  # divided while there are few, shared while there are many
    units: tuple[tuple[int, int], ...] = ()  # of each article, at each place at opening
    weights: tuple[int, int] = (1, 1)  # London's and Dubai's claim
    scarce_at: int = 3
    plentiful_at: int = 5

    @property
    def skus(self) -> tuple[str, ...]:
        """The articles that only those look at who fight for the last one."""
        return (*self.split, *self.wane)

    def on_hand(self, places: tuple[str, ...]) -> dict[tuple[str, str], int]:
        """What is there at opening, by SKU and place."""
        return {
            (sku, place): units
            for sku, row in zip(self.skus, self.units, strict=True)
            for place, units in zip(places, row, strict=True)
        }

    def policies(self) -> list[dict[str, Any]]:
        """The settings' `[[policies]]` for them."""
        divided = {
            "guarantee": "allocated",
            "shares": dict(zip(("london", "dubai"), self.weights, strict=True)),
        }
        limits = {"scarce_at": self.scarce_at, "plentiful_at": self.plentiful_at}
        return [{"skus": ["SPLIT-*"], **divided}, {"skus": ["WANE-*"], **divided, **limits}]


def draw_last_one(seed: int) -> LastOnePlan:
    """The plan of a seed; the same for ever."""
    chance = Random(f"last one {seed}")
    split = (SPLIT,) if chance.random() < 0.7 else ()
    wane = (WANE,) if chance.random() < 0.6 else ()
    units = tuple((chance.randint(0, 4), chance.randint(0, 4)) for _ in (*split, *wane))
    scarce_at = chance.choice([1, 2, 3])
    return LastOnePlan(
        split,
        wane,
        units,
        (chance.choice([1, 1, 2]), chance.choice([1, 1, 2])),
        scarce_at,
        scarce_at + chance.choice([1, 2, 3]),
    )


def with_sellouts(plan: LastOnePlan, seed: int) -> LastOnePlan:
    """The same with an article that is shared while there are many, and has several left when it is not."""
    chance = Random(f"sellouts {seed}")
    if not plan.wane:
        row = (chance.randint(0, 4), chance.randint(0, 4))
        plan = replace(plan, wane=(WANE,), units=(*plan.units, row))
    scarce_at = chance.choice([3, 5, 6])
    return replace(plan, scarce_at=scarce_at, plentiful_at=scarce_at + chance.choice([1, 2]))
