"""How shoppers and staff move units in the simulated shop."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest
from tests.simulators.shop_kit import Client, opened, receiving, seed

from sfsync.simulators.shopify import Knobs, ShopClock

NOW = 1_795_000_000.0


async def test_a_sale_commits_units_and_answers_the_order() -> None:
    """201 with the order's id, name, time and line items; on_hand stays."""
    async with opened() as shop:
        order = await shop.bought(
            "BAG-1", 2, reference="buyer-7", note_attributes=[{"name": "reservation", "value": "r-7"}]
        )
        assert order["name"] == "#1001"
        assert order["admin_graphql_api_id"] == f"gid://shopify/Order/{order['id']}"
        assert order["created_at"].endswith("Z")
        assert (order["reference"], order["note_attributes"]) == ("buyer-7", {"reservation": "r-7"})
        (line,) = order["line_items"]
        assert (line["sku"], line["quantity"], line["locations"]) == ("BAG-1", 2, {"Online": 2})
        assert await shop.states("BAG-1") == {"available": 3, "committed": 2, "on_hand": 5}


async def test_a_shopper_sees_the_number_and_when_it_last_changed() -> None:
    """Without any credential; units of places that do not serve the web do not count."""
    async with opened(
        seed("BAG-1", {"Online": 2, "Store": 9}), token=None, clock=ShopClock(frozen_at=NOW)
    ) as shop:
        before = (await shop.http.get("/storefront/products/BAG-1")).json()
        assert (before["available"], before["in_stock"], before["changed_at_ms"]) == (2, True, None)
        await shop.bought("BAG-1", 2)
        after = (await shop.http.get("/storefront/products/BAG-1")).json()
        assert (after["available"], after["in_stock"], after["changed_at_ms"]) == (0, False, NOW * 1000)
        assert after["locations"] == {"Online": 0, "Store": 9}
        everything = (await shop.http.get("/storefront/products")).json()["products"]
        assert everything == [after]


async def test_an_sku_may_have_slashes_blanks_and_letters_of_any_script() -> None:
    """It is bought and looked at as it is."""
    sku = "été/36 ½ крокодил"
    async with opened(seed(sku)) as shop:
        await shop.bought(sku)
        assert (await shop.http.get(httpx.URL("/storefront/products/" + sku))).json()["available"] == 4


async def test_nothing_is_sold_below_zero_where_that_is_denied() -> None:
    """409 sold_out with what is left, and no order."""
    async with opened(seed("BAG-1", 1)) as shop:
        answer = await shop.buy("BAG-1", 2)
        assert answer.status_code == 409
        assert answer.json() == {"error": "sold_out", "sku": "BAG-1", "available": 1}
        assert (await shop.control.get("/orders")).json() == {"orders": []}
        assert await shop.states("BAG-1") == {"available": 1, "committed": 0, "on_hand": 1}


