"""A web of its own for tests: the real app over a stock room in memory, and a status worth showing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from starlette.applications import Starlette

from sfsync.domain.by_hand import Allocated, Fixed, Said, Word
from sfsync.domain.callbacks import NumberPlace
from sfsync.domain.counts import NOT_SURE, Believed, Count, CountOutcome, Sure, doubt
from sfsync.domain.editions import REST, Denial, Edition, PartyStanding, Standing, Switch
from sfsync.domain.exposure import Exposure as DomainExposure
from sfsync.domain.incidents import Resolved, Stage
from sfsync.domain.incidents import Wish as IncidentWish
from sfsync.domain.ira_wish import IraWish
from sfsync.domain.left_channel import Forgotten, LeftChannel, judged
from sfsync.domain.letters import Cause, Tried
from sfsync.domain.refunds import Ending, OwedLine, RefundAnswer, RefundTask
from sfsync.domain.reservations import (
    Orphan,
    OrphanCause,
    Outcome,
    PickUpWindow,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    Wish,
    WishedLine,
)
from sfsync.domain.resync import (
    BusyError,
    Difference,
    Extent,
    NobodyKnowsError,
    Scope,
    TooMuchError,
    WrittenPlan,
)
from sfsync.domain.rights import ROLES, Role
from sfsync.domain.sku_mapping import Sheet, SkuMapping
from sfsync.domain.stock import LevelKey
from sfsync.domain.tills import MaySell, Till, TillOutcome, TillReport, TillSale
from sfsync.domain.transfers import Transfer, TransferOutcome
from sfsync.domain.turnover_wish import TurnoverWish
from sfsync.domain.why import NotKeptError, Question, UnknownLocationError, UnknownPieceError, UnknownSkuError
from sfsync.ports import ChannelLevel, Forged, Incident, InTransit, Resolution, telling
from sfsync.web import (
    ADMIN,
    COUNTS,
    LEVELS,
    RESERVATIONS,
    STORES,
    TILLS,
    Reach,
    Services,
    Sight,
    Status,
    StockOfSku,
    TillAccess,
    Token,
    WebOptions,
    build_web,
)
from sfsync.web.editions import describe
from sfsync.web.status_shape import Exposure, TillStatus, WorstSpell

SECRET = b"hush"
CHECKOUT = "checkout-token-0123456789"
OPERATIONS = "operations-token-0123456789"
GULF = "gulf-site-token-0123456789"
SHOP = "knightsbridge-token-0123456789"
OF_SHOP = Sight(frozenset(), frozenset({"KNIGHTSBRIDGE", "ECOM"}))
VIEWER = "viewer-token-0123456789"
AUDITOR = "auditor-token-0123456789"
NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


def signed(body: bytes) -> dict[str, str]:
    """The headers of a delivery that the channel signed."""
    return {"X-Signature": hmac.new(SECRET, body, hashlib.sha256).hexdigest()}


class LetterPile:
    """Three dead letters, of which the third cannot be tried again."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], Cause | None]] = []
        self.dropped: list[tuple[list[int], str, str]] = []
        self.slow: asyncio.Event | None = None  # a retry is not over before it is set
        self.dropped_causes: list[tuple[Cause, int | None, str, str]] = []

        self.listed: dict[str, Any] = {"causes": [], "dropped": []}

        self.pages: list[tuple[Cause | None, int]] = []

    async def told(self, cause: Cause | None = None, after: int = 0) -> Mapping[str, object]:
        self.pages.append((cause, after))
        return self.listed

    async def retry(self, numbers: Collection[int], cause: Cause | None) -> Sequence[Tried]:
        self.asked.append((list(numbers), cause))
        telling()("dead letters", 1, 3)
        if self.slow is not None:
            await self.slow.wait()
        return [
            Tried(number, number < 3, "read again" if number < 3 else "kept") for number in numbers or [1]
        ]

    async def drop(self, numbers: Collection[int], by: str, reason: str) -> Sequence[int]:
        self.dropped.append((list(numbers), by, reason))
        return [number for number in numbers if number <= 3]

    async def drop_cause(self, cause: Cause, up_to: int | None, by: str, reason: str) -> Sequence[int]:
        self.dropped_causes.append((cause, up_to, by, reason))
        return [1, 3]


class MappingPile:
    """Keeps mappings; BAG-9 is unknown to the org, and three at once are too many to be kept unasked."""

    def __init__(self) -> None:
        self.given: list[tuple[list[SkuMapping], str, bool, bool, int | None]] = []
        self.removed: list[tuple[str, str, str]] = []

    async def kept(self) -> Sequence[Mapping[str, object]]:
        row = {"old": "OLD", "new": "BAG-1", "channel": None, "by": "operations", "rests": False}
        listed = [{"channel": "london", "location": "online", "shows": 3}]
        return [{**row, "at": "2026-11-23T08:00:00.000Z", "still_listed": listed}]

    async def give(
        self, sheet: Sheet, by: str, *, partial: bool, dry_run: bool, yes_change: int | None
    ) -> Mapping[str, Any]:
        self.given.append(([row for _, row in sheet.rows], by, partial, dry_run, yes_change))
        errors = [
            {"line": bad.line, "sku": bad.sku, "detail": bad.detail, "remedy": bad.remedy}
            for bad in sheet.bad
        ]
        rows: list[dict[str, Any]] = []
        for line, row in sheet.rows:
            if row.new == "BAG-9":
                errors.append(
                    {"line": line, "sku": row.old, "detail": "maps to BAG-9", "remedy": "correct it"}
                )
                continue
            told = {"line": line, "old": row.old, "new": row.new, "channel": row.source or None}
            rows.append({**told, "state": "new", "letters": [7], "subjects": []})
        asks = len(rows) >= 3
        applied = not dry_run and (partial or not errors) and (not asks or yes_change == len(rows))
        sums = {"new": len(rows), "kept": 0, "letters": len(rows), "skus": 12}
        return {"rows": rows, "errors": errors, **sums, "asks": asks, "applied": applied}

    async def remove(self, old: str, source: str, by: str) -> bool:
        self.removed.append((old, source, by))
        return old == "OLD"


class Forgetter:
    """Something is kept of paris; units are set aside for rome."""

    def __init__(self) -> None:
        self.left = {
            "paris": LeftChannel("paris", 77, 3, 1, 0, 2),
            "rome": LeftChannel("rome", 5, 0, 0, 2, 0),
        }
        self.forgotten: list[tuple[str, str, str]] = []

    async def forget(self, channel: str, by: str, reason: str) -> Forgotten:
        found = judged(channel, ("london", "dubai"), self.left.values())
        if not found.problem:
            self.forgotten.append((channel, by, reason))
        return found


