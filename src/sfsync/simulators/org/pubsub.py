"""The Pub/Sub API of the simulated org: Subscribe, Publish, GetTopic and GetSchema over real gRPC.

Flow control, keep-alives, replay and errors follow the documented service: at most 100 requested events
stand open on a stream, requests add up, an empty batch tells within the keep-alive time that the stream
lives and how far it is, and every error ends the call with `error-code` and `rpc-id` in the trailers.
PublishStream and ManagedSubscribe answer UNIMPLEMENTED.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio

from sfsync.simulators.org.bus import EARLIEST, LATEST, EventBus
from sfsync.simulators.org.model import Published
from sfsync.simulators.org.proto import pubsub_api_pb2 as pb
from sfsync.simulators.org.stream import (
    ALLOWANCE_USED_UP,
    SERVICE_UNAVAILABLE,
    TOPIC_FORBIDDEN,
    Entry,
    StreamEnded,
    Subscription,
)

CODE_PREFIX = "sfdc.platform.eventbus.grpc."
MOST_REQUESTED = 100
MOST_PUBLISHED = 200
LARGEST_EVENT_BYTES = 1_000_000

AUTH_ERROR = "service.auth.error"
AUTH_HEADERS_INVALID = "service.auth.headers.invalid"
TOPIC_NOT_FOUND = "topic.not.found"
TOPIC_EMPTY = "topic.validation.empty"
SCHEMA_INVALID = "schema.validation.failed"
REPLAY_MISSING = "subscription.fetch.replayid.validation.failed"
REQUESTED_INVALID = "subscription.fetch.requested.events.invalid"
TOPIC_MISMATCH = "subscription.fetch.topic.mismatch"
PUBLISH_COUNT_INVALID = "publish.event.count.invalid"
PUBLISH_TOPIC_EMPTY = "publish.topic.validation.empty"
PUBLISH_FORBIDDEN = "topic.meta.permission"
CUT = "cut"  # no code of the service: the network's own way to end a stream

# The status is secondary: clients must branch on the code. INVALID_ARGUMENT where nothing is known.
_STATUS = {
    AUTH_ERROR: grpc.StatusCode.UNAUTHENTICATED,
    AUTH_HEADERS_INVALID: grpc.StatusCode.UNAUTHENTICATED,
    TOPIC_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    TOPIC_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    PUBLISH_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    ALLOWANCE_USED_UP: grpc.StatusCode.RESOURCE_EXHAUSTED,
    SERVICE_UNAVAILABLE: grpc.StatusCode.INTERNAL,
    CUT: grpc.StatusCode.UNAVAILABLE,
}
_AUTH_MESSAGE = (
    "An authentication exception occurred. Provide valid authentication via metadata headers. "
    "Ensure that the access token, instance URL and tenant id are right."
)


class TokenCheck(Protocol):
    """What the event side asks of the org about a caller."""

    def user_of(self, token: str, instance_url: str, tenant_id: str) -> str | None:
        """Returns the id of the user whose valid token this is; None refuses."""


@dataclass
class PubSubKnobs:
    """Times and habits of the service; the control port may change them while it runs."""

    keepalive_seconds: float = 60.0
    unrequested_close_seconds: float = 70.0  # how long a stream may stand without anything requested
    first_answer_is_keepalive: bool = False
    batch_size: int = 100
    replay_id_bytes: int = 8  # 10 appends two zero bytes, as one log of a live org showed
    recheck_token: bool = True  # with each request and keep-alive, not at the start alone


@dataclass(slots=True)
class _Call:
    """One RPC's identity, and its way to fail."""

    rpc: str
    rpc_id: str
    context: grpc.aio.ServicerContext[Any, Any]
    token: tuple[str, str, str] = ("", "", "")
    user_id: str = ""

    async def fail(self, code: str, message: str) -> NoReturn:
        """Ends the RPC with a documented code (without its prefix) in the trailers."""
        named = () if code == CUT else (("error-code", CODE_PREFIX + code),)
        trailers = (*named, ("rpc-id", self.rpc_id), ("type", self.rpc))
        status = _STATUS.get(code, grpc.StatusCode.INVALID_ARGUMENT)
        await self.context.abort(status, f"{message} rpcId: {self.rpc_id}", trailers)
        raise AssertionError("abort has raised")


