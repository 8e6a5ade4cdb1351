"""Avro bytes to what woke us: change events to the records to read again, till events to postings.

Pure: a schema and bytes in, a value out. Nothing here raises for what an event contains; what cannot be
understood becomes `Poison` with its reason, and where a change may have gone unseen, a hole to be read again.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import orjson

from sfsync.domain.stock import BadKeyError, LevelKey, MovementKind
from sfsync.ports import Poison, Posting

STOCK_MOVEMENT = "StockMovement__c"
STOCK_LEVEL = "StockLevel__c"
RETENTION = timedelta(hours=72)  # how old an event can be that the stream still has
OVERLAP = timedelta(
    minutes=15
)  # rows are stamped before their transaction commits; transactions end within ten
TELLING_FIELDS = frozenset({"StockLevel__c", "OnHandDelta__c", "ReservedDelta__c", "VersionDelta__c"})
SOURCE_ID_LENGTH = 180
LARGEST_QUANTITY = 10**15

_HEADER = "ChangeEventHeader"
_SIGNS = {MovementKind.SALE: -1, MovementKind.RETURN: 1, MovementKind.RECEIPT: 1, MovementKind.ADJUSTMENT: 0}


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed Avro schema and the names of its top-level fields in order."""

    parsed: Any
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as the wire had it."""

    id: str
    schema_id: str
    payload: bytes


@dataclass(slots=True)
class Findings:
    """What some events say together: the parts of a `ports.EventBatch`."""

    levels: set[str] = field(default_factory=set)
    movements: set[str] = field(default_factory=set)
    postings: list[Posting] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)
    hole_since: datetime | None = None

    def hole(self, since: datetime) -> None:
        """Something may have changed unseen since then."""
        self.hole_since = since if self.hole_since is None else min(since, self.hole_since)


def parse_schema(text: str) -> Schema:
    """The schema that GetSchema told as JSON; `ValueError` when it is none."""
    try:
        parsed: Any = fastavro.parse_schema(orjson.loads(text))
        return Schema(parsed, tuple(str(each["name"]) for each in parsed["fields"]))
    except (KeyError, TypeError, ValueError, fastavro.schema.SchemaParseException) as error:
        raise ValueError(f"not an Avro record schema: {error}") from error


def read(schema: Schema, payload: bytes) -> Mapping[str, Any]:
    """The event's record; `ValueError` when the bytes do not fit the schema."""
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


def note(found: Findings, event: RawEvent, schema: Schema, now: datetime) -> None:
    """Add what the event says to the findings."""
    try:
        record = read(schema, event.payload)
        header = record.get(_HEADER)
        if header is not None:
            _change(found, schema, record, header)
            return
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        unreadable(found, event, str(error), now, schema)
        return
    posted = posting(event.id, record)
    if isinstance(posted, Posting):
        found.postings.append(posted)
    else:
        found.poison.append(posted)


def unreadable(
    found: Findings, event: RawEvent, reason: str, now: datetime, schema: Schema | None = None
) -> None:
    """Set the event aside; if it may have been a change, whichever it was is unseen."""
    payload = base64.b64encode(event.payload).decode()
    found.poison.append(Poison(event.id, f"the event cannot be read: {reason}", payload))
    if schema is None or _HEADER in schema.fields:
        found.hole(now - RETENTION)


def _change(found: Findings, schema: Schema, record: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    entity, change, ids = header["entityName"], header["changeType"], header["recordIds"]
    if entity not in (STOCK_MOVEMENT, STOCK_LEVEL):
        return
    if change == "GAP_OVERFLOW" or any(_names_no_record(each) for each in ids):
        found.hole(_epoch(header["commitTimestamp"]) - OVERLAP)
        return
    if entity == STOCK_LEVEL:
        found.levels.update(ids)
        return
    if change == "UPDATE" and _tells_nothing(schema, header):
        return
    level = record.get("StockLevel__c")
    if level:
        found.levels.add(level)
    if not level or len(ids) > 1:  # the one level that is named need not be that of every merged record
        found.movements.update(ids)


def _names_no_record(record_id: str) -> bool:
    return record_id.endswith("*") or record_id.strip("0") in ("", "AAA")


def _tells_nothing(schema: Schema, header: Mapping[str, Any]) -> bool:
    """True for an update that left every number alone; not for one that does not say what it changed."""
    changed = changed_fields(schema, header.get("changedFields") or ())
    return changed is not None and len(changed) > 0 and changed.isdisjoint(TELLING_FIELDS)


def posting(event_id: str, record: Mapping[str, Any]) -> Posting | Poison:
    """A till's event as a posting, or as poison with the reason why it is none."""
    source_id = _words(record, "SourceId__c")
    try:
        if not 0 < len(source_id) <= SOURCE_ID_LENGTH:
            raise ValueError(f"SourceId__c needs 1 to {SOURCE_ID_LENGTH} characters")
        kind = _kind(_words(record, "Kind__c"))
        level = LevelKey(
            _words(record, "Sku__c"), _words(record, "LocationCode__c"), _words(record, "Unit__c") or None
        )
        quantity = _quantity(kind, record.get("Quantity__c"))
        return Posting(source_id, kind, level, quantity, _words(record, "Reference__c"), _moment(record))
    except (BadKeyError, ValueError) as error:
        payload = orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        return Poison(source_id or event_id, str(error), payload)


def _words(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _kind(word: str) -> MovementKind:
    for kind in _SIGNS:
        if word == kind.value:
            return kind
    raise ValueError(f"Kind__c is {word!r}; a till may tell {', '.join(kind.value for kind in _SIGNS)}")


def _quantity(kind: MovementKind, value: object) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST_QUANTITY:
        raise ValueError(f"Quantity__c is {value!r}, no number of units")
    quantity = int(value)
    if quantity != value or quantity == 0:
        raise ValueError(f"Quantity__c is {value!r}, no whole number of units other than 0")
    sign = _SIGNS[kind]
    if sign and (quantity > 0) != (sign > 0):
        way = "raises" if sign > 0 else "lowers"
        raise ValueError(
            f"a {kind.value} {way} on hand, but Quantity__c, the signed change, is {quantity}; "
            "an earlier event is corrected by an Adjustment"
        )
    return quantity


def _moment(record: Mapping[str, Any]) -> datetime:
    for name in ("OccurredAt__c", "CreatedDate"):
        value = record.get(name)
        if value is None:
            continue
        try:
            return _epoch(value)
        except (OverflowError, OSError, TypeError, ValueError):
            raise ValueError(f"{name} is {value!r}, no time in epoch milliseconds") from None
    raise ValueError("neither OccurredAt__c nor CreatedDate is a time")


def _epoch(value: Any) -> datetime:
    """Epoch milliseconds, or what fastavro made of them where the schema calls them a time."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(value / 1000, UTC)


def entity_topic(topic: str) -> str:
    """The topic whose schema the events of this one have: our channel carries stock movements."""
    return "/data/StockMovement__ChangeEvent" if topic.endswith("__chn") else topic