class Door:
    """A doorman that keeps what it accepts."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.failure: Exception | None = None
        self.away: list[tuple[str, str]] = []

    def turned_away(self, channel: str, reason: str) -> None:
        self.away.append((channel, reason))

    async def accept(self, channel: str, headers: Mapping[str, str], body: bytes) -> bool:
        if channel != "london":
            raise KeyError(channel)
        if headers.get("x-signature") != signed(body)["X-Signature"]:
            raise Forged("another secret signed it")
        if self.failure is not None:
            raise self.failure
        new = body not in self.kept
        if new:
            self.kept.append(body)
        return new


class Desk:
    """A reservation desk over a dictionary of available units."""

    def __init__(self, stock: Mapping[str, Mapping[str, int]]) -> None:
        self.stock = {sku: dict(places) for sku, places in stock.items()}
        self.granted: dict[str, Reservation] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.asked: list[dict[str, Any]] = []
        self.answers = True
        self.words: list[tuple[Set[str] | None, Set[str]]] = []  # whose locations, which SKUs
        self.floor = False
        self.denial: Denial | None = None
        self.failure: Exception | None = None

    async def create(self, wish: Wish, *, idempotency_key: str | None, digest: str) -> Outcome:
        if self.failure is not None:
            raise self.failure
        if idempotency_key in self.keys:
            known, reservation_id = self.keys[idempotency_key]
            if known != digest:
                return Outcome(None, "key-reused")
            return Outcome(self.granted[reservation_id])
        if self.denial is not None:
            return Outcome(None, self.denial.kind, detail=self.denial.detail, more=self.denial.more)
        lines = []
        for line in wish.lines:
            places = self.stock.get(line.sku)
            if places is None:
                return Outcome(None, "unknown-sku", detail=f"there is no stock level of {line.sku!r}")
            place = next((name for name, units in places.items() if units >= line.quantity), None)
            if place is None:
                return Outcome(None, "unavailable", self.stock, "the org refused it")
            lines.append(ReservationLine(LevelKey(line.sku, place, line.unit), line.quantity))
        for granted in lines:
            self.stock[granted.level.sku][granted.level.location] -= granted.quantity
        state = ReservationState.GRANTED if self.answers else ReservationState.PENDING
        if state is ReservationState.GRANTED and self.floor and not wish.in_hand:
            state = ReservationState.AWAITING_STORE
        number = f"r{len(self.granted) + 1}"
        reservation = Reservation(
            number,
            state,
            wish.kind,
            wish.channel,
            wish.owner,
            tuple(lines),
            NOW,
            wish.ends(NOW),
            partial=wish.partial,
            window=wish.window,
            client=wish.client,
        )
        self.granted[number] = reservation
        if idempotency_key is not None:
            self.keys[idempotency_key] = (digest, number)
        return Outcome(reservation)

    async def get(self, reservation_id: str) -> Reservation | None:
        return self.granted.get(reservation_id)

    async def orphans(self) -> Sequence[Orphan]:
        """Whatever is paid for, as if its order had never come; and a number that is not known."""
        known = [
            Orphan(each.id, OrphanCause.NO_ORDER, {each.lines[0].level: 1}, NOW, each.channel, each)
            for each in self.granted.values()
            if each.state is ReservationState.CONFIRMED
        ]
        return [*known, Orphan("r99", OrphanCause.UNKNOWN, {LevelKey("BAG-1", "ECOM"): 2}, NOW, None, None)]

    async def find(self, **wanted: Any) -> Sequence[Reservation]:
        self.asked.append(wanted)
        after = wanted.pop("after") or ""
        states = wanted["states"] or list(ReservationState)
        sight: Sight = wanted["sight"]
        found = [
            each
            for each in self.granted.values()
            if each.id > after
            and each.state in states
            and wanted["kind"] in (None, each.kind.value)
            and sight.sees(each)
        ]
        return found[: wanted["limit"]]

    async def confirm(self, reservation_id: str, order_reference: str) -> Outcome:
        paid = {"expires_at": None, "order_reference": order_reference}
        return self._go_on(reservation_id, ReservationState.CONFIRMED, **paid)

    async def extend(self, reservation_id: str, life: timedelta) -> Outcome:
        return self._go_on(reservation_id, ReservationState.GRANTED, expires_at=NOW + life)

    async def move(self, reservation_id: str, location: str) -> Outcome:
        if location == "NOWHERE":
            return Outcome(self.granted.get(reservation_id), "unavailable", self.stock, "no")
        lines = [
            replace(line, level=LevelKey(line.level.sku, location, line.level.unit))
            for line in self.granted[reservation_id].lines
        ]
        return self._go_on(reservation_id, ReservationState.GRANTED, lines=tuple(lines))

    async def substitute(self, reservation_id: str, lines: tuple[WishedLine, ...]) -> Outcome:
        paid = self.granted[reservation_id]
        if paid.state is not ReservationState.PAID_UNAVAILABLE:
            return Outcome(paid, "ended", detail=f"it is {paid.state.value}")
        keys = [LevelKey(line.sku, line.location or "ECOM") for line in lines]
        levels = tuple(ReservationLine(key, line.quantity) for key, line in zip(keys, lines, strict=True))
        if any(self.stock.get(line.level.sku, {}).get(line.level.location, 0) < 1 for line in levels):
            return Outcome(replace(paid, state=ReservationState.REFUSED), "unavailable", self.stock, "no")
        self.granted[paid.id] = replace(paid, state=ReservationState.RELEASED)
        taken = replace(paid, id="r8", lines=levels, state=ReservationState.CONFIRMED, instead_of=paid.id)
        return self._put(taken)

    async def hand_over(self, reservation_id: str, reference: str) -> Outcome:
        return self._go_on(reservation_id, ReservationState.SETTLED)

    async def release(self, reservation_id: str, reason: str = "", *, by: str = "") -> Outcome:
        return self._go_on(reservation_id, ReservationState.RELEASED, reason=reason)

    async def store_confirmation(
        self,
        reservation_id: str,
        *,
        found: bool,
        who: str,
        locations: Set[str] | None = None,
        skus: Set[str] = frozenset(),
    ) -> Outcome:
        self.words.append((locations, skus))
        state = ReservationState.GRANTED if found else ReservationState.RELEASED
        return self._go_on(reservation_id, state, reason="" if found else f"not found ({who})")

    def _go_on(self, reservation_id: str, state: ReservationState, **changes: Any) -> Outcome:
        reservation = self.granted.get(reservation_id)
        if reservation is None:
            return Outcome(None, "not-found")
        if reservation.state is ReservationState.PENDING:
            return Outcome(reservation, "later", detail="the org has not answered yet")
        if reservation.state is ReservationState.AWAITING_STORE and state is ReservationState.CONFIRMED:
            return Outcome(reservation, "awaiting-store")
        if reservation.state is ReservationState.PAID_UNAVAILABLE:
            return Outcome(reservation, "paid-unavailable", self.stock)
        if reservation.state in (ReservationState.RELEASED, ReservationState.EXPIRED) and state is not (
            ReservationState.RELEASED
        ):
            return Outcome(reservation, "ended", detail=f"it is {reservation.state.value}")
        return self._put(replace(reservation, state=state, **changes))

    def _put(self, reservation: Reservation) -> Outcome:
        self.granted[reservation.id] = reservation
        return Outcome(reservation)


def exposure_at_dubai() -> Exposure:
    """One scarf shown half a minute too long, one bag shown now that is gone."""
    worst: WorstSpell = {
        "sku": "SCARF-07",
        "location": "online",
        "began_at": "2026-11-22T17:03:00.000Z",
        "seconds": 31.5,
        "units": 1,
        "unit_seconds": 31.5,
    }
    return {
        "since": "2026-10-24T08:15:00.000Z",
        "until": "2026-11-23T08:15:00.000Z",
        "classes": [
            {
                "channel": "dubai",
                "skus": "scarce",
                "units": 1,
                "levels": 1,
                "oldest_seconds": 2.4,
                "spells": 12,
                "unit_seconds": 44.0,
                "p99_seconds": 31.5,
                "p99_unit_seconds": 31.5,
                "longest": worst,
                "largest": worst,
            }
        ],
        "sooner": [],
        "emptied": [],
    }


class Board:
    """An overview that says what it is told to say."""

    def __init__(self, status: Status) -> None:
        self.told = status
        self.health = (True, "the stream was heard 2 s ago")
        self.stock: list[StockOfSku] = []
        self.asked_exposure: tuple[datetime | None, str | None] = (None, None)
        self.failure: Exception | None = None
        self.counted = asyncio.Event()  # what there is; until then no status is known
        self.counted.set()

    async def status(self) -> Status:
        await self.counted.wait()
        if self.failure is not None:
            raise self.failure
        return self.told

    async def levels(self, query: str, limit: int) -> Sequence[StockOfSku]:
        return [entry for entry in self.stock if query.lower() in entry["sku"].lower()][:limit]

    async def exposure(self, since: datetime | None, channel: str | None) -> Exposure:
        self.asked_exposure = (since, channel)
        return exposure_at_dubai()

    async def healthy(self) -> tuple[bool, str]:
        return self.health


class Plans:
    """A reconciler with one plan at a time, which changes 900 numbers."""

    def __init__(self) -> None:
        self.asked: list[Scope] = []
        self.brought: list[WrittenPlan] = []
        self.further: list[tuple[tuple[Difference, ...], bool]] = []
        self.busy = False
        self.told: dict[str, Any] = {}  # the newest comparison, for the page
        self.page: list[dict[str, Any]] = []
        self.applied: list[tuple[str, int | None]] = []

    async def begin(self, scope: Scope) -> Mapping[str, object]:
        if self.busy:
            raise BusyError
        wrong = {"skus": "NOPE" in scope.skus, "locations": "NOWHERE" in scope.locations}
        if any(wrong.values()):
            raise NobodyKnowsError({name: "has a name that nobody knows" for name in wrong if wrong[name]})
        self.asked.append(scope)
        return {"id": "p1", "state": "reading"}

    async def bring(self, plan: WrittenPlan, *, more: bool = False) -> Mapping[str, object]:
        if plan.org_id != "00D1":
            raise ValueError("the plan was made with another org")
        self.brought.append(plan)
        return {"id": "p1", "state": "bringing" if more else "ready"}

    async def bring_rows(
        self, run_id: str, rows: Sequence[Difference], *, more: bool
    ) -> Mapping[str, object]:
        await self.run(run_id)
        if any(row.sku == "TWICE" for row in rows):
            raise ValueError("TWICE is named by two rows")
        self.further.append((tuple(rows), more))
        return {"id": "p1", "state": "bringing" if more else "ready"}

    async def last(self) -> Mapping[str, object] | None:
        return self.told or ({"id": "p1"} if self.asked else None)

    async def run(self, run_id: str) -> Mapping[str, object]:
        if run_id != "p1":
            raise KeyError(run_id)
        return {"id": run_id, "state": "ready"}

    async def rows(self, run_id: str, after: tuple[str, str, str], limit: int) -> Mapping[str, object]:
        if self.page:
            return {"rows": self.page, "next": None if any(after) else ["london", "SCARF", "online"]}
        return {"rows": [], "next": list(after), "limit": limit, **await self.run(run_id)}

    async def apply(self, run_id: str, yes_change: int | None) -> Mapping[str, object]:
        if yes_change not in (None, 900):
            raise TooMuchError({"london": Extent(1000, 900, 100)}, 900)
        if self.told and run_id != self.told["id"]:
            raise KeyError(run_id)
        if self.told and self.told["changes"] == 900 and yes_change is None:
            raise TooMuchError({"london": Extent(1000, 900, 100)}, 900)
        self.applied.append((run_id, yes_change))
        return {"applied": 0, **await self.run(run_id)}


def compared(state: str = "ready", changes: int = 2) -> dict[str, Any]:
    """A comparison as the page shows it."""
    return {
        "id": "p1",
        "state": state,
        "ended": state in ("ready", "done"),
        "made_at": "2026-11-23T08:14:00.000Z",
        "compared": 1000,
        "finding": "",
        "org_newer": 1,
        "unread": {"dubai": "dubai does not answer"},
        "warnings": ["london sells 1 item beyond its stock (HAT): set it to stop at zero there"],
        "causes": [
            {"channel": "london", "cause": "changed at the channel", "code": "manual-edit", "rows": 2}
        ],
        "changes": changes,
        "price": {
            "london": {"rows": 2, "calls": 2, "points": 422, "minutes": 0.5},
            "org": {"levels": 0, "calls": 0, "calls_left": 79980},
        },
        "rows_done": {"applied": 1},
        "rows_planned": 1,
        "progress": {
            "org_levels": 500,
            "channels": {"london": {"read": 100, "known": 1000, "done": False}},
        },
    }


def planned(sku: str, shows: int, target: int) -> dict[str, Any]:
    """A row of a plan as the page shows it."""
    row = {"channel": "london", "sku": sku, "location": "online", "cause": "changed at the channel"}
    return {**row, "shows": shows, "target": target, "state": "planned", "note": ""}


def letters_told() -> dict[str, Any]:
    """Two causes of dead letters, one of which a retry does not help."""
    about = {"means": "the channel refused it", "advice": "mend it, then `retry`", "why": "it is read first"}

    def item(number: int, key: str) -> dict[str, object]:
        told = {"id": number, "key": key, "source": "london", "reason": "it is archived", "advice": "mend it"}
        return {**told, "at": "2026-11-23T08:00:00.000Z"}

    items = [item(1, "push:A@o"), item(3, "B")]
    first: dict[str, object] = {
        "cause": "item refused",
        "retry": "safe",
        **about,
        "count": 201,
        "next": 3,
        "newest": 209,
    }
    first["items"] = items
    alone: dict[str, object] = {"count": 1, "next": None, "newest": 4, "items": [item(4, "sku:C")]}
    second = {"cause": "duplicate SKU", "retry": "useless", **about, **alone}
    return {"causes": [first, second], "dropped": []}


def waiting_pick_ups() -> dict[str, Reservation]:
    """One for each step that a boutique may take."""
    states = (
        ReservationState.AWAITING_STORE,
        ReservationState.GRANTED,
        ReservationState.CONFIRMED,
        ReservationState.ORDERED,
    )
    level = LevelKey("BAG-NOIR", "KNIGHTSBRIDGE")
    window = PickUpWindow(NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    return {
        f"r{number}": Reservation(
            f"r{number}",
            state,
            ReservationKind.PICK_UP,
            "london",
            f"Ms Laurent {number}",
            (ReservationLine(level, 1),),
            NOW,
            None if number > 2 else NOW + timedelta(days=1),
            order_reference="#1001" if number == 4 else "",
            window=window if number in (2, 4) else None,
            found_at=NOW if number == 4 else None,
        )
        for number, state in enumerate(states, 1)
    }


class Carrier:
    """A transfer desk that keeps what it was told, by id."""

    def __init__(self) -> None:
        self.told: dict[str, Transfer] = {}
        self.answers = True

    async def enter(self, transfer: Transfer) -> TransferOutcome:
        if transfer.origin == "PARIS":
            return TransferOutcome(problem="unknown-level", detail="the org has no stock level at PARIS")
        known = self.told.setdefault(transfer.event_id, transfer)
        if known != transfer:
            return TransferOutcome(problem="id-reused", detail="another transfer has this id")
        return TransferOutcome("entered" if self.answers else "waiting")

    async def open(self) -> Sequence[InTransit]:
        level = LevelKey("BAG", "IN-TRANSIT")
        return [InTransit(each.number, level, each.units, NOW) for each in self.told.values()]


def standing(*, is_open: bool) -> Standing:
    """A limited edition of which something is sold."""
    edition = Edition("spring", ("BAG-RED",), 500, {"london": 200}, 1, NOW + timedelta(hours=1))
    shares = PartyStanding("london", 200, 150, 50), PartyStanding(REST, 300, 0, 300)
    switch = Switch(True, NOW, "operations", edition.opens_at) if is_open else None
    return Standing(edition, switch, 150, shares, {"london": 50 if is_open else 0})


class Drops:
    """A switch for one edition, and who has pressed it."""

    def __init__(self) -> None:
        self.is_open = False
        self.pressed: list[tuple[str, bool, str]] = []

    async def switch(self, name: str, *, on: bool, who: str) -> Standing:
        if name != "spring":
            raise KeyError(name)
        self.is_open = on
        self.pressed.append((name, on, who))
        return standing(is_open=on)

    async def standings(self) -> Sequence[Standing]:
        return [standing(is_open=self.is_open)]


class Divided:
    """Two channels' units of one bag, and what was said of them."""

    def __init__(self) -> None:
        self.said: list[tuple[Word, str]] = []
        self.answer = ""  # why the next word cannot be
        self.held = 3
        self.left_behind: list[Allocated] = []  # by channels that are not in the settings any more

    async def say(self, word: Word, who: str) -> Said:
        if self.answer:
            return Said(problem=self.answer, detail="london is to have 3 of BAG")
        self.said.append((word, who))
        return Said(await self.standing())

    async def standing(self, sku: str | None = None) -> Sequence[Allocated]:
        if sku not in (None, "BAG"):
            return []
        fixed = Fixed(3, "operations", NOW) if self.said else None
        return [
            Allocated("london", "BAG", 3, fixed, self.held, 3 - self.held, self.held, 0, 0),
            Allocated("dubai", "BAG", 1, None, 1, 0, 1, 0, 0),
            *self.left_behind,
        ]


