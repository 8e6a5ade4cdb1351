"""What a rewritten ledger may look like: rows that people delete, or that a restored backup does not have.

The org's present truth counts from then on: each level is taken over with an incident, orders are asked for
again, and what merely had happened (a till's sale) stays away unless its till tells of it again. That newer
movements outweigh what is gone is no excuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sfsync.domain.incidents import REWRITTEN


class Rewritings:
    """Which levels' ledgers went back, to which version, and whose rows went."""

    def __init__(self) -> None:
        self.levels: set[str] = set()  # whose ledgers were ever rewritten
        self.lost: set[str] = set()  # subjects that ever lost a row
        self._lowered: dict[str, int] = {}  # by level: its lowest version since it was taken over last

    def lose(self, key: str, subject: str) -> None:
        """A row of the subject has gone from the level."""
        self.levels.add(key)
        self.lost.add(subject)

    def lowered(self, key: str, version: int) -> None:
        """The level has this version now."""
        self._lowered[key] = min(version, self._lowered.get(key, version))

    def taken_over(self, key: str, version: int) -> bool:
        """Whether the org itself went back so far since the store caught up with it last."""
        return key in self._lowered and version >= self._lowered[key]

    def pending(self, key: str) -> bool:
        """True of a level that went back, and the store has not done so yet."""
        return key in self._lowered

    def caught_up(self, key: str) -> None:
        """The store went back to what the org has, or had since."""
        self._lowered.pop(key, None)


def told(incidents: Iterable[tuple[str, str]], key: str) -> bool:
    """Whether an incident (kind, key) says that the level's ledger was rewritten."""
    return (REWRITTEN, key) in set(incidents)


def may_go(row: Mapping[str, Any], level: str, *, orders_too: bool) -> bool:
    """A row that people may delete in the simulated house: of articles that nobody has for himself.

    Counts, transfers, reservations and orders in the org are left alone: what becomes of them is told by
    tests of their own.
    """
    sku, _, place = level.partition("|")
    kind, _, rest = str(row["SubjectKey__c"] or "person").partition(":")
    return (
        sku.startswith(("DEEP", "SCARCE"))
        and place in ("ECOM", "KNIGHTSBRIDGE")
        and not row["IsDeleted"]
        and not row["Folded__c"]
        and row["Kind__c"] != "Count"
        and bool(row["OnHandDelta__c"] or row["ReservedDelta__c"])
        and (kind in ("posting", "person") or (kind == "order" and orders_too and rest[:4] != "org:"))
    )
