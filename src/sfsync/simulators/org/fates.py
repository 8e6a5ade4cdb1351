"""What may happen to an event between its commit and the stream: nothing, a gap, loss, or twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Fate(StrEnum):
    """An event's way to go wrong."""

    GAP = "gap"  # a gap event stands in for it
    LOST = "lost"  # nothing tells of it
    DUPLICATE = "duplicate"  # it comes twice: same uuid, another replay id


@dataclass(slots=True)
class Fates:
    """The fates of coming events: those ordered first, then by chance."""

    ordered: deque[Fate | None] = field(default_factory=deque)
    gap_rate: float = 0.0
    lost_rate: float = 0.0
    duplicate_rate: float = 0.0

    def order(self, fates: Iterable[Fate | None]) -> None:
        """Sets what happens to the next events, one each; None lets one pass unharmed."""
        self.ordered.extend(fates)

    def draw(self, rng: Random) -> Fate | None:
        """Returns the fate of the next event; None is an ordinary one."""
        if self.ordered:
            return self.ordered.popleft()
        if not (self.gap_rate or self.lost_rate or self.duplicate_rate):
            return None
        drawn = rng.random()
        for fate, rate in (
            (Fate.GAP, self.gap_rate),
            (Fate.LOST, self.lost_rate),
            (Fate.DUPLICATE, self.duplicate_rate),
        ):
            if drawn < rate:
                return fate
            drawn -= rate
        return None
