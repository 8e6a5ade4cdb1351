"""What the simulated shop tells the world, and how it insists."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from itertools import pairwise
from typing import Any

import pytest
from tests.simulators.shop_kit import SECRET, Client, Received, Receiver, opened, receiving, topics, until

from sfsync.simulators.shopify import Knobs, ShopClock

NOW = 1_795_000_000.0
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"

# The fields that matter for stock, by topic. A type, or a text for a pattern; None may stand for any of them.
LINE_ITEM: dict[str, Any] = {
    "id": int,
    "admin_graphql_api_id": r"gid://shopify/LineItem/\d+",
    "sku": (str, None),
    "variant_id": (int, None),
    "product_id": (int, None),
    "product_exists": bool,
    "quantity": int,
    "current_quantity": int,
    "fulfillable_quantity": int,
    "fulfillment_service": str,
    "fulfillment_status": (str, None),
    "requires_shipping": bool,
    "gift_card": bool,
    "variant_inventory_management": (str, None),
    "properties": list,
    "sales_line_item_group_id": (int, None),
}
ORDER: dict[str, Any] = {
    "id": int,
    "admin_graphql_api_id": r"gid://shopify/Order/\d+",
    "name": r"#\d+",
    "order_number": int,
    "created_at": TIME,
    "updated_at": TIME,
    "processed_at": TIME,
    "cancelled_at": (TIME, None),
    "cancel_reason": (str, None),
    "closed_at": (TIME, None),
    "financial_status": str,
    "fulfillment_status": (str, None),
    "location_id": (int, None),
    "source_name": str,
    "app_id": (int, None),
    "test": bool,
    "tags": str,
    "note_attributes": list,
    "line_items": [LINE_ITEM],
    "fulfillments": list,
    "refunds": list,
    "returns": list,
}
REFUND_LINE: dict[str, Any] = {
    "id": int,
    "line_item_id": int,
    "quantity": int,
    "restock_type": "no_restock|cancel|return|legacy_restock",
    "location_id": (int, None),
    "line_item": LINE_ITEM,
}
FULFILLMENT_LINE = {"id": int, "sku": (str, None), "variant_id": (int, None), "quantity": int}
EDITED_LINE = {"id": int, "delta": int}
ASSIGNED = {"id": r"gid://shopify/FulfillmentOrder/\d+", "status": str, "assigned_location_id": str}
FULFILLMENT: dict[str, Any] = {
    "id": int,
    "order_id": int,
    "status": str,
    "location_id": (int, None),
    "created_at": TIME,
    "updated_at": TIME,
    "name": str,
    "tracking_number": (str, None),
    "tracking_numbers": list,
    "line_items": [FULFILLMENT_LINE],
}
PAYLOADS: dict[str, dict[str, Any]] = {
    "orders/create": ORDER,
    "orders/updated": ORDER,
    "orders/cancelled": ORDER,
    "orders/fulfilled": ORDER,
    "orders/partially_fulfilled": ORDER,
    "orders/edited": {
        "order_edit": {
            "id": int,
            "order_id": int,
            "app_id": (int, None),
            "created_at": TIME,
            "committed_at": TIME,
            "notify_customer": bool,
            "staff_note": (str, None),
            "user_id": (int, None),
            "line_items": {"additions": [EDITED_LINE], "removals": [EDITED_LINE]},
            "discounts": dict,
            "shipping_lines": dict,
        }
    },
    "refunds/create": {
        "id": int,
        "order_id": int,
        "created_at": TIME,
        "processed_at": TIME,
        "note": (str, None),
        "restock": bool,
        "user_id": (int, None),
        "return": (dict, None),
        "refund_line_items": [REFUND_LINE],
        "transactions": list,
        "order_adjustments": list,
    },
    "fulfillments/create": FULFILLMENT,
    "fulfillments/update": FULFILLMENT,
    "inventory_levels/update": {
        "inventory_item_id": int,
        "location_id": int,
        "available": (int, None),
        "updated_at": TIME,
        "admin_graphql_api_id": r"gid://shopify/InventoryLevel/\d+\?inventory_item_id=\d+",
    },
    "inventory_levels/connect": {
        "inventory_item_id": int,
        "location_id": int,
        "available": (int, None),
        "updated_at": TIME,
        "admin_graphql_api_id": str,
    },
    "variants/in_stock": {
        "id": int,
        "product_id": int,
        "sku": (str, None),
        "inventory_policy": str,
        "inventory_quantity": int,
        "old_inventory_quantity": int,
        "updated_at": TIME,
    },
    "variants/out_of_stock": {
        "id": int,
        "product_id": int,
        "sku": (str, None),
        "inventory_policy": str,
        "inventory_quantity": int,
        "old_inventory_quantity": int,
        "updated_at": TIME,
    },
    "fulfillment_orders/order_routing_complete": {
        "fulfillment_order": {"id": r"gid://shopify/FulfillmentOrder/\d+", "status": str}
    },
    "fulfillment_orders/moved": {
        "original_fulfillment_order": ASSIGNED,
        "moved_fulfillment_order": ASSIGNED,
        "destination_location_id": r"gid://shopify/Location/\d+",
        "source_location": {"id": str},
        "fulfillment_order_line_items_requested": [{"id": str, "quantity": int}],
    },
}
HEADERS = {
    "x-shopify-topic": r"[a-z_]+/[a-z_]+",
    "x-shopify-hmac-sha256": r"[A-Za-z0-9+/]{43}=",
    "x-shopify-shop-domain": r"london\.myshopify\.test",
    "x-shopify-api-version": r"2026-10",
    "x-shopify-webhook-id": r"[0-9a-f-]{36}",
    "x-shopify-event-id": r"[0-9a-f-]{36}",
    "x-shopify-triggered-at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z",
    "content-type": "application/json",
}


def misfits(value: Any, rule: Any, where: str = "") -> list[str]:
    """Where a payload differs from its table."""
    if isinstance(rule, tuple):
        return (
            []
            if any(
                (part is None and value is None) or (part is not None and not misfits(value, part))
                for part in rule
            )
            else [where]
        )
    if isinstance(rule, list):
        return [bad for n, row in enumerate(value) for bad in misfits(row, rule[0], f"{where}[{n}]")]
    if isinstance(rule, dict):
        missing = [f"{where}.{name} is missing" for name in rule if name not in value]
        return missing or [
            bad for name, part in rule.items() for bad in misfits(value[name], part, f"{where}.{name}")
        ]
    if isinstance(rule, str):
        return [] if isinstance(value, str) and re.fullmatch(rule, value) else [f"{where}: {value!r}"]
    return [] if type(value) is rule else [f"{where}: {value!r}"]


def signed(webhook: Received, secret: str = SECRET) -> bool:
    """Whether the signature is that of the raw body."""
    digest = hmac.new(secret.encode(), webhook.body, hashlib.sha256).digest()
    return webhook.headers["x-shopify-hmac-sha256"] == base64.b64encode(digest).decode()


async def every_topic(shop: Client) -> None:
    """Do everything that the shop tells of."""
    order = await shop.bought("BAG-1", 3, reference="b", note_attributes={"reservation": "r"})
    other = await shop.bought("BAG-2", 4)
    for verb, body in (
        ("edit", {"line_items": [{"sku": "BAG-1", "delta": 1}, {"sku": "BAG-2", "delta": 1}]}),
        ("edit", {"line_items": [{"sku": "BAG-1", "delta": -1}]}),
        ("move", {"location": "Store"}),
        ("fulfil", {}),
        ("unfulfil", {}),
        ("fulfil", {"line_items": [{"sku": "BAG-1", "quantity": 1}]}),
        ("refund", {"line_items": [{"sku": "BAG-1", "quantity": 3, "restock": True}]}),
        ("fulfil", {}),
    ):
        assert (await shop.staff(order, verb, **body)).status_code == 200
    assert (await shop.staff(other, "cancel", restock=True)).status_code == 200
    await shop.shop.webhooks.settle()


async def test_every_payload_has_the_fields_that_matter_for_stock() -> None:
    """Each topic is sent, and each webhook fits its table, headers and signature included."""
    async with (
        receiving() as receiver,
        opened(webhook_url=receiver.url, webhook_topics=list(PAYLOADS)) as shop,
    ):
        await every_topic(shop)
        assert topics(receiver.received) == set(PAYLOADS)
        for webhook in receiver.received:
            assert misfits(webhook.payload, PAYLOADS[webhook.topic], webhook.topic) == []
            assert misfits(dict(webhook.headers), HEADERS) == []
            assert signed(webhook)


async def test_a_sale_is_told_at_once_with_what_was_sold() -> None:
    """orders/create carries attributes, reference and line items; not the place that was charged."""
    async with receiving() as receiver, opened(webhook_url=receiver.url) as shop:
        order = await shop.bought("BAG-1", 2, reference="buyer-1", note_attributes={"reservation": "r-1"})
        (webhook,) = await receiver.wait("orders/create")
        told = webhook.payload
        assert (told["id"], told["name"]) == (order["id"], order["name"])
        assert told["note_attributes"] == [{"name": "reservation", "value": "r-1"}]
        assert told["source_identifier"] == "buyer-1"
        assert told["location_id"] is None
        line = told["line_items"][0]
        assert (line["sku"], line["quantity"], line["current_quantity"]) == ("BAG-1", 2, 2)
        assert line["id"] == order["line_items"][0]["id"]
        assert line["variant_inventory_management"] == "shopify"


async def test_topics_that_nobody_asked_for_are_not_sent() -> None:
    """Inventory hints come only to those who subscribe."""
    async with receiving() as receiver, opened(webhook_url=receiver.url) as shop:
        await shop.set(shop.row("BAG-1", quantity=1))
        await shop.bought("BAG-1")
        await receiver.wait("orders/create")
        await shop.shop.webhooks.settle()
        assert not receiver.of("inventory_levels/update")


async def test_an_inventory_webhook_shows_the_level_when_it_is_built_and_not_the_change() -> None:
    """Two quick changes may both show the final number, without a cause or an author."""
    lag = Knobs(inventory_payload_lag_seconds=60)
    topic = "inventory_levels/update"
    async with (
        receiving() as receiver,
        opened(
            webhook_url=receiver.url, webhook_topics=[topic], knobs=lag, clock=ShopClock(frozen_at=NOW)
        ) as shop,
    ):
        await shop.adjust(shop.row("BAG-1", delta=-1))
        await shop.adjust(shop.row("BAG-1", delta=-1))
        await shop.control.post("/clock", json={"seconds": 60})
        hints = await receiver.wait(topic, count=2)
        assert [hint.payload["available"] for hint in hints] == [3, 3]


async def test_a_knob_lets_other_states_send_hints_too() -> None:
    """A fulfilment changes committed only."""
    topic = "inventory_levels/update"
    for setting, sent in (("available", 1), ("any", 3)):
        async with (
            receiving() as receiver,
            opened(
                webhook_url=receiver.url, webhook_topics=[topic], knobs=Knobs(inventory_hints_for=setting)
            ) as shop,
        ):
            order = await shop.bought("BAG-1")
            await shop.staff(order, "fulfil")
            await receiver.wait(topic, count=sent)
            await shop.shop.webhooks.settle()
            assert len(receiver.of(topic)) == sent


async def test_what_one_deed_sets_off_shares_an_event_id() -> None:
    """A cancel with restock: three topics, three webhook ids, one event id."""
    async with receiving() as receiver, opened(webhook_url=receiver.url) as shop:
        order = await shop.bought("BAG-1")
        await shop.staff(order, "cancel", restock=True)
        told = [*await receiver.wait("orders/cancelled"), *await receiver.wait("refunds/create")]
        told += await receiver.wait("orders/updated")
        assert len({each.headers["x-shopify-event-id"] for each in told}) == 1
        assert len({each.headers["x-shopify-webhook-id"] for each in told}) == 3
        refund = receiver.of("refunds/create")[0].payload
        row = refund["refund_line_items"][0]
        assert (row["restock_type"], row["quantity"], row["line_item_id"]) == (
            "cancel",
            1,
            order["line_items"][0]["id"],
        )


async def test_a_knob_leaves_the_refund_of_a_cancel_out() -> None:
    """Whether both fire for an unpaid order is not documented."""
    async with (
        receiving() as receiver,
        opened(webhook_url=receiver.url, knobs=Knobs(cancel_emits_refund=False)) as shop,
    ):
        await shop.staff(await shop.bought("BAG-1"), "cancel", restock=True)
        await receiver.wait("orders/cancelled")
        await shop.shop.webhooks.settle()
        assert not receiver.of("refunds/create")


SUBSCRIBE = """mutation($topic: WebhookSubscriptionTopic!, $wanted: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $wanted) {
    webhookSubscription { id topic uri name format includeFields apiVersion { handle } }
    userErrors { field message }
  }
}"""
LISTED = "{ webhookSubscriptions(first: 10) { nodes { id topic uri name } } }"


async def subscribe(shop: Client, receiver: Receiver, topic: str = "ORDERS_CREATE", **wanted: Any) -> Any:
    """The payload of a new subscription."""
    data = await shop.ask(SUBSCRIBE, topic=topic, wanted={"uri": receiver.url, **wanted})
    return data["webhookSubscriptionCreate"]


async def test_a_subscription_is_made_listed_changed_and_removed_by_the_api() -> None:
    """Those of the app's own settings are not listed."""
    async with receiving() as receiver, opened(webhook_url="http://localhost:9/app") as shop:
        made = (await subscribe(shop, receiver, name="stock-1", includeFields=["id", "updated_at"]))[
            "webhookSubscription"
        ]
        assert (made["topic"], made["format"], made["apiVersion"]) == (
            "ORDERS_CREATE",
            "JSON",
            {"handle": "2026-10"},
        )
        assert [each["id"] for each in (await shop.ask(LISTED))["webhookSubscriptions"]["nodes"]] == [
            made["id"]
        ]
        await shop.bought("BAG-1")
        (webhook,) = await receiver.wait("orders/create")
        assert set(webhook.payload) == {"id", "updated_at"}
        assert webhook.headers["x-shopify-name"] == "stock-1"
        change = """mutation($id: ID!, $wanted: WebhookSubscriptionInput!) {
          webhookSubscriptionUpdate(id: $id, webhookSubscription: $wanted) {
            webhookSubscription { includeFields uri } userErrors { message } } }"""
        changed = await shop.ask(change, id=made["id"], wanted={"includeFields": []})
        assert changed["webhookSubscriptionUpdate"]["webhookSubscription"] == {
            "includeFields": [],
            "uri": receiver.url,
        }
        remove = """mutation($id: ID!) {
          webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { message } } }"""
        gone = (await shop.ask(remove, id=made["id"]))["webhookSubscriptionDelete"]
        assert gone == {"deletedWebhookSubscriptionId": made["id"], "userErrors": []}
        assert (await shop.ask(remove, id=made["id"]))["webhookSubscriptionDelete"]["userErrors"]
        assert (await shop.ask(LISTED))["webhookSubscriptions"]["nodes"] == []


