"""What somebody wants to know of a number, and why it may not be told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from .ats import Policy
from .stock import LevelKey

MOST_PIECES = 20  # that are named to whoever asks for one that is not known


@dataclass(frozen=True, slots=True)
class Question:
    """Why does a channel show what it shows of a SKU?"""

    sku: str
    channel: str | None = None  # None: every channel
    location: str | None = None  # of the org, and who sells from it; None: all
    at: datetime | None = None  # None: now
    unit: str | None = None  # the life of this one piece; None: the numbers of all


class UnknownSkuError(Exception):
    """The org has no stock level of it."""

    def __init__(self, sku: str, location: str | None = None) -> None:
        super().__init__(f"the org has no stock level of {sku!r}" + (f" at {location!r}" if location else ""))


class UnknownLocationError(UnknownSkuError):
    """The org has no stock level at all there; `places` are those where it has this SKU."""

    def __init__(self, location: str, sku: str, places: Collection[str]) -> None:
        has = f"; {sku!r} is at {', '.join(sorted(places))}" if places else ""
        Exception.__init__(self, f"{location!r} is no location that the org has a stock level at{has}")


class UnknownPieceError(UnknownSkuError):
    """The SKU has no such piece, or not there; `known` are its pieces, `places` where this one is known."""

    def __init__(
        self,
        sku: str,
        unit: str,
        *,
        known: Collection[str],
        location: str | None = None,
        places: Collection[str] = (),
    ) -> None:
        Exception.__init__(self, _no_piece(sku, unit, sorted(known), location, sorted(places)))


def _no_piece(sku: str, unit: str, known: list[str], location: str | None, places: list[str]) -> str:
    if not known:
        return f"the stock of {sku!r} is kept without piece numbers: there is no piece {unit!r}"
    if places:
        return f"the org has no piece {unit!r} of {sku!r} at {location!r}, but at {', '.join(places)}"
    more = f" and {len(known) - MOST_PIECES:,} more" if len(known) > MOST_PIECES else ""
    return f"the org has no piece {unit!r} of {sku!r}; known are {', '.join(known[:MOST_PIECES])}{more}"


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
    """Nothing is kept of that time: its movements were folded, or (`folded` false) the books begin later."""

    def __init__(self, level: LevelKey | str, since: datetime, *, folded: bool = True) -> None:
        begin = since.astimezone(UTC).isoformat(timespec="seconds")
        if not folded:
            super().__init__(f"the books of {level} begin at {begin}; nothing is known of what was before")
            return
        super().__init__(f"older movements of {level} were folded; what is kept one by one begins at {begin}")
