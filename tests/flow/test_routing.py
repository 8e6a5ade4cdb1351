"""Which location a line takes where the channel assigns it: by its own answer, early, late, and changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import House, house, total
from tests.flow.routing_kit import BOND, MALL, PLAN, known_for_long, london, routing, sold

from sfsync.domain.assortment import PolicyRule, SharedOrders
from sfsync.domain.ats import Guarantee
from sfsync.domain.org_orders import ACTIVATED, ORG_CHANNEL, OrgItem, OrgOrder, OrgOrderRules
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.sources import Source
from sfsync.flow import allocations
from sfsync.flow.orders import record
from sfsync.ports import Tx
from sfsync.store.tables import channel_level

STOCK = {"BAG-1|BOND": 5, "BAG-1|MALL": 5}


async def standing(h: House, *, seen: tuple[int, int], bond: tuple[int, int], mall: tuple[int, int]) -> None:
    """Wait until shop and org stand like this: numbers seen, and (on hand, reserved) of both levels."""

    def found() -> tuple[object, ...]:
        return london(h).seen(), h.org.numbers("BAG-1|BOND"), h.org.numbers("BAG-1|MALL")

    await h.until(lambda: found() == (seen, bond, mall), of=found)
    await h.idle()
    await h.until(lambda: found() == (seen, bond, mall), of=found)
    for level in await h.store.read(lambda tx: tx.channel_levels(channel="london")):
        shown = london(h).shelves[level.location][level.sku]
        assert (level.published, level.problem) == (shown, ""), level.location


@pytest.mark.parametrize("by", ["webhook", "order list"])
@pytest.mark.parametrize("place", [BOND, MALL])
async def test_a_line_takes_the_location_that_the_shop_has_assigned(place: str, by: str) -> None:
    """Sold from the Mall: the Mall's number has fallen, the Mall's stock is reserved, Bond Street has all."""
    async with house(STOCK, **routing()) as h:
        number = london(h).sell(place)
        if by == "webhook":
            await h.deliver("london", number)
        else:
            await h.supervisor.polls.poll("london")
        sold, other = (4, 5), (5, 4)
        if place == BOND:
            await standing(h, seen=sold, bond=(5, 1), mall=(5, 0))
        else:
            await standing(h, seen=other, bond=(5, 0), mall=(5, 1))
        assert total(h.org.of("order:")) == (0, 1)
        if by == "order list" or place == BOND:
            assert len(h.org.of("order:")) == 1  # it never stood anywhere else


async def test_a_sale_without_an_answer_counts_at_the_first_location_until_it_comes() -> None:
    """The shop takes its time; its webhook says when it is done."""
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        number = await sold(h, MALL)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1))
        await h.until(lambda: london(h).asked)
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "routed"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))


async def test_an_order_that_is_not_assigned_yet_is_asked_for_again_by_itself() -> None:
    """Nobody calls; the answer is found all the same, and then it is not asked for any more."""
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        await sold(h, MALL)
        await h.until(lambda: london(h).asked)
        london(h).knows = True
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))
        await h.until(lambda: len(london(h).asked) > 1)  # though the order list may have told it first
        ever = h.clock.now() + timedelta(days=1)
        await h.until_kept(lambda tx: not tx.called_orders("london", ever, 9))


@pytest.mark.parametrize("version", [True, False])
async def test_a_line_follows_when_the_shop_lets_another_location_send_it(version: bool) -> None:
    """Whether or not the order counts as changed by it: released here and reserved there, in one bundle."""
    async with house(STOCK, **routing()) as h:
        number = await sold(h, BOND)
        await standing(h, seen=(4, 5), bond=(5, 1), mall=(5, 0))
        london(h).move(number, MALL, version=version)
        await h.door.accept("london", *london(h).call(number, "moved"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))
        assert h.org.of("order:") == [
            (f"order:london:{number}:1:0", 0, 1),
            (f"order:london:{number}:1:1", 0, -1),
            (f"order:london:{number}:1:2", 0, 1),
        ]
        assert h.org.requests[-1] == [f"order:london:{number}:1:1", f"order:london:{number}:1:2"]


async def test_told_twice_of_a_move_it_is_made_once() -> None:
    """The call comes three times, the order list tells it as well; nothing changes after the first."""
    async with house(STOCK, **routing()) as h:
        number = await sold(h, BOND)
        await standing(h, seen=(4, 5), bond=(5, 1), mall=(5, 0))
        london(h).move(number, MALL, version=True)
        for event in ("one", "two", "three"):
            await h.door.accept("london", *london(h).call(number, event))
            await h.supervisor.polls.poll("london")
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))
        assert len(h.org.of("order:")) == 3


async def test_a_move_to_a_location_without_stock_keeps_the_promise_where_it_is_and_says_so() -> None:
    """Nothing is left at the Mall: Bond Street's unit stays reserved, until the Mall receives one."""
    async with house({"BAG-1|BOND": 5, "BAG-1|MALL": 0}, **routing()) as h:
        number = await sold(h, BOND)
        await standing(h, seen=(4, 0), bond=(5, 1), mall=(0, 0))
        london(h).move(number, MALL, version=True)
        await h.door.accept("london", *london(h).call(number, "moved"))
        await h.until_kept(lambda tx: any(each.kind == "misplaced" for each in tx.incidents()))
        await h.idle()
        assert h.org.numbers("BAG-1|BOND") == (5, 1)
        assert h.org.numbers("BAG-1|MALL") == (0, 0)
        h.org.move("BAG-1|MALL", on_hand=2)
        await standing(h, seen=(5, 1), bond=(5, 0), mall=(2, 1))
        assert not await h.store.read(lambda tx: tx.incidents())


