"""The arithmetic of the demo's checks: what the outside shows, worked out without asking sfsync.

Plain functions over what the org's REST API and the storefronts told. The rules are read from the settings
file anew, and the sums are written anew: a mistake of the product is not repeated here by sharing its code.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

Key = tuple[str, str]  # channel, SKU


@dataclass(frozen=True, slots=True)
class Rules:
    """Who sells from where, and how strongly each SKU is promised, as the settings file says."""

    groups: Mapping[str, tuple[str, ...]]  # channel -> the org's locations it sells from
    usual: Mapping[str, str]  # channel -> its guarantee where no policy says otherwise
    policies: Sequence[Mapping[str, Any]]

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Rules:
        """From the parsed TOML file."""
        groups = {
            name: tuple(code for place in channel["locations"].values() for code in place["sells_from"])
            for name, channel in settings["channels"].items()
        }
        usual = {name: channel.get("guarantee", "mirrored") for name, channel in settings["channels"].items()}
        return cls(groups, usual, settings.get("policies", []))

    def guarantee(self, channel: str, sku: str) -> str:
        """gated, allocated, mirrored; or closed when the SKU is set aside for another channel."""
        for policy in self.policies:
            if any(fnmatchcase(sku, pattern) for pattern in policy["skus"]):
                if channel in (policy.get("channels") or self.groups):
                    return str(policy["guarantee"])
                if policy["guarantee"] == "allocated":
                    return "closed"
        return self.usual[channel]


@dataclass(frozen=True, slots=True)
class Row:
    """One movement as the org's REST API gives it."""

    id: str
    key: str  # idempotency key, or empty
    subject: str
    sku: str
    location: str
    kind: str
    on_hand: int
    reserved: int
    reference: str


@dataclass(frozen=True, slots=True)
class Level:
    """One stock level as the org's REST API gives it."""

    sku: str
    location: str
    on_hand: int
    reserved: int


@dataclass(frozen=True, slots=True)
class SoldLine:
    """One line of an order that a storefront accepted, as the storefront itself tells it now."""

    channel: str
    order: str  # what a person calls it
    subject: str  # under which the org must hold it: order:<channel>:<order id>:<line id>
    sku: str
    units: int  # accepted and not called off
    sent: int  # of these, sent to the customer


@dataclass(frozen=True, slots=True)
class Held:
    """What the org's ledger has under one subject."""

    reserved: int = 0
    shipped: int = 0


def held(rows: Iterable[Row]) -> dict[str, Held]:
    """Net effect by subject."""
    reserved: dict[str, int] = defaultdict(int)
    on_hand: dict[str, int] = defaultdict(int)
    for row in rows:
        reserved[row.subject] += row.reserved
        on_hand[row.subject] += row.on_hand
    return {subject: Held(reserved[subject], -on_hand[subject]) for subject in reserved}


@dataclass(frozen=True, slots=True)
class Cover:
    """How one accepted line stands in the org."""

    line: SoldLine
    held: Held

    @property
    def oversold(self) -> int:
        """Units that the storefront accepted and the org does not hold for them."""
        return max(0, self.line.units - self.held.reserved - self.held.shipped)

    @property
    def exact(self) -> bool:
        """True when the org holds what is still to be sent and has booked out what was sent, no unit more."""
        return self.held == Held(self.line.units - self.line.sent, self.line.sent)


def covers(lines: Iterable[SoldLine], rows: Iterable[Row]) -> list[Cover]:
    """Each accepted line with what the org holds for it."""
    by_subject = held(rows)
    return [Cover(line, by_subject.get(line.subject, Held())) for line in lines]


def explained(cover: Cover, levels: Iterable[Level], group: Collection[str]) -> bool:
    """True when a line lacks units and the org has none left at any location that its channel sells from.

    What is there and was promised to somebody at another location, which has it no longer, is not left.
    """
    of_sku = [level for level in levels if level.sku == cover.line.sku]
    left = sum(max(0, level.on_hand - level.reserved) for level in of_sku if level.location in group)
    return cover.oversold > 0 and left <= sum(debt(level.on_hand, level.reserved) for level in of_sku)


def debt(on_hand: int, reserved: int, aside: int = 0) -> int:
    """Units that customers were promised and that are not there; `aside` are set aside for a channel."""
    return max(0, min(reserved, reserved - on_hand) - aside)


def oversold(lines: Iterable[SoldLine], rows: Iterable[Row], sku: str) -> int:
    """Units of a SKU that channels accepted and the org could not cover."""
    return sum(cover.oversold for cover in covers(lines, rows) if cover.line.sku == sku)


