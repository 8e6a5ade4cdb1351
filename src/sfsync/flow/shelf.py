"""What each channel should show: recomputed for SKUs whose facts have changed, in the same transaction.

A channel level is due while its target differs from what it has published; so nothing has to be remembered,
and a push that brings it there is all it takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sfsync.domain import ats
from sfsync.domain.assortment import Assortment
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel, allocation_subject, step_key
from sfsync.ports import ChannelLevel, Facts, PendingRow, SubjectHolding, Tx

from .context import Pulse, relay_bell


class Picture:
    """The facts of some SKUs, arranged for asking."""

    def __init__(self, facts: Facts) -> None:
        self.uncovered: Mapping[str, int] = facts.uncovered
        self._levels: dict[str, list[StockLevel]] = defaultdict(list)
        for level in facts.levels:
            self._levels[level.key.sku].append(level)
        self._asked, self._leaving = _pending(facts.pending)
        self._holdings: dict[str, list[SubjectHolding]] = defaultdict(list)
        for holding in facts.holdings:
            self._holdings[holding.level.sku].append(holding)
        self._pending: dict[str, list[PendingRow]] = defaultdict(list)
        for row in facts.pending:
            self._pending[row.level.sku].append(row)

    def levels(self, sku: str, locations: Collection[str] | None = None) -> list[ats.LevelFacts]:
        """A SKU's levels at some locations (all units of each), with what is on its way to them."""
        return [
            ats.LevelFacts(
                level.key, level.on_hand, level.reserved, self._asked[level.key], self._leaving[level.key]
            )
            for level in self._levels.get(sku, ())
            if locations is None or level.key.location in locations
        ]

    def sellable(self, sku: str) -> dict[LevelKey, int]:
        """Units that may be promised to somebody new, by level."""
        return {facts.key: facts.sellable for facts in self.levels(sku)}

    def own_reserved(self, sku: str, channel: str, locations: Collection[str]) -> tuple[int, int]:
        """Units (held, being asked) by the channel's own reservations."""
        held = sum(
            holding.reserved
            for holding in self._holdings.get(sku, ())
            if holding.kind == "reservation"
            and holding.channel == channel
            and holding.level.location in locations
        )
        changes = [
            row.reserved_delta
            for row in self._pending.get(sku, ())
            if row.kind == "reservation" and row.channel == channel and row.level.location in locations
        ]
        # What its orders are taking over, or it is giving back, is no longer its own.
        return max(0, held + sum(min(0, change) for change in changes)), sum(
            max(0, change) for change in changes
        )

    def allocation(self, sku: str, channel: str, locations: Collection[str]) -> int:
        """Units of the channel's allocation, less its own sales that wait to be settled."""
        held = sum(
            holding.reserved
            for holding in self._holdings.get(sku, ())
            if holding.kind == "allocation"
            and holding.channel == channel
            and holding.level.location in locations
        )
        going = sum(
            min(0, row.reserved_delta)
            for row in self._pending.get(sku, ())
            if row.kind == "allocation" and row.channel == channel and row.level.location in locations
        )
        return held + going


def _pending(rows: Sequence[PendingRow]) -> tuple[Mapping[LevelKey, int], Mapping[LevelKey, int]]:
    """(units asked, units leaving) by level. One bundle's rows net out: a unit changing hands is not asked.

    What would raise a number (a release, a receipt) does not count before the org has it.
    """
    net: dict[tuple[LevelKey, int], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        sums = net[row.level, row.bundle]
        sums[0] += row.reserved_delta
        sums[1] += row.on_hand_delta
    asked: dict[LevelKey, int] = defaultdict(int)
    leaving: dict[LevelKey, int] = defaultdict(int)
    for (level, _), (reserved, on_hand) in net.items():
        # A fulfilment lowers both: what is promised leaves, and available stays.
        asked[level] += max(0, reserved)
        leaving[level] += max(0, -on_hand + min(0, reserved)) if on_hand < 0 else 0
    return asked, leaving


def ats_facts(
    picture: Picture, assortment: Assortment, channel: str, sku: str, location: str
) -> ats.AtsFacts:
    """What the ATS of one channel level depends on."""
    policy = assortment.policy(channel, sku)
    sources = assortment.sources(channel, location)
    gated = policy.guarantee is ats.Guarantee.GATED
    own_reserved, own_asked = picture.own_reserved(sku, channel, sources) if gated else (0, 0)
    return ats.AtsFacts(
        policy,
        picture.levels(sku, sources),
        own_reserved,
        own_asked,
        picture.allocation(sku, channel, sources) if policy.guarantee is ats.Guarantee.ALLOCATED else 0,
        picture.uncovered.get(sku, 0),
    )


def refresh(tx: Tx, assortment: Assortment, pulse: Pulse, skus: Collection[str], now: datetime) -> set[str]:
    """Recompute the targets of these SKUs at every channel. Returns the bells to ring."""
    if not skus:
        return set()
    picture = Picture(tx.facts(skus))
    changed: list[ChannelLevel] = []
    bells: set[str] = set()
    for held in tx.channel_levels(skus):
        if held.channel not in assortment.channels:
            continue
        facts = ats_facts(picture, assortment, held.channel, held.sku, held.location)
        target = ats.available_to_sell(facts).units if picture.levels(held.sku) else None
        level = with_numbers(assortment, held, now, target=target)
        if level != held:
            changed.append(level)
        if target is not None and target != held.published:
            bells.add(relay_bell(held.channel))
            pulse.due_since.setdefault((held.channel, held.sku, held.location), now.timestamp())
        else:
            pulse.due_since.pop((held.channel, held.sku, held.location), None)
    tx.put_numbers(changed)
    if set_aside(tx, assortment, pulse, picture, skus, now):
        bells.add("writer")
    return bells


def with_numbers(
    assortment: Assortment,
    level: ChannelLevel,
    now: datetime,
    *,
    target: int | None,
    published: int | None = None,
) -> ChannelLevel:
    """The channel level with new numbers, and its exposure told up to now."""
    published = level.published if published is None else published
    exposure = level.exposure
    if assortment.policy(level.channel, level.sku).guarantee is ats.Guarantee.MIRRORED:
        shown = max(0, published)
        if exposure.units != max(0, shown - (target or 0)):
            exposure = exposure.at(now.timestamp(), published=shown, target=target or 0)
    changed_at = level.changed_at if published == level.published else now
    return replace(level, target=target, published=published, exposure=exposure, changed_at=changed_at)


def set_aside(
    tx: Tx,
    assortment: Assortment,
    pulse: Pulse,
    picture: Picture,
    skus: Collection[str],
    now: datetime,
) -> bool:
    """Ask the org to reserve what can be sold for the one channel a SKU is allocated to. True if it asked."""
    asked = False
    for sku in skus:
        channel = assortment.allocated_to(sku)
        if channel is None or picture.uncovered.get(sku, 0):
            continue
        locations = assortment.sources(channel, assortment.channels[channel].first_location)
        for facts in picture.levels(sku, locations):
            subject = allocation_subject(channel, facts.key)
            paused = pulse.paused.get(subject, 0.0) > now.timestamp()
            if facts.sellable <= 0 or paused or tx.busy([subject]):
                continue
            movement = Movement(
                step_key(subject, tx.next_step(subject)),
                subject,
                facts.key,
                MovementKind.ALLOCATION,
                0,
                facts.sellable,
                f"set aside for {channel}",
                "",
                now,
            )
            tx.add_bundle([movement], {subject: channel}, now)
            asked = True
    return asked