async def test_goods_leave_from_the_location_that_sent_them() -> None:
    """Sent from the Mall before anybody had told us that it was to send them: Bond Street keeps its own."""
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        number = await sold(h, MALL)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1))
        london(h).send(number)
        await h.deliver("london", number)
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(4, 0))


async def test_an_order_that_two_locations_share_is_reserved_at_both() -> None:
    """Three units, two from Bond Street and one from the Mall; then the whole is called off."""
    async with house(STOCK, **routing()) as h:
        number = await sold(h, BOND, units=3)
        await standing(h, seen=(2, 5), bond=(5, 3), mall=(5, 0))
        london(h).split(number, bond=2, mall=1)
        await h.deliver("london", number)
        await standing(h, seen=(3, 4), bond=(5, 2), mall=(5, 1))
        london(h).call_off(number)
        await h.deliver("london", number)
        await standing(h, seen=(5, 5), bond=(5, 0), mall=(5, 0))
        assert total(h.org.of("order:")) == (0, 0)


async def read_the_numbers(h: House) -> None:
    """Somebody has changed both numbers by hand, and an admin's resync takes over what the shop shows."""
    for shelf in london(h).shelves.values():
        shelf["BAG-1"] += 2
    plan = await h.supervisor.resync.compare()
    await h.supervisor.resync.put_right(plan.id)
    await h.idle()


async def test_a_number_read_between_sale_and_answer_counts_the_sale_once() -> None:
    """The reading has seen the sale at the Mall, which we had counted at Bond Street."""
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        number = london(h).sell(MALL)
        london(h).age(number)
        await known_for_long(h)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1))
        await h.idle()
        await read_the_numbers(h)
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "routed"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))


async def test_a_number_read_between_sale_and_edit_has_seen_the_one_and_not_the_other() -> None:
    """Sold from the Mall, read, then a second unit is added from Bond Street: only then we hear from where.

    In sum Bond Street has what we had supposed; its number was read when it had not fallen yet.
    """
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        number = london(h).sell(MALL)
        london(h).age(number)
        await known_for_long(h)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1))
        await h.idle()
        await read_the_numbers(h)
        london(h).split(number, bond=1, mall=1)
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "routed"))
        await standing(h, seen=(4, 4), bond=(5, 1), mall=(5, 1))


@pytest.mark.parametrize("edited", [False, True], ids=["refunded", "edited"])
async def test_what_is_called_off_and_not_put_back_before_we_hear_of_it_was_at_any_location(
    edited: bool,
) -> None:
    """Sold from the Mall, called off and kept, and only then heard of: it may have been Bond Street's too.

    Counted at one of them, the one shows a bag too many ever after, and the other one too few.
    """
    async with house(STOCK, **routing()) as h:
        number = london(h).sell(MALL)
        london(h).keep_back(number, edited=edited)
        await h.supervisor.polls.poll("london")
        await standing(h, seen=(5, 5), bond=(5, 0), mall=(5, 0))


