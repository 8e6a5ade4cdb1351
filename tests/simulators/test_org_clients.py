"""simple-salesforce, written by other people, against the simulated org over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound
from tests.sandbox import OrgSandbox
from tests.simulators.org_kit import LEVEL, OrgClient, fresh


@pytest.fixture
def client(org: OrgClient, sandbox: OrgSandbox) -> Iterator[Any]:
    """Signed in with a ready token; its CA is the sandbox's. Its resources are attributes made on the fly."""
    session = requests.Session()
    session.verify = sandbox.ready["ca_file"]
    session.trust_env = False
    token = org.http.headers["Authorization"].removeprefix("Bearer ")
    with session:
        yield Salesforce(
            instance_url=sandbox.ready["rest_url"], session_id=token, session=session, version="67.0"
        )


def test_it_describes_the_org(client: Any) -> None:
    """Global and single descriptions; the limits, with the usage read from the header."""
    names = [each["name"] for each in client.describe()["sobjects"]]
    assert LEVEL in names
    fields = {field["name"]: field["type"] for field in client.StockLevel__c.describe()["fields"]}
    assert fields["OnHand__c"] == "double"
    assert fields["LevelKey__c"] == "string"
    assert client.limits()["DailyApiRequests"]["Max"] == 100_000
    assert client.api_usage["api-usage"].total == 100_000


def test_it_works_on_records(client: Any) -> None:
    """Create, read, find by key, update, upsert, delete, and its own exceptions for what is refused."""
    sku = fresh()
    body = {"LevelKey__c": f"{sku}|L", "Sku__c": sku, "LocationCode__c": "L"}
    created = client.StockLevel__c.create(body)
    record_id = created["id"]
    assert created["success"]
    assert client.StockLevel__c.get(record_id)["Sku__c"] == sku
    assert client.StockLevel__c.get_by_custom_id("LevelKey__c", f"{sku}|L")["Id"] == record_id
    assert client.StockLevel__c.update(record_id, {"Unit__c": "1"}) == 204
    assert client.StockLevel__c.upsert(f"LevelKey__c/{sku}|L", {"Unit__c": "2"}) == 200
    with pytest.raises(SalesforceMalformedRequest) as refused:
        client.StockLevel__c.create(body)
    assert "DUPLICATE_VALUE" in str(refused.value.content)
    assert client.StockLevel__c.delete(record_id) == 204
    with pytest.raises(SalesforceResourceNotFound):
        client.StockLevel__c.get(record_id)
    start, end = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=40)
    assert record_id in {each["id"] for each in client.StockLevel__c.deleted(start, end)["deletedRecords"]}


def test_it_pages_through_a_query(client: Any) -> None:
    """2,300 records in two pages, by its own iterator; deleted ones on request."""
    sku = fresh()
    records = [
        {"LevelKey__c": f"{sku}|{number}", "Sku__c": sku, "LocationCode__c": str(number)}
        for number in range(2_300)
    ]
    for start in range(0, len(records), 200):
        chunk = [{"attributes": {"type": LEVEL}, **record} for record in records[start : start + 200]]
        saved = client.restful("composite/sobjects", method="POST", json={"records": chunk})
        assert all(each["success"] for each in saved)
    soql = f"SELECT Id, LevelKey__c FROM {LEVEL} WHERE Sku__c = '{sku}'"  # noqa: S608 — own SKU
    assert len({each["Id"] for each in client.query_all_iter(soql)}) == 2_300
    first = client.query(soql)
    assert (first["totalSize"], first["done"], len(first["records"])) == (2_300, False, 2_000)
    client.StockLevel__c.delete(first["records"][0]["Id"])
    assert client.query(soql)["totalSize"] == 2_299
    assert client.query(soql, include_deleted=True)["totalSize"] == 2_300


def test_it_reads_in_bulk(client: Any) -> None:
    """Bulk API 2.0: a query job, polled, its CSV fetched in pages by locator."""
    sku = fresh('A "quoted", name\n')
    for place in "ABC":
        client.StockLevel__c.create(
            {"LevelKey__c": f"{sku}|{place}", "Sku__c": sku, "LocationCode__c": place, "Unit__c": None}
        )
    soql = (
        f"SELECT Sku__c, LocationCode__c, Unit__c, OnHand__c FROM {LEVEL} WHERE LevelKey__c LIKE '%quoted%'"  # noqa: S608 — own words
    )
    pages = list(client.bulk2.StockLevel__c.query(soql, max_records=2))
    assert len(pages) == 2
    assert pages[0].splitlines()[0] == '"Sku__c","LocationCode__c","Unit__c","OnHand__c"'
    assert f'"{sku.replace(chr(34), chr(34) * 2)}","A","","0.0"' in "".join(pages)
