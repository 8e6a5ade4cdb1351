"""Dead letters tried again and dropped: what was mended goes well, nothing happens twice, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.flow.kit import House, house, total

from sfsync.domain.incidents import OVERSOLD
from sfsync.domain.letters import Cause
from sfsync.flow.letters import CHANNEL_OFF, PAGE, Letters
from sfsync.ports import DeadLetter, Tx, told_to

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"


async def the_letter(h: House) -> DeadLetter:
    """The one that there is, once it is there."""
    await h.until_kept(lambda tx: tx.dead_letters())
    letters: list[DeadLetter] = await h.store.read(lambda tx: tx.dead_letters())
    assert len(letters) == 1
    return letters[0]


async def test_a_mended_item_gets_its_present_number_by_a_retry() -> None:
    """Not the number that was refused: what it should show now. Too early, and it is set aside again."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.bad = {"SCARF": "the item is archived"}
        h.org.move(SCARF, on_hand=-1)
        letter = await the_letter(h)
        h.org.move(SCARF, on_hand=-1)
        letters = Letters(h.ctx)
        (still,) = await letters.retry([letter.id], None)
        assert still.done
        await h.until_kept(lambda tx: any(each.at > letter.at for each in tx.dead_letters()))
        london.bad = {}
        (tried,) = await letters.retry([], Cause.ITEM_REFUSED)
        assert (tried.done, "present" in tried.said) == (True, True)
        await h.shows("SCARF", 3)
        await h.until_kept(lambda tx: not tx.dead_letters())


