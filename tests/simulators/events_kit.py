"""What the tests of the event side share: a small org, commits by hand, a clock, and a raw gRPC client."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import fastavro
import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sfsync.simulators.org.bus import BusKnobs, EventBus
from sfsync.simulators.org.model import (
    Change,
    ChangeKind,
    Channel,
    ChannelMember,
    Commit,
    Field,
    FieldType,
    Published,
    Row,
    Schema,
    SObject,
)
from sfsync.simulators.org.proto import pubsub_api_pb2 as pb
from sfsync.simulators.org.pubsub import PubSubServer, serve
from sfsync.simulators.org.pubsub_subscribe import PubSubKnobs

START = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
TOKEN, INSTANCE, TENANT = "token-1", "http://localhost:8080", "00D000000000001AAA"
USER = "005000000000001AAA"
METADATA = (("accesstoken", TOKEN), ("instanceurl", INSTANCE), ("tenantid", TENANT))
CHANNEL = "/data/Stock__chn"
DIRECT = "/data/Stock__ChangeEvent"
EVENT_TOPIC = "/event/Sale__e"
# A proxy set for the machine must not stand between a test and its own loopback server.
NO_PROXY = (("grpc.enable_http_proxy", 0),)


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def advance(self, **parts: float) -> None:
        self.time += timedelta(**parts)


def field_of(name: str, kind: FieldType = FieldType.STRING) -> Field:
    return Field(name, name, kind)


STOCK_FIELDS = (
    field_of("Id", FieldType.ID),
    field_of("Name"),
    field_of("On_Hand__c", FieldType.DOUBLE),
    field_of("LastModifiedDate", FieldType.DATETIME),
    field_of("Key__c"),
    field_of("Source__c"),
    field_of("Counted__c", FieldType.DATE),
    field_of("Active__c", FieldType.BOOLEAN),
    field_of("SystemModstamp", FieldType.DATETIME),
)
SALE_FIELDS = (
    field_of("ReplayId"),
    field_of("Sku__c"),
    field_of("Quantity__c", FieldType.DOUBLE),
    field_of("OccurredAt__c", FieldType.DATETIME),
)


def sobject(name: str, fields: tuple[Field, ...], *, is_event: bool = False) -> SObject:
    return SObject(name, name, name, "a01", {f.name: f for f in fields}, is_event=is_event)


def org(
    *,
    condition: str | None = None,
    enriched: tuple[str, ...] = (),
    selected: tuple[ChannelMember, ...] = (ChannelMember("Stock__c"),),
    more_fields: tuple[Field, ...] = (),
) -> Schema:
    """One object in the standard channel and in a custom one with filter and enrichment, and one event."""
    return Schema(
        objects={
            "Stock__c": sobject("Stock__c", STOCK_FIELDS + more_fields),
            "Sale__e": sobject("Sale__e", SALE_FIELDS, is_event=True),
        },
        channels={
            "ChangeEvents": Channel("ChangeEvents", selected),
            "Stock__chn": Channel("Stock__chn", (ChannelMember("Stock__c", condition, enriched),)),
        },
    )


def equals_filter(text: str) -> Any:
    """Understands `Field = 'text'` and `ChangeEventHeader.field = 'text'`, enough for the bus's own tests."""
    match = re.fullmatch(r"(\S+) = '([^']*)'", text)
    assert match, text
    path, wanted = match.groups()

    def passes(row: Row) -> bool:
        value: Any = row
        for part in path.split("."):
            value = value.get(part)
        return bool(value == wanted)

    return passes


def make_bus(schema: Schema | None = None, clock: HandClock | None = None, **knobs: Any) -> EventBus:
    return EventBus(
        schema or org(),
        clock=clock or HandClock(),
        rng=Random(7),
        compile_filter=equals_filter,
        knobs=BusKnobs(**knobs),
        org_id=TENANT,
    )


def record_id(number: int) -> str:
    return f"a01{number:012}AAA"


def row(**values: Any) -> dict[str, Any]:
    """A whole record, as the engine hands it over: all fields, unset ones None."""
    return {**dict.fromkeys(f.name for f in STOCK_FIELDS), "LastModifiedDate": START, **values}


def created(number: int, **values: Any) -> Change:
    return Change("Stock__c", record_id(number), ChangeKind.CREATE, None, row(Id=record_id(number), **values))


def updated(number: int, before: Mapping[str, Any], after: Mapping[str, Any], **more: Any) -> Change:
    later = {"LastModifiedDate": START + timedelta(seconds=1), **after}
    return Change("Stock__c", record_id(number), ChangeKind.UPDATE, row(**before), row(**later), **more)


def deleted(number: int, **values: Any) -> Change:
    return Change("Stock__c", record_id(number), ChangeKind.DELETE, row(**values), None)


_numbers = iter(range(1, 1_000_000))


def commit(*changes: Change, published: tuple[Published, ...] = ()) -> Commit:
    number = next(_numbers)
    origin = "com/salesforce/api/rest/67.0;client=sfsync"
    return Commit(f"key-{number}", number, START, USER, origin, changes, published)


def sale(number: int) -> Published:
    return Published("Sale__e", f"uuid-{number}", {"Sku__c": f"BAG-{number}", "Quantity__c": 1})


@dataclass
class Tokens:
    """Knows one token until it is revoked."""

    valid: set[str] = field(default_factory=lambda: {TOKEN})

    def user_of(self, token: str, instance_url: str, tenant_id: str) -> str | None:
        return USER if token in self.valid and tenant_id == TENANT else None


