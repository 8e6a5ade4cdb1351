"""The GraphQL texts: valid for every version they may be sent to, and never too dear."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    build_client_schema,
    get_variable_values,
    parse,
    validate,
)
from tests.channels.shopify_bench import LOCATION, adjusted, answered, change, channel
from tests.needs import SHOPIFY_SCHEMAS_VARIABLE, needs

from sfsync.channels import shopify_documents as documents
from sfsync.channels.config import SHOPIFY_API_VERSIONS
from sfsync.channels.shopify_setup import ROUTING_TOPICS, TOPICS
from sfsync.ports import Write

MOST_POINTS = 1000  # that a single query may cost
MOST_ROWS = 250  # that a list holds, and a page

# Mutations that the store refuses without @idempotent, which no schema says.
DEMAND_A_KEY = frozenset(
    {
        "inventoryActivate",
        "inventoryAdjustQuantities",
        "inventoryMoveQuantities",
        "inventorySetOnHandQuantities",
        "inventorySetQuantities",
        "inventorySetScheduledChanges",
        "inventoryShipmentAddItems",
        "inventoryShipmentCreate",
        "inventoryShipmentCreateInTransit",
        "inventoryShipmentReceive",
        "inventoryTransferCreate",
        "inventoryTransferCreateAsReadyToShip",
        "inventoryTransferDuplicate",
        "inventoryTransferSetItems",
        "locationActivate",
        "locationDeactivate",
        "refundCreate",
    }
)
# Those of them whose rows must say `changeFromQuantity`, be it null; the schema lets it be left out.
DEMAND_A_COMPARE = frozenset({"inventoryAdjustQuantities", "inventorySetQuantities"})


@cache
def schema(version: str) -> GraphQLSchema:
    path = Path(os.environ[SHOPIFY_SCHEMAS_VARIABLE]) / f"admin_{version}.json.gz"
    with gzip.open(path) as file:
        return build_client_schema(json.load(file)["data"], assume_valid=True)


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text that is sent, with a set of variables as the adapter builds them."""
    made, _ = channel(answered())
    full = [change(n) for n in range(made.ability.batch_rows)]
    for writes in ([change(1)], [change(1, compare=3), change(2)], full):
        body = orjson.loads(made.encode("k", writes))
        yield body["query"], body["variables"]
    yield documents.CHECK_APP, {}
    yield documents.CHECK_LOCATIONS, {}
    yield documents.WEBHOOKS, {"after": None}
    yield documents.RUN_BULK, {"query": documents.bulk_variants_document([LOCATION, LOCATION], 7)}
    yield documents.BULK, {"id": "gid://shopify/BulkOperation/1"}
    for topic in (*TOPICS, *ROUTING_TOPICS):
        wanted = {"uri": "https://stock.example.com/webhooks/london", "format": "JSON"}
        name = topic.replace("/", "_").upper()
        yield documents.SUBSCRIBE_WEBHOOK, {"topic": name, "wanted": wanted}
    yield documents.UNSUBSCRIBE_WEBHOOK, {"id": "gid://shopify/WebhookSubscription/1"}
    for text in (documents.ORDERS_SINCE, documents.ROUTED_ORDERS_SINCE, documents.ORDER_TIMES):
        yield text, {"query": "updated_at:>='2026-11-23T09:00:00Z'", "after": None}
    order = "gid://shopify/Order/1"
    refund = {"originalPaymentMethodsRefund": True}
    answers = {"notifyCustomer": False, "staffNote": "no stock (Anna Kay)"}
    yield documents.CANCEL_ORDER, {"orderId": order, "refundMethod": refund, **answers}
    yield documents.ORDER_LINE_ITEMS, {"id": order, "after": "cursor"}
    yield documents.ORDER, {"id": order}
    yield documents.ROUTED_ORDER, {"id": order}
    yield documents.ORDER_OF_ROUTE, {"id": "gid://shopify/FulfillmentOrder/1"}
    for parts, lines in documents.ROUTED_PART_SIZES:
        for text in (
            documents.ROUTED_ORDER_FULFILLMENTS,
            documents.ROUTED_ORDER_REFUNDS,
            documents.ORDER_ROUTING,
        ):
            yield text, {"id": order, "parts": parts, "lines": lines}
    for parts, lines in documents.PART_SIZES:
        yield documents.ORDER_FULFILLMENTS, {"id": order, "parts": parts, "lines": lines}
        yield documents.ORDER_REFUNDS, {"id": order, "parts": parts, "lines": lines}
    for count in (1, 2, documents.LOCATIONS_A_QUERY):
        for skus in (None, 1, 50):
            places = {f"at{n}": LOCATION for n in range(count)}
            first = documents.variants_rows(count, skus)
            variables = {"first": first, "after": None, "query": "sku:x", **places}
            yield documents.variants_document(count), variables
            rows = documents.variants_rows(count, skus, tags=True)
            yield documents.variants_document(count, tags=True), {**variables, "first": rows}


