"""The exam that every channel's adapter sits: what the flow relies on, whatever the dialect.

An adapter's test class inherits `ChannelExam` and hands it a `Counterpart`: the other party in its own
process over a real socket, with its manners and its moods. What is true is asked of the counterpart's own
books, never of the adapter under examination. Differences are declared by `Ability`, not discovered.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import uuid4

import pytest

from sfsync.domain.orders import OrderSnapshot
from sfsync.ports import Channel, ChannelItem, Delivery, Forged, Refused, Severity, TryLater, Unknown, Write


class Trouble(Enum):
    """What the other party does wrong to the next write, once."""

    TOO_MUCH = "refuses it for now, saying how long to wait"
    DOWN = "says that it is down"
    CUT_BEFORE = "cuts the connection and has done nothing"
    CUT_AFTER = "does it and cuts the connection"
    HALF_ANSWER = "does it and sends half an answer"
    ERROR_AFTER = "does it and answers with an error"
    SILENCE_AFTER = "does it and answers later than anybody waits"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as it arrived; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


class Counterpart(ABC):
    """The other party, and the adapter that speaks to it.

    It sells `plain` (at least six SKUs, each in one place with ten units or more), and one each of
    `duplicate` (carried by two items), `untracked` and `oversold` (sold beyond its stock).
    """

    channel: Channel
    began_at: datetime  # orders changed before that are not this test's
    location: str  # our name for the place where everything stands
    plain: tuple[str, ...]
    odd_names: tuple[str, ...]  # SKUs with blanks, quotes, slashes, and letters of other alphabets
    duplicate: str
    untracked: str
    oversold: str
    secrets: tuple[str, ...]

    @abstractmethod
    def stranger(self) -> Channel:
        """The same channel with a credential that is not accepted."""

    @abstractmethod
    async def shows(self, sku: str) -> int:
        """What the other party itself says it shows."""

    @abstractmethod
    async def trouble(self, trouble: Trouble) -> None:
        """Let the next write meet trouble."""

    @abstractmethod
    async def sell(self, units: Mapping[str, int]) -> str:
        """A shopper buys; returns the order's id."""

    @abstractmethod
    async def cancel(self, order_id: str) -> None:
        """The order is called off and its units put back."""

    @abstractmethod
    async def webhooks(self, count: int) -> list[Webhook]:
        """The first `count` webhooks about this test's orders, once they have arrived."""


async def listed(channel: Channel, skus: Collection[str] | None = None) -> list[ChannelItem]:
    """All pages as one list."""
    return [item async for page in channel.items(skus) for item in page]


async def orders(channel: Channel, at: datetime) -> list[OrderSnapshot]:
    """All pages as one list."""
    return [order async for page in channel.orders_since(at) for order in page]


def new_key() -> str:
    """A key that was never used."""
    return str(uuid4())


async def heard(party: Counterpart, expected: OrderSnapshot) -> bool:
    """True once a webhook has told this; others may come before it."""
    for count in range(1, 100):
        webhook = (await party.webhooks(count))[-1]
        if expected == party.channel.read_order(party.channel.receive(webhook.headers, webhook.body)):
            return True
    return False


