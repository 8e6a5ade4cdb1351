"""What every part of the flow is given."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from sfsync.domain.assortment import Assortment
from sfsync.domain.budget import Standing, Usage
from sfsync.domain.forecast import Space
from sfsync.domain.reservations import Refusals, SoldOut
from sfsync.domain.unheard import Unheard, What, after
from sfsync.ports import Budget, CallsSpent, Channel, Clock, Org, OutsideError, Refused, Store, TryLater, Tx

from .trail import Trail

SNAPSHOT = "snapshot"  # the source of the hole that only a whole reading of the org closes
Logger = structlog.stdlib.BoundLogger


class Bell:
    """Wakes loops by name. Rings are remembered until heard, and many rings are one."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def ring(self, *names: str) -> None:
        """Wake whoever waits, or the next who will."""
        for name in sorted(names):  # in one order, so that the same story runs the same way twice
            self._events[name].set()

    async def wait(self, name: str, timeout_seconds: float) -> bool:
        """Until rung, or until the sweep is due anyway; True when it was rung."""
        event = self._events[name]
        if not event.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await event.wait()
            except TimeoutError:
                pass
        rung = event.is_set()
        event.clear()
        return rung


@dataclass(slots=True)
class Pulse:
    """What the running parts say of themselves, for the status page. Lost at a restart, and that is fine."""

    started_at: datetime
    topics: tuple[str, ...] = ()  # that are followed
    stock_topics: tuple[str, ...] = ()  # of these, the ones that tell what moved in the org's ledger
    reading_since: dict[str, datetime] = field(default_factory=dict)  # topic -> named, and not yet read
    weak_channels: frozenset[str] = frozenset()  # that take plain numbers only
    cancelling_channels: frozenset[str] = frozenset()  # that take the cancellation of an order
    stale: frozenset[float] = frozenset()  # limits (s) that what we know of the org is older than
    asking_error: str = ""  # why the org did not answer the last question; any answer ends it
    entering_error: str = ""  # why it takes no movement; ended by one that it takes, or when none waits
    rule_error: str = ""
    stream_error: dict[str, str] = field(default_factory=dict)
    retry_at: dict[str, datetime] = field(default_factory=dict)  # topic -> when the stream is next tried
    joined: dict[str, datetime] = field(default_factory=dict)  # topic -> first sign of its subscription
    reading_at: datetime | None = None  # when holes are next read again
    posting_topics: frozenset[str] = frozenset()
    polled: dict[str, int] = field(
        default_factory=lambda: defaultdict(int)
    )  # levels that no event told of in time
    last_sign: dict[str, datetime] = field(default_factory=dict)  # topic -> last event or keep-alive
    last_event: dict[str, datetime] = field(default_factory=dict)
    lag_seconds: dict[str, float] = field(
        default_factory=dict
    )  # topic -> from the newest commit to its effect
    events: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    entered: deque[tuple[datetime, int]] = field(
        default_factory=lambda: deque(maxlen=5000)
    )  # when the org took rows of ours, and how many
    budgets: Mapping[str, Callable[[], Budget | None]] = field(default_factory=dict)  # by channel
    delivered: Usage | None = None  # events that the org delivers, to everybody; None: not told
    flying: int = 0  # bundles in requests that are under way
    calls: Callable[[], Standing | None] = lambda: None  # how the org's API calls stand
    paused: dict[str, float] = field(default_factory=dict)  # allocation subject -> not asked again before
    # (channel, key) of the dead letters of orders that were not believed; None: not read from the store yet.
    set_aside: set[tuple[str, str]] | None = None
    channel_error: dict[str, str] = field(default_factory=dict)
    unheard: dict[tuple[str, What], Unheard] = field(default_factory=dict)  # by channel; ended by an answer
    due_since: dict[tuple[str, str, str], float] = field(default_factory=dict)
    lags_seconds: dict[str, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=2000))
    )
    space: Space | None = None  # once it was looked at
    trail: Trail | None = None  # None: changes are not traced
    sold_out: SoldOut = field(default_factory=SoldOut)  # told for a moment to all who ask the same
    refusals: Refusals = field(default_factory=Refusals)  # of the org, told to who asks the same just then
    pushes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def not_told(
        self, channel: str, what: What, error: OutsideError, *, since: datetime, now: datetime
    ) -> None:
        """A channel did not tell what it was asked for; `since`: it was last told, or is asked for."""
        advice = error.advice if isinstance(error, Refused) else ""
        why = "; ".join(filter(None, (str(error), advice)))
        found = Unheard(what, since, now, why, isinstance(error, Refused))
        self.unheard[channel, what] = after(self.unheard.get((channel, what)), found)

    def unheard_of(self, channel: str) -> Sequence[Unheard]:
        """What a channel does not tell, its orders first."""
        return [self.unheard[channel, what] for what in What if (channel, what) in self.unheard]

    @property
    def org_error(self) -> str:
        """Why the org does not do what it is asked; "" while it does. `hearing` notes it."""
        return self.entering_error or self.asking_error


@dataclass(frozen=True, slots=True)
class Context:
    """The outside, the store and the small shared things."""

    org: Org
    channels: Mapping[str, Channel]
    store: Store
    clock: Clock
    luck: Callable[[], float]  # in [0, 1): jitter
    new_id: Callable[[], str]  # a random identity
    assortment: Assortment
    bell: Bell
    pulse: Pulse
    log: Logger

    def warn(self, event: str, error: OutsideError, **more: object) -> None:
        """Log a failure. Calls held back are told once, where they are counted, and not for each attempt."""
        (self.log.debug if isinstance(error, CallsSpent) else self.log.warning)(
            event, reason=str(error), **more
        )


def relay_bell(channel: str) -> str:
    """The name of a channel's relay at the bell."""
    return f"relay:{channel}"


def reading_bell(channel: str) -> str:
    """The name of a channel's reading of single orders at the bell."""
    return f"orders of {channel}"


def grouped(values: Iterable[str], size: int) -> Iterable[list[str]]:
    """Values in lists of at most `size`."""
    part: list[str] = []
    for value in values:
        part.append(value)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def unread(tx: Tx) -> bool:
    """True while the org has not been read whole: what seems missing may only not be here yet."""
    return any(hole.source == SNAPSHOT for hole in tx.open_holes())


def wait_until_read(tx: Tx) -> None:
    """For whoever is about to say that the org has no such level: `TryLater` while it may only be unread."""
    if unread(tx):
        raise TryLater("the org's stock levels are still being read")
