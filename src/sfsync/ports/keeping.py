"""What must survive a crash, as the flow asks for it.

Everything happens in a transaction: a plain function that gets a `Tx`, reads, decides and writes, and is
committed as one. There is one writer; readers never wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from sfsync.domain.alerts import Alert, Notice
from sfsync.domain.block import Draw
from sfsync.domain.budget import HourOfCalls
from sfsync.domain.callbacks import Failing, NumberPlace
from sfsync.domain.counts import Count
from sfsync.domain.coverage import Closes, How, Interval
from sfsync.domain.editions import Switch
from sfsync.domain.exposure import Exposure
from sfsync.domain.fold import Fold, LedgerRow
from sfsync.domain.incidents import Stage, Waiting
from sfsync.domain.ledger import Bundle
from sfsync.domain.orders import OrderLine
from sfsync.domain.products import Product
from sfsync.domain.reservations import Reservation
from sfsync.domain.sources import Source, Word
from sfsync.domain.stock import LevelKey, Movement, StockLevel

from .comparing import ComparingTx
from .outside import ChannelItem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hole:
    """An interval of the stream that nobody has observed yet. Open until something made up for it."""

    id: int
    source: str  # topic or channel
    since: datetime
    reason: str
    opened_at: datetime
    closes: Closes = Closes.READING
    replayed_to: datetime | None = None  # how far a replay has come that is not through


@dataclass(frozen=True, slots=True)
class InboxItem:
    """Something that came in and is to be decided: a webhook's body, or a polled order."""

    id: int
    source: str  # the channel's name
    topic: str
    key: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class OrderCall:
    """An order that is to be read at its channel, because something about it is not known yet."""

    reference: str  # as `Channel.order` takes it
    asked_at: datetime
    tries: int  # that have not told it


@dataclass(frozen=True, slots=True)
class LineState:
    """The newest wish of an order line, and how far we are with it.

    `told` is what each source has said of it, where two may speak (`domain.sources`); `line` is then what
    both together want.
    """

    subject: str
    channel: str
    order_id: str
    order_name: str
    line: OrderLine
    version: datetime
    placed_at: datetime
    channel_location: str
    reservations: tuple[str, ...] = ()
    uncovered: int = 0  # units accepted by the channel that the org could not cover
    asked_in_vain: bool = False
    due: bool = True  # to be decided
    told: Mapping[Source, Word] = field(default_factory=dict)
    org_order: str | None = None  # the org's id of the order, when the org has spoken of it
    routed_at: datetime | None = None  # since when it stands where `line.places` says, at least
    misplaced: int = 0  # units that are reserved elsewhere than the channel will send them from
    client: str = ""  # whose order it is, where anybody has said so

    @property
    def words(self) -> Mapping[Source, Word]:
        """What each source has said; a line that only its channel ever told of is that channel's word."""
        return self.told or {Source.CHANNEL: Word(self.version, self.line)}


@dataclass(frozen=True, slots=True)
class SubjectHolding:
    """What a subject holds at one level by the rows that stand in the ledger."""

    subject: str
    kind: str  # order, reservation, allocation, posting
    channel: str | None
    level: LevelKey
    on_hand: int
    reserved: int
    since: datetime  # when its first row was entered


@dataclass(frozen=True, slots=True)
class Held:
    """Units that all reservations of a channel, or its allocation, hold at one level."""

    kind: str  # reservation, allocation
    channel: str | None
    level: LevelKey
    reserved: int


