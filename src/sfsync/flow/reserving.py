"""What the org's answers make of a reservation, and what is told when money and goods do not meet."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime

from sfsync.domain import block
from sfsync.domain.block import HOLDER
from sfsync.domain.incidents import (
    NO_ORDER,
    NO_WORD,
    NOT_FETCHED,
    NOT_FOUND,
    PAID_UNAVAILABLE,
    Wish,
    signed,
)
from sfsync.domain.ledger import Bundle
from sfsync.domain.reservations import (
    HOLDING,
    TAKEN_OVER,
    Reservation,
    ReservationKind,
    ReservationState,
    answered,
    asks,
    follows,
    for_less,
    held_instead,
    order_names,
    overdue,
    takes_place,
    unanswered,
    unfetched,
)
from sfsync.domain.stock import LevelKey, Movement, MovementKind, allocation_subject, step_key
from sfsync.domain.values import replace
from sfsync.ports import LineState, Tx

from .block import beside
from .context import Context
from .owing import of_its_orders, sold_on, still_owed
from .picture import Picture
from .rooms import denied
from .shelf import refresh

Asked = tuple[list[int], set[str]]  # bundles that wait for the org's answer, bells to ring
COVERED = "its order got the units by itself"
LATE = "when nothing was held for it any more"
GONE = "and its goods are gone"
_INSTEAD = "; its order has "


def held_by(tx: Tx, reservation: Reservation) -> dict[str, dict[LevelKey, int]]:
    """The units that each of its subjects holds in the ledger, by level."""
    held: dict[str, dict[LevelKey, int]] = defaultdict(dict)
    for holding in tx.holdings(reservation.subjects()):
        held[holding.subject][holding.level] = holding.reserved
    return held


def held_by_orders(tx: Tx, reservation: Reservation) -> Counter[LevelKey]:
    """The units that the lines of its orders hold, by level."""
    held = Counter[LevelKey]()
    for each in tx.holdings([line.subject for line in of_its_orders(tx, reservation)]):
        held[each.level] += each.reserved
    return held


def steps_of(tx: Tx, reservation: Reservation) -> dict[str, int]:
    """The next step of each of its subjects."""
    return dict(tx.next_steps(reservation.subjects()))


def ask(
    tx: Tx,
    ctx: Context,
    reservation: Reservation,
    signature: Wish | None = None,
    *,
    picture: Picture | None = None,
    new: bool = False,
    drawn: Sequence[int] = (),
) -> Asked:
    """Write down what is asked: all of it in one bundle, or each line by itself when a part will do.

    `picture` has the facts of its SKUs as they stand now, where whoever calls has just read them. `new`: its
    number was drawn just now, so nothing was ever asked for it. `drawn` has the units of each line that the
    local block gives: they change hands in the bundle that asks for the rest.
    """
    now = ctx.clock.now()
    subjects = reservation.subjects()
    known = dict.fromkeys(subjects, 0) if new else tx.next_steps(subjects)
    movements = under(asks(reservation, [known[subject] for subject in subjects], now), signature)
    rows = from_block(tx, movements, dict(zip(subjects, drawn, strict=False)), now)
    owners = {movement.subject: reservation.channel for movement in movements} | {
        row.subject: HOLDER for each in rows for row in each[1:]
    }
    together = rows if reservation.partial else [[row for each in rows for row in each]]
    bundles: list[int] = []
    for bundle in together:
        bundles.append(tx.add_bundle(bundle, owners, now))
        if picture is not None:
            picture.enter_rows(bundles[-1], bundle, reservation.channel)
    skus = {line.level.sku for line in reservation.lines}
    return bundles, {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now, known=picture)


def from_block(
    tx: Tx, movements: Sequence[Movement], drawn: Mapping[str, int], now: datetime
) -> Sequence[Sequence[Movement]]:
    """Each movement that asks, with the one by which the local block gives up what it gives its subject."""
    own = [allocation_subject(HOLDER, row.level) for row in movements if drawn.get(row.subject)]
    steps = tx.next_steps(own) if own else {}
    return block.given([(row, drawn.get(row.subject, 0)) for row in movements], steps, now)


def under(movements: Sequence[Movement], signature: Wish | None) -> tuple[Movement, ...]:
    """The movements with the name and the reason of whoever decided them, where a person did."""
    if signature is None:
        return tuple(movements)
    return tuple(replace(each, reference=signed(each.reference, signature)) for each in movements)


def ask_for_paid(tx: Tx, ctx: Context, skus: Collection[str]) -> set[str]:
    """Ask again for what was paid for and was not available, as soon as it is there; the bells to ring.

    In the commit that learns of the goods, so that nobody is told of them who has not paid. Where an order of
    the channel stands for the payment, the order asks; where other pieces are being asked for, nobody does.
    Of a limited edition no more is asked for than is left of it, for this client as for any other; and what a
    shop did not find is not asked for there again, as long as that is an incident: but what came since is.
    """
    bells: set[str] = set()
    for reservation in tx.paid_unavailable():
        again = for_less(reservation, still_owed(tx, reservation))
        lines = again.lines
        levels = [line.level for line in lines if line.quantity]
        if not {level.sku for level in levels} & set(skus) or tx.busy(reservation.subjects()):
            continue
        if reservation.channel is not None:
            names = order_names(reservation.order_reference)
            if names and tx.lines_of_order(reservation.channel, names):
                continue
        if any(each.state is ReservationState.PENDING for each in tx.stand_ins(reservation.id)):
            continue
        picture = Picture(tx.facts({level.sku for level in levels}), ctx.assortment)
        left = {key: units for level in levels for key, units in picture.sellable(level.sku).items()}
        drawn = beside(picture, ctx.assortment, [(line.level, line.quantity) for line in lines])
        asked = Counter[LevelKey]()
        for line, units in zip(lines, drawn, strict=True):
            asked[line.level] += line.quantity - units
        if any(left.get(level, 0) < units for level, units in asked.items()):
            continue
        floor = any(
            units and left[level] - units < ctx.assortment.floor.last(level.location)
            for level, units in asked.items()
        )
        wanted = [(line.level.sku, line.quantity) for line in lines if line.quantity]
        if denied(tx, ctx.assortment, reservation.channel, reservation.client, wanted, paid=True) is not None:
            continue
        again = replace(again, state=ReservationState.PENDING, needs_store=floor)
        tx.put_reservation(again)
        ctx.log.info("paid for, and there again", reservation=reservation.id, next="asked of the org")
        bells |= ask(tx, ctx, again, drawn=drawn)[1]
    return bells


def settle(tx: Tx, ctx: Context, reservation_id: str, reason: str) -> None:
    """Take over what the org has answered, once nothing that was asked for the reservation waits any more."""
    reservation = tx.reservation(reservation_id)
    if reservation is None or tx.busy(reservation.subjects()):
        return
    left = 0
    if reservation.kind is ReservationKind.PICK_UP:  # of no other is it asked whether somebody has fetched it
        rows = tx.rows_of(reservation.subjects())
        left = -sum(row.on_hand_delta for each in rows.values() for row in each)
    after = answered(reservation, held_by(tx, reservation), reason, left=left)
    put(tx, ctx, reservation, after)
    stand_in(tx, ctx, after)
    known = tx.reservation(reservation_id)
    if known is not None and known != reservation and known.state is ReservationState.CONFIRMED:
        claim(tx, known)


def stand_in(tx: Tx, ctx: Context, granted: Reservation) -> None:
    """Let a stand-in that has been granted take its place; what nobody needs is given back by the sweeper."""
    if not granted.instead_of or granted.paid_at is not None or granted.state not in HOLDING:
        return
    paid = tx.reservation(granted.instead_of)
    taken, over = takes_place(granted, paid, still_owed(tx, paid) if paid is not None else ())
    put(tx, ctx, granted, taken)
    if paid is not None and over is not None:
        put(tx, ctx, paid, over)


def put(tx: Tx, ctx: Context, before: Reservation, after: Reservation, *, because: str = LATE) -> None:
    """Store a reservation's new state; begin and end the incidents that hang on it.

    `because` says in an incident's words what keeps a customer who has paid from the goods.
    """
    if after == before:
        return
    tx.put_reservation(after)
    now = ctx.clock.now()
    if after.state is ReservationState.PAID_UNAVAILABLE:
        _tell_paid_unavailable(tx, ctx, after, because, now)
    elif after.paid_at is not None and after.state is not ReservationState.PENDING:
        tx.close_incident(PAID_UNAVAILABLE, after.id, now)
    if before.state is ReservationState.CONFIRMED and after.state is not ReservationState.CONFIRMED:
        tx.close_incident(NO_ORDER, after.id, now)
    if before.state is ReservationState.AWAITING_STORE and after.state is not before.state:
        tx.close_incident(NO_WORD, after.id, now)
    if before.state is ReservationState.ORDERED and not unfetched(after, now):
        tx.close_incident(NOT_FETCHED, after.id, now)


def _tell_paid_unavailable(
    tx: Tx, ctx: Context, reservation: Reservation, because: str, now: datetime
) -> None:
    title = f"order {reservation.order_reference} was paid for {because}"
    detail: Mapping[str, object] = {
        **described(reservation, still_owed(tx, reservation)),
        "ways_out": [
            "take the units at another location: POST /v1/reservations/{id}/move",
            "take other pieces for it: POST /v1/reservations/{id}/substitute",
            "owe the customer the money: POST /v1/reservations/{id}/refund",
        ],
    }
    if tx.open_incident(PAID_UNAVAILABLE, reservation.id, title, detail, now):
        ctx.log.warning(
            "paid and not available",
            reservation=reservation.id,
            order=reservation.order_reference,
            next="another location, a substitute or a refund",
        )


def tell_overdue(tx: Tx, ctx: Context, now: datetime) -> None:
    """Report reservations that hold units for an order that never came, or whose shop does not answer."""
    for reservation in tx.paid_before(now):
        if unanswered(reservation, now):
            _tell_unanswered(tx, ctx, reservation, now)
        channel = ctx.channels.get(reservation.channel or "")
        if not overdue(reservation, now, told=channel is None or channel.ability.tells_orders):
            continue
        order = reservation.order_reference
        held = held_by(tx, reservation)
        units = [sum(held.get(subject, {}).values()) for subject in reservation.subjects()]
        title = f"reservation {reservation.id} holds units for {order}, an order that no channel told of"
        if of_its_orders(tx, reservation):
            kept = zip(reservation.lines, units, strict=True)
            what = " and ".join(sorted({line.level.sku for line, left in kept if left > 0}))
            title = f"reservation {reservation.id} holds {what} for {order}, and no order takes it"
        detail = described(reservation, units) | {
            "ways_out": [
                "name the order in the shop's note",
                "release it: POST /v1/reservations/{id}/release",
            ]
        }
        if tx.open_incident(NO_ORDER, reservation.id, title, detail, now):
            ctx.log.warning("reservation without an order", reservation=reservation.id, next="release it")


def _tell_unanswered(tx: Tx, ctx: Context, reservation: Reservation, now: datetime) -> None:
    floors = ctx.assortment.floor.locations
    asked = {line.level.location for line in reservation.lines if line.quantity and not line.found}
    places = " and ".join(sorted(asked & floors or asked))
    title = (
        f"{places} has not said whether it has what order {reservation.order_reference} was paid for "
        f"({reservation.owner})"
    )
    detail = described(reservation) | {
        "ways_out": [
            "say whether it is there: POST /v1/reservations/{id}/store-confirmation",
            "take the units at another location: POST /v1/reservations/{id}/move",
            "release it, and owe the customer the money: POST /v1/reservations/{id}/release",
        ]
    }
    if tx.open_incident(NO_WORD, reservation.id, title, detail, now):
        ctx.log.warning("shop has not answered", reservation=reservation.id, next="ask the shop")


def tell_unfetched(tx: Tx, ctx: Context, now: datetime) -> None:
    """Report pick-ups whose window has passed, and whose orders hold the units still."""
    for reservation in tx.unfetched(now):
        places = " and ".join(sorted({line.level.location for line in reservation.lines}))
        title = f"nobody has come to {places} for order {reservation.order_reference} ({reservation.owner})"
        detail = described(reservation) | {
            "ways_out": [
                "hand it over: POST /v1/reservations/{id}/hand-over",
                "give the customer more time: POST /v1/reservations/{id}/extend",
                "cancel the order at its channel",
            ]
        }
        if tx.open_incident(NOT_FETCHED, reservation.id, title, detail, now):
            ctx.log.warning(
                "pick-up not fetched", reservation=reservation.id, order=reservation.order_reference
            )


def follow(tx: Tx, ctx: Context, bundle: Bundle) -> None:
    """A pick-up goes where its order's line was carried, in the commit that learns that it was."""
    gone: dict[str, set[LevelKey]] = defaultdict(set)
    for row in bundle.own:
        if row.reserved_delta < 0:
            gone[row.subject].add(row.level)
    come = {
        row.subject: row.level
        for row in reversed(bundle.own)
        if row.reserved_delta > 0 and row.subject in gone and row.level not in gone[row.subject]
    }
    for line in tx.lines(come).values() if come else ():
        for number in line.reservations:
            reservation = tx.reservation(number)
            if reservation is None or reservation.kind is not ReservationKind.PICK_UP:
                continue
            held: dict[LevelKey, int] = defaultdict(int)
            for each in tx.holdings([each.subject for each in sold_on(tx, reservation)]):
                held[each.level] += each.reserved
            to = dict.fromkeys(gone[line.subject], come[line.subject])
            own = {
                at
                for at, subject in enumerate(reservation.subjects())
                if any(units > 0 for units in held_by(tx, reservation).get(subject, {}).values())
            }
            after = follows(reservation, to, held, own)
            put(tx, ctx, reservation, after)


