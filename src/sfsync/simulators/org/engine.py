"""The org itself: transactions over its records, one commit at a time.

A transaction sees its own writes over what is committed; row locks keep others off what it touches until
it ends. A DML statement either saves all records or none, or (partial success) makes up to three attempts,
each without the records that failed before. Every commit is numbered and told to `on_commit` before
anything else can happen. With latency at zero nothing here ever waits, except for a lock.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sfsync.simulators.org.checks import formula_value
from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.errors import BATCH_RETRIES, ROLLED_BACK, SaveError
from sfsync.simulators.org.formula import FormulaError
from sfsync.simulators.org.ids import make_id
from sfsync.simulators.org.knobs import Knobs
from sfsync.simulators.org.lock_keys import LockKey, lock_keys, unable_to_lock
from sfsync.simulators.org.locks import LockTimeout, RowLocks
from sfsync.simulators.org.model import ChangeKind, Commit, Published, Schema, SObject
from sfsync.simulators.org.plans import ObjectPlan, SaveContext, build_plans
from sfsync.simulators.org.records import Layer, Store, StoredRow
from sfsync.simulators.org.save import Attempt, Operation
from sfsync.simulators.uuids import new_uuid

ATTEMPTS = 3
PUBLISH_LIMIT = SaveError("LIMIT_EXCEEDED", "You have exceeded the event publishing limit for your org.")
_LOG_LENGTH = 200_000


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an org takes, in seconds, while it holds the locks of what it writes."""

    read: float = 0.0
    write: float = 0.0
    commit: float = 0.0


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a transaction runs: user and the origin that change events tell."""

    user_id: str
    origin: str = ""


@dataclass(eq=False, slots=True)
class Transaction:
    """Writes of one caller that become visible together, or never."""

    caller: Caller
    layer: Layer
    locks: list[LockKey] = field(default_factory=list)
    ended: bool = False


class Engine:
    """Records, rules and transactions of one org. One event loop; not thread-safe."""

    def __init__(
        self,
        schema: Schema,
        *,
        clock: Clock,
        random: Random,
        knobs: Knobs | None = None,
        latency: Latency | None = None,
        on_commit: Callable[[Commit], None] | None = None,
    ) -> None:
        self.schema = schema
        self.knobs = knobs or Knobs()
        self.latency = latency or Latency()
        self.store = Store(schema)
        self.plans = build_plans(schema)
        self.locks = RowLocks()
        self.log: deque[Commit] = deque(maxlen=_LOG_LENGTH)
        self.on_commit = on_commit
        self.may_publish: Callable[[], bool] = lambda: True  # the bus's hourly allowance
        self.refuse_locks: Callable[[], bool] = lambda: False  # a fault switch
        self.refuse_record: Callable[[StoredRow], SaveError | None] = lambda values: None  # another
        self.committed: Counter[str] = Counter()
        self._clock = clock
        self._random = random
        self.number = 0

    # -- transactions ------------------------------------------------------------------------

    def begin(self, caller: Caller) -> Transaction:
        return Transaction(caller, Layer(self.store))

    @asynccontextmanager
    async def transaction(self, caller: Caller) -> AsyncIterator[Transaction]:
        """Commits at the end unless it was rolled back; an exception rolls back."""
        transaction = self.begin(caller)
        try:
            yield transaction
            if not transaction.ended:
                await self.commit(transaction)
        finally:
            self.roll_back(transaction)

    async def commit(self, transaction: Transaction) -> Commit | None:
        """Makes the writes visible, tells the bus, gives the locks back; None when nothing was written."""
        if self.latency.commit and (transaction.layer.written or transaction.layer.published):
            await asyncio.sleep(self.latency.commit)
        return self.commit_now(transaction)

    def commit_now(self, transaction: Transaction, *, tell: bool = True) -> Commit | None:
        """`commit` without the org's latency; `tell` False writes history that no event speaks of."""
        layer = transaction.layer
        changes = layer.changes()
        commit = None
        if changes or layer.published:
            self.store.apply(layer)
            commit = self._new_commit(transaction.caller, changes, tuple(layer.published))
        self.roll_back(transaction)
        if commit is not None and tell:
            self._tell(commit)
        return commit

    def roll_back(self, transaction: Transaction) -> None:
        """Drops what was not committed and gives the locks back; doing it twice is fine."""
        transaction.ended = True
        for key in transaction.locks:
            self.locks.release(key, transaction)
        transaction.locks.clear()

    def _new_commit(
        self, caller: Caller, changes: tuple[Any, ...], published: tuple[Published, ...]
    ) -> Commit:
        self.number += 1
        moment = self._clock.now()
        self.committed["transactions"] += 1
        self.committed["changes"] += len(changes)
        return Commit(self.new_uuid(), self.number, moment, caller.user_id, caller.origin, changes, published)

    def _tell(self, commit: Commit) -> None:
        self.log.append(commit)
        if self.on_commit is not None:
            self.on_commit(commit)

    def new_uuid(self) -> str:
        return new_uuid(self._random)

    # -- DML ---------------------------------------------------------------------------------

    async def dml(
        self, transaction: Transaction, operations: Sequence[Operation], *, all_or_none: bool
    ) -> None:
        """Runs one DML statement; each operation then holds its id, or its errors."""
        await self._lock(transaction, operations)
        for operation in operations:
            new = operation.saved and operation.kind is ChangeKind.CREATE
            if new and (error := self.refuse_record(operation.values)) is not None:
                operation.errors.append(error)
        if self.latency.write:
            await asyncio.sleep(self.latency.write)
        self.dml_now(transaction, operations, all_or_none=all_or_none)

    def dml_now(
        self, transaction: Transaction, operations: Sequence[Operation], *, all_or_none: bool
    ) -> None:
        """`dml` without locks and latency: for seeds, and when nobody else can be in the way."""
        if all_or_none:
            self._save_all(transaction, operations)
        else:
            self._save_some(transaction, operations)

    def _save_all(self, transaction: Transaction, operations: Sequence[Operation]) -> None:
        savepoint = transaction.layer.savepoint()
        if all(operation.saved for operation in operations):
            attempt = self._attempt(transaction, enumerate(operations))
            if not attempt.refused:
                return
            for position, errors in attempt.refused.items():
                operations[position].errors.extend(errors)
        transaction.layer.back_to(savepoint)
        for operation in operations:
            if operation.saved:
                operation.errors.append(ROLLED_BACK)

    def _save_some(self, transaction: Transaction, operations: Sequence[Operation]) -> None:
        """The three attempts of a partial save."""
        savepoint = transaction.layer.savepoint()
        pending = [(position, each) for position, each in enumerate(operations) if each.saved]
        for _ in range(ATTEMPTS):
            attempt = self._attempt(transaction, pending)
            if not attempt.refused:
                return
            for position, errors in attempt.refused.items():
                operations[position].errors.extend(errors)
            pending = [(position, each) for position, each in pending if each.saved]
            if not attempt.parents_refused:
                return  # records that fail by themselves leave no trace: another attempt would be the same
            transaction.layer.back_to(savepoint)
            if not pending:
                return
        for operation in operations:
            operation.errors[:] = [BATCH_RETRIES]

    def _attempt(self, transaction: Transaction, operations: Iterable[tuple[int, Operation]]) -> Attempt:
        attempt = Attempt(
            self.store,
            self.plans,
            self.knobs,
            transaction.layer,
            self._clock.now(),
            transaction.caller.user_id,
        )
        attempt.run(operations)
        return attempt

    # -- locks -------------------------------------------------------------------------------

    async def _lock(self, transaction: Transaction, operations: Sequence[Operation]) -> None:
        """Locks each record, its masters and its unique values, in the order of the request."""
        lost: set[LockKey] = set()
        refused = self.refuse_locks()
        for operation in operations:
            if not operation.saved:
                continue
            for key in lock_keys(self.plans, transaction.layer, operation):
                if refused or key in lost or not await self._lock_one(transaction, key):
                    lost.add(key)
                    operation.errors.append(unable_to_lock(key))
                    break

    async def _lock_one(self, transaction: Transaction, key: LockKey) -> bool:
        if not self.locks.try_acquire(key, transaction):
            try:
                await self.locks.acquire(key, transaction, self.knobs.lock_wait_seconds)
            except LockTimeout:
                return False
        transaction.locks.append(key)
        return True

    async def read_pause(self) -> None:
        """Waits as long as the org takes to read."""
        if self.latency.read:
            await asyncio.sleep(self.latency.read)

    # -- platform events ---------------------------------------------------------------------

    def publish(self, transaction: Transaction, sobject: SObject, values: Mapping[str, Any]) -> str:
        """Queues a platform event for the commit, or sends it at once if its object says so; its UUID."""
        fields = {**self.plans[sobject.name].template, **values}
        if "CreatedDate" in fields:
            fields["CreatedDate"] = self._clock.now()
            fields["CreatedById"] = transaction.caller.user_id
        published = Published(sobject.name, self.new_uuid(), fields)
        if sobject.publish_immediately:
            self._tell(self._new_commit(transaction.caller, (), (published,)))
        else:
            transaction.layer.published.append(published)
        return published.uuid

    def event_id(self, sobject: SObject) -> str:
        """The id in an event's save result; nothing can be read by it."""
        table = self.store.tables[sobject.name]
        table.next_number += 1
        return make_id(sobject.key_prefix, table.next_number - 1)

    def event_problem(self, sobject: SObject, values: Mapping[str, Any]) -> SaveError | None:
        """The error of a platform event that lacks required fields, or is one too many in this hour."""
        plan = self.plans[sobject.name]
        filled = {**plan.template, **values}
        missing = [column.name for column in plan.required if filled.get(column.name) is None]
        if not missing:
            return None if self.may_publish() else PUBLISH_LIMIT
        message = f"Required fields are missing: [{', '.join(missing)}]"
        return SaveError("REQUIRED_FIELD_MISSING", message, tuple(missing))

    # -- reading and administration ----------------------------------------------------------

    def plan(self, entity: str) -> ObjectPlan | None:
        """The plan of an object, found without regard to case."""
        plan = self.plans.get(entity)
        if plan is not None:
            return plan
        lowered = entity.lower()
        return next((each for name, each in self.plans.items() if name.lower() == lowered), None)

    def visible(self, plan: ObjectPlan, row: StoredRow, layer: Layer) -> StoredRow:
        """The row as a reader sees it: with formula fields that depend on other records or on the time."""
        if not plan.volatile:
            return row
        shown = dict(row)
        for column, formula in plan.volatile:
            context = SaveContext(
                plan, shown, shown, layer, self.plans, self._clock.now(), column.formula_blanks_as_zero
            )
            try:
                shown[column.name] = formula_value(column, formula.evaluate(context))
            except FormulaError:
                shown[column.name] = None
        return shown

    def set_rule(self, name: str, active: bool, entity: str | None = None) -> int:
        """Switches validation rules of that name on or off; returns how many there are."""
        found = 0
        for plan in self.plans.values():
            for compiled in plan.rules:
                if compiled.rule.name == name and entity in (None, plan.sobject.name):
                    compiled.active = active
                    found += 1
        return found

    def commits_since(self, number: int, limit: int) -> list[Commit]:
        """Told commits with a higher number, oldest first; as far back as the log reaches."""
        newest: list[Commit] = []
        for commit in reversed(self.log):
            if commit.number <= number:
                break
            newest.append(commit)
        return newest[::-1][:limit]

    def erase(self, entity: str, record_id: str) -> bool:
        """Removes a record without rules, roll-ups, events or recycle bin, as lost data would be."""
        return self.store.tables[entity].drop(record_id) is not None
