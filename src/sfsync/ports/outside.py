"""The org, the channels, time; and the three names of failure.

Adapters raise nothing else of their own making: a failure's name already says what to do next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol, runtime_checkable

from sfsync.domain.alerts import AlertKind, Notice
from sfsync.domain.budget import HourOfCalls, Standing, Work
from sfsync.domain.callbacks import Patience
from sfsync.domain.clocks import Ahead
from sfsync.domain.drift import Sums
from sfsync.domain.findings import Finding
from sfsync.domain.fold import Fold, FoldAnswer, LedgerRow
from sfsync.domain.ledger import Answer, Request
from sfsync.domain.orders import OrderSnapshot
from sfsync.domain.org_counts import CountTold, OrgCount
from sfsync.domain.org_orders import OrgOrder, OrgReturnLine
from sfsync.domain.products import Product
from sfsync.domain.promises import Promise
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel
from sfsync.domain.subscriptions import Subscription
from sfsync.domain.transfers import Transfer
from sfsync.domain.values import quick

# -- the three failures ------------------------------------------------------------------------------


class OutsideError(Exception):
    """Base of the three; `str()` is a sentence for a person."""


class TryLater(OutsideError):
    """Nothing changed out there. The same may be tried again, not before `after_seconds` when given."""

    def __init__(self, message: str, *, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class CallsSpent(TryLater):
    """The API call budget has no room for it: nothing was sent, or the org took no call.

    `until`: when there is expected to be room again.
    """

    def __init__(self, message: str, until: datetime, *, after_seconds: float) -> None:
        super().__init__(message, after_seconds=after_seconds)
        self.until = until


class Busy(TryLater):
    """It answers, but not this: somebody holds the rows, or the question is too large just then."""


class Unknown(OutsideError):
    """It may have happened: ask again with the same key and the same bytes before anything else."""


class Refused(OutsideError):
    """No retry will heal it: a person must look. `advice` says at what."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Gone(Refused):
    """The other party says that it wants nothing of the kind any more."""


class Unusable(Refused):
    """The other party cannot use this very message, and will not whatever happens; others may be fine."""


class CursorRefused(Refused):
    """The stream will not resume at our cursor: too old, or of another stream. Take a snapshot."""


# -- time and chance ---------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, passed in so that a test can hold it."""

    def now(self) -> datetime:
        """The present, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


# -- the org -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Posting:
    """What another system (a till) says has happened: one movement of on hand to be entered, once.

    `dated` is the time that it was told with, where that was still to come: `occurred_at` is another then.
    """

    source_id: str
    kind: MovementKind
    level: LevelKey
    on_hand_delta: int
    reference: str
    occurred_at: datetime
    dated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Poison:
    """An event or record that cannot be understood: set aside whole, with the reason."""

    key: str
    reason: str
    payload: str


@quick
@dataclass(frozen=True, slots=True)
class EventBatch:
    """Some events of one topic, in order, and the cursor that stands after them.

    `levels` and `movements` are record ids that woke us: the levels they name are read again; so are the
    orders that `orders` and `order_items` name. A hole in the stream (gap or overflow event) is told as
    `hole_since`: everything changed since then is read again. `committed_at` is when the org committed the
    newest of the events, by the org's clock. `joined`: no events, and no more said than that the stream is
    there: what came before may still be pending.
    """

    topic: str
    cursor: bytes
    levels: frozenset[str] = frozenset()
    movements: frozenset[str] = frozenset()
    orders: frozenset[str] = frozenset()
    order_items: frozenset[str] = frozenset()
    postings: tuple[Posting, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    poison: tuple[Poison, ...] = ()
    hole_since: datetime | None = None
    events: int = 0
    committed_at: datetime | None = None
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """Levels as they are, of which movements were written or deleted; `deleted` has the keys of the latter.

    What a fold has taken out is among them. A key that is among them may stand in the ledger once more.
    """

    levels: Sequence[StockLevel] = ()
    deleted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OrgReading:
    """Orders as the org has them now, return lines of no order, and ids of orders that are gone."""

    orders: Sequence[OrgOrder] = ()
    returns: Sequence[OrgReturnLine] = ()
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Children:
    """How many movements a level has."""

    level: str  # record id
    rows: int


@dataclass(frozen=True, slots=True)
class Storage:
    """The org's data storage in megabytes."""

    allowed_mb: int
    left_mb: int
    deliveries_allowed: int | None = None  # events in 24 hours, to every subscriber; None: not told
    deliveries_left: int | None = None


