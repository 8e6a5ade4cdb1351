"""What may happen to an event between its commit and the stream, and to the streams while events flow.

Fates are ordered for the next events, one each, or strike by chance. The chance can be given a seed of its
own, so that the same events meet the same fates again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from random import Random


class Fate(StrEnum):
    """An event's way to go wrong, or what goes wrong around it."""

    GAP = "gap"  # a gap event stands in for it
    LOST = "lost"  # nothing tells of it
    DUPLICATE = "duplicate"  # it comes twice: same uuid, another replay id
    OVERFLOW = "overflow"  # its object's overflow event stands in for it
    TORN = "torn"  # it comes so damaged that nobody can read it
    LATE = "late"  # it comes after its time, behind events of later commits
    CUT = "cut"  # the streams break just before it
    SILENT = "silent"  # the streams stay open and say nothing from here on
    SCHEMA = "schema"  # its object gets a further field just before it
    CLOCK = "clock"  # the org's clock jumps just before it


# What a mix of faults by chance arms: the share of events that each strikes.
MIX: dict[str, float] = {
    "gap_rate": 0.01,
    "duplicate_rate": 0.01,
    "overflow_rate": 0.002,
    "late_rate": 0.01,
    "cut_rate": 0.005,
    "silent_rate": 0.001,
    "schema_rate": 0.002,
    "replay_refused_rate": 0.01,
}


@dataclass(slots=True)
class Fates:
    """The fates of coming events: those ordered first, then by chance."""

    ordered: deque[Fate | None] = field(default_factory=deque)
    gap_rate: float = 0.0
    lost_rate: float = 0.0
    duplicate_rate: float = 0.0
    overflow_rate: float = 0.0
    torn_rate: float = 0.0
    late_rate: float = 0.0
    cut_rate: float = 0.0
    silent_rate: float = 0.0
    schema_rate: float = 0.0
    clock_rate: float = 0.0
    replay_refused_rate: float = 0.0  # of subscriptions that name a replay id
    late_seconds: float = 0.5
    clock_seconds: float = 3600.0  # how far the clock jumps; below zero it jumps back
    refused_replays: int = 0  # how many coming subscriptions that name a replay id are refused for sure
    struck: dict[str, int] = field(default_factory=dict)
    _own: Random | None = None

    def order(self, fates: Iterable[Fate | None]) -> None:
        """Sets what happens to the next events, one each; None lets one pass unharmed."""
        self.ordered.extend(fates)

    def set(self, name: str, value: float) -> None:
        """Sets a rate or a time by its name; raises ValueError for any other name or a rate beyond 0 to 1."""
        if name not in SETTINGS:
            raise ValueError(f"fates have {', '.join(SETTINGS)}, not {name!r}")
        if name.endswith("_rate") and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is between 0 and 1, not {value}")
        setattr(self, name, value)

    def seed(self, seed: int) -> None:
        """Gives the fates a chance of their own, from its beginning."""
        self._own = Random(seed)  # noqa: S311 — chance that repeats itself is the purpose

    def arm_mix(self, seed: int) -> None:
        """Arms a bit of everything by chance."""
        self.seed(seed)
        for name, rate in MIX.items():
            self.set(name, rate)

    def clear(self) -> None:
        """Nothing strikes any more."""
        self.ordered.clear()
        self.refused_replays = 0
        for name in SETTINGS:
            if name.endswith("_rate"):
                setattr(self, name, 0.0)

    def draw(self, rng: Random) -> Fate | None:
        """Returns the fate of the next event; None is an ordinary one."""
        if self.ordered:
            return self._counted(self.ordered.popleft())
        rates = _rates_of(self)
        if not any(rates):
            return None
        drawn = (self._own or rng).random()
        for fate, rate in zip(Fate, rates, strict=True):
            if drawn < rate:
                return self._counted(fate)
            drawn -= rate
        return None

    def refuses_replay(self, rng: Random) -> bool:
        """Whether this subscription's replay id is refused, however good it is."""
        if self.refused_replays:
            self.refused_replays -= 1
        elif not self.replay_refused_rate or (self._own or rng).random() >= self.replay_refused_rate:
            return False
        self.struck["replay_refused"] = self.struck.get("replay_refused", 0) + 1
        return True

    def _counted(self, fate: Fate | None) -> Fate | None:
        if fate is not None:
            self.struck[fate.value] = self.struck.get(fate.value, 0) + 1
        return fate


_RATES = tuple(f"{fate}_rate" for fate in Fate)
_rates_of: Callable[[Fates], tuple[float, ...]] = attrgetter(*_RATES)
SETTINGS = (*_RATES, "replay_refused_rate", "late_seconds", "clock_seconds")
