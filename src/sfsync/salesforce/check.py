"""What an org lacks for sfsync: API version, objects, fields, permissions, topics, and the rule itself.

The rule is not believed because it is there: a reservation without stock is tried on a level of its own
(`records.PROBE`) and must be refused. An administrator may switch a rule off at any time, so this is worth
repeating daily.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sfsync.domain.ledger import RowAnswer, RowResult
from sfsync.domain.stock import Movement, MovementKind
from sfsync.ports import Finding, Refused, Severity, TryLater
from sfsync.salesforce import folding, records
from sfsync.salesforce.check_counts import CountCheck
from sfsync.salesforce.check_orders import OrderCheck
from sfsync.salesforce.check_products import ProductCheck
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.describing import Describe, fatal
from sfsync.salesforce.ledger import record_of, row_answer
from sfsync.salesforce.rest import OrgRefused, Rest

PERMISSION_SET = "Sfsync_Integration"
DEPLOY = "deploy the metadata in salesforce/"
ASSIGN = f"assign the permission set {PERMISSION_SET} to the user that sfsync signs in as"
RULE = "Reservation_needs_stock"
MOMENT_RULE, VERSION_RULE = "Count_names_its_moment", "Version_delta_at_least_one"
UNTRIED = f"whether the rule {RULE} refuses was not tried: nothing is written in shadow"
# Why each lack matters, for whoever reads the finding.
UNSPOKEN = "an org answers every call in a version that it does not speak with a refusal"
UNREAD = "without it sfsync cannot read stock or enter what is sold"
TWICE = "a movement whose answer was lost is sent again: without a unique key it would count twice"
GROWS = "an org's storage and its fullest levels fill up"
UNDATED = (
    "a count that somebody enters in the org without it is no count to whatever is told late: what was sold "
    "before it and heard of after it is taken off twice"
)
UNMOVED = "a level that changed and is no newer than before looks unchanged, and its channels are not told"
NO_RULE = "nothing keeps two channels from reserving the same last unit"
DEAF = "what tills and people enter would be found late, by asking"

# Object -> field -> whether we must be able to fill it when creating a record.
NEEDED: Mapping[str, Mapping[str, bool]] = {
    "StockLevel__c": {
        "LevelKey__c": True,
        "Sku__c": True,
        "LocationCode__c": True,
        "Unit__c": True,
        "OnHand__c": False,
        "Reserved__c": False,
        "Version__c": False,
        "CountedAt__c": False,
    },
    "StockMovement__c": {
        "StockLevel__c": True,
        "Kind__c": True,
        "OnHandDelta__c": True,
        "ReservedDelta__c": True,
        "VersionDelta__c": True,
        "IdempotencyKey__c": True,
        "SubjectKey__c": True,
        "Reference__c": True,
        "Source__c": True,
        "SourceVersion__c": True,
        "OccurredAt__c": True,
        "BySfsync__c": True,
        "Folded__c": True,
    },
}
SUMS = {"OnHand__c": "OnHandDelta__c", "Reserved__c": "ReservedDelta__c", "Version__c": "VersionDelta__c"}

Topic = Callable[[str], Awaitable[object]]


def version_findings(config: OrgConfig, versions: object) -> list[Finding]:
    """Whether the org still (or already) speaks our API version."""
    known = (
        [str(each.get("version")) for each in versions if isinstance(each, dict)]
        if isinstance(versions, list)
        else []
    )
    if config.api_version in known:
        return []
    newest = f"; its newest is {known[-1]}" if known else ""
    return [
        fatal(
            f"the org does not speak API version {config.api_version}{newest}",
            "set api_version to one it speaks",
            UNSPOKEN,
        )
    ]


def object_findings(name: str, described: Mapping[str, Any], *, writing: bool = True) -> list[Finding]:
    """What an object's description lacks; not `writing`: for a user who only reads."""
    found: list[Finding] = []
    if not described.get("queryable"):
        found.append(fatal(f"{name} may not be read", ASSIGN, UNREAD))
    if writing and not described.get("createable"):
        found.append(fatal(f"{name} records may not be created", ASSIGN, UNREAD))
    if writing and name == "StockMovement__c" and not described.get("deletable"):
        what = f"{name} records may not be deleted: old movements cannot be folded, and the ledger only grows"
        found.append(Finding(Severity.WARNING, what, ASSIGN, GROWS))
    fields = {each["name"]: each for each in described.get("fields", ())}
    for field, filled in NEEDED[name].items():
        if field not in fields:
            found.append(_hidden(f"{name}.{field}"))
        elif writing and filled and not fields[field].get("createable"):
            found.append(fatal(f"{name}.{field} may not be filled", ASSIGN, UNREAD))
    moment = fields.get("OccurredAt__c")
    if moment is not None and not moment.get("defaultValueFormula"):
        what = f"{name}.OccurredAt__c has no default: movements may be entered that name no moment"
        remedy = (
            f"{DEPLOY}; the rule Count_names_its_moment comes with it. Or give the field the default NOW()"
        )
        found.append(Finding(Severity.WARNING, what, remedy, UNDATED))
    key = {"StockLevel__c": "LevelKey__c", "StockMovement__c": "IdempotencyKey__c"}[name]
    if key in fields and not (fields[key].get("unique") and fields[key].get("caseSensitive", True)):
        found.append(
            fatal(
                f"{name}.{key} is not unique with regard to case: a step could be entered twice",
                DEPLOY,
                TWICE,
            )
        )
    return found


