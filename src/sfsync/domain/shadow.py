"""In shadow: what another integration did, held against what sfsync would have done.

Two questions are answered from what was seen. Which of the movements that others entered belong to which
sale: a movement that names an order is certainly that order's; one that says nothing at all, but takes units
of the SKU after the sale, may be. And when did a channel show another number than it would have been told:
its number is known only when it was read, so every duration has a least and a most.

Nothing here claims what cannot be known. Of a mirrored channel it is told since when it would have shown
nothing, and how long before the order that was; never that the customer would not have bought.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .ats import Guarantee
from .ledger import Request, RowAnswer, RowResult
from .reservations import order_names
from .stock import LevelKey, Movement, MovementKind, StockLevel

GOES_UNSAID = timedelta(
    hours=24
)  # a movement without words is taken for a sale's no later than this after it
SHORTEST = 3  # digits of an order's bare number: fewer count lines, shops or units in many a key
CLOCKS = timedelta(minutes=1)  # an order's movement was not made longer before the order
# A storefront tells times in whole seconds: what was right so short before the order may have been too late.
CLOSE_SECONDS = 2.0
_WORDS = re.compile(r"[\s,;:/|()\[\]]+")


# -- what others entered, and for which sale -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sale:
    """An order line as it was heard. Quantities in units."""

    subject: str
    channel: str
    order_id: str
    order_name: str
    sku: str
    location: str  # the channel's own
    units: int  # the most that it ever wanted
    wanted: int  # what it wants now: less what was called off
    placed_at: datetime
    heard_at: datetime
    uncovered: int = 0  # units that no stock covered when it was to be entered, at most
    uncovered_at: datetime | None = None

    @property
    def names(self) -> frozenset[str]:
        """What a movement may call its order by."""
        last = self.order_id.rpartition("/")[2]
        names = {self.order_id, last, *order_names(self.order_name)} - {""}
        return frozenset(name for name in names if not (name.isdigit() and len(name) < SHORTEST))


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement that somebody else entered in the org."""

    id: str
    level: LevelKey
    kind: MovementKind
    on_hand_delta: int
    reserved_delta: int
    words: str  # its reference, subject and key
    created_at: datetime

    @property
    def units(self) -> int:
        """Units that it takes from what may be sold; negative when it gives some back."""
        return self.reserved_delta - self.on_hand_delta


@dataclass(frozen=True, slots=True)
class Match:
    """Whose a movement is. `certain`: it names the order; else nothing speaks against it.

    `or_at`: other channels that sold the same under the same name, where nothing tells the two apart.
    """

    subject: str
    certain: bool
    or_at: frozenset[str] = frozenset()


def named(words: str) -> frozenset[str]:
    """The words of a movement that may be an order's name or id."""
    return frozenset(part for part in _WORDS.split(words) if part) | {words.strip()}


def matched(sales: Collection[Sale], entries: Iterable[Entry]) -> dict[str, Match]:
    """For each movement that is a sale's, by the movement's id. All are of one SKU.

    Those that name an order come first; of those that say nothing, each goes to the oldest sale before it
    that still lacks its units. What names something else, a till's receipt say, is no sale of a channel.
    """
    by_name: dict[str, list[Sale]] = defaultdict(list)
    for sale in sales:
        for name in sale.names:
            by_name[name].append(sale)
    lacks = {sale.subject: sale.wanted for sale in sales}
    found: dict[str, Match] = {}
    silent: list[Entry] = []
    for entry in sorted(entries, key=lambda each: (each.created_at, each.id)):
        words = named(entry.words)
        meant = {
            sale.subject: sale
            for word in sorted(words)
            for sale in by_name.get(word, ())
            if sale.placed_at - CLOCKS <= entry.created_at  # a till's receipt may have an order's number
        }
        if meant:
            sale = max(meant.values(), key=lambda each: _likeness(each, words, entry, lacks))
            like = _likeness(sale, words, entry, lacks)
            told_apart = like[0] or like[1]
            others = frozenset() if told_apart else {each.channel for each in meant.values()}
            found[entry.id] = Match(sale.subject, certain=True, or_at=frozenset(others - {sale.channel}))
            lacks[sale.subject] -= entry.units
        elif not entry.words.strip() and entry.units > 0:
            silent.append(entry)
    oldest = sorted(sales, key=lambda each: (each.placed_at, each.subject))
    for entry in silent:
        sale_of = next((sale for sale in oldest if _may_be(sale, entry, lacks[sale.subject])), None)
        if sale_of is not None:
            found[entry.id] = Match(sale_of.subject, certain=False)
            lacks[sale_of.subject] -= entry.units
    return found


