"""Rows of the ledger whole, and a fold as one composite call in which everything happens or nothing.

The call holds the opening row (a plain record) and up to five collections of deletions: as many as one
composite may hold. ``collateSubrequests: false`` keeps them in the order given. That an org keeps that
order, and that deletions take part in ``allOrNone``, is documented in general words and not verified on a
live org: `prove` tries both on the probe's level before anything is folded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from sfsync.domain.fold import Fold, FoldAnswer, FoldResult, LedgerRow, from_text, plan, to_text
from sfsync.domain.forecast import MOST_LISTED
from sfsync.domain.stock import Movement, MovementKind
from sfsync.domain.values import replace
from sfsync.ports import Children, Finding, Severity, Tell, TryLater, Unknown, nobody, telling
from sfsync.salesforce import records, soql
from sfsync.salesforce.ledger import LATER_CODES, MARKER, record_of
from sfsync.salesforce.rest import LATER_WORDS, OrgError, Rest, errors_of
from sfsync.salesforce.snapshot import RestPages

log = structlog.get_logger(__name__)

ROW_FIELDS = f"Id, {records.MOVEMENT_FIELDS}, VersionDelta__c, BySfsync__c, Folded__c"
# The calls of a fold are in an order in which neither rule has anything to refuse; an org that works off
# deletions first takes the stock away for a moment, which the fallback rule forbids where units are reserved.
UNCOVERED = (
    "nothing was changed: under the rule Reserved_within_on_hand an org that deletes before it enters folds "
    "a level only while nothing is reserved there"
)
_HALTED = frozenset({"PROCESSING_HALTED", "ALL_OR_NONE_OPERATION_ROLLED_BACK"})
_GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})


def row_of(record: records.Record) -> LedgerRow | None:
    """A movement's record; None where its level has no readable key."""
    movement = records.movement(record)
    if movement is None:
        return None
    text, folded = record.get("Folded__c"), None
    if text:
        try:
            folded = from_text(text)
        except ValueError as error:
            log.error("opening row not readable", key=movement.key, reason=str(error))
    created = records.when(record.get("CreatedDate")) or datetime.now(UTC)
    version = records.whole(record["VersionDelta__c"])
    return LedgerRow(record["Id"], movement, version, created, bool(record["BySfsync__c"]), folded)


