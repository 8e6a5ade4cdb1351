"""The reservation desk: a storefront asks before its customer pays, and only the org says yes.

A reservation is written down, asked of the org through the writer, and answered when the org has answered.
If that takes too long the answer is *pending*; the reservation goes on and can be looked up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sfsync.domain.ats import LevelFacts
from sfsync.domain.block import added, picked
from sfsync.domain.editions import Denial
from sfsync.domain.incidents import Wish as IncidentWish
from sfsync.domain.reservations import (
    HOLDING,
    STAND_IN_LIFE,
    Orphan,
    Outcome,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    Wish,
    WishedLine,
    as_told,
    chosen,
    part,
)
from sfsync.domain.stock import LevelKey
from sfsync.domain.values import replace
from sfsync.ports import Tx, drawn_rows

from . import block
from .allocations import Divider
from .asking import beside_block, not_yet, promised_to_others
from .context import wait_until_read
from .giving import close_covered_again
from .life import Life
from .orphans import all_orphans
from .picture import Picture, on_floor
from .reserving import Asked, close_covered, give_back, stand_in, tell_overdue, tell_unfetched
from .rooms import allowed, denied
from .settling import BELL as SETTLING
from .shelf import refresh

PLACES = 3  # other locations tried after a refusal
REPORT_SECONDS = 60.0
LOOK_SECONDS = 5.0  # at the latest: a reservation may be made that ends before all others
SOONEST_SECONDS = 1.0  # between two looks
KEYS = "reservations"  # the keys of whatever channel: one that comes again with another is a mistake


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a wish's lines are to be had."""

    lines: tuple[ReservationLine, ...]
    drawn: tuple[int, ...]  # units of each line that the local block gives
    needs_store: bool = False  # only if the shop says that it has them

    @property
    def ready(self) -> bool:
        """True when the block gives all of it, which needs no word of the org's."""
        return not self.needs_store and tuple(line.quantity for line in self.lines) == self.drawn