def _likeness(
    sale: Sale, words: Collection[str], entry: Entry, lacks: Mapping[str, int]
) -> tuple[bool, bool, bool, str]:
    """Two shops may both have an order #1001: its id, the shop's name and what it lacks tell them apart."""
    ids = {sale.order_id, sale.order_id.rpartition("/")[2]}
    return bool(ids & set(words)), sale.channel in words, lacks[sale.subject] >= entry.units, sale.subject


def _may_be(sale: Sale, entry: Entry, lacking: int) -> bool:
    since = entry.created_at - sale.placed_at
    return lacking >= entry.units and timedelta(0) <= since <= GOES_UNSAID


@dataclass(frozen=True, slots=True)
class Booked:
    """How a sale stands in the org, by what others entered for it."""

    sale: Sale
    units: int  # entered for it, net
    certain: int  # of these, by movements that name the order
    first_at: datetime | None  # when the first of them was made
    or_at: frozenset[str] = frozenset()  # channels whose order of the same name they may be

    @property
    def late_seconds(self) -> float | None:
        """From the sale to its first movement; None before that."""
        if self.first_at is None:
            return None
        return max(0.0, (self.first_at - self.sale.placed_at).total_seconds())

    @property
    def missing(self) -> int:
        """Units sold that nobody has entered."""
        return max(0, self.sale.wanted - max(0, self.units))

    @property
    def doubled(self) -> int:
        """Units entered beyond what was ever sold; only movements that name the order count."""
        return max(0, self.certain - self.sale.units)


def booked(sales: Iterable[Sale], entries: Iterable[Entry], matches: Mapping[str, Match]) -> list[Booked]:
    """Each sale with what was entered for it."""
    own: dict[str, list[tuple[Entry, Match]]] = defaultdict(list)
    for entry in entries:
        if (match := matches.get(entry.id)) is not None:
            own[match.subject].append((entry, match))
    return [
        Booked(
            sale,
            sum(entry.units for entry, _ in own[sale.subject]),
            sum(entry.units for entry, match in own[sale.subject] if match.certain),
            min((entry.created_at for entry, _ in own[sale.subject] if entry.units > 0), default=None),
            frozenset[str]().union(*(match.or_at for _, match in own[sale.subject])),
        )
        for sale in sales
    ]


