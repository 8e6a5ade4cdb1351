"""Promise 2, once; promise 7, the bookmark moves last; and what a restart finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.kit import house, total

from sfsync.domain.assortment import SharedOrders
from sfsync.domain.letters import Cause, cause_of
from sfsync.domain.moments import Moment
from sfsync.domain.sources import Source
from sfsync.flow.folding import FoldWish
from sfsync.flow.letters import retry
from sfsync.ports import Forged

BAG, OTHER = "BAG-1|ECOM", "BAG-2|ECOM"


async def test_a_till_sale_and_a_web_sale_reach_everybody() -> None:
    """Five bags: one sold at the counter, one in Dubai; both shops show three."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 3, 3)
        await h.until(lambda: h.org.numbers(BAG) == (4, 1), of=lambda: h.org.numbers(BAG))


async def test_a_webhook_that_comes_twice_is_one_order() -> None:
    """The same delivery is taken in once; another delivery of the same state changes nothing."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        assert await h.deliver("dubai", number, "one")
        assert not await h.deliver("dubai", number, "one")
        assert await h.deliver("dubai", number, "two")
        await h.idle()
        await h.shows("BAG-1", 4, 4)
        assert h.org.of("order:") == [(f"order:dubai:{number}:1:0", 0, 1)]


async def test_what_comes_back_of_an_order_from_before_us_is_a_persons_to_enter() -> None:
    """She bought it last month, before us, and Dubai takes it back: told once, with what to do.

    What had come back before we began was somebody else's, and a letter that was dropped stays dropped.
    """
    async with house({BAG: 5}) as h:
        shop = h.shops["dubai"]
        number = shop.buy("BAG-1", 2)
        long_ago = h.clock.now() - timedelta(days=30)
        back = (Moment(long_ago, 1), Moment(h.clock.now(), 1))
        shop.change(number, open_quantity=0, fulfilled_quantity=2, returned_quantity=1, came_back=back[:1])
        shop.orders[number] = replace(shop.orders[number], placed_at=long_ago)
        await h.deliver("dubai", number)
        await h.idle()
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
        shop.change(number, returned_quantity=2, came_back=back)
        for delivery in ("one", "two"):
            await h.deliver("dubai", number, delivery)
        await h.until_kept(lambda tx: tx.dead_letters())
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert cause_of(letter.source, letter.key, letter.reason) is Cause.OLD_RETURN
        assert "1 of 'BAG-1' came back" in letter.reason
        assert letter.advice.startswith("enter a movement of kind Return")
        await h.store.write(lambda tx: tx.drop_dead_letter(letter.source, letter.key))
        await h.supervisor.polls.poll("dubai")
        await h.deliver("dubai", number, "three")
        await h.idle()
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
        assert h.org.of("order:") == []


async def test_goods_that_are_back_and_may_not_be_sold_for_all_we_know_are_a_persons_to_enter() -> None:
    """A marketplace tells that one of two has come back, then the other; nothing is put on sale for that."""
    async with house({BAG: 5}) as h:
        shop = h.shops["dubai"]
        number = shop.buy("BAG-1", 2)
        shop.change(number, open_quantity=0, fulfilled_quantity=2)
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (-2, 0))
        for units in (1, 2):
            back = tuple(Moment(h.clock.now(), 1) for _ in range(units))
            shop.change(number, came_back=back)
            for delivery in ("one", "two"):
                await h.deliver("dubai", number, f"{units} {delivery}")
            await h.until_kept(lambda tx: tx.dead_letters())
            (letter,) = await h.store.read(lambda tx: tx.dead_letters())
            assert cause_of(letter.source, letter.key, letter.reason) is Cause.CAME_BACK
            assert f"{units} of 'BAG-1' came back" in letter.reason
            await h.store.write(lambda tx: tx.drop_dead_letter("dubai", f"goods back:{number}"))
        await h.supervisor.polls.poll("dubai")
        await h.idle()
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
        assert (total(h.org.of("order:")), h.org.numbers(BAG)) == ((-2, 0), (3, 0))


async def test_a_webhook_and_the_order_list_tell_of_one_order() -> None:
    """Two sources, one effect, whichever comes first."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        await h.supervisor.polls.poll("dubai")
        await h.deliver("dubai", number)
        await h.supervisor.polls.poll("dubai")
        await h.idle()
        await h.shows("BAG-1", 4, 4)
        assert total(h.org.of("order:")) == (0, 1)