def carried_out_in_bulk() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text that a bulk operation carries out: no variables, no pages, no points."""
    for count in (1, 2, documents.LOCATIONS_A_QUERY):
        for tags in (False, True):
            yield documents.bulk_variants_document([LOCATION] * count, 7, tags=tags), {}


@cache
def operation(text: str) -> OperationDefinitionNode:
    (found,) = (node for node in parse(text).definitions if isinstance(node, OperationDefinitionNode))
    return found


def definitions(text: str) -> list[VariableDefinitionNode]:
    return list(operation(text).variable_definitions or ())


def fields(node: OperationDefinitionNode | FieldNode) -> list[FieldNode]:
    """What is asked for directly below; our texts have no fragments."""
    inside = node.selection_set.selections if node.selection_set else ()
    assert all(isinstance(each, FieldNode) for each in inside)
    return [each for each in inside if isinstance(each, FieldNode)]


def lists(value: object) -> Iterator[list[Any]]:
    """Every list in a set of variables."""
    if isinstance(value, list):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from lists(inner)


def faults(text: str, variables: dict[str, Any]) -> list[str]:
    """What the store would refuse although its schema allows it."""
    found = [f"a list of {len(each)}" for each in lists(variables) if len(each) > MOST_ROWS]
    if operation(text).operation is OperationType.MUTATION:
        for root in fields(operation(text)):
            name = root.name.value
            keys = [
                argument.name.value
                for directive in root.directives or ()
                if directive.name.value == "idempotent"
                for argument in directive.arguments or ()
            ]
            if name in DEMAND_A_KEY and (keys != ["key"] or not str(variables.get("key") or "").strip()):
                found.append(f"{name} without a key")
            if name in DEMAND_A_COMPARE:
                rows = [row for each in lists(variables) for row in each]
                if not rows or any("changeFromQuantity" not in row for row in rows):
                    found.append(f"{name} without a compare")
    if (points := cost(text, variables)) > MOST_POINTS:
        found.append(f"{points} points")
    return found


def cost(text: str, variables: dict[str, Any]) -> int:
    """The points of a call: a mutation 10, an object 1, a scalar nothing; a connection 2 and its page's rows.

    A plain list that `first` cuts costs its rows; one whose length nothing says is reckoned as one.
    """

    def said(value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            return int(variables[value.name.value])
        assert isinstance(value, IntValueNode)
        return int(value.value)

    def price(node: FieldNode) -> int:
        inside = fields(node)
        if not inside or node.name.value == "pageInfo":
            return 0
        each = sum(price(part) for part in inside)
        sizes = [said(given.value) for given in node.arguments or () if given.name.value == "first"]
        if not sizes:
            return 1 + each
        assert sizes[0] <= MOST_ROWS, f"a page of {sizes[0]}"
        connection = any(part.name.value == "nodes" for part in inside)
        return 2 + sizes[0] * each if connection else sizes[0] * (1 + each)

    asked = operation(text)
    if asked.operation is OperationType.MUTATION:
        return 10
    return sum(price(root) for root in fields(asked))


@needs("shopify-schemas")
@pytest.mark.parametrize("version", SHOPIFY_API_VERSIONS)
def test_every_text_is_valid_for_the_published_schema(version: str) -> None:
    """With its variables, for each version that may answer."""
    for text, variables in (*calls(), *carried_out_in_bulk()):
        assert validate(schema(version), parse(text)) == [], text
        defined = definitions(text)
        values = get_variable_values(schema(version), defined, variables)
        assert not isinstance(values, list), values
        assert {definition.variable.name.value for definition in defined} == set(variables)


@needs("shopify-schemas")
def test_a_mistake_would_be_found() -> None:
    """The check above can fail: a field that went away is refused."""
    body = orjson.loads(channel(adjusted())[0].encode("k", [change(1)]))
    row = body["variables"]["input"]["changes"][0]
    row["compareQuantity"] = row.pop("changeFromQuantity")
    values = get_variable_values(schema("2026-10"), definitions(body["query"]), body["variables"])
    assert isinstance(values, list)
    assert [type(error) for error in values] == [GraphQLError]


def test_every_text_that_there_is_is_among_those_looked_at() -> None:
    """No list kept by hand: a text that was added and forgotten here is named."""
    public = {name: value for name, value in vars(documents).items() if not name.startswith("_")}
    texts = {name for name, value in public.items() if isinstance(value, str) and name.isupper()}
    made = {name for name in public if name.endswith("_document")}
    assert made == {"variants_document", "bulk_variants_document"}
    seen = {text for text, _ in calls()}
    assert len(texts) > 10
    assert {name for name in texts if public[name] not in seen} == set()
    assert documents.variants_document(1) in seen
    assert documents.bulk_variants_document([LOCATION], 7) in {text for text, _ in carried_out_in_bulk()}


def test_every_call_keeps_the_rules_that_no_schema_says() -> None:
    """A key where a write would else happen twice, its compare, no list too long, and not too dear."""
    assert [(text, found) for text, variables in calls() if (found := faults(text, variables))] == []


@needs("shopify-schemas")
@pytest.mark.parametrize("version", SHOPIFY_API_VERSIONS)
def test_a_write_whose_description_demands_a_key_is_known_to_demand_one(version: str) -> None:
    """The list above is not only ours: each of the store's own mutations that says so is on it."""
    mutations = schema(version).mutation_type
    assert mutations is not None
    demanding = {name for name, of in mutations.fields.items() if "@idempotent" in (of.description or "")}
    assert demanding
    assert demanding <= DEMAND_A_KEY


