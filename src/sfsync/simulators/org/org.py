"""The whole org put together: records, events, sessions and the HTTP side, without any socket.

`build_org` gives an `Org` whose `app` is an ASGI application; a test may call it in-process, and `server.py`
puts it on real ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from starlette.applications import Starlette

from sfsync.simulators.dated import Dated
from sfsync.simulators.org.bus import BusKnobs, EventBus
from sfsync.simulators.org.clock import Clock, MovableClock
from sfsync.simulators.org.cometd import Cometd
from sfsync.simulators.org.cometd_session import CometdKnobs
from sfsync.simulators.org.engine import Caller, Engine, Latency
from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.faults import Faults, FaultyApp
from sfsync.simulators.org.knobs import Knobs, Panel, set_all
from sfsync.simulators.org.model import Row, Schema
from sfsync.simulators.org.oauth import OAuth
from sfsync.simulators.org.pubsub_subscribe import PubSubKnobs
from sfsync.simulators.org.rest.api import Api
from sfsync.simulators.org.rest.limits import Usage
from sfsync.simulators.org.rest.server import Receive, RestApp, Scope, Send
from sfsync.simulators.org.seed import fill_org, put_org_and_users
from sfsync.simulators.org.sessions import Identity, Sessions, default_identity
from sfsync.simulators.org.soql import compile_conditions
from sfsync.simulators.org.source import load_schema
from sfsync.simulators.org.state import Parts, load_state, save_state

ADMIN_ORIGIN = ""  # changes made in the user interface of the simulator name no origin


@dataclass(frozen=True, slots=True)
class OrgConfig:
    """What an org is made of; the same values and requests give the same ids, keys and tokens."""

    source: Path
    knobs: Sequence[str] = ()  # name=value
    latency: Latency = field(default_factory=Latency)
    seed: Mapping[str, Any] | None = None
    random_seed: int = 1
    jwt_public_key: bytes | None = None  # PEM
    state: Path | None = None  # read at start if it exists, instead of the seed; written by `Org.save`
    schema: Schema | None = None  # what the source is known to say: it need not be read then


@dataclass(slots=True)
class Org:
    """A running org in memory."""

    schema: Schema
    clock: MovableClock
    engine: Engine
    bus: EventBus
    sessions: Sessions
    faults: Faults
    knobs: Panel
    pubsub_knobs: PubSubKnobs
    cometd: Cometd
    usage: Usage
    rest: RestApp
    app: Dated
    parts: Parts
    state: Path | None

    def save(self) -> None:
        """Writes the state file, if the org has one."""
        if self.state is not None:
            save_state(self.parts, self.state)

    @property
    def identity(self) -> Identity:
        return self.sessions.identity

    @property
    def admin(self) -> Caller:
        """Somebody who works in the org itself."""
        return Caller(next(iter(self.identity.users.values())).id, ADMIN_ORIGIN)

    def set_knob(self, name: str, value: object) -> None:
        """Sets a knob; the bus hears of it if it decides what is selected. ValueError: nothing changed."""
        before = self.knobs.value(name)
        self.knobs.set(name, value)
        if name not in ("selected_entities", "formula_fields_in_events", "most_selected_entities"):
            return
        try:
            self.bus.replace_schema(self.bus.schema)
        except ValueError:
            self.knobs.set(name, before)
            raise

    def arm_mix(self, seed: int) -> None:
        """A bit of everything by chance, on requests and on events."""
        self.faults.arm_mix(seed)
        self.bus.fates.arm_mix(seed)


class _Front:
    """REST below `/services/data`, everything else (OAuth, identity, CometD) by the router."""

    def __init__(self, rest: RestApp, other: Starlette) -> None:
        self._rest = rest
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/services/data"):
            await self._rest(scope, receive, send)
        else:
            await self._other(scope, receive, send)


def build_org(config: OrgConfig, *, clock: MovableClock | None = None) -> Org:
    """Reads the source, builds the org, loads its state or else the seed.

    Raises SourceError, SchemaError, StateError or SeedError.
    """
    clock = clock or MovableClock()
    random = Random(config.random_seed)  # noqa: S311 — a simulation repeats itself; nothing here is a secret
    schema = config.schema or load_schema(config.source)
    knobs, bus_knobs, pubsub_knobs, cometd_knobs = Knobs(), BusKnobs(), PubSubKnobs(), CometdKnobs()
    panel = Panel(knobs, bus_knobs, pubsub_knobs, cometd_knobs)
    set_all(panel, config.knobs)
    identity = default_identity(random, config.jwt_public_key)
    bus_random = Random(config.random_seed + 1)  # noqa: S311 — as above
    bus = EventBus(
        schema,
        clock=clock,
        rng=bus_random,
        compile_filter=lambda text: _channel_filter(text, knobs),
        knobs=bus_knobs,
        org_id=identity.org_id,
    )
    engine = Engine(schema, clock=clock, random=random, knobs=knobs, latency=config.latency)
    put_org_and_users(engine, identity, clock)
    engine.on_commit = bus.on_commit
    sessions = Sessions(identity, clock=clock, random=random, knobs=knobs)
    parts = Parts(clock, engine, bus, sessions, {"org": random, "bus": bus_random})
    if config.state is not None and config.state.exists():
        load_state(parts, config.state)
    elif config.seed is not None:
        fill_org(engine, config.seed, Caller(next(iter(identity.users.values())).id))
    cometd = Cometd(bus, lambda token: _user_of(sessions, token), cometd_knobs)
    return _with_apps(parts, panel, pubsub_knobs, cometd, config.state)


def _with_apps(
    parts: Parts, panel: Panel, pubsub_knobs: PubSubKnobs, cometd: Cometd, state: Path | None
) -> Org:
    clock, engine, bus, sessions = parts.clock, parts.engine, parts.bus, parts.sessions
    usage = Usage(clock, engine.knobs)
    faults = Faults(parts.chances["org"])
    engine.refuse_locks = faults.draw_lock
    engine.refuse_record = faults.draw_refusal
    engine.may_publish = bus.may_publish
    bus.around[Fate.CLOCK] = lambda: clock.advance(bus.fates.clock_seconds)

    def events() -> dict[str, tuple[int, int]]:
        return {
            "DailyDeliveredPlatformEvents": (bus.allowance.used(), bus.allowance.limit),
            "HourlyPublishedPlatformEvents": (bus.publishing.used(), bus.publishing.limit),
        }

    api = Api(engine, clock, usage, events, sessions.identity.org_id, bus.carried)
    rest = RestApp(api, sessions, usage)
    front = _Front(rest, Starlette(routes=[*OAuth(sessions, clock).routes(), *cometd.routes()]))
    app = Dated(FaultyApp(front, faults, sessions.end_all), lambda: clock.now().timestamp())
    return Org(
        engine.schema,
        clock,
        engine,
        bus,
        sessions,
        faults,
        panel,
        pubsub_knobs,
        cometd,
        usage,
        rest,
        app,
        parts,
        state,
    )


def _user_of(sessions: Sessions, token: str) -> str | None:
    session = sessions.find(token)
    return None if session is None else session.user.id


def _channel_filter(text: str, knobs: Knobs) -> Any:
    """A channel's filter that follows the knob on null while the org runs."""
    variants = {flag: compile_conditions(text, null_matches_not_equal=flag) for flag in (True, False)}

    def matches(event: Row) -> bool:
        return variants[knobs.null_matches_not_equal](event)

    return matches


__all__ = ["Clock", "Org", "OrgConfig", "build_org"]
