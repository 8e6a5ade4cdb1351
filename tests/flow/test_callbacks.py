"""Storefronts that are only told: every number with its sequence number, the newest only, never a backlog."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.flow.callback_kit import LittleReceiver, Probed, messages
from tests.flow.kit import House, house

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.callbacks import NumberPlace, Patience
from sfsync.domain.incidents import SET_ASIDE
from sfsync.domain.reservations import ReservationState
from sfsync.flow.catching_up import CatchingUp
from sfsync.ports import ChannelLevel

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"
GATED = (PolicyRule(("*",), guarantee=Guarantee.GATED),)


def receiver(h: House) -> LittleReceiver:
    found = h.shops["boutique"]
    assert isinstance(found, LittleReceiver)
    return found


async def level(h: House, sku: str) -> ChannelLevel:
    found: list[ChannelLevel] = await h.store.read(lambda tx: tx.channel_levels([sku], "boutique"))
    return found[0]


async def set_aside(h: House) -> list[str]:
    found = await h.store.read(lambda tx: tx.incidents())
    return [each.title for each in found if each.kind == SET_ASIDE]


async def test_a_storefront_that_cannot_be_asked_is_told_of_every_sku_zero_or_not() -> None:
    """Whatever it showed before, nobody knows; so what is sold out is told too."""
    async with house({BAG: 5, SCARF: 0}, shops=("boutique",), make_shop=LittleReceiver) as h:
        assert receiver(h).shelf == {"BAG-1": 5, "SCARF": 0}
        assert messages(receiver(h))[0][1] == {"SCARF": 0, "BAG-1": 5}


async def test_a_sale_in_the_org_arrives_as_a_number_with_a_greater_sequence_number() -> None:
    """And of that SKU only."""
    async with house({BAG: 5, SCARF: 1}, shops=("boutique",), make_shop=LittleReceiver) as h:
        before = dict(receiver(h).sequences)
        h.org.move(BAG, -2)
        await h.shows("BAG-1", 3)
        assert receiver(h).sequences["BAG-1"] > before["BAG-1"]
        assert receiver(h).sequences["SCARF"] == before["SCARF"]
        await h.idle()
        held = await level(h, "BAG-1")
        assert (held.published, held.unsure, held.sequence) == (3, False, receiver(h).sequences["BAG-1"])


async def test_a_sku_that_comes_into_the_org_later_is_told_too() -> None:
    """With its number."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        h.org.add("NEW|ECOM", 2)
        await h.until(lambda: receiver(h).shelf.get("NEW") == 2)


async def test_an_older_message_that_arrives_after_a_newer_one_changes_nothing() -> None:
    """Nobody waits for it, and its sequence number gives it away."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        shop.next.append("late")
        h.org.move(BAG, -1)
        await h.until(lambda: shop.under_way)
        h.org.move(BAG, -1)
        await h.shows("BAG-1", 3)
        shop.land()
        assert shop.shelf["BAG-1"] == 3


async def test_an_unchanged_message_keeps_its_id_over_all_its_tries() -> None:
    """So that a receiver knows it again."""

    class Soon(LittleReceiver):
        patience = Patience(timedelta(days=1), (0.02,))

    async with house({BAG: 5}, shops=("boutique",), make_shop=Soon) as h:
        shop = receiver(h)
        first = len(shop.sent)
        shop.next.extend(["later", "lost", "reply lost"])
        h.org.move(BAG, -1)
        await h.shows("BAG-1", 4)
        await h.idle()
        assert not shop.next
        tries = shop.sent[first:]
        assert len(tries) == 4
        assert len(set(tries)) == 1


async def test_a_changed_payload_is_a_new_message_and_does_not_wait_for_the_old_ones_turn() -> None:
    """The old one would have been tried again in twelve days; it is never sent again."""
    async with house({BAG: 5, SCARF: 1}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        first = len(shop.sent)
        shop.next.append("later")
        h.org.move(BAG, -1)
        await h.until(lambda: len(shop.sent) > first)
        h.org.move(SCARF, -1)
        await h.shows("BAG-1", 4)
        old, *new = messages(shop)[first:]
        assert old[1] == {"BAG-1": 4}
        assert new == [(new[0][0], {"SCARF": 0, "BAG-1": 4})]
        assert new[0][0] != old[0]


async def test_a_number_that_comes_back_is_sent_where_the_one_between_may_have_arrived() -> None:
    """We believe 5, the receiver has 4 and its answer was lost: 5 must be told, though nothing is due."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        shop.next.append("reply lost")
        h.org.move(BAG, -1)
        await h.shows("BAG-1", 4)
        h.org.move(BAG, 1)
        await h.shows("BAG-1", 5)
        await h.idle()


