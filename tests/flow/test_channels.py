"""Promises 5, 9 to 12: what channels show converges, and a shop's own sale is never overwritten."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.kit import ForgetfulShop, House, UnhurriedShop, house, total

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.resync import Scope
from sfsync.exposed import exposure

BAG = "BAG-1|ECOM"
SCARF = "SCARF|ECOM"
GATED = PolicyRule(("*",), guarantee=Guarantee.GATED)
ALLOCATED = PolicyRule(("*",), ("london",), Guarantee.ALLOCATED)


async def test_nothing_is_pushed_before_a_person_has_approved_the_first_plan() -> None:
    """The plan tells each difference with its cause; applied, it is pushed."""
    async with house({BAG: 5}) as h:
        await h.kill()
        h.forget_everything()
        for shop in h.shops.values():
            shop.shelf["BAG-1"] = 2
            shop.sent.clear()
        h.approve = False
        await h.start()
        await h.until_kept(lambda tx: [level.target for level in tx.channel_levels()] == [5, 5])
        await h.until_kept(lambda tx: not tx.open_holes())
        plan = await h.supervisor.resync.compare()
        assert [(row.channel, row.shows, row.target, row.cause.value) for row in plan.rows] == [
            ("dubai", 2, 5, "first start"),
            ("london", 2, 5, "first start"),
        ]
        assert not any(shop.sent for shop in h.shops.values())
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 5, 5)
        assert (await h.supervisor.resync.compare()).rows == ()


async def test_a_sale_we_have_not_heard_of_survives_our_push() -> None:
    """The shop sold one and has not told; a receipt raises both; its sale is still taken off."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        number = dubai.buy("BAG-1")
        lagging = dubai.orders.pop(number)  # its order list does not show it yet
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 7, 6)
        dubai.orders[number] = lagging
        await h.deliver("dubai", number)
        await h.shows("BAG-1", 6, 6)
        await h.idle()


