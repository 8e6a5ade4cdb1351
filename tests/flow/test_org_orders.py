"""Orders that live in the org, alone and beside the storefront that sold them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.flow.kit import SALES, House, house, total
from tests.flow.test_counts import ago, count, counted_by_a_person, long_ago

from sfsync.domain.assortment import SharedOrders
from sfsync.domain.coverage import How, answer
from sfsync.domain.org_orders import (
    ACTIVATED,
    ORG_CHANNEL,
    OrgItem,
    OrgOrder,
    OrgOrderRules,
    OrgReduction,
    OrgReturnLine,
)
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.reservations import ReservationKind, Wish, WishedLine
from sfsync.domain.sku_mapping import Sheet, SkuMapping
from sfsync.domain.sources import Source
from sfsync.flow.org_orders import MARK
from sfsync.flow.sku_mappings import SkuMappings
from sfsync.ports import Refused

BAG, BACK = "BAG-1|ECOM", "BAG-1|RETURNS"
RULES = OrgOrderRules(
    {"Web London": "london"},
    cancelled_statuses=frozenset({"Cancelled"}),
    fulfilled_statuses=frozenset({"Shipped"}),
    received_statuses=frozenset({"Closed"}),
)


def shared(authority: Source = Source.CHANNEL) -> dict[str, SharedOrders]:
    return {
        "london": SharedOrders(authority, returns_to="RETURNS"),
        ORG_CHANNEL: SharedOrders(Source.ORG, ("ECOM",), "RETURNS"),
    }


def order(h: House, number: str = "801A", units: int = 1, **what: object) -> OrgOrder:
    made = OrgOrder(
        number, f"0000{number}", ACTIVATED, ACTIVATED, h.clock.now(), [OrgItem("802A", "BAG-1", units)]
    )
    return replace(made, **what)  # type: ignore[arg-type]  # fields by name


def told(h: House, number: str = "801A") -> tuple[int, int]:
    return total(h.org.of(f"order:org:{number}"))


async def test_while_the_stream_of_orders_is_away_its_polls_are_what_is_known() -> None:
    """The permission is lost for a while: the orders are read all the same, and the time counts as polled."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        h.org.broken[SALES] = [Refused("permission lost", advice="give it back") for _ in range(1000)]
        h.org.hang_up(SALES)
        await h.until(lambda: h.pulse.stream_error.get(SALES) == "permission lost")
        h.org.sells(order(h, units=2), told=False)
        await orders.poll()
        h.org.sells(order(h, "801B", items=[OrgItem("802B", "BAG-1", 1)]), told=False)
        await orders.poll()
        await h.shows("BAG-1", 6, 6)
        now = h.clock.now()
        polled = [
            each
            for each in await h.store.read(lambda tx: tx.coverage(h.pulse.started_at, now))
            if each.source == SALES and each.how is How.POLLED
        ]
        assert [(each.why, each.found) for each in polled] == [("permission lost", "2 orders had changed")]
        broke = await h.store.read(lambda tx: tx.last_watched(SALES))
        assert broke is not None
        assert answer(SALES, (broke, polled[0].until), polled).missed is False
        h.org.broken.clear()
        await h.idle()


