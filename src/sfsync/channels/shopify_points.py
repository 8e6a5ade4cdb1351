"""The points that a Shopify store gives its callers: spend what is there, wait for the rest.

The store tells after every call how many it holds and how fast they come back; between calls we reckon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_READS_LEAVE = 0.1  # of the bucket, for pushes: a resync never starves a sale


class Points:
    """One store's bucket as we believe it to be. `seconds` is any clock that only goes forward."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._held: float | None = None  # None until the store has told
        self._most = 0.0
        self._rate = 0.0  # points that come back in a second
        self._at = 0.0
        self._in_flight = 0.0
        self._costs: dict[str, float] = {}  # by operation, as last asked for

    def cost(self, operation: str) -> float:
        """What the operation was last charged at its start; 0 when it was never sent."""
        return self._costs.get(operation, 0.0)

    @property
    def held(self) -> float | None:
        """Points there are now, as far as is known."""
        return None if self._held is None else max(0.0, self._now_held())

    @property
    def most(self) -> float | None:
        """Points that the bucket holds when it is full, as told."""
        return self._most or None

    @property
    def rate(self) -> float | None:
        """Points that come back in a second, as told."""
        return self._rate or None

    def wait_seconds(self, operation: str, *, push: bool) -> float:
        """How long until the operation can be afforded; a read leaves something for pushes."""
        if self._held is None or self._rate <= 0:
            return 0.0
        needed = self.cost(operation) + (0.0 if push else _READS_LEAVE * self._most)
        short = min(needed, self._most) - self._now_held()
        return max(0.0, short / self._rate)

    def spend(self, operation: str) -> float:
        """Set the operation's points aside while it is under way; returns how many."""
        cost = self.cost(operation)
        self._in_flight += cost
        return cost

    def settle(self, operation: str, spent: float, told: Mapping[str, Any] | None) -> None:
        """The operation is over; `told` is the `extensions.cost` of its answer, if there was one."""
        self._in_flight -= spent
        if told is None:
            return
        if (requested := told.get("requestedQueryCost")) is not None:
            self._costs[operation] = float(requested)
        if status := told.get("throttleStatus"):
            self._held = float(status["currentlyAvailable"])
            self._most = float(status["maximumAvailable"])
            self._rate = float(status["restoreRate"])
            self._at = self._seconds()

    def throttled_seconds(self, told: Mapping[str, Any] | None) -> float:
        """How long to wait after the store has said no, by its own numbers."""
        status = (told or {}).get("throttleStatus") or {}
        short = float((told or {}).get("requestedQueryCost") or 0) - float(
            status.get("currentlyAvailable") or 0
        )
        rate = float(status.get("restoreRate") or 0) or self._rate
        return max(0.0, short) / rate + 0.1 if rate > 0 else 1.0

    def _now_held(self) -> float:
        back = max(0.0, self._seconds() - self._at) * self._rate
        return min(self._most, (self._held or 0.0) + back) - self._in_flight
