"""Levels and ledger rows in bulk, page by page.

Where a level may have lost a movement, deleted rows are asked for too (``queryAll``): a deleted movement has
changed its level, and only its record still says which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sfsync.domain.drift import Sums
from sfsync.domain.promises import Promise, open_promises, unnamed
from sfsync.domain.stock import SOLD, LevelKey, Movement, StockLevel
from sfsync.ports import Moved
from sfsync.salesforce import records, soql
from sfsync.salesforce.records import Record
from sfsync.salesforce.rest import Rest

GROUPS = 2_000  # the most that an aggregate query gives, and it has no next page
LEVELS_A_PAGE = 2_000  # by their ids
NEWEST_ORDERS = 200  # orders give way last; a posting uncovers no more of them than it has units
ALL_LEVELS = f"SELECT {records.LEVEL_FIELDS} FROM StockLevel__c"  # noqa: S608 — constants


_SUMS = "COUNT(Id) levels, SUM(OnHand__c) onhand, SUM(Reserved__c) reserved, SUM(Version__c) version"
_OURS = f"LevelKey__c != {soql.text(str(records.PROBE))}"


def _between(location: str, first: str | None, last: str | None) -> str:
    conditions = [f"LocationCode__c = {soql.text(location)}"]
    if first is not None:
        conditions.append(f"Id > {soql.text(first)}")
    if last is not None:
        conditions.append(f"Id <= {soql.text(last)}")
    return " AND ".join(conditions)


def _sums(record: Record) -> Sums:
    return Sums(*(records.whole(record[name]) for name in ("levels", "onhand", "reserved", "version")))


class Pages(Protocol):
    """How many records are read: a query's records, page by page."""

    def pages(self, query: str) -> AsyncIterator[Sequence[Record]]:
        """Every record that the query finds, as many at a time as the org gives."""
        ...


