"""A concession's till: another company's, which tells of its sales afterwards, and is told what it may sell.

A line of a receipt is one sale or return. It is known by till, receipt and line, so that it counts once, by
whichever way and however often it is told. When it happened decides whether a stock count has seen it already
(`counts`); where a till leaves that open, it is taken so that no unit is promised that is not there:

- a local time that comes twice (the clock is put back) is the later one for a sale, the earlier for a return;
- a local time that never was (the clock is put forward) likewise, by the offsets before and after;
- a date alone is the end of the trading day there, or now while that day is not over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from .ats import LevelFacts
from .stock import CLOCK_SKEW, LevelKey, MovementKind, posting_subject

OLDEST = timedelta(days=366)  # what is told later than that is a mistake
DAY_ENDS = time(23, 59, 59)
MOST_UNITS = 100  # of one line of a receipt, unless somebody says that it is so


REMEDIES = {
    "wrong": "correct the row",
    "unknown-level": "correct the SKU, or create the stock level in the org",
    "id-reused": "give each line of a receipt its own number; say receipts_restart if the till begins anew",
    "refused": "see `sfsync dead-letters`",
    "try-later": "send the same again",
}


class Restart(StrEnum):
    """When a till begins its receipt numbers anew."""

    NEVER = "never"
    YEARLY = "yearly"
    DAILY = "daily"


@dataclass(frozen=True, slots=True)
class Till:
    """How one till tells, and what it may sell."""

    name: str
    location: str  # in the org
    zone: tzinfo
    columns: Mapping[str, str] = field(default_factory=dict)  # our name of a column -> the file's
    delimiter: str = ""  # empty: what its first line has most of
    decimal: str = "."
    date_format: str = "YYYY-MM-DD"
    day_ends: time = DAY_ENDS
    restart: Restart = Restart.NEVER
    most_units: int = MOST_UNITS
    partial: bool = False  # of files from a folder: enter the good rows although others are bad
    safety_stock: int = 0  # units of each SKU there that it may not sell
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class TillSale:
    """A line of a receipt: `units` were sold, or came back (negative)."""

    source_id: str
    receipt: str
    line: int
    level: LevelKey
    units: int
    at: datetime
    day_began: datetime | None = None  # where only the day was told, and `at` is its end

    @property
    def subject(self) -> str:
        """The subject of its movement."""
        return posting_subject(self.source_id)

    @property
    def till(self) -> str:
        """The name of the till that told it."""
        return self.source_id.split(":", 2)[1]

    @property
    def kind(self) -> MovementKind:
        """A sale, or a return."""
        return MovementKind.SALE if self.units > 0 else MovementKind.RETURN


@dataclass(frozen=True, slots=True)
class TillOutcome:
    """What became of a line.

    `state` is "entered" or "waiting" (written down, and entered when the org answers). `problem` is "" or
    "wrong", "id-reused", "unknown-level", "refused" (the org will not take it), "try-later": nothing is
    entered then. `again`: it was told before. `late`: a stock count had seen it already, so that it changes
    no number.
    """

    state: str = ""
    problem: str = ""
    detail: str = ""
    again: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class TillReport:
    """A report that was dealt with: when, by which way, and what became of its rows."""

    till: str
    at: datetime
    way: str  # the name of its file in the folder, or "http"
    entered: int  # lines that are in, or wait for the org; those told before among them
    again: int  # of these, told before
    late: int  # of these, seen by a stock count before they were told
    refused: int  # rows that were not entered


@dataclass(frozen=True, slots=True)
class TillHistory:
    """A till's last report, and what it has told since the store was made."""

    last: TillReport
    reports: int
    entered: int
    refused: int


@dataclass(frozen=True, slots=True)
class TillExpected:
    """What the status must know of a till's settings."""

    location: str
    every: timedelta | None = None  # it reports at least so often


def overdue(last: datetime | None, began: datetime | None, every: timedelta | None, now: datetime) -> bool:
    """Whether a till that reports so often should have done so. `began`: when it could for the first time."""
    since = last or began
    return every is not None and since is not None and now - since > every


@dataclass(frozen=True, slots=True)
class MaySell:
    """What a till may sell of a SKU."""

    sku: str
    units: int


def source_id(till: Till, receipt: str, line: int, day: date) -> str:
    """The identity of a line. A spreadsheet drops leading zeros of a number: they are no part of it."""
    number = receipt.lstrip("0") or "0" if receipt.isascii() and receipt.isdigit() else receipt
    match till.restart:
        case Restart.NEVER:
            return f"till:{till.name}:{number}:{line}"
        case Restart.YEARLY:
            return f"till:{till.name}:{day:%Y}/{number}:{line}"
        case Restart.DAILY:
            return f"till:{till.name}:{day:%Y-%m-%d}/{number}:{line}"


def instant(local: datetime, zone: tzinfo, *, returned: bool = False) -> datetime:
    """What a clock on the wall means, UTC: of two the later for a sale, the earlier for a return."""
    # In UTC, because within one zone Python compares what the clocks show, not the moments.
    meant = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return min(meant) if returned else max(meant)


def whole_day(day: date, till: Till) -> tuple[datetime, datetime]:
    """When a trading day begins and ends."""
    begins = instant(datetime.combine(day, time.min), till.zone, returned=True)
    return begins, instant(datetime.combine(day, till.day_ends), till.zone)


def happened(sale: TillSale, now: datetime) -> datetime | str:
    """When a line happened, or what is wrong with that."""
    if sale.at <= now + CLOCK_SKEW:
        if now - sale.at > OLDEST:
            return f"is dated {sale.at.isoformat()}, more than a year ago"
        return sale.at
    if sale.day_began is not None and sale.day_began <= now:
        return now
    return f"is dated {sale.at.isoformat()}, which is still to come"


def may_sell(till: Till, levels: Iterable[LevelFacts]) -> list[MaySell]:
    """What it may sell of each SKU at its location: the bad news first, then by SKU.

    Pieces of one SKU add up, and one that owes takes nothing from the others.
    """
    units: dict[str, int] = {}
    for level in levels:
        if level.key.location == till.location:
            units[level.key.sku] = units.get(level.key.sku, 0) + max(0, level.sellable)
    told = []
    for sku, found in units.items():
        left = max(0, found - till.safety_stock)
        told.append(MaySell(sku, left if till.cap is None else min(left, till.cap)))
    return sorted(told, key=lambda each: (each.units, each.sku))
