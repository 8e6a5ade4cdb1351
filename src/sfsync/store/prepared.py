"""Statements that are run thousands of times a minute: compiled once, then handed to the driver as they are.

SQLAlchemy looks a statement up, copies its parameters, builds a cursor result and its rows: three times what
SQLite takes for the statement itself. Here it writes the SQL, once for each dialect, and names the
conversions of its types; the rest is the driver's. Errors are SQLAlchemy's own.

What asks for rows by one of several values (`tables.among`) is mostly given one. It is then written with a
plain comparison, which takes half as long as unpacking a list.

Constants are written into the SQL. As parameters they are costly where a partial index has a condition on
their column: whether it serves depends on the value, so SQLite plans such a statement anew at each run, which
takes ten times as long as running it.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, TypeVar, cast

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    CompoundSelect,
    Connection,
    Delete,
    Dialect,
    FromClause,
    Insert,
    ScalarSelect,
    Select,
    TableValuedAlias,
    Update,
    bindparam,
    literal_column,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import operators, visitors
from sqlalchemy.types import TypeEngine

from .tables import each_of

T = TypeVar("T")
AMONG = "among"  # the parameter of `tables.among`
ROWS_KEPT = 4_096  # of each statement: what is sold just now is read again and again

Convert = Callable[[Any], Any] | None
Statement = Select[Any] | CompoundSelect[Any, Any] | Insert | Update | Delete


class Rows(list[Any]):
    """Rows with their columns as attributes. `changed` is how many rows a statement changed."""

    changed = 0

    def first(self) -> Any:
        """The first row, or None."""
        return self[0] if self else None

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self[0][0] if self else None

    def scalars(self) -> list[Any]:
        """The first column of each row."""
        return [row[0] for row in self]


class Prepared:
    """A statement whose parameters are all bound by name; an insert names the columns that it is given."""

    def __init__(self, statement: Statement, columns: Sequence[str] | None = None) -> None:
        self.statement, self.columns = statement, columns
        self._plans: dict[str, _Plan] = {}  # by dialect
        self._plans_for_one: dict[str, _Plan] = {}

    def run(
        self, connection: Connection, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Rows:
        """Execute it in the connection's transaction, once or for each of several parameter sets."""
        rows: Rows = self._run(connection, parameters, None)
        return rows

    def values(
        self, connection: Connection, parameters: Mapping[str, Any], make: Callable[[Any], T]
    ) -> list[T]:
        """What `make` makes of each row that is read: a value that nobody changes, by the row alone.

        The same row is read many times before it changes, so what was made of its very content is kept.
        """
        found: list[T] = self._run(connection, parameters, make)
        return found

    def _run(
        self,
        connection: Connection,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        make: Callable[[Any], Any] | None,
    ) -> Any:
        dialect, plans = connection.dialect, self._plans
        given: Any = parameters
        if given.__class__ is list or not isinstance(given, Mapping):
            given = given[0] if len(given) == 1 else None
        elif AMONG in given and len(given[AMONG]) == 1:
            given, plans = {**given, AMONG: given[AMONG][0]}, self._plans_for_one
        plan = plans.get(dialect.name)
        if plan is None:
            statement = self.statement if plans is self._plans else _for_one(self.statement)
            plan = plans[dialect.name] = _Plan(statement, self.columns, dialect)
        driver: Any = connection.connection.dbapi_connection
        cursor = None
        try:
            # Both drivers' connections make the cursor themselves. It is read to its end, so SQLite holds
            # nothing for it any more, and closing it would only take time.
            if given is not None:
                cursor = driver.execute(plan.sql, plan.bound(given))
            else:
                cursor, several = driver.cursor(), cast(Sequence[Mapping[str, Any]], parameters)
                cursor.executemany(plan.sql, [plan.bound(one) for one in several])
            if make is not None:
                return plan.values(cursor, make)
            rows = plan.rows(cursor) if plan.reads else Rows()
            rows.changed = cursor.rowcount
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor):
                connection.invalidate(error)
            raise DBAPIError.instance(
                plan.sql, None, error, dialect.loaded_dbapi.Error, hide_parameters=True
            ) from error
        else:
            return rows


