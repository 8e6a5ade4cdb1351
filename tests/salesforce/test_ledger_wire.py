"""A group commit's bytes, and what each answer of the org means."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from tests.salesforce.kit import BAG, IDS, SCARF, bundle, movement, request

from sfsync.domain.ledger import RowAnswer, RowResult
from sfsync.domain.stock import LevelKey, MovementKind, StockLevel
from sfsync.ports import Unknown
from sfsync.salesforce import ledger

PATH = "/services/data/v67.0"
SALE = movement("order:london:1:1:0", on_hand=-1)
ASK = movement("order:london:2:1:0", SCARF, reserved=2)
GOOD = {"id": "a0100000000000XAAA", "success": True, "errors": []}


def bad(code: str, message: str) -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}


def part(reference: str, body: Any, status: int = 200) -> dict[str, Any]:
    return {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": reference}


def found(*records: dict[str, Any]) -> dict[str, Any]:
    return {"totalSize": len(records), "done": True, "records": list(records)}


LEVEL = {"Id": IDS[BAG], "LevelKey__c": str(BAG), "OnHand__c": 4.0, "Reserved__c": None, "Version__c": 9.0}
ROW = {
    "IdempotencyKey__c": SALE.key,
    "SubjectKey__c": SALE.subject,
    "StockLevel__r": {"LevelKey__c": str(BAG)},
    "Kind__c": "Sale",
    "OnHandDelta__c": -1.0,
    "ReservedDelta__c": 0.0,
    "Reference__c": "#1001",
    "SourceVersion__c": SALE.source_version,
    "OccurredAt__c": "2026-11-23T08:15:30.000+0000",
    "CreatedDate": "2026-11-23T08:15:31.000+0000",
}


def answer_to(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"compositeResponse": list(parts)}


def queries(body: dict[str, Any]) -> dict[str, str]:
    return {
        each["referenceId"]: parse_qs(urlsplit(each["url"]).query)["q"][0]
        for each in body["compositeRequest"]
        if each["method"] == "GET"
    }


def test_a_movement_becomes_a_record_with_every_field_of_the_ledger() -> None:
    """Nothing of a movement is lost on its way into the org."""
    assert ledger.record_of(ASK, IDS[SCARF]) == {
        "attributes": {"type": "StockMovement__c"},
        "StockLevel__c": IDS[SCARF],
        "Kind__c": "Order",
        "OnHandDelta__c": 0,
        "ReservedDelta__c": 2,
        "VersionDelta__c": 1,
        "IdempotencyKey__c": "order:london:2:1:0",
        "SubjectKey__c": "order:london:2:1",
        "Reference__c": "#1001",
        "Source__c": "sfsync",
        "SourceVersion__c": "2026-11-23T08:15:00Z",
        "OccurredAt__c": "2026-11-23T08:15:30.125Z",
        "BySfsync__c": True,
    }


def test_a_request_is_one_composite_in_order_with_both_read_backs() -> None:
    """Singles first, then each group all or none, then levels, then keys."""
    asked = request(bundle(1, SALE), groups=[bundle(2, ASK, movement("r:1:1", reserved=1))])
    body = ledger.encode(asked, IDS, PATH)
    assert (body["allOrNone"], body["collateSubrequests"]) == (False, False)
    parts = {each["referenceId"]: each for each in body["compositeRequest"]}
    assert list(parts) == ["singles", "group0", "levels", "rows0"]
    assert parts["singles"]["body"]["allOrNone"] is False
    assert parts["group0"]["body"]["allOrNone"] is True
    assert [len(parts[name]["body"]["records"]) for name in ("singles", "group0")] == [1, 2]
    asked_for = queries(body)
    assert asked_for["levels"].endswith(f"WHERE Id IN ('{IDS[BAG]}','{IDS[SCARF]}')")
    assert asked_for["rows0"].endswith("IN ('order:london:1:1:0','order:london:2:1:0','r:1:1')")


def test_the_same_request_gives_the_same_bytes() -> None:
    """An unknown outcome is asked for again with what was sent first."""
    asked = request(bundle(1, SALE), bundle(2, ASK), levels=[SCARF, BAG])
    twin = request(bundle(1, SALE), bundle(2, ASK), levels=[BAG, SCARF])
    assert orjson.dumps(ledger.encode(asked, IDS, PATH)) == orjson.dumps(ledger.encode(twin, IDS, PATH))


@pytest.mark.parametrize("key", ["o'neil:1:0", "back\\slash:0", 'a"b&c=d+e#f%g:0', "サンダル|DUBAI:0"])
def test_a_key_with_any_character_is_asked_for_whole(key: str) -> None:
    """Quotes, backslashes and signs of a URL do not end the literal or the query."""
    body = ledger.encode(request(bundle(1, movement(key, on_hand=-1))), IDS, PATH)
    literal = key.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    assert queries(body)["rows0"].endswith(f"IN ('{literal}')")


def test_a_read_only_request_holds_no_collection() -> None:
    """Levels may be asked for alone."""
    body = ledger.encode(request(levels=[BAG]), IDS, PATH)
    assert [each["referenceId"] for each in body["compositeRequest"]] == ["levels"]


def test_no_more_than_five_heavy_subrequests_are_sent_however_long_the_keys() -> None:
    """Salesforce takes five queries and collections in one composite; keys beyond them are not read back."""
    rows = [movement(f"{'長' * 200}:{number}", on_hand=-1) for number in range(40)]
    groups = [
        bundle(100 + n, movement(f"g{n}:0", reserved=1), movement(f"h{n}:0", reserved=1)) for n in (0, 1)
    ]
    body = ledger.encode(request(*(bundle(n, row) for n, row in enumerate(rows)), groups=groups), IDS, PATH)
    assert [each["referenceId"] for each in body["compositeRequest"]] == [
        "singles",
        "group0",
        "group1",
        "levels",
        "rows0",
    ]
    assert all(len(each["url"]) < 14_000 for each in body["compositeRequest"])


def test_a_level_that_the_org_does_not_have_spoils_only_its_own_bundle() -> None:
    """One bad item never blocks another."""
    lost = movement("order:london:9:1:0", LevelKey("GONE", "PARIS"), on_hand=-1)
    asked = request(
        bundle(1, SALE), bundle(2, lost), groups=[bundle(3, ASK, movement("x:0", lost.level, reserved=1))]
    )
    body = ledger.encode(asked, IDS, PATH)
    assert [each["referenceId"] for each in body["compositeRequest"]] == ["singles", "levels", "rows0"]
    results = ledger.decode(asked, IDS, answer_to(part("singles", [GOOD]))).results
    assert results[SALE.key].result is RowResult.CREATED
    assert {results[key].result for key in (lost.key, ASK.key, "x:0")} == {RowResult.WRONG}
    assert results[lost.key].message == "the org has no stock level GONE|PARIS"


@pytest.mark.parametrize("order", ["@{singles[0].id}", "\ud800"])
def test_a_key_that_a_composite_cannot_carry_spoils_only_its_own_bundle(order: str) -> None:
    """The org would take it for a reference to another part, and halt every row beside it."""
    strange = movement(f"order:x:{order}:1:0", on_hand=-1)
    asked = request(bundle(1, SALE), bundle(2, strange))
    body = ledger.encode(asked, IDS, PATH)
    assert [record["IdempotencyKey__c"] for record in body["compositeRequest"][0]["body"]["records"]] == [
        SALE.key
    ]
    results = ledger.decode(asked, IDS, answer_to(part("singles", [GOOD]))).results
    assert results[strange.key].result is RowResult.WRONG
    assert "cannot carry" in results[strange.key].message


def test_a_reference_that_a_composite_cannot_carry_is_made_harmless() -> None:
    """It is for people to read; no key depends on it."""
    record = ledger.record_of(
        movement("k:0", on_hand=-1, reference="@{singles} \ud800" + "x" * 300), IDS[BAG]
    )
    assert record["Reference__c"] == ("@ {singles} ?" + "x" * 300)[:255]
    assert orjson.dumps(record)


def test_an_answer_carries_results_levels_and_rows() -> None:
    """Float sums become whole units, null becomes none, and the row is the movement that was sent."""
    asked = request(bundle(1, SALE))
    body = answer_to(part("singles", [GOOD]), part("levels", found(LEVEL)), part("rows0", found(ROW)))
    answer = ledger.decode(asked, IDS, body)
    assert answer.results == {SALE.key: RowAnswer(RowResult.CREATED)}
    assert answer.levels == {BAG: StockLevel(BAG, 4, 0, 9, IDS[BAG])}
    assert answer.rows[SALE.key].same_content(SALE)


@pytest.mark.parametrize(
    ("code", "message", "result"),
    [
        (
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "SFSYNC_INSUFFICIENT: this reservation needs more stock than is available.",
            RowResult.INSUFFICIENT,
        ),
        (
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "Guard: execution of AfterInsert caused by: SFSYNC_INSUFFICIENT: …",
            RowResult.INSUFFICIENT,
        ),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Ask the floor manager first.", RowResult.WRONG),
        (
            "DUPLICATE_VALUE",
            "duplicate value found: IdempotencyKey__c duplicates value on record with id: a01000000000001",
            RowResult.DUPLICATE,
        ),
        (
            "DUPLICATE_VALUE",
            "duplicate value found: <unknown> duplicates value on record with id: <unknown>",
            RowResult.DUPLICATE,
        ),
        (
            "DUPLICATE_VALUE",
            "duplicate value found: TillId__c duplicates value on record with id: a01",
            RowResult.WRONG,
        ),
        (
            "UNABLE_TO_LOCK_ROW",
            "unable to obtain exclusive access to this record or 1 records: a00000000000001AAA",
            RowResult.LATER,
        ),
        (
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "Guard: execution of BeforeInsert caused by: System.DmlException: UNABLE_TO_LOCK_ROW, …",
            RowResult.LATER,
        ),
        (
            "LIMIT_EXCEEDED",
            "Too many batch retries in the presence of Apex triggers and partial failures.",
            RowResult.LATER,
        ),
        (
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone",
            RowResult.ROLLED_BACK,
        ),
        ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", RowResult.CLOSED),
        ("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", RowResult.CLOSED),
        (
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: BySfsync__c. Please check the security settings of this field",
            RowResult.CLOSED,
        ),
        ("REQUEST_RUNNING_TOO_LONG", "Your request was running for too long", RowResult.LATER),
        (
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "Guard: System.LimitException: Apex CPU time limit exceeded",
            RowResult.LATER,
        ),
        ("ENTITY_IS_DELETED", "entity is deleted", RowResult.WRONG),
        ("STRING_TOO_LONG", "Reference: data value too large", RowResult.WRONG),
        ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights", RowResult.WRONG),
    ],
)
def test_each_refusal_of_a_row_has_its_meaning(code: str, message: str, result: RowResult) -> None:
    """The org's code and words decide what happens next with the row."""
    assert ledger.row_answer(bad(code, message)) == RowAnswer(result, f"{code}: {message}")