async def test_an_order_activated_in_the_org_reserves_and_each_change_of_it_is_one_step() -> None:
    """Draft: nothing. Activated, edited up, reduced, shipped, come back: always just the difference."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        h.org.sells(order(h, status="Draft", status_code="Draft", units=2))
        h.org.sells(order(h, units=2))
        await h.until(lambda: told(h) == (0, 2), of=lambda: told(h))
        await h.shows("BAG-1", 7, 7)
        h.org.sells(order(h, units=3))
        await h.until(lambda: told(h) == (0, 3))
        less = OrgReduction("802A", -1, ACTIVATED, ACTIVATED)
        h.org.sells(order(h, units=3, reductions=[replace(less, status_code="Draft")]))
        h.org.sells(order(h, units=3, reductions=[less]))
        await h.until(lambda: told(h) == (0, 2))
        h.org.sells(order(h, units=3, reductions=[less], status="Shipped"))
        await h.until(lambda: told(h) == (-2, 0))
        back = OrgReturnLine("0raA", "RO-1", "BAG-1", 1, None, "Draft", h.clock.now(), "802A")
        h.org.sells(order(h, units=3, reductions=[less], status="Shipped", returns=[back]))
        closed = replace(back, status="Closed")
        h.org.sells(
            order(h, units=3, reductions=[less, less], status="Shipped", returns=[closed]),
        )
        await h.until(lambda: BACK in map(str, h.org.keys.values()) and h.org.numbers(BACK) == (1, 0))
        await h.idle()
        assert h.org.numbers(BAG) == (7, 0)
        await h.shows("BAG-1", 7, 7)  # what came back waits for a person


async def test_an_order_that_nobody_has_saved_since_it_was_read_is_kept_as_it_stands() -> None:
    """Every poll reads the orders of the last minutes. One saved well before it was read last says nothing
    new; one that was saved since is heard, also where it says the same."""
    async with house({BAG: 5}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None

        async def heard() -> datetime:
            lines = await h.store.read(lambda tx: tx.lines_of_org_order("801A"))
            version: datetime = lines[0].words[Source.ORG].version
            return version

        h.org.sells(order(h, units=2, changed_at=ago(h, 10)))
        await h.until(lambda: told(h) == (0, 2))
        first = await heard()
        await orders.poll()
        assert await heard() == first
        h.org.sells(order(h, units=2, changed_at=h.clock.now()), told=False)
        await orders.poll()
        assert await heard() > first
        h.org.sells(order(h, units=1, changed_at=ago(h, 10)), told=False)  # an item alone was saved
        await orders.poll()
        await h.until(lambda: told(h) == (0, 1))


@pytest.mark.parametrize("end", ["draft again", "cancelled", "deleted", "gone"])
async def test_an_order_that_ends_gives_its_units_back(end: str) -> None:
    """Deactivated, cancelled, in the recycle bin, or erased without a trace."""
    async with house({BAG: 5}, shared=shared(), org_rules=RULES) as h:
        h.org.sells(order(h, units=2))
        await h.shows("BAG-1", 3, 3)
        if end == "gone":
            del h.org.orders["801A"]
            h.org.tell(SALES, orders=frozenset({"801A"}), events=1)
        else:
            endings: dict[str, dict[str, object]] = {
                "draft again": {"status": "Draft", "status_code": "Draft"},
                "cancelled": {"status": "Cancelled"},
                "deleted": {"deleted": True},
            }
            h.org.sells(
                replace(order(h, units=2), **endings[end])  # type: ignore[arg-type]  # fields by name
            )
        await h.shows("BAG-1", 5, 5)
        assert told(h) == (0, 0)


async def test_an_order_that_no_event_told_of_is_found_by_the_poll_once() -> None:
    """The stream lost it; the poll reads what changed, and reading it again changes nothing."""
    async with house({BAG: 5}, shared=shared(), org_rules=RULES) as h:
        h.org.sells(order(h, units=2), told=False)
        assert h.supervisor.org_orders is not None
        for _ in range(3):
            await h.supervisor.org_orders.poll()
        await h.shows("BAG-1", 3, 3)
        h.org.returns["0raB"] = (
            OrgReturnLine("0raB", "RO-2", "BAG-1", 1, 1, "Draft", h.clock.now()),
            h.clock.now(),
        )
        await h.supervisor.org_orders.poll()
        await h.until(lambda: BACK in map(str, h.org.keys.values()) and h.org.numbers(BACK) == (1, 0))
        await h.supervisor.org_orders.poll()
        await h.idle()
        assert h.org.of("order:org:801A") == [("order:org:801A:802A:0", 0, 2)]
        assert h.org.numbers(BACK) == (1, 0)


async def test_an_order_made_while_we_were_away_is_found_and_one_from_before_us_is_not_ours() -> None:
    """The bookmark was refused meanwhile: what changed in the hole is read again."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        await h.kill()
        h.org.sells(order(h, "801B", 2), told=False)
        h.org.sells(order(h, "801C", 1, placed_at=h.clock.now() - timedelta(days=9)), told=False)
        await h.put_cursor(SALES, b"\xff" * 8)
        await h.start()
        await h.shows("BAG-1", 7, 7)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 2)


