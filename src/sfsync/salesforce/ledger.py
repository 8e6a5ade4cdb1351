"""A group commit as one composite call: encoding, decoding, nothing sent here but by `enter`.

The call holds at most five sub-requests that Salesforce counts as heavy: one plain collection, up to two
all-or-none collections (of which one may hold many bundles that only hand units over), the read-back of the
levels, the read-back of the keys (two when there is room).
They run one after another (``collateSubrequests: false``), so the read-backs see what was just entered; a
row that failed takes nothing else with it (``allOrNone: false``).

The same request always gives the same bytes, so that an unknown outcome can be asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sfsync.domain.ledger import Answer, Bundle, Request, RowAnswer, RowResult
from sfsync.domain.stock import LevelKey, Movement
from sfsync.ports import Unknown
from sfsync.salesforce import records, soql
from sfsync.salesforce.rest import LATER_WORDS, OrgError, Rest, deciding, errors_of

MARKER = "SFSYNC_INSUFFICIENT"  # the first word of our validation rule's message
HEAVY_SUBREQUESTS = 5  # queries and collections that one composite call may hold
REFERENCE_LENGTH = 255
SOURCE_VERSION_LENGTH = 80

_KEY_FIELD = "IdempotencyKey__c"
LATER_CODES = frozenset(
    {
        "UNABLE_TO_LOCK_ROW",
        "REQUEST_LIMIT_EXCEEDED",
        "SERVER_UNAVAILABLE",
        "API_CURRENTLY_DISABLED",
        "LIMIT_EXCEEDED",
        "PROCESSING_HALTED",
        "UNKNOWN_EXCEPTION",
        "REQUEST_RUNNING_TOO_LONG",
    }
)
LATER_FOR_ROWS = (*LATER_WORDS, "Apex CPU time limit exceeded")
# What every row meets, whatever it says: the org is full, or our user may not write any more.
CLOSED_CODES = frozenset(
    {
        "STORAGE_LIMIT_EXCEEDED",
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "INVALID_FIELD",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "INVALID_TYPE",
    }
)
# When a record carries several errors, the one that decides.
_WEIGHT = (
    RowResult.ROLLED_BACK,
    RowResult.LATER,
    RowResult.CLOSED,
    RowResult.INSUFFICIENT,
    RowResult.DUPLICATE,
    RowResult.WRONG,
)


def record_of(movement: Movement, level_id: str) -> dict[str, Any]:
    """The movement as a record to create."""
    return {
        "attributes": {"type": "StockMovement__c"},
        "StockLevel__c": level_id,
        "Kind__c": movement.kind.value,
        "OnHandDelta__c": movement.on_hand_delta,
        "ReservedDelta__c": movement.reserved_delta,
        "VersionDelta__c": 1,
        _KEY_FIELD: movement.key,
        "SubjectKey__c": movement.subject,
        "Reference__c": _clean(movement.reference)[:REFERENCE_LENGTH],
        "Source__c": "sfsync",
        "SourceVersion__c": _clean(movement.source_version)[:SOURCE_VERSION_LENGTH],
        "OccurredAt__c": records.stamp(movement.occurred_at),
        "BySfsync__c": True,
    }


@dataclass(frozen=True, slots=True)
class Collection:
    """The rows of one collections call, in order."""

    reference: str
    all_or_none: bool
    rows: tuple[Movement, ...]


def collections_of(request: Request, record_ids: Mapping[LevelKey, str]) -> list[Collection]:
    """The request's collections, without the bundles that cannot be sent."""
    singles = _rows(request.singles, record_ids)
    found = [Collection("singles", False, singles)] if singles else []
    if handed := _rows(request.handed, record_ids):
        found.append(Collection("handed", True, handed))
    for number, bundle in enumerate(request.groups):
        if unsendable(bundle, record_ids) is None:
            found.append(Collection(f"group{number}", True, bundle.movements))
    return found


def _rows(bundles: Iterable[Bundle], record_ids: Mapping[LevelKey, str]) -> tuple[Movement, ...]:
    return tuple(
        movement
        for bundle in bundles
        if unsendable(bundle, record_ids) is None
        for movement in bundle.movements
    )


def unsendable(bundle: Bundle, record_ids: Mapping[LevelKey, str]) -> str | None:
    """Why a bundle cannot be sent, and would spoil the request for all others; None when it can."""
    missing = sorted(str(key) for key in bundle.levels - record_ids.keys())
    if missing:
        return f"the org has no stock level {', '.join(missing)}"
    for movement in bundle.movements:
        for text in (movement.key, movement.subject):
            if text != _clean(text):
                return f"the key {text!r} holds what a composite request cannot carry"
    return None


def _clean(text: str) -> str:
    """The text without what JSON cannot hold, and without what the composite would take for a reference."""
    return text.encode("utf-8", "replace").decode().replace("@{", "@ {")


def encode(request: Request, record_ids: Mapping[LevelKey, str], data_path: str) -> dict[str, Any]:
    """The composite's body. Bundles that cannot be sent, and levels without a record id, are left out."""
    subrequests: list[dict[str, Any]] = []
    keys: list[str] = []
    for part in collections_of(request, record_ids):
        keys.extend(row.key for row in part.rows)
        rows = [record_of(row, record_ids[row.level]) for row in part.rows]
        subrequests.append(
            {
                "method": "POST",
                "url": f"{data_path}/composite/sobjects",
                "referenceId": part.reference,
                "body": {"allOrNone": part.all_or_none, "records": rows},
            }
        )
    ids = sorted(record_ids[key] for key in request.levels if key in record_ids)
    if ids:
        names = ",".join(soql.text(each) for each in ids)
        query = f"SELECT {records.LEVEL_FIELDS} FROM StockLevel__c WHERE Id IN ({names})"  # noqa: S608 — escaped
        subrequests.append(_query("levels", query, data_path))
    # A list of keys that would not fit into the room left is cut: a row not read back stands on its result.
    for number, names_ in enumerate(list(soql.slices(keys))[: HEAVY_SUBREQUESTS - len(subrequests)]):
        query = (
            f"SELECT {records.MOVEMENT_FIELDS} FROM StockMovement__c "  # noqa: S608 — escaped
            f"WHERE {_KEY_FIELD} IN ({','.join(names_)})"
        )
        subrequests.append(_query(f"rows{number}", query, data_path))
    return {"allOrNone": False, "collateSubrequests": False, "compositeRequest": subrequests}


