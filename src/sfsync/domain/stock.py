"""Stock levels and the movements that change them.

A stock level is the stock of one SKU at one location (and, for one-of-one pieces, one unit) in the org.
A movement is one immutable signed entry of the stock ledger. A *subject* is the thing that movements
belong to (an order line, a reservation, a channel allocation); its movements are numbered 0, 1, 2 … and
number and subject make the idempotency key, so that one business step has one effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from unicodedata import category

from .values import quick

CLOCK_SKEW = timedelta(minutes=5)  # that another system's clock may be ahead of the org's and ours
KEYS_KEPT = 20_000  # parsed keys: whatever is sold just now is asked for again and again
SUBJECT_LENGTH = 240  # characters of SubjectKey__c; the key adds ":<n>" and has 255
SKU_LENGTH = 120
LOCATION_LENGTH = 80
UNIT_LENGTH = 80


UNFIT = {  # what no SKU, location or unit has: by the category of the character
    "Cc": "the control character",  # NUL, line ends, escapes: databases and files break at them
    "Cs": "half a character,",  # a lone surrogate: no encoding has it
    "Zl": "the line separator",
    "Zp": "the paragraph separator",
}
BROKEN = "\ufffd"  # stands where a text was broken on its way, and where we show what cannot be shown


def unfit(text: str) -> str:
    """What a text contains that no SKU can, and where; "" where nothing is wrong with it.

    Whatever people write is fit: letters of every script, written from either side, marks that combine.
    """
    if text.isprintable() and BROKEN not in text:
        return ""
    for number, character in enumerate(text, 1):
        what = UNFIT.get(category(character), "a replacement for a broken character," * (character == BROKEN))
        if what:
            return f"{what} U+{ord(character):04X} as its character no. {number}"
    return ""


def shown(text: str) -> str:
    """A text with `BROKEN` for each character that cannot be kept: for people, and never equal to a SKU."""
    if text.isprintable():
        return text
    return "".join(BROKEN if category(character) in UNFIT else character for character in text)


NO_SKU = "no SKU|"  # nothing in the org is called so: the bar separates the parts of a level key


def without_sku(what: str) -> str:
    """What stands for the SKU of goods that were sold without one, so that they wait for a person."""
    return f"{NO_SKU}{what}"


class BadKeyError(ValueError):
    """A SKU, location or unit that cannot be part of a level key; says which and why."""


@dataclass(frozen=True, slots=True)
class LevelKey:
    """The identity of a stock level: ``SKU|location`` or ``SKU|location|unit``.

    Keys are ordered by their parts; of one SKU at one location, the one without a unit comes first.
    """

    sku: str
    location: str
    unit: str | None = None

    def __post_init__(self) -> None:
        parts = (("SKU", self.sku, SKU_LENGTH), ("location", self.location, LOCATION_LENGTH))
        for name, text, longest in parts if self.unit is None else (*parts, ("unit", self.unit, UNIT_LENGTH)):
            if not text or text != text.strip():
                raise BadKeyError(f"the {name} {text!r} is empty or has blanks at its ends")
            if "|" in text:
                raise BadKeyError(
                    f"the {name} {text!r} contains '|', which separates the parts of a level key"
                )
            if what := unfit(text):
                raise BadKeyError(f"the {name} {text!r} contains {what}")
            if len(text) > longest:
                raise BadKeyError(f"the {name} {text!r} has {len(text)} characters; {longest} is the most")

    def __lt__(self, other: LevelKey) -> bool:
        return (self.sku, self.location, self.unit or "") < (other.sku, other.location, other.unit or "")

    def __str__(self) -> str:
        return "|".join(
            (self.sku, self.location) if self.unit is None else (self.sku, self.location, self.unit)
        )

    @classmethod
    @lru_cache(KEYS_KEPT)
    def parse(cls, text: str) -> LevelKey:
        """The key that ``str()`` gave; `BadKeyError` when it has not two or three parts."""
        parts = text.split("|")
        if len(parts) not in (2, 3):
            raise BadKeyError(f"the level key {text!r} is not SKU|location or SKU|location|unit")
        return cls(*parts)


@quick
@dataclass(frozen=True, slots=True)
class StockLevel:
    """One level as the org told it: all of it from one read, never merged from several."""

    key: LevelKey
    on_hand: int
    reserved: int
    version: int
    record_id: str  # the org's id of the record; "" where that has another key now
    counted_at: datetime | None = None  # when it was last counted, in whole seconds
    # Units that its shop does not find, which the org knows nothing of: as kept here, of no reading.
    not_found: int = field(default=0, compare=False)

    @property
    def available(self) -> int:
        """Units that may still be promised; negative while promises are uncovered."""
        return self.on_hand - self.reserved

    @property
    def oversold(self) -> int:
        """Promises that stock no longer covers, in units."""
        return max(0, self.reserved - self.on_hand)


class Freshness(StrEnum):
    """What a level just read is to the level held."""

    NEWER = "newer"
    SAME = "same"
    LATE = "late"  # an older picture that arrived late: drop it
    BEFORE_EPOCH = "before epoch"  # asked for before the ledger was found rewritten: drop it and ask again
    REWRITTEN = "rewritten"  # the org itself went back: movements were deleted or a backup restored


def compare(
    held: StockLevel | None,
    read: StockLevel,
    *,
    asked_after_held: bool,
    before_epoch: bool = False,
    entered: int = 0,
) -> Freshness:
    """Newer wins (promise 6). A lower version is late, unless it was asked for after the held one was stored.

    `entered` rows of ours have gone in between that and the reading, each of which has raised the version:
    one that is not so much higher is as good as lower; ours outweigh movements that are missing.

    The same version with other numbers cannot come out of an append-only ledger either. A rewritten ledger
    begins a new epoch with a lower version: a reading asked for before we knew of it may show the ledger as
    it was, with a higher version, and must not win (`before_epoch`). Nobody can tell what it shows, so the
    level is to be asked for once more.
    """
    if held is None:
        return Freshness.NEWER
    least = held.version + (entered if asked_after_held else 0)
    if read == held and read.version >= least:
        return Freshness.SAME
    if before_epoch:
        return Freshness.BEFORE_EPOCH
    if read.version > held.version and read.version >= least:
        return Freshness.NEWER
    return Freshness.REWRITTEN if asked_after_held else Freshness.LATE


class MovementKind(StrEnum):
    """The values of ``Kind__c``: what happened (a posting) or what is asked (a reservation)."""

    OPENING = "Opening"
    SALE = "Sale"
    RETURN = "Return"
    RECEIPT = "Receipt"
    TRANSFER = "Transfer"
    COUNT = "Count"
    ADJUSTMENT = "Adjustment"
    FULFILMENT = "Fulfilment"
    CART = "Cart"
    ORDER = "Order"
    PICK_UP = "PickUp"
    CLIENT = "Client"
    ALLOCATION = "Allocation"
    RELEASE = "Release"
    VOID = "Void"

    @property
    def word(self) -> str:
        """As people say it: "sale", "pick-up"."""
        return "pick-up" if self is MovementKind.PICK_UP else self.value.lower()


# The kinds by which goods go to a customer, or come back from one.
SOLD = frozenset({MovementKind.SALE, MovementKind.FULFILMENT, MovementKind.RETURN})


@quick
@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of the ledger, as it stands in the org or is to be entered there."""

    key: str  # idempotency key
    subject: str
    level: LevelKey
    kind: MovementKind
    on_hand_delta: int
    reserved_delta: int
    reference: str
    source_version: str
    occurred_at: datetime

    @property
    def asks(self) -> bool:
        """True for a reservation: the org may refuse it. Everything else is never refused."""
        return self.reserved_delta > 0

    def same_content(self, other: Movement) -> bool:
        """True when both would have the same effect on the same level for the same subject."""
        return (self.level, self.on_hand_delta, self.reserved_delta, self.subject, self.kind) == (
            other.level,
            other.on_hand_delta,
            other.reserved_delta,
            other.subject,
            other.kind,
        )

    def void(self) -> Movement:
        """The row that takes this one's key with no effect, so that it can never be granted later."""
        return Movement(
            self.key,
            self.subject,
            self.level,
            MovementKind.VOID,
            0,
            0,
            self.reference,
            self.source_version,
            self.occurred_at,
        )


