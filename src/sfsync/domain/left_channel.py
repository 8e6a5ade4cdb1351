"""A channel that was taken out of the settings: what is kept of it, what is said of it, and its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from .words import counted

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class LeftChannel:
    """What is kept of a channel that is not in the settings any more."""

    name: str
    numbers: int  # that it showed when it was last heard
    dead_letters: int
    drifts: int  # numbers that differed
    set_aside: int  # units of its allocations
    open_lines: int  # of orders that still hold units

    @property
    def any(self) -> bool:
        """False when nothing is left but its orders: their units are their customers', whoever forgets it."""
        return bool(self.numbers or self.dead_letters or self.drifts or self.set_aside)

    @property
    def sentence(self) -> str:
        """What is kept, and what to do."""
        return (
            f"{self.name} is not in the settings any more, and sfsync keeps {_kept([self])} of it: bring it "
            f"back, or end it by `sfsync channel forget {self.name}`."
        )

    def row(self) -> dict[str, str | int]:
        """JSON-ready."""
        return asdict(self)


def sentences(left: Sequence[LeftChannel]) -> list[str]:
    """One for each of a few channels; one for all of many."""
    if len(left) <= MOST_NAMED:
        return [each.sentence for each in left]
    named = ", ".join(each.name for each in left[:MOST_NAMED])
    return [
        f"{len(left)} channels ({named} and {len(left) - MOST_NAMED} more) are not in the settings any more, "
        f"and sfsync keeps {_kept(left)} of them: bring them back, or end each by `sfsync channel forget`."
    ]


def _kept(left: Sequence[LeftChannel]) -> str:
    sums = {
        "number": sum(each.numbers for each in left),
        "dead letter": sum(each.dead_letters for each in left),
        "drift": sum(each.drifts for each in left),
        "open order line": sum(each.open_lines for each in left),
    }
    *others, last = [counted(count, one) for one, count in sums.items() if count] or ["nothing"]
    return f"{', '.join(others)} and {last}" if others else last


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was kept of a channel, and is no more; or why it stays."""

    left: LeftChannel | None
    problem: str = ""  # a stable word: in-settings, unknown-channel, still-set-aside
    detail: str = ""


def judged(channel: str, settings: Collection[str], left: Collection[LeftChannel]) -> Forgotten:
    """Whether a channel can be forgotten. `settings`: the channels in them; `left`: all that are beside."""
    if channel in settings:
        detail = f"{channel} is in the settings: take it out there first, and restart the daemon"
        return Forgotten(None, "in-settings", detail)
    found = next((each for each in left if each.name == channel), None)
    if found is None:
        return Forgotten(None, "unknown-channel", f"nothing is kept of a channel {channel!r}")
    if found.set_aside:
        detail = (
            f"{counted(found.set_aside, 'unit is', 'units are')} still set aside for {channel}, whose site "
            "may show them: `sfsync reservations --orphans` names them, `sfsync allocation withdraw "
            f"{channel} SKU` gives them back"
        )
        return Forgotten(found, "still-set-aside", detail)
    return Forgotten(found)
