"""The event stream over the Pub/Sub API (gRPC), still in Avro: `stream.AvroSource` decodes it.

`PubSub` hands over raw events as they come: it waits for nothing, merges nothing, and never decides on its
own to start elsewhere than at the cursor it was given. It ends with one of the named failures:

- `CursorRefused`: the org will not resume at our cursor;
- `Refused`: topic, permission, licence: a person must look;
- `TryLater`: everything else, also a stream that is open and silent.

A worn token is renewed and the stream resumed after the last batch handed over, unseen by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from sfsync.ports import EVERYTHING, CursorRefused, OutsideError, Refused, TryLater
from sfsync.salesforce.auth import TRUST_ADVICE, Token, TokenProvider
from sfsync.salesforce.avro import RawEvent
from sfsync.salesforce.bookmark import COMETD_MARK, Thread
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.proto import pubsub_api_pb2 as pb
from sfsync.salesforce.proto.pubsub_api_pb2_grpc import PubSubStub
from sfsync.salesforce.stream import ACCESS_ADVICE, DEPLOY_ADVICE, RawBatch
from sfsync.salesforce.transport import is_loopback

if TYPE_CHECKING:
    from sfsync.salesforce.proto.pubsub_api_pb2_grpc import PubSubAsyncStub

Told = TypeVar("Told")

WINDOW = 100  # events that may be asked for and not yet come: the most the service allows
TOP_UP_BELOW = 50
# An empty answer within this time only says that the stream is there. Longer than a connection can be stuck
# without its pings noticing, so that a greeting that was held up on its way is never taken for a silence.
GREETING_SECONDS = 45.0
CODE_PREFIX = "sfdc.platform.eventbus.grpc."
CHANNEL_OPTIONS = (
    # A half-open connection is noticed by a ping that is not answered, long before the silence is.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: type[OutsideError]
    advice: str = ""
    after_seconds: float | None = None


_BY_CODE: dict[str, _Meaning] = {
    "service.auth.headers.invalid": _Meaning(
        Refused, "the org's address or id is not what the service expects: check login_url"
    ),
    "service.protection.stream.limit.triggered": _Meaning(TryLater, after_seconds=30.0),
    "service.protection.triggered": _Meaning(TryLater, after_seconds=30.0),
    "service.tenant.license": _Meaning(Refused, "the org has no Pub/Sub API"),
    "concurrent.client.limit.exceeded": _Meaning(TryLater, after_seconds=60.0),
    "topic.not.found": _Meaning(Refused, DEPLOY_ADVICE),
    "topic.validation.empty": _Meaning(Refused, "set the topic's name"),
    "topic.meta.permission": _Meaning(Refused, ACCESS_ADVICE),
    "schema.validation.failed": _Meaning(Refused, "the event's schema is not known to the org"),
    "schema.meta.permission": _Meaning(Refused, ACCESS_ADVICE),
    "subscription.fetch.replayid.corrupted": _Meaning(CursorRefused, "a snapshot closes the hole"),
    "subscription.fetch.replayid.validation.failed": _Meaning(CursorRefused, "a snapshot closes the hole"),
    "subscription.limit.exceeded": _Meaning(TryLater, after_seconds=900.0),
    "subscription.topic.cannot.subscribe": _Meaning(Refused, ACCESS_ADVICE),
}
_BY_STATUS: dict[grpc.StatusCode, _Meaning] = {
    grpc.StatusCode.PERMISSION_DENIED: _Meaning(Refused, ACCESS_ADVICE),
    grpc.StatusCode.NOT_FOUND: _Meaning(Refused, DEPLOY_ADVICE),
    grpc.StatusCode.INVALID_ARGUMENT: _Meaning(Refused, "check the topic's name"),
    grpc.StatusCode.UNIMPLEMENTED: _Meaning(
        Refused, "pubsub_endpoint does not answer as the Pub/Sub API does"
    ),
}


class _WornToken(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class _Masked(TryLater):
    """The stream ended while we wrote: grpc.aio then says that it broke, and not what the org said."""


MASK = "Internal error from Core"
MASKED_TRIES = 5


def failure(error: grpc.aio.AioRpcError, what: str) -> Exception:
    """What a failed call means; `_WornToken` when a new token may heal it."""
    trailers: Any = error.trailing_metadata() or ()  # pairs, whatever the type stubs say
    code = str(dict(trailers).get("error-code", "")).removeprefix(CODE_PREFIX)
    status, details = error.code(), error.details() or ""
    told = f"{what}: {details or status.name}{f' ({code})' if code else ''}"
    if code == "service.auth.error" or (not code and status is grpc.StatusCode.UNAUTHENTICATED):
        return _WornToken(told)
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return Refused(told, advice=TRUST_ADVICE)
    if status is grpc.StatusCode.INTERNAL and MASK in details:
        return _Masked(told)
    meaning = _BY_CODE.get(code) if code else _BY_STATUS.get(status)
    if meaning is None:
        return TryLater(told)
    if issubclass(meaning.kind, Refused):
        return meaning.kind(told, advice=meaning.advice)
    return TryLater(told, after_seconds=meaning.after_seconds)


class PubSub:
    """The Pub/Sub API of one org. Implements `stream.AvroWire`."""

    def __init__(self, config: OrgConfig, tokens: TokenProvider, now: Callable[[], datetime]) -> None:
        self._config = config
        self._tokens = tokens
        self._now = now
        self._channel: grpc.aio.Channel | None = None

    async def subscribe(self, topic: str, cursor: bytes | None) -> AsyncGenerator[RawBatch, None]:
        """The events after `cursor`; from now on when None, all that are kept when `EVERYTHING`."""
        if cursor is not None and cursor.startswith(COMETD_MARK):
            raise CursorRefused(f"the bookmark of {topic} is not of this transport", advice="")
        token = await self._tokens.token()
        thread = Thread(topic, cursor)
        fresh = False  # this very token was just asked for because the last one was refused
        masked = 0
        while True:
            try:
                async with aclosing(self._stream(topic, thread.join(), token)) as batches:
                    async for batch in batches:
                        fresh, masked = False, 0
                        if batch.cursor:  # an empty one would stand for everything
                            yield thread.kept(batch, self._now())
            except _WornToken as error:
                if fresh:
                    raise Refused(error.words, advice=ACCESS_ADVICE) from None
                token, fresh = await self._tokens.renew(token), True
            except _Masked:
                masked += 1
                if masked == MASKED_TRIES:
                    raise
                # A plain call is told the reason where it lies in token, topic or service.
                await self.schema_of(topic)
                token = await self._tokens.token()

    async def _stream(self, topic: str, cursor: bytes | None, token: Token) -> AsyncGenerator[RawBatch, None]:
        what = f"the stream {topic}"
        call = self._stub().Subscribe(None, metadata=_metadata(token))
        try:
            await call.write(_first_request(topic, cursor))
            asked_at, first = asyncio.get_running_loop().time(), True
            while True:
                async with asyncio.timeout(self._config.silence_seconds):
                    response = await call.read()
                if not isinstance(response, pb.FetchResponse):  # grpc.aio.EOF
                    raise await _ended(call, what)
                if response.pending_num_requested < TOP_UP_BELOW:
                    missing = WINDOW - response.pending_num_requested
                    await call.write(pb.FetchRequest(topic_name=topic, num_requested=missing))
                # Nowhere is it promised that a stream looks what is to be sent before it first says nothing.
                # What comes after a silence says that there was nothing to send.
                greets = first and asyncio.get_running_loop().time() - asked_at < GREETING_SECONDS
                yield _batch(response, joined=greets and not response.events)
                first = False
        except TimeoutError:
            raise TryLater(f"{what} is silent: nothing for {self._config.silence_seconds:g} s") from None
        except grpc.aio.AioRpcError as error:
            raise failure(error, what) from None
        except asyncio.InvalidStateError:  # the call ended while we were writing
            raise await _ended(call, what) from None
        finally:
            call.cancel()

    async def schema(self, schema_id: str) -> str:
        """The Avro schema (JSON) that a schema id stands for."""

        async def ask(token: Token) -> str:
            request = pb.SchemaRequest(schema_id=schema_id)
            answer = await self._stub().GetSchema(
                request, metadata=_metadata(token), timeout=self._config.timeout_seconds
            )
            return str(answer.schema_json)

        return await self._unary(ask, f"the schema {schema_id}")

    async def schema_of(self, topic: str) -> str:
        """The id of the topic's present schema, "" without one; refused when we may not subscribe."""

        async def ask(token: Token) -> pb.TopicInfo:
            request = pb.TopicRequest(topic_name=topic)
            return await self._stub().GetTopic(
                request, metadata=_metadata(token), timeout=self._config.timeout_seconds
            )

        info = await self._unary(ask, f"the topic {topic}")
        if not info.can_subscribe:
            raise Refused(f"the topic {topic} may not be subscribed to", advice=ACCESS_ADVICE)
        return info.schema_id

    async def _unary(self, ask: Callable[[Token], Awaitable[Told]], what: str) -> Told:
        token = await self._tokens.token()
        for last in (False, True):
            try:
                return await ask(token)
            except grpc.aio.AioRpcError as error:
                meant = failure(error, what)
                if not isinstance(meant, _WornToken):
                    raise meant from None
                if last:
                    raise Refused(meant.words, advice=ACCESS_ADVICE) from None
            token = await self._tokens.renew(token)
        raise AssertionError("the second try returns or raises")

    def _stub(self) -> PubSubAsyncStub:
        if self._channel is None:
            self._channel = _channel(self._config)
        return PubSubStub(self._channel)

    async def close(self) -> None:
        """Give back the connection; streams still open end."""
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None