@pytest.mark.parametrize(
    "wanted", [{"uri": None}, {"uri": "ftp://x"}, {"name": "no blanks"}, {"name": "x" * 51}]
)
async def test_a_wrong_subscription_is_refused(wanted: dict[str, Any]) -> None:
    """By a user error with its field."""
    async with receiving() as receiver, opened() as shop:
        refused = await subscribe(shop, receiver, **wanted)
        assert refused["webhookSubscription"] is None
        assert refused["userErrors"][0]["field"][0] == "webhookSubscription"


async def test_the_same_address_is_taken_once_for_each_topic() -> None:
    """A second subscription to it is refused."""
    async with receiving() as receiver, opened() as shop:
        await subscribe(shop, receiver)
        assert (await subscribe(shop, receiver))["userErrors"][0]["message"].endswith("already been taken")
        assert (await subscribe(shop, receiver, "INVENTORY_LEVELS_UPDATE"))["userErrors"] == []


async def test_a_failed_delivery_is_repeated_with_the_same_bytes() -> None:
    """The retry shows the order as it was, with the ids and the time of the event."""
    async with (
        receiving([500, 302]) as receiver,
        opened(
            webhook_url=receiver.url, webhook_topics=["orders/create"], clock=ShopClock(frozen_at=NOW)
        ) as shop,
    ):
        order = await shop.bought("BAG-1")
        await receiver.wait("orders/create")
        await shop.staff(order, "cancel", restock=True)
        await forward_until(shop, receiver, 3)
        first, second, third = receiver.of("orders/create")
        assert first.body == second.body == third.body
        assert first.payload["cancelled_at"] is None
        for header in ("x-shopify-webhook-id", "x-shopify-event-id", "x-shopify-triggered-at"):
            assert first.headers[header] == second.headers[header] == third.headers[header]
        await shop.shop.webhooks.settle()
        (delivery,) = await shop.deliveries()
        assert delivery["state"] == "delivered"
        assert [attempt["status"] for attempt in delivery["attempts"]] == [500, 302, 200]


