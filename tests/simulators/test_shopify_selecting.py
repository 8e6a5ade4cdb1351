"""What the simulated Admin API tells on its short way is what the GraphQL library itself would have told."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isawaitable
from typing import Any

import pytest
from graphql import ExecutionResult, FieldNode, GraphQLObjectType, OperationDefinitionNode, execute, parse
from tests.simulators.shop_kit import ADJUST, SET, Client, opened, seed

from sfsync.channels import shopify_documents as documents
from sfsync.simulators.shopify import Knobs
from sfsync.simulators.shopify.calls import Call
from sfsync.simulators.shopify.engine import load_schema
from sfsync.simulators.shopify.reading import read_attribute
from sfsync.simulators.shopify.selecting import Selections

SINCE = "updated_at:>='2020-01-01T00:00:00Z'"
LEVEL = """fragment Level on InventoryLevel {
  id createdAt updatedAt isActive canDeactivate location { ...Place }
  quantities(names: $names) { name quantity }
}
fragment Place on Location { __typename id legacyResourceId name isActive ... on Node { id } }"""


async def busy(shop: Client) -> str:
    """Orders sent, in part and whole, taken back, cancelled, open; answers the id of one with all parts."""
    told = await shop.bought("BAG-1", 3, note_attributes={"gift": "yes"})
    await shop.staff(told, "fulfil", line_items=[{"sku": "BAG-1", "quantity": 2}])
    await shop.staff(told, "refund", line_items=[{"sku": "BAG-1", "quantity": 1}])
    sent = await shop.bought("BAG-2")
    await shop.staff(sent, "fulfil")
    await shop.staff(await shop.bought("BAG-2"), "cancel", restock=True)
    lines = [{"sku": sku, "quantity": 2} for sku in ("BAG-1", "BAG-2", "CARD")]
    await shop.http.post("/storefront/buy", json={"line_items": lines})
    return str(told["admin_graphql_api_id"])


def asked(shop: Client, order: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text of the adapter's that reads, and others: fragments, aliases, errors on the way."""
    stock = shop.shop.stock
    place, item = next(iter(stock.locations.values())), stock.by_sku["BAG-1"][0]
    route = shop.shop.selling.routed(next(iter(shop.shop.selling.orders.values())))[0]
    yield documents.CHECK_APP, {}
    yield documents.CHECK_LOCATIONS, {}
    yield documents.WEBHOOKS, {"after": None}
    yield documents.BULK, {"id": "gid://shopify/BulkOperation/1"}
    for text in (documents.ORDERS_SINCE, documents.ROUTED_ORDERS_SINCE, documents.ORDER_TIMES):
        yield text, {"query": SINCE, "after": None}
        yield text, {"query": "colour:red", "after": None}
    for wanted in (order, "gid://shopify/Order/1"):
        for text in (documents.ORDER, documents.ROUTED_ORDER):
            yield text, {"id": wanted}
        yield documents.ORDER_LINE_ITEMS, {"id": wanted, "after": None}
        for text in (
            documents.ORDER_FULFILLMENTS,
            documents.ORDER_REFUNDS,
            documents.ROUTED_ORDER_FULFILLMENTS,
            documents.ROUTED_ORDER_REFUNDS,
            documents.ORDER_ROUTING,
        ):
            yield text, {"id": wanted, "parts": 6, "lines": 10}
    yield documents.ORDER_OF_ROUTE, {"id": route.id}
    for tags in (True, False):
        at = {f"at{n}": each.id for n, each in enumerate(stock.locations.values())}
        variables = {"first": 3, "after": None, "query": None, **at}
        yield documents.variants_document(len(at), tags=tags), variables
        yield documents.variants_document(len(at), tags=tags), {**variables, "query": "sku:BAG*"}
    yield documents.bulk_variants_document([place.id], 0), {}
    items = (
        "query($names: [String!]!, $first: Int = 2) { inventoryItems(first: $first) { nodes { sku"
        " inventoryLevels(first: 5) { edges { cursor node { ...Level } } } } } }"
    )
    for names in (["available", "on_hand"], ["available"], ["beauty"]):
        yield items + LEVEL, {"names": names}
    yield (
        "query($id: ID!, $at: ID!) { a: inventoryItem(id: $id) { ...X ...X on: variant { sku } }"
        " b: inventoryItem(id: $id) { at: inventoryLevel(locationId: $at) { id item { id } } } }"
        " fragment X on InventoryItem { id tracked variant { id product { title } } }",
        {"id": item.item_id, "at": place.id},
    )
    # What has no page size and what is no id are errors below the top; the rest is told all the same.
    yield "{ shop { name } locations(first: 1) { nodes { id inventoryLevels { nodes { id } } } } }", {}
    yield (
        "{ productVariants(first: 2) { nodes { sku inventoryItem {"
        ' inventoryLevel(locationId: "x") { id } } } } }',
        {},
    )
    yield (
        "{ locations(first: 2) { nodes { id"
        ' a: inventoryLevels(first: 2, query: "colour:red") { nodes { id } } b: inventoryLevels(first: 2) {'
        " nodes { id } } } } }",
        {},
    )
    yield (
        "{ locations(first: 2) { nodes { id"
        ' a: inventoryLevels(first: 2, query: "colour:red") { nodes { id } } b: inventoryLevels {'
        " nodes { id } } } } }",
        {},
    )
    for shown in (True, False):
        yield (
            "query($shown: Boolean!) { locations(first: 2) { nodes { id name @include(if: $shown) } } }",
            {"shown": shown},
        )
    row = shop.row("BAG-1", quantity=7)
    yield SET, {"input": {"name": "available", "reason": "correction", "quantities": [row]}, "key": "k1"}
    refused = {**row, "changeFromQuantity": 99}
    yield SET, {"input": {"name": "available", "reason": "correction", "quantities": [refused]}, "key": "k2"}
    change = shop.row("BAG-2", delta=1)
    yield ADJUST, {"input": {"name": "available", "reason": "correction", "changes": [change]}, "key": "k3"}
    yield documents.CANCEL_ORDER, {"orderId": "gid://shopify/Order/1"}
    yield documents.UNSUBSCRIBE_WEBHOOK, {"id": "gid://shopify/WebhookSubscription/1"}


