"""How the simulated Admin API writes stock."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulators.shop_kit import ADJUST, KEEP, SET, codes, opened, seed

LEDGER = "gid://sfsync/Ledger/1"


async def test_a_set_makes_the_number_what_was_asked_for() -> None:
    """The level has the new number, and the group tells of it and of on_hand with the same delta."""
    async with opened() as shop:
        payload = await shop.set(
            shop.row("BAG-1", quantity=9, compare=5), referenceDocumentUri="gid://sfsync/StockChange/7"
        )
        assert payload["userErrors"] == []
        group = payload["inventoryAdjustmentGroup"]
        assert group["reason"] == "correction"
        assert group["referenceDocumentUri"] == "gid://sfsync/StockChange/7"
        assert [(row["name"], row["delta"], row["quantityAfterChange"]) for row in group["changes"]] == [
            ("available", 4, None),
            ("on_hand", 4, None),
        ]
        assert await shop.states("BAG-1") == {"available": 9, "committed": 0, "on_hand": 9}


async def test_setting_on_hand_leaves_committed_units_alone() -> None:
    """With one unit sold and not yet sent, on_hand 10 means 9 available."""
    async with opened() as shop:
        await shop.bought("BAG-1")
        payload = await shop.set(shop.row("BAG-1", quantity=10, compare=5), name="on_hand")
        assert payload["userErrors"] == []
        assert await shop.states("BAG-1") == {"available": 9, "committed": 1, "on_hand": 10}


async def test_one_stale_row_rejects_the_whole_call() -> None:
    """Nothing is written, and the error names the row's argument."""
    async with opened() as shop:
        payload = await shop.set(
            shop.row("BAG-1", quantity=1, compare=5), shop.row("BAG-2", quantity=1, compare=4)
        )
        assert payload["inventoryAdjustmentGroup"] is None
        assert codes(payload) == ["CHANGE_FROM_QUANTITY_STALE"]
        assert payload["userErrors"][0]["field"] == ["input", "quantities", "1", "changeFromQuantity"]
        assert (await shop.states("BAG-1"))["available"] == 5


@pytest.mark.parametrize(("setting", "reported"), [("all", 2), ("first", 1)])
async def test_a_knob_says_whether_all_stale_rows_are_reported(setting: str, reported: int) -> None:
    """The documents leave it open, so both can be met."""
    async with opened() as shop:
        knobs = shop.shop.config.knobs.with_setting(f"stale_rows={setting}")
    async with opened(knobs=knobs) as shop:
        rows = [shop.row(sku, quantity=1, compare=0) for sku in ("BAG-1", "BAG-2")]
        assert codes(await shop.set(*rows)) == ["CHANGE_FROM_QUANTITY_STALE"] * reported


async def test_a_missing_compare_is_no_compare_forgotten() -> None:
    """Without the key the call is refused before its idempotency key is looked at; null is a decision."""
    async with opened() as shop:
        call = {"name": "available", "reason": "correction"}
        row = shop.row("BAG-1", compare=KEEP)
        for text, rows in (
            (SET, {"quantities": [{**row, "quantity": 1}]}),
            (ADJUST, {"changes": [{**row, "delta": 1}]}),
        ):
            unkeyed = text.replace("@idempotent(key: $key)", "").replace(", $key: String!", "")
            errors = await shop.errors(unkeyed, input={**call, **rows})
            assert errors[0]["extensions"]["code"] == "INVALID_FIELD_ARGUMENTS"
            assert "changeFromQuantity" in errors[0]["message"]
        assert codes(await shop.set(shop.row("BAG-1", quantity=1, compare=None))) == []


async def test_setting_the_number_it_has_changes_nothing() -> None:
    """The answer has neither a group nor errors, and the record has no line."""
    async with opened() as shop:
        payload = await shop.set(shop.row("BAG-1", quantity=5, compare=5))
        assert payload == {"inventoryAdjustmentGroup": None, "userErrors": []}
        assert (await shop.control.get("/log")).json()["changes"] == []


