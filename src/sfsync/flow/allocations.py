"""Units that are divided among channels: what each should show of its own, and what changes hands.

Nothing here runs by itself: whenever something about a SKU has changed, its books are read again, targets and
moves follow from them (`domain.allocation`), and what is due is asked of the org and of the channels. So the
order *lower, confirm, move, raise* needs no one to remember it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sfsync.domain import allocation
from sfsync.domain.allocation import Books, Holder, Move
from sfsync.domain.assortment import Assortment, Division, InForce
from sfsync.domain.block import HOLDER
from sfsync.domain.by_hand import by_demand, window
from sfsync.domain.editions import claims, set_aside, with_units
from sfsync.domain.incidents import UNEXPLAINED
from sfsync.domain.ledger import Bundle
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.stock import LevelKey, Movement, MovementKind, allocation_subject, step_key
from sfsync.domain.turns import Turn, only, whose
from sfsync.domain.values import replace
from sfsync.ports import ChannelItem, ChannelLevel, Tx

from . import their_clocks
from .context import Context, Pulse
from .picture import Picture, on_floor
from .rooms import Rooms

WITHHELD = timedelta(days=1)  # how long an order that gave up units without restock explains a lower number
PATIENCE = 1.5  # times the lag of a storefront's order list: by then a sale that a number tells of was told
CLOCKS = timedelta(seconds=2)  # so near to a reading, nobody can tell whether it has seen a sale (`taken`)
SUBJECT = "allocation:"
Own = Mapping[tuple[str, str], int]  # (channel, location) -> units that it should show of its own


def parties(
    assortment: Assortment, picture: Picture, sku: str, scarce: InForce | None = None
) -> tuple[str, ...]:
    """The channels among which a SKU is divided, best first, then those that left and still hold some.

    `scarce` are the scarcities that hold now; those that held when the facts were read, when None.
    """
    division = assortment.division(sku, picture.scarce(sku) if scarce is None else scarce)
    members = () if division is None else division.channels
    left = (picture.holders(sku) & assortment.channels.keys()) - set(members)
    return (*members, *sorted(left))


def turn_of(tx: Tx, sku: str, division: Division | None, now: datetime) -> Turn | None:
    """Whose turn it is to sell a SKU, by what is remembered and by the clock; None where all sell it."""
    if division is None or division.turns is None:
        return None
    before, turns = tx.turn(sku), division.turns
    sold_at = tx.last_sold(before[0], sku) if before and turns.idle_hours is not None else None
    return whose(before, division.channels, turns, sold_at, now)


def left_behind(assortment: Assortment, picture: Picture, sku: str) -> tuple[str, ...]:
    """The channels that hold some of a SKU and are not in the settings any more."""
    return tuple(sorted(picture.holders(sku) - assortment.channels.keys() - {HOLDER}))


def give_up(tx: Tx, picture: Picture, channel: str, sku: str, now: datetime) -> None:
    """Ask the org to give everybody what is set aside of a SKU for a channel that nobody serves any more."""
    places = {level.key.location for level in picture.levels(sku)}
    for key, units in sorted(picture.allocated_levels(sku, channel, places).items()):
        subject = allocation_subject(channel, key)
        if units > 0 and not tx.busy([subject]):
            row = _next_row(tx, channel, key, MovementKind.RELEASE, -units, now)
            tx.add_bundle([row], {subject: channel}, now)


class Divider:
    """Works out one SKU's allocations in a transaction."""

    def __init__(
        self,
        tx: Tx,
        assortment: Assortment,
        pulse: Pulse,
        picture: Picture,
        now: datetime,
        *,
        only_look: bool = False,
    ) -> None:
        self._tx, self._assortment, self._pulse = tx, assortment, pulse
        self._picture, self._now, self._only_look = picture, now, only_look
        self.asked = False  # something waits for the org now
        self._in_force: dict[str, InForce] = {}  # the scarcities by which a SKU's targets are worked out
        self._left: dict[str, Mapping[str, Mapping[LevelKey, int]]] = {}  # by SKU: whose units have left

    def scarce(self, sku: str) -> InForce:
        """Which scarcities hold of the SKU now; remembered, because it depends on what held before."""
        before = self._picture.scarce(sku)
        after = frozenset(
            each.name
            for each in self._assortment.scarcities(sku)
            if each.holds(each.name in before, self._available(sku, each.channels))
        )
        if after != before and not self._only_look:
            self._tx.put_scarce(sku, after, self._now)
        return after

    def _available(self, sku: str, channels: Collection[str]) -> int:
        """Units that may be promised, or are set aside, where these channels sell it from; all, for none.

        Also those that are just changing hands: else a SKU that is shared again would look scarce until all
        of it has been given back, and be divided anew.
        """
        found: dict[str, None] = {}
        for channel in channels or self._assortment.channels:
            for sources in self._assortment.sells_from(channel, sku).values():
                found |= dict.fromkeys(sources)
        places = list(found)
        holders = self._picture.holders(sku)
        held = sum(
            self._picture.allocation(sku, channel, places) - sum(self.gone(sku, channel, places).values())
            for channel in holders
        )
        return self._pool(sku, places) + held + self._picture.changing_hands(sku, places)

    def targets(self, sku: str, scarce: InForce, shown: Sequence[ChannelLevel]) -> Own:
        """What each channel should show of its own units; asks the org for what must change hands.

        `shown` are the SKU's channel levels, of which a channel's first location has its units. A number
        below zero at another one is named too while it must stay what it is (`_stays_below`). A channel
        that has left the division is lowered to nothing, and what is spare of its units goes to the others.
        When the SKU is shared again each is, and shows the shared number once it has given all of them back.
        """
        self._in_force[sku] = scarce
        division = self._assortment.division(sku, scarce)
        if self._assortment.by_turns and not self._only_look:
            self._take_turns(sku, division)
        # Where no policy divides it any more, what is still reserved goes back.
        channels = parties(self._assortment, self._picture, sku, scarce)
        if not channels:
            return {}
        levels = {
            level.channel: level
            for level in shown
            if level.channel in channels
            and level.location == self._assortment.channels[level.channel].first_location
        }
        places = self._places(channels, sku)
        self._left[sku] = self._whose(sku, shown)
        books = [self._kept(self.books(sku, channel, levels.get(channel)), levels) for channel in channels]
        elsewhere = {level.channel for level in shown if self._shown_beside(level)}
        books = self._without_lost(sku, self._steadied(sku, books), levels, elsewhere)
        if division is None:
            return {self._at(each): units for each, units in self._give_back(sku, books, levels).items()}
        books = [replace(each, claimed=True) if each.channel in elsewhere else each for each in books]
        goals = self.goals(sku, scarce, division, books)
        coming = {each.channel: each.coming for each in books}
        if not self._only_look:
            pool, safety = self._to_divide(sku, scarce, division, places)
            for move in allocation.moves(pool, books, goals, safety):
                units = self._ask(sku, move, levels)
                if move.taker is not None:
                    coming[move.taker] += units
        own = {}
        for each in books:
            goal, level = goals.get(each.channel, 0), levels.get(each.channel)
            if each.steady and level is not None and level.target is not None:
                goal = min(
                    goal, level.target
                )  # what was to be lowered is so, whatever it looks like meanwhile
            own[self._at(each.channel)] = allocation.target(replace(each, coming=coming[each.channel]), goal)
        beside = {each.channel: each for each in books}
        for level in shown:
            number, at = level.published + level.flying, (level.channel, level.location)
            if number >= 0 or at in own or level.channel not in beside:
                continue
            if self._stays_below(sku, beside[level.channel], levels.get(level.channel)):
                own[at] = number
        return own

    def _take_turns(self, sku: str, division: Division | None) -> None:
        """Remember whose turn it is; nobody's where all sell it."""
        turn, before = turn_of(self._tx, sku, division, self._now), self._tx.turn(sku)
        after = None if turn is None else (turn.channel, turn.since)
        if after != before:
            self._tx.put_turn(sku, after)

    def _at(self, channel: str) -> tuple[str, str]:
        """The channel, and which of its locations has its units."""
        return channel, self._assortment.channels[channel].first_location

    def _stays_below(self, sku: str, books: Books, first: ChannelLevel | None) -> bool:
        """True while a number below zero at another location must not rise to zero.

        It stands for a sale on what the channel's first location has. Until that one is lowered by it, the
        two together are what the channel may sell.
        """
        if books.gap or (first is not None and first.problem == IN_DOUBT):
            return True
        return self._picture.asks_for_orders(sku, books.channel) or self._tx.owes(books.channel, sku)

    def _shown_beside(self, level: ChannelLevel) -> bool:
        """True while another location than the one that has its units shows some too, or may.

        They are of the number that all shared. What is sold of them draws on what is set aside.
        """
        if level.channel not in self._assortment.channels or _has_units(self._assortment, level):
            return False
        return level.published + level.flying > 0 or level.problem == IN_DOUBT

    def _to_divide(
        self, sku: str, scarce: InForce, division: Division, places: Collection[str]
    ) -> tuple[Mapping[str, int], int]:
        """Units by place of what everybody may reserve, and how many of them are not to be set aside.

        Accepted orders come before that.
        """
        if self._picture.uncovered.get(sku, 0):
            return {}, 0
        safety = max(
            (self._assortment.policy(each, sku, scarce).safety_stock for each in division.channels), default=0
        )
        return self._pools(sku, places), safety

    def goals(
        self, sku: str, scarce: InForce, division: Division, books: Sequence[Books]
    ) -> Mapping[str, int]:
        """Units that each channel is to have: none of those that have left the division."""
        places = self._places([each.channel for each in books], sku)
        pool, safety = self._to_divide(sku, scarce, division, places)
        shares = division.shares
        if division.demand_days is not None:
            since, until = window(self._now, division.demand_days)
            shares = by_demand(shares, self._tx.sold_by_channel(sku, since, until))
        taken: Mapping[str, int] = {}
        unheard: Mapping[str, int] = {}
        if (edition := self._assortment.edition(sku)) is not None:
            rooms = Rooms(self._tx, self._assortment)
            taken, unheard = rooms.taken(edition), rooms.unheard(edition)
            shares = claims(edition, taken, shares, unheard)
        if (turn := turn_of(self._tx, sku, division, self._now)) is not None:
            shares = only(shares, turn.channel)
        fixed = {channel: each.units for channel, each in self._tx.by_hand(sku).items()}
        stock = allocation.stock(pool, books, safety)
        goals = allocation.divide(stock, shares, {each.channel: each.has for each in books}, fixed)
        if edition is None:
            return goals
        has = {each.channel: each.has + max(0, each.coming - each.bare) for each in books}
        return set_aside(edition, with_units(edition, taken, unheard), goals, has)

    def books(self, sku: str, channel: str, level: ChannelLevel | None) -> Books:
        """What a channel has of a SKU, its number at worst. One that does not list it yet shows nothing."""
        sources, strays = self._sources(channel, sku)
        places = (*sources, *strays)
        held, coming, sold = self._picture.allocation_books(sku, channel, places)
        stands = by_place(self._standing(sku, channel, places))
        gone = sum(self.gone(sku, channel, places).values())
        arriving = by_place(self._picture.arriving_levels(sku, channel, places))
        where = Books(channel, held, coming, 0, sold, sources=sources, strays=strays, gone=gone)
        where = replace(where, stands=stands, arriving=arriving)
        if level is None:
            return replace(where, spare=max(0, self._picture.allocation(sku, channel, places)))
        shown, spare = level.published + level.flying, level.spare - level.flying
        owes = shown < 0 and (self._picture.asks_for_orders(sku, channel) or self._tx.owes(channel, sku))
        claimed = spare > 0 and (self._picture.asks_pool(sku, channel) or self._tx.owes(channel, sku))
        return replace(where, shown=shown, spare=spare, owes=owes, claimed=claimed)

    def in_force(self, sku: str) -> InForce:
        """The scarcities that hold of a SKU, by which its targets were worked out if they were."""
        return self._in_force.get(sku, self._picture.scarce(sku))

    def covered(self, sku: str, shown: Sequence[ChannelLevel]) -> Own:
        """What of their numbers is set aside for channels: of a channel's first location before others."""
        found: dict[tuple[str, str], int] = {}
        for channel in self._picture.holders(sku) & self._assortment.channels.keys():
            theirs = [level for level in shown if level.channel == channel]
            books = self.books(sku, channel, None)
            left = books.held - books.gone - books.sold + sum(min(0, level.published) for level in theirs)
            for level in sorted(theirs, key=lambda each: not _has_units(self._assortment, each)):
                own = max(0, min(level.published, left))
                left -= own
                found[channel, level.location] = own
        return found

    def _kept(self, books: Books, levels: dict[str, ChannelLevel]) -> Books:
        """The same without spare units that nothing is reserved for; they are forgotten for good."""
        kept, level = allocation.kept(books), levels.get(books.channel)
        if level is None or level.problem == IN_DOUBT or kept == books.spare:
            return books
        if not self._only_look:
            level = replace(level, spare=level.spare - books.spare + kept)
            levels[books.channel] = level
            self._tx.put_spare(level.channel, level.sku, level.location, level.spare)
        return replace(books, spare=kept)

    def missing(self, sku: str, channel: str, level: ChannelLevel | None) -> int:
        """Units of a channel's allocation that nobody can account for; none while any is on its way.

        What is being given away is no longer spare, and still held.
        """
        books = self.books(sku, channel, level)
        return 0 if books.coming or self._leaving(sku, books) > 0 else books.missing

    def unaccounted(self, sku: str, channel: str, level: ChannelLevel, more: int) -> int:
        """Units of a channel's allocation that nobody can account for once it has so many `more`."""
        books = self.books(sku, channel, level)
        left = books.held + more - books.has - books.sold
        return max(0, left - self._leaving(sku, books))

    def _leaving(self, sku: str, books: Books) -> int:
        """Units that are being given away: no longer spare, and still held."""
        return books.held - books.sold - self._picture.allocation(sku, books.channel, books.places)

    def spoken_for(self, sku: str, shown: Sequence[ChannelLevel]) -> Mapping[str, int]:
        """Units by channel that it shows, or could, and that the org neither holds for it nor is asked to.

        None while everybody shows the common number. When the SKU has just become scarce, or again, they are
        being set aside: what is still in the pool of them is nobody else's.
        """
        division = self._assortment.division(sku, self._picture.scarce(sku))
        if division is None:
            return {}
        found = {}
        for level in shown:
            if level.channel not in division.channels:
                continue
            plan = self._assortment.channels.get(level.channel)
            if plan is None or level.location != plan.first_location:
                continue
            books = self.books(sku, level.channel, level)
            stays = self._picture.allocation(sku, level.channel, books.places)
            if units := books.has - max(0, stays - books.gone) - books.coming:
                found[level.channel] = max(0, units)
        return {channel: units for channel, units in found.items() if units}

    def _sources(self, channel: str, sku: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Where a channel has its units of a SKU: in what its first location sells it from; and beside that.

        By changed settings it may sell from other places than those where its units stand. They are its own
        until they are certainly neither shown nor sold, wherever they stand. Of one that is to have none any
        more, nothing is beside.
        """
        places = self._assortment.sources(channel, self._assortment.channels[channel].first_location, sku)
        beside = tuple(self._picture.set_aside_beside(sku, channel, places))
        division = self._assortment.division(sku, self.in_force(sku))
        if division is not None and channel in division.channels:
            return places, beside
        return (*places, *beside), ()

    def _places(self, channels: Iterable[str], sku: str) -> list[str]:
        found: dict[str, None] = {}
        for channel in channels:
            found |= dict.fromkeys(self._sources(channel, sku)[0])
        return list(found)

    def _pool(self, sku: str, places: Collection[str]) -> int:
        return sum(self._pools(sku, places).values())

    def _pools(self, sku: str, places: Collection[str]) -> Mapping[str, int]:
        """Units that anybody may reserve, by place; a level that owes takes nothing from the others."""
        levels = on_floor(self._assortment, self._picture.levels(sku, places))
        return by_place({level.key: max(0, level.promised) for level in levels})

    def _ask(self, sku: str, move: Move, levels: dict[str, ChannelLevel]) -> int:
        """Have units change hands, level by level, as far as nothing else waits there. Returns how many."""
        left = move.units
        for key, units in self._where(sku, move):
            part = min(left, units)
            subjects = [allocation_subject(c, key) for c in (move.giver, move.taker) if c is not None]
            paused = any(self._pulse.paused.get(each, 0.0) > self._now.timestamp() for each in subjects)
            if part <= 0 or paused or self._tx.busy(subjects):
                continue
            rows = []
            if move.giver is not None:
                rows.append(self._row(move.giver, key, MovementKind.RELEASE, -part))
                if (giver := levels.get(move.giver)) is not None:
                    levels[move.giver] = giver = replace(giver, spare=giver.spare - part)
                    self._tx.put_spare(giver.channel, sku, giver.location, giver.spare)
            if move.taker is not None:
                rows.append(self._row(move.taker, key, MovementKind.ALLOCATION, part))
            owners = {allocation_subject(c, key): c for c in (move.giver, move.taker) if c is not None}
            self._tx.add_bundle(rows, owners, self._now)
            self.asked = True
            left -= part
        return move.units - left

    def _where(self, sku: str, move: Move) -> list[tuple[LevelKey, int]]:
        """Levels of the place that can give the units: of one-of-a-kind pieces each is one."""
        if move.giver is None:
            levels = on_floor(self._assortment, self._picture.levels(sku, [move.place]))
            able = {level.key: level.promised for level in levels}
        else:
            able = self._standing(sku, move.giver, [move.place])
        return sorted((key, units) for key, units in able.items() if units > 0)

    def _standing(self, sku: str, channel: str, places: Collection[str]) -> dict[LevelKey, int]:
        """Units of a channel's allocation by level that are there, less what is leaving it."""
        found = dict(self._picture.allocated_levels(sku, channel, places))
        for key, units in self.gone(sku, channel, places).items():
            found[key] -= units
        return found

    def gone(self, sku: str, channel: str, places: Collection[str]) -> dict[LevelKey, int]:
        """Units of a channel's allocation by level that have left: stock does not cover them.

        Or what is left there are the last pieces of a shop floor, which nobody may sell without its word.
        """
        if sku not in self._left:
            self._left[sku] = self._whose(sku, None)
        left = self._left[sku].get(channel, {})
        return {key: units for key, units in left.items() if key.location in places}

    def forget_numbers(self, sku: str) -> None:
        """Say whose units of a SKU have left without regard to what is shown: of another moment."""
        self._left[sku] = self._whose(sku, ())

    def covered_gone(self, sku: str) -> Collection[LevelKey]:
        """Where channels have units that are gone for them although stock covers them: a floor's last."""
        return self._picture.staying(sku).keys() - self._picture.short(sku).keys()

    def forget_floors(self, sku: str) -> None:
        """Say of a SKU whose units stock does not cover, and of no others."""
        self._left[sku] = self._whose(sku, None, floors=False)

    def _whose(
        self, sku: str, shown: Sequence[ChannelLevel] | None, *, floors: bool = True
    ) -> Mapping[str, Mapping[LevelKey, int]]:
        """Whose units of a SKU have left; `shown` are its channel levels, read here when None.

        What the local block has of a shop floor's last pieces is its own concern (`block.levels_of`).
        """
        short = dict(self._picture.short(sku))
        last = self._picture.staying(sku) if floors else {}
        short |= {key: max(units, short.get(key, 0)) for key, units in last.items()}
        if not short:
            return {}
        channels = self._assortment.channels
        levels = {
            level.channel: level
            for level in (self._tx.channel_levels([sku]) if shown is None else shown)
            if level.channel in channels and _has_units(self._assortment, level)
        }
        places = {level.key.location for level in self._picture.levels(sku)}
        holders = []
        for channel, since in self._picture.set_aside(sku).items():
            units = self._picture.allocated_levels(sku, channel, places)
            if channel == HOLDER:
                since = {key: at for key, at in since.items() if key not in last}
                units = {key: units[key] for key in since}
            level, spare, number = levels.get(channel), sum(max(0, each) for each in units.values()), 0
            if level is not None:
                spare, number = level.spare - level.flying, level.published + level.flying
            holders.append(Holder(channel, {key: units[key] for key in since}, since, spare, number))
        return allocation.whose(short, holders)

    def _steadied(self, sku: str, books: Sequence[Books]) -> list[Books]:
        """The books, marked where it is in doubt how much has left of what stands with a channel's units."""
        if not (levels := self._picture.in_doubt(sku)):
            return list(books)
        places = {key.location for key in levels}
        found = []
        for each in books:
            own = self._picture.allocated_levels(sku, each.channel, places)
            found.append(replace(each, steady=any(own.get(key, 0) > 0 for key in levels)))
        return found

    def _without_lost(
        self,
        sku: str,
        books: Sequence[Books],
        levels: dict[str, ChannelLevel],
        elsewhere: Collection[str],
    ) -> list[Books]:
        """Have released what has left and is certainly neither shown nor sold. The books without it."""
        found = []
        entered = {key: self._picture.oversold(key) for key in self._picture.short(sku)}
        for key, units in self._picture.staying(sku).items():
            entered[key] = max(units, entered.get(key, 0))
        for each in books:
            level = levels.get(each.channel)
            if each.channel in elsewhere or (level is not None and level.problem == IN_DOUBT):
                found.append(each)
                continue
            units = 0 if self._only_look or not each.lost else self._release(sku, each, entered)
            if units and level is not None:
                levels[each.channel] = level = replace(level, spare=level.spare - units)
                self._tx.put_spare(level.channel, sku, level.location, level.spare)
            found.append(allocation.without_lost(each))
        return found

    def _release(self, sku: str, books: Books, entered: dict[LevelKey, int]) -> int:
        """Ask the org to release what is lost of a channel's units. How many.

        As far as they have left by its own word: `entered` has what is left of that, by level.
        """
        left = books.lost
        for key, units in sorted(self.gone(sku, books.channel, books.places).items()):
            subject = allocation_subject(books.channel, key)
            part = min(left, units, entered.get(key, 0))
            paused = self._pulse.paused.get(subject, 0.0) > self._now.timestamp()
            if part <= 0 or paused or self._tx.busy([subject]):
                continue
            row = self._row(books.channel, key, MovementKind.RELEASE, -part)
            self._tx.add_bundle([row], {subject: books.channel}, self._now)
            self.asked = True
            entered[key] -= part
            left -= part
        return books.lost - left

    def _row(self, channel: str, key: LevelKey, kind: MovementKind, change: int) -> Movement:
        return _next_row(self._tx, channel, key, kind, change, self._now)

    def _give_back(
        self, sku: str, books: Sequence[Books], levels: dict[str, ChannelLevel]
    ) -> Mapping[str, int]:
        """Shared again: what is reserved for single channels goes back to everybody. What each may show.

        Whoever goes by settings from before, because the changed ones wait for a person, keeps its own.
        """
        found = {}
        for each in books:
            if each.held <= 0:
                continue
            kept = each.channel in self._assortment.held
            for move in () if kept or self._only_look else allocation.given_back(each):
                self._ask(sku, move, levels)
            found[each.channel] = allocation.target(each, max(0, each.shown) if kept else 0)
        for level in levels.values():
            if level.spare and level.channel not in found and not self._only_look:
                self._tx.put_spare(level.channel, sku, level.location, 0)
        return found


def gone_at(tx: Tx, ctx: Context, key: LevelKey, *, block: bool = False) -> Mapping[str, int]:
    """For which channels units are set aside at a level that have left, and how many.

    `block`: of the local block, too.
    """
    picture = Picture(tx.facts([key.sku]), ctx.assortment)
    divider = Divider(tx, ctx.assortment, ctx.pulse, picture, ctx.clock.now(), only_look=True)
    divider.forget_floors(key.sku)
    found = {
        channel: divider.gone(key.sku, channel, [key.location]).get(key, 0)
        for channel in sorted(picture.holders(key.sku) - (set() if block else {HOLDER}))
    }
    return {channel: units for channel, units in found.items() if units}


def give_up_gone(
    tx: Tx, ctx: Context, key: LevelKey, gone: Mapping[str, int], reference: str, to: LevelKey | None = None
) -> int | None:
    """Ask the org to release units that have left, whatever their channels show; `to`: for others there.

    By a person's word. Until a number is lowered, and for a sale unheard of, they are owed, as for any number
    that nothing covers. The bundle; None while their units are changing hands.
    """
    levels = [key] if to is None else [key, to]
    owners = {allocation_subject(channel, level): channel for channel in gone for level in levels}
    if tx.busy(list(owners)):
        return None
    rows = []
    now, channels = ctx.clock.now(), ctx.assortment.channels
    for channel, units in gone.items():
        rows.append(_next_row(tx, channel, key, MovementKind.RELEASE, -units, now, reference))
        if to is not None:
            rows.append(_next_row(tx, channel, to, MovementKind.ALLOCATION, units, now, reference))
        for level in tx.channel_levels([key.sku], channel) if channel in channels else ():
            if _has_units(ctx.assortment, level):
                tx.put_spare(channel, key.sku, level.location, level.spare - units)
    return tx.add_bundle(rows, owners, now)


def own_books(
    tx: Tx, assortment: Assortment, pulse: Pulse, shown: Sequence[ChannelLevel], now: datetime
) -> Mapping[tuple[str, str, str], Books]:
    """The books of those of these channel levels that have units of their own, or are to have some.

    By channel, SKU and location.
    """
    levels = [level for level in shown if level.channel in assortment.channels]
    levels = [level for level in levels if _has_units(assortment, level)]
    picture = Picture(tx.facts({level.sku for level in levels}), assortment)
    divider = Divider(tx, assortment, pulse, picture, now, only_look=True)
    return {
        (level.channel, level.sku, level.location): divider.books(level.sku, level.channel, level)
        for level in levels
        if level.channel in parties(assortment, picture, level.sku)
    }


def _next_row(
    tx: Tx, channel: str, key: LevelKey, kind: MovementKind, change: int, now: datetime, reference: str = ""
) -> Movement:
    """The next movement of a channel's allocation at a level."""
    subject = allocation_subject(channel, key)
    step = step_key(subject, tx.next_step(subject))
    return Movement(step, subject, key, kind, 0, change, reference or f"units of {channel}", "", now)


def by_place(levels: Mapping[LevelKey, int]) -> Mapping[str, int]:
    """Units by location."""
    found: dict[str, int] = {}
    for key, units in levels.items():
        found[key.location] = found.get(key.location, 0) + units
    return found


def _has_units(assortment: Assortment, level: ChannelLevel) -> bool:
    """True for the location at which a channel shows what is its own: its first."""
    return level.location == assortment.channels[level.channel].first_location


def adopted(tx: Tx, assortment: Assortment, new: Collection[ChannelItem], channel: str) -> None:
    """A channel's number is read for the first time: what it holds beyond that has never been shown there.

    Less what is being given away: asked for before anybody knew of the number, it is still held.
    Of other channels, whose locations may have the same names, nothing was learned.
    """
    skus = {item.sku for item in new}
    skus = {sku for sku in skus if assortment.may_divide(sku)} | tx.own_units(channel, skus)
    if not skus:
        return
    picture = Picture(tx.facts(skus), assortment)
    known = {(item.sku, item.location) for item in new}
    for level in tx.channel_levels(skus, channel):
        places = assortment.sources(level.channel, level.location, level.sku)
        if _has_units(assortment, level):
            places = (*places, *picture.set_aside_beside(level.sku, level.channel, places))
        stays = picture.allocation(level.sku, level.channel, places)
        if (level.sku, level.location) in known and stays > 0:
            spare = max(0, stays - max(0, level.published))
            tx.put_spare(level.channel, level.sku, level.location, spare)


def answered(tx: Tx, ctx: Context, bundle: Bundle, *, entered: bool) -> None:
    """The org has answered a move of units; called before the answer is taken over into the holdings.

    What an order takes from an allocation, or gives back to it, was never spare.
    """
    if entered:
        _drawn_elsewhere(tx, ctx, bundle)
    if any(not movement.subject.startswith(SUBJECT) for movement in bundle.movements):
        return
    for movement in bundle.movements:
        channel = movement.subject.split(":")[1]
        if channel not in ctx.assortment.channels:
            continue
        place = ctx.assortment.channels[channel].first_location
        sku, units = movement.level.sku, movement.reserved_delta
        found = [level for level in tx.channel_levels([sku], channel) if level.location == place]
        if not found or entered != (units > 0):
            continue
        level = found[0]
        if units < 0:
            spare = level.spare - units
        else:
            divider = Divider(
                tx, ctx.assortment, ctx.pulse, Picture(tx.facts([sku]), ctx.assortment), ctx.clock.now()
            )
            books, in_doubt = divider.books(sku, channel, level), level.problem == IN_DOUBT
            spare = allocation.received(books, units, in_doubt=in_doubt) + level.flying
        tx.put_spare(channel, sku, place, spare)


def _drawn_elsewhere(tx: Tx, ctx: Context, bundle: Bundle) -> None:
    """An order has got units that are not of its channel's own: of those as many are left as before.

    Its reservation's, or everybody's. Where the channel has taken the sale off its number all the same, as
    many of its own are shown no longer, and nobody has bought them: they are spare. Where a number is in
    doubt, the next reading says whether it has fallen. None is freed by an order that asked before any were
    set aside: what is missing since then are other sales, and no unit was counted for this one.
    """
    units: dict[tuple[str, str], int] = {}
    own: dict[tuple[str, str], int] = {}
    for row in bundle.movements:
        kind, _, rest = row.subject.partition(":")
        at = rest.partition(":")[0], row.level.sku
        if kind == "order" and at[0] in ctx.assortment.channels and ctx.assortment.may_divide(at[1]):
            units[at] = units.get(at, 0) + row.reserved_delta - row.on_hand_delta
        elif kind == "allocation":
            own[at] = own.get(at, 0) + row.reserved_delta
    for at, drawn in units.items():
        elsewhere = drawn + own.get(at, 0)
        if drawn < 0 or elsewhere <= 0:
            continue
        channel, sku = at
        place = ctx.assortment.channels[channel].first_location
        picture = Picture(tx.facts([sku]), ctx.assortment)
        elsewhere = min(elsewhere, _taken_for(tx, bundle, channel, sku))
        if elsewhere <= 0 or channel not in picture.holders(sku):
            continue
        if tx.asked_at(bundle.id) < min(picture.set_aside(sku)[channel].values()):
            continue  # it was sold before any were its channel's own
        divider = Divider(tx, ctx.assortment, ctx.pulse, picture, ctx.clock.now())
        for level in tx.channel_levels([sku], channel):
            if level.location != place:
                continue
            free = elsewhere
            if level.problem != IN_DOUBT:
                free = min(free, divider.unaccounted(sku, channel, level, own.get(at, 0)))
            if free:
                tx.put_spare(channel, sku, place, level.spare + free)


def _taken_for(tx: Tx, bundle: Bundle, channel: str, sku: str) -> int:
    """Units that a channel has taken off its number of a SKU for the order lines of a bundle."""
    subjects = {row.subject for row in bundle.movements if row.subject.startswith("order:")}
    lines = [each for each in tx.lines(subjects).values() if each.channel == channel]
    return sum(each.line.taken_quantity for each in lines if sku == (each.line.mapped_from or each.line.sku))


def pushed(
    tx: Tx, assortment: Assortment, pulse: Pulse, level: ChannelLevel, delta: int, now: datetime
) -> None:
    """The channel has confirmed a change of its number; called before its new number is stored."""
    if not _has_units(assortment, level):
        return  # nothing was reserved for what it showed there
    divider = Divider(tx, assortment, pulse, Picture(tx.facts([level.sku]), assortment), now)
    books = divider.books(level.sku, level.channel, level)
    spare = allocation.spent(level.spare, delta) if delta > 0 else allocation.lowered(books, -delta)
    tx.put_spare(level.channel, level.sku, level.location, spare)


def read(tx: Tx, ctx: Context, seen: Mapping[tuple[str, str], int], channel: str) -> None:
    """Numbers were read that are lower than ours, by SKU and location; called before they are taken over."""
    assortment, now = ctx.assortment, ctx.clock.now()
    skus = {sku for sku, _ in seen}
    skus = {sku for sku in skus if assortment.may_divide(sku)} | tx.own_units(channel, skus)
    if not skus:
        return
    picture = Picture(tx.facts(skus), assortment)
    divider = Divider(tx, assortment, ctx.pulse, picture, now, only_look=True)
    for level in tx.channel_levels(skus, channel):
        shows = seen.get((level.sku, level.location))
        if shows is None or shows >= level.published:
            continue
        if channel not in parties(assortment, picture, level.sku, divider.scarce(level.sku)):
            continue
        if not _has_units(assortment, level):
            continue
        books = divider.books(level.sku, channel, level)
        if books.gap:
            theirs = their_clocks.of(ctx.channels.get(channel))
            since = level.baseline_from + theirs.least - CLOCKS
            until = level.baseline_at + theirs.most + CLOCKS
            known = tx.sold_between(channel, level.sku, since, until)
            spare = allocation.fallen(books, level.published - shows, known)
            tx.put_spare(channel, level.sku, level.location, spare)


def explain(tx: Tx, ctx: Context) -> set[str]:
    """Give up waiting for a sale that would explain a number: its units are spare again. Returns the SKUs.

    A number fell without an order. It is taken for somebody's edit when the order list has been read whole,
    well after the reading of the number and later than it lags behind, and says nothing of a sale. Where
    orders gave units up and the channel put none of them back on its number, nobody has to be told; nor where
    a boutique handed over what an order was sold on before the order drew on anything.
    """
    now, found = ctx.clock.now(), set[str]()
    for level in tx.channel_levels(tx.allocated_skus()):
        if level.push is not None or level.channel not in ctx.assortment.channels:
            continue
        if not _has_units(ctx.assortment, level):
            continue
        read, lag = tx.poll_mark(level.channel), ctx.assortment.orders_lag(level.channel)
        if level.changed_at > now - lag * PATIENCE or read is None or read < level.changed_at + lag:
            continue
        picture = Picture(tx.facts([level.sku]), ctx.assortment)
        if level.channel not in parties(ctx.assortment, picture, level.sku):
            continue
        divider = Divider(tx, ctx.assortment, ctx.pulse, picture, now)
        missing = divider.missing(level.sku, level.channel, level)
        if not missing:
            continue
        tx.put_spare(level.channel, level.sku, level.location, level.spare + missing)
        found.add(level.sku)
        # Orders for what it sold while units were shared may have drawn on all stock.
        units = missing - max(0, -level.spare) - tx.withheld(level.channel, level.sku, now - WITHHELD)
        if units > 0:
            units -= tx.handed_over(level.channel, level.sku, now - WITHHELD)
        if units <= 0:
            ctx.log.info("units without restock", channel=level.channel, sku=level.sku, units=missing)
            continue
        title = f"{level.channel} shows {units} of {level.sku} fewer than it has, and no order says so"
        detail = {
            "sku": level.sku,
            "channel": level.channel,
            "units": units,
            "shows": level.published,
        }
        tx.open_incident(UNEXPLAINED, f"{level.channel}:{level.sku}", title, detail, now)
        ctx.log.warning("unexplained change", channel=level.channel, sku=level.sku, units=units)
    return found
