"""Nobody is told that he has what sfsync knows to be gone, or what only the shop can say that it has."""

from __future__ import annotations

from .actors import Asked, Day
from .checks import Watch
from .habits import CART, DROP, FEW, KIOSK, PAVILION
from .world import World


class PavilionWatch:
    """Hears what those are told whose goods the counter has sold, and says what sfsync has heard of that."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.watch = world, watch
        day.known = self._known
        day.told.append(self._told)

    def _known(self, level: str) -> int | None:
        """Units on hand by the store's word."""
        found = self.watch.query("SELECT on_hand FROM level WHERE level_key = ?", level)
        return int(found[0][0]) if found else None

    def _told(self, asked: Asked, state: str) -> None:
        if asked.left is None:
            return
        if asked.lines[0][0] == DROP and asked.beside:
            now = self.world.loop.time()  # an answer that was lost may be told when the other's time is over
            held = [each for each in asked.beside if each.state == "granted" and not 0 < each.until <= now]
            granted = sum(each.lines[0][1] for each in held)
            if granted > asked.left:
                self.world.violated(
                    1, f"{granted} were granted, and {asked.left} without the shop's last: {asked.id}"
                )
            return
        if asked.lines[0][0] == DROP:
            if state == "granted" and self.world.level(DROP, PAVILION)["OnHand__c"] <= FEW:
                self.world.violated(
                    1, f"{asked.id} was granted one of the last pieces, and no shop was asked"
                )
            return
        confirmed = sum(each.state == "confirmed" for each in asked.beside)
        left = max(
            asked.left, int(self.world.level(CART, KIOSK)["OnHand__c"])
        )  # somebody may have brought some
        if confirmed > left:
            self.world.violated(1, f"{confirmed} were told confirmed, and {left} are left: {asked.id}")
