"""The Pub/Sub API of the simulated org: Subscribe, Publish, GetTopic and GetSchema over real gRPC.

Every call carries its credentials in the metadata, and every error ends it with `error-code` and
`rpc-id` in the trailers. PublishStream and ManagedSubscribe answer UNIMPLEMENTED.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from sfsync.simulators.org.bus import EventBus
from sfsync.simulators.org.model import Published
from sfsync.simulators.org.proto import pubsub_api_pb2 as pb
from sfsync.simulators.org.pubsub_calls import (
    CUT,
    PUBLISH_COUNT_INVALID,
    PUBLISH_FORBIDDEN,
    PUBLISH_TOPIC_EMPTY,
    SCHEMA_INVALID,
    TOPIC_EMPTY,
    TOPIC_NOT_FOUND,
    Context,
    Gate,
    TokenCheck,
)
from sfsync.simulators.org.pubsub_subscribe import (
    PubSubKnobs,
    SubscribeCall,
    open_subscription,
    write_replay_id,
)
from sfsync.simulators.org.stream import SERVICE_UNAVAILABLE, StreamEnded

MOST_PUBLISHED = 200
LARGEST_EVENT_BYTES = 1_000_000


class PubSubService:
    """The RPCs, and the switches that the control port turns."""

    def __init__(self, bus: EventBus, tokens: TokenCheck, knobs: PubSubKnobs | None = None) -> None:
        self.knobs = knobs or PubSubKnobs()
        self._bus = bus
        self._gate = Gate(tokens)
        self._calls: dict[SubscribeCall, None] = {}  # in the order in which they came

    # --- for the control port

    def go_silent(self) -> int:
        """Keeps the present streams open and sends nothing more on them, keep-alives neither."""
        for call in self._calls:
            call.speaking.clear()
        return len(self._calls)

    def speak(self) -> None:
        """Ends the silence; what was kept back is sent."""
        for call in self._calls:
            call.speaking.set()

    def cut(self, topic: str | None = None) -> int:
        """Breaks the streams of one topic, or all, as a network does; returns how many that were."""
        return self._bus.cut(StreamEnded(CUT, "RST_STREAM closed stream."), topic)

    def refuse_next(self, rpc: str, code: str = SERVICE_UNAVAILABLE, count: int = 1) -> None:
        """Makes the next calls of an RPC (`Subscribe`, `Publish` …) fail with a documented code."""
        self._gate.refuse_next(rpc, code, count)

    # --- RPCs

    async def subscribe(self, requests: AsyncIterator[pb.FetchRequest], context: Context) -> None:
        call = await self._gate.enter("Subscribe", self._bus.new_uuid(), context)
        first = await context.read()
        if not isinstance(first, pb.FetchRequest):  # the caller hung up without a word
            return
        subscription = await open_subscription(self._bus, first, call)
        stream = SubscribeCall(call, subscription, self._gate, self.knobs)
        self._calls[stream] = None
        try:
            await stream.run(first)
        except StreamEnded as ended:
            await stream.speaking.wait()  # a dead stream does not tell of its end either
            await call.fail(ended.code, ended.message)
        finally:
            self._calls.pop(stream, None)

    async def get_topic(self, request: pb.TopicRequest, context: Context) -> pb.TopicInfo:
        call = await self._gate.enter("GetTopic", self._bus.new_uuid(), context)
        if not request.topic_name:
            await call.fail(TOPIC_EMPTY, "The topic name is empty.")
        topic = self._bus.topic(request.topic_name)
        if topic is None:
            await call.fail(TOPIC_NOT_FOUND, f"The topic {request.topic_name} does not exist.")
        return pb.TopicInfo(
            topic_name=topic.name,
            tenant_guid=self._bus.org_id,
            can_publish=topic.name.startswith("/event/"),
            can_subscribe=not topic.forbidden,
            schema_id=self._current_schema_id(topic.name),
            rpc_id=call.rpc_id,
        )

    async def get_schema(self, request: pb.SchemaRequest, context: Context) -> pb.SchemaInfo:
        call = await self._gate.enter("GetSchema", self._bus.new_uuid(), context)
        codec = self._bus.codec(request.schema_id)
        if codec is None:
            await call.fail(SCHEMA_INVALID, f"There is no schema {request.schema_id!r}.")
        return pb.SchemaInfo(schema_json=codec.schema_json, schema_id=codec.schema_id, rpc_id=call.rpc_id)

    async def publish(self, request: pb.PublishRequest, context: Context) -> pb.PublishResponse:
        call = await self._gate.enter("Publish", self._bus.new_uuid(), context)
        name = request.topic_name
        if not name:
            await call.fail(PUBLISH_TOPIC_EMPTY, "The topic name is empty.")
        if self._bus.topic(name) is None:
            await call.fail(TOPIC_NOT_FOUND, f"The topic {name} does not exist.")
        if not name.startswith("/event/"):
            await call.fail(PUBLISH_FORBIDDEN, f"Publishing on {name} is not allowed.")
        if not 1 <= len(request.events) <= MOST_PUBLISHED:
            await call.fail(PUBLISH_COUNT_INVALID, f"Publish from 1 to {MOST_PUBLISHED} events at once.")
        return pb.PublishResponse(
            results=[self._publish_one(name, event, call.user_id) for event in request.events],
            schema_id=self._current_schema_id(name),
            rpc_id=call.rpc_id,
        )

    def _publish_one(self, topic: str, event: pb.ProducerEvent, user_id: str) -> pb.PublishResult:
        """Returns the event's result: its replay id, or why it alone was refused."""
        try:
            fields = self._read_payload(topic, event)
            if not self._bus.may_publish():
                raise ValueError("The hourly limit of published events is exceeded.")
        except ValueError as refused:
            error = pb.Error(code=pb.ErrorCode.PUBLISH, msg=str(refused))
            return pb.PublishResult(error=error, correlation_key=event.id)
        published = Published(topic.removeprefix("/event/"), event.id or self._bus.new_uuid(), fields)
        replay = self._bus.publish(published, user_id)
        replay_id = write_replay_id(replay, self.knobs.replay_id_bytes)
        return pb.PublishResult(replay_id=replay_id, correlation_key=published.uuid)

    def _read_payload(self, topic: str, event: pb.ProducerEvent) -> dict[str, Any]:
        """Returns the fields of an event to publish; raises ValueError with the reason to refuse it."""
        codec = self._bus.current_codec(topic)
        if len(event.payload) > LARGEST_EVENT_BYTES:
            raise ValueError(f"The event is larger than {LARGEST_EVENT_BYTES} bytes.")
        if codec is None or codec.schema_id != event.schema_id:
            raise ValueError(f"The schema {event.schema_id!r} is not the schema of {topic}.")
        return codec.decode(event.payload)

    def _current_schema_id(self, topic: str) -> str:
        codec = self._bus.current_codec(topic)
        return codec.schema_id if codec else ""


