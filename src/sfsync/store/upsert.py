"""Insert, or replace what is there already: one statement in both databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from .prepared import Prepared


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str] | None = None,
) -> None:
    """Insert rows; where the key is there already, replace the given columns."""
    if not rows:
        return
    names = None if keys is None else tuple(keys)
    _statement(connection.dialect.name, table, tuple(rows[0]), names).run(connection, rows)


@lru_cache
def _statement(
    dialect: str, table: Table, columns: tuple[str, ...], named: tuple[str, ...] | None
) -> Prepared:
    keys = named or tuple(column.name for column in table.primary_key)
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    changed = {name: insert.excluded[name] for name in columns if name not in keys}
    return Prepared(insert.on_conflict_do_update(index_elements=list(keys), set_=changed), columns)
