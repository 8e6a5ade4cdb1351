"""One Subscribe call of the Pub/Sub API: flow control, batches, keep-alives, and how it ends.

At most 100 requested events are owed at any time and requests add up. Batches hold what is there, up to
the batch size. With something owed and nothing to send, an empty batch goes out each keep-alive time;
with nothing owed, the stream closes after its own time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sfsync.simulators.org.bus import EARLIEST, LATEST, EventBus
from sfsync.simulators.org.proto import pubsub_api_pb2 as pb
from sfsync.simulators.org.pubsub_calls import (
    REPLAY_MISSING,
    REQUESTED_INVALID,
    TOPIC_EMPTY,
    TOPIC_MISMATCH,
    TOPIC_NOT_FOUND,
    Call,
    Gate,
)
from sfsync.simulators.org.stream import Entry, StreamEnded, Subscription

MOST_REQUESTED = 100
_NOWHERE = -3  # what a replay id that has not our form is read as; no subscription can start there


@dataclass
class PubSubKnobs:
    """Times and habits of the service; read at each use, so the control port may change them."""

    keepalive_seconds: float = 60.0
    unrequested_close_seconds: float = 70.0  # how long a stream may stand without anything requested
    first_answer_is_keepalive: bool = False
    batch_size: int = 100
    replay_id_bytes: int = 8  # 10 appends two zero bytes, as one log of a live org showed
    recheck_token: bool = True  # with each request and keep-alive, not at the start alone


class SubscribeCall:
    """A Subscribe RPC from its first request to its end."""

    def __init__(self, call: Call, subscription: Subscription, gate: Gate, knobs: PubSubKnobs) -> None:
        self.speaking = asyncio.Event()
        self.speaking.set()
        self._call = call
        self._subscription = subscription
        self._gate = gate
        self._knobs = knobs
        self._owed = 0
        self._hung_up = False

    async def run(self, first: pb.FetchRequest) -> None:
        """Serves the call until the client has hung up and got all it asked for; raises StreamEnded."""
        reader = asyncio.create_task(self._read(first))
        try:
            await self._write()
        finally:
            reader.cancel()
            self._subscription.close()

    async def _read(self, first: pb.FetchRequest) -> None:
        """Adds up what the client asks for, until it stops asking."""
        request: object = first
        while isinstance(request, pb.FetchRequest):
            try:
                self._ask(request)
            except StreamEnded as ended:
                self._subscription.end(ended)
                return
            self._subscription.wake()
            request = await self._call.context.read()
        self._hung_up = True
        self._subscription.wake()

    def _ask(self, request: pb.FetchRequest) -> None:
        if self._knobs.recheck_token:
            self._gate.check_again(self._call)
        if request.topic_name and request.topic_name != self._subscription.topic.name:
            raise StreamEnded(TOPIC_MISMATCH, "The topic differs from the topic of the stream.")
        if request.num_requested <= 0:
            raise StreamEnded(REQUESTED_INVALID, "The number of requested events must be above zero.")
        self._owed = min(MOST_REQUESTED, self._owed + request.num_requested)

    async def _write(self) -> None:
        if self._knobs.first_answer_is_keepalive:
            await self._send([])
        while self._owed or not self._hung_up:
            await self.speaking.wait()
            entries = self._subscription.take(min(self._owed, max(1, self._knobs.batch_size)))
            if entries:
                self._owed -= len(entries)
                await self._send(entries)
            elif not await self._news():
                if not self._owed:
                    return
                await self._keep_alive()

    async def _news(self) -> bool:
        """Waits for something to do; False when it was silent for too long."""
        knobs = self._knobs
        patience = knobs.keepalive_seconds if self._owed else knobs.unrequested_close_seconds
        try:
            async with asyncio.timeout(patience):
                await self._subscription.wait()
        except TimeoutError:
            return False
        return True

    async def _keep_alive(self) -> None:
        if self._knobs.recheck_token:
            self._gate.check_again(self._call)
        await self.speaking.wait()
        await self._send([])

    async def _send(self, entries: list[Entry]) -> None:
        position = entries[-1].replay if entries else self._subscription.position()
        width = self._knobs.replay_id_bytes
        await self._call.context.write(
            pb.FetchResponse(
                events=[_consumer_event(entry, width) for entry in entries],
                latest_replay_id=write_replay_id(position, width),
                rpc_id=self._call.rpc_id,
                pending_num_requested=self._owed,
            )
        )


async def open_subscription(bus: EventBus, first: pb.FetchRequest, call: Call) -> Subscription:
    """Returns the cursor that a first request asks for; otherwise ends the RPC."""
    if not first.topic_name:
        await call.fail(TOPIC_EMPTY, "The topic name is empty.")
    if bus.topic(first.topic_name) is None:
        await call.fail(TOPIC_NOT_FOUND, f"The topic {first.topic_name} does not exist.")
    start = LATEST
    if first.replay_preset == pb.ReplayPreset.EARLIEST:
        start = EARLIEST
    elif first.replay_preset == pb.ReplayPreset.CUSTOM:
        if not first.replay_id:
            await call.fail(REPLAY_MISSING, "A custom start needs a replay ID.")
        start = read_replay_id(first.replay_id)
    try:
        return bus.subscribe(first.topic_name, start, subscriber=call.user_id)
    except StreamEnded as refused:
        await call.fail(refused.code, refused.message)


def write_replay_id(replay: int, width: int = 8) -> bytes:
    """Returns a replay id as the wire has it: eight bytes big-endian, zero bytes after them if wider."""
    return replay.to_bytes(8, "big").ljust(width, b"\0")


def read_replay_id(replay_id: bytes) -> int:
    """Returns the number of a replay id; one that has not our form becomes a number that stands nowhere."""
    if len(replay_id) not in (8, 10) or any(replay_id[8:]):
        return _NOWHERE
    return int.from_bytes(replay_id[:8], "big")


def _consumer_event(entry: Entry, width: int) -> pb.ConsumerEvent:
    event = entry.event
    return pb.ConsumerEvent(
        event=pb.ProducerEvent(id=event.uuid, schema_id=event.codec.schema_id, payload=event.payload),
        replay_id=write_replay_id(entry.replay, width),
    )
