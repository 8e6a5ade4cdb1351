"""When a channel's order says that a customer has the money."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sfsync.domain.orders import MoneyBack, OrderLine, OrderSnapshot
from sfsync.domain.refunds import Ending, OwedLine, RefundTask, owed, paid_back
from sfsync.domain.reservations import (
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
)
from sfsync.domain.stock import LevelKey

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


def task(number: int = 1, sku: str = "BAG", units: int = 1, **how: object) -> RefundTask:
    """Something owed for order #1001 of London."""
    told = {"channel": "london", "order_reference": "1001", "client": ""} | how
    return RefundTask(
        number,
        f"r{number}",
        owner="cart",
        lines=(OwedLine(sku, units),),
        opened_at=NOW,
        opened_by="Anna Kay",
        reason="none left",
        **told,  # type: ignore[arg-type]  # fields by name
    )


def order(money: MoneyBack, *lines: tuple[str, int], channel: str = "london") -> OrderSnapshot:
    """Order #1001 with units that its refunds name, by SKU."""
    made = tuple(OrderLine(sku, sku, 0, refunded_quantity=units) for sku, units in lines)
    return OrderSnapshot(channel, "5001", "#1001", NOW, NOW, made, money_back=money)


@pytest.mark.parametrize(
    ("money", "refunded", "over"),
    [
        (MoneyBack.ALL, 0, True),  # all of it is back: whatever its lines say
        (MoneyBack.SOME, 2, True),
        (MoneyBack.SOME, 3, True),
        (MoneyBack.SOME, 1, False),  # another bag of the two is still owed
        (MoneyBack.SOME, 0, False),
        (MoneyBack.NONE, 2, False),  # taken out of the order, and no money moved
    ],
)
def test_a_refund_ends_when_the_order_has_paid_back_as_many(
    money: MoneyBack, refunded: int, over: bool
) -> None:
    """Two bags are owed."""
    found = paid_back([task(units=2)], order(money, ("BAG", refunded)))
    assert [each.id for each in found] == ([1] if over else [])


def test_the_refund_of_another_order_or_another_shop_ends_nothing() -> None:
    """The same order number stands at two shops."""
    paid = order(MoneyBack.ALL)
    assert paid_back([task(order_reference="1002"), task(channel="dubai"), task(channel=None)], paid) == []
    assert [each.id for each in paid_back([task(2, order_reference="5001")], paid)] == [2]  # by its id
    assert [each.id for each in paid_back([task(2, order_reference="#1001")], paid)] == [2]


def test_each_refunded_unit_ends_one_refund_the_oldest_first() -> None:
    """Two customers' bags went missing in one order, one was refunded; told again, it ends no other."""
    one = order(MoneyBack.SOME, ("BAG", 1))
    assert [each.id for each in paid_back([task(2), task(1)], one)] == [1]
    done = task(1, closed_at=NOW, ending=Ending.REFUNDED)
    assert paid_back([done, task(2)], one) == []
    assert [each.id for each in paid_back([done, task(2)], order(MoneyBack.SOME, ("BAG", 2)))] == [2]
    withdrawn = task(1, closed_at=NOW, ending=Ending.WITHDRAWN)
    assert [each.id for each in paid_back([withdrawn, task(2)], one)] == [2]


def test_what_is_owed_is_what_was_wanted_by_sku_and_its_creditor_has_a_name() -> None:
    """Not what a part of it still held."""
    lines = (
        ReservationLine(LevelKey("BAG", "ECOM"), 0, 1),
        ReservationLine(LevelKey("BAG", "TOWN"), 1, 2),
        ReservationLine(LevelKey("TIE", "ECOM"), 0, 1),
    )
    kind, state = ReservationKind.CART, ReservationState.PAID_UNAVAILABLE
    paid = Reservation("r1", state, kind, "london", "cart-7", lines, NOW, None)
    assert owed(paid, paid.due()) == (OwedLine("BAG", 3), OwedLine("TIE", 1))
    assert (task(client="").creditor, task(client="Ms. Sato").creditor) == ("cart", "Ms. Sato (cart)")
    assert (task().debtor, task(channel=None).debtor) == ("london", "the house")