def give_back(tx: Tx, ctx: Context, ended: Reservation) -> set[str]:
    """Release what an ended reservation still holds; asked again until the ledger holds nothing of it."""
    held = tx.holdings(ended.subjects())
    return let_go_of(tx, ctx, ended, {(each.subject, each.level): each.reserved for each in held})[1]


def let_go_of(
    tx: Tx, ctx: Context, reservation: Reservation, units: Mapping[tuple[str, LevelKey], int]
) -> Asked:
    """Release units that a reservation holds, by its subject and the level."""
    now = ctx.clock.now()
    bundles: list[int] = []
    for (subject, level), number in units.items():
        if number <= 0:
            continue
        movement = Movement(
            step_key(subject, tx.next_step(subject)),
            subject,
            level,
            MovementKind.RELEASE,
            0,
            -number,
            reservation.owner,
            reservation.state.value,
            now,
        )
        bundles.append(tx.add_bundle([movement], {subject: reservation.channel}, now))
    skus = {line.level.sku for line in reservation.lines}
    return bundles, {"writer"} | refresh(tx, ctx.assortment, ctx.pulse, skus, now)


def release_rest(tx: Tx, ctx: Context, line: LineState) -> set[str]:
    """What a confirmed reservation still holds when its whole order has its units is needed by nobody.

    The confirmation may come when the order has already asked for its own. It may name one of several orders
    that were sold on it: what the others want of it is needed still, and so it is while not all of it is in
    an order that anybody has told of (`domain.reservations.overdue` tells of it after a day). Returns the
    bells to ring.
    """
    bells: set[str] = set()
    for number in line.reservations:
        reservation = tx.reservation(number)
        if reservation is not None and reservation.state in TAKEN_OVER:
            _of_order(tx, ctx, reservation, line)
        if reservation is not None:
            _tell_where(tx, ctx, reservation)
        if reservation is None or reservation.state is not ReservationState.CONFIRMED:
            continue
        if reservation.channel != line.channel or tx.busy(reservation.subjects()):
            continue
        skus = {held.level.sku for held in reservation.lines}
        if had := _not_needed(reservation, of_its_orders(tx, reservation)):
            bells |= _let_go_of_had(tx, ctx, reservation, skus & had)
    return bells


