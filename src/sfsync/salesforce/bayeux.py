"""Bayeux messages of the Streaming API: what an answer means, what an event says, where a stream stands.

Pure: messages and cursors in, values out. Cursors of this transport begin with `stream.COMETD_MARK`, so that
neither transport ever reads the other's numbers as its own: whether they count alike is nowhere promised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sfsync.ports import EVERYTHING, CursorRefused, Refused, TryLater
from sfsync.salesforce.codec import HEADER, Event, Garbled, as_text
from sfsync.salesforce.stream import ACCESS_ADVICE, COMETD_MARK, DEPLOY_ADVICE

Message: TypeAlias = dict[str, Any]

HANDSHAKE, CONNECT, DISCONNECT = "/meta/handshake", "/meta/connect", "/meta/disconnect"
SUBSCRIBE = "/meta/subscribe"
NEW, ALL = -1, -2  # the replay extension's words for "from now on" and "everything kept"
OLDEST_VERSION = 52.0  # the first that tells an event's UUID
DAILY_LIMIT_SECONDS = 900.0  # allowances are counted over 24 h; asking more often changes nothing
BUSY_SECONDS = 60.0
# An event created just before we joined may enter the stream just after: rather once too often than never.
JOIN_MARGIN = timedelta(minutes=1)

_AFTER, _SINCE = COMETD_MARK + b":", COMETD_MARK + b"@"
_END_OF_TIME = round(datetime.max.replace(tzinfo=UTC).timestamp()) * 1000 - 1000  # ms
_QUOTED = re.compile(r"\{[^}]*\}")  # an error's own words do not stand in braces; what it speaks of does


class WornToken(Exception):
    """The org does not take the token: a new one may heal it."""


class SessionGone(Exception):
    """The org has forgotten the session: all is to be begun anew, from our cursor."""


def endpoint(instance_url: str, api_version: str) -> str:
    """Where Bayeux is spoken: by our version, and at least by the first that tells an event's UUID."""
    return f"{instance_url}/cometd/{max(float(api_version), OLDEST_VERSION):.1f}"


# -- where a stream stands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where to begin: what the replay extension is told, and the moment before which nothing is ours."""

    replay: int
    since: datetime | None = None


def place(topic: str, cursor: bytes | None) -> Place:
    """What a cursor stands for; `CursorRefused` when nothing, or nothing that can be asked for.

    A quiet stream tells no position, so until its first event the cursor is the moment of joining. Platform
    events since then are found among all that are kept; changes are read from the records, which costs no
    deliveries.
    """
    if cursor is None:
        return Place(NEW)
    if cursor == EVERYTHING:
        return Place(ALL)
    if cursor.startswith(_AFTER) and (number := cursor.removeprefix(_AFTER)).isdigit():
        return Place(int(number))
    if not cursor.startswith(_SINCE) or not (number := cursor.removeprefix(_SINCE)).isdigit():
        raise CursorRefused(f"the bookmark of {topic} is not of this transport", advice="")
    if int(number) == 0:
        return Place(ALL)
    if int(number) > _END_OF_TIME:
        raise CursorRefused(f"the bookmark of {topic} is no moment", advice="")
    if not topic.startswith("/event/"):
        raise CursorRefused(f"{topic} had told no event yet, so there is no place to go on from", advice="")
    return Place(ALL, datetime.fromtimestamp(int(number) / 1000, UTC) - JOIN_MARGIN)


def cursor_after(replay_id: int) -> bytes:
    """The cursor after an event."""
    return _AFTER + str(replay_id).encode()


def cursor_since(joined: datetime | None) -> bytes:
    """The cursor of a stream joined at a moment and silent since; None: joined before its oldest event."""
    return _SINCE + str(0 if joined is None else round(joined.timestamp() * 1000)).encode()


# -- events --------------------------------------------------------------------------------------------


def replay_id(message: Message) -> int | None:
    """The event's place in the stream; None when the message has none."""
    found = _table(_table(message.get("data")).get("event")).get("replayId")
    return found if isinstance(found, int) and found >= 0 else None


def event(message: Message) -> Event | Garbled:
    """What an event message says. Field names stand for themselves here, where Avro has bitmaps."""
    data, channel = _table(message.get("data")), str(message.get("channel"))
    record = data.get("payload")
    told = _table(data.get("event"))
    name = str(told.get("EventUuid") or f"{channel}:{told.get('replayId')}")
    if not isinstance(record, dict):
        return Garbled(name, "it has no payload", as_text(message), channel.startswith("/data/"))
    names = _table(record.get(HEADER)).get("changedFields")
    return Event(name, record, frozenset(map(str, names)) if isinstance(names, list) else None)


def is_older(message: Message, moment: datetime) -> bool:
    """True when a platform event was certainly created before a moment."""
    created = _table(_table(message.get("data")).get("payload")).get("CreatedDate")
    try:
        at = datetime.fromisoformat(str(created))
    except ValueError:
        return False
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) < moment


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# -- answers -------------------------------------------------------------------------------------------


def refusal(message: Message, what: str) -> Exception:
    """What an unsuccessful answer means: `WornToken`, `SessionGone`, or one of the named failures."""
    words = str(message.get("error") or "no reason given")
    reason = _table(_table(message.get("ext")).get("sfdc")).get("failureReason")
    told = f"{what}: {words}" + (f" ({reason})" if reason else "")
    code, channel = (str(reason) if reason else words)[:3], message.get("channel")
    low = _QUOTED.sub("", words.lower())
    if code == "401":
        return WornToken(told)
    if "unknown client" in low or ("handshake" in low and channel != HANDSHAKE):
        return SessionGone(told)
    if "limit exceeded" in low:
        return TryLater(told, after_seconds=DAILY_LIMIT_SECONDS if "daily" in low else BUSY_SECONDS)
    if "session" in low and channel != HANDSHAKE:  # another user's, or one whose cookie is lost
        return SessionGone(told)
    if "api version" in low:
        return Refused(told, advice="set api_version to one that the org speaks")
    if channel != SUBSCRIBE or code not in ("400", "403", "404"):
        return TryLater(told)
    if "replayid" in low:
        return CursorRefused(told, advice="a snapshot closes the hole")
    if code == "403":
        return Refused(told, advice=ACCESS_ADVICE)
    return Refused(told, advice=DEPLOY_ADVICE)
