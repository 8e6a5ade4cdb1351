"""What the web asks of the rest of the product. The flow implements these; the app hands them over.

Every call may raise `ports.TryLater` or `ports.Unknown` (answered 503, the sender tries again) and
`ports.Refused` (answered 502 with its sentence).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sfsync.domain import incidents
from sfsync.domain.by_hand import Allocated, Said, Word
from sfsync.domain.callbacks import NumberPlace
from sfsync.domain.counts import NOT_SURE, Count, CountOutcome, Sure
from sfsync.domain.editions import Standing
from sfsync.domain.incidents import Resolved
from sfsync.domain.ira_wish import IraWish
from sfsync.domain.left_channel import Forgotten
from sfsync.domain.letters import Cause, Tried
from sfsync.domain.refunds import Ending, RefundAnswer, RefundTask
from sfsync.domain.reservations import Orphan, Outcome, Reservation, Wish, WishedLine
from sfsync.domain.resync import Difference, Scope, WrittenPlan
from sfsync.domain.sku_mapping import Sheet
from sfsync.domain.tills import MaySell, Till, TillOutcome, TillReport, TillSale
from sfsync.domain.transfers import Transfer, TransferOutcome
from sfsync.domain.turnover_wish import TurnoverWish
from sfsync.domain.why import Question
from sfsync.ports import ChannelLevel, Incident, InTransit, Resolution

from .status_shape import Exposure, Status, StockOfSku


class Doorman(Protocol):
    """Takes webhooks in."""

    async def accept(self, channel: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Check the signature and store the delivery durably: True when it is new, False when known already.

        `headers` have lower-case names. Raises `ports.Forged`, and `KeyError` for an unknown channel.
        """
        ...

    def turned_away(self, channel: str, reason: str) -> None:
        """One was not even read, because it is too large or never arrived whole."""
        ...


class ReservationDesk(Protocol):
    """Grants reservations."""

    async def create(self, wish: Wish, *, idempotency_key: str | None, digest: str) -> Outcome:
        """Ask for it. The key is the asking party's own; the same wish has the same `digest`."""
        ...

    async def get(self, reservation_id: str) -> Reservation | None:
        """A reservation as it stands."""
        ...

    async def find(self, **wanted: Any) -> Sequence[Reservation]:
        """Reservations by ``states``, ``kind``, ``channel``, ``owner``, ``location``; oldest first.

        At most ``limit``, after the one of id ``after``, and none beyond ``sight``.
        """
        ...

    async def orphans(self) -> Sequence[Orphan]:
        """What reservations hold for nobody, longest held first."""
        ...

    async def confirm(self, reservation_id: str, order_reference: str) -> Outcome:
        """The customer has paid: it no longer expires. One that has expired is asked of the org again."""
        ...

    async def extend(self, reservation_id: str, life: timedelta) -> Outcome:
        """It expires that long from now."""
        ...

    async def move(self, reservation_id: str, location: str) -> Outcome:
        """Hold it at another location: there, or where it was."""
        ...

    async def substitute(self, reservation_id: str, lines: tuple[WishedLine, ...]) -> Outcome:
        """Take other pieces for one that is paid and not available; twice is once. Its own reservation."""
        ...

    async def hand_over(self, reservation_id: str, reference: str) -> Outcome:
        """The customer has the goods; doing it twice is fine."""
        ...

    async def release(self, reservation_id: str, reason: str = "", *, by: str = "") -> Outcome:
        """Give the units back; doing it twice is fine."""
        ...

    async def store_confirmation(
        self,
        reservation_id: str,
        *,
        found: bool,
        who: str,
        locations: Set[str] | None = None,
        skus: Set[str] = frozenset(),
    ) -> Outcome:
        """The shop says whether it has the pieces in its hand; `who` says so.

        Of those at these locations (None: wherever a shop was asked), and of these SKUs, or of all.
        """
        ...


class Overview(Protocol):
    """Tells people how things stand."""

    async def status(self) -> Status:
        """Everything the status page shows."""
        ...

    async def levels(self, query: str, limit: int) -> Sequence[StockOfSku]:
        """The stock of up to `limit` SKUs that contain `query`, and what each channel shows of them."""
        ...

    async def exposure(self, since: datetime | None, channel: str | None) -> Exposure:
        """What mirrored channels have shown beyond what there was to sell, as far as it is kept."""
        ...

    async def healthy(self) -> tuple[bool, str]:
        """Whether the daemon does its work now, and the sentence that says so or why not."""
        ...


