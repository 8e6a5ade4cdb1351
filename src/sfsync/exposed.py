"""Exposure as people are told of it: the store's report in the words of `sfsync exposure` and the status."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sfsync.domain.assortment import PLENTY, Assortment
from sfsync.domain.ats import Guarantee
from sfsync.domain.exposure import ClassExposure, ExposureReport, NumberEmptied, Worst, sooner_by_channel
from sfsync.store import exposure as kept
from sfsync.store.tx import SqlTx
from sfsync.web.status_shape import EmptiedNumber, Exposure, ExposureOfClass, WorstSpell

NAMED = 20  # emptied numbers that are told one by one, those first that were shown longest


def exposure(
    tx: SqlTx, assortment: Assortment, since: datetime, now: datetime, channel: str | None = None
) -> Exposure:
    """Everything that is kept of exposure since a time."""
    begin = since.timestamp()
    mirrors = _mirrors(tx, assortment, kept.emptied_skus(tx, begin))
    return _told(kept.report(tx, mirrors, begin, now.timestamp(), channel=channel))


def classes(tx: SqlTx, since: datetime, now: datetime) -> Mapping[str, list[ExposureOfClass]]:
    """Scarce and deep of each channel, by channel."""
    found: dict[str, list[ExposureOfClass]] = {}
    for each in kept.classes(tx, since.timestamp(), now.timestamp()):
        found.setdefault(each.channel, []).append(_class(each))
    return found


def _mirrors(tx: SqlTx, assortment: Assortment, skus: Collection[str]) -> Mapping[str, Collection[str]]:
    """The channels that mirror each SKU while it is shared."""
    found: dict[str, set[str]] = {}
    for level in tx.channel_levels(skus):
        if level.channel in assortment.channels:
            policy = assortment.policy(level.channel, level.sku, PLENTY)
            if policy.guarantee is Guarantee.MIRRORED:
                found.setdefault(level.sku, set()).add(level.channel)
    return found


def _told(report: ExposureReport) -> Exposure:
    worst_first = sorted(report.emptied, key=lambda each: -each.sooner.gated_seconds)
    return Exposure(
        since=_moment(report.since),
        until=_moment(report.until),
        classes=[_class(each) for each in report.classes],
        sooner=[
            {
                "channel": each.channel,
                "numbers": each.numbers,
                "late": each.late,
                "gated_p99_seconds": round(each.gated_p99_seconds, 3),
                "gated_worst_seconds": round(each.gated_worst_seconds, 3),
                "sold_out_sooner": each.sold_out_sooner,
                "allocated_p99_seconds": _thousandths(each.allocated_p99_seconds),
                "allocated_worst_seconds": _thousandths(each.allocated_worst_seconds),
                "still_selling": each.still_selling,
            }
            for each in sooner_by_channel(report.emptied)
        ],
        emptied=[_emptied(each) for each in worst_first[:NAMED]],
    )


def _class(told: ClassExposure) -> ExposureOfClass:
    return ExposureOfClass(
        channel=told.channel,
        skus="scarce" if told.scarce else "deep",
        units=told.units,
        levels=told.levels,
        oldest_seconds=round(told.oldest_seconds, 3),
        spells=told.spells,
        unit_seconds=round(told.unit_seconds, 3),
        p99_seconds=_thousandths(told.p99_seconds),
        p99_unit_seconds=_thousandths(told.p99_unit_seconds),
        longest=_worst(told.longest),
        largest=_worst(told.largest),
    )


def _worst(told: Worst | None) -> WorstSpell | None:
    if told is None:
        return None
    return WorstSpell(
        sku=told.sku,
        location=told.location,
        began_at=_moment(told.spell.began),
        seconds=round(told.spell.seconds, 3),
        units=told.spell.units,
        unit_seconds=round(told.spell.unit_seconds, 3),
    )


def _emptied(told: NumberEmptied) -> EmptiedNumber:
    return EmptiedNumber(
        channel=told.channel,
        sku=told.sku,
        location=told.location,
        offered=told.emptied.offered,
        offered_at=_moment(told.emptied.offered_at),
        empty_at=_moment(told.emptied.empty_at),
        shown_at=_moment(told.emptied.shown_at),
        gated_sooner_seconds=round(told.sooner.gated_seconds, 3),
        allocated_sooner_seconds=_thousandths(told.sooner.allocated_seconds),
        allocated_left=told.sooner.allocated_left,
    )


def _thousandths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _moment(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