def expected(
    rules: Rules, levels: Iterable[Level], rows: Sequence[Row], lines: Iterable[SoldLine]
) -> dict[Key, int]:
    """What each storefront should show of each SKU, with no reservation open."""
    known = list(levels)
    at: dict[str, dict[str, int]] = defaultdict(dict)
    for level in known:
        at[level.sku][level.location] = max(0, level.on_hand - level.reserved)
    set_aside: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row.subject.startswith("allocation:"):
            set_aside[row.sku, row.location] += row.reserved
    sold_from = {place for group in rules.groups.values() for place in group}
    for level in known:
        _pay(
            at[level.sku],
            sold_from,
            debt(level.on_hand, level.reserved, set_aside[level.sku, level.location]),
        )
    short: dict[str, int] = defaultdict(int)
    for cover in covers(lines, rows):
        short[cover.line.sku] += cover.oversold
    aside: dict[Key, int] = defaultdict(int)
    for row in rows:
        if row.subject.startswith("allocation:"):
            aside[row.subject.split(":")[1], row.sku] += row.reserved
    shown: dict[Key, int] = {}
    for channel, group in rules.groups.items():
        for sku, available in at.items():
            guarantee = rules.guarantee(channel, sku)
            pool = sum(available.get(place, 0) for place in group) - short[sku]
            units = {"allocated": aside[channel, sku], "closed": 0}.get(guarantee, pool)
            shown[channel, sku] = max(0, units)
    return shown


def _pay(left: dict[str, int], places: Collection[str], units: int) -> None:
    """What was promised where it is no more is not for sale elsewhere: of the fullest place first."""
    for place in sorted(places & left.keys(), key=lambda each: (-left[each], each)):
        part = min(units, left[place])
        left[place] -= part
        units -= part


def wrong_on_hand(
    opening: Mapping[tuple[str, str], int],
    levels: Iterable[Level],
    rows: Iterable[Row],
    till: Mapping[tuple[str, str], int],
) -> list[str]:
    """Levels whose on hand is not its opening, less what the tills sold there, less what was sent from there.

    `till` has units by (SKU, location), as the tills counted them.
    """
    sent: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row.subject.startswith("order:"):
            sent[row.sku, row.location] -= row.on_hand
    wrong = []
    for level in levels:
        at = level.sku, level.location
        should = opening[at] - till.get(at, 0) - sent[at]
        if level.on_hand != should:
            wrong.append(f"{level.sku} at {level.location}: {level.on_hand}, should be {should}")
    return wrong


@dataclass(frozen=True, slots=True)
class Arrival:
    """A till sale's way to one storefront. Moments in ms since 1970; `shown_at` None: never."""

    channel: str
    sku: str
    committed_at: float
    shown_at: float | None

    @property
    def latency_ms(self) -> float:
        """From the org's commit to the storefront's change; infinite when it never came."""
        return math.inf if self.shown_at is None else self.shown_at - self.committed_at


def arrivals(
    commits: Mapping[str, float], changes: Mapping[str, Sequence[tuple[str, float]]]
) -> list[Arrival]:
    """The way of each sale to each storefront.

    `commits` has the moment by SKU, `changes` the (SKU, moment) changes of each storefront in their order.
    Each SKU was sold once and by nobody else, so the first change after its commit is its own.
    """
    found = []
    for channel, listed in changes.items():
        first: dict[str, float] = {}
        for sku, at in listed:
            if sku in commits and at >= commits[sku]:
                first.setdefault(sku, at)
        found += [Arrival(channel, sku, at, first.get(sku)) for sku, at in commits.items()]
    return found


@dataclass(frozen=True, slots=True)
class Outage:
    """One time without the daemon, and what it took to make up for it. Moments in ms since 1970."""

    killed_at: float
    listening_at: float
    caught_up_at: float  # all that had happened until it listened again was in the org and on the sites


def undisturbed(ways: Iterable[Arrival], outages: Collection[Outage]) -> list[Arrival]:
    """The ways that do not overlap any time from a kill until all was caught up."""
    return [
        way
        for way in ways
        if not any(
            way.committed_at <= outage.caught_up_at
            and (way.shown_at is None or way.shown_at >= outage.killed_at)
            for outage in outages
        )
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of them do not exceed; nan of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def repeated(texts: Iterable[str]) -> list[str]:
    """Those that come more than once; empty ones do not count."""
    seen: set[str] = set()
    again: set[str] = set()
    for text in texts:
        if text:
            (again if text in seen else seen).add(text)
    return sorted(again)
