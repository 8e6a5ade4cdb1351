"""Several requests in one: composite, graph, batch, collections and trees of the simulated org."""

from __future__ import annotations

from typing import Any

import pytest
from tests.sandbox import OrgSandbox
from tests.simulators.org_kit import BASE, LEVEL, MOVEMENT, OrgClient, codes, error_of, fresh, movement

HALTED = "The transaction was rolled back since another operation in the same transaction failed."


def _part(method: str, path: str, reference: str, body: Any = None) -> dict[str, Any]:
    part = {"method": method, "url": BASE + path, "referenceId": reference}
    return part if body is None else {**part, "body": body}


def _composite(
    org: OrgClient, parts: list[dict[str, Any]], *, all_or_none: bool = False
) -> dict[str, dict[str, Any]]:
    body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": parts}
    answer = org.call("POST", "/composite", body).raise_for_status().json()
    return {each["referenceId"]: each for each in answer["compositeResponse"]}


def _new_level_part(sku: str, reference: str = "level") -> dict[str, Any]:
    body = {"LevelKey__c": f"{sku}|L", "Sku__c": sku, "LocationCode__c": "L"}
    return _part("POST", f"/sobjects/{LEVEL}", reference, body)


def test_a_part_may_refer_to_an_earlier_answer(org: OrgClient) -> None:
    """In its body, in its address, and deep into a query's records."""
    sku = fresh()
    receipt = {"StockLevel__c": "@{level.id}", "Kind__c": "Receipt", "OnHandDelta__c": 3}
    answers = _composite(
        org,
        [
            _new_level_part(sku),
            _part("POST", f"/sobjects/{MOVEMENT}", "receipt", receipt),
            _part("GET", f"/query?q=SELECT+Id,OnHand__c+FROM+{LEVEL}+WHERE+Id='@{{level.id}}'", "found"),
            _part("GET", f"/sobjects/{LEVEL}/@{{found.records[0].Id}}?fields=OnHand__c", "read"),
        ],
    )
    assert [answers[each]["httpStatusCode"] for each in ("level", "receipt", "found", "read")] == [
        201,
        201,
        200,
        200,
    ]
    assert answers["level"]["httpHeaders"]["Location"].endswith(answers["level"]["body"]["id"])
    assert answers["read"]["body"]["OnHand__c"] == 3.0


def test_without_all_or_none_only_dependents_are_halted(org: OrgClient) -> None:
    """What went before stays, what does not depend on the failure is done."""
    sku = fresh()
    orphan = {"StockLevel__c": "@{wrong.id}", "Kind__c": "Receipt"}
    answers = _composite(
        org,
        [
            _new_level_part(sku),
            _part("POST", f"/sobjects/{LEVEL}", "wrong", {"LevelKey__c": f"{sku}|M"}),
            _part("POST", f"/sobjects/{MOVEMENT}", "orphan", orphan),
            _new_level_part(f"{sku}-2", "other"),
        ],
    )
    assert {name: each["httpStatusCode"] for name, each in answers.items()} == {
        "level": 201,
        "wrong": 400,
        "orphan": 400,
        "other": 201,
    }
    assert answers["orphan"]["body"][0]["errorCode"] == "PROCESSING_HALTED"


def test_with_all_or_none_the_first_failure_undoes_everything(org: OrgClient) -> None:
    """The failed part keeps its error; all others are 400 PROCESSING_HALTED; nothing is in the org."""
    sku = fresh()
    answers = _composite(
        org,
        [
            _new_level_part(sku),
            _part("POST", f"/sobjects/{LEVEL}", "wrong", {"LevelKey__c": f"{sku}|M"}),
            _new_level_part(f"{sku}-2", "other"),
        ],
        all_or_none=True,
    )
    assert {each["httpStatusCode"] for each in answers.values()} == {400}
    assert answers["wrong"]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    for name in ("level", "other"):
        assert answers[name]["body"] == [{"errorCode": "PROCESSING_HALTED", "message": HALTED}]
    assert org.find(LEVEL, f"Sku__c LIKE '{sku}%'") == []


def test_an_atomic_composite_reads_its_own_writes_and_nobody_elses_see_them_before(org: OrgClient) -> None:
    """A query in it finds the level that an earlier part made."""
    sku = fresh()
    soql = f"SELECT+COUNT()+FROM+{LEVEL}+WHERE+Sku__c='{sku}'"
    answers = _composite(
        org, [_new_level_part(sku), _part("GET", f"/query?q={soql}", "count")], all_or_none=True
    )
    assert answers["count"]["body"]["totalSize"] == 1


def test_an_atomic_composite_overrides_the_mode_of_its_collections(org: OrgClient) -> None:
    """A collection that would save partly is rolled back as a whole."""
    key = org.new_level()
    records = [movement(key, on_hand=1), movement("NO|SUCH", on_hand=1)]
    body = {"allOrNone": False, "records": records}
    answers = _composite(org, [_part("POST", "/composite/sobjects", "rows", body)], all_or_none=True)
    assert answers["rows"]["httpStatusCode"] == 400
    assert codes(answers["rows"]["body"]) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_FIELD"]
    assert org.stock(key) == (0.0, 0.0)