class Reconciler(Protocol):
    """Compares org and channels, and puts them right. What it returns is JSON-ready."""

    async def begin(self, scope: Scope) -> Mapping[str, object]:
        """Begin to compare; its ``id`` follows it. Raises `BusyError` while a plan is being applied.

        Raises `NobodyKnowsError` where the scope names what is nowhere.
        """
        ...

    async def bring(self, plan: WrittenPlan, *, more: bool = False) -> Mapping[str, object]:
        """Take in a plan from a file. `ValueError`: it is another org's. Raises `BusyError`.

        `more`: its further rows follow by `bring_rows`.
        """
        ...

    async def bring_rows(
        self, run_id: str, rows: Sequence[Difference], *, more: bool
    ) -> Mapping[str, object]:
        """Take in further rows of a plan. `KeyError`: none of that id is coming in; `ValueError`: a row."""
        ...

    async def last(self) -> Mapping[str, object] | None:
        """The newest comparison as it stands."""
        ...

    async def run(self, run_id: str) -> Mapping[str, object]:
        """How far it is. `KeyError`: there is none of that id."""
        ...

    async def rows(self, run_id: str, after: tuple[str, str, str], limit: int) -> Mapping[str, object]:
        """Rows of its plan after a row's channel, SKU and location, and the ``next`` to ask after."""
        ...

    async def apply(self, run_id: str, yes_change: int | None) -> Mapping[str, object]:
        """Begin to apply a plan. `KeyError`: none of that id is ready. Raises `TooMuchError`."""
        ...


class DriftTeller(Protocol):
    """Tells what differs although nothing is under way."""

    async def tell(self) -> Mapping[str, object]:
        """What was looked at, what differs, and how much was found on which day. JSON-ready."""
        ...


class TransferDesk(Protocol):
    """Enters goods that go from one location to another."""

    async def enter(self, transfer: Transfer) -> TransferOutcome:
        """Enter one event, once; the same one again is answered as the first time."""
        ...

    async def open(self) -> Sequence[InTransit]:
        """What was sent and has not arrived, oldest first."""
        ...


class TillDesk(Protocol):
    """Enters what concessions' tills report, and tells what they may sell."""

    async def enter(
        self, sales: Sequence[TillSale], *, partial: bool = False, dry_run: bool = False
    ) -> Sequence[TillOutcome]:
        """Enter each line once, or none where one has a problem (unless `partial`); an outcome for each."""
        ...

    async def note(self, report: TillReport) -> None:
        """Keep what became of a report."""
        ...

    async def may_sell(self, till: Till) -> Sequence[MaySell]:
        """What it may sell of each SKU: the bad news first."""
        ...


class CountDesk(Protocol):
    """Enters stock counts."""

    async def enter_all(
        self,
        counts: Sequence[Count],
        *,
        partial: bool = False,
        dry_run: bool = False,
        sure: Sure = NOT_SURE,
    ) -> Sequence[CountOutcome]:
        """Enter each once, or none where one has a problem (unless `partial`); an outcome for each.

        An outcome with neither state nor problem: nothing is wrong with that one, and it was not entered.
        """
        ...

    async def sheet(self, key: str, digest: str) -> bool:
        """Remember what came under a request's key; False when something else came under it before."""
        ...


class Reporter(Protocol):
    """Works out reports. What it returns is JSON-ready."""

    async def ira(self, wish: IraWish) -> Mapping[str, object]:
        """Inventory Record Accuracy, by whatever is asked for."""
        ...

    async def sell_through(self, wish: TurnoverWish) -> Mapping[str, object]:
        """What sold, of what could have been sold."""
        ...

    async def replenish(self, wish: TurnoverWish) -> Mapping[str, object]:
        """What lacks where, whence it may come, and what is over-bought."""
        ...

    async def count_next(self, wish: TurnoverWish) -> Mapping[str, object]:
        """What to count next, and why."""
        ...


class IncidentDesk(Protocol):
    """Takes the ways out of incidents."""

    @property
    def cancelling(self) -> frozenset[str]:
        """The channels that take the cancellation of an order."""
        ...

    async def incident(self, incident_id: int) -> tuple[Incident, Sequence[Resolution]] | None:
        """An incident, open or closed, and what was decided about it, oldest first; None: there is none."""
        ...

    async def resolve(self, incident_id: int, wish: incidents.Wish) -> Resolved:
        """Take a way out, once: the same one again is answered as the first time."""
        ...


