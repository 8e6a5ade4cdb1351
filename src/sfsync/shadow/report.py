"""A shadow's report: what was seen, held against what would have been. JSON-ready.

A house's weeks are more than memory should hold: numbers are read place by place, sales by some hundred SKUs
at a time, and of each only what is told is kept.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
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
    Spread,
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
SKUS_AT_ONCE = 500
NAMED = 20  # cases that are told one by one, the worst first


def report(
    tx: SqlTx, assortment: Assortment, now: datetime, since: datetime | None, late_seconds: float
) -> Mapping[str, Any]:
    """Everything that is kept, or what happened since a moment. `late_seconds`: longer than that is late."""
    spans = kept.spans(tx)
    begin = max(since, spans[0][0]) if since and spans else since or (spans[0][0] if spans else now)
    until = min(now, spans[-1][1]) if spans else now
    sales = _Sales(begin, until, late_seconds)
    for standing, matches in _standing(tx):
        sales.add(standing, matches)
    beyond = _oversold(tx, assortment, begin)
    return {
        "since": _moment(begin),
        "until": _moment(until),
        "watched_seconds": round(
            sum((min(end, until) - max(start, begin)).total_seconds() for start, end in spans if end > begin),
            3,
        ),
        "in_shadow": kept.since(tx) is not None,
        "late_seconds": late_seconds,
        "channels": [
            {**_channel(tx, name, begin, until, late_seconds), "sales": sales.of(name).told()}
            for name in assortment.channels
        ],
        "sales": sales.told(),
        "too_young": sales.too_young,
        "others_movements": {
            "seen": kept.count_entries(tx, begin),
            "of_sales_by_name": sales.certain,
            "of_sales_by_number_only": sales.guessed,
            "sales_found": sales.found,
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
    ours: dict[str, datetime] = {}
    others: dict[str, datetime] = {}  # the newest order that somebody else has entered, by channel
    for standing, _ in _standing(tx):
        for each in standing:
            placed, name = each.sale.placed_at, each.sale.channel
            if each.units > 0:
                others[name] = max(placed, others.get(name, placed))
    for name, mark in marks.items():
        if mark is None or now - mark > HANDED_OVER:
            ours[name] = now
        else:
            ours[name] = max(mark, others[name] + 2 * GRAIN) if name in others else mark
    left = [
        each
        for standing, _ in _standing(tx)
        for each in standing
        if each.missing and each.sale.placed_at < ours.get(each.sale.channel, now) - GRAIN
    ]
    return ours, sorted(left, key=lambda each: each.sale.placed_at)


def _standing(tx: SqlTx) -> Iterator[tuple[list[Booked], Mapping[str, Match]]]:
    """How sales stand in the org, some SKUs at a time, and whose the movements of these are."""
    skus = kept.sold_skus(tx)
    for start in range(0, len(skus), SKUS_AT_ONCE):
        part = skus[start : start + SKUS_AT_ONCE]
        sales, entries = kept.sales(tx, skus=part), kept.entries(tx, skus=part)
        matches = _matches(sales, entries)
        yield booked(sales, entries, matches), matches


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


# -- numbers -------------------------------------------------------------------------------------------


class _Times:
    """Durations of differences, and their units times seconds."""

    def __init__(self) -> None:
        self.unit_seconds, self.least, self.most = 0.0, array("d"), array("d")

    def add(self, each: Apart) -> None:
        """One more."""
        self.unit_seconds += abs(each.showed - each.would) * each.least_seconds
        self.least.append(each.least_seconds)
        self.most.append(each.most_seconds)

    def told(self) -> Mapping[str, Any]:
        """How often, how much, how long."""
        return {
            "times": len(self.least),
            "unit_seconds": round(self.unit_seconds, 1),
            **_spread(spread(self.least)),
        }


class _Worst:
    """The late ones: how many, and those that were so for longest."""

    def __init__(self) -> None:
        self.count = 0
        self._longest: list[tuple[Place, Apart]] = []

    def add(self, place: Place, each: Apart) -> None:
        """One more."""
        self.count += 1
        self._longest.append((place, each))
        if len(self._longest) > 8 * NAMED:
            self._longest = self._sorted()

    def _sorted(self) -> list[tuple[Place, Apart]]:
        return sorted(self._longest, key=lambda one: -one[1].least_seconds)[:NAMED]

    def told(self) -> list[Mapping[str, Any]]:
        """Each with its place."""
        return [_apart(place, each) for place, each in self._sorted()]


def _in_parts(
    places: Iterable[tuple[Place, Sequence[Apart]]],
) -> Iterator[list[tuple[Place, Sequence[Apart]]]]:
    """Some at a time, so that one question to the store answers for all of them."""
    places = iter(places)
    while part := list(islice(places, SKUS_AT_ONCE)):
        yield part


def _channel(
    tx: SqlTx, name: str, begin: datetime, until: datetime, late_seconds: float
) -> Mapping[str, Any]:
    behind, high, low, late = _Times(), _Times(), _Times(), _Worst()
    never: list[Place] = []
    count = read = never_equal = still_apart = 0

    def places() -> Iterator[tuple[Place, Sequence[Apart]]]:
        nonlocal count, read, never_equal
        for place, would, seen in kept.numbers(tx, name):
            if not would:
                continue
            count += 1
            read += bool(seen)
            both = compared(would, seen, until)
            if both.apart:
                yield place, both.apart
            elif not both.met and seen:
                never_equal += 1
                never.extend([place] if len(never) < NAMED else [])

    for part in _in_parts(places()):
        sold: dict[str, list[Sale]] = defaultdict(list)
        for sale in kept.sales(tx, skus={sku for (_, sku, _), _ in part}):
            sold[sale.sku].append(sale)
        for place, apart in part:
            for each in drop_own_sales(apart, sold[place[1]], *place):
                if each.ended_at is not None and each.ended_at < begin:
                    continue
                still_apart += each.ended_at is None
                (high if each.too_high else low).add(each)
                if each.behind and each.ended_at is not None:
                    behind.add(each)
                if each.least_seconds > late_seconds:
                    late.add(place, each)
    return {
        "name": name,
        "numbers": count,
        "read": read,
        "changes": kept.count_changes(tx, name, begin),
        "later_than_sfsync": _spread(spread(behind.least)),
        "later_at_most": _spread(spread(behind.most)),
        "too_high": high.told(),
        "too_low": low.told(),
        "late": late.count,
        "still_apart": still_apart,
        "never_equal": never_equal,
        "never_equal_named": [{"sku": place[1], "location": place[2]} for place in never],
        "worst": late.told(),
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


# -- sales ---------------------------------------------------------------------------------------------


class _Lines:
    """Order lines: how soon they were heard, and entered; and which were not, or twice."""

    def __init__(self) -> None:
        self._heard, self._entered = array("d"), array("d")
        self.missing: list[Booked] = []
        self.doubled: list[Booked] = []

    def add(self, each: Booked) -> None:
        """One more."""
        self._heard.append(max(0.0, (each.sale.heard_at - each.sale.placed_at).total_seconds()))
        if each.late_seconds is not None:
            self._entered.append(each.late_seconds)
        self.missing += [each] if each.missing else []
        self.doubled += [each] if each.doubled else []

    def told(self) -> dict[str, Any]:
        """In numbers."""
        return {
            "lines": len(self._heard),
            "heard": _spread(spread(self._heard)),
            "entered": _spread(spread(self._entered)),
            "missing": len(self.missing),
            "doubled": len(self.doubled),
        }


class _Sales:
    """All lines that were heard in time, and those of each channel."""

    def __init__(self, begin: datetime, until: datetime, late_seconds: float) -> None:
        self._begin, self._until, self._late_seconds = begin, until, late_seconds
        self._all, self._by_channel = _Lines(), defaultdict[str, _Lines](_Lines)
        self.too_young = self.certain = self.guessed = self.found = 0

    def add(self, standing: Iterable[Booked], matches: Mapping[str, Match]) -> None:
        """Some more, and whose the movements of their SKUs are."""
        self.certain += sum(match.certain for match in matches.values())
        self.guessed += sum(not match.certain for match in matches.values())
        self.found += len({match.subject for match in matches.values()})
        for each in standing:
            if each.sale.heard_at < self._begin:
                continue
            if (self._until - each.sale.heard_at).total_seconds() < self._late_seconds:
                self.too_young += 1
                continue
            self._all.add(each)
            self._by_channel[each.sale.channel].add(each)

    def of(self, channel: str) -> _Lines:
        """Those of a channel."""
        return self._by_channel[channel]

    def told(self) -> dict[str, Any]:
        """All, with the lines that are wrong, oldest first."""
        missing, doubled = (
            sorted(lines, key=lambda each: each.sale.placed_at)
            for lines in (self._all.missing, self._all.doubled)
        )
        return {
            **self._all.told(),
            "missing_lines": [_line(each, units=each.missing) for each in missing],
            "doubled_lines": [_line(each, units=each.doubled) for each in doubled],
        }


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


# -- sales beyond stock --------------------------------------------------------------------------------


def _oversold(tx: SqlTx, assortment: Assortment, begin: datetime) -> list[Oversell]:
    scarce = tx.scarce_skus()
    found = []
    for sale in kept.sales(tx, uncovered_since=begin):
        if sale.channel not in assortment.channels:
            continue
        guarantee = assortment.policy(sale.channel, sale.sku, scarce.get(sale.sku, PLENTY)).guarantee
        place = sale.channel, sale.sku, sale.location
        numbers = {at: (would, seen) for at, would, seen in kept.numbers(tx, sale.channel, sku=sale.sku)}
        found.append(oversell(sale, guarantee, *numbers.get(place, ([], []))))
    return found


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
