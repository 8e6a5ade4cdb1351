"""Webhooks of a Shopify store: who signed them, and which are the same."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from tests.channels.shopify_bench import OLD_SECRET, SECRET, adjusted, channel

from sfsync.channels.shopify import ShopifyChannel
from sfsync.ports import Delivery, Forged, LevelHint, Refused

BODY = '{"id": 1, "name": "#1001 – Zoë"}'.encode()


def headers(body: bytes = BODY, secret: str = SECRET, **changes: str | None) -> dict[str, str]:
    signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    told = {
        "x-shopify-topic": "orders/create",
        "x-shopify-hmac-sha256": signature,
        "x-shopify-shop-domain": "london.myshopify.com",
        "x-shopify-event-id": "e-1",
        "x-shopify-webhook-id": "w-1",
        **{f"x-shopify-{name.replace('_', '-')}": value for name, value in changes.items()},
    }
    return {name: value for name, value in told.items() if value is not None}


@pytest.fixture
def london() -> ShopifyChannel:
    return channel(adjusted())[0]


async def test_a_signed_webhook_is_a_delivery(london: ShopifyChannel) -> None:
    """Topic and raw body are handed on as they came."""
    delivery = london.receive(headers(), BODY)
    assert (delivery.topic, delivery.body) == ("orders/create", BODY)


async def test_a_webhook_signed_with_the_old_secret_is_still_believed(london: ShopifyChannel) -> None:
    """Secrets are changed while webhooks are under way."""
    assert london.receive(headers(secret=OLD_SECRET), BODY).topic == "orders/create"


@pytest.mark.parametrize(
    ("told", "body"),
    [
        (headers(secret="another's"), BODY),
        (headers(), BODY[:-1]),
        (headers(), BODY + b" "),
        (headers(), b""),
        (headers(b""), b""),
        (headers(hmac_sha256=None), BODY),
        (headers(hmac_sha256=""), BODY),
        (headers(hmac_sha256="ünicode"), BODY),
        (headers(topic=None), BODY),
        (headers(shop_domain="evil.myshopify.com"), BODY),
        (headers(shop_domain=None), BODY),
        ({}, BODY),
        ({name.title(): value for name, value in headers().items()}, BODY),
    ],
    ids=[
        "another's secret",
        "truncated",
        "longer",
        "body lost",
        "empty, rightly signed",
        "no signature",
        "blank signature",
        "signature not ASCII",
        "no topic",
        "another store",
        "no store",
        "no headers",
        "header names not in lower case",
    ],
)
async def test_a_webhook_that_the_store_did_not_send_is_forged(
    london: ShopifyChannel, told: dict[str, str], body: bytes
) -> None:
    """Nothing of it may be believed, and the reason tells no secret."""
    with pytest.raises(Forged) as caught:
        london.receive(told, body)
    assert SECRET not in str(caught.value)


async def test_without_a_secret_every_webhook_is_forged() -> None:
    """Not even an empty key is a signature."""
    made, _ = channel(adjusted(), webhook_secrets=())
    with pytest.raises(Forged, match="no webhook secret"):
        made.receive(headers(secret=""), BODY)


async def test_a_webhook_that_comes_again_has_the_same_key(london: ShopifyChannel) -> None:
    """Whatever id the attempt itself has."""
    first = london.receive(headers(webhook_id="w-1"), BODY)
    again = london.receive(headers(webhook_id="w-2", triggered_at="later"), BODY)
    assert first.dedup_key == again.dedup_key


async def test_different_news_has_different_keys(london: ShopifyChannel) -> None:
    """One event id covers several topics, and one act of a merchant may touch several orders."""
    other = BODY.replace(b"1001", b"1002")
    keys = {
        london.receive(headers(), BODY).dedup_key,
        london.receive(headers(topic="orders/updated"), BODY).dedup_key,
        london.receive(headers(event_id="e-2"), BODY).dedup_key,
        london.receive(headers(other), other).dedup_key,
    }
    assert len(keys) == 4


async def test_a_webhook_without_event_id_goes_by_its_own(london: ShopifyChannel) -> None:
    """The store's documentation names both."""
    first = london.receive(headers(event_id=None), BODY)
    again = london.receive(headers(event_id=None), BODY)
    other = london.receive(headers(event_id=None, webhook_id="w-2"), BODY)
    assert first.dedup_key == again.dedup_key != other.dedup_key


def level(body: bytes, topic: str = "inventory_levels/update") -> Delivery:
    return Delivery(topic, "key", body)


def test_a_level_is_a_hint_with_the_ids_that_pushes_use(london: ShopifyChannel) -> None:
    """Also one that is not stocked any more, or that stands below nought."""
    told = (
        b'{"inventory_item_id": 7, "location_id": 9, "available": %s, "updated_at": "2026-01-01T00:00:00Z"}'
    )
    for available, shows in ((b"4", 4), (b"-1", -1), (b"null", None)):
        hint = LevelHint("gid://shopify/InventoryItem/7", "gid://shopify/Location/9", shows)
        assert london.level_hint(level(told % available)) == hint
    assert london.level_hint(level(told % b"4", "inventory_levels/connect")) is None
    assert london.read_order(level(told % b"4")) is None


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"inventory_item_id": 7, "location_id": 9}', "available"),
        (b'{"inventory_item_id": "x", "location_id": 9, "available": 1}', "inventory_item_id"),
        (b'{"inventory_item_id": 7, "location_id": 0, "available": 1}', "location_id"),
        (b'{"inventory_item_id": 7, "location_id": 9, "available": 1.5}', "available"),
    ],
)
def test_a_level_that_is_not_whole_is_refused_and_names_the_place(
    london: ShopifyChannel, body: bytes, place: str
) -> None:
    """The subscription leaves fields out, or it is no level."""
    with pytest.raises(Refused, match=f"cannot be read: {place}: "):
        london.level_hint(level(body))
