"""What an order in the org means, as a table that a merchandiser can read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine
from sfsync.domain.org_orders import (
    OrgItem,
    OrgOrder,
    OrgOrderRules,
    OrgReduction,
    OrgReturnLine,
    loose_return,
    snapshot,
    spoken,
)
from sfsync.domain.stock import BadKeyError, LevelKey

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
RULES = OrgOrderRules(
    {"Web London": "london"},
    frozenset({"Cancelled"}),
    frozenset({"Shipped"}),
    frozenset({"Closed"}),
)
ITEM = OrgItem("802A", "BAG-1", 3)
ORDER = OrgOrder("801A", "00000100", "Activated", "Activated", NOW, [ITEM])
LESS = OrgReduction("802A", -1, "Activated", "Activated")
BACK = OrgReturnLine("0raA", "RO-1", "BAG-1", 1, None, "Closed", NOW, "802A")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # only an activated order sells
        ({}, (3, 0, 0)),
        ({"status": "Draft", "status_code": "Draft"}, (0, 0, 0)),
        ({"status_code": "Canceled"}, (0, 0, 0)),
        ({"status": "Cancelled"}, (0, 0, 0)),
        ({"deleted": True}, (0, 0, 0)),
        # an activated reduction order takes units off, whatever the sign of its quantity
        ({"reductions": [LESS]}, (2, 0, 0)),
        ({"reductions": [replace(LESS, units=1)]}, (2, 0, 0)),
        ({"reductions": [LESS, replace(LESS, units=-2)]}, (0, 0, 0)),
        ({"reductions": [replace(LESS, status_code="Draft")]}, (3, 0, 0)),
        ({"reductions": [replace(LESS, deleted=True)]}, (3, 0, 0)),
        ({"reductions": [replace(LESS, item_id="802B")]}, (3, 0, 0)),
        # delivered: by the house's own field, or by a status that means all
        ({"items": [replace(ITEM, fulfilled=1)]}, (2, 1, 0)),
        ({"items": [replace(ITEM, fulfilled=1)], "reductions": [LESS]}, (1, 1, 0)),
        ({"status": "Shipped"}, (0, 3, 0)),
        ({"status": "Shipped", "reductions": [LESS]}, (0, 2, 0)),
        # goods that came back had left
        ({"returns": [BACK]}, (2, 1, 1)),
        ({"status": "Shipped", "returns": [BACK]}, (0, 3, 1)),
        ({"status": "Shipped", "reductions": [LESS], "returns": [BACK]}, (0, 3, 1)),
        ({"returns": [replace(BACK, status="Submitted")]}, (3, 0, 0)),
        ({"returns": [replace(BACK, status="Submitted", received=2)]}, (1, 2, 2)),
        ({"returns": [replace(BACK, received=0)]}, (3, 0, 0)),
        # no more comes back than was sold
        ({"status": "Shipped", "returns": [replace(BACK, received=30)]}, (0, 3, 3)),
        ({"status": "Shipped", "returns": [replace(BACK, received=2)] * 2}, (0, 3, 3)),
        (
            {"items": [replace(ITEM, quantity=1, fulfilled=3)], "returns": [replace(BACK, received=3)]},
            (0, 3, 3),
        ),
        ({"items": [replace(ITEM, quantity=0)], "returns": [replace(BACK, received=2)]}, (0, 2, 2)),
        ({"returns": [replace(BACK, deleted=True)]}, (3, 0, 0)),
    ],
)
def test_what_an_order_in_the_org_wants(changes: dict[str, Any], expected: tuple[int, int, int]) -> None:
    """(still to deliver, delivered, returned) of its one line of three bags."""
    (line,) = snapshot(replace(ORDER, **changes), RULES, NOW).lines
    assert (line.open_quantity, line.fulfilled_quantity, line.returned_quantity) == expected


FOUR, FIVE, SIX = (NOW - timedelta(hours=n) for n in (3, 2, 1))
SAVED: dict[str, Any] = {"changed_at": FOUR, "items": [replace(ITEM, changed_at=FIVE)]}
BACK_AT_SIX = replace(BACK, changed_at=SIX)


@pytest.mark.parametrize(
    ("changes", "left", "came_back"),
    [
        ({}, [], []),
        # shipped: when order and item were last saved, whatever was announced later
        ({"status": "Shipped"}, [(FIVE, 3)], []),
        ({"status": "Shipped", "changed_at": SIX}, [(SIX, 3)], []),
        ({"status": "Shipped", "returns": [replace(BACK_AT_SIX, status="Draft")]}, [(FIVE, 3)], []),
        ({"items": [replace(ITEM, changed_at=FIVE, fulfilled=2)]}, [(FIVE, 2)], []),
        # received: when the line of the return order was saved, or its head
        ({"status": "Shipped", "returns": [BACK_AT_SIX]}, [(FIVE, 3)], [(SIX, 1)]),
        # it had left by then, and nobody says when
        ({"returns": [BACK_AT_SIX]}, [(SIX, 1)], [(SIX, 1)]),
        (
            {"items": [replace(ITEM, changed_at=FIVE, fulfilled=1)], "returns": [BACK_AT_SIX, BACK_AT_SIX]},
            [(FIVE, 1), (SIX, 1)],
            [(SIX, 1), (SIX, 1)],
        ),
    ],
)
def test_goods_left_and_came_back_when_the_record_that_says_so_was_saved(
    changes: dict[str, Any], left: list[tuple[datetime, int]], came_back: list[tuple[datetime, int]]
) -> None:
    """Not when we read of it: the order was saved at four, its item at five."""
    (line,) = snapshot(replace(ORDER, **(SAVED | changes)), RULES, NOW).lines
    assert line.left == tuple(Moment(*each) for each in left)
    assert line.came_back == tuple(Moment(*each) for each in came_back)


@pytest.mark.parametrize(
    ("changes", "heard", "expected"),
    [
        ({}, (), [3]),
        # a draft that never was active says nothing, whatever becomes of it
        ({"status": "Draft", "status_code": "Draft"}, (), []),
        ({"status": "Draft", "status_code": "Draft", "deleted": True}, (), []),
        ({"status": "Cancelled", "status_code": "Canceled"}, (), []),
        # opened again: what it had told before is taken back
        ({"status": "Draft", "status_code": "Draft"}, ("802A",), [0]),
        ({"status": "Draft", "status_code": "Draft"}, ("802Z",), []),
        # it was active before anybody of ours read it
        ({"status": "Cancelled", "status_code": "Canceled", "activated": True}, (), [0]),
        # goods that came back had left, whatever the papers say
        ({"status": "Draft", "status_code": "Draft", "returns": [BACK]}, (), [0]),
    ],
)
def test_a_draft_that_never_was_active_neither_sells_nor_takes_back(
    changes: dict[str, Any], heard: tuple[str, ...], expected: list[int]
) -> None:
    """What is still to be delivered of each line that the order speaks of; `heard`: it told of it before."""
    order = replace(ORDER, **changes)
    found = spoken(snapshot(order, RULES, NOW), order, heard)
    assert [line.open_quantity for line in found.lines] == expected


@pytest.mark.parametrize(
    ("channel", "reference", "expected"),
    [
        ("", "", ("org", "801A", "00000100")),
        ("Web London", "#1001", ("london", "#1001", "#1001")),
        ("Web London", "gid://shopify/Order/42", ("london", "42", "42")),
        ("Web London", "", ("org", "801A", "00000100")),  # nobody can say yet which of London's it is
        ("Telephone", "T-7", ("org", "801A", "00000100")),
    ],
)
def test_whose_order_it_is(channel: str, reference: str, expected: tuple[str, str, str]) -> None:
    """A storefront's order under the storefront's own reference; every other one is the org's."""
    found = snapshot(replace(ORDER, channel=channel, reference=reference), RULES, NOW)
    assert (found.channel, found.order_id, found.name) == expected


