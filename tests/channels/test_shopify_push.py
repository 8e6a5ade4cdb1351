"""What a push is made of, and what each answer of a Shopify store means for it."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from tests.channels.clock import HandClock
from tests.channels.shopify_bench import LOCATION, TOKEN, adjusted, answered, change, channel

from sfsync.ports import PushAnswer, Refused, TryLater, Unknown, Write


def test_the_same_push_is_the_same_bytes() -> None:
    """A restart sends again exactly what was sent before the crash."""
    made, _ = channel(adjusted())
    assert made.encode("k", [change(1), change(2)]) == made.encode("k", [change(1), change(2)])


def test_a_change_says_everything_the_store_demands() -> None:
    """Key, reason, reference and an explicit null compare are in the call."""
    made, _ = channel(adjusted())
    body = orjson.loads(made.encode("a key/1", [change(1, -2), change(2, 3, compare=9)]))
    assert "@idempotent(key: $key)" in body["query"]
    assert body["operationName"] == "AdjustQuantities"
    assert body["variables"] == {
        "key": "a key/1",
        "input": {
            "name": "available",
            "reason": "correction",
            "referenceDocumentUri": "gid://sfsync/Push/a%20key%2F1",
            "changes": [
                {
                    "inventoryItemId": "gid://shopify/InventoryItem/1",
                    "locationId": LOCATION,
                    "delta": -2,
                    "changeFromQuantity": None,
                },
                {
                    "inventoryItemId": "gid://shopify/InventoryItem/2",
                    "locationId": LOCATION,
                    "delta": 3,
                    "changeFromQuantity": 9,
                },
            ],
        },
    }


NUMBER = Write("SKU-2", "warehouse", "gid://shopify/InventoryItem/2", LOCATION, quantity=4, compare=6)


@pytest.mark.parametrize(
    ("key", "writes"),
    [
        (" ", [change()]),
        ("k", []),
        ("k", [change(1), NUMBER]),
        ("k", [change(1), change(1)]),
        ("k", [change(n) for n in range(251)]),
    ],
    ids=["blank key", "no row", "a number, which could go over a sale", "one item twice", "251 rows"],
)
def test_rows_that_cannot_be_one_call_are_a_mistake_of_ours(key: str, writes: list[Write]) -> None:
    """Such a call would be refused as a whole, so it is never made."""
    made, _ = channel(adjusted())
    with pytest.raises(ValueError, match=r"push|row"):
        made.encode(key, writes)


def row(n: int, last: str = "delta") -> list[str]:
    return ["input", "changes", str(n), last]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (adjusted(), PushAnswer(applied=True)),
        (
            answered({"inventoryAdjustQuantities": {"inventoryAdjustmentGroup": None, "userErrors": []}}),
            PushAnswer(applied=True),
        ),
        (
            adjusted(("CHANGE_FROM_QUANTITY_STALE", row(3)), ("CHANGE_FROM_QUANTITY_STALE", row(0))),
            PushAnswer(
                applied=False,
                stale_rows=frozenset({0, 3}),
                reason="CHANGE_FROM_QUANTITY_STALE: about CHANGE_FROM_QUANTITY_STALE; "
                "CHANGE_FROM_QUANTITY_STALE: about CHANGE_FROM_QUANTITY_STALE",
            ),
        ),
        (
            adjusted(("INVALID_INVENTORY_ITEM", row(12, "inventoryItemId"))),
            PushAnswer(
                applied=False,
                bad_rows={12: "INVALID_INVENTORY_ITEM: about INVALID_INVENTORY_ITEM"},
                reason="INVALID_INVENTORY_ITEM: about INVALID_INVENTORY_ITEM",
            ),
        ),
        (
            adjusted(("INVALID_REASON", ["input", "reason"])),
            PushAnswer(applied=False, reason="INVALID_REASON: about INVALID_REASON"),
        ),
        (
            adjusted(("ADJUST_QUANTITIES_FAILED", None)),
            PushAnswer(applied=False, reason="ADJUST_QUANTITIES_FAILED: about ADJUST_QUANTITIES_FAILED"),
        ),
        (
            adjusted(("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", None)),
            PushAnswer(
                applied=False,
                reason="IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED: about IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED",
                key_spent=True,
            ),
        ),
        (
            adjusted(("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", None)),
            PushAnswer(
                applied=False,
                reason="IDEMPOTENCY_KEY_PARAMETER_MISMATCH: about IDEMPOTENCY_KEY_PARAMETER_MISMATCH",
                key_spent=True,
            ),
        ),
        (
            answered(
                errors=[
                    {
                        "message": "Variable $input was provided invalid value",
                        "extensions": {
                            "code": "INVALID_VARIABLE",
                            "problems": [
                                {
                                    "path": ["changes", 4, "inventoryItemId"],
                                    "explanation": "Invalid global id",
                                }
                            ],
                        },
                    }
                ]
            ),
            PushAnswer(
                applied=False,
                bad_rows={4: "Invalid global id"},
                reason="Variable $input was provided invalid value",
            ),
        ),
    ],
    ids=[
        "done",
        "unchanged",
        "stale rows",
        "unknown item",
        "call to blame",
        "nothing to blame",
        "key failed before",
        "key of another call",
        "unreadable row",
    ],
)
async def test_an_answer_says_what_became_of_the_push(answer: httpx.Response, expected: PushAnswer) -> None:
    """All rows or none, with the rows to blame."""
    made, _ = channel(answer)
    assert await made.push(made.encode("k", [change()])) == expected


def coded(code: str) -> dict[str, object]:
    return {"message": f"about {code}", "extensions": {"code": code}}


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (httpx.ConnectError("refused"), TryLater),
        (httpx.ConnectTimeout("no answer to SYN"), TryLater),
        (httpx.ReadTimeout("slow"), Unknown),
        (httpx.ReadError("cut"), Unknown),
        (httpx.RemoteProtocolError("no HTTP"), Unknown),
        (httpx.Response(500), Unknown),
        (httpx.Response(502, text="<html>"), Unknown),
        (httpx.Response(503), Unknown),
        (httpx.Response(503, headers={"Retry-After": "3"}), TryLater),
        (httpx.Response(429, headers={"Retry-After": "2.0"}), TryLater),
        (httpx.Response(429), TryLater),
        (httpx.Response(200, text='{"data": {"inventoryAdj'), Unknown),
        (httpx.Response(200, text="[]"), Unknown),
        (httpx.Response(200, json={"extensions": {}}), Unknown),
        (answered(None), Unknown),
        (answered({"inventoryAdjustQuantities": {"inventoryAdjustmentGroup": None}}), Unknown),
        (answered({"inventoryAdjustQuantities": None}, errors=[coded("INTERNAL_SERVER_ERROR")]), Unknown),
        (answered(errors=[coded("TIMEOUT")]), Unknown),
        (answered(errors=[coded("THROTTLED")]), TryLater),
        (answered(errors=[coded("ACCESS_DENIED")]), Refused),
        (answered(errors=[coded("MAX_INPUT_SIZE_EXCEEDED")]), Refused),
        (answered(errors=[{"message": "no extensions at all"}]), Refused),
        (adjusted(("IDEMPOTENCY_CONCURRENT_REQUEST", None)), Unknown),
        (adjusted(("SERVICE_UNAVAILABLE", None)), TryLater),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example"}), Refused),
        (httpx.Response(400, json={"errors": "bad"}), Refused),
        (httpx.Response(401), Refused),
        (httpx.Response(402), Refused),
        (httpx.Response(403), Refused),
        (httpx.Response(404, json={"errors": "Not Found"}), Refused),
        (httpx.Response(423), Refused),
    ],
)
async def test_a_failure_is_named_by_what_to_do_next(
    answer: httpx.Response | Exception, failure: type
) -> None:
    """What may have happened is Unknown, what did not is TryLater, what never will is Refused with advice."""
    made, asked = channel(answer)
    with pytest.raises(failure) as caught:
        await made.push(made.encode("k", [change()]))
    assert len(asked.requests) == 1
    assert "london" in str(caught.value)
    assert TOKEN not in str(caught.value)
    if isinstance(caught.value, Refused):
        assert caught.value.advice


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (httpx.Response(429, headers={"Retry-After": "2.0"}), 2.0),
        (httpx.Response(429, headers={"Retry-After": "Mon, 23 Nov 2026 09:00:02 GMT"}), 1.0),
        (httpx.Response(503, headers={"Retry-After": "30"}), 30.0),
        (answered(errors=[coded("THROTTLED")], held=4, cost=13), 0.19),
    ],
    ids=["429", "429 with a date", "503", "points"],
)
async def test_the_store_says_how_long_to_wait(answer: httpx.Response, seconds: float) -> None:
    """By its header, or by its own account of points: what is short, over the rate it comes back."""
    made, _ = channel(answer)
    with pytest.raises(TryLater) as caught:
        await made.push(made.encode("k", [change()]))
    assert caught.value.after_seconds == pytest.approx(seconds)


async def test_a_push_waits_for_points_rather_than_being_told_no() -> None:
    """The store holds 2 points and a push costs 10: eight hundredths of a second."""
    clock = HandClock()
    made, asked = channel(answered(ADJUSTED, held=2), clock=clock)
    body = made.encode("k", [change()])
    await made.push(body)
    await made.push(body)
    assert clock.slept == [pytest.approx(0.08)]
    assert len(asked.requests) == 2


async def test_a_push_that_would_wait_long_is_given_back_to_the_relay() -> None:
    """There something more urgent may have come up meanwhile."""
    made, asked = channel(answered(ADJUSTED, held=0, cost=250))
    body = made.encode("k", [change()])
    await made.push(body)
    with pytest.raises(TryLater) as caught:
        await made.push(body)
    assert caught.value.after_seconds == pytest.approx(2.5)
    assert len(asked.requests) == 1


ADJUSTED: dict[str, Any] = {"inventoryAdjustQuantities": {"inventoryAdjustmentGroup": None, "userErrors": []}}


async def test_the_bytes_sent_are_the_bytes_encoded() -> None:
    """Nothing between the store of intents and the wire rewrites a push."""
    made, asked = channel(adjusted())
    body = made.encode("k", [change()])
    await made.push(body)
    assert asked.bodies == [body]
    assert str(asked.requests[0].url) == "https://london.myshopify.com/admin/api/2026-10/graphql.json"
    assert asked.requests[0].headers["X-Shopify-Access-Token"] == TOKEN
