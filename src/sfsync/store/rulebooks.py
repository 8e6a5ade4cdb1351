"""What the settings said of quantities, kept: for channels that still go by it, and for `why --at`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sfsync.domain.assortment import Assortment, ChannelPlan, Floor, PolicyRule
from sfsync.domain.editions import Edition
from sfsync.domain.mapping import Hold
from sfsync.store import tables as t

KEPT_CHANGES = 1_000


@dataclass(frozen=True)
class _Rules:
    """The parts of an assortment that its fingerprint is made of."""

    channels: Mapping[str, ChannelPlan]
    rules: Sequence[PolicyRule] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_transit: str = ""
    not_for_sale: frozenset[str] = frozenset()
    floor: Floor = field(default_factory=Floor)
    stays: Mapping[str, int] = field(default_factory=dict)
    editions: Mapping[str, Edition] = field(default_factory=dict)


@cache
def _adapter() -> TypeAdapter[_Rules]:
    return TypeAdapter(_Rules)


def put(
    connection: Connection,
    insert: postgresql.Insert | sqlite.Insert,
    fingerprint: str,
    assortment: Assortment,
) -> None:
    """Keep an assortment's rules; nothing changes when they are kept."""
    rules = _Rules(**{each.name: getattr(assortment, each.name) for each in fields(_Rules)})
    text = _adapter().dump_json(rules).decode()
    connection.execute(insert.values(fingerprint=fingerprint, rules=text).on_conflict_do_nothing())


def read(connection: Connection, fingerprint: str) -> Assortment | None:
    """The rules as an assortment without products; None when they are not kept."""
    kept = select(t.rulebook.c.rules).where(t.rulebook.c.fingerprint == fingerprint)
    text = connection.execute(kept).scalar()
    if text is None:
        return None
    rules = _adapter().validate_json(text)
    parts: dict[str, Any] = {each.name: getattr(rules, each.name) for each in fields(_Rules)}
    return Assortment(**parts)


def go_by(connection: Connection, channel: str, fingerprint: str, at: datetime) -> None:
    """Note who goes by what from when; what is older than the newest changes is forgotten."""
    if went_by(connection, channel, at) != fingerprint:
        since = {"channel": channel, "since": at, "fingerprint": fingerprint}
        number = connection.execute(t.rules_since.insert().values(since)).inserted_primary_key
        oldest = (number[0] if number else 0) - KEPT_CHANGES
        connection.execute(t.rules_since.delete().where(t.rules_since.c.id <= oldest))
        c = t.rulebook.c
        named = select(t.rules_since.c.fingerprint)
        going = select(t.channel.c.policies).where(t.channel.c.policies.is_not(None))
        unused = c.fingerprint.not_in(named), c.fingerprint.not_in(going), c.fingerprint != fingerprint
        connection.execute(t.rulebook.delete().where(*unused))
    free = {"policies": fingerprint, "held_since": None, "held_changed": 0, "held_known": 0}
    connection.execute(update(t.channel).where(t.channel.c.name == channel).values(free))


def went_by(connection: Connection, channel: str, at: datetime) -> str | None:
    """The fingerprint that counted at a time; None before the first."""
    c = t.rules_since.c
    newest = select(c.fingerprint).where(c.channel == channel, c.since <= at)
    return connection.execute(newest.order_by(c.since.desc(), c.id.desc()).limit(1)).scalar()


def hold(connection: Connection, wanted: Hold) -> None:
    """Note what waits for a person."""
    before = holds(connection).get(wanted.channel)
    values = {
        "held_since": wanted.since if before is None else before.since,
        "held_changed": wanted.changed,
        "held_known": wanted.known,
    }
    connection.execute(update(t.channel).where(t.channel.c.name == wanted.channel).values(values))


def holds(connection: Connection) -> dict[str, Hold]:
    """What waits for a person, by channel."""
    rows = connection.execute(select(t.channel).where(t.channel.c.held_since.is_not(None)))
    return {row.name: Hold(row.name, row.held_changed, row.held_known, row.held_since) for row in rows}
