"""From a commit to its change events, before any channel: pure, in the order of the transaction.

One event per record with its final state; equal changes of several records become one event with several
ids; a transaction beyond the overflow limit gives ordinary events first and then one overflow event per
object. Header names and values are those of Change Data Capture, with plain field names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sfsync.simulators.org.avro import NOT_IN_EVENTS, epoch_ms
from sfsync.simulators.org.diffs import text_diff
from sfsync.simulators.org.model import Change, ChangeKind, Commit, FieldType, Row, SObject

OVERFLOW_ID = "000000000000000AAA"
_MERGED = frozenset({ChangeKind.UPDATE, ChangeKind.DELETE})


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A change event that no channel has taken yet."""

    entity: str
    header: dict[str, Any]
    state: Row  # the record after the change; before it, when deleted
    fields: tuple[str, ...]  # what the body carries without enrichment
    diffs: Mapping[str, str] = field(default_factory=dict)  # of large texts, sent instead of the value

    @property
    def is_gap(self) -> bool:
        """Whether the event has a header only and says that something was not told."""
        return str(self.header["changeType"]).startswith("GAP_")

    @property
    def tells_nothing(self) -> bool:
        """Whether no record is told: it stands for what could not be told, or for every record there is."""
        return self.is_gap or self.header["recordIds"][0].endswith("*")


@dataclass(frozen=True, slots=True)
class Rules:
    """How commits become events where orders of magnitude or opinions differ between orgs."""

    merge_equal_changes: bool
    parent_event_on_rollup: bool
    overflow_changes: int


def change_events(
    commit: Commit,
    schema: Mapping[str, SObject],
    carried: Callable[[str], Collection[str]],
    rules: Rules,
) -> Iterator[ChangeEvent]:
    """Yields a commit's events. `carried` names an object's fields that some channel adds or filters by."""
    sequence = 0
    spent = 0
    overflowed: dict[str, None] = {}
    for change, ids in _merged(_wanted(commit.changes, rules), carried, rules):
        changed = _changed(change) if change.kind is ChangeKind.UPDATE else ()
        spent += len(ids) * (len(changed) or 1)
        if spent > rules.overflow_changes:
            overflowed.setdefault(change.entity)
            continue
        sequence += 1
        yield _event(commit, change, ids, changed, sequence, schema[change.entity])
    for entity in overflowed:
        sequence += 1
        yield bare_event(commit, entity, "GAP_OVERFLOW", [OVERFLOW_ID], sequence)


def as_gap(event: ChangeEvent) -> ChangeEvent:
    """Returns the gap event that stands in for an event that could not be built."""
    header = {
        **event.header,
        "changeType": f"GAP_{event.header['changeType']}",
        "sequenceNumber": 1,
        "changedFields": [],
        "nulledFields": [],
        "diffFields": [],
    }
    return ChangeEvent(event.entity, header, {}, ())


def as_overflow(event: ChangeEvent) -> ChangeEvent:
    """Returns the overflow event of the event's object, in its transaction."""
    gap = as_gap(event)
    gap.header.update(changeType="GAP_OVERFLOW", recordIds=[OVERFLOW_ID])
    return gap


def bare_event(
    commit: Commit, entity: str, change_type: str, record_ids: list[str], sequence: int = 1
) -> ChangeEvent:
    """Returns an event with a header only, as gap and overflow events are."""
    header = _header(commit, entity, change_type, record_ids, sequence)
    return ChangeEvent(entity, header, {}, ())


def _wanted(changes: tuple[Change, ...], rules: Rules) -> list[Change]:
    """Folds several changes of one record into one: the first kind and the final state."""
    folded: dict[str, Change] = {}
    for change in changes:
        if change.roll_up_only and not rules.parent_event_on_rollup:
            continue
        first = folded.get(change.record_id)
        if first is None:
            folded[change.record_id] = change
        elif change.kind is ChangeKind.DELETE and first.kind is ChangeKind.CREATE:
            del folded[change.record_id]
        elif change.kind is ChangeKind.DELETE:
            folded[change.record_id] = replace(change, before=first.before or change.before)
        else:
            folded[change.record_id] = replace(first, after=change.after, roll_up_only=False)
    return list(folded.values())


