"""Reading a field of a stored row: as it is, through parents, or computed by its formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sfsync.simulators.org.formula import Formula, FormulaError, compile_formula
from sfsync.simulators.org.model import Field, FieldType, Row, Schema, SObject
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
            link = _link(sobject, name)
            return self._through(link, rest)
        field = _field(sobject, name)
        if field.formula is not None:
            return self._computed(sobject, field, field.formula)
        name = field.name
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
        formula, blanks, name = compile_formula(text), field.formula_blanks_as_zero, field.name
        stored, checkbox = stays(sobject, formula), field.type is FieldType.BOOLEAN

        def compute(row: Row) -> Any:
            if stored and row.get(name) is not None:
                return row[name]  # the save has computed it
            try:
                value = formula.evaluate(_RowContext(self, sobject, row, blanks))
            except FormulaError:
                value = None  # an org shows #Error! on the page and null in the API
            return bool(value) if checkbox else value

        return compute


def stays(sobject: SObject, formula: Formula) -> bool:
    """Whether a formula's result changes only when its record is saved: no clock, no parents."""
    if formula.reads_clock or any(len(path) > 1 for path in formula.fields):
        return False
    texts = [_field(sobject, path[0]).formula for path in formula.fields]
    return all(stays(sobject, compile_formula(text)) for text in texts if text is not None)


def _field(sobject: SObject, name: str) -> Field:
    """A field by its name; formulas may write it in another case."""
    exact = sobject.fields.get(name)
    return exact or next(field for field in sobject.fields.values() if field.name.lower() == name.lower())


def _link(sobject: SObject, name: str) -> Field:
    """The foreign key behind the name of a parent relationship."""
    return next(
        field for field in sobject.fields.values() if (field.relationship_name or "").lower() == name.lower()
    )
