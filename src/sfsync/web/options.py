"""What the web must be told: who may do what, and the limits. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

RESERVATIONS = "reservations"
STORES = "stores"  # a shop's own people: what they say of pieces in their hand counts
COUNTS = "counts"  # stock counts in, and the reports on them
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token: the party's name, which stands in logs in its place, and what it may do."""

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[str] = frozenset({RESERVATIONS})


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Limits and rights."""

    tokens: tuple[Token, ...] = ()
    channels: frozenset[str] = frozenset()  # names that a reservation may give
    location_groups: frozenset[str] = frozenset()  # likewise
    max_body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 10.0  # a request's body must have arrived by then
    open_status: bool = False  # the status needs no token