def test_a_line_names_its_storefront_line_its_place_and_its_piece_where_the_house_keeps_them() -> None:
    """Each is the house's own to name."""
    items = [OrgItem("802A", "BAG-1", 1, line="gid://shopify/LineItem/7", location="DUBAI", unit="S-1")]
    found = snapshot(replace(ORDER, items=items), RULES, NOW)
    assert found.lines == (OrderLine("7", "BAG-1", 1, unit="S-1", location="DUBAI"),)


def test_goods_without_a_sku_are_lines_that_nothing_in_the_org_is_called_like() -> None:
    """Two products whose SKU nobody filled in: each waits for a person, who says what it is."""
    items = [ITEM, OrgItem("802B", "", 2, product="01tA"), OrgItem("802C", "", 1), OrgItem("802D", "", 0)]
    found = snapshot(replace(ORDER, items=items), RULES, NOW)
    told = [(line.sku, line.open_quantity) for line in found.lines]
    assert told == [("BAG-1", 3), ("no SKU|product 01tA", 2), ("no SKU|order item 802C", 1)]
    for sku, _ in told[1:]:
        with pytest.raises(BadKeyError):
            LevelKey(sku, "ECOM")
    back = loose_return(replace(BACK, sku="", product="01tA"), RULES, NOW)
    assert [line.sku for line in back.lines] == ["no SKU|product 01tA"]


def test_a_return_of_no_order_is_goods_that_come_in() -> None:
    """Nothing was sold by us, and yet a bag lies on the counter."""
    found = loose_return(replace(BACK_AT_SIX, item_id="", received=2), RULES, NOW)
    assert found.lines[0].came_back == (Moment(SIX, 2),)
    assert (found.channel, found.order_id, found.lines) == (
        "org",
        "0raA",
        (OrderLine("0raA", "BAG-1", 0, 0, 2),),
    )