def test_a_call_that_breaks_such_a_rule_is_found() -> None:
    """Each rule once, so that none of them holds only because nobody looks."""
    made, _ = channel(adjusted())
    body = orjson.loads(made.encode("k", [change(n) for n in range(250)]))
    text, variables = body["query"], body["variables"]
    assert faults(text, variables) == []
    no_key = text.replace(" @idempotent(key: $key)", "")
    assert faults(no_key, variables) == ["inventoryAdjustQuantities without a key"]
    assert faults(text, {**variables, "key": " "}) == ["inventoryAdjustQuantities without a key"]
    rows = variables["input"]["changes"]
    assert faults(text, {**variables, "input": {"changes": [*rows, rows[0]]}}) == ["a list of 251"]
    (row, *others) = rows
    bare = {name: value for name, value in row.items() if name != "changeFromQuantity"}
    lacking = {**variables, "input": {"changes": [bare, *others]}}
    assert faults(text, lacking) == ["inventoryAdjustQuantities without a compare"]
    places = {f"at{n}": LOCATION for n in range(20)}
    page = {"first": 250, "after": None, "query": None, **places}
    assert faults(documents.variants_document(20), page) == [f"{2 + 250 * 42} points"]


@pytest.mark.parametrize("locations", [1, 2, documents.LOCATIONS_A_QUERY])
@pytest.mark.parametrize("tags", [False, True])
def test_what_is_reckoned_beforehand_is_what_the_texts_cost(locations: int, tags: bool) -> None:
    """A plan of a resync is priced before the store has been asked anything."""
    places = {f"l{n}": str(n + 1) for n in range(locations)}
    made, _ = channel(adjusted(), locations=places, product_tags=tags)
    tariff = made.tariff()
    page = {"first": documents.variants_rows(locations, tariff.read_skus, tags=tags)}
    assert tariff.read_points == cost(documents.variants_document(locations, tags=tags), page)
    body = orjson.loads(made.encode("k", [change(n) for n in range(tariff.write_rows)]))
    assert tariff.write_points == cost(body["query"], body["variables"])


