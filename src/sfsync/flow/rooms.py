"""What limited editions may still sell, as one transaction sees it; and what channels may show of them.

What is taken is read from the ledger each time, in the transaction that grants, covers or shows something.
There is one writer, so no two buyers are told of the same last piece. Nor is one told of what a channel with
units of its own shows, or may have sold unheard of: to others that is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sfsync.domain.assortment import Assortment
from sfsync.domain.ats import Guarantee
from sfsync.domain.editions import (
    REST,
    SPENT,
    Alone,
    Denial,
    Edition,
    Switch,
    dealt,
    denial,
    gives,
    on_show,
    with_units,
)
from sfsync.domain.values import replace
from sfsync.ports import ChannelLevel, PendingRow, Tx

from .picture import Picture

_PROMISES = ("order", "reservation")


class Rooms:
    """What editions may still sell, as one transaction sees it."""

    def __init__(self, tx: Tx, assortment: Assortment) -> None:
        self._tx, self._assortment = tx, assortment
        self._switches: Mapping[str, Switch] | None = None
        self._taken: dict[tuple[str, bool], dict[str, int]] = {}
        self._alone: dict[str, Mapping[str, Alone]] = {}

    def is_open(self, edition: Edition) -> bool:
        """True when it is on sale."""
        if self._switches is None:
            self._switches = self._tx.switches()
        switch = self._switches.get(edition.name)
        return switch is not None and switch.open

    def taken(self, edition: Edition, *, accepted: bool = True) -> Mapping[str, int]:
        """Units that each party has sold, promised or is asking for.

        With `accepted`, also what was sold elsewhere and is not covered: who comes later must not have it.
        """
        known = self._taken.get((edition.name, accepted))
        if known is not None:
            return known
        found: dict[str, int] = defaultdict(int)
        for channel, units in self._tx.taken(edition.skus):
            found[edition.party(channel)] += units
        found[REST] += self._tx.sold_elsewhere(edition.name)[0]
        for channel, units in _asked(self._tx.pending(edition.skus)):
            found[edition.party(channel)] += units
        if accepted:
            for line in self._tx.uncovered_lines(edition.skus):
                found[edition.party(line.channel)] += line.uncovered
        self._taken[edition.name, accepted] = found
        return found

    def alone(self, edition: Edition) -> Mapping[str, Alone]:
        """What channels that have units of their own, or are to have some, do with an edition's."""
        if edition.name not in self._alone:
            self._alone[edition.name] = self._read(edition)
        return self._alone[edition.name]

    def _read(self, edition: Edition) -> Mapping[str, Alone]:
        tx, assortment = self._tx, self._assortment
        held = tx.own_units(None, edition.skus)
        skus = [sku for sku in edition.skus if assortment.may_divide(sku) or sku in held]
        if not skus:
            return {}
        picture, levels = Picture(tx.facts(skus), assortment), tx.channel_levels(skus)
        heard: dict[tuple[str, str], int] = defaultdict(int)  # sold, and taken already (`taken`)
        for line in tx.uncovered_lines(skus):
            heard[line.channel, line.line.sku] += min(line.uncovered, line.line.taken_quantity)
        found: dict[str, Alone] = {}
        for sku in skus:
            division = assortment.division(sku, picture.scarce(sku))
            channels = {*picture.holders(sku), *(() if division is None else division.channels)}
            places = {level.key.location for level in picture.levels(sku)}
            for channel in sorted(channels & assortment.channels.keys()):
                own = picture.allocation(sku, channel, places)
                shown = target = has = 0
                known = False
                for level in levels:
                    if (level.sku, level.channel) != (sku, channel):
                        continue
                    number = max(0, level.published + level.flying)
                    shown, target = shown + number, target + max(0, level.target or 0)
                    if level.location == assortment.channels[channel].first_location:
                        known, has = True, number + level.spare - level.flying
                unheard = max(0, own - has - heard[channel, sku]) if known else 0
                before = found.get(channel, Alone(0, 0, 0))
                found[channel] = Alone(before.shown + shown, before.target + target, before.unheard + unheard)
        return found

    def unheard(self, edition: Edition) -> Mapping[str, int]:
        """What each channel may have sold of its own units of an edition, unheard of."""
        return {channel: each.unheard for channel, each in self.alone(edition).items()}

    def promised(self, edition: Edition, beside: str | None = None) -> Mapping[str, int]:
        """What nobody may be promised, by party: also what channels show of their own; but that of one."""
        alone = {channel: each.units for channel, each in self.alone(edition).items() if channel != beside}
        return with_units(edition, self.taken(edition), alone)

    def room(self, edition: Edition, channel: str | None) -> int:
        """How many a channel may show, what it shows of its own among them."""
        return edition.room(self.promised(edition, channel), edition.party(channel))

    def show(self, edition: Edition, targets: Mapping[str, int]) -> None:
        """Channels that have units of their own are to show so many now."""
        alone = self.alone(edition)
        new = {channel: replace(alone[channel], target=units) for channel, units in targets.items()}
        self._alone[edition.name] = {**alone, **new}

    def most(self, channel: str, sku: str, units: int, known: Sequence[int | None]) -> int:
        """What a channel level of an edition should show: as `limit` worked out, or what is left for it."""
        edition = self._assortment.edition(sku)
        if edition is None:
            return units
        if known and known[0] is not None:
            return known[0]
        return min(units, self.room(edition, channel)) if self.is_open(edition) else 0