def _let_go_of_had(tx: Tx, ctx: Context, reservation: Reservation, skus: Set[str]) -> set[str]:
    """Its orders have these articles: it is over where that is all of it, and else gives those back."""
    if skus == {held.level.sku for held in reservation.lines}:
        ended = replace(reservation, state=ReservationState.RELEASED, reason=COVERED)
        put(tx, ctx, reservation, ended)
        return give_back(tx, ctx, ended)
    units = {
        (subject, level): held
        for subject, places in held_by(tx, reservation).items()
        for level, held in places.items()
        if level.sku in skus and held > 0
    }
    return let_go_of(tx, ctx, reservation, units)[1] if units else set()


def _tell_where(tx: Tx, ctx: Context, lost: Reservation) -> None:
    """A pick-up is not to be had where it was to be fetched: say where its order has other units."""
    fetched = lost.kind is ReservationKind.PICK_UP
    if not fetched or lost.state is not ReservationState.PAID_UNAVAILABLE:
        return
    reason, _, _ = lost.reason.partition(_INSTEAD)
    if there := held_instead(lost, held_by_orders(tx, lost)):
        reason += f"{_INSTEAD}{there}"
    put(tx, ctx, lost, replace(lost, reason=reason), because=f"and is not to be had: {reason}")


def _not_needed(reservation: Reservation, lines: Sequence[LineState]) -> Set[str]:
    """The articles that its orders have all they want of.

    Not those of which they take some of what was reserved and not all: one more may be sold on the rest.
    """
    took: Counter[str] = Counter()
    for line in lines:
        took[line.line.sku] += line.line.open_quantity + line.line.fulfilled_quantity
    due: Counter[str] = Counter()
    for held, units in zip(reservation.lines, reservation.due(), strict=True):
        due[held.level.sku] += units
    wanted = {line.line.sku for line in lines if _wants(line)}
    return {sku for sku in {line.line.sku for line in lines} - wanted if not 0 < took[sku] < due[sku]}


