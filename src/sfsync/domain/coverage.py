"""Did we miss anything? Which parts of a time were observed, read again afterwards, or not yet known.

A stream is *observed* between one sign of life and the next. What it replays after a break was observed late;
what it cannot replay is a hole, which a reading of everything moved since closes; a poll does the same while
the stream is away. What none of these covers nobody knows, and no status is green before that (promise 8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum


class How(StrEnum):
    """How an interval came to be known."""

    LIVE = "observed"
    REPLAYED = "replayed by the stream"
    POLLED = "polled"
    REREAD = "read again"
    OPEN = "not known"


@dataclass(frozen=True, slots=True)
class Interval:
    """A part of a source's time; `why` says what broke the stream, `found` what the reading found."""

    source: str
    since: datetime
    until: datetime
    how: How
    why: str = ""
    found: str = ""


Span = tuple[datetime, datetime]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in as few spans as possible, in order; spans that touch are one."""
    found: list[Span] = []
    for since, until in sorted(span for span in spans if span[0] < span[1]):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(until, found[-1][1]))
        else:
            found.append((since, until))
    return found


def less(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of some spans without others."""
    left = merged(spans)
    for since, until in merged(taken):
        cut: list[Span] = []
        for begin, end in left:
            cut += [(begin, min(end, since)), (max(begin, until), end)]
        left = merged(cut)
    return left


def unknown(window: Span, intervals: Sequence[Interval]) -> list[Span]:
    """The parts of the window that nobody has observed or read again.

    An open hole counts although the stream was alive: what it did not carry is unknown. A reading covers all
    that moved since the hole began, so it makes up for holes that lie within it.
    """
    again = [(each.since, each.until) for each in intervals if each.how in (How.REREAD, How.POLLED)]
    open_holes = [(each.since, each.until) for each in intervals if each.how is How.OPEN]
    seen = [(each.since, each.until) for each in intervals if each.how in (How.LIVE, How.REPLAYED)]
    return less([window], merged([*again, *less(seen, open_holes)]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person is told of one source."""

    source: str
    missed: bool
    sentence: str
    unknown: tuple[Span, ...]
    breaks: tuple[Interval, ...]  # what was not simply observed, in order


def answer(source: str, window: Span, intervals: Sequence[Interval]) -> Answer:
    """Did we miss anything of a source in that time?"""
    own = [each for each in intervals if each.source == source and each.until > window[0]]
    left = unknown(window, own)
    breaks = tuple(
        sorted((each for each in own if each.how is not How.LIVE), key=lambda each: (each.since, each.until))
    )
    if left:
        seconds = sum((until - since).total_seconds() for since, until in left)
        sentence = f"{lasting(seconds)} are not known yet"
    elif breaks:
        times = "once" if len(breaks) == 1 else f"{len(breaks)} times"
        sentence = f"nothing was missed: the stream broke {times}, and all of it was made up for"
    else:
        sentence = "nothing was missed: the stream was observed all the time"
    return Answer(source, bool(left), sentence, tuple(left), breaks)


def lasting(seconds: float) -> str:
    """A duration in words."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


ACCEPTED = "90m, 12h, 2d, today, yesterday, 'last night', or a moment such as 2026-11-23T18:00"
EVENING = time(18, 0)  # when a night begins
_SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DAYS = {"today": (0, time.min), "yesterday": (1, time.min), "last night": (1, EVENING)}


def asked_since(text: str, now: datetime) -> datetime:
    """The moment that a person names. `now` and the answer are by the clock on the wall (naive), unless the
    text names an offset of its own. Raises `ValueError` that tells what is accepted.
    """
    words = " ".join(text.lower().split())
    if found := re.fullmatch(r"(\d{1,4}) ?([mhd])", words):
        return now - int(found[1]) * _SPANS[found[2]]
    if words in _DAYS:
        days, hour = _DAYS[words]
        return datetime.combine(now.date() - timedelta(days=days), hour)
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} names no moment; give {ACCEPTED}") from None
