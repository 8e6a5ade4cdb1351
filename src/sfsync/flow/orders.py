"""A storefront's order becomes the next step of each of its lines.

A webhook is stored before it is answered, then read here. The newest snapshot of an order counts; each line
is a subject of its own, decided by `domain.orders` from what the ledger holds for it. In the commit that
records a sale, the channel's published number falls by what the channel has itself taken off (correctness E),
so that the same unit is not taken off twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain.orders import Holding, LineFacts, OrderLine, OrderSnapshot, next_step
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.reservations import order_names
from sfsync.domain.sources import Source, Word, deciding, pair, wanted
from sfsync.domain.stock import BadKeyError, LevelKey, allocation_subject, order_line_subject
from sfsync.ports import ChannelLevel, Delivery, InboxItem, LineState, OutsideError, Refused, Tx

from .context import Context
from .intake import unread
from .lateness import add
from .levels import OVERSOLD, told
from .picture import Picture
from .shelf import refresh, with_numbers

BATCH = 200
LINES = 1_000  # so many that lines waiting for a reservation hold up no others
CLOCK_SKEW = timedelta(seconds=1)  # between a storefront and us
CLOCK_GRAIN = timedelta(seconds=1)  # storefronts tell times in whole seconds, rounded down


class Orders:
    """Reads the inbox and decides lines."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._ctx.bell.wait("orders", 5.0)
            while await self.work():
                pass

    async def work(self) -> bool:
        """One transaction's worth; True when there may be more."""
        ctx = self._ctx
        items = await ctx.store.read(lambda tx: tx.inbox(BATCH))
        read = [(item, self._read(item)) for item in items]
        try:
            if read:
                ctx.bell.ring(*await ctx.store.write(partial(self._take, read=read)))
        except Exception as error:  # what one item breaks, no other item suffers from (promise 10)
            ctx.log.exception("a webhook broke its transaction", items=len(read), next="one at a time")
            for one in read:
                await self._take_alone(one, error)
        moved, bells = await ctx.store.write(self._decide)
        ctx.bell.ring(*bells)
        return len(items) == BATCH or moved >= BATCH

    def _take(self, tx: Tx, *, read: Sequence[tuple[InboxItem, OrderSnapshot | Refused | None]]) -> set[str]:
        """Record what came in."""
        ctx, now = self._ctx, self._ctx.clock.now()
        skus: set[str] = set()
        bells: set[str] = set()
        for item, outcome in read:
            if isinstance(outcome, Refused):
                self._set_aside(tx, item, str(outcome), outcome.advice)
            elif outcome is not None:
                skus |= record(tx, ctx, outcome, now, bells)
            tx.finish_inbox(item.id, now)
        return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    async def _take_alone(
        self, one: tuple[InboxItem, OrderSnapshot | Refused | None], error: Exception
    ) -> None:
        ctx = self._ctx
        try:
            ctx.bell.ring(*await ctx.store.write(partial(self._take, read=[one])))
        except Exception as broken:
            reason = f"it cannot be stored: {type(broken).__name__}"

            def give_up(tx: Tx) -> None:
                self._set_aside(tx, one[0], reason, "look at its content")
                tx.finish_inbox(one[0].id, ctx.clock.now())

            await ctx.store.write(give_up)

    def _set_aside(self, tx: Tx, item: InboxItem, reason: str, advice: str) -> None:
        payload = item.body.decode(errors="replace").replace("\0", " ")
        tx.dead_letter(item.source, item.key, reason, advice, payload, self._ctx.clock.now())
        self._ctx.log.warning("webhook set aside", channel=item.source, topic=item.topic, reason=reason)

    def _decide(self, tx: Tx) -> tuple[int, set[str]]:
        """Take the next step of each line that is due; returns how many moved, and the bells to ring."""
        ctx, now = self._ctx, self._ctx.clock.now()
        if unread(tx):
            return 0, set()  # a level that seems missing may only not be here yet
        bells: set[str] = set()
        skus: set[str] = set()
        moved = 0
        for line in tx.due_lines(LINES):
            rung = decide(tx, ctx, line, now)
            if rung is not None:
                bells |= rung
                moved += 1
                skus.add(line.line.sku)
        return moved, bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    def _read(self, item: InboxItem) -> OrderSnapshot | Refused | None:
        channel = self._ctx.channels.get(item.source)
        if channel is None:
            return Refused(f"the configuration has no channel {item.source!r} any more")
        try:
            return channel.read_order(Delivery(item.topic, item.key, item.body))
        except Refused as error:
            return error


