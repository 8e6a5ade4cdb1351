"""The values that the parts of the simulated org exchange: its schema and its commits.

`source.py` reads the schema from SFDX files, `engine.py` turns requests into commits,
`bus.py` turns commits into events. None of them knows more of another than this page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]


class FieldType(StrEnum):
    """The field types an org of this simulator can have (API `type` names, lower case)."""

    ID = "id"
    STRING = "string"
    TEXTAREA = "textarea"
    PICKLIST = "picklist"
    BOOLEAN = "boolean"
    DOUBLE = "double"
    CURRENCY = "currency"
    PERCENT = "percent"
    INT = "int"
    DATE = "date"
    DATETIME = "datetime"
    REFERENCE = "reference"
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"


@dataclass(frozen=True, slots=True)
class RollUp:
    """A summary field: what it sums (`child.field`) over which master-detail relationship."""

    operation: str  # sum, count, min, max
    child_object: str
    child_field: str | None  # None for count
    foreign_key: str
    filters: tuple[tuple[str, str, str], ...] = ()  # (field, operation, value) as in the metadata


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object, as describe shows it and as the engine enforces it."""

    name: str
    label: str
    type: FieldType
    length: int | None = None  # characters, for text
    precision: int | None = None  # digits in all, for numbers
    scale: int | None = None  # digits after the point
    required: bool = False
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    read_only: bool = False  # system, auto-number, formula and roll-up fields
    default: str | None = None  # a formula; None is no default
    picklist: tuple[str, ...] = ()
    restricted_picklist: bool = False
    reference_to: str | None = None
    relationship_name: str | None = None  # parent direction, e.g. StockLevel__r
    child_relationship_name: str | None = None  # from the parent, e.g. StockMovements__r
    master_detail: bool = False
    reparentable: bool = False
    formula: str | None = None
    formula_blanks_as_zero: bool = True
    roll_up: RollUp | None = None
    auto_number: str | None = None  # display format, e.g. SL-{0000000}


@dataclass(frozen=True, slots=True)
class Rule:
    """A validation rule: the save fails when its formula is true."""

    name: str
    formula: str
    message: str
    display_field: str | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class SObject:
    """One object (custom, standard, or platform event) with its fields in schema order."""

    name: str
    label: str
    label_plural: str
    key_prefix: str  # first three characters of its record ids
    fields: Mapping[str, Field]
    rules: tuple[Rule, ...] = ()
    is_event: bool = False
    publish_immediately: bool = False


@dataclass(frozen=True, slots=True)
class ChannelMember:
    """What a custom channel carries of one change event: filter (SOQL conditions) and enrichment."""

    entity: str  # the object's name, e.g. StockMovement__c
    filter_expression: str | None = None
    enriched_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """A CDC channel: `/data/<name>`; `ChangeEvents` is the standard one."""

    name: str
    members: tuple[ChannelMember, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """Everything the org is made of."""

    objects: Mapping[str, SObject]
    channels: Mapping[str, Channel] = field(default_factory=dict)


class ChangeKind(StrEnum):
    """What a transaction did to a record, in the end."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"


@dataclass(frozen=True, slots=True)
class Change:
    """One record's change in one transaction, first state to final state."""

    entity: str
    record_id: str  # 18 characters
    kind: ChangeKind
    before: Row | None
    after: Row | None
    roll_up_only: bool = False  # the parent was touched by its roll-ups alone


@dataclass(frozen=True, slots=True)
class Published:
    """A platform event that a transaction (or Pub/Sub's Publish) put on the bus."""

    entity: str  # e.g. StockEvent__e
    uuid: str
    fields: Row


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed transaction, in the order in which the bus must tell it."""

    transaction_key: str
    number: int  # grows with each commit
    at: datetime  # UTC
    user_id: str
    origin: str  # `com/salesforce/api/rest/67.0;client=<Sforce-Call-Options client>`
    changes: tuple[Change, ...] = ()
    published: tuple[Published, ...] = ()
