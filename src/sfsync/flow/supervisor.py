"""Begins the parts of the flow and ends them in order.

What lets things in ends first; then the writer and the relays finish what is in hand; what is not finished in
time is left in the store for the next start. A part that breaks for a reason nobody foresaw is begun again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain.drift import Pace
from sfsync.domain.retry import backoff_seconds
from sfsync.ports import Budgeted, Channel, OutsideError, Refused, Severity, TillPlace, Tx

from .alerting import Alerts
from .allocations import explain
from .callbacks import CallbackRelay
from .calls import CallKeeper
from .cancelling import Cancellations
from .context import SNAPSHOT, Context, unread
from .counts import Counts
from .demand import Demand
from .desk import Desk
from .drift import DriftWatch
from .editions import Editions
from .folding import Folding, FoldRun, FoldWish
from .freshness import Freshness
from .hands import Hands
from .intake import Holes, Intake, Poll
from .moving import recognise
from .order_calls import OrderCalls
from .orders import OrderPoll, Orders
from .org_counts import Counting, OrgCounts
from .org_orders import OrgOrders
from .policies import Policies
from .products import Products
from .proving import Proving
from .reconcile import Reconcile
from .refunding import Refunds
from .relay import Relay
from .resolving import Resolver
from .resync import Resync
from .rewrites import Rewrites
from .settling import Settling
from .shelf import refresh
from .space import SpaceWatch
from .till_places import TillWatch
from .tills import Tills
from .transfers import Transfers
from .turns import TurnWatch
from .watching import tell_holes
from .writer import Writer

FINISH_SECONDS = 6.0  # a container is given ten
SWEEP_SECONDS = 30.0
AGAIN_SECONDS = 0.5
EXPLAIN_SECONDS = 60.0
KEPT_DAYS = 30
CHECK_SECONDS = 24 * 3600.0
CHECK_SOON_SECONDS = 60.0
NIGHT_HOUR = 2  # UTC


class Supervisor:
    """The running daemon, less its web server."""

    def __init__(
        self,
        ctx: Context,
        *,
        approve: bool = False,
        poll_seconds: float = 300.0,
        watch_seconds: float = 60.0,
        fold_nightly_days: int | None = None,
        drift: Pace | None = None,
        alerts: Alerts | None = None,
        till_places: Sequence[TillPlace] = (),
        beside: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
        counting: Counting | None = None,
    ) -> None:
        self._ctx, self._approve = ctx, approve
        others = ctx.org.posting_topics | ctx.org.order_topics
        ctx.pulse.weak_channels = frozenset(name for name, each in ctx.channels.items() if each.ability.weak)
        ctx.pulse.budgets = {
            name: each.budget for name, each in ctx.channels.items() if isinstance(each, Budgeted)
        }
        ctx.pulse.cancelling_channels = frozenset(
            name for name, each in ctx.channels.items() if each.ability.cancels
        )
        ctx.pulse.stock_topics = tuple(topic for topic in ctx.org.topics if topic not in others)
        self.writer = Writer(ctx)
        self.desk = Desk(ctx, self.writer)
        self.transfers = Transfers(ctx, self.writer)
        self.editions = Editions(ctx)
        self.hands, self.demand, self.turns = Hands(ctx), Demand(ctx), TurnWatch(ctx)
        self.products = Products(ctx)
        self.counts = Counts(ctx, self.writer)
        book = ctx.org.counts
        self.org_counts = (
            OrgCounts(ctx, book, self.counts, counting or Counting()) if book is not None else None
        )
        self.tills = Tills(ctx, self.writer)
        self._till_places = till_places
        self.folding = Folding(ctx, self.writer)
        self.rewrites = Rewrites(ctx, self.writer)
        self._alerts = alerts
        self._beside = beside or {}  # other loops that live as long
        self.calls = CallKeeper(ctx)
        self._fold_days = fold_nightly_days
        self._watch_seconds = watch_seconds
        self.polls = OrderPoll(ctx, every_seconds=poll_seconds)
        self.reconcile = Reconcile(ctx, self.polls)
        self.resync = Resync(ctx, self.polls, self.reconcile)
        self.drift = DriftWatch(ctx, self.polls, self.reconcile, drift)
        self._drift = drift
        self.proving = Proving(ctx)
        self._cancellations = Cancellations(ctx, self.polls)
        self.refunds = Refunds(ctx, self.polls)
        self.resolver = Resolver(ctx, self.writer, self.desk, self._cancellations, self.refunds)
        self._orders = Orders(ctx)
        rules = ctx.assortment.org_orders
        self.org_orders = OrgOrders(ctx, rules, every_seconds=poll_seconds) if rules is not None else None
        self._relays = [_relay(ctx, channel, self.polls) for channel in ctx.channels.values()]
        self._entrances: list[asyncio.Task[None]] = []
        self._inner: list[asyncio.Task[None]] = []
        self._finishing: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin every part. Returns soon; what needs the org waits for it."""
        ctx = self._ctx
        policies = Policies(ctx, ask=not self._approve)
        await recognise(ctx)
        await policies.recall()
        self._finishing = [self._keep("writer", self._write)]
        self._finishing += [self._keep(f"relay {r.name}", r.run) for r in self._relays]
        self._inner = [
            self._keep("orders", self._orders.run),
            self._keep("holes", Holes(ctx, self.org_orders).run),
            self._keep("expiry", self.desk.sweep),
            self._keep("settling", Settling(ctx, self.writer).run),
            self._keep("check", self._check_again),
            self._keep("tidy", self._tidy),
            self._keep("calls", self.calls.run),
            self._keep("space", SpaceWatch(ctx).run),
            self._keep("learn", self._learn),
            self._keep("resync", self.resync.run),
            *([self._keep("drift", self.drift.run)] if self._drift is not None else ()),
            *([self._keep("hints", self.drift.follow)] if self._drift is not None else ()),
            self._keep("explain", self._explain),
            self._keep("policies", policies.run),
            self._keep("freshness", Freshness(ctx).run),
            self._keep("editions", self.editions.run),
            self._keep("demand", self.demand.run),
            self._keep("turns", self.turns.run),
            self._keep("editions' sales", self.editions.count),
            self._keep("products", self.products.run),
            self._keep("rewrites", self.rewrites.run),
            self._keep("open folds", self.folding.finish),
            self._keep("nightly folding", self._fold_nightly),
        ]
        self._inner += [self._keep(name, part) for name, part in self._beside.items()]
        if self._alerts is not None:
            self._inner.append(self._keep("alerts", self._alerts.run))
        self._entrances = [
            self._keep(f"intake {topic}", Intake(ctx, topic, self.org_orders).run) for topic in ctx.org.topics
        ]
        for topic in ctx.pulse.stock_topics:
            poll = Poll(ctx, topic, after_seconds=self._watch_seconds)
            self._entrances.append(self._keep(f"poll {topic}", poll.run))
        self._entrances.append(self._keep("first start", self._begin))
        for name in ctx.channels:
            self._entrances.append(self._keep(f"polls {name}", partial(self._poll, name)))
            if ctx.channels[name].ability.cancels:
                self._entrances.append(
                    self._keep(f"cancellations {name}", partial(self._cancellations.run, name))
                )
            if ctx.channels[name].ability.tells_orders:
                self._entrances.append(self._keep(f"order calls {name}", partial(self._call, name)))
        for place in self._till_places:
            watch = TillWatch(ctx, self.tills, place)
            if place.inbox is not None:
                follow = partial(watch.follow, place.inbox)
                self._entrances.append(self._keep(f"folder of till {watch.name}", follow))
            if place.levels_out is not None:
                self._inner.append(
                    self._keep(f"levels of till {watch.name}", partial(watch.keep, place.levels_out))
                )
        if self.org_orders is not None:
            self._entrances.append(self._keep("the org's orders", self._poll_org))
        if self.org_counts is not None:
            self._entrances.append(self._keep("the org's counts", self.org_counts.run))

    async def stop(self) -> None:
        """End every part: entrances, then deciding, then what sends. Work in hand gets a deadline."""
        self.desk.close()
        await _end(self._entrances)
        await _end(self._inner)
        for relay in self._relays:
            relay.drain()
        drained = asyncio.create_task(self.writer.drain())
        await asyncio.wait([drained, *self._finishing], timeout=FINISH_SECONDS)
        await _end([drained, *self._finishing])
        await self.calls.keep()

    async def _write(self) -> None:
        await self.folding.hold()
        await self.writer.run()

    async def _fold_nightly(self) -> None:
        """Once in each night, UTC, where the settings say so."""
        ctx = self._ctx
        while self._fold_days is not None:
            now = ctx.clock.now()
            night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
            night += timedelta(days=0 if night > now else 1)
            await ctx.clock.sleep((night - now).total_seconds())
            run = self.folding.begin(FoldWish(timedelta(days=self._fold_days)))
            if run is not None:
                await self.folding.carry_out(run)

    def fold(self, wish: FoldWish) -> FoldRun | None:
        """Begin a run of folding; None while another is under way."""
        run = self.folding.begin(wish)
        if run is not None:
            self._inner.append(self._keep("folding", partial(self.folding.carry_out, run)))
        return run

    def _keep(self, name: str, part: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(self._run(name, part), name=name)

    async def _run(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        attempt = 0
        while True:
            try:
                await part()
                return
            except Exception:
                attempt += 1
                wait = backoff_seconds(attempt, self._ctx.luck())
                self._ctx.log.exception("a part broke", part=name, next=f"begun again in {wait:.1f} s")
                await self._ctx.clock.sleep(wait)

    async def _begin(self) -> None:
        """Check the org; read all of it once; compare every channel never compared before.

        Both leave an open hole behind until they are whole, so that a kill in their middle is noticed.
        """
        ctx = self._ctx
        await self._check()
        await self._until_answered(self.products.read, "")
        await self._until_answered(partial(self._whole, SNAPSHOT, self.reconcile.snapshot), "")
        ctx.bell.ring("orders", "known", "holes")
        await asyncio.gather(*(self._first(name) for name in ctx.channels))

    async def _whole(self, source: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do work whose absence is an open hole, then close the hole."""
        ctx = self._ctx
        holes = [hole for hole in await ctx.store.read(lambda tx: tx.open_holes()) if hole.source == source]
        if not holes:
            return
        await work()

        def close(tx: Tx) -> None:
            for hole in holes:
                tx.close_hole(hole.id, ctx.clock.now())

        await ctx.store.write(close)

    async def _check(self) -> None:
        ctx = self._ctx

        async def check() -> None:
            findings = await ctx.org.check()
            for finding in findings:
                if finding.severity is Severity.FATAL:
                    ctx.log.error("org check", finding=finding.what, next=finding.remedy)
                elif finding.severity is Severity.WARNING:
                    ctx.log.warning("org check", finding=finding.what, next=finding.remedy)
            fatal = [finding.what for finding in findings if finding.severity is Severity.FATAL]
            ctx.pulse.rule_error = "; ".join(fatal)

        await self._until_answered(check, "")

    async def _check_again(self) -> None:
        """Daily, because an admin may deactivate the rule; soon, while something is wrong."""
        waited = 0.0
        while True:
            await self._ctx.clock.sleep(CHECK_SOON_SECONDS)
            waited += CHECK_SOON_SECONDS
            if self._ctx.pulse.rule_error or waited >= CHECK_SECONDS:
                await self._check()
                waited = 0.0

    async def _tidy(self) -> None:
        """Daily: what was done with long ago is needed neither for `why` nor against duplicates any more."""
        ctx = self._ctx
        while True:
            before = ctx.clock.now() - timedelta(days=KEPT_DAYS)
            if gone := await ctx.store.write(partial(_forget, before=before)):
                ctx.log.info("tidied", rows=gone, older_than_days=KEPT_DAYS)
            await ctx.clock.sleep(CHECK_SECONDS)

    async def _check_channel(self, name: str) -> None:
        """Say what is wrong at a channel: credential, scopes, version, locations."""
        ctx = self._ctx
        fatal = []
        for finding in await ctx.channels[name].check():
            if finding.severity is Severity.FATAL:
                fatal.append(f"{finding.what}. {finding.remedy}".strip())
                ctx.log.error("channel check", channel=name, finding=finding.what, next=finding.remedy)
            elif finding.severity is Severity.WARNING:
                ctx.log.warning("channel check", channel=name, finding=finding.what, next=finding.remedy)
        if fatal:
            raise _NotReadError(" ".join(fatal))

    async def _first(self, name: str) -> None:
        """A channel without a baseline gets one; its differences wait for a person unless told otherwise."""
        ctx = self._ctx

        def note(tx: Tx) -> None:
            if not tx.read_whole(name) and all(hole.source != name for hole in tx.open_holes()):
                now = ctx.clock.now()
                tx.open_hole(name, now, "what it shows was never read whole", now)

        async def check() -> None:
            await self._check_channel(name)

        async def baseline() -> None:
            numbers, differences = await self.reconcile.first_start(name)
            ctx.pulse.channel_error.pop(name, None)
            ctx.log.info(
                "first comparison",
                channel=name,
                compared=numbers,
                differences=differences,
                next="approved"
                if self._approve
                else f"look at `sfsync resync --channel {name}`, then apply it",
            )

        await ctx.store.write(note)
        await self._until_answered(check, name)
        await self._until_answered(partial(self._whole, name, baseline), name)
        ctx.bell.ring(_compared_bell(name), "learn")
        if self._approve:
            await self.reconcile.approve(name)

    async def _learn(self) -> None:
        """Until cancelled: have read what is not known of the channels, each by itself.

        A channel that is slow, or down, keeps no other waiting.
        """
        ctx, wait = self._ctx, AGAIN_SECONDS
        readings: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                await ctx.bell.wait("learn", wait)
                wanted = await ctx.store.read(self._to_be_read)
                busy = {name for name, task in readings.items() if not task.done()}
                for name in sorted(wanted - busy):
                    readings[name] = self._keep(f"reads {name}", partial(self._read, name))
                wait = AGAIN_SECONDS if wanted & busy else SWEEP_SECONDS  # it may be past what is wanted now
        finally:
            await _end(list(readings.values()))

    async def _read(self, name: str) -> None:
        """Ask a channel for SKUs that have just got their first stock level, and for numbers in doubt."""
        attempt, left = 0, True
        while left:
            try:
                await self.reconcile.learn(name)
                left, attempt = await self.reconcile.recheck(name), 0
                wait = AGAIN_SECONDS
            except OutsideError as error:
                attempt += 1
                wait = backoff_seconds(attempt, self._ctx.luck())
                self._ctx.log.warning(
                    "not read", channel=name, reason=str(error), next=f"again in {wait:.1f} s"
                )
            if left:
                await self._ctx.clock.sleep(wait)

    def _to_be_read(self, tx: Tx) -> set[str]:
        open_now = {hole.source for hole in tx.open_holes()}
        return {name for name in tx.to_be_read() if name in self._ctx.channels and name not in open_now}

    async def _explain(self) -> None:
        """Until cancelled: give up on sales that would have explained a number; tell of holes that stay."""
        ctx = self._ctx

        def work(tx: Tx) -> set[str]:
            tell_holes(tx, ctx)
            skus = explain(tx, ctx)
            return refresh(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now())

        while True:
            await ctx.clock.sleep(EXPLAIN_SECONDS)
            ctx.bell.ring(*await ctx.store.write(work))

    async def _poll(self, name: str) -> None:
        await self._until_compared(name)  # orders are read after the baseline that they are counted against
        await self.polls.run(name, self.proving.look)

    async def _call(self, name: str) -> None:
        await self._until_compared(name)
        await OrderCalls(self._ctx, self.polls).run(name)

    async def _until_compared(self, name: str) -> None:
        ctx = self._ctx
        while not await ctx.store.read(lambda tx: self._compared(tx, name)):
            await ctx.bell.wait(_compared_bell(name), SWEEP_SECONDS)
        ctx.bell.ring(_compared_bell(name))  # several wait for it

    async def _poll_org(self) -> None:
        if self.org_orders is None:
            return
        while await self._ctx.store.read(unread):
            await self._ctx.clock.sleep(1.0)  # a line names its level: wait until the levels are known
        await self.org_orders.run()

    @staticmethod
    def _compared(tx: Tx, name: str) -> bool:
        return tx.read_whole(name) and all(hole.source != name for hole in tx.open_holes())

    async def _until_answered(self, work: Callable[[], Awaitable[object]], channel: str) -> None:
        """Do work that needs the org, or a channel when named, however long it takes to answer."""
        attempt, pulse = 0, self._ctx.pulse
        while True:
            try:
                await work()
            except OutsideError as error:
                attempt += 1
                wait = backoff_seconds(attempt, self._ctx.luck())
                if channel:
                    pulse.channel_error[channel] = str(error)
                advice = error.advice if isinstance(error, Refused) else ""
                then = f"{advice}; asked again in {wait:.1f} s".removeprefix("; ")
                self._ctx.warn("not answered", error, of=channel or "org", next=then)
                await self._ctx.clock.sleep(wait)
            else:
                if channel and attempt:  # what others say of it is theirs to take back
                    pulse.channel_error.pop(channel, None)
                return


def _relay(ctx: Context, channel: Channel, polls: OrderPoll) -> Relay:
    patience = channel.ability.callbacks
    if patience is None:
        return Relay(ctx, channel, polls)
    return CallbackRelay(ctx, channel, polls)


def _compared_bell(channel: str) -> str:
    return f"compared {channel}"


def _forget(tx: Tx, *, before: datetime) -> int:
    return tx.forget(before)


class _NotReadError(OutsideError):
    """A channel could not be read; its own message says why."""


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
