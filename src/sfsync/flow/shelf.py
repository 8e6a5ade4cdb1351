"""What each channel should show: recomputed for SKUs whose facts have changed, in the same transaction.

A channel level is due while its target differs from what it has published; so nothing has to be remembered,
and a push that brings it there is all it takes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sfsync.domain import ats
from sfsync.domain.assortment import PLENTY, Assortment, InForce
from sfsync.domain.exposure import SCARCE_UNITS, Excess, excess
from sfsync.domain.values import replace
from sfsync.ports import ChannelLevel, Tx

from . import block
from .age import age_seconds
from .allocations import Divider, Own
from .context import Pulse, relay_bell
from .picture import Picture, on_floor
from .rooms import Rooms, limit, with_whole_editions


def ats_facts(
    picture: Picture,
    assortment: Assortment,
    channel: str,
    sku: str,
    location: str,
    *,
    scarce: InForce,
    own: int | None = None,
) -> ats.AtsFacts:
    """What the ATS of one channel level depends on; `own` are the units it should show of its allocation."""
    policy = assortment.policy(channel, sku, scarce)
    sources = assortment.sources(channel, location, sku)
    gated = policy.guarantee is ats.Guarantee.GATED
    holds = gated and assortment.channels[channel].counts_down
    own_reserved, own_asked = picture.own_reserved(sku, channel, sources) if holds else (0, 0)
    return ats.AtsFacts(
        policy,
        on_floor(assortment, picture.levels(sku, sources)),
        own_reserved,
        own_asked,
        own or 0,
        picture.uncovered.get(sku, 0),
        picture.age_seconds,
        sum(units for key, units in block.ready(picture, assortment, sku).items() if key.location in sources)
        if gated
        else 0,
    )


def targets_of(
    divider: Divider, picture: Picture, assortment: Assortment, sku: str, shown: Sequence[ChannelLevel]
) -> dict[tuple[str, str, str], int | None]:
    """What a SKU's channel levels should show, by SKU, channel, location; None where the org has no level.

    Less what a limited edition does not allow, which depends on the edition's other SKUs too (`limit`).
    """
    scarce = divider.scarce(sku)
    own = divider.targets(sku, scarce, shown)
    found: dict[tuple[str, str, str], int | None] = {}
    for level in shown:
        if level.channel not in assortment.channels:
            continue
        units = shows(picture, assortment, level.channel, sku, level.location, scarce=scarce, own=own)
        found[sku, level.channel, level.location] = units if picture.levels(sku) else None
    return found


def shows(
    picture: Picture,
    assortment: Assortment,
    channel: str,
    sku: str,
    location: str,
    *,
    scarce: InForce,
    own: Own,
) -> int:
    """What one channel level should show; `own` has the units that channels should show of their own."""
    units = own.get((channel, location))
    if units is not None and (units < 0 or assortment.division(sku, scarce) is None):
        return units  # a number below zero stays there until the sales behind it are settled
    facts = ats_facts(picture, assortment, channel, sku, location, scarce=scarce, own=units)
    return ats.available_to_sell(facts).units


def refresh(
    tx: Tx,
    assortment: Assortment,
    pulse: Pulse,
    skus: Collection[str],
    now: datetime,
    *,
    channel: str | None = None,
    known: Picture | None = None,
) -> set[str]:
    """Recompute the targets of these SKUs at every channel. Returns the bells to ring.

    `known` are the facts of these SKUs as they stand now, where whoever calls has just read them.

    `channel`: nothing has changed but what is known of this one, so that other channels' targets stay as they
    are. Where a SKU's units are divided among channels, or are an edition's, every channel is looked at.
    """
    if not skus:
        return set()
    skus = with_whole_editions(assortment, skus)
    age = age_seconds(tx, assortment, pulse, now)
    if known is None or not known.skus >= skus:
        picture = Picture(tx.facts(skus), assortment, skus=skus, age_seconds=age)
    else:
        picture, known.age_seconds = known, age
    pulse.sold_out.forget({sku for sku in skus if not _exhausted(picture, assortment, sku)})
    divider = Divider(tx, assortment, pulse, picture, now)
    tied = skus if channel is None else {sku for sku in skus if _tied(assortment, picture, sku)}
    levels = tx.channel_levels(tied)
    if channel is not None:
        levels = [*levels, *tx.channel_levels(skus - tied, channel)]
    by_sku, targets = _decided(tx, assortment, divider, picture, skus, levels)
    for level in levels if assortment.held else ():
        key = level.sku, level.channel, level.location
        targets[key] = goes_on(picture, assortment, level, targets.get(key))
    changed: list[ChannelLevel] = []
    bells: set[str] = set()
    for sku, shown in by_sku.items():
        own = divider.covered(sku, shown)
        for held in shown:
            if held.channel not in assortment.channels:
                continue
            target = targets[held.sku, held.channel, held.location]
            beyond = _excess(divider, picture, assortment, held, target, own)
            level = with_numbers(assortment, held, now, target=target, beyond=beyond)
            if level is not held and level != held:
                changed.append(level)
            if target is not None and (target != held.published or held.unsure):
                bells.add(relay_bell(held.channel))
                pulse.due_since.setdefault((held.channel, held.sku, held.location), now.timestamp())
            else:
                pulse.due_since.pop((held.channel, held.sku, held.location), None)
    tx.put_numbers(changed, now)
    asked = [block.rebalance(tx, assortment, pulse, picture, sku, now) for sku in by_sku]
    if divider.asked or any(asked):
        bells.add("writer")
    return bells


def _exhausted(picture: Picture, assortment: Assortment, sku: str) -> bool:
    """True when there is nothing of a SKU anywhere, nor on its way: who was told no is told no again."""
    return not block.ready(picture, assortment, sku) and all(
        level.on_hand <= level.reserved and not picture.freeing(level.key) for level in picture.levels(sku)
    )


def _tied(assortment: Assortment, picture: Picture, sku: str) -> bool:
    """True when the channels' numbers depend on each other: while units go back to all, too."""
    return assortment.together(sku) or bool(picture.holders(sku))


