"""Where the records are: committed tables with their indexes, and what one transaction sees of them.

A row is a dict that is never changed after it was stored: an update stores another dict. So the state
before a save is simply the old dict, and readers never see half a change. What a transaction writes stays
in its own layer until `Store.apply` merges it at commit; until then nobody else sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import Change, ChangeKind, Field, Published, Schema, SObject

StoredRow: TypeAlias = dict[str, Any]
_MISSING: Any = object()


def index_key(column: Field, value: Any) -> Any:
    """How a value is compared in an index: text without regard to case unless the field says so."""
    if isinstance(value, str) and not column.case_sensitive and column.reference_to is None:
        return value.lower()
    return value


@dataclass(slots=True)
class Table:
    """The committed records of one object."""

    sobject: SObject
    rows: dict[str, StoredRow] = field(default_factory=dict)
    deleted: dict[str, StoredRow] = field(default_factory=dict)
    unique: dict[str, dict[Any, str]] = field(default_factory=dict)
    lookup: dict[str, dict[Any, dict[str, None]]] = field(default_factory=dict)
    next_number: int = 1

    def __post_init__(self) -> None:
        for column in self.sobject.fields.values():
            if column.unique:
                self.unique[column.name] = {}
            elif column.external_id or column.reference_to:
                self.lookup[column.name] = {}

    def put(self, row: StoredRow, before: StoredRow | None) -> None:
        """Stores a row, live or deleted, and moves its index entries."""
        record_id = row["Id"]
        if before is not None and not before["IsDeleted"]:
            self._unindex(record_id, before, row)
        if row["IsDeleted"]:
            self.rows.pop(record_id, None)
            self.deleted[record_id] = row
            return
        self.deleted.pop(record_id, None)
        self.rows[record_id] = row
        self._index(record_id, row)

    def drop(self, record_id: str) -> StoredRow | None:
        """Removes a row without trace (hard delete); returns what it was."""
        row = self.rows.pop(record_id, None)
        if row is not None:
            self._unindex(record_id, row, None)
            return row
        return self.deleted.pop(record_id, None)

    def _index(self, record_id: str, row: StoredRow) -> None:
        fields = self.sobject.fields
        for name, values in self.unique.items():
            if row[name] is not None:
                values[index_key(fields[name], row[name])] = record_id
        for name, found in self.lookup.items():
            if row[name] is not None:
                found.setdefault(index_key(fields[name], row[name]), {})[record_id] = None

    def _unindex(self, record_id: str, old: StoredRow, new: StoredRow | None) -> None:
        fields = self.sobject.fields
        stays = new is not None and not new["IsDeleted"]
        for name, values in self.unique.items():
            if old[name] is not None and not (stays and new is not None and new[name] == old[name]):
                values.pop(index_key(fields[name], old[name]), None)
        for name, found in self.lookup.items():
            if old[name] is None or (stays and new is not None and new[name] == old[name]):
                continue
            key = index_key(fields[name], old[name])
            ids = found.get(key)
            if ids is not None:
                ids.pop(record_id, None)
                if not ids:
                    del found[key]


@dataclass(frozen=True, slots=True)
class Write:
    """The last state that a transaction gave a record; `direct` unless only its roll-ups were touched."""

    entity: str
    row: StoredRow
    direct: bool


class Store:
    """All committed records of the org."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.tables = {name: Table(sobject) for name, sobject in schema.objects.items()}
        self.cascades: dict[str, list[tuple[str, str]]] = {}  # what went into the bin with a record
        self._by_prefix = {sobject.key_prefix: sobject for sobject in schema.objects.values()}

    def object_of(self, record_id: str) -> SObject | None:
        """The object that the key prefix of an id belongs to."""
        return self._by_prefix.get(record_id[:3])

    def get(self, entity: str, record_id: str) -> StoredRow | None:
        """A record, deleted ones included."""
        table = self.tables[entity]
        return table.rows.get(record_id) or table.deleted.get(record_id)

    def apply(self, layer: Layer) -> None:
        """Merges what a transaction wrote."""
        for record_id, write in layer.written.items():
            self.tables[write.entity].put(write.row, self.get(write.entity, record_id))
        for root_id, ids in layer.cascades:
            self.cascades[root_id] = ids