class Counter:
    """A count desk over a dictionary of what the books say."""

    def __init__(self, books: Mapping[str, int]) -> None:
        self.books = dict(books)
        self.entered: dict[str, Count] = {}
        self.sheets: dict[str, str] = {}
        self.answers, self.away = True, False

    async def sheet(self, key: str, digest: str) -> bool:
        return self.sheets.setdefault(key, digest) == digest

    async def enter_all(
        self,
        counts: Sequence[Count],
        *,
        partial: bool = False,
        dry_run: bool = False,
        sure: Sure = NOT_SURE,
    ) -> Sequence[CountOutcome]:
        believed = Believed().told(sure)
        seen = [doubt(count, believed, NOW) or self._problem(count) for count in counts]
        if dry_run or (not partial and any(each.problem for each in seen)):
            return seen
        return [
            each if each.problem else self._enter(count) for count, each in zip(counts, seen, strict=True)
        ]

    def _problem(self, count: Count) -> CountOutcome:
        if str(count.level) not in self.books:
            return CountOutcome(problem="unknown-level", detail=f"the org has no stock level {count.level}")
        known = self.entered.get(count.subject)
        if known is not None and known.units != count.units:
            return CountOutcome(problem="id-reused", detail="the count was another")
        return CountOutcome()

    def _enter(self, count: Count) -> CountOutcome:
        if self.away:
            return CountOutcome(problem="try-later", detail="the org does not answer")
        again = count.subject in self.entered
        self.entered[count.subject] = count
        variance = count.units - self.books[str(count.level)]
        return CountOutcome("entered" if self.answers else "waiting", variance, again=again)


