"""ATS: what a channel should show of a SKU, as a sum whose every part can be told to a person.

Per level, *sellable* is available less what is being asked of it and not yet answered, less what belongs to
promises made at other levels (`domain.debts`), and less what its shop does not find. A channel shows

- **mirrored**: what its location group can sell, less safety stock and less orders that no stock covers;
- **gated**: the same, plus what it has itself reserved and not yet turned into an order (its own shopper is
  about to pay for it; everybody else must ask first), plus what is ready in the local block (`domain.block`);
- **allocated**: its allocation, less its own sales not yet settled. A SKU allocated to one channel is shown
  by no other;
- **unknown**: nothing.

While what we know of the org is too old (`Policy.fresh_seconds`), a shared number is closed where a policy
says so, which may be while it is scarce only: the few may be gone, the many are not. What is allocated is the
channel's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .stock import LevelKey
from .values import quick


class Guarantee(StrEnum):
    """How strong a channel's promise is, per channel and SKU."""

    GATED = "gated"  # asks first
    ALLOCATED = "allocated"  # sells only its allocation
    MIRRORED = "mirrored"  # shows a shared number; exposure is measured
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one SKU at one channel."""

    guarantee: Guarantee
    safety_stock: int = 0  # units of the group never offered
    cap: int | None = None  # never show more than this
    allocated_elsewhere: bool = False
    fresh_seconds: float | None = None  # how old what we know may be before shared units are closed
    scarce_at: int | None = None  # what the policies call few, where they say: for what is told, not decided
    rule: int | None = None  # which of the policies it is, from 0; None: the channel's own settings
    exposure_accepted: bool = False  # somebody has decided that its last units may be sold twice

    def too_old(self, age_seconds: float) -> bool:
        """True when what was known so long ago is no ground to sell scarce units on."""
        return self.fresh_seconds is not None and age_seconds > self.fresh_seconds


@quick
@dataclass(frozen=True, slots=True)
class LevelFacts:
    """One level of the channel's location group, and what is on its way to it."""

    key: LevelKey
    on_hand: int
    reserved: int
    asked: int = 0  # units of reservations sent or waiting to be sent
    leaving: int = 0  # units of postings that lower on hand, waiting likewise
    last: int = 0  # on a shop floor whose till does not ask: so many of what is left may be gone by now
    keep: int = 0  # units that stay there for whoever comes in
    elsewhere: int = 0  # units that belong to promises made at other levels (`domain.debts`)
    not_found: int = 0  # units that the shop does not find

    @property
    def sellable(self) -> int:
        """Units that may be reserved for somebody new."""
        return self.on_hand - self.reserved - self.asked - self.leaving - self.elsewhere - self.not_found

    @property
    def kept(self) -> int:
        """Of the units to be kept there, those that are there."""
        return 0 if self.sellable <= self.last else min(self.keep, self.sellable)

    @property
    def promised(self) -> int:
        """Units that may be promised to somebody who is not in the shop; negative where the level owes."""
        return self.sellable - max(self.kept, min(self.last, max(0, self.sellable)))

    def asks_shop(self, units: int) -> bool:
        """True when so many units are not to be had without some of the shop floor's last pieces."""
        return self.last > 0 and units > max(0, self.sellable - self.last)


@quick
@dataclass(frozen=True, slots=True)
class AtsFacts:
    """Everything a channel level's ATS depends on."""

    policy: Policy
    levels: Sequence[LevelFacts]
    own_reserved: int = 0  # held by the channel's own open reservations, at these levels
    own_asked: int = 0  # of what is being asked there, the channel's own part
    allocation: int = 0  # held in the org for this channel, less its own sales being settled
    uncovered: int = 0  # units of accepted orders for this SKU that the org could not cover
    age_seconds: float = 0.0  # how long ago all that the org holds was last known
    block: int = 0  # ready in the local block, for whoever asks


class Part(NamedTuple):
    """One part of the sum behind a number, in words and units."""

    what: str
    units: int
    level: LevelKey | None = None  # what it is a part of; None: of no single level


@dataclass(frozen=True, slots=True)
class Ats:
    """Units to show, with the sum behind them, in the order added."""

    units: int
    parts: tuple[Part, ...]


def available_to_sell(facts: AtsFacts) -> Ats:
    """The units a channel should show now; never below zero."""
    policy = facts.policy
    parts: list[Part] = []
    if policy.guarantee is Guarantee.UNKNOWN:
        return Ats(0, (Part("guarantee unknown", 0),))
    if policy.guarantee is Guarantee.ALLOCATED:
        parts.append(Part("its allocation", facts.allocation))
    elif policy.allocated_elsewhere:
        return Ats(0, (Part("allocated to another channel", 0),))
    else:
        for level in facts.levels:
            parts += parts_of(level)
        _less(parts, "orders that no stock covers", facts.uncovered)
        _less(parts, "safety stock", policy.safety_stock)
        shut = _shut(parts, facts)
        if policy.guarantee is Guarantee.GATED:
            _own(parts, facts, shut=shut)
            if facts.block:
                parts.append(Part("ready in the local block", facts.block))
    units = _sum(parts)
    if policy.cap is not None and units > policy.cap:
        _less(parts, f"above its cap of {policy.cap}", units - policy.cap)
        units = policy.cap
    return Ats(max(0, units), tuple(parts))


def parts_of(level: LevelFacts) -> list[Part]:
    """What one level adds to a shared number: what is on hand there, less what may not be promised."""
    key = level.key
    place = key.location if key.unit is None else f"{key.location}, piece {key.unit}"
    parts = [Part(f"on hand at {place}", level.on_hand, key)]
    sellable, kept = level.sellable, level.kept
    for what, units in (
        ("reserved at", level.reserved),
        ("being asked at", level.asked),
        ("leaving", level.leaving),
        ("promised elsewhere, out of", level.elsewhere),
        ("not found at", level.not_found),
        ("on the floor of", sellable - level.promised - kept),
        ("safety stock of", kept),
        # What it owes to customers its neighbours show as promised elsewhere.
        ("not covered at", min(0, sellable)),
    ):
        if units:
            parts.append(Part(f"{what} {place}", -units, key))
    return parts


def _shut(parts: list[Part], facts: AtsFacts) -> bool:
    """Take shared units back when what we know of them is too old; True when it is."""
    pool = _sum(parts)
    if not facts.policy.too_old(facts.age_seconds):
        return False
    _less(parts, "too long ago that the org was heard", max(0, pool))
    return True


def _own(parts: list[Part], facts: AtsFacts, *, shut: bool) -> None:
    """Give a gated channel back what its own shoppers hold; what they only ask for, as far as it is there.

    Others may be asking for the same units: until the org has answered, each may be the one who gets them.
    Nothing is there while the channel is shut; what the org has granted stays granted.
    """
    pool = _sum(parts)
    there = sum(
        min(
            level.asked,
            max(0, level.sellable + level.asked - max(level.keep, level.last)),
        )
        for level in facts.levels
    )
    own = 0 if shut else min(facts.own_asked, there)
    if own:
        parts.append(Part("being asked by itself", own))
    _less(parts, "not there to be given", min(0, pool + own))
    if facts.own_reserved:
        parts.append(Part("its own reservations", facts.own_reserved))


def _sum(parts: Sequence[Part]) -> int:
    return sum(part.units for part in parts)


def _less(parts: list[Part], what: str, units: int) -> None:
    if units:
        parts.append(Part(what, -units))