@pytest.mark.parametrize("locations", range(1, documents.LOCATIONS_A_QUERY + 1))
def test_a_page_of_variants_is_affordable(locations: int) -> None:
    """An object costs 1 and a connection 2; a query may cost 1,000."""
    rows = documents.variants_rows(locations)
    assert 2 + rows * (2 + 2 * locations) < 1000
    assert rows >= 20
    assert documents.variants_rows(locations, 1) <= 4
    with_tags = documents.variants_rows(locations, tags=True)
    assert 2 + with_tags * (3 + 2 * locations) < 1000


def test_a_page_of_orders_and_each_size_of_parts_is_affordable() -> None:
    """By the same reckoning."""
    part = 3 + 2 * documents.ORDER_PART_LINES
    order = 1 + (2 + documents.ORDER_LINES) + 2 * documents.ORDER_PARTS * part + 2
    assert 2 + documents.ORDERS_ROWS * order < 1000
    assert all(1 + parts * (3 + 2 * lines) < 1000 and lines >= 1 for parts, lines in documents.PART_SIZES)


def test_a_page_of_routed_orders_and_each_size_of_their_parts_is_affordable() -> None:
    """A location costs one more for each parcel and each unit that came back; a route three and its lines."""
    lines = documents.ORDER_PART_LINES
    parcel, refund, route = 4 + 2 * lines, 3 + 3 * lines, 5 + 2 * lines
    order = 1 + (2 + documents.ORDER_LINES) + documents.ORDER_PARTS * (parcel + refund) + 2
    order += 2 + documents.ORDER_ROUTES * route
    assert 2 + documents.ROUTED_ORDERS_ROWS * order < 1000
    for parts, lines in documents.ROUTED_PART_SIZES:
        assert lines >= 1
        dearest = max(4 + 2 * lines, 3 + 3 * lines, 5 + 2 * lines)
        assert 1 + 2 + parts * dearest < 1000


@pytest.mark.parametrize(
    ("sku", "phrase"),
    [
        ("BAG-1", '"BAG-1"'),
        ('6" clutch', r'"6\" clutch"'),
        ("a\\b", r'"a\\b"'),
        ("AND", '"AND"'),
        ("Größe 靴", '"Größe 靴"'),
    ],
)
def test_a_sku_is_quoted_for_the_search(sku: str, phrase: str) -> None:
    """So that no sign in it is taken for the search's own."""
    assert documents.sku_query([sku, "x"]) == f'sku:{phrase} OR sku:"x"'


def node(sku: str | None, number: int, *shows: int | None, **more: Any) -> dict[str, Any]:
    levels = [None if units is None else {"quantities": [{"quantity": units}]} for units in shows]
    places = {f"at{n}": level for n, level in enumerate(levels)}
    item = {"id": f"gid://shopify/InventoryItem/{number}", "tracked": True, "duplicateSkuCount": 0, **places}
    variant = f"gid://shopify/ProductVariant/{1000 + number}"
    return {
        "id": variant,
        "sku": sku,
        "price": "4900.00",
        "inventoryPolicy": "DENY",
        "requiresComponents": False,
        "inventoryItem": item,
        **more,
    }


def page(*nodes: dict[str, Any], after: str | None = None) -> Any:
    info = {"hasNextPage": after is not None, "endCursor": after}
    return answered({"productVariants": {"pageInfo": info, "nodes": list(nodes)}})


async def test_a_store_is_listed_page_by_page_for_each_of_its_places() -> None:
    """Not stocked is not zero, a debt is told as it is, and nameless articles are left out."""
    made, asked = channel(
        page(node("BAG-1", 1, 5, None), node(None, 2, 1, 1), after="c1"),
        page(node(" BAG-2 ", 3, -2, 0, requiresComponents=True)),
        locations={"warehouse": "7", "salon": "8"},
    )
    found = [
        [(item.sku, item.location, item.shows, item.tracked) for item in items]
        async for items in made.items()
    ]
    assert found == [
        [("BAG-1", "warehouse", 5, True)],
        [("BAG-2", "warehouse", -2, False), ("BAG-2", "salon", 0, False)],
    ]
    variables = [document["variables"] for document in asked.documents]
    assert [(each["after"], each["query"]) for each in variables] == [(None, None), ("c1", None)]
    assert (variables[0]["at0"], variables[0]["at1"]) == (
        "gid://shopify/Location/7",
        "gid://shopify/Location/8",
    )


