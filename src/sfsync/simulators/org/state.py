"""The org as one JSON file, so that it can be stopped and started again as the same org.

Records, recycle bin, rules, sessions, chance and the event stream go on where they were. Locks, armed faults,
knobs and the allowance of API requests do not: they belong to a run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson

from sfsync.simulators.org.bus import EventBus
from sfsync.simulators.org.bus_state import dump_bus, load_bus
from sfsync.simulators.org.clock import MovableClock
from sfsync.simulators.org.engine import Engine
from sfsync.simulators.org.model import FieldType
from sfsync.simulators.org.records import StoredRow, Table
from sfsync.simulators.org.sessions import Session, Sessions
from sfsync.simulators.org.tls import write_private
from sfsync.simulators.org.values import to_json

_VERSION = 1


class StateError(Exception):
    """The file is not a state of this org; the message says why."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an org's state is made of."""

    clock: MovableClock
    engine: Engine
    bus: EventBus
    sessions: Sessions
    chances: Mapping[str, Random]


def save_state(parts: Parts, path: Path) -> None:
    """Writes the state; a reader finds the old file or the new one, never half of it."""
    engine = parts.engine
    state = {
        "version": _VERSION,
        "org_id": parts.sessions.identity.org_id,
        "clock_offset_seconds": parts.clock.offset_seconds,
        "commits": engine.number,
        "chances": {name: chance.getstate() for name, chance in parts.chances.items()},
        "tables": {
            name: _table(table) for name, table in engine.store.tables.items() if table.next_number > 1
        },
        "cascades": engine.store.cascades,
        "rules": [
            [name, compiled.rule.name, compiled.active]
            for name, plan in engine.plans.items()
            for compiled in plan.rules
        ],
        "sessions": [_session(session) for session in parts.sessions.every()],
        "bus": dump_bus(parts.bus),
    }
    half = path.with_name(path.name + ".new")
    write_private(half, to_json(state))
    os.replace(half, path)


def load_state(parts: Parts, path: Path) -> None:
    """Gives a fresh org what the file holds; raises `StateError`."""
    try:
        state = orjson.loads(path.read_bytes())
        if state["version"] != _VERSION or state["org_id"] != parts.sessions.identity.org_id:
            raise StateError(f"{path} is the state of another org ({state['org_id']})")
        _load(parts, state)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"{path} cannot be read: {error!r}") from error


def _load(parts: Parts, state: Mapping[str, Any]) -> None:
    parts.clock.advance(state["clock_offset_seconds"] - parts.clock.offset_seconds)
    parts.engine.number = state["commits"]
    for name, (version, numbers, gauss) in state["chances"].items():
        parts.chances[name].setstate((version, tuple(numbers), gauss))
    for name, told in state["tables"].items():
        table = parts.engine.store.tables.get(name)
        if table is None:
            raise StateError(f"the state has records of {name}, which the source does not have")
        _fill(table, parts.engine.plans[name].template, told)
    cascades = {root: [(entity, each) for entity, each in ids] for root, ids in state["cascades"].items()}
    parts.engine.store.cascades.update(cascades)
    for entity, rule, active in state["rules"]:
        parts.engine.set_rule(rule, active, entity)
    for told in state["sessions"]:
        user = parts.sessions.identity.user_by_id(told["user_id"])
        if user is not None:
            issued, expires = (datetime.fromisoformat(told[name]) for name in ("issued_at", "expires_at"))
            session = Session(told["token"], user, told["client_id"], issued, expires, told["refresh_token"])
            parts.sessions.restore(session)
    load_bus(parts.bus, state["bus"])


def _table(table: Table) -> dict[str, Any]:
    return {
        "next_number": table.next_number,
        "rows": list(table.rows.values()),
        "deleted": list(table.deleted.values()),
    }


def _fill(table: Table, template: StoredRow, told: Mapping[str, Any]) -> None:
    readers = {
        column.name: datetime.fromisoformat if column.type is FieldType.DATETIME else date.fromisoformat
        for column in table.sobject.fields.values()
        if column.type in (FieldType.DATETIME, FieldType.DATE)
    }
    for row in (*told["rows"], *told["deleted"]):
        known = {**template, **{name: value for name, value in row.items() if name in template}}
        for name, read in readers.items():
            if known[name] is not None:
                known[name] = read(known[name])
        table.put(known, table.rows.get(known["Id"]))
    table.next_number = told["next_number"]


def _session(session: Session) -> dict[str, Any]:
    return {
        "token": session.token,
        "user_id": session.user.id,
        "client_id": session.client_id,
        "issued_at": session.issued_at.isoformat(),
        "expires_at": session.expires_at.isoformat(),
        "refresh_token": session.refresh_token,
    }
