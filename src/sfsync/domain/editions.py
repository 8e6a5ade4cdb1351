"""Limited editions: so many pieces, divided among channels, so many for each client, opened by one switch.

A house makes 500 of a bag and sells them in one drop. What a merchandiser decides stands in an `Edition`:

    size         no more are ever sold, even where the org has more on hand
    split        the most that a channel may sell; whoever is not named shares the rest
    per client   the most that one client may have, reserved or ordered, at all channels together
    switch       closed, every channel shows nothing and no reservation is granted; open, all sell at once

What counts as taken is what the ledger says: reserved, sent and not come back, for whatever order or
reservation, and what is being asked for. So nothing is counted twice when an order takes over a reservation,
and what is given back may be sold again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .allocation import Share, split

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


def claims(edition: Edition, taken: Mapping[str, int], shares: tuple[Share, ...]) -> tuple[Share, ...]:
    """The channels' claims to units that are divided among them, within the edition.

    Weighted by the split where the edition has one; who shares the rest divides what is left of it.
    """
    rest = [share for share in shares if edition.party(share.channel) == REST]
    of_rest = split(edition.room(taken, REST), rest, {})
    found = []
    for share in shares:
        named = edition.party(share.channel) != REST
        room = edition.room(taken, share.channel) if named else of_rest[share.channel]
        most = room if share.most is None else min(share.most, room)
        weight = edition.split[share.channel] if named else share.weight
        found.append(Share(share.channel, weight, most))
    return tuple(found)