async def forward_until(shop: Client, receiver: Receiver, count: int) -> None:
    """Put the clock forward, whenever nothing is in the air, until so many webhooks came."""
    async with asyncio.timeout(60):
        while len(receiver.received) < count:
            last = [each.attempts[-1] for each in shop.shop.webhooks.deliveries if each.attempts]
            if all("done_ms" in attempt for attempt in last):
                shop.shop.clock.move(25)
            await asyncio.sleep(0.002)


async def test_eight_retries_take_four_hours_and_then_the_subscription_is_gone() -> None:
    """Waits double; a subscription of the app's own settings stays."""
    async with (
        receiving([500] * 100) as receiver,
        opened(
            webhook_url=receiver.url, webhook_topics=["orders/create"], clock=ShopClock(frozen_at=NOW)
        ) as shop,
    ):
        await subscribe(shop, receiver)
        await shop.bought("BAG-1")
        await forward_until(shop, receiver, 18)
        await shop.shop.webhooks.settle()
        for delivery in await shop.deliveries():
            assert delivery["state"] == "failed"
            times = [attempt["at_ms"] / 1000 - NOW for attempt in delivery["attempts"]]
            assert len(times) == 9
            assert times[-1] == pytest.approx(4 * 3600, rel=0.05)
            waits = [later - sooner for sooner, later in pairwise(times)]
            assert all(later > sooner for sooner, later in pairwise(waits))
        assert (await shop.ask(LISTED))["webhookSubscriptions"]["nodes"] == []
        left = (await shop.control.get("/webhooks")).json()["subscriptions"]
        assert [each["by_app"] for each in left] == [True]