async def test_an_adjust_adds_to_what_is_there() -> None:
    """Two adjusts without compare commute."""
    async with opened() as shop:
        await shop.adjust(shop.row("BAG-1", delta=-2))
        payload = await shop.adjust(shop.row("BAG-1", delta=7))
        assert [row["delta"] for row in payload["inventoryAdjustmentGroup"]["changes"]] == [7, 7]
        assert (await shop.states("BAG-1"))["available"] == 10


async def test_an_adjust_by_nothing_is_no_change() -> None:
    """Group null, no errors."""
    async with opened() as shop:
        payload = await shop.adjust(shop.row("BAG-1", delta=0))
        assert payload == {"inventoryAdjustmentGroup": None, "userErrors": []}


async def test_an_adjust_can_compare_too() -> None:
    """A stale number refuses the delta."""
    async with opened() as shop:
        payload = await shop.adjust(shop.row("BAG-1", delta=1, compare=4))
        assert codes(payload) == ["CHANGE_FROM_QUANTITY_STALE"]
        assert payload["userErrors"][0]["field"] == ["input", "changes", "0", "changeFromQuantity"]


async def test_available_may_be_a_debt() -> None:
    """A negative number is written and read as it is."""
    async with opened() as shop:
        assert codes(await shop.set(shop.row("BAG-1", quantity=-3))) == []
        seen = (await shop.http.get("/storefront/products/BAG-1")).json()
        assert (seen["available"], seen["in_stock"]) == (-3, False)


@pytest.mark.parametrize(
    ("row", "head", "code", "field"),
    [
        (
            {"inventoryItemId": "gid://shopify/InventoryItem/1"},
            {},
            "INVALID_INVENTORY_ITEM",
            "inventoryItemId",
        ),
        ({"inventoryItemId": "BAG-1"}, {}, "INVALID_INVENTORY_ITEM", "inventoryItemId"),
        ({"locationId": "gid://shopify/Location/1"}, {}, "INVALID_LOCATION", "locationId"),
        ({"quantity": 1_000_000_001}, {}, "INVALID_QUANTITY_TOO_HIGH", "quantity"),
        ({"quantity": -1_000_000_001}, {}, "INVALID_QUANTITY_TOO_LOW", "quantity"),
        ({"quantity": -1}, {"name": "on_hand"}, "INVALID_QUANTITY_NEGATIVE", "quantity"),
        ({}, {"name": "committed"}, "INVALID_NAME", None),
        ({}, {"reason": "because"}, "INVALID_REASON", None),
        ({}, {"referenceDocumentUri": "order 7"}, "INVALID_REFERENCE_DOCUMENT", None),
    ],
)
async def test_a_wrong_set_is_refused_by_code_and_path(
    row: dict[str, Any], head: dict[str, Any], code: str, field: str | None
) -> None:
    """Each mistake has its code, and those of a row their path."""
    async with opened() as shop:
        payload = await shop.set({**shop.row("BAG-1", quantity=1), **row}, **head)
        assert payload["inventoryAdjustmentGroup"] is None
        assert codes(payload) == [code]
        if field:
            assert payload["userErrors"][0]["field"] == ["input", "quantities", "0", field]
        assert (await shop.states("BAG-1"))["available"] == 5


