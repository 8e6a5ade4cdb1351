"""The kinds of channel that other packages bring: found by their entry points, loaded when one is used.

A package offers a kind by an entry point in the group ``sfsync.channels``: its name is the kind, its object a
`sfsync.channels.Kind`. Settings take its model from there, and the daemon its adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

ENTRY_POINTS = "sfsync.channels"


class BadKindError(Exception):
    """A kind of channel that cannot be used; what is wrong with it, and the remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what, self.remedy = what, remedy


@dataclass(frozen=True, slots=True)
class Offer:
    """A kind that an installed package offers."""

    kind: str
    place: str  # module:object
    package: str  # its name and version

    def __str__(self) -> str:
        return f"{self.place} of {self.package}"


def offers() -> list[Offer]:
    """Every kind that an installed package offers, by name; loads none."""
    return sorted(
        (Offer(entry.name, entry.value, _package(entry)) for entry in entry_points(group=ENTRY_POINTS)),
        key=lambda offer: (offer.kind, offer.place),
    )


def load(kind: str) -> Any:
    """The object that a package offers as this kind; None when there is no such offer.

    Raises `BadKindError` when it cannot be loaded, and when two packages offer it: which of them writes stock
    is not left to chance.
    """
    found = [entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == kind]
    if not found:
        return None
    if len(found) > 1:
        named = ", ".join(sorted(f"{entry.value} of {_package(entry)}" for entry in found))
        raise BadKindError(f"is offered by several packages: {named}", "Remove all but one")
    (entry,) = found
    try:
        return entry.load()
    except Exception as error:  # whatever somebody else's module does when it is imported
        what = f"is offered as {entry.value} by {_package(entry)}, which cannot be loaded"
        raise BadKindError(
            f"{what}: {type(error).__name__}: {error}", "Mend that package, or install it anew"
        ) from error


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unnamed package"
