"""A storefront's order becomes the next step of each of its lines.

A webhook is stored before it is answered, then read here. The newest snapshot of an order counts; each line
is a subject of its own, decided by `domain.orders` from what the ledger holds for it. In the commit that
records a sale, the channel's published number falls by what the channel has itself taken off (correctness E),
so that the same unit is not taken off twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain.believable import doubt as why_doubted
from sfsync.domain.believable import presentable
from sfsync.domain.clocks import UNKNOWN
from sfsync.domain.letters import CAME_BACK, OLD_RETURN, OTHER_SKU, UNBELIEVED, VERDICTS, Cause, written
from sfsync.domain.orders import MoneyBack, OrderLine, OrderSnapshot, contradicts
from sfsync.domain.places import LinePlace, settled
from sfsync.domain.refunds import Ending, paid_back
from sfsync.domain.reservations import order_names
from sfsync.domain.sources import Source, Word, deciding, pair, wanted
from sfsync.domain.stock import order_line_subject
from sfsync.domain.unheard import What
from sfsync.domain.values import replace
from sfsync.ports import Channel, Delivery, InboxItem, LineState, OrderTimes, OutsideError, Refused, Tx

from . import their_clocks
from .context import Context, reading_bell, unread
from .deciding import Books, decide
from .org_words import told_by_storefront
from .shelf import refresh
from .sku_mappings import as_mapped
from .taken import CLOCK_GRAIN, taken

BATCH = 200
SWEEP_SECONDS = 15.0
Read = OrderSnapshot | str | Refused | None  # an order, a call to read one, bad, or none of ours
TOPICS_TOLD, TOPIC_TOLD = 100, 100  # how many topics are told, and how much of each
SETTLED = timedelta(minutes=1)  # a change that was read so much later was read whole, whatever the clocks
FEW = 5  # changed orders that are read one by one rather than with all that have changed lately
LINES = 1_000  # so many that lines waiting for a reservation hold up no others


class Orders:
    """Reads the inbox and decides lines."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._unread: set[tuple[str, str]] = set()  # topics that nobody reads, as far as they were told

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            rung = await self._ctx.bell.wait("orders", SWEEP_SECONDS)
            while await self.work(rung=rung):
                pass

    async def work(self, *, rung: bool = False) -> bool:
        """One transaction's worth; True when there may be more. `rung`: there is surely something."""
        ctx = self._ctx
        if not rung and not await ctx.store.read(_anything):
            return False  # a look that finds nothing costs the others no turn to write
        try:
            came, moved, bells = await ctx.store.write(self._step)
        except Exception:
            items = await ctx.store.read(lambda tx: tx.inbox(BATCH))
            if not items:
                raise
            # What one item breaks, no other item suffers from (promise 10), and deciding is not to blame.
            ctx.log.exception("a webhook broke its transaction", items=len(items), next="one at a time")
            for item in items:
                await self._take_alone(item)
            came, moved, bells = await ctx.store.write(partial(self._step, takes=False))
            came = len(items)
        ctx.bell.ring(*bells)
        return came == BATCH or moved >= BATCH

    def _step(self, tx: Tx, *, takes: bool = True) -> tuple[int, int, set[str]]:
        """Record what came in, and take the next step of each line that is due, in one commit.

        Returns how much came in, how many lines moved, and the bells to ring.
        """
        ctx = self._ctx
        bells: set[str] = set()
        items = tx.inbox(BATCH) if takes else ()
        skus = self._take(tx, items, bells)
        moved, touched, books = self._decide(tx, bells, skus)
        known = books.whole_picture if books is not None else None
        bells |= refresh(tx, ctx.assortment, ctx.pulse, skus | touched, ctx.clock.now(), known=known)
        return len(items), moved, bells

    def _take(self, tx: Tx, items: Sequence[InboxItem], bells: set[str]) -> set[str]:
        """Record what came in; returns the SKUs touched."""
        ctx, now = self._ctx, self._ctx.clock.now()
        skus: set[str] = set()
        for item in items:
            outcome = self._read(item)
            if isinstance(outcome, Refused):
                self._set_aside(tx, item, str(outcome), outcome.advice)
            elif isinstance(outcome, str):
                call(tx, item.source, outcome, now, bells)
            elif outcome is not None:
                skus |= record(tx, ctx, outcome, now, bells)
                call_for_places(tx, ctx, outcome, now, bells)
            tx.finish_inbox(item.id, now)
        return skus

    async def _take_alone(self, item: InboxItem) -> None:
        ctx = self._ctx

        def take(tx: Tx) -> set[str]:
            bells: set[str] = set()
            skus = self._take(tx, [item], bells)
            return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now())

        try:
            ctx.bell.ring(*await ctx.store.write(take))
        except Exception as broken:
            reason = f"it cannot be stored: {type(broken).__name__}"

            def give_up(tx: Tx) -> None:
                self._set_aside(tx, item, reason, "look at its content")
                tx.finish_inbox(item.id, ctx.clock.now())

            await ctx.store.write(give_up)

    def _set_aside(self, tx: Tx, item: InboxItem, reason: str, advice: str) -> None:
        payload = item.body.decode(errors="replace").replace("\0", " ")
        tx.dead_letter(item.source, item.key, reason, advice, payload, self._ctx.clock.now())
        self._ctx.log.warning("webhook set aside", channel=item.source, topic=item.topic, reason=reason)

    def _decide(self, tx: Tx, bells: set[str], also: Collection[str]) -> tuple[int, set[str], Books | None]:
        """Take the next step of each line that is due.

        Returns how many moved, the SKUs touched, and the books by which it was decided, which have the facts
        of the SKUs `also`, too.
        """
        ctx, now = self._ctx, self._ctx.clock.now()
        if not (due := tx.due_lines(LINES)) or unread(tx):
            return 0, set(), None  # a level that seems missing may only not be here yet
        books = Books(tx, ctx, due, also)
        skus: set[str] = set()
        moved = 0
        for line in due:
            rung = decide(tx, ctx, books, line, now)
            if rung is not None:
                bells |= rung
                moved += 1
                skus.add(line.line.sku)
        return moved, skus | books.mapped, books

    def _read(self, item: InboxItem) -> Read:
        channel = self._ctx.channels.get(item.source)
        if channel is None:
            return Refused(f"the configuration has no channel {item.source!r} any more")
        try:
            delivery = Delivery(item.topic, item.key, item.body)
            found = channel.read_order(delivery) or channel.order_called(delivery)
        except Refused as error:
            return error
        if found is None:
            self._tell_unread(item)
        return found

    def _tell_unread(self, item: InboxItem) -> None:
        """Once for each topic: a shop that sends what nobody reads is set up wrongly, and nothing is lost."""
        about = item.source, item.topic[:TOPIC_TOLD]
        if about not in self._unread and len(self._unread) < TOPICS_TOLD:
            self._unread.add(about)
            self._ctx.log.info(
                "a topic that nobody reads", channel=item.source, topic=about[1], next="told once"
            )


