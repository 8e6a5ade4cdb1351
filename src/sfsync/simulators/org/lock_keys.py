"""What a save locks: the record, the masters whose roll-ups it moves, the unique values it claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sfsync.simulators.org.errors import SaveError
from sfsync.simulators.org.model import ChangeKind
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.records import Layer, index_key
from sfsync.simulators.org.save import Operation

LockKey: TypeAlias = tuple[str, ...]  # (record id,) or (object, unique field, value)


def lock_keys(plans: Mapping[str, ObjectPlan], layer: Layer, operation: Operation) -> list[LockKey]:
    """The record, its masters up to the top, and the unique values it takes."""
    plan = plans[operation.sobject.name]
    keys: list[LockKey] = []
    current = None
    if operation.record_id is not None and operation.kind is not ChangeKind.CREATE:
        keys.append((operation.record_id,))
        current = layer.get(plan.sobject.name, operation.record_id)
    for column in plan.masters:
        parents = {operation.values.get(column.name), None if current is None else current[column.name]}
        for parent_id in sorted(str(each) for each in parents if each):
            keys.extend(_with_masters(plans, layer, column.reference_to or "", parent_id))
    for column in plan.unique:
        value = operation.values.get(column.name)
        if value is not None:
            keys.append((plan.sobject.name, column.name, str(index_key(column, value))))
    return keys


def _with_masters(
    plans: Mapping[str, ObjectPlan], layer: Layer, entity: str, record_id: str
) -> list[LockKey]:
    """A parent's lock and, as its save feeds theirs, those of its own masters."""
    keys: list[LockKey] = [(record_id,)]
    row = layer.get(entity, record_id)
    if row is not None:
        for column in plans[entity].masters:
            if row[column.name] is not None:
                keys.extend(_with_masters(plans, layer, column.reference_to or "", row[column.name]))
    return keys


def unable_to_lock(key: LockKey) -> SaveError:
    shown = f": {key[0][:15]}" if len(key) == 1 else ""
    return SaveError(
        "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records{shown}"
    )
