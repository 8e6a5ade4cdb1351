"""A shadow's report: what was seen, held against what would have been. JSON-ready."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sfsync.domain.assortment import PLENTY, Assortment
from sfsync.domain.shadow import (
    Apart,
    Booked,
    Entry,
    Match,
    Outcome,
    Oversell,
    Sale,
    Seen,
    Spread,
    Would,
    booked,
    compared,
    drop_own_sales,
    matched,
    oversell,
    spread,
)
from sfsync.store import shadow as kept
from sfsync.store.shadow import Place
from sfsync.store.tx import SqlTx

HANDED_OVER = timedelta(minutes=15)  # a shadow that was stopped longer ago has handed nothing over
GRAIN = timedelta(seconds=1)  # storefronts tell times in whole seconds, rounded down
NAMED = 20  # cases that are told one by one, the worst first


def report(
    tx: SqlTx, assortment: Assortment, now: datetime, since: datetime | None, late_seconds: float
) -> Mapping[str, Any]:
    """Everything that is kept, or what happened since a moment. `late_seconds`: longer than that is late."""
    spans = kept.spans(tx)
    begin = max(since, spans[0][0]) if since and spans else since or (spans[0][0] if spans else now)
    until = min(now, spans[-1][1]) if spans else now
    every = kept.sales(tx)
    heard = [sale for sale in every if sale.heard_at >= begin]
    entries = kept.entries(tx)
    matches = _matches(every, entries)
    would, seen = kept.numbers(tx)
    standing = booked(heard, entries, matches)
    settled = [each for each in standing if (until - each.sale.heard_at).total_seconds() >= late_seconds]
    channels = [
        _channel(name, begin, until, late_seconds, settled, would, seen, every)
        for name in assortment.channels
    ]
    beyond = _oversold(tx, assortment, heard, would, seen)
    said = {match.subject for match in matches.values()}
    return {
        "since": _moment(begin),
        "until": _moment(until),
        "watched_seconds": round(
            sum((min(end, until) - max(start, begin)).total_seconds() for start, end in spans if end > begin),
            3,
        ),
        "in_shadow": kept.since(tx) is not None,
        "late_seconds": late_seconds,
        "channels": channels,
        "sales": _sales(settled),
        "too_young": len(standing) - len(settled),
        "others_movements": {
            "seen": sum(entry.created_at >= begin for entry in entries),
            "of_sales_by_name": sum(match.certain for match in matches.values()),
            "of_sales_by_number_only": sum(not match.certain for match in matches.values()),
            "sales_found": len(said),
        },
        "would_have_entered": kept.would_have_entered(tx, begin),
        "oversells": {
            "units": sum(each.sale.uncovered for each in beyond),
            "would_not_have_happened": sum(each.sale.uncovered for each in beyond if each.prevented),
            "by_outcome": _counted(beyond),
            "cases": [_told(each) for each in beyond],
        },
    }


def handed_over(
    tx: SqlTx, marks: Mapping[str, datetime | None], now: datetime
) -> tuple[Mapping[str, datetime], Sequence[Booked]]:
    """Since when orders are ours, by channel, and the sales before that which nobody has entered.

    They are ours from where the shadow stopped reading them (`marks`), if that was just now, but none that
    somebody else has entered is; else from now on.
    """
    every, entries = kept.sales(tx), kept.entries(tx)
    standing = booked(every, entries, _matches(every, entries))
    ours: dict[str, datetime] = {}
    for name, mark in marks.items():
        if mark is None or now - mark > HANDED_OVER:
            ours[name] = now
            continue
        others = [each.sale.placed_at for each in standing if each.sale.channel == name and each.units > 0]
        ours[name] = max([mark, *(placed + 2 * GRAIN for placed in others)])
    left = [
        each
        for each in standing
        if each.missing and each.sale.placed_at < ours.get(each.sale.channel, now) - GRAIN
    ]
    return ours, left


def _matches(sales: Iterable[Sale], entries: Iterable[Entry]) -> Mapping[str, Match]:
    by_sku: dict[str, tuple[list[Sale], list[Entry]]] = defaultdict(lambda: ([], []))
    for sale in sales:
        by_sku[sale.sku][0].append(sale)
    for entry in entries:
        by_sku[entry.level.sku][1].append(entry)
    found: dict[str, Match] = {}
    for own, theirs in by_sku.values():
        found |= matched(own, theirs)
    return found


def _channel(
    name: str,
    begin: datetime,
    until: datetime,
    late_seconds: float,
    standing: Sequence[Booked],
    would: Mapping[Place, list[Would]],
    seen: Mapping[Place, list[Seen]],
    sales: Collection[Sale],
) -> Mapping[str, Any]:
    places = sorted(place for place in would if place[0] == name)
    found: list[tuple[Place, Apart]] = []
    never: list[Place] = []
    own = [sale for sale in sales if sale.channel == name]
    for place in places:
        both = compared(would[place], seen.get(place, []), until)
        if not both.met:
            never += [place] if place in seen else []
            continue
        of_sku = [sale for sale in own if sale.sku == place[1]]
        found += [
            (place, each)
            for each in drop_own_sales(both.apart, of_sku, *place)
            if each.ended_at is None or each.ended_at >= begin
        ]
    behind = [each for _, each in found if each.behind and each.ended_at is not None]
    late = [(place, each) for place, each in found if each.least_seconds > late_seconds]
    late.sort(key=lambda one: -one[1].least_seconds)
    return {
        "name": name,
        "numbers": len(places),
        "read": sum(place in seen for place in places),
        "changes": sum(step.at >= begin for place in places for step in would[place]),
        "later_than_sfsync": _spread(spread(each.least_seconds for each in behind)),
        "later_at_most": _spread(spread(each.most_seconds for each in behind)),
        "too_high": _direction(each for _, each in found if each.too_high),
        "too_low": _direction(each for _, each in found if not each.too_high),
        "late": len(late),
        "still_apart": sum(each.ended_at is None for _, each in found),
        "never_equal": len(never),
        "never_equal_named": [{"sku": place[1], "location": place[2]} for place in never[:NAMED]],
        "worst": [_apart(place, each) for place, each in late[:NAMED]],
        "sales": _sales([each for each in standing if each.sale.channel == name], named=False),
    }


def _direction(found: Iterable[Apart]) -> Mapping[str, Any]:
    each = list(found)
    return {
        "times": len(each),
        "unit_seconds": round(sum(abs(one.showed - one.would) * one.least_seconds for one in each), 1),
        **_spread(spread(one.least_seconds for one in each)),
    }


def _apart(place: Place, each: Apart) -> Mapping[str, Any]:
    return {
        "sku": place[1],
        "location": place[2],
        "began_at": _moment(each.began_at),
        "ended_at": None if each.ended_at is None else _moment(each.ended_at),
        "would_show": each.would,
        "showed": each.showed,
        "least_seconds": round(each.least_seconds, 3),
        "most_seconds": round(each.most_seconds, 3),
    }


def _sales(standing: Sequence[Booked], *, named: bool = True) -> dict[str, Any]:
    missing = [each for each in standing if each.missing]
    doubled = [each for each in standing if each.doubled]
    late = [each.late_seconds for each in standing if each.late_seconds is not None]
    heard = [(each.sale.heard_at - each.sale.placed_at).total_seconds() for each in standing]
    told: dict[str, Any] = {
        "lines": len(standing),
        "heard": _spread(spread(max(0.0, each) for each in heard)),
        "entered": _spread(spread(late)),
        "missing": len(missing),
        "doubled": len(doubled),
    }
    if named:
        told["missing_lines"] = [_line(each, units=each.missing) for each in missing]
        told["doubled_lines"] = [_line(each, units=each.doubled) for each in doubled]
    return told


def _line(each: Booked, *, units: int) -> Mapping[str, Any]:
    return {
        **_sale(each.sale),
        "units": units,
        "entered": each.units,
        "sold": each.sale.wanted,
        "or_same_name_at": sorted(each.or_at),
    }


def _sale(sale: Sale) -> dict[str, Any]:
    return {
        "channel": sale.channel,
        "order": sale.order_name,
        "sku": sale.sku,
        "placed_at": _moment(sale.placed_at),
        "heard_at": _moment(sale.heard_at),
    }


def _oversold(
    tx: SqlTx,
    assortment: Assortment,
    heard: Iterable[Sale],
    would: Mapping[Place, list[Would]],
    seen: Mapping[Place, list[Seen]],
) -> list[Oversell]:
    scarce = tx.scarce_skus()
    found = []
    for sale in heard:
        if not sale.uncovered or sale.channel not in assortment.channels:
            continue
        guarantee = assortment.policy(sale.channel, sale.sku, scarce.get(sale.sku, PLENTY)).guarantee
        place = sale.channel, sale.sku, sale.location
        found.append(oversell(sale, guarantee, would.get(place, []), seen.get(place, [])))
    return sorted(found, key=lambda each: each.sale.placed_at)


def _counted(found: Iterable[Oversell]) -> Mapping[str, int]:
    units: dict[str, int] = defaultdict(int)
    for each in found:
        units[each.outcome.value] += each.sale.uncovered
    return dict(units)


def _told(each: Oversell) -> Mapping[str, Any]:
    return {
        **_sale(each.sale),
        "units": each.sale.uncovered,
        "guarantee": each.guarantee.value,
        "outcome": each.outcome.value,
        "would_not_have_happened": each.prevented,
        "would_show": each.would_show,
        "would_show_too_few_since": None if each.since is None else _moment(each.since),
        "seconds_before_the_order": None if each.before_seconds is None else round(each.before_seconds, 3),
        "shown_until": None if each.shown_until is None else _moment(each.shown_until),
        "sentence": sentence(each),
    }


def sentence(each: Oversell) -> str:
    """What may be said of it, and no more."""
    units, sale = each.would_show, each.sale
    since = "" if each.since is None else f"since {each.since:%H:%M:%S}"
    before = "" if each.before_seconds is None else f", {each.before_seconds:.0f} s before the order"
    first = "one" if sale.units == 1 else f"{sale.units}"
    match each.outcome:
        case Outcome.REFUSED:
            return f"{sale.channel} would have asked first, and been refused: {units} left {since}{before}"
        case Outcome.SOLD_OUT:
            return f"its allocation would have been sold out: it would have shown {units} {since}{before}"
        case Outcome.NOT_ON_SHOW:
            return f"would have shown {units} {since}{before}"
        case Outcome.OTHER_UNITS:
            return f"would have been sold out of {units} set aside for {sale.channel} alone"
        case Outcome.ASKED_FIRST:
            return (
                f"{sale.channel} would have asked first; {units} were left at that moment, so whoever "
                "asked next would have been refused, unless it was a till"
            )
        case Outcome.TOO_CLOSE:
            return f"would have shown {units} {since}{before}: too close to tell"
        case Outcome.STILL_ON_SHOW:
            return f"would have happened too: {units} would still have been on show, and {first} was bought"
        case _:
            return "not known: what it would have shown was not decided yet"


def _spread(of: Spread) -> dict[str, Any]:
    return {
        "count": of.count,
        **{
            f"{name}_seconds": None if value is None else round(value, 3)
            for name, value in (("p50", of.p50), ("p99", of.p99), ("worst", of.worst))
        },
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["handed_over", "report", "sentence"]