async def test_every_document_is_told_as_the_library_tells_it() -> None:
    """Whatever an app may ask, and whatever goes wrong below: the same data, errors and warnings.

    A mutation is sent twice with one key, so the second time only its answer is told again.
    """
    articles = (seed("BAG-1", {"Online": 9, "Store": 4}), seed("BAG-2"), seed("CARD", tracked=False))
    same = Knobs(failed_key="same_errors")  # a refused call, sent again, is refused in the same words
    async with opened(*articles, offline_locations=(), knobs=same) as shop:
        order = await busy(shop)
        for text, variables in asked(shop, order):
            here, there = Call(shop.shop, request_id="r"), Call(shop.shop, request_id="r")
            engine = shop.shop.engine
            answer = await engine.execute(engine.prepare(text, variables, None), here)
            told = execute(
                load_schema(),
                parse(text),
                context_value=there,
                variable_values=variables,
                field_resolver=read_attribute,
            )
            result = await told if isawaitable(told) else told
            assert isinstance(result, ExecutionResult)
            assert answer["data"] == result.data, text
            assert places(answer) == [(error.message, error.path) for error in result.errors or ()], text
            assert here.search_warnings == there.search_warnings, text


def places(answer: dict[str, Any]) -> list[tuple[str, list[str | int]]]:
    """What is wrong and where."""
    return [(error["message"], error["path"]) for error in answer.get("errors", ())]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (documents.ROUTED_ORDERS_SINCE, True),
        (documents.variants_document(2), True),
        ("{ locations(first: 1) { nodes { ...X } } } fragment X on Location { id ... { name } }", True),
        ("{ locations(first: 1) { nodes { id name @include(if: false) } } }", False),
        (
            "{ locations(first: 1) { nodes { ...X @skip(if: true) id } } } fragment X on Location { name }",
            False,
        ),
    ],
)
def test_the_short_way_is_for_all_but_conditions(text: str, short: bool) -> None:
    """What a document says of itself to leave out is for the library; all that the adapter reads is not."""
    document = parse(text)
    operation, *fragments = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    (node,) = operation.selection_set.selections
    assert isinstance(node, FieldNode)
    schema = load_schema()
    root = schema.query_type
    assert root is not None
    kind = root.fields[node.name.value].type
    kind = getattr(kind, "of_type", kind)
    assert isinstance(kind, GraphQLObjectType)
    named = {each.name.value: each for each in fragments}  # type: ignore[attr-defined]  # fragments have names
    assert (Selections(schema, named).of(kind, [node]) is not None) is short  # type: ignore[arg-type]  # as above