class PubSubService:
    """The four RPCs, and the switches that the control port turns."""

    def __init__(self, bus: EventBus, tokens: TokenCheck, knobs: PubSubKnobs | None = None) -> None:
        self.knobs = knobs or PubSubKnobs()
        self._bus = bus
        self._tokens = tokens
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._refusals: dict[str, list[str]] = {}

    # --- for the control port

    def go_silent(self) -> None:
        """Keeps every stream open and sends nothing more on any, keep-alives neither."""
        self._speaking.clear()

    def speak(self) -> None:
        """Ends the silence; what was kept back is sent."""
        self._speaking.set()

    def cut(self, topic: str | None = None) -> int:
        """Breaks the streams of one topic, or all, as a network does; returns how many that were."""
        return self._bus.cut(StreamEnded(CUT, "RST_STREAM closed stream."), topic)

    def refuse_next(self, rpc: str, code: str = SERVICE_UNAVAILABLE, count: int = 1) -> None:
        """Makes the next calls of an RPC (`Subscribe`, `Publish` …) fail with a documented code."""
        self._refusals.setdefault(rpc, []).extend([code] * count)

    # --- RPCs

    async def get_topic(
        self, request: pb.TopicRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.TopicInfo:
        call = await self._enter("GetTopic", context)
        if not request.topic_name:
            await call.fail(TOPIC_EMPTY, "The topic name is empty.")
        topic = self._bus.topic(request.topic_name)
        if topic is None:
            await call.fail(TOPIC_NOT_FOUND, f"The topic {request.topic_name} does not exist.")
        codec = self._bus.current_codec(topic.name)
        return pb.TopicInfo(
            topic_name=topic.name,
            tenant_guid=self._bus.org_id,
            can_publish=topic.name.startswith("/event/"),
            can_subscribe=not topic.forbidden,
            schema_id=codec.schema_id if codec else "",
            rpc_id=call.rpc_id,
        )

    async def get_schema(
        self, request: pb.SchemaRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.SchemaInfo:
        call = await self._enter("GetSchema", context)
        codec = self._bus.codec(request.schema_id)
        if codec is None:
            await call.fail(SCHEMA_INVALID, f"There is no schema {request.schema_id!r}.")
        return pb.SchemaInfo(schema_json=codec.schema_json, schema_id=codec.schema_id, rpc_id=call.rpc_id)

    async def publish(
        self, request: pb.PublishRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.PublishResponse:
        call = await self._enter("Publish", context)
        name = request.topic_name
        if not name:
            await call.fail(PUBLISH_TOPIC_EMPTY, "The topic name is empty.")
        if self._bus.topic(name) is None:
            await call.fail(TOPIC_NOT_FOUND, f"The topic {name} does not exist.")
        if not name.startswith("/event/"):
            await call.fail(PUBLISH_FORBIDDEN, f"Publishing on {name} is not allowed.")
        if not 1 <= len(request.events) <= MOST_PUBLISHED:
            await call.fail(PUBLISH_COUNT_INVALID, f"Publish from 1 to {MOST_PUBLISHED} events at once.")
        results = [self._publish_one(name, event, call.user_id) for event in request.events]
        codec = self._bus.current_codec(name)
        return pb.PublishResponse(
            results=results, schema_id=codec.schema_id if codec else "", rpc_id=call.rpc_id
        )

    async def subscribe(
        self,
        requests: AsyncIterator[pb.FetchRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        call = await self._enter("Subscribe", context)
        first = await context.read()
        if not isinstance(first, pb.FetchRequest):  # the caller hung up without a word
            return
        subscription = await self._open(first, call)
        stream = _Stream(subscription, call, first)
        reader = asyncio.create_task(self._read(requests, stream))
        try:
            await self._write(stream)
        except StreamEnded as ended:
            await call.fail(ended.code, ended.message)
        finally:
            reader.cancel()
            subscription.close()

    # --- parts of Subscribe

    async def _open(self, first: pb.FetchRequest, call: _Call) -> Subscription:
        if not first.topic_name:
            await call.fail(TOPIC_EMPTY, "The topic name is empty.")
        if self._bus.topic(first.topic_name) is None:
            await call.fail(TOPIC_NOT_FOUND, f"The topic {first.topic_name} does not exist.")
        start = LATEST
        if first.replay_preset == pb.ReplayPreset.EARLIEST:
            start = EARLIEST
        elif first.replay_preset == pb.ReplayPreset.CUSTOM:
            if not first.replay_id:
                await call.fail(REPLAY_MISSING, "A custom start needs a replay ID.")
            start = read_replay_id(first.replay_id)
        try:
            return self._bus.subscribe(first.topic_name, start, subscriber=call.user_id)
        except StreamEnded as refused:
            await call.fail(refused.code, refused.message)

    async def _read(self, requests: AsyncIterator[pb.FetchRequest], stream: _Stream) -> None:
        """Adds up what the client asks for, until it stops asking."""
        stream.ask(stream.first, MOST_REQUESTED)
        async for request in requests:
            if not self._still_welcome(stream.call):
                stream.subscription.end(StreamEnded(AUTH_ERROR, _AUTH_MESSAGE))
            stream.ask(request, MOST_REQUESTED)
        stream.finished_asking = True
        stream.subscription.wake()

    async def _write(self, stream: _Stream) -> None:
        subscription = stream.subscription
        if self.knobs.first_answer_is_keepalive:
            await self._send(stream, [])
        while not (stream.finished_asking and not stream.pending):
            await self._speaking.wait()
            entries = subscription.take(min(stream.pending, self.knobs.batch_size))
            if entries:
                stream.pending -= len(entries)
                await self._send(stream, entries)
                continue
            try:
                async with asyncio.timeout(self._patience(stream)):
                    await subscription.wait()
            except TimeoutError:
                if not stream.pending:
                    return
                await self._keep_alive(stream)

    def _patience(self, stream: _Stream) -> float:
        return self.knobs.keepalive_seconds if stream.pending else self.knobs.unrequested_close_seconds

    async def _keep_alive(self, stream: _Stream) -> None:
        if not self._still_welcome(stream.call):
            raise StreamEnded(AUTH_ERROR, _AUTH_MESSAGE)
        await self._speaking.wait()
        await self._send(stream, [])

    async def _send(self, stream: _Stream, entries: list[Entry]) -> None:
        position = entries[-1].replay if entries else stream.subscription.position()
        width = self.knobs.replay_id_bytes
        await stream.call.context.write(
            pb.FetchResponse(
                events=[_consumer_event(entry, width) for entry in entries],
                latest_replay_id=write_replay_id(position, width),
                rpc_id=stream.call.rpc_id,
                pending_num_requested=stream.pending,
            )
        )

    # --- parts of the others

    def _publish_one(self, topic: str, event: pb.ProducerEvent, user_id: str) -> pb.PublishResult:
        """Returns the event's result: its replay id, or why it alone was refused."""
        entity = topic.removeprefix("/event/")
        codec = self._bus.codec(event.schema_id)
        problem = ""
        if len(event.payload) > LARGEST_EVENT_BYTES:
            problem = f"The event is larger than {LARGEST_EVENT_BYTES} bytes."
        elif codec is None or codec is not self._bus.current_codec(topic):
            problem = f"The schema {event.schema_id!r} is not the schema of {entity}."
        else:
            try:
                fields = codec.decode(event.payload)
            except ValueError:
                problem = f"The payload does not fit the schema {event.schema_id!r}."
        if problem:
            error = pb.Error(code=pb.ErrorCode.PUBLISH, msg=problem)
            return pb.PublishResult(error=error, correlation_key=event.id)
        published = Published(entity, event.id or self._bus.new_uuid(), fields)
        replay = self._bus.publish(published, user_id)
        return pb.PublishResult(
            replay_id=write_replay_id(replay, self.knobs.replay_id_bytes), correlation_key=published.uuid
        )

    async def _enter(self, rpc: str, context: grpc.aio.ServicerContext[Any, Any]) -> _Call:
        """Checks the metadata that every RPC carries, and the refusals that were ordered."""
        call = _Call(rpc, self._bus.new_uuid(), context)
        metadata = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        token, instance, tenant = (
            metadata.get(key, "").strip() for key in ("accesstoken", "instanceurl", "tenantid")
        )
        if not (token and instance and tenant):
            await call.fail(AUTH_HEADERS_INVALID, "The authentication headers are invalid.")
        user_id = self._tokens.user_of(token, instance, tenant)
        if user_id is None:
            await call.fail(AUTH_ERROR, _AUTH_MESSAGE)
        if ordered := self._refusals.get(rpc):
            await call.fail(ordered.pop(0), "The service is unavailable. Try again later.")
        call.token = (token, instance, tenant)
        call.user_id = user_id
        return call

    def _still_welcome(self, call: _Call) -> bool:
        return not self.knobs.recheck_token or self._tokens.user_of(*call.token) is not None


class _Stream:
    """One Subscribe call: what is still owed to the client."""

    def __init__(self, subscription: Subscription, call: _Call, first: pb.FetchRequest) -> None:
        self.subscription = subscription
        self.call = call
        self.first = first
        self.pending = 0
        self.finished_asking = False

    def ask(self, request: pb.FetchRequest, most: int) -> None:
        """Adds a request to what is owed; an invalid one ends the subscription."""
        if request.topic_name and request.topic_name != self.subscription.topic.name:
            self.subscription.end(StreamEnded(TOPIC_MISMATCH, "The topic differs from the stream's topic."))
        elif request.num_requested <= 0:
            self.subscription.end(
                StreamEnded(REQUESTED_INVALID, "The number of requested events must be above zero.")
            )
        else:
            self.pending = min(most, self.pending + request.num_requested)
        self.subscription.wake()


def write_replay_id(replay: int, width: int = 8) -> bytes:
    """Returns a replay id as the wire has it: eight bytes big-endian, zero bytes after them if wider."""
    return replay.to_bytes(8, "big").ljust(width, b"\0")


def read_replay_id(replay_id: bytes) -> int:
    """Returns the number of a replay id; -3, which stands for no place, if it has not our form."""
    if len(replay_id) not in (8, 10) or any(replay_id[8:]):
        return -3
    return int.from_bytes(replay_id[:8], "big")


def _consumer_event(entry: Entry, width: int) -> pb.ConsumerEvent:
    event = entry.event
    return pb.ConsumerEvent(
        event=pb.ProducerEvent(id=event.uuid, schema_id=event.codec.schema_id, payload=event.payload),
        replay_id=write_replay_id(entry.replay, width),
    )


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
