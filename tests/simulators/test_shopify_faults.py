"""Trouble that can be ordered from the simulated shop: what was done, and what its caller sees."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.simulators.shop_kit import ADJUST, Client, opened


async def adjust(shop: Client, key: str = "k") -> httpx.Response:
    """Take one unit away; the answer as it comes."""
    call = {"name": "available", "reason": "correction", "changes": [shop.row("BAG-1", delta=-1)]}
    return await shop.post(ADJUST, input=call, key=key)


async def available(shop: Client) -> int:
    """Units left of the article."""
    return (await shop.states("BAG-1"))["available"]


@pytest.mark.parametrize(
    ("kind", "settings", "status", "left"),
    [
        ("error_before", {"status": 500}, 500, 5),
        ("error_before", {}, 503, 5),
        ("error_after", {}, 502, 4),
        ("too_many_requests", {"seconds": 2.0}, 429, 5),
        ("unavailable", {"seconds": 2.0}, 503, 5),
        ("wrong_credential", {}, 401, 5),
    ],
)
async def test_a_status_tells_nothing_of_what_was_done(
    kind: str, settings: dict[str, Any], status: int, left: int
) -> None:
    """Before or after the write; the same key then brings the truth."""
    async with opened() as shop:
        await shop.fault(kind, match="inventoryAdjustQuantities", **settings)
        answer = await adjust(shop)
        assert answer.status_code == status
        assert await available(shop) == left
        if kind in ("too_many_requests", "unavailable"):
            assert answer.headers["Retry-After"] == "2.0"
        repeated = (await adjust(shop)).json()["data"]["inventoryAdjustQuantities"]
        assert repeated["userErrors"] == []
        assert await available(shop) == 4


@pytest.mark.parametrize(("kind", "left"), [("cut_before", 5), ("cut_after", 4), ("half_answer", 4)])
async def test_a_connection_may_end_before_or_after_the_write(kind: str, left: int) -> None:
    """The caller sees the connection end, and cannot know which it was."""
    async with opened() as shop:
        await shop.fault(kind)
        with pytest.raises(httpx.TransportError):
            await adjust(shop)
        assert await available(shop) == left
        assert (await adjust(shop)).json()["data"]["inventoryAdjustQuantities"]["userErrors"] == []
        assert await available(shop) == 4


async def test_half_a_document_may_come_in_a_whole_message() -> None:
    """Status 200, JSON that ends amid a word; the write was done."""
    async with opened() as shop:
        await shop.fault("broken_json")
        answer = await adjust(shop)
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()
        assert await available(shop) == 4


async def test_an_accepted_write_may_not_have_been_applied() -> None:
    """The answer is that of a success, and the number is the old one."""
    async with opened() as shop:
        await shop.fault("not_applied")
        payload = (await adjust(shop)).json()["data"]["inventoryAdjustQuantities"]
        assert payload["userErrors"] == []
        assert payload["inventoryAdjustmentGroup"]["changes"][0]["delta"] == -1
        assert await available(shop) == 5


@pytest.mark.parametrize(("kind", "left"), [("delay_before", 4), ("delay_after", 4)])
async def test_a_caller_that_gives_up_does_not_stop_the_write(kind: str, left: int) -> None:
    """The time-out is the caller's; the shop goes on."""
    async with opened() as shop:
        await shop.fault(kind, seconds=0.5)
        shop.http.timeout = 0.2
        with pytest.raises(httpx.ReadTimeout):
            await adjust(shop)
        assert (await shop.control.get("/log", params={"wait": 10})).json()["changes"][0]["after"] == left


async def test_a_call_may_be_throttled_out_of_the_blue() -> None:
    """THROTTLED although the bucket is full."""
    async with opened() as shop:
        await shop.fault("throttled")
        answer = (await adjust(shop)).json()
        assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
        assert await available(shop) == 5


async def test_a_fault_strikes_whom_and_how_often_it_was_told() -> None:
    """Only the matching field, after the skipped ones, so many times; then it is over."""
    async with opened() as shop:
        await shop.fault("error_before", match="inventoryAdjustQuantities", skip=1, times=2)
        statuses = [(await adjust(shop, key)).status_code for key in "abcd"]
        assert statuses == [200, 503, 503, 200]
        await shop.fault("error_before", match="orders", times=0)
        assert (await shop.post("{ shop { name } }")).status_code == 200
        for _ in range(3):
            assert (await shop.post("{ orders(first: 1) { nodes { id } } }")).status_code == 503
        assert (await shop.control.get("/faults")).json()["faults"][0]["struck"] == 3
        await shop.control.delete("/faults")
        assert (await shop.post("{ orders(first: 1) { nodes { id } } }")).status_code == 200


async def test_a_wrong_order_for_trouble_is_refused() -> None:
    """With the kinds there are."""
    async with opened() as shop:
        unknown = await shop.control.post("/faults", json={"kind": "earthquake"})
        assert unknown.status_code == 422
        assert "half_answer" in unknown.json()["error"]
        assert (await shop.control.post("/faults", json={"kind": "lose", "colour": 1})).status_code == 422


async def test_the_storefront_itself_may_fail_its_shoppers() -> None:
    """Closed before the sale, or cut off after it: the shopper does not know that they own it."""
    async with opened() as shop:
        await shop.fault("shop_error")
        assert (await shop.buy("BAG-1")).status_code == 503
        await shop.fault("shop_cut_after")
        with pytest.raises(httpx.TransportError):
            await shop.buy("BAG-1", reference="buyer-9")
        orders = (await shop.control.get("/orders")).json()["orders"]
        assert [order["reference"] for order in orders] == ["buyer-9"]


async def test_staff_edits_and_the_log_need_what_exists() -> None:
    """422 with the name of what does not."""
    async with opened() as shop:
        for body in (
            {"sku": "NONE", "set": 1},
            {"sku": "BAG-1", "location": "Moon", "set": 1},
            {"sku": "BAG-1", "name": "x"},
        ):
            assert (await shop.control.post("/stock", json=body)).status_code == 422
        edited = await shop.control.post("/stock", json={"sku": "BAG-1", "location": "Online", "delta": -2})
        assert edited.json() == {"sku": "BAG-1", "location": "Online", "after": 3}
        assert (await shop.control.get("/health")).json()["shop"] == "london.myshopify.test"