# -- what a channel showed, and would have shown -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Would:
    """From `at` on the channel would have shown this number."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class Seen:
    """This number was read at the channel, first and last; between the two it was never seen another."""

    number: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Apart:
    """A time for which a channel showed another number than it would have been told.

    `behind`: it began with sfsync's number and ended with the channel's, so that the channel was later.
    Between two readings nobody knows when a number changed: it lasted `least_seconds` at least, and
    `most_seconds` at most. `ended_at` None: it still lasts.
    """

    began_at: datetime
    ended_at: datetime | None
    would: int  # at its beginning
    showed: int
    least_seconds: float
    most_seconds: float
    behind: bool

    @property
    def too_high(self) -> bool:
        """True when more was on show than there was to sell."""
        return self.showed > self.would


@dataclass(frozen=True, slots=True)
class Compared:
    """What a channel showed of one number, held against what it would have been told.

    Not `met`: the two were never equal. Then another policy is at work there, and no difference is lateness.
    """

    met: bool
    apart: tuple[Apart, ...] = ()


def compared(would: Sequence[Would], seen: Sequence[Seen], until: datetime) -> Compared:
    """Every time for which the two differed since they were first equal, oldest first.

    Both are in the order of time. A number that was read counts as shown until another is read. Nothing is
    on offer below zero, as at zero: how far below is a matter of the books.
    """
    changes: list[tuple[datetime, int, Would | tuple[Seen, datetime]]] = [
        (each.at, 0, each) for each in would
    ]
    before: datetime | None = None
    for spell in seen:
        changes.append((spell.first_at, 1, (spell, before or spell.first_at)))
        before = spell.last_at
    changes.sort(key=lambda each: each[:2])
    found: list[Apart] = []
    should: int | None = None
    shows: int | None = None
    began: _Began | None = None
    met = False
    for at, _, change in changes:
        ours, surely = isinstance(change, Would), at  # until then it was as before, for certain
        if isinstance(change, Would):
            should = max(0, change.number)
        else:
            shows, surely = max(0, change[0].number), change[1]
        if should is None or shows is None:
            continue
        if should == shows:
            if began is not None:
                found.append(began.ended(at, surely, by_us=ours))
            began, met = None, True
        elif began is None and met:
            began = _Began(at, at if ours else surely, should, shows, ours)
    if began is not None:
        found.append(began.lasting(max(seen[-1].last_at, began.latest), until))
    return Compared(met, tuple(found))


@dataclass(frozen=True, slots=True)
class _Began:
    """A difference whose end is not known yet: it began between `earliest` and `latest`."""

    latest: datetime
    earliest: datetime
    would: int
    showed: int
    by_us: bool

    def ended(self, at: datetime, surely: datetime, *, by_us: bool) -> Apart:
        """It was over by `at`, and not before `surely`."""
        least = max(0.0, (surely - self.latest).total_seconds())
        most = max(least, (at - self.earliest).total_seconds())
        return Apart(self.latest, at, self.would, self.showed, least, most, self.by_us and not by_us)

    def lasting(self, last_seen: datetime, until: datetime) -> Apart:
        """It is not over."""
        least = (last_seen - self.latest).total_seconds()
        most = max(least, (until - self.earliest).total_seconds())
        return Apart(self.latest, None, self.would, self.showed, least, most, self.by_us)


def number_at(would: Sequence[Would], at: datetime) -> int | None:
    """What it would have shown at a moment; None before anything is known."""
    return next((step.number for step in reversed(would) if step.at <= at), None)


def below_since(would: Sequence[Would], units: int, at: datetime) -> datetime | None:
    """Since when, at that moment, it would have shown fewer units than these; None: it would not have."""
    since: datetime | None = None
    for step in would:
        if step.at > at:
            break
        if step.number >= units:
            since = None
        elif since is None:
            since = step.at
    return since


def drop_own_sales(
    found: Iterable[Apart], sales: Collection[Sale], channel: str, sku: str, location: str
) -> list[Apart]:
    """Without what a channel's own sale explains: its number falls by itself, before anybody hears of it.

    What is read low before the sale was heard is that sale, and so is what was not read again after it.
    """
    own = [
        sale
        for sale in sales
        if (sale.channel, sale.sku) == (channel, sku) and sale.location in (location, "")
    ]
    return [each for each in found if not any(_explains(sale, each) for sale in own)]


def _explains(sale: Sale, each: Apart) -> bool:
    second = timedelta(seconds=1)
    if each.too_high:
        return each.least_seconds == 0 and abs(each.began_at - sale.heard_at) <= second
    return not each.behind and sale.placed_at - second <= each.began_at <= sale.heard_at + second


# -- sales beyond stock --------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What sfsync's numbers would have meant for a sale beyond stock."""

    REFUSED = "refused"  # gated: it would have asked first, and the answer would have been no
    OTHER_UNITS = "ring-fenced"  # allocated: sold out of units that nobody else could sell
    SOLD_OUT = "allocation sold out"  # allocated: nothing of its own was left to show
    ASKED_FIRST = (
        "asked first"  # gated, and units were left: it, or whoever came next, would have been refused
    )
    NOT_ON_SHOW = "not on show"  # mirrored: it would have shown too few by then
    TOO_CLOSE = "too close to tell"
    STILL_ON_SHOW = "would have happened"  # the number would still have been there
    UNKNOWN = "not known"  # nothing was known of the number yet


PREVENTED = frozenset({Outcome.REFUSED, Outcome.OTHER_UNITS, Outcome.SOLD_OUT, Outcome.NOT_ON_SHOW})


@dataclass(frozen=True, slots=True)
class Oversell:
    """Units of an order that no stock covered, and what sfsync would have meant for it."""

    sale: Sale
    guarantee: Guarantee
    outcome: Outcome
    would_show: int | None  # at the moment of the order
    since: datetime | None  # it would have shown too few
    before_seconds: float | None  # the order
    shown_until: datetime | None  # when the channel was last read to show enough for it

    @property
    def prevented(self) -> bool:
        """True when the sale would not have been on offer, as far as can be known."""
        return self.outcome in PREVENTED


def oversell(sale: Sale, guarantee: Guarantee, would: Sequence[Would], seen: Sequence[Seen]) -> Oversell:
    """What would have become of a sale beyond stock under the guarantee that its SKU has at its channel."""
    shown = number_at(would, sale.placed_at)
    since = below_since(would, sale.units, sale.placed_at)
    seconds = None if since is None else (sale.placed_at - since).total_seconds()
    enough = [spell.last_at for spell in seen if spell.number >= sale.units]
    return Oversell(
        sale,
        guarantee,
        _outcome(sale, guarantee, shown, seconds),
        shown,
        since,
        seconds,
        max(enough, default=None),
    )