@pytest.mark.parametrize(
    "parts",
    [
        [_part("GET", "/limits", f"r{number}") for number in range(26)],
        [_part("GET", "/query?q=SELECT+Id+FROM+User", f"r{number}") for number in range(6)],
        [_part("GET", "/limits", "same"), _part("GET", "/limits", "same")],
        [_part("GET", "/limits", "not-a-word")],
        [{"method": "GET", "referenceId": "x"}],
        [{**_part("GET", "/limits", "x"), "httpHeaders": {"Authorization": "Bearer x"}}],
    ],
)
def test_a_composite_beyond_its_limits_is_refused_as_a_whole(
    org: OrgClient, parts: list[dict[str, Any]]
) -> None:
    """25 parts, 5 queries or collections, one reference each, no headers that are inherited."""
    assert org.call("POST", "/composite", {"compositeRequest": parts}).status_code == 400


def test_graphs_are_atomic_each_for_itself(org: OrgClient) -> None:
    """The good one is committed, the bad one leaves nothing."""
    good, bad = fresh(), fresh()
    receipt = {"StockLevel__c": "@{level.id}", "Kind__c": "Receipt", "OnHandDelta__c": 1}
    graphs = [
        {
            "graphId": "good",
            "compositeRequest": [
                _new_level_part(good),
                _part("POST", f"/sobjects/{MOVEMENT}", "in", receipt),
            ],
        },
        {
            "graphId": "bad",
            "compositeRequest": [
                _new_level_part(bad),
                _part("POST", f"/sobjects/{MOVEMENT}", "in", {**receipt, "Kind__c": "Gift"}),
            ],
        },
    ]
    answers = org.call("POST", "/composite/graph", {"graphs": graphs}).raise_for_status().json()["graphs"]
    assert [(each["graphId"], each["isSuccessful"]) for each in answers] == [("good", True), ("bad", False)]
    assert org.stock(f"{good}|L") == (1.0, 0.0)
    assert org.find(LEVEL, f"Sku__c = '{bad}'") == []
    query = [{"graphId": "q", "compositeRequest": [_part("GET", "/query?q=SELECT+Id+FROM+User", "q")]}]
    assert org.call("POST", "/composite/graph", {"graphs": query}).status_code == 400


def test_a_batch_may_stop_at_its_first_error(org: OrgClient) -> None:
    """Later requests are 412 then; without `haltOnError` they are done."""
    version = BASE.removeprefix("/services/data/")
    requests = [
        {"method": "GET", "url": f"{version}/sobjects/Nothing__c"},
        {"method": "GET", "url": f"{version}/limits"},
    ]
    for halting, statuses in ((True, [404, 412]), (False, [404, 200])):
        body = {"haltOnError": halting, "batchRequests": requests}
        answer = org.call("POST", "/composite/batch", body).json()
        assert answer["hasErrors"]
        assert [each["statusCode"] for each in answer["results"]] == statuses


def test_a_collection_saves_what_is_good_and_tells_the_rest(org: OrgClient) -> None:
    """200 with a result per record in the order of the request."""
    key, used = org.new_level(), fresh("key")
    records = [
        movement(key, on_hand=1, IdempotencyKey__c=used),
        movement(key, on_hand=1, IdempotencyKey__c=used),
        movement(key, on_hand=1, Kind__c="Gift"),
        movement(key, on_hand=1),
    ]
    results = org.collection(records)
    assert codes(results) == [None, "DUPLICATE_VALUE", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", None]
    assert "id" not in results[1]
    assert org.stock(key) == (2.0, 0.0)


def test_a_collection_with_all_or_none_saves_all_or_none(org: OrgClient) -> None:
    """Siblings of a failed record say that they were rolled back."""
    key = org.new_level()
    results = org.collection([movement(key, on_hand=1), movement(key, Kind__c="Gift")], all_or_none=True)
    assert codes(results) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]
    assert org.stock(key) == (0.0, 0.0)
    assert codes(org.collection([movement(key, on_hand=1)] * 2, all_or_none=True)) == [None, None]
    assert org.stock(key) == (2.0, 0.0)