def foreseen(
    tx: Tx, assortment: Assortment, pulse: Pulse, skus: Collection[str], now: datetime
) -> list[tuple[ChannelLevel, int | None]]:
    """The channel levels of these SKUs, each with the target that `refresh` would give it. Changes nothing.

    Nothing is held: these are the numbers by the settings themselves. The org counts as just heard of: what
    only our being away has closed is no change of the settings.
    """
    skus = with_whole_editions(assortment, skus)
    picture = Picture(tx.facts(skus), assortment)
    divider = Divider(tx, assortment, pulse, picture, now, only_look=True)
    by_sku, targets = _decided(tx, assortment, divider, picture, skus, tx.channel_levels(skus))
    return [
        (level, targets[level.sku, level.channel, level.location])
        for shown in by_sku.values()
        for level in shown
        if level.channel in assortment.channels
    ]


def _decided(
    tx: Tx,
    assortment: Assortment,
    divider: Divider,
    picture: Picture,
    skus: Collection[str],
    levels: Sequence[ChannelLevel],
) -> tuple[dict[str, list[ChannelLevel]], dict[tuple[str, str, str], int | None]]:
    """Channel levels by SKU, and the target of each of them by SKU, channel, location."""
    by_sku: dict[str, list[ChannelLevel]] = {sku: [] for sku in sorted(skus)}
    for level in levels:
        by_sku[level.sku].append(level)
    targets: dict[tuple[str, str, str], int | None] = {}
    for sku, shown in by_sku.items():
        targets |= targets_of(divider, picture, assortment, sku, shown)
    limit(Rooms(tx, assortment), picture, assortment, levels, targets)
    return by_sku, targets