async def test_more_places_than_one_query_may_ask_for_are_asked_for_in_turn() -> None:
    """Forty-one places: three queries a page."""
    made, asked = channel(
        page(node("BAG-1", 1, *[1] * 20)), locations={f"l{n}": str(n + 1) for n in range(41)}
    )
    items = [item async for items in made.items() for item in items]
    assert [item.location for item in items] == [f"l{n}" for n in range(41)]
    assert len(asked.requests) == 3


async def test_what_a_search_finds_besides_is_left_out() -> None:
    """It may be by prefix, or blind to case."""
    made, _ = channel(page(node("BAG-1", 1, 5), node("bag-1", 2, 6), node("BAG-10", 3, 7)))
    assert [item.item_id for items in [i async for i in made.items({"BAG-1"})] for item in items] == [
        "gid://shopify/InventoryItem/1"
    ]


async def test_many_skus_are_asked_for_in_several_queries() -> None:
    """Fifty at a time; each once, in order, so that the same question is the same query."""
    made, asked = channel(page())
    assert [items async for items in made.items([f"S{n:03}" for n in (*range(120), 7)])] == []
    queries = [document["variables"]["query"] for document in asked.documents]
    assert [query.count("sku:") for query in queries] == [50, 50, 20]
    assert queries[0].startswith('sku:"S000" OR sku:"S001"')


async def test_a_store_of_any_size_is_listed_whole() -> None:
    """Pages end at 25,000 rows, so a new list is begun after the last row of the old one."""
    size = documents.variants_rows(1)
    full = page(*(node(f"S{n}", n, 1) for n in range(size)), after="more")
    begun = -(-documents.PAGED_ROWS // size)
    cursors = itertools.count()

    def store(request: httpx.Request) -> httpx.Response:
        told = orjson.loads(full.content)
        told["data"]["productVariants"]["pageInfo"]["endCursor"] = f"c{next(cursors)}"
        return httpx.Response(200, json=told)

    refused = {"bulkOperation": None, "userErrors": [{"field": ["query"], "message": "too many are running"}]}
    answers = [store] * documents.PAGES_BEFORE_BULK + [answered({"bulkOperationRunQuery": refused})]
    answers += [store] * (begun + 1 - documents.PAGES_BEFORE_BULK)
    made, asked = channel(*answers, page(node("LAST", size, 1)))
    items = [item async for items in made.items() for item in items]
    assert items[-1].sku == "LAST"
    variables = [each["variables"] for each in asked.documents if each["operationName"] == "Variants"]
    last = f"id:>{1000 + size - 1}"
    assert [(each["query"], each["after"] is None) for each in variables[begun - 1 : begun + 2]] == [
        (None, False),
        (last, True),
        (last, False),
    ]


async def test_a_list_that_does_not_move_on_is_left() -> None:
    """A cursor that comes back would be asked for ever."""
    made, asked = channel(page(node("BAG-1", 1, 5), after="c1"))
    assert [len(items) async for items in made.items()] == [1, 1]
    assert len(asked.requests) == 2


def test_a_write_needs_nothing_but_its_ids() -> None:
    """The adapter keeps no table: what was listed is enough to write."""
    made, _ = channel(adjusted())
    body = orjson.loads(made.encode("k", [Write("any", "any", "gid://a", "gid://b", delta=1)]))
    (row,) = body["variables"]["input"]["changes"]
    assert (row["inventoryItemId"], row["locationId"]) == ("gid://a", "gid://b")


async def test_the_tags_of_products_are_read_of_the_store_that_is_asked_for_them() -> None:
    """One object more for each article, so it is asked where policies want it, and nowhere else."""
    tagged = node("BAG-1", 1, 5, product={"tags": ["iconic", "aw26"]})
    for wanted in (True, False):
        made, asked = channel(page(tagged), product_tags=wanted)
        (items,) = [items async for items in made.items()]
        assert items[0].tags == (frozenset({"iconic", "aw26"}) if wanted else None)
        assert ("product { tags }" in asked.documents[0]["query"]) is wanted
        bulk = documents.bulk_variants_document(["gid://shopify/Location/7"], 3, tags=wanted)
        assert ("product { tags }" in bulk) is wanted
