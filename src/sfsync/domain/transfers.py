"""Goods that go from one location to another: two movements at a time, both or neither.

On their way they stand at the in-transit location, which no channel sells from::

    sent       -n at the sender     +n in transit
    received   -n in transit        +n at the receiver
    moved      -n at one place      +n at the other       (carried over at once; a release of returned goods)
    lost       -n in transit                              (a difference, written off by a person)

What arrives may differ from what was sent. The difference stays in transit, under the transfer's own number,
until somebody receives it or writes it off; a surplus stands there below zero, and is written off as found
(`lost` with a negative number of units). Each event has an id of its own, under which it happens once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .stock import LevelKey, Movement, MovementKind, step_key, transfer_subject


class Stage(StrEnum):
    """What has happened to the goods."""

    SENT = "sent"
    RECEIVED = "received"
    MOVED = "moved"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One event of a transfer. `number` is the transfer's own, which all its events share."""

    event_id: str
    number: str
    stage: Stage
    sku: str
    units: int  # positive; of a loss, negative when more arrived than was sent
    occurred_at: datetime
    origin: str | None = None  # the location that goods leave: sent, moved
    target: str | None = None  # the location that goods reach: received, moved
    unit: str | None = None
    dated: datetime | None = None  # as it was told, where that was still to come: it occurred at another time

    def __post_init__(self) -> None:
        if self.units == 0 or (self.units < 0 and self.stage is not Stage.LOST):
            raise ValueError(f"{self.units} units cannot be {self.stage}; give a whole number above 0")
        leaves, arrives = self.stage in (Stage.SENT, Stage.MOVED), self.stage in (Stage.RECEIVED, Stage.MOVED)
        if leaves != (self.origin is not None) or arrives != (self.target is not None):
            raise ValueError(f"goods that are {self.stage} need {_PLACES[self.stage]}")
        if self.origin is not None and self.origin == self.target:
            raise ValueError(f"goods cannot go from {self.origin} to itself")

    @property
    def subject(self) -> str:
        """The subject of its movements."""
        return transfer_subject(self.event_id)


_PLACES = {
    Stage.SENT: "the location that they leave",
    Stage.RECEIVED: "the location that they reach",
    Stage.MOVED: "the location that they leave and the one that they reach",
    Stage.LOST: "no location: they are in transit",
}


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """What became of a transfer that a person told of.

    `state` is "entered" (the org has it) or "waiting" (it is written down, and entered when the org answers).
    `problem` is "" or "id-reused", "unknown-level", "wrong": nothing was written down then.
    """

    state: str = ""
    problem: str = ""
    detail: str = ""


def movements(transfer: Transfer, in_transit: str) -> tuple[Movement, ...]:
    """The rows that enter it, to be entered together or not at all.

    Raises `BadKeyError` for a location or SKU that cannot be one, and `ValueError` where an end of the
    transfer is the in-transit location itself.
    """
    if in_transit in (transfer.origin, transfer.target):
        raise ValueError(f"{in_transit} is where goods are on their way: name the places at its ends")
    leaves = transfer.origin or in_transit
    arrives = transfer.target or in_transit
    rows = [(leaves, -transfer.units), (arrives, transfer.units)]
    kind = MovementKind.TRANSFER
    if transfer.stage is Stage.LOST:
        rows, kind = rows[:1], MovementKind.ADJUSTMENT
    return tuple(
        Movement(
            step_key(transfer.subject, step),
            transfer.subject,
            LevelKey(transfer.sku, location, transfer.unit),
            kind,
            units,
            0,
            transfer.number,
            "",
            transfer.occurred_at,
        )
        for step, (location, units) in enumerate(rows)
    )