def _anything(tx: Tx) -> bool:
    if tx.inbox(1):
        return True
    return not unread(tx) and bool(tx.due_lines(1))


class OrderPoll:
    """Reads each channel's own order list: what webhooks lost, and what was sold while we were away."""

    def __init__(self, ctx: Context, *, every_seconds: float) -> None:
        self._ctx, self._every = ctx, every_seconds
        # What was stored of each channel's orders that changed lately, and when it was asked for.
        self._stored: dict[str, dict[str, tuple[datetime, datetime]]] = {name: {} for name in ctx.channels}
        # From asking to storing: of two readings of one order, the one stored last must be the newer one.
        self.reading = {name: asyncio.Lock() for name in ctx.channels}

    async def run(self, channel: str, then: Callable[[str], Awaitable[object]]) -> None:
        """Until cancelled; `then` is done after each reading."""
        while True:
            try:
                await self.poll(channel)
                await then(channel)
            except OutsideError as error:
                self._ctx.log.warning("order list not read", channel=channel, reason=str(error))
            await self._ctx.clock.sleep(self._every)

    async def poll(self, channel: str) -> int:
        """Record every order changed since the last poll; returns how many were read.

        A channel that does not tell them is noted until it does: its sales are unheard of.
        """
        ctx = self._ctx
        try:
            count = await self._read(channel)
        except OutsideError as error:
            last = await ctx.store.read(lambda tx: tx.poll_mark(channel) or tx.channel_since(channel))
            now = ctx.clock.now()
            ctx.pulse.not_told(channel, What.ORDERS, error, since=last or now, now=now)
            raise
        ctx.pulse.unheard.pop((channel, What.ORDERS), None)
        return count

    async def _read(self, channel: str) -> int:
        """All that has changed.

        The list goes back further than that, and most of what it names then is known. Where the channel tells
        for little which orders have changed, those that are known are not read again.
        """
        ctx, shop = self._ctx, self._ctx.channels[channel]
        started = ctx.clock.now()
        mark = await ctx.store.read(lambda tx: tx.poll_mark(channel) or tx.channel_since(channel))
        # The list goes by the channel's clock: one that is behind would tell of nothing that is newer.
        behind = min(timedelta(0), their_clocks.of(shop).least)
        since = (mark or started) - ctx.assortment.orders_lag(channel) + behind
        few = await self._few(shop, since)
        count = 0
        pages = shop.orders_since(since) if few is None else _one_by_one(shop, few)
        while True:
            async with self.reading[channel]:
                asked_at = ctx.clock.now()
                page = await anext(pages, None)
                if page is None:
                    break
                count += len(page)
                ctx.bell.ring(*await ctx.store.write(partial(self._keep, page=page, asked_at=asked_at)))
                stored = {order.order_id: (order.version, asked_at) for order in page}
                self._stored[channel].update(stored)
        await ctx.store.write(lambda tx: tx.put_poll_mark(channel, started))
        return count

    def _keep(self, tx: Tx, *, page: Sequence[OrderSnapshot], asked_at: datetime) -> set[str]:
        ctx, now = self._ctx, self._ctx.clock.now()
        skus: set[str] = set()
        bells: set[str] = set()
        for snapshot in page:
            skus |= record(tx, ctx, replace(snapshot, read_at=asked_at), now, bells)
            call_for_places(tx, ctx, snapshot, now, bells)
        if skus:
            bells.add("orders")
        return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    async def _few(self, shop: Channel, since: datetime) -> list[str] | None:
        """The orders that are not known as they stand now, where they are few; None: all are to be read.

        Where units may go from one location to another, no order tells of it by its time.
        """
        if shop.ability.routes or not isinstance(shop, OrderTimes) or not self._stored[shop.name]:
            return None
        before, listed = self._stored[shop.name], set[str]()
        fresh: list[str] = []
        async for page in shop.order_times(since):
            for order_id, changed_at in page:
                listed.add(order_id)
                version, asked_at = before.get(order_id, (None, since))
                same = version is not None and version.replace(microsecond=0) == changed_at
                if not same or asked_at < changed_at + SETTLED:
                    fresh.append(order_id)
                if len(fresh) > FEW:
                    return None
        self._stored[shop.name] = {order: told for order, told in before.items() if order in listed}
        return fresh