@pytest.mark.parametrize(
    ("row", "head", "code"),
    [
        ({"delta": 2_000_000_000}, {}, "INVALID_QUANTITY_TOO_HIGH"),
        ({"delta": -2_000_000_001}, {}, "INVALID_QUANTITY_TOO_LOW"),
        ({}, {"name": "on_hand"}, "INVALID_QUANTITY_NAME"),
        ({}, {"name": "damaged"}, "INVALID_QUANTITY_DOCUMENT"),
        ({"ledgerDocumentUri": LEDGER}, {}, "INVALID_AVAILABLE_DOCUMENT"),
        ({"ledgerDocumentUri": "gid://shopify/Order/1"}, {"name": "damaged"}, "INTERNAL_LEDGER_DOCUMENT"),
        ({"ledgerDocumentUri": "no uri"}, {"name": "damaged"}, "INVALID_LEDGER_DOCUMENT"),
    ],
)
async def test_a_wrong_adjust_is_refused_by_code(
    row: dict[str, Any], head: dict[str, Any], code: str
) -> None:
    """Ledger documents belong to every state but available."""
    async with opened() as shop:
        payload = await shop.adjust({**shop.row("BAG-1", delta=1), **row}, **head)
        assert code in codes(payload)
        assert await shop.states("BAG-1") == {"available": 5, "committed": 0, "on_hand": 5}


async def test_one_call_has_one_ledger_document() -> None:
    """Two different ones are refused."""
    async with opened() as shop:
        rows = [shop.row(sku, delta=1, ledgerDocumentUri=f"{LEDGER}{sku}") for sku in ("BAG-1", "BAG-2")]
        assert codes(await shop.adjust(*rows, name="damaged")) == ["MAX_ONE_LEDGER_DOCUMENT"]


async def test_damaged_units_are_on_hand_and_incoming_ones_are_not() -> None:
    """Only the states that are part of on_hand show a mirrored row."""
    async with opened() as shop:
        damaged = await shop.adjust(shop.row("BAG-1", delta=1, ledgerDocumentUri=LEDGER), name="damaged")
        incoming = await shop.adjust(shop.row("BAG-1", delta=4, ledgerDocumentUri=LEDGER), name="incoming")
        assert [row["name"] for row in damaged["inventoryAdjustmentGroup"]["changes"]] == [
            "damaged",
            "on_hand",
        ]
        assert [row["name"] for row in incoming["inventoryAdjustmentGroup"]["changes"]] == ["incoming"]
        assert (await shop.states("BAG-1"))["on_hand"] == 6


async def test_the_same_level_twice_in_a_set_is_refused_for_both_rows() -> None:
    """One error for each of the two, on the location."""
    async with opened() as shop:
        payload = await shop.set(shop.row("BAG-1", quantity=1), shop.row("BAG-1", quantity=2))
        assert codes(payload) == ["NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR"] * 2
        assert [error["field"][-2:] for error in payload["userErrors"]] == [
            ["0", "locationId"],
            ["1", "locationId"],
        ]


async def test_the_parent_of_a_bundle_has_no_stock_of_its_own() -> None:
    """It cannot be written."""
    async with opened(seed("SET-1", requires_components=True)) as shop:
        assert codes(await shop.set(shop.row("SET-1", quantity=1))) == ["NON_MUTABLE_INVENTORY_ITEM"]
        assert codes(await shop.adjust(shop.row("SET-1", delta=1))) == ["NON_MUTABLE_INVENTORY_ITEM"]


async def test_a_list_of_more_than_250_is_refused_at_the_door() -> None:
    """The call fails as a whole with HTTP 200."""
    async with opened() as shop:
        rows = [shop.row("BAG-1", quantity=1)] * 251
        call = {"name": "available", "reason": "correction", "quantities": rows}
        errors = await shop.errors(SET, input=call, key="big")
        assert errors[0]["extensions"]["code"] == "MAX_INPUT_SIZE_EXCEEDED"


async def test_250_rows_go_in_one_call() -> None:
    """The whole batch is applied."""
    skus = [f"SKU-{number}" for number in range(250)]
    async with opened(*(seed(sku, 1) for sku in skus)) as shop:
        payload = await shop.set(*(shop.row(sku, quantity=4, compare=1) for sku in skus))
        assert len(payload["inventoryAdjustmentGroup"]["changes"]) == 500
        assert {(await shop.states(sku))["available"] for sku in skus[:3]} == {4}