def _of_order(tx: Tx, ctx: Context, reservation: Reservation, line: LineState) -> None:
    """Name the order that has taken a reservation over: it is no other's from then on.

    A pick-up is settled when none of its orders has anything open that could be fetched.
    """
    if reservation.channel not in (None, line.channel) or tx.busy(reservation.subjects()):
        return
    if reservation.state is ReservationState.SETTLED and reservation.order_reference:
        return
    lines = sold_on(tx, reservation)
    name = reservation.order_reference or next((each.order_name for each in lines), line.order_name)
    named = replace(reservation, order_reference=name, channel=line.channel)
    if named.state is ReservationState.ORDERED and not any(each.line.open_quantity for each in lines):
        named = replace(named, state=ReservationState.SETTLED, reason="its order was sent or cancelled")
    put(tx, ctx, reservation, named)


def _wants(line: LineState) -> bool:
    return bool(line.due or line.uncovered or line.misplaced)


def close_covered(tx: Tx, ctx: Context) -> None:
    """End *paid and not available* where the order has got its units by itself meanwhile.

    Not with what its shop did not find, as long as that is an incident. What somebody comes for is had where
    she comes for it, or her order has nothing open any more.
    """
    waiting = tx.paid_unavailable()
    lacking = {each.key for each in tx.incidents() if each.kind == NOT_FOUND} if waiting else set()
    for reservation in waiting:
        theirs = of_its_orders(tx, reservation)
        if not theirs or any(line.due or line.uncovered for line in theirs):
            continue
        held = tx.holdings([line.subject for line in theirs])
        if any(str(each.level) in lacking for each in held if each.reserved > 0):
            continue
        fetched = reservation.kind is ReservationKind.PICK_UP
        if fetched and any(line.line.open_quantity for line in theirs):
            is_kept(tx, ctx, reservation, [line.level for line in reservation.lines])
            continue
        ended = replace(reservation, state=ReservationState.RELEASED, reason=COVERED)
        put(tx, ctx, reservation, ended)