async def test_a_raise_that_may_have_arrived_counts_as_shown() -> None:
    """The worst case is what a promise is measured by."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        receiver(h).next.append("lost")
        h.org.move(BAG, 2)
        await h.until_kept(lambda tx: tx.failing("boutique"))
        held = await level(h, "BAG-1")
        assert (held.published, held.unsure) == (7, True)
        assert receiver(h).shelf["BAG-1"] == 5


async def test_a_receiver_that_fails_for_too_long_is_set_aside_and_gets_present_numbers_on_its_return() -> (
    None
):
    """A person is told once; none of the numbers in between is ever applied."""
    async with house({BAG: 9, SCARF: 1}, shops=("boutique",), make_shop=Probed) as h:
        shop = receiver(h)
        shop.down = True
        for _ in range(4):
            tried = len(shop.sent)
            h.org.move(BAG, -1)
            await h.until(lambda tried=tried: len(shop.sent) > tried)  # type: ignore[misc]  # bound early
        await h.until_kept(lambda tx: [i for i in tx.incidents() if i.kind == SET_ASIDE])
        (title,) = await set_aside(h)
        assert title.startswith("boutique takes no callbacks since ")
        assert title.endswith("it answers 503")
        assert shop.shelf["BAG-1"] == 9
        await h.until_kept(lambda tx: tx.channel_levels(["BAG-1"], "boutique")[0].target == 5)
        seen = shop.sequences["BAG-1"]
        shop.down = False
        await h.shows("BAG-1", 5)
        await h.idle()
        assert await set_aside(h) == []
        assert await h.store.read(lambda tx: tx.failing("boutique")) is None
        assert "boutique" not in h.pulse.channel_error
        sequence = (await level(h, "BAG-1")).sequence
        assert seen < shop.sequences["BAG-1"] == sequence


async def test_a_receiver_that_wants_no_more_is_set_aside_at_once() -> None:
    """410; and it is welcome when it changes its mind."""

    class Changing(LittleReceiver):
        patience = Patience(timedelta(days=1), (1e6,), probe_seconds=0.02)

    async with house({BAG: 5}, shops=("boutique",), make_shop=Changing) as h:
        shop = receiver(h)
        shop.gone = True
        h.org.move(BAG, -1)
        await h.until_kept(lambda tx: [i for i in tx.incidents() if i.kind == SET_ASIDE])
        await h.until(lambda: "set aside since" in h.pulse.channel_error.get("boutique", ""))
        shop.gone = False
        await h.shows("BAG-1", 4)
        await h.idle()
        assert await set_aside(h) == []


async def test_a_restart_forgets_neither_that_a_receiver_fails_nor_since_when() -> None:
    """It is not stormed, and the newest number goes when it is time."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        shop.down = True
        h.org.move(BAG, -1)
        await h.until_kept(lambda tx: tx.failing("boutique"))
        before = await h.store.read(lambda tx: tx.failing("boutique"))
        await h.kill()
        shop.down = False
        await h.start()
        assert await h.store.read(lambda tx: tx.failing("boutique")) == before
        await h.until(lambda: h.pulse.channel_error.get("boutique", "").startswith("failing since "))
        h.org.move(BAG, -1)
        await h.shows("BAG-1", 3)


