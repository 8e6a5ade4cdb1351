"""What the query language asks of the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol

from sfsync.simulators.org.model import Row


class Database(Protocol):
    """The org's records as values by field name.

    A row is not changed once handed out: a save makes a new one. Values are `str | int | float | bool |
    date`, `datetime` (UTC, aware) or None; ids have 18 characters; formula fields are computed where they
    are not stored.
    """

    def rows(self, entity: str) -> Iterable[Row]:
        """All records of an object, deleted ones perhaps included (then with `IsDeleted` true)."""
        ...

    def by_id(self, entity: str, record_id: str) -> Row | None:
        """One record."""
        ...

    def children(self, entity: str, foreign_key: str, parent_id: str) -> Iterable[Row]:
        """The records of `entity` whose `foreign_key` is `parent_id`."""
        ...

    def indexed(self, entity: str, field: str, values: Collection[Any]) -> Iterable[Row] | None:
        """The records whose `field` has one of `values`, or None when there is no index on the field.

        Rows that do not match are allowed (they are checked again), a missing one is not, nor one given
        twice. Values of a field that is compared without case come in lower case.
        """
        ...
