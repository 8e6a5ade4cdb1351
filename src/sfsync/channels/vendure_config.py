"""What the adapter of a Vendure shop must be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfsync.channels.config import GENERAL, BadConfigError, ChannelConfig, is_loopback


@dataclass(frozen=True, slots=True)
class VendureConfig:
    """One Vendure shop.

    Either `api_key`, or `username` and `password` of an administrator. `locations` maps our names of the
    shop's stock locations to their ids. `webhook_secrets` are all accepted, so that a secret can be changed
    without losing a webhook. `channel_token` chooses among the channels of a shop that has several.
    """

    name: str
    url: str
    locations: Mapping[str, str]
    api_key: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    channel_token: str = field(default="", repr=False)
    admin_path: str = "/admin-api"
    timeout_seconds: float = 15.0
    ca_file: Path | None = None
    read_only: bool = False

    @classmethod
    def of(cls, config: ChannelConfig) -> VendureConfig:
        """The general configuration read as a Vendure shop's. Raises `BadConfigError` with every mistake."""
        known = set(cls.__dataclass_fields__) - {"name", "url", *GENERAL}
        options: Mapping[str, Any] = config.options
        problems = [
            (key, f"no such option; known are {', '.join(sorted(known))}")
            for key in options
            if key not in known
        ]
        locations = options.get("locations") or {}
        if not locations:
            problems.append(("locations", "name at least one stock location of the shop"))
        problems += [
            ("locations", f"{name} has no id: give the id of a stock location of the shop")
            for name, number in locations.items()
            if not number
        ]
        if len(set(locations.values())) < len(locations):
            problems.append(("locations", "two of our names stand for the same location of the shop"))
        if not options.get("api_key") and not (options.get("username") and options.get("password")):
            problems.append(("api_key", "give api_key, or username and password"))
        if not options.get("webhook_secrets"):
            problems.append(("webhook_secrets", "is missing: the plugin's secret"))
        if not config.url.startswith("https://") and not is_loopback(config.url):
            problems.append(("url", "use https: the credential would travel in the clear"))
        if config.ca_file is not None and not config.ca_file.is_file():
            problems.append(("ca_file", f"there is no file {config.ca_file}"))
        if problems:
            raise BadConfigError(config.name, problems)
        return cls(
            config.name,
            config.url.rstrip("/"),
            **{key: getattr(config, key) for key in GENERAL},
            **options,
        )
