"""How fast goods sell, what lacks where, what lies too long, and which shelf to count next.

::

    sell-through  = sold / (sold + on hand now) x 100        of what could have been sold, how much was
    velocity      = sold / days                              units a day; what came back is told beside it
    days of cover = available / velocity
    wanted        = velocity x (lead days + cover days)      rounded up
    lacking       = wanted - available
    over-bought   = available - velocity x over days         rounded down; all of what never sells
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest
from math import ceil, floor
from operator import itemgetter

from sfsync.domain.words import counted

from .stock import LevelKey, MovementKind

SOLD = (MovementKind.SALE, MovementKind.FULFILMENT)
BACK = (MovementKind.RETURN,)
UNKNOWN = "unknown"
INTERVALS = {"A": 30, "B": 90, "C": 180}  # days within which each class is to be counted
SHARES = {"A": 0.80, "B": 0.95}  # of all that sells, in money, up to which a class goes
_DUST = 1e-9  # of dividing
NEVER = 2.0  # points of what was never counted


@dataclass(frozen=True, slots=True)
class Turnover:
    """One level: what it holds now, and what was sold of it in so many days."""

    level: LevelKey
    on_hand: int
    available: int
    sold: int
    returned: int
    days: float
    price: float | None = None

    @property
    def velocity(self) -> float:
        """Units a day."""
        return self.sold / self.days

    def sells_in(self, days: int) -> float:
        """Units in so many days, at this pace."""
        return self.sold * days / self.days

    @property
    def worth(self) -> float:
        """What sells in a day, in money; without a price, in units."""
        return self.velocity * (1.0 if self.price is None else self.price)


@dataclass(frozen=True, slots=True)
class SellThrough:
    """What some levels sold together. `percent` and `cover_days` are None where nothing says them."""

    labels: Mapping[str, str]
    sold: int
    returned: int
    on_hand: int
    percent: float | None
    velocity: float
    cover_days: float | None
    value_sold: float  # of the SKUs with a price


DIMENSIONS = ("location", "sku", "class")


def sell_through(
    rows: Iterable[Turnover], by: Sequence[str], classes: Mapping[str, str]
) -> list[SellThrough]:
    """One line for each combination of labels, what sold most first."""
    said: dict[str, Callable[[Turnover], str]] = {
        "location": lambda row: row.level.location,
        "sku": lambda row: row.level.sku,
        "class": lambda row: classes.get(row.level.sku, UNKNOWN),
    }
    groups: dict[tuple[str, ...], list[Turnover]] = defaultdict(list)
    for row in rows:
        groups[tuple(said[name](row) for name in by)].append(row)
    lines = []
    for key, group in groups.items():
        sold, on_hand = sum(row.sold for row in group), sum(max(0, row.on_hand) for row in group)
        velocity = sum(row.velocity for row in group)
        lines.append(
            SellThrough(
                dict(zip(by, key, strict=True)),
                sold,
                sum(row.returned for row in group),
                on_hand,
                100 * sold / (sold + on_hand) if sold + on_hand > 0 else None,
                velocity,
                sum(max(0, row.available) for row in group) / velocity if velocity > 0 else None,
                sum(row.sold * (row.price or 0.0) for row in group),
            )
        )
    return sorted(lines, key=lambda line: (-line.sold, tuple(line.labels.values())))


@dataclass(frozen=True, slots=True)
class Advice:
    """What one level lacks or has too much of. What lacks comes from elsewhere (`moves`) or is bought."""

    level: LevelKey
    available: int
    velocity: float
    cover_days: float | None
    lacking: int = 0
    moves: Mapping[str, int] = field(default_factory=dict)  # location -> units
    buy: int = 0
    over: int = 0


def replenish(
    rows: Iterable[Turnover],
    *,
    lead_days: int,
    cover_days: int,
    over_days: int,
    location: str | None = None,
    limit: int,
) -> tuple[list[Advice], int]:
    """What lacks first, the shortest cover before the longer; then what is over-bought still, the most first.

    Surplus of another location is moved before anything is bought, to whoever runs out first. Pieces that are
    one of a kind are left out: nobody orders those again. Returns at most `limit` of one location or of all,
    and how many there are.
    """
    made = [row for row in rows if row.level.unit is None]
    lacking: dict[LevelKey, int] = {}
    spare: dict[str, dict[LevelKey, int]] = defaultdict(dict)
    for row in made:
        need = ceil(row.sells_in(lead_days + cover_days) - _DUST) - row.available
        over = row.available - floor(row.sells_in(over_days) + _DUST)
        if need > 0:
            lacking[row.level] = need
        elif over > 0:
            spare[row.level.sku][row.level] = over
    short = sorted((row for row in made if row.level in lacking), key=lambda row: (_cover(row), row.level))
    found = []
    for row in short:
        need, moves = lacking[row.level], dict[str, int]()
        places = spare[row.level.sku]
        for level in sorted(places, key=lambda level: (-places[level], level)):
            if (units := min(need - sum(moves.values()), places[level])) > 0:
                moves[level.location] = units
                places[level] -= units
        if location in (None, row.level.location):
            buy = need - sum(moves.values())
            found.append(Advice(row.level, row.available, row.velocity, _days(row), need, moves, buy))
    idle = [
        row
        for row in made
        if location in (None, row.level.location) and spare[row.level.sku].get(row.level, 0) > 0
    ]
    left = {row.level: spare[row.level.sku][row.level] for row in idle}
    most = nsmallest(
        max(0, limit - len(found)), idle, key=lambda row: (-left[row.level] * (row.price or 1.0), row.level)
    )
    told = found[:limit] + [
        Advice(row.level, row.available, row.velocity, _days(row), over=left[row.level]) for row in most
    ]
    return told, len(found) + len(idle)


def _days(row: Turnover) -> float | None:
    return max(0, row.available) / row.velocity if row.velocity > 0 else None


def _cover(row: Turnover) -> float:
    days = _days(row)
    return float("inf") if days is None else days


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a level's counts: the last one, and how far the books were off then."""

    at: datetime
    variance: int