def tells_again(known: Iterable[Movement], rows: Iterable[Movement]) -> bool:
    """True when rows of a subject say what is known of it: the same units, of a kind, at the same levels.

    Neither their moment nor their reference counts. Of what was folded only levels and units are known, as an
    opening row.
    """
    return _said(known, rows) == _said(rows, rows)


def _said(
    known: Iterable[Movement], rows: Iterable[Movement]
) -> tuple[Mapping[LevelKey, int], frozenset[tuple[LevelKey, MovementKind]]]:
    kinds = {row.level: row.kind for row in rows}
    units: dict[LevelKey, int] = {}
    told: set[tuple[LevelKey, MovementKind]] = set()
    for row in known:
        folded = row.kind is MovementKind.OPENING
        units[row.level] = units.get(row.level, 0) + row.on_hand_delta
        told.add((row.level, kinds.get(row.level, row.kind) if folded else row.kind))
    return units, frozenset(told)


def _fit(subject: str) -> str:
    """The subject itself, or its head and a digest when the org's field could not hold it."""
    if len(subject) <= SUBJECT_LENGTH:
        return subject
    digest = hashlib.sha256(subject.encode()).hexdigest()[:40]
    return f"{subject[: SUBJECT_LENGTH - 41]}~{digest}"


def order_line_subject(channel: str, order_id: str, line_id: str) -> str:
    """``order:<channel>:<order>:<line>``."""
    return _fit(f"order:{channel}:{order_id}:{line_id}")


def reservation_subject(reservation_id: str, line: int) -> str:
    """``reservation:<id>:<line>``; lines count from 0."""
    return _fit(f"reservation:{reservation_id}:{line}")


def allocation_subject(channel: str, level: LevelKey) -> str:
    """``allocation:<channel>:<level key>``."""
    return _fit(f"allocation:{channel}:{level}")


def posting_subject(source_id: str) -> str:
    """``posting:<source id>``: the source's own identity of the event; such a subject has one row."""
    return _fit(f"posting:{source_id}")


def transfer_subject(event_id: str) -> str:
    """``transfer:<event id>``: the identity of one event of a transfer; both its rows belong to it."""
    return _fit(f"transfer:{event_id}")


def count_subject(count_id: str, level: LevelKey) -> str:
    """``count:<count id>:<level key>``: one count of one level."""
    return _fit(f"count:{count_id}:{level}")


def late_subject(key: str) -> str:
    """``late:<idempotency key>``: what takes back a movement that a count had already seen."""
    return _fit(f"late:{key}")


def fold_subject(level: LevelKey) -> str:
    """``fold:<level key>``: the opening rows that stand for folded movements of a level."""
    return _fit(f"fold:{level}")


def step_key(subject: str, step: int) -> str:
    """The idempotency key of a subject's step number `step`, counted from 0."""
    return f"{subject}:{step}"


def step_of(key: str, subject: str) -> int | None:
    """The step number in an idempotency key, 0 for a plain posting, whose key has none.

    None when the key is blank or was not made from this subject.
    """
    if not subject:
        return None
    if key == subject:
        return 0
    head, _, tail = key.rpartition(":")
    return int(tail) if head == subject and tail.isascii() and tail.isdigit() else None