@pytest.mark.parametrize("authority", list(Source))
@pytest.mark.parametrize("first", list(Source))
async def test_a_webhook_and_a_record_in_the_org_tell_of_one_sale(first: Source, authority: Source) -> None:
    """London sells two; another connector copies the order into the org. Two are reserved, not four."""
    async with house({BAG: 9}, shared=shared(authority), org_rules=RULES) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1", 2)
        copy = order(h, units=2, channel="Web London", reference=f"#{number}")
        steps = {Source.CHANNEL: lambda: h.deliver("london", number), Source.ORG: None}
        for source in (first, *(other for other in Source if other is not first)):
            if steps[source] is None:
                h.org.sells(copy)
                await h.until_kept(lambda tx: tx.lines_of_org_order("801A"))
            else:
                await h.deliver("london", number)
            await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        await h.idle()
        assert total(h.org.of("order:")) == (0, 2)
        await h.shows("BAG-1", 7, 7)

        london.change(number, open_quantity=0, fulfilled_quantity=2)
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("order:")) == (-2, 0))
        closed = OrgReturnLine("0raA", "RO-1", "BAG-1", 2, 2, "Closed", h.clock.now(), "802A")
        h.org.sells(replace(copy, returns=[closed]))
        await h.until(lambda: BACK in map(str, h.org.keys.values()) and h.org.numbers(BACK) == (2, 0))
        london.change(number, open_quantity=0, fulfilled_quantity=2, returned_quantity=2)
        await h.deliver("london", number)
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(BACK)) == ((7, 0), (2, 0))

        # The copy in the org is erased for good; London tells of the order, and of what came back, as before.
        orders = h.supervisor.org_orders
        assert orders is not None
        del h.org.orders["801A"]
        h.org.returns["0raA"] = (replace(closed, item_id=""), h.clock.now())
        for _ in range(2):
            await orders.poll()
            await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(BACK), told(h, "0raA")) == ((7, 0), (2, 0), (0, 0))


@pytest.mark.parametrize("authority", list(Source))
@pytest.mark.parametrize("shops", [0, 1, 2], ids=lambda units: f"the shop takes {units} back")
@pytest.mark.parametrize(
    "tellings", [("shop", "copy", "erased"), ("copy", "shop", "erased"), ("copy", "erased", "shop")]
)
async def test_an_erased_copy_and_its_storefront_are_one_order_in_whatever_order_they_tell(
    tellings: tuple[str, ...], shops: int, authority: Source
) -> None:
    """Three were sent, one came back by a return order; a customer is forgotten, and London may tell at last.

    What the org's return has brought back is what London takes back, too: never one beside the other.
    """
    async with house({BAG: 9, BACK: 0}, shared=shared(authority), org_rules=RULES) as h:
        london, orders = h.shops["london"], h.supervisor.org_orders
        assert orders is not None
        number = london.buy("BAG-1", 3)
        london.change(number, open_quantity=0, fulfilled_quantity=3, returned_quantity=shops)
        back = OrgReturnLine("0raA", "RO-1", "BAG-1", 1, 1, "Closed", h.clock.now(), "802A")
        copy = order(h, units=3, channel="Web London", reference=f"#{number}", status="Shipped")
        for telling in (*tellings, tellings[-1]):
            if telling == "shop":
                await h.deliver("london", number, f"{telling} {tellings.index(telling)}")
            elif telling == "copy":
                h.org.sells(replace(copy, returns=[back]), told=False)
            else:
                h.org.orders.pop("801A", None)
                h.org.returns["0raA"] = (replace(back, item_id=""), h.clock.now())
            await orders.poll()
            await h.idle()
        came = max(1, shops)
        assert (h.org.numbers(BAG), h.org.numbers(BACK)) == ((6, 0), (came, 0)), h.org.of("order:")


