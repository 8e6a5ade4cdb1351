"""The local block at work: set aside in the org, granted from on disk (entered afterwards: `settling`).

What changes hands between pool and block follows from the facts of a SKU whenever they change
(`domain.block`), like everything that is reserved for channels. Grants are rows of the store; while they wait
they count as gone from the block and as held by their reservation, for everybody who looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sfsync.domain import block
from sfsync.domain.assortment import Assortment
from sfsync.domain.block import HOLDER, BlockLevel, Draw
from sfsync.domain.ledger import Bundle, Verdict
from sfsync.domain.reservations import KINDS, Reservation, ReservationState
from sfsync.domain.stock import LevelKey, Movement, MovementKind, allocation_subject, step_key
from sfsync.domain.values import replace
from sfsync.ports import Tx

from .context import Context, Pulse
from .picture import Picture, on_floor

AGAIN = timedelta(minutes=15)  # before a grant is entered again that the org took for wrong


def levels_of(picture: Picture, assortment: Assortment, sku: str) -> list[BlockLevel]:
    """What the block has, or could have: the policy's locations first, then wherever it holds any."""
    rule = assortment.block(sku)
    places = rule.locations if rule else ()
    found = {level.key: level for level in on_floor(assortment, picture.levels(sku))}
    books = picture.block_books(sku)
    keys = [key for key in found if key.location in places and key.unit is None] + list(books)
    order = {place: number for number, place in enumerate(places)}
    levels = []
    for key in sorted(set(keys), key=lambda key: (order.get(key.location, len(order)), key)):
        held, coming, drawn, leaving = books.get(key, (0, 0, 0, 0))
        one = BlockLevel(key, held, drawn + leaving, coming)
        if (level := found.get(key)) is None:
            levels.append(replace(one, oversold=held))
            continue
        last = max(level.keep, level.last)
        pool = min(level.promised, level.sellable - last) if key.location in places else 0
        unpromised = level.sellable + one.unsold + coming + leaving
        oversold = max(0, level.reserved + level.not_found - level.on_hand)
        stays = block.staying(one.unsold, unpromised, last)
        levels.append(replace(one, pool=pool, oversold=oversold, stays=stays))
    return levels


def ready(picture: Picture, assortment: Assortment, sku: str) -> dict[LevelKey, int]:
    """Units of a SKU that may be granted at once, by level."""
    return {level.key: level.ready for level in levels_of(picture, assortment, sku) if level.ready}


def beside(
    picture: Picture, assortment: Assortment, asked: Sequence[tuple[LevelKey, int]]
) -> tuple[int, ...]:
    """What the block adds to each of these (level, units), where the pool alone has too few.

    Nothing where both together have too few: then the org alone can say whether there are more by now.
    """
    skus = {level.sku for level, _ in asked if assortment.block(level.sku)}
    pool = {key: units for sku in skus for key, units in picture.sellable(sku).items()}
    left = {key: units for sku in skus for key, units in ready(picture, assortment, sku).items()}
    found: list[int] = []
    for level, units in asked:
        found.append(block.added(units, pool.get(level, 0), left.get(level, 0)))
        pool[level] = pool.get(level, 0) - units + found[-1]
        left[level] = left.get(level, 0) - found[-1]
    return tuple(found)


def rebalance(
    tx: Tx, assortment: Assortment, pulse: Pulse, picture: Picture, sku: str, now: datetime
) -> bool:
    """Ask the org for what the block is short of, give back what it has too many; True when asked."""
    rule = assortment.block(sku)
    levels = levels_of(picture, assortment, sku) if rule or HOLDER in picture.holders(sku) else []
    short = bool(picture.uncovered.get(sku, 0))
    asked = False
    for key, units in block.changes(rule.units if rule else 0, levels, short=short).items():
        subject = allocation_subject(HOLDER, key)
        if pulse.paused.get(subject, 0.0) > now.timestamp() or tx.busy([subject]):
            continue
        kind = MovementKind.ALLOCATION if units > 0 else MovementKind.RELEASE
        step = step_key(subject, tx.next_step(subject))
        row = Movement(step, subject, key, kind, 0, units, "the local block", "", now)
        tx.add_bundle([row], {subject: HOLDER}, now)
        asked = True
    return asked


def grant(tx: Tx, reservation: Reservation, now: datetime) -> Reservation:
    """Grant it out of the block, which has the units ready: with this commit they are its own."""
    granted = replace(reservation, state=ReservationState.GRANTED)
    tx.put_reservation(granted)
    tx.add_draws(
        [
            Draw(
                subject,
                granted.id,
                granted.channel,
                line.level,
                line.quantity,
                KINDS[granted.kind],
                granted.owner,
            )
            for subject, line in zip(granted.subjects(), granted.lines, strict=True)
            if line.quantity
        ],
        now,
    )
    return granted


def answered(tx: Tx, ctx: Context, bundle: Bundle, verdict: Verdict) -> None:
    """The org has answered a bundle: what it entered of grants is in, or is planned anew."""
    own = f"allocation:{HOLDER}:"
    if not any(movement.subject.startswith(own) for movement in bundle.movements):
        return
    now = ctx.clock.now()
    wait = AGAIN if verdict is Verdict.WRONG else timedelta()
    tx.draws_answered(bundle.id, entered=verdict is Verdict.DONE, not_before=now + wait)