async def _one_by_one(shop: Channel, orders: Sequence[str]) -> AsyncIterator[Sequence[OrderSnapshot]]:
    for order_id in orders:
        if (order := await shop.order(order_id)) is not None:
            yield [order]


def record(tx: Tx, ctx: Context, snapshot: OrderSnapshot, now: datetime, bells: set[str]) -> set[str]:
    """Store what a channel's snapshot wants, unless a newer one is known. Returns the SKUs it touched.

    Adds to `bells`: they must not ring before the commit, or whoever hears them finds nothing.
    """
    snapshot = presentable(snapshot)
    if not _believed(tx, ctx, snapshot, Source.CHANNEL, now):
        return set()
    _end_refunds(tx, ctx, snapshot, now)
    if snapshot.channel in ctx.assortment.shared:
        return record_shared(tx, ctx, snapshot, Source.CHANNEL, now, bells)
    if before_our_time(tx, ctx, snapshot):
        _tell_return(tx, ctx, snapshot, now, ours=False)
        return set()
    _tell_return(tx, ctx, snapshot, now, ours=True)
    subjects = {
        order_line_subject(snapshot.channel, snapshot.order_id, line.line_id): line for line in snapshot.lines
    }
    held = tx.lines(subjects)
    snapshot = with_reservations(tx, snapshot)
    touched: set[str] = set()
    for subject, said in subjects.items():
        before = held.get(subject)
        if before is not None and snapshot.version < before.version:
            continue
        line = as_mapped(_placed(ctx, snapshot, said, before.line if before else None), before)
        if (
            before is not None
            and contradicts(snapshot, line, before.version, before.line)
            and _asked(tx, ctx, snapshot, now, bells)
        ):
            continue
        # The newest counts even when it changed nothing: a late old one must not reopen a cancelled line.
        if before is not None and line == before.line:
            same = replace(
                before,
                line=line,
                version=snapshot.version,
                reservations=snapshot.reservations or before.reservations,
                routed_at=_routed_at(snapshot, line, before),
            )
            if taken(tx, ctx, same, before, now):
                bells.add("learn")
            if snapshot.version > before.version or line.places:
                tx.put_line(same)
            continue
        state = _state(ctx, snapshot, subject, line, before)
        _tell_sent_otherwise(tx, ctx, state, before, now)
        if taken(tx, ctx, state, before, now):
            bells.add("learn")
        tx.put_line(state)
        touched.add(line.sku)
    if touched:
        _log_recorded(ctx, snapshot)
    return touched