class LedgerReader:
    """Reads ledger rows whole."""

    def __init__(self, rest: Rest) -> None:
        self._pages = RestPages(rest)

    async def level_rows(self, record_id: str) -> list[LedgerRow]:
        """Every row of a level, oldest first."""
        condition = f"StockLevel__c = {soql.text(record_id)}"
        return [row async for page in self._rows(condition) for row in page]

    async def rows_at(self, record_ids: Collection[str]) -> list[LedgerRow]:
        """Every row of these levels, the rows of each oldest first."""
        found: list[LedgerRow] = []
        for names in soql.slices(sorted(record_ids)):
            async for page in self._rows(f"StockLevel__c IN ({','.join(names)})"):
                found.extend(page)
        return found

    async def entered_since(self, record_ids: Collection[str], at: datetime) -> list[LedgerRow]:
        """The rows of these levels that were made since then, oldest first."""
        found: list[LedgerRow] = []
        for names in soql.slices(sorted(record_ids)):
            condition = f"StockLevel__c IN ({','.join(names)}) AND CreatedDate >= {soql.moment(at)}"
            async for page in self._rows(condition):
                found.extend(page)
        return found

    async def moved(
        self, since: datetime, kinds: Collection[MovementKind]
    ) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every row of these kinds that happened since then, in pages, whoever entered it."""
        begin = soql.moment(since)
        happened = f"(OccurredAt__c >= {begin} OR (OccurredAt__c = null AND CreatedDate >= {begin}))"
        names = ",".join(soql.text(kind.value) for kind in kinds)
        async for page in self._rows(f"Kind__c IN ({names}) AND {happened}", telling()):
            yield page

    async def rows_of(self, subjects: Collection[str]) -> list[LedgerRow]:
        """Every row of these subjects. The org compares without regard to case: we do not."""
        wanted = set(subjects)
        found: list[LedgerRow] = []
        for names in soql.slices(sorted(wanted)):
            async for page in self._rows(f"SubjectKey__c IN ({','.join(names)})"):
                found.extend(row for row in page if row.movement.subject in wanted)
        return found

    async def openings(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every opening row of a fold, in pages."""
        condition = "SubjectKey__c LIKE 'fold:%' AND Kind__c = 'Opening' AND BySfsync__c = true"
        async for page in self._rows(condition):
            yield page

    async def reserving_rows(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every row that changed reserved at the levels where something is reserved now, in pages."""
        condition = "StockLevel__r.Reserved__c != 0 AND ReservedDelta__c != 0 AND SubjectKey__c != null"
        async for page in self._rows(condition):
            yield page

    async def orders_entered(self, channel: str) -> tuple[datetime, datetime] | None:
        """When the first row that we entered for an order of a channel occurred, and the last was made."""
        query = (
            "SELECT MIN(OccurredAt__c) first, MAX(CreatedDate) last FROM StockMovement__c "  # noqa: S608 — escaped
            f"WHERE SubjectKey__c LIKE {soql.beginning(f'order:{channel}:')} AND BySfsync__c = true"
        )
        async for page in self._pages.pages(query):
            for record in page:
                first, last = records.when(record.get("first")), records.when(record.get("last"))
                if first is not None and last is not None:
                    return first, last
        return None

    async def children(
        self, before: datetime | None, sku: str | None, location: str | None
    ) -> list[Children]:
        """How many rows levels have (older, of a SKU, at a location, if given), the fullest first: 2,000."""
        asked = {"StockLevel__r.Sku__c": sku, "StockLevel__r.LocationCode__c": location}
        wanted = [f"{name} = {soql.text(value)}" for name, value in asked.items() if value is not None]
        wanted += [] if before is None else [f"CreatedDate < {soql.moment(before)}"]
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        query = (
            f"SELECT StockLevel__c level, COUNT(Id) rows FROM StockMovement__c{where} "  # noqa: S608 — a time
            f"GROUP BY StockLevel__c ORDER BY COUNT(Id) DESC LIMIT {MOST_LISTED}"
        )
        found: list[Children] = []
        async for page in self._pages.pages(query):
            found.extend(Children(record["level"], int(record["rows"])) for record in page)
        return found

    async def count_rows(self, since: datetime | None) -> int:
        """How many rows there are in all (made since, when given)."""
        where = "" if since is None else f" WHERE CreatedDate >= {soql.moment(since)}"
        query = f"SELECT COUNT() FROM StockMovement__c{where}"  # noqa: S608 — a time
        return [total async for _, total in self._pages.counted_pages(query)][-1]

    async def _rows(self, condition: str, tell: Tell = nobody) -> AsyncIterator[list[LedgerRow]]:
        query = f"SELECT {ROW_FIELDS} FROM StockMovement__c WHERE {condition} ORDER BY CreatedDate, Name"  # noqa: S608 — escaped
        read = 0
        async for page, total in self._pages.counted_pages(query):
            read += len(page)
            tell("movements read in the org", read, total)
            yield [row for record in page if (row := row_of(record)) is not None]


def encode(fold: Fold, record_id: str, data_path: str) -> dict[str, Any]:
    """The composite's body; the same fold gives the same bytes."""
    record = record_of(fold.opening, record_id) | {
        "VersionDelta__c": fold.version_delta,
        "Folded__c": to_text(fold.folded),
    }
    del record["attributes"]
    opening = {
        "method": "POST",
        "url": f"{data_path}/sobjects/StockMovement__c",
        "referenceId": "opening",
        "body": record,
    }
    deletions = [
        {
            "method": "DELETE",
            "url": f"{data_path}/composite/sobjects?ids={','.join(ids)}&allOrNone=true",
            "referenceId": f"rows{number}",
        }
        for number, ids in enumerate(fold.calls)
    ]
    parts = [opening, *deletions] if fold.opening_first else [*deletions, opening]
    return {"allOrNone": True, "collateSubrequests": False, "compositeRequest": parts}


def decode(fold: Fold, body: object) -> FoldAnswer:
    """What the composite's answer means. `Unknown` when it does not say."""
    parts = body.get("compositeResponse") if isinstance(body, dict) else None
    if not isinstance(parts, list) or len(parts) != len(fold.calls) + 1:
        raise Unknown("the answer to a fold does not have all its parts")
    errors = [error for part in parts for error in _errors(part)]
    if not errors:
        if all(200 <= int(part.get("httpStatusCode") or 0) < 300 for part in parts):
            return FoldAnswer(FoldResult.DONE)
        raise Unknown("the answer to a fold says neither that it was done nor why not")
    error = next((each for each in errors if each.code not in _HALTED), errors[0])
    said = f"{error} ({UNCOVERED})" if MARKER in error.message else str(error)
    return FoldAnswer(_result(error), said)


def _errors(part: Mapping[str, Any]) -> list[OrgError]:
    body = part.get("body")
    found = errors_of(body)
    for entry in body if isinstance(body, list) else ():
        if isinstance(entry, dict) and entry.get("errors"):
            found.extend(errors_of(entry["errors"]))
    return found


def _result(error: OrgError) -> FoldResult:
    if error.code == "DUPLICATE_VALUE":
        return FoldResult.DUPLICATE
    if error.code in _GONE:
        return FoldResult.GONE
    if error.code in LATER_CODES or any(words in error.message for words in LATER_WORDS):
        return FoldResult.LATER
    return FoldResult.REFUSED


async def enter(rest: Rest, fold: Fold, record_id: str, data_path: str) -> FoldAnswer:
    """Send a fold; what became of it. `TryLater`, `Unknown` or `OrgRefused` for the call as a whole."""
    body = encode(fold, record_id, data_path)
    return decode(fold, await rest.request("POST", "composite", body, write=True))


@dataclass(frozen=True, slots=True)
class _Probe:
    """The probe's level, and how it stands."""

    rest: Rest
    record_id: str
    data_path: str

    async def rows(self) -> list[LedgerRow]:
        return await LedgerReader(self.rest).level_rows(self.record_id)

    async def numbers(self) -> tuple[int, int, int]:
        held = await self.rest.get(
            f"sobjects/StockLevel__c/{self.record_id}?fields=OnHand__c,Reserved__c,Version__c"
        )
        on_hand, reserved, version = (
            records.whole(held[name]) for name in ("OnHand__c", "Reserved__c", "Version__c")
        )
        return on_hand, reserved, version

    async def enter(self, on_hand: int, now: datetime) -> None:
        movement = Movement(
            "", "", records.PROBE, MovementKind.ADJUSTMENT, on_hand, 0, "probe of folding", "", now
        )
        record = {name: value for name, value in record_of(movement, self.record_id).items() if value != ""}
        await self.rest.request("POST", "composite/sobjects", {"allOrNone": True, "records": [record]})


async def prove(rest: Rest, record_id: str, data_path: str, now: datetime) -> Finding:
    """Fold on the probe's level: once so that it must fail and change nothing, once whole."""
    probe = _Probe(rest, record_id, data_path)
    for units in (1, -1):
        await probe.enter(units, now)
    rows, before = await probe.rows(), await probe.numbers()
    fold = plan(records.PROBE, rows, [], before=now + timedelta(days=1)).fold
    if fold is None:
        return _not_proved("the rows on the probe's level cannot be folded")
    broken = replace(
        fold, calls=(*fold.calls[:4], fold.calls[0][:1])
    )  # one row deleted twice: cannot be done
    answer = await enter(rest, broken, record_id, data_path)
    if answer.result is FoldResult.LATER:
        raise TryLater(f"folding could not be tried: {answer.message}")
    kept = {row.id for row in await probe.rows()} == {row.id for row in rows}
    if answer.result is FoldResult.DONE or not kept or await probe.numbers() != before:
        return _not_proved("a composite request with allOrNone left a part of itself behind")
    answer = await enter(rest, fold, record_id, data_path)
    if answer.result is FoldResult.LATER:
        raise TryLater(f"folding could not be tried: {answer.message}")
    if answer.result is not FoldResult.DONE:
        return _not_proved(answer.message)
    after = await probe.numbers()
    if after != (before[0], before[1], before[2] + 1):
        return _not_proved(f"on hand, reserved and version were {before} before a fold and {after} after it")
    return Finding(Severity.GOOD, f"movements can be folded in one transaction (tried on {records.PROBE})")


def _not_proved(what: str) -> Finding:
    remedy = "nothing is folded; see that the permission set Sfsync_Integration is deployed and assigned"
    return Finding(Severity.FATAL, f"movements cannot be folded: {what}", remedy)
