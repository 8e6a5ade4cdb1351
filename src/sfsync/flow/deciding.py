"""The next step of one order line: what it may draw on, what it was sold on, and what a person is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sfsync.domain.incidents import MISPLACED, ON_FLOOR, OVERSOLD, UNKNOWN_LOCATION
from sfsync.domain.letters import written
from sfsync.domain.moments import at_place
from sfsync.domain.orders import (
    Holding,
    LineFacts,
    NextStep,
    OrderLine,
    PlaceFacts,
    completes,
    handed_to,
    next_step,
)
from sfsync.domain.places import Because, Draw, drawn
from sfsync.domain.reservations import TO_FETCH, ReservationKind
from sfsync.domain.stock import BROKEN, NO_SKU, BadKeyError, LevelKey, Movement, allocation_subject
from sfsync.domain.values import replace
from sfsync.ports import LineState, Tx

from . import sold_from_floor
from .allocations import SUBJECT, WITHHELD, Divider, parties
from .context import Context
from .cover import TOLD, order_told, told
from .lateness import write_down
from .picture import Picture, promised
from .reserving import release_rest
from .rooms import Rooms, with_whole_editions
from .sku_mappings import mapped
from .taking import give_up_uncovered


class Books:
    """What the store knows of some due lines, read at once; kept true while they are decided one by one."""

    def __init__(self, tx: Tx, ctx: Context, lines: Sequence[LineState], also: Collection[str] = ()) -> None:
        """`also`: SKUs whose facts whoever calls will want to know afterwards."""
        subjects = [line.subject for line in lines]
        self._tx, self._assortment = tx, ctx.assortment
        skus = with_whole_editions(ctx.assortment, {line.line.sku for line in lines} | set(also))
        self._picture = Picture(tx.facts(skus), ctx.assortment, skus=skus)
        self._changed = False  # a fact that no picture here was told of
        self._stale: dict[str, Picture | None] = {}  # SKUs of which more was written down than the bundle
        self.mapped: set[str] = set()  # the SKUs that lines were found to be about
        self.rows = tx.rows_of(subjects)
        self.next_steps = tx.next_steps(subjects)
        self.letters = tx.with_dead_letter(subjects)
        self._told = tx.lines_told_of(subjects)

    def picture(self, sku: str) -> Picture:
        """The facts of a SKU, as they are now."""
        if sku not in self._stale:
            return self._picture
        found = self._stale[sku]
        if found is None:
            found = self._stale[sku] = Picture(self._tx.facts([sku]), self._assortment)
        return found

    @property
    def whole_picture(self) -> Picture | None:
        """The facts as they are now; None where they have to be read anew."""
        return None if self._changed or self._stale else self._picture

    def told(self, before: LineState, after: LineState, bells: Collection[str] = ()) -> None:
        """What a line lacks is stored anew; `bells` are rung because of something else that was asked for."""
        same = (before.uncovered, before.line.sku) == (after.uncovered, after.line.sku)
        self._changed = self._changed or bool(bells) or not same

    def tells(self, line: LineState, kind: str) -> bool:
        """True when there was an open incident of the kind about the line."""
        return (kind, line.subject) in self._told

    def look_up(self, sku: str) -> None:
        """None of the lines was about this SKU by its own words: read its facts as well."""
        self._stale.setdefault(sku, None)
        self.mapped.add(sku)

    def enter(
        self, bundle: int, movements: Sequence[Movement], channel: str, along: Sequence[Movement]
    ) -> None:
        """These were written down, and wait for the org; what goes along with them is nobody's."""
        if along:
            self._stale |= {row.level.sku: None for row in movements}
            return
        for sku in {row.level.sku for row in movements}:
            of_sku = [row for row in movements if row.level.sku == sku]
            self.picture(sku).enter_rows(bundle, of_sku, channel)