def _believed(tx: Tx, ctx: Context, order: OrderSnapshot, source: Source, now: datetime) -> bool:
    """False for an order that cannot be true: set aside whole, for a person, and nothing of it is entered."""
    aside = ctx.pulse.set_aside
    if aside is None:  # since a start: what the store has of them
        aside = {(each.source, each.key) for each in tx.dead_letters([Cause.UNBELIEVED])}
        ctx.pulse.set_aside = aside
    letter = order.channel, f"{UNBELIEVED}{source.value}:{order.order_id}"
    doubt = why_doubted(order, ctx.assortment.most_units(order.channel))
    if doubt is None:
        if letter in aside and tx.drop_dead_letter(*letter):  # kept in mind: this commit may yet fail
            ctx.log.info("order believed now", channel=order.channel, order=order.name)
        return True
    aside.add(letter)
    tx.dead_letter(*letter, doubt.reason, doubt.advice, written(order), now)
    ctx.log.warning(
        "order set aside", channel=order.channel, order=order.name, reason=doubt.reason, next=doubt.advice
    )
    return False


def _end_refunds(tx: Tx, ctx: Context, snapshot: OrderSnapshot, now: datetime) -> None:
    """What the channel says it has paid back is owed no more."""
    if snapshot.money_back is MoneyBack.NONE or not tx.owes_refunds(snapshot.channel):
        return
    references = {snapshot.order_id, *order_names(snapshot.name)}
    for task in paid_back(tx.refunds_of_order(snapshot.channel, references), snapshot):
        said = f"{snapshot.channel} says so of order {snapshot.name}"
        done = replace(task, closed_at=now, closed_by=snapshot.channel, ending=Ending.REFUNDED, said=said)
        tx.close_refund(done)
        ctx.log.info("refund closed", refund=task.id, ending=Ending.REFUNDED.value, by=snapshot.channel)


def record_shared(
    tx: Tx,
    ctx: Context,
    snapshot: OrderSnapshot,
    source: Source,
    now: datetime,
    bells: set[str],
    *,
    org_order: str | None = None,
    ours: bool = False,
) -> set[str]:
    """Store what one of two sources tells of an order; what both together want is worked out anew.

    A snapshot from the org is whole: what it no longer names is no longer wanted. `ours`: also where it was
    placed before our time. Returns the SKUs touched.
    """
    if source is Source.ORG:
        snapshot = presentable(snapshot)
        if not _believed(tx, ctx, snapshot, source, now):
            return set()
    authority = ctx.assortment.shared[snapshot.channel].authority
    references = {snapshot.order_id, *order_names(snapshot.name)}
    held = {line.subject: line for line in tx.lines_of_order(snapshot.channel, references)}
    old = not held and not ours and before_our_time(tx, ctx, snapshot, source)
    # What the org tells of returns is entered whatever order it names; else the storefront alone tells.
    if source is Source.CHANNEL and ctx.assortment.returns_to(snapshot.channel) is None:
        _tell_return(tx, ctx, snapshot, now, ours=not old)
    if old:
        return set()
    unheard = [line for line in held.values() if Source.CHANNEL not in line.words]
    back: set[str] = set()
    if source is Source.CHANNEL and unheard and (back := told_by_storefront(tx, ctx, unheard, now)):
        held = {line.subject: line for line in tx.lines_of_order(snapshot.channel, references)}
    whole = False  # the snapshot has its reservations: looked up for the first line of it that changes
    words = {subject: dict(line.words) for subject, line in held.items()}
    named = pair(words, snapshot.lines, source)
    for subject, said in zip(named, snapshot.lines, strict=True):
        key = subject or order_line_subject(snapshot.channel, snapshot.order_id, said.line_id)
        known = words.setdefault(key, {}).get(source)
        if known is None or snapshot.version >= known.version:
            own = source is Source.CHANNEL
            line = _placed(ctx, snapshot, said, known.line if known else None) if own else said
            if (
                own
                and known is not None
                and contradicts(snapshot, line, known.version, known.line)
                and _asked(tx, ctx, snapshot, now, bells)
            ):
                continue
            words[key][source] = Word(snapshot.version, line)
    if source is Source.ORG:
        told = {line.line_id for line in snapshot.lines}
        for subject, known_line in held.items():
            heard = words[subject].get(source)
            if heard and known_line.org_order == org_order and heard.line.line_id not in told:
                words[subject][source] = Word(snapshot.version, replace(heard.line, open_quantity=0))
    touched = back
    for subject, line in wanted(words, authority).items():
        before, both = held.get(subject), words[subject]
        line = as_mapped(line, before)
        spoken = before is None or before.told != both or line.routed != before.line.routed
        if before is not None and line == before.line and not spoken:
            continue
        if not whole:
            snapshot, whole = with_reservations(tx, snapshot), True
        state = replace(
            _state(ctx, snapshot, subject, line, before),
            version=deciding(both, authority).version,
            told=both,
            org_order=(org_order if spoken else None) or (before.org_order if before else None),
        )
        _tell_sent_otherwise(tx, ctx, state, before, now)
        if before is not None and source is Source.ORG:  # the storefront's own words for its order stay
            state = replace(state, order_id=before.order_id, order_name=before.order_name)
        if before is not None and line == before.line:
            if source is Source.CHANNEL and taken(tx, ctx, state, before, now):
                bells.add("learn")
            tx.put_line(replace(state, due=before.due, uncovered=before.uncovered))
            continue
        if source is Source.CHANNEL and taken(tx, ctx, state, before, now):
            bells.add("learn")
        tx.put_line(state)
        touched.add(line.sku)
    if touched:
        _log_recorded(ctx, snapshot)
    return touched