async def test_a_letter_of_a_channel_that_is_off_is_kept_and_tried_on_its_return() -> None:
    """While it is off nothing is tried and nothing is lost; then the number of that moment is sent."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.bad = {"SCARF": "the item is archived"}
        h.org.move(SCARF, on_hand=-1)
        letter = await the_letter(h)
        off = Letters(replace(h.ctx, channels={}))
        (kept,) = await off.retry([letter.id], None)
        assert (kept.done, kept.said) == (False, CHANNEL_OFF)
        assert (await the_letter(h)).id == letter.id
        await h.stop()
        london.bad = {}
        h.org.move(SCARF, on_hand=-2)
        await h.start()
        (tried,) = await Letters(h.ctx).retry([letter.id], None)
        assert tried.done
        await h.shows("SCARF", 2)


async def test_an_order_whose_movement_the_org_refused_is_entered_once_when_the_org_is_mended() -> None:
    """Asked twice, it is one release."""
    async with house({BAG: 5}) as h:
        h.org.wrong.add("Release")
        first = h.shops["dubai"].buy("BAG-1", 2)
        await h.deliver("dubai", first)
        await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        h.shops["dubai"].change(first, open_quantity=1, taken_quantity=1)
        await h.deliver("dubai", first)
        letter = await the_letter(h)
        h.org.wrong.clear()
        letters = Letters(h.ctx)
        assert [each.done for each in await letters.retry([letter.id, letter.id], None)] == [True]
        await letters.retry([letter.id], None)
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        await h.idle()
        assert total(h.org.of("order:")) == (0, 1)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_a_sale_of_a_till_that_the_org_refused_goes_again_under_its_own_key() -> None:
    """Nobody else would ever tell of it again."""
    async with house({BAG: 5}) as h:
        h.org.wrong.add("Sale")
        h.org.till(BAG, -1, "receipt-1")
        letter = await the_letter(h)
        assert letter.source == "ledger"
        h.org.wrong.clear()
        (tried,) = await Letters(h.ctx).retry([letter.id], None)
        assert tried.done, tried.said
        await h.until(lambda: h.org.numbers(BAG) == (4, 0))
        await h.idle()
        assert h.org.numbers(BAG) == (4, 0)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_a_delivery_is_taken_up_again_as_it_came() -> None:
    """Here it is as senseless as before, and comes back to the list."""
    async with house({BAG: 5}) as h:
        assert await h.door.accept("dubai", {"x-signature": "signed senseless"}, b"senseless")
        letter = await the_letter(h)
        (tried,) = await Letters(h.ctx).retry([letter.id], None)
        assert tried.done
        await h.until_kept(lambda tx: any(each.at > letter.at for each in tx.dead_letters()))
        again = await the_letter(h)
        assert (again.key, again.payload) == (letter.key, "senseless")


async def test_what_a_person_drops_leaves_the_list_and_stays_in_the_record() -> None:
    """With the name and the reason, under its number; an id that is none is named."""
    async with house({BAG: 5}) as h:
        h.shops["dubai"].shelf["MYSTERY"] = 1
        order = h.shops["dubai"].buy("MYSTERY")
        await h.deliver("dubai", order)
        letter = await the_letter(h)
        letters = Letters(h.ctx)
        told: Any = await letters.told()
        (group,) = told["causes"]
        assert (group["cause"], group["retry"]) == ("no stock level", "by itself")
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert (incident.kind, incident.key) == (OVERSOLD, letter.key)
        assert await letters.drop([letter.id, 999], "Anna Kay", "a gift, not ours") == [letter.id]
        assert await h.store.read(lambda tx: tx.incidents()) == []  # it needs no stock
        told = await letters.told()
        assert told["causes"] == []
        (dropped,) = told["dropped"]
        assert (dropped["id"], dropped["by"]) == (letter.id, "Anna Kay")
        assert dropped["because"] == "a gift, not ours"
        assert dropped["reason"] == letter.reason
        (unknown,) = await letters.retry([letter.id], None)
        assert not unknown.done
        h.shops["dubai"].change(order, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("dubai", order)
        await h.idle()
        assert await h.store.read(lambda tx: (tx.dead_letters(), tx.incidents())) == ([], [])


async def test_a_house_whose_items_all_sell_beyond_their_stock_is_told_so_in_pages() -> None:
    """Each item once, whatever page it is on; one that is mended leaves, and the next takes its place."""

    def set_aside(tx: Tx) -> None:
        for number in range(2 * PAGE + 1):
            tx.dead_letter("london", f"beyond:SCARF-{number}@online", "r", "a", "", h.clock.now())
        tx.dead_letter("london", "push:BAG-1@online", "r", "a", "", h.clock.now())

    async with house({BAG: 5}, shops=("london",)) as h:
        await h.store.write(set_aside)
        letters = Letters(h.ctx)
        told: Any = await letters.told()
        assert [(of["cause"], of["count"], len(of["items"])) for of in told["causes"]] == [
            (Cause.BEYOND_STOCK, 2 * PAGE + 1, PAGE),
            (Cause.ITEM_REFUSED, 1, 1),
        ]
        seen, after = [], 0
        while after is not None:
            page: Any = await letters.told(Cause.BEYOND_STOCK, after)
            (group,) = page["causes"]
            seen += [item["key"] for item in group["items"]]
            after = group["next"]
        assert seen == [f"beyond:SCARF-{number}@online" for number in range(2 * PAGE + 1)]
        await h.store.write(lambda tx: tx.drop_dead_letter("london", seen[0]))
        told = await letters.told()
        assert (told["causes"][0]["count"], told["causes"][0]["items"][0]["key"]) == (2 * PAGE, seen[1])


async def test_a_whole_cause_is_dropped_as_it_was_looked_at() -> None:
    """Thousands at once, in parts; what came since, and other causes, stay. Whoever waits sees how far."""

    def set_aside(tx: Tx) -> None:
        for number in range(2 * PAGE + 1):
            tx.dead_letter("london", f"beyond:SCARF-{number}@online", "r", "a", "", h.clock.now())
        tx.dead_letter("london", "push:BAG-1@online", "r", "a", "", h.clock.now())

    async with house({BAG: 5}, shops=("london",)) as h:
        await h.store.write(set_aside)
        letters = Letters(h.ctx)
        told: Any = await letters.told()
        newest = told["causes"][0]["newest"]
        await h.store.write(
            lambda tx: tx.dead_letter("london", "beyond:NEW@online", "r", "a", "", h.clock.now())
        )
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            dropped = await letters.drop_cause(Cause.BEYOND_STOCK, newest, "Anna Kay", "the season is over")
        assert len(dropped) == 2 * PAGE + 1
        assert [done for _, done, _ in seen] == [PAGE, 2 * PAGE, 2 * PAGE + 1]
        left = await h.store.read(lambda tx: tx.dead_letters())
        assert {each.key for each in left} == {"push:BAG-1@online", "beyond:NEW@online"}
        told = await letters.told()
        assert told["dropped"][0]["because"] == "the season is over"
        assert await letters.drop_cause(Cause.EVENT, None, "Anna Kay", "none") == []


async def test_a_whole_cause_is_tried_again_in_parts_that_keep_no_sale_waiting() -> None:
    """An answer for each letter; how far it is is told between the parts."""

    def set_aside(tx: Tx) -> None:
        for number in range(PAGE + 5):
            tx.dead_letter("dubai", f"push:GONE-{number}@online", "refused", "a", "", h.clock.now())

    async with house({BAG: 5}) as h:
        await h.store.write(set_aside)
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            tried = await Letters(h.ctx).retry([], Cause.ITEM_REFUSED)
        assert len({each.id for each in tried}) == PAGE + 5
        assert not any(each.done for each in tried)
        assert seen == [("dead letters", PAGE, PAGE + 5), ("dead letters", PAGE + 5, PAGE + 5)]