EVERYTHING = b""  # the cursor before the oldest event that the stream still keeps
SINCE = b"since@"


def since(moment: datetime, place: bytes = EVERYTHING) -> bytes:
    """The cursor after `place` of a stream that begins with what was created at a moment: older is not ours.

    So a stream of postings can be gone on with before it has told any place of its own.
    """
    return SINCE + str(round(moment.timestamp() * 1000)).encode() + b":" + place


TOLD_AT_ONCE = 200  # records written by one call


class CountFate(Enum):
    """What became of something written to a count's record."""

    WRITTEN = "written"
    GONE = "gone"  # somebody deleted the record
    LATER = "later"  # nothing changed; the same may go well later
    REFUSED = "refused"  # a person must look


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """What became of one; `why` has the org's words where it was not written."""

    fate: CountFate
    why: str = ""


class CountBook(Protocol):
    """Stock counts as records in the org. Every call may raise the three failures."""

    def changed_since(self, at: datetime) -> AsyncIterator[Sequence[OrgCount]]:
        """Records made or changed since then, by anybody, in pages; none of a count made elsewhere."""
        ...

    def unanswered(self) -> AsyncIterator[Sequence[OrgCount]]:
        """Records that are new or have a mistake, however old, in pages."""
        ...

    async def tell(self, told: Sequence[CountTold]) -> Sequence[CountAnswer]:
        """Write to records, at most `TOLD_AT_ONCE`; an answer for each. The same may be written again."""
        ...