async def test_a_sale_heard_of_only_with_its_refund_is_counted_as_the_number_read_meanwhile_says() -> None:
    """Its webhook was lost, the number was read with the sale in it; the refund's webhook tells of both."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        london = h.shops["london"]
        unheard = london.buy("BAG-1")
        lagging = london.orders.pop(unheard)  # the shop's order list does not show it yet
        plan = await h.supervisor.resync.compare(Scope(channels=("london",), causes=("order-unseen",)))
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 5, 5)  # the number read, with the sale in it, is what we go by now
        london.orders[unheard] = lagging
        refunded = london.change(unheard, open_quantity=0, taken_quantity=0)
        london.orders[unheard] = replace(refunded, version=h.clock.now() + timedelta(seconds=5))
        assert london.shelf["BAG-1"] == 6
        await h.deliver("london", unheard)
        await h.shows("BAG-1", 5, 5)


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late"])
async def test_a_push_of_unknown_outcome_is_sent_again_byte_for_byte_before_anything_else(fate: str) -> None:
    """Its key makes it one change; only then the newest number goes out."""
    async with house({BAG: 9}, shops=("london",)) as h:
        london = h.shops["london"]
        london.sent.clear()
        london.next.extend([fate, "lost"])
        h.org.move(BAG, on_hand=-1)
        await h.until(lambda: len(london.sent) == 2)
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 7)
        london.land()
        await h.idle()
        assert london.shelf["BAG-1"] == 7
        assert london.sent[0] == london.sent[1] == london.sent[2] != london.sent[3]


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late"])
async def test_a_push_left_open_by_a_kill_is_resolved_first(fate: str) -> None:
    """The next start sends the very bytes again."""
    async with house({BAG: 9}, shops=("london",)) as h:
        london = h.shops["london"]
        london.sent.clear()
        london.next.extend([fate, *["lost"] * 50])
        h.org.move(BAG, on_hand=-1)
        await h.until(lambda: london.sent)
        await h.kill()
        london.next.clear()
        london.land()
        h.org.move(BAG, on_hand=-1)
        await h.start()
        await h.shows("BAG-1", 7)
        await h.idle()
        assert len(set(london.sent)) == 2


async def test_a_push_is_not_sent_again_when_the_shop_may_have_forgotten_its_key() -> None:
    """It was done, nobody heard of it, and its key is forgotten: sent again, one bag would go off twice."""
    async with house({BAG: 5}, shops=("london",), make_shop=ForgetfulShop) as h:
        london = h.shops["london"]
        assert isinstance(london, ForgetfulShop)
        london.forgets = True
        london.sent.clear()
        london.next.append("reply lost")
        h.org.move(BAG, on_hand=-1)
        await h.until_kept(lambda tx: [each for each in tx.incidents() if each.kind == "push lost"])
        assert (london.shelf["BAG-1"], len(london.sent)) == (4, 1)
        plan = await h.supervisor.resync.compare(
            Scope(channels=("london",))
        )  # the number itself tells what was done
        await h.supervisor.resync.put_right(plan.id)
        await h.until_kept(lambda tx: not tx.incidents())
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 3)
        await h.idle()


async def test_what_became_due_beside_a_push_left_open_goes_out_after_the_next_start() -> None:
    """Settling the old push plans the next one in the same commit: that one is sent, not forgotten."""
    async with house({BAG: 9, SCARF: 9}, shops=("london",)) as h:
        london = h.shops["london"]
        london.next.extend(["reply lost"] * 50)
        london.sent.clear()
        h.org.move(BAG, on_hand=-1)
        await h.until(lambda: london.sent)
        h.org.move(SCARF, on_hand=-1)
        await h.until_kept(lambda tx: [level for level in tx.channel_levels(["SCARF"]) if level.target == 8])
        await h.kill()
        london.next.clear()
        await h.start()
        await h.shows("BAG-1", 8)
        await h.shows("SCARF", 8)
        await h.idle()


@pytest.mark.parametrize("named", [True, False])
async def test_one_bad_row_is_set_aside_and_the_rest_is_delivered(named: bool) -> None:
    """With the row named, or found by halving."""
    skus = {f"S{n:02}|ECOM": 5 for n in range(20)}
    async with house(skus, shops=("london",)) as h:
        london = h.shops["london"]
        london.bad = {"S07": "the item is archived"}
        london.names_bad_rows = named
        for name in skus:
            h.org.move(name, on_hand=-1)
        await h.until(lambda: sum(london.shelf.values()) == 4 * 19 + 5, of=lambda: london.shelf)
        await h.idle()
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert (letter.source, letter.key) == ("london", "push:S07@online")
        assert letter.reason == ("the item is archived" if named else "one of the rows is bad")


async def test_a_mended_item_is_taken_back_by_a_resync() -> None:
    """What was set aside is compared, and shown again."""
    async with house({BAG: 5, "SCARF|ECOM": 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.bad = {"SCARF": "the item is archived"}
        h.org.move("SCARF|ECOM", on_hand=-1)
        await h.until_kept(lambda tx: tx.dead_letters())
        london.bad = {}
        plan = await h.supervisor.resync.compare(Scope(("SCARF",), ("london",)))
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("SCARF", 4)


async def test_one_silent_channel_holds_nobody_up() -> None:
    """London does not answer; Dubai is up to date; London follows when it is back."""
    async with house({BAG: 5}) as h:
        h.shops["london"].next.extend(["later", "refused"] * 20)
        h.org.move(BAG, on_hand=-1)
        await h.until(lambda: h.shops["dubai"].shelf["BAG-1"] == 4)
        h.shops["london"].next.clear()
        await h.shows("BAG-1", 4, 4)


async def test_bad_news_goes_first() -> None:
    """Sold out before lower before higher, one row at a time."""
    skus = {f"{name}|ECOM": 5 for name in ("HAT", "HIGHER", "LOWER", "SOLD-OUT")}
    async with house(skus, shops=("london",), batch_rows=1, make_shop=UnhurriedShop) as h:
        london = h.shops["london"]
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        h.org.move("HAT|ECOM", on_hand=-1)  # a call that is under way while the others become due
        await h.until_kept(lambda tx: bool(tx.open_pushes("london")))
        tried = len(london.sent) + 1
        h.org.move("HIGHER|ECOM", on_hand=3)
        h.org.move("LOWER|ECOM", on_hand=-1)
        h.org.move("SOLD-OUT|ECOM", on_hand=-5)
        await h.until_kept(lambda tx: len(tx.due("london", 9)) == 3)
        london.answering.set()
        await h.idle()
        order = [json.loads(body)[1][0][0] for body in london.sent[tried:]]
        assert order == ["SOLD-OUT", "LOWER", "HIGHER"]


async def test_a_change_while_a_plan_is_looked_at_is_not_undone_by_applying_it() -> None:
    """Somebody reads the plan for a while; bags are sold meanwhile; numbers read before are old news."""
    async with house({BAG: 5, "SCARF|ECOM": 5}) as h:
        h.shops["london"].shelf["SCARF"] = 9  # changed by hand: the reason for the resync
        plan = await h.supervisor.resync.compare()
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 3, 3)
        await h.supervisor.resync.put_right(plan.id)
        await h.until(lambda: h.shops["london"].shelf["SCARF"] == 5)
        await h.idle()
        assert [shop.shelf["BAG-1"] for shop in h.shops.values()] == [3, 3]
        assert (await h.supervisor.resync.compare()).rows == ()


async def test_a_comparison_hears_of_the_orders_before_it_reads_the_number() -> None:
    """A sale without a webhook is no drift: it explains the lower number, and nobody puts the bag back."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        plan = await h.supervisor.resync.compare(Scope(channels=("dubai",)))
        assert [row.cause.value for row in plan.rows if row.cause.value == "changed at the channel"] == []
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        await h.shows("BAG-1", 4, 4)
        assert total(h.org.of(f"order:dubai:{number}:")) == (0, 1)


