"""What the simulated Admin API shows: articles, levels, places, orders, and whole lists as files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.simulators.shop_kit import Client, opened, receiving, seed, until

from sfsync.simulators.shopify import Knobs, ShopClock

NOW = 1_795_000_000.0
VARIANTS = """query(
  $first: Int, $after: String, $last: Int, $before: String, $query: String, $reverse: Boolean
) {
  productVariants(
    first: $first, after: $after, last: $last, before: $before, query: $query, reverse: $reverse
  ) {
    nodes { sku }
    edges { cursor node { sku } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


async def skus(shop: Client, query: str) -> list[str | None]:
    """The SKUs that a search finds."""
    data = await shop.ask(VARIANTS, first=50, query=query)
    return [node["sku"] for node in data["productVariants"]["nodes"]]


async def test_an_article_shows_what_a_channel_needs_to_know() -> None:
    """SKU, item, policy, tracking, bundles, duplicates and levels at a location, in one query."""
    articles = (
        seed("BAG-1", {"Online": 3, "Store": 2}),
        seed("PRE-1", inventory_policy="CONTINUE"),
        seed("GIFT", tracked=False, gift_card=True),
        seed("SET-1", requires_components=True),
        seed("TWIN"),
        seed("TWIN"),
        seed(None),
    )
    async with opened(*articles) as shop:
        place = shop.shop.stock.location_named("Store")
        assert place is not None
        text = """query($place: ID!) { productVariants(first: 10) { nodes {
          id sku inventoryPolicy requiresComponents inventoryQuantity sellableOnlineQuantity availableForSale
          product { isGiftCard totalInventory tracksInventory }
          inventoryItem {
            id sku tracked duplicateSkuCount legacyResourceId
            inventoryLevel(locationId: $place) {
              id quantities(names: ["available", "on_hand"]) { name quantity }
            }
          }
        } } }"""
        rows = (await shop.ask(text, place=place.id))["productVariants"]["nodes"]
        bag, pre, gift, bundle, twin, _, nameless = rows
        assert bag["inventoryItem"]["sku"] == "BAG-1"
        assert bag["sellableOnlineQuantity"] == 3
        assert bag["product"]["totalInventory"] == 5
        assert bag["inventoryItem"]["inventoryLevel"]["quantities"] == [
            {"name": "available", "quantity": 2},
            {"name": "on_hand", "quantity": 2},
        ]
        number = bag["inventoryItem"]["legacyResourceId"]
        assert bag["inventoryItem"]["inventoryLevel"]["id"].endswith(f"?inventory_item_id={number}")
        assert bag["id"].rsplit("/", 1)[1] != number
        assert pre["inventoryPolicy"] == "CONTINUE"
        assert gift["inventoryItem"]["tracked"] is False
        assert gift["product"]["isGiftCard"] is True
        assert bundle["requiresComponents"] is True
        assert twin["inventoryItem"]["duplicateSkuCount"] == 1
        assert nameless["sku"] is None


async def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    """Forwards, backwards, and in reverse."""
    names = [f"S-{number}" for number in range(7)]
    async with opened(*(seed(name) for name in names)) as shop:
        for forwards, reverse in ((True, False), (False, False), (True, True)):
            seen: list[str] = []
            cursor = None
            for _ in range(3):
                size = {"first": 3, "after": cursor} if forwards else {"last": 3, "before": cursor}
                page = (await shop.ask(VARIANTS, **size, reverse=reverse))["productVariants"]
                found = [edge["node"]["sku"] for edge in page["edges"]]
                seen = seen + found if forwards else found + seen
                info = page["pageInfo"]
                cursor = info["endCursor"] if forwards else info["startCursor"]
                assert cursor == page["edges"][-1 if forwards else 0]["cursor"]
            assert seen == (names[::-1] if reverse else names)
            assert info["hasNextPage" if forwards else "hasPreviousPage"] is False


@pytest.mark.parametrize("size", [{}, {"first": 251}, {"first": 1, "last": 1}, {"first": 1, "after": "x"}])
async def test_a_page_must_be_asked_for_properly(size: dict[str, Any]) -> None:
    """A size between 0 and 250, from one end, after a cursor of the API's own."""
    async with opened() as shop:
        assert await shop.errors(
            "query($first: Int, $last: Int, $after: String) { "
            "productVariants(first: $first, last: $last, after: $after) { nodes { id } } }",
            **size,
        )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sku:A-1", ["A-1"]),
        ("sku:A-1 OR sku:B", ["A-1", "B"]),
        ('sku:"C D"', ["C D"]),
        ("sku:'C D' OR sku:b", ["B", "C D"]),
        ("sku:A*", ["A-1", "A-2"]),
        ("sku:A* -sku:A-1", ["A-2"]),
        ("NOT (sku:A-1 OR sku:A-2) AND NOT sku:B", ["C D", 'Q"Q']),
        ("inventory_quantity:<2", ["B"]),
        ("inventory_quantity:>=5 sku:A*", ["A-1", "A-2"]),
        ('sku:"Q\\"Q"', ['Q"Q']),
        ("managed:false", []),
    ],
)
async def test_a_search_finds_what_its_words_say(query: str, found: list[str]) -> None:
    """OR, AND by default, NOT, brackets, quotes and comparisons."""
    async with opened(seed("A-1"), seed("A-2"), seed("B", 1), seed("C D"), seed('Q"Q')) as shop:
        assert await skus(shop, query) == found


async def test_a_knob_says_how_exact_the_search_for_an_sku_is() -> None:
    """The documents leave it open, so a client must compare again."""
    for setting, found in (
        ("exact", ["ab"]),
        ("case_insensitive", ["ab", "AB"]),
        ("prefix", ["ab", "AB", "abc"]),
    ):
        async with opened(seed("ab"), seed("AB"), seed("abc"), knobs=Knobs(sku_match=setting)) as shop:
            assert await skus(shop, "sku:ab") == found


async def test_an_unknown_filter_is_left_out_with_a_warning() -> None:
    """The trap of the real service: a misspelt filter finds everything."""
    async with opened() as shop:
        answer = (await shop.post(VARIANTS, first=5, query="skuu:BAG-1")).json()
        assert len(answer["data"]["productVariants"]["nodes"]) == 2
        assert answer["extensions"]["search"][0]["warnings"][0]["field"] == "skuu"


async def test_250_skus_are_found_by_one_query() -> None:
    """A whole page of articles by name."""
    names = [f"SKU {number:03}" for number in range(250)]
    async with opened(*(seed(name) for name in names)) as shop:
        query = " OR ".join(f'sku:"{name}"' for name in names)
        data = await shop.ask(
            "query($query: String) { productVariants(first: 250, query: $query) { nodes { sku } } }",
            query=query,
        )
        assert [node["sku"] for node in data["productVariants"]["nodes"]] == names


async def test_places_levels_and_the_app_can_be_looked_up() -> None:
    """What a start-up check reads."""
    async with opened() as shop:
        place = shop.shop.stock.location_named("Online")
        level = shop.shop.stock.by_sku["BAG-1"][0].levels[place.number] if place else None
        assert place
        assert level
        data = await shop.ask(
            """query($place: ID!, $level: ID!, $item: ID!) {
              shop { name myshopifyDomain currencyCode plan { publicDisplayName } }
              locations(first: 5) { nodes { id name isActive fulfillsOnlineOrders } }
              location(id: $place) { name inventoryLevels(first: 5) { nodes { item { sku } } } }
              inventoryLevel(id: $level) { isActive item { sku } location { name } }
              inventoryItem(id: $item) { sku inventoryLevels(first: 5) { nodes { location { name } } } }
              inventoryItems(first: 5, query: "sku:BAG-2") {
                nodes { sku variants(first: 1) { nodes { sku } } }
              }
              inventoryProperties { quantityNames { name comprises } }
              currentAppInstallation { id app { id handle } accessScopes { handle } }
              publicApiVersions { handle supported }
            }""",
            place=place.id,
            level=level.id,
            item=level.variant.item_id,
        )
        assert data["shop"]["myshopifyDomain"] == "london.myshopify.test"
        assert [each["name"] for each in data["locations"]["nodes"]] == ["Online", "Store"]
        assert [each["fulfillsOnlineOrders"] for each in data["locations"]["nodes"]] == [True, False]
        assert data["inventoryLevel"] == {
            "isActive": True,
            "item": {"sku": "BAG-1"},
            "location": {"name": "Online"},
        }
        assert data["inventoryItems"]["nodes"][0]["variants"]["nodes"] == [{"sku": "BAG-2"}]
        assert {"handle": "2026-10", "supported": True} in data["publicApiVersions"]
        assert {"handle": "write_inventory"} in data["currentAppInstallation"]["accessScopes"]
        assert len(data["location"]["inventoryLevels"]["nodes"]) == 2


ORDERS = """query($query: String, $after: String) {
  orders(first: 2, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id name createdAt updatedAt cancelledAt cancelReason displayFulfillmentStatus sourceIdentifier
      customAttributes { key value }
      lineItems(first: 5) { nodes { id sku quantity currentQuantity unfulfilledQuantity } }
      refunds(first: 5) { id refundLineItems(first: 5) {
        nodes { quantity restockType location { name } lineItem { sku } }
      } }
      fulfillments(first: 5) { status fulfillmentLineItems(first: 5) { nodes { quantity lineItem { sku } } } }
      fulfillmentOrders(first: 5) { nodes {
        status
        assignedLocation { location { name } }
        lineItems(first: 5) { nodes { sku inventoryItemId remainingQuantity } }
      } }
    }
  }
}"""


async def test_an_order_shows_what_was_sold_where_and_what_came_back() -> None:
    """Line items, attributes, refunds, fulfilments, and the place that was charged."""
    async with opened(locations=("Online",), offline_locations=()) as shop:
        order = await shop.bought("BAG-1", 3, reference="buyer-1", note_attributes={"reservation": "r-1"})
        await shop.staff(order, "fulfil", line_items=[{"sku": "BAG-1", "quantity": 1}])
        await shop.staff(order, "refund", line_items=[{"sku": "BAG-1", "quantity": 1, "restock": True}])
        (seen,) = (await shop.ask(ORDERS))["orders"]["nodes"]
        assert seen["id"] == order["admin_graphql_api_id"]
        assert seen["createdAt"] == order["created_at"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", seen["updatedAt"])
        assert seen["sourceIdentifier"] == "buyer-1"
        assert seen["customAttributes"] == [{"key": "reservation", "value": "r-1"}]
        line = seen["lineItems"]["nodes"][0]
        assert (line["quantity"], line["currentQuantity"], line["unfulfilledQuantity"]) == (3, 2, 1)
        assert seen["displayFulfillmentStatus"] == "PARTIALLY_FULFILLED"
        refund = seen["refunds"][0]["refundLineItems"]["nodes"][0]
        assert refund == {
            "quantity": 1,
            "restockType": "CANCEL",
            "location": {"name": "Online"},
            "lineItem": {"sku": "BAG-1"},
        }
        assert seen["fulfillments"][0]["fulfillmentLineItems"]["nodes"] == [
            {"quantity": 1, "lineItem": {"sku": "BAG-1"}}
        ]
        routed = seen["fulfillmentOrders"]["nodes"][0]
        assert routed["assignedLocation"]["location"]["name"] == "Online"
        assert routed["lineItems"]["nodes"][0]["remainingQuantity"] == 1


async def test_polling_by_update_time_finds_new_and_changed_orders() -> None:
    """Later changes bring an order back, in the order of their times and page by page."""
    async with opened(clock=ShopClock(frozen_at=NOW)) as shop:
        orders = []
        for _ in range(3):
            orders.append(await shop.bought("BAG-1"))
            await shop.control.post("/clock", json={"seconds": 10})
        await shop.staff(orders[0], "cancel", restock=True)
        page = (await shop.ask(ORDERS, query="updated_at:>='2026-11-18T06:53:30Z'"))["orders"]
        names = [node["name"] for node in page["nodes"]]
        rest = (
            await shop.ask(
                ORDERS, query="updated_at:>='2026-11-18T06:53:30Z'", after=page["pageInfo"]["endCursor"]
            )
        )["orders"]
        names += [node["name"] for node in rest["nodes"]]
        assert names == [orders[1]["name"], orders[2]["name"], orders[0]["name"]]
        assert rest["nodes"][0]["cancelReason"] == "CUSTOMER"
        found = await shop.ask(ORDERS, query=f"name:{orders[2]['name']} status:open")
        assert [node["name"] for node in found["orders"]["nodes"]] == [orders[2]["name"]]


async def test_a_knob_lets_new_orders_show_up_late_in_searches() -> None:
    """The index of a real shop lags behind; the order itself can be read at once."""
    async with opened(clock=ShopClock(frozen_at=NOW), knobs=Knobs(search_lag_seconds=30)) as shop:
        order = await shop.bought("BAG-1")
        assert (await shop.ask(ORDERS))["orders"]["nodes"] == []
        one = await shop.ask("query($id: ID!) { order(id: $id) { name } }", id=order["admin_graphql_api_id"])
        assert one["order"]["name"] == order["name"]
        await shop.control.post("/clock", json={"seconds": 31})
        assert len((await shop.ask(ORDERS))["orders"]["nodes"]) == 1


async def test_a_missing_thing_is_null_and_a_wrong_id_an_error() -> None:
    """As the real service tells them apart."""
    async with opened() as shop:
        assert (await shop.ask('{ order(id: "gid://shopify/Order/1") { id } }'))["order"] is None
        errors = await shop.errors('{ order(id: "gid://shopify/Product/1") { id } }')
        assert errors[0]["extensions"]["code"] == "RESOURCE_NOT_FOUND"


BULK = """mutation($query: String!) {
  bulkOperationRunQuery(query: $query) { bulkOperation { id status } userErrors { code } }
}"""
CANCEL_BULK = """mutation($id: ID!) {
  bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { message } }
}"""
POLL_BULK = """query($id: ID!) {
  bulkOperation(id: $id) { status url objectCount rootObjectCount fileSize type }
}"""
LEVELS = """{ productVariants { edges { node { id sku
  inventoryItem { id inventoryLevels { edges { node {
    id location { id } quantities(names: ["available"]) { quantity }
  } } } }
} } } }"""


async def test_a_bulk_read_gives_every_row_as_a_line() -> None:
    """Without pages; rows of nested lists name their parent; its end is announced."""
    articles = [seed(f"S-{number}", {"Online": number, "Store": 1}) for number in range(300)]
    async with (
        receiving() as receiver,
        opened(*articles, webhook_url=receiver.url, webhook_topics=["bulk_operations/finish"]) as shop,
    ):
        started = (await shop.ask(BULK, query=LEVELS))["bulkOperationRunQuery"]
        assert started["userErrors"] == []
        bulk_id = started["bulkOperation"]["id"]
        (finished,) = await receiver.wait("bulk_operations/finish")
        assert finished.payload["admin_graphql_api_id"] == bulk_id
        operation = (await shop.ask(POLL_BULK, id=bulk_id))["bulkOperation"]
        assert (operation["status"], operation["type"]) == ("COMPLETED", "QUERY")
        assert (operation["rootObjectCount"], operation["objectCount"]) == ("300", "900")
        lines = [json.loads(line) for line in (await shop.http.get(operation["url"])).text.splitlines()]
        parents = {line["id"]: line for line in lines if "sku" in line}
        children = [line for line in lines if "__parentId" in line]
        assert len(children) == 600
        assert {line["__parentId"] for line in children} == set(parents)


async def test_at_most_five_bulk_reads_run_at_a_time() -> None:
    """The sixth is told which ones run; a cancelled one makes room."""
    async with opened(knobs=Knobs(bulk_seconds=3600)) as shop:
        started = [(await shop.ask(BULK, query=LEVELS))["bulkOperationRunQuery"] for _ in range(6)]
        assert [each["userErrors"] for each in started[:5]] == [[]] * 5
        assert started[5]["userErrors"] == [{"code": "OPERATION_IN_PROGRESS"}]
        cancelled = await shop.ask(CANCEL_BULK, id=started[0]["bulkOperation"]["id"])
        assert cancelled["bulkOperationCancel"]["bulkOperation"]["status"] == "CANCELED"
        assert (await shop.ask(BULK, query=LEVELS))["bulkOperationRunQuery"]["userErrors"] == []


@pytest.mark.parametrize(
    "query", ["{ nonsense { id } }", "mutation { bulkOperationCancel(id: 1) { userErrors { message } } }"]
)
async def test_a_wrong_bulk_query_is_refused(query: str) -> None:
    """Before anything runs."""
    async with opened() as shop:
        assert (await shop.ask(BULK, query=query))["bulkOperationRunQuery"]["userErrors"] == [
            {"code": "INVALID"}
        ]


async def test_an_empty_bulk_read_has_no_file() -> None:
    """Completed, and nothing to fetch."""
    async with opened(knobs=Knobs(bulk_seconds=0)) as shop:
        await shop.ask(BULK, query="{ orders { edges { node { id } } } }")
        (operation,) = shop.shop.bulk.operations.values()
        await until(lambda: operation.status == "COMPLETED")
        assert operation.url is None


async def test_a_product_shows_its_tags_by_the_alphabet() -> None:
    """As the Admin API sorts them; most have none."""
    async with opened(seed("BAG-1", tags=["iconic", "aw26"]), seed("BELT-1")) as shop:
        data = await shop.ask("query { productVariants(first: 2) { nodes { sku product { tags } } } }")
        told = {node["sku"]: node["product"]["tags"] for node in data["productVariants"]["nodes"]}
        assert told == {"BAG-1": ["aw26", "iconic"], "BELT-1": []}
