"""Channel allocations: units reserved in the org for one channel, which may sell them alone, even cut off.

The books of one SKU at one channel (correctness D)::

    held  =  spare + shown + sold

- *held* is what the org has reserved for the channel;
- *shown* is the most that the channel may be showing, confirmed or in flight;
- *sold* are its own sales that have not been taken from the allocation yet, heard of or not;
- *spare* is the rest: units that are certainly neither shown there nor sold there.

Only spare units may be shown, moved to another channel or given back. They become spare in two ways alone:
the org has set them aside and we have not shown them yet, or we have lowered the channel's number by
compare-and-set and it has confirmed that very decrease. Never because the channel *shows* fewer than it
holds: the difference may be a sale that nobody has told of. So a raise takes its units from the spare ones
when it is planned, a lowering gives them when it is confirmed, and of an unknown outcome the raise counts and
the lowering does not.

Spare units can be fewer than none: the channel has sold, unheard, what nothing was reserved for (`fallen`).
What the org reserves next covers that first.

A SKU that is shared again goes the same way back: each channel's number is lowered to nothing, what is spare
then goes back to everybody (`given_back`), and only a channel that has none left shows the shared number. So
a sale from before the switch that nobody has told of keeps the unit that was set aside for it.

Units that are set aside may leave nevertheless: over a counter, or to another place. Whose they were is
derived from what stock still covers (`whose`), and what a channel has of such units is *gone*: it is shown no
longer, and once it is certainly neither shown nor sold it is *lost*, and released.

Units stand at places, and a channel can have only those that stand where it sells from. So what is split is a
`Stock`: units by place, and who sells from where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from .promises import Promise, first_to_give_way
from .stock import LevelKey, MovementKind
from .values import quick, replace


@dataclass(frozen=True, slots=True)
class Share:
    """A channel's claim to a SKU that is split among channels. The list is in the order of priority."""

    channel: str
    weight: int = 1  # of the sum of all weights
    most: int | None = None  # units; never more


@quick
@dataclass(frozen=True, slots=True)
class Books:
    """What one channel has of one SKU."""

    channel: str
    held: int = 0  # reserved in the org for it
    coming: int = 0  # asked of the org for it and not yet answered
    shown: int = 0  # the most that it may be showing
    sold: int = 0  # its sales that are known and not yet taken from the allocation
    spare: int = 0  # below zero: units sold unheard that nothing is reserved for
    owes: bool = False  # a sale of it is not decided yet, or nothing covers it
    claimed: bool = False  # sales of it that are known and not counted yet may still draw on its units
    sources: Sequence[str] = ()  # the places that it sells from, best first
    strays: Sequence[str] = ()  # other places where units are held for it: it sold from there before
    # place -> units held that are there, less what is leaving
    stands: Mapping[str, int] = field(default_factory=dict)
    arriving: Mapping[str, int] = field(default_factory=dict)  # place -> units of those that are coming
    gone: int = 0  # units held that stock no longer covers: they have left
    steady: bool = False  # nobody can tell just now how much of what stands with its units has left

    @property
    def has(self) -> int:
        """Units that it shows or could show."""
        return max(0, self.shown) + self.spare

    @property
    def gap(self) -> int:
        """Units shown, sold or counted as spare that nothing is reserved for: it sells more than its own."""
        return max(0, self.has + self.sold - self.held)

    @property
    def bare(self) -> int:
        """Units that it may sell and that no stock is set aside for: of nobody's, or of what has left."""
        return self.gap + self.gone

    @property
    def lost(self) -> int:
        """Units that have left and that it certainly neither shows nor has sold: they are to be released."""
        return 0 if self.claimed else max(0, min(self.gone, self.spare - self.gap))

    @property
    def shows_gone(self) -> bool:
        """True while units that have left are still among those that it may be showing."""
        return self.shown > 0 and self.gone > max(0, self.spare - self.gap)

    @property
    def missing(self) -> int:
        """Units held, neither spare nor shown nor known to be sold: a sale not yet heard of, or an edit."""
        return max(0, self.held - self.has - self.sold)

    @property
    def places(self) -> tuple[str, ...]:
        """Where units are held for it: where it sells from, best first, then where it does so no more."""
        return (*self.sources, *self.strays)

    @property
    def unheard(self) -> int:
        """Units missing of those that are there and are not leaving it."""
        has = max(0, min(self.has, self.held - self.sold) - self.gone)
        return max(0, sum(self.stands.values()) - has)

    @property
    def astray(self) -> int:
        """Units that it has where it sells from no more. Nobody knows where a missing one stands: there."""
        return max(0, sum(self.stands.get(place, 0) for place in self.strays) - self.unheard)


