"""Stock counts: what was counted, what the ledger said of that moment, and postings that come in later.

The variance of a count is what was counted less the ledger's sum of everything that had *happened* up to the
count. A posting entered later that happened before the count is in the counted number already: the goods had
left, or were there. It is entered all the same, for it has happened, together with its *compensation*, an
equal movement the other way at the moment of the count. So this holds whenever nothing is under way:

    the sum of all rows that occurred up to the last count = what was counted

Anything weaker fails. Against the level at the time of entering, what was sold since is counted as missing;
without compensation, the 17:00 sale that is told after the 18:00 count is subtracted twice.

The org keeps moments in whole seconds, and so does the comparison. What happened in the very second of a
count counts as seen by it. Between two counts, and for compensations (which stand at the moment of a count),
only the strictly earlier is late: the last count is never itself compensated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .fold import LedgerRow
from .stock import (
    CLOCK_SKEW,
    LevelKey,
    Movement,
    MovementKind,
    StockLevel,
    count_subject,
    late_subject,
    step_key,
)

MOST_UNITS = 10_000  # of one level; more are no count but a mistake, unless somebody says that it is so
OLDEST_DAYS = 14  # the same of a count's age: a month or a year mistyped is more than that
# What to do, by the problem; the same words whichever way a count came.
REMEDIES = {
    "wrong": "correct it",
    "too-many": (
        "correct the number; or, if it is true, raise --most, most_units in the request, or [counts] "
        "most_units in the settings"
    ),
    "long-ago": (
        "correct the date; or, if it is true, give --old, old in the request, or [counts] oldest_days in the "
        "settings"
    ),
    "unknown-level": "correct SKU and location, or create the stock level in the org",
    "id-reused": "give a recount its own moment or id",
    "too-old": "count again, and date the count when it was made",
    "refused": "see `sfsync dead-letters`",
    "try-later": "send the same request again",
}

_LATE = late_subject("")


@dataclass(frozen=True, slots=True)
class Count:
    """One level counted: `units` were there at `at`. `count_id` is the count's own; it is entered once."""

    count_id: str
    level: LevelKey
    units: int
    at: datetime
    reference: str = ""  # which sheet, for people
    counted_by: str = ""
    reason: str = ""  # why it was counted
    record_id: str = ""  # of the record in the org that it was made as; "": made elsewhere
    stamped: bool = False  # a clock has dated it, nobody could mistype its moment

    @property
    def words(self) -> str:
        """What stands in the ledger for people: why, by whom, on which sheet; else the count's own id."""
        by = f"counted by {self.counted_by}" if self.counted_by else ""
        return "; ".join(filter(None, (self.reason, by, self.reference))) or self.count_id

    @property
    def subject(self) -> str:
        """The subject of its movements."""
        return count_subject(self.count_id, self.level)

    @property
    def told(self) -> str:
        """What its source said, as its movements carry it (their source version)."""
        return f"counted {self.units}"


@dataclass(frozen=True, slots=True)
class CountOutcome:
    """What became of a count.

    `state` is "entered" or "waiting" (written down, and entered when the org answers). `problem` is "" or
    "wrong", "too-many" or "long-ago" (not believed without a person's word), "id-reused", "unknown-level",
    "too-old" (its level's books begin later, or were folded later), "refused" (the org will not take it),
    "try-later" (the org does not answer): nothing is entered then.
    `variance` is counted - ledger at that instant; None where the ledger was not read for it. `again`: the
    same count was told before, and this is what became of it then.
    """

    state: str = ""
    variance: int | None = None
    problem: str = ""
    detail: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Sure:
    """A person's word on some counts: so many units of one level may be true, and dates of long ago."""

    most_units: int | None = None
    old: bool = False


NOT_SURE = Sure()


@dataclass(frozen=True, slots=True)
class Believed:
    """What is entered without asking: so many units of one level, and counts so old. None: of any age."""

    most_units: int = MOST_UNITS
    oldest: timedelta | None = timedelta(days=OLDEST_DAYS)

    def told(self, sure: Sure) -> Believed:
        """The same once a person has given their word."""
        most = self.most_units if sure.most_units is None else sure.most_units
        return Believed(most, None if sure.old else self.oldest)


def doubt(count: Count, believed: Believed, now: datetime) -> CountOutcome | None:
    """Why a count is not entered before a person has said that it is so; None when it is believed.

    A barcode in the wrong field, a month mistyped: entered, it would put on sale what is not there.
    """
    if count.units > believed.most_units:
        found = f"{count.units:,} units of {count.level} are more than the {believed.most_units:,} believed"
        return CountOutcome(problem="too-many", detail=found)
    if believed.oldest is None or count.stamped or now - count.at <= believed.oldest:
        return None
    detail = (
        f"the count of {count.level} is dated {count.at:%Y-%m-%d}, {(now - count.at).days:,} days ago; "
        f"no more than {believed.oldest.days:,} are believed"
    )
    return CountOutcome(problem="long-ago", detail=detail)


