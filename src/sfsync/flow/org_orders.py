"""Orders that live in the org: a change wakes us, the order is read again, and it is an order like any other.

Nothing of an event is believed but the ids it names. One reading is at work at a time, and its effect is
stored before the next begins: so a reading is always newer than those before it, and its moment is its
version. What the stream lost is found by the poll, which reads every order changed since the last one. Orders
are only ever read: nobody here makes or changes one.

The line of a return order may come to name an order item, or another one than before. It is one return all
the same: who told of it before is read again, and the effect of both is one commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from sfsync.domain.believable import presentable
from sfsync.domain.coverage import OVERLAP, How, Interval
from sfsync.domain.letters import UNBELIEVED, written
from sfsync.domain.orders import OrderSnapshot
from sfsync.domain.org_orders import (
    ORG_CHANNEL,
    OrgOrder,
    OrgOrderRules,
    OrgReturnLine,
    Overdone,
    come_back,
    loose_return,
    overdone,
    snapshot,
    spoken,
)
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.sources import Source, Word
from sfsync.domain.values import replace
from sfsync.domain.words import counted
from sfsync.ports import LineState, OrgReading, OutsideError, TryLater, Tx

from .context import Context
from .orders import before_our_time, record_shared
from .org_words import later, put_word, stands_alone
from .shelf import refresh

MARK = "the org's returns under way"  # when they were read, under the name of no channel
SETTLED = timedelta(minutes=1)  # a change that was read so much later was read whole, whatever the clocks


class OrgOrders:
    """Reads the org's orders, and records what they want."""

    def __init__(self, ctx: Context, rules: OrgOrderRules, *, every_seconds: float) -> None:
        self._ctx, self._rules, self._every = ctx, rules, every_seconds
        self._turn = asyncio.Lock()
        self._made_up: dict[str, tuple[str, frozenset[str]]] = {}  # topic that is away -> why, what was found

    async def run(self) -> None:
        """Until cancelled: read what changed since the last poll, again and again."""
        ctx = self._ctx
        while True:
            try:
                await self.know_returns()
                await self.poll()
            except OutsideError as error:
                ctx.log.warning("the org's orders not read", reason=str(error), next="polled again")
            await ctx.clock.sleep(self._every)

    async def know_returns(self) -> None:
        """Once in a store's life: which returns were announced, and had not come, when we began.

        Goods that come of them are ours to enter. A line that says only later that they are there does not
        say whether it was before us: of what had come by then, and of its rest, somebody else knows.
        """
        ctx = self._ctx
        if await ctx.store.read(lambda tx: tx.poll_mark(MARK)) is not None:
            return
        async with self._turn:
            pages = aiter(ctx.org.returns_under_way())
            while True:
                read_at = ctx.clock.now()
                page = await anext(pages, None)
                if page is None:
                    break
                await ctx.store.write(partial(self._await_returns, lines=page.returns, read_at=read_at))
            await ctx.store.write(lambda tx: tx.put_poll_mark(MARK, ctx.clock.now()))

    def _await_returns(self, tx: Tx, *, lines: Sequence[OrgReturnLine], read_at: datetime) -> None:
        for line in lines:
            if not tx.lines_of_org_order(line.line_id):
                self._loose(tx, line, read_at, set())

    def _loose(self, tx: Tx, line: OrgReturnLine, read_at: datetime, bells: set[str]) -> set[str]:
        """Goods that come in of no order of ours. What had not come when we first read of it is ours, too."""
        shot = loose_return(line, self._rules, read_at)
        awaited = not line.deleted and come_back(line, self._rules) == 0
        now = self._ctx.clock.now()
        lines = tx.lines_of_org_order(line.line_id)
        return _one(tx, self._ctx, shot, lines, now, bells, line.line_id, ours=awaited)

    async def poll(self) -> int:
        """Record every order changed since the last poll; returns how many were read.

        While the stream that tells of orders is away, this is what is known of them, and is written down so.
        """
        ctx = self._ctx
        started = ctx.clock.now()
        mark = await ctx.store.read(lambda tx: tx.poll_mark(ORG_CHANNEL) or tx.channel_since(ORG_CHANNEL))
        since = (mark or started) - OVERLAP
        found = await self.changed_since(since)
        pulse = ctx.pulse
        away = {
            topic: pulse.stream_error.get(topic, "the stream has not begun")
            for topic in sorted(ctx.org.order_topics)
            if topic in pulse.stream_error or topic not in pulse.last_sign
        }
        made_up = {}
        for topic, why in away.items():
            before, so_far = self._made_up.get(topic, ("", frozenset()))
            made_up[topic] = why, found | (so_far if before == why else frozenset())

        def commit(tx: Tx) -> None:
            tx.put_poll_mark(ORG_CHANNEL, started)
            for topic, (why, orders) in made_up.items():
                begun = max(since, tx.last_watched(topic) or since)
                told = counted(len(orders), "order had changed", "orders had changed")
                goes_on = self._made_up.get(topic, ("",))[0] == why
                (tx.watch_on if goes_on else tx.watch)(Interval(topic, begun, started, How.POLLED, why, told))

        await ctx.store.write(commit)
        self._made_up = made_up
        return len(found)

    async def changed_since(self, at: datetime) -> frozenset[str]:
        """Read again every order changed since then; returns which, and loose lines that came back."""
        ctx, found = self._ctx, frozenset[str]()
        async with self._turn:
            pages = aiter(ctx.org.orders_changed_since(at))
            while True:
                read_at = ctx.clock.now()
                page = await anext(pages, None)
                if page is None:
                    return found
                found |= {order.order_id for order in page.orders} | {line.line_id for line in page.returns}
                await self._record(await self._with_former(page), read_at, lambda _tx: set())

    async def named(
        self, orders: Collection[str], items: Collection[str], also: Callable[[Tx], set[str]]
    ) -> None:
        """Read the orders that events named, until the org answers; `also` joins the commit of the effect."""
        ctx, attempt = self._ctx, 0
        async with self._turn:
            while True:
                read_at = ctx.clock.now()
                try:
                    read = await self._with_former(await ctx.org.read_orders(orders=orders, items=items))
                except OutsideError as error:
                    attempt += 1
                    asked = error.after_seconds if isinstance(error, TryLater) else None
                    await ctx.clock.sleep(backoff_seconds(attempt, ctx.luck(), asked_seconds=asked))
                else:
                    break
            await self._record(read, read_at, also)

    async def _with_former(self, read: OrgReading) -> OrgReading:
        """The reading together with the orders that told of its return lines before, as they are now."""
        ctx, asked = self._ctx, frozenset[str]()
        while lines := _returns(read):
            before = await ctx.store.read(partial(_told_by, lines=lines))
            former = {order for line, order in before.items() if order not in (line, lines[line])}
            former -= {order.order_id for order in read.orders} | read.gone | asked
            if not former:
                break
            more = await ctx.org.read_orders(orders=former, items=())
            asked |= former
            read = OrgReading([*read.orders, *more.orders], read.returns, read.gone | more.gone)
        named = {line.line_id for order in read.orders for line in order.returns}
        return replace(read, returns=[line for line in read.returns if line.line_id not in named])

    async def _record(self, read: OrgReading, read_at: datetime, also: Callable[[Tx], set[str]]) -> None:
        ctx = self._ctx

        def commit(tx: Tx) -> set[str]:
            now = ctx.clock.now()
            bells: set[str] = {"orders"}
            skus: set[str] = set()
            lines = _returns(read)
            before = tx.orders_of_returns(lines)
            told = _told_elsewhere(tx, read, before)
            others = {line: order for line, order in lines.items() if before.get(line) != order}
            tx.put_returns({line: order for line, order in others.items() if line not in told})
            for order in read.orders:
                known = tx.lines_of_org_order(order.order_id)
                shot = spoken(snapshot(order, self._rules, read_at), order, _heard(known))
                moved = _moved(tx, ctx, known, shot.channel, read_at)
                skus |= moved
                still = tx.lines_of_org_order(order.order_id) if moved else known
                if (shot.lines or known) and not _as_before(order, shot, known):
                    skus |= _one(tx, ctx, shot, still, now, bells, order.order_id)
                skus |= _named(tx, ctx, order, read_at)
                none = not still and not tx.lines_of_org_order(order.order_id)
                if none and before_our_time(tx, ctx, shot, Source.ORG):
                    # The order was somebody else's to enter; what comes back of it now is not.
                    skipped = {each.item_id for each in order.items if not self._rules.goods(each)}
                    for back in (each for each in order.returns if each.item_id not in skipped):
                        skus |= self._loose(tx, back, read_at, bells)
                _tell_overdone(tx, ctx, order, shot, overdone(order, self._rules), now)
            for line in (each for each in read.returns if each.line_id not in told):
                if (former := before.get(line.line_id)) in read.gone:
                    units = come_back(line, self._rules)
                    skus |= stands_alone(tx, ctx, tx.lines_of_org_order(former), line, units, read_at)
                skus |= self._loose(tx, line, read_at, bells)
            for order_id in read.gone:
                skus |= _gone(tx, ctx, tx.lines_of_org_order(order_id), read_at, forget=False)
            return bells | also(tx) | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

        ctx.bell.ring(*await ctx.store.write(commit))


