"""The control port: how a test or the demo arms faults, moves the clock, turns knobs and looks inside.

Plain HTTP and JSON on its own port, so that nothing here can be mistaken for Salesforce. Wrong input is
answered 400 with `{"error": …}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.simulators.org.clock import epoch_ms
from sfsync.simulators.org.control_bus import BusControl
from sfsync.simulators.org.control_records import RecordsControl
from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.faults import KINDS, Fault
from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import Change, Commit, Row
from sfsync.simulators.org.org import Org
from sfsync.simulators.org.soql import SoqlError, execute
from sfsync.simulators.org.values import to_json
from sfsync.simulators.org.view import LayerView

_MOST_LOGGED = 10_000

Endpoint = Callable[[Request], Awaitable[Any]]


class Control:
    """The endpoints of one org's control port."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._holding: set[asyncio.Task[None]] = set()
        self.bus = BusControl(org)
        self.people = RecordsControl(org)

    def app(self) -> Starlette:
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/", self.overview),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.arm),
            ("DELETE", "/faults", self.disarm),
            ("GET", "/clock", self.clock),
            ("POST", "/clock", self.advance),
            ("GET", "/rules", self.rules),
            ("POST", "/rules", self.set_rule),
            ("GET", "/knobs", self.knobs),
            ("POST", "/knobs", self.set_knobs),
            ("GET", "/log", self.log),
            ("GET", "/calls", self.calls),
            ("POST", "/query", self.query),
            ("POST", "/records/{verb}", self.people.change),
            ("POST", "/locks", self.lock),
            ("POST", "/sessions/end", self.end_sessions),
            ("POST", "/state", self.save),
            ("GET", "/bus", self.bus.inside),
            ("POST", "/bus", self.bus.act),
        ]
        return Starlette(
            routes=[Route(path, _json(endpoint), methods=[method]) for method, path, endpoint in table]
        )

    async def overview(self, request: Request) -> Any:
        org = self._org
        return {
            "org_id": org.identity.org_id,
            "now_ms": epoch_ms(org.clock.now()),
            "commits": org.engine.number,
            "records": {
                name: len(table.rows) for name, table in org.engine.store.tables.items() if table.rows
            },
            "locks_held": org.engine.locks.held(),
            "api_requests": org.usage.used,
        }

    # -- faults ------------------------------------------------------------------------------

    async def faults(self, request: Request) -> Any:
        return {"armed": self._org.faults.shown(), "struck": self._org.faults.struck, "kinds": KINDS}

    async def arm(self, request: Request) -> Any:
        body = await _body(request)
        if isinstance(body, dict) and set(body) == {"mix"}:
            self._org.arm_mix(int(body["mix"]))
            return {"armed": self._org.faults.shown()}
        entries = body if isinstance(body, list) else [body]
        allowed = {each.name for each in fields(Fault)} - {"struck"} | {"seed"}
        for entry in entries:
            unknown = set(entry) - allowed
            if unknown or "kind" not in entry:
                raise ValueError(
                    f"a fault has a kind and {', '.join(sorted(allowed))}; not {', '.join(unknown)}"
                )
            if "probability" in entry:
                entry = {"times": None, **entry}
            if "seed" in entry:
                self._org.faults.seed(int(entry["seed"]))
            self._org.faults.arm(Fault(**{name: entry[name] for name in entry if name != "seed"}))
        return {"armed": self._org.faults.shown()}

    async def disarm(self, request: Request) -> Any:
        self._org.faults.clear()
        self._org.bus.fates.clear()
        return {"armed": []}

    async def lock(self, request: Request) -> Any:
        """Holds the lock of a record for some seconds, as a slow transaction of somebody else would."""
        body = await _body(request)
        record_id, seconds = normalize_id(str(body.get("id"))), float(body.get("seconds", 1.0))
        if record_id is None:
            raise ValueError("id has to be a record id")
        engine, owner, key = self._org.engine, object(), (record_id,)
        await engine.locks.acquire(key, owner, engine.knobs.lock_wait_seconds)

        async def hold() -> None:
            try:
                await asyncio.sleep(seconds)
            finally:
                engine.locks.release(key, owner)

        task = asyncio.get_running_loop().create_task(hold())
        self._holding.add(task)
        task.add_done_callback(self._holding.discard)
        return {"held": record_id, "seconds": seconds}

    async def end_sessions(self, request: Request) -> Any:
        return {"ended": self._org.sessions.end_all()}

    async def save(self, request: Request) -> Any:
        """Writes the state file now, as a clean stop does."""
        if self._org.state is None:
            raise ValueError("this org has no state file: start it with --state")
        self._org.save()
        return {"saved": str(self._org.state)}

    # -- clock, rules, knobs -----------------------------------------------------------------

    async def clock(self, request: Request) -> Any:
        return {"now": self._org.clock.now().isoformat(), "now_ms": epoch_ms(self._org.clock.now())}

    async def advance(self, request: Request) -> Any:
        self._org.clock.advance(float((await _body(request))["seconds"]))
        return await self.clock(request)

    async def rules(self, request: Request) -> Any:
        return [
            {
                "object": name,
                "name": compiled.rule.name,
                "active": compiled.active,
                "formula": compiled.rule.formula,
            }
            for name, plan in self._org.engine.plans.items()
            for compiled in plan.rules
        ]

    async def set_rule(self, request: Request) -> Any:
        body = await _body(request)
        found = self._org.engine.set_rule(str(body["name"]), bool(body["active"]), body.get("object"))
        if not found:
            raise ValueError(f"there is no rule {body['name']}")
        return {"rules": found}

    async def knobs(self, request: Request) -> Any:
        return self._org.knobs.table()

    async def set_knobs(self, request: Request) -> Any:
        for name, value in (await _body(request)).items():
            self._org.set_knob(name, value)
        return {each["name"]: each["value"] for each in self._org.knobs.table()}

    # -- looking inside ----------------------------------------------------------------------

    async def log(self, request: Request) -> Any:
        """Commits with a number above `since`, oldest first, at most `limit`."""
        since = int(request.query_params.get("since", 0))
        limit = min(int(request.query_params.get("limit", _MOST_LOGGED)), _MOST_LOGGED)
        found = self._org.engine.commits_since(since, limit)
        return {"last": self._org.engine.number, "commits": [_shown(commit) for commit in found]}

    async def calls(self, request: Request) -> Any:
        return {"used": self._org.usage.used, "by_kind": dict(self._org.rest.calls)}

    async def query(self, request: Request) -> Any:
        """SOQL without a session and without counting, deleted records included on request."""
        body = await _body(request)
        engine, deleted = self._org.engine, bool(body.get("deleted", False))
        view = LayerView(engine, engine.begin(self._org.admin).layer, deleted=deleted)
        result = execute(str(body["q"]), engine.schema, view, self._org.clock.now(), include_deleted=deleted)
        return {"totalSize": result.total_size, "records": result.records}


