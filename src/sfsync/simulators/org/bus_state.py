"""The event bus as JSON, so that a simulated org that is started again goes on with its stream.

Without this a restart is a reset: retained events are gone and replay ids mean nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sfsync.simulators.org.avro import known_codec
from sfsync.simulators.org.bus import EventBus
from sfsync.simulators.org.stream import Event


def dump_bus(bus: EventBus) -> dict[str, Any]:
    """Returns the retained events, their schemas, the issued ids and the deliveries of the last 24 hours."""
    numbers: dict[int, int] = {}  # of an event in the list; several topics can hold the same one
    events: list[Event] = []
    topics: dict[str, list[list[int]]] = {}
    for name, topic in bus.topics().items():
        for entry in topic.last(topic.kept):
            number = numbers.setdefault(id(entry.event), len(events))
            if number == len(events):
                events.append(entry.event)
            topics.setdefault(name, []).append([entry.replay, number])
    return {
        "replay_ids": [[replay, at.isoformat()] for replay, at in bus.ids.history()],
        "schemas": {event.codec.schema_id: event.codec.schema_json for event in events},
        "events": [_told(event) for event in events],
        "topics": topics,
        "deliveries": bus.allowance.used(),
    }


def load_bus(bus: EventBus, state: dict[str, Any]) -> None:
    """Gives a new bus what an earlier one held; topics that the org has no more are left out."""
    for schema_json in state["schemas"].values():
        bus.know(known_codec(schema_json))
    events = [_event(bus, told) for told in state["events"]]
    bus.ids.restore([(replay, datetime.fromisoformat(at)) for replay, at in state["replay_ids"]])
    for name, entries in state["topics"].items():
        topic = bus.topic(name)
        if topic is None:
            continue
        for replay, number in entries:
            topic.append(replay, events[number])
    bus.allowance.count("", state["deliveries"])


def _told(event: Event) -> dict[str, Any]:
    return {
        "uuid": event.uuid,
        "schema": event.codec.schema_id,
        "header": event.header,
        "values": event.values,
        "torn": event.torn,
    }


def _event(bus: EventBus, told: dict[str, Any]) -> Event:
    codec = bus.codec(told["schema"])
    if codec is None:
        raise ValueError(f"the state names the schema {told['schema']} and does not hold it")
    return Event(told["uuid"], codec, told["values"], told["header"], told["torn"])