def _one(
    tx: Tx,
    ctx: Context,
    shot: OrderSnapshot,
    lines: Sequence[LineState],
    now: datetime,
    bells: set[str],
    org_order: str,
    *,
    ours: bool = False,
) -> set[str]:
    """Record what the org tells of an order, of which these lines are known."""
    shot = replace(shot, version=later(shot.version, lines))
    return record_shared(tx, ctx, shot, Source.ORG, now, bells, org_order=org_order, ours=ours)


def _as_before(order: OrgOrder, shot: OrderSnapshot, known: Sequence[LineState]) -> bool:
    """True when the order is kept as it stands, as is most of what a poll reads."""
    versions = [line.words[Source.ORG].version for line in known if Source.ORG in line.words]
    if not versions or order.changed_at is None or min(versions) <= order.changed_at + SETTLED:
        return False  # not read since somebody saved it, by whichever clock
    heard = {
        word.line.line_id: (line.channel, word.line)
        for line in known
        if (word := line.words.get(Source.ORG)) is not None
    }
    told = {line.line_id: (shot.channel, line) for line in presentable(shot).lines}
    gone = (line for line_id, (_, line) in heard.items() if line_id not in told)
    return told.items() <= heard.items() and not any(line.open_quantity for line in gone)


def _returns(read: OrgReading) -> dict[str, str]:
    """By return line: the order that tells of it, or its own id where none does."""
    named = {line.line_id: order.order_id for order in read.orders for line in order.returns}
    return {line.line_id: line.line_id for line in read.returns} | named


