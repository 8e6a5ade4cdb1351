"""The order of execution: what happens when records are saved, deleted and undeleted.

One attempt at a DML statement: each record through defaults, formula fields, required fields, references,
its validation rules and its unique fields; then the roll-ups of the parents that were touched, and each
parent's own save through its rules, up to the grandparents. Everything is written into the transaction's
layer; the caller commits or goes back to its savepoint. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sfsync.simulators.org import order_rules
from sfsync.simulators.org.checks import ENTITY_IS_DELETED, INVALID_CROSS_REFERENCE, Checks, Refusal
from sfsync.simulators.org.errors import SaveError
from sfsync.simulators.org.ids import auto_number, make_id
from sfsync.simulators.org.knobs import Knobs
from sfsync.simulators.org.model import ChangeKind, SObject
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.records import Layer, Store, StoredRow
from sfsync.simulators.org.rollups import RollUpPlan

UNDELETE_FAILED = SaveError("UNDELETE_FAILED", "Entity is not in the recycle bin")


@dataclass(slots=True)
class Operation:
    """One record of a DML statement: what is wanted, and what came of it."""

    sobject: SObject
    kind: ChangeKind
    values: StoredRow = field(default_factory=dict)
    record_id: str | None = None
    errors: list[SaveError] = field(default_factory=list)
    upserted: bool = False
    created: bool = False

    @property
    def saved(self) -> bool:
        return not self.errors


@dataclass(slots=True)
class _Touched:
    """A parent whose children changed in this attempt."""

    deltas: dict[str, int] = field(default_factory=dict)
    came: dict[str, list[Any]] = field(default_factory=dict)  # values that count in a minimum or maximum now
    recompute: set[str] = field(default_factory=set)
    causes: list[int] = field(default_factory=list)  # positions of the operations


class Attempt:
    """One pass over the records of a DML statement in one transaction."""

    def __init__(
        self,
        store: Store,
        plans: dict[str, ObjectPlan],
        knobs: Knobs,
        layer: Layer,
        now: datetime,
        user_id: str,
    ) -> None:
        self._store = store
        self._plans = plans
        self._knobs = knobs
        self._layer = layer
        self._now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._user_id = user_id
        self._checks = Checks(store, plans, layer, self._now)
        self._touched: dict[tuple[str, str, str], _Touched] = {}  # by parent object, id, child object
        self.refused: dict[int, Sequence[SaveError]] = {}
        self.parents_refused = False

    def run(self, operations: Iterable[tuple[int, Operation]]) -> None:
        """Saves all that can be saved; `refused` tells by position what could not, and why."""
        for position, operation in operations:
            savepoint = self._layer.savepoint()
            try:
                self._save(position, operation)
            except Refusal as refusal:
                self._layer.back_to(savepoint)
                self.refused[position] = refusal.errors
        while self._touched:
            touched, self._touched = self._touched, {}
            for (parent, parent_id, child), what in touched.items():
                self._save_parent(parent, parent_id, child, what)

    # -- one record --------------------------------------------------------------------------

    def _save(self, position: int, operation: Operation) -> None:
        plan = self._plans[operation.sobject.name]
        if operation.kind is ChangeKind.CREATE:
            self._insert(position, plan, operation)
        elif operation.kind is ChangeKind.UPDATE:
            self._update(position, plan, operation)
        elif operation.kind is ChangeKind.DELETE:
            self._delete(position, plan, self._existing(operation))
        else:
            self._undelete(position, plan, operation)

    def _existing(self, operation: Operation) -> StoredRow:
        row = self._layer.get(operation.sobject.name, operation.record_id or "")
        if row is None:
            raise Refusal(INVALID_CROSS_REFERENCE)
        if row["IsDeleted"]:
            raise Refusal(ENTITY_IS_DELETED)
        return row

    def _insert(self, position: int, plan: ObjectPlan, operation: Operation) -> None:
        table = self._store.tables[plan.sobject.name]
        number, table.next_number = table.next_number, table.next_number + 1
        row = plan.template.copy()
        row.update(operation.values)
        row["Id"] = operation.record_id = make_id(plan.sobject.key_prefix, number)
        for column in plan.auto_numbers:
            row[column.name] = auto_number(column.auto_number or "", number)
        self._stamp(row, created=True)
        for name, formula in plan.computed_defaults:
            if name not in operation.values:
                value = self._checks.evaluate(formula, plan, row, None, blanks_as_zero=True)
                row[name] = plan.parsers[name](value.isoformat() if isinstance(value, date) else value)
        self._check_and_put(position, plan, row, None)
        operation.created = True

    def _update(self, position: int, plan: ObjectPlan, operation: Operation) -> None:
        before = self._existing(operation)
        row = {**before, **operation.values}
        self._stamp(row, created=False)
        self._check_and_put(position, plan, row, before)

    def _stamp(self, row: StoredRow, *, created: bool) -> None:
        if created:
            row["CreatedDate"] = self._now
            row["CreatedById"] = self._user_id
            if "OwnerId" in row and row["OwnerId"] is None:
                row["OwnerId"] = self._user_id
        row["LastModifiedDate"] = self._now
        row["LastModifiedById"] = self._user_id
        row["SystemModstamp"] = self._now

    def _check_and_put(
        self, position: int, plan: ObjectPlan, row: StoredRow, before: StoredRow | None
    ) -> None:
        refused = order_rules.before_save(plan.sobject, row, before, self._layer, self._knobs, self._now)
        if refused is not None:
            raise Refusal(refused)
        self._checks.compute(plan, row, before)
        self._checks.require(plan, row)
        self._checks.check_references(plan, row, before)
        failed = self._checks.failing_rules(plan, row, before)
        if failed:
            raise Refusal(*failed)
        self._checks.claim_unique(plan, row, before)
        self._layer.put(plan.sobject.name, row)
        self._feed_parents((position,), plan, row, before)

    # -- delete and undelete -----------------------------------------------------------------

    def _delete(self, position: int, plan: ObjectPlan, row: StoredRow) -> None:
        refused = order_rules.before_delete(plan.sobject, row, self._layer)
        if refused is not None:
            raise Refusal(refused)
        taken_along: list[tuple[str, str]] = []
        self._bin(plan, row, taken_along)
        self._layer.cascades.append((row["Id"], taken_along))
        self._feed_parents((position,), plan, None, row)

    def _bin(self, plan: ObjectPlan, row: StoredRow, taken_along: list[tuple[str, str]]) -> None:
        for child, column in plan.details:
            for detail in self._layer.children(child.name, column, row["Id"]):
                taken_along.append((child.name, detail["Id"]))
                self._bin(self._plans[child.name], detail, taken_along)
        for child, column in plan.lookups:
            for referring in self._layer.children(child.name, column, row["Id"]):
                self._layer.put(child.name, {**referring, column.name: None, "SystemModstamp": self._now})
        for column in plan.unique:
            if row[column.name] is not None:
                self._layer.claim(plan.sobject.name, column, row[column.name], None)
        gone = {**row, "IsDeleted": True, "SystemModstamp": self._now}
        gone["LastModifiedDate"], gone["LastModifiedById"] = self._now, self._user_id
        self._layer.put(plan.sobject.name, gone)

    def _undelete(self, position: int, plan: ObjectPlan, operation: Operation) -> None:
        row = self._layer.get(plan.sobject.name, operation.record_id or "")
        if row is None or not row["IsDeleted"]:
            raise Refusal(UNDELETE_FAILED)
        for column in plan.masters:
            if self._layer.live(column.reference_to or "", row[column.name] or "") is None:
                raise Refusal(SaveError("UNDELETE_FAILED", "Parent record is deleted"))
        restored = self._restore(plan, row)
        for entity, record_id in self._store.cascades.get(row["Id"], ()):
            detail = self._layer.get(entity, record_id)
            if detail is not None and detail["IsDeleted"]:
                self._restore(self._plans[entity], detail)
        self._feed_parents((position,), plan, restored, None)

    def _restore(self, plan: ObjectPlan, row: StoredRow) -> StoredRow:
        restored = {**row, "IsDeleted": False, "SystemModstamp": self._now}
        restored["LastModifiedDate"], restored["LastModifiedById"] = self._now, self._user_id
        self._checks.claim_unique(plan, restored, None)
        self._layer.put(plan.sobject.name, restored)
        return restored

    # -- roll-ups ----------------------------------------------------------------------------

    def _feed_parents(
        self, causes: Sequence[int], plan: ObjectPlan, after: StoredRow | None, before: StoredRow | None
    ) -> None:
        """Notes what this record's change means for the roll-ups of its masters."""
        for foreign_key, roll_ups in plan.feeds.items():
            new_parent: str | None = None if after is None else after[foreign_key]
            old_parent: str | None = None if before is None else before[foreign_key]
            parent = plan.sobject.fields[foreign_key].reference_to or ""
            if new_parent == old_parent and new_parent is not None:
                self._touch(causes, (parent, new_parent, plan.sobject.name), roll_ups, after, before)
                continue
            if old_parent is not None:
                self._touch(causes, (parent, old_parent, plan.sobject.name), roll_ups, None, before)
            if new_parent is not None:
                self._touch(causes, (parent, new_parent, plan.sobject.name), roll_ups, after, None)

    def _touch(
        self,
        causes: Sequence[int],
        key: tuple[str, str, str],
        roll_ups: Sequence[RollUpPlan],
        after: StoredRow | None,
        before: StoredRow | None,
    ) -> None:
        touched = self._touched.get(key)
        if touched is None:
            touched = self._touched[key] = _Touched()
        touched.causes.extend(causes)
        for roll_up in roll_ups:
            name = roll_up.parent_field.name
            if not roll_up.incremental:
                new, old = roll_up.counted(after), roll_up.counted(before)
                if old is not None and old != new:
                    touched.recompute.add(name)
                elif new is not None:
                    touched.came.setdefault(name, []).append(new)
                continue
            delta = roll_up.contribution(after) - roll_up.contribution(before)
            if delta:
                touched.deltas[name] = touched.deltas.get(name, 0) + delta

    def _save_parent(self, parent: str, parent_id: str, child: str, touched: _Touched) -> None:
        """The parent with its new roll-ups goes through its own save; its errors fall on the children."""
        before = self._layer.live(parent, parent_id)
        if before is None:
            return  # deleted in this very statement, its children with it
        plan = self._plans[parent]
        new_values = self._new_roll_ups(parent_id, child, before, touched)
        if not new_values:
            return
        row = {**before, **new_values}
        row["SystemModstamp"] = self._now
        if self._knobs.roll_up_touches_last_modified:
            row["LastModifiedDate"], row["LastModifiedById"] = self._now, self._user_id
        try:
            self._checks.compute(plan, row, before)
            failed = self._checks.failing_rules(plan, row, before, self._prior_of_parent(before, new_values))
        except Refusal as refusal:
            failed = list(refusal.errors)
        if failed:
            self._blame(touched.causes, failed)
            return
        self._layer.put(parent, row, direct=False)
        self._feed_parents(touched.causes, plan, row, before)

    def _new_roll_ups(
        self, parent_id: str, child: str, before: StoredRow, touched: _Touched
    ) -> dict[str, Any]:
        new_values: dict[str, Any] = {}
        for roll_ups in self._plans[child].feeds.values():
            for roll_up in roll_ups:
                name = roll_up.parent_field.name
                if name in touched.recompute:
                    column = self._plans[child].sobject.fields[roll_up.roll_up.foreign_key]
                    children = self._layer.children(child, column, parent_id)
                    value = roll_up.extreme(map(roll_up.counted, children))
                elif name in touched.came:
                    value = roll_up.extreme((before[name], *touched.came[name]))
                elif name in touched.deltas:
                    value = roll_up.adjusted(before[name], touched.deltas[name])
                else:
                    continue
                if value != before[name]:
                    new_values[name] = value
        return new_values

    def _prior_of_parent(self, before: StoredRow, new_values: dict[str, Any]) -> StoredRow:
        """What PRIORVALUE sees: the state before this DML or, by a knob, one with the new roll-ups."""
        return before if self._knobs.priorvalue_sees_rollup else {**before, **new_values}

    def _blame(self, causes: Sequence[int], errors: Sequence[SaveError]) -> None:
        self.parents_refused = True
        blamed = causes if self._knobs.rollup_error_attribution == "all" else causes[-1:]
        for position in blamed:
            self.refused[position] = errors
