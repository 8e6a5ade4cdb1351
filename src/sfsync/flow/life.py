"""What happens to a reservation after it was asked for: paid, prolonged, moved, given back.

What its boutique does with it is told apart (`fetching`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial

from sfsync.domain.ats import LevelFacts
from sfsync.domain.incidents import Wish as IncidentWish
from sfsync.domain.incidents import taken_at
from sfsync.domain.reservations import (
    ENDED,
    HOLDING,
    OPEN,
    TAKEN_OVER,
    TO_FETCH,
    Outcome,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    as_told,
    beyond,
    carried,
    for_less,
    levels_at,
    moves,
    order_names,
    over,
    parted,
    prolonged,
    whole,
)
from sfsync.domain.stock import LevelKey, Movement
from sfsync.domain.values import replace
from sfsync.ports import Tx

from .asking import beside_block, not_yet, promised_to_others
from .block import beside
from .context import wait_until_read
from .cover import lacking
from .fetching import Fetching, busy
from .owing import of_its_orders, owed_late, sold_on, still_owed
from .picture import Picture, on_floor
from .refunding import owe
from .reserving import (
    GONE,
    Asked,
    claim,
    give_back,
    held_by,
    is_kept,
    let_go_of,
    put,
    steps_of,
    under,
)
from .shelf import refresh
from .sold_from_floor import tell as tell_on_floor


class Life(Fetching):
    """Leads reservations through their lives."""

    async def get(self, reservation_id: str) -> Reservation | None:
        """A reservation as it stands: expired as soon as its time is over."""
        found = await self._ctx.store.read(lambda tx: tx.reservation(reservation_id))
        return None if found is None else as_told(found, self._ctx.clock.now())

    async def confirm(self, reservation_id: str, order_reference: str) -> Outcome:
        """The customer has paid: it no longer expires. Its order, when it comes, takes it over.

        After its time it is a conditional take: where the ledger still holds all its units, because they have
        not been given back yet, they are taken in this commit. Otherwise the org is asked anew: either the
        units are had again, or the reservation says that it was paid for and is not available. So it does
        where goods have left meanwhile and stock covers its promise no longer.
        """
        followed = False

        def commit(tx: Tx) -> Outcome | Asked:
            nonlocal followed
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return Outcome(None, "not-found")
            if other := self._other_order(tx, reservation, order_reference):
                detail = f"it is order {other}'s; ask for a reservation of its own for this order"
                return Outcome(reservation, "other-order", detail=detail)
            match reservation.state:
                case _ if over(reservation, self._ctx.clock.now()):
                    return self._paid_after_its_time(tx, reservation, order_reference)
                case ReservationState.GRANTED:
                    if not followed and (asked := self._followed(tx, reservation)) is not None:
                        followed = True
                        return asked
                    return self._taken(tx, reservation, order_reference)
                case ReservationState.SETTLED if not reservation.order_reference:
                    # She has it in her hand already: its order finds that it has left.
                    state = reservation.state
                    return Outcome(self._confirmed(tx, reservation, order_reference, state))
                case ReservationState.CONFIRMED | ReservationState.ORDERED | ReservationState.SETTLED:
                    return Outcome(_gone_of(tx, reservation) or reservation)
                case ReservationState.AWAITING_STORE:
                    detail = "the shop has not said yet that it has the piece"
                    return Outcome(reservation, "awaiting-store", detail=detail)
                case ReservationState.PENDING if reservation.paid_at is None:
                    return not_yet(reservation)
                case ReservationState.PENDING | ReservationState.PAID_UNAVAILABLE:
                    return Outcome(reservation)
                case state if state in ENDED and reservation.paid_at is None:
                    return self._paid_after_its_end(tx, reservation, order_reference)
                case _:
                    return Outcome(reservation, "ended", detail=f"it is {reservation.state.value}")

        outcome = await self.when_answered(commit)
        if followed and not isinstance(outcome, Outcome):
            await self.answers(*outcome)
            outcome = await self.when_answered(commit)
        self._ctx.bell.ring("orders")
        if isinstance(outcome, Outcome):
            return await self._told(outcome)
        await self.answers(*outcome)
        if (again := await self._ctx.store.write(lambda tx: self._another(tx, reservation_id))) is not None:
            await self.answers(*again)

        def read(tx: Tx) -> Outcome:
            reservation = tx.reservation(reservation_id)
            return Outcome(reservation and (_gone_of(tx, reservation) or reservation))

        await self._ctx.store.write(lambda tx: self._claim_if_confirmed(tx, reservation_id))
        self._ctx.bell.ring("orders")
        return await self._told(await self._ctx.store.read(read))

    def _followed(self, tx: Tx, reservation: Reservation) -> Asked | None:
        """Have an unpaid reservation follow its numbered pieces to where they were carried, as it is paid.

        Given up where they were, they would be everybody's where they are, and there is no other of them.
        """
        if all(line.level.unit is None for line in reservation.lines):
            return None
        if not (short := lacking(tx, reservation)) or tx.busy(reservation.subjects()):
            return None
        free = {level.key: level.promised for level in self._facts(tx, reservation)}
        to: dict[LevelKey, LevelKey] = {}
        for _, level in short:
            found = [
                key
                for key in sorted(free)
                if (key.sku, key.unit) == (level.sku, level.unit) and free[key] > 0 and key != level
            ]
            if level.unit is None or not found or found[0].location in self._ctx.assortment.not_for_sale:
                return None
            to[level] = found[0]
        ctx, now = self._ctx, self._ctx.clock.now()
        held = {
            subject: {level: units for level, units in places.items() if level in to}
            for subject, places in held_by(tx, reservation).items()
        }
        movements = moves(reservation, held, steps_of(tx, reservation), "", now, to=to)
        bundle = tx.add_bundle(movements, {each.subject: reservation.channel for each in movements}, now)
        skus = {each.level.sku for each in movements}
        return [bundle], {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    def _taken(self, tx: Tx, reservation: Reservation, order_reference: str) -> Outcome | Asked:
        """Take what it holds. What stock does not cover any more is let go, and told: paid, not available.

        So is what of it gave way before it was paid for. What the shop has in its hand is there, whatever the
        books say.
        """
        short = {} if reservation.found_at is not None else lacking(tx, reservation)
        owed = zip(reservation.lines, still_owed(tx, reservation), strict=True)
        before = [max(0, units - line.quantity) for line, units in owed]
        if not short and not any(before):
            return Outcome(self._confirmed(tx, reservation, order_reference))
        if tx.busy(reservation.subjects()):
            return not_yet(reservation)
        ctx, gone = self._ctx, dict.fromkeys(reservation.subjects(), 0)
        for (subject, _), units in short.items():
            gone[subject] += units
        what = ", ".join(f"{units} of {level}" for (_, level), units in sorted(short.items()))
        paid = self._paid(reservation, order_reference, ReservationState.CONFIRMED)
        reason = "goods have left since it was granted, and "
        reason += f"stock does not cover {what}" if what else "it gave way to them in part"
        once = [replace(line, quantity=line.quantity + u) for line, u in zip(paid.lines, before, strict=True)]
        lacks = [units + more for units, more in zip(gone.values(), before, strict=True)]
        stays, lost = parted(replace(paid, lines=tuple(once)), lacks, ctx.new_id(), reason)
        if stays is not None:
            lost = replace(lost, reason=f"{reason}; all else is confirmed as reservation {stays.id}")
            tx.put_reservation(stays)
            claim(tx, stays)
        put(tx, ctx, reservation, lost, because=GONE)
        return let_go_of(tx, ctx, stays or lost, short)

    def _another(self, tx: Tx, reservation_id: str) -> Asked | None:
        """What was just paid for is gone: ask for another piece there, where one is free and any will do."""
        reservation = tx.reservation(reservation_id)
        lost = reservation and (_gone_of(tx, reservation) or reservation)
        if lost is None or lost.state is not ReservationState.PAID_UNAVAILABLE or tx.busy(lost.subjects()):
            return None
        names = order_names(lost.order_reference)
        if lost.channel is not None and names and tx.lines_of_order(lost.channel, names):
            return None  # the order asks by itself
        less = for_less(lost, still_owed(tx, lost))
        levels = self._levels_at(tx, less, None)
        if all(line.level == level for line, level in zip(lost.lines, levels, strict=True)):
            return None
        asked = self._asked_again(tx, lost, less, levels)
        return None if isinstance(asked, Outcome) else asked

    def _paid_after_its_time(self, tx: Tx, reservation: Reservation, order_reference: str) -> Outcome | Asked:
        """Take what it holds, if it holds all of it; else it is let go first, and then asked for anew."""
        drawn = tx.draws(reservation.id)  # what the local block gave is its own, whatever the org has heard
        there = not tx.busy(reservation.subjects()) and whole(reservation, held_by(tx, reservation))
        if not drawn and not there:
            return not_yet(reservation)
        if reservation.state is ReservationState.GRANTED:
            return self._taken(tx, reservation, order_reference)
        paid = self._paid(reservation, order_reference, ReservationState.AWAITING_STORE)
        tx.put_reservation(paid)
        return Outcome(paid)

    def _paid_after_its_end(self, tx: Tx, ended: Reservation, order_reference: str) -> Outcome | Asked:
        """Ask for it anew: where it was, and of a shop floor's last pieces only if the shop has them."""
        if tx.busy(ended.subjects()) or _holds(tx, ended):
            return not_yet(ended)  # what it gives back must have been seen first
        paid = self._paid(ended, order_reference, ReservationState.PENDING)
        units = owed_late(tx, paid)
        if not any(units):
            return Outcome(self._had_by_orders(tx, ended, paid))
        again = for_less(paid, units)
        return self._asked_again(tx, ended, again, self._levels_at(tx, again, None))

    def _had_by_orders(self, tx: Tx, ended: Reservation, paid: Reservation) -> Reservation:
        """Its order has all that it was paid for: nothing is held for it beside that."""
        to_fetch = paid.kind is ReservationKind.PICK_UP and any(
            line.line.open_quantity for line in of_its_orders(tx, paid)
        )
        had = replace(paid, state=ReservationState.ORDERED if to_fetch else ReservationState.SETTLED)
        put(tx, self._ctx, ended, had)
        if to_fetch:
            claim(tx, had)
        return had

    def _asked_again(
        self, tx: Tx, before: Reservation, paid: Reservation, levels: Sequence[LevelKey]
    ) -> Outcome | Asked:
        """Ask for what was paid for at these levels, unless it may not be had there."""
        again = replace(
            paid,
            state=ReservationState.PENDING,
            lines=tuple(
                replace(line, level=level, found=False) if line.quantity else line
                for line, level in zip(paid.lines, levels, strict=True)
            ),
            found_at=None,
        )
        asked = [(line.level, line.quantity) for line in again.lines]
        again = replace(again, needs_store=self._on_floor(tx, again, asked))
        denial = self.denied_again(tx, again)
        no = denial.detail if denial is not None else ""
        no, drawn = (no, ()) if no else self._to_be_had(tx, again)
        if no:
            lost = replace(again, state=ReservationState.PAID_UNAVAILABLE, reason=no)
            put(tx, self._ctx, before, lost)
            return Outcome(lost)
        tx.put_reservation(again)
        return self.ask(tx, again, drawn=drawn)

    def _to_be_had(self, tx: Tx, again: Reservation) -> tuple[str, Sequence[int]]:
        """(Why its lines may not be asked for, else nothing; the units that the local block gives)."""
        picture = self._picture(tx, again)
        drawn = beside(picture, self._ctx.assortment, [(line.level, line.quantity) for line in again.lines])
        return promised_to_others(picture, beside_block(again.lines, drawn)), drawn

    @staticmethod
    def _other_order(tx: Tx, reservation: Reservation, order_reference: str) -> str:
        """The name of the order that has it instead of the one that is asked for; empty where none has.

        One that was confirmed for an order is that order's, and so is one that orders were sold on which take
        all of it; each of them may be named, in whichever way its channel writes it.
        """
        known, asked = order_names(reservation.order_reference), order_names(order_reference)
        if set(known) & set(asked):
            return ""
        lines = sold_on(tx, reservation)
        if any(line.order_id in asked or line.order_name in asked for line in lines):
            return ""
        if known and reservation.channel is not None:
            ours = {line.subject for line in tx.lines_of_order(reservation.channel, known)}
            if any(line.subject in ours for line in tx.lines_of_order(reservation.channel, asked)):
                return ""
        if known:
            return reservation.order_reference
        taken = Counter[str]()
        for line in lines:
            taken[line.line.sku] += line.line.open_quantity + line.line.fulfilled_quantity
        due = Counter[str]()
        for each, units in zip(reservation.lines, reservation.due(), strict=True):
            due[each.level.sku] += units
        return lines[0].order_name if lines and due <= taken else ""

    async def _told(self, outcome: Outcome) -> Outcome:
        """The outcome, with where the units are when they are not to be had."""
        reservation = outcome.reservation
        if outcome.problem or reservation is None:
            return outcome
        if reservation.state is not ReservationState.PAID_UNAVAILABLE:
            return outcome
        skus = {line.level.sku for line in reservation.lines}
        available = await self._ctx.store.read(lambda tx: self.available(tx, skus))
        return Outcome(reservation, "paid-unavailable", available, reservation.reason)

    def _paid(self, reservation: Reservation, order_reference: str, state: ReservationState) -> Reservation:
        return replace(
            reservation,
            state=state,
            expires_at=None,
            order_reference=order_reference,
            paid_at=self._ctx.clock.now(),
        )

    def _confirmed(
        self,
        tx: Tx,
        reservation: Reservation,
        order_reference: str,
        state: ReservationState = ReservationState.CONFIRMED,
    ) -> Reservation:
        confirmed = self._paid(reservation, order_reference, state)
        tx.put_reservation(confirmed)
        claim(tx, confirmed)
        return confirmed

    def _claim_if_confirmed(self, tx: Tx, reservation_id: str) -> None:
        reservation = tx.reservation(reservation_id)
        if reservation is not None and reservation.state is ReservationState.CONFIRMED:
            claim(tx, reservation)

    async def extend(self, reservation_id: str, life: timedelta) -> Outcome:
        """It expires that long from now: never sooner than before, nor later than the longest may last.

        One that was paid for does not expire; the window in which its customer comes is open as long.
        """

        def commit(tx: Tx) -> Outcome:
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return Outcome(None, "not-found")
            if reservation.state is ReservationState.PENDING:
                return not_yet(reservation)
            now = self._ctx.clock.now()
            reservation = as_told(reservation, now)  # told that it is over, it does not go on
            lasts = reservation.expires_at is None and reservation.window is None
            if reservation.state not in TO_FETCH or lasts:
                end = ", and has no end" if reservation.state in TO_FETCH else ""
                return Outcome(reservation, "ended", detail=f"it is {reservation.state.value}{end}")
            extended = prolonged(reservation, now + life)
            put(tx, self._ctx, reservation, extended)
            return Outcome(extended)

        return await self._ctx.store.write(commit)

    async def move(
        self,
        reservation_id: str,
        location: str,
        *,
        signed: IncidentWish | None = None,
        along: Callable[[Tx, int], None] = lambda tx, bundle: None,
    ) -> Outcome:
        """Hold it at another location instead: there, or where it was; never nowhere, never twice.

        What a location keeps for whoever comes in is given to who has paid only, as when it is asked for.
        One that was paid for and is not available is asked for there. What its order holds of a pick-up by
        now goes there with it. `signed` names the person who decided it in the movements; `along` is called
        in the transaction that writes them down, with their bundle.
        """
        skus: set[str] = set()

        def commit(tx: Tx) -> Outcome | Asked:
            reservation = tx.reservation(reservation_id)
            if reservation is None:
                return Outcome(None, "not-found")
            reservation = as_told(reservation, self._ctx.clock.now())
            skus.update(line.level.sku for line in reservation.lines)
            if location in self._ctx.assortment.not_for_sale:
                detail = f"what stands at {location} is not for sale"
                return Outcome(reservation, "not-for-sale", detail=detail)
            if tx.busy(reservation.subjects()):
                return not_yet(reservation)
            there = self._levels_at(tx, reservation, location)
            units_owed = still_owed(tx, reservation, sent_alone=True)
            needed = {level for level, units in zip(there, units_owed, strict=True) if units}
            if missing := needed - tx.levels(there).keys():
                wait_until_read(tx)
                lacks = min(missing)
                piece = f", unit {lacks.unit!r}," if lacks.unit else ""
                detail = f"there is no stock level of {lacks.sku!r}{piece} at {location}"
                return Outcome(reservation, "unknown-sku", detail=detail)
            of_orders, subjects = self._of_orders(tx, reservation)
            if tx.busy(subjects):
                return not_yet(reservation)
            lost = reservation.state is ReservationState.PAID_UNAVAILABLE
            own = _own_units(tx, reservation)
            theirs = [max(0, units - held) for units, held in zip(units_owed, own, strict=True)]
            away = carried(reservation, there, of_orders, theirs)
            if lost and (here := is_kept(tx, self._ctx, reservation, there)) is not None:
                return Outcome(here)
            if reservation.state is ReservationState.ORDERED and not away:
                detail = _held_elsewhere(reservation, of_orders)
                return Outcome(reservation, "ended" if away is None else "", detail=detail)
            if away and reservation.state not in HOLDING:
                if promised := self._promised_there(tx, reservation, there):
                    problem = "paid-unavailable" if lost else "unavailable"
                    detail = f"{promised}; it is held where it was"
                    return Outcome(reservation, problem, self.available(tx, skus), detail)
                asked = self._carry(tx, reservation, away, signed)
            elif lost:
                less = for_less(reservation, still_owed(tx, reservation))
                if not any(line.quantity for line in less.lines):
                    detail = f"order {reservation.order_reference} has given all of it"
                    return Outcome(reservation, "ended", detail=detail)
                lines = tuple(
                    ReservationLine(level, line.quantity, max(line.quantity, line.wanted), line.named)
                    if line.quantity
                    else line
                    for level, line in zip(there, less.lines, strict=True)
                )
                asks = [(line.level, line.quantity) for line in lines]
                again = replace(
                    less,
                    state=ReservationState.PENDING,
                    lines=lines,
                    needs_store=self._on_floor(tx, reservation, asks),
                )
                if (no := self.denied_again(tx, again)) is not None:
                    return Outcome(reservation, "paid-unavailable", detail=no.detail, more=no.more)
                promised, drawn = self._to_be_had(tx, again)
                if promised:
                    return Outcome(reservation, "paid-unavailable", self.available(tx, skus), promised)
                tx.put_reservation(again)
                asked = self.ask(tx, again, signed, drawn=drawn)
            elif reservation.state not in HOLDING:
                return Outcome(reservation, "ended", detail=f"it is {reservation.state.value}")
            else:
                pairs = zip(reservation.lines, units_owed, strict=True)
                left = tuple(replace(line, quantity=min(line.quantity, units)) for line, units in pairs)
                moved = replace(reservation, lines=left)  # what was sent goes nowhere
                if (kept := self._kept_there(tx, moved, there)) is not None:
                    return replace(kept, reservation=reservation)
                if promised := self._promised_there(tx, moved, there):
                    detail = f"{promised}; it is held where it was"
                    return Outcome(reservation, "unavailable", self.available(tx, skus), detail)
                fetched = reservation.kind is ReservationKind.PICK_UP  # what is sent is sent from anywhere
                if fetched and away is None and any(units > 0 for _, _, units in of_orders):
                    return Outcome(reservation, "ended", detail=_held_elsewhere(reservation, of_orders))
                to = dict(zip((line.level for line in reservation.lines), there, strict=True))
                asks_shop = self._asks_shop_there(tx, moved, there)  # before its units are asked there
                rows = self._rows_away(tx, (away or ()) if fetched else (), signed)
                found = self._enter(tx, reservation, partial(moves, to=to), location, signed, along=rows)
                if isinstance(found, Outcome):
                    return found
                tx.put_reservation(replace(reservation, needs_store=asks_shop))
                asked = found
            along(tx, asked[0][0])
            return asked

        outcome = await self.when_answered(commit)
        if isinstance(outcome, Outcome):
            return outcome
        await self.answers(*outcome)

        def read(tx: Tx) -> Outcome:
            reservation = tx.reservation(reservation_id)
            if reservation is not None:
                reservation = as_told(reservation, self._ctx.clock.now())
            if reservation is None or busy(tx, reservation):
                return Outcome(reservation, waiting=True)  # as it stands, and it may still be moved
            own = _own_units(tx, reservation)
            if reservation.kind is ReservationKind.PICK_UP:
                own = still_owed(tx, reservation, sent_alone=True)
            held = [line.level for line, units in zip(reservation.lines, own, strict=True) if units]
            if reservation.state in TO_FETCH and all(level.location == location for level in held):
                return Outcome(reservation)
            problem = "paid-unavailable" if reservation.state is ReservationState.PAID_UNAVAILABLE else ""
            detail = f"{location} cannot give these units; it is held where it was"
            return Outcome(reservation, problem or "unavailable", self.available(tx, skus), detail)

        await self._ctx.store.write(lambda tx: self._claim_if_confirmed(tx, reservation_id))
        self._ctx.bell.ring("orders")
        return await self._ctx.store.read(read)

    def _carry(
        self,
        tx: Tx,
        reservation: Reservation,
        away: Sequence[tuple[str, LevelKey, LevelKey, int]],
        signature: IncidentWish | None,
    ) -> Asked:
        """Have what its orders hold of it carried to other levels, all or none; the pick-up follows it."""
        ctx, now = self._ctx, self._ctx.clock.now()
        movements = self._rows_away(tx, away, signature)
        lines = tx.lines([subject for subject, _, _, _ in away])
        if self._on_floor(tx, reservation, [(target, units) for _, _, target, units in away]):
            for subject, _, target, units in away:
                tell_on_floor(tx, ctx, lines[subject], target, units, now, reservation=reservation.id)
            tx.put_reservation(replace(reservation, needs_store=True))
        bundle = tx.add_bundle(movements, {number: line.channel for number, line in lines.items()}, now)
        skus = {movement.level.sku for movement in movements}
        return [bundle], {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    def _rows_away(
        self,
        tx: Tx,
        away: Sequence[tuple[str, LevelKey, LevelKey, int]],
        signature: IncidentWish | None,
    ) -> list[Movement]:
        """The movements that carry what order lines hold to other levels."""
        lines = tx.lines([subject for subject, _, _, _ in away])
        steps = dict(tx.next_steps(list(lines)))
        movements: list[Movement] = []
        for subject, level, target, units in away:
            rows = taken_at(
                subject,
                steps[subject],
                units,
                origin=level,
                target=target,
                reference=lines[subject].order_name,
                version=lines[subject].version.isoformat(),
                at=self._ctx.clock.now(),
            )
            steps[subject] += len(rows)
            movements += under(rows, signature)
        return movements

    def _levels_at(self, tx: Tx, reservation: Reservation, location: str | None) -> Sequence[LevelKey]:
        """Where its lines are to be held: at a location, or where they were."""
        kept = reservation.paid_at is None
        free = {
            level.key: level.sellable - (level.kept if kept else 0) for level in self._facts(tx, reservation)
        }
        return levels_at(reservation.lines, location, free)

    def _picture(self, tx: Tx, reservation: Reservation) -> Picture:
        return Picture(tx.facts({line.level.sku for line in reservation.lines}), self._ctx.assortment)

    def _facts(self, tx: Tx, reservation: Reservation) -> list[LevelFacts]:
        """The levels of its SKUs, with what their locations keep; what it holds itself may go there."""
        skus = {line.level.sku for line in reservation.lines}
        picture, own = self._picture(tx, reservation), _own(tx, reservation)
        return [
            level
            for sku in sorted(skus)
            for level in on_floor(self._ctx.assortment, picture.levels(sku, own=own))
        ]

    def _promised_there(self, tx: Tx, reservation: Reservation, there: Sequence[LevelKey]) -> str:
        """Why it may not be moved: what is there was promised to others elsewhere. It may follow its own."""
        lines = zip(reservation.lines, there, strict=True)
        moved = [replace(line, level=level) for line, level in lines if level != line.level]
        return promised_to_others(self._picture(tx, reservation), moved, own=_own(tx, reservation))

    def _kept_there(self, tx: Tx, reservation: Reservation, there: Sequence[LevelKey]) -> Outcome | None:
        """Why it may not be moved: what is there is kept for whoever comes in. None for who has paid."""
        if reservation.paid_at is not None:
            return None
        may_give = {
            level.key: level.sellable - level.kept for level in self._facts(tx, reservation) if level.kept
        }
        found = beyond(reservation.lines, there, may_give)
        if found is None:
            return None
        level, units = found
        detail = (
            f"{units} wanted of {level.sku}, {max(0, may_give[level])} available beside the safety stock of "
            f"{level.location}; it is held where it was"
        )
        return Outcome(reservation, "unavailable", self.available(tx, {level.sku}), detail)

    def _on_floor(self, tx: Tx, reservation: Reservation, asked: Iterable[tuple[LevelKey, int]]) -> bool:
        """True when so much of its goods takes the last pieces of a shop floor that sells without asking."""
        wanted = Counter[LevelKey]()
        for level, units in asked:
            wanted[level] += units
        return any(facts.asks_shop(wanted[facts.key]) for facts in self._facts(tx, reservation))

    def _asks_shop_there(self, tx: Tx, reservation: Reservation, there: Sequence[LevelKey]) -> bool:
        """True when it needs the word of the shop that it is moved to; what is there waits as it did."""
        lines = list(zip(reservation.lines, there, strict=True))
        asked = [(level, line.quantity) for line, level in lines if level != line.level]
        waits = reservation.needs_store and any(level == line.level for line, level in lines)
        return waits or self._on_floor(tx, reservation, asked)

    def _enter(
        self,
        tx: Tx,
        reservation: Reservation,
        movements_of: Callable[..., tuple[Movement, ...]],
        word: str,
        signature: IncidentWish | None = None,
        *,
        along: Sequence[Movement] = (),
    ) -> Outcome | Asked:
        """Have movements of what the reservation holds entered, with those of its orders, all or none."""
        ctx, now = self._ctx, self._ctx.clock.now()
        movements = movements_of(reservation, held_by(tx, reservation), steps_of(tx, reservation), word, now)
        if not movements and not along:
            return Outcome(reservation)
        movements = (*under(movements, signature), *along)
        owners = dict.fromkeys((each.subject for each in movements), reservation.channel)
        for number, line in tx.lines([each.subject for each in along]).items():
            owners[number] = line.channel
        bundle = tx.add_bundle(movements, owners, now)
        skus = {movement.level.sku for movement in movements}
        return [bundle], {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)

    async def release(self, reservation_id: str, reason: str = "", *, by: str = "") -> Outcome:
        """The units go back. Releasing twice is fine. What was paid for is owed from then on."""

        def commit(tx: Tx) -> tuple[Outcome, set[str]]:
            reservation = tx.reservation(reservation_id)
            if reservation is not None and reservation.state is ReservationState.PAID_UNAVAILABLE:
                ended = replace(reservation, state=ReservationState.RELEASED, reason=reason)
                put(tx, self._ctx, reservation, ended)
                owe(tx, self._ctx, reservation, by, reason or "given up: paid for, and not available")
                return Outcome(ended), set()
            if reservation is not None and reservation.state is ReservationState.ORDERED:
                detail = (
                    f"order {reservation.order_reference} has taken it over: cancel the order at its channel"
                )
                return Outcome(reservation, "ended", detail=detail), set()
            outcome, bells = self.let_go(tx, reservation, ReservationState.RELEASED, reason)
            paid = (
                reservation is not None and reservation.state in HOLDING and reservation.paid_at is not None
            )
            if paid and reservation is not None and not outcome.problem:
                owe(tx, self._ctx, reservation, by, reason or "released after it was paid for")
            return outcome, bells

        outcome, bells = await self._ctx.store.write(commit)
        self._ctx.bell.ring(*bells)
        return outcome

    def let_go(
        self, tx: Tx, reservation: Reservation | None, state: ReservationState, reason: str = ""
    ) -> tuple[Outcome, set[str]]:
        """Give back what its subjects hold. Never before their rows have been seen (correctness B)."""
        if reservation is None:
            return Outcome(None, "not-found"), set()
        if reservation.state not in OPEN:
            return Outcome(reservation), set()
        drawn = tx.draws(reservation.id) if reservation.state in HOLDING else ()
        if drawn and all(bundle is None for _, bundle in drawn):
            tx.drop_draws(reservation.id)  # the org has not heard of it, and need not
        if reservation.state not in HOLDING or tx.busy(reservation.subjects()):
            return not_yet(reservation), set()
        ended = replace(reservation, state=state, reason=reason)
        put(tx, self._ctx, reservation, ended)
        return Outcome(ended), give_back(tx, self._ctx, ended)


def _own(tx: Tx, reservation: Reservation) -> dict[LevelKey, int]:
    """The units that it holds, by level, and the orders that have taken over some of it or all."""
    found: dict[LevelKey, int] = {}
    for each in tx.holdings([line.subject for line in sold_on(tx, reservation)]):
        found[each.level] = found.get(each.level, 0) + max(0, each.reserved)
    for places in held_by(tx, reservation).values():
        for level, units in places.items():
            found[level] = found.get(level, 0) + max(0, units)
    return found


def _own_units(tx: Tx, reservation: Reservation) -> tuple[int, ...]:
    """The units that each of its lines holds itself."""
    held = held_by(tx, reservation)
    return tuple(
        sum(max(0, units) for units in held.get(subject, {}).values()) for subject in reservation.subjects()
    )


def _held_elsewhere(reservation: Reservation, of_orders: Sequence[tuple[str, LevelKey, int]]) -> str:
    """Why a pick-up that its order has taken over cannot be moved."""
    held = " and ".join(sorted({level.location for _, level, units in of_orders if units > 0}))
    where = f"it has it at {held}" if held else "it has none"
    return (
        f"order {reservation.order_reference} does not hold it where it was to be fetched, {where}: "
        "see the incidents of the order, or cancel it at its channel"
    )


def _gone_of(tx: Tx, reservation: Reservation) -> Reservation | None:
    """What was paid for with a confirmed one and is not available: it was parted when it was confirmed."""
    if reservation.state is not ReservationState.CONFIRMED and reservation.state not in TAKEN_OVER:
        return None
    parts = (each for each in tx.stand_ins(reservation.id) if each.state is ReservationState.PAID_UNAVAILABLE)
    return next(parts, None)


def _holds(tx: Tx, reservation: Reservation) -> bool:
    return any(units > 0 for places in held_by(tx, reservation).values() for units in places.values())
