"""How things stand, told for people: the store's counts and the running parts' pulse as one status.

Without a running daemon (`pulse` is None) the store alone is told, and health says that nothing runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Literal

from sfsync import __version__, exposed
from sfsync.domain.allocation import Mode
from sfsync.domain.assortment import Assortment
from sfsync.domain.ats import Guarantee, Policy
from sfsync.domain.budget import Standing, Work
from sfsync.domain.coverage import Closes, lasting, remedy
from sfsync.domain.exposure import SCARCE_UNITS
from sfsync.domain.forecast import Space
from sfsync.domain.relay import Difference
from sfsync.domain.stock import LevelKey
from sfsync.flow.context import SNAPSHOT, Context, Pulse
from sfsync.flow.editions import standing
from sfsync.flow.folding import FoldRun, FoldWish
from sfsync.flow.reconcile import Plan, Reconcile
from sfsync.flow.rooms import Rooms
from sfsync.flow.supervisor import KEPT_DAYS, Supervisor
from sfsync.ports import ChannelLevel, Clock, DeadLetter, Hole
from sfsync.reports import Live
from sfsync.store import Database, views
from sfsync.store.tx import SqlTx
from sfsync.web.editions import describe
from sfsync.web.incident_rows import incident_row
from sfsync.web.status_shape import (
    ChannelStatus,
    DeadLetterRow,
    Exposure,
    ExposureOfClass,
    GuaranteeCounts,
    Health,
    Ledger,
    Movement,
    Scarce,
    Seller,
    SpaceLeft,
    State,
    Status,
    StockOfSku,
    Stream,
    StreamHole,
)

NAMED = 3  # SKUs in one sentence
KEPT = timedelta(days=KEPT_DAYS)
EXPOSURE_AGAIN = timedelta(seconds=10)
SILENT_AFTER = timedelta(seconds=330)
LATE_AFTER = timedelta(seconds=60)


class Overview:
    """Tells the status of a store, and of the daemon that runs on it."""

    def __init__(
        self,
        store: Database,
        assortment: Assortment,
        clock: Clock,
        kinds: Mapping[str, str],
        pulse: Pulse | None,
    ) -> None:
        self._store, self._assortment, self._clock = store, assortment, clock
        self._kinds, self._pulse = kinds, pulse
        self._live = Live()
        self._exposure: tuple[datetime | None, Mapping[str, list[ExposureOfClass]]] = (None, {})
        self._counted: tuple[object, dict[str, dict[Guarantee, int]]] = (None, {})

    async def status(self) -> Status:
        """Everything the status page shows."""
        return await self._store.read(self._status)

    async def healthy(self) -> tuple[bool, str]:
        """Whether the daemon can do its work: the org answers, its rule stands, the stream flows.

        What went wrong in the shop is for people and is told elsewhere: it must not take the service away.
        """
        pulse = self._pulse
        if pulse is None:
            return False, "The daemon is not running."
        for problem in (pulse.org_error, pulse.rule_error, *pulse.stream_error.values()):
            if problem:
                return False, problem
        return True, "The org answers and the stream flows."

    async def levels(self, query: str, limit: int) -> Sequence[StockOfSku]:
        """The stock of SKUs that contain a text, and what each channel shows of them."""
        return await self._store.read(lambda tx: self._levels(tx, query, limit))

    async def exposure(self, since: datetime | None, channel: str | None) -> Exposure:
        """What is kept of exposure, since a time when one is given."""
        return await self._store.read(lambda tx: self._exposed(tx, since, channel))

    def exposure_now(self, since: datetime | None, channel: str | None) -> Exposure:
        """`exposure`, in the calling thread."""
        return self._store.read_now(lambda tx: self._exposed(tx, since, channel))

    def _exposed(self, tx: SqlTx, since: datetime | None, channel: str | None) -> Exposure:
        now = self._clock.now()
        return exposed.exposure(tx, self._assortment, since or now - KEPT, now, channel)

    def _exposure_by_channel(self, tx: SqlTx, now: datetime) -> Mapping[str, list[ExposureOfClass]]:
        """Worked out anew now and then: the history is long, and the page is looked at all the time."""
        at, told = self._exposure
        if at is None or now - at >= EXPOSURE_AGAIN:
            told = exposed.classes(tx, now - KEPT, now)
            self._exposure = now, told
        return told

    def status_now(self) -> Status:
        """`status`, in the calling thread."""
        return self._store.read_now(self._status)

    def _status(self, tx: SqlTx) -> Status:
        now = self._clock.now()
        holes = tx.open_holes()
        letters = tx.dead_letters()
        incidents = views.told_incidents(tx, now - timedelta(days=1), now)
        cancelling = self._pulse.cancelling_channels if self._pulse else None
        queue = views.queue_count(tx)
        channels = self._channels(tx, now)
        stream = self._stream(holes, now)
        ledger = self._ledger(queue, now)
        return Status(
            health=self._health(tx, now, stream, ledger, channels, incidents, letters),
            stream=stream,
            ledger=ledger,
            channels=channels,
            scarce=self._scarce(tx),
            editions=[
                describe(standing(tx, self._assortment, edition))
                for edition in self._assortment.editions.values()
            ],
            incidents=[
                incident_row(each, incidents.resolutions.get(each.id, ()), cancelling, now)
                for each in incidents.told
            ],
            incidents_more=incidents.more,
            dead_letters=[_letter(letter) for letter in reversed(letters)],
            recent=[_movement(movement) for movement in views.recent_movements(tx, 20)],
            accuracy=self._live.rows(tx, now),
        )

    def _health(
        self,
        tx: SqlTx,
        now: datetime,
        stream: Stream,
        ledger: Ledger,
        channels: Sequence[ChannelStatus],
        incidents: views.ToldIncidents,
        letters: Sequence[DeadLetter],
    ) -> Health:
        pulse = self._pulse
        bad: list[str] = []
        doubtful: list[str] = []
        if pulse is None:
            bad.append("The daemon is not running.")
        else:
            if pulse.org_error:
                bad.append(f"The org does not answer: {pulse.org_error}")
            if pulse.rule_error:
                bad.append(pulse.rule_error)
            if pulse.stale:
                bad.append(
                    f"The org was not heard for more than {lasting(max(pulse.stale))}: "
                    "what is scarce by policy is closed until it is heard again."
                )
            bad += [f"The stream {topic} is down: {error}" for topic, error in pulse.stream_error.items()]
            bad += [
                f"The stream {topic} is silent."
                for topic in pulse.topics
                if now - pulse.last_sign.get(topic, pulse.started_at) > SILENT_AFTER
            ]
            calls_bad, calls_doubtful = _short_of_calls(pulse.calls())
            bad += calls_bad
            doubtful += calls_doubtful
            doubtful += pulse.space.findings() if pulse.space else []
        bad += self._weak(tx)
        still = [each for each in incidents.told if each.closed_at is None]
        bad += [f"{each.title}." for each in still if not each.waits(now)]
        soon = [each for each in still if each.waiting is None or each.waiting.until <= now]
        if more := incidents.urgent - len(soon):
            are = "incident is" if more == 1 else "incidents are"
            bad.append(f"{more} more {are} open: `sfsync incidents`.")
        doubtful += [
            f"The stream {hole['source']} has a hole of {lasting(hole['age_seconds'])}: {hole['reason']}. "
            f"What closes it: {hole['closes']}."
            for hole in stream["holes"]
        ]
        for channel in channels:
            said = f"{channel['name']}: {channel['sentence'].removeprefix(channel['name'] + ': ')}"
            if channel["state"] != "good":
                (bad if channel["state"] == "bad" else doubtful).append(said)
        if letters:
            waits = "1 dead letter waits" if len(letters) == 1 else f"{len(letters)} dead letters wait"
            doubtful.append(f"{waits} for a person: `sfsync dead-letters`.")
        state: State = "bad" if bad else "warning" if doubtful else "good"
        sentence = "Every channel has been told what the org has." if state == "good" else (bad + doubtful)[0]
        return Health(
            state=state,
            sentence=sentence,
            reasons=bad + doubtful,
            org=tx.bound_org() or "",
            version=__version__,
            started_at=_moment(pulse.started_at) if pulse else "",
            now=_moment(now),
        )

    def _stream(self, holes: Sequence[Hole], now: datetime) -> Stream:
        pulse = self._pulse
        topics = pulse.topics if pulse else ()
        down = pulse is None or bool(pulse.stream_error)
        return Stream(
            state="bad" if down else "warning" if holes else "good",
            topics=[
                {
                    "name": topic,
                    "connected": pulse is not None
                    and topic not in pulse.stream_error
                    and topic in pulse.last_sign
                    and now - pulse.last_sign[topic] < SILENT_AFTER,
                    "last_sign_of_life_at": _moment_or_none(pulse.last_sign.get(topic)) if pulse else None,
                    "last_event_at": _moment_or_none(pulse.last_event.get(topic)) if pulse else None,
                    "lag_seconds": _tenths(pulse.lag_seconds.get(topic)) if pulse else None,
                    "events": pulse.events.get(topic, 0) if pulse else 0,
                }
                for topic in topics
            ],
            holes=[self._hole(hole, holes, now) for hole in holes],
        )

    def _hole(self, hole: Hole, holes: Sequence[Hole], now: datetime) -> StreamHole:
        pulse, source = self._pulse, hole.source
        posts = pulse is not None and source in pulse.posting_topics
        away = pulse is None or source in pulse.stream_error or source not in pulse.joined
        if hole.closes is Closes.READING and any(
            each.closes is Closes.REPLAY and each.source == source for each in holes
        ):
            away = pulse is None  # that other hole waits for the stream; this one need not
        since = hole.replayed_to or hole.since
        next_try = None
        if away and pulse is not None and source in pulse.stream_error:
            next_try = pulse.retry_at.get(source)
        elif pulse is not None and not away and not posts:
            next_try = pulse.reading_at
        whole = source == SNAPSHOT
        return StreamHole(
            source=source,
            since=_moment(since),
            age_seconds=round((now - since).total_seconds(), 1),
            reason=hole.reason,
            closes="a reading of the whole org" if whole else remedy(hole.closes, posts=posts, away=away),
            next_try_at=_moment_or_none(None if whole else next_try),
        )

    def _ledger(self, queue: views.QueueCount, now: datetime) -> Ledger:
        pulse = self._pulse
        oldest = (now - queue.oldest_bundle_at) if queue.oldest_bundle_at else None
        calls = pulse.calls() if pulse else None
        late = oldest is not None and oldest > LATE_AFTER
        return Ledger(
            state="bad" if pulse is None or pulse.org_error else "warning" if late else "good",
            queue=queue.bundles,
            in_flight=pulse.flying if pulse else 0,
            oldest_seconds=round(oldest.total_seconds(), 3) if oldest is not None else None,
            inbox=queue.inbox,
            calls_used=calls.used if calls else None,
            calls_allowed=calls.allowed if calls else None,
            calls_by_us=calls.ours_used if calls else None,
            calls_ours=calls.ours if calls else None,
            calls_reserved=calls.reserved if calls else None,
            calls_waiting=[
                {"work": work.value, "until": _moment(until)}
                for work, until in (calls.paused.items() if calls else ())
            ],
            space=_space(pulse.space) if pulse and pulse.space else None,
        )

    def _channels(self, tx: SqlTx, now: datetime) -> list[ChannelStatus]:
        counts = views.channel_counts(tx, now)
        sizes = {name: count.levels for name, count in counts.items()}
        # Policies are fixed while we run: only what is listed, or scarce, changes the counts.
        basis = sizes, tuple(tx.divided_skus()), self._assortment.catalogue.changes
        if self._counted[0] != basis:
            self._counted = basis, self._guarantees(tx)
        guarantees = self._counted[1]
        exposure = self._exposure_by_channel(tx, now)
        return [
            self._channel(name, counts.get(name), guarantees.get(name, {}), exposure.get(name, []))
            for name in self._assortment.channels
        ]

    def _guarantees(self, tx: SqlTx) -> dict[str, dict[Guarantee, int]]:
        found: dict[str, dict[Guarantee, int]] = {}
        divided = frozenset(tx.divided_skus())
        for channel, sku in views.listed(tx):
            if channel in self._assortment.channels:
                of = found.setdefault(channel, {})
                guarantee = self._assortment.policy(channel, sku, _mode(sku, divided)).guarantee
                of[guarantee] = of.get(guarantee, 0) + 1
        return found

    def _channel(
        self,
        name: str,
        count: views.ChannelCount | None,
        guarantees: Mapping[Guarantee, int],
        exposure: list[ExposureOfClass],
    ) -> ChannelStatus:
        lags = sorted(self._pulse.lags_seconds.get(name, ())) if self._pulse else []
        error = self._pulse.channel_error.get(name, "") if self._pulse else ""
        state, sentence = _channel_state(count, error)
        return ChannelStatus(
            name=name,
            kind=self._kinds.get(name, ""),
            state=state,
            sentence=sentence,
            approved=count is not None and count.approved,
            levels=count.levels if count else 0,
            guarantees=GuaranteeCounts(
                gated=guarantees.get(Guarantee.GATED, 0),
                allocated=guarantees.get(Guarantee.ALLOCATED, 0),
                mirrored=guarantees.get(Guarantee.MIRRORED, 0),
            ),
            due=count.due if count else 0,
            in_flight=count.in_flight if count else 0,
            problems=count.problems if count else 0,
            dead_letters=count.dead_letters if count else 0,
            lag_p50_ms=_percentile_ms(lags, 50),
            lag_p99_ms=_percentile_ms(lags, 99),
            exposed_units=count.exposed_units if count else 0,
            exposure_unit_seconds=round(count.exposure_unit_seconds, 3) if count else 0.0,
            exposure=exposure,
            last_push_at=_moment_or_none(count.last_push_at) if count else None,
        )

    def _scarce(self, tx: SqlTx) -> list[Scarce]:
        skus = views.scarce_skus(tx, most=SCARCE_UNITS, limit=12)
        divided, rooms = tx.divided_skus(), Rooms(tx, self._assortment)
        shown: dict[str, list[ChannelLevel]] = {}
        for level in tx.channel_levels([scarce.sku for scarce in skus]):
            shown.setdefault(level.sku, []).append(level)
        return [
            Scarce(
                sku=scarce.sku,
                available=scarce.available,
                locations=dict(scarce.locations),
                sellers=[
                    self._seller(level, scarce, divided, rooms)
                    for level in shown.get(scarce.sku, ())
                    if level.channel in self._kinds
                ],
            )
            for scarce in skus
        ]

    def _seller(
        self, level: ChannelLevel, scarce: views.ScarceSku, divided: Collection[str], rooms: Rooms
    ) -> Seller:
        edition = self._assortment.edition(level.sku)
        policy = self._assortment.policy(level.channel, level.sku, _mode(level.sku, divided))
        may: Literal["sells", "asks first", "closed"] = "sells"
        why = policy.guarantee.value
        if policy.allocated_elsewhere:
            division = self._assortment.division(level.sku)
            may, why = "closed", f"allocated to {', '.join(division.channels if division else ())}"
        elif level.published <= 0 and edition is not None and not rooms.is_open(edition):
            may, why = "closed", f"the edition {edition.name} is closed"
        elif level.published <= 0 < scarce.available and self._too_old(policy):
            may, why = "closed", "the org was not heard for too long"
        elif level.published <= 0:
            sources = self._assortment.sources(level.channel, level.location)
            elsewhere = scarce.available > 0 and not any(
                scarce.locations.get(place, 0) > 0 for place in sources
            )
            may, why = "closed", "nothing where it sells from" if elsewhere else "sold out"
        elif policy.guarantee is Guarantee.GATED:
            may = "asks first"
        elif policy.guarantee is Guarantee.ALLOCATED:
            why = "its allocation"
        return Seller(channel=level.channel, shows=level.published, may=may, why=why)

    def _weak(self, tx: SqlTx) -> list[str]:
        """Scarce SKUs shown, unasked, where each of our writes may go over a sale not yet heard of."""
        found: list[str] = []
        divided = frozenset(tx.divided_skus())
        weak = self._pulse.weak_channels if self._pulse else ()
        for channel in sorted(self._assortment.channels.keys() & weak):
            skus = []
            for sku, units in views.few_shown(tx, channel, self._assortment.scarce_at_most(SCARCE_UNITS)):
                policy = self._assortment.policy(channel, sku, _mode(sku, divided))
                limit = SCARCE_UNITS if policy.scarce_at is None else policy.scarce_at
                if policy.guarantee is Guarantee.MIRRORED and units <= limit:
                    skus.append(sku)
            if skus:
                more = f" and {len(skus) - NAMED} more" if len(skus) > NAMED else ""
                found.append(
                    f"{channel} shows the last of {', '.join(skus[:NAMED])}{more} without asking first, "
                    "and takes plain numbers only: a sale may be overwritten. "
                    "Gate them, or allocate them."
                )
        return found

    def _too_old(self, policy: Policy) -> bool:
        return self._pulse is not None and policy.fresh_seconds in self._pulse.stale

    def _levels(self, tx: SqlTx, query: str, limit: int) -> list[StockOfSku]:
        skus = views.matching_skus(tx, query, limit)
        made = {sku: StockOfSku(sku=sku, levels=[], shown=[]) for sku in skus}
        for level in tx.levels_of(skus):
            made[level.key.sku]["levels"].append(
                {
                    "location": level.key.location,
                    "unit": level.key.unit,
                    "on_hand": level.on_hand,
                    "reserved": level.reserved,
                    "available": level.available,
                    "version": level.version,
                }
            )
        divided = tx.divided_skus()
        for shown in tx.channel_levels(skus):
            if shown.channel in self._assortment.channels:
                made[shown.sku]["shown"].append(
                    {
                        "channel": shown.channel,
                        "location": shown.location,
                        "guarantee": self._assortment.policy(
                            shown.channel, shown.sku, _mode(shown.sku, divided)
                        ).guarantee.value,
                        "published": shown.published,
                        "target": shown.target,
                        "problem": shown.problem,
                    }
                )
        return list(made.values())


class ResyncService:
    """`Reconcile` as the web and the command line ask for it."""

    def __init__(self, ctx: Context, reconcile: Reconcile) -> None:
        self._ctx, self._reconcile = ctx, reconcile

    async def plan(self, channel: str | None, sku: str | None) -> Mapping[str, object]:
        """Differences, and an id to apply them by. Raises `KeyError` for an unknown channel."""
        if channel is not None and channel not in self._ctx.channels:
            raise KeyError(channel)
        plan = await self._reconcile.compare([channel] if channel else None, [sku] if sku else None)
        return _plan(plan)

    async def apply(self, plan_id: str) -> Mapping[str, object]:
        """Apply a plan. Raises `KeyError` when there is none of that id."""
        plan = await self._reconcile.apply(plan_id)
        if plan is None:
            raise KeyError(plan_id)
        return _plan(plan)


def _space(space: Space) -> SpaceLeft:
    return SpaceLeft(
        allowed_mb=space.allowed_mb,
        left_mb=space.left_mb,
        rows=space.rows,
        rows_a_day=space.rows_a_day,
        full_in_days=space.full_in_days,
        fullest=space.fullest,
        fullest_rows=space.fullest_rows,
        crowded=space.crowded,
        crowded_in_days=space.crowded_in_days,
    )


def _short_of_calls(calls: Standing | None) -> tuple[list[str], list[str]]:
    """What is bad and what is doubtful about the org's API calls."""
    if calls is None or not calls.paused:
        return [], []
    until = max(calls.paused.values())
    then = f"expected to go on about {until:%Y-%m-%d %H:%M} UTC"
    if Work.SALE in calls.paused:
        then = f"they are tried every minute, and {then}"
        return [f"The org's API calls of the last 24 hours are used up, so sales wait: {then}."], []
    waits = "bulk work waits" if len(calls.paused) == 1 else "looking again and bulk work wait"
    said = f"{calls.ours_used:,} of the {calls.ours:,} API calls that are ours are used, so {waits}: {then}."
    return [], [said]