class RefundDesk(Protocol):
    """Keeps what is owed to customers."""

    async def find(
        self,
        *,
        open_only: bool = True,
        channels: Collection[str] | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[RefundTask]:
        """Tasks, oldest first, after the one of that id; of these channels, or of all."""
        ...

    async def get(self, number: int) -> RefundTask | None:
        """One task, open or closed."""
        ...

    async def open(self, reservation_id: str, *, by: str, reason: str) -> RefundAnswer:
        """Owe the customer of one that is paid and not available; twice is once."""
        ...

    async def close(self, number: int, ending: Ending, *, by: str, said: str) -> RefundAnswer:
        """It is paid back, or owed no more; the same again is answered as the first time."""
        ...


class LetterDesk(Protocol):
    """Tries dead letters again, and drops them."""

    async def told(self, cause: Cause | None = None, after: int = 0) -> Mapping[str, object]:
        """The letters by cause, a page of each, or of one after an id; and what was dropped; JSON-ready."""
        ...

    async def retry(self, numbers: Collection[int], cause: Cause | None) -> Sequence[Tried]:
        """Try these again, or all of a cause; one answer each, unknown ids too."""
        ...

    async def drop(self, numbers: Collection[int], by: str, reason: str) -> Sequence[int]:
        """Take these off the list for good, with a name and a reason; the ids that there were."""
        ...

    async def drop_cause(self, cause: Cause, up_to: int | None, by: str, reason: str) -> Sequence[int]:
        """Take all of a cause off the list for good, those that came after `up_to` not; their ids."""
        ...


class ChannelForgetter(Protocol):
    """Ends what is kept of channels that are not in the settings any more."""

    async def forget(self, channel: str, by: str, reason: str) -> Forgotten:
        """Forget a channel, with a name and a reason; or say why it stays."""
        ...


class MappingDesk(Protocol):
    """Keeps mappings of SKUs that the org does not have. What it returns is JSON-ready."""

    async def kept(self) -> Sequence[Mapping[str, object]]:
        """Those that are kept."""
        ...

    async def give(
        self, sheet: Sheet, by: str, *, partial: bool, dry_run: bool, yes_change: int | None
    ) -> Mapping[str, Any]:
        """Keep a sheet's mappings and have what they mend tried again; ``applied`` says whether."""
        ...

    async def remove(self, old: str, source: str, by: str) -> bool:
        """Keep one no longer; False when there is none."""
        ...


class EditionDesk(Protocol):
    """Opens and closes limited editions."""

    async def switch(self, name: str, *, on: bool, who: str) -> Standing:
        """Open or close it everywhere at once; again is fine. `KeyError`: there is none of that name."""
        ...

    async def standings(self) -> Sequence[Standing]:
        """How each stands, in the order of the settings."""
        ...


class AllocationDesk(Protocol):
    """Takes a person's word for how divided units stand."""

    async def say(self, word: Word, who: str) -> Said:
        """Remember the word, and ask for what follows from it; or say why it cannot be."""
        ...

    async def standing(self, sku: str | None = None) -> Sequence[Allocated]:
        """How the units of each channel stand: of a SKU, or of all that are divided; by SKU and priority."""
        ...


class Folder(Protocol):
    """Folds old movements of the org's ledger. What it returns is JSON-ready."""

    async def begin(
        self, older_than_days: int | None, sku: str | None, location: str | None, *, dry_run: bool
    ) -> Mapping[str, object] | None:
        """Begin a run, with an ``id`` to follow it by; None while another is under way."""
        ...

    async def run(self, run_id: str) -> Mapping[str, object]:
        """How far a run has come; ``ended_at`` is None until its end. `KeyError`: no such run."""
        ...


class Explainer(Protocol):
    """Tells why a number is what it is."""

    async def tell(self, asked: Question) -> Mapping[str, object]:
        """The sum behind what channels show, or the life of a piece, JSON-ready.

        Raises `UnknownSkuError`, `UnknownLocationError`, `UnknownPieceError`, `NotKeptError`.
        """
        ...


class NumberTeller(Protocol):
    """Tells what channels should show."""

    async def page(
        self, channels: Collection[str], skus: Collection[str] | None, after: NumberPlace | None, limit: int
    ) -> Sequence[ChannelLevel]:
        """Channel levels that have a number, in the order of the last changes, from after a place."""
        ...


class Reloader(Protocol):
    """Reads the settings again."""

    async def reload(self, *, dry_run: bool = False) -> Mapping[str, object]:
        """What is other and what was taken over, JSON-ready; ``problems`` where the settings are wrong."""
        ...


class ShadowTeller(Protocol):
    """Tells what a shadow has seen beside another integration."""

    async def tell(self, since: datetime | None = None) -> Mapping[str, Any] | None:
        """The report, JSON-ready; None where nothing was watched in that time."""
        ...

    def recent(self) -> Mapping[str, Any] | None:
        """The report of some minutes ago, without waiting; None before the first."""
        ...


class Biographer(Protocol):
    """Tells the life of a SKU's numbers."""

    async def tell(self, sku: str) -> Mapping[str, object]:
        """Its levels over time, and what happened, newest first; JSON-ready. Raises `UnknownSkuError`."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """All of them together."""

    doorman: Doorman
    desk: ReservationDesk
    overview: Overview
    reconciler: Reconciler
    now: Callable[[], datetime]
    transfers: TransferDesk
    counts: CountDesk
    reports: Reporter
    incidents: IncidentDesk
    refunds: RefundDesk
    editions: EditionDesk
    allocations: AllocationDesk
    why: Explainer
    levels: NumberTeller
    letters: LetterDesk
    mappings: MappingDesk
    tills: TillDesk
    forgetter: ChannelForgetter
    folder: Folder | None = None
    drift: DriftTeller | None = None
    lives: Biographer | None = None
    reloader: Reloader | None = None
    shadow: ShadowTeller | None = None
