"""What somebody wants to know of a number, and why it may not be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from .stock import LevelKey


@dataclass(frozen=True, slots=True)
class Question:
    """Why does a channel show what it shows of a SKU?"""

    sku: str
    channel: str | None = None  # None: every channel
    location: str | None = None  # of the org, and who sells from it; None: all
    at: datetime | None = None  # None: now


class UnknownSkuError(Exception):
    """The org has no stock level of it."""

    def __init__(self, sku: str, location: str | None = None) -> None:
        super().__init__(f"the org has no stock level of {sku!r}" + (f" at {location!r}" if location else ""))


class NotKeptError(Exception):
    """The ledger no longer has the movements of that time one by one."""

    def __init__(self, level: LevelKey, since: datetime) -> None:
        begin = since.astimezone(UTC).isoformat(timespec="seconds")
        super().__init__(f"older movements of {level} were folded; what is kept one by one begins at {begin}")
