"""What a description of the org's objects is found to lack."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.salesforce.kit import WallClock, config
from tests.sandbox import OrgSandbox

from sfsync.domain.stock import LevelKey
from sfsync.ports import Refused, Severity
from sfsync.salesforce.check import NEEDED, object_findings, version_findings
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg

MOVEMENT = "StockMovement__c"


def described(name: str, **changes: Any) -> dict[str, Any]:
    fields = [{"name": field, "createable": filled} for field, filled in NEEDED[name].items()]
    for field in fields:
        if field["name"] in ("LevelKey__c", "IdempotencyKey__c"):
            field |= {"unique": True, "caseSensitive": True}
        if field["name"] == "OccurredAt__c":
            field["defaultValueFormula"] = "NOW()"
    return {"queryable": True, "createable": True, "deletable": True, "fields": fields} | changes


def changed(entity: str, field: str, **changes: Any) -> dict[str, Any]:
    told = described(entity)
    return told | {"fields": [each | changes if each["name"] == field else each for each in told["fields"]]}


@pytest.mark.parametrize("name", list(NEEDED))
def test_an_object_as_deployed_has_no_finding(name: str) -> None:
    """Nothing is found where nothing is wrong."""
    assert object_findings(name, described(name)) == []


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (described(MOVEMENT, queryable=False), "StockMovement__c may not be read"),
        (described(MOVEMENT, createable=False), "StockMovement__c records may not be created"),
        (
            changed(MOVEMENT, "BySfsync__c", createable=False),
            "StockMovement__c.BySfsync__c may not be filled",
        ),
        (
            changed(MOVEMENT, "Kind__c", name="Sort__c"),
            "StockMovement__c.Kind__c is missing, or hidden from us",
        ),
        (
            changed(MOVEMENT, "IdempotencyKey__c", unique=False),
            "StockMovement__c.IdempotencyKey__c is not unique",
        ),
        (changed(MOVEMENT, "IdempotencyKey__c", caseSensitive=False), "is not unique with regard to case"),
    ],
)
def test_each_lack_is_named_with_its_remedy(told: dict[str, Any], what: str) -> None:
    """Object, field and what to do about it."""
    (finding,) = object_findings(MOVEMENT, told)
    assert finding.severity is Severity.FATAL
    assert what in finding.what
    assert finding.remedy


def test_a_ledger_whose_movements_may_name_no_moment_is_warned_of() -> None:
    """A count that a person enters without one would count for nothing."""
    (finding,) = object_findings(MOVEMENT, changed(MOVEMENT, "OccurredAt__c", defaultValueFormula=None))
    assert finding.severity is Severity.WARNING
    assert "OccurredAt__c has no default" in finding.what
    assert "NOW()" in finding.remedy


def test_a_user_who_may_not_delete_movements_cannot_fold_and_is_warned() -> None:
    """Everything else works meanwhile."""
    (finding,) = object_findings(MOVEMENT, described(MOVEMENT, deletable=False))
    assert finding.severity is Severity.WARNING
    assert "cannot be folded" in finding.what


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ([{"version": "66.0"}, {"version": "67.0"}], 0),
        ([{"version": "66.0"}], 1),
        ({}, 1),
        (None, 1),
        (["67.0"], 1),
    ],
)
def test_the_api_version_is_one_that_the_org_lists(versions: object, found: int) -> None:
    """A retired version answers everything with the same unhelpful refusal."""
    assert len(version_findings(config(), versions)) == found


@pytest.mark.parametrize("name", list(NEEDED))
def test_a_user_who_only_reads_lacks_no_right_to_write(name: str) -> None:
    """In shadow: what cannot be read is told all the same."""
    reader = described(name, createable=False, deletable=False)
    for field in reader["fields"]:
        field["createable"] = False
    assert object_findings(name, reader, writing=False) == []
    assert object_findings(name, described(name, queryable=False), writing=False) != []


async def test_in_shadow_the_org_is_looked_at_and_no_call_that_could_change_it_leaves(
    settings: OrgConfig, sandbox: OrgSandbox
) -> None:
    """Not even the one that tries the rule out; the org counts every call."""
    before = sandbox.control("GET", "/calls")["by_kind"]
    ours = SalesforceOrg(replace(settings, read_only=True), WallClock())
    try:
        findings = await ours.check(writing=False)
        assert [each for each in findings if each.severity is Severity.FATAL] == []
        assert any("was not tried" in each.what for each in findings)
        with pytest.raises(Refused, match="in shadow"):
            await ours.create_levels([LevelKey("BAG", "ECOM")])
        (lock,) = [each for each in await ours.check() if each.severity is Severity.FATAL]
        assert "could not be tried" in lock.what, "should the flow ever ask for more than it may"
    finally:
        await ours.close()
    after = sandbox.control("GET", "/calls")["by_kind"]
    assert {kind for kind, count in after.items() if count != before.get(kind, 0)} <= {
        kind for kind in after if kind.startswith("GET ")
    }


async def test_rows_made_since_a_moment_are_told_whoever_made_them(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """By level, oldest first."""
    level = sandbox.create("StockLevel__c", Sku__c=sku, LocationCode__c="ECOM", LevelKey__c=f"{sku}|ECOM")
    sandbox.move(f"{sku}|ECOM", on_hand=3, kind="Receipt")
    sandbox.move(f"{sku}|ECOM", on_hand=-1, kind="Sale")
    rows = await org.entered_since([level], datetime.now(UTC) - timedelta(hours=1))
    assert [row.movement.on_hand_delta for row in rows] == [3, -1]
    assert await org.entered_since([level], datetime.now(UTC) + timedelta(hours=1)) == []