async def test_a_time_scale_compresses_the_waits() -> None:
    """A demo need not wait a minute for the first retry."""
    async with (
        receiving([500]) as receiver,
        opened(
            webhook_url=receiver.url, webhook_topics=["orders/create"], clock=ShopClock(time_scale=1000)
        ) as shop,
    ):
        await shop.bought("BAG-1")
        await receiver.wait("orders/create", count=2)


async def test_a_receiver_that_is_down_or_silent_counts_as_failed() -> None:
    """No connection, or no answer within five seconds."""
    async with (
        receiving() as receiver,
        opened(webhook_topics=["orders/create"], clock=ShopClock(frozen_at=NOW)) as shop,
    ):
        receiver.answer_after = asyncio.Event()
        await shop.control.post("/webhook-target", json={"url": receiver.url})
        await shop.bought("BAG-1")
        await shop.control.post("/webhook-target", json={"url": "http://localhost:9/nobody"})
        await shop.bought("BAG-1")
        silent, down = shop.shop.webhooks.deliveries
        await until(
            lambda: (
                silent.attempts
                and "done_ms" in silent.attempts[0]
                and down.attempts
                and "done_ms" in down.attempts[0]
            )
        )
        assert silent.attempts[0]["error"] == "TimeoutError"
        assert down.attempts[0]["error"] == "ConnectError"
        receiver.answer_after.set()