def _asked(rows: Iterable[PendingRow]) -> list[tuple[str | None, int]]:
    """(channel, units) of what orders and reservations wait for; of what changes hands, nothing."""
    net: dict[tuple[int, str | None], int] = defaultdict(int)
    for row in rows:
        if row.kind in _PROMISES:
            net[row.bundle, row.channel] += row.reserved_delta - row.on_hand_delta
    return [(channel, units) for (_, channel), units in net.items() if units > 0]


def denied(
    tx: Tx,
    assortment: Assortment,
    channel: str | None,
    client: str,
    wanted: Iterable[tuple[str, int]],
    *,
    paid: bool = False,
) -> Denial | None:
    """Why units (SKU, quantity) may not be reserved because of their edition; None when they may.

    A customer who has paid is served by a closed edition too, as far as there is something left of it.
    """
    found = allowed(tx, assortment, channel, client, list(wanted), paid=paid)
    return found if isinstance(found, Denial) else None


def allowed(
    tx: Tx,
    assortment: Assortment,
    channel: str | None,
    client: str,
    wanted: Sequence[tuple[str, int]],
    *,
    paid: bool = False,
    part: bool = False,
) -> Denial | tuple[int, ...]:
    """How many of the units (SKU, quantity) may be reserved as far as their editions go, or why none.

    All of them, unless a `part` will do: then what an edition has left, and what it gives this client.
    """
    units: dict[str, int] = defaultdict(int)
    for sku, quantity in wanted:
        if (edition := assortment.edition(sku)) is not None:
            units[edition.name] += quantity
    rooms, left, no = Rooms(tx, assortment), dict[str, int](), None
    for name, quantity in units.items():
        edition = assortment.editions[name]
        has = _client_has(tx, edition, client) if client and edition.per_client is not None else 0
        taken = rooms.promised(edition)
        left[name] = min(quantity, gives(edition, taken, channel, has)) if part else quantity
        found = denial(
            edition,
            is_open=paid or rooms.is_open(edition),
            taken=taken,
            channel=channel,
            wanted=left[name] or quantity,
            client=client,
            client_has=has,
        )
        if found is not None and (left[name] or not part or found.kind not in SPENT):
            return found
        no = no or found
    may = list[int]()
    for sku, quantity in wanted:
        name = edition.name if (edition := assortment.edition(sku)) is not None else ""
        may.append(min(quantity, left.get(name, quantity)))
        if name:
            left[name] -= may[-1]
    return no if no is not None and not any(may) else tuple(may)


def _client_has(tx: Tx, edition: Edition, client: str) -> int:
    """Units of an edition that a client has bought, holds, or is asking for."""
    subjects = frozenset(tx.subjects_of(client))
    net: dict[str, int] = defaultdict(int)
    for holding in tx.holdings(subjects):
        if holding.level.sku in edition.skus:
            net[holding.subject] += holding.reserved - holding.on_hand
    asked = _asked(row for row in tx.pending_of(subjects) if row.level.sku in edition.skus)
    accepted = sum(line.uncovered for line in tx.uncovered_lines(edition.skus) if line.subject in subjects)
    return sum(max(0, units) for units in net.values()) + sum(units for _, units in asked) + accepted


