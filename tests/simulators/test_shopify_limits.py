"""Who may call the simulated Admin API, in which version, and how much."""

from __future__ import annotations

import math

import httpx
import pytest
from tests.simulators.shop_kit import CLIENT_ID, SECRET, SET, TOKEN, opened

from sfsync.simulators.shopify import Knobs, Plan, ShopClock

NOW = 1_795_000_000.0
PAGE = "{ productVariants(first: 100) { nodes { id } } }"
DEAR = "{ productVariants(first: 250) { nodes { inventoryItem { variants(first: 5) { nodes { id } } } } } }"


@pytest.mark.parametrize("token", [None, "shpat_wrong"])
async def test_a_call_without_a_good_token_is_not_let_in(token: str | None) -> None:
    """401, and nothing else is told."""
    async with opened(token=token) as shop:
        answer = await shop.post("{ shop { name } }")
        assert answer.status_code == 401
        assert "data" not in answer.json()


@pytest.mark.parametrize("as_form", [True, False])
async def test_client_credentials_buy_a_token_for_a_day(as_form: bool) -> None:
    """It opens the API, lapses after a day, and can be revoked."""
    async with opened(clock=ShopClock(frozen_at=NOW), token=None) as shop:
        asked = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}
        form, document = (asked, None) if as_form else (None, asked)
        granted = (await shop.http.post("/admin/oauth/access_token", data=form, json=document)).json()
        assert granted["expires_in"] == 86_399
        assert "write_inventory" in granted["scope"].split(",")
        shop.http.headers["X-Shopify-Access-Token"] = granted["access_token"]
        assert (await shop.post("{ shop { name } }")).status_code == 200
        await shop.control.post("/clock", json={"seconds": 86_400})
        assert (await shop.post("{ shop { name } }")).status_code == 401
        again = (await shop.http.post("/admin/oauth/access_token", data=form, json=document)).json()
        shop.http.headers["X-Shopify-Access-Token"] = again["access_token"]
        assert (await shop.post("{ shop { name } }")).status_code == 200
        await shop.control.delete("/tokens")
        assert (await shop.post("{ shop { name } }")).status_code == 401


async def test_wrong_client_credentials_buy_nothing() -> None:
    """400 with the reason."""
    async with opened() as shop:
        wrong = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": "guess"}
        answer = await shop.http.post("/admin/oauth/access_token", json=wrong)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
        other = await shop.http.post("/admin/oauth/access_token", json={"grant_type": "password"})
        assert (other.status_code, other.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("asked", "answering"),
    [
        ("2026-10", "2026-10"),
        ("2026-07", "2026-07"),
        ("2025-07", "2026-01"),
        ("2027-01", "2027-01"),
        ("unstable", "unstable"),
    ],
)
async def test_the_header_tells_which_version_answered(asked: str, answering: str) -> None:
    """A retired version does not fail: the oldest supported one answers."""
    async with opened() as shop:
        answer = await shop.post("{ shop { name } }", version=asked)
        assert answer.json()["data"] == {"shop": {"name": "London"}}
        assert answer.headers["X-Shopify-API-Version"] == answering
        assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("version", ["2028-01", "2026-11", "latest"])
async def test_a_version_that_never_was_is_not_found(version: str) -> None:
    """404."""
    async with opened() as shop:
        assert (await shop.post("{ shop { name } }", version=version)).status_code == 404


async def test_a_scope_that_is_not_held_denies_the_field() -> None:
    """ACCESS_DENIED on the field; fulfilment orders are left out in silence."""
    async with opened(scopes=("read_orders",)) as shop:
        errors = await shop.errors(
            SET, input={"name": "available", "reason": "other", "quantities": []}, key="k"
        )
        assert errors[0]["extensions"]["code"] == "ACCESS_DENIED"
        assert "write_inventory" in errors[0]["message"]
        await shop.bought("BAG-1")
        data = await shop.ask(
            "{ orders(first: 1) { nodes { fulfillmentOrders(first: 1) { nodes { id } } } } }"
        )
        assert data["orders"]["nodes"][0]["fulfillmentOrders"]["nodes"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"query": 1}', b'{"query": "{ shop { id } }", "variables": []}']
)
async def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    """400."""
    async with opened() as shop:
        answer = await shop.http.post("/admin/api/2026-10/graphql.json", content=body)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ shop { nonsense } }", "undefinedField"),
        ("{ shop", "PARSE_ERROR"),
        ("{ shop @foo { id } }", "undefinedDirective"),
    ],
)
async def test_a_document_that_does_not_fit_the_schema_is_refused(query: str, code: str) -> None:
    """HTTP 200 with errors and no data, and nothing is charged."""
    async with opened() as shop:
        answer = (await shop.post(query)).json()
        assert "data" not in answer
        assert answer["errors"][0]["extensions"]["code"] == code
        assert (await shop.control.get("/calls")).json()["bucket"]["currentlyAvailable"] == 2000


