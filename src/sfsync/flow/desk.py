"""The reservation desk: a storefront asks before its customer pays, and only the org says yes.

A reservation is written down, asked of the org through the writer, and answered when the org has answered.
If that takes too long the answer is *pending*; the reservation goes on and can be looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from sfsync.domain.orders import source
from sfsync.domain.reservations import (
    HOLDING,
    OPEN,
    Outcome,
    Reservation,
    ReservationLine,
    ReservationState,
    Wish,
    WishedLine,
    asks,
    order_names,
)
from sfsync.domain.stock import BadKeyError, LevelKey, Movement, MovementKind, step_key
from sfsync.ports import Tx

from .context import Context
from .shelf import Picture, refresh
from .writer import Writer

ANSWER_SECONDS = 8.0  # a shopper waits no longer; the storefront may ask again by id
PLACES = 3  # other locations tried after a refusal


class Desk:
    """Creates, confirms and releases reservations, and lets the forgotten ones go."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Take no new asks, and let nobody wait for an answer that will only come after the next start."""
        self._closing.set()

    async def create(self, wish: Wish, *, idempotency_key: str | None, digest: str) -> Outcome:
        """Ask for a wish. The same key with the same digest gives the same reservation, asked once."""
        ctx = self._ctx
        if self._closing.is_set():
            return Outcome(None, "later", detail="sfsync is stopping; nothing was asked")
        if ctx.pulse.rule_error:
            return Outcome(None, "later", detail=f"no reservation is granted while {ctx.pulse.rule_error}")
        number = ctx.new_id()
        scope = wish.channel or "-"
        opened = await ctx.store.write(
            lambda tx: self._open(tx, number, wish, scope, idempotency_key, digest)
        )
        if isinstance(opened, Outcome):
            return opened
        reservation_id, bundle, bells = opened
        for _ in range(PLACES):
            if bundle is not None:
                answered = self._writer.answered(bundle)
                ctx.bell.ring(*bells)
                await self._within(answered, ANSWER_SECONDS)
            reservation = await ctx.store.read(lambda tx: tx.reservation(reservation_id))
            if reservation is None or reservation.state is not ReservationState.REFUSED or bundle is None:
                break
            # Refused where we asked: another place may have it.
            elsewhere = await ctx.store.write(partial(self._elsewhere, refused=reservation, wish=wish))
            if elsewhere is None:
                break
            bundle, bells = elsewhere
        return await self._answer(reservation_id, wish)

    async def _within(self, future: asyncio.Future[None], seconds: float) -> None:
        """Wait for it, but no longer than that, nor beyond closing time."""
        closing: asyncio.Future[bool] = asyncio.create_task(self._closing.wait())
        either: set[asyncio.Future[Any]] = {future, closing}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()

    def _open(
        self, tx: Tx, number: str, wish: Wish, scope: str, key: str | None, digest: str
    ) -> Outcome | tuple[str, int | None, set[str]]:
        now = self._ctx.clock.now()
        if key is not None and (known := tx.remembered(scope, key)) is not None:
            if known[0] != digest:
                return Outcome(None, "key-reused", detail="this Idempotency-Key was used for another request")
            return known[1], None, set()
        lines = self._place(tx, wish)
        if isinstance(lines, Outcome):
            return lines
        reservation = Reservation(
            number, ReservationState.PENDING, wish.kind, wish.channel, wish.owner, lines, now, now + wish.life
        )
        tx.put_reservation(reservation)
        if key is not None:
            tx.remember(scope, key, digest, number, now)
        return number, *self._ask(tx, reservation)

    def _ask(self, tx: Tx, reservation: Reservation) -> tuple[int, set[str]]:
        ctx, now = self._ctx, self._ctx.clock.now()
        movements = asks(reservation, [tx.next_step(subject) for subject in reservation.subjects()], now)
        bundle = tx.add_bundle(movements, {m.subject: reservation.channel for m in movements}, now)
        skus = {line.level.sku for line in reservation.lines}
        return bundle, {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    def _place(self, tx: Tx, wish: Wish) -> tuple[ReservationLine, ...] | Outcome:
        """A level for each line: the best that seems able; the org decides whether it is."""
        lines: list[ReservationLine] = []
        picture = Picture(tx.facts({line.sku for line in wish.lines}))
        taken: dict[LevelKey, int] = {}
        for line in wish.lines:
            sellable = {key: units - taken.get(key, 0) for key, units in picture.sellable(line.sku).items()}
            candidates = [key for key in self._candidates(wish, line) if key in sellable]
            if not candidates:
                where = (
                    line.location or f"the locations {wish.channel} sells from" if wish.channel else "the org"
                )
                return Outcome(
                    None, "unknown-sku", detail=f"there is no stock level of {line.sku!r} at {where}"
                )
            able = source(line.quantity, candidates, sellable)
            level = (
                able[0]
                if able is not None and able[1] == line.quantity
                else max(candidates, key=lambda k: sellable[k])
            )
            taken[level] = taken.get(level, 0) + line.quantity
            lines.append(ReservationLine(level, line.quantity))
        return tuple(lines)

    def _candidates(self, wish: Wish, line: WishedLine) -> list[LevelKey]:
        if line.location is not None:
            locations: Sequence[str] = (line.location,)
        elif wish.channel is not None and wish.channel in self._ctx.assortment.channels:
            plan = self._ctx.assortment.channels[wish.channel]
            locations = tuple(
                dict.fromkeys(place for sources in plan.locations.values() for place in sources)
            )
        else:
            locations = ()
        try:
            return [LevelKey(line.sku, location, line.unit) for location in locations]
        except BadKeyError:
            return []

    def _elsewhere(self, tx: Tx, *, refused: Reservation, wish: Wish) -> tuple[int, set[str]] | None:
        """Ask again at other levels, when some seem able to give all of it."""
        lines = self._place(tx, wish)
        if isinstance(lines, Outcome) or lines == refused.lines:
            return None
        picture = Picture(tx.facts({line.level.sku for line in lines}))
        if any(picture.sellable(line.level.sku).get(line.level, 0) < line.quantity for line in lines):
            return None
        again = replace(refused, state=ReservationState.PENDING, lines=lines, reason="")
        tx.put_reservation(again)
        return self._ask(tx, again)

    async def _answer(self, reservation_id: str, wish: Wish) -> Outcome:
        def read(tx: Tx) -> Outcome:
            reservation = tx.reservation(reservation_id)
            if reservation is None or reservation.state is not ReservationState.REFUSED:
                return Outcome(reservation)
            return Outcome(reservation, "unavailable", self._available(tx, wish), reservation.reason)

        outcome = await self._ctx.store.read(read)
        if outcome.reservation is not None:
            self._ctx.log.info(
                "reservation",
                id=reservation_id,
                channel=wish.channel,
                skus=[line.sku for line in wish.lines],
                outcome=outcome.reservation.state.value,
            )
        return outcome

    def _available(self, tx: Tx, wish: Wish) -> Mapping[str, Mapping[str, int]]:
        skus = {line.sku for line in wish.lines}
        picture = Picture(tx.facts(skus))
        return {
            sku: {key.location: units for key, units in sorted(picture.sellable(sku).items()) if units > 0}
            for sku in skus
        }

    async def get(self, reservation_id: str) -> Reservation | None:
        """A reservation as it stands."""
        return await self._ctx.store.read(lambda tx: tx.reservation(reservation_id))

    async def confirm(self, reservation_id: str, order_reference: str) -> Outcome:
        """The customer has paid: it no longer expires. Its order, when it comes, takes it over."""

        def commit(tx: Tx) -> Outcome:
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return Outcome(None, "not-found")
            now = self._ctx.clock.now()
            if reservation.state is ReservationState.PENDING:
                return Outcome(reservation, "later", detail="the org has not answered yet")
            if reservation.state in (ReservationState.CONFIRMED, ReservationState.SETTLED):
                return Outcome(reservation)
            if reservation.state is ReservationState.GRANTED and (reservation.expires_at or now) >= now:
                confirmed = replace(
                    reservation,
                    state=ReservationState.CONFIRMED,
                    expires_at=None,
                    order_reference=order_reference,
                )
                tx.put_reservation(confirmed)
                self._claim(tx, confirmed)
                return Outcome(confirmed)
            if reservation.state in (ReservationState.GRANTED, ReservationState.EXPIRED):
                return Outcome(reservation, "expired", detail="its time is over; ask for a new reservation")
            return Outcome(reservation, "unavailable", detail=f"it is {reservation.state.value}")

        outcome = await self._ctx.store.write(commit)
        self._ctx.bell.ring("orders")
        return outcome

    def _claim(self, tx: Tx, confirmed: Reservation) -> None:
        """An order that was seen before its confirmation takes the reservation over now."""
        names = order_names(confirmed.order_reference)
        if confirmed.channel is None or not names:
            return
        for line in tx.lines_of_order(confirmed.channel, names):
            if confirmed.id not in line.reservations:
                reservations = (*line.reservations, confirmed.id)
                tx.put_line(replace(line, reservations=reservations, due=True))

    async def release(self, reservation_id: str) -> Outcome:
        """The units go back. Releasing twice is fine."""
        outcome, bells = await self._ctx.store.write(
            lambda tx: self._let_go(tx, tx.reservation(reservation_id), ReservationState.RELEASED)
        )
        self._ctx.bell.ring(*bells)
        return outcome

    async def sweep(self) -> None:
        """Until cancelled: let go of what has expired."""
        ctx = self._ctx
        while True:

            def expire(tx: Tx) -> set[str]:
                bells: set[str] = set()
                for reservation in tx.expired_reservations(ctx.clock.now(), 100):
                    bells |= self._let_go(tx, reservation, ReservationState.EXPIRED)[1]
                for reservation in tx.ended_still_holding(100):
                    bells |= self._give_back(tx, reservation)
                return bells

            ctx.bell.ring(*await ctx.store.write(expire))
            await ctx.clock.sleep(timedelta(seconds=1).total_seconds())

    def _let_go(
        self, tx: Tx, reservation: Reservation | None, state: ReservationState
    ) -> tuple[Outcome, set[str]]:
        """Give back what its subjects hold. Never before their rows have been seen (correctness B)."""
        if reservation is None:
            return Outcome(None, "not-found"), set()
        if reservation.state not in OPEN:
            return Outcome(reservation), set()
        if reservation.state not in HOLDING or tx.busy(reservation.subjects()):
            return Outcome(reservation, "later", detail="the org has not answered yet"), set()
        ended = replace(reservation, state=state)
        tx.put_reservation(ended)
        return Outcome(ended), self._give_back(tx, ended)

    def _give_back(self, tx: Tx, ended: Reservation) -> set[str]:
        """Release what an ended reservation still holds; asked again until the ledger holds nothing of it."""
        ctx, now = self._ctx, self._ctx.clock.now()
        for holding in tx.holdings(ended.subjects()):
            if holding.reserved <= 0:
                continue
            step = step_key(holding.subject, tx.next_step(holding.subject))
            movement = Movement(
                step,
                holding.subject,
                holding.level,
                MovementKind.RELEASE,
                0,
                -holding.reserved,
                ended.owner,
                ended.state.value,
                now,
            )
            tx.add_bundle([movement], {holding.subject: ended.channel}, now)
        skus = {line.level.sku for line in ended.lines}
        return {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)
