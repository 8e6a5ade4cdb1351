"""The books as rows make them in the order of what happened, and the counts that they must agree with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .actors import Day


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement of on hand: when it happened, by whom, how many."""

    at: datetime  # whole seconds, as the org keeps it
    kind: str
    subject: str
    units: int


class Books:
    """All that was ever entered, folded or not."""

    def __init__(self) -> None:
        self.levels: dict[str, list[Entry]] = defaultdict(list)

    def note(self, key: str, row: Any) -> None:
        """A movement was entered; an opening row says only what is known already."""
        subject = str(row.get("SubjectKey__c") or "")
        if subject.startswith("fold:"):
            return
        at: datetime = row["OccurredAt__c"] or row["CreatedDate"]
        units = int(row["OnHandDelta__c"] or 0)
        self.levels[key].append(Entry(at.replace(microsecond=0), str(row["Kind__c"]), subject, units))


def counts(
    books: Books, subjects: Mapping[str, Mapping[str, list[int]]], day: Day
) -> Iterator[tuple[int, str]]:
    """(promise, what differs): all that happened up to a level's last count adds up to what was counted."""
    for subject in day.counted:
        if subject not in subjects:
            yield 4, f"{subject} was taken, and is not in the ledger"
    for key, entries in books.levels.items():
        last = [entry for entry in entries if entry.kind == "Count"]
        if not last:
            continue
        at = max(entry.at for entry in last)
        newest = {entry.subject for entry in last if entry.at == at}
        if len(newest) != 1 or (subject := newest.pop()) not in day.counted:
            continue  # a person's own count, or several of one second
        units = sum(entry.units for entry in entries if entry.at <= at)
        counted = day.counted[subject][1]
        # What people enter by hand in the count's own second may have come before it or after it.
        by_hand = [entry.units for entry in entries if entry.at == at and not entry.subject]
        either_way = {0}
        for each in by_hand:
            either_way |= {so_far + each for so_far in either_way}
        if units - counted not in either_way:
            yield 2, f"{key}: {counted} were counted at {at:%H:%M:%S}, and the rows up to then say {units}"
