"""The event bus of the simulated org: committed transactions in, events on topics out.

`on_commit` is called once for each commit, in commit order, and returns when the events can be fetched
(or later, by the delay knob). Topics are `/data/ChangeEvents` and `/data/<X>ChangeEvent` for the entities
selected there, `/data/<Name>__chn` for custom channels with their filters and enrichment, and
`/event/X__e`. Everything that can go wrong on a real bus can be made to happen: see the second half of
`EventBus` and `fates`. Subscribers come in through `subscribe`, whatever protocol they speak.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

from sfsync.simulators.org.avro import HEADER, Codec, epoch_ms
from sfsync.simulators.org.changes import (
    OVERFLOW_ID,
    ChangeEvent,
    Rules,
    as_gap,
    as_overflow,
    bare_event,
    change_events,
)
from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.fates import Fate, Fates
from sfsync.simulators.org.model import Commit, Field, FieldType, Published, Schema
from sfsync.simulators.org.routes import Catalogue, CompileFilter, Route, event_topic
from sfsync.simulators.org.stream import (
    REPLAY_REFUSED,
    SERVICE_UNAVAILABLE,
    TOPIC_FORBIDDEN,
    Allowance,
    Event,
    ReplayIds,
    StreamEnded,
    Subscription,
    Topic,
    used_up,
)
from sfsync.simulators.uuids import new_uuid

LATEST = -1  # the two special starts, numbered as CometD numbers them
EARLIEST = -2
_PRUNE_EVERY = 1_000


@dataclass
class BusKnobs:
    """Where orgs differ, or where public material is silent. Read at each use, except the selection."""

    selected_entities: str = ""  # further ones for the standard channel, e.g. `StockLevel__c,Order`
    formula_fields_in_events: bool = True
    merge_equal_changes: bool = True
    parent_event_on_rollup: bool = True
    overflow_changes: int = 100_000  # per transaction
    largest_event_characters: int = 1_000_000
    most_selected_entities: int = 5  # over all channels
    delivery_allowance: int = 50_000  # per 24 hours, over all subscribers
    hourly_published_events: int = 250_000  # platform events, by whatever API
    event_delay_seconds: float = 0.0  # from commit to stream
    event_delay_jitter_seconds: float = 0.0  # at most this much more; order is kept


class EventBus:
    """The org's event bus. Not thread-safe: everything happens in one event loop.

    `compile_filter` turns a channel's filter expression into a test of the record's fields, among which
    the header is found under `ChangeEventHeader`.
    """

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
        self.fates = Fates()
        # What some fates do to the streams and the clock; whoever serves the bus puts it there.
        self.around: dict[Fate | None, Callable[[], object]] = {}
        self.ids = ReplayIds(clock, rng)
        self.allowance = Allowance(clock, lambda: self.knobs.delivery_allowance)
        self.publishing = Allowance(clock, lambda: self.knobs.hourly_published_events, timedelta(hours=1))
        self._clock = clock
        self._rng = rng
        self._catalogue = Catalogue(compile_filter)
        self._held: list[Commit] = []
        self._to_hold = 0.0  # how many coming commits are kept back; infinity is all
        self._on_the_way: deque[Commit] = deque()
        self._since_prune = 0
        self.replace_schema(schema)

    # --- what the org does

    def on_commit(self, commit: Commit) -> None:
        """Puts a commit's events on their topics, in order, now or after the delay of the knobs."""
        if self._to_hold:
            self._to_hold -= 1
            self._held.append(commit)
            return
        delay = self.knobs.event_delay_seconds
        if self.knobs.event_delay_jitter_seconds > 0:
            delay += self._rng.random() * self.knobs.event_delay_jitter_seconds
        if delay <= 0 and not self._on_the_way:
            self._tell(commit)
            return
        self._on_the_way.append(commit)
        # Whichever timer rings, the oldest commit goes first.
        asyncio.get_running_loop().call_later(delay, lambda: self._tell(self._on_the_way.popleft()))

    def may_publish(self) -> bool:
        """Takes one event from the hour's allowance of platform events; False when there is none left."""
        if not self.publishing.left():
            return False
        self.publishing.count("", 1)
        return True

    def publish(self, published: Published, user_id: str) -> int:
        """Puts a platform event on its topic and returns its replay id."""
        codec = self._catalogue.current[published.entity]
        values = codec.to_avro(published.fields)
        values.update(CreatedDate=epoch_ms(self._clock.now()), CreatedById=user_id)
        topic = self._catalogue.topics[event_topic(published.entity)]
        return self._append([topic], Event(published.uuid, codec, values))

    @property
    def schema(self) -> Schema:
        """What the events are made by."""
        return self._schema

    def replace_schema(self, schema: Schema) -> None:
        """Takes over another schema: topics and their events stay, new events get the new schema ids."""
        self._schema = schema
        selected = (name.strip() for name in self.knobs.selected_entities.split(","))
        self._catalogue.rebuild(
            schema,
            also_selected=[name for name in selected if name],
            formulas=self.knobs.formula_fields_in_events,
            most_selected=self.knobs.most_selected_entities,
        )

    # --- what subscribers ask

    def topic(self, name: str) -> Topic | None:
        """Returns a topic by its full name, e.g. `/data/ChangeEvents`; None when the org has none such."""
        return self._catalogue.topics.get(name)

    def topics(self) -> Mapping[str, Topic]:
        """Returns all topics by name."""
        return self._catalogue.topics

    def carried(self) -> dict[str, list[str]]:
        """Returns, of each channel, the change events that it carries."""
        return self._catalogue.members

    def codec(self, schema_id: str) -> Codec | None:
        """Returns the codec of a schema id, also of schemas that are no longer current."""
        return self._catalogue.codecs.get(schema_id)

    def know(self, codec: Codec) -> None:
        """Remembers a codec of an earlier life of the org."""
        self._catalogue.codecs.setdefault(codec.schema_id, codec)

    def current_codec(self, topic: str) -> Codec | None:
        """Returns a topic's present codec; None for channels that carry several entities or none."""
        return self._catalogue.codec_of(topic)

    def subscribe(
        self,
        name: str,
        start: int = LATEST,
        *,
        subscriber: str = "",
        news: asyncio.Event | None = None,
        allowance_needed: bool = True,
    ) -> Subscription:
        """Opens a cursor into a topic, after a replay id or at LATEST or EARLIEST.

        Raises KeyError for an unknown topic and StreamEnded when the org refuses: topic forbidden,
        replay id not of this stream or out of the window, delivery allowance used up (unless the protocol
        tells that later, at the first delivery).
        """
        topic = self._catalogue.topics[name]
        if topic.forbidden:
            raise _forbidden(name)
        if allowance_needed and not self.allowance.left():
            raise used_up()
        self._prune()
        if start == LATEST:
            start = self.ids.last
        elif start == EARLIEST:
            start = 0
        elif self.fates.refuses_replay(self._rng) or not self.ids.stands(start):
            raise StreamEnded(
                REPLAY_REFUSED, "The Replay ID validation failed. Ensure that the Replay ID is valid."
            )
        subscription = Subscription(topic, start, self.allowance, self.ids, subscriber, news)
        topic.subscriptions[subscription] = None
        return subscription

    # --- one event's way to its topics

    def _tell(self, commit: Commit) -> None:
        knobs = self.knobs
        rules = Rules(knobs.merge_equal_changes, knobs.parent_event_on_rollup, knobs.overflow_changes)
        for change in change_events(commit, self._schema.objects, self._carried, rules):
            self._meet_fate(change)
        for published in commit.published:
            self.publish(published, commit.user_id)

    def _carried(self, entity: str) -> Collection[str]:
        return self._catalogue.carried.get(entity, ())

    def _meet_fate(self, change: ChangeEvent) -> None:
        routes = self._catalogue.routes.get(change.entity)
        if not routes:
            return
        fate = self.fates.draw(self._rng)
        if fate is Fate.LOST:
            return
        if fate in self.around:
            self.around[fate]()
        if fate is Fate.SCHEMA:
            self._grow(change.entity)
            routes = self._catalogue.routes[change.entity]
        if fate is Fate.OVERFLOW:
            change = as_overflow(change)
        elif (fate is Fate.GAP and not change.is_gap) or self._too_large(change):
            change = as_gap(change)
        uuid = self.new_uuid()
        if fate is Fate.TORN:
            self._send(change, routes, uuid, torn=True)
            return
        if fate is Fate.LATE:
            loop = asyncio.get_running_loop()
            loop.call_later(self.fates.late_seconds, self._send, change, routes, uuid)
            return
        for _ in range(2 if fate is Fate.DUPLICATE else 1):
            self._send(change, routes, uuid)

    def _too_large(self, change: ChangeEvent) -> bool:
        """Whether an event would be above its size limit, for which the text of long fields decides."""
        texts = (value for value in change.state.values() if isinstance(value, str))
        return sum(map(len, texts)) > self.knobs.largest_event_characters

    def _grow(self, entity: str) -> None:
        """Adds a field of the next free name to an object's events."""
        fields = self._schema.objects[entity].fields
        self.add_field(entity, next(n for n in map("Added{}__c".format, count(1)) if n not in fields))

    def _send(self, change: ChangeEvent, routes: Iterable[Route], uuid: str, *, torn: bool = False) -> None:
        """Gives the event to every channel that wants it, under one replay id."""
        codec = self._catalogue.current[change.entity]
        header = _known_names(change.header, codec)
        replay = 0
        for route in routes:
            if _passes(route, change):
                event = Event(uuid, codec, _body(change, codec, route.added), header, torn)
                replay = self._append(route.topics, event, replay)

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
        for topic in self._catalogue.topics.values():
            topic.drop_before(oldest)

    def new_uuid(self) -> str:
        """Returns a random UUID of the bus's own chance."""
        return new_uuid(self._rng)

    # --- for the control port

    def add_field(self, entity: str, name: str) -> str:
        """Gives an object's events a further text field, which no record fills; returns the new schema id.

        Raises ValueError for an object that the org does not have or a name that is taken.
        """
        sobject = self._schema.objects.get(entity)
        if sobject is None:
            raise ValueError(f"the org has no object {entity!r}")
        if not re.fullmatch(r"[A-Za-z]\w*__c", name) or name in sobject.fields:
            raise ValueError(f"a further field has a free name that ends in __c, not {name!r}")
        added = Field(name, name.removesuffix("__c"), FieldType.STRING, length=255)
        grown = replace(sobject, fields={**sobject.fields, name: added})
        self.replace_schema(replace(self._schema, objects={**self._schema.objects, entity: grown}))
        return self._catalogue.current[entity].schema_id

    def inject_gap(self, entity: str, record_ids: list[str], kind: str = "UPDATE") -> None:
        """Tells that changes of these records could not be told (`kind` is CREATE, UPDATE …)."""
        self._inject(entity, f"GAP_{kind}", record_ids)

    def inject_overflow(self, entity: str) -> None:
        """Tells that a transaction changed more records of an object than events can tell."""
        self._inject(entity, "GAP_OVERFLOW", [OVERFLOW_ID])

    def inject_conversion(self, entity: str) -> None:
        """Tells that a field's type was changed and its data lost: one update of all records, by wildcard."""
        self._inject(entity, "UPDATE", [f"{self._schema.objects[entity].key_prefix}*"])

    def _inject(self, entity: str, change_type: str, record_ids: list[str]) -> None:
        now = self._clock.now()
        commit = Commit(self.new_uuid(), epoch_ms(now), now, "005000000000000AAA", "")
        event = bare_event(commit, entity, change_type, record_ids)
        self._send(event, self._catalogue.routes.get(entity, ()), self.new_uuid())

    def duplicate_last(self, name: str, count: int = 1) -> None:
        """Delivers a topic's newest events once more: same uuid, other replay id."""
        topic = self._catalogue.topics[name]
        for entry in topic.last(count):
            self._append([topic], entry.event)

    def hold(self, commits: int | None = None) -> None:
        """Keeps the next commits back (all, without a number), while later ones go ahead."""
        self._to_hold = float("inf") if commits is None else commits

    def release(self, *, shuffled: bool = False) -> int:
        """Delivers what was held, in commit order or in any; returns how many commits that were."""
        held, self._held, self._to_hold = self._held, [], 0
        if shuffled:
            self._rng.shuffle(held)
        for commit in held:
            self.on_commit(commit)
        return len(held)

    def reset_stream(self, next_id: int | None = None) -> None:
        """Forgets events, makes replay ids meaningless and cuts subscribers, as an instance refresh does.

        With a next id, the new stream goes on with it as if it were the old one: ids that were given already
        are given to other events, as a migration may do.
        """
        for topic in self._catalogue.topics.values():
            topic.clear()
        if next_id is None:
            self.ids.restart()
        else:
            self.ids.repeat(next_id)
        self.cut(StreamEnded(SERVICE_UNAVAILABLE, "The service is unavailable. Try again later."))

    def cut(self, reason: StreamEnded, name: str | None = None) -> int:
        """Ends the subscriptions of one topic, or all; returns how many that were."""
        topics = self._catalogue.topics.values() if name is None else [self._catalogue.topics[name]]
        cut = [subscription for topic in topics for subscription in topic.subscriptions]
        for subscription in cut:
            subscription.end(reason)
        return len(cut)

    def forbid(self, name: str) -> None:
        """Takes the permission to subscribe to a topic away; present subscriptions end."""
        self._catalogue.topics[name].forbidden = True
        self.cut(_forbidden(name), name)

    def allow(self, name: str) -> None:
        """Gives the permission back."""
        self._catalogue.topics[name].forbidden = False

    def inside(self) -> dict[str, Any]:
        """Returns what the control port shows: events and subscribers per topic, deliveries, holds."""
        return {
            "topics": {
                name: {"events": topic.kept, "subscribers": len(topic.subscriptions)}
                for name, topic in self._catalogue.topics.items()
                if topic.kept or topic.subscriptions
            },
            "deliveries": {
                "used": self.allowance.used(),
                "limit": self.allowance.limit,
                "by_subscriber": self.allowance.by_subscriber,
            },
            "fates_struck": dict(self.fates.struck),
            "held_commits": len(self._held),
            "commits_on_the_way": len(self._on_the_way),
            "last_replay_id": self.ids.last,
        }


def _forbidden(name: str) -> StreamEnded:
    return StreamEnded(TOPIC_FORBIDDEN, f"You don't have permission to subscribe to {name}.")


def _passes(route: Route, change: ChangeEvent) -> bool:
    """Gap and overflow events and those of all records carry nothing to filter by and pass every filter."""
    if route.condition is None or change.tells_nothing:
        return True
    return route.condition({**change.state, HEADER: change.header})


def _body(change: ChangeEvent, codec: Codec, added: tuple[str, ...]) -> dict[str, Any]:
    """Returns the event's own fields and the filled ones that the channel adds, in Avro's types."""
    state = change.state
    values = {name: change.diffs.get(name, state.get(name)) for name in change.fields}
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
        **{
            key: [n for n in header[key] if n in positions]
            for key in ("changedFields", "nulledFields", "diffFields")
        },
    }
