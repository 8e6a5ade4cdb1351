"""What the adapter of an Amazon store must be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sfsync.channels.config import GENERAL, BadConfigError, ChannelConfig, is_loopback

AUTH_URL = "https://api.amazon.com"
_NEEDED = ("seller_id", "marketplace_id", "client_id", "client_secret", "refresh_token", "location")


@dataclass(frozen=True, slots=True)
class AmazonConfig:
    """One seller's listings in one store (`marketplace_id`), fulfilled by the seller.

    `url` is the region's endpoint, `auth_url` where tokens come from. `landing_seconds`: so long after an
    accepted change the listing shows it, at the latest. Times in seconds.
    """

    name: str
    url: str
    seller_id: str
    marketplace_id: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    location: str
    auth_url: str = AUTH_URL
    landing_seconds: float = 60.0
    outcome_every_seconds: float = 15.0
    outcome_within_minutes: float = 60.0
    orders_every_seconds: float = 180.0
    settle_seconds: float = 300.0
    timeout_seconds: float = 15.0
    ca_file: Path | None = None
    read_only: bool = False

    @classmethod
    def of(cls, config: ChannelConfig) -> AmazonConfig:
        """The general configuration read as a store's. Raises `BadConfigError` with every mistake."""
        known = set(cls.__dataclass_fields__) - {"name", "url", *GENERAL}
        problems = [
            (key, f"no such option; known are {', '.join(sorted(known))}")
            for key in config.options
            if key not in known
        ]
        problems += [(key, "is missing") for key in _NEEDED if not config.options.get(key)]
        for key, url in (("url", config.url), ("auth_url", str(config.options.get("auth_url", AUTH_URL)))):
            if not url.startswith("https://") and not is_loopback(url):
                problems.append((key, "use https: the credential would travel in the clear"))
        if config.ca_file is not None and not config.ca_file.is_file():
            problems.append(("ca_file", f"there is no file {config.ca_file}"))
        if problems:
            raise BadConfigError(config.name, problems)
        url = config.url.rstrip("/")
        return cls(config.name, url, **{key: getattr(config, key) for key in GENERAL}, **config.options)