@dataclass(frozen=True, slots=True)
class InTransit:
    """Units of one transfer that were sent and have not arrived; negative when more arrived than was sent."""

    number: str
    level: LevelKey
    units: int
    since: datetime


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A movement that waits for the org's answer."""

    bundle: int
    subject: str
    kind: str
    channel: str | None
    level: LevelKey
    on_hand_delta: int
    reserved_delta: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that ATS depends on, for some SKUs."""

    levels: Sequence[StockLevel]
    held: Sequence[Held]  # by reservations and allocations
    pending: Sequence[PendingRow]
    uncovered: Mapping[str, int]  # by SKU
    divided: frozenset[str] = frozenset()  # SKUs that are divided now because they are scarce


@dataclass(frozen=True, slots=True)
class ChannelLevel:
    """One SKU at one location of a channel. It is due while target and published differ."""

    channel: str
    sku: str
    location: str
    item_id: str
    location_id: str
    published: int
    target: int | None  # None: the org has no stock level of this SKU
    baseline_from: datetime  # when the reading that was last taken over began
    baseline_at: datetime  # and when it had arrived
    changed_at: datetime  # when we last changed, doubted, or began or ended writing its number
    problem: str  # why it is never pushed, or empty
    push: int | None  # the push it is in flight with
    exposure: Exposure
    spare: int = 0  # of an allocation: units certainly neither shown nor sold there (`domain.allocation`)
    flying: int = 0  # of those, the units by which the push under way raises its number
    sequence: int = 0  # raised with each new target
    unsure: bool = False  # it may show another number than the published one: the target is due anyway
    raised_at: datetime | None = None  # when its target last rose


@dataclass(frozen=True, slots=True)
class PushRow:
    """One channel level's part in a push."""

    sku: str
    location: str
    delta: int
    allocated: bool = False  # its units are booked: a raise takes spare ones, a lowering gives them
    quantity: int | None = None  # the number written, where the channel takes no changes