@dataclass
class Event:
    """What a client makes of one ConsumerEvent."""

    replay_id: bytes
    uuid: str
    schema_id: str
    record: dict[str, Any]

    @property
    def header(self) -> dict[str, Any]:
        found: dict[str, Any] = self.record["ChangeEventHeader"]
        return found


class RawStream:
    """One Subscribe call by hand."""

    def __init__(self, client: RawClient, call: Any) -> None:
        self.client = client
        self.call = call

    async def ask(self, number: int, **more: Any) -> None:
        await self.call.write(pb.FetchRequest(num_requested=number, **more))

    async def answer(self) -> pb.FetchResponse:
        """Returns the next FetchResponse; fails after a while, so that no test hangs."""
        async with asyncio.timeout(20):
            response = await self.call.read()
        if isinstance(response, pb.FetchResponse):
            return response
        raise EOFError(f"stream ended with {await self.call.code()}: {await self.call.details()}")

    async def events(self, number: int) -> list[Event]:
        """Returns as many events as asked for, from as many answers as it takes."""
        found: list[Event] = []
        while len(found) < number:
            response = await self.answer()
            found.extend([await self.client.event(consumer) for consumer in response.events])
        assert len(found) == number
        return found

    async def error(self) -> tuple[grpc.StatusCode, str]:
        """Reads to the end of the stream and returns its status and error code."""
        async with asyncio.timeout(20):
            try:
                while isinstance(await self.call.read(), pb.FetchResponse):
                    pass
            except grpc.aio.AioRpcError:
                pass
            trailers = dict(await self.call.trailing_metadata())
            return await self.call.code(), trailers.get("error-code", "")


class RawClient:
    """A hand-written client of the Pub/Sub API: it knows the contract and nothing of the server's insides."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = METADATA) -> None:
        self.metadata = metadata
        self._channel = channel
        self._schemas: dict[str, Any] = {}
        self.schema_calls = 0

    async def subscribe(self, topic: str, number: int = 100, **first: Any) -> RawStream:
        rpc = self._channel.stream_stream(
            "/eventbus.v1.PubSub/Subscribe",
            request_serializer=pb.FetchRequest.SerializeToString,
            response_deserializer=pb.FetchResponse.FromString,
        )
        stream = RawStream(self, rpc(None, metadata=self.metadata))
        # A server that refuses the metadata may have ended the call by now; whoever reads is told why.
        with suppress(grpc.aio.AioRpcError):
            await stream.ask(number, topic_name=topic, **first)
        return stream

    async def unary(self, rpc: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(
            f"/eventbus.v1.PubSub/{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return await call(request, metadata=self.metadata, timeout=20)

    async def topic(self, name: str) -> pb.TopicInfo:
        info = await self.unary("GetTopic", pb.TopicRequest(topic_name=name), pb.TopicInfo)
        assert isinstance(info, pb.TopicInfo)
        return info

    async def schema(self, schema_id: str) -> Any:
        if schema_id not in self._schemas:
            self.schema_calls += 1
            info = await self.unary("GetSchema", pb.SchemaRequest(schema_id=schema_id), pb.SchemaInfo)
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(info.schema_json))
        return self._schemas[schema_id]

    async def event(self, consumer: pb.ConsumerEvent) -> Event:
        schema = await self.schema(consumer.event.schema_id)
        record = fastavro.schemaless_reader(io.BytesIO(consumer.event.payload), schema, None)
        assert isinstance(record, dict)
        return Event(consumer.replay_id, consumer.event.id, consumer.event.schema_id, record)

    async def publish(self, topic: str, events: list[pb.ProducerEvent]) -> pb.PublishResponse:
        request = pb.PublishRequest(topic_name=topic, events=events)
        response = await self.unary("Publish", request, pb.PublishResponse)
        assert isinstance(response, pb.PublishResponse)
        return response


@dataclass
class Rig:
    """A served bus, its switches, and a client that is connected to it."""

    bus: EventBus
    clock: HandClock
    tokens: Tokens
    server: PubSubServer
    client: RawClient
    channel: grpc.aio.Channel


@asynccontextmanager
async def served(
    schema: Schema | None = None,
    knobs: PubSubKnobs | None = None,
    tls: grpc.ServerCredentials | None = None,
    **bus_knobs: Any,
) -> AsyncIterator[Rig]:
    """Serves a bus on a loopback port for the time of a test."""
    clock, tokens = HandClock(), Tokens()
    bus = make_bus(schema, clock, **bus_knobs)
    server = await serve(bus, tokens, knobs=knobs, tls=tls)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=NO_PROXY)
    try:
        yield Rig(bus, clock, tokens, server, RawClient(channel), channel)
    finally:
        await channel.close(None)
        await server.stop()


def error_code(error: grpc.aio.AioRpcError) -> str:
    """Returns the documented code in an error's trailers."""
    trailers: Any = error.trailing_metadata()
    return str(dict(trailers).get("error-code", ""))


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for localhost."""

    certificate_pem: bytes
    key_pem: bytes

    @property
    def server_credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials([(self.key_pem, self.certificate_pem)])


def make_certificate() -> Certificate:
    """Makes one that is valid today, with the names by which tests call the server."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return Certificate(certificate.public_bytes(pem), key_pem)


def subscribers(bus: EventBus, topic: str) -> int:
    found = bus.topic(topic)
    return len(found.subscriptions) if found else 0


async def until(condition: Any) -> None:
    """Waits for a condition to come true, with a deadline."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 — the server tells nobody; the deadline bounds it
            await asyncio.sleep(0.005)
