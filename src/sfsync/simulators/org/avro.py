"""Avro as the event bus writes it: one schema per event, nullable unions, bitmaps of changed fields.

A codec is made from an object's present fields and never changes: when the object gets another field
there is another codec with another schema id, and events already written keep theirs. Dates and
date-times are `long` epoch milliseconds, all numbers `double`, everything else text or boolean.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import fastavro

from sfsync.simulators.org.model import Field, FieldType, SObject

NAMESPACE = "com.sforce.eventbus"
HEADER = "ChangeEventHeader"
CHANGE_TYPES = (
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
    "SNAPSHOT",
)
# What a change event never carries: the id is in the header, the rest is not the record's own data.
NOT_IN_EVENTS = frozenset(
    {
        "Id",
        "IsDeleted",
        "SystemModstamp",
        "LastActivityDate",
        "LastViewedDate",
        "LastReferencedDate",
        "PhotoUrl",
    }
)

Convert: TypeAlias = Callable[[Any], Any]

_STRINGS = {"type": "array", "items": "string"}
_HEADER_TYPE = {
    "type": "record",
    "name": HEADER,
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": _STRINGS},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": _STRINGS},
        {"name": "diffFields", "type": _STRINGS},
        {"name": "changedFields", "type": _STRINGS},
    ],
}
_DATES = frozenset({FieldType.DATE, FieldType.DATETIME})
_NUMBERS = frozenset({FieldType.DOUBLE, FieldType.CURRENCY, FieldType.PERCENT, FieldType.INT})


@dataclass(frozen=True, slots=True)
class Codec:
    """One event schema: its id, its Avro JSON, and how to write and read a payload of it."""

    schema_id: str
    schema_json: str
    converts: Mapping[str, Convert]  # by field name, the header left out
    positions: Mapping[str, int]
    dates: frozenset[str]  # fields that JSON shows as ISO text
    _parsed: Any = field(repr=False)

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Returns the bare Avro binary of a record already in Avro's types; absent fields are null."""
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, record)
        return out.getvalue()

    def decode(self, payload: bytes) -> dict[str, Any]:
        """Returns the record a payload holds; raises ValueError if it is not exactly one of this schema."""
        source = io.BytesIO(payload)
        try:
            record = fastavro.schemaless_reader(source, self._parsed, None)
        except (EOFError, IndexError, ValueError, UnicodeDecodeError, OverflowError) as error:
            raise ValueError(f"payload is not of schema {self.schema_id}") from error
        if source.read(1) or not isinstance(record, dict):
            raise ValueError(f"payload is longer than a record of schema {self.schema_id}")
        return record

    def to_avro(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns those values that the schema has, in Avro's types."""
        converts = self.converts
        return {
            name: None if value is None else converts[name](value)
            for name, value in values.items()
            if name in converts
        }

    def to_json(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a record in Avro's types as JSON events show it: dates as ISO text."""
        dates = self.dates
        return {
            name: iso_text(value) if name in dates and value is not None else value
            for name, value in record.items()
        }

    def bitmap(self, names: Iterable[str]) -> list[str]:
        """Returns field names as the header's bitmap: upper-case hex, least significant bit is field 0."""
        bits = 0
        for name in names:
            bits |= 1 << self.positions[name]
        return [f"0x{bits:02X}"] if bits else []


def change_event_name(entity: str) -> str:
    """Returns an object's change event: `Stock__ChangeEvent` of `Stock__c`, `OrderChangeEvent` of `Order`."""
    return f"{entity[:-1]}ChangeEvent" if entity.endswith("__c") else f"{entity}ChangeEvent"


def change_fields(sobject: SObject, *, formulas: bool = True) -> tuple[Field, ...]:
    """Returns the fields of an object that its change events can carry, in schema order."""
    return tuple(
        field
        for field in sobject.fields.values()
        if field.name not in NOT_IN_EVENTS and (formulas or field.formula is None)
    )


def change_codec(sobject: SObject, *, formulas: bool = True) -> Codec:
    """Makes the codec of an object's change event as the object is now."""
    header = {"name": HEADER, "type": _HEADER_TYPE}
    return _codec(change_event_name(sobject.name), [header], change_fields(sobject, formulas=formulas))


def event_codec(sobject: SObject) -> Codec:
    """Makes the codec of a platform event as it is defined now."""
    leading = [{"name": "CreatedDate", "type": "long"}, {"name": "CreatedById", "type": "string"}]
    own = (field for field in sobject.fields.values() if field.name.endswith("__c"))
    return _codec(sobject.name, leading, tuple(own), also={"CreatedDate": epoch_ms, "CreatedById": str})


def known_codec(schema_json: str) -> Codec:
    """Makes the codec of a schema that this module wrote earlier, when its object may have changed since."""
    fields = [f for f in json.loads(schema_json)["fields"] if f["name"] != HEADER]
    return _finished(
        schema_json,
        converts={f["name"]: _as_it_is for f in fields},
        dates=frozenset(f["name"] for f in fields if "long" in f["type"]),
    )


def epoch_ms(value: Any) -> int:
    """Returns a date or date-time as epoch milliseconds; it may be a value, ISO text, or a number already."""
    if isinstance(value, (int, float)):
        return int(value)
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 — the zone is set below
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def iso_text(milliseconds: int) -> str:
    """Returns epoch milliseconds as JSON events carry them: `…T08:15:00Z`, or `…T08:15:00.250Z`."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _codec(
    name: str,
    leading: list[dict[str, Any]],
    fields: tuple[Field, ...],
    also: Mapping[str, Convert] | None = None,
) -> Codec:
    own = [{"name": f.name, "type": ["null", _avro_type(f.type)], "default": None} for f in fields]
    schema = {"type": "record", "name": name, "namespace": NAMESPACE, "fields": leading + own}
    return _finished(
        json.dumps(schema, separators=(",", ":")),
        converts={**(also or {}), **{f.name: _convert(f.type) for f in fields}},
        dates=frozenset({"CreatedDate"} | {f.name for f in fields if f.type in _DATES}),
    )


def _finished(schema_json: str, converts: Mapping[str, Convert], dates: frozenset[str]) -> Codec:
    digest = hashlib.blake2b(schema_json.encode(), digest_size=16).digest()
    schema = json.loads(schema_json)
    return Codec(
        schema_id=base64.urlsafe_b64encode(digest).decode().rstrip("="),
        schema_json=schema_json,
        converts=converts,
        positions={field["name"]: position for position, field in enumerate(schema["fields"])},
        dates=dates,
        _parsed=fastavro.parse_schema(schema),
    )


def _as_it_is(value: Any) -> Any:
    return value


def _avro_type(kind: FieldType) -> str:
    if kind in _DATES:
        return "long"
    if kind in _NUMBERS:
        return "double"
    return "boolean" if kind is FieldType.BOOLEAN else "string"


def _convert(kind: FieldType) -> Convert:
    if kind in _DATES:
        return epoch_ms
    if kind in _NUMBERS:
        return float
    return bool if kind is FieldType.BOOLEAN else str
