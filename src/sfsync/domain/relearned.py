"""What a new store learns again from an org that already holds movements of ours.

The store may be lost: a disk, a volume that was not mounted, a restore. The org's rows are the truth, so
everything that holds units is found there by its subject key, and can be led to its end:

- order lines and channel allocations are named by their subjects, and hold what their rows say;
- a reservation is granted again, with the kind, the owner and the channel that its rows tell.

What stood in the store alone is gone: whether a reservation had been paid for, and when it was to expire. So
a reservation learned again expires after the life of its kind, and not before an order of a day ago would
have been told: one that was paid for is not given away before its order can take it over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from .reservations import (
    DEFAULT_LIFE,
    KINDS,
    ORDER_PATIENCE,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    channel_told,
)
from .stock import LevelKey, Movement

LEARNED = "learned again from the org: the store had been lost"
HOLDERS = ("order", "reservation", "allocation")
_KINDS = {kind: ours for ours, kind in KINDS.items()}


def open_subjects(rows: Iterable[Movement]) -> set[str]:
    """The subjects of ours that hold units, or owe some, at any level."""
    net: dict[tuple[str, LevelKey], int] = defaultdict(int)
    for row in rows:
        if row.subject.partition(":")[0] in HOLDERS:
            net[row.subject, row.level] += row.reserved_delta
    return {subject for (subject, _), units in net.items() if units}


def channel_of(subject: str) -> str | None:
    """The channel that a subject of an order line or an allocation names; None for any other."""
    kind, _, rest = subject.partition(":")
    return rest.partition(":")[0] or None if kind in ("order", "allocation") else None


def order_of(subject: str) -> str | None:
    """The channel's id of the order that an order line's subject names; None when it does not tell.

    A subject that was too long for the org's field ends in a digest: its tail is not to be trusted.
    """
    parts = subject.split(":")
    if len(parts) < 4 or parts[0] != "order" or "~" in parts[-1]:
        return None
    return ":".join(parts[2:-1])


def line_of_reservation(subject: str) -> tuple[str, int] | None:
    """(id, number of the line) of a reservation's subject; None for any other."""
    kind, _, rest = subject.partition(":")
    number, _, line = rest.rpartition(":")
    return (number, int(line)) if kind == "reservation" and number and line.isdecimal() else None


def reservation(number: str, rows: Mapping[int, Sequence[Movement]], now: datetime) -> Reservation | None:
    """The reservation of an id, of its rows by line, oldest first; None when they hold nothing.

    Lines that are not among the rows, or hold nothing any more, are kept as lines of no units.
    """
    lines: dict[int, ReservationLine] = {}
    for line, of_line in rows.items():
        held: dict[LevelKey, int] = defaultdict(int)
        for row in of_line:
            held[row.level] += row.reserved_delta
        units = sum(each for each in held.values() if each > 0)
        if units:
            level = max((key for key in held if held[key] > 0), key=lambda key: (held[key], key))
            lines[line] = ReservationLine(level, units)
    if not lines:
        return None
    every = sorted((row for of_line in rows.values() for row in of_line), key=lambda row: row.occurred_at)
    asked = [row for row in every if row.reserved_delta > 0]
    kind = _KINDS.get(asked[-1].kind, ReservationKind.ORDER)
    some = next(iter(lines.values())).level
    return Reservation(
        number,
        ReservationState.GRANTED,
        kind,
        next(filter(None, map(channel_told, asked)), None),
        asked[0].reference,
        tuple(lines.get(line, ReservationLine(some, 0)) for line in range(max(lines) + 1)),
        asked[0].occurred_at,
        now + max(DEFAULT_LIFE[kind], ORDER_PATIENCE),
        reason=LEARNED,
    )