def _outcome(sale: Sale, guarantee: Guarantee, shown: int | None, seconds: float | None) -> Outcome:
    if shown is None:
        return Outcome.UNKNOWN
    if shown >= sale.units:
        still = {Guarantee.GATED: Outcome.ASKED_FIRST, Guarantee.ALLOCATED: Outcome.OTHER_UNITS}
        return still.get(guarantee, Outcome.STILL_ON_SHOW)
    if guarantee is Guarantee.GATED:
        return Outcome.REFUSED
    if seconds is None or seconds < CLOSE_SECONDS:
        return Outcome.TOO_CLOSE
    return Outcome.SOLD_OUT if guarantee is Guarantee.ALLOCATED else Outcome.NOT_ON_SHOW


# -- numbers of a report -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spread:
    """Durations in seconds: how many, the middle one, the one that 99 of 100 do not exceed, the longest."""

    count: int
    p50: float | None
    p99: float | None
    worst: float | None


def spread(seconds: Iterable[float]) -> Spread:
    """Of any durations."""
    ordered = sorted(seconds)
    if not ordered:
        return Spread(0, None, None, None)
    return Spread(len(ordered), _rank(ordered, 50), _rank(ordered, 99), ordered[-1])


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


# -- the ledger that sfsync would have written ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a level would have beyond what the org has, had sfsync entered its rows and others not theirs.

    `changes` grows with every change, so that a level with its overlay never seems to go back.
    """

    on_hand: int = 0
    reserved: int = 0
    changes: int = 0

    def with_(self, on_hand: int, reserved: int) -> Overlay:
        """With other numbers; the same one when they are the same."""
        if (on_hand, reserved) == (self.on_hand, self.reserved):
            return self
        return Overlay(on_hand, reserved, self.changes + 1)


def answered(
    request: Request, levels: Mapping[LevelKey, StockLevel], rows: Mapping[str, Movement]
) -> tuple[dict[str, RowAnswer], list[Movement]]:
    """What the org would answer to a request, and the movements that it would take, in their order.

    `levels` as they would stand, `rows` what was taken before, by key. The rule is the org's own: what raises
    reserved is refused where on hand would not cover it; nothing else ever is.
    """
    numbers = {key: (level.on_hand, level.reserved) for key, level in levels.items()}
    results: dict[str, RowAnswer] = {}
    taken: list[Movement] = []
    collections: list[Sequence[Movement]] = [
        (movement,) for bundle in request.singles for movement in bundle.movements
    ]
    if request.handed:
        collections.append([movement for bundle in request.handed for movement in bundle.movements])
    collections += [bundle.movements for bundle in request.groups]
    known = set(rows)
    for collection in collections:
        refused = _refused(collection, numbers, known)
        for movement in collection:
            rolled_back = RowAnswer(RowResult.ROLLED_BACK, "another row of its collection was refused")
            results[movement.key] = (
                refused.get(movement.key, rolled_back) if refused else RowAnswer(RowResult.CREATED)
            )
        if not refused:
            taken += collection
            known |= {movement.key for movement in collection}
            for movement in collection:
                on_hand, reserved = numbers[movement.level]
                numbers[movement.level] = (
                    on_hand + movement.on_hand_delta,
                    reserved + movement.reserved_delta,
                )
    return results, taken


def _refused(
    collection: Sequence[Movement], numbers: Mapping[LevelKey, tuple[int, int]], known: Collection[str]
) -> dict[str, RowAnswer]:
    """The rows of an all-or-none collection that keep it out, each with the reason."""
    found: dict[str, RowAnswer] = {}
    for movement in collection:
        if movement.key in known:
            found[movement.key] = RowAnswer(RowResult.DUPLICATE, "its key is there already")
        elif movement.level not in numbers:
            found[movement.key] = RowAnswer(RowResult.WRONG, f"the org has no stock level {movement.level}")
    if found:
        return found
    for level in {movement.level for movement in collection}:
        at = [movement for movement in collection if movement.level == level]
        on_hand, reserved = numbers[level]
        raised = sum(movement.reserved_delta for movement in at)
        after = on_hand + sum(movement.on_hand_delta for movement in at), reserved + raised
        if raised > 0 and after[0] < after[1]:
            said = f"{raised} wanted of {level}, {max(0, on_hand - reserved)} available"
            found |= {each.key: RowAnswer(RowResult.INSUFFICIENT, said) for each in at}
    return found
