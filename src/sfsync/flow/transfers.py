"""Goods on their way: entered as two movements together, once for each event.

A till tells of them by events, a person by the command line or the API. Nothing is refused because of the
number: what was sent has left, and what came is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sfsync.domain.letters import written
from sfsync.domain.stock import BadKeyError, LevelKey, Movement, tells_again
from sfsync.domain.transfers import Transfer, TransferOutcome, movements
from sfsync.ports import InTransit, Tx

from .context import Context, wait_until_read
from .lateness import add
from .levels import apply_levels, made_by_itself
from .told_amiss import dated_ahead, set_aside, told_before, used_again
from .writer import Writer

ANSWER_SECONDS = 8.0


class Transfers:
    """Enters transfers, and tells what is on its way."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer

    async def enter(self, transfer: Transfer) -> TransferOutcome:
        """Enter it once; the same event again is answered as the first time."""
        ctx = self._ctx
        try:
            rows = movements(transfer, ctx.assortment.in_transit)
        except ValueError as error:
            return TransferOutcome(problem="wrong", detail=str(error))

        def commit(tx: Tx) -> tuple[TransferOutcome | None, int | None, set[str]]:
            known = tx.planned(transfer.subject)
            if known:
                if tells_again(known, rows):
                    return None, None, set()
                detail = f"another transfer has the id {transfer.event_id!r}"
                return TransferOutcome(problem="id-reused", detail=detail), None, set()
            if (missing := _unknown_level(tx, ctx, rows)) is not None:
                wait_until_read(tx)
                detail = f"the org has no stock level {missing}; create it first"
                return TransferOutcome(problem="unknown-level", detail=detail), None, set()
            return None, *_plan(tx, ctx, rows)

        problem, bundle, bells = await ctx.store.write(commit)
        if problem is not None:
            return problem
        if bundle is not None:
            answered = self._writer.answered(bundle)
            ctx.bell.ring(*bells)
            await asyncio.wait([answered], timeout=ANSWER_SECONDS)
        waiting = await ctx.store.read(lambda tx: bool(tx.busy([transfer.subject])))
        return TransferOutcome("waiting" if waiting else "entered")

    async def open(self) -> Sequence[InTransit]:
        """What was sent and has not arrived, by transfer and level; oldest first."""
        return await self._ctx.store.read(lambda tx: tx.in_transit(self._ctx.assortment.in_transit))


def enter_transfer(tx: Tx, ctx: Context, topic: str, transfer: Transfer, now: datetime) -> set[str]:
    """Write down what a till says of goods on their way, once. Returns the bells to ring."""
    try:
        rows = movements(transfer, ctx.assortment.in_transit)
    except (BadKeyError, ValueError) as error:
        key = f"{transfer.event_id}: {transfer.stage} {transfer.units} {transfer.sku}"
        tx.dead_letter("transfers", key, str(error), "mend it at its source", written(transfer), now)
        return set()
    known = told_before(tx, rows)
    if used_again(tx, known, rows):
        set_aside(tx, ctx, topic, transfer.event_id, known, rows, written(transfer), now)
        return set()
    if tx.next_step(transfer.subject):
        return set()
    place = transfer.target or transfer.origin or ctx.assortment.in_transit
    dated_ahead(tx, ctx, place, transfer.event_id, transfer.dated, transfer.occurred_at)
    return _plan(tx, ctx, rows)[1]


def _plan(tx: Tx, ctx: Context, rows: Sequence[Movement]) -> tuple[int, set[str]]:
    now = ctx.clock.now()
    bundle = add(tx, rows, {}, now)
    return bundle, {"writer"} | apply_levels(tx, ctx, (), now, {row.level.sku for row in rows})


def _unknown_level(tx: Tx, ctx: Context, rows: Sequence[Movement]) -> LevelKey | None:
    """The first place that has no level, and does not get one by itself."""
    keys = [row.level for row in rows]
    known = tx.levels(keys)
    missing = [key for key in keys if key not in known]
    made = made_by_itself(tx, ctx.assortment, missing)
    return next((key for key in missing if key not in made), None)
