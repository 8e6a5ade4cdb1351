"""What a query sees: the records of one transaction's layer, through their indexes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sfsync.simulators.org.engine import Engine
from sfsync.simulators.org.model import Row
from sfsync.simulators.org.records import Layer


class LayerView:
    """The tables of the query language (`soql.Database`); `deleted` adds the recycle bin."""

    def __init__(self, engine: Engine, layer: Layer, *, deleted: bool = False) -> None:
        self._engine = engine
        self._layer = layer
        self._deleted = deleted

    def rows(self, entity: str) -> Iterable[Row]:
        return self._layer.rows(entity, deleted=self._deleted)

    def by_id(self, entity: str, record_id: str) -> Row | None:
        return self._layer.get(entity, record_id)

    def children(self, entity: str, foreign_key: str, parent_id: str) -> Iterable[Row]:
        found = self.indexed(entity, foreign_key, [parent_id])
        if found is not None:
            return found
        return (row for row in self.rows(entity) if row[foreign_key] == parent_id)

    def indexed(self, entity: str, field: str, values: Collection[Any]) -> Iterable[Row] | None:
        if field == "Id":
            by_id = (self._layer.get(entity, str(value)) for value in values)
            return [row for row in by_id if row is not None]
        column = self._engine.plans[entity].sobject.fields[field]
        if self._deleted or not (column.unique or column.external_id or column.reference_to):
            return None  # the recycle bin has no index
        ids = dict.fromkeys(each for value in values for each in self._layer.find(entity, column, value))
        rows = (self._layer.get(entity, each) for each in ids)
        return [row for row in rows if row is not None]
