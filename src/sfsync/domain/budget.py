"""Who may still call the org: its API calls of the last 24 hours, shared by kinds of work and with others.

An org allows so many calls in any 24 hours, for everybody who signs in. A share is *reserved* for others:
what they have not used of it stays theirs. The rest is *ours*. Bulk work stops at four fifths of ours,
refreshing at all of it; sales go on into the reserve, until the org itself takes no more, and then ask once a
minute.

When calls come back is worked out from the calls of each hour: ours as counted by us, everybody's as the
org tells with each answer. Calls made before we watched are spread evenly over the day before. So the time
told is an estimate: now and then one call is let through to hear how it really stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from .values import quick, replace

HOUR = timedelta(hours=1)
WINDOW = timedelta(hours=24)
KEPT = 2 * WINDOW  # what an hour's calls were also follows from those that fell out of the window in it
BULK_SHARE = 0.8  # of ours
SALE_PROBE = timedelta(minutes=1)  # once the org takes no more calls
OTHER_PROBE = timedelta(minutes=15)  # one call of waiting work, to hear how it stands
PACE_HOURS = 3  # the present one and those before it: what the pace is taken from
BLIND = timedelta(hours=1)  # to wait, where the org never told how many calls it allows


class Work(StrEnum):
    """What a call is for."""

    SALE = "sales"  # entering movements, what decides them, and what the stream says was sold elsewhere
    REFRESH = "refresh"  # looking again at what the stream should have told
    BULK = "bulk"  # folding, and comparing everything on a person's wish


@dataclass(frozen=True, slots=True)
class HourOfCalls:
    """One hour: our calls in it, and everybody's of the 24 hours before as last told in it."""

    hour: datetime
    ours: int = 0
    used: int | None = None


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of the org's calls. `hours` go up and may have gaps."""

    reserved_percent: int
    hours: tuple[HourOfCalls, ...] = ()
    allowed: int | None = None  # calls in 24 hours, None before the org told
    told_at: datetime | None = None
    refused_at: datetime | None = None  # since when the org takes no more
    probed_at: datetime | None = None  # when waiting work last asked all the same


@dataclass(frozen=True, slots=True)
class Standing:
    """How the calls stand at a moment, for people. `paused`: kind of work -> when it is expected to go on."""

    used: int
    allowed: int
    ours_used: int  # of `used`
    ours: int  # calls that sfsync may use besides sales
    reserved: int  # calls set aside for others
    paused: dict[Work, datetime]
    refused: bool  # the org takes no more calls
    outlook: Outlook | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """How the calls go on, when everybody keeps the pace of the last hours: an estimate."""

    pace_an_hour: int  # everybody's
    most_used: int  # in any 24 hours that end within the next 24
    used_up_at: datetime | None  # now, where they are already; None: not within 24 hours


def outlook(usage: Usage, now: datetime) -> Outlook | None:
    """The rolling 24 hours from now on: what is made at this pace, less what falls out of the window."""
    if usage.allowed is None:
        return None
    since = now.replace(minute=0, second=0, microsecond=0) - (PACE_HOURS - 1) * HOUR
    everybody = _everybody(usage)
    lately = sum(calls for hour, calls in everybody.items() if hour >= since)
    pace = lately / ((now - since) / HOUR)
    most = _shares(usage, now, everybody)[0]
    used_up = now if most >= usage.allowed else None
    for number in range(1, 25):
        at = now + number * HOUR
        # What has fallen out of the window by then; calls to come fall out after a day, later than this.
        used = _shares(usage, at, everybody)[0] + pace * number
        most = max(most, round(used))
        if used_up is None and used >= usage.allowed:
            used_up = at
    return Outlook(round(pace), min(most, usage.allowed), used_up)


def delivery_outlook(usage: Usage | None, now: datetime) -> Outlook | None:
    """How deliveries go on, told once an hour; None before they were told of for a second hour.

    From one number alone nobody can tell a pace: it was made in 24 hours.
    """
    hours = [each for each in usage.hours if each.used is not None] if usage else []
    return outlook(usage, now) if usage is not None and len(hours) > 1 else None


def sent(usage: Usage, now: datetime) -> Usage:
    """One more call of ours."""
    return _in_this_hour(usage, now, ours=1, used=None)


def told(usage: Usage, now: datetime, used: int, allowed: int) -> Usage:
    """The org took a call and told how many are used."""
    known = _in_this_hour(usage, now, ours=0, used=used)
    return replace(known, allowed=allowed, told_at=now, refused_at=None)


def refused(usage: Usage, now: datetime) -> Usage:
    """The org takes no more calls: all are used, whatever was told before."""
    known = usage if usage.allowed is None else _in_this_hour(usage, now, ours=0, used=usage.allowed)
    at = now if usage.allowed is not None else usage.told_at
    return replace(known, refused_at=now, told_at=at, probed_at=now)


def probed(usage: Usage, now: datetime) -> Usage:
    """Work that waits asks all the same."""
    return replace(usage, probed_at=now)


def recalled(usage: Usage, hours: Iterable[HourOfCalls], allowed: int | None) -> Usage:
    """What a former run knew, under what this one has learnt; its last word is as of that hour's end."""
    known = {each.hour: each for each in hours}
    for each in usage.hours:
        older = known.get(each.hour, HourOfCalls(each.hour))
        used = older.used if each.used is None else each.used
        known[each.hour] = HourOfCalls(each.hour, older.ours + each.ours, used)
    merged = replace(usage, hours=tuple(known[hour] for hour in sorted(known)))
    if usage.allowed is not None or allowed is None:
        return merged
    ends = [each.hour + HOUR for each in merged.hours if each.used is not None]
    return replace(merged, allowed=allowed, told_at=ends[-1] if ends else None)


