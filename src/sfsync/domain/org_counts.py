"""Stock counts that are records in the org: what one says, what is wrong with it, what is written back to it.

A record is taken up once: what was entered stands in the ledger under the record's id, whatever becomes of
the record afterwards. A record that says other than what was entered is told so and enters nothing more; put
back as it was, it is as entered again. A record with a mistake is told what is wrong, and read again once it
was corrected. What is written back is worked out from the record as it is, and nothing is written to one that
says it already: so our own writing, which changes the record too, leads to no more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .counts import REMEDIES, Count, CountOutcome, second
from .stock import BadKeyError, LevelKey

SUBJECT = "record:"  # count ids of records in the org begin so
MESSAGE_LENGTH = 255


class Status(StrEnum):
    """What became of a record."""

    NEW = "New"
    ENTERED = "Entered"
    MISTAKE = "Mistake"  # the message says which; nothing is entered
    CHANGED = "Changed"  # it stands in the ledger, and the record says otherwise


@dataclass(frozen=True, slots=True)
class OrgCount:
    """A record as the org has it; a blank text is "". `at`: when it was made, where it names no moment."""

    record_id: str
    sku: str
    location: str
    unit: str
    linked: str  # the key of the stock level that was chosen
    counted: float | None
    at: datetime
    by: str
    reason: str = ""
    sheet: str = ""
    status: str = ""
    message: str = ""
    expected: int | None = None
    variance: int | None = None
    movement: str = ""
    recount: bool = False
    lacks: frozenset[str] = frozenset()  # of "level", "place", "at", "by": what sfsync may fill in


@dataclass(frozen=True, slots=True)
class Taken:
    """A count as it was written down; `variance` is what its subject holds in the ledger, if it does."""

    count: Count
    variance: int | None
    recount: bool = False


@dataclass(frozen=True, slots=True)
class CountTold:
    """What is to be written to a record; "" as `record_id`: to one of its own, known by the count's subject.

    Of a mistake only status and message. `fills` names what the record lacks and the count knows.
    """

    record_id: str
    status: Status
    message: str = ""
    count: Count | None = None
    variance: int | None = None
    recount: bool = False
    fills: frozenset[str] = frozenset()


class MistakeError(Exception):
    """What is wrong with a record, and what to do."""


def count_id(record_id: str) -> str:
    """The id of the count that a record is."""
    return SUBJECT + record_id


def read(record: OrgCount) -> Count:
    """The count that a record is; `MistakeError` says what is wrong with it."""
    level = _level(record)
    units = record.counted
    if units is None or units != int(units):
        raise MistakeError("It says no number. Give a whole number from 0.")
    if units < 0:
        raise MistakeError(f"{units:g} cannot have been counted. Give a whole number from 0.")
    if level.unit and units > 1:
        raise MistakeError(f"{units:g} cannot have been counted of one piece ({level.unit}). Give 0 or 1.")
    return Count(
        count_id(record.record_id),
        level,
        int(units),
        record.at,
        record.sheet,
        record.by,
        record.reason,
        record.record_id,
        "at" in record.lacks,
    )


def mistake(record: OrgCount, message: str) -> CountTold | None:
    """What is written to a record with a mistake; None when it says so already."""
    message = message[:MESSAGE_LENGTH]
    if (record.status, record.message) == (Status.MISTAKE, message):
        return None
    return CountTold(record.record_id, Status.MISTAKE, message)


def refusal(outcome: CountOutcome) -> str:
    """Why a count was not entered, for whoever made the record."""
    told = [outcome.detail.removesuffix(".").removesuffix("; create it first")]
    if outcome.problem in REMEDIES:
        told.append(REMEDIES[outcome.problem])
    return " ".join(f"{each[:1].upper()}{each[1:]}." for each in told)


def answer(record: OrgCount, taken: Taken) -> CountTold | None:
    """What is written to a record that was taken up; None when it says so already, or none is known yet."""
    if taken.variance is None:
        return None
    moved = differences(record, taken.count)
    status = Status.CHANGED if moved else Status.ENTERED
    message = _changed(taken.count, moved)[:MESSAGE_LENGTH] if moved else ""
    fills = frozenset() if moved else record.lacks
    says = (record.status, record.message, record.expected, record.variance, record.movement, record.recount)
    wanted = (
        status,
        message,
        taken.count.units - taken.variance,
        taken.variance,
        taken.count.subject,
        taken.recount,
    )
    if says == wanted and not fills:
        return None
    return CountTold(record.record_id, status, message, taken.count, taken.variance, taken.recount, fills)


def lost(record: OrgCount) -> CountTold | None:
    """What is written to a record that was entered, though nothing is known of it here; None for nothing.

    Its own answer says how many were entered: what the books had, and what was entered beside it.
    """
    if record.expected is None or record.variance is None:
        return None
    units = record.expected + record.variance
    if record.counted == units:
        return None if record.status == Status.ENTERED else CountTold(record.record_id, Status.ENTERED)
    message = _changed_to(f"{units} counted", ["the number"])[:MESSAGE_LENGTH]
    if (record.status, record.message) == (Status.CHANGED, message):
        return None
    return CountTold(record.record_id, Status.CHANGED, message)


def answered(record: OrgCount) -> bool:
    """True when a record says that it was entered, and how many; by hand nobody can say so."""
    return record.status in (Status.ENTERED, Status.CHANGED) and None not in (
        record.expected,
        record.variance,
    )


def differences(record: OrgCount, count: Count) -> list[str]:
    """In what a record says other than what was entered."""
    found = []
    try:
        if _level(record) != count.level:
            found.append("the stock level")
    except MistakeError:
        found.append("the stock level")
    if record.counted != count.units:
        found.append("the number")
    if second(record.at) != second(count.at):
        found.append("the moment")
    return found


def _level(record: OrgCount) -> LevelKey:
    typed = bool(record.sku or record.location or record.unit)
    if not record.linked and not (record.sku and record.location):
        lacking = "location" if record.sku else "SKU"
        raise MistakeError(f"It names no {lacking}. Choose a stock level, or type SKU and location.")
    try:
        linked = LevelKey.parse(record.linked) if record.linked else None
        if linked is not None and not (record.sku and record.location):
            named = linked
        else:
            named = LevelKey(record.sku, record.location, record.unit or None)
    except BadKeyError as error:
        raise MistakeError(f"It names no stock level: {error}. Correct SKU and location.") from None
    if linked is not None and typed:
        parts = ((record.sku, linked.sku), (record.location, linked.location), (record.unit, linked.unit))
        if any(said and said != of for said, of in parts):
            raise MistakeError(
                f"It says {named}, but the stock level chosen is {linked}. Correct one of them."
            )
        return linked
    return named


def _changed(count: Count, moved: list[str]) -> str:
    when = f"{second(count.at):%Y-%m-%d %H:%M:%S} UTC"
    return _changed_to(f"{count.units} counted of {count.level} at {when}", moved)


def _changed_to(entered: str, moved: list[str]) -> str:
    what = " and ".join(moved)
    return (
        f"Entered was: {entered}. Afterwards {what} was changed here, which enters nothing. "
        "Put it back, and make a new record for a recount."
    )
