"""The Shopify adapter sits the exam, against a simulated shop in its own process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.channels.clock import WallClock
from tests.sandbox import Sandbox, start_shop

from sfsync.channels import shopify_documents as documents
from sfsync.channels.config import ShopifyConfig
from sfsync.channels.shopify import ShopifyChannel
from sfsync.channels.shopify_orders import ORDER_TOPICS
from sfsync.ports import Channel, OrderTimes, Refused, Severity, Unknown, Write
from sfsync.testing import (
    ChannelExam,
    Counterpart,
    PostBox,
    Trouble,
    Webhook,
    heard,
    listed,
    new_key,
    orders,
    post_box,
)

ECHO = "inventory_levels/update"  # what a store sends for each number that changes, whoever changed it
PLAIN = ("BAG-1", "BAG-2", "SHOE-38", "SHOE-39", "SCARF", "belt")
ODD = (
    'quoted "name"',
    "back\\slash",
    "with blank",
    "a:b(c)",
    "AND",
    "Größe ¾ 靴",
    "star*",
    "o'clock",
    "x/y",
    "L" * 200,
)
SEED = {
    "locations": ["London"],
    "variants": [
        *({"sku": sku, "title": sku, "available": {"London": 1000}} for sku in (*PLAIN, *ODD)),
        {"sku": "bag-1", "title": "another case", "available": {"London": 4}},
        {"sku": "BAG", "title": "a shorter name", "available": {"London": 4}},
        {"sku": "TWICE", "title": "first", "available": {"London": 1}},
        {"sku": "TWICE", "title": "second", "available": {"London": 2}},
        {"sku": "LOOSE", "title": "nobody counts these", "tracked": False},
        {"sku": "SET", "title": "a bag with its scarf", "requires_components": True},
        {"sku": "BEYOND", "title": "sold beyond", "available": {"London": 1}, "inventory_policy": "CONTINUE"},
        {"sku": None, "title": "without a name"},
        *({"sku": f"MANY-{n}", "title": "one of many", "available": {"London": 1}} for n in range(250)),
    ],
}
TROUBLES: dict[Trouble, dict[str, Any]] = {
    Trouble.TOO_MUCH: {"kind": "throttled"},
    Trouble.DOWN: {"kind": "unavailable", "seconds": 1},
    Trouble.CUT_BEFORE: {"kind": "cut_before"},
    Trouble.CUT_AFTER: {"kind": "cut_after"},
    Trouble.HALF_ANSWER: {"kind": "half_answer"},
    Trouble.ERROR_AFTER: {"kind": "error_after"},
    Trouble.SILENCE_AFTER: {"kind": "delay_after", "seconds": 60},
    Trouble.NOT_APPLIED: {"kind": "not_applied"},
}


OTHERWISE = (
    "stale_rows=first",
    "failed_key=same_errors",
    "key_scope=operation",
    "sku_match=prefix",
    "connection_cost=logarithmic",
    "edit_raises=new_line",
    "cancel_emits_refund=false",
    "cancel_seconds=0.2",
    "create_emits_updated=true",
    "webhook_id_per_attempt=true",
)


class Shop(Counterpart):
    """The simulated shop as the exam needs it; its control port is the truth."""

    location = "online"
    plain = PLAIN
    odd_names = ODD
    duplicate = "TWICE"
    untracked = "LOOSE"
    bundle = "SET"
    oversold = "BEYOND"

    def __init__(self, ready: Mapping[str, Any], http: httpx.AsyncClient, box: PostBox) -> None:
        self._http, self._box, self.ready = http, box, ready
        self.config = ShopifyConfig(
            name="london",
            url=ready["url"],
            locations={"online": ready["locations"][0]["id"]},
            access_token=ready["access_token"],
            webhook_secrets=("an older one", ready["webhook_secret"]),
            shop_domain=ready["shop_domain"],
            timeout_seconds=4,
        )
        self.secrets = (ready["access_token"], ready["client_secret"], ready["webhook_secret"])
        self.opened: list[Channel] = []
        self.channel = self.open(self.config)

    def open(self, config: ShopifyConfig) -> ShopifyChannel:
        made = ShopifyChannel(config, WallClock())
        self.opened.append(made)
        return made

    def reader(self) -> Channel:
        return self.open(replace(self.config, read_only=True))

    def stranger(self) -> Channel:
        return self.open(replace(self.config, access_token="shpat_of_nobody"))

    async def shows(self, sku: str) -> int:
        levels = (await self.get("/levels"))["levels"]
        return int(next(level["available"] for level in levels if level["sku"] == sku))

    async def trouble(self, trouble: Trouble) -> None:
        await self.fault(match="inventoryAdjustQuantities", **TROUBLES[trouble])

    async def fault(self, **order: Any) -> None:
        await self.tell("POST", "/faults", order)

    async def until_struck(self) -> None:
        """The trouble that was ordered has met its call."""
        async with asyncio.timeout(30):
            while (await self.get("/faults"))["faults"]:  # noqa: ASYNC110 — the shop is another process
                await asyncio.sleep(0.01)

    async def taken(self) -> Counter[str]:
        """What the shop's own log says it took off its numbers for orders, by SKU."""
        log = (await self.get(f"/log?since={self._log_began}"))["changes"]
        taken: Counter[str] = Counter()
        for row in log:
            if row["order"]:
                taken[row["sku"]] -= row["delta"]
        return taken

    async def get(self, path: str) -> Any:
        return (await self._http.get(f"{self.ready['control_url']}{path}")).raise_for_status().json()

    async def sell(self, units: Mapping[str, int], **more: Any) -> str:
        rows = [{"sku": sku, "quantity": quantity} for sku, quantity in units.items()]
        order = await self.act("buy", {"line_items": rows, **more})
        return str(order["id"])

    async def cancel(self, order_id: str) -> None:
        await self.act(f"orders/{order_id}/cancel", {"restock": True})

    async def act(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self._http.post(f"{self.ready['url']}/storefront/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def begin(self) -> None:
        """What happened before, in other tests, is none of this one's."""
        await self.tell("DELETE", "/faults")
        of_app = (await self.tell("POST", "/webhook-target", {"url": self._box.url})).json()["topics"]
        await self.tell("POST", "/webhook-target", {"url": self._box.url, "topics": [*of_app, ECHO]})
        for sku in PLAIN:
            await self.tell("POST", "/stock", {"sku": sku, "location": "London", "set": 1000})
        self._log_began = (await self.get("/log"))["next"]
        await self.later(2)

    async def later(self, seconds: float = 2.0) -> None:
        """The shop's clock moves on."""
        answer = await self.tell("POST", "/clock", {"seconds": seconds})
        if not hasattr(self, "began_at"):
            self.began_at = datetime.fromtimestamp(answer.json()["now_ms"] / 1000, UTC)

    async def tell(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Turn a switch of the shop's."""
        url = f"{self.ready['control_url']}{path}"
        return (await self._http.request(method, url, json=body)).raise_for_status()

    async def webhooks(self, count: int) -> list[Webhook]:
        return await self._box.first(count, lambda each: each.headers.get("x-shopify-topic") in ORDER_TOPICS)

    async def echo(self) -> Webhook:
        (first,) = await self._box.first(1, lambda each: each.headers.get("x-shopify-topic") == ECHO)
        return first


@asynccontextmanager
async def visit(sandbox: Sandbox) -> AsyncIterator[Shop]:
    """A shop as one test finds it: trouble forgotten, shelves filled, webhooks sent to this test."""
    async with post_box() as box, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        shop = Shop(sandbox.ready, http, box)
        await shop.begin()
        try:
            yield shop
        finally:
            for channel in shop.opened:
                await channel.close()


@pytest.fixture(scope="module")
def rich_shop() -> Iterator[Sandbox]:
    """A shop with points in plenty."""
    with start_shop(SEED, options=["--plan", "enterprise"]) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def other_shop() -> Iterator[Sandbox]:
    """The same shop where the documents leave open how it behaves, and it chooses otherwise."""
    with start_shop(SEED, knobs=OTHERWISE, options=["--plan", "enterprise"]) as sandbox:
        yield sandbox


@pytest.fixture
async def party(rich_shop: Sandbox) -> AsyncIterator[Shop]:
    """The other party of the exam."""
    async with visit(rich_shop) as shop:
        yield shop


@pytest.fixture
async def standard() -> AsyncIterator[Shop]:
    """A shop of the plan with the fewest points, all of them there."""
    with start_shop(SEED, options=["--plan", "standard"]) as sandbox:
        async with visit(sandbox) as shop:
            yield shop


class TestShopify(ChannelExam):
    """The exam, and what only this dialect has."""

    def unknown_item(self) -> str:
        return "gid://shopify/InventoryItem/404404404"

    async def test_a_push_still_under_way_is_unknown_until_it_is_done(self, party: Shop) -> None:
        """The store answers a repetition meanwhile with a refusal that is none."""
        (item,) = await listed(party.channel, {"BAG-1"})
        write = Write("BAG-1", item.location, item.item_id, item.location_id, delta=-1)
        body = party.channel.encode(new_key(), [write])
        await party.fault(kind="delay_inside", match="inventoryAdjustQuantities", seconds=2)
        first = asyncio.create_task(party.channel.push(body))
        await party.until_struck()
        with pytest.raises(Unknown, match="under way"):
            await party.channel.push(body)
        assert (await first).applied
        assert (await party.channel.push(body)).applied
        assert await party.shows("BAG-1") == item.shows - 1

    async def test_a_push_that_failed_inside_asks_for_a_new_key(self, party: Shop) -> None:
        """The store does not know; asked again with the same key, it says that the key is burnt."""
        (item,) = await listed(party.channel, {"BAG-1"})
        write = Write("BAG-1", item.location, item.item_id, item.location_id, delta=-1)
        body = party.channel.encode(new_key(), [write])
        await party.fault(kind="internal_error", match="inventoryAdjustQuantities")
        with pytest.raises(Unknown):
            await party.channel.push(body)
        answer = await party.channel.push(body)
        assert (answer.applied, answer.key_spent) == (False, True)
        assert (await party.channel.push(party.channel.encode(new_key(), [write]))).applied
        assert await party.shows("BAG-1") == item.shows - 1

    async def test_every_turn_of_an_order_is_told_alike_by_webhook_and_by_poll(self, party: Shop) -> None:
        """After each, what was taken is what the shop's own log says."""
        order_id = await party.sell(
            {"BAG-1": 3, "BAG-2": 2, "SCARF": 1}, note_attributes={"sfsync_reservation": "r1"}
        )
        turns: list[tuple[str, dict[str, Any]]] = [
            ("fulfil", {"line_items": [{"sku": "BAG-1", "quantity": 2}]}),
            ("refund", {"line_items": [{"sku": "BAG-2", "quantity": 1}], "restock": False}),
            ("edit", {"line_items": [{"sku": "SCARF", "delta": 2}, {"sku": "belt", "delta": 1}]}),
            ("edit", {"line_items": [{"sku": "SCARF", "delta": -1}]}),
            ("refund", {"line_items": [{"sku": "BAG-1", "quantity": 2}], "restock": True}),
            ("fulfil", {}),
            ("refund", {"line_items": [{"sku": "SCARF", "quantity": 1}], "restock": False}),
        ]
        for verb, body in turns:
            await party.act(f"orders/{order_id}/{verb}", body)
            (polled,) = await orders(party.channel, party.began_at)
            assert await heard(party, polled)
            assert Counter({line.sku: line.taken_quantity for line in polled.lines}) == +await party.taken()
        assert polled.reservations == ("r1",)
        assert {
            line.sku: (line.open_quantity, line.fulfilled_quantity, line.returned_quantity)
            for line in polled.lines
        } == {"BAG-1": (0, 2, 1), "BAG-2": (0, 1, 0), "SCARF": (0, 2, 0), "belt": (0, 1, 0)}

    async def test_the_pieces_that_lines_name_are_told_alike_by_webhook_and_by_poll(
        self, party: Shop
    ) -> None:
        """Two of one bag, each with its number, are two lines; and whose they are stands on the order."""
        rows = [
            {"sku": "BAG-1", "quantity": 1, "properties": {"sfsync_unit": piece}} for piece in ("A-1", "A-2")
        ]
        await party.act("buy", {"line_items": rows, "note_attributes": {"sfsync_client": "C7"}})
        (polled,) = await orders(party.channel, party.began_at)
        assert await heard(party, polled)
        assert [(line.unit, line.open_quantity) for line in polled.lines] == [("A-1", 1), ("A-2", 1)]
        assert polled.client == "C7"

    async def test_a_cancellation_without_an_answer_is_unknown_and_done_once(self, party: Shop) -> None:
        """The store did it, and the line broke: asked again it says that the order is cancelled already."""
        order_id = await party.sell({"BAG-1": 2})
        await party.fault(kind="cut_after", match="orderCancel")
        with pytest.raises(Unknown):
            await party.channel.cancel_order(order_id, refund=True, notify=False, note="no stock")
        order = await party.channel.order(order_id)
        assert order is not None
        assert [(line.open_quantity, line.taken_quantity) for line in order.lines] == [(0, 2)]
        with pytest.raises(Refused, match="cancelled already"):
            await party.channel.cancel_order(order_id, refund=True, notify=False, note="no stock")

    async def test_an_order_of_the_counter_names_its_place(self, party: Shop) -> None:
        """Where the sale was made, when that is one of ours."""
        await party.sell({"BAG-1": 1}, source_name="pos", location="London")
        (polled,) = await orders(party.channel, party.began_at)
        assert polled.channel_location == "online"
        assert await heard(party, polled)

    async def test_a_large_order_is_polled_whole(self, party: Shop) -> None:
        """More lines, parcels and refunds than a page of the order list shows."""
        skus = [*PLAIN, *ODD]
        order_id = await party.sell(dict.fromkeys(skus, 9))
        for sku in skus[:7]:
            await party.act(f"orders/{order_id}/fulfil", {"line_items": [{"sku": sku, "quantity": 3}]})
        await party.act(f"orders/{order_id}/fulfil", {})
        for sku in skus[:8]:
            await party.act(f"orders/{order_id}/refund", {"line_items": [{"sku": sku, "quantity": 2}]})
        (polled,) = await orders(party.channel, party.began_at)
        assert len(polled.lines) == len(skus) > documents.ORDER_LINES
        assert {line.fulfilled_quantity for line in polled.lines} == {9}
        assert sum(line.returned_quantity for line in polled.lines) == 16
        assert await heard(party, polled)

    async def test_many_orders_are_polled_oldest_change_first(self, party: Shop) -> None:
        """Through several pages, each order once."""
        ids = [await party.sell({"BAG-1": 1}) for _ in range(documents.ORDERS_ROWS + 2)]
        await party.later(2)
        await party.act(f"orders/{ids[0]}/fulfil", {})
        pages = [page async for page in party.channel.orders_since(party.began_at)]
        assert [len(page) for page in pages] == [documents.ORDERS_ROWS, 2]
        told = [order.order_id for page in pages for order in page]
        assert sorted(told) == sorted(ids)
        assert told[-1] == ids[0]

    async def test_the_times_of_orders_are_those_of_the_orders(self, party: Shop) -> None:
        """Which orders have changed, and to which second: as the order list itself tells them."""
        ids = [await party.sell({"BAG-1": 1}) for _ in range(3)]
        await party.later(2)
        await party.act(f"orders/{ids[0]}/fulfil", {})
        assert isinstance(party.channel, OrderTimes)
        read = await orders(party.channel, party.began_at)
        told = [head async for page in party.channel.order_times(party.began_at) for head in page]
        assert told == [(order.order_id, order.version.replace(microsecond=0)) for order in read]
        assert sorted(order_id for order_id, _ in told) == sorted(ids)

    async def test_a_token_asked_for_and_revoked_is_asked_for_again(self, party: Shop) -> None:
        """With the app's own credentials, amid the work."""
        credentials = {name: party.ready[name] for name in ("client_id", "client_secret")}
        made = party.open(replace(party.config, access_token="", **credentials))
        assert len(await listed(made, {"BAG-1"})) == 1
        await party.tell("DELETE", "/tokens")
        assert len(await listed(made, {"BAG-1"})) == 1
        nobody = replace(party.config, access_token="", client_id="nobody", client_secret="hush")
        stranger = party.open(nobody)
        (finding,) = await stranger.check()
        assert finding.severity is Severity.FATAL
        assert "hush" not in finding.what
        assert "client_secret" in finding.remedy

    async def test_a_location_that_is_not_the_stores_is_fatal(self, party: Shop) -> None:
        """The remedy lists the store's own."""
        made = party.open(replace(party.config, locations={"online": "gid://shopify/Location/404"}))
        fatal = [finding for finding in await made.check() if finding.severity is Severity.FATAL]
        assert len(fatal) == 1
        assert f"London = {party.config.locations['online']}" in fatal[0].remedy

    async def test_another_store_than_configured_is_fatal(self, party: Shop) -> None:
        """A sandbox's address with production's name, or the other way round."""
        made = party.open(replace(party.config, shop_domain="paris.myshopify.com"))
        fatal = [finding for finding in await made.check() if finding.severity is Severity.FATAL]
        assert ["paris.myshopify.com" in finding.what for finding in fatal] == [True]

    async def test_a_retired_api_version_is_a_warning(self, party: Shop) -> None:
        """The store answers it with another, and says so in a header only."""
        made = party.open(replace(party.config, api_version="2025-07"))
        with capture_logs() as logs:
            warnings = [finding for finding in await made.check() if finding.severity is Severity.WARNING]
            await listed(made, {"BAG-1"})
        assert ["2025-07" in finding.what and "2026-01" in finding.what for finding in warnings] == [True]
        assert [(line["asked"], line["answered"]) for line in logs] == [("2025-07", "2026-01")]

    async def test_a_full_push_is_one_call(self, party: Shop) -> None:
        """Every row that the store takes in one, and reading them all back in pages."""
        items = await listed(party.channel)
        writes = [
            Write(item.sku, item.location, item.item_id, item.location_id, delta=1)
            for item in items
            if item.sku.startswith("MANY")
        ]
        assert len(writes) == party.channel.ability.batch_rows
        before = (await party.get("/calls"))["operations"].get("inventoryAdjustQuantities", {"count": 0})
        assert (await party.channel.push(party.channel.encode(new_key(), writes))).applied
        calls = (await party.get("/calls"))["operations"]
        assert calls["inventoryAdjustQuantities"]["count"] == before["count"] + 1
        after = {item.sku: item.shows for item in await listed(party.channel)}
        assert {after[write.sku] for write in writes} == {2}


class TestShopifyOtherwise(ChannelExam):
    """The exam again, for what nobody has promised."""

    @pytest.fixture
    async def party(self, other_shop: Sandbox) -> AsyncIterator[Shop]:
        """The other party, in its other manners."""
        async with visit(other_shop) as shop:
            yield shop

    def unknown_item(self) -> str:
        return "gid://shopify/InventoryItem/404404404"


class TestShopifyPoints:
    """Reading and writing on few points."""

    @pytest.mark.slow
    async def test_reading_a_whole_store_is_never_told_to_slow_down(self, standard: Shop) -> None:
        """Points are waited for before the store has to say no."""
        for _ in range(2):
            assert len(await listed(standard.channel)) > 250
        assert (await standard.get("/calls"))["throttled"] == 0

    async def test_a_push_goes_first_while_a_store_is_read(self, standard: Shop) -> None:
        """A resync leaves points for sales."""
        (item,) = await listed(standard.channel, {"BAG-1"})
        reading = asyncio.create_task(_read_often(standard.channel))
        for _ in range(5):
            write = Write("BAG-1", item.location, item.item_id, item.location_id, delta=-1)
            assert (await standard.channel.push(standard.channel.encode(new_key(), [write]))).applied
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert await standard.shows("BAG-1") == item.shows - 5
        assert (await standard.get("/calls"))["throttled"] == 0


async def _read_often(channel: Channel) -> None:
    for _ in range(20):
        await listed(channel)