async def test_a_late_old_snapshot_does_not_reopen_a_cancelled_line() -> None:
    """Cancelled, and then the webhook of its creation arrives."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        created = h.shops["dubai"].webhook(number)
        h.shops["dubai"].change(number, open_quantity=0, taken_quantity=0)
        await h.deliver("dubai", number)
        await h.idle()
        assert await h.door.accept("dubai", *created)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 0)
        await h.shows("BAG-1", 5, 5)


@pytest.mark.parametrize("shared", [{}, {"dubai": SharedOrders(Source.CHANNEL)}])
async def test_of_two_words_of_one_moment_the_order_as_it_stands_counts(
    shared: dict[str, SharedOrders],
) -> None:
    """Sold and called off in one second, by a shop that tells seconds; the webhooks change places."""
    async with house({BAG: 5}, shared=shared) as h:
        dubai = h.shops["dubai"]
        number = dubai.buy("BAG-1")
        created = dubai.webhook(number)
        second = dubai.orders[number].version
        dubai.change(number, open_quantity=0, taken_quantity=0)
        dubai.orders[number] = replace(dubai.orders[number], version=second)
        await h.deliver("dubai", number)
        await h.idle()
        assert await h.door.accept("dubai", *created)
        await h.idle()
        await h.until_kept(lambda tx: tx.next_call("dubai") is None)
        assert total(h.org.of("order:")) == (0, 0)


@pytest.mark.parametrize("shared", [{}, {"dubai": SharedOrders(Source.CHANNEL)}])
async def test_a_word_of_the_moment_that_is_known_already_is_looked_into(
    shared: dict[str, SharedOrders],
) -> None:
    """Sold and called off in one second, told in the right order: the order is read, and holds nothing."""
    async with house({BAG: 5}, shared=shared) as h:
        dubai = h.shops["dubai"]
        number = dubai.buy("BAG-1")
        await h.deliver("dubai", number)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 1)
        second = dubai.orders[number].version
        dubai.change(number, open_quantity=0, taken_quantity=0)
        dubai.orders[number] = replace(dubai.orders[number], version=second)
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (0, 0))
        await h.idle()
        await h.shows("BAG-1", 5, 5)


async def test_the_newest_word_counts_even_when_it_changed_nothing() -> None:
    """One, two, one: the two comes late, after a one that made no difference, and is old all the same."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        number = dubai.buy("BAG-1")
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        dubai.change(number, open_quantity=2, taken_quantity=2)
        two = dubai.webhook(number)
        dubai.change(number, open_quantity=1, taken_quantity=1)
        await h.deliver("dubai", number)
        await h.idle()
        assert await h.door.accept("dubai", *two)
        await h.idle()
        await h.shows("BAG-1", 4, 4)
        assert h.org.of("order:") == [(f"order:dubai:{number}:1:0", 0, 1)]


