"""Reading from a Shopify store that is not at its best."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.channels.clock import HandClock
from tests.channels.shopify_bench import Answer, answered, channel, order_node

from sfsync.channels import shopify_documents as documents
from sfsync.channels.shopify_check import SCOPES
from sfsync.domain.orders import OrderSnapshot
from sfsync.ports import Refused, Severity, TryLater

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EMPTY = answered({"orders": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": []}})
THROTTLED = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}


async def polled(*answers: Any, clock: HandClock | None = None) -> tuple[list[OrderSnapshot], list[Any]]:
    made, asked = channel(*answers, clock=clock)
    orders = [order async for page in made.orders_since(AT) for order in page]
    return orders, asked.documents


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(502),
        httpx.Response(503, headers={"Retry-After": "2"}),
        httpx.Response(429, headers={"Retry-After": "2"}),
        httpx.Response(200, text='{"data": {"ord'),
        answered(errors=[THROTTLED], held=0, cost=200),
        answered(errors=[{"message": "oops", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]),
        answered(None),
    ],
)
async def test_a_read_that_fails_is_tried_again(trouble: Answer) -> None:
    """It changes nothing, so it may be."""
    clock = HandClock()
    orders, asked = await polled(trouble, trouble, EMPTY, clock=clock)
    assert orders == []
    assert len(asked) == 3
    assert len(clock.slept) >= 2


async def test_a_read_that_keeps_failing_is_given_up() -> None:
    """After a bounded number of tries, and never as Unknown."""
    made, asked = channel(httpx.Response(502))
    with pytest.raises(TryLater, match="HTTP 502"):
        await anext(made.orders_since(AT))
    assert len(asked.requests) == 6


async def test_a_read_that_is_declined_is_not_tried_again() -> None:
    """It says what to look at."""
    denied = {"message": "Access denied for orders field.", "extensions": {"code": "ACCESS_DENIED"}}
    made, asked = channel(answered({"orders": None}, errors=[denied]))
    with pytest.raises(Refused, match="Access denied") as caught:
        await anext(made.orders_since(AT))
    assert "scopes" in caught.value.advice
    assert len(asked.requests) == 1


async def test_a_poll_asks_in_utc_whole_seconds() -> None:
    """Whatever zone the asker lives in; rounded down, so that nothing falls between."""
    made, asked = channel(EMPTY)
    at = datetime(2026, 11, 23, 10, 0, 0, 900_000, tzinfo=timezone(timedelta(hours=2)))
    assert [page async for page in made.orders_since(at)] == []
    assert asked.documents[0]["variables"] == {"query": "updated_at:>='2026-11-23T08:00:00Z'", "after": None}


def listed(name: str = "#1001", parcels: int = 1, more: bool = False, **changes: Any) -> dict[str, Any]:
    """An order of the list with that many fulfilments; `more` when the last of them has more lines."""
    whole = order_node(name=name)
    info = {"pageInfo": {"hasNextPage": False, "endCursor": None}}
    part = whole["fulfillments"][0]["fulfillmentLineItems"]
    parts: list[dict[str, Any]] = [
        {"createdAt": None, "status": "SUCCESS", "fulfillmentLineItems": {**part, **info}}
        for _ in range(parcels)
    ]
    if more:
        parts[-1]["fulfillmentLineItems"]["pageInfo"] = {"hasNextPage": True, "endCursor": "c"}
    refunds = [
        refund | {"refundLineItems": {**refund["refundLineItems"], **info}} for refund in whole["refunds"]
    ]
    lines = {**whole["lineItems"], **info}
    return {**whole, "lineItems": lines, "fulfillments": parts, "refunds": refunds, **changes}


def page(*nodes: dict[str, Any]) -> httpx.Response:
    return answered({"orders": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": list(nodes)}})


def order(node: dict[str, Any] | None) -> httpx.Response:
    return answered({"order": node})


async def test_an_order_with_more_parts_than_a_page_shows_is_read_whole() -> None:
    """Its lines, fulfilments and refunds by calls of their own, in growing sizes."""
    large = listed(parcels=documents.ORDER_PARTS)
    (found,), asked = await polled(
        page(large), order(large), order(listed(parcels=5, more=True)), order(large)
    )
    assert found.lines[0].fulfilled_quantity == 2 * documents.ORDER_PARTS
    sizes = [(each["operationName"], each["variables"].get("parts")) for each in asked]
    assert sizes == [
        ("OrdersSince", None),
        ("OrderLineItems", None),
        ("OrderFulfillments", documents.PART_SIZES[0][0]),
        ("OrderFulfillments", documents.PART_SIZES[1][0]),
        ("OrderRefunds", documents.PART_SIZES[0][0]),
    ]


async def test_an_order_that_changes_while_it_is_read_is_read_again() -> None:
    """All its parts are of one version."""
    large, later = listed(parcels=5), listed(parcels=5, updatedAt="2026-11-23T08:00:01Z")
    (found,), asked = await polled(page(large), order(large), order(large), order(later), order(later))
    assert found.version.second == 1
    assert len(asked) == 1 + 3 + 3


async def test_an_order_too_large_to_be_polled_hides_no_other() -> None:
    """It is told in the log; its webhooks tell the rest."""
    endless = listed(parcels=1, more=True)
    with capture_logs() as logs:
        found, _ = await polled(page(endless, listed(name="#1002")), order(endless))
    assert [each.name for each in found] == ["#1002"]
    assert [(line["order"], line["log_level"]) for line in logs] == [("#1001", "error")]


async def test_an_order_that_cannot_be_read_hides_no_other() -> None:
    """It is told in the log, and stands in the list with the reason, for it may be a sale."""
    with capture_logs() as logs:
        found, _ = await polled(page(listed(updatedAt="never"), listed(name="#1002")))
    assert [each.name for each in found][1:] == ["#1002"]
    assert "updated_at" in found[0].unreadable
    assert "updated_at" in logs[0]["reason"]


CHECK: dict[str, Any] = {
    "shop": {"name": "House", "myshopifyDomain": "london.myshopify.com"},
    "currentAppInstallation": {
        "accessScopes": [{"handle": scope} for scope in ("write_inventory", *SCOPES[2:])]
    },
    "publicApiVersions": [
        {"handle": "2026-10", "supported": True},
        {"handle": "2027-01", "supported": False},
    ],
    "locations": {
        "nodes": [
            {
                "id": "gid://shopify/Location/7",
                "name": "Warehouse",
                "isActive": True,
                "fulfillsOnlineOrders": True,
            }
        ]
    },
}


async def severities(data: dict[str, Any], **changes: Any) -> list[tuple[Severity, str]]:
    answer = answered({**CHECK, **data})
    made, _ = channel(answer, answer, **changes)
    findings = await made.check()
    assert all(finding.remedy for finding in findings if finding.severity is not Severity.GOOD)
    return [(finding.severity, finding.what) for finding in findings if finding.severity is not Severity.GOOD]


async def test_a_store_without_fault_has_only_good_findings() -> None:
    """The right to write is the right to read."""
    assert await severities({}) == []


@pytest.mark.parametrize(
    ("data", "changes", "severity", "word"),
    [
        ({"currentAppInstallation": {"accessScopes": []}}, {}, Severity.FATAL, "write_inventory"),
        ({"shop": {"name": "x", "myshopifyDomain": "paris.myshopify.com"}}, {}, Severity.FATAL, "paris"),
        ({"locations": {"nodes": []}}, {}, Severity.FATAL, "no location"),
        (
            {"locations": {"nodes": [{**CHECK["locations"]["nodes"][0], "isActive": False}]}},
            {},
            Severity.FATAL,
            "not active",
        ),
        (
            {"locations": {"nodes": [{**CHECK["locations"]["nodes"][0], "fulfillsOnlineOrders": False}]}},
            {},
            Severity.WARNING,
            "online",
        ),
        ({"publicApiVersions": []}, {}, Severity.WARNING, "not supported"),
        ({}, {"api_version": "2026-04"}, Severity.WARNING, "answers with 2026-10"),
        ({}, {"webhook_secrets": ()}, Severity.WARNING, "webhook"),
    ],
)
async def test_what_is_wrong_is_found(
    data: dict[str, Any], changes: dict[str, Any], severity: Severity, word: str
) -> None:
    """One finding, with its remedy."""
    (found,) = await severities(data, **changes)
    assert found[0] is severity
    assert word in found[1]


async def test_a_lacking_scope_is_named_even_where_it_hides_the_rest() -> None:
    """Places cannot be asked for without the right to see them."""
    denied = {"message": "Access denied for locations field.", "extensions": {"code": "ACCESS_DENIED"}}
    app = answered({**CHECK, "currentAppInstallation": {"accessScopes": []}})
    made, _ = channel(app, answered({"locations": None}, errors=[denied]))
    fatal = [finding.what for finding in await made.check() if finding.severity is Severity.FATAL]
    assert len(fatal) == 2
    assert "lacks the access scopes" in fatal[0]
    assert "Access denied for locations" in fatal[1]


async def test_a_store_that_does_not_answer_is_checked_later() -> None:
    """That is no finding about the configuration."""
    made, _ = channel(httpx.ConnectError("refused"))
    with pytest.raises(TryLater):
        await made.check()
