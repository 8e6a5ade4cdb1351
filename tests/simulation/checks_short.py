"""While the org takes no more calls nobody storms it; what waited goes in soon after it takes calls again."""

from __future__ import annotations

from .actors import Day
from .checks import Watch
from .world import World

A_LIFE = 12  # calls that are on their way when the last one is used, or that a new life asks before it knows
A_MINUTE = 3  # a sale asks once a minute, other work now and then, an answer may be lost
PATIENCE_SECONDS = 240.0  # a minute between two questions, and faults, and a bad network


class ShortWatch:
    """Follows a day out of API calls: see `trouble.ShortDay`."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.watch = world, watch
        self._began = (0.0, 0, 0)  # when, calls refused before, lives before
        self._back_at = 0.0  # since when the org can be reached
        day.short.append(self._short)
        day.away.append(self._away)

    def _short(self, over: bool) -> None:
        now, refused, lives = self.world.loop.time(), self.world.org.usage.refused, self.world.lives
        if not over:
            self._began = now, refused, lives
            return
        asked, born = refused - self._began[1], 1 + lives - self._began[2]
        most = A_LIFE * born + A_MINUTE * (now - self._began[0]) / 60
        if asked > most:
            self.world.violated(9, f"{asked} calls were made to an org that takes none, in {born} lives")
        self._look_later(self._waiting())

    def _away(self, over: bool) -> None:
        self._back_at = self.world.loop.time() if over else float("inf")

    def _waiting(self) -> set[str]:
        """What has happened, and the ledger does not know; less what a rule has refused, as a letter says."""
        if self.world.plan.fallback:
            return set()
        return {
            key
            for (key,) in self.watch.query(
                "SELECT key FROM movement WHERE state = 'waiting' AND on_hand_delta != 0 AND bundle NOT IN "
                "(SELECT m.bundle FROM movement AS m JOIN dead_letter AS d ON d.key = m.key "
                "WHERE m.state = 'waiting' AND d.source = 'ledger')"
            )
        }

    def _look_later(self, waited: set[str]) -> None:
        if waited:
            self.world.loop.call_later(PATIENCE_SECONDS, self._look, waited, self.world.lives)

    def _look(self, waited: set[str], lives: int) -> None:
        left = waited & self._waiting()
        reached = self.world.loop.time() - self._back_at  # it may be cut off, or have been, all that time
        if lives != self.world.lives or reached < PATIENCE_SECONDS:
            self._look_later(left)
        elif left:
            self.world.violated(
                9, f"the org has been there for {PATIENCE_SECONDS:g} s, and {sorted(left)[:3]} still wait"
            )