def _tell_return(tx: Tx, ctx: Context, order: OrderSnapshot, now: datetime, *, ours: bool) -> None:
    """What has come back and is not entered by itself is a person's to enter; told once.

    Of an order from before us, what its sale was entered as is not known here, nor what the channel's own
    number has made of the return. Of one of ours (`ours`), the channel tells that goods are back, and not
    that they may be sold again.
    """
    if not any(line.came_back for line in order.lines):
        return
    since = tx.channel_since(order.channel)
    back: dict[str, tuple[str, int]] = {}
    for line in order.lines if since is not None else ():
        units = sum(each.units for each in line.came_back if ours or (since and each.at >= since))
        if (units := units - line.returned_quantity if ours else units) > 0:
            back[line.line_id] = line.sku, units
    names = {f"{order.channel}|{order.order_id}|{line}|{units}": line for line, (_, units) in back.items()}
    known = tx.orders_of_returns(names) if names else {}
    new = {name: line for name, line in names.items() if name not in known}
    if not new:
        return
    tx.put_returns(dict.fromkeys(new, order.order_id))
    goods = ", ".join(f"{units} of {sku!r}" for sku, units in back.values())
    start, cause = (CAME_BACK, Cause.CAME_BACK) if ours else (OLD_RETURN, Cause.OLD_RETURN)
    reason = f"order {order.name}: {goods} came back"
    if not ours:
        reason += f" of an order from before {order.channel} was followed"
    advice = VERDICTS[cause].advice
    tx.dead_letter(order.channel, f"{start}{order.order_id}", reason, advice, written(order), now)
    ctx.log.warning("a return to be entered", channel=order.channel, order=order.name, next=advice)


def _tell_sent_otherwise(
    tx: Tx, ctx: Context, line: LineState, before: LineState | None, now: datetime
) -> None:
    """Goods left for the line under another SKU than it names now: a person's to look at; told once."""
    if before is None or before.line.sku == line.line.sku:
        return
    gone: dict[str, int] = defaultdict(int)
    for row in tx.rows_of([line.subject])[line.subject]:
        gone[row.level.sku] -= row.on_hand_delta
    goods = ", ".join(
        f"{gone[sku]} of {sku!r}" for sku in sorted(gone) if gone[sku] > 0 and sku != line.line.sku
    )
    if not goods:
        return
    advice = VERDICTS[Cause.OTHER_SKU].advice
    reason = f"order {line.order_name}: {goods} left for a line that now names {line.line.sku!r}"
    tx.dead_letter(line.channel, f"{OTHER_SKU}{line.subject}", reason, advice, written(line.line), now)
    ctx.log.warning(
        "sent under another SKU", channel=line.channel, order=line.order_name, reason=reason, next=advice
    )