def _mode(sku: str, divided: Collection[str]) -> Mode:
    return Mode.DIVIDED if sku in divided else Mode.SHARED


class FoldService:
    """`Folding` as the web and the command line ask for it."""

    def __init__(self, supervisor: Supervisor, older_than_days: int) -> None:
        self._supervisor, self._days = supervisor, older_than_days

    async def begin(
        self, older_than_days: int | None, sku: str | None, location: str | None, *, dry_run: bool
    ) -> Mapping[str, object] | None:
        """Begin a run; None while another is under way."""
        age = timedelta(days=self._days if older_than_days is None else older_than_days)
        run = self._supervisor.fold(FoldWish(age, sku, location, dry_run))
        return None if run is None else _fold_run(run)

    async def run(self, run_id: str) -> Mapping[str, object]:
        """How far a run has come. Raises `KeyError` when it is not the present or the last one."""
        run = self._supervisor.folding.run
        if run is None or run.id != run_id:
            raise KeyError(run_id)
        return _fold_run(run)


def _fold_run(run: FoldRun) -> dict[str, object]:
    return {
        "id": run.id,
        "older_than_days": run.wish.older_than.days,
        "sku": run.wish.sku,
        "location": run.wish.location,
        "dry_run": run.wish.dry_run,
        "started_at": _moment(run.started_at),
        "ended_at": _moment_or_none(run.ended_at),
        "levels": run.levels,
        "done": run.done,
        "requests": run.requests,
        "rows": run.rows,
        "kept": dict(run.kept),
        "problems": list(run.problems),
    }


