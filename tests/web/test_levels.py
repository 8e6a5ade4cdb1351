"""`GET /v1/levels`: what channels should show, for a storefront that begins or was away."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.web.kit import CHECKOUT, OPERATIONS, House, problem

from sfsync.web import LEVELS, Sight, Token, WebOptions

SITE = "boutique-site-token-0123456789"


async def read(house: House, query: str = "", token: str = OPERATIONS) -> dict[str, Any]:
    async with house.client(token) as client:
        answer = await client.get(f"/v1/levels{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_every_number_is_told_with_its_sequence_number_and_none_below_zero() -> None:
    """In the order of the last changes."""
    told = await read(House())
    assert told["levels"] == [
        {"channel": "london", "sku": "TIE", "location": "online", "quantity": 9, "sequence": 10},
        {"channel": "dubai", "sku": "BAG", "location": "online", "quantity": 0, "sequence": 11},
        {"channel": "london", "sku": "BAG", "location": "online", "quantity": 1, "sequence": 12},
    ]
    assert told["more"] is False


async def test_a_cursor_leads_on_to_what_comes_after_and_stays_good() -> None:
    """Page by page; at the end it is kept, and asked with again later."""
    house = House()
    first = await read(house, "?limit=2")
    assert ([each["sequence"] for each in first["levels"]], first["more"]) == ([10, 11], True)
    second = await read(house, f"?limit=2&after={first['cursor']}")
    assert ([each["sequence"] for each in second["levels"]], second["more"]) == ([12], False)
    nothing = await read(house, f"?after={second['cursor']}")
    assert nothing == {"levels": [], "cursor": second["cursor"], "more": False}


async def test_numbers_of_one_channel_or_some_skus() -> None:
    """Both together too."""
    house = House()
    assert [each["sequence"] for each in (await read(house, "?channel=london"))["levels"]] == [10, 12]
    assert [each["sequence"] for each in (await read(house, "?sku=BAG"))["levels"]] == [11, 12]
    both = await read(house, "?channel=london&sku=BAG&sku=HAT")
    assert [each["sequence"] for each in both["levels"]] == [12]
    assert (await read(house, "?sku=HAT")) == {"levels": [], "cursor": None, "more": False}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?channel=paris", "channel"),
        ("?sku=", "sku"),
        ("?" + "&".join(f"sku=S{n}" for n in range(101)), "sku"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=many", "limit"),
        ("?colour=red", "colour"),
        ("?after=", "after"),
        ("?after=nonsense", "after"),
        ("?after=" + base64.urlsafe_b64encode(b'["1","a","b","c"]').decode(), "after"),
        ("?after=" + base64.urlsafe_b64encode(b'[1,"a","b"]').decode(), "after"),
        ("?after=" + base64.urlsafe_b64encode(b'[9e99,"a","b","c"]').decode(), "after"),
        ("?after=" + base64.urlsafe_b64encode(b'[99999999999999999999,"a","b","c"]').decode(), "after"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(query: str, field: str) -> None:
    """422, and nothing is asked of the store."""
    async with House().client(CHECKOUT) as client:
        answer = await client.get(f"/v1/levels{query}")
    errors = problem(answer, 422, "bad-input")["errors"]
    assert isinstance(errors, list)
    assert [each["field"] for each in errors] == [field]


async def test_a_storefront_may_have_a_token_for_nothing_but_its_numbers() -> None:
    """The scope levels; it reserves nothing with it. A token for counts alone reads none."""
    site = WebOptions(
        tokens=(
            Token("site", SITE, frozenset({LEVELS}), Sight(frozenset({"london"}))),
            Token("till", OPERATIONS, frozenset({"counts"})),
        ),
    )
    house = House(tokens=site.tokens)
    assert {each["channel"] for each in (await read(house, token=SITE))["levels"]} == {"london"}
    async with house.client(SITE) as client:
        other = problem(await client.get("/v1/levels?channel=dubai"), 422, "bad-input")
        assert other == problem(await client.get("/v1/levels?channel=nowhere"), 422, "bad-input")
        problem(await client.get("/v1/reservations"), 403, "not-allowed")
    async with house.client(OPERATIONS) as client:
        problem(await client.get("/v1/levels"), 403, "not-allowed")