def test_of_several_errors_the_one_that_a_person_must_see_decides() -> None:
    """A row that can never be entered is not tried for ever because it also met a lock."""
    errors = bad("UNABLE_TO_LOCK_ROW", "…")["errors"] + bad("STRING_TOO_LONG", "too large")["errors"]
    assert ledger.row_answer({"success": False, "errors": errors}).result is RowResult.WRONG


@pytest.mark.parametrize(
    "part_", [part("levels", [{"errorCode": "QUERY_TIMEOUT", "message": ""}], 400), part("x", None)]
)
def test_a_failed_read_back_leaves_the_results_standing(part_: dict[str, Any]) -> None:
    """What the org said of each row counts, also when it could not be read back."""
    answer = ledger.decode(request(bundle(1, SALE)), IDS, answer_to(part("singles", [GOOD]), part_))
    assert answer.results[SALE.key].result is RowResult.CREATED
    assert (answer.levels, answer.rows) == ({}, {})


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        answer_to(),
        answer_to(part("singles", [])),
        answer_to(part("singles", [GOOD, GOOD])),
        answer_to(part("singles", ["what"])),
        answer_to(part("singles", [{"success": False, "errors": []}])),
        answer_to(part("singles", [{"errorCode": "UNKNOWN_EXCEPTION", "message": ""}], 500)),
        answer_to(part("singles", None, 503)),
    ],
)
def test_a_row_without_a_result_is_unknown(body: Any) -> None:
    """Where the org's answer does not say what became of a row, nothing is assumed."""
    with pytest.raises(Unknown):
        ledger.decode(request(bundle(1, SALE)), IDS, body)


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("PROCESSING_HALTED", RowResult.LATER),
        ("UNABLE_TO_LOCK_ROW", RowResult.LATER),
        ("INVALID_FIELD", RowResult.CLOSED),
        ("JSON_PARSER_ERROR", RowResult.WRONG),
    ],
)
def test_a_collection_refused_as_a_whole_answers_for_each_of_its_rows(code: str, result: RowResult) -> None:
    """Such a refusal came before any row was entered."""
    asked = request(bundle(1, SALE), bundle(2, ASK))
    body = answer_to(part("singles", [{"errorCode": code, "message": "no"}], 400))
    results = ledger.decode(asked, IDS, body).results
    assert {each.result for each in results.values()} == {result}
    assert len(results) == 2


def test_a_row_of_an_unknown_kind_is_read_with_its_numbers() -> None:
    """Somebody may widen the picklist; a conflict is still seen as one."""
    row = ROW | {"Kind__c": "Gift", "StockLevel__r": {"LevelKey__c": str(SCARF)}}
    answer = ledger.decode(
        request(bundle(1, SALE)), IDS, answer_to(part("singles", [GOOD]), part("rows0", found(row)))
    )
    assert (answer.rows[SALE.key].kind, answer.rows[SALE.key].level) == (MovementKind.ADJUSTMENT, SCARF)


def test_levels_nobody_asked_for_are_left_out() -> None:
    """An answer cannot smuggle in a level."""
    other = LEVEL | {"LevelKey__c": str(SCARF)}
    answer = ledger.decode(
        request(bundle(1, SALE)), IDS, answer_to(part("singles", [GOOD]), part("levels", found(other)))
    )
    assert answer.levels == {}