async def test_an_unknown_sku_is_a_dead_letter_and_is_entered_when_its_level_is_there() -> None:
    """The shop sold what the org does not know; other orders go on."""
    async with house({BAG: 5}) as h:
        h.shops["dubai"].shelf["MYSTERY"] = 1
        number = h.shops["dubai"].buy("MYSTERY")
        await h.deliver("dubai", number)
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 4, 4)
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert letter.source == "dubai"
        assert "MYSTERY" in letter.reason
        assert letter.advice
        h.org.add("MYSTERY|ECOM", 2)
        h.org.tell("wake-ups", levels=frozenset({h.org.id_of(h.org.level("MYSTERY|ECOM").key)}), events=1)
        await h.until(lambda: h.org.numbers("MYSTERY|ECOM") == (2, 1))
        await h.until_kept(lambda tx: not tx.dead_letters())


async def test_an_order_that_cannot_be_read_is_set_aside_and_blocks_nobody() -> None:
    """Signed and senseless."""
    async with house({BAG: 5}) as h:
        body = b"senseless"
        assert await h.door.accept("dubai", {"x-signature": "signed senseless"}, body)
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 4, 4)
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert (letter.source, letter.reason, letter.payload) == (
            "dubai",
            "the order cannot be read",
            "senseless",
        )


async def test_a_channel_that_is_gone_from_the_settings_stops_nobody() -> None:
    """Its uncovered order wakes with a receipt, and the others' orders go on."""
    async with house({BAG: 1}) as h:
        one, two = (h.shops[name].buy("BAG-1") for name in ("london", "dubai"))
        await h.deliver("london", one)
        await h.idle()
        await h.deliver("dubai", two)
        await h.until_kept(lambda tx: [line.channel for line in tx.uncovered_lines(["BAG-1"])] == ["dubai"])
        await h.kill()
        h.shops.pop("dubai")
        await h.start()
        h.org.move(BAG, on_hand=5)
        await h.shows("BAG-1", 4)  # one is still owed to Dubai's customer
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.until(lambda: total(h.org.of("order:london")) == (0, 2))


async def test_mirrored_shops_that_both_sell_the_last_one_are_told_of_with_both_orders() -> None:
    """One oversold: the incident names both; a receipt covers the loser and closes it."""
    async with house({BAG: 1}) as h:
        one, two = (h.shops[name].buy("BAG-1") for name in ("london", "dubai"))
        await asyncio.gather(h.deliver("london", one), h.deliver("dubai", two))
        await h.until_kept(lambda tx: tx.incidents())
        await h.idle()
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        detail = json.dumps(incident.detail)
        assert incident.kind == "oversold"
        assert incident.detail["units"] == 1
        assert f"#{one}" in detail
        assert f"#{two}" in detail
        assert h.org.numbers(BAG) == (1, 1)
        await h.shows("BAG-1", 0, 0)
        h.org.move(BAG, on_hand=3)
        await h.until(lambda: h.org.numbers(BAG) == (4, 2))
        await h.until_kept(lambda tx: not tx.incidents())
        await h.shows("BAG-1", 2, 2)


async def test_how_long_a_shop_showed_the_last_one_that_was_gone_is_kept_and_told() -> None:
    """Sold at the till while London does not answer: a spell until the zero is confirmed; gated, none."""
    async with house({BAG: 2}, shops=("london",)) as h:
        h.shops["london"].next.extend(["later"] * 3)
        began = h.clock.now()
        h.org.move(BAG, on_hand=-2)
        await h.shows("BAG-1", 0)
        await h.idle()
        now = h.clock.now()
        told = await h.store.read(lambda tx: exposure(tx, h.ctx.assortment, began, now))
        (scarce,), (number,) = told["classes"], told["emptied"]
        assert (scarce["channel"], scarce["skus"], scarce["units"], scarce["spells"]) == (
            "london",
            "scarce",
            0,
            1,
        )
        assert scarce["longest"] is not None
        assert scarce["longest"]["units"] == 2
        assert 0 < scarce["longest"]["seconds"] < (now - began).total_seconds()
        assert (number["offered"], number["allocated_sooner_seconds"], number["allocated_left"]) == (
            2,
            None,
            2,
        )
        assert number["gated_sooner_seconds"] == scarce["longest"]["seconds"]


