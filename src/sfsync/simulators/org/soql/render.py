"""Values and records as the REST API shows them in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sfsync.simulators.org.model import Field, FieldType, Row

Render = Callable[[Row], dict[str, Any]]


def json_value(field: Field, value: Any) -> Any:
    """One value: `2026-11-23T10:00:00.000+0000`, `12.0` for a whole Number, `12` for an integer."""
    if value is None or value == "":
        return None
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float, Decimal)):
        return int(value) if field.type is FieldType.INT else float(value)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


@lru_cache(4096)  # the same rows are read again and again
def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}+0000"


def attributes(entity: str, url_prefix: str, record_id: str) -> dict[str, str]:
    """`{"type", "url"}` of a record; `url_prefix` is `/services/data/v67.0`."""
    return {"type": entity, "url": f"{url_prefix}/sobjects/{entity}/{record_id}"}


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query found. Records are made when asked for, so that half a million rows page cheaply."""

    entity: str
    total_size: int
    rows: Sequence[Row]
    render: Render

    def page(self, start: int, size: int) -> list[dict[str, Any]]:
        """The records from `start` on, at most `size`, ready for JSON."""
        return [self.render(row) for row in self.rows[start : start + size]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records, ready for JSON."""
        return self.page(0, len(self.rows))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.render(row) for row in self.rows)
