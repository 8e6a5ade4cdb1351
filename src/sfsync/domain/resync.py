"""Comparing what channels show with what they should: causes, what is looked at, what it costs, when to ask.

A difference has one cause, found from what is known of its channel level (`Evidence`). The cause says who has
to do something: most rows are put right by applying the plan, a few by a person, some by waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any

from .orders import ORDERS_LAG
from .relay import IN_DOUBT
from .words import agree, counted


class Cause(StrEnum):
    """Why a channel's number is not the org's."""

    FIRST_START = "first start"  # never compared before
    MISSED_EVENT = "the org changed and no event told"
    COUNT_PENDING = "a stock count is being entered"
    SETTINGS_HELD = "changed settings wait for a person"  # they would make it another number
    OUR_PUSH_DUE = "our change is on its way"
    PUSH_REFUSED = "the channel refused our change"  # or never said what became of it
    ORDER_UNSEEN = "lower than we knew: an order not yet seen?"
    MANUAL_EDIT = "changed at the channel"  # by hand, or by another program
    NOT_LISTED = "the channel does not list this SKU"
    NOT_IN_ORG = "the org has no stock level for this SKU"
    DUPLICATE_SKU = "several items at the channel carry this SKU"
    UNTRACKED = "the channel does not track this item"
    OVERSELL_ALLOWED = "the channel sells this item beyond its stock"
    EVEN = "nothing differs: what it shows is only taken over"  # no row for people


BLOCKING = frozenset({Cause.NOT_LISTED, Cause.NOT_IN_ORG, Cause.DUPLICATE_SKU, Cause.UNTRACKED})

# The short names by which a command takes causes.
CODES = {
    "first-start": frozenset({Cause.FIRST_START}),
    "missed-event": frozenset({Cause.MISSED_EVENT}),
    "count-pending": frozenset({Cause.COUNT_PENDING}),
    "settings-held": frozenset({Cause.SETTINGS_HELD}),
    "push-due": frozenset({Cause.OUR_PUSH_DUE}),
    "push-refused": frozenset({Cause.PUSH_REFUSED}),
    "order-unseen": frozenset({Cause.ORDER_UNSEEN}),
    "manual-edit": frozenset({Cause.MANUAL_EDIT}),
    "mapping": BLOCKING | {Cause.OVERSELL_ALLOWED},
}


def code_of(cause: Cause) -> str:
    """The short name of a cause; "" of one that is never told."""
    return next((code for code, causes in CODES.items() if cause in causes), "")


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of a plan: what the channel shows, what it should show, and why they differ."""

    channel: str
    sku: str
    location: str
    shows: int | None  # None when the channel has no such item
    target: int | None  # None when the org has no such level
    cause: Cause

    @property
    def applicable(self) -> bool:
        """False when a person must mend something first."""
        return self.cause not in BLOCKING and self.shows is not None and self.target is not None

    @property
    def perhaps_sold(self) -> bool:
        """True when putting it right may put a unit back on sale that is sold, its order being unheard of."""
        higher = self.shows is not None and self.target is not None and self.target > self.shows
        return higher and self.cause is Cause.ORDER_UNSEEN


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a channel level when its number has been read. Quantities in units."""

    shows: int
    target: int
    published: int | None  # what we believed; None: never compared, or its first plan waits for a person
    problem: str = ""  # why we do not write it
    held: bool = False  # the target is by changed settings that wait for a person
    org_moved: bool = False  # the org's level is newer than ours
    counting: bool = False  # a stock count of its stock waits for the org's answer
    orders_waiting: bool = False  # something of the channel's orders has come and is not decided yet
    tells_orders: bool = True  # what it sells can be asked for
    lower_since: timedelta | None = None  # for how long it has been known to be lower than we believe
    orders_lag: timedelta = ORDERS_LAG  # for how long an order may be missing from the channel's list


def cause(of: Evidence) -> Cause | None:
    """Why the number is another one than it should be, or than we believed; None when all is well."""
    if of.published is None:
        new = Cause.SETTINGS_HELD if of.held else Cause.FIRST_START
        return None if of.shows == of.target else new
    if of.shows == of.target == of.published:
        return None
    if of.shows != of.target and of.problem not in ("", IN_DOUBT):
        return Cause.PUSH_REFUSED
    if of.shows < of.published and _perhaps_sold(of):
        return Cause.ORDER_UNSEEN
    if of.shows != of.published:
        return Cause.MANUAL_EDIT
    if of.held:
        return Cause.SETTINGS_HELD
    if of.counting:
        return Cause.COUNT_PENDING
    return Cause.MISSED_EVENT if of.org_moved else Cause.OUR_PUSH_DUE


def _perhaps_sold(of: Evidence) -> bool:
    if of.orders_waiting:
        return True
    return of.tells_orders and (of.lower_since is None or of.lower_since < of.orders_lag)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a comparison looks at, and which of its rows count. Empty means all."""

    skus: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    locations: tuple[
        str, ...
    ] = ()  # a channel's location by our name, or one of the org's that it sells from
    changed_since: datetime | None = None  # SKUs of which anything has changed since
    causes: tuple[str, ...] = ()  # short names
    org: bool = True  # the org's levels are read again too, not only ours believed

    def looks_at(self, location: str, sources: tuple[str, ...]) -> bool:
        """Whether a number at a channel's location is looked at."""
        return not self.locations or bool({location, *sources} & set(self.locations))

    def takes(self, location: str, sources: tuple[str, ...], cause: Cause) -> bool:
        """Whether a row at a channel's location counts."""
        if not self.looks_at(location, sources):
            return False
        return not self.causes or any(cause in CODES[code] for code in self.causes)

    @property
    def whole(self) -> bool:
        """True when every level of the org is looked at."""
        return not self.skus and self.changed_since is None

    @property
    def without_levels(self) -> bool:
        """True when applying takes over no level that the org has newer: those are another cause's."""
        return bool(self.causes) and "missed-event" not in self.causes

    @property
    def every_row(self) -> bool:
        """True when all that differs at its channels is looked at."""
        return self.whole and not self.locations and not self.causes

    @property
    def by_changed_settings(self) -> bool:
        """True when changed settings that wait for a person count, so that what they change is told."""
        return self.every_row or "settings-held" in self.causes

    def told(self) -> dict[str, Any]:
        """As JSON."""
        since = self.changed_since
        return asdict(self) | {"changed_since": None if since is None else since.isoformat()}

    @classmethod
    def read(cls, told: dict[str, Any]) -> Scope:
        """From `told`."""
        since = told["changed_since"]
        lists = {name: tuple(told[name]) for name in ("skus", "channels", "locations", "causes")}
        return cls(
            **lists, changed_since=None if since is None else datetime.fromisoformat(since), org=told["org"]
        )