async def test_a_message_that_a_kill_left_without_an_answer_is_not_sent_again_the_numbers_are() -> None:
    """Whatever became of it: the number of today goes, in a message of its own."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        first, shop.closed = len(shop.sent), asyncio.Event()
        h.org.move(BAG, -1)
        await h.until(lambda: len(shop.sent) > first)
        await h.kill()
        h.org.move(BAG, -1)
        shop.closed = None
        await h.start()
        await h.shows("BAG-1", 3)
        await h.idle()
        assert await h.store.read(lambda tx: tx.open_pushes("boutique")) == []


async def test_a_sku_that_a_receiver_cannot_use_does_not_hold_back_the_others() -> None:
    """It is set aside with the receiver's own words."""
    async with house({BAG: 5, SCARF: 3}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        shop.bad["SCARF"] = "there is no such product"
        h.org.move(SCARF, -1)
        h.org.move(BAG, -1)
        await h.shows("BAG-1", 4)
        await h.until_kept(lambda tx: tx.dead_letters())
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert (letter.source, letter.key, letter.reason) == (
            "boutique",
            "push:SCARF@online",
            "there is no such product",
        )


async def test_what_its_own_shoppers_hold_is_not_for_sale_to_others() -> None:
    """It asks first and takes nothing off by itself: while a cart holds the last one, it shows none."""
    async with house({BAG: 1}, shops=("boutique",), make_shop=LittleReceiver, rules=GATED) as h:
        outcome = await h.reserve("BAG-1", shop="boutique")
        assert outcome.reservation is not None
        assert outcome.reservation.state is ReservationState.GRANTED
        await h.shows("BAG-1", 0)
        await h.desk.release(outcome.reservation.id)
        await h.shows("BAG-1", 1)


async def test_a_paid_reservation_stays_off_its_shelf_until_it_is_handed_over() -> None:
    """The storefront tells of no orders: its confirmed reservations are its orders."""
    async with house({BAG: 2}, shops=("boutique",), make_shop=LittleReceiver, rules=GATED) as h:
        outcome = await h.reserve("BAG-1", shop="boutique")
        assert outcome.reservation is not None
        await h.desk.confirm(outcome.reservation.id, "order 7")
        await h.shows("BAG-1", 1)
        await h.desk.hand_over(outcome.reservation.id, "order 7")
        await h.until(lambda: h.org.numbers(BAG) == (1, 0))
        await h.idle()
        assert receiver(h).shelf["BAG-1"] == 1


async def test_whoever_was_away_reads_the_same_numbers_with_the_same_sequence_numbers() -> None:
    """And with the place where it stopped, only what has changed since."""
    async with house({BAG: 5, SCARF: 1}, shops=("boutique", "outlet"), make_shop=LittleReceiver) as h:
        numbers = CatchingUp(h.ctx)
        everything = await numbers.page(["boutique", "paris"], None, None, 100)
        assert {each.sku: (each.target, each.sequence) for each in everything} == {
            sku: (units, receiver(h).sequences[sku]) for sku, units in receiver(h).shelf.items()
        }
        last = everything[-1]
        place = NumberPlace(last.sequence, last.channel, last.sku, last.location)
        assert await numbers.page(["boutique"], None, place, 100) == []
        h.org.move(BAG, -1)
        await h.shows("BAG-1", 4, 4)
        (changed,) = await numbers.page(["boutique"], None, place, 100)
        assert (changed.sku, changed.target) == ("BAG-1", 4)
        assert changed.sequence == receiver(h).sequences["BAG-1"]
        assert await numbers.page(["boutique"], ["SCARF"], place, 100) == []


async def test_a_receiver_that_catches_up_need_not_wait_for_its_turn() -> None:
    """It was set aside, and asks for its numbers: what it is still to be told goes at once."""
    async with house({BAG: 5}, shops=("boutique",), make_shop=LittleReceiver) as h:
        shop = receiver(h)
        shop.gone = True
        h.org.move(BAG, -1)
        await h.until_kept(lambda tx: [i for i in tx.incidents() if i.kind == SET_ASIDE])
        shop.gone = False
        (told,) = await CatchingUp(h.ctx).page(["boutique"], None, None, 100)
        assert (told.sku, told.target) == ("BAG-1", 4)
        await h.shows("BAG-1", 4)
        await h.idle()
        assert await set_aside(h) == []
