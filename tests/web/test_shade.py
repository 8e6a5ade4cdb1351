"""In shadow the web promises nothing and changes nothing; what is heard comes in, and people may look."""

from __future__ import annotations

import pytest
from tests.web.kit import OPERATIONS, House, problem


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/reservations"),
        ("POST", "/v1/reservations/1/confirm"),
        ("POST", "/v1/transfers"),
        ("POST", "/v1/counts"),
        ("POST", "/v1/tills/rinascente/sales"),
        ("POST", "/v1/resync"),
        ("POST", "/v1/ledger/fold"),
        ("POST", "/v1/incidents/1/resolution"),
        ("POST", "/v1/dead-letters/drop"),
        ("POST", "/v1/editions/one/open"),
        ("POST", "/incidents/1"),
        ("GET", "/v1/levels"),
        ("GET", "/v1/tills/rinascente/levels"),
    ],
)
async def test_whoever_asks_for_a_promise_or_a_change_is_told_of_the_shadow(method: str, path: str) -> None:
    """A storefront that is set up already must not take a thought for a promise."""
    async with House(shadow=True).client(OPERATIONS) as client:
        told = problem(await client.request(method, path, json={}), 503, "shadow")
    assert "promises nothing" in str(told["detail"])


@pytest.mark.parametrize("path", ["/v1/status", "/v1/drift", "/healthz", "/openapi.json", "/v1/reservations"])
async def test_people_may_look(path: str) -> None:
    """And machines that watch."""
    async with House(shadow=True).client(OPERATIONS) as client:
        assert (await client.get(path)).status_code == 200


async def test_webhooks_are_heard() -> None:
    """Somebody set them up by hand: they are not for nothing."""
    house = House(shadow=True)
    async with house.client() as client:
        answer = await client.post("/webhooks/london", content=b"{}")
    assert answer.status_code != 503


async def test_people_may_say_what_unknown_skus_are_called() -> None:
    """It is kept when sfsync goes live."""
    async with House(shadow=True).client(OPERATIONS) as client:
        assert (await client.post("/v1/sku-mappings", json={})).status_code != 503


async def test_every_page_says_that_this_is_a_shadow() -> None:
    """In words, above the verdict."""
    house = House(shadow=True)
    house.board.told["health"]["shadow_since"] = "2026-11-20T06:00:00Z"
    async with house.client(OPERATIONS) as client:
        page = (await client.get("/")).text
    assert "<strong>In shadow</strong> since 2026-11-20 06:00 UTC" in page
    assert "nothing is written anywhere" in page