async def test_the_last_piece_is_sold_once_however_many_want_it() -> None:
    """Twenty shoppers at the same instant: one order, nineteen 409."""
    async with opened(seed("BAG-1", 1)) as shop:
        answers = await asyncio.gather(*(shop.buy("BAG-1") for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


async def test_two_checkouts_can_race_when_the_knob_allows_it() -> None:
    """As between checkouts of a real shop: the second payment is taken too."""
    knobs = Knobs(payment_seconds=0.3, recheck_stock_at_payment=False)
    async with opened(seed("BAG-1", 1), knobs=knobs) as shop:
        answers = await asyncio.gather(shop.buy("BAG-1"), shop.buy("BAG-1"))
        assert [answer.status_code for answer in answers] == [201, 201]
        assert (await shop.states("BAG-1"))["available"] == -1
    async with opened(seed("BAG-1", 1), knobs=Knobs(payment_seconds=0.3)) as shop:
        answers = await asyncio.gather(shop.buy("BAG-1"), shop.buy("BAG-1"))
        assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_where_selling_on_is_allowed_the_number_becomes_a_debt() -> None:
    """CONTINUE sells below zero."""
    async with opened(seed("PRE-1", 1, inventory_policy="CONTINUE")) as shop:
        await shop.bought("PRE-1", 3)
        assert await shop.states("PRE-1") == {"available": -2, "committed": 3, "on_hand": 1}


async def test_an_untracked_article_is_sold_without_counting() -> None:
    """Its order has a line, its stock no change."""
    async with opened(seed("CARD", 0, tracked=False)) as shop:
        await shop.bought("CARD", 3)
        assert (await shop.control.get("/log")).json()["changes"] == []


async def test_a_sale_takes_from_the_place_it_is_told() -> None:
    """Also from a place that does not serve the web, as over its counter."""
    async with opened(seed("BAG-1", {"Online": 1, "Store": 1})) as shop:
        order = await shop.bought("BAG-1", location="Store", source_name="pos")
        assert order["line_items"][0]["locations"] == {"Store": 1}
        assert (await shop.buy("BAG-1", location="Store")).status_code == 409


async def test_a_sale_is_split_where_no_place_has_all() -> None:
    """Two places that serve the web give a unit each, and each gets its fulfilment order."""
    async with opened(seed("BAG-1", {"Online": 1, "Store": 1}), offline_locations=()) as shop:
        order = await shop.bought("BAG-1", 2)
        assert order["line_items"][0]["locations"] == {"Online": 1, "Store": 1}
        assert (await shop.buy("BAG-1")).status_code == 409


async def test_an_order_may_have_several_articles_or_none_at_all_sold() -> None:
    """When one of them is sold out, nothing of the order is sold."""
    async with opened(seed("A"), seed("B", 1)) as shop:
        lines = [{"sku": "A", "quantity": 2}, {"sku": "B"}]
        answer = await shop.http.post("/storefront/buy", json={"line_items": lines})
        assert [line["sku"] for line in answer.json()["line_items"]] == ["A", "B"]
        assert (await shop.http.post("/storefront/buy", json={"line_items": lines})).status_code == 409
        assert (await shop.states("A"))["available"] == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sku": "NONE"}, 404),
        ({"sku": "BAG-1", "location": "Moon"}, 404),
        ({"sku": "BAG-1", "quantity": 0}, 422),
        ({"sku": "BAG-1", "quantity": "2"}, 422),
        ({"sku": "BAG-1", "note_attributes": "x"}, 422),
        ({"line_items": "x"}, 422),
        ([], 400),
    ],
)
async def test_a_wrong_purchase_is_refused_by_name(body: Any, status: int) -> None:
    """The storefront says what it cannot read."""
    async with opened() as shop:
        answer = await shop.http.post("/storefront/buy", json=body)
        assert answer.status_code == status
        assert answer.json()["message"]


@pytest.mark.parametrize(
    ("restock", "after"),
    [
        (True, {"available": 5, "committed": 0, "on_hand": 5}),
        (False, {"available": 3, "committed": 0, "on_hand": 3}),
    ],
)
async def test_a_cancel_gives_units_back_only_when_asked_to(restock: bool, after: dict[str, int]) -> None:
    """Without a restock the units are gone."""
    async with opened() as shop:
        order = await shop.bought("BAG-1", 2)
        answer = await shop.staff(order, "cancel", restock=restock)
        assert answer.json()["cancelled_at"]
        assert answer.json()["line_items"][0]["current_quantity"] == 0
        assert await shop.states("BAG-1") == after
        assert (await shop.staff(order, "cancel")).status_code == 422


async def test_the_api_cancels_an_order_too() -> None:
    """orderCancel with and without restock; an unknown order and a cancelled one are refused by code."""
    text = """mutation($id: ID!, $restock: Boolean!) {
      orderCancel(orderId: $id, reason: INVENTORY, restock: $restock) {
        job { id done } orderCancelUserErrors { code field message }
      }
    }"""
    async with opened() as shop:
        order = await shop.bought("BAG-1", 2)
        call = {"id": order["admin_graphql_api_id"], "restock": False}
        done = (await shop.ask(text, **call))["orderCancel"]
        assert done["orderCancelUserErrors"] == []
        assert done["job"]["done"] is True
        assert await shop.states("BAG-1") == {"available": 3, "committed": 0, "on_hand": 3}
        again = (await shop.ask(text, **call))["orderCancel"]
        assert again["orderCancelUserErrors"][0]["code"] == "INVALID"
        unknown = (await shop.ask(text, id="gid://shopify/Order/1", restock=True))["orderCancel"]
        assert unknown["orderCancelUserErrors"][0]["code"] == "NOT_FOUND"


async def test_what_is_sent_leaves_the_house() -> None:
    """A fulfilment lowers committed and on_hand; part by part; a sent order cannot be cancelled."""
    async with opened() as shop:
        order = await shop.bought("BAG-1", 3)
        part = await shop.staff(order, "fulfil", line_items=[{"sku": "BAG-1", "quantity": 1}])
        assert part.json()["fulfillment_status"] == "partial"
        assert await shop.states("BAG-1") == {"available": 2, "committed": 2, "on_hand": 4}
        assert (await shop.staff(order, "cancel")).status_code == 422
        whole = await shop.staff(order, "fulfil")
        assert whole.json()["fulfillment_status"] == "fulfilled"
        assert await shop.states("BAG-1") == {"available": 2, "committed": 0, "on_hand": 2}


