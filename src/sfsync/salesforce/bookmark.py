"""Bookmarks that notice when the stream is another one than the one they were made in.

Replay ids are unique within one stream only: after an org's migration or an instance's refresh the new stream
may give an old number to another event, and would go on from there as if nothing had happened. So a bookmark
also names the last event heard (by its UUID, which is never given twice) and the place before it. Whoever
goes on from a bookmark joins there, and must be told that very event first: any other, or none, is another
stream, and the bookmark is refused. It costs one delivery for each joining.

A bookmark that has heard nothing for two days goes on unproved: its event may be gone by then, as the org
keeps events for three. So does one of a stream that has told its first event and no place before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from sfsync.domain.values import replace
from sfsync.ports import SINCE, CursorRefused

COMETD_MARK = b"cometd"  # how a cursor of that transport begins
# Its cursors of a stream that has told no event yet, by where it was joined.
FROM_OLDEST, FROM_NOW = COMETD_MARK + b"@oldest", COMETD_MARK + b"@now"
SEEN = b"seen@"
FRESH = timedelta(hours=48)


class _Heard(Protocol):
    @property
    def id(self) -> str: ...


class _Batch(Protocol):
    @property
    def events(self) -> Sequence[_Heard]: ...
    @property
    def cursor(self) -> bytes: ...
    @property
    def joined(self) -> bool: ...
    @property
    def before(self) -> bytes: ...


AnyBatch = TypeVar("AnyBatch", bound=_Batch)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last event heard, the place before it, and when it was heard."""

    event: str
    before: bytes
    at: datetime


def marked(place: bytes, anchor: Anchor | None) -> bytes:
    """The bookmark after `place`; as it is while a stream of postings has not begun for us."""
    if anchor is None or place.startswith(SINCE):
        return place
    moment = str(round(anchor.at.timestamp() * 1000)).encode()
    return SEEN + b":".join(
        (moment, anchor.before.hex().encode(), anchor.event.encode().hex().encode(), place)
    )


def unmarked(topic: str, cursor: bytes | None, now: datetime) -> tuple[bytes | None, Anchor | None]:
    """A bookmark's place, and what proves it, if that is not too old."""
    if cursor is None or not cursor.startswith(SEEN):
        return cursor, None
    try:
        moment, before, event, place = cursor.removeprefix(SEEN).split(b":", 3)
        at = datetime.fromtimestamp(int(moment) / 1000, UTC)
        anchor = Anchor(bytes.fromhex(event.decode()).decode(), bytes.fromhex(before.decode()), at)
    except (ValueError, OverflowError, OSError):
        raise CursorRefused(f"the bookmark of {topic} cannot be read", advice="") from None
    return place, anchor if now - at <= FRESH else None


class Thread:
    """Holds on to a stream over joinings: each must first tell the event that was heard last."""

    def __init__(self, topic: str, place: bytes | None, anchor: Anchor | None = None) -> None:
        self._topic, self._place, self.anchor = topic, place, anchor
        self._proving = anchor is not None

    def join(self) -> bytes | None:
        """Where to join the stream, now or once more."""
        self._proving = self.anchor is not None
        return self._place if self.anchor is None else self.anchor.before

    def kept(self, batch: AnyBatch, now: datetime) -> AnyBatch:
        """The batch without what was only told to prove the stream; `CursorRefused` when it is another."""
        if self._proving and self.anchor is not None:
            if not batch.events and batch.joined:  # it is there, and what is to come may be pending
                return replace(batch, cursor=self._place)  # type: ignore[type-var]  # each is a dataclass
            if not batch.events or batch.events[0].id != self.anchor.event:
                raise CursorRefused(
                    f"{self._topic} is another stream than the one we have followed: the event at our "
                    "bookmark is not ours",
                    advice="",
                )
            self._proving = False
            if len(batch.events) == 1:
                return replace(batch, events=(), cursor=self._place, joined=True)  # type: ignore[type-var]
            batch = replace(batch, events=batch.events[1:])  # type: ignore[type-var]
        if batch.events:
            before = batch.before or (self._place if len(batch.events) == 1 else None)
            # Before the first event of a stream there is no place that one could join it at.
            there = before and before not in (FROM_NOW, FROM_OLDEST)
            self.anchor = Anchor(batch.events[-1].id, before, now) if before and there else None
        elif self.anchor is not None and now - self.anchor.at > FRESH:
            self.anchor = None
        self._place = batch.cursor
        return batch
