"""The other party of the exam: what an adapter's author supplies, and what the questions are asked of."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import uuid4

from sfsync.domain.orders import OrderSnapshot
from sfsync.ports import Channel, ChannelItem, LaterOutcome, PushAnswer

PATIENCE_SECONDS = 60.0


class Trouble(Enum):
    """What the other party does wrong to the next write, once."""

    TOO_MUCH = "refuses it for now, saying how long to wait"
    DOWN = "says that it is down"
    CUT_BEFORE = "cuts the connection and has done nothing"
    CUT_AFTER = "does it and cuts the connection"
    HALF_ANSWER = "does it and sends half an answer"
    ERROR_AFTER = "does it and answers with an error"
    SILENCE_AFTER = "does it and answers later than anybody waits"
    NOT_APPLIED = "answers as if done and has done nothing"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as it arrived; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


class Counterpart(ABC):
    """The other party, and the adapter that speaks to it.

    It sells `plain` (at least six SKUs) and `odd_names`, each in one place with ten units or more. Where the
    like can be at such a channel it sells one each of `duplicate` (carried by two items), `untracked`,
    `bundle` (its number follows from its parts) and `oversold` (sold beyond its stock); "" where it cannot.
    """

    channel: Channel
    began_at: datetime  # orders changed before that are not this test's
    location: str  # our name for the place where everything stands
    plain: tuple[str, ...]
    odd_names: tuple[str, ...]  # SKUs with blanks, quotes, slashes, and letters of other alphabets
    duplicate: str = ""
    untracked: str = ""
    bundle: str = ""
    oversold: str = ""
    secrets: tuple[str, ...]
    troubles: frozenset[Trouble] = frozenset(Trouble)  # those that can befall a call to it

    @abstractmethod
    def stranger(self) -> Channel:
        """The same channel with a credential that is not accepted."""

    def reader(self) -> Channel | None:
        """The same channel, opened so that nothing that writes can leave; None where it has no such lock."""
        return None

    @abstractmethod
    async def shows(self, sku: str) -> int:
        """What the other party itself says it shows."""

    @abstractmethod
    async def trouble(self, trouble: Trouble) -> None:
        """Let the next write meet trouble."""

    async def sell(self, units: Mapping[str, int]) -> str:
        """A shopper buys; returns the order's id. Needed where it tells orders."""
        raise NotImplementedError("it tells no orders")

    async def cancel(self, order_id: str) -> None:
        """The order is called off and its units put back. Needed where it tells orders."""
        raise NotImplementedError("it tells no orders")

    async def later(self, seconds: float = 2.0) -> None:
        """Time passes for the other party: what comes next is newer. Move its clock where you can."""
        await asyncio.sleep(seconds)

    async def webhooks(self, count: int) -> list[Webhook]:
        """The first `count` webhooks about this test's orders, once they have arrived.

        Needed where it sends webhooks.
        """
        raise NotImplementedError("it sends no webhooks")

    async def echo(self) -> Webhook | None:
        """The webhook about the number that our last push has changed, once it has arrived.

        None where it sends none.
        """
        return None


async def listed(channel: Channel, skus: Collection[str] | None = None) -> list[ChannelItem]:
    """All pages as one list."""
    return [item async for page in channel.items(skus) for item in page]


async def orders(channel: Channel, at: datetime) -> list[OrderSnapshot]:
    """All pages as one list."""
    return [order async for page in channel.orders_since(at) for order in page]


async def pushed(channel: Channel, body: bytes) -> PushAnswer:
    """What became of a push in the end: where it is carried out later, once it is."""
    answer = await channel.push(body)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while answer.ticket:
            assert channel.ability.asynchronous, "a ticket is for channels that carry out pushes later"
            assert isinstance(channel, LaterOutcome)
            told = await channel.outcome(answer.ticket, body)
            if told is not None:
                return told
            await asyncio.sleep(0.02)
    return answer


def new_key() -> str:
    """A key that was never used."""
    return str(uuid4())


async def heard_of(channel: Channel, webhook: Webhook) -> OrderSnapshot | None:
    """The order that a webhook tells of: the one in it, or the one that it has us ask for."""
    delivery = channel.receive(webhook.headers, webhook.body)
    told = channel.read_order(delivery)
    called = channel.order_called(delivery) if told is None else None
    return told if called is None else await channel.order(called)


async def heard(party: Counterpart, expected: OrderSnapshot) -> bool:
    """True once a webhook has told this; others may come before it."""
    for count in range(1, 100):
        webhook = (await party.webhooks(count))[-1]
        if expected == await heard_of(party.channel, webhook):
            return True
    return False