def test_a_collection_has_at_most_200_records_and_ten_chunks(org: OrgClient) -> None:
    """More is refused before anything is saved, and so is a record without a type."""
    key = org.new_level()
    too_many = org.call("POST", "/composite/sobjects", {"records": [movement(key, on_hand=1)] * 201})
    assert (too_many.status_code, error_of(too_many)["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    product = {"attributes": {"type": "Product2"}, "Name": "Bag"}
    mixed = [product, movement(key, on_hand=1)] * 6
    assert org.call("POST", "/composite/sobjects", {"records": mixed}).status_code == 400
    assert org.call("POST", "/composite/sobjects", {"records": [{"Name": "Bag"}]}).status_code == 400
    assert org.stock(key) == (0.0, 0.0)


@pytest.mark.parametrize("scope", ["request", "record"])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"Nope__c": 1}, "INVALID_FIELD"), ({"attributes": {"type": "Nope__c"}}, "INVALID_TYPE")],
)
def test_an_unknown_name_in_one_record_ends_the_collection_or_that_record(
    org: OrgClient, sandbox: OrgSandbox, scope: str, wrong: dict[str, Any], code: str
) -> None:
    """400 for all of them, or an error in the one place: the knob `parse_error_scope` has both."""
    key = org.new_level()
    records = [movement(key, on_hand=1), movement(key) | wrong]
    sandbox.control("POST", "/knobs", {"parse_error_scope": scope})
    try:
        answer = org.call("POST", "/composite/sobjects", {"records": records})
    finally:
        sandbox.control("POST", "/knobs", {"parse_error_scope": "request"})
    if scope == "request":
        assert (answer.status_code, error_of(answer)["errorCode"]) == (400, code)
        assert org.stock(key) == (0.0, 0.0)
    else:
        assert codes(answer.raise_for_status().json()) == [None, code]
        assert org.stock(key) == (1.0, 0.0)


def test_collections_update_read_upsert_and_delete(org: OrgClient) -> None:
    """The other verbs on many records at once."""
    ids = [org.level(org.new_level())["Id"] for _ in range(2)]
    changes = [{"attributes": {"type": LEVEL}, "id": each, "Unit__c": "u"} for each in ids]
    wrong = {"attributes": {"type": LEVEL}, "id": "a00Wt00000ZZZZZ", "Unit__c": "u"}
    updated = org.call("PATCH", "/composite/sobjects", {"records": [*changes, wrong]}).json()
    assert codes(updated) == [None, None, "INVALID_CROSS_REFERENCE_KEY"]
    asked = {"ids": [ids[1], "a00Wt00000ZZZZZ", ids[0]], "fields": ["Unit__c"]}
    read = org.call("POST", f"/composite/sobjects/{LEVEL}", asked).json()
    assert [each and each["Id"] for each in read] == [ids[1], None, ids[0]]
    same = org.call(
        "GET", f"/composite/sobjects/{LEVEL}", params={"ids": ids[0], "fields": "Id,Unit__c"}
    ).json()
    assert same[0]["Unit__c"] == "u"
    sku = fresh()
    level = {"attributes": {"type": LEVEL}, "LevelKey__c": f"{sku}|L", "Sku__c": sku, "LocationCode__c": "L"}
    for created in (True, False):
        [result] = org.call("PATCH", f"/composite/sobjects/{LEVEL}/LevelKey__c", {"records": [level]}).json()
        assert (result["success"], result["created"]) == (True, created)
    deleted = org.call("DELETE", "/composite/sobjects", params={"ids": ",".join([*ids, ids[0]])}).json()
    assert codes(deleted) == [None, None, "ENTITY_IS_DELETED"]


def test_platform_events_may_be_published_in_a_collection(org: OrgClient) -> None:
    """Each with its own UUID."""
    event = {"Sku__c": "A", "LocationCode__c": "L", "Kind__c": "Sale", "Quantity__c": -1, "SourceId__c": "t"}
    results = org.collection([{"attributes": {"type": "StockEvent__e"}, **event}] * 2)
    uuids = {each["errors"][0]["message"] for each in results}
    assert [each["success"] for each in results] == [True, True]
    assert len(uuids) == 2


def test_a_tree_saves_parents_with_their_children(org: OrgClient) -> None:
    """All of it, or nothing with the reason at the record's own reference."""
    sku = fresh()
    child = {"attributes": {"type": MOVEMENT, "referenceId": "in"}, "Kind__c": "Receipt", "OnHandDelta__c": 2}
    tree = {
        "attributes": {"type": LEVEL, "referenceId": "level"},
        "LevelKey__c": f"{sku}|L",
        "Sku__c": sku,
        "LocationCode__c": "L",
        "StockMovements__r": {"records": [child]},
    }
    saved = org.call("POST", f"/composite/tree/{LEVEL}", {"records": [tree]})
    assert (saved.status_code, saved.json()["hasErrors"]) == (201, False)
    assert [each["referenceId"] for each in saved.json()["results"]] == ["level", "in"]
    assert org.stock(f"{sku}|L") == (2.0, 0.0)
    other = fresh()
    tree |= {
        "LevelKey__c": f"{other}|L",
        "Sku__c": other,
        "StockMovements__r": {"records": [{**child, "Kind__c": "Gift"}]},
    }
    refused = org.call("POST", f"/composite/tree/{LEVEL}", {"records": [tree]})
    assert refused.status_code == 400
    assert [each["referenceId"] for each in refused.json()["results"]] == ["in"]
    assert org.find(LEVEL, f"Sku__c = '{other}'") == []
