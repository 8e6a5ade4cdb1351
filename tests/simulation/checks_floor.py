"""A piece on a shop floor counts once the shop has it in its hand, and not before.

And an order draws on it when there is nothing else; then the shop is asked to look. What the shop does not
find is promised to nobody, until somebody has said that it was found or written off, or has counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from .actors import Asked, Day
from .checks import Watch
from .habits import BOUTIQUE, FLOOR
from .plan import ONLINE
from .world import World

COUNTS = ("granted", "confirmed", "settled")
SOLD_ON_FLOOR = "sold from a shop floor"
LATE_SECONDS = 30.0  # after its end everything that nobody has said a word about has been given back
ON_FLOOR = f"{FLOOR}|{BOUTIQUE}"
# The few rows at the floor are found first: to group all that there are would take a while at each commit.
DRAWN = """
    SELECT max(id), bundle, subject, sum(reserved_delta), count(*) FROM movement
    WHERE id > ?1 AND sku = ?2 AND bundle IN (
        SELECT bundle FROM movement WHERE level_key = ?3 AND subject LIKE 'order:%' AND id > ?1
    ) GROUP BY bundle
"""
ASKED = """
    SELECT bundle, sum(reserved_delta) FROM movement
    WHERE id > ? AND level_key = ? GROUP BY bundle HAVING sum(reserved_delta) > 0
"""
FOUND = """
    SELECT on_hand - reserved - not_found - (
        SELECT coalesce(sum(max(0, units)), 0) FROM (
            SELECT sum(reserved_delta - on_hand_delta) AS units FROM movement
            WHERE level_key = level.level_key AND state = 'waiting' AND bundle < ? GROUP BY bundle
        )
    ) FROM level WHERE level_key = ? AND not_found > 0
"""
# Several decisions share a commit: what was stored in the moment of this one may have come just after it.
ELSEWHERE = """
    WITH asked AS (
        SELECT level_key, sum(max(0, reserved_delta)) AS more, sum(max(0, -on_hand_delta)) AS less
        FROM movement WHERE sku = ? AND state = 'waiting' AND bundle <> ? GROUP BY level_key
    ), known AS (
        SELECT level.level_key, level.stored_at, level.reserved + coalesce(asked.more, 0) AS reserved,
            level.on_hand - coalesce(asked.less, 0) AS on_hand
        FROM level LEFT JOIN asked ON asked.level_key = level.level_key WHERE level.sku = ?
    )
    SELECT on_hand - reserved - (
        SELECT coalesce(sum(max(0, min(other.reserved, other.reserved - other.on_hand))), 0) FROM known other
        WHERE other.level_key <> known.level_key
    ) FROM known WHERE level_key = ? AND stored_at < (SELECT asked_at FROM bundle WHERE id = ?)
"""


class FloorWatch:
    """Hears what customers are told of pieces on the boutique's floor, and sees what orders take from it."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.watch = world, watch
        self._newest = self._asked = 0  # of the movements that were looked at
        day.told.append(self._told)
        if world.plan.habits.floor is not None:
            world.on_commit.append(self._store_commit)

    def _told(self, asked: Asked, state: str) -> None:
        if asked.place == BOUTIQUE and state in COUNTS and not asked.in_hand:
            self.world.violated(
                1, f"{asked.id} was told {state}, and the shop has not said that it has the piece"
            )

    def _store_commit(self) -> None:
        """An order asks for a piece on the floor when, as far as is known, its shop has none elsewhere."""
        if not self.watch.changed or self.watch.newest <= self._newest:
            return
        before, self._asked = self._asked, self.watch.newest
        for bundle, units in self.watch.query(ASKED, before, ON_FLOOR):
            for (there,) in self.watch.query(FOUND, bundle, ON_FLOOR):
                if units > max(0, there):
                    self.world.violated(
                        1,
                        f"{units} of {ON_FLOOR} are asked for, and the shop does not find more than {there}",
                    )
        for newest, bundle, subject, units, rows in self.watch.query(DRAWN, self._newest, FLOOR, ON_FLOOR):
            self._newest = max(self._newest, newest)
            if rows > 1 or units <= 0:
                continue  # it takes over what was held for it, is sent, or gives something back
            shop = subject.split(":")[1]
            if shop not in self.world.shops:
                continue
            for place in self.world.plan.sells_from(shop)[ONLINE]:
                left = self.watch.query(ELSEWHERE, FLOOR, bundle, FLOOR, f"{FLOOR}|{place}", bundle)
                if place != BOUTIQUE and left and left[0][0] > 0:
                    self.world.violated(
                        1, f"{subject} takes a piece from the floor, and {place} has {left[0][0]}"
                    )


def settled_floor(floor: FloorWatch, day: Day) -> Iterator[tuple[int, str]]:
    """(promise, what differs) once the world has come to rest."""
    if floor.world.plan.habits.floor is None:
        return
    ask = floor.watch.query
    states = dict(ask("SELECT id, state FROM reservation"))
    paid = {key for (key,) in ask("SELECT id FROM reservation WHERE paid_at IS NOT NULL")}  # never ends
    for asked in day.reservations:
        state = states.get(asked.id, "nowhere")
        if asked.place == BOUTIQUE and state in COUNTS and not asked.in_hand:
            yield 1, f"{asked.id} is {state}, and the shop has not said that it has the piece"
        held = floor.watch.subjects.get(f"reservation:{asked.id}:0", {}).get(ON_FLOOR)
        if state == "paid-unavailable" and held and held[1]:
            yield 2, f"{asked.id} was told that its goods are gone, and holds {held[1]}"
        if asked.place == BOUTIQUE and state == "settled" and held != [-1, 0]:
            yield 2, f"{asked.id} was handed over, and stands as {held}"
        ended = asked.until and floor.world.loop.time() > asked.until + LATE_SECONDS
        if state == "awaiting-store" and ended and asked.id not in paid:
            yield 9, f"{asked.id} is over since {asked.until}, nobody looked for it, and it holds {held}"
    lost = set(ask("SELECT level_key FROM level WHERE not_found > 0"))
    sought = set(ask("SELECT key FROM incident WHERE kind = 'stock not found' AND closed_at IS NULL"))
    if lost != sought:
        yield 4, f"not to be found are units at {lost}, and to be looked for at {sought}"
    told = {
        key for (key,) in ask("SELECT key FROM incident WHERE kind = ? AND closed_at IS NULL", SOLD_ON_FLOOR)
    }
    takes = {
        subject
        for subject, held in floor.watch.subjects.items()
        if subject.startswith("order:") and held.get(ON_FLOOR, (0, 0))[1] > 0
    }
    for subject in sorted(takes - told):
        yield 4, f"{subject} has a piece on the floor, and the shop is not asked to look"
    for subject in sorted(told - takes):
        yield 4, f"the shop is asked to look for {subject}, which has nothing on its floor"