def decide(tx: Tx, ctx: Context, books: Books, line: LineState, now: datetime) -> set[str] | None:
    """Take the line's next step, or settle it, or say that no stock covers it. None: it must wait."""
    stored, sources = line, _sources(books, ctx, line)
    if not sources and (named := mapped(tx, line)) is not None:
        books.look_up(named.line.sku)
        if sources := _sources(books, ctx, named):
            line = named
    if not sources:
        if not books.rows[line.subject] and not _wants(line.line):
            books.told(stored, replace(line, uncovered=0))
            return _settled(tx, ctx, books, line, now)
        books.told(stored, replace(line, uncovered=line.line.open_quantity))
        return _no_level(tx, ctx, books, line, now)
    if (line.channel, line.subject) in books.letters and tx.drop_dead_letter(line.channel, line.subject):
        ctx.log.info("stock level found", channel=line.channel, order=line.order_name, sku=line.line.sku)
    if line.reservations and (rung := give_up_uncovered(tx, ctx, line, books.picture(line.line.sku))):
        books.told(stored, line, rung)
        return rung  # it waits for the answer to that
    own = _set_aside_elsewhere(books, ctx, line, sources)
    places = _places(books, ctx, line, sources, own)
    sources = [*sources, *own]
    holdings, wait = _holdings(tx, ctx, books, line, sources)
    if wait:
        return None  # the reservation it was sold on is still being asked for
    line = replace(line, client=_client(tx, line))
    picture = books.picture(line.line.sku)
    sellable = picture.sellable(line.line.sku)
    step = next_step(
        facts := LineFacts(
            line.subject,
            line.line,
            books.rows[line.subject],
            books.next_steps[line.subject],
            sources,
            {key: units for key, units in sellable.items() if key not in own},
            holdings,
            line.asked_in_vain,
            line.order_name,
            line.version.isoformat(),
            # Not when it was placed: what left today was there at yesterday's count.
            max(word.version for word in line.words.values()),
            _returns_to(ctx, line),
            places,
            _room(tx, ctx, line),
            _handed_over(tx, line),
            _kept(tx, books, line, holdings),
            promised(ctx.assortment, picture, line.line.sku),
            *_owed(picture, line, books.rows[line.subject], sellable),
            picture.on_hand(line.line.sku),
            picture.promised_pieces(line.line.sku),
        )
    )
    _tell_unknown(tx, ctx, line, now)
    if step.bundle:
        gone = {each.subject for each in holdings if each.gone}
        sold_from_floor.drawn(tx, ctx, line, step.bundle, picture, now, gone=gone)
        owners = {movement.subject: line.channel for movement in step.bundle}
        bundle, along = write_down(tx, step.bundle, owners, now)
        books.enter(bundle, step.bundle, line.channel, along)
        _log_entered(ctx, line, step)
        floor = ctx.assortment.floor.locations
        on_floor = any(row.level.location in floor for row in step.bundle)  # its shop may have to look
        settles = not on_floor and _tells_nothing(books, stored) and completes(facts, step)
        asked = replace(_aside(line, step.bundle, now), uncovered=0, misplaced=0, settles=settles)
        if asked != stored:
            tx.put_line(asked)
        books.told(stored, asked)
        return {"writer"}
    after = replace(line, uncovered=step.uncovered, misplaced=step.misplaced, due=False)
    tx.put_line(after)
    _tell(tx, ctx, books, line, step.uncovered, sources, now, beyond=step.beyond)
    _tell_misplaced(tx, ctx, books, line, step.misplaced, places, now)
    if books.tells(line, ON_FLOOR):
        sold_from_floor.over(tx, ctx, line, books.rows[line.subject], now)
    rung = release_rest(tx, ctx, line)
    books.told(stored, after, rung)
    return rung


def _tells_nothing(books: Books, line: LineState) -> bool:
    """True when neither a person nor a reservation has to be told once the line has all that it wants."""
    lacked = line.uncovered or line.misplaced
    told = any(books.tells(line, kind) for kind in (OVERSOLD, MISPLACED, ON_FLOOR))
    return not (line.reservations or lacked or told)


def _wants(line: OrderLine) -> bool:
    return bool(line.open_quantity or line.fulfilled_quantity or line.returned_quantity)


def _settled(tx: Tx, ctx: Context, books: Books, line: LineState, now: datetime) -> set[str]:
    """Nothing was entered of it, and nothing is wanted any more: it concerns nobody which SKU it was."""
    tx.drop_dead_letter(line.channel, line.subject)
    tx.put_line(replace(line, uncovered=0, due=False))
    _tell(tx, ctx, books, line, 0, (), now)
    return set()


