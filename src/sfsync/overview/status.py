"""How things stand, told for people: the store's counts and the running parts' pulse as one status.

Without a running daemon (`pulse` is None) the store alone is told, and health says that nothing runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from time import perf_counter, thread_time
from typing import Literal

from sfsync import exposed
from sfsync.domain.alerts import SILENT_AFTER
from sfsync.domain.allocation import Books
from sfsync.domain.assortment import PLENTY, Assortment, InForce
from sfsync.domain.ats import Guarantee, Policy
from sfsync.domain.block import HOLDER
from sfsync.domain.coverage import Closes, remedy, so_far
from sfsync.domain.exposure import SCARCE_UNITS
from sfsync.domain.left_channel import LeftChannel
from sfsync.domain.letters import TILL
from sfsync.domain.tills import TillExpected
from sfsync.flow.allocations import own_books, turn_of
from sfsync.flow.block import levels_of
from sfsync.flow.context import SNAPSHOT, Pulse
from sfsync.flow.editions import standing
from sfsync.flow.forgetting import left_behind
from sfsync.flow.picture import Picture
from sfsync.flow.rooms import Rooms
from sfsync.flow.supervisor import KEPT_DAYS
from sfsync.ports import ChannelLevel, Clock, Hole
from sfsync.reports import Live
from sfsync.store import Database, views
from sfsync.store.pickups import pick_ups
from sfsync.store.tx import SqlTx
from sfsync.web.editions import describe
from sfsync.web.incident_rows import incident_row
from sfsync.web.refunds import refund_row
from sfsync.web.status_shape import (
    BlockLevel,
    ChannelStatus,
    Exposure,
    ExposureOfClass,
    GuaranteeCounts,
    Ledger,
    Scarce,
    Seller,
    Status,
    StockOfSku,
    Stream,
    StreamHole,
)

from .health import BEHIND_AGAIN, HealthTeller, channel_state, unheard_state
from .rows import (
    budget_row,
    deliveries_row,
    left_row,
    letter_row,
    moment,
    moment_or_none,
    movement_row,
    outlook_row,
    percentile_ms,
    pick_ups_row,
    space_left,
    tenths,
    till_row,
)

KEPT = timedelta(days=KEPT_DAYS)
LONG_SECONDS = 0.2  # what takes longer is done again only after SHARE times as long
QUICK_SECONDS = 0.05
SHARE = 20
MOST_SCARCE = 12
RANKED = 10  # times as many are looked at for those that may be sold twice
EXPOSURE_AGAIN = timedelta(seconds=10)
LATE_AFTER = timedelta(seconds=60)
COVERAGE_AGAIN = timedelta(seconds=30)
MOST_REFUNDS = 100
MOST_LETTERS = 100
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Overview:
    """Tells the status of a store, and of the daemon that runs on it."""

    def __init__(
        self,
        store: Database,
        assortment: Assortment,
        clock: Clock,
        kinds: Mapping[str, str],
        pulse: Pulse | None,
        tills: Mapping[str, TillExpected] | None = None,
    ) -> None:
        self._tills = tills or {}
        self._store, self._assortment, self._clock = store, assortment, clock
        self._kinds, self._pulse = kinds, pulse
        self._health = HealthTeller(assortment, pulse)
        self._live = Live()
        self._covered: tuple[datetime | None, object, dict[str, str]] = (None, None, {})
        self._exposure: tuple[datetime | None, Mapping[str, list[ExposureOfClass]]] = (None, {})
        self._counted: tuple[object, Mapping[str, Counter[Guarantee]]] = (None, {})
        self._not_counted_before = 0.0
        self._left_found: tuple[datetime | None, Sequence[LeftChannel]] = (None, ())
        self._ranked: Sequence[views.ScarceSku] = ()
        self._not_ranked_before = 0.0

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
        sources = tx.count_dead_letters()
        letters, waiting = tx.newest_letters(MOST_LETTERS), sum(sources.values())
        incidents = views.told_incidents(tx, now - timedelta(days=1), now)
        cancelling = self._pulse.cancelling_channels if self._pulse else None
        queue = views.queue_count(tx)
        refunds, owed = tx.refunds(limit=MOST_REFUNDS), views.refunds_owed(tx)
        channels = self._channels(tx, now)
        stream = self._stream(tx, holes, now)
        ledger = self._ledger(tx, queue, now)
        history, began, drifts = tx.till_reports(), tx.first_start(), tx.count_drifts()
        tills = [
            till_row(name, told, history.get(name), sources.get(f"{TILL}{name}", 0), began, now)
            for name, told in self._tills.items()
        ]
        left = self._left(tx, now)
        return Status(
            health=self._health.tell(
                tx, now, stream, ledger, channels, incidents, waiting, owed, drifts, tills, left
            ),
            tills=tills,
            stream=stream,
            ledger=ledger,
            channels=channels,
            channels_left=[left_row(each) for each in left],
            scarce=self._scarce(tx),
            pick_ups=[pick_ups_row(each) for each in pick_ups(tx, now)],
            editions=[
                describe(standing(tx, self._assortment, edition))
                for edition in self._assortment.editions.values()
            ],
            incidents=[
                incident_row(each, incidents.resolutions.get(each.id, ()), cancelling, now)
                for each in incidents.told
            ],
            incidents_more=incidents.more,
            refunds=[refund_row(task) for task in refunds],
            refunds_more=max(0, owed - len(refunds)),
            dead_letters=[letter_row(letter) for letter in letters],
            dead_letters_more=waiting - len(letters),
            dead_letters_by_source=dict(sources),
            drifts=drifts,
            recent=[movement_row(movement) for movement in views.recent_movements(tx, 20)],
            accuracy=self._live.rows(tx, now),
        )

    def _left(self, tx: SqlTx, now: datetime) -> Sequence[LeftChannel]:
        """What is kept of channels that are not in the settings any more. Looked for now and then."""
        at, told = self._left_found
        if at is None or now - at >= BEHIND_AGAIN:
            told = left_behind(tx, self._assortment.channels)
            self._left_found = now, told
        return told

    def _coverage(
        self, tx: SqlTx, topics: Sequence[str], holes: Sequence[Hole], now: datetime
    ) -> Mapping[str, str]:
        """Whether each stream told all of the last 24 hours; worked out anew now and then.

        At once when a hole has opened or was closed: the same page tells of that.
        """
        at, basis, told = self._covered
        broken = {(hole.source, hole.since) for hole in holes}
        if at is None or now - at >= COVERAGE_AGAIN or broken != basis:
            start, until = now - DAY, now - SILENT_AFTER - LATE_AFTER
            intervals = tx.coverage(start, now)
            told = {}
            for topic in topics:
                begun = tx.first_watched(topic)
                if begun is not None:
                    begin = max(start, begun)
                    told[topic] = so_far(topic, (begin, max(begin, until)), intervals)
            self._covered = now, broken, told
        return told

    def _stream(self, tx: SqlTx, holes: Sequence[Hole], now: datetime) -> Stream:
        pulse = self._pulse
        topics = pulse.topics if pulse else ()
        covered = self._coverage(tx, topics, holes, now)
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
                    "last_sign_of_life_at": moment_or_none(pulse.last_sign.get(topic)) if pulse else None,
                    "last_event_at": moment_or_none(pulse.last_event.get(topic)) if pulse else None,
                    "lag_seconds": tenths(pulse.lag_seconds.get(topic)) if pulse else None,
                    "events": pulse.events.get(topic, 0) if pulse else 0,
                    "coverage": covered.get(topic, "not watched yet"),
                }
                for topic in topics
            ],
            holes=[self._hole(hole, holes, now) for hole in holes],
            deliveries=deliveries_row(pulse.delivered, now) if pulse else None,
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
            since=moment(since),
            age_seconds=round((now - since).total_seconds(), 1),
            reason=hole.reason,
            closes="a reading of the whole org" if whole else remedy(hole.closes, posts=posts, away=away),
            next_try_at=moment_or_none(None if whole else next_try),
        )

    def _block(self, tx: SqlTx) -> list[BlockLevel]:
        """The local block."""
        wanted = any(rule.block for rule in self._assortment.rules)
        skus = sorted(views.held_by(tx, HOLDER)) if wanted else []
        if not skus:
            return []
        picture = Picture(tx.facts(skus), self._assortment)
        return [
            {"sku": sku, "location": level.key.location, "held": level.held, "ready": level.ready}
            for sku in skus
            for level in levels_of(picture, self._assortment, sku)
            if level.held
        ]

    def _ledger(self, tx: SqlTx, queue: views.QueueCount, now: datetime) -> Ledger:
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
                {"work": work.value, "until": moment(until)}
                for work, until in (calls.paused.items() if calls else ())
            ],
            calls_outlook=outlook_row(calls.outlook) if calls and calls.outlook else None,
            rows_a_minute=sum(rows for at, rows in tuple(pulse.entered) if now - at <= MINUTE)
            if pulse
            else 0,
            block=self._block(tx),
            space=space_left(pulse.space) if pulse and pulse.space else None,
        )

    def _channels(self, tx: SqlTx, now: datetime) -> list[ChannelStatus]:
        counts = views.channel_counts(tx, now)
        sizes = {name: count.levels for name, count in counts.items()}
        guarantees = self._guarantees(tx, sizes)
        exposure = self._exposure_by_channel(tx, now)
        return [
            self._channel(name, counts.get(name), guarantees.get(name, {}), exposure.get(name, []))
            for name in self._assortment.channels
        ]

    def _guarantees(self, tx: SqlTx, sizes: Mapping[str, int]) -> Mapping[str, Counter[Guarantee]]:
        """Policies are fixed while we run: only what is listed, or scarce, changes the counts.

        Of a large house they are counted anew less often than they change.
        """
        policy, basis = self._assortment.policy, (sizes, self._assortment.catalogue.changes)
        if self._counted[0] != basis and perf_counter() >= self._not_counted_before:
            begun = perf_counter()
            self._counted = basis, self._assortment.guarantees(views.listed(tx))
            took = perf_counter() - begun
            self._not_counted_before = begun + (SHARE * took if took > LONG_SECONDS else 0.0)
        found = {name: Counter(each) for name, each in self._counted[1].items()}
        scarce = tx.scarce_skus()
        for level in tx.channel_levels(scarce) if scarce else ():
            if level.channel in found:
                found[level.channel][policy(level.channel, level.sku, PLENTY).guarantee] -= 1
                found[level.channel][policy(level.channel, level.sku, scarce[level.sku]).guarantee] += 1
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
        unheard = self._pulse.unheard_of(name) if self._pulse else ()
        lag = self._assortment.orders_lag(name)
        state, sentence = channel_state(count, error, unheard_state(unheard, lag))
        return ChannelStatus(
            name=name,
            kind=self._kinds.get(name, ""),
            state=state,
            sentence=sentence,
            approved=count is not None and count.approved,
            held=count.held.changed if count and count.held else 0,
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
            lag_p50_ms=percentile_ms(lags, 50),
            lag_p99_ms=percentile_ms(lags, 99),
            exposed_units=count.exposed_units if count else 0,
            exposure_unit_seconds=round(count.exposure_unit_seconds, 3) if count else 0.0,
            exposure=exposure,
            last_push_at=moment_or_none(count.last_push_at) if count else None,
            budget=budget_row(self._pulse, name),
        )

    def _scarcest(self, tx: SqlTx) -> Sequence[views.ScarceSku]:
        """Every level is looked at for it: of a large house less often than it is asked for."""
        if perf_counter() >= self._not_ranked_before:
            begun = thread_time()  # the work alone: a small house is looked at anew however busy the machine
            looked_at = views.scarce_skus(tx, most=SCARCE_UNITS, limit=RANKED * MOST_SCARCE)
            unasked = self._sold_unasked(tx, [each.sku for each in looked_at])
            self._ranked = sorted(looked_at, key=lambda each: each.sku not in unasked)[:MOST_SCARCE]
            took = thread_time() - begun
            self._not_ranked_before = perf_counter() + (SHARE * took if took > QUICK_SECONDS else 0.0)
        return self._ranked

    def _sold_unasked(self, tx: SqlTx, skus: Collection[str]) -> set[str]:
        """Those that some channel shows out of what others show too: they may be sold twice."""
        held = tx.scarce_skus()
        return {
            level.sku
            for level in tx.channel_levels(skus)
            if level.published > 0
            and level.channel in self._assortment.channels  # or it was removed from the settings
            and self._assortment.policy(level.channel, level.sku, held.get(level.sku, PLENTY)).guarantee
            is Guarantee.MIRRORED
        }

    def _scarce(self, tx: SqlTx) -> list[Scarce]:
        skus = self._scarcest(tx)
        held, rooms = tx.scarce_skus(), Rooms(tx, self._assortment)
        shown: dict[str, list[ChannelLevel]] = {}
        levels, now = tx.channel_levels([scarce.sku for scarce in skus]), self._clock.now()
        for level in levels:
            shown.setdefault(level.sku, []).append(level)
        own = own_books(tx, self._assortment, self._pulse or Pulse(now), levels, now)
        return [
            Scarce(
                sku=scarce.sku,
                available=scarce.available,
                locations=dict(scarce.locations),
                sellers=[
                    self._seller(
                        tx,
                        level,
                        scarce,
                        held.get(level.sku, PLENTY),
                        rooms,
                        own.get((level.channel, level.sku, level.location)),
                    )
                    for level in shown.get(scarce.sku, ())
                    if level.channel in self._kinds
                ],
            )
            for scarce in skus
        ]

    def _seller(
        self,
        tx: SqlTx,
        level: ChannelLevel,
        scarce: views.ScarceSku,
        held: InForce,
        rooms: Rooms,
        own: Books | None,
    ) -> Seller:
        """Whether a channel may sell it now; what the policy says holds only once the units are its own."""
        edition = self._assortment.edition(level.sku)
        policy = self._assortment.policy(level.channel, level.sku, held)
        may: Literal["sells", "asks first", "sells unasked", "closed"] = "sells unasked"
        why = policy.guarantee.value
        if policy.allocated_elsewhere:
            division = self._assortment.division(level.sku, held)
            why = f"allocated to {', '.join(division.channels if division else ())}"
            if level.published > 0:
                why = f"mirrored, being lowered: {why}"
            else:
                may = "closed"
        elif level.published <= 0 and edition is not None and not rooms.is_open(edition):
            may, why = "closed", f"the edition {edition.name} is closed"
        elif level.published <= 0 < scarce.available and self._too_old(policy):
            may, why = "closed", "the org was not heard for too long"
        elif own is not None and own.held and policy.guarantee is not Guarantee.ALLOCATED and not own.gap:
            may, why = ("sells" if level.published > 0 else "closed"), "its allocation, being given back"
        elif level.published <= 0:
            sources = self._assortment.sources(level.channel, level.location, level.sku)
            elsewhere = scarce.available > 0 and not any(
                scarce.locations.get(place, 0) > 0 for place in sources
            )
            may, why = "closed", "nothing where it sells from" if elsewhere else "sold out"
        elif policy.guarantee is Guarantee.GATED:
            may = "asks first"
        elif policy.guarantee is Guarantee.ALLOCATED:
            if own is None or own.gap:
                why = "mirrored, being set aside"
            elif own.shows_gone:
                why = "its allocation, of which some has left"
            else:
                may, why = "sells", "its allocation"
        if why in ("its allocation", "sold out") and self._assortment.by_turns:
            division = self._assortment.division(level.sku, held)
            turn = turn_of(tx, level.sku, division, self._clock.now())
            if turn is not None and division is not None and level.channel in division.channels:
                why = turn.told(level.channel)
        return Seller(channel=level.channel, shows=level.published, may=may, why=why)

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
        scarce = tx.scarce_skus()
        for shown in tx.channel_levels(skus):
            if shown.channel in self._assortment.channels:
                made[shown.sku]["shown"].append(
                    {
                        "channel": shown.channel,
                        "location": shown.location,
                        "guarantee": self._assortment.policy(
                            shown.channel, shown.sku, scarce.get(shown.sku, PLENTY)
                        ).guarantee.value,
                        "published": shown.published,
                        "target": shown.target,
                        "problem": shown.problem,
                    }
                )
        return list(made.values())