class OrderPoll:
    """Reads each channel's own order list: what webhooks lost, and what was sold while we were away."""

    def __init__(self, ctx: Context, *, every_seconds: float) -> None:
        self._ctx, self._every = ctx, every_seconds

    async def run(self, channel: str) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.poll(channel)
            except OutsideError as error:
                self._ctx.log.warning("order list not read", channel=channel, reason=str(error))
            await self._ctx.clock.sleep(self._every)

    async def poll(self, channel: str) -> int:
        """Record every order changed since the last poll; returns how many were read."""
        ctx = self._ctx
        started = ctx.clock.now()
        mark = await ctx.store.read(lambda tx: tx.poll_mark(channel) or tx.channel_since(channel))
        count = 0
        async for page in ctx.channels[channel].orders_since((mark or started) - timedelta(minutes=5)):
            count += len(page)

            def commit(tx: Tx, page: Sequence[OrderSnapshot] = page) -> set[str]:
                now = ctx.clock.now()
                skus: set[str] = set()
                bells = {"orders"}
                for snapshot in page:
                    skus |= record(tx, ctx, snapshot, now, bells)
                return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

            ctx.bell.ring(*await ctx.store.write(commit))
        await ctx.store.write(lambda tx: tx.put_poll_mark(channel, started))
        return count


def record(tx: Tx, ctx: Context, snapshot: OrderSnapshot, now: datetime, bells: set[str]) -> set[str]:
    """Store what a channel's snapshot wants, unless a newer one is known. Returns the SKUs it touched.

    Adds to `bells`: they must not ring before the commit, or whoever hears them finds nothing.
    """
    if snapshot.channel in ctx.assortment.shared:
        return record_shared(tx, ctx, snapshot, Source.CHANNEL, now, bells)
    if before_our_time(tx, ctx, snapshot):
        return set()
    subjects = {
        order_line_subject(snapshot.channel, snapshot.order_id, line.line_id): line for line in snapshot.lines
    }
    held = tx.lines(subjects)
    snapshot = with_reservations(tx, snapshot)
    touched: set[str] = set()
    for subject, line in subjects.items():
        before = held.get(subject)
        # The newest counts even when it changed nothing: a late old one must not reopen a cancelled line.
        if before is not None and (snapshot.version < before.version or (line == before.line)):
            if snapshot.version > before.version:
                tx.put_line(
                    replace(
                        before,
                        version=snapshot.version,
                        reservations=snapshot.reservations or before.reservations,
                    )
                )
            continue
        state = _state(ctx, snapshot, subject, line, before)
        if _taken(tx, ctx, state, before, now):
            bells.add("learn")
        tx.put_line(state)
        touched.add(line.sku)
    if touched:
        _log_recorded(ctx, snapshot)
    return touched