def _aside(line: LineState, bundle: Sequence[Movement], now: datetime) -> LineState:
    """The line with what this step gives back to an allocation for whose number it was never a sale.

    It was reserved elsewhere than where its channel sold it: we have lowered the number there.
    """
    back = sum(max(0, row.reserved_delta) for row in bundle if row.subject.startswith(SUBJECT))
    if not line.misplaced or not back:
        return line
    recent = line.aside_at is not None and line.aside_at > now - WITHHELD
    return replace(line, aside=back + (line.aside if recent else 0), aside_at=now)


def _no_level(tx: Tx, ctx: Context, books: Books, line: LineState, now: datetime) -> set[str]:
    if tx.dropped_for_good(line.channel, line.subject):  # whoever dropped it has said that it needs no stock
        tx.put_line(replace(line, uncovered=line.line.open_quantity, due=False))
        return set()
    ctx.log.warning("no stock level", channel=line.channel, order=line.order_name, sku=line.line.sku)
    piece = f", unit {line.line.unit!r}," if line.line.unit else ""
    reason = (
        f"order {line.order_name}: no stock level of {line.line.sku!r}{piece} where {line.channel} sells from"
    )
    advice = "create the stock level, or mend the channel's sells_from; it is then decided by itself"
    if place := line.line.sku.find(BROKEN) + 1:
        what = f"its character no. {place}, shown as {BROKEN}, is one that no SKU can have, such as NUL"
        reason = f"{reason}; {what}"
        advice = f"correct the SKU at {line.channel}, and say by `sfsync dead-letters map` which one it is"
    if line.line.sku.startswith(NO_SKU):
        what = line.line.sku.removeprefix(NO_SKU)
        reason = f"{reason}: the line has no SKU ({what})"
        advice = f"give {what} a SKU, and say by `sfsync dead-letters map` which one it is"
        if line.org_order:
            advice += "; a fee or a service is named in [org_orders] not_goods, and skipped"
    tx.dead_letter(line.channel, line.subject, reason, advice, written(line.line), now)
    uncovered = line.line.open_quantity
    tx.put_line(replace(line, uncovered=uncovered, due=False))
    _tell(tx, ctx, books, line, uncovered, (), now)
    ctx.log.warning(
        "no stock level", channel=line.channel, order=line.order_name, sku=line.line.sku, next=advice
    )
    return set()


def _returns_to(ctx: Context, line: LineState) -> LevelKey | None:
    """The level that the line's returned goods go to, where the house has a location for returns."""
    location = ctx.assortment.returns_to(line.channel)
    try:
        return LevelKey(line.line.sku, location, line.line.unit) if location else None
    except BadKeyError:
        return None


def _owed(
    picture: Picture, line: LineState, rows: Sequence[Movement], sellable: Mapping[LevelKey, int]
) -> tuple[frozenset[LevelKey], Mapping[LevelKey, int]]:
    """(levels with nothing but what others were promised elsewhere, units that its own promises may take).

    What the line holds may follow the goods to where they were carried.
    """
    sku = line.line.sku
    others = picture.others(sku)
    if not any(each.elsewhere for each in picture.levels(sku)):
        return others, sellable
    own: dict[LevelKey, int] = defaultdict(int)
    for row in rows:
        own[row.level] += row.reserved_delta
    return others, picture.sellable(sku, own={level: units for level, units in own.items() if units > 0})


def _sources(books: Books, ctx: Context, line: LineState) -> list[LevelKey]:
    """The levels the line may draw on, best first, as far as the org has them.

    Where the channel assigns locations, those of its others come last: what it sold at one that has none to
    give, it sold on what it has at another.
    """
    wish = line.line
    draws = [_drawn(ctx, line, place) for place in _sold_at(line)]
    locations = [location for draw in draws for location in draw.locations]
    if wish.places and not wish.location:
        plan = ctx.assortment.sells_from(line.channel, wish.sku)
        locations += [location for places in plan.values() for location in places]
    found = _levels(books, ctx, line, locations)
    sold = wish.open_quantity or wish.fulfilled_quantity
    if not found and not sold and (back := _returns_to(ctx, line)):
        return [back]  # goods come in that nobody of ours sold
    return found


