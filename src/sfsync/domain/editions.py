"""Limited editions: so many pieces, divided among channels, so many for each client, opened by one switch.

A house makes 500 of a bag and sells them in one drop. What a merchandiser decides stands in an `Edition`:

    size         no more are ever sold, even where the org has more on hand
    split        the most that a channel may sell; whoever is not named shares the rest
    per client   the most that one client may have, reserved or ordered, at all channels together
    switch       closed, every channel shows nothing and no reservation is granted; open, all sell at once

What counts as taken is what the ledger says: reserved, sent and not come back, for whatever order or
reservation, and what is being asked for. So nothing is counted twice when an order takes over a reservation,
and what is given back may be sold again.

A channel that has units of its own sells them without asking (`allocation`). What it may be showing of an
edition, and what it may have sold unheard of, is nobody else's: `Alone`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .allocation import Share, split

SPENT = frozenset({"edition-sold-out", "client-limit"})  # denials for which fewer units might do
REST = ""  # the party of everybody whom a split does not name: other channels, the house itself, tills


def same_client(text: str) -> str:
    """A client as all parties' words for him or her are compared.

    Spaces tell nobody apart, nor do capitals in an e-mail address; in an id they do: of Salesforce's ids of
    fifteen characters two may differ in nothing else.
    """
    name = " ".join(text.split())
    return name.casefold() if "@" in name else name


@dataclass(frozen=True, slots=True)
class Edition:
    """One limited edition, as the settings have it. Quantities in units."""

    name: str
    skus: tuple[str, ...]  # its SKUs, such as one for each colour
    size: int
    split: Mapping[str, int] = field(default_factory=dict)  # channel -> units; empty: all share the size
    per_client: int | None = None
    opens_at: datetime | None = None  # None: a person opens it

    def party(self, channel: str | None) -> str:
        """Whose share a channel sells from: its own, or the rest."""
        return channel if channel is not None and channel in self.split else REST

    def share(self, party: str) -> int:
        """The most that a party may sell."""
        return self.size - sum(self.split.values()) if party == REST else self.split[party]

    def told_share(self, channel: str | None) -> str:
        """A channel's share in words: "200 of 500 are london's" or "50 of 500 are the others'"."""
        party = self.party(channel)
        if not self.split:
            return f"{self.size} are"
        whose = "the others'" if party == REST else f"{party}'s"
        return f"{self.share(party)} of {self.size} are {whose}"

    def room(self, taken: Mapping[str, int], party: str) -> int:
        """How many more a party may sell; `taken` has the units of each party."""
        left = self.size - sum(taken.values())
        return max(0, min(left, self.share(party) - taken.get(party, 0)))


@dataclass(frozen=True, slots=True)
class Switch:
    """How an edition was last switched. `planned` is the opening time that this has settled."""

    open: bool
    at: datetime
    who: str
    planned: datetime | None = None


def switched(edition: Edition, before: Switch | None, now: datetime, *, on: bool, who: str) -> Switch:
    """What a person's word makes of the switch: it also settles the planned opening, early or called off."""
    if before is not None and before.open is on and before.planned == edition.opens_at:
        return before
    return Switch(on, now, who, edition.opens_at)


def opening(edition: Edition, switch: Switch | None, now: datetime) -> Switch | None:
    """The switch after the planned opening, once, when its time has come; None while there is nothing to do.

    An opening time that the settings have changed since is a new plan.
    """
    planned = edition.opens_at
    if planned is None or planned > now or (switch is not None and switch.planned == planned):
        return None
    return Switch(True, now, "the plan", planned)


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a reservation is not even asked for. `kind` is for programs, `limit` and `has` are units."""

    kind: str  # edition-closed, edition-sold-out, client-limit, client-missing
    edition: str
    detail: str
    limit: int | None = None
    has: int | None = None

    @property
    def more(self) -> dict[str, object]:
        """The facts, for programs."""
        facts = {"edition": self.edition, "limit": self.limit, "has": self.has}
        return {name: value for name, value in facts.items() if value is not None}


def denial(
    edition: Edition,
    *,
    is_open: bool,
    taken: Mapping[str, int],
    channel: str | None,
    wanted: int,
    client: str,
    client_has: int,
) -> Denial | None:
    """Why `wanted` more units may not be reserved; None when they may, as far as the edition goes."""
    name = edition.name
    if not is_open:
        when = f"; it opens at {edition.opens_at:%Y-%m-%d %H:%M} UTC" if edition.opens_at else ""
        return Denial("edition-closed", name, f"the edition {name} is closed{when}")
    if edition.per_client is not None:
        if not client:
            detail = f"the edition {name} is sold {edition.per_client} to a client: say whose it is in client"
            return Denial("client-missing", name, detail, edition.per_client)
        if client_has + wanted > edition.per_client:
            detail = (
                f"the edition {name} is sold {edition.per_client} to a client, and this one has {client_has}"
            )
            return Denial("client-limit", name, detail, edition.per_client, client_has)
    party = edition.party(channel)
    left = edition.room(taken, party)
    if wanted > left:
        limit = edition.share(party)
        detail = f"of the edition {name} {edition.told_share(channel)} to be sold, and {left} are left"
        return Denial("edition-sold-out", name, detail, limit, limit - left)
    return None


def gives(edition: Edition, taken: Mapping[str, int], channel: str | None, client_has: int) -> int:
    """How many more units a client of a channel may reserve, where a part will do."""
    left = edition.room(taken, edition.party(channel))
    return left if edition.per_client is None else max(0, min(left, edition.per_client - client_has))


@dataclass(frozen=True, slots=True)
class PartyStanding:
    """What one party may sell of an edition, has sold or promised, and may still sell; in units."""

    party: str
    limit: int
    taken: int
    left: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How an edition stands."""

    edition: Edition
    switch: Switch | None
    taken: int  # sold or promised, in units
    shares: Sequence[PartyStanding]
    shows: Mapping[str, int]  # channel -> units that it shows of all its SKUs

    @property
    def is_open(self) -> bool:
        """True when it is on sale."""
        return self.switch is not None and self.switch.open

    @property
    def settled(self) -> bool:
        """True when its planned opening has happened, or was called off."""
        return self.switch is not None and self.switch.planned == self.edition.opens_at


