"""What somebody wants to know of a number, and why it may not be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from .ats import Policy
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


def told_change(before: Policy, now: Policy) -> str:
    """What changed settings say of a SKU at a channel, beside what they said; empty where it is the same."""
    found = []
    for name, was, is_ in (
        ("guarantee", before.guarantee.value, now.guarantee.value),
        ("safety_stock", before.safety_stock, now.safety_stock),
        ("cap", before.cap, now.cap),
        ("scarce_at", before.scarce_at, now.scarce_at),
    ):
        if was != is_:
            old, new = ("none" if each is None else each for each in (was, is_))
            found.append(f"{name} {new}, before {old}")
    return f"the settings say {'; '.join(found)}" if found else ""


class NotKeptError(Exception):
    """The ledger no longer has the movements of that time one by one."""

    def __init__(self, level: LevelKey, since: datetime) -> None:
        begin = since.astimezone(UTC).isoformat(timespec="seconds")
        super().__init__(f"older movements of {level} were folded; what is kept one by one begins at {begin}")