def goes_on(picture: Picture, assortment: Assortment, level: ChannelLevel, target: int | None) -> int | None:
    """What a channel level should show while changed settings wait for a person; `target` is by those.

    It shows what the settings from before say of the present facts, so that a sale and a receipt reach the
    channel as ever; and only of units that both the old and the new settings let it sell. Where its number
    hangs on those of other channels, it follows the new settings down, and rises no more.
    """
    before = assortment.held.get(level.channel)
    if before is None or target is None:
        return target
    if before.together(level.sku) or assortment.together(level.sku):
        return min(target, level.published)
    return kept_sum(picture, assortment, before, level).units


def kept_sum(picture: Picture, assortment: Assortment, before: Assortment, level: ChannelLevel) -> ats.Ats:
    """The sum that the settings from before make of the units that a channel may sell by both."""
    facts = ats_facts(picture, before, level.channel, level.sku, level.location, scarce=PLENTY)
    now = ats_facts(picture, assortment, level.channel, level.sku, level.location, scarce=PLENTY)
    return min(
        ats.available_to_sell(facts),
        ats.available_to_sell(replace(now, policy=facts.policy)),
        key=lambda sum_: sum_.units,
    )


def _excess(
    divider: Divider,
    picture: Picture,
    assortment: Assortment,
    level: ChannelLevel,
    target: int | None,
    own: Own,
) -> Excess | None:
    """What a channel level shows beyond what it may sell; None where that is all beyond its target."""
    rules = assortment.held.get(level.channel, assortment)
    policy = rules.policy(level.channel, level.sku, divider.in_force(level.sku))
    covered, shared = own.get((level.channel, level.location), 0), max(0, target or 0)
    shares = policy.guarantee is ats.Guarantee.MIRRORED
    if policy.guarantee is ats.Guarantee.GATED or (shares and not covered):
        if not level.exposure.units:
            return None
        return Excess(max(0, level.published - shared), shared <= _few(policy))
    if not shares or policy.allocated_elsewhere:
        shared = 0
    places = rules.sources(level.channel, level.location, level.sku)
    left = sum(max(0, each.promised) for each in picture.levels(level.sku, places))
    return excess(level.published, covered, shared, left, _few(policy))


def _few(policy: ats.Policy) -> int:
    return SCARCE_UNITS if policy.scarce_at is None else policy.scarce_at


def with_numbers(
    assortment: Assortment,
    level: ChannelLevel,
    now: datetime,
    *,
    target: int | None,
    published: int | None = None,
    beyond: Excess | None = None,
) -> ChannelLevel:
    """The channel level with new numbers, and its exposure told up to now.

    `beyond` is what it shows beyond what it may sell, if that has just been worked out. Else only its number
    has changed: what is beyond is all beyond its target, or as much more or less than it was.
    """
    before, published = level.published, level.published if published is None else published
    exposure, moment = level.exposure, now.timestamp()
    # A SKU that is divided only while it is scarce was shared before, and may be shown too high until then.
    policy = assortment.held.get(level.channel, assortment).policy(level.channel, level.sku, PLENTY)
    mirrors = policy.guarantee is ats.Guarantee.MIRRORED
    by_target = mirrors and exposure.units == max(0, before - max(0, level.target or 0))
    if beyond is None and exposure.units and not by_target:
        beyond = Excess(max(0, exposure.units + max(0, published) - max(0, before)), scarce=False)
    if mirrors:
        exposure = exposure.at(
            moment,
            published=max(0, published),
            target=max(0, target or 0),
            scarce_at=_few(policy),
            excess=beyond,
        )
    elif policy.guarantee is ats.Guarantee.GATED:
        if exposure.units or exposure.offered:
            exposure = exposure.over(moment)
    else:
        exposure = exposure.alone(moment, beyond)
    if target == level.target and published == level.published and exposure is level.exposure:
        return level
    changed_at = level.changed_at if published == level.published else now
    rises = target is not None and (level.target is None or target > level.target)
    return replace(
        level,
        target=target,
        published=published,
        exposure=exposure,
        changed_at=changed_at,
        raised_at=now if rises else level.raised_at,
    )