def split(total: int, shares: Sequence[Share], has: Mapping[str, int]) -> dict[str, int]:
    """Units for each channel out of `total`, by weight.

    Each gets its exact share rounded down; the units that are left go one each to whoever has more than that
    already, then by the largest fraction, then by priority: so nothing is moved for the sake of rounding.
    What a channel may not have (`most`) goes to the others.
    """
    goals = dict.fromkeys((share.channel for share in shares), 0)
    left, open_shares = max(0, total), [share for share in shares if share.weight > 0]
    while left and open_shares:
        weights = sum(share.weight for share in open_shares)
        exact = {share.channel: Fraction(left * share.weight, weights) for share in open_shares}
        capped = [
            share for share in open_shares if share.most is not None and exact[share.channel] >= share.most
        ]
        if capped:
            for share in capped:
                goals[share.channel] = min(share.most or 0, left)
                left -= goals[share.channel]
            open_shares = [share for share in open_shares if share not in capped]
            continue
        for share in open_shares:
            goals[share.channel] = int(exact[share.channel])
        left -= sum(goals[share.channel] for share in open_shares)
        by_claim = sorted(
            enumerate(open_shares),
            key=lambda claim: (
                -(has.get(claim[1].channel, 0) > goals[claim[1].channel]),
                goals[claim[1].channel] - exact[claim[1].channel],
                claim[0],
            ),
        )
        for _, share in by_claim[:left]:
            goals[share.channel] += 1
        return goals
    return goals


@dataclass(frozen=True, slots=True)
class Stock:
    """Units to split, where they stand, and who sells from there."""

    units: Mapping[str, int]  # place -> units; never below zero
    reach: Mapping[str, Collection[str]]  # channel -> places
    kept: int = 0  # units that nobody is to have, wherever they stand

    @property
    def total(self) -> int:
        """Units that somebody may have."""
        return max(0, sum(self.units.values()) - self.kept)

    def at(self, places: Collection[str]) -> int:
        """Units that stand at these places."""
        return sum(self.units.get(place, 0) for place in places)

    def reached(self, channels: Iterable[str]) -> set[str]:
        """The places that any of the channels sells from."""
        return {place for channel in channels for place in self.reach.get(channel, ())}


def stock(pool: Mapping[str, int], books: Iterable[Books], kept: int = 0) -> Stock:
    """Units to split: what anybody may reserve, what is being asked for, what the channels have already.

    `pool` has units by place, of which `kept` are not to be set aside.
    """
    books = list(books)
    found = {place: max(0, units) for place, units in pool.items()}
    kept = max(0, min(kept, sum(found.values())))
    for each in books:
        for place, units in _own(each).items():
            found[place] = found.get(place, 0) + units
    return Stock(found, {each.channel: each.sources for each in books}, kept)


def _own(books: Books) -> dict[str, int]:
    """Units by place that it has, or the org is asked for.

    Sales unheard of draw on where it sells from no more, then on its best place.
    """
    gone = books.unheard
    found = dict(books.arriving)
    for place in (*books.strays, *books.sources):
        units = books.stands.get(place, 0)
        part = min(units, gone)
        gone -= part
        found[place] = found.get(place, 0) + units - part
    return found