class Desk(Life):
    """Creates reservations and leads them through their lives, and lets the forgotten ones go."""

    async def create(self, wish: Wish, *, idempotency_key: str | None, digest: str) -> Outcome:
        """Ask for a wish. The same key with the same digest gives the same reservation, asked once."""
        ctx = self._ctx
        if self._closing.is_set():
            return Outcome(None, "later", detail="sfsync is stopping; nothing was asked")
        if ctx.pulse.rule_error:
            return Outcome(None, "later", detail=f"no reservation is granted while {ctx.pulse.rule_error}")
        number = ctx.new_id()
        opened = await ctx.store.write(lambda tx: self._open(tx, number, wish, idempotency_key, digest))
        if isinstance(opened, Outcome):
            return self._replied(opened, number, wish)
        reservation_id, bundles, bells = opened
        if not bundles:  # granted out of the local block, or asked for before
            ctx.bell.ring(*bells)
        read = partial(self._outcome, number=reservation_id, wish=wish)
        outcome: Outcome | None = None
        for _ in range(PLACES):
            await self.answers(bundles, bells)
            outcome = await ctx.store.read(read)
            reservation = outcome.reservation
            if reservation is None or reservation.state is not ReservationState.REFUSED or not bundles:
                break
            outcome = None
            # Refused where we asked: another place may have it.
            ctx.pulse.refusals.note((line.level for line in reservation.lines), ctx.clock.now())
            elsewhere = await ctx.store.write(partial(self._elsewhere, refused=reservation, wish=wish))
            if elsewhere is None:
                break
            bundles, bells = elsewhere
            if not bundles:
                ctx.bell.ring(*bells)
                break
        if outcome is None:
            outcome = await ctx.store.read(read)
        return self._replied(outcome, reservation_id, wish)

    def _refuse(
        self, tx: Tx, *, number: str, wish: Wish, no: Outcome, like: Reservation, now: datetime
    ) -> Outcome:
        """Write down that it is refused as another just was."""
        refused = replace(
            like,
            id=number,
            kind=wish.kind,
            owner=wish.owner,
            created_at=now,
            expires_at=wish.ends(now),
            window=wish.window,
        )
        tx.put_reservation(refused)
        return replace(no, reservation=refused)

    def _open(
        self, tx: Tx, number: str, wish: Wish, key: str | None, digest: str
    ) -> Outcome | tuple[str, list[int], set[str]]:
        now = self._ctx.clock.now()
        if key is not None and (known := tx.remembered(KEYS, key)) is not None:
            if known[0] != digest:
                return Outcome(None, "key-reused", detail="this Idempotency-Key was used for another request")
            return known[1], [], set()
        told = self._ctx.pulse.sold_out.answer(wish, now)
        if told is not None and told.reservation is not None:
            if key is not None:
                tx.remember(KEYS, key, digest, number, now)
            return self._refuse(tx, number=number, wish=wish, no=told, like=told.reservation, now=now)
        most = self._most(tx, wish)
        if isinstance(most, Denial):
            return Outcome(None, most.kind, detail=most.detail, more=most.more)
        skus = {line.sku for line in wish.lines}
        picture = Picture(tx.facts(skus), self._ctx.assortment, skus=skus)
        placed = self._from_block(wish, picture, most) or self._place(tx, wish, picture, most)
        if isinstance(placed, Outcome):
            return placed
        refused = ""
        if not placed.ready:
            placed, refused = self._without_sold_out(tx, placed, picture, now, wish)
        reservation = Reservation(
            number,
            ReservationState.REFUSED if refused else ReservationState.PENDING,
            wish.kind,
            wish.channel,
            wish.owner,
            placed.lines,
            now,
            wish.ends(now),
            partial=wish.partial,
            window=wish.window,
            needs_store=placed.needs_store,
            client=wish.client,
            reason=refused,
        )
        if key is not None:
            tx.remember(KEYS, key, digest, number, now)
        if placed.ready:
            return number, *self._grant(tx, reservation, picture=picture)
        tx.put_reservation(reservation)
        if refused:
            left = self.available(tx, skus, picture=picture)
            outcome = Outcome(reservation, "unavailable", left, refused)
            self._ctx.pulse.sold_out.keep(wish, outcome, now)
            return outcome
        return number, *self.ask(tx, reservation, picture=picture, new=True, drawn=placed.drawn)

    def _without_sold_out(
        self, tx: Tx, placed: Placed, picture: Picture, now: datetime, wish: Wish
    ) -> tuple[Placed, str]:
        """(what to ask the org for, why nothing): where a part will do, without the lines it would refuse."""
        before: dict[LevelKey, int] = defaultdict(int)
        reasons = []
        for line in beside_block(placed.lines, placed.drawn):
            ahead = before[line.level]
            asks = line.quantity > 0  # of the block's own the org is asked nothing
            no = asks and self._sold_out(tx, line, picture, now, before=ahead, in_hand=wish.in_hand)
            reasons.append(no or "")
            before[line.level] += line.quantity
        if not wish.partial or all(reasons):
            return placed, next(filter(None, reasons), "")
        kept = list(zip(placed.lines, placed.drawn, reasons, strict=True))
        lines = tuple(replace(line, quantity=0) if no else line for line, _, no in kept)
        return replace(placed, lines=lines, drawn=tuple(0 if no else units for _, units, no in kept)), ""

    def _sold_out(
        self,
        tx: Tx,
        line: ReservationLine,
        picture: Picture,
        now: datetime,
        *,
        before: int,
        in_hand: bool,
    ) -> str:
        """Why the org is not asked: it has just refused, or what is there is somebody else's. Else nothing.

        `before`: units of the level that the lines before this one ask for.
        """
        level, units = line.level, line.quantity
        available, freeing = picture.available(level), picture.freeing(level)
        followed = self._ctx.assortment.block(level.sku) is not None and not tx.open_holes()
        stands = self._ctx.pulse.refusals.stands
        if stands(level, units, available=available, freeing=freeing, now=now, followed=followed):
            return f"{units} wanted of {level}, {max(0, available)} available a moment ago"
        if promised := picture.beyond(level, before + units, in_hand=in_hand):
            return promised
        return self._spoken_for(tx, line, picture, now)

    def _spoken_for(self, tx: Tx, line: ReservationLine, picture: Picture, now: datetime) -> str:
        """Why units are nobody's to ask for although the org may have them: channels show them."""
        assortment, sku = self._ctx.assortment, line.level.sku
        if not assortment.may_divide(sku):
            return ""
        divider = Divider(tx, assortment, self._ctx.pulse, picture, now, only_look=True)
        shown = {
            channel: units
            for channel, units in divider.spoken_for(sku, tx.channel_levels([sku])).items()
            if line.level.location
            in assortment.sources(channel, assortment.channels[channel].first_location, sku)
        }
        free = max(0, picture.sellable(sku).get(line.level, 0)) - sum(shown.values())
        if not shown or line.quantity <= free:
            return ""
        return (
            f"what is there of {line.level} is being set aside for {' and '.join(shown)}, which still show it"
        )

    async def substitute(
        self,
        reservation_id: str,
        lines: tuple[WishedLine, ...],
        *,
        signed: IncidentWish | None = None,
        along: Callable[[Tx, int | None], None] = lambda tx, bundle: None,
    ) -> Outcome:
        """Take other pieces for a reservation that is paid and not available; or nothing, where they lack.

        They are a reservation of their own, which the org grants or refuses. With the grant it is what the
        customer has paid for, and the former one is over; or it goes on with what no piece stands in for.
        Asking twice for the same is asking once. `signed` names the person who decided it; `along` is called
        in the transaction that writes it down, with the bundle that asks the org, or None where the local
        block gave the pieces.
        """
        ctx, number = self._ctx, self._ctx.new_id()
        commit = partial(self._stand_in, number=number, paid_id=reservation_id, lines=lines, signed=signed)

        def commit_and_tell(tx: Tx) -> Outcome | Asked:
            asked = commit(tx)
            if not isinstance(asked, Outcome):
                along(tx, asked[0][0] if asked[0] else None)
            return asked

        outcome = await self.when_answered(commit_and_tell)
        if isinstance(outcome, Outcome):
            return outcome
        bundles, bells = outcome
        if bundles:
            await self.answers(bundles, bells)
        else:
            ctx.bell.ring(*bells)

        def read(tx: Tx) -> Outcome:
            found = tx.reservation(number)
            if found is None or found.state is not ReservationState.REFUSED:
                return Outcome(found)
            return Outcome(
                found, "unavailable", self.available(tx, {line.sku for line in lines}), found.reason
            )

        await ctx.store.write(lambda tx: self._claim_if_confirmed(tx, number))
        ctx.bell.ring("orders")
        return await ctx.store.read(read)

    def _stand_in(
        self, tx: Tx, *, number: str, paid_id: str, lines: tuple[WishedLine, ...], signed: IncidentWish | None
    ) -> Outcome | Asked:
        """Write down what is asked for in the place of a paid reservation, or say why nothing is."""
        ctx, now = self._ctx, self._ctx.clock.now()
        paid = tx.reservation(paid_id)
        if paid is None:
            return Outcome(None, "not-found")
        before = tx.stand_ins(paid.id)
        if paid.state is ReservationState.PENDING or any(
            each.state is ReservationState.PENDING for each in before
        ):
            return not_yet(paid)
        known = next((each for each in before if each.state in HOLDING and _is_for(each, lines)), None)
        if paid.state is not ReservationState.PAID_UNAVAILABLE:
            detail = f"it is {paid.state.value}, so nothing stands in for it"
            return Outcome(known) if known else Outcome(paid, "ended", detail=detail)
        if signed is None and known is not None:
            return Outcome(known)  # the same question come again: it stands for a part of it already
        if ctx.pulse.rule_error:
            return Outcome(paid, "later", detail=f"nothing is granted while {ctx.pulse.rule_error}")
        wanted = [(line.sku, line.quantity) for line in lines]
        if (no := denied(tx, ctx.assortment, paid.channel, paid.client, wanted, paid=True)) is not None:
            return Outcome(paid, no.kind, detail=no.detail, more=no.more)
        wish = Wish(paid.kind, paid.channel, paid.owner, lines, STAND_IN_LIFE, client=paid.client)
        picture = Picture(tx.facts({line.sku for line in lines}), ctx.assortment)
        most = tuple(line.quantity for line in lines)
        placed = self._from_block(wish, picture, most) or self._place(tx, wish, picture, most, paid=True)
        if isinstance(placed, Outcome):
            return replace(placed, reservation=paid)
        if no_units := promised_to_others(picture, beside_block(placed.lines, placed.drawn)):
            left = self.available(tx, {line.sku for line in lines}, picture=picture)
            return Outcome(paid, "unavailable", left, no_units)
        pending = Reservation(
            number,
            ReservationState.PENDING,
            paid.kind,
            paid.channel,
            paid.owner,
            placed.lines,
            now,
            wish.ends(now),
            window=paid.window,
            needs_store=placed.needs_store,
            client=paid.client,
            instead_of=paid.id,
        )
        if not placed.ready:
            tx.put_reservation(pending)
            return self.ask(tx, pending, signed, drawn=placed.drawn)
        asked = self._grant(tx, pending)
        stand_in(tx, ctx, replace(pending, state=ReservationState.GRANTED))
        return asked

    def _grant(self, tx: Tx, reservation: Reservation, *, picture: Picture | None = None) -> Asked:
        """Grant it out of the block; `picture` as for `ask`."""
        ctx, now = self._ctx, self._ctx.clock.now()
        block.grant(tx, reservation, now)
        if picture is not None:
            for line in reservation.lines:
                picture.enter(drawn_rows(line.level, reservation.channel, line.quantity))
        skus = {line.level.sku for line in reservation.lines}
        return [], {SETTLING} | refresh(tx, ctx.assortment, ctx.pulse, skus, now, known=picture)

    def _most(self, tx: Tx, wish: Wish) -> Denial | tuple[int, ...]:
        """How many units of each line may be had as far as editions go: all, unless a part will do."""
        wanted = [(line.sku, line.quantity) for line in wish.lines]
        return allowed(tx, self._ctx.assortment, wish.channel, wish.client, wanted, part=wish.partial)

    def _from_block(self, wish: Wish, picture: Picture, most: Sequence[int]) -> Placed | None:
        """The wish's lines where the local block has all of them ready; None when it has not."""
        assortment = self._ctx.assortment
        if not all(assortment.block(line.sku) for line in wish.lines):
            return None
        if any(line.quantity > units for line, units in zip(wish.lines, most, strict=True)):
            return None
        left: dict[LevelKey, int] = {}
        for sku in {line.sku for line in wish.lines}:
            left |= block.ready(picture, assortment, sku)
        lines: dict[int, ReservationLine] = {}
        for number, line in _bound_first(wish.lines):
            known = [key for key in left if key.sku == line.sku]
            level = picked(line.quantity, self._candidates(wish, line, known), left)
            if level is None:
                return None
            left[level] -= line.quantity
            lines[number] = ReservationLine(level, line.quantity)
        found = tuple(lines[number] for number in sorted(lines))
        return Placed(found, tuple(line.quantity for line in found))

    def _place(
        self, tx: Tx, wish: Wish, picture: Picture, most: Sequence[int], *, paid: bool = False
    ) -> Placed | Outcome:
        """Levels for each line: the best that seem able; the org decides whether they are.

        `most` has how many units of each may be asked for.

        The last pieces of a shop floor come after everything else, and only if the shop then says that it has
        them. A channel's safety stock is never given, but to who has paid already. What a level's pool lacks
        its local block gives, where it has that.
        """
        placed: dict[int, list[tuple[ReservationLine, int]]] = {}
        taken: dict[LevelKey, int] = {}
        drawn: dict[LevelKey, int] = {}
        needs_store = False
        for number, line in _bound_first(wish.lines):
            levels = on_floor(self._ctx.assortment, picture.levels(line.sku))
            able = {level.key: level.sellable - taken.get(level.key, 0) for level in levels}
            last = {level.key: level.last for level in levels if level.last and not wish.in_hand}
            candidates = self._candidates(wish, line, able)
            if not candidates:
                wait_until_read(tx)
                return Outcome(None, "unknown-sku", detail=self._nowhere(wish, line))
            stays = {} if paid or wish.in_hand else _stays(able, levels)
            kept = sum(stays.values())
            kept += 0 if paid else self._keep_back(wish, line.sku, able, picture)
            pool, ready = dict(able), self._ready(line, picture, drawn)
            for key, units in ready.items():
                able[key] = max(0, able.get(key, 0)) + units
            if kept and not wish.partial and (left := _sum(able, candidates)) < line.quantity <= left + kept:
                detail = f"{line.quantity} wanted of {line.sku}, {left} available beside the safety stock"
                return Outcome(None, "unavailable", self.available(tx, {line.sku}), detail)
            sure = {
                key: max(0, pool.get(key, 0) - max(0, last[key] - stays.get(key, 0))) + ready.get(key, 0)
                if key in last
                else units
                for key, units in able.items()
            }
            within, cut = replace(line, quantity=most[number]), line.quantity - most[number]
            asked = _split(wish, within, candidates, sure)
            if sum(min(units, sure[level]) for level, units, _ in asked) < within.quantity:
                asked = _split(wish, within, sorted(candidates, key=last.__contains__), able)
            asked = [
                (level, units, wanted + (0 if at else cut)) for at, (level, units, wanted) in enumerate(asked)
            ]
            for level, units, wanted in asked:
                block_has = ready.get(level, 0)
                beside = sure[level] - block_has if units <= sure[level] else pool[level]
                given = added(units, beside, block_has)
                taken[level] = taken.get(level, 0) + units - given
                drawn[level] = drawn.get(level, 0) + given
                needs_store |= level in last and units > sure[level]
                found = ReservationLine(level, units, wanted, line.unit is not None)
                placed.setdefault(number, []).append((found, given))
        lines = [each for number in sorted(placed) for each in placed[number]]
        return Placed(tuple(line for line, _ in lines), tuple(units for _, units in lines), needs_store)

    def _ready(
        self, line: WishedLine, picture: Picture, drawn: Mapping[LevelKey, int]
    ) -> dict[LevelKey, int]:
        """Units of a line's SKU that the local block may still give, by level."""
        assortment = self._ctx.assortment
        if assortment.block(line.sku) is None:
            return {}
        ready = block.ready(picture, assortment, line.sku)
        return {level: units - drawn.get(level, 0) for level, units in ready.items()}

    def _keep_back(self, wish: Wish, sku: str, able: dict[LevelKey, int], picture: Picture) -> int:
        """Take the channel's safety stock out of what its locations are able to give, the best one last.

        Returns how many units of it there are. A shop that has the pieces in its hand may have all of them.
        """
        assortment = self._ctx.assortment
        if wish.channel is None or wish.channel not in assortment.channels or wish.in_hand:
            return 0
        plan = assortment.sells_from(wish.channel, sku)
        places = [place for sources in plan.values() for place in sources]
        keep = assortment.policy(wish.channel, sku, picture.scarce(sku)).safety_stock
        kept = 0
        for place in reversed(list(dict.fromkeys(places))):
            for level in [key for key in able if key.location == place]:
                units = min(keep - kept, max(0, able[level]))
                able[level] -= units
                kept += units
        return kept

    @staticmethod
    def _nowhere(wish: Wish, line: WishedLine) -> str:
        place = line.location or line.location_group
        if place is None:
            place = f"the locations {wish.channel} sells from" if wish.channel else "any location"
        piece = f", unit {line.unit!r}," if line.unit else ""
        return f"there is no stock level of {line.sku!r}{piece} at {place}"

    def _candidates(self, wish: Wish, line: WishedLine, known: Iterable[LevelKey]) -> list[LevelKey]:
        """The levels that may give it, best location first: any piece there, unless the line names one."""
        assortment = self._ctx.assortment
        if line.location is not None:
            locations: Sequence[str] = (line.location,)
        elif line.location_group is not None:
            locations = assortment.groups.get(line.location_group, ())
        elif wish.channel is not None and wish.channel in assortment.channels:
            plan = assortment.sells_from(wish.channel, line.sku)
            locations = tuple(dict.fromkeys(place for sources in plan.values() for place in sources))
        else:
            locations = ()
        there = [place for place in dict.fromkeys(locations) if place not in assortment.not_for_sale]
        return sorted(
            (key for key in known if key.location in there and line.unit in (None, key.unit)),
            key=lambda key: (there.index(key.location), key),
        )

    def _elsewhere(self, tx: Tx, *, refused: Reservation, wish: Wish) -> Asked | None:
        """Ask again at other levels, when some seem able to give all of it, or when the block is by now."""
        picture = Picture(tx.facts({line.sku for line in wish.lines}), self._ctx.assortment)
        most = self._most(tx, wish)
        if isinstance(most, Denial):
            return None
        placed = self._from_block(wish, picture, most) or self._place(tx, wish, picture, most)
        if isinstance(placed, Outcome) or (placed.lines == refused.lines and not any(placed.drawn)):
            return None
        asked = beside_block(placed.lines, placed.drawn)
        if any(picture.sellable(line.level.sku).get(line.level, 0) < line.quantity for line in asked):
            return None
        again = replace(refused, lines=placed.lines, reason="", needs_store=placed.needs_store)
        if placed.ready:
            return self._grant(tx, again)
        again = replace(again, state=ReservationState.PENDING)
        tx.put_reservation(again)
        return self.ask(tx, again, drawn=placed.drawn)

    def _outcome(self, tx: Tx, *, number: str, wish: Wish) -> Outcome:
        reservation = tx.reservation(number)
        if reservation is None or reservation.state is not ReservationState.REFUSED:
            return Outcome(reservation)
        skus = {line.sku for line in wish.lines}
        return Outcome(reservation, "unavailable", self.available(tx, skus), reservation.reason)

    def _replied(self, outcome: Outcome, reservation_id: str, wish: Wish) -> Outcome:
        """The outcome as it is to be told, once it is logged."""
        if outcome.reservation is not None:  # the org may have granted it when its time was over already
            told = as_told(outcome.reservation, self._ctx.clock.now())
            outcome = replace(outcome, reservation=told)
        if outcome.reservation is not None:
            self._ctx.log.info(
                "reservation",
                id=reservation_id,
                channel=wish.channel,
                skus=[line.sku for line in wish.lines],
                outcome=outcome.reservation.state.value,
            )
        return outcome

    async def find(self, **wanted: Any) -> Sequence[Reservation]:
        """Reservations by state, kind, channel, owner or location, oldest first, as they are told."""
        now = self._ctx.clock.now()
        found = await self._ctx.store.read(lambda tx: tx.reservations(**wanted, at=now))
        return [as_told(each, now) for each in found]

    async def orphans(self) -> Sequence[Orphan]:
        """What reservations hold for nobody, longest held first."""
        return await all_orphans(self._ctx)

    async def sweep(self) -> None:
        """Until cancelled: let go of what has expired, and report what holds units for nobody."""
        ctx, reported = self._ctx, float("-inf")
        while True:
            over, next_end = await ctx.store.read(self._anything_over)
            if over:
                ctx.bell.ring(*await ctx.store.write(self._expire))
            now = ctx.clock.now()
            if now.timestamp() - reported >= REPORT_SECONDS:
                reported = now.timestamp()
                await ctx.store.write(partial(self.report, now=now))
            wait = LOOK_SECONDS if next_end is None else (next_end - now).total_seconds()
            await ctx.clock.sleep(min(LOOK_SECONDS, max(SOONEST_SECONDS, wait)))

    def _anything_over(self, tx: Tx) -> tuple[bool, datetime | None]:
        """(Whether there is, when the next one ends). Finding nothing costs nobody his turn to write."""
        next_end = tx.next_expiry()
        over = next_end is not None and next_end <= self._ctx.clock.now()
        return over or bool(tx.ended_still_holding(100)), next_end

    def _expire(self, tx: Tx) -> set[str]:
        bells: set[str] = set()
        for reservation in tx.expired_reservations(self._ctx.clock.now(), 100):
            bells |= self.let_go(tx, reservation, ReservationState.EXPIRED)[1]
        for reservation in tx.ended_still_holding(100):
            bells |= give_back(tx, self._ctx, reservation)
        return bells

    def report(self, tx: Tx, *, now: datetime) -> None:
        """Raise and end incidents of money without goods, and of goods held for nobody."""
        tell_overdue(tx, self._ctx, now)
        tell_unfetched(tx, self._ctx, now)
        close_covered(tx, self._ctx)
        close_covered_again(tx, self._ctx)