def record_shared(
    tx: Tx,
    ctx: Context,
    snapshot: OrderSnapshot,
    source: Source,
    now: datetime,
    bells: set[str],
    *,
    org_order: str | None = None,
) -> set[str]:
    """Store what one of two sources tells of an order; what both together want is worked out anew.

    A snapshot from the org is whole: what it no longer names is no longer wanted. Returns the SKUs touched.
    """
    authority = ctx.assortment.shared[snapshot.channel].authority
    references = {snapshot.order_id, *order_names(snapshot.name)}
    held = {line.subject: line for line in tx.lines_of_order(snapshot.channel, references)}
    if not held and before_our_time(tx, ctx, snapshot):
        return set()
    snapshot = with_reservations(tx, snapshot)
    words = {subject: dict(line.words) for subject, line in held.items()}
    named = pair(words, snapshot.lines, source)
    for subject, line in zip(named, snapshot.lines, strict=True):
        key = subject or order_line_subject(snapshot.channel, snapshot.order_id, line.line_id)
        known = words.setdefault(key, {}).get(source)
        if known is None or snapshot.version >= known.version:
            words[key][source] = Word(snapshot.version, line)
    if source is Source.ORG:
        told = {line.line_id for line in snapshot.lines}
        for subject, known_line in held.items():
            heard = words[subject].get(source)
            if heard and known_line.org_order == org_order and heard.line.line_id not in told:
                words[subject][source] = Word(snapshot.version, replace(heard.line, open_quantity=0))
    touched: set[str] = set()
    for subject, line in wanted(words, authority).items():
        before, both = held.get(subject), words[subject]
        spoken = before is None or before.told != both
        if before is not None and line == before.line and not spoken:
            continue
        state = replace(
            _state(ctx, snapshot, subject, line, before),
            version=deciding(both, authority).version,
            told=both,
            org_order=(org_order if spoken else None) or (before.org_order if before else None),
        )
        if before is not None and source is Source.ORG:  # the storefront's own words for its order stay
            state = replace(state, order_id=before.order_id, order_name=before.order_name)
        if before is not None and line == before.line:
            tx.put_line(replace(state, due=before.due, uncovered=before.uncovered))
            continue
        if source is Source.CHANNEL and _taken(tx, ctx, state, before, now):
            bells.add("learn")
        tx.put_line(state)
        touched.add(line.sku)
    if touched:
        _log_recorded(ctx, snapshot)
    return touched


def before_our_time(tx: Tx, ctx: Context, snapshot: OrderSnapshot) -> bool:
    """True for an order placed before we knew of its channel: it was somebody else's to enter."""
    since = tx.channel_since(snapshot.channel)
    if since is not None and snapshot.placed_at >= since - CLOCK_GRAIN:
        return False
    ctx.log.debug("order from before our time", channel=snapshot.channel, order=snapshot.name)
    return True


def with_reservations(tx: Tx, snapshot: OrderSnapshot) -> OrderSnapshot:
    """The snapshot with the reservations that were confirmed for it, where it names none itself."""
    if snapshot.reservations:
        return snapshot
    references = {snapshot.order_id, *order_names(snapshot.name)}
    return replace(snapshot, reservations=tuple(tx.confirmed_for(snapshot.channel, references)))


def _log_recorded(ctx: Context, snapshot: OrderSnapshot) -> None:
    ctx.log.info(
        "order recorded",
        channel=snapshot.channel,
        order=snapshot.name,
        lines=len(snapshot.lines),
        next="to the org",
    )


def _state(
    ctx: Context, snapshot: OrderSnapshot, subject: str, line: OrderLine, before: LineState | None
) -> LineState:
    wants_more = before is None or line.open_quantity > before.line.open_quantity
    return LineState(
        subject,
        snapshot.channel,
        snapshot.order_id,
        snapshot.name,
        line,
        snapshot.version,
        min(snapshot.placed_at, before.placed_at) if before else snapshot.placed_at,
        snapshot.channel_location
        or (before.channel_location if before else ctx.assortment.first_location(snapshot.channel)),
        snapshot.reservations or (before.reservations if before else ()),
        before.uncovered if before else 0,
        bool(before and before.asked_in_vain and not wants_more),
        due=True,
    )