def before_our_time(tx: Tx, ctx: Context, snapshot: OrderSnapshot, source: Source = Source.CHANNEL) -> bool:
    """True for an order placed before we knew of its channel: it was somebody else's to enter.

    It is dated by the clock of who tells of it. While that has told us no time yet, nobody can say it of the
    orders of our first moments: the order list, which will have told it, names them again.
    """
    lines = (order_line_subject(snapshot.channel, snapshot.order_id, line.line_id) for line in snapshot.lines)
    since = tx.channel_since(snapshot.channel)
    told = their_clocks.told(ctx, snapshot.channel, source)
    # Until it is known, no order counts as ours that may be older than we are.
    known = told.latest if told is not None else UNKNOWN.earliest
    if since is not None and known(snapshot.placed_at) >= since - CLOCK_GRAIN:
        return False
    if any(tx.next_step(subject) for subject in lines):
        return False  # the org's ledger says that it is ours
    ctx.log.debug("order from before our time", channel=snapshot.channel, order=snapshot.name)
    return True


def with_reservations(tx: Tx, snapshot: OrderSnapshot) -> OrderSnapshot:
    """The snapshot with the reservations that it names, and those that were confirmed for it beside them.

    What stands in for its cart, or was had for it at another place, its shopper's checkout does not know.
    """
    references = {snapshot.order_id, *order_names(snapshot.name)}
    named = snapshot.reservations
    confirmed = [each for each in tx.confirmed_for(snapshot.channel, references) if each not in named]
    return replace(snapshot, reservations=(*named, *confirmed)) if confirmed else snapshot


def _log_recorded(ctx: Context, snapshot: OrderSnapshot) -> None:
    ctx.log.info(
        "order recorded",
        channel=snapshot.channel,
        order=snapshot.name,
        lines=len(snapshot.lines),
        next="to the org",
    )


def call(tx: Tx, channel: str, reference: str, now: datetime, bells: set[str]) -> None:
    """Have an order read at its channel; adds the bell to ring."""
    tx.call_order(channel, reference, now)
    bells.add(reading_bell(channel))


def _asked(tx: Tx, ctx: Context, snapshot: OrderSnapshot, now: datetime, bells: set[str]) -> bool:
    """Have an order read where it was told two ways; False where its channel tells no orders."""
    channel = ctx.channels.get(snapshot.channel)
    if channel is None or not channel.ability.tells_orders:
        return False
    call(tx, snapshot.channel, snapshot.order_id, now, bells)
    return True


def call_for_places(tx: Tx, ctx: Context, snapshot: OrderSnapshot, now: datetime, bells: set[str]) -> None:
    """Have the order read whose channel has not said yet where its open units stand."""
    if without_places(ctx, snapshot) and not before_our_time(tx, ctx, snapshot):
        call(tx, snapshot.channel, snapshot.order_id, now, bells)


def without_places(ctx: Context, snapshot: OrderSnapshot) -> bool:
    """True when the channel assigns locations, and the snapshot does not tell them for all open units."""
    channel = ctx.channels.get(snapshot.channel)
    routes = channel is not None and channel.ability.routes
    return routes and any(line.open_quantity and not line.routed for line in snapshot.lines)


def _placed(ctx: Context, snapshot: OrderSnapshot, line: OrderLine, before: OrderLine | None) -> OrderLine:
    """The line with all its units at the channel's locations, where the channel has several."""
    channel = ctx.channels.get(snapshot.channel)
    if channel is None or not channel.ability.routes:
        return line
    total = LinePlace(
        "", line.open_quantity, line.fulfilled_quantity, line.returned_quantity, line.taken_quantity
    )
    first = snapshot.channel_location or ctx.assortment.first_location(snapshot.channel)
    known = before.places if before else ()
    return replace(line, places=settled(line.places, total, known, first, routed=line.routed))


def _routed_at(snapshot: OrderSnapshot, line: OrderLine, before: LineState | None) -> datetime | None:
    if line.routed and snapshot.read_at is not None:
        return snapshot.read_at
    return before.routed_at if before else None


def _state(
    ctx: Context, snapshot: OrderSnapshot, subject: str, line: OrderLine, before: LineState | None
) -> LineState:
    moved = before is not None and line.places != before.line.places
    other = before is not None and line.sku != before.line.sku
    wants_more = before is None or line.open_quantity > before.line.open_quantity or moved or other
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
        routed_at=_routed_at(snapshot, line, before),
        misplaced=before.misplaced if before else 0,
        aside=before.aside if before else 0,
        aside_at=before.aside_at if before else None,
        client=snapshot.client or (before.client if before else ""),
    )
