"""Which events go where: the org's topics, the present schema of each, and the channels' interests.

A catalogue is rebuilt when the org's metadata change; topics keep their events and subscribers, and a
codec once known stays known, because retained events name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sfsync.simulators.org.avro import Codec, change_codec, change_event_name, event_codec
from sfsync.simulators.org.model import ChannelMember, Row, Schema
from sfsync.simulators.org.stream import Topic

Condition: TypeAlias = Callable[[Row], bool]
CompileFilter: TypeAlias = Callable[[str], Condition]

STANDARD_CHANNEL = "ChangeEvents"
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Route:
    """One channel's interest in one entity."""

    topics: tuple[Topic, ...]
    condition: Condition | None
    added: tuple[str, ...]  # enriched fields and the fields of the filter


def event_topic(entity: str) -> str:
    """Returns the topic of a platform event."""
    return f"/event/{entity}"


def change_topic(entity: str) -> str:
    """Returns the topic of one entity's changes."""
    return f"/data/{change_event_name(entity)}"


class Catalogue:
    """The topics and routes of an org."""

    def __init__(self, compile_filter: CompileFilter) -> None:
        self.topics: dict[str, Topic] = {}
        self.codecs: dict[str, Codec] = {}  # by schema id, for ever
        self.current: dict[str, Codec] = {}  # by entity
        self.routes: dict[str, list[Route]] = {}  # by entity
        self.carried: dict[str, frozenset[str]] = {}  # by entity: fields that some channel adds or filters by
        self._entities: dict[str, tuple[str, ...]] = {}  # by topic
        self._compile_filter = compile_filter

    def rebuild(
        self,
        schema: Schema,
        *,
        also_selected: Sequence[str] = (),
        formulas: bool = True,
        most_selected: int = 5,
    ) -> None:
        """Takes over a schema; ValueError when a channel selects an unknown entity, or all too many."""
        channels = _channels(schema, also_selected)
        selected = sorted({member.entity for members in channels.values() for member in members})
        if len(selected) > most_selected:
            raise ValueError(
                f"{len(selected)} entities are selected for change events: {', '.join(selected)}; without an "
                f"add-on an org has {most_selected}"
            )
        self.current, self.routes, self._entities = {}, {}, {}
        self.members = {
            name: [change_event_name(member.entity) for member in members]
            for name, members in channels.items()
        }
        for name, sobject in schema.objects.items():
            if sobject.is_event:
                self._open(event_topic(name), (name,))
                codec = event_codec(sobject)
            else:
                self._open(change_topic(name), (name,))
                codec = change_codec(sobject, formulas=formulas)
            self.current[name] = self.codecs[codec.schema_id] = codec
        for name, members in channels.items():
            self._open_channel(name, members, schema)
        self.carried = {
            entity: frozenset(name for route in routes for name in route.added)
            for entity, routes in self.routes.items()
        }

    def codec_of(self, topic: str) -> Codec | None:
        """Returns a topic's present codec; None for channels that carry several entities or none."""
        entities = self._entities.get(topic, ())
        return self.current[entities[0]] if len(entities) == 1 else None

    def _open(self, name: str, entities: tuple[str, ...]) -> Topic:
        self._entities[name] = entities
        return self.topics.setdefault(name, Topic(name))

    def _open_channel(self, name: str, members: tuple[ChannelMember, ...], schema: Schema) -> None:
        unknown = [member.entity for member in members if member.entity not in schema.objects]
        if unknown:
            raise ValueError(f"channel {name} selects {', '.join(unknown)}, which the org does not have")
        channel = self._open(f"/data/{name}", tuple(member.entity for member in members))
        for member in members:
            topics = [channel]
            if name == STANDARD_CHANNEL:  # what is selected there has its own topic, too
                topics.append(self.topics[change_topic(member.entity)])
            route = self._route(member, tuple(topics), schema.objects[member.entity].fields)
            self.routes.setdefault(member.entity, []).append(route)

    def _route(self, member: ChannelMember, topics: tuple[Topic, ...], fields: Mapping[str, object]) -> Route:
        text = member.filter_expression
        if text is None:
            return Route(topics, None, member.enriched_fields)
        words = {word.lower() for word in _NAME.findall(_QUOTED.sub("", text))}
        filtered = (name for name in fields if name.lower() in words)
        added = tuple(dict.fromkeys((*member.enriched_fields, *filtered)))
        return Route(topics, self._compile_filter(text), added)


def _channels(schema: Schema, also_selected: Sequence[str]) -> dict[str, tuple[ChannelMember, ...]]:
    channels = {name: channel.members for name, channel in schema.channels.items()}
    standard = channels.get(STANDARD_CHANNEL, ())
    there = {member.entity for member in standard}
    more = tuple(ChannelMember(name) for name in also_selected if name not in there)
    return {**channels, STANDARD_CHANNEL: standard + more}
