"""The Pub/Sub API without sockets: the product's client and the simulator's service, joined by two queues.

Only gRPC itself is left out; what either side says, and how a call ends, is what it would be on the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from contextvars import Context
from datetime import datetime
from random import Random
from typing import Any, NoReturn

import grpc
import grpc.aio
import httpx

from sfsync.ports import TryLater
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.proto import pubsub_api_pb2 as ours
from sfsync.salesforce.pubsub import PubSub
from sfsync.salesforce.stream import RawBatch
from sfsync.simulators.org.proto import pubsub_api_pb2 as theirs
from sfsync.simulators.org.pubsub import PubSubService

from .life import Life, Severed

A_WHILE_SECONDS = 60.0  # longer waits are as much shorter as the day is
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the type stubs do not know it
Metadata = Sequence[tuple[str, str]]


class _Aborted(Exception):
    """The service ended the call; its status is with the call."""


class _Call:
    """One RPC, seen from both ends."""

    def __init__(self, wire: Wire, metadata: Metadata) -> None:
        self._wire, self._metadata = wire, metadata
        self._up: asyncio.Queue[Any] = asyncio.Queue()
        self._down: asyncio.Queue[Any] = asyncio.Queue()
        self._ended: tuple[grpc.StatusCode, str, Metadata] | None = None
        self.task: asyncio.Task[Any] | None = None

    # -- the service's side (grpc.aio.ServicerContext)

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    async def abort(self, status: grpc.StatusCode, details: str, trailers: Metadata = ()) -> NoReturn:
        self._ended = (status, details, trailers)
        raise _Aborted

    async def serve_stream(self, service: PubSubService) -> None:
        side = _ServiceSide(self)
        try:
            await service.subscribe(None, side)  # type: ignore[arg-type]  # the parts of them that it uses
            self._ended = self._ended or (grpc.StatusCode.OK, "", ())
        except _Aborted:
            pass
        finally:
            self._ended = self._ended or (grpc.StatusCode.UNAVAILABLE, "the connection was cut", ())
            self._down.put_nowait(EOF)

    def refuse(self) -> None:
        """There is no way to the service."""
        self._ended = (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", ())
        self._down.put_nowait(EOF)

    # -- the client's side (grpc.aio.StreamStreamCall)

    async def write(self, request: Any) -> None:
        if not self._wire.life.passes("before a stream request"):
            raise Severed
        if self._ended is not None:
            raise asyncio.InvalidStateError("the call has ended")
        self._up.put_nowait(theirs.FetchRequest.FromString(request.SerializeToString()))

    async def read(self) -> Any:
        message = await self._down.get()
        if message is EOF:
            self._down.put_nowait(EOF)
            ended = self._ended
            assert ended is not None
            if ended[0] is grpc.StatusCode.OK:
                return EOF
            raise grpc.aio.AioRpcError(ended[0], (), ended[2], ended[1], None)  # type: ignore[arg-type]  # pairs do
        await self._wire.way()
        if not self._wire.life.passes("after events"):
            raise Severed
        return ours.FetchResponse.FromString(message.SerializeToString())

    def cancel(self) -> bool:
        self._up.put_nowait(EOF)
        if self.task is not None:
            self.task.cancel()
        return True

    async def code(self) -> grpc.StatusCode:
        return self._ended[0] if self._ended else grpc.StatusCode.CANCELLED

    async def initial_metadata(self) -> Metadata:
        return ()

    async def trailing_metadata(self) -> Metadata:
        return self._ended[2] if self._ended else ()

    async def details(self) -> str:
        return self._ended[1] if self._ended else ""


class _ServiceSide:
    """What the service sees of a call: reading and writing are the other way round."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self.invocation_metadata, self.abort = call.invocation_metadata, call.abort

    async def read(self) -> Any:
        return await self._call._up.get()

    async def write(self, response: Any) -> None:
        self._call._down.put_nowait(response)


class _Stub:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def Subscribe(self, _requests: None, *, metadata: Metadata) -> _Call:
        call = _Call(self._wire, metadata)
        if not self._wire.reachable():
            call.refuse()
            return call
        call.task = self._wire.begin(call.serve_stream(self._wire.service))
        self._wire.life.connections.append(call.cancel)
        return call

    async def GetSchema(self, request: Any, *, metadata: Metadata, timeout: float) -> Any:  # noqa: ASYNC109 — as gRPC has it
        return await self._unary(self._wire.service.get_schema, request, metadata, timeout)

    async def GetTopic(self, request: Any, *, metadata: Metadata, timeout: float) -> Any:  # noqa: ASYNC109 — as gRPC has it
        return await self._unary(self._wire.service.get_topic, request, metadata, timeout)

    async def _unary(self, behaviour: Any, request: Any, metadata: Metadata, seconds: float) -> Any:
        if not self._wire.life.passes("before a stream question"):
            raise Severed
        call = _Call(self._wire, metadata)
        try:
            async with asyncio.timeout(seconds):
                await self._wire.way()
                if not self._wire.reachable():
                    call.refuse()
                    raise _Aborted
                asked = getattr(theirs, type(request).__name__).FromString(request.SerializeToString())
                answer = await asyncio.shield(self._wire.begin(behaviour(asked, call)))
        except (_Aborted, TimeoutError):
            code, details, trailers = call._ended or (grpc.StatusCode.DEADLINE_EXCEEDED, "too late", ())
            raise grpc.aio.AioRpcError(code, (), trailers, details, None) from None  # type: ignore[arg-type]  # pairs do
        if not self._wire.life.passes("after a stream question"):
            raise Severed
        return answer


class Wire(PubSub):
    """The product's client, without its channel."""

    def __init__(
        self,
        config: OrgConfig,
        http: httpx.AsyncClient,
        life: Life,
        service: PubSubService,
        outside: Context,
        chance: Random,
        reachable: Callable[[], bool],
        now: Callable[[], datetime],
        haste: float,
    ) -> None:
        super().__init__(config, TokenProvider(config, http), now)
        self.life, self.service, self._haste = life, service, haste
        self._outside, self._chance, self.reachable = outside, chance, reachable

    def _stub(self) -> Any:
        return _Stub(self)

    async def subscribe(self, topic: str, cursor: bytes | None) -> AsyncGenerator[RawBatch, None]:
        """As the product does; but who is to come back in a quarter of an hour is sooner on a hasty day."""
        try:
            async with aclosing(super().subscribe(topic, cursor)) as batches:
                async for batch in batches:
                    yield batch
        except TryLater as error:
            if error.after_seconds is not None and error.after_seconds > A_WHILE_SECONDS:
                error.after_seconds = max(A_WHILE_SECONDS, error.after_seconds * self._haste)
            raise

    def begin(self, work: Any) -> asyncio.Task[Any]:
        """The service's own task."""
        return asyncio.get_running_loop().create_task(work, context=self._outside.copy())

    async def way(self) -> None:
        await asyncio.sleep(self._chance.random() * 0.02)
