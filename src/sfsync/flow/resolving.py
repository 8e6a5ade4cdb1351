"""The ways out of an incident, as a person takes them: another location, other pieces, a refund, waiting, ….

What is decided is written down, with a name and a reason, in the transaction that also writes down the
movements; so a crash loses neither, and nothing is entered without the other. The same decision again, a
second click, finds the first one. A cancellation is written down before the channel hears of it, and carried
out by `Cancellations`, which begins with what a former run has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from sfsync.domain.incidents import (
    NOT_FOUND,
    ON_FLOOR,
    OVERSOLD,
    PAID_UNAVAILABLE,
    Resolved,
    Stage,
    Waiting,
    Way,
    Wish,
    signed,
    taken_at,
    ways,
)
from sfsync.domain.promises import Stake
from sfsync.domain.refunds import RefundTask
from sfsync.domain.reservations import ReservationState, WishedLine
from sfsync.domain.stock import BadKeyError, LevelKey, allocation_subject
from sfsync.ports import Incident, LineState, Resolution, Tx

from . import not_found, sold_from_floor, stakes
from .allocations import SUBJECT, give_up_gone, gone_at
from .cancelling import Cancellations
from .context import Context
from .desk import Desk
from .levels import freed
from .owing import still_owed
from .picture import Picture
from .refunding import Refunds, open_refund
from .shelf import refresh
from .writer import Writer

ANSWER_SECONDS = 8.0  # so long a person waits for the org or the channel; then the answer is looked up
BUSY = "its units are being changed at the moment: try again in a few seconds"
NOBODYS = "no order or reservation that sfsync knows stands behind these units"

# What was written down and waits for an answer: the resolution, its bundle, and the bells to ring.
Asked = tuple[int, int | None, set[str]]


class Resolver:
    """Takes the ways out that a person chooses."""

    def __init__(
        self, ctx: Context, writer: Writer, desk: Desk, cancellations: Cancellations, refunds: Refunds
    ) -> None:
        self._ctx, self._writer, self._desk, self._cancellations = ctx, writer, desk, cancellations
        self._refunds = refunds

    @property
    def cancelling(self) -> frozenset[str]:
        """The channels that take the cancellation of an order."""
        return self._ctx.pulse.cancelling_channels

    async def incident(self, incident_id: int) -> tuple[Incident, Sequence[Resolution]] | None:
        """An incident, open or closed, and what was decided about it; None when there is none."""

        def read(tx: Tx) -> tuple[Incident, Sequence[Resolution]] | None:
            found = tx.incident(incident_id)
            return None if found is None else (found, tx.resolutions([incident_id]))

        return await self._ctx.store.read(read)

    async def resolve(self, incident_id: int, wish: Wish) -> Resolved:
        """Take a way out, once: the same one again is answered as the first time."""
        outcome = await self._ctx.store.write(partial(self._take, number=incident_id, wish=wish))
        if isinstance(outcome, str):
            if wish.way is Way.SUBSTITUTE:
                return await self._substitute(incident_id, outcome, wish)
            return await self._move_reservation(incident_id, outcome, wish)
        if isinstance(outcome, RefundTask):
            self._log(incident_id, wish)
            await self._refunds.look(outcome)
            return await self._refund_stands(incident_id)
        if isinstance(outcome, Resolved):
            return outcome
        number, bundle, bells = outcome
        self._log(incident_id, wish)
        if bundle is not None:
            answered = self._writer.answered(bundle)
        elif wish.way is Way.CANCEL:
            answered = self._cancellations.answered(number)
        else:
            self._ctx.bell.ring(*bells)
            return await self._stands(number)
        self._ctx.bell.ring(*bells)
        await asyncio.wait([answered], timeout=ANSWER_SECONDS)
        return await self._stands(number)

    def _log(self, incident_id: int, wish: Wish) -> None:
        self._ctx.log.info(
            "incident resolved", incident=incident_id, way=wish.way.value, by=wish.by, **wish.detail
        )

    async def _stands(self, number: int) -> Resolved:
        kept = await self._ctx.store.read(lambda tx: tx.resolution(number))
        return Resolved(problem="no-such-incident") if kept is None else _told(kept)

    def _take(self, tx: Tx, *, number: int, wish: Wish) -> Resolved | Asked | RefundTask | str:
        """Write a decision down; or say why not. The id of a reservation where the desk must act on it."""
        incident = tx.incident(number)
        if incident is None:
            return Resolved(problem="no-such-incident", detail=f"there is no incident {number}")
        before = [each for each in tx.resolutions([number]) if wish.same(each.way, each.detail)]
        if waits := next((each for each in before if each.stage is Stage.ASKED), None):
            return _told(waits)
        done = next((each for each in reversed(before) if each.stage is Stage.DONE), None)
        if incident.closed_at is not None:
            over = f"incident {number} is over since {incident.closed_at:%Y-%m-%d %H:%M:%S} UTC"
            return _told(done) if done else Resolved(problem="over", detail=over)
        if wish.way not in ways(incident.kind):
            named = ", ".join(ways(incident.kind))
            detail = (
                f"{wish.way} is no way out of an incident of the kind {incident.kind!r}; there is {named}"
            )
            return Resolved(problem="no-such-way", detail=detail)
        match wish.way:
            case Way.ACCEPT if incident.kind == OVERSOLD:
                return self._release(tx, incident, wish)
            case Way.ACCEPT if incident.kind == NOT_FOUND:
                key, now = LevelKey.parse(incident.key), self._ctx.clock.now()
                not_found.over(tx, self._ctx, key)
                kept = self._keep(tx, incident, wish, wish.detail, Stage.DONE)
                return kept, None, freed(tx, self._ctx, {key.sku}, now)
            case Way.ACCEPT:
                tx.close_incident(incident.kind, incident.key, self._ctx.clock.now())
                return self._keep(tx, incident, wish, wish.detail, Stage.DONE), None, set()
            case Way.WAIT:
                return self._wait(tx, incident, wish, done)
            case Way.MOVE:
                return self._move(tx, incident, wish, done)
            case Way.SUBSTITUTE:
                return incident.key
            case Way.REFUND:
                return self._refund(tx, incident, wish)
            case Way.CANCEL:
                return self._cancel(tx, incident, wish, done)

    def _keep(
        self,
        tx: Tx,
        incident: Incident,
        wish: Wish,
        detail: dict[str, object],
        stage: Stage,
        bundle: int | None = None,
    ) -> int:
        now = self._ctx.clock.now()
        way, by = wish.way.value, wish.by
        kept = Resolution(0, incident.id, way, by, wish.reason, detail, stage, "", bundle, now)
        return tx.add_resolution(kept)

    def _wait(self, tx: Tx, incident: Incident, wish: Wish, done: Resolution | None) -> Resolved | Asked:
        if wish.until is None or wish.until <= self._ctx.clock.now():
            return Resolved(problem="bad-input", detail="until when it may wait is not in the future")
        waiting = Waiting(wish.until, incident.units)
        if done is not None and incident.waiting == waiting:
            return _told(done)
        tx.wait_with(incident.id, waiting)
        return self._keep(tx, incident, wish, wish.detail, Stage.DONE), None, set()

    def _move(
        self, tx: Tx, incident: Incident, wish: Wish, done: Resolution | None
    ) -> Resolved | Asked | str:
        if incident.kind == PAID_UNAVAILABLE:
            return incident.key
        if (found := self._set_aside(tx, incident, wish)) is not None:
            return found
        if done is not None and not wish.promise and not incident.key.startswith("order:"):
            return _told(done)  # the next promise of that level is asked for by its name
        promise = self._promise(tx, incident, wish)
        if isinstance(promise, Resolved):
            return _told(done) if done and promise.problem == "no-such-promise" else promise
        subject, origin, units = promise
        if subject.startswith("reservation:"):
            return subject.removeprefix("reservation:").rpartition(":")[0]
        line = tx.lines([subject]).get(subject)
        if line is None:
            return Resolved(problem="no-such-promise", detail=NOBODYS)
        if tx.busy([subject]):
            return Resolved(problem="busy", detail=BUSY)
        if units <= 0:
            nothing = f"nothing of order {line.order_name} is without stock any more"
            return _told(done) if done else Resolved(problem="over", detail=nothing)
        target = self._target(tx, line, wish.location, origin)
        if isinstance(target, Resolved):
            return target
        picture = Picture(tx.facts([line.line.sku]), self._ctx.assortment)
        held = {row.level: row.reserved for row in tx.holdings([subject]) if row.reserved > 0}
        able = picture.sellable(line.line.sku, own=held).get(target, 0)
        if able <= 0 and (promised := picture.beyond(target, units, own=held)):
            return Resolved(problem="over", detail=promised)
        part = min(units, able) if able > 0 else units  # nothing seems to be there: only the org may say no
        last = self._ctx.assortment.floor.last(target.location)
        now = self._ctx.clock.now()
        rows = taken_at(
            subject,
            tx.next_step(subject),
            part,
            origin=origin,
            target=target,
            reference=signed(line.order_name, wish),
            version=line.version.isoformat(),
            at=now,
        )
        bundle = tx.add_bundle(rows, {subject: line.channel}, now)
        if last and part > max(0, able - last):
            sold_from_floor.tell(tx, self._ctx, line, target, part, now)
        detail = wish.detail | {"promise": subject, "units": part, "order": line.order_name}
        number = self._keep(tx, incident, wish, detail, Stage.ASKED, bundle)
        skus = {line.line.sku}
        return number, bundle, {"writer"} | refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, now)

    def _release(self, tx: Tx, incident: Incident, wish: Wish) -> Resolved | Asked:
        """Accept that units have left which were set aside for channels: they are released in the org."""
        gone = (
            {} if incident.key.startswith("order:") else gone_at(tx, self._ctx, LevelKey.parse(incident.key))
        )
        if not gone:
            others = ", ".join(way for way in ways(incident.kind) if way is not Way.ACCEPT)
            detail = f"what a customer was promised is not accepted away; there is {others}"
            return Resolved(problem="no-such-way", detail=detail)
        return self._give_up(tx, incident, wish, LevelKey.parse(incident.key), gone, None)

    def _set_aside(self, tx: Tx, incident: Incident, wish: Wish) -> Resolved | Asked | None:
        """Set others aside for a channel whose units have left; None where it is about a customer's."""
        if incident.key.startswith("order:") or (wish.promise and not wish.promise.startswith(SUBJECT)):
            return None
        key = LevelKey.parse(incident.key)
        gone = gone_at(tx, self._ctx, key)
        if wish.promise:
            gone = {c: units for c, units in gone.items() if allocation_subject(c, key) == wish.promise}
        elif any(
            each.uncovered and not each.promise.subject.startswith(SUBJECT) for each in self._stakes(tx, key)
        ):
            return None
        named = [each.promise.subject for each in self._stakes(tx, key)]  # the first that the incident names
        ours = [each for each in gone if each in self._ctx.assortment.channels]
        channel = min(ours, key=lambda each: named.index(allocation_subject(each, key)), default=None)
        if channel is None:
            if not wish.promise:
                return None
            return Resolved(problem="over", detail="none of what is set aside there lacks any more")
        plan = self._ctx.assortment.channels[channel]
        if wish.location not in self._ctx.assortment.sources(channel, plan.first_location, key.sku):
            detail = f"{channel} does not sell {key.sku} from {wish.location}"
            return Resolved(problem="unknown-level", detail=detail)
        try:
            target = LevelKey(key.sku, wish.location, key.unit)
        except BadKeyError as error:
            return Resolved(problem="bad-input", detail=str(error))
        if target == key:
            detail = f"{wish.location} is where the units are missing; name another location"
            return Resolved(problem="unknown-level", detail=detail)
        if not tx.levels([target]):
            return Resolved(problem="unknown-level", detail=f"the org has no stock level {target}")
        picture = Picture(tx.facts([key.sku]), self._ctx.assortment)
        if beyond := picture.beyond(target, gone[channel]):
            return Resolved(problem="unknown-level", detail=beyond)
        able = picture.sellable(key.sku).get(target, 0)
        part = min(gone[channel], able) if able > 0 else gone[channel]
        return self._give_up(tx, incident, wish, key, {channel: part}, target)

    def _give_up(
        self,
        tx: Tx,
        incident: Incident,
        wish: Wish,
        key: LevelKey,
        gone: Mapping[str, int],
        target: LevelKey | None,
    ) -> Resolved | Asked:
        ctx, whose = self._ctx, " and ".join(gone)
        bundle = give_up_gone(tx, ctx, key, gone, signed(f"units of {whose}", wish), target)
        if bundle is None:
            return Resolved(problem="busy", detail=BUSY)
        detail = wish.detail | {"units": sum(gone.values()), "channel": whose}
        number = self._keep(tx, incident, wish, detail, Stage.ASKED, bundle)
        now = ctx.clock.now()
        return number, bundle, {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, {key.sku}, now)

    def _promise(self, tx: Tx, incident: Incident, wish: Wish) -> tuple[str, LevelKey | None, int] | Resolved:
        """Whose units it is about: (subject, the level that holds them, units that lack stock)."""
        if incident.key.startswith("order:"):
            if wish.promise not in ("", incident.key):
                return Resolved(problem="no-such-promise", detail=f"this incident is about {incident.key}")
            if incident.kind == ON_FLOOR:
                return incident.key, *sold_from_floor.stands(tx, incident.key, str(incident.detail["level"]))
            line = tx.lines([incident.key]).get(incident.key)
            held = sum(row.reserved_delta for row in tx.rows_of([incident.key]).get(incident.key, ()))
            return incident.key, None, line.line.open_quantity - held if line is not None else 0
        found = self._stakes(tx, LevelKey.parse(incident.key))
        able = [each for each in found if each.promise.subject.startswith(("order:", "reservation:"))]
        short = [each for each in able if each.uncovered]
        chosen = next((each for each in able if each.promise.subject == wish.promise), None)
        if not wish.promise:
            chosen = next(iter(short), None)
        if chosen is None:
            subjects = ", ".join(each.promise.subject for each in able) or "none of an order or a reservation"
            detail = f"no such promise stands there; there is {subjects}"
            return Resolved(problem="no-such-promise", detail=detail)
        most = sum(each.uncovered for each in found)
        return chosen.promise.subject, chosen.promise.level, min(chosen.promise.units, most)

    def _stakes(self, tx: Tx, key: LevelKey) -> list[Stake]:
        held = tx.levels([key]).get(key)
        return stakes.all_at(tx, self._ctx, key, held[0].oversold if held is not None else 0)

    def _target(self, tx: Tx, line: LineState, location: str, origin: LevelKey | None) -> LevelKey | Resolved:
        try:
            target = LevelKey(line.line.sku, location, line.line.unit)
        except BadKeyError as error:
            return Resolved(problem="bad-input", detail=str(error))
        if location in self._ctx.assortment.not_for_sale:
            return Resolved(problem="unknown-level", detail=f"what stands at {location} is not for sale")
        if target == origin:
            detail = f"{location} is where the units are missing; name another location"
            return Resolved(problem="unknown-level", detail=detail)
        if not tx.levels([target]):
            return Resolved(problem="unknown-level", detail=f"the org has no stock level {target}")
        return target

    async def _move_reservation(self, incident_id: int, reservation_id: str, wish: Wish) -> Resolved:
        """The desk moves it, and writes the decision down with its movements."""
        kept: list[int] = []

        def along(tx: Tx, bundle: int) -> None:
            incident = tx.incident(incident_id)
            if incident is not None:
                kept.append(self._keep(tx, incident, wish, wish.detail, Stage.ASKED, bundle))

        self._log(incident_id, wish)
        outcome = await self._desk.move(reservation_id, wish.location, signed=wish, along=along)
        if kept:
            return await self._stands(kept[0])
        words = {"unknown-sku": "unknown-level", "later": "busy", "not-found": "no-such-promise"}
        if outcome.problem:
            return Resolved(problem=words.get(outcome.problem, "over"), detail=outcome.detail)
        return Resolved(Stage.DONE, f"its units are held at {wish.location} already")

    def _refund(self, tx: Tx, incident: Incident, wish: Wish) -> Resolved | RefundTask:
        reservation = tx.reservation(incident.key)
        if reservation is None:
            return Resolved(problem="no-such-promise", detail=NOBODYS)
        if reservation.state is ReservationState.PENDING:
            return Resolved(problem="busy", detail=BUSY)
        if reservation.state is not ReservationState.PAID_UNAVAILABLE:
            return Resolved(problem="over", detail=f"it is {reservation.state.value}: nothing is owed for it")
        task = open_refund(tx, self._ctx, reservation, wish.by, wish.reason)
        detail = wish.detail | {"refund_task": task.id, "order": task.order_reference, "owner": task.creditor}
        self._keep(tx, incident, wish, detail, Stage.DONE)
        return task

    async def _refund_stands(self, incident_id: int) -> Resolved:
        found = await self._ctx.store.read(lambda tx: tx.resolutions([incident_id]))
        return _told(next(each for each in reversed(found) if each.way == Way.REFUND.value))

    async def _substitute(self, incident_id: int, reservation_id: str, wish: Wish) -> Resolved:
        """The desk takes as many of the other SKU, and writes the decision down with what it asks."""
        reservation = await self._desk.get(reservation_id)
        if reservation is None:
            return Resolved(problem="no-such-promise", detail=NOBODYS)
        left = await self._ctx.store.read(lambda tx: still_owed(tx, reservation))
        owed = zip(reservation.lines, left, strict=True)
        if len({line.level.sku for line, due in owed if due}) > 1:
            several = "it is for several SKUs: say what stands in for them all"
            detail = f"{several} over POST /v1/reservations/{reservation_id}/substitute"
            return Resolved(problem="more-lines", detail=detail)
        units = sum(left)
        if not units:
            return Resolved(problem="over", detail="its order has all of it by now: nothing is owed for it")
        place = wish.location or (None if reservation.channel else reservation.lines[0].level.location)
        line = WishedLine(wish.sku, units, place)
        kept: list[int] = []

        def along(tx: Tx, bundle: int | None) -> None:
            incident = tx.incident(incident_id)
            if incident is not None:
                detail = wish.detail | {"units": units, "order": reservation.order_reference}
                stage = Stage.DONE if bundle is None else Stage.ASKED
                kept.append(self._keep(tx, incident, wish, detail, stage, bundle))

        self._log(incident_id, wish)
        outcome = await self._desk.substitute(reservation_id, (line,), signed=wish, along=along)
        if kept:
            return await self._stands(kept[0])
        words = {"unknown-sku": "unknown-level", "later": "busy", "not-found": "no-such-promise"}
        if outcome.problem:
            return Resolved(problem=words.get(outcome.problem, "over"), detail=outcome.detail)
        return Resolved(Stage.DONE, f"{units} of {wish.sku} stand in for it already")

    def _cancel(self, tx: Tx, incident: Incident, wish: Wish, done: Resolution | None) -> Resolved | Asked:
        if done is not None and not wish.promise:
            return _told(done)
        found = self._promise(tx, incident, wish)
        if isinstance(found, Resolved):
            return _told(done) if done else found
        line = tx.lines([found[0]]).get(found[0])
        if line is None:
            return Resolved(problem="no-such-promise", detail=f"{NOBODYS}; only an order can be cancelled")
        if not line.line.open_quantity:
            detail = f"nothing of order {line.order_name} is to be delivered any more"
            return _told(done) if done else Resolved(problem="over", detail=detail)
        channel = self._ctx.channels.get(line.channel)
        if channel is None or not channel.ability.cancels:
            detail = (
                f"{line.channel} takes no cancellations from sfsync; cancel {line.order_name} there by hand"
            )
            return Resolved(problem="cannot-cancel", detail=detail)
        others = [
            each
            for each in tx.lines_of_order(line.channel, [line.order_id])
            if each.subject != line.subject and each.line.open_quantity + each.line.fulfilled_quantity
        ]
        if others and not wish.whole_order:
            named = ", ".join(sorted({each.line.sku for each in others}))
            detail = (
                f"order {line.order_name} is also for {named}, and a channel cancels orders whole; "
                "say that the whole order is meant, or take that line out of it at the channel"
            )
            return Resolved(problem="more-lines", detail=detail)
        detail_kept = wish.detail | {
            "promise": line.subject,
            "order": line.order_name,
            "order_id": line.order_id,
            "channel": line.channel,
        }
        number = self._keep(tx, incident, wish, detail_kept, Stage.ASKED)
        return number, None, {self._cancellations.bell(line.channel)}


def _told(kept: Resolution) -> Resolved:
    return Resolved(kept.stage, kept.answer, resolution=kept.id, more=dict(kept.detail))
