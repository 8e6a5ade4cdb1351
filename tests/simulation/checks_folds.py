"""A fold touches what is closed, and the org's rule finds nothing in it to refuse."""

from __future__ import annotations

import json

from .actors import Day
from .checks import Watch
from .world import World

WAITED = "SELECT subject FROM movement WHERE state = 'waiting' AND id IN ({})"
BY_THE_RULE = "SFSYNC_INSUFFICIENT"


class FoldWatch:
    """Looks at each fold in the commit that plans it, and in the one that says what became of it."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.day, self.watch = world, day, watch
        self._planned, self._open = 0, 0
        self._waited = ""  # the movements that waited at the commit before
        world.on_commit.append(self._look)

    def _look(self) -> None:
        watch, waited = self.watch, self._waited
        self._waited = watch.waits
        if not watch.changed or watch.folds == (self._planned, self._open):
            return
        new = watch.query("SELECT id, level_key, request FROM fold WHERE id > ?", self._planned)
        for number, level, request in new:
            self._planned = max(self._planned, number)
            is_open = {subject for (subject,) in watch.query(WAITED.format(waited))}
            touched = sorted(is_open & json.loads(request)["fresh"].keys())
            if touched:
                self.world.violated(2, f"a fold of {level} takes {touched[:3]}, of which something is open")
        self._open = watch.folds[1]
        for level, reason in watch.query("SELECT level_key, reason FROM fold WHERE state = 'dropped'"):
            if BY_THE_RULE in reason:
                self.world.violated(3, f"the org's rule refused a fold of {level}: {reason}")
