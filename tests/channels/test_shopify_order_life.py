"""Any life of an order line: what we read from the store's papers is what happened to its units."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sfsync.channels.shopify_orders import read_payload


@dataclass
class Line:
    """The units of one line, wherever they are, and the papers that the store writes about them."""

    ordered: int
    open: int = 0
    sent: int = 0  # ever, less fulfilments called off
    at_customer: int = 0  # sent, neither returned nor refunded
    returned: int = 0
    taken: int = 0  # off the store's number
    refunds: list[dict[str, Any]] = field(default_factory=list)
    fulfillments: list[dict[str, Any]] = field(default_factory=list)
    edited_away: int = 0

    def __post_init__(self) -> None:
        self.open = self.taken = self.ordered

    def send(self, units: int) -> None:
        self.open -= units
        self.sent += units
        self.at_customer += units
        self.fulfillments.append({"status": "success", "line_items": [{"id": 1, "quantity": units}]})

    def fail_to_send(self, units: int) -> None:
        self.fulfillments.append({"status": "cancelled", "line_items": [{"id": 1, "quantity": units}]})

    def call_off(self, units: int, *, restock: bool) -> None:
        self.open -= units
        self.taken -= units if restock else 0
        self._refund(units, "cancel" if restock else "no_restock")

    def take_back(self, units: int, *, restock: bool) -> None:
        self.at_customer -= units
        self.returned += units if restock else 0
        self.taken -= units if restock else 0
        self._refund(units, "return" if restock else "no_restock")

    def add(self, units: int) -> None:
        self.ordered += units
        self.open += units
        self.taken += units

    def edit_away(self, units: int) -> None:
        self.open -= units
        self.taken -= units
        self.edited_away += units

    def _refund(self, units: int, kind: str) -> None:
        self.refunds.append(
            {"refund_line_items": [{"line_item_id": 1, "quantity": units, "restock_type": kind}]}
        )

    def papers(self) -> dict[str, Any]:
        refunded = sum(row["quantity"] for refund in self.refunds for row in refund["refund_line_items"])
        line = {
            "id": 1,
            "sku": "BAG-1",
            "variant_id": 1,
            "quantity": self.ordered,
            "current_quantity": self.ordered - refunded - self.edited_away,
            "fulfillable_quantity": self.open,
        }
        return {
            "id": 1,
            "name": "#1001",
            "created_at": "2026-11-23T08:00:00Z",
            "updated_at": "2026-11-23T08:00:00Z",
            "line_items": [line],
            "fulfillments": self.fulfillments,
            "refunds": self.refunds,
        }


@given(st.data())
def test_every_unit_is_accounted_for_after_every_turn(data: st.DataObject) -> None:
    """Open, sent, returned and taken are read as they are, and each turn is newer than the one before."""
    life = Line(data.draw(st.integers(1, 5), label="ordered"))
    version = None
    for _ in range(data.draw(st.integers(0, 8), label="turns")):
        _turn(life, data)
        order = read_payload("london", json.dumps(life.papers()).encode(), {})
        (line,) = order.lines
        told = (line.open_quantity, line.fulfilled_quantity, line.returned_quantity, line.taken_quantity)
        assert told == (life.open, life.sent, life.returned, life.taken)
        assert version is None or order.version > version
        version = order.version


def _turn(life: Line, data: st.DataObject) -> None:
    turns = ["add"]
    turns += ["send", "fail_to_send", "call_off", "edit_away"] if life.open else []
    turns += ["take_back"] if life.at_customer else []
    turn = data.draw(st.sampled_from(turns))
    most = {"add": 3, "take_back": life.at_customer}.get(turn, life.open)
    units = data.draw(st.integers(1, most), label=turn)
    if turn in ("call_off", "take_back"):
        getattr(life, turn)(units, restock=data.draw(st.booleans(), label="restock"))
    else:
        getattr(life, turn)(units)
