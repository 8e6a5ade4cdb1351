"""Bayeux messages of the Streaming API: what an answer means, what an event says, where a stream stands.

Pure: messages and cursors in, values out. Cursors of this transport begin with `stream.COMETD_MARK`, so that
neither transport ever reads the other's numbers as its own: whether they count alike is nowhere promised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from sfsync.ports import EVERYTHING, CursorRefused, Refused, TryLater
from sfsync.salesforce.bookmark import COMETD_MARK, FROM_NOW, FROM_OLDEST
from sfsync.salesforce.codec import HEADER, Event, Garbled, as_text
from sfsync.salesforce.stream import ACCESS_ADVICE, DEPLOY_ADVICE

Message: TypeAlias = dict[str, Any]

HANDSHAKE, CONNECT, DISCONNECT = "/meta/handshake", "/meta/connect", "/meta/disconnect"
SUBSCRIBE = "/meta/subscribe"
NEW, ALL = -1, -2  # the replay extension's words for "from now on" and "everything kept"
OLDEST_VERSION = 52.0  # the first that tells an event's UUID
DAILY_LIMIT_SECONDS = 900.0  # allowances are counted over 24 h; asking more often changes nothing
BUSY_SECONDS = 60.0
_AFTER = COMETD_MARK + b":"
_QUOTED = re.compile(r"\{[^}]*\}")  # an error's own words do not stand in braces; what it speaks of does


class WornToken(Exception):
    """The org does not take the token: a new one may heal it."""


class SessionGone(Exception):
    """The org has forgotten the session: all is to be begun anew, from our cursor."""


def endpoint(instance_url: str, api_version: str) -> str:
    """Where Bayeux is spoken: by our version, and at least by the first that tells an event's UUID."""
    return f"{instance_url}/cometd/{max(float(api_version), OLDEST_VERSION):.1f}"


# -- where a stream stands -----------------------------------------------------------------------------


def place(topic: str, cursor: bytes | None) -> int:
    """What the replay extension is told for a cursor; `CursorRefused` when that is nothing.

    A quiet stream tells no position. Who joined it from now on and has heard nothing yet cannot go on: what
    changed meanwhile is read from the records, which costs no deliveries.
    """
    if cursor is None:
        return NEW
    if cursor in (EVERYTHING, FROM_OLDEST):
        return ALL
    if cursor == FROM_NOW:
        raise CursorRefused(f"{topic} had told no event yet, so there is no place to go on from", advice="")
    if cursor.startswith(_AFTER) and (number := cursor.removeprefix(_AFTER)).isdigit():
        return int(number)
    raise CursorRefused(f"the bookmark of {topic} is not of this transport", advice="")


def cursor_after(replay_id: int) -> bytes:
    """The cursor after an event."""
    return _AFTER + str(replay_id).encode()


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
