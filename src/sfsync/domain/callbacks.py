"""Callbacks: when to try a receiver again, and when to leave it alone.

A message that is sent again unchanged follows the schedule of Standard Webhooks: seconds at first, then
minutes, hours, days. A changed payload is a new message and need not wait for the old one's next turn; it
only keeps a distance that grows to a minute, so that a receiver that is down is not stormed by a busy day's
numbers. Who has failed for too long, or says that it wants no more (410), is set aside: a person is told, and
it is tried slowly until it answers again. Then it gets the present numbers, never a backlog.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .retry import backoff_seconds
from .values import replace

# After each failed attempt; the last one again and again. About three days in all, with the jitter.
SCHEDULE_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
PROBE_SECONDS = 3600.0
JITTER = 0.25  # of a wait, added by luck, so that many senders do not come back together
LONGEST_ASKED_SECONDS = 24 * 3600.0  # a receiver may ask for a longer wait; nobody is left alone for longer

# SKU, the channel's location, number, sequence number
Row = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receiver may fail, and how it is tried meanwhile."""

    set_aside_after: timedelta = timedelta(hours=1)
    schedule_seconds: tuple[float, ...] = SCHEDULE_SECONDS
    probe_seconds: float = PROBE_SECONDS


@dataclass(frozen=True, slots=True)
class Failing:
    """A receiver that did not take the last message."""

    since: datetime
    failures: int  # of any message, since it last took one
    message: str  # the id of the last message
    tries: int  # of that message
    again_at: datetime  # when the same message may be tried again
    changed_at: datetime  # when another one may
    reason: str
    tried_at: datetime
    set_aside_at: datetime | None = None

    def next_at(self, message: str) -> datetime:
        """When this message may be sent."""
        return self.again_at if message == self.message else self.changed_at


def failed(
    before: Failing | None,
    message: str,
    reason: str,
    now: datetime,
    luck: float,
    patience: Patience,
    *,
    asked_seconds: float | None = None,
    gone: bool = False,
) -> Failing:
    """How a receiver stands after it did not take a message.

    `asked_seconds`: how long it asked not to be tried (Retry-After), never undercut. `gone`: it wants no
    more.
    """
    since = before.since if before else now
    failures = before.failures + 1 if before else 1
    tries = before.tries + 1 if before and before.message == message else 1
    set_aside_at = before.set_aside_at if before else None
    if set_aside_at is None and (gone or now - since >= patience.set_aside_after):
        set_aside_at = now
    if set_aside_at is not None:
        unchanged = changed = _jittered(patience.probe_seconds, luck)
    else:
        waits = patience.schedule_seconds
        changed = backoff_seconds(failures, luck)
        unchanged = max(_jittered(waits[min(tries, len(waits)) - 1], luck), changed)
    asked = _jittered(min(asked_seconds or 0.0, LONGEST_ASKED_SECONDS), luck)
    return Failing(
        since,
        failures,
        message,
        tries,
        now + timedelta(seconds=max(unchanged, asked)),
        now + timedelta(seconds=max(changed, asked)),
        reason,
        now,
        set_aside_at,
    )


def heard(failing: Failing, now: datetime) -> Failing:
    """How a receiver stands that has just asked for its numbers: it is back, and is tried at once.

    Not sooner than a few seconds after the last try: somebody else may be asking in its name.
    """
    soon = max(now, failing.tried_at + timedelta(seconds=SCHEDULE_SECONDS[0]))
    again_at, changed_at = min(failing.again_at, soon), min(failing.changed_at, soon)
    return replace(failing, again_at=again_at, changed_at=changed_at)


def _jittered(seconds: float, luck: float) -> float:
    return seconds * (1 + luck * JITTER)


def message_id(channel: str, rows: Sequence[Row]) -> str:
    """The id of a message: the same payload always has the same one, any other has another."""
    text = json.dumps([channel, rows], ensure_ascii=False, separators=(",", ":"))
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def next_sequence(last: int, now: datetime) -> int:
    """The sequence number of what changes now, greater than the last.

    It begins as the milliseconds of the time, so that a store that was lost and begun anew goes on above what
    receivers have seen.
    """
    return max(last + 1, round(now.timestamp() * 1000))


@dataclass(frozen=True, slots=True, order=True)
class NumberPlace:
    """Where somebody who reads all numbers in the order of their changes has come to."""

    sequence: int
    channel: str
    sku: str
    location: str