def is_kept(
    tx: Tx, ctx: Context, lost: Reservation, there: Sequence[LevelKey], *, found_at: datetime | None = None
) -> Reservation | None:
    """Let a pick-up that was lost be fetched where its orders hold all of it; None where they do not.

    `there` has the level for each of its lines.
    """
    lines, held, due = of_its_orders(tx, lost), held_by_orders(tx, lost), Counter[LevelKey]()
    for level, units in zip(there, lost.due(), strict=True):
        due[level] += units
    if lost.kind is not ReservationKind.PICK_UP or not due <= held:
        return None
    here = found_at is not None
    moved = tuple(
        replace(line, level=level, found=here) for line, level in zip(lost.lines, there, strict=True)
    )
    kept = replace(lost, state=ReservationState.ORDERED, reason="", lines=moved, found_at=found_at)
    put(tx, ctx, lost, kept)
    for line in lines:
        if lost.id not in line.reservations:
            tx.put_line(replace(line, reservations=(*line.reservations, lost.id), due=True))
    return kept


def claim(tx: Tx, confirmed: Reservation) -> None:
    """An order that was seen before its confirmation takes the reservation over now."""
    names = order_names(confirmed.order_reference)
    if confirmed.channel is None or not names:
        return
    for line in tx.lines_of_order(confirmed.channel, names):
        if confirmed.id not in line.reservations:
            reservations = (*line.reservations, confirmed.id)
            tx.put_line(replace(line, reservations=reservations, due=True))


def described(reservation: Reservation, units: Sequence[int] = ()) -> dict[str, object]:
    """A reservation as an incident names it, with so many units of each line, or all that are due."""
    return {
        "reservation": reservation.id,
        "order": reservation.order_reference,
        "owner": reservation.owner,
        "channel": reservation.channel,
        "lines": [
            {"level": str(line.level), "units": units}
            for line, units in zip(reservation.lines, units or reservation.due(), strict=True)
            if units
        ],
    }
