"""The books as they should be in the order of what happened, and the counts that they must agree with.

When something happened, the world says: the tills, the shops and whoever carries goods, each by their own
clock. The ledger's own dates are looked at; they are believed of what the org itself dated (people's entries,
counts, orders in the org), and where the world's moment cannot be told apart by level.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sfsync.simulators.shopify.model import LineItem, Order

from .actors import Day
from .checks_org import copied
from .sold import lines
from .world import World

BUS_LATE = timedelta(seconds=10)  # from a till's word to its place in the stream, at most


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
        # When the bus carried what a till told without a date: nobody knows better then. By source id.
        self.undated: dict[str, set[datetime]] = defaultdict(set)

    def note(self, key: str, row: Any) -> None:
        """A movement was entered; an opening row says only what is known already."""
        subject = str(row.get("SubjectKey__c") or "")
        if subject.startswith("fold:"):
            return
        at: datetime = row["OccurredAt__c"] or row["CreatedDate"]
        units = int(row["OnHandDelta__c"] or 0)
        self.levels[key].append(Entry(second(at), str(row["Kind__c"]), subject, units))

    def forget(self, key: str, row: Any) -> None:
        """A movement was deleted, and counts as one that never was."""
        subject = str(row.get("SubjectKey__c") or "")
        at, units = second(row["OccurredAt__c"] or row["CreatedDate"]), int(row["OnHandDelta__c"] or 0)
        self.levels[key].remove(Entry(at, str(row["Kind__c"]), subject, units))


class Shelf:
    """When goods left their shelf or came onto it, by the clocks of those who had them in their hands."""

    def __init__(self, books: Books, world: World, day: Day) -> None:
        self._books, self._day, copies = books, day, copied(world)
        self._sold: dict[str, tuple[Order, LineItem]] = {
            subject: (order, line)
            for name, subject, order, line in lines(world)
            if not (name == "london" and order.name in copies)
        }

    def units_by(self, at: datetime, subject: str, entries: Sequence[Entry], *, alone: bool) -> int:
        """Of what a subject's rows move at a level, the units that had moved by then.

        `alone`: the subject has rows at no other level, so all that happened to it happened here.
        """
        kind, _, name = subject.partition(":")
        happened = self._day.happened.get(name) if kind in ("posting", "transfer") else None
        if happened is not None and name not in self._day.undated:
            return sum(entry.units for entry in entries) if second(happened) <= at else 0
        moved = self._moved(subject) if alone else None
        if moved is not None:
            return sum(units for when, units in moved if when <= at)
        return sum(entry.units for entry in entries if entry.at <= at)

    def _moved(self, subject: str) -> list[tuple[datetime, int]] | None:
        """A line's parcels and what came back, each with its moment; None of a line that others know better.

        Of a parcel that was called off nobody but its shop knows that it was ever away.
        """
        order, line = self._sold.get(subject, (None, None))
        if order is None or any(parcel.status != "success" for parcel in order.fulfillments):
            return None
        return [
            (second(parcel.created_at), -row.quantity)
            for parcel in order.fulfillments
            for row in parcel.lines
            if row.line_item is line
        ] + [
            (second(refund.created_at), row.quantity)
            for refund in order.refunds
            for row in refund.lines
            if row.line_item is line and row.restock_type == "return"
        ]

    def dates(self) -> Iterator[tuple[int, str]]:
        """(promise, what differs): what is told late is entered as of when it happened."""
        for entries in self._books.levels.values():
            for entry in entries:
                kind, _, name = entry.subject.partition(":")
                may = set(self._books.undated.get(name, ()))
                if kind == "posting" and name in self._day.happened:
                    may.add(second(self._day.happened[name]))
                if kind == "order" and entry.units:
                    moved = self._moved(entry.subject) or ()
                    may = {when for when, units in moved if (units > 0) == (entry.units > 0)}
                if may and name in self._day.undated and timedelta() <= entry.at - min(may) <= BUS_LATE:
                    continue  # carried late, and perhaps by a bus that has forgotten it since
                if may and entry.at not in may:
                    what = f"{entry.subject}: {entry.units:+d} of {min(may):%H:%M:%S}"
                    yield 4, f"{what} stands as of {entry.at:%H:%M:%S}"


def second(at: datetime | float) -> datetime:
    """A moment as the org keeps it."""
    at = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return at.replace(microsecond=0)


def counts(
    books: Books,
    subjects: Mapping[str, Mapping[str, Sequence[int]]],
    rewritten: Container[str],
    day: Day,
    world: World,
) -> Iterator[tuple[int, str]]:
    """(promise, what differs): all is as of when it happened, and up to a level's last count adds up to it.

    So on hand is what was counted and what has happened since; but for levels whose rows somebody deleted.
    """
    for subject in day.counted:
        if subject not in subjects:
            yield 4, f"{subject} was taken, and is not in the ledger"
    shelf = Shelf(books, world, day)
    yield from shelf.dates()
    for key, entries in books.levels.items():
        last = [entry for entry in entries if entry.kind == "Count"]
        if not last or key in rewritten:
            continue
        at = max(entry.at for entry in last)
        newest = {entry.subject for entry in last if entry.at == at}
        if len(newest) != 1 or (subject := newest.pop()) not in day.counted:
            continue  # a person's own count, or several of one second
        of: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            of[entry.subject].append(entry)
        units = 0
        for name, rows in of.items():
            elsewhere = any(on_hand for other, (on_hand, _) in subjects.get(name, {}).items() if other != key)
            units += shelf.units_by(at, name, rows, alone=not elsewhere)
        counted = day.counted[subject][1]
        # What people enter by hand in the count's own second may have come before it or after it.
        by_hand = [entry.units for entry in entries if entry.at == at and not entry.subject]
        either_way = {0}
        for each in by_hand:
            either_way |= {so_far + each for so_far in either_way}
        if units - counted not in either_way:
            yield 2, f"{key}: {counted} counted at {at:%H:%M:%S}, and what had happened by then makes {units}"