def dealt(
    room: int, wants: Mapping[tuple[str, str], int], shown: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    """What a channel that does not ask may show of each (SKU, location), so that all of it fits into `room`.

    In proportion to what could be shown there. Where a unit is left over it stays where one is shown.
    """
    names = {f"{sku}|{place}": (sku, place) for sku, place in wants}
    shares = [Share(name, wants[key], wants[key]) for name, key in names.items()]
    has = {name: max(0, shown.get(key, 0)) for name, key in names.items()}
    parts = split(min(room, sum(wants.values())), shares, has)
    return {key: parts[name] for name, key in names.items()}


@dataclass(frozen=True, slots=True)
class Alone:
    """What a channel does with the units of an edition that are its own. In units, of all its SKUs."""

    shown: int  # the most that it may be showing
    target: int  # what it should show
    unheard: int  # neither spare nor shown nor known to be sold: a sale not yet heard of, or an edit

    @property
    def units(self) -> int:
        """What is nobody else's to sell."""
        return max(self.shown, self.target) + self.unheard


def with_units(edition: Edition, taken: Mapping[str, int], units: Mapping[str, int]) -> dict[str, int]:
    """What is taken by each party, with what is so many channels' beside that."""
    found = Counter(taken)
    for channel, more in units.items():
        found[edition.party(channel)] += more
    return dict(found)


_Key = tuple[str, str]  # SKU, location


def on_show(
    edition: Edition,
    taken: Mapping[str, int],
    wants: Mapping[str, Mapping[_Key, int]],
    shown: Mapping[str, Mapping[_Key, int]],
) -> dict[str, dict[_Key, int]]:
    """What channels may show of their own units, by channel and (SKU, location), all within the edition.

    `wants` is what they could show, `shown` the most that they may be showing; `taken` has what they may have
    sold unheard of. A number rises only by what no other may still be showing: lowered and confirmed first.
    """
    has = {channel: sum(max(0, units) for units in numbers.values()) for channel, numbers in shown.items()}
    total = {channel: sum(numbers.values()) for channel, numbers in wants.items()}
    parts: dict[str, int] = {}
    for party in {edition.party(channel) for channel in wants}:
        shares = [Share(each, total[each], total[each]) for each in wants if edition.party(each) == party]
        parts |= split(edition.room(taken, party), shares, has)
    parts = _lowered(parts, edition.size - sum(taken.values()), has)
    found = {channel: dealt(parts[channel], numbers, shown[channel]) for channel, numbers in wants.items()}
    out = with_units(edition, taken, has)
    for channel, numbers in found.items():
        party = edition.party(channel)
        for key, units in numbers.items():
            now = max(0, shown[channel].get(key, 0))
            if units > now:
                more = min(units - now, edition.room(out, party))
                out[party] += more
                numbers[key] = now + more
    return found


def _lowered(parts: Mapping[str, int], left: int, has: Mapping[str, int]) -> dict[str, int]:
    """The parts, of no more than is left together: somebody may have sold beyond a share."""
    shares = [Share(channel, units, units) for channel, units in parts.items()]
    return split(min(sum(parts.values()), left), shares, has)


def set_aside(
    edition: Edition, taken: Mapping[str, int], goals: Mapping[str, int], has: Mapping[str, int]
) -> dict[str, int]:
    """The goals, lowered so that no more is set aside of a SKU than the edition allows its channels.

    `has` is what each has by now, or is being asked for it: who has too many gives them up before others get
    any.
    """
    held, found = with_units(edition, taken, has), dict(goals)
    for channel, goal in goals.items():
        party, now = edition.party(channel), has.get(channel, 0)
        if goal > now:
            more = min(goal - now, edition.room(held, party))
            held[party] = held.get(party, 0) + more
            found[channel] = now + more
    return found


def claims(
    edition: Edition,
    taken: Mapping[str, int],
    shares: tuple[Share, ...],
    unheard: Mapping[str, int] | None = None,
) -> tuple[Share, ...]:
    """The channels' claims to units that are divided among them, within the edition.

    Weighted by the split where the edition has one; who shares the rest divides what is left of it. What a
    channel may have sold `unheard` of is of its own part, as far as that goes.
    """
    unheard = unheard or {}
    gone = with_units(edition, taken, unheard)
    rest = [share for share in shares if edition.party(share.channel) == REST]
    parts = {
        channel: max(0, units - unheard.get(channel, 0))
        for channel, units in split(edition.room(taken, REST), rest, {}).items()
    }
    parts = _lowered(parts, edition.room(gone, REST), {})
    for share in shares:
        if edition.party(share.channel) != REST:
            parts[share.channel] = edition.room(gone, share.channel)
    for share in shares:
        if share.most is not None:
            parts[share.channel] = min(share.most, parts[share.channel])
    parts = _lowered(parts, edition.size - sum(gone.values()), {})
    return tuple(
        Share(share.channel, edition.split.get(share.channel, share.weight), parts[share.channel])
        for share in shares
    )
