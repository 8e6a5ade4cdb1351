"""Who was told that a unit is held for him has it: at that moment, and as long as he was told.

And who gives one back twice gives back one; who pays after the end gets what is there, or is told that the
goods are gone, and a person is told of him.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf

from sfsync.simulators.org.model import Commit

from .actors import Asked, Day
from .checks import Watch
from .world import World

GIVEN_UP = """
    SELECT movement.subject, level.reserved > level.on_hand
    FROM movement JOIN level ON level.level_key = movement.level_key
    WHERE movement.id > ? AND movement.reserved_delta < 0 AND movement.subject LIKE 'reservation:%'
"""


class GateWatch:
    """Follows reservations: what parties were told, and what the ledger holds for them."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.day, self.watch = world, day, watch
        self._by_number: dict[str, list[Asked]] = defaultdict(list)
        self._counted = 0  # of the day's reservations, those that stand there; none is ever taken away
        self._seen_gone: set[str] = set()  # what was given up while its goods were known to have left
        self._newest = 0  # of the movements that were looked at
        day.told.append(self._told)
        world.on_commit.append(self._store_commit)
        inner = world.org.engine.on_commit
        assert inner is not None

        def on_commit(commit: Commit) -> None:
            inner(commit)
            self._org_commit(commit)

        world.org.engine.on_commit = on_commit

    def _store_commit(self) -> None:
        """Goods that left may be back before the org hears that their reservation has given them up."""
        if not self.watch.changed or self.watch.newest <= self._newest:
            return
        before, self._newest = self._newest, self.watch.newest
        for subject, gone in self.watch.query(GIVEN_UP, before):
            if gone:
                self._seen_gone.add(subject)

    def _org_commit(self, commit: Commit) -> None:
        subjects = {
            str(change.after["SubjectKey__c"]): None
            for change in commit.changes
            if change.entity == "StockMovement__c" and change.after and change.after.get("SubjectKey__c")
        }
        for subject in subjects:
            if not subject.startswith("reservation:"):
                continue
            for key, (_, reserved) in self.watch.subjects[subject].items():
                if reserved < 0:
                    self.world.violated(2, f"{subject} gave back {-reserved} more at {key} than it held")
            for asked in self._known_by(subject.split(":")[1]):
                early = self.world.loop.time() < asked.kept_until
                if early and subject not in self._seen_gone and not self._gone(subject, commit):
                    self._must_hold(asked, "was let go before its time")

    def _known_by(self, number: str) -> Sequence[Asked]:
        """The reservations of this id, as those who asked for them know them."""
        for asked in self.day.reservations[self._counted :]:
            self._by_number[asked.id].append(asked)
        self._counted = len(self.day.reservations)
        return self._by_number.get(number, ())

    def _gone(self, subject: str, commit: Commit) -> bool:
        """True when goods had left: what is given back was not covered, and who pays for it is told."""
        for change in commit.changes:
            row = change.after
            if change.entity != "StockMovement__c" or not row or row.get("SubjectKey__c") != subject:
                continue
            level = self.world.org.engine.store.tables["StockLevel__c"].rows[row["StockLevel__c"]]
            before = level["Reserved__c"] - row["ReservedDelta__c"]
            if row["ReservedDelta__c"] < 0 and before > level["OnHand__c"]:
                return True
        return False

    def _told(self, asked: Asked, state: str) -> None:
        if state == "confirmed" and asked.kept_until == inf:
            self._must_hold(asked, "was told confirmed")
        # Told that its goods are gone, it may hold them a moment later: what comes in is its own first.

    def _must_hold(self, asked: Asked, what: str) -> None:
        if self.world.plan.fallback or asked.channel is not None:
            return  # it may give way to a posting; or its order has taken it over
        held = self.held(asked)
        if held != dict(asked.lines):
            self.world.violated(1, f"{asked.id} {what}, and the org holds {held} of {asked.lines} for it")

    def held(self, asked: Asked) -> dict[str, int]:
        """Units that the org holds for it, by SKU."""
        found: dict[str, int] = {sku: 0 for sku, _ in asked.lines}
        for number in range(len(asked.lines)):
            for key, (_, units) in self.watch.subjects.get(f"reservation:{asked.id}:{number}", {}).items():
                found[key.partition("|")[0]] += units
        return found


def settled_gate(gate: GateWatch, day: Day) -> Iterator[tuple[int, str]]:
    """(promise, what differs) once the world has come to rest."""
    ask = gate.watch.query
    states = dict(ask("SELECT id, state FROM reservation"))
    open_incidents = {
        key
        for (key,) in ask(
            "SELECT key FROM incident WHERE kind = 'paid and not available' AND closed_at IS NULL"
        )
    }
    for asked in day.reservations:
        state = states.get(asked.id)
        if asked.kept_until == inf and state not in ("confirmed", "paid-unavailable"):
            yield 1, f"{asked.id} was told confirmed, and is {state}"
        if asked.kept_until == inf and state == "paid-unavailable" and not gate.world.plan.fallback:
            yield 1, f"{asked.id} was told confirmed, and its goods are gone"
    for number, state in states.items():
        if (state == "paid-unavailable") != (number in open_incidents):
            told = "is open" if number in open_incidents else "is not open"
            yield 4, f"the reservation {number} is {state}, and the incident {told}"