def _channel(config: OrgConfig) -> grpc.aio.Channel:
    endpoint = config.pubsub_endpoint
    options = (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0 if is_loopback(endpoint) else 1))
    if not config.pubsub_tls:
        return grpc.aio.insecure_channel(endpoint, options=options)
    roots = Path(config.ca_file).read_bytes() if config.ca_file else None
    return grpc.aio.secure_channel(endpoint, grpc.ssl_channel_credentials(roots), options=options)


def _metadata(token: Token) -> tuple[tuple[str, str], ...]:
    return (("accesstoken", token.access), ("instanceurl", token.instance_url), ("tenantid", token.org_id))


def _first_request(topic: str, cursor: bytes | None) -> pb.FetchRequest:
    if cursor is None:
        return pb.FetchRequest(topic_name=topic, replay_preset=pb.LATEST, num_requested=WINDOW)
    if cursor == EVERYTHING:
        return pb.FetchRequest(topic_name=topic, replay_preset=pb.EARLIEST, num_requested=WINDOW)
    return pb.FetchRequest(topic_name=topic, replay_preset=pb.CUSTOM, replay_id=cursor, num_requested=WINDOW)


def _batch(response: pb.FetchResponse, *, joined: bool) -> RawBatch:
    if not response.events:
        return RawBatch((), response.latest_replay_id, joined)
    events = [RawEvent(each.event.id, each.event.schema_id, each.event.payload) for each in response.events]
    before = response.events[-2].replay_id if len(events) > 1 else b""
    return RawBatch(events, response.events[-1].replay_id, before=before)


async def _ended(call: grpc.aio.StreamStreamCall[pb.FetchRequest, pb.FetchResponse], what: str) -> Exception:
    """Why the stream ended, when reading or writing only told that it did."""
    status = await call.code()
    if status is grpc.StatusCode.OK:
        return TryLater(f"{what} was ended by the org")
    trailers, details = await call.trailing_metadata(), await call.details()
    return failure(grpc.aio.AioRpcError(status, await call.initial_metadata(), trailers, details, None), what)
