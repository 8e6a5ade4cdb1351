"""A rewritten ledger: what the org holds now is taken over, and what hung on lost rows is decided again.

Rows were deleted by somebody, or a backup was restored. `levels` has noticed it (by a version lower than it
must be, or because the org tells of deleted rows that we believe in), or what subjects hold adds up to more
than the level has. Here the level's rows are read again:

- the subjects that we believed to have rows there hold what the org's rows say, and no more;
- order lines among them are due again: the org is asked once more for what it no longer holds;
- a reservation that has lost its units is not believed any more: released, or *paid and not available*, and
  named in the incident; one that has lost some of them, and is not paid for, is granted the others alone.

A fold is no rewrite: it makes the version higher, and what it took out is remembered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sfsync.domain.budget import Work
from sfsync.domain.fold import LedgerRow
from sfsync.domain.incidents import REWRITTEN
from sfsync.domain.reservations import HOLDING, OPEN, UNTIL_THEN, ReservationState, gave_way
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel, step_key
from sfsync.domain.values import replace
from sfsync.ports import OutsideError, Tx

from .context import Context
from .levels import NAMED, READ_AGAIN, apply_levels
from .reserving import held_by, put
from .shelf import refresh
from .writer import Writer

SWEEP_SECONDS = 30.0
PAUSE_SECONDS = 1.0  # between two rounds, whoever rings
WEIGHED_EVERY = timedelta(minutes=5)
LOST = "its movement was deleted from the org's ledger"
TWICE_FREE = "given back, and deleted before that"
LOST_WHEN_PAID = "and what was held for it was deleted from the org's ledger"


class Rewrites:
    """Reads again the rows of levels whose ledger was rewritten."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer
        self._weighed: dict[LevelKey, tuple[int, int]] = {}  # what was short, and at which version
        self._weighed_at: datetime | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._ctx.bell.wait(READ_AGAIN, SWEEP_SECONDS)
            try:
                await self.weigh()
                if await self.work():
                    await self._ctx.clock.sleep(PAUSE_SECONDS)
            except OutsideError as error:
                self._ctx.warn("rewritten ledger not read", error, next="again in 30 s")
                await self._ctx.clock.sleep(PAUSE_SECONDS)

    async def weigh(self) -> None:
        """Now and then, look where our subjects hold more than their level has; these are read again.

        So a reservation's movement that nobody sees any more is missed even when newer movements have made
        the version higher. Where people have released what is not theirs it stays so: it is read once.
        """
        ctx, now = self._ctx, self._ctx.clock.now()
        if not ctx.org.keeps_rows:
            return  # others enter what our subjects hold
        if self._weighed_at is not None and abs(now - self._weighed_at) < WEIGHED_EVERY:
            return
        found = await ctx.store.read(lambda tx: tx.short_of_promises())
        short = {key: (version, units) for key, version, units in found}
        if new := [key for key, found in short.items() if self._weighed.get(key) != found]:
            await ctx.store.write(lambda tx: tx.read_again(new, now))
        self._weighed, self._weighed_at = short, now

    async def work(self) -> int:
        """Every level that is to be read again; returns how many there were."""
        ctx = self._ctx
        todo = await ctx.store.read(lambda tx: tx.to_read_again())
        for level, epoch in todo:
            async with self._writer.alone(level.key):
                await self._read(level, epoch)
        return len(todo)

    async def _read(self, level: StockLevel, epoch: int) -> None:
        ctx = self._ctx
        rows = await ctx.org.level_rows(level.record_id, Work.REFRESH)
        asked_at = ctx.clock.now()
        read = await ctx.org.read_levels(levels=[level.record_id], work=Work.REFRESH)

        def commit(tx: Tx) -> set[str]:
            now = ctx.clock.now()
            changed = take_over(tx, level, rows, now)
            bells = decide_again(tx, ctx, level, changed, now)
            tx.was_read_again(level.key, epoch)
            return bells | apply_levels(tx, ctx, read, asked_at, [level.key.sku])

        ctx.bell.ring(*await ctx.store.write(commit))
        ctx.log.info("rewritten ledger read", level=str(level.key), rows=len(rows))


