"""What adapters are told, and the catalogue of channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.channels.clock import HandClock
from tests.channels.shopify_bench import config

from sfsync.channels import BadConfigError, ChannelConfig, open_channel
from sfsync.channels.config import ShopifyConfig, is_loopback
from sfsync.channels.shopify import ShopifyChannel

OPTIONS = {"locations": {"warehouse": 7}, "access_token": "hush", "webhook_secrets": ["hush2"]}


def general(
    kind: str = "shopify", url: str = "https://london.myshopify.com", **options: Any
) -> ChannelConfig:
    return ChannelConfig("london", kind, url, {**OPTIONS, **options})


async def test_a_shopify_store_is_opened_by_its_kind() -> None:
    """The catalogue reads the options and makes the adapter."""
    made = open_channel(general(), HandClock())
    assert isinstance(made, ShopifyChannel)
    assert (made.name, made.ability.batch_rows) == ("london", 250)
    await made.close()


def test_every_mistake_is_told_at_once() -> None:
    """Each with the key that mends it."""
    with pytest.raises(BadConfigError) as caught:
        open_channel(
            general(
                url="http://london.myshopify.com", access_token="", api_version="latest", locations={"a": "b"}
            ),
            HandClock(),
        )
    assert [key for key, _ in caught.value.problems] == ["url", "api_version", "access_token", "locations"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("locations", ["7"]), ("access_token", 7), ("webhook_secrets", None), ("webhook_secrets", [b"x"])],
)
def test_an_option_of_the_wrong_kind_is_a_mistake(option: str, value: Any) -> None:
    """It is told by its key, without its value."""
    with pytest.raises(BadConfigError) as caught:
        open_channel(general(**{option: value}), HandClock())
    assert [key for key, _ in caught.value.problems] == [option]


def test_a_file_that_is_no_certificate_is_a_mistake(tmp_path: Path) -> None:
    """Found when the channel is opened, not at its first call."""
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    with pytest.raises(BadConfigError, match=r"ca_file: .* no certificate"):
        open_channel(replace(general(), ca_file=file), HandClock())


def test_an_unknown_option_is_a_mistake() -> None:
    """A word misspelt is not silently the default."""
    with pytest.raises(BadConfigError, match="acces_token: no such option"):
        open_channel(general(acces_token="x"), HandClock())


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"url": ""}, "url"),
        ({"url": "london.myshopify.com"}, "url"),
        ({"url": "https://london.myshopify.com/admin"}, "url"),
        ({"url": "https://me:pw@london.myshopify.com"}, "url"),
        ({"url": "https://london.myshopify.com:port"}, "url"),
        ({"url": "http://192.0.2.1"}, "url"),
        ({"api_version": "2025-10"}, "api_version"),
        ({"access_token": "", "client_id": "only"}, "access_token"),
        ({"locations": {}}, "locations"),
        ({"locations": {"a": "gid://shopify/Product/1"}}, "locations"),
        ({"locations": {"a": "7", "b": "gid://shopify/Location/7"}}, "locations"),
        ({"webhook_secrets": ("",)}, "webhook_secrets"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"ca_file": Path("no such file")}, "ca_file"),
    ],
)
def test_a_mistake_names_its_key(changes: dict[str, Any], key: str) -> None:
    """So that it can be found in the file."""
    assert [found for found, _ in config(**changes).problems()] == [key]


def test_a_good_configuration_has_no_problems() -> None:
    """By token or by client credentials; on this machine also without TLS."""
    assert config().problems() == []
    assert config(access_token="", client_id="a", client_secret="b").problems() == []
    assert config(url="http://127.0.0.1:8080/").problems() == []


def test_a_configuration_keeps_its_secrets() -> None:
    """Whoever prints it prints none of them."""
    text = f"{config(client_secret='hush-client')!r} {general()!r} {ShopifyConfig.of(general())}"
    assert "hush" not in text
    assert "shpat" not in text


def test_locations_are_gids_and_the_domain_follows_from_the_url() -> None:
    """A bare number will do; a sandbox's address tells no domain."""
    made = config(locations={"a": "7", "b": "gid://shopify/Location/8"})
    assert made.locations == {"a": "gid://shopify/Location/7", "b": "gid://shopify/Location/8"}
    assert made.shop_domain == "london.myshopify.com"
    assert config(url="http://127.0.0.1:8080").shop_domain == ""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]/", True),
        ("http://localhost", True),
        ("http://shop.localhost", True),
        ("https://127.0.0.1.example.com", False),
        ("https://london.myshopify.com", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_known_by_its_address(url: str, expected: bool) -> None:
    """Such traffic is never given to a proxy."""
    assert is_loopback(url) is expected