def _merged(
    changes: list[Change], carried: Callable[[str], Collection[str]], rules: Rules
) -> Iterator[tuple[Change, list[str]]]:
    """Yields each change with the ids of the records that it happened to, alike."""
    if not rules.merge_equal_changes or len(changes) == 1:
        for change in changes:
            yield change, [change.record_id]
        return
    groups: dict[object, tuple[Change, list[str]]] = {}
    for change in changes:
        key: object = change.record_id
        if change.kind in _MERGED:
            key = _likeness(change, carried(change.entity))
        groups.setdefault(key, (change, []))[1].append(change.record_id)
    yield from groups.values()


def _likeness(change: Change, carried: Collection[str]) -> object:
    """Returns what must be equal for two changes to be told as one."""
    state = _state(change)
    told = _changed(change) if change.kind is ChangeKind.UPDATE else ()
    values = tuple((name, str(state.get(name))) for name in (*told, *sorted(carried)))
    return (change.entity, change.kind, values)


def _changed(change: Change) -> tuple[str, ...]:
    """Returns the fields that differ, and the time of the change, which every ordinary save writes."""
    before, after = change.before or {}, change.after or {}
    saved = not change.roll_up_only
    return tuple(
        name
        for name, value in after.items()
        if (value != before.get(name) or (saved and name == "LastModifiedDate")) and name not in NOT_IN_EVENTS
    )


def _state(change: Change) -> Row:
    state = change.before if change.kind is ChangeKind.DELETE else change.after
    return state or {}


def _event(
    commit: Commit, change: Change, ids: list[str], changed: tuple[str, ...], sequence: int, sobject: SObject
) -> ChangeEvent:
    state = _state(change)
    in_order = sobject.fields
    fields: tuple[str, ...] = ()
    if change.kind is ChangeKind.UPDATE:
        fields = changed
    elif change.kind is not ChangeKind.DELETE:
        fields = tuple(name for name in in_order if name not in NOT_IN_EVENTS and _filled(state.get(name)))
    header = _header(commit, change.entity, change.kind.value, ids, sequence)
    header["changedFields"] = [name for name in changed if name in in_order]
    header["nulledFields"] = [name for name in header["changedFields"] if not _filled(state.get(name))]
    # One diff cannot stand for the changes of several records.
    diffs = _diffs(change, changed, sobject) if len(ids) == 1 else {}
    header["diffFields"] = list(diffs)
    return ChangeEvent(change.entity, header, state, fields, diffs)


def _diffs(change: Change, changed: tuple[str, ...], sobject: SObject) -> dict[str, str]:
    before, after = change.before or {}, change.after or {}
    found: dict[str, str] = {}
    for name in changed:
        column = sobject.fields.get(name)
        if column is not None and column.type is FieldType.TEXTAREA:
            diff = text_diff(str(before.get(name) or ""), str(after.get(name) or ""))
            if diff is not None:
                found[name] = diff
    return found


def _filled(value: Any) -> bool:
    return value is not None and value != ""


def _header(
    commit: Commit, entity: str, change_type: str, record_ids: list[str], sequence: int
) -> dict[str, Any]:
    """Returns a header in the order in which the documentation lists its fields."""
    return {
        "entityName": entity,
        "recordIds": record_ids,
        "changeType": change_type,
        "changeOrigin": commit.origin,
        "transactionKey": commit.transaction_key,
        "sequenceNumber": sequence,
        "commitTimestamp": epoch_ms(commit.at),
        "commitNumber": commit.number,
        "commitUser": commit.user_id,
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
    }