@dataclass(frozen=True, slots=True)
class PushRecord:
    """A push whose outcome is open: its key and its very bytes."""

    id: int
    channel: str
    key: str
    body: bytes
    rows: tuple[PushRow, ...]
    planned_at: datetime
    ticket: str = ""  # the channel has taken it, and will say by this what became of it


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that a person must look at."""

    id: int
    source: str
    key: str
    reason: str
    advice: str
    payload: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DroppedLetter:
    """A dead letter that a person took off the list for good."""

    letter: DeadLetter
    dropped_at: datetime
    by: str
    because: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong in the shop: its kind, its subject, and what a person is told."""

    id: int
    kind: str
    key: str
    title: str
    detail: Mapping[str, object]
    opened_at: datetime
    closed_at: datetime | None
    waiting: Waiting | None = None  # somebody has said that it may wait

    @property
    def units(self) -> int:
        """How many units it is about, as far as it says."""
        units = self.detail.get("units")
        return units if isinstance(units, int) else 0

    def waits(self, now: datetime) -> bool:
        """True while nobody need look at it although it is open."""
        return self.closed_at is None and self.waiting is not None and self.waiting.holds(self.units, now)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person has decided about an incident, and how far that is.

    With a bundle it is as far as those movements; without one, as `stage` says.
    """

    id: int
    incident: int
    way: str
    by: str
    reason: str
    detail: Mapping[str, object]
    stage: Stage
    answer: str  # the org's or the channel's words
    bundle: int | None
    at: datetime
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FoldIntent:
    """A fold that was written down before it was sent, and whose outcome is open."""

    id: int
    level: LevelKey
    record_id: str
    fold: Fold


class Tx(ComparingTx, Protocol):
    """One transaction. Names of methods are the glossary's words; nothing here decides anything."""

    # -- binding, cursors, coverage
    def bound_org(self) -> str | None: ...
    def bind_org(self, org_id: str, at: datetime) -> None: ...
    def first_start(self) -> datetime | None: ...
    def policies(self) -> str | None: ...
    def put_policies(self, fingerprint: str) -> None: ...
    def cursor(self, topic: str) -> bytes | None: ...
    def cursor_at(self, topic: str) -> datetime | None: ...
    def put_cursor(self, topic: str, cursor: bytes, at: datetime) -> None: ...
    def drop_cursor(self, topic: str) -> None: ...
    def open_hole(
        self, source: str, since: datetime, reason: str, at: datetime, closes: Closes = Closes.READING
    ) -> None: ...
    def open_holes(self) -> Sequence[Hole]: ...
    def put_hole(self, hole: Hole) -> None: ...
    def close_hole(self, hole_id: int, at: datetime, found: str = "", how: How = How.REREAD) -> None: ...
    def watch_from(self, source: str, since: datetime, at: datetime) -> None: ...
    def watched(self, source: str, at: datetime) -> None: ...
    def watch(self, interval: Interval) -> None: ...
    def watch_on(self, interval: Interval) -> None: ...
    def last_watched(self, source: str) -> datetime | None: ...
    def last_told(self, source: str) -> datetime | None: ...
    def calls(self) -> tuple[Sequence[HourOfCalls], int | None]: ...
    def put_calls(
        self, hours: Collection[HourOfCalls], allowed: int | None, *, forget_before: datetime
    ) -> None: ...
    def coverage(self, since: datetime, now: datetime) -> Sequence[Interval]: ...

    # -- levels
    def levels(self, keys: Collection[LevelKey]) -> Mapping[LevelKey, tuple[StockLevel, datetime]]: ...
    def put_levels(self, levels: Collection[StockLevel], at: datetime) -> None: ...
    def levels_of(self, skus: Collection[str]) -> Sequence[StockLevel]: ...
    def levels_by_record(self, record_ids: Collection[str]) -> Sequence[StockLevel]: ...
    def all_skus(self) -> Sequence[str]: ...
    def products(self) -> Sequence[Product]: ...
    def put_products(self, products: Collection[Product]) -> None: ...
    def note_skus(self, skus: Collection[str]) -> bool: ...
    def last_sku(self) -> int: ...
    def unasked_skus(self, channel: str, limit: int) -> tuple[Sequence[str], int]: ...
    def mark_asked(self, channel: str, number: int) -> None: ...
    def to_be_read(self) -> Collection[str]: ...
    def read_whole(self, channel: str) -> bool: ...
    def facts(self, skus: Collection[str]) -> Facts: ...
    def pending(self, skus: Collection[str]) -> Sequence[PendingRow]: ...
    def allocated_skus(self) -> Sequence[str]: ...
    def divided_skus(self) -> Sequence[str]: ...
    def divide(self, sku: str, divided: bool, at: datetime) -> None: ...

    # -- epochs, folds
    def epochs(self) -> Mapping[LevelKey, datetime]: ...
    def begin_epoch(self, levels: Collection[LevelKey], at: datetime) -> None: ...
    def read_again(self, levels: Collection[LevelKey]) -> None: ...
    def to_read_again(self) -> Sequence[tuple[StockLevel, int]]: ...
    def was_read_again(self, level: LevelKey, epoch: int) -> None: ...
    def subjects_at(self, level: LevelKey) -> frozenset[str]: ...
    def replace_rows_at(
        self, subject: str, level: LevelKey, rows: Sequence[Movement], at: datetime
    ) -> bool: ...
    def keys_at(self, level: LevelKey) -> frozenset[str]: ...
    def add_fold(self, level: LevelKey, record_id: str, fold: Fold, at: datetime) -> int: ...
    def open_folds(self) -> Sequence[FoldIntent]: ...
    def finish_fold(self, intent: FoldIntent, state: str, reason: str, at: datetime) -> None: ...
    def folded_steps(self, subjects: Collection[str]) -> Mapping[str, int]: ...
    def put_folded(self, level: LevelKey, openings: Sequence[LedgerRow], at: datetime) -> None: ...

    # -- inbox, orders
    def put_inbox(self, source: str, topic: str, key: str, body: bytes, at: datetime) -> bool: ...
    def inbox(self, limit: int) -> Sequence[InboxItem]: ...
    def forget(self, before: datetime) -> int: ...
    def finish_inbox(self, item_id: int, at: datetime) -> None: ...
    def lines(self, subjects: Collection[str]) -> Mapping[str, LineState]: ...
    def put_line(self, line: LineState) -> None: ...
    def lines_of_org_order(self, org_order: str) -> Sequence[LineState]: ...
    def due_lines(self, limit: int) -> Sequence[LineState]: ...
    def uncovered_lines(self, skus: Collection[str]) -> Sequence[LineState]: ...
    def owes(self, channel: str, sku: str) -> bool: ...
    def open_lines(self, channel: str) -> Sequence[LineState]: ...
    def call_order(self, channel: str, reference: str, at: datetime) -> None: ...
    def called_orders(self, channel: str, now: datetime, limit: int) -> Sequence[OrderCall]: ...
    def order_answered(self, channel: str, call: OrderCall, again_at: datetime | None) -> None: ...
    def withheld(self, channel: str, sku: str, since: datetime) -> int: ...
    def poll_mark(self, channel: str) -> datetime | None: ...
    def put_poll_mark(self, channel: str, at: datetime) -> None: ...

    # -- ledger
    def rows_of(self, subjects: Collection[str]) -> Mapping[str, Sequence[Movement]]: ...
    def planned(self, subject: str) -> Sequence[Movement]: ...
    def in_transit(self, location: str) -> Sequence[InTransit]: ...
    def replace_rows(
        self, subject: str, rows: Sequence[Movement], at: datetime, *, channel: str | None = None
    ) -> None: ...
    def busy(self, subjects: Collection[str]) -> frozenset[str]: ...
    def next_step(self, subject: str) -> int: ...
    def next_steps(self, subjects: Collection[str]) -> Mapping[str, int]: ...
    def holdings(self, subjects: Collection[str]) -> Sequence[SubjectHolding]: ...
    def holdings_at(self, levels: Collection[LevelKey]) -> Sequence[SubjectHolding]: ...
    def add_bundle(
        self, movements: Sequence[Movement], owners: Mapping[str, str | None], at: datetime
    ) -> int: ...
    def waiting_bundles(self, after: int) -> Sequence[Bundle]: ...
    def set_companions(
        self, bundle_id: int, movements: Sequence[Movement], owners: Mapping[str, str | None]
    ) -> None: ...
    def companion_subjects(self, bundles: Collection[int]) -> frozenset[str]: ...
    def finish_bundle(
        self,
        bundle_id: int,
        state: str,
        reason: str,
        at: datetime,
        *,
        entered: Collection[str] | None = None,
    ) -> None: ...

    # -- counts
    def add_count(self, count: Count, price: float | None, at: datetime) -> None: ...

    # -- reservations
    def put_reservation(self, reservation: Reservation) -> None: ...
    def reservation(self, reservation_id: str) -> Reservation | None: ...
    def reservations(
        self,
        *,
        states: Collection[str] = (),
        kind: str | None = None,
        channel: str | None = None,
        owner: str | None = None,
        location: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[Reservation]: ...
    def paid_before(self, at: datetime) -> Sequence[Reservation]: ...
    def held_by_reservations(self) -> Sequence[SubjectHolding]: ...
    def reservations_of(self, ids: Collection[str]) -> Sequence[Reservation]: ...
    def ended_still_holding(self, limit: int) -> Sequence[Reservation]: ...
    def confirmed_for(self, channel: str, references: Collection[str]) -> Sequence[str]: ...
    def lines_of_order(self, channel: str, references: Collection[str]) -> Sequence[LineState]: ...
    def expired_reservations(self, now: datetime, limit: int) -> Sequence[Reservation]: ...
    def remembered(self, scope: str, key: str) -> tuple[str, str] | None: ...
    def remember(self, scope: str, key: str, digest: str, reservation_id: str, at: datetime) -> None: ...

    # -- limited editions
    def switches(self) -> Mapping[str, Switch]: ...
    def put_switch(self, edition: str, switch: Switch) -> None: ...
    def taken(self, skus: Collection[str]) -> Sequence[tuple[str | None, int]]: ...
    def sold_by_us(self, skus: Collection[str]) -> int: ...
    def sold_elsewhere(self, edition: str) -> tuple[int, int | None]: ...
    def put_sold_elsewhere(self, edition: str, units: int, on_hand: int | None) -> None: ...
    def subjects_of(self, client: str) -> Collection[str]: ...
    # -- grants out of the local block
    def add_draws(self, draws: Sequence[Draw], at: datetime) -> None: ...
    def draws(self, reservation_id: str) -> Sequence[tuple[Draw, int | None]]: ...
    def open_draws(self, now: datetime, limit: int) -> Sequence[Draw]: ...
    def draws_waiting(self, now: datetime) -> tuple[int, datetime | None, int]: ...
    def plan_draws(self, reservation_id: str, bundle_id: int) -> None: ...
    def draws_answered(self, bundle_id: int, *, entered: bool, not_before: datetime) -> None: ...
    def drop_draws(self, reservation_id: str) -> None: ...

    # -- channels
    def channel_since(self, channel: str) -> datetime | None: ...
    def note_channel(self, channel: str, at: datetime) -> None: ...
    def know_channel_since(self, channel: str, since: datetime) -> None: ...
    def approved(self, channel: str) -> bool: ...
    def approve(self, channel: str, at: datetime) -> None: ...
    def hold(self, channel: str, reason: str) -> None: ...
    def held(self, channel: str) -> str: ...
    def put_items(
        self,
        channel: str,
        items: Collection[ChannelItem],
        problems: Mapping[tuple[str, str], str],
        asked_at: datetime,
        at: datetime,
        *,
        unsure: bool = False,
    ) -> None: ...
    def channel_levels(
        self, skus: Collection[str] | None = None, channel: str | None = None
    ) -> Sequence[ChannelLevel]: ...
    def put_numbers(self, levels: Collection[ChannelLevel], now: datetime | None = None) -> None: ...
    def put_spare(self, channel: str, sku: str, location: str, spare: int) -> None: ...
    def in_doubt(self, channel: str) -> Sequence[str]: ...
    def due(self, channel: str, limit: int) -> Sequence[ChannelLevel]: ...
    def add_push(self, channel: str, key: str, body: bytes, rows: Sequence[PushRow], at: datetime) -> int: ...
    def open_pushes(self, channel: str) -> Sequence[PushRecord]: ...
    def accept_push(self, record: PushRecord, ticket: str) -> None: ...
    def finish_push(self, record: PushRecord, state: str, reason: str, at: datetime) -> None: ...
    def last_push(self, channel: str) -> int: ...
    def applied_pushes(
        self, channel: str, after: int, until: datetime
    ) -> Sequence[tuple[int, Sequence[PushRow]]]: ...
    def set_problem(self, channel: str, sku: str, location: str, problem: str, at: datetime) -> None: ...

    # -- callbacks, alerts
    def failing(self, channel: str) -> Failing | None: ...
    def put_failing(self, channel: str, failing: Failing | None) -> None: ...
    def open_alerts(self) -> frozenset[str]: ...
    def add_alert(self, alert: Alert, receivers: Collection[str], at: datetime) -> None: ...
    def resolve_alert(self, key: str, receivers: Collection[str], at: datetime) -> None: ...
    def next_notice(self, receiver: str) -> Notice | None: ...
    def drop_notice(self, notice_id: int) -> None: ...
    def exposed_units(self) -> Mapping[str, int]: ...
    def count_dead_letters(self) -> Mapping[str, int]: ...
    def numbers_after(
        self,
        place: NumberPlace | None,
        *,
        channels: Collection[str],
        skus: Collection[str] | None,
        limit: int,
    ) -> Sequence[ChannelLevel]: ...

    # -- for people
    def dead_letter(
        self, source: str, key: str, reason: str, advice: str, payload: str, at: datetime
    ) -> None: ...
    def with_dead_letter(self, keys: Collection[str]) -> frozenset[tuple[str, str]]: ...
    def drop_dead_letter(self, source: str, key: str) -> bool: ...
    def dead_letters(self) -> Sequence[DeadLetter]: ...
    def drop_letters(
        self, numbers: Collection[int], by: str, because: str, at: datetime
    ) -> Sequence[int]: ...
    def dropped_letters(self) -> Sequence[DroppedLetter]: ...
    def reopen_inbox(self, source: str, key: str) -> bool: ...
    def wrong_rows(self, key: str) -> Sequence[Movement]: ...
    def open_incident(
        self, kind: str, key: str, title: str, detail: Mapping[str, object], at: datetime
    ) -> bool: ...
    def close_incident(self, kind: str, key: str, at: datetime) -> bool: ...
    def incident(self, incident_id: int) -> Incident | None: ...
    def incidents(self, *, open_only: bool = True) -> Sequence[Incident]: ...
    def wait_with(self, incident_id: int, waiting: Waiting) -> None: ...
    def add_resolution(self, resolution: Resolution) -> int: ...
    def resolution(self, resolution_id: int) -> Resolution | None: ...
    def resolutions(self, incidents: Collection[int]) -> Sequence[Resolution]: ...
    def asked_resolutions(self, way: str) -> Sequence[Resolution]: ...
    def finish_resolution(self, resolution_id: int, stage: Stage, answer: str, at: datetime) -> None: ...


class Store(Protocol):
    """Runs transactions, one after another, off the event loop."""

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` and commit; nothing of it stays when it raises."""
        ...

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a picture of its own; it must not write."""
        ...

    async def close(self) -> None:
        """Finish the transaction at work and give everything back."""
        ...