class Org(Protocol):
    """The Salesforce org: ledger, levels and stream. Every call may raise the three failures.

    `work` says what a call is for where that differs; the API call budget holds back bulk work first.
    """

    topics: Sequence[str]
    posting_topics: frozenset[str]  # of these, the ones whose events are postings, not wake-ups
    order_topics: frozenset[str]  # of these, the ones whose events name orders
    has_products: bool  # policies ask what its products are
    keeps_rows: bool  # what is entered stands in its ledger, row by row; not in shadow
    counts: CountBook | None  # where stock counts are records of it; None: nobody asks for that

    async def org_id(self) -> str:
        """The org's 18-character id."""
        ...

    async def check(self, *, writing: bool = True) -> Sequence[Finding]:
        """Objects, fields, permissions, and whether the rule really refuses.

        Not `writing`: the rule is not tried, and no right to write anything is asked for.
        """
        ...

    def snapshot(self, work: Work = Work.REFRESH) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, in pages."""
        ...

    def export(self) -> AsyncIterator[Sequence[StockLevel]]:
        """Every stock level, in pages, with as few calls as there is a way (bulk work)."""
        ...

    async def levels_of_skus(self, skus: Collection[str]) -> Sequence[StockLevel]:
        """Every level of these SKUs (bulk work)."""
        ...

    async def sums(self) -> Mapping[str, Sums]:
        """What the levels of each location have together (bulk work)."""
        ...

    async def sums_between(self, location: str, first: str | None, last: str | None) -> Sums:
        """The same of a location's levels whose record id is after `first`, up to `last`; None: no end."""
        ...

    async def levels_between(
        self, location: str, first: str | None, last: str | None
    ) -> Sequence[StockLevel]:
        """These levels."""
        ...

    async def read_levels(
        self,
        *,
        levels: Collection[str] = (),
        movements: Collection[str] = (),
        keys: Collection[LevelKey] = (),
        work: Work = Work.SALE,
    ) -> Sequence[StockLevel]:
        """The levels with these record ids, of these movements, of these keys. Missing ones are left out."""
        ...

    def levels_moved_since(self, at: datetime) -> AsyncIterator[Moved]:
        """The levels that any movement entered or deleted since `at` belongs to, in pages.

        After a load, that is all.
        """
        ...

    async def read_orders(self, *, orders: Collection[str] = (), items: Collection[str] = ()) -> OrgReading:
        """The orders with these ids and those that these order items belong to, deleted ones too.

        A reduction order stands for the order that it reduces. What the org does not know is told as gone.
        """
        ...

    def orders_changed_since(self, at: datetime) -> AsyncIterator[OrgReading]:
        """Every order of which a part has changed since `at`, deletions too; and changed return lines."""
        ...

    def returns_under_way(self) -> AsyncIterator[OrgReading]:
        """Every return line of which nothing is said to have come yet, as of no order."""
        ...

    def products(self, since: datetime | None) -> AsyncIterator[Sequence[Product]]:
        """Products that have changed since, deleted ones too; all of them when None."""
        ...

    async def create_levels(self, keys: Collection[LevelKey]) -> None:
        """Make empty stock levels for keys that have none; no stock is entered."""
        ...

    async def enter(self, request: Request, record_ids: Mapping[LevelKey, str]) -> Answer:
        """Enter a request's movements and read back levels and rows: one call."""
        ...

    async def promises(self, levels: Mapping[LevelKey, str]) -> Sequence[Promise]:
        """Who holds units reserved at these levels (each with its record id), whoever reserved them."""
        ...

    async def sold(self, skus: Collection[str]) -> int:
        """Units of these SKUs that the ledger has as sold or sent, by whomever, less what came back."""
        ...

    async def subject_rows(self, subjects: Collection[str]) -> Sequence[Movement]:
        """Every ledger row of these subjects, oldest first. What was folded of them is not among these."""
        ...

    async def level_rows(self, record_id: str, work: Work = Work.SALE) -> Sequence[LedgerRow]:
        """Every row of a level, oldest first; none when the level is gone."""
        ...

    async def rows_at(self, record_ids: Collection[str], work: Work = Work.SALE) -> Sequence[LedgerRow]:
        """Every row of these levels, the rows of each oldest first."""
        ...

    async def entered_since(self, record_ids: Collection[str], at: datetime) -> Sequence[LedgerRow]:
        """Rows of these levels that were made since then, whoever entered them, oldest first."""
        ...

    def moved(self, since: datetime, kinds: Collection[MovementKind]) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every row of these kinds that happened since then, in pages, whoever entered it (bulk work)."""
        ...

    async def rows_of(self, subjects: Collection[str]) -> Sequence[LedgerRow]:
        """Every row of these subjects, at all levels."""
        ...

    def openings(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every opening row that a fold has left, in pages."""
        ...

    def reserving_rows(self) -> AsyncIterator[Sequence[LedgerRow]]:
        """Every row that changed reserved at the levels where something is reserved now, in pages."""
        ...

    async def orders_entered(self, channel: str) -> tuple[datetime, datetime] | None:
        """When the first row that we entered for an order of it occurred, and when the last was made.

        None when there is none.
        """
        ...

    async def children(
        self, before: datetime | None = None, *, sku: str | None = None, location: str | None = None
    ) -> Sequence[Children]:
        """Rows of each level (older than `before`, of a SKU, at a location, when given), the fullest first.

        At most 2,000 levels.
        """
        ...

    async def count_rows(self, since: datetime | None = None) -> int:
        """How many rows all levels have together (made since, when given)."""
        ...

    async def fold(self, fold: Fold, record_id: str) -> FoldAnswer:
        """Enter an opening row and delete what it stands for: all or nothing, one call."""
        ...

    async def check_fold(self) -> Finding:
        """Whether a fold is one transaction here: tried on a level of its own."""
        ...

    async def storage(self) -> Storage | None:
        """The org's data storage; None where it does not tell."""
        ...

    def events(self, topic: str, cursor: bytes | None) -> AsyncIterator[EventBatch]:
        """The stream after `cursor`; from now on when None, all it still keeps when `EVERYTHING`.

        An empty batch is a sign of life. `since` makes the cursor of a stream that tells postings.
        """
        ...

    def calls(self) -> Standing | None:
        """How the API calls of the last 24 hours stand, without asking; None before the org has told."""
        ...

    def hours_of_calls(self) -> tuple[Sequence[HourOfCalls], int | None]:
        """The calls of each hour that counts, and how many the org allows: kept over a restart."""
        ...

    def recall_calls(self, hours: Sequence[HourOfCalls], allowed: int | None) -> None:
        """What was kept of a former run."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


# -- channels ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ability:
    """What a channel's API can do; the relay chooses by it."""

    batch_rows: int
    relative: bool  # takes a change instead of a number
    compare_and_set: bool  # takes the number we believe in, and refuses when it is another
    key_life_seconds: float  # how long it remembers an idempotency key
    webhooks: bool = True  # it sends signed webhooks; False: its orders are only asked for
    routes: bool = False  # it has several locations, and assigns what it sells to one of them
    cancels: bool = False  # it takes the cancellation of an order
    tells_orders: bool = True  # what it sells can be asked for; False: nobody can know of an unseen sale
    asynchronous: bool = False  # a push is accepted with a ticket, and done later (`LaterOutcome`)
    outcome_every_seconds: float = 15.0  # how often a ticket may be asked for
    outcome_within_seconds: float = 3600.0  # a ticket without an answer for so long is an incident
    orders_every_seconds: float = 10.0  # how long its orders count as known after they were read
    settle_seconds: float = 0.0  # so long after a sale its order list tells of it

    callbacks: Patience | None = None  # it is told numbers in their order, how long it may fail; never asked

    @property
    def weak(self) -> bool:
        """True when every write may go over a sale that we have not heard of."""
        return not (self.relative or self.compare_and_set)


