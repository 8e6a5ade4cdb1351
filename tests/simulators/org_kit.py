"""A plain HTTP client for the simulated org, as somebody who only read the documentation would write it."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

VERSION = "67.0"
BASE = f"/services/data/v{VERSION}"
LEVEL = "StockLevel__c"
MOVEMENT = "StockMovement__c"

_numbers = itertools.count(1)


def fresh(name: str = "SKU") -> str:
    """A name nobody used before, so that tests may share an org."""
    return f"{name}-{next(_numbers)}"


def token_of(client: httpx.Client, ready: Mapping[str, Any]) -> str:
    """An access token by client credentials."""
    form = {
        "grant_type": "client_credentials",
        "client_id": ready["client_id"],
        "client_secret": ready["client_secret"],
    }
    return str(client.post("/services/oauth2/token", data=form).raise_for_status().json()["access_token"])


class OrgClient:
    """REST calls with a token, and a few words about stock."""

    def __init__(self, ready: Mapping[str, Any], *, name: str = "tests") -> None:
        context = ssl.create_default_context(cafile=str(ready["ca_file"]))
        self.http = httpx.Client(base_url=ready["rest_url"], verify=context, trust_env=False, timeout=30.0)
        self.ready = ready
        self.sign_in()
        self.http.headers["Sforce-Call-Options"] = f"client={name}"

    def sign_in(self) -> None:
        self.http.headers["Authorization"] = f"Bearer {token_of(self.http, self.ready)}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A call below the version; JSON in, the raw answer out."""
        return self.http.request(method, BASE + path, json=body, **options)

    def query(self, soql: str) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = (
            self.call("GET", "/query", params={"q": soql}).raise_for_status().json()["records"]
        )
        return records

    def find(self, entity: str, where: str, fields: str = "Id") -> list[dict[str, Any]]:
        """Records by a condition made of the tests' own names."""
        return self.query(f"SELECT {fields} FROM {entity} WHERE {where}")  # noqa: S608 — see above

    def collection(self, records: list[dict[str, Any]], *, all_or_none: bool = False) -> list[dict[str, Any]]:
        body = {"allOrNone": all_or_none, "records": records}
        answer = self.call("POST", "/composite/sobjects", body)
        results: list[dict[str, Any]] = answer.raise_for_status().json()
        return results

    # -- stock -------------------------------------------------------------------------------

    def new_level(self, on_hand: int = 0) -> str:
        """A new level with that much on hand; its key."""
        sku = fresh()
        key = f"{sku}|DUBAI"
        body = {"LevelKey__c": key, "Sku__c": sku, "LocationCode__c": "DUBAI"}
        assert self.call("POST", f"/sobjects/{LEVEL}", body).status_code == 201
        if on_hand:
            assert self.move(key, on_hand=on_hand, kind="Opening").status_code == 201
        return key

    def move(
        self, key: str, *, on_hand: float = 0, reserved: float = 0, kind: str = "Adjustment", **more: Any
    ) -> httpx.Response:
        return self.call(
            "POST",
            f"/sobjects/{MOVEMENT}",
            movement(key, on_hand=on_hand, reserved=reserved, kind=kind, **more),
        )

    def level(self, key: str) -> dict[str, Any]:
        fields = "Id, OnHand__c, Reserved__c, Available__c, Version__c, SystemModstamp"
        [record] = self.find(LEVEL, f"LevelKey__c = '{key}'", fields)
        return record

    def stock(self, key: str) -> tuple[float, float]:
        """On hand and reserved."""
        record = self.level(key)
        return record["OnHand__c"], record["Reserved__c"]


def movement(
    key: str, *, on_hand: float = 0, reserved: float = 0, kind: str = "Adjustment", **more: Any
) -> dict[str, Any]:
    """A movement as a record of a collection, its level named by external id."""
    return {
        "attributes": {"type": MOVEMENT},
        f"{LEVEL[:-1]}r": {"LevelKey__c": key},
        "Kind__c": kind,
        "OnHandDelta__c": on_hand,
        "ReservedDelta__c": reserved,
        **more,
    }


def codes(results: list[dict[str, Any]]) -> list[str | None]:
    """The first error code of each save result, None for a success."""
    return [None if each["success"] else each["errors"][0]["statusCode"] for each in results]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The one error of a refused single-record request."""
    [error] = answer.json()
    return dict(error)
