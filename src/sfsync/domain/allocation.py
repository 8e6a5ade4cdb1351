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
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Share:
    """A channel's claim to a SKU that is split among channels. The list is in the order of priority."""

    channel: str
    weight: int = 1  # of the sum of all weights
    most: int | None = None  # units; never more


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

    @property
    def has(self) -> int:
        """Units that it shows or could show."""
        return max(0, self.shown) + self.spare

    @property
    def gap(self) -> int:
        """Units shown, sold or counted as spare that nothing is reserved for: it sells more than its own."""
        return max(0, self.has + self.sold - self.held)

    @property
    def missing(self) -> int:
        """Units held, neither spare nor shown nor known to be sold: a sale not yet heard of, or an edit."""
        return max(0, self.held - self.has - self.sold)


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


def total(pool: int, books: Iterable[Books]) -> int:
    """Units to split: what anybody may reserve, what is being asked for, what the channels have already."""
    return max(0, pool) + sum(each.coming + max(0, min(each.has, each.held - each.sold)) for each in books)


def target(books: Books, goal: int) -> int:
    """What the channel should show: lowered at once, raised only by what is spare and reserved for it.

    A number that is not covered is lowered by what is missing, after the spare units have covered it; but not
    while the org is being asked to cover it.

    Nor is it raised while a sale of it is known and not decided, or is being asked of what everybody may
    reserve: refused there, it draws on the units that are spare.

    A number below zero stands for sales that went beyond it. It rises to zero by itself only when none of the
    channel's sales is open any more: until then a step up may meet units that the channel has put back on
    sale without our knowing, and offer what another sale is owed.
    """
    gap = max(0, books.gap - books.coming)
    shown = books.shown if books.owes else max(0, books.shown)
    room = books.spare - gap
    if books.claimed and shown >= 0:
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
    """Units that change hands: None stands for the pool that every reservation may draw on."""

    giver: str | None
    taker: str | None
    units: int


def moves(pool: int, books: Sequence[Books], goals: Mapping[str, int]) -> list[Move]:
    """What is to be asked of the org now: numbers that nothing covers first, then whoever has too few.

    Units come from the pool, then from channels that have spare ones beyond their goal; what nobody needs
    goes back to the pool. `books` are in the order of priority; every unit is given once.
    """
    found: list[Move] = []
    left = max(0, pool)
    over = {each.channel: _over(each, goals.get(each.channel, 0)) for each in books}
    for need in (_uncovered(books, goals), _too_few(books, goals)):
        for channel, units in need:
            part = min(units, left)
            if part:
                found.append(Move(None, channel, part))
                left -= part
                units -= part
            for giver in books:
                part = min(units, over[giver.channel])
                if part and giver.channel != channel:
                    found.append(Move(giver.channel, channel, part))
                    over[giver.channel] -= part
                    units -= part
    found += [Move(channel, None, units) for channel, units in over.items() if units]
    return found


def _over(books: Books, goal: int) -> int:
    """Spare units that the channel has beyond its goal, really reserved for it, and claimed by no sale."""
    return 0 if books.claimed else max(0, min(books.spare - books.gap, books.has - goal))


def _uncovered(books: Iterable[Books], goals: Mapping[str, int]) -> list[tuple[str, int]]:
    """Up to the goal: what is shown beyond it will be lowered anyway."""
    needs = [(each.channel, min(each.gap, goals.get(each.channel, 0)) - each.coming) for each in books]
    return [(channel, units) for channel, units in needs if units > 0]


def _too_few(books: Iterable[Books], goals: Mapping[str, int]) -> list[tuple[str, int]]:
    wants = [(each, goals.get(each.channel, 0) - each.has - max(0, each.coming - each.gap)) for each in books]
    # Whoever has nothing at all first.
    return [
        (each.channel, units) for each, units in sorted(wants, key=lambda want: want[0].has > 0) if units > 0
    ]
