"""A Shopify store with two locations: which of them sends what, as the adapter reads it.

The simulated store decides by its own rules, and its own log is the truth about its numbers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.channels.shopify_bench import SECRET, answered, channel
from tests.channels.test_shopify import Shop, visit
from tests.sandbox import Sandbox, start_shop

from sfsync.channels import shopify_documents as documents
from sfsync.channels.shopify import ShopifyChannel
from sfsync.channels.shopify_check import ROUTING_SCOPE, SCOPES
from sfsync.domain.orders import OrderLine, OrderSnapshot
from sfsync.domain.places import LinePlace, settled
from sfsync.ports import Delivery, Refused, Severity
from sfsync.testing import Webhook, orders

SKUS = tuple(f"BAG-{n}" for n in range(1, 16))
PLAIN = ("BAG-1", "BAG-2", "SHOE-38", "SHOE-39", "SCARF", "belt")  # what `Shop.begin` fills
SEED = {
    "locations": ["London", "Mall"],
    "variants": [
        {"sku": sku, "title": sku, "available": {"London": 1000, "Mall": 1000}}
        for sku in dict.fromkeys([*PLAIN, *SKUS])
    ],
}
OTHERWISE = ("routing_seconds=30", "routing_webhooks=false", "move_touches_order=false")
ROUTED, MOVED = "fulfillment_orders/order_routing_complete", "fulfillment_orders/moved"


def two_places(shop: Shop) -> ShopifyChannel:
    """The store as one whose both locations are mapped."""
    london, mall = (place["id"] for place in shop.ready["locations"])
    return shop.open(replace(shop.config, locations={"bond": london, "mall": mall}))


@pytest.fixture(scope="module")
def store() -> Iterator[Sandbox]:
    """A store that routes before it tells of a sale, and sends a webhook for it."""
    with start_shop(SEED, options=["--plan", "enterprise"]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def slow_store() -> Iterator[Sandbox]:
    """A store that routes later, tells nobody, and leaves the order's time of change alone."""
    with start_shop(SEED, knobs=OTHERWISE, options=["--plan", "enterprise"]) as sandbox:
        yield sandbox


@pytest.fixture
async def shop(store: Sandbox) -> AsyncIterator[Shop]:
    """The store as one test finds it."""
    async with visit(store) as found:
        yield found


@pytest.fixture
async def slow_shop(slow_store: Sandbox) -> AsyncIterator[Shop]:
    """Likewise, in its other manners."""
    async with visit(slow_store) as found:
        yield found


def open_at(order: OrderSnapshot | None) -> list[dict[str, int]]:
    """Units still to be sent, by our names of the locations, line by line."""
    assert order is not None
    return [
        {place.location: place.open_quantity for place in line.places if place.open_quantity}
        for line in order.lines
    ]


async def webhook(shop: Shop, topic: str) -> Webhook:
    """The first webhook of a topic."""
    return (await shop._box.first(1, lambda each: each.headers.get("x-shopify-topic") == topic))[0]


async def test_the_order_list_tells_the_assigned_location_and_a_webhook_does_not(shop: Shop) -> None:
    """Sold from the Mall: the list knows it; the order's webhook says nothing of it."""
    made = two_places(shop)
    assert made.ability.routes
    await shop.sell({"BAG-1": 2}, location="Mall")
    (polled,) = await orders(made, shop.began_at)
    assert (open_at(polled), polled.lines[0].routed) == ([{"mall": 2}], True)
    arrived = await webhook(shop, "orders/create")
    told = made.read_order(made.receive(arrived.headers, arrived.body))
    assert told is not None
    assert (open_at(told), told.lines[0].routed) == ([{}], False)
    assert (told.version, told.lines[0].open_quantity) == (polled.version, 2)


async def test_a_single_order_is_read_as_the_list_has_it(shop: Shop) -> None:
    """By its id; one that does not exist is none."""
    made = two_places(shop)
    order_id = await shop.sell({"BAG-1": 2, "BAG-2": 1}, location="Mall")
    (polled,) = await orders(made, shop.began_at)
    assert await made.order(order_id) == polled
    assert await made.order("404404404") is None


async def test_webhooks_about_routing_only_call_for_a_reading(shop: Shop) -> None:
    """Assigned, then moved: what each of them names leads to the order as it stands now."""
    made = two_places(shop)
    order_id = await shop.sell({"BAG-1": 1}, location="London")
    await shop.act(f"orders/{order_id}/move", {"location": "Mall"})
    for topic in (ROUTED, MOVED):
        arrived = await webhook(shop, topic)
        delivery = made.receive(arrived.headers, arrived.body)
        assert made.read_order(delivery) is None
        reference = made.order_called(delivery)
        assert reference is not None
        assert reference.startswith("gid://shopify/FulfillmentOrder/")
        order = await made.order(reference)
        assert open_at(order) == [{"mall": 1}]
    assert await made.order("gid://shopify/FulfillmentOrder/404404404") is None