def may_go(usage: Usage, work: Work, now: datetime) -> datetime | None:
    """None: go. Else when this work is expected to go on; a sale asks again within a minute all the same."""
    waits = usage.refused_at is not None if work is Work.SALE else not _open(usage, work, now)
    return _recovery(usage, work, now) if waits else None


def may_probe(usage: Usage, work: Work, now: datetime) -> bool:
    """Whether work that waits may make one call all the same, to hear how it stands."""
    at = next_probe(usage, work)
    return at is None or now >= at


def next_probe(usage: Usage, work: Work) -> datetime | None:
    """From when on work that waits may make one call all the same; None: at once."""
    every = SALE_PROBE if work is Work.SALE else OTHER_PROBE
    last = max((at for at in (usage.told_at, usage.probed_at) if at is not None), default=None)
    return None if last is None else last + every


def standing(usage: Usage, now: datetime) -> Standing | None:
    """How the calls stand; None before the org has told how many it allows."""
    if usage.allowed is None:
        return None
    waiting = {work: at for work in Work if (at := may_go(usage, work, now)) is not None}
    used, ours_used, ours = _shares(usage, now)
    return Standing(
        used,
        usage.allowed,
        ours_used,
        ours,
        _reserve(usage),
        waiting,
        usage.refused_at is not None,
        outlook(usage, now),
    )


def ours_of(usage: Usage, now: datetime) -> tuple[int, int] | None:
    """(our calls of the last 24 hours, how many are ours); None where all are used, or none were told."""
    if usage.allowed is None or usage.refused_at is not None:
        return None
    used, ours_used, ours = _shares(usage, now)
    return (ours_used, ours) if used < usage.allowed else None


def _in_this_hour(usage: Usage, now: datetime, *, ours: int, used: int | None) -> Usage:
    hour = now.replace(minute=0, second=0, microsecond=0)
    if usage.hours and usage.hours[-1].hour >= hour:  # a clock that went back counts in the newest hour
        *earlier, last = usage.hours
    else:
        earlier = [each for each in usage.hours if each.hour > hour - KEPT]
        last = HourOfCalls(hour)
    last = replace(last, ours=last.ours + ours, used=last.used if used is None else used)
    return replace(usage, hours=(*earlier, last))


def _reserve(usage: Usage) -> int:
    return (usage.allowed or 0) * usage.reserved_percent // 100


def _shares(
    usage: Usage, now: datetime, everybody: Mapping[datetime, float] | None = None
) -> tuple[int, int, int]:
    """(used, used by us, ours) at `now`, which may be to come. Calls made from now on are not in it.

    `everybody`: what `_everybody` says, where several moments are asked for.
    """
    ours_used = sum(each.ours for each in usage.hours if _gone_at(each.hour) > now)
    used = ours_used
    last = next((each.used for each in reversed(usage.hours) if each.used is not None), None)
    if last is not None and usage.told_at is not None:
        fallen = 0.0
        # Hours fall out as a whole, and mostly none has since the org told.
        if usage.told_at < now.replace(minute=0, second=0, microsecond=0):
            calls_of = _everybody(usage) if everybody is None else everybody
            fallen = sum(calls for hour, calls in calls_of.items() if usage.told_at < _gone_at(hour) <= now)
        used = max(ours_used, round(last - fallen))
    allowed = usage.allowed or 0
    return used, ours_used, max(0, allowed - max(_reserve(usage), used - ours_used))


def _open(usage: Usage, work: Work, now: datetime, everybody: Mapping[datetime, float] | None = None) -> bool:
    """Whether the numbers leave room for this work at `now`."""
    if usage.allowed is None:
        return usage.refused_at is None or now >= usage.refused_at + BLIND
    used, ours_used, ours = _shares(usage, now, everybody)
    if work is Work.SALE:
        return used < usage.allowed
    return used < usage.allowed and ours_used < (ours * BULK_SHARE if work is Work.BULK else ours)


def _recovery(usage: Usage, work: Work, now: datetime) -> datetime:
    """The first full hour at which enough calls have fallen out of the window."""
    if usage.allowed is None:
        return (usage.refused_at or now) + BLIND
    everybody = _everybody(usage)
    ends = sorted(_gone_at(hour) for hour in everybody)
    later = [at for at in ends if at > now]
    opens = (at for at in later if _open(usage, work, at, everybody))
    return next(opens, later[-1] if later else now + HOUR)


def _gone_at(hour: datetime) -> datetime:
    """When the last call of an hour no longer counts."""
    return hour + HOUR + WINDOW


def _everybody(usage: Usage) -> dict[datetime, float]:
    """Everybody's calls of each hour, estimated; what no watched hour explains came before them."""
    found: dict[datetime, float] = {}
    before: HourOfCalls | None = None
    for each in usage.hours:
        if each.used is None:
            found[each.hour] = max(found.get(each.hour, 0.0), float(each.ours))
        elif before is None or before.used is None:
            # Never told before: spread over the day that it is told of.
            rest = max(0, each.used - each.ours) / 24
            for number in range(24):
                hour = each.hour - number * HOUR
                found[hour] = found.get(hour, 0.0) + rest
            found[each.hour] += each.ours
            before = each
        else:
            fallen = sum(calls for hour, calls in found.items() if before.hour < hour + WINDOW <= each.hour)
            between = sum(calls for hour, calls in found.items() if before.hour < hour < each.hour)
            found[each.hour] = max(float(each.ours), each.used - before.used + fallen - between)
            before = each
    return found
