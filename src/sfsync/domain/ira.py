"""Inventory Record Accuracy: how often the books said what was on the shelf.

::

    IRA = accurate counts / counted x 100

A count is *accurate* when its variance (counted less what the ledger held at that moment) lies within a named
tolerance: exactly none, so many units, or so many percent of what the books said. The percentage stands with
the number of counts and the interval in which the true share lies with 95 % confidence (Wilson), since 9 of
10 and 900 of 1,000 are not the same news. Weighted by value, each count weighs its price times the larger of
counted and expected; an interval for that is not told.

A wrong book has two reasons. *Physical error*: goods are missing, or there without an entry. *System drift*:
the books were late, because what had happened before the count was told after it. A posting told late is the
drift of the earliest count that had not seen it; what remains of that count's variance is physical.

A recount, so soon after an observation of the same level that it looks at the same mistake again, is no new
observation and is left out. The next one is measured from that observation, and not from what was left out: a
shelf that is counted every day would fall out of the report for good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt

from .counts import second
from .stock import LevelKey

Z95 = 1.959963984540054  # of the normal distribution, two-sided 95 %
RECOUNT = timedelta(hours=24)
LOOK_BACK = timedelta(days=7)  # before a time that is asked for: whether its first counts are recounts
BANDS = (100.0, 500.0, 1000.0, 5000.0)
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Counted:
    """One count that is in the ledger. `variance` is counted less expected, as entered."""

    level: LevelKey
    units: int
    variance: int
    at: datetime
    entered_at: datetime
    counted_by: str = ""
    reason: str = ""
    price: float | None = None  # of one unit, in the org's currency

    @property
    def expected(self) -> int:
        """What the ledger held at that moment, as far as it knew."""
        return self.units - self.variance

    @property
    def value(self) -> float | None:
        """What the count is about, in money; None without a price."""
        return None if self.price is None else self.price * max(self.units, self.expected, 0)


@dataclass(frozen=True, slots=True)
class Late:
    """A posting that was told after a count that had seen it already."""

    level: LevelKey
    units: int  # its on-hand delta
    at: datetime  # when it happened
    entered_at: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """A count, and how much of its variance is the books' lateness (in units)."""

    count: Counted
    drift: int = 0
    recount: bool = False

    @property
    def physical(self) -> int:
        """The variance that remains when the books are complete."""
        return self.count.variance - self.drift


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a count may be off and still be called accurate: `units`, or `percent` of what was expected."""

    units: int = 0
    percent: float = 0.0

    def __str__(self) -> str:
        if self.percent:
            return f"±{self.percent:g} %"
        return f"±{self.units}" if self.units else "exact"

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """``exact``, ``1`` (units) or ``2%``; `ValueError` says what is wrong."""
        told = text.strip().lower().removeprefix("±").strip()
        if told in ("exact", "0"):
            return cls()
        number = told.removesuffix("%").strip()
        if told.endswith("%") and _decimal(number) and 0 < float(number) <= 100:
            return cls(percent=float(number))
        if number == told and told.isascii() and told.isdigit() and len(told) < 7:
            return cls(int(told))
        raise ValueError(f"{text!r} is no tolerance; give exact, a number of units (1), or percent (2%)")

    def allows(self, off: int, expected: int) -> bool:
        """True when a count that is `off` by so many units is accurate."""
        # 0.57 % of 10,000 are 57, and as a binary fraction a hair less.
        return abs(off) <= max(self.units, abs(expected) * self.percent / 100 + 1e-9)


EXACT = Tolerance()
TOLERANCES = (EXACT, Tolerance(1), Tolerance(percent=2.0))


def observe(
    counts: Iterable[Counted], late: Iterable[Late], recount: timedelta = RECOUNT
) -> list[Observation]:
    """The counts in the order made, each with its drift, recounts marked."""
    by_level: dict[LevelKey, list[Counted]] = defaultdict(list)
    for count in sorted(counts, key=lambda count: (count.at, count.entered_at)):
        by_level[count.level].append(count)
    drift: dict[int, int] = defaultdict(int)
    for posting in late:
        # What was entered before a count stood in the ledger that the count was held against.
        unseen = (
            count
            for count in by_level.get(posting.level, ())
            if second(count.at) >= second(posting.at) and count.entered_at < posting.entered_at
        )
        if (first := next(unseen, None)) is not None:
            drift[id(first)] += posting.units
    found = []
    for made in by_level.values():
        again = recounts([count.at for count in made], recount)
        found += [Observation(count, drift[id(count)], a) for count, a in zip(made, again, strict=True)]
    return sorted(found, key=lambda each: (each.count.at, each.count.level))


def recounts(moments: Iterable[datetime], within: timedelta = RECOUNT) -> list[bool]:
    """Which of one level's counts, in their order, are recounts of the last one that is none."""
    found: list[bool] = []
    last: datetime | None = None
    for at in moments:
        found.append(last is not None and at - last < within)
        last = last if found[-1] else at
    return found


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The share's 95 % interval, in percent; (0, 100) of nothing."""
    if not n:
        return 0.0, 100.0
    share, z2 = hits / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The IRA of some counts under one tolerance. Shares are percent; None of nothing.

    `accurate` and `percent` are as the books were; `complete` is the share when what was told late is
    allowed for, so that only physical error counts.
    """

    tolerance: Tolerance
    n: int
    accurate: int
    percent: float | None
    low: float
    high: float
    complete: float | None
    by_value: float | None  # weighted by value, of the counts with a price

    @classmethod
    def of(cls, seen: Sequence[Observation], tolerance: Tolerance) -> Accuracy:
        """Of observations that are no recounts."""
        right = [each for each in seen if tolerance.allows(each.count.variance, each.count.expected)]
        whole = sum(tolerance.allows(each.physical, each.count.expected + each.drift) for each in seen)
        n = len(seen)
        value = sum(each.count.value or 0.0 for each in seen)
        right_value = sum(each.count.value or 0.0 for each in right)
        return cls(
            tolerance,
            n,
            len(right),
            100 * len(right) / n if n else None,
            *wilson(len(right), n),
            100 * whole / n if n else None,
            100 * right_value / value if value else None,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: what its counts have in common, and what they found."""

    labels: Mapping[str, str]
    n: int
    recounts: int  # left out of everything else
    accuracy: tuple[Accuracy, ...]  # one for each tolerance asked for
    late_only: int  # counts that are off, and only because the books were late
    physical: int  # counts that are off although the books are complete
    missing: int  # units that the counts found missing, and found beyond the books
    found: int
    priced: int  # counts with a price
    net_value: float  # of the variances, in the org's currency
    gross_value: float  # of their absolute values


