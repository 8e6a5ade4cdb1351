"""The glue script somebody would write instead: event in, look the level up, set the number. No store."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

import httpx
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.client import Client

SET = """mutation($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) { userErrors { message } } }"""
MAP = "{ productVariants(first: 250%s) { pageInfo { endCursor } nodes { sku inventoryItem { id } } } }"
ORG, SHOPS = json.loads(sys.argv[1])
HTTP = httpx.AsyncClient(trust_env=False, timeout=60)
TOKEN = {
    "grant_type": "client_credentials",
    "client_id": ORG["client_id"],
    "client_secret": ORG["client_secret"],
}


class Login(AuthenticatorBase):
    async def _authenticate(self) -> tuple[int, dict[str, Any]]:
        answer = (await HTTP.post(f"{ORG['http_url']}/services/oauth2/token", data=TOKEN)).json()
        HTTP.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return 200, answer | {"instance_url": ORG["http_url"]}


async def shopify(shop: dict[str, Any], query: str, variables: object = None) -> Any:
    url = f"{shop['url']}/admin/api/2026-10/graphql.json"
    headers = {"X-Shopify-Access-Token": shop["access_token"]}
    while True:
        body = {"query": query, "variables": variables}
        answer = (await HTTP.post(url, json=body, headers=headers)).json()
        if "errors" not in answer:
            return answer["data"]
        await asyncio.sleep(1)  # throttled


async def show(shop: dict[str, Any], item: str, quantity: int) -> None:
    place = shop["locations"][0]["id"]
    row = {"inventoryItemId": item, "locationId": place, "quantity": quantity, "changeFromQuantity": None}
    given = {"name": "available", "reason": "correction", "quantities": [row]}
    await shopify(shop, SET, {"key": str(uuid.uuid4()), "input": given})


async def main() -> None:
    items: dict[tuple[str, str], str] = {}
    for shop in SHOPS:
        after: str | None = ""
        while after is not None:
            page = (await shopify(shop, MAP % after))["productVariants"]
            items |= {(shop["url"], node["sku"]): node["inventoryItem"]["id"] for node in page["nodes"]}
            after = f', after: "{page["pageInfo"]["endCursor"]}"' if len(page["nodes"]) == 250 else None
    async with Client(Login()) as stream:
        await stream.subscribe("/data/SfsyncStock__chn")
        print(json.dumps({"ready": True}), flush=True)
        async for message in stream:
            record = message["data"]["payload"]["StockLevel__c"]
            url = f"{ORG['http_url']}/services/data/v67.0/sobjects/StockLevel__c/{record}"
            level = (await HTTP.get(url)).json()
            units = int(level["OnHand__c"] - level["Reserved__c"])
            await asyncio.gather(*(show(shop, items[shop["url"], level["Sku__c"]], units) for shop in SHOPS))


asyncio.run(main())