class RestPages:
    """Pages over our own REST client."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def pages(self, query: str, *, deleted_too: bool = False) -> AsyncIterator[Sequence[Record]]:
        """Every record that the query finds, up to 2,000 at a time."""
        async for page, _ in self.counted_pages(query, deleted_too=deleted_too):
            yield page

    async def counted_pages(
        self, query: str, *, deleted_too: bool = False
    ) -> AsyncIterator[tuple[Sequence[Record], int]]:
        """The pages, each with how many records the query finds in all."""
        path = f"{'queryAll' if deleted_too else 'query'}?q={soql.encoded(query)}"
        while True:
            answer = await self._rest.get(path)
            yield answer["records"], answer["totalSize"]
            if answer["done"]:
                return
            path = answer["nextRecordsUrl"]


class Reader:
    """Reads levels and ledger rows. Lists longer than a URI holds become several calls."""

    def __init__(self, rest: Rest, bulk: Pages) -> None:
        self._few = RestPages(rest)
        self._bulk = bulk

    async def snapshot(self) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, in pages."""
        async for page in self._bulk.pages(ALL_LEVELS):
            yield records.levels(page)

    async def levels_of_skus(self, skus: Collection[str]) -> list[StockLevel]:
        """Every level of these SKUs. The org compares texts without case: we do not."""
        wanted = set(skus)
        found: list[StockLevel] = []
        for names in soql.slices(sorted(wanted)):
            async for page in self._few.pages(f"{ALL_LEVELS} WHERE Sku__c IN ({','.join(names)})"):
                found.extend(level for level in records.levels(page) if level.key.sku in wanted)
        return found

    async def sums(self) -> dict[str, Sums]:
        """What the levels of each location have together: one call."""
        query = (
            f"SELECT LocationCode__c place, {_SUMS} FROM StockLevel__c WHERE {_OURS} GROUP BY LocationCode__c"  # noqa: S608 — constants
        )
        found: dict[str, Sums] = {}
        async for page in self._few.pages(query):
            found |= {record["place"]: _sums(record) for record in page if record["place"]}
        return found

    async def sums_between(self, location: str, first: str | None, last: str | None) -> Sums:
        """What the levels of a location have together within a range of record ids: one call."""
        query = f"SELECT {_SUMS} FROM StockLevel__c WHERE {_OURS} AND {_between(location, first, last)}"  # noqa: S608 — quoted
        async for page in self._few.pages(query):
            return _sums(page[0]) if page else Sums()
        return Sums()

    async def levels_between(self, location: str, first: str | None, last: str | None) -> list[StockLevel]:
        """The levels of a location within a range of record ids."""
        found: list[StockLevel] = []
        async for page in self._few.pages(f"{ALL_LEVELS} WHERE {_between(location, first, last)}"):
            found.extend(records.levels(page))
        return found

    async def levels(self, record_ids: Collection[str]) -> list[StockLevel]:
        """The levels with these record ids; missing ones are left out."""
        found: list[StockLevel] = []
        for names in soql.slices(sorted(record_ids)):
            async for page in self._few.pages(f"{ALL_LEVELS} WHERE Id IN ({','.join(names)})"):
                found.extend(records.levels(page))
        return found

    async def levels_of_keys(self, keys: Collection[LevelKey]) -> list[StockLevel]:
        """The levels with these keys, if they exist. The org compares texts without case: we do not."""
        wanted = set(keys)
        found: list[StockLevel] = []
        for names in soql.slices(sorted(str(key) for key in wanted)):
            async for page in self._few.pages(f"{ALL_LEVELS} WHERE LevelKey__c IN ({','.join(names)})"):
                found.extend(level for level in records.levels(page) if level.key in wanted)
        return found

    async def levels_of_movements(self, movement_ids: Collection[str]) -> set[str]:
        """Record ids of the levels that these movements belong to, deleted movements included."""
        found: set[str] = set()
        for names in soql.slices(sorted(movement_ids)):
            query = f"SELECT StockLevel__c FROM StockMovement__c WHERE Id IN ({','.join(names)})"  # noqa: S608 — escaped
            async for page in self._few.pages(query, deleted_too=True):
                found.update(record["StockLevel__c"] for record in page)
        return found

    async def moved_since(self, at: datetime) -> AsyncIterator[Moved]:
        """The levels that any movement written since `at` belongs to, deleted ones included, in pages.

        Each level once. Of what was read, a bit for each id is held: after a load, that is every level.
        """
        query = (
            "SELECT StockLevel__c, IdempotencyKey__c, IsDeleted FROM StockMovement__c "  # noqa: S608 — a time
            f"WHERE SystemModstamp >= {soql.moment(at)}"
        )
        seen = records.RecordIds()
        fresh: set[str] = set()
        deleted: set[str] = set()
        async for page in self._few.pages(query, deleted_too=True):
            fresh |= seen.new_among(record["StockLevel__c"] for record in page)
            deleted |= {key for each in page if each["IsDeleted"] and (key := each["IdempotencyKey__c"])}
            if max(len(fresh), len(deleted)) >= LEVELS_A_PAGE:
                yield Moved(await self.levels(fresh), frozenset(deleted))
                fresh, deleted = set(), set()
        if fresh or deleted:
            yield Moved(await self.levels(fresh), frozenset(deleted))

    async def promises(self, levels: Mapping[LevelKey, str]) -> list[Promise]:
        """Who holds units reserved at these levels: everything but orders, and the newest of those.

        Two steps: which subjects hold any (an aggregate, which gives no more than 2,000 groups), then their
        rows, which say as what. Units that a person reserved without a subject are one promise.
        """
        found: list[Promise] = []
        for key, record_id in sorted(levels.items()):
            held: dict[str, int] = {}
            query = (
                "SELECT SubjectKey__c subject, SUM(ReservedDelta__c) units FROM StockMovement__c "  # noqa: S608 — quoted
                f"WHERE StockLevel__c = {soql.text(record_id)} GROUP BY SubjectKey__c "
                f"HAVING SUM(ReservedDelta__c) > 0 ORDER BY MAX(CreatedDate) DESC LIMIT {GROUPS}"
            )
            async for page in self._few.pages(query):
                held.update((record["subject"] or "", records.whole(record["units"])) for record in page)
            orders = [subject for subject in held if subject.startswith("order:")]
            wanted = held.keys() - set(orders[NEWEST_ORDERS:]) - {""}
            rows = [row for row in await self.subject_rows(wanted) if row.subject in wanted]
            if "" in held:
                rows += await self._unnamed(key, record_id)
            found += [promise for promise in open_promises(rows) if promise.level == key]
        return found

    async def sold(self, skus: Collection[str]) -> int:
        """Units of these SKUs sold or sent, less what came back; what is folded does not count."""
        kinds = ",".join(soql.text(kind.value) for kind in sorted(SOLD))
        units = 0
        for names in soql.slices(sorted(skus)):
            query = (
                "SELECT StockLevel__r.Sku__c sku, SUM(OnHandDelta__c) units FROM StockMovement__c "  # noqa: S608 — quoted
                f"WHERE StockLevel__r.Sku__c IN ({','.join(names)}) AND Kind__c IN ({kinds}) "
                "GROUP BY StockLevel__r.Sku__c"
            )
            async for page in self._few.pages(query):
                units -= sum(records.whole(row["units"]) for row in page if row["sku"] in skus)
        return units

    async def _unnamed(self, key: LevelKey, record_id: str) -> list[Movement]:
        """The rows of a level that name no subject, and those by which we released such units."""
        query = (
            f"SELECT {records.MOVEMENT_FIELDS} FROM StockMovement__c "  # noqa: S608 — escaped
            f"WHERE StockLevel__c = {soql.text(record_id)} AND ReservedDelta__c != 0 "
            f"AND (SubjectKey__c = null OR SubjectKey__c = {soql.text(unnamed(key))}) "
            "ORDER BY CreatedDate, Name"
        )
        rows = [records.movement(record) async for page in self._few.pages(query) for record in page]
        return [row for row in rows if row is not None]

    async def subject_rows(self, subjects: Collection[str]) -> list[Movement]:
        """Every ledger row of these subjects, oldest first.

        SOQL compares this field without regard to case, so others may come along; they are dropped here.
        """
        wanted = set(subjects)
        found: list[Movement] = []
        for names in soql.slices(sorted(wanted)):
            query = (
                f"SELECT {records.MOVEMENT_FIELDS} FROM StockMovement__c "  # noqa: S608 — escaped
                f"WHERE SubjectKey__c IN ({','.join(names)}) ORDER BY CreatedDate, Name"
            )
            async for page in self._few.pages(query):
                rows = (records.movement(record) for record in page)
                found.extend(row for row in rows if row is not None and row.subject in wanted)
        return found
