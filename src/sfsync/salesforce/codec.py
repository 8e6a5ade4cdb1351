"""Events to what woke us: change events to the records to read again, till events to postings.

Pure, and the same for every transport: each hands over decoded records. Nothing here raises for what an event
contains; what cannot be understood becomes `Poison` with its reason, and where a change may have gone unseen,
a hole to be read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from sfsync.domain.stock import CLOCK_SKEW, BadKeyError, LevelKey, MovementKind
from sfsync.domain.transfers import Stage, Transfer
from sfsync.ports import Poison, Posting

STOCK_MOVEMENT = "StockMovement__c"
STOCK_LEVEL = "StockLevel__c"
ORDER = "Order"
ORDER_ITEM = "OrderItem"
RETENTION = timedelta(hours=72)  # how old an event can be that the stream still has
OVERLAP = timedelta(
    minutes=15
)  # rows are stamped before their transaction commits; transactions end within ten
TELLING_FIELDS = frozenset({"StockLevel__c", "OnHandDelta__c", "ReservedDelta__c", "VersionDelta__c"})
SOURCE_ID_LENGTH = 180
LARGEST_QUANTITY = 1_000_001  # nobody moves more of one level at once

HEADER = "ChangeEventHeader"
# Of a till's event; the goods of a transfer stand in transit between the two.
_STAGES = {"TransferSent": Stage.SENT, "TransferReceived": Stage.RECEIVED, "Transfer": Stage.MOVED}
_SIGNS = {MovementKind.SALE: -1, MovementKind.RETURN: 1, MovementKind.RECEIPT: 1, MovementKind.ADJUSTMENT: 0}


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its id, its record by field name, and which fields an update says that it changed.

    `changed` is empty for what is no update, and None when the event does not tell.
    """

    id: str
    record: Mapping[str, Any]
    changed: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Garbled:
    """One event that its transport could not read, kept whole; `change` when it may have told of a change."""

    id: str
    reason: str
    payload: str
    change: bool


@dataclass(slots=True)
class Findings:
    """What some events say together: the parts of a `ports.EventBatch`."""

    levels: set[str] = field(default_factory=set)
    movements: set[str] = field(default_factory=set)
    orders: set[str] = field(default_factory=set)
    order_items: set[str] = field(default_factory=set)
    postings: list[Posting] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)
    hole_since: datetime | None = None

    def hole(self, since: datetime) -> None:
        """Something may have changed unseen since then."""
        self.hole_since = since if self.hole_since is None else min(since, self.hole_since)


def note(found: Findings, event: Event | Garbled, now: datetime) -> None:
    """Add what the event says to the findings."""
    if isinstance(event, Garbled):
        _set_aside(found, event, now)
        return
    header = event.record.get(HEADER)
    if header is None:
        posted = posting(event.id, event.record, now)
        if isinstance(posted, Posting):
            found.postings.append(posted)
        elif isinstance(posted, Transfer):
            found.transfers.append(posted)
        else:
            found.poison.append(posted)
        return
    try:
        _change(found, event, header)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        _set_aside(found, Garbled(event.id, reason, as_text(event.record), change=True), now)


