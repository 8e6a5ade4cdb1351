"""A large store is read by one bulk operation; where the store will not, page by page: the same list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.channels.clock import HandClock
from tests.channels.shopify_bench import LOCATION, answered, channel
from tests.channels.test_shopify import PLAIN, Shop, visit
from tests.sandbox import Sandbox, start_shop

from sfsync.channels import shopify_documents as documents
from sfsync.ports import Priced, Resumable
from sfsync.testing import listed

MANY = 1400  # more than the pages that come before
SEED = {
    "locations": ["London"],
    "variants": [
        *({"sku": sku, "title": sku, "available": {"London": 1000}} for sku in PLAIN),
        *({"sku": f"MANY-{n:04}", "title": "one of many", "available": {"London": n}} for n in range(MANY)),
        {"sku": "TWICE", "title": "first", "available": {"London": 1}},
        {"sku": "TWICE", "title": "second", "available": {"London": 2}},
        {"sku": "LOOSE", "title": "nobody counts these", "tracked": False},
        {"sku": "SET", "title": "a bag with its scarf", "requires_components": True},
        {"sku": "BEYOND", "title": "sold beyond", "available": {"London": 1}, "inventory_policy": "CONTINUE"},
        {"sku": None, "title": "without a name"},
    ],
}


@pytest.fixture(scope="module")
def large_shop() -> Iterator[Sandbox]:
    with start_shop(SEED, options=["--plan", "enterprise"]) as sandbox:
        yield sandbox


@pytest.fixture
async def shop(large_shop: Sandbox) -> AsyncIterator[Shop]:
    async with visit(large_shop) as visited:
        yield visited


async def calls(shop: Shop, name: str) -> int:
    return int((await shop.get("/calls"))["operations"].get(name, {"count": 0})["count"])


@pytest.mark.parametrize("trouble", ["", "error_before", "cut_after", "throttled"])
async def test_a_large_store_is_listed_whole_by_one_bulk_read_or_else_by_pages(
    shop: Shop, trouble: str
) -> None:
    """Each item once, with the number that the store's own books have; in the order of their ids."""
    if trouble:
        await shop.fault(kind=trouble, match="bulkOperationRunQuery")
    before = await calls(shop, "productVariants")
    items = await listed(shop.channel)
    pages = await calls(shop, "productVariants") - before
    assert (pages == documents.PAGES_BEFORE_BULK) is (not trouble), pages
    shown = {item.sku: item.shows for item in items}
    assert {sku: shown[sku] for sku in shown if sku.startswith("MANY")} == {
        f"MANY-{n:04}": n for n in range(MANY)
    }
    assert len(items) == len(PLAIN) + MANY + 5
    assert [item.duplicate for item in items if item.sku == "TWICE"] == [True, True]
    assert [item.sku for item in items if not item.tracked] == ["LOOSE", "SET"]
    assert [item.sku for item in items if item.oversell_allowed] == ["BEYOND"]