def line(labels: Mapping[str, str], seen: Sequence[Observation], tolerances: Sequence[Tolerance]) -> Line:
    """What some observations say together."""
    first = [each for each in seen if not each.recount]
    off = [each for each in first if each.count.variance]
    values = [(each.count.price or 0.0) * each.count.variance for each in first]
    return Line(
        labels,
        len(first),
        len(seen) - len(first),
        tuple(Accuracy.of(first, tolerance) for tolerance in tolerances),
        sum(not each.physical for each in off),
        sum(each.physical != 0 for each in first),
        -sum(min(0, each.count.variance) for each in first),
        sum(max(0, each.count.variance) for each in first),
        sum(each.count.price is not None for each in first),
        sum(values),
        sum(map(abs, values)),
    )


def band(price: float | None, bands: Sequence[float] = BANDS) -> str:
    """The value band of a unit's price: ``0-100``, ``100-500`` … each begins at its first number."""
    if price is None:
        return UNKNOWN
    lower = 0.0
    for upper in bands:
        if price < upper:
            return f"{lower:g}-{upper:g}"
        lower = upper
    return f"{lower:g}+"


def _week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02}"


PERIODS: Mapping[str, Callable[[datetime], str]] = {
    "day": lambda at: f"{at:%Y-%m-%d}",
    "week": _week,
    "month": lambda at: f"{at:%Y-%m}",
}
DIMENSIONS = ("location", "class", "band", "sku", "counter", "reason", *PERIODS)


def labels(
    count: Counted, by: Sequence[str], classes: Mapping[str, str], bands: Sequence[float] = BANDS
) -> dict[str, str]:
    """A count's label in each dimension asked for. `classes` is a SKU's class; periods are those of UTC."""
    said: dict[str, Callable[[], str]] = {
        "location": lambda: count.level.location,
        "class": lambda: classes.get(count.level.sku, UNKNOWN),
        "band": lambda: band(count.price, bands),
        "sku": lambda: count.level.sku,
        "counter": lambda: count.counted_by or UNKNOWN,
        "reason": lambda: count.reason or UNKNOWN,
    }
    at = count.at.astimezone(UTC)
    return {name: PERIODS[name](at) if name in PERIODS else said[name]() for name in by}


def group(
    seen: Iterable[Observation],
    by: Sequence[str],
    tolerances: Sequence[Tolerance] = TOLERANCES,
    classes: Mapping[str, str] | None = None,
    bands: Sequence[float] = BANDS,
) -> list[Line]:
    """One line for each combination of labels, in their order; a band in the order of its prices."""
    groups: dict[tuple[str, ...], list[Observation]] = defaultdict(list)
    for each in seen:
        groups[tuple(labels(each.count, by, classes or {}, bands).values())].append(each)
    order = {band(price, bands): n for n, price in enumerate((0.0, *bands))}
    if "band" in by:
        place = by.index("band")
        keys = sorted(
            groups, key=lambda key: (*key[:place], f"{order.get(key[place], 999):03}", *key[place:])
        )
    else:
        keys = sorted(groups)
    return [line(dict(zip(by, key, strict=True)), groups[key], tolerances) for key in keys]


def _decimal(text: str) -> bool:
    whole, _, part = text.partition(".")
    return text.isascii() and whole.isdigit() and (not part or part.isdigit()) and len(text) < 8
