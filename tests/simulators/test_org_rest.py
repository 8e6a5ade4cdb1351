"""Single records, queries and descriptions of the simulated org, over HTTPS."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.sandbox import OrgSandbox
from tests.simulators.org_kit import BASE, LEVEL, MOVEMENT, OrgClient, error_of, fresh, movement


def test_the_list_of_versions_is_open_to_everybody(org: OrgClient) -> None:
    """Clients read it before they sign in; it names 31.0 to 68.0."""
    del org.http.headers["Authorization"]
    versions = org.http.get("/services/data/").json()
    assert versions[0] == {"label": "Summer '14", "url": "/services/data/v31.0", "version": "31.0"}
    assert versions[-1] == {"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}


@pytest.mark.parametrize(("version", "status"), [("v30.0", 410), ("v99.0", 404), ("v67", 404)])
def test_a_version_that_is_not_supported_is_refused(org: OrgClient, version: str, status: int) -> None:
    """Retired versions are gone, unknown ones were never there."""
    assert org.http.get(f"/services/data/{version}/limits").status_code == status


def test_without_a_valid_session_nothing_is_told(org: OrgClient) -> None:
    """401 with the error array that clients recognise."""
    org.http.headers["Authorization"] = "Bearer 00D000000000000!nonsense"
    answer = org.call("GET", "/sobjects")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_the_resource_links_lead_to_the_identity(org: OrgClient) -> None:
    """jsforce and others find out who they are by the identity link."""
    links = org.call("GET", "").json()
    assert links["query"] == f"{BASE}/query"
    assert org.http.get(links["identity"]).json()["organization_id"] == org.ready["org_id"]


def test_a_record_lives_from_create_to_delete(org: OrgClient) -> None:
    """201 with its place, 200 with its fields, 204 for change and end, then 404 that says it is deleted."""
    sku = fresh()
    body = {"LevelKey__c": f"{sku}|L", "Sku__c": f"  {sku} ", "LocationCode__c": "L", "Unit__c": ""}
    created = org.call("POST", f"/sobjects/{LEVEL}", body)
    record_id = created.json()["id"]
    assert created.status_code == 201
    assert created.json() == {"id": record_id, "success": True, "errors": []}
    assert created.headers["Location"] == f"{BASE}/sobjects/{LEVEL}/{record_id}"
    assert org.call("PATCH", f"/sobjects/{LEVEL}/{record_id}", {"Unit__c": "1"}).status_code == 204
    read = org.call("GET", f"/sobjects/{LEVEL}/{record_id[:15]}?fields=Sku__c,unit__c,OnHand__c").json()
    assert read == {
        "attributes": {"type": LEVEL, "url": f"{BASE}/sobjects/{LEVEL}/{record_id}"},
        "Sku__c": sku,
        "Unit__c": "1",
        "OnHand__c": 0.0,
        "Id": record_id,
    }
    deleted = org.call("DELETE", f"/sobjects/{LEVEL}/{record_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    gone = org.call("GET", f"/sobjects/{LEVEL}/{record_id}")
    assert (gone.status_code, error_of(gone)["errorCode"]) == (404, "ENTITY_IS_DELETED")


def test_record_ids_carry_a_checksum(org: OrgClient) -> None:
    """The last three characters follow from the case of the first fifteen."""
    key = org.new_level()
    record_id = org.level(key)["Id"]
    bits = [sum(1 << i for i, c in enumerate(record_id[at : at + 5]) if c.isupper()) for at in (0, 5, 10)]
    assert record_id[15:] == "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[each] for each in bits)
    wrong = record_id[:15] + ("AAA" if record_id[15:] != "AAA" else "BBB")
    assert org.call("GET", f"/sobjects/{LEVEL}/{wrong}").status_code == 404


def _movement_body(level_id: str, **changed: Any) -> dict[str, Any]:
    return {"StockLevel__c": level_id, "Kind__c": "Receipt", "OnHandDelta__c": 1, **changed}


@pytest.mark.parametrize(
    ("changed", "code", "fields"),
    [
        ({"Kind__c": None}, "REQUIRED_FIELD_MISSING", ["Kind__c"]),
        ({"Kind__c": "Gift"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Kind__c"]),
        ({"Reference__c": "x" * 256}, "STRING_TOO_LONG", ["Reference__c"]),
        ({"OnHandDelta__c": 1e18}, "NUMBER_OUTSIDE_VALID_RANGE", ["OnHandDelta__c"]),
        ({"StockLevel__c": "nonsense"}, "MALFORMED_ID", ["StockLevel__c"]),
        ({"StockLevel__c": "a00Wt00000ZZZZZ"}, "INVALID_CROSS_REFERENCE_KEY", []),
        ({"StockLevel__c": "005Wt0000000001"}, "FIELD_INTEGRITY_EXCEPTION", ["StockLevel__c"]),
        ({"CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["CreatedDate"]),
        ({"VersionDelta__c": 0}, "FIELD_CUSTOM_VALIDATION_EXCEPTION", []),
    ],
)
def test_what_a_record_may_not_hold_is_refused_by_code_and_field(
    org: OrgClient, changed: dict[str, Any], code: str, fields: list[str]
) -> None:
    """400 with an array of errors, each with its message and fields."""
    body = _movement_body(org.level(org.new_level())["Id"], **changed)
    answer = org.call("POST", f"/sobjects/{MOVEMENT}", body)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["errorCode"], error["fields"]) == (code, fields)
    assert error["message"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Nothing__c": 1}, "INVALID_FIELD"),
        ({"OnHandDelta__c": "many"}, "JSON_PARSER_ERROR"),
        ({"OnHandDelta__c": True}, "JSON_PARSER_ERROR"),
        ({"Reference__c": ["x"]}, "JSON_PARSER_ERROR"),
        ({"OccurredAt__c": "yesterday"}, "JSON_PARSER_ERROR"),
        ({"OccurredAt__c": "2026-11-23T10:00:00"}, "JSON_PARSER_ERROR"),
        ({"Id": "a00Wt0000000001IAA"}, "INVALID_FIELD"),
        ({"StockLevel__r": {"LevelKey__c": "a", "Sku__c": "b"}}, "INVALID_FIELD"),
    ],
)
def test_json_that_does_not_fit_ends_the_request(org: OrgClient, changed: dict[str, Any], code: str) -> None:
    """400 before anything is saved."""
    answer = org.call("POST", f"/sobjects/{MOVEMENT}", {"Kind__c": "Receipt", **changed})
    assert (answer.status_code, error_of(answer)["errorCode"]) == (400, code)


def test_a_body_must_be_json_and_say_so(org: OrgClient) -> None:
    """Broken JSON is 400, another content type 415, a wrong method 405, an unknown object 404."""
    url = f"{BASE}/sobjects/{LEVEL}"
    broken = org.http.post(url, content=b'{"Sku__c":', headers={"Content-Type": "application/json"})
    assert (broken.status_code, error_of(broken)["errorCode"]) == (400, "JSON_PARSER_ERROR")
    text = org.http.post(url, content=b"{}", headers={"Content-Type": "text/plain"})
    assert (text.status_code, error_of(text)["errorCode"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    wrong = org.http.put(url, json={})
    assert (wrong.status_code, error_of(wrong)["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    unknown = org.call("POST", "/sobjects/Nothing__c", {})
    assert (unknown.status_code, error_of(unknown)["errorCode"]) == (404, "NOT_FOUND")


def test_a_unique_value_is_held_by_one_record(org: OrgClient) -> None:
    """The second is told who holds it, by the 15-character id; keys that differ in case are two."""
    level = org.level(org.new_level())["Id"]
    key = fresh("key")
    first = org.call("POST", f"/sobjects/{MOVEMENT}", _movement_body(level, IdempotencyKey__c=key)).json()[
        "id"
    ]
    again = org.call("POST", f"/sobjects/{MOVEMENT}", _movement_body(level, IdempotencyKey__c=key))
    message = f"duplicate value found: IdempotencyKey__c duplicates value on record with id: {first[:15]}"
    assert error_of(again) == {"message": message, "errorCode": "DUPLICATE_VALUE", "fields": []}
    other = org.call("POST", f"/sobjects/{MOVEMENT}", _movement_body(level, IdempotencyKey__c=key.upper()))
    assert other.status_code == 201


def test_an_upsert_creates_once_and_updates_then(org: OrgClient) -> None:
    """201 with created, 200 without; the key may hold a slash or a bar when encoded."""
    sku = fresh()
    url = f"/sobjects/{LEVEL}/LevelKey__c/{sku}%7CL%2F1"
    first = org.call("PATCH", url, {"Sku__c": sku, "LocationCode__c": "L/1"})
    again = org.call("PATCH", url, {"Unit__c": "7"})
    record_id = first.json()["id"]
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()) == (
        200,
        {"id": record_id, "success": True, "errors": [], "created": False},
    )
    assert org.call("GET", url).json()["LevelKey__c"] == f"{sku}|L/1"
    old = org.http.patch(f"/services/data/v45.0{url}", json={"Unit__c": "8"})
    assert (old.status_code, old.content) == (204, b"")


def test_an_ambiguous_external_id_writes_nothing(org: OrgClient) -> None:
    """300 with the addresses of the records it could mean."""
    sku = fresh()
    for place in ("A", "B"):
        body = {"LevelKey__c": f"{sku}|{place}", "Sku__c": sku, "LocationCode__c": place}
        assert org.call("POST", f"/sobjects/{LEVEL}", body).status_code == 201
    answer = org.call("PATCH", f"/sobjects/{LEVEL}/Sku__c/{sku}", {"Unit__c": "x"})
    assert answer.status_code == 300
    assert len(answer.json()) == 2
    assert org.find(LEVEL, f"Sku__c = '{sku}' AND Unit__c = 'x'") == []


def test_a_parent_may_be_named_by_its_external_id(org: OrgClient) -> None:
    """An unknown one is the record's error, not the request's."""
    key = org.new_level(on_hand=4)
    assert org.stock(key) == (4.0, 0.0)
    answer = org.move("NO-SUCH|LEVEL", on_hand=1)
    assert answer.status_code == 400
    assert error_of(answer)["errorCode"] == "INVALID_FIELD"
    assert (
        "NO-SUCH|LEVEL not found for field LevelKey__c in entity StockLevel__c" in error_of(answer)["message"]
    )


def test_a_master_cannot_be_changed(org: OrgClient) -> None:
    """The master-detail field of the ledger is not reparentable."""
    key, other = org.new_level(), org.level(org.new_level())["Id"]
    record_id = org.move(key, on_hand=1).json()["id"]
    answer = org.call("PATCH", f"/sobjects/{MOVEMENT}/{record_id}", {"StockLevel__c": other})
    assert (answer.status_code, error_of(answer)["errorCode"]) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


def test_a_long_answer_comes_in_pages(org: OrgClient) -> None:
    """Each page but the last has a locator; together they hold each record once; a bad locator is refused."""
    key = org.new_level()
    for _ in range(3):
        assert all(each["success"] for each in org.collection([movement(key, on_hand=1) for _ in range(150)]))
    soql = f"SELECT Id FROM {MOVEMENT} WHERE StockLevel__r.LevelKey__c = '{key}'"  # noqa: S608 — own key
    options = {"Sforce-Query-Options": "batchSize=200"}
    page = org.call("GET", "/query", params={"q": soql}, headers=options).json()
    pages = [page]
    while not page["done"]:
        page = org.http.get(page["nextRecordsUrl"], headers=options).json()
        pages.append(page)
    assert [len(each["records"]) for each in pages] == [200, 200, 50]
    assert {each["totalSize"] for each in pages} == {450}
    assert len({record["Id"] for each in pages for record in each["records"]}) == 450
    bad = org.call("GET", "/query/01gWt9999999999IAA-2000")
    assert (bad.status_code, error_of(bad)["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_a_query_that_cannot_be_read_is_refused_with_the_place(org: OrgClient) -> None:
    """MALFORMED_QUERY or INVALID_FIELD, as the org words them."""
    for soql, code in (("SELECT FROM", "MALFORMED_QUERY"), ("SELECT Nope FROM User", "INVALID_FIELD")):
        answer = org.call("GET", "/query", params={"q": soql})
        assert (answer.status_code, error_of(answer)["errorCode"]) == (400, code)
    assert org.call("GET", "/query").status_code == 400


def test_deleted_records_are_found_by_query_all_only(org: OrgClient) -> None:
    """They carry IsDeleted, with their movements gone with them."""
    key = org.new_level(on_hand=1)
    record_id = org.level(key)["Id"]
    assert org.call("DELETE", f"/sobjects/{LEVEL}/{record_id}").status_code == 204
    soql = f"SELECT Id, IsDeleted FROM {MOVEMENT} WHERE StockLevel__c = '{record_id}'"  # noqa: S608 — own id
    assert org.query(soql) == []
    every = org.call("GET", "/queryAll", params={"q": soql}).json()["records"]
    assert [record["IsDeleted"] for record in every] == [True]
    ids = [
        each["id"]
        for each in org.call("GET", f"/sobjects/{LEVEL}/deleted/", params=_today()).json()["deletedRecords"]
    ]
    assert record_id in ids


def _today() -> dict[str, str]:
    now = datetime.now(UTC)
    return {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}


def test_updated_names_what_was_touched(org: OrgClient) -> None:
    """A parent whose roll-up changed counts as touched."""
    key = org.new_level(on_hand=1)
    assert (
        org.level(key)["Id"] in org.call("GET", f"/sobjects/{LEVEL}/updated/", params=_today()).json()["ids"]
    )
    backwards = org.call("GET", f"/sobjects/{LEVEL}/updated/", params={"start": "x", "end": "y"})
    assert backwards.status_code == 400


def test_a_description_tells_what_can_be_written(org: OrgClient) -> None:
    """Roll-ups and formulas are calculated and read-only; the key is a unique external id."""
    described = org.call("GET", f"/sobjects/{LEVEL}/describe").json()
    fields = {field["name"]: field for field in described["fields"]}
    assert (fields["OnHand__c"]["calculated"], fields["OnHand__c"]["createable"]) == (True, False)
    assert fields["LevelKey__c"]["externalId"]
    assert fields["LevelKey__c"]["unique"]
    assert not fields["LevelKey__c"]["nillable"]
    assert [child["relationshipName"] for child in described["childRelationships"]] == [
        "StockMovements__r",
        "StockCounts__r",
    ]
    kind = {
        field["name"]: field for field in org.call("GET", f"/sobjects/{MOVEMENT}/describe").json()["fields"]
    }
    assert kind["StockLevel__c"]["cascadeDelete"]
    assert not kind["StockLevel__c"]["updateable"]
    assert [each["value"] for each in kind["Kind__c"]["picklistValues"] if each["defaultValue"]] == [
        "Adjustment"
    ]
    every = org.call("GET", "/sobjects").json()["sobjects"]
    assert {"StockLevel__c", "StockEvent__e", "Product2"} <= {each["name"] for each in every}


def test_each_answer_tells_the_allowance_used(org: OrgClient) -> None:
    """One request more each time, refused ones included; `limits` says the same."""
    first = org.call("GET", "/sobjects/Nothing__c")
    second = org.call("GET", "/limits")
    used = [int(each.headers["Sforce-Limit-Info"].split("=")[1].split("/")[0]) for each in (first, second)]
    assert used[1] == used[0] + 1
    daily = second.json()["DailyApiRequests"]
    assert daily["Max"] - daily["Remaining"] == used[1]


def test_a_platform_event_is_queued_with_its_uuid(org: OrgClient, sandbox: OrgSandbox) -> None:
    """201 with success and an OPERATION_ENQUEUED whose message is the event's UUID."""
    body = {"Sku__c": "A", "LocationCode__c": "L", "Kind__c": "Sale", "Quantity__c": -1, "SourceId__c": "t1"}
    answer = org.call("POST", "/sobjects/StockEvent__e", body)
    [note] = answer.json()["errors"]
    assert (answer.status_code, answer.json()["success"]) == (201, True)
    assert (note["statusCode"], note["fields"]) == ("OPERATION_ENQUEUED", [])
    published = [each for commit in sandbox.control("GET", "/log")["commits"] for each in commit["published"]]
    assert {"entity": "StockEvent__e", "uuid": note["message"]} in published
    del body["SourceId__c"]
    refused = org.call("POST", "/sobjects/StockEvent__e", body)
    assert (refused.status_code, error_of(refused)["errorCode"]) == (400, "REQUIRED_FIELD_MISSING")