def _set_aside_elsewhere(
    books: Books, ctx: Context, line: LineState, sources: Collection[LevelKey]
) -> list[LevelKey]:
    """Levels that the line is not sent from, where units are set aside for its channel alone.

    Its channel sells from there no more, and did before its settings were changed, or shows them still; or
    it names another of the org's locations. The line draws on those, and on no others there.
    """
    sku = line.line.sku
    if line.channel not in ctx.assortment.channels:
        return []
    picture = books.picture(sku)
    places = picture.set_aside_beside(sku, line.channel, {key.location for key in sources})
    own = picture.allocated_levels(sku, line.channel, places)
    return sorted(key for key, units in own.items() if units > 0 and line.line.unit in (None, key.unit))


def _sold_at(line: LineState) -> list[str]:
    """The channel's locations of the line, those with units to send first."""
    sending = sorted(line.line.places, key=lambda place: not place.open_quantity)
    return [place.location for place in sending] or [line.channel_location]


def _drawn(ctx: Context, line: LineState, place: str) -> Draw:
    plan, wish = ctx.assortment.sells_from(line.channel, line.line.sku), line.line
    return drawn(wish.location, place, plan, several=bool(wish.places), routed=wish.routed)


def _places(
    books: Books, ctx: Context, line: LineState, sources: Sequence[LevelKey], own: Sequence[LevelKey]
) -> list[PlaceFacts]:
    """What stands at each of the channel's locations, and the levels it draws on there.

    One, where the event names the org's location. A location whose levels are not in the org draws on the
    levels of the others meanwhile. A line that names its piece draws on that one alone, wherever it is.
    """
    wish = line.line
    if wish.location or (wish.unit and not wish.places):
        units = wish.open_quantity, wish.fulfilled_quantity, wish.returned_quantity
        there = sources if wish.location else [*sources, *own]
        return [PlaceFacts(there, *units, wish.left, wish.came_back)]
    return [
        PlaceFacts(
            _levels(books, ctx, line, _drawn(ctx, line, place.location).locations) or sources,
            place.open_quantity,
            place.fulfilled_quantity,
            place.returned_quantity,
            at_place(wish.left, place.location),
            at_place(wish.came_back, place.location),
        )
        for place in line.line.places
    ]


def _tell_unknown(tx: Tx, ctx: Context, line: LineState, now: datetime) -> None:
    """Raise an incident for each location that sends units and that the settings do not name."""
    for place in line.line.places:
        draw = _drawn(ctx, line, place.location)
        if not place.open_quantity or draw.because is not Because.UNKNOWN:
            continue
        title = (
            f"{line.channel} sends units from {place.location}, which no table of "
            f"[channels.{line.channel}.locations] names; they are reserved at {' or '.join(draw.locations)}"
        )
        remedy = "add a table with this id, or move the fulfilment at the channel; then start anew"
        detail = {"location": place.location, "order": order_told(line), "remedy": remedy}
        if tx.open_incident(UNKNOWN_LOCATION, f"{line.channel}:{place.location}", title, detail, now):
            ctx.log.warning(
                "a location that the settings do not name",
                channel=line.channel,
                order=line.order_name,
                location=place.location,
                next=remedy,
            )


def _log_entered(ctx: Context, line: LineState, step: NextStep) -> None:
    """What is entered where, and why there."""
    reasons = {_drawn(ctx, line, place).because for place in _sold_at(line)}
    ctx.log.info(
        "line to the org",
        channel=line.channel,
        order=line.order_name,
        sku=line.line.sku,
        rows=[f"{row.kind} {row.level.location} {_units(row)}" for row in step.bundle],
        because="; ".join(sorted(reasons)),
    )


def _units(row: Movement) -> str:
    changes = {"on hand": row.on_hand_delta, "reserved": row.reserved_delta}
    return ", ".join(f"{what} {change:+d}" for what, change in changes.items() if change)


def _levels(books: Books, ctx: Context, line: LineState, locations: Sequence[str]) -> list[LevelKey]:
    """The levels there, in the order of the locations: of every piece, unless the line names one."""
    wish = line.line
    there = [place for place in dict.fromkeys(locations) if place not in ctx.assortment.not_for_sale]
    known = [level.key for level in books.picture(wish.sku).levels(wish.sku)]
    fit = [key for key in known if key.location in there and wish.unit in (None, key.unit)]
    return sorted(fit, key=lambda key: (there.index(key.location), key))


