"""Asking the org for a reservation and waiting for its answer, as long as a shopper's patience lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sfsync.domain.editions import Denial
from sfsync.domain.incidents import Wish
from sfsync.domain.reservations import Outcome, Reservation, ReservationLine
from sfsync.domain.stock import LevelKey
from sfsync.domain.values import replace
from sfsync.ports import Tx

from . import block
from .context import Context
from .picture import Picture, on_floor
from .reserving import Asked, ask
from .rooms import denied
from .writer import Writer

ANSWER_SECONDS = 8.0  # a shopper waits no longer; the storefront may ask again by id
LOOK_SECONDS = 1.0  # the longest between looks at whether what was asked before has its answer


class Asking:
    """What everything that is done to a reservation shares."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Take no new asks, and let nobody wait for an answer that will only come after the next start."""
        self._closing.set()

    def ask(
        self,
        tx: Tx,
        reservation: Reservation,
        signature: Wish | None = None,
        *,
        picture: Picture | None = None,
        new: bool = False,
        drawn: Sequence[int] = (),
    ) -> Asked:
        """Write down what is asked: all of it in one bundle, or each line by itself when a part will do."""
        return ask(tx, self._ctx, reservation, signature, picture=picture, new=new, drawn=drawn)

    def denied_again(self, tx: Tx, reservation: Reservation) -> Denial | None:
        """Why what holds nothing any more may not be asked for again: others have had its edition since."""
        wanted = [(line.level.sku, line.quantity) for line in reservation.lines]
        channel, client = reservation.channel, reservation.client
        paid = reservation.paid_at is not None
        return denied(tx, self._ctx.assortment, channel, client, wanted, paid=paid)

    async def answers(self, bundles: Sequence[int], bells: set[str]) -> None:
        """Wait for the org's answers, but not beyond a shopper's patience."""
        if bundles:
            answered = asyncio.gather(*(self._writer.answered(bundle) for bundle in bundles))
            self._ctx.bell.ring(*bells)
            await self._within(answered, ANSWER_SECONDS)

    async def _within(self, future: asyncio.Future[Any], seconds: float) -> None:
        """Wait for it, but no longer than that, nor beyond closing time."""
        closing: asyncio.Future[bool] = asyncio.create_task(self._closing.wait())
        either: set[asyncio.Future[Any]] = {future, closing}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()

    async def when_answered(self, commit: Callable[[Tx], Outcome | Asked]) -> Outcome | Asked:
        """Do it as soon as nothing of the reservation waits for the org; within a shopper's patience."""
        end = asyncio.get_running_loop().time() + ANSWER_SECONDS
        while True:
            answered = self._writer.next_answer()  # from before the look: it may come during it
            outcome = await self._ctx.store.write(commit)
            late = asyncio.get_running_loop().time() >= end or self._closing.is_set()
            if not isinstance(outcome, Outcome) or outcome.problem != "later" or late:
                return outcome
            await self._within(answered, LOOK_SECONDS)

    def available(
        self, tx: Tx, skus: Collection[str], *, picture: Picture | None = None
    ) -> Mapping[str, Mapping[str, int]]:
        """Units that may be reserved, by SKU and location; pieces of one location are added up.

        `picture` has the facts of these SKUs as they stand now, where whoever calls has just read them.
        """
        picture = picture or Picture(tx.facts(skus), self._ctx.assortment)
        found: dict[str, dict[str, int]] = {}
        for sku in skus:
            places = found.setdefault(sku, {})
            ready = block.ready(picture, self._ctx.assortment, sku)
            levels = on_floor(self._ctx.assortment, picture.levels(sku))
            free = {level.key: level.sellable - level.kept for level in levels}
            for units_by_level in (free, ready):
                for key, units in sorted(units_by_level.items()):
                    if units > 0 and key.location not in self._ctx.assortment.not_for_sale:
                        places[key.location] = places.get(key.location, 0) + units
        return found


def beside_block(lines: Sequence[ReservationLine], drawn: Sequence[int]) -> tuple[ReservationLine, ...]:
    """What lines ask of the pool, where the local block gives so many units of each."""
    pairs = zip(lines, drawn, strict=True)
    return tuple(replace(line, quantity=line.quantity - units) for line, units in pairs)


def promised_to_others(
    picture: Picture, lines: Iterable[ReservationLine], *, own: Mapping[LevelKey, int] | None = None
) -> str:
    """Why the org is not asked for these, though its rule would give them; else nothing.

    `own` are units that whoever asks holds elsewhere, and gives up for them.
    """
    wanted: dict[LevelKey, int] = {}
    for line in lines:
        wanted[line.level] = wanted.get(line.level, 0) + line.quantity
    reasons = (picture.beyond(level, units, own=own) for level, units in wanted.items())
    return next(filter(None, reasons), "")


def not_yet(reservation: Reservation) -> Outcome:
    return Outcome(reservation, "later", detail="the org has not answered yet")
