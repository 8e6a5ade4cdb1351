"""The org read whole by a query job, and compared by sums: over the real wire."""

from __future__ import annotations

import dataclasses

import pytest
from tests.salesforce.conftest import settings_of
from tests.salesforce.kit import WallClock
from tests.salesforce.test_org import level_in
from tests.sandbox import OrgSandbox, start_org

from sfsync.domain.drift import Sums
from sfsync.domain.stock import StockLevel
from sfsync.ports import TryLater
from sfsync.salesforce.org import SalesforceOrg


async def exported(org: SalesforceOrg) -> dict[str, StockLevel]:
    return {str(level.key): level async for page in org.export() for level in page}


async def test_an_export_gives_every_level_as_a_query_does(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Texts of a CSV and numbers of JSON are the same levels; a quotation mark in a SKU survives."""
    level_in(sandbox, f'{sku}"A', 5)
    level_in(sandbox, f"{sku}B", 0)
    queried = {str(level.key): level async for page in org.snapshot() for level in page}
    assert await exported(org) == queried
    assert f'{sku}"A|DUBAI' in queried


async def test_an_export_comes_in_pages_and_waits_for_its_job() -> None:
    """Three levels, two in a page, from a job that takes a while; each call is counted."""
    levels = [{"sku": f"S{n}", "location": "ECOM", "on_hand": n + 1} for n in range(3)]
    with start_org({"levels": levels}, knobs=["bulk_job_seconds=0.1"]) as sandbox:
        ours = SalesforceOrg(settings_of(sandbox), WallClock(), export_rows=2)
        try:
            used = sandbox.control("GET", "/calls")["used"]
            pages = [page async for page in ours.export()]
            spent = sandbox.control("GET", "/calls")["used"] - used
            hours, _ = ours.hours_of_calls()
        finally:
            await ours.close()
    assert sorted(str(level.key) for page in pages for level in page) == ["S0|ECOM", "S1|ECOM", "S2|ECOM"]
    assert len(pages) == 2
    assert sum(hour.ours for hour in hours) == spent


async def test_an_export_that_the_org_cannot_give_is_tried_later(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """Nothing has changed anywhere; whoever wants it begins anew."""
    sandbox.control("POST", "/faults", {"kind": "error", "path": "jobs/query", "status": 503, "times": 9})
    with pytest.raises(TryLater):
        await exported(org)


async def test_a_session_that_has_ended_is_renewed_before_an_export(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The job is asked for again with a new token."""
    level_in(sandbox, sku, 1)
    await org.org_id()
    sandbox.control("POST", "/faults", {"kind": "expire_token", "path": "jobs/query", "times": 1})
    assert f"{sku}|DUBAI" in await exported(org)


async def test_the_sums_of_a_location_are_those_of_its_levels(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """One call tells whether a location's levels are as we hold them; a range of them, too."""
    one, two = level_in(sandbox, f"{sku}A", 5, sku), level_in(sandbox, f"{sku}B", 7, sku)
    assert (await org.sums())[sku] == Sums(2, 12, 0, 2)
    first, last = sorted([one.record_id, two.record_id])
    assert await org.sums_between(sku, None, first) == Sums(1, 5, 0, 1)
    assert await org.sums_between(sku, first, last) == Sums(1, 7, 0, 1)
    assert await org.sums_between(sku, last, None) == Sums()
    assert await org.levels_between(sku, first, None) == [two]
    assert await org.levels_of_skus([f"{sku}A"]) == [dataclasses.replace(one)]