async def test_a_store_that_routes_later_tells_it_when_asked_later(slow_shop: Shop) -> None:
    """No location at first, and no webhook ever; the units are all the same open."""
    made = two_places(slow_shop)
    order_id = await slow_shop.sell({"BAG-1": 1}, location="Mall")
    early = await made.order(order_id)
    assert early is not None
    assert (open_at(early), early.lines[0].routed, early.lines[0].open_quantity) == ([{}], False, 1)
    await slow_shop.later(31)
    later = await made.order(order_id)
    assert later is not None
    assert (open_at(later), later.lines[0].routed, later.version) == ([{"mall": 1}], True, early.version)
    await slow_shop.act(f"orders/{order_id}/move", {"location": "London"})
    moved = await made.order(order_id)
    assert moved is not None
    assert (open_at(moved), moved.version) == ([{"bond": 1}], early.version)
    told = (await slow_shop.get("/webhooks"))["deliveries"]
    assert not [each for each in told if each["topic"].startswith("fulfillment_orders/")]


async def test_a_store_of_one_location_is_not_asked_about_routing(shop: Shop) -> None:
    """Nothing to decide: the same few calls as ever, and routing webhooks are nobody's."""
    await shop.sell({"BAG-1": 1}, location="London")
    arrived = await webhook(shop, ROUTED)
    assert not shop.channel.ability.routes
    assert shop.channel.order_called(shop.channel.receive(arrived.headers, arrived.body)) is None
    (polled,) = await orders(shop.channel, shop.began_at)
    assert (polled.lines[0].places, polled.lines[0].routed) == ((), False)
    assert await shop.channel.order(polled.order_id) == polled


async def test_a_location_that_nobody_mapped_keeps_its_own_name(shop: Shop) -> None:
    """It is told apart from ours, and lowers no number of ours."""
    london, mall = (place["id"] for place in shop.ready["locations"])
    other = "gid://shopify/Location/404404404"
    made = shop.open(replace(shop.config, locations={"bond": london, "closed": other}))
    await shop.sell({"BAG-1": 1}, location="Mall")
    (polled,) = await orders(made, shop.began_at)
    assert open_at(polled) == [{mall: 1}]


async def test_a_large_order_is_read_whole_with_its_locations(shop: Shop) -> None:
    """More lines and parcels at two locations than one page shows."""
    made = two_places(shop)
    order_id = await shop.sell(dict.fromkeys(SKUS, 6), location="London")
    await shop.act(f"orders/{order_id}/fulfil", {"line_items": [{"sku": "BAG-1", "quantity": 2}]})
    for sku in SKUS[1:8]:
        await shop.act(f"orders/{order_id}/fulfil", {"line_items": [{"sku": sku, "quantity": 1}]})
    (polled,) = await orders(made, shop.began_at)
    assert len(polled.lines) == len(SKUS) > documents.ORDER_LINES
    assert all(line.routed for line in polled.lines)
    assert [sum(row.values()) for row in open_at(polled)] == [4, *[5] * 7, *[6] * 7]
    sent = [place for line in polled.lines for place in line.places if place.fulfilled_quantity]
    assert [(place.location, place.fulfilled_quantity) for place in sent] == [("bond", 2), *[("bond", 1)] * 7]
    assert await made.order(order_id) == polled


async def test_whatever_happens_to_an_order_each_number_is_explained(shop: Shop) -> None:
    """After each of many turns, what was taken at each location is what the store's own log says."""
    made, rng, done = two_places(shop), random.Random(11), Counter[str]()
    for _ in range(12):
        log_began = (await shop.get("/log"))["next"]
        place = rng.choice(["London", "Mall"])
        order_id = await shop.sell({"BAG-1": rng.randint(1, 3)}, location=place)
        known: dict[str, tuple[LinePlace, ...]] = {}
        for _ in range(8):
            verb, body = _turn(rng)
            answer = await shop._http.post(
                f"{shop.ready['url']}/storefront/orders/{order_id}/{verb}", json=body
            )
            assert answer.status_code in (200, 422)
            done[verb] += answer.is_success
            order = await made.order(order_id)
            assert order is not None
            taken: Counter[str] = Counter()
            for line in order.lines:
                known[line.line_id] = _placed(line, known.get(line.line_id, ()))
                for stands in known[line.line_id]:
                    taken[stands.location] += stands.taken_quantity
            assert {at: n for at, n in taken.items() if n} == await _fell(shop, order.name, log_began), verb
    assert all(done[verb] for verb in ("fulfil", "refund", "edit", "move", "cancel")), done