async def test_what_is_moved_called_off_and_not_put_back_was_not_where_we_knew_it() -> None:
    """Assigned to Bond Street, moved to the Mall, refunded and kept there: we hear of the end alone."""
    async with house(STOCK, **routing()) as h:
        number = await sold(h, BOND)
        await standing(h, seen=(4, 5), bond=(5, 1), mall=(5, 0))
        london(h).move(number, MALL, version=True)
        london(h).keep_back(number)
        await h.deliver("london", number)
        await standing(h, seen=(5, 5), bond=(5, 0), mall=(5, 0))


async def test_of_an_order_first_heard_of_after_its_move_every_number_is_read_again() -> None:
    """Sold from Bond Street, both numbers read, then moved; all of it is heard of only now."""
    async with house(STOCK, **routing()) as h:
        shop = london(h)
        number = shop.sell(BOND)
        shop.age(number)
        await known_for_long(h)
        sold_there = shop.orders.pop(number)  # the order list does not show it yet
        await read_the_numbers(h)
        shop.orders[number] = sold_there
        shop.move(number, MALL, version=True)
        ((order,),) = [page async for page in shop.orders_since(sold_there.version)]

        def hear(tx: Tx) -> dict[str, str]:
            record(tx, h.ctx, order, h.clock.now(), set())
            return {level.location: level.problem for level in tx.channel_levels(["BAG-1"], "london")}

        assert await h.store.write(hear) == {BOND: IN_DOUBT, MALL: IN_DOUBT}


async def test_a_move_that_leaves_the_order_as_it_was_is_counted_after_a_reading() -> None:
    """Assigned, both numbers read, then moved; the order's own time of change stays that of the sale."""
    async with house(STOCK, **routing()) as h:
        number = london(h).sell(BOND)
        london(h).age(number)
        await known_for_long(h)
        await h.deliver("london", number)
        await standing(h, seen=(4, 5), bond=(5, 1), mall=(5, 0))
        await read_the_numbers(h)
        london(h).move(number, MALL, version=False)
        await h.door.accept("london", *london(h).call(number, "moved"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))


async def test_a_move_that_a_reading_has_seen_is_not_counted_again() -> None:
    """Moved, both numbers read, then a note is written on the order, and only then we hear of it all."""
    async with house(STOCK, **routing()) as h:
        number = london(h).sell(BOND)
        london(h).age(number)
        await known_for_long(h)
        await h.deliver("london", number)
        await standing(h, seen=(4, 5), bond=(5, 1), mall=(5, 0))
        london(h).move(number, MALL, version=False)
        london(h).knows = False
        await read_the_numbers(h)
        await asyncio.sleep(3)  # longer than the clocks may differ: the change is surely after the reading
        london(h).note(number)
        await h.deliver("london", number)
        await h.until(lambda: london(h).asked[1:])
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "moved"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))


async def test_a_supposed_location_that_turns_out_right_may_have_been_another_meanwhile() -> None:
    """Sold from the Mall and supposed at Bond Street; both numbers read; then moved to Bond Street indeed."""
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        number = london(h).sell(MALL)
        london(h).age(number)
        await known_for_long(h)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1))
        await h.idle()
        await read_the_numbers(h)
        london(h).move(number, BOND, version=False)
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "routed"))
        await standing(h, seen=(4, 5), bond=(5, 1), mall=(5, 0))


@pytest.mark.parametrize("authority", [Source.CHANNEL, Source.ORG])
async def test_an_order_that_the_org_tells_of_too_stands_where_the_shop_says(authority: Source) -> None:
    """Another connector has copied it into the org, before the shop had told us where it stands."""
    shared = {"london": SharedOrders(authority), ORG_CHANNEL: SharedOrders(Source.ORG, ("BOND",))}
    rules = OrgOrderRules({"Web London": "london"})
    async with house(STOCK, **routing(shared=shared, org_rules=rules)) as h:
        london(h).knows = False
        number = london(h).sell(MALL)
        items = [OrgItem("802A", "BAG-1", 1)]
        copy = OrgOrder("801A", "0000801A", ACTIVATED, ACTIVATED, h.clock.now(), items)
        h.org.sells(replace(copy, channel="Web London", reference=number))
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1), of=lambda: h.org.of("order:"))
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "routed"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))
        assert total(h.org.of("order:")) == (0, 1)


