"""Divided units by a person's word: so many for a channel, moved to another, or withdrawn.

A word says how many units a channel is to have; it is not a movement. What follows from it is what follows
from a policy's shares: lower, confirmed, move, raise. Of the channels that no word speaks of each gets its
share of what is left. With no channel left over, units that nobody is to have go back to everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .allocation import Share
from .values import replace


class Do(StrEnum):
    """What a person says."""

    SET = "set"  # the channel is to have so many
    MOVE = "move"  # so many of its units are to be another's
    WITHDRAW = "withdraw"  # so many are to be taken away from it; all, when no number is given
    RELEASE = "release"  # the policy decides again


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says of a SKU at a channel. `units` are never below zero."""

    do: Do
    channel: str
    sku: str
    units: int | None = None
    to: str | None = None
    shows_none: bool = False  # of a channel that is not in the settings any more: somebody has looked


@dataclass(frozen=True, slots=True)
class Fixed:
    """So many units a channel is to have, by whose word, since when."""

    units: int
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Allocated:
    """How the units of one channel stand, of one SKU. Quantities in units."""

    channel: str
    sku: str
    goal: int  # that it is to have: by a word, or by the policy
    fixed: Fixed | None  # None: by the policy
    held: int  # reserved in the org for it
    coming: int  # being asked of the org for it
    shows: int  # at its worst: confirmed or under way
    spare: int  # neither shown nor sold
    sold: int  # sold, and not yet taken from what is held
    gone: bool = False  # the channel is not in the settings any more: held for nobody
    lacking: int = 0  # of what is held, units that have left: stock does not cover them

    @property
    def settled(self) -> bool:
        """True when nothing is on its way."""
        moving = self.coming or self.sold or self.lacking
        return not moving and max(0, self.shows) + self.spare == self.held


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a word: how the SKU stands with it, or the problem and its sentence."""

    rows: Sequence[Allocated] = ()
    problem: str = ""  # not-divided, no-such-channel, too-few, not-said, channel-gone
    detail: str = ""


def taken(word: Word, goals: Mapping[str, int], fixed: Collection[str]) -> dict[str, int | None] | Said:
    """The units that the word fixes by channel, None where the policy decides again; or why it cannot be.

    `goals` are the units that each channel is to have so far, of the channels that the SKU is divided among;
    `fixed` the channels of which somebody has said it.
    """
    channel, to = word.channel, word.to
    for name in (channel, *([to] if to is not None else [])):
        if name not in goals and not (word.do is Do.RELEASE and name in fixed):
            known = ", ".join(goals)
            return Said(problem="no-such-channel", detail=f"{word.sku} is divided among {known}, not {name}")
    if word.do is Do.RELEASE:
        if channel not in fixed:
            detail = f"nobody has said how many of {word.sku} {channel} is to have"
            return Said(problem="not-said", detail=detail)
        return {channel: None}
    units, own = word.units, goals[channel]
    if word.do is Do.SET:
        return {channel: units or 0}
    if units is None:
        units = own
    if units > own:
        detail = f"{channel} is to have {own} of {word.sku}, so {units} cannot be taken away from it"
        return Said(problem="too-few", detail=detail)
    if word.do is Do.WITHDRAW or to is None:
        return {channel: own - units}
    return {channel: own - units, to: goals[to] + units}


def taken_from_gone(word: Word, shows: int) -> Said | None:
    """Why the units of a channel that is not in the settings any more cannot be taken away; None if they can.

    Nothing lowers its number any more: only a person can see that it shows none. `shows` are the units of its
    last confirmed number.
    """
    gone = f"{word.channel} is not in the settings any more"
    if word.do is not Do.WITHDRAW:
        return Said(problem="channel-gone", detail=f"{gone}: its units of {word.sku} can only be withdrawn")
    if word.units is not None:
        return Said(
            problem="channel-gone",
            detail=f"{gone}: its units of {word.sku} are withdrawn all at once",
        )
    if word.shows_none:
        return None
    detail = (
        f"{gone}, and nobody lowers the {shows} of {word.sku} that it was last known to show. Set it to none "
        "there, and withdraw its units saying so (--shows-none; shows_none); or bring the channel back"
    )
    return Said(problem="channel-gone", detail=detail)


# -- by what each channel sells ------------------------------------------------------------------------


def by_demand(shares: Sequence[Share], sold: Mapping[str, int]) -> tuple[Share, ...]:
    """The shares, each weighted by what the channel has sold, and one: who has sold nothing has a chance."""
    return tuple(
        replace(share, weight=share.weight * (1 + max(0, sold.get(share.channel, 0)))) for share in shares
    )


def window(now: datetime, days: int) -> tuple[datetime, datetime]:
    """The time whose sales count: so many days up to the last full hour.

    Not up to now: else every sale would move units, and each move costs a call and two pushes.
    """
    end = now.replace(minute=0, second=0, microsecond=0)
    return end - timedelta(days=days), end