async def test_cancelling_the_uncovered_order_ends_the_incident_too() -> None:
    """The shop's people gave the money back."""
    async with house({BAG: 1}) as h:
        one, two = (h.shops[name].buy("BAG-1") for name in ("london", "dubai"))
        await h.deliver("london", one)
        await h.idle()
        await h.deliver("dubai", two)
        await h.until_kept(lambda tx: tx.incidents())
        h.shops["dubai"].change(two, open_quantity=0, taken_quantity=0)
        await h.deliver("dubai", two)
        await h.until_kept(lambda tx: not tx.incidents())
        await h.idle()
        await h.shows("BAG-1", 0, 0)


async def test_a_gated_shop_keeps_showing_the_unit_that_its_own_shopper_holds() -> None:
    """Who asked first may pay; the other site shows nothing; the order settles it."""
    async with house({BAG: 1}, rules=(GATED,)) as h:
        outcome = await h.reserve("BAG-1", shop="london")
        await h.shows("BAG-1", 1, 0)
        assert (await h.reserve("BAG-1", shop="dubai")).problem == "unavailable"
        assert outcome.reservation is not None
        number = h.shops["london"].buy("BAG-1", reservations=(outcome.reservation.id,))
        await h.deliver("london", number)
        await h.idle()
        await h.shows("BAG-1", 0, 0)
        assert h.org.numbers(BAG) == (1, 1)
        assert await h.store.read(lambda tx: tx.incidents()) == []


@pytest.mark.parametrize("order_first", [True, False])
async def test_an_order_without_a_mark_finds_the_reservation_confirmed_for_it(order_first: bool) -> None:
    """Confirmed before or after its order is seen: one unit, held once, and no incident."""
    async with house({BAG: 1}, rules=(GATED,)) as h:
        outcome = await h.reserve("BAG-1", shop="london")
        assert outcome.reservation is not None
        number = h.shops["london"].buy("BAG-1")
        if order_first:
            await h.deliver("london", number)
            await h.idle()
        await h.desk.confirm(outcome.reservation.id, f"#{number}")
        if not order_first:
            await h.deliver("london", number)
        await h.idle()
        await h.shows("BAG-1", 0, 0)
        assert h.org.numbers(BAG) == (1, 1)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_asking_for_what_is_sold_out_shows_nothing_for_a_moment_either() -> None:
    """A shopper asks at a sold-out gated shop: not one push."""
    async with house({BAG: 0}, rules=(GATED,)) as h:
        for shop in h.shops.values():
            shop.sent.clear()
        for _ in range(3):
            assert (await h.reserve("BAG-1", shop="london")).problem == "unavailable"
        await h.idle()
        assert [shop.sent for shop in h.shops.values()] == [[], []]


async def test_an_allocated_shop_sells_its_allocation_and_nobody_else_sees_it() -> None:
    """Set aside in the org first, shown after; a sale settles out of it in one bundle."""
    async with house({BAG: 2}, rules=(ALLOCATED,)) as h:
        await h.shows("BAG-1", 2, 0)
        assert h.org.numbers(BAG) == (2, 2)
        assert (await h.reserve("BAG-1", shop="dubai")).problem == "unavailable"
        h.org.requests.clear()
        number = h.shops["london"].buy("BAG-1")
        await h.deliver("london", number)
        await h.idle()
        assert h.org.requests == [["allocation:london:BAG-1|ECOM:1", f"order:london:{number}:1:0"]]
        assert (total(h.org.of("allocation:")), total(h.org.of("order:"))) == ((0, 1), (0, 1))
        await h.shows("BAG-1", 1, 0)
        h.shops["london"].change(number, open_quantity=0, taken_quantity=0)
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("allocation:")) == (0, 2))
        await h.shows("BAG-1", 2, 0)
        assert ["allocation:london:BAG-1|ECOM:2", f"order:london:{number}:1:1"] in h.org.requests


