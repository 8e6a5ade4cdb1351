"""Postings that a stock count has already seen are entered with their compensation, in one request.

Whether a posting is late is decided from the level as we know it when the posting is written down. A count
may slip in before it reaches the org. So when it is in, the level read back tells whether it was counted
meanwhile; then the order of the rows in the org says which came first, and a posting that came after the
count gets its compensation as a step of its own. A crash in between repeats the same look under the same key.

A count is looked at again in the same way: what others entered between its reading and its row is its
subject's next step. What already has its compensation written down, though the org does not have it yet, is
not missing from the count: made good twice, it would be wrong by as much the other way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sfsync.domain.counts import compensation, counted_before, is_late, last_counted, missing
from sfsync.domain.fold import LedgerRow
from sfsync.domain.ledger import Answer, Bundle, entered
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports import OutsideError, Tx

from .context import Context


def add(tx: Tx, movements: Sequence[Movement], owners: Mapping[str, str | None], now: datetime) -> int:
    """Write down movements that are to happen together, with the compensations of those that are late."""
    return write_down(tx, movements, owners, now)[0]


def write_down(
    tx: Tx, movements: Sequence[Movement], owners: Mapping[str, str | None], now: datetime
) -> tuple[int, Sequence[Movement]]:
    """`add`; returns the bundle, and the compensations that go along.

    None does whose like was folded away: its row was deleted without it, and it counts still.
    """
    levels = tx.levels({row.level for row in movements if row.on_hand_delta})
    moments = {key: last_counted(level, now) for key, (level, _) in levels.items()}
    bundle = tx.add_bundle(movements, owners, now)
    along = [
        compensation(row, at)
        for row in movements
        if (at := moments.get(row.level)) is not None and is_late(row, at)
    ]
    if along and (folded := tx.folded_steps({row.subject for row in along})):
        along = [row for row in along if row.subject not in folded]
    if along:
        tx.set_companions(bundle, along, {})
    return bundle, along


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be entered further, and the counts whose rows are to be compared with what was counted."""

    late: Sequence[Movement]
    counts: Sequence[tuple[Movement, Sequence[LedgerRow]]]


async def look_back(
    ctx: Context,
    done: Iterable[Bundle],
    answer: Answer,
    record_ids: Mapping[LevelKey, str],
    expected: Mapping[int, int],
) -> Seen:
    """What movements that are in now still need because of counts; reads the levels where it may be so.

    `expected` is the version of a counted level where nobody entered anything but the count, by bundle.
    """
    doubtful: list[Movement] = []
    counts: list[Movement] = []
    for bundle in done:
        there = entered(bundle, answer)
        for row in bundle.own:
            level = answer.levels.get(row.level)
            ours = row.kind is MovementKind.COUNT and row.subject.startswith("count:")
            if ours and (level is None or expected.get(bundle.id) != level.version):
                counts.append(row)
            if not row.on_hand_delta or compensation(row, row.occurred_at).key in there:
                continue
            if level is None or is_late(row, level.counted_at):
                doubtful.append(row)
    rows = await _rows(ctx, {row.level for row in (*doubtful, *counts)}, record_ids)
    late = [
        compensation(row, at) for row in doubtful if (at := counted_before(row, rows[row.level])) is not None
    ]
    return Seen(late, [(row, rows[row.level]) for row in counts])


async def _rows(
    ctx: Context, levels: Collection[LevelKey], record_ids: Mapping[LevelKey, str]
) -> dict[LevelKey, Sequence[LedgerRow]]:
    """The levels' rows, asked for until the org answers: their slots are held meanwhile."""
    found: dict[LevelKey, Sequence[LedgerRow]] = {}
    for level in sorted(levels):
        attempt = 0
        while level not in found:
            try:
                found[level] = await ctx.org.level_rows(record_ids[level])
            except OutsideError as error:
                attempt += 1
                ctx.warn("level's movements not read", error, level=str(level))
                await ctx.clock.sleep(backoff_seconds(attempt, ctx.luck()))
    return found


def add_further(tx: Tx, ctx: Context, seen: Seen) -> set[str]:
    """Write down what `look_back` found, once; in the commit that records the movements as entered."""
    now = ctx.clock.now()
    further = [row for row in seen.late if not tx.next_step(row.subject)]
    for count, rows in seen.counts:
        number = tx.next_step(count.subject)
        if missing(count, rows, number) is None:
            continue
        if (step := missing(count, rows, number, _under_way(tx, rows, seen.late))) is not None:
            further.append(step)
    for row in further:
        add(tx, [row], {}, now)
        ctx.log.info("counted meanwhile", level=str(row.level), key=row.key, units=row.on_hand_delta)
    return {"writer"} if further else set()


def _under_way(tx: Tx, rows: Sequence[LedgerRow], found: Sequence[Movement]) -> list[Movement]:
    """The compensations of these rows that are written down, or found just now, and not among them."""
    there = {row.movement.key for row in rows}
    wanted = {compensation(row.movement, row.happened_at).key for row in rows} - there
    waiting = tx.waiting_rows(wanted)
    return [*waiting.values(), *(row for row in found if row.key in wanted - waiting.keys())]
