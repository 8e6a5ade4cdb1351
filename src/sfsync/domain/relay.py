"""What we know a channel to show, and what reading its number again proves.

A channel level is one SKU at one of the channel's locations. Its *published* number is what we know the
channel to show: the number read at the baseline, plus our confirmed changes, less its own orders that we have
recorded, plus its own restocks (correctness E). Webhooks about numbers and reads of it never change it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

IN_DOUBT = "its number is being read again"  # the problem of a channel level whose sale and reading coincided


class Proof(StrEnum):
    """What reading a number again says of the changes that the channel has confirmed."""

    SHOWN = "shown"
    SUSPECT = "suspect"  # exactly what we have written is not there: look again when its orders are known
    NOT_APPLIED = "not applied"  # and it still is not
    OTHER = "other"  # somebody else has written, or sold: no word about our changes


def proof(*, missing: int, written: int, before: int | None) -> Proof:
    """What a reading proves.

    `missing`: the number that we believe in, less the number read. `written`: our confirmed changes since the
    last reading, in sum. `before`: what was missing at a reading that made us suspect, if one did.
    """
    if not missing:
        return Proof.SHOWN
    if before is None:
        return Proof.SUSPECT if missing == written else Proof.OTHER
    return Proof.NOT_APPLIED if missing == before + written else Proof.OTHER


# -- channels that take plain numbers only ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Care:
    """How a channel is written to whose numbers go over sales that nobody has told of."""

    settle: timedelta  # so long after a sale its order list tells of it, and so long a raise waits
    reading_lasts: timedelta  # orders that were read so long ago need not be read again before a write


@dataclass(frozen=True, slots=True)
class DueNumber:
    """A number that is due at such a channel, and what decides when it may be written."""

    shows: int  # what we believe it to show
    target: int
    decided_at: datetime  # when it was decided to raise it, or its number was last written or read
    allocated: bool = False  # its units are reserved for this channel, one by one
    missing: int = 0  # of them, units that are neither spare nor shown nor known to be sold
    undecided: bool = False  # a sale of it is known, and not yet entered


class Do(StrEnum):
    """What is to be done about a number that is due."""

    WRITE = "write"
    READ_ORDERS = "read its orders"  # and then see again
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Next:
    """The number to write when it is written, and the moment to see again when it is not before."""

    do: Do
    number: int = 0
    not_before: datetime | None = None


def next_number(due: DueNumber, *, read_at: datetime | None, now: datetime, care: Care) -> Next:
    """What to do about a number at a channel that takes nothing else (correctness D, E).

    Nothing is worse than too high a number, so zero goes at once, whatever is not known. A lower number goes
    once orders were read a while ago at most: where more was sold unseen than it is lowered by, it would be
    a raise. A raise waits until the orders of all sales from before it was decided have been read, and
    entered. `read_at` is when the last whole reading of the channel's orders began.

    Units of an allocation are raised from zero alone: *close* (write zero), *drain* (the orders from before
    that are known, and no unit is missing any more), *open* (write the new number). For a number that goes
    over an unseen sale would show that unit again.
    """
    fresh = read_at is not None and read_at >= now - care.reading_lasts
    if due.target < due.shows:
        if due.allocated or due.target <= 0:
            return Next(Do.WRITE, 0)
        return Next(Do.WRITE if fresh else Do.READ_ORDERS, due.target)
    ripe = due.decided_at + care.settle
    if now < ripe:
        return Next(Do.WAIT, not_before=ripe)
    if due.allocated and due.shows > 0:
        return Next(Do.WRITE, 0)
    if due.undecided or due.missing:
        return Next(Do.WAIT)
    if not fresh or read_at is None or read_at < ripe:
        return Next(Do.READ_ORDERS, due.target)
    return Next(Do.WRITE, due.target)


def drained(*, closed_at: datetime, read_at: datetime | None, care: Care) -> bool:
    """True when every order from before a number was written as zero has been read."""
    return read_at is not None and read_at >= closed_at + care.settle


class AfterUnknown(StrEnum):
    """What to do when nobody can say whether a number was written."""

    SAME_AGAIN = "the same bytes again"
    READ_BACK = "read the number"


def after_unknown(changes: Iterable[int]) -> AfterUnknown:
    """A push that only lowers is sent again: late or twice it does no harm.

    A raise is never sent again: what was sold meanwhile would be shown once more. The number is read.
    """
    return AfterUnknown.READ_BACK if any(change > 0 for change in changes) else AfterUnknown.SAME_AGAIN