@pytest.mark.parametrize("authority", list(Source))
@pytest.mark.parametrize("draft_first", [False, True])
async def test_a_copy_that_is_still_a_draft_puts_no_sold_unit_back_on_sale(
    authority: Source, draft_first: bool
) -> None:
    """The last bag is London's #1; the platform makes the connector begin its copy with a draft.

    Activated, it is the same sale; opened again by a person, it is the authority that counts.
    """
    async with house({BAG: 1}, shared=shared(authority), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        number = h.shops["london"].buy("BAG-1", 1)
        copy = order(h, channel="Web London", reference=f"#{number}")
        draft = replace(copy, status="Draft", status_code="Draft")
        if draft_first:
            h.org.sells(draft, told=False)
            await orders.poll()
        await h.deliver("london", number)
        await h.shows("BAG-1", 0, 0)
        h.org.sells(draft, told=False)
        await orders.poll()
        await h.idle()
        assert [units for _, *units in h.org.of("order:")] == [[0, 1]]
        h.org.sells(copy, told=False)
        await orders.poll()
        await h.idle()
        assert [units for _, *units in h.org.of("order:")] == [[0, 1]]
        await h.shows("BAG-1", 0, 0)
        h.org.sells(draft, told=False)
        await orders.poll()
        left = 1 if authority is Source.ORG else 0
        await h.shows("BAG-1", left, left)
        await h.idle()
        assert h.org.numbers(BAG) == (1, 1 - left)


async def test_what_left_by_an_order_in_the_org_before_a_count_is_in_the_count() -> None:
    """Shipped at five, while we are away; four of five counted at six; then it is read."""
    async with house({BAG: 5}, shared=shared(), org_rules=RULES) as h:
        long_ago(h)
        h.org.sells(order(h))
        await h.until(lambda: told(h) == (0, 1))
        await h.kill()
        h.org.sells(order(h, status="Shipped", changed_at=ago(h, 15)), told=False)
        counted_by_a_person(h, -1, ago(h, 14), told=False)
        await h.start()
        await h.until(lambda: told(h) == (-1, 0), of=lambda: told(h))
        await h.idle()
        assert [units for _, units, _ in h.org.of("late:")] == [1]
        assert h.org.numbers(BAG) == (4, 0)


async def test_what_came_back_before_a_count_of_the_returns_is_in_the_count() -> None:
    """Return orders have no events: received at five, counted at six, read by the next poll."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        long_ago(h)
        h.org.sells(order(h, units=2, status="Shipped"))
        await h.until(lambda: told(h) == (-2, 0))
        back = OrgReturnLine("0raA", "RO-1", "BAG-1", 1, 1, "Closed", h.clock.now(), "802A")
        back = replace(back, changed_at=ago(h, 2))
        h.org.sells(order(h, units=2, status="Shipped", returns=[back]), told=False)
        assert (await count(h, 1, ago(h, 1), place=BACK)).variance == 1
        await orders.poll()
        await h.until(lambda: told(h) == (-1, 0), of=lambda: told(h))
        await h.idle()
        assert h.org.numbers(BACK) == (1, 0)


async def test_a_return_that_is_linked_to_its_order_later_is_one_return() -> None:
    """A bag comes back and nobody knows whose; staff find its order, then that it was another's."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        first = order(h, units=2, status="Shipped")
        second = order(h, "801B", items=[OrgItem("802B", "BAG-1", 1)], status="Shipped")
        for sold in (first, second):
            h.org.sells(sold)
        await h.until(lambda: (told(h), told(h, "801B")) == ((-2, 0), (-1, 0)))
        back = OrgReturnLine("0raB", "RO-2", "BAG-1", 1, 1, "Closed", h.clock.now())
        h.org.returns["0raB"] = (back, h.clock.now())
        await orders.poll()
        await h.until(lambda: h.org.numbers(BACK) == (1, 0))

        del h.org.returns["0raB"]
        h.org.sells(replace(first, returns=[replace(back, item_id="802A")]), told=False)
        await orders.poll()
        await h.until(lambda: told(h) == (-1, 0), of=lambda: told(h))
        await h.idle()
        assert (h.org.numbers(BACK), told(h, "0raB")) == ((1, 0), (0, 0))

        # An order that lost its return has not changed itself: no poll would name it.
        h.org.orders["801A"] = (first, h.clock.now() - timedelta(days=1))
        h.org.sells(replace(second, returns=[replace(back, item_id="802B")]), told=False)
        await orders.poll()
        await h.until(lambda: (told(h), told(h, "801B")) == ((-2, 0), (0, 0)))
        await h.idle()
        assert h.org.numbers(BACK) == (1, 0)

        h.org.orders["801B"] = (second, h.clock.now() - timedelta(days=1))
        h.org.returns["0raB"] = (back, h.clock.now())
        await orders.poll()
        await h.until(lambda: (told(h, "801B"), told(h, "0raB")) == ((-1, 0), (1, 0)))
        await h.idle()
        assert (h.org.numbers(BACK), h.org.numbers(BAG)) == ((1, 0), (6, 0))


async def test_a_return_whose_order_was_erased_is_one_return() -> None:
    """The order is erased for good: its return names nobody any more. One bag came back, and then another."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        first = OrgReturnLine("0raB", "RO-2", "BAG-1", 1, 1, "Closed", h.clock.now(), "802A")
        later = OrgReturnLine("0raC", "RO-3", "BAG-1", 1, None, "Submitted", h.clock.now(), "802A")
        h.org.sells(order(h, units=3, status="Shipped", returns=[first, later]))
        await h.until(lambda: (told(h), h.org.numbers(BACK)) == ((-2, 0), (1, 0)))
        del h.org.orders["801A"]
        for line in (first, later):
            h.org.returns[line.line_id] = (replace(line, item_id=""), h.clock.now())
        await orders.poll()
        await h.until(lambda: told(h, "0raB") == (1, 0), of=lambda: told(h, "0raB"))
        await h.idle()
        assert (h.org.numbers(BACK), h.org.numbers(BAG), told(h)) == ((1, 0), (6, 0), (-3, 0))
        came = replace(later, item_id="", received=1, status="Closed")
        h.org.returns["0raC"] = (came, h.clock.now())
        for _ in range(2):
            await orders.poll()
            await h.until(lambda: told(h, "0raC") == (1, 0), of=lambda: told(h, "0raC"))
            await h.idle()
        assert (h.org.numbers(BACK), h.org.numbers(BAG), told(h)) == ((2, 0), (6, 0), (-3, 0))


async def test_a_return_that_is_linked_to_an_order_from_before_us_stays_entered() -> None:
    """Nothing of that order is ours to enter, and yet the bag lies there."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        back = OrgReturnLine("0raB", "RO-2", "BAG-1", 1, 1, "Closed", h.clock.now())
        h.org.returns["0raB"] = (back, h.clock.now())
        await orders.poll()
        await h.until(lambda: h.org.numbers(BACK) == (1, 0))
        del h.org.returns["0raB"]
        old = order(h, status="Shipped", placed_at=h.clock.now() - timedelta(days=9))
        h.org.sells(replace(old, returns=[replace(back, item_id="802A")]), told=False)
        await orders.poll()
        await h.idle()
        assert (h.org.numbers(BACK), h.org.of("order:org:801A")) == ((1, 0), [])


@pytest.mark.parametrize("item", ["", "802A"], ids=["of no order", "of an order from before us"])
async def test_a_return_announced_before_us_and_received_after_is_entered(item: str) -> None:
    """The parcel was on its way back on the day that sfsync began. One that lay there by then is not ours."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES, begin=False) as h:
        ago9 = h.clock.now() - timedelta(days=9)
        lines = {
            "0raC": OrgReturnLine("0raC", "RO-3", "BAG-1", 1, None, "Submitted", ago9, item),
            "0raD": OrgReturnLine("0raD", "RO-4", "BAG-1", 1, 1, "Closed", ago9, item),
            "0raE": OrgReturnLine("0raE", "RO-5", "BAG-1", 1, None, "Closed", ago9, item),
        }
        old = order(h, status="Shipped", placed_at=ago9, items=[OrgItem("802A", "BAG-1", 3)])

        def stand(at: datetime) -> None:
            if item:
                h.org.orders["801A"] = (replace(old, returns=list(lines.values())), at)
            else:
                h.org.returns.update({number: (line, at) for number, line in lines.items()})

        stand(ago9)
        await h.start()
        await h.until_kept(lambda tx: tx.poll_mark(MARK))
        await h.idle()
        orders = h.supervisor.org_orders
        assert orders is not None
        assert h.org.numbers(BACK) == (0, 0)
        for number, line in lines.items():  # received, and a note is added to the others
            lines[number] = replace(line, received=1, status="Closed", changed_at=h.clock.now())
        stand(h.clock.now())
        for _ in range(2):
            await orders.poll()
            await h.until(lambda: h.org.numbers(BACK) == (1, 0))
            await h.idle()
        assert (told(h, "0raC"), told(h, "0raD"), told(h, "0raE"), told(h)) == (
            (1, 0),
            (0, 0),
            (0, 0),
            (0, 0),
        )


async def test_a_return_of_an_order_from_before_us_that_is_made_now_is_entered() -> None:
    """She bought it last month and brings it back today, by an order that nobody here ever entered."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        old = order(h, status="Shipped", placed_at=h.clock.now() - timedelta(days=30))
        back = OrgReturnLine("0raB", "RO-2", "BAG-1", 1, 1, "Closed", h.clock.now(), "802A")
        h.org.sells(replace(old, returns=[back]))
        await h.until(lambda: h.org.numbers(BACK) == (1, 0))
        await orders.poll()
        await h.idle()
        assert (h.org.numbers(BACK), told(h), h.org.numbers(BAG)) == ((1, 0), (0, 0), (9, 0))


async def test_a_product_without_a_sku_waits_for_a_person_and_holds_up_no_other_line() -> None:
    """Two of it beside a scarf: the scarf is reserved, and the two are once somebody says what they are."""
    async with house({BAG: 9, "SCARF|ECOM": 5}, shared=shared(), org_rules=RULES) as h:
        items = [OrgItem("802A", "", 2, product="01tA"), OrgItem("802B", "SCARF", 1)]
        h.org.sells(order(h, items=items))
        await h.shows("SCARF", 4, 4)
        await h.until_kept(lambda tx: tx.dead_letters())
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert "the line has no SKU (product 01tA)" in letter.reason
        assert letter.advice.startswith("give product 01tA a SKU")
        desk = SkuMappings(h.ctx, [], h.supervisor.writer.look_again)
        sheet = Sheet([(2, SkuMapping("no SKU|product 01tA", "BAG-1"))], ())
        given = await desk.give(sheet, "Anna Kay", partial=False, dry_run=False, yes_change=None)
        assert given["letters"] == 1
        await h.shows("BAG-1", 7, 7)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_a_gift_wrap_is_no_goods_and_asks_nobody() -> None:
    """The bag is reserved. The wrapping has no SKU, the engraving one of its own: neither is a line.

    A fee that nobody has named waits for a person, who is told where to name it.
    """
    rules = replace(RULES, not_goods={"Product2.Family": ("Service", "gift wrap*")})
    async with house({BAG: 9, BACK: 0, "ENGRAVING|ECOM": 5}, shared=shared(), org_rules=rules) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        items = [
            OrgItem("802A", "BAG-1", 1),
            OrgItem("802B", "", 1, product="01tB", told={"Product2.Family": "Gift Wrap, large"}),
            OrgItem("802C", "ENGRAVING", 1, told={"Product2.Family": "Service"}),
            OrgItem("802D", "", 1, product="01tD", told={"Product2.Family": "Fees"}),
        ]
        back = OrgReturnLine("0raA", "RO-1", "ENGRAVING", 1, 1, "Closed", h.clock.now(), "802C")
        h.org.sells(order(h, items=items, returns=[back]))
        await h.until_kept(lambda tx: tx.dead_letters())
        await h.idle()
        assert told(h) == (0, 1)
        assert h.org.numbers("ENGRAVING|ECOM") == (5, 0)
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert "product 01tD" in letter.reason
        assert "[org_orders] not_goods" in letter.advice
        loose = replace(back, line_id="0raB", item_id="", told={"Product2.Family": "Service"})
        h.org.returns["0raB"] = (loose, h.clock.now())
        await orders.poll()
        await h.idle()
        assert h.org.numbers("ENGRAVING|ECOM") == (5, 0)


async def test_a_cancelled_sale_without_a_sku_concerns_nobody_any_more() -> None:
    """Nothing was entered of it: its letter and its incident end with the order."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        sold = order(h, items=[OrgItem("802A", "", 2, product="01tA")])
        h.org.sells(sold)
        await h.until_kept(lambda tx: tx.dead_letters() and tx.incidents())
        h.org.sells(replace(sold, status="Cancelled"))
        await h.until_kept(lambda tx: not tx.dead_letters() and not tx.incidents())


async def test_no_more_comes_back_than_was_sold_and_a_person_is_told() -> None:
    """Somebody types 20 for 2: two lie at the returns, and the letter ends when it is corrected."""
    async with house({BAG: 9, BACK: 0}, shared=shared(), org_rules=RULES) as h:
        orders = h.supervisor.org_orders
        assert orders is not None
        back = OrgReturnLine("0raA", "RO-1", "BAG-1", 2, 20, "Closed", h.clock.now(), "802A")
        h.org.sells(order(h, units=2, status="Shipped", returns=[back]), told=False)
        await orders.poll()
        await h.until(lambda: h.org.numbers(BACK) == (2, 0))
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert "20 of 'BAG-1' are said to have come back, and 2 were sold (return RO-1)" in letter.reason
        h.org.sells(order(h, units=2, status="Shipped", returns=[replace(back, received=1)]), told=False)
        await orders.poll()
        await h.until(lambda: h.org.numbers(BACK) == (1, 0))
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_the_reference_may_be_filled_in_after_the_order_was_activated() -> None:
    """First nobody knows that it is London's; then it is, and its own units are given back."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        number = h.shops["london"].buy("BAG-1", 2)
        await h.deliver("london", number)
        h.org.sells(order(h, units=2))
        await h.until(lambda: total(h.org.of("order:")) == (0, 4))  # two sales, as far as anybody can know
        h.org.sells(order(h, units=2, channel="Web London", reference=number))
        await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        await h.shows("BAG-1", 7, 7)


@pytest.mark.parametrize("arrivals", list(itertools.permutations("cCoO"))[::3])
async def test_edits_from_either_source_in_any_order_end_at_the_authoritys_numbers(arrivals: str) -> None:
    """Small letter: as placed (1). Capital: as edited (3 in the storefront, 2 in the org)."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1", 1)
        webhooks = {"c": london.webhook(number)}
        london.change(number, open_quantity=3, taken_quantity=3)
        webhooks["C"] = london.webhook(number)
        copies = {
            mark: order(h, units=units, channel="Web London", reference=number)
            for mark, units in (("o", 1), ("O", 2))
        }
        for mark in (*arrivals, *arrivals):
            if mark in webhooks:
                await h.door.accept("london", *webhooks[mark])
            else:
                h.org.sells(copies[mark])
        await h.until(lambda: total(h.org.of("order:")) == (0, 3))
        await h.idle()
        assert total(h.org.of("order:")) == (0, 3)
        await h.shows("BAG-1", 6, 6)


async def test_the_same_copy_in_the_org_twice_adds_nothing() -> None:
    """A connector that repeats itself wrote the order into the org under two ids: the storefront's counts."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        number = h.shops["london"].buy("BAG-1", 2)
        for org_id, item in (("801A", "802A"), ("801B", "802B")):
            copy = order(h, org_id, 2, channel="Web London", reference=number)
            h.org.sells(replace(copy, items=[OrgItem(item, "BAG-1", 2)]))
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("order:")) == (0, 2), of=lambda: h.org.of("order:"))
        await h.idle()
        assert total(h.org.of("order:")) == (0, 2)