async def test_every_answer_tells_its_cost_and_what_is_left() -> None:
    """The price asked is held back at first; what was not needed is given back."""
    async with opened(clock=ShopClock(frozen_at=NOW)) as shop:
        cost = (await shop.post(PAGE)).json()["extensions"]["cost"]
        assert cost["requestedQueryCost"] == 102
        assert cost["actualQueryCost"] == 4
        assert cost["throttleStatus"] == {
            "maximumAvailable": 2000.0,
            "currentlyAvailable": 1996,
            "restoreRate": 100.0,
        }


async def test_a_mutation_costs_about_ten_points_whatever_its_rows() -> None:
    """One row and two rows cost the same."""
    async with opened(clock=ShopClock(frozen_at=NOW)) as shop:
        for number, rows in enumerate(
            ([shop.row("BAG-1", quantity=1)], [shop.row(sku, quantity=2) for sku in ("BAG-1", "BAG-2")])
        ):
            call = {"name": "available", "reason": "other", "quantities": rows}
            cost = (await shop.post(SET, input=call, key=str(number))).json()["extensions"]["cost"]
            assert cost["requestedQueryCost"] == 15
        calls = (await shop.control.get("/calls")).json()
        assert calls["operations"]["inventorySetQuantities"] == {"count": 2, "points": 30}


@pytest.mark.parametrize("plan", list(Plan))
async def test_the_plan_decides_how_fast_points_come_back(plan: Plan) -> None:
    """A spent bucket throttles, tells so with HTTP 200, and is filled at the plan's rate."""
    async with opened(clock=ShopClock(frozen_at=NOW), plan=plan) as shop:
        shop.shop.bucket.take(plan.bucket_size - 50)
        answer = await shop.post(PAGE)
        assert answer.status_code == 200
        document = answer.json()
        assert "data" not in document
        assert document["errors"][0]["extensions"]["code"] == "THROTTLED"
        cost = document["extensions"]["cost"]
        assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (102, None)
        status = cost["throttleStatus"]
        wait = (cost["requestedQueryCost"] - status["currentlyAvailable"]) / status["restoreRate"]
        await shop.control.post("/clock", json={"seconds": wait})
        assert "data" in (await shop.post(PAGE)).json()
        assert (await shop.control.get("/calls")).json()["throttled"] == 1


async def test_a_single_query_may_not_cost_more_than_a_thousand() -> None:
    """It is refused whatever the bucket holds."""
    async with opened(plan=Plan.ENTERPRISE) as shop:
        errors = await shop.errors(DEAR)
        assert errors[0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
        assert errors[0]["extensions"]["cost"] > 1000


async def test_a_knob_prices_pages_by_their_logarithm() -> None:
    """How a page is priced is not published in full."""
    async with opened(knobs=Knobs(connection_cost="logarithmic")) as shop:
        cost = (await shop.post(PAGE)).json()["extensions"]["cost"]["requestedQueryCost"]
        assert cost == math.ceil(2 + 2 * math.log2(101))


async def test_latency_is_spent_on_each_call() -> None:
    """Calls still finish when their caller has gone away."""
    async with opened(latency_seconds=0.2) as shop:
        call = {"name": "available", "reason": "other", "quantities": [shop.row("BAG-1", quantity=1)]}
        with pytest.raises(httpx.ReadTimeout):
            await shop.http.post(
                "/admin/api/2026-10/graphql.json",
                json={"query": SET, "variables": {"input": call, "key": "k"}},
                timeout=httpx.Timeout(10, read=0.05),
            )
        assert (await shop.control.get("/log", params={"wait": 10})).json()["changes"][0]["after"] == 1
        assert shop.http.headers["X-Shopify-Access-Token"] == TOKEN