@dataclass(slots=True)
class PubSubServer:
    """A running server with the ports it really has."""

    service: PubSubService
    server: grpc.aio.Server
    port: int
    tls_port: int | None

    async def stop(self) -> None:
        """Breaks all streams and closes the ports."""
        with suppress(asyncio.CancelledError):
            await self.server.stop(None)


async def serve(
    bus: EventBus,
    tokens: TokenCheck,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: grpc.ServerCredentials | None = None,
    tls_port: int = 0,
    knobs: PubSubKnobs | None = None,
) -> PubSubServer:
    """Starts the service on an insecure port and, with credentials, a TLS port; port 0 takes a free one."""
    service = PubSubService(bus, tokens, knobs)
    server = grpc.aio.server(
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
            ("grpc.keepalive_permit_without_calls", 1),
        )
    )
    server.add_generic_rpc_handlers((_handlers(service),))
    open_port = server.add_insecure_port(f"{host}:{port}")
    secure_port = server.add_secure_port(f"{host}:{tls_port}", tls) if tls else None
    await server.start()
    return PubSubServer(service, server, open_port, secure_port)


def _handlers(service: PubSubService) -> grpc.GenericRpcHandler[Any, Any]:
    def unary(behavior: Any, request: Any, response: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            behavior, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )

    return grpc.method_handlers_generic_handler(
        "eventbus.v1.PubSub",
        {
            "Subscribe": grpc.stream_stream_rpc_method_handler(
                service.subscribe,
                request_deserializer=pb.FetchRequest.FromString,
                response_serializer=pb.FetchResponse.SerializeToString,
            ),
            "GetTopic": unary(service.get_topic, pb.TopicRequest, pb.TopicInfo),
            "GetSchema": unary(service.get_schema, pb.SchemaRequest, pb.SchemaInfo),
            "Publish": unary(service.publish, pb.PublishRequest, pb.PublishResponse),
        },
    )
