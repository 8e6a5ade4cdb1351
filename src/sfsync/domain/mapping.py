"""When a change of the settings is so large that a person should look before it is written anywhere.

A wrong location, or a policy for the wrong SKUs, changes most of a channel's numbers at once, and each of
them looks like any other change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

FEWEST = 20  # channel levels: fewer are looked over in a moment when they are wrong


def must_ask(changed: int, known: int, percent: int) -> bool:
    """Whether a change of so many of a channel's known numbers waits for a person.

    `percent`: the most that may change without; 100 never asks.
    """
    return changed >= FEWEST and 100 * changed > percent * known


@dataclass(frozen=True, slots=True)
class Hold:
    """Changed settings that wait for a person at one channel, which goes on by those from before."""

    channel: str
    changed: int  # of its numbers, would be others by the changed settings
    known: int  # numbers
    since: datetime

    @property
    def way_out(self) -> str:
        """The command that lets the changed settings hold."""
        return f"sfsync resync --channel {self.channel}"

    @property
    def sentence(self) -> str:
        """What waits, and for what."""
        return (
            f"{self.changed:,} of {self.known:,} numbers of {self.channel} would change; "
            f"held until `{self.way_out}`."
        )