async def test_a_removed_argument_is_an_invalid_variable() -> None:
    """What older versions had is named as the mistake it is."""
    async with opened() as shop:
        call = {"name": "available", "reason": "correction", "quantities": [], "ignoreCompareQuantity": True}
        errors = await shop.errors(SET, input=call, key="old")
        assert errors[0]["extensions"]["code"] == "INVALID_VARIABLE"
        assert "ignoreCompareQuantity" in errors[0]["extensions"]["problems"][0]["explanation"]


async def test_writing_where_an_article_is_not_stocked_connects_it() -> None:
    """As in this version, unless the knob says otherwise."""
    async with opened() as shop:
        assert codes(await shop.set(shop.row("BAG-1", at="Store", quantity=2, compare=0))) == []
        assert (await shop.states("BAG-1", at="Store"))["available"] == 2
        strict = shop.shop.config.knobs.with_setting("connect_on_write=false")
    async with opened(knobs=strict) as shop:
        assert codes(await shop.set(shop.row("BAG-1", at="Store", quantity=2))) == ["INVALID_LOCATION"]


ACTIVATE = """mutation($item: ID!, $place: ID!, $available: Int, $onHand: Int, $key: String!) {
  inventoryActivate(inventoryItemId: $item, locationId: $place, available: $available, onHand: $onHand)
    @idempotent(key: $key) {
    inventoryLevel { id isActive quantities(names: ["available", "on_hand"]) { name quantity } }
    userErrors { field message }
  }
}"""


async def test_an_activated_level_takes_on_hand_and_ignores_available() -> None:
    """As recorded of the real service on a fresh second location."""
    async with opened() as shop:
        row = shop.row("BAG-1", at="Store")
        call = {"item": row["inventoryItemId"], "place": row["locationId"]}
        first = (await shop.ask(ACTIVATE, **call, available=9, key="a"))["inventoryActivate"]
        assert first["userErrors"] == []
        assert first["inventoryLevel"]["quantities"][0] == {"name": "available", "quantity": 0}
        again = (await shop.ask(ACTIVATE, **call, available=9, key="b"))["inventoryActivate"]
        assert again["userErrors"][0]["field"] == ["available"]
        row = shop.row("BAG-2", at="Store")
        call = {"item": row["inventoryItemId"], "place": row["locationId"]}
        second = (await shop.ask(ACTIVATE, **call, onHand=4, key="c"))["inventoryActivate"]
        assert second["inventoryLevel"]["quantities"] == [
            {"name": "available", "quantity": 4},
            {"name": "on_hand", "quantity": 4},
        ]


async def test_each_change_is_told_with_its_cause_and_reference() -> None:
    """The control port's log numbers the changes and says when each took place."""
    async with opened() as shop:
        uri = "gid://sfsync/StockChange/8"
        await shop.set(shop.row("BAG-1", quantity=3), referenceDocumentUri=uri)
        await shop.adjust(shop.row("BAG-2", delta=-1))
        order = await shop.bought("BAG-1")
        await shop.control.post("/stock", json={"sku": "BAG-2", "location": "Online", "set": 1})
        log = (await shop.control.get("/log")).json()
        told = [(row["sku"], row["delta"], row["after"], row["cause"]) for row in log["changes"]]
        assert told == [
            ("BAG-1", -2, 3, "set"),
            ("BAG-2", -1, 4, "adjust"),
            ("BAG-1", -1, 2, "order"),
            ("BAG-2", -3, 1, "manual"),
        ]
        assert log["changes"][0]["reference_document_uri"] == uri
        assert log["changes"][2]["order"] == order["name"]
        assert [row["at_ms"] for row in log["changes"]] == sorted(row["at_ms"] for row in log["changes"])
        rest = (
            await shop.control.get("/log", params={"since": log["changes"][1]["number"], "names": "all"})
        ).json()
        assert [(row["name"], row["cause"]) for row in rest["changes"]] == [
            ("available", "order"),
            ("committed", "order"),
            ("available", "manual"),
        ]
