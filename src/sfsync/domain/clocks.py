"""Two clocks never agree: how far a party's clock is ahead of ours, as far as its answers tell.

An HTTP answer says in whole seconds what time it was over there, at some moment between our asking and our
hearing. So each answer leaves a span for the difference, and several answers a shorter one. Where they
contradict each other (a clock was set, or several servers answer, each by its own), the whole of what they
say is possible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A party's clock is ahead of ours by at least and at most so much; both below 0 when it is behind."""

    least: timedelta
    most: timedelta

    def earliest(self, theirs: datetime) -> datetime:
        """By our clock, the earliest moment at which it can have been `theirs` there."""
        return theirs - self.most

    def latest(self, theirs: datetime) -> datetime:
        """By our clock, the latest moment at which it can have been `theirs` there."""
        return theirs - self.least


ALIKE = Ahead(timedelta(0), timedelta(0))  # believed of who tells no time
UNKNOWN = Ahead(timedelta(seconds=-30), timedelta(seconds=30))  # until the first answer tells


@dataclass(frozen=True, slots=True)
class Told:
    """What answers have said while it was one second over there."""

    second: datetime  # by their clock
    asked: datetime  # by ours, when the last of them was asked for
    heard: datetime  # when the first had come

    @property
    def ahead(self) -> Ahead:
        """What they leave: their second had begun when we heard, and was not over when we asked."""
        return Ahead(self.second - self.heard, self.second + SECOND - self.asked)

    def and_told(self, other: Told) -> Told:
        """With another answer of the same second."""
        return Told(self.second, max(self.asked, other.asked), min(self.heard, other.heard))


def ahead(told: Iterable[Told]) -> Ahead | None:
    """What all that was told leaves; None: nobody has told anything."""
    spans = [each.ahead for each in told]
    if not spans:
        return None
    least, most = max(each.least for each in spans), min(each.most for each in spans)
    if least <= most:
        return Ahead(least, most)
    ends = [end for each in spans for end in (each.least, each.most)]  # of a turned span, too
    return Ahead(min(ends), max(ends))
