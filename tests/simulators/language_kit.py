"""What the tests of the org's languages share: our own schema, tables in memory, a formula's record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from sfsync.simulators.org.ids import make_id
from sfsync.simulators.org.model import FieldType, Row, Schema
from sfsync.simulators.org.soql import QueryResult, execute
from sfsync.simulators.org.source import load_schema

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)  # a Monday
PROJECT = Path(__file__).parents[2] / "salesforce"


@lru_cache(maxsize=1)
def our_schema() -> Schema:
    """The schema of the metadata that sfsync ships."""
    return load_schema(PROJECT)


@dataclass
class Tables:
    """A `Database` over dictionaries; `indexes` are the fields it looks up, `asked` those it was asked."""

    schema: Schema
    indexes: Mapping[str, Collection[str]] = field(default_factory=dict)
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, entity: str, **values: Any) -> str:
        """Stores a record with the fields that a save would fill; returns its id."""
        table, sobject = self.tables.setdefault(entity, {}), self.schema.objects[entity]
        unknown = values.keys() - sobject.fields.keys()
        assert not unknown, unknown
        row: dict[str, Any] = {"CreatedDate": NOW, "SystemModstamp": NOW}
        row |= {name: False for name, each in sobject.fields.items() if each.type is FieldType.BOOLEAN}
        row |= values
        row["Id"] = make_id(sobject.key_prefix, len(table) + 1)
        table[row["Id"]] = row
        return str(row["Id"])

    def rows(self, entity: str) -> Iterable[Row]:
        self.asked.append(f"{entity}: all")
        return list(self.tables.get(entity, {}).values())

    def by_id(self, entity: str, record_id: str) -> Row | None:
        return self.tables.get(entity, {}).get(record_id)

    def children(self, entity: str, foreign_key: str, parent_id: str) -> Iterable[Row]:
        return [row for row in self.tables.get(entity, {}).values() if row.get(foreign_key) == parent_id]

    def indexed(self, entity: str, field: str, values: Collection[Any]) -> Iterable[Row] | None:
        if field not in self.indexes.get(entity, ()):
            return None
        self.asked.append(f"{entity}.{field}")
        exact = self.schema.objects[entity].fields[field].case_sensitive
        wanted = set(values)
        return [
            row
            for row in self.tables.get(entity, {}).values()
            if (row.get(field) if exact or row.get(field) is None else row[field].lower()) in wanted
        ]

    def ask(self, query: str, **options: Any) -> QueryResult:
        """The answer to a query at `NOW`."""
        return execute(query, self.schema, self, NOW, **options)

    def column(self, query: str, name: str = "Name", **options: Any) -> list[Any]:
        """One column of the answer."""
        return [record[name] for record in self.ask(query, **options).records]


@dataclass
class Record:
    """A formula's context (`FormulaContext`) over plain values; `before` None is a new record."""

    now_values: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None
    blanks_as_zero: bool = True
    now: datetime = NOW

    @property
    def is_new(self) -> bool:
        return self.before is None

    def value(self, path: tuple[str, ...]) -> Any:
        return self.now_values.get(".".join(path))

    def prior(self, path: tuple[str, ...]) -> Any:
        assert self.before is not None, "PRIORVALUE asked a new record for its earlier state"
        return self.before.get(".".join(path))


INDEXES = {
    "StockLevel__c": ("LevelKey__c", "Sku__c"),
    "StockMovement__c": ("IdempotencyKey__c", "SubjectKey__c"),
}


def ledger() -> Tables:
    """Three levels; four movements of the first, one of the second; two orders."""
    tables = Tables(our_schema(), INDEXES)
    levels = [
        tables.add(
            "StockLevel__c", Name="SL-1", LevelKey__c="BAG|LON", Sku__c="BAG", OnHand__c=3.0, Reserved__c=1.0
        ),
        tables.add(
            "StockLevel__c", Name="SL-2", LevelKey__c="BAG|DXB", Sku__c="BAG", OnHand__c=0.0, Reserved__c=0.0
        ),
        tables.add(
            "StockLevel__c", Name="SL-3", LevelKey__c="bag|dxb", Sku__c="belt", Unit__c="N°1", OnHand__c=1.0
        ),
    ]
    for number, (kind, delta, by_us) in enumerate(
        [("Opening", 4.0, False), ("Sale", -1.0, False), ("Sale", -1.0, True), ("Return", 1.0, False)]
    ):
        tables.add(
            "StockMovement__c",
            Name=f"SM-{number + 1}",
            StockLevel__c=levels[0],
            Kind__c=kind,
            OnHandDelta__c=delta,
            BySfsync__c=by_us,
            IdempotencyKey__c=f"till:{number}",
            OccurredAt__c=NOW - timedelta(days=number),
        )
    tables.add("StockMovement__c", Name="SM-5", StockLevel__c=levels[1], Kind__c="Sale", OnHandDelta__c=-1.0)
    tables.add(
        "Order", Name="one", Status="Draft", EffectiveDate=date(2026, 11, 23), OwnerId="005000000000001AAA"
    )
    tables.add("Order", Name="two", Status="Activated", EffectiveDate=date(2026, 10, 31))
    return tables