async def test_trouble_with_webhooks_can_be_ordered() -> None:
    """Lost, doubled, late, forged, cut short, and from another shop."""
    async with (
        receiving() as receiver,
        opened(
            webhook_url=receiver.url, webhook_topics=["orders/create"], clock=ShopClock(frozen_at=NOW)
        ) as shop,
    ):
        await shop.fault("lose", match="orders/create")
        await shop.bought("BAG-1")
        assert [each["state"] for each in await shop.deliveries()] == ["lost"]
        await shop.fault("duplicate")
        await shop.bought("BAG-1")
        one, two = await receiver.wait("orders/create", count=2)
        assert one.body == two.body
        assert one.headers["x-shopify-webhook-id"] == two.headers["x-shopify-webhook-id"]
        await shop.fault("late", seconds=600)
        await shop.bought("BAG-1")
        await shop.fault("forge")
        await shop.bought("BAG-1")
        forged = (await receiver.wait("orders/create", count=3))[-1]
        assert not signed(forged)
        await shop.control.post("/clock", json={"seconds": 600})
        late = (await receiver.wait("orders/create", count=4))[-1]
        assert signed(late)
        assert late.payload["order_number"] < forged.payload["order_number"]
        await shop.fault("truncate")
        await shop.bought("BAG-1")
        cut = (await receiver.wait("orders/create", count=5))[-1]
        assert not signed(cut)
        await shop.fault("foreign_shop")
        await shop.bought("BAG-2")
        foreign = (await receiver.wait("orders/create", count=6))[-1]
        assert signed(foreign)
        assert foreign.headers["x-shopify-shop-domain"] != "london.myshopify.test"