def _shown(commit: Commit) -> dict[str, Any]:
    return {
        "number": commit.number,
        "at_ms": epoch_ms(commit.at),
        "transaction_key": commit.transaction_key,
        "user_id": commit.user_id,
        "origin": commit.origin,
        "changes": [_shown_change(change) for change in commit.changes],
        "published": [{"entity": each.entity, "uuid": each.uuid} for each in commit.published],
    }


def _shown_change(change: Change) -> dict[str, Any]:
    return {
        "entity": change.entity,
        "id": change.record_id,
        "kind": str(change.kind),
        "roll_up_only": change.roll_up_only,
        "before": _told(change.before),
        "after": _told(change.after),
    }


def _told(row: Row | None) -> dict[str, Any] | None:
    """A row's numbers and keys: what stock is about."""
    if row is None:
        return None
    return {
        name: value
        for name, value in row.items()
        if (isinstance(value, (int, float)) and not isinstance(value, bool))
        or name.endswith("Key__c")
        or name in _TOLD
    }


_TOLD = frozenset({"Kind__c", "StockLevel__c", "Source__c", "Name"})


async def _body(request: Request) -> Any:
    content = await request.body()
    return orjson.loads(content) if content else {}


def _json(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            body, status = await endpoint(request), 200
        except KeyError as error:
            body, status = {"error": f"missing or unknown: {error}"}, 400
        except (ValueError, TypeError, ApiError, SoqlError) as error:
            body, status = {"error": str(error)}, 400
        return Response(to_json(body), status, media_type="application/json")

    return answer