def take_over(tx: Tx, level: StockLevel, rows: Sequence[LedgerRow], now: datetime) -> list[str]:
    """Make the level's rows in the org what we believe of it; returns the subjects that hold other units."""
    by_subject: dict[str, list[Movement]] = defaultdict(list)
    for row in rows:
        if row.folded is None:
            by_subject[row.movement.subject].append(row.movement)
    known = tx.subjects_at(level.key)
    tx.put_folded(level.key, [row for row in rows if row.folded is not None], now)
    return [
        subject
        for subject in sorted(known)
        if tx.replace_rows_at(subject, level.key, by_subject.get(subject, ()), now)
    ]


def decide_again(tx: Tx, ctx: Context, level: StockLevel, changed: Sequence[str], now: datetime) -> set[str]:
    """Have the lines decided anew and the reservations looked at that a rewriting has touched."""
    if not changed:
        return set()
    for line in tx.lines(changed).values():
        tx.put_line(replace(line, due=True, asked_in_vain=False))
    lost: list[str] = []
    for reservation_id in sorted({each.split(":")[1] for each in changed if each.startswith("reservation:")}):
        reservation = tx.reservation(reservation_id)
        if reservation is None or reservation.state not in HOLDING or tx.busy(reservation.subjects()):
            continue
        held = held_by(tx, reservation)
        if any(units > 0 for place in held.values() for units in place.values()):
            less = gave_way(reservation, held, LOST)
            if reservation.state in UNTIL_THEN and less.lines != reservation.lines:
                lost.append(reservation_id)
                put(tx, ctx, reservation, less)
            continue
        lost.append(reservation_id)
        paid = reservation.state is ReservationState.CONFIRMED
        state = ReservationState.PAID_UNAVAILABLE if paid else ReservationState.RELEASED
        put(tx, ctx, reservation, replace(reservation, state=state, reason=LOST), because=LOST_WHEN_PAID)
    _take_again(tx, changed, now)
    _tell(tx, ctx, level, changed, lost, now)
    return {"orders", "writer"} | refresh(tx, ctx.assortment, ctx.pulse, {level.key.sku}, now)


def _take_again(tx: Tx, changed: Sequence[str], now: datetime) -> None:
    """What ended reservations gave back that had been deleted before is reserved again, by a row of theirs.

    The release was on its way when nobody knew of the deletion: together they leave one unit too many free,
    and somebody else's promise without its goods.
    """
    for subject in (each for each in changed if each.startswith("reservation:")):
        reservation = tx.reservation(subject.split(":")[1])
        if (reservation is not None and reservation.state in OPEN) or tx.busy([subject]):
            continue
        for held in tx.holdings([subject]):
            if held.reserved < 0:
                step = step_key(subject, tx.next_step(subject))
                kind, units = MovementKind.ADJUSTMENT, -held.reserved
                row = Movement(step, subject, held.level, kind, 0, units, TWICE_FREE, "", now)
                tx.add_bundle([row], {subject: held.channel}, now)


def _tell(
    tx: Tx, ctx: Context, level: StockLevel, changed: Sequence[str], lost: Sequence[str], now: datetime
) -> None:
    key = str(level.key)
    told = next((each for each in tx.incidents() if (each.kind, each.key) == (REWRITTEN, key)), None)
    if told is None:  # no version has betrayed it
        title = f"the ledger of {key} was rewritten in the org: movements were deleted, or put back"
        detail: dict[str, object] = {"sku": level.key.sku, "location": level.key.location}
    else:
        title, detail = told.title, dict(told.detail)
    before, gone = detail.get("subjects"), detail.get("reservations_lost")
    named = [*(before if isinstance(before, list) else ()), *changed]
    detail |= {
        "subjects": list(dict.fromkeys(named))[:NAMED],
        "reservations_lost": [*(gone if isinstance(gone, list) else ()), *lost][:NAMED],
    }
    tx.open_incident(REWRITTEN, key, title, detail, now)
    ctx.log.warning(
        "decided again after a rewriting",
        level=str(level.key),
        subjects=len(changed),
        reservations_lost=len(lost),
        next="see `sfsync incidents`",
    )