async def test_an_order_edited_back_and_forth_is_right_at_the_end() -> None:
    """One, two, one, two, fulfilled in part, the rest refunded."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        number = dubai.buy("BAG-1")
        for units in (2, 1, 2):
            dubai.change(number, open_quantity=units, taken_quantity=units)
            await h.deliver("dubai", number)
            wanted = (0, units)
            await h.until(lambda: total(h.org.of("order:")) == wanted)  # noqa: B023 — awaited in this very turn
        dubai.change(number, open_quantity=1, fulfilled_quantity=1)
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (-1, 1))
        dubai.change(number, open_quantity=0, taken_quantity=1)
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (-1, 0))
        await h.shows("BAG-1", 4, 4)


async def test_a_forged_webhook_is_nobodys() -> None:
    """Nothing of it is stored."""
    async with house({BAG: 5}) as h:
        headers, body = h.shops["dubai"].webhook(h.shops["dubai"].buy("BAG-1"))
        with pytest.raises(Forged):
            await h.door.accept("dubai", {**headers, "x-signature": "other"}, body)
        assert await h.store.read(lambda tx: tx.inbox(9)) == []


@pytest.mark.parametrize("fate", ["lost", "reply lost", "later"])
async def test_a_step_whose_outcome_is_unknown_is_asked_again_with_the_same_content(fate: str) -> None:
    """The same key, and one row at the end."""
    async with house({BAG: 5}) as h:
        h.org.next.append(fate)
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        assert h.org.requests == [[f"order:dubai:{number}:1:0"]] * 2
        assert len(h.org.of("order:")) == 1


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late"])
async def test_a_kill_between_sending_and_hearing_costs_nothing(fate: str) -> None:
    """What was written down before it left is sent again by the next start, and counts once."""
    async with house({BAG: 5}) as h:
        h.org.next.extend([fate, *["lost"] * 50])
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.until(lambda: h.org.requests)
        await h.kill()
        h.org.next.clear()
        h.org.land()
        await h.start()
        await h.idle()
        await h.shows("BAG-1", 4, 4)
        assert h.org.of("order:") == [(f"order:dubai:{number}:1:0", 0, 1)]


async def test_what_happened_while_we_were_away_is_found_at_the_next_start() -> None:
    """A till sale from the stream, a web sale from the order list."""
    async with house({BAG: 5}) as h:
        await h.kill()
        h.org.move(BAG, on_hand=-1)
        h.shops["dubai"].buy("BAG-1")
        await h.start()
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        assert h.org.numbers(BAG) == (4, 1)


async def test_a_kill_before_the_effect_replays_the_event_and_one_after_it_does_not_double_it() -> None:
    """Postings of a till, with kills between: each counts once."""
    async with house({BAG: 9}) as h:
        for number in range(4):
            h.org.till(BAG, -1, f"receipt-{number}")
            if number % 2:
                wanted = number + 1
                await h.until(lambda: len(h.org.of("posting:")) == wanted)  # noqa: B023 — awaited in this very turn
            await h.kill()
            await h.start()
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        assert total(h.org.of("posting:")) == (-4, 0)


async def test_a_till_that_publishes_twice_has_sold_once() -> None:
    """Its own identity of the sale is the key."""
    async with house({BAG: 9}) as h:
        for _ in range(3):
            h.org.till(BAG, -1, "receipt-1")
        h.org.till(BAG, -1, "receipt-2")
        await h.shows("BAG-1", 7, 7)
        await h.idle()
        assert len(h.org.of("posting:")) == 2
        sent = [key for keys in h.org.requests for key in keys]
        assert sent.count("posting:receipt-1") == 1  # the org was not bothered with the others


async def test_a_receipt_number_used_for_two_sales_is_told_and_neither_is_lost() -> None:
    """The first is entered. The others are set aside, each by itself; the first again is no news."""
    async with house({BAG: 9, OTHER: 9}) as h:
        h.org.till(BAG, -2, "R1")
        await h.until(lambda: h.org.of("posting:"))
        h.org.till(BAG, -5, "R1")
        h.org.till(OTHER, -1, "R1")
        h.org.till(BAG, -2, "R1")
        await h.until_kept(lambda tx: len(tx.dead_letters()) == 2)
        await h.kill()
        await h.start()
        h.org.till(BAG, -5, "R1")  # the till repeats itself after our restart
        h.org.till(BAG, -1, "R2")
        await h.until(lambda: len(h.org.of("posting:")) == 2)
        await h.idle()
        letters = await h.store.read(lambda tx: tx.dead_letters())
        assert [letter.key for letter in letters] == [f"R1: -5 of {BAG} (Sale)", f"R1: -1 of {OTHER} (Sale)"]
        assert {cause_of(each.source, each.key, each.reason) for each in letters} == {Cause.REUSED}
        assert f"R1 was -2 of {BAG} (Sale) on " in letters[0].reason
        assert (h.org.numbers(BAG), h.org.numbers(OTHER)) == ((6, 0), (9, 0))
        assert any(line["event"] == "identity used twice" for line in h.logged)


async def test_a_receipt_number_of_a_folded_sale_still_tells_of_that_sale_alone() -> None:
    """Its row is folded away, and then our store is lost too: the org's opening row remembers the units."""
    async with house({BAG: 9}) as h:
        h.org.till(BAG, -2, "R1")
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        h.org.age(days=200)
        run = h.supervisor.fold(FoldWish(timedelta(days=90)))
        assert run is not None
        await h.until(lambda: run.ended_at is not None)
        assert not h.org.of("posting:")
        for lost in (False, True):
            await h.kill()
            if lost:
                h.forget_everything()
            await h.start()
            await h.idle()
            h.org.till(BAG, -2, "R1")
            h.org.till(BAG, -5, "R1")
            await h.until_kept(lambda tx: tx.dead_letters())
            await h.idle()
            letters = await h.store.read(lambda tx: tx.dead_letters())
            assert [letter.key for letter in letters] == [f"R1: -5 of {BAG} (Sale)"]
            assert h.org.numbers(BAG) == (7, 0)


async def test_a_sale_that_the_org_refuses_keeps_its_receipt_number() -> None:
    """It waits for a person; another sale of that number must not take its place, nor end its letter."""
    async with house({BAG: 9}) as h:
        h.org.wrong.add("Sale")
        h.org.till(BAG, -2, "R1")
        await h.until_kept(lambda tx: tx.dead_letters())
        h.org.wrong.clear()
        h.org.till(BAG, -5, "R1")
        await h.until_kept(lambda tx: len(tx.dead_letters()) == 2)
        number = (await h.store.read(lambda tx: tx.dead_letters()))[0].id
        tried = await h.store.write(lambda tx: retry(tx, [number], (), h.clock.now()))
        assert [each.done for each in tried] == [True]
        h.ctx.bell.ring("writer")
        await h.until(lambda: h.org.numbers(BAG) == (7, 0))
        await h.idle()
        assert [each.key for each in await h.store.read(lambda tx: tx.dead_letters())] == [
            f"R1: -5 of {BAG} (Sale)"
        ]


async def test_a_conflict_takes_over_the_orgs_rows_and_numbers_anew() -> None:
    """Our store is older than the org's rows (restored from a backup): the org's are the truth."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1", 2)
        await h.deliver("dubai", number)
        await h.idle()
        subject = f"order:dubai:{number}:1"
        await h.store.write(lambda tx: tx.replace_rows(subject, [], h.clock.now()))
        h.shops["dubai"].change(number, open_quantity=3, taken_quantity=3)
        await h.deliver("dubai", number)
        await h.idle()
        assert h.org.of("order:") == [(f"{subject}:0", 0, 2), (f"{subject}:1", 0, 1)]
        await h.shows("BAG-1", 2, 2)


async def test_a_part_that_is_stopped_in_order_leaves_nothing_undone_or_doubled() -> None:
    """SIGTERM amid sales, several times."""
    async with house({BAG: 9}) as h:
        for _ in range(3):
            await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
            await h.stop()
            await h.start()
        await h.shows("BAG-1", 6, 6)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 3)
