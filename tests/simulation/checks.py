"""The promises, checked from outside: the org's rows, the shops' numbers and orders, what the store says.

Written from the design's words, not from the product's code. `Watch` looks after every commit of the org and
of the store; `settled` says what still differs once everything may have come to rest.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import httpx

from sfsync.domain.incidents import REWRITTEN
from sfsync.simulators.org.model import Change, ChangeKind, Commit
from sfsync.simulators.shopify.model import LineItem, Order

from .actors import Asked, Day
from .checks_debts import left
from .checks_org import OrderWatch, Subjects, copied, order_of, org_orders, short
from .checks_rewrites import Rewritings, told
from .checks_sent import sent_unreserved, sold_on
from .checks_stock import Books, counts, second
from .habits import BLOCK, DROP, FETCHED, FLOOR
from .plan import PLACES, SHOPS, UNKNOWN, Plan
from .sold import lines, wanted
from .trouble import STOCK, TILLS
from .world import World

Place = tuple[str, str]  # SKU, place
PROBE = "SFSYNC-PROBE"  # the level that the rule is tried on: nobody's stock


@dataclass(slots=True)
class Sums:
    """A level as its rows make it."""

    on_hand: int = 0
    reserved: int = 0
    version: int = 0


@dataclass(slots=True)
class Owed:
    """A change that the stream has told of: once the bookmark is past it, the store knows it."""

    replay: int
    version: int


LEVELS = "SELECT level_key, version FROM level"
# The levels as one text, which is compared instead of a row for each of them: most commits change none.
LOOK = """
    SELECT 'levels', (SELECT group_concat(level_key || ' ' || version) FROM level), NULL
    UNION ALL SELECT 'cursor', topic, cursor FROM cursor
    UNION ALL SELECT closes, id, source FROM hole WHERE closed_at IS NULL
    UNION ALL SELECT 'movement', max(id), NULL FROM movement
    UNION ALL SELECT 'folds', (SELECT max(id) FROM fold), (SELECT count(*) FROM fold WHERE state = 'open')
    UNION ALL SELECT 'waits', group_concat(id), NULL FROM movement WHERE state = 'waiting'
    UNION ALL SELECT 'inbox', max(id), (SELECT min(id) FROM inbox WHERE done_at IS NULL) FROM inbox
    UNION ALL SELECT 'polled', sum(poll_mark), NULL FROM channel