def _taken(tx: Tx, ctx: Context, state: LineState, before: LineState | None, now: datetime) -> bool:
    """The channel's number fell by what it sold: a change after the baseline was read is counted, once.

    Storefronts tell times in whole seconds, and a reading takes its time. A sale while it was made may be in
    the number or not: nothing is pushed before the number has been read again. True when it is to be read.
    The change happened between the snapshot that we knew and this one, in one step or in several: where the
    reading lies between them, a part of it may be in the number.
    """
    change = state.line.taken_quantity - (before.line.taken_quantity if before else 0)
    unsure = state.line.taken_in_doubt
    if before is not None and not change and not unsure:
        return False  # of an order first heard of, even nothing in sum may be a sale and its refund
    in_doubt = False
    changed: list[ChannelLevel] = []
    told = state.version.replace(microsecond=0)
    known = (before.version if before else state.placed_at).replace(microsecond=0)
    for level in tx.channel_levels([state.line.sku], state.channel):
        if level.location != state.channel_location:
            continue
        if known - CLOCK_SKEW > level.baseline_at and not unsure:
            published = level.published - change
            changed.append(with_numbers(ctx.assortment, level, now, target=level.target, published=published))
            continue
        close = told + CLOCK_GRAIN + CLOCK_SKEW > level.baseline_from
        if (close or unsure) and level.problem in ("", IN_DOUBT):
            tx.set_problem(level.channel, level.sku, level.location, IN_DOUBT, now)
            in_doubt = True
    tx.put_numbers(changed)
    return in_doubt


def decide(tx: Tx, ctx: Context, line: LineState, now: datetime) -> set[str] | None:
    """Take the line's next step, or settle it, or say that no stock covers it. None: it must wait."""
    sources = _sources(tx, ctx, line)
    if not sources:
        return _no_level(tx, ctx, line, now)
    if tx.drop_dead_letter(line.channel, line.subject):
        ctx.log.info("stock level found", channel=line.channel, order=line.order_name, sku=line.line.sku)
    holdings, wait = _holdings(tx, ctx, line, sources)
    if wait:
        return None  # the reservation it was sold on is still being asked for
    picture = Picture(tx.facts([line.line.sku]))
    step = next_step(
        LineFacts(
            line.subject,
            line.line,
            tx.rows(line.subject),
            tx.next_step(line.subject),
            sources,
            picture.sellable(line.line.sku),
            holdings,
            line.asked_in_vain,
            line.order_name,
            line.version.isoformat(),
            line.version,  # not when it was placed: what left today was there at yesterday's count
            _returns_to(ctx, line),
        )
    )
    if step.bundle:
        owners = {movement.subject: line.channel for movement in step.bundle}
        add(tx, step.bundle, owners, now)
        tx.put_line(replace(line, uncovered=0))
        return {"writer"}
    tx.put_line(replace(line, uncovered=step.uncovered, due=False))
    _tell(tx, ctx, line, step.uncovered, sources, now)
    return set()


def _no_level(tx: Tx, ctx: Context, line: LineState, now: datetime) -> set[str]:
    ctx.log.warning("no stock level", channel=line.channel, order=line.order_name, sku=line.line.sku)
    reason = f"order {line.order_name}: no stock level of {line.line.sku!r} where {line.channel} sells from"
    advice = "create the stock level, or mend the channel's sells_from; it is then decided by itself"
    tx.dead_letter(line.channel, line.subject, reason, advice, repr(line.line), now)
    uncovered = line.line.open_quantity
    tx.put_line(replace(line, uncovered=uncovered, due=False))
    _tell(tx, ctx, line, uncovered, (), now)
    ctx.log.warning(
        "no stock level", channel=line.channel, order=line.order_name, sku=line.line.sku, next=advice
    )
    return set()


def _returns_to(ctx: Context, line: LineState) -> LevelKey | None:
    """The level that the line's returned goods go to, where the house has a location for returns."""
    location = ctx.assortment.returns_to(line.channel)
    try:
        return LevelKey(line.line.sku, location, line.line.unit) if location else None
    except BadKeyError:
        return None