async def test_a_kill_after_the_call_was_stored_loses_no_answer() -> None:
    """What was to be read is in the store; the next start reads it."""
    async with house(STOCK, **routing()) as h:
        london(h).next.extend(["later"] * 50)
        await sold(h, MALL)
        await h.until(lambda: london(h).asked)
        await h.kill()
        london(h).next.clear()
        await h.start()
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))


async def test_a_location_that_sells_from_several_takes_the_first_that_has_it() -> None:
    """The Mall sells from its shop and from a store room; an assigned line takes what one of the two has."""
    stock = {"BAG-1|BOND": 5, "BAG-1|MALL": 0, "BAG-1|ROOM": 2}
    plan = {BOND: ("BOND",), MALL: ("MALL", "ROOM")}
    async with house(stock, **routing(plan=plan)) as h:
        await sold(h, MALL)
        await h.until(lambda: h.org.numbers("BAG-1|ROOM") == (2, 1), of=lambda: h.org.of("order:"))
        await h.idle()
        assert (h.org.numbers("BAG-1|BOND"), london(h).seen()) == ((5, 0), (5, 1))


async def test_a_location_that_nobody_named_is_told_by_name_and_its_units_are_reserved_all_the_same() -> None:
    """The shop lets a warehouse send it that no table names; then somebody adds one and starts anew."""
    ware = "gid://shop/Location/9"
    async with house({**STOCK, "BAG-1|WARE": 5}, **routing()) as h:
        london(h).shelves[ware] = {"BAG-1": 7}
        number = london(h).sell(MALL)
        london(h).move(number, ware, version=True)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1), of=lambda: h.org.of("order:"))
        await h.until_kept(lambda tx: tx.incidents())
        (told,) = await h.store.read(lambda tx: tx.incidents())
        assert (told.kind, ware in told.title, "BOND" in told.title) == ("unknown location", True, True)
        assert (told.detail["order"]["name"], "table" in told.detail["remedy"]) == (f"#{number}", True)
        await h.idle()
        assert london(h).seen() == (4, 5)
        await h.kill()
        h.plan = {**PLAN, ware: ("WARE",)}
        await h.start()
        await h.until(lambda: h.org.numbers("BAG-1|WARE") == (5, 1), of=lambda: h.org.of("order:"))
        await standing(h, seen=(5, 5), bond=(5, 0), mall=(5, 0))
        assert not await h.store.read(lambda tx: tx.incidents())


async def test_nothing_is_raised_at_one_location_while_another_still_shows_what_was_shared() -> None:
    """Bags turn scarce: Bond Street's are set aside for the shop. The Mall shows three that nobody holds.

    It cannot be lowered. Raised nevertheless, both numbers are out, and the shop sells more than its own.
    """
    scarce = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, scarce_at=3, plentiful_at=9)
    async with house({"BAG-1|BOND": 4, "BAG-1|MALL": 3}, **routing(rules=(scarce,))) as h:
        shop = london(h)
        await h.until(lambda: shop.seen() == (4, 3))
        await h.idle()
        shop.stuck.add(MALL)
        h.org.move("BAG-1|BOND", on_hand=-4)
        await h.until(lambda: shop.seen() == (0, 3), of=shop.seen)
        h.org.move("BAG-1|BOND", on_hand=2)
        await h.until(lambda: total(h.org.of("allocation:london:"))[1] == 2)
        await h.idle()
        assert shop.seen() == (0, 3)


ALLOCATED = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)


async def misplaced(h: House) -> bool:
    """An incident says that a unit is reserved elsewhere than it is to be sent from."""
    return any(each.kind == "misplaced" for each in await h.store.read(lambda tx: tx.incidents()))


