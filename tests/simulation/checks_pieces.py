"""A piece is promised once, wherever it stands: at every commit of the org, over all its levels."""

from __future__ import annotations

from sfsync.simulators.org.model import Commit

from .checks import Watch
from .habits import PIECE
from .world import World


class PieceWatch:
    """Follows what is promised of each piece."""

    def __init__(self, world: World, watch: Watch) -> None:
        self.world, self.watch = world, watch
        inner = world.org.engine.on_commit
        assert inner is not None

        def on_commit(commit: Commit) -> None:
            inner(commit)
            self._org_commit(commit)

        if world.plan.habits.pieces:
            world.org.engine.on_commit = on_commit

    def _org_commit(self, commit: Commit) -> None:
        """Promise 3: what was promised of it elsewhere counts, which the org's rule does not know."""
        raised: dict[str, int] = {}
        for change in commit.changes:
            if change.entity == "StockMovement__c" and (row := change.after):
                key = self.watch.key_of(str(row["StockLevel__c"]))
                if key.startswith(f"{PIECE}|"):
                    unit = key.rpartition("|")[2]
                    raised[unit] = raised.get(unit, 0) + int(row["ReservedDelta__c"] or 0)
        for unit, units in raised.items():
            levels = {key: level for key, level in self.watch.levels.items() if key.endswith(f"|{unit}")}
            promised = {key: level.reserved for key, level in levels.items() if level.reserved}
            if units > 0 and sum(promised.values()) > 1:
                self.world.violated(3, f"{PIECE} {unit} is promised more than once: {promised}")