def _sources(tx: Tx, ctx: Context, line: LineState) -> list[LevelKey]:
    """The levels the line may draw on, best first, as far as the org has them."""
    wish = line.line
    locations = (
        (wish.location,) if wish.location else ctx.assortment.sources(line.channel, line.channel_location)
    )
    try:
        keys = [
            LevelKey(wish.sku, location, wish.unit)
            for location in locations
            if location not in ctx.assortment.not_for_sale
        ]
    except BadKeyError:
        return []
    known = tx.levels(keys)
    found = [key for key in keys if key in known]
    sold = wish.open_quantity or wish.fulfilled_quantity
    if not found and not sold and (back := _returns_to(ctx, line)):
        return [back]  # goods come in that nobody of ours sold
    return found


def _holdings(
    tx: Tx, ctx: Context, line: LineState, sources: Collection[LevelKey]
) -> tuple[list[Holding], bool]:
    """What the line may claim: reservations it was sold on, then its channel's allocation. True = wait."""
    subjects = _reserved_subjects(tx, line)
    if tx.busy(subjects):
        return [], True
    found = [
        Holding(held.subject, held.level, held.reserved, tx.next_step(held.subject))
        for held in tx.holdings(subjects)
        if held.reserved > 0
    ]
    division = ctx.assortment.division(line.line.sku)
    if division is not None and line.channel in division.channels:
        picture = Picture(tx.facts([line.line.sku]))
        for level in sources:
            units = picture.allocated_levels(line.line.sku, line.channel, {level.location}).get(level, 0)
            subject = allocation_subject(line.channel, level)
            divided = division.scarce_at is None or line.line.sku in picture.divided
            found.append(Holding(subject, level, max(0, units), tx.next_step(subject), takes_back=divided))
    return found, False


def _reserved_subjects(tx: Tx, line: LineState) -> list[str]:
    subjects: list[str] = []
    for reservation_id in line.reservations:
        reservation = tx.reservation(reservation_id)
        if reservation is not None and reservation.channel in (None, line.channel):
            subjects.extend(
                subject
                for subject, part in zip(reservation.subjects(), reservation.lines, strict=True)
                if part.level.sku == line.line.sku and part.level.unit == line.line.unit
            )
    return subjects


def _tell(
    tx: Tx, ctx: Context, line: LineState, uncovered: int, sources: Collection[LevelKey], now: datetime
) -> None:
    """Raise, or end, the incident of an order that was accepted and cannot be covered."""
    if not uncovered:
        if tx.close_incident(OVERSOLD, line.subject, now):
            ctx.log.info(
                "order covered after all", channel=line.channel, order=line.order_name, sku=line.line.sku
            )
        return
    title = f"{uncovered} of {line.line.sku} sold at {line.channel} that no stock covers"
    if tx.open_incident(OVERSOLD, line.subject, title, _detail(tx, line, uncovered, sources, now), now):
        ctx.log.warning(
            "oversold", channel=line.channel, order=line.order_name, sku=line.line.sku, units=uncovered
        )


def _detail(
    tx: Tx, line: LineState, uncovered: int, sources: Collection[LevelKey], now: datetime
) -> Mapping[str, object]:
    """Who wants the units, who holds them, and how long they were on show after they had been sold."""
    holders = tx.holdings_at(sources)
    orders = tx.lines([held.subject for held in holders])
    first_sold = min((order.placed_at for order in orders.values()), default=line.placed_at)
    return {
        "sku": line.line.sku,
        "units": uncovered,
        "order": _order(line),
        "held_by": [
            part | (_order(orders[held.subject]) if held.subject in orders else {})
            for held, part in zip(holders, told(holders), strict=True)
        ],
        # Until we knew of it: the channel's own number had fallen by then, so this bounds the exposure.
        "exposure_unit_seconds": round(uncovered * max(0.0, (now - first_sold).total_seconds()), 3),
    }


def _order(line: LineState) -> dict[str, object]:
    return {"channel": line.channel, "name": line.order_name, "placed_at": line.placed_at.isoformat()}
