"""What a boutique does with what it keeps for somebody: it finds it or not, and hands it over."""

from __future__ import annotations

from collections.abc import Sequence, Set

from sfsync.domain.reservations import (
    HOLDING,
    TAKEN_OVER,
    TO_FETCH,
    Outcome,
    Reservation,
    ReservationState,
    as_told,
    fetched,
    handed_over,
    spoken_for,
    store_found,
    store_lacks,
)
from sfsync.domain.stock import LevelKey
from sfsync.domain.values import replace
from sfsync.ports import LineState, Tx

from . import not_found
from .asking import Asking, not_yet
from .levels import freed
from .owing import sent, sold_on
from .reserving import Asked, claim, give_back, held_by, is_kept, let_go_of, put
from .shelf import refresh
from .sold_from_floor import shop_said


class Fetching(Asking):
    """The boutique's part in the life of a reservation."""

    async def store_confirmation(
        self,
        reservation_id: str,
        *,
        found: bool,
        who: str,
        locations: Set[str] | None = None,
        skus: Set[str] = frozenset(),
    ) -> Outcome:
        """The shop says whether it has the piece that is kept for somebody, whether it was asked or not.

        Found, it counts, and is told as found. Not found, what nobody has paid for goes back; what was paid
        for is *paid-unavailable*, and its order, where it holds the piece, holds it until there is a way out.
        In any case somebody is told to count. The word counts for what is at the shop's own `locations` (see
        `spoken_for` where they are None), and of the articles that it names; of what was paid for the rest is
        kept, and what is not found becomes a reservation of its own.
        """
        floors = self._ctx.assortment.floor.locations

        def commit(tx: Tx) -> tuple[Outcome, set[str]]:
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return Outcome(None, "not-found"), set()
            if reservation.state is ReservationState.PENDING or tx.busy(reservation.subjects()):
                return not_yet(reservation), set()
            now = self._ctx.clock.now()
            reservation = as_told(reservation, now)
            spoken = spoken_for(reservation, floors, locations=locations, skus=skus)
            if not spoken:
                named = " or ".join(sorted(skus))
                what = f"it has no {named}" if named else "nothing of it is"
                detail = f"{what} where this word counts"
                return Outcome(reservation, "unknown-sku", detail=detail), set()
            if reservation.needs_store and reservation.state in TAKEN_OVER:
                levels = {reservation.lines[number].level for number in spoken}
                shop_said(tx, self._ctx, reservation.id, levels, found=found, now=now)
            if reservation.needs_store and reservation.state is ReservationState.SETTLED:
                return self._store_said_late(tx, reservation, spoken, found=found, who=who), set()
            if reservation.state is ReservationState.PAID_UNAVAILABLE and found:
                return self._found_after_all(tx, reservation, spoken)
            if reservation.state is ReservationState.RELEASED and found:
                more = not_found.found(tx, self._ctx, reservation, spoken)
                return Outcome(reservation), freed(tx, self._ctx, more, now) if more else set()
            if reservation.state not in TO_FETCH:
                over = {ReservationState.SETTLED, ReservationState.EXPIRED, ReservationState.REFUSED}
                problem = "ended" if not found and reservation.state in over else ""
                return Outcome(reservation, problem, detail=f"it is {reservation.state.value}"), set()
            if not found:
                return self._not_found(tx, reservation, spoken, who)
            lines = sold_on(tx, reservation) if reservation.state is ReservationState.ORDERED else []
            after = store_found(_of_order(reservation, lines), spoken, floors, now=now)
            put(tx, self._ctx, reservation, after)
            if after.state is ReservationState.CONFIRMED:
                claim(tx, after)
            return Outcome(after), {"orders"}

        outcome, bells = await self._ctx.store.write(commit)
        self._ctx.bell.ring(*bells)
        return outcome

    def _not_found(
        self, tx: Tx, reservation: Reservation, spoken: Set[int], who: str
    ) -> tuple[Outcome, set[str]]:
        """What is kept for somebody is not there: these lines of it, of which the shop has spoken."""
        ctx, now, floors = self._ctx, self._ctx.clock.now(), self._ctx.assortment.floor.locations
        lines = sold_on(tx, reservation) if reservation.state is ReservationState.ORDERED else []
        places = " and ".join(sorted({reservation.lines[number].level.location for number in spoken}))
        because, reason = f"and {places} does not find it", f"not found in the shop ({who})"
        known = _of_order(reservation, lines)
        stays, lost = store_lacks(known, spoken, floors, number=ctx.new_id(), reason=reason, now=now)
        if reservation.state in HOLDING and tx.draws(reservation.id):
            if stays is not None:
                return not_yet(reservation), set()  # the org has not heard of what it is to keep a part of
            tx.drop_draws(reservation.id)  # the org has not heard of it, and need not
        skus = {line.level.sku for line in reservation.lines}
        if stays is None:
            put(tx, ctx, reservation, lost, because=because)
            not_found.tell(tx, ctx, lost, who, spoken)
            bells = refresh(tx, ctx.assortment, ctx.pulse, skus, now)
            return Outcome(lost), bells | give_back(tx, ctx, lost)
        if lost.id != reservation.id:
            lost = replace(lost, reason=f"{reason}; all else is kept as reservation {stays.id}")
            put(tx, ctx, known, lost, because=because)
            for line in lines:
                if line.line.sku in {each.level.sku for each in lost.lines}:
                    tx.put_line(replace(line, reservations=(*line.reservations, lost.id), due=True))
        put(tx, ctx, reservation, stays)
        if stays.state is ReservationState.CONFIRMED:
            claim(tx, stays)
        not_found.tell(tx, ctx, lost, who, None if lost.id != reservation.id else spoken)
        held, subjects = held_by(tx, reservation), reservation.subjects()
        gone = {
            (subjects[number], level): units
            for number in spoken
            for level, units in held.get(subjects[number], {}).items()
        }
        bells = {"orders"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)
        return Outcome(stays), bells | let_go_of(tx, ctx, stays, gone)[1]

    def _found_after_all(self, tx: Tx, lost: Reservation, spoken: Set[int]) -> tuple[Outcome, set[str]]:
        """What its order holds where it is to be fetched is kept for its customer again."""
        now = self._ctx.clock.now()
        more = not_found.found(tx, self._ctx, lost, spoken)
        there = [line.level for line in lost.lines]
        whole = len(spoken) == len(lost.lines)
        kept = (is_kept(tx, self._ctx, lost, there, found_at=now) if whole else None) or lost
        return Outcome(kept), {"orders"} | (freed(tx, self._ctx, more, now) if more else set())

    def _store_said_late(
        self, tx: Tx, reservation: Reservation, spoken: Set[int], *, found: bool, who: str
    ) -> Outcome:
        """An order has taken the piece over before the shop spoke: what it says is told all the same."""
        floors = self._ctx.assortment.floor.locations
        others = [line for number, line in enumerate(reservation.lines) if number not in spoken]
        waits = any(line.level.location in floors and not line.found for line in others)
        lines = tuple(
            replace(line, found=found) if number in spoken else line
            for number, line in enumerate(reservation.lines)
        )
        said = replace(reservation, lines=lines, needs_store=waits)
        put(tx, self._ctx, reservation, said)
        if not found:
            not_found.tell(tx, self._ctx, said, who, spoken)
        return Outcome(said)

    async def hand_over(self, reservation_id: str, reference: str) -> Outcome:
        """The customer has the goods: on hand and reserved fall together, and the reservation is settled."""

        def commit(tx: Tx) -> Outcome | Asked:
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return Outcome(None, "not-found")
            if reservation.state is ReservationState.SETTLED:
                return Outcome(reservation)
            if reservation.state is ReservationState.PENDING or tx.busy(reservation.subjects()):
                return not_yet(reservation)
            if reservation.state not in TO_FETCH:
                return Outcome(reservation, "ended", detail=f"it is {reservation.state.value}")
            return self._hand_over(tx, reservation, reference)

        outcome = await self.when_answered(commit)
        if isinstance(outcome, Outcome):
            return outcome
        await self.answers(*outcome)

        def read(tx: Tx) -> Outcome:
            reservation = tx.reservation(reservation_id)
            return Outcome(reservation, waiting=reservation is not None and busy(tx, reservation))

        return await self._ctx.store.read(read)

    def _hand_over(self, tx: Tx, reservation: Reservation, reference: str) -> Outcome | Asked:
        """What it holds itself leaves, and what its orders hold of it by now leaves from there."""
        ctx, now = self._ctx, self._ctx.clock.now()
        lines = sold_on(tx, reservation)
        of_orders, subjects = self._of_orders(tx, reservation)
        if tx.busy(subjects) or (not lines and reservation.state is ReservationState.ORDERED):
            return not_yet(reservation)
        steps = {subject: tx.next_step(subject) for subject in (*subjects, *reservation.subjects())}
        held = held_by(tx, reservation)
        left = sent(tx, reservation)
        movements = handed_over(reservation, held, steps, reference, now, of_orders=of_orders, sent=left)
        if not movements and not any(fetched(reservation, left)):
            settled = replace(reservation, state=ReservationState.SETTLED, reason="it was fetched already")
            put(tx, ctx, reservation, settled)
            return Outcome(settled)
        if not movements and reservation.state is ReservationState.ORDERED:
            detail = f"order {reservation.order_reference} holds nothing that could be handed over"
            return Outcome(reservation, "ended", detail=detail)
        if not movements:
            return Outcome(reservation)
        channel = reservation.channel or next((line.channel for line in lines), None)
        owners = {movement.subject: channel for movement in movements}
        bundle = tx.add_bundle(movements, owners, now)
        skus = {movement.level.sku for movement in movements}
        return [bundle], {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    def _of_orders(
        self, tx: Tx, reservation: Reservation
    ) -> tuple[list[tuple[str, LevelKey, int]], list[str]]:
        """What the lines hold that were sold on it, as (subject, level, units), and their subjects."""
        subjects = [line.subject for line in sold_on(tx, reservation)]
        held = [
            (each.subject, each.level, each.reserved)
            for subject in subjects
            for each in tx.holdings([subject])
        ]
        return held, subjects


def _of_order(reservation: Reservation, lines: Sequence[LineState]) -> Reservation:
    """A reservation that orders' lines were sold on, with the name of the first of them."""
    if not lines or reservation.order_reference:
        return reservation
    return replace(reservation, order_reference=lines[0].order_name, channel=lines[0].channel)


def busy(tx: Tx, reservation: Reservation) -> bool:
    """True while the org has not answered something that was asked of it or of its orders."""
    return bool(tx.busy({*reservation.subjects(), *(line.subject for line in sold_on(tx, reservation))}))