@dataclass(frozen=True, slots=True)
class ChannelItem:
    """One SKU at one of the channel's locations, with the channel's own ids and what it shows now."""

    sku: str
    location: str  # our name for the channel's location
    item_id: str
    location_id: str
    shows: int
    tracked: bool = True
    oversell_allowed: bool = False
    duplicate: bool = False  # another item of the channel carries this SKU too
    price: float | None = None  # in the channel's currency; None: it is not told
    tags: frozenset[str] | None = None  # of its product; None: they are not told


@quick
@dataclass(frozen=True, slots=True)
class Write:
    """One row of a push: a change (`delta`) or a number (`quantity`), `compare` being what it must show."""

    sku: str
    location: str
    item_id: str
    location_id: str
    delta: int | None = None
    quantity: int | None = None
    compare: int | None = None
    sequence: int = 0  # of the number: a greater one is newer


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What became of a push: all rows applied, or none, with the rows to blame by their index.

    No row to blame and not applied: the relay halves the batch until it finds the bad one. A channel that
    carries out the good rows of a push says applied and names the bad ones; it names as stale what it has
    written while something else changed. With a `ticket` it has taken the push and does it later.
    """

    applied: bool
    bad_rows: Mapping[int, str] = field(default_factory=dict)
    stale_rows: frozenset[int] = frozenset()
    reason: str = ""
    key_spent: bool = False  # the channel will not hear this key again: ask with a new one
    ticket: str = ""  # taken, and not done yet: what `LaterOutcome.outcome` is asked with


@quick
@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook whose signature was good. `dedup_key` is the same when the same event comes again."""

    topic: str
    dedup_key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class LevelHint:
    """A number that a channel tells unasked, with its own ids: a reason to read it, nothing more."""

    item_id: str
    location_id: str
    shows: int | None  # None: the item is not stocked there


class Forged(Exception):
    """A webhook that the channel did not sign; nothing of it may be believed."""