def _is_for(reservation: Reservation, lines: Sequence[WishedLine]) -> bool:
    """True when it was asked for with these lines."""
    had: dict[str, int] = {}
    for line in reservation.lines:
        had[line.level.sku] = had.get(line.level.sku, 0) + line.wanted
    wanted: dict[str, int] = {}
    for wish in lines:
        wanted[wish.sku] = wanted.get(wish.sku, 0) + wish.quantity
    return had == wanted


def _bound_first(lines: Sequence[WishedLine]) -> list[tuple[int, WishedLine]]:
    """The lines with their places in the wish: those that name a piece, then a location, before the others.

    A line that takes any must not take the only one that another can have.
    """
    return sorted(enumerate(lines), key=lambda each: (each[1].unit is None, each[1].location is None))


def _stays(able: dict[LevelKey, int], levels: Iterable[LevelFacts]) -> dict[LevelKey, int]:
    """Take what locations keep for whoever comes in out of what they are able to give; the units by level."""
    kept = {level.key: min(level.kept, max(0, able[level.key])) for level in levels}
    for key, units in kept.items():
        able[key] -= units
    return kept


def _sum(able: Mapping[LevelKey, int], levels: Iterable[LevelKey]) -> int:
    return sum(max(0, able.get(level, 0)) for level in levels)


def _split(
    wish: Wish, line: WishedLine, candidates: Sequence[LevelKey], sellable: Mapping[LevelKey, int]
) -> list[tuple[LevelKey, int, int]]:
    """(level, units to ask there, units wanted there): one location for all, or what each can give.

    What is sent may come from several locations, where none has all of it; nobody fetches a pick-up in two.
    """
    if not line.quantity:
        return [(candidates[0], 0, 0)]
    if wish.partial and (asked := part(line.quantity, candidates, sellable)):
        missing = line.quantity - sum(units for _, units in asked)
        return [(key, units, units + (0 if number else missing)) for number, (key, units) in enumerate(asked)]
    found = chosen(line.quantity, candidates, sellable)
    sent = wish.kind in (ReservationKind.CART, ReservationKind.ORDER)
    if sent and any(units > sellable.get(level, 0) for level, units in found):
        several = part(line.quantity, candidates, sellable)
        if sum(units for _, units in several) == line.quantity:
            found = several
    return [(level, units, units) for level, units in found]
