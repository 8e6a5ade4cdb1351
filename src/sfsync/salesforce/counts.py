"""Stock counts as `StockCount__c` records: read, told what became of them, and written down from elsewhere.

Everything that is written may be written again: a record of the org's own is known by its id, one of a count
that was made elsewhere by its `CountKey__c`, and both are given whole values. So an answer that was lost is
simply asked for again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sfsync.domain.budget import Work
from sfsync.domain.counts import second
from sfsync.domain.org_counts import CountTold, OrgCount, Status
from sfsync.ports import TOLD_AT_ONCE, CountAnswer, CountFate, Unknown
from sfsync.salesforce import records, soql
from sfsync.salesforce.records import Record
from sfsync.salesforce.rest import OrgError, Rest, deciding, errors_of, is_later
from sfsync.salesforce.snapshot import RestPages

OBJECT = "StockCount__c"
KEY = "CountKey__c"
ASKED = (
    "Id, Sku__c, LocationCode__c, Unit__c, StockLevel__r.LevelKey__c, Counted__c, CountedAt__c, "
    "CountedBy__c, Reason__c, Sheet__c, Status__c, Message__c, Expected__c, Variance__c, Movement__c, "
    "Recount__c, CreatedDate, CreatedBy.Name"
)
_GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})


class CountRecords:
    """Implements `ports.CountBook`."""

    def __init__(self, rest: Rest) -> None:
        self._pages = RestPages(rest.doing(Work.REFRESH))
        self._answering, self._copying = rest.doing(Work.REFRESH), rest.doing(Work.BULK)

    async def changed_since(self, at: datetime) -> AsyncIterator[Sequence[OrgCount]]:
        """Records made or changed since then, by anybody, oldest first; none of a count made elsewhere."""
        async for page in self._read(f"SystemModstamp >= {soql.moment(at)}"):
            yield page

    async def unanswered(self) -> AsyncIterator[Sequence[OrgCount]]:
        """Records that are new or have a mistake, however old."""
        names = ",".join(soql.text(each.value) for each in (Status.NEW, Status.MISTAKE))
        async for page in self._read(f"(Status__c = null OR Status__c IN ({names}))"):
            yield page

    async def _read(self, condition: str) -> AsyncIterator[Sequence[OrgCount]]:
        query = f"SELECT {ASKED} FROM {OBJECT} WHERE {KEY} = null AND {condition} ORDER BY CreatedDate, Id"  # noqa: S608 — constants and times
        async for page in self._pages.pages(query):
            yield [_record(each) for each in page]

    async def tell(self, told: Sequence[CountTold]) -> Sequence[CountAnswer]:
        """Write to records, at most `TOLD_AT_ONCE`: one call for the org's own, one for copies."""
        if len(told) > TOLD_AT_ONCE:
            raise ValueError(f"at most {TOLD_AT_ONCE} records are written at once")
        own = [each for each in told if each.record_id]
        copies = [each for each in told if not each.record_id and each.count is not None]
        answers: dict[int, CountAnswer] = {}
        for rest, part, path in (
            (self._answering, own, "composite/sobjects"),
            (self._copying, copies, f"composite/sobjects/{OBJECT}/{KEY}"),
        ):
            if part:
                body = {"allOrNone": False, "records": [_written(each) for each in part]}
                results = await rest.request("PATCH", path, body)
                if not isinstance(results, list) or len(results) != len(part):
                    raise Unknown(f"PATCH {path}: the answer does not name a result for each record")
                answers |= {id(each): _answer(result) for each, result in zip(part, results, strict=True)}
        return [answers[id(each)] for each in told]


def _record(row: Record) -> OrgCount:
    made = records.when(row["CreatedDate"]) or datetime.fromtimestamp(0, UTC)
    linked = (row.get("StockLevel__r") or {}).get("LevelKey__c") or ""
    made_by = (row.get("CreatedBy") or {}).get("Name") or ""
    sku, location, by = _text(row, "Sku__c"), _text(row, "LocationCode__c"), _text(row, "CountedBy__c")
    at = records.when(row["CountedAt__c"])
    lacking = {"level": not linked, "place": not (sku and location), "at": at is None, "by": not by}
    return OrgCount(
        record_id=row["Id"],
        sku=sku,
        location=location,
        unit=_text(row, "Unit__c"),
        linked=linked,
        counted=row["Counted__c"],
        at=at or made,
        by=by or made_by,
        reason=_text(row, "Reason__c"),
        sheet=_text(row, "Sheet__c"),
        status=_text(row, "Status__c"),
        message=_text(row, "Message__c"),
        expected=_whole(row["Expected__c"]),
        variance=_whole(row["Variance__c"]),
        movement=_text(row, "Movement__c"),
        recount=bool(row["Recount__c"]),
        lacks=frozenset(name for name, lacks in lacking.items() if lacks),
    )


def _text(row: Record, name: str) -> str:
    return str(row[name] or "").strip()


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _written(told: CountTold) -> dict[str, Any]:
    """A record as the collections call takes it."""
    body: dict[str, Any] = {"attributes": {"type": OBJECT}}
    count = told.count
    if told.record_id:
        body["id"] = told.record_id
    body |= {"Status__c": told.status.value, "Message__c": told.message or None}
    if count is None or told.variance is None:
        return body
    body |= {
        "Expected__c": count.units - told.variance,
        "Variance__c": told.variance,
        "Movement__c": count.subject,
        "Recount__c": told.recount,
    }
    level = {"StockLevel__r": {"attributes": {"type": "StockLevel__c"}, "LevelKey__c": str(count.level)}}
    place = {
        "Sku__c": count.level.sku,
        "LocationCode__c": count.level.location,
        "Unit__c": count.level.unit or None,
    }
    moment, by = {"CountedAt__c": records.stamp(second(count.at))}, {"CountedBy__c": count.counted_by or None}
    if told.record_id:
        for name, fields in (("level", level), ("place", place), ("at", moment), ("by", by)):
            body |= fields if name in told.fills else {}
        return body
    own = {KEY: count.subject, "Counted__c": count.units, "Reason__c": count.reason or None}
    return body | own | level | place | moment | by


def _answer(result: object) -> CountAnswer:
    if not isinstance(result, dict):
        raise Unknown("a record's result is not readable")
    if result.get("success") is True:
        return CountAnswer(CountFate.WRITTEN)
    error = deciding(errors_of(result.get("errors")), 400)
    return CountAnswer(_fate(error), str(error))


def _fate(error: OrgError) -> CountFate:
    if error.code in _GONE:
        return CountFate.GONE
    return CountFate.LATER if is_later(error) else CountFate.REFUSED