def _turn(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Something that staff does to an order. What leaves it goes back on the shelf."""
    verb = rng.choice(["fulfil", "unfulfil", "refund", "edit", "move", "move", "cancel"])
    rows = [{"sku": "BAG-1", "quantity": 1}]
    bodies: dict[str, dict[str, Any]] = {
        "fulfil": {"line_items": rows},
        "refund": {"line_items": rows, "restock": True, "location": rng.choice(["London", "Mall"])},
        "edit": {"line_items": [{"sku": "BAG-1", "delta": rng.choice([-1, 1])}], "restock": True},
        "move": {"location": rng.choice(["London", "Mall"])},
        "cancel": {"restock": True},
    }
    return verb, bodies.get(verb, {})


def _placed(line: OrderLine, before: tuple[LinePlace, ...]) -> tuple[LinePlace, ...]:
    """The line's units at their locations, as the flow places them."""
    total = LinePlace(
        "", line.open_quantity, line.fulfilled_quantity, line.returned_quantity, line.taken_quantity
    )
    return settled(line.places, total, before, "bond", routed=line.routed)


async def _fell(shop: Shop, name: str, since: int) -> dict[str, int]:
    """Units that the store's log says its numbers fell by for an order, by our names of its locations."""
    fell: Counter[str] = Counter()
    for row in (await shop.get(f"/log?since={since}"))["changes"]:
        if row["order"] == name:
            fell["bond" if row["location"] == "London" else "mall"] -= row["delta"]
    return {place: units for place, units in fell.items() if units}


@pytest.mark.parametrize("body", [b"{}", b"[]", b"\xff", b'{"fulfillment_order": {"id": "42"}}'])
def test_a_routing_webhook_that_names_nothing_is_refused(body: bytes) -> None:
    """With what is wrong about it, so that a person can mend the subscription."""
    made, _ = channel(answered(), locations={"bond": "7", "mall": "8"}, webhook_secrets=(SECRET,))
    for topic in (ROUTED, MOVED):
        with pytest.raises(Refused) as caught:
            made.order_called(Delivery(topic, "key", body))
        assert str(caught.value)
        assert caught.value.advice


@pytest.mark.parametrize("status", ["CANCELLED", "CLOSED"])
async def test_what_a_finished_fulfilment_order_names_is_not_still_to_be_sent(status: str) -> None:
    """Of an order that went from one location to another, only the second one counts."""
    place, mall = ({"location": {"id": f"gid://shopify/Location/{n}"}} for n in (7, 8))
    row = {"remainingQuantity": 1, "lineItem": {"id": "gid://shopify/LineItem/11"}}
    rows = {"pageInfo": {"hasNextPage": False}, "nodes": [row]}
    routes = [
        {"status": status, "assignedLocation": place, "lineItems": rows},
        {"status": "OPEN", "assignedLocation": mall, "lineItems": rows},
    ]
    line = {
        "id": "gid://shopify/LineItem/11",
        "sku": "BAG-1",
        "quantity": 1,
        "currentQuantity": 1,
        "unfulfilledQuantity": 1,
        "isGiftCard": False,
        "variant": {"id": "gid://shopify/ProductVariant/111"},
        "customAttributes": [],
    }
    node: dict[str, object] = {
        "id": "gid://shopify/Order/1",
        "name": "#1001",
        "createdAt": "2026-11-23T08:00:00Z",
        "processedAt": None,
        "updatedAt": "2026-11-23T08:00:00Z",
        "cancelledAt": None,
        "displayFinancialStatus": None,
        "customAttributes": [],
        "retailLocation": None,
        "lineItems": {"pageInfo": {"hasNextPage": False}, "nodes": [line]},
        "fulfillments": [],
        "refunds": [],
        "fulfillmentOrders": {"pageInfo": {"hasNextPage": False}, "nodes": routes},
    }
    made, _ = channel(answered({"order": node}), locations={"bond": "7", "mall": "8"})
    order = await made.order("1")
    assert order is not None
    assert (open_at(order), order.lines[0].routed) == ([{"mall": 1}], True)


@pytest.mark.parametrize(
    ("locations", "scopes", "missing"),
    [
        ({"bond": "7"}, SCOPES, False),
        ({"bond": "7", "mall": "8"}, SCOPES, True),
        ({"bond": "7", "mall": "8"}, (*SCOPES, ROUTING_SCOPE), False),
    ],
)
async def test_the_check_asks_for_the_routing_scope_where_there_are_several_locations(
    locations: dict[str, str], scopes: tuple[str, ...], missing: bool
) -> None:
    """Without it the store leaves its answer out and says nothing: no line would ever be assigned."""
    app = {
        "shop": {"name": "London", "myshopifyDomain": "london.myshopify.com"},
        "currentAppInstallation": {"accessScopes": [{"handle": scope} for scope in scopes]},
        "publicApiVersions": [{"handle": "2026-10", "supported": True}],
    }
    nodes = [
        {"id": f"gid://shopify/Location/{n}", "name": str(n), "isActive": True, "fulfillsOnlineOrders": True}
        for n in (7, 8)
    ]
    made, _ = channel(answered(app), answered({"locations": {"nodes": nodes}}), locations=locations)
    fatal = [finding.what for finding in await made.check() if finding.severity is Severity.FATAL]
    assert [ROUTING_SCOPE in what for what in fatal] == ([True] if missing else [])
