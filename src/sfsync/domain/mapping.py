"""When a change of the settings is so large that a person should look before it is written anywhere.

A wrong location, or a policy for the wrong SKUs, changes most of a channel's numbers at once, and each of
them looks like any other change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

FEWEST = 20  # channel levels: fewer are looked over in a moment when they are wrong


def must_ask(changed: int, known: int, percent: int) -> bool:
    """Whether a change of so many of a channel's known numbers waits for a person.

    `percent`: the most that may change without; 100 never asks.
    """
    return changed >= FEWEST and 100 * changed > percent * known


@dataclass(frozen=True, slots=True)
class Identity:
    """Which shop a channel is, and which of its places each of our locations means."""

    shop: str  # its address, seller, marketplace: whatever tells it from others
    places: Mapping[str, str]  # our location -> the shop's own id


@dataclass(frozen=True, slots=True)
class Move:
    """What is other of a channel's identity."""

    another_shop: bool = False
    left: frozenset[str] = frozenset()  # locations, as they were called: what is known of them holds no more
    renamed: Mapping[str, str] = field(default_factory=dict)  # old name -> new name of the same place


def move(before: Identity, now: Identity) -> Move:
    """What becomes of the numbers known of a channel. A place that was only added leaves them alone."""
    same = {name for name, place in before.places.items() if now.places.get(name) == place}
    others = frozenset(before.places.keys() - same)
    if before.shop != now.shop:
        return Move(another_shop=True, left=frozenset(before.places))
    strangers = not set(before.places.values()) & set(now.places.values())
    if strangers or others & now.places.keys():
        return Move(left=others)
    ours = {place: name for name, place in now.places.items()}
    return Move(renamed={name: ours[before.places[name]] for name in others if before.places[name] in ours})


def kept(before: Identity, now: Identity) -> Identity:
    """What the numbers that we keep are of, after that move: of places that are gone from the settings, too.

    Such a place may come back, and mean another one by then.
    """
    found = move(before, now)
    gone = before.places.keys() - found.left - found.renamed.keys()
    return Identity(now.shop, {name: before.places[name] for name in sorted(gone)} | dict(now.places))


@dataclass(frozen=True, slots=True)
class Hold:
    """Changed settings that wait for a person at one channel, which goes on by those from before.

    Where they mean another place than before, nothing can go on: what was known was of the other one.
    """

    channel: str
    changed: int  # of its numbers, would be others by the changed settings
    known: int  # numbers
    since: datetime
    moved: bool = False  # it stands at another location, or shop, than before
    read: bool = True  # what it shows there is known

    @property
    def way_out(self) -> str:
        """The command that lets the changed settings hold."""
        return f"sfsync resync --channel {self.channel}"

    @property
    def sentence(self) -> str:
        """What waits, and for what."""
        if self.moved:
            would = f"{self.changed:,} of {self.known:,} numbers there would change"
            return (
                f"{self.channel} stands at another location (or shop) than before, and "
                f"{would if self.read else 'what it shows there is being read'}; "
                f"nothing is written to it until `{self.way_out}`."
            )
        return (
            f"{self.changed:,} of {self.known:,} numbers of {self.channel} would change; "
            f"held until `{self.way_out}`."
        )

    @property
    def meanwhile(self) -> str:
        """What the channel does until a person has looked."""
        if self.moved:
            return "until then it shows what it did, sold-out articles too"
        return "until then it goes on by the settings from before"
