"""The event bus of the simulated org: committed transactions in, events on topics out.

`on_commit` is called once for each commit, in commit order, and returns when the events can be fetched.
Topics are `/data/ChangeEvents` and `/data/<X>ChangeEvent` for the entities selected there,
`/data/<Name>__chn` for custom channels with their filters and enrichment, and `/event/X__e`.
Everything that can go wrong on a real bus can be made to happen: see `Faults` and the methods that
change the stream's fate. Subscribers come in through `subscribe`, whatever protocol they speak.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, TypeAlias
from uuid import UUID

from sfsync.simulators.org.avro import (
    HEADER,
    Codec,
    change_codec,
    change_event_name,
    epoch_ms,
    event_codec,
)
from sfsync.simulators.org.changes import (
    OVERFLOW_ID,
    ChangeEvent,
    Rules,
    as_gap,
    bare_event,
    change_events,
)
from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.model import ChannelMember, Commit, Published, Row, Schema, SObject
from sfsync.simulators.org.stream import (
    ALLOWANCE_USED_UP,
    REPLAY_REFUSED,
    SERVICE_UNAVAILABLE,
    TOPIC_FORBIDDEN,
    Allowance,
    Event,
    ReplayIds,
    StreamEnded,
    Subscription,
    Topic,
)

Condition: TypeAlias = Callable[[Row], bool]
CompileFilter: TypeAlias = Callable[[str], Condition]

STANDARD_CHANNEL = "ChangeEvents"
LATEST = -1  # the two special starts, numbered as CometD numbers them
EARLIEST = -2
_PRUNE_EVERY = 1_000
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass
class BusKnobs:
    """Where orgs differ, or where public material is silent."""

    selected_entities: str = ""  # further ones for the standard channel, e.g. `StockLevel__c,Order`
    merge_equal_changes: bool = True
    parent_event_on_rollup: bool = True
    formula_fields_in_events: bool = True
    overflow_changes: int = 100_000
    delivery_allowance: int = 50_000  # per 24 hours, over all subscribers


class Fate(StrEnum):
    """What can happen to one event between commit and stream."""

    GAP = "gap"  # a gap event stands in for it
    LOST = "lost"  # nothing tells of it
    DUPLICATE = "duplicate"  # it comes twice: same uuid, another replay id


@dataclass(slots=True)
class Faults:
    """Fates of coming events: a fixed list first, then by probability."""

    next_fates: deque[Fate] = field(default_factory=deque)
    gap_rate: float = 0.0
    lost_rate: float = 0.0
    duplicate_rate: float = 0.0

    def draw(self, rng: Random) -> Fate | None:
        """Returns the fate of the next event; None is an ordinary one."""
        if self.next_fates:
            return self.next_fates.popleft()
        if not (self.gap_rate or self.lost_rate or self.duplicate_rate):
            return None
        drawn = rng.random()
        for fate, rate in (
            (Fate.GAP, self.gap_rate),
            (Fate.LOST, self.lost_rate),
            (Fate.DUPLICATE, self.duplicate_rate),
        ):
            if drawn < rate:
                return fate
            drawn -= rate
        return None


@dataclass(frozen=True, slots=True)
class _Route:
    """One channel's interest in one entity."""

    topics: tuple[Topic, ...]
    condition: Condition | None
    added: tuple[str, ...]  # enriched fields and the fields of the filter


