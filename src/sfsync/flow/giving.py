"""Promises that give way to what has happened, in an org with the fallback rule.

There a posting that would leave more reserved than on hand is refused. It goes in again together with the
release of the promises that it uncovers, all or none; whose, the domain derives from what the org's ledger
holds, whoever reserved it. Then everybody concerned is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from sfsync.domain.incidents import GAVE_WAY
from sfsync.domain.ledger import Bundle, Judgement, Verdict
from sfsync.domain.promises import Promise, releases, shortfalls, uncovered
from sfsync.domain.reservations import (
    HOLDING,
    Reservation,
    ReservationKind,
    gave_way,
    order_gave_way,
    parted,
)
from sfsync.domain.stock import LevelKey, Movement, StockLevel
from sfsync.domain.values import replace
from sfsync.ports import LineState, OutsideError, Tx

from .context import Context
from .reserving import GONE, held_by, held_by_orders
from .reserving import put as put_reservation


async def plan(
    ctx: Context, refused: Sequence[Bundle], levels: Mapping[LevelKey, StockLevel]
) -> dict[int, tuple[Movement, ...]]:
    """The releases that each refused posting needs, by bundle; () when by now it needs none.

    A bundle is left out when its levels were not read back or the org does not answer: it waits.
    """
    found: dict[int, tuple[Movement, ...]] = {}
    for bundle in refused:
        if not bundle.levels <= levels.keys():
            continue
        stays = staying(bundle)
        short = shortfalls((*bundle.own, *stays), levels)
        try:
            promises = await ctx.org.promises({key: levels[key].record_id for key in short}) if short else ()
        except OutsideError as error:
            ctx.log.warning("promises not read", reason=str(error), next="again in a while")
            continue
        gone: list[Promise] = []
        for key, units in short.items():
            gone += uncovered([each for each in promises if each.level == key], units)
        # Rows that were folded away are not among those that the org counts; their steps stay taken.
        folded = await ctx.store.read(partial(_folded_steps, subjects={each.subject for each in gone}))
        numbered = [replace(p, next_step=max(p.next_step, folded.get(p.subject, 0))) for p in gone]
        found[bundle.id] = stays + releases(numbered, bundle.own[0])
    return found


def staying(bundle: Bundle, there: Collection[str] = ()) -> tuple[Movement, ...]:
    """What goes along whatever gives way: the compensations of late postings.

    Not those whose keys are in the ledger (`there`): they are left over from when the posting was in before,
    and was deleted. With them the posting could never come in again.
    """
    return tuple(each for each in bundle.along if not each.reserved_delta and each.key not in there)


def _folded_steps(tx: Tx, *, subjects: Collection[str]) -> Mapping[str, int]:
    return tx.folded_steps(subjects)


def put(tx: Tx, bundle: Bundle, along: tuple[Movement, ...] | None) -> Judgement:
    """Write down what is to go along with a refused posting, before it is sent so."""
    if along is None:
        return Judgement(Verdict.LATER, "the promises of its level were not read")
    if bundle.refusals and not any(movement.reserved_delta for movement in along):
        return Judgement(Verdict.LATER, "refused although nothing seems promised beyond stock")
    subjects = {movement.subject for movement in along}
    if tx.busy(subjects - {movement.subject for movement in bundle.along}):
        return Judgement(Verdict.LATER, "the promise that gives way is being changed")
    owners = {held.subject: held.channel for held in tx.holdings(subjects)}
    tx.set_companions(bundle.id, along, owners)
    return Judgement(Verdict.UNCOVERS)


def accompanied(bundle: Bundle, along: tuple[Movement, ...]) -> Bundle:
    """The bundle with others along."""
    return replace(bundle, movements=bundle.own + along, companions=len(along))


def tell(tx: Tx, ctx: Context, bundle: Bundle, entered: Collection[str]) -> set[str]:
    """Tell everybody whose promise gave way to a posting that is in; returns their SKUs.

    An order line is decided again anyway: it gets units elsewhere, or is raised as oversold. A reservation
    ends, or is paid and not available. Whatever it was, an incident names it and the posting.
    """
    now = ctx.clock.now()
    gone = [movement for movement in bundle.along if movement.key in entered and movement.reserved_delta < 0]
    for movement in gone:
        units, posting = -movement.reserved_delta, bundle.own[0]
        cause = f"{posting.kind.value.lower()} {posting.reference or posting.key}"
        reason = f"{units} of {movement.level} gave way to {cause}"
        kind, _, rest = movement.subject.partition(":")
        if kind == "reservation" and (reservation := tx.reservation(rest.rpartition(":")[0])) is not None:
            _gave_way(tx, ctx, reservation, reason)
        for line in tx.lines([movement.subject]).values() if kind == "order" else ():
            _not_to_be_fetched(tx, ctx, line, movement.level, reason)
        detail = {
            "sku": movement.level.sku,
            "location": movement.level.location,
            "level": str(movement.level),
            "units": units,
            "promise": movement.subject,
            "posting": posting.key,
            "reference": posting.reference,
            "occurred_at": posting.occurred_at.isoformat(),
        }
        title = f"{movement.subject} lost its cover: {reason}"
        if tx.open_incident(GAVE_WAY, movement.key, title, detail, now):
            ctx.log.warning("promise gave way", promise=movement.subject, units=units, posting=posting.key)
    return {movement.level.sku for movement in gone}


def _gave_way(tx: Tx, ctx: Context, reservation: Reservation, reason: str) -> None:
    """A reservation has less than it had: who has paid is owed that part, and keeps the rest."""
    after = gave_way(reservation, held_by(tx, reservation), reason)
    if reservation.paid_at is None or after.state not in HOLDING:
        put_reservation(tx, ctx, reservation, after, because=GONE)
        return
    gone = [was.quantity - line.quantity for was, line in zip(reservation.lines, after.lines, strict=True)]
    if not any(gone):
        return
    stays, lost = parted(reservation, gone, ctx.new_id(), reason)
    if stays is not None:
        put_reservation(tx, ctx, reservation, stays)
    put_reservation(tx, ctx, reservation, replace(lost, found_at=None), because=GONE)


def _not_to_be_fetched(tx: Tx, ctx: Context, line: LineState, level: LevelKey, reason: str) -> None:
    """What an order had taken over of a pick-up is gone: its boutique, and who comes for it, are told."""
    for number in line.reservations:
        reservation = tx.reservation(number)
        if reservation is None or reservation.kind is not ReservationKind.PICK_UP:
            continue
        held = held_by_orders(tx, reservation)
        after = order_gave_way(reservation, level, held, reason, ctx.clock.now())
        if after != reservation:
            name = reservation.order_reference or line.order_name
            after = replace(after, order_reference=name, channel=line.channel)
        put_reservation(tx, ctx, reservation, after, because=GONE)


def close_covered_again(tx: Tx, ctx: Context) -> None:
    """End the incidents of levels that have as many units to promise again."""
    for incident in tx.incidents():
        if incident.kind != GAVE_WAY:
            continue
        key = LevelKey.parse(str(incident.detail["level"]))
        held = tx.levels([key]).get(key)
        if held is not None and held[0].available >= int(str(incident.detail["units"])):
            tx.close_incident(GAVE_WAY, incident.key, ctx.clock.now())