class Reporter:
    """Keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[IraWish] = []
        self.rows: list[Mapping[str, object]] = []
        self.done = asyncio.Event()  # cleared, a report is still being worked out
        self.done.set()

    async def ira(self, wish: IraWish) -> Mapping[str, object]:
        self.asked.append(wish)
        await self.done.wait()
        return {"rows": [*self.rows], "by": list(wish.by)}

    async def sell_through(self, wish: TurnoverWish) -> Mapping[str, object]:
        return {"sold in": wish.days}

    async def replenish(self, wish: TurnoverWish) -> Mapping[str, object]:
        return {"cover": wish.cover_days}

    async def count_next(self, wish: TurnoverWish) -> Mapping[str, object]:
        return {"at": wish.location}


def why_of_bag(*, past: bool) -> Mapping[str, object]:
    """One bag left: London shows it, and an order that came from the till's side is not covered."""
    at = "2026-11-23T08:13:01.000Z"
    order = {"what": "order #1042 of london", "units": 1, "at": at, "subject": "order:london:1042:1"}
    sale = {"what": "sale receipt 88213", "units": -1, "at": at, "by": "somebody in the org"}
    london: dict[str, object] = {
        "channel": "london",
        "location": "online",
        "guarantee": "mirrored",
        "policy": "policies[0]",
        "sells_from": ["ECOM"],
        "should_show": 1,
        "held": False,
        "sum": [
            {"what": "on hand at ECOM", "units": 3, "because": [sale]},
            {"what": "reserved at ECOM", "units": -1, "because": [order]},
            {"what": "safety stock", "units": -1, "because": []},
        ],
    }
    if not past:
        london |= {
            "shows": 2,
            "in_flight": True,
            "changed_at": at,
            "read_at": at,
            "age_seconds": 4.2,
            "problem": "",
        }
    return {
        "sku": "BAG",
        "at": at,
        "past": past,
        "settings": "of today" if past else "in force",
        "org": "read",
        "turn": None
        if past
        else {
            "channel": "london",
            "since": "2026-11-23T07:00:00.000Z",
            "until": "2026-11-24T07:00:00.000Z",
            "then": "dubai",
        },
        "findings": [],
        "piece": None,
        "channels": [london],
        "levels": [
            {
                "location": "ECOM",
                "unit": None,
                "on_hand": 3,
                "reserved": 1,
                "rows": 4,
                "folded_until": None,
                **({} if past else {"known": {"on_hand": 4, "reserved": 1, "version": 3}}),
            }
        ],
    }


