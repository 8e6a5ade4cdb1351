"""A storefront without an API of its own as a channel: it is told its numbers by signed callbacks.

Standard Webhooks 1.0. Nothing is ever asked of it: what it shows is what it was last told, each number with
its sequence number. It tells of no orders either: it asks first, and its confirmed reservations are its
orders.

An answer of 2xx means that every row is applied, or was known to be old. 422 and 413 mean that it cannot use
what is in the message: the rows that it names, or the flow finds them by halving. 410 means that it wants no
more. Whatever else it answers, nothing is lost: the newest numbers are sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from sfsync.channels.guard import Lookup, system_lookup
from sfsync.channels.sender import CallbackConfig, Sender, told_by
from sfsync.domain.orders import OrderSnapshot
from sfsync.domain.values import replace
from sfsync.ports import (
    Ability,
    ChannelItem,
    Clock,
    Delivery,
    Finding,
    Forged,
    PushAnswer,
    Refused,
    Write,
)

ROWS = 100  # of a message: it stays below the 20 kB that the standard advises
TYPE = "stock.changed"


class CallbackChannel:
    """One receiver; see `sfsync.ports.Channel` for what each call promises."""

    def __init__(self, config: CallbackConfig, clock: Clock, *, lookup: Lookup = system_lookup) -> None:
        self._clock, self._lookup = clock, lookup
        self._sender = Sender(config, clock, lookup=lookup)
        self._retiring: set[asyncio.Task[None]] = set()
        self.name = config.name
        self.ability = Ability(
            batch_rows=ROWS,
            relative=False,
            compare_and_set=False,
            key_life_seconds=0.0,  # it knows messages by their sequence numbers, not by keys
            tells_orders=False,
            webhooks=False,
            callbacks=config.patience,
        )

    def sender(self, config: CallbackConfig) -> Sender:
        """What would tell it by other settings. Raises `BadConfigError`."""
        return Sender(config, self._clock, lookup=self._lookup)

    def adopt(self, sender: Sender, config: CallbackConfig) -> None:
        """Tell it so from the next message on; one that is under way is finished as it was begun."""
        old, self._sender = self._sender, sender
        self.ability = replace(self.ability, callbacks=config.patience)
        task = asyncio.create_task(old.retire(), name=f"{self.name}'s former receiver")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    # -- what it is told

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The message; the same rows give the same bytes."""
        newest = max(write.sequence for write in writes)
        return orjson.dumps(
            {
                "id": key,
                "type": TYPE,
                "timestamp": _moment(newest),
                "data": {
                    "channel": self.name,
                    "levels": [
                        {
                            "sku": write.sku,
                            "location": write.location,
                            "quantity": write.quantity,
                            "sequence": write.sequence,
                        }
                        for write in writes
                    ],
                },
            }
        )

    async def push(self, body: bytes) -> PushAnswer:
        """Send a message once."""
        message = orjson.loads(body)
        answer = await self._sender.send(str(message["id"]), body)
        if answer.is_success:
            return PushAnswer(applied=True)
        bad = _bad_rows(answer.content, message["data"]["levels"])
        return PushAnswer(applied=False, bad_rows=bad, reason=told_by(answer))

    async def check(self) -> Sequence[Finding]:
        """Whether its name leads to where a callback may go, and how messages are signed."""
        return await self._sender.check("it goes on with the numbers that it was told last")

    async def close(self) -> None:
        """Give back connections."""
        await self._sender.close()
        for task in tuple(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    # -- what it never tells

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """Nothing: it cannot be asked (`Ability.callbacks`)."""
        return
        yield ()

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """It sends no webhooks; whatever comes in its name is another's."""
        raise Forged(f"{self.name} is told by callbacks, and sends no webhooks")

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """None: there is none."""
        return None

    def order_called(self, delivery: Delivery) -> str | None:
        """None: there is none."""
        return None

    async def order(self, reference: str) -> OrderSnapshot | None:
        """None: it cannot be asked."""
        return None

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """None: it cannot be asked."""
        return
        yield ()

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """It takes none."""
        raise Refused(
            f"{self.name} takes no cancellations", advice="release the reservation, and tell its people"
        )


def _bad_rows(body: bytes, levels: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
    """The rows that an answer blames, by their index; none when it does not say so as agreed."""
    try:
        errors = orjson.loads(body)["errors"]
        blamed = {(each["sku"], each["location"]): str(each.get("detail") or "") for each in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}
    places = {(level["sku"], level["location"]): index for index, level in enumerate(levels)}
    return {
        places[place]: detail[:500] or "the receiver cannot use it"
        for place, detail in blamed.items()
        if place in places
    }


def _moment(sequence: int) -> str:
    """When the newest change of a message was: sequence numbers are milliseconds, or little more."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=sequence)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
