"""Mappings of SKUs over the API: a sheet as CSV or JSON, by those who may, and nothing by halves unasked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.kit import AUDITOR, CHECKOUT, OPERATIONS, House, problem

from sfsync.domain.sku_mapping import SkuMapping

PATH, REMOVE = "/v1/sku-mappings", "/v1/sku-mappings/remove"
CSV = {"Content-Type": "text/csv"}


async def test_a_sheet_is_looked_at_and_then_kept_under_the_token_s_name() -> None:
    """As CSV and as JSON it says the same."""
    house = House()
    async with house.client(OPERATIONS) as client:
        sheet = "old,new,channel\nSAC,BAG-1,london\n"
        looked = await client.post(f"{PATH}?dry_run=true", content=sheet, headers=CSV)
        assert (looked.status_code, looked.json()["applied"]) == (200, False)
        rows = [{"old": "SAC", "new": "BAG-1", "channel": "london"}]
        done = await client.post(PATH, json={"mappings": rows})
        assert (done.status_code, done.json()["applied"]) == (200, True)
        (kept,) = (await client.get(PATH)).json()["mappings"]
        assert kept["old"] == "OLD"
    mapping = [SkuMapping("SAC", "BAG-1", "london")]
    assert house.mappings.given == [
        (mapping, "operations", False, True, None),
        (mapping, "operations", False, False, None),
    ]


async def test_a_bad_row_is_told_with_its_line_and_keeps_the_rest_out() -> None:
    """Unless only the good ones are wanted."""
    house = House()
    sheet = "old,new\nSAC,BAG-1\nX,\nY,BAG-9\n"
    async with house.client(OPERATIONS) as client:
        refused = await client.post(PATH, content=sheet, headers=CSV)
        problem(refused, 422, "bad-mappings")
        assert {each["line"] for each in refused.json()["errors"]} == {3, 4}
        assert "line 3" in refused.json()["detail"]
        taken = await client.post(f"{PATH}?partial=true", content=sheet, headers=CSV)
        assert (taken.status_code, taken.json()["applied"]) == (200, True)


async def test_so_many_that_a_person_must_look_are_kept_only_with_their_number() -> None:
    """409 says which number."""
    house = House()
    sheet = "old,new\nA,BAG-1\nB,BAG-1\nC,BAG-1\n"
    async with house.client(OPERATIONS) as client:
        asked = await client.post(PATH, content=sheet, headers=CSV)
        problem(asked, 409, "maps-too-much")
        named = f"{PATH}?yes_change={asked.json()['changes']}"
        assert (await client.post(named, content=sheet, headers=CSV)).json()["applied"]


@pytest.mark.parametrize(
    ("query", "headers", "body", "kind"),
    [
        ("", {"Content-Type": "text/plain"}, b"old,new\nA,B\n", "not-csv"),
        ("", CSV, b"old,nwe\nA,B\n", "bad-file"),
        ("", CSV, b"old,new\nA,\xe9\n", "bad-file"),
        ("?partial=yes", CSV, b"old,new\nA,B\n", "bad-input"),
        ("?yes_change=-1", CSV, b"old,new\nA,B\n", "bad-input"),
        ("", {"Content-Type": "application/json"}, b'{"mappings": []}', "bad-input"),
        ("", {"Content-Type": "application/json"}, b"{", "bad-json"),
    ],
)
async def test_what_cannot_be_read_is_refused_as_a_whole(
    query: str, headers: dict[str, str], body: bytes, kind: str
) -> None:
    """And nothing is handed on."""
    house = House()
    async with house.client(OPERATIONS) as client:
        answer = await client.post(PATH + query, content=body, headers=headers)
    assert answer.json()["type"].endswith(kind)
    assert 400 <= answer.status_code < 500
    assert house.mappings.given == []


async def test_one_is_removed_by_its_old_sku_and_one_that_is_none_is_told() -> None:
    """404; the word of a channel is its own mapping."""
    house = House()
    async with house.client(OPERATIONS) as client:
        gone = await client.post(REMOVE, json={"old": "OLD"})
        assert gone.json() == {"removed": "OLD", "channel": None}
        problem(await client.post(REMOVE, json={"old": "X", "channel": "london"}), 404, "no-such-mapping")
        problem(await client.post(REMOVE, json={"new": "X"}), 422, "bad-input")
    assert house.mappings.removed == [("OLD", "", "operations"), ("X", "london", "operations")]


async def test_only_an_admin_maps_and_an_auditor_reads() -> None:
    """403 for everybody else."""
    house = House()
    body: dict[str, Any] = {"mappings": [{"old": "A", "new": "BAG-1"}]}
    async with house.client(AUDITOR) as client:
        assert (await client.get(PATH)).status_code == 200
        problem(await client.post(PATH, json=body), 403, "not-allowed")
    async with house.client(CHECKOUT) as client:
        problem(await client.get(PATH), 403, "not-allowed")
        problem(await client.post(REMOVE, json={"old": "OLD"}), 403, "not-allowed")
    assert not house.mappings.given
    assert not house.mappings.removed
