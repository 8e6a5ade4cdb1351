"""What a stream has shown of itself, written down: observed, replayed, or a hole until it was made up for.

A hole is opened the moment a stream breaks, from its last sign of life on. What the bookmark is good for the
stream carries again, so such a hole is closed when the replay is through (`domain.coverage.Progress`); or by
a reading of all that moved, where the org's records tell it. A bookmark that the org refuses leaves only the
reading; and for postings, which stand nowhere else, only the replay of all that the stream keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sfsync.domain.coverage import JOINED, OVERLAP, Closes, How, Progress, then
from sfsync.domain.incidents import HOLE
from sfsync.domain.values import replace
from sfsync.domain.words import counted
from sfsync.ports import EventBatch, Hole, Tx

from . import their_clocks
from .context import Context
from .their_clocks import CLOCK_SKEW

PATIENCE = timedelta(minutes=15)  # with a hole, before it is an incident


class Watch:
    """The coverage of one topic. What it decides it writes within the transaction that it is given."""

    def __init__(self, ctx: Context, topic: str) -> None:
        self._ctx, self._topic = ctx, topic
        self._posts = topic in ctx.org.posting_topics
        self._progress = Progress()
        self._observed = False  # by this subscription, and written down
        self._begun = False

    def begin(self, tx: Tx, *, anew: bool) -> None:
        """A subscription begins, `anew` where no bookmark stood. What came since the last sign is unknown."""
        self._progress = Progress(from_now=anew and not self._posts)
        self._observed = False
        self._ctx.pulse.joined.pop(self._topic, None)
        now = self._ctx.clock.now()
        if not anew:
            if not self._begun:
                self._broken(tx, "sfsync was not running", now)
            elif not self._replays(tx.open_holes()):  # else it ended, and that was told
                self._broken(tx, "it was taken up again", now)
        elif not self._posts:  # postings begin with us
            # A stream that is joined from now on replays nothing of what a hole waits for.
            for hole in self._replays(tx.open_holes()):
                since = hole.since - OVERLAP
                tx.put_hole(replace(hole, since=since, opened_at=now, closes=Closes.READING))
            if not any(hole.source == self._topic for hole in tx.open_holes()):
                # Before the first sign of the stream, wake-ups may pass unseen.
                tx.open_hole(self._topic, now - OVERLAP, JOINED, now)
        self._begun = True

    def broke(self, tx: Tx, why: str) -> None:
        """The stream ended, whatever the reason: a hole from its last sign of life on, at once."""
        self._broken(tx, why, self._ctx.clock.now())

    def refused(self, tx: Tx, why: str) -> datetime:
        """The org will not go on from our bookmark; since when that leaves everything unknown."""
        now = self._ctx.clock.now()
        since = tx.cursor_at(self._topic) or now
        why = f"the stream refused our bookmark: {why}"
        closes = Closes.REPLAY if self._posts else Closes.READING
        replays = self._replays(tx.open_holes())
        if not replays:
            tx.open_hole(self._topic, since - OVERLAP, why, now, closes)
        for hole in replays:
            since = min(since, hole.since)
            tx.put_hole(
                replace(
                    hole, since=since - OVERLAP, reason=then(hole.reason, why), opened_at=now, closes=closes
                )
            )
        return since

    def bookmark_at(self, tx: Tx, progress: Progress, now: datetime) -> datetime:
        """Up to when all is known with the bookmark that these batches leave.

        A stream of postings is ours from its first bookmark on. Until it was once caught up, what
        came since that one may be pending, whatever the newest says.
        """
        if progress.caught_up or not self._posts or tx.last_watched(self._topic) is not None:
            return now
        return tx.cursor_at(self._topic) or now

    def after(self, batches: Sequence[EventBatch], now: datetime) -> Progress:
        """How far the subscription has come with these; to be handed to `seen`.

        Commits are dated by the org's clock. Were that taken for ours, one of before the subscription could
        seem to come after it, and the replay to be through.
        """
        progress = self._progress
        org = their_clocks.of(self._ctx.org)
        for batch in batches:
            committed_at = batch.committed_at
            if committed_at is not None:
                committed_at = org.earliest(committed_at) - CLOCK_SKEW
            progress = progress.after(
                joined=batch.joined, events=batch.events, committed_at=committed_at, now=now
            )
        return progress

    def seen(self, tx: Tx, progress: Progress, holes: Sequence[Hole], now: datetime) -> None:
        """Up to now nothing is pending, or up to the newest commit that was delivered. `holes` are open."""
        replays = self._replays(holes)
        if not progress.caught_up:
            for hole in replays:
                if progress.reached is not None and progress.reached > (hole.replayed_to or hole.since):
                    tx.put_hole(replace(hole, replayed_to=min(progress.reached, now)))
            return
        for hole in replays:
            tx.close_hole(hole.id, now, counted(progress.events, "event came", "events came"), How.REPLAYED)
        if self._observed:
            tx.watched(self._topic, now)
        else:
            # A hole that a reading closed meanwhile was closed after the first sign of this subscription.
            tx.watch_from(self._topic, now if replays else progress.begun_at or now, now)

    def done(self, progress: Progress) -> None:
        """What `seen` wrote is committed."""
        self._progress = progress
        self._observed = self._observed or progress.caught_up
        if progress.begun_at is not None:
            self._ctx.pulse.joined.setdefault(self._topic, progress.begun_at)

    def _broken(self, tx: Tx, why: str, now: datetime) -> None:
        replays = self._replays(tx.open_holes())
        before = tx.last_watched(self._topic)
        if before is None and self._posts:  # what is posted before it is joined is ours too, and nowhere else
            before = tx.cursor_at(self._topic)
        for hole in replays:
            if (reason := then(hole.reason, why)) != hole.reason:
                tx.put_hole(replace(hole, reason=reason))
        if not replays and before is not None:  # else it was never joined, and that is a hole already
            tx.open_hole(self._topic, before, why, now, Closes.REPLAY)

    def _replays(self, holes: Sequence[Hole]) -> list[Hole]:
        """The holes of this topic that wait for the end of the replay."""
        return [hole for hole in holes if hole.source == self._topic and hole.closes is Closes.REPLAY]


def tell_holes(tx: Tx, ctx: Context) -> None:
    """Raise an incident for each source with a hole that has not closed for a while; end it when it has.

    A break is made up for within seconds as a rule. One that stays is about sales that nobody knows of.
    """
    now = ctx.clock.now()
    stays: dict[str, Hole] = {}
    for hole in tx.open_holes():
        if hole.opened_at <= now - PATIENCE:
            stays.setdefault(hole.source, hole)
    for source, hole in stays.items():
        title = f"nobody knows what {source} has told since {hole.since:%Y-%m-%d %H:%M:%S} UTC: {hole.reason}"
        detail = {"source": source, "since": hole.since.isoformat(), "reason": hole.reason}
        if tx.open_incident(HOLE, source, title, detail, now):
            ctx.log.warning("hole in coverage", source=source, since=hole.since.isoformat(), why=hole.reason)
    for incident in tx.incidents():
        if incident.kind == HOLE and incident.key not in stays:
            tx.close_incident(HOLE, incident.key, now)