@dataclass(frozen=True, slots=True)
class Tariff:
    """What calls to a channel cost by its own word; None where it has told nothing. Seconds and points."""

    write_rows: int  # in one call
    read_skus: int  # in one call
    write_points: float | None = None  # a call
    read_points: float | None = None
    points_a_second: float | None = None
    points_held: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What applying rows costs at one channel; points and minutes are None where it has no such limit."""

    rows: int
    calls: int
    points: int | None
    minutes: float | None


def price(rows: int, tariff: Tariff, *, again: bool) -> Price:
    """The price of bringing so many rows to a channel; `again`: they are read once more before."""
    writes = ceil(rows / tariff.write_rows)
    reads = ceil(rows / tariff.read_skus) if again else 0
    if tariff.write_points is None or tariff.points_a_second is None:
        return Price(rows, writes + reads, None, None)
    points = writes * tariff.write_points + reads * (tariff.read_points or 0.0)
    wait = max(0.0, points - (tariff.points_held or 0.0)) / tariff.points_a_second
    return Price(rows, writes + reads, round(points), round(wait / 60, 1))


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a channel a plan would change, beyond what is on its way or waits for a person anyway."""

    levels: int  # that the channel has
    changes: int
    zeros: int  # of these, to nothing
    held: int = 0  # of these, by changed settings that wait for a person


RIGHT_ALREADY = "it shows what it should already"


@dataclass(frozen=True, slots=True)
class Now:
    """What is known of a planned row when it is about to be applied."""

    shows: int | None  # read again; None: not read again, or not listed any more
    listed: bool
    target: int | None
    busy: bool  # a push with it is under way
    written: bool  # its number has changed by us since the plan read it


def is_right(now: Now) -> bool:
    """True when a number was read again and is what it should be: the plan was applied before, say."""
    read = now.listed and now.shows is not None
    return read and now.shows == now.target and not (now.busy or now.written)


def changed(shows: int, target: int | None, now: Now, *, strict: bool) -> str:
    """Why a row is refused, "" when it may be applied. `strict`: a new target is a reason too."""
    if not now.listed:
        return "the channel does not list it any more"
    if now.shows is not None and now.shows != shows:
        return f"the channel shows {now.shows} by now, not {shows}"
    if now.busy:
        return "a change of ours is under way"
    if now.written:
        return "we have changed its number since"
    if strict and now.target != target:
        return f"it should show {now.target} by now, not {target}"
    return ""


class TooMuchError(Exception):
    """A plan would change more than may happen unasked, or let go settings that wait for a person.

    `changes` is what a person must name.
    """

    def __init__(self, extents: Mapping[str, Extent], changes: int) -> None:
        told = "; ".join(
            f"{each.changes:,} of {each.levels:,} numbers at {name}, {each.zeros:,} of them to nothing"
            for name, each in extents.items()
        )
        super().__init__(f"the plan would change {told}")
        self.changes = changes


class NobodyKnowsError(Exception):
    """What a comparison was to be limited to is nowhere. `problems`: what is wrong, by the scope's field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name} {what}" for name, what in problems.items()))
        self.problems = problems


class BusyError(Exception):
    """Another plan is being applied."""


@dataclass(frozen=True, slots=True)
class WrittenPlan:
    """A plan that came out of a file. `made_at` is when it was made; `org_id` of which org."""

    made_at: datetime
    org_id: str
    rows: tuple[Difference, ...]


def finding(
    scope: Scope, *, compared: int, others: int, unread: Collection[str], skus: Collection[str] | None
) -> str:
    """The sentence about a comparison in which no row counts.

    `others`: numbers that differ and do not count, being of another location or cause. `unread`: channels
    that could not be read. `skus`: what it came to look at; None: all.
    """
    if not compared:
        return f"Nothing was compared: {_why_nothing(scope, unread, skus)}."
    begins = f"{counted(compared, 'channel level')} compared:"
    if others:
        does = agree(others, "does", "do")
        return f"{begins} of what was asked for nothing differs ({counted(others, 'other')} {does})."
    if unread:
        return f"{begins} what could be read shows what it should."
    return f"{begins} {agree(compared, 'it shows', 'every one shows')} what it should."


def _why_nothing(scope: Scope, unread: Collection[str], skus: Collection[str] | None) -> str:
    if scope.changed_since is not None and not skus:
        return f"nothing has changed since {scope.changed_since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if unread:
        return f"{', '.join(sorted(unread))} could not be read"
    return "no channel lists what was asked for"
