"""Who may do what: scopes, and the three roles that are sets of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

VIEW = "view"  # whatever the status page shows; every party has it
AUDIT = "audit"  # and whatever else can be read: reservations, transfers, incidents, reports
LEVELS = "levels"  # what channels should show, SKU by SKU
RESERVATIONS = "reservations"
STORES = "stores"  # a shop's own people: what they say of pieces in their hand counts
COUNTS = "counts"  # stock counts in, and the reports on them
TILLS = "tills"  # a concession's till: its sales in, and what it may sell
ADMIN = "admin"

SCOPES = (VIEW, AUDIT, LEVELS, RESERVATIONS, STORES, COUNTS, TILLS, ADMIN)


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