class EventBus:
    """The org's event bus. Not thread-safe: everything happens in one event loop."""

    def __init__(
        self,
        schema: Schema,
        *,
        clock: Clock,
        rng: Random,
        compile_filter: CompileFilter,
        knobs: BusKnobs | None = None,
        org_id: str = "00D000000000001AAA",
    ) -> None:
        self.knobs = knobs or BusKnobs()
        self.org_id = org_id
        self.faults = Faults()
        self.ids = ReplayIds(clock, rng)
        self.allowance = Allowance(clock, lambda: self.knobs.delivery_allowance)
        self._clock = clock
        self._rng = rng
        self._compile_filter = compile_filter
        self._topics: dict[str, Topic] = {}
        self._codecs: dict[str, Codec] = {}  # by schema id, for ever
        self._held: list[Commit] | None = None
        self._since_prune = 0
        self.replace_schema(schema)

    # --- commits in

    def on_commit(self, commit: Commit) -> None:
        """Puts a commit's events on their topics, in order."""
        if self._held is not None:
            self._held.append(commit)
            return
        rules = Rules(
            self.knobs.merge_equal_changes, self.knobs.parent_event_on_rollup, self.knobs.overflow_changes
        )
        for change in change_events(commit, self._schema.objects, self._carried_fields, rules):
            self._meet_fate(change)
        for published in commit.published:
            self.publish(published, commit.user_id)

    def publish(self, published: Published, user_id: str) -> int:
        """Puts a platform event on its topic and returns its replay id."""
        codec = self._current[published.entity]
        values = {"CreatedDate": epoch_ms(self._clock.now()), "CreatedById": user_id}
        values.update(codec.to_avro(published.fields))
        return self._append(
            [self._topics[f"/event/{published.entity}"]], Event(published.uuid, codec, values)
        )

    # --- subscribers out

    def topic(self, name: str) -> Topic | None:
        """Returns a topic by its full name, e.g. `/data/ChangeEvents`; None when the org has none such."""
        return self._topics.get(name)

    def topics(self) -> Mapping[str, Topic]:
        """Returns all topics by name."""
        return self._topics

    def subscribe(self, name: str, start: int = LATEST, *, subscriber: str = "") -> Subscription:
        """Opens a cursor into a topic, after a replay id or at LATEST or EARLIEST.

        Raises KeyError for an unknown topic and StreamEnded when the org refuses: topic forbidden,
        replay id not of this stream or out of the window, delivery allowance used up.
        """
        topic = self._topics[name]
        if topic.forbidden:
            raise _forbidden(name)
        if not self.allowance.left():
            raise StreamEnded(ALLOWANCE_USED_UP, "The org's allocation of delivered events is used up.")
        self._prune()
        if start == LATEST:
            start = self.ids.last
        elif start == EARLIEST:
            start = 0
        elif not self.ids.stands(start):
            raise StreamEnded(REPLAY_REFUSED, "The Replay ID validation failed. Ensure that it is valid.")
        subscription = Subscription(topic, start, self.allowance, self.ids, subscriber)
        topic.subscriptions.add(subscription)
        return subscription

    def codec(self, schema_id: str) -> Codec | None:
        """Returns the codec of a schema id, also of schemas that are no longer current."""
        return self._codecs.get(schema_id)

    def current_codec(self, name: str) -> Codec | None:
        """Returns the present codec of a topic; None for channels that carry several entities or none."""
        entities = self._entities.get(name, ())
        return self._current[entities[0]] if len(entities) == 1 else None

    # --- schema

    def replace_schema(self, schema: Schema) -> None:
        """Takes over another schema: topics and their events stay, new events get the new schema ids."""
        self._schema = schema
        self._current: dict[str, Codec] = {}
        self._entities: dict[str, tuple[str, ...]] = {}
        self._routes: dict[str, list[_Route]] = {}
        for name, sobject in schema.objects.items():
            topic = f"/event/{name}" if sobject.is_event else f"/data/{change_event_name(name)}"
            self._know(name, sobject)
            self._open(topic, [name])
        for name, members in self._channels().items():
            if unknown := [member.entity for member in members if member.entity not in schema.objects]:
                raise ValueError(f"channel {name} selects {', '.join(unknown)}, which the org does not have")
            channel = self._open(f"/data/{name}", [member.entity for member in members])
            for member in members:
                topics = [channel]
                if name == STANDARD_CHANNEL:
                    topics.append(self._topics[f"/data/{change_event_name(member.entity)}"])
                self._routes.setdefault(member.entity, []).append(self._route(member, topics))

    def _know(self, name: str, sobject: SObject) -> None:
        formulas = self.knobs.formula_fields_in_events
        codec = event_codec(sobject) if sobject.is_event else change_codec(sobject, formulas=formulas)
        self._current[name] = self._codecs.setdefault(codec.schema_id, codec)

    def _open(self, name: str, entities: list[str]) -> Topic:
        self._entities[name] = tuple(entities)
        return self._topics.setdefault(name, Topic(name))

    def _channels(self) -> dict[str, tuple[ChannelMember, ...]]:
        channels = {name: channel.members for name, channel in self._schema.channels.items()}
        standard = channels.get(STANDARD_CHANNEL, ())
        there = {member.entity for member in standard}
        asked = (name.strip() for name in self.knobs.selected_entities.split(","))
        more = tuple(ChannelMember(name) for name in asked if name and name not in there)
        return {**channels, STANDARD_CHANNEL: standard + more}

    def _route(self, member: ChannelMember, topics: list[Topic]) -> _Route:
        sobject = self._schema.objects[member.entity]
        if member.filter_expression is None:
            return _Route(tuple(topics), None, member.enriched_fields)
        words = {word.lower() for word in _NAME.findall(_QUOTED.sub("", member.filter_expression))}
        filtered = (name for name in sobject.fields if name.lower() in words)
        added = dict.fromkeys((*member.enriched_fields, *filtered))
        return _Route(tuple(topics), self._compile_filter(member.filter_expression), tuple(added))

    def _carried_fields(self, entity: str) -> set[str]:
        return {name for route in self._routes.get(entity, ()) for name in route.added}

    # --- one event's way to its topics

    def _meet_fate(self, change: ChangeEvent) -> None:
        routes = self._routes.get(change.entity)
        if not routes:
            return
        fate = self.faults.draw(self._rng)
        if fate is Fate.LOST:
            return
        if fate is Fate.GAP and not change.is_gap:
            change = as_gap(change)
        uuid = self.new_uuid()
        for _ in range(2 if fate is Fate.DUPLICATE else 1):
            self._send(change, routes, uuid)

    def _send(self, change: ChangeEvent, routes: Iterable[_Route], uuid: str) -> None:
        """Gives the event to every channel that wants it, under one replay id."""
        codec = self._current[change.entity]
        replay = 0
        for route in routes:
            if not self._passes(route, change):
                continue
            event = Event(uuid, codec, _body(change, codec, route.added), _known_names(change.header, codec))
            replay = self._append(route.topics, event, replay)

    def _passes(self, route: _Route, change: ChangeEvent) -> bool:
        """Gap and overflow events carry nothing to filter by and pass every filter."""
        if route.condition is None or change.is_gap:
            return True
        return route.condition({**change.state, HEADER: change.header})

    def _append(self, topics: Iterable[Topic], event: Event, replay: int = 0) -> int:
        replay = replay or self.ids.issue()
        for topic in topics:
            topic.append(replay, event)
        self._since_prune += 1
        if self._since_prune >= _PRUNE_EVERY:
            self._prune()
        return replay

    def _prune(self) -> None:
        self._since_prune = 0
        oldest = self.ids.prune()
        for topic in self._topics.values():
            topic.drop_before(oldest)

    def new_uuid(self) -> str:
        """Returns a random UUID of the bus's own chance."""
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    # --- for the control port

    def inject_gap(self, entity: str, record_ids: list[str], kind: str = "UPDATE") -> None:
        """Tells that changes of these records could not be told (`kind` is CREATE, UPDATE …)."""
        self._inject(entity, f"GAP_{kind}", record_ids)

    def inject_overflow(self, entity: str) -> None:
        """Tells that a transaction changed more records of an object than events can tell."""
        self._inject(entity, "GAP_OVERFLOW", [OVERFLOW_ID])

    def _inject(self, entity: str, change_type: str, record_ids: list[str]) -> None:
        commit = Commit(
            self.new_uuid(), epoch_ms(self._clock.now()), self._clock.now(), "005000000000000AAA", ""
        )
        event = bare_event(commit, entity, change_type, record_ids)
        self._send(event, self._routes.get(entity, ()), self.new_uuid())

    def duplicate_last(self, name: str, count: int = 1) -> None:
        """Delivers a topic's newest events once more: same uuid, other replay id."""
        topic = self._topics[name]
        for entry in topic.last(count):
            self._append([topic], entry.event)

    def hold(self) -> None:
        """Keeps commits back from now on."""
        if self._held is None:
            self._held = []

    def release(self, *, shuffled: bool = False) -> int:
        """Delivers what was held, in commit order or in any; returns how many commits that were."""
        held, self._held = self._held or [], None
        if shuffled:
            self._rng.shuffle(held)
        for commit in held:
            self.on_commit(commit)
        return len(held)

    def reset_stream(self) -> None:
        """Forgets events, makes replay ids meaningless and cuts subscribers, as an instance refresh does."""
        for topic in self._topics.values():
            topic.clear()
        self.ids.restart()
        self.cut(StreamEnded(SERVICE_UNAVAILABLE, "The service is unavailable. Try again later."))

    def cut(self, reason: StreamEnded, name: str | None = None) -> int:
        """Ends the subscriptions of one topic, or all; returns how many that were."""
        topics = self._topics.values() if name is None else [self._topics[name]]
        cut = [subscription for topic in topics for subscription in topic.subscriptions]
        for subscription in cut:
            subscription.end(reason)
        return len(cut)

    def forbid(self, name: str) -> None:
        """Takes the permission to subscribe to a topic away; present subscriptions end."""
        self._topics[name].forbidden = True
        self.cut(_forbidden(name), name)

    def allow(self, name: str) -> None:
        """Gives the permission back."""
        self._topics[name].forbidden = False

    def inside(self) -> dict[str, Any]:
        """Returns what the control port shows: events kept and subscribers per topic, deliveries, fates."""
        return {
            "topics": {
                name: {"events": topic.kept, "subscribers": len(topic.subscriptions)}
                for name, topic in self._topics.items()
                if topic.kept or topic.subscriptions
            },
            "deliveries": {
                "used": self.allowance.used(),
                "limit": self.allowance.limit,
                "by_subscriber": self.allowance.by_subscriber,
            },
            "held_commits": len(self._held or ()),
            "last_replay_id": self.ids.last,
        }


def _forbidden(name: str) -> StreamEnded:
    return StreamEnded(TOPIC_FORBIDDEN, f"You don't have permission to subscribe to {name}.")


def _body(change: ChangeEvent, codec: Codec, added: tuple[str, ...]) -> dict[str, Any]:
    """Returns the event's own fields and the filled ones that the channel adds, in Avro's types."""
    state = change.state
    values = {name: state.get(name) for name in change.fields}
    for name in added:
        value = state.get(name)
        if value is not None and value != "":
            values.setdefault(name, value)
    return codec.to_avro(values)


def _known_names(header: dict[str, Any], codec: Codec) -> dict[str, Any]:
    """Drops the names of changed fields that the event's schema does not have."""
    positions = codec.positions
    if all(name in positions for name in header["changedFields"]):
        return header
    return {
        **header,
        **{key: [n for n in header[key] if n in positions] for key in ("changedFields", "nulledFields")},
    }
