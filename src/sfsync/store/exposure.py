"""The history of exposure, for people: what is kept of spells and emptied numbers as one report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from sfsync.domain.exposure import (
    ClassExposure,
    Emptied,
    ExposureReport,
    NumberEmptied,
    Spell,
    Worst,
    sooner,
    worse_than,
)
from sfsync.store import tables as t
from sfsync.store.prepared import Prepared
from sfsync.store.tx import SqlTx

NEWEST_EMPTIED = 1000  # that are compared with what another guarantee would have done


_SPELL = t.spell.c
_THESE = select(t.spell).where(
    _SPELL.channel == bindparam("b_channel"),
    _SPELL.scarce == bindparam("b_scarce"),
    _SPELL.ended >= bindparam("b_since"),
)
BY_SECONDS = Prepared(_THESE.order_by(_SPELL.seconds.desc(), _SPELL.id).limit(1).offset(bindparam("b_above")))
BY_UNIT_SECONDS = Prepared(
    _THESE.order_by(_SPELL.unit_seconds.desc(), _SPELL.id).limit(1).offset(bindparam("b_above"))
)


def report(
    tx: SqlTx, mirrors: Mapping[str, Collection[str]], since: float, now: float, *, channel: str | None = None
) -> ExposureReport:
    """What is known of exposure since a time, in epoch seconds; of one channel when it is named.

    `mirrors` has the channels that mirror each SKU, by SKU: only SKUs of emptied numbers are looked up.
    """
    return ExposureReport(since, now, classes(tx, since, now, channel), _emptied(tx, mirrors, since, channel))


def emptied_skus(tx: SqlTx, since: float) -> Sequence[str]:
    """The SKUs of the numbers that `report` will tell of."""
    c = t.emptied.c
    newest = select(c.sku).where(c.shown_at >= since).order_by(c.id.desc()).limit(NEWEST_EMPTIED)
    return sorted(set(tx.connection.execute(newest).scalars()))


def classes(tx: SqlTx, since: float, now: float, channel: str | None = None) -> list[ClassExposure]:
    """Scarce and deep of each channel that has shown too much since then, or does now."""
    level, spell = t.channel_level.c, t.spell.c
    open_now = select(
        level.channel,
        level.exposure_scarce.label("scarce"),
        func.sum(level.exposure_units).label("units"),
        func.count().label("levels"),
        func.min(level.exposure_began).label("began"),
    ).where(level.exposure_units > 0)
    ended = select(
        spell.channel,
        spell.scarce,
        func.count().label("spells"),
        func.sum(spell.unit_seconds).label("unit_seconds"),
    ).where(spell.ended >= since)
    if channel is not None:
        open_now, ended = open_now.where(level.channel == channel), ended.where(spell.channel == channel)
    of_now = {
        (row.channel, bool(row.scarce)): row
        for row in tx.connection.execute(open_now.group_by(level.channel, level.exposure_scarce))
    }
    of_then = {
        (row.channel, bool(row.scarce)): row
        for row in tx.connection.execute(ended.group_by(spell.channel, spell.scarce))
    }
    found = []
    for name, scarce in sorted(of_now.keys() | of_then.keys(), key=lambda each: (each[0], not each[1])):
        seen, told = of_now.get((name, scarce)), of_then.get((name, scarce))
        count = told.spells if told is not None else 0
        above = worse_than(count, 99)
        these = {"b_channel": name, "b_scarce": scarce, "b_since": since}
        p99_seconds, longest = _places(tx, BY_SECONDS, these, above) if count else (None, None)
        p99_units, most = _places(tx, BY_UNIT_SECONDS, these, above) if count else (None, None)
        found.append(
            ClassExposure(
                name,
                scarce,
                seen.units if seen is not None else 0,
                seen.levels if seen is not None else 0,
                max(0.0, now - seen.began) if seen is not None else 0.0,
                count,
                told.unit_seconds if told is not None else 0.0,
                None if p99_seconds is None else p99_seconds.seconds,
                None if p99_units is None else p99_units.unit_seconds,
                _worst(longest),
                _worst(most),
            )
        )
    return found


def _places(tx: SqlTx, ordered: Prepared, these: Mapping[str, object], above: int) -> tuple[Any, Any]:
    """The spell with so many worse ones above it, and the worst."""
    worst = ordered.run(tx.connection, {**these, "b_above": 0}).first()
    return (ordered.run(tx.connection, {**these, "b_above": above}).first() if above else worst), worst


def _worst(row: Any) -> Worst | None:
    if row is None:
        return None
    return Worst(row.sku, row.location, Spell(row.began, row.ended, row.units, row.unit_seconds, row.scarce))


def _emptied(
    tx: SqlTx, mirrors: Mapping[str, Collection[str]], since: float, channel: str | None
) -> list[NumberEmptied]:
    c = t.emptied.c
    newest = select(t.emptied).where(c.shown_at >= since).order_by(c.id.desc()).limit(NEWEST_EMPTIED)
    if channel is not None:
        newest = newest.where(c.channel == channel)
    rows = tx.connection.execute(newest).all()
    sales = _own_sales(tx, {row.sku for row in rows})
    found = []
    for row in rows:
        emptied = Emptied(row.offered, row.offered_at, row.empty_at, row.shown_at)
        own = [
            (at, units) for at, units in sales[row.channel, row.sku] if row.offered_at <= at <= row.shown_at
        ]
        sharers = sorted({row.channel, *mirrors.get(row.sku, ())})
        found.append(
            NumberEmptied(
                row.channel, row.sku, row.location, emptied, sooner(emptied, row.channel, sharers, own)
            )
        )
    return found


def _own_sales(tx: SqlTx, skus: Collection[str]) -> Mapping[tuple[str, str], Sequence[tuple[float, int]]]:
    """(when placed, units) of each channel's own sales of these SKUs."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    c = t.order_line.c
    for row in tx.connection.execute(
        select(c.channel, c.sku, c.placed_at, c.taken_quantity).where(t.among(c.sku), c.taken_quantity > 0),
        {"among": sorted(skus)},
    ):
        found[row.channel, row.sku].append((row.placed_at.timestamp(), row.taken_quantity))
    return found
