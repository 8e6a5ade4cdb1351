"""The org's records as the domain's values: which fields are asked for, and how they are read.

Numbers come as floats from roll-ups (``3.0``) and as null where nothing was summed up yet. A record that a
person made by hand may carry a level key that is none; it is left out with a log line, never an exception:
one bad record must not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from sfsync.domain.stock import BadKeyError, LevelKey, Movement, MovementKind, StockLevel

log = structlog.get_logger(__name__)

Record = Mapping[str, Any]

PROBE = LevelKey("SFSYNC-PROBE", "PROBE")  # the level that the rule is tried on; nobody else ever sees it
LEVEL_FIELDS = "Id, LevelKey__c, OnHand__c, Reserved__c, Version__c, CountedAt__c"
MOVEMENT_FIELDS = (
    "IdempotencyKey__c, SubjectKey__c, StockLevel__r.LevelKey__c, Kind__c, OnHandDelta__c, ReservedDelta__c, "
    "Reference__c, SourceVersion__c, OccurredAt__c, CreatedDate"
)


def whole(value: float | None) -> int:
    """A number field as a whole number; 0 where nothing was summed up yet."""
    return 0 if value is None else int(value)


def when(value: object) -> datetime | None:
    """A date and time field (``2026-11-23T07:46:30.000+0000``), UTC; None when it is blank or no time."""
    if not isinstance(value, str) or not value:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def stamp(at: datetime) -> str:
    """A date and time as the org takes it: UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def level(record: Record) -> StockLevel | None:
    """A StockLevel__c record; None when its key is no level key, or is the probe's."""
    try:
        key = LevelKey.parse(record["LevelKey__c"] or "")
    except BadKeyError as error:
        log.warning("stock level left out", record_id=record["Id"], reason=str(error))
        return None
    if key == PROBE:
        return None
    counted = when(record.get("CountedAt__c"))
    return StockLevel(
        key,
        whole(record["OnHand__c"]),
        whole(record["Reserved__c"]),
        whole(record["Version__c"]),
        record["Id"],
        None if counted is None else counted.replace(microsecond=0),
    )


def levels(records: Iterable[Record]) -> list[StockLevel]:
    """The stock levels among the records."""
    return [read for record in records if (read := level(record)) is not None]


def exported(record: Mapping[str, str]) -> Record:
    """A StockLevel__c record of an export, whose values are texts, as a query gives it."""
    numbers = ("OnHand__c", "Reserved__c", "Version__c")
    read = {name: float(record[name]) if record[name] else None for name in numbers}
    return {**record, **read, "CountedAt__c": record.get("CountedAt__c") or None}


def movement(record: Record) -> Movement | None:
    """A StockMovement__c record with its level's key; None when that is no level key.

    A kind that we do not know (somebody widened the picklist) is read as an adjustment: the numbers count.
    """
    parent = record.get("StockLevel__r") or {}
    try:
        key = LevelKey.parse(parent.get("LevelKey__c") or "")
    except BadKeyError as error:
        log.warning("stock movement left out", key=record["IdempotencyKey__c"], reason=str(error))
        return None
    try:
        kind = MovementKind(record["Kind__c"])
    except ValueError:
        kind = MovementKind.ADJUSTMENT
    occurred = when(record.get("OccurredAt__c")) or when(record.get("CreatedDate"))
    return Movement(
        record["IdempotencyKey__c"] or "",
        record["SubjectKey__c"] or "",
        key,
        kind,
        whole(record["OnHandDelta__c"]),
        whole(record["ReservedDelta__c"]),
        record["Reference__c"] or "",
        record["SourceVersion__c"] or "",
        occurred or datetime.fromtimestamp(0, UTC),
    )


class RecordIds:
    """Ids of records of one object, of which neighbours differ in their fifteenth character.

    The three characters behind it follow from those before them.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}  # the first fourteen characters, and a bit for each fifteenth

    def new_among(self, ids: Iterable[str]) -> set[str]:
        """Those that were not held; from now on they are."""
        new: set[str] = set()
        for each in ids:
            common, bit = each[:14], 1 << ord(each[14])
            held = self._held.get(common, 0)
            if not held & bit:
                self._held[common] = held | bit
                new.add(each)
        return new
