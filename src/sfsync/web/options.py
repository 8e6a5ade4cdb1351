"""What the web must be told: who may do what, and the limits. Values only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from sfsync.domain.rights import (
    ADMIN,
    AUDIT,
    COUNTS,
    EVERYTHING,
    LEVELS,
    NOTHING,
    RESERVATIONS,
    STORES,
    TILLS,
    VIEW,
    Reach,
    Role,
    Sight,
    scopes_of,
)
from sfsync.domain.tills import Till

__all__ = [
    "ADMIN",
    "AUDIT",
    "COUNTS",
    "EVERYTHING",
    "LEVELS",
    "NOTHING",
    "RESERVATIONS",
    "STORES",
    "TILLS",
    "VIEW",
    "Proxy",
    "Reach",
    "Sight",
    "TillAccess",
    "Token",
    "WebOptions",
]


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token: the party's name, which stands in logs in its place, what it may do, and of whose."""

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[str] = frozenset({RESERVATIONS})
    sight: Sight = NOTHING
    personal: bool = False  # whoever uses it says who types: the command line's, of any user of this machine


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where people log in elsewhere: whose word counts, and what each person may do."""

    trusted: tuple[IPv4Network | IPv6Network, ...]  # addresses that the proxy's connections come from
    user_header: str
    groups_header: str = ""  # with commas between; empty: roles are given to persons only
    roles: Mapping[str, Role] = field(default_factory=dict)  # of a person or a group
    default_role: Role | None = None  # of everybody else; None: may do nothing

    def scopes(self, person: str, groups: Collection[str]) -> frozenset[str]:
        """What that person may do, by all of the roles; nothing without one."""
        roles = [role for name, role in self.roles.items() if name == person or name in groups]
        if not roles and self.default_role is not None:
            roles = [self.default_role]
        return scopes_of(roles)


@dataclass(frozen=True, slots=True)
class TillAccess:
    """A concession's till, and whose tokens may speak for it."""

    till: Till
    tokens: frozenset[str] = frozenset()  # names; empty: operators only


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Limits and rights."""

    tokens: tuple[Token, ...] = ()
    channels: frozenset[str] = frozenset()  # names that a reservation may give
    reach: Reach = field(default_factory=Reach)  # where a reservation may be
    max_body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 10.0  # a request's body must have arrived by then
    open_status: bool = False  # the pages need no log-in
    tills: Mapping[str, TillAccess] = field(default_factory=dict)
    proxy: Proxy | None = None  # None: nobody's header is believed
    shadow: bool = False  # nothing is promised, and nothing changed
