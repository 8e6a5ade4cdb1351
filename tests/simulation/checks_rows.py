"""What the store says became of a movement is so in the org, at the moment when it is written down.

Entered: the row stands there, with this content. Refused: none stands there, and none can come any more, for
every attempt has been answered, or a row without effect has taken its key.
"""

from __future__ import annotations

from .actors import Day
from .checks import Watch
from .world import World

ROWS = """
    SELECT key, state, subject, level_key, kind, on_hand_delta, reserved_delta FROM movement WHERE id IN ({})
"""


class RowWatch:
    """Follows what waits for the org."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.day, self.watch = world, day, watch
        self._waits: frozenset[str] = frozenset()
        world.on_commit.append(self._look)

    def _look(self) -> None:
        watch = self.watch
        if not watch.changed:
            return
        waits = frozenset(watch.waits.split(","))
        over = sorted(self._waits - waits - {""})
        self._waits = waits
        if over:
            for key, state, *content in watch.query(ROWS.format(",".join(over))):
                if state == "done":
                    self._entered(key, tuple(content))
                elif state == "refused":
                    self._refused(key)

    def _entered(self, key: str, content: tuple[object, ...]) -> None:
        there = self.watch.rows.get(key)
        if there is None and content[0] not in self.watch.rewritings.lost:
            self.world.violated(4, f"{key} counts as entered, and the org has no such row")
        elif there is not None and there != content:
            self.world.violated(2, f"{key} counts as entered as {content}, and the org has {there}")

    def _refused(self, key: str) -> None:
        if key not in self.watch.rows and any(key.encode() in body for body in self.world.net.unanswered):
            self.world.violated(
                2, f"{key} counts as refused, and an attempt that nobody answered may yet land"
            )