def _hidden(name: str) -> Finding:
    return fatal(f"{name} is missing, or hidden from us", f"{DEPLOY}, then {ASSIGN}", UNREAD)


def _row_rule(answer: RowAnswer, rule: str, row: str, why: str) -> Finding:
    """Whether a rule of the movements refused its row."""
    if answer.result in (RowResult.CREATED, RowResult.ROLLED_BACK):
        return Finding(
            Severity.WARNING,
            f"the rule {rule} of StockMovement__c is missing or not active: {row} is accepted",
            f"{DEPLOY}; or, if the rule is there, activate it (Setup → Object Manager → Stock Movement)",
            why,
        )
    if answer.result is RowResult.LATER:
        raise TryLater(f"the rule {rule} could not be tried: {answer.message}")
    if "FIELD_CUSTOM_VALIDATION_EXCEPTION" in answer.message:
        return Finding(Severity.GOOD, f"{row} is refused (tried on {records.PROBE})")
    what = f"the rule {rule} of StockMovement__c could not be tried: {answer.message}"
    return Finding(Severity.WARNING, what, f"{DEPLOY}, then {ASSIGN}", why)


class Check:
    """The examination of one org."""

    def __init__(
        self, config: OrgConfig, rest: Rest, describe: Describe, topic: Topic, now: Callable[[], datetime]
    ) -> None:
        self._config = config
        self._rest = rest
        self._describe = describe
        self._topic = topic
        self._now = now

    async def run(self, *, writing: bool = True) -> Sequence[Finding]:
        """Every finding; good ones too, so that a reader sees what was looked at.

        Not `writing`: the rule is not tried, and what may not be written is no finding.
        """
        found = version_findings(self._config, await self._rest.get("/services/data"))
        if found:
            return found
        for name, fields in NEEDED.items():
            lacks = await self._object(name, writing=writing)
            what = f"{name}: its {len(fields)} fields can be read"
            if writing:
                what += f", and {sum(fields.values())} of them filled"
            found.extend(lacks or [Finding(Severity.GOOD, what)])
        if not any(finding.severity is Severity.FATAL for finding in found):
            found.append(await self._rule() if writing else Finding(Severity.GOOD, UNTRIED))
            if writing:
                found.extend(await self._row_rules())
        if self._config.orders is not None:
            found.extend(await OrderCheck(self._config.orders, self._describe).run())
        if self._config.counts:
            found.extend(await CountCheck(self._describe).run())
        if self._config.products is not None:
            found.extend(await ProductCheck(self._config.products, self._describe).run())
        for topic in self._config.topics:
            found.append(await self._may_listen(topic))
        return found

    async def _object(self, name: str, *, writing: bool) -> list[Finding]:
        try:
            described = await self._describe(name)
        except OrgRefused as error:
            if error.code not in ("NOT_FOUND", "INVALID_TYPE"):
                raise
            return [_hidden(name)]
        return object_findings(name, described, writing=writing)

    async def _may_listen(self, topic: str) -> Finding:
        try:
            await self._topic(topic)
        except Refused as error:
            return fatal(str(error), error.advice or DEPLOY, DEAF)
        except TryLater as error:
            where = self._config.stream_address
            remedy = f"see that {where} can be reached from this machine"
            return Finding(Severity.WARNING, str(error), remedy, DEAF)
        return Finding(Severity.GOOD, f"the topic {topic} may be listened to")

    async def _rule(self) -> Finding:
        """Try to reserve one unit more than the probe level has."""
        try:
            level = await self._probe_level()
            held = await self._rest.get(f"sobjects/StockLevel__c/{level}?fields=OnHand__c,Reserved__c")
            available = records.whole(held["OnHand__c"]) - records.whole(held["Reserved__c"])
            answer = await self._try(level, MovementKind.CART, max(0, available) + 1)
            if answer.result is RowResult.CREATED:
                await self._release(level)
        except OrgRefused as error:
            return fatal(f"the rule {RULE} could not be tried: {error}", error.advice or ASSIGN, NO_RULE)
        if answer.result is RowResult.INSUFFICIENT:
            return Finding(
                Severity.GOOD, f"the rule refuses a reservation without stock (tried on {records.PROBE})"
            )
        if answer.result is RowResult.CREATED:
            return fatal(
                f"the rule {RULE} of StockLevel__c is not active: a reservation without stock was accepted",
                f"activate {RULE}; if it is active, activate Reserved_within_on_hand instead of it",
                NO_RULE,
            )
        if answer.result is RowResult.LATER:
            raise TryLater(f"the rule could not be tried: {answer.message}")
        return fatal(
            f"the rule {RULE} could not be tried: {answer.message}", f"{DEPLOY}, then {ASSIGN}", NO_RULE
        )

    async def _row_rules(self) -> list[Finding]:
        """Try to enter a count that names no moment beside a row that makes its level no newer.

        All or none: one that is refused takes the other back with it, so that nothing is left behind unless
        both rules are missing. Both rows change nothing.
        """
        try:
            level = await self._probe_level()
            answer = await self._rest.request(
                "POST", "composite/sobjects", {"allOrNone": True, "records": self._unruly(level)}
            )
        except OrgRefused as error:
            what = f"the rules of StockMovement__c could not be tried: {error}"
            return [Finding(Severity.WARNING, what, error.advice or ASSIGN, UNDATED)]
        undated, unmoved = map(row_answer, answer)
        return [
            _row_rule(undated, MOMENT_RULE, "a count that names no moment", UNDATED),
            _row_rule(unmoved, VERSION_RULE, "a movement that makes its level no newer", UNMOVED),
        ]

    def _unruly(self, level: str) -> list[dict[str, Any]]:
        row = Movement("", "", records.PROBE, MovementKind.COUNT, 0, 0, "probe of a rule", "", self._now())
        record = {name: value for name, value in record_of(row, level).items() if value != ""}
        return [
            record | {"OccurredAt__c": None},
            record | {"Kind__c": MovementKind.ADJUSTMENT.value, "VersionDelta__c": 0},
        ]

    async def fold(self) -> Finding:
        """Whether movements can be folded: tried on the probe's level."""
        try:
            level = await self._probe_level()
            await self._release(level)
            return await folding.prove(self._rest, level, self._config.data_path, self._now())
        except OrgRefused as error:
            return fatal(f"folding could not be tried: {error}", error.advice or ASSIGN)

    async def _probe_level(self) -> str:
        path = f"sobjects/StockLevel__c/LevelKey__c/{quote(str(records.PROBE), safe='')}"
        body = {"Sku__c": records.PROBE.sku, "LocationCode__c": records.PROBE.location}
        answer = await self._rest.request("PATCH", path, body)
        return str(answer["id"])

    async def _try(self, level: str, kind: MovementKind, units: int) -> RowAnswer:
        # No idempotency key: each probe is a new one, and `_release` gives back whatever one left behind.
        probe = Movement("", "", records.PROBE, kind, 0, units, "probe of the rule", "", self._now())
        record = {name: value for name, value in record_of(probe, level).items() if value != ""}
        answer = await self._rest.request(
            "POST", "composite/sobjects", {"allOrNone": False, "records": [record]}
        )
        return row_answer(answer[0])

    async def _release(self, level: str) -> None:
        """Give back what probes reserved, those of an earlier run that was cut off included."""
        held = await self._rest.get(f"sobjects/StockLevel__c/{level}?fields=Reserved__c")
        units = records.whole(held["Reserved__c"])
        if units > 0:
            await self._try(level, MovementKind.RELEASE, -units)
