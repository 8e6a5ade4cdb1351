"""What an adapter must be told: plain values that settings fill in; a secret is never part of a text.

`ChannelConfig` is the same for every kind of channel; what only one kind needs stands in its options and is
read by that kind (`ShopifyConfig.of`). All mistakes are told together, each with the key that mends it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SHOPIFY_API_VERSION = "2026-10"
# All that we say is checked against their published schemas; before 2026 no key makes a push happen once.
SHOPIFY_API_VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10", "unstable")
GENERAL = ("timeout_seconds", "ca_file", "read_only")  # what every kind of channel is told in the same words
_LOCATION_GID = re.compile(r"gid://shopify/Location/(\d+)")


class BadConfigError(ValueError):
    """A channel cannot be made of its configuration; `problems` are pairs of key and remedy."""

    def __init__(self, channel: str, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"channel {channel!r}, {key}: {remedy}" for key, remedy in problems))
        self.channel = channel
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """A channel of any kind. `options` may hold secrets and so is left out of every text."""

    name: str
    kind: str
    url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 15.0
    ca_file: Path | None = None
    read_only: bool = False  # nothing that could change anything there leaves


@dataclass(frozen=True, slots=True)
class ShopifyConfig:
    """One Shopify store.

    Either `access_token`, or `client_id` and `client_secret` (client credentials grant). `webhook_secrets`
    are all accepted, so that a secret can be changed without losing a delivery. `locations` maps our names
    of the store's locations to their gids; a bare number is taken as one. `shop_domain` is what the store's
    webhooks say they come from; left empty it is the host of `url` when that ends with .myshopify.com.
    """

    name: str
    url: str
    locations: Mapping[str, str]
    api_version: str = SHOPIFY_API_VERSION
    access_token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    shop_domain: str = ""
    product_tags: bool = False  # read the tags of its products, for policies
    timeout_seconds: float = 15.0
    ca_file: Path | None = None
    read_only: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))
        gids = {name: _location_gid(value) for name, value in self.locations.items()}
        object.__setattr__(self, "locations", gids)
        host = urlsplit(self.url).hostname or ""
        if not self.shop_domain and host.endswith(".myshopify.com"):
            object.__setattr__(self, "shop_domain", host)

    @classmethod
    def of(cls, config: ChannelConfig) -> ShopifyConfig:
        """The general configuration read as a Shopify store's. Raises `BadConfigError` with every mistake."""
        problems = [
            (key, f"no such option; known are {', '.join(_OPTIONS)}")
            for key in config.options
            if key not in _OPTIONS
        ]
        if not isinstance(config.options.get("locations", {}), Mapping):
            problems.append(("locations", "must be a table of our name = location gid"))
        for key in ("api_version", "access_token", "client_id", "client_secret", "shop_domain"):
            if not isinstance(config.options.get(key, ""), str):
                problems.append((key, "must be a text"))
        if not isinstance(config.options.get("product_tags", False), bool):
            problems.append(("product_tags", "must be true or false"))
        if not _are_texts(config.options.get("webhook_secrets", ())):
            problems.append(("webhook_secrets", "must be a text or a list of texts"))
        if problems:
            raise BadConfigError(config.name, problems)
        options = {"locations": {}, **config.options}
        if isinstance(secrets := options.get("webhook_secrets", ()), str):
            options["webhook_secrets"] = (secrets,)
        else:
            options["webhook_secrets"] = tuple(secrets)
        read = cls(config.name, config.url, **{key: getattr(config, key) for key in GENERAL}, **options)
        if problems := read.problems():
            raise BadConfigError(config.name, problems)
        return read

    def problems(self) -> list[tuple[str, str]]:
        """What is missing or wrong, as pairs of key and remedy; empty when the store can be talked to."""
        found = []
        if remedy := _url_problem(self.url):
            found.append(("url", remedy))
        if self.api_version not in SHOPIFY_API_VERSIONS:
            known = ", ".join(SHOPIFY_API_VERSIONS)
            found.append(("api_version", f"is {self.api_version!r}; set it to one that is checked: {known}"))
        if not self.access_token and not (self.client_id and self.client_secret):
            found.append(("access_token", "give access_token, or client_id and client_secret"))
        if not self.locations:
            found.append(("locations", "name at least one location of the store"))
        found += [
            ("locations", f"{name} = {gid!r} is not a gid://shopify/Location/<number>")
            for name, gid in self.locations.items()
            if not _LOCATION_GID.fullmatch(gid)
        ]
        if len(set(self.locations.values())) < len(self.locations):
            found.append(("locations", "two of our names stand for the same location of the store"))
        if any(not secret for secret in self.webhook_secrets):
            found.append(("webhook_secrets", "one of them is empty"))
        if self.ca_file is not None and not self.ca_file.is_file():
            found.append(("ca_file", f"there is no file {self.ca_file}"))
        if self.timeout_seconds <= 0:
            found.append(("timeout_seconds", "must be more than 0"))
        return found


_OPTIONS = (
    "product_tags",
    "locations",
    "api_version",
    "access_token",
    "client_id",
    "client_secret",
    "webhook_secrets",
    "shop_domain",
)


def is_loopback(url: str) -> bool:
    """True when the URL's host is this machine: such traffic is never given to a proxy."""
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _are_texts(value: object) -> bool:
    return isinstance(value, (str, list, tuple)) and all(isinstance(part, str) for part in value)


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{url!r} is not an address"
    if parts.scheme not in ("http", "https") or not host:
        return f"{url!r} is not an address like https://house.myshopify.com"
    if parts.scheme == "http" and not is_loopback(url):
        return "use https: the credential would travel in the clear"
    if parts.path or parts.query or parts.fragment or parts.username:
        return "give the store's address only, like https://house.myshopify.com"
    return ""


def _location_gid(value: object) -> str:
    text = str(value).strip()
    return f"gid://shopify/Location/{text}" if text.isascii() and text.isdigit() else text