class Channel(Protocol):
    """A storefront or marketplace. One thin dialect each; every call may raise the three failures."""

    name: str
    ability: Ability

    async def check(self) -> Sequence[Finding]:
        """Credential, scopes, version, locations."""
        ...

    def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """What the channel lists and shows, in pages: everything, or these SKUs."""
        ...

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The request body of a push; the same input gives the same bytes."""
        ...

    async def push(self, body: bytes) -> PushAnswer:
        """Send a body that `encode` made."""
        ...

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Check a webhook's signature over its raw bytes; header names in lower case. Raises `Forged`."""
        ...

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """The order a delivery tells of; None when the topic is none of ours. `Refused` when malformed."""
        ...

    def order_called(self, delivery: Delivery) -> str | None:
        """What to ask `order` for when a delivery only says that something about an order has changed.

        None when the topic is no such call. `Refused` when malformed.
        """
        ...

    async def order(self, reference: str) -> OrderSnapshot | None:
        """One order as it stands now: by its id, or by what `order_called` gave. None when there is none."""
        ...

    def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """Orders changed since `at`, in pages, oldest change first.

        One that cannot be read is `domain.orders.unreadable`: it may be a sale, and a person must look.
        """
        ...

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """Have the whole order called off, for want of stock and without putting its units back on sale.

        It may be carried out later: `order` tells when it is. `refund` gives the money back the way it came,
        `notify` has the channel write to the customer, `note` is for its staff. Harmless when it is called
        off already. `Refused` where `ability.cancels` is False, and when the channel will not.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, slots=True)
class Budget:
    """What a channel still lets us ask, in its own unit, and how fast that comes back."""

    left: int
    most: int
    a_second: float
    unit: str  # "points", "requests"


@runtime_checkable
class Budgeted(Protocol):
    """A channel that counts what it is asked."""

    def budget(self) -> Budget | None:
        """How it stands, without asking; None before the channel has told."""
        ...


@runtime_checkable
class TellsTime(Protocol):
    """A channel, or an org, whose answers say what time it is there; others are believed to go by ours."""

    def ahead(self) -> Ahead | None:
        """How far its clock is ahead of ours, without asking; None before it has answered anything."""
        ...


@runtime_checkable
class Subscriber(Protocol):
    """A channel that can be told which webhooks to send where. Every call may raise the three failures."""

    @property
    def topics(self) -> Sequence[str]:
        """What we want to hear of."""
        ...

    async def subscriptions(self) -> Sequence[Subscription]:
        """What it has been told, by whomever."""
        ...

    async def subscribe(self, topic: str, address: str) -> None:
        """Have webhooks of a topic sent to an address."""
        ...

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Have them sent no more; one that is gone is fine."""
        ...


@runtime_checkable
class Hinting(Protocol):
    """A channel whose webhooks tell its numbers too."""

    def level_hint(self, delivery: Delivery) -> LevelHint | None:
        """The number that a delivery tells; None when it is about something else. `Refused`: malformed."""
        ...


@runtime_checkable
class LaterOutcome(Protocol):
    """A channel that takes a push at once and carries it out later (`Ability.asynchronous`)."""

    async def outcome(self, ticket: str, body: bytes) -> PushAnswer | None:
        """What became of a push that was taken with this ticket; None while it is under way.

        `Refused` when it knows no such ticket any more: then its numbers must be read.
        """
        ...


@runtime_checkable
class OrderTimes(Protocol):
    """A channel that tells which orders have changed for less than it tells the orders."""

    def order_times(self, at: datetime) -> AsyncIterator[Sequence[tuple[str, datetime]]]:
        """(id, version) of every order that `orders_since` would give, in pages, as its snapshot has them."""
        ...


# -- whoever is to be woken -----------------------------------------------------------------------------


class AlertReceiver(Protocol):
    """Somebody who is told of alerts."""

    name: str
    kinds: frozenset[AlertKind]  # of these; empty: of all
    patience: Patience

    async def check(self) -> Sequence[Finding]:
        """Whether it may be called, and how messages are signed."""
        ...

    async def tell(self, notice: Notice) -> None:
        """Send one message once. May raise the three failures; `Gone` when it wants no more, `Unusable`."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