def _holdings(
    tx: Tx, ctx: Context, books: Books, line: LineState, sources: Collection[LevelKey]
) -> tuple[list[Holding], bool]:
    """What the line may claim: reservations it was sold on, then its channel's allocation. True = wait."""
    subjects = _reserved_subjects(tx, line)
    if tx.busy(subjects):
        return [], True
    found = [
        Holding(held.subject, held.level, held.reserved, tx.next_step(held.subject))
        for held in tx.holdings(subjects)
        if held.reserved > 0
    ]
    sku, picture = line.line.sku, books.picture(line.line.sku)
    if line.channel in parties(ctx.assortment, picture, sku):
        places = {level.location for level in sources}
        divider = Divider(tx, ctx.assortment, ctx.pulse, picture, ctx.clock.now(), only_look=True)
        gone = divider.gone(sku, line.channel, places)
        own = picture.allocated_levels(sku, line.channel, places)
        for level in sources:
            units = max(0, own.get(level, 0) - gone.get(level, 0))
            subject = allocation_subject(line.channel, level)
            # Also when they are shared again: while it has units of its own, any of them may be sold unheard,
            # such as the very one that it has put back.
            found.append(Holding(subject, level, units, tx.next_step(subject), takes_back=True))
        found += [
            Holding(subject, level, gone[level], tx.next_step(subject), takes_back=True, gone=True)
            for level in sources
            if gone.get(level, 0) > 0 and (subject := allocation_subject(line.channel, level))
        ]
    return found, False


def _reserved_subjects(tx: Tx, line: LineState) -> list[str]:
    """The parts of its reservations that the line may take over: of the very piece where it names one.

    Was that piece not reserved, it takes over another one first, and that is then exchanged for its own.
    """
    found: list[tuple[str, str | None]] = []
    for reservation_id in line.reservations:
        reservation = tx.reservation(reservation_id)
        if reservation is not None and reservation.channel in (None, line.channel):
            found.extend(
                (subject, part.level.unit)
                for subject, part in zip(reservation.subjects(), reservation.lines, strict=True)
                if part.level.sku == line.line.sku
            )
    own = [subject for subject, unit in found if unit == line.line.unit]
    return own or [subject for subject, _ in found]


def _handed_over(tx: Tx, line: LineState) -> Mapping[LevelKey, int]:
    """What a shop has handed over to the line's customer out of the reservations that it was sold on."""
    left: dict[LevelKey, int] = defaultdict(int)
    if subjects := _reserved_subjects(tx, line):
        for rows in tx.rows_of(subjects).values():
            for row in rows:
                left[row.level] -= row.on_hand_delta
    handed = {level: units for level, units in left.items() if units > 0}
    if not handed:
        return handed
    lines = _sharing(tx, line)
    return handed_to(list(lines), lines, handed, line.subject)


def _kept(tx: Tx, books: Books, line: LineState, holdings: Collection[Holding]) -> Mapping[LevelKey, int]:
    """What a boutique keeps for its customer to fetch: the reservation's still, or the line's there."""
    due: dict[LevelKey, int] = defaultdict(int)
    for number in line.reservations:
        reservation = tx.reservation(number)
        if reservation is None or reservation.channel not in (None, line.channel):
            continue
        if reservation.kind is ReservationKind.PICK_UP and reservation.state in TO_FETCH:
            for part, units in zip(reservation.lines, reservation.due(), strict=True):
                if part.level.sku == line.line.sku and line.line.unit in (None, part.level.unit):
                    due[part.level] += units
    if not due:
        return due
    there = {held.level: held.reserved for held in holdings if not held.takes_back}
    for row in books.rows[line.subject]:
        there[row.level] = there.get(row.level, 0) + row.reserved_delta
    lines = _sharing(tx, line)
    share = handed_to(list(lines), lines, due, line.subject)
    kept = {level: min(units, there.get(level, 0)) for level, units in share.items()}
    return {level: units for level, units in kept.items() if units > 0}


def _sharing(tx: Tx, line: LineState) -> dict[str, OrderLine]:
    """The lines that were sold on its reservations, of whatever order, first come first; and itself."""
    sold = {each.subject: each.line for each in tx.lines_sold_on(line.reservations) if _alike(each, line)}
    return sold | {line.subject: line.line}