async def test_what_came_back_is_sold_by_nobody_before_a_person_released_it() -> None:
    """Neither a reservation nor an order that names the place gets it."""
    async with house({BAG: 1, BACK: 3}, shared=shared(), org_rules=RULES) as h:
        await h.shows("BAG-1", 1, 1)
        wish = Wish(
            ReservationKind.CART, "london", "c", (WishedLine("BAG-1", 1, "RETURNS"),), timedelta(hours=1)
        )
        outcome = await h.desk.create(wish, idempotency_key=None, digest="")
        assert outcome.problem == "unknown-sku"
        h.org.sells(order(h, items=[OrgItem("802A", "BAG-1", 1, location="RETURNS")]))
        await h.until_kept(
            lambda tx: [letter for letter in tx.dead_letters() if "no stock level" in letter.reason]
        )
        assert h.org.numbers(BACK) == (3, 0)


async def test_a_kill_between_the_event_and_its_effect_costs_nothing_and_doubles_nothing() -> None:
    """The bookmark moves with what the order wants; told again after each start, it counts once."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        for number in range(4):
            name = f"801{number}"
            h.org.sells(order(h, name, items=[OrgItem(f"802{number}", "BAG-1", 1)]))
            h.org.tell(SALES, orders=frozenset({name}), events=1)
            if number % 2:
                wanted = number + 1
                await h.until(lambda: total(h.org.of("order:")) == (0, wanted))  # noqa: B023 — awaited in this very turn
            await h.kill()
            await h.start()
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        assert total(h.org.of("order:")) == (0, 4)


async def test_an_order_item_that_is_taken_off_in_the_org_is_given_back() -> None:
    """The order was opened again, a line deleted, and activated: what it no longer names is not wanted."""
    async with house({BAG: 9, "BELT|ECOM": 3}, shared=shared(), org_rules=RULES) as h:
        both = [OrgItem("802A", "BAG-1", 1), OrgItem("802B", "BELT", 2)]
        h.org.sells(order(h, items=both))
        await h.shows("BELT", 1, 1)
        h.org.sells(order(h, items=both[:1]))
        await h.shows("BELT", 3, 3)
        assert told(h) == (0, 1)


async def test_a_sale_that_the_org_told_of_first_is_not_taken_off_a_number_that_had_seen_it() -> None:
    """London's webhook is late; its number was read after the sale, and a copy lies in the org already."""
    async with house({BAG: 9}, shared=shared(), org_rules=RULES) as h:
        london = h.shops["london"]
        number, at = london.buy("BAG-1", 2), h.clock.now() - timedelta(hours=1)
        london.orders[number] = replace(london.orders[number], version=at, placed_at=at)
        await h.store.write(lambda tx: tx.set_problem("london", "BAG-1", "online", IN_DOUBT, h.clock.now()))
        await h.supervisor.reconcile.recheck("london")
        await h.until_kept(lambda tx: not tx.channel_levels(["BAG-1"], "london")[0].problem)
        await h.let_a_minute_pass()
        h.org.sells(order(h, units=2, channel="Web London", reference=f"#{number}"))
        await h.shows("BAG-1", 7, 7)
        await h.deliver("london", number)
        await h.until_kept(lambda tx: [w for line in tx.lines_of_org_order("801A") for w in line.words][1:])
        await h.idle()
        await h.shows("BAG-1", 7, 7)