def limit(
    rooms: Rooms,
    picture: Picture,
    assortment: Assortment,
    shown: Collection[ChannelLevel],
    targets: dict[tuple[str, str, str], int | None],
) -> None:
    """Lower the targets, by (SKU, channel, location), to what the SKUs' editions allow.

    A channel that asks first shows all that it may still ask for, and what its own shoppers hold where it
    counts down by itself; any other shows no more in all its SKUs and places together than it may sell. Those
    that have units of their own show no more together, and a number rises only once others were lowered.
    """
    if not assortment.editions:
        return
    by_channel: dict[tuple[str, str], list[ChannelLevel]] = defaultdict(list)
    for level in shown:
        edition = assortment.edition(level.sku)
        if edition is not None and targets.get((level.sku, level.channel, level.location)) is not None:
            by_channel[edition.name, level.channel].append(level)
    for name in {name for name, _ in by_channel}:
        _limit_own(rooms, picture, assortment, assortment.editions[name], by_channel, targets)
    for (name, channel), levels in by_channel.items():
        edition = assortment.editions[name]
        alone = {each: own.units for each, own in rooms.alone(edition).items()}
        promised = with_units(edition, rooms.taken(edition), alone)
        room = edition.room(promised, edition.party(channel)) if rooms.is_open(edition) else 0
        wants: dict[tuple[str, str], int] = {}
        for level in levels:
            key = (level.sku, channel, level.location)
            units = targets[key] or 0
            scarce = picture.scarce(level.sku)
            if assortment.policy(channel, level.sku, scarce).guarantee is Guarantee.GATED:
                sources = assortment.sources(channel, level.location, level.sku)
                holds = assortment.channels[channel].counts_down
                own = sum(picture.own_reserved(level.sku, channel, sources)) if holds else 0
                targets[key] = min(units, room + own)
            else:
                wants[level.sku, level.location] = units
        published = {(level.sku, level.location): level.published for level in levels}
        for (sku, location), units in dealt(room, wants, published).items():
            targets[sku, channel, location] = units


def _limit_own(
    rooms: Rooms,
    picture: Picture,
    assortment: Assortment,
    edition: Edition,
    by_channel: dict[tuple[str, str], list[ChannelLevel]],
    targets: dict[tuple[str, str, str], int | None],
) -> None:
    """Lower the targets of channels with units of their own, and take these levels out of `by_channel`.

    A number that is to stay below zero stands for sales, and stays.
    """
    wants: dict[str, dict[tuple[str, str], int]] = {}
    shown: dict[str, dict[tuple[str, str], int]] = {}
    alone = rooms.alone(edition)
    for channel in alone:
        if (levels := by_channel.get((edition.name, channel))) is None:
            continue
        own, others = list[ChannelLevel](), list[ChannelLevel]()
        for level in levels:
            policy = assortment.policy(channel, level.sku, picture.scarce(level.sku))
            (others if policy.guarantee is Guarantee.GATED else own).append(level)
        by_channel[edition.name, channel] = others
        own = [each for each in own if (targets[each.sku, channel, each.location] or 0) >= 0]
        keys = {each: (each.sku, each.location) for each in own}
        wants[channel] = {keys[each]: targets[each.sku, channel, each.location] or 0 for each in own}
        shown[channel] = {keys[each]: max(0, each.published + each.flying) for each in own}
    if not rooms.is_open(edition):
        numbers = {channel: dict.fromkeys(own, 0) for channel, own in wants.items()}
    else:
        beside = {channel: each.units for channel, each in alone.items() if channel not in wants}
        unheard = {channel: alone[channel].unheard for channel in wants}
        taken = with_units(edition, rooms.taken(edition), beside | unheard)
        numbers = on_show(edition, taken, wants, shown)
    for channel, found in numbers.items():
        for (sku, location), units in found.items():
            targets[sku, channel, location] = units
    rooms.show(edition, {channel: sum(found.values()) for channel, found in numbers.items()})


def with_whole_editions(assortment: Assortment, skus: Iterable[str]) -> set[str]:
    """The SKUs, and all others of their editions: what is sold of one changes what is left of the others."""
    found = set(skus)
    if not assortment.editions:
        return found
    for sku in list(found):
        if (edition := assortment.edition(sku)) is not None:
            found |= set(edition.skus)
    return found