def _alike(one: LineState, line: LineState) -> bool:
    return one.channel == line.channel and one.line.sku == line.line.sku


def _client(tx: Tx, line: LineState) -> str:
    """Whose order it is: what its reservation says, else its channel."""
    reservations = (tx.reservation(each) for each in line.reservations)
    return next((each.client for each in reservations if each is not None and each.client), line.client)


def _room(tx: Tx, ctx: Context, line: LineState) -> int | None:
    """Units that the line's limited edition may still give it; None where it is of none.

    A closed edition gives too: the order was accepted, and the channel showed nothing that it may not sell.
    What its own reservation holds is taken already, and is the line's to claim.
    """
    edition = ctx.assortment.edition(line.line.sku)
    if edition is None:
        return None
    own = sum(max(0, held.reserved) for held in tx.holdings(_reserved_subjects(tx, line)))
    party = edition.party(line.channel)
    return own + edition.room(Rooms(tx, ctx.assortment).taken(edition, accepted=False), party)


def _tell(
    tx: Tx,
    ctx: Context,
    books: Books,
    line: LineState,
    uncovered: int,
    sources: Collection[LevelKey],
    now: datetime,
    *,
    beyond: int = 0,
) -> None:
    """Raise, or end, the incident of an order that was accepted and cannot be covered."""
    if not uncovered:
        if books.tells(line, OVERSOLD) and tx.close_incident(OVERSOLD, line.subject, now):
            ctx.log.info(
                "order covered after all", channel=line.channel, order=line.order_name, sku=line.line.sku
            )
        return
    title = f"{uncovered} of {line.line.sku} sold at {line.channel} that no stock covers"
    if beyond and (edition := ctx.assortment.edition(line.line.sku)) is not None:
        title = (
            f"{uncovered} of {line.line.sku} sold at {line.channel} beyond the edition {edition.name}: "
            f"{edition.told_share(line.channel)} to be sold"
        )
    if tx.told_of(OVERSOLD, line.subject) == title:
        return  # hundreds of them are decided again with each change of their SKU
    if tx.open_incident(OVERSOLD, line.subject, title, _detail(tx, line, uncovered, sources, now), now):
        ctx.log.warning(
            "oversold", channel=line.channel, order=line.order_name, sku=line.line.sku, units=uncovered
        )


def _tell_misplaced(
    tx: Tx,
    ctx: Context,
    books: Books,
    line: LineState,
    units: int,
    places: Sequence[PlaceFacts],
    now: datetime,
) -> None:
    """Raise, or end, the incident of units that are reserved elsewhere than they will be sent from."""
    if not units:
        if books.tells(line, MISPLACED):
            tx.close_incident(MISPLACED, line.subject, now)
        return
    sending = sorted({level.location for place in places if place.open_quantity for level in place.sources})
    title = (
        f"{units} of {line.line.sku} sold at {line.channel} are to be sent from {' or '.join(sending)}, "
        "where none is left"
    )
    detail = {"sku": line.line.sku, "units": units, "order": order_told(line), "sent_from": sending}
    if tx.open_incident(MISPLACED, line.subject, title, detail, now):
        ctx.log.warning(
            "reserved elsewhere than it is sent from",
            channel=line.channel,
            order=line.order_name,
            sku=line.line.sku,
            units=units,
            next="move the fulfilment at the channel, or transfer stock",
        )


def _detail(
    tx: Tx, line: LineState, uncovered: int, sources: Collection[LevelKey], now: datetime
) -> Mapping[str, object]:
    """Who wants the units, who holds them, and how long they were on show after they had been sold."""
    holders, count, first_sold = tx.newest_holders(sources, TOLD)
    orders = tx.lines([held.subject for held in holders])
    first_sold = first_sold or line.placed_at
    return {
        "sku": line.line.sku,
        "units": uncovered,
        "order": order_told(line),
        "held_by": [
            part | (order_told(orders[held.subject]) if held.subject in orders else {})
            for held, part in zip(holders, told(holders), strict=True)
        ],
        "holders": count,  # of whom the newest are named
        # Until we knew of it: the channel's own number had fallen by then, so this bounds the exposure.
        "exposure_unit_seconds": round(uncovered * max(0.0, (now - first_sold).total_seconds()), 3),
    }
