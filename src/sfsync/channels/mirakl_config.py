"""What the adapter of a Mirakl marketplace must be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sfsync.channels.config import GENERAL, BadConfigError, ChannelConfig, is_loopback

FALLS_AT = ("order", "acceptance")


@dataclass(frozen=True, slots=True)
class MiraklConfig:
    """One shop at one marketplace.

    `location` is our name for the one place whose stock its offers show; `warehouse` its code there, where
    the marketplace keeps stock by warehouse. `shop_id` chooses among the shops of a key that has several.
    `falls_at` says when the marketplace lowers an offer's quantity for an order. Times in seconds.
    """

    name: str
    url: str
    api_key: str = field(repr=False)
    location: str
    warehouse: str = ""
    shop_id: str = ""
    falls_at: str = "order"
    imports_every_seconds: float = 60.0
    status_every_seconds: float = 15.0
    outcome_within_minutes: float = 60.0
    orders_every_seconds: float = 60.0
    returns_every_seconds: float = 900.0
    settle_seconds: float = 120.0
    timeout_seconds: float = 15.0
    ca_file: Path | None = None
    read_only: bool = False

    @classmethod
    def of(cls, config: ChannelConfig) -> MiraklConfig:
        """The general configuration read as a marketplace's. Raises `BadConfigError` with every mistake."""
        known = set(cls.__dataclass_fields__) - {"name", "url", *GENERAL}
        problems = [
            (key, f"no such option; known are {', '.join(sorted(known))}")
            for key in config.options
            if key not in known
        ]
        problems += [(key, "is missing") for key in ("api_key", "location") if not config.options.get(key)]
        if config.options.get("falls_at", "order") not in FALLS_AT:
            problems.append(("falls_at", f"is one of {', '.join(FALLS_AT)}"))
        if not config.url.startswith("https://") and not is_loopback(config.url):
            problems.append(("url", "use https: the credential would travel in the clear"))
        if config.ca_file is not None and not config.ca_file.is_file():
            problems.append(("ca_file", f"there is no file {config.ca_file}"))
        if problems:
            raise BadConfigError(config.name, problems)
        url = config.url.rstrip("/")
        return cls(config.name, url, **{key: getattr(config, key) for key in GENERAL}, **config.options)
