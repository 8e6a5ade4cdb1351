"""A piece on a shop floor counts once the shop has it in its hand, and not before."""

from __future__ import annotations

from collections.abc import Iterator

from .actors import Asked, Day
from .checks import Watch
from .habits import BOUTIQUE
from .world import World

COUNTS = ("granted", "confirmed", "settled")


class FloorWatch:
    """Hears what customers are told of pieces on the boutique's floor."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.watch = world, watch
        day.told.append(self._told)

    def _told(self, asked: Asked, state: str) -> None:
        if asked.place == BOUTIQUE and state in COUNTS and not asked.in_hand:
            self.world.violated(
                1, f"{asked.id} was told {state}, and the shop has not said that it has the piece"
            )


def settled_floor(floor: FloorWatch, day: Day) -> Iterator[tuple[int, str]]:
    """(promise, what differs) once the world has come to rest."""
    if floor.world.plan.habits.floor is None:
        return
    states = dict(floor.watch.query("SELECT id, state FROM reservation"))
    for asked in day.reservations:
        state = states.get(asked.id, "nowhere")
        if asked.place == BOUTIQUE and state in COUNTS and not asked.in_hand:
            yield 1, f"{asked.id} is {state}, and the shop has not said that it has the piece"
        held = floor.watch.subjects.get(f"reservation:{asked.id}:0", {}).get(f"FLOOR-1|{BOUTIQUE}")
        if state == "paid-unavailable" and held and held[1]:
            yield 2, f"{asked.id} was told that its goods are gone, and holds {held[1]}"
        if asked.place == BOUTIQUE and state == "settled" and held != [-1, 0]:
            yield 2, f"{asked.id} was handed over, and stands as {held}"
