"""Did we miss anything? Which parts of a time were observed, read again afterwards, or not yet known.

A stream is *observed* between one sign of life and the next. A break is a hole: until the stream has replayed
what came meanwhile, or, where it cannot, until everything moved since was read again; a poll makes up for it
while the stream is away. What none of these covers nobody knows; no status is green before that (promise 8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum

from sfsync.domain.words import counted

from .values import replace


class How(StrEnum):
    """How an interval came to be known."""

    LIVE = "observed"
    REPLAYED = "replayed by the stream"
    POLLED = "polled"
    REREAD = "read again"
    OPEN = "not known"


class Closes(StrEnum):
    """What closes a hole."""

    REPLAY = "replay"  # the bookmark is good: the stream carries again what came meanwhile
    READING = "reading"  # the stream does not carry it: the records tell


OVERLAP = timedelta(minutes=15)  # clocks differ, and the longest transaction takes ten minutes
LONGEST_REASON = 400  # characters
JOINED = "the stream was joined without a bookmark"  # a hole that no stream broke for
_NUMBERS = re.compile(r"\S*\d\S*")


def then(reason: str, why: str) -> str:
    """A hole's reason when something else went wrong before it was closed.

    Nothing is told twice: what differs only in numbers (of a request, a time, an attempt) is the same.
    """
    why = " ".join(why.split())
    if not why or _NUMBERS.sub("", why) in _NUMBERS.sub("", reason):
        return reason
    if not reason or len(reason) + len(why) > LONGEST_REASON:
        return reason or why
    return f"{reason}; then: {why}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a subscription has come with what it was to carry again.

    A stream hands events over in the order of their commits. So up to the newest commit it has delivered all
    is known; and all is known up to now once nothing can be pending any more: it delivered a commit of after
    it began, or, having said that it is there, told that it has nothing to send. That it is there proves
    nothing by itself: a service may greet before it looks what is to be sent. A subscription that begins with
    "from now on" has nothing to carry again.
    """

    from_now: bool = False
    begun_at: datetime | None = None  # its first sign of life
    caught_up: bool = False
    reached: datetime | None = None  # the newest commit that it delivered, while it is behind
    events: int = 0

    def after(self, *, joined: bool, events: int, committed_at: datetime | None, now: datetime) -> Progress:
        """With one more batch, taken at `now`; `joined`: it says no more than that the stream is there.

        `committed_at`: by our clock like everything here, the earliest moment at which its newest event can
        have been committed.
        """
        begun_at, caught_up = self.begun_at, self.caught_up
        if begun_at is None:
            begun_at, caught_up = now, self.from_now
        elif joined:  # the session was lost and joined again, unseen: what came meanwhile is pending
            begun_at, caught_up = now, False
        if not events:
            return replace(self, begun_at=begun_at, caught_up=caught_up or not joined)
        return replace(
            self,
            begun_at=begun_at,
            caught_up=caught_up or (committed_at is not None and committed_at >= begun_at),
            reached=max((at for at in (self.reached, committed_at) if at is not None), default=None),
            events=self.events + events,
        )


def remedy(closes: Closes, *, posts: bool, away: bool) -> str:
    """What closes a hole, for a person. `posts`: of a stream of postings, which no record tells again."""
    if posts:
        return "the stream's return, then the end of its replay" if away else "the end of the stream's replay"
    if closes is Closes.READING:
        reading = "a reading of all that moved since"
        return f"the stream's next sign of life, then {reading}" if away else reading
    made_up = "its replay or a reading of all that moved since"
    return f"the stream's return, then {made_up}" if away else made_up.replace("its", "the stream's")


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
    pending: datetime | None = None  # since when nothing is known yet, and need not be


def answer(
    source: str, window: Span, intervals: Sequence[Interval], patience: timedelta = timedelta(0)
) -> Answer:
    """Did we miss anything of a source in that time?

    A quiet stream shows a sign of life only now and then: what is newer than that by at most `patience`, with
    no hole in it, is not known *yet*; nor is what is newer than the last poll, while polls stand in for the
    stream. Nothing was missed up to there; of a time that lies wholly in it nobody can say so.
    """
    own = [each for each in intervals if each.source == source and each.until > window[0]]
    left = unknown(window, own)
    pending: datetime | None = None
    holes = [(each.since, each.until) for each in own if each.how is How.OPEN]
    newest = left[-1:] if left and left[-1][1] == window[1] else []
    if newest and window[1] - newest[0][0] <= patience:
        # Between two polls the newest is not known yet either; the hole stays open until the stream is back.
        polled = any(each.how is How.POLLED and each.until == newest[0][0] for each in own)
        if polled or less(newest, holes) == newest:
            pending = left.pop()[0]
    breaks = tuple(
        sorted((each for each in own if each.how is not How.LIVE), key=lambda each: (each.since, each.until))
    )
    if left:
        seconds = sum((until - since).total_seconds() for since, until in left)
        sentence = f"{lasting(seconds)} are not known yet"
    elif pending is not None and pending <= window[0]:
        sentence = "nothing of this time is known yet: ask again in a few minutes"
        return Answer(source, True, sentence, ((pending, window[1]),), breaks, pending)
    elif broken := [each for each in breaks if each.why != JOINED]:
        times = len(merged((each.since, each.until) for each in broken))  # what goes together broke once
        # A cut that was noticed as it happened takes no time, and is none of those spans.
        times_said = "once" if times <= 1 else f"{times:,} times"
        sentence = f"nothing was missed: the stream broke {times_said}, and all of it was made up for"
    elif breaks:
        sentence = "nothing was missed: the stream was joined, and what moved just before was read again"
    else:
        sentence = "nothing was missed: the stream was observed all the time"
    if pending is not None:
        sentence = f"{sentence}; not yet known: since {pending:%H:%M:%S} UTC"
    return Answer(source, bool(left), sentence, tuple(left), breaks, pending)


def so_far(source: str, window: Span, intervals: Sequence[Interval]) -> str:
    """What a status says of a source in that time: while a hole is open, of the time before it alone."""
    holes = [each.since for each in intervals if each.source == source and each.how is How.OPEN]
    if not holes:
        return answer(source, window, intervals).sentence
    broken = min(holes)
    if broken <= window[0]:
        return f"nothing since {broken:%H:%M:%S} UTC is known yet"
    known = min(broken, window[1])
    before = [each for each in intervals if each.since < known]
    return f"up to {known:%H:%M:%S} UTC {answer(source, (window[0], known), before).sentence}"


def lasting(seconds: float) -> str:
    """A duration in words."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return counted(round(seconds), "second")


def known_until(
    now: datetime,
    *,
    away: bool,
    told: datetime | None,
    unread: Iterable[datetime] = (),
    replayed: Iterable[datetime] = (),
) -> datetime | None:
    """Up to when all that a stream tells of is known; None: nothing was ever known.

    `told`: up to when it was observed with nothing pending, or polled. While it is away that is all. While it
    is there, all is known but what is named and not `unread` yet, and what is still being `replayed`: since
    when, and how far.
    """
    if away:
        return told
    return min([now, *unread, *(max(at, told or at) for at in replayed)])


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
