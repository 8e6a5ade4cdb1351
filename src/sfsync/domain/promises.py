"""Promises at a stock level: which of them stock no longer covers, and which gives way to a posting.

What has happened is never refused. When goods leave that were promised to somebody, somebody's promise has
nothing behind it any more; whose, is derived and never stored (correctness A): what a channel has not sold of
its allocation first, then carts, what is held for clients, pick-ups, orders; within each, the newest first.

Under the rule ``Reservation_needs_stock`` the promise stays in the ledger, uncovered, until goods come or a
person decides. The fallback rule ``Reserved_within_on_hand`` knows no uncovered promise: there the posting
goes in together with the release of as many units of these same promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from .stock import LevelKey, Movement, MovementKind, StockLevel, step_key
from .values import replace

_ORDER = (
    MovementKind.ALLOCATION,
    MovementKind.CART,
    MovementKind.CLIENT,
    MovementKind.PICK_UP,
    MovementKind.ORDER,
)
_UNNAMED = "unnamed:"
GAVE_WAY = "gave way to "  # so the reference of what was released for a posting begins


@dataclass(frozen=True, slots=True)
class Promise:
    """Units of a level that a subject holds reserved, as the org's ledger tells."""

    subject: str
    level: LevelKey
    kind: MovementKind  # as what they were reserved
    units: int
    since: datetime
    next_step: int = 0  # the number of rows that the subject has in the org

    @property
    def rank(self) -> int:
        """Its place among those that give way: 0 goes first; what nobody knows the kind of goes last."""
        return _ORDER.index(self.kind) if self.kind in _ORDER else len(_ORDER)


def first_to_give_way(promises: Iterable[Promise]) -> list[Promise]:
    """The promises in the order in which they lose their cover."""
    return sorted(promises, key=lambda each: (each.rank, -each.since.timestamp(), each.subject))


def uncovered(promises: Iterable[Promise], units: int) -> list[Promise]:
    """Which promises `units` fewer units than promised leave uncovered, each with its uncovered units."""
    found: list[Promise] = []
    for promise in first_to_give_way(promises):
        if units <= 0:
            break
        part = min(units, promise.units)
        if part > 0:
            found.append(replace(promise, units=part))
            units -= part
    return found


@dataclass(frozen=True, slots=True)
class Stake:
    """A promise at a level that promises too much, and how many of its units stock does not cover."""

    promise: Promise
    uncovered: int


def at_stake(promises: Iterable[Promise], units: int) -> list[Stake]:
    """Every promise of a level that is oversold by `units`, in the order in which they lose their cover.

    Those with uncovered units come first; what follows them is covered, and would be next.
    """
    ordered = first_to_give_way(promises)
    short = {each.subject: each.units for each in uncovered(ordered, units)}
    return [Stake(each, short.get(each.subject, 0)) for each in ordered if each.units > 0]


def shortfalls(movements: Iterable[Movement], levels: Mapping[LevelKey, StockLevel]) -> dict[LevelKey, int]:
    """Units by which movements would leave more reserved than on hand, by level; only where they would."""
    available = {key: level.available for key, level in levels.items()}
    touched: set[LevelKey] = set()
    for movement in movements:
        if movement.level in available:
            available[movement.level] += movement.on_hand_delta - movement.reserved_delta
            touched.add(movement.level)
    return {key: -available[key] for key in sorted(touched) if available[key] < 0}


def unnamed(level: LevelKey) -> str:
    """The subject under which units of a level are released that somebody reserved without naming one."""
    return f"{_UNNAMED}{level}"


def releases(gone: Sequence[Promise], posting: Movement) -> tuple[Movement, ...]:
    """The movements by which promises give way to a posting, which they name."""
    steps: dict[str, int] = {}
    found: list[Movement] = []
    for promise in gone:
        subject = promise.subject or unnamed(promise.level)
        step = steps.get(subject, promise.next_step)
        steps[subject] = step + 1
        found.append(
            Movement(
                step_key(subject, step),
                subject,
                promise.level,
                MovementKind.RELEASE,
                0,
                -promise.units,
                f"{GAVE_WAY}{posting.key}",
                "",
                posting.occurred_at,
            )
        )
    return tuple(found)


def open_promises(rows: Iterable[Movement]) -> list[Promise]:
    """The promises that ledger rows leave open, by subject and level; rows oldest first.

    A person may have reserved without naming a subject. Such units are one promise of nobody's; what we
    released of them stands under a name of its own and counts against them.
    """
    reserved: dict[tuple[str, LevelKey], int] = {}
    kinds: dict[tuple[str, LevelKey], MovementKind] = {}
    since: dict[tuple[str, LevelKey], datetime] = {}
    counted: dict[str, int] = {}
    for row in rows:
        own = row.subject.startswith(_UNNAMED)
        subject = "" if own else row.subject
        if row.subject:
            counted[subject] = counted.get(subject, 0) + 1
        place = (subject, row.level)
        before = reserved.get(place, 0)
        reserved[place] = before + row.reserved_delta
        if row.reserved_delta > 0:
            kinds[place] = row.kind
            if before <= 0:
                since[place] = row.occurred_at
    return [
        Promise(
            subject,
            level,
            kinds.get((subject, level), MovementKind.ADJUSTMENT),
            units,
            since[subject, level],
            counted.get(subject, 0),
        )
        for (subject, level), units in reserved.items()
        if units > 0
    ]
