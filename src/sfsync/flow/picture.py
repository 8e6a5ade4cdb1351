"""The facts of some SKUs, arranged for asking: levels, who holds what, and what is on its way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from sfsync.domain import ats
from sfsync.domain.assortment import PLENTY, Assortment, InForce
from sfsync.domain.block import HOLDER
from sfsync.domain.debts import Owed, by_places, owed
from sfsync.domain.stock import LevelKey, Movement, StockLevel, allocation_subject
from sfsync.domain.values import replace
from sfsync.ports import Facts, Held, PendingRow

_NEWEST = datetime.max.replace(tzinfo=UTC)


class Picture:
    """The facts of some SKUs, arranged for asking."""

    def __init__(
        self, facts: Facts, assortment: Assortment, *, skus: Collection[str] = (), age_seconds: float = 0.0
    ) -> None:
        self._assortment = assortment
        self.skus = frozenset(skus)  # that it is a picture of, where that matters to somebody
        self.age_seconds = age_seconds  # how long ago all of it was last known; counts for what is shown
        self.uncovered: Mapping[str, int] = facts.uncovered
        self._scarce = facts.scarce
        self._levels: dict[str, list[StockLevel]] = defaultdict(list)
        for level in facts.levels:
            self._levels[level.key.sku].append(level)
        self._held: dict[str, list[Held]] = defaultdict(list)
        for holding in facts.held:
            self._held[holding.level.sku].append(holding)
        self._pending: dict[str, list[PendingRow]] = defaultdict(list)
        self._asked: dict[LevelKey, int] = defaultdict(int)
        self._leaving: dict[LevelKey, int] = defaultdict(int)
        self._owed: dict[str, Owed] = {}  # as worked out, of the SKUs asked about
        self._facts: dict[str, list[ats.LevelFacts]] = {}  # likewise, to whoever has no promises of his own
        self.enter(facts.pending)

    def enter(self, rows: Sequence[PendingRow]) -> None:
        """Bundles wait for the org: all of those that are written down, or one that was since then."""
        for level, asked, leaving in _net(rows):
            self._asked[level] += asked
            self._leaving[level] += leaving
        for row in rows:
            self._pending[row.level.sku].append(row)
            self._owed.pop(row.level.sku, None)
            self._facts.pop(row.level.sku, None)

    def enter_rows(self, bundle: int, movements: Sequence[Movement], channel: str | None) -> None:
        """A bundle of one owner was written down since the facts were read, with what the block gives it."""
        self.enter(
            [
                PendingRow(
                    bundle,
                    row.subject.partition(":")[0],
                    HOLDER if row.subject == allocation_subject(HOLDER, row.level) else channel,
                    row.level,
                    row.on_hand_delta,
                    row.reserved_delta,
                )
                for row in movements
            ]
        )

    def scarce(self, sku: str) -> InForce:
        """The scarcities that held of a SKU when its facts were read."""
        return self._scarce.get(sku, PLENTY)

    def levels(
        self,
        sku: str,
        locations: Collection[str] | None = None,
        *,
        own: Mapping[LevelKey, int] | None = None,
    ) -> list[ats.LevelFacts]:
        """A SKU's levels at some locations (all units of each), with what is on its way to them.

        And with what belongs to promises made at other levels; `own` are promises of whoever asks, who may
        have them follow the goods.
        """
        found = None if own else self._facts.get(sku)
        if found is None:
            owed = self._owed_of(sku, own).units
            found = [
                replace(facts, elsewhere=owed[facts.key]) if facts.key in owed else facts
                for facts in self._plain(sku)
            ]
            if not own:
                self._facts[sku] = found
        return [facts for facts in found if locations is None or facts.key.location in locations]

    def _plain(self, sku: str) -> list[ats.LevelFacts]:
        return [
            ats.LevelFacts(
                level.key,
                level.on_hand,
                level.reserved,
                self._asked[level.key],
                self._leaving[level.key],
                not_found=level.not_found,
            )
            for level in self._levels.get(sku, ())
        ]

    def _owed_of(self, sku: str, own: Mapping[LevelKey, int] | None) -> Owed:
        """What of a SKU's levels belongs to promises made at others."""
        if own or sku not in self._owed:
            set_aside: dict[LevelKey, int] = defaultdict(int)
            for holding in self._held.get(sku, ()):
                if holding.kind == "allocation":
                    set_aside[holding.level] += max(0, holding.reserved)
            assortment = self._assortment
            rank = by_places(
                assortment.not_for_sale,
                assortment.floor.locations,
                lambda location: assortment.near(location, sku),
            )
            found = owed(self._plain(sku), rank, set_aside, own)
            if own:
                return found
            self._owed[sku] = found
        return self._owed[sku]

    def sellable(self, sku: str, *, own: Mapping[LevelKey, int] | None = None) -> dict[LevelKey, int]:
        """Units that may be promised to somebody new, by level; to the holder of `own`, these apart."""
        return {facts.key: facts.sellable for facts in self.levels(sku, own=own)}

    def others(self, sku: str) -> frozenset[LevelKey]:
        """The levels that have nothing but what others were promised elsewhere, or what is not found."""
        awaited = self._owed_of(sku, None).awaited
        return frozenset(
            each.key
            for each in self.levels(sku)
            if each.sellable <= 0 and (each.elsewhere or each.not_found or each.key in awaited)
        )

    def beyond(
        self,
        level: LevelKey,
        units: int,
        *,
        own: Mapping[LevelKey, int] | None = None,
        in_hand: bool = False,
    ) -> str:
        """Why so many units may not be asked for at a level that the org would give them from; else nothing.

        Of what somebody was promised elsewhere, and of what its shop does not find, the org's rule knows
        nothing. `in_hand`: whoever asks has them in the hand, and so they are found.
        """
        facts = next((each for each in self.levels(level.sku, own=own) if each.key == level), None)
        if facts is not None and facts.not_found:
            if not in_hand and units > max(0, facts.sellable):
                there = f"{units} wanted of {level}, {max(0, facts.sellable)} available"
                return f"{there} beside the {facts.not_found} that {level.location} does not find"
            facts = replace(facts, not_found=0)
        awaited = self._owed_of(level.sku, own).awaited
        if facts is None or units <= max(0, facts.sellable) or not (facts.elsewhere or level in awaited):
            return ""
        return (
            f"{units} wanted of {level}, {max(0, facts.sellable)} available beside what was promised to "
            "others where it stood before"
        )

    def on_hand(self, sku: str) -> dict[LevelKey, int]:
        """Units on hand by the org's last word, less all that is leaving, whoever it was promised to."""
        found = {level.key: level.on_hand for level in self._levels.get(sku, ())}
        for row in self._pending.get(sku, ()):
            if row.level in found:
                found[row.level] += min(0, row.on_hand_delta)
        return found

    def promised_pieces(self, sku: str) -> frozenset[LevelKey]:
        """The levels of pieces that somebody was promised, or asks for, wherever they stand."""
        found = [level for level in self._plain(sku) if level.key.unit is not None]
        units = {level.key.unit for level in found if level.reserved + level.asked > 0}
        return frozenset(level.key for level in found if level.key.unit in units)

    def available(self, level: LevelKey) -> int:
        """On hand less reserved by the org's last word, whatever is being asked."""
        return sum(held.available for held in self._levels.get(level.sku, ()) if held.key == level)

    def freeing(self, level: LevelKey) -> bool:
        """True while something waits for the org that would make more available there."""
        net: dict[int, int] = defaultdict(int)
        for row in self._pending.get(level.sku, ()):
            if row.level == level:
                net[row.bundle] += row.on_hand_delta - row.reserved_delta
        return any(units > 0 for units in net.values())

    def own_reserved(self, sku: str, channel: str, locations: Collection[str]) -> tuple[int, int]:
        """Units (held, being asked) by the channel's own reservations."""
        held = sum(
            holding.reserved
            for holding in self._held.get(sku, ())
            if holding.kind == "reservation"
            and holding.channel == channel
            and holding.level.location in locations
        )
        own = [
            row
            for row in self._pending.get(sku, ())
            if row.kind == "reservation" and row.channel == channel and row.level.location in locations
        ]
        # Out of the local block: theirs, whatever the org has heard of it.
        given, changes = self._of_block(sku), list[int]()
        for row in own:
            drawn = min(max(0, row.reserved_delta), given[row.bundle, row.level])
            given[row.bundle, row.level] -= drawn
            held += drawn
            changes.append(row.reserved_delta - drawn)
        # What its orders are taking over, or it is giving back, is no longer its own.
        return max(0, held + sum(min(0, change) for change in changes)), sum(
            max(0, change) for change in changes
        )

    def _of_block(self, sku: str) -> Counter[tuple[int, LevelKey]]:
        """Units that each bundle takes out of the local block; also the grants that no bundle enters yet."""
        found = Counter[tuple[int, LevelKey]]()
        for row in self._pending.get(sku, ()):
            if row.kind == "allocation" and row.channel == HOLDER and row.reserved_delta < 0:
                found[row.bundle, row.level] -= row.reserved_delta
        return found

    def block_books(self, sku: str) -> dict[LevelKey, tuple[int, int, int, int]]:
        """Units (held, being asked, drawn, leaving for the pool) of the local block, by level."""
        books: dict[LevelKey, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for holding in self._held.get(sku, ()):
            if holding.kind == "allocation" and holding.channel == HOLDER:
                books[holding.level][0] += holding.reserved
        rows = self._pending.get(sku, ())
        drawing = {row.bundle for row in rows if row.kind == "reservation"}
        for row in rows:
            if row.kind == "allocation" and row.channel == HOLDER:
                books[row.level][1] += max(0, row.reserved_delta)
                books[row.level][2 if row.bundle in drawing else 3] += max(0, -row.reserved_delta)
        return {level: (held, coming, drawn, gone) for level, (held, coming, drawn, gone) in books.items()}

    def holders(self, sku: str) -> frozenset[str]:
        """The channels that hold an allocation of a SKU."""
        return frozenset(
            holding.channel
            for holding in self._held.get(sku, ())
            if holding.kind == "allocation" and holding.channel is not None and holding.reserved > 0
        )

    def allocation(self, sku: str, channel: str, locations: Collection[str]) -> int:
        """Units of the channel's allocation, less its own sales that wait to be settled."""
        return sum(self.allocated_levels(sku, channel, locations).values())

    def allocated_levels(self, sku: str, channel: str, locations: Collection[str]) -> dict[LevelKey, int]:
        """Units of the channel's allocation by level, less what is leaving it."""
        found: dict[LevelKey, int] = defaultdict(int)
        for holding in self._held.get(sku, ()):
            if holding.kind == "allocation" and holding.channel == channel:
                found[holding.level] += holding.reserved
        for row in self._pending.get(sku, ()):
            if row.kind == "allocation" and row.channel == channel:
                found[row.level] += min(0, row.reserved_delta)
        return {level: units for level, units in found.items() if level.location in locations}

    def short(self, sku: str) -> dict[LevelKey, int]:
        """Units that allocations must give up, by level: promised beyond stock, and not being released yet.

        Also what postings take that wait for the org: it never refuses them.
        """
        found = {}
        for level in self._levels.get(sku, ()):
            beyond = level.reserved - level.on_hand + self._leaving[level.key]
            if beyond > 0 and (units := beyond - self.given_up(level.key)) > 0:
                found[level.key] = units
        return found

    def oversold(self, level: LevelKey) -> int:
        """Units promised beyond stock by the org's last word."""
        return sum(held.oversold for held in self._levels.get(level.sku, ()) if held.key == level)

    def staying(self, sku: str) -> dict[LevelKey, int]:
        """Units that allocations must give up although stock covers them: a shop floor's last pieces by now.

        More stood there when they were set aside, and its counter has sold some since.
        """
        found = {}
        for key, (own, there) in self._on_floors(sku).items():
            if (units := own - max(0, there + self.given_up(key))) > 0:
                found[key] = units
        return found

    def _on_floors(self, sku: str) -> dict[LevelKey, tuple[int, int]]:
        """(units set aside for channels, units that may be) by level of a shop floor where any are.

        The second is less than none where not even the last pieces are there; what the org is asked to
        release comes to it.
        """
        floor, own = self._assortment.floor, dict[LevelKey, int]()
        channels = (self.holders(sku) - {HOLDER}) if floor.locations else ()
        for channel in channels:
            for key, units in self.allocated_levels(sku, channel, floor.locations).items():
                own[key] = own.get(key, 0) + max(0, units)
        if not any(own.values()):
            return {}
        coming: dict[LevelKey, int] = defaultdict(int)
        for row in self._pending.get(sku, ()):
            if row.kind == "allocation" and row.channel != HOLDER:
                coming[row.level] += max(0, row.reserved_delta)
        return {
            facts.key: (units, facts.sellable + units + coming[facts.key] - floor.last(facts.key.location))
            for facts in self.levels(sku, floor.locations)
            if (units := own.get(facts.key, 0))
        }

    def in_doubt(self, sku: str) -> set[LevelKey]:
        """The levels of which nobody can tell how much allocations must give up there (`short`, `staying`).

        The org is being asked to release some of it, and its last word may be from before that, or after.
        """
        found = {
            level.key for level in self._levels.get(sku, ()) if level.oversold and self.given_up(level.key)
        }
        on_floors = self._on_floors(sku).items()
        return found | {key for key, (own, there) in on_floors if own > there and self.given_up(key)}

    def given_up(self, level: LevelKey) -> int:
        """Units that allocations give up there to nobody at the level, and the org has not answered."""
        bundles: dict[int, list[PendingRow]] = defaultdict(list)
        for row in self._pending.get(level.sku, ()):
            if row.level == level:
                bundles[row.bundle].append(row)
        units = 0
        for rows in bundles.values():
            if not any(row.on_hand_delta for row in rows):
                own = sum(row.reserved_delta for row in rows if row.kind == "allocation")
                units += max(0, min(-own, -sum(row.reserved_delta for row in rows)))
        return units

    def set_aside(self, sku: str) -> dict[str, dict[LevelKey, datetime]]:
        """For whom units of a SKU are set aside, at which levels, and since when any are there."""
        found: dict[str, dict[LevelKey, datetime]] = defaultdict(dict)
        for held in self._held.get(sku, ()):
            if held.kind == "allocation" and held.channel is not None:
                found[held.channel][held.level] = held.since or _NEWEST
        return found

    def set_aside_beside(self, sku: str, channel: str, locations: Collection[str]) -> list[str]:
        """Other locations than these where units are reserved for the channel alone."""
        found = {
            holding.level.location
            for holding in self._held.get(sku, ())
            if holding.kind == "allocation" and holding.channel == channel and holding.reserved > 0
        }
        return sorted(found - set(locations))

    def changing_hands(self, sku: str, locations: Collection[str]) -> int:
        """Units that the org is being asked to move from channel to channel, or to give back to everybody.

        While it has not answered they are in nobody's allocation and not among those that may be promised.
        What is only asked for may not be there, and does not count.
        """
        bundles: dict[int, list[PendingRow]] = defaultdict(list)
        for row in self._pending.get(sku, ()):
            bundles[row.bundle].append(row)
        return sum(
            max(0, -row.reserved_delta)
            for rows in bundles.values()
            if all(row.kind == "allocation" and not row.on_hand_delta for row in rows)
            for row in rows
            if row.level.location in locations
        )

    def arriving_levels(self, sku: str, channel: str, locations: Collection[str]) -> dict[LevelKey, int]:
        """Units by level that the org is being asked for, for the channel's allocation."""
        found: dict[LevelKey, int] = defaultdict(int)
        for row in self._pending.get(sku, ()):
            if row.kind == "allocation" and row.channel == channel and row.level.location in locations:
                found[row.level] += max(0, row.reserved_delta)
        return found

    def asks_for_orders(self, sku: str, channel: str) -> bool:
        """True while the org is being asked for units for the channel's orders."""
        return any(row.kind == "order" and row.channel == channel for row in self._pending.get(sku, ()))

    def asks_pool(self, sku: str, channel: str) -> bool:
        """True while the channel's orders ask for units that are not of its allocation."""
        rows = self._pending.get(sku, ())
        own = {row.bundle for row in rows if row.kind == "allocation" and row.channel == channel}
        return any(
            row.kind == "order"
            and row.channel == channel
            and row.reserved_delta > 0
            and row.bundle not in own
            for row in rows
        )

    def allocation_books(self, sku: str, channel: str, locations: Collection[str]) -> tuple[int, int, int]:
        """Units (held, being asked, sold and being taken over by orders) of the channel's allocation."""
        held = sum(
            holding.reserved
            for holding in self._held.get(sku, ())
            if holding.kind == "allocation"
            and holding.channel == channel
            and holding.level.location in locations
        )
        rows = self._pending.get(sku, ())
        orders = {row.bundle for row in rows if row.kind == "order"}
        own = [
            row
            for row in rows
            if row.kind == "allocation" and row.channel == channel and row.level.location in locations
        ]
        coming = sum(max(0, row.reserved_delta) for row in own)
        sold = sum(max(0, -row.reserved_delta) for row in own if row.bundle in orders)
        return held, coming, sold


def promised(assortment: Assortment, picture: Picture, sku: str) -> dict[LevelKey, int]:
    """What of a SKU may be promised to somebody who is not in the shop, by level; {}: all of it."""
    if not assortment.floor.locations and not assortment.stays:
        return {}
    return {level.key: level.promised for level in on_floor(assortment, picture.levels(sku))}


def on_floor(assortment: Assortment, levels: Sequence[ats.LevelFacts]) -> list[ats.LevelFacts]:
    """One SKU's levels, with how many of them are the last pieces of a shop floor that sells without asking.

    And with what of them stays at a location that keeps some for whoever comes in: of several pieces there,
    the last ones.
    """
    floor, keep = assortment.floor, dict(assortment.stays)
    found = [
        replace(level, last=last) if (last := floor.last(level.key.location)) else level for level in levels
    ]
    if not keep:
        return found
    for number in sorted(range(len(found)), key=lambda each: found[each].key, reverse=True):
        level = found[number]
        if units := keep.get(level.key.location, 0):
            found[number] = level = replace(level, keep=units)
            keep[level.key.location] = units - max(0, min(units, level.sellable))
    return found


def _net(rows: Sequence[PendingRow]) -> list[tuple[LevelKey, int, int]]:
    """(level, units asked, units leaving) of each bundle there. A unit changing hands in it is not asked.

    What would raise a number (a release, a receipt) does not count before the org has it.
    """
    bundles: dict[int, list[PendingRow]] = {}
    for row in rows:
        bundles.setdefault(row.bundle, []).append(row)
    found: list[tuple[LevelKey, int, int]] = []
    for bundle in bundles.values():
        if len(bundle) == 1:
            row = bundle[0]
            found.append((row.level, *_changes(row.on_hand_delta, row.reserved_delta)))
            continue
        net: dict[LevelKey, list[int]] = {}
        for row in bundle:
            sums = net.setdefault(row.level, [0, 0])
            sums[0] += row.on_hand_delta
            sums[1] += row.reserved_delta
        found.extend((level, *_changes(*sums)) for level, sums in net.items())
    return found


def _changes(on_hand: int, reserved: int) -> tuple[int, int]:
    """Units (asked, leaving) by a net change of both.

    A fulfilment lowers both: what is promised leaves, and available stays. A return that is reserved at once
    raises both, and nobody else's units are asked for.
    """
    return max(0, reserved - max(0, on_hand)), max(0, min(0, reserved) - on_hand) if on_hand < 0 else 0