def life_of_bag() -> Mapping[str, object]:
    """Four arrive, one is ordered, one is sold at the till, and London is told of it."""
    points = [
        {"at": "2026-11-20T09:00:00.000Z", "on_hand": 4, "reserved": 0},
        {"at": "2026-11-22T15:30:00.000Z", "on_hand": 4, "reserved": 1},
        {"at": "2026-11-23T08:13:01.000Z", "on_hand": 3, "reserved": 1},
    ]
    sale = {
        "at": "2026-11-23T08:13:01.000Z",
        "where": "ECOM",
        "what": "sale",
        "on_hand": -1,
        "reserved": 0,
        "reference": "receipt 88213",
        "by": "somebody in the org",
        "channel": None,
        "took_ms": None,
    }
    push = {
        "at": "2026-11-23T08:13:01.040Z",
        "where": "online",
        "what": "push, confirmed",
        "on_hand": -1,
        "reserved": 0,
        "reference": "",
        "by": "sfsync",
        "channel": "london",
        "took_ms": 61.5,
    }
    return {
        "sku": "BAG",
        "org": "read",
        "until": "2026-11-23T08:15:00.000Z",
        "lines": [
            {"location": "ECOM", "unit": None, "points": points, "since": None},
            {"location": "MAYFAIR", "unit": None, "points": [], "since": None},
        ],
        "events": [push, sale],
    }


def life_of_a_piece() -> Mapping[str, object]:
    """It came in before the books were folded, and is promised to an order now."""
    at = "2026-11-23T08:13:01.000Z"
    order = "order #1042 of london"
    event = {
        "at": at,
        "happened_at": "2026-11-23T08:00:00.000Z",
        "where": ["ECOM"],
        "subject": "order:london:1042:1",
        "channel": "london",
        "by": "sfsync",
        "because": [],
    }
    old = {
        **event,
        "what": "older movements at ECOM, folded into one",
        "on_hand": 1,
        "reserved": 0,
        "reference": "2 movements folded",
        "because": [{"what": "posting:R7", "units": 1, "subject": "posting:R7"}],
    }
    promise = {
        **event,
        "what": f"promised at ECOM to {order}",
        "on_hand": 0,
        "reserved": 1,
        "reference": "#1042",
    }
    parts = [
        {"what": "on hand at ECOM, piece A-1", "units": 1},
        {"what": "reserved at ECOM, piece A-1", "units": -1},
    ]
    london = {"channel": "london", "location": "online", "guarantee": "mirrored", "units": 0, "sum": parts}
    return {
        "unit": "A-1",
        "stands": f"at ECOM, promised to {order}",
        "promised_to": [{"what": order, "units": 1, "at": at, "location": "ECOM"}],
        "counts_at": [london],
        "life": [old, promise],
    }


class Answers:
    """Explains one SKU."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    async def tell(self, asked: Question) -> Mapping[str, object]:
        self.asked.append(asked)
        if asked.sku != "BAG":
            raise UnknownSkuError(asked.sku)
        if asked.location == "MOON":
            raise UnknownLocationError("MOON", "BAG", {"ECOM"})
        if asked.at is not None and asked.at < NOW - timedelta(days=100):
            raise NotKeptError(LevelKey("BAG", "ECOM"), NOW - timedelta(days=90))
        if asked.unit not in (None, "A-1"):
            raise UnknownPieceError(asked.sku, asked.unit, known={"A-1"})
        told = why_of_bag(past=asked.at is not None)
        return told if asked.unit is None else {**told, "channels": [], "piece": life_of_a_piece()}


class Biography:
    """The life of one bag's numbers."""

    async def tell(self, sku: str) -> Mapping[str, object]:
        return life_of_bag()


class Drifts:
    """One number that somebody has edited at a shop."""

    async def tell(self) -> Mapping[str, object]:
        at = "2026-11-23T08:00:00.000Z"
        found = {
            "channel": "dubai",
            "sku": "SCARF-07",
            "location": "online",
            "cause": "changed at the channel",
            "code": "manual-edit",
            "ours": 4,
            "theirs": 9,
            "found_at": at,
            "seen_at": at,
        }
        return {
            "checked": {
                "every_seconds": 900.0,
                "org": {"at": at, "calls": 1, "error": ""},
                "channels": {
                    "london": {"at": None, "numbers": 0, "error": "london does not answer"},
                    "dubai": {"at": at, "numbers": 50, "error": ""},
                },
            },
            "open": [found],
            "open_more": 0,
            "days": [
                {
                    "day": "2026-11-23",
                    "channel": "dubai",
                    "cause": "changed at the channel",
                    "found": 1,
                    "units": 5,
                }
            ],
        }


class Resolutions:
    """An incident desk that keeps what it was asked."""

    cancelling = frozenset({"london"})

    def __init__(self) -> None:
        self.asked: list[tuple[int, IncidentWish]] = []
        self.answer = Resolved(Stage.DONE, resolution=1)

    async def incident(self, incident_id: int) -> tuple[Incident, Sequence[Resolution]] | None:
        if incident_id != 7:
            return None
        detail = {"sku": "BAG", "units": 1, "order": {"channel": "london", "name": "#1042"}}
        incident = Incident(7, "oversold", "order:london:1042:1", "1 of BAG sold twice", detail, NOW, None)
        words = {"location": "MAYFAIR", "units": 1, "order": "#1042"}
        asked = Resolution(1, 7, "move", "Anna Kay", "there is one", words, Stage.ASKED, "", 12, NOW)
        return incident, [asked]

    async def resolve(self, incident_id: int, wish: IncidentWish) -> Resolved:
        self.asked.append((incident_id, wish))
        return self.answer


