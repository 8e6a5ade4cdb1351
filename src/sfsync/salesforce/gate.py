"""The one gate that every API call of ours passes: counts it, and holds back what the budget has no room for.

What it decides stands in `sfsync.domain.budget`. Requests for tokens and the Pub/Sub API are not API calls
in this sense. The log hears of each change once, not of each call held back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from sfsync.domain import budget
from sfsync.domain.budget import HourOfCalls, Standing, Usage, Work
from sfsync.ports import CallsSpent

log = structlog.get_logger(__name__)

LOOK_AGAIN = timedelta(minutes=1)  # the longest that work held back should wait before it asks the gate again
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")


def usage_in(header: str) -> tuple[int, int] | None:
    """(used, allowed) of a ``Sforce-Limit-Info`` header, which may tell of an app's own limit too."""
    found = _USAGE.search(header)
    return (int(found[1]), int(found[2])) if found else None


class Gate:
    """One org's. `reserved_percent` of its calls are set aside for others."""

    def __init__(self, reserved_percent: int, now: Callable[[], datetime]) -> None:
        self._usage = Usage(reserved_percent)
        self._now = now
        self._held: dict[Work, datetime] = {}  # as last logged

    def enter(self, work: Work) -> None:
        """Let a call through, or raise `CallsSpent`: then nothing may be sent."""
        now = self._now()
        until = budget.may_go(self._usage, work, now)
        if until is not None:
            if not budget.may_probe(self._usage, work, now):
                raise self._spent(work, until, now)
            self._usage = budget.probed(self._usage, now)

    def answered(self, used: tuple[int, int] | None) -> None:
        """A call was sent; the org told (used, allowed), or nothing, or the answer was lost."""
        now = self._now()
        self._usage = budget.sent(self._usage, now)
        if used is not None:
            self._usage = budget.told(self._usage, now, *used)
        self._tell(now)

    def refused(self, work: Work, said: str, used: tuple[int, int] | None = None) -> CallsSpent:
        """The org took no call, because all of the day's are used, and `said` so: the error to raise."""
        now = self._now()
        if used is not None:
            self._usage = budget.told(self._usage, now, *used)
        self._usage = budget.refused(self._usage, now)
        self._tell(now)
        return self._spent(work, budget.may_go(self._usage, work, now) or now, now, f" ({said})")

    def standing(self) -> Standing | None:
        """How the calls stand; None before the org has told."""
        return budget.standing(self._usage, self._now())

    def hours(self) -> tuple[Sequence[HourOfCalls], int | None]:
        """What must be kept for the next run: the calls of each hour, and how many are allowed."""
        return self._usage.hours, self._usage.allowed

    def recall(self, hours: Sequence[HourOfCalls], allowed: int | None) -> None:
        """What the run before kept."""
        self._usage = budget.recalled(self._usage, hours, allowed)
        self._tell(self._now())

    def _spent(self, work: Work, until: datetime, now: datetime, said: str = "") -> CallsSpent:
        ask = min(until, budget.next_probe(self._usage, work) or now)  # whoever asks sooner asks in vain
        wait = min(max(ask - now, timedelta(seconds=1)), LOOK_AGAIN)
        words = _words(budget.ours_of(self._usage, now), work, until) + said
        return CallsSpent(words, until, after_seconds=wait.total_seconds())

    def _tell(self, now: datetime) -> None:
        """Log what has begun to wait, and what goes on."""
        held = {work: at for work in Work if (at := budget.may_go(self._usage, work, now)) is not None}
        if begun := {work.value: at for work, at in held.items() if work not in self._held}:
            until = f"{max(begun.values()):%Y-%m-%d %H:%M} UTC"
            log.warning("short of API calls", waiting=", ".join(begun), next=f"goes on about {until}")
        if ended := [work.value for work in self._held if work not in held]:
            log.info("API calls are back", going_on=", ".join(ended))
        self._held = held


def _words(ours: tuple[int, int] | None, work: Work, until: datetime) -> str:
    then = f"expected to go on about {until:%Y-%m-%d %H:%M} UTC"
    if ours is None:
        return f"the org's API calls of the last 24 hours are used up: {work.value} must wait, {then}"
    kept = f"{ours[0]:,} of the {ours[1]:,} API calls that are ours are used"
    return f"{kept}: {work.value} waits for the sake of sales and others, {then}"
