"""Grants out of the local block are entered in the org, many at a time, and the block is kept as wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from sfsync.domain import block
from sfsync.domain.block import HOLDER
from sfsync.domain.reservations import ReservationState
from sfsync.domain.stock import Movement, allocation_subject
from sfsync.domain.values import replace
from sfsync.ports import Tx

from .asking import Asking
from .shelf import refresh

BELL = "settling"  # rung when something was granted out of a block
LOOK_SECONDS = 0.5  # while something granted is not in the org
LOOK_AT_ALL = timedelta(minutes=1)
SLICE = 100  # reservations entered at a time
LOST = "the block that it was granted from is gone from the org's ledger"


class Settling(Asking):
    """Enters grants in the org, many at a time, and looks whether blocks are as their policies want them."""

    async def run(self) -> None:
        """Until cancelled."""
        ctx = self._ctx
        looked: datetime | None = None
        while True:
            now = ctx.clock.now()
            if looked is None or now - looked >= LOOK_AT_ALL:
                looked = now
                ctx.bell.ring(*await ctx.store.write(self._look))
            drawn = await ctx.store.read(lambda tx: tx.any_draws())
            if drawn:
                ctx.bell.ring(*await ctx.store.write(self._settle))
                await ctx.clock.sleep(LOOK_SECONDS)
            else:
                await ctx.bell.wait(BELL, LOOK_AT_ALL.total_seconds())

    def _look(self, tx: Tx) -> set[str]:
        """A policy may have changed, or the org may have refused to set something aside a while ago."""
        ctx = self._ctx
        skus = set(tx.allocated_skus())
        if ctx.assortment.blocks:
            skus |= {sku for sku in tx.all_skus() if ctx.assortment.block(sku)}
        return refresh(tx, ctx.assortment, ctx.pulse, skus, ctx.clock.now())

    def _settle(self, tx: Tx) -> set[str]:
        """Plan the bundles of the oldest grants, when enough of them wait or one has waited long enough.

        Only what the next call can take: what no bundle enters yet can still be given back at once.
        """
        now = self._ctx.clock.now()
        waiting, oldest, entering = tx.draws_waiting(now)
        age = (now - oldest).total_seconds() if oldest else 0.0
        if entering or not block.due(waiting, age):
            return set()
        draws = sorted(tx.open_draws(now, SLICE), key=lambda draw: draw.reservation)
        bells: set[str] = set()
        taken: dict[str, int] = defaultdict(int)
        for reservation_id, _ in groupby(draws, key=lambda draw: draw.reservation):
            bells |= self._enter_draws(tx, reservation_id, taken, now)
        return bells

    def _enter_draws(self, tx: Tx, reservation_id: str, taken: dict[str, int], now: datetime) -> set[str]:
        draws = [draw for draw, _ in tx.draws(reservation_id)]
        own = [allocation_subject(HOLDER, draw.level) for draw in draws]
        subjects = [*(draw.subject for draw in draws), *own]
        steps = tx.next_steps(subjects)
        held = {each.subject: each.reserved for each in tx.holdings(subjects)}
        rows = block.settlement(draws, steps, held, now)
        if not rows:  # its rows stand in the ledger already
            tx.drop_draws(reservation_id)
            return {"orders"}
        needed = _needed(rows)
        if any(held.get(each, 0) - taken[each] < units for each, units in needed.items()):
            return self._ask_instead(tx, reservation_id)
        for each, units in needed.items():
            taken[each] += units
        owners = {draw.subject: draw.channel for draw in draws} | dict.fromkeys(own, HOLDER)
        tx.plan_draws(reservation_id, tx.add_bundle(rows, owners, now))
        return {"writer"}

    def _ask_instead(self, tx: Tx, reservation_id: str) -> set[str]:
        """The ledger was rewritten under the block: what was promised out of it is asked of the org."""
        tx.drop_draws(reservation_id)
        reservation = tx.reservation(reservation_id)
        if reservation is None:
            return set()
        again = replace(reservation, state=ReservationState.PENDING, reason=LOST)
        tx.put_reservation(again)
        self._ctx.log.warning("granted out of a block that is gone", reservation=reservation_id, next=LOST)
        return self.ask(tx, again)[1]


def _needed(rows: Sequence[Movement]) -> dict[str, int]:
    """Units that rows take out of each level of the block."""
    found: dict[str, int] = {}
    for row in rows:
        if row.reserved_delta < 0:
            found[row.subject] = found.get(row.subject, 0) - row.reserved_delta
    return found