class RefundPile:
    """A refund desk with one open task; it keeps how it was closed."""

    def __init__(self) -> None:
        lines = (OwedLine("BAG", 1),)
        self.task = RefundTask(3, "r1", "london", "#1042", "cart-7", "", lines, NOW, "Anna Kay", "none left")

    async def find(
        self,
        *,
        open_only: bool = True,
        channels: Collection[str] | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[RefundTask]:
        theirs = channels is None or "london" in channels
        fits = (not open_only or self.task.closed_at is None) and theirs
        return [self.task] if fits and self.task.id > after else []

    async def get(self, number: int) -> RefundTask | None:
        return self.task if number == self.task.id else None

    async def open(self, reservation_id: str, *, by: str, reason: str) -> RefundAnswer:
        if reservation_id == "r9":
            return RefundAnswer(None, "nothing-owed", "it is granted: nothing is owed for it")
        if reservation_id != "r1":
            return RefundAnswer(None, "no-such-reservation")
        new = self.task.reason != reason
        self.task = replace(self.task, opened_by=by, reason=reason)
        return RefundAnswer(self.task, new=new)

    async def close(self, number: int, ending: Ending, *, by: str, said: str) -> RefundAnswer:
        if number != self.task.id:
            return RefundAnswer(None, "no-such-refund")
        if self.task.ending is not None and self.task.ending is not ending:
            return RefundAnswer(self.task, "over", f"refund 3 is {self.task.ending}")
        self.task = replace(self.task, closed_at=NOW, closed_by=by, ending=ending, said=said)
        return RefundAnswer(self.task)


class Numbers:
    """Three numbers at two channels; it keeps what it was asked."""

    def __init__(self) -> None:
        self.held = [
            _number("london", "TIE", 9, 10),
            _number("dubai", "BAG", -1, 11),
            _number("london", "BAG", 1, 12),
        ]

    def sells(self, sku: str, target: int, sequence: int) -> None:
        """A number at London changes."""
        rest = [each for each in self.held if (each.channel, each.sku) != ("london", sku)]
        self.held = [*rest, _number("london", sku, target, sequence)]

    async def page(
        self, channels: Collection[str], skus: Collection[str] | None, after: NumberPlace | None, limit: int
    ) -> Sequence[ChannelLevel]:
        found = [each for each in self.held if each.channel in channels and (not skus or each.sku in skus)]
        return [
            each
            for each in found
            if after is None or NumberPlace(each.sequence, each.channel, each.sku, each.location) > after
        ][:limit]


def _number(channel: str, sku: str, target: int, sequence: int) -> ChannelLevel:
    exposure = DomainExposure()
    return ChannelLevel(
        channel, sku, "online", sku, "1", 0, target, NOW, NOW, NOW, "", None, exposure, sequence=sequence
    )


def till_status() -> TillStatus:
    """A concession that should have reported yesterday, and whose last file had bad rows."""
    return {
        "name": "rinascente",
        "location": "MILAN",
        "late": True,
        "every_hours": 24.0,
        "last_at": "2026-11-22T07:00:00.000Z",
        "last_way": "saturday.csv",
        "lines": 41,
        "again": 2,
        "counted_before": 3,
        "refused": 1,
        "refused_files": 1,
        "reports_in_all": 12,
        "lines_in_all": 480,
        "refused_in_all": 5,
    }


class Tills:
    """Enters each line of a receipt once; it knows the bag and the tie."""

    def __init__(self) -> None:
        self.entered: dict[str, TillSale] = {}
        self.waits = False  # the org does not answer
        self.unread = False
        self.noted: list[TillReport] = []

    async def note(self, report: TillReport) -> None:
        self.noted.append(report)

    async def enter(
        self, sales: Sequence[TillSale], *, partial: bool = False, dry_run: bool = False
    ) -> Sequence[TillOutcome]:
        outcomes = [self._check(sale) for sale in sales]
        if dry_run or (not partial and any(outcome.problem for outcome in outcomes)):
            return outcomes
        told = []
        for sale, outcome in zip(sales, outcomes, strict=True):
            if outcome.problem:
                told.append(outcome)
                continue
            again = sale.source_id in self.entered
            self.entered[sale.source_id] = sale
            told.append(TillOutcome("waiting" if self.waits else "entered", again=again))
        return told

    def _check(self, sale: TillSale) -> TillOutcome:
        if self.unread:
            return TillOutcome(problem="try-later", detail="still being read")
        if sale.level.sku not in ("BAG", "TIE"):
            return TillOutcome(problem="unknown-level", detail=f"the org has no stock level {sale.level}")
        return TillOutcome()

    async def may_sell(self, till: Till) -> Sequence[MaySell]:
        return [MaySell("TIE", 0), MaySell("BAG", 3)]


CONCESSION = "concession-token-0123456789"
OTHER_TILL = "other-till-token-0123456789"


class Seen:
    """What a shadow has seen: nothing before the last day. Scrapers do not wait for a report: none yet."""

    def __init__(self) -> None:
        self.asked: list[datetime | None] = []
        self.last: Mapping[str, Any] | None = None
        self.told: Mapping[str, Any] | None = shadow_told()

    async def tell(self, since: datetime | None = None) -> Mapping[str, Any] | None:
        self.asked.append(since)
        return self.told if since is None or since >= NOW - timedelta(days=1) else None

    def recent(self) -> Mapping[str, Any] | None:
        return self.last


def shadow_told() -> Mapping[str, Any]:
    """A report: London's number was late, an order was never entered, and a bag was sold twice."""
    at = "2026-11-23T07:{}:00.000Z".format
    none = {"count": 0, "p50_seconds": None, "p99_seconds": None, "worst_seconds": None}
    some = {"count": 3, "p50_seconds": 1.72, "p99_seconds": 48.5, "worst_seconds": 600.0}
    lines: dict[str, Any] = {"lines": 7, "heard": some, "entered": some, "missing": 1, "doubled": 0}
    worst = {
        "sku": "BELT",
        "location": "online",
        "began_at": at("10"),
        "ended_at": None,
        "would_show": 29,
        "showed": 30,
        "least_seconds": 600.0,
        "most_seconds": 610.0,
    }
    way = {"times": 4, "unit_seconds": 600.0, **some}
    london = {
        "name": "london",
        "numbers": 1200,
        "read": 1200,
        "changes": 40,
        "later_than_sfsync": some,
        "later_at_most": some,
        "too_high": way,
        "too_low": way,
        "late": 2,
        "still_apart": 1,
        "never_equal": 1,
        "never_equal_named": [{"sku": "HAT", "location": "online"}],
        "worst": [worst],
        "sales": lines,
    }
    dubai = {**london, "name": "dubai", "late": 0, "worst": [], "never_equal": 0, "later_than_sfsync": none}
    sale = {"order": "#1002", "sku": "BAG", "placed_at": at("20"), "heard_at": at("21"), "units": 1}
    missing = {**sale, "channel": "london", "entered": 0, "sold": 1, "or_same_name_at": ["dubai"]}
    case = {
        **sale,
        "channel": "dubai",
        "guarantee": "mirrored",
        "outcome": "not on show",
        "would_not_have_happened": True,
        "would_show": 0,
        "would_show_too_few_since": at("19"),
        "seconds_before_the_order": 60.0,
        "shown_until": at("20"),
        "sentence": "would have shown 0 since 07:19:00, 60 s before the order",
    }
    movements = {"seen": 9, "of_sales_by_name": 5, "of_sales_by_number_only": 1, "sales_found": 6}
    return {
        "since": at("00"),
        "until": at("59"),
        "watched_seconds": 3540.0,
        "in_shadow": True,
        "late_seconds": 60.0,
        "channels": [london, dubai],
        "sales": {**lines, "missing_lines": [missing], "doubled_lines": []},
        "too_young": 0,
        "others_movements": movements,
        "would_have_entered": 6,
        "oversells": {
            "units": 1,
            "would_not_have_happened": 1,
            "by_outcome": {"not on show": 1},
            "cases": [case],
        },
    }


class House:
    """The app and everything behind it."""

    def __init__(self, **options: object) -> None:
        self.door, self.desk = Door(), Desk({"BAG": {"ECOM": 1, "KNIGHTSBRIDGE": 0}, "TIE": {"ECOM": 9}})
        self.board, self.plans, self.carrier = Board(status()), Plans(), Carrier()
        self.reporter = Reporter()
        self.drops, self.divided = Drops(), Divided()
        self.counter = Counter({"BAG|ECOM": 5, "TIE|ECOM": 9})
        self.resolutions = Resolutions()
        self.refunds = RefundPile()
        self.letters = LetterPile()
        self.mappings = MappingPile()
        self.forgetter = Forgetter()
        self.answers = Answers()
        self.numbers = Numbers()
        self.tills, self.seen = Tills(), Seen()
        till = Till("rinascente", "MILAN", ZoneInfo("Europe/Rome"))
        self.options = replace(
            WebOptions(
                tokens=(
                    Token("checkout", CHECKOUT, sight=Sight(frozenset({"london"}))),
                    Token("gulf", GULF, frozenset({RESERVATIONS, LEVELS}), Sight(frozenset({"dubai"}))),
                    Token("knightsbridge", SHOP, frozenset({RESERVATIONS, STORES, COUNTS}), OF_SHOP),
                    Token("operations", OPERATIONS, frozenset({RESERVATIONS, ADMIN})),
                    Token("screen", VIEWER, ROLES[Role.VIEWER]),
                    Token("rinascente", CONCESSION, frozenset({TILLS})),
                    Token("lafayette", OTHER_TILL, frozenset({TILLS})),
                    Token("auditors", AUDITOR, ROLES[Role.AUDITOR]),
                ),
                channels=frozenset({"london", "dubai"}),
                reach=Reach(
                    {
                        "london": frozenset({"ECOM", "KNIGHTSBRIDGE"}),
                        "dubai": frozenset({"ECOM", "DUBAI-MALL"}),
                    },
                    {"uk": frozenset({"ECOM", "KNIGHTSBRIDGE"}), "world": frozenset({"ECOM", "MAYFAIR"})},
                ),
                tills={"rinascente": TillAccess(till, frozenset({"rinascente"}))},
            ),
            **options,  # type: ignore[arg-type]  # reason: each test names true fields
        )
        self.services = Services(
            self.door,
            self.desk,
            self.board,
            self.plans,
            lambda: NOW,
            self.carrier,
            self.counter,
            self.reporter,
            self.resolutions,
            self.refunds,
            self.drops,
            self.divided,
            self.answers,
            self.numbers,
            letters=self.letters,
            mappings=self.mappings,
            drift=Drifts(),
            tills=self.tills,
            forgetter=self.forgetter,
            lives=Biography(),
            shadow=self.seen,
        )
        self.app: Starlette = build_web(self.services, self.options)

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """A client that speaks to the app in-process, with or without a token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


def on_page(answer: httpx.Response, status_code: int, words: str) -> str:
    """The page that tells what went wrong, in these words."""
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    told = re.search(r'role="alert">([^<]+)<', answer.text)
    assert told is not None
    assert words in told[1]
    return answer.text


def problem(answer: httpx.Response, status_code: int, kind: str) -> dict[str, object]:
    """The problem that an answer must be."""
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["type"] == f"urn:sfsync:problem:{kind}"
    assert body["status"] == status_code
    assert body["title"]
    assert body["detail"]
    return body


def status() -> Status:
    """A house in trouble, so that every part of the page has something to show."""
    return {
        "health": {
            "state": "bad",
            "sentence": "One handbag was sold twice, and a part of the stream has not been read.",
            "reasons": [
                "1 unit of MIRROR-BAG-01 is promised without stock",
                "the stream was not observed between 08:09 and 08:12",
            ],
            "org": "00D5g000004XyZAEA0",
            "version": "0.1.0",
            "started_at": "2026-11-23T06:02:11Z",
            "shadow_since": None,
            "now": "2026-11-23T08:15:00Z",
        },
        "stream": {
            "state": "bad",
            "topics": [
                {
                    "name": "/data/SfsyncStock__chn",
                    "connected": True,
                    "last_sign_of_life_at": "2026-11-23T08:14:58Z",
                    "last_event_at": "2026-11-23T08:14:51Z",
                    "lag_seconds": 0.18,
                    "events": 1482,
                    "coverage": "5 minutes are not known yet",
                },
                {
                    "name": "/event/StockEvent__e",
                    "connected": False,
                    "last_sign_of_life_at": None,
                    "last_event_at": None,
                    "lag_seconds": None,
                    "events": 0,
                    "coverage": "not watched yet",
                },
            ],
            "deliveries": {
                "used": 4_210,
                "allowed": 50_000,
                "outlook": {
                    "pace_an_hour": 2_600,
                    "most_used": 50_000,
                    "used_up_at": "2026-11-24T02:00:00.000Z",
                },
            },
            "holes": [
                {
                    "source": "/data/SfsyncStock__chn",
                    "since": "2026-11-23T08:09:00Z",
                    "age_seconds": 366.0,
                    "reason": "the org refused our place in the stream",
                    "closes": "a reading of all that moved since",
                    "next_try_at": "2026-11-23T08:15:20Z",
                }
            ],
        },
        "ledger": {
            "state": "good",
            "queue": 14,
            "in_flight": 2,
            "oldest_seconds": 1.4,
            "inbox": 3,
            "calls_used": 18_342,
            "calls_by_us": 6_120,
            "calls_ours": 80_000,
            "calls_reserved": 20_000,
            "calls_waiting": [],
            "calls_outlook": {"pace_an_hour": 780, "most_used": 19_100, "used_up_at": None},
            "rows_a_minute": 42,
            "block": [{"sku": "DROP-1", "location": "ECOM", "held": 500, "ready": 487}],
            "space": {
                "allowed_mb": 5_120,
                "left_mb": 3_880,
                "rows": 182_440,
                "rows_a_day": 1_260,
                "full_in_days": 1_576,
                "fullest": "BAG-1|ECOM",
                "fullest_rows": 2_310,
                "crowded": "BAG-1|ECOM",
                "crowded_in_days": 240,
            },
            "calls_allowed": 100_000,
        },
        "channels": [
            {
                "name": "london",
                "kind": "shopify",
                "state": "good",
                "sentence": "Shows what it should.",
                "approved": True,
                "held": 0,
                "levels": 412,
                "guarantees": {"gated": 12, "allocated": 3, "mirrored": 397},
                "due": 0,
                "in_flight": 0,
                "problems": 0,
                "dead_letters": 0,
                "lag_p50_ms": 212.0,
                "lag_p99_ms": 1840.0,
                "exposed_units": 0,
                "exposure_unit_seconds": 0.0,
                "exposure": [],
                "last_push_at": "2026-11-23T08:14:52Z",
                "budget": {"left": 1_940, "most": 2_000, "a_second": 100.0, "unit": "points"},
            },
            {
                "name": "dubai",
                "kind": "shopify",
                "state": "warning",
                "sentence": "Two items carry the same SKU and are not written.",
                "approved": True,
                "held": 0,
                "levels": 408,
                "guarantees": {"gated": 12, "allocated": 0, "mirrored": 396},
                "due": 7,
                "in_flight": 5,
                "problems": 2,
                "dead_letters": 1,
                "lag_p50_ms": 240.0,
                "lag_p99_ms": 2310.0,
                "exposed_units": 1,
                "exposure_unit_seconds": 31.5,
                "exposure": exposure_at_dubai()["classes"],
                "last_push_at": None,
                "budget": None,
            },
        ],
        "pick_ups": [
            {
                "location": "KNIGHTSBRIDGE",
                "waiting": 4,
                "units": 5,
                "to_confirm": 1,
                "paid": 2,
                "next_at": "2026-11-23T10:30:00Z",
                "overdue": 1,
            }
        ],
        "editions": [describe(standing(is_open=True))],
        "tills": [till_status()],
        "scarce": [
            {
                "sku": "MIRROR-BAG-01",
                "available": -1,
                "locations": {"KNIGHTSBRIDGE": 0, "ECOM": -1},
                "sellers": [
                    {"channel": "london", "shows": 0, "may": "closed", "why": "sold out"},
                    {"channel": "dubai", "shows": 0, "may": "closed", "why": "sold out"},
                ],
            },
            {
                "sku": "GATED-BAG-01",
                "available": 1,
                "locations": {"ECOM": 1},
                "sellers": [
                    {"channel": "london", "shows": 1, "may": "asks first", "why": "gated"},
                    {"channel": "dubai", "shows": 1, "may": "asks first", "why": "gated"},
                ],
            },
            {
                "sku": "ALLOC-BAG-01",
                "available": 1,
                "locations": {"KNIGHTSBRIDGE": 1},
                "sellers": [
                    {"channel": "london", "shows": 1, "may": "sells", "why": "its allocation"},
                    {"channel": "dubai", "shows": 0, "may": "closed", "why": "allocated to london"},
                ],
            },
        ],
        "incidents": [
            {
                "id": 7,
                "kind": "oversold",
                "title": "MIRROR-BAG-01 was sold twice",
                "sku": "MIRROR-BAG-01",
                "units": 1,
                "orders": [
                    {
                        "promise": "order:dubai:2077:1",
                        "channel": "dubai",
                        "order": "#2077",
                        "units": 1,
                        "placed_at": "2026-11-23T08:13:01Z",
                        "covered": False,
                    },
                    {
                        "promise": "",
                        "channel": "london",
                        "order": "#1042",
                        "units": 1,
                        "placed_at": "2026-11-23T08:13:01Z",
                        "covered": True,
                    },
                ],
                "exposure_unit_seconds": 0.4,
                "detail": "Both sites showed the last unit. Find another for #2077, or tell its customer.",
                "ways": ["move", "wait", "cancel"],
                "waits_until": None,
                "resolutions": [
                    {
                        "id": 3,
                        "way": "move",
                        "by": "Anna Kay",
                        "reason": "seen in the window",
                        "what": "1 to be taken at MAYFAIR for order #2077",
                        "stage": "refused",
                        "answer": "1 wanted of MIRROR-BAG-01|MAYFAIR, 0 available",
                        "at": "2026-11-23T08:14:10Z",
                    }
                ],
                "opened_at": "2026-11-23T08:13:02Z",
                "closed_at": None,
            },
            {
                "id": 5,
                "kind": "oversold",
                "title": "1 of BELT-COGNAC-85 sold at london that no stock covers",
                "sku": "BELT-COGNAC-85",
                "units": 1,
                "orders": [
                    {
                        "promise": "order:london:1031:1",
                        "channel": "london",
                        "order": "#1031",
                        "units": 1,
                        "placed_at": "2026-11-22T17:40:00Z",
                        "covered": False,
                    }
                ],
                "exposure_unit_seconds": 2.0,
                "detail": "Find the piece elsewhere, wait for a receipt, or cancel this order.",
                "ways": ["move", "wait", "cancel"],
                "waits_until": "2026-12-05T23:59:59Z",
                "resolutions": [
                    {
                        "id": 2,
                        "way": "wait",
                        "by": "Anna Kay",
                        "reason": "twelve come with transfer T-88",
                        "what": "May wait until 2026-12-05",
                        "stage": "done",
                        "answer": "",
                        "at": "2026-11-22T18:02:00Z",
                    }
                ],
                "opened_at": "2026-11-22T17:41:00Z",
                "closed_at": None,
            },
        ],
        "incidents_more": 12,
        "refunds": [
            {
                "id": 3,
                "state": "open",
                "debtor": "london",
                "creditor": "cart-7",
                "reservation": "r1",
                "channel": "london",
                "order_reference": "#1042",
                "owner": "cart-7",
                "client": None,
                "lines": [{"sku": "BAG", "units": 1}],
                "reason": "none left",
                "opened_at": "2026-11-23T07:15:00.000Z",
                "opened_by": "Anna Kay",
                "closed_at": None,
                "closed_by": None,
                "said": None,
            }
        ],
        "refunds_more": 0,
        "dead_letters": [
            {
                "id": 3,
                "source": "dubai",
                "key": "sku:SCARF-SILK-90-NAVY",
                "reason": "Several items at dubai carry the SKU 'SCARF-SILK-90-NAVY'",
                "advice": "Give each item its own SKU at the channel, then run sfsync resync.",
                "at": "2026-11-23T07:58:20Z",
            }
        ],
        "dead_letters_more": 0,
        "dead_letters_by_source": {"dubai": 1},
        "drifts": 0,
        "channels_left": [],
        "recent": [
            {
                "at": "2026-11-23T08:14:51Z",
                "sku": "LOAFER-42-COGNAC",
                "location": "KNIGHTSBRIDGE",
                "unit": "A-17",
                "kind": "Sale",
                "on_hand_delta": -1,
                "reserved_delta": 0,
                "reference": "till 4, receipt 88213",
                "source": "org",
                "available": 3,
            },
            {
                "at": "2026-11-23T08:13:01Z",
                "sku": "MIRROR-BAG-01",
                "location": "ECOM",
                "unit": None,
                "kind": "Order",
                "on_hand_delta": 0,
                "reserved_delta": 1,
                "reference": "#1042",
                "source": "london",
                "available": 0,
            },
            {
                "at": "2026-11-23T08:12:30Z",
                "sku": "BELT-90",
                "location": "MAYFAIR",
                "unit": None,
                "kind": "PickUp",
                "on_hand_delta": 0,
                "reserved_delta": 1,
                "reference": "order #2077",
                "source": "dubai",
                "available": 2,
            },
            {
                "at": "2026-11-23T08:10:44Z",
                "sku": "COAT-CASHMERE-38-CAMEL",
                "location": "DUBAI-MALL",
                "unit": None,
                "kind": "Receipt",
                "on_hand_delta": 12,
                "reserved_delta": 0,
                "reference": "delivery 5512",
                "source": "org",
                "available": None,
            },
        ],
        "accuracy": [
            {
                "location": "KNIGHTSBRIDGE",
                "spans": [
                    {
                        "days": 30,
                        "n": 212,
                        "accurate": 204,
                        "percent": 96.2,
                        "low": 92.7,
                        "high": 98.1,
                        "complete": 98.6,
                    },
                    {
                        "days": 90,
                        "n": 1640,
                        "accurate": 1555,
                        "percent": 94.8,
                        "low": 93.6,
                        "high": 95.8,
                        "complete": 96.1,
                    },
                ],
            },
            {
                "location": "DUBAI-MALL",
                "spans": [
                    {
                        "days": 30,
                        "n": 0,
                        "accurate": 0,
                        "percent": None,
                        "low": 0.0,
                        "high": 100.0,
                        "complete": None,
                    },
                    {
                        "days": 90,
                        "n": 9,
                        "accurate": 9,
                        "percent": 100.0,
                        "low": 70.1,
                        "high": 100.0,
                        "complete": 100.0,
                    },
                ],
            },
        ],
    }


def stock_of_bag() -> StockOfSku:
    """One SKU as the search shows it."""
    return {
        "sku": "GATED-BAG-01",
        "levels": [
            {"location": "ECOM", "unit": None, "on_hand": 2, "reserved": 1, "available": 1, "version": 9},
            {
                "location": "KNIGHTSBRIDGE",
                "unit": "S/N 0071",
                "on_hand": 0,
                "reserved": 1,
                "available": -1,
                "version": 4,
            },
        ],
        "shown": [
            {
                "channel": "london",
                "location": "online",
                "guarantee": "gated",
                "published": 1,
                "target": 1,
                "problem": "",
            },
            {
                "channel": "dubai",
                "location": "online",
                "guarantee": "gated",
                "published": 1,
                "target": None,
                "problem": "the channel does not track this item",
            },
        ],
    }
