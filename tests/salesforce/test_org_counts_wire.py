"""Stock counts as records of the simulated org: read as people make them, and told what became of them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.salesforce.kit import WallClock
from tests.sandbox import OrgSandbox

from sfsync.domain.counts import Count
from sfsync.domain.org_counts import CountTold, OrgCount, Status, Taken, answer, mistake, read
from sfsync.domain.stock import LevelKey
from sfsync.ports import CountBook, CountFate, Severity
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg

SIX = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
FIELDS = (
    "Sku__c, LocationCode__c, StockLevel__r.LevelKey__c, Counted__c, CountedAt__c, CountedBy__c, Status__c, "
    "Expected__c, Variance__c, Movement__c, Recount__c, Message__c, AccurateExact__c, AccurateOneUnit__c, "
    "AccurateTwoPercent__c"
)


@pytest.fixture
async def counting(settings: OrgConfig, sandbox: OrgSandbox) -> AsyncIterator[SalesforceOrg]:
    """Our side of an org in which counts are records."""
    org = SalesforceOrg(dataclasses.replace(settings, counts=True), WallClock())
    yield org
    await org.close()
    sandbox.control("DELETE", "/faults")


@pytest.fixture
def book(counting: SalesforceOrg) -> CountBook:
    assert counting.counts is not None
    return counting.counts


async def found(book: CountBook, *ids: str) -> dict[str, OrgCount]:
    """These records as they are read now."""
    since = datetime.now(UTC) - timedelta(minutes=5)
    return {
        record.record_id: record
        async for page in book.changed_since(since)
        for record in page
        if record.record_id in ids
    }


def shown(sandbox: OrgSandbox, record_id: str) -> dict[str, Any]:
    return sandbox.query(f"SELECT {FIELDS} FROM StockCount__c WHERE Id = '{record_id}'")[0]  # noqa: S608 — an id


async def level_of(org: SalesforceOrg, sandbox: OrgSandbox, sku: str, on_hand: int) -> tuple[LevelKey, str]:
    level = LevelKey(sku, "ECOM")
    await org.create_levels([level])
    sandbox.move(str(level), on_hand=on_hand)
    return level, str(sandbox.level(str(level))["Id"])


async def test_a_count_by_its_stock_level_alone_gets_its_sku_place_moment_and_person(
    counting: SalesforceOrg, sandbox: OrgSandbox, book: CountBook, sku: str
) -> None:
    """A clerk opens a stock level, types four, and saves; the rest is filled in with the answer."""
    level, level_id = await level_of(counting, sandbox, sku, 6)
    number = sandbox.create("StockCount__c", StockLevel__c=level_id, Counted__c=4)
    record = (await found(book, number))[number]
    assert (record.linked, record.sku, record.status) == (str(level), "", "New")
    count = read(record)
    assert (count.level, count.units, bool(count.counted_by)) == (level, 4, True)
    assert abs(count.at - datetime.now(UTC)) < timedelta(minutes=5)

    told = answer(record, Taken(count, -2, recount=True))
    assert told is not None
    (answered,) = await book.tell([told])
    assert answered.fate is CountFate.WRITTEN
    row = shown(sandbox, number)
    assert (row["Sku__c"], row["LocationCode__c"], row["Status__c"]) == (sku, "ECOM", "Entered")
    assert (row["Expected__c"], row["Variance__c"], row["Recount__c"]) == (6, -2, True)
    assert (row["CountedBy__c"], row["Movement__c"]) == (count.counted_by, count.subject)
    accurate = ("AccurateExact__c", "AccurateOneUnit__c", "AccurateTwoPercent__c")
    assert [row[name] for name in accurate] == [0, 0, 0]
    again = (await found(book, number))[number]
    assert answer(again, Taken(count, -2, recount=True)) is None


@pytest.mark.parametrize(
    ("counted", "variance", "accurate"),
    [(100, 0, (1, 1, 1)), (99, -1, (1, 0, 1)), (98, -2, (0, 0, 1)), (97, -3, (0, 0, 0)), (2, 1, (1, 0, 0))],
)
async def test_the_org_says_itself_within_which_tolerance_a_count_is_accurate(
    sandbox: OrgSandbox, sku: str, counted: int, variance: int, accurate: tuple[int, int, int]
) -> None:
    """Exact, within one unit, within two percent of what the books had: as in `sfsync report ira`."""
    number = sandbox.create(
        "StockCount__c",
        Sku__c=sku,
        LocationCode__c="ECOM",
        Counted__c=counted,
        Status__c="Entered",
        Expected__c=counted - variance,
        Variance__c=variance,
    )
    row = shown(sandbox, number)
    names = ("AccurateOneUnit__c", "AccurateExact__c", "AccurateTwoPercent__c")
    assert tuple(row[name] for name in names) == accurate


async def test_a_mistake_stands_on_the_record_until_it_is_corrected(
    sandbox: OrgSandbox, book: CountBook, sku: str
) -> None:
    """Without a location nobody knows what was counted; the record says so, and is found again corrected."""
    number = sandbox.create("StockCount__c", Sku__c=sku, Counted__c=4)
    wrong = mistake((await found(book, number))[number], "It names no location.")
    assert wrong is not None
    await book.tell([wrong])
    row = shown(sandbox, number)
    assert (row["Status__c"], row["Message__c"]) == ("Mistake", "It names no location.")
    waiting = [record.record_id async for page in book.unanswered() for record in page]
    assert number in waiting
    assert mistake((await found(book, number))[number], "It names no location.") is None


async def test_what_stands_in_the_ledger_is_not_changed_by_editing_the_record(
    counting: SalesforceOrg, sandbox: OrgSandbox, book: CountBook, sku: str
) -> None:
    """The org refuses to change a count that was entered; its words may be added to."""
    await level_of(counting, sandbox, sku, 4)
    number = sandbox.create("StockCount__c", Sku__c=sku, LocationCode__c="ECOM", Counted__c=4)
    record = (await found(book, number))[number]
    told = answer(record, Taken(read(record), 0))
    assert told is not None
    assert [each.fate for each in await book.tell([told])] == [CountFate.WRITTEN]
    change = {"records": [{"attributes": {"type": "StockCount__c"}, "Id": number, "Counted__c": 5}]}
    (refused,) = sandbox.control("POST", "/records/update", change)
    assert not refused["success"]
    assert "SFSYNC_COUNTED" in refused["errors"][0]["message"]
    change["records"][0] = {"attributes": {"type": "StockCount__c"}, "Id": number, "Reason__c": "stock take"}
    assert sandbox.control("POST", "/records/update", change)[0]["success"]


async def test_a_count_made_elsewhere_stands_in_the_org_once_however_often_it_is_written(
    counting: SalesforceOrg, sandbox: OrgSandbox, book: CountBook, sku: str
) -> None:
    """Its key is its own; a variance that was made good later replaces the first. It is never read as new."""
    level, _ = await level_of(counting, sandbox, sku, 6)
    count = Count("sheet-1", level, 5, SIX, counted_by="Amina", reason="stock take")
    for variance in (-1, -1, -2):
        told = CountTold("", Status.ENTERED, count=count, variance=variance)
        assert [each.fate for each in await book.tell([told])] == [CountFate.WRITTEN]
    rows = sandbox.query(f"SELECT Id, {FIELDS} FROM StockCount__c WHERE CountKey__c = '{count.subject}'")  # noqa: S608 — ours
    assert [(row["Expected__c"], row["Variance__c"], row["CountedBy__c"]) for row in rows] == [
        (7, -2, "Amina")
    ]
    assert rows[0]["StockLevel__r"]["LevelKey__c"] == str(level)
    assert await found(book, rows[0]["Id"]) == {}


async def test_a_record_that_was_deleted_keeps_no_other_from_its_answer(
    sandbox: OrgSandbox, book: CountBook, sku: str
) -> None:
    """One call tells many; each has its own answer."""
    ids = [
        sandbox.create("StockCount__c", Sku__c=sku, LocationCode__c="ECOM", Counted__c=units)
        for units in (1, 2)
    ]
    sandbox.records("delete", ids[0])
    told = [CountTold(number, Status.MISTAKE, "It names no stock level.") for number in ids]
    assert [each.fate for each in await book.tell(told)] == [CountFate.GONE, CountFate.WRITTEN]


async def test_the_doctor_looks_at_counts_only_where_they_are_wanted(
    counting: SalesforceOrg, org: SalesforceOrg
) -> None:
    """Object, fields and permissions, once the settings have org_counts."""
    said = [finding for finding in await counting.check() if "stock counts" in finding.what]
    assert [finding.severity for finding in said] == [Severity.GOOD]
    assert not [finding for finding in await org.check() if "stock counts" in finding.what]
