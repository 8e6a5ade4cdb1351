"""Incidents: what went wrong in the shop, and the ways out of it that a person has.

An incident is about something that the software must not decide alone: whose promise is kept when there is
less than was promised, whether rows that vanished from the ledger are to be believed. A person takes one of
the ways out, with a name and a reason; both are kept, with the movement in the org's ledger where units move
and with the incident in any case.

Some incidents last: an order without stock stays one until stock, a cancellation or another location ends
it, and then it closes by itself. Such a one can be waited for, but not waved away. What has merely happened
(a rewritten ledger, a lost push) is accepted as it is, and over. So is it that units have left which were set
aside for a channel: nobody was promised those, and accepted as it is, they are released.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from .stock import LevelKey, Movement, MovementKind, step_key

OVERSOLD = "oversold"
NEGATIVE = "negative stock"
MISPLACED = "misplaced"
UNKNOWN_LOCATION = "unknown location"
REWRITTEN = "rewritten ledger"
POSTINGS_LOST = "postings lost"
DATED_AHEAD = "dated ahead"
PUSH_LOST = "push lost"
UNEXPLAINED = "unexplained change"
GAVE_WAY = "promise gave way"
PAID_UNAVAILABLE = "paid and not available"
NO_ORDER = "reservation without an order"
NO_WORD = "shop has not answered"
NOT_FOUND = "stock not found"
NOT_FETCHED = "pick-up not fetched"
ON_FLOOR = "sold from a shop floor"
HOLE = "hole in coverage"
NOT_APPLIED = "accepted and not applied"
SET_ASIDE = "receiver set aside"
NOT_ENTERED = "not entered"

LONGEST_WAIT = timedelta(days=366)
LONGEST_NAME = 80  # characters of who resolves
LONGEST_REASON = 160  # characters; name and reason stand in the movement's reference with the order's name


class Way(StrEnum):
    """A way out of an incident."""

    MOVE = "move"  # take the units at another location
    WAIT = "wait"  # for a receipt, until a date
    CANCEL = "cancel"  # the order, at its channel
    SUBSTITUTE = "substitute"  # take other pieces for those that are not to be had
    REFUND = "refund"  # give the goods up, and owe the customer the money
    ACCEPT = "accept"  # it is as it is


_WAYS: Mapping[str, tuple[Way, ...]] = {
    OVERSOLD: (Way.MOVE, Way.WAIT, Way.CANCEL, Way.ACCEPT),  # the last of what is set aside for channels
    NEGATIVE: (Way.WAIT,),
    MISPLACED: (Way.WAIT, Way.CANCEL),
    UNKNOWN_LOCATION: (Way.WAIT, Way.ACCEPT),
    PAID_UNAVAILABLE: (Way.MOVE, Way.SUBSTITUTE, Way.REFUND, Way.WAIT),
    NO_ORDER: (Way.WAIT,),
    NO_WORD: (Way.WAIT,),
    NOT_FETCHED: (Way.WAIT,),
    HOLE: (Way.WAIT,),
    NOT_FOUND: (Way.WAIT, Way.ACCEPT),
    ON_FLOOR: (Way.ACCEPT, Way.MOVE, Way.WAIT, Way.CANCEL),
    GAVE_WAY: (Way.WAIT, Way.ACCEPT),
    NOT_APPLIED: (Way.WAIT, Way.ACCEPT),
    SET_ASIDE: (Way.WAIT, Way.ACCEPT),
    NOT_ENTERED: (Way.WAIT, Way.CANCEL),
}


def ways(kind: str) -> tuple[Way, ...]:
    """The ways out of an incident of this kind; what only has happened can only be accepted."""
    return _WAYS.get(kind, (Way.ACCEPT,))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A person has said that an incident may wait, knowing how many units it was about."""

    until: datetime
    units: int = 0

    def holds(self, units: int, now: datetime) -> bool:
        """True while it need not be looked at: the date has not come, and it has not become worse."""
        return now < self.until and units <= self.units


class Stage(StrEnum):
    """How far a resolution is."""

    ASKED = "asked"  # written down; the org or the channel has not answered
    DONE = "done"
    REFUSED = "refused"  # nothing has changed; another way is needed


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants done about an incident."""

    way: Way
    by: str
    reason: str
    promise: str = ""  # the subject whose units it is about; empty: the first that gives way
    location: str = ""  # to take the units at
    sku: str = ""  # that stands in for what is not to be had
    until: datetime | None = None  # to wait
    whole_order: bool = False  # cancel although the order has other lines
    refund: bool = False  # give the money back with the cancellation
    notify: bool = False  # have the channel write to the customer

    def same(self, way: str, detail: Mapping[str, object]) -> bool:
        """True for a resolution that was asked for with these same words: another click on it."""
        asked = {"way": way, **detail}
        return all(asked.get(name) == value for name, value in {"way": self.way.value, **self.detail}.items())

    @property
    def detail(self) -> dict[str, object]:
        """What is kept of it beside name and reason, and tells it from another."""
        told: dict[str, object] = {}
        if self.promise:
            told["promise"] = self.promise
        if self.way is Way.MOVE:
            told["location"] = self.location
        if self.way is Way.SUBSTITUTE:
            told |= {"sku": self.sku, "location": self.location}
        if self.way is Way.WAIT and self.until is not None:
            told["until"] = self.until.isoformat()
        if self.way is Way.CANCEL:
            told |= {"refund": self.refund, "notify": self.notify}
        return told


def signed(reference: str, wish: Wish) -> str:
    """The reference of a movement that a person decided: for whom it is, who did it, and why."""
    done = "released" if wish.way is Way.ACCEPT else "moved"
    return f"{reference}; {done} by {wish.by}: {wish.reason}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a wish; `problem` says in one word why nothing did.

    Problems: no-such-incident, over, no-such-way, no-such-promise, unknown-level, busy, cannot-cancel,
    more-lines.
    """

    stage: Stage | None = None
    answer: str = ""  # the org's or the channel's words
    problem: str = ""
    detail: str = ""
    resolution: int | None = None  # its id
    more: Mapping[str, object] = field(default_factory=dict)


def taken_at(
    subject: str,
    step: int,
    units: int,
    *,
    origin: LevelKey | None,
    target: LevelKey,
    reference: str,
    version: str,
    at: datetime,
) -> tuple[Movement, ...]:
    """The movements by which an order line gets units at another level, to be entered together or not at all.

    `origin` gives back what it holds of them there; None where it holds nothing, because no stock covered it.
    """
    rows: list[Movement] = []
    changes = [(target, MovementKind.ORDER, units)]
    if origin is not None:
        changes.insert(0, (origin, MovementKind.RELEASE, -units))
    for level, kind, change in changes:
        key = step_key(subject, step + len(rows))
        rows.append(Movement(key, subject, level, kind, 0, change, reference, version, at))
    return tuple(rows)
