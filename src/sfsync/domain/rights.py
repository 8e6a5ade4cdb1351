"""Who may do what: scopes, the three roles that are sets of them, and whose things a party sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .reservations import Reservation, WishedLine

VIEW = "view"  # whatever the pages show to somebody who looks
AUDIT = "audit"  # and whatever else can be read: reservations, transfers, incidents, reports
LEVELS = "levels"  # what its channels should show, SKU by SKU
RESERVATIONS = "reservations"  # those of its channels, or at its locations
STORES = "stores"  # a shop's own people: what they say of pieces in their hand counts, at their locations
COUNTS = "counts"  # stock counts in, and the reports on them, of its locations
TILLS = "tills"  # a concession's till: its sales in, and what it may sell
ADMIN = "admin"  # all of it, everywhere

SCOPES = (VIEW, AUDIT, LEVELS, RESERVATIONS, STORES, COUNTS, TILLS, ADMIN)
OF_CHANNELS = (RESERVATIONS, LEVELS)  # say little without channels
OF_LOCATIONS = (STORES, COUNTS)  # say nothing without locations
EVERY = "*"  # in the place of the names of channels or locations: all that there are

_INCLUDES = {ADMIN: frozenset(SCOPES), AUDIT: frozenset({VIEW})}


class Role(StrEnum):
    """What a person is for."""

    VIEWER = "viewer"
    AUDITOR = "auditor"
    OPERATOR = "operator"


ROLES: dict[Role, frozenset[str]] = {
    Role.VIEWER: frozenset({VIEW}),
    Role.AUDITOR: frozenset({VIEW, AUDIT}),
    Role.OPERATOR: frozenset(SCOPES),
}


def scopes_of(roles: Iterable[Role]) -> frozenset[str]:
    """What all of these roles together may do."""
    return frozenset().union(*(ROLES[role] for role in roles))


def whole(scopes: Iterable[str]) -> frozenset[str]:
    """These scopes, and those that they include: who may change everything may read it too."""
    return frozenset().union(*(_INCLUDES.get(scope, frozenset()) | {scope} for scope in scopes))


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose things a party sees and touches: those of these channels, and what is at these locations.

    None stands for all of them. What a party does not see is not there for it.
    """

    channels: frozenset[str] | None = frozenset()
    locations: frozenset[str] | None = frozenset()

    @property
    def everything(self) -> bool:
        """True where nothing is hidden."""
        return self.channels is None or self.locations is None

    def of_channel(self, channel: str | None) -> bool:
        """Whether what is that channel's is shown; what is no channel's is shown to who sees all of them."""
        return self.channels is None or channel in self.channels

    def at(self, location: str) -> bool:
        """Whether what is at that location is shown."""
        return self.locations is None or location in self.locations

    def sees(self, reservation: Reservation) -> bool:
        """Whether a reservation is there for the party: its channel's, or with a piece at its location."""
        return (
            self.everything
            or self.of_channel(reservation.channel)
            or any(self.at(line.level.location) for line in reservation.lines)
        )

    def holds(self, reservation: Reservation) -> bool:
        """Whether every piece of a reservation is at a location of the party's own."""
        return all(self.at(line.level.location) for line in reservation.lines)

    def may_move(self, reservation: Reservation) -> bool:
        """Whether the party may change a reservation: its channel's, or one that is all at its locations."""
        return self.channels is None or self.of_channel(reservation.channel) or self.holds(reservation)

    def misplaced(self, channel: str | None, lines: Collection[WishedLine]) -> list[int]:
        """The numbers of the lines that the party may not ask for in that channel's name."""
        if self.channels is None or (channel is not None and channel in self.channels):
            return []
        return [
            number
            for number, line in enumerate(lines)
            if self.locations is not None and (line.location is None or not self.at(line.location))
        ]

    def beyond(self, reach: Collection[str], places: Iterable[str]) -> list[str]:
        """Which of these locations are neither within that reach nor the party's own."""
        return sorted({place for place in places if place not in reach and not self.at(place)})


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a reservation in a channel's name may be: what it sells from, and what its settings add.

    All of them are the org's locations. `groups` are the sets of them that a reservation may name.
    """

    channels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, channel: str | None) -> frozenset[str]:
        """That channel's; in no channel's name, what any of them has."""
        if channel is None:
            return frozenset().union(*self.channels.values())
        return self.channels.get(channel, frozenset())


EVERYTHING = Sight(None, None)
NOTHING = Sight()