def identity(at: datetime, counted_by: str) -> str:
    """The id of a count that was given none: one person counts a level once in a second."""
    moment = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"{moment}/{counted_by}" if counted_by else moment


def second(at: datetime) -> datetime:
    """A moment as the org keeps it."""
    return at.replace(microsecond=0)


def on_hand_at(rows: Iterable[LedgerRow], at: datetime) -> int:
    """The ledger's sum of everything that had happened at a level up to a moment, whenever entered."""
    return sum(row.movement.on_hand_delta for row in rows if second(row.happened_at) <= second(at))


def folded_after(rows: Iterable[LedgerRow], at: datetime) -> datetime | None:
    """The last moment that folded rows reach, when it is after `at`: nobody knows any more what was when."""
    found = [second(row.happened_at) for row in rows if row.folded is not None]
    return max((each for each in found if each > second(at)), default=None)


def began_after(rows: Iterable[LedgerRow], count: Count) -> datetime | None:
    """When a level's books begin, when that is after the count: what was there then, they do not say.

    The sum of nothing is no stock: taken for that, all that was counted would come on top of what was opened
    with. A level that has no movement but counts begins with its first one.
    """
    others = [row for row in rows if row.movement.subject != count.subject]
    began = min((second(row.happened_at) for row in others), default=None)
    if began is None or began <= second(count.at):
        return None
    return began if any(row.movement.kind is not MovementKind.COUNT for row in others) else None


def movement(count: Count, step: int, variance: int) -> Movement:
    """The row that enters a count, or (a later step) what was missing in it. Zero is entered too."""
    return Movement(
        step_key(count.subject, step),
        count.subject,
        count.level,
        MovementKind.COUNT,
        variance,
        0,
        count.words,
        count.told,
        second(count.at),
    )


def missing(
    row: Movement, rows: Sequence[LedgerRow], step: int, under_way: Iterable[Movement] = ()
) -> Movement | None:
    """The next step of a count of which `row` stands: what its variance did not see; None if nothing.

    `under_way` are compensations of the rows that the org does not have yet. Those that name this very count
    are as good as there; one that names an older count is late itself when it comes, and taken back then.
    """
    at = second(row.occurred_at)
    soon = sum(each.on_hand_delta for each in under_way if second(each.occurred_at) == at)
    units = int(row.source_version.rpartition(" ")[2]) - on_hand_at(rows, at) - soon
    if not units:
        return None
    return Movement(
        step_key(row.subject, step),
        row.subject,
        row.level,
        MovementKind.COUNT,
        units,
        0,
        row.reference,
        row.source_version,
        row.occurred_at,
    )


def last_counted(level: StockLevel, now: datetime) -> datetime | None:
    """When a level was last counted; None, too, where that is said to be still to come.

    Somebody has dated a count ahead then: which rows came before it, only the rows themselves tell.
    """
    at = level.counted_at
    return None if at is None or at > now + CLOCK_SKEW else at


def is_late(row: Movement, counted_at: datetime | None) -> bool:
    """True when the level was counted after the movement happened: the count has seen it."""
    if counted_at is None or not row.on_hand_delta:
        return False
    happened, counted = second(row.occurred_at), second(counted_at)
    if row.kind is MovementKind.COUNT or row.subject.startswith(_LATE):
        return happened < counted
    return happened <= counted


def compensation(row: Movement, counted_at: datetime) -> Movement:
    """The movement that takes back a late one, at the moment of the count that it names."""
    subject = late_subject(row.key)
    at = second(counted_at)
    return Movement(
        step_key(subject, 0),
        subject,
        row.level,
        MovementKind.ADJUSTMENT,
        -row.on_hand_delta,
        0,
        f"in the count of {at:%Y-%m-%d %H:%M:%S} UTC: {row.key}",
        "",
        at,
    )


def counted_before(row: Movement, rows: Sequence[LedgerRow]) -> datetime | None:
    """The moment of the last count, when a late movement was entered after it; else None.

    `rows` are the level's, in the order entered. A count entered after the movement has seen it in the
    ledger, and its variance allowed for it.
    """
    place = next((n for n, each in enumerate(rows) if each.movement.key == row.key), None)
    counts = [
        (second(each.happened_at), n)
        for n, each in enumerate(rows)
        if each.movement.kind is MovementKind.COUNT and n != place
    ]
    if place is None or not counts:
        return None
    at, entered = max(counts)
    return at if entered < place and is_late(row, at) else None
