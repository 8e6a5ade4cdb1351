"""A shop's newest word of an order counts: whatever comes late or again, no line goes back to an older one.

Looked at when something was read: of webhooks the orders that they tell of, of an order list whatever is new.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import orjson

from .actors import Day
from .checks import Watch
from .world import World

READ = "SELECT source, body FROM inbox WHERE id > ? AND id <= ? AND topic LIKE 'orders/%'"
OF_ORDER = "SELECT subject, version, told FROM order_line WHERE channel = ? AND order_id = ?"
LATELY = "SELECT subject, version, told FROM order_line WHERE version > ?"
LIST_LATE_SECONDS = 120.0  # an order list may tell of a change so long after it


class WordWatch:
    """Follows what the store makes of the shops' words."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.day, self.watch = world, day, watch
        self._read, self._polled, self._looked_at = 0, 0.0, world.clock.now().timestamp()
        self._newest: dict[str, float] = {}  # by line: the newest word that was seen to count
        world.on_commit.append(self._look)

    def _look(self) -> None:
        watch = self.watch
        if not watch.changed:
            return
        if watch.read > self._read:
            rows = watch.query(READ, self._read, watch.read)
            self._read = watch.read
            for source, body in rows:
                self._webhook(source, orjson.loads(body))
        if watch.polled != self._polled:
            self._polled = watch.polled
            for line in watch.query(LATELY, self._looked_at - LIST_LATE_SECONDS):
                self._line(*line)
            self._looked_at = self.world.clock.now().timestamp()

    def _webhook(self, source: str, order: dict[str, Any]) -> None:
        """It has been read: no line knows less than it says."""
        told = datetime.fromisoformat(order["updated_at"]).timestamp()
        for line in self.watch.query(OF_ORDER, source, str(order["id"])):
            version = self._line(*line)
            if version is not None and version < told:
                self.world.violated(
                    2, f"{line[0]} is as of {version:.6f}, and a newer word was read: {told:.0f}"
                )

    def _line(self, subject: str, version: float, told: str | None) -> float | None:
        """The version of the shop's word that counts for a line; None where only the org has spoken."""
        if told is not None:
            word = json.loads(told).get("channel")
            if word is None:
                return None
            version = datetime.fromisoformat(word["version"]).timestamp()
        if version < self._newest.get(subject, 0.0):
            self.world.violated(2, f"{subject} went back to an older word of its order")
        self._newest[subject] = version
        return version