def _plan(plan: Plan) -> dict[str, object]:
    return {
        "id": plan.id,
        "made_at": _moment(plan.made_at),
        "compared": plan.compared,
        "unread": plan.unread,
        "warnings": list(plan.warnings),
        "rows": [_difference(row) for row in plan.rows],
    }


def _difference(row: Difference) -> dict[str, object]:
    return {
        "channel": row.channel,
        "sku": row.sku,
        "location": row.location,
        "shows": row.shows,
        "target": row.target,
        "cause": row.cause.value,
        "applicable": row.applicable,
    }


def _channel_state(count: views.ChannelCount | None, error: str) -> tuple[State, str]:
    if error:
        return "bad", error
    if count is None:
        return "warning", "Not compared yet."
    if not count.approved:
        return "warning", "Waits for its first plan to be approved: `sfsync resync`."
    if count.problems:
        return "warning", f"{count.problems} items cannot be written: `sfsync dead-letters`."
    if count.due:
        return "good", f"{count.due} changes are on their way."
    return "good", "Shows what it should."


def _letter(letter: DeadLetter) -> DeadLetterRow:
    return DeadLetterRow(
        id=letter.id,
        source=letter.source,
        key=letter.key,
        reason=letter.reason,
        advice=letter.advice,
        at=_moment(letter.at),
    )


def _movement(movement: views.RecentMovement) -> Movement:
    key = LevelKey.parse(movement.level_key)
    return Movement(
        at=_moment(movement.at),
        sku=key.sku,
        location=key.location,
        unit=key.unit,
        kind=movement.kind,
        on_hand_delta=movement.on_hand_delta,
        reserved_delta=movement.reserved_delta,
        reference=movement.reference,
        source=movement.channel or "org",
        available=movement.available,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _percentile_ms(ordered_seconds: Sequence[float], percent: int) -> float | None:
    if not ordered_seconds:
        return None
    if len(ordered_seconds) == 1:
        return round(ordered_seconds[0] * 1000, 1)
    return round(quantiles(ordered_seconds, n=100, method="inclusive")[percent - 1] * 1000, 1)


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment_or_none(at: datetime | None) -> str | None:
    return None if at is None else _moment(at)
