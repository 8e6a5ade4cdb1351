"""Which settings say which shop and place a channel is; all others may change without a new reading."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from sfsync.settings.channel import model_of

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
COMMON = {"url": "https://house.example.com", "locations": {"online": {"id": "7", "sells_from": ["ECOM"]}}}
SHOPIFY = {"shop_domain": "house.myshopify.com", "access_token": "t" * 20, "webhook_secret": "w" * 20}
MIRAKL = {"api_key": "k" * 20}
AMAZON = {
    "seller_id": "A1",
    "marketplace_id": "UK",
    "client_id": "c",
    "client_secret": "s" * 20,
    "refresh_token": "r" * 20,
}
VENDURE = {"api_key": "k" * 20, "webhook_secret": SECRET}
ELSEWHERE = {"online": {"id": "8", "sells_from": ["ECOM"]}}


def identity(kind: str, told: Mapping[str, Any]) -> Any:
    return model_of(kind).model_validate({"kind": kind, **COMMON, **told}).identity()


@pytest.mark.parametrize(
    ("kind", "told", "other"),
    [
        *(
            (kind, told, other)
            for kind, told in (
                ("shopify", SHOPIFY),
                ("mirakl", MIRAKL),
                ("amazon", AMAZON),
                ("vendure", VENDURE),
            )
            for other in ({"url": "https://other.example.com"}, {"locations": ELSEWHERE})
        ),
        ("shopify", SHOPIFY, {"shop_domain": "other.myshopify.com"}),
        ("mirakl", MIRAKL, {"shop_id": "2"}),
        ("amazon", AMAZON, {"seller_id": "A2"}),
        ("amazon", AMAZON, {"marketplace_id": "DE"}),
    ],
)
def test_another_address_seller_or_location_is_another_channel(
    kind: str, told: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    """What is known of the one says nothing of the other."""
    assert identity(kind, told) != identity(kind, {**told, **other})


@pytest.mark.parametrize(
    ("kind", "told", "other"),
    [
        ("shopify", SHOPIFY, {"access_token": "u" * 20, "timeout_seconds": 3, "cap": 2}),
        (
            "shopify",
            SHOPIFY,
            {"locations": {"online": {"id": "gid://shopify/Location/7", "sells_from": ["SHOP"]}}},
        ),
        ("shopify", SHOPIFY, {"url": "https://House.example.com/"}),
        ("mirakl", MIRAKL, {"api_key": "l" * 20}),
        ("amazon", AMAZON, {"refresh_token": "q" * 20}),
        ("vendure", VENDURE, {"api_key": "l" * 20}),
    ],
)
def test_a_renewed_secret_or_another_policy_leaves_a_channel_what_it_is(
    kind: str, told: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    """Nothing has to be read anew for that; nor for another way to write the same id."""
    assert identity(kind, told) == identity(kind, {**told, **other})
