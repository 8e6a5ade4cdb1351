"""What a Shopify store is asked when an order is to be cancelled, and what its answers mean."""

from __future__ import annotations

import httpx
import pytest
from tests.channels.shopify_bench import answered, channel

from sfsync.ports import Refused, TryLater, Unknown


def cancelled(*user_errors: tuple[str, str]) -> httpx.Response:
    """Taken up as a job, or these errors."""
    errors = [{"code": code, "field": ["orderId"], "message": words} for code, words in user_errors]
    job = None if errors else {"id": "gid://shopify/Job/1"}
    return answered({"orderCancel": {"job": job, "orderCancelUserErrors": errors}})


async def ask(*answers: httpx.Response) -> dict[str, object]:
    """The variables that the store was sent."""
    made, asked = channel(*answers)
    await made.cancel_order("1001", refund=True, notify=False, note="no stock (Anna Kay)")
    variables: dict[str, object] = asked.documents[0]["variables"]
    assert "restock: false" in asked.documents[0]["query"]
    return variables


async def test_money_and_mail_are_said_and_nothing_is_put_back_on_sale() -> None:
    """A customer who gets no handbag gets his money, and no letter by a machine."""
    assert await ask(cancelled()) == {
        "orderId": "gid://shopify/Order/1001",
        "refundMethod": {"originalPaymentMethodsRefund": True},
        "notifyCustomer": False,
        "staffNote": "no stock (Anna Kay)",
    }


@pytest.mark.parametrize(
    ("answer", "failure", "words"),
    [
        (
            cancelled(("INVALID", "the order has fulfillments")),
            Refused,
            "INVALID: the order has fulfillments",
        ),
        (cancelled(("NO_REFUND_PERMISSION", "no refunds")), Refused, "NO_REFUND_PERMISSION"),
        (cancelled(("INTERNAL_ERROR", "try again")), TryLater, "INTERNAL_ERROR"),
        (answered({"orderCancel": None}), Unknown, "does not say"),
        (answered({"orderCancel": {"job": None}}), Unknown, "does not say"),
    ],
)
async def test_each_answer_has_one_meaning(
    answer: httpx.Response, failure: type[Exception], words: str
) -> None:
    """What the store declines a person must look at; what it leaves open is asked again."""
    with pytest.raises(failure, match=words):
        await ask(answer)


async def test_an_app_without_the_right_is_told_which_one_it_needs() -> None:
    """Only houses that cancel from here give the app that scope."""
    denied = {"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}
    with pytest.raises(Refused) as refused:
        await ask(answered({"orderCancel": None}, errors=[denied]))
    assert "write_orders" in refused.value.advice
