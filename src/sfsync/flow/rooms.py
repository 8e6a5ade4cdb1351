"""What limited editions may still sell, as one transaction sees it; and what channels may show of them.

What is taken is read from the ledger each time, in the transaction that grants, covers or shows something.
There is one writer, so no two buyers are told of the same last piece.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sfsync.domain.assortment import Assortment
from sfsync.domain.ats import Guarantee
from sfsync.domain.editions import REST, Denial, Edition, Switch, dealt, denial
from sfsync.ports import ChannelLevel, PendingRow, Tx

from .picture import Picture

_PROMISES = ("order", "reservation")


class Rooms:
    """What editions may still sell, as one transaction sees it."""

    def __init__(self, tx: Tx, assortment: Assortment) -> None:
        self._tx, self._assortment = tx, assortment
        self._switches: Mapping[str, Switch] | None = None
        self._taken: dict[tuple[str, bool], dict[str, int]] = {}

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

    def room(self, edition: Edition, channel: str | None) -> int:
        """How many more may be sold at a channel."""
        return edition.room(self.taken(edition), edition.party(channel))

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
    units: dict[str, int] = defaultdict(int)
    for sku, quantity in wanted:
        if (edition := assortment.edition(sku)) is not None:
            units[edition.name] += quantity
    rooms = Rooms(tx, assortment)
    for name, quantity in units.items():
        edition = assortment.editions[name]
        found = denial(
            edition,
            is_open=paid or rooms.is_open(edition),
            taken=rooms.taken(edition),
            channel=channel,
            wanted=quantity,
            client=client,
            client_has=_client_has(tx, edition, client) if client and edition.per_client is not None else 0,
        )
        if found is not None:
            return found
    return None


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
    counts down by itself; any other shows no more in all its SKUs and places together than it may sell.
    """
    if not assortment.editions:
        return
    by_channel: dict[tuple[str, str], list[ChannelLevel]] = defaultdict(list)
    for level in shown:
        edition = assortment.edition(level.sku)
        if edition is not None and targets.get((level.sku, level.channel, level.location)) is not None:
            by_channel[edition.name, level.channel].append(level)
    for (name, channel), levels in by_channel.items():
        edition = assortment.editions[name]
        room = rooms.room(edition, channel) if rooms.is_open(edition) else 0
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


def with_whole_editions(assortment: Assortment, skus: Iterable[str]) -> set[str]:
    """The SKUs, and all others of their editions: what is sold of one changes what is left of the others."""
    found = set(skus)
    if not assortment.editions:
        return found
    for sku in list(found):
        if (edition := assortment.edition(sku)) is not None:
            found |= set(edition.skus)
    return found
