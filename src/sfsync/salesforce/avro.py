"""Avro bytes to events. Pure: a schema and bytes in, a value out; bytes that are no event are told so."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import orjson

from sfsync.salesforce.codec import HEADER, Event, Garbled


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed Avro schema and the names of its top-level fields in order."""

    parsed: Any
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as the Pub/Sub API has it."""

    id: str
    schema_id: str
    payload: bytes


def parse_schema(text: str) -> Schema:
    """The schema that GetSchema told as JSON; `ValueError` when it is none."""
    try:
        parsed: Any = fastavro.parse_schema(orjson.loads(text))
        return Schema(parsed, tuple(str(each["name"]) for each in parsed["fields"]))
    except (KeyError, TypeError, ValueError, fastavro.schema.SchemaParseException) as error:
        raise ValueError(f"not an Avro record schema: {error}") from error


def event(raw: RawEvent, schema: Schema) -> Event | Garbled:
    """What the bytes say."""
    try:
        record = _record(schema, raw.payload)
    except ValueError as error:
        return garbled(raw, str(error), schema)
    header = record.get(HEADER)
    named = header.get("changedFields") if isinstance(header, dict) else None
    return Event(raw.id, record, changed_fields(schema, named or ()))


def garbled(raw: RawEvent, reason: str, schema: Schema | None = None) -> Garbled:
    """The event set aside whole; without a schema nobody knows whether it told of a change."""
    payload = base64.b64encode(raw.payload).decode()
    return Garbled(raw.id, reason, payload, schema is None or HEADER in schema.fields)


def _record(schema: Schema, payload: bytes) -> Mapping[str, Any]:
    try:
        record = fastavro.schemaless_reader(io.BytesIO(payload), schema.parsed, None)
    except Exception as error:  # fastavro raises whatever the bytes lead it to
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("the event is no record")
    return record


def changed_fields(schema: Schema, bitmaps: Sequence[str]) -> frozenset[str] | None:
    """The top-level fields that a bitmap list names; None when it cannot be told.

    ``0x…`` is a bitmap over the top-level fields, lowest bit first; ``<position>-0x…`` one over the fields
    inside the field at that position, which is then changed itself.
    """
    names: set[str] = set()
    for text in bitmaps:
        place, dash, digits = text.rpartition("-")
        try:
            bits = int(digits, 16)
            if dash:
                names.add(schema.fields[int(place)])
                continue
        except (ValueError, IndexError):
            return None
        if bits >> len(schema.fields):
            return None
        names.update(name for position, name in enumerate(schema.fields) if bits >> position & 1)
    return frozenset(names)