class _Plan:
    """A statement in one dialect."""

    def __init__(self, statement: Statement, given: Sequence[str] | None, dialect: Dialect) -> None:
        compiled: Any = _written_out(statement, dialect).compile(dialect=dialect, column_keys=given)
        self.sql = str(compiled)
        asked = {name: None for bind, name in compiled.bind_names.items() if bind.required}
        values: dict[str, Any] = compiled.construct_params(asked)
        self._fixed = {name: value for name, value in values.items() if name not in asked}
        converts: dict[str, Convert] = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for bind, name in compiled.bind_names.items()
        }
        order: Sequence[str] | None = getattr(compiled, "positiontup", None)
        self._binds = [(name, converts.get(name)) for name in order or values]
        self._positional = order is not None
        # The parameters as the driver wants them.
        self.bound: Callable[[Mapping[str, Any]], Any] = self._bound
        if self._binds and self._positional and not self._fixed and not any(how for _, how in self._binds):
            self.bound = _as_they_are([name for name, _ in self._binds])
        columns: list[Any] = list(statement.exported_columns)  # selected, or returned by what changes rows
        self.reads = bool(columns)
        self._columns = columns
        # Without the named tuple's own steps in between, which check what the statement has said.
        self._make = partial(tuple.__new__, _row_class([column.key or "" for column in columns]))
        self._dialect = dialect
        self._converts: list[tuple[int, Callable[[Any], Any]]] | None = None
        self._made: dict[Callable[[Any], Any], Callable[[Any], Any]] = {}

    def _bound(self, given: Mapping[str, Any]) -> Any:
        values = {**self._fixed, **given} if self._fixed else given
        if self._positional:
            return [
                values[name] if convert is None else convert(values[name]) for name, convert in self._binds
            ]
        return {
            name: values[name] if convert is None else convert(values[name]) for name, convert in self._binds
        }

    def rows(self, cursor: Any) -> Rows:
        """The driver's rows with their types."""
        converts, raw = self._conversions(cursor), cursor.fetchall()
        if not converts:
            return Rows(map(self._make, raw))
        return Rows([self._typed(row, converts) for row in raw])

    def values(self, cursor: Any, make: Callable[[Any], Any]) -> list[Any]:
        """What is made of the driver's rows."""
        made = self._made.get(make)
        if made is None:
            converts = self._conversions(cursor)
            made = self._made[make] = lru_cache(ROWS_KEPT)(lambda row: make(self._typed(row, converts)))
        return list(map(made, cursor.fetchall()))

    def _conversions(self, cursor: Any) -> list[tuple[int, Callable[[Any], Any]]]:
        """Which columns are to be converted, and how: that may depend on what the database says of them."""
        if self._converts is None:
            self._converts = [
                (number, convert)
                for number, (column, told) in enumerate(zip(self._columns, cursor.description, strict=True))
                if (convert := _from_driver(column.type, self._dialect, told[1])) is not None
            ]
        return self._converts

    def _typed(self, row: Sequence[Any], converts: Sequence[tuple[int, Callable[[Any], Any]]]) -> Any:
        values = list(row)
        for number, convert in converts:
            values[number] = convert(values[number])
        return self._make(values)


def _as_they_are(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    """Parameters that need no conversion, in their order."""
    if len(names) > 1:
        return itemgetter(*names)
    (name,) = names
    return lambda given: (given[name],)


def _for_one(statement: Statement) -> Statement:
    """The statement for one value: what compares a column with the values of a list compares it with that."""

    def compared(element: Any, **_options: Any) -> Any:
        if not isinstance(element, BinaryExpression) or not isinstance(element.right, ScalarSelect):
            return None
        listed = element.right.element
        if not isinstance(listed, Select) or not any(map(_is_list, listed.get_final_froms())):
            return None
        one = bindparam(AMONG, type_=element.left.type)
        return element.left == one if element.operator is operators.in_op else element.left != one

    return cast(Statement, visitors.replacement_traverse(statement, {}, compared))


def _is_list(source: FromClause) -> bool:
    return isinstance(source, TableValuedAlias) and isinstance(source.element, each_of)


def _written_out(statement: Statement, dialect: Dialect) -> Statement:
    """The statement with its constants in the text; what it is given at each run stays a parameter."""

    def constant(element: Any, **_options: Any) -> Any:
        if not isinstance(element, BindParameter) or element.required or element.callable is not None:
            return None
        if not isinstance(element.value, str | int | float):
            return None
        text = element.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        return literal_column(str(text), element.type)

    return cast(Statement, visitors.replacement_traverse(statement, {}, constant))


def _from_driver(kind: TypeEngine[Any], dialect: Dialect, told: Any) -> Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, told)


def _row_class(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)
