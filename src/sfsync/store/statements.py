"""The ground that the parts of `SqlTx` stand on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from . import tables as t
from .prepared import Prepared
from .upsert import upsert

T = TypeVar("T")


def one_of(column: Column[Any], *values: str) -> ColumnElement[bool]:
    """A column that has one of these values, which are few and known."""
    return or_(*(column == value for value in values))


def among(column: Column[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Rows whose column is one of `among`. Made once: building a statement costs more than running it."""
    return select(column.table).where(t.among(column), *conditions)


class Statements:
    """What the parts of `SqlTx` have in common."""

    _c: Connection

    def _upsert(
        self, table: Table, rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None
    ) -> None:
        """Insert rows; where the key is there already, replace the given columns."""
        upsert(self._c, table, rows, keys)

    def _in(self, statement: Prepared, values: Collection[str]) -> list[Any]:
        """Rows of a statement made by `among`."""
        return statement.run(self._c, {"among": list(values)}) if values else []

    def _values(
        self, statement: Prepared, values: Collection[str], make: Callable[[Any], T], **more: Any
    ) -> list[T]:
        """What `make` makes of the rows of such a statement; see `Prepared.values`."""
        return statement.values(self._c, {"among": list(values), **more}, make) if values else []

    def _insert(self, table: Any) -> Any:
        """An INSERT that knows ON CONFLICT, in this database's dialect."""
        return (sqlite.insert if self._c.dialect.name == "sqlite" else postgresql.insert)(table)