"""


class _Seen(NamedTuple):
    """What stands in the store after a commit."""

    cursors: dict[str, bytes]
    versions: dict[str, int]
    replaying: list[tuple[int, str]]  # open holes that a replay closes, and their streams
    holes: int  # that are open


ROWS_A_CALL = 200  # of a fold, by `docs/`


class Watch:
    """Follows every commit."""

    def __init__(self, world: World, day: Day) -> None:
        self.world, self.day = world, day
        self.levels: dict[str, Sums] = defaultdict(Sums)  # by the level's key
        # The rows that have a key, folded or not: subject, level, kind, on hand, reserved.
        self.rows: dict[str, tuple[str, str, str, int, int]] = {}
        self._version_of: dict[str, int] = {}  # of a movement's record: the level's version with it
        self.subjects: dict[str, dict[str, list[int]]] = {}
        self.by_order: dict[str, list[tuple[str, Mapping[str, Sequence[int]]]]] = defaultdict(list)
        self._keys = {
            str(row["Id"]): str(row["LevelKey__c"])
            for row in world.org.engine.store.tables["StockLevel__c"].rows.values()
        }
        self.rewritings = Rewritings()
        self.folded = 0  # movements that an opening row stands for
        self.books = Books()
        for row in world.org.engine.store.tables["StockMovement__c"].rows.values():
            self._note(row)
        self._owed: dict[str, Owed] = {}  # by level key: the newest change that the stock stream told of
        self._lost: dict[str, int] = {}  # by level key: the version at a reset; owed once no hole is open
        self._untold: deque[dict[str, int]] = deque()  # level keys and versions: the next overflow's
        self._overflows: list[tuple[int, dict[str, int]]] = []  # by replay id: lost once the bookmark is past
        self.changed = True  # the store, by the last of the daemon's commits
        self._change: tuple[Any, int] = (None, -1)  # of the store, as SQLite counts
        self.newest = 0  # of the movements in the store
        self.folds = (0, 0)  # the newest in the store, and how many are open
        self.waits = ""  # the ids of the movements that wait for the org, in one text
        self.read = 0  # the newest webhook up to which all are read
        self.polled = 0.0  # another number once one of the shops' order lists has been read
        self._seen: dict[str, int] = {}  # versions in the store
        self._levels_seen: str | None = None  # the same as one text
        self._cursors: dict[str, bytes] = {}
        self.listening = asyncio.Event()  # every topic has a bookmark: from now on postings are promised
        self._gaps: list[int] = []  # replay ids of the stock stream's gaps that the bookmark is not past
        self._tills: list[tuple[int, str]] = []  # (replay id, source id)
        self._taken = 0
        self._told: dict[str, int] = dict.fromkeys((STOCK, TILLS), 0)
        self._heard = -1  # the org's newest event when its topics were looked at; -1: they never were
        self._behind: dict[int, tuple[str, int]] = {}  # hole -> its stream, and what that held at its opening
        inner = world.org.engine.on_commit
        assert inner is not None

        def on_commit(commit: Commit) -> None:
            inner(commit)
            self._org_commit(commit)

        world.org.engine.on_commit = on_commit
        world.on_commit.append(self.store_commit)
        world.resets.append(self._reset)
        world.overflows.append(self._overflow)
        day.granted.append(self._granted)
        self._raised_by: int = 0  # the newest push seen
        self._lower: dict[tuple[str, str, str], tuple[int, int]] = {}  # due to go down: target, published
        self._store = sqlite3.connect(world.store_path, isolation_level=None)
        if world.plan.habits.org_orders:
            OrderWatch(world, self, self._told)

    def close(self) -> None:
        self._store.close()

    # -- the org

    def key_of(self, record: str) -> str:
        """A level's key; goods on their way get their level when they first leave."""
        if record not in self._keys:
            self._keys[record] = str(
                self.world.org.engine.store.tables["StockLevel__c"].rows[record]["LevelKey__c"]
            )
        return self._keys[record]

    def _note(self, row: Any) -> str:
        key = self.key_of(str(row["StockLevel__c"]))
        on_hand, reserved = int(row["OnHandDelta__c"] or 0), int(row["ReservedDelta__c"] or 0)
        sums = self.levels[key]
        sums.on_hand += on_hand
        sums.reserved += reserved
        sums.version += int(row["VersionDelta__c"] or 0)
        self._version_of[str(row["Id"])] = sums.version
        self.books.note(key, row)
        if row.get("SubjectKey__c"):
            held = self._held_by(str(row["SubjectKey__c"])).setdefault(key, [0, 0])
            held[0] += on_hand
            held[1] += reserved
        return key

    def _held_by(self, subject: str) -> dict[str, list[int]]:
        """What a subject holds, which is found by its order, too: a day has thousands of subjects."""
        if subject not in self.subjects:
            self.subjects[subject] = {}
            self.by_order[order_of(subject)].append((subject, self.subjects[subject]))
        return self.subjects[subject]

    def _gone(self, row: Any) -> None:
        """Folded: the level has what the opening row says, and its subject holds what it held."""
        sums = self.levels[self.key_of(str(row["StockLevel__c"]))]
        sums.on_hand -= int(row["OnHandDelta__c"] or 0)
        sums.reserved -= int(row["ReservedDelta__c"] or 0)
        sums.version -= int(row["VersionDelta__c"] or 0)
        self.folded += 1

    def _org_commit(self, commit: Commit) -> None:
        moved = [change for change in commit.changes if change.entity == "StockMovement__c"]
        lost: set[str] = set()
        made = [change.after for change in moved if change.kind is ChangeKind.CREATE and change.after]
        before = {
            key: replace(self.levels[key])
            for row in made
            if str(row["SubjectKey__c"]).startswith("fold:") and row["Kind__c"] == "Opening"
            for key in [self.key_of(str(row["StockLevel__c"]))]
        }
        for change in moved:
            if change.kind is ChangeKind.DELETE and change.before:
                self._gone(change.before)
                if str(change.before["Id"]) in self.world.rewriting:
                    lost.add(self._lost_row(change.before))
        for key in lost:
            self._rewritten(key)
        raised: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        for row in made:
            key = self._note(row)
            self._once(key, row)
            units = int(row["ReservedDelta__c"] or 0)
            raised[key][str(row.get("SubjectKey__c") or "person")][units < 0] += abs(units)
        for key, by_subject in raised.items():
            self._within_stock(key, by_subject)
        for key, sums in before.items():
            self._folded(key, sums, moved)
        sent_unreserved(self, self.world, made)

    def _folded(self, key: str, before: Sums, moved: Sequence[Change]) -> None:
        """A fold says what was there before, under a higher version, and takes nothing away meanwhile."""
        after, lowest = self.levels[key], before.on_hand
        there, deleted = before.on_hand, 0
        for change in moved:
            row = change.after if change.kind is ChangeKind.CREATE else change.before
            if row is None or self.key_of(str(row["StockLevel__c"])) != key:
                continue
            units = int(row["OnHandDelta__c"] or 0)
            if change.kind is not ChangeKind.CREATE:  # the rows of one call go together
                there, deleted = there - units, deleted + 1
                lowest = lowest if deleted % ROWS_A_CALL else min(lowest, there)
                continue
            there, lowest = there + units, min(lowest, there, there + units)
        lowest = min(lowest, there)
        if (after.on_hand, after.reserved) != (before.on_hand, before.reserved):
            self.world.violated(2, f"a fold of {key} makes {after} of {before}")
        if after.version <= before.version:
            self.world.violated(
                6, f"a fold of {key} takes it from version {before.version} to {after.version}"
            )
        if lowest < min(before.on_hand, after.on_hand):
            self.world.violated(3, f"a fold of {key}, with {before.on_hand} on hand, goes by {lowest}")

    def _lost_row(self, row: Any) -> str:
        """Deleted, and nothing stands for it: its subject holds so much less. The level's key."""
        key, subject = self.key_of(str(row["StockLevel__c"])), str(row.get("SubjectKey__c") or "")
        self.folded -= 1
        self.rows.pop(str(row.get("IdempotencyKey__c")), None)
        self.books.forget(key, row)
        if subject:
            held = self.subjects[subject][key]
            held[0] -= int(row["OnHandDelta__c"] or 0)
            held[1] -= int(row["ReservedDelta__c"] or 0)
        self.rewritings.lose(key, subject)
        return key

    def _rewritten(self, key: str) -> None:
        """The level went back: whatever was told of it before is known with the version that it has now."""
        version = self.levels[key].version
        self.rewritings.lowered(key, version)
        if key in self._owed:
            self._owed[key].version = min(version, self._owed[key].version)
        for lost in (self._lost, *self._untold, *(each for _, each in self._overflows)):
            if key in lost:
                lost[key] = min(version, lost[key])
        for row in self.world.org.engine.store.tables["StockMovement__c"].rows.values():
            number = str(row["Id"])
            if number in self._version_of and self.key_of(str(row["StockLevel__c"])) == key:
                self._version_of[number] = min(version, self._version_of[number])

    def _once(self, level: str, row: Any) -> None:
        """Promise 2: a key stands for one row."""
        number = row.get("IdempotencyKey__c")
        if number is None:
            return
        if number in self.rows:
            self.world.violated(2, f"the key {number} stands twice in the ledger")
        units = int(row["OnHandDelta__c"] or 0), int(row["ReservedDelta__c"] or 0)
        self.rows[number] = (str(row["SubjectKey__c"]), level, str(row["Kind__c"]), *units)

    def _within_stock(self, key: str, by_subject: Mapping[str, Sequence[int]]) -> None:
        """Promise 3: nothing is reserved beyond stock. A unit that changes hands is not reserved anew.

        An order takes over what a reservation gives up at the level in the same commit, but for another
        order's, and what is set aside for its channel; an allocation what an order of its channel, or another
        allocation, gives up. `by_subject`: units up and down.
        """
        level = self.levels[key]
        if level.reserved <= level.on_hand:
            return
        new, sold, back = 0, defaultdict[str, int](int), defaultdict[str, int](int)
        of_nobody = self._given_up_of_nobody(by_subject)
        for subject, (up, down) in by_subject.items():
            kind, channel = (*subject.split(":"), "")[:2]
            if kind == "order":
                own = sum(
                    by_subject[each][1] for each in self._reservations_of(subject) if each in by_subject
                )
                wanted_more = max(0, up - down - own)
                part = min(of_nobody, wanted_more)
                of_nobody -= part
                sold[channel] += wanted_more - part
                back[channel] += max(0, down - up)
            elif kind in ("reservation", "person"):
                new += max(0, up - down)
        left = raised = 0
        for channel in {*sold, *(subject.split(":")[1] for subject in by_subject if subject[:4] == "allo")}:
            of_channel = [
                units for name, units in by_subject.items() if name.startswith(f"allocation:{channel}:")
            ]
            given = sum(down for _, down in of_channel)
            part = min(sold[channel], given)
            new += sold[channel] - part
            left += given - part
            raised += max(0, sum(up for up, _ in of_channel) - back[channel])
        new += max(0, raised - left)
        if new > 0:
            what = f"{new} newly reserved at {key}: {level.reserved} reserved of {level.on_hand} on hand"
            self.world.violated(3, f"{what}, by {dict(by_subject)}")

    def _given_up_of_nobody(self, by_subject: Mapping[str, Sequence[int]]) -> int:
        """Units that reservations give up of which nobody has said yet whose order they are."""
        named = {asked.id for asked in self.day.reservations if asked.order}
        return sum(
            down
            for subject, (_, down) in by_subject.items()
            if subject.startswith("reservation:") and subject.split(":")[1] not in named
        )

    def _reservations_of(self, subject: str) -> Iterator[str]:
        """The parts of the reservations that a line's order was sold on, as the order or its party says."""
        noted, named = sold_on(self.world, subject)
        for asked in self.day.reservations:
            if asked.id == noted or (named and asked.order == named):
                yield from (f"reservation:{asked.id}:{number}" for number in range(len(asked.lines)))

    def _granted(self, asked: Asked) -> None:
        """Promise 1: who was told *granted* has rows in the org at that moment, or soon, out of a block."""
        for number, (sku, units) in enumerate(asked.lines):
            out_of_block = sku == DROP and units <= BLOCK
            if not out_of_block and f"reservation:{asked.id}:{number}" not in self.subjects:
                self.world.violated(
                    1, f"{asked.id} was told granted, and the org has no row of its line {number}"
                )

    # -- the stream

    def _reset(self) -> None:
        """Replay ids mean nothing any more: what was told is owed once the hole is closed."""
        self._hear()
        self._change = (None, -1)
        for key in self._owed:
            self._lost[key] = self.levels[key].version
        self._owed.clear()
        for _, lost in self._overflows:
            self._lose(lost)
        self._overflows.clear()
        self._gaps.clear()
        self._tills.clear()
        self._taken = 0
        self._told.update(dict.fromkeys(self._told, 0))
        self._heard = -1
        self._behind = {hole: (source, 0) for hole, (source, _) in self._behind.items()}

    def _overflow(self, rows: Sequence[str]) -> None:
        """Rows that no event tells of but an overflow, which follows."""
        lost: dict[str, int] = {}
        for key, version in self._levels_of(rows):
            lost[key] = max(version, lost.get(key, 0))
        self._untold.append(lost)

    def _lose(self, levels: Mapping[str, int]) -> None:
        """Owed once no hole is open."""
        for key, version in levels.items():
            self._lost[key] = max(version, self._lost.get(key, 0))

    def _hear(self) -> None:
        """What the topics hold that we have not seen."""
        newest = self.world.bus.ids.last
        if newest == self._heard:
            return  # no topic has another event since then
        self._heard = newest
        for name in (STOCK, TILLS):
            topic = self.world.bus.topics()[name]
            for entry in topic.after(self._told[name], 10_000):
                self._told[name] = entry.replay
                if name == TILLS:
                    told = entry.event.values
                    self._tills.append((entry.replay, str(told.get("SourceId__c") or "")))
                    if told.get("OccurredAt__c") is None:
                        self.books.undated[self._tills[-1][1]].add(second(told["CreatedDate"] / 1000))
                    continue
                header = entry.event.header or {}
                if header.get("changeType", "").startswith("GAP_"):
                    self._gaps.append(entry.replay)
                if header.get("changeType") == "GAP_OVERFLOW" and self._untold:
                    self._overflows.append((entry.replay, self._untold.popleft()))
                for key, version in self._levels_of(header.get("recordIds", ())):
                    self._owed[key] = Owed(entry.replay, version)

    def _levels_of(self, record_ids: Iterable[str]) -> Iterator[tuple[str, int]]:
        """The level of each movement, and the version that the movement made of it."""
        table = self.world.org.engine.store.tables["StockMovement__c"].rows
        for number in record_ids:
            if number in table:
                key = self.key_of(str(table[number]["StockLevel__c"]))
                if not key.startswith(PROBE):  # told by a gap event, which no filter holds back
                    yield key, self._version_of[number]

    # -- the store

    def store_commit(self) -> None:
        """Promises 6, 7, 8, after each of the daemon's commits."""
        self._hear()
        change = self._counted()
        self.changed, self._change = change != self._change, change
        if not self.changed:
            return
        seen = self._look()
        if seen.versions is not self._seen:
            for key, version in seen.versions.items():
                if version < self._seen.get(key, 0):
                    self._went_back(key, version)
                if key in self.rewritings.levels:
                    self._no_version_of_before(key, version)
        cursors = seen.cursors
        self._seen = seen.versions
        moved = cursors != self._cursors
        self._cursors = cursors
        if cursors.keys() >= {STOCK, TILLS}:
            self.listening.set()
        if moved:
            self._bookmark(cursors, seen.versions)
        self._bad_news_first()
        self._replayed_to_the_end(cursors, seen.replaying)
        if self._lost and not seen.holes:
            self._no_hole_unseen(cursors, seen.versions)

    def _counted(self) -> tuple[Any, int]:
        """What differs when the store has changed, by the daemon's own connection, which has it at hand."""
        writes = self.world.reader()
        if writes is not None:
            return writes, writes.total_changes
        return None, self._store.execute("PRAGMA data_version").fetchone()[0]

    def _look(self) -> _Seen:
        """One question instead of four: there are a thousand commits in a seed."""
        cursors: dict[str, bytes] = {}
        versions = self._seen
        replaying: list[tuple[int, str]] = []
        holes = 0
        self.newest = 0
        for what, key, value in self.query(LOOK):
            if what == "levels":
                if key != self._levels_seen:
                    self._levels_seen, versions = key, dict(self.query(LEVELS))
            elif what == "cursor":
                cursors[key] = value
            elif what == "movement":
                self.newest = key or 0
            elif what == "folds":
                self.folds = (key or 0, value)
            elif what == "waits":
                self.waits = key or ""
            elif what == "inbox":
                self.read = (key or 0) if value is None else value - 1
            elif what == "polled":
                self.polled = key or 0.0
            else:
                holes += 1
                if what == "replay":
                    replaying.append((key, value))
        return _Seen(cursors, versions, replaying, holes)

    def _went_back(self, key: str, version: int) -> None:
        """Only as the org itself did, and with an incident in the very commit."""
        if not self.rewritings.taken_over(key, version):
            self.world.violated(6, f"{key} went back from version {self._seen[key]} to {version}")
        elif version <= self.levels[key].version:
            self.rewritings.caught_up(key)
        if not told(self.query("SELECT kind, key FROM incident"), key):
            self.world.violated(
                6, f"{key} was taken over at the lower version {version}, and nothing says so"
            )

    def _no_version_of_before(self, key: str, version: int) -> None:
        """Of a rewritten ledger: once it is taken over, no number of before it comes back."""
        there = self.levels[key].version
        if version > there and not self.rewritings.pending(key):
            self.world.violated(6, f"{key} is known at version {version}, and the org has {there}")

    def _bookmark(self, cursors: dict[str, bytes], versions: dict[str, int]) -> None:
        """Promise 7: what lies before the bookmark is in the store."""
        at = self._at(cursors, STOCK)
        while self._overflows and self._overflows[0][0] <= at:
            self._lose(self._overflows.pop(0)[1])
        self._tells_gaps(at)
        for key, owed in list(self._owed.items()):
            if owed.replay <= at:
                if versions.get(key, 0) < owed.version and self._read_again(key):
                    continue  # told before the ledger was found rewritten: owed until it is read
                del self._owed[key]
                if versions.get(key, 0) < owed.version:
                    if self._says_so():
                        self._lost[key] = owed.version
                        continue
                    self.world.violated(
                        7,
                        f"the bookmark passed a change of {key} (version {owed.version}), "
                        f"and the store has version {versions.get(key, 0)}",
                    )
        at = self._at(cursors, TILLS)
        while self._taken < len(self._tills) and self._tills[self._taken][0] <= at:
            source = self._tills[self._taken][1]
            self._taken += 1
            if source in self.day.postings and not self.query(
                "SELECT 1 FROM movement WHERE subject = ?", f"posting:{source}"
            ):
                self.world.violated(
                    7, f"the bookmark passed the posting {source}, and the store has no trace of it"
                )

    def _tells_gaps(self, at: int) -> None:
        """Promise 8: what the stream says it could not tell is a hole when the bookmark is past it."""
        if self._gaps and self._gaps[0] <= at:
            if not self._says_so():
                self.world.violated(
                    8, f"the bookmark passed the gap event {self._gaps[0]}, and no hole is open"
                )
            self._gaps = [each for each in self._gaps if each > at]

    def _says_so(self) -> bool:
        """Whether the store says that something is unknown, and will read again."""
        return bool(
            self.query(
                "SELECT 1 FROM hole WHERE closed_at IS NULL AND closes = 'reading' "
                "AND source IN (?, 'snapshot')",
                STOCK,
            )
        )

    def _read_again(self, key: str) -> bool:
        """Whether the store has it in writing that the level is to be asked for once more."""
        return bool(self.query("SELECT 1 FROM level WHERE level_key = ? AND read_again", key))

    def _bad_news_first(self) -> None:
        """Promise 12: a push that raises a number leaves none behind that was due to go down before it."""
        if self.world.plan.push_rows > 10:
            return  # every push has room for all
        pushes = self.query("SELECT id, channel, rows FROM push WHERE id > ?", self._raised_by)
        lower = {
            (channel, sku, location): (target, published)
            for channel, sku, location, target, published in self.query(
                "SELECT channel, sku, location, target, published FROM channel_level "
                "WHERE push IS NULL AND problem = '' AND target < published "
                "AND (target <> published OR unsure)"  # no fewer: as the index of what is due has it
            )
        }
        for number, channel, rows in pushes:
            self._raised_by = max(self._raised_by, number)
            raised = [row[0] for row in json.loads(rows) if row[2] > 0]
            left = [
                key[1] for key, told in lower.items() if key[0] == channel and self._lower.get(key) == told
            ]
            if raised and left:
                self.world.violated(12, f"a push to {channel} raises {raised} and leaves {left} too high")
        self._lower = lower

    def _replayed_to_the_end(self, cursors: dict[str, bytes], open_holes: Iterable[tuple[int, str]]) -> None:
        """Promise 8: a hole that counts as replayed has had all that the stream held when it was opened."""
        for number, source in open_holes:
            self._behind.setdefault(number, (source, self._told[source]))
        if not self._behind:
            return
        closed = "SELECT id, how FROM hole WHERE closed_at IS NOT NULL AND id >= ?"
        for number, how in self.query(closed, min(self._behind)):
            source, held = self._behind.pop(number, ("", 0))
            at = self._at(cursors, source)
            if how == "replayed by the stream" and at < held:
                self.world.violated(
                    8, f"a hole of {source} counts as replayed at event {at}, and the stream held {held}"
                )

    def _at(self, cursors: dict[str, bytes], topic: str) -> int:
        """The bookmark; 0 when it is of a stream that is no more."""
        at = _replay(cursors.get(topic))
        return at if self.world.bus.ids.stands(at) else 0

    def bookmark(self, topic: str) -> int:
        """Where the daemon's bookmark stands in a topic's present stream; 0 when nowhere."""
        return self._at(self._cursors, topic)

    def _no_hole_unseen(self, cursors: dict[str, bytes], versions: dict[str, int]) -> None:
        """Promise 8: once no hole is open, all that was told or lost before is known."""
        if not self._at(cursors, STOCK):
            return  # its bookmark is of another stream, which it has yet to hear
        for key, version in self._lost.items():
            if versions.get(key, 0) < version:
                self.world.violated(
                    8, f"no hole is open, and {key} is at version {versions.get(key, 0)} of {version}"
                )
        self._lost.clear()

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the store says."""
        return (self.world.reader() or self._store).execute(sql, values).fetchall()


def _replay(cursor: bytes | None) -> int:
    if cursor and cursor.startswith(b"seen@"):  # with the event that it is proved by
        cursor = cursor.split(b":", 3)[3]
    return int.from_bytes(cursor[:8], "big") if cursor else 0


# -- at the end ------------------------------------------------------------------------------------------


Check: TypeAlias = Callable[[], Iterator[tuple[int, str]]]  # (promise, what differs); nothing: all is well


def settled(watch: Watch, world: World, day: Day) -> list[Check]:
    """What must be so once the world has come to rest."""
    return [
        partial(_work_left, watch),
        partial(_incidents, watch),
        partial(_levels, watch, world),
        partial(_postings, watch, day),
        partial(_transfers, watch, day),
        partial(counts, watch.books, watch.subjects, watch.rewritings.levels, day, world),
        partial(_orders, watch, world),
        partial(_reservations, watch, day),
        partial(_channels, watch, world),
        partial(_letters, watch, day, world),
    ]


def _levels(watch: Watch, world: World) -> Iterator[tuple[int, str]]:
    told = {
        key: (on_hand, reserved, version)
        for key, on_hand, reserved, version in watch.query(
            "SELECT level_key, on_hand, reserved, version FROM level"
        )
    }
    open_incidents = {
        key
        for (key,) in watch.query(
            "SELECT key FROM incident WHERE kind IN ('oversold', 'negative stock') AND closed_at IS NULL"
        )
    }
    for key, sums in sorted(watch.levels.items()):
        if key.startswith(PROBE):
            continue
        if told.get(key) != (sums.on_hand, sums.reserved, sums.version):
            yield 9, f"{key}: the org has {sums}, the store {told.get(key)}"
        if (sums.reserved > sums.on_hand) != (key in open_incidents):
            yield 4, f"{key}: {sums}, and the incident is {'open' if key in open_incidents else 'not open'}"


def _postings(watch: Watch, day: Day) -> Iterator[tuple[int, str]]:
    for source, (sku, place, units) in day.postings.items():
        held = watch.subjects.get(f"posting:{source}")
        gone = f"posting:{source}" in watch.rewritings.lost
        if gone and held is not None and not any(map(any, held.values())):
            continue  # somebody deleted it, and its till has not told of it again
        if held is None:
            yield 4, f"the posting {source} is not in the ledger"
        elif dict(held) != {f"{sku}|{place}": [units, 0]}:
            yield 2, f"the posting {source} of {units} {sku} at {place} stands as {dict(held)}"
    for source in day.poison:
        if f"posting:{source}" in watch.subjects:
            yield 10, f"the nonsense {source} was entered"


def _transfers(watch: Watch, day: Day) -> Iterator[tuple[int, str]]:
    for name, units in day.transfers.items():
        held = watch.subjects.get(f"transfer:{name}")
        if held is None:
            if name in day.answered:
                yield 4, f"the transfer {name} is not in the ledger"
        elif dict(held) != {key: [each, 0] for key, each in units.items()}:
            yield 2, f"the transfer {name} of {units} stands as {dict(held)}"


def _orders(watch: Watch, world: World) -> Iterator[tuple[int, str]]:
    open_incidents = {
        key
        for (key,) in watch.query(
            "SELECT key FROM incident WHERE kind IN ('oversold', 'negative stock') AND closed_at IS NULL"
        )
    }
    yield from org_orders(watch, world, open_incidents)
    copies, of = copied(world), watch.by_order
    for name, subject, order, line in lines(world):
        sku = line.variant.sku or ""
        if sku in (UNKNOWN, FETCHED) or (name == "london" and order.name in copies):
            continue  # those that are fetched have a check of their own
        subject = _known_as(watch, of, subject, order, sku)
        held = watch.subjects.get(subject, {})
        on_hand = sum(units for units, _ in held.values())
        reserved = sum(units for _, units in held.values())
        want_on_hand, want_reserved = wanted(order, line)
        what = f"{name} {order.name} ({subject}): {sku}"
        if on_hand != want_on_hand:
            yield 2, f"{what}: on hand by {on_hand}, and the shop's order says {want_on_hand}"
        missing = want_reserved - reserved
        if missing < 0:
            yield 2, f"{what}: {reserved} reserved, and the shop's order says {want_reserved}"
        if missing > 0:
            free = left(watch, sku)
            most = max((free[place] for place in sources(world.plan, name, line)), default=0)
            if most > 0:
                yield 2, f"{what}: {reserved} reserved of {want_reserved}, though {most} are available"
            if subject not in open_incidents:
                yield 4, f"{what}: {missing} are not covered, and no incident says so"


def sources(plan: Plan, shop: str, line: LineItem) -> list[str]:
    """The org's locations that a line's open units may be reserved at."""
    sending = {part.location.name for part in line.allocations if part.remaining}
    return [
        place
        for name, places in plan.sells_from(shop).items()
        if name in sending
        for place in places
        if place in PLACES or line.variant.sku == FLOOR
    ]


def _known_as(watch: Watch, of: Subjects, subject: str, order: Order, sku: str) -> str:
    """A line's subject: by the order's name where the org told of it first, in a copy that is gone by now."""
    if subject in watch.subjects:
        return subject
    for other, held in of.get(f"order:{subject.split(':')[1]}:{order.name}", ()):
        if any(key.partition("|")[0] == sku for key in held):
            return other
    return subject


def uncovered(watch: Watch, world: World, channel: str | None = None) -> dict[str, int]:
    """Units sold (by one shop, or by all) that no stock covers, by SKU."""
    found: dict[str, int] = defaultdict(int)
    copies, of = copied(world), watch.by_order
    for sku, units in short(watch, world, channel).items():
        found[sku] += units
    for name, subject, order, line in lines(world):
        if (name == "london" and order.name in copies) or channel not in (None, name):
            continue
        known = _known_as(watch, of, subject, order, line.variant.sku or "")
        held = watch.subjects.get(known, {})
        reserved = sum(units for _, units in held.values())
        found[line.variant.sku or ""] += max(0, wanted(order, line)[1] - reserved)
    return found


def _reservations(watch: Watch, day: Day) -> Iterator[tuple[int, str]]:
    for asked in day.reservations:
        held: dict[str, int] = defaultdict(int)
        for number in range(len(asked.lines)):
            for key, (_, units) in watch.subjects.get(f"reservation:{asked.id}:{number}", {}).items():
                held[key.partition("|")[0]] += units
        for sku, units in asked.lines:
            if not 0 <= held[sku] <= units:
                yield 2, f"the reservation {asked.id} holds {held[sku]} {sku}, and {units} were asked for"
        state = watch.query("SELECT state FROM reservation WHERE id = ?", asked.id)
        told = state[0][0] if state else "nowhere"
        if told in ("released", "expired", "refused") and any(held.values()):
            yield 2, f"the reservation {asked.id} is {told} and still holds {dict(held)}"
        if told == "granted" and dict(held) != dict(asked.lines) and FETCHED not in held:
            yield 1, f"the reservation {asked.id} is granted and holds {dict(held)}, not {asked.lines}"
        if told in ("nowhere", "pending"):
            yield 1, f"the reservation {asked.id} was asked for and is {told}"


def should_show(
    watch: Watch, world: World, channel: str, sku: str, owed: dict[str, int], location: str
) -> int:
    """What one of a channel's locations should show of a SKU: the design's sum, read anew.

    Units of the channel's own stand at its first location.
    """
    plan = world.plan.sells_from(channel)
    places = [place for place in plan[location] if place in PLACES]
    waning = sku.startswith("WANE") and watch.query("SELECT 1 FROM scarce WHERE sku = ?", sku)
    if waning or sku.startswith(("ALLOC", "SPLIT")):
        if (channel != "london" and sku.startswith("ALLOC")) or location != next(iter(plan)):
            return 0
        units = sum(
            reserved
            for subject, held in watch.subjects.items()
            if subject.startswith(f"allocation:{channel}:")
            for key, (_, reserved) in held.items()
            if key.partition("|")[0] == sku
        )
    else:
        free = left(watch, sku)
        units = sum(free[place] for place in places) - owed.get(sku, 0) - world.plan.safety[channel]
        if sku.startswith("GATED"):
            own = {
                number for (number,) in watch.query("SELECT id FROM reservation WHERE channel = ?", channel)
            }
            # Its own shopper is about to pay for what it holds, whatever others are owed.
            units = max(0, units) + sum(
                reserved
                for subject, held in watch.subjects.items()
                if subject.startswith("reservation:") and subject.split(":")[1] in own
                for key, (_, reserved) in held.items()
                if key.partition("|")[0] == sku and key.partition("|")[2] in places
            )
    cap = world.plan.caps[channel]
    return max(0, units if cap is None else min(cap, units))


def _channels(watch: Watch, world: World) -> Iterator[tuple[int, str]]:
    owed = uncovered(watch, world)
    for channel in SHOPS:
        own: dict[str, int] | None = None  # units that it sold itself and nothing covers
        for sku in world.plan.all_skus:
            for level in world.shops[channel].stock.by_sku[sku][0].levels.values():
                location, shown = level.location.name, level.quantities["available"]
                should = should_show(watch, world, channel, sku, owed, location)
                if shown < 0 and sku.startswith(("ALLOC", "SPLIT", "WANE")):
                    # What it sold below zero stays until all its sales are covered or called off: also what
                    # is covered elsewhere, for together its locations show what it may sell.
                    own = uncovered(watch, world, channel) if own is None else own
                    should = min(shown, should) if own.get(sku) else should
                if shown != should:
                    yield 9, f"{channel} shows {shown} of {sku} at {location}, and should show {should}"


def _letters(watch: Watch, day: Day, world: World) -> Iterator[tuple[int, str]]:
    """Promise 10: what nobody can understand is set aside, by name."""
    letters = watch.query("SELECT key, payload FROM dead_letter")
    keys, payloads = {key for key, _ in letters}, [payload for _, payload in letters]
    for source in day.poison:
        if not any(f'"{source}"' in payload for payload in payloads):
            yield 10, f"the nonsense {source} was not set aside"
    for name, subject, order, line in lines(world):
        if line.variant.sku == UNKNOWN and wanted(order, line)[1] > 0 and subject not in keys:
            yield 10, f"{name} {order.name}: {UNKNOWN} is not in the org, and nobody is told"


def _work_left(watch: Watch) -> Iterator[tuple[int, str]]:
    for source, reason in watch.query("SELECT source, reason FROM hole WHERE closed_at IS NULL"):
        yield 8, f"a hole is still open: {source}, {reason}"
    for (count,) in watch.query("SELECT count(*) FROM bundle WHERE state = 'waiting'"):
        if count:
            yield 9, f"{count} bundles still wait for the org"
    for (count,) in watch.query("SELECT count(*) FROM inbox WHERE done_at IS NULL"):
        if count:
            yield 9, f"{count} webhooks are not read"
    for (count,) in watch.query("SELECT count(*) FROM push WHERE state = 'open'"):
        if count:
            yield 9, f"{count} pushes have no answer"


def told_wrong(answer: httpx.Response) -> Iterator[str]:
    """What the status page says is wrong, that is not wrong in the world either; or why it says nothing."""
    if answer.status_code != httpx.codes.OK:
        yield f"nothing, but {answer.status_code} {answer.text}"
        return
    yield from (reason for reason in answer.json()["health"]["reasons"] if not _expected(reason))


def _incidents(watch: Watch) -> Iterator[tuple[int, str]]:
    """The status page tells the newest few by name; none of the others may be of another kind."""
    for (title,) in watch.query("SELECT title FROM incident WHERE closed_at IS NULL"):
        if not _expected(title):
            yield 8, f"an incident is open that nothing explains: {title}"
    for key, title in watch.query("SELECT key, title FROM incident WHERE kind = ?", REWRITTEN):
        if key not in watch.rewritings.levels:
            yield 6, f"nobody has rewritten the ledger of {key}, and an incident says: {title}"


def _expected(reason: str) -> bool:
    """Oversold goods, last pieces and dead letters are the day's doing; all else should be well by now."""
    known = (
        "dead letter",
        "beyond stock",
        "no stock covers",
        "no order says so",
        "gave way to",
        "was paid for",
        "owed to customers",
        "does not find",
        "more has left than came",
        "where none is left",
        "stands among the last pieces of",
        "without asking first, and others sell",
        "was rewritten in the org",
        "were deleted in the org, or put back",
        "had entered were deleted in the org",
        "more incidents are open",  # each of them is looked at by itself (`_incidents`)
    )
    return any(words in reason for words in known)