async def test_a_parcel_that_never_left_is_committed_again() -> None:
    """A cancelled fulfilment gives units back to the order, not to the shelf; it can be cancelled then."""
    async with opened() as shop:
        order = await shop.bought("BAG-1", 2)
        await shop.staff(order, "fulfil")
        back = await shop.staff(order, "unfulfil")
        assert back.json()["fulfillment_status"] is None
        assert await shop.states("BAG-1") == {"available": 3, "committed": 2, "on_hand": 5}
        assert (await shop.staff(order, "unfulfil")).status_code == 422
        assert (await shop.staff(order, "cancel")).status_code == 200


@pytest.mark.parametrize(
    ("restock", "after"),
    [
        (True, {"available": 4, "committed": 0, "on_hand": 4}),
        (False, {"available": 3, "committed": 0, "on_hand": 3}),
    ],
)
async def test_a_return_comes_back_only_with_a_restock(restock: bool, after: dict[str, int]) -> None:
    """One of two sent units is refunded."""
    async with opened() as shop:
        order = await shop.bought("BAG-1", 2)
        await shop.staff(order, "fulfil")
        line = {"sku": "BAG-1", "quantity": 1, "restock": restock}
        assert (await shop.staff(order, "refund", line_items=[line])).json()[
            "financial_status"
        ] == "partially_refunded"
        assert await shop.states("BAG-1") == after
        too_many = [{"sku": "BAG-1", "quantity": 2}]
        assert (await shop.staff(order, "refund", line_items=too_many)).status_code == 422


async def test_a_return_may_go_back_to_another_place() -> None:
    """The units appear where they were handed in."""
    async with opened() as shop:
        order = await shop.bought("BAG-1", 1)
        await shop.staff(order, "fulfil")
        await shop.staff(order, "refund", location="Store")
        assert (await shop.states("BAG-1", at="Store"))["available"] == 1


@pytest.mark.parametrize("setting", ["same_line", "new_line"])
async def test_an_edit_moves_units_up_and_down(setting: str) -> None:
    """What `quantity` of a line means after an edit is a knob; the units are the same."""
    async with opened(knobs=Knobs(edit_raises=setting)) as shop:
        order = await shop.bought("BAG-1", 2)
        edited = (
            await shop.staff(
                order, "edit", line_items=[{"sku": "BAG-1", "delta": 1}, {"sku": "BAG-2", "delta": 1}]
            )
        ).json()
        lines = [(line["sku"], line["quantity"]) for line in edited["line_items"]]
        assert lines == (
            [("BAG-1", 3), ("BAG-2", 1)]
            if setting == "same_line"
            else [("BAG-1", 2), ("BAG-1", 1), ("BAG-2", 1)]
        )
        assert await shop.states("BAG-1") == {"available": 2, "committed": 3, "on_hand": 5}
        down = (
            await shop.staff(order, "edit", line_items=[{"id": order["line_items"][0]["id"], "delta": -2}])
        ).json()
        assert down["line_items"][0]["current_quantity"] == (1 if setting == "same_line" else 0)
        assert await shop.states("BAG-1") == {"available": 4, "committed": 1, "on_hand": 5}
        assert (
            await shop.staff(order, "edit", line_items=[{"sku": "BAG-2", "delta": -2}])
        ).status_code == 422


async def test_a_move_charges_another_place() -> None:
    """The old place has its units back, the new one has them committed."""
    async with opened(seed("BAG-1", {"Online": 2, "Store": 1})) as shop:
        order = await shop.bought("BAG-1")
        moved = await shop.staff(order, "move", location="Store")
        assert moved.json()["line_items"][0]["locations"] == {"Store": 1}
        assert await shop.states("BAG-1") == {"available": 2, "committed": 0, "on_hand": 2}
        assert await shop.states("BAG-1", at="Store") == {"available": 0, "committed": 1, "on_hand": 1}
        assert await assigned_places(shop) == [("CLOSED", "Online"), ("OPEN", "Store")]
        assert (await shop.staff(order, "move", location="Store")).status_code == 422