def test_an_address_of_more_than_16384_bytes_is_refused(org: OrgClient) -> None:
    """414, before the query is read."""
    assert org.call("GET", "/query", params={"q": "x" * 16_384}).status_code == 414


def test_a_change_names_the_client_that_made_it(org: OrgClient, sandbox: OrgSandbox) -> None:
    """The origin of the commit holds the API, its version and the client of Sforce-Call-Options."""
    org.http.headers["Sforce-Call-Options"] = "client=till-7, defaultNamespace=x"
    org.new_level()
    last = sandbox.control("GET", "/log")["commits"][-1]
    assert last["origin"] == "com/salesforce/api/rest/67.0;client=till-7"


def test_both_schemes_of_authorization_are_taken(org: OrgClient) -> None:
    """`OAuth` is what the browser clients send."""
    token = org.http.headers["Authorization"].removeprefix("Bearer ")
    org.http.headers["Authorization"] = f"OAuth {token}"
    assert org.call("GET", "/limits").status_code == 200


def test_plain_http_serves_the_same_org(org: OrgClient) -> None:
    """For clients that cannot be told a CA; the token is good on both."""
    url = f"{org.ready['http_url']}{BASE}/limits"
    headers = {"Authorization": org.http.headers["Authorization"]}
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200


@pytest.mark.parametrize(("packing", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_client_may_compress_what_it_sends(org: OrgClient, packing: str, pack: Any) -> None:
    """A body in the named packing is read like any other; one that is not in it is refused with 400."""
    kind = {"Content-Type": "application/json", "Content-Encoding": packing}
    place = f"{BASE}/sobjects/Product2"
    assert org.http.post(place, content=pack(b'{"Name": "Bag"}'), headers=kind).status_code == 201
    broken = org.http.post(place, content=b'{"Name": "Bag"}', headers=kind)
    assert (broken.status_code, error_of(broken)["errorCode"]) == (400, "JSON_PARSER_ERROR")
    other = org.http.post(place, content=b"x", headers={**kind, "Content-Encoding": "br"})
    assert (other.status_code, error_of(other)["errorCode"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_every_link_of_the_resource_list_leads_somewhere(org: OrgClient) -> None:
    """No client is sent where nothing is: each is there, if only to say what it wants."""
    links = org.call("GET", "").json()
    identity = links.pop("identity")
    assert org.http.get(identity).status_code == 200
    statuses = {name: org.http.get(link).status_code for name, link in links.items()}
    assert statuses == {
        "sobjects": 200,
        "query": 400,
        "queryAll": 400,
        "limits": 200,
        "composite": 200,
        "jobs": 200,
    }


def test_a_query_plan_is_refused_by_name(org: OrgClient) -> None:
    """What is not simulated says so instead of answering something else."""
    answer = org.call("GET", "/query", params={"explain": "SELECT Id FROM StockLevel__c"})
    assert (answer.status_code, error_of(answer)["errorCode"]) == (400, "FEATURE_NOT_ENABLED")


def test_labels_and_formats_are_those_of_an_english_user(org: OrgClient) -> None:
    """toLabel and FORMAT answer under the field's name, or an alias beside the field itself."""
    key = org.new_level()
    assert org.move(key, on_hand=12_345, OccurredAt__c="2026-11-23T21:05:00Z").status_code == 201
    [found] = org.find(
        MOVEMENT,
        f"StockLevel__r.LevelKey__c = '{key}' AND toLabel(Kind__c) = 'Adjustment'",
        "toLabel(Kind__c), OnHandDelta__c, FORMAT(OnHandDelta__c) shown, FORMAT(OccurredAt__c)",
    )
    del found["attributes"]
    assert found == {
        "Kind__c": "Adjustment",
        "OnHandDelta__c": 12345.0,
        "shown": "12,345",
        "OccurredAt__c": "11/23/2026, 9:05 PM",
    }
    answer = org.call("GET", "/query", params={"q": f"SELECT Kind__c, toLabel(Kind__c) FROM {MOVEMENT}"})  # noqa: S608 — own words
    assert "duplicate field selected: Kind__c" in error_of(answer)["message"]
