"""Reading a field of a stored row: as it is, through parents, or computed by its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sfsync.simulators.org.formula import compile_formula
from sfsync.simulators.org.model import Field, Row, Schema, SObject
from sfsync.simulators.org.soql.database import Database

Reader = Callable[[Row], Any]


@dataclass(slots=True)
class _RowContext:
    """A stored row as a formula field sees it: nothing is new, nothing has changed."""

    fields: Fields
    sobject: SObject
    row: Row
    blanks_as_zero: bool

    @property
    def is_new(self) -> bool:
        return False

    @property
    def now(self) -> datetime:
        return self.fields.now

    def value(self, path: tuple[str, ...]) -> Any:
        return self.fields.path_reader(self.sobject, path)(self.row)

    def prior(self, path: tuple[str, ...]) -> Any:
        return self.value(path)


class Fields:
    """The readers of an org's fields at one instant, made once each."""

    def __init__(self, schema: Schema, database: Database, now: datetime) -> None:
        self.schema = schema
        self.now = now
        self._database = database
        self._readers: dict[tuple[str, tuple[str, ...]], Reader] = {}

    def path_reader(self, sobject: SObject, path: tuple[str, ...]) -> Reader:
        """A reader of `path` (exact names) on rows of `sobject`; what cannot be reached reads as None."""
        key = (sobject.name, path)
        found = self._readers.get(key)
        if found is None:
            found = self._readers[key] = self._make(sobject, path)
        return found

    def _make(self, sobject: SObject, path: tuple[str, ...]) -> Reader:
        name, rest = path[0], path[1:]
        if rest:
            link = next(field for field in sobject.fields.values() if field.relationship_name == name)
            return self._through(link, rest)
        field = sobject.fields[name]
        if field.formula is not None:
            return self._computed(sobject, field, field.formula)
        return lambda row: row.get(name)

    def _through(self, link: Field, rest: tuple[str, ...]) -> Reader:
        parent_object = self.schema.objects[link.reference_to or ""]
        read, by_id = self.path_reader(parent_object, rest), self._database.by_id
        key, entity = link.name, parent_object.name

        def through(row: Row) -> Any:
            parent_id = row.get(key)
            parent = None if parent_id is None else by_id(entity, parent_id)
            return None if parent is None else read(parent)

        return through

    def _computed(self, sobject: SObject, field: Field, text: str) -> Reader:
        formula, blanks = compile_formula(text), field.formula_blanks_as_zero
        return lambda row: formula.evaluate(_RowContext(self, sobject, row, blanks))
