"""What channels say of their own numbers, unasked: a reason to look, and never a number to believe.

A delivery that tells a level names no cause: it may be the echo of our own push, a sale whose order is under
way, or somebody's edit, and it may be older than what we know. So nothing is taken from it but where to look.
It is kept in memory only: what is lost, the sample of `drift` finds later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sfsync.ports import ChannelLevel, LevelHint

MOST = 10_000  # levels of all channels that wait for a look: an import there may touch every one of them


@dataclass(frozen=True, slots=True)
class Heard:
    """The last hint of a level, and when it came."""

    hint: LevelHint
    at: datetime


class Hints:
    """The levels to look at, of each channel."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str, str], Heard] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def take(self, channel: str, hint: LevelHint, now: datetime) -> None:
        """Keep it in the place of an earlier one of the same level."""
        key = channel, hint.item_id, hint.location_id
        if key in self._heard or len(self._heard) < MOST:
            self._heard[key] = Heard(hint, now)

    def rested(self, channel: str, before: datetime, most: int) -> list[Heard]:
        """Up to `most` of a channel that came no later than `before`, the oldest first; still kept."""
        found = [heard for key, heard in self._heard.items() if key[0] == channel and heard.at <= before]
        return sorted(found, key=lambda heard: heard.at)[:most]

    def done(self, channel: str, looked: Sequence[Heard]) -> None:
        """These have been looked into. One that has come again meanwhile stays."""
        for heard in looked:
            key = channel, heard.hint.item_id, heard.hint.location_id
            if self._heard.get(key) is heard:
                del self._heard[key]


def unexplained(
    heard: Sequence[Heard], levels: Mapping[tuple[str, str], ChannelLevel], at: datetime, settle: timedelta
) -> tuple[list[str], list[Heard]]:
    """The SKUs to read, and the hints that are dealt with by that.

    A level that tells what we hold of it is an echo, or a sale whose order has come meanwhile. One that we
    do not know is not ours to write. One that is being written waits until it has come to rest.
    """
    skus: list[str] = []
    dealt: list[Heard] = []
    for one in heard:
        level = levels.get((one.hint.item_id, one.hint.location_id))
        if level is not None and not level.problem and one.hint.shows != level.published:
            if level.push is not None or level.changed_at > at - settle:
                continue
            skus.append(level.sku)
        dealt.append(one)
    return list(dict.fromkeys(skus)), dealt
