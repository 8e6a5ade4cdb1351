"""No request, however odd, breaks the simulated org: it answers with a status below 500 in its own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.simulators.org_kit import BASE

from sfsync.simulators.org.org import Org, OrgConfig, build_org

SOURCE = Path(__file__).resolve().parents[2] / "salesforce"

_words = st.sampled_from(
    [
        "attributes",
        "type",
        "StockLevel__c",
        "StockMovement__c",
        "StockEvent__e",
        "StockLevel__r",
        "LevelKey__c",
        "Sku__c",
        "OnHandDelta__c",
        "OccurredAt__c",
        "Kind__c",
        "Id",
        "id",
        "records",
        "ids",
        "fields",
        "allOrNone",
        "compositeRequest",
        "graphs",
        "graphId",
        "batchRequests",
        "method",
        "url",
        "referenceId",
        "body",
        "httpHeaders",
        "richInput",
        "referenceId",
        "operation",
        "query",
        "state",
        "GET",
        "POST",
        f"{BASE}/sobjects/StockLevel__c",
        f"{BASE}/composite",
        "@{a.id}",
        "@{a[0].b}",
        "@{}",
        "",
        "\x00",
        "a00Wt0000000001IAA",
        "SELECT Id FROM User",
    ]
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False),
        _words,
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(_words, st.text(max_size=3)), inner, max_size=5),
    ),
    max_leaves=25,
)
_field = st.sampled_from(
    ["Sku__c", "LevelKey__c", "StockLevel__c", "StockLevel__r", "OnHandDelta__c", "Kind__c", "OccurredAt__c"]
)
_record = st.builds(
    lambda name, fields: {"attributes": {"type": name}, **fields},
    st.sampled_from(["StockLevel__c", "StockMovement__c", "StockEvent__e", "Product2", "Organization"]),
    st.dictionaries(_field, _json, max_size=4),
)
_collection = st.fixed_dictionaries(
    {"records": st.lists(st.one_of(_record, _json), max_size=4)}, optional={"allOrNone": st.booleans()}
)
_part = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
        "url": st.sampled_from(
            [
                f"{BASE}/sobjects/StockLevel__c",
                f"{BASE}/sobjects/@{{a.id}}",
                f"{BASE}/composite/sobjects",
                f"{BASE}/composite",
                f"{BASE}/query?q=SELECT+Id+FROM+User",
                f"{BASE}/query?q=@{{b.records[0].Id}}",
                "/services/data/v1.0/x",
            ]
        ),
        "referenceId": st.sampled_from(["a", "b", "c", "d"]),
    },
    optional={"body": st.one_of(_record, _collection, _json), "httpHeaders": _json},
)
_parts = st.lists(_part, max_size=4, unique_by=lambda part: part["referenceId"])
_composite = st.fixed_dictionaries({"compositeRequest": _parts}, optional={"allOrNone": st.booleans()})
_graph = st.fixed_dictionaries(
    {"graphs": st.lists(st.fixed_dictionaries({"graphId": _words, "compositeRequest": _parts}), max_size=2)}
)
_batch = st.fixed_dictionaries({"batchRequests": st.lists(_part, max_size=3)})
_bodies = st.one_of(_json, _record, _collection, _composite, _graph, _batch)
_paths = st.sampled_from(
    [
        "/sobjects/StockLevel__c",
        "/sobjects/StockMovement__c",
        "/sobjects/StockEvent__e",
        "/sobjects/StockLevel__c/a00Wt0000000001IAA",
        "/sobjects/StockLevel__c/LevelKey__c/A%7CL",
        "/sobjects/StockLevel__c/Id/a00Wt0000000001IAA",
        "/sobjects/StockLevel__c/Unit__c/x",
        "/sobjects/StockLevel__c/LevelKey__c/" + "x" * 300,
        "/sobjects/StockMovement__c/OccurredAt__c/x",
        "/composite",
        "/composite/graph",
        "/composite/batch",
        "/composite/sobjects",
        "/composite/sobjects/StockLevel__c",
        "/composite/sobjects/StockLevel__c/LevelKey__c",
        "/composite/sobjects/StockLevel__c/Id",
        "/composite/tree/StockLevel__c",
        "/jobs/query",
        "/jobs/query/1",
        "/query/x-1",
        "/query/x-٣",
        "/limits/%2F/%00",
    ]
)
_queries = st.dictionaries(
    st.sampled_from(
        ["q", "ids", "fields", "allOrNone", "_HttpMethod", "start", "end", "maxRecords", "locator"]
    ),
    st.one_of(_words, st.text(max_size=6)),
    max_size=3,
)


def _org() -> Org:
    return build_org(OrgConfig(SOURCE, seed={"levels": [{"sku": "A", "location": "L", "on_hand": 3}]}))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]), _paths, _queries, _bodies)
@example("POST", "/composite", {}, {"compositeRequest": [{"method": "GET", "url": "x", "referenceId": "a"}]})
@example(
    "POST",
    "/composite/sobjects",
    {},
    {"records": [{"attributes": {"type": "StockLevel__c"}, "Sku__c": 1e999}]},
)
@example("POST", "/composite/sobjects", {}, {"records": []})
async def test_odd_requests_are_answered_and_leave_no_lock(
    method: str, path: str, query: dict[str, str], body: Any
) -> None:
    """Whatever JSON arrives at whatever resource; and the org still adds up afterwards."""
    org = ORG
    session = org.sessions.open(next(iter(org.identity.users.values())), next(iter(org.identity.apps)))
    headers = {"Authorization": f"Bearer {session.token}", "Content-Type": "application/json"}
    transport = httpx.ASGITransport(org.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://org", headers=headers) as client:
        answer = await client.request(method, BASE + path, params=query, content=orjson.dumps(body))
    assert answer.status_code < 500
    if answer.status_code >= 400:
        entries = answer.json()
        assert isinstance(entries, (list, dict))
    assert org.engine.locks.held() == 0
    for level in org.engine.store.tables["StockLevel__c"].rows.values():
        own = [
            row
            for row in org.engine.store.tables["StockMovement__c"].rows.values()
            if row["StockLevel__c"] == level["Id"]
        ]
        assert level["OnHand__c"] == sum(row["OnHandDelta__c"] or 0 for row in own)


ORG = _org()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["token", "revoke", "introspect", "userinfo"]),
    st.binary(max_size=40),
    st.one_of(
        st.none(),
        st.sampled_from(["Basic", "Basic ", "Basic xyz", "Basic Og==", "Bearer", "OAuth x", "Basic /w=="]),
    ),
)
async def test_odd_sign_ins_are_refused(endpoint: str, body: bytes, authorization: str | None) -> None:
    """With a status below 500, and never with a token."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if authorization is not None:
        headers["Authorization"] = authorization
    transport = httpx.ASGITransport(ORG.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://org") as client:
        answer = await client.post(f"/services/oauth2/{endpoint}", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert b"access_token" not in answer.content
