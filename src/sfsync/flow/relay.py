"""What a channel shows is brought to what it should: batched, latest wins, bad news first.

The change is sent, not the number, so that a sale we have not heard of survives it (promise 11). A channel
that takes numbers and compares is sent each with the one we believe in; where one takes numbers only, what it
has confirmed is a new baseline, as if the number had been read. A push is
written down with its key and bytes before it leaves; an unknown outcome is asked again with exactly those
before anything else is said about its rows. One bad row is found and set aside; the rest go (promise 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter

from sfsync.domain import allocation
from sfsync.domain.assortment import PLENTY
from sfsync.domain.incidents import PUSH_LOST
from sfsync.domain.relay import IN_DOUBT, AfterUnknown, after_unknown
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.values import replace
from sfsync.domain.words import counted
from sfsync.ports import (
    Channel,
    ChannelLevel,
    LaterOutcome,
    OutsideError,
    PushAnswer,
    PushRecord,
    PushRow,
    Refused,
    TryLater,
    Tx,
    Unknown,
    Write,
)

from . import allocations
from .careful import Careful
from .context import Context, relay_bell
from .orders import OrderPoll
from .picture import Picture
from .shelf import refresh, with_numbers

LONGEST_PUT_OFF_SECONDS = 15.0  # between tries at a channel that takes nothing for now


class Relay:
    """One channel's relay: one push being sent; those that the channel does later, beside it."""

    def __init__(self, ctx: Context, channel: Channel, polls: OrderPoll) -> None:
        self._ctx, self._channel = ctx, channel
        self._limit = channel.ability.batch_rows
        self._draining = False
        self._put_off = 0  # pushes in a row that the channel did not take for now
        weak = channel.ability.weak and channel.ability.tells_orders
        self._careful = Careful(ctx, channel, polls) if weak else None
        self._later: dict[int, tuple[PushRecord, datetime]] = {}  # pushes to be done later, and when to ask
        self._told: set[int] = set()  # of these, those that have been told as overdue
        self._idle = False  # nothing was due at the last look: what has come since then rings
        self._rung = False  # what is due is surely to be written down, so it is not looked for first

    @property
    def name(self) -> str:
        """The channel it serves."""
        return self._channel.name

    async def run(self) -> None:
        """Until drained. Pushes left open by the last run are resolved first."""
        record: PushRecord | None = None
        for left in await self._ctx.store.read(lambda tx: tx.open_pushes(self._channel.name)):
            if left.ticket:
                self._later[left.id] = left, self._ctx.clock.now()
                continue
            record = await self._deliver(left, maybe_sent=True)
            while record is not None:  # what it left room for is written down already, and must leave too
                record = await self._deliver(record, maybe_sent=False)
        while not self._draining:
            record = record or await self._ask() or await self._next()
            if record is None:
                bell = relay_bell(self._channel.name)
                self._rung = await self._ctx.bell.wait(bell, self._patience_seconds())
                self._idle = False
            else:
                record = await self._deliver(record, maybe_sent=False)

    def drain(self) -> None:
        """Finish the push in flight, then end."""
        self._draining = True
        self._ctx.bell.ring(relay_bell(self._channel.name))

    async def _next(self) -> PushRecord | None:
        """The next push; where the channel takes numbers only, after what must be known before it."""
        if self._idle and self._careful is None:
            return None
        while True:
            if self._careful is None and not self._rung and not await self._ctx.store.read(self._has_work):
                return None  # a look that finds nothing costs the others no turn to write
            record = await self._ctx.store.write(self._plan)
            if record is not None or self._careful is None or not await self._careful.look():
                return record

    def _patience_seconds(self) -> float:
        moments = [ask_at for _, ask_at in self._later.values()]
        if self._careful is not None and self._careful.not_before is not None:
            moments.append(self._careful.not_before)
        if not moments:
            return 15.0
        return min(15.0, max(0.01, (min(moments) - self._ctx.clock.now()).total_seconds()))

    async def _ask(self) -> PushRecord | None:
        """Ask what became of pushes that the channel does later; returns the push that follows, if any."""
        ctx, channel = self._ctx, self._channel
        for record, ask_at in list(self._later.values()):
            if ctx.clock.now() < ask_at or not isinstance(channel, LaterOutcome):
                continue
            began, every = perf_counter(), channel.ability.outcome_every_seconds
            if not record.ticket:
                del self._later[record.id]
                await self._unsure(record, "nobody knows whether it was taken")
                continue
            self._later[record.id] = record, ctx.clock.now() + timedelta(seconds=every)
            try:
                answer = await channel.outcome(record.ticket, record.body)
            except Refused as error:
                del self._later[record.id]
                await self._answered(record)
                await self._unsure(record, str(error))
                self._log(record, 1, began, f"outcome not told: {error}", "its numbers are read")
            except OutsideError as error:
                ctx.pulse.channel_error[record.channel] = f"outcome not told: {error}"
            else:
                ctx.pulse.channel_error.pop(record.channel, None)
                if answer is not None:
                    del self._later[record.id]
                    await self._answered(record)
                    following = await self._conclude(record, answer)
                    self._log(record, 1, began, _outcome(answer), "")
                    if following is not None:
                        return following
            if record.id in self._later and self._overdue(record) and record.id not in self._told:
                self._told.add(record.id)
                await ctx.store.write(partial(self._tell_overdue, record=record))
                self._log(
                    record, 1, began, "its outcome is not told", "it is asked for further; see incidents"
                )
            if record.id in self._later and self._too_old(record):
                del self._later[record.id]
                await ctx.store.write(partial(self._lost, record=record))
                self._log(record, 1, began, "its outcome was never told", "`sfsync resync`")
        return None

    def _has_work(self, tx: Tx) -> bool:
        return bool(tx.due(self.name, 1)) and tx.approved(self.name)

    def _plan(self, tx: Tx) -> PushRecord | None:
        """The next push, written down; None when nothing is due or nobody has approved the first plan."""
        name, now = self._channel.name, self._ctx.clock.now()
        if self._draining:
            return None
        due = tx.due(name, self._limit)
        if (not due and self._careful is None) or not tx.approved(name):
            return None
        divided = self._divided(tx, due) if due else set()
        numbers = [(level, max(0, level.target or 0)) for level in due]
        if self._careful is not None:
            numbers = self._careful.choose(tx, due, divided)
        if not numbers:
            return None
        key = self._ctx.new_id()
        rows = tuple(self._row(level, number, allocated=level.sku in divided) for level, number in numbers)
        relative = self._channel.ability.relative
        writes = [
            _write(level, row, relative=relative) for (level, _), row in zip(numbers, rows, strict=True)
        ]
        body = self._channel.encode(key, writes)
        return PushRecord(tx.add_push(name, key, body, rows, now), name, key, body, rows, now)

    def _row(self, level: ChannelLevel, number: int, *, allocated: bool) -> PushRow:
        if not self._channel.ability.weak:
            change = (level.target or 0) - level.published
            return PushRow(level.sku, level.location, change, allocated)
        return PushRow(level.sku, level.location, number - level.published, allocated, number)

    def _divided(self, tx: Tx, due: Sequence[ChannelLevel]) -> set[str]:
        """Which of these SKUs are the channel's own units at present, booked one by one."""
        assortment = self._ctx.assortment
        skus = {level.sku for level in due}
        divided = {sku for sku in skus if assortment.may_divide(sku)}
        divided |= tx.own_units(self.name, skus - divided)  # which no policy divides any more
        # Where nothing depends on how scarce it is, the settings know who has units of his own.
        always = {sku: assortment.division(sku, PLENTY) for sku in divided if not assortment.scarcities(sku)}
        own = {sku for sku, of in always.items() if of is not None and self.name in of.channels}
        unsure = divided - own
        if not unsure:
            return own
        picture = Picture(tx.facts(unsure), self._ctx.assortment)
        return own | {sku for sku in unsure if self.name in allocations.parties(assortment, picture, sku)}

    async def _deliver(self, record: PushRecord, *, maybe_sent: bool) -> PushRecord | None:
        """Send until the outcome is known, then commit what it means. Returns the next push, if any."""
        ctx, attempt = self._ctx, 0
        while True:
            attempt += 1
            began = perf_counter()
            if maybe_sent and self._reads_back(record):
                await self._read_back(record)
                self._log(record, attempt, began, "unknown", "its numbers are read")
                return None
            if maybe_sent and self._too_old(record):
                await ctx.store.write(partial(self._lost, record=record))
                self._log(record, attempt, began, "unknown for longer than its key lives", "`sfsync resync`")
                return None
            try:
                answer = await self._channel.push(record.body)
            except Unknown as error:
                maybe_sent = True
                wait = backoff_seconds(attempt, ctx.luck())
                self._say(record, attempt, began, f"unknown: {error}", wait)
                await ctx.clock.sleep(wait)
            except OutsideError as error:
                wait = self._wait(attempt + self._put_off, error)
                self._say(record, attempt, began, f"not now: {error}", wait)
                if not maybe_sent:
                    self._put_off += 1
                    # Nothing changed there: give the rows back, so that what is sent next is the newest.
                    await ctx.store.write(lambda tx: tx.finish_push(record, "dropped", "", ctx.clock.now()))
                    await ctx.clock.sleep(wait)
                    return None
                await ctx.clock.sleep(wait)
            else:
                ctx.pulse.channel_error.pop(record.channel, None)
                self._put_off = 0
                took = perf_counter() - began
                if answer.ticket:
                    await self._take(record, answer.ticket)
                    self._log(record, attempt, began, "taken, to be done later", "")
                    return None
                following = await self._conclude(record, answer)
                self._log(record, attempt, perf_counter() - took, _outcome(answer), "")
                if ctx.pulse.trail is not None:
                    failure = "" if answer.applied else _outcome(answer)
                    ctx.pulse.trail.pushed(record, attempt, failure, ctx.clock.now())
                if not answer.applied and following is None:
                    await ctx.clock.sleep(backoff_seconds(1, ctx.luck()))
                return following

    async def _take(self, record: PushRecord, ticket: str) -> None:
        await self._ctx.store.write(lambda tx: tx.accept_push(record, ticket))
        every = timedelta(seconds=self._channel.ability.outcome_every_seconds)
        self._later[record.id] = replace(record, ticket=ticket), self._ctx.clock.now() + every

    def _reads_back(self, record: PushRecord) -> bool:
        if self._careful is None:
            return False
        return after_unknown(row.delta for row in record.rows) is AfterUnknown.READ_BACK

    async def _read_back(self, record: PushRecord) -> None:
        """Have the numbers of a push of unknown outcome read, once it has landed if it ever does."""
        ctx, ability = self._ctx, self._channel.ability
        if ability.asynchronous:
            landed = timedelta(seconds=ability.settle_seconds)
            self._later[record.id] = record, ctx.clock.now() + landed
            return
        await self._unsure(record, "nobody knows whether it was written")
        await ctx.clock.sleep(backoff_seconds(1, ctx.luck()))

    async def _unsure(self, record: PushRecord, reason: str) -> None:
        """Nobody knows whether it was written, and it must not be sent again: its numbers are read."""
        now = self._ctx.clock.now()

        def commit(tx: Tx) -> None:
            tx.finish_push(record, "unsure", reason, now)
            _count_as_shown(tx, record)
            for row in record.rows:
                tx.set_problem(record.channel, row.sku, row.location, IN_DOUBT, now)

        await self._ctx.store.write(commit)
        self._ctx.bell.ring("learn")

    def _wait(self, attempt: int, error: OutsideError) -> float:
        asked = error.after_seconds if isinstance(error, TryLater) else None
        if isinstance(error, Refused):
            asked = 15.0  # a person must mend it; nothing is lost meanwhile
        return backoff_seconds(
            attempt, self._ctx.luck(), asked_seconds=asked, longest_seconds=LONGEST_PUT_OFF_SECONDS
        )

    def _too_old(self, record: PushRecord) -> bool:
        """True when the channel may have forgotten the key: sending it again could do it twice."""
        # A number has the same effect twice: it is asked about for as long as anybody may remember it.
        ability = self._channel.ability
        life = timedelta(seconds=ability.key_life_seconds) if ability.relative else timedelta(days=1)
        return self._ctx.clock.now() > record.planned_at + life

    def _overdue(self, record: PushRecord) -> bool:
        """True when the channel should have said by now what became of a push that it took.

        Its rows are written no other number meanwhile, because this one may still be carried out.
        """
        within = timedelta(seconds=self._channel.ability.outcome_within_seconds)
        return self._ctx.clock.now() > record.planned_at + within

    def _tell_overdue(self, tx: Tx, *, record: PushRecord) -> None:
        minutes = round(self._channel.ability.outcome_within_seconds / 60)
        title = (
            f"{record.channel} took a push of {counted(len(record.rows), 'number')} and has not said for "
            f"{counted(minutes, 'minute')} what became of it"
        )
        detail = {"rows": len(record.rows), "ticket": record.ticket, "since": record.planned_at.isoformat()}
        tx.open_incident(PUSH_LOST, _push_key(record), title, detail, self._ctx.clock.now())

    async def _answered(self, record: PushRecord) -> None:
        """What was told of it as overdue is over."""
        self._told.discard(record.id)
        if self._overdue(record):
            now = self._ctx.clock.now()
            await self._ctx.store.write(lambda tx: tx.close_incident(PUSH_LOST, _push_key(record), now))

    def _lost(self, tx: Tx, *, record: PushRecord) -> None:
        """Nobody can say whether it was applied: its rows wait for a comparison."""
        now = self._ctx.clock.now()
        tx.finish_push(record, "lost", "its outcome was unknown for longer than its key lives", now)
        _count_as_shown(tx, record)
        for row in record.rows:
            tx.set_problem(
                record.channel, row.sku, row.location, "outcome of a push unknown: run sfsync resync", now
            )
        title = f"a push of {counted(len(record.rows), 'number')} to {record.channel} never got an answer"
        tx.open_incident(PUSH_LOST, _push_key(record), title, {"rows": len(record.rows)}, now)

    async def _conclude(self, record: PushRecord, answer: PushAnswer) -> PushRecord | None:
        """Commit what the answer means, and in the same commit the next push."""
        ctx = self._ctx
        if answer.applied:
            self._limit = self._channel.ability.batch_rows
        elif not answer.bad_rows and not answer.stale_rows and not answer.key_spent and len(record.rows) > 1:
            self._limit = max(1, len(record.rows) // 2)

        bells: set[str] = set()

        def commit(tx: Tx) -> PushRecord | None:
            self._settle(tx, record, answer, bells)
            own = {row.sku for row in record.rows if row.allocated}
            bells.update(refresh(tx, ctx.assortment, ctx.pulse, own, ctx.clock.now()))
            # What was not applied although no row is to blame deserves a pause before it is tried anew.
            return self._plan(tx) if looks else None

        looks = bool(answer.applied or answer.bad_rows or answer.stale_rows)
        if answer.stale_rows:
            bells.add("learn")
        following = await ctx.store.write(commit)
        self._idle = looks and following is None
        ctx.bell.ring(*bells)
        return following

    def _settle(self, tx: Tx, record: PushRecord, answer: PushAnswer, bells: set[str]) -> None:
        now = self._ctx.clock.now()
        bad = dict(answer.bad_rows)
        if answer.applied:
            self._applied(tx, replace(record, rows=_good(record, bad)), bells)
        if not answer.applied or bad:
            if (
                not answer.applied
                and not bad
                and not answer.stale_rows
                and not answer.key_spent
                and len(record.rows) == 1
            ):
                bad = {0: answer.reason or "the channel refuses it"}
            for index, reason in bad.items():
                row = record.rows[index]
                tx.set_problem(record.channel, row.sku, row.location, reason, now)
                tx.dead_letter(
                    record.channel,
                    f"push:{row.sku}@{row.location}",
                    reason,
                    "mend the item at the channel, then `sfsync resync --sku`",
                    f"change {row.delta:+d}",
                    now,
                )
        for index in answer.stale_rows:
            # Its number is not what we believe: a sale is on its way, or somebody wrote it.
            row = record.rows[index]
            tx.set_problem(record.channel, row.sku, row.location, IN_DOUBT, now)
        tx.finish_push(record, "applied" if answer.applied else "dropped", answer.reason, now)

    def _applied(self, tx: Tx, record: PushRecord, bells: set[str]) -> None:
        """What the channel confirmed is what it now shows."""
        ctx, now = self._ctx, self._ctx.clock.now()
        rows = {(row.sku, row.location): row for row in record.rows}
        changed: list[ChannelLevel] = []
        for level in tx.channel_levels({row.sku for row in record.rows}, record.channel):
            row = rows.get((level.sku, level.location))
            if row is None:
                continue
            # A lower number frees nothing where it may go over a sale: its units are drained first.
            if row.allocated and (row.quantity is None or row.delta > 0):
                allocations.pushed(tx, ctx.assortment, ctx.pulse, level, row.delta, now)
            published = level.published + row.delta
            if row.quantity is not None:
                published, level = row.quantity, self._written(tx, record, level, row, bells)
            changed.append(with_numbers(ctx.assortment, level, now, target=level.target, published=published))
        tx.put_numbers(changed)
        self._lag(changed)

    def _written(
        self, tx: Tx, record: PushRecord, level: ChannelLevel, row: PushRow, bells: set[str]
    ) -> ChannelLevel:
        """The level after a number was written to it: a sale from before is in it, or gone over.

        Where an order was recorded meanwhile nobody can tell which; then the number is read again.
        """
        now = self._ctx.clock.now()
        if level.published + row.delta != row.quantity and self._channel.ability.tells_orders:
            tx.set_problem(level.channel, level.sku, level.location, IN_DOUBT, now)
            bells.add("learn")
        return replace(level, baseline_from=record.planned_at, baseline_at=now)

    def _lag(self, levels: Sequence[ChannelLevel]) -> None:
        pulse, now = self._ctx.pulse, self._ctx.clock.now().timestamp()
        pulse.pushes[self._channel.name] += 1
        for level in levels:
            since = pulse.due_since.pop((level.channel, level.sku, level.location), None)
            if since is not None:
                pulse.lags_seconds[level.channel].append(now - since)

    def _say(self, record: PushRecord, attempt: int, began: float, outcome: str, wait: float) -> None:
        self._ctx.pulse.channel_error[record.channel] = outcome
        self._log(record, attempt, began, outcome, f"again in {wait:.1f} s")

    def _log(self, record: PushRecord, attempt: int, began: float, outcome: str, then: str) -> None:
        self._ctx.log.info(
            "push",
            channel=record.channel,
            rows=len(record.rows),
            key=record.key,
            attempt=attempt,
            milliseconds=round((perf_counter() - began) * 1000, 1),
            outcome=outcome,
            **({"next": then} if then else {}),
        )


def _good(record: PushRecord, bad: Mapping[int, str]) -> tuple[PushRow, ...]:
    return tuple(row for index, row in enumerate(record.rows) if index not in bad)


def _count_as_shown(tx: Tx, record: PushRecord) -> None:
    """Of an allocation, what a push of unknown outcome was to raise counts as shown."""
    raised = {(row.sku, row.location): row.delta for row in record.rows if row.allocated and row.delta > 0}
    for level in tx.channel_levels({sku for sku, _ in raised}, record.channel):
        if units := raised.get((level.sku, level.location)):
            spare = allocation.spent(level.spare, units)
            tx.put_spare(level.channel, level.sku, level.location, spare)


def _write(level: ChannelLevel, row: PushRow, *, relative: bool) -> Write:
    place = level.sku, level.location, level.item_id, level.location_id
    if row.quantity is not None:
        return Write(*place, quantity=row.quantity)
    if not relative:  # it compares: a sale that we have not heard of stops the row, and nothing goes over it
        return Write(*place, quantity=level.published + row.delta, compare=level.published)
    # Units are freed by our own confirmed lowering alone, so that one must meet the number we believe in.
    held = row.allocated and row.delta < 0
    return Write(*place, delta=row.delta, compare=level.published if held else None)


def _push_key(record: PushRecord) -> str:
    """An incident's key of a push."""
    return f"{record.channel}:{record.key}"


def _outcome(answer: PushAnswer) -> str:
    if answer.applied:
        return "applied"
    named = len(answer.bad_rows) + len(answer.stale_rows)
    return f"not applied, {named} rows named" if named else f"not applied: {answer.reason}"
