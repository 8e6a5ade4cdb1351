"""Where events come from, whatever carries them: decoded events and the cursor that stands after them.

A source waits for nothing, merges nothing, and never decides on its own to start elsewhere than at the
cursor it was given. It ends with one of the named failures:

- `CursorRefused`: the org will not resume at our cursor;
- `Refused`: topic, permission, licence: a person must look;
- `TryLater`: everything else, also a stream that is open and silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from sfsync.ports import SINCE, CursorRefused, OutsideError, since
from sfsync.salesforce import avro
from sfsync.salesforce.avro import RawEvent, Schema
from sfsync.salesforce.codec import Event, Garbled, is_older

log = structlog.get_logger(__name__)

ACCESS_ADVICE = "assign the permission set Sfsync_Integration to the user that sfsync signs in as"
# Our clock and the org's may differ; what is told since then and was never entered is rather entered.
BEGINNING_MARGIN = timedelta(minutes=5)
DEPLOY_ADVICE = "deploy the metadata in salesforce/ and check the topic's name"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events and the cursor that stands after them; no events: a sign of life.

    `joined`: the first of a session, which may come before anything that is pending. `before`: the cursor
    before the last of several events.
    """

    events: Sequence[Event | Garbled]
    cursor: bytes
    joined: bool = False
    before: bytes = b""


class Beginning:
    """Leaves out what was created before a stream of postings began with us.

    The stream's own cursors say nothing of that moment, so each carries it along until an event of ours has
    come: a reader that ends in the middle of the old ones goes on leaving them out.
    """

    def __init__(self, moment: datetime) -> None:
        self._moment = moment
        self._begun = False

    def kept(self, batch: Batch) -> Batch:
        """The batch without what is older than ours, and the cursor after it."""
        oldest = self._moment - BEGINNING_MARGIN
        events = [each for each in batch.events if not is_older(each, oldest)]
        self._begun = self._begun or bool(events)
        cursor = batch.cursor if self._begun else since(self._moment, batch.cursor)
        # Old events only: the stream is there, and more may be pending.
        return Batch(events, cursor, joined=batch.joined or (bool(batch.events) and not events))


def opened(topic: str, cursor: bytes | None) -> tuple[Beginning | None, bytes | None]:
    """A cursor's beginning, if it has one, and the cursor that the transport knows."""
    if cursor is None or not cursor.startswith(SINCE):
        return None, cursor
    number, colon, place = cursor.removeprefix(SINCE).partition(b":")
    try:
        moment = datetime.fromtimestamp(int(number) / 1000, UTC)
        if not colon:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise CursorRefused(f"the bookmark of {topic} is no moment", advice="") from None
    return Beginning(moment), place


class EventSource(Protocol):
    """The org's event stream."""

    def subscribe(self, topic: str, cursor: bytes | None) -> AsyncGenerator[Batch, None]:
        """The events after `cursor`; from now on when None, all that are kept when `ports.EVERYTHING`."""
        ...

    async def may_listen(self, topic: str) -> None:
        """Refused when we may not subscribe, or there is no such topic."""
        ...

    async def close(self) -> None:
        """Give back the connection."""
        ...


@dataclass(frozen=True, slots=True)
class RawBatch:
    """As `Batch`, still in Avro."""

    events: Sequence[RawEvent]
    cursor: bytes
    joined: bool = False
    before: bytes = b""


class AvroWire(Protocol):
    """Where Avro comes from: the Pub/Sub API, or in-process under a virtual clock."""

    def subscribe(self, topic: str, cursor: bytes | None) -> AsyncGenerator[RawBatch, None]:
        """As `EventSource.subscribe`."""
        ...

    async def schema(self, schema_id: str) -> str:
        """The Avro schema (JSON) that a schema id stands for."""
        ...

    async def schema_of(self, topic: str) -> str:
        """The id of the topic's present schema, "" without one; refused when we may not subscribe."""
        ...

    async def close(self) -> None:
        """Give back the connection."""
        ...


class AvroSource:
    """Decodes what a wire carries; learns each schema once. Implements `EventSource`."""

    def __init__(self, wire: AvroWire, entities: Mapping[str, str] | None = None) -> None:
        """`entities`: for topics that are channels, the topic whose schema their events have."""
        self._wire, self._entities = wire, entities or {}
        self._schemas: dict[str, Schema] = {}
        self._learning = asyncio.Lock()

    async def subscribe(self, topic: str, cursor: bytes | None) -> AsyncGenerator[Batch, None]:
        """The events after `cursor`; from now on when None, all that are kept when `EVERYTHING`."""
        warm_up = asyncio.create_task(self._warm_up(topic))
        try:
            async with aclosing(self._wire.subscribe(topic, cursor)) as batches:
                async for raw in batches:
                    events = [await self._event(each) for each in raw.events]
                    yield Batch(events, raw.cursor, raw.joined, raw.before)
        finally:
            warm_up.cancel()

    async def _event(self, raw: RawEvent) -> Event | Garbled:
        try:
            schema = self._schemas.get(raw.schema_id) or await self._schema(raw.schema_id)
        except ValueError as error:
            return avro.garbled(raw, str(error))
        return avro.event(raw, schema)

    async def _schema(self, schema_id: str) -> Schema:
        """A schema id stands for the same schema for ever; each is asked for once, also by many at once."""
        async with self._learning:
            if schema_id not in self._schemas:
                self._schemas[schema_id] = avro.parse_schema(await self._wire.schema(schema_id))
            return self._schemas[schema_id]

    async def _warm_up(self, topic: str) -> None:
        """Fetch the schema that the topic's next event will have, so that this event need not wait for it."""
        try:
            schema_id = await self._wire.schema_of(self._entities.get(topic) or entity_topic(topic))
            if schema_id:
                await self._schema(schema_id)
        except (OutsideError, ValueError) as error:
            log.debug("schema not fetched ahead", topic=topic, reason=str(error))

    async def may_listen(self, topic: str) -> None:
        """Refused when we may not subscribe, or there is no such topic."""
        await self._wire.schema_of(topic)

    async def close(self) -> None:
        """Give back the connection."""
        await self._wire.close()


def entity_topic(topic: str) -> str:
    """The topic whose schema the events of this one have: our channel carries stock movements."""
    return "/data/StockMovement__ChangeEvent" if topic.endswith("__chn") else topic