async def test_two_webhooks_can_change_places() -> None:
    """The second order is told before the first."""
    async with (
        receiving() as receiver,
        opened(webhook_url=receiver.url, webhook_topics=["orders/create"]) as shop,
    ):
        await shop.fault("reorder")
        first, second = await shop.bought("BAG-1"), await shop.bought("BAG-1")
        told = await receiver.wait("orders/create", count=2)
        assert [each.payload["id"] for each in told] == [second["id"], first["id"]]


async def test_the_control_port_posts_whatever_it_is_told() -> None:
    """Made-up webhooks, rightly or wrongly signed; and a rotated secret."""
    async with receiving() as receiver, opened() as shop:
        sent = {
            "url": receiver.url,
            "topic": "orders/nonsense",
            "payload": [1],
            "headers": {"X-Shopify-Shop-Domain": "x.y"},
        }
        assert (await shop.control.post("/webhooks/send", json=sent)).json() == {"status": 200}
        (made_up,) = await receiver.wait("orders/nonsense")
        assert signed(made_up)
        assert made_up.headers["x-shopify-shop-domain"] == "x.y"
        await shop.control.post(
            "/webhooks/send", json={"url": receiver.url, "raw": "no json", "secret": "guess"}
        )
        (wrong,) = await receiver.wait("orders/create")
        assert wrong.body == b"no json"
        assert not signed(wrong)
        await shop.control.post("/secret", json={"secret": "next"})
        await shop.control.post("/webhook-target", json={"url": receiver.url, "topics": ["orders/create"]})
        await shop.bought("BAG-1")
        rotated = (await receiver.wait("orders/create", count=2))[-1]
        assert signed(rotated, "next")


async def test_a_receiver_on_this_machine_is_never_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the environment says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://localhost:9")
    async with receiving() as receiver, opened(webhook_url=receiver.url) as shop:
        await shop.bought("BAG-1")
        await receiver.wait("orders/create")