async def test_a_receipt_is_set_aside_before_it_is_shown() -> None:
    """At no moment does the shop show more than is reserved for it."""
    async with house({BAG: 1}, rules=(ALLOCATED,), shops=("london",)) as h:
        h.org.next.extend(["lost", "later", "reply lost"])
        h.org.move(BAG, on_hand=4)
        await h.until(lambda: _never_above(h) or h.shops["london"].shelf["BAG-1"] == 5)
        assert h.org.numbers(BAG) == (5, 5)


def _never_above(h: House) -> bool:
    assert h.shops["london"].shelf["BAG-1"] <= total(h.org.of("allocation:"))[1]
    return False


async def test_an_org_that_will_not_set_aside_is_not_asked_without_end() -> None:
    """An administrator's validation refuses allocations: told, and tried again after a pause."""
    async with house({BAG: 1}, rules=(ALLOCATED,), shops=("london",)) as h:
        h.org.wrong.add("Allocation")
        h.org.requests.clear()
        h.org.move(BAG, on_hand=4)
        await h.until_kept(lambda tx: tx.dead_letters())
        for _ in range(5):
            h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: tx.levels_of(["BAG-1"])[0].on_hand == 10)
        assert len(h.org.requests) <= 2


async def test_lost_units_do_not_stay_lost_when_stock_flickers_amid_sales() -> None:
    """Both shops sell and cancel at random while a till sells and receives: everything agrees at the end."""
    async with house({BAG: 40, "SCARF|ECOM": 9}) as h:
        h.poll_seconds = 1e6
        orders: list[tuple[str, str]] = []
        for turn in range(30):
            name = ("london", "dubai")[turn % 2]
            if turn % 5 == 4:
                shop, number = orders.pop(0)
                h.shops[shop].change(number, open_quantity=0, taken_quantity=0)
                await h.deliver(shop, number)
            elif turn % 7 == 3:
                h.org.move(BAG, on_hand=-1)
            elif h.shops[name].shelf["BAG-1"]:
                orders.append((name, h.shops[name].buy("BAG-1")))
                h.shops[name].next.append(("", "reply lost", "lost", "later")[turn % 4])
                h.org.next.append(("", "later", "reply lost", "lost")[turn % 4])
                await h.deliver(*orders[-1])
        await h.idle()
        for shop, number in orders:
            assert total(h.org.of(f"order:{shop}:{number}:")) == (0, 1)
        level = h.org.level(BAG)
        assert level.reserved == len(orders)
        await h.shows("BAG-1", level.available, level.available)


async def test_two_edits_around_a_reading_that_are_heard_of_as_one_are_counted_once() -> None:
    """One more, the number read again, one more: only the newest order is heard of, and tells of both."""
    async with house({BAG: 9}, shops=("london",)) as h:
        shop = h.shops["london"]
        number = shop.buy("BAG-1")
        await h.deliver("london", number)
        await h.shows("BAG-1", 8)
        shop.change(number, open_quantity=2, taken_quantity=2)  # nobody hears of it
        await asyncio.sleep(2.2)
        await h.store.write(lambda tx: tx.set_problem("london", "BAG-1", "online", IN_DOUBT, h.clock.now()))
        for name in h.shops:
            await h.supervisor.reconcile.recheck(name)
        await asyncio.sleep(2.2)
        shop.change(number, open_quantity=3, taken_quantity=3)
        await h.deliver("london", number)
        await h.idle()
        await h.shows("BAG-1", 6)
        assert h.org.numbers(BAG) == (9, 3)


async def test_units_called_off_that_the_channel_may_have_kept_have_its_number_read_again() -> None:
    """One more and one fewer, and nobody says whether that one went back on the shelf: it did not."""
    async with house({BAG: 9}) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1", 2)
        await h.deliver("london", number)
        await h.shows("BAG-1", 7, 7)
        london.shelf["BAG-1"] -= 1
        london.change(number, taken_in_doubt=True)
        await h.deliver("london", number, "both edits at once")
        await h.shows("BAG-1", 7, 7)


async def test_a_shop_that_takes_nothing_for_now_is_asked_ever_more_seldom() -> None:
    """Each time with the newest numbers, and within a quarter of a minute of its return."""
    async with house({BAG: 5}, shops=("london",)) as h:
        h.shops["london"].next.extend(["later"] * 8)
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4)
        told = [line for line in h.logged if str(line.get("outcome", "")).startswith("not now")]
        waits = [float(str(line["next"]).removeprefix("again in ").removesuffix(" s")) for line in told]
        assert len(waits) == 8
        assert waits[0] <= 0.3
        assert 7.5 <= waits[-1] <= 15