class ChannelExam:
    """The questions. A subclass supplies the fixture `party`."""

    async def write(self, party: Counterpart, sku: str, delta: int) -> Write:
        """A row that changes a SKU: relative where the channel can, absolute where it cannot."""
        (item,) = await listed(party.channel, {sku})
        if party.channel.ability.relative:
            return Write(sku, item.location, item.item_id, item.location_id, delta=delta)
        return Write(sku, item.location, item.item_id, item.location_id, quantity=item.shows + delta)

    # -- what it lists

    async def test_it_lists_each_sku_once_with_what_it_shows(self, party: Counterpart) -> None:
        """The baseline is what the other party's own books say."""
        items = await listed(party.channel)
        plain = {item.sku: item for item in items if item.sku in party.plain}
        assert sorted(plain) == sorted(party.plain)
        for sku, item in plain.items():
            assert item.shows == await party.shows(sku)
        assert {item.location for item in items} == {party.location}
        assert not any(item.duplicate or item.oversell_allowed or not item.tracked for item in plain.values())

    async def test_it_lists_only_the_skus_asked_for(self, party: Counterpart) -> None:
        """Also those whose names are hard to ask for; one that it does not have is left out."""
        asked = {party.plain[0], *party.odd_names, "no such thing"}
        found = await listed(party.channel, asked)
        assert sorted(item.sku for item in found) == sorted(asked - {"no such thing"})

    async def test_it_asks_for_nothing_when_asked_for_no_sku(self, party: Counterpart) -> None:
        """No SKU is not every SKU."""
        assert await listed(party.channel, set()) == []

    async def test_it_marks_what_must_not_be_written(self, party: Counterpart) -> None:
        """A SKU on two items, one that nobody counts, and one that is sold beyond its stock."""
        for asked in (None, {party.duplicate, party.untracked, party.oversold}):
            items = await listed(party.channel, asked)
            by_sku = {sku: [item for item in items if item.sku == sku] for sku in (party.duplicate,)}
            assert len(by_sku[party.duplicate]) == 2
            assert all(item.duplicate for item in by_sku[party.duplicate])
            assert [item.sku for item in items if not item.tracked] == [party.untracked]
            assert [item.sku for item in items if item.oversell_allowed] == [party.oversold]

    # -- what it writes

    async def test_a_push_changes_what_it_names_and_nothing_else(self, party: Counterpart) -> None:
        """Several rows in one call."""
        first, second, third = party.plain[:3]
        before = {sku: await party.shows(sku) for sku in party.plain}
        writes = [await self.write(party, first, -2), await self.write(party, second, 3)]
        assert (await party.channel.push(party.channel.encode(new_key(), writes))).applied
        after = {sku: await party.shows(sku) for sku in party.plain}
        assert after == {**before, first: before[first] - 2, second: before[second] + 3}
        assert after[third] == before[third]

    async def test_a_push_sent_twice_has_one_effect(self, party: Counterpart) -> None:
        """The same bytes again are the same push."""
        sku = party.plain[0]
        before = await party.shows(sku)
        body = party.channel.encode(new_key(), [await self.write(party, sku, -1)])
        assert (await party.channel.push(body)).applied
        assert (await party.channel.push(body)).applied
        assert await party.shows(sku) == before - 1

    async def test_a_push_of_what_is_already_shown_is_applied(self, party: Counterpart) -> None:
        """Nothing to change is no failure."""
        sku = party.plain[0]
        before = await party.shows(sku)
        answer = await party.channel.push(party.channel.encode(new_key(), [await self.write(party, sku, 0)]))
        assert answer.applied
        assert await party.shows(sku) == before

    async def test_a_bad_row_is_named_and_the_others_are_sent_without_it(self, party: Counterpart) -> None:
        """All or none: a row to blame has kept the others back, and they go under a new key."""
        first, second = party.plain[:2]
        before = {sku: await party.shows(sku) for sku in (first, second)}
        good = [await self.write(party, first, -1), await self.write(party, second, -1)]
        bad = Write("gone", good[0].location, self.unknown_item(), good[0].location_id, delta=-1)
        if not party.channel.ability.relative:
            bad = Write("gone", good[0].location, self.unknown_item(), good[0].location_id, quantity=1)
        answer = await party.channel.push(party.channel.encode(new_key(), [good[0], bad, good[1]]))
        assert not answer.applied
        assert set(answer.bad_rows) == {1}
        assert answer.bad_rows[1]
        assert {sku: await party.shows(sku) for sku in before} == before
        assert (await party.channel.push(party.channel.encode(new_key(), good))).applied
        assert {sku: await party.shows(sku) for sku in before} == {sku: n - 1 for sku, n in before.items()}

    def unknown_item(self) -> str:
        """The well-formed id of an item that does not exist."""
        return "404404404"

    async def test_a_row_believed_wrongly_is_named_and_nothing_is_overwritten(
        self, party: Counterpart
    ) -> None:
        """An unseen sale survives (promise 11)."""
        if not party.channel.ability.compare_and_set:
            pytest.skip("the channel cannot compare")
        items = {item.sku: item for item in await listed(party.channel, set(party.plain[:2]))}
        first, second = (items[sku] for sku in party.plain[:2])
        await party.sell({first.sku: 1})
        writes = [
            Write(item.sku, item.location, item.item_id, item.location_id, quantity=5, compare=item.shows)
            for item in (second, first)
        ]
        answer = await party.channel.push(party.channel.encode(new_key(), writes))
        assert not answer.applied
        assert answer.stale_rows == {1}
        assert await party.shows(first.sku) == first.shows - 1
        assert await party.shows(second.sku) == second.shows
        assert (await party.channel.push(party.channel.encode(new_key(), writes[:1]))).applied
        assert await party.shows(second.sku) == 5

    async def test_a_relative_push_keeps_an_unseen_sale(self, party: Counterpart) -> None:
        """The change is sent, not the number."""
        if not party.channel.ability.relative:
            pytest.skip("the channel takes numbers only")
        sku = party.plain[0]
        before = await party.shows(sku)
        write = await self.write(party, sku, -2)
        await party.sell({sku: 1})
        assert (await party.channel.push(party.channel.encode(new_key(), [write]))).applied
        assert await party.shows(sku) == before - 3

    async def test_a_key_used_for_something_else_is_spent(self, party: Counterpart) -> None:
        """The push is not applied, and asks for a new key."""
        if not party.channel.ability.key_life_seconds:
            pytest.skip("the channel remembers no keys")
        first, second = party.plain[:2]
        before = await party.shows(second)
        one, other = await self.write(party, first, -1), await self.write(party, second, -1)
        key = new_key()
        assert (await party.channel.push(party.channel.encode(key, [one]))).applied
        answer = await party.channel.push(party.channel.encode(key, [other]))
        assert (answer.applied, answer.key_spent) == (False, True)
        assert await party.shows(second) == before

    # -- when something goes wrong

    @pytest.mark.parametrize("trouble", [Trouble.TOO_MUCH, Trouble.DOWN])
    async def test_a_push_that_was_turned_away_may_be_tried_later(
        self, party: Counterpart, trouble: Trouble
    ) -> None:
        """Nothing has changed; the other party said how long to wait; then it goes through."""
        sku = party.plain[0]
        before = await party.shows(sku)
        body = party.channel.encode(new_key(), [await self.write(party, sku, -1)])
        await party.trouble(trouble)
        with pytest.raises(TryLater) as caught:
            await party.channel.push(body)
        assert caught.value.after_seconds is not None
        assert await party.shows(sku) == before
        assert (await party.channel.push(body)).applied
        assert await party.shows(sku) == before - 1

    @pytest.mark.parametrize(
        "trouble",
        [
            Trouble.CUT_BEFORE,
            Trouble.CUT_AFTER,
            Trouble.HALF_ANSWER,
            Trouble.ERROR_AFTER,
            Trouble.SILENCE_AFTER,
        ],
    )
    async def test_a_push_without_an_answer_is_unknown_until_asked_again(
        self, party: Counterpart, trouble: Trouble
    ) -> None:
        """The same bytes again settle it, with one effect whether or not it had happened."""
        sku = party.plain[0]
        before = await party.shows(sku)
        body = party.channel.encode(new_key(), [await self.write(party, sku, -1)])
        await party.trouble(trouble)
        with pytest.raises(Unknown):
            await party.channel.push(body)
        assert (await party.channel.push(body)).applied
        assert await party.shows(sku) == before - 1

    async def test_a_wrong_credential_is_refused_with_advice(self, party: Counterpart) -> None:
        """Retrying will not heal it; no text tells the credential."""
        sku = party.plain[0]
        before = await party.shows(sku)
        stranger = party.stranger()
        with pytest.raises(Refused) as caught:
            await stranger.push(stranger.encode(new_key(), [await self.write(party, sku, -1)]))
        assert caught.value.advice
        assert not any(secret in f"{caught.value} {caught.value.advice}" for secret in party.secrets)
        findings = await stranger.check()
        assert [finding.severity for finding in findings] == [Severity.FATAL]
        assert findings[0].remedy
        assert await party.shows(sku) == before

    async def test_a_good_channel_checks_out(self, party: Counterpart) -> None:
        """Nothing fatal, and what was looked at is told."""
        findings = await party.channel.check()
        assert findings
        assert [finding.what for finding in findings if finding.severity is not Severity.GOOD] == []

    # -- what it hears

    async def test_an_order_is_the_same_by_webhook_and_by_poll(self, party: Counterpart) -> None:
        """Two sources, one order: in the same words, so that it is settled once."""
        units = {party.plain[0]: 2, party.plain[1]: 1}
        order_id = await party.sell(units)
        (webhook,) = await party.webhooks(1)
        told = party.channel.read_order(party.channel.receive(webhook.headers, webhook.body))
        assert told is not None
        assert told.order_id == order_id
        assert {line.sku: line.open_quantity for line in told.lines} == units
        assert {line.sku: line.taken_quantity for line in told.lines} == units
        assert await orders(party.channel, party.began_at) == [told]

    async def test_a_cancelled_order_has_nothing_open_and_nothing_taken(self, party: Counterpart) -> None:
        """The channel put its units back, and says so in both ways."""
        order_id = await party.sell({party.plain[0]: 2})
        await party.cancel(order_id)
        (found,) = await orders(party.channel, party.began_at)
        assert [(line.open_quantity, line.taken_quantity) for line in found.lines] == [(0, 0)]
        assert await heard(party, found)

    async def test_a_cancellation_is_carried_out_and_puts_nothing_back_on_sale(
        self, party: Counterpart
    ) -> None:
        """Now or a while later; the units stay off the number, for the org has none."""
        if not party.channel.ability.cancels:
            pytest.skip("it takes no cancellations")
        before = await party.shows(party.plain[0])
        number = await party.sell({party.plain[0]: 2})
        await party.channel.cancel_order(number, refund=False, notify=False, note="no stock (Anna Kay)")
        async with asyncio.timeout(30):
            order = await party.channel.order(number)
            while order is None or order.lines[0].open_quantity:
                await asyncio.sleep(0.05)
                order = await party.channel.order(number)
        (line,) = order.lines
        assert line.taken_quantity == 2 or line.taken_in_doubt
        assert await party.shows(party.plain[0]) == before - 2
        with pytest.raises(Refused):
            await party.channel.cancel_order(number, refund=False, notify=False, note="again")

    async def test_orders_that_did_not_change_are_not_told_again(self, party: Counterpart) -> None:
        """A poll asks from a time on."""
        await party.sell({party.plain[0]: 1})
        assert await orders(party.channel, party.began_at + timedelta(days=1)) == []

    async def test_a_webhook_that_comes_again_has_the_same_key(self, party: Counterpart) -> None:
        """And another order's another."""
        await party.sell({party.plain[0]: 1})
        await party.sell({party.plain[0]: 1})
        first, second = await party.webhooks(2)
        keys = [party.channel.receive(each.headers, each.body).dedup_key for each in (first, first, second)]
        assert keys[0] == keys[1] != keys[2]

    async def test_a_webhook_that_was_tampered_with_is_forged(self, party: Counterpart) -> None:
        """Changed, cut, empty, unsigned, or with another's signature."""
        for sku in party.plain[:3]:
            await party.sell({sku: 1})
        webhook, *others = await party.webhooks(3)
        other = next(each for each in others if each.body != webhook.body)
        tampered = [
            Webhook(webhook.headers, webhook.body.replace(b'"quantity":1', b'"quantity":9') + b" "),
            Webhook(webhook.headers, webhook.body[: len(webhook.body) // 2]),
            Webhook(webhook.headers, b""),
            Webhook({}, webhook.body),
            Webhook(other.headers, webhook.body),
        ]
        for forged in tampered:
            with pytest.raises(Forged):
                party.channel.receive(forged.headers, forged.body)

    async def test_a_malformed_order_is_refused_and_names_what_is_wrong(self, party: Counterpart) -> None:
        """A signature says who sent it, not that it makes sense."""
        await party.sell({party.plain[0]: 1})
        (webhook,) = await party.webhooks(1)
        topic = party.channel.receive(webhook.headers, webhook.body).topic
        for body in (b"", b"{}", b"[]", b"\xff", webhook.body[:-20]):
            with pytest.raises(Refused) as caught:
                party.channel.read_order(Delivery(topic, "key", body))
            assert str(caught.value)