async def test_a_sale_at_one_location_uses_up_what_is_set_aside_at_another() -> None:
    """The last bag is set aside at Bond Street. The shop lets the Mall send it, which has none: it is sold.

    Never do both numbers offer it again; when the Mall has one, the order moves there and the right is back.
    """
    async with house({"BAG-1|BOND": 1, "BAG-1|MALL": 0}, **routing(rules=(ALLOCATED,))) as h:
        await h.until(lambda: london(h).seen() == (1, 0), of=london(h).seen)
        await h.idle()
        london(h).written.clear()
        await sold(h, MALL)
        await h.until(lambda: london(h).seen() == (0, 0), of=london(h).seen)
        await h.idle()
        assert h.org.numbers("BAG-1|BOND") == (1, 1)
        assert (total(h.org.of("allocation:")), total(h.org.of("order:"))) == ((0, 0), (0, 1))
        assert await misplaced(h)
        assert london(h).written == [(0, -1), (0, 0)]
        h.org.move("BAG-1|MALL", on_hand=1)
        await h.until(lambda: h.org.numbers("BAG-1|MALL") == (1, 1), of=lambda: h.org.of("order:"))
        await h.idle()
        assert not await misplaced(h)
        assert (total(h.org.of("allocation:")), h.org.numbers("BAG-1|BOND")) == ((0, 1), (1, 1))


async def test_a_number_below_zero_stays_there_while_another_location_still_offers_the_unit() -> None:
    """Bond Street's number cannot be lowered: raised to nothing at the Mall, the bag would be sold again."""
    async with house({"BAG-1|BOND": 1, "BAG-1|MALL": 0}, **routing(rules=(ALLOCATED,))) as h:
        await h.until(lambda: london(h).seen() == (1, 0), of=london(h).seen)
        london(h).stuck.add(BOND)
        await sold(h, MALL)
        await h.until(lambda: h.org.of("order:"), of=lambda: h.org.of("order:"))
        await h.idle()
        assert london(h).seen() == (1, -1)


async def test_what_a_misplaced_order_gives_up_is_the_shops_own_again_and_no_alarm_is_raised() -> None:
    """Sold at the Mall out of Bond Street's, and called off: the shop sells it again, before anybody else.

    The Mall's number has it for a moment; it comes to Bond Street's as soon as the order list is known.
    """
    async with house({"BAG-1|BOND": 1, "BAG-1|MALL": 0}, **routing(rules=(ALLOCATED,))) as h:
        await h.until(lambda: london(h).seen() == (1, 0), of=london(h).seen)
        number = await sold(h, MALL)
        await h.until(lambda: london(h).seen() == (0, 0), of=london(h).seen)
        await h.idle()
        london(h).call_off(number)
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("allocation:")) == (0, 1), of=lambda: h.org.of("allocation:"))
        await h.until(lambda: london(h).seen() == (0, 0), of=london(h).seen)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 0)
        aged = type_coerce(channel_level.c.changed_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(channel_level).values(changed_at=aged)))
        assert await h.store.write(lambda tx: allocations.explain(tx, h.ctx)) == {"BAG-1"}
        h.org.move("BAG-1|BOND", on_hand=1)
        await h.until(lambda: london(h).seen() == (2, 0), of=london(h).seen)
        assert not await h.store.read(lambda tx: tx.incidents())
        assert h.org.numbers("BAG-1|BOND") == (2, 2)


async def test_the_log_says_why_a_line_took_its_location() -> None:
    """First supposed, then told by the shop."""
    async with house(STOCK, **routing()) as h:
        london(h).knows = False
        number = await sold(h, MALL)
        await h.until(lambda: h.org.numbers("BAG-1|BOND") == (5, 1))
        london(h).knows = True
        await h.door.accept("london", *london(h).call(number, "routed"))
        await standing(h, seen=(5, 4), bond=(5, 0), mall=(5, 1))
        told = [(line["because"], line["rows"]) for line in h.logged if line["event"] == "line to the org"]
        assert told == [
            ("the channel has not assigned it yet", ["Order BOND reserved +1"]),
            ("the channel assigned it", ["Release BOND reserved -1", "Order MALL reserved +1"]),
        ]