class Layer:
    """What one transaction sees: its own writes over the committed records, with savepoints.

    Every write notes how to undo it, so going back to a savepoint costs what was written since.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: dict[str, Write] = {}
        self.published: list[Published] = []
        self.cascades: list[tuple[str, list[tuple[str, str]]]] = []
        self._claims: dict[tuple[str, str, Any], str | None] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    # -- reading -----------------------------------------------------------------------------

    def get(self, entity: str, record_id: str) -> StoredRow | None:
        """The record as this transaction sees it, deleted ones included."""
        own = self.written.get(record_id)
        return own.row if own is not None else self.store.get(entity, record_id)

    def live(self, entity: str, record_id: str) -> StoredRow | None:
        row = self.get(entity, record_id)
        return None if row is None or row["IsDeleted"] else row

    def find_unique(self, entity: str, column: Field, value: Any) -> str | None:
        """Id of the live record that holds this value of a unique field."""
        key = index_key(column, value)
        own = self._claims.get((entity, column.name, key), _MISSING)
        if own is not _MISSING:
            return own  # type: ignore[no-any-return]  # reason: the sentinel is typed Any
        return self.store.tables[entity].unique[column.name].get(key)

    def find(self, entity: str, column: Field, value: Any) -> list[str]:
        """Ids of the live records whose indexed field (unique, external id, reference) has this value."""
        if column.name == "Id":
            record_id = normalize_id(str(value))
            return [record_id] if record_id and self.live(entity, record_id) else []
        if column.unique:
            found = self.find_unique(entity, column, value)
            return [] if found is None else [found]
        key = index_key(column, value)
        committed = self.store.tables[entity].lookup[column.name].get(key, {})
        ids = [each for each in committed if each not in self.written]
        for record_id, write in self.written.items():
            row = write.row
            if write.entity == entity and not row["IsDeleted"] and index_key(column, row[column.name]) == key:
                ids.append(record_id)
        return ids

    def children(self, entity: str, foreign_key: Field, parent_id: str) -> list[StoredRow]:
        rows = (self.live(entity, each) for each in self.find(entity, foreign_key, parent_id))
        return [row for row in rows if row is not None]

    def rows(self, entity: str, *, deleted: bool = False) -> Iterator[StoredRow]:
        """All records of an object as this transaction sees them; `deleted` adds the recycle bin."""
        table = self.store.tables[entity]
        if not self.written:
            yield from table.rows.values()
            if deleted:
                yield from table.deleted.values()
            return
        for row in table.rows.values():
            if row["Id"] not in self.written:
                yield row
        if deleted:
            for row in table.deleted.values():
                if row["Id"] not in self.written:
                    yield row
        for write in self.written.values():
            if write.entity == entity and (deleted or not write.row["IsDeleted"]):
                yield write.row

    # -- writing -----------------------------------------------------------------------------

    def put(self, entity: str, row: StoredRow, *, direct: bool = True) -> None:
        earlier = self.written.get(row["Id"])
        self._set(
            self.written, row["Id"], Write(entity, row, direct or (earlier is not None and earlier.direct))
        )

    def claim(self, entity: str, column: Field, value: Any, record_id: str | None) -> None:
        """Takes a unique value for a record, or gives it up (None)."""
        self._set(self._claims, (entity, column.name, index_key(column, value)), record_id)

    def _set(self, target: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((target, key, target.get(key, _MISSING)))
        target[key] = value

    def savepoint(self) -> int:
        return len(self._undo)

    def back_to(self, savepoint: int) -> None:
        """Undoes every write since the savepoint."""
        while len(self._undo) > savepoint:
            target, key, old = self._undo.pop()
            if old is _MISSING:
                del target[key]
            else:
                target[key] = old

    # -- the outcome -------------------------------------------------------------------------

    def changes(self) -> tuple[Change, ...]:
        """One change per record, from the committed state to the final one, in order of first writing."""
        found = []
        for record_id, write in self.written.items():
            before = self.store.get(write.entity, record_id)
            kind = _kind_of(before, write.row)
            if kind is not None:
                found.append(Change(write.entity, record_id, kind, before, write.row, not write.direct))
        return tuple(found)


def _kind_of(before: StoredRow | None, after: StoredRow) -> ChangeKind | None:
    was_live = before is not None and not before["IsDeleted"]
    is_live = not after["IsDeleted"]
    if was_live:
        if not is_live:
            return ChangeKind.DELETE
        return ChangeKind.UPDATE if before is not after else None
    if not is_live:
        return None
    return ChangeKind.CREATE if before is None else ChangeKind.UNDELETE
