"""How the simulated Admin API treats idempotency keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.simulators.shop_kit import ADJUST, SET, Client, codes, opened, until

from sfsync.simulators.shopify import Knobs, ShopClock

NOW = 1_795_000_000.0


def call(shop: Client, delta: int = -1) -> dict[str, Any]:
    """The input of an adjust by one unit."""
    return {"name": "available", "reason": "correction", "changes": [shop.row("BAG-1", delta=delta)]}


@pytest.mark.parametrize("mutation", [SET, ADJUST])
async def test_a_mutation_without_a_key_is_refused(mutation: str) -> None:
    """HTTP 200, no data, one error that speaks of the directive."""
    async with opened() as shop:
        unkeyed = mutation.replace("@idempotent(key: $key)", "").replace(", $key: String!", "")
        rows = (
            {"quantities": [shop.row("BAG-1", quantity=1)]}
            if mutation is SET
            else {"changes": [shop.row("BAG-1", delta=1)]}
        )
        answer = (
            await shop.post(unkeyed, input={"name": "available", "reason": "correction", **rows})
        ).json()
        root = "inventorySetQuantities" if mutation is SET else "inventoryAdjustQuantities"
        assert answer["data"] == {root: None}
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert answer["errors"][0]["path"] == [root]
        assert "@idempotent" in answer["errors"][0]["message"]


async def test_a_key_needs_to_be_a_word() -> None:
    """A blank key is refused, a directive without its argument too."""
    async with opened() as shop:
        blank = await shop.errors(ADJUST, input=call(shop), key=" ")
        assert blank[0]["extensions"]["code"] == "BAD_REQUEST"
        bare = ADJUST.replace("@idempotent(key: $key)", "@idempotent").replace(", $key: String!", "")
        missing = await shop.errors(bare, input=call(shop))
        assert missing[0]["extensions"]["code"] == "missingRequiredArguments"


async def test_a_repeated_call_is_answered_and_not_carried_out_again() -> None:
    """Same key, same parameters: the first result, one change."""
    async with opened() as shop:
        first = await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        second = await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        assert second == first
        assert (await shop.states("BAG-1"))["available"] == 4


async def test_a_repeated_call_may_ask_for_other_fields() -> None:
    """The parameters count, not what is selected of the answer."""
    async with opened() as shop:
        await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        text = ADJUST.replace(
            "inventoryAdjustmentGroup { id reason", "inventoryAdjustmentGroup { createdAt id reason"
        )
        payload = (await shop.ask(text, input=call(shop), key="k"))["inventoryAdjustQuantities"]
        assert payload["inventoryAdjustmentGroup"]["createdAt"]
        assert (await shop.states("BAG-1"))["available"] == 4


async def test_a_key_belongs_to_its_parameters() -> None:
    """Another delta under the same key is a mismatch, and is not carried out."""
    async with opened() as shop:
        await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        assert codes(await shop.adjust(shop.row("BAG-1", delta=-2), key="k")) == [
            "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"
        ]
        assert (await shop.states("BAG-1"))["available"] == 4


@pytest.mark.parametrize(
    ("scope", "expected"), [("shop", ["IDEMPOTENCY_KEY_PARAMETER_MISMATCH"]), ("operation", [])]
)
async def test_a_knob_says_how_far_a_key_reaches(scope: str, expected: list[str]) -> None:
    """Whether another mutation may use the same key is not documented."""
    async with opened(knobs=Knobs(key_scope=scope)) as shop:
        await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        assert codes(await shop.set(shop.row("BAG-1", quantity=2), key="k")) == expected


async def test_a_key_at_work_is_concurrent() -> None:
    """While the first call runs, the second is told to wait; afterwards it gets the result."""
    async with opened() as shop:
        await shop.fault("delay_inside", seconds=0.5)
        slow = asyncio.create_task(shop.adjust(shop.row("BAG-1", delta=-1), key="k"))
        await until(lambda: shop.shop.keys.in_use("k"))
        assert codes(await shop.adjust(shop.row("BAG-1", delta=-1), key="k")) == [
            "IDEMPOTENCY_CONCURRENT_REQUEST"
        ]
        first = await slow
        assert await shop.adjust(shop.row("BAG-1", delta=-1), key="k") == first
        assert (await shop.states("BAG-1"))["available"] == 4


async def test_a_key_whose_call_was_refused_is_spent() -> None:
    """After a stale compare the same key answers that the previous attempt failed."""
    async with opened() as shop:
        row = shop.row("BAG-1", quantity=1, compare=99)
        assert codes(await shop.set(row, key="k")) == ["CHANGE_FROM_QUANTITY_STALE"]
        assert codes(await shop.set(row, key="k")) == ["IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"]
    async with opened(knobs=Knobs(failed_key="same_errors")) as shop:
        row = shop.row("BAG-1", quantity=1, compare=99)
        assert codes(await shop.set(row, key="k")) == codes(await shop.set(row, key="k"))


async def test_a_call_that_broke_off_inside_burns_its_key() -> None:
    """Nothing was written, and only a new key goes through."""
    async with opened() as shop:
        await shop.fault("internal_error")
        errors = await shop.errors(ADJUST, input=call(shop), key="k")
        assert errors[0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert errors[0]["extensions"]["requestId"]
        repeated = await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        assert codes(repeated) == ["IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"]
        assert (await shop.states("BAG-1"))["available"] == 5
        assert codes(await shop.adjust(shop.row("BAG-1", delta=-1), key="new")) == []


async def test_a_key_lapses_after_a_day() -> None:
    """A resend past 24 hours is carried out a second time: the sender's trap."""
    async with opened(clock=ShopClock(frozen_at=NOW)) as shop:
        await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        await shop.control.post("/clock", json={"seconds": 24 * 3600 - 1})
        await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        assert (await shop.states("BAG-1"))["available"] == 4
        await shop.control.post("/clock", json={"seconds": 2})
        await shop.adjust(shop.row("BAG-1", delta=-1), key="k")
        assert (await shop.states("BAG-1"))["available"] == 3
