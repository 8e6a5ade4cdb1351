"""What the platform holds orders to, whoever makes them: drafts, activation, reduction, deletion."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulators.org_kit import OrgClient, error_of

TODAY = "2026-11-23"


class Book:
    """Orders of one client."""

    def __init__(self, org: OrgClient) -> None:
        self.org = org
        self.product = self.create("Product2", Name="Bag", StockKeepingUnit="BAG-1")

    def create(self, entity: str, **fields: Any) -> str:
        answer = self.org.call("POST", f"/sobjects/{entity}", fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def draft(self, units: int = 2) -> tuple[str, str]:
        order = self.create("Order", EffectiveDate=TODAY)
        return order, self.create("OrderItem", OrderId=order, Product2Id=self.product, Quantity=units)

    def status(self, order: str, status: str) -> int:
        return self.org.call("PATCH", f"/sobjects/Order/{order}", {"Status": status}).status_code

    def placed(self, units: int = 2) -> tuple[str, str]:
        order, item = self.draft(units)
        assert self.status(order, "Activated") == 204
        return order, item


@pytest.fixture
def book(org: OrgClient) -> Book:
    return Book(org)


def test_an_order_begins_as_a_draft_and_needs_a_product(book: Book) -> None:
    """Its category follows its status, and the moment of activation is the platform's."""
    answer = book.org.call("POST", "/sobjects/Order", {"EffectiveDate": TODAY, "Status": "Activated"})
    assert error_of(answer)["errorCode"] == "FAILED_ACTIVATION"
    empty = book.create("Order", EffectiveDate=TODAY)
    assert book.status(empty, "Activated") == 400
    order, _ = book.placed()
    [record] = book.org.find("Order", f"Id = '{order}'", "StatusCode, ActivatedDate")
    assert record["StatusCode"] == "Activated"
    assert record["ActivatedDate"]
    assert book.status(order, "Shipped") == 204
    [record] = book.org.find("Order", f"Id = '{order}'", "StatusCode")
    assert record["StatusCode"] == "Activated"


def test_an_activated_order_takes_no_further_products_and_loses_none(book: Book) -> None:
    """Deactivated first, it can be changed and deleted, its products with it."""
    order, item = book.placed()
    more = {"OrderId": order, "Product2Id": book.product, "Quantity": 1}
    assert book.org.call("POST", "/sobjects/OrderItem", more).status_code == 400
    assert book.org.call("DELETE", f"/sobjects/OrderItem/{item}").status_code == 400
    assert book.org.call("DELETE", f"/sobjects/Order/{order}").status_code == 400
    assert book.org.call("PATCH", f"/sobjects/OrderItem/{item}", {"Quantity": 3}).status_code == 204
    assert book.status(order, "Draft") == 204
    assert book.org.call("DELETE", f"/sobjects/Order/{order}").status_code == 204
    assert book.org.find("OrderItem", f"Id = '{item}'") == []


@pytest.mark.parametrize("sign", [-1, 1])
def test_reductions_together_take_off_no_more_than_was_ordered(book: Book, sign: int) -> None:
    """And what has been reduced is neither edited nor deactivated."""
    order, item = book.placed(2)
    less = book.create("Order", EffectiveDate=TODAY, IsReductionOrder=True, OriginalOrderId=order)
    row = {"OrderId": less, "Product2Id": book.product}
    assert book.org.call("POST", "/sobjects/OrderItem", {**row, "Quantity": sign}).status_code == 400
    row["OriginalOrderItemId"] = item
    assert book.org.call("POST", "/sobjects/OrderItem", {**row, "Quantity": 3 * sign}).status_code == 400
    assert book.org.call("POST", "/sobjects/OrderItem", {**row, "Quantity": sign}).status_code == 201
    assert book.status(less, "Activated") == 204
    answer = book.org.call("PATCH", f"/sobjects/OrderItem/{item}", {"Quantity": 5})
    assert "has been reduced" in error_of(answer)["message"]
    assert book.status(order, "Draft") == 400


def test_only_an_activated_order_is_reduced(book: Book) -> None:
    """A draft is simply changed."""
    order, _ = book.draft()
    body = {"EffectiveDate": TODAY, "IsReductionOrder": True, "OriginalOrderId": order}
    assert book.org.call("POST", "/sobjects/Order", body).status_code == 400