def committed_at(event: Event | Garbled) -> datetime | None:
    """When the org committed what the event tells of (a platform event: published it), if it says so."""
    if isinstance(event, Garbled):
        return None
    try:
        header = event.record.get(HEADER)
        return _epoch(event.record["CreatedDate"] if header is None else header["commitTimestamp"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return None


def is_older(event: Event | Garbled, moment: datetime) -> bool:
    """True when a platform event was certainly created before a moment."""
    if isinstance(event, Garbled):
        return False
    try:
        return _epoch(event.record["CreatedDate"]) < moment
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return False


def _set_aside(found: Findings, event: Garbled, now: datetime) -> None:
    """A person gets the event; if it may have been a change, whichever it was is unseen."""
    found.poison.append(Poison(event.id, f"the event cannot be read: {event.reason}", event.payload))
    if event.change:
        found.hole(now - RETENTION)


def as_text(record: Mapping[str, Any]) -> str:
    """A record for a person to read, as JSON."""
    return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _change(found: Findings, event: Event, header: Mapping[str, Any]) -> None:
    entity, change, ids = header["entityName"], header["changeType"], header["recordIds"]
    if entity not in (STOCK_MOVEMENT, STOCK_LEVEL, ORDER, ORDER_ITEM):
        return
    gap = change.startswith("GAP_")  # the org tells that it could not tell: what it names may not be all
    if gap or any(_names_no_record(each) for each in ids):
        found.hole(_epoch(header["commitTimestamp"]) - OVERLAP)
    if change == "GAP_OVERFLOW" or any(_names_no_record(each) for each in ids):
        return
    if entity == STOCK_LEVEL:
        found.levels.update(ids)
        return
    if entity == ORDER:
        found.orders.update(ids)
        return
    if entity == ORDER_ITEM:
        if order := event.record.get("OrderId"):
            found.orders.add(order)
        if not order or len(ids) > 1:
            found.order_items.update(ids)
        return
    if change == "UPDATE" and _tells_nothing(event.changed):
        return
    level = event.record.get("StockLevel__c")
    if level:
        found.levels.add(level)
    if not level or len(ids) > 1:  # the one level that is named need not be that of every merged record
        found.movements.update(ids)


def _names_no_record(record_id: str) -> bool:
    return record_id.endswith("*") or record_id.strip("0") in ("", "AAA")


def _tells_nothing(changed: frozenset[str] | None) -> bool:
    """True for an update that left every number alone; not for one that does not say what it changed."""
    return changed is not None and len(changed) > 0 and changed.isdisjoint(TELLING_FIELDS)


def posting(event_id: str, record: Mapping[str, Any], now: datetime) -> Posting | Transfer | Poison:
    """A till's event as a posting or a transfer, or as poison with the reason why it is neither.

    `now` is when it is heard: no event tells of what is still to come.
    """
    source_id = _words(record, "SourceId__c")
    try:
        if not 0 < len(source_id) <= SOURCE_ID_LENGTH:
            raise ValueError(f"SourceId__c needs 1 to {SOURCE_ID_LENGTH} characters")
        if (stage := _STAGES.get(_words(record, "Kind__c"))) is not None:
            return _transfer(source_id, stage, record, now)
        kind = _kind(_words(record, "Kind__c"))
        level = LevelKey(
            _words(record, "Sku__c"), _words(record, "LocationCode__c"), _words(record, "Unit__c") or None
        )
        quantity = _quantity(kind, record.get("Quantity__c"))
        at, dated = _moment(record, now)
        return Posting(source_id, kind, level, quantity, _words(record, "Reference__c"), at, dated)
    except (BadKeyError, ValueError) as error:
        # By the event, not by its SourceId: the next bad one of that name is another one.
        named = f"SourceId__c {source_id!r}: " if source_id else ""
        return Poison(event_id, f"{named}{error}", as_text(record))


def _transfer(source_id: str, stage: Stage, record: Mapping[str, Any], now: datetime) -> Transfer:
    """Goods on their way: `LocationCode__c` is the end where it was told, `ToLocationCode__c` the far one."""
    here, there = _words(record, "LocationCode__c"), _words(record, "ToLocationCode__c")
    if stage is Stage.MOVED and not there:
        raise ValueError("a Transfer needs ToLocationCode__c, the location that the goods reach")
    units = _whole(record.get("Quantity__c"))
    if units < 0:
        raise ValueError(f"Quantity__c is {units}; a transfer tells how many units go, a number above 0")
    at, dated = _moment(record, now)
    transfer = Transfer(
        source_id,
        _words(record, "Reference__c") or source_id,
        stage,
        _words(record, "Sku__c"),
        units,
        at,
        origin=here if stage is not Stage.RECEIVED else None,
        target={Stage.RECEIVED: here, Stage.MOVED: there}.get(stage),
        unit=_words(record, "Unit__c") or None,
        dated=dated,
    )
    for location in (transfer.origin, transfer.target):
        if location is not None:
            LevelKey(transfer.sku, location, transfer.unit)
    return transfer


def _words(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _kind(word: str) -> MovementKind:
    for kind in _SIGNS:
        if word == kind.value:
            return kind
    known = ", ".join([*(kind.value for kind in _SIGNS), *_STAGES])
    raise ValueError(f"Kind__c is {word!r}; a till may tell {known}")


def _whole(value: object) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST_QUANTITY:
        raise ValueError(f"Quantity__c is {value!r}, no number of units")
    quantity = int(value)
    if quantity != value or quantity == 0:
        raise ValueError(f"Quantity__c is {value!r}, no whole number of units other than 0")
    return quantity


def _quantity(kind: MovementKind, value: object) -> int:
    quantity = _whole(value)
    sign = _SIGNS[kind]
    if sign and (quantity > 0) != (sign > 0):
        way = "raises" if sign > 0 else "lowers"
        raise ValueError(
            f"a {kind.value} {way} on hand, but Quantity__c, the signed change, is {quantity}; "
            "an earlier event is corrected by an Adjustment"
        )
    return quantity


def _moment(record: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime | None]:
    """When it happened; and, where its till says of a time that is still to come, that time.

    What was published has happened, so the moment of that stands then for the till's.
    """
    told = _time(record)
    try:
        published = min(now, _epoch(record["CreatedDate"]))
    except (KeyError, OverflowError, OSError, TypeError, ValueError):
        published = now
    return (published, told) if told > published + CLOCK_SKEW else (told, None)


def _time(record: Mapping[str, Any]) -> datetime:
    for name in ("OccurredAt__c", "CreatedDate"):
        value = record.get(name)
        if value is None:
            continue
        try:
            return _epoch(value)
        except (OverflowError, OSError, TypeError, ValueError):
            raise ValueError(f"{name} is {value!r}, no time") from None
    raise ValueError("neither OccurredAt__c nor CreatedDate is a time")


def _epoch(value: Any) -> datetime:
    """Epoch milliseconds; or ISO text, as JSON events have it; or what fastavro made of a time."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(value / 1000, UTC)