async def test_the_routing_may_be_done_after_the_sale() -> None:
    """The units are taken at once; who sends them is told later, and may be changed only then."""
    clock = ShopClock(frozen_at=1_800_000_000)
    async with opened(
        seed("BAG-1", {"Online": 2, "Store": 1}), clock=clock, knobs=Knobs(routing_seconds=30)
    ) as shop:
        order = await shop.bought("BAG-1")
        assert await shop.states("BAG-1") == {"available": 1, "committed": 1, "on_hand": 2}
        assert await assigned_places(shop) == []
        assert (await shop.staff(order, "move", location="Store")).status_code == 422
        clock.move(30)
        assert await assigned_places(shop) == [("OPEN", "Online")]
        assert (await shop.staff(order, "move", location="Store")).is_success


@pytest.mark.parametrize("told", [True, False])
async def test_the_routing_is_told_where_the_knob_allows_it(told: bool) -> None:
    """A sale and a move: each has a webhook of its own, or none."""
    async with (
        receiving() as receiver,
        opened(
            seed("BAG-1", {"Online": 2, "Store": 1}),
            webhook_url=receiver.url,
            knobs=Knobs(routing_webhooks=told),
        ) as shop,
    ):
        order = await shop.bought("BAG-1")
        await shop.staff(order, "move", location="Store")
        await shop.staff(order, "fulfil")
        await receiver.wait("orders/fulfilled")
        routing = {"fulfillment_orders/order_routing_complete", "fulfillment_orders/moved"}
        if told:
            await receiver.wait(*routing, count=2)
        named = {each["topic"] for each in await shop.deliveries()}
        assert named & routing == (routing if told else set())


@pytest.mark.parametrize("touches", [True, False])
async def test_a_move_changes_the_orders_time_where_the_knob_says_so(touches: bool) -> None:
    """Else nothing in the order list tells that anything has happened."""
    clock = ShopClock(frozen_at=1_800_000_000)
    async with opened(
        seed("BAG-1", {"Online": 2, "Store": 1}), clock=clock, knobs=Knobs(move_touches_order=touches)
    ) as shop:
        order = await shop.bought("BAG-1")
        before = await changed_at(shop)
        clock.move(60)
        await shop.staff(order, "move", location="Store")
        assert (await changed_at(shop) != before) is touches


async def changed_at(shop: Client) -> str:
    """When the only order was changed last."""
    data = await shop.ask("{ orders(first: 1) { nodes { updatedAt } } }")
    return str(data["orders"]["nodes"][0]["updatedAt"])


async def assigned_places(shop: Client) -> list[tuple[str, str]]:
    """Status and place of the only order's fulfilment orders."""
    data = await shop.ask(
        "{ orders(first: 1) { nodes { fulfillmentOrders(first: 5) {"
        " nodes { status assignedLocation { name } } } } } }"
    )
    rows = data["orders"]["nodes"][0]["fulfillmentOrders"]["nodes"]
    return [(row["status"], row["assignedLocation"]["name"]) for row in rows]


async def test_units_add_up_whatever_is_done_to_orders() -> None:
    """Over many random deeds, on_hand is its parts, and the log explains every number."""
    async with opened(seed("BAG-1", {"Online": 30, "Store": 10}), offline_locations=()) as shop:
        rng = random.Random(7)
        orders = [await shop.bought("BAG-1", rng.randint(1, 3)) for _ in range(10)]
        for _ in range(60):
            order, verb = (
                rng.choice(orders),
                rng.choice(["cancel", "fulfil", "unfulfil", "refund", "edit", "move"]),
            )
            body: dict[str, Any] = {"restock": rng.random() < 0.7}
            if verb == "edit":
                body["line_items"] = [{"sku": "BAG-1", "delta": rng.choice([-1, 1])}]
            if verb == "move":
                body["location"] = rng.choice(["Online", "Store"])
            assert (await shop.staff(order, verb, **body)).status_code in (200, 422)
        changes = (await shop.control.get("/log", params={"names": "all"})).json()["changes"]
        for place, opening in (("Online", 30), ("Store", 10)):
            states = await shop.states("BAG-1", at=place)
            mine = [row for row in changes if row["location"] == place]
            assert states["available"] == opening + sum(
                row["delta"] for row in mine if row["name"] == "available"
            )
            assert states["committed"] == sum(row["delta"] for row in mine if row["name"] == "committed")
            assert states["on_hand"] == states["available"] + states["committed"]
        open_units = sum(
            line["current_quantity"] - line["fulfilled_quantity"]
            for order in (await shop.control.get("/orders")).json()["orders"]
            for line in order["line_items"]
            if not order["refunds"] and not order["cancelled_at"]
        )
        committed = sum(
            [(await shop.states("BAG-1", at=place))["committed"] for place in ("Online", "Store")]
        )
        assert committed >= open_units >= 0