def divide(
    stock: Stock, shares: Sequence[Share], has: Mapping[str, int], fixed: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Units for each channel: what a word fixes, in the order of priority; else by weight (`split`).

    Nobody's are more than what stands where it sells from. Channels whose shares come to more than all that
    they can have, together, divide that among themselves; the others divide what those cannot have. So no
    unit is left over that somebody below its `most` could have, and where everybody sells from everywhere
    this is `split`.
    """
    fixed = {} if fixed is None else fixed
    wants = [
        (
            share.channel,
            max(0, fixed[share.channel] if share.most is None else min(fixed[share.channel], share.most)),
        )
        for share in shares
        if share.channel in fixed
    ]
    told = _fill(wants, stock.units, stock.reach, stock.total)
    said = {channel: sum(told.taken[channel].values()) for channel, _ in wants}
    found = _divide(stock, stock.total, shares, has, said)
    return {share.channel: found[share.channel] for share in shares}


def _divide(
    stock: Stock, limit: int, shares: Sequence[Share], has: Mapping[str, int], said: Mapping[str, int]
) -> dict[str, int]:
    """`divide` of no more than `limit` units, of what stands where these channels sell from."""
    channels = [share.channel for share in shares]
    goals = {channel: said[channel] for channel in channels if channel in said}
    rest = [share for share in shares if share.channel not in said]
    units = min(limit, stock.at(stock.reached(channels)))
    goals |= split(units - sum(goals.values()), rest, has)
    short = _short(stock, goals)
    if not short:
        return goals
    theirs = stock.reached(short)
    few = [share for share in shares if share.channel in short]
    others = [share for share in shares if share.channel not in short]
    beyond = Stock({place: n for place, n in stock.units.items() if place not in theirs}, stock.reach)
    units = stock.at(theirs)
    return _divide(stock, units, few, has, said) | _divide(beyond, limit - units, others, has, said)


def _short(stock: Stock, goals: Mapping[str, int]) -> set[str]:
    """The channels whose goals are together more than what they can have; none when all goals can be met."""
    filled = {place for place, units in stock.units.items() if units}
    if len({frozenset(filled.intersection(stock.reach.get(channel, ()))) for channel in goals}) <= 1:
        return set()  # all sell from the same places: what is split is what they can have
    found = _fill(list(goals.items()), stock.units, stock.reach, sum(goals.values()))
    short = {channel for channel, _ in found.unmet}
    while True:
        places = stock.reached(short)
        more = {
            channel
            for channel, taken in found.taken.items()
            if any(units for place, units in taken.items() if place in places)
        }
        if more <= short:
            return short
        short |= more


@dataclass(frozen=True, slots=True)
class _Filled:
    """Who takes how many where; what could not be met, in the order of the wants; what is left."""

    taken: Mapping[str, Mapping[str, int]]  # channel -> place -> units
    unmet: Sequence[tuple[str, int]]
    free: dict[str, int]  # place -> units


def _fill(
    wants: Sequence[tuple[str, int]],
    units: Mapping[str, int],
    reach: Mapping[str, Collection[str]],
    limit: int,
) -> _Filled:
    """Meet the wants in their order, as far as can be: an earlier one makes room where it can go elsewhere.

    Each takes its best places first. No more than `limit` units are taken in all.
    """
    free, unmet = dict(units), list[tuple[str, int]]()
    taken: dict[str, dict[str, int]] = {channel: {} for channel, _ in wants}
    for channel, want in wants:
        while want and limit and (path := _path(channel, free, taken, reach)):
            part = min(want, limit, free[path[-1][1]])
            for (_, place), (other, _) in pairwise(path):
                part = min(part, taken[other][place])
            for (taker, place), giver in zip(path, [*(step[0] for step in path[1:]), None], strict=True):
                taken[taker][place] = taken[taker].get(place, 0) + part
                if giver is None:
                    free[place] -= part
                else:
                    taken[giver][place] -= part
            want -= part
            limit -= part
        if want:
            unmet.append((channel, want))
    return _Filled(taken, unmet, free)


def _path(
    channel: str,
    free: Mapping[str, int],
    taken: Mapping[str, Mapping[str, int]],
    reach: Mapping[str, Collection[str]],
) -> list[tuple[str, str]]:
    """Who takes where, each from the next one, the last from what is free; nothing when there is no way."""
    ways, seen = [[(channel, place)] for place in reach.get(channel, ())], {channel}
    for way in ways:  # which grows
        place = way[-1][1]
        if free.get(place, 0) > 0:
            return way
        for other, theirs in taken.items():
            if other not in seen and theirs.get(place, 0) > 0:
                seen.add(other)
                ways += [[*way, (other, next_place)] for next_place in reach[other]]
    return []


@dataclass(frozen=True, slots=True)
class Holder:
    """Units that are set aside for a channel, by stock level, and what it may be doing with them."""

    channel: str
    units: Mapping[LevelKey, int]  # less what is leaving it
    since: Mapping[LevelKey, datetime]
    spare: int  # of all of them: certainly neither shown nor sold
    shown: int  # of all of them: at most


def whose(short: Mapping[LevelKey, int], holders: Sequence[Holder]) -> dict[str, dict[LevelKey, int]]:
    """Whose units have left, by channel and level, where `short` units more are promised than there are.

    What nobody shows goes first: no number need be lowered for it, and whoever has been lowered stays the one
    whose units have left, so that no other number rises before a further one is lowered. Then what is shown;
    what may have been sold unheard of comes last. Within each the newest gives way first, as promises do
    (`domain.promises`).
    What is short beyond all of these units lacks to somebody who was promised more than they.
    """
    left = {level: units for level, units in sorted(short.items()) if units > 0}
    able = {each.channel: {level: max(0, units) for level, units in each.units.items()} for each in holders}
    found: dict[str, dict[LevelKey, int]] = {each.channel: {} for each in holders}
    spare = {each.channel: max(0, each.spare) for each in holders}
    shown = {each.channel: max(0, each.shown) for each in holders}
    unheard = {each.channel: sum(able[each.channel].values()) for each in holders}
    for most in (spare, shown, unheard):
        for level, short_by in left.items():
            units = short_by
            for channel in _newest_first(level, holders):
                part = min(units, most[channel], able[channel].get(level, 0))
                if part > 0:
                    found[channel][level] = found[channel].get(level, 0) + part
                    units -= part
                    most[channel] -= part
                    able[channel][level] -= part
            left[level] = units
    return {channel: levels for channel, levels in found.items() if levels}


def _newest_first(level: LevelKey, holders: Sequence[Holder]) -> list[str]:
    promises = [
        Promise(each.channel, level, MovementKind.ALLOCATION, each.units[level], each.since[level])
        for each in holders
        if level in each.units
    ]
    return [each.subject for each in first_to_give_way(promises)]


def without_lost(books: Books) -> Books:
    """The books as they are once what has left, and is certainly neither shown nor sold, is released."""
    return replace(books, spare=books.spare - books.lost, gone=books.gone - books.lost)


def target(books: Books, goal: int) -> int:
    """What the channel should show: lowered at once, raised only by what is spare and reserved for it.

    A number that is not covered is lowered by what is missing, after the spare units have covered it; but not
    while the org is being asked to cover it.

    Nor is it raised while a sale of it is known and not decided, or is being asked of what everybody may
    reserve: refused there, it draws on the units that are spare. Nor while it is in doubt how much of what
    stands with its units has left. Nor for what it has where it sells from no more.

    A number below zero stands for sales that went beyond it. It rises to zero by itself only when none of the
    channel's sales is open any more: until then a step up may meet units that the channel has put back on
    sale without our knowing, and offer what another sale is owed.
    """
    gap = max(0, books.bare - books.coming)
    shown = books.shown if books.owes else max(0, books.shown)
    room = books.spare - gap
    room = min(room, max(0, room - books.astray))
    if (books.claimed or books.steady) and shown >= 0:
        room = min(0, room)
    return max(min(0, shown), min(goal, shown + room))


def received(books: Books, units: int, *, in_doubt: bool = False) -> int:
    """Spare units after the org has reserved more for it: a number that nothing covered is covered first.

    Not one that is in doubt: a sale that it may have counted already is no gap, and the units that covered it
    would be nobody's once it has been read again. If it was one, spare units cover it in the books anyway.
    """
    return books.spare + (units if in_doubt else max(0, units - books.gap))


def lowered(books: Books, units: int) -> int:
    """Spare units after its number was lowered: what nothing was reserved for frees nothing."""
    return books.spare + max(0, units - books.gap)


def kept(books: Books) -> int:
    """Spare units that something is reserved for; the others are none.

    Orders from before its units were set aside draw on them, too. What they took was not spare; and as long
    as it counts, hearing of one more sale looks like room for one more unit.
    """
    return max(min(0, books.spare), books.spare - books.gap)


def fallen(books: Books, units: int, known: int) -> int:
    """Spare units after its number was read and is lower than ours by so many units.

    `known` are sales that were heard of, and of which nobody could tell whether our number had seen them.
    When they explain the fall, it had not. When it is deeper than that, it may have: then they explain none
    of it, and every unit may be a sale that no order speaks of yet.
    What was shown uncovered may have been sold uncovered. It stays owed although nobody sees it any more:
    else the units that the org is asked for to cover it would be offered once more when they come.
    """
    return books.spare - books.gap if units > known else books.spare


def spent(spare: int, units: int) -> int:
    """Spare units after its number was raised: no fewer than none, unless there were fewer before."""
    return max(min(0, spare), spare - units)


@dataclass(frozen=True, slots=True)
class Move:
    """Units at a place that change hands: None stands for the pool that every reservation may draw on."""

    giver: str | None
    taker: str | None
    units: int
    place: str


def moves(
    pool: Mapping[str, int], books: Sequence[Books], goals: Mapping[str, int], kept: int = 0
) -> list[Move]:
    """What is to be asked of the org now: numbers that nothing covers first, then whoever has too few.

    What a channel shows may be sold there until it has confirmed a lower number. So it is covered beyond its
    goal, too, and whoever comes after it in the order of priority waits for what that frees.

    What a channel has where it sells from no more is its own until it is spare, and is nothing that its goal
    asks for: as many are set aside for it where it sells from now, and the old ones go first of what it has
    too many. None of them goes while some of its units are missing: they may be these.

    Units come from the pool (by place, of which `kept` stay there), then from channels that have spare ones
    beyond their goal; what nobody needs goes back to the pool. `books` are in the order of priority; every
    unit is given once.

    Where somebody's units stand with a channel that could have others, that one is first given those
    (`_Detours`): it then has more than its goal, and gives away what was in the way.
    """
    free = {place: max(0, units) for place, units in pool.items()}
    reach = {each.channel: each.sources for each in books}
    needs = [*_uncovered(books), *_too_few(books, goals)]
    filled = _fill(needs, free, reach, max(0, sum(free.values()) - kept))
    found = [
        Move(None, channel, units, place)
        for channel, taken in filled.taken.items()
        for place, units in taken.items()
        if units
    ]
    over = {each.channel: _over(each, goals.get(each.channel, 0)) for each in books}
    stands = {each.channel: _to_give(each) for each in books}
    short = []
    for channel, need in filled.unmet:
        units = need
        for giver in books:
            if giver.channel == channel:
                continue
            for place in reversed([place for place in giver.places if place in reach[channel]]):
                part = min(units, over[giver.channel], stands[giver.channel].get(place, 0))
                if part:
                    found.append(Move(giver.channel, channel, part, place))
                    over[giver.channel] -= part
                    stands[giver.channel][place] -= part
                    units -= part
        if units:
            short.append((channel, units))
    left = max(0, sum(free.values()) - kept - sum(move.units for move in found if move.giver is None))
    found += _Detours(books, goals, filled.free, left, over, stands).moves(short)
    for each in books:
        for place in reversed(each.places):
            part = min(over[each.channel], stands[each.channel].get(place, 0))
            if part:
                found.append(Move(each.channel, None, part, place))
                over[each.channel] -= part
    return _netted(found)


def _netted(found: Sequence[Move]) -> list[Move]:
    """The same without stops on the way: units that one gives up at a place where it is given some stay.

    Given back to the pool and set aside from it again, they would be nobody's for a moment, and cost the org
    two movements more.
    """
    left = list(found)
    while (pair := _joined(left)) is not None:
        at, to = pair
        into, out = left[at], left[to]
        part = min(into.units, out.units)
        left[at], left[to] = replace(into, units=into.units - part), replace(out, units=out.units - part)
        if into.giver != out.taker:
            left.insert(min(at, to), Move(into.giver, out.taker, part, into.place))
        left = [move for move in left if move.units]
    units = Counter[tuple[str | None, str | None, str]]()  # in the order of the moves
    for move in left:
        units[move.giver, move.taker, move.place] += move.units
    return [Move(giver, taker, part, place) for (giver, taker, place), part in units.items()]


def _joined(moves: Sequence[Move]) -> tuple[int, int] | None:
    """Where two of the moves stand of which one brings units to a place's holder and the other takes some."""
    for at, into in enumerate(moves):
        for to, out in enumerate(moves):
            if into.place == out.place and into.taker == out.giver:
                return at, to
    return None


class _Detours:
    """Units for whoever can have none of what is free, through channels that can have other units instead."""

    def __init__(
        self,
        books: Sequence[Books],
        goals: Mapping[str, int],
        free: dict[str, int],
        left: int,
        over: dict[str, int],
        stands: dict[str, dict[str, int]],
    ) -> None:
        self._reach = {each.channel: each.sources for each in books}
        self._free, self._left, self._over, self._stands = free, left, over, stands
        # What a channel will have to give once it is confirmed, or lowered: that is waited for.
        self._later = {
            each.channel: max(0, each.has + max(0, each.coming - each.bare) - goals.get(each.channel, 0))
            - _over(each, goals.get(each.channel, 0))
            for each in books
        }

    def moves(self, short: Iterable[tuple[str, int]]) -> list[Move]:
        """The first step of each detour; the next one follows when the org has confirmed it."""
        found = []
        for channel, need in short:
            units = need
            while units:
                part, move = self._step(channel, units)
                if not part:
                    break
                units -= part
                found += [move] if move is not None else []
        return found

    def _step(self, channel: str, need: int) -> tuple[int, Move | None]:
        """Units that a detour brings, and the move it starts with; none while they are on their way."""
        ways: list[list[tuple[str, str]]] = [
            [(channel, "")]
        ]  # each channel, and where its units are in the way
        seen = {channel}
        for way in ways:  # which grows
            taker = way[-1][0]
            for place in self._reach[taker]:
                if part := min(need, self._free.get(place, 0), self._left, self._room(way)):
                    self._free[place] -= part
                    self._left -= part
                    self._pass(way, part)
                    return part, Move(None, taker, part, place)
                for giver, theirs in self._stands.items():
                    if giver in seen or not theirs.get(place):
                        continue
                    further = [*way, (giver, place)]
                    for able in (self._over, self._later):
                        if part := min(need, able[giver], self._room(further)):
                            able[giver] -= part
                            self._pass(further, part)
                            return part, Move(giver, taker, part, place) if able is self._over else None
                    seen.add(giver)
                    ways.append(further)
        return 0, None

    def _room(self, way: Sequence[tuple[str, str]]) -> int:
        """Units that can go this way: what each channel on it has at its place."""
        return min((self._stands[giver][place] for giver, place in way[1:]), default=self._left)

    def _pass(self, way: Sequence[tuple[str, str]], units: int) -> None:
        for giver, place in way[1:]:
            self._stands[giver][place] -= units


def given_back(books: Books) -> list[Move]:
    """What a channel that is to have no units of its own any more gives back to everybody now, by place.

    Its spare units alone, of the worst places first. What it may still show is lowered first, and what
    is missing stays reserved for the sale that it may be, until an order or a whole reading of its orders
    accounts for it.
    """
    found, left = [], _free(books)
    for place in reversed(books.places):
        if part := min(left, books.stands.get(place, 0)):
            found.append(Move(books.channel, None, part, place))
            left -= part
    return found


def _free(books: Books) -> int:
    """Spare units that are really reserved for the channel, and claimed by no sale."""
    return 0 if books.claimed or books.steady else max(0, books.spare - books.bare)


def _over(books: Books, goal: int) -> int:
    """Those of them that it has beyond its goal, and that may go now."""
    stay = books.astray if books.unheard else 0
    return max(0, min(_free(books), books.has - stay - goal))


def _to_give(books: Books) -> dict[str, int]:
    """Units by place of which some may go: none where it sells from no more while any is missing."""
    return {place: 0 if books.unheard and place in books.strays else n for place, n in books.stands.items()}


def _uncovered(books: Iterable[Books]) -> list[tuple[str, int]]:
    needs = [(each.channel, each.bare - each.coming) for each in books]
    return [(channel, units) for channel, units in needs if units > 0]


def _too_few(books: Iterable[Books], goals: Mapping[str, int]) -> list[tuple[str, int]]:
    wants = [
        (each, goals.get(each.channel, 0) - each.has + each.astray - max(0, each.coming - each.bare))
        for each in books
    ]
    # Whoever has nothing at all first.
    return [
        (each.channel, units) for each, units in sorted(wants, key=lambda want: want[0].has > 0) if units > 0
    ]
