"""What a description of the org's objects is found to lack."""

from __future__ import annotations

from typing import Any

import pytest
from tests.salesforce.kit import config

from sfsync.ports import Severity
from sfsync.salesforce.check import NEEDED, object_findings, version_findings

MOVEMENT = "StockMovement__c"


def described(name: str, **changes: Any) -> dict[str, Any]:
    fields = [{"name": field, "createable": filled} for field, filled in NEEDED[name].items()]
    for field in fields:
        if field["name"] in ("LevelKey__c", "IdempotencyKey__c"):
            field |= {"unique": True, "caseSensitive": True}
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