def _query(reference: str, query: str, data_path: str) -> dict[str, Any]:
    return {"method": "GET", "url": f"{data_path}/query?q={soql.encoded(query)}", "referenceId": reference}


def decode(request: Request, record_ids: Mapping[LevelKey, str], body: object) -> Answer:
    """What the composite's answer means for each row.

    A read-back that failed leaves its levels and rows out: the results of the rows count without it. A row
    that was sent and has no result raises `Unknown`.
    """
    parts = _parts(body)
    results = _not_sent(request, record_ids)
    for collection in collections_of(request, record_ids):
        results.update(_results(collection.rows, parts.get(collection.reference), collection.reference))
    asked = request.levels
    levels = {read.key: read for read in records.levels(_records(parts.get("levels"))) if read.key in asked}
    found = [
        row
        for reference, part in parts.items()
        if reference.startswith("rows")
        for record in _records(part)
        if (row := records.movement(record)) is not None
    ]
    return Answer(results, levels, {row.key: row for row in found if row.key in results})


def _not_sent(request: Request, record_ids: Mapping[LevelKey, str]) -> dict[str, RowAnswer]:
    found: dict[str, RowAnswer] = {}
    for bundle in request.sent:
        reason = unsendable(bundle, record_ids)
        if reason is not None:
            answer = RowAnswer(RowResult.WRONG, reason)
            found.update((movement.key, answer) for movement in bundle.movements)
    return found


def _parts(body: object) -> dict[str, Mapping[str, Any]]:
    answers = body.get("compositeResponse") if isinstance(body, dict) else None
    if not isinstance(answers, list):
        raise Unknown("the composite's answer has no compositeResponse")
    return {part["referenceId"]: part for part in answers if isinstance(part, dict) and "referenceId" in part}


def _records(part: Mapping[str, Any] | None) -> Sequence[records.Record]:
    body = part.get("body") if part is not None and part.get("httpStatusCode") == 200 else None
    found = body.get("records") if isinstance(body, dict) else None
    return found if isinstance(found, list) else []


def _results(
    rows: Sequence[Movement], part: Mapping[str, Any] | None, reference: str
) -> dict[str, RowAnswer]:
    if part is None:
        raise Unknown(f"the composite's answer has no part {reference}")
    status, body = int(part.get("httpStatusCode") or 0), part.get("body")
    if 200 <= status < 300 and isinstance(body, list) and len(body) == len(rows):
        return {row.key: row_answer(result) for row, result in zip(rows, body, strict=True)}
    errors = errors_of(body)
    if status < 400 or status >= 500 or not errors:
        raise Unknown(f"the composite's part {reference} answered {status} without a result for each row")
    error = deciding(errors, status)
    answer = RowAnswer(_result(error), str(error))
    return dict.fromkeys((row.key for row in rows), answer)


def row_answer(result: object) -> RowAnswer:
    """One record's save result."""
    if not isinstance(result, dict):
        raise Unknown("a row's result is not readable")
    if result.get("success") is True:
        return RowAnswer(RowResult.CREATED)
    judged = [(_result(error), error) for error in errors_of(result.get("errors"))]
    if not judged:
        raise Unknown("a row failed without a reason")
    kind, error = max(judged, key=lambda pair: _WEIGHT.index(pair[0]))
    return RowAnswer(kind, str(error))


def _result(error: OrgError) -> RowResult:
    if MARKER in error.message:  # whatever the code: a trigger may have wrapped it
        return RowResult.INSUFFICIENT
    if error.code == "DUPLICATE_VALUE" and (_KEY_FIELD in error.message or "<unknown>" in error.message):
        return RowResult.DUPLICATE
    if error.code == "ALL_OR_NONE_OPERATION_ROLLED_BACK":
        return RowResult.ROLLED_BACK
    if error.code in LATER_CODES or any(words in error.message for words in LATER_FOR_ROWS):
        return RowResult.LATER
    if error.code in CLOSED_CODES:
        return RowResult.CLOSED
    return RowResult.WRONG


async def enter(rest: Rest, request: Request, record_ids: Mapping[LevelKey, str], data_path: str) -> Answer:
    """Send the request; its answer. `TryLater`, `Unknown` or `OrgRefused` for the call as a whole."""
    body = encode(request, record_ids, data_path)
    if not body["compositeRequest"]:
        return decode(request, record_ids, {"compositeResponse": []})
    return decode(
        request, record_ids, await rest.request("POST", "composite", body, write=bool(request.sent))
    )


async def create_levels(rest: Rest, keys: Iterable[LevelKey]) -> None:
    """Make stock levels for keys that have none. By the unique key, so that twice is the same as once."""
    for key in sorted(keys):
        body = {"Sku__c": key.sku, "LocationCode__c": key.location} | (
            {"Unit__c": key.unit} if key.unit is not None else {}
        )
        await rest.request("PATCH", f"sobjects/StockLevel__c/LevelKey__c/{quote(str(key), safe='')}", body)
