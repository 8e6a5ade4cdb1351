"""A channel whose orders, or whose numbers, are not told: what it sells meanwhile nobody hears of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class What(StrEnum):
    """What a channel is asked for, as a sentence begins."""

    ORDERS = "Its orders are unheard"
    NUMBERS = "What it shows could not be read"


@dataclass(frozen=True, slots=True)
class Unheard:
    """What a channel does not tell, since when, and why by the last attempt, at `tried`.

    `refused`: it has said no, so that only a person can mend it; what it says afterwards takes nothing back.
    """

    what: What
    since: datetime
    tried: datetime
    why: str
    refused: bool

    def lasts(self, lag: timedelta) -> bool:
        """True when nobody should wait for it. `lag`: for so long an order may be missing from the list.

        Time alone makes nothing worse: what is seldom asked for has failed once until it is asked again.
        """
        return self.refused or self.tried - self.since > lag

    @property
    def sentence(self) -> str:
        """For people."""
        since = self.since.astimezone(UTC)
        return f"{self.what.value} since {since:%Y-%m-%d %H:%M:%S} UTC: {self.why.rstrip('.')}."


def after(before: Unheard | None, now: Unheard) -> Unheard:
    """What holds after a further attempt that failed."""
    if before is None:
        return now
    return Unheard(now.what, before.since, now.tried, now.why, before.refused or now.refused)