def _told_by(tx: Tx, lines: Collection[str]) -> Mapping[str, str]:
    return tx.orders_of_returns(lines)


def _named(tx: Tx, ctx: Context, order: OrgOrder, read_at: datetime) -> set[str]:
    """Goods that had come back of no order are this order's: what they were entered as ends.

    Where the order is none of ours, from before our time, they stay what they were entered as.
    """
    loose = [line for each in order.returns for line in tx.lines_of_org_order(each.line_id)]
    if not loose or not tx.lines_of_org_order(order.order_id):
        return set()
    return _gone(tx, ctx, loose, read_at, forget=True)


def _told_elsewhere(tx: Tx, read: OrgReading, before: Mapping[str, str]) -> set[str]:
    """Returns of erased orders that a storefront tells of, too: it tells what comes back of them.

    It may have been heard of since the reading began, which then did not ask for the order.
    """
    there = {order.order_id for order in read.orders}
    return {
        line.line_id
        for line in read.returns
        if (former := before.get(line.line_id)) is not None
        and former not in {line.line_id, *there}
        and any(Source.CHANNEL in state.words for state in tx.lines_of_org_order(former))
    }


def _tell_overdone(
    tx: Tx, ctx: Context, order: OrgOrder, shot: OrderSnapshot, found: Sequence[Overdone], now: datetime
) -> None:
    """A letter for each item of which too many are said to have come back; it ends when that is corrected."""
    told = {each.item_id: each for each in found}
    for item_id in {each.item_id for each in order.returns}:
        letter = shot.channel, f"{UNBELIEVED}{Source.ORG.value}:return of {item_id}"
        if (over := told.get(item_id)) is None:
            tx.drop_dead_letter(*letter)
            continue
        reason = (
            f"order {shot.name}: {over.received} of {over.sku!r} are said to have come back, and "
            f"{over.most} were sold (return {over.number}); {over.most} are entered"
        )
        advice = f"correct the quantity received of return {over.number} in the org; it is then read again"
        tx.dead_letter(*letter, reason, advice, written(over), now)
        ctx.log.warning("more returned than sold", order=shot.name, reason=reason, next=advice)


def _heard(lines: Sequence[LineState]) -> set[str]:
    """The ids of the lines that the org has told of, in its own words."""
    return {line.words[Source.ORG].line.line_id for line in lines if Source.ORG in line.words}


def _moved(tx: Tx, ctx: Context, known: Sequence[LineState], channel: str, read_at: datetime) -> set[str]:
    """The order has been given to another channel: under the old one the org wants nothing of it any more."""
    return _gone(tx, ctx, [line for line in known if line.channel != channel], read_at, forget=True)


def _gone(tx: Tx, ctx: Context, lines: Sequence[LineState], read_at: datetime, *, forget: bool) -> set[str]:
    """The org tells of these lines no more. `forget`: what it told of deliveries belongs elsewhere, too."""
    touched: set[str] = set()
    for line in lines:
        heard = dict(line.words)
        if Source.ORG not in heard:
            continue
        word = heard[Source.ORG].line
        word = replace(word, open_quantity=0)
        if forget:
            word = replace(word, fulfilled_quantity=0, returned_quantity=0)
        said = Word(later(read_at, [line]), word)
        kept = None if forget and Source.CHANNEL in heard else said
        touched |= put_word(tx, ctx, line, kept, None if forget else line.org_order)
    return touched
