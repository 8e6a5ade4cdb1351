"""Which shop and places a channel's levels are of, and what becomes of them where it means others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from sfsync.domain.mapping import Hold, Identity, Move
from sfsync.store import tables as t

_C = t.channel.c
FREE = {"moved_since": None, "moved_changed": None, "moved_known": None}


def known(connection: Connection, channel: str) -> Identity | None:
    """What its levels are of; None before that was ever noted."""
    kept = connection.execute(select(_C.identity).where(_C.name == channel)).scalar()
    return None if kept is None else Identity(kept["shop"], kept["places"])


def put(connection: Connection, channel: str, identity: Identity) -> None:
    """Note it."""
    kept = {"shop": identity.shop, "places": dict(identity.places)}
    connection.execute(update(t.channel).where(_C.name == channel).values(identity=kept))


def rename(connection: Connection, channel: str, names: Mapping[str, str]) -> None:
    """Its levels stand under the new names of their places."""
    c = t.channel_level.c
    for old, new in names.items():
        mine = c.channel == channel, c.location == old
        connection.execute(update(t.channel_level).where(*mine).values(location=new))


def leave(connection: Connection, channel: str, move: Move, at: datetime) -> None:
    """Forget what is known of the places it meant; it counts as never read, and is not written to."""
    c = t.channel_level.c
    connection.execute(
        t.channel_level.delete().where(c.channel == channel, c.location.in_(sorted(move.left)))
    )
    mine = _C.name == channel
    connection.execute(update(t.channel).where(mine, _C.approved_at.is_not(None)).values(moved_since=at))
    unread = {"asked_to": None, "approved_at": None, "moved_changed": None, "moved_known": None}
    connection.execute(update(t.channel).where(mine).values(unread))
    if move.another_shop:  # what was sold there before the last reading was somebody else's to enter
        since = {"since": func.coalesce(_C.poll_mark, _C.since)}
        connection.execute(update(t.channel).where(mine).values(since))


def weigh(connection: Connection, channel: str, changed: int, known: int) -> None:
    """Note how many numbers would change where it is now."""
    found = {"moved_changed": changed, "moved_known": known}
    connection.execute(update(t.channel).where(_C.name == channel).values(found))


def waiting(connection: Connection) -> dict[str, Hold]:
    """The channels that mean another place than before, and are not to be written to yet."""
    rows = connection.execute(select(t.channel).where(_C.moved_since.is_not(None)))
    return {
        row.name: Hold(
            row.name,
            row.moved_changed or 0,
            row.moved_known or 0,
            row.moved_since,
            moved=True,
            read=row.moved_known is not None,
        )
        for row in rows
    }