@dataclass(frozen=True, slots=True)
class CountNext:
    """A level to count, with its points and every reason for them."""

    level: LevelKey
    points: float
    abc: str
    on_hand: int
    counted_at: datetime | None
    why: tuple[str, ...]


def abc_classes(rows: Iterable[Turnover]) -> dict[LevelKey, str]:
    """A: what makes the first 80 % of what sells, in money; B: the next 15 %; C: all the rest.

    The level that crosses a border still belongs to the class before it.
    """
    ordered = sorted(rows, key=lambda row: (-row.worth, row.level))
    whole, before, found = sum(row.worth for row in ordered), 0.0, {}
    for row in ordered:
        share = before / whole if whole else 1.0
        found[row.level] = "A" if share < SHARES["A"] else "B" if share < SHARES["B"] else "C"
        if not row.sold:
            found[row.level] = "C"
        before += row.worth
    return found


def count_next(
    rows: Sequence[Turnover],
    past: Mapping[LevelKey, Past],
    troubles: Mapping[LevelKey, Sequence[str]],
    now: datetime,
    limit: int,
) -> list[CountNext]:
    """Up to `limit` levels, the most pressing first.

    Points: the days since the last count over the days within which its class is to be counted (A 30, B 90,
    C 180; never counted: 2), and one more for each trouble: books below nothing, promises beyond stock, a
    last count that was off, an incident. Of equals A goes before B, and more on the shelf before less.
    """
    classes = abc_classes(rows)
    scored = (
        _scored(row, classes[row.level], past.get(row.level), troubles.get(row.level, ()), now)
        for row in rows
    )
    return [each for _, each in nsmallest(limit, scored, key=itemgetter(0))]


def _scored(
    row: Turnover, abc: str, last: Past | None, troubles: Sequence[str], now: datetime
) -> tuple[tuple[float, str, float, LevelKey], CountNext]:
    """The level's place in the order, and what is said of it."""
    if last is None:
        points, why = NEVER, ["never counted"]
    else:
        days = max(0.0, (now - last.at).total_seconds() / 86_400)
        points = days / INTERVALS[abc]
        why = [f"counted {counted(round(days), 'day')} ago; class {abc} is due every {INTERVALS[abc]}"]
        if last.variance:
            why.append(f"off by {last.variance:+} at the last count")
    if row.on_hand < 0:
        why.append(f"the books say {row.on_hand}")
    if row.available < 0:
        why.append(f"{-row.available} promised beyond stock")
    why += troubles
    points += len(why) - 1
    worth = max(0, row.on_hand) * (row.price or 1.0)
    counted_at = None if last is None else last.at
    said = CountNext(row.level, round(points, 2), abc, row.on_hand, counted_at, tuple(why))
    return (-points, abc, -worth, row.level), said
