"""The exam that every channel's adapter sits: what the flow relies on, whatever the dialect.

An adapter's test class inherits `ChannelExam` and hands it a `Counterpart`: the other party in its own
process over a real socket, with its manners and its moods. What is true is asked of the counterpart's own
books, never of the adapter under examination. Differences are declared by `Ability`, not discovered: what a
channel says it cannot do is skipped with that reason, and what it says it can do is asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sfsync.ports import (
    Delivery,
    Forged,
    Hinting,
    LaterOutcome,
    Refused,
    Severity,
    TryLater,
    Unknown,
    Write,
)
from sfsync.testing.party import (
    Counterpart,
    Trouble,
    Webhook,
    heard,
    heard_of,
    listed,
    new_key,
    orders,
    pushed,
)

SALES_DURING_PUSHES = 5


def _needs(able: bool, reason: str) -> None:
    """What a channel says it cannot do is not asked of it."""
    if not able:
        pytest.skip(reason)


async def _meet(party: Counterpart, trouble: Trouble) -> None:
    """Let the next write meet trouble, where it can."""
    _needs(trouble in party.troubles, f"it cannot be one that {trouble.value}")
    await party.trouble(trouble)


class ChannelExam:
    """The questions. A subclass supplies the fixture `party`."""

    async def test_its_declaration_can_be_kept(self, party: Counterpart) -> None:
        """A change without a key that the channel remembers could never be asked about again."""
        ability = party.channel.ability
        assert ability.batch_rows >= 1
        assert ability.key_life_seconds > 0 or not ability.relative
        assert isinstance(party.channel, LaterOutcome) or not ability.asynchronous

    async def write(self, party: Counterpart, sku: str, delta: int) -> Write:
        """A row as the relay sends it: a change, or where it cannot a number, on condition where it can."""
        (item,) = await listed(party.channel, {sku})
        ability, place = party.channel.ability, (sku, item.location, item.item_id, item.location_id)
        if ability.relative:
            return Write(*place, delta=delta)
        compare = item.shows if ability.compare_and_set else None
        return Write(*place, quantity=item.shows + delta, compare=compare)

    # -- what it lists

    async def test_it_lists_each_sku_once_with_what_it_shows(self, party: Counterpart) -> None:
        """The baseline is what the other party's own books say."""
        _needs(party.channel.ability.callbacks is None, "it cannot be asked")
        items = await listed(party.channel)
        plain = {item.sku: item for item in items if item.sku in party.plain}
        assert sorted(plain) == sorted(party.plain)
        for sku, item in plain.items():
            assert item.shows == await party.shows(sku)
        assert {item.location for item in items} == {party.location}
        assert not any(item.duplicate or item.oversell_allowed or not item.tracked for item in plain.values())

    async def test_it_lists_only_the_skus_asked_for(self, party: Counterpart) -> None:
        """Also those whose names are hard to ask for; one that it does not have is left out."""
        _needs(party.channel.ability.callbacks is None, "it cannot be asked")
        asked = {party.plain[0], *party.odd_names, "no such thing"}
        found = await listed(party.channel, asked)
        assert sorted(item.sku for item in found) == sorted(asked - {"no such thing"})

    async def test_it_asks_for_nothing_when_asked_for_no_sku(self, party: Counterpart) -> None:
        """No SKU is not every SKU."""
        _needs(party.channel.ability.callbacks is None, "it cannot be asked")
        assert await listed(party.channel, set()) == []

    async def test_it_marks_what_must_not_be_written(self, party: Counterpart) -> None:
        """A SKU on two items, one that nobody counts, one made of others, one sold beyond its stock."""
        _needs(party.channel.ability.callbacks is None, "it cannot be asked")
        odd = {sku for sku in (party.duplicate, party.untracked, party.bundle, party.oversold) if sku}
        for asked in (None, odd):
            items = await listed(party.channel, asked)
            twice = [item for item in items if party.duplicate and item.sku == party.duplicate]
            assert len(twice) == (2 if party.duplicate else 0)
            assert all(item.duplicate for item in twice)
            unwritable = sorted(item.sku for item in items if not item.tracked)
            assert unwritable == sorted(filter(None, [party.untracked, party.bundle]))
            assert [item.sku for item in items if item.oversell_allowed] == [*filter(None, [party.oversold])]

    # -- what it writes

    async def test_a_push_changes_what_it_names_and_nothing_else(self, party: Counterpart) -> None:
        """Several rows in one call."""
        first, second, third = party.plain[:3]
        before = {sku: await party.shows(sku) for sku in party.plain}
        writes = [await self.write(party, first, -2), await self.write(party, second, 3)]
        assert (await pushed(party.channel, party.channel.encode(new_key(), writes))).applied
        after = {sku: await party.shows(sku) for sku in party.plain}
        assert after == {**before, first: before[first] - 2, second: before[second] + 3}
        assert after[third] == before[third]

    async def test_a_push_sent_twice_has_one_effect(self, party: Counterpart) -> None:
        """The same bytes again are the same push."""
        sku = party.plain[0]
        before = await party.shows(sku)
        body = party.channel.encode(new_key(), [await self.write(party, sku, -1)])
        assert (await pushed(party.channel, body)).applied
        assert (await pushed(party.channel, body)).applied
        assert await party.shows(sku) == before - 1

    async def test_a_push_of_what_is_already_shown_is_applied(self, party: Counterpart) -> None:
        """Nothing to change is no failure."""
        sku = party.plain[0]
        before = await party.shows(sku)
        answer = await pushed(
            party.channel, party.channel.encode(new_key(), [await self.write(party, sku, 0)])
        )
        assert answer.applied
        assert await party.shows(sku) == before

    async def test_a_push_can_take_an_item_to_zero_and_back(self, party: Counterpart) -> None:
        """Sold out is a number like any other, and the one that must never be lost."""
        sku = party.plain[0]
        before = await party.shows(sku)
        for delta, shown in ((-before, 0), (before, before)):
            body = party.channel.encode(new_key(), [await self.write(party, sku, delta)])
            assert (await pushed(party.channel, body)).applied
            assert await party.shows(sku) == shown

    async def test_items_with_odd_names_are_written_like_others(self, party: Counterpart) -> None:
        """A slash, a blank or another alphabet is part of a name, not of the wire."""
        before = {sku: await party.shows(sku) for sku in party.odd_names}
        writes = [await self.write(party, sku, -1) for sku in party.odd_names]
        for start in range(0, len(writes), party.channel.ability.batch_rows):
            rows = writes[start : start + party.channel.ability.batch_rows]
            assert (await pushed(party.channel, party.channel.encode(new_key(), rows))).applied
        assert {sku: await party.shows(sku) for sku in before} == {sku: n - 1 for sku, n in before.items()}

    async def test_an_item_that_does_not_exist_is_not_made_by_writing_to_it(self, party: Counterpart) -> None:
        """A SKU misspelt at one side must not become an item that somebody can buy."""
        _needs(party.channel.ability.callbacks is None, "it cannot be asked")
        before = sorted(item.sku for item in await listed(party.channel))
        (known,) = await listed(party.channel, {party.plain[0]})
        relative = party.channel.ability.relative
        numbers = {"delta": 3} if relative else {"quantity": 3}
        bad = Write("gone", known.location, self.unknown_item(), known.location_id, **numbers)
        answer = await pushed(party.channel, party.channel.encode(new_key(), [bad]))
        assert answer.bad_rows or (answer.reason and not answer.applied)
        assert sorted(item.sku for item in await listed(party.channel)) == before

    async def test_a_bad_row_is_named_and_the_others_are_sent_without_it(self, party: Counterpart) -> None:
        """A row to blame has kept the others back, and they go under a new key.

        Where plain numbers are taken, which have the same effect twice, they may have gone through beside it:
        then the push was applied.
        """
        first, second = party.plain[:2]
        before = {sku: await party.shows(sku) for sku in (first, second)}
        good = [await self.write(party, first, -1), await self.write(party, second, -1)]
        bad = Write("gone", good[0].location, self.unknown_item(), good[0].location_id, delta=-1)
        if not party.channel.ability.relative:
            bad = Write("gone", good[0].location, self.unknown_item(), good[0].location_id, quantity=1)
        answer = await pushed(party.channel, party.channel.encode(new_key(), [good[0], bad, good[1]]))
        assert not (answer.applied and party.channel.ability.relative)
        assert set(answer.bad_rows) == {1}
        assert answer.bad_rows[1]
        kept = {sku: await party.shows(sku) for sku in before}
        assert kept == ({sku: n - 1 for sku, n in before.items()} if answer.applied else before)
        if answer.applied and party.channel.ability.compare_and_set:  # then that is what they show by now
            good = [replace(row, compare=row.quantity) for row in good]
        assert (await pushed(party.channel, party.channel.encode(new_key(), good))).applied
        assert {sku: await party.shows(sku) for sku in before} == {sku: n - 1 for sku, n in before.items()}

    def unknown_item(self) -> str:
        """The well-formed id of an item that does not exist."""
        return "404404404"

    async def test_a_row_believed_wrongly_is_named_and_nothing_is_overwritten(
        self, party: Counterpart
    ) -> None:
        """An unseen sale survives (promise 11)."""
        _needs(party.channel.ability.compare_and_set, "the channel cannot compare")
        items = {item.sku: item for item in await listed(party.channel, set(party.plain[:2]))}
        first, second = (items[sku] for sku in party.plain[:2])
        await party.sell({first.sku: 1})
        relative = party.channel.ability.relative
        writes = [
            Write(
                item.sku,
                item.location,
                item.item_id,
                item.location_id,
                **({"delta": 5 - item.shows} if relative else {"quantity": 5}),
                compare=item.shows,
            )
            for item in (second, first)
        ]
        answer = await pushed(party.channel, party.channel.encode(new_key(), writes))
        assert not answer.applied
        assert answer.stale_rows == {1}
        assert await party.shows(first.sku) == first.shows - 1
        assert await party.shows(second.sku) == second.shows
        assert (await pushed(party.channel, party.channel.encode(new_key(), writes[:1]))).applied
        assert await party.shows(second.sku) == 5

    async def test_a_relative_push_keeps_an_unseen_sale(self, party: Counterpart) -> None:
        """The change is sent, not the number."""
        _needs(party.channel.ability.relative, "the channel takes numbers only")
        sku = party.plain[0]
        before = await party.shows(sku)
        write = await self.write(party, sku, -2)
        await party.sell({sku: 1})
        assert (await pushed(party.channel, party.channel.encode(new_key(), [write]))).applied
        assert await party.shows(sku) == before - 3

    async def test_sales_during_pushes_are_lost_to_neither(self, party: Counterpart) -> None:
        """Each unit sold and each unit written off counts once, however they meet."""
        _needs(party.channel.ability.tells_orders, "it tells no orders")
        _needs(party.channel.ability.relative, "the channel takes numbers only")
        sku = party.plain[0]
        before = await party.shows(sku)
        row = await self.write(party, sku, -1)
        for _ in range(SALES_DURING_PUSHES):
            push = pushed(party.channel, party.channel.encode(new_key(), [row]))
            answer, _ = await asyncio.gather(push, party.sell({sku: 1}))
            assert answer.applied
        assert await party.shows(sku) == before - 2 * SALES_DURING_PUSHES

    async def test_a_key_used_for_something_else_is_spent(self, party: Counterpart) -> None:
        """The push is not applied, and asks for a new key."""
        _needs(party.channel.ability.key_life_seconds > 0, "the channel remembers no keys")
        first, second = party.plain[:2]
        before = await party.shows(second)
        one, other = await self.write(party, first, -1), await self.write(party, second, -1)
        key = new_key()
        assert (await pushed(party.channel, party.channel.encode(key, [one]))).applied
        answer = await pushed(party.channel, party.channel.encode(key, [other]))
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
        await _meet(party, trouble)
        with pytest.raises(TryLater) as caught:
            await party.channel.push(body)
        assert caught.value.after_seconds is not None
        assert await party.shows(sku) == before
        assert (await pushed(party.channel, body)).applied
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
        await _meet(party, trouble)
        with pytest.raises(Unknown):
            await party.channel.push(body)
        assert (await pushed(party.channel, body)).applied
        assert await party.shows(sku) == before - 1

    async def test_a_push_that_was_only_said_to_be_applied_shows_in_the_next_reading(
        self, party: Counterpart
    ) -> None:
        """An answer is believed, and what is listed is read from the shelf, never from what was written."""
        sku = party.plain[0]
        before = await party.shows(sku)
        body = party.channel.encode(new_key(), [await self.write(party, sku, -1)])
        await _meet(party, Trouble.NOT_APPLIED)
        await pushed(party.channel, body)
        assert await party.shows(sku) == before
        assert [item.shows for item in await listed(party.channel, {sku})] == [before]
        again = party.channel.encode(new_key(), [await self.write(party, sku, -1)])
        assert (await pushed(party.channel, again)).applied
        assert [item.shows for item in await listed(party.channel, {sku})] == [before - 1]

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

    async def test_one_that_only_reads_tells_all_and_writes_nothing(self, party: Counterpart) -> None:
        """As in shadow, should a push ever get so far; nothing left, so nothing is unknown."""
        reader, sku = party.reader(), party.plain[0]
        _needs(reader is not None, "it opens no reader that cannot write")
        assert reader is not None
        before = await party.shows(sku)
        assert [item.shows for item in await listed(reader, {sku})] == [before]
        assert [each for each in await reader.check() if each.severity is Severity.FATAL] == []
        if reader.ability.tells_orders:
            await orders(reader, party.began_at)
        with pytest.raises(Refused, match="in shadow"):
            await reader.push(reader.encode(new_key(), [await self.write(party, sku, -1)]))
        assert await party.shows(sku) == before

    async def test_a_good_channel_checks_out(self, party: Counterpart) -> None:
        """Nothing fatal, and what was looked at is told."""
        findings = await party.channel.check()
        assert findings
        assert [finding.what for finding in findings if finding.severity is not Severity.GOOD] == []

    # -- what it hears

    async def test_an_order_is_told_with_what_it_sold(self, party: Counterpart) -> None:
        """Asked for from a time on, and by its id."""
        _needs(party.channel.ability.tells_orders, "it tells no orders")
        units = {party.plain[0]: 2, party.plain[1]: 1}
        order_id = await party.sell(units)
        (told,) = await orders(party.channel, party.began_at)
        assert told.order_id == order_id
        assert {line.sku: line.open_quantity for line in told.lines} == units
        assert {line.sku: line.taken_quantity for line in told.lines} == units
        one = await party.channel.order(order_id)
        assert one is not None
        assert (one.order_id, one.lines) == (order_id, told.lines)

    async def test_an_order_is_the_same_by_webhook_and_by_poll(self, party: Counterpart) -> None:
        """Two sources, one order: in the same words, so that it is settled once."""
        _needs(party.channel.ability.webhooks, "it sends no webhooks")
        await party.sell({party.plain[0]: 2, party.plain[1]: 1})
        (webhook,) = await party.webhooks(1)
        told = await heard_of(party.channel, webhook)
        assert told is not None
        assert await orders(party.channel, party.began_at) == [told]

    async def test_a_cancelled_order_has_nothing_open_and_nothing_taken(self, party: Counterpart) -> None:
        """The channel put its units back, and says so in every way it has."""
        _needs(party.channel.ability.tells_orders, "it tells no orders")
        order_id = await party.sell({party.plain[0]: 2})
        await party.cancel(order_id)
        (found,) = await orders(party.channel, party.began_at)
        assert [(line.open_quantity, line.taken_quantity) for line in found.lines] == [(0, 0)]
        assert not party.channel.ability.webhooks or await heard(party, found)

    async def test_what_an_order_was_is_older_than_what_it_became(self, party: Counterpart) -> None:
        """So a webhook that comes late, or after a newer one, changes nothing: the newest version counts.

        One that has us ask for the order brings the newest by itself.
        """
        _needs(party.channel.ability.tells_orders, "it tells no orders")
        order_id = await party.sell({party.plain[0]: 2})
        (sold,) = await orders(party.channel, party.began_at)
        if party.channel.ability.webhooks:
            assert await heard(party, sold)
        await party.later()
        await party.cancel(order_id)
        (cancelled,) = await orders(party.channel, party.began_at)
        assert sold.version < cancelled.version
        if party.channel.ability.webhooks:
            assert await heard(party, cancelled)
            (late,) = await party.webhooks(1)
            assert await heard_of(party.channel, late) in (sold, cancelled)

    async def test_a_cancellation_is_carried_out_and_puts_nothing_back_on_sale(
        self, party: Counterpart
    ) -> None:
        """Now or a while later; the units stay off the number, for the org has none."""
        _needs(party.channel.ability.tells_orders, "it tells no orders")
        _needs(party.channel.ability.cancels, "it takes no cancellations")
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
        _needs(party.channel.ability.tells_orders, "it tells no orders")
        await party.sell({party.plain[0]: 1})
        assert await orders(party.channel, party.began_at + timedelta(days=1)) == []

    async def test_a_webhook_that_comes_again_has_the_same_key(self, party: Counterpart) -> None:
        """And another order's another, and so has what else becomes of the order: it would not be heard."""
        _needs(party.channel.ability.webhooks, "it sends no webhooks")
        order_id = await party.sell({party.plain[0]: 1})
        await party.sell({party.plain[0]: 1})
        await party.later()
        await party.cancel(order_id)
        first, *others = await party.webhooks(3)
        keys = [party.channel.receive(each.headers, each.body).dedup_key for each in (first, first, *others)]
        assert keys[0] == keys[1]
        assert len(set(keys)) == 3

    async def test_a_webhook_that_was_tampered_with_is_forged(self, party: Counterpart) -> None:
        """Changed, cut, empty, unsigned, or with another's signature."""
        _needs(party.channel.ability.webhooks, "it sends no webhooks")
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
        _needs(party.channel.ability.webhooks, "it sends no webhooks")
        await party.sell({party.plain[0]: 1})
        (webhook,) = await party.webhooks(1)
        topic = party.channel.receive(webhook.headers, webhook.body).topic
        for body in (b"", b"{}", b"[]", b"\xff", webhook.body[:-20]):
            delivery = Delivery(topic, "key", body)
            with pytest.raises(Refused) as caught:
                _ = party.channel.read_order(delivery) or party.channel.order_called(delivery)
            assert str(caught.value)

    async def test_the_echo_of_our_own_push_is_no_sale(self, party: Counterpart) -> None:
        """What the channel tells of a number that we changed ourselves is neither an order nor about one.

        Where it is read at all, it names the item and the location as pushes do.
        """
        _needs(party.channel.ability.webhooks, "it sends no webhooks")
        write = await self.write(party, party.plain[0], -1)
        body = party.channel.encode(new_key(), [write])
        assert (await pushed(party.channel, body)).applied
        echo = await party.echo()
        _needs(echo is not None, "it tells nothing of numbers")
        assert echo is not None
        delivery = party.channel.receive(echo.headers, echo.body)
        assert party.channel.read_order(delivery) is None
        assert party.channel.order_called(delivery) is None
        assert await orders(party.channel, party.began_at) == []
        if isinstance(party.channel, Hinting):
            hint = party.channel.level_hint(delivery)
            assert hint is not None
            items = [(each.item_id, each.location_id) for each in await listed(party.channel)]
            assert (hint.item_id, hint.location_id) in items

    async def test_a_delivery_of_a_topic_that_nobody_asked_for_is_no_order(self, party: Counterpart) -> None:
        """It is taken in, and means nothing."""
        for topic in ("", "no/such-topic", "x" * 1000):
            delivery = Delivery(topic, "key", b'{"id": 1}')
            assert party.channel.read_order(delivery) is None
            assert party.channel.order_called(delivery) is None

    async def test_a_channel_without_webhooks_believes_none(self, party: Counterpart) -> None:
        """Whoever sends one is not it."""
        _needs(not party.channel.ability.webhooks, "it sends webhooks")
        for headers in ({}, {"content-type": "application/json"}):
            with pytest.raises(Forged):
                party.channel.receive(headers, b'{"id": 1}')
