"""What an org lacks for stock counts that are its records: object, fields, and what we may do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfsync.ports import Finding, Severity
from sfsync.salesforce.counts import OBJECT
from sfsync.salesforce.describing import Describe, Paths

PERMISSION_SET = "Sfsync_Counts"
DEPLOY = "deploy salesforce/counts"
ASSIGN = f"assign the permission set {PERMISSION_SET} to the user that sfsync signs in as"
WHY = "counts made there are not entered, or nobody is told what became of them"
# Field -> whether sfsync writes to it.
NEEDED: Mapping[str, bool] = {
    "StockLevel__c": True,
    "Sku__c": True,
    "LocationCode__c": True,
    "Unit__c": True,
    "Counted__c": True,
    "CountedAt__c": True,
    "CountedBy__c": True,
    "Reason__c": True,
    "Sheet__c": False,
    "CountKey__c": True,
    "Status__c": True,
    "Expected__c": True,
    "Variance__c": True,
    "Movement__c": True,
    "Recount__c": True,
    "Message__c": True,
}
KEY = "CountKey__c"


class CountCheck:
    """The examination of one org's counts. Stock is kept without them: what is wrong is a warning."""

    def __init__(self, describe: Describe) -> None:
        self._paths = Paths(describe)

    async def run(self) -> Sequence[Finding]:
        """Everything that is lacking; a good finding else."""
        described = await self._paths.described(OBJECT)
        if described is None:
            return [_lack(f"{OBJECT} is missing, or hidden from us", f"{DEPLOY}, then {ASSIGN}")]
        found = [
            _lack(f"{OBJECT} records may not be {what}", ASSIGN)
            for right, what in (("queryable", "read"), ("createable", "made"), ("updateable", "changed"))
            if not described.get(right)
        ]
        fields: dict[str, Mapping[str, Any]] = {each["name"]: each for each in described.get("fields", ())}
        for name, written in NEEDED.items():
            if name not in fields:
                found.append(
                    _lack(f"{OBJECT}.{name} is missing, or hidden from us", f"{DEPLOY}, then {ASSIGN}")
                )
            elif written and not fields[name].get("updateable"):
                found.append(_lack(f"{OBJECT}.{name} may not be filled", ASSIGN))
        if KEY in fields and not (fields[KEY].get("unique") and fields[KEY].get("caseSensitive", True)):
            what = f"{OBJECT}.{KEY} is not unique with regard to case: a copy may stand there twice"
            found.append(_lack(what, DEPLOY))
        return found or [Finding(Severity.GOOD, "stock counts in the org can be read and answered")]


def _lack(what: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, what, remedy, WHY)
