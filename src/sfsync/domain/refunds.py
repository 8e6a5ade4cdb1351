"""Money that is owed to a customer whose goods are not to be had: a task, until it has been paid back.

sfsync moves no money. It keeps who owes what to whom, since when and by whose decision, and lists that until
a person says that it is done, or the channel's own order says so. A task can also be withdrawn: the customer
took something else after all. Nothing takes it off the list silently.

A channel's order says that a task is done when all of its money has gone back, or when some has and the
refund names at least the units that are owed. What of the order was refunded for another reason, in the same
lines, cannot be told from this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .orders import MoneyBack, OrderSnapshot
from .reservations import Reservation, order_names


class Ending(StrEnum):
    """How a refund task ended."""

    REFUNDED = "refunded"  # the customer has the money
    WITHDRAWN = "withdrawn"  # it is not owed any more


@dataclass(frozen=True, slots=True)
class OwedLine:
    """Units that were paid for and are not delivered."""

    sku: str
    units: int


@dataclass(frozen=True, slots=True)
class RefundTask:
    """Who owes what to whom. Open until `closed_at`."""

    id: int
    reservation: str
    channel: str | None  # whose customer it is, and who took the money; None: the house itself
    order_reference: str
    owner: str  # the customer's cart or order, as the asking party calls it
    client: str  # the customer, where anybody has said who that is
    lines: tuple[OwedLine, ...]
    opened_at: datetime
    opened_by: str
    reason: str
    closed_at: datetime | None = None
    closed_by: str = ""
    ending: Ending | None = None
    said: str = ""  # why it ended, in the words of whoever ended it

    @property
    def debtor(self) -> str:
        """Who owes it."""
        return self.channel or "the house"

    @property
    def creditor(self) -> str:
        """To whom it is owed: the client where one is known, and the owner of the reservation."""
        return f"{self.client} ({self.owner})" if self.client and self.client != self.owner else self.owner


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """The task as it stands, or the problem that kept it from being so.

    Problems: no-such-reservation, nothing-owed, later, no-such-refund, over.
    """

    task: RefundTask | None
    problem: str = ""
    detail: str = ""
    new: bool = False  # opened by this very call


def owed(reservation: Reservation, units: Sequence[int]) -> tuple[OwedLine, ...]:
    """So many units of each line of a reservation, by SKU."""
    found: Counter[str] = Counter()
    for line, due in zip(reservation.lines, units, strict=True):
        found[line.level.sku] += due
    return tuple(OwedLine(sku, wanted) for sku, wanted in sorted(found.items()) if wanted)


def paid_back(tasks: Iterable[RefundTask], order: OrderSnapshot) -> list[RefundTask]:
    """Those of the open tasks that a channel's order says are done.

    `tasks` has the refunded ones of that order too: where only some of the money has gone back, each refunded
    unit ends one task, the oldest first.
    """
    own = [task for task in tasks if task.channel == order.channel and _is_of(task, order)]
    still = sorted((task for task in own if task.closed_at is None), key=lambda task: task.id)
    if order.money_back is MoneyBack.NONE:
        return []
    if order.money_back is MoneyBack.ALL:
        return still
    left: Counter[str] = Counter()
    for line in order.lines:
        left[line.sku] += line.refunded_quantity
    for task in own:
        if task.ending is Ending.REFUNDED:
            left.subtract({line.sku: line.units for line in task.lines})
    found: list[RefundTask] = []
    for task in still:
        if all(left[line.sku] >= line.units for line in task.lines):
            left.subtract({line.sku: line.units for line in task.lines})
            found.append(task)
    return found


def _is_of(task: RefundTask, order: OrderSnapshot) -> bool:
    names = {*order_names(order.order_id), *order_names(order.name)}
    return not names.isdisjoint(order_names(task.order_reference))
