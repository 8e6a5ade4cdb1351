"""The org's port in shadow: whatever would be entered is entered into a model, and read back from there.

What the org has is read from it. On top of each level lies an overlay: the movements that sfsync would have
entered, less those that others have entered for the same sales. So the levels that the flow works with are
those that the org would have with sfsync in the place of the other integration, and they come back to the
org's own as soon as that has entered a sale too.

Levels are read one after another, so that none seems to go back: a level's version is the org's own and the
number of changes to its overlay together, and both only grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn

import structlog

from sfsync.domain.budget import HourOfCalls, Standing, Work
from sfsync.domain.clocks import ALIKE, Ahead
from sfsync.domain.drift import Sums
from sfsync.domain.fold import Fold, FoldAnswer, LedgerRow
from sfsync.domain.ledger import Answer, Request
from sfsync.domain.products import Product
from sfsync.domain.promises import Promise, open_promises
from sfsync.domain.shadow import Entry, Overlay, answered
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel
from sfsync.ports import (
    Children,
    CountBook,
    EventBatch,
    Finding,
    Moved,
    Org,
    OrgReading,
    Refused,
    Storage,
    TellsTime,
)
from sfsync.store import Database
from sfsync.store.shadow import ShadowTx, since
from sfsync.store.tx import SqlTx

MADE = "shadow:"  # the record id of a level that would have been made
NONE = Overlay()
SECOND = timedelta(seconds=1)  # the org tells times in whole seconds
OVERLAP = timedelta(minutes=2)  # a movement may be committed so long after the time that stands in it
log = structlog.get_logger(__name__)


class ShadowOrg:
    """Implements `ports.Org`; whatever writes ends here."""

    def __init__(self, inner: Org, store: Database, now: Callable[[], datetime]) -> None:
        self._inner, self._store, self._now = inner, store, now
        # What tills publish is entered by whoever does it today, and heard of from the ledger.
        self.topics: Sequence[str] = [each for each in inner.topics if each not in inner.posting_topics]
        self.posting_topics: frozenset[str] = frozenset()
        self.order_topics = inner.order_topics
        self.keeps_rows = False
        self.has_products = inner.has_products
        self.counts: CountBook | None = None  # whoever enters counts today answers those who made them
        self._turn = asyncio.Lock()  # one reading of levels at a time
        self._since: datetime | None = None
        self._rows: dict[str, Movement] = {}  # that would have been entered, by key
        self._overlays: dict[LevelKey, Overlay] = {}
        self._versions: dict[LevelKey, int] = {}  # of the org's own; the movements up to them are known
        self._known_to: dict[LevelKey, datetime] = {}  # its movements up to then are known, but late ones
        self._made: set[LevelKey] = set()

    async def load(self) -> None:
        """What was kept of a former run. Before anything else is asked, and once the store is bound."""
        self._since = await self._store.read(since)
        self._rows = {row.key: row for row in await self._store.read(lambda tx: _own(tx).virtual_rows())}
        self._overlays = await self._store.read(lambda tx: _own(tx).overlays())

    def ahead(self) -> Ahead | None:
        """How far the org's clock is ahead of ours."""
        return self._inner.ahead() if isinstance(self._inner, TellsTime) else ALIKE

    # -- what would be written -----------------------------------------------------------------------

    async def enter(self, request: Request, record_ids: Mapping[LevelKey, str]) -> Answer:
        """What the org would have answered; nothing is sent to it but the question how the levels stand."""
        self._made |= {key for key, number in record_ids.items() if number.startswith(MADE)}
        async with self._turn:
            read = await self._of_keys(request.levels, Work.SALE)
            skus = {key.sku for key in request.levels}
            # A sale just heard of may be one that was entered before by somebody else.
            await self._settle(lambda tx: tx.settle(skus))
            levels = {level.key: self._laid(level) for level in read}
            results, taken = answered(request, levels, self._rows)
            if taken:
                at = self._now()

                def keep(tx: ShadowTx) -> dict[LevelKey, Overlay]:
                    tx.enter_virtually(taken, at)
                    return tx.settle({movement.level.sku for movement in taken})

                await self._settle(keep)
                self._rows |= {movement.key: movement for movement in taken}
            rows = {key: self._rows[key] for key in results if key in self._rows}
            return Answer(results, {level.key: self._laid(level) for level in read}, rows)

    async def create_levels(self, keys: Collection[LevelKey]) -> None:
        """Levels that would have been made: empty ones, of which only we know."""
        self._made |= set(keys)

    async def fold(self, fold: Fold, record_id: str) -> FoldAnswer:
        """Nothing is folded in shadow."""
        _refuse("folding")

    async def check_fold(self) -> Finding:
        """It would be tried on a level of its own."""
        _refuse("folding")

    async def check(self, *, writing: bool = False) -> Sequence[Finding]:
        """What can be known without trying anything out."""
        return await self._inner.check(writing=False)

    # -- levels, with what would lie on them ---------------------------------------------------------

    async def snapshot(self, work: Work = Work.REFRESH) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, in pages."""
        async for page in self._inner.snapshot(work):
            yield await self._page(page)

    async def export(self) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, in pages."""
        async for page in self._inner.export():
            yield await self._page(page)

    async def levels_of_skus(self, skus: Collection[str]) -> Sequence[StockLevel]:
        """Every level of these SKUs."""
        async with self._turn:
            return await self._known(await self._inner.levels_of_skus(skus), Work.BULK)

    async def levels_between(
        self, location: str, first: str | None, last: str | None
    ) -> Sequence[StockLevel]:
        """These levels."""
        async with self._turn:
            return await self._known(await self._inner.levels_between(location, first, last), Work.BULK)

    async def read_levels(
        self,
        *,
        levels: Collection[str] = (),
        movements: Collection[str] = (),
        keys: Collection[LevelKey] = (),
        work: Work = Work.SALE,
    ) -> Sequence[StockLevel]:
        """The levels with these record ids, of these movements, of these keys."""
        async with self._turn:
            read: list[StockLevel] = []
            if wanted := [each for each in levels if not each.startswith(MADE)]:
                read += await self._inner.read_levels(levels=wanted, work=work)
            if movements:
                read += await self._inner.read_levels(movements=movements, work=work)
            known = await self._known(read, work)
            if keys:
                known += [self._laid(level) for level in await self._of_keys(keys, work)]
            return known

    async def levels_moved_since(self, at: datetime) -> AsyncIterator[Moved]:
        """The levels that any movement entered or deleted since `at` belongs to, in pages."""
        pages = aiter(self._inner.levels_moved_since(at))
        while True:
            async with self._turn:
                page = await anext(pages, None)
                if page is None:
                    return
                known = Moved(await self._known(page.levels, Work.REFRESH), page.deleted)
            yield known

    async def _of_keys(self, keys: Collection[LevelKey], work: Work) -> list[StockLevel]:
        """Levels by key, as the org has them; those that would have been made are empty."""
        read = await self._heard(await self._inner.read_levels(keys=keys, work=work), work)
        there = {level.key for level in read}
        made = sorted(self._made & set(keys) - there)
        return read + [StockLevel(key, 0, 0, 0, f"{MADE}{key}") for key in made]

    async def _page(self, page: Sequence[StockLevel]) -> Sequence[StockLevel]:
        """A page of a reading of the whole: where a watch begins, what came before is nobody's."""
        async with self._turn:
            for level in page:
                self._versions.setdefault(level.key, level.version)
            return [self._laid(level) for level in page]

    async def _known(self, read: Sequence[StockLevel], work: Work) -> list[StockLevel]:
        return [self._laid(level) for level in await self._heard(read, work)]

    async def _heard(self, read: Sequence[StockLevel], work: Work) -> list[StockLevel]:
        """The levels as the org has them, once the movements that others have entered there are known.

        A movement known to be a sale's is taken out of the overlay. So the levels are read again after that:
        none may lack a movement that the overlay has taken back already.
        """
        levels = {level.key: level for level in read}
        newer = [each for each in levels.values() if each.version > self._versions.get(each.key, -1)]
        if not newer or self._since is None:
            return list(levels.values())
        begin = self._since - SECOND
        oldest = min(self._known_to.get(each.key, begin) for each in newer)
        rows = await self._inner.entered_since([each.record_id for each in newer], oldest)
        entries = [_entry(row) for row in rows]
        known = await self._store.write(partial(_add, entries=entries))
        if known:
            changed = await self._settle(lambda tx: tx.settle({each.level.sku for each in entries}))
            again = {levels[key].record_id for key in changed if key in levels}
            if again:
                fresh = await self._inner.read_levels(levels=again, work=work)
                levels |= {level.key: level for level in fresh if level.key in levels}
        for row in rows:
            known_to = max(begin, row.created_at - OVERLAP)
            self._known_to[row.movement.level] = max(known_to, self._known_to.get(row.movement.level, begin))
        for level in newer:
            self._versions[level.key] = max(level.version, self._versions.get(level.key, -1))
        return list(levels.values())

    async def _settle(self, work: Callable[[ShadowTx], dict[LevelKey, Overlay]]) -> dict[LevelKey, Overlay]:
        changed = await self._store.write(lambda tx: work(_own(tx)))
        self._overlays |= changed
        return changed

    def _laid(self, level: StockLevel) -> StockLevel:
        over = self._overlays.get(level.key, NONE)
        if over == NONE:
            return level
        return replace(
            level,
            on_hand=level.on_hand + over.on_hand,
            reserved=level.reserved + over.reserved,
            version=level.version + over.changes,
        )

    # -- the ledger ----------------------------------------------------------------------------------

    async def promises(self, levels: Mapping[LevelKey, str]) -> Sequence[Promise]:
        """Who holds units there, and who would."""
        real = {key: number for key, number in levels.items() if not number.startswith(MADE)}
        ours = open_promises([row for row in self._rows.values() if row.level in levels])
        return [*await self._inner.promises(real), *ours]

    async def subject_rows(self, subjects: Collection[str]) -> Sequence[Movement]:
        """Every row of these subjects, those that would be there too."""
        wanted = set(subjects)
        ours = [row for row in self._rows.values() if row.subject in wanted]
        return [*await self._inner.subject_rows(subjects), *ours]

    # -- as the org tells it -------------------------------------------------------------------------

    async def org_id(self) -> str:
        """The org's id."""
        return await self._inner.org_id()

    async def sums(self) -> Mapping[str, Sums]:
        """What the org's own levels have together; nothing of an overlay is in them."""
        return await self._inner.sums()

    async def sums_between(self, location: str, first: str | None, last: str | None) -> Sums:
        """The same of a range."""
        return await self._inner.sums_between(location, first, last)

    async def read_orders(self, *, orders: Collection[str] = (), items: Collection[str] = ()) -> OrgReading:
        """Orders that live in the org."""
        return await self._inner.read_orders(orders=orders, items=items)

    def orders_changed_since(self, at: datetime) -> AsyncIterator[OrgReading]:
        """Orders that have changed."""
        return self._inner.orders_changed_since(at)

    def returns_under_way(self) -> AsyncIterator[OrgReading]:
        """Return lines of which nothing has come yet."""
        return self._inner.returns_under_way()

    def products(self, since: datetime | None) -> AsyncIterator[Sequence[Product]]:
        """Products."""
        return self._inner.products(since)

    async def sold(self, skus: Collection[str]) -> int:
        """Units that the ledger has as sold."""
        return await self._inner.sold(skus)

    async def level_rows(self, record_id: str, work: Work = Work.SALE) -> Sequence[LedgerRow]:
        """Every row of a level."""
        return await self._inner.level_rows(record_id, work) if not record_id.startswith(MADE) else ()

    async def rows_at(self, record_ids: Collection[str], work: Work = Work.SALE) -> Sequence[LedgerRow]:
        """Every row of these levels."""
        return await self._inner.rows_at([each for each in record_ids if not each.startswith(MADE)], work)

    async def entered_since(self, record_ids: Collection[str], at: datetime) -> Sequence[LedgerRow]:
        """The rows of these levels made since."""
        return await self._inner.entered_since(record_ids, at)

    def moved(self, since: datetime, kinds: Collection[MovementKind]) -> AsyncIterator[Sequence[LedgerRow]]:
        """Rows of these kinds."""
        return self._inner.moved(since, kinds)

    async def rows_of(self, subjects: Collection[str]) -> Sequence[LedgerRow]:
        """Rows of these subjects."""
        return await self._inner.rows_of(subjects)

    def openings(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Opening rows."""
        return self._inner.openings()

    def reserving_rows(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Rows that reserve."""
        return self._inner.reserving_rows()

    async def orders_entered(self, channel: str) -> tuple[datetime, datetime] | None:
        """What sfsync has entered of a channel's orders, at another time."""
        return await self._inner.orders_entered(channel)

    async def children(
        self, before: datetime | None = None, *, sku: str | None = None, location: str | None = None
    ) -> Sequence[Children]:
        """How many movements levels have."""
        return await self._inner.children(before, sku=sku, location=location)

    async def count_rows(self, since: datetime | None = None) -> int:
        """How many movements there are."""
        return await self._inner.count_rows(since)

    async def storage(self) -> Storage | None:
        """The org's data storage."""
        return await self._inner.storage()

    def events(self, topic: str, cursor: bytes | None) -> AsyncIterator[EventBatch]:
        """The stream."""
        return self._inner.events(topic, cursor)

    def calls(self) -> Standing | None:
        """How the org's API calls stand."""
        return self._inner.calls()

    def hours_of_calls(self) -> tuple[Sequence[HourOfCalls], int | None]:
        """The calls of each hour."""
        return self._inner.hours_of_calls()

    def recall_calls(self, hours: Sequence[HourOfCalls], allowed: int | None) -> None:
        """What was kept of a former run."""
        self._inner.recall_calls(hours, allowed)

    async def close(self) -> None:
        """Give back connections."""
        await self._inner.close()


def _own(tx: SqlTx) -> ShadowTx:
    if not isinstance(tx, ShadowTx):
        raise TypeError("a shadow keeps its store by `ShadowTx`")
    return tx


def _add(tx: SqlTx, *, entries: Collection[Entry]) -> bool:
    return _own(tx).add_entries(entries)


def _entry(row: LedgerRow) -> Entry:
    said = row.movement
    words = " ".join(part for part in (said.reference, said.subject, said.key) if part)
    return Entry(
        row.id, said.level, said.kind, said.on_hand_delta, said.reserved_delta, words, row.created_at
    )


def _refuse(what: str) -> NoReturn:
    raise Refused(f"{what}: sfsync runs in shadow, and writes nothing", advice="run it without --shadow")
