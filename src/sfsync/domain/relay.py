"""What to write to a channel next, and what a difference between it and us means.

A channel level is one SKU at one of the channel's locations. Its *published* number is what we know the
channel to show: the number read at the baseline, plus our confirmed changes, less its own orders that we have
recorded, plus its own restocks (correctness E). Webhooks about numbers and reads of it never change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

IN_DOUBT = "its number is being read again"  # the problem of a channel level whose sale and reading coincided


class Cause(StrEnum):
    """Why a channel's number is not the org's."""

    FIRST_START = "first start"  # never compared before
    OUR_PUSH_DUE = "our change is on its way"
    UNSEEN = "changed at the channel"  # by hand, or by an order that its order list does not show
    NOT_LISTED = "the channel does not list this SKU"
    NOT_IN_ORG = "the org has no stock level for this SKU"
    DUPLICATE_SKU = "several items at the channel carry this SKU"
    UNTRACKED = "the channel does not track this item"
    OVERSELL_ALLOWED = "the channel sells this item beyond its stock"


BLOCKING = frozenset({Cause.NOT_LISTED, Cause.NOT_IN_ORG, Cause.DUPLICATE_SKU, Cause.UNTRACKED})


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of a plan: what the channel shows, what it should show, and why they differ."""

    channel: str
    sku: str
    location: str
    shows: int | None  # None when the channel has no such item
    target: int | None  # None when the org has no such level
    cause: Cause

    @property
    def applicable(self) -> bool:
        """False when a person must mend something first."""
        return self.cause not in BLOCKING and self.shows is not None and self.target is not None


def difference(
    channel: str, sku: str, location: str, *, shows: int, published: int | None, target: int
) -> Difference | None:
    """The difference that a reading reveals; None when the channel shows what it should."""
    if shows == target:
        return (
            None
            if published in (None, shows)
            else Difference(channel, sku, location, shows, target, Cause.UNSEEN)
        )
    if published is None:
        cause = Cause.FIRST_START
    elif shows != published:
        cause = Cause.UNSEEN
    else:
        cause = Cause.OUR_PUSH_DUE
    return Difference(channel, sku, location, shows, target, cause)


class Proof(StrEnum):
    """What reading a number again says of the changes that the channel has confirmed."""

    SHOWN = "shown"
    SUSPECT = "suspect"  # exactly what we have written is not there: look again when its orders are known
    NOT_APPLIED = "not applied"  # and it still is not
    OTHER = "other"  # somebody else has written, or sold: no word about our changes


def proof(*, missing: int, written: int, before: int | None) -> Proof:
    """What a reading proves.

    `missing`: the number that we believe in, less the number read. `written`: our confirmed changes since the
    last reading, in sum. `before`: what was missing at a reading that made us suspect, if one did.
    """
    if not missing:
        return Proof.SHOWN
    if before is None:
        return Proof.SUSPECT if missing == written else Proof.OTHER
    return Proof.NOT_APPLIED if missing == before + written else Proof.OTHER
