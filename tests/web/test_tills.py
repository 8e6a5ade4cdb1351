"""A concession's till by HTTP: whose it is, what is refused whole, and what is entered."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.web.kit import CHECKOUT, CONCESSION, OPERATIONS, OTHER_TILL, House, problem

from sfsync.domain.tills import REMEDIES

SALES, LEVELS = "/v1/tills/rinascente/sales", "/v1/tills/rinascente/levels"
GOOD = "receipt,line,sku,quantity,date,time\n77,1,BAG,1,2026-11-22,17:00\n77,2,TIE,-1,2026-11-22,17:00\n"


async def post(house: House, body: str | bytes, token: str = CONCESSION, **query: str) -> httpx.Response:
    async with house.client(token) as client:
        headers = {"content-type": "text/csv; charset=utf-8"}
        return await client.post(SALES, content=body, headers=headers, params=query)


async def test_a_report_is_entered_and_told_line_by_line() -> None:
    """Two lines of a receipt, in the till's own time; the same report again says so."""
    house = House()
    answer = await post(house, GOOD)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["till"], told["location"], told["rows"], told["entered"], told["again"]) == (
        "rinascente",
        "MILAN",
        2,
        2,
        0,
    )
    assert told["sales"][1] == {
        "line": 3,
        "receipt": "77",
        "receipt_line": 2,
        "sku": "TIE",
        "unit": None,
        "quantity": -1,
        "sold_at": "2026-11-22T16:00:00Z",
        "state": "entered",
        "again": False,
        "late": False,
    }
    assert (await post(house, GOOD)).json()["again"] == 2
    house.tills.waits = True
    assert (await post(house, GOOD)).status_code == 202


async def test_one_bad_row_keeps_the_report_out_unless_it_may_be_partial() -> None:
    """A row that cannot be read and one of an unknown SKU, each with its line, kind and remedy."""
    house, bad = House(), GOOD + "78,1,HAT,1,2026-11-22,17:00\n79,1,BAG,x,2026-11-22,17:00\n"
    told = problem(await post(house, bad), 422, "bad-sales")
    errors: Any = told["errors"]
    assert [(each["line"], each["sku"], each["kind"]) for each in errors] == [
        (4, "HAT", "unknown-level"),
        (5, "BAG", "wrong"),
    ]
    assert "Line 4: the org has no stock level" in str(told["detail"])
    assert house.tills.entered == {}
    (noted,) = house.tills.noted
    assert (noted.till, noted.way, noted.entered) == ("rinascente", "http", 0)
    assert noted.refused > 0
    dry = await post(house, bad, dry_run="true", partial="true")
    assert (dry.status_code, dry.json()["dry_run"], house.tills.entered) == (200, True, {})
    answer = await post(house, bad, partial="true")
    assert (answer.status_code, answer.json()["entered"], len(house.tills.entered)) == (200, 2, 2)


async def test_rows_of_json_are_the_same_sales() -> None:
    """The same receipt by another way is told to be known; a word that is not known is refused."""
    house = House()
    await post(house, GOOD)
    row = {"receipt": "77", "line": 1, "sku": "BAG", "quantity": 1, "date": "2026-11-22", "time": "17:00"}
    async with house.client(CONCESSION) as client:
        answer = await client.post(SALES, json={"rows": [row]})
        assert (answer.status_code, answer.json()["again"]) == (201, 1)
        for body, kind in (
            ({"rows": [{**row, "units": 1}]}, "bad-sales"),
            ({"rows": [{**row, "quantity": 1.5}]}, "bad-sales"),
            ({"rows": "77"}, "bad-input"),
            ({"rows": [row], "partial": True}, "bad-input"),
            ({"rows": []}, "bad-file"),
        ):
            problem(await client.post(SALES, json=body), 422, kind)
        problem(
            await client.post(SALES, content=b"{", headers={"content-type": "application/json"}),
            400,
            "bad-json",
        )
        problem(
            await client.post(SALES, content=b"<x/>", headers={"content-type": "text/xml"}), 415, "not-csv"
        )


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "empty"),
        (b"receipt,sku\n", "the column quantity is missing"),
        ("receipt,sku,quantity,date\n7,CAF\xc9,1,2026-11-22\n".encode("latin-1"), "is not UTF-8"),
    ],
)
async def test_a_file_that_cannot_be_read_is_named(body: bytes, named: str) -> None:
    """422, and nothing of it is entered."""
    told = problem(await post(House(), body), 422, "bad-file")
    assert named in str(told["detail"])


async def test_before_the_org_is_read_nothing_is_unknown() -> None:
    """503: the same report may be sent again."""
    house = House()
    house.tills.unread = True
    answer = await post(house, GOOD)
    problem(answer, 503, "later")
    assert "retry-after" in answer.headers


async def test_a_till_is_spoken_for_by_its_own_tokens() -> None:
    """Another store's token does not find it; an operator's does; who has no such scope is turned away."""
    house = House()
    problem(await post(house, GOOD, OTHER_TILL), 404, "no-such-till")
    problem(await post(house, GOOD, CHECKOUT), 403, "not-allowed")
    assert house.tills.entered == {}
    assert (await post(house, GOOD, OPERATIONS)).status_code == 201
    async with house.client(CONCESSION) as client:
        problem(await client.get("/v1/tills/printemps/levels"), 404, "no-such-till")
        problem(await client.post(f"{SALES}?parts=true", content=b""), 422, "bad-input")
        problem(await client.post(f"{SALES}?partial=yes", content=b""), 422, "bad-input")


async def test_what_it_may_sell_is_a_file_with_the_bad_news_first() -> None:
    """CSV, never kept by anybody on the way."""
    async with House().client(CONCESSION) as client:
        answer = await client.get(LEVELS)
    assert answer.text == "sku,available\r\nTIE,0\r\nBAG,3\r\n"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_description_names_what_a_report_may_be_told() -> None:
    """The kinds of problem, and every field of the answer."""
    house = House()
    async with house.client(CONCESSION) as client:
        schemas = json.loads((await client.get("/openapi.json")).text)["components"]["schemas"]
    told = (await post(house, GOOD)).json()
    shape = schemas["TillSalesTold"]["properties"]
    assert set(shape) == set(told)
    assert set(shape["sales"]["items"]["properties"]) == set(told["sales"][0])
    assert shape["errors"]["items"]["properties"]["kind"]["enum"] == list(REMEDIES)