async def test_a_listing_goes_on_from_where_it_stood(shop: Shop) -> None:
    """After a kill: behind a page, behind a part of the bulk read, and behind the last item."""
    assert isinstance(shop.channel, Resumable)
    whole = [item.sku for item in await listed(shop.channel)]
    pages = [(place, [item.sku for item in items]) async for place, items in shop.channel.items_from(None)]
    assert [sku for _, skus in pages for sku in skus] == whole
    for number in (0, len(pages) // 2, len(pages) - 1):
        behind = [sku for _, skus in pages[number + 1 :] for sku in skus]
        rest = [item.sku async for _, items in shop.channel.items_from(pages[number][0]) for item in items]
        assert rest == behind


async def test_what_calls_cost_is_told_by_the_store(shop: Shop) -> None:
    """Its points, how fast they come back, and what a call was charged."""
    assert isinstance(shop.channel, Priced)
    await listed(shop.channel, {"BAG-1"})
    tariff = shop.channel.tariff()
    assert tariff.write_rows == shop.channel.ability.batch_rows
    assert tariff.points_held is not None
    assert tariff.points_a_second is not None
    assert tariff.points_a_second > 0
    assert tariff.write_points is not None
    assert tariff.read_points is not None
    assert 0 < tariff.write_points < tariff.read_points


def nodes(first: int, last: int) -> list[dict[str, Any]]:
    """Variants as a page and a file give them."""
    return [
        {
            "id": f"gid://shopify/ProductVariant/{n}",
            "sku": f"S{n}",
            "price": "4900.00",
            "inventoryPolicy": "DENY",
            "requiresComponents": False,
            "inventoryItem": {
                "id": f"gid://shopify/InventoryItem/{n}",
                "tracked": True,
                "duplicateSkuCount": 0,
                "at0": {"quantities": [{"quantity": n}]},
            },
        }
        for n in range(first, last)
    ]


def page(first: int, *, more: bool) -> httpx.Response:
    info = {"hasNextPage": more, "endCursor": f"c{first}"}
    return answered({"productVariants": {"pageInfo": info, "nodes": nodes(first, first + 10)}})


STARTED = answered({"bulkOperationRunQuery": {"bulkOperation": {"id": "gid://b/1"}, "userErrors": []}})
PAGES = [page(10 * n, more=True) for n in range(documents.PAGES_BEFORE_BULK)]
READ = 10 * documents.PAGES_BEFORE_BULK


def state(status: str, url: str | None = None, code: str | None = None) -> httpx.Response:
    return answered({"bulkOperation": {"status": status, "errorCode": code, "url": url}})


async def test_a_bulk_read_is_waited_for_and_asks_only_for_what_pages_have_not_told() -> None:
    """With longer and longer waits; its lines come in any order; the file is fetched without the token."""
    lines = b"".join(json.dumps(node).encode() + b"\n" for node in reversed(nodes(READ, READ + 300)))
    clock = HandClock()
    running = [state("CREATED"), *[state("RUNNING")] * 5]
    file = httpx.Response(200, content=lines)
    made, asked = channel(
        *PAGES, STARTED, *running, state("COMPLETED", "https://files.example.com/1.jsonl"), file, clock=clock
    )
    items = await listed(made)
    assert [item.sku for item in items] == [f"S{n}" for n in range(READ + 300)]
    started = json.loads(asked.bodies[documents.PAGES_BEFORE_BULK])["variables"]["query"]
    assert f'"id:>{READ - 1}"' in started
    assert LOCATION in started
    assert clock.slept == [1, 2, 4, 8, 10, 10, 10]
    assert str(asked.requests[-1].url) == "https://files.example.com/1.jsonl"
    assert "x-shopify-access-token" not in asked.requests[-1].headers


async def test_a_store_that_is_too_busy_to_say_how_far_it_is_is_asked_again_later() -> None:
    """It goes on with the file all the same; page by page would take the larger part of an hour."""
    busy = [httpx.Response(503)] * 6
    file = httpx.Response(200, content=json.dumps(nodes(READ, READ + 1)[0]).encode())
    made, _ = channel(*PAGES, STARTED, *busy, state("COMPLETED", "https://files.example.com/1"), file)
    with capture_logs() as logs:
        items = await listed(made)
    assert [item.sku for item in items] == [f"S{n}" for n in range(READ + 1)]
    assert not [line for line in logs if line["event"] == "no bulk read"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([state("FAILED", code="ACCESS_DENIED")], "FAILED (ACCESS_DENIED)"),
        ([state("EXPIRED")], "EXPIRED"),
        ([state("CANCELED")], "CANCELED"),
        ([state("COMPLETED", "http://files.example.com/1")], "without encryption"),
        ([state("COMPLETED", "https://files.example.com/1"), httpx.Response(403)], "HTTP 403"),
        (
            [state("COMPLETED", "https://files.example.com/1"), httpx.Response(200, content=b"{")],
            "unexpected",
        ),
        (
            [
                state("COMPLETED", "https://files.example.com/1"),
                httpx.Response(200, content=b'{"id":"gid://shopify/ProductVariant/60","sku":"S60"}\n'),
            ],
            "inventoryItem",
        ),
    ],
)
async def test_a_bulk_read_that_fails_in_whichever_way_is_told_and_pages_go_on(
    answers: list[httpx.Response], words: str
) -> None:
    """From where they were: nothing is read twice, nothing is left out."""
    made, _ = channel(*PAGES, STARTED, *answers, page(READ, more=False))
    with capture_logs() as logs:
        items = await listed(made)
    assert [item.sku for item in items] == [f"S{n}" for n in range(READ + 10)]
    assert [words in line["reason"] for line in logs if line["event"] == "no bulk read"] == [True], logs


async def test_a_bulk_read_that_found_nothing_has_no_file() -> None:
    """Then the pages before it were all."""
    made, _ = channel(*PAGES, STARTED, state("COMPLETED"))
    assert len(await listed(made)) == READ
